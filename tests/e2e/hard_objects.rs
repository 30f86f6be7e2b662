//! Changes under the feet of views, triggers and full-text tables.

use crate::two_schemas::Change;

#[test]
fn a_view_on_a_view_survives_the_rebuild_of_its_table() {
    let views = "CREATE VIEW b AS SELECT id, a FROM t WHERE a IS NOT NULL;
        CREATE VIEW a AS SELECT a || '!' AS shout FROM b;
        CREATE VIEW c AS SELECT * FROM a JOIN b;";
    let journey = Change::new(
        &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); {views}"),
        &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE); {views}"),
    );
    journey
        .with("INSERT INTO t VALUES (1, 'x')")
        .there()
        .has("SELECT shout FROM c", &["'x!'"])
        .back()
        .has("SELECT shout FROM c", &["'x!'"]);
}

#[test]
fn a_view_keeps_its_instead_of_triggers() {
    let rest = "CREATE VIEW v AS SELECT a FROM t;
        CREATE TRIGGER put INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (new.a); END;
        CREATE TRIGGER take INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE a = old.a; END;";
    let works = "INSERT INTO v VALUES ('y'); INSERT INTO v VALUES ('z'); DELETE FROM v WHERE a = 'x'";
    Change::new(&format!("CREATE TABLE t (a TEXT); {rest}"), &format!("CREATE TABLE t (a TEXT NOT NULL); {rest}"))
        .with("INSERT INTO t VALUES ('x')")
        .there()
        .then(works)
        .has("SELECT a FROM v", &["'y'", "'z'"])
        .back()
        .has("SELECT a FROM v", &["'y'", "'z'"])
        .then("DELETE FROM v WHERE a = 'y'")
        .has("SELECT a FROM t", &["'z'"]);
    // The view itself is another one.
    Change::new(
        "CREATE TABLE t (a TEXT, b TEXT); CREATE VIEW v AS SELECT a FROM t;
         CREATE TRIGGER put INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (new.a); END;",
        "CREATE TABLE t (a TEXT, b TEXT); CREATE VIEW v AS SELECT a, b FROM t;
         CREATE TRIGGER put INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (new.a); END;",
    )
    .with("")
    .there()
    .then("INSERT INTO v (a) VALUES ('y')")
    .back()
    .then("INSERT INTO v VALUES ('z')")
    .has("SELECT a FROM t", &["'y'", "'z'"]);
}

#[test]
fn a_column_goes_that_much_is_made_of() {
    let change = Change::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, twice INTEGER AS (b * 2), CHECK (a < b));
         CREATE INDEX i ON t (a, b); CREATE INDEX part ON t (a) WHERE b > 0;
         CREATE VIEW v AS SELECT a, b FROM t;
         CREATE TRIGGER g AFTER INSERT ON t WHEN new.b > 5 BEGIN UPDATE t SET a = 0 WHERE id = new.id; END;",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT a FROM t;",
    );
    change
        .with("INSERT INTO t (id, a, b) VALUES (1, 1, 2), (2, 3, 4)")
        .loses(&["t.b"])
        .there()
        .has("SELECT a FROM v", &["1", "3"])
        .back()
        .has("SELECT a FROM t", &["1", "3"]);
    // An index alone is no reason to rebuild.
    let indexed = Change::new("CREATE TABLE t (a, b); CREATE INDEX i ON t (b);", "CREATE TABLE t (a)");
    assert_eq!(indexed.up(), "DROP INDEX i;\nALTER TABLE t DROP COLUMN b;\n");
}

#[test]
fn a_trigger_of_another_table_writes_to_the_one_that_is_rebuilt() {
    let rest = "CREATE TABLE log (what TEXT);
        CREATE TRIGGER logged AFTER INSERT ON log BEGIN UPDATE t SET a = a || new.what; END;";
    Change::new(
        &format!("CREATE TABLE t (a TEXT); {rest}"),
        &format!("CREATE TABLE t (a TEXT COLLATE NOCASE NOT NULL); {rest}"),
    )
    .with("INSERT INTO t VALUES ('x')")
    .there()
    .then("INSERT INTO log VALUES ('1')")
    .back()
    .then("INSERT INTO log VALUES ('2')")
    .has("SELECT a FROM t", &["'x12'"]);
}

#[test]
fn the_triggers_of_a_table_run_in_the_order_that_they_had() {
    let rest = "CREATE TABLE log (what TEXT);
        CREATE TRIGGER z AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('z'); END;
        CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('a'); END;
        CREATE TRIGGER m AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('m'); END;";
    let log = "SELECT group_concat(what, '') FROM log";
    Change::new(&format!("CREATE TABLE t (a TEXT); {rest}"), &format!("CREATE TABLE t (a TEXT NOT NULL); {rest}"))
        .with("INSERT INTO t VALUES ('x')")
        .has(log, &["'maz'"])
        .there()
        .then("INSERT INTO t VALUES ('y')")
        .has(log, &["'mazmaz'"])
        .back()
        .then("INSERT INTO t VALUES ('z')")
        .has(log, &["'mazmazmaz'"]);
}

#[test]
fn a_trigger_that_names_what_goes_is_out_of_the_way_in_time() {
    // Its own table is rebuilt, and so is one before it, while a table that it names is gone.
    Change::new(
        "CREATE TABLE gone (x INTEGER); CREATE TABLE first (a INTEGER PRIMARY KEY, b TEXT); CREATE TABLE last (a INTEGER REFERENCES first);
         CREATE TRIGGER g AFTER INSERT ON last BEGIN DELETE FROM gone; END;",
        "CREATE TABLE first (a INTEGER PRIMARY KEY, b TEXT UNIQUE); CREATE TABLE last (a INTEGER UNIQUE REFERENCES first);",
    )
    .with("INSERT INTO gone VALUES (1); INSERT INTO first VALUES (2, 'b')")
    .loses(&["gone"])
    .there()
    .back()
    .has("SELECT a FROM first", &["2"]);
}

#[test]
fn a_view_of_nothing_does_not_stand_in_the_way() {
    let broken = "CREATE VIEW broken AS SELECT * FROM nowhere;";
    let journey = |from: &str, to: &str| Change::new(&format!("{from}; {broken}"), &format!("{to}; {broken}"));
    for (from, to) in [
        ("CREATE TABLE t (a TEXT)", "CREATE TABLE t (a TEXT UNIQUE)"),
        ("CREATE TABLE t (a TEXT, b TEXT)", "CREATE TABLE t (a TEXT)"),
        ("CREATE TABLE t (a TEXT)", "CREATE TABLE t (a TEXT, b TEXT)"),
    ] {
        journey(from, to).with("INSERT INTO t (a) VALUES ('x')").there().back().has("SELECT a FROM t", &["'x'"]);
    }
    journey("CREATE TABLE t (a TEXT)", "CREATE TABLE t (b TEXT)")
        .rename("t", "a", "b")
        .with("INSERT INTO t VALUES ('x')")
        .there()
        .has("SELECT b FROM t", &["'x'"])
        .back()
        .has("SELECT a FROM t", &["'x'"]);
}

#[test]
fn one_name_is_another_kind_of_thing() {
    Change::new(
        "CREATE TABLE t (a TEXT); CREATE INDEX x ON t (a); CREATE VIEW y AS SELECT a FROM t;",
        "CREATE TABLE x (a TEXT); CREATE VIEW t AS SELECT a FROM x; CREATE TABLE y (a TEXT);
         CREATE TRIGGER put INSTEAD OF INSERT ON t BEGIN INSERT INTO x VALUES (new.a); END;",
    )
    .with("INSERT INTO t VALUES ('x')")
    .loses(&["t"])
    .there()
    .then("INSERT INTO t VALUES ('y')")
    .has("SELECT a FROM x", &["'y'"])
    .back()
    .has("SELECT count(*) FROM t", &["0"]);
    Change::new("CREATE TABLE t (a TEXT)", "CREATE VIRTUAL TABLE t USING fts5(a)")
        .with("INSERT INTO t VALUES ('x')")
        .loses(&["t"])
        .there()
        .back();
}

#[test]
fn a_view_that_names_its_table_as_a_text_is_out_of_the_way_too() {
    let view = "CREATE VIEW v AS SELECT * FROM 't';";
    Change::new(&format!("CREATE TABLE t (a TEXT); {view}"), &format!("CREATE TABLE t (a TEXT UNIQUE); {view}"))
        .with("INSERT INTO t VALUES ('x')")
        .there()
        .has("SELECT a FROM v", &["'x'"])
        .back();
}

#[test]
fn other_modules_keep_their_rows() {
    for (columns, wider, row, asked) in [
        (
            "fts4(title, body)",
            "fts4(title, body, note)",
            "(docid, title) VALUES (5, 'wash')",
            "SELECT docid || title FROM f",
        ),
        ("rtree(id, a, b)", "rtree(id, a, b, +note TEXT)", "VALUES (5, 1, 2)", "SELECT id || a || b FROM f"),
    ] {
        let create = |arguments: &str| format!("CREATE VIRTUAL TABLE f USING {arguments}");
        let journey = Change::new(&create(columns), &create(wider)).with(&format!("INSERT INTO f {row}"));
        let before = crate::database_facts::texts(&journey.database, asked);
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        journey.loses(&[]).there().has(asked, &before).back().has(asked, &before);
    }
    let schema = |options: &str| {
        format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT); CREATE VIRTUAL TABLE f USING fts4(title, content='t'{options})"
        )
    };
    Change::new(&schema(""), &schema(", prefix='2'"))
        .with("INSERT INTO t VALUES (3, 'wash'); INSERT INTO f (f) VALUES ('rebuild')")
        .loses(&[])
        .there()
        .has("SELECT docid FROM f WHERE f MATCH 'wash'", &["3"]);
}

const FOUND: &str = "SELECT rowid FROM f WHERE f MATCH 'wash' ORDER BY rowid";

#[test]
fn a_full_text_table_finds_what_it_found_after_its_content_was_rebuilt() {
    let rest = "CREATE VIRTUAL TABLE f USING fts5(title, content='t', content_rowid='id');
        CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO f (rowid, title) VALUES (new.id, new.title); END;
        CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO f (f, rowid, title) VALUES ('delete', old.id, old.title); END;
        CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO f (f, rowid, title) VALUES ('delete', old.id, old.title);
            INSERT INTO f (rowid, title) VALUES (new.id, new.title); END;";
    let whole = "INSERT INTO f (f, rank) VALUES ('integrity-check', 1)";
    let journey = Change::new(
        &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT); {rest}"),
        &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT UNIQUE); {rest}"),
    );
    assert!(!journey.up().contains("'rebuild'"), "{}", journey.up());
    journey
        .with("INSERT INTO t VALUES (4, 'wash up'), (7, 'cook'), (9, 'wash down')")
        .there()
        .has(FOUND, &["4", "9"])
        .then(whole)
        .then("UPDATE t SET title = 'wash' WHERE id = 7; DELETE FROM t WHERE id = 4")
        .has(FOUND, &["7", "9"])
        .back()
        .has(FOUND, &["7", "9"])
        .then(whole);
    // Texts that the rebuild changes are indexed anew.
    let typed = |kind: &str| format!("CREATE TABLE t (id INTEGER PRIMARY KEY, title {kind}); {rest}");
    Change::new(&typed("TEXT"), &typed("INTEGER"))
        .with("INSERT INTO t VALUES (4, 'wash'), (7, '007')")
        .loses(&["t.title"])
        .there()
        .then(whole)
        .then("DELETE FROM t WHERE id = 7")
        .then(whole)
        .has(FOUND, &["4"])
        .back()
        .then(whole);
    // And so are those whose rows get other numbers.
    let keyed = |key: &str| {
        format!(
            "CREATE TABLE t (id {key}, other INTEGER NOT NULL, title TEXT{}); {}",
            if key.is_empty() { ", PRIMARY KEY (other)" } else { "" },
            rest.replace("'id'", "'rowid'").replace(".id", ".rowid")
        )
    };
    Change::new(&keyed("INTEGER PRIMARY KEY"), &keyed(""))
        .with("INSERT INTO t VALUES (4, 100, 'wash'), (7, 200, 'cook')")
        .there()
        .then(whole)
        .back()
        .then(whole);
}

#[test]
fn a_full_text_table_is_another_one() {
    // With its own texts, which stay.
    Change::new(
        "CREATE VIRTUAL TABLE f USING fts5(title, body)",
        "CREATE VIRTUAL TABLE f USING fts5(title, body, note, tokenize = 'porter')",
    )
    .with("INSERT INTO f (rowid, title, body) VALUES (3, 'washing', 'up'), (8, 'cook', 'it')")
    .loses(&[])
    .there()
    .has(FOUND, &["3"])
    .back()
    .has(FOUND, &[])
    .has("SELECT body FROM f WHERE f MATCH 'washing'", &["'up'"]);
    // A column that goes, goes with its texts.
    Change::new("CREATE VIRTUAL TABLE f USING fts5(title, body)", "CREATE VIRTUAL TABLE f USING fts5(title)")
        .with("INSERT INTO f (rowid, title, body) VALUES (3, 'wash', 'up')")
        .loses(&["f.body"])
        .there()
        .has(FOUND, &["3"]);
    // Without texts nothing can be kept.
    Change::new(
        "CREATE VIRTUAL TABLE f USING fts5(title, content='')",
        "CREATE VIRTUAL TABLE f USING fts5(title, body, content='')",
    )
    .with("INSERT INTO f (rowid, title) VALUES (3, 'wash')")
    .loses(&["f"])
    .there()
    .has(FOUND, &[]);
    // Of another table's texts the index is made again.
    let t = "CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT, body TEXT);";
    Change::new(
        &format!("{t} CREATE VIRTUAL TABLE f USING fts5(title, content='t', content_rowid='id')"),
        &format!("{t} CREATE VIRTUAL TABLE f USING fts5(title, body, content='t', content_rowid='id')"),
    )
    .with("INSERT INTO t VALUES (3, 'x', 'wash'); INSERT INTO f (f) VALUES ('rebuild')")
    .loses(&[])
    .there()
    .has(FOUND, &["3"])
    .back()
    .has(FOUND, &[]);
    // Of a view's as well, which is there only later.
    Change::new(t, &format!("{t} CREATE VIEW v AS SELECT id, title FROM t; CREATE VIRTUAL TABLE f USING fts5(title, content='v', content_rowid='id')"))
        .with("INSERT INTO t VALUES (3, 'wash', NULL)")
        .there()
        .has(FOUND, &["3"])
        .back();
}

#[test]
fn a_full_text_table_goes_along_with_a_rename() {
    let schema = |table: &str, column: &str| {
        format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, {column} TEXT);
             CREATE VIRTUAL TABLE f USING fts5({column}, content='{table}', content_rowid='id');
             CREATE TRIGGER ai AFTER INSERT ON {table} BEGIN INSERT INTO f (rowid, {column}) VALUES (new.id, new.{column}); END;"
        )
    };
    Change::new(&schema("todos", "title"), &schema("tasks", "name"))
        .rename_table("todos", "tasks")
        .rename("tasks", "title", "name")
        .with("INSERT INTO todos VALUES (3, 'wash')")
        .loses(&[])
        .there()
        .then("INSERT INTO tasks VALUES (5, 'wash')")
        .has(FOUND, &["3", "5"])
        .back()
        .then("INSERT INTO todos VALUES (6, 'wash')")
        .has(FOUND, &["3", "5", "6"]);
}
