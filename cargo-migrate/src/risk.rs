//! What a run can lose of the rows that are there, known before it starts.
//!
//! SQLite is asked: the statements are replayed on a scratch database with the live schema, whose authorizer tells what
//! each of them is about to do ([`crate::footprint`]). What it cannot tell counts as able to lose something.

use std::collections::BTreeSet;

use build_support::problem::printable;
use migrate_runtime::plan::{Direction, Step};
use migrate_runtime::runner::{DownFrom, store_problem};
use migrate_runtime::sqlite::Store;
use rusqlite::Connection;

use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::footprint::{ColumnDeed, Deed, Footprint, Kind, Replay};
use crate::introspect::failed;
use crate::report::many;
use crate::schema::text::{fold, identifier};
use crate::scratch;

/// What a run can lose, in words; nothing where no row is in danger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// Each table, or column, with what may become of its rows.
    pub dangers: Vec<String>,
}

impl Risk {
    /// Whether nothing that is there can be lost.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.dangers.is_empty()
    }
}

/// What these steps can lose of what is in a database.
///
/// # Errors
/// A database or a file that cannot be read.
pub fn of(opened: &Opened, connection: &mut Connection, steps: &[Step], down_from: Option<DownFrom>) -> Result<Risk> {
    let populated = populated(connection, &opened.project.settings().version_table)?;
    // Where there is no row there is nothing to lose, and nothing has to be replayed.
    if populated.is_empty() {
        return Ok(Risk::default());
    }
    let mut replay = Replay::new(scratch::empty_like(connection)?).map_err(failed)?;
    let mut footprint = Footprint::default();
    let mut unknown = 0;
    for step in steps {
        let Some(text) = text(opened, connection, step, down_from)? else { continue };
        let (touched, unplayable) = replay.record(&text, 0..text.len());
        unknown += unplayable.len();
        footprint.extend(touched);
    }
    let mut dangers: Vec<String> = Vec::new();
    for (_, name, touch) in
        footprint.touches().filter(|(kind, name, _)| *kind == Kind::Table && populated.contains(*name))
    {
        let name = printable(name);
        if touch.deeds.contains(&Deed::Drop) {
            dangers.push(format!("`{name}` is dropped, rebuilt or renamed"));
        } else if touch.deeds.contains(&Deed::Erase) {
            dangers.push(format!("rows of `{name}` are changed or deleted"));
        }
        for (column, deeds) in &touch.columns {
            if deeds.contains(&ColumnDeed::Drop) && !touch.deeds.contains(&Deed::Drop) {
                dangers.push(format!("`{name}.{}` is dropped or renamed", printable(column)));
            }
        }
    }
    if unknown > 0 {
        let statements = if unknown == 1 { "a statement".to_owned() } else { many(unknown, "statement") };
        dangers.push(format!("{statements} could not be looked at beforehand"));
    }
    Ok(Risk { dangers })
}

/// Whether a database has any row that is not the version table's.
///
/// # Errors
/// A database that cannot be read.
pub fn has_rows(connection: &Connection, opened: &Opened) -> Result<bool> {
    Ok(!populated(connection, &opened.project.settings().version_table)?.is_empty())
}

/// The tables with rows, by their folded names.
fn populated(connection: &Connection, version_table: &str) -> Result<BTreeSet<String>> {
    let mut names = connection
        .prepare(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND lower(substr(name, 1, 7)) <> 'sqlite_' \
             AND name <> ?1 COLLATE NOCASE",
        )
        .map_err(failed)?;
    let names: Vec<String> =
        names.query_map([version_table], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?;
    let has_rows = |name: &String| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM main.{})", identifier(name));
        // A virtual table whose module this program lacks may hold anything.
        connection.query_row(&sql, [], |row| row.get::<_, bool>(0)).unwrap_or(true)
    };
    Ok(names.iter().filter(|name| has_rows(name)).map(|name| fold(name)).collect())
}

/// The text that a step runs.
fn text(
    opened: &Opened,
    connection: &mut Connection,
    step: &Step,
    down_from: Option<DownFrom>,
) -> Result<Option<String>> {
    let package = opened.package(&step.package);
    let file = package.and_then(|package| Some((package, package.graph.find(step.id.as_str())?)));
    if step.direction == Direction::Upgrade {
        let Some((package, file)) = file else { return Ok(None) };
        return Ok(Some(package.directory.text(file)?[file.up.clone()].to_owned()));
    }
    if let (Some(DownFrom::File), Some((package, file))) = (down_from, file) {
        let down = file.down.clone();
        return down.map(|down| Ok(package.directory.text(file)?[down].to_owned())).transpose();
    }
    let mut store = Store::new(connection, opened.project.settings().version_table.as_str());
    store.stored_down(&step.package, &step.id).map_err(|error| Failure::from(store_problem(&error)))
}
