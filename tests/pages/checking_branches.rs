//! `check --against`: what a merge with another branch would make of the history, and of the tables that both change.

use serde_json::Value;

use crate::harness::{Project, Ran};
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_merge_that_goes_well_says_what_was_looked_at,
    two_heads_that_meet_are_named_with_the_way_out_and_the_way_out_works,
    both_sides_change_one_table,
    many_pairs_at_one_table_are_one_problem,
}

pub const TODOS: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE todos (id INTEGER PRIMARY KEY, title TEXT, done INTEGER);\n\
                     -- migrate:down\nDROP TABLE todos;\n";

/// A project in a git repository: `main` has the table of to-dos, `feature` has come from it and is checked out.
pub fn repository(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.write(".gitignore", "*.db*\nmigrate.local\nCargo.lock\ntarget\n");
    project.migration("a1_todos", TODOS);
    project.run(&["lock", "--dialect", project.databases().dialect()]).done();
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("The table of to-dos.");
    project.git(&["checkout", "-q", "-b", "feature"]);
    project
}

/// Does something on `main`, commits it there, and comes back.
pub fn upstream(project: &Project, work: impl FnOnce()) {
    project.git(&["checkout", "-q", "main"]);
    work();
    project.run(&["lock"]).done();
    project.commit("What others do.");
    project.git(&["checkout", "-q", "feature"]);
}

/// Does something on `feature` and commits it.
pub fn here(project: &Project, work: impl FnOnce()) {
    work();
    project.run(&["lock"]).done();
    project.commit("What we do.");
}

/// A revision with this way up and no way down of its own.
pub fn revision(parent: &str, up: &str) -> String {
    format!("-- migrate:parent {parent}\n-- migrate:up\n{up}\n-- migrate:down\nSELECT 1;\n")
}

pub fn against_main(project: &Project) -> Ran {
    let before = (project.contents(), project.git(&["status", "--porcelain"]));
    let ran = project.run(&["check", "--against", "main"]);
    assert_eq!((project.contents(), project.git(&["status", "--porcelain"])), before, "something was changed");
    ran.is_printable();
    ran
}

/// The codes and severities that `check --against main` finds, in their order.
pub fn found(project: &Project) -> Vec<(String, String)> {
    let ran = project.run(&["--format", "json", "check", "--against", "main"]);
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let problems = ran.json()["problems"].as_array().unwrap().clone();
    let found: Vec<_> = problems.iter().map(|problem| (text(problem, "code"), text(problem, "severity"))).collect();
    let refused = found.iter().any(|(_, severity)| severity == "error");
    assert_eq!(ran.status, i32::from(refused), "{}", ran.out);
    found
}

fn a_merge_that_goes_well_says_what_was_looked_at(ground: &dyn Ground) {
    let project = repository(ground);
    project.run(&["upgrade"]).done();
    let ran = against_main(&project).done();
    assert!(
        ran.err.contains(
            "the merge with `main`: 0 revisions of this branch alone, 0 revisions of that one alone, 1 of both"
        ),
        "{}",
        ran.err
    );

    here(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    assert_eq!(found(&project), []);
    upstream(&project, || project.write("README.md", "What this is."));
    assert_eq!(found(&project), []);
    let ran = project.run(&["--format", "json", "check", "--against", "main"]).done();
    assert_eq!(ran.json()["against"], "main");
    assert_eq!(ran.json()["checks"].as_array().unwrap().last().unwrap()["check"], "merge");
}

fn two_heads_that_meet_are_named_with_the_way_out_and_the_way_out_works(ground: &dyn Ground) {
    let project = repository(ground);
    project.run(&["upgrade"]).done();
    upstream(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    here(&project, || project.migration("b2_tags", &table("a1_todos", "tags")));
    project.run(&["check"]).done();
    against_main(&project).refused(&[
        "error[forked-heads]",
        "after the merge with `main` the history has 2 heads: `b1_users`, `b2_tags`",
        "main:migrations/b1_users.sql",
        "cargo migrate merge`",
        "-- migrate:parent b1_users",
    ]);

    project.migration("b2_tags", &table("b1_users", "tags"));
    project.git(&["checkout", "-q", "-b", "joined"]);
    project.commit("Follow.");
    project.git(&["merge", "-q", "-X", "ours", "main"]);
    project.run(&["lock"]).done();
    project.run(&["check"]).done();
    assert_eq!(found(&project), []);
    project.run(&["upgrade"]).done();
    assert_eq!(project.tables(), ["tags", "todos", "users"]);
}

fn both_sides_change_one_table(ground: &dyn Ground) {
    for (ours, theirs, expected, words) in [
        (
            "ALTER TABLE todos ADD COLUMN priority INTEGER;",
            "ALTER TABLE todos ADD COLUMN due TEXT;",
            "warning",
            &["c1_ours and b1_theirs of `main` both touch the table `todos`", "`c1_ours` alters it"][..],
        ),
        (
            "ALTER TABLE todos ADD COLUMN priority INTEGER;",
            "ALTER TABLE todos ADD COLUMN Priority TEXT;",
            "error",
            &["both touch its column `priority`: `c1_ours` adds it, `b1_theirs` adds it"],
        ),
        ("UPDATE todos SET title = 'a';", "UPDATE todos SET done = 1;", "warning", &["writes"]),
        (
            "DROP TABLE todos;",
            "ALTER TABLE todos ADD COLUMN due TEXT;",
            "error",
            &["`c1_ours` takes it away or builds it anew"],
        ),
        (
            "CREATE TABLE todos_new (id INTEGER PRIMARY KEY, title TEXT NOT NULL);\nINSERT INTO todos_new SELECT id, title FROM todos;\n\
             DROP TABLE todos;\nALTER TABLE todos_new RENAME TO todos;",
            "ALTER TABLE todos ADD COLUMN due TEXT;",
            "error",
            &["the table `todos`", "builds it anew"],
        ),
        (
            "CREATE TABLE users (id INTEGER);",
            "CREATE TABLE Users (id INTEGER, name TEXT);",
            "error",
            &["the table `users`", "both make it"],
        ),
        (
            "CREATE INDEX i ON todos (title);",
            "CREATE INDEX i ON todos (done);",
            "error",
            &["the index `i`", "both make it"],
        ),
        ("SELECT title FROM todos;", "SELECT done FROM todos;", "nothing", &[]),
        ("CREATE TABLE users (id INTEGER);", "ALTER TABLE todos ADD COLUMN due TEXT;", "nothing", &[]),
    ] {
        change_one_table(ground, ours, theirs, expected, words);
    }
}

/// What is said where two branches do this to the tables.
#[track_caller]
pub fn change_one_table(ground: &dyn Ground, ours: &str, theirs: &str, expected: &str, words: &[&str]) {
    let project = repository(ground);
    project.run(&["upgrade"]).done();
    upstream(&project, || project.migration("b1_theirs", &revision("a1_todos", theirs)));
    here(&project, || project.migration("c1_ours", &revision("a1_todos", ours)));
    let mut all = found(&project);
    all.retain(|(code, _)| code != "forked-heads");
    let worst = match &all[..] {
        [] => "nothing",
        all if all.iter().any(|(_, severity)| severity == "error") => "error",
        _ => "warning",
    };
    assert_eq!(worst, expected, "{ours}\n{theirs}\n{all:?}");
    let ran = against_main(&project).refused(words);
    assert_eq!(
        ran.err.contains("[same-table]") || ran.err.contains("[merge-fails]"),
        expected != "nothing",
        "{}",
        ran.err
    );
}

fn many_pairs_at_one_table_are_one_problem(ground: &dyn Ground) {
    let project = repository(ground);
    project.run(&["upgrade"]).done();
    let column = |side: &str, number: u32| format!("ALTER TABLE todos ADD COLUMN {side}{number};");
    let line = |side: &str| {
        let mut parent = "a1_todos".to_owned();
        for number in 0..4 {
            let id = format!("{side}_{number}");
            project.migration(&id, &revision(&parent, &column(side, number)));
            parent = id;
        }
    };
    upstream(&project, || line("b"));
    here(&project, || line("c"));
    let ran = against_main(&project).refused(&[
        "warning[same-table]: c_0, c_1, c_2, c_3 and b_0, b_1, b_2, b_3 of `main` both touch the table `todos`",
        "and 10 more pairs",
        // The first of ours is the one that can follow theirs.
        "where no database has `c_0` yet, let it follow: `-- migrate:parent b_3`",
    ]);
    assert_eq!(ran.err.matches("[same-table]").count(), 1, "{}", ran.err);
}
