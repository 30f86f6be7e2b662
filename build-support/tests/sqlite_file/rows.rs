//! The rows of sound databases.

use std::fs;

use build_support::sqlite_file::{Unreadable, read_settled, read_version_table};

use crate::harness::{CREATE, Numbers, TABLE, asked, copy, count, create, insert, open, same, steeply_scaled};

#[test]
fn rows_are_read_as_sqlite_reads_them_whatever_the_database_is_like() {
    let folder = tempfile::tempdir().unwrap();
    let mut turn = 0_usize;
    for page_size in [512_usize, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
            for journal in ["delete", "truncate", "persist", "wal"] {
                turn += 1;
                let reserved = [0, 0, 32, 7][turn % 4];
                let vacuum = turn % 3;
                let about = format!("pages of {page_size}, {encoding}, {journal}, reserved {reserved}, {vacuum}");
                let path = folder.path().join(format!("{turn}.db"));
                let settings = format!(
                    "PRAGMA page_size = {page_size}; PRAGMA encoding = '{encoding}'; PRAGMA auto_vacuum = {vacuum}"
                );
                // When a database has a version table beside the application's own, of several packages,
                let connection = create(&path, &settings, reserved);
                connection
                    .execute_batch(&format!(
                        "PRAGMA journal_mode = {journal}; PRAGMA wal_autocheckpoint = 0; BEGIN; \
                         CREATE TABLE todos(id INTEGER PRIMARY KEY, title TEXT); {CREATE};"
                    ))
                    .unwrap();
                for number in 1..=40 {
                    let down = if number % 5 == 0 { page_size / 3 * (number / 5) } else { number % 3 * 20 };
                    insert(&connection, ["app", "shop", "größe"][number % 3], number, down);
                }
                connection.execute_batch("COMMIT").unwrap();
                // then all are seen, with what is in the log alone,
                let (_kept, copied) = copy(&path);
                assert_eq!(same(&copied, &["app", "shop", "größe", "other"], &about), 40, "{about}");
                // and so they are when rows are gone and columns were added,
                connection
                    .execute_batch(
                        "DELETE FROM _cargo_migrate WHERE sequence % 4 = 1; DELETE FROM todos;
                         ALTER TABLE _cargo_migrate ADD COLUMN added TEXT; ALTER TABLE _cargo_migrate ADD x DEFAULT 5",
                    )
                    .unwrap();
                insert(&connection, "app", 41, 0);
                let (_kept, copied) = copy(&path);
                assert_eq!(same(&copied, &["app", "shop"], &about), 21, "{about}");
                connection.close().unwrap();
                assert_eq!(same(&path, &["app", "shop"], &about), 21, "{about}");
                // and after a VACUUM.
                let connection = open(&path);
                connection.execute_batch("VACUUM").unwrap();
                connection.close().unwrap();
                assert_eq!(same(&path, &["app", "shop"], &about), 21, "{about}");
                let found = fs::read(&path).unwrap();
                assert_eq!(found[20], reserved, "{about}");
            }
        }
    }
}

#[test]
fn databases_of_any_history_are_read_as_sqlite_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.db");
    let mut numbers = Numbers(11);
    let mut rows = 0;
    for turn in 0..steeply_scaled(3000, 30) {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(format!("{}{ending}", path.display()));
        }
        // Given a database of some page size, encoding and journal,
        let page_size = 512_usize << numbers.below(8);
        let settings = format!(
            "PRAGMA page_size = {page_size}; PRAGMA encoding = '{}'; PRAGMA auto_vacuum = {}; PRAGMA secure_delete = {}",
            ["UTF-8", "UTF-16le", "UTF-16be"][numbers.below(3)],
            numbers.below(3),
            numbers.below(2)
        );
        let connection = create(&path, &settings, [0, 0, 0, 8, 32][numbers.below(5)]);
        let journal = ["delete", "persist", "wal", "wal"][numbers.below(4)];
        connection.execute_batch(&format!("PRAGMA journal_mode = {journal}; {CREATE}")).unwrap();
        // with transactions that add, remove and change rows of several packages, and other tables between them,
        for step in 0..numbers.below(6) {
            connection.execute_batch("BEGIN").unwrap();
            for number in 0..numbers.below(40) {
                let longest = [20, page_size, 4 * page_size][numbers.below(3)];
                let down = numbers.below(longest);
                insert(&connection, ["app", "shop"][numbers.below(2)], step * 100 + number, down);
            }
            let more = [
                "DELETE FROM _cargo_migrate WHERE sequence % 3 = 1".to_owned(),
                "UPDATE _cargo_migrate SET down = down || down WHERE sequence % 4 = 2".to_owned(),
                format!("CREATE TABLE t{step} AS SELECT zeroblob(3000) AS x FROM _cargo_migrate"),
                format!("ALTER TABLE _cargo_migrate ADD COLUMN c{step} TEXT DEFAULT 'é'"),
                String::new(),
            ];
            connection.execute_batch(&more[numbers.below(more.len())]).unwrap();
            connection.execute_batch(if numbers.below(5) == 0 { "ROLLBACK" } else { "COMMIT" }).unwrap();
            if numbers.below(6) == 0 {
                connection.execute_batch(["VACUUM", "PRAGMA wal_checkpoint(PASSIVE)"][numbers.below(2)]).unwrap();
            }
        }
        // then its rows are read as they are, with the log not copied and after it was.
        let about = format!("turn {turn}: {settings}, {journal}");
        let (_kept, copied) = copy(&path);
        rows += same(&copied, &["app", "shop"], &about);
        connection.close().unwrap();
        same(&path, &["app", "shop"], &about);
    }
    assert!(rows > 300, "{rows}");
}

#[test]
fn thousands_of_rows_with_long_downs_are_read_in_the_order_of_application() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let mut connection = create(&path, "PRAGMA page_size = 1024", 0);
    connection.execute_batch(CREATE).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in (1..=5000).rev() {
        insert(&transaction, if number % 10 == 0 { "other" } else { "app" }, number, number % 3000);
    }
    // A down may be as long as a file: it is passed over, not held.
    insert(&transaction, "app", 5001, 3_000_000);
    transaction.commit().unwrap();
    connection.close().unwrap();
    assert_eq!(same(&path, &["app"], "many"), 4501);
    let rows = read_version_table(&path, TABLE, "app").unwrap();
    assert!(rows.is_sorted_by_key(|row| row.sequence));
}

#[test]
fn a_table_of_another_name_or_shape_is_read_by_the_names_of_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = create(&path, "PRAGMA page_size = 512", 0);
    let without = CREATE.replace("UNIQUE (package, sequence)\n)", "UNIQUE (package, sequence)\n) WITHOUT ROWID");
    assert_ne!(without, CREATE);
    connection.execute_batch(&without).unwrap();
    for number in 1..=300 {
        insert(&connection, ["app", "shop"][number % 2], number, number * 9);
    }
    connection
        .execute_batch(
            "CREATE TABLE \"it's (a) name\" AS SELECT state, seal, checksum AS \"CheckSum\", sequence, revision, down, \
             package, statements FROM _cargo_migrate",
        )
        .unwrap();
    connection.close().unwrap();
    assert_eq!(same(&path, &["app", "shop"], "without row ids"), 300);
    let rows = read_settled(&path, "IT'S (a) name", "shop").unwrap();
    assert_eq!(rows, read_settled(&path, TABLE, "shop").unwrap());
}

#[test]
fn where_nothing_is_applied_there_are_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    // There is no file, nor a folder for it; the file is empty; it has no table at all, others, or a view of that name.
    assert_eq!(read_settled(&path, TABLE, "app"), Ok(Vec::new()));
    assert_eq!(read_settled(&folder.path().join("a/b.db"), TABLE, "app"), Ok(Vec::new()));
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    fs::write(&path, "").unwrap();
    fs::write(folder.path().join("app.db-wal"), "left over").unwrap();
    assert_eq!(read_settled(&path, TABLE, "app"), Ok(Vec::new()));
    for sql in ["PRAGMA user_version = 2", "CREATE TABLE a(b)", "CREATE VIEW _cargo_migrate AS SELECT * FROM a"] {
        open(&path).execute_batch(sql).unwrap();
        assert_eq!(read_settled(&path, TABLE, "app"), Ok(Vec::new()), "{sql}");
    }
    open(&path).execute_batch(&format!("DROP VIEW _cargo_migrate; {CREATE}")).unwrap();
    assert_eq!(read_settled(&path, TABLE, "app"), Ok(Vec::new()));
    insert(&open(&path), "app", 1, 0);
    assert_eq!(read_settled(&path, TABLE, "ap"), Ok(Vec::new()));
    assert_eq!(count(&path), 1);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_leads_to_the_log_beside_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = create(&path, "PRAGMA journal_mode = wal", 0);
    connection.execute_batch(CREATE).unwrap();
    insert(&connection, "app", 1, 0);
    let (kept, copied) = copy(&path);
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(copied, &link).unwrap();
    assert_eq!(count(&link), 1);
    drop(kept);
    assert_eq!(read_settled(&link, TABLE, "app"), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let said = |error: &Unreadable, words: &str| assert!(error.to_string().contains(words), "{error}");
    let read = || read_settled(&path, TABLE, "app").unwrap_err();

    // A folder, a text, and what a database looks like when it is encrypted.
    assert_eq!(read_settled(folder.path(), TABLE, "app"), Err(Unreadable::NotADatabase));
    for bytes in ["short".as_bytes(), &[b'x'; 4096], &[0x5a; 100]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(), Unreadable::NotADatabase);
    }
    said(&read(), "encrypted");

    // Tables that hold something else, and rows that were damaged by hand.
    for (sql, words) in [
        ("CREATE VIRTUAL TABLE _cargo_migrate USING fts5(package)", "`_cargo_migrate` is a virtual table"),
        ("CREATE TABLE _cargo_migrate(package, revision)", "no column `sequence`"),
        ("CREATE TABLE _cargo_migrate(package, b AS (package))", "a generated column"),
        (CREATE, ""),
        (
            "UPDATE _cargo_migrate SET seal = 'x' WHERE package = 'app'",
            "the row of `r00001_größe` has an unreadable `seal`",
        ),
        ("UPDATE _cargo_migrate SET state = 'done' WHERE package = 'app'", "`seal`"),
        ("UPDATE _cargo_migrate SET revision = 'a' || char(27) || 'b' WHERE package = 'app'", "`a\u{FFFD}b`"),
        ("UPDATE _cargo_migrate SET state = zeroblob(2000000) WHERE package = 'app'", "a value has 2000000 bytes"),
    ] {
        if sql.starts_with("CREATE") {
            fs::remove_file(&path).unwrap();
        }
        let connection = open(&path);
        connection.execute_batch(sql).unwrap();
        if words.is_empty() {
            insert(&connection, "app", 1, 0);
            insert(&connection, "shop", 2, 0);
        }
        connection.close().unwrap();
        if words.is_empty() {
            assert_eq!(count(&path), 1);
        } else {
            said(&read(), words);
        }
    }
    // The other package's row is whole.
    assert_eq!(same(&path, &["shop"], "the other"), 1);

    // A row from before a column that is needed: its value is in the table's definition alone.
    fs::remove_file(&path).unwrap();
    let connection = open(&path);
    let late = CREATE.replace("    state TEXT NOT NULL,\n", "");
    connection.execute_batch(&late).unwrap();
    connection
        .execute_batch(
            "INSERT INTO _cargo_migrate(package, revision, sequence, checksum, statements, seal, parents, depends, \
             directives, message, applied_count, applied_at, elapsed_ms, tool_version) \
             VALUES ('app', 'a', 1, 'sha256:' || hex(zeroblob(32)), 'statements:' || hex(zeroblob(32)), \
             'seal:' || hex(zeroblob(32)), '', '', '', '', 1, '', 1, ''); \
             ALTER TABLE _cargo_migrate ADD COLUMN state TEXT NOT NULL DEFAULT 'applied'",
        )
        .unwrap();
    connection.close().unwrap();
    assert_eq!(asked(&path, "app").unwrap().len(), 1);
    said(&read(), "`_cargo_migrate` has rows from before its column `state` was added");
}
