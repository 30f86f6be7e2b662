//! What a run tells its observer: the command's status lines, an application's log.

use std::time::Duration;

use build_support::problem::Problem;
use build_support::revision::RevisionId;

use crate::plan::Step;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another runner holds the database; this one waits.
    Waiting,
    /// A lock of another session did not come in time. What was not committed has been rolled back, and is tried again after
    /// a pause.
    Retrying {
        /// What the run would have ended with.
        problem: &'a Problem,
        /// How many of the run's steps have been committed before.
        kept: usize,
        /// How long it pauses.
        pause: Duration,
    },
    /// The history has been read and the plan made, under the lock.
    Planned(&'a [Step]),
    /// A step begins.
    Started(&'a Step),
    /// A step's statements have run; they count only once `Committed` follows.
    Finished(&'a Step, Duration),
    /// What has run so far is kept.
    Committed,
    /// The database has revisions that this program does not know, and its policy is to go on.
    Ahead(&'a [RevisionId]),
    /// Rows that broke a foreign key before the run still do; how many.
    BrokenBefore(usize),
}
