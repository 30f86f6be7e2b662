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

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    println!("test postgres ... ignored, the tests talk to their server through a Unix socket");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    use std::sync::Mutex;

    if let Some(database) = std::env::var_os(sessions::CHILD) {
        return sessions::child(&database.to_string_lossy());
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let plain = [
        dialects::TESTS,
        engines::TESTS,
        faults::TESTS,
        locks::TESTS,
        places::TESTS,
        running::TESTS,
        scripts::TESTS,
        sessions::TESTS,
        statements::TESTS,
    ]
    .concat();
    let all = plain.iter().map(|test| (false, *test)).chain(connecting::TESTS.iter().map(|test| (true, *test)));
    let chosen: Vec<(bool, Test)> = all
        .filter(|(_, (name, _))| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(_, (name, _))| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("running {} tests", chosen.len());
    let Some(programs) = server::programs() else {
        for (_, (name, _)) in &chosen {
            println!("test {name} ... ignored, no PostgreSQL server is installed here (`initdb` and `postgres`)");
        }
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", chosen.len());
        return ExitCode::SUCCESS;
    };
    // Of the two servers, one with passwords and TLS, those that are needed.
    let servers = [false, true].map(|secured| {
        let needed = chosen.iter().any(|(of, _)| *of == secured);
        needed.then(|| server::Server::start(&programs, secured))
    });
    let (todo, failed) = (Mutex::new(chosen.iter()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().unwrap().next();
                    let Some((secured, (name, test))) = next else { return };
                    let server = servers[usize::from(*secured)].as_ref().unwrap();
                    // A thread of its own, so that a panic ends the test and not the others.
                    let ok = std::thread::scope(|own| own.spawn(|| test(server)).join().is_ok());
                    println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
                    *failed.lock().unwrap() += usize::from(!ok);
                }
            });
        }
    });
    let failed = *failed.lock().unwrap();
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
