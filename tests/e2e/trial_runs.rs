//! What a stranger tried on runs: questions that write, runs that are met half way, ways back that lead nowhere.

use std::fs::File;
use std::time::Duration;

use crate::harness::Project;

/// A project whose first revision, with one row in its table, is applied.
fn project() -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n\
         -- migrate:down\nDROP TABLE t;\n",
    );
    project.run(&["upgrade"]).done();
    project
}

#[test]
fn a_verify_section_asks_and_does_nothing_else() {
    for (verify, words) in [
        ("COMMIT;\nSELECT 0;", &["a2.sql:5:1", "`COMMIT`"][..]),
        ("SELECT 1;\nROLLBACK;", &["a2.sql:6:1", "`ROLLBACK`"]),
        ("DELETE FROM t RETURNING 1;", &["a2.sql:5:1", "`DELETE`"]),
        ("WITH a AS (SELECT 1)\nDELETE FROM t RETURNING 1;", &["a2.sql:6:1", "`DELETE`"]),
        ("PRAGMA user_version = 7;", &["a2.sql:5:1", "`PRAGMA`", "pragma_foreign_key_check"]),
        ("ATTACH 'other.db' AS other;", &["a2.sql:5:1", "`ATTACH`"]),
        ("VACUUM INTO 'other.db';", &["a2.sql:5:1", "`VACUUM`"]),
    ] {
        let project = project();
        for header in ["", "\n-- migrate:no-transaction"] {
            let text = format!(
                "-- migrate:parent a1{header}\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n{verify}\n"
            );
            project.migration("a2", &text);
            let words: Vec<&str> =
                words.iter().copied().filter(|word| header.is_empty() || !word.starts_with("a2")).collect();
            for command in
                [&["upgrade"][..], &["upgrade", "--dry-run"], &["upgrade", "--per-revision"], &["upgrade", "--sql"]]
            {
                let ran = project.refuses(command, &["forbidden-statement", "a verify section only asks"]);
                ran.refused(&words);
            }
        }
    }
}

#[test]
fn a_question_that_holds_is_asked_by_a_run_and_by_a_script() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n\
         WITH a AS (SELECT replace('DELETE', 'x', 'y') AS x) SELECT x = 'DELETE' FROM a;\nVALUES (1), (2);\n\
         SELECT count(*) = 0 FROM pragma_foreign_key_check;\n",
    );
    project.run(&["upgrade", "--sql"]).done().says("pragma_foreign_key_check");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("PRAGMA query_only"), "0");
}

/// A project whose `a2` was interrupted on its way up: its table is there, its row says `running`.
fn interrupted() -> Project {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO missing VALUES (1);\n\
         -- migrate:down\nDROP TABLE u;\n",
    );
    project.run(&["upgrade"]).refused(&["sql-error"]);
    project
}

/// What a run that commits more than once holds while it lives.
fn hold(project: &Project) -> File {
    let file = File::create(project.path("app.db-migrate")).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn the_row_of_a_living_run_is_left_to_it() {
    let project = interrupted();
    let held = hold(&project);
    for command in [
        &["repair", "--finished", "a2", "--wait", "0"][..],
        &["repair", "--not-applied", "a2", "--wait", "0"],
        &["stamp", "a1", "--wait", "0"],
        &["stamp", "base", "--purge", "--wait", "0"],
        &["ensure-version", "--wait", "0"],
        &["upgrade", "--wait", "0"],
    ] {
        project.refuses(command, &["database-busy", "a run of `a2` is under way", "--wait SECONDS"]);
    }
    let status = project.run(&["status"]).done().says("a run of `a2` is under way");
    assert!(!status.err.contains("repair") && !status.err.contains("interrupted"), "{}", status.err);
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");

    // The run dies, and whoever waits for it finds that it was interrupted.
    let waiting =
        project.command(&["repair", "--not-applied", "a2"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    drop(held);
    let said = waiting.wait_with_output().unwrap();
    assert!(said.status.success());
    assert_eq!(String::from_utf8_lossy(&said.stderr).matches("Waiting").count(), 1);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate WHERE revision = 'a2'"), "0");
    assert!(!project.path("app.db-migrate").exists());
}

#[test]
fn to_look_whether_a_run_lives_leaves_no_trace() {
    let project = interrupted();
    let before = project.contents();
    project.run(&["status"]).done().says("was interrupted").says("repair --finished a2");
    assert_eq!(project.contents(), before);
    // The file that a killed run has left is no run.
    project.write("app.db-migrate", "");
    project.run(&["status"]).done().says("was interrupted");
    project.run(&["repair", "--not-applied", "a2"]).done();
}
