//! PostgreSQL's own programs: where they are, which of them fits a server, and how they are run.
//!
//! A program is told of its server by its environment alone, so that no password stands in a list of processes.

mod running;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use build_support::problem::{Code, Problem};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::quoted;
use migrate_runtime::server::{ServerUrl, inherited_variables};
use postgres::Client;

pub use self::running::{Ended, Running};
use crate::context::Context;
use crate::live::server::{NAME, patience, value};

/// PostgreSQL's programs are not installed, or are older than the server.
pub const MISSING: Code = Code("no-postgres-tools");
/// One of PostgreSQL's programs has failed.
pub const FAILED: Code = Code("postgres-tool-failed");

/// Where Debian and what comes from it have the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What of the environment changes what a program does, besides what leads it to its server.
const MISLEADING: [&str; 6] = ["PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLUSTER", "PSQLRC", "PG_COLOR"];

/// Those that belong together: an archive that one has written the other one reads.
const ARCHIVERS: &[Program] = &[Program::Dump, Program::Restore];

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
    fn file(self) -> String {
        format!("{self}{}", std::env::consts::EXE_SUFFIX)
    }

    fn is_in(self, folder: &Path) -> bool {
        folder.join(self.file()).is_file()
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
        let number = value(client, "SHOW server_version_num")?;
        Ok(Self::of_number(number.and_then(|number| number.parse().ok()).unwrap_or_default()))
    }

    /// What a server calls `150004`.
    fn of_number(number: u32) -> Self {
        Self { major: number / 10_000, minor: number % 10_000 }
    }

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
    /// Where `psql` is.
    psql: PathBuf,
}

impl PgTools {
    /// The programs that fit a server: those of its own major version, else of the next newer one, since what an older
    /// `pg_dump` does not know it refuses, and what a newer `pg_restore` says the server may refuse. Without a server the
    /// newest, which read the archives of all others.
    ///
    /// They are looked for on `PATH`, where `pg_config` says, and where Debian has them; of several of one major version
    /// the first ones are taken. `psql` is only there for certain behind [`PgTools::with_psql`].
    ///
    /// # Errors
    /// [`MISSING`]
    pub fn find(context: &Context, server: Option<Version>) -> Result<Self, Problem> {
        Self::chosen(installed(context, ARCHIVERS), server)
    }

    fn chosen(found: impl Iterator<Item = (Version, PathBuf)>, server: Option<Version>) -> Result<Self, Problem> {
        match fitting(found, server) {
            Ok((version, folder)) => Ok(Self { psql: folder.clone(), folder, version }),
            Err(Some((older, server))) => {
                let why =
                    format!("`pg_dump` is of PostgreSQL {older}, and the server is of {server}: it would refuse it");
                Err(missing(why, Some(server)))
            }
            Err(None) => Err(missing("`pg_dump` and `pg_restore` are not found".to_owned(), server)),
        }
    }

    /// The same with `psql`: the one beside them, else another one that understands what this `pg_restore` writes.
    ///
    /// # Errors
    /// [`MISSING`]
    pub fn with_psql(self, context: &Context) -> Result<Self, Problem> {
        if Program::Psql.is_in(&self.folder) {
            return Ok(self);
        }
        self.with_psql_of(installed(context, &[Program::Psql]))
    }

    fn with_psql_of(mut self, found: impl Iterator<Item = (Version, PathBuf)>) -> Result<Self, Problem> {
        // A script with a key can be read by those alone that know of such keys.
        let has_key = |version: Version| version.fixed_key().is_some();
        let own = self.version;
        match fitting(found.filter(|(version, _)| has_key(*version) || !has_key(own)), Some(own)) {
            Ok((_, folder)) => {
                self.psql = folder;
                Ok(self)
            }
            Err(_) => Err(missing(format!("no `psql` is found that would do beside `pg_restore` {own}"), Some(own))),
        }
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
        let folder = if program == Program::Psql { &self.psql } else { &self.folder };
        let mut command = Command::new(folder.join(program.file()));
        for name in inherited_variables().chain(MISLEADING) {
            command.env_remove(name);
        }
        // What it says is read as English below, and what it writes and reads as UTF-8.
        command.env("LC_ALL", "C").env("PGCLIENTENCODING", "UTF8").env("PGAPPNAME", NAME);
        command.envs(server.map(ServerUrl::variables).unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if server.is_some() {
            command.arg("--no-password");
        }
        command
    }

    /// A `pg_dump` that works as this role, where one is named, and waits so long for a table that somebody holds locked
    /// against readers.
    #[must_use]
    pub fn dump(&self, server: &ServerUrl, role: Option<&str>, wait: Duration) -> Command {
        let mut command = self.command(Program::Dump, Some(server));
        command.args(role.map(|role| format!("--role={role}")));
        command.arg(format!("--lock-wait-timeout={}", patience(wait)));
        command
    }

    /// Starts a command of [`PgTools::command`].
    ///
    /// # Errors
    /// [`FAILED`]
    pub fn start(program: Program, command: Command) -> Result<Running, Problem> {
        Running::start(program, command)
    }

    /// Runs a command of [`PgTools::command`] to its end.
    ///
    /// # Errors
    /// [`FAILED`], with what it said.
    pub fn run(program: Program, command: Command) -> Result<(), Problem> {
        Self::start(program, command)?.finish()
    }
}

/// Whether a program has said that somebody held a lock for longer than was waited. `pg_dump` waits for locks with the
/// timeout of statements, and none has such a timeout for anything else.
#[must_use]
pub fn is_lock_timeout(said: &str) -> bool {
    ["lock", "statement"].iter().any(|of| said.contains(&format!("canceling statement due to {of} timeout")))
}

/// What helps where `pg_dump` may not read all of a database, as this role or as the user.
#[must_use]
pub fn may_read_all(server: &ServerUrl, role: Option<&str>) -> String {
    let who = quoted(role.unwrap_or(server.user()));
    format!("the user has to be allowed to read all of it: `GRANT pg_read_all_data TO {who}`")
}

/// That programs are not there, with how to get them.
fn missing(why: String, wanted: Option<Version>) -> Problem {
    let (of, major) = match wanted {
        Some(Version { major, .. }) => (format!("{major} or newer"), major.to_string()),
        None => ("a version as new as the server's".to_owned(), String::new()),
    };
    let dash = if major.is_empty() { "" } else { "-" };
    Problem::new(MISSING, why)
        .note("they are looked for on `PATH`, where `pg_config --bindir` says, and below /usr/lib/postgresql")
        .help(format!(
            "install the client programs of PostgreSQL, {of}: `postgresql-client{dash}{major}` on Debian and Ubuntu, \
             `libpq` of Homebrew, `postgresql{major}` on Fedora and Alpine"
        ))
        .help("or put their folder into `PATH`")
}

/// Of what is found that of the wanted major version, else of the next newer one; where none is wanted, of the newest. Of
/// several of one major version it is the first. Where all are older, the newest of them and what was wanted.
fn fitting(
    found: impl Iterator<Item = (Version, PathBuf)>,
    wanted: Option<Version>,
) -> Result<(Version, PathBuf), Option<(Version, Version)>> {
    let mut best: Option<(Version, PathBuf)> = None;
    let mut older: Option<Version> = None;
    for (version, folder) in found {
        let is_better = match (wanted, &best) {
            // None that is found later is better.
            (Some(wanted), _) if version.major == wanted.major => return Ok((version, folder)),
            (Some(wanted), _) if version.major < wanted.major => {
                older = older.max(Some(version));
                false
            }
            (_, None) => true,
            (Some(_), Some((best, _))) => version.major < best.major,
            (None, Some((best, _))) => version.major > best.major,
        };
        if is_better {
            best = Some((version, folder));
        }
    }
    best.ok_or_else(|| older.zip(wanted))
}

/// The folders that have these programs, with the version that the first of them tells.
fn installed(context: &Context, programs: &'static [Program]) -> impl Iterator<Item = (Version, PathBuf)> {
    let is_whole = |folder: &PathBuf| programs.iter().all(|program| program.is_in(folder));
    folders(context).filter(is_whole).filter_map(|folder| Some((version_in(&folder, *programs.first()?)?, folder)))
}

/// Where the programs may be, each folder once, in the order in which they are taken.
fn folders(context: &Context) -> impl Iterator<Item = PathBuf> {
    // A relative one leads elsewhere in each project, and may hold what somebody else has written.
    let path: Vec<PathBuf> = context.search_path().into_iter().filter(|folder| folder.is_absolute()).collect();
    let name = format!("pg_config{}", std::env::consts::EXE_SUFFIX);
    let config = path.iter().map(|folder| folder.join(&name)).find(|file| file.is_file());
    let asked = move || {
        let told = Command::new(config?).arg("--bindir").stdin(Stdio::null()).output().ok()?;
        let folder = String::from_utf8(told.stdout).ok()?;
        Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
    };
    let debian = || {
        let entries = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("bin"))
    };
    // Each is looked for only where the one before has led nowhere.
    let all = path.into_iter().chain(std::iter::once_with(asked).flatten());
    let all = all.chain(std::iter::once_with(debian).flatten());
    let mut known = BTreeSet::new();
    all.filter(move |folder| folder.canonicalize().is_ok_and(|folder| known.insert(folder)))
}

fn version_in(folder: &Path, program: Program) -> Option<Version> {
    let told = Command::new(folder.join(program.file())).arg("--version").stdin(Stdio::null()).output().ok()?;
    Version::told(&String::from_utf8_lossy(&told.stdout))
}

#[cfg(test)]
mod tests;
