//! Renames, alone and together with other changes: what is renamed keeps its values, there and back.

use crate::two_schemas::Change;

const FROM: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, mail TEXT, CHECK (length(name) > 0));
    CREATE TABLE todos (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users (id) ON DELETE CASCADE, title TEXT);
    CREATE INDEX by_name ON users (name COLLATE NOCASE) WHERE mail IS NOT NULL;
    CREATE VIEW named AS SELECT users.name AS who, title FROM users JOIN todos ON owner = users.id;
    CREATE TRIGGER greeted AFTER INSERT ON users BEGIN INSERT INTO todos (owner, title) VALUES (new.id, 'greet ' || new.name); END;
    CREATE TRIGGER signed AFTER DELETE ON todos BEGIN UPDATE users SET mail = NULL WHERE name = old.title; END;";
const ROWS: &str =
    "INSERT INTO users VALUES (1, 'Ann', 'a@example.org'), (9, 'Bob', NULL); DELETE FROM todos WHERE owner = 9;
    DELETE FROM users WHERE id = 9";

#[test]
fn a_table_is_renamed_with_all_that_names_it() {
    let renamed = Change::new(FROM, &FROM.replace("users", "people")).rename_table("users", "people");
    assert_eq!(renamed.up(), "ALTER TABLE users RENAME TO people;\n");
    renamed
        .with(ROWS)
        .loses(&[])
        .there()
        .then("INSERT INTO people (name) VALUES ('Cy')")
        .has("SELECT id FROM people", &["1", "10"])
        .has("SELECT who || title FROM named", &["'Anngreet Ann'", "'Cygreet Cy'"])
        .back()
        .has("SELECT id || name FROM users", &["'1Ann'", "'10Cy'"]);
}

#[test]
fn a_column_is_renamed_with_all_that_names_it() {
    let renamed = Change::new(
        FROM,
        &FROM
            .replace(
                "users (id INTEGER PRIMARY KEY AUTOINCREMENT, name",
                "users (id INTEGER PRIMARY KEY AUTOINCREMENT, label",
            )
            .replace("length(name)", "length(label)")
            .replace("(name COLLATE", "(label COLLATE")
            .replace("users.name", "users.label")
            .replace("new.name", "new.label")
            .replace("WHERE name", "WHERE label"),
    )
    .rename("users", "name", "label");
    assert_eq!(renamed.up(), "ALTER TABLE users RENAME COLUMN name TO label;\n");
    renamed
        .with(ROWS)
        .loses(&[])
        .there()
        .has("SELECT label FROM users", &["'Ann'"])
        .back()
        .has("SELECT name FROM users", &["'Ann'"]);
}

#[test]
fn a_rename_and_other_changes_of_the_same_table() {
    let journey = |to: &str| {
        Change::new("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, age TEXT); CREATE INDEX i ON users (name); CREATE VIEW v AS SELECT name FROM users;", to)
            .rename_table("users", "people")
            .rename("people", "name", "label")
    };
    let rows = "INSERT INTO users VALUES (1, 'Ann', '7')";
    // In place.
    let added = journey(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, label TEXT, note TEXT DEFAULT 'x'); CREATE INDEX i ON people (label); CREATE VIEW v AS SELECT label AS name FROM people;",
    );
    let up = added.up();
    assert!(!up.contains("_new_"), "{up}");
    added
        .with(rows)
        .loses(&["people.age"])
        .there()
        .has("SELECT id || label || note FROM people", &["'1Annx'"])
        .back()
        .has("SELECT id || name FROM users", &["'1Ann'"]);
    // With a rebuild, in which columns change that are renamed, too.
    journey(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, age INTEGER, label TEXT NOT NULL UNIQUE, CHECK (age < 200)); CREATE INDEX i ON people (label, age); CREATE VIEW v AS SELECT label AS name FROM people;",
    )
    .in_order()
    .with(rows)
    .loses(&["people.age"])
    .there()
    .has("SELECT id || label || age FROM people", &["'1Ann7'"])
    .back()
    .has("SELECT id || name || age FROM users", &["'1Ann7'"]);
}

#[test]
fn a_name_goes_to_another_one() {
    // A column takes the name of one that goes, a table that of one that is renamed.
    Change::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, a INTEGER)",
    )
    .rename("t", "a", "c")
    .outcome()
    .expect_err("`a` is still wanted");
    let both = Change::new("CREATE TABLE t (a TEXT, b TEXT)", "CREATE TABLE t (c TEXT)");
    let refused = both.rename("t", "a", "c").rename("t", "b", "c").outcome().unwrap_err();
    assert!(refused.contains("the column `b` or `c` is part of another rename already"), "{refused}");
    Change::new(
        "CREATE TABLE old (x TEXT); CREATE TABLE other (y TEXT)",
        "CREATE TABLE new (x TEXT, z TEXT); CREATE TABLE other (y TEXT)",
    )
    .rename_table("old", "new")
    .with("INSERT INTO old VALUES ('x')")
    .loses(&[])
    .there()
    .has("SELECT x FROM new", &["'x'"])
    .back()
    .has("SELECT x FROM old", &["'x'"]);
}

#[test]
fn parents_and_children_are_renamed_at_once() {
    Change::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a (id)); CREATE TABLE b (a INTEGER REFERENCES a (id), CHECK (b.a > 0))",
        "CREATE TABLE c (key INTEGER PRIMARY KEY, up INTEGER REFERENCES c (key)); CREATE TABLE d (c INTEGER NOT NULL REFERENCES c (key), CHECK (d.c > 0))",
    )
    .rename_table("a", "c")
    .rename_table("b", "d")
    .rename("c", "id", "key")
    .rename("d", "a", "c")
    .with("INSERT INTO a VALUES (1, NULL), (2, 1); INSERT INTO b VALUES (2)")
    .loses(&[])
    .there()
    .has("SELECT key || coalesce(up, '-') FROM c", &["'1-'", "'21'"])
    .has("SELECT c FROM d", &["2"])
    .back()
    .has("SELECT a FROM b", &["2"]);
}

#[test]
fn keywords_and_odd_names_are_renamed() {
    Change::new(
        "CREATE TABLE \"order\" (\"group\" TEXT, \"a b\" TEXT); CREATE VIEW v AS SELECT \"a b\" FROM \"order\"",
        "CREATE TABLE \"new\nline\" (\"select\" TEXT, \"größe\" TEXT); CREATE VIEW v AS SELECT \"größe\" AS \"a b\" FROM \"new\nline\"",
    )
    .rename_table("order", "new\nline")
    .rename("order", "group", "select")
    .rename("new\nline", "a b", "größe")
    .with("INSERT INTO \"order\" VALUES ('x', 'y')")
    .loses(&[])
    .there()
    .has("SELECT \"select\" || \"größe\" FROM \"new\nline\"", &["'xy'"])
    .back()
    .has("SELECT \"group\" || \"a b\" FROM \"order\"", &["'xy'"]);
}

#[test]
fn values_move_from_a_table_that_goes_to_a_new_column() {
    Change::new(
        "CREATE TABLE users (id INTEGER PRIMARY KEY); CREATE TABLE mails (user INTEGER REFERENCES users, mail TEXT);
         CREATE INDEX adresses ON mails (mail); CREATE TRIGGER gone AFTER DELETE ON mails BEGIN DELETE FROM users WHERE id = old.user; END;",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT NOT NULL); CREATE TABLE adresses (a TEXT);",
    )
    .fill("users", "mail", "coalesce((SELECT mail FROM mails WHERE user = users.id), '')")
    .with("INSERT INTO users VALUES (1), (2); INSERT INTO mails VALUES (1, 'a@example.org')")
    .loses(&["mails"])
    .there()
    .has("SELECT mail FROM users", &["'a@example.org'", "''"])
    .back()
    .has("SELECT id FROM users", &["1", "2"]);
}
