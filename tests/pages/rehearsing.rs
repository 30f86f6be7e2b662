//! `test`: what is pending is rehearsed on a copy, and the database itself is only read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_column_is_tried_on_a_copy_used_and_taken_back,
    production_is_rehearsed_before_it_is_upgraded,
    what_a_downgrade_takes_along_is_said_in_words,
    the_table_has_a_line_for_each_revision_and_a_pipe_sees_no_progress,
    a_way_back_that_does_not_restore_the_schema_is_caught,
    rows_that_a_way_back_does_not_bring_back_are_counted,
    values_that_change_though_they_should_not_are_named_with_their_column_and_counted,
    losses_that_a_revision_declares_are_told_and_are_no_fault,
    a_declared_loss_that_is_misspelt_is_told_so,
    a_revision_without_a_way_back_has_to_say_so,
    a_mistyped_database_is_not_called_safe,
}

/// Every file of the project but those that are the command's own.
pub fn contents(project: &Project) -> BTreeMap<PathBuf, String> {
    let own = project.path(".migrate");
    project.contents().into_iter().filter(|(path, _)| !path.starts_with(&own)).collect()
}

/// A project whose first revision, with these statements, is applied.
pub fn applied(ground: &dyn Ground, statements: &str) -> Project {
    let project = Project::on(ground);
    project
        .migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{statements}\n-- migrate:down\nSELECT 1;\n"));
    project.run(&["upgrade"]).done();
    project
}

/// People and what they have written.
pub const NOTES: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n\
    CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id), text TEXT, stars INTEGER);\n\
    INSERT INTO people VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger');\n\
    INSERT INTO notes VALUES (1, 1, 'one', 5), (2, 1, 'two', NULL), (3, 2, 'three', 3), (4, 3, NULL, 1);";

/// The second revision, with a header, a way up and a way back.
pub fn second(project: &Project, header: &str, up: &str, down: &str) {
    let text = format!("-- migrate:parent a1\n{header}-- migrate:up\n{up}\n-- migrate:down\n{down}\n");
    project.migration("a2", &text);
}

/// The document of a rehearsal, which leaves no file of the project otherwise than it was, and no copy.
#[track_caller]
pub fn rehearsed(project: &Project, arguments: &[&str]) -> Value {
    let before = (contents(project), project.databases().all());
    let ran = project.run_bounded(&[&["test", "--format", "json"], arguments].concat());
    let document = ran.json();
    assert_eq!(ran.status, i32::from(document["safe"] != true), "{}\n{}", ran.out, ran.err);
    assert_eq!((contents(project), project.databases().all()), before, "{}", ran.err);
    assert_eq!(project.databases().copies(), Vec::<String>::new());
    document
}

/// What is wrong with the second revision.
#[track_caller]
pub fn faults(project: &Project) -> Vec<String> {
    lines(&rehearsed(project, &[])["revisions"][0], "faults")
}

#[track_caller]
pub fn lines(revision: &Value, key: &str) -> Vec<String> {
    revision[key].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// The revisions of a document.
#[track_caller]
pub fn ids(document: &Value) -> Vec<&str> {
    document["revisions"].as_array().unwrap().iter().map(|it| it["revision"].as_str().unwrap()).collect()
}

/// A line whose first name is the one of a table, or of a column, as the dialect tells it.
pub fn at(project: &Project, line: &str) -> String {
    let (before, rest) = line.split_once('`').unwrap();
    let (name, after) = rest.split_once('`').unwrap();
    format!("{before}`{}`{after}", project.databases().named(name))
}

/// A line that says how many values have changed, as far as that can be said.
pub fn counted(project: &Project, line: &str) -> String {
    project.databases().counted(&at(project, line))
}

fn a_column_is_tried_on_a_copy_used_and_taken_back(ground: &dyn Ground) {
    // Given a project whose database holds rows that matter.
    let project = applied(ground, NOTES);
    let (schema, rows) = (
        project.databases().schema("dev"),
        "SELECT id || ' ' || person || ' ' || coalesce(text, '-') FROM notes ORDER BY id",
    );
    let before = project.list(rows);
    // When a column is written by hand and rehearsed, nothing of the database changes.
    second(
        &project,
        "",
        "ALTER TABLE notes ADD COLUMN test_column INTEGER;",
        "ALTER TABLE notes DROP COLUMN test_column;",
    );
    let state = project.databases().state("dev");
    project.run(&["test"]).done().says("safe to apply: 1 revision, up, down and up again");
    assert_eq!(project.databases().state("dev"), state);
    // When it is applied and used, what its way back takes along is known before anybody goes it.
    project.run(&["upgrade"]).done();
    project.execute("UPDATE notes SET test_column = id * 2");
    let back = project.run(&["test", "--revision", "a2"]).done();
    back.says(&at(&project, "`notes.test_column`: 4 values would be lost by the downgrade"));
    project.run(&["downgrade", "-1"]).done();
    project.run(&["delete", "a2"]).done();
    // Then schema and rows are exactly those that one started from.
    assert_eq!((project.databases().schema("dev"), project.list(rows)), (schema, before));
}

fn production_is_rehearsed_before_it_is_upgraded(ground: &dyn Ground) {
    // Given a protected database with the rows of production, some of which the developer's database never had.
    let project = applied(ground, NOTES);
    let manifest = project.read("Cargo.toml");
    let prod = project.url("prod");
    project.write("Cargo.toml", &format!("{manifest}prod = {{ url = \"{prod}\", protected = true }}\n"));
    project.run(&["-d", "prod", "upgrade", "--yes", "--create"]).done();
    project.execute_on("prod", "INSERT INTO people VALUES (4, 'Ada')");
    // When a revision does well here, and not on what is there.
    second(&project, "", "CREATE UNIQUE INDEX one_name ON people (name);", "DROP INDEX one_name;");
    project.run(&["test"]).done().says("safe to apply");
    project.run(&["upgrade"]).done();
    let state = project.databases().state("prod");
    project.run(&["-d", "prod", "test"]).refused(&["error[not-safe]", "a2.sql"]);
    // Then production was only read, and goes on when the rows are mended.
    assert_eq!(project.databases().state("prod"), state);
    project.execute_on("prod", "UPDATE people SET name = 'Ada B.' WHERE id = 4");
    project.run(&["-d", "prod", "test"]).done().says("safe to apply: 1 revision");
    project.run(&["-d", "prod", "upgrade"]).refused(&["not-confirmed", "protected"]);
    project.run(&["-d", "prod", "upgrade", "--yes"]).done();
    project.run(&["-d", "prod", "current", "--check-heads"]).done();
}

fn what_a_downgrade_takes_along_is_said_in_words(ground: &dyn Ground) {
    let project = applied(
        ground,
        "CREATE TABLE todos (id INTEGER PRIMARY KEY);\nINSERT INTO todos \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 42) SELECT i FROM n;",
    );
    second(
        &project,
        "",
        "ALTER TABLE todos ADD COLUMN test_column INTEGER;\nUPDATE todos SET test_column = id;\n\
         CREATE TABLE tags (name TEXT);\nINSERT INTO tags VALUES ('home');",
        "DROP TABLE tags;\nALTER TABLE todos DROP COLUMN test_column;",
    );
    project
        .run(&["test"])
        .done()
        .says(&at(&project, "`todos.test_column`: 42 values would be lost by the downgrade"))
        .says(&at(&project, "`tags`: 1 row would be lost by the downgrade"));
    let document = rehearsed(&project, &[]);
    let revision = &document["revisions"][0];
    assert_eq!(revision["rows"], 43);
    for verdict in ["schema_restored", "data_restored", "foreign_keys"] {
        assert_eq!(revision[verdict], "yes", "{verdict}");
    }
    // A server is not asked for the state of its files.
    assert_eq!(revision["integrity"], if project.databases().compares_rows() { "yes" } else { "untried" });
}

fn the_table_has_a_line_for_each_revision_and_a_pipe_sees_no_progress(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "ALTER TABLE notes DROP COLUMN due;");
    project.migration("a3", &table("a2", "tags"));
    let ran = project.run(&["test"]).done();
    ran.is_printable();
    let table: Vec<&str> = ran.out.lines().collect();
    assert_eq!(table.len(), 3, "{}", ran.out);
    for heading in ["revision", "up", "down", "up again", "rows", "schema restored", "data restored", "foreign keys"] {
        assert!(table[0].contains(heading), "{}", table[0]);
    }
    assert!(table[1].starts_with("a2 ") && table[2].starts_with("a3 "), "{}", ran.out);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains("Finished safe to apply: 2 revisions"), "{}", ran.err);
    project.run(&["upgrade"]).done();
    project.run(&["test"]).done().says("nothing is pending");
}

fn a_way_back_that_does_not_restore_the_schema_is_caught(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(
        &project,
        "",
        "ALTER TABLE notes ADD COLUMN due TEXT;\nCREATE INDEX notes_due ON notes (due);\nALTER TABLE people DROP COLUMN name;",
        "DROP INDEX notes_due;",
    );
    let found = faults(&project);
    for line in [
        "the downgrade leaves the column `notes.due`",
        "the downgrade does not bring back the column `people.name`",
        "`people.name`: 3 values lost after up and down",
    ] {
        assert!(found.contains(&at(&project, line)), "{line}\n{found:#?}");
    }
    assert!(found.iter().any(|fault| fault.starts_with("the second upgrade is refused: ")), "{found:#?}");
    let leaves = at(&project, "a2: the downgrade leaves the column `notes.due`");
    project.run(&["test"]).refused(&["error[not-safe]", &leaves]);
}

fn rows_that_a_way_back_does_not_bring_back_are_counted(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "DELETE FROM notes WHERE id > 2;\nINSERT INTO people VALUES (9, 'x');", "SELECT 1;");
    assert_eq!(
        faults(&project)[..2],
        ["`notes`: 2 rows lost after up and down", "`people`: 1 row left over after up and down"]
            .map(|line| at(&project, line))
    );
    // As many rows are no consolation.
    second(&project, "", "UPDATE notes SET id = id + 10 WHERE id > 2;", "SELECT 1;");
    let moved = if project.databases().compares_rows() {
        ["`notes`: 2 rows lost after up and down", "`notes`: 2 rows left over after up and down"]
            .map(|line| at(&project, line))
            .to_vec()
    } else {
        // All that is in a row hangs on its key.
        ["id", "person", "stars", "text"]
            .map(|column| {
                at(&project, &format!("`notes.{column}`: the values are not what they were after up and down"))
            })
            .to_vec()
    };
    assert_eq!(faults(&project), moved);
}

fn values_that_change_though_they_should_not_are_named_with_their_column_and_counted(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "UPDATE notes SET stars = 0 WHERE stars > 2;", "SELECT 1;");
    assert_eq!(
        faults(&project),
        [counted(&project, "`notes.stars`: 2 values are not what they were after up and down")]
    );
    second(&project, "", "UPDATE people SET name = 'Grace' || substr('', 1) WHERE id = 1;", "SELECT 1;");
    assert_eq!(faults(&project), [counted(&project, "`people.name`: 1 value is not what it was after up and down")]);
}

fn losses_that_a_revision_declares_are_told_and_are_no_fault(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(
        &project,
        "-- migrate:loses notes.stars\n",
        "ALTER TABLE notes DROP COLUMN stars;",
        "ALTER TABLE notes ADD COLUMN stars INTEGER;",
    );
    let document = rehearsed(&project, &[]);
    let revision = &document["revisions"][0];
    assert_eq!((revision["data_restored"].as_str(), document["safe"].as_bool()), (Some("declared"), Some(true)));
    assert_eq!(
        lines(revision, "remarks"),
        [counted(
            &project,
            "`notes.stars`: 3 values are not what they were after up and down, as the revision declares"
        )]
    );
    // One column is declared, another one is not.
    second(
        &project,
        "-- migrate:loses notes.stars\n",
        "ALTER TABLE notes DROP COLUMN stars;\nALTER TABLE notes DROP COLUMN text;",
        "ALTER TABLE notes ADD COLUMN text TEXT;\nALTER TABLE notes ADD COLUMN stars INTEGER;",
    );
    assert_eq!(
        faults(&project),
        [counted(&project, "`notes.text`: 3 values are not what they were after up and down")]
    );
    project.migration("a2", "-- migrate:parent a1\n-- migrate:irreversible\n-- migrate:up\nDROP TABLE notes;\n");
    project.run(&["test"]).done().says("declared irreversible, so its way back was not tried");
}

fn a_declared_loss_that_is_misspelt_is_told_so(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(
        &project,
        "-- migrate:loses notes.stras, Notes.text, people, pepole\n",
        "ALTER TABLE notes DROP COLUMN stars;",
        "ALTER TABLE notes ADD COLUMN stars INTEGER;",
    );
    let ran = project.run(&["test"]).refused(&["error[not-safe]", &at(&project, "`notes.stars`")]);
    for misspelt in ["notes.stras", "pepole"] {
        let told = format!("`{misspelt}` is declared to be lost, and there is no such table or column");
        assert!(ran.err.contains(&told), "{}", ran.err);
    }
    for known in ["Notes.text", "people"] {
        assert!(!ran.err.contains(&format!("`{known}` is declared")), "{}", ran.err);
    }
}

fn a_revision_without_a_way_back_has_to_say_so(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDROP TABLE notes;\n");
    let found = faults(&project);
    assert!(found[0].contains("has no down section") && found[0].contains("-- migrate:irreversible"), "{found:#?}");
    assert_eq!(found.len(), 1);
    let ran = project.run(&["test"]).refused(&["error[not-safe]", "write its down section"]);
    assert!(!ran.err.contains("--down-from"), "it is not applied to anything\n{}", ran.err);
}

fn a_mistyped_database_is_not_called_safe(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "todos"));
    let nowhere = format!("{}_mistyped", project.url("dev"));
    for quiet in [&[][..], &["-q"]] {
        let line = [&["-d", &nowhere, "test"], quiet].concat();
        let ran = project.refuses(&line, &["is not there, so nothing can be rehearsed", "test --empty`"]);
        assert!(!ran.err.contains("safe to apply"), "{}", ran.err);
    }
    project.run(&["-d", &nowhere, "test", "--empty"]).done().says("safe to apply: 1 revision");
}
