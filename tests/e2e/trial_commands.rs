//! What a stranger met: two databases and the wrong one changed, another branch taken for a deletion, a marker that was
//! not seen.

use crate::harness::{Project, table};

/// A project whose only other database cannot be reached at will: its URL is in a variable.
fn with_hidden() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}mine = {{ url = \"env:MINE\", shared = false }}\n"));
    project
}

#[test]
fn what_this_checkout_knows_to_be_applied_somewhere_out_of_reach_is_not_deleted() {
    let project = with_hidden();
    project.migration("a1", &table("base", "t1"));
    let mut upgrade = project.command(&["-d", "mine", "upgrade"]);
    assert!(upgrade.env("MINE", "sqlite:mine.db").status().unwrap().success());
    assert!(project.read("migrations/migrate.local").contains("  mine\n"));

    project.refuses(&["delete", "a1"], &["not reached, so not asked: mine", "still-applied", "applied to `mine`"]);
    let mut delete = project.command(&["-d", "mine", "delete", "a1", "--downgrade"]);
    assert!(delete.env("MINE", "sqlite:mine.db").status().unwrap().success());
}

/// `a1` is applied to `dev` and to `prod`.
fn with_production() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}prod = {{ url = \"sqlite:prod.db\", shared = true }}\n"));
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.run(&["-d", "prod", "upgrade"]).done();
    project
}

#[test]
fn a_suggested_command_works_on_the_database_that_was_worked_on() {
    let project = with_production();
    project.refuses(&["-d", "prod", "downgrade", "-2"], &["`cargo migrate -d prod status`"]);
    let mut downgrade = project.command(&["downgrade", "-2"]);
    let output = downgrade.env("CARGO_MIGRATE_DATABASE", "prod").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`cargo migrate -d prod status`"), "{said}");
    project.refuses(&["downgrade", "-2"], &["`cargo migrate status`"]);
    let ran = project.run(&["--format", "json", "-p", "app", "-d", "prod", "downgrade", "-2"]);
    assert!(ran.json()["problems"][0]["help"][0].as_str().unwrap().contains("-p app -d prod status"), "{}", ran.out);
    project.refuses(
        &["--manifest-path", "Cargo.toml", "--migrations", "migrations", "show", "b1"],
        &["`cargo migrate --manifest-path Cargo.toml --migrations migrations history`"],
    );
}

#[test]
fn what_is_edited_is_taken_off_the_databases_that_have_it_and_a_first_revision_by_base() {
    let project = with_production();
    let text = project.read("migrations/a1.sql");
    project.migration("a1", &text.replace("(x)", "(y)"));
    project.refuses(&["upgrade"], &["`cargo migrate -d NAME downgrade base`, on each of these databases"]);
    project.migration("a1", &text);
    project.run(&["-d", "prod", "downgrade", "base"]).done();
    project.migration("a1", &text.replace("(x)", "(y)"));
    project.refuses(&["-d", "prod", "upgrade"], &["`cargo migrate -d dev downgrade base`"]);
    project.run(&["-d", "dev", "downgrade", "base"]).done();
    project.run(&["upgrade"]).done();
}

#[test]
fn one_of_several_first_revisions_is_taken_off_alone() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("z1", &table("base", "t2"));
    project.run(&["upgrade", "heads"]).done();
    project.migration("z1", &table("base", "t2").replace("(x)", "(y)"));
    project.refuses(&["upgrade", "heads"], &["`cargo migrate -d dev downgrade z1@base`"]);
    project.run(&["-d", "dev", "downgrade", "z1@base"]).done();
    project.run(&["current"]).done().says("a1");
}
