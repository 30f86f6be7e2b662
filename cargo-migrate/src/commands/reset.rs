//! `reset`: a scratch database as if it had just been made.

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::database::Database as _;
use migrate_runtime::driver::Enforcement;
use migrate_runtime::history::History;
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;

use crate::app::{App, Opened, Purpose};
use crate::args::ResetArgs;
use crate::backup;
use crate::backup::emptied::Scope;
use crate::commands::outcome;
use crate::commands::run::{self, How};
use crate::commands::{confirm, several};
use crate::copying::{self, CopyError};
use crate::failure::{Failure, Result};
use crate::live::{self, Looked};
use crate::project::Database;
use crate::report::many;

/// A database that is not thrown away after use is not emptied.
pub const NOT_SCRATCH: Code = Code("not-scratch");

/// `cargo migrate reset`
///
/// Everything is applied to a new file beside; only then does its content replace the database's, in one step of
/// SQLite's backup. So a revision that fails leaves the database as it was, and no file is removed that another
/// process may have open. A server's database is emptied first, in one transaction: where a revision fails then, or
/// somebody ends the command, it is given again.
pub(super) fn reset(app: App<'_>, args: &ResetArgs) -> Result<()> {
    let groups = app.groups(Purpose::Change)?;
    several::on_databases(app, "reset", groups, &|app, opened, database| empty(app, args, opened, database?))
}

fn empty(app: App<'_>, args: &ResetArgs, opened: &Opened, database: &Database) -> Result<()> {
    opened.verified()?;
    if !database.scratch {
        let example = if database.server().is_some() { "postgres:///NAME_test" } else { "sqlite:test.db" };
        return Err(Problem::new(NOT_SCRATCH, format!("`{database}` is not a scratch database, so it is not emptied"))
            .help(format!("choose a scratch one with `-d NAME`; it is declared in Cargo.toml: `test = {{ url = \"{example}\", scratch = true }}`"))
            .help("or take this one back step by step: `cargo migrate downgrade base`")
            .into());
    }
    opened.fits(database)?;
    confirm::protected(app, &opened.project, database, args.yes, "say `--yes` where it is to be emptied", || ())?;
    let gone: Vec<String> = opened
        .strangers(&opened.history(database)?)
        .into_iter()
        .map(|(package, count)| format!("`{}` ({})", printable(&package), many(count, "revision")))
        .collect();
    if !gone.is_empty() {
        app.shell.warning(format!("other packages are emptied too, and are not applied again: {}", gone.join(", ")));
    }
    if let Some(server) = database.server() {
        return on_server(app, opened, database, server);
    }
    let mut target = live::file::open_for_writing(database, true)?;
    let fresh = tempfile::NamedTempFile::new()
        .map_err(|error| Problem::new(Code("file-access"), format!("no temporary file can be made: {error}")))?;
    let mut source = live::file::open_file(fresh.path())?;
    // A database with a write-ahead log takes only pages of its own size.
    let page_size: i64 = target.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
    source.pragma_update(None, "page_size", page_size).map_err(failed)?;
    let name = format!("`{}`", database.lock_name());
    let planner = |history: &History| opened.upgrade_plan(history, "heads", &name);
    let how = How { on_copy: true, ..How::default() };
    let report =
        run::carry_out(app, opened, &mut source, &how, &planner, &mut |event| outcome::observe(app, opened, &event))
            .map_err(|stopped| Failure::from(stopped.problems))?;
    let mut watch = |step| {
        if step == copying::Step::Waits {
            app.shell.status("Waiting", "for another process that holds the database");
        }
    };
    copying::into(&source, &mut target, app.wait(opened), &mut watch).map_err(|error| match error {
        CopyError::Busy => live::file::busy(database),
        CopyError::Database(error) => failed(error),
    })?;
    outcome::told(app, opened, database, &report, "reset", false);
    Ok(())
}

/// Drops all that a server's database has, and applies everything. The run's lock is held from before the one until after the
/// other, so that no other runner comes in between; each is a transaction of its own.
fn on_server(app: App<'_>, opened: &Opened, database: &Database, server: &ServerUrl) -> Result<()> {
    let blamed = |error: DatabaseError| Failure::from(database.blamed(database_problem(&error)));
    let scope = Scope { schema: server.schema().map(str::to_owned), extensions: Vec::new() };
    let mut writing = app.open_for_writing(database, Looked::default(), true)?;
    let mut looking =
        live::server::open_for_reading(database, server)?.ok_or_else(|| live::server::missing(database, server))?;
    let mut driver = writing.live.driver(&opened.project.settings().version_table);
    let mut waiting = || app.shell.status("Waiting", "for another process that holds the database");
    driver.begin(Enforcement::Immediate, opened.wait, &mut waiting).map_err(blamed)?;
    backup::refuse_others(&scope, &mut looking, database)?;
    for statement in live::server::column(&mut looking, &scope.statements()).map_err(blamed)? {
        driver.execute(&statement).map_err(blamed)?;
    }
    driver.commit(opened.wait).map_err(blamed)?;
    drop(looking);
    let name = format!("`{}`", database.lock_name());
    let planner = |history: &History| opened.upgrade_plan(history, "heads", &name);
    let report = run::driven(app, opened, &mut *driver, &How::default(), &planner, &mut |event| {
        outcome::observe(app, opened, &event)
    })
    .map_err(|stopped| Failure::from(stopped.problems))?;
    outcome::told(app, opened, database, &report, "reset", false);
    Ok(())
}

fn failed(error: rusqlite::Error) -> Failure {
    database_problem(&DatabaseError::from(error)).into()
}
