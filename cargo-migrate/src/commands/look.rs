//! The commands that only look: they never create a file or a table.

use build_support::problem::Problem;
use build_support::target::{self, Resolved};
use migrate_runtime::history::History;
use migrate_runtime::plan;
use serde_json::json;

use crate::app::{App, Opened, Purpose};
use crate::args::{CurrentArgs, HistoryArgs, ShowArgs};
use crate::commands::drawing::Drawing;
use crate::commands::{lanes, several};
use crate::failure::Result;
use crate::project::Database;

/// Says where a database was looked for in vain: a URL on the command line starts at the working directory.
pub(super) fn note_missing(app: App<'_>, database: &Database) {
    match database.url.file() {
        Some(path) => app.shell.note(format!("there is no file {}: nothing is applied", path.display())),
        None => app.shell.note(format!("there is no database {}: nothing is applied", database.url)),
    }
}

pub(super) fn or_base(ids: &[String]) -> String {
    if ids.is_empty() { "base".to_owned() } else { ids.join(", ") }
}

pub(super) fn heads_of(opened: &Opened) -> Vec<String> {
    let lineage = opened.graph.lineage();
    lineage.heads().into_iter().map(|at| lineage.id(at).to_string()).collect()
}

/// `cargo migrate current`
pub(super) fn current(app: App<'_>, args: &CurrentArgs) -> Result<()> {
    several::each_package(app, "current", Purpose::Look, |app, opened| current_of(app, args, opened))
}

fn current_of(app: App<'_>, args: &CurrentArgs, opened: &Opened) -> Result<()> {
    let database = app.database(opened)?;
    let looked = opened.look(&database)?;
    let (is_there, history) = (looked.is_there(), looked.history);
    opened.not_renamed(&history, &format!("`{}`", database.lock_name()))?;
    let at = opened.current(&history);
    let heads = heads_of(opened);
    let half_way: Vec<_> = history.of(opened.project.key()).filter(|row| row.is_half_way()).collect();
    let at_head = at == heads && half_way.is_empty();
    if app.json() {
        app.shell.json(&json!({ "command": "current", "database": database.name, "current": at, "heads": heads, "at_head": at_head }));
    } else if at.is_empty() {
        if !is_there {
            note_missing(app, &database);
        }
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
    if args.graph && args.rev_range.is_none() && !app.json() {
        let packages = app.choose(Purpose::Look)?.packages;
        if packages.len() > 1 {
            return lanes::draw(app, args, packages);
        }
        return packages.into_iter().try_for_each(|(_, opened)| history_of(app, args, &opened?));
    }
    if args.rev_range.is_some() {
        // A range is one package's.
        return history_of(app, args, &app.open()?);
    }
    several::each_package(app, "history", Purpose::Look, |app, opened| history_of(app, args, opened))
}

/// What a database says of each revision: `applied`, `pending`, or how far one is; nothing where there is no database.
pub(super) struct States {
    pub(super) applied: Option<Vec<bool>>,
    half_way: Vec<bool>,
    /// Those whose file is another one than when it was applied.
    edited: Vec<bool>,
    word: Option<&'static str>,
    pub(super) current: Vec<String>,
}

impl States {
    /// The files' history needs no database; where one is chosen and can be read, applied revisions are marked.
    pub(super) fn of(app: App<'_>, opened: &Opened) -> Result<Self> {
        let (key, lineage) = (opened.project.key(), opened.graph.lineage());
        let none = vec![false; lineage.len()];
        let mut states = Self { applied: None, half_way: none.clone(), edited: none, word: None, current: Vec::new() };
        let Ok(database) = app.database(opened) else { return Ok(states) };
        let mut looked = opened.look(&database)?;
        states.word = looked.half_way(key, &database, &opened.project.settings().version_table)?;
        let history = looked.history;
        states.applied = Some(plan::applied(key, lineage, &history.settled()));
        for row in opened.with_accepted_texts(&history).of(key) {
            if let Some(at) = lineage.find(row.id.as_str()) {
                states.half_way[at] = row.is_half_way();
                states.edited[at] = row.checksum != opened.graph.migration(at).checksum;
            }
        }
        states.current = opened.current(&history);
        Ok(states)
    }

    pub(super) fn word(&self, at: usize) -> &'static str {
        match &self.applied {
            Some(applied) if applied[at] && self.edited[at] => "applied, edited since",
            Some(applied) if applied[at] => "applied",
            Some(_) => self.word.filter(|_| self.half_way[at]).unwrap_or("pending"),
            None => "",
        }
    }
}

/// What stands behind a revision's id in a list: its labels, whether it is a head, whether the database is at it.
pub(super) fn marks(args: &HistoryArgs, opened: &Opened, at: usize, heads: &[usize], current: &[String]) -> String {
    let migration = opened.graph.migration(at);
    let mut marks: Vec<String> = migration.labels.clone();
    if heads.contains(&at) {
        marks.push("head".to_owned());
    }
    if args.indicate_current && current.contains(&migration.id.to_string()) {
        marks.push("current".to_owned());
    }
    if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) }
}

fn history_of(app: App<'_>, args: &HistoryArgs, opened: &Opened) -> Result<()> {
    let lineage = opened.graph.lineage();
    let states = States::of(app, opened)?;
    let applied = &states.applied;
    let none = vec![false; lineage.len()];
    let shown = range(opened, args.rev_range.as_deref(), applied.as_ref().unwrap_or(&none))?;
    let heads = lineage.heads();
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
                    "edited": states.edited[*at],
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
        let (state, marks) = (states.word(at), marks(args, opened, at, &heads, &states.current));
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
    several::each_package(app, "heads", Purpose::Look, list_heads)
}

fn list_heads(app: App<'_>, opened: &Opened) -> Result<()> {
    let lineage = opened.graph.lineage();
    if app.json() {
        app.shell.json(&json!({ "command": "heads", "heads": heads_of(opened) }));
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
    several::each_package(app, "branches", Purpose::Look, list_branches)
}

fn list_branches(app: App<'_>, opened: &Opened) -> Result<()> {
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
    let texts = opened.with_accepted_texts(&history);
    let recorded = row.and_then(|row| texts.find(&row.package, &row.id));
    let edited = recorded.is_some_and(|row| row.checksum != migration.checksum);
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
            "edited": edited,
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
    if edited {
        app.shell.note(
            "this file was edited after it was applied: what follows is not what ran. `cargo migrate verify` says more",
        );
    }
    app.shell.out(format!("\n{text}"));
    Ok(())
}
