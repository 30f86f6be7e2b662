//! The build-script guard: a build is refused when a migration was edited after it was applied.
//!
//! ```no_run
//! // build.rs
//! build_support::guard("migrations");
//! ```
//!
//! It compares the files with `migrate.lock` and `migrate.local`, and with the version table of the SQLite databases
//! that it is told of, which it reads without SQLite ([`crate::sqlite_file`]). It asks cargo to run it again when the
//! folder changes, never when a database does: the program would be compiled anew after each of its runs.

use std::path::{Path, PathBuf};

use crate::build_time::{ALLOW_DRAFTS, Folder, is_packaged};
use crate::lock::Hashes;
use crate::problem::{Code, Problem};
use crate::verify::Holders;
use crate::{sqlite_file, verify};

/// A database could not be looked at.
pub const NOT_LOOKED_AT: Code = Code("database-not-looked-at");

/// Checks the migrations in a folder of the package that is being built, by the lock files alone.
///
/// It is to be called from a build script. What it finds is told to cargo in `cargo::error=` lines, with which cargo
/// fails the build by itself; it returns either way.
pub fn guard(folder: impl AsRef<Path>) {
    Guard::new(folder).run();
}

/// The guard with its settings.
///
/// ```no_run
/// // build.rs
/// build_support::guard::Guard::new("migrations").database("todo.db").run();
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    folder: PathBuf,
    databases: Vec<PathBuf>,
    version_table: String,
    allow_drafts: bool,
}

/// What a build script is told of its build.
#[derive(Clone, Debug)]
struct Surroundings {
    root: PathBuf,
    package: String,
    debug_assertions: bool,
    allow_drafts: bool,
}

impl Guard {
    /// A guard of a folder, by its path below the package's root.
    #[must_use]
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            databases: Vec::new(),
            version_table: "_cargo_migrate".to_owned(),
            allow_drafts: false,
        }
    }

    /// Looks into a local SQLite database too, by its path below the package's root. One that is not there has nothing
    /// applied; one that cannot be read is a warning.
    #[must_use]
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.databases.push(path.as_ref().to_owned());
        self
    }

    /// The version table's name, where the configuration gives it another than `_cargo_migrate`.
    #[must_use]
    pub fn version_table(mut self, name: &str) -> Self {
        name.clone_into(&mut self.version_table);
        self
    }

    /// Lets drafts into builds without debug assertions. In a packaged crate they are refused all the same.
    #[must_use]
    pub fn allow_drafts(mut self, allow: bool) -> Self {
        self.allow_drafts = allow;
        self
    }

    /// Checks, and tells cargo.
    #[expect(clippy::disallowed_methods, reason = "a build script is told by the environment what it builds")]
    #[expect(clippy::disallowed_macros, reason = "a build script tells cargo on its standard output")]
    pub fn run(self) {
        let surroundings = Surroundings {
            root: std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
            package: std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "main".to_owned()),
            debug_assertions: std::env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_some(),
            allow_drafts: std::env::var_os(ALLOW_DRAFTS).is_some_and(|value| value == "1"),
        };
        for line in self.lines(&surroundings) {
            println!("{line}");
        }
    }

    /// What cargo is told, line by line.
    fn lines(&self, surroundings: &Surroundings) -> Vec<String> {
        let mut lines = vec![
            format!("cargo::rerun-if-changed={}", self.folder.display()),
            format!("cargo::rerun-if-env-changed={ALLOW_DRAFTS}"),
        ];
        let (errors, warnings) = self.judge(surroundings);
        for (key, problems) in [("error", errors), ("warning", warnings)] {
            for problem in problems {
                lines.extend(problem.plain_lines().iter().map(|line| format!("cargo::{key}={line}")));
            }
        }
        lines
    }

    fn judge(&self, surroundings: &Surroundings) -> (Vec<Problem>, Vec<Problem>) {
        let folder = match Folder::read(&surroundings.root, &self.folder, &surroundings.package) {
            Ok(folder) => folder,
            Err(problems) => return (problems, Vec::new()),
        };
        let packaged = is_packaged(&surroundings.root);
        let (mut errors, mut warnings) = (folder.problems(), Vec::new());
        let drafts_allowed = surroundings.debug_assertions || self.allow_drafts || surroundings.allow_drafts;
        if packaged || !drafts_allowed {
            errors.extend(folder.draft_problem(packaged));
        }
        if !packaged {
            for database in &self.databases {
                self.look_into(&surroundings.root, database, &folder, &mut errors, &mut warnings);
            }
        }
        (errors, warnings)
    }

    /// Compares the files with what a database says was applied to it.
    fn look_into(
        &self,
        root: &Path,
        database: &Path,
        folder: &Folder,
        errors: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) {
        let rows = match sqlite_file::read_settled(&root.join(database), &self.version_table, &folder.package) {
            Ok(rows) => rows,
            Err(unreadable) => {
                warnings.push(
                    Problem::warning(NOT_LOOKED_AT, format!("this database was not looked at: {unreadable}"))
                        .in_file(database)
                        .note("the lock files were"),
                );
                return;
            }
        };
        let holders =
            Holders::database(&format!("`{}`", database.display()), &format!("sqlite:{}", database.display()));
        for row in rows.iter().filter(|row| !row.running) {
            let found = match folder.graph.lineage().find(row.id.as_str()) {
                Some(at) => {
                    let hashes = Hashes { checksum: row.checksum, statements: row.statements, seal: row.seal };
                    verify::compare(&folder.graph, at, &hashes, &holders, !errors.is_empty())
                }
                // A file of another git branch is no edit; one that the lock knows has been removed.
                None => folder
                    .locks
                    .shared
                    .get(row.id.as_str())
                    .map(|_| verify::removed(&row.id, &holders, folder.directory.shown())),
            };
            let Some(problem) = found else { continue };
            let known =
                |other: &Problem| other.code() == problem.code() && other.places().first() == problem.places().first();
            if !errors.iter().any(known) {
                errors.push(problem);
            }
        }
    }
}
