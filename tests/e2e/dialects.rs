//! A folder says in its lock whose SQL it holds; the command, the compiler and the guard read it alike.

use std::fs;

use crate::embedding::{Package, refused};
use crate::harness::{Project, table};

/// Whole as PostgreSQL reads it; for SQLite the comment ends at its first `*/`.
const NESTED: &str =
    "-- migrate:parent 002_names\n-- migrate:up\n/* /* */ It's nested. */ SELECT 1;\n-- migrate:down\nSELECT 2;\n";

fn line(project: &Project) -> Option<String> {
    let lock = project.read("migrations/migrate.lock");
    lock.lines().find(|line| line.starts_with("dialect ")).map(str::to_owned)
}

#[test]
fn a_folder_of_postgresqls_says_so_once_and_every_reader_knows() {
    let package = Package::with(
        "says-postgres",
        "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\" }\n\
         [build-dependencies]\nbuild-support = { path = \"ROOT/build-support\" }\n",
    );
    let project = &package.project;
    project
        .write("src/lib.rs", "pub static M: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\");\n");
    package.cargo(&["check"]).done();
    project.migration("003_nested", NESTED);
    let help = "`cargo migrate lock --dialect postgres`";
    project.refuses(&["lock"], &["unclosed", "003_nested.sql:3:12", "whole as PostgreSQL reads it", help]);
    package.edit(
        "src/lib.rs",
        "pub static M: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\"); //\n",
    );
    refused(&package.cargo(&["check"]), &["unclosed", help]);

    project.run(&["lock", "--dialect", "postgres"]).done();
    assert_eq!(line(project).as_deref(), Some("dialect postgres"));
    for command in [&["check"][..], &["history"], &["show", "003_nested"], &["lock"], &["seal"]] {
        project.run(command).done();
        assert_eq!(line(project).as_deref(), Some("dialect postgres"), "{command:?}");
    }
    package.cargo(&["check"]).done();
    package.cargo_with(&["check"], &[("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")]).done();
    package.project.write("build.rs", "fn main() {\n    build_support::guard(\"migrations\");\n}\n");
    package.cargo(&["check"]).done();

    // What is sealed is compared by the same reading: the comment is no statement.
    package.edit("migrations/003_nested.sql", &NESTED.replace("It's", "That's"));
    refused(&package.cargo(&["check"]), &["edited-comments"]);
    project.refuses(&["check"], &["edited-comments"]);
    project.run(&["repair"]).done();
    package.cargo(&["check"]).done();
    package.edit("migrations/003_nested.sql", &NESTED.replace("SELECT 1", "SELECT 3"));
    refused(&package.cargo(&["check"]), &["error[edited]", "003_nested"]);
}

#[test]
fn another_dialect_is_refused_where_it_makes_something_else_of_what_is_applied() {
    let project = Project::new();
    project.migration("001_plain", "-- migrate:up\nCREATE TABLE plain (x TEXT DEFAULT 'it''s');\n");
    project.migration(
        "002_names",
        "-- migrate:up\nCREATE TABLE [two names] (x);\n-- migrate:down\nDROP TABLE [two names];\n",
    );
    project.run(&["upgrade"]).done();
    let before = project.contents();
    let ran = project.refuses(
        &["lock", "--dialect", "postgres"],
        &["read-otherwise", "`002_names` is applied as SQLite reads it", "cargo migrate downgrade"],
    );
    assert!(!ran.err.contains("001_plain"), "{}", ran.err);
    assert_eq!(project.contents(), before, "something was written");

    // Taken off, it is a draft, and the rest has the same hashes by both.
    project.run(&["downgrade", "001_plain"]).done();
    project.refuses(
        &["lock", "--dialect", "postgres"],
        &["error[not-confirmed]", "applied as SQLite's", "`001_plain` is applied to `dev`", "`-d NAME`", "`--yes`"],
    );
    project.run(&["lock", "--dialect", "postgres", "--yes"]).done();
    assert_eq!(line(&project).as_deref(), Some("dialect postgres"));
    project.run(&["lock", "--dialect", "postgres"]).done().says("up to date");
    let lock = project.read("migrations/migrate.lock");
    project.run(&["lock", "--dialect", "sqlite", "--yes"]).done();
    assert_eq!(line(&project), None);
    project.write("migrations/migrate.lock", &lock.replace("dialect postgres", "dialect mysql"));
    project.refuses(&["check"], &["lock-format", "`mysql`", "`dialect sqlite` or `dialect postgres`"]);
}

#[test]
fn branches_that_disagree_say_which_dialect_is_meant_and_a_merge_keeps_what_one_has_said() {
    let project = Project::new();
    project.write(".gitignore", "*.db*\nmigrate.local\nCargo.lock\ntarget\n");
    project.migration("001_a", &table("base", "a"));
    project.run(&["lock"]).done();
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("The first.");
    project.git(&["checkout", "-q", "-b", "feature"]);
    project.migration("002_b", &table("001_a", "b"));
    project.run(&["lock"]).done();
    project.commit("Ours.");
    project.git(&["checkout", "-q", "main"]);
    project.migration("0015_nested", &NESTED.replace("002_names", "001_a"));
    project.run(&["lock", "--dialect", "postgres"]).done();
    project.commit("They are on PostgreSQL.");
    project.git(&["checkout", "-q", "feature"]);

    // Their file is read as what it will be, and so are ours.
    let ran = project.run(&["--format", "json", "check", "--against", "main"]);
    assert!(!ran.out.contains("unclosed") && ran.out.contains("forked-heads"), "{}", ran.out);

    // Git asks somebody, since both have changed neighbouring lines.
    fs::copy(project.path("migrations/migrate.lock"), project.path("ours.lock")).unwrap();
    let (ours, theirs) = (project.read("ours.lock"), project.git(&["show", "main:migrations/migrate.lock"]));
    project.git(&["checkout", "-q", "main", "--", "migrations/0015_nested.sql"]);
    let behind = |lock: &str| lock.split_once("package app\n").unwrap().1.to_owned();
    let head = ours.split_once("package app\n").unwrap().0;
    let conflict =
        format!("{head}package app\n<<<<<<< HEAD\n{}=======\n{}>>>>>>> main\n", behind(&ours), behind(&theirs));
    project.write("migrations/migrate.lock", &conflict);
    let ways = "`cargo migrate lock --dialect sqlite`, or `--dialect postgres`";
    project.refuses(&["lock"], &["lock-conflict", "SQLite's", "PostgreSQL's", ways]);
    project.run(&["lock", "--dialect", "postgres"]).done();
    let settled = project.read("migrations/migrate.lock");
    assert!(
        settled.contains("package app\ndialect postgres\n0015_nested  draft\n001_a  draft\n002_b  draft\n"),
        "{settled}"
    );
}
