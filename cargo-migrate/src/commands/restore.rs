//! `restore`.

use std::collections::BTreeSet;
use std::path::Path;

use build_support::problem::{Problem, printable};
use migrate_runtime::history::History;
use migrate_runtime::plan;
use serde_json::json;

use crate::app::{App, Group, Opened, Purpose};
use crate::args::RestoreArgs;
use crate::backup;
use crate::backup::restore::{self, Replaced, Source};
use crate::commands::backup::{file_name, size};
use crate::commands::{confirm, run};
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::{Database, OTHER_PACKAGE};

/// `cargo migrate restore`
///
/// The backup is read as a whole before anything is asked or touched.
pub(super) fn restore(app: App<'_>, args: &RestoreArgs) -> Result<()> {
    let mut groups = app.groups(Purpose::Change)?.into_iter();
    let (Some(Group { opened, database, .. }), None) = (groups.next(), groups.next()) else {
        return Err(
            Failure::misused("a backup is of one database, and several are chosen").help("choose one: `-p NAME`")
        );
    };
    let (opened, database) = (opened?, database?);
    if let Some(server) = database.server().filter(|_| !args.create)
        && live::server::open_for_reading(&database, server)?.is_none()
    {
        return Err(live::server::missing_for(&database, server, "restore"));
    }
    let path = restore::find(app, &opened, &database, args.backup.as_deref())?;
    let source = Source::open(app, &opened, &database, &path)?;
    if !args.without_history {
        source.with_version_table(&opened, &database, &path)?;
    }
    let name = file_name(&path);
    if let Some(why) = source.unchecked() {
        app.shell.warning(format!("{} could not be checked as a whole: {why}", printable(&name)));
    }
    // What is there may be the reason why this is done: where it cannot be read, that stops nothing.
    let before = opened.history(&database).ok();
    let restored = source.history().cloned().unwrap_or_default();
    of_this_package(app, &opened, &restored, before.as_ref(), &path)?;
    let shown = live::shown(&opened.project, &database);
    let question = match restore::of_another(app, &opened, &database, (&path, &source)) {
        Some(other) => {
            app.shell.warning(format!("this is a backup of {other}, and it takes the place of what {shown} has"));
            format!("replace what {shown} has with what another database had, {other}?")
        }
        None => format!("replace what {shown} has?"),
    };
    let show = || {
        let bytes = size(source.bytes());
        app.shell.status("Restore", format!("{name}, {bytes}, with {}", at(&opened, Some(&restored))));
        app.shell.status("Replace", format!("{shown} with {}", at(&opened, before.as_ref())));
    };
    confirm::ask(app, args.yes, &question, show, |why| {
        Problem::new(confirm::NOT_CONFIRMED, format!("all that {shown} has is to be replaced, and {why}"))
            .help("say `--yes` where that is meant; what is replaced is kept as a backup")
    })?;
    let replaced = restore::restore(app, &opened, &database, (&path, &source), args.create)?;
    let history = match source.history() {
        Some(_) => {
            let history = opened.history(&database)?;
            run::record(app, &opened, &database, &history);
            record_others(app, &opened, &database, &history);
            history
        }
        None => {
            app.shell.warning(format!("the version table of {} cannot be read", printable(&name)));
            History::default()
        }
    };
    let spared: Vec<&Path> = replaced.kept.iter().map(|made| made.path.as_path()).chain([path.as_path()]).collect();
    if let Err(failure) = backup::prune(app, &opened, &database, &spared) {
        for problem in failure.problems() {
            app.shell.problem(&problem.clone().as_warning());
        }
    }
    told(app, &opened, &database, &path, &replaced, &history)
}

/// Brings the locks of all other packages that use the database up to date: what they had was replaced, too.
fn record_others(app: App<'_>, opened: &Opened, database: &Database, history: &History) {
    for other in app.others(opened).unwrap_or_default() {
        let known = opened.package(other.project.key()).is_some();
        let Ok(named) = other.project.database(app.context, app.global.database.as_deref()) else { continue };
        if !known && named.url.identity() == database.url.identity() {
            run::record(app, &other, &named, history);
        }
    }
}

/// Refuses a backup that is another package's, unless that one's revisions are in the database too.
fn of_this_package(
    app: App<'_>,
    opened: &Opened,
    backup: &History,
    before: Option<&History>,
    path: &Path,
) -> Result<()> {
    let key = opened.project.key();
    let packages =
        |history: &History| -> BTreeSet<String> { history.rows().iter().map(|row| row.package.clone()).collect() };
    let theirs = packages(backup);
    let ours = before.map(packages).unwrap_or_default();
    let Some(other) = theirs.iter().next().filter(|_| !theirs.contains(key) && theirs.is_disjoint(&ours)) else {
        return Ok(());
    };
    let names = theirs.iter().map(|name| format!("`{}`", printable(name))).collect::<Vec<_>>().join(", ");
    let problem = Problem::new(OTHER_PACKAGE, format!("this backup has the revisions of {names}, and none of `{key}`"))
        .in_file(path)
        .help("choose another one: `cargo migrate backups` lists them");
    let owner = app.others(opened).unwrap_or_default().into_iter().find(|it| it.project.key() == other);
    Err(match owner.as_ref().and_then(|owner| owner.project.package()) {
        Some(owner) => problem.help(format!("or restore it as what it is: `cargo migrate restore -p {owner} FILE`")),
        None => problem.note(format!("no package here is `{}`", printable(other))),
    }
    .into())
}

/// What a database is at.
fn at(opened: &Opened, history: Option<&History>) -> String {
    match history.map(|history| opened.current(history)) {
        None => "what cannot be read".to_owned(),
        Some(ids) if ids.is_empty() => "no revision".to_owned(),
        Some(ids) => ids.join(", "),
    }
}

fn told(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    path: &Path,
    replaced: &Replaced,
    history: &History,
) -> Result<()> {
    let key = opened.project.key();
    let applied = plan::applied(key, opened.graph.lineage(), history);
    let pending = applied.iter().filter(|applied| !**applied).count();
    let unknown: Vec<&str> =
        history.of(key).map(|row| row.id.as_str()).filter(|id| opened.graph.find(id).is_none()).collect();
    if app.json() {
        app.shell.json(&json!({
            "command": "restore",
            "package": key,
            "database": database.name,
            "url": database.url.to_string(),
            "backup": path.to_string_lossy(),
            "kept": replaced.kept.as_ref().map(|made| made.path.to_string_lossy()),
            "moved_aside": replaced.aside.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "current": opened.current(history),
            "pending": pending,
            "unknown": unknown,
        }));
        return Ok(());
    }
    if let Some(made) = &replaced.kept {
        app.shell.status("Kept", format!("what was there: {}", made.shown.display()));
    }
    for aside in &replaced.aside {
        let aside = opened.project.show_path(aside);
        app.shell.status("Moved", format!("what could not be read: {}", aside.display()));
    }
    let shown = live::shown(&opened.project, database);
    app.shell.status("Finished", format!("{shown} has what {} had: {}", file_name(path), at(opened, Some(history))));
    if pending > 0 {
        let them = if pending == 1 { "1 revision is".to_owned() } else { format!("{pending} revisions are") };
        app.shell.note(format!("{them} pending now: `cargo migrate upgrade` applies what is"));
    }
    if !unknown.is_empty() {
        app.shell.note(format!(
            "it has revisions that have no file here: {}; `cargo migrate status` says more",
            unknown.join(", ")
        ));
    }
    Ok(())
}
