//! Runs that are killed: whatever the moment, the database is as it was before the run or as it is after it, and the
//! next run goes on from there.

use std::time::{Duration, Instant};

use crate::harness::{Project, scale};
use crate::pages::ground::Ground;

pages! {
    a_run_killed_at_any_moment_has_happened_wholly_or_not_at_all,
    a_killed_run_of_many_commits_keeps_whole_revisions_and_goes_on,
    a_killed_revision_outside_a_transaction_is_found_at_once,
}

/// A project with a database that has one revision, and more that are pending: as many, or as a server has in that time,
/// where each table is several files.
fn project(ground: &dyn Ground, revisions: usize) -> (Project, usize) {
    let project = Project::on(ground);
    let revisions = if project.databases().dialect() == "sqlite" { revisions } else { revisions.min(60) };
    project.migration("a000", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE first (x TEXT);\n");
    project.run(&["upgrade"]).done();
    let long = "x".repeat(3000);
    for number in 1..=revisions {
        let parent = number - 1;
        // With a cache of few pages SQLite writes into the file long before the commit: the dangerous kind of run.
        let small_cache = number == 1 && project.databases().dialect() == "sqlite";
        let cache = if small_cache { "PRAGMA cache_size = 5;\n" } else { "" };
        project.migration(
            &format!("a{number:03}"),
            &format!(
                "-- migrate:parent a{parent:03}\n-- migrate:up\n{cache}CREATE TABLE t{number:03} (x TEXT);\n\
                 INSERT INTO t{number:03} VALUES ('{long}');\n-- migrate:down\nDROP TABLE t{number:03};\n"
            ),
        );
    }
    (project, revisions)
}

/// How many revisions are applied, as the tool says, which is the first to meet what a killed run has left; the tables
/// are exactly theirs.
#[track_caller]
fn applied(project: &Project, about: &str) -> usize {
    let status = project.run(&["--format", "json", "status"]).done().json();
    let applied = usize::try_from(status["applied"].as_u64().unwrap()).unwrap();
    if project.databases().dialect() == "sqlite" {
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok", "{about}");
    }
    assert_eq!(project.tables().len(), applied, "{about}");
    applied
}

/// The time that a run takes, after which the project is as before.
fn measured(project: &Project, run: &[&str]) -> Duration {
    let start = Instant::now();
    project.run(run).done();
    let length = start.elapsed();
    start_again(project);
    length
}

fn start_again(project: &Project) {
    project.run(&["-q", "downgrade", "a000", "--no-backup"]).done();
}

/// 200 kills at full scale, spread over the time that a run takes.
fn a_run_killed_at_any_moment_has_happened_wholly_or_not_at_all(ground: &dyn Ground) {
    let (project, revisions) = project(ground, 200);
    let mut length = measured(&project, &["-q", "upgrade"]);
    let kills = ((200.0 * scale()) as u32).max(20);
    let mut inside = 0;
    for kill in 0..kills {
        let mut run = project.command(&["-q", "upgrade"]).spawn().unwrap();
        std::thread::sleep(length * kill / kills);
        let wrote = project.databases().kill("dev", &mut run);
        let about = format!("kill {kill}");
        let applied = applied(&project, &about);
        assert!(applied == 1 || applied == revisions + 1, "{applied} applied after {about}");
        inside += usize::from(wrote && applied == 1);
        let start = Instant::now();
        project.run(&["-q", "upgrade"]).done();
        // Each run that nobody kills tells anew how long one takes; where the kill came too late, the next one is sooner.
        length = if applied == 1 { start.elapsed() } else { length * 4 / 5 };
        assert_eq!(project.tables().len(), revisions + 1, "{about}");
        start_again(&project);
    }
    assert!(inside > 0, "none of {kills} kills over {length:?} fell into the transaction");
}

/// A run that commits after each revision keeps those that it has committed.
fn a_killed_run_of_many_commits_keeps_whole_revisions_and_goes_on(ground: &dyn Ground) {
    let (project, revisions) = project(ground, 40);
    let mut length = measured(&project, &["-q", "upgrade", "--per-revision"]);
    let kills = ((50.0 * scale()) as u32).max(5);
    let mut between = 0;
    for kill in 1..=kills {
        let mut run = project.command(&["-q", "upgrade", "--per-revision"]).spawn().unwrap();
        std::thread::sleep(length * kill / (kills + 1));
        project.databases().kill("dev", &mut run);
        let applied = applied(&project, &format!("kill {kill}"));
        between += usize::from(applied > 1 && applied <= revisions);
        if applied > revisions {
            length = length * 4 / 5;
        }
        project.run(&["-q", "upgrade"]).done();
        // The killed one's lock file is of no use to anybody, and in nobody's way.
        let _ = std::fs::remove_file(project.path("app.db-migrate"));
        start_again(&project);
    }
    assert!(between > 0, "none of {kills} kills over {length:?} fell between two commits");
}

/// A killed revision outside a transaction is found, and whoever comes next does not wait for the dead.
fn a_killed_revision_outside_a_transaction_is_found_at_once(ground: &dyn Ground) {
    const ROWS: &str = "3000000";
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.run(&["upgrade"]).done();
    project.migration(
        "a2",
        &format!(
            "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO u \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT {ROWS};\n"
        ),
    );
    let before = project.databases().size("dev");
    let mut run = project.command(&["-q", "upgrade"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until its second statement runs.
    while project.databases().size("dev") < before + (1 << 20) {
        assert!(Instant::now() < deadline && run.try_wait().unwrap().is_none(), "the run never came so far");
        std::thread::sleep(Duration::from_millis(5));
    }
    project.databases().kill("dev", &mut run);
    let ran = project.run_bounded(&["--wait", "100", "upgrade"]);
    ran.refused(&["[interrupted]", "repair --finished a2"]);
    let rows = project.ask("SELECT count(*) FROM u");
    // A server ends by itself what it was told to do.
    assert!(rows == "0" || rows == ROWS && project.databases().dialect() == "postgres", "{rows}");
    project.execute("DROP TABLE u");
    project.run(&["repair", "--not-applied", "a2"]).done();
    project.run(&["current"]).done().says("a1");
}
