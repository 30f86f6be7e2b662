//! What a run can lose of the rows that are there, known before it starts.
//!
//! SQLite is asked: the statements are replayed on a scratch database with the live schema, whose authorizer tells what
//! each of them is about to do ([`crate::footprint`]). What it cannot tell counts as able to lose something. `server` goes
//! by the `words` of the statements, since a server cannot be asked.

mod server;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use build_support::problem::printable;
use migrate_runtime::plan::{Direction, Step};
use migrate_runtime::runner::{DownFrom, store_problem};
use rusqlite::Connection;

use self::server::Patience;
use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::footprint::{ColumnDeed, Deed, Footprint, Kind, Replay};
use crate::introspect::failed;
use crate::live::{self, Live};
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

/// What has been replayed, for databases that are alike: of a thousand with one schema one replay tells for all.
#[derive(Clone, Debug, Default)]
pub struct Replayed(Arc<Mutex<HashMap<Alike, Arc<Told>>>>);

/// What a replay depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alike {
    /// The statements that make the live schema.
    schema: String,
    /// The packages and revisions that are applied. What they run is what their files say.
    steps: Vec<(String, String)>,
}

/// What a replay has told.
#[derive(Debug, Default)]
struct Told {
    footprint: Footprint,
    unknown: usize,
}

impl Replayed {
    /// How many different ones are remembered.
    const MOST: usize = 64;

    /// What a replay tells, from an earlier one where there was such.
    fn told(&self, alike: Option<Alike>, replay: impl FnOnce() -> Result<Told>) -> Result<Arc<Told>> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = alike.as_ref().and_then(|alike| known().get(alike).cloned()) {
            return Ok(told);
        }
        let told = Arc::new(replay()?);
        let mut known = known();
        if let Some(alike) = alike.filter(|_| known.len() < Self::MOST) {
            known.insert(alike, Arc::clone(&told));
        }
        Ok(told)
    }
}

/// What these steps can lose of what is in a database.
///
/// # Errors
/// A database or a file that cannot be read.
pub fn of(opened: &Opened, live: &mut Live, steps: &[Step], down_from: Option<DownFrom>) -> Result<Risk> {
    let start = Instant::now();
    if !has_rows(live, opened)? {
        // Where there is no row there is nothing to lose, and nothing has to be looked at.
        return Ok(Risk::default());
    }
    match live {
        Live::File(connection) => of_file(opened, connection, steps, down_from),
        Live::Server(_) => {
            let mut texts = Vec::new();
            for step in steps {
                texts.extend(text(opened, live, step, down_from)?);
            }
            let Live::Server(client) = live else { return Ok(Risk::default()) };
            let left = opened.wait.saturating_sub(start.elapsed());
            Ok(Risk { dangers: server::dangers(client, &texts, Patience::of(left)) })
        }
    }
}

/// What these steps can lose of a database of which nothing is known but the revisions that it has, so that each of its
/// tables may have rows. `before` is a scratch database with those revisions' schema; a server's needs none.
///
/// # Errors
/// A file that cannot be read.
pub fn by_files(opened: &Opened, before: Option<Connection>, steps: &[Step]) -> Result<Risk> {
    let texts = |connection: &mut Connection| -> Result<Vec<String>> {
        let texts = steps.iter().map(|step| text(opened, connection, step, Some(DownFrom::File)));
        Ok(texts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let Some(mut connection) = before else {
        let texts = texts(&mut live::file::in_memory()?)?;
        return Ok(Risk { dangers: server::possible_dangers(&texts) });
    };
    let texts = texts(&mut connection)?;
    let tables = tables(&connection, &opened.project.settings().version_table)?;
    let told = replayed(connection, &texts)?;
    Ok(Risk { dangers: in_words(&told, &tables.iter().map(|name| fold(name)).collect()) })
}

fn of_file(opened: &Opened, connection: &mut Connection, steps: &[Step], down_from: Option<DownFrom>) -> Result<Risk> {
    let populated = populated(connection, &opened.project.settings().version_table)?;
    let told = opened.replayed.told(alike(connection, steps)?, || {
        let mut texts = Vec::new();
        for step in steps {
            texts.extend(text(opened, connection, step, down_from)?);
        }
        replayed(scratch::empty_like(connection)?, &texts)
    })?;
    Ok(Risk { dangers: in_words(&told, &populated) })
}

/// What texts do that are run one after another on a scratch database.
fn replayed(scratch: Connection, texts: &[String]) -> Result<Told> {
    let mut replay = Replay::new(scratch).map_err(failed)?;
    let mut told = Told::default();
    for text in texts {
        let (touched, unplayable) = replay.record(text, 0..text.len());
        told.unknown += unplayable.len();
        told.footprint.extend(touched);
    }
    Ok(told)
}

/// What that means for the tables that have rows, by their folded names.
fn in_words(told: &Told, populated: &BTreeSet<String>) -> Vec<String> {
    let mut dangers: Vec<String> = Vec::new();
    for (_, name, touch) in
        told.footprint.touches().filter(|(kind, name, _)| *kind == Kind::Table && populated.contains(*name))
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
    if told.unknown > 0 {
        let statements = if told.unknown == 1 { "a statement".to_owned() } else { many(told.unknown, "statement") };
        dangers.push(format!("{statements} could not be looked at beforehand"));
    }
    dangers
}

/// What a replay of these steps on this database depends on; nothing where a text from its own record is run.
fn alike(connection: &Connection, steps: &[Step]) -> Result<Option<Alike>> {
    if steps.iter().any(|step| step.direction != Direction::Upgrade) {
        return Ok(None);
    }
    let mut statement =
        connection.prepare("SELECT type, sql FROM main.sqlite_master ORDER BY rowid").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut schema = String::new();
    while let Some(row) = rows.next().map_err(failed)? {
        for at in 0..2 {
            schema.push_str(row.get::<_, Option<String>>(at).map_err(failed)?.as_deref().unwrap_or_default());
            schema.push('\0');
        }
    }
    let steps = steps.iter().map(|step| (step.package.clone(), step.id.to_string())).collect();
    Ok(Some(Alike { schema, steps }))
}

/// Whether a database has any row that is not the version table's.
///
/// # Errors
/// A database that cannot be read.
pub fn has_rows(live: &mut Live, opened: &Opened) -> Result<bool> {
    let table = &opened.project.settings().version_table;
    match live {
        Live::File(connection) => Ok(!populated(connection, table)?.is_empty()),
        Live::Server(client) => Ok(server::has_any_rows(client, table, Patience::of(opened.wait))),
    }
}

/// All tables that are people's.
fn tables(connection: &Connection, version_table: &str) -> Result<Vec<String>> {
    let mut names = connection
        .prepare(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND lower(substr(name, 1, 7)) <> 'sqlite_' \
             AND name <> ?1 COLLATE NOCASE",
        )
        .map_err(failed)?;
    names.query_map([version_table], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)
}

/// The tables with rows, by their folded names.
fn populated(connection: &Connection, version_table: &str) -> Result<BTreeSet<String>> {
    let names = tables(connection, version_table)?;
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
    database: &mut dyn migrate_runtime::database::Database,
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
    let mut driver = database.driver(&opened.project.settings().version_table);
    driver.stored_down(&step.package, &step.id).map_err(|error| Failure::from(store_problem(&error)))
}
