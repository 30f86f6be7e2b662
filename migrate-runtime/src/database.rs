//! What migrations are applied to: a program's own connection, of whichever kind.

use crate::connection::Connection;
use crate::driver::Driver;
use crate::driver::sqlite::SqliteDriver;

/// A database that [`Migrations`](crate::Migrations) can be applied to.
///
/// Each SQLite connection that is a [`Connection`] is one, and with the feature `postgres` a `postgres::Client`. A program
/// on another SQLite library implements [`Connection`], not this.
pub trait Database {
    /// The database as the runner sees it, with a version table of this name: letters, digits and `_`, and on a server a
    /// schema and a dot before it.
    fn driver<'c>(&'c mut self, version_table: &str) -> Box<dyn Driver + 'c>;
}

impl<C: Connection> Database for C {
    fn driver<'c>(&'c mut self, version_table: &str) -> Box<dyn Driver + 'c> {
        Box::new(SqliteDriver::new(self, version_table))
    }
}

impl Database for dyn Connection + '_ {
    fn driver<'c>(&'c mut self, version_table: &str) -> Box<dyn Driver + 'c> {
        Box::new(SqliteDriver::new(self, version_table))
    }
}

#[cfg(feature = "postgres")]
impl Database for postgres::Client {
    fn driver<'c>(&'c mut self, version_table: &str) -> Box<dyn Driver + 'c> {
        Box::new(crate::driver::postgres::PostgresDriver::new(self, version_table))
    }
}
