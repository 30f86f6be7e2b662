//! The command on a PostgreSQL server, which these tests start themselves: the pages that are run on SQLite too, and what
//! only a server can do to a run.
//!
//! Where no server is installed, the tests are told as ignored.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(clippy::disallowed_macros, reason = "a test target without a harness prints its own results")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

/// Pages that are run on a server here, and on SQLite by the test target beside this one.
#[cfg(unix)]
macro_rules! pages {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        pub const PAGES: &[(&str, fn(&dyn crate::pages::ground::Ground))] =
            &[$($(#[$attribute])* (stringify!($name), $name)),*];
    };
}

/// A table of tests under their own names.
#[cfg(unix)]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: crate::trials::Tests = &[$((stringify!($name), $name)),*];
    };
}

#[cfg(unix)]
mod advice;
#[cfg(unix)]
mod backups;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod ground;
#[cfg(unix)]
#[path = "../e2e/harness.rs"]
mod harness;
#[cfg(unix)]
mod keeping;
#[cfg(unix)]
#[path = "../pages/mod.rs"]
mod pages;
#[cfg(unix)]
mod passwords;
#[cfg(unix)]
mod plans;
#[cfg(unix)]
mod rehearsing;
#[cfg(unix)]
mod runs;
#[cfg(unix)]
#[path = "../../migrate-runtime/tests/postgres/server.rs"]
mod server;
#[cfg(unix)]
mod sessions;
#[cfg(unix)]
mod tenants;
#[cfg(unix)]
mod tenants_refused;
#[cfg(unix)]
mod trial;
#[cfg(unix)]
#[path = "../../migrate-runtime/tests/postgres/trials.rs"]
mod trials;

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    println!("test postgres ... ignored, the tests talk to their server through a Unix socket");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    let mut tests: Vec<_> = [
        ("advice", advice::TESTS),
        ("backups", backups::TESTS),
        ("faults", faults::TESTS),
        ("keeping", keeping::TESTS),
        ("passwords", passwords::TESTS),
        ("plans", plans::TESTS),
        ("rehearsing", rehearsing::TESTS),
        ("runs", runs::TESTS),
        ("sessions", sessions::TESTS),
        ("tenants", tenants::TESTS),
        ("tenants_refused", tenants_refused::TESTS),
        ("trial", trial::TESTS),
    ]
    .into_iter()
    .flat_map(|(subject, tests)| trials::about(subject, tests))
    .collect();
    for (subject, pages) in [
        #[cfg(target_os = "linux")]
        ("at_a_terminal", pages::at_a_terminal::PAGES),
        ("branches", pages::branches::PAGES),
        ("checking", pages::checking::PAGES),
        ("checking_branches", pages::checking_branches::PAGES),
        ("checkouts", pages::checkouts::PAGES),
        ("choosing", pages::choosing::PAGES),
        ("commands", pages::commands::PAGES),
        ("faults", pages::faults::PAGES),
        ("half_way", pages::half_way::PAGES),
        ("hostile_files", pages::hostile_files::PAGES),
        ("hostile_histories", pages::hostile_histories::PAGES),
        ("json", pages::json::PAGES),
        ("keeping", pages::keeping::PAGES),
        ("keeping_faults", pages::keeping_faults::PAGES),
        ("keeping_unasked", pages::keeping_unasked::PAGES),
        ("killed_runs", pages::killed_runs::PAGES),
        ("preview", pages::preview::PAGES),
        ("questions", pages::questions::PAGES),
        ("rehearsing", pages::rehearsing::PAGES),
        ("rehearsing_faults", pages::rehearsing_faults::PAGES),
        ("rehearsing_ranges", pages::rehearsing_ranges::PAGES),
        ("rehearsing_reports", pages::rehearsing_reports::PAGES),
        ("rehearsing_safely", pages::rehearsing_safely::PAGES),
        ("rehearsing_stopped", pages::rehearsing_stopped::PAGES),
        ("safeguarding", pages::safeguarding::PAGES),
        ("scenarios", pages::scenarios::PAGES),
        ("statuses", pages::statuses::PAGES),
        ("streams", pages::streams::PAGES),
        ("syncing", pages::syncing::PAGES),
        ("tenants", pages::tenants::PAGES),
        ("tenants_refused", pages::tenants_refused::PAGES),
        ("whose_backups", pages::whose_backups::PAGES),
        ("workspaces", pages::workspaces::PAGES),
        ("workspaces_kept", pages::workspaces_kept::PAGES),
        ("workspaces_refusals", pages::workspaces_refusals::PAGES),
        ("writing", pages::writing::PAGES),
    ] {
        for &(name, page) in pages {
            let test: trials::Trial = Box::new(move |server| page(&ground::OnServer::of(server)));
            tests.push((format!("pages::{subject}::{name}"), test));
        }
    }
    trials::run(vec![(server::Server::start, tests)])
}
