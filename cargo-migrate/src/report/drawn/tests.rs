//! Problems with and without places, as they are shown.

use build_support::problem::Code;

use super::*;
use crate::report::shell::Shell;

fn drawn(problem: &Problem) -> String {
    let (shell, _, err) = Shell::capturing();
    shell.problem(problem);
    err.text()
}

#[test]
fn a_problem_is_drawn_as_rustc_draws_it() {
    let place = Place::span("m/a.sql", "one\ntwo three\nfour\n", 8..13).label("here");
    let other = Place::span("m/b.sql", "x\n", 0..1).label("and there");
    let text =
        drawn(&Problem::new(Code("bad-word"), "no such word").at(place).at(other).note("a fact").help("type it"));
    let expected = "\
error[bad-word]: no such word
 --> m/a.sql:2:5
  |
2 | two three
  |     ^^^^^ here
  |
 ::: m/b.sql:1:1
  |
1 | x
  | - and there
  |
  = note: a fact
  = help: type it

";
    assert_eq!(text, expected);
}

#[test]
fn a_problem_without_a_span_is_a_header_a_path_and_its_notes() {
    let text = drawn(&Problem::warning(Code("c"), "message").in_file("a.sql").help("do"));
    assert!(text.starts_with("warning[c]: message\n --> a.sql\n"), "{text}");
    assert!(text.contains("= help: do"), "{text}");
    let text = drawn(&Problem::new(Code("c"), "message").note("n"));
    assert!(text.starts_with("error[c]: message\n") && text.contains("= note: n"), "{text}");
    assert_eq!(drawn(&Problem::new(Code("c"), "message")), "error[c]: message\n\n");
}

#[test]
fn odd_places_are_drawn_without_a_panic_and_briefly() {
    let huge = format!("{}\nselect é;\n{}", "x".repeat(1 << 20), "é\n".repeat(1 << 20));
    let line = (1 << 20) + 1;
    for span in [
        0..0,
        0..huge.len(),
        4000..5000,
        9000..9001,
        line..line,
        line..line + 7,
        line - 1..line,
        line..huge.len(),
        huge.len()..huge.len(),
    ] {
        let text =
            drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", huge.as_str(), span.clone()).label("l")));
        assert!(text.contains("a.sql:") && text.len() < 20_000, "{span:?} {}", text.len());
    }
    assert!(drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", "", 0..0))).contains("a.sql:1:1"));
    let far = drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", huge.as_str(), 9000..9001).label("l")));
    assert!(far.contains("a.sql:1:9001") && far.contains("note: l"), "{far}");
}
