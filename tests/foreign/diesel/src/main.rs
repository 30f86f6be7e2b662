//! Embedded migrations in a program on diesel, without rusqlite: the newtype that this takes, and a use of it.

use std::ops::ControlFlow;

use diesel::connection::{DefaultLoadingMode, SimpleConnection as _};
use diesel::deserialize::QueryableByName;
use diesel::result::Error;
use diesel::row::{Field as _, NamedRow, Row};
use diesel::sql_types::{BigInt, Binary, Double, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteType};
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection};
use migrate_runtime::connection::{Connection, DatabaseError, Value};

#[path = "../../report.rs"]
mod report;

/// Diesel's connection as the migrations see it. It is a type of the program's own, because neither the trait nor the
/// connection is; one over `&mut SqliteConnection` would do as well.
struct Diesel(SqliteConnection);

impl Connection for Diesel {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
        if params.is_empty() {
            return self.0.batch_execute(sql).map_err(error);
        }
        self.query(sql, params, &mut |_| ControlFlow::Continue(()))
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        // Boxed, so that each parameter may have another type. `sql_query` keeps no prepared statement.
        let mut query = diesel::sql_query(sql).into_boxed::<Sqlite>();
        for param in params {
            query = match param {
                Value::Null => query.bind::<Nullable<Text>, _>(None::<String>),
                Value::Integer(value) => query.bind::<BigInt, _>(*value),
                Value::Real(value) => query.bind::<Double, _>(*value),
                Value::Text(value) => query.bind::<Text, _>(value.clone()),
                Value::Blob(value) => query.bind::<Binary, _>(value.clone()),
            };
        }
        for row in query.load_iter::<Values, DefaultLoadingMode>(&mut self.0).map_err(error)? {
            if each(&row.map_err(error)?.0).is_break() {
                break;
            }
        }
        Ok(())
    }

    // Whether a transaction is open, the trait finds out by itself: diesel counts only those that it has begun.
}

/// A row of any columns: diesel wants to know a row's type, and this one reads whatever SQLite has stored.
struct Values(Vec<Value>);

impl QueryableByName<Sqlite> for Values {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> diesel::deserialize::Result<Self> {
        let value = |at| {
            let field = Row::get(row, at)?;
            let mut value = field.value()?;
            Some(match value.value_type()? {
                SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long => Value::Integer(value.read_long()),
                SqliteType::Float | SqliteType::Double => Value::Real(value.read_double()),
                SqliteType::Text => Value::Text(value.read_text().to_owned()),
                SqliteType::Binary => Value::Blob(value.read_blob().to_owned()),
            })
        };
        Ok(Self((0..row.field_count()).map(|at| value(at).unwrap_or(Value::Null)).collect()))
    }
}

/// Diesel keeps SQLite's message and not its code, so the message tells the kind of the error.
fn error(error: Error) -> DatabaseError {
    match error {
        Error::DatabaseError(_, told) => DatabaseError::of_sqlite(None, told.message()),
        other => DatabaseError::of_sqlite(None, other.to_string()),
    }
}

fn main() {
    report::print(&|path| Box::new(Diesel(SqliteConnection::establish(path).expect("a database file"))));
}
