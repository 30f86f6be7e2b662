//! `--sql`: the script leaves what the run leaves, and refuses where the run would.

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    a_script_leaves_schema_and_version_table_as_the_run_does,
    a_range_opens_no_database,
    a_script_refuses_where_the_run_would_and_leaves_nothing,
    a_script_refuses_another_starting_history,
    strings_that_a_shell_could_misread_are_kept_as_they_are,
}

/// People and what they have to do, in four revisions.
fn todos(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    let todos = "CREATE TABLE todos (\n    id INTEGER PRIMARY KEY,\n    person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,\n    \
        title TEXT NOT NULL DEFAULT 'it''s; new'\n);\nCREATE INDEX todos_person ON todos (person);";
    for (header, id, up, down) in [
        (
            "-- The people.\n-- migrate:parent base\n",
            "a1",
            "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\nINSERT INTO people VALUES (1, 'Ada');",
            "DROP TABLE people;",
        ),
        ("-- migrate:parent a1\n", "b1", todos, "DROP INDEX todos_person;\nDROP TABLE todos;"),
        (
            "-- It's what comes first.\n-- migrate:parent b1\n",
            "c1",
            "ALTER TABLE todos ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;",
            "ALTER TABLE todos DROP COLUMN priority;\n\
             -- migrate:verify\nSELECT count(*) = 0 FROM todos WHERE priority NOT BETWEEN 0 AND 9;",
        ),
        (
            "-- migrate:parent c1\n",
            "d1",
            "CREATE VIEW names AS SELECT name FROM people;\nCREATE UNIQUE INDEX people_name ON people (name);",
            "DROP INDEX people_name;\nDROP VIEW names;",
        ),
    ] {
        project.migration(id, &format!("{header}-- migrate:up\n{up}\n-- migrate:down\n{down}\n"));
    }
    project
}

/// All that a run leaves in a database, but for the time that it took place.
fn left(project: &Project, database: &str) -> (String, Vec<String>, Vec<String>) {
    let columns = [
        "package",
        "revision",
        "sequence",
        "checksum",
        "statements",
        "seal",
        "parents",
        "depends",
        "directives",
        "message",
        "applied_count",
        "down",
        "state",
        "tool_version",
        "schema_hash",
    ];
    let row = columns.map(|column| format!("coalesce(CAST({column} AS TEXT), 'NULL')")).join(" || '|' || ");
    let version_table = if project.databases().dialect() == "sqlite" {
        "SELECT sql FROM sqlite_schema WHERE tbl_name = '_cargo_migrate' ORDER BY type, name"
    } else {
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull FROM pg_attribute \
         WHERE attrelid = to_regclass('_cargo_migrate') AND attnum > 0 ORDER BY attnum"
    };
    (
        project.databases().schema(database),
        project.list_of(database, version_table),
        project.list_of(database, &format!("SELECT {row} FROM _cargo_migrate ORDER BY sequence")),
    )
}

fn a_script_leaves_schema_and_version_table_as_the_run_does(ground: &dyn Ground) {
    let project = todos(ground);
    for (script, run) in [
        (&["upgrade", "head", "--sql"][..], &["upgrade", "head"][..]),
        (&["downgrade", "head:a1", "--sql"], &["downgrade", "a1"]),
        (&["upgrade", "a1:head", "--sql"], &["upgrade", "head"]),
    ] {
        let text = project.run(script).done().out;
        let (well, said) = project.databases().by_shell("script", &text);
        assert!(well, "{said}\n{text}");
        project.run(run).done();
        let (scripted, ran) = (left(&project, "script"), left(&project, "dev"));
        assert!(!ran.1.is_empty() && ran.2.len() == if run[0] == "upgrade" { 4 } else { 1 }, "{ran:?}");
        assert_eq!(scripted, ran);
    }
}

fn a_range_opens_no_database(ground: &dyn Ground) {
    let project = todos(ground);
    project.run(&["upgrade", "base:head", "--sql"]).done().says("CREATE TABLE todos");
    assert!(project.databases().is_untouched("dev"));
}

fn a_script_refuses_where_the_run_would_and_leaves_nothing(ground: &dyn Ground) {
    let parents = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE p (id INTEGER PRIMARY KEY);\n\
        CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id));\nINSERT INTO p VALUES (1);\nINSERT INTO c VALUES (1, 1);\n";
    for (name, second) in [
        ("a dangling reference", "DELETE FROM p;\n"),
        ("a reference to a missing table", "CREATE TABLE d (x INTEGER REFERENCES nowhere (id));\n"),
        ("a failed verify", "CREATE TABLE d (x INTEGER);\n-- migrate:verify\nSELECT count(*) > 0 FROM d;\n"),
        ("an error in the middle", "CREATE TABLE d (x INTEGER);\nINSERT INTO missing VALUES (1);\n"),
    ] {
        let project = Project::on(ground);
        project.migration("a1", parents);
        project.run(&["upgrade"]).done();
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{second}"));
        let script = project.run(&["upgrade", "head", "--sql"]).done().out;
        let before = project.databases().state("dev");
        let (well, said) = project.databases().by_shell("dev", &script);
        assert!(!well, "{name}: {said}");
        assert_eq!(project.databases().state("dev"), before, "{name}");
        assert_eq!(project.run(&["upgrade"]).status, 1, "{name}");
    }
}

fn a_script_refuses_another_starting_history(ground: &dyn Ground) {
    let project = todos(ground);
    let script = project.run(&["upgrade", "head", "--sql"]).done().out;
    let (well, said) = project.databases().by_shell("dev", &script);
    assert!(well, "{said}");
    let before = project.databases().state("dev");
    let (well, said) = project.databases().by_shell("dev", &script);
    assert!(!well && said.contains("another history"), "{said}");
    assert_eq!(project.databases().state("dev"), before);
}

fn strings_that_a_shell_could_misread_are_kept_as_they_are(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (number INTEGER, x TEXT);\nINSERT INTO t (number) VALUES (8\n/\n2);\n\
         INSERT INTO t VALUES (1, 'a;\n.quit\n/\n'), (2, 'b;\n\\q\n\\echo :USER :''USER'' $$ $cargo_migrate$\ngo\n');\n\
         /* it's\n.quit\n\\q\n*/\nINSERT INTO t VALUES (3, '');\n",
    );
    let script = project.run(&["upgrade", "--sql"]).done().out;
    let (well, said) = project.databases().by_shell("script", &script);
    assert!(well, "{said}");
    project.run(&["upgrade"]).done();
    let rows = "SELECT coalesce(x, CAST(number AS TEXT)) FROM t ORDER BY number";
    let strings = ["", "a;\n.quit\n/\n", "b;\n\\q\n\\echo :USER :'USER' $$ $cargo_migrate$\ngo\n", "4"];
    for database in ["script", "dev"] {
        let mut found = project.list_of(database, rows);
        found.sort();
        let mut strings = strings;
        strings.sort_unstable();
        assert_eq!(found, strings, "{database}");
    }
}
