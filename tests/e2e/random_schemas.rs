//! The random schemas that other tests ask their questions of: SQLite takes all of them, and nearly all of their rows.

use crate::harness::scale;
use crate::random_schema::{Schema, make, mutate, rows};

/// The seeds of a test, of which a long run has ten times as many.
fn seeds(most: u32) -> std::ops::Range<u64> {
    0..(f64::from(most) * scale()).ceil() as u64
}

/// A database with this schema.
#[track_caller]
fn loaded(schema: &Schema, seed: u64) -> rusqlite::Connection {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    for statement in schema.statements() {
        if let Err(error) = database.execute_batch(&statement) {
            let all = schema.statements().join(";\n");
            panic!("seed {seed}: {error}\n{statement}\n\nafter {:?} in\n{all}", schema.changes);
        }
    }
    database
}

#[test]
fn sqlite_takes_every_schema_and_every_schema_near_to_one() {
    for seed in seeds(20_000) {
        let schema = make(seed);
        loaded(&schema, seed);
        let near = mutate(&schema, seed);
        loaded(&near, seed);
        assert!((1..=6).contains(&near.changes.len()), "seed {seed}: {:?}", near.changes);
    }
}

#[test]
fn every_view_can_be_read_and_every_trigger_can_run() {
    for seed in seeds(5_000) {
        let schema = mutate(&make(seed), seed + 1);
        let database = loaded(&schema, seed);
        let names: Vec<String> = database
            .prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for name in names {
            let quoted = name.replace('"', "\"\"");
            database.prepare(&format!("SELECT * FROM \"{quoted}\"")).unwrap_or_else(|error| {
                panic!("seed {seed}: {error}\n{}", schema.statements().join(";\n"));
            });
        }
        // A trigger's text is looked at only here, and when something is renamed.
        database
            .execute_batch("CREATE TABLE \"not there\" (x); ALTER TABLE \"not there\" RENAME TO \"there\"")
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", schema.statements().join(";\n")));
    }
}

#[test]
fn the_same_seed_gives_the_same_and_another_one_something_else() {
    let all = |seed: u64| {
        let schema = make(seed);
        let near = mutate(&schema, seed);
        (schema.statements(), near.statements(), rows(&near, seed, 3))
    };
    assert_eq!(all(7), all(7));
    let different = (0..100).filter(|seed| all(*seed) != all(seed + 1)).count();
    assert_eq!(different, 100);
    let changed = (0..200).filter(|seed| make(*seed).statements() != mutate(&make(*seed), *seed).statements()).count();
    assert!(changed > 180, "only {changed} of 200 schemas differ from those near to them");
}

#[test]
fn most_rows_are_taken_and_refer_to_rows_that_are_there() {
    let (mut taken, mut given, mut references) = (0, 0, 0_i64);
    for seed in seeds(3_000) {
        let schema = if seed % 2 == 0 { make(seed) } else { mutate(&make(seed), seed) };
        let database = loaded(&schema, seed);
        for statement in rows(&schema, seed, 4) {
            given += 1;
            match database.execute_batch(&statement) {
                Ok(()) => taken += 1,
                Err(error) => {
                    let said = error.to_string();
                    let known = ["constraint failed", "datatype mismatch", "cannot store"];
                    assert!(known.iter().any(|known| said.contains(known)), "seed {seed}: {said}\n{statement}");
                }
            }
        }
        let tables = "SELECT m.name, f.\"from\" FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f";
        let mut tables = database.prepare(tables).unwrap();
        let mut keys = tables.query([]).unwrap();
        while let Some(key) = keys.next().unwrap() {
            let quoted = |at: usize| format!("\"{}\"", key.get::<_, String>(at).unwrap().replace('"', "\"\""));
            let sql = format!("SELECT count(*) FROM {} WHERE {} IS NOT NULL", quoted(0), quoted(1));
            references += database.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
        }
    }
    assert!(taken * 100 > given * 85, "{taken} of {given} rows are taken");
    assert!(references * 5 > given, "only {references} references");
}

#[test]
fn all_that_a_schema_can_hold_occurs() {
    let all: String = (0..1000).flat_map(|seed| make(seed).statements()).map(|sql| sql + ";\n").collect();
    for word in [
        "STRICT",
        "WITHOUT ROWID",
        "STRICT, WITHOUT ROWID",
        "VARCHAR(20)",
        "DECIMAL(10, 2)",
        "NOT NULL",
        "DEFAULT -5",
        "DEFAULT 'it''s'",
        "DEFAULT NULL",
        "DEFAULT CURRENT_TIMESTAMP",
        "DEFAULT (",
        "DEFAULT x'",
        "COLLATE NOCASE",
        " STORED",
        "AS (",
        "GENERATED ALWAYS",
        "INTEGER PRIMARY KEY",
        "AUTOINCREMENT",
        "PRIMARY KEY DESC",
        "PRIMARY KEY (",
        "UNIQUE (",
        " UNIQUE,",
        " REFERENCES ",
        "ON CONFLICT REPLACE",
        "CONSTRAINT",
        "CHECK (",
        "FOREIGN KEY (",
        "ON DELETE CASCADE",
        "INITIALLY DEFERRED",
        "CREATE UNIQUE INDEX",
        " WHERE ",
        "lower(",
        " DESC",
        "COLLATE RTRIM",
        "CREATE VIEW",
        "SELECT *",
        "BEFORE",
        "AFTER",
        "INSTEAD OF",
        "UPDATE OF",
        " WHEN ",
        "USING fts5(",
        "content=''",
        "'delete', old.rowid",
        "/* a, table)",
        "-- it's (",
        "größe",
        "\nline",
        "`",
        "[",
        "\"\"",
        "--dash",
    ] {
        assert!(all.contains(word), "{word} does not occur");
    }
}
