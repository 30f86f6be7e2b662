//! The commands that messages suggest, made to work on what the command at hand has worked on.
//!
//! A message says `cargo migrate downgrade -1`. Whoever types that after `cargo migrate -d prod status` would take the
//! default database back, so the flags that chose what the command works on are put in where messages are shown.

use std::path::Path;

use build_support::problem::Problem;

use crate::args::GlobalArgs;
use crate::context::Context;
use crate::project::database::{CHOICE_VARIABLE, is_name, without_password};
use crate::project::is_glob;

const COMMAND: &str = "cargo migrate ";

/// The commands that work on files alone.
const WITHOUT_DATABASE: [&str; 10] =
    ["init", "revision", "merge", "edit", "lock", "seal", "heads", "branches", "completions", "man"];

/// The flags that chose what a command works on, as they are typed; each empty or with a space at its end.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    manifest: String,
    package: String,
    database: String,
}

impl Chosen {
    /// What the command line and the variable for the database say.
    #[must_use]
    pub fn of(global: &GlobalArgs, context: &Context) -> Self {
        let flag =
            |name: &str, value: Option<&str>| value.map_or_else(String::new, |it| format!("{name} {} ", word(it)));
        let specs = |name: &str, specs: &[String]| specs.iter().map(|it| format!("{name} {} ", spec(it))).collect();
        let packages: String = specs("-p", &global.package);
        let exclude: String = specs("--exclude", &global.exclude);
        let path = |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::to_string_lossy).map(String::from);
        // A URL in the variable starts at the package, one behind `-d` at the working directory: it stays where it is.
        let variable = context.variable(CHOICE_VARIABLE).filter(|choice| is_name(choice));
        Self {
            manifest: flag("--manifest-path", path(&global.manifest_path).as_deref()),
            package: packages
                + if global.workspace { "--workspace " } else { "" }
                + &exclude
                + &flag("--migrations", path(&global.migrations).as_deref())
                + &flag("--name", global.name.as_deref()),
            database: flag("-d", global.database.as_deref().or(variable).map(without_password).as_deref()),
        }
    }

    /// The same for some packages of several.
    #[must_use]
    pub fn of_packages<S: AsRef<str>>(self, packages: &[S]) -> Self {
        let package = packages.iter().map(|package| format!("-p {} ", spec(package.as_ref()))).collect();
        Self { package, ..self }
    }

    /// The same for one database of several, given by its name or its URL.
    #[must_use]
    pub fn of_database(self, name_or_url: &str) -> Self {
        Self { database: format!("-d {} ", word(name_or_url)), ..self }
    }

    /// A text in which every command between backticks names what it is to work on, unless it does so already.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        let mut parts = text.split('`').map(str::to_owned).collect::<Vec<_>>();
        for code in parts.iter_mut().skip(1).step_by(2) {
            let Some((before, line)) = code.split_once(COMMAND) else { continue };
            let has = |flags: &[&str]| line.split(' ').any(|word| flags.contains(&word));
            let verb = line.split(' ').next().unwrap_or_default();
            // A target may name its package itself.
            let of_package = matches!(verb, "upgrade" | "downgrade") && line.split(' ').any(|word| word.contains('/'));
            let said = of_package || has(&["-p", "--workspace", "--migrations", "--name"]);
            let package = if said { "" } else { &self.package };
            let on_files = WITHOUT_DATABASE.contains(&verb) && !has(&["--capture", "--baseline"]);
            let database = if has(&["-d"]) || on_files { "" } else { &self.database };
            *code = format!("{before}{COMMAND}{}{package}{database}{line}", self.manifest);
        }
        parts.join("`")
    }

    /// Whether a text with commands has a mask in the place of a password.
    #[must_use]
    pub fn is_masked(&self, named: &str) -> bool {
        self.database.contains("***") && named.contains(&self.database)
    }

    /// A problem whose ways out are [`Chosen::named`].
    #[must_use]
    pub fn in_problem(&self, problem: &Problem) -> Problem {
        problem.clone().map_help(|help| self.named(help))
    }
}

/// A word as a shell reads it back.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,?".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

/// What names packages. A shell that finds a file for a pattern would put that in its place.
fn spec(text: &str) -> String {
    if is_glob(text) { quoted(text) } else { word(text) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen() -> Chosen {
        Chosen {
            manifest: "--manifest-path a/Cargo.toml ".to_owned(),
            package: "-p shop ".to_owned(),
            database: "-d prod ".to_owned(),
        }
    }

    #[test]
    fn a_password_on_the_command_line_is_not_said_again() {
        for (typed, said) in [
            ("postgres://u:s3c@ret@h/db", "postgres://u:***@h/db"),
            ("postgres://h/db?password=s3c&user=u", "postgres://h/db?password=***&user=u"),
            ("postgres:///db", "postgres:///db"),
            ("postgres://ro@/x", "postgres://ro@/x"),
            ("postgres://dep:pw@h/x", "postgres://dep:***@h/x"),
            ("postgres://dep:a-long-one@h/x?sslpassword=k", "postgres://dep:***@h/x?sslpassword=***"),
            ("sqlite:me@home.db", "sqlite:me@home.db"),
        ] {
            assert_eq!(without_password(typed), said);
        }
    }

    #[test]
    fn a_suggested_command_names_what_it_works_on() {
        let named = |text: &str| chosen().named(text);
        assert_eq!(
            named("go back: `cargo migrate downgrade -1`, or `x`"),
            "go back: `cargo migrate --manifest-path a/Cargo.toml -p shop -d prod downgrade -1`, or `x`"
        );
        assert_eq!(named("`cargo migrate lock`"), "`cargo migrate --manifest-path a/Cargo.toml -p shop lock`");
        assert_eq!(named("cargo migrate lock"), "cargo migrate lock");
        assert_eq!(Chosen::default().named("`cargo migrate up` `"), "`cargo migrate up` `");
    }

    #[test]
    fn a_command_that_names_it_already_is_left_alone() {
        let named = |text: &str| chosen().named(text);
        assert_eq!(
            named("`cargo migrate upgrade q1 -p queue`"),
            "`cargo migrate --manifest-path a/Cargo.toml -d prod upgrade q1 -p queue`"
        );
        assert_eq!(
            named("`cargo migrate -d dev delete a`"),
            "`cargo migrate --manifest-path a/Cargo.toml -p shop -d dev delete a`"
        );
    }

    /// What `line` suggests instead of `command`.
    fn suggested(line: &[&str], command: &str) -> String {
        let line = ["cargo-migrate"].iter().chain(line).map(std::ffi::OsString::from);
        let context = Context::new("/", std::collections::BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
        Chosen::of(&crate::args::parse(line).unwrap().global, &context).named(command)
    }

    #[test]
    fn several_packages_are_named_as_they_were_typed() {
        let named = suggested(&["status", "-p", "shop", "-p", "queue-*"], "`cargo migrate upgrade`");
        assert_eq!(named, "`cargo migrate -p shop -p 'queue-*' upgrade`");
        let line = ["--workspace", "check", "--exclude", "old", "--exclude", "sho?"];
        assert_eq!(
            suggested(&line, "`cargo migrate upgrade`"),
            "`cargo migrate --workspace --exclude old --exclude 'sho?' upgrade`"
        );
        assert_eq!(suggested(&line, "`cargo migrate lock -p shop`"), "`cargo migrate lock -p shop`");
        assert_eq!(
            suggested(&["status", "-p", "shop"], "`cargo migrate upgrade --workspace`"),
            "`cargo migrate upgrade --workspace`"
        );
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(word("sqlite:a/b.db?mode=ro"), "sqlite:a/b.db?mode=ro");
        assert_eq!(word("sqlite:my db"), "'sqlite:my db'");
        assert_eq!(word("it's"), "'it'\\''s'");
    }
}
