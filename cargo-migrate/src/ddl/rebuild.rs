//! The rebuild of a table: a new one is made, the rows are copied, and it takes the old one's place
//! (<https://www.sqlite.org/lang_altertable.html#otheralter>).
//!
//! The runner has switched the enforcement of foreign keys off, so dropping the old table cascades to nothing.

use super::{Statement, Way, layout};
use crate::diff::TableChange;
use crate::schema::table::{Column, Table};
use crate::schema::text::{fold, identifier, literal};

/// The statements of a rebuild; indexes and triggers, which go with the old table, are made again elsewhere.
pub(super) fn rebuild(change: &TableChange<'_>, way: &Way<'_>, why: &str) -> Vec<Statement> {
    let (before, after) = (change.before, change.after);
    let new = way.free_name(&after.name);
    let note = format!("{} is rebuilt: {why}.", after.name);
    let mut statements = vec![Statement::noted(note, layout::create_table_as(after, &new))];
    statements.extend(copy(before, after, &new, way));
    let counts = |table: &Table| table.primary_key.as_ref().is_some_and(|key| key.autoincrement);
    if counts(before) && counts(after) {
        // The rows with the highest numbers may have been deleted, and their numbers are not to be used again.
        statements.push(Statement::new(format!("DELETE FROM sqlite_sequence WHERE name = {}", literal(&new))));
        statements.push(Statement::new(format!(
            "INSERT INTO sqlite_sequence (name, seq)\nSELECT {}, seq FROM sqlite_sequence WHERE name = {}",
            literal(&new),
            literal(&before.name)
        )));
    }
    statements.push(Statement::new(format!("DROP TABLE {}", identifier(&before.name))));
    statements.push(Statement::new(format!("ALTER TABLE {} RENAME TO {}", identifier(&new), identifier(&after.name))));
    statements
}

/// Copies the rows. `OR ABORT` overrides what the new table's constraints may say about conflicts, so that none of them
/// drops a row in passing (<https://www.sqlite.org/lang_conflict.html>).
fn copy(before: &Table, after: &Table, new: &str, way: &Way<'_>) -> Option<Statement> {
    let mut targets: Vec<String> = Vec::new();
    let mut values: Vec<String> = Vec::new();
    let mut made_up: Vec<String> = Vec::new();
    let mut put = |target: String, value: String| {
        targets.push(target);
        values.push(value);
    };
    let fill = |column: &Column| way.fills.get(&(fold(&after.name), fold(&column.name)));
    // A column that is the rowid from now on is copied as a column where it was one before.
    let own = |alias: &Column| before.column(&alias.name).is_some() || fill(alias).is_some();
    let carried = match (before.rowid_name(), after.rowid_name()) {
        (Some(from), Some(to)) if !after.rowid_alias().is_some_and(own) => Some((from, to)),
        _ => None,
    };
    if let Some((from, to)) = &carried {
        put(shown_rowid(to, after), shown_rowid(from, before));
    }
    let given = |column: &&Column| {
        let is_rowid = carried.is_some() && after.rowid_alias().is_some_and(|alias| alias.name == column.name);
        column.generated.is_none() && !is_rowid
    };
    for column in after.columns.iter().filter(given) {
        let fill = fill(column);
        let name = identifier(&column.name);
        match (before.column(&column.name), fill) {
            (Some(_), None) => put(name.clone(), name),
            (Some(old), Some(fill)) if column.not_null.is_some() && old.not_null.is_none() => {
                put(name.clone(), format!("coalesce({name}, {fill})"));
            }
            (Some(_), Some(_)) => put(name.clone(), name),
            (None, Some(fill)) => {
                made_up.push(column.name.clone());
                put(name, fill.clone());
            }
            (None, None) => {}
        }
    }
    if targets.is_empty() {
        // None of the values stays, but the rows do.
        let column = after.columns.iter().find(|column| column.generated.is_none())?;
        targets.push(identifier(&column.name));
        values.push(column.default.as_ref().map_or_else(|| "NULL".to_owned(), |default| default.text.clone()));
    }
    let mut notes = Vec::new();
    if !made_up.is_empty() {
        notes.push(format!("The rows that are there have no value for {}; it is made up here.", made_up.join(", ")));
    }
    if let Some(alias) = after.rowid_alias().filter(|alias| numbers(before, after, &alias.name)) {
        notes.push(format!("A row without a value for {} gets a number of its own.", alias.name));
    }
    let note = notes.join(" ");
    Some(Statement::noted(
        note,
        format!(
            "INSERT OR ABORT INTO {} ({})\nSELECT {}\nFROM {}",
            identifier(new),
            targets.join(", "),
            values.join(", "),
            identifier(&before.name)
        ),
    ))
}

/// Whether a column becomes the rowid that could be NULL until now: SQLite gives such rows a number.
pub(crate) fn numbers(before: &Table, after: &Table, column: &str) -> bool {
    let is_rowid = |table: &Table| table.rowid_alias().is_some_and(|alias| alias.name.eq_ignore_ascii_case(column));
    is_rowid(after) && !is_rowid(before) && before.column(column).is_some_and(|column| column.not_null.is_none())
}

fn shown_rowid(name: &str, table: &Table) -> String {
    if table.rowid_alias().is_some() { identifier(name) } else { name.to_owned() }
}
