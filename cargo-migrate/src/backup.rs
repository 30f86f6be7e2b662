//! Backups: whole, checked copies of a database, kept in `.migrate/backups` below the package.
//!
//! In reading order: `name` is what a backup's file is called, `folder` where they lie, `place` a file on its way to being
//! one, `check` what makes a copy of a file good, [`make`] makes one and [`restore`] puts one in the place of a database's
//! content. Of a server's database `dump` makes one, `emptied` knows what is dropped before another takes its place, and
//! `load` does that.
//!
//! It writes `.migrate/.gitignore`, `.migrate/backups/*.db` and `*.dump` (with `.partial` behind until it counts) and the lock
//! `.migrate/backups/.lock`, which the kernel lets go when a process dies.

mod check;
mod dump;
pub mod emptied;
mod folder;
mod load;
mod name;
mod place;
pub mod restore;
mod target;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use build_support::problem::{Code, Problem};
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::history::History;
use migrate_runtime::runner::{database_problem, store_problem};
use migrate_runtime::sqlite::StoreError;
use rusqlite::Connection;

pub use self::check::{Content, DAMAGED};
pub use self::folder::{Entry, Folder};
pub use self::load::refuse_others;
pub use self::name::{Form, Name, mark};

use self::place::Place;
use crate::app::{App, Opened};
use crate::copying::{self, CopyError, Step};
use crate::failure::{Failure, Result};
use crate::live;
use crate::pg_tools::PgTools;
use crate::project::Database;

/// A backup could not be made.
pub const FAILED: Code = Code("backup-failed");
/// A file has the name that a backup was to have.
pub const EXISTS: Code = Code("backup-exists");

/// How long a copy takes before its progress is told, and how often it is told then.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Who wants a backup. Only those that were made by themselves are removed by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A person has asked for it.
    ByHand,
    /// A command makes it before it does something else.
    Automatic,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its file.
    pub path: PathBuf,
    /// The file as messages show it.
    pub shown: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// How many pages it has, where it is a SQLite database.
    pub pages: Option<u64>,
    /// What the database was at: the package's revisions that no applied one follows.
    pub revisions: Vec<String>,
    /// How long the copy took, without what follows.
    pub copied_in: Duration,
    /// How long it took to check it.
    pub checked_in: Duration,
}

/// Makes a backup of a database as it is at one moment, whoever is using it, and this process too: its own transaction
/// on another connection may hold the lock of a run. It counts once it was read back as a whole and is on the disk.
///
/// `to` is a file that is not there yet; without it the backup goes where [`list`] finds it. One that is made by itself
/// takes the place of the oldest of its kind: [`prune`] is for the caller, who knows when the old ones are not needed
/// any more.
///
/// # Errors
/// A database that is not there, locked or damaged, a folder that cannot be written, a full disk. Nothing is left behind.
pub fn make(app: App<'_>, opened: &Opened, database: &Database, why: Why, to: Option<&Path>) -> Result<Made> {
    make_within(app, opened, (database, opened.wait), why, to)
}

/// The same, which waits no longer than this for what others hold.
///
/// # Errors
/// As [`make`].
pub fn make_within(
    app: App<'_>,
    opened: &Opened,
    (database, wait): (&Database, Duration),
    why: Why,
    to: Option<&Path>,
) -> Result<Made> {
    if let Some(server) = database.server() {
        return dump::make(app, opened, (database, server, wait), why, to);
    }
    let Some(mut source) = live::file::open_for_reading(database, wait)? else {
        let problem = Problem::new(live::file::NO_DATABASE_FILE, format!("there is no database file for {database}"))
            .in_file(live::file::path(database)?)
            .help("see that the URL names the right file; `cargo migrate upgrade` makes a new one");
        return Err(problem.into());
    };
    let table = &opened.project.settings().version_table;
    let before = check::history(&mut source, table).map_err(|error| of_store(database, &error))?;
    let revisions = before.map(|history| opened.current(&history));
    let place = match to {
        Some(path) => Place::given(path, database)?,
        None => {
            let mut folder = Folder::of(&opened.project, database);
            folder.prepare()?;
            let name = Name::new(&opened.project, database, app.context.started(), revisions.as_deref(), why);
            Place::free(folder, name, database)?
        }
    };
    let mut watch = watched(app, database);
    let start = Instant::now();
    let mut target = live::file::open_new(&place.partial).map_err(|error| place.failed(&error.to_string()))?;
    let looked = copying::out(&mut source, &mut target, &mut watch, |source| seen(source, table));
    drop(target);
    let (history, pages) = match looked {
        Ok(seen) => seen.map_err(|error| of_store(database, &error))?,
        Err(CopyError::Busy) => return Err(live::file::busy(database)),
        Err(CopyError::Database(error)) => return Err(place.refused(error, database)),
    };
    drop(source);
    let copied_in = start.elapsed();
    let start = Instant::now();
    place.check(app, database, history.as_ref(), pages, table)?;
    let checked_in = start.elapsed();
    let revisions = history.map(|history| opened.current(&history)).unwrap_or_default();
    let bytes = place.finish(database)?;
    let shown = opened.project.show_path(&place.path);
    let path = place.path.clone();
    Ok(Made { path, shown, bytes, pages: Some(pages), revisions, copied_in, checked_in })
}

/// All backups that lie in the project's folder and in its workspace's, the newest first. What is not named as one, or is no file, is passed
/// over.
///
/// # Errors
/// A folder that cannot be read.
pub fn list(opened: &Opened) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for folder in Folder::all(&opened.project) {
        entries.extend(folder.entries()?);
    }
    entries.sort_by_key(|entry: &Entry| std::cmp::Reverse(entry.age()));
    Ok(entries)
}

/// What the database of a backup is called by people who read this project's configuration: a configured name where it still
/// leads there, and else what stands in the file's name, with the mark.
#[must_use]
pub fn called(app: App<'_>, opened: &Opened, name: &Name) -> String {
    let project = &opened.project;
    let leads_there = |known: &&str| {
        let database = project.configured_database(app.context, known);
        database.is_ok_and(|database| name.is_of(&mark(project, &database)))
    };
    // Of several names of one database it is the one that it was made by.
    let mut known: Vec<&str> = project.databases().collect();
    known.sort_by_key(|known| *known != name.called());
    known.into_iter().find(leads_there).unwrap_or(&name.database).to_owned()
}

/// Removes the oldest of a database's backups that were made by themselves, so that no more stay than the configuration
/// keeps; none that was made by hand, and none of `spared`. Where the newest two are the same, as after a run that was
/// rolled back and tried again, the older of them goes first: trying again is not to push out what was there before. Gives
/// what was removed.
///
/// # Errors
/// A folder that cannot be read, or a file that cannot be removed.
pub fn prune(app: App<'_>, opened: &Opened, database: &Database, spared: &[&Path]) -> Result<Vec<PathBuf>> {
    let keep = usize::try_from(opened.project.settings().keep).unwrap_or(usize::MAX);
    let mark = mark(&opened.project, database);
    let mut removed = Vec::new();
    let form = Form::of(database);
    let automatic = |entry: &Entry| entry.name.automatic && entry.name.is_of(&mark);
    let mut entries: Vec<Entry> = list(opened)?.into_iter().filter(automatic).collect();
    let mut gone = Vec::new();
    if let [newest, before, ..] = &entries[..]
        && newest.bytes.abs_diff(before.bytes) <= differing(form)
        && is_same(app, form, &newest.path, &before.path)
    {
        gone.push(entries.remove(1));
    }
    gone.extend(entries.into_iter().skip(keep));
    for entry in gone {
        if spared.contains(&entry.path.as_path()) {
            continue;
        }
        match std::fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let problem = Problem::new(FAILED, format!("an old backup cannot be removed: {error}"));
                return Err(problem.in_file(&entry.path).help("see who may write its folder").into());
            }
            _ => removed.push(entry.path),
        }
    }
    Ok(removed)
}

/// By how many bytes two backups may differ that hold the same: an archive also has the numbers that a server gives to
/// things, and some have more digits.
fn differing(form: Form) -> u64 {
    match form {
        Form::File => 0,
        Form::Dump => 4096,
    }
}

/// Whether two backups hold the same. What cannot be read is not the same as anything.
fn is_same(app: App<'_>, form: Form, one: &Path, other: &Path) -> bool {
    const AT_ONCE: usize = 1 << 16;
    if form == Form::Dump {
        return dump::is_same(app, one, other);
    }
    let open = |path: &Path| File::open(path).map(|file| BufReader::with_capacity(AT_ONCE, file));
    let (Ok(one), Ok(other)) = (open(one), open(other)) else { return false };
    are_same(one, other)
}

fn are_same(mut one: impl BufRead, mut other: impl BufRead) -> bool {
    loop {
        let (Ok(left), Ok(right)) = (one.fill_buf(), other.fill_buf()) else { return false };
        let length = left.len().min(right.len());
        if left[..length] != right[..length] {
            return false;
        }
        if length == 0 {
            return left.is_empty() && right.is_empty();
        }
        one.consume(length);
        other.consume(length);
    }
}

/// The history that a backup holds; `None` where it cannot be read.
#[must_use]
pub fn history_of(app: App<'_>, opened: &Opened, path: &Path, form: Form) -> Option<History> {
    let table = &opened.project.settings().version_table;
    match form {
        Form::File => check::history_of(path, table),
        Form::Dump => {
            let tools = PgTools::find(app.context, None).ok()?;
            let current = |history: &History| opened.current(history);
            let found = dump::history(&tools, path, &dump::Sought::new(table, None, path, &current));
            found.ok()?.unwrap_or_else(|| Some(History::default()))
        }
    }
}

/// Tells a person of a copy that takes long, and everybody of one that is in somebody's way.
fn watched<'a>(app: App<'a>, database: &'a Database) -> impl FnMut(Step) + 'a {
    let (mut told, mut started_over) = (Instant::now(), 0);
    move |step| match step {
        Step::Pages { done, total } if app.context.interactive() && told.elapsed() >= TELL_EVERY => {
            told = Instant::now();
            app.shell.status("Copying", format!("{} %, {done} of {total} pages", done * 100 / total.max(1)));
        }
        Step::Pages { .. } => {}
        Step::StartedOver => started_over += 1,
        Step::HoldsWritersUp => app.shell.note(format!(
            "{database} was written to {started_over} times meanwhile: whoever writes waits now until the copy is made"
        )),
        Step::Waits => app.shell.status("Waiting", "for another process that holds the database"),
    }
}

/// What the database says of itself at the moment that the copy is of.
fn seen(source: &mut Connection, table: &str) -> std::result::Result<(Option<History>, u64), StoreError> {
    let history = check::history(source, table)?;
    let pages: i64 = source
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .map_err(|error| StoreError::from(DatabaseError::from(error)))?;
    // The copy of an empty database has one page: an empty file is no database to everybody.
    Ok((history, u64::try_from(pages).unwrap_or_default().max(1)))
}

/// What cannot be read because it is damaged is told as such: only then may a caller do without.
fn damaged(note: &str, database: &Database) -> Problem {
    database
        .blamed(Problem::new(DAMAGED, format!("{database} is damaged, and so would be its backup")))
        .note(note)
        .help("put back a backup that was made before: `cargo migrate restore`")
        .help("or save what can be read: `sqlite3 FILE .recover`")
}

fn of_store(database: &Database, error: &StoreError) -> Failure {
    match error {
        StoreError::Database(error) => of_database(database, error),
        error => database.blamed(store_problem(error)).into(),
    }
}

fn of_database(database: &Database, error: &DatabaseError) -> Failure {
    match error.kind {
        ErrorKind::Corrupt | ErrorKind::NotADatabase => damaged(&error.message, database).into(),
        _ => database.blamed(database_problem(error)).into(),
    }
}

#[cfg(test)]
mod tests;
