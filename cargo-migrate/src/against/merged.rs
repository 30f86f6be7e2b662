//! What a merge makes of two sides over their common base, file by file and line by line of the lock.

use std::collections::BTreeSet;

use build_support::checksum::Checksum;
use build_support::graph::RevisionGraph;
use build_support::lock::{Entry, LOCK_CONFLICT, Lock};
use build_support::problem::{Code, Problem, printable};
use build_support::revision::RevisionId;
use build_support::token::Dialect;

use super::side::Side;

/// Both sides have added a file of one name, with different texts.
pub const ADDED_TWICE: Code = Code("added-twice");
/// Both sides have changed a file that was there before.
pub const CHANGED_TWICE: Code = Code("changed-twice");

/// Whose file a merge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// That of the work tree, which may be the same on both sides.
    Ours,
    /// That of the other commit.
    Theirs,
}

/// Whose file of a revision a merge takes; `None` where it has no such file.
pub(super) fn origin(base: Option<Checksum>, ours: Option<Checksum>, theirs: Option<Checksum>) -> Option<Origin> {
    let (mine, other) = (ours.map(|_| Origin::Ours), theirs.map(|_| Origin::Theirs));
    if ours == theirs || base == theirs {
        mine
    } else if base == ours {
        other
    } else {
        // Both have changed it, and git asks a person: what is there is likely to stay.
        mine.or(other)
    }
}

/// The revisions of both sides.
pub(super) fn ids<'a>(ours: &'a RevisionGraph, theirs: &'a Side) -> BTreeSet<&'a RevisionId> {
    ours.lineage().ids().iter().chain(theirs.files.keys()).collect()
}

/// The files of which a merge cannot know which text is meant.
pub(super) fn conflicts(base: &Side, ours: &RevisionGraph, theirs: &Side, reference: &str) -> Vec<Problem> {
    let shown = printable(reference);
    let mut problems = Vec::new();
    for migration in ours.migrations() {
        let (id, before) = (&migration.id, base.checksum(&migration.id));
        let Some(file) = theirs.files.get(id).filter(|file| file.checksum != migration.checksum) else {
            if theirs.files.contains_key(id) || before.is_none_or(|before| before == migration.checksum) {
                continue;
            }
            problems.push(
                Problem::warning(
                    CHANGED_TWICE,
                    format!("this branch has changed `{id}`, and `{shown}` has removed it"),
                )
                .in_file(&migration.path)
                .help("decide in the merge whether it stays"),
            );
            continue;
        };
        let problem = match before {
            None => Problem::new(
                ADDED_TWICE,
                format!("this branch and `{shown}` have both added `{id}`, with different texts"),
            )
            .note("the id is the file's name, and a database that has one of them takes the other for an edited file")
            .help("give the one of this branch another name, where no database has it yet"),
            Some(before) if before != migration.checksum && before != file.checksum => {
                Problem::warning(CHANGED_TWICE, format!("this branch and `{shown}` have both changed `{id}`"))
                    .note("a merge may join the lines of both to something that nobody has tried")
                    .help("look at the file after the merge, and run `cargo migrate check` again")
            }
            Some(_) => continue,
        };
        problems.push(problem.in_file(&migration.path).in_file(&file.path));
    }
    for (id, file) in &theirs.files {
        let changed = base.checksum(id).is_some_and(|before| before != file.checksum);
        if changed && ours.find(id.as_str()).is_none() {
            problems.push(
                Problem::warning(
                    CHANGED_TWICE,
                    format!("`{shown}` has changed `{id}`, and this branch has removed it"),
                )
                .in_file(&file.path)
                .help("decide in the merge whether it stays"),
            );
        }
    }
    problems
}

/// Whose SQL the migrations are in after a merge. There are two, so both sides cannot have changed it to different ones.
pub(super) fn dialect(base: &Lock, ours: &Lock, theirs: &Lock) -> Dialect {
    if ours.dialect() == base.dialect() { theirs.dialect() } else { ours.dialect() }
}

/// The lock after a merge, line by line: what one side alone has changed is as it says. Where both have, a sealed line
/// goes before a draft, and names are joined, as `cargo migrate lock` settles a conflict.
///
/// # Errors
/// [`LOCK_CONFLICT`] where both have sealed a revision, each another text of it.
pub(super) fn lock(base: &Lock, ours: &Lock, theirs: &Lock, shown: &str) -> Result<Lock, Vec<Problem>> {
    let (mut merged, mut problems) = (Lock::default(), Vec::new());
    if let Some(package) = ours.package().or(theirs.package()) {
        merged.set_package(package);
    }
    merged.set_dialect(dialect(base, ours, theirs));
    for id in ours.entries().keys().chain(theirs.entries().keys()).collect::<BTreeSet<_>>() {
        let (before, our, their) = (base.get(id.as_str()), ours.get(id.as_str()), theirs.get(id.as_str()));
        let taken = match () {
            () if our == before => [their, None],
            () if their == before => [our, None],
            () => [our, their],
        };
        if let [Some(Entry::Sealed(one, _)), Some(Entry::Sealed(other, _))] = taken
            && one != other
        {
            problems.push(
                Problem::new(LOCK_CONFLICT, format!("this branch and `{shown}` have sealed different texts of `{id}`"))
                    .help("one of them was edited after it was applied: put its file back, and give the change a new revision"),
            );
            continue;
        }
        for entry in taken.into_iter().flatten() {
            match entry {
                Entry::Draft => merged.add_draft(id.clone()),
                Entry::Sealed(hashes, names) => {
                    names.iter().for_each(|name| merged.seal(id.clone(), *hashes, name));
                }
            }
        }
    }
    if problems.is_empty() { Ok(merged) } else { Err(problems) }
}
