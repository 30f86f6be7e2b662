//! A transaction that only missed a lock of another session is rolled back and tried again.

use std::time::{Duration, Instant};

use super::{Done, Run};
use crate::event::Event;

/// How long is paused the first time, and at most, where the lock was not waited for longer; each pause is twice the one
/// before.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Since when locks are missed, and how long the next pause is.
pub(super) struct Retries {
    since: Option<Instant>,
    pause: Duration,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self { since: None, pause: PAUSES[0] }
    }
}

impl Run<'_, '_> {
    /// How long may still be waited for others.
    pub(super) fn patience(&self) -> Duration {
        let missed = self.retries.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.options.wait.saturating_sub(missed)
    }

    /// Carries out what one transaction holds, again and again until it misses no lock or the run's wait is over.
    pub(super) fn persistently<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Done<T>) -> Done<T> {
        loop {
            let problems = match attempt(self) {
                Err(problems) => problems,
                done => return done,
            };
            let Some(waited) = self.driver.missed_lock() else { return Err(problems) };
            // Whoever is in the way can only be asked for, and let by, once nothing here holds a lock any more.
            self.driver.rollback();
            self.done.truncate(self.committed);
            self.retries.since.get_or_insert_with(|| Instant::now().checked_sub(waited).unwrap_or_else(Instant::now));
            let (patience, [problem, ..]) = (self.patience(), &problems[..]) else { return Err(problems) };
            if patience.is_zero() {
                let others = self.driver.in_the_way();
                let told = others.into_iter().fold(problem.clone(), |problem, other| problem.note(other));
                return Err(vec![told.help("or end the session that is in the way")]);
            }
            // Whoever stands behind what waits for a lock stands still as long. So the pause is at least as long as the wait
            // was, and others have half of the time.
            let pause = self.retries.pause.max(waited).min(patience);
            self.retries.pause = (self.retries.pause * 2).min(PAUSES[1]);
            (self.observer)(Event::Retrying { problem, kept: self.committed, pause });
            std::thread::sleep(pause);
        }
    }
}
