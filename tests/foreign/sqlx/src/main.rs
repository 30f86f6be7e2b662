//! Embedded migrations in a program on sqlx, without rusqlite: the newtype that this takes, and a use of it.

use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use migrate_runtime::connection::{Connection, DatabaseError, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _};
use tokio::runtime::Runtime;

#[path = "../../report.rs"]
mod report;

/// Sqlx's connection as the migrations see it, with the runtime that waits for it.
///
/// The migrations block, and `block_on` may not be called on a thread that is itself at work for a runtime: a program
/// whose `main` is asynchronous runs them in `tokio::task::spawn_blocking`, with `Handle::current()` instead.
struct Sqlx {
    connection: SqliteConnection,
    runtime: Runtime,
}

impl Connection for Sqlx {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
        if !params.is_empty() {
            return self.query(sql, params, &mut |_| ControlFlow::Continue(()));
        }
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        self.runtime.block_on(done).map_err(error).map(|_| ())
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        // Not persistent: the columns that a kept statement remembers may be others after the next migration.
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for param in params {
            query = match param {
                Value::Null => query.bind(None::<i64>),
                Value::Integer(value) => query.bind(*value),
                Value::Real(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.clone()),
                Value::Blob(value) => query.bind(value.clone()),
            };
        }
        let mut rows = query.fetch(&mut self.connection);
        while let Some(row) = self.runtime.block_on(rows.try_next()).map_err(error)? {
            let values = values(&row).map_err(error)?;
            if each(&values).is_break() {
                break;
            }
        }
        Ok(())
    }

    // Whether a transaction is open, the trait finds out by itself: sqlx counts only those that it has begun.
}

/// The values of a row, by the type that each has in SQLite and not by what its column is declared as.
fn values(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    let value = |at| {
        let raw = row.try_get_raw(at)?;
        Ok(match raw.type_info().name() {
            _ if raw.is_null() => Value::Null,
            "INTEGER" => Value::Integer(row.try_get_unchecked(at)?),
            "REAL" => Value::Real(row.try_get_unchecked(at)?),
            // As bytes, since a database may hold text that is not UTF-8.
            "TEXT" => Value::Text(String::from_utf8_lossy(row.try_get_unchecked(at)?).into_owned()),
            _ => Value::Blob(row.try_get_unchecked(at)?),
        })
    };
    (0..row.len()).map(value).collect()
}

/// Sqlx keeps SQLite's extended result code, as text.
fn error(error: sqlx::Error) -> DatabaseError {
    match error.as_database_error() {
        Some(told) => {
            let code = told.code().and_then(|code| code.parse().ok());
            DatabaseError::of_sqlite(code, told.message())
        }
        None => DatabaseError::of_sqlite(None, error.to_string()),
    }
}

fn main() {
    report::print(&|path| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let connection = runtime.block_on(options.connect()).expect("a database file");
        Box::new(Sqlx { connection, runtime })
    });
}
