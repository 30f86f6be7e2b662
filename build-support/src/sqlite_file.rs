//! A read-only look into a SQLite database file without SQLite, for the version table of a local database.
//!
//! A build script or a procedural macro that wants to know what is applied to a developer's database would otherwise
//! have to link SQLite's C into every build. The format is public and promised to stay
//! (<https://www.sqlite.org/fileformat2.html>; the sections named in these modules are that page's), and the version
//! table takes a small part of it: pages, b-trees, overflow pages, records, the schema table, and the write-ahead log.
//!
//! # Where it must not be used
//!
//! In build scripts and macros alone, **never in a process that has the database open through SQLite**. Closing a file
//! drops all POSIX locks that the process holds on it, SQLite's among them, and the next writer may then destroy the
//! database (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
//!
//! # What it sees
//!
//! It takes no locks and writes nothing, so nothing waits for it. Transactions that are committed to the write-ahead
//! log and not yet copied into the database are seen; those that are not committed are not. The header with its change
//! counter, the length and the time of the last change of the file, the rollback journal and the end of the log are
//! compared before and after each read. If they differ, it reads again a few times and then says [`Changing`].
//!
//! A program that writes with `journal_mode` `OFF` or `MEMORY` tells nobody that a transaction is under way. Hence
//! whoever would refuse something because of what a database says asks [`read_settled`], which reads twice and compares.
//!
//! # What it cannot read
//!
//! It says so, in an [`Unreadable`], for an encrypted database; one whose rollback journal is hot, since SQLite alone
//! may roll it back; a version table that is virtual or has generated columns; columns that a row lacks because they
//! were added after it; and what exceeds its limits, which bound its time and memory on any file: 100,000 rows in a
//! table, 512 MiB of pages, 256 MiB of log, 1 MiB for a value. A page's place in a tree is trusted for nothing else: no
//! page is read twice, none beyond the end, and no tree is deeper than 20.
//!
//! [`Changing`]: Unreadable::Changing

mod btree;
mod files;
mod header;
mod log;
mod record;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod unreadable;

use std::path::Path;
use std::time::Duration;

use crate::checksum::{Checksum, Seal, StatementsHash};
use crate::revision::{LONGEST_ID, RevisionId};

use record::Value;
use snapshot::{Pages, Snapshot};
use table::Table;
pub use unreadable::Unreadable;

/// How long to wait before each further attempt at a database that is being written to, in milliseconds.
const PAUSES: [u64; 5] = [2, 10, 25, 50, 100];

/// A row of the version table, with what a check of files against a database needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRow {
    /// The revision.
    pub id: RevisionId,
    /// Its place in the order of application, over all packages.
    pub sequence: i64,
    /// The file's checksum when it was applied.
    pub checksum: Checksum,
    /// What its upgrade did.
    pub statements: StatementsHash,
    /// The history that it stands on.
    pub seal: Seal,
    /// Whether it is a `no-transaction` revision on its way up or back, or one that was interrupted there, instead of one
    /// that is applied.
    pub running: bool,
}

/// Reads a package's rows of a version table, the first applied first. A database that has no such table has no rows,
/// and neither has a file that is empty or not there: nothing is applied to it.
///
/// This is one consistent read, good enough to tell somebody. To refuse something, use [`read_settled`].
///
/// # Errors
/// Why the file could not be read.
pub fn read_version_table(path: &Path, table: &str, package: &str) -> Result<Vec<AppliedRow>, Unreadable> {
    let rows = consistently(path, &mut |pages| applied(pages, table, package))?;
    Ok(rows.unwrap_or_default())
}

/// The same as [`read_version_table`], read twice. A refusal is made on two equal reads only.
///
/// # Errors
/// Why the file could not be read; [`Unreadable::Changing`] where the two reads differ.
pub fn read_settled(path: &Path, table: &str, package: &str) -> Result<Vec<AppliedRow>, Unreadable> {
    let first = read_version_table(path, table, package)?;
    let second = read_version_table(path, table, package)?;
    if first == second { Ok(second) } else { Err(Unreadable::Changing) }
}

/// Reads something of a database until it stood still meanwhile; `None` where there is no database.
fn consistently<T>(
    path: &Path,
    read: &mut dyn FnMut(&mut Pages<'_>) -> Result<T, Unreadable>,
) -> Result<Option<T>, Unreadable> {
    let mut attempt = || {
        let Some(snapshot) = Snapshot::open(path)? else { return Ok(None) };
        let found = snapshot.pages().and_then(|mut pages| read(&mut pages));
        // A file that is written to meanwhile may look damaged, so the comparison comes first.
        if snapshot.still_holds(path)? { found.map(Some) } else { Err(Unreadable::Changing) }
    };
    let mut found = attempt();
    for pause in PAUSES {
        if !matches!(found, Err(Unreadable::Changing | Unreadable::HotJournal)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(pause));
        found = attempt();
    }
    found
}

/// The columns of the version table that are read, its package first.
const COLUMNS: [&str; 7] = ["package", "revision", "sequence", "checksum", "statements", "seal", "state"];

fn applied(pages: &mut Pages<'_>, name: &str, package: &str) -> Result<Vec<AppliedRow>, Unreadable> {
    let Some(table) = Table::find(pages, name)? else { return Ok(Vec::new()) };
    let place = |column: &str| {
        let found = table.column(column);
        found.ok_or_else(|| Unreadable::Unsupported(format!("`{name}` has no column `{column}`")))
    };
    let columns = COLUMNS.into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let package = Value::Text(package.to_owned());
    let only = columns.first().map(|column| (*column, &package));
    let mut rows = Vec::new();
    table.rows(pages, &columns, only, &mut |values| {
        rows.push(row(name, values)?);
        Ok(())
    })?;
    // Equal numbers stand in a damaged table alone; the order must not hang on where a row lies all the same.
    rows.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
    Ok(rows)
}

/// Reads the values of [`COLUMNS`] of a row of the package.
fn row(table: &str, values: Vec<Option<Value>>) -> Result<AppliedRow, Unreadable> {
    let mut values = COLUMNS.into_iter().zip(values).skip(1);
    let mut next = || match values.next() {
        Some((_, Some(value))) => Ok(value),
        Some((column, None)) => {
            Err(Unreadable::Unsupported(format!("`{table}` has rows from before its column `{column}` was added")))
        }
        None => Err(Unreadable::damaged("a row has too few values")),
    };
    let text = |value: Value| if let Value::Text(text) = value { text } else { String::new() };
    let revision = text(next()?);
    let damaged = |column: &str| {
        let name: String = revision.chars().take(LONGEST_ID).collect();
        Unreadable::damaged(format_args!("the row of `{name}` has an unreadable `{column}`"))
    };
    Ok(AppliedRow {
        id: RevisionId::new(&revision).map_err(|_| damaged("revision"))?,
        sequence: if let Value::Integer(sequence) = next()? { sequence } else { return Err(damaged("sequence")) },
        checksum: Checksum::parse(&text(next()?)).ok_or_else(|| damaged("checksum"))?,
        statements: StatementsHash::parse(&text(next()?)).ok_or_else(|| damaged("statements"))?,
        seal: Seal::parse(&text(next()?)).ok_or_else(|| damaged("seal"))?,
        running: match text(next()?).as_str() {
            "applied" => false,
            "running" | "reverting" => true,
            _ => return Err(damaged("state")),
        },
    })
}
