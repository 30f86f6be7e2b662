//! What both programs do with their connections, and print: all that a start of a program can meet.

use std::ops::ControlFlow;
use std::time::Duration;

use migrate_runtime::Migrations;
use migrate_runtime::connection::{Connection, Value};

/// The program as it was released first, as it is, and with a migration that fails.
static OLDER: Migrations = migrate_runtime::embed!("../migrations/older");
static CURRENT: Migrations = migrate_runtime::embed!("../migrations/current");
static FAILING: Migrations = migrate_runtime::embed!("../migrations/failing");

/// Opens a connection of the program's own library to a database file.
type Open<'a> = &'a dyn Fn(&str) -> Box<dyn Connection>;

/// Runs the migrations on the database that the command line names.
pub fn print(open: Open<'_>) {
    let path = std::env::args().nth(1).expect("the path of a database that is not there yet");
    let mut database = open(&path);
    let db = &mut *database;
    db.execute("PRAGMA foreign_keys = ON", &[]).unwrap();
    db.execute("PRAGMA busy_timeout = 0", &[]).unwrap();

    println!("values: {:?}", all(db, "SELECT ?1, ?2, ?3, ?4, ?5, CAST(x'61FF' AS TEXT)", &values()));
    println!("status: {:?}", CURRENT.status(db).unwrap());
    println!("older program: {:?}", OLDER.upgrade(db).unwrap());
    println!("books: {}", books(db));
    println!("this program: {:?}", CURRENT.upgrade(db).unwrap());
    println!("books after the rebuild of their parent: {}", books(db));
    println!("foreign keys are enforced again: {:?}", all(db, "PRAGMA foreign_keys", &[]));
    println!("second start: {:?}", CURRENT.upgrade(db).unwrap());

    println!("failing program: {}", FAILING.upgrade(db).unwrap_err());
    println!("in a transaction: {}", db.in_transaction().unwrap());
    println!("columns of books: {:?}", all(db, "SELECT count(*) FROM pragma_table_info('books')", &[]));
    println!("status: {:?}", FAILING.status(db).unwrap());
    println!("older program: {}", OLDER.upgrade(db).unwrap_err());

    let mut other = open(&path);
    other.execute("BEGIN IMMEDIATE", &[]).unwrap();
    println!("beside another: {}", FAILING.migrator().wait(Duration::ZERO).upgrade(db).unwrap_err());
    other.execute("ROLLBACK", &[]).unwrap();
    db.execute("BEGIN", &[]).unwrap();
    println!("in the program's transaction: {}", CURRENT.upgrade(db).unwrap_err());
    db.execute("COMMIT", &[]).unwrap();
    println!("taken back: {:?}", CURRENT.downgrade_to(db, "001_shelves").unwrap());
    println!("books: {}", books(db));
    let wrong = db.execute("INSERT INTO shelves (id) VALUES (1)", &[]).unwrap_err();
    println!("{:?}: {wrong}", wrong.kind);
}

fn values() -> [Value; 5] {
    [Value::Null, Value::Integer(i64::MIN), Value::Real(0.5), Value::Text("é".to_owned()), Value::Blob(vec![0, 255])]
}

fn books(database: &mut dyn Connection) -> usize {
    let mut count = 0;
    let counted = database.query("SELECT id FROM books", &[], &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    counted.map(|()| count).unwrap()
}

/// The values of the first row of two.
fn all(database: &mut dyn Connection, query: &str, params: &[Value]) -> Vec<Value> {
    let mut found = Vec::new();
    let rows = format!("{query}{}", if params.is_empty() { "" } else { " UNION ALL SELECT 1, 2, 3, 4, 5, 6" });
    let read = database.query(&rows, params, &mut |row| {
        found.extend_from_slice(row);
        ControlFlow::Break(())
    });
    read.map(|()| found).unwrap()
}
