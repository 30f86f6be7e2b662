//! Runs that are killed: whatever the moment, the database is as it was before the run or as it is after it, and the
//! next run goes on from there.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{Project, scale};

const REVISIONS: usize = 200;

/// A project with a database that has one revision, and so many more that are pending.
fn project(revisions: usize) -> Project {
    let project = Project::new();
    project.migration("a000", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE first (x);\n");
    project.run(&["upgrade"]).done();
    for number in 1..=revisions {
        let parent = number - 1;
        // With a cache of few pages SQLite writes into the file long before the commit: the dangerous kind of run.
        let cache = if number == 1 { "PRAGMA cache_size = 5;\n" } else { "" };
        project.migration(
            &format!("a{number:03}"),
            &format!(
                "-- migrate:parent a{parent:03}\n-- migrate:up\n{cache}CREATE TABLE t{number:03} (x);\n\
                 INSERT INTO t{number:03} VALUES (zeroblob(3000));\n"
            ),
        );
    }
    project
}

/// The files that a run may touch, and what they were.
struct Before(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Before {
    fn of(project: &Project) -> Self {
        let names = ["app.db", "app.db-journal", "migrations/migrate.lock", "migrations/migrate.local"];
        Self(names.map(|name| (project.path(name), fs::read(project.path(name)).ok())).into())
    }

    fn restore(&self) {
        for (path, bytes) in &self.0 {
            match bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => drop(fs::remove_file(path)),
            }
        }
    }
}

/// 200 kills at full scale, spread over the time that a run takes. `--nocapture` shows where they fell.
#[test]
#[expect(clippy::disallowed_macros, reason = "how well the kills were spread is for a person to see")]
fn a_run_killed_at_any_moment_has_happened_wholly_or_not_at_all() {
    let project = project(REVISIONS);
    let before = Before::of(&project);
    let start = Instant::now();
    project.run(&["-q", "upgrade"]).done();
    let mut length = start.elapsed();
    before.restore();
    let kills = ((200.0 * scale()) as u32).max(20);
    let (mut inside, mut hot, mut after) = (0, 0, 0);
    for kill in 0..kills {
        let mut child = project.command(&["-q", "upgrade"]).spawn().unwrap();
        std::thread::sleep(length * kill / kills);
        child.kill().unwrap();
        child.wait().unwrap();
        // A journal is there from the transaction's first write to its commit. Root or not, nobody else touches it.
        let journal = project.path("app.db-journal").exists();
        let written = project.bytes("app.db") != before.0[0].1.as_deref().unwrap();
        inside += usize::from(journal);
        hot += usize::from(journal && written);

        // The tool itself is the first to meet what the killed one left.
        let status = project.run(&["--format", "json", "status"]).done().json();
        let applied = status["applied"].as_u64().unwrap();
        assert!(applied == 1 || applied == REVISIONS as u64 + 1, "{applied} applied after kill {kill}");
        after += usize::from(applied > 1);
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]*'";
        let expected = if applied == 1 { "0".to_owned() } else { REVISIONS.to_string() };
        assert_eq!(project.ask(tables), expected, "kill {kill}");
        let start = Instant::now();
        project.run(&["-q", "upgrade"]).done();
        // Each run that nobody kills tells anew how long one takes; where the kill came too late, the next one is sooner.
        length = if applied == 1 { start.elapsed() } else { length * 4 / 5 };
        assert_eq!(project.ask(tables), REVISIONS.to_string(), "kill {kill}");
        before.restore();
    }
    println!(
        "{kills} kills, over {length:?} at the end: {inside} inside the transaction, {hot} of them with pages written, {after} after the commit"
    );
    assert!(inside > 0, "none of {kills} kills over {length:?} fell into the transaction");
}

/// A run that commits after each revision keeps those that it has committed.
#[test]
fn a_killed_run_of_many_commits_keeps_whole_revisions_and_goes_on() {
    let revisions = 40;
    let project = project(revisions);
    let before = Before::of(&project);
    let start = Instant::now();
    project.run(&["-q", "upgrade", "--per-revision"]).done();
    let length = start.elapsed();
    before.restore();
    let kills = ((50.0 * scale()) as u32).max(5);
    let mut between = 0;
    for kill in 1..=kills {
        let mut child = project.command(&["-q", "upgrade", "--per-revision"]).spawn().unwrap();
        std::thread::sleep(length * kill / (kills + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        let status = project.run(&["--format", "json", "status"]).done().json();
        let applied = status["applied"].as_u64().unwrap();
        let tables = project.ask("SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]*'");
        assert_eq!(tables, (applied - 1).to_string(), "kill {kill}");
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
        between += usize::from(applied > 1 && applied <= revisions as u64);
        project.run(&["-q", "upgrade"]).done();
        // The killed one's lock file is of no use to anybody, and in nobody's way.
        let _ = fs::remove_file(project.path("app.db-migrate"));
        before.restore();
    }
    assert!(between > 0, "none of {kills} kills over {length:?} fell between two commits");
}

/// A killed revision outside a transaction is found, and whoever comes next does not wait for the dead.
#[test]
fn a_killed_revision_outside_a_transaction_is_found_at_once() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO u \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 1000000000;\n",
    );
    let mut child = project.command(&["-q", "upgrade"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !project.path("app.db-migrate").exists() || fs::read(project.path("app.db-journal")).is_err() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the run never came so far");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Until its second statement runs.
    while fs::metadata(project.path("app.db")).unwrap().len() < 1 << 20 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the run never came so far");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = project.run_bounded(&["--wait", "100", "upgrade"]);
    ran.refused(&["[interrupted]", "repair --finished a2"]);
    assert_eq!(project.ask("SELECT count(*) FROM u"), "0");
    project.database().execute_batch("DROP TABLE u").unwrap();
    project.run(&["repair", "--not-applied", "a2"]).done();
    project.run(&["current"]).done().says("a1");
}
