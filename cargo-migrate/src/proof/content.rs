//! What the tables of a scratch database hold, for comparing before and after.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::ddl::numbers;
use crate::diff::loses_by_type;
use crate::schema::Schema;
use crate::schema::table::Table;
use crate::schema::text::{fold, identifier, literal};

/// The first table whose rows are not what they were, in words; columns that only one of the schemas has do not count,
/// nor do those whose type changes values. `between` is the table as it was in between, which may have kept neither
/// rowids nor a counter.
pub(super) fn difference<'s>(
    before: (&Connection, &'s Schema),
    after: (&Connection, &Schema),
    skip: &BTreeSet<(String, String)>,
    between: impl Fn(&'s Table) -> Option<&'s Table>,
) -> rusqlite::Result<Option<String>> {
    for table in before.1.tables() {
        let Some(after_table) = after.1.table(&table.name) else { continue };
        let through = between(table);
        let columns: Vec<String> = table
            .columns
            .iter()
            .filter(|column| {
                after_table.column(&column.name).is_some_and(|other| {
                    column.generated.is_none()
                        && other.generated.is_none()
                        && !loses_by_type((table, column), (after_table, other))
                        && !loses_by_type((after_table, other), (table, column))
                        && ![Some(after_table), through]
                            .into_iter()
                            .flatten()
                            .any(|it| numbers(table, it, &column.name))
                }) && !skip.contains(&(fold(&table.name), fold(&column.name)))
            })
            .map(|column| identifier(&column.name))
            .collect();
        let rowid =
            [Some(table), Some(after_table), through].into_iter().flatten().all(|table| hidden_rowid(table).is_some());
        let (old, new) = (rows(before.0, table, rowid, &columns)?, rows(after.0, after_table, rowid, &columns)?);
        if old != new {
            return Ok(Some(format!("the rows of `{}` are not what they were", table.name)));
        }
        let counts = |table: &Table| table.primary_key.as_ref().is_some_and(|key| key.autoincrement);
        let kept = counts(table) && counts(after_table) && through.is_none_or(counts);
        if kept && counter(before.0, &table.name)? != counter(after.0, &after_table.name)? {
            return Ok(Some(format!("the counter of `{}` is not what it was", table.name)));
        }
    }
    Ok(None)
}

/// The name of a rowid that no column shows.
fn hidden_rowid(table: &Table) -> Option<String> {
    table.rowid_name().filter(|_| table.rowid_alias().is_none())
}

/// Each row as bytes, in an order that does not depend on where the rows are kept; with its rowid where that is asked for.
fn rows(connection: &Connection, table: &Table, rowid: bool, columns: &[String]) -> rusqlite::Result<Vec<Vec<u8>>> {
    let rowid = hidden_rowid(table).filter(|_| rowid);
    let mut parts: Vec<&str> = columns.iter().map(String::as_str).chain(rowid.as_deref()).collect();
    if parts.is_empty() {
        parts.push("NULL");
    }
    let sql = format!("SELECT {} FROM {}", parts.join(", "), identifier(&table.name));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut bytes = Vec::new();
        for at in 0..parts.len() {
            append(&mut bytes, row.get_ref(at)?);
        }
        found.push(bytes);
    }
    found.sort_unstable();
    Ok(found)
}

/// A value such that no two different ones look the same.
fn append(bytes: &mut Vec<u8>, value: ValueRef<'_>) {
    let (kind, part) = match value {
        ValueRef::Null => (0, &[][..]),
        // A number may be kept as 1 or as 1.0, which is the same to SQLite wherever it is compared.
        #[expect(clippy::cast_precision_loss, reason = "numbers so large are not among the rows that were made")]
        ValueRef::Integer(number) => (1, &(number as f64).to_le_bytes()[..]),
        ValueRef::Real(number) => (1, &number.to_le_bytes()[..]),
        ValueRef::Text(text) => (2, text),
        ValueRef::Blob(blob) => (3, blob),
    };
    bytes.push(kind);
    bytes.extend(part.len().to_le_bytes());
    bytes.extend(part);
}

fn counter(connection: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT max(seq) FROM sqlite_sequence WHERE name = {} COLLATE NOCASE", literal(table));
    connection.query_row(&sql, [], |row| row.get(0))
}

/// A reference that points nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// The table of the row, folded.
    pub(super) table: String,
    /// The row, where it has a number.
    pub(super) rowid: Option<i64>,
    /// The table that it refers to, folded.
    pub(super) parent: String,
}

/// The references that point nowhere.
pub(super) fn violations(connection: &Connection) -> BTreeSet<Violation> {
    let read = || -> rusqlite::Result<BTreeSet<Violation>> {
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let rows = statement.query_map([], |row| {
            let (table, parent) = (row.get::<_, String>(0)?, row.get::<_, String>(2)?);
            Ok(Violation { table: fold(&table), rowid: row.get(1)?, parent: fold(&parent) })
        })?;
        rows.collect()
    };
    // A reference to a key that is none makes the question itself fail, which the runner refuses by other means.
    read().unwrap_or_default()
}
