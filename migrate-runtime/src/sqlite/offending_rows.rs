//! The rows that a failed statement could not take, in words.
//!
//! SQLite's message names the constraint (`UNIQUE constraint failed: users.name`), not the rows. Where the statement is
//! one that checks rows that are there already, they are asked for: while the run's transaction is still open, a scan
//! or two of the one table, and nothing of it stays. What cannot be found out for certain is left out.

mod asked;
mod changed;
mod copied;
mod shown;

use std::ops::ControlFlow;

use self::asked::Asked;
use self::changed::{Changed, Table, changed};
use self::copied::copied;
use super::{quoted, text};
use crate::connection::{Connection, DatabaseError, ErrorKind, Value};

/// The rows that stand in the way of a statement that has failed, a line each; none where none are known.
///
/// It leaves the database as it is. Only inside a transaction does it write, into a savepoint that it rolls back.
pub(crate) fn offending_rows(connection: &mut dyn Connection, statement: &str, error: &DatabaseError) -> Vec<String> {
    let message = error.message.as_str();
    // An INTEGER PRIMARY KEY's and a STRICT table's types: what these break is no constraint to every library.
    let types = message == "datatype mismatch" || message.starts_with("cannot store ");
    if error.kind != ErrorKind::Constraint && !types {
        return Vec::new();
    }
    let Some(changed) = changed(statement) else { return Vec::new() };
    let found = match changed {
        Changed::Index(index) => Asked::of_table(connection, &index.table).and_then(|mut asked| asked.alike(&index)),
        Changed::Check { table, check } => {
            Asked::of_table(connection, &table).and_then(|mut asked| asked.against(&check))
        }
        Changed::NotNull { table, column } => {
            Asked::of_table(connection, &table).and_then(|mut asked| asked.empty(&column))
        }
        Changed::Column { table, column, unchecked, checks, not_null } => rolled_back(connection, |connection| {
            // SQLite still takes the refused column for one of the table's, until it next reads a row.
            rows(connection, &format!("SELECT 1 FROM {} LIMIT 1", table.sql()), &[])?;
            connection.execute(&unchecked, &[]).ok()?;
            let mut asked = Asked::of_table(connection, &table)?;
            let found = checks.iter().find_map(|check| asked.against(check));
            if found.is_none() && not_null { asked.empty(&column) } else { found }
        }),
        Changed::Copy(copy) => rolled_back(connection, |connection| copied(connection, &copy, message)),
    };
    found.unwrap_or_default()
}

/// Does something inside the open transaction, and takes it back.
fn rolled_back<T>(connection: &mut dyn Connection, act: impl FnOnce(&mut dyn Connection) -> Option<T>) -> Option<T> {
    if !connection.in_transaction().ok()? {
        return None;
    }
    connection.execute("SAVEPOINT cargo_migrate_offending_rows", &[]).ok()?;
    let found = act(connection);
    connection.execute("ROLLBACK TO cargo_migrate_offending_rows", &[]).ok()?;
    connection.execute("RELEASE cargo_migrate_offending_rows", &[]).ok()?;
    found
}

/// A column as `PRAGMA table_xinfo` tells it (<https://www.sqlite.org/pragma.html#pragma_table_xinfo>).
struct Column {
    name: String,
    kind: String,
    /// Its place in the primary key, from 1; 0 where it is not part of it.
    key: i64,
    default: Option<String>,
    hidden: i64,
}

fn rows(connection: &mut dyn Connection, sql: &str, params: &[Value]) -> Option<Vec<Vec<Value>>> {
    let mut found = Vec::new();
    let each = &mut |row: &[Value]| {
        found.push(row.to_vec());
        ControlFlow::Continue(())
    };
    connection.query(sql, params, each).ok()?;
    Some(found)
}

impl Table {
    fn sql(&self) -> String {
        let schema = self.schema.as_ref().map_or(String::new(), |schema| format!("{}.", quoted(schema)));
        format!("{schema}{}", quoted(&self.name))
    }

    fn params(&self) -> [Value; 2] {
        [self.name.as_str().into(), self.schema.clone().into()]
    }

    fn columns(&self, connection: &mut dyn Connection) -> Option<Vec<Column>> {
        let sql = "SELECT name, type, pk, dflt_value, hidden FROM pragma_table_xinfo(?1, ?2)";
        let number = |row: &[Value], at: usize| row.get(at).and_then(Value::as_i64).unwrap_or_default();
        let found = rows(connection, sql, &self.params())?.into_iter().map(|row| Column {
            name: text(&row, 0),
            kind: text(&row, 1),
            key: number(&row, 2),
            default: row.get(3).and_then(Value::as_str).map(str::to_owned),
            hidden: number(&row, 4),
        });
        let columns: Vec<Column> = found.collect();
        (!columns.is_empty()).then_some(columns)
    }

    /// The statement that made it, or the index of this name.
    fn made_by(&self, connection: &mut dyn Connection, kind: &str, name: &str) -> Option<String> {
        let schema = quoted(self.schema.as_deref().unwrap_or("main"));
        let sql = format!("SELECT sql FROM {schema}.sqlite_master WHERE type = ?1 AND name = ?2 COLLATE NOCASE");
        let row = rows(connection, &sql, &[kind.into(), name.into()])?.pop()?;
        row.first().and_then(Value::as_str).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
