//! `test`: what is wrong with a revision is found, shown at its place, and hides nothing of those after it.

use std::fs;

use crate::pages::ground::Ground;
use crate::pages::rehearsing::{NOTES, applied, at, contents, counted, faults, ids, lines, rehearsed, second};
use crate::pages::table;

pages! {
    values_that_have_changed_places_are_seen,
    rows_that_are_written_anew_in_another_order_are_the_same_rows,
    a_second_upgrade_that_fails_or_makes_something_else_is_caught,
    what_the_upgrade_itself_is_refused_for_is_shown_at_its_place,
    a_row_that_refers_to_one_that_is_gone_is_a_matter_of_foreign_keys,
    a_way_back_that_leaves_a_row_dangling_is_a_matter_of_foreign_keys,
    one_fault_does_not_hide_those_after_it,
    what_a_revision_loses_is_offered_to_be_declared_only_where_it_loses_rows,
}

fn values_that_have_changed_places_are_seen(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    // The same values in the same column, of two other people.
    second(
        &project,
        "",
        "UPDATE people SET name = CASE id WHEN 1 THEN 'Grace' ELSE 'Ada' END WHERE id < 3;",
        "SELECT 1;",
    );
    assert_eq!(
        faults(&project),
        [counted(&project, "`people.name`: 2 values are not what they were after up and down")]
    );
    // Without a key it is rows that are compared.
    let project =
        applied(ground, "CREATE TABLE pairs (a INTEGER, b INTEGER);\nINSERT INTO pairs VALUES (1, 2), (3, 4);");
    second(&project, "", "UPDATE pairs SET b = 6 - b;", "SELECT 1;");
    assert_eq!(faults(&project), [at(&project, "`pairs`: the rows are not what they were after up and down")]);
}

fn rows_that_are_written_anew_in_another_order_are_the_same_rows(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(
        &project,
        "",
        "CREATE TABLE kept AS SELECT * FROM notes ORDER BY id DESC;",
        "DELETE FROM notes;\nINSERT INTO notes SELECT * FROM kept;\nDROP TABLE kept;",
    );
    assert_eq!(rehearsed(&project, &[])["revisions"][0]["data_restored"], "yes");
}

fn a_second_upgrade_that_fails_or_makes_something_else_is_caught(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    // The way back leaves a row that the second upgrade stumbles over.
    second(&project, "", "INSERT INTO people VALUES (7, 'x');\nCREATE TABLE tags (name TEXT);", "DROP TABLE tags;");
    let found = faults(&project);
    assert!(found[0] == at(&project, "`people`: 1 row left over after up and down"), "{found:#?}");
    // A server names what it refuses by the constraint's name.
    let names = ["people.id", "\"people_pkey\""].iter().any(|name| found[1].contains(name));
    assert!(found[1].contains("second upgrade is refused") && names, "{found:#?}");
    project.run(&["test"]).refused(&["error[sql-error]", "a2.sql:3:1", "error[not-safe]"]);
}

fn what_the_upgrade_itself_is_refused_for_is_shown_at_its_place(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    let before = contents(&project);
    second(&project, "", "CREATE TABEL tags (x INTEGER);", "SELECT 1;");
    project.run(&["test"]).refused(&["error[sql-error]", "migrations/a2.sql:3:8", "^^^^^", "error[not-safe]"]);
    // A check of its own that does not hold.
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n-- migrate:verify\n\
         SELECT count(*) = 0 FROM notes WHERE stars IS NULL;\n",
    );
    project.migration("a3", &table("a2", "tags"));
    let ran = project.run(&["test"]).refused(&["error[verify-failed]", "a2.sql:7:1", "1 after it could not be tried"]);
    assert!(ran.out.contains("refused"), "{}", ran.out);
    fs::remove_file(project.path("migrations/a3.sql")).unwrap();
    fs::remove_file(project.path("migrations/a2.sql")).unwrap();
    assert_eq!(contents(&project), before);
}

fn a_row_that_refers_to_one_that_is_gone_is_a_matter_of_foreign_keys(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "DELETE FROM people WHERE id = 1;", "SELECT 1;");
    project.migration("a3", &table("a2", "tags"));
    project.run(&["test"]).refused(&project.databases().dangling());
    let document = rehearsed(&project, &[]);
    assert_eq!(document["revisions"][0]["foreign_keys"], "no");
}

fn a_way_back_that_leaves_a_row_dangling_is_a_matter_of_foreign_keys(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "INSERT INTO people VALUES (9, 'x');", "DELETE FROM people WHERE id IN (1, 9);");
    let document = rehearsed(&project, &[]);
    let revision = &document["revisions"][0];
    assert_eq!((revision["foreign_keys"].as_str(), revision["down"]["result"].as_str()), (Some("no"), Some("refused")));
}

fn one_fault_does_not_hide_those_after_it(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "SELECT 1;");
    project.migration("a3", &table("a2", "tags"));
    project.migration("a4", "-- migrate:parent a3\n-- migrate:up\nUPDATE notes SET due = 'x';\nDELETE FROM people WHERE id = 0;\n-- migrate:down\nSELECT 1;\n");
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["a2", "a3", "a4"]);
    let faults: Vec<_> = document["revisions"].as_array().unwrap().iter().map(|it| lines(it, "faults")).collect();
    assert_eq!(faults[0].len(), 2, "{faults:#?}");
    assert_eq!(faults[1], Vec::<String>::new());
    assert_eq!(faults[2], [counted(&project, "`notes.due`: 4 values are not what they were after up and down")]);
}

fn what_a_revision_loses_is_offered_to_be_declared_only_where_it_loses_rows(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "DELETE FROM notes WHERE id = 1;", "SELECT 1;");
    project.run(&["test"]).refused(&["or declare what it means to lose: `-- migrate:loses TABLE.COLUMN`"]);
    for up in ["SELECT no_such_thing;", "CREATE TABLE pets (id INTEGER);"] {
        second(&project, "", up, "SELECT 1;");
        let ran = project.run(&["test"]).refused(&["help: mend the revision"]);
        assert!(!ran.err.contains("migrate:loses"), "{}", ran.err);
    }
}
