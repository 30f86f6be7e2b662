//! What a build knows of a migrations folder. The guard and the macro ask here, so that they cannot disagree with each
//! other, nor with the command, which asks the same functions below.

use std::path::Path;

use crate::directory::{Directory, LOCK_FILE, Locks};
use crate::graph::RevisionGraph;
use crate::problem::{Code, Problem};
use crate::revision::{RevisionId, listed};
use crate::verify;

/// A folder with migrations has no `migrate.lock`.
pub const NO_LOCK: Code = Code("no-lock");
/// A release would carry migrations that may still be edited.
pub const DRAFTS: Code = Code("drafts");

/// The variable that lets drafts into one build.
pub const ALLOW_DRAFTS: &str = "CARGO_MIGRATE_ALLOW_DRAFTS";

/// A package's migrations, as a build reads them.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub directory: Directory,
    /// Its files.
    pub graph: RevisionGraph,
    /// What they were when they were applied.
    pub locks: Locks,
    /// The package's key in the version table.
    pub package: String,
}

impl Folder {
    /// Reads the folder of a package, by its path below the package's root. `package` is the key to go by where the
    /// lock names none.
    ///
    /// # Errors
    /// Files that cannot be read or do not go together, and [`NO_LOCK`]: without the lock nothing is known of what was
    /// applied.
    pub fn read(root: &Path, folder: &Path, package: &str) -> Result<Self, Vec<Problem>> {
        let directory = Directory::new(root.join(folder), folder);
        let migrations = directory.read()?;
        let locks = directory.read_locks()?;
        if !directory.path().join(LOCK_FILE).is_file() {
            return Err(vec![
                Problem::new(NO_LOCK, format!("this folder has no `{LOCK_FILE}`"))
                    .in_file(folder)
                    .help("run `cargo migrate lock`, and commit the file with the migrations"),
            ]);
        }
        let package = locks.shared.package().unwrap_or(package).to_owned();
        let graph = RevisionGraph::new(&package, migrations)?;
        Ok(Self { directory, graph, locks, package })
    }

    /// What was edited, removed or slipped in since it was applied, by the lock files.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        verify::verify(&self.graph, &self.locks, self.directory.shown())
    }

    /// The revisions that `migrate.lock` does not fix. What this checkout's own databases have does not count: another
    /// checkout would say otherwise.
    #[must_use]
    pub fn drafts(&self) -> Vec<&RevisionId> {
        let sealed = |id: &RevisionId| self.locks.shared.sealed(id.as_str()).is_some();
        self.graph.lineage().ids().iter().filter(|id| !sealed(id)).collect()
    }

    /// The refusal of drafts in a build without debug assertions; `None` where there are no drafts.
    #[must_use]
    pub fn draft_problem(&self, packaged: bool) -> Option<Problem> {
        let drafts = self.drafts();
        let listed = listed(&drafts);
        let (count, them) = match drafts.len() {
            0 => return None,
            1 => ("a draft".to_owned(), "it"),
            count => (format!("{count} drafts"), "them"),
        };
        let problem =
            Problem::new(DRAFTS, format!("this build would carry {count}, which may still be edited: {listed}"))
                .in_file(self.directory.shown().join(LOCK_FILE));
        Some(if packaged {
            problem
                .note("this is a packaged crate: who depends on it would have a history that you still change")
                .help(format!("fix {them} before you publish: `cargo migrate seal`, and commit the lock"))
        } else {
            problem
                .note("debug assertions are off, so this is taken for a build that is given away")
                .help(format!("fix {them}: `cargo migrate seal`, and commit the lock"))
                .help(format!("or let drafts into this one build: `{ALLOW_DRAFTS}=1 cargo build …`"))
        })
    }
}

/// Whether a package is one that `cargo package` has made: the manifest as its author wrote it lies beside cargo's own.
#[must_use]
pub fn is_packaged(root: &Path) -> bool {
    root.join("Cargo.toml.orig").is_file()
}
