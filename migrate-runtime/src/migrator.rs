//! A program's run with its settings.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use build_support::graph::RevisionGraph;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::{RevisionId, listed};
use build_support::token::Dialect;
use build_support::verify::EDITED_COMMENTS;

use crate::database::Database;
use crate::driver::{Driver, VersionTable};
use crate::event::Event;
use crate::history::{AppliedRevision, History};
use crate::migrations::{AHEAD, BEHIND, Error, Migrations, Outcome, Status};
use crate::plan::{self, Package, Packages, Plan, UNKNOWN_APPLIED};
use crate::runner::{self, BUSY, DownFrom, Files, Options, database_problem, store_problem};

/// The connection has a transaction open that is not the runner's.
pub const OPEN_TRANSACTION: Code = Code("open-transaction");
/// Going back would take off more than the program has allowed.
pub const NOT_ALLOWED: Code = Code("not-allowed");

/// What to do where the database has revisions that the program does not know: an older program after a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfAhead {
    /// Refuse to go on, with [`AHEAD`].
    #[default]
    Refuse,
    /// Leave the database as it is, tell the observer and go on.
    Warn,
    /// Take them off with the downs that were stored when they were applied.
    GoBack(GoBack),
}

/// What a program may lose by going back. Every stored down counts as one that can lose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBack {
    /// The ids that may be taken off; others are refused.
    pub allowed: Vec<String>,
    /// Where the database is copied to first. A file that is there already is not overwritten.
    pub backup: PathBuf,
}

/// A run of a program's migrations with its settings; [`Migrations::migrator`] starts one.
///
/// ```no_run
/// # #[cfg(feature = "rusqlite")] {
/// # use migrate_runtime::Migrations;
/// # static MIGRATIONS: Migrations = Migrations::embedded("app", "migrations", &[], None);
/// use std::time::Duration;
/// use migrate_runtime::event::Event;
/// use migrate_runtime::migrator::IfAhead;
///
/// let mut connection = rusqlite::Connection::open("app.db").unwrap();
/// let outcome = MIGRATIONS
///     .migrator()
///     .wait(Duration::from_secs(5))
///     .if_ahead(IfAhead::Warn)
///     .observe(|event| if let Event::Started(step) = event { eprintln!("applying {}", step.id) })
///     .upgrade(&mut connection);
/// # }
/// ```
pub struct Migrator<'a> {
    parts: Vec<&'a Migrations>,
    wait: Duration,
    version_table: String,
    if_ahead: IfAhead,
    observer: Box<dyn FnMut(Event<'_>) + 'a>,
}

impl std::fmt::Debug for Migrator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migrator").field("wait", &self.wait).field("if_ahead", &self.if_ahead).finish_non_exhaustive()
    }
}

impl<'a> Migrator<'a> {
    pub(crate) fn new(parts: Vec<&'a Migrations>) -> Self {
        Self {
            parts,
            wait: Duration::from_secs(30),
            version_table: "_cargo_migrate".to_owned(),
            if_ahead: IfAhead::Refuse,
            observer: Box::new(|_| {}),
        }
    }

    /// How long to wait for another process that migrates; 30 seconds if not said.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The version table's name, where the configuration gives it another than `_cargo_migrate`: letters, digits and
    /// `_`. On PostgreSQL a schema may stand before it: `ops._cargo_migrate` is there whatever the search path is, and the
    /// schema is made with the table where it is missing.
    #[must_use]
    pub fn version_table(mut self, name: &str) -> Self {
        name.clone_into(&mut self.version_table);
        self
    }

    /// What to do where the database is ahead; [`IfAhead::Refuse`] if not said.
    #[must_use]
    pub fn if_ahead(mut self, policy: IfAhead) -> Self {
        self.if_ahead = policy;
        self
    }

    /// Is told what happens, for a log.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(Event<'_>) + 'a) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// As [`Migrations::upgrade`].
    ///
    /// # Errors
    /// As there.
    pub fn upgrade(mut self, database: &mut (impl Database + ?Sized)) -> Result<Outcome, Error> {
        let driver = &mut *self.driver(database)?;
        no_transaction_open(driver)?;
        if self.is_at_head(driver)? {
            return Ok(Outcome::default());
        }
        let graphs = self.graphs()?;
        let packages = self.packages(&graphs)?;
        let ahead = ahead(&packages, &self.history(driver)?);
        if !ahead.is_empty() {
            match self.if_ahead.clone() {
                IfAhead::Refuse => return Err(ahead_problem(&ahead).into()),
                IfAhead::Warn => return self.go_on(driver, &packages, ahead),
                IfAhead::GoBack(allowed) => return self.go_back(driver, &packages, &ahead, &allowed),
            }
        }
        let targets = vec![Some("heads"); self.parts.len()];
        let planner = |history: &History| {
            let problems = objections(&packages, history);
            if problems.is_empty() { packages.upgrade(history, &targets) } else { Err(problems) }
        };
        self.run(driver, &packages, &planner)
    }

    /// As [`Migrations::upgrade_url`], in the thread that it is called in, as the observer's: in one that runs asynchronous
    /// code the database library panics, and `tokio::task::spawn_blocking` has others.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "postgres-url")]
    pub fn upgrade_url(self, url: &str) -> Result<Outcome, Error> {
        let server = crate::server::ServerUrl::parse(url, &crate::server::Environment::of_process())?;
        let keys: Vec<&str> = self.parts.iter().map(|part| part.package()).collect();
        let mut client = server
            .connect(&keys.join(", "))
            .map_err(|error| database_problem(&error).note(format!("the database is `{server}`")))?;
        self.upgrade(&mut client)
    }

    /// As [`Migrations::downgrade_to`]. Of several packages only `base` can be the target: name a revision to the one that
    /// has it.
    ///
    /// # Errors
    /// As there.
    pub fn downgrade_to(mut self, database: &mut (impl Database + ?Sized), target: &str) -> Result<Outcome, Error> {
        let driver = &mut *self.driver(database)?;
        no_transaction_open(driver)?;
        let graphs = self.graphs()?;
        let packages = self.packages(&graphs)?;
        let targets = vec![Some(target); self.parts.len()];
        let planner = |history: &History| packages.downgrade(history, &targets);
        self.run(driver, &packages, &planner)
    }

    /// As [`Migrations::status`]; of several packages all revisions, in the order of an upgrade.
    ///
    /// # Errors
    /// As there.
    pub fn status(self, database: &mut (impl Database + ?Sized)) -> Result<Status, Error> {
        let driver = &mut *self.driver(database)?;
        let history = self.history(driver)?;
        let graphs = self.graphs()?;
        let packages = self.packages(&graphs)?;
        let known = |row: &&AppliedRevision| {
            packages.all().iter().any(|it| it.key == row.package && it.graph.find(row.id.as_str()).is_some())
        };
        Ok(Status {
            applied: history.settled().rows().iter().filter(known).map(|row| row.id.clone()).collect(),
            pending: lacking(&packages, &history),
            ahead: ahead(&packages, &history),
        })
    }

    /// As [`Migrations::verify`].
    ///
    /// # Errors
    /// As there.
    pub fn verify(self, database: &mut (impl Database + ?Sized)) -> Result<(), Error> {
        let driver = &mut *self.driver(database)?;
        if self.is_at_head(driver)? {
            return Ok(());
        }
        let graphs = self.graphs()?;
        let packages = self.packages(&graphs)?;
        let history = self.history(driver)?;
        let problems = objections(&packages, &history);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let lacking = lacking(&packages, &history);
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Problem::new(BEHIND, format!("this database lacks {}", listed(&lacking.iter().collect::<Vec<_>>())))
            .help("run `cargo migrate upgrade`, or let the program do it: `MIGRATIONS.upgrade(…)`")
            .into())
    }

    /// Whether a look at each package's newest row says that all is applied and nothing else.
    fn is_at_head(&self, driver: &mut dyn Driver) -> Result<bool, Error> {
        for part in &self.parts {
            if !self.patiently(|| part.is_at_head(driver))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn graphs(&self) -> Result<Vec<RevisionGraph>, Error> {
        self.parts.iter().map(|part| part.graph()).collect()
    }

    fn packages<'g>(&self, graphs: &'g [RevisionGraph]) -> Result<Packages<'g>, Error>
    where
        'a: 'g,
    {
        let all = self.parts.iter().zip(graphs).map(|(part, graph)| Package { key: part.package(), graph });
        Ok(Packages::new(all.collect())?)
    }

    /// The database with the version table of these settings.
    fn driver<'c>(&self, database: &'c mut (impl Database + ?Sized)) -> Result<Box<dyn Driver + 'c>, Error> {
        let named = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let table = VersionTable::of(&self.version_table);
        let usage = |message| Err(Problem::new(Code("usage"), message).into());
        if !table.parts().all(named) {
            return usage("a version table's name has only letters, digits and `_`");
        }
        let driver = database.driver(&self.version_table);
        if table.schema.is_some() && driver.dialect() == Dialect::Sqlite {
            return usage("on SQLite a version table has no schema before its name");
        }
        Ok(driver)
    }

    fn history(&self, driver: &mut dyn Driver) -> Result<History, Error> {
        let history = self.patiently(|| Ok(driver.history().map_err(|error| store_problem(&error))?))?;
        plan::not_elsewhere(&history, self.parts.iter().map(|part| part.package()))?;
        Ok(history)
    }

    /// Reads again while another process commits: the connection's own busy timeout may be none.
    fn patiently<T>(&self, mut read: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let start = Instant::now();
        loop {
            match read() {
                Err(error) if error.code() == BUSY && start.elapsed() < self.wait => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    fn run(
        &mut self,
        driver: &mut dyn Driver,
        packages: &Packages<'_>,
        planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>,
    ) -> Result<Outcome, Error> {
        let options =
            Options { down_from: Some(DownFrom::Stored), ..Options::new(self.wait, &now, env!("CARGO_PKG_VERSION")) };
        let files: Vec<Files<'_>> = packages
            .all()
            .iter()
            .zip(&self.parts)
            .map(|(package, part)| Files { package: package.key, graph: package.graph, directory: *part })
            .collect();
        let report = runner::run(driver, &files, planner, &options, &mut self.observer)
            .map_err(|stopped| Error::from(stopped.problems))?;
        let done = report.done.into_iter().map(|(step, _)| step.id).collect();
        Ok(Outcome { done, ahead: Vec::new() })
    }

    /// Leaves a database that is ahead as it is, where all that the program knows is applied to it as it is here.
    fn go_on(
        &mut self,
        driver: &mut dyn Driver,
        packages: &Packages<'_>,
        ahead: Vec<RevisionId>,
    ) -> Result<Outcome, Error> {
        let history = self.history(driver)?;
        let mut problems = differences(packages, &history);
        problems.retain(|problem| problem.code() != UNKNOWN_APPLIED);
        if let Some(missing) = lacking(packages, &history).first() {
            problems.push(ahead_problem(&ahead).note(format!("it lacks `{missing}` all the same")));
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        (self.observer)(Event::Ahead(&ahead));
        Ok(Outcome { done: Vec::new(), ahead })
    }

    fn go_back(
        &mut self,
        driver: &mut dyn Driver,
        packages: &Packages<'_>,
        ahead: &[RevisionId],
        allowed: &GoBack,
    ) -> Result<Outcome, Error> {
        let allowed_here = |id: &RevisionId| allowed.allowed.iter().any(|name| name == id.as_str());
        if let Some(id) = ahead.iter().find(|id| !allowed_here(id)) {
            return Err(Problem::new(
                NOT_ALLOWED,
                format!("going back would take off `{id}`, which is not allowed by name"),
            )
            .note("what it added would be lost")
            .into());
        }
        back_up(driver, &allowed.backup)?;
        let planner = |history: &History| {
            let now = self::ahead(packages, history);
            if now.iter().any(|id| !allowed_here(id)) {
                return Err(vec![ahead_problem(&now)]);
            }
            let steps = history.rows().iter().rev().filter(|row| is_ahead(packages, row)).map(plan::downgrade_step);
            Ok(Plan { steps: steps.collect() })
        };
        self.run(driver, packages, &planner)
    }
}

/// Does work in a thread of its own, where nothing asynchronous runs.
#[cfg(feature = "postgres-url")]
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Whether a row is one of these packages' and not known to them.
fn is_ahead(packages: &Packages<'_>, row: &AppliedRevision) -> bool {
    let of = packages.all().iter().find(|package| package.key == row.package);
    of.is_some_and(|package| package.graph.find(row.id.as_str()).is_none())
}

/// What the database has and the program does not know, in the order of application.
fn ahead(packages: &Packages<'_>, history: &History) -> Vec<RevisionId> {
    history.rows().iter().filter(|row| is_ahead(packages, row)).map(|row| row.id.clone()).collect()
}

/// What the database has not, in the order of an upgrade.
fn lacking(packages: &Packages<'_>, history: &History) -> Vec<RevisionId> {
    let applied = packages.applied(history);
    let missing = packages.order().iter().filter(|at| !applied[at.0][at.1]);
    missing.map(|at| packages.id(*at).clone()).collect()
}

fn ahead_problem(ahead: &[RevisionId]) -> Problem {
    let listed = listed(&ahead.iter().collect::<Vec<_>>());
    Problem::new(AHEAD, "this program is older than the database")
        .note(format!("the database has revisions that the program does not know: {listed}"))
        .help("start the newer program")
        .help("or take the database back first, from the newer sources: `cargo migrate downgrade`")
}

/// Where the history is not what the program carries. A difference in comments alone never stops a program that is
/// already shipped.
fn differences(packages: &Packages<'_>, history: &History) -> Vec<Problem> {
    let all = packages.all().iter();
    let mut problems: Vec<Problem> =
        all.flat_map(|package| plan::check_history(package.key, package.graph, history, "this database")).collect();
    problems.retain(|problem| problem.code() != EDITED_COMMENTS);
    problems
}

/// What speaks against an upgrade.
fn objections(packages: &Packages<'_>, history: &History) -> Vec<Problem> {
    let problems = differences(packages, history);
    let unknown = problems.iter().any(|problem| problem.code() == UNKNOWN_APPLIED);
    if unknown { vec![ahead_problem(&ahead(packages, history))] } else { problems }
}

/// Refuses a connection on which the program has begun something itself.
fn no_transaction_open(driver: &mut dyn Driver) -> Result<(), Error> {
    if driver.in_transaction().map_err(|error| database_problem(&error))? {
        return Err(Problem::new(OPEN_TRANSACTION, "this connection has a transaction open")
            .help("commit it or roll it back before the migrations run: they are a transaction of their own")
            .into());
    }
    Ok(())
}

/// Copies the database to a new file, without which nothing is taken off.
fn back_up(driver: &mut dyn Driver, to: &Path) -> Result<(), Error> {
    driver.back_up(to).map_err(|error| {
        let why = format!("going back needs a backup first, and none could be made: {}", printable(&error.message));
        Problem::new(NOT_ALLOWED, why).in_file(to).into()
    })
}

/// The time in UTC and RFC 3339, to the second.
#[expect(clippy::disallowed_methods, reason = "a program's run has no other clock")]
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    rfc3339(seconds)
}

/// The civil date of a day by counting from March, so that the leap day is a year's last.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since the first of March of the year 0, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn seconds_are_told_as_a_date() {
        for (seconds, told) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), told);
        }
    }
}
