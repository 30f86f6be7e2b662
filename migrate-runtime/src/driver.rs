//! What the runner asks of a database. A dialect, or a script instead of a database, is a driver; the runner is one.

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg_attr(
    not(feature = "postgres"),
    expect(unreachable_pub, reason = "the driver that hands these on to programs is left out")
)]
mod postgres_sql;
pub mod recording;
pub mod sqlite;
mod version_table;

use std::path::Path;
use std::time::Duration;

use build_support::checksum::Checksum;
use build_support::revision::RevisionId;
use build_support::token::Dialect;

use crate::connection::DatabaseError;
use crate::history::{AppliedRevision, History, State};
use crate::sqlite::{Newest, StoreError};

pub use self::version_table::VersionTable;

/// How the statements of a part of a run are held together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Foreign keys are not enforced while the statements run; they are checked before the commit.
    Deferred,
    /// Foreign keys are enforced, so that deletes cascade (`-- migrate:foreign-keys on`).
    Immediate,
}

/// A database as the runner sees it.
pub trait Driver {
    /// By whose rules migrations are read.
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    /// The name of the version table, without its schema; empty where nobody could name it.
    fn table_name(&self) -> &str {
        ""
    }

    /// Starts a transaction that no other runner can share, waiting for one that is under way.
    ///
    /// # Errors
    /// A busy database after `wait`, or what the database says.
    fn begin(
        &mut self,
        enforcement: Enforcement,
        wait: Duration,
        waiting: &mut dyn FnMut(),
    ) -> Result<(), DatabaseError>;

    /// Keeps what the transaction did.
    ///
    /// # Errors
    /// What the database says; the transaction is then still open.
    fn commit(&mut self, wait: Duration) -> Result<(), DatabaseError>;

    /// Takes back what the transaction did, where one is open. It never fails: a connection that cannot even do
    /// this is closed by its owner, which has the same effect.
    fn rollback(&mut self);

    /// Whether a transaction is open: the runner's, or before it has begun one, the program's own.
    ///
    /// # Errors
    /// What the database says.
    fn in_transaction(&mut self) -> Result<bool, DatabaseError>;

    /// Reads the version table; a database without one has an empty history.
    ///
    /// # Errors
    /// What the database says, and damaged rows.
    fn history(&mut self) -> Result<History, StoreError>;

    /// The newest row of a package, in one look-up; `None` where there is no row or no version table.
    ///
    /// # Errors
    /// What the database says.
    fn newest(&mut self, package: &str) -> Result<Option<Newest>, StoreError>;

    /// Makes the version table where it is not there.
    ///
    /// # Errors
    /// What the database says.
    fn ensure_table(&mut self) -> Result<(), StoreError>;

    /// The down text that was stored when a revision was applied.
    ///
    /// # Errors
    /// What the database says.
    fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError>;

    /// Runs one statement of a migration.
    ///
    /// # Errors
    /// What the database says.
    fn execute(&mut self, statement: &str) -> Result<(), DatabaseError>;

    /// Runs the last statement of a revision, after which [`Driver::end_step`] is called: where a question takes a way of its
    /// own, what is asked there can go with the statement.
    ///
    /// # Errors
    /// What the database says of the statement.
    fn execute_last(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.execute(statement)
    }

    /// The rows that stand in the way of a statement that has failed, a line each; none where none are known. Asked
    /// before anything else is, and changes nothing.
    fn offending_rows(&mut self, statement: &str, error: &DatabaseError) -> Vec<String>;

    /// Called when the statements of a revision have run: what a server would only check at the commit is checked now, in
    /// the revision that it is about, and settings that they have changed are as before. False where the run's transaction
    /// turns out to have been ended.
    ///
    /// # Errors
    /// What does not hold; what the database says.
    fn end_step(&mut self) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    /// Runs one query of a verify section, which can write nothing; gives the value that was not true, as text, where
    /// one was not.
    ///
    /// # Errors
    /// What the database says.
    fn verify(&mut self, query: &str) -> Result<Option<String>, DatabaseError>;

    /// Records a revision.
    ///
    /// # Errors
    /// What the database says.
    fn record(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError>;

    /// Says of a recorded `no-transaction` revision how it stands.
    ///
    /// # Errors
    /// What the database says; a record that is not there.
    fn mark(&mut self, package: &str, id: &RevisionId, state: State, elapsed_ms: i64) -> Result<(), StoreError>;

    /// Records that a revision's text is another one that does the same: its checksum and its down.
    ///
    /// # Errors
    /// What the database says.
    fn amend(
        &mut self,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError>;

    /// Gives all records of a package to another key; also where revisions of other packages depend on them.
    ///
    /// # Errors
    /// What the database says.
    fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError>;

    /// Removes a revision's record.
    ///
    /// # Errors
    /// What the database says; a record that is not there.
    fn forget(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError>;

    /// Brings the count and the schema hash of each package's newest row up to date.
    ///
    /// # Errors
    /// What the database says.
    fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError>;

    /// Looks, once, at the foreign keys that are broken already, before statements that may break more. `rows` says
    /// whether rows have to be looked at, or the tables' definitions alone.
    ///
    /// # Errors
    /// What the database says.
    fn look_at_keys(&mut self, rows: bool) -> Result<usize, StoreError>;

    /// The foreign keys that are broken and were not when they were looked at first, a line each.
    ///
    /// # Errors
    /// What the database says.
    fn newly_broken_keys(&mut self) -> Result<Vec<String>, StoreError>;

    /// Takes the lock of a run that commits more than once, and keeps it until [`Driver::release_split`]; gives whether
    /// it was free.
    ///
    /// # Errors
    /// A lock that cannot be made.
    fn hold_split(&mut self) -> Result<bool, DatabaseError>;

    /// Lets that lock go, where it is held.
    fn release_split(&mut self);

    /// How long was waited for a lock of another session, where the last thing that failed is that it did not come, and
    /// nothing else was wrong: once it is rolled back, it can be tried again. Never where a run's own lock keeps all others
    /// out.
    fn missed_lock(&self) -> Option<Duration> {
        None
    }

    /// The sessions that were in its way and still are, a line each, where they can be seen. Asked outside of a
    /// transaction; it never fails, because what it is asked after is what counts.
    fn in_the_way(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What interrupted statements have left behind that is of no use to anybody, as statements that remove it. It is
    /// asked of the database's own lists, and changes nothing.
    ///
    /// # Errors
    /// What the database says.
    fn left_behind(&mut self) -> Result<Vec<String>, DatabaseError> {
        Ok(Vec::new())
    }

    /// Copies the database to a new file.
    ///
    /// # Errors
    /// A file that is there already; a database that is not copied like this.
    fn back_up(&mut self, to: &Path) -> Result<(), DatabaseError>;
}
