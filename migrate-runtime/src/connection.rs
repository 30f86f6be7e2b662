//! What the runner asks of a database connection, so that it can work on an application's own.

use std::fmt;
use std::ops::ControlFlow;

/// A value that goes to the database or comes from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text. One that is not UTF-8 is read with replacement characters.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The integer, where it is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(*value) } else { None }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The kinds of a database's errors that the runner treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another connection holds the lock.
    Busy,
    /// A statement names a table that is not there.
    MissingTable,
    /// The database cannot be written.
    ReadOnly,
    /// The disk is full.
    Full,
    /// The file is not a database.
    NotADatabase,
    /// The database is damaged.
    Corrupt,
    /// The file cannot be opened.
    CannotOpen,
    /// A constraint does not hold.
    Constraint,
    /// Anything else.
    Other,
}

/// What a database answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    /// Its kind.
    pub kind: ErrorKind,
    /// The database's own words.
    pub message: String,
    /// Where in the statement, in bytes, where the database says so.
    pub offset: Option<usize>,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseError {}

/// A connection to a database.
pub trait Connection {
    /// Runs one statement to its end; rows that it gives are dropped.
    ///
    /// # Errors
    /// What the database says, or that the text holds a second statement, which is not run.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError>;

    /// Runs one statement and gives each of its rows, until `each` breaks off.
    ///
    /// # Errors
    /// What the database says.
    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError>;

    /// Whether a transaction is open.
    ///
    /// # Errors
    /// What the database says.
    fn in_transaction(&mut self) -> Result<bool, DatabaseError>;
}

#[cfg(any(test, feature = "rusqlite"))]
mod rusqlite_connection {
    use std::ops::ControlFlow;

    use build_support::token::{TokenKind, tokens};
    use rusqlite::types::{ToSqlOutput, ValueRef};
    use rusqlite::{ErrorCode, ToSql, params_from_iter};

    use super::{Connection, DatabaseError, ErrorKind, Value};

    impl ToSql for Value {
        fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
            Ok(ToSqlOutput::Borrowed(match self {
                Self::Null => ValueRef::Null,
                Self::Integer(value) => ValueRef::Integer(*value),
                Self::Real(value) => ValueRef::Real(*value),
                Self::Text(value) => ValueRef::Text(value.as_bytes()),
                Self::Blob(value) => ValueRef::Blob(value),
            }))
        }
    }

    impl From<ValueRef<'_>> for Value {
        fn from(value: ValueRef<'_>) -> Self {
            match value {
                ValueRef::Null => Self::Null,
                ValueRef::Integer(value) => Self::Integer(value),
                ValueRef::Real(value) => Self::Real(value),
                // Nearly all text is UTF-8, and only what is not takes the longer way.
                ValueRef::Text(value) => Self::Text(match std::str::from_utf8(value) {
                    Ok(text) => text.to_owned(),
                    Err(_) => String::from_utf8_lossy(value).into_owned(),
                }),
                ValueRef::Blob(value) => Self::Blob(value.to_vec()),
            }
        }
    }

    impl From<rusqlite::Error> for DatabaseError {
        fn from(error: rusqlite::Error) -> Self {
            of(error, "")
        }
    }

    /// An error of a statement. `Error::SqlInputError` is there only with a feature in some versions, so its text is
    /// read instead: `MESSAGE in SQL at offset N`.
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
    fn of(error: rusqlite::Error, sql: &str) -> DatabaseError {
        let text = error.to_string();
        let located = text.rsplit_once(" at offset ").and_then(|(before, offset)| {
            let message = before.strip_suffix(sql)?.strip_suffix(" in ")?;
            Some((message.to_owned(), offset.parse().ok()))
        });
        let (message, offset) = located.unwrap_or((text, None));
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => ErrorKind::Busy,
            Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            Some(ErrorCode::NotADatabase) => ErrorKind::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => ErrorKind::Corrupt,
            Some(ErrorCode::CannotOpen) => ErrorKind::CannotOpen,
            Some(ErrorCode::ConstraintViolation) => ErrorKind::Constraint,
            _ if message.starts_with("no such table") => ErrorKind::MissingTable,
            _ => ErrorKind::Other,
        };
        DatabaseError { kind, message, offset }
    }

    impl Connection for rusqlite::Connection {
        fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
            if !params.is_empty() {
                return self.query(sql, params, &mut |_| ControlFlow::Continue(()));
            }
            let counts = |text: &str| tokens(text).any(|t| t.kind.counts() && t.kind != TokenKind::Semicolon);
            if !counts(sql) {
                return Ok(());
            }
            let wrap = |error| of(error, sql);
            let mut statement = self.prepare(sql).map_err(wrap)?;
            // `Batch` has another interface in each version, so SQLite's own copy of the text tells where the
            // statement ends. Where the splitting disagrees, what follows was never looked at.
            let refuse =
                |message: &str| DatabaseError { kind: ErrorKind::Other, message: message.to_owned(), offset: None };
            if statement.parameter_count() > 0 {
                return Err(refuse("the statement has parameters, and nothing gives them values"));
            }
            // Without a semicolon before its end there is one statement, however it is read.
            if sql.find(';').is_some_and(|at| at + 1 < sql.len()) {
                let own = statement.expanded_sql().unwrap_or_default();
                if sql.get(own.len()..).is_none_or(counts) {
                    return Err(refuse("SQLite reads this as more than one statement"));
                }
            }
            let mut rows = statement.query([]).map_err(wrap)?;
            while rows.next().map_err(wrap)?.is_some() {}
            Ok(())
        }

        fn query(
            &mut self,
            sql: &str,
            params: &[Value],
            each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
        ) -> Result<(), DatabaseError> {
            let wrap = |error| of(error, sql);
            let mut statement = self.prepare(sql).map_err(wrap)?;
            let columns = statement.column_count();
            let mut rows = statement.query(params_from_iter(params)).map_err(wrap)?;
            let mut values = Vec::with_capacity(columns);
            while let Some(row) = rows.next().map_err(wrap)? {
                values.clear();
                for at in 0..columns {
                    values.push(Value::from(row.get_ref(at).map_err(wrap)?));
                }
                if each(&values).is_break() {
                    break;
                }
            }
            Ok(())
        }

        fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
            Ok(!self.is_autocommit())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Box<dyn Connection> {
        Box::new(rusqlite::Connection::open_in_memory().unwrap())
    }

    #[test]
    fn values_go_there_and_back_and_a_query_breaks_off() {
        let mut connection = open();
        let params = [Value::Null, 7.into(), Value::Real(0.5), "é".into(), Value::Blob(vec![0, 255])];
        let mut seen = Vec::new();
        connection
            .query("SELECT ?1, ?2, ?3, ?4, ?5 UNION ALL SELECT 1, 2, 3, 4, 5", &params, &mut |row| {
                seen.extend_from_slice(row);
                ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(seen, params);
    }

    #[test]
    fn errors_have_a_kind_a_message_and_a_place() {
        let mut connection = open();
        let error = connection.execute("SELECT 'a in b', x FROM nowhere;", &[]).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::MissingTable, "no such table: nowhere"));
        let error = connection.execute("SELECT é FORM x in y", &[]).unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), ("near \"x\": syntax error", Some(15)));
        connection.execute("CREATE TABLE a(b UNIQUE)", &[]).unwrap();
        connection.execute("INSERT INTO a VALUES (?1)", &[1.into()]).unwrap();
        assert_eq!(connection.execute("INSERT INTO a VALUES (1)", &[]).unwrap_err().kind, ErrorKind::Constraint);
    }

    #[test]
    fn a_second_statement_is_not_run() {
        let mut connection = open();
        connection.execute("BEGIN; -- and no more", &[]).unwrap();
        for sql in ["SELECT $a$; COMMIT; SELECT $a$", "SELECT e'\\'; COMMIT; SELECT '", "SELECT 1; COMMIT"] {
            assert!(connection.execute(sql, &[]).is_err(), "{sql}");
        }
        connection.execute(" -- nothing", &[]).unwrap();
        assert!(connection.in_transaction().unwrap());
    }
}
