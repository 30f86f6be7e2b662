//! `check` where the database's file is not there.

use crate::harness::Project;
use crate::pages::table;

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let project = Project::new();
    project.migration("a1", &table("base", "t"));
    project.run(&["lock"]).done();
    project.run(&["check"]).done().says("no database: `dev` (app.db) is not there");
    assert!(!project.path("app.db").exists());
}
