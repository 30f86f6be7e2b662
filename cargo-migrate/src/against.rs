//! The tree as it would be after a merge with another branch, judged without a checkout.
//!
//! Three sets of files meet: ours as they stand in the work tree, committed or not; theirs at the other commit; and those
//! of the commit from which both have come. What a merge makes of them is again a set of files and a lock, and is asked
//! what every tree is asked; what two revisions do to one table is asked of SQLite.

mod git;
mod judge;
mod merged;
mod side;
mod tables;

use build_support::problem::printable;

use crate::app::Opened;
use crate::failure::Result;
use crate::report::many;

pub(crate) use git::OF_HOOKS;
pub use git::{NO_GIT, NO_MERGE_BASE, NO_REPOSITORY, UNKNOWN_REF};
pub use judge::{FORKED_HEADS, forked};
pub use merged::{ADDED_TWICE, CHANGED_TWICE};
pub use tables::{MERGE_FAILS, NOT_REPLAYED, SAME_TABLE};

/// The other side of a merge, and what both sides have come from.
#[derive(Debug)]
pub struct Against {
    /// The ref as it was typed, ready to be shown.
    reference: String,
    base: side::Side,
    theirs: side::Side,
}

impl Against {
    /// Reads what git has of the migrations folder at a ref and at the merge base.
    ///
    /// # Errors
    /// [`NO_GIT`], [`NO_REPOSITORY`], [`UNKNOWN_REF`], [`NO_MERGE_BASE`].
    pub fn read(reference: &str, opened: &Opened) -> Result<Self> {
        let repository = git::Repository::of(opened.directory.path())?;
        let commit = repository.commit(reference)?;
        let base = repository.merge_base(&commit, reference)?;
        let shown = printable(reference);
        let theirs = side::Side::read(&repository, &commit, &shown)?;
        let base = side::Side::read(&repository, &base, &shown)?;
        Ok(Self { reference: shown, base, theirs })
    }

    /// What is merged, in a line.
    #[must_use]
    pub fn looks_at(&self, opened: &Opened) -> String {
        let (ours, theirs) = (self.only_ours(opened).count(), self.only_theirs(opened).count());
        let both = self.theirs.files.keys().filter(|id| opened.graph.find(id.as_str()).is_some()).count();
        let of = |count: usize| many(count, "revision");
        format!(
            "the merge with `{}`: {} of this branch alone, {} of that one alone, {both} of both",
            self.reference,
            of(ours),
            of(theirs)
        )
    }
}
