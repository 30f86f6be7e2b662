//! The lock of a run that commits more than once.
//!
//! Between two commits the database itself is free, so such a run also holds a lock on a file beside it, named like
//! the database with `-migrate` behind. The kernel lets the lock go when the process dies; a lock row in the database
//! would stay. It is never the database's own file: to open and close that would drop SQLite's locks
//! (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A held lock; dropping it removes the file, if it is empty as this made it, and lets the lock go.
#[derive(Debug)]
pub(crate) struct SplitLock {
    file: File,
    path: PathBuf,
}

impl SplitLock {
    /// Takes the lock of a database; `None` where another process holds it.
    ///
    /// # Errors
    /// A folder that cannot be written, or something that is no file under the lock's name.
    pub(crate) fn take(database: &Path) -> io::Result<Option<Self>> {
        let path = beside(database);
        // Opening a pipe would wait for its other end.
        if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other(format!("`{}` is not a file", path.display())));
        }
        // Another holder may remove the file between the opening and the locking; then this lock is of no file.
        for _ in 0..100 {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Self { file, path })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether a process holds the lock of a database. For those that only read: nothing is created, and the lock is not
/// kept from anybody for longer than the look takes.
///
/// # Errors
/// A file that is there and cannot be opened.
pub(crate) fn is_held(database: &Path) -> io::Result<bool> {
    let path = beside(database);
    if !std::fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return Ok(false);
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        // It has been removed meanwhile, with the end of its run.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-migrate");
    PathBuf::from(name)
}

impl Drop for SplitLock {
    fn drop(&mut self) {
        // A file that stays is harmless: the lock counts, not the file.
        // One with something in it is somebody else's, who has given it this name.
        if self.file.metadata().is_ok_and(|found| found.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed, so the file that was locked is the one that is there.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_the_lock_and_it_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let held = SplitLock::take(&database).unwrap().unwrap();
        assert!(SplitLock::take(&database).unwrap().is_none());
        assert!(is_held(&database).unwrap());
        drop(held);
        assert!(!is_held(&database).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(SplitLock::take(&database).unwrap().is_some());
    }

    #[test]
    fn a_file_of_somebody_else_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.db-migrate"), "mine").unwrap();
        drop(SplitLock::take(&folder.path().join("a.db")).unwrap().unwrap());
        assert_eq!(std::fs::read_to_string(folder.path().join("a.db-migrate")).unwrap(), "mine");
    }
}
