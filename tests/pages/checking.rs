//! `check` without another branch: what files, locks and databases say of each other.

use std::fs;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_build_server_has_no_database_and_that_is_nothing_wrong,
    a_database_that_is_there_is_looked_at,
    an_edited_file_is_told_once_and_a_fork_is_told_too,
    branches_with_labels_of_their_own_are_meant_to_stay_apart,
}

fn a_build_server_has_no_database_and_that_is_nothing_wrong(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.run(&["lock"]).done();
    let ran = project.run(&["check"]).done();
    for line in ["Checked 1 file against migrate.lock", "the only head, a1"] {
        assert!(ran.err.contains(line), "{}", ran.err);
    }
    assert!(project.databases().is_untouched("dev"));

    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace(&project.databases().own("dev"), "\"env:APP_DATABASE\""));
    project.run(&["check"]).done().says("no database: the environment variable `APP_DATABASE` is not set");
    project.run(&["check", "-d", "dev"]).refused(&["error[missing-variable]"]);
    project.write("Cargo.toml", manifest.split("[package.metadata").next().unwrap());
    project.run(&["check"]).done().says("no database: no database is chosen");
    project.run(&["check", "-d", "prod"]).refused(&["error[unknown-database]"]);
}

fn a_database_that_is_there_is_looked_at(ground: &dyn Ground) {
    let project = Project::on(ground);
    let place = format!("({})", project.databases().shown("dev"));
    project.migration("a1", &table("base", "t"));
    project.run(&["upgrade"]).done();
    project.migration("a2", &table("a1", "u"));
    project.run(&["lock"]).done();
    project.run(&["check"]).done().says(&format!("the history of dev {place}"));

    // What another branch has applied there is no fault of this one.
    project.run(&["upgrade"]).done();
    fs::remove_file(project.path("migrations/a2.sql")).unwrap();
    project.run(&["lock"]).done();
    project.run(&["check"]).done().says("warning[unknown-applied]: `a2` is applied to `dev`");

    // The lock of another checkout does not know what this database has.
    project.migration("a1", &table("base", "other"));
    fs::remove_file(project.path("migrations/migrate.local")).unwrap();
    project.run(&["check"]).refused(&[
        "error[edited]",
        "`a1` is applied to `dev`",
        &format!("the history of dev {place}: 2 problems"),
    ]);
}

fn an_edited_file_is_told_once_and_a_fork_is_told_too(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.run(&["upgrade"]).done();
    project.migration("a1", &table("base", "other"));
    project.migration("b1", &table("a1", "b"));
    project.migration("b2", &table("a1", "c"));
    let ran = project.run(&["check"]).refused(&["error[edited]", "error[ambiguous-target]", "b1", "b2", "merge heads"]);
    assert_eq!(ran.err.matches("error[edited]").count(), 1, "{}", ran.err);

    let ran = project.run(&["--format", "json", "check"]);
    assert_eq!(ran.status, 1);
    let codes: Vec<_> =
        ran.json()["problems"].as_array().unwrap().iter().map(|problem| problem["code"].clone()).collect();
    assert_eq!(codes, ["edited", "ambiguous-target"]);
}

fn branches_with_labels_of_their_own_are_meant_to_stay_apart(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    for name in ["web", "jobs"] {
        project.migration(
            &format!("b_{name}"),
            &table("a1", name).replace("-- migrate:up", &format!("-- migrate:label {name}\n-- migrate:up")),
        );
    }
    project.run(&["check"]).done().says("2 heads");
    project.migration("b_third", &table("a1", "third"));
    project.run(&["check"]).done().says("3 heads");
    project.migration("b_fourth", &table("a1", "fourth"));
    project.run(&["check"]).refused(&["error[ambiguous-target]", "4 heads"]);
}
