//! Whose tables are left without what they refer to, where a package takes its own away.

use std::collections::BTreeSet;

use build_support::problem::Problem;
use migrate_runtime::runner::FOREIGN_KEYS;

use crate::app::{App, Opened};

/// Adds to a refusal for broken foreign keys, or for a table that others need or that is not there yet, which other package
/// of the workspace has made the tables that it names.
pub(super) fn named(app: App<'_>, opened: &Opened, problems: Vec<Problem>) -> Vec<Problem> {
    let is_about_tables =
        |problem: &Problem| problem.code() == FOREIGN_KEYS || says(problem, DEPENDED_ON) || says(problem, NO_TABLE);
    if !problems.iter().any(is_about_tables) {
        return problems;
    }
    // Whatever is wrong with the others is not what was asked about.
    let others = app.others(opened).unwrap_or_default();
    let told = |problem: Problem| {
        if problem.code() == FOREIGN_KEYS {
            taken_back_first(problem, &others, &refers)
        } else if says(&problem, DEPENDED_ON) {
            taken_back_first(problem, &others, &depends)
        } else if says(&problem, NO_TABLE) {
            made_first(problem, opened.all().chain(&others))
        } else {
            problem
        }
    };
    problems.into_iter().map(told).collect()
}

/// What a server says of a table that something else depends on, and of one that is not there
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const DEPENDED_ON: &str = "SQLSTATE 2BP01";
const NO_TABLE: &str = "SQLSTATE 42P01";

fn says(problem: &Problem, note: &str) -> bool {
    problem.notes().iter().any(|it| it == note)
}

/// Names the packages whose tables are those of which `is_about` says that a line is about them.
fn taken_back_first(mut problem: Problem, others: &[Opened], is_about: &dyn Fn(&str, &str) -> bool) -> Problem {
    let lines = problem.notes().to_vec();
    for other in others {
        let key = other.project.key();
        let named = |table: &&&str| lines.iter().any(|line| is_about(line, table));
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

/// Names the package that makes the table which a statement does not find.
fn made_first<'a>(problem: Problem, packages: impl Iterator<Item = &'a Opened>) -> Problem {
    // In whatever language it is said, the name stands in double quotes, or in those of that language.
    let words: Vec<String> = words(problem.message());
    let here = problem.places().first().map(|place| place.path.clone());
    for package in packages {
        let revisions = package.graph.lineage().order().iter().map(|at| package.graph.migration(*at));
        for revision in revisions {
            let Some((table, _)) =
                revision.tables.iter().filter_map(|it| it.taken()).find(|it| words.iter().any(|word| word == it.0))
            else {
                continue;
            };
            if here.as_deref() == Some(&*revision.path) {
                return problem;
            }
            let key = package.project.key();
            return problem
                .note(format!("`{table}` is made by `{}` of the package `{key}`", revision.id))
                .help(format!("let this revision say what it stands on: `-- migrate:depends {key}/{}`", revision.id));
        }
    }
    problem
}

/// Whether a line of a server's is about something of a table that depends on another one.
fn depends(line: &str, table: &str) -> bool {
    !line.starts_with("SQLSTATE ") && words(line).windows(2).any(|pair| pair[0] == "table" && pair[1] == table)
}

/// The words of a line in lower case, without what is put around them; of a name the last part.
fn words(line: &str) -> Vec<String> {
    let parts = line.split(|c: char| !(c.is_alphanumeric() || "_$".contains(c)));
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
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
