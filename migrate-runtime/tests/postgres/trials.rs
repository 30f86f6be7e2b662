//! Tests that run on one server, by their names: what a harness does, and what it cannot say where there is no server.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use crate::server::{self, Server};

/// A test on a server that it makes databases on.
pub type Trial = Box<dyn Fn(&Server) + Send + Sync>;

/// A table of tests with their names.
pub type Tests = &'static [(&'static str, fn(&Server))];

/// The tests of a table, under the name of what they are about.
pub fn about(subject: &str, tests: Tests) -> Vec<(String, Trial)> {
    tests.iter().map(|(name, test)| (format!("{subject}::{name}"), Box::new(*test) as Trial)).collect()
}

/// What starts a server for tests, from the folder of the programs.
pub type Start = fn(&Path) -> Server;

/// Runs those that the command line names, some at a time, each on the server of its group; without the programs of one
/// each is told as ignored, and why.
pub fn run(groups: Vec<(Start, Vec<(String, Trial)>)>) -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (starts, groups): (Vec<Start>, Vec<_>) = groups.into_iter().unzip();
    let all =
        groups.into_iter().enumerate().flat_map(|(group, tests)| tests.into_iter().map(move |test| (group, test)));
    let chosen: Vec<(usize, (String, Trial))> = all
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
    // Only the servers that are needed.
    let start = |(group, start): (usize, Start)| chosen.iter().any(|(of, _)| *of == group).then(|| start(&programs));
    let servers: Vec<Option<Server>> = starts.into_iter().enumerate().map(start).collect();
    let (todo, failed) = (Mutex::new(chosen.iter()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().unwrap().next();
                    let Some((group, (name, test))) = next else { return };
                    let server = servers[*group].as_ref().unwrap();
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
