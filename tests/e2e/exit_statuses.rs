//! What scripts read: exit statuses, standard output apart from standard error, JSON, colour, closed pipes.

use std::process::Stdio;

use cargo_migrate::exit::Exit;

use crate::harness::{Project, Ran, ended, table};

/// A project where `a1` is applied and `a2` is pending.
fn project() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project
}

/// The commands that report, with all that they need to.
const REPORTING: [&[&str]; 18] = [
    &["status"],
    &["current"],
    &["history"],
    &["heads"],
    &["branches"],
    &["show", "a1"],
    &["schema"],
    &["check"],
    &["verify"],
    &["lock"],
    &["upgrade", "--dry-run"],
    &["upgrade"],
    &["downgrade", "-1"],
    &["stamp", "a1"],
    &["downgrade", "base"],
    &["revision", "-m", "x", "--rev-id", "x1"],
    &["delete", "x1"],
    &["init"],
];

#[test]
fn the_statuses_are_the_documented_numbers() {
    assert_eq!([Exit::Done, Exit::Refused, Exit::Misused].map(|exit| exit as u8), [0, 1, 2]);
}

#[test]
fn what_is_done_or_was_done_already_is_0() {
    let project = project();
    for arguments in REPORTING {
        assert_eq!(project.run(arguments).status, Exit::Done as i32, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "upgrade"], &["upgrade", "--help"], &["man"]] {
        let ran = project.run(arguments);
        assert_eq!((ran.status, ran.err.as_str()), (Exit::Done as i32, ""), "{arguments:?}");
    }
    project.run(&["upgrade"]).done();
    project.run(&["upgrade"]).done().says("nothing to do");
    project.run(&["current", "--check-heads"]).done();
}

#[test]
fn what_is_refused_or_fails_is_1() {
    let project = project();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE TABEL t2 (x);\n");
    for arguments in [
        &["upgrade"][..],
        &["upgrade", "nowhere"],
        &["upgrade", "+9"],
        &["downgrade", "-9"],
        &["downgrade", "a2"],
        &["current", "--check-heads"],
        &["show", "nowhere"],
        &["delete", "a1"],
        &["revision", "-m", "x", "--rev-id", "a1"],
        &["revision", "-m", "x", "--head", "a1"],
        &["repair", "--finished", "a1"],
        &["schema", "nothing"],
        &["-d", "nowhere", "status"],
        &["--manifest-path", "nowhere", "status"],
        &["-p", "nobody", "status"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Exit::Refused as i32, "{arguments:?}\n{}", ran.err);
        assert!(ran.err.contains("error["), "{arguments:?}\n{}", ran.err);
    }
}

#[test]
fn a_line_that_is_not_understood_is_2_and_nothing_is_changed() {
    let project = project();
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

#[test]
fn data_goes_to_standard_output_and_talk_to_standard_error() {
    let project = project();
    for (arguments, data) in [
        (&["status"][..], "pending   1"),
        (&["current"], "a1"),
        (&["history"], "a1 -> a2"),
        (&["heads"], "a2"),
        (&["show", "a1"], "CREATE TABLE t1"),
        (&["schema"], "CREATE TABLE t1"),
        (&["upgrade", "--sql"], "CREATE TABLE t2"),
        (&["ensure-version", "--sql"], "CREATE TABLE IF NOT EXISTS"),
        (&["completions", "bash"], "cargo"),
        (&["man"], ".TH"),
    ] {
        let ran = project.run(arguments).done();
        assert!(ran.out.contains(data), "{arguments:?}\n{}", ran.out);
        assert_eq!(ran.err, "", "{arguments:?}");
    }
    for arguments in [&["upgrade"][..], &["downgrade", "-1"], &["stamp", "head"], &["verify"], &["lock"]] {
        let ran = project.run(arguments).done();
        assert_eq!(ran.out, "", "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
    let ran = project.run(&["show", "nowhere"]).refused(&["unknown-target"]);
    assert_eq!(ran.out, "");
}

#[test]
fn quiet_leaves_results_warnings_and_errors() {
    let project = project();
    for arguments in [&["-q", "upgrade"][..], &["downgrade", "-1", "-q"], &["-q", "verify"], &["-q", "lock"]] {
        let ran = project.run(arguments).done();
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{arguments:?}");
    }
    assert_eq!(project.run(&["-q", "current"]).done().out, "a1\n");
    project.run(&["-q", "upgrade", "nowhere"]).refused(&["unknown-target", "help"]);
}

#[test]
fn json_is_one_document_whether_done_or_refused() {
    let project = project();
    for arguments in REPORTING {
        let ran = project.run(&[&["--format", "json"], arguments].concat()).done();
        let command = arguments.iter().find(|word| !word.starts_with('-')).unwrap();
        assert_eq!(ran.json()["command"], **command, "{}", ran.out);
    }
    project.migration("broken", "-- migrate:parnet a1\n");
    for arguments in REPORTING.iter().filter(|arguments| arguments[0] != "init") {
        let ran = project.run(&[&["--format", "json"], *arguments].concat()).refused(&["unknown-directive"]);
        let problem = &ran.json()["problems"][0];
        assert_eq!(problem["code"], "unknown-directive");
        assert_eq!(problem["severity"], "error");
        assert_eq!((&problem["places"][0]["line"], &problem["places"][0]["column"]), (&1.into(), &1.into()));
        assert!(problem["help"].as_array().is_some_and(|help| !help.is_empty()), "{problem}");
    }
    // The answer itself tells of the refusal; a second document would make both unreadable.
    std::fs::remove_file(project.path("migrations/broken.sql")).unwrap();
    project.run(&["downgrade", "base"]).done();
    let ran = project.run(&["--format", "json", "current", "--check-heads"]).refused(&["not-at-head"]);
    assert_eq!(ran.json()["at_head"], false);
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
    let project = project();
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
    let project = project();
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
    let project = project();
    for arguments in [&["history"][..], &["--format", "json", "status"], &["upgrade", "--sql"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = project.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(Exit::Refused as i32), "{said}");
        assert!(said.contains("error[output-failed]") && said.contains("help: "), "{said}");
    }
}
