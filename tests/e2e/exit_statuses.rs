//! What scripts read, whatever the database: the statuses as numbers, colour, a standard output that is full.

use std::process::Stdio;

use cargo_migrate::exit::Exit;

use crate::harness::{Project, Ran, ended};
use crate::pages::ground::Sqlite;
use crate::pages::statuses::{REPORTING, project};

#[test]
fn the_statuses_are_the_documented_numbers() {
    assert_eq!([Exit::Done, Exit::Refused, Exit::Misused].map(|exit| exit as u8), [0, 1, 2]);
}

const STYLE: char = '\u{1b}';

fn with(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = project.command(arguments);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    ended(command)
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let project = project(&Sqlite);
    for arguments in [&["verify"][..], &["show", "nowhere"]] {
        let colored = |color: &str, variables: &[(&str, &str)]| {
            let ran = with(&project, &[&["--color", color], arguments].concat(), variables);
            assert!(!ran.out.contains(STYLE));
            ran.err.contains(STYLE)
        };
        assert!(!colored("auto", &[]), "a pipe is no terminal");
        assert!(colored("always", &[]));
        assert!(colored("always", &[("NO_COLOR", "1")]), "what is typed goes before the environment");
        assert!(colored("auto", &[("CLICOLOR_FORCE", "1")]));
        assert!(!colored("auto", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(!colored("never", &[("CLICOLOR_FORCE", "1")]));
    }
    // Data stays as it is, so that programs can read it.
    for arguments in REPORTING {
        assert!(!with(&project, &[&["--color", "always"], arguments].concat(), &[]).out.contains(STYLE));
    }
    assert!(!with(&project, &["nope"], &[]).err.contains(STYLE));
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let project = project(&Sqlite);
    for arguments in [&["history"][..], &["--format", "json", "status"], &["upgrade", "--sql"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = project.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(Exit::Refused as i32), "{said}");
        assert!(said.contains("error[output-failed]") && said.contains("help: "), "{said}");
    }
}
