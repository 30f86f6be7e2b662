//! `edit`: a migration in the person's own editor.

use std::path::Path;
use std::process::Command;

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use build_support::problem::{Code, Problem};
use build_support::{target, verify};
use serde_json::json;

use crate::app::App;
use crate::args::EditArgs;
use crate::commands::revision;
use crate::failure::Result;

/// No editor is named, or it cannot be started or ended badly.
pub const EDITOR: Code = Code("editor");

/// `cargo migrate edit`
pub(super) fn edit(app: App<'_>, args: &EditArgs) -> Result<()> {
    let editor = editor(app)?;
    let project = app.project()?;
    let directory = Directory::new(project.migrations(), project.migrations_shown());
    // A file that cannot be read as a migration is what somebody may want to edit: its name alone is enough then.
    let file = match exact(&directory, &args.revision) {
        Some(file) => file,
        None => {
            let opened = app.open()?;
            let lineage = opened.graph.lineage();
            let at = target::resolve_one(&args.revision, lineage, &revision::applied(app, &opened))?;
            let id = lineage.id(at);
            if opened.locks.shared.sealed(id.as_str()).or(opened.locks.local.sealed(id.as_str())).is_some() {
                app.shell.warning(format!("`{id}` is applied: an edit of it will be refused until it is taken off"));
            }
            opened.directory.file(id)
        }
    };
    open(app, &editor, &file)?;
    if app.json() {
        app.shell.json(&json!({ "command": "edit", "file": project.show_path(&file).to_string_lossy() }));
    }
    // What was written is looked at now, not at the next upgrade.
    let graph = RevisionGraph::new(project.key(), directory.read()?)?;
    let problems = verify::verify(&graph, &directory.read_locks()?, directory.shown());
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The file of a revision that was named by its whole id.
fn exact(directory: &Directory, text: &str) -> Option<std::path::PathBuf> {
    let id = build_support::revision::RevisionId::new(text).ok()?;
    let file = directory.file(&id);
    (file.is_file() && directory.read().is_err()).then_some(file)
}

/// The command line of the person's editor.
pub(super) fn editor(app: App<'_>) -> Result<String> {
    let named = ["VISUAL", "EDITOR"].iter().find_map(|name| app.context.variable(name));
    match named {
        Some(editor) => Ok(editor.to_owned()),
        None => Err(Problem::new(EDITOR, "no editor is named")
            .help("set `VISUAL` or `EDITOR`, as in `EDITOR=nano cargo migrate edit head`")
            .into()),
    }
}

/// Opens a file in the editor and waits until it is closed.
pub(super) fn open(app: App<'_>, editor: &str, file: &Path) -> Result<()> {
    let failed =
        |what: String| Problem::new(EDITOR, what).help("set `VISUAL` or `EDITOR` to the command of your editor");
    let status = command(editor, file)
        .current_dir(app.context.working_directory())
        .status()
        .map_err(|error| failed(format!("the editor `{editor}` cannot be started: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"));
    Err(failed(format!("the editor `{editor}` ended with {code}")).in_file(file).into())
}

/// The variable holds a command line, not a path: `code --wait` is usual, and the shell reads it as git's does.
#[cfg(unix)]
fn command(editor: &str, file: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).arg(file);
    command
}

#[cfg(not(unix))]
fn command(editor: &str, file: &Path) -> Command {
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(file);
    command
}
