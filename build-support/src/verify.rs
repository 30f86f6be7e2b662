//! Pure checks of a folder against its lock files.

use std::collections::BTreeSet;
use std::path::Path;

use crate::directory::{LOCAL_FILE, LOCK_FILE, Locks};
use crate::graph::RevisionGraph;
use crate::lock::Hashes;
use crate::migration::Parents;
use crate::problem::{Code, Problem};
use crate::revision::RevisionId;

/// An applied revision's file does something else than it did.
pub const EDITED: Code = Code("edited");
/// An applied revision's file has other comments, or another down or verify section.
pub const EDITED_COMMENTS: Code = Code("edited-comments");
/// An applied revision's file is gone.
pub const DELETED: Code = Code("deleted");
/// An applied revision stands on another history than it did.
pub const HISTORY_CHANGED: Code = Code("history-changed");
/// A new file would slip in before an applied revision.
pub const SLIPPED_IN: Code = Code("slipped-in");

/// Compares the files with what the locks say was applied.
#[must_use]
pub fn verify(graph: &RevisionGraph, locks: &Locks, folder: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let slipped = slipped_in(graph, locks, &mut problems);
    let ids: BTreeSet<&RevisionId> = locks.shared.entries().keys().chain(locks.local.entries().keys()).collect();
    for id in ids {
        for (lock, file) in [(&locks.shared, LOCK_FILE), (&locks.local, LOCAL_FILE)] {
            let Some((hashes, names)) = lock.sealed(id.as_str()) else { continue };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = match graph.lineage().find(id.as_str()) {
                None => Some(removed(id, &format!("`{}`", names.join("`, `")), folder)),
                Some(at) => compare(graph, at, hashes, &format!("`{}` ({file})", names.join("`, `")), slipped),
            };
            if let Some(problem) = found {
                problems.push(problem);
                break;
            }
        }
    }
    problems
}

/// Compares one file with the hashes it had when it was applied to `applied_to`, a name ready for a message.
/// `explained` leaves out a changed history, where that has been reported already.
#[must_use]
pub fn compare(
    graph: &RevisionGraph,
    at: usize,
    hashes: &Hashes,
    applied_to: &str,
    explained: bool,
) -> Option<Problem> {
    let migration = graph.migration(at);
    let short = |expected: String, found: String| format!("expected {expected}, found {found}");
    if migration.checksum == hashes.checksum {
        if explained || graph.seal(at) == hashes.seal {
            return None;
        }
        return Some(
            Problem::new(
                HISTORY_CHANGED,
                format!("`{}` now stands on another history than when it was applied to {applied_to}", migration.id),
            )
            .in_file(&migration.path)
            .note(short(format!("seal:{}", hashes.seal.short()), format!("seal:{}", graph.seal(at).short())))
            .note("a revision before it was edited, added or taken out")
            .help("put the earlier files back as they were"),
        );
    }
    let (code, what) = if migration.statements != hashes.statements {
        (EDITED, "this file was edited after it was applied")
    } else if graph.seal(at) != hashes.seal {
        (EDITED, "this file was edited after it was applied: its parents or what it depends on are others now")
    } else {
        (
            EDITED_COMMENTS,
            "comments, the down or the verify section of this file were edited; what its upgrade does is the same",
        )
    };
    let problem = Problem::new(code, what);
    let problem = if code == EDITED_COMMENTS {
        problem.help("where this is meant, accept it: `cargo migrate repair`")
    } else {
        problem
    };
    Some(
        problem
            .in_file(&migration.path)
            .note(format!("`{}` is applied to {applied_to}", migration.id))
            .note(short(
                format!("sha256:{}", hashes.checksum.short()),
                format!("sha256:{}", migration.checksum.short()),
            ))
            .help("put the file back as it was (`git checkout` of it)")
            .help(format!(
                "or take it off first (`cargo migrate downgrade {}-1`), edit it, and upgrade again",
                migration.id
            ))
            .help("or leave it as it was and write the change as a new revision (`cargo migrate revision`)"),
    )
}

/// The problem of an applied revision whose file is gone; `applied_to` is a name ready for a message.
#[must_use]
pub fn removed(id: &RevisionId, applied_to: &str, folder: &Path) -> Problem {
    Problem::new(DELETED, format!("the file of `{id}` is gone, and it is applied to {applied_to}"))
        .in_file(folder.join(id.file_name()))
        .help("put the file back (`git checkout` of it)")
        .help(format!("then, to be rid of it, run `cargo migrate delete {id} --downgrade`"))
}

/// Drafts that stand, by their names, before a sealed revision that names no parent, and so would come between it and
/// what it followed when it was applied.
fn slipped_in(graph: &RevisionGraph, locks: &Locks, problems: &mut Vec<Problem>) -> bool {
    let sealed = |id: &RevisionId| {
        let sealed = locks.shared.sealed(id.as_str()).or_else(|| locks.local.sealed(id.as_str()));
        sealed.map(|(hashes, _)| hashes.seal)
    };
    let before = problems.len();
    for (at, next) in graph.migrations().iter().enumerate() {
        let (Parents::Implicit, [parent]) = (&next.parents, graph.lineage().parents(at)) else { continue };
        let draft = graph.migration(*parent);
        if sealed(&draft.id).is_none() && sealed(&next.id).is_some_and(|seal| seal != graph.seal(at)) {
            problems.push(
                Problem::new(
                    SLIPPED_IN,
                    format!("`{}` would slip in before `{}`, which is applied", draft.id, next.id),
                )
                .in_file(&draft.path)
                .in_file(&next.path)
                .help(format!("let it follow what is applied: `-- migrate:parent {}` in its header", next.id))
                .help("or give the file a name that sorts behind the applied ones"),
            );
        }
    }
    problems.len() > before
}
