//! The one loop that moves a database. The command, an application and the tests go through it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use build_support::problem::{Code, Place, Problem, printable};
use build_support::revision::RevisionId;

use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::{Driver, Enforcement};
use crate::event::Event;
use crate::history::{AppliedRevision, History, State};
use crate::plan::{Direction, IRREVERSIBLE, Plan, Step};
use crate::sqlite::StoreError;
use crate::statement::{Statement, forbidden, may_break_rows, split};

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
    /// The time, in UTC and RFC 3339, for the version table.
    pub now: &'a dyn Fn() -> String,
    /// The tool's version, for the version table.
    pub tool_version: &'a str,
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

/// The files that a run takes its sections from.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The graph that the plan was made from.
    pub graph: &'a RevisionGraph,
    /// The folder.
    pub directory: &'a Directory,
}

/// A section's text and where it comes from.
struct Section {
    path: PathBuf,
    text: String,
    span: std::ops::Range<usize>,
}

impl Section {
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place::span(&self.path, self.text.as_str(), span)
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
    files: Files<'_>,
    planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>,
    options: &Options<'_>,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Report, Stopped> {
    let mut run = Run { driver, files, options, observer, done: Vec::new(), committed: 0 };
    let result = run.carry_out(planner);
    run.driver.rollback();
    run.driver.release_split();
    let (done, committed) = (run.done, run.committed);
    result.map(|history| Report { done: done.clone(), history }).map_err(|problems| Stopped {
        problems,
        kept: done.into_iter().take(committed).map(|(step, _)| step).collect(),
    })
}

struct Run<'a, 'o> {
    driver: &'a mut dyn Driver,
    files: Files<'a>,
    options: &'a Options<'a>,
    observer: &'o mut dyn FnMut(Event<'_>),
    done: Vec<(Step, Duration)>,
    committed: usize,
}

type Done<T> = Result<T, Vec<Problem>>;

fn one(problem: Problem) -> Vec<Problem> {
    vec![problem]
}

impl Run<'_, '_> {
    fn begin(&mut self, enforcement: Enforcement) -> Done<()> {
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
        // Every file is read and every statement looked at before the first one runs.
        for step in &plan.steps {
            self.preflight(&plan.package, step)?;
        }
        for (number, unit) in units.iter().enumerate() {
            let enforcement =
                if unit[0].directives.foreign_keys_on { Enforcement::Immediate } else { Enforcement::Deferred };
            if number > 0 || enforcement == Enforcement::Immediate {
                self.driver.rollback();
                self.begin(enforcement)?;
                let again = self.history()?;
                if names(&again, &plan.package) != names(&history, &plan.package) {
                    return Err(one(Problem::new(
                        HISTORY_MOVED,
                        "another runner has moved the database's history between two commits of this run",
                    )
                    .help("run the command again: it goes on from where the database is")));
                }
            }
            self.driver.ensure_table().map_err(|error| one(store_problem(&error)))?;
            if unit[0].directives.no_transaction {
                self.outside(&plan.package, &unit[0])?;
            } else {
                self.inside(&plan.package, unit)?;
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
        let start = Instant::now();
        loop {
            self.begin(Enforcement::Deferred)?;
            let history = self.history()?;
            // A revision under way: while its run lives it holds the split lock, and is waited for.
            let under_way = history.rows().iter().any(|row| row.state == State::Running);
            if under_way && !self.hold_split()? {
                self.wait_for_other(start)?;
                continue;
            }
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
                self.wait_for_other(start)?;
                continue;
            }
            (self.observer)(Event::Planned(&plan.steps));
            return Ok((history, plan));
        }
    }

    fn hold_split(&mut self) -> Done<bool> {
        self.driver.hold_split().map_err(|error| one(database_problem(&error)))
    }

    fn wait_for_other(&mut self, start: Instant) -> Done<()> {
        self.driver.rollback();
        if start.elapsed() >= self.options.wait {
            return Err(one(Problem::new(
                BUSY,
                "another process is in the middle of a run that commits more than once",
            )
            .help("wait for it and run the command again, or wait longer with `--wait SECONDS`")));
        }
        (self.observer)(Event::Waiting);
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    fn in_transaction(&mut self) -> Done<bool> {
        self.driver.in_transaction().map_err(|error| one(database_problem(&error)))
    }

    /// Steps that share the open transaction.
    fn inside(&mut self, package: &str, unit: &[Step]) -> Done<()> {
        for step in unit {
            (self.observer)(Event::Started(step));
            let start = Instant::now();
            let section = self.section(package, step)?;
            self.statements(step, &section, true)?;
            self.verify(step)?;
            self.record(package, step, start.elapsed(), State::Applied)?;
            let elapsed = start.elapsed();
            (self.observer)(Event::Finished(step, elapsed));
            self.done.push((step.clone(), elapsed));
        }
        let broken = self.driver.newly_broken_keys().map_err(|error| one(store_problem(&error)))?;
        if !broken.is_empty() {
            return Err(one(broken_keys(&broken, unit)));
        }
        self.driver.finish(package).map_err(|error| one(store_problem(&error)))
    }

    /// A `no-transaction` step: recorded as running, run statement by statement, recorded as done.
    fn outside(&mut self, package: &str, step: &Step) -> Done<()> {
        let store = |error: StoreError| one(store_problem(&error));
        (self.observer)(Event::Started(step));
        let start = Instant::now();
        let section = self.section(package, step)?;
        match step.direction {
            Direction::Upgrade => self.record(package, step, Duration::ZERO, State::Running)?,
            Direction::Downgrade => self.driver.mark(package, &step.id, true, 0).map_err(store)?,
        }
        self.commit()?;
        if let Err(problems) = self.statements(step, &section, false) {
            self.driver.rollback();
            return Err(problems
                .into_iter()
                .map(|problem| {
                    problem
                        .note(format!(
                            "`{}` runs outside a transaction: the statements before this one have taken effect",
                            step.id
                        ))
                        .help(format!("finish it by hand, then: `cargo migrate repair --finished {}`", step.id))
                        .help(format!("or undo it by hand, then: `cargo migrate repair --not-applied {}`", step.id))
                })
                .collect());
        }
        self.begin(Enforcement::Deferred)?;
        match step.direction {
            Direction::Upgrade => {
                self.verify(step)?;
                let elapsed = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
                self.driver.mark(package, &step.id, false, elapsed).map_err(store)?;
            }
            Direction::Downgrade => self.driver.forget(package, &step.id).map_err(store)?,
        }
        self.driver.finish(package).map_err(store)?;
        let elapsed = start.elapsed();
        (self.observer)(Event::Finished(step, elapsed));
        self.done.push((step.clone(), elapsed));
        Ok(())
    }

    fn statements(&mut self, step: &Step, section: &Section, transaction: bool) -> Done<()> {
        for statement in split(&section.text, section.span.clone()) {
            if transaction {
                let rows = !step.directives.foreign_keys_on && may_break_rows(&statement);
                let before = self.driver.look_at_keys(rows).map_err(|error| one(store_problem(&error)))?;
                if before > 0 {
                    (self.observer)(Event::BrokenBefore(before));
                }
            }
            self.driver.execute(statement.text).map_err(|error| one(statement_problem(&error, section, &statement)))?;
            if self.in_transaction()? != transaction && transaction {
                return Err(one(
                    Problem::new(TRANSACTION_ENDED, "this statement ended the run's transaction")
                        .at(section.place(statement.span))
                        .help("take out what ends it (`ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK, …)`), or say `-- migrate:no-transaction`"),
                ));
            }
        }
        if !transaction && self.in_transaction()? {
            return Err(one(Problem::new(TRANSACTION_ENDED, "this section leaves a transaction open")
                .at(Place::file(&section.path))
                .help("end it with `COMMIT;`")));
        }
        Ok(())
    }

    fn verify(&mut self, step: &Step) -> Done<()> {
        if step.direction == Direction::Downgrade {
            return Ok(());
        }
        let Some(migration) = self.files.graph.find(step.id.as_str()) else { return Ok(()) };
        let Some(span) = migration.verify.clone() else { return Ok(()) };
        let text = self.files.directory.text(migration).map_err(one)?;
        let section = Section { path: migration.path.clone(), text, span };
        for query in split(&section.text, section.span.clone()) {
            let wrong =
                self.driver.verify(query.text).map_err(|error| one(statement_problem(&error, &section, &query)))?;
            if let Some(value) = wrong {
                return Err(one(Problem::new(VERIFY_FAILED, format!("after `{}` this does not hold", step.id))
                    .at(section.place(query.span).label(format!("gave {value}")))
                    .note("the run was rolled back")
                    .help("mend what the upgrade does, or what is verified")));
            }
        }
        Ok(())
    }

    fn record(&mut self, package: &str, step: &Step, elapsed: Duration, state: State) -> Done<()> {
        let store = |error: StoreError| one(store_problem(&error));
        if step.direction == Direction::Downgrade {
            return self.driver.forget(package, &step.id).map_err(store);
        }
        let migration = self.files.graph.find(step.id.as_str());
        let down = match migration {
            Some(migration) => match &migration.down {
                Some(span) => Some(self.files.directory.text(migration).map_err(one)?[span.clone()].to_owned()),
                None => None,
            },
            None => None,
        };
        let row = AppliedRevision {
            package: package.to_owned(),
            id: step.id.clone(),
            // The driver gives the next number and the count.
            sequence: 0,
            checksum: step.hashes.checksum,
            statements: step.hashes.statements,
            seal: step.hashes.seal,
            parents: step.parents.clone(),
            depends: step.depends.clone(),
            directives: step.directives.clone(),
            message: step.message.clone(),
            applied_count: 0,
            state,
            applied_at: (self.options.now)(),
            elapsed_ms: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
            tool_version: self.options.tool_version.to_owned(),
            schema_hash: None,
        };
        self.driver.record(&row, down.as_deref()).map_err(store)
    }

    fn preflight(&mut self, package: &str, step: &Step) -> Done<()> {
        let section = self.section(package, step)?;
        let statements = split(&section.text, section.span.clone());
        match forbidden(&statements, step.directives.no_transaction) {
            None => Ok(()),
            Some(found) => Err(one(Problem::new(FORBIDDEN_STATEMENT, found.message)
                .at(section.place(found.span))
                .help(found.help))),
        }
    }

    /// The text that a step runs.
    fn section(&mut self, package: &str, step: &Step) -> Done<Section> {
        let migration = self.files.graph.find(step.id.as_str());
        if step.direction == Direction::Upgrade {
            let Some(migration) = migration else {
                return Err(one(Problem::new(
                    crate::plan::UNKNOWN_APPLIED,
                    format!("there is no file of `{}`", step.id),
                )));
            };
            let text = self.files.directory.text(migration).map_err(one)?;
            return Ok(Section { path: migration.path.clone(), text, span: migration.up.clone() });
        }
        let stored = self.driver.stored_down(package, &step.id).map_err(|error| one(store_problem(&error)))?;
        let file = match migration {
            Some(migration) => match &migration.down {
                Some(span) => Some((migration, self.files.directory.text(migration).map_err(one)?, span.clone())),
                None => None,
            },
            None => None,
        };
        let differ = match (&stored, &file) {
            (Some(stored), Some((_, text, span))) => stored != &text[span.clone()],
            (None, Some(_)) => true,
            (Some(_), None) => migration.is_some(),
            (None, None) => false,
        };
        let from = match (differ, self.options.down_from) {
            (false, _) => DownFrom::Stored,
            (true, Some(from)) => from,
            (true, None) => {
                let path =
                    migration.map_or_else(|| PathBuf::from(step.id.file_name()), |migration| migration.path.clone());
                return Err(one(Problem::new(
                    DOWN_DIFFERS,
                    format!("the down of `{}` in its file is not the one that was stored when it was applied", step.id),
                )
                .in_file(path)
                .help("`--down-from stored` runs the stored one, which undoes what was applied then")
                .help("`--down-from file` runs the file's")));
            }
        };
        match (from, stored, file) {
            (DownFrom::Stored, Some(text), Some((migration, whole, span))) if !differ => {
                drop(text);
                Ok(Section { path: migration.path.clone(), text: whole, span })
            }
            (DownFrom::Stored, Some(text), _) => {
                let span = 0..text.len();
                Ok(Section { path: PathBuf::from(format!("{} (stored down)", step.id)), text, span })
            }
            (DownFrom::File, _, Some((migration, text, span))) => {
                Ok(Section { path: migration.path.clone(), text, span })
            }
            _ => Err(one(Problem::new(
                IRREVERSIBLE,
                format!("`{}` has no down section, so it cannot be taken back", step.id),
            )
            .help("write one into its file and run `downgrade --down-from file`")
            .help("or write a new revision that undoes what it did"))),
        }
    }
}

/// The steps of a plan by the transactions that they share.
fn units(plan: &Plan, per_revision: bool) -> Vec<&[Step]> {
    plan.steps.chunk_by(|a, b| !per_revision && !a.directives.splits_run() && !b.directives.splits_run()).collect()
}

fn names<'h>(history: &'h History, package: &'h str) -> BTreeSet<&'h RevisionId> {
    history.of(package).map(|row| &row.id).collect()
}

fn broken_keys(broken: &[String], unit: &[Step]) -> Problem {
    const SHOWN: usize = 20;
    let mut problem = Problem::new(
        FOREIGN_KEYS,
        format!("the run would leave {} that point to nothing", counted(broken.len(), "reference")),
    );
    for line in broken.iter().take(SHOWN) {
        problem = problem.note(line.clone());
    }
    if broken.len() > SHOWN {
        problem = problem.note(format!("and {} more", broken.len() - SHOWN));
    }
    let ids: Vec<&str> = unit.iter().take(5).map(|step| step.id.as_str()).collect();
    problem
        .note(format!("everything was rolled back ({}{})", ids.join(", "), if unit.len() > 5 { ", …" } else { "" }))
        .help("delete or mend these rows in the migration, before the rows that they point to go")
        .help("where its deletes are to cascade, say `-- migrate:foreign-keys on` in the migration's header")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

fn statement_problem(error: &DatabaseError, section: &Section, statement: &Statement<'_>) -> Problem {
    if matches!(
        error.kind,
        ErrorKind::Busy | ErrorKind::Full | ErrorKind::ReadOnly | ErrorKind::Corrupt | ErrorKind::NotADatabase
    ) {
        return database_problem(error).at(section.place(statement.span.clone()));
    }
    let span = match error.offset {
        Some(offset) => {
            let start = statement.span.start + offset;
            let word =
                build_support::token::tokens(section.text.get(start..statement.span.end).unwrap_or_default()).next();
            start..start + word.map_or(1, |token| token.span.len())
        }
        None => statement.span.start..statement.span.end,
    };
    Problem::new(SQL_ERROR, printable(&error.message))
        .at(section.place(span))
        .note("everything that was not committed before was rolled back")
}

/// A database's own error as a problem with a way out.
#[must_use]
pub fn database_problem(error: &DatabaseError) -> Problem {
    let message = printable(&error.message);
    match error.kind {
        ErrorKind::Busy => Problem::new(BUSY, "another process holds the database locked")
            .note(message)
            .help("wait for it and run the command again, or wait longer with `--wait SECONDS`"),
        ErrorKind::ReadOnly => Problem::new(DATABASE, "the database can only be read")
            .note(message)
            .help("see who may write the file and its folder"),
        ErrorKind::Full => Problem::new(DATABASE, "there is no room left for the database")
            .note(message)
            .help("make room (or raise `max_page_count`) and run the command again; nothing was changed"),
        ErrorKind::NotADatabase => Problem::new(DATABASE, "this file is no SQLite database")
            .note(message)
            .help("see that the database's URL names the right file"),
        ErrorKind::Corrupt => Problem::new(DATABASE, "the database is damaged")
            .note(message)
            .help("restore a backup; `PRAGMA integrity_check` says what is damaged"),
        ErrorKind::CannotOpen => Problem::new(DATABASE, "the database cannot be opened")
            .note(message)
            .help("see that its folder exists and may be written"),
        ErrorKind::MissingTable | ErrorKind::Constraint | ErrorKind::Other => Problem::new(DATABASE, message),
    }
}

/// An error of the version table as a problem.
#[must_use]
pub fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Database(error) => database_problem(error),
        StoreError::Damaged(what) => {
            Problem::new(DATABASE, format!("the version table is damaged: {}", printable(what)))
                .help("restore a backup, or mend the row by hand")
        }
    }
}
