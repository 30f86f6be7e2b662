//! Embedded migrations on a PostgreSQL server, which these tests start themselves.
//!
//! Where no server is installed, the tests are told as ignored.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(clippy::disallowed_macros, reason = "a test target without a harness prints its own results")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

#[cfg(unix)]
mod connecting;
#[cfg(unix)]
mod dialects;
#[cfg(unix)]
mod engines;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod locks;
#[cfg(unix)]
mod places;
#[cfg(unix)]
mod running;
#[cfg(unix)]
mod scripts;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod sessions;
#[cfg(unix)]
mod statements;
#[cfg(unix)]
mod trials;

use std::process::ExitCode;

#[cfg(unix)]
use server::Server;

#[cfg(not(unix))]
fn main() -> ExitCode {
    println!("test postgres ... ignored, the tests talk to their server through a Unix socket");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    if let Some(database) = std::env::var_os(sessions::CHILD) {
        return sessions::child(&database.to_string_lossy());
    }
    let trusting = [
        ("dialects", dialects::TESTS),
        ("engines", engines::TESTS),
        ("faults", faults::TESTS),
        ("locks", locks::TESTS),
        ("places", places::TESTS),
        ("running", running::TESTS),
        ("scripts", scripts::TESTS),
        ("sessions", sessions::TESTS),
        ("statements", statements::TESTS),
    ];
    trials::run(vec![
        (Server::start, trusting.iter().flat_map(|(subject, tests)| trials::about(subject, tests)).collect()),
        // One with passwords and TLS.
        (|programs| Server::start_with(programs, &connecting::files()), trials::about("connecting", connecting::TESTS)),
    ])
}

/// A table of tests under their own names.
#[cfg(unix)]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: crate::trials::Tests = &[$((stringify!($name), $name)),*];
    };
}
#[cfg(unix)]
use tests;
