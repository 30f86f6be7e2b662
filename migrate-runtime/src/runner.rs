//! The one loop that moves a database. The command, an application and the tests go through it.
//!
//! `begin` waits for the runs of others, `section` finds and looks at the text that a step runs, `steps` runs and records it, `tables` knows which package makes which
//! table, `problems` puts what a database answers into words.

mod begin;
mod problems;
mod section;
mod steps;
mod tables;

use std::collections::BTreeSet;
use std::time::Duration;

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::problem::{Code, Problem};
use build_support::revision::RevisionId;

use self::begin::{Patience, between_commits};
use self::section::Reads;
use crate::driver::{Driver, Enforcement};
use crate::event::Event;
use crate::history::History;
use crate::plan::{Plan, Step};

pub use self::begin::{begin, under_way};
pub use self::problems::{database_problem, store_problem};
pub use self::tables::{MADE_TWICE, made_twice, one_maker_each};

/// A statement of a migration failed.
pub const SQL_ERROR: Code = Code("sql-error");
/// A statement that a migration may not hold.
pub const FORBIDDEN_STATEMENT: Code = Code("forbidden-statement");
/// The runner's transaction was ended by something in the migration.
pub const TRANSACTION_ENDED: Code = Code("transaction-ended");
/// A query of a verify section was not true.
pub const VERIFY_FAILED: Code = Code("verify-failed");
/// References point to rows, tables or keys that are not there.
pub const FOREIGN_KEYS: Code = Code("foreign-keys");
/// The database is locked.
pub const BUSY: Code = Code("database-busy");
/// The database cannot be read or written.
pub const DATABASE: Code = Code("database");
/// The history is not what it was when the plan was shown.
pub const HISTORY_MOVED: Code = Code("history-moved");
/// The file's down section is not the stored one.
pub const DOWN_DIFFERS: Code = Code("down-differs");

/// Which down text a downgrade runs where the stored one and the file's differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownFrom {
    /// The one that was stored when the revision was applied.
    Stored,
    /// The file's.
    File,
}

/// What is done before a run's first statement, with its steps.
pub type Before<'a> = &'a dyn Fn(&[Step]) -> Result<(), Problem>;

/// How a run is made.
pub struct Options<'a> {
    /// Commit after each revision instead of once.
    pub per_revision: bool,
    /// Roll everything back at the end.
    pub dry_run: bool,
    /// How long to wait for another runner.
    pub wait: Duration,
    /// The plan that a person has confirmed.
    pub expected: Option<&'a Plan>,
    /// Which down text to run where two differ; `None` refuses.
    pub down_from: Option<DownFrom>,
    /// Called once in a run that has something to do, with the lock held and before the first statement: whoever wants a
    /// copy of the database makes it here, with a connection of its own. A problem ends the run.
    pub before: Option<Before<'a>>,
    /// The time, in UTC and RFC 3339, for the version table.
    pub now: &'a dyn Fn() -> String,
    /// The tool's version, for the version table.
    pub tool_version: &'a str,
}

impl<'a> Options<'a> {
    /// A run as it is where nothing else is said: one transaction that is kept, by a plan that nobody has seen.
    #[must_use]
    pub fn new(wait: Duration, now: &'a dyn Fn() -> String, tool_version: &'a str) -> Self {
        Self {
            per_revision: false,
            dry_run: false,
            wait,
            expected: None,
            down_from: None,
            before: None,
            now,
            tool_version,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("per_revision", &self.per_revision)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The steps that count, each with its time; in a dry run, those that would.
    pub done: Vec<(Step, Duration)>,
    /// The rows of the version table after the run.
    pub history: History,
}

/// A problem that ended a run, and what had been kept before it.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// What went wrong.
    pub problems: Vec<Problem>,
    /// The steps that were committed before, where the run was split.
    pub kept: Vec<Step>,
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], kept: Vec::new() }
    }
}

impl From<Vec<Problem>> for Stopped {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems, kept: Vec::new() }
    }
}

/// The files of a package that a run takes its sections from.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The package's key in the version table.
    pub package: &'a str,
    /// The graph that the plan was made from.
    pub graph: &'a RevisionGraph,
    /// Where their texts are.
    pub directory: &'a dyn Texts,
}

/// Where the texts of migrations are: a folder, or a program that carries them.
pub trait Texts: std::fmt::Debug {
    /// The normalised text of a migration, the one that its hashes are of.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it was.
    fn text(&self, migration: &Migration) -> Result<String, Problem>;
}

impl Texts for Directory {
    fn text(&self, migration: &Migration) -> Result<String, Problem> {
        self.text(migration)
    }
}

/// Makes a plan under the database's lock and carries it out.
///
/// `planner` is called with the history once the lock is held, so that the loser of a race finds nothing to do.
///
/// # Errors
/// Whatever stops the run; what it had not committed by then is rolled back.
pub fn run(
    driver: &mut dyn Driver,
    files: &[Files<'_>],
    planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>,
    options: &Options<'_>,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Report, Stopped> {
    let mut run = Run { driver, files, options, observer, done: Vec::new(), committed: 0, rows_seen: false };
    let result = run.carry_out(planner);
    run.driver.rollback();
    run.driver.release_split();
    let (done, committed) = (run.done, run.committed);
    match result {
        Ok(history) => Ok(Report { done, history }),
        Err(problems) => {
            Err(Stopped { problems, kept: done.into_iter().take(committed).map(|(step, _)| step).collect() })
        }
    }
}

struct Run<'a, 'o> {
    driver: &'a mut dyn Driver,
    files: &'a [Files<'a>],
    options: &'a Options<'a>,
    observer: &'o mut dyn FnMut(Event<'_>),
    done: Vec<(Step, Duration)>,
    committed: usize,
    /// Whether the rows that break a foreign key have been looked at in this transaction.
    rows_seen: bool,
}

type Done<T> = Result<T, Vec<Problem>>;

fn one(problem: Problem) -> Vec<Problem> {
    vec![problem]
}

impl<'a> Run<'a, '_> {
    /// The file of a step's revision and where its text is; none where this checkout has no such file.
    fn file_of(&self, step: &Step) -> Option<(&'a Migration, &'a dyn Texts)> {
        let files = self.files.iter().find(|files| files.package == step.package)?;
        Some((files.graph.find(step.id.as_str())?, files.directory))
    }

    fn begin(&mut self, enforcement: Enforcement) -> Done<()> {
        self.rows_seen = false;
        let observer = &mut *self.observer;
        self.driver
            .begin(enforcement, self.options.wait, &mut || observer(Event::Waiting))
            .map_err(|error| one(database_problem(&error)))
    }

    fn commit(&mut self) -> Done<()> {
        self.driver.commit(self.options.wait).map_err(|error| one(database_problem(&error)))?;
        self.committed = self.done.len();
        (self.observer)(Event::Committed);
        Ok(())
    }

    fn history(&mut self) -> Done<History> {
        self.driver.history().map_err(|error| one(store_problem(&error)))
    }

    fn carry_out(&mut self, planner: &dyn Fn(&History) -> Done<Plan>) -> Done<History> {
        let (mut history, plan) = self.plan(planner)?;
        let units = units(&plan, self.options.per_revision);
        if units.is_empty() {
            return Ok(history);
        }
        // Every statement is looked at before the first one runs.
        let reads = if units.len() > 1 || plan.is_split() { Reads::All } else { Reads::WhereUnknown };
        for step in &plan.steps {
            self.preflight(step, reads)?;
        }
        one_maker_each(self.files, &plan, &history)?;
        for (number, unit) in units.iter().enumerate() {
            let enforcement =
                if unit[0].directives.foreign_keys_on { Enforcement::Immediate } else { Enforcement::Deferred };
            if number > 0 || enforcement == Enforcement::Immediate {
                self.driver.rollback();
                self.begin(enforcement)?;
                let again = self.history()?;
                if names(&again, &plan) != names(&history, &plan) {
                    return Err(one(Problem::new(
                        HISTORY_MOVED,
                        "another runner has moved the database's history between two commits of this run",
                    )
                    .help("run the command again: it goes on from where the database is")));
                }
            }
            if let (0, Some(before)) = (number, self.options.before) {
                before(&plan.steps).map_err(one)?;
            }
            self.driver.ensure_table().map_err(|error| one(store_problem(&error)))?;
            if unit[0].directives.no_transaction {
                self.outside(&unit[0])?;
            } else {
                self.inside(unit)?;
            }
            history = self.history()?;
            if !self.options.dry_run && self.in_transaction()? {
                self.commit()?;
            }
        }
        Ok(history)
    }

    /// Takes the lock, reads the history and makes the plan; waits for a run that is between two of its commits.
    fn plan(&mut self, planner: &dyn Fn(&History) -> Done<Plan>) -> Done<(History, Plan)> {
        let mut patience = Patience::new(self.options.wait);
        loop {
            self.rows_seen = false;
            let observer = &mut *self.observer;
            let history = begin(self.driver, self.options.wait, &mut || observer(Event::Waiting)).map_err(one)?;
            self.driver.release_split();
            let plan = planner(&history)?;
            if let Some(expected) = self.options.expected
                && *expected != plan
            {
                return Err(one(Problem::new(
                    HISTORY_MOVED,
                    "the database's history has moved since the plan was shown, so nothing was done",
                )
                .help("run the command again and look at the new plan")));
            }
            let split = units(&plan, self.options.per_revision).len() > 1 || plan.is_split();
            if split && self.options.dry_run {
                return Err(one(Problem::new(
                    DATABASE,
                    "this run needs several commits, so it cannot be tried and rolled back in place",
                )
                .help("try it on a copy of the database")));
            }
            if split && !self.hold_split()? {
                self.driver.rollback();
                let observer = &mut *self.observer;
                patience.pause(between_commits(), &mut || observer(Event::Waiting)).map_err(one)?;
                continue;
            }
            (self.observer)(Event::Planned(&plan.steps));
            return Ok((history, plan));
        }
    }

    fn hold_split(&mut self) -> Done<bool> {
        self.driver.hold_split().map_err(|error| one(database_problem(&error)))
    }

    fn in_transaction(&mut self) -> Done<bool> {
        self.driver.in_transaction().map_err(|error| one(database_problem(&error)))
    }
}

/// The steps of a plan by the transactions that they share.
fn units(plan: &Plan, per_revision: bool) -> Vec<&[Step]> {
    plan.steps.chunk_by(|a, b| !per_revision && !a.directives.splits_run() && !b.directives.splits_run()).collect()
}

fn names<'h>(history: &'h History, plan: &Plan) -> BTreeSet<(&'h str, &'h RevisionId)> {
    let packages = plan.packages();
    let rows = history.rows().iter().filter(|row| packages.contains(&row.package.as_str()));
    rows.map(|row| (row.package.as_str(), &row.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::recording::RecordingDriver;
    use crate::plan;
    use build_support::directory::FILE_MOVED;

    /// Runs two revisions, of which the second one's file is edited once the plan is made; gives how the run was
    /// stopped and the script of what it would have done by then.
    fn edited_under_way(per_revision: bool) -> (Stopped, String) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path(), "migrations");
        for (id, parent) in [("a1", "base"), ("a2", "a1")] {
            let text = format!("-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {id} (x);\n");
            directory.create(&RevisionId::new(id).unwrap(), &text).unwrap();
        }
        let graph = RevisionGraph::new("app", directory.read().unwrap()).unwrap();
        let planner = |history: &History| {
            directory.replace("a2.sql", "-- migrate:up\nCOMMIT;\n").unwrap();
            plan::upgrade("app", &graph, history, "head", "`dev`")
        };
        let mut stored_down = |_: &str, _: &RevisionId| Ok(None);
        let mut driver = RecordingDriver::new(&["app"], "_m", &History::default(), &mut stored_down, None);
        let options = Options { per_revision, ..Options::new(Duration::ZERO, &String::new, "0") };
        let files = [Files { package: "app", graph: &graph, directory: &directory }];
        let stopped = run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap_err();
        assert_eq!(stopped.problems.iter().map(Problem::code).collect::<Vec<_>>(), [FILE_MOVED]);
        (stopped, driver.into_script())
    }

    #[test]
    fn a_file_that_is_edited_under_way_stops_a_run_before_anything_is_kept() {
        for per_revision in [false, true] {
            let (stopped, script) = edited_under_way(per_revision);
            assert!(stopped.kept.is_empty(), "{:?}", stopped.kept);
            assert!(!script.contains("COMMIT"), "{script}");
        }
    }
}
