//! The migrations folder: the one module that reads and writes it.
//!
//! Files are written through a temporary file in the same folder and a rename, so that a crash tears none; the lock
//! files change only under an operating-system lock on the folder, which the kernel lets go when a process dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checksum::Checksum;
use crate::lock::Lock;
use crate::migration::{Migration, normalise};
use crate::problem::{Code, Problem};
use crate::revision::RevisionId;
use crate::token::Dialect;

/// A file or folder that cannot be read or written.
pub const FILE_ACCESS: Code = Code("file-access");
/// There is no migrations folder.
pub const NO_FOLDER: Code = Code("no-migrations");
/// A file is larger than a migration can be.
pub const TOO_LARGE: Code = Code("too-large");
/// A file changed while a command was at work.
pub const FILE_MOVED: Code = Code("file-moved");

/// The committed lock's file name.
pub const LOCK_FILE: &str = "migrate.lock";
/// The file name of the lock of this checkout's own databases.
pub const LOCAL_FILE: &str = "migrate.local";
/// The largest migration file that is read, in bytes.
pub const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// The largest number of files in a folder.
pub const MOST_FILES: usize = 100_000;

/// What the name of a temporary file starts and ends with.
const TEMPORARY: &str = ".cargo-migrate-";
const TEMPORARY_END: &str = ".tmp";
/// How old a temporary file is that no process writes any more. Writing one takes moments.
const STALE: Duration = Duration::from_secs(600);

const HOLD_ATTEMPTS: u32 = 500;
const HOLD_PAUSE: Duration = Duration::from_millis(10);

/// A migrations folder and the way it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
    shown: PathBuf,
    unlocked: Dialect,
}

/// What a folder's two lock files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// `migrate.lock`, committed.
    pub shared: Lock,
    /// `migrate.local`, of this checkout alone.
    pub local: Lock,
}

impl Directory {
    /// Names a folder; nothing is looked at yet. `shown` is how messages name it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, shown: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), shown: shown.into(), unlocked: Dialect::default() }
    }

    /// The same folder, whose files are taken for a given database's while no lock says whose they are.
    #[must_use]
    pub fn while_unlocked(self, dialect: Dialect) -> Self {
        Self { unlocked: dialect, ..self }
    }

    /// Whether there is a lock that says whose SQL the folder holds, however it may be.
    #[must_use]
    pub fn has_lock(&self) -> bool {
        fs::symlink_metadata(self.path.join(LOCK_FILE)).is_ok()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder as messages name it.
    #[must_use]
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Reads all migrations, in the order of their ids, as the SQL of the database that the folder's lock names; where
    /// there is no lock that can be read, as SQLite's, or as what [`Directory::while_unlocked`] was told.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files.
    pub fn read(&self) -> Result<Vec<Migration>, Vec<Problem>> {
        let lock = self.path.join(LOCK_FILE);
        self.read_as(read_text(&lock, &lock).map_or_else(|_| self.unlocked, |text| Lock::dialect_of(&text)))
    }

    /// The same as the SQL of a given database, whatever the lock says.
    ///
    /// # Errors
    /// As [`Directory::read`].
    pub fn read_as(&self, dialect: Dialect) -> Result<Vec<Migration>, Vec<Problem>> {
        let entries = fs::read_dir(&self.path).map_err(|error| {
            vec![match error.kind() {
                io::ErrorKind::NotFound => Problem::new(NO_FOLDER, "there is no migrations folder here")
                    .in_file(&self.shown)
                    .help("run `cargo migrate init`, or name the folder with `--migrations DIR`"),
                _ => cannot("read", &self.shown, &error),
            }]
        })?;
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err(vec![cannot("read", &self.shown, &error)]),
            };
            let shown = self.shown.join(entry.file_name());
            match RevisionId::of_file(&shown) {
                None => {}
                Some(Ok(id)) => files.push(Found { id, entry, shown }),
                Some(Err(problem)) => problems.push(problem),
            }
            if files.len() > MOST_FILES {
                return Err(vec![
                    Problem::new(TOO_LARGE, format!("this folder has more than {MOST_FILES} migrations"))
                        .in_file(&self.shown),
                ]);
            }
        }
        files.sort_by(|a, b| a.id.cmp(&b.id));
        let mut migrations = Vec::with_capacity(files.len());
        for parsed in parse_all(dialect, &files) {
            match parsed {
                Ok(migration) => migrations.push(migration),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(migrations) } else { Err(problems) }
    }

    /// Reads the normalised text of one migration again, for its sections.
    ///
    /// # Errors
    /// [`FILE_MOVED`] where the file is not what it was when it was read first; [`FILE_ACCESS`].
    pub fn text(&self, migration: &Migration) -> Result<String, Problem> {
        let name = migration.path.file_name().unwrap_or_default();
        let text = read_text(&self.path.join(name), &migration.path)?;
        if Checksum::of(&text) == migration.checksum {
            return Ok(text);
        }
        Err(Problem::new(FILE_MOVED, "this file was changed while the command was at work")
            .in_file(&migration.path)
            .help("run the command again"))
    }

    /// Where a revision's file stands.
    #[must_use]
    pub fn file(&self, id: &RevisionId) -> PathBuf {
        self.path.join(id.file_name())
    }

    /// Reads the two lock files; one that is not there is empty.
    ///
    /// # Errors
    /// What [`Lock::parse`] finds; [`FILE_ACCESS`].
    pub fn read_locks(&self) -> Result<Locks, Vec<Problem>> {
        Ok(Locks { shared: self.read_lock(LOCK_FILE, Lock::parse)?, local: self.read_lock(LOCAL_FILE, Lock::parse)? })
    }

    /// Reads the lock files as they are after a merge, conflict markers and all; `said` is the dialect that a person has
    /// said.
    ///
    /// # Errors
    /// What [`Lock::parse_conflicted`] finds; [`FILE_ACCESS`].
    pub fn read_conflicted_locks(&self, said: Option<Dialect>) -> Result<Locks, Vec<Problem>> {
        let shared = self.read_lock(LOCK_FILE, |path, text| Lock::parse_conflicted(path, text, said))?;
        Ok(Locks { shared, local: self.read_lock(LOCAL_FILE, Lock::parse)? })
    }

    fn read_lock(
        &self,
        name: &str,
        parse: impl Fn(&Path, &str) -> Result<Lock, Vec<Problem>>,
    ) -> Result<Lock, Vec<Problem>> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut lock = Lock::default();
                if name == LOCK_FILE {
                    lock.set_dialect(self.unlocked);
                }
                return Ok(lock);
            }
            _ => {}
        }
        let shown = self.shown.join(name);
        let text = read_text(&path, &shown).map_err(|problem| vec![problem])?;
        parse(&shown, &text)
    }

    /// Writes a new migration file; it is whole when it appears.
    ///
    /// # Errors
    /// [`FILE_ACCESS`], also where there is a file of that name already.
    pub fn create(&self, id: &RevisionId, text: &str) -> Result<(), Problem> {
        let (path, shown) = (self.file(id), self.shown.join(id.file_name()));
        let temporary = self.write_temporary(text).map_err(|error| cannot("write", &shown, &error))?;
        // A hard link fails where the name is taken, which a rename does not.
        let linked = fs::hard_link(&temporary, &path).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links: look first, then rename.
            _ if path.exists() => Err(io::ErrorKind::AlreadyExists.into()),
            _ => fs::rename(&temporary, &path),
        });
        let _ = fs::remove_file(&temporary);
        linked.map_err(|error| cannot("write", &shown, &error))?;
        sync_folder(&self.path);
        Ok(())
    }

    /// Replaces a file of the folder with another text, all at once.
    ///
    /// # Errors
    /// [`FILE_ACCESS`]
    pub fn replace(&self, name: &str, text: &str) -> Result<(), Problem> {
        let path = self.path.join(name);
        // A link is written through, not replaced.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let write = || -> io::Result<()> {
            if fs::metadata(&path).is_ok_and(|found| found.permissions().readonly()) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let temporary = self.write_temporary(text)?;
            fs::rename(&temporary, &path).inspect_err(|_| {
                let _ = fs::remove_file(&temporary);
            })
        };
        write().map_err(|error| cannot("write", &self.shown.join(name), &error))?;
        sync_folder(&self.path);
        Ok(())
    }

    /// Removes a migration's file.
    ///
    /// # Errors
    /// [`FILE_ACCESS`]
    pub fn remove(&self, migration: &Migration) -> Result<(), Problem> {
        let name = migration.path.file_name().unwrap_or_default();
        fs::remove_file(self.path.join(name)).map_err(|error| cannot("remove", &migration.path, &error))?;
        sync_folder(&self.path);
        Ok(())
    }

    /// Changes the lock files under the folder's lock: they are read, `change` edits them, and each is written where
    /// its bytes are other than before. Gives whether anything was written.
    ///
    /// # Errors
    /// What reading finds; [`FILE_ACCESS`].
    pub fn update_locks(&self, change: impl FnOnce(&mut Locks)) -> Result<bool, Vec<Problem>> {
        self.update(Self::read_locks, change)
    }

    /// The same as [`Directory::update_locks`] for a lock with git's conflict markers in it, where `said` is the dialect
    /// that a person has said.
    ///
    /// # Errors
    /// What reading finds; [`FILE_ACCESS`].
    pub fn settle_locks(&self, said: Option<Dialect>, change: impl FnOnce(&mut Locks)) -> Result<bool, Vec<Problem>> {
        self.update(|directory| directory.read_conflicted_locks(said), change)
    }

    fn update(
        &self,
        read: impl Fn(&Self) -> Result<Locks, Vec<Problem>>,
        change: impl FnOnce(&mut Locks),
    ) -> Result<bool, Vec<Problem>> {
        let _held = self.hold().map_err(|error| vec![cannot("lock", &self.shown, &error)])?;
        let mut locks = read(self)?;
        change(&mut locks);
        let shared = self.write_lock(LOCK_FILE, &locks.shared.to_text(false), true);
        let empty = locks.local.entries().is_empty();
        let local = self.write_lock(LOCAL_FILE, &locks.local.to_text(true), !empty);
        match (shared, local) {
            (Ok(shared), Ok(local)) => {
                for (name, written) in [(LOCK_FILE, shared), (LOCAL_FILE, local)] {
                    if written {
                        self.sweep(name);
                    }
                }
                Ok(shared || local)
            }
            (shared, local) => Err(shared.err().into_iter().chain(local.err()).collect()),
        }
    }

    /// Removes the temporary files that killed processes have left. `written` is a file that was written just now, so
    /// what is much older than it is nobody's work any more. It is called with the folder locked.
    fn sweep(&self, written: &str) {
        let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let (Some(now), Ok(entries)) = (age(&self.path.join(written)), fs::read_dir(&self.path)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let temporary =
                name.to_str().is_some_and(|name| name.starts_with(TEMPORARY) && name.ends_with(TEMPORARY_END));
            let old =
                || age(&entry.path()).and_then(|then| now.duration_since(then).ok()).is_some_and(|age| age > STALE);
            if temporary && old() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Writes a lock file where its bytes change; one that is not there is made only where `make` says so.
    fn write_lock(&self, name: &str, text: &str, make: bool) -> Result<bool, Problem> {
        match fs::read(self.path.join(name)) {
            Ok(old) if old == text.as_bytes() => return Ok(false),
            // A checkout with CRLF endings is the same file.
            Ok(old) if normalise(Path::new(name), old.clone()).is_ok_and(|old| old == text) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(false),
            _ => {}
        }
        self.replace(name, text).map(|()| true)
    }

    fn write_temporary(&self, text: &str) -> io::Result<PathBuf> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for attempt in 0..100_u32 {
            let path = self.path.join(format!("{TEMPORARY}{}-{attempt}{TEMPORARY_END}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                    return match written {
                        Ok(()) => Ok(path),
                        Err(error) => {
                            let _ = fs::remove_file(&path);
                            Err(error)
                        }
                    };
                }
                Err(error) => last = error,
            }
            if last.kind() != io::ErrorKind::AlreadyExists {
                break;
            }
        }
        Err(last)
    }

    /// Holds the folder's lock until the value is dropped; waits about five seconds for another holder.
    fn hold(&self) -> io::Result<File> {
        // A folder can be locked itself where the system is a Unix; elsewhere a file in it stands for it.
        #[cfg(unix)]
        let file = File::open(&self.path)?;
        #[cfg(not(unix))]
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.path.join(".cargo-migrate.tmp"))?;
        // It is held for moments. A process that was stopped while it held the lock must not stop all others.
        for _ in 0..HOLD_ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(HOLD_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds it locked"))
    }
}

/// Makes a rename last through a power cut; where the system cannot, the rename still is whole or not there.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

/// A migration's file in the folder.
struct Found {
    id: RevisionId,
    entry: fs::DirEntry,
    shown: PathBuf,
}

type Parsed = Result<Migration, Vec<Problem>>;

/// Parses the files, in their order; many of them on several threads. A macro does so without optimisation, where it is
/// what a build waits for.
fn parse_all(dialect: Dialect, files: &[Found]) -> Vec<Parsed> {
    const FEW: usize = 64;
    const MOST_THREADS: usize = 8;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    if files.len() <= FEW || threads == 1 {
        return files.iter().map(|file| parse(dialect, file)).collect();
    }
    std::thread::scope(|scope| {
        let share = files.len().div_ceil(threads);
        let workers: Vec<_> = files
            .chunks(share)
            .map(|share| {
                (share, scope.spawn(move || share.iter().map(|file| parse(dialect, file)).collect::<Vec<_>>()))
            })
            .collect();
        // A thread that could not end well has its share done here.
        let done = workers.into_iter().map(|(share, worker)| {
            worker.join().unwrap_or_else(|_| share.iter().map(|file| parse(dialect, file)).collect())
        });
        done.flatten().collect()
    })
}

fn parse(dialect: Dialect, file: &Found) -> Parsed {
    // The folder says what most entries are; only of a link the file system has to be asked.
    let text = match file.entry.file_type() {
        Ok(kind) if kind.is_file() => read_file(&file.entry.path(), &file.shown),
        _ => read_normalised(&file.entry.path(), &file.shown),
    };
    let (text, verbatim) = text.map_err(|problem| vec![problem])?;
    let mut migration = Migration::parse_as(dialect, file.id.clone(), &file.shown, &text)?;
    migration.verbatim = verbatim;
    Ok(migration)
}

fn read_text(path: &Path, shown: &Path) -> Result<String, Problem> {
    read_normalised(path, shown).map(|(text, _)| text)
}

/// The same, with whether the file is byte for byte its normalised text.
fn read_normalised(path: &Path, shown: &Path) -> Result<(String, bool), Problem> {
    // Asked before opening: opening a pipe would wait for its other end.
    match fs::metadata(path) {
        Ok(found) if found.is_file() => read_file(path, shown),
        Ok(_) => Err(Problem::new(FILE_ACCESS, "this is not a file")
            .in_file(shown)
            .help("move it out of the migrations folder")),
        Err(error) => Err(cannot("read", shown, &error)),
    }
}

/// Reads what is known to be a file.
fn read_file(path: &Path, shown: &Path) -> Result<(String, bool), Problem> {
    let read = || -> io::Result<Vec<u8>> {
        // Most migrations fit, and reading them then takes no look at their size.
        let mut bytes = Vec::with_capacity(8 * 1024);
        File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| cannot("read", shown, &error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Problem::new(TOO_LARGE, "this file is larger than 64 MiB")
            .in_file(shown)
            .help("load data of that size with a program of its own, not with a migration"));
    }
    // Normalising takes away and never adds.
    let length = bytes.len();
    normalise(shown, bytes).map(|text| {
        let verbatim = text.len() == length;
        (text, verbatim)
    })
}

fn cannot(verb: &str, shown: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(FILE_ACCESS, format!("cannot {verb} this: {error}")).in_file(shown);
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            problem.help("see who may read and write it")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            problem.help("make room on the disk and run the command again")
        }
        io::ErrorKind::NotFound => problem.help("put it back; where it is a symbolic link, see where it leads"),
        io::ErrorKind::AlreadyExists => problem.help("choose another name, or move the one that is there"),
        io::ErrorKind::WouldBlock => problem.help(
            "another process has locked the migrations folder: end it, or wait for it, and run the command again",
        ),
        _ => problem.help("mend that and run the command again"),
    }
}
