//! `verify` and `lock`.

use build_support::directory::Directory;
use build_support::graph::RevisionGraph;
use build_support::problem::Problem;
use build_support::verify;
use serde_json::json;

use crate::app::{self, App, Opened};
use crate::failure::Result;
use crate::live;
use crate::project::{Database, Project};
use crate::report::many;

/// `cargo migrate verify`: files against locks, and against the chosen database where there is one.
pub(super) fn verify(app: App<'_>, opened: &Opened) -> Result<()> {
    opened.verified()?;
    let problems = differences(app, opened, &app.database(opened)?)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let count = opened.graph.migrations().len();
    if app.json() {
        app.shell.json(&json!({ "command": "verify", "revisions": count, "problems": [] }));
    } else {
        app.shell.status("Verified", format!("{}: they are what was applied", many(count, "file")));
    }
    Ok(())
}

/// Where a database's history is not what the files say.
pub(super) fn differences(app: App<'_>, opened: &Opened, database: &Database) -> Result<Vec<Problem>> {
    let history = opened.history(database)?;
    let name = format!("`{}`", database.lock_name());
    if let Err(problem) = opened.not_renamed(&history, &name) {
        return Ok(vec![problem]);
    }
    let problems = opened.differences(&opened.with_accepted_texts(&history), &name);
    live::told_apart(problems, &history, opened.project.key(), database, app.wait(opened))
}

/// `cargo migrate lock`: settles a merge conflict and brings the draft lines up to date.
pub(super) fn lock(app: App<'_>, project: &Project) -> Result<()> {
    let mut project = project.clone();
    let directory = Directory::new(project.migrations(), project.migrations_shown());
    if let Some(key) = directory.read_conflicted_locks()?.shared.package() {
        project.adopt_key(key)?;
    }
    let graph = RevisionGraph::new(project.key(), directory.read()?)?;
    let changed = directory.settle_locks(|locks| app::record(locks, &graph, project.key(), None))?;
    // The lock is right where it fixes what a file is not any more: that is told, since it is why somebody looks here.
    let found = verify::verify(&graph, &directory.read_locks()?, directory.shown());
    let found: Vec<Problem> = found.into_iter().map(Problem::as_warning).collect();
    if app.json() {
        let problems: Vec<_> = found.iter().map(|problem| app.shell.json_problem(problem)).collect();
        app.shell.json(&json!({ "command": "lock", "changed": changed, "problems": problems }));
        return Ok(());
    }
    if changed {
        app.shell.status("Locked", format!("{}", project.migrations_shown().join("migrate.lock").display()));
    } else {
        app.shell.status("Finished", "the lock is up to date");
    }
    found.iter().for_each(|problem| app.shell.problem(problem));
    Ok(())
}
