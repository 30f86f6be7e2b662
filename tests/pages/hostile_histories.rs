//! Histories that cannot be: files that were edited below what is applied, parents that are missing, circles, names that
//! are used twice, and histories of thousands.

use std::fs;

use crate::harness::{Project, scale};
use crate::pages::ground::Ground;
use crate::pages::hostile_files::project;
use crate::pages::table;

pages! {
    an_applied_file_that_was_edited_or_taken_away_stops_every_command_that_would_build_on_it,
    an_edit_and_a_new_name_below_an_applied_revision_are_another_history,
    ids_that_differ_in_case_alone_are_one_id_and_both_files_are_named,
    missing_parents_and_circles_name_all_files_that_are_in_it,
    two_revisions_with_one_label_are_both_pointed_at,
    a_file_that_would_slip_in_before_an_applied_one_has_to_follow_it,
    a_history_of_thousands_in_a_row_overflows_nothing,
    a_merge_of_thousands_overflows_nothing,
}

fn an_applied_file_that_was_edited_or_taken_away_stops_every_command_that_would_build_on_it(ground: &dyn Ground) {
    let project = project(ground);
    let whole = project.read("migrations/a1.sql");
    project.migration("a1", &whole.replace("(id INTEGER", "(other INTEGER, id INTEGER"));
    for verb in [&["upgrade"][..], &["verify"], &["stamp", "head"], &["upgrade", "--sql"]] {
        project.refuses(verb, &["error[edited]", "migrations/a1.sql", "`dev`", "git checkout"]);
    }
    project.run(&["status"]).done().says("error[edited]");
    project.migration("a1", &format!("-- A word.\n{whole}"));
    project.refuses(&["upgrade"], &["edited-comments", "what its upgrade does is the same"]);
    fs::remove_file(project.path("migrations/a1.sql")).unwrap();
    project.migration("a2", &table("base", "t2"));
    project.refuses(&["upgrade"], &["deleted", "a1.sql", "git checkout"]);
    // The database can still be taken back: it knows the way.
    project.run(&["downgrade", "base"]).done();
}

fn an_edit_and_a_new_name_below_an_applied_revision_are_another_history(ground: &dyn Ground) {
    let project = project(ground);
    let whole = project.read("migrations/a1.sql");
    project.migration("a1", &whole.replace("(id INTEGER", "(other INTEGER, id INTEGER"));
    let said = project.refuses(&["upgrade"], &["error[edited]", "a1.sql"]);
    assert!(!said.err.contains("a2.sql"), "what stands on an edited file is not told on top of it\n{}", said.err);
    // Where the lock does not know the edited one, what stands on it does.
    let local = project.read("migrations/migrate.local");
    let without: String =
        local.lines().filter(|line| !line.starts_with("a1 ")).map(|line| format!("{line}\n")).collect();
    project.write("migrations/migrate.local", &without);
    project.refuses(&["upgrade"], &["history-changed", "`a2` now stands on another history"]);
    project.write("migrations/migrate.local", &local);
    project.migration("a1", &whole);
    fs::rename(project.path("migrations/a1.sql"), project.path("migrations/a0.sql")).unwrap();
    project.migration("a2", &table("a0", "t2"));
    project.refuses(&["upgrade"], &["the file of `a1` is gone", "a2.sql", "git checkout"]);
}

fn ids_that_differ_in_case_alone_are_one_id_and_both_files_are_named(ground: &dyn Ground) {
    let project = project(ground);
    project.migration("A2", &table("a1", "u2"));
    project.refuses(&["upgrade"], &["duplicate-id", "migrations/a2.sql", "migrations/A2.sql", "rename"]);
}

fn missing_parents_and_circles_name_all_files_that_are_in_it(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a11", "t2"));
    project.refuses(&["upgrade"], &["missing-parent", "a2.sql:1:1", "a11.sql", "did you mean `a1`?"]);
    // Nobody means the file itself, however near its name is.
    project.migration("a2", &table("a22", "t2"));
    let ran = project.refuses(&["status"], &["missing-parent", "a2.sql:1:1", "a22.sql"]);
    assert!(!ran.err.contains("did you mean `a2`"), "{}", ran.err);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:depends a9\n-- migrate:up\nSELECT 1;\n");
    project.refuses(&["upgrade"], &["missing-parent", "a2.sql:2:1", "a9.sql"]);
    project.migration("a2", &table("a2", "t2"));
    project.refuses(&["upgrade"], &["[cycle]", "a2.sql:1:1", "a2 -> a2"]);
    project.migration("a1", &table("a3", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.migration("a3", &table("a2", "t3"));
    for verb in ["upgrade", "history", "heads"] {
        project.refuses(&[verb], &["[cycle]", "a1.sql:1:1", "a2.sql:1:1", "a3.sql:1:1", "another parent"]);
    }
    project.migration("a1", "-- migrate:parent base\n-- migrate:depends a3\n-- migrate:up\nSELECT 1;\n");
    project.refuses(&["upgrade"], &["[cycle]", "a1.sql", "a2.sql", "a3.sql"]);
}

fn two_revisions_with_one_label_are_both_pointed_at(ground: &dyn Ground) {
    let project = project(ground);
    for id in ["b1", "b2"] {
        project.migration(id, "-- migrate:parent a2\n-- migrate:label billing\n-- migrate:up\nSELECT 1;\n");
    }
    project.refuses(&["upgrade"], &["duplicate-label", "b1.sql:2:1", "b2.sql:2:1", "another label"]);
}

fn a_file_that_would_slip_in_before_an_applied_one_has_to_follow_it(ground: &dyn Ground) {
    for header in ["", "-- migrate:parent a1\n-- migrate:up\n"] {
        let project = Project::on(ground);
        project.migration("a1", "CREATE TABLE t1 (x INTEGER);\n");
        project.migration("a3", "CREATE TABLE t3 (x INTEGER);\n");
        project.run(&["upgrade"]).done();
        project.migration("a2", &format!("{header}CREATE TABLE t2 (x INTEGER);\n"));
        project.refuses(&["upgrade"], &["slipped-in", "a2.sql", "a3.sql", "`-- migrate:parent a3`"]);
        // What the help says to do is enough.
        project.migration("a2", "-- migrate:parent a3\n-- migrate:up\nCREATE TABLE t2 (x INTEGER);\n");
        project.run(&["upgrade"]).done().says("a3 -> a2");
    }
}

fn a_history_of_thousands_in_a_row_overflows_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    let id = |at: usize| if at == 0 { "base".to_owned() } else { format!("c{at:05}") };
    let migrate = |at: usize| {
        let text = format!("-- migrate:parent {}\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n", id(at - 1));
        project.migration(&id(at), &text);
    };
    (1..=5000).for_each(migrate);
    project.run(&["heads"]).done().says("c05000");
    project.run(&["history", "--graph"]).done().says("c00001");
    // The run itself, which is many statements and no depth, is as long as the scale says.
    let run = (5000.0 * scale()) as usize;
    project.run(&["upgrade", &id(run)]).done().says(&format!("upgrade of {run} revisions"));
    project.run(&["downgrade", "c00001"]).done();
    project.run(&["current"]).done().says("c00001");
    // And a circle of thousands is told in a few lines.
    project.migration("c00001", "-- migrate:parent c05000\n-- migrate:up\nSELECT 1;\n");
    let ran = project.run_bounded(&["upgrade"]).refused(&["[cycle]", "5000 files"]);
    assert!(ran.err.len() < 5000, "{}", ran.err.len());
}

fn a_merge_of_thousands_overflows_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("base_of_all", "-- migrate:parent base\n-- migrate:up\nSELECT 1;\n");
    let ids: Vec<String> = (0..1000).map(|at| format!("w{at:04}")).collect();
    for id in &ids {
        project.migration(id, "-- migrate:parent base_of_all\n-- migrate:up\nSELECT 1;\n");
    }
    project.refuses(&["upgrade"], &["ambiguous-target", "1000 heads"]);
    project.migration("z", &format!("-- migrate:parent {}\n-- migrate:up\nSELECT 1;\n", ids.join(", ")));
    project.run(&["history", "--graph"]).done();
    project.run(&["upgrade"]).done().says("upgrade of 1002 revisions");
    project.run(&["current"]).done().says("z (head)");
}
