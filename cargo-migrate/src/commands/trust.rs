//! `verify` and `lock`.

use std::collections::BTreeSet;

use build_support::directory::{Directory, Locks};
use build_support::graph::RevisionGraph;
use build_support::lock::Lock;
use build_support::migration::Migration;
use build_support::problem::{Code, Problem};
use build_support::revision::RevisionId;
use build_support::token::Dialect;
use build_support::verify;
use serde_json::json;

use crate::app::{self, App, Opened};
use crate::args::LockArgs;
use crate::commands::confirm::{self, NOT_CONFIRMED};
use crate::failure::Result;
use crate::live::Looked;
use crate::project::{Database, Project};
use crate::report::many;

/// Another dialect would make something else of what was applied.
const READ_OTHERWISE: Code = Code("read-otherwise");

/// `cargo migrate verify`: files against locks, and against the chosen database where there is one.
pub(super) fn verify(app: App<'_>, opened: &Opened) -> Result<()> {
    opened.verified()?;
    let database = app.database(opened)?;
    let problems = differences(opened, &database, &mut opened.look(&database)?)?;
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
pub(super) fn differences(opened: &Opened, database: &Database, looked: &mut Looked) -> Result<Vec<Problem>> {
    let name = format!("`{}`", database.lock_name());
    if let Err(problem) = opened.fits(database).and_then(|()| opened.not_renamed(&looked.history, &name)) {
        return Ok(vec![problem]);
    }
    let problems = opened.differences(&opened.with_accepted_texts(&looked.history), &name);
    told_apart(opened, database, looked, problems)
}

/// What was found of the packages, where a revision that looks interrupted may be one whose run lives.
pub(super) fn told_apart(
    opened: &Opened,
    database: &Database,
    looked: &mut Looked,
    problems: Vec<Problem>,
) -> Result<Vec<Problem>> {
    let is_of = |package: &str| opened.package(package).is_some();
    looked.told_apart(problems, is_of, database, &opened.project.settings().version_table)
}

/// `cargo migrate lock`: settles a merge conflict, brings the draft lines up to date, and writes down the dialect.
pub(super) fn lock(app: App<'_>, args: &LockArgs, project: &Project) -> Result<()> {
    let mut project = project.clone();
    let directory = app.folder(&project);
    let said = args.dialect.map(Dialect::from);
    let locks = directory.read_conflicted_locks(said)?;
    if let Some(key) = locks.shared.package() {
        project.adopt_key(key)?;
    }
    let migrations = match said {
        Some(dialect) => directory.read_as(dialect)?,
        None => directory.read()?,
    };
    if let Some(said) = said {
        not_otherwise(&directory, &migrations, &locks)?;
        // Two sides of a conflict that name different ones are settled by whichever is said.
        if directory.read_conflicted_locks(None).is_ok_and(|before| before.shared.dialect() != said) {
            meant(app, args, said, &locks)?;
        }
    }
    let graph = RevisionGraph::new(project.key(), migrations)?;
    let changed = directory.settle_locks(said, |locks| {
        // Where there was no lock yet, nothing of it was read in the dialect that was said.
        said.into_iter().for_each(|dialect| locks.shared.set_dialect(dialect));
        app::record(locks, &graph, project.key(), None);
    })?;
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

/// Asks before a folder becomes another kind of database's although revisions of it are applied: those ran on the kind that
/// it names now, so that another database was most likely meant.
fn meant(app: App<'_>, args: &LockArgs, said: Dialect, locks: &Locks) -> Result<()> {
    let sealed = |lock: &'_ Lock| -> Vec<(RevisionId, BTreeSet<String>)> {
        let ids = lock.entries().keys();
        ids.filter_map(|id| Some((id.clone(), lock.sealed(id.as_str())?.1.clone()))).collect()
    };
    let found: Vec<_> = [&locks.shared, &locks.local].into_iter().flat_map(sealed).collect();
    let Some((id, names)) = found.first() else { return Ok(()) };
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let refusal = |why: &str| {
        Problem::new(NOT_CONFIRMED, format!("these migrations are applied as {}'s, and {why}", said.other()))
            .note(format!("`{id}` is applied to {names}"))
            .help("where a database of the other kind was chosen by mistake: `-d NAME`, and leave the folder as it is")
            .help(format!("a database of {said} has migrations in a folder of its own: `--migrations DIR`"))
            .help("where they have been this kind's all along, say `--yes`")
    };
    let question = format!("`{id}` is applied to {names}. Were all of these migrations written for {said}?");
    confirm::ask(app, args.yes, &question, || (), refusal).map(drop)
}

/// Refuses a dialect by which a sealed revision would not be what it was sealed as. One that was edited since is no
/// matter of the dialect.
fn not_otherwise(directory: &Directory, migrations: &[Migration], locks: &Locks) -> Result<()> {
    let mut problems = Vec::new();
    for migration in migrations {
        let id = migration.id.as_str();
        let sealed = [&locks.shared, &locks.local].into_iter().filter_map(|lock| lock.sealed(id));
        let known: Vec<_> = sealed.map(|(hashes, _)| hashes.statements).collect();
        if known.iter().all(|statements| *statements == migration.statements) {
            continue;
        }
        let text = directory.text(migration)?;
        let dialect = migration.dialect.other();
        let before = Migration::parse_as(dialect, migration.id.clone(), &migration.path, &text);
        if before.is_ok_and(|before| known.contains(&before.statements)) {
            problems.push(
                Problem::new(
                    READ_OTHERWISE,
                    format!("`{id}` is applied as {dialect} reads it, and {} reads it otherwise", migration.dialect),
                )
                .in_file(&migration.path)
                .help(format!(
                    "take it off first (`cargo migrate downgrade`), run `cargo migrate lock --dialect {}`, and upgrade \
                     again",
                    migration.dialect.word()
                ))
                .help(format!("or leave the migrations {dialect}'s, and write new ones so that both read them alike")),
            );
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}
