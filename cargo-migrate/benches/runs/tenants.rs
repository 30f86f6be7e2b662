//! Many databases of one kind, beside a loop of a shell that gives the same statements to SQLite's own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::pairs::{Pairs, time};
use crate::{command, generate};

/// The three revisions that are pending for each: a table with an index and rows, a column, an index.
const UPGRADES: [(&str, &str); 3] = [
    (
        "b1",
        "CREATE TABLE invoices (\n    id INTEGER PRIMARY KEY,\n    customer INTEGER NOT NULL,\n    total REAL NOT NULL DEFAULT 0\n);\n\
         CREATE INDEX invoices_by_customer ON invoices (customer);\nINSERT INTO invoices (customer) VALUES (1), (2), (3);\n",
    ),
    ("b2", "ALTER TABLE customers ADD COLUMN mail TEXT;\n"),
    ("b3", "CREATE INDEX customers_by_mail ON customers (mail);\n"),
];

/// Measures with so many databases, which have a revision and some rows.
pub fn measure(count: usize, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    generate::project(folder, 0);
    let first = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n\
        CREATE INDEX customers_by_name ON customers (name);\n";
    fs::write(folder.join("migrations/b0.sql"), first).unwrap();
    command::upgrade(folder);
    let template = rusqlite::Connection::open(folder.join("app.db")).unwrap();
    let rows = "INSERT INTO customers (name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
        SELECT 'customer ' || i FROM n";
    template.execute_batch(rows).unwrap();
    drop(template);
    let (mut parent, mut script) = ("b0", "BEGIN IMMEDIATE;\n".to_owned());
    for (id, statements) in UPGRADES {
        let text = format!("-- migrate:parent {parent}\n-- migrate:up\n{statements}");
        fs::write(folder.join(format!("migrations/{id}.sql")), text).unwrap();
        script.push_str(statements);
        parent = id;
    }
    script.push_str("COMMIT;\n");
    fs::write(folder.join("up.sql"), script).unwrap();
    for jobs in ["1", "2"] {
        let pairs = Pairs::measure(rounds, || ours(folder, count, jobs), || shell(folder, count));
        println!(
            "tenants  {count:>6} databases, 3 revisions each, --jobs {jobs}, beside a shell loop  {}",
            pairs.ratio()
        );
    }
}

/// Every database as it was before, and on the disk: what a round writes is not what the next one waits for.
fn fresh(folder: &Path, count: usize) {
    let tenants = folder.join("tenants");
    let _ = fs::remove_dir_all(&tenants);
    fs::create_dir(&tenants).unwrap();
    for number in 0..count {
        fs::copy(folder.join("app.db"), tenants.join(format!("{number:05}.db"))).unwrap();
    }
    assert!(Command::new("sync").status().unwrap().success());
}

fn ours(folder: &Path, count: usize, jobs: &str) -> Duration {
    fresh(folder, count);
    let mut command = command::ours(folder, &["-q", "upgrade", "--each", "tenants/*.db", "--jobs", jobs]);
    let (elapsed, output) = time(|| command.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    elapsed
}

/// As a person would write it.
fn shell(folder: &Path, count: usize) -> Duration {
    fresh(folder, count);
    let mut command = Command::new("sh");
    command.args(["-ec", "for file in tenants/*.db; do sqlite3 -bail \"$file\" < up.sql; done"]);
    command.current_dir(folder).stdin(Stdio::null());
    let (elapsed, status) = time(|| command.status().unwrap());
    assert!(status.success());
    elapsed
}
