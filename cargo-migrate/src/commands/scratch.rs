//! Scratch databases follow the files: what is applied there and no longer so in the files is taken off without ado.

use std::collections::HashSet;

use build_support::problem::Problem;
use migrate_runtime::history::{AppliedRevision, History, State};
use migrate_runtime::plan::{IRREVERSIBLE, Step, downgrade_step};

use crate::app::Opened;
use crate::project::Database;

/// The rows of what was edited, or is not in this checkout, and of what stands on it; the latest applied first.
pub(super) fn outdated<'a>(opened: &'a Opened, history: &'a History) -> Vec<&'a AppliedRevision> {
    with_followers(opened, history, |row| opened.file_of(row).is_none_or(|file| file.checksum != row.checksum))
}

/// The applied rows that have to go, and those of what stands on them; the latest applied first.
pub(super) fn with_followers<'a>(
    opened: &'a Opened,
    history: &'a History,
    goes: impl Fn(&AppliedRevision) -> bool,
) -> Vec<&'a AppliedRevision> {
    let mut gone: HashSet<(&str, &str)> = HashSet::new();
    let mut rows = Vec::new();
    let known = |row: &&AppliedRevision| row.state == State::Applied && opened.package(&row.package).is_some();
    // In the order of application what a revision stands on comes before it.
    for row in history.rows().iter().filter(known) {
        let package = row.package.as_str();
        let depends = row.depends.iter().map(|on| on.split_once('/').unwrap_or((package, on)));
        let mut needs = row.parents.iter().map(|id| (package, id.as_str())).chain(depends);
        if goes(row) || needs.any(|need| gone.contains(&need)) {
            gone.insert((package, row.id.as_str()));
            rows.push(row);
        }
    }
    rows.reverse();
    rows
}

/// The steps that take them off.
pub(super) fn take_off(rows: &[&AppliedRevision], database: &Database) -> Result<Vec<Step>, Vec<Problem>> {
    if let Some(row) = rows.iter().find(|row| row.directives.irreversible) {
        return Err(vec![
            Problem::new(
                IRREVERSIBLE,
                format!("`{}` is not as it was applied, and it is declared irreversible", row.id),
            )
            .help(format!("start again: `cargo migrate -d {} reset`", database.lock_name())),
        ]);
    }
    Ok(rows.iter().map(|row| downgrade_step(row)).collect())
}

/// The history as it is once they are off; `None` where there are none.
pub(super) fn without(history: &History, off: &[&AppliedRevision]) -> Option<History> {
    if off.is_empty() {
        return None;
    }
    let gone: HashSet<i64> = off.iter().map(|row| row.sequence).collect();
    Some(History::new(history.rows().iter().filter(|row| !gone.contains(&row.sequence)).cloned().collect()))
}
