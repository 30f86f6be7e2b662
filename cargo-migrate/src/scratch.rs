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
    let connection = live::file::in_memory()?;
    connection.execute_batch("PRAGMA foreign_keys = OFF").map_err(failed)?;
    Ok(connection)
}

/// A scratch database with the schema of another one and without its rows.
///
/// # Errors
/// A schema that SQLite does not take a second time.
pub fn empty_like(source: &Connection) -> Result<Connection> {
    let scratch = empty()?;
    let mut statement = source
        .prepare(
            "SELECT sql FROM main.sqlite_master WHERE sql IS NOT NULL AND lower(substr(name, 1, 7)) <> 'sqlite_' \
             AND NOT (type = 'table' AND name IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')) \
             ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid",
        )
        .map_err(failed)?;
    let statements: Vec<String> =
        statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?;
    scratch.execute_batch("BEGIN").map_err(failed)?;
    for sql in statements {
        scratch.execute_batch(&sql).map_err(failed)?;
    }
    scratch.execute_batch("COMMIT").map_err(failed)?;
    Ok(scratch)
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
