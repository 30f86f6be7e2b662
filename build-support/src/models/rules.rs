//! What does not go together in a table, once all of it is read.

use syn::Ident;

use super::Mistake;
use super::attributes::{Flags, field_of};
use super::column::Said;
use super::table::Table;
use super::words::Reader;

/// The types that a column of a STRICT table may have (<https://www.sqlite.org/stricttables.html>).
const STRICT_TYPES: &[&str] = &["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];

/// Settles the primary key, and checks what goes across columns.
pub(super) fn check(
    reader: &mut Reader,
    table: &mut Table,
    columns: &[Said],
    primary_key: Option<(Ident, Vec<String>)>,
    flags: &Flags,
) {
    check_columns(reader, table, columns);
    table.primary_key = settle_primary_key(reader, columns, primary_key);
    for said in columns {
        check_autoincrement(reader, table, said);
    }
    if let Some(word) = &flags.without_rowid
        && table.primary_key.is_empty()
        && table.without_rowid
    {
        reader.mistake(
            Mistake::new(word, "a table without row numbers needs a primary key")
                .help("add `#[column(primary_key)]` to a field, or `primary_key(a, b)` here"),
        );
    }
    if flags.strict.is_some() {
        check_strict(reader, columns);
    }
}

fn check_columns(reader: &mut Reader, table: &Table, columns: &[Said]) {
    if columns.is_empty() {
        reader.mistake(Mistake::new(&table.ident, "a table has at least one column").help("add a field"));
    }
    for (at, said) in columns.iter().enumerate() {
        let name = &said.column.name;
        if columns[..at].iter().any(|other| other.column.name.eq_ignore_ascii_case(name)) {
            reader.mistake(
                Mistake::new(&said.column.field, format!("two columns are named `{name}`; case does not count"))
                    .help("give one of them another name: `#[column(name = \"…\")]`"),
            );
        }
    }
    if !columns.is_empty() && columns.iter().all(|said| said.column.generated.is_some()) {
        reader.mistake(
            Mistake::new(&table.ident, "a table has at least one column that is not generated").help("add a field"),
        );
    }
}

/// The columns of the one primary key that a table has.
fn settle_primary_key(reader: &mut Reader, columns: &[Said], of_table: Option<(Ident, Vec<String>)>) -> Vec<String> {
    let mut keys: Vec<(&Ident, Vec<String>)> = of_table.iter().map(|(word, names)| (word, names.clone())).collect();
    keys.extend(columns.iter().filter_map(|said| Some((said.primary_key.as_ref()?, vec![said.column.name.clone()]))));
    for (word, _) in keys.iter().skip(1) {
        reader.mistake(
            Mistake::new(word, "a table has one primary key, and this is another")
                .help("make one key of both: `#[table(primary_key(a, b))]`"),
        );
    }
    let key = keys.into_iter().next().map(|(_, names)| names).unwrap_or_default();
    for said in key.iter().filter_map(|name| field_of(columns, name)) {
        let counted_up = key.len() == 1 && said.column.sql_type.is_integer();
        if said.column.nullable && !counted_up {
            reader.mistake(
                Mistake::new(&said.ty, "a primary key is never NULL")
                    .help("make the field's type one without `Option`"),
            );
        }
        if said.column.generated.is_some() && said.primary_key.is_none() {
            reader.mistake(
                Mistake::new(&said.column.field, "a generated column is no part of a primary key")
                    .help("leave it out of `primary_key(…)`"),
            );
        }
    }
    key
}

fn check_autoincrement(reader: &mut Reader, table: &Table, said: &Said) {
    let Some(word) = &said.autoincrement else { return };
    let is_key = table.primary_key.len() == 1 && table.primary_key[0] == said.column.name;
    let mistake = if !said.column.sql_type.is_integer() {
        Mistake::new(word, "only a column of whole numbers counts up").help("make the field an `i64`")
    } else if !is_key {
        Mistake::new(word, "only a primary key of one column counts up").help("add `primary_key`, or leave it out")
    } else if table.without_rowid {
        Mistake::new(word, "without row numbers there is nothing to count up")
            .help("leave out `autoincrement`, or `without_rowid`")
    } else if said.column.default.is_some() {
        Mistake::new(word, "a column that counts up has no default").help("leave one of them out")
    } else {
        return;
    };
    reader.mistake(mistake);
}

fn check_strict(reader: &mut Reader, columns: &[Said]) {
    for said in columns {
        let Some(at) = &said.type_text else { continue };
        let name = &said.column.sql_type.sqlite;
        if !STRICT_TYPES.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
            reader.mistake(
                Mistake::new(at, format!("a strict table has no columns of type `{name}`"))
                    .help("write INT, INTEGER, REAL, TEXT, BLOB or ANY"),
            );
        }
    }
}
