//! `test` on a server: what is pending is rehearsed on a copy beside the database, which is only read.

mod copies;
mod plans;
mod project;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use self::copies::*;
use self::plans::*;
use self::project::Project;
use crate::server::{self, Server};

tests![
    a_revision_that_keeps_all_is_safe,
    what_a_downgrade_takes_along_is_said_and_a_loss_is_a_fault_unless_it_is_declared,
    what_a_downgrade_leaves_behind_is_named,
    a_sequence_may_go_on_and_not_back,
    two_values_that_change_places_show,
    an_upgrade_that_fails_is_shown_and_the_next_ones_are_not_tried,
    a_revision_outside_of_a_transaction_is_rehearsed,
    a_constraint_that_nobody_has_checked_is_told_of,
    the_database_is_read_and_stays_in_use,
    what_the_database_is_set_to_holds_for_the_copy,
    the_copy_is_dropped_when_somebody_interrupts,
    what_a_killed_process_leaves_is_dropped_by_the_next_one,
    a_database_that_only_looks_like_a_copy_stays,
    a_user_who_may_make_no_database_is_told_so,
    a_user_without_rights_beyond_the_own_tables_can_rehearse,
    a_copy_that_cannot_be_filled_ends_the_rehearsal_at_once,
    programs_that_are_too_old_are_passed_over,
    a_copy_is_kept_where_that_is_asked_for,
    from_nothing_and_the_whole_history,
    a_clone_by_the_server_itself,
    what_one_transaction_refuses_is_found_though_each_revision_goes_by_itself,
    a_failure_outside_of_a_transaction_is_told_as_one_of_the_copy,
    the_schema_of_the_version_table_is_nobodys_fault,
    a_rehearsal_from_nothing_has_the_schema_of_its_connection,
    what_a_revision_loses_is_offered_to_be_declared_only_where_it_loses_rows,
    a_sync_is_rehearsed_before,
    a_dry_run_of_several_commits_is_made_on_a_copy,
];

const PEOPLE: &str = "CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, score float8);\n\
    INSERT INTO people (name, score) VALUES ('Ada', 0.1), ('Grace', 'NaN'), ('Edsger', NULL);";

/// A project whose first revision is applied.
fn applied(server: &Server) -> Project<'_> {
    let project = Project::new(server);
    project.migration("a1", "-- migrate:parent base", PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    project
}

fn second(project: &Project<'_>, header: &str, up: &str, down: &str) {
    project.migration("a2", &format!("-- migrate:parent a1\n{header}"), up, down);
}

/// Where Debian has `pg_dump`, or where the server's own programs are.
fn client_programs() -> PathBuf {
    let own = server::programs().unwrap();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let all = std::iter::once(own).chain(debian.map(|entry| entry.path().join("bin")));
    all.into_iter().find(|folder| folder.join("pg_dump").is_file()).unwrap()
}

/// The database as `pg_dump` writes it.
fn dump(project: &Project<'_>) -> String {
    let output = Command::new(client_programs().join("pg_dump"))
        .arg("--host")
        .arg(project.database.server.socket())
        .args(["--username=postgres", project.database.name.as_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// The document of a rehearsal, which leaves the database as it was.
#[track_caller]
fn rehearsed(project: &Project<'_>, arguments: &[&str]) -> Value {
    let before = dump(project);
    let ran = project.run(&[&["test", "--format", "json"], arguments].concat());
    let document = ran.json();
    assert!(document["revisions"].is_array(), "{}\n{}", ran.out, ran.err);
    assert_eq!(ran.status, i32::from(document["safe"] != true), "{}\n{}", ran.out, ran.err);
    assert_eq!(dump(project), before, "{}", ran.err);
    document
}

#[track_caller]
fn lines(document: &Value, key: &str) -> Vec<String> {
    let last = document["revisions"].as_array().unwrap().last().unwrap();
    last[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn a_revision_that_keeps_all_is_safe(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "",
        "ALTER TABLE people ADD COLUMN age integer DEFAULT 1 CHECK (age > 0);\n\
         CREATE TYPE mood AS ENUM ('good', 'bad');\nALTER TABLE people ADD COLUMN mood mood;\n\
         UPDATE people SET age = 2 WHERE id < 3;\nCREATE INDEX by_age ON people (age);\n\
         CREATE VIEW adults AS SELECT * FROM people WHERE age > 17;\n\
         COMMENT ON TABLE people IS 'who';\nGRANT SELECT ON people TO PUBLIC;",
        "REVOKE SELECT ON people FROM PUBLIC;\nCOMMENT ON TABLE people IS NULL;\nDROP VIEW adults;\n\
         ALTER TABLE people DROP COLUMN mood, DROP COLUMN age;\nDROP TYPE mood;",
    );
    project.migration("a3", "-- migrate:parent a2", "CREATE TABLE empty_handed ();", "DROP TABLE empty_handed;");

    project.run(&["test"]).done().says("safe to apply: 2 revisions, up, down and up again");

    let document = rehearsed(&project, &[]);
    assert_eq!(document["revisions"].as_array().unwrap().len(), 2);
    let revision = &document["revisions"][0];
    // Two were changed by the statement; what a default fills in is no row that was written.
    assert_eq!(revision["rows"], 2, "{revision}");
    for verdict in ["schema_restored", "data_restored", "foreign_keys"] {
        assert_eq!(revision[verdict], "yes", "{revision}");
    }
    assert_eq!(revision["integrity"], "untried");
    assert_eq!(revision["remarks"][0], "`public.people.age`: 3 values would be lost by the downgrade");
}

fn what_a_downgrade_takes_along_is_said_and_a_loss_is_a_fault_unless_it_is_declared(server: &Server) {
    let project = applied(server);
    let (up, down) = ("ALTER TABLE people DROP COLUMN score;", "ALTER TABLE people ADD COLUMN score float8;");
    second(&project, "", up, down);
    let document = rehearsed(&project, &[]);
    assert_eq!(document["revisions"][0]["schema_restored"], "yes");
    assert_eq!(document["revisions"][0]["data_restored"], "no");
    assert_eq!(
        lines(&document, "faults"),
        ["`public.people.score`: the values are not what they were after up and down"]
    );

    for declared in ["people.score", "public.people.score", "people"] {
        second(&project, &format!("-- migrate:loses {declared}"), up, down);
        let document = rehearsed(&project, &[]);
        assert_eq!(document["safe"], true, "{declared}");
        assert_eq!(document["revisions"][0]["data_restored"], "declared", "{declared}");
    }

    // What is gone for good is counted.
    second(&project, "", up, "SELECT 1;");
    let faults = lines(&rehearsed(&project, &[]), "faults");
    assert_eq!(
        faults[..2],
        [
            "the downgrade does not bring back the column `public.people.score`",
            "`public.people.score`: 2 values lost after up and down"
        ]
    );
}

fn what_a_downgrade_leaves_behind_is_named(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "",
        "CREATE INDEX by_name ON people (name);\nCREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1';\n\
         CREATE TABLE pets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner integer REFERENCES people);\n\
         ALTER TABLE people ALTER COLUMN name SET DEFAULT 'nobody';",
        "SELECT 1;",
    );
    project.migration("a3", "-- migrate:parent a2", "DROP INDEX by_name;", "CREATE INDEX by_name ON people (name);");
    let document = rehearsed(&project, &[]);
    let faults = &document["revisions"][0]["faults"];
    let told: Vec<&str> = faults.as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    assert_eq!(
        told[..4],
        [
            "the downgrade leaves the function `public.one()`",
            "the downgrade leaves the index `public.by_name`",
            "the downgrade does not restore the table `public.people`: it was `name text NOT NULL`, it is `name text \
             DEFAULT 'nobody'::text NOT NULL`",
            "the downgrade leaves the table `public.pets`",
        ]
        .map(str::to_owned)[..],
    );
    // The one after it is tried on a copy that has met it once.
    assert_eq!(document["revisions"][1]["faults"], serde_json::json!([]));
}

fn a_sequence_may_go_on_and_not_back(server: &Server) {
    let project = applied(server);
    second(&project, "", "INSERT INTO people (name) VALUES ('Barbara');", "DELETE FROM people WHERE name = 'Barbara';");
    assert_eq!(rehearsed(&project, &[])["safe"], true);
    second(&project, "", "SELECT 1;", "SELECT setval('people_id_seq', 1, false);");
    assert_eq!(
        lines(&rehearsed(&project, &[]), "faults"),
        ["`public.people_id_seq`: the next number is 1 after up and down, and was 4"]
    );
}

fn two_values_that_change_places_show(server: &Server) {
    let project = applied(server);
    let swap = "UPDATE people SET name = CASE id WHEN 1 THEN 'Grace' WHEN 2 THEN 'Ada' ELSE name END;";
    second(&project, "", swap, "SELECT 1;");
    assert_eq!(
        lines(&rehearsed(&project, &[]), "faults"),
        ["`public.people.name`: the values are not what they were after up and down"]
    );
    // Rows that are written anew in another order are the same rows.
    second(
        &project,
        "",
        "CREATE TABLE kept AS SELECT * FROM people ORDER BY id DESC;",
        "DELETE FROM people;\nINSERT INTO people SELECT * FROM kept;\nDROP TABLE kept;",
    );
    assert_eq!(rehearsed(&project, &[])["revisions"][0]["data_restored"], "yes");
}

fn an_upgrade_that_fails_is_shown_and_the_next_ones_are_not_tried(server: &Server) {
    let project = applied(server);
    second(&project, "", "ALTER TABLE people ADD COLUMN age integer;\nSELECT no_such_column FROM people;", "SELECT 1;");
    project.migration("a3", "-- migrate:parent a2", "SELECT 1;", "SELECT 1;");
    let ran = project.run(&["test"]).refused(&["no_such_column", "migrations/a2.sql:5", "not safe to apply"]);
    assert!(ran.err.contains("1 after it could not be tried"), "{}", ran.err);
}

fn a_revision_outside_of_a_transaction_is_rehearsed(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "-- migrate:no-transaction",
        "CREATE INDEX CONCURRENTLY by_name ON people (name);",
        "DROP INDEX CONCURRENTLY by_name;",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true, "{document}");
}

fn a_constraint_that_nobody_has_checked_is_told_of(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "",
        "ALTER TABLE people ADD CONSTRAINT scored CHECK (score < 0) NOT VALID, ADD CONSTRAINT named CHECK (name <> '') NOT VALID;",
        "ALTER TABLE people DROP CONSTRAINT scored, DROP CONSTRAINT named;",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true);
    assert_eq!(
        lines(&document, "remarks"),
        ["the constraint `scored` of `public.people` is NOT VALID, and there are rows that do not keep to it"]
    );
}

fn a_sync_is_rehearsed_before(server: &Server) {
    let project = applied(server);
    let lock_of_the_branch = std::fs::read_to_string(project.folder().join("migrations/migrate.lock")).unwrap();
    second(&project, "", "CREATE TABLE pets (id integer);", "SELECT no_such_thing;");
    project.run(&["upgrade"]).done();
    project.write("migrations/migrate.lock", &lock_of_the_branch);
    std::fs::remove_file(project.folder().join("migrations/a2.sql")).unwrap();
    let before = dump(&project);
    project.run(&["sync"]).refused(&["no_such_thing", "found on a copy: the database is as it was"]);
    assert_eq!(dump(&project), before);
}

fn a_dry_run_of_several_commits_is_made_on_a_copy(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "-- migrate:no-transaction",
        "CREATE INDEX CONCURRENTLY by_name ON people (name);",
        "DROP INDEX by_name;",
    );
    project.migration("a3", "-- migrate:parent a2", "INSERT INTO people (name) VALUES ('Barbara');", "SELECT 1;");
    let before = dump(&project);
    project.run(&["upgrade", "--dry-run"]).done().says("dry run of 2 revisions");
    assert_eq!(dump(&project), before);
    // What fails on the way leaves nothing either.
    project.migration("a3", "-- migrate:parent a2", "SELECT no_such_thing;", "SELECT 1;");
    project.run(&["upgrade", "--dry-run"]).refused(&["no_such_thing"]);
    assert_eq!(dump(&project), before);
}
