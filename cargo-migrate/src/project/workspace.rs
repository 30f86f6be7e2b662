//! The packages of a workspace, as `cargo metadata` tells them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use build_support::problem::{Code, Problem, printable, printable_block};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde_json::Value;

use super::manifest::Manifest;
use super::selection::Selection;
use super::settings::{Defaults, Settings};
use crate::context::Context;

pub(super) const NO_PROJECT: Code = Code("no-project");
pub(super) const CARGO: Code = Code("cargo-metadata");

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

/// Asks cargo for the members of the workspace: it reads their manifests and nothing else.
pub(super) fn members(context: &Context, manifest: &Path) -> Result<Metadata, Problem> {
    asked(context, manifest, MetadataCommand::new().no_deps())?
        .map_err(|said| Problem::new(CARGO, "cargo cannot read the project's manifest").in_file(manifest).note(said))
}

/// Asks cargo for all that the workspace depends on, as far as it is on this machine. This takes cargo many times as
/// long, and it writes `Cargo.lock` where that is not up to date, as every build does.
pub(super) fn dependencies(context: &Context, manifest: &Path) -> Result<Metadata, Problem> {
    let offline = |more: &[&str]| {
        let options = ["--offline"].iter().chain(more).map(ToString::to_string).collect::<Vec<_>>();
        asked(context, manifest, MetadataCommand::new().other_options(options))
    };
    let said = match offline(&[])? {
        Ok(metadata) => return Ok(metadata),
        Err(said) => said,
    };
    // A build has downloaded what this machine needs, and not what is for other systems.
    if let Some(host) = host(context)
        && let Ok(metadata) = offline(&["--filter-platform", &host])?
    {
        return Ok(metadata);
    }
    Err(Problem::new(CARGO, "cargo cannot tell what this project depends on")
        .in_file(manifest)
        .note(said)
        .help("where a package was never downloaded: `cargo fetch`"))
}

fn cargo(context: &Context) -> &str {
    context.variable("CARGO").unwrap_or("cargo")
}

/// The system that cargo builds for where nothing else is said.
fn host(context: &Context) -> Option<String> {
    let output = Command::new(cargo(context)).arg("-vV").current_dir(context.working_directory()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// What cargo answers, or what it says where it refuses. The working directory and the manifest decide; the variables
/// that cargo sets for a program under `cargo run`, `CARGO_MANIFEST_DIR` first, say nothing about the user's project.
fn asked(
    context: &Context,
    manifest: &Path,
    command: &mut MetadataCommand,
) -> Result<Result<Metadata, String>, Problem> {
    command
        .cargo_path(cargo(context))
        .current_dir(context.working_directory())
        .manifest_path(manifest)
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH")
        .env("CARGO_TERM_COLOR", "never");
    let output = command.cargo_command().output().map_err(|error| {
        Problem::new(CARGO, format!("cargo could not be started: {error}"))
            .help("put `cargo` in the `PATH`, or set the variable `CARGO` to its path")
    })?;
    if !output.status.success() {
        return Ok(Err(printable_block(String::from_utf8_lossy(&output.stderr).replace('\r', "").trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    MetadataCommand::parse(json).map(Ok).map_err(|error| {
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

/// The migrations folder that a `metadata` value names, read without complaint: it has not been checked yet.
pub(super) fn written_folder(metadata: &Value) -> Option<&str> {
    table(metadata).get("migrations").and_then(Value::as_str)
}

/// A workspace with its defaults read.
#[derive(Debug)]
pub(super) struct Workspace {
    /// What cargo says of it; without dependencies.
    pub(super) metadata: Metadata,
    manifest: PathBuf,
    defaults: Defaults,
}

impl Workspace {
    /// The workspace of the package, or the one without a package of its own, that a manifest stands for.
    pub(super) fn load(context: &Context, manifest: &Path) -> Result<Self, Problem> {
        let metadata = members(context, manifest)?;
        let root = Manifest::at(&metadata.workspace_root.as_std_path().join("Cargo.toml"));
        let defaults = Defaults::read(table(&metadata.workspace_metadata), Arc::new(root));
        Ok(Self { metadata, manifest: manifest.to_owned(), defaults })
    }

    /// The manifest that it was found by.
    pub(super) fn manifest(&self) -> &Path {
        &self.manifest
    }

    /// A member's settings over the workspace's defaults.
    pub(super) fn settings(&self, member: &Package) -> Result<Settings, Vec<Problem>> {
        let path = member.manifest_path.as_std_path();
        let manifest = match self.defaults.manifest() {
            root if root.path() == path => Arc::clone(root),
            _ => Arc::new(Manifest::at(path)),
        };
        Settings::read(table(&member.metadata), &manifest, &self.defaults)
    }

    /// The members, in cargo's order.
    pub(super) fn members(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    /// A member's migrations folder, before its settings have been checked.
    pub(super) fn migrations(&self, member: &Package) -> PathBuf {
        let name = written_folder(&member.metadata).or_else(|| written_folder(&self.metadata.workspace_metadata));
        folder(member).join(name.unwrap_or("migrations"))
    }

    /// Whether a member has migrations: it says so in its manifest, or has a folder with a lock.
    pub(super) fn migrates(&self, member: &Package) -> bool {
        !table(&member.metadata).is_null()
            || self.migrations(member).join(build_support::directory::LOCK_FILE).is_file()
    }

    /// The member whose manifest it was found by, and whether that is the workspace's root.
    pub(super) fn nearest<'w>(&self, members: &[&'w Package]) -> (Option<&'w Package>, bool) {
        let of = |wanted: &dyn Fn(&Path) -> bool| {
            members.iter().copied().find(|member| wanted(member.manifest_path.as_std_path()))
        };
        // Links are followed only where nothing is found without: a workspace may have many members.
        let root = self.defaults.manifest().path();
        if is_same(root, &self.manifest) {
            return (of(&|path| path == root), true);
        }
        (of(&|path| path == self.manifest).or_else(|| of(&|path| is_same(path, &self.manifest))), false)
    }
}

/// Whether two paths are one place, however they are written.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
