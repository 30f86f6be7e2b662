//! Variables: the environment's, else those of the `.env` files, which never reach the process's environment.

use std::path::{Path, PathBuf};

use build_support::problem::{Code, Place, Problem, line_column};

use crate::context::Context;

const INVALID: Code = Code("invalid-env-file");

/// Where variables are looked up, in this order: the environment, then each `.env` file that exists.
#[derive(Clone, Debug)]
pub(super) struct Variables<'a> {
    context: &'a Context,
    files: Vec<PathBuf>,
}

/// A variable's value. It may hold a password: it is not `Debug`.
pub(super) struct Found {
    pub(super) value: String,
    /// The folder of the `.env` that it comes from; `None` where the environment has it.
    pub(super) folder: Option<PathBuf>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(context: &'a Context, folders: &[&Path]) -> Self {
        let mut files: Vec<_> = folders.iter().map(|folder| folder.join(".env")).collect();
        files.dedup();
        Self { context, files }
    }

    /// A variable that is set and not empty. A `.env` that cannot be read is a problem only if the search
    /// comes to it and does not find the variable in what can be read of it.
    pub(super) fn find(&self, name: &str) -> Result<Option<Found>, Problem> {
        if let Some(value) = self.context.variable(name) {
            return Ok(Some(Found { value: value.to_owned(), folder: None }));
        }
        for file in &self.files {
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(Problem::new(INVALID, format!("the file cannot be read: {error}"))
                        .in_file(file)
                        .note(format!("the variable `{name}` was looked for in it")));
                }
            };
            if let Some(value) = value_in(&text, name, file)? {
                return Ok(Some(Found { value, folder: file.parent().map(Path::to_owned) }));
            }
        }
        Ok(None)
    }
}

fn value_in(text: &str, name: &str, file: &Path) -> Result<Option<String>, Problem> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut broken = None;
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            // The first one counts, as it does for dotenvy.
            Ok((key, value)) if key == name => return Ok(Some(value).filter(|value| !value.is_empty())),
            Ok(_) => {}
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    let Some(error) = broken else { return Ok(None) };
    let line = match &error {
        dotenvy::Error::LineParse(line, _) => text.find(line.trim()).map(|at| line_column(text, at).0),
        _ => None,
    };
    // The line's text may be a secret: only its number is shown.
    let message = match line {
        Some(line) => format!("line {line} is not `NAME=value`"),
        None => "the file has a line that is not `NAME=value`".to_owned(),
    };
    Err(Problem::new(INVALID, message)
        .at(Place::file(file))
        .note(format!("the variable `{name}` was looked for in it"))
        .help("put a value with spaces, quotes or `#` in it between single quotes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_definition_counts_and_an_empty_one_is_none() {
        let find = |text| value_in(text, "A", Path::new(".env")).unwrap();
        assert_eq!(find("\u{FEFF}A=1\nA=2\n").as_deref(), Some("1"));
        assert_eq!(find("export A='x y' # why\r\n").as_deref(), Some("x y"));
        assert_eq!(find("A=\n"), None);
        assert_eq!(find("B=1\n"), None);
    }

    #[test]
    fn a_broken_line_is_told_by_its_number_and_never_by_its_text() {
        let problem = value_in("B=1\n\nse cret\nC=2\n", "A", Path::new(".env")).unwrap_err();
        let shown = format!("{problem:?}");
        assert!(shown.contains("line 3") && shown.contains("`A`") && !shown.contains("cret"), "{shown}");
    }

    #[test]
    fn a_broken_line_does_not_hide_a_variable_that_can_be_read() {
        let found = value_in("se cret\nA=1\n", "A", Path::new(".env")).unwrap();
        assert_eq!(found.as_deref(), Some("1"));
    }
}
