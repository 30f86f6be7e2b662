//! Backups that nobody has asked for: before whatever takes rows along, and not more of them than are of use.

use std::fs;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::keeping::{names, project};

pages! {
    whatever_takes_rows_along_keeps_them_first,
    a_protected_database_is_kept_once_it_is_said_that_it_is_meant,
    the_last_few_that_were_made_by_themselves_stay_and_all_that_were_made_by_hand,
    of_two_that_hold_the_same_one_stays,
}

/// How many of them were made by themselves, and how many by hand.
fn counts(project: &Project) -> (usize, usize) {
    let (automatic, by_hand): (Vec<_>, Vec<_>) = names(project).into_iter().partition(|name| name.contains("-auto"));
    (automatic.len(), by_hand.len())
}

fn whatever_takes_rows_along_keeps_them_first(ground: &dyn Ground) {
    let without = |project: &Project, file: &str| fs::remove_file(project.path(&format!("migrations/{file}"))).unwrap();
    // A revision that is deleted with what it has made.
    let deleting = project(ground);
    without(&deleting, "a2.sql");
    deleting.run(&["delete", "a1", "--downgrade"]).done().says("it can lose data: `t1` is dropped").says("Backup");
    // One that another branch has, taken off by following this one.
    let following = project(ground);
    for file in ["a1.sql", "a2.sql", "migrate.local"] {
        without(&following, file);
    }
    following.run(&["sync", "--yes"]).done().says("it can lose data: `t1` is dropped").says("Backup");
    for project in [deleting, following] {
        assert_eq!(project.tables(), [""; 0]);
        assert_eq!(counts(&project), (1, 0));
        project.run(&["restore", "--yes"]).done().says("it has revisions that have no file here: a1");
        assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
    }
    // What the record says of a revision is data, too.
    let settling = project(ground);
    settling.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO missing VALUES (1);\n",
    );
    settling.run(&["upgrade"]).refused(&["sql-error"]);
    settling.run(&["repair", "--not-applied", "a2"]).done().says("Backup");
    settling.run(&["restore", "--yes"]).done();
    settling.run(&["status"]).done().says("was interrupted");
}

fn a_protected_database_is_kept_once_it_is_said_that_it_is_meant(ground: &dyn Ground) {
    let project = project(ground);
    project.configure("dev", "protected = true");
    project.refuses(&["downgrade", "-1"], &["[not-confirmed]", "protected", "--yes"]);
    assert_eq!(names(&project), [""; 0]);
    project.run(&["downgrade", "-1", "--yes"]).done().says("Backup");
    assert_eq!(counts(&project), (1, 0));
    project.refuses(&["restore"], &["[not-confirmed]", "--yes"]);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
}

fn the_last_few_that_were_made_by_themselves_stay_and_all_that_were_made_by_hand(ground: &dyn Ground) {
    let project = project(ground);
    let manifest = project.read("Cargo.toml");
    project.run(&["backup"]).done();
    // Five, where nothing is said.
    for number in 10..17 {
        project.execute(&format!("INSERT INTO t1 VALUES ({number})"));
        project.run(&["stamp", "a1", "--purge"]).done();
    }
    assert_eq!(counts(&project), (5, 1));
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"\n", "database = \"dev\"\nkeep = 2\n"));
    for _ in 0..2 {
        project.run(&["backup"]).done();
    }
    for number in 20..24 {
        project.execute(&format!("INSERT INTO t1 VALUES ({number})"));
        project.run(&["restore", "--yes"]).done();
    }
    let (automatic, by_hand) = counts(&project);
    assert_eq!(by_hand, 3);
    // Two, and the one that was restored.
    assert!((2..=3).contains(&automatic), "{:?}", names(&project));
}

fn of_two_that_hold_the_same_one_stays(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup", "--to", "b"]).done();
    project.execute("INSERT INTO t1 VALUES (2)");
    for expected in [1, 2, 2, 2] {
        project.run(&["restore", "b", "--yes"]).done();
        assert_eq!(names(&project).len(), expected, "{:?}", names(&project));
    }
    // The other one is what was there first.
    let first = names(&project).pop().unwrap();
    project.run(&["restore", &first, "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t1 ORDER BY x"), ["1", "2"]);
}
