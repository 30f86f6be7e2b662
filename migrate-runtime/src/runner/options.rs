//! How a run is made.

use std::time::Duration;

use build_support::problem::Problem;

use crate::plan::{Plan, Step};

/// Which down text a downgrade runs where the stored one and the file's differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownFrom {
    /// The one that was stored when the revision was applied.
    Stored,
    /// The file's.
    File,
}

/// What is done before a run's first statement, with its steps.
pub type Before<'a> = &'a dyn Fn(&[Step]) -> Result<(), Problem>;

/// How a run is made.
pub struct Options<'a> {
    /// Commit after each revision instead of once.
    pub per_revision: bool,
    /// Roll everything back at the end.
    pub dry_run: bool,
    /// How long to wait for another runner, and to try again where a lock of another session does not come. That time
    /// begins anew with each commit.
    pub wait: Duration,
    /// The plan that was confirmed, or meant: where it is another one under the lock, nothing is done.
    pub expected: Option<&'a Plan>,
    /// The database is a copy that is thrown away: how a person would mend it is not told.
    pub on_copy: bool,
    /// Which down text to run where two differ; `None` refuses.
    pub down_from: Option<DownFrom>,
    /// Called once in a run that has something to do, with the lock held and before the first statement: whoever wants a
    /// copy of the database makes it here, with a connection of its own. A problem ends the run.
    pub before: Option<Before<'a>>,
    /// The time, in UTC and RFC 3339, for the version table.
    pub now: &'a dyn Fn() -> String,
    /// The tool's version, for the version table.
    pub tool_version: &'a str,
}

impl<'a> Options<'a> {
    /// A run as it is where nothing else is said: one transaction that is kept, by a plan that nobody has seen.
    #[must_use]
    pub fn new(wait: Duration, now: &'a dyn Fn() -> String, tool_version: &'a str) -> Self {
        Self {
            per_revision: false,
            dry_run: false,
            wait,
            expected: None,
            on_copy: false,
            down_from: None,
            before: None,
            now,
            tool_version,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("per_revision", &self.per_revision)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}
