//! Forked histories, and histories that grew in another order than their dates.

use crate::harness::Project;

fn step(parent: &str, table: &str) -> String {
    format!(
        "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {table} (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE {table};\n"
    )
}

#[test]
fn two_heads_are_refused_and_both_named() {
    let project = Project::new();
    project.migration("a1", &step("base", "a"));
    project.migration("b1", &step("a1", "b"));
    project.migration("c1", &step("a1", "c"));
    project.run(&["upgrade", "head"]).refused(&["2 heads", "b1", "c1"]);
    assert!(!project.path("app.db").exists());
    project.run(&["upgrade", "heads"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "3");
}

#[test]
fn a_revision_merged_late_with_an_earlier_date_is_applied_and_taken_off_first() {
    let project = Project::new();
    project.migration("2025_01_01_a", &step("base", "a"));
    project.migration("2025_03_01_c", &step("2025_01_01_a", "c"));
    project.run(&["upgrade"]).done();
    project.migration("2025_02_01_b", &step("2025_03_01_c", "b"));
    project.run(&["upgrade"]).done().says("2025_03_01_c -> 2025_02_01_b");
    project.run(&["downgrade", "-1"]).done();
    project.run(&["current"]).done().says("2025_03_01_c");
}

#[test]
fn steps_ids_and_base_are_understood() {
    let project = Project::new();
    for (id, parent) in [("a1", "base"), ("b1", "a1"), ("c1", "b1")] {
        project.migration(id, &step(parent, &format!("t_{id}")));
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

#[test]
fn a_missing_parent_a_circle_and_an_id_used_twice_name_both_files() {
    let project = Project::new();
    project.migration("a1", &step("zz", "a"));
    project.run(&["upgrade"]).refused(&["missing-parent", "a1.sql", "zz.sql"]);
    project.migration("a1", &step("b1", "a"));
    project.migration("b1", &step("a1", "b"));
    project.run(&["upgrade"]).refused(&["circle", "a1.sql", "b1.sql"]);
}

#[test]
fn a_merge_without_sections_goes_up_and_down() {
    let project = Project::new();
    project.migration("a", &step("base", "t_a"));
    project.migration("b", &step("a", "t_b"));
    project.migration("c", &step("a", "t_c"));
    project.migration("d", "-- migrate:parent b, c\n");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "-1"]).done();
    project.run(&["upgrade"]).done();
}
