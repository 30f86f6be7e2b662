//! What every command starts from: the project, its folder, its graph and its locks; `beside` has what several packages
//! are together, `groups` finds out which of them share a database.

mod beside;
mod groups;
mod reading;

use std::collections::HashSet;

use build_support::directory::{Directory, Locks, TOO_LARGE};
use build_support::graph::RevisionGraph;
use build_support::migration::{Migration, NOT_TEXT, UNCLOSED};
use build_support::problem::{Problem, printable};
use build_support::revision::RevisionId;
use migrate_runtime::history::History;
use migrate_runtime::plan;

pub use self::beside::{Beside, OTHER_DIALECT, of_package};
pub use self::groups::{Chosen, DISAGREEMENT, Group, Purpose, joined, stricter};
use self::reading::FolderRead;
use crate::args::{Format, GlobalArgs};
use crate::context::Context;
use crate::failure::Result;
use crate::live::{self, Looked};
use crate::project::{Database, Project, Selection};
use crate::rehearsal::{Interrupts, Writing};
use crate::report::shell::Shell;
use crate::risk::Replayed;

/// A command's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct App<'a> {
    /// Time, environment, working directory, terminal.
    pub context: &'a Context,
    /// Where output goes.
    pub shell: &'a Shell,
    /// The flags that all commands have.
    pub global: &'a GlobalArgs,
    /// What is not to outlive the process.
    pub interrupts: &'a Interrupts,
}

/// A project with its migrations read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The configuration.
    pub project: Project,
    /// The migrations folder.
    pub directory: Directory,
    /// The graph of its files.
    pub graph: RevisionGraph,
    /// What the lock files say.
    pub locks: Locks,
    /// How long to wait for a process that holds a database locked.
    pub wait: std::time::Duration,
    /// The packages that share the database and are worked on with this one.
    pub beside: Vec<Beside>,
    /// What a revision that is being written will depend on, as `PACKAGE/ID`.
    pub to_depend_on: Vec<String>,
    /// What is known of the risk of runs by now.
    pub replayed: Replayed,
}

impl App<'_> {
    /// Whether the report goes to a program.
    #[must_use]
    pub fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Finds the one project that the command line and the working directory name.
    ///
    /// # Errors
    /// No project, or a configuration that cannot be read.
    pub fn project(&self) -> Result<Project> {
        Project::open(self.context, &self.selection())
    }

    /// Reads the one project's migrations and locks.
    ///
    /// # Errors
    /// Several projects are meant; everything that is wrong with the files.
    pub fn open(&self) -> Result<Opened> {
        let (project, mut read) = self.reading_ahead(false, || self.project())?;
        let read = read.take(&project);
        self.open_read(project, read)
    }

    /// The same with the packages that it needs beside it: those that its revisions depend on, its libraries, and those
    /// that a new revision is to depend on.
    ///
    /// # Errors
    /// As [`App::open`]; what is wrong with the others.
    pub fn open_with_needs(&self, depends_on: &[String]) -> Result<Opened> {
        let mut opened = self.open()?;
        opened.to_depend_on = depends_on.to_vec();
        if opened.needs_others() {
            let selection = Selection {
                packages: opened.project.package().map(str::to_owned).into_iter().collect(),
                workspace: false,
                exclude: Vec::new(),
                ..self.selection()
            };
            if let Some(neighbours) = Project::open_all(self.context, &selection)?.neighbours {
                self.with_needed(&mut opened, None, &neighbours)?;
            }
        }
        Ok(opened)
    }

    /// Reads the migrations and locks of a project whose key counts, whatever key the lock names.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn open_as(&self, project: Project) -> Result<Opened> {
        let read = FolderRead::of(self.folder(&project));
        self.opened(project, read.directory, read.migrations?, read.locks?)
    }

    /// A project's migrations folder. While it has no lock, the database that is chosen says whose SQL it holds.
    #[must_use]
    pub fn folder(&self, project: &Project) -> Directory {
        let directory = Directory::new(project.migrations(), project.migrations_shown());
        if project.is_library() || directory.has_lock() {
            return directory;
        }
        match project.database(self.context, self.global.database.as_deref()) {
            Ok(database) => directory.while_unlocked(database.dialect()),
            // Who has none chosen is told so where one is needed.
            Err(_) => directory,
        }
    }

    /// Takes what was read of a project's folder, or reads it.
    fn open_read(&self, mut project: Project, read: Option<FolderRead>) -> Result<Opened> {
        let folder = self.folder(&project);
        let read = read.filter(|read| read.directory == folder).unwrap_or_else(|| FolderRead::of(folder));
        let locks = read.locks;
        let migrations = read.migrations.map_err(|problems| match &locks {
            Ok(locks) => problems.into_iter().map(|problem| removable(problem, locks)).collect(),
            Err(_) => problems,
        })?;
        let locks = locks?;
        if let Some(key) = locks.shared.package() {
            project.adopt_key(key)?;
        }
        self.opened(project, read.directory, migrations, locks)
    }

    fn opened(
        &self,
        project: Project,
        directory: Directory,
        migrations: Vec<Migration>,
        locks: Locks,
    ) -> Result<Opened> {
        let graph = RevisionGraph::new(project.key(), migrations)?;
        let wait = self.global.wait.unwrap_or(project.settings().wait);
        Ok(Opened {
            project,
            directory,
            graph,
            locks,
            wait,
            beside: Vec::new(),
            to_depend_on: Vec::new(),
            replayed: Replayed::default(),
        })
    }

    /// The database that the command line, the environment or the configuration chooses.
    ///
    /// # Errors
    /// None chosen, or a name or URL that is none.
    pub fn database(&self, opened: &Opened) -> Result<Database> {
        opened.project.database(self.context, self.global.database.as_deref())
    }

    /// Opens a database, that was looked at or not, for what writes to it. Its session on a server ends when somebody
    /// interrupts the process. Where the database is not there it is made only if `create` says so.
    ///
    /// # Errors
    /// A database that is not there or cannot be opened.
    pub fn open_for_writing(&self, database: &Database, looked: Looked, create: bool) -> Result<Writing<'_>> {
        Ok(self.interrupts.session(database, looked.into_writing(database, create)?))
    }

    /// How long to wait for another runner.
    #[must_use]
    pub fn wait(&self, opened: &Opened) -> std::time::Duration {
        opened.wait
    }

    /// The command's time of start in UTC, RFC 3339, to the second.
    #[must_use]
    pub fn now(&self) -> String {
        self.context.started().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl Opened {
    /// A database's history, read without writing; a file that is not there has an empty one.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn history(&self, database: &Database) -> Result<History> {
        Ok(self.look(database)?.history)
    }

    /// The same with the session that has read it, for whoever has more to ask of the database.
    ///
    /// # Errors
    /// A database that cannot be read, or whose history is in another schema.
    pub fn look(&self, database: &Database) -> Result<Looked> {
        let looked = live::look(database, &self.project.settings().version_table, self.wait)?;
        self.not_elsewhere(&looked.history).map_err(|problem| database.blamed(problem))?;
        Ok(looked)
    }

    /// Refuses an empty history where that of one of the packages is in another schema.
    ///
    /// # Errors
    /// [`plan::HISTORY_ELSEWHERE`]
    pub fn not_elsewhere(&self, history: &History) -> std::result::Result<(), Problem> {
        plan::not_elsewhere(history, self.all().map(|opened| opened.project.key()))
    }

    /// The applied revisions that no applied revision follows, by the database's own record. One that is half way is not
    /// applied.
    #[must_use]
    pub fn current(&self, history: &History) -> Vec<String> {
        let rows = || history.of(self.project.key()).filter(|row| !row.is_half_way());
        let parents: HashSet<_> = rows().flat_map(|row| row.parents.iter()).collect();
        let ids = rows().filter(|row| !parents.contains(&row.id)).map(|row| row.id.to_string());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    }
}

/// Says how to be rid of a file that no command can read, where no lock knows it as applied: `delete` would have to read it.
fn removable(problem: Problem, locks: &Locks) -> Problem {
    if ![UNCLOSED, TOO_LARGE, NOT_TEXT].contains(&problem.code()) {
        return problem;
    }
    let path = problem.places().first().map(|place| place.path.clone());
    let Some((path, Some(Ok(id)))) = path.map(|path| (path.clone(), RevisionId::of_file(&path))) else {
        return problem;
    };
    if [&locks.shared, &locks.local].into_iter().any(|lock| lock.sealed(id.as_str()).is_some()) {
        return problem;
    }
    let shown = printable(&path.to_string_lossy());
    problem
        .help(format!("or, since no lock knows it as applied, be rid of it: remove {shown}, then `cargo migrate lock`"))
}

/// Edits the locks so that they say what the files and a database's history say.
pub fn record(locks: &mut Locks, graph: &RevisionGraph, key: &str, database: Option<(&Database, &History)>) {
    use build_support::lock::{Entry, RESERVED};
    locks.shared.set_package(key);
    if let Some((database, history)) = database.filter(|(database, _)| !database.scratch) {
        let name = database.lock_name();
        let lock = if database.shared { &mut locks.shared } else { &mut locks.local };
        for row in history.of(key).filter(|row| graph.find(row.id.as_str()).is_some()) {
            if lock.sealed(row.id.as_str()).is_none_or(|(_, names)| !names.contains(name)) {
                lock.seal(row.id.clone(), row.hashes(), name);
            }
        }
        // In the local lock the name stands for this checkout's own database, which is told from no other one's.
        if !RESERVED.contains(&name) || !database.shared {
            let applied: HashSet<_> = history.of(key).map(|row| &row.id).collect();
            let gone: Vec<_> = lock.entries().keys().filter(|id| !applied.contains(id)).cloned().collect();
            for id in gone {
                lock.unseal(id.as_str(), name);
            }
        }
    }
    for migration in graph.migrations() {
        locks.shared.add_draft(migration.id.clone());
    }
    locks.shared.retain_drafts(|id| graph.find(id.as_str()).is_some());
    let drafts: Vec<_> =
        locks.local.entries().iter().filter(|(_, entry)| **entry == Entry::Draft).map(|(id, _)| id.clone()).collect();
    for id in drafts {
        locks.local.remove(id.as_str());
    }
}
