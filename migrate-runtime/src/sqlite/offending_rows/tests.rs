//! Each statement is run by SQLite, which refuses it; then the rows are asked for.

use super::super::tests::open;
use super::*;

/// What is said of a statement that fails in a transaction; everything is as it would be if nobody had asked.
#[track_caller]
fn said(before: &str, statement: &str) -> Vec<String> {
    let fail = || {
        let mut connection = open(&format!("{before}; BEGIN"));
        let error = Connection::execute(&mut connection, statement, &[]).expect_err(statement);
        (connection, error)
    };
    let (mut unasked, _) = fail();
    let (mut connection, error) = fail();
    let lines = offending_rows(&mut connection, statement, &error);
    assert_eq!(contents(&mut connection), contents(&mut unasked), "{statement}");
    assert!(connection.in_transaction().unwrap(), "the transaction has ended");
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(contents(&mut connection), contents(&mut open(before)), "{statement}");
    lines
}

/// The schema, and every value of every table.
fn contents(connection: &mut dyn Connection) -> Vec<String> {
    let mut ask =
        |sql: &str| -> Vec<String> { rows(connection, sql, &[]).unwrap().iter().map(|row| text(row, 0)).collect() };
    let schema = "SELECT coalesce(sql, name) FROM sqlite_master UNION ALL SELECT sql FROM sqlite_temp_master";
    let mut found = ask(schema);
    for table in ask("SELECT name FROM sqlite_master WHERE type = 'table'") {
        let columns = ask(&format!("SELECT name FROM pragma_table_xinfo({})", quoted(&table)));
        let values: Vec<String> = columns.iter().map(|column| format!("quote({})", quoted(column))).collect();
        found.extend(ask(&format!("SELECT {} FROM {}", values.join(" || ',' || "), quoted(&table))));
    }
    found
}

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, age);
    INSERT INTO users VALUES (1, 'Ann', 'a@x', 1), (2, 'Bob', 'b@x', NULL), (4, 'Ann', 'A@x', 3), (7, 'Ann', NULL, 4),
        (8, 'ann', NULL, 'x'), (9, 'Ann', 'c@x', -1);";

#[test]
fn a_unique_index_names_the_rows_that_it_would_hold_twice() {
    for (index, lines) in [
        ("users(name)", &["`users`, rowids 1, 4, 7 and 1 more: name = 'Ann'"][..]),
        ("main.i ON users(mail COLLATE NOCASE DESC)", &["`users`, rowids 1 and 4: mail = 'a@x'"]),
        (
            "IF NOT EXISTS i ON [users]([name] asc, age > 0) WHERE age IN (1, 3);",
            &["`users`, rowids 1 and 4: name = 'Ann', age > 0 = 1"],
        ),
        ("users(lower(name)) WHERE id > 4", &["`users`, rowids 7, 8 and 9: lower(name) = 'ann'"]),
        ("users(name, id)", &[]),
    ] {
        let on = if index.contains(" ON ") { index.to_owned() } else { format!("i ON {index}") };
        let statement = format!("CREATE UNIQUE INDEX {on}");
        if lines.is_empty() {
            open(USERS).execute_batch(&statement).unwrap();
        } else {
            let found = said(USERS, &statement);
            assert!(found.len() == lines.len() && found[0].starts_with(&lines[0][..20]), "{statement}: {found:?}");
            assert_eq!(found, lines, "{statement}");
        }
    }
}

#[test]
fn rows_without_row_ids_are_named_by_their_keys() {
    let tags = "CREATE TABLE tags (todo, \"a \"\"tag\" TEXT, colour, PRIMARY KEY (\"a \"\"tag\", todo)) WITHOUT ROWID;
        INSERT INTO tags VALUES (1, 'x', x'00ff'), (2, 'x', x'00ff'), (3, 'y', 1.0), (4, 'y', 1);";
    assert_eq!(
        said(tags, "CREATE UNIQUE INDEX i ON tags(colour)"),
        ["`tags`, keys ('y', 3) and ('y', 4): colour = 1.0", "`tags`, keys ('x', 1) and ('x', 2): colour = x'00ff'"]
    );
    assert_eq!(
        said(tags, "CREATE UNIQUE INDEX i ON tags(\"a \"\"tag\")")[0],
        "`tags`, keys ('x', 1) and ('x', 2): a \"tag = 'x'"
    );
    // A column that is called `rowid` is none.
    let hidden = "CREATE TABLE t (rowid, _rowid_, x); INSERT INTO t VALUES ('a', 'b', 1), ('a', 'b', 1);";
    assert_eq!(said(hidden, "CREATE UNIQUE INDEX i ON t(x)"), ["`t`, rowids 1 and 2: x = 1"]);
    let all = "CREATE TABLE t (rowid, _rowid_, oid); INSERT INTO t VALUES (1, 1, 1), (1, 1, 1);";
    assert_eq!(said(all, "CREATE UNIQUE INDEX i ON t(oid)"), [""; 0]);
}

#[test]
fn names_and_values_of_all_kinds_are_shown_short_and_cannot_drive_a_terminal() {
    let before = "CREATE TABLE \"select\" (\"größe\" TEXT, \"from\nwhere\", [a]]b] INT);
        INSERT INTO \"select\" VALUES ('é\u{1b}[31m' || hex(zeroblob(400)), zeroblob(9), 1);
        INSERT INTO \"select\" SELECT * FROM \"select\";";
    let before = before.replace("[a]]b]", "\"a]b\"");
    let lines = said(&before, "CREATE UNIQUE INDEX \"or\" ON \"select\"(größe, `from\nwhere`, \"a]b\")");
    assert_eq!(
        lines,
        ["`select`, rowids 1 and 2: größe = 'é\u{FFFD}[31m0000000000000000000000000000000000…', \
          from\u{FFFD}where = x'0000000000000000…', a]b = 1"]
    );
}

#[test]
fn few_rows_are_named_and_the_rest_is_counted() {
    let many = |count: u32| {
        format!(
            "CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO t SELECT i / 2 FROM n;"
        )
    };
    let index = "CREATE UNIQUE INDEX i ON t(x)";
    let check = "ALTER TABLE t ADD COLUMN y CHECK (x > 1000000)";
    for (rows, statement, last) in [
        (11, index, None),
        (13, index, Some("and 1 more value")),
        (5000, index, Some("and more than 995 more values")),
        (8, check, Some("and 3 more rows")),
        (5000, check, Some("and more than 995 more rows")),
    ] {
        let lines = said(&many(rows), statement);
        let named = lines.iter().filter(|line| line.starts_with("`t`, rowid")).count();
        assert_eq!((named, lines.last().map(String::as_str).filter(|line| line.starts_with("and"))), (5, last));
    }
}

#[test]
fn a_table_that_is_altered_names_the_rows_against_it() {
    let adds_constraints = open("CREATE TABLE t (x)").execute_batch("ALTER TABLE t ADD CHECK (x > 0)").is_ok();
    for (action, lines) in [
        (
            "ADD CONSTRAINT adult CHECK (age > 0)",
            &["`age > 0` does not hold in these rows", "`users`, rowid 9: age = -1"][..],
        ),
        (
            "ADD CHECK (length(name) < 3 OR \"Age\" IS NOT 4)",
            &[
                "`length(name) < 3 OR \"Age\" IS NOT 4` does not hold in these rows",
                "`users`, rowid 7: name = 'Ann', age = 4",
            ],
        ),
        ("ALTER COLUMN mail SET NOT NULL", &["`users`, rowid 7: mail = NULL", "`users`, rowid 8: mail = NULL"]),
        ("ALTER \"age\" SET NOT NULL", &["`users`, rowid 2: age = NULL"]),
        (
            "ADD COLUMN older AS (age + 1) CONSTRAINT n NOT NULL CHECK (typeof(older) <> 'text')",
            &["`users`, rowid 2: older = NULL"],
        ),
        (
            "ADD COLUMN b INT DEFAULT (3) NOT NULL ON CONFLICT FAIL CHECK (b > 2) CONSTRAINT n CHECK (age >= b - 3)",
            &["`age >= b - 3` does not hold in these rows", "`users`, rowid 9: age = -1, b = 3"],
        ),
        // What has no row to blame.
        ("ADD COLUMN older NOT NULL", &[]),
        ("RENAME COLUMN nothing TO something", &[]),
    ] {
        // These came with SQLite 3.53, and are syntax errors before.
        let lines = if adds_constraints || action.starts_with("ADD COLUMN") { lines } else { &[] };
        assert_eq!(said(USERS, &format!("ALTER TABLE main.users {action};")), lines, "{action}");
    }
}

/// What is said of copying `USERS` into a table with these columns.
#[track_caller]
fn copied_into(table: &str, copy: &str) -> Vec<String> {
    said(&format!("{USERS}\nCREATE TABLE users_new {table};"), copy)
}

#[test]
fn a_rebuild_names_the_rows_of_the_old_table_that_do_not_fit() {
    let all = "INSERT INTO users_new SELECT * FROM users";
    for (table, copy, lines) in [
        (
            "(id INTEGER PRIMARY KEY, name TEXT UNIQUE, mail, age)",
            all,
            &["`users`, rowids 1, 4, 7 and 1 more: name = 'Ann'"][..],
        ),
        (
            "(id INTEGER PRIMARY KEY, name TEXT, mail TEXT COLLATE NOCASE UNIQUE, age)",
            all,
            &["`users`, rowids 1 and 4: mail = 'a@x'"],
        ),
        (
            "(a, b, PRIMARY KEY (b, a)) WITHOUT ROWID",
            "INSERT INTO users_new(a, b) SELECT name, 1 FROM users",
            &["`users`, rowids 1, 4, 7 and 1 more: b = 1, a = 'Ann'"],
        ),
        (
            "(id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            "INSERT INTO users_new(name) SELECT mail FROM users",
            &["`users`, rowid 7: name = NULL", "`users`, rowid 8: name = NULL"],
        ),
        (
            "(id INTEGER PRIMARY KEY, age INT CONSTRAINT \"a b\" CHECK (age > 0))",
            "INSERT OR ABORT INTO main.users_new AS n (age, id) SELECT u.age, u.id FROM users AS u WHERE u.id > 1 ORDER BY 1",
            &["`age > 0` does not hold in these rows", "`users`, rowid 9: age = -1"],
        ),
        (
            "(id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, d DEFAULT 2 NOT NULL, CHECK (users_new.n = 'ann' OR d > 2))",
            "INSERT INTO users_new(id, n) SELECT id, name FROM users",
            &["`users_new.n = 'ann' OR d > 2` does not hold in these rows", "`users`, rowid 2: n = 'Bob', d = 2"],
        ),
        (
            "(id INTEGER PRIMARY KEY, age, CHECK (\"age\" -- older\n  >\n 0))",
            "INSERT INTO users_new SELECT id, age FROM users",
            &["`\"age\" > 0` does not hold in these rows", "`users`, rowid 9: age = -1"],
        ),
        (
            "(id INTEGER PRIMARY KEY, age CHECK (/* not */ age\n>  0))",
            "INSERT INTO users_new SELECT id, age FROM users",
            &["`age > 0` does not hold in these rows", "`users`, rowid 9: age = -1"],
        ),
        (
            "(id INTEGER PRIMARY KEY, age INTEGER) STRICT",
            "INSERT INTO users_new SELECT id, age FROM users",
            &["`users`, rowid 8: age = 'x'"],
        ),
        ("(age INTEGER PRIMARY KEY)", "INSERT INTO users_new SELECT age FROM users", &["`users`, rowid 8: age = 'x'"]),
        (
            "(name TEXT, age); CREATE UNIQUE INDEX i ON users_new (name) WHERE age > 0;",
            "INSERT INTO users_new SELECT name, age FROM users",
            &["`users`, rowids 1, 4 and 7: name = 'Ann'"],
        ),
        (
            "(name TEXT); CREATE UNIQUE INDEX i ON users_new (lower(name));",
            "INSERT INTO users_new SELECT name FROM users u WHERE id > 4",
            &["`users`, rowids 7, 8 and 9: lower(name) = 'ann'"],
        ),
        (
            "(name TEXT UNIQUE); INSERT INTO users_new VALUES ('Bob');",
            "INSERT INTO users_new SELECT name FROM users WHERE id = 2",
            &["`users_new` has the values of these rows already", "`users`, rowid 2: name = 'Bob'"],
        ),
    ] {
        assert_eq!(copied_into(table, copy), lines, "{table}");
    }
}

#[test]
fn values_are_compared_as_the_new_table_would_hold_them() {
    let before = "CREATE TABLE old (x); INSERT INTO old VALUES (1), ('1'), (2.0), ('02'), ('z'), (1.5);
        CREATE TABLE new (x INT UNIQUE);";
    assert_eq!(
        said(before, "INSERT INTO new SELECT x FROM old"),
        ["`old`, rowids 1 and 2: x = 1", "`old`, rowids 3 and 4: x = 2"]
    );
    let strict = before.replace("(x INT UNIQUE)", "(x INT) STRICT");
    assert_eq!(
        said(&strict, "INSERT INTO new SELECT x FROM old"),
        ["`old`, rowid 5: x = 'z'", "`old`, rowid 6: x = 1.5"]
    );
}

#[test]
fn what_is_not_known_for_certain_is_left_out() {
    let before =
        &format!("{USERS} CREATE TABLE new (name UNIQUE, n NOT NULL DEFAULT 1); CREATE VIEW v AS SELECT * FROM users;");
    for statement in [
        "INSERT INTO new(name) SELECT a.name FROM users a JOIN users b",
        "INSERT INTO new(name) SELECT name FROM users UNION ALL SELECT name FROM users",
        "INSERT INTO new(name) SELECT name FROM users GROUP BY id",
        "INSERT INTO new(name) SELECT name FROM users WHERE id < 5 LIMIT 3",
        "INSERT INTO new SELECT DISTINCT name, id FROM users",
        "WITH w AS (SELECT 1) INSERT INTO new(name) SELECT name FROM users",
        "INSERT INTO new(name) SELECT name FROM v",
        "INSERT INTO new(name) VALUES ('a'), ('a')",
        "UPDATE users SET id = 1",
        "INSERT INTO new(n) SELECT NULL",
    ] {
        assert_eq!(said(before, statement), [""; 0], "{statement}");
    }
    // Without a transaction nothing is written, not even what would be taken back.
    let mut connection = open(before);
    for (statement, known) in
        [("CREATE UNIQUE INDEX i ON users(name)", true), ("INSERT INTO new SELECT name, 1 FROM users", false)]
    {
        let error = Connection::execute(&mut connection, statement, &[]).unwrap_err();
        assert_eq!(!offending_rows(&mut connection, statement, &error).is_empty(), known, "{statement}");
        assert!(!connection.in_transaction().unwrap());
    }
}

#[test]
fn the_rows_that_are_named_are_those_that_the_new_table_refuses_one_by_one() {
    const VALUES: [&str; 14] =
        ["1", "'1'", "1.0", "'a'", "'A'", "'a '", "NULL", "x'61'", "2.5", "-3", "'01'", "'x''y'", "NULL", "7"];
    const COLUMNS: [&str; 14] = [
        "a TEXT UNIQUE",
        "a INT UNIQUE",
        "a UNIQUE",
        "a TEXT COLLATE NOCASE UNIQUE",
        "a TEXT COLLATE RTRIM UNIQUE",
        "a NUMERIC NOT NULL",
        "a CHECK (a > 0)",
        "a INT CHECK (a < 5)",
        "a TEXT COLLATE NOCASE CHECK (a <> 'A')",
        "a VARCHAR(9) CONSTRAINT c CHECK (length(a) < 2 OR b IS NULL)",
        "a REAL, UNIQUE (a, b)",
        "a INT PRIMARY KEY",
        "a DECIMAL CHECK (typeof(a) = 'integer')",
        "a TEXT, CHECK (a < b)",
    ];
    let mut state: u64 = 3;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut named = 0;
    for _ in 0..400 {
        let rows: String = (1..=5)
            .map(|id| format!("INSERT INTO old VALUES ({id}, {}, {});", VALUES[below(14)], VALUES[below(14)]))
            .collect();
        let column = COLUMNS[below(14)];
        let before = format!("CREATE TABLE old (id INTEGER PRIMARY KEY, a, b); {rows} CREATE TABLE new (b, {column});");
        let copy = "INSERT INTO new (a, b) SELECT a, b FROM old";
        let Err(error) = Connection::execute(&mut open(&before), copy, &[]) else { continue };

        // Which rows the new table refuses by themselves, or else which two it does not take together.
        let together = error.message.starts_with("UNIQUE");
        let fits = |ids: &str| {
            let alone = Connection::execute(&mut open(&before), &format!("{copy} WHERE id IN ({ids})"), &[]);
            !alone.is_err_and(|alone| alone.message == error.message)
        };
        let refused: Vec<i64> = (1..=5)
            .filter(|id| {
                if together {
                    (1..=5).any(|other| other != *id && !fits(&format!("{id}, {other}")))
                } else {
                    !fits(&id.to_string())
                }
            })
            .collect();
        let lines = said(&before, copy);
        let keys: Vec<&str> =
            lines.iter().filter_map(|line| Some(line.split_once(", rowid")?.1.split_once(": ")?.0)).collect();
        if keys.iter().any(|keys| keys.contains("more")) {
            continue;
        }
        let numbers = keys.iter().flat_map(|keys| keys.split(|c: char| !c.is_ascii_digit()));
        let mut told: Vec<i64> = numbers.filter_map(|key| key.parse().ok()).collect();
        told.sort_unstable();
        assert_eq!(told, refused, "{before}\n{}", error.message);
        named += 1;
    }
    assert!(named > 150, "only {named} copies are refused with rows that are all named");
}
