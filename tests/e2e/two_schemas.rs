//! Two schemas as SQL, rows in the first one, and what is generated between them: run there and back, and held against
//! what SQLite says.

use cargo_migrate::autogenerate::{Outcome, propose};
use cargo_migrate::ddl::Fills;
use cargo_migrate::diff;
use cargo_migrate::project::settings::{ColumnOrder, SqliteVersion};
use cargo_migrate::proof::{Proposal, State, Terms, section};
use cargo_migrate::renames::Said;
use cargo_migrate::scratch;
use rusqlite::Connection;

use crate::database_facts::{facts, run, texts};

/// From one schema to another.
pub struct Change {
    from: State,
    to: State,
    said: Said,
    fills: Fills,
    order: ColumnOrder,
    minimum: SqliteVersion,
}

/// A database with rows on its way to another schema.
pub struct Journey {
    change: Change,
    pub proposal: Proposal,
    pub database: Connection,
}

fn state(sql: &str) -> State {
    let connection = scratch::empty().unwrap();
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    State::of(connection, "_cargo_migrate").unwrap()
}

impl Change {
    pub fn new(from: &str, to: &str) -> Self {
        Self {
            from: state(from),
            to: state(to),
            said: Said { no_others: true, ..Said::default() },
            fills: Fills::new(),
            order: ColumnOrder::Any,
            minimum: SqliteVersion::default(),
        }
    }

    pub fn in_order(mut self) -> Self {
        self.order = ColumnOrder::Exact;
        self
    }

    pub fn minimum(mut self, major: u32, minor: u32) -> Self {
        self.minimum = SqliteVersion(major, minor, 0);
        self
    }

    pub fn rename_table(mut self, old: &str, new: &str) -> Self {
        self.said.tables.push((old.to_owned(), new.to_owned()));
        self
    }

    pub fn rename(mut self, table: &str, old: &str, new: &str) -> Self {
        self.said.columns.push((table.to_owned(), old.to_owned(), new.to_owned()));
        self
    }

    pub fn fill(mut self, table: &str, column: &str, value: &str) -> Self {
        self.fills.insert((table.to_owned(), column.to_owned()), value.to_owned());
        self
    }

    pub fn outcome(&self) -> Result<Outcome, String> {
        let terms = Terms { order: self.order, minimum: self.minimum, version_table: "_cargo_migrate" };
        propose(&self.from, &self.to, &self.said, &self.fills, &terms).map_err(|failure| {
            failure.problems().iter().map(|problem| format!("{} {:?}\n", problem.message(), problem.notes())).collect()
        })
    }

    #[track_caller]
    pub fn proposal(&self) -> Proposal {
        match self.outcome() {
            Ok(Outcome::Proposal(proposal)) => *proposal,
            other => panic!("{other:?}"),
        }
    }

    /// What the upgrade does.
    #[track_caller]
    pub fn up(&self) -> String {
        section(&self.proposal().up)
    }

    /// A database of the first schema after these statements.
    #[track_caller]
    pub fn with(self, rows: &str) -> Journey {
        let proposal = self.proposal();
        assert!(proposal.unproved.is_empty(), "without rows in the proof: {:?}", proposal.unproved);
        let database = scratch::copy(&self.from.connection).unwrap();
        database.execute_batch(rows).unwrap_or_else(|error| panic!("{error}\n{rows}"));
        Journey { change: self, proposal, database }
    }
}

impl Journey {
    /// Runs the upgrade, which has to land on the wanted schema.
    #[track_caller]
    pub fn there(self) -> Self {
        self.run(&section(&self.proposal.up), &self.change.to);
        self
    }

    /// Runs the downgrade, which has to land on the first one.
    #[track_caller]
    pub fn back(self) -> Self {
        self.run(&section(&self.proposal.down), &self.change.from);
        self
    }

    #[track_caller]
    fn run(&self, text: &str, wanted: &State) {
        run(&self.database, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let landed = State::of(scratch::copy(&self.database).unwrap(), "_cargo_migrate").unwrap();
        let left = diff::changes(&landed.schema, &wanted.schema, self.change.order);
        assert!(left.is_empty(), "{left:#?}\n{text}");
        let ordered = self.change.order == ColumnOrder::Exact;
        assert_eq!(facts(&self.database, ordered), facts(&wanted.connection, ordered), "{text}");
        assert_eq!(texts(&self.database, "PRAGMA integrity_check"), ["'ok'"], "{text}");
        assert_eq!(texts(&self.database, "PRAGMA foreign_key_check"), [""; 0], "{text}");
    }

    /// A query has these values in its first column.
    #[track_caller]
    pub fn has(self, query: &str, values: &[&str]) -> Self {
        assert_eq!(texts(&self.database, query), values, "{query}\n{}", section(&self.proposal.up));
        self
    }

    /// The upgrade says that it loses these, and nothing else.
    #[track_caller]
    pub fn loses(self, losses: &[&str]) -> Self {
        let found: Vec<String> = self.proposal.losses.iter().map(ToString::to_string).collect();
        assert_eq!(found, losses);
        self
    }

    /// Something happens between upgrade and downgrade.
    #[track_caller]
    pub fn then(self, sql: &str) -> Self {
        self.database.execute_batch(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        self
    }
}
