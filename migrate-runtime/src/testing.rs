//! Databases for an application's tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use build_support::problem::Problem;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::connection::DatabaseError;
use crate::migrations::{Error, Joined, Migrations};
use crate::migrator::Migrator;
use crate::runner::database_problem;

/// The migrated database of each set of migrations that this process has asked for, by where its texts lie.
static MADE: Mutex<BTreeMap<Vec<(usize, &'static str)>, Connection>> = Mutex::new(BTreeMap::new());

/// How many pages are copied at a time: all of them, since nobody else uses the database.
const ALL_PAGES: std::ffi::c_int = 1 << 20;

impl Migrations {
    /// A fresh database in memory with all migrations applied, for one test. It is made once in a process and copied for
    /// each call, so that a hundred tests do not migrate a hundred times.
    ///
    /// ```
    /// # use migrate_runtime::Migrations;
    /// # static MIGRATIONS: Migrations = Migrations::embedded("app", "migrations", &[("a1", "CREATE TABLE users (name);")], None);
    /// let (one, other) = (MIGRATIONS.test_database()?, MIGRATIONS.test_database()?);
    /// one.execute("INSERT INTO users VALUES ('Ada')", [])?;
    /// assert_eq!(other.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0))?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A migration that fails.
    pub fn test_database(&self) -> Result<Connection, Error> {
        copy_of(&[self], self.migrator())
    }
}

impl<const N: usize> Joined<N> {
    /// As [`Migrations::test_database`], with the migrations of all parts applied.
    ///
    /// # Errors
    /// A migration that fails.
    pub fn test_database(&self) -> Result<Connection, Error> {
        copy_of(self.parts(), self.migrator())
    }
}

fn copy_of(parts: &[&Migrations], migrator: Migrator<'_>) -> Result<Connection, Error> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let source = match made.entry(parts.iter().map(|part| (part.address(), part.package())).collect()) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => {
            let mut connection = Connection::open_in_memory().map_err(failed)?;
            migrator.upgrade(&mut connection)?;
            entry.insert(connection)
        }
    };
    let mut copy = Connection::open_in_memory().map_err(failed)?;
    Backup::new(source, &mut copy)
        .and_then(|backup| backup.run_to_completion(ALL_PAGES, Duration::ZERO, None))
        .map_err(failed)?;
    Ok(copy)
}

fn failed(error: rusqlite::Error) -> Problem {
    database_problem(&DatabaseError::from(error))
}
