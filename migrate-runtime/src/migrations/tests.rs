//! Parts that share a database, started as a program starts them.

use std::ops::ControlFlow;

use build_support::graph::CYCLE;
use rusqlite::Connection as Database;

use super::*;
use crate::connection::{Connection, DatabaseError, Value};
use crate::migrator::IfAhead;
use crate::plan::{DEPENDED_ON, DEPENDENCY_NOT_APPLIED, DUPLICATE_PACKAGE, MISSING_DEPENDENCY};
use crate::runner::{FORBIDDEN_STATEMENT, MADE_TWICE};

type Files = &'static [(&'static str, &'static str)];

const CUSTOMERS: (&str, &str) =
    ("c1", "-- migrate:up\nCREATE TABLE customers (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE customers;\n");
const NAMES: (&str, &str) = (
    "c2",
    "-- migrate:up\nALTER TABLE customers ADD COLUMN name TEXT;\n-- migrate:down\nALTER TABLE customers DROP COLUMN name;\n",
);
/// By its name it comes before what it depends on.
const ORDERS: (&str, &str) = (
    "a1",
    "-- migrate:depends accounts/c1\n-- migrate:up\nCREATE TABLE orders (customer REFERENCES customers (id));\n\
     -- migrate:down\nDROP TABLE orders;\n",
);

/// What `embed!` makes of these files.
fn embedded(package: &'static str, files: Files) -> &'static Migrations {
    let without_head = Migrations::embedded(package, "migrations", files, None);
    let graph = without_head.graph().unwrap();
    let [head] = graph.lineage().heads()[..] else { panic!("several heads") };
    let head: &'static str = graph.seal(head).to_string().leak();
    Box::leak(Box::new(Migrations::embedded(package, "migrations", files, Some(head))))
}

fn accounts() -> &'static Migrations {
    embedded("accounts", &[CUSTOMERS, NAMES])
}

fn orders() -> &'static Migrations {
    embedded("orders", &[ORDERS])
}

fn database() -> Database {
    Database::open_in_memory().unwrap()
}

fn names(ids: &[RevisionId]) -> Vec<&str> {
    ids.iter().map(RevisionId::as_str).collect()
}

fn tables(database: &Database) -> Vec<String> {
    let mut tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Refused with this code, before anything was made.
#[track_caller]
fn refused<const N: usize>(parts: [&'static Migrations; N], code: Code) -> Error {
    let mut database = database();
    let error = Migrations::join(parts).upgrade(&mut database).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(tables(&database), [""; 0]);
    error
}

#[test]
fn parts_are_applied_together_each_revision_after_what_it_depends_on() {
    let (mut database, joined) = (database(), Migrations::join([orders(), accounts()]));
    let [of_orders, of_accounts] = joined.status(&mut database).unwrap();
    assert_eq!((names(&of_orders.pending), names(&of_accounts.pending)), (vec!["a1"], vec!["c1", "c2"]));
    let behind = joined.verify(&mut database).unwrap_err();
    assert_eq!(behind.code(), BEHIND);
    assert_eq!(tables(&database), [""; 0]);

    assert_eq!(names(&joined.upgrade(&mut database).unwrap().done), ["c1", "a1", "c2"]);
    assert_eq!(tables(&database), ["_cargo_migrate", "customers", "orders"]);
    joined.verify(&mut database).unwrap();
    let [of_orders, of_accounts] = joined.status(&mut database).unwrap();
    assert_eq!((names(&of_orders.applied), names(&of_accounts.applied)), (vec!["a1"], vec!["c1", "c2"]));
    // To each part the rows of the other one are somebody else's.
    orders().verify(&mut database).unwrap();
    accounts().verify(&mut database).unwrap();
}

/// A connection that counts what it is asked.
struct Counting(Database, usize);

impl Connection for Counting {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<(), DatabaseError> {
        self.1 += 1;
        Connection::execute(&mut self.0, sql, params)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&[Value]) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        self.1 += 1;
        Connection::query(&mut self.0, sql, params, each)
    }

    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        self.0.in_transaction()
    }
}

#[test]
fn a_second_start_costs_one_look_up_for_each_part_and_does_nothing() {
    let (mut counting, joined) = (Counting(database(), 0), Migrations::join([accounts(), orders()]));
    joined.upgrade(&mut counting).unwrap();
    counting.1 = 0;
    assert_eq!(joined.upgrade(&mut counting).unwrap(), Outcome::default());
    joined.verify(&mut counting).unwrap();
    assert_eq!(counting.1, 2 * 2);
}

#[test]
fn a_connection_may_be_lent_as_it_is_boxed_or_behind_its_trait() {
    let mut boxed: Box<dyn Connection> = Box::new(Counting(database(), 0));
    assert_eq!(names(&accounts().upgrade(&mut boxed).unwrap().done), ["c1", "c2"]);
    let lent: &mut dyn Connection = &mut *boxed;
    accounts().verify(lent).unwrap();
    assert_eq!(names(&accounts().downgrade_to(lent, "base").unwrap().done), ["c2", "c1"]);
    assert_eq!(names(&accounts().pending(lent).unwrap()), ["c1", "c2"]);
}

#[test]
fn a_transaction_of_the_programs_own_stays_open() {
    let mut database = database();
    accounts().upgrade(&mut database).unwrap();
    database.execute_batch("BEGIN; INSERT INTO customers (id) VALUES (1)").unwrap();
    accounts().verify(&mut database).unwrap();
    accounts().status(&mut database).unwrap();
    assert_eq!(orders().verify(&mut database).unwrap_err().code(), BEHIND);
    assert_eq!(accounts().upgrade(&mut database).unwrap_err().code(), crate::migrator::OPEN_TRANSACTION);
    database.execute_batch("COMMIT").unwrap();
    assert_eq!(database.query_row("SELECT count(*) FROM customers", [], |row| row.get(0)), Ok(1));
}

#[test]
fn what_fails_in_one_part_is_taken_back_in_all() {
    const BROKEN: Files = &[("z1", "-- migrate:up\nINSERT INTO nothing VALUES (1);\n")];
    let error = refused([accounts(), orders(), embedded("broken", BROKEN)], crate::runner::SQL_ERROR);
    assert!(error.to_string().contains("z1.sql"), "{error}");
}

#[test]
fn what_a_part_depends_on_is_among_the_parts_or_applied_already() {
    let error = refused([orders()], DEPENDENCY_NOT_APPLIED);
    assert!(error.to_string().contains("`a1` depends on `accounts/c1`"), "{error}");

    let mut database = database();
    accounts().upgrade(&mut database).unwrap();
    let done = Migrations::join([orders()]).upgrade(&mut database).unwrap().done;
    assert_eq!(names(&done), ["a1"]);
}

#[test]
fn parts_that_do_not_go_together_are_refused_before_anything_runs() {
    const OTHERS: Files = &[("n1", "CREATE TABLE IF NOT EXISTS customers (email TEXT);")];
    let error = refused([accounts(), embedded("newsletter", OTHERS)], MADE_TWICE);
    assert!(error.to_string().contains("`customers`"), "{error}");

    const UNKNOWN: Files = &[("u1", "-- migrate:depends accounts/c7\n-- migrate:up\nCREATE TABLE u (x);\n")];
    refused([accounts(), embedded("unknown", UNKNOWN)], MISSING_DEPENDENCY);
    refused([accounts(), accounts()], DUPLICATE_PACKAGE);

    const FORTH: Files = &[("f1", "-- migrate:depends back/b1\n-- migrate:up\nCREATE TABLE f (x);\n")];
    const BACK: Files = &[("b1", "-- migrate:depends forth/f1\n-- migrate:up\nCREATE TABLE b (x);\n")];
    refused([embedded("forth", FORTH), embedded("back", BACK)], CYCLE);
}

#[test]
fn a_program_may_be_older_than_its_database_in_one_part() {
    let mut database = database();
    Migrations::join([accounts(), orders()]).upgrade(&mut database).unwrap();
    let older = Migrations::join([embedded("accounts", &[CUSTOMERS]), orders()]);
    let error = older.upgrade(&mut database).unwrap_err();
    assert_eq!(error.code(), AHEAD);
    assert!(error.to_string().contains("c2"), "{error}");
    let [of_accounts, of_orders] = older.status(&mut database).unwrap();
    assert_eq!((names(&of_accounts.ahead), names(&of_orders.ahead)), (vec!["c2"], vec![]));

    let told = older.migrator().if_ahead(IfAhead::Warn).upgrade(&mut database).unwrap();
    assert_eq!((names(&told.done), names(&told.ahead)), (vec![], vec!["c2"]));
}

#[test]
fn a_part_goes_back_alone_only_where_no_other_one_stands_on_it() {
    let (mut database, joined) = (database(), Migrations::join([accounts(), orders()]));
    joined.upgrade(&mut database).unwrap();
    let error = accounts().downgrade_to(&mut database, "base").unwrap_err();
    assert_eq!(error.code(), DEPENDED_ON);
    assert!(error.to_string().contains("orders/a1"), "{error}");
    assert_eq!(names(&accounts().downgrade_to(&mut database, "c1").unwrap().done), ["c2"]);

    let done = joined.migrator().downgrade_to(&mut database, "base").unwrap().done;
    assert_eq!(names(&done), ["a1", "c1"]);
    assert_eq!(tables(&database), ["_cargo_migrate"]);
}

#[test]
fn migrations_that_are_postgresqls_run_on_sqlite_where_both_read_them_and_nothing_is_taken_on_trust() {
    const PLAIN: Files = &[("a1", "-- migrate:up\nCREATE TABLE a (x TEXT DEFAULT 'it''s');\n")];
    let as_postgres = |files| Migrations::embedded("app", "migrations", files, None).of_postgres();
    let mut plain = database();
    as_postgres(PLAIN).upgrade(&mut plain).unwrap();
    // The same history by either reading.
    embedded("app", PLAIN).verify(&mut plain).unwrap();

    // PostgreSQL sees a comment here, and this database a COMMIT.
    const HIDDEN: Files = &[("a1", "-- migrate:up\nCREATE TABLE a (x);\n/* /* */ SELECT 1;\nCOMMIT; -- */ */\n")];
    assert!(!as_postgres(HIDDEN).graph().unwrap().migrations()[0].controls);
    let mut hidden = database();
    let error = as_postgres(HIDDEN).upgrade(&mut hidden).unwrap_err();
    assert_eq!(error.code(), FORBIDDEN_STATEMENT, "{error}");
    assert_eq!(tables(&hidden), [""; 0]);
}
