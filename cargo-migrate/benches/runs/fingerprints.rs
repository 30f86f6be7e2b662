//! Fingerprints of a table's rows, beside a `SELECT` that reads each of their values; and the memory that they take.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cargo_migrate::fingerprint::Fingerprint;
use cargo_migrate::introspect;
use cargo_migrate::schema::Schema;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::pairs::{Pairs, time};

const MEGABYTE: u64 = 1 << 20;
/// What a row takes in the file, about.
const ROW: u64 = 128;

/// Measures a table of 10 MB and one of 1 GB, or as much smaller as `scale` says.
pub fn measure(folder: &Path, scale: f64, rounds: Option<usize>) {
    for megabytes in [10, 1024] {
        let wanted = ((megabytes as f64 * scale * MEGABYTE as f64) as u64).max(MEGABYTE);
        let connection = table(&folder.join(format!("rows-{megabytes}.db")), wanted / ROW);
        let schema = introspect::read(&connection, "_").unwrap();
        let rounds = rounds.unwrap_or(if wanted > 100 * MEGABYTE { 3 } else { 9 });
        let pairs = Pairs::measure(rounds, || ours(&connection, &schema), || bare(&connection));
        let size = wanted / MEGABYTE;
        println!("fingerprint  {size:>5} MB  beside a plain SELECT of the same rows  {}", pairs.ratio());
        if let Some(peak) = peak(|| drop(Fingerprint::of(&connection, &schema, &schema).unwrap())) {
            println!("fingerprint  {size:>5} MB  peak memory {:.1} MB", peak as f64 / 1024.0);
        }
    }
}

fn table(path: &Path, rows: u64) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
             CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount REAL, at INTEGER, note TEXT, picture BLOB); \
             INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             SELECT i, 'name ' || i, i / 3.0, i * 1000, CASE i % 3 WHEN 0 THEN NULL ELSE hex(randomblob(16)) END, \
             randomblob(32) FROM n"
        ))
        .unwrap();
    connection
}

fn ours(connection: &Connection, schema: &Schema) -> Duration {
    time(|| Fingerprint::of(connection, schema, schema).unwrap()).0
}

fn bare(connection: &Connection) -> Duration {
    let read = || {
        let mut statement = connection.prepare("SELECT * FROM t").unwrap();
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut seen = 0_usize;
        while let Some(row) = rows.next().unwrap() {
            for at in 0..width {
                seen += match row.get_ref(at).unwrap() {
                    ValueRef::Null => 1,
                    ValueRef::Integer(number) => number as usize & 1,
                    ValueRef::Real(number) => number.to_bits() as usize & 1,
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                };
            }
        }
        seen
    };
    let (elapsed, seen) = time(read);
    assert!(seen > 0);
    elapsed
}

/// The most memory that the process has while it does something, in KiB; Linux alone tells
/// (`proc_pid_clear_refs(5)`: 5 forgets the most so far).
fn peak(act: impl FnOnce()) -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    act();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
