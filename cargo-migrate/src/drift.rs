//! Whether a database's schema is what its revisions make: at a glance by the hash that the last run has left, object by
//! object by running the revisions again on a scratch database.

use build_support::problem::{Code, Problem};
use migrate_runtime::history::History;
use migrate_runtime::runner::store_problem;
use migrate_runtime::sqlite::Store;
use rusqlite::Connection;

use crate::app::{App, Opened};
use crate::diff;
use crate::failure::{Failure, Result};
use crate::introspect;
use crate::live::{Live, Looked};
use crate::project::Database;
use crate::project::settings::ColumnOrder;
use crate::source;

/// A database was changed by other means than its revisions.
pub const DRIFT: Code = Code("drift");

/// Whether the schema is another one than the last run has left. `None` where no run has left a word about it, or there
/// is no file.
///
/// # Errors
/// A database that cannot be read.
pub fn at_a_glance(looked: &mut Looked, opened: &Opened) -> Result<Option<bool>> {
    let (history, live) = looked.parts();
    // A server's schema has no hash of its text.
    let (Some(recorded), Some(connection)) = (recorded(history), live.and_then(Live::file)) else { return Ok(None) };
    Ok(Some(hash(connection, opened)? != recorded))
}

fn recorded(history: &History) -> Option<&str> {
    let newest = history.rows().iter().filter(|row| row.schema_hash.is_some()).max_by_key(|row| row.sequence);
    newest.and_then(|row| row.schema_hash.as_deref())
}

fn hash(connection: &mut Connection, opened: &Opened) -> Result<String> {
    let mut store = Store::new(connection, opened.project.settings().version_table.as_str());
    store.schema_hash().map_err(|error| Failure::from(store_problem(&error)))
}

/// What stands in for the list where the schema is another one at a glance.
#[must_use]
pub fn noticed(database: &str) -> Problem {
    Problem::new(DRIFT, format!("the schema of {database} was changed since the last run, by other means"))
        .as_warning()
        .help("see what differs: `cargo migrate check`")
        .help("keep the change as a revision: `cargo migrate revision --autogenerate --capture -m \"…\"`")
}

/// Everything in which the live schema is not what the applied revisions make, as one problem.
///
/// Where the database has revisions of packages that are not at hand, or that are not in this checkout, or that need
/// functions which only the program has, these cannot be run again, and the hash alone is compared.
///
/// # Errors
/// A database that cannot be read.
pub fn object_by_object(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    looked: &mut Looked,
) -> Result<Option<Problem>> {
    if database.server().is_some() {
        return Ok(None);
    }
    let history = &looked.history;
    let name = format!("`{}`", database.lock_name());
    if history.rows().is_empty() || history.rows().iter().any(migrate_runtime::history::AppliedRevision::is_half_way) {
        // Nothing has been run here, or it is not known how far.
        return Ok(None);
    }
    let by_hash = |looked: &mut Looked| -> Result<Option<Problem>> {
        let drifted = at_a_glance(looked, opened)? == Some(true);
        Ok(drifted.then(|| as_error(&name, "the schema is not the one that the last run has left")))
    };
    if !history.rows().iter().all(|row| opened.file_of(row).is_some()) {
        return by_hash(looked);
    }
    let version_table = &opened.project.settings().version_table;
    let (history, live) = looked.parts();
    let Some(connection) = live.and_then(Live::file) else { return Ok(None) };
    let is = introspect::read(connection, version_table)?;
    // What uses functions that only the program has cannot be run again here.
    let made = source::replay_history(app, opened, history).and_then(|made| introspect::read(&made, version_table));
    let Ok(made) = made else { return by_hash(looked) };
    // A column that was added is the last one, wherever a rebuild would have put it.
    let changes = diff::changes(&made, &is, ColumnOrder::Any);
    if changes.is_empty() {
        return Ok(None);
    }
    let problem = as_error(&name, "its schema is not what its revisions make");
    let all = format!("cargo migrate diff current {}", database.lock_name());
    Ok(Some(diff::listed(problem, &changes, &all)))
}

fn as_error(database: &str, what: &str) -> Problem {
    Problem::new(DRIFT, format!("{database} was changed by other means: {what}"))
        .help("keep the change as a revision: `cargo migrate revision --autogenerate --capture -m \"…\"`")
        .help("or take it back by hand in the database")
}
