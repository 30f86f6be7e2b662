//! A backup in the place of a database's content.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::history::History;
use migrate_runtime::runner::database_problem;
use rusqlite::Connection;

use super::target::Target;
use super::{Content, DAMAGED, Entry, Made, Name, called, check, dump, folder, load, mark};
use crate::app::{App, Opened};
use crate::copying::{self, CopyError};
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::Database;
use crate::project::database::{SqliteMode, identity};

/// No backup is meant.
pub const NO_BACKUP: Code = Code("no-backup");
/// Several backups could be meant.
pub const AMBIGUOUS: Code = Code("ambiguous-backup");
/// A backup could not be put in a database's place.
pub const NOT_RESTORED: Code = Code("not-restored");
/// A file that is to be restored has no version table.
pub const WITHOUT_HISTORY: Code = Code("backup-without-history");
/// A backup is of another kind of database.
pub const OTHER_KIND: Code = Code("backup-of-another-kind");

/// How many candidates a message lists.
const MOST_SHOWN: usize = 10;

/// What became of what was there.
#[derive(Debug, Default)]
pub struct Replaced {
    /// The backup of it.
    pub kept: Option<Made>,
    /// Its files, which could not be read and were moved out of the way.
    pub aside: Vec<PathBuf>,
}

/// The backup that a person means: by its file name, by a part of it that no other has, or by a path; the newest of
/// the database where nothing is said.
///
/// # Errors
/// None is meant, or several could be.
pub fn find(app: App<'_>, opened: &Opened, database: &Database, wanted: Option<&str>) -> Result<PathBuf> {
    let entries = super::list(opened)?;
    let Some(wanted) = wanted else {
        let mark = mark(&opened.project, database);
        if let Some(own) = entries.iter().find(|entry| entry.name.is_of(&mark)) {
            return Ok(own.path.clone());
        }
        let problem = Problem::new(NO_BACKUP, format!("there is no backup of {database}"))
            .in_file(folder::Folder::of(&opened.project, database).path());
        let named = |entry: &&Entry| Some(entry.name.called()) == database.name.as_deref();
        let problem = match entries.iter().find(named) {
            Some(other) => problem.note(format!("{} is of another database of that name", other.name.file())),
            None => problem,
        };
        return Err(problem
            .help("make one: `cargo migrate backup`")
            .help("or name the file that is to be restored: `cargo migrate restore FILE`")
            .into());
    };
    let named = |entry: &Entry| entry.name.file();
    if let Some(entry) = entries.iter().find(|entry| named(entry) == wanted) {
        return Ok(entry.path.clone());
    }
    let path = app.context.working_directory().join(wanted);
    if path.is_file() {
        return Ok(path);
    }
    let found: Vec<&Entry> = entries.iter().filter(|entry| entry.name.has_part(wanted)).collect();
    match found.as_slice() {
        [one] => Ok(one.path.clone()),
        // What it is instead of a file is said when it is looked into.
        [] if path.symlink_metadata().is_ok() => Ok(path),
        [] => Err(Problem::new(
            NO_BACKUP,
            format!("there is no backup `{}`, and no file of that name", printable(wanted)),
        )
        .help("see which there are: `cargo migrate backups`")
        .into()),
        several => {
            let mut problem =
                Problem::new(AMBIGUOUS, format!("`{}` could be any of {} backups", printable(wanted), several.len()));
            for entry in several.iter().take(MOST_SHOWN) {
                problem = problem.note(named(entry));
            }
            if several.len() > MOST_SHOWN {
                problem = problem.note("and more");
            }
            Err(problem.help("write more of its name, as far as no other one has it").into())
        }
    }
}

/// What a backup is of, where that is another database than this: by the file's name, and by what an archive says of itself.
#[must_use]
pub fn of_another(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    (path, source): (&Path, &Source),
) -> Option<String> {
    let made_of = match source {
        Source::Dump(content) => content.made_of.as_deref(),
        Source::File(..) => None,
    };
    let made_of = made_of.map(|name| format!("`{}`", printable(name)));
    let Some(name) = path.file_name().and_then(|name| Name::parse(name.to_str()?)) else {
        let own = format!("`{}`", printable(database.server()?.database()));
        return made_of.filter(|made_of| *made_of != own);
    };
    if name.is_of(&mark(&opened.project, database)) {
        return None;
    }
    let called = format!("`{}`", called(app, opened, &name));
    Some(match made_of.filter(|made_of| *made_of != called) {
        Some(made_of) => format!("{called} (on its server {made_of})"),
        None => called,
    })
}

/// A backup that was read as a whole.
#[derive(Debug)]
pub enum Source {
    /// A SQLite database.
    File(Connection, Content),
    /// An archive of a server's database.
    Dump(dump::Content),
}

impl Source {
    /// Looks into all of a backup that is to be restored to this database. Nothing is made beside it.
    ///
    /// # Errors
    /// [`DAMAGED`], [`OTHER_KIND`]
    pub fn open(app: App<'_>, opened: &Opened, database: &Database, path: &Path) -> Result<Self> {
        let table = &opened.project.settings().version_table;
        let other = |is: &str, wanted: &str| {
            Problem::new(OTHER_KIND, format!("this backup is {is}, and {database} takes {wanted}"))
                .in_file(path)
                .note("the database is as it was")
                .help("choose another one: `cargo migrate backups` lists them; or another database: `-d NAME`")
        };
        match (database.server(), dump::is_archive(path)) {
            (None, true) => Err(other("of a PostgreSQL server's database", "that of a SQLite file").into()),
            (Some(_), false) if check::is_sqlite(path) => {
                Err(other("a SQLite database", "what `pg_dump` has made of a server's database").into())
            }
            (Some(server), _) => {
                let current = |history: &History| opened.current(history);
                let sought = dump::Sought::new(table, server.schema(), path, &current);
                Ok(Self::Dump(dump::inspect(app, path, &sought)?))
            }
            (None, false) => {
                let (connection, content) = check::inspect(path, table)?;
                Ok(Self::File(connection, content))
            }
        }
    }

    /// Its version table; `None` where it is not one that this tool reads.
    #[must_use]
    pub fn history(&self) -> Option<&History> {
        match self {
            Self::File(_, content) => content.history.as_ref(),
            Self::Dump(content) => content.history.as_ref(),
        }
    }

    /// Refuses what has no version table, such as any other database's copy: whatever was applied would not be known any
    /// more. A backup of this very database may be from the time before its first migration.
    ///
    /// # Errors
    /// [`WITHOUT_HISTORY`]
    pub fn with_version_table(&self, opened: &Opened, database: &Database, path: &Path) -> Result<()> {
        let has_table = match self {
            Self::File(_, content) => content.has_table,
            Self::Dump(content) => content.has_table,
        };
        let name = path.file_name().and_then(|name| Name::parse(name.to_str()?));
        if has_table || name.is_some_and(|name| name.is_of(&mark(&opened.project, database))) {
            return Ok(());
        }
        let table = printable(&opened.project.settings().version_table);
        Err(Problem::new(WITHOUT_HISTORY, format!("this file has no version table `{table}`, or not what is in it"))
            .in_file(path)
            .note("it may be of a database that has nothing to do with this project; the database is as it was")
            .help("choose another one: `cargo migrate backups` lists them")
            .help("or say `--without-history`, where it is meant to take the place of all that is there")
            .into())
    }

    /// How large it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File(_, content) => content.pages * content.page_size,
            Self::Dump(content) => content.bytes,
        }
    }

    /// Why not all of it could be checked, where that is so.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        match self {
            Self::File(_, content) => content.unchecked(),
            Self::Dump(_) => None,
        }
    }
}

/// Puts a backup in the place of a database's content, and keeps what is replaced. A server's database is made only where
/// `create` says so.
///
/// # Errors
/// A database that is locked for longer than there was time to wait, or that cannot be written or kept.
pub fn restore(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    (path, source): (&Path, &Source),
    create: bool,
) -> Result<Replaced> {
    match (source, database.server()) {
        (Source::Dump(content), Some(server)) => load::load(app, opened, (database, server), path, content, create),
        (Source::File(connection, content), _) => file(app, opened, database, (path, connection, content)),
        (Source::Dump(_), None) => live::file::path(database).map(|_| Replaced::default()),
    }
}

/// The same of a file.
///
/// It goes into the file that is there, in one transaction of SQLite's own: another process that has it open sees the
/// restored content, and one that is killed here leaves the old content whole. A file that SQLite cannot read is moved
/// out of the way with its journals, since nothing can be written into it.
fn file(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    backup: (&Path, &Connection, &Content),
) -> Result<Replaced> {
    let (path, source, content) = backup;
    let target = live::file::path(database)?;
    if target.canonicalize().ok().is_some_and(|target| path.canonicalize().ok() == Some(target)) {
        return Err(Problem::new(NOT_RESTORED, "this file is the database itself")
            .in_file(target)
            .help("name one of its backups: `cargo migrate backups` lists them")
            .into());
    }
    match readable(database, opened.wait)? {
        State::Missing if matches!(database.url.mode(), Some(SqliteMode::ReadOnly | SqliteMode::ReadWrite)) => {
            // Its URL says that it is never made.
            live::file::open_for_writing(database, false)?;
        }
        State::Missing => create(target, path)?,
        State::Unreadable => return replaced(database, app, backup),
        State::Readable => {
            let table = &opened.project.settings().version_table;
            let mut live = live::open_for_reading(database, opened.wait)?;
            if live.as_mut().map_or(Ok(false), |live| live::is_under_way(live, database, table))? {
                return Err(live::file::busy(database));
            }
        }
    }
    let mut target = Target::open(app, opened, database, content)?;
    let mut kept = match target.keep() {
        Ok(kept) => kept,
        Err(failure) if failure.problems().iter().all(|problem| problem.code() == DAMAGED) => {
            drop(target);
            return replaced(database, app, backup);
        }
        Err(failure) => return Err(failure),
    };
    while !target.replace(source)? {
        kept = target.keep()?;
    }
    Ok(Replaced { kept, aside: Vec::new() })
}

/// What the target's file is.
enum State {
    Missing,
    Readable,
    Unreadable,
}

fn readable(database: &Database, wait: Duration) -> Result<State> {
    let failure = match live::file::open_for_reading(database, wait) {
        Ok(None) => return Ok(State::Missing),
        Ok(Some(_)) => return Ok(State::Readable),
        Err(failure) => failure,
    };
    // Only a file that is no database is moved away, not one that is locked or must not be read.
    let look = live::file::open_unchanging(live::file::path(database)?)
        .and_then(|file| file.query_row("SELECT count(*) FROM main.sqlite_master", [], |_| Ok(())));
    match look.map_err(DatabaseError::from) {
        Err(error) if matches!(error.kind, ErrorKind::NotADatabase | ErrorKind::Corrupt) => Ok(State::Unreadable),
        _ => Err(failure),
    }
}

/// Makes the file that was missing, empty, with no wider permissions than its backup has.
fn create(target: &Path, backup: &Path) -> Result<()> {
    let make = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            options.mode(fs::metadata(backup)?.permissions().mode() & 0o777 | 0o600);
        }
        options.open(target).map(drop)
    };
    make().map_err(|error| moved(&error, target))
}

/// Puts a backup where a file is that SQLite cannot read. The file and what SQLite has put beside it are moved out of the
/// way, the journals first: one of them beside the new file would be taken for its own.
fn replaced(database: &Database, app: App<'_>, backup: (&Path, &Connection, &Content)) -> Result<Replaced> {
    let (_, source, _) = backup;
    // What lies beside a file lies beside the end of all links to it.
    let target = &identity(live::file::path(database)?);
    let named = |ending: &str| -> PathBuf {
        let mut name = target.as_os_str().to_owned();
        name.push(ending);
        name.into()
    };
    let stamp = app.context.started().strftime("%Y-%m-%dT%H%M%SZ");
    let partial = named(folder::PARTIAL);
    let file = create_beside(&partial)?;
    let done = (|| {
        let mut fresh = live::file::open_new(&partial).map_err(|error| of_target(database, error.into()))?;
        copying::into(source, &mut fresh, Duration::ZERO, &mut super::watched(app, database))
            .map_err(|error| of_target(database, error))?;
        drop(fresh);
        let permissions = fs::metadata(target).and_then(|old| file.set_permissions(old.permissions()));
        permissions.and_then(|()| file.sync_all()).map_err(|error| moved(&error, &partial))?;
        let mut aside = Vec::new();
        for beside in ["-journal", "-wal", "-shm", ""] {
            let from = named(beside);
            let to = named(&format!(".damaged-{stamp}{beside}"));
            if to.symlink_metadata().is_ok() {
                return Err(moved(&io::ErrorKind::AlreadyExists.into(), &to));
            }
            match fs::rename(&from, &to) {
                Ok(()) => aside.push(to),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(moved(&error, &from)),
            }
        }
        fs::rename(&partial, target).map_err(|error| moved(&error, target))?;
        folder::sync(target);
        aside.reverse();
        Ok(Replaced { kept: None, aside })
    })();
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}

/// A new file that its owner alone may read, until it has the permissions of the one that it replaces.
fn create_beside(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| moved(&error, path))
}

pub(super) fn of_target(database: &Database, error: CopyError) -> Failure {
    match error {
        CopyError::Busy => live::file::busy(database),
        CopyError::Database(error) => database.blamed(database_problem(&DatabaseError::from(error))).into(),
    }
}

fn moved(error: &io::Error, path: &Path) -> Failure {
    Problem::new(NOT_RESTORED, format!("the backup cannot be put in the database's place: {error}"))
        .in_file(path)
        .help("see that there is room on the disk, and who may write the folder")
        .into()
}
