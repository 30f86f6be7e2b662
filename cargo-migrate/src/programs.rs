//! PostgreSQL's own programs, which know best how its databases are read and written: found, and run without a password
//! on their command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::server::ServerUrl;

use crate::context::Context;
use crate::live::server::NAME;

/// A program is not there, or cannot do what is asked of this server.
pub const MISSING: Code = Code("missing-program");

/// How much is kept of what a program says.
const MOST_WORDS: u64 = 8 * 1024;

/// The variables that would lead a program elsewhere than the URL does, and those that would give its words another
/// language than they are read in.
const ELSEWHERE: [&str; 9] = [
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "LC_ALL",
    "LANGUAGE",
    "PG_COLOR",
];

/// The programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    major: u32,
}

impl Programs {
    /// The programs that fit a server of this major version: those of its own, else the next newer ones. They are looked
    /// for on PATH, where `pg_config` says, and where Debian has them.
    ///
    /// # Errors
    /// [`MISSING`] where there are none, or older ones alone, which do not understand the server.
    pub fn of(context: &Context, server: u32) -> Result<Self, Problem> {
        let found: Vec<Self> = folders(context).iter().filter_map(|folder| Self::of_folder(folder)).collect();
        let newest = found.iter().map(|programs| programs.major).max();
        // Of several of one version the first one found.
        let fitting = found.into_iter().filter(|programs| programs.major >= server).min_by_key(|it| it.major);
        fitting.ok_or_else(|| {
            let why = match newest {
                Some(newest) => format!("`pg_dump` is of PostgreSQL {newest}, and the server is of {server}"),
                None => "`pg_dump` and `pg_restore` are not there".to_owned(),
            };
            Problem::new(MISSING, why)
                .note("they are looked for on PATH, where `pg_config --bindir` says, and in /usr/lib/postgresql")
                .help(format!(
                    "install the client programs of PostgreSQL {server} or newer: `postgresql-client-{server}` on Debian \
                     and Ubuntu, `postgresql` of Homebrew, `postgresql{server}` on Fedora and Alpine"
                ))
        })
    }

    fn of_folder(folder: &Path) -> Option<Self> {
        if !is_there(folder, "pg_restore") || !is_there(folder, "pg_dump") {
            return None;
        }
        let told = Command::new(folder.join("pg_dump")).arg("--version").stdin(Stdio::null()).output().ok()?;
        let major = major(&String::from_utf8_lossy(&told.stdout))?;
        Some(Self { folder: folder.to_owned(), major })
    }

    /// A program on a database. Its words are in English.
    #[must_use]
    pub fn command(&self, program: &str, server: &ServerUrl) -> Command {
        let mut command = Command::new(self.folder.join(program));
        for name in ELSEWHERE {
            command.env_remove(name);
        }
        command.env("LC_MESSAGES", "C").env("PGAPPNAME", NAME).env("PGCLIENTENCODING", "UTF8");
        command.envs(server.variables());
        // It is never asked for: what is known of it is in the variables.
        command.arg("--no-password").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

fn is_there(folder: &Path, program: &str) -> bool {
    folder.join(format!("{program}{}", std::env::consts::EXE_SUFFIX)).is_file()
}

fn folders(context: &Context) -> Vec<PathBuf> {
    let on_path = context.variable("PATH").map(std::env::split_paths);
    let mut folders: Vec<PathBuf> = on_path.into_iter().flatten().filter(|folder| folder.is_absolute()).collect();
    let config = folders.iter().find(|folder| is_there(folder, "pg_config"));
    let told = config
        .and_then(|folder| Command::new(folder.join("pg_config")).arg("--bindir").stdin(Stdio::null()).output().ok());
    folders.extend(told.map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim())));
    let debian = std::fs::read_dir("/usr/lib/postgresql");
    folders.extend(debian.into_iter().flatten().flatten().map(|entry| entry.path().join("bin")));
    folders
}

/// The major version in `pg_dump (PostgreSQL) 15.4 (Debian …)`.
fn major(told: &str) -> Option<u32> {
    let version = told.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The beginning of what a program says; the rest is read and dropped, so that it never waits for a reader.
#[must_use]
pub fn words(from: Option<impl Read>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut words = Vec::new();
    // What cannot be read is as good as not said.
    let _ = from.by_ref().take(MOST_WORDS).read_to_end(&mut words);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    String::from_utf8_lossy(&words).into_owned()
}

/// What a program has said, as notes of a problem: line by line, without what could drive a terminal.
#[must_use]
pub fn noted(problem: Problem, words: &str) -> Problem {
    const LINES: usize = 12;
    let lines = words.lines().filter(|line| !line.trim().is_empty()).take(LINES);
    lines.fold(problem, |problem, line| problem.note(printable(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_each_distribution_says() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.4 (Debian 15.4-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("pg_dump: something else"), None);
    }

    #[test]
    fn a_server_that_no_program_here_understands_is_told_with_what_to_install() {
        let context = Context::new("/", std::collections::BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
        let problem = Programs::of(&context, 9_999).unwrap_err();
        assert_eq!(problem.code(), MISSING);
        assert!(problem.message().starts_with("`pg_dump`"), "{problem:?}");
        assert!(format!("{problem:?}").contains("postgresql-client-9999"), "{problem:?}");
    }

    #[test]
    fn of_endless_words_the_beginning_is_kept() {
        let endless = std::io::repeat(b'x').take(MOST_WORDS * 3);
        assert_eq!(words(Some(endless)).len() as u64, MOST_WORDS);
    }
}
