//! SQLite: `BEGIN IMMEDIATE`, foreign keys switched off outside the transaction and checked before its commit.
//!
//! `PRAGMA foreign_keys` has no effect inside a transaction (<https://www.sqlite.org/pragma.html#pragma_foreign_keys>),
//! and with enforcement on a `DROP TABLE` first deletes the table's rows, with what cascades from them
//! (<https://www.sqlite.org/lang_droptable.html>); so enforcement is decided before each transaction.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use build_support::checksum::Checksum;
use build_support::problem::printable;
use build_support::revision::RevisionId;

use crate::connection::{Connection, DatabaseError, ErrorKind, Value};
use crate::driver::{Driver, Enforcement};
use crate::history::{AppliedRevision, History, State};
use crate::split_lock::{self, SplitLock};
use crate::sqlite::{Newest, Store, StoreError, Violations, offending_rows, one_statement, quoted, values};

/// A SQLite connection as a driver. What it changes of the connection's settings it puts back when it is dropped.
#[derive(Debug)]
pub struct SqliteDriver<'c> {
    store: Store<'c>,
    table: String,
    foreign_keys: Option<bool>,
    references: Option<BTreeSet<String>>,
    violations: Option<Violations>,
    /// The largest sequence number, and how many revisions each package has.
    last: Option<i64>,
    counts: HashMap<String, i64>,
    /// Rows of the version table that are written with the next ones: each change of the schema makes SQLite prepare
    /// the statement anew, which takes longer than the row.
    unwritten: Vec<Value>,
    split: Option<SplitLock>,
}

impl<'c> SqliteDriver<'c> {
    /// Drives a connection whose version table has this name, a plain identifier.
    #[must_use]
    pub fn new(connection: &'c mut dyn Connection, table: &str) -> Self {
        Self {
            store: Store::new(connection, table),
            table: table.to_owned(),
            foreign_keys: None,
            references: None,
            violations: None,
            last: None,
            counts: HashMap::new(),
            unwritten: Vec::new(),
            split: None,
        }
    }

    /// The version table and the schema, for looking; rows that were recorded since [`Driver::finish`] may be missing.
    pub fn store(&mut self) -> &mut Store<'c> {
        &mut self.store
    }

    /// A number that the version table gives.
    fn number(&mut self, sql: &str, parameters: &[Value]) -> Result<i64, DatabaseError> {
        let mut number = 0;
        self.store.connection().query(sql, parameters, &mut |row| {
            number = row.first().and_then(Value::as_i64).unwrap_or(0);
            ControlFlow::Break(())
        })?;
        Ok(number)
    }

    /// The next sequence number of all packages, and how many revisions of this one are applied with the next.
    fn next_numbers(&mut self, package: &str) -> Result<(i64, i64), DatabaseError> {
        let table = quoted(&self.table);
        let last = match self.last {
            Some(last) => last,
            None => self.number(&format!("SELECT coalesce(max(sequence), 0) FROM {table}"), &[])?,
        };
        let count = match self.counts.get(package) {
            Some(count) => *count,
            None => {
                self.write_rows()?;
                self.number(&format!("SELECT count(*) FROM {table} WHERE package = ?1"), &[package.into()])?
            }
        };
        self.last = Some(last + 1);
        match self.counts.get_mut(package) {
            Some(known) => *known = count + 1,
            None => {
                self.counts.insert(package.to_owned(), count + 1);
            }
        }
        Ok((last + 1, count + 1))
    }

    /// Writes the rows that wait.
    fn write_rows(&mut self) -> Result<(), DatabaseError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.unwritten);
        self.store.insert_values(&rows)
    }

    /// Whether a setting of the connection is on.
    fn flag(&mut self, pragma: &str) -> Result<bool, DatabaseError> {
        let mut on = false;
        self.store.connection().query(&format!("PRAGMA {pragma}"), &[], &mut |row| {
            on = row.first().and_then(Value::as_i64) == Some(1);
            ControlFlow::Break(())
        })?;
        Ok(on)
    }

    fn set_flag(&mut self, pragma: &str, on: bool) -> Result<(), DatabaseError> {
        self.store.connection().execute(&format!("PRAGMA {pragma} = {}", if on { "ON" } else { "OFF" }), &[])
    }

    fn enforce(&mut self, on: bool) -> Result<(), DatabaseError> {
        self.set_flag("foreign_keys", on)
    }

    /// The first value of a query's first column that is not true, as text.
    fn first_untrue(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        let mut wrong = None;
        self.store.connection().query(query, &[], &mut |row| {
            let value = row.first().unwrap_or(&Value::Null);
            let holds = match value {
                Value::Integer(number) => *number != 0,
                Value::Real(number) => *number != 0.0,
                Value::Null | Value::Text(_) | Value::Blob(_) => false,
            };
            if holds {
                return ControlFlow::Continue(());
            }
            wrong = Some(match value {
                Value::Null => "NULL".to_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                Value::Text(text) => format!("'{}'", printable(text).chars().take(80).collect::<String>()),
                Value::Blob(_) => "a blob".to_owned(),
            });
            ControlFlow::Break(())
        })?;
        Ok(wrong)
    }
}

/// The file of a connection's main database; `None` where it is in memory.
fn main_file(connection: &mut dyn Connection) -> Result<Option<PathBuf>, DatabaseError> {
    let mut file = None;
    connection.query("SELECT file FROM pragma_database_list WHERE name = 'main'", &[], &mut |row| {
        file = row.first().and_then(Value::as_str).filter(|file| !file.is_empty()).map(PathBuf::from);
        ControlFlow::Break(())
    })?;
    Ok(file)
}

fn not_locked(error: &std::io::Error) -> DatabaseError {
    DatabaseError::new(ErrorKind::CannotOpen, format!("cannot lock a file beside the database: {error}"))
}

/// Whether a process is in the middle of a run that commits more than once. For those that only read: it creates no
/// file.
///
/// # Errors
/// What the database says; a lock that cannot be looked at.
pub fn is_under_way(connection: &mut dyn Connection) -> Result<bool, DatabaseError> {
    match main_file(connection)? {
        Some(file) => split_lock::is_held(&file).map_err(|error| not_locked(&error)),
        None => Ok(false),
    }
}

/// How many values wait at most before they are written; SQLite takes 999 parameters or more.
const MOST_UNWRITTEN: usize = 32 * 17;
/// The length in bytes from which a down text is written at once.
const LONG_DOWN: usize = 4096;

/// Tries again while the database is busy, until the time is over.
fn patiently(
    wait: Duration,
    waiting: &mut dyn FnMut(),
    mut attempt: impl FnMut() -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    let mut told = false;
    loop {
        match attempt() {
            Err(error) if error.kind == ErrorKind::Busy && start.elapsed() < wait => {
                if !told && start.elapsed() > Duration::from_secs(1) {
                    waiting();
                    told = true;
                }
                std::thread::sleep(pause.min(wait.saturating_sub(start.elapsed())));
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

impl Driver for SqliteDriver<'_> {
    fn table_name(&self) -> &str {
        &self.table
    }

    fn begin(
        &mut self,
        enforcement: Enforcement,
        wait: Duration,
        waiting: &mut dyn FnMut(),
    ) -> Result<(), DatabaseError> {
        if self.foreign_keys.is_none() {
            self.foreign_keys = Some(self.flag("foreign_keys")?);
        }
        self.enforce(enforcement == Enforcement::Immediate)?;
        (self.references, self.violations, self.last) = (None, None, None);
        self.counts.clear();
        self.unwritten.clear();
        let connection = self.store.connection();
        patiently(wait, waiting, || connection.execute("BEGIN IMMEDIATE", &[]))
    }

    fn commit(&mut self, wait: Duration) -> Result<(), DatabaseError> {
        self.write_rows()?;
        let connection = self.store.connection();
        patiently(wait, &mut || {}, || connection.execute("COMMIT", &[]))
    }

    fn rollback(&mut self) {
        self.unwritten.clear();
        let connection = self.store.connection();
        if connection.in_transaction().unwrap_or(false) {
            let _ = connection.execute("ROLLBACK", &[]);
        }
    }

    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        self.store.connection().in_transaction()
    }

    fn history(&mut self) -> Result<History, StoreError> {
        self.write_rows()?;
        self.store.read_history()
    }

    fn newest(&mut self, package: &str) -> Result<Option<Newest>, StoreError> {
        self.write_rows()?;
        self.store.newest(package)
    }

    fn ensure_table(&mut self) -> Result<(), StoreError> {
        self.store.ensure_table()
    }

    fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError> {
        self.write_rows()?;
        self.store.stored_down(package, id)
    }

    fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        one_statement(statement)?;
        self.store.connection().execute(statement, &[])
    }

    fn offending_rows(&mut self, statement: &str, error: &DatabaseError) -> Vec<String> {
        offending_rows(self.store.connection(), statement, error)
    }

    fn verify(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        one_statement(query)?;
        // It holds inside a transaction too (<https://www.sqlite.org/pragma.html#pragma_query_only>).
        let before = self.flag("query_only")?;
        self.set_flag("query_only", true)?;
        let wrong = self.first_untrue(query);
        self.set_flag("query_only", before)?;
        wrong
    }

    fn record(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError> {
        let (sequence, count) = self.next_numbers(&row.package)?;
        self.unwritten.extend(values(row, sequence, count, down));
        // The down texts are what can be long: no more than one such waits.
        let long = down.is_some_and(|down| down.len() > LONG_DOWN);
        if long || self.unwritten.len() >= MOST_UNWRITTEN { Ok(self.write_rows()?) } else { Ok(()) }
    }

    fn mark(&mut self, package: &str, id: &RevisionId, state: State, elapsed_ms: i64) -> Result<(), StoreError> {
        self.write_rows()?;
        self.store.mark(package, id, state, elapsed_ms)
    }

    fn amend(
        &mut self,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        self.write_rows()?;
        self.store.amend(package, id, checksum, down)
    }

    fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError> {
        self.write_rows()?;
        self.store.rename_package(old, new)
    }

    fn forget(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        self.write_rows()?;
        self.last = None;
        self.counts.clear();
        self.store.delete(package, id)
    }

    fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError> {
        self.write_rows()?;
        self.store.finish(packages)
    }

    fn look_at_keys(&mut self, rows: bool) -> Result<usize, StoreError> {
        if self.references.is_none() {
            self.references = Some(self.store.broken_references()?);
        }
        if rows && self.violations.is_none() {
            self.violations = Some(self.store.violations()?);
        }
        Ok(self.violations.as_ref().map_or(0, |violations| violations.count))
    }

    fn newly_broken_keys(&mut self) -> Result<Vec<String>, StoreError> {
        if self.references.is_none() && self.violations.is_none() {
            return Ok(Vec::new());
        }
        let references = self.store.references()?;
        let mut broken = Vec::new();
        if let Some(before) = &self.references {
            let now = self.store.broken_among(&references)?;
            broken.extend(
                now.difference(before)
                    .map(|reference| format!("{}, which is not there or not unique", printable(reference))),
            );
        }
        if let Some(before) = &self.violations {
            let now = self.store.violations_among(&references)?;
            broken.extend(now.more_than(before).map(|(violation, more)| {
                let rows = match (violation.rowid, more) {
                    (Some(rowid), _) => format!("row {rowid}"),
                    (None, 1) => "a row".to_owned(),
                    (None, _) => format!("each of {more} rows"),
                };
                printable(&format!(
                    "{rows} of `{}` ({}) points to no row of `{}`",
                    violation.table, violation.columns, violation.parent
                ))
            }));
            if now.truncated && !before.truncated {
                broken.push("and more".to_owned());
            }
        }
        Ok(broken)
    }

    fn hold_split(&mut self) -> Result<bool, DatabaseError> {
        if self.split.is_some() {
            return Ok(true);
        }
        // A database in memory has no other process to keep out.
        let Some(file) = main_file(self.store.connection())? else { return Ok(true) };
        self.split = SplitLock::take(&file).map_err(|error| not_locked(&error))?;
        Ok(self.split.is_some())
    }

    fn release_split(&mut self) {
        self.split = None;
    }

    /// By `VACUUM INTO` (<https://www.sqlite.org/lang_vacuum.html#vacuuminto>).
    fn back_up(&mut self, to: &Path) -> Result<(), DatabaseError> {
        let path = to.to_str().ok_or_else(|| DatabaseError::new(ErrorKind::CannotOpen, "its path is not UTF-8"))?;
        self.store.connection().query("VACUUM INTO ?1", &[path.into()], &mut |_| ControlFlow::Continue(()))
    }
}

impl Drop for SqliteDriver<'_> {
    fn drop(&mut self) {
        // Without a run there is nothing of ours, and a transaction that is open is the program's own.
        if let Some(on) = self.foreign_keys {
            self.rollback();
            // Nothing can be told from here; a connection that cannot take a PRAGMA is of no more use to its owner.
            let _ = self.enforce(on);
        }
    }
}

#[cfg(test)]
mod tests {
    use build_support::checksum::{Checksum, Seal, StatementsHash};
    use build_support::migration::Directives;

    use super::*;

    fn row(number: i64) -> AppliedRevision {
        let hex = "0f".repeat(32);
        AppliedRevision {
            package: "app".to_owned(),
            id: RevisionId::new(&format!("r{number}")).unwrap(),
            sequence: 0,
            checksum: Checksum::of("a"),
            statements: StatementsHash::parse(&format!("statements:{hex}")).unwrap(),
            seal: Seal::parse(&format!("seal:{hex}")).unwrap(),
            parents: Vec::new(),
            depends: Vec::new(),
            directives: Directives::default(),
            message: String::new(),
            applied_count: 0,
            state: State::Applied,
            applied_at: String::new(),
            elapsed_ms: 0,
            tool_version: String::new(),
            schema_hash: None,
        }
    }

    #[test]
    fn a_query_of_a_verify_section_writes_nothing_and_the_setting_is_as_before() {
        for before in [false, true] {
            let mut connection = rusqlite::Connection::open_in_memory().unwrap();
            connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
            let mut driver = SqliteDriver::new(&mut connection, "_m");
            driver.begin(Enforcement::Deferred, Duration::ZERO, &mut || {}).unwrap();
            driver.set_flag("query_only", before).unwrap();
            for write in ["DELETE FROM t RETURNING 1", "CREATE TEMP TABLE u AS SELECT 1", "PRAGMA user_version = 1"] {
                assert_eq!(driver.verify(write).unwrap_err().kind, ErrorKind::ReadOnly, "{write}");
            }
            assert_eq!(driver.verify("SELECT count(*) = 1 FROM t"), Ok(None));
            assert_eq!(driver.verify("SELECT x = 1 FROM t ORDER BY random()"), Ok(None));
            assert_eq!(driver.verify("SELECT x = 2 FROM t"), Ok(Some("0".to_owned())));
            assert!(driver.verify("SELECT missing FROM t").is_err());
            assert_eq!(driver.flag("query_only"), Ok(before));
            driver.set_flag("query_only", false).unwrap();
            driver.commit(Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn rows_that_wait_are_kept_with_the_transaction_and_forgotten_with_it() {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut driver = SqliteDriver::new(&mut connection, "_m");
        let mut run = |numbers: std::ops::Range<i64>, keep: bool| {
            driver.begin(Enforcement::Deferred, Duration::ZERO, &mut || {}).unwrap();
            driver.ensure_table().unwrap();
            let long = "x".repeat(LONG_DOWN + 1);
            for number in numbers {
                driver.record(&row(number), (number % 7 == 0).then_some(long.as_str())).unwrap();
            }
            if keep {
                driver.commit(Duration::ZERO).unwrap()
            } else {
                driver.rollback()
            }
            driver.history().unwrap()
        };
        assert_eq!(run(1..100, false).rows().len(), 0);
        assert_eq!(run(1..101, true).rows().len(), 100);
        assert_eq!(run(101..103, false).rows().len(), 100);
        let history = run(101..103, true);
        for (number, found) in (1..).zip(history.rows()) {
            let numbers = (found.id.as_str().to_owned(), found.sequence, found.applied_count);
            assert_eq!(numbers, (format!("r{number}"), number, number));
        }
        assert_eq!(history.rows().len(), 102);
        assert_eq!(driver.stored_down("app", &row(98).id).unwrap().map(|down| down.len()), Some(LONG_DOWN + 1));
    }
}
