//! What scripts read: exit statuses, standard output apart from standard error, JSON, colour, closed pipes.

use std::process::Stdio;

use cargo_migrate::exit::Exit;

use crate::harness::{Project, Ran, ended};
use crate::pages::ground::Sqlite;
use crate::pages::statuses::{REPORTING, project};

#[test]
fn the_statuses_are_the_documented_numbers() {
    assert_eq!([Exit::Done, Exit::Refused, Exit::Misused].map(|exit| exit as u8), [0, 1, 2]);
}

#[test]
fn a_line_that_is_not_understood_is_2_and_nothing_is_changed() {
    let project = project(&Sqlite);
    let before = project.contents();
    for arguments in [
        &[][..],
        &["upgrad"],
        &["upgrade", "--nope"],
        &["upgrade", "a1", "a2"],
        &["upgrade", "--sql", "--dry-run"],
        &["upgrade", "--dry-run", "--per-revision"],
        &["upgrade", "+1:+2", "--sql"],
        &["downgrade"],
        &["downgrade", "--down-from", "somewhere"],
        &["stamp"],
        &["stamp", "+1"],
        &["repair", "--finished", "a1", "--not-applied", "a1"],
        &["revision"],
        &["revision", "-m", "x", "--head", "+1"],
        &["revision", "-m", "x", "--version-path", "elsewhere"],
        &["delete"],
        &["delete", "a1", "--down-from", "file"],
        &["status", "--format", "xml"],
        &["status", "--color", "sometimes"],
        &["status", "--wait", "soon"],
        &["status", "--wait=-1"],
        &["status", "-q", "-v"],
        &["status", "--name", "a/b"],
        &["completions", "nosh"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Exit::Misused as i32, "{arguments:?}\n{}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}");
        ran.is_printable();
    }
    assert_eq!(project.contents(), before);
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

#[cfg(unix)]
#[test]
fn a_reader_who_has_seen_enough_is_no_panic() {
    let project = project(&Sqlite);
    for arguments in [
        &["history"][..],
        &["status"],
        &["schema"],
        &["upgrade", "--sql"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["--format", "json", "history"],
        &["upgrade"],
        &["show", "nowhere"],
    ] {
        let (reader, out) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(arguments);
        let output = command.stdout(out).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{arguments:?}\n{said}");
        assert_eq!(output.status.code(), Some(i32::from(arguments == ["show", "nowhere"])), "{arguments:?}\n{said}");
        // Nor is a standard error that nobody reads.
        let (reader, err) = std::io::pipe().unwrap();
        drop(reader);
        let status = project.command(arguments).stdout(Stdio::null()).stderr(err).status().unwrap();
        assert!(matches!(status.code(), Some(0 | 1)), "{arguments:?} {status}");
    }
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "2");
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
