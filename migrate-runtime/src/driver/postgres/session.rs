//! A connection to a server: what goes over it, counted, and what comes back instead of a result.

use std::error::Error as _;
use std::time::{Duration, Instant};

use postgres::error::ErrorPosition;
use postgres::{Client, Error, SimpleQueryMessage};

use crate::connection::{DatabaseError, ErrorKind, ServerWords, Value};
use crate::driver::postgres_sql::text;

/// A row's values as text.
pub(super) type Texts = Vec<Option<String>>;

/// A client, asked in the simple protocol: a text is one round trip, and leaves no prepared statement behind that a pooler
/// would have to know.
pub(crate) struct Session<'c> {
    pub(super) client: &'c mut Client,
    /// How often the server was waited for.
    pub(super) round_trips: u64,
    /// What failed last, where it only missed a lock.
    pub(super) missed: Option<Missed>,
}

/// A text that missed a lock.
pub(super) struct Missed {
    pub(super) sql: String,
    pub(super) waited: Duration,
}

impl<'c> Session<'c> {
    pub(crate) fn new(client: &'c mut Client) -> Self {
        Self { client, round_trips: 0, missed: None }
    }

    /// Asks the server once.
    pub(super) fn ask<T>(
        &mut self,
        sql: &str,
        question: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        self.round_trips += 1;
        let start = Instant::now();
        question(self.client).map_err(|error| {
            let error = of(&error, sql);
            self.missed =
                (error.kind == ErrorKind::Busy).then(|| Missed { sql: sql.to_owned(), waited: start.elapsed() });
            error
        })
    }

    /// Runs a text; the rows that it gives are dropped.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.ask(sql, |client| client.batch_execute(sql))
    }

    /// The rows that a text gives.
    pub(super) fn rows(&mut self, sql: &str) -> Result<Vec<Texts>, DatabaseError> {
        self.ask(sql, |client| client.simple_query(sql))?.iter().filter_map(texts).collect()
    }

    /// The only row that a text gives, of so many columns.
    pub(crate) fn row<const N: usize>(&mut self, sql: &str) -> Result<[Option<String>; N], DatabaseError> {
        only(self.rows(sql)?.pop())
    }

    /// Runs a statement and gives the last row of a question that goes with it. What fails is taken to be the statement.
    pub(super) fn row_behind<const N: usize>(
        &mut self,
        statement: &str,
        question: &str,
    ) -> Result<[Option<String>; N], DatabaseError> {
        let both = format!("{statement}\n{question}");
        only(self.ask(statement, |client| client.simple_query(&both))?.iter().rev().find_map(texts).transpose()?)
    }

    /// How many rows the last statement of a text has changed.
    pub(super) fn changed(&mut self, sql: &str) -> Result<u64, DatabaseError> {
        let messages = self.ask(sql, |client| client.simple_query(sql))?;
        let changed = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        Ok(changed.unwrap_or(0))
    }
}

/// A row's values; an error where one of them is no UTF-8.
fn texts(message: &SimpleQueryMessage) -> Option<Result<Texts, DatabaseError>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    let value = |at| Ok(row.try_get(at).map_err(|error| of(&error, ""))?.map(str::to_owned));
    Some((0..row.len()).map(value).collect())
}

fn only<const N: usize>(row: Option<Texts>) -> Result<[Option<String>; N], DatabaseError> {
    let row = row.and_then(|row| row.try_into().ok());
    row.ok_or_else(|| DatabaseError::new(ErrorKind::Other, "the server gave no row where there is always one"))
}

/// What a server says, or why nothing more can be heard of it. Nothing here knows how the client was connected, so no
/// password can get into it.
#[must_use]
pub fn of(error: &Error, sql: &str) -> DatabaseError {
    let Some(said) = error.as_db_error() else {
        let lost = error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        let kind = if lost { ErrorKind::Disconnected } else { ErrorKind::Other };
        let message = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        return DatabaseError::about_server(kind, message, None);
    };
    let offset = match said.position() {
        Some(ErrorPosition::Original(character)) => byte_of(sql, *character),
        _ => None,
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let server = ServerWords {
        sqlstate: said.code().code().to_owned(),
        detail: owned(said.detail()),
        hint: owned(said.hint()),
        context: owned(said.where_()),
    };
    DatabaseError {
        kind: kind(said.code().code()),
        message: said.message().to_owned(),
        offset,
        server: Some(Box::new(server)),
    }
}

/// The kind of a SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn kind(sqlstate: &str) -> ErrorKind {
    match sqlstate {
        // A lock that did not come in time, a transaction that another one got in the way of, a deadlock.
        "55P03" | "40001" | "40P01" => ErrorKind::Busy,
        "42P01" => ErrorKind::MissingTable,
        "25006" => ErrorKind::ReadOnly,
        "53100" => ErrorKind::Full,
        "57P01" | "57P02" | "57P03" | "57P05" => ErrorKind::Disconnected,
        _ if sqlstate.starts_with("08") => ErrorKind::Disconnected,
        _ if sqlstate.starts_with("23") => ErrorKind::Constraint,
        _ => ErrorKind::Other,
    }
}

/// Where a character is, which a server counts from 1.
fn byte_of(sql: &str, character: u32) -> Option<usize> {
    let before = usize::try_from(character).ok()?.checked_sub(1)?;
    // What is missing at the end is told as behind the last character.
    let at = sql.char_indices().nth(before).map_or(sql.len(), |(at, _)| at);
    Some(if at == sql.len() { sql.char_indices().next_back()?.0 } else { at })
}

/// A value of the version table as SQL; there are only texts and integers.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Text(value) => text(value),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Null | Value::Blob(_) => "NULL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_place_is_in_characters_and_ours_in_bytes() {
        assert_eq!(byte_of("éa", 2), Some(2));
        assert_eq!(byte_of("SELECT é", 9), Some(7));
        assert_eq!((byte_of("a", 0), byte_of("", 1)), (None, None));
    }
}
