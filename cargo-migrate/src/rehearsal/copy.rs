//! The copy that a rehearsal works on: a folder of its own below `.migrate`, removed at the end; what a killed process has
//! left is removed by the next one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem};
use rusqlite::Connection;

use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::Database;

/// What a rehearsal starts from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// A copy of this database.
    Of(&'a Database),
    /// Nothing.
    Nothing,
}

/// The name of the file that says, by the lock on it, that a rehearsal is under way.
const LOCK: &str = "lock";
const DATABASE: &str = "copy.db";

/// A database that is thrown away.
#[derive(Debug)]
pub struct Copy {
    folder: PathBuf,
    /// Let go by the system when the process ends, however it does.
    _lock: File,
    keep: bool,
}

impl Copy {
    /// Makes the copy. What is there is read only.
    ///
    /// # Errors
    /// A database that cannot be read, or no room.
    pub fn make(opened: &Opened, start: Start<'_>) -> Result<Self> {
        let all = opened.project.root().join(".migrate").join("rehearsals");
        fs::create_dir_all(&all).map_err(|error| unwritable(&all, &error))?;
        hide(&all)?;
        sweep(&all);
        let folder = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(8)
            .tempdir_in(&all)
            .map_err(|error| unwritable(&all, &error))?;
        let folder = folder.keep();
        let lock = File::create(folder.join(LOCK)).and_then(|file| file.lock().map(|()| file));
        let copy = match lock {
            Ok(lock) => Self { folder, _lock: lock, keep: false },
            Err(error) => return Err(unwritable(&folder, &error)),
        };
        if let Start::Of(database) = start {
            let file = live::copy(database, opened.wait)?;
            let target = copy.path();
            // The copy is moved where it is on the same file system, and else copied once more.
            file.persist(&target)
                .map(drop)
                .or_else(|error| fs::copy(error.file.path(), &target).map(drop))
                .map_err(|error| unwritable(&target, &error))?;
        }
        Ok(copy)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Opens it.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(&self) -> Result<Connection> {
        live::open_file(&self.path())
    }

    /// Leaves it where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.keep {
            let _ = fs::remove_file(self.folder.join(LOCK));
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Git is not to see copies of data, whatever its configuration says.
fn hide(all: &Path) -> Result<()> {
    let Some(folder) = all.parent() else { return Ok(()) };
    let ignore = folder.join(".gitignore");
    if ignore.exists() {
        return Ok(());
    }
    fs::write(&ignore, "*\n").map_err(|error| unwritable(&ignore, &error))
}

/// Removes what processes that have ended have left: their lock is free. What was kept on purpose has none.
fn sweep(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Problem::new(Code("file-access"), format!("cannot write this: {error}"))
        .in_file(path)
        .help("a rehearsal needs room for a copy of the database")
        .into()
}
