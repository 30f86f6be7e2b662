//! Copies of databases by SQLite's backup API (<https://www.sqlite.org/backup.html>): [`out`] of one that is in use, and
//! [`into`] one that is in use.
//!
//! A copy is of one moment. With a write-ahead log a read transaction pins that moment, and nobody is held up however
//! long the copy takes. With a rollback journal such a transaction would keep all writers from their commits, so they are
//! let in between any two steps. Who comes in makes SQLite start from the first page, and who writes often would let no
//! copy end: after three such starts the rest is copied in one go, for which writers have to wait.

use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

/// The pages of one step: some milliseconds, after which a writer may come in and progress is told.
const PAGES: i32 = 1000;
/// How often SQLite may start over before writers are held up.
const MOST_RESTARTS: u32 = 3;
/// How long to sleep before asking again for a database that somebody holds.
const BREATH: Duration = Duration::from_millis(20);

/// What is told while a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many pages are copied, of so many.
    Pages {
        /// Copied so far.
        done: u64,
        /// All there are.
        total: u64,
    },
    /// Somebody has written meanwhile, and the copy starts from the first page.
    StartedOver,
    /// Somebody keeps writing: from here to the end of the copy, writers have to wait.
    HoldsWritersUp,
    /// Another process holds the database that is written to; it is waited for.
    Waits,
}

/// Why a copy was not made.
#[derive(Debug)]
pub enum CopyError {
    /// Another process held the database locked for longer than there was time to wait.
    Busy,
    /// What SQLite says.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => Self::Busy,
            _ => Self::Database(error),
        }
    }
}

/// Copies a database that others may be writing to, and gives what `look` sees in it at the very moment that the copy is
/// of. The source waits for locks as its connection was told to; nothing in its files is changed.
///
/// # Errors
/// A source that is locked for longer or cannot be read, or a target that cannot be written.
pub fn out<T>(
    source: &mut Connection,
    target: &mut Connection,
    watch: &mut dyn FnMut(Step),
    look: impl FnOnce(&mut Connection) -> T,
) -> Result<T, CopyError> {
    let copied = copy_out(source, target, watch).map(|()| look(source));
    // Whatever happened, nobody is held up any longer.
    if !source.is_autocommit() {
        source.execute_batch("ROLLBACK")?;
    }
    copied
}

/// Copies, and leaves the transaction open in which the last page was read.
fn copy_out(source: &Connection, target: &mut Connection, watch: &mut dyn FnMut(Step)) -> Result<(), CopyError> {
    let mode: String = source.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let mut pinned = mode == "wal";
    pin(source)?;
    let backup = Backup::new(source, target)?;
    let (mut restarts, mut left) = (0, u64::MAX);
    loop {
        let step = backup.step(PAGES)?;
        let progress = backup.progress();
        let (remaining, total) = (pages(progress.remaining), pages(progress.pagecount));
        match step {
            StepResult::More => {}
            StepResult::Done => {
                watch(Step::Pages { done: total, total });
                return Ok(());
            }
            _ => return Err(CopyError::Busy),
        }
        if !pinned {
            source.execute_batch("COMMIT")?;
        }
        // Each step leaves fewer pages, unless this one was the first of a new start.
        if remaining >= left {
            restarts += 1;
            watch(Step::StartedOver);
        }
        left = remaining;
        watch(Step::Pages { done: total.saturating_sub(remaining), total });
        if !pinned {
            if restarts >= MOST_RESTARTS {
                pinned = true;
                watch(Step::HoldsWritersUp);
            }
            pin(source)?;
        }
    }
}

/// Begins a read transaction: what is read from here on is of one moment.
fn pin(source: &Connection) -> rusqlite::Result<()> {
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM main.sqlite_master", [], |_| Ok(()))
}

fn pages(count: i32) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// Puts what nobody writes to in the place of a database's content, in one transaction of SQLite's own: whoever has the
/// database open sees the new content at the next look, and a process that is killed leaves the old one.
///
/// # Errors
/// A target that is locked for longer than `wait` or cannot be written, or a source that cannot be read.
pub fn into(
    source: &Connection,
    target: &mut Connection,
    wait: Duration,
    watch: &mut dyn FnMut(Step),
) -> Result<(), CopyError> {
    into_if(source, target, wait, watch, &mut || Ok(true)).map(drop)
}

/// The same, if that holds which is asked when nobody else can write to the target any more and nothing is written yet.
/// With a rollback journal nobody can read it then either. Gives whether it held; otherwise the target is as it was.
///
/// # Errors
/// As [`into`], and what the question fails with.
pub fn into_if(
    source: &Connection,
    target: &mut Connection,
    wait: Duration,
    watch: &mut dyn FnMut(Step),
    holds: &mut dyn FnMut() -> rusqlite::Result<bool>,
) -> Result<bool, CopyError> {
    let backup = Backup::new(source, target)?;
    // A step of no pages takes the lock alone (<https://www.sqlite.org/c3ref/backup_finish.html>).
    let mut step = patiently(wait, watch, &mut || Ok(Some(backup.step(0)?).filter(|step| is_taken(*step))))?;
    if !holds()? {
        return Ok(false);
    }
    while step != StepResult::Done {
        step = patiently(wait, watch, &mut || Ok(Some(backup.step(PAGES)?).filter(|step| is_taken(*step))))?;
        if step == StepResult::More {
            let progress = backup.progress();
            let (remaining, total) = (pages(progress.remaining), pages(progress.pagecount));
            watch(Step::Pages { done: total.saturating_sub(remaining), total });
        }
    }
    Ok(true)
}

fn is_taken(step: StepResult) -> bool {
    matches!(step, StepResult::More | StepResult::Done)
}

/// Asks again, as long as there is time, for what another process holds.
///
/// # Errors
/// [`CopyError::Busy`] when the time is over, and what asking fails with.
pub fn patiently<T>(
    wait: Duration,
    watch: &mut dyn FnMut(Step),
    ask: &mut dyn FnMut() -> Result<Option<T>, CopyError>,
) -> Result<T, CopyError> {
    let (start, mut told) = (Instant::now(), false);
    loop {
        match ask() {
            Ok(Some(had)) => return Ok(had),
            Ok(None) | Err(CopyError::Busy) if start.elapsed() < wait => {
                if !std::mem::replace(&mut told, true) {
                    watch(Step::Waits);
                }
                thread::sleep(BREATH);
            }
            Ok(None) => return Err(CopyError::Busy),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::live;

    fn open(path: &Path) -> Connection {
        let connection = live::file::open_file(path).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }

    /// Two tables whose sums agree after every transaction, over more pages than one step copies.
    fn database(path: &Path, journal: &str) {
        let connection = open(path);
        connection.execute_batch(&format!("PRAGMA journal_mode = {journal}")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE a (x, filling); CREATE TABLE b (x);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                 INSERT INTO a SELECT 0, zeroblob(3900) FROM n;",
            )
            .unwrap();
    }

    fn sums(connection: &Connection) -> (i64, i64) {
        let sum = |table: &str| {
            connection.query_row(&format!("SELECT total(x) FROM {table}"), [], |row| row.get::<_, f64>(0)).unwrap()
                as i64
        };
        (sum("a"), sum("b"))
    }

    /// Copies while another connection writes between any two steps; gives what was told, the copy's sum, and how often
    /// the writer came through and how often it did not.
    fn copied(journal: &str) -> (Vec<Step>, i64, [u32; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        database(&from, journal);
        let writer = open(&from);
        writer.busy_timeout(Duration::ZERO).unwrap();
        let (mut steps, mut written) = (Vec::new(), [0, 0]);
        let mut watch = |step| {
            steps.push(step);
            if matches!(step, Step::Pages { .. }) {
                let write = "BEGIN; UPDATE a SET x = x + 1 WHERE rowid = 1; INSERT INTO b VALUES (1); COMMIT";
                let done = writer.execute_batch(write);
                written[usize::from(done.is_err())] += 1;
                if done.is_err() {
                    writer.execute_batch("ROLLBACK").unwrap();
                }
            }
        };
        let seen = out(&mut open(&from), &mut open(&to), &mut watch, |source| sums(source).0).unwrap();
        let copy = open(&to);
        let (a, b) = sums(&copy);
        assert_eq!(a, b, "{journal}: the copy is of no single moment");
        assert_eq!(a, seen, "{journal}: what was looked at is of another moment");
        let sound: String = copy.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        (steps, a, written)
    }

    #[test]
    fn with_a_log_nobody_is_held_up_and_the_copy_is_of_the_moment_it_began() {
        let (steps, sum, [written, refused]) = copied("WAL");
        assert!(steps.iter().all(|step| matches!(step, Step::Pages { .. })), "{steps:?}");
        assert_eq!((sum, refused), (0, 0));
        assert!(written >= 5, "{written}");
        assert!(matches!(steps.last(), Some(Step::Pages { done, total }) if done == total), "{steps:?}");
    }

    #[test]
    fn with_a_journal_writers_come_in_until_they_would_let_no_copy_end() {
        let (steps, sum, [written, refused]) = copied("DELETE");
        let restarts = steps.iter().filter(|step| **step == Step::StartedOver).count();
        assert_eq!(restarts, 4, "one more for what was written before writers were held up: {steps:?}");
        assert_eq!(steps.iter().filter(|step| **step == Step::HoldsWritersUp).count(), 1);
        assert_eq!((sum, written), (4, 4));
        assert!(refused >= 4, "{refused}");
    }
}
