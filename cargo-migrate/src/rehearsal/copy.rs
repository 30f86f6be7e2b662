//! The copy that a rehearsal works on: a file or a database of its own, removed at the end, also by a signal; what a
//! killed process has left is removed by the next one.

pub(super) mod file;
pub(super) mod server;
mod transfer;

use std::path::PathBuf;

pub(super) use self::file::FileCopy;
pub(super) use self::server::ServerCopy;
use super::interrupts::Interrupts;
use crate::app::{App, Opened};
use crate::failure::Result;
use crate::live::Live;
use crate::project::Database;

/// What a rehearsal starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// A copy of this database.
    Of(&'a Database),
    /// The same, made by a server itself from its files while nobody else may use the database.
    Cloned(&'a Database),
    /// Nothing, where this database is.
    Beside(&'a Database),
    /// Nothing.
    Nothing,
}

impl<'a> Start<'a> {
    /// The database that says which server the copy is made on; `None` where it is a file.
    pub(super) fn on_server(self) -> Option<&'a Database> {
        match self {
            Self::Of(database) | Self::Cloned(database) | Self::Beside(database) => {
                database.server().is_some().then_some(database)
            }
            Self::Nothing => None,
        }
    }
}

/// A database that is thrown away.
#[derive(Debug)]
pub enum Copy {
    /// A SQLite file.
    File(FileCopy),
    /// A database of a PostgreSQL server.
    Server(Box<ServerCopy>),
}

/// Where a copy has been left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In this file.
    File(PathBuf),
    /// As the database of this name, on the server of the one that was copied.
    Database(String),
}

impl Copy {
    /// Makes the copy. What is there is read only.
    ///
    /// # Errors
    /// A database that cannot be read, no room or no right to make a copy, or something else in its place.
    pub fn make(app: App<'_>, opened: &Opened, start: Start<'_>, interrupts: &Interrupts) -> Result<Self> {
        match start.on_server() {
            None => Ok(Self::File(FileCopy::make(opened, start, interrupts)?)),
            Some(_) => Ok(Self::Server(Box::new(ServerCopy::make(app, opened, start, interrupts)?))),
        }
    }

    /// Opens it for a run.
    ///
    /// # Errors
    /// A file that cannot be opened, a server that cannot be reached.
    pub fn open(&self) -> Result<Live> {
        match self {
            Self::File(copy) => Ok(Live::File(copy.open()?)),
            Self::Server(copy) => Ok(Live::Server(Box::new(copy.open()?))),
        }
    }

    /// Leaves it where it is, and tells where that is.
    ///
    /// # Errors
    /// A server that cannot be told that it is to stay.
    pub fn keep(mut self) -> Result<Kept> {
        match &mut self {
            Self::File(copy) => {
                copy.keep();
                Ok(Kept::File(copy.path()))
            }
            Self::Server(copy) => Ok(Kept::Database(copy.keep()?)),
        }
    }
}
