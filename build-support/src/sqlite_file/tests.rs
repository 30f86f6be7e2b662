//! Tables of all kinds, made by SQLite, must read as SQLite reads them.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Theirs;

use super::record::Value;
use super::table::Table;
use super::{Unreadable, consistently};

/// A row's values, each as its type and its bytes, so that rows can be sorted.
type Row = Vec<(char, Vec<u8>)>;

/// The columns of a table and its rows, as the reader sees them, sorted.
fn ours(path: &Path, table: &str) -> Result<(Vec<String>, Vec<Row>), Unreadable> {
    let found = consistently(path, &mut |pages| {
        let table = Table::find(pages, table)?.ok_or_else(|| Unreadable::damaged("there is no such table"))?;
        let mut rows = Vec::new();
        let places: Vec<usize> = table.columns().iter().map(|name| table.column(name).unwrap()).collect();
        table.rows(pages, &places, None, &mut |row| {
            let values = row.into_iter().map(|value| match value {
                // A column that was added later has no default in these tests.
                None | Some(Value::Null) => (' ', Vec::new()),
                Some(Value::Integer(number)) => ('i', number.to_be_bytes().to_vec()),
                Some(Value::Real(number)) => ('r', number.to_be_bytes().to_vec()),
                Some(Value::Text(text)) => ('t', text.into_bytes()),
                Some(Value::Blob(bytes)) => ('b', bytes),
            });
            rows.push(values.collect());
            Ok(())
        })?;
        rows.sort();
        Ok((table.columns().to_vec(), rows))
    })?;
    found.ok_or(Unreadable::NotADatabase)
}

/// The same rows as SQLite gives them.
fn theirs(connection: &Connection, table: &str, columns: &[String]) -> Vec<Row> {
    let columns: Vec<String> = columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let mut statement = connection.prepare(&format!("SELECT {} FROM \"{table}\"", columns.join(", "))).unwrap();
    let mut rows: Vec<Row> = statement
        .query_map([], |row| {
            let values = (0..columns.len()).map(|at| {
                Ok(match row.get(at)? {
                    Theirs::Null => (' ', Vec::new()),
                    Theirs::Integer(number) => ('i', number.to_be_bytes().to_vec()),
                    Theirs::Real(number) => ('r', number.to_be_bytes().to_vec()),
                    Theirs::Text(text) => ('t', text.into_bytes()),
                    Theirs::Blob(bytes) => ('b', bytes),
                })
            });
            values.collect()
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    rows.sort();
    rows
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    connection
}

/// Compares every table of a closed database; gives the number of rows.
fn compare(path: &Path, about: &str) -> usize {
    // SQLite is asked first and closed again: reading the file beside an open connection would drop its locks.
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    drop(statement);
    drop(connection);
    let mut count = 0;
    for table in &tables {
        let (columns, rows) = ours(path, table).unwrap_or_else(|error| panic!("{about}, {table}: {error}"));
        let connection = Connection::open(path).unwrap();
        let expected = theirs(&connection, table, &columns);
        connection.close().unwrap();
        let differs = rows.iter().zip(&expected).position(|(row, expected)| row != expected);
        assert!(rows == expected, "{about}, {table}: {} rows for {}, row {differs:?}", rows.len(), expected.len());
        count += rows.len();
    }
    count
}

const NUMBERS: [i64; 21] = [
    0,
    1,
    -1,
    2,
    127,
    128,
    -128,
    -129,
    32_767,
    32_768,
    -32_769,
    8_388_607,
    8_388_608,
    -8_388_609,
    2_147_483_647,
    2_147_483_648,
    140_737_488_355_327,
    140_737_488_355_328,
    -140_737_488_355_329,
    i64::MAX,
    i64::MIN,
];

/// Tables of every shape, with values of every type and rows on all sides of the sizes at which they overflow.
fn fill(connection: &Connection, usable: usize) {
    connection
        .execute_batch(
            "CREATE TABLE plain(a, \"b c\", d);
             CREATE TABLE named(t TEXT, id INTEGER PRIMARY KEY, b BLOB);
             CREATE TABLE keyed(a, k1 TEXT, b, k2 INTEGER, PRIMARY KEY (k2, k1)) WITHOUT ROWID;
             CREATE TABLE none(a, b);
             CREATE TABLE strict(a INTEGER, b ANY) STRICT;
             CREATE INDEX by_d ON plain(d);
             CREATE VIEW seen AS SELECT a FROM plain;
             BEGIN;",
        )
        .unwrap();
    let texts = ["", "a", "größe", "日本語 \u{1F980}", "nul\0inside", "quote's"];
    for (index, number) in NUMBERS.into_iter().enumerate() {
        let text = texts[index % texts.len()];
        let real = number as f64 * 1.25 + 0.5;
        connection.execute("INSERT INTO plain VALUES (?1, ?2, ?3)", (number, text, real)).unwrap();
        connection.execute("INSERT INTO strict VALUES (?1, ?2)", (number, text)).unwrap();
        connection.execute("INSERT INTO named(id, t, b) VALUES (?1, ?2, ?3)", (number, text, text.as_bytes())).unwrap();
    }
    for (index, near) in [usable / 8, usable / 4, usable - 35, usable, 2 * usable, 3 * usable - 8].iter().enumerate() {
        // Byte by byte where that is cheap: the rule of what overflows is the same for each size.
        for length in (near - 12..near + 12).step_by(if usable <= 1024 { 1 } else { 6 }) {
            let text: String = ('a'..='z').cycle().skip(length % 26).take(length).collect();
            let key = length as i64;
            connection
                .execute(
                    "INSERT INTO keyed VALUES (NULL, ?1, ?2, ?3)",
                    (&text, index as i64, key * 1000 + index as i64),
                )
                .unwrap();
            connection.execute("INSERT INTO plain VALUES (?1, ?2, zeroblob(3))", (&text, text.as_bytes())).unwrap();
        }
    }
    connection.execute_batch("COMMIT").unwrap();
}

#[test]
fn every_table_reads_as_sqlite_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    for page_size in [512_usize, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        for (index, encoding) in ["UTF-8", "UTF-16le", "UTF-16be"].into_iter().enumerate() {
            let vacuum = (index + page_size.trailing_zeros() as usize) % 3;
            let about = format!("pages of {page_size}, {encoding}, auto_vacuum {vacuum}");
            let path = folder.path().join(format!("{page_size}-{index}.db"));
            let connection = open(&path);
            connection
                .execute_batch(&format!(
                    "PRAGMA page_size = {page_size}; PRAGMA encoding = '{encoding}'; \
                     PRAGMA auto_vacuum = {vacuum};"
                ))
                .unwrap();
            fill(&connection, page_size);
            connection.close().unwrap();
            assert!(compare(&path, &about) > 100, "{about}");

            let connection = open(&path);
            connection
                .execute_batch(
                    "DELETE FROM plain WHERE rowid % 3 = 1; DELETE FROM keyed WHERE k2 = 2; DROP TABLE strict;
                     ALTER TABLE plain ADD COLUMN later TEXT; INSERT INTO plain(a, later) VALUES (1, 'there');
                     ALTER TABLE keyed RENAME COLUMN b TO \"b, renamed\"; ALTER TABLE none RENAME TO \"no (ne\";
                     ALTER TABLE named DROP COLUMN t; PRAGMA incremental_vacuum(3);",
                )
                .unwrap();
            connection.close().unwrap();
            assert!(compare(&path, &format!("{about}, changed")) > 60);

            let connection = open(&path);
            connection.execute_batch("VACUUM").unwrap();
            connection.close().unwrap();
            assert!(compare(&path, &format!("{about}, vacuumed")) > 60);
        }
    }
}

#[test]
fn a_table_of_many_rows_is_read_whole_and_one_of_too_many_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.db");
    let connection = open(&path);
    let rows = |count: u32| format!("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT {count})");
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = 512;
             CREATE TABLE many(a, b); {} INSERT INTO many SELECT i, 'row ' || i FROM n;
             CREATE TABLE keyed(a PRIMARY KEY, b) WITHOUT ROWID; {} INSERT INTO keyed SELECT i, i FROM n;",
            rows(20_000),
            rows(5000)
        ))
        .unwrap();
    connection.close().unwrap();
    assert_eq!(compare(&path, "many"), 25_000);

    let connection = open(&path);
    connection.execute_batch(&format!("{} INSERT INTO many SELECT i, i FROM n", rows(80_001))).unwrap();
    connection.close().unwrap();
    let Err(Unreadable::TooLarge(what)) = ours(&path, "many") else { panic!() };
    assert!(what.contains("100000 rows"), "{what}");
    assert!(ours(&path, "keyed").is_ok());
}

#[test]
fn a_schema_of_many_tables_is_searched_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tenants.db");
    let mut connection = open(&path);
    connection.execute_batch("PRAGMA page_size = 512").unwrap();
    let transaction = connection.transaction().unwrap();
    for tenant in 0..500 {
        transaction.execute_batch(&format!("CREATE TABLE tenant_{tenant}(a, b CHECK (b <> '{tenant}'))")).unwrap();
    }
    transaction.execute_batch("INSERT INTO tenant_499 VALUES (1, 2)").unwrap();
    transaction.commit().unwrap();
    connection.close().unwrap();
    assert_eq!(ours(&path, "TENANT_499").unwrap().1.len(), 1);
    assert_eq!(ours(&path, "tenant_0").unwrap().1.len(), 0);
}
