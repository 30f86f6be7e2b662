//! What a project says about its migrations and databases.
//!
//! In reading order: [`Selection`] is what the command line says; `workspace` asks cargo and chooses the
//! package; `manifest` finds where a setting stands; `layer` reads one table of settings and
//! [`settings`] merges two; [`template`] names new revisions; `url` reads database URLs, `variables` the
//! environment and `.env`, [`database`] chooses the database; [`models`] finds the files with structs that are tables;
//! [`scaffold`] writes what `init` adds.
//!
//! It reads the package's and the workspace's `Cargo.toml`, `.env` beside each of them, and the variables
//! `CARGO`, `CARGO_MIGRATE_DATABASE`, `DATABASE_URL` and those that `env:NAME` names; for the models, the files that
//! `models` names. Opening a project writes nothing.

pub mod database;
mod layer;
mod manifest;
pub mod models;
pub mod scaffold;
pub mod settings;
pub mod template;
mod url;
mod variables;
mod workspace;

use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem, printable};
use cargo_metadata::{Metadata, Package};
use serde_json::Value;

pub use self::database::Database;
pub use self::settings::Settings;
pub use self::workspace::Selection;

use self::database::{CHOICE_VARIABLE, Databases};
use self::manifest::Manifest;
use self::settings::Sources;
use self::variables::Variables;
use crate::context::Context;
use crate::failure::{Failure, Result};

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
}

impl Project {
    /// Finds and reads the project that the command line and the working directory mean.
    ///
    /// # Errors
    /// No project or no single package is meant, cargo cannot read the manifest, or its settings have problems.
    pub fn open(context: &Context, selection: &Selection) -> Result<Self> {
        check_name(selection)?;
        let Some(manifest) = workspace::manifest(context, selection)? else {
            return match (&selection.package, &selection.migrations) {
                (None, Some(folder)) => Ok(Self::without_manifest(context, selection, folder)),
                _ => Err(workspace::no_project(context).into()),
            };
        };
        let chosen = workspace::metadata(context, &manifest).and_then(|metadata| {
            let package = workspace::choose(&metadata, &manifest, selection, context)?.clone();
            Ok((metadata, package))
        });
        match (chosen, &selection.migrations) {
            (Ok((metadata, package)), _) => Self::of_package(context, selection, &metadata, &package),
            // A folder and a key are all that the work needs. Without the key the manifest has to be understood:
            // working under another one would take an applied history for a missing one.
            (Err(_), Some(folder)) if selection.name.is_some() && selection.package.is_none() => {
                Ok(Self::without_manifest(context, selection, folder))
            }
            (Err(problem), Some(_)) => {
                Err(problem.help("or do without the manifest: `--migrations DIR --name PACKAGE`").into())
            }
            (Err(problem), None) => Err(problem.into()),
        }
    }

    /// Every member of the workspace that has migrations, in cargo's order, for `--workspace`.
    ///
    /// # Errors
    /// As [`Project::open`], and the problems of all members' settings at once.
    pub fn open_workspace(context: &Context, selection: &Selection) -> Result<Vec<Self>> {
        if selection.package.is_some() || selection.migrations.is_some() || selection.name.is_some() {
            return Err(Failure::misused("`--workspace` does not go together with `-p`, `--migrations` or `--name`"));
        }
        let manifest = workspace::manifest(context, selection)?.ok_or_else(|| workspace::no_project(context))?;
        let metadata = workspace::metadata(context, &manifest)?;
        let (mut projects, mut problems) = (Vec::new(), Vec::<Problem>::new());
        for package in workspace::migrating(&metadata) {
            match Self::of_package(context, selection, &metadata, package) {
                Ok(project) => projects.push(project),
                Err(failure) => {
                    // Those of the workspace's defaults come with every member.
                    problems.extend(
                        failure.problems().iter().filter(|it| !problems.contains(it)).cloned().collect::<Vec<_>>(),
                    );
                }
            }
        }
        if problems.is_empty() { Ok(projects) } else { Err(problems.into()) }
    }

    fn of_package(context: &Context, selection: &Selection, metadata: &Metadata, package: &Package) -> Result<Self> {
        let root = workspace::folder(package);
        let workspace_root = metadata.workspace_root.as_std_path().to_owned();
        let manifest = package.manifest_path.as_std_path().to_owned();
        let settings = Settings::read(&Sources {
            package: workspace::table(&package.metadata),
            package_manifest: &Manifest::read(&manifest),
            workspace: workspace::table(&metadata.workspace_metadata),
            workspace_manifest: &Manifest::read(&workspace_root.join("Cargo.toml")),
        })?;
        let migrations = match &selection.migrations {
            Some(folder) => context.working_directory().join(folder),
            None => root.join(&settings.migrations),
        };
        let key = selection.name.clone().or_else(|| settings.name.clone());
        Ok(Self {
            working_directory: context.working_directory().to_owned(),
            workspace_root,
            manifest: Some(manifest),
            key: key.unwrap_or_else(|| package.name.to_string()),
            key_given: selection.name.is_some(),
            package: Some(package.name.to_string()),
            settings,
            migrations: migrations.components().collect(),
            target_directory: Some(metadata.target_directory.as_std_path().to_owned()),
            has_metadata: !matches!(workspace::table(&package.metadata), Value::Null),
            root,
        })
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

    /// Cargo's target directory; `None` for a folder of migrations alone.
    #[must_use]
    pub fn target_directory(&self) -> Option<&Path> {
        self.target_directory.as_deref()
    }

    /// Whether the package has `[package.metadata.migrate]` or its migrations folder is there.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.has_metadata || self.migrations.is_dir()
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

fn check_name(selection: &Selection) -> Result<()> {
    match &selection.name {
        Some(name) => {
            layer::check_key(name).map_err(|(why, _)| Failure::misused(format!("the name `{}` {why}", printable(name))))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
