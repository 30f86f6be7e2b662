//! What every command starts from: the project, its folder, its graph and its locks.

use std::collections::HashSet;
use std::path::PathBuf;

use build_support::directory::{Directory, Locks};
use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::problem::{Problem, printable};
use build_support::verify;
use migrate_runtime::history::History;

use crate::args::{Format, GlobalArgs};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::{Database, OTHER_PACKAGE, Project, Selection};
use crate::report::shell::Shell;

/// Where a project's migrations are if nothing is said.
const USUAL_FOLDER: &str = "migrations";

/// A command's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct App<'a> {
    /// Time, environment, working directory, terminal.
    pub context: &'a Context,
    /// Where output goes.
    pub shell: &'a Shell,
    /// The flags that all commands have.
    pub global: &'a GlobalArgs,
}

/// A project with its migrations read.
#[derive(Debug)]
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
}

impl App<'_> {
    /// Whether the report goes to a program.
    #[must_use]
    pub fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Finds the project that the command line and the working directory name.
    ///
    /// # Errors
    /// No project, or a configuration that cannot be read.
    pub fn project(&self) -> Result<Project> {
        let global = self.global;
        Project::open(
            self.context,
            &Selection {
                manifest_path: global.manifest_path.clone(),
                package: global.package.clone(),
                migrations: global.migrations.clone(),
                name: global.name.clone(),
            },
        )
    }

    /// Reads the project's migrations and locks.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn open(&self) -> Result<Opened> {
        let (mut project, directory, read) = std::thread::scope(|scope| {
            // Cargo takes as long to tell of the project as the folder takes to be read, so both are done at once where
            // the folder can be guessed.
            let guess = self.usual_folder().map(|folder| {
                let directory = Directory::new(folder, USUAL_FOLDER);
                scope.spawn(move || (directory.read(), directory.read_locks(), directory))
            });
            let project = self.project()?;
            let usual = (self.context.working_directory().join(USUAL_FOLDER), PathBuf::from(USUAL_FOLDER));
            let guessed = (project.migrations(), project.migrations_shown()) == (&usual.0, usual.1);
            let found = guess.filter(|_| guessed).and_then(|guess| guess.join().ok());
            let (migrations, locks, directory) = found.unwrap_or_else(|| {
                let directory = Directory::new(project.migrations(), project.migrations_shown());
                (directory.read(), directory.read_locks(), directory)
            });
            Ok::<_, Failure>((project, directory, (migrations, locks)))
        })?;
        let (migrations, locks) = (read.0?, read.1?);
        if let Some(key) = locks.shared.package() {
            project.adopt_key(key)?;
        }
        self.opened(project, directory, migrations, locks)
    }

    /// Reads the migrations and locks of a project whose key counts, whatever key the lock names.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn open_as(&self, project: Project) -> Result<Opened> {
        let directory = Directory::new(project.migrations(), project.migrations_shown());
        let (migrations, locks) = (directory.read()?, directory.read_locks()?);
        self.opened(project, directory, migrations, locks)
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
        Ok(Opened { project, directory, graph, locks, wait })
    }

    /// The folder that most projects have, where the command was started in such a project.
    fn usual_folder(&self) -> Option<PathBuf> {
        let here = self.context.working_directory();
        let elsewhere =
            self.global.manifest_path.is_some() || self.global.package.is_some() || self.global.migrations.is_some();
        let folder = here.join(USUAL_FOLDER);
        (!elsewhere && here.join("Cargo.toml").is_file() && folder.is_dir()).then_some(folder)
    }

    /// The database that the command line, the environment or the configuration chooses.
    ///
    /// # Errors
    /// None chosen, or a name or URL that is none.
    pub fn database(&self, opened: &Opened) -> Result<Database> {
        opened.project.database(self.context, self.global.database.as_deref())
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
    /// Refuses where files and locks disagree.
    ///
    /// # Errors
    /// What [`verify::verify`] finds.
    pub fn verified(&self) -> Result<()> {
        let problems = verify::verify(&self.graph, &self.locks, self.directory.shown());
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }

    /// A database's history, read without writing; a file that is not there has an empty one.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn history(&self, database: &Database) -> Result<History> {
        live::history(database, &self.project.settings().version_table, self.wait)
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

    /// A history in which the texts count that `repair` has accepted in the lock since: a database that was not at
    /// hand then is not behind in what its upgrades do.
    #[must_use]
    pub fn with_accepted_texts(&self, history: &History) -> History {
        let key = self.project.key();
        let rows = history.rows().iter().cloned().map(|mut row| {
            let sealed = self.locks.shared.sealed(row.id.as_str()).map(|(hashes, _)| *hashes);
            if let Some(hashes) =
                sealed.filter(|hashes| row.package == key && row.hashes().differs_in_text_alone(hashes))
            {
                row.checksum = hashes.checksum;
            }
            row
        });
        History::new(rows.collect())
    }

    /// Refuses a database that has these migrations under another package's key: to this one all of it would look
    /// pending.
    ///
    /// # Errors
    /// [`OTHER_PACKAGE`]
    pub fn not_renamed(&self, history: &History, database: &str) -> std::result::Result<(), Problem> {
        let key = self.project.key();
        if history.of(key).next().is_some() {
            return Ok(());
        }
        let mine = |row: &&migrate_runtime::history::AppliedRevision| {
            self.graph.lineage().find(row.id.as_str()).is_some_and(|at| self.graph.seal(at) == row.seal)
        };
        let Some(row) = history.rows().iter().find(mine) else { return Ok(()) };
        let old = printable(&row.package);
        Err(Problem::new(OTHER_PACKAGE, format!("{database} has these migrations as those of `{old}`, not of `{key}`"))
            .help(format!("where the package was renamed: `cargo migrate repair --rename {old}={key}`"))
            .help(format!("or keep its key: `name = \"{old}\"` below `[package.metadata.migrate]`")))
    }

    /// Brings the lock files up to date with a database's history, and with the files.
    ///
    /// # Errors
    /// Locks that cannot be read or written.
    pub fn record(&self, database: Option<(&Database, &History)>) -> Result<bool> {
        let key = self.project.key();
        // Most commands change nothing, and what was read when this one began says so.
        let mut wanted = self.locks.clone();
        record(&mut wanted, &self.graph, key, database);
        if wanted == self.locks {
            return Ok(false);
        }
        Ok(self.directory.update_locks(|locks| record(locks, &self.graph, key, database))?)
    }
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
