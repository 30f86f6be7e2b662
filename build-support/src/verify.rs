//! Pure checks of a folder against its lock files.

use std::collections::BTreeSet;
use std::path::Path;

use crate::directory::{LOCAL_FILE, LOCK_FILE, Locks};
use crate::graph::RevisionGraph;
use crate::lock::{Hashes, RESERVED};
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
///
/// A revision that `migrate.local` alone knows is on another git branch, and no problem of these files.
#[must_use]
pub fn verify(graph: &RevisionGraph, locks: &Locks, folder: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let slipped = slipped_in(graph, locks, &mut problems);
    let ids: BTreeSet<&RevisionId> = locks.shared.entries().keys().chain(locks.local.entries().keys()).collect();
    for id in ids {
        let holders = Holders::of_locks(locks, id);
        for lock in [&locks.shared, &locks.local] {
            let Some((hashes, _)) = lock.sealed(id.as_str()) else { continue };
            let found = match graph.lineage().find(id.as_str()) {
                // What the committed lock does not know, not even as a draft, is no deleted file of this branch: it
                // stands on another one. Whether it is in the way is for the database to say that has it.
                None if locks.shared.get(id.as_str()).is_none() => None,
                None => Some(removed(id, &holders, folder)),
                Some(at) => compare(graph, at, hashes, &holders, slipped),
            };
            if let Some(problem) = found {
                problems.push(problem);
                break;
            }
        }
    }
    // What stands on an edited or a removed revision has another history because of it: that is told once, at its cause.
    if problems.iter().any(|problem| [EDITED, DELETED].contains(&problem.code())) {
        problems.retain(|problem| problem.code() != HISTORY_CHANGED);
    }
    problems
}

/// Who has a revision, for a message and for the commands that it suggests.
#[derive(Clone, Debug)]
pub struct Holders {
    shown: String,
    databases: Vec<String>,
    reserved: bool,
}

impl Holders {
    /// What the lock files say.
    fn of_locks(locks: &Locks, id: &RevisionId) -> Self {
        let (mut shown, mut all) = (Vec::new(), BTreeSet::new());
        for (lock, file) in [(&locks.shared, LOCK_FILE), (&locks.local, LOCAL_FILE)] {
            let Some((_, names)) = lock.sealed(id.as_str()) else { continue };
            shown.push(format!("`{}` ({file})", names.iter().map(String::as_str).collect::<Vec<_>>().join("`, `")));
            all.extend(names.iter().cloned());
        }
        let (reserved, databases): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|name| RESERVED.contains(&name.as_str()));
        Self { shown: shown.join(" and "), databases, reserved: !reserved.is_empty() }
    }

    /// A database by what `-d` knows it by.
    #[must_use]
    pub fn database(shown: &str, choice: &str) -> Self {
        Self { shown: shown.to_owned(), databases: vec![choice.to_owned()], reserved: false }
    }

    /// The database that the command at hand works on, by a name ready for a message.
    #[must_use]
    pub fn chosen(shown: &str) -> Self {
        Self { shown: shown.to_owned(), databases: Vec::new(), reserved: false }
    }

    /// What stands between `cargo migrate` and the command, so that it works on the database that has the revision.
    fn choice(&self) -> String {
        match &self.databases[..] {
            [] => String::new(),
            [one] => format!("-d {one} "),
            _ => "-d NAME ".to_owned(),
        }
    }

    /// The ways to take a revision off, where `command` takes it off one database.
    fn ways_off(&self, id: &RevisionId, command: &str) -> Vec<String> {
        let mut ways = Vec::new();
        if !self.databases.is_empty() || !self.reserved {
            let each = if self.databases.len() > 1 { ", on each of these databases" } else { "" };
            ways.push(format!("`cargo migrate {}{command}`{each}", self.choice()));
        }
        if self.reserved {
            ways.push(format!(
                "`cargo migrate seal --undo {id}`, where no user's database and none that was given as a URL has it"
            ));
        }
        ways
    }
}

/// The target of a downgrade that takes a revision off and leaves what it follows, with what comes off then besides that
/// and what stands on it.
fn before(graph: &RevisionGraph, at: usize) -> (String, Vec<String>) {
    let lineage = graph.lineage();
    let id = lineage.id(at);
    let own = lineage.with_descendants(&[at]);
    let besides = |parent: usize| -> Vec<usize> {
        let off = lineage.with_descendants(&[parent]);
        (0..lineage.len()).filter(|other| off[*other] && *other != parent && !own[*other]).collect()
    };
    let target = match lineage.parents(at) {
        [] if lineage.bases().len() == 1 => "base".to_owned(),
        [] => format!("{id}@base"),
        [only] if besides(*only).is_empty() => format!("{id}-1"),
        [first, ..] if besides(*first).is_empty() => lineage.id(*first).to_string(),
        // Its own branch begins with it, behind a fork as behind a merge, and ends before its siblings.
        [_, _, ..] => format!("{id}@base"),
        [only] if lineage.children(*only).len() > 1 => format!("{id}@base"),
        // What depends on the one before it without following it.
        [only] => {
            let also = besides(*only).into_iter().map(|other| lineage.id(other).to_string()).collect();
            return (format!("{id}-1"), also);
        }
    };
    (target, Vec::new())
}

/// Compares one file with the hashes it had when it was applied. `explained` leaves out a changed history, where that
/// has been reported already.
#[must_use]
pub fn compare(
    graph: &RevisionGraph,
    at: usize,
    hashes: &Hashes,
    holders: &Holders,
    explained: bool,
) -> Option<Problem> {
    let (migration, applied_to) = (graph.migration(at), &holders.shown);
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
    let problem = problem
        .in_file(&migration.path)
        .note(format!("`{}` is applied to {applied_to}", migration.id))
        .note(short(format!("sha256:{}", hashes.checksum.short()), format!("sha256:{}", migration.checksum.short())))
        .help("put the file back as it was (`git checkout` of it)");
    let (target, also) = before(graph, at);
    // The file may have another way back by now than the one that takes back what was applied.
    let mut ways = holders.ways_off(&migration.id, &format!("downgrade {target} --down-from stored"));
    if !also.is_empty() {
        ways.push(format!("`{}` comes off with it", also.join("`, `")));
    }
    let problem = problem.help(format!("or take it off first ({}), edit it, and upgrade again", ways.join("; ")));
    Some(problem.help("or leave it as it was and write the change as a new revision (`cargo migrate revision`)"))
}

/// The problem of an applied revision whose file is gone.
#[must_use]
pub fn removed(id: &RevisionId, holders: &Holders, folder: &Path) -> Problem {
    let ways = holders.ways_off(id, &format!("delete {id} --downgrade"));
    Problem::new(DELETED, format!("the file of `{id}` is gone, and it is applied to {}", holders.shown))
        .in_file(folder.join(id.file_name()))
        .help("put the file back (`git checkout` of it)")
        .help(format!("then, to be rid of it, run {}", ways.join("; ")))
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
        if sealed(&draft.id).is_some() || sealed(&next.id).is_none_or(|seal| seal == graph.seal(at)) {
            continue;
        }
        let newest = graph.migrations().iter().rev().find(|migration| sealed(&migration.id).is_some());
        let mut problem =
            Problem::new(SLIPPED_IN, format!("`{}` would slip in before `{}`, which is applied", draft.id, next.id))
                .in_file(&draft.path)
                .in_file(&next.path)
                .help(format!(
                    "let it follow what is applied: `-- migrate:parent {}` in its header",
                    newest.unwrap_or(next).id
                ))
                .help("or give the file a name that sorts behind the applied ones");
        if draft.parents != Parents::Implicit {
            let followed = followed(graph, *parent, at, &|id| sealed(id).is_some());
            problem = problem.help(format!(
                "or, where it is to stay where its header says, let `{}` name what it has followed so far: \
                 `-- migrate:parent {followed}` in its header, and then `cargo migrate repair`",
                next.id
            ));
        }
        problems.push(problem);
    }
    problems.len() > before
}

/// What a file that names no parent has followed before a draft stood in between: the applied one before the draft, that
/// does not itself stand on the file.
fn followed(graph: &RevisionGraph, draft: usize, at: usize, sealed: &dyn Fn(&RevisionId) -> bool) -> String {
    let lineage = graph.lineage();
    let before = (0..draft).rev().find(|before| sealed(lineage.id(*before)) && !lineage.with_ancestors(&[*before])[at]);
    before.map_or_else(|| "base".to_owned(), |before| lineage.id(before).to_string())
}
