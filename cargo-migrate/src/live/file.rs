//! SQLite files as they are: opening them, for reading without a trace or for a run.

use std::io;
use std::path::Path;
use std::time::Duration;

use build_support::problem::{Code, Problem};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::runner::database_problem;
use rusqlite::{Connection, OpenFlags};

use crate::copying::{self, CopyError};
use crate::failure::{Failure, Result};
use crate::project::Database;
use crate::project::database::SqliteMode;

/// There is no database file.
pub const NO_DATABASE_FILE: Code = Code("no-database-file");

/// What is asked is done on databases of another kind alone.
pub const UNSUPPORTED: Code = Code("unsupported-database");

/// How long a reader waits at least for a writer that is committing.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest wait that SQLite is asked for; it counts milliseconds in 31 bits.
const LONGEST_PATIENCE: Duration = Duration::from_secs(86_400);

/// Opens a database for reading alone, and waits so long for one that is locked. `None` where its file is not there:
/// reading never creates.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn open_for_reading(database: &Database, wait: Duration) -> Result<Option<Connection>> {
    if !exists(database)? {
        return Ok(None);
    }
    // The first read tells whether a killed process has left a journal: what it had written must be taken back before
    // anybody can read, and a connection that may only read cannot do that.
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_ONLY, wait)?;
    match look(&connection) {
        Ok(()) => return Ok(Some(connection)),
        Err(error) if !needs_recovery(&error) => return Err(refused(database, error)),
        Err(_) if database.url.mode() == Some(SqliteMode::ReadOnly) => {
            let problem = Problem::new(
                Code("database"),
                format!("a process that was killed has left {database} in the middle of a write"),
            )
            .in_file(path(database)?)
            .note("the next one that may write takes back what was not committed")
            .help("leave `?mode=ro` out of its URL");
            return Err(problem.into());
        }
        Err(_) => drop(connection),
    }
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE, wait)?;
    look(&connection)
        .and_then(|()| connection.pragma_update(None, "query_only", true))
        .map_err(|error| refused(database, error))?;
    Ok(Some(connection))
}

/// Reads the schema, which is the least that SQLite has to look into the file for.
fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM main.sqlite_master", [], |_| Ok(()))
}

/// Whether a read failed because a journal or a log has to be played back by somebody who may write
/// (<https://www.sqlite.org/rescode.html>: `SQLITE_READONLY_ROLLBACK`, `SQLITE_READONLY_RECOVERY`).
fn needs_recovery(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK | rusqlite::ffi::SQLITE_READONLY_RECOVERY))
}

/// Opens a database for a run. Where its file is not there it is made only if `create` says so.
///
/// # Errors
/// A file that is not there or cannot be opened.
pub fn open_for_writing(database: &Database, create: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    if !exists(database)? {
        if !create {
            let problem = Problem::new(NO_DATABASE_FILE, format!("there is no database file for {database}"))
                .in_file(path(database)?)
                .help("see that the URL names the right file; `upgrade --create` makes a new one");
            return Err(problem.into());
        }
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    if database.url.mode() == Some(SqliteMode::ReadOnly) {
        let problem =
            Problem::new(Code("database"), format!("{database} was given with `mode=ro`, so it is only read"))
                .help("leave `?mode=ro` out of its URL");
        return Err(problem.into());
    }
    // The runner waits and tries again by itself.
    open(database, flags, PATIENCE)
}

/// A database in memory, thrown away after use.
///
/// # Errors
/// None in practice.
pub fn in_memory() -> Result<Connection> {
    Connection::open_in_memory().map_err(|error| Problem::new(Code("database"), error.to_string()).into())
}

/// Copies a database as it is at one moment, by SQLite's online backup, into a temporary file that only its owner can
/// read and that is removed with the value. Waits so long for a process that holds the database locked.
///
/// # Errors
/// A database that is locked for longer or cannot be read, or no room for the copy.
pub fn copy(database: &Database, wait: Duration) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new().map_err(|error| not_copied(database, &error))?;
    copy_into(database, file.path(), wait)?;
    Ok(file)
}

/// Opens a file that this process has just made and that counts for nothing until it is whole: there is no way back in
/// it, and it is not waited for the disk.
///
/// # Errors
/// A file that cannot be opened.
pub fn open_new(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

/// Opens a file that nobody writes to, such as a backup: nothing is made beside it, whatever its journal is, and it may
/// lie where nobody can write (<https://www.sqlite.org/c3ref/open.html>: `immutable`).
///
/// # Errors
/// A file that cannot be opened.
pub fn open_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            // On Windows an absolute path starts with its drive, and SQLite wants a slash before it.
            b'\\' if cfg!(windows) => uri.push('/'),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if cfg!(windows) && path.is_absolute() {
        uri.insert(5, '/');
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}

/// The same into a file that is there and empty.
///
/// # Errors
/// As [`copy`].
pub fn copy_into(database: &Database, file: &Path, wait: Duration) -> Result<()> {
    let Some(mut source) = open_for_reading(database, wait)? else { return Ok(()) };
    let mut target = open_new(file).map_err(|error| not_copied(database, &error))?;
    match copying::out(&mut source, &mut target, &mut |_| (), |_| ()) {
        Ok(()) => Ok(()),
        Err(CopyError::Busy) => Err(busy(database)),
        Err(CopyError::Database(error)) => Err(not_copied(database, &error)),
    }
}

fn not_copied(database: &Database, what: &dyn std::fmt::Display) -> Failure {
    Problem::new(Code("database"), format!("{database} cannot be copied: {what}"))
        .help("see that there is room for a copy of it")
        .into()
}

/// Opens a SQLite file that this process has made.
///
/// # Errors
/// A file that cannot be opened.
pub fn open_file(path: &Path) -> Result<Connection> {
    Connection::open(path).map_err(|error| Problem::new(Code("database"), error.to_string()).in_file(path).into())
}

/// The file of a database.
///
/// # Errors
/// [`UNSUPPORTED`] of a server's database.
pub fn path(database: &Database) -> Result<&Path> {
    database.url.file().ok_or_else(|| {
        Problem::new(
            UNSUPPORTED,
            format!("{database} is on a PostgreSQL server, and this is done for SQLite files alone"),
        )
        .help("what is done on a server stands in the guide: docs/postgres.md")
        .into()
    })
}

/// Whether a database's file is there.
///
/// # Errors
/// A path that leads to something else, or to nothing that can be looked at.
pub fn exists(database: &Database) -> Result<bool> {
    let path = path(database)?;
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => {
            let problem = Problem::new(Code("database"), format!("{database} is not a file")).in_file(path);
            Err(problem.help("see that the database's URL names its file: `sqlite:FILE`").into())
        }
        // A file where a folder should be is a missing folder, too.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                let problem = Problem::new(NO_DATABASE_FILE, format!("the folder of {database} is not there"))
                    .in_file(parent)
                    .help("make the folder, or mend the database's URL");
                return Err(problem.into());
            }
            Ok(false)
        }
        Err(error) => {
            let problem = Problem::new(Code("database"), format!("cannot look at {database}: {error}")).in_file(path);
            Err(problem.help("see that the path is right and that you may read what it leads to").into())
        }
    }
}

fn open(database: &Database, flags: OpenFlags, wait: Duration) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path(database)?, flags).map_err(|error| refused(database, error))?;
    connection.busy_timeout(wait.clamp(PATIENCE, LONGEST_PATIENCE)).map_err(|error| refused(database, error))?;
    Ok(connection)
}

/// The refusal where another process holds a database locked for longer than there was time to wait.
#[must_use]
pub fn busy(database: &Database) -> Failure {
    let error = DatabaseError::new(ErrorKind::Busy, "database is locked");
    database.blamed(database_problem(&error)).into()
}

/// What SQLite says of a file that it could not open or read.
fn refused(database: &Database, error: rusqlite::Error) -> Failure {
    database.blamed(database_problem(&DatabaseError::from(error))).into()
}
