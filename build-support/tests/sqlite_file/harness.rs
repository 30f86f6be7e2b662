//! Databases with a version table, and what SQLite says of them.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use build_support::checksum::{Checksum, Seal, StatementsHash};
use build_support::revision::RevisionId;
use build_support::sqlite_file::{AppliedRow, read_settled, read_version_table};
use rusqlite::Connection;

pub const TABLE: &str = "_cargo_migrate";

/// The statement that makes the version table.
pub const CREATE: &str = "CREATE TABLE IF NOT EXISTS \"_cargo_migrate\" (
    package TEXT NOT NULL,
    revision TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    statements TEXT NOT NULL,
    seal TEXT NOT NULL,
    parents TEXT NOT NULL,
    depends TEXT NOT NULL,
    directives TEXT NOT NULL,
    message TEXT NOT NULL,
    applied_count INTEGER NOT NULL,
    down TEXT,
    state TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    elapsed_ms INTEGER NOT NULL,
    tool_version TEXT NOT NULL,
    schema_hash TEXT,
    PRIMARY KEY (package, revision),
    UNIQUE (package, sequence)
)";

/// A share of a test's full size, from `MIGRATE_TEST_SCALE`.
pub fn scaled(full: u64, least: u64) -> u64 {
    let share: f64 = std::env::var("MIGRATE_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(0.1);
    ((full as f64 * share) as u64).max(least)
}

/// The same for what takes long: a tenth of the scale is a hundredth of the work.
pub fn steeply_scaled(full: u64, least: u64) -> u64 {
    (scaled(full, 1).pow(2) / full).max(least)
}

/// Numbers that look random and are the same in each run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

pub fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    connection
}

/// Adds a row to the version table, with a stored down of so many characters.
pub fn insert(connection: &Connection, package: &str, number: usize, down: usize) {
    let hash = |seed: usize| format!("{:064x}", seed * 7919 + number);
    let mut statement = connection
        .prepare(
            "INSERT INTO _cargo_migrate(package, revision, sequence, checksum, statements, seal, parents, depends, \
             directives, message, applied_count, down, state, applied_at, elapsed_ms, tool_version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', '', '', ?7, 0, ?8, ?9, '2026-01-01T00:00:00Z', 5, '0.1.0')",
        )
        .unwrap();
    statement
        .execute((
            package,
            format!("r{number:05}_größe"),
            number as i64,
            format!("sha256:{}", hash(1)),
            format!("statements:{}", hash(2)),
            format!("seal:{}", hash(3)),
            format!("what {number} is for"),
            (down > 0).then(|| "DROP TABLE é;".chars().cycle().take(down).collect::<String>()),
            ["applied", "applied", "reverting", "running", "applied", "applied", "applied"][number % 7],
        ))
        .unwrap();
}

/// A package's rows as SQLite gives them; `None` where it refuses to read them, and the same where a row is unreadable.
pub fn asked(path: &Path, package: &str) -> Option<Vec<AppliedRow>> {
    let connection = Connection::open(path).ok()?;
    // A damaged schema may name a table otherwise than the table's own statement; the command goes by the schema.
    let named = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_cargo_migrate' COLLATE NOCASE";
    if connection.query_row(named, [], |row| row.get::<_, i64>(0)).ok()? == 0 {
        return Some(Vec::new());
    }
    let mut statement = connection
        .prepare(
            "SELECT revision, sequence, checksum, statements, seal, state, typeof(sequence) \
             FROM _cargo_migrate NOT INDEXED WHERE +package = ?1 ORDER BY sequence, revision",
        )
        .ok()?;
    let mut rows = statement.query([package]).ok()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().ok()? {
        let text = |at: usize| row.get::<_, String>(at).ok();
        found.push(AppliedRow {
            id: RevisionId::new(&text(0)?).ok()?,
            sequence: row.get(1).ok()?,
            checksum: Checksum::parse(&text(2)?)?,
            statements: StatementsHash::parse(&text(3)?)?,
            seal: Seal::parse(&text(4)?)?,
            running: match text(5)?.as_str() {
                "applied" => false,
                "running" | "reverting" => true,
                _ => return None,
            },
        });
    }
    Some(found)
}

/// Compares what is read from a closed database with what SQLite says, for each package; gives the number of rows.
#[track_caller]
pub fn same(path: &Path, packages: &[&str], about: &str) -> usize {
    let mut count = 0;
    for package in packages {
        let read = read_settled(path, TABLE, package).unwrap_or_else(|error| panic!("{about}: {error}"));
        assert_eq!(Some(&read), asked(path, package).as_ref(), "{about}, {package}");
        count += read.len();
    }
    count
}

/// The number of a package's rows in a file.
#[track_caller]
pub fn count(path: &Path) -> usize {
    read_version_table(path, TABLE, "app").unwrap_or_else(|error| panic!("{error}")).len()
}

/// A copy of a database with its log and its journal, as they are now, in a folder of its own: this process has the
/// original open through SQLite, so it must not read that itself.
pub fn copy(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.db");
    for ending in ["", "-wal", "-journal"] {
        let from = path.with_file_name(format!("{}{ending}", path.file_name().unwrap().to_str().unwrap()));
        if from.exists() {
            fs::copy(from, folder.path().join(format!("copy.db{ending}"))).unwrap();
        }
    }
    (folder, to)
}

/// Writes over some bytes of a file.
pub fn patch(path: &Path, place: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(place)).unwrap();
    file.write_all(bytes).unwrap();
}

/// A new database with these settings and bytes reserved on each page; the version table is not there yet.
pub fn create(path: &Path, settings: &str, reserved: u8) -> Connection {
    let connection = open(path);
    connection.execute_batch(&format!("{settings}; PRAGMA user_version = 1")).unwrap();
    if reserved == 0 {
        return connection;
    }
    // The number of reserved bytes of a database that has no table yet can be set in its only page: in the header, and
    // where the page's free space ends.
    let page_size: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    connection.close().unwrap();
    patch(path, 20, &[reserved]);
    patch(path, 105, &((page_size - i64::from(reserved)) as u16).to_be_bytes());
    open(path)
}
