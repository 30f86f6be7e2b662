use super::*;
use crate::live;

/// What the statements touch on a database with a table, a view of it and a trigger that writes into a second table.
fn footprint(sql: &str) -> Footprint {
    let mut replay = Replay::new(live::file::in_memory().unwrap()).unwrap();
    let base = "CREATE TABLE todos (id INTEGER PRIMARY KEY, title TEXT, done INTEGER);\n\
                CREATE TABLE audit (what);\n\
                CREATE VIEW titles AS SELECT title FROM todos;\n\
                CREATE TRIGGER noted AFTER DELETE ON todos BEGIN INSERT INTO audit VALUES (old.title); END;\n";
    assert_eq!(replay.run(base, 0..base.len()), []);
    let (footprint, refused) = replay.record(sql, 0..sql.len());
    assert_eq!(refused, []);
    footprint
}

/// `kind name: deeds; column: deeds`, a line for each object.
fn told(sql: &str) -> Vec<String> {
    let footprint = footprint(sql);
    let lines = footprint.touches().map(|(kind, name, touch)| {
        let columns = touch.columns.iter().map(|(column, deeds)| format!("; {column}: {deeds:?}"));
        format!("{} {name}: {:?}{}", kind.word(), touch.deeds, columns.collect::<String>())
    });
    lines.collect()
}

#[test]
fn a_table_that_is_made_is_all_that_is_touched() {
    assert_eq!(
        told("CREATE TABLE Users (id INTEGER PRIMARY KEY AUTOINCREMENT, mail UNIQUE REFERENCES todos (id));"),
        ["table users: {Create, Read}; mail: {Read}"]
    );
}

#[test]
fn columns_that_come_and_go_are_named() {
    assert_eq!(
        told("ALTER TABLE todos ADD COLUMN Priority INTEGER NOT NULL DEFAULT 0;"),
        ["table todos: {Alter}; priority: {Add}"]
    );
    assert_eq!(told("ALTER TABLE \"TODOS\" DROP COLUMN done;"), ["table todos: {Alter}; done: {Drop}"]);
    assert_eq!(
        told("ALTER TABLE todos RENAME COLUMN done TO finished;"),
        ["table todos: {Alter}; done: {Drop}; finished: {Add}"]
    );
}

#[test]
fn a_renamed_table_is_one_that_goes_and_one_that_comes() {
    assert_eq!(told("ALTER TABLE audit RENAME TO log;"), ["table audit: {Drop, Alter}", "table log: {Create}"]);
}

#[test]
fn rows_are_read_and_written_column_by_column() {
    assert_eq!(
        told("UPDATE todos SET done = 1 WHERE title = 'x';"),
        ["table todos: {Write, Erase, Read}; done: {Update}; title: {Read}"]
    );
    assert_eq!(
        told("INSERT INTO audit SELECT title FROM titles;"),
        ["table audit: {Write}", "table todos: {Read}; title: {Read}", "view titles: {Read}; title: {Read}",]
    );
    assert_eq!(told("SELECT count(*) FROM audit;"), ["table audit: {Read}"]);
}

#[test]
fn a_new_row_that_may_take_the_place_of_an_old_one_is_told_from_one_that_comes_besides() {
    for (statement, erases) in [
        ("INSERT INTO plain VALUES (1)", false),
        ("INSERT OR IGNORE INTO plain VALUES (1)", false),
        ("INSERT OR REPLACE INTO plain VALUES (1)", true),
        ("REPLACE INTO plain SELECT 1", true),
        ("INSERT INTO greedy VALUES (1)", true),
        ("INSERT OR ABORT INTO greedy VALUES (1)", false),
        ("INSERT INTO plain VALUES (1) ON CONFLICT DO UPDATE SET a = 2", true),
        ("INSERT INTO watched VALUES (1)", true),
        ("INSERT INTO numbered VALUES (1, 'x')", false),
        ("INSERT INTO numbered (x) VALUES ('x')", false),
        ("INSERT OR IGNORE INTO numbered VALUES (1, 'x')", false),
        ("INSERT INTO numbered SELECT a, 'x' FROM plain", false),
        ("INSERT OR REPLACE INTO numbered VALUES (1, 'x')", true),
        ("REPLACE INTO numbered SELECT a, 'x' FROM plain", true),
        ("INSERT OR REPLACE INTO numbered SELECT * FROM numbered", true),
        ("DELETE FROM plain", true),
    ] {
        let mut replay = Replay::new(live::file::in_memory().unwrap()).unwrap();
        let tables = "CREATE TABLE plain (a UNIQUE); CREATE TABLE greedy (a UNIQUE ON CONFLICT REPLACE);
            CREATE TABLE numbered (id INTEGER PRIMARY KEY, x); CREATE TABLE watched (a); CREATE TRIGGER w AFTER INSERT ON watched BEGIN DELETE FROM plain; END;";
        assert!(replay.run(tables, 0..tables.len()).is_empty());
        let (footprint, refused) = replay.record(statement, 0..statement.len());
        assert!(refused.is_empty(), "{refused:?}");
        let found = footprint.touches().any(|(_, _, touch)| touch.deeds.contains(&Deed::Erase));
        assert_eq!(found, erases, "{statement}");
    }
}

#[test]
fn what_a_trigger_writes_is_touched_as_well() {
    assert_eq!(
        told("DELETE FROM todos;"),
        ["table audit: {Write, Erase}", "table todos: {Write, Erase, Read}; title: {Read}"]
    );
}

#[test]
fn an_index_and_a_trigger_change_their_table() {
    assert_eq!(
        told("CREATE INDEX by_title ON todos (title);"),
        ["table todos: {Alter, Read}; title: {Read}", "index by_title: {Create}",]
    );
    assert_eq!(told("DROP TRIGGER noted;"), ["table todos: {Alter}", "trigger noted: {Drop}"]);
}

#[test]
fn a_view_reads_what_it_will_read() {
    assert_eq!(
        told("CREATE VIEW \"Fin ished\" AS SELECT id FROM todos WHERE done;"),
        ["table todos: {Read}; done: {Read}; id: {Read}", "view fin ished: {Create, Read}; id: {Read}",]
    );
}

#[test]
fn a_view_that_goes_leaves_its_table_be() {
    assert_eq!(told("DROP VIEW titles;"), ["view titles: {Drop, Write, Erase}"]);
}

#[test]
fn a_table_that_is_rebuilt_is_dropped_and_made_again() {
    let rebuilt = footprint(
        "CREATE TABLE todos_new (id INTEGER PRIMARY KEY, title TEXT NOT NULL);\n\
         INSERT INTO todos_new SELECT id, title FROM todos;\n\
         DROP VIEW titles;\nDROP TABLE todos;\nALTER TABLE todos_new RENAME TO todos;\n",
    );
    let touch = rebuilt.of(Kind::Table, "Todos").unwrap();
    assert_eq!(rebuilt.of(Kind::Table, "todos_new"), None, "it was a help on the way");
    assert!(touch.changes() && touch.deeds.is_superset(&[Deed::Drop, Deed::Create].into()), "{touch:?}");
}

#[test]
fn a_temporary_table_is_nobody_else_s() {
    assert_eq!(told("CREATE TEMP TABLE draft (x);\nINSERT INTO draft VALUES (1);\nDROP TABLE temp.draft;"), [""; 0]);
}

#[test]
fn nothing_leaves_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    for statement in ["ATTACH '{}' AS other;", "VACUUM INTO '{}';", "EXPLAIN ATTACH '{}' AS other;"] {
        let sql = statement.replace("{}", path.to_str().unwrap());
        let mut replay = Replay::new(live::file::in_memory().unwrap()).unwrap();
        let _ = replay.record(&sql, 0..sql.len());
        assert!(replay.connection.execute_batch(&sql).is_err(), "{sql}");
        assert!(!path.exists(), "{sql}");
    }
}

#[test]
fn what_only_sets_or_tidies_a_database_touches_nothing() {
    assert_eq!(told("PRAGMA user_version = 3;\nVACUUM;\nBEGIN;\nCOMMIT;\n"), [""; 0]);
}

#[test]
fn a_statement_that_only_a_program_can_run_is_told_with_its_place_and_passed_over() {
    let mut replay = Replay::new(live::file::in_memory().unwrap()).unwrap();
    let sql = "CREATE TABLE t (x);\nINSERT INTO t VALUES (uuid7());\nDELETE FROM t;\n";
    let (footprint, refused) = replay.record(sql, 0..sql.len());
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(&sql[refused.span.clone()], "INSERT INTO t VALUES (uuid7());");
    assert!(refused.message.contains("uuid7"), "{}", refused.message);
    assert_eq!(footprint.of(Kind::Table, "t").unwrap().deeds, [Deed::Create, Deed::Write, Deed::Erase].into());
}

#[test]
fn references_are_not_looked_at_statement_by_statement() {
    let told = told("CREATE TABLE notes (todo REFERENCES todos (id));\nINSERT INTO notes VALUES (7);");
    assert_eq!(told, ["table notes: {Create, Write}"]);
}

#[test]
fn a_copy_goes_its_own_way() {
    let mut replay = Replay::new(live::file::in_memory().unwrap()).unwrap();
    let (one, two) = ("CREATE TABLE t (x);", "CREATE TABLE u (x);");
    assert_eq!(replay.run(one, 0..one.len()), []);
    let mut copy = replay.copy(live::file::in_memory().unwrap()).unwrap();
    assert_eq!(copy.run(two, 0..two.len()), []);
    assert_eq!(replay.run(two, 0..two.len()), []);
    assert!(copy.run(one, 0..one.len())[0].message.contains("already exists"));
}
