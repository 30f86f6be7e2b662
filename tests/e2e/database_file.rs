//! What the command writes, read back from the database's file without SQLite.

use build_support::checksum::Checksum;
use build_support::sqlite_file::{AppliedRow, read_settled};

use crate::harness::Project;

fn rows(project: &Project, package: &str) -> Vec<AppliedRow> {
    read_settled(&project.path("app.db"), "_cargo_migrate", package).unwrap()
}

#[test]
fn the_file_tells_what_the_command_applied() {
    let project = Project::new();
    assert_eq!(rows(&project, "app"), []);
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE a (x);\n-- migrate:down\nDROP TABLE a;\n",
    );
    project
        .migration("b1", "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE b (x);\n-- migrate:down\nDROP TABLE b;\n");
    project.run(&["upgrade"]).done();

    // When two revisions are applied, their rows are what SQLite says they are,
    let found = rows(&project, "app");
    let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["a1", "b1"]);
    for row in &found {
        let ask =
            |column: &str| project.ask(&format!("SELECT {column} FROM _cargo_migrate WHERE revision = '{}'", row.id));
        assert_eq!(row.checksum, Checksum::of(&project.read(&format!("migrations/{}.sql", row.id))));
        assert_eq!(row.statements.to_string(), ask("statements"));
        assert_eq!(row.seal.to_string(), ask("seal"));
        assert_eq!(row.sequence.to_string(), ask("sequence"));
        assert!(!row.running);
    }
    assert_eq!(rows(&project, "another"), []);

    // and what is taken off is gone, in a database with a write-ahead log too.
    project.database().execute_batch("PRAGMA journal_mode = wal").unwrap();
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(rows(&project, "app"), &found[..1]);
}

#[test]
fn the_file_tells_of_a_revision_that_was_interrupted() {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE a (x);\nINSERT INTO nowhere VALUES (1);\n",
    );
    assert_ne!(project.run(&["upgrade"]).status, 0);
    let found = rows(&project, "app");
    assert_eq!(found.len(), 1);
    assert!(found[0].running);
}
