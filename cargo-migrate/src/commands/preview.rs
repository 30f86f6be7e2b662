//! `--sql`: a run as a script, for the `sqlite3` shell or for `psql`.

use build_support::problem::{Problem, printable};
use build_support::target::{self, Resolved};
use build_support::token::Dialect;
use migrate_runtime::database::Database as _;
use migrate_runtime::driver::recording::{RecordingDriver, StoredDown};
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::driver::{Driver, Enforcement};
use migrate_runtime::history::{AppliedRevision, History, State};
use migrate_runtime::plan::{self, Plan, Step};
use migrate_runtime::runner::{self, Options, store_problem};
use migrate_runtime::sqlite::{StoreError, create_table_sql};
use rusqlite::Connection;

use crate::app::{App, Group, Opened, Purpose};
use crate::commands::{run, safeguard};
use crate::failure::{Failure, Result};
use crate::live::{self, Live};
use crate::project::Database;
use crate::risk::{self, Risk};
use crate::scratch;

/// Which way a script goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `upgrade --sql`
    Up,
    /// `downgrade --sql`
    Down,
}

/// What a script is made from: the history that it starts from, its target, and a scratch copy of the schema.
struct Start {
    history: History,
    target: String,
    /// The database that the script is for; none for a range, which opens nothing.
    database: Option<Database>,
    scratch: Option<Connection>,
    live: Option<Live>,
    script: Script,
}

/// Whose shell a script is for.
enum Script {
    /// `sqlite3`
    Sqlite,
    /// `psql`, with what its session is set to first.
    Server(Vec<String>),
}

impl Script {
    /// The shell of a database; of a folder's dialect where no database is chosen.
    fn of(opened: &Opened, database: Option<&Database>) -> Self {
        match database.map_or_else(|| opened.locks.shared.dialect(), Database::dialect) {
            Dialect::Sqlite => Self::Sqlite,
            Dialect::Postgres => Self::Server(database.map(live::server::settings).unwrap_or_default()),
        }
    }

    fn driver<'a, 's>(
        &self,
        keys: &[&str],
        table: &str,
        history: &History,
        stored: StoredDown<'a>,
        shadow: Option<SqliteDriver<'s>>,
    ) -> RecordingDriver<'a, 's> {
        match self {
            Self::Sqlite => RecordingDriver::new(keys, table, history, stored, shadow),
            Self::Server(_) => RecordingDriver::for_server(keys, table, history, stored),
        }
    }

    fn show(&self, app: App<'_>, noted: &[String], script: &str) {
        let (shell, first) = match self {
            Self::Sqlite => ("the `sqlite3` shell", String::new()),
            Self::Server(settings) => ("`psql`", settings.iter().map(|sql| format!("{sql};\n")).collect()),
        };
        let version = env!("CARGO_PKG_VERSION");
        // What is told of files and names ends no comment.
        let noted: String = noted.iter().map(|line| format!("-- {}\n", printable(line))).collect();
        app.shell.raw(&format!("-- Written by cargo-migrate {version} for {shell}.\n{noted}{first}{script}"));
    }
}

/// Prints the script of a run.
pub(super) fn print(
    app: App<'_>,
    way: Way,
    target: &str,
    per_revision: bool,
    down_from: Option<runner::DownFrom>,
) -> Result<()> {
    let (opened, chosen, target) = if target.contains(':') {
        (app.open_with_needs(&[])?, None, target)
    } else {
        let (groups, target) =
            app.groups_for(target, if way == Way::Up { Purpose::Change } else { Purpose::TakeBack })?;
        let mut groups = groups.into_iter();
        let (Some(Group { opened, database, .. }), None) = (groups.next(), groups.next()) else {
            return Err(Failure::misused("`--sql` prints the script of one database, and several are chosen")
                .help("choose one: `-p NAME`"));
        };
        (opened?, Some(database?), target)
    };
    let table = opened.project.settings().version_table.clone();
    let mut start = match target.split_once(':') {
        Some((from, to)) => offline(app, &opened, from, to)?,
        None => {
            let database = match chosen {
                Some(database) => database,
                None => app.database(&opened)?,
            };
            online(&opened, database, way, target)?
        }
    };
    let database = start.database.take();
    // Only what is edited on a scratch database is taken off on the way, and by the down that was stored.
    let scratch = way == Way::Up && database.as_ref().is_some_and(|database| database.scratch);
    let down_from = if scratch { Some(runner::DownFrom::Stored) } else { down_from };
    let planner = |history: &History| -> std::result::Result<Plan, Vec<Problem>> {
        match way {
            Way::Up => match &database {
                Some(database) => run::upgrade_planner(&opened, database, &start.target)(history),
                None => opened.upgrade_plan(history, &start.target, "the database"),
            },
            Way::Down => opened.downgrade_plan(history, &start.target),
        }
    };
    // What it does is done on the scratch database too, which is then another one.
    let before = start.scratch.as_ref().filter(|_| start.live.is_none()).and_then(|it| scratch::empty_like(it).ok());
    let mut stored = stored_downs(&opened, &mut start.live, &table);
    let shadow = start.scratch.as_mut().map(|connection| SqliteDriver::new(connection, &table));
    let keys: Vec<&str> = opened.all().map(|opened| opened.project.key()).collect();
    let mut driver = start.script.driver(&keys, &table, &start.history, &mut stored, shadow);
    let now = || app.now();
    let options = Options {
        per_revision: per_revision || opened.project.settings().per_revision,
        down_from,
        ..Options::new(app.wait(&opened), &now, env!("CARGO_PKG_VERSION"))
    };
    let report = runner::run(&mut driver, &opened.files(), &planner, &options, &mut |_| {})
        .map_err(|stopped| Failure::from(stopped.problems))?;
    if report.done.is_empty() {
        app.shell.raw("-- Nothing to do.\n");
        app.shell.status("Finished", "nothing to do");
        return Ok(());
    }
    let script = driver.into_script();
    drop(stored);
    let mut noted = Vec::new();
    if !scratch {
        let steps: Vec<Step> = report.done.into_iter().map(|(step, _)| step).collect();
        let risk = start.risk(&opened, before, &steps, down_from)?;
        noted.extend(safeguard::listed(&risk));
    }
    if !noted.is_empty() {
        noted.push("a script makes no backup: make one before it runs, such as by `cargo migrate backup`".to_owned());
        noted.iter().for_each(|line| app.shell.note(line));
        noted = noted.iter().map(|line| app.shell.named(&capitalized(line))).collect();
    }
    // Until then the files that it is made of can be edited unnoticed here.
    if way == Way::Up && database.as_ref().is_some_and(|database| !database.scratch) {
        let command = "`cargo migrate upgrade current` runs nothing and notes in the lock what is applied.";
        noted.push(app.shell.named(&format!("When it has run, {command}")));
    }
    start.script.show(app, &noted, &script);
    Ok(())
}

impl Start {
    /// What these steps can lose, of the database where there is one and by the files where none is looked at.
    fn risk(
        &mut self,
        opened: &Opened,
        before: Option<Connection>,
        steps: &[Step],
        down_from: Option<runner::DownFrom>,
    ) -> Result<Risk> {
        match (&mut self.live, &self.script) {
            (Some(live), _) => risk::of(opened, live, steps, down_from),
            // There is nothing yet that could be lost, or no scratch database that could tell.
            _ if self.history.rows().is_empty() => Ok(Risk::default()),
            (None, Script::Sqlite) if before.is_none() => Ok(Risk::default()),
            (None, _) => risk::by_files(opened, before, steps),
        }
    }
}

fn capitalized(line: &str) -> String {
    let mut chars = line.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Prints the statement that makes the version table.
pub(super) fn print_table(app: App<'_>, opened: &Opened) -> Result<()> {
    let table = &opened.project.settings().version_table;
    let sql = match Script::of(opened, app.database(opened).ok().as_ref()) {
        Script::Sqlite => create_table_sql(table),
        Script::Server(_) => migrate_runtime::driver::postgres::create_table_sql(table),
    };
    app.shell.raw(&format!("{sql};\n"));
    Ok(())
}

/// Prints the script of a change to the version table alone.
pub(super) fn print_change(
    app: App<'_>,
    opened: &Opened,
    change: impl FnOnce(&mut dyn Driver, &History) -> Result<usize>,
) -> Result<()> {
    let table = opened.project.settings().version_table.clone();
    let mut start = online(opened, app.database(opened)?, Way::Down, "")?;
    let mut stored = stored_downs(opened, &mut start.live, &table);
    let shadow = start.scratch.as_mut().map(|connection| SqliteDriver::new(connection, &table));
    let mut driver = start.script.driver(&[opened.project.key()], &table, &start.history, &mut stored, shadow);
    let wait = app.wait(opened);
    let store = |error: StoreError| Failure::from(store_problem(&error));
    driver.begin(Enforcement::Deferred, wait, &mut || {}).map_err(|error| store(error.into()))?;
    driver.ensure_table().map_err(store)?;
    if change(&mut driver, &start.history)? == 0 {
        app.shell.raw("-- Nothing to do.\n");
        return Ok(());
    }
    driver.finish(&[opened.project.key()]).map_err(store)?;
    driver.commit(wait).map_err(|error| store(error.into()))?;
    start.script.show(app, &[], &driver.into_script());
    Ok(())
}

/// Without a range the database's history is read, and nothing is written.
fn online(opened: &Opened, database: Database, way: Way, target: &str) -> Result<Start> {
    opened.fits(&database)?;
    if way == Way::Up {
        opened.verified()?;
    }
    let (history, mut live) = opened.look(&database)?.into_parts();
    let scratch = match &mut live {
        Some(Live::File(connection)) => scratch::empty_like(connection).ok(),
        Some(Live::Server(_)) => None,
        None => live::file::in_memory().ok(),
    };
    let script = Script::of(opened, Some(&database));
    Ok(Start { history, target: target.to_owned(), database: Some(database), scratch, live, script })
}

/// With a range no database is opened: the history is what `from` stands on, by the files.
fn offline(app: App<'_>, opened: &Opened, from: &str, to: &str) -> Result<Start> {
    let lineage = opened.graph.lineage();
    let none = vec![false; lineage.len()];
    let applied = match target::resolve(if from.is_empty() { "base" } else { from }, lineage, &none)? {
        Resolved::Revisions(found) => lineage.with_ancestors(&found),
        Resolved::Base(_) => none,
        Resolved::Steps(..) => return Err(Failure::misused("a range starts at a revision, not at a number of steps")),
    };
    let rows: Vec<AppliedRevision> = lineage
        .order()
        .iter()
        .filter(|at| applied[**at])
        .zip(1..)
        .map(|(at, sequence)| row_of(app, opened, *at, sequence))
        .collect();
    let chosen = app.database(opened).ok();
    chosen.iter().try_for_each(|database| opened.fits(database))?;
    let script = Script::of(opened, chosen.as_ref());
    let mut scratch = match script {
        Script::Sqlite => live::file::in_memory().ok(),
        Script::Server(_) => None,
    };
    if let Some(connection) = &mut scratch
        && replay(app, opened, connection, &applied).is_none()
    {
        scratch = None;
    }
    let target = if to.is_empty() { "head" } else { to };
    Ok(Start { history: History::new(rows), target: target.to_owned(), database: None, scratch, live: None, script })
}

/// The row of a revision as it is applied now; a driver gives its own number where it records one.
pub(super) fn row_of(app: App<'_>, opened: &Opened, at: usize, sequence: i64) -> AppliedRevision {
    let step = plan::upgrade_step(opened.project.key(), &opened.graph, at);
    AppliedRevision {
        package: opened.project.key().to_owned(),
        id: step.id,
        sequence,
        checksum: step.hashes.checksum,
        statements: step.hashes.statements,
        seal: step.hashes.seal,
        parents: step.parents,
        depends: step.depends,
        directives: step.directives,
        message: step.message,
        applied_count: sequence,
        state: State::Applied,
        applied_at: app.now(),
        elapsed_ms: 0,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_hash: None,
    }
}

/// Applies revisions to a scratch database; `None` where one of them cannot be applied to empty tables.
fn replay(app: App<'_>, opened: &Opened, connection: &mut Connection, wanted: &[bool]) -> Option<()> {
    let lineage = opened.graph.lineage();
    let step = |at: &usize| plan::upgrade_step(opened.project.key(), &opened.graph, *at);
    let plan = Plan { steps: lineage.order().iter().filter(|at| wanted[**at]).map(step).collect() };
    let mut driver = SqliteDriver::new(connection, &opened.project.settings().version_table);
    let now = || app.now();
    let options = Options::new(std::time::Duration::ZERO, &now, env!("CARGO_PKG_VERSION"));
    runner::run(&mut driver, &opened.files(), &|_| Ok(plan.clone()), &options, &mut |_| {}).ok().map(|_| ())
}

/// The stored down texts: the database's, or the files' where no database is opened.
fn stored_downs<'a>(
    opened: &'a Opened,
    live: &'a mut Option<Live>,
    table: &'a str,
) -> impl FnMut(&str, &build_support::revision::RevisionId) -> std::result::Result<Option<String>, StoreError> + 'a {
    let mut driver = live.as_mut().map(|live| live.driver(table));
    move |package, id| match &mut driver {
        Some(driver) => driver.stored_down(package, id),
        None => {
            let Some(of) = opened.package(package) else { return Ok(None) };
            let Some(migration) = of.graph.find(id.as_str()) else { return Ok(None) };
            let Some(span) = migration.down.clone() else { return Ok(None) };
            let text =
                of.directory.text(migration).map_err(|problem| StoreError::Damaged(problem.message().to_owned()))?;
            Ok(Some(text[span].to_owned()))
        }
    }
}
