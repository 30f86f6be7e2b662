//! `init`: the folder, the lock, the configuration and git's lines.

use std::path::{Path, PathBuf};

use build_support::directory::{Directory, LOCK_FILE};
use build_support::lock::Lock;
use build_support::problem::{Code, Problem};
use build_support::revision::RevisionId;
use build_support::token::Dialect;
use serde_json::json;

use crate::app::App;
use crate::args::{InitArgs, Template};
use crate::commands::capture;
use crate::failure::{Failure, Result};
use crate::project::{Database, scaffold};

/// `cargo migrate init`
pub(super) fn init(app: App<'_>, args: &InitArgs) -> Result<()> {
    let (done, start_up) = set_up(app, args)?;
    let baseline = if args.baseline { capture::baseline(app, args.yes)? } else { None };
    tell(app, args, &done, start_up, baseline.as_ref())
}

/// Writes what is missing; gives the files, and how a program runs what it embeds.
fn set_up(app: App<'_>, args: &InitArgs) -> Result<(Vec<PathBuf>, &'static str)> {
    let project = app.project()?;
    let failed = |error: std::io::Error, path: &Path| {
        Failure::from(Problem::new(Code("file-access"), format!("cannot write this: {error}")).in_file(path))
    };
    // A database that is chosen already says more than a template that nobody has named.
    let chosen = project.database(app.context, app.global.database.as_deref()).ok();
    let dialect = match args.template {
        Template::Postgres => Dialect::Postgres,
        Template::Sqlite => chosen.map_or(Dialect::Sqlite, |database| database.dialect()),
    };
    let (mut done, mut start_up) = (Vec::new(), scaffold::start_up("", dialect));
    std::fs::create_dir_all(project.migrations()).map_err(|error| failed(error, project.migrations()))?;
    let directory = Directory::new(project.migrations(), project.migrations_shown());
    if !directory.path().join(LOCK_FILE).exists() {
        let mut lock = Lock::default();
        lock.set_package(project.key());
        lock.set_dialect(dialect);
        directory.replace(LOCK_FILE, &lock.to_text(false))?;
        done.push(project.migrations_shown().join(LOCK_FILE));
    }
    if let Some(manifest) = project.manifest() {
        let text = std::fs::read_to_string(manifest).map_err(|error| failed(error, manifest))?;
        let answers = scaffold::Answers {
            manifest: manifest.to_owned(),
            package: project.package().unwrap_or("app").to_owned(),
            migrations: project.settings().migrations.clone(),
            databases: project.databases().next().is_none(),
            dialect,
        };
        let mut edited = scaffold::add_configuration(&text, &answers)?;
        if args.with_runtime {
            let path = args.path.as_deref().map(|path| runtime_path(app, path)).transpose()?;
            edited = scaffold::add_runtime(&edited, manifest, path.as_deref(), dialect)?;
        }
        start_up = scaffold::start_up(&edited, dialect);
        if edited != text {
            scaffold::write_atomically(manifest, edited.as_bytes())?;
            done.push(project.show_path(manifest));
        }
    }
    // Read again: the databases that `init` wrote are to be ignored by git.
    let project = app.project()?;
    let databases: Vec<Database> =
        project.databases().filter_map(|name| project.configured_database(app.context, name).ok()).collect();
    let files = databases.iter().filter(|database| !database.shared).filter_map(|database| database.url.file());
    let files: Vec<&Path> = files.collect();
    let ignore = scaffold::ignore_lines(project.root(), files.iter().copied());
    let attributes = scaffold::attribute_lines(&project.settings().migrations);
    let mut wanted =
        vec![(project.root().join(".gitignore"), ignore), (project.root().join(".gitattributes"), attributes)];
    // A database that packages share lies above them.
    let (root, workspace) = (project.root(), project.workspace_root());
    let shared = files.into_iter().filter(|file| !file.starts_with(root) && file.starts_with(workspace));
    let shared: Vec<&Path> = shared.collect();
    if !shared.is_empty() {
        wanted.push((workspace.join(".gitignore"), scaffold::ignore_lines(workspace, shared)));
    }
    for (path, lines) in wanted {
        let existing = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error, &path)),
        };
        let wanted: Vec<&str> = lines.iter().map(String::as_str).collect();
        if let Some(text) = scaffold::add_lines(&existing, &wanted) {
            scaffold::write_atomically(&path, text.as_bytes())?;
            done.push(project.show_path(&path));
        }
    }
    Ok((done, start_up))
}

fn tell(app: App<'_>, args: &InitArgs, done: &[PathBuf], start_up: &str, baseline: Option<&RevisionId>) -> Result<()> {
    let project = app.project()?;
    let directory = Directory::new(project.migrations(), project.migrations_shown());
    if app.json() {
        let files: Vec<_> = done.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        app.shell.json(&json!({
            "command": "init",
            "package": project.key(),
            "written": files,
            "baseline": baseline.map(RevisionId::as_str),
        }));
        return Ok(());
    }
    for path in done {
        app.shell.status("Written", path.display());
    }
    app.shell.status("Finished", format!("`{}` is ready", project.key()));
    let folder = &project.settings().migrations;
    if directory.read().is_ok_and(|migrations| migrations.is_empty()) {
        app.shell.note("write the first revision: `cargo migrate revision -m \"create todos\"`");
    }
    if args.with_runtime {
        app.shell.note(format!(
            "embed them in the program: `static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::embed!(\"{folder}\");`"
        ));
        app.shell.note(format!("and when it starts: `{start_up}`"));
    } else {
        app.shell.note("a program that is to carry its migrations: `cargo migrate init --with-runtime`");
        app.shell.note(format!(
            "one that is not, and is to be refused when they are edited: `build-support = \"{}\"` below \
             `[build-dependencies]`, and in build.rs `fn main() {{ build_support::guard(\"{folder}\") }}`",
            env!("CARGO_PKG_VERSION")
        ));
    }
    Ok(())
}

/// The runtime's folder in a checkout, absolute: the manifest may stand anywhere.
fn runtime_path(app: App<'_>, checkout: &Path) -> Result<String> {
    let folder = app.context.working_directory().join(checkout).join("migrate-runtime");
    let found = std::fs::canonicalize(&folder).ok().filter(|folder| folder.join("Cargo.toml").is_file());
    match found.as_deref().and_then(Path::to_str) {
        Some(path) => Ok(path.to_owned()),
        None => Err(Failure::misused("there is no crate `migrate-runtime` below this folder")
            .help("name a checkout of cargo-migrate's repository: `--path DIR`")),
    }
}
