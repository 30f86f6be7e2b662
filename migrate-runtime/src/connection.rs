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
    /// Another connection holds the lock; it is waited for.
    Busy,
    /// A statement that is still open on this connection holds a table. Waiting does not help.
    Locked,
    /// A statement names a table that is not there.
    MissingTable,
    /// The database cannot be written.
    ReadOnly,
    /// The disk is full.
    Full,
    /// The disk could not be read or written.
    Io,
    /// The file is not a database.
    NotADatabase,
    /// The database is damaged.
    Corrupt,
    /// The file cannot be opened.
    CannotOpen,
    /// The connection to a server is lost.
    Disconnected,
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
    /// What a server says besides.
    pub server: Option<Box<ServerWords>>,
}

/// What a server says of an error besides its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerWords {
    /// Its five characters for the kind of error (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub sqlstate: String,
    /// Its DETAIL.
    pub detail: Option<String>,
    /// Its HINT.
    pub hint: Option<String>,
    /// In which function it happened, the innermost call first.
    pub context: Option<String>,
}

impl ErrorKind {
    /// The kind of SQLite's result code, primary or extended (<https://www.sqlite.org/rescode.html>).
    fn of_code(code: i32) -> Self {
        const LOCKED_SHAREDCACHE: i32 = 262;
        match (code, code & 0xFF) {
            // Another connection of this process that shares the cache: it ends its transaction as any other does.
            (LOCKED_SHAREDCACHE, _) | (_, 5) => Self::Busy,
            (_, 6) => Self::Locked,
            (_, 8) => Self::ReadOnly,
            (_, 10) => Self::Io,
            (_, 11) => Self::Corrupt,
            (_, 13) => Self::Full,
            (_, 14) => Self::CannotOpen,
            (_, 19) => Self::Constraint,
            (_, 26) => Self::NotADatabase,
            _ => Self::Other,
        }
    }

    /// The kind that SQLite's message tells: the texts of its result codes, and those that it puts in their place.
    fn of_message(message: &str) -> Self {
        const STARTS: [(&str, ErrorKind); 12] = [
            ("no such table", ErrorKind::MissingTable),
            ("database is locked", ErrorKind::Busy),
            // These two name what another connection holds in a shared cache.
            ("database table is locked: ", ErrorKind::Busy),
            ("database schema is locked: ", ErrorKind::Busy),
            ("database table is locked", ErrorKind::Locked),
            ("attempt to write a readonly database", ErrorKind::ReadOnly),
            ("disk I/O error", ErrorKind::Io),
            ("database disk image is malformed", ErrorKind::Corrupt),
            ("malformed database schema", ErrorKind::Corrupt),
            ("database or disk is full", ErrorKind::Full),
            ("unable to open database", ErrorKind::CannotOpen),
            ("file is not a database", ErrorKind::NotADatabase),
        ];
        let start = STARTS.iter().find(|(start, _)| message.starts_with(start));
        match start {
            Some((_, kind)) => *kind,
            None if message.contains("constraint failed") => Self::Constraint,
            None => Self::Other,
        }
    }
}

impl DatabaseError {
    /// An error of this kind in these words, at no place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), offset: None, server: None }
    }

    /// An error that is about a server, in words of this program's, with a way out where there is one.
    #[cfg(feature = "postgres")]
    pub(crate) fn about_server(kind: ErrorKind, message: impl Into<String>, hint: Option<String>) -> Self {
        let words = ServerWords { hint, ..ServerWords::default() };
        Self { server: Some(Box::new(words)), ..Self::new(kind, message) }
    }

    /// An error of SQLite's: its result code, primary or extended, where the library tells it, and its message as
    /// SQLite has it. Without the code the message tells the kind.
    pub fn of_sqlite(code: Option<i32>, message: impl Into<String>) -> Self {
        let message = message.into();
        let kind = match code.map_or(ErrorKind::Other, ErrorKind::of_code) {
            // "No such table" has no code of its own.
            ErrorKind::Other => ErrorKind::of_message(&message),
            kind => kind,
        };
        Self::new(kind, message)
    }

    /// A server's five characters for the kind of error; empty where no server has said any.
    #[must_use]
    pub fn sqlstate(&self) -> &str {
        self.server.as_ref().map_or("", |server| &server.sqlstate)
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseError {}

/// A connection to a database: all that the runner asks of a library.
///
/// `rusqlite::Connection` is one with the feature `rusqlite`. A program on another library writes a newtype of its own
/// over that library's connection, and needs three things of it: to run a text, to read rows whose columns are known
/// only when they come, and the message of an error, with its result code if it can be had. The values of a row are
/// what SQLite stores, whatever the columns are declared as.
///
/// What the library keeps for itself must not stand in the way: no cache of prepared statements, since each text runs
/// once, and no transaction of the library's own, since the runner begins and ends its transactions with statements.
pub trait Connection {
    /// Runs one statement to its end; rows that it gives are dropped.
    ///
    /// The runner has cut a migration's text into its statements and has looked for parameters, so a library's
    /// interface for several statements without parameters will do.
    ///
    /// # Errors
    /// What the database says, best made by [`DatabaseError::of_sqlite`].
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError>;

    /// Runs one statement and gives each of its rows, until `each` breaks off. The values of a row are lent for that
    /// call alone, so all rows may go through the same memory; a library that has no way to stop may go on reading.
    ///
    /// # Errors
    /// What the database says.
    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError>;

    /// Whether a transaction is open, by SQLite's own account: it ends one by itself when the disk is full, say.
    ///
    /// Few libraries tell. What is provided asks SQLite, which begins no transaction within another; a beginning
    /// alone takes no lock (<https://www.sqlite.org/lang_transaction.html>).
    ///
    /// # Errors
    /// What the database says.
    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        match self.execute("BEGIN DEFERRED", &[]) {
            Ok(()) => self.execute("COMMIT", &[]).map(|()| false),
            Err(error) if error.message == "cannot start a transaction within a transaction" => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// What a program holds in a box is a connection all the same.
impl<C: Connection + ?Sized> Connection for Box<C> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
        (**self).execute(sql, params)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        (**self).query(sql, params, each)
    }

    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        (**self).in_transaction()
    }
}

#[cfg(any(test, feature = "rusqlite"))]
mod rusqlite_connection {
    use std::ops::ControlFlow;

    use build_support::token::{TokenKind, tokens};
    use rusqlite::types::{ToSqlOutput, ValueRef};
    use rusqlite::{ToSql, params_from_iter};

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
        DatabaseError { offset, ..DatabaseError::of_sqlite(error.sqlite_error().map(|it| it.extended_code), message) }
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
            let refuse = |message: &str| DatabaseError::new(ErrorKind::Other, message);
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
    use std::io::Write as _;

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

    /// The kind of an error that SQLite has given; its message alone tells the same.
    #[track_caller]
    fn kind<T>(result: rusqlite::Result<T>) -> ErrorKind {
        let error = DatabaseError::from(result.err().unwrap());
        assert_eq!(DatabaseError::of_sqlite(None, error.message.as_str()).kind, error.kind, "{}", error.message);
        error.kind
    }

    #[test]
    fn a_message_without_a_code_tells_the_kind_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch("CREATE TABLE a (b UNIQUE, c CHECK (c > 0)); INSERT INTO a VALUES (1, 1)").unwrap();
        for sql in ["INSERT INTO a VALUES (1, 1)", "INSERT INTO a VALUES (2, 0)"] {
            assert_eq!(kind(connection.execute(sql, [])), ErrorKind::Constraint, "{sql}");
        }
        assert_eq!(kind(connection.prepare("SELECT * FROM b")), ErrorKind::MissingTable);
        assert_eq!(kind(connection.prepare("SELECT d FROM a")), ErrorKind::Other);
        let other = rusqlite::Connection::open(&file).unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        assert_eq!(kind(other.execute_batch("BEGIN EXCLUSIVE")), ErrorKind::Busy);
        connection.execute_batch("COMMIT; PRAGMA query_only = ON").unwrap();
        assert_eq!(kind(connection.execute_batch("DELETE FROM a")), ErrorKind::ReadOnly);
        let filled = "PRAGMA max_page_count = 3; CREATE TABLE d AS SELECT zeroblob(9999)";
        assert_eq!(kind(other.execute_batch(filled)), ErrorKind::Full);
        assert_eq!(kind(rusqlite::Connection::open(folder.path().join("none/a.db"))), ErrorKind::CannotOpen);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("no database, and longer than the header of one: ".repeat(9).as_bytes()).unwrap();
        let none = rusqlite::Connection::open(file.path()).unwrap();
        assert_eq!(kind(none.execute_batch("SELECT * FROM sqlite_master")), ErrorKind::NotADatabase);
    }

    #[test]
    fn a_table_that_an_open_statement_holds_is_locked_and_what_another_connection_holds_is_busy() {
        let connection = rusqlite::Connection::open("file:held?mode=memory&cache=shared").unwrap();
        connection.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1), (2)").unwrap();
        let mut statement = connection.prepare("SELECT b FROM a").unwrap();
        let mut rows = statement.query([]).unwrap();
        rows.next().unwrap().unwrap();
        assert_eq!(kind(connection.execute_batch("DROP TABLE a")), ErrorKind::Locked);

        let other = rusqlite::Connection::open("file:held?mode=memory&cache=shared").unwrap();
        assert_eq!(kind(other.execute_batch("DELETE FROM a")), ErrorKind::Busy);
        // Here the message alone does not tell the two apart.
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = DatabaseError::from(other.execute_batch("BEGIN EXCLUSIVE").unwrap_err());
        assert_eq!(error.kind, ErrorKind::Busy);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_cannot_be_read_is_an_error_of_the_disk() {
        // The first page of a process's memory is never there, which is an input error to who reads it.
        assert_eq!(kind(rusqlite::Connection::open("/proc/self/mem")), ErrorKind::Io);
    }

    #[test]
    fn without_help_from_the_library_sqlite_says_whether_a_transaction_is_open() {
        struct Plain(rusqlite::Connection);
        impl Connection for Plain {
            fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
                Connection::execute(&mut self.0, sql, params)
            }

            fn query(
                &mut self,
                sql: &str,
                params: &[Value],
                each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
            ) -> Result<(), DatabaseError> {
                self.0.query(sql, params, each)
            }
        }
        let mut plain = Plain(rusqlite::Connection::open_in_memory().unwrap());
        assert_eq!(plain.in_transaction(), Ok(false));
        assert!(plain.0.is_autocommit(), "asking has left a transaction open");
        plain.execute("BEGIN", &[]).unwrap();
        assert_eq!(plain.in_transaction(), Ok(true));
        plain.execute("ROLLBACK", &[]).unwrap();
        assert_eq!(plain.in_transaction(), Ok(false));
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
