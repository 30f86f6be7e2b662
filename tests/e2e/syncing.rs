//! `sync`: a database that follows the checkout from git branch to git branch.

use crate::harness::{Project, table};

/// A project at `a` in git, with a database at `a`, `b` of which `b` stands on the branch `feature`; `main` is checked
/// out.
fn between_branches(down: &str) -> Project {
    let project = Project::new();
    project.migration("a", &table("base", "t_a"));
    project.write(".gitignore", "*.db*\nmigrate.local\n/.migrate/\n");
    project.run(&["lock"]).done();
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("a");
    project.git(&["checkout", "-q", "-b", "feature"]);
    project.migration(
        "b",
        &format!("-- migrate:parent a\n-- migrate:up\nCREATE TABLE t_b (x);\nINSERT INTO t_b VALUES (1);\n{down}"),
    );
    project.run(&["lock"]).done();
    project.commit("b");
    project.run(&["upgrade"]).done();
    project.git(&["checkout", "-q", "main"]);
    project
}

const DOWN: &str = "-- migrate:down\nDROP TABLE t_b;\n";

fn tables(project: &Project) -> String {
    project.ask("SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE name LIKE 't\\__' ESCAPE '\\' ORDER BY name)")
}

#[test]
fn the_database_follows_from_branch_to_branch() {
    let project = between_branches(DOWN);
    // Given a database that has more than this branch knows.
    project.run(&["status"]).done().says("ahead of this checkout").says("cargo migrate sync");
    project.run(&["upgrade"]).refused(&["error[unknown-applied]", "cargo migrate sync"]);
    // When this branch has a revision of its own, the database is beside it.
    project.migration("c", &table("a", "t_c"));
    project.run(&["lock"]).done();
    project.run(&["status"]).done().says("beside this checkout");
    project.run(&["sync", "--dry-run"]).done();
    assert_eq!(tables(&project), "t_a t_b");
    project.run(&["sync"]).done().says("Rehearsing").says("after 1 revision was taken off");
    // Then it is where this branch is, and back on the other one it follows again.
    assert_eq!(tables(&project), "t_a t_c");
    project.run(&["check"]).done();
    project.commit("c");
    project.git(&["checkout", "-q", "feature"]);
    project.run(&["sync"]).done();
    assert_eq!(tables(&project), "t_a t_b");
    project.run(&["sync"]).done().says("nothing to do");
    assert!(!project.path(".migrate/rehearsals").read_dir().unwrap().any(|_| true), "a copy was left");
}

#[test]
fn a_way_back_that_does_not_work_is_found_on_a_copy() {
    let project = between_branches("-- migrate:down\nDROP TABLE nowhere;\n");
    let before = project.bytes("app.db");
    project.run(&["sync"]).refused(&["error[sql-error]", "nowhere", "found on a copy"]);
    assert_eq!(project.bytes("app.db"), before);
}

#[test]
fn what_is_declared_irreversible_stays() {
    let project = between_branches("");
    project.git(&["checkout", "-q", "feature"]);
    project.migration("d", "-- migrate:parent b\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE t_d (x);\n");
    project.run(&["lock"]).done();
    project.commit("d");
    project.run(&["upgrade"]).done();
    project.git(&["checkout", "-q", "main"]);
    project.refuses(&["sync"], &["error[irreversible]", "`d`"]);
}

#[test]
fn a_protected_database_loses_only_what_is_named() {
    let project = between_branches(DOWN);
    let manifest = project.read("Cargo.toml");
    project.write(
        "Cargo.toml",
        &manifest.replace("dev = \"sqlite:app.db\"", "dev = { url = \"sqlite:app.db\", protected = true }"),
    );
    project.refuses(&["sync", "--yes"], &["error[name-them]", "cargo migrate sync b"]);
    project.refuses(&["sync", "--yes", "a"], &["error[name-them]"]);
    project.run(&["sync", "b"]).refused(&["error[not-confirmed]"]);
    assert_eq!(tables(&project), "t_a t_b");
    project.run(&["sync", "--yes", "b"]).done();
    assert_eq!(tables(&project), "t_a");
}
