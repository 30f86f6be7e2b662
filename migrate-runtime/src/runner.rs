//! The one loop that moves a database. The command, an application and the tests go through it.
//!
//! `options` says how a run is made, `begin` waits for the runs of others, `retry` for their locks, `section` finds and
//! looks at the text that a step runs, `steps` runs and records it, `tables` knows which package makes which table,
//! `problems` puts what a database answers into words.

mod begin;
mod options;
mod problems;
mod retry;
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
use self::retry::Retries;
use self::section::Reads;
use crate::driver::{Driver, Enforcement};
use crate::event::Event;
use crate::history::History;
use crate::plan::{Direction, INTERRUPTED, Plan, Step, not_elsewhere};

pub use self::begin::{begin, under_way};
pub use self::options::{Before, DownFrom, Options};
pub use self::problems::{breaks_references, database_problem, store_problem, with_left_behind};
pub use self::section::check_words;
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
    let mut run = Run {
        driver,
        files,
        options,
        before: options.before,
        observer,
        done: Vec::new(),
        committed: 0,
        rows_seen: false,
        retries: Retries::new(),
    };
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
    /// What is still to be done before the first statement.
    before: Option<Before<'a>>,
    observer: &'o mut dyn FnMut(Event<'_>),
    done: Vec<(Step, Duration)>,
    committed: usize,
    /// Whether the rows that break a foreign key have been looked at in this transaction.
    rows_seen: bool,
    retries: Retries,
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
        let patience = self.patience();
        let observer = &mut *self.observer;
        self.driver
            .begin(enforcement, patience, &mut || observer(Event::Waiting))
            .map_err(|error| one(database_problem(&error)))
    }

    fn commit(&mut self) -> Done<()> {
        self.driver.commit(self.options.wait).map_err(|error| one(database_problem(&error)))?;
        (self.committed, self.retries) = (self.done.len(), Retries::new());
        (self.observer)(Event::Committed);
        Ok(())
    }

    fn history(&mut self) -> Done<History> {
        self.driver.history().map_err(|error| one(store_problem(&error)))
    }

    fn carry_out(&mut self, planner: &dyn Fn(&History) -> Done<Plan>) -> Done<History> {
        let (mut history, plan) = self.persistently(|run| run.plan(planner))?;
        (self.observer)(Event::Planned(&plan.steps));
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
        let mut begun = true;
        for unit in units {
            let enforcement =
                if unit[0].directives.foreign_keys_on { Enforcement::Immediate } else { Enforcement::Deferred };
            let mut attempt = |run: &mut Self| {
                if !std::mem::take(&mut begun) || enforcement == Enforcement::Immediate {
                    run.begin_again(enforcement, &plan, &history)?;
                }
                run.unit(unit, &plan, &history)
            };
            // Of a step outside a transaction, what ran before it missed a lock has taken effect.
            let outside = unit[0].directives.no_transaction;
            history = if outside { attempt(self)? } else { self.persistently(attempt)? };
        }
        Ok(history)
    }

    /// Begins the next transaction of a run, where nobody has moved the database since the one before.
    fn begin_again(&mut self, enforcement: Enforcement, plan: &Plan, history: &History) -> Done<()> {
        self.driver.rollback();
        self.begin(enforcement)?;
        let again = self.history()?;
        if names(&again, plan) == names(history, plan) {
            return Ok(());
        }
        Err(one(Problem::new(
            HISTORY_MOVED,
            "another runner has moved the database's history between two commits of this run",
        )
        .help("run the command again: it goes on from where the database is")))
    }

    /// Carries out the steps of the transaction that is open, and commits.
    fn unit(&mut self, unit: &[Step], plan: &Plan, before: &History) -> Done<History> {
        if let Some(before) = self.before.take() {
            before(&plan.steps).map_err(one)?;
        }
        self.driver.ensure_table().map_err(|error| one(store_problem(&error)))?;
        if unit[0].directives.no_transaction {
            self.outside(&unit[0])?;
        } else {
            self.inside(unit)?;
        }
        let history = self.history()?;
        if !unit[0].directives.no_transaction && names(&history, plan) != names_after(before, plan, unit) {
            return Err(one(self.rows_gone(unit)));
        }
        if !self.options.dry_run && self.in_transaction()? {
            self.commit()?;
        }
        Ok(history)
    }

    /// Takes the lock, reads the history and makes the plan; waits for a run that is between two of its commits.
    fn plan(&mut self, planner: &dyn Fn(&History) -> Done<Plan>) -> Done<(History, Plan)> {
        let mut patience = Patience::new(self.options.wait);
        loop {
            self.rows_seen = false;
            let wait = self.patience();
            let observer = &mut *self.observer;
            let history = begin(self.driver, wait, &mut || observer(Event::Waiting)).map_err(one)?;
            self.driver.release_split();
            not_elsewhere(&history, self.files.iter().map(|files| files.package)).map_err(one)?;
            let plan = planner(&history).map_err(|problems| self.with_left_behind(problems))?;
            if let Some(expected) = self.options.expected
                && *expected != plan
            {
                return Err(one(moved_since()));
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
            return Ok((history, plan));
        }
    }

    /// A revision that was interrupted may have left more than its row.
    fn with_left_behind(&mut self, problems: Vec<Problem>) -> Vec<Problem> {
        let told = |problem: Problem| match problem.code() {
            INTERRUPTED => with_left_behind(self.driver, problem),
            _ => problem,
        };
        problems.into_iter().map(told).collect()
    }

    fn hold_split(&mut self) -> Done<bool> {
        self.driver.hold_split().map_err(|error| one(database_problem(&error)))
    }

    fn in_transaction(&mut self) -> Done<bool> {
        self.driver.in_transaction().map_err(|error| one(database_problem(&error)))
    }
}

/// That another runner has moved the database since a plan was made.
#[must_use]
pub fn moved_since() -> Problem {
    Problem::new(HISTORY_MOVED, "the database's history has moved since it was looked at, so nothing was done")
        .note("another runner has changed it meanwhile, and what was meant would be something else now")
        .help("look at it (`cargo migrate status`), and run the command again where it is still meant")
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

/// The same once these steps are done.
fn names_after<'h>(before: &'h History, plan: &Plan, unit: &'h [Step]) -> BTreeSet<(&'h str, &'h RevisionId)> {
    let mut names = names(before, plan);
    for step in unit {
        let name = (step.package.as_str(), &step.id);
        match step.direction {
            Direction::Upgrade => names.insert(name),
            Direction::Downgrade => names.remove(&name),
        };
    }
    names
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
