//! A SQLite file whose content is replaced: what it has is kept first, and nobody commits anything in between.

use std::time::Duration;

use build_support::problem::Problem;
use rusqlite::Connection;

use super::restore::{NOT_RESTORED, of_target};
use super::{Content, Made, Why};
use crate::app::{App, Opened};
use crate::copying::{self, CopyError, Step};
use crate::failure::Result;
use crate::live;
use crate::project::Database;

/// How often what is replaced is kept anew because somebody has written to it since.
const MOST_BACKUPS: u32 = 5;

/// The file, open for being replaced.
pub(super) struct Target<'a> {
    app: App<'a>,
    opened: &'a Opened,
    database: &'a Database,
    connection: Connection,
    /// What sees whether others commit. With a write-ahead log it is a connection of its own, which can read while the
    /// other one writes; a rollback journal lets nobody read then, and its lock is had before the copy begins.
    watcher: Option<Connection>,
    /// Whether the log has to go for a moment: it takes pages of its own size alone.
    without_log: bool,
    /// What the watcher saw when the last backup was begun.
    version: i64,
    backups: u32,
}

impl<'a> Target<'a> {
    /// Opens it for a backup with this content.
    pub(super) fn open(app: App<'a>, opened: &'a Opened, database: &'a Database, content: &Content) -> Result<Self> {
        let connection = live::file::open_for_writing(database, false)?;
        let failed = |error: rusqlite::Error| of_target(database, error.into());
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
        let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let has_log = mode == "wal";
        let without_log = has_log && u64::try_from(page_size).ok() != Some(content.page_size);
        let watcher = if has_log && !without_log { live::file::open_for_reading(database, opened.wait)? } else { None };
        Ok(Self { app, opened, database, connection, watcher, without_log, version: 0, backups: 0 })
    }

    /// Makes the backup of what is replaced. There is nothing to keep of an empty file.
    pub(super) fn keep(&mut self) -> Result<Option<Made>> {
        if self.backups == MOST_BACKUPS {
            return Err(Problem::new(NOT_RESTORED, format!("somebody keeps writing to {}", self.database))
                .note("whatever is replaced is kept first, and it was another one each time")
                .help("stop the programs that write to it, and run the command again")
                .into());
        }
        self.backups += 1;
        self.version = self.data_version().map_err(|error| self.failed(error))?;
        let count = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        if count.map_err(|error| self.failed(error))? == 0 {
            return Ok(None);
        }
        super::make(self.app, self.opened, self.database, Why::Automatic, None).map(Some)
    }

    /// Puts a backup in the place of the content, if that is still what was kept; gives whether it is.
    pub(super) fn replace(&mut self, source: &Connection) -> Result<bool> {
        if self.without_log {
            // Nobody else may have it open for that.
            self.set_journal("DELETE", self.opened.wait).map_err(|error| of_target(self.database, error))?;
        }
        let done = self.replace_locked(source);
        if self.without_log && self.set_journal("WAL", Duration::ZERO).is_err() {
            let database = self.database;
            self.app
                .shell
                .warning(format!("{database} has no write-ahead log any more: somebody has opened it meanwhile"));
        }
        done.map_err(|error| of_target(self.database, error))
    }

    fn replace_locked(&mut self, source: &Connection) -> std::result::Result<bool, CopyError> {
        let Self { app, opened, database, connection, watcher, version, .. } = self;
        let mut watch = super::watched(*app, database);
        if let Some(watcher) = watcher {
            let holds = &mut || Ok(data_version(watcher)? == *version);
            return copying::into_if(source, connection, opened.wait, &mut watch, holds);
        }
        if !hold(connection, *version, opened.wait, &mut watch)? {
            return Ok(false);
        }
        copying::into(source, connection, Duration::ZERO, &mut watch)?;
        Ok(true)
    }

    fn data_version(&self) -> rusqlite::Result<i64> {
        data_version(self.watcher.as_ref().unwrap_or(&self.connection))
    }

    /// Switches the journal, which waits for whoever has the file open.
    fn set_journal(&self, mode: &str, wait: Duration) -> std::result::Result<(), CopyError> {
        let mut watch = super::watched(self.app, self.database);
        copying::patiently(wait, &mut watch, &mut || Ok(set(&self.connection, "journal_mode", mode)?))
    }

    fn failed(&self, error: rusqlite::Error) -> crate::failure::Failure {
        of_target(self.database, error.into())
    }
}

/// Locks a file with a rollback journal until it is read or written by this connection, if nobody has committed since this
/// version; gives whether it is so.
///
/// In the exclusive mode a lock outlives the transaction that has taken it, and when that mode is left the file is let go
/// with the next access to it (<https://www.sqlite.org/pragma.html#pragma_locking_mode>).
fn hold(
    connection: &Connection,
    version: i64,
    wait: Duration,
    watch: &mut dyn FnMut(Step),
) -> std::result::Result<bool, CopyError> {
    copying::patiently(wait, watch, &mut || Ok(Some(connection.execute_batch("BEGIN EXCLUSIVE")?)))?;
    if data_version(connection)? != version {
        connection.execute_batch("ROLLBACK")?;
        return Ok(false);
    }
    set(connection, "locking_mode", "EXCLUSIVE")?;
    connection.execute_batch("COMMIT")?;
    set(connection, "locking_mode", "NORMAL")?;
    Ok(true)
}

/// Changes when another connection commits (<https://www.sqlite.org/pragma.html#pragma_data_version>).
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Sets a mode; gives nothing where SQLite has kept another one.
fn set(connection: &Connection, pragma: &str, mode: &str) -> rusqlite::Result<Option<()>> {
    let now: String = connection.pragma_update_and_check(None, pragma, mode, |row| row.get(0))?;
    Ok(now.eq_ignore_ascii_case(mode).then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_in_between_the_look_and_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let connection = live::file::open_file(&folder.path().join(name)).unwrap();
            connection.busy_timeout(Duration::ZERO).unwrap();
            connection
        };
        let (mut target, other, backup) = (open("app.db"), open("app.db"), open("backup.db"));
        backup.execute_batch("CREATE TABLE restored (x)").unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        let version = data_version(&target).unwrap();

        other.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert!(!hold(&target, version, Duration::ZERO, &mut |_| ()).unwrap(), "somebody has committed");
        other.execute_batch("INSERT INTO t VALUES (2)").unwrap();

        let version = data_version(&target).unwrap();
        assert!(hold(&target, version, Duration::ZERO, &mut |_| ()).unwrap());
        assert!(other.execute_batch("INSERT INTO t VALUES (3)").is_err(), "the file is locked");
        assert!(other.prepare("SELECT * FROM t").and_then(|mut rows| rows.exists([])).is_err());
        copying::into(&backup, &mut target, Duration::ZERO, &mut |_| ()).unwrap();
        other.execute_batch("INSERT INTO restored VALUES (3)").unwrap();
        // Nothing is left beside it.
        drop((target, other, backup));
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["app.db", "backup.db"]);
    }
}
