//! The oldest SQLite that has to understand a migration decides what is done in place; and what the rows do not allow is
//! refused when the migration runs.

use crate::harness::Project;
use crate::two_schemas::Change;

#[test]
fn a_column_is_dropped_in_place_where_the_oldest_sqlite_can() {
    let change = || Change::new("CREATE TABLE t (a TEXT, b TEXT)", "CREATE TABLE t (a TEXT)");
    assert_eq!(change().minimum(3, 35).up(), "ALTER TABLE t DROP COLUMN b;\n");
    assert_eq!(
        change().minimum(3, 34).up(),
        "-- t is rebuilt: SQLite cannot drop a column before 3.35.\nCREATE TABLE _new_t (\n    a TEXT\n);\n\
         INSERT OR ABORT INTO _new_t (rowid, a)\nSELECT rowid, a\nFROM t;\nDROP TABLE t;\nALTER TABLE _new_t RENAME TO t;\n"
    );
    change().minimum(3, 34).with("INSERT INTO t VALUES ('x', 'y')").loses(&["t.b"]).there().back();
}

#[test]
fn constraints_change_in_place_where_the_oldest_sqlite_can() {
    let change = || {
        Change::new(
            "CREATE TABLE t (a TEXT, b TEXT NOT NULL, CONSTRAINT old CHECK (a <> 'old'))",
            "CREATE TABLE t (a TEXT NOT NULL, b TEXT, CONSTRAINT new CHECK (b <> 'new'))",
        )
    };
    assert_eq!(
        change().minimum(3, 53).up(),
        "ALTER TABLE t DROP CONSTRAINT old;\nALTER TABLE t ALTER COLUMN a SET NOT NULL;\n\
         ALTER TABLE t ALTER COLUMN b DROP NOT NULL;\nALTER TABLE t ADD CONSTRAINT new CHECK (b <> 'new');\n"
    );
    assert!(change().minimum(3, 52).up().contains("_new_t"));
    for minor in [52, 53] {
        change()
            .minimum(3, minor)
            .with("INSERT INTO t (rowid, a, b) VALUES (5, 'x', 'y')")
            .loses(&[])
            .there()
            .has("SELECT rowid || a || b FROM t", &["'5xy'"])
            .back()
            .has("SELECT rowid || a || b FROM t", &["'5xy'"]);
    }
    let unnamed = || Change::new("CREATE TABLE t (a TEXT)", "CREATE TABLE t (a TEXT, CHECK (a <> 'x'))").minimum(3, 53);
    assert_eq!(unnamed().up(), "ALTER TABLE t ADD CHECK (a <> 'x');\n");
    unnamed().with("INSERT INTO t VALUES ('y')").there().back().has("SELECT a FROM t", &["'y'"]);
}

#[test]
fn rows_that_a_generated_migration_does_not_allow_are_named_and_kept() {
    for (wanted, word) in [
        ("title TEXT CHECK (length(title) > 3)", "`todos`, rowid 2: title = 'up'"),
        ("title TEXT UNIQUE", "`todos`, rowids 1 and 3: title = 'wash'"),
        ("title TEXT NOT NULL", "`todos`, rowid 4: title = NULL"),
    ] {
        let project = Project::new();
        let schema = |title: &str| format!("CREATE TABLE todos (id INTEGER PRIMARY KEY, {title}, x TEXT);\n");
        project.migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{}", schema("title TEXT")));
        project.run(&["upgrade"]).done();
        let rows = "INSERT INTO todos VALUES (1, 'wash', 'a'), (2, 'up', 'b'), (3, 'wash', 'c'), (4, NULL, 'd')";
        project.database().execute_batch(rows).unwrap();
        let manifest =
            project.read("Cargo.toml").replace("database = \"dev\"\n", "database = \"dev\"\nschema = \"schema.sql\"\n");
        project.write("Cargo.toml", &manifest);
        project.write("schema.sql", &schema(wanted));
        project.run(&["revision", "-m", "stricter", "--autogenerate"]).done();
        let before = crate::database_facts::everything(&project.database());
        project.refuses(&["upgrade"], &["sql-error", word, "nothing of this run was kept"]);
        assert_eq!(crate::database_facts::everything(&project.database()), before);
        // Without such rows it runs, there and back.
        project.database().execute_batch("DELETE FROM todos WHERE id > 1; UPDATE todos SET title = 'wash it'").unwrap();
        project.run(&["upgrade"]).done();
        project.run(&["downgrade", "-1"]).done();
        assert_eq!(project.ask("SELECT id || title || x FROM todos"), "1wash ita");
    }
}
