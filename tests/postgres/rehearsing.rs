//! `test` on a server where it is about what only a server has: what is pending is rehearsed on a copy beside the database,
//! which is only read. What holds on each kind of database stands in the pages.

mod copies;
mod plans;
mod users;

use serde_json::Value;

use self::copies::*;
use self::plans::*;
use self::users::*;
use crate::ground::OnServer;
use crate::harness::Project;
use crate::pages::rehearsing::{self, faults, lines, second};
use crate::server::Server;

tests![
    a_revision_that_keeps_all_is_safe,
    a_loss_is_declared_with_the_schema_or_without_it,
    what_a_downgrade_leaves_behind_is_named,
    a_sequence_may_go_on_and_not_back,
    a_revision_outside_of_a_transaction_is_rehearsed,
    a_constraint_that_nobody_has_checked_is_told_of,
    the_database_is_read_and_stays_in_use,
    what_the_database_is_set_to_holds_for_the_copy,
    a_database_that_only_looks_like_a_copy_stays,
    a_copy_that_is_kept_while_another_rehearsal_looks_for_leftovers_stays,
    a_user_who_may_make_no_database_is_told_so,
    a_user_without_rights_beyond_the_own_tables_can_rehearse,
    a_copy_that_cannot_be_filled_ends_the_rehearsal_at_once,
    a_server_without_room_for_the_copy_says_so_and_nothing_is_left,
    programs_that_are_too_old_are_passed_over,
    a_clone_by_the_server_itself,
    what_one_transaction_refuses_is_found_though_each_revision_goes_by_itself,
    a_failure_outside_of_a_transaction_is_told_as_one_of_the_copy,
    the_schema_of_the_version_table_is_nobodys_fault,
    a_rehearsal_from_nothing_has_the_schema_of_its_connection,
];

const PEOPLE: &str = "CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, score float8);\n\
    INSERT INTO people (name, score) VALUES ('Ada', 0.1), ('Grace', 'NaN'), ('Edsger', NULL);";

/// A project whose first revision is applied.
fn applied(server: &Server) -> Project {
    let project = Project::on(&OnServer::of(server));
    first(&project, PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    project
}

/// The first revision, with a way up and a way back.
fn first(project: &Project, up: &str, down: &str) {
    project.migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{up}\n-- migrate:down\n{down}\n"));
}

/// The third one.
fn third(project: &Project, up: &str, down: &str) {
    project.migration("a3", &format!("-- migrate:parent a2\n-- migrate:up\n{up}\n-- migrate:down\n{down}\n"));
}

/// The name of the project's database on the server.
fn name(project: &Project) -> String {
    project.ask("SELECT current_database()")
}

/// All of the database: what `pg_dump` writes of its schema, its rows, and where its sequences are.
fn whole(project: &Project) -> (String, String, Vec<String>) {
    let sequences = "SELECT format('%I.%I %s', schemaname, sequencename, last_value) FROM pg_sequences ORDER BY 1";
    (project.databases().schema("dev"), project.databases().state("dev"), project.list(sequences))
}

/// The document of a rehearsal, which leaves the database as it was, and no copy.
#[track_caller]
fn rehearsed(project: &Project, arguments: &[&str]) -> Value {
    let before = whole(project);
    let document = rehearsing::rehearsed(project, arguments);
    assert_eq!(whole(project), before);
    document
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
    third(&project, "CREATE TABLE empty_handed ();", "DROP TABLE empty_handed;");

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

fn a_loss_is_declared_with_the_schema_or_without_it(server: &Server) {
    let project = applied(server);
    let (up, down) = ("ALTER TABLE people DROP COLUMN score;", "ALTER TABLE people ADD COLUMN score float8;");
    for declared in ["people.score", "public.people.score", "people"] {
        second(&project, &format!("-- migrate:loses {declared}\n"), up, down);
        let document = rehearsed(&project, &[]);
        assert_eq!(document["safe"], true, "{declared}");
        assert_eq!(document["revisions"][0]["data_restored"], "declared", "{declared}");
    }
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
    third(&project, "DROP INDEX by_name;", "CREATE INDEX by_name ON people (name);");
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
    assert_eq!(faults(&project), ["`public.people_id_seq`: the next number is 1 after up and down, and was 4"]);
}

fn a_revision_outside_of_a_transaction_is_rehearsed(server: &Server) {
    let project = applied(server);
    second(
        &project,
        "-- migrate:no-transaction\n",
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
        lines(&document["revisions"][0], "remarks"),
        ["the constraint `scored` of `public.people` is NOT VALID, and there are rows that do not keep to it"]
    );
}
