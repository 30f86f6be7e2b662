//! `seal`: what has been released is fixed, whatever the databases in sight have.

use build_support::lock::{RELEASED, RESERVED, URL};
use build_support::problem::{Code, Problem};
use migrate_runtime::plan;
use serde_json::json;

use crate::app::{self, App, Opened};
use crate::args::SealArgs;
use crate::commands::{confirm, revision};
use crate::failure::Result;

/// A seal that is to be broken is not there.
const NOT_SEALED: Code = Code("not-sealed");

/// `cargo migrate seal`
pub(super) fn seal(app: App<'_>, args: &SealArgs, opened: &Opened) -> Result<()> {
    // A seal may be broken because its file was edited; none is put on such a file.
    if !args.undo {
        opened.verified()?;
    }
    let lineage = opened.graph.lineage();
    let named = if args.revisions.is_empty() {
        lineage.heads()
    } else {
        revision::parents(&args.revisions, lineage, &revision::applied(app, opened))?
    };
    let covered = if args.undo { lineage.with_descendants(&named) } else { lineage.with_ancestors(&named) };
    let changed: Vec<usize> = lineage
        .order()
        .iter()
        .copied()
        .filter(|at| covered[*at] && is_sealed(opened, *at, args.undo) == args.undo)
        .collect();
    if args.undo {
        if let Some(at) = named.iter().find(|at| !is_sealed(opened, **at, true)) {
            return Err(Problem::new(
                NOT_SEALED,
                format!("`{}` is neither sealed as released nor applied to a URL", lineage.id(*at)),
            )
            .help("what a database has is taken off by `cargo migrate downgrade`")
            .into());
        }
        confirm(app, opened, args, &changed)?;
    }
    opened.directory.update_locks(|locks| {
        for &at in &changed {
            let migration = opened.graph.migration(at);
            if args.undo {
                for name in RESERVED {
                    locks.shared.unseal(migration.id.as_str(), name);
                    locks.local.unseal(migration.id.as_str(), name);
                }
            } else {
                locks.shared.seal(migration.id.clone(), plan::hashes(&opened.graph, at), RELEASED);
            }
        }
        app::record(locks, &opened.graph, opened.project.key(), None);
    })?;
    if !args.undo && !app.global.workspace {
        warn_of_drafts(app, opened, &covered);
    }
    let ids: Vec<&str> = changed.iter().map(|at| lineage.id(*at).as_str()).collect();
    if app.json() {
        let word = if args.undo { "unsealed" } else { "sealed" };
        app.shell.json(&json!({ "command": "seal", word: ids }));
        return Ok(());
    }
    for id in &ids {
        app.shell.status(if args.undo { "Unsealed" } else { "Sealed" }, id);
    }
    match (ids.is_empty(), args.undo) {
        (true, _) => app.shell.status("Finished", "all of it is sealed already"),
        (false, false) => app.shell.note("commit the lock: from now on an edit of these files is refused everywhere"),
        (false, true) => app.shell.note("what a database of the lock still has stays fixed there"),
    }
    Ok(())
}

/// Warns of what is sealed here while it stands on a draft of another package, which may still be edited or deleted.
fn warn_of_drafts(app: App<'_>, opened: &Opened, covered: &[bool]) {
    let migrations = opened.graph.migrations().iter().zip(covered).filter(|(_, covered)| **covered);
    let needs: Vec<_> = migrations
        .flat_map(|(migration, _)| migration.depends.iter().map(move |on| (migration, on)))
        .filter_map(|(migration, on)| Some((migration, on.package.as_deref()?, &on.id)))
        .filter(|(_, key, _)| *key != opened.project.key())
        .collect();
    if needs.is_empty() {
        return;
    }
    for other in app.others(opened).unwrap_or_default() {
        let key = other.project.key();
        for (migration, _, id) in needs.iter().filter(|(_, on, _)| *on == key) {
            if other.locks.shared.sealed(id.as_str()).is_none() {
                app.shell.warning(format!(
                    "`{}` stands on `{key}/{id}`, which is a draft: seal it too, `cargo migrate -p {key} seal {id}`",
                    migration.id
                ));
            }
        }
    }
}

/// Whether a lock says that a revision is released, or with `undo` anything else that only a person takes back.
fn is_sealed(opened: &Opened, at: usize, undo: bool) -> bool {
    let id = opened.graph.migration(at).id.as_str();
    let names = [&opened.locks.shared, &opened.locks.local].into_iter().filter_map(|lock| lock.sealed(id));
    names.flat_map(|(_, names)| names).any(|name| name == RELEASED || undo && name == URL)
}

fn confirm(app: App<'_>, opened: &Opened, args: &SealArgs, changed: &[usize]) -> Result<()> {
    let ids: Vec<&str> = changed.iter().map(|at| opened.graph.migration(*at).id.as_str()).collect();
    let show = || ids.iter().for_each(|id| app.shell.status("Unseal", id));
    let question = "databases out of sight may have these; break their seals?";
    confirm::ask(app, args.yes, question, show, |why| {
        Problem::new(confirm::NOT_CONFIRMED, format!("a seal is broken only when somebody agrees, and {why}"))
            .note(format!("users' databases, or those that were given as a URL, may have {}", ids.join(", ")))
            .help("say `--yes` where none of them has these")
    })
    .map(|_| ())
}
