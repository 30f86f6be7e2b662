//! What a rehearsal found: as a table, as JSON, as JUnit's XML.

use std::time::Duration;

use build_support::problem::printable;
use serde_json::{Value, json};

use super::{Rehearsed, Verdict, Way};
use crate::report::columns;

const HEADINGS: [&str; 9] =
    ["revision", "up", "down", "up again", "rows", "schema restored", "data restored", "foreign keys", "integrity"];

fn way(way: &Way) -> String {
    match way {
        Way::Done(elapsed) => format!("{} ms", millis(*elapsed)),
        Way::Refused(_) => "refused".to_owned(),
        Way::Untried(why) => (*why).to_owned(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "yes",
        Verdict::No => "NO",
        Verdict::Declared => "declared",
        Verdict::Untried => "-",
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The lines of the table, its headings first.
#[must_use]
pub fn table(found: &[Rehearsed]) -> Vec<String> {
    let mut rows: Vec<[String; 9]> = vec![HEADINGS.map(str::to_owned)];
    rows.extend(found.iter().map(|one| {
        [
            printable(&one.revision),
            way(&one.up),
            way(&one.down),
            way(&one.again),
            one.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            verdict(one.schema).to_owned(),
            verdict(one.data).to_owned(),
            verdict(one.foreign_keys).to_owned(),
            verdict(one.integrity).to_owned(),
        ]
    }));
    columns(&rows)
}

/// One revision for a program.
#[must_use]
pub fn json(one: &Rehearsed) -> Value {
    let way = |way: &Way| match way {
        Way::Done(elapsed) => json!({ "result": "done", "elapsed_ms": millis(*elapsed) }),
        Way::Refused(problems) => {
            json!({ "result": "refused", "problems": problems.iter().map(|it| it.message()).collect::<Vec<_>>() })
        }
        Way::Untried(why) => json!({ "result": "untried", "why": why }),
    };
    let verdict = |verdict: Verdict| match verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Declared => "declared",
        Verdict::Untried => "untried",
    };
    json!({
        "package": one.package,
        "revision": one.revision,
        "up": way(&one.up),
        "down": way(&one.down),
        "up_again": way(&one.again),
        "rows": one.rows,
        "schema_restored": verdict(one.schema),
        "data_restored": verdict(one.data),
        "foreign_keys": verdict(one.foreign_keys),
        "integrity": verdict(one.integrity),
        "faults": one.faults,
        "remarks": one.remarks,
    })
}

/// All revisions as the XML that continuous integration reads (<https://github.com/testmoapp/junitxml>): a test case for
/// each of them.
#[must_use]
pub fn junit(package: &str, found: &[Rehearsed]) -> String {
    let seconds = |one: &Rehearsed| {
        let ways = [&one.up, &one.down, &one.again].into_iter();
        let total: Duration =
            ways.filter_map(|way| if let Way::Done(elapsed) = way { Some(*elapsed) } else { None }).sum();
        format!("{:.3}", total.as_secs_f64())
    };
    let failed = found.iter().filter(|one| !one.is_safe()).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
        escaped(&format!("cargo migrate test: {package}")),
        found.len()
    );
    for one in found {
        let name = escaped(&one.revision);
        xml.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{name}\" time=\"{}\"",
            escaped(package),
            seconds(one)
        ));
        if one.is_safe() {
            xml.push_str("/>\n");
        } else {
            let first = one.faults.first().map(String::as_str).unwrap_or_default();
            xml.push_str(&format!(
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escaped(first),
                escaped(&one.faults.join("\n"))
            ));
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            // XML has no way to write the other control characters, nor these two that are no characters.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
