//! What is said, kept, asked and written where nobody reads.

use std::io::Write;

use build_support::problem::{Code, Place};
use serde_json::json;

use super::*;
use crate::report::drawn::LONGEST;

#[test]
fn what_is_endless_is_cut() {
    let endless = "é".repeat(1 << 20);
    let (shell, _, err) = Shell::capturing();
    shell.status("Running", &endless);
    shell.warning(&endless);
    shell.problem(
        &Problem::new(Code("c"), &endless)
            .at(Place::span("a", "x", 0..1).label(&endless))
            .note(&endless)
            .help(&endless),
    );
    assert!(err.text().chars().count() < 10 * LONGEST, "{}", err.text().chars().count());
}

#[test]
fn nothing_that_is_shown_drives_the_terminal() {
    let bad = "a\u{1b}[31m\u{9b}\u{202e}b";
    let (shell, out, err) = Shell::capturing();
    shell.status("Applied", bad);
    shell.warning(bad);
    shell.problem(&Problem::new(Code("c"), bad).at(Place::span(bad, bad, 1..2).label(bad)).note(bad).help(bad));
    shell.out(bad);
    shell.json(&json!({ bad: bad }));
    for text in [out.text(), err.text()] {
        assert_eq!(printable_block(&text), text);
    }
    let json = out.text();
    let json: Value = serde_json::from_str(json.split_once('\n').unwrap().1).unwrap();
    assert_eq!(json[bad], bad);
}

#[test]
fn verbs_stand_in_the_margin_and_quiet_is_quiet() {
    let (shell, _, err) = Shell::capturing();
    shell.status("Applied", "1 migration");
    shell.warning("w");
    assert_eq!(err.text(), "     Applied 1 migration\nwarning: w\n");
    let (shell, out, err) = Shell::capturing_with("", true);
    shell.status("Applied", "1 migration");
    shell.note("n");
    shell.warning("w");
    shell.out("result");
    assert_eq!((out.text().as_str(), err.text().as_str()), ("result\n", "warning: w\n"));
}

#[test]
fn questions_are_answered_by_a_line() {
    let (shell, out, err) = Shell::capturing_with("Yes\nno\n name \n", false);
    assert!(shell.confirm("Sure?").unwrap());
    assert!(!shell.confirm("Sure?").unwrap());
    assert_eq!(shell.ask("Name:").unwrap(), "name");
    assert_eq!(shell.ask("Name:").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(out.text().is_empty());
    assert_eq!(err.text(), "Sure? [y/N] Sure? [y/N] Name: Name: ");
}

#[test]
fn a_closed_pipe_is_remembered() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shell = Shell::over(Closed, Closed, "", false);
    shell.out("a");
    shell.warning("b");
    assert_eq!(shell.output_failed(), Some(io::ErrorKind::BrokenPipe));
}

#[test]
fn a_problem_keeps_its_fields_in_json() {
    let problem = Problem::new(Code("c"), "m").at(Place::span("a", "x\nyz", 3..4).label("l")).in_file("b").help("h");
    let expected = json!({
        "code": "c", "severity": "error", "message": "m",
        "places": [
            { "path": "a", "line": 2, "column": 2, "label": "l" },
            { "path": "b", "line": null, "column": null, "label": "" },
        ],
        "notes": [], "help": ["h"],
    });
    assert_eq!(Shell::capturing().0.json_problem(&problem), expected);
}
