//! End to end on a PostgreSQL server, which these tests start themselves.
//!
//! Where no server is installed, the tests are told as ignored.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(clippy::disallowed_macros, reason = "a test target without a harness prints its own results")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

#[cfg(unix)]
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "it serves the tests on files, too")]
mod harness;
#[cfg(unix)]
#[path = "../../migrate-runtime/tests/postgres/server.rs"]
#[allow(dead_code, reason = "it serves the tests of embedded migrations, too")]
mod server;
#[cfg(unix)]
mod tenants;
#[cfg(unix)]
mod tenants_refused;

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    println!("test postgres ... ignored, the tests talk to their server through a Unix socket");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<Test> = [tenants::TESTS, tenants_refused::TESTS]
        .concat()
        .into_iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("running {} tests", chosen.len());
    let Some(programs) = server::programs() else {
        for (name, _) in &chosen {
            println!("test {name} ... ignored, no PostgreSQL server is installed here (`initdb` and `postgres`)");
        }
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", chosen.len());
        return ExitCode::SUCCESS;
    };
    let server = server::Server::start(&programs);
    let mut failed = 0;
    for (name, test) in &chosen {
        // A thread of its own, so that a panic ends the test and not the others.
        let ok = std::thread::scope(|own| own.spawn(|| test(&server)).join().is_ok());
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    let told = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {told}. {} passed; {failed} failed; 0 ignored", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A test with its name, and the server that it makes a database on.
#[cfg(unix)]
type Test = (&'static str, fn(&server::Server));

/// A table of tests under their own names.
#[cfg(unix)]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[crate::Test] = &[$((stringify!($name), $name)),*];
    };
}
#[cfg(unix)]
use tests;
