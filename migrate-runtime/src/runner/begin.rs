//! How whatever changes the version table begins: with the database's lock, and with nobody in the middle of a run.

use std::time::{Duration, Instant};

use build_support::problem::Problem;

use super::problems::busy;
use super::{database_problem, store_problem};
use crate::driver::{Driver, Enforcement};
use crate::history::{AppliedRevision, History};

/// Begins a transaction and reads the history in it. Where a revision is recorded as under way, the lock of the runs
/// that commit more than once is held too when this returns: while such a run lives it holds that lock, and is waited
/// for, so that what is still under way then was interrupted.
///
/// # Errors
/// A run of another process that takes longer than `wait`; what the database says.
pub fn begin(driver: &mut dyn Driver, wait: Duration, waiting: &mut dyn FnMut()) -> Result<History, Problem> {
    let mut patience = Patience::new(wait);
    loop {
        driver.begin(Enforcement::Deferred, wait, waiting).map_err(|error| database_problem(&error))?;
        let history = driver.history().map_err(|error| store_problem(&error))?;
        let Some(row) = history.rows().iter().find(|row| row.is_half_way()) else { return Ok(history) };
        if driver.hold_split().map_err(|error| database_problem(&error))? {
            return Ok(history);
        }
        driver.rollback();
        patience.pause(under_way(row), waiting)?;
    }
}

/// What is said of a row whose run lives.
#[must_use]
pub fn under_way(row: &AppliedRevision) -> Problem {
    busy(format!("a run of `{}` is under way in another process", row.id))
}

/// What is said of a run that lives between two of its commits.
pub(super) fn between_commits() -> Problem {
    busy("another process is in the middle of a run that commits more than once")
}

/// How long another run is waited for.
pub(super) struct Patience {
    start: Instant,
    wait: Duration,
    told: bool,
}

impl Patience {
    pub(super) fn new(wait: Duration) -> Self {
        Self { start: Instant::now(), wait, told: false }
    }

    /// Waits a little, and says so the first time; gives the problem once that has taken too long.
    pub(super) fn pause(&mut self, problem: Problem, waiting: &mut dyn FnMut()) -> Result<(), Problem> {
        if self.start.elapsed() >= self.wait {
            return Err(problem);
        }
        if !std::mem::replace(&mut self.told, true) {
            waiting();
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}
