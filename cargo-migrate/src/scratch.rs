//! Scratch databases: in memory, thrown away after use, on the SQLite that also applies.

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;

use crate::failure::Result;
use crate::introspect::failed;
use crate::live;

/// An empty database in memory, as the runner has it: foreign keys are not enforced.
///
/// # Errors
/// None in practice.
pub fn empty() -> Result<Connection> {
    let connection = live::in_memory()?;
    connection.execute_batch("PRAGMA foreign_keys = OFF").map_err(failed)?;
    Ok(connection)
}

/// A copy of a database in memory.
///
/// # Errors
/// None in practice.
pub fn copy(source: &Connection) -> Result<Connection> {
    let mut target = empty()?;
    let backup = Backup::new(source, &mut target).map_err(failed)?;
    backup.step(-1).map_err(failed)?;
    drop(backup);
    Ok(target)
}

/// Whether triggers run.
///
/// # Errors
/// None in practice.
pub fn set_triggers(connection: &Connection, on: bool) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).map_err(failed)?;
    Ok(())
}
