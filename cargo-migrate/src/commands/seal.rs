//! `seal`: what has been released is fixed, whatever the databases in sight have.

use build_support::lock::{Hashes, RELEASED};
use build_support::problem::{Code, Problem};
use serde_json::json;

use crate::app::{self, App, Opened};
use crate::args::SealArgs;
use crate::commands::{revision, run};
use crate::failure::Result;

/// A seal is broken only after somebody has agreed.
const NOT_SEALED: Code = Code("not-sealed");

/// `cargo migrate seal`
pub(super) fn seal(app: App<'_>, args: &SealArgs) -> Result<()> {
    let opened = app.open()?;
    opened.verified()?;
    let lineage = opened.graph.lineage();
    let named = if args.revisions.is_empty() {
        lineage.heads()
    } else {
        revision::parents(&args.revisions, lineage, &revision::applied(app, &opened))?
    };
    let covered = if args.undo { lineage.with_descendants(&named) } else { lineage.with_ancestors(&named) };
    let changed: Vec<usize> =
        lineage.order().iter().copied().filter(|at| covered[*at] && released(&opened, *at) == args.undo).collect();
    if args.undo {
        if let Some(at) = named.iter().find(|at| !released(&opened, **at)) {
            return Err(Problem::new(NOT_SEALED, format!("`{}` is not sealed as released", lineage.id(*at)))
                .help("what a database has is taken off by `cargo migrate downgrade`")
                .into());
        }
        confirm(app, &opened, args, &changed)?;
    }
    opened.directory.update_locks(|locks| {
        app::record(locks, &opened.graph, opened.project.key(), None);
        for &at in &changed {
            let migration = opened.graph.migration(at);
            if args.undo {
                locks.shared.unseal(migration.id.as_str(), RELEASED);
            } else {
                let hashes = Hashes {
                    checksum: migration.checksum,
                    statements: migration.statements,
                    seal: opened.graph.seal(at),
                };
                locks.shared.seal(migration.id.clone(), hashes, RELEASED);
            }
        }
    })?;
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

fn released(opened: &Opened, at: usize) -> bool {
    let id = opened.graph.migration(at).id.as_str();
    opened.locks.shared.sealed(id).is_some_and(|(_, names)| names.contains(RELEASED))
}

fn confirm(app: App<'_>, opened: &Opened, args: &SealArgs, changed: &[usize]) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    let ids: Vec<&str> = changed.iter().map(|at| opened.graph.migration(*at).id.as_str()).collect();
    let refuse = |why: &str| {
        Problem::new(run::NOT_CONFIRMED, format!("a seal is broken only when somebody agrees, and {why}"))
            .note(format!("users' databases may have {}", ids.join(", ")))
            .help("say `--yes` where no released program has them")
    };
    if !app.context.interactive() {
        return Err(refuse("nobody can be asked here").into());
    }
    for id in &ids {
        app.shell.status("Unseal", id);
    }
    match app.shell.confirm("users' databases may have these; break their seals?") {
        Ok(true) => Ok(()),
        _ => Err(refuse("nobody agreed").into()),
    }
}
