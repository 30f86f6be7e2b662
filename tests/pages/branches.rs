//! Forked histories, and histories that grew in another order than their dates.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    two_heads_are_refused_and_both_named,
    a_revision_merged_late_with_an_earlier_date_is_applied_and_taken_off_first,
    steps_ids_and_base_are_understood,
    a_missing_parent_a_circle_and_an_id_used_twice_name_both_files,
    a_merge_without_sections_goes_up_and_down,
    who_takes_an_edited_revision_off_as_advised_keeps_what_stands_beside_it,
}

fn two_heads_are_refused_and_both_named(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "a"));
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &table("a1", "c"));
    project.run(&["upgrade", "head"]).refused(&["2 heads", "b1", "c1"]);
    assert!(project.databases().is_untouched("dev"));
    project.run(&["upgrade", "heads"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "3");
}

fn a_revision_merged_late_with_an_earlier_date_is_applied_and_taken_off_first(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("2025_01_01_a", &table("base", "a"));
    project.migration("2025_03_01_c", &table("2025_01_01_a", "c"));
    project.run(&["upgrade"]).done();
    project.migration("2025_02_01_b", &table("2025_03_01_c", "b"));
    project.run(&["upgrade"]).done().says("2025_03_01_c -> 2025_02_01_b");
    project.run(&["downgrade", "-1"]).done();
    project.run(&["current"]).done().says("2025_03_01_c");
}

fn steps_ids_and_base_are_understood(ground: &dyn Ground) {
    let project = Project::on(ground);
    for (id, parent) in [("a1", "base"), ("b1", "a1"), ("c1", "b1")] {
        project.migration(id, &table(parent, &format!("t_{id}")));
    }
    project.run(&["upgrade", "+1"]).done();
    project.run(&["current"]).done().says("a1");
    project.run(&["upgrade", "c1-1"]).done();
    project.run(&["current"]).done().says("b1");
    project.run(&["upgrade", "head"]).done();
    project.run(&["downgrade", "a1"]).done();
    project.run(&["current"]).done().says("a1");
    project.run(&["upgrade", "+9"]).refused(&["9 steps were asked for, and 2 revisions are pending"]);
    project.run(&["downgrade", "base"]).done();
    project.run(&["current"]).done().says("base");
}

fn a_missing_parent_a_circle_and_an_id_used_twice_name_both_files(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("zz", "a"));
    project.run(&["upgrade"]).refused(&["missing-parent", "a1.sql", "zz.sql"]);
    project.migration("a1", &table("b1", "a"));
    project.migration("b1", &table("a1", "b"));
    project.run(&["upgrade"]).refused(&["circle", "a1.sql", "b1.sql"]);
}

fn a_merge_without_sections_goes_up_and_down(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a", &table("base", "t_a"));
    project.migration("b", &table("a", "t_b"));
    project.migration("c", &table("a", "t_c"));
    project.migration("d", "-- migrate:parent b, c\n");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "-1"]).done();
    project.run(&["upgrade"]).done();
}

/// The command that an `edited` revision is told to be taken off with.
#[track_caller]
fn way_off(said: &str) -> Vec<String> {
    let (_, command) = said.split_once("or take it off first (`cargo migrate ").unwrap_or_else(|| panic!("{said}"));
    command.split_once('`').unwrap().0.split(' ').map(str::to_owned).collect()
}

fn who_takes_an_edited_revision_off_as_advised_keeps_what_stands_beside_it(ground: &dyn Ground) {
    let merge = "-- migrate:parent b2, c1\n-- migrate:up\n-- migrate:down\n";
    for (edited, left) in [
        ("a1", &[][..]),
        ("b1", &["t_a1", "t_c1"]),
        ("b2", &["t_a1", "t_b1", "t_c1"]),
        ("c1", &["t_a1", "t_b1", "t_b2"]),
        ("m1", &["t_a1", "t_b1", "t_b2", "t_c1"]),
    ] {
        // Given two branches that a merge has joined, and a change of both sections of an applied file.
        let project = Project::on(ground);
        for (id, parent) in [("a1", "base"), ("b1", "a1"), ("b2", "b1"), ("c1", "a1")] {
            project.migration(id, &table(parent, &format!("t_{id}")));
        }
        project.migration("m1", merge);
        project.run(&["upgrade"]).done();
        let text = project.read(&format!("migrations/{edited}.sql"));
        let other =
            text.replace("up\n", "up\nCREATE TABLE more (x INTEGER);\n").replace("down\n", "down\nDROP TABLE more;\n");
        project.migration(edited, &other);
        // When it is taken off as the message says.
        let said = project.refuses(&["upgrade"], &["error[edited]", "take it off first"]).err;
        let command = way_off(&said);
        assert!(command.ends_with(&["--down-from".to_owned(), "stored".to_owned()]), "{command:?}");
        project.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).done();
        // Then the other branch is there still, and the new text can be applied.
        assert_eq!(project.tables(), left, "{edited}");
        project.run(&["upgrade"]).done();
        assert_eq!(project.tables().len(), 5, "{edited}");
    }
}
