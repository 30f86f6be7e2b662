//! What SQLite itself says of a database, by PRAGMAs and queries alone: nothing here goes through the code that makes
//! migrations, so that the two can be held against each other.

use std::collections::{BTreeMap, BTreeSet};

use migrate_runtime::statement::{forbidden, split};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// Runs a section as a run does: statement by statement, without keys, in one transaction that an error takes back.
pub fn run(database: &Connection, section: &str) -> rusqlite::Result<()> {
    let statements = split(section, 0..section.len());
    assert_eq!(forbidden(&statements, false), None, "{section}");
    database.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
    for statement in statements {
        if let Err(error) = database.execute_batch(statement.text) {
            database.execute_batch("ROLLBACK")?;
            return Err(error);
        }
    }
    database.execute_batch("COMMIT")
}

/// Whether an error is about the rows that are there and not about the statement.
pub fn is_about_rows(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
    matches!(error.sqlite_error_code(), Some(ConstraintViolation | TypeMismatch))
        // So ADD COLUMN says it, where there are rows.
        || error.to_string() == "type mismatch on DEFAULT"
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn ask<T>(database: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = database.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    let rows = statement.query_map([], |row| read(row)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// The first column of each row as text.
pub fn texts(database: &Connection, sql: &str) -> Vec<String> {
    ask(database, sql, |row| Ok(text(row.get_ref(0)?)))
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        // A text may be made of a blob, and then be none to Rust.
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or_else(|_| format!("{bytes:02x?}"), |text| format!("'{text}'"))
        }
        ValueRef::Blob(bytes) => format!("x'{bytes:02x?}'"),
    }
}

/// The tables that keep rows of their own, the version table and SQLite's own left out.
pub fn tables(database: &Connection) -> Vec<String> {
    ask(
        database,
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' \
         ESCAPE '\\' AND name <> '_cargo_migrate' ORDER BY lower(name)",
        |row| row.get(0),
    )
}

/// Everything that is in a database, to the letter.
pub fn everything(database: &Connection) -> Vec<String> {
    let mut found = ask(database, "SELECT type || name || coalesce(sql, '') FROM sqlite_schema", |row| row.get(0));
    let stored = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') \
        AND name <> 'sqlite_schema'";
    for table in ask(database, stored, |row| row.get::<_, String>(0)) {
        let mut statement = database.prepare(&format!("SELECT * FROM {}", quoted(&table))).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| text(row.get_ref(at).unwrap())).collect();
            found.push(format!("{table}: {}", values.join(", ")));
        }
    }
    // In which order SQLite keeps its tables is its own affair.
    found.sort();
    found
}

/// What the PRAGMAs say of the schema, in a form in which two schemas that behave alike are equal.
pub fn facts(database: &Connection, ordered: bool) -> BTreeMap<String, BTreeSet<String>> {
    let mut facts = BTreeMap::new();
    for name in tables(database) {
        facts.insert(format!("table {}", name.to_lowercase()), of_table(database, &name, ordered));
    }
    let others = "SELECT type, lower(name), lower(tbl_name) FROM sqlite_schema WHERE sql IS NOT NULL \
        AND (type <> 'table' OR lower(sql) LIKE 'create virtual%') AND tbl_name <> '_cargo_migrate'";
    let name = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?));
    for (kind, name, on) in ask(database, others, name) {
        let columns = match kind.as_str() {
            // One that reads what is not there has no columns.
            "view" if database.prepare(&format!("SELECT * FROM {}", quoted(&name))).is_ok() => {
                format!("SELECT name FROM pragma_table_info('{}')", name.replace('\'', "''"))
            }
            _ => "SELECT 'one'".to_owned(),
        };
        facts.insert(format!("{kind} {name} on {on}"), texts(database, &columns).into_iter().collect());
    }
    facts
}

fn of_table(database: &Connection, name: &str, ordered: bool) -> BTreeSet<String> {
    let literal = format!("'{}'", name.replace('\'', "''"));
    let mut found: BTreeSet<String> =
        texts(database, &format!("SELECT wr || ' ' || strict FROM pragma_table_list({literal}) WHERE schema = 'main'"))
            .into_iter()
            .collect();
    let columns =
        format!("SELECT cid, name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo({literal})");
    found.extend(ask(database, &columns, |row| {
        let place = if ordered { row.get::<_, i64>(0)? } else { 0 };
        let kind = row.get::<_, String>(2)?.split_whitespace().collect::<String>().to_lowercase();
        let default = row.get::<_, Option<String>>(4)?.map(|default| evaluated(database, &default));
        let (pk, hidden) = (row.get::<_, i64>(5)?, row.get::<_, i64>(6)?);
        // The rowid never is NULL, whether that is said or not.
        let not_null = row.get::<_, i64>(3)? != 0 && !(pk == 1 && kind == "integer");
        Ok(format!("{place} {} {kind} {not_null} {default:?} {pk} {hidden}", row.get::<_, String>(1)?.to_lowercase()))
    }));
    let indexes = format!("SELECT name, \"unique\", origin, partial FROM pragma_index_list({literal})");
    found.extend(ask(database, &indexes, |row| {
        let (index, origin) = (row.get::<_, String>(0)?, row.get::<_, String>(2)?);
        let columns = format!(
            "SELECT coalesce(lower(name), cid) || ' ' || desc || ' ' || lower(coll) FROM pragma_index_xinfo('{}') \
             WHERE key ORDER BY seqno",
            index.replace('\'', "''")
        );
        let shown = if origin == "c" { index.to_lowercase() } else { String::new() };
        let (unique, partial) = (row.get::<_, i64>(1)?, row.get::<_, i64>(3)?);
        Ok(format!("index {shown} {origin} {unique} {partial} {:?}", texts(database, &columns)))
    }));
    let keys = format!(
        "SELECT group_concat(lower(\"from\") || '>' || coalesce(lower(\"to\"), \
         (SELECT lower(name) FROM pragma_table_info(f.\"table\") WHERE pk = f.seq + 1), '?') ORDER BY seq) || ' ' \
         || lower(\"table\") || ' ' || on_update || ' ' || on_delete \
         FROM pragma_foreign_key_list({literal}) AS f GROUP BY id"
    );
    found.extend(texts(database, &keys));
    found
}

/// A default as the value that it gives; what the time makes differ stays as it is written.
fn evaluated(database: &Connection, default: &str) -> String {
    if default.to_lowercase().contains("current_") {
        return default.to_lowercase();
    }
    texts(database, &format!("SELECT {default}")).concat()
}

/// A table's columns that keep a value: the name and the declared type.
pub fn kept_columns(database: &Connection, table: &str) -> Vec<(String, String)> {
    let literal = table.replace('\'', "''");
    let sql = format!("SELECT name, type FROM pragma_table_xinfo('{literal}') WHERE hidden = 0");
    ask(database, &sql, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The column that is the rowid of a table that has one: `Ok(None)` where it is hidden, `Err` where there is none.
pub fn rowid(database: &Connection, table: &str) -> Result<Option<String>, ()> {
    let literal = table.replace('\'', "''");
    let without = format!("SELECT wr FROM pragma_table_list('{literal}') WHERE schema = 'main'");
    if texts(database, &without).concat() == "1" {
        return Err(());
    }
    let keys = format!("SELECT name, upper(type) FROM pragma_table_info('{literal}') WHERE pk > 0");
    let keys: Vec<(String, String)> = ask(database, &keys, |row| Ok((row.get(0)?, row.get(1)?)));
    // A key that has an index of its own is not the rowid.
    let index = format!("SELECT 1 FROM pragma_index_list('{literal}') WHERE origin = 'pk'");
    match keys.as_slice() {
        [(name, kind)] if kind == "INTEGER" && texts(database, &index).is_empty() => Ok(Some(name.clone())),
        _ => Ok(None),
    }
}

/// The name by which a hidden rowid is asked for.
pub fn hidden_rowid(database: &Connection, table: &str) -> Option<&'static str> {
    let literal = table.replace('\'', "''");
    let names = ask(database, &format!("SELECT lower(name) FROM pragma_table_xinfo('{literal}')"), |row| {
        row.get::<_, String>(0)
    });
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !names.iter().any(|taken| taken == name))
}

/// The rows of a table in these columns, each as text, sorted. Where `loosely` is said, a number is the same as its text.
pub fn rows(database: &Connection, table: &str, columns: &[(String, bool)]) -> Vec<String> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let list = if names.is_empty() { "1".to_owned() } else { names.join(", ") };
    let mut found = ask(database, &format!("SELECT {list} FROM {}", quoted(table)), |row| {
        let values: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, (_, loosely))| {
                let value = row.get_ref(at)?;
                Ok(match value {
                    ValueRef::Integer(number) if *loosely => format!("{:?}", number as f64),
                    ValueRef::Text(_) if *loosely => {
                        let shown = text(value);
                        let number = shown.trim_matches('\'').trim().parse::<f64>();
                        number.map_or(shown, |number| format!("{number:?}"))
                    }
                    _ => text(value),
                })
            })
            .collect::<rusqlite::Result<_>>()?;
        Ok(values.join(" | "))
    });
    found.sort();
    found
}

/// What AUTOINCREMENT has counted to, by table.
pub fn counters(database: &Connection) -> BTreeMap<String, i64> {
    if texts(database, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").is_empty() {
        return BTreeMap::new();
    }
    ask(database, "SELECT lower(name), seq FROM sqlite_sequence", |row| Ok((row.get(0)?, row.get(1)?)))
        .into_iter()
        .collect()
}
