//! The folder that backups lie in.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use build_support::problem::Problem;

use super::{FAILED, Name};
use crate::failure::Result;
use crate::project::{Database, Project};

/// What a file's name ends with until it counts.
pub(super) const PARTIAL: &str = ".partial";
/// Held shared by all who make a backup; whoever gets it alone knows that no half backup is anybody's.
const LOCK: &str = ".lock";

/// A backup in the folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What its name says.
    pub name: Name,
    /// The file.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// When it was written, which tells apart what has been made within one second.
    written: Option<SystemTime>,
}

impl Entry {
    /// What sorts backups by their age.
    pub(super) fn age(&self) -> impl Ord + use<> {
        (self.name.time.clone(), self.written, self.name.counter)
    }
}

/// `.migrate/backups` below a package or a workspace.
#[derive(Debug)]
pub struct Folder {
    above: PathBuf,
    path: PathBuf,
    lock: Option<File>,
}

impl Folder {
    /// The folder for the backups of a database, which need not be there: the package's, or the workspace's where the
    /// database lies outside the package, since others may share it.
    #[must_use]
    pub fn of(project: &Project, database: &Database) -> Self {
        let own = database.url.file().is_some_and(|path| path.starts_with(project.root()));
        Self::below(if own { project.root() } else { project.workspace_root() })
    }

    /// The folders in which backups of a project's databases may lie.
    pub(super) fn all(project: &Project) -> Vec<Self> {
        let (own, shared) = (project.root(), project.workspace_root());
        if own == shared { vec![Self::below(own)] } else { vec![Self::below(own), Self::below(shared)] }
    }

    fn below(root: &Path) -> Self {
        let above = root.join(".migrate");
        Self { path: above.join("backups"), above, lock: None }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder where it is not there, out of git's sight, and removes what killed processes have left in it.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.made().map_err(|error| {
            Problem::new(FAILED, format!("no backup can be written here: {error}"))
                .in_file(&self.path)
                .help("see who may write the folder; `cargo migrate backup --to FILE` makes it elsewhere")
                .into()
        })
    }

    fn made(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let ignore = self.above.join(".gitignore");
        if ignore.symlink_metadata().is_err() {
            fs::write(ignore, "*\n")?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(self.path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {
                self.sweep()?;
                lock.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            // Some network file systems know no locks: there nobody's half backups are removed.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        lock.lock_shared()?;
        self.lock = Some(lock);
        Ok(())
    }

    /// Removes half backups, which are nobody's.
    fn sweep(&self) -> io::Result<()> {
        for (file, path, _) in self.files()? {
            if file.strip_suffix(PARTIAL).is_some_and(|file| Name::parse(file).is_some()) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// All backups, in any order.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(super) fn entries(&self) -> Result<Vec<Entry>> {
        let files = self.files().map_err(|error| {
            Problem::new(FAILED, format!("the backups cannot be looked at: {error}"))
                .in_file(&self.path)
                .help("see who may read the folder")
        })?;
        let entry = |(file, path, about): (String, PathBuf, Metadata)| {
            Some(Entry { name: Name::parse(&file)?, path, bytes: about.len(), written: about.modified().ok() })
        };
        Ok(files.into_iter().filter_map(entry).collect())
    }

    /// The files in it, and nothing that only leads to one.
    fn files(&self) -> io::Result<Vec<(String, PathBuf, Metadata)>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            // What is gone by now was not meant to stay.
            let Ok(about) = entry.path().symlink_metadata() else { continue };
            if let (Ok(name), true) = (entry.file_name().into_string(), about.is_file()) {
                files.push((name, entry.path(), about));
            }
        }
        Ok(files)
    }
}

/// Puts a file's name on the disk, which is there once its folder is. Not every system can do that.
pub(super) fn sync(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|folder| folder.sync_all()).ok();
    }
    #[cfg(not(unix))]
    let _ = path;
}
