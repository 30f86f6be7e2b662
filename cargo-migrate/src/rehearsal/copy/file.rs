//! The copy of a file: in a folder of its own below `.migrate`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem};
use rusqlite::Connection;

use super::Start;
use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::live;
use crate::rehearsal::interrupts::{Interrupts, Leftover};

/// The name of the file that says, by the lock on it, that a rehearsal is under way.
const LOCK: &str = "lock";
const DATABASE: &str = "copy.db";

/// A file that is thrown away.
#[derive(Debug)]
pub struct FileCopy {
    folder: PathBuf,
    /// Let go by the system when the process ends, however it does.
    _lock: File,
    keep: bool,
    interrupts: Interrupts,
}

impl FileCopy {
    /// Makes the copy. What is there is read only.
    ///
    /// # Errors
    /// A database that cannot be read, no room, or something else in the place of the folder.
    pub fn make(opened: &Opened, start: Start<'_>, interrupts: &Interrupts) -> Result<Self> {
        let private = opened.project.root().join(".migrate");
        let all = private.join("rehearsals");
        for folder in [&private, &all] {
            ours(folder)?;
        }
        hide(&private)?;
        sweep(&all);
        let (folder, lock) = interrupts
            .guarding(|| {
                folder_with_lock(&all).map(|(folder, lock)| (Leftover::Folder(folder.clone()), (folder, lock)))
            })
            .map_err(|error| unwritable(&all, &error))?;
        // From here on it is removed whatever happens.
        let copy = Self { folder, _lock: lock, keep: false, interrupts: interrupts.clone() };
        let file = copy.path();
        new_file(&file).map_err(|error| unwritable(&file, &error))?;
        if let Start::Of(database) | Start::Cloned(database) = start {
            live::file::copy_into(database, &file, opened.wait)?;
        }
        Ok(copy)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Opens it. What is written is not waited for until it is on the disk: a copy that a loss of power damages was to
    /// be thrown away.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(&self) -> Result<Connection> {
        let connection = live::file::open_file(&self.path())?;
        connection.pragma_update(None, "synchronous", "OFF").map_err(crate::introspect::failed)?;
        Ok(connection)
    }

    /// Leaves it where it is.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for FileCopy {
    fn drop(&mut self) {
        if self.keep {
            let _ = fs::remove_file(self.folder.join(LOCK));
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
        self.interrupts.forget(&Leftover::Folder(self.folder.clone()));
    }
}

/// Makes one of our folders where it is not there. What leads elsewhere is refused: a project that somebody else has
/// written is not to have files made or removed outside of it.
fn ours(folder: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Another process may be as far.
            match new_folder(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(folder, &error)),
                _ => fs::symlink_metadata(folder),
            }
        }
        found => found,
    };
    let found = found.map_err(|error| unwritable(folder, &error))?;
    if found.is_dir() {
        return Ok(());
    }
    let what = if found.is_symlink() { "a symbolic link" } else { "no folder" };
    Err(Problem::new(Code("file-access"), format!("this is {what}, where the copies of rehearsals are to be"))
        .in_file(folder)
        .help("remove it: the folder is made anew where it is needed")
        .into())
}

/// A folder that its owner alone may look into.
fn new_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// An empty file that its owner alone may read; SQLite gives its journal the same permissions.
fn new_file(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// A new folder, with the lock that says that its process lives.
fn folder_with_lock(all: &Path) -> io::Result<(PathBuf, File)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("").rand_bytes(8);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    loop {
        let folder = builder.tempdir_in(all)?.keep();
        let locked = new_file(&folder.join(LOCK)).and_then(|lock| lock.lock().map(|()| lock));
        match locked {
            // Another process may have swept it away before it was locked.
            Ok(lock) if folder.join(LOCK).exists() => return Ok((folder, lock)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                return Err(error);
            }
        }
    }
}

/// Git is not to see copies of data, whatever its configuration says.
fn hide(folder: &Path) -> Result<()> {
    let ignore = folder.join(".gitignore");
    // A link that is there already is not written through.
    match OpenOptions::new().write(true).create_new(true).open(&ignore).and_then(|mut file| file.write_all(b"*\n")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unwritable(&ignore, &error)),
        _ => Ok(()),
    }
}

/// Removes what processes that have ended have left: their lock is free. What was kept on purpose has none.
fn sweep(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let (folder, lock) = (entry.path(), entry.path().join(LOCK));
        match fs::symlink_metadata(&lock) {
            Ok(found) if found.is_file() => {
                // The lock is held until all is gone, since who has just made the folder is about to take it; and where
                // its name is gone, the copy was kept while this one looked.
                if let Ok(held) = File::open(&lock)
                    && held.try_lock().is_ok()
                    && lock.exists()
                {
                    let _ = fs::remove_dir_all(&folder);
                }
            }
            Ok(_) => {}
            // A process was killed before it had made its lock; what is not empty stays.
            Err(_) => {
                let _ = fs::remove_dir(&folder);
            }
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Problem::new(Code("file-access"), format!("cannot write this: {error}"))
        .in_file(path)
        .help("a rehearsal needs room for a copy of the database, below the project's folder")
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn who_looks_for_leftovers_takes_neither_a_copy_that_is_made_nor_one_that_is_kept() {
        let all = tempfile::tempdir().unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        sweep(all.path());
                    }
                });
            }
            let kept = scope.spawn(|| {
                for _ in 0..1_000 {
                    let (folder, lock) = folder_with_lock(all.path()).unwrap();
                    new_file(&folder.join(DATABASE)).unwrap();
                    fs::remove_file(folder.join(LOCK)).unwrap();
                    drop(lock);
                    std::thread::yield_now();
                    // Put away, so that there are never many to look through.
                    fs::remove_dir_all(folder).unwrap();
                }
            });
            let kept = kept.join();
            ended.store(true, Ordering::Relaxed);
            assert!(kept.is_ok(), "a copy was lost");
        });
    }
}
