//! `test`: what continuous integration gets to read, and the page that says what a careful person types.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::pages::ground::Ground;
use crate::pages::rehearsing::{NOTES, applied, second};
use crate::pages::table;

pages! {
    continuous_integration_gets_a_test_case_for_each_revision,
    each_line_of_the_checklist_is_a_command,
}

/// A text that is well-formed XML as far as elements and attributes go: gives each start tag with its attributes.
fn elements(xml: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let unescaped = |text: &str| {
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#10;", "\n")];
        for (at, _) in text.match_indices('&') {
            let known =
                text[at..].starts_with("&amp;") || plain.iter().any(|(entity, _)| text[at..].starts_with(entity));
            assert!(known, "a bare & in {text}");
        }
        let text = plain.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
        text.replace("&amp;", "&")
    };
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("it starts as XML does");
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        unescaped(&rest[..start]);
        assert!(!rest[..start].contains('>'));
        let mut in_value = false;
        let end = rest[start..].find(|c| {
            in_value ^= c == '"';
            assert!(c != '<' || rest[start..].starts_with('<'));
            c == '>' && !in_value
        });
        let tag = &rest[start + 1..start + end.expect("a tag ends")];
        rest = &rest[start + tag.len() + 2..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut named = BTreeMap::new();
        while let Some((key, value)) = attributes.trim_start().split_once("=\"") {
            let (value, after) = value.split_once('"').expect("a value ends");
            assert!(!value.contains('<'));
            named.insert(key.to_owned(), unescaped(value));
            attributes = after;
        }
        assert_eq!(attributes.trim(), "");
        found.push((name.to_owned(), named));
        if !closed {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    found
}

fn continuous_integration_gets_a_test_case_for_each_revision(ground: &dyn Ground) {
    let project = applied(
        ground,
        "CREATE TABLE \"<t a=\"\"&\"\"]]>\" (\"x\u{1b}'>\" TEXT, id INTEGER PRIMARY KEY);\nINSERT INTO \"<t a=\"\"&\"\"]]>\" VALUES ('a', 1);",
    );
    second(&project, "", "UPDATE \"<t a=\"\"&\"\"]]>\" SET \"x\u{1b}'>\" = 'b';", "SELECT 1;");
    project.migration("a3", &table("a2", "tags"));
    let ran = project.run(&["test", "--format", "junit"]).refused(&["not-safe"]);
    ran.is_printable();
    let found = elements(&ran.out);
    let named = |name: &str| found.iter().filter(|(it, _)| it == name).map(|(_, fields)| fields).collect::<Vec<_>>();
    let suites = named("testsuite");
    assert_eq!((suites.len(), suites[0]["tests"].as_str(), suites[0]["failures"].as_str()), (1, "2", "1"));
    let cases = named("testcase");
    assert_eq!((cases.len(), cases[0]["name"].as_str(), cases[1]["name"].as_str()), (2, "a2", "a3"));
    assert!(cases.iter().all(|case| case["time"].parse::<f64>().is_ok() && case["classname"] == "app"));
    let failures = named("failure");
    let place = format!("`{}.x", project.databases().named("<t a=\"&\"]]>"));
    assert!(failures.len() == 1 && failures[0]["message"].contains(&place), "{}", ran.out);
    project.run(&["upgrade"]).done();
    let nothing = project.run(&["test", "--format", "junit"]).done();
    assert_eq!(elements(&nothing.out)[1].1["tests"], "0");
}

/// The page's checklist, from reviewing to looking afterwards, where one revision is pending.
fn each_line_of_the_checklist_is_a_command(ground: &dyn Ground) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rehearsal.md")).unwrap();
    let checklist = page.split_once("\n## The checklist\n").unwrap().1.split("\n## ").next().unwrap();
    let rows = checklist.lines().filter(|line| line.starts_with('|')).skip(2);
    let commands: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    assert!(commands.len() > 8, "{commands:?}");
    let project = applied(ground, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "ALTER TABLE notes DROP COLUMN due;");
    for command in commands {
        let arguments: Vec<&str> = command.strip_prefix("cargo migrate ").expect(command).split(' ').collect();
        project.run(&arguments).done();
    }
    project.run(&["status"]).done().says("pending   0");
}
