//! `--sql` on SQLite, where the script holds statements in which the shell could see an end.

use std::process::Command;

use crate::harness::Project;
use crate::pages::ground::fed;

/// The stock shell on a database of the project; whether it ended well, and what it said.
pub fn shell(project: &Project, database: &str, script: &str) -> (bool, String) {
    let mut shell = Command::new("sqlite3");
    shell.arg(project.path(database));
    fed(shell, script)
}

#[test]
fn a_trigger_is_one_statement_to_the_shell_as_well() {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n\
         CREATE TRIGGER g AFTER INSERT ON t BEGIN\n  UPDATE t SET x = 'it''s; so' WHERE x = 1;\n  DELETE FROM t WHERE x = 2;\nEND;\n\
         INSERT INTO t VALUES (1), (2), (3);\n",
    );
    let script = project.run(&["upgrade", "--sql"]).done().out;
    assert!(shell(&project, "script.db", &script).0);
    project.run(&["upgrade"]).done();
    let look = "SELECT x FROM t ORDER BY rowid; SELECT sql FROM sqlite_master WHERE name = 'g'";
    let (well, found) = shell(&project, "script.db", look);
    assert!(well && found.starts_with("it's; so\n3\nCREATE TRIGGER g"), "{found}");
    assert_eq!(found, shell(&project, "app.db", look).1);
}
