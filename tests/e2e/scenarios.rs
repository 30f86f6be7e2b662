//! The command as it is started.

use crate::harness::{Project, table};

#[test]
fn it_works_as_cargo_runs_it_and_by_itself() {
    let project = Project::new();
    project.migration("001_users", &table("base", "users"));
    project.run(&["migrate", "heads"]).done().says("001_users");
    project.run(&["heads"]).done().says("001_users");
    assert_eq!(project.run(&["heeds"]).status, 2);
}
