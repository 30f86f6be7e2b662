//! Which package of which workspace a command works on, as `cargo metadata` tells it.

use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem, nearest, printable, printable_block};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde_json::Value;

use crate::context::Context;

pub(super) const NO_PROJECT: Code = Code("no-project");
const NO_PACKAGE: Code = Code("no-package");
const UNKNOWN_PACKAGE: Code = Code("unknown-package");
const CARGO: Code = Code("cargo-metadata");

/// What the command line says of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `--manifest-path`
    pub manifest_path: Option<PathBuf>,
    /// `-p`, a package's name or `NAME@VERSION`
    pub package: Option<String>,
    /// `--migrations`, relative to the working directory
    pub migrations: Option<PathBuf>,
    /// `--name`, the package's key in the version table
    pub name: Option<String>,
}

/// The nearest manifest at or above the working directory, or the one of `--manifest-path`.
pub(super) fn manifest(context: &Context, selection: &Selection) -> Result<Option<PathBuf>, Problem> {
    let here = context.working_directory();
    let Some(given) = &selection.manifest_path else {
        return Ok(here.ancestors().map(|folder| folder.join("Cargo.toml")).find(|path| path.is_file()));
    };
    let mut path = here.join(given);
    if path.is_dir() {
        path.push("Cargo.toml");
    }
    if path.is_file() {
        return Ok(Some(path));
    }
    Err(Problem::new(NO_PROJECT, format!("there is no manifest at `{}`", printable(&given.to_string_lossy())))
        .help("give the path of a `Cargo.toml`: `--manifest-path PATH`"))
}

/// Neither a manifest nor a migrations folder was found or given.
pub(super) fn no_project(context: &Context) -> Problem {
    let here = printable(&context.working_directory().to_string_lossy());
    Problem::new(NO_PROJECT, format!("there is no `Cargo.toml` in `{here}` or above it"))
        .help("name the manifest: `--manifest-path PATH`")
        .help("or, where there are only migrations, their folder: `--migrations DIR`")
}

/// Asks cargo for the workspace. The working directory and the manifest decide; the variables that cargo sets
/// for a program under `cargo run`, `CARGO_MANIFEST_DIR` first, say nothing about the user's project.
pub(super) fn metadata(context: &Context, manifest: &Path) -> Result<Metadata, Problem> {
    let mut command = MetadataCommand::new();
    command
        .cargo_path(context.variable("CARGO").unwrap_or("cargo"))
        .current_dir(context.working_directory())
        .manifest_path(manifest)
        .no_deps()
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH")
        .env("CARGO_TERM_COLOR", "never");
    let output = command.cargo_command().output().map_err(|error| {
        Problem::new(CARGO, format!("cargo could not be started: {error}"))
            .help("put `cargo` in the `PATH`, or set the variable `CARGO` to its path")
    })?;
    if !output.status.success() {
        let said = printable_block(String::from_utf8_lossy(&output.stderr).replace('\r', "").trim());
        return Err(Problem::new(CARGO, "cargo cannot read the project's manifest").in_file(manifest).note(said));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    MetadataCommand::parse(json).map_err(|error| {
        Problem::new(CARGO, "what `cargo metadata` printed cannot be read").note(printable(&error.to_string()))
    })
}

/// The `migrate` table of a `metadata` value; `Null` where there is none.
pub(super) fn table(metadata: &Value) -> &Value {
    metadata.get("migrate").unwrap_or(&Value::Null)
}

/// A package's folder.
pub(super) fn folder(package: &Package) -> PathBuf {
    let manifest = package.manifest_path.as_std_path();
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A package's migrations folder, read without complaint: its settings have not been checked yet.
pub(super) fn migrations(metadata: &Metadata, package: &Package) -> PathBuf {
    let written = |value| table(value).get("migrations").and_then(Value::as_str);
    let name = written(&package.metadata).or_else(|| written(&metadata.workspace_metadata)).unwrap_or("migrations");
    folder(package).join(name)
}

/// Whether a member of a workspace has migrations: it says so in its manifest, or has a folder with a lock.
fn migrates(metadata: &Metadata, package: &Package) -> bool {
    !table(&package.metadata).is_null() || migrations(metadata, package).join("migrate.lock").is_file()
}

/// The members that have migrations, in cargo's order.
pub(super) fn migrating(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages().into_iter().filter(|package| migrates(metadata, package)).collect()
}

/// The member that a command works on.
pub(super) fn choose<'m>(
    metadata: &'m Metadata,
    manifest: &Path,
    selection: &Selection,
    context: &Context,
) -> Result<&'m Package, Problem> {
    let members = metadata.workspace_packages();
    if let Some(wanted) = &selection.package {
        return named(&members, wanted);
    }
    let migrating = migrating(metadata);
    if let Some(given) = &selection.migrations {
        let given = context.working_directory().join(given);
        if let Some(owner) = members.iter().find(|member| same(&migrations(metadata, member), &given)) {
            return Ok(owner);
        }
    }
    let nearest = members.iter().find(|member| same(member.manifest_path.as_std_path(), manifest));
    if let Some(nearest) = nearest {
        let is_root = same(&folder(nearest), metadata.workspace_root.as_std_path());
        let has_own = migrates(metadata, nearest) || migrations(metadata, nearest).is_dir();
        if !is_root || has_own || migrating.is_empty() {
            return Ok(nearest);
        }
    }
    match migrating.as_slice() {
        [only] => Ok(only),
        [] => Err(Problem::new(NO_PACKAGE, "no package of this workspace has migrations")
            .in_file(manifest)
            .note(format!("the packages are {}", list(&members)))
            .help("set one up: `cargo migrate init -p NAME`")),
        [first, ..] => Err(Problem::new(NO_PACKAGE, "several packages of this workspace have migrations")
            .in_file(manifest)
            .note(format!("they are {}", list(&migrating)))
            .help(format!("choose one: `-p {}`", first.name))),
    }
}

fn named<'m>(members: &[&'m Package], wanted: &str) -> Result<&'m Package, Problem> {
    let (name, version) = wanted.split_once('@').map_or((wanted, None), |(name, version)| (name, Some(version)));
    let found = members.iter().find(|member| member.name.as_str() == name);
    match (found, version) {
        (Some(member), None) => Ok(member),
        (Some(member), Some(version)) if member.version.to_string() == version => Ok(member),
        (Some(member), Some(_)) => Err(Problem::new(
            UNKNOWN_PACKAGE,
            format!("the package `{name}` of this workspace has another version, {}", member.version),
        )
        .help(format!("write `-p {name}`"))),
        (None, _) => {
            let problem =
                Problem::new(UNKNOWN_PACKAGE, format!("no package of this workspace is named `{}`", printable(name)))
                    .note(format!("the packages are {}", list(members)));
            Err(match nearest(name, members.iter().map(|member| member.name.as_str())) {
                Some(near) => problem.help(format!("write `-p {near}`")),
                None => problem.help("choose one of them: `-p NAME`"),
            })
        }
    }
}

fn list(packages: &[&Package]) -> String {
    let mut names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

/// Whether two paths are one place, however they are written.
fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
