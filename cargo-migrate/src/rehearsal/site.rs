//! What a rehearsal asks of a copy, whichever kind of database it is: the loop over the revisions and its rules are the
//! same for all of them.

mod counted;
pub(super) mod file;
mod objects;
pub(super) mod server;
mod sums;
mod tables;

use std::rc::Rc;

use migrate_runtime::database::Database;

use super::compared::{Held, Layout, Line};
use super::{Copy, Interrupts, Start, Verdict};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::fingerprint::{Difference, Fingerprint};

/// A schema with what its tables hold.
pub(super) struct Moment<S> {
    pub(super) schema: Rc<S>,
    pub(super) rows: Fingerprint,
}

/// What is to be told of rows: each thing in a line, and why there are no numbers where there could have been some.
pub(super) struct Told {
    pub(super) lines: Vec<Line>,
    pub(super) without_numbers: Option<Failure>,
}

/// A copy with the connection to it.
pub(super) trait Site: Sized {
    /// What is compared besides rows.
    type Schema: Layout;
    /// What counts rows that statements change, at a moment.
    type Tally;
    /// Constraints that are not known to hold.
    type Unchecked;

    /// Makes a copy and opens it.
    fn make(app: App<'_>, opened: &Opened, start: Start<'_>, interrupts: &Interrupts) -> Result<Self>;

    /// What the runner moves.
    fn database(&mut self) -> &mut dyn Database;

    /// What is there now, without the version table.
    fn schema(&mut self) -> Result<Self::Schema>;

    /// What the tables of a schema, which is that of now, hold; rows are told apart by the keys of another one.
    fn rows(&mut self, schema: &Self::Schema, keys: &Self::Schema) -> Result<Fingerprint>;

    /// How much each table and each column of a schema, which is that of now, holds.
    fn held(&mut self, schema: &Self::Schema) -> Result<Held>;

    /// Each thing that a downgrade has left otherwise than it was.
    fn not_restored(before: &Self::Schema, back: &Self::Schema) -> Vec<String>;

    /// Each thing that the second upgrade makes otherwise than the first.
    fn second_time(first: &Self::Schema, second: &Self::Schema) -> Vec<String>;

    /// What is not as it was, counted as far as it can be. `pristine` makes a second copy of the moment before.
    fn lines(
        &mut self,
        was: &Moment<Self::Schema>,
        back: &Moment<Self::Schema>,
        differences: &[Difference],
        pristine: &mut dyn FnMut() -> Result<(Self, Moment<Self::Schema>)>,
    ) -> Result<Told>;

    /// Where the count of rows stands.
    fn tally(&mut self) -> Self::Tally;

    /// How many rows have been inserted, changed or deleted since then; `None` where that is not known for certain.
    fn changed(&mut self, since: &Self::Tally) -> Option<u64>;

    /// What the database itself says of what it is stored in.
    fn integrity(&mut self, faults: &mut Vec<String>) -> Verdict;

    /// The constraints that are not known to hold.
    fn unchecked(&mut self) -> Result<Self::Unchecked>;

    /// What is to be known of those that have come since.
    fn broken(&mut self, before: &Self::Unchecked) -> Result<Vec<String>>;

    /// The schema whose tables may be named without it.
    fn home(&mut self) -> Option<String>;

    /// Ends the work on the copy.
    fn into_copy(self) -> Copy;
}
