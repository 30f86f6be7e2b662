//! What is said of a `no-transaction` revision that was interrupted: which way it went, and how a person settles it.

use build_support::problem::{Problem, printable};
use build_support::revision::RevisionId;

use super::{Direction, INTERRUPTED, Step};
use crate::history::{AppliedRevision, State};

/// What is said of a row that is neither applied nor gone.
#[must_use]
pub fn interrupted(row: &AppliedRevision) -> Problem {
    let (what, direction) = match row.state {
        State::Reverting => ("taking it back was interrupted", Direction::Downgrade),
        State::Running | State::Applied => ("a run of it was interrupted", Direction::Upgrade),
    };
    let mut problem = Problem::new(INTERRUPTED, format!("`{}` runs outside a transaction, and {what}", row.id));
    if direction == Direction::Upgrade {
        problem = problem.note(format!("it was started at {}", printable(&row.applied_at)));
    }
    let problem = problem.help("look at the database and see which of its statements took effect");
    with_ways_out(problem, &row.id, direction)
}

/// What is said of a `no-transaction` step that is being interrupted.
#[must_use]
pub fn half_way(step: &Step) -> Problem {
    let problem = Problem::new(INTERRUPTED, format!("`{}` is half-way: it runs outside a transaction", step.id))
        .note("what its statements have committed by now stays, and it is recorded as interrupted")
        .help("look at the database and see which of its statements took effect");
    with_ways_out(problem, &step.id, step.direction)
}

/// Adds what to do by hand and to type then; what is typed says how the database is, whichever way the run went.
pub(crate) fn with_ways_out(problem: Problem, id: &RevisionId, direction: Direction) -> Problem {
    match direction {
        Direction::Upgrade => problem
            .help(format!("finish it by hand, then: `cargo migrate repair --finished {id}`"))
            .help(format!("or undo it by hand, then: `cargo migrate repair --not-applied {id}`")),
        Direction::Downgrade => problem
            .help(format!("finish taking it back by hand, then: `cargo migrate repair --not-applied {id}`"))
            .help(format!("or restore by hand what is gone of it, then: `cargo migrate repair --still-applied {id}`")),
    }
}
