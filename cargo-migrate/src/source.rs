//! Where a schema can come from: a database, the migrations at a revision, the models, a file.

mod desired;
mod script;

use std::path::PathBuf;

use build_support::problem::{Code, Problem, printable};
use build_support::target;
use build_support::token::Dialect;
use migrate_runtime::driver::sqlite::SqliteDriver;
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, At, Packages, Plan};
use migrate_runtime::runner::{self, Options};
use rusqlite::Connection;

use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::introspect;
use crate::live;
use crate::project::Database;
use crate::project::database::is_name;
use crate::proof::State;
use crate::renames::Hints;
use crate::schema::Schema;
use crate::scratch;

pub use self::desired::{NO_MODELS, is_said};
pub use self::script::{NOT_A_SCHEMA, SCHEMA_ERROR};

/// A word that names no schema.
pub const UNKNOWN_SOURCE: Code = Code("unknown-source");

/// How a SQLite database's file begins (<https://www.sqlite.org/fileformat.html>).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Something that has a schema.
#[derive(Debug)]
pub enum Source {
    /// A database as it is.
    Database(Box<Database>),
    /// What the migrations make: all revisions up to these.
    Revisions(Vec<usize>),
    /// What the models and the schema file want.
    Models,
    /// A file of `CREATE` statements.
    Script(PathBuf),
}

impl Source {
    /// What a word of the command line names: `models`, a target, a configured database, a URL, or a path.
    ///
    /// # Errors
    /// A word that names nothing, or a database that is not configured.
    pub fn parse(app: App<'_>, opened: &Opened, word: &str) -> Result<Self> {
        if word == "models" {
            return Ok(Self::Models);
        }
        let database =
            |choice: &str| opened.project.database(app.context, Some(choice)).map(|it| Self::Database(Box::new(it)));
        if opened.project.databases().any(|name| name == word) || word.starts_with("sqlite:") || word.contains("://") {
            return database(word);
        }
        let path = app.context.working_directory().join(word);
        if path.is_file() {
            return if begins_with_magic(&path) {
                database(&format!("sqlite:{}", path.display()))
            } else {
                Ok(Self::Script(path))
            };
        }
        let lineage = opened.graph.lineage();
        // `current` is where the chosen database is; no other word asks for one.
        let applied = if word.contains("current") || word.starts_with(['-', '+']) {
            let history = opened.history(&app.database(opened)?)?;
            plan::applied(opened.project.key(), lineage, &history)
        } else {
            vec![false; lineage.len()]
        };
        match target::resolve(word, lineage, &applied) {
            Ok(target::Resolved::Revisions(found)) => Ok(Self::Revisions(found)),
            Ok(target::Resolved::Base(_)) => Ok(Self::Revisions(Vec::new())),
            Ok(target::Resolved::Steps(..)) => {
                Err(Failure::misused(format!("`{}` names no revision", printable(word)))
                    .help("name it by its id, or `current`"))
            }
            Err(problem) => {
                let looks_like_a_file = word.contains(['/', '\\', '.']) || !is_name(word);
                let problem = if looks_like_a_file {
                    Problem::new(
                        UNKNOWN_SOURCE,
                        format!("there is no file `{}`, and no such revision or database", printable(word)),
                    )
                } else {
                    problem
                };
                Err(problem.help("name a database, `head` or a revision, `models`, or a file").into())
            }
        }
    }

    /// The schema.
    ///
    /// # Errors
    /// A database that is not there, migrations that cannot be run, models that cannot be read.
    pub fn schema(&self, app: App<'_>, opened: &Opened) -> Result<Schema> {
        let version_table = &opened.project.settings().version_table;
        match self {
            Self::Database(database) => introspect::read(&reading(app, opened, database)?, version_table),
            Self::Revisions(_) | Self::Models | Self::Script(_) => Ok(self.state(app, opened)?.0.schema),
        }
    }

    /// A scratch database with the schema, and what the models say about their former names.
    ///
    /// # Errors
    /// As [`Source::schema`].
    pub fn state(&self, app: App<'_>, opened: &Opened) -> Result<(State, Hints)> {
        let version_table = &opened.project.settings().version_table;
        let (connection, hints) = match self {
            Self::Database(database) => (scratch::empty_like(&reading(app, opened, database)?)?, Hints::default()),
            Self::Revisions(found) => (replay(app, opened, found)?, Hints::default()),
            Self::Models => desired::build(opened, foundation(app, opened)?)?,
            Self::Script(path) => {
                let connection = scratch::empty()?;
                script::run(&connection, path, &opened.project.show_path(path))?;
                (connection, Hints::default())
            }
        };
        Ok((State::of(connection, version_table)?, hints))
    }
}

fn begins_with_magic(path: &std::path::Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; MAGIC.len()];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC
}

/// A database, opened for reading.
fn reading(app: App<'_>, opened: &Opened, database: &Database) -> Result<Connection> {
    live::file::open_for_reading(database, app.wait(opened))?.ok_or_else(|| {
        let problem =
            Problem::new(live::file::NO_DATABASE_FILE, format!("there is no database file for {database} yet"));
        problem.help("`cargo migrate upgrade` makes it").into()
    })
}

/// A scratch database after these revisions and all that they stand on.
///
/// # Errors
/// A revision that cannot be run.
pub fn replay(app: App<'_>, opened: &Opened, revisions: &[usize]) -> Result<Connection> {
    let own: Vec<At> = revisions.iter().map(|at| (0, *at)).collect();
    let packages = opened.packages()?;
    let mut wanted = packages.with_ancestors(&own);
    opened.foundation(&packages).into_iter().for_each(|at| wanted[at.0][at.1] = true);
    run_all(app, opened, &packages, &wanted)
}

/// A scratch database with what the package stands on and nothing of its own.
fn foundation(app: App<'_>, opened: &Opened) -> Result<Connection> {
    let packages = opened.packages()?;
    let mut wanted = packages.applied(&History::default());
    opened.foundation(&packages).into_iter().for_each(|at| wanted[at.0][at.1] = true);
    run_all(app, opened, &packages, &wanted)
}

/// A scratch database after the revisions that a history has; all of them have to be here.
///
/// # Errors
/// A revision that cannot be run.
pub fn replay_history(app: App<'_>, opened: &Opened, history: &History) -> Result<Connection> {
    let packages = opened.packages()?;
    run_all(app, opened, &packages, &packages.applied(history))
}

fn run_all(app: App<'_>, opened: &Opened, packages: &Packages<'_>, wanted: &[Vec<bool>]) -> Result<Connection> {
    if opened.all().any(|opened| opened.locks.shared.dialect() != Dialect::Sqlite) {
        let problem = Problem::new(live::file::UNSUPPORTED, "schemas are compared and generated for SQLite alone")
            .note("these migrations are in PostgreSQL's SQL, by `migrate.lock`")
            .help("write the migration by hand: `cargo migrate revision -m \"…\"`; `cargo migrate test` rehearses it");
        return Err(problem.into());
    }
    let mut connection = scratch::empty()?;
    let now = || app.now();
    let options = Options::new(app.wait(opened), &now, env!("CARGO_PKG_VERSION"));
    let files = opened.files();
    let planner = |_: &History| {
        let steps = packages.order().iter().filter(|at| wanted[at.0][at.1]).map(|at| packages.upgrade_step(*at));
        Ok(Plan { steps: steps.collect() })
    };
    let mut driver = SqliteDriver::new(&mut connection, &opened.project.settings().version_table);
    let run = runner::run(&mut driver, &files, &planner, &options, &mut |_| {});
    drop(driver);
    run.map_err(|stopped| {
        let in_scratch =
            |problem: Problem| problem.note("the migrations were run on a scratch database to see what they make");
        Failure::from(stopped.problems.into_iter().map(in_scratch).collect::<Vec<_>>())
    })?;
    Ok(connection)
}
