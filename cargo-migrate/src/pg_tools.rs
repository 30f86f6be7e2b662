//! PostgreSQL's own programs: where they are, which of them fits a server, and how they are run.
//!
//! A program is told of its server by its environment alone, so that no password stands in a list of processes.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::failed;
use migrate_runtime::server::{ServerUrl, inherited_variables};
use postgres::{Client, SimpleQueryMessage};

use crate::context::Context;

/// PostgreSQL's programs are not installed, or are older than the server.
pub const MISSING: Code = Code("no-postgres-tools");
/// One of PostgreSQL's programs has failed.
pub const FAILED: Code = Code("postgres-tool-failed");

/// Where Debian and what comes from it have the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What of the environment changes what a program does, besides what leads it to its server.
const MISLEADING: [&str; 6] = ["PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLUSTER", "PSQLRC"];

/// How much of what a program says is kept, in bytes.
const MOST_SAID: u64 = 8 << 10;
/// How many lines of it a message shows.
const MOST_LINES: usize = 6;
/// How long each of them may be, in characters.
const LONGEST_LINE: usize = 300;

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `pg_dump`
    Dump,
    /// `pg_restore`
    Restore,
    /// `psql`
    Psql,
}

impl Program {
    const ALL: [Self; 3] = [Self::Dump, Self::Restore, Self::Psql];

    fn file(self) -> String {
        let ending = if cfg!(windows) { ".exe" } else { "" };
        format!("{self}{ending}")
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dump => "pg_dump",
            Self::Restore => "pg_restore",
            Self::Psql => "psql",
        })
    }
}

/// A version: PostgreSQL's major one and, from 10 on, the minor one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// What has to be as new as the server's.
    pub major: u32,
    /// What mends errors.
    pub minor: u32,
}

impl Version {
    /// Reads what `pg_dump --version` says: `pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
    fn told(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("(PostgreSQL)")?;
        let number = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            text[..end].parse().ok()
        };
        let rest = rest.trim_start();
        // A version to come has a name instead: `19devel`.
        let minor = rest.split_once('.').and_then(|(_, minor)| number(minor)).unwrap_or(0);
        Some(Self { major: number(rest)?, minor })
    }

    /// The version of a server.
    ///
    /// # Errors
    /// What the server says.
    pub fn of_server(client: &mut Client) -> Result<Self, DatabaseError> {
        const SQL: &str = "SHOW server_version_num";
        let messages = client.simple_query(SQL).map_err(|error| failed(&error, SQL))?;
        let number = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse::<u32>().ok()),
            _ => None,
        });
        let number = number.unwrap_or_default();
        Ok(Self { major: number / 10_000, minor: number % 10_000 })
    }
}

impl Version {
    /// The argument by which `pg_restore` writes the same script each time, where it would put a key of its own in it:
    /// since the versions that mend CVE-2025-8714.
    #[must_use]
    pub fn fixed_key(self) -> Option<&'static str> {
        let since = match self.major {
            0..=12 => return None,
            13 => 22,
            14 => 19,
            15 => 14,
            16 => 10,
            17 => 6,
            _ => 0,
        };
        (self.minor >= since).then_some("--restrict-key=same")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The programs of one installation.
#[derive(Clone, Debug)]
pub struct PgTools {
    folder: PathBuf,
    version: Version,
}

impl PgTools {
    /// The programs that are found first: on `PATH`, where `pg_config` says, or the newest that Debian has. Those that are
    /// older than the server that is named are passed over, since `pg_dump` refuses what it does not know.
    ///
    /// # Errors
    /// [`MISSING`]
    pub fn find(context: &Context, server: Option<Version>) -> Result<Self, Problem> {
        let whole = |folder: &PathBuf| Program::ALL.iter().all(|program| folder.join(program.file()).is_file());
        let found = folders(context).filter(whole).filter_map(|folder| Some((version_in(&folder)?, folder)));
        Self::chosen(found, server)
    }

    /// The first that is not older than the server.
    fn chosen(found: impl Iterator<Item = (Version, PathBuf)>, server: Option<Version>) -> Result<Self, Problem> {
        let mut older: Option<Version> = None;
        for (version, folder) in found {
            if server.is_none_or(|server| version.major >= server.major) {
                return Ok(Self { folder, version });
            }
            older = older.max(Some(version));
        }
        let wanted = server.map_or_else(|| "client".to_owned(), |server| format!("client-{}", server.major));
        let problem = match (older, server) {
            (Some(older), Some(server)) => Problem::new(
                MISSING,
                format!("`pg_dump` is of PostgreSQL {older}, and the server is of {server}: it would refuse it"),
            ),
            _ => Problem::new(MISSING, "`pg_dump`, `pg_restore` and `psql` are not found"),
        };
        Err(problem
            .note("looked on `PATH`, where `pg_config --bindir` says, and below /usr/lib/postgresql")
            .help(format!(
                "install PostgreSQL's client programs: `apt install postgresql-{wanted}`, `brew install libpq`"
            ))
            .help("or put their folder into `PATH`"))
    }

    /// The version of the programs.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// A program that reads nothing and whose output is dropped, unless its caller says otherwise. With a server its
    /// environment leads there, the password included; nothing of it stands among its arguments.
    #[must_use]
    pub fn command(&self, program: Program, server: Option<&ServerUrl>) -> Command {
        let mut command = Command::new(self.folder.join(program.file()));
        for name in inherited_variables().chain(MISLEADING) {
            command.env_remove(name);
        }
        // What it says is read as English below.
        command.env("LC_ALL", "C").envs(server.map(ServerUrl::variables).unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if server.is_some() {
            command.arg("--no-password");
        }
        command
    }

    /// Starts a command of [`PgTools::command`].
    ///
    /// # Errors
    /// [`FAILED`]
    pub fn start(program: Program, mut command: Command) -> Result<Running, Problem> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Problem::new(FAILED, format!("`{program}` cannot be started: {error}")))?;
        let said = child.stderr.take().map(|stderr| std::thread::spawn(move || beginning(stderr)));
        Ok(Running { program, child, said })
    }

    /// Runs a command of [`PgTools::command`] to its end.
    ///
    /// # Errors
    /// [`FAILED`], with what it said.
    pub fn run(program: Program, command: Command) -> Result<(), Problem> {
        Self::start(program, command)?.finish()
    }
}

/// Where the programs may be, in the order in which they are taken.
fn folders(context: &Context) -> impl Iterator<Item = PathBuf> {
    let asked = || {
        let told = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
        let folder = String::from_utf8(told.stdout).ok()?;
        Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
    };
    let debian = || {
        let entries = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort();
        versions.into_iter().rev().map(|(_, folder)| folder)
    };
    // Each is looked for only where the one before has led nowhere.
    let path = context.search_path().into_iter();
    path.chain(std::iter::once_with(asked).flatten()).chain(std::iter::once_with(debian).flatten())
}

fn version_in(folder: &Path) -> Option<Version> {
    let mut command = Command::new(folder.join(Program::Dump.file()));
    let told = command.arg("--version").stdin(Stdio::null()).output().ok()?;
    Version::told(&String::from_utf8_lossy(&told.stdout))
}

/// The beginning of what a program says; the rest is read, so that it is not held up, and dropped.
fn beginning(mut stderr: impl Read) -> String {
    let mut said = Vec::new();
    let _ = stderr.by_ref().take(MOST_SAID).read_to_end(&mut said);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

/// A program that runs. It is killed where it is not waited for.
#[derive(Debug)]
pub struct Running {
    program: Program,
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Running {
    /// What it reads, where its command said that it is piped.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What it writes, where its command said that it is piped.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`FAILED`], with what it said.
    pub fn finish(mut self) -> Result<(), Problem> {
        drop(self.child.stdin.take());
        let ended = self.child.wait();
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        let program = self.program;
        let why = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        Err(told(Problem::new(FAILED, format!("`{program}` has failed: {}", first(program, &said, &why))), &said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither does anything to one that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program said first that is an error, or how it has ended.
fn first(program: Program, said: &str, why: &str) -> String {
    let Some(line) = error_in(said) else { return why.to_owned() };
    let own = [format!("{program}: error: "), format!("{program}: ")];
    shown(own.iter().find_map(|own| line.strip_prefix(own.as_str())).unwrap_or(line))
}

/// The first line that says that it is an error, or the first of all.
fn error_in(said: &str) -> Option<&str> {
    let lines = || said.lines().filter(|line| !line.trim().is_empty());
    let is_error = |line: &&str| ["error:", "ERROR:", "FATAL:"].iter().any(|word| line.contains(word));
    lines().find(is_error).or_else(|| lines().next())
}

/// Adds the other lines.
fn told(problem: Problem, said: &str) -> Problem {
    let first = error_in(said);
    let lines = said.lines().filter(|line| !line.trim().is_empty() && first != Some(line)).take(MOST_LINES);
    lines.fold(problem, |problem, line| problem.note(shown(line)))
}

fn shown(line: &str) -> String {
    let line = printable(line.trim());
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_each_installation_tells_it() {
        let version = |major, minor| Some(Version { major, minor });
        for (told, expected) in [
            ("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", version(15, 14)),
            ("pg_dump (PostgreSQL) 9.6.24", version(9, 6)),
            ("pg_dump (PostgreSQL) 19devel", version(19, 0)),
            ("pg_dump (EnterpriseDB) 15", None),
            ("", None),
        ] {
            assert_eq!(Version::told(told), expected, "{told}");
        }
        assert!(version(9, 6) < version(15, 0));
    }

    #[test]
    fn programs_that_are_older_than_the_server_are_passed_over_and_refused_where_there_are_no_others() {
        let found =
            || [(9, 6), (15, 1), (17, 0)].map(|(major, minor)| (Version { major, minor }, format!("/{major}").into()));
        let chosen = |server: u32, count: usize| {
            PgTools::chosen(found().into_iter().take(count), Some(Version { major: server, minor: 9 }))
        };
        assert_eq!(chosen(15, 3).unwrap().folder, Path::new("/15"));
        assert_eq!(chosen(16, 3).unwrap().folder, Path::new("/17"));
        let older = chosen(16, 2).unwrap_err();
        assert_eq!(older.code(), MISSING);
        assert!(older.message().contains("15.1") && older.helps()[0].contains("postgresql-client-16"), "{older:?}");
        assert!(chosen(16, 0).unwrap_err().message().contains("not found"));
        assert_eq!(PgTools::chosen(found().into_iter(), None).unwrap().folder, Path::new("/9"));
    }

    #[test]
    fn what_a_program_says_is_bounded_and_holds_no_control_characters() {
        let said = format!("psql: error: it is \u{1b}[2Jso\n\n{}\nand more", "x".repeat(1000));
        assert_eq!(first(Program::Psql, &said, "exit status: 3"), printable("it is \u{1b}[2Jso"));
        let problem = told(Problem::new(FAILED, "x"), &said);
        assert_eq!(problem.notes().len(), 2);
        assert!(problem.notes()[0].chars().count() == LONGEST_LINE + 1);
        assert_eq!(first(Program::Dump, "", "signal: 9"), "signal: 9");
        let endless = std::io::repeat(b'a').take(10 * MOST_SAID);
        assert_eq!(beginning(endless).len() as u64, MOST_SAID);
    }
}
