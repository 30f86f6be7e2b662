//! What a project says about its migrations and databases.
//!
//! In reading order: `workspace` asks cargo; [`Selection`] is what the command line says, from which the packages
//! are chosen; [`Selected`] are those packages, opened, and [`Neighbours`] finds those that they name;
//! `manifest` finds where a setting stands; `layer` reads one table of settings and [`settings`] merges two; [`template`] names new revisions; `url` reads database URLs, `variables` the
//! environment and `.env`, [`database`] chooses the database; [`models`] finds the files with structs that are tables;
//! [`scaffold`] writes what `init` adds.
//!
//! It reads the package's and the workspace's `Cargo.toml`, `.env` beside each of them, and the variables
//! `CARGO`, `CARGO_MIGRATE_DATABASE`, `DATABASE_URL` and those that `env:NAME` names; for the models, the files that
//! `models` names. Opening a project writes nothing; where a library is looked for outside the workspace, cargo may
//! bring `Cargo.lock` up to date.

pub mod database;
mod layer;
mod manifest;
pub mod models;
mod neighbours;
pub mod scaffold;
mod selected;
mod selection;
pub mod settings;
pub mod template;
mod url;
mod variables;
mod workspace;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use build_support::problem::{Code, Problem, printable};
use cargo_metadata::Package;
use serde_json::Value;

pub use self::database::Database;
pub use self::neighbours::Neighbours;
pub use self::selected::Selected;
pub use self::selection::Selection;
pub use self::settings::Settings;

use self::database::{CHOICE_VARIABLE, DatabaseKey, DatabaseUrl, Databases};
use self::manifest::Manifest;
pub(crate) use self::selection::is_glob;
use self::variables::Variables;
use self::workspace::Workspace;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Cargo cannot be asked, or cannot answer.
pub const CARGO: Code = workspace::CARGO;
/// The lock is of another package than the one at work.
pub const OTHER_PACKAGE: Code = Code("other-package");

/// A package with migrations, or a folder of migrations alone.
#[derive(Clone, Debug)]
pub struct Project {
    working_directory: PathBuf,
    root: PathBuf,
    workspace_root: PathBuf,
    manifest: Option<PathBuf>,
    package: Option<String>,
    key: String,
    key_given: bool,
    settings: Settings,
    migrations: PathBuf,
    target_directory: Option<PathBuf>,
    has_metadata: bool,
    is_library: bool,
}

/// What a command line means, before the settings are read.
enum Meant {
    /// Packages of a workspace.
    Members(Box<Workspace>),
    /// A folder of migrations alone.
    Folder(PathBuf),
}

impl Project {
    /// Finds and reads the one project that the command line and the working directory mean.
    ///
    /// # Errors
    /// No project or no single package is meant, cargo cannot read the manifest, or its settings have problems.
    pub fn open(context: &Context, selection: &Selection) -> Result<Self> {
        let workspace = match Self::meant(context, selection)? {
            Meant::Folder(folder) => return Ok(Self::without_manifest(context, selection, &folder)),
            Meant::Members(workspace) => workspace,
        };
        let chosen = selection::choose(&workspace, selection, context).and_then(|chosen| Ok(chosen.only(&workspace)?));
        let package = chosen.map_err(|failure| without_manifest_help(failure, selection))?;
        Self::of_member(context, selection, &workspace, package)
    }

    /// The workspace, or the folder alone that stands in for it.
    fn meant(context: &Context, selection: &Selection) -> Result<Meant> {
        selection.check()?;
        let alone = selection.migrations.as_ref().filter(|_| selection.packages.is_empty());
        let Some(manifest) = workspace::manifest(context, selection)? else {
            let folder = alone.ok_or_else(|| workspace::no_project(context))?;
            return Ok(Meant::Folder(folder.clone()));
        };
        match (Workspace::load(context, &manifest), alone) {
            (Ok(workspace), _) => Ok(Meant::Members(Box::new(workspace))),
            // A folder and a key are all that the work needs. Without the key the manifest has to be understood:
            // working under another one would take an applied history for a missing one.
            (Err(_), Some(folder)) if selection.name.is_some() => Ok(Meant::Folder(folder.clone())),
            (Err(problem), _) => Err(without_manifest_help(problem.into(), selection)),
        }
    }

    /// A member of the workspace.
    fn of_member(context: &Context, selection: &Selection, workspace: &Workspace, package: &Package) -> Result<Self> {
        let settings = workspace.settings(package)?;
        let metadata = &workspace.metadata;
        let root = workspace::folder(package);
        let migrations = match &selection.migrations {
            Some(folder) => context.working_directory().join(folder),
            None => root.join(&settings.migrations),
        };
        let key = selection.name.clone().or_else(|| settings.name.clone());
        Ok(Self {
            working_directory: context.working_directory().to_owned(),
            workspace_root: metadata.workspace_root.as_std_path().to_owned(),
            manifest: Some(package.manifest_path.as_std_path().to_owned()),
            key: key.unwrap_or_else(|| package.name.to_string()),
            key_given: selection.name.is_some(),
            package: Some(package.name.to_string()),
            settings,
            migrations: migrations.components().collect(),
            target_directory: Some(metadata.target_directory.as_std_path().to_owned()),
            has_metadata: !matches!(workspace::table(&package.metadata), Value::Null),
            is_library: false,
            root,
        })
    }

    /// A package outside the workspace, under the key that it is found by.
    fn of_library(context: &Context, package: &Package, key: &str) -> Result<Self> {
        let root = workspace::folder(package);
        let manifest = package.manifest_path.as_std_path();
        let table = workspace::table(&package.metadata);
        let settings = Settings::of_library(table, &Arc::new(Manifest::at(manifest)))?;
        Ok(Self {
            working_directory: context.working_directory().to_owned(),
            workspace_root: root.clone(),
            manifest: Some(manifest.to_owned()),
            key: key.to_owned(),
            key_given: false,
            package: Some(package.name.to_string()),
            migrations: root.join(&settings.migrations).components().collect(),
            settings,
            target_directory: None,
            has_metadata: !table.is_null(),
            is_library: true,
            root,
        })
    }

    /// A package that is not at hand, of which a database has revisions: this one's databases under another key, and no
    /// files.
    #[must_use]
    pub fn stranger(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            key_given: true,
            package: None,
            is_library: true,
            migrations: self.root.join(".migrate").join("no-migrations"),
            ..self.clone()
        }
    }

    fn without_manifest(context: &Context, selection: &Selection, folder: &Path) -> Self {
        let here = context.working_directory().to_owned();
        Self {
            root: here.clone(),
            workspace_root: here.clone(),
            manifest: None,
            package: None,
            key: selection.name.clone().unwrap_or_else(|| "main".to_owned()),
            key_given: selection.name.is_some(),
            settings: Settings::without_project(),
            migrations: here.join(folder).components().collect(),
            target_directory: None,
            has_metadata: false,
            is_library: false,
            working_directory: here,
        }
    }

    /// The package's folder; the working directory where there is no package.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace's folder, the same as [`Project::root`] for a package that is in none.
    #[must_use]
    pub fn workspace_root(&self) -> &Path {
        &self.workspace_root
    }

    /// The package's `Cargo.toml`; `None` for a folder of migrations alone.
    #[must_use]
    pub fn manifest(&self) -> Option<&Path> {
        self.manifest.as_deref()
    }

    /// The package's name as cargo knows it; `None` for a folder of migrations alone.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }

    /// The package's key in the version table.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Takes the key that the migrations folder's lock names.
    ///
    /// # Errors
    /// [`OTHER_PACKAGE`] where the command line, the configuration or the package's name says otherwise: under another
    /// key all that is applied would look as if it were not.
    pub fn adopt_key(&mut self, recorded: &str) -> Result<()> {
        if self.key == recorded {
            return Ok(());
        }
        if self.package.is_none() && !self.key_given {
            self.key = recorded.to_owned();
            return Ok(());
        }
        let problem = Problem::new(
            OTHER_PACKAGE,
            format!("these migrations are recorded as those of `{recorded}`, and the package is `{}`", self.key),
        )
        .in_file(self.migrations_shown().join(build_support::directory::LOCK_FILE))
        .note(format!("the databases' version tables name them `{recorded}` too"));
        Err(match (self.key_given, &self.manifest) {
            (true, _) => problem.help(format!("say `--name {recorded}`, or leave `--name` out")),
            (false, Some(manifest)) => problem
                .help(format!(
                    "keep the key: `name = \"{recorded}\"` below `[package.metadata.migrate]` in {}",
                    printable(&self.show_path(manifest).to_string_lossy())
                ))
                .help(format!(
                    "or give each database the new one: `cargo migrate repair --rename {recorded}={}`",
                    self.key
                )),
            (false, None) => problem,
        }
        .into())
    }

    /// What the manifests say.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The migrations folder, absolute. It need not exist.
    #[must_use]
    pub fn migrations(&self) -> &Path {
        &self.migrations
    }

    /// The migrations folder relative to the working directory, for messages.
    #[must_use]
    pub fn migrations_shown(&self) -> PathBuf {
        // From a folder inside the package `../migrations` says more than a long absolute path.
        if let (Ok(below), Ok(folder)) =
            (self.working_directory.strip_prefix(&self.root), self.migrations.strip_prefix(&self.root))
            && !self.migrations.starts_with(&self.working_directory)
        {
            return below.components().map(|_| Path::new("..")).chain([folder]).collect();
        }
        self.show_path(&self.migrations)
    }

    /// Whether this is a dependency from outside the workspace that carries migrations. Its folder belongs to others,
    /// and may be in cargo's cache: nothing is ever written there. Of its settings the key and the folder count, and it
    /// has no databases: it goes where the package goes that names it.
    #[must_use]
    pub fn is_library(&self) -> bool {
        self.is_library
    }

    /// Cargo's target directory; `None` for a folder of migrations alone and for a library.
    #[must_use]
    pub fn target_directory(&self) -> Option<&Path> {
        self.target_directory.as_deref()
    }

    /// Whether the package has `[package.metadata.migrate]` or its migrations folder is there.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.has_metadata || self.migrations.is_dir()
    }

    /// Where a database is, as messages show it: its file, or its URL without the password.
    #[must_use]
    pub fn show_place(&self, database: &Database) -> PathBuf {
        match database.url.file() {
            Some(path) => self.show_path(path),
            None => PathBuf::from(database.url.to_string()),
        }
    }

    /// A path as messages show it: relative to the working directory where it is below it.
    #[must_use]
    pub fn show_path(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.working_directory) {
            Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
            Ok(below) => below.to_owned(),
            Err(_) => path.to_owned(),
        }
    }

    /// The names of all configured databases, in their order.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.settings.databases.iter().map(|database| database.name.as_str())
    }

    /// The database that a command works on: `-d NAME|URL`, else `CARGO_MIGRATE_DATABASE`, the configuration's
    /// `database`, `DATABASE_URL` (the environment's, else that of a `.env`), else the only one configured.
    ///
    /// # Errors
    /// Nothing chooses a database, the name is unknown, or the URL cannot be used.
    pub fn database(&self, context: &Context, choice: Option<&str>) -> Result<Database> {
        Ok(self.chooser(context).choose(choice, context.variable(CHOICE_VARIABLE))?)
    }

    /// A configured database by its name.
    ///
    /// # Errors
    /// The name is unknown, its variable is not set, or the URL cannot be used.
    pub fn configured_database(&self, context: &Context, name: &str) -> Result<Database> {
        Ok(self.chooser(context).configured(name)?)
    }

    /// Where the configured databases are, as far as their URLs can be read.
    #[must_use]
    pub fn configured_places(&self, context: &Context) -> HashMap<DatabaseKey, DatabaseUrl> {
        self.chooser(context).places()
    }

    /// The database of a URL, as if it was given on the command line: the configured one where both are the same.
    ///
    /// # Errors
    /// Configured databases of this place that contradict each other.
    pub fn database_at(&self, context: &Context, url: DatabaseUrl) -> Result<Database> {
        Ok(self.chooser(context).of_url(url)?)
    }

    /// What a URL on the command line, or the one in a variable that it names, leads to.
    ///
    /// # Errors
    /// A text that is no URL, a variable that is not set.
    pub fn url(&self, context: &Context, text: &str) -> Result<DatabaseUrl> {
        Ok(self.chooser(context).url(text)?)
    }

    fn chooser<'a>(&'a self, context: &'a Context) -> Databases<'a> {
        Databases {
            settings: &self.settings,
            variables: Variables::new(context, &[&self.root, &self.workspace_root]),
            root: &self.root,
            workspace_root: &self.workspace_root,
            working_directory: context.working_directory(),
            manifest: self.manifest.as_deref(),
        }
    }
}

/// A problem of the manifest, to which a folder of migrations is an answer.
fn without_manifest_help(failure: Failure, selection: &Selection) -> Failure {
    match &selection.migrations {
        Some(_) if failure.exit() != Exit::Misused => {
            failure.help("or do without the manifest: `--migrations DIR --name PACKAGE`")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
