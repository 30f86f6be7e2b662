//! What a program is told: problems as values, and documents as text.

use build_support::problem::{Problem, Severity, printable};
use serde_json::{Value, json};

/// A problem's fields.
pub(super) fn of_problem(problem: &Problem) -> Value {
    let places: Vec<Value> = problem
        .places()
        .iter()
        .map(|place| {
            let (line, column) = place.line_column().unzip();
            json!({ "path": place.path.to_string_lossy(), "line": line, "column": column, "label": place.label })
        })
        .collect();
    json!({
        "code": problem.code().0,
        "severity": match problem.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": problem.message(),
        "places": places,
        "notes": problem.notes(),
        "help": problem.helps(),
    })
}

/// A document as it is printed: indented, and a line feed.
pub(super) fn printed(document: &Value) -> String {
    format!("{}\n", ascii_controls(&format!("{document:#}")))
}

/// JSON text with the characters that could drive a terminal written as escapes. They only stand in strings.
fn ascii_controls(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let plain = c == '\n' || c.is_ascii() && !c.is_ascii_control();
        if plain || printable(c.encode_utf8(&mut [0; 4])).starts_with(c) {
            text.push(c);
        } else {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    text
}
