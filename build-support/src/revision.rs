//! Revision ids and the other names that stand in migration files.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::problem::{Code, Problem, printable};

/// A name that is not a revision id, a label or a package key.
pub const INVALID_ID: Code = Code("invalid-id");

/// The longest id in bytes; with `.sql` behind it, it fits every common file system.
pub const LONGEST_ID: usize = 200;

/// Words with a meaning of their own as targets, which no revision and no label may have as its name.
pub const RESERVED_WORDS: [&str; 4] = ["head", "heads", "base", "current"];

/// Names that mean a device on Windows, in any case and with any ending, so that no file can have them there.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The name of a revision: the stem of its file.
///
/// Letters, digits, `_` and `-`, starting with a letter, a digit or `_`, so that it can stand in a file name on
/// every system, in a target (`ID+2`, `LABEL@head`, `A:B`, `PACKAGE/ID`) and in a line of the lock.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId(Arc<str>);

impl RevisionId {
    /// Takes a text as a revision id.
    ///
    /// # Errors
    /// [`INVALID_ID`] where the text is empty, too long, a reserved word, a device's name on Windows or has another
    /// character in it.
    pub fn new(text: &str) -> Result<Self, Problem> {
        check_name(text, "a revision id")?;
        if is_device(text) {
            let why = "no file can have this name on Windows, where it means a device";
            return Err(Problem::new(INVALID_ID, format!("`{text}` cannot be a revision id: {why}")));
        }
        Ok(Self(text.into()))
    }

    /// The id of a migration file: its name without `.sql`, in any case of the ending.
    /// `None` where the file is no migration: hidden, or with another ending.
    ///
    /// # Errors
    /// [`INVALID_ID`] where the name ends in `.sql` and its stem is no id.
    pub fn of_file(path: &Path) -> Option<Result<Self, Problem>> {
        let name = path.file_name()?;
        let shown = name.to_string_lossy();
        let (stem, ending) = shown.rsplit_once('.')?;
        if !ending.eq_ignore_ascii_case("sql") || shown.starts_with('.') {
            return None;
        }
        if name.to_str().is_none() {
            return Some(Err(Problem::new(INVALID_ID, "this file's name is not UTF-8, so it cannot be a revision id")
                .in_file(path)
                .help("rename the file: letters, digits, `_` and `-`, then `.sql`")));
        }
        Some(Self::new(stem).map_err(|problem| {
            let problem = problem.in_file(path);
            match stem.rsplit_once('.') {
                Some((_, "up" | "down")) => problem
                    .note("here a revision is one file, with its up and its down in sections")
                    .help("join the two files into one: `-- migrate:up`, the one text, `-- migrate:down`, the other"),
                _ => problem.help("rename the file: letters, digits, `_` and `-`, then `.sql`"),
            }
        }))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the file that holds the revision.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.sql", self.0)
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for RevisionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RevisionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Whether a text can name a revision, a label or a database: letters, digits, `_` and `-`, and no word that is a
/// target of its own.
///
/// # Errors
/// [`INVALID_ID`], with `what` in its message.
pub fn check_name(text: &str, what: &str) -> Result<(), Problem> {
    check_key(text, what)?;
    if RESERVED_WORDS.contains(&text) {
        return Err(refused(text, what, "the word has a meaning of its own as a target"));
    }
    Ok(())
}

/// Whether a text can be a package's key: letters, digits, `_` and `-`.
///
/// # Errors
/// [`INVALID_ID`], with `what` in its message.
pub fn check_key(text: &str, what: &str) -> Result<(), Problem> {
    let Some(first) = text.chars().next() else {
        return Err(Problem::new(INVALID_ID, format!("{what} cannot be empty")));
    };
    if text.len() > LONGEST_ID {
        return Err(refused(text, what, &format!("it is longer than {LONGEST_ID} bytes")));
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-'))) {
        let shown = if bad.is_control() { format!("U+{:04X}", u32::from(bad)) } else { format!("`{bad}`") };
        let why = format!("it has {shown} in it, and only letters, digits, `_` and `-` may stand there");
        return Err(refused(text, what, &why));
    }
    if first == '-' {
        return Err(refused(text, what, "it starts with `-`"));
    }
    Ok(())
}

fn refused(text: &str, what: &str, why: &str) -> Problem {
    Problem::new(INVALID_ID, format!("`{}` cannot be {what}: {why}", shortened(&printable(text))))
}

fn is_device(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let port = lower.strip_prefix("com").or_else(|| lower.strip_prefix("lpt"));
    DEVICES.contains(&lower.as_str()) || port.is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}

/// The first few of some revisions, and how many more there are, for a message.
#[must_use]
pub fn listed(ids: &[&RevisionId]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = ids.iter().take(SHOWN).map(|id| id.as_str()).collect();
    let more = ids.len() - names.len();
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

/// Turns a message into the part of an id that tells what the revision does: lower-case words joined by `_`,
/// at most `longest` characters, cut between words where it can be.
#[must_use]
pub fn slug(message: &str, longest: usize) -> String {
    let mut slug = String::new();
    for word in message.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let room = longest.saturating_sub(slug.chars().count() + usize::from(!slug.is_empty()));
        if word.chars().count() > room {
            if slug.is_empty() {
                slug.extend(word.chars().take(longest));
            }
            break;
        }
        if !slug.is_empty() && !word.is_empty() {
            slug.push('_');
        }
        slug.push_str(&word);
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_or_mean_something_else_are_refused() {
        for bad in
            ["", "../x", "a/b", "a\nb", "a b", "head", "base", "-x", "a@b", "a+1", "a:b", "a,b", "a.up", "\u{1b}[2J"]
        {
            assert!(RevisionId::new(bad).is_err(), "{bad:?}");
        }
        assert!(RevisionId::new(&"x".repeat(201)).is_err());
        for device in ["CON", "nul", "Com1", "LPT9"] {
            assert!(RevisionId::new(device).unwrap_err().message().contains("Windows"), "{device}");
        }
        for good in
            ["console", "com", "com10", "con_1", "2025_02_20_001_add_priority", "ae10", "2024-01-01-0930_init", "größe"]
        {
            assert!(RevisionId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn only_sql_files_that_are_not_hidden_are_migrations() {
        assert!(RevisionId::of_file(Path::new("migrations/README.md")).is_none());
        assert!(RevisionId::of_file(Path::new("migrations/.x.sql")).is_none());
        assert!(RevisionId::of_file(Path::new("migrations/x.sql~")).is_none());
        assert_eq!(RevisionId::of_file(Path::new("m/x.SQL")).unwrap().unwrap().as_str(), "x");
        let problem = RevisionId::of_file(Path::new("m/1_x.down.sql")).unwrap().unwrap_err();
        assert!(problem.helps()[0].contains("join the two files"));
    }

    #[test]
    fn a_message_becomes_a_slug_cut_between_words() {
        assert_eq!(slug("Wrong migration!", 40), "wrong_migration");
        assert_eq!(slug("add the priority column", 12), "add_the");
        assert_eq!(slug("antidisestablishmentarianism", 8), "antidise");
        assert_eq!(slug("…", 40), "");
    }
}
