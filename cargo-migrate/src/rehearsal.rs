//! A rehearsal: each revision up, down and up again on a copy of the database, and everything compared.
//!
//! What is worked on here is thrown away afterwards; the database that was copied is never written.

mod compared;
mod copy;
pub mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, Plan, downgrade_step};
use migrate_runtime::runner::{self, DownFrom, Files, Options};
use rusqlite::Connection;

use crate::app::{App, Opened};
use crate::failure::Result;
use crate::fingerprint::Fingerprint;
use crate::introspect::{self, failed};
use crate::schema::Schema;

pub use self::copy::{Copy, Start};

/// A revision that a rehearsal finds something wrong with.
pub const NOT_SAFE: Code = Code("not-safe");

/// How one way of a revision went.
#[derive(Clone, Debug)]
pub enum Way {
    /// It went, and took so long.
    Done(Duration),
    /// It was refused; the database stays as it was before it.
    Refused(Vec<Problem>),
    /// It was not tried; why.
    Untried(&'static str),
}

impl Way {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// What was found of something that should be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is not, and the revision says so in its header.
    Declared,
    /// It was not looked at.
    Untried,
}

/// What a rehearsal found of one revision.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// Its id.
    pub revision: String,
    /// The way up.
    pub up: Way,
    /// The way down.
    pub down: Way,
    /// The way up a second time.
    pub again: Way,
    /// How many rows the upgrade has inserted, changed or deleted.
    pub rows: u64,
    /// Whether the downgrade restores the schema.
    pub schema: Verdict,
    /// Whether it restores the rows.
    pub data: Verdict,
    /// Whether SQLite finds the file in order after the upgrade.
    pub integrity: Verdict,
    /// What is wrong, each thing in a line.
    pub faults: Vec<String>,
    /// What is to be known, and is not wrong.
    pub remarks: Vec<String>,
}

impl Rehearsed {
    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Rehearses revisions in this order on a copy that has everything that they stand on. It ends at the first one without
/// which the next ones cannot be tried.
///
/// # Errors
/// A copy that cannot be read.
pub fn rehearse(
    app: App<'_>,
    opened: &Opened,
    connection: &mut Connection,
    revisions: &[usize],
    observer: &mut dyn FnMut(usize, &str),
) -> Result<Vec<Rehearsed>> {
    let mut stage = Stage { app, opened, counted: Counted::of(connection, opened) };
    let mut found = Vec::new();
    for (number, at) in revisions.iter().enumerate() {
        observer(number, opened.graph.lineage().id(*at).as_str());
        let rehearsed = stage.revision(connection, *at)?;
        let goes_on = rehearsed.up.is_done() && (rehearsed.again.is_done() || !rehearsed.down.is_done());
        found.push(rehearsed);
        if !goes_on {
            break;
        }
    }
    Ok(found)
}

/// Counts the rows that statements change, without those of the version table.
struct Counted {
    own: Arc<AtomicU64>,
}

impl Counted {
    /// The copy's connection is ours, and so is its hook.
    fn of(connection: &mut Connection, opened: &Opened) -> Self {
        let own = Arc::new(AtomicU64::new(0));
        let (counter, version_table) = (Arc::clone(&own), opened.project.settings().version_table.clone());
        // Where the hook cannot be set, the rows of the version table are counted along.
        let _ = connection.update_hook(Some(move |_, _: &str, table: &str, _| {
            if table.eq_ignore_ascii_case(&version_table) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }));
        Self { own }
    }

    fn now(&self, connection: &Connection) -> u64 {
        let all = connection.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        u64::try_from(all).unwrap_or(0).saturating_sub(self.own.load(Ordering::Relaxed))
    }
}

/// A schema with what its tables hold.
struct Moment {
    schema: Schema,
    rows: Fingerprint,
}

struct Stage<'a> {
    app: App<'a>,
    opened: &'a Opened,
    counted: Counted,
}

impl Stage<'_> {
    fn moment(&self, connection: &Connection) -> Result<Moment> {
        let schema = introspect::read(connection, &self.opened.project.settings().version_table)?;
        let rows = Fingerprint::of(connection, &schema).map_err(failed)?;
        Ok(Moment { schema, rows })
    }

    fn revision(&mut self, connection: &mut Connection, at: usize) -> Result<Rehearsed> {
        let migration = self.opened.graph.migration(at);
        let directives = &migration.directives;
        let mut found = Rehearsed {
            revision: migration.id.to_string(),
            up: Way::Untried("not tried"),
            down: Way::Untried("not tried"),
            again: Way::Untried("not tried"),
            rows: 0,
            schema: Verdict::Untried,
            data: Verdict::Untried,
            integrity: Verdict::Untried,
            faults: Vec::new(),
            remarks: Vec::new(),
        };
        let before = self.moment(connection)?;
        let counted = self.counted.now(connection);
        found.up = self.upgrade(connection, at);
        found.rows = self.counted.now(connection).saturating_sub(counted);
        if let Way::Refused(problems) = &found.up {
            found
                .faults
                .extend(problems.iter().map(|problem| format!("the upgrade is refused: {}", problem.message())));
            return Ok(found);
        }
        found.integrity = integrity(connection, &mut found.faults);
        let after = introspect::read(connection, &self.opened.project.settings().version_table)?;
        if directives.irreversible {
            found.down = Way::Untried("irreversible");
            found.again = Way::Untried("irreversible");
            found.schema = Verdict::Declared;
            found.data = Verdict::Declared;
            found.remarks.push("it is declared irreversible, so its way back was not tried".to_owned());
            return Ok(found);
        }
        found.remarks.extend(compared::lost_by_downgrade(connection, &before.schema, &after)?);
        found.down = self.downgrade(connection, at);
        if let Way::Refused(problems) = &found.down {
            found
                .faults
                .extend(problems.iter().map(|problem| format!("the downgrade is refused: {}", problem.message())));
            return Ok(found);
        }
        let back = self.moment(connection)?;
        compared::schemas(&before.schema, &back.schema, &mut found);
        compared::rows(&before, &back, &directives.loses, &mut found);
        found.again = self.upgrade(connection, at);
        match &found.again {
            Way::Refused(problems) => {
                let refused =
                    problems.iter().map(|problem| format!("the second upgrade is refused: {}", problem.message()));
                found.faults.extend(refused);
            }
            Way::Done(_) => {
                let again = introspect::read(connection, &self.opened.project.settings().version_table)?;
                compared::second_time(&after, &again, &mut found.faults);
            }
            Way::Untried(_) => {}
        }
        Ok(found)
    }

    fn upgrade(&self, connection: &mut Connection, at: usize) -> Way {
        let key = self.opened.project.key();
        let id = self.opened.graph.lineage().id(at).clone();
        self.run(connection, &|history| {
            let mut plan = plan::upgrade_from(key, &self.opened.graph, history, id.as_str())?;
            // What it stands on has been rehearsed before it, or is there.
            plan.steps.retain(|step| step.id == id);
            Ok(plan)
        })
    }

    fn downgrade(&self, connection: &mut Connection, at: usize) -> Way {
        let key = self.opened.project.key();
        let id = self.opened.graph.lineage().id(at).clone();
        self.run(connection, &|history| {
            let steps = history.find(key, &id).map(downgrade_step).into_iter().collect();
            Ok(Plan { package: key.to_owned(), steps })
        })
    }

    fn run(&self, connection: &mut Connection, planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>) -> Way {
        let start = Instant::now();
        let now = || self.app.now();
        let options = Options {
            per_revision: false,
            dry_run: false,
            wait: self.opened.wait,
            expected: None,
            down_from: Some(DownFrom::Stored),
            before: None,
            now: &now,
            tool_version: env!("CARGO_PKG_VERSION"),
        };
        let files = Files { graph: &self.opened.graph, directory: &self.opened.directory };
        let mut driver = SqliteDriver::new(connection, &self.opened.project.settings().version_table);
        match runner::run(&mut driver, files, planner, &options, &mut |_| {}) {
            Ok(_) => Way::Done(start.elapsed()),
            Err(stopped) => Way::Refused(stopped.problems),
        }
    }
}

/// SQLite's own check of the file; what it finds is a fault.
fn integrity(connection: &Connection, faults: &mut Vec<String>) -> Verdict {
    let found = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match found.as_deref() {
        Ok("ok") => Verdict::Yes,
        Ok(what) => {
            faults.push(format!("SQLite finds the file damaged: {}", printable(what)));
            Verdict::No
        }
        Err(error) => {
            faults.push(format!("SQLite cannot check the file: {}", printable(&error.to_string())));
            Verdict::No
        }
    }
}
