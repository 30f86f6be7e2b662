//! What is said of a run: before it, while it goes on, and at its end.

use std::time::Duration;

use build_support::lock::URL;
use build_support::problem::printable;
use migrate_runtime::event::Event;
use migrate_runtime::plan::{Direction, Step};
use migrate_runtime::runner::Report;
use serde_json::json;

use crate::app::{App, Opened};
use crate::live;
use crate::project::Database;
use crate::report::many;

/// Says that a database is not there which, by the locks, was there before: it may only have been moved.
pub(super) fn note_lost(app: App<'_>, opened: &Opened, database: &Database, create: bool) {
    let name = database.lock_name();
    let had = |opened: &Opened| {
        let lock = if database.shared { &opened.locks.shared } else { &opened.locks.local };
        lock.entries()
            .keys()
            .filter(|id| lock.sealed(id.as_str()).is_some_and(|(_, names)| names.contains(name)))
            .count()
    };
    let count: usize = opened.all().map(had).sum();
    if count > 0 && !database.scratch && name != URL {
        let what = match database.server() {
            None => "its file is not there: if it was moved, put it back",
            Some(server) if server.schema().is_some() => {
                "the server has no such database or schema: if it was renamed or is on another server, mend the URL"
            }
            Some(_) => "the server has no such database: if it was renamed or is on another server, mend the URL",
        };
        let anew = if create { ", for a new one is made" } else { "" };
        app.shell.warning(format!("`{name}` had {} by the lock, and {what}{anew}", revisions(count)));
    }
}

/// Shows a person what the runner does.
pub(super) fn observe(app: App<'_>, opened: &Opened, event: &Event<'_>) {
    match (event, app.shell.bar()) {
        (Event::Waiting, _) => app.shell.status("Waiting", "for another process that holds the database"),
        (Event::Retrying { kept, .. }, bar) => {
            // The steps of what was rolled back come once more.
            if let Some(bar) = bar {
                bar.set_position(*kept as u64);
            }
            app.shell.status("Waiting", "for a lock, trying again");
        }
        (Event::Planned(steps), Some(bar)) => bar.set_length(steps.len() as u64),
        (Event::Started(step), Some(bar)) => bar.set_message(step_line(opened, step)),
        (Event::Finished(..), Some(bar)) => bar.inc(1),
        (Event::Started(step), None) => app.shell.status("Running", step_line(opened, step)),
        (Event::BrokenBefore(count), _) => {
            let (rows, them) = if *count == 1 { ("row", "it") } else { ("rows", "them") };
            app.shell.warning(format!("{count} {rows} pointed to nothing before this run; it leaves {them} as before"));
        }
        (Event::Planned(_) | Event::Finished(..) | Event::Committed | Event::Ahead(_), _) => {}
    }
}

/// `upgrade A -> B, message`
pub(super) fn step_line(opened: &Opened, step: &Step) -> String {
    let parents = if step.parents.is_empty() {
        "base".to_owned()
    } else {
        step.parents.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let package = if opened.is_shared() { format!("{}: ", printable(&step.package)) } else { String::new() };
    match step.direction {
        Direction::Upgrade => format!("{package}upgrade {parents} -> {}, {}", step.id, step.message),
        Direction::Downgrade => format!("{package}downgrade {} -> {parents}, {}", step.id, step.message),
    }
}

/// Tells what was done.
pub(super) fn told(app: App<'_>, opened: &Opened, database: &Database, report: &Report, what: &str, dry_run: bool) {
    let shown = live::shown(&opened.project, database);
    if app.json() {
        let steps: Vec<_> = report
            .done
            .iter()
            .map(|(step, elapsed)| {
                json!({
                    "package": step.package,
                    "revision": step.id.as_str(),
                    "message": step.message,
                    "elapsed_ms": millis(*elapsed),
                })
            })
            .collect();
        app.shell.json(&json!({
            "command": what,
            "package": opened.project.key(),
            "packages": opened.asked().map(|opened| opened.project.key()).collect::<Vec<_>>(),
            "database": database.name,
            "url": database.url.to_string(),
            "dry_run": dry_run,
            "steps": steps,
        }));
        return;
    }
    let total: Duration = report.done.iter().map(|(_, elapsed)| *elapsed).sum();
    match (report.done.len(), dry_run) {
        (0, _) => app.shell.status("Finished", format!("nothing to do on {shown}")),
        (count, true) => {
            for (step, elapsed) in &report.done {
                let id = opened.named(&step.package, step.id.as_str());
                app.shell.status("Tried", format!("{id} in {} ms", millis(*elapsed)));
            }
            app.shell.status("Finished", format!("dry run of {} on {shown}: rolled back", revisions(count)));
        }
        (count, false) => {
            // On a scratch database what was edited is taken off before it is applied again.
            let off = report.done.iter().filter(|(step, _)| step.direction == Direction::Downgrade).count();
            let (done, first) = match what {
                "downgrade" => (count, String::new()),
                _ if off == 0 => (count, String::new()),
                _ => (count - off, format!(", after {} was taken off,", revisions(off))),
            };
            let total = millis(total);
            let what = match (what, done) {
                ("sync", 0) => format!("{} taken off {shown}", revisions(off)),
                _ => format!("{what} of {}{first} on {shown}", revisions(done)),
            };
            app.shell.status("Finished", format!("{what} in {total} ms"));
        }
    }
}

pub(super) fn revisions(count: usize) -> String {
    many(count, "revision")
}

pub(super) fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
