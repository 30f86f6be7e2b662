//! `test` leaves a copy behind where it is asked to, and nobody in the way of who writes meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::rehearsing::{NOTES, applied, second};

pages! {
    the_copy_is_kept_where_somebody_wants_to_look_at_it,
    a_writer_that_never_rests_neither_stops_a_rehearsal_nor_tears_its_copy,
}

fn the_copy_is_kept_where_somebody_wants_to_look_at_it(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "UPDATE notes SET stars = 9;", "SELECT 1;");
    project.migration("a3", "-- migrate:parent a2\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE tags (x INTEGER);\n-- migrate:down\nDROP TABLE tags;\n");
    let ran = project.run(&["test", "--keep"]).refused(&["not-safe"]);
    let place = ran.err.lines().find_map(|line| line.split_once("the copy is kept: ")).expect(&ran.err).1;
    let kept = project.databases().copies();
    assert_eq!(kept.len(), 1, "{}", ran.err);
    // The next rehearsal leaves it alone.
    project.run(&["test"]).refused(&["not-safe"]);
    assert_eq!(project.databases().copies(), kept);
    // It is as the first revision with a fault has left it.
    project.databases().take_copy(place, "kept");
    assert_eq!(project.list_of("kept", "SELECT stars FROM notes"), ["9", "9", "9", "9"]);
    assert_eq!(project.databases().tables("kept"), ["notes", "people"]);
}

fn a_writer_that_never_rests_neither_stops_a_rehearsal_nor_tears_its_copy(ground: &dyn Ground) {
    let project = with_twins(ground);
    is_rehearsed_while_somebody_writes(&project);
}

/// A project with two tables of which a pending revision holds that they have as many rows.
pub fn with_twins(ground: &dyn Ground) -> Project {
    let project = applied(
        ground,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);\nCREATE TABLE twin (id INTEGER PRIMARY KEY);",
    );
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:down\nDROP TABLE u;\n\
         -- migrate:verify\nSELECT (SELECT count(*) FROM t) = (SELECT count(*) FROM twin);\n",
    );
    project
}

/// What the copy holds is one moment: each transaction adds a row to both tables.
#[track_caller]
pub fn is_rehearsed_while_somebody_writes(project: &Project) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                project.execute(&format!(
                    "BEGIN; INSERT INTO t VALUES ({id}, 'x'); INSERT INTO twin VALUES ({id}); COMMIT"
                ));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..5 {
            let ran = project.run(&["--wait", "60", "test"]);
            if ran.status != 0 {
                stop.store(true, Ordering::Relaxed);
            }
            ran.done();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_ne!(project.ask("SELECT count(*) FROM t"), "0");
    assert_eq!(project.tables(), ["t", "twin"]);
}
