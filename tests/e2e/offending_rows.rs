//! A migration asks more of the rows than they hold: it is refused, the rows are named, and nothing is lost.

use crate::harness::{Project, Ran};

/// A project with to-dos and their owners in its database.
fn project() -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\n\
         CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, mail TEXT);\n\
         CREATE TABLE todos (id INTEGER PRIMARY KEY, title TEXT, priority, \"größe in m\" REAL);\n\
         CREATE TABLE tags (todo INTEGER, tag TEXT, colour TEXT, PRIMARY KEY (todo, tag)) WITHOUT ROWID;\n",
    );
    project.run(&["upgrade"]).done();
    let database = project.database();
    database
        .execute_batch(
            "INSERT INTO users VALUES (1, 'Ann', 'a@example.org'), (2, 'Bob', 'secret'), (5, 'Ann', 'c@example.org');
             INSERT INTO todos VALUES (1, 'Wash', 1, 1.5), (3, 'Cook', 12, 0), (4, NULL, 'high', NULL);
             INSERT INTO tags VALUES (1, 'home', 'red'), (3, 'home', 'red'), (3, 'fun', 'blue');",
        )
        .unwrap();
    project
}

/// Everything that the database holds, as statements that make it.
fn dump(project: &Project) -> Vec<String> {
    let database = project.database();
    let ask = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut found = ask("SELECT name || coalesce(sql, '') FROM sqlite_master ORDER BY name");
    for values in [
        "users: ' || quote(id) || quote(name) || quote(mail) FROM users",
        "todos: ' || quote(id) || quote(title) || quote(priority) || quote(\"größe in m\") FROM todos",
        "tags: ' || quote(todo) || quote(tag) || quote(colour) FROM tags",
        "revision: ' || revision FROM _cargo_migrate",
    ] {
        found.extend(ask(&format!("SELECT '{values}")));
    }
    found
}

/// The upgrade is refused with these lines among its notes, and leaves the database as it was.
#[track_caller]
fn refused(up: &str, lines: &[&str]) -> Ran {
    let project = project();
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\nCREATE TABLE first (x);\n{up}\n"));
    let before = dump(&project);
    let mut words = vec!["sql-error", "a2.sql:4:1", "nothing of this run was kept"];
    words.extend(lines);
    let ran = project.refuses(&["upgrade"], &words);
    assert_eq!(dump(&project), before);
    assert_eq!(project.run(&["current"]).done().out, "a1\n");
    ran
}

#[test]
fn a_unique_index_names_the_rows_with_the_same_values() {
    let ran = refused(
        "CREATE UNIQUE INDEX users_name ON users (name);",
        &[
            "UNIQUE constraint failed: users.name",
            "`users`, rowids 1 and 5: name = 'Ann'",
            "mend these rows first, or put an UPDATE or a DELETE that does it before this statement",
        ],
    );
    assert!(!ran.err.contains("secret") && !ran.err.contains("example.org"), "{}", ran.err);
    refused(
        "CREATE UNIQUE INDEX i ON tags (tag, colour) WHERE colour <> 'blue';",
        &["`tags`, keys (1, 'home') and (3, 'home'): tag = 'home', colour = 'red'"],
    );
}

#[test]
fn a_rebuild_names_the_rows_of_the_old_table_that_the_new_one_does_not_take() {
    let copy = "INSERT INTO new SELECT id, title, priority FROM todos;\nDROP TABLE todos;\n\
        ALTER TABLE new RENAME TO todos;";
    for (columns, lines) in [
        (
            "priority CHECK (priority BETWEEN 1 AND 5)",
            &[
                "CHECK constraint failed: priority BETWEEN 1 AND 5",
                "`priority BETWEEN 1 AND 5` does not hold in these rows",
                "`todos`, rowid 3: priority = 12",
                "`todos`, rowid 4: priority = 'high'",
            ][..],
        ),
        ("priority CONSTRAINT small CHECK (priority < 9)", &["constraint failed: small", "rowid 3: priority = 12"]),
        ("priority, CHECK (title IS NOT NULL OR priority = 0)", &["rowid 4: title = NULL, priority = 'high'"]),
    ] {
        let text = format!("CREATE TABLE new (id INTEGER PRIMARY KEY, title TEXT, {columns}); {copy}");
        // The copy stands in the same line as the table, whose start is shown.
        let project = project();
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{text}\n"));
        let before = dump(&project);
        project.refuses(&["upgrade"], lines);
        assert_eq!(dump(&project), before, "{columns}");
    }
    let strict = "CREATE TABLE new (id INTEGER PRIMARY KEY, title TEXT NOT NULL, priority INTEGER) STRICT;";
    let project = project();
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{strict}\n{copy}\n"));
    project.refuses(&["upgrade"], &["a2.sql:4:1", "NOT NULL constraint failed: new.title", "rowid 4: title = NULL"]);
    let mended = "UPDATE todos SET title = '' WHERE title IS NULL;";
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{mended}\n{strict}\n{copy}\n"));
    project
        .refuses(&["upgrade"], &["cannot store TEXT value in INTEGER column", "`todos`, rowid 4: priority = 'high'"]);
    let mended = "UPDATE todos SET title = '', priority = 9 WHERE title IS NULL;";
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{mended}\n{strict}\n{copy}\n"));
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT group_concat(priority) FROM todos"), "1,12,9");
}

#[test]
fn a_table_that_is_altered_names_the_rows_against_it() {
    refused(
        "ALTER TABLE todos ADD CONSTRAINT tall CHECK (\"größe in m\" > 1);",
        &["`\"größe in m\" > 1` does not hold in these rows", "`todos`, rowid 3: größe in m = 0.0"],
    );
    refused("ALTER TABLE todos ALTER COLUMN title SET NOT NULL;", &["`todos`, rowid 4: title = NULL"]);
    refused(
        "ALTER TABLE todos ADD COLUMN twice AS (priority * 2) CHECK (twice < 9);",
        &["`twice < 9` does not hold in these rows", "`todos`, rowid 3: twice = 24"],
    );
}

#[test]
fn a_dry_run_and_a_program_get_to_see_the_rows_too() {
    let project = project();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE UNIQUE INDEX i ON users (name);\n");
    for command in [&["upgrade", "--dry-run"][..], &["upgrade", "--per-revision"]] {
        project.refuses(command, &["`users`, rowids 1 and 5: name = 'Ann'"]);
    }
    let ran = project.run(&["--format", "json", "upgrade"]);
    assert_eq!(ran.status, 1);
    let notes = ran.json()["problems"][0]["notes"].to_string();
    assert!(notes.contains("`users`, rowids 1 and 5: name = 'Ann'"), "{}", ran.out);
    // Outside a transaction as well.
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE UNIQUE INDEX i ON users (name);\n",
    );
    project.run(&["upgrade"]).refused(&["`users`, rowids 1 and 5: name = 'Ann'", "repair --not-applied a2"]);
}

#[test]
fn a_statement_that_brings_its_own_values_says_what_it_said() {
    for statement in ["UPDATE users SET id = 1;", "INSERT INTO users (id) VALUES (1);"] {
        let ran = refused(statement, &["UNIQUE constraint failed: users.id"]);
        assert!(!ran.err.contains("rowid") && !ran.err.contains("mend these rows"), "{}", ran.err);
    }
}
