//! Databases as they are, a file or a server's: opening them, for reading without a trace or for a run.

pub mod file;
pub mod server;

use std::time::Duration;

use build_support::problem::Problem;
use migrate_runtime::database::Database as _;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::driver::sqlite as sqlite_driver;
use migrate_runtime::driver::{Driver, sqlite::SqliteDriver};
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan;
use migrate_runtime::runner::{self, database_problem, store_problem, with_left_behind};
use rusqlite::Connection;

use crate::failure::{Failure, Result};
use crate::project::{Database, Project};

/// An open database.
pub enum Live {
    /// A SQLite file.
    File(Connection),
    /// A session on a PostgreSQL server.
    Server(Box<postgres::Client>),
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Server(_) => "Server",
        })
    }
}

impl migrate_runtime::database::Database for Live {
    fn driver<'c>(&'c mut self, version_table: &str) -> Box<dyn Driver + 'c> {
        match self {
            Self::File(connection) => Box::new(SqliteDriver::new(connection, version_table)),
            Self::Server(client) => Box::new(PostgresDriver::new(client, version_table)),
        }
    }
}

impl Live {
    /// The connection to a file; `None` of a server.
    pub fn file(&mut self) -> Option<&mut Connection> {
        match self {
            Self::File(connection) => Some(connection),
            Self::Server(_) => None,
        }
    }
}

/// Opens a database for reading alone, and waits so long for a file that is locked. `None` where it is not there: reading
/// never creates.
///
/// # Errors
/// A database that is there and cannot be read, or a server that cannot be reached.
pub fn open_for_reading(database: &Database, wait: Duration) -> Result<Option<Live>> {
    match database.server() {
        None => Ok(file::open_for_reading(database, wait)?.map(Live::File)),
        Some(server) => Ok(server::open_for_reading(database, server)?.map(|client| Live::Server(Box::new(client)))),
    }
}

/// Opens a database for a run. Where it is not there it is made only if `create` says so.
fn open_for_writing(database: &Database, create: bool) -> Result<Live> {
    match database.server() {
        None => Ok(Live::File(file::open_for_writing(database, create)?)),
        Some(server) => Ok(Live::Server(Box::new(server::open_for_writing(database, server, create)?))),
    }
}

/// Whether a database is there.
///
/// # Errors
/// A path that cannot be looked at, or a server that cannot be reached.
pub fn is_there(database: &Database) -> Result<bool> {
    match database.server() {
        None => file::exists(database),
        Some(server) => Ok(server::open_for_reading(database, server)?.is_some()),
    }
}

/// Whether a server has a database, and that has not the schema which its URL names.
///
/// # Errors
/// A server that cannot be reached.
pub fn is_without_schema(database: &Database) -> Result<bool> {
    database.server().map_or(Ok(false), |server| server::is_without_schema(database, server))
}

/// What one look at a database has found. The session stays, so that whoever has more to ask connects no second time.
#[derive(Debug, Default)]
pub struct Looked {
    /// What it says of itself; empty where it is not there.
    pub history: History,
    live: Option<Live>,
}

/// Reads a database's history without writing anything; waits so long for a process that holds it locked.
///
/// # Errors
/// A database that cannot be read.
pub fn look(database: &Database, table: &str, wait: Duration) -> Result<Looked> {
    let mut live = open_for_reading(database, wait)?;
    let history = match &mut live {
        None => History::default(),
        Some(live) => {
            live.driver(table).history().map_err(|error| Failure::from(database.blamed(store_problem(&error))))?
        }
    };
    Ok(Looked { history, live })
}

impl Looked {
    /// Whether the database is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.live.is_some()
    }

    /// What it says of itself, and the session, which can write nothing; `None` where the database is not there.
    pub fn parts(&mut self) -> (&History, Option<&mut Live>) {
        (&self.history, self.live.as_mut())
    }

    /// The same, each by itself.
    #[must_use]
    pub fn into_parts(self) -> (History, Option<Live>) {
        (self.history, self.live)
    }

    /// Ends the session.
    pub fn leave(&mut self) {
        self.live = None;
    }

    /// Opens the database for a run. A server's session goes on where it was not left. Where the database is not there it is
    /// made only if `create` says so.
    ///
    /// # Errors
    /// A database that is not there or cannot be opened.
    pub fn into_writing(self, database: &Database, create: bool) -> Result<Live> {
        match self.live {
            Some(Live::Server(mut client)) => {
                server::let_write(database, &mut client, create)?;
                Ok(Live::Server(client))
            }
            // What a file was opened for, it stays for.
            other => {
                drop(other);
                open_for_writing(database, create)
            }
        }
    }

    /// Of the revisions that are half way: that their run is under way, or was interrupted. `None` where there are none.
    ///
    /// # Errors
    /// As [`is_under_way`].
    pub fn half_way(&mut self, package: &str, database: &Database, table: &str) -> Result<Option<&'static str>> {
        if !self.history.of(package).any(AppliedRevision::is_half_way) {
            return Ok(None);
        }
        let Some(live) = &mut self.live else { return Ok(None) };
        Ok(Some(if is_under_way(live, database, table)? { "under way" } else { "interrupted" }))
    }

    /// What was found in the history of some packages, where a revision that looks interrupted may be one whose run lives.
    ///
    /// # Errors
    /// As [`is_under_way`].
    pub fn told_apart(
        &mut self,
        mut problems: Vec<Problem>,
        is_of: impl Fn(&str) -> bool,
        database: &Database,
        table: &str,
    ) -> Result<Vec<Problem>> {
        let interrupted = |problem: &Problem| problem.code() == plan::INTERRUPTED;
        let Some(live) = self.live.as_mut().filter(|_| problems.iter().any(interrupted)) else { return Ok(problems) };
        if is_under_way(live, database, table)? {
            problems.retain(|problem| !interrupted(problem));
            let rows = self.history.rows().iter().filter(|row| row.is_half_way() && is_of(&row.package));
            problems.extend(rows.map(runner::under_way));
        } else if let Live::Server(_) = live {
            let mut driver = live.driver(table);
            let mut told =
                |problem| if interrupted(&problem) { with_left_behind(&mut *driver, problem) } else { problem };
            problems = problems.into_iter().map(&mut told).collect();
        }
        Ok(problems)
    }
}

/// Whether another process is in the middle of a run that commits more than once; nothing is written to find out.
///
/// # Errors
/// A database that cannot be read, or a lock beside it that cannot be looked at.
pub fn is_under_way(live: &mut Live, database: &Database, table: &str) -> Result<bool> {
    let under_way = match live {
        Live::File(connection) => sqlite_driver::is_under_way(connection),
        Live::Server(client) => PostgresDriver::new(client, table).is_under_way(),
    };
    under_way.map_err(|error| database.blamed(database_problem(&error)).into())
}

/// A database's name with the place where it is, for a status line.
#[must_use]
pub fn shown(project: &Project, database: &Database) -> String {
    let place = project.show_place(database);
    match &database.name {
        Some(name) => format!("{name} ({})", place.display()),
        None => place.display().to_string(),
    }
}
