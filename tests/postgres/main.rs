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
    ($($name:ident),* $(,)?) => {
        pub const PAGES: &[(&str, fn(&dyn crate::pages::ground::Ground))] = &[$((stringify!($name), $name)),*];
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
mod rehearsing;
#[cfg(unix)]
#[path = "../../migrate-runtime/tests/postgres/server.rs"]
mod server;
#[cfg(unix)]
mod tenants;
#[cfg(unix)]
mod tenants_refused;
#[cfg(unix)]
#[path = "../../migrate-runtime/tests/postgres/trials.rs"]
mod trials;

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    println!("test postgres ... ignored, the tests talk to their server through a Unix socket");
    ExitCode::SUCCESS
}

/// What waits for the command to do on a server what it does on SQLite's files. It is not run.
#[cfg(unix)]
const WAITING: &[&str] = &[
    // What commits more than once is tried on a copy.
    "pages::faults::a_dry_run_of_several_commits_is_made_on_a_copy",
    // Backups before what can lose something.
    "pages::half_way::the_row_of_a_living_run_is_left_to_it",
    "pages::half_way::to_look_whether_a_run_lives_leaves_no_trace",
    "pages::half_way::whoever_follows_the_advice_ends_with_a_record_that_is_true",
    "pages::faults::a_revision_outside_a_transaction_that_fails_half_way_is_found_and_repaired",
    "pages::writing::a_scratch_database_follows_an_edited_draft_by_itself",
    "pages::writing::a_renamed_package_gets_its_rows_back",
    "pages::writing::a_change_of_comments_is_accepted_on_purpose_and_a_change_of_statements_is_not",
    "pages::writing::where_git_knows_the_old_text_repair_shows_what_changed",
    "pages::writing::of_several_interrupted_revisions_one_is_settled_by_its_whole_name",
];

#[cfg(unix)]
fn main() -> ExitCode {
    let mut tests: Vec<_> = [
        ("faults", faults::TESTS),
        ("keeping", keeping::TESTS),
        ("passwords", passwords::TESTS),
        ("rehearsing", rehearsing::TESTS),
        ("tenants", tenants::TESTS),
        ("tenants_refused", tenants_refused::TESTS),
    ]
    .into_iter()
    .flat_map(|(subject, tests)| trials::about(subject, tests))
    .collect();
    for (subject, pages) in [
        ("branches", pages::branches::PAGES),
        ("faults", pages::faults::PAGES),
        ("half_way", pages::half_way::PAGES),
        ("scenarios", pages::scenarios::PAGES),
        ("writing", pages::writing::PAGES),
    ] {
        for &(name, page) in pages {
            let test: trials::Trial = Box::new(move |server| page(&ground::OnServer::of(server)));
            tests.push((format!("pages::{subject}::{name}"), test));
        }
    }
    let all = tests.len();
    tests.retain(|(name, _)| !WAITING.contains(&name.as_str()));
    assert_eq!(tests.len() + WAITING.len(), all, "what waits is not there any more");
    trials::run(vec![(server::Server::start, tests)])
}
