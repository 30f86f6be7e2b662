//! A backup's file on its way to being one.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::history::History;
use migrate_runtime::runner::BUSY;

use super::check::{self, Soundness};
use super::{EXISTS, FAILED, Folder, Name, damaged, folder, of_database};
use crate::app::App;
use crate::failure::{Failure, Result};
use crate::pg_tools;
use crate::project::Database;

/// A file that is being made; it is removed unless it was finished.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) partial: PathBuf,
    /// Open until the end, so that what was written can be put on the disk.
    file: File,
    /// Shared with all who make backups here; see [`Folder::prepare`].
    _folder: Option<Folder>,
    finished: std::cell::Cell<bool>,
}

impl Place {
    /// The first name of these that nobody has.
    pub(super) fn free(folder: Folder, mut name: Name, database: &Database) -> Result<Self> {
        loop {
            let path = folder.path().join(name.file());
            if let Some((partial, file)) = claim(&path, database)? {
                return Ok(Self { path, partial, file, _folder: Some(folder), finished: false.into() });
            }
            name.counter += 1;
        }
    }

    /// A file that a person has named.
    pub(super) fn given(path: &Path, database: &Database) -> Result<Self> {
        if let Some((partial, file)) = claim(path, database)? {
            return Ok(Self { path: path.to_owned(), partial, file, _folder: None, finished: false.into() });
        }
        let (taken, help) = match path.symlink_metadata() {
            Ok(_) => (path.to_owned(), "name a file that is not there yet; nothing is written over"),
            Err(_) => (partial(path), "another backup is being made there; where none is, remove this file"),
        };
        Err(Problem::new(EXISTS, "there is a file of this name already").in_file(taken).help(help).into())
    }

    /// Refuses a copy that is not what was copied.
    pub(super) fn check(
        &self,
        app: App<'_>,
        database: &Database,
        history: Option<&History>,
        pages: u64,
        table: &str,
    ) -> Result<()> {
        let content = check::read_back(&self.partial, table).map_err(|problem| self.failed(problem.message()))?;
        if let Soundness::Damaged(what) = &content.soundness {
            let problem = damaged(what, database);
            return Err(problem.into());
        }
        if content.history.as_ref() != history || content.pages != pages {
            return Err(self.failed("what was read back is not what was copied"));
        }
        if let Some(why) = content.unchecked() {
            app.shell.warning(format!("the backup could not be checked as a whole: {why}"));
        }
        Ok(())
    }

    /// Puts it on the disk and gives it its name; gives its size.
    pub(super) fn finish(&self, database: &Database) -> Result<u64> {
        let finish = || -> io::Result<u64> {
            let bytes = self.file.metadata()?.len();
            narrow(&self.file, database)?;
            self.file.sync_all()?;
            std::fs::rename(&self.partial, &self.path)?;
            self.finished.set(true);
            folder::sync(&self.path);
            Ok(bytes)
        };
        finish().map_err(|error| self.failed(&error.to_string()))
    }

    /// An error of SQLite's while it copied: of the database that it read, or of the file that it wrote.
    pub(super) fn refused(&self, error: rusqlite::Error, database: &Database) -> Failure {
        let error = DatabaseError::from(error);
        match error.kind {
            ErrorKind::Corrupt | ErrorKind::NotADatabase => of_database(database, &error),
            _ => self.failed(&error.message),
        }
    }

    pub(super) fn failed(&self, why: &str) -> Failure {
        self.problem(why).into()
    }

    /// What a program that writes the file has said: of the file, or of the server that it reads, and which may lack rights
    /// there. The program's own words are English, and what it repeats of the server may be of any language.
    pub(super) fn failed_by(&self, problem: &Problem, database: &Database, lacks_rights: bool) -> Failure {
        let said = problem.message();
        // Another session of the same user is open.
        let is_full = said.contains("has failed: connection to ");
        let locked = |words: &str| words.to_ascii_lowercase().contains("query was: lock table");
        let is_locked = locked(said) || problem.notes().iter().any(|note| locked(note));
        let failed = match database.server() {
            Some(server) if lacks_rights || said.contains("permission denied for ") => self
                .problem_of(FAILED, said)
                .help(pg_tools::may_read_all(server, database.session.role.as_deref()))
                .help("or make it as another user, by another URL: `-d URL`"),
            Some(_) if is_locked || pg_tools::is_lock_timeout(said) => self
                .problem_of(BUSY, said)
                .help("wait for who holds it and run the command again, or wait longer with `--wait SECONDS`"),
            Some(_) if is_full => self.problem_of(FAILED, said).help("wait until others have let go, and run it again"),
            _ => self.problem(said),
        };
        problem.notes().iter().fold(failed, |failed, note| failed.note(note)).into()
    }

    fn problem(&self, why: &str) -> Problem {
        self.problem_of(FAILED, why)
            .help("see that there is room on the disk, and who may write the folder")
            .help("or make it elsewhere: `cargo migrate backup --to FILE`")
    }

    fn problem_of(&self, code: Code, why: &str) -> Problem {
        Problem::new(code, format!("the backup cannot be made: {}", printable(why)))
            .in_file(&self.path)
            .note("nothing is left of it, and the database is as it was")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.finished.get() {
            // What cannot be removed now is removed by the next backup.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// The name of a file until it counts.
fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(folder::PARTIAL);
    partial.into()
}

/// Makes the file that is to become this one; nothing where either is there. Whoever holds the first may make the second.
fn claim(path: &Path, database: &Database) -> Result<Option<(PathBuf, File)>> {
    let partial = partial(path);
    let refused = |error: io::Error| {
        Problem::new(FAILED, format!("no backup can be written here: {error}")).in_file(path).help(
            "see that its folder is there, and who may write it; `cargo migrate backup --to FILE` makes it elsewhere",
        )
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let source = permissions_of(database).map_err(refused)?;
        // SQLite opens it by its name, and so this process has to be allowed to.
        options.mode(source | 0o600);
    }
    let file = match options.open(&partial) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(refused(error).into()),
    };
    if path.symlink_metadata().is_ok() {
        drop(file);
        std::fs::remove_file(&partial).map_err(refused)?;
        return Ok(None);
    }
    Ok(Some((partial, file)))
}

/// Who may do what with a database's own file; what comes from a server is its owner's alone.
#[cfg(unix)]
fn permissions_of(database: &Database) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    match database.url.file() {
        Some(path) => Ok(std::fs::metadata(path)?.permissions().mode() & 0o777),
        None => Ok(0o600),
    }
}

/// Takes away what the database's own file does not allow.
fn narrow(file: &File, database: &Database) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let source = permissions_of(database)?;
        let mut permissions = file.metadata()?.permissions();
        permissions.set_mode(permissions.mode() & source);
        file.set_permissions(permissions)?;
    }
    #[cfg(not(unix))]
    let _ = (file, database);
    Ok(())
}
