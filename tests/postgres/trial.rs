//! What a stranger met who tried the command on a server: each of it is told so that the next step is known, and nothing is
//! left on the server.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults::{ASLEEP, LOCKS, asleep, eventually, is_as_before, is_upgraded, sleeping};
use crate::harness::Ran;
use crate::server::Server;

tests! {
    an_interrupted_run_leaves_nothing_running_on_the_server,
    an_interrupted_run_of_many_databases_leaves_nothing_running_either,
    a_hangup_that_is_to_be_ignored_interrupts_nothing,
}

const SESSIONS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Sends a signal as a terminal or a supervisor does.
fn signalled(child: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn an_interrupted_run_leaves_nothing_running_on_the_server(server: &Server) {
    for (arguments, name, number) in [
        (&["upgrade"][..], "-INT", 2),
        (&["upgrade", "--per-revision"], "-TERM", 15),
        (&["upgrade", "--dry-run"], "-HUP", 1),
        (&["sync"], "-INT", 2),
    ] {
        let project = sleeping(server, 30);
        let child = asleep(&project, arguments);
        let start = Instant::now();
        signalled(&child, name);
        let output = child.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(15), "{arguments:?}");
        // The shell that has started it shows 128 and the signal.
        assert_eq!(output.status.signal(), Some(number), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("interrupted: the server takes back what was not committed"), "{said}");
        assert!(!said.contains("error"), "{said}");
        assert_eq!(project.ask(SESSIONS), "0");
        is_as_before(&project);
        let a2 = project.read("migrations/a2.sql").replace("pg_sleep(30)", "pg_sleep(0)");
        project.write("migrations/a2.sql", &a2);
        project.run(&["upgrade"]).done();
        is_upgraded(&project);
    }
}

fn an_interrupted_run_of_many_databases_leaves_nothing_running_either(server: &Server) {
    let project = sleeping(server, 30);
    let url = project.url("dev");
    let child = asleep(&project, &["upgrade", "--each", &url]);
    signalled(&child, "-INT");
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("interrupted: "), "{said}");
    assert_eq!(project.ask(SESSIONS), "0");
    is_as_before(&project);
}

fn a_hangup_that_is_to_be_ignored_interrupts_nothing(server: &Server) {
    let project = sleeping(server, 2);
    let command = project.command(&["upgrade"]);
    let mut ignoring = Command::new("nohup");
    ignoring.arg(command.get_program()).args(command.get_args());
    ignoring.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => ignoring.env(name, value),
            None => ignoring.env_remove(name),
        };
    }
    let child = ignoring.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the run sleeps", || project.ask(&format!("SELECT count(*) {ASLEEP}")) == "1");
    signalled(&child, "-HUP");
    Ran::of(&child.wait_with_output().unwrap()).done();
    is_upgraded(&project);
    assert_eq!(project.ask(LOCKS), "0");
}
