//! Whether a file is a whole database, and what is in it.

use std::path::Path;

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::history::History;
use migrate_runtime::runner::{database_problem, store_problem};
use migrate_runtime::sqlite::{Store, StoreError};
use rusqlite::Connection;

use crate::failure::Result;
use crate::live;

/// A file that is given as a backup is none, or a damaged one.
pub const DAMAGED: Code = Code("backup-damaged");

/// How many findings of SQLite's are read in the search for one that is damage.
const MOST_FINDINGS: u32 = 100_000;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its version table; `None` where it is not one that this tool reads.
    pub history: Option<History>,
    /// Whether it has a version table at all.
    pub has_table: bool,
    /// How many pages it has.
    pub pages: u64,
    /// How large each of them is, in bytes.
    pub page_size: u64,
    pub(super) soundness: Soundness,
}

impl Content {
    /// Why not all of it could be checked, where that is so.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        match &self.soundness {
            Soundness::Unknown(why) => Some(why),
            Soundness::Sound | Soundness::Damaged(_) => None,
        }
    }
}

/// What SQLite found when it read all of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    /// Nothing.
    Sound,
    /// It could not look at everything: the schema uses functions or collations that a program brings along.
    Unknown(String),
    /// Damage; the first of it.
    Damaged(String),
}

/// Reads a file that nobody writes to as a whole.
pub(super) fn read_back(path: &Path, table: &str) -> std::result::Result<Content, Problem> {
    let refused = |error: rusqlite::Error| database_problem(&DatabaseError::from(error)).in_file(path);
    let mut connection = live::file::open_unchanging(path).map_err(refused)?;
    look_into(&mut connection, table, path)
}

/// Reads all that an open database has.
pub(super) fn look_into(
    connection: &mut Connection,
    table: &str,
    path: &Path,
) -> std::result::Result<Content, Problem> {
    let refused = |error: rusqlite::Error| database_problem(&DatabaseError::from(error)).in_file(path);
    let number = |connection: &Connection, pragma: &str| -> rusqlite::Result<u64> {
        let number: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
        Ok(u64::try_from(number).unwrap_or_default())
    };
    let soundness = soundness(connection).map_err(refused)?;
    let pages = number(connection, "page_count").map_err(refused)?;
    let page_size = number(connection, "page_size").map_err(refused)?;
    let history = match &soundness {
        Soundness::Damaged(_) => None,
        Soundness::Sound | Soundness::Unknown(_) => {
            history(connection, table).map_err(|error| store_problem(&error).in_file(path))?
        }
    };
    let there = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    let is_damaged = matches!(soundness, Soundness::Damaged(_));
    let has_table = !is_damaged && connection.query_row(there, [table], |row| row.get(0)).map_err(refused)?;
    Ok(Content { history, has_table, pages, page_size, soundness })
}

/// A database's history; `None` where its version table holds what this tool does not write. Such a database can be kept
/// and restored all the same.
pub(super) fn history(connection: &mut Connection, table: &str) -> std::result::Result<Option<History>, StoreError> {
    match Store::new(connection, table).read_history() {
        Ok(history) => Ok(Some(history)),
        Err(StoreError::Database(error)) if error.kind != ErrorKind::Other => Err(StoreError::Database(error)),
        Err(_) => Ok(None),
    }
}

/// Whether a file starts as a SQLite database does (<https://www.sqlite.org/fileformat.html>, 1.3).
pub(super) fn is_sqlite(path: &Path) -> bool {
    use std::io::Read as _;
    let mut first = [0; 16];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && &first == b"SQLite format 3\0"
}

/// The history that a backup holds; `None` where it cannot be read.
pub(super) fn history_of(path: &Path, table: &str) -> Option<History> {
    let mut connection = live::file::open_unchanging(path).ok()?;
    Store::new(&mut connection, table).read_history().ok()
}

fn soundness(connection: &Connection) -> rusqlite::Result<Soundness> {
    match findings(connection) {
        Ok(None) => Ok(Soundness::Sound),
        Ok(Some(damage)) => Ok(Soundness::Damaged(damage)),
        Err(error) => {
            let error = DatabaseError::from(error);
            match error.kind {
                ErrorKind::Corrupt | ErrorKind::NotADatabase => Ok(Soundness::Damaged(printable(&error.message))),
                // Such as "no such collation sequence", of which only the program knows the order.
                ErrorKind::Other | ErrorKind::MissingTable => Ok(Soundness::Unknown(printable(&error.message))),
                _ => findings(connection).map(|found| found.map_or(Soundness::Sound, Soundness::Damaged)),
            }
        }
    }
}

/// The first finding that is damage. A value that its column or a CHECK would not take today is not: SQLite keeps it as
/// faithfully as any other.
fn findings(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA main.integrity_check({MOST_FINDINGS})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let finding: String = row.get(0)?;
        let of_a_value = finding.starts_with("CHECK constraint failed in ")
            || finding.split_once(" value in ").is_some_and(|(kind, _)| !kind.contains(' '));
        if finding != "ok" && !of_a_value {
            return Ok(Some(printable(&finding)));
        }
    }
    Ok(None)
}

/// Looks into all of a file that is to be restored. Nothing is made beside it.
///
/// # Errors
/// [`DAMAGED`]
pub(super) fn inspect(path: &Path, table: &str) -> Result<(Connection, Content)> {
    let refused = |why: String| {
        Problem::new(DAMAGED, format!("this is no backup that could be restored: {}", printable(&why)))
            .in_file(path)
            .note("the database is as it was")
            .help("choose another one: `cargo migrate backups` lists them")
    };
    let file = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if !file.is_file() {
        return Err(refused("it is not a file".to_owned()).into());
    }
    if file.len() == 0 {
        return Err(refused("it is empty".to_owned()).into());
    }
    // What has a log or a journal beside it is a database in use, and no still copy of one.
    for beside in ["-wal", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        if std::fs::metadata(&name).is_ok_and(|file| file.len() > 0) {
            let problem = refused(format!("`{beside}` beside it holds a part of what was written"));
            return Err(problem
                .help("it is a database of its own: back it up with `-d sqlite:FILE backup` first")
                .into());
        }
    }
    let mut connection = live::file::open_unchanging(path).map_err(|error| refused(error.to_string()))?;
    let content = look_into(&mut connection, table, path)
        .map_err(|problem| refused(problem.notes().first().map_or(problem.message(), |note| note).to_owned()))?;
    match &content.soundness {
        Soundness::Damaged(what) => Err(refused(what.clone()).into()),
        Soundness::Sound | Soundness::Unknown(_) => Ok((connection, content)),
    }
}
