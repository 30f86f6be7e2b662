//! SQLite: the version table, the hash of a schema, the foreign keys that a run must not break, and the rows that stand
//! in a statement's way.

mod foreign_keys;
mod offending_rows;
mod one_statement;
mod version_table;

use std::fmt;
use std::ops::ControlFlow;

use build_support::checksum::Digest;

use crate::connection::{Connection, DatabaseError, Value};

pub use self::foreign_keys::{MOST_VIOLATIONS, Violation, Violations};
pub(crate) use self::offending_rows::offending_rows;
pub(crate) use self::one_statement::one_statement;
pub(crate) use self::version_table::{COLUMNS, create_table_text, state_text, values};
#[cfg(feature = "postgres")]
pub(crate) use self::version_table::{INTEGERS, read_row};
pub use self::version_table::{Newest, create_table_sql};

/// Why the version table could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The database refused.
    Database(DatabaseError),
    /// A row holds what this tool does not write; the text says which row and what.
    Damaged(String),
    /// A row that was to be changed is not there; the text says which.
    Gone(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Damaged(what) | Self::Gone(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Database(error) = self { Some(error) } else { None }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// A database and its version table.
pub struct Store<'c> {
    connection: &'c mut dyn Connection,
    table: String,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl<'c> Store<'c> {
    /// A version table of this name in the database's main schema.
    #[must_use]
    pub fn new(connection: &'c mut dyn Connection, table: impl Into<String>) -> Self {
        Self { connection, table: table.into() }
    }

    /// The connection, for the run's own statements.
    pub fn connection(&mut self) -> &mut dyn Connection {
        self.connection
    }

    /// The hash of the schema as it stands, without SQLite's own tables and the version table.
    ///
    /// # Errors
    /// What the database says.
    pub fn schema_hash(&mut self) -> Result<String, StoreError> {
        let sql = "SELECT type, name, tbl_name, sql FROM main.sqlite_master \
            WHERE lower(substr(name, 1, 7)) <> 'sqlite_' AND tbl_name <> ?1 COLLATE NOCASE ORDER BY type, name";
        let mut digest = Digest::new("cargo-migrate schema 1");
        self.connection.query(sql, &[self.table.as_str().into()], &mut |row| {
            for value in row {
                digest.part(value.as_str().unwrap_or_default().as_bytes());
            }
            ControlFlow::Continue(())
        })?;
        Ok(format!("schema:{}", digest.finish()))
    }

    fn name(&self) -> String {
        format!("main.{}", quoted(&self.table))
    }

    fn rows(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, DatabaseError> {
        let mut rows = Vec::new();
        self.connection.query(sql, params, &mut |row| {
            rows.push(row.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

fn text(row: &[Value], at: usize) -> String {
    row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    pub(super) fn open(sql: &str) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }
}
