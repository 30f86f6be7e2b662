//! The commands that only look: they never create a file or a table.

use build_support::migration::Migration;
use build_support::problem::Problem;
use build_support::target::{self, Resolved};
use migrate_runtime::history::History;
use migrate_runtime::plan;
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::{CurrentArgs, HistoryArgs, ShowArgs};
use crate::commands::drawing::Drawing;
use crate::commands::{scratch, sync};
use crate::drift;
use crate::failure::Result;
use crate::live;
use crate::project::Database;
use crate::report::many;

/// `cargo migrate status`
pub(super) fn status(app: App<'_>) -> Result<()> {
    let opened = app.open()?;
    let database = app.database(&opened)?;
    let history = opened.history(&database)?;
    let key = opened.project.key();
    // A scratch database follows the files: what was edited is pending, not wrong.
    let texts = opened.with_accepted_texts(&history);
    let off = if database.scratch { scratch::outdated(&opened, &texts) } else { Vec::new() };
    let kept = scratch::without(&texts, &off);
    let applied = plan::applied(key, opened.graph.lineage(), kept.as_ref().unwrap_or(&texts));
    let order = opened.graph.lineage().order();
    let pending: Vec<&Migration> =
        order.iter().filter(|at| !applied[**at]).map(|at| opened.graph.migration(*at)).collect();
    let mut problems = build_support::verify::verify(&opened.graph, &opened.locks, opened.directory.shown());
    // What the locks tell to be deleted is not told again as unknown.
    let locks = &opened.locks;
    let deleted = |id: &str| {
        opened.graph.find(id).is_none()
            && locks.shared.get(id).is_some()
            && locks.shared.sealed(id).or(locks.local.sealed(id)).is_some()
    };
    let rows = kept.as_ref().unwrap_or(&texts).rows().iter().filter(|row| !deleted(row.id.as_str())).cloned().collect();
    let name = format!("`{}`", database.lock_name());
    let found = plan::check_history(key, &opened.graph, &History::new(rows), &name);
    let mut found = live::told_apart(found, &history, key, &database, app.wait(&opened))?;
    found.retain(|problem| {
        !problems
            .iter()
            .any(|known| known.code() == problem.code() && known.places().first() == problem.places().first())
    });
    problems.extend(found);
    problems.extend(scratch::take_off(&off, &database).err().unwrap_or_default());
    problems.extend(opened.not_renamed(&history, &name).err());
    let drifted = drift::at_a_glance(app, &opened, &database, &history)?;
    if drifted == Some(true) {
        problems.push(drift::noticed(&database.to_string()));
    }
    let heads = heads_of(&opened);
    let at = opened.current(&history);
    if app.json() {
        app.shell.json(&json!({
            "command": "status",
            "package": key,
            "database": database.name,
            "url": database.url.to_string(),
            "exists": database.url.path().exists(),
            "current": at,
            "heads": heads,
            "applied": history.settled().of(key).count(),
            "pending": pending.iter().map(|migration| migration.id.as_str()).collect::<Vec<_>>(),
            "drift": drifted,
            "problems": problems.iter().map(|problem| app.shell.json_problem(problem)).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let path = opened.project.show_path(database.url.path());
    app.shell.out(format!("package   {key}"));
    let there = if database.url.path().exists() { "" } else { ", not there yet" };
    app.shell.out(format!("database  {}{there}", live::shown(&database, &path)));
    app.shell.out(format!("current   {}", or_base(&at)));
    app.shell.out(format!("head      {}", or_base(&heads)));
    app.shell.out(format!("applied   {}", history.settled().of(key).count()));
    app.shell.out(format!("pending   {}", pending.len()));
    note_missing(app, &database);
    let elsewhere = sync::elsewhere(&opened, &texts).len();
    if elsewhere > 0 && !database.scratch {
        let place = if pending.is_empty() { "ahead of" } else { "beside" };
        let revisions = many(elsewhere, "revision");
        app.shell.note(format!(
            "the database is {place} this checkout, which lacks {revisions} that it has; `cargo migrate sync` lets it follow"
        ));
    }
    if !off.is_empty() {
        let ids: Vec<&str> = off.iter().map(|row| row.id.as_str()).collect();
        app.shell
            .note(format!("`cargo migrate upgrade` takes off first what is not as it was applied: {}", ids.join(", ")));
    }
    for migration in &pending {
        app.shell.out(format!("          {}  {}", migration.id, migration.message));
    }
    for problem in &problems {
        app.shell.problem(problem);
    }
    Ok(())
}

/// Says where a database was looked for in vain: a URL on the command line starts at the working directory.
fn note_missing(app: App<'_>, database: &Database) {
    let path = database.url.path();
    if !path.exists() {
        app.shell.note(format!("there is no file {}: nothing is applied", path.display()));
    }
}

fn or_base(ids: &[String]) -> String {
    if ids.is_empty() { "base".to_owned() } else { ids.join(", ") }
}

fn heads_of(opened: &Opened) -> Vec<String> {
    let lineage = opened.graph.lineage();
    lineage.heads().into_iter().map(|at| lineage.id(at).to_string()).collect()
}

/// `cargo migrate current`
pub(super) fn current(app: App<'_>, args: &CurrentArgs) -> Result<()> {
    let opened = app.open()?;
    let database = app.database(&opened)?;
    let history = opened.history(&database)?;
    opened.not_renamed(&history, &format!("`{}`", database.lock_name()))?;
    let at = opened.current(&history);
    let heads = heads_of(&opened);
    let half_way: Vec<_> = history.of(opened.project.key()).filter(|row| row.is_half_way()).collect();
    let at_head = at == heads && half_way.is_empty();
    if app.json() {
        app.shell.json(&json!({ "command": "current", "database": database.name, "current": at, "heads": heads, "at_head": at_head }));
    } else if at.is_empty() {
        note_missing(app, &database);
        app.shell.out("base");
    } else {
        for id in &at {
            let mark = if heads.contains(id) { " (head)" } else { "" };
            app.shell.out(format!("{id}{mark}"));
        }
    }
    if args.check_heads && !at_head {
        let problem = Problem::new(build_support::problem::Code("not-at-head"), "the database is not at the heads")
            .note(format!("it is at {}, and the heads are {}", or_base(&at), or_base(&heads)));
        let problem = match half_way.first() {
            Some(row) => problem.note(format!("`{}` is neither applied nor gone", row.id)).help(
                "`cargo migrate status` says whether its run is under way, and what to do where it was interrupted",
            ),
            None => problem.help("`cargo migrate upgrade heads`"),
        };
        return Err(problem.into());
    }
    Ok(())
}

/// `cargo migrate history`
pub(super) fn history(app: App<'_>, args: &HistoryArgs) -> Result<()> {
    let opened = app.open()?;
    let lineage = opened.graph.lineage();
    // The files' history needs no database; where one is chosen and can be read, applied revisions are marked.
    let database = app.database(&opened).ok();
    let history = match &database {
        Some(database) => Some(opened.history(database)?),
        None => None,
    };
    let applied = history.as_ref().map(|history| plan::applied(opened.project.key(), lineage, &history.settled()));
    let half_way = match (&database, &history) {
        (Some(database), Some(history)) => live::half_way(history, opened.project.key(), database, app.wait(&opened))?,
        _ => None,
    };
    let is_half_way = |id| {
        let row = history.as_ref().and_then(|history| history.find(opened.project.key(), id));
        row.is_some_and(|row| row.is_half_way())
    };
    let none = vec![false; lineage.len()];
    let shown = range(&opened, args.rev_range.as_deref(), applied.as_ref().unwrap_or(&none))?;
    let heads = lineage.heads();
    let current = history.as_ref().map(|history| opened.current(history)).unwrap_or_default();
    let newest_first: Vec<usize> = lineage.order().iter().rev().copied().filter(|at| shown[*at]).collect();
    if app.json() {
        let rows: Vec<_> = newest_first
            .iter()
            .map(|at| {
                let migration = opened.graph.migration(*at);
                json!({
                    "revision": migration.id.as_str(),
                    "message": migration.message,
                    "parents": lineage.parents(*at).iter().map(|parent| lineage.id(*parent).as_str()).collect::<Vec<_>>(),
                    "labels": migration.labels,
                    "head": heads.contains(at),
                    "applied": applied.as_ref().map(|applied| applied[*at]),
                    "sealed": opened.locks.shared.sealed(migration.id.as_str()).is_some() || opened.locks.local.sealed(migration.id.as_str()).is_some(),
                })
            })
            .collect();
        app.shell.json(&json!({ "command": "history", "revisions": rows }));
        return Ok(());
    }
    let mut drawing = Drawing::default();
    for at in newest_first {
        let migration = opened.graph.migration(at);
        let state = match &applied {
            Some(applied) if applied[at] => "applied",
            Some(_) => half_way.filter(|_| is_half_way(&migration.id)).unwrap_or("pending"),
            None => "",
        };
        let mut marks: Vec<String> = migration.labels.clone();
        if heads.contains(&at) {
            marks.push("head".to_owned());
        }
        if args.indicate_current && current.contains(&migration.id.to_string()) {
            marks.push("current".to_owned());
        }
        let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
        let line = format!("{}{marks}  {state:<7}  {}", migration.id, migration.message);
        if args.graph {
            let parents: Vec<usize> = lineage.parents(at).iter().copied().filter(|parent| shown[*parent]).collect();
            drawing.revision(at, &parents, &line);
        } else {
            let parents: Vec<&str> = lineage.parents(at).iter().map(|parent| lineage.id(*parent).as_str()).collect();
            let parents = if parents.is_empty() { "base".to_owned() } else { parents.join(", ") };
            app.shell.out(format!("{parents} -> {line}"));
            if app.shell.verbose() > 0 {
                app.shell.out(format!("    file  {}", migration.path.display()));
                app.shell.out(format!("    seal  {}", opened.graph.seal(at)));
            }
        }
    }
    for line in drawing.into_lines() {
        app.shell.out(line);
    }
    Ok(())
}

/// The revisions of `A:B`: B and what it stands on, without what A stands on; A itself is shown.
pub(super) fn range(opened: &Opened, text: Option<&str>, applied: &[bool]) -> Result<Vec<bool>> {
    let lineage = opened.graph.lineage();
    let Some(text) = text else { return Ok(vec![true; lineage.len()]) };
    let (start, end) = text.split_once(':').unwrap_or((text, text));
    let find = |side: &str| -> Result<Vec<usize>> {
        match target::resolve(side, lineage, applied)? {
            Resolved::Revisions(found) => Ok(found),
            Resolved::Base(_) => Ok(Vec::new()),
            // `-3` and `+2` count from where the database is: from each of its heads, where it has several.
            Resolved::Steps(..) => {
                let Resolved::Revisions(heads) = target::resolve("current", lineage, applied)? else {
                    return Ok(Vec::new());
                };
                let mut found = Vec::new();
                for head in heads {
                    if let Resolved::Revisions(from) =
                        target::resolve(&format!("{}{side}", lineage.id(head)), lineage, applied)?
                    {
                        found.extend(from);
                    }
                }
                Ok(found)
            }
        }
    };
    let upper = if end.is_empty() { vec![true; lineage.len()] } else { lineage.with_ancestors(&find(end)?) };
    if start.is_empty() {
        return Ok(upper);
    }
    let from = find(start)?;
    let lower = if from.is_empty() { vec![true; lineage.len()] } else { lineage.with_descendants(&from) };
    Ok(upper.iter().zip(&lower).map(|(upper, lower)| *upper && *lower).collect())
}

/// `cargo migrate heads`
pub(super) fn heads(app: App<'_>) -> Result<()> {
    let opened = app.open()?;
    let lineage = opened.graph.lineage();
    if app.json() {
        app.shell.json(&json!({ "command": "heads", "heads": heads_of(&opened) }));
        return Ok(());
    }
    for at in lineage.heads() {
        let migration = opened.graph.migration(at);
        app.shell.out(format!("{}  {}", migration.id, migration.message));
    }
    Ok(())
}

/// `cargo migrate branches`: where the history forks.
pub(super) fn branches(app: App<'_>) -> Result<()> {
    let opened = app.open()?;
    let lineage = opened.graph.lineage();
    let forks: Vec<usize> = lineage.order().iter().copied().filter(|at| lineage.children(*at).len() > 1).collect();
    let children = |at: usize| lineage.children(at).iter().map(|child| lineage.id(*child).as_str()).collect::<Vec<_>>();
    if app.json() {
        let rows: Vec<_> =
            forks.iter().map(|at| json!({ "revision": lineage.id(*at).as_str(), "children": children(*at) })).collect();
        app.shell.json(&json!({ "command": "branches", "branches": rows }));
        return Ok(());
    }
    for at in forks {
        app.shell.out(format!("{} (branch point)", lineage.id(at)));
        for child in children(at) {
            app.shell.out(format!("    -> {child}"));
        }
    }
    Ok(())
}

/// `cargo migrate show`
pub(super) fn show(app: App<'_>, args: &ShowArgs) -> Result<()> {
    let opened = app.open()?;
    let lineage = opened.graph.lineage();
    let database = app.database(&opened).ok();
    let history = match &database {
        Some(database) => opened.history(database)?,
        None => History::default(),
    };
    let applied = plan::applied(opened.project.key(), lineage, &history);
    let at = target::resolve_one(&args.revision, lineage, &applied)?;
    let migration = opened.graph.migration(at);
    let parents: Vec<&str> = lineage.parents(at).iter().map(|parent| lineage.id(*parent).as_str()).collect();
    let row = history.find(opened.project.key(), &migration.id).filter(|row| !row.is_half_way());
    let text = opened.directory.text(migration)?;
    if app.json() {
        app.shell.json(&json!({
            "command": "show",
            "revision": migration.id.as_str(),
            "message": migration.message,
            "file": migration.path.to_string_lossy(),
            "parents": parents,
            "depends": migration.depends.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "labels": migration.labels,
            "checksum": migration.checksum.to_string(),
            "statements": migration.statements.to_string(),
            "seal": opened.graph.seal(at).to_string(),
            "applied_at": row.map(|row| row.applied_at.as_str()),
            "text": text,
        }));
        return Ok(());
    }
    app.shell.out(format!("revision   {}", migration.id));
    app.shell.out(format!("parents    {}", if parents.is_empty() { "base".to_owned() } else { parents.join(", ") }));
    app.shell.out(format!("file       {}", migration.path.display()));
    app.shell.out(format!("checksum   {}", migration.checksum));
    app.shell.out(format!("seal       {}", opened.graph.seal(at)));
    if let Some(row) = row {
        app.shell.out(format!("applied    {} by cargo-migrate {}", row.applied_at, row.tool_version));
    }
    app.shell.out(format!("\n{text}"));
    Ok(())
}
