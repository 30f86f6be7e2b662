//! The migrations that a program carries, and what it does with them when it starts.

use std::fmt;
use std::path::Path;

use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::problem::{Code, Problem};
use build_support::revision::RevisionId;
use build_support::token::Dialect;

use crate::database::Database;
use crate::driver::Driver;
use crate::migrator::Migrator;
#[cfg(feature = "postgres-url")]
use crate::migrator::apart;
use crate::plan::UNKNOWN_APPLIED;
use crate::runner::{Texts, store_problem};

/// The database has revisions that this program does not know.
pub const AHEAD: Code = Code("database-ahead");

/// The database lacks revisions that this program carries.
pub const BEHIND: Code = Code("database-behind");

/// A package's migrations as a program carries them; [`embed!`](crate::embed) makes them.
///
/// ```no_run
/// # #[cfg(feature = "rusqlite")] {
/// use migrate_runtime::Migrations;
///
/// static MIGRATIONS: Migrations = Migrations::embedded("app", "migrations", &[], None); // embed!("migrations")
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let mut connection = rusqlite::Connection::open("app.db")?;
///     MIGRATIONS.upgrade(&mut connection)?;
///     Ok(())
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    package: &'static str,
    folder: &'static str,
    revisions: &'static [(&'static str, &'static str)],
    head: Option<&'static str>,
    dialect: Dialect,
}

/// How a database stands to a program's migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What is applied and known to the program, in the order of application.
    pub applied: Vec<RevisionId>,
    /// What an upgrade would apply, in order.
    pub pending: Vec<RevisionId>,
    /// What is applied and not known to the program, in the order of application.
    pub ahead: Vec<RevisionId>,
}

/// What a run at start-up did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The revisions that were applied, or taken off, in order.
    pub done: Vec<RevisionId>,
    /// The revisions that the database has and the program does not know, where its policy lets it go on.
    pub ahead: Vec<RevisionId>,
}

/// Why the migrations could not be run; what had not been committed by then is rolled back.
///
/// Its `Debug` form is the message too, because that is what a `main` that returns it prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// What went wrong; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The code of the first problem, such as [`AHEAD`] or [`BUSY`](crate::runner::BUSY).
    #[must_use]
    pub fn code(&self) -> Code {
        self.problems.first().map_or(Code("internal"), Problem::code)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().flat_map(Problem::plain_lines).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl Migrations {
    /// What `embed!` calls: the package's key, its folder, each id with its text, and the seal of the only head.
    #[doc(hidden)]
    #[must_use]
    pub const fn embedded(
        package: &'static str,
        folder: &'static str,
        revisions: &'static [(&'static str, &'static str)],
        head: Option<&'static str>,
    ) -> Self {
        Self { package, folder, revisions, head, dialect: Dialect::Sqlite }
    }

    /// What `embed!` adds where the folder's lock says that the migrations are PostgreSQL's.
    #[doc(hidden)]
    #[must_use]
    pub const fn of_postgres(self) -> Self {
        Self { dialect: Dialect::Postgres, ..self }
    }

    /// The package's key in the version table.
    #[must_use]
    pub const fn package(&self) -> &'static str {
        self.package
    }

    /// The ids, in the order of the files' names.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.revisions.iter().map(|(id, _)| *id)
    }

    /// Applies what is pending, as one transaction. When all is applied this costs one look-up.
    ///
    /// # Errors
    /// [`AHEAD`] where the database has revisions that this program does not know, an applied revision that did
    /// something else than the embedded one, and whatever stops a run.
    pub fn upgrade(&self, database: &mut (impl Database + ?Sized)) -> Result<Outcome, Error> {
        self.migrator().upgrade(database)
    }

    /// Connects to a PostgreSQL server as a program on libpq does, and applies what is pending as [`upgrade`](Self::upgrade)
    /// does. For programs on tokio-postgres, sqlx, diesel or sea-orm: the connection is the migrations' own and is closed at
    /// the end. How a URL is read is said in [`server`](crate::server); the server sees the package's key as the name of the
    /// application.
    ///
    /// ```no_run
    /// # use migrate_runtime::Migrations;
    /// # static MIGRATIONS: Migrations = Migrations::embedded("app", "migrations", &[], None);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// MIGRATIONS.upgrade_url("postgres://app@localhost/app?sslmode=verify-full")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It blocks until all is done, in a thread of its own. An asynchronous program that has other things to do meanwhile
    /// calls it in a thread that may block: `tokio::task::spawn_blocking(move || MIGRATIONS.upgrade_url(&url)).await`.
    ///
    /// # Errors
    /// A URL that cannot be read, a server that cannot be reached or refuses the session, and those of
    /// [`upgrade`](Self::upgrade). None has the password in it.
    #[cfg(feature = "postgres-url")]
    pub fn upgrade_url(&self, url: &str) -> Result<Outcome, Error> {
        apart(|| self.migrator().upgrade_url(url))
    }

    /// Refuses a database that is not exactly where these migrations are, for a program that leaves migrating to
    /// others. Nothing is written; when all is applied this costs one look-up.
    ///
    /// # Errors
    /// [`BEHIND`], [`AHEAD`], an applied revision that did something else than the embedded one, and a version table
    /// that cannot be read.
    pub fn verify(&self, database: &mut (impl Database + ?Sized)) -> Result<(), Error> {
        self.migrator().verify(database)
    }

    /// Takes off what follows a target, by the downs that were stored when it was applied.
    ///
    /// # Errors
    /// A target that is unknown or not applied, an irreversible revision, and whatever stops a run.
    pub fn downgrade_to(&self, database: &mut (impl Database + ?Sized), target: &str) -> Result<Outcome, Error> {
        self.migrator().downgrade_to(database, target)
    }

    /// What [`upgrade`](Self::upgrade) would apply. Nothing is written.
    ///
    /// # Errors
    /// A version table that cannot be read.
    pub fn pending(&self, database: &mut (impl Database + ?Sized)) -> Result<Vec<RevisionId>, Error> {
        Ok(self.status(database)?.pending)
    }

    /// How the database stands to these migrations. Nothing is written.
    ///
    /// # Errors
    /// A version table that cannot be read.
    pub fn status(&self, database: &mut (impl Database + ?Sized)) -> Result<Status, Error> {
        self.migrator().status(database)
    }

    /// A run with settings: a wait, an observer, a policy for a database that is ahead.
    #[must_use]
    pub fn migrator(&self) -> Migrator<'_> {
        Migrator::new(vec![self])
    }

    /// The migrations of several packages that share one database, such as those of libraries that own tables. They are
    /// applied together, in the order that their `depends` ask for.
    ///
    /// ```no_run
    /// # mod accounts { pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::Migrations::embedded("accounts", "m", &[], None); }
    /// # mod billing { pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::Migrations::embedded("billing", "m", &[], None); }
    /// use migrate_runtime::{Joined, Migrations};
    ///
    /// static MIGRATIONS: Joined<2> = Migrations::join([&accounts::MIGRATIONS, &billing::MIGRATIONS]);
    /// ```
    #[must_use]
    pub const fn join<const N: usize>(parts: [&'static Self; N]) -> Joined<N> {
        Joined { parts }
    }

    /// What tells these migrations from others in this process.
    #[cfg(feature = "testing")]
    pub(crate) fn address(&self) -> usize {
        self.revisions.as_ptr().addr()
    }

    /// The graph of the embedded texts. They were read once by `embed!`, so this finds no mistakes in practice.
    pub(crate) fn graph(&self) -> Result<RevisionGraph, Error> {
        let (mut migrations, mut problems) = (Vec::new(), Vec::new());
        for (id, text) in self.revisions {
            let read = RevisionId::new(id).map_err(|problem| vec![problem]).and_then(|id| {
                let path = Path::new(self.folder).join(id.file_name());
                Migration::parse_as(self.dialect, id, &path, text)
            });
            match read {
                Ok(migration) => migrations.push(migration),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        Ok(RevisionGraph::new(self.package, migrations)?)
    }

    /// Whether a look at the newest row says that all is applied and nothing else. With several heads it cannot say.
    pub(crate) fn is_at_head(&self, driver: &mut dyn Driver) -> Result<bool, Error> {
        let Some(head) = self.head else { return Ok(false) };
        let newest = driver.newest(self.package).map_err(|error| store_problem(&error))?;
        Ok(newest.is_some_and(|row| {
            row.applied
                && row.seal == head
                && usize::try_from(row.count).is_ok_and(|count| count == self.revisions.len())
        }))
    }
}

/// The migrations of several packages that share one database; [`Migrations::join`] makes them. A run of one part alone,
/// a downgrade for instance, goes through that part.
#[derive(Clone, Copy, Debug)]
pub struct Joined<const N: usize> {
    parts: [&'static Migrations; N],
}

impl<const N: usize> Joined<N> {
    /// The parts, as they were joined.
    #[must_use]
    pub const fn parts(&self) -> &[&'static Migrations; N] {
        &self.parts
    }

    /// Applies what is pending in all packages, as one transaction. When all is applied this costs one look-up for each.
    ///
    /// # Errors
    /// As [`Migrations::upgrade`]; besides, a circle of dependencies, a dependency on a package that is not among the
    /// parts and not applied, and two parts that make the same table.
    pub fn upgrade(&self, database: &mut (impl Database + ?Sized)) -> Result<Outcome, Error> {
        self.migrator().upgrade(database)
    }

    /// As [`Migrations::upgrade_url`], for all parts.
    ///
    /// # Errors
    /// As there, and as [`upgrade`](Self::upgrade).
    #[cfg(feature = "postgres-url")]
    pub fn upgrade_url(&self, url: &str) -> Result<Outcome, Error> {
        apart(|| self.migrator().upgrade_url(url))
    }

    /// As [`Migrations::verify`], for all parts.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, database: &mut (impl Database + ?Sized)) -> Result<(), Error> {
        self.migrator().verify(database)
    }

    /// How the database stands to each part, in their order. Nothing is written.
    ///
    /// # Errors
    /// A version table that cannot be read.
    pub fn status(&self, database: &mut (impl Database + ?Sized)) -> Result<[Status; N], Error> {
        let mut all = [const { Status { applied: Vec::new(), pending: Vec::new(), ahead: Vec::new() } }; N];
        for (status, part) in all.iter_mut().zip(self.parts) {
            *status = part.status(database)?;
        }
        Ok(all)
    }

    /// A run with settings: a wait, an observer, a policy for a database that is ahead.
    #[must_use]
    pub fn migrator(&self) -> Migrator<'_> {
        Migrator::new(self.parts.to_vec())
    }
}

impl Texts for Migrations {
    fn text(&self, migration: &Migration) -> Result<String, Problem> {
        let found = self.revisions.iter().find(|(id, _)| *id == migration.id.as_str());
        found
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| Problem::new(UNKNOWN_APPLIED, format!("this program does not carry `{}`", migration.id)))
    }
}

#[cfg(test)]
mod tests;
