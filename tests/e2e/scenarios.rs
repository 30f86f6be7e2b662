//! The days of a careful developer.

use crate::harness::Project;

const USERS: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE users (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE users;\n";

#[test]
fn it_works_as_cargo_runs_it_and_by_itself() {
    let project = Project::new();
    project.migration("001_users", USERS);
    project.run(&["migrate", "heads"]).done().says("001_users");
    project.run(&["heads"]).done().says("001_users");
    assert_eq!(project.run(&["heeds"]).status, 2);
}

#[test]
fn a_project_is_started_from_nothing() {
    let project = Project::new();
    project
        .write("Cargo.toml", "[package]\nname = \"fresh\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
    project.run(&["init"]).done();
    project.run(&["revision", "-m", "create users", "--rev-id", "a1"]).done();
    project.run(&["upgrade"]).done();
    assert!(project.path("fresh.db").exists());
    assert!(project.read(".gitignore").contains("migrate.local"));
    project.run(&["init"]).done();
}
