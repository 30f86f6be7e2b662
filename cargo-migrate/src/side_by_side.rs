//! Work on many things, some at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many things the machine works on at a time.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does a work for each number below `count`, at most `jobs` at a time; this thread is one of those that work.
pub fn each(jobs: usize, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            work(at);
        }
    };
    std::thread::scope(|scope| {
        (1..jobs.min(count)).for_each(|_| drop(scope.spawn(worker)));
        worker();
    });
}
