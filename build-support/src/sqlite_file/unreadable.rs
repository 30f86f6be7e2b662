//! Why a database could not be read.

use std::fmt;
use std::io;

use crate::problem::printable;

/// Why a database file could not be read. It never means that something is wrong with the migrations: a caller turns
/// it into a warning. Each is shown as a fragment that follows the file's name: `app.db: it is being written to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The file is no SQLite database. An encrypted one looks the same.
    NotADatabase,
    /// The file changed during each of several attempts.
    Changing,
    /// A valid rollback journal lies beside the file: a transaction is under way, or one was interrupted and SQLite
    /// will roll it back when it next opens the database.
    HotJournal,
    /// The file uses something that this reader does not know.
    Unsupported(String),
    /// The file, or a row of the version table, contradicts itself; the text says where.
    Damaged(String),
    /// Something is larger than this reader accepts.
    TooLarge(String),
    /// The operating system refused.
    Io(String),
}

impl Unreadable {
    pub(super) fn damaged(place: impl fmt::Display) -> Self {
        Self::Damaged(place.to_string())
    }

    pub(super) fn io(error: &io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADatabase => f.write_str("it is not a SQLite database, or it is encrypted"),
            Self::Changing => f.write_str("it is being written to"),
            Self::HotJournal => {
                f.write_str("a transaction is under way in it or was interrupted (its `-journal` tells)")
            }
            Self::Unsupported(what) => write!(f, "only SQLite can read it: {}", printable(what)),
            Self::Damaged(place) => write!(f, "it is damaged: {}", printable(place)),
            Self::TooLarge(what) => write!(f, "it is too large to be read without SQLite: {}", printable(what)),
            Self::Io(error) => write!(f, "it cannot be read: {}", printable(error)),
        }
    }
}

impl std::error::Error for Unreadable {}
