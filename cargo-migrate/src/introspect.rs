//! A database's schema, read from the database: the one reader for all that is compared.

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::runner::database_problem;
use rusqlite::Connection;

use crate::failure::{Failure, Result};
use crate::schema::table::Table;
use crate::schema::text::fold;
use crate::schema::{Kind, Object, Schema, create_table};

/// A table's text is not one that this program understands.
pub const UNREADABLE_TABLE: Code = Code("unreadable-table");

/// Reads the schema of a database, without SQLite's own tables, those that virtual tables keep for themselves, and the
/// version table.
///
/// # Errors
/// What the database says, and a table whose text disagrees with what SQLite says of it.
pub fn read(connection: &Connection, version_table: &str) -> Result<Schema> {
    let (mut tables, mut objects) = (Vec::new(), Vec::new());
    for entry in entries(connection, version_table).map_err(failed)? {
        let kind = match entry.kind.as_str() {
            "table" if entry.is_virtual() => Kind::VirtualTable,
            "table" => {
                tables.push((create_table::read(&entry.sql), entry));
                continue;
            }
            "index" => Kind::Index,
            "view" => Kind::View,
            "trigger" => Kind::Trigger,
            _ => continue,
        };
        objects.push(Object::new(kind, entry.name, entry.on, entry.sql));
    }
    let told = columns(connection).map_err(failed)?;
    let mut told =
        told.chunk_by(|a, b| a.table == b.table).map(|chunk| (chunk[0].table.clone(), chunk)).collect::<Vec<_>>();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let read = tables.into_iter().map(|(table, entry)| {
        let columns =
            told.binary_search_by(|(name, _)| name.as_str().cmp(&entry.name)).map(|at| told[at].1).unwrap_or_default();
        table.and_then(|table| agreed(table, columns)).ok_or_else(|| unreadable(&entry))
    });
    Ok(Schema::new(read.collect::<Result<Vec<_>>>()?, objects))
}

struct Entry {
    kind: String,
    name: String,
    on: String,
    sql: String,
}

impl Entry {
    fn is_virtual(&self) -> bool {
        fold(self.sql.get(..14).unwrap_or_default()) == "create virtual"
    }
}

fn entries(connection: &Connection, version_table: &str) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE sql IS NOT NULL \
         AND lower(substr(name, 1, 7)) <> 'sqlite_' AND tbl_name <> ?1 COLLATE NOCASE \
         AND NOT (type = 'table' AND name IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')) \
         AND NOT (type = 'index' AND tbl_name IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')) \
         ORDER BY rowid",
    )?;
    let rows = statement.query_map([version_table], |row| {
        Ok(Entry { kind: row.get(0)?, name: row.get(1)?, on: row.get(2)?, sql: row.get(3)? })
    })?;
    rows.collect()
}

/// What SQLite says of a column.
struct Told {
    table: String,
    name: String,
    declared_type: String,
    not_null: bool,
}

/// The columns of all tables that are not virtual: a virtual one whose module this program lacks could not be asked.
fn columns(connection: &Connection) -> rusqlite::Result<Vec<Told>> {
    let mut statement = connection.prepare(
        "SELECT m.name, x.name, x.type, x.\"notnull\" FROM main.sqlite_master m, pragma_table_xinfo(m.name, 'main') x \
         WHERE m.type = 'table' AND m.sql IS NOT NULL AND lower(substr(m.sql, 1, 14)) <> 'create virtual' \
         ORDER BY m.rowid, x.cid",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Told { table: row.get(0)?, name: row.get(1)?, declared_type: row.get(2)?, not_null: row.get(3)? })
    })?;
    rows.collect()
}

/// The table with what SQLite knows better: the declared types, and which columns refuse NULL because of what they
/// belong to. `None` where the two do not speak of the same columns.
fn agreed(mut table: Table, told: &[Told]) -> Option<Table> {
    if table.columns.len() != told.len() {
        return None;
    }
    for (column, told) in table.columns.iter_mut().zip(told) {
        if column.name != told.name {
            return None;
        }
        told.declared_type.clone_into(&mut column.declared_type);
        if told.not_null {
            column.not_null.get_or_insert_default();
        }
    }
    // The rowid is never NULL, whether that is said or not.
    if let Some(alias) = table.rowid_alias().map(|alias| alias.name.clone()) {
        for column in table.columns.iter_mut().filter(|column| column.name == alias) {
            column.not_null = None;
        }
    }
    Some(table)
}

fn unreadable(entry: &Entry) -> Failure {
    Problem::new(
        UNREADABLE_TABLE,
        format!("the text of table `{}` is not one that SQLite writes", printable(&entry.name)),
    )
    .note("what the database says of its columns is not what this text says")
    .help("was `sqlite_master` written by hand? `PRAGMA integrity_check` may tell more")
    .into()
}

pub(crate) fn failed(error: rusqlite::Error) -> Failure {
    database_problem(&DatabaseError::from(error)).into()
}
