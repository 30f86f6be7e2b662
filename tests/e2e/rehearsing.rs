//! `test`: what is pending is rehearsed on a copy, and the database itself is only read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Project, table};
use crate::pages::ground::Sqlite;
use crate::pages::rehearsing::{NOTES, applied, contents, copies, faults, lines, rehearsed, second};

fn ids(document: &Value) -> Vec<&str> {
    document["revisions"].as_array().unwrap().iter().map(|it| it["revision"].as_str().unwrap()).collect()
}

#[test]
fn a_column_is_added_rehearsed_applied_taken_back_and_deleted() {
    let project = Project::todo();
    project.run(&["upgrade"]).done();
    let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
    database
        .execute_batch(
            "INSERT INTO users VALUES (1, 'ada'), (2, 'grace'); \
             INSERT INTO todos (user_id, title) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 42) \
             SELECT 1 + i % 2, 'todo ' || i FROM n",
        )
        .unwrap();
    drop(database);
    let rows = || {
        let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
        let mut statement = database.prepare("SELECT * FROM todos ORDER BY id").unwrap();
        let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        all.unwrap().collect::<Result<Vec<(i64, i64, String, i64, i64)>, _>>().unwrap()
    };
    let before = rows();

    let models = project.read("src/models.rs");
    let with_column = models.replace("pub priority: i64,", "pub priority: i64,\n    pub test_column: Option<i64>,");
    assert_ne!(models, with_column);
    project.write("src/models.rs", &with_column);
    project.run(&["revision", "--autogenerate", "-m", "test column", "--rev-id", "test_column"]).done();

    let untouched = contents(&project);
    project.run(&["test"]).done().says("safe to apply: 1 revision, up, down and up again");
    assert_eq!(contents(&project), untouched);

    project.run(&["upgrade"]).done();
    let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
    database.execute_batch("UPDATE todos SET test_column = id * 2").unwrap();
    drop(database);
    // What the way back takes along is known before anybody goes it.
    let back = project.run(&["test", "--revision", "test_column"]).done();
    back.says("`todos.test_column`: 42 values would be lost by the downgrade");
    project.run(&["downgrade", "-1"]).done();
    project.run(&["delete", "test_column"]).done();
    assert_eq!(rows(), before);
}

#[test]
fn values_that_have_changed_places_are_seen() {
    let project = applied(&Sqlite, NOTES);
    // The same values in the same column, of two other people.
    second(
        &project,
        "",
        "UPDATE people SET name = CASE id WHEN 1 THEN 'Grace' ELSE 'Ada' END WHERE id < 3;",
        "SELECT 1;",
    );
    assert_eq!(faults(&project), ["`people.name`: 2 values are not what they were after up and down"]);
    // What only looks alike to a collation is another value.
    let project = applied(
        &Sqlite,
        "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT COLLATE NOCASE);\nINSERT INTO words VALUES (1, 'a');",
    );
    second(&project, "", "UPDATE words SET word = 'A';", "SELECT 1;");
    assert_eq!(faults(&project), ["`words.word`: 1 value is not what it was after up and down"]);
    // Without a key it is rows that are compared.
    let project = applied(&Sqlite, "CREATE TABLE pairs (a, b);\nINSERT INTO pairs VALUES (1, 2), (3, 4);");
    second(&project, "", "UPDATE pairs SET b = 6 - b;", "SELECT 1;");
    assert_eq!(faults(&project), ["`pairs`: the rows are not what they were after up and down"]);
}

#[test]
fn a_second_upgrade_that_fails_or_makes_something_else_is_caught() {
    let project = applied(&Sqlite, NOTES);
    // The way back leaves a row that the second upgrade stumbles over.
    second(&project, "", "INSERT INTO people VALUES (7, 'x');\nCREATE TABLE tags (name TEXT);", "DROP TABLE tags;");
    let found = faults(&project);
    assert!(found[0] == "`people`: 1 row left over after up and down", "{found:#?}");
    assert!(found[1].contains("second upgrade is refused") && found[1].contains("people.id"), "{found:#?}");
    project.run(&["test"]).refused(&["error[sql-error]", "a2.sql:3:1", "error[not-safe]"]);
}

#[test]
fn what_the_upgrade_itself_is_refused_for_is_shown_at_its_place() {
    let project = applied(&Sqlite, NOTES);
    let before = contents(&project);
    second(&project, "", "CREATE TABEL tags (x);", "SELECT 1;");
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
    // A row that refers to one that is gone.
    second(&project, "", "DELETE FROM people WHERE id = 1;", "SELECT 1;");
    project.run(&["test"]).refused(&["error[foreign-keys]", "row 1 of `notes`"]);
    let document = rehearsed(&project, &[]);
    assert_eq!(document["revisions"][0]["foreign_keys"], "no");
    fs::remove_file(project.path("migrations/a3.sql")).unwrap();
    fs::remove_file(project.path("migrations/a2.sql")).unwrap();
    assert_eq!(contents(&project), before);
}

#[test]
fn a_way_back_that_leaves_a_row_dangling_is_a_matter_of_foreign_keys() {
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "INSERT INTO people VALUES (9, 'x');", "DELETE FROM people WHERE id IN (1, 9);");
    let document = rehearsed(&project, &[]);
    let revision = &document["revisions"][0];
    assert_eq!((revision["foreign_keys"].as_str(), revision["down"]["result"].as_str()), (Some("no"), Some("refused")));
}

#[test]
fn one_fault_does_not_hide_those_after_it() {
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "SELECT 1;");
    project.migration("a3", &table("a2", "tags"));
    project.migration("a4", "-- migrate:parent a3\n-- migrate:up\nUPDATE notes SET due = 'x';\nDELETE FROM people WHERE id = 0;\n-- migrate:down\nSELECT 1;\n");
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["a2", "a3", "a4"]);
    let faults: Vec<_> = document["revisions"].as_array().unwrap().iter().map(|it| lines(it, "faults")).collect();
    assert_eq!(faults[0].len(), 2, "{faults:#?}");
    assert_eq!(faults[1], Vec::<String>::new());
    assert_eq!(faults[2], ["`notes.due`: 4 values are not what they were after up and down"]);
}

#[test]
fn from_nothing_all_of_it_or_a_part_that_is_applied() {
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "ALTER TABLE notes DROP COLUMN due;");
    project.migration("a3", &table("a2", "tags"));
    project.run(&["upgrade", "a2"]).done();
    assert_eq!(ids(&rehearsed(&project, &[])), ["a3"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2"])), ["a2"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2:"])), ["a2", "a3"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2", "--empty"])), ["a2"]);
    // The first one makes tables that its way back leaves.
    for arguments in ["--all", "--empty"] {
        let document = rehearsed(&project, &[arguments]);
        assert_eq!(ids(&document), ["a1", "a2", "a3"], "{arguments}");
        let first = lines(&document["revisions"][0], "faults");
        assert!(first.iter().any(|fault| fault == "the downgrade leaves the table `notes`"), "{first:#?}");
        assert_eq!(lines(&document["revisions"][2], "faults"), Vec::<String>::new());
    }
    // On a copy of what is there it cannot even come off, so that it could go up.
    let document = rehearsed(&project, &["--revision", ":a3"]);
    assert_eq!((ids(&document), document["revisions"][0]["up"]["result"].as_str()), (vec!["a1"], Some("refused")));
    assert_eq!(project.run(&["test", "--all", "--revision", "a2"]).status, 2);
    project.run(&["test", "--revision", "nowhere"]).refused(&["unknown-target"]);
}

#[test]
fn a_database_that_is_not_there_is_rehearsed_from_nothing_and_not_made() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["test"]).done().says("dev is not there yet").says("safe to apply");
    assert!(!project.path("app.db").exists());
}

#[test]
fn branches_merges_and_revisions_with_rules_of_their_own() {
    let project = applied(&Sqlite, NOTES);
    project.migration("b1", &table("a1", "left_one"));
    project.migration("c1", &table("a1", "right_one"));
    assert_eq!(rehearsed(&project, &[])["safe"], true);
    project.run(&["merge", "-m", "both", "--rev-id", "d1"]).done();
    project.migration(
        "e1",
        "-- migrate:parent d1\n-- migrate:no-transaction\n-- migrate:up\nVACUUM;\nCREATE TABLE big (x);\n\
         -- migrate:down\nDROP TABLE big;\n",
    );
    project.migration(
        "f1",
        "-- migrate:parent e1\n-- migrate:foreign-keys on\n-- migrate:up\nCREATE TABLE own (n INTEGER REFERENCES notes (id));\n\
         INSERT INTO own VALUES (1);\n-- migrate:down\nDROP TABLE own;\n",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["b1", "c1", "d1", "e1", "f1"]);
    assert_eq!(document["safe"], true, "{document:#}");
    // What stops half way outside of a transaction leaves its copy half way, and the next one gets a new one.
    project.migration(
        "e1",
        "-- migrate:parent d1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE big (x);\n\
         -- migrate:down\nDROP TABLE big;\nDROP TABLE nowhere;\n",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["b1", "c1", "d1", "e1", "f1"]);
    assert_eq!(lines(&document["revisions"][4], "faults"), Vec::<String>::new());
    assert!(lines(&document["revisions"][3], "faults")[0].contains("nowhere"), "{document:#}");
}

#[test]
fn the_copy_is_kept_where_somebody_wants_to_look_at_it() {
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "UPDATE notes SET stars = 9;", "SELECT 1;");
    project.migration("a3", "-- migrate:parent a2\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE tags (x);\n-- migrate:down\nDROP TABLE tags;\n");
    let ran = project.run(&["test", "--keep"]).refused(&["not-safe", "the copy is kept: .migrate/rehearsals/"]);
    let [folder] = &copies(&project)[..] else { panic!("{}", ran.err) };
    let kept = project.path(".migrate/rehearsals").join(folder);
    let inside: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["copy.db"]);
    // As the first revision with a fault has left it.
    let copy = rusqlite::Connection::open(kept.join("copy.db")).unwrap();
    let seen: String = copy
        .query_row(
            "SELECT group_concat(stars) || (SELECT count(*) FROM sqlite_schema WHERE name = 'tags') FROM notes",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(seen, "9,9,9,90");
    drop(copy);
    // The next rehearsal leaves it alone.
    project.run(&["test"]).refused(&["not-safe"]);
    assert_eq!(copies(&project), std::slice::from_ref(folder));
    assert_eq!(project.read(".migrate/.gitignore"), "*\n");
}

#[test]
fn what_was_edited_on_a_scratch_database_is_rehearsed_anew() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("a1", &table("base", "t2"));
    let document = rehearsed(&project, &["-d", "test"]);
    assert_eq!((ids(&document), document["safe"].as_bool()), (vec!["a1"], Some(true)));
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_no_text_is_as_good_as_any() {
    use std::os::unix::ffi::OsStrExt as _;
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "UPDATE notes SET stars = 0 WHERE stars > 2;", "SELECT 1;");
    let odd = project.path("").join(std::ffi::OsStr::from_bytes(b"o\xffdd"));
    fs::create_dir(&odd).unwrap();
    let mut command = project.command(&[
        "test",
        "--format",
        "json",
        "--name",
        "app",
        "--migrations",
        "../migrations",
        "-d",
        "sqlite:../app.db",
    ]);
    command.current_dir(&odd);
    let ran = crate::harness::ended(command);
    assert_eq!(
        lines(&ran.json()["revisions"][0], "faults"),
        ["`notes.stars`: 2 values are not what they were after up and down"]
    );
}

/// A text that is well-formed XML as far as elements and attributes go: gives each start tag with its attributes.
fn elements(xml: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let unescaped = |text: &str| {
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#10;", "\n")];
        for (at, _) in text.match_indices('&') {
            let known =
                text[at..].starts_with("&amp;") || plain.iter().any(|(entity, _)| text[at..].starts_with(entity));
            assert!(known, "a bare & in {text}");
        }
        let text = plain.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
        text.replace("&amp;", "&")
    };
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("it starts as XML does");
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        unescaped(&rest[..start]);
        assert!(!rest[..start].contains('>'));
        let mut in_value = false;
        let end = rest[start..].find(|c| {
            in_value ^= c == '"';
            assert!(c != '<' || rest[start..].starts_with('<'));
            c == '>' && !in_value
        });
        let tag = &rest[start + 1..start + end.expect("a tag ends")];
        rest = &rest[start + tag.len() + 2..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut named = BTreeMap::new();
        while let Some((key, value)) = attributes.trim_start().split_once("=\"") {
            let (value, after) = value.split_once('"').expect("a value ends");
            assert!(!value.contains('<'));
            named.insert(key.to_owned(), unescaped(value));
            attributes = after;
        }
        assert_eq!(attributes.trim(), "");
        found.push((name.to_owned(), named));
        if !closed {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    found
}

#[test]
fn continuous_integration_gets_a_test_case_for_each_revision() {
    let project = applied(
        &Sqlite,
        "CREATE TABLE \"<t a=\"\"&\"\"]]>\" (\"x\u{1b}'>\" TEXT, id INTEGER PRIMARY KEY);\nINSERT INTO \"<t a=\"\"&\"\"]]>\" VALUES ('a', 1);",
    );
    second(&project, "", "UPDATE \"<t a=\"\"&\"\"]]>\" SET \"x\u{1b}'>\" = 'b';", "SELECT 1;");
    project.migration("a3", &table("a2", "tags"));
    let ran = project.run(&["test", "--format", "junit"]).refused(&["not-safe"]);
    ran.is_printable();
    let found = elements(&ran.out);
    let named = |name: &str| found.iter().filter(|(it, _)| it == name).map(|(_, fields)| fields).collect::<Vec<_>>();
    let suites = named("testsuite");
    assert_eq!((suites.len(), suites[0]["tests"].as_str(), suites[0]["failures"].as_str()), (1, "2", "1"));
    let cases = named("testcase");
    assert_eq!((cases.len(), cases[0]["name"].as_str(), cases[1]["name"].as_str()), (2, "a2", "a3"));
    assert!(cases.iter().all(|case| case["time"].parse::<f64>().is_ok() && case["classname"] == "app"));
    let failures = named("failure");
    assert!(failures.len() == 1 && failures[0]["message"].contains("`<t a=\"&\"]]>.x"), "{}", ran.out);
    project.run(&["upgrade"]).done();
    let nothing = project.run(&["test", "--format", "junit"]).done();
    assert_eq!(elements(&nothing.out)[1].1["tests"], "0");
}

#[test]
fn what_only_this_program_cannot_know_does_not_stop_the_rest() {
    // The rows of full-text tables are compared, however their index is laid out.
    let project =
        applied(&Sqlite, "CREATE VIRTUAL TABLE pages USING fts5(text);\nINSERT INTO pages VALUES ('one'), ('two');");
    second(&project, "", "INSERT INTO pages (pages) VALUES ('optimize');", "SELECT 1;");
    assert_eq!(rehearsed(&project, &[])["safe"], true);
    second(&project, "", "UPDATE pages SET text = 'three' WHERE rowid = 2;", "SELECT 1;");
    assert_eq!(faults(&project), ["`pages`: the rows are not what they were after up and down"]);
}

/// The page's checklist, from reviewing to looking afterwards, on a copy of the example with one revision pending.
#[test]
fn each_line_of_the_checklist_is_a_command() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rehearsal.md")).unwrap();
    let checklist = page.split_once("\n## The checklist\n").unwrap().1.split("\n## ").next().unwrap();
    let rows = checklist.lines().filter(|line| line.starts_with('|')).skip(2);
    let commands: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    assert!(commands.len() > 8, "{commands:?}");
    let project = Project::todo();
    project.run(&["upgrade", "2025_02_20_001_add_priority"]).done();
    for command in commands {
        let arguments: Vec<&str> = command.strip_prefix("cargo migrate ").expect(command).split(' ').collect();
        project.run(&arguments).done();
    }
    project.run(&["status"]).done().says("pending   0");
}
