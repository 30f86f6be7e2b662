//! What a rehearsal says of the run that comes after it: whether it is refused as a whole, and what is to be done then.

use super::{applied, faults, first, lines, rehearsed, second, third};
use crate::ground::OnServer;
use crate::harness::Project;
use crate::server::Server;

/// Sets a key of the configuration.
fn set(project: &Project, line: &str) {
    let manifest = project.read("Cargo.toml");
    let heading = "[package.metadata.migrate]\n";
    project.write("Cargo.toml", &manifest.replace(heading, &format!("{heading}{line}\n")));
}

pub(super) fn what_one_transaction_refuses_is_found_though_each_revision_goes_by_itself(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    let up = "CREATE TYPE mood AS ENUM ('a');\nCREATE TABLE users (m mood);\nINSERT INTO users VALUES ('a');";
    first(&project, up, "DROP TABLE users;\nDROP TYPE mood;");
    project.run(&["upgrade"]).done();
    let header = "-- migrate:parent a1\n-- migrate:irreversible";
    project.migration("a2", &format!("{header}\n-- migrate:up\nALTER TYPE mood ADD VALUE 'z';\n"));
    let (up, down) = ("UPDATE users SET m = 'z';", "UPDATE users SET m = 'a';");
    third(&project, up, down);

    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], false, "{document}");
    assert_eq!(document["revisions"][0]["faults"], serde_json::json!([]));
    let faults = lines(&document["revisions"][1], "faults");
    let words = "together with the revisions before it, in one transaction, the upgrade is refused: ";
    assert!(
        faults.len() == 1 && faults[0].starts_with(words) && faults[0].contains("unsafe use of new value"),
        "{faults:?}"
    );
    project.run(&["test"]).refused(&["migrations/a3.sql:", "unsafe use of new value", "not safe to apply"]);
    project.run(&["upgrade"]).refused(&["unsafe use of new value"]);

    // Where each is committed by itself there is nothing to refuse.
    set(&project, "per-revision = true");
    project.run(&["test"]).done().says("safe to apply: 2 revisions");
    project.run(&["upgrade"]).done();
}

pub(super) fn a_failure_outside_of_a_transaction_is_told_as_one_of_the_copy(server: &Server) {
    let project = applied(server);
    project.execute("INSERT INTO people (name) VALUES ('Ada')");
    let up = "CREATE UNIQUE INDEX CONCURRENTLY by_name ON people (name);";
    second(&project, "-- migrate:no-transaction\n", up, "DROP INDEX CONCURRENTLY by_name;");
    let ran = project
        .run(&["test"])
        .refused(&["could not create unique index", "found on a copy: the database is as it was"]);
    for word in ["repair", "DROP INDEX CONCURRENTLY public", "an index that was not made to its end"] {
        assert!(!ran.err.contains(word), "`{word}` is in\n{}", ran.err);
    }
    // What is done to the database itself is told with what it leaves there.
    project.run(&["upgrade"]).refused(&["an index that was not made to its end", "repair --finished a2"]);
}

pub(super) fn the_schema_of_the_version_table_is_nobodys_fault(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    set(&project, "version-table = \"ops._m\"");
    first(&project, "CREATE TABLE pets (id integer);", "DROP TABLE pets;");
    project.run(&["test"]).done().says("safe to apply: 1 revision");
    // What else is left in it is told.
    first(&project, "CREATE TABLE ops.pets (id integer);", "SELECT 1;");
    let faults = faults(&project);
    assert!(faults.iter().any(|fault| fault == "the downgrade leaves the table `ops.pets`"), "{faults:?}");
}

pub(super) fn a_rehearsal_from_nothing_has_the_schema_of_its_connection(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    first(&project, "CREATE TABLE pets (id integer);", "DROP TABLE pets;");
    project.execute("CREATE SCHEMA t_a");
    let url = format!("{}?schema=t_a", project.url("dev"));
    for option in ["--all", "--empty"] {
        project.run(&["test", option, "-d", &url]).done().says("safe to apply: 1 revision");
    }
}
