//! The run itself, beside rusqlite doing the same work.

use std::path::Path;
use std::time::Duration;

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::plan;
use migrate_runtime::runner::{self, Files, Options};
use migrate_runtime::sqlite::create_table_sql;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::generate::Revision;
use crate::pairs::{Pairs, time};

pub const TABLE: &str = "_cargo_migrate";

pub const COLUMNS: &str = "package, revision, sequence, checksum, statements, seal, parents, depends, directives, message, \
    applied_count, down, state, applied_at, elapsed_ms, tool_version, schema_hash";

/// Measures both sides on new databases and prints their ratio.
pub fn measure(folder: &Path, revisions: &[Revision], rounds: usize) {
    let (ours_at, bare_at) = (folder.join("ours.db"), folder.join("bare.db"));
    let size = revisions.len();
    ours(folder, &ours_at, size);
    let rows = version_rows(&ours_at);
    let pairs = Pairs::measure(rounds, || ours(folder, &ours_at, size), || bare(&bare_at, revisions, &rows));
    assert_eq!(schema(&ours_at), schema(&bare_at), "the two sides did not do the same");
    println!("run      {size:>6} revisions  empty to head beside bare rusqlite  {}", pairs.ratio());
}

/// Measures how long the folder takes to become a graph, beside reading its bytes.
pub fn measure_reading(folder: &Path, size: usize, rounds: usize) {
    let bytes = || {
        let files = std::fs::read_dir(folder.join("migrations")).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap().len()).sum::<usize>()
    };
    let pairs = Pairs::measure(rounds, || time(|| read(folder)).0, || time(bytes).0);
    println!("reading  {size:>6} revisions  files to graph beside their bytes    {}", pairs.ratio());
}

fn read(folder: &Path) -> (Directory, RevisionGraph) {
    let directory = Directory::new(folder.join("migrations"), "migrations");
    let graph = RevisionGraph::new("app", directory.read().unwrap()).unwrap();
    (directory, graph)
}

/// Reads the folder, plans and runs on a new database.
fn ours(folder: &Path, database: &Path, size: usize) -> Duration {
    let _ = std::fs::remove_file(database);
    let (elapsed, report) = time(|| {
        let (directory, graph) = read(folder);
        let mut connection = Connection::open(database).unwrap();
        let mut driver = SqliteDriver::new(&mut connection, TABLE);
        let files = [Files { package: "app", graph: &graph, directory: &directory }];
        let now = || "2025-01-01T00:00:00Z".to_owned();
        let options = Options::new(Duration::from_secs(30), &now, env!("CARGO_PKG_VERSION"));
        let planner = |history: &_| plan::upgrade("app", &graph, history, "head", "`dev`");
        runner::run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap()
    });
    assert_eq!(report.done.len(), size);
    elapsed
}

/// Executes the statements and inserts the rows, no more.
pub fn bare(database: &Path, revisions: &[Revision], rows: &[Vec<Value>]) -> Duration {
    let _ = std::fs::remove_file(database);
    time(|| {
        let connection = Connection::open(database).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE").unwrap();
        connection.execute_batch(&create_table_sql(TABLE)).unwrap();
        let insert = format!("INSERT INTO {TABLE} ({COLUMNS}) VALUES (?{})", ", ?".repeat(16));
        let mut insert = connection.prepare(&insert).unwrap();
        for (revision, row) in revisions.iter().zip(rows) {
            for statement in &revision.statements {
                connection.execute_batch(statement).unwrap();
            }
            if let Some(query) = &revision.verify {
                assert!(connection.query_row(query, [], |row| row.get::<_, bool>(0)).unwrap());
            }
            insert.execute(rusqlite::params_from_iter(row)).unwrap();
        }
        drop(insert);
        connection.execute_batch("COMMIT").unwrap();
    })
    .0
}

pub fn version_rows(database: &Path) -> Vec<Vec<Value>> {
    let connection = Connection::open(database).unwrap();
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM {TABLE} ORDER BY sequence")).unwrap();
    let rows = statement.query_map([], |row| (0..17).map(|at| row.get(at)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What a database holds, for the comparison of both sides.
pub fn schema(database: &Path) -> (Vec<String>, i64) {
    let connection = Connection::open(database).unwrap();
    let mut statement = connection.prepare("SELECT coalesce(sql, name) FROM sqlite_master ORDER BY rowid").unwrap();
    let objects = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let count = format!("SELECT count(*) FROM {TABLE}");
    (objects, connection.query_row(&count, [], |row| row.get(0)).unwrap())
}
