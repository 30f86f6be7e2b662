//! A file of `CREATE` statements.

use std::path::Path;
use std::sync::Arc;

use build_support::migration::normalise;
use build_support::problem::{Code, Place, Problem};
use migrate_runtime::statement::{Statement, split};
use rusqlite::Connection;

use crate::failure::Result;
use crate::schema::text::fold;

/// A statement that does not belong in a file that says what a database looks like.
pub const NOT_A_SCHEMA: Code = Code("not-a-schema");
/// A statement that SQLite refuses.
pub const SCHEMA_ERROR: Code = Code("schema-error");

/// The longest file that is read.
const LONGEST: u64 = 64 << 20;

/// Runs the statements of a file on a scratch database. `shown` is how the file is called.
///
/// # Errors
/// A file that cannot be read, a statement that makes nothing, or that SQLite refuses.
pub(super) fn run(connection: &Connection, path: &Path, shown: &Path) -> Result<()> {
    let unreadable = |why: String| Problem::new(Code("file-access"), format!("cannot read this: {why}")).in_file(shown);
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > LONGEST {
        return Err(unreadable("it is longer than 64 MiB".to_owned()).into());
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text: Arc<str> = normalise(shown, bytes)?.into();
    let place = |statement: &Statement<'_>| Place {
        path: shown.to_owned(),
        span: Some((Arc::clone(&text), statement.span.clone())),
        label: String::new(),
    };
    for statement in split(&text, 0..text.len()) {
        if of_sqlite(statement.text) {
            continue;
        }
        let first = statement.first().to_ascii_uppercase();
        if first != "CREATE" || temporary(statement.text) {
            let message = format!("`{first}` is no part of a schema");
            return Err(Problem::new(NOT_A_SCHEMA, message)
                .at(place(&statement))
                .help("leave the `CREATE` statements alone in this file; data belongs in a migration")
                .into());
        }
        connection
            .execute_batch(statement.text)
            .map_err(|error| Problem::new(SCHEMA_ERROR, words(&error)).at(place(&statement)))?;
    }
    Ok(())
}

pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// Whether it makes one of SQLite's own tables, which `.schema` prints along.
fn of_sqlite(sql: &str) -> bool {
    let words: Vec<String> = crate::schema::text::names(sql).take(6).map(|word| fold(&word)).collect();
    matches!(words.as_slice(), [create, table, name, ..] if create == "create" && table == "table" && name.starts_with("sqlite_"))
}

fn temporary(sql: &str) -> bool {
    let second = crate::schema::text::names(sql).nth(1).map(|word| fold(&word));
    matches!(second.as_deref(), Some("temp" | "temporary"))
}
