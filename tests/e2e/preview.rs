//! `--sql`: the script leaves what the run leaves, and refuses where the run would.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::Project;

const LOOK: &str = "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2; SELECT package, revision, sequence, checksum, statements, \
    seal, parents, depends, directives, message, applied_count, down, state, tool_version, schema_hash FROM _cargo_migrate ORDER BY sequence";

/// The stock shell on a database of the project; its standard output and whether it ended well.
pub fn shell(project: &Project, database: &str, script: &str) -> (bool, String) {
    let mut shell = Command::new("sqlite3")
        .arg(project.path(database))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the `sqlite3` shell is installed");
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_script_leaves_schema_and_version_table_as_the_run_does() {
    let project = Project::todo();
    for (script, run) in [
        (&["upgrade", "head", "--sql"][..], &["upgrade", "head"][..]),
        (&["downgrade", "head:2025_02_19_001", "--sql"], &["downgrade", "2025_02_19_001"]),
        (&["upgrade", "2025_02_19_001:head", "--sql"], &["upgrade", "head"]),
    ] {
        let text = project.run(script).done().out;
        let (well, said) = shell(&project, "script.db", &text);
        assert!(well, "{said}\n{text}");
        project.run(run).done();
        assert_eq!(shell(&project, "script.db", LOOK).1, shell(&project, "todo.db", LOOK).1);
    }
}

#[test]
fn a_range_opens_no_database() {
    let project = Project::todo();
    project.run(&["upgrade", "base:head", "--sql"]).done().says("CREATE TABLE todos");
    assert!(!project.path("todo.db").exists());
}

#[test]
fn a_script_refuses_where_the_run_would_and_leaves_nothing() {
    let parents = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE p (id INTEGER PRIMARY KEY);\n\
        CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id));\nINSERT INTO p VALUES (1);\nINSERT INTO c VALUES (1, 1);\n";
    for (name, second) in [
        ("a dangling reference", "DELETE FROM p;\n"),
        ("a reference to a missing table", "CREATE TABLE d (x REFERENCES nowhere (id));\n"),
        ("a failed verify", "CREATE TABLE d (x);\n-- migrate:verify\nSELECT count(*) > 0 FROM d;\n"),
        ("an error in the middle", "CREATE TABLE d (x);\nINSERT INTO missing VALUES (1);\n"),
    ] {
        let project = Project::new();
        project.migration("a1", parents);
        project.run(&["upgrade"]).done();
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{second}"));
        let script = project.run(&["upgrade", "head", "--sql"]).done().out;
        let before = shell(&project, "app.db", ".dump").1;
        let (well, said) = shell(&project, "app.db", &script);
        assert!(!well, "{name}: {said}");
        assert_eq!(shell(&project, "app.db", ".dump").1, before, "{name}");
        assert_eq!(project.run(&["upgrade"]).status, 1, "{name}");
    }
}

#[test]
fn a_script_refuses_another_starting_history() {
    let project = Project::todo();
    let script = project.run(&["upgrade", "head", "--sql"]).done().out;
    assert!(shell(&project, "todo.db", &script).0);
    let (well, said) = shell(&project, "todo.db", &script);
    assert!(!well && said.contains("another history"), "{said}");
}

#[test]
fn statements_that_the_shell_could_misread_run_as_they_were_meant() {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES (8\n/\n2);\n\
         INSERT INTO t VALUES ('a;\n.quit\n/\n');\n\
         CREATE TRIGGER g AFTER INSERT ON t BEGIN\n  UPDATE t SET x = 'it''s; so' WHERE x = 1;\n  DELETE FROM t WHERE x = 2;\nEND;\n",
    );
    let script = project.run(&["upgrade", "--sql"]).done().out;
    assert!(shell(&project, "script.db", &script).0);
    project.run(&["upgrade"]).done();
    let rows = "SELECT x FROM t ORDER BY rowid; SELECT sql FROM sqlite_master WHERE name = 'g'";
    assert_eq!(shell(&project, "script.db", rows), shell(&project, "app.db", rows));
}
