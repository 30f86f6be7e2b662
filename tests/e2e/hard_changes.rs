//! Changes of tables and columns that are easily done wrong.

use cargo_migrate::autogenerate::Outcome;

use crate::two_schemas::Change;

#[test]
fn a_parent_is_rebuilt_and_its_children_stay() {
    let rest =
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, todo INTEGER NOT NULL REFERENCES todos (id) ON DELETE CASCADE);
        CREATE TABLE gone (what TEXT);
        CREATE TRIGGER todo_gone AFTER DELETE ON todos BEGIN INSERT INTO gone VALUES ('todo'); END;
        CREATE TRIGGER note_gone AFTER DELETE ON notes BEGIN INSERT INTO gone VALUES ('note'); END;";
    Change::new(
        &format!("CREATE TABLE todos (id INTEGER PRIMARY KEY, title TEXT); {rest}"),
        &format!("CREATE TABLE todos (id INTEGER PRIMARY KEY, title TEXT NOT NULL); {rest}"),
    )
    .with("INSERT INTO todos VALUES (1, 'a'), (7, 'b'); INSERT INTO notes VALUES (3, 1), (4, 7)")
    .loses(&[])
    .there()
    .has("SELECT todo FROM notes", &["1", "7"])
    .has("SELECT what FROM gone", &[])
    .back()
    .has("SELECT id || title FROM todos", &["'1a'", "'7b'"])
    .has("SELECT what FROM gone", &[])
    // The triggers are there again, and work.
    .then("PRAGMA foreign_keys = ON; DELETE FROM todos WHERE id = 1")
    .has("SELECT what FROM gone ORDER BY what", &["'note'", "'todo'"]);
}

#[test]
fn a_constraint_that_would_eat_rows_does_not_eat_them_while_they_are_copied() {
    for wanted in [
        "t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT REPLACE)",
        "t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT IGNORE)",
        "t (id INTEGER, a TEXT PRIMARY KEY ON CONFLICT IGNORE)",
    ] {
        let journey = Change::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", &format!("CREATE TABLE {wanted}"))
            .with("INSERT INTO t VALUES (1, 'same'), (2, 'same')");
        let refused =
            crate::database_facts::run(&journey.database, &cargo_migrate::proof::section(&journey.proposal.up));
        assert!(refused.unwrap_err().to_string().contains("UNIQUE constraint failed"), "{wanted}");
        journey.has("SELECT id FROM t", &["1", "2"]).then("DELETE FROM t WHERE id = 2").there().back();
    }
    // A NOT NULL that passes over rows, or that puts the default in place of NULL, does neither to those that are there.
    for clause in ["IGNORE", "REPLACE DEFAULT 'none'"] {
        let journey = Change::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
            &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL ON CONFLICT {clause})"),
        )
        .with("INSERT INTO t VALUES (1, NULL), (2, 'b')");
        let refused =
            crate::database_facts::run(&journey.database, &cargo_migrate::proof::section(&journey.proposal.up));
        assert!(refused.unwrap_err().to_string().contains("NOT NULL constraint failed"), "{clause}");
        journey.has("SELECT a FROM t", &["NULL", "'b'"]);
    }
}

#[test]
fn a_fill_is_for_rows_without_a_value_and_never_in_place_of_one() {
    let from = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)";
    let to = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT DEFAULT 'new')";
    for minor in [35, 53] {
        Change::new(from, to)
            .minimum(3, minor)
            .fill("t", "a", "'none'")
            .fill("t", "b", "'old'")
            .with("INSERT INTO t VALUES (1, NULL), (2, 'real')")
            .there()
            .has("SELECT a || b FROM t", &["'noneold'", "'realold'"])
            .then("INSERT INTO t (a) VALUES ('x')")
            .has("SELECT b FROM t WHERE a = 'x'", &["'new'"])
            .back()
            .has("SELECT a FROM t", &["'none'", "'real'", "'x'"]);
    }
    for (column, why) in [
        ("id", "the rows that are there have values in it"),
        ("a", "the rows that are there have values in it"),
        ("c", "it is computed"),
        ("d", "no such column is wanted"),
    ] {
        let change = Change::new(from, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b DEFAULT 1, c AS (a))");
        let refused = change.fill("t", column, "'x'").outcome().unwrap_err();
        assert!(refused.contains(&format!("the column `t.{column}` cannot be filled: {why}")), "{refused}");
    }
}

#[test]
fn a_check_that_names_its_own_table_still_does_so() {
    Change::new(
        "CREATE TABLE \"my table\" (a INTEGER, b INTEGER)",
        "CREATE TABLE \"my table\" (a INTEGER, b INTEGER, CHECK (\"my table\".a <= [my table] . b))",
    )
    .with("INSERT INTO \"my table\" VALUES (1, 2)")
    .there()
    .has("SELECT sql LIKE '%_new_%' FROM sqlite_schema", &["0"])
    .then("INSERT INTO \"my table\" VALUES (3, 3)")
    .back();
}

#[test]
fn what_a_generated_column_is_computed_from_is_dropped() {
    Change::new(
        "CREATE TABLE t (a INTEGER, b INTEGER AS (a * 2), c INTEGER AS (a * 3) STORED)",
        "CREATE TABLE t (b INTEGER, c INTEGER)",
    )
    .with("INSERT INTO t (a) VALUES (1), (5)")
    .loses(&["t.a"])
    .there()
    .has("SELECT b || ' ' || c FROM t", &["'2 3'", "'10 15'"])
    .back();
    let dropped = Change::new("CREATE TABLE t (k, a INTEGER, b INTEGER AS (a * 2))", "CREATE TABLE t (k)");
    assert_eq!(dropped.up(), "ALTER TABLE t DROP COLUMN b;\nALTER TABLE t DROP COLUMN a;\n");
    dropped
        .with("INSERT INTO t (k, a) VALUES ('x', 1)")
        .loses(&["t.a"])
        .there()
        .has("SELECT k FROM t", &["'x'"])
        .back();
    // What people wrote into the column is lost, which is said.
    Change::new("CREATE TABLE t (a INTEGER, b INTEGER)", "CREATE TABLE t (a INTEGER, b INTEGER AS (a * 2))")
        .with("INSERT INTO t VALUES (1, 99)")
        .loses(&["t.b"])
        .there()
        .has("SELECT b FROM t", &["2"])
        .back()
        .has("SELECT b FROM t", &["2"]);
}

#[test]
fn references_to_oneself_and_in_a_circle_are_kept() {
    let tables = |null: &str| {
        format!(
            "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id) ON DELETE CASCADE, name TEXT{null});
             CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b, x TEXT{null});
             CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE CASCADE, x TEXT{null});"
        )
    };
    Change::new(&tables(""), &tables(" NOT NULL"))
        .with(
            "INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'leaf');
             INSERT INTO a VALUES (1, 4, 'x'); INSERT INTO b VALUES (4, 1, 'y');",
        )
        .there()
        .has("SELECT parent.name FROM tree JOIN tree AS parent ON parent.id = tree.up", &["'root'"])
        .has("SELECT a.x || b.x FROM a JOIN b ON b.a = a.id AND a.b = b.id", &["'xy'"])
        .back()
        .has("SELECT count(*) FROM tree", &["2"]);
}

#[test]
fn a_downgrade_makes_up_references_to_rows_that_are_there() {
    let parent = "CREATE TABLE p (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b));";
    Change::new(
        &format!("{parent} CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL, b TEXT NOT NULL, FOREIGN KEY (a, b) REFERENCES p)"),
        &format!("{parent} CREATE TABLE t (id INTEGER PRIMARY KEY)"),
    )
    .with("INSERT INTO p VALUES (1, 'z'), (2, 'a'); INSERT INTO t VALUES (1, 2, 'a'), (2, 2, 'a')")
    .loses(&["t.a", "t.b"])
    .there()
    .back()
    .has("SELECT a || b FROM t", &["'1z'", "'1z'"]);
}

#[test]
fn a_downgrade_gives_each_row_a_key_of_its_own() {
    Change::new("CREATE TABLE t (code TEXT NOT NULL DEFAULT 'none' UNIQUE, a TEXT)", "CREATE TABLE t (a TEXT)")
        .with("INSERT INTO t VALUES ('x', 'a'), ('y', 'b')")
        .loses(&["t.code"])
        .there()
        .back()
        .has("SELECT code || a FROM t", &["'1a'", "'2b'"]);
}

#[test]
fn columns_stand_in_another_order_where_that_counts() {
    let (from, to) =
        ("CREATE TABLE t (a INTEGER, b TEXT, c REAL)", "CREATE TABLE t (c REAL, a INTEGER, new INT, b TEXT)");
    let any = Change::new(from, to);
    assert_eq!(any.up(), "ALTER TABLE t ADD COLUMN new INT;\n");
    let same = Change::new("CREATE TABLE t (a, b)", "CREATE TABLE t (b, a)");
    assert!(matches!(same.outcome(), Ok(Outcome::Nothing)));
    let exact = Change::new(from, to).in_order();
    assert!(exact.up().starts_with("-- t is rebuilt: SQLite adds columns at the end.\nCREATE TABLE _new_t (\n"));
    exact
        .with("INSERT INTO t (rowid, a, b, c) VALUES (9, 1, 'two', 3.5)")
        .loses(&[])
        .there()
        .has("SELECT rowid || a || b || c FROM t", &["'91two3.5'"])
        .back()
        .has("SELECT rowid || a || b || c FROM t", &["'91two3.5'"]);
}

#[test]
fn another_primary_key() {
    let rows = "INSERT INTO t VALUES (5, 'x', 1), (9, 'y', 2)";
    let all = "SELECT id || a || b FROM t ORDER BY id";
    for (from, to) in [
        ("id INTEGER PRIMARY KEY, a TEXT, b INT", "id INTEGER, a TEXT NOT NULL, b INT, PRIMARY KEY (a, b)"),
        ("id INTEGER PRIMARY KEY, a TEXT, b INT", "id INTEGER, a TEXT, b INT"),
        ("id INTEGER PRIMARY KEY, a TEXT, b INT", "id INTEGER NOT NULL, a TEXT, b INTEGER PRIMARY KEY"),
        ("id INTEGER PRIMARY KEY, a TEXT, b INT", "id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b INT"),
        ("id INTEGER PRIMARY KEY, a TEXT, b INT", "id INTEGER PRIMARY KEY DESC, a TEXT, b INT"),
        ("id TEXT PRIMARY KEY, a TEXT, b INT", "id TEXT NOT NULL, a TEXT PRIMARY KEY, b INT"),
        ("id INT NOT NULL PRIMARY KEY, a TEXT, b INT", "id INTEGER PRIMARY KEY, a TEXT, b INT"),
    ] {
        Change::new(&format!("CREATE TABLE t ({from})"), &format!("CREATE TABLE t ({to})"))
            .with(rows)
            .loses(&[])
            .there()
            .has(all, &["'5x1'", "'9y2'"])
            .back()
            .has(all, &["'5x1'", "'9y2'"]);
    }
    // A row without a key gets a number where the key is the rowid, and keeps all else.
    let numbered =
        Change::new("CREATE TABLE t (id INT PRIMARY KEY, a TEXT)", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)");
    assert!(numbered.up().contains("-- A row without a value for id gets a number of its own.\n"), "{}", numbered.up());
    numbered
        .with("INSERT INTO t VALUES (3, 'x'), (NULL, 'y'), (NULL, 'z')")
        .loses(&[])
        .there()
        .has("SELECT id || a FROM t", &["'3x'", "'4y'", "'5z'"])
        .back();
    // The numbers stay with their rows under another column's name.
    Change::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE TABLE t (number INTEGER PRIMARY KEY, a TEXT)",
    )
    .with("INSERT INTO t VALUES (3, 'x'), (8, 'y')")
    .loses(&["t.id"])
    .there()
    .has("SELECT number || a FROM t", &["'3x'", "'8y'"])
    .back()
    .has("SELECT id || a FROM t", &["'3x'", "'8y'"]);
}

#[test]
fn a_table_keeps_its_rows_where_none_of_their_values_stay() {
    let journey = Change::new(
        "CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ TEXT)",
        "CREATE TABLE t (a TEXT DEFAULT 'x' UNIQUE, b TEXT)",
    );
    journey
        .with("INSERT INTO t VALUES (1, 2, 3)")
        .loses(&["t.rowid", "t.oid", "t._rowid_"])
        .there()
        .has("SELECT a FROM t", &["'x'"]);
}

#[test]
fn a_counter_goes_on_where_it_was() {
    let counter = "SELECT name || seq FROM sqlite_sequence ORDER BY name";
    Change::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT); CREATE TABLE empty (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE); CREATE TABLE empty (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE)",
    )
    .with("INSERT INTO t VALUES (1, 'a'), (500, 'b'); DELETE FROM t WHERE id = 500; INSERT INTO empty VALUES (70, 'x'); DELETE FROM empty")
    .there()
    .has(counter, &["'empty70'", "'t500'"])
    .then("INSERT INTO t (a) VALUES ('c')")
    .has("SELECT id FROM t", &["1", "501"])
    .back()
    .has(counter, &["'empty70'", "'t501'"]);
    // Without rows ever there is nothing to count from.
    Change::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE)",
    )
    .with("")
    .there()
    .has(counter, &[])
    .back();
}

#[test]
fn a_type_that_changes_values_is_told_as_a_loss() {
    for (from, to, lost) in [
        ("TEXT", "INTEGER", true),
        ("INTEGER", "TEXT", false),
        ("INTEGER", "REAL", true),
        ("REAL", "INTEGER", false),
        ("REAL", "TEXT", true),
        ("VARCHAR(20)", "TEXT", false),
        ("TEXT", "BLOB", false),
        ("BLOB", "TEXT", true),
        ("TEXT", "DATETIME", true),
        ("INT", "BIGINT", false),
    ] {
        let journey = Change::new(
            &format!("CREATE TABLE t (k INTEGER PRIMARY KEY, v {from})"),
            &format!("CREATE TABLE t (k INTEGER PRIMARY KEY, v {to})"),
        )
        .with("INSERT INTO t VALUES (1, '007'), (2, 'abc'), (3, 9007199254740993), (4, 0.5), (5, x'00'), (6, NULL)");
        let before = crate::database_facts::texts(&journey.database, "SELECT quote(v) FROM t");
        let journey = journey.loses(if lost { &["t.v"] } else { &[] }).there().back();
        let after = crate::database_facts::texts(&journey.database, "SELECT quote(v) FROM t");
        assert!(lost || before == after, "{from} to {to}: {before:?} became {after:?}");
    }
    // What the way back does to what was written since is told apart.
    let back = |from: &str, to: &str| {
        let (from, to) = (format!("CREATE TABLE t ({from}, a TEXT)"), format!("CREATE TABLE t ({to}, b TEXT)"));
        Change::new(&from, &to).rename("t", "a", "b").proposal().lost_back
    };
    assert_eq!(back("v INTEGER", "v TEXT").iter().map(ToString::to_string).collect::<Vec<_>>(), ["t.v"]);
    assert_eq!(back("v TEXT", "v TEXT, new TEXT").len(), 0);
    // `ANY` is a number where types are not enforced.
    Change::new("CREATE TABLE t (v ANY) STRICT", "CREATE TABLE t (v ANY)")
        .with("INSERT INTO t VALUES ('007')")
        .loses(&["t.v"])
        .there()
        .has("SELECT v FROM t", &["7"]);
    Change::new("CREATE TABLE t (v ANY)", "CREATE TABLE t (v ANY) STRICT").with("").loses(&[]);
}

#[test]
fn options_of_a_table_come_and_go() {
    let rows = "INSERT INTO t VALUES ('k1', 1, 'x'), ('k2', 2, NULL)";
    let all = "SELECT k || n || coalesce(v, '-') FROM t ORDER BY k";
    let columns = "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, n INTEGER, v TEXT)";
    for (from, to) in
        [("", " WITHOUT ROWID"), ("", " STRICT"), (" STRICT", " WITHOUT ROWID"), ("", " STRICT, WITHOUT ROWID")]
    {
        for (from, to) in [(from, to), (to, from)] {
            Change::new(&format!("{columns}{from}"), &format!("{columns}{to}"))
                .with(rows)
                .loses(&[])
                .there()
                .has(all, &["'k11x'", "'k22-'"])
                .back()
                .has(all, &["'k11x'", "'k22-'"]);
        }
    }
}

#[test]
fn names_that_differ_in_their_case_alone_are_the_same() {
    let change = Change::new(
        "CREATE TABLE Users (Id INTEGER PRIMARY KEY, Name TEXT)",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)",
    );
    assert!(matches!(change.outcome(), Ok(Outcome::Nothing)));
    Change::new(
        "CREATE TABLE Users (Id INTEGER PRIMARY KEY AUTOINCREMENT, Name TEXT); CREATE INDEX I ON users (name)",
        "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL); CREATE INDEX i ON Users (NAME)",
    )
    .with("INSERT INTO users VALUES (1, 'a'), (9, 'b'); DELETE FROM users WHERE id = 9")
    .there()
    .then("INSERT INTO users (name) VALUES ('c')")
    .has("SELECT id || name FROM users", &["'1a'", "'10c'"])
    .back()
    .has("SELECT id || name FROM users", &["'1a'", "'10c'"]);
}

#[test]
fn odd_names_are_quoted() {
    let schema = |null: &str| {
        format!(
            "CREATE TABLE \"select\" (\"order\" INTEGER PRIMARY KEY, \"two words\" TEXT{null}, \"quo\"\"te\" TEXT, \"new\nline\" TEXT);
             CREATE TABLE \"größe -- 日本\" ([from] INTEGER REFERENCES \"select\", `x;y` TEXT{null});
             CREATE INDEX \"index\" ON \"select\" (\"two words\", \"new\nline\" DESC);
             CREATE VIEW \"view; end\" AS SELECT \"quo\"\"te\" AS \"a'b\" FROM \"select\";
             CREATE TRIGGER \"END\" AFTER INSERT ON \"größe -- 日本\" BEGIN UPDATE \"select\" SET \"new\nline\" = 'END;' WHERE \"order\" = new.[from]; END;"
        )
    };
    Change::new(&schema(""), &schema(" NOT NULL"))
        .with("INSERT INTO \"select\" VALUES (1, 'a', 'b', 'c'); INSERT INTO \"größe -- 日本\" VALUES (1, 'z')")
        .there()
        .has("SELECT \"new\nline\" FROM \"select\"", &["'END;'"])
        .has("SELECT \"a'b\" FROM \"view; end\"", &["'b'"])
        .back()
        .has("SELECT `x;y` FROM [größe -- 日本]", &["'z'"]);
}

#[test]
fn a_name_in_a_comment_is_no_statement() {
    let column = "x\nDROP TABLE kept; --";
    let (quoted, kept) = (crate::database_facts::quoted(column), "CREATE TABLE kept (a TEXT);");
    let change = Change::new(
        &format!("{kept} CREATE TABLE {quoted} ({quoted} TEXT)"),
        &format!("{kept} CREATE TABLE {quoted} ({quoted} INTEGER, b TEXT NOT NULL)"),
    );
    change
        .fill("x\ndrop table kept; --", "b", "'new'")
        .with(&format!("INSERT INTO kept VALUES ('still'); INSERT INTO {quoted} VALUES ('1')"))
        .there()
        .has("SELECT a FROM kept", &["'still'"])
        .back()
        .has("SELECT a FROM kept", &["'still'"]);
}

#[test]
fn comments_stay_where_they_are() {
    let to = "CREATE TABLE t ( -- what is to be done; all of it\n  a INTEGER, /* the (first) */\n  b TEXT NOT NULL -- the last\n) -- end\n;\n\
        CREATE VIEW v AS SELECT a FROM t -- nothing else\n;\n\
        CREATE INDEX i ON t (a) -- often asked for\n;";
    let journey = Change::new("CREATE TABLE t (a INTEGER, b TEXT)", to)
        .with("INSERT INTO t VALUES (1, 'x')")
        .there()
        .has("SELECT a FROM v", &["1"]);
    let kept = crate::database_facts::texts(&journey.database, "SELECT group_concat(sql) FROM sqlite_schema").concat();
    for comment in ["-- what is to be done; all of it\n", "/* the (first) */", "-- the last\n", "-- nothing else"] {
        assert!(kept.contains(comment), "{comment} is not in {kept}");
    }
    journey.back().has("SELECT b FROM t", &["'x'"]);
}
