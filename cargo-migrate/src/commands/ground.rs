//! Whose tables are left without what they refer to, where a package takes its own away.

use std::collections::BTreeSet;

use build_support::problem::Problem;
use migrate_runtime::runner::FOREIGN_KEYS;

use crate::app::{App, Opened};

/// Adds to a refusal for broken foreign keys which other package of the workspace has made the tables that it names.
pub(super) fn named(app: App<'_>, opened: &Opened, problems: Vec<Problem>) -> Vec<Problem> {
    if problems.iter().all(|problem| problem.code() != FOREIGN_KEYS) {
        return problems;
    }
    // Whatever is wrong with the others is not what was asked about.
    let others = app.others(opened).unwrap_or_default();
    problems
        .into_iter()
        .map(|problem| if problem.code() == FOREIGN_KEYS { told(problem, &others) } else { problem })
        .collect()
}

fn told(mut problem: Problem, others: &[Opened]) -> Problem {
    let lines = problem.notes().to_vec();
    for other in others {
        let key = other.project.key();
        let named = |table: &&&str| lines.iter().any(|line| refers(line, table));
        let tables: Vec<String> = made(other).iter().filter(named).map(|table| format!("`{table}`")).collect();
        if tables.is_empty() {
            continue;
        }
        let (is, word) = if tables.len() == 1 { ("is", "table") } else { ("are", "tables") };
        problem = problem
            .note(format!("{} {is} the {word} of the package `{key}`", tables.join(", ")))
            .help(format!(
                "take that package back first: `cargo migrate downgrade base -p {key}`, or as far as it has to"
            ))
            .help(format!("and let the revisions of `{key}` say what they stand on: `-- migrate:depends PACKAGE/ID`"));
    }
    problem
}

/// Whether a line of the refusal is about a table that refers to something.
fn refers(line: &str, table: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.starts_with(&format!("{table}(")) || line.contains(&format!(" of `{table}` ("))
}

/// The tables that a package's revisions leave, in lower case.
fn made(opened: &Opened) -> BTreeSet<&str> {
    let mut tables = BTreeSet::new();
    for at in opened.graph.lineage().order() {
        for change in &opened.graph.migration(*at).tables {
            change.freed().map(|name| tables.remove(name));
            tables.extend(change.taken().map(|(name, _)| name));
        }
    }
    tables
}
