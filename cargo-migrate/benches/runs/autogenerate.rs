//! Making a migration with its proof, beside plain SQLite that loads the two schemas.

use std::fmt::Write as _;
use std::time::Duration;

use cargo_migrate::autogenerate::{Outcome, propose};
use cargo_migrate::ddl::Fills;
use cargo_migrate::project::settings::{ColumnOrder, SqliteVersion};
use cargo_migrate::proof::{Proposal, State, Terms};
use cargo_migrate::renames::Said;
use cargo_migrate::scratch;
use rusqlite::Connection;

use crate::pairs::{Pairs, time};

const TABLE: &str = "_cargo_migrate";

/// Measures all that follows the replay of the migrations: both schemas are read, a plan is made and proved both ways.
pub fn measure(tables: usize, rounds: usize) {
    let schemas = Schemas::new(tables);
    let proposal = ours(&schemas).1;
    assert!(proposal.unproved.is_empty(), "tables without rows prove nothing: {:?}", proposal.unproved);
    let pairs = Pairs::measure(rounds, || ours(&schemas).0, || time(|| schemas.load()).0);
    println!("autogen  {tables:>6} tables     proved both ways beside loading both  {}", pairs.ratio());
}

fn ours(schemas: &Schemas) -> (Duration, Proposal) {
    let (before, after) = schemas.load();
    let renamed = ("part_7".to_owned(), "name".to_owned(), "title".to_owned());
    let said = Said { columns: vec![renamed], no_others: true, ..Said::default() };
    let terms = Terms { order: ColumnOrder::Any, minimum: SqliteVersion::default(), version_table: TABLE };
    let (elapsed, outcome) = time(|| {
        let (from, to) = (State::of(before, TABLE).unwrap(), State::of(after, TABLE).unwrap());
        propose(&from, &to, &said, &Fills::new(), &terms).unwrap()
    });
    match outcome {
        Outcome::Proposal(proposal) => (elapsed, *proposal),
        other => panic!("no migration came of it: {other:?}"),
    }
}

/// A schema and what becomes of it by ten changes, each of another kind.
struct Schemas {
    before: String,
    after: String,
}

impl Schemas {
    fn new(tables: usize) -> Self {
        assert!(tables > 20, "the changes need more than twenty tables");
        let parts = || (0..tables).map(Part);
        let before = parts().map(|part| part.sql()).collect();
        // The last one goes, since no other refers to it, and one that is new comes.
        let kept = parts().take(tables - 1).map(|part| part.changed());
        let after = kept.chain(std::iter::once(Part(tables).sql())).collect();
        Self { before, after }
    }

    fn load(&self) -> (Connection, Connection) {
        let load = |sql: &str| {
            let connection = scratch::empty().unwrap();
            connection.execute_batch(&format!("BEGIN; {sql} COMMIT")).unwrap();
            connection
        };
        (load(&self.before), load(&self.after))
    }
}

/// A table of ten columns with what belongs to it.
struct Part(usize);

impl Part {
    fn sql(&self) -> String {
        let number = self.0;
        let name = format!("part_{number}");
        let parent = format!("part_{}", number / 2);
        let mut sql = format!(
            "CREATE TABLE {name} (\n    id INTEGER PRIMARY KEY{},\n    name TEXT NOT NULL,\n    \
             code TEXT UNIQUE,\n    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'held', 'done')),\n    \
             amount INTEGER NOT NULL DEFAULT 0,\n    share REAL,\n    body BLOB,\n    \
             starts TEXT,\n    ends TEXT,\n    \
             owner INTEGER REFERENCES {parent} (id) ON DELETE CASCADE{}\n);\n\
             CREATE INDEX {name}_by_name ON {name} (name, amount);\n",
            if number.is_multiple_of(4) { " AUTOINCREMENT" } else { "" },
            if number.is_multiple_of(3) { ",\n    CHECK (amount >= 10 AND starts <= ends)" } else { "" },
        );
        if number.is_multiple_of(10) {
            let _ = writeln!(sql, "CREATE VIEW {name}_open AS SELECT id, name FROM {name} WHERE state = 'open';");
            let _ = writeln!(
                sql,
                "CREATE TRIGGER {name}_held AFTER UPDATE OF state ON {name} WHEN new.state = 'held' BEGIN\n    \
                 UPDATE {parent} SET amount = amount + 1 WHERE id = new.owner;\nEND;"
            );
        }
        sql
    }

    /// The same after the changes: each of the first tables has one of them, or none.
    fn changed(&self) -> String {
        let (sql, name) = (self.sql(), format!("part_{}", self.0));
        match self.0 {
            1 => sql.replace("    share REAL,", "    share REAL,\n    note TEXT NOT NULL DEFAULT '',"),
            2 => sql.replace("    body BLOB,\n", ""),
            5 => sql.replace("amount INTEGER", "amount REAL"),
            7 => sql.replace("    name TEXT", "    title TEXT").replace("(name, amount)", "(title, amount)"),
            8 => sql.replace("CASCADE\n)", "CASCADE,\n    CHECK (length(name) > 2)\n)"),
            9 => format!("{sql}CREATE UNIQUE INDEX {name}_by_code ON {name} (code) WHERE code IS NOT NULL;\n"),
            10 => sql.replace("SELECT id, name", "SELECT id, name, amount"),
            20 => sql.replace("amount + 1", "amount + 2"),
            _ => sql,
        }
    }
}
