//! `backup` and `backups`.

use std::path::Path;
use std::time::Duration;

use migrate_runtime::history::History;
use serde_json::json;

use crate::app::{App, Opened, Purpose};
use crate::args::BackupArgs;
use crate::backup::{self, Made, Why};
use crate::commands::several;
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::Database;

/// `cargo migrate backup`
pub(super) fn backup(app: App<'_>, args: &BackupArgs) -> Result<()> {
    let groups = app.groups(Purpose::Change)?;
    if args.to.is_some() && groups.len() > 1 {
        return Err(
            Failure::misused("`--to` names one file, and several databases are chosen").help("choose one: `-p NAME`")
        );
    }
    several::on_databases(app, "backup", groups, &|app, opened, database| back_up(app, args, opened, database?))
}

fn back_up(app: App<'_>, args: &BackupArgs, opened: &Opened, database: &Database) -> Result<()> {
    let to = args.to.as_deref().map(|to| app.context.working_directory().join(to));
    let made = backup::make(app, opened, database, Why::ByHand, to.as_deref())?;
    if app.json() {
        app.shell.json(&json!({
            "command": "backup",
            "package": opened.project.key(),
            "database": database.name,
            "url": database.url.to_string(),
            "file": made.path.to_string_lossy(),
            "revisions": made.revisions,
            "bytes": made.bytes,
            "pages": made.pages,
            "copied_ms": millis(made.copied_in),
            "checked_ms": millis(made.checked_in),
        }));
        return Ok(());
    }
    let shown = live::shown(&opened.project, database);
    app.shell.status("Finished", format!("backup of {shown}: {}", told(&made)));
    app.shell.out(made.shown.display());
    Ok(())
}

/// What a backup has, in a few words.
pub(super) fn told(made: &Made) -> String {
    let (copied, checked) = (millis(made.copied_in), millis(made.checked_in));
    format!("{}, copied in {copied} ms and checked in {checked} ms", size(made.bytes))
}

/// `cargo migrate backups`
pub(super) fn backups(app: App<'_>, opened: &Opened) -> Result<()> {
    let mut entries = backup::list(opened)?;
    if app.global.database.is_some() {
        let mark = backup::mark(&opened.project, &app.database(opened)?);
        entries.retain(|entry| entry.name.is_of(&mark));
    }
    let current = |history: &History| opened.current(history);
    let revisions: Vec<Option<Vec<String>>> = entries
        .iter()
        .map(|entry| backup::history_of(app, opened, &entry.path, entry.name.form).as_ref().map(current))
        .collect();
    let called: Vec<String> = entries.iter().map(|entry| backup::called(app, opened, &entry.name)).collect();
    if app.json() {
        let backups: Vec<_> = entries
            .iter()
            .zip(&revisions)
            .zip(&called)
            .map(|((entry, revisions), called)| {
                json!({
                    "name": entry.name.file(),
                    "file": entry.path.to_string_lossy(),
                    "database": called,
                    "made_at": entry.name.made_at(),
                    "revisions": revisions,
                    "bytes": entry.bytes,
                    "automatic": entry.name.automatic,
                })
            })
            .collect();
        app.shell.json(&json!({ "command": "backups", "backups": backups }));
        return Ok(());
    }
    if entries.is_empty() {
        app.shell.note("there are no backups: `cargo migrate backup` makes one");
        return Ok(());
    }
    let widths = [widest(called.iter().cloned()), widest(entries.iter().map(|it| size(it.bytes)))];
    for ((entry, revisions), called) in entries.iter().zip(&revisions).zip(&called) {
        let at = match revisions {
            None => "unreadable".to_owned(),
            Some(ids) if ids.is_empty() => "base".to_owned(),
            Some(ids) => ids.join(", "),
        };
        let how = if entry.name.automatic { "automatic" } else { "by hand  " };
        app.shell.out(format!(
            "{}  {called:<database$}  {how}  {:>size$}  {at}",
            entry.name.made_at(),
            size(entry.bytes),
            database = widths[0],
            size = widths[1],
        ));
        if app.shell.verbose() > 0 {
            app.shell.out(format!("    {}", opened.project.show_path(&entry.path).display()));
        }
    }
    Ok(())
}

fn widest(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A path as messages show it, where it may stand for a file of the project's backups.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
