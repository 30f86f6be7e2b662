//! A workspace whose members share a database: its status beside `cargo metadata`, its upgrade beside bare rusqlite.

use std::path::Path;
use std::time::Duration;

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::plan::{Package, Packages};
use migrate_runtime::runner::{self, Files, Options};
use rusqlite::Connection;

use crate::command::{metadata, ours as command, process};
use crate::generate;
use crate::pairs::{Pairs, time};
use crate::run::{TABLE, bare, schema, version_rows};

/// Measures both in a workspace of this many members and revisions.
pub fn measure(members: usize, size: usize, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let revisions = generate::workspace(folder, members, size);
    let (ours_at, bare_at) = (folder.join("ours.db"), folder.join("bare.db"));
    upgrade(folder, &ours_at, members, size);
    let rows = version_rows(&ours_at);
    let pairs =
        Pairs::measure(rounds, || upgrade(folder, &ours_at, members, size), || bare(&bare_at, &revisions, &rows));
    assert_eq!(schema(&ours_at), schema(&bare_at), "the two sides did not do the same");
    println!("run      {size:>6} revisions  of {members} packages beside bare rusqlite  {}", pairs.ratio());
    process(command(folder, &["-q", "upgrade", "--workspace"]));
    for verb in ["status", "upgrade"] {
        let pairs = Pairs::measure(
            rounds.max(9),
            || process(command(folder, &[verb, "--workspace"])),
            || process(metadata(folder)),
        );
        println!("command  {size:>6} revisions  {verb} --workspace beside cargo metadata  {}", pairs.difference());
    }
}

/// Reads the folders, plans and runs on a new database.
fn upgrade(folder: &Path, database: &Path, members: usize, size: usize) -> Duration {
    let _ = std::fs::remove_file(database);
    let (elapsed, report) = time(|| {
        let read = |member: usize| {
            let name = format!("part-{member:02}");
            let directory = Directory::new(folder.join("crates").join(&name).join("migrations"), "migrations");
            let graph = RevisionGraph::new(&name, directory.read().unwrap()).unwrap();
            (name, directory, graph)
        };
        let all: Vec<_> = (0..members).map(read).collect();
        let packages = Packages::new(all.iter().map(|(key, _, graph)| Package { key, graph }).collect()).unwrap();
        let files: Vec<_> = all.iter().map(|(package, directory, graph)| Files { package, graph, directory }).collect();
        let mut connection = Connection::open(database).unwrap();
        let mut driver = SqliteDriver::new(&mut connection, TABLE);
        let now = || "2025-01-01T00:00:00Z".to_owned();
        let options = Options::new(Duration::from_secs(30), &now, env!("CARGO_PKG_VERSION"));
        let targets = vec![Some("head"); members];
        let planner = |history: &_| packages.upgrade(history, &targets);
        runner::run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap()
    });
    assert_eq!(report.done.len(), size);
    elapsed
}
