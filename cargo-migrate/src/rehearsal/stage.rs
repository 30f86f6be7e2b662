//! A copy with the connection to it: where one revision after the other is tried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use build_support::problem::{Problem, printable};
use build_support::revision::RevisionId;
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::{At, Packages, Plan, downgrade_step};
use migrate_runtime::runner::{self, DownFrom, Options, store_problem};
use migrate_runtime::sqlite::Store;
use rusqlite::Connection;

use super::{Copy, Interrupts, Rehearsed, Start, Verdict, Way, compared, counted, no_second_copy};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::fingerprint::Fingerprint;
use crate::introspect::{self, failed};
use crate::schema::Schema;

/// A schema with what its tables hold.
pub(super) struct Moment {
    pub(super) schema: Schema,
    pub(super) rows: Fingerprint,
}

pub(super) struct Stage<'a> {
    app: App<'a>,
    opened: &'a Opened,
    packages: &'a Packages<'a>,
    // Closed before the copy's folder is removed.
    connection: Connection,
    counted: Counted,
    /// What was lost of the rows that the database has when these revisions were taken off.
    lost: BTreeMap<(String, RevisionId), Vec<String>>,
    copy: Copy,
}

impl<'a> Stage<'a> {
    /// A new copy, brought to where the first `tried` of these revisions have gone up and the others have not: what is
    /// applied of them, or stands on them, is taken off, and what they stand on is applied.
    pub(super) fn at(
        app: App<'a>,
        (opened, packages): (&'a Opened, &'a Packages<'a>),
        (start, interrupts): (Start<'_>, &Interrupts),
        revisions: &[At],
        tried: usize,
    ) -> Result<Self> {
        let copy = Copy::make(opened, start, interrupts)?;
        let mut connection = copy.open()?;
        let counted = Counted::of(&mut connection, opened);
        let mut stage = Self { app, opened, packages, connection, counted, lost: BTreeMap::new(), copy };
        stage.take_off(&packages.with_descendants(revisions))?;
        let mut needed = packages.with_ancestors(revisions);
        revisions[tried..].iter().for_each(|at| needed[at.0][at.1] = false);
        stage.prepared(&|history| {
            let applied = packages.applied(history);
            let missing = packages.order().iter().filter(|at| needed[at.0][at.1] && !applied[at.0][at.1]);
            Ok(Plan { steps: missing.map(|at| packages.upgrade_step(*at)).collect() })
        })?;
        Ok(stage)
    }

    /// Takes revisions off, the latest applied first, each by itself.
    fn take_off(&mut self, off: &[Vec<bool>]) -> Result<()> {
        let mut store = Store::new(&mut self.connection, self.opened.project.settings().version_table.as_str());
        let history = store.read_history().map_err(|error| store_problem(&error))?;
        let goes = |row: &&AppliedRevision| self.packages.find(row).is_some_and(|at| off[at.0][at.1]);
        for row in history.rows().iter().rev().filter(goes) {
            let held = compared::Held::by(&self.connection, &self.schema()?)?;
            self.prepared(&|_| Ok(Plan { steps: vec![downgrade_step(row)] }))?;
            self.lost.insert((row.package.clone(), row.id.clone()), held.lost(&self.schema()?));
        }
        Ok(())
    }

    fn prepared(&mut self, planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>) -> Result<()> {
        let Way::Refused(problems) = self.run(planner) else { return Ok(()) };
        let note = |problem: Problem| problem.note("the copy could not be brought to where the rehearsal starts");
        Err(Failure::from(problems.into_iter().map(note).collect::<Vec<_>>()))
    }

    /// Ends the work on the copy.
    pub(super) fn into_copy(self) -> Copy {
        self.copy
    }

    /// Tries a revision: up, down, up again. `before` makes another copy as this one is now.
    pub(super) fn rehearse(&mut self, at: At, before: &dyn Fn() -> Result<Self>) -> Result<Rehearsed> {
        let package = self.packages.all()[at.0];
        let migration = package.graph.migration(at.1);
        let directives = &migration.directives;
        let mut found = Rehearsed::of(package.key, self.opened.named(package.key, migration.id.as_str()));
        let was = self.moment(None)?;
        let counted = self.counted.now(&self.connection);
        found.up = self.upgrade(at);
        found.rows = self.counted.now(&self.connection).saturating_sub(counted);
        found.refused("the upgrade", &found.up.clone());
        if !found.up.is_done() {
            found.judge_foreign_keys();
            return Ok(found);
        }
        found.integrity = integrity(&self.connection, &mut found.faults);
        if directives.irreversible {
            found.down = Way::Untried("irreversible");
            found.again = Way::Untried("irreversible");
            found.schema = Verdict::Declared;
            found.data = Verdict::Declared;
            found.remarks.push("it is declared irreversible, so its way back was not tried".to_owned());
            found.judge_foreign_keys();
            return Ok(found);
        }
        let after = self.schema()?;
        // Where people have used what it made, it is their rows that count.
        found.remarks.extend(match self.lost.remove(&(package.key.to_owned(), migration.id.clone())) {
            Some(lost) => lost,
            None => compared::Held::by(&self.connection, &after)?.lost(&was.schema),
        });
        found.down = self.downgrade(at);
        found.refused("the downgrade", &found.down.clone());
        if found.down.is_done() {
            let back = self.moment(Some(&was.schema))?;
            compared::schemas(&was.schema, &back.schema, &mut found);
            self.compare_rows(&was, &back, &directives.loses, before, &mut found)?;
            found.again = self.upgrade(at);
            found.refused("the second upgrade", &found.again.clone());
            // Where the schema was not restored, another one must come of it.
            if found.again.is_done() && found.schema == Verdict::Yes {
                compared::second_time(&after, &self.schema()?, &mut found.faults);
            }
        }
        found.judge_foreign_keys();
        Ok(found)
    }

    fn compare_rows(
        &self,
        was: &Moment,
        back: &Moment,
        declared: &[String],
        before: &dyn Fn() -> Result<Self>,
        found: &mut Rehearsed,
    ) -> Result<()> {
        let differences = was.rows.differences(&back.rows);
        found.data = Verdict::Yes;
        if differences.is_empty() {
            return Ok(());
        }
        // How much is not as it was can only be told beside what was, which is made once more for it.
        let lines = match before() {
            Ok(pristine) => {
                // Somebody may have written to the database meanwhile, or a revision may not make the same twice.
                let same = pristine.moment(Some(&was.schema))?;
                counted::lines(&self.connection, pristine.into_copy(), (was, &same), &back.schema, &differences)?
            }
            Err(failure) => {
                found.remarks.push(no_second_copy(&failure));
                differences.iter().map(compared::uncounted).collect()
            }
        };
        compared::rows(lines, declared, found);
        Ok(())
    }

    fn schema(&self) -> Result<Schema> {
        introspect::read(&self.connection, &self.opened.project.settings().version_table)
    }

    /// What is there now, its rows told apart by the keys of another moment's schema, or of its own.
    fn moment(&self, keys: Option<&Schema>) -> Result<Moment> {
        let schema = self.schema()?;
        let rows = Fingerprint::of(&self.connection, &schema, keys.unwrap_or(&schema)).map_err(failed)?;
        Ok(Moment { schema, rows })
    }

    fn upgrade(&mut self, at: At) -> Way {
        let packages = self.packages;
        let id = packages.id(at).as_str();
        let targets: Vec<_> = (0..packages.all().len()).map(|place| (place == at.0).then_some(id)).collect();
        self.run(&|history| {
            let mut plan = packages.upgrade(history, &targets)?;
            // What it stands on has been rehearsed before it, or is there.
            plan.steps.retain(|step| step.id.as_str() == id && step.package == packages.all()[at.0].key);
            Ok(plan)
        })
    }

    fn downgrade(&mut self, at: At) -> Way {
        let (key, id) = (self.packages.all()[at.0].key, self.packages.id(at));
        self.run(&|history| Ok(Plan { steps: history.find(key, id).map(downgrade_step).into_iter().collect() }))
    }

    fn run(&mut self, planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>) -> Way {
        let start = Instant::now();
        let app = self.app;
        let now = || app.now();
        let options = Options {
            down_from: Some(DownFrom::Stored),
            ..Options::new(self.opened.wait, &now, env!("CARGO_PKG_VERSION"))
        };
        let files = self.opened.files();
        let mut driver = SqliteDriver::new(&mut self.connection, &self.opened.project.settings().version_table);
        match runner::run(&mut driver, &files, planner, &options, &mut |_| {}) {
            Ok(_) => Way::Done(start.elapsed()),
            Err(stopped) => Way::Refused(stopped.problems),
        }
    }
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
