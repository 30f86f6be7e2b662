//! What is wrong with a merged tree.

use std::collections::BTreeMap;
use std::path::Path;

use build_support::directory::Locks;
use build_support::graph::{Lineage, RevisionGraph};
use build_support::migration::{Migration, Parents};
use build_support::problem::{Code, Problem, Severity};
use build_support::revision::RevisionId;
use build_support::token::Dialect;
use build_support::verify::{self, DELETED, EDITED, EDITED_COMMENTS, SLIPPED_IN};

use super::Against;
use super::merged::{self, Origin, origin};
use super::tables;
use crate::app::Opened;
use crate::failure::Result;
use crate::report::suggest::word;

/// The history forks where two branches meet.
pub const FORKED_HEADS: Code = Code("forked-heads");

/// The heads, where there are several and a label does not tell each but one from the others: branches with labels of
/// their own are meant to stay apart.
#[must_use]
pub fn forked(lineage: &Lineage) -> Vec<usize> {
    let heads = lineage.heads();
    let branches: Vec<Vec<bool>> = lineage.labels().iter().map(|(_, at)| lineage.branch(*at)).collect();
    let labelled = |head: &usize| {
        branches.iter().any(|branch| branch[*head] && heads.iter().all(|other| other == head || !branch[*other]))
    };
    let unnamed = heads.iter().filter(|head| !labelled(head)).count();
    if unnamed > 1 { heads } else { Vec::new() }
}

/// A file of this branch as it is read after the merge: the other one may have written down another dialect.
fn read_as(dialect: Dialect, ours: &Migration, opened: &Opened) -> std::result::Result<Migration, Vec<Problem>> {
    if ours.dialect == dialect {
        return Ok(ours.clone());
    }
    let text = opened.directory.text(ours).map_err(|problem| vec![problem])?;
    Migration::parse_as(dialect, ours.id.clone(), &ours.path, &text)
}

impl Against {
    /// What is wrong after the merge. A file that is wrong on this side alone is told here as well, at the same place.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn judge(&self, opened: &Opened) -> Result<Vec<Problem>> {
        let mut problems = self.theirs.problems.clone();
        problems.extend(merged::conflicts(&self.base, &opened.graph, &self.theirs, &self.reference));
        let dialect = merged::dialect(&self.base.lock, &opened.locks.shared, &self.theirs.lock);
        let mut theirs = BTreeMap::new();
        for id in self.theirs.files.keys() {
            match self.their_migration(id, dialect, opened) {
                Ok(migration) => _ = theirs.insert(id.clone(), migration),
                // A file that this branch has mended stays as this branch has it.
                Err(found) if self.origin(id, opened) == Some(Origin::Theirs) => problems.extend(found),
                Err(_) => {}
            }
        }
        let key = opened.project.key();
        let their_graph = RevisionGraph::new(key, theirs.values().cloned().collect()).unwrap_or_default();
        let mut files = Vec::new();
        for id in merged::ids(&opened.graph, &self.theirs) {
            match (self.origin(id, opened), opened.graph.find(id.as_str())) {
                (Some(Origin::Ours), Some(ours)) => match read_as(dialect, ours, opened) {
                    Ok(ours) => files.push(ours),
                    Err(found) => problems.extend(found.into_iter().map(|problem| self.after(problem))),
                },
                (Some(Origin::Theirs), _) => files.extend(theirs.get(id).cloned()),
                (Some(Origin::Ours), None) | (None, _) => {}
            }
        }
        let graph = match RevisionGraph::new(key, files) {
            Ok(graph) => Some(graph),
            Err(found) => {
                problems.extend(found.into_iter().map(|problem| self.after(problem)));
                None
            }
        };
        if let Some(graph) = &graph {
            problems.extend(self.sealed(graph, opened));
            problems.extend(self.slipped(graph, &their_graph, opened));
            problems.extend(self.heads(graph, &their_graph, opened));
        }
        problems.extend(
            self.tables(&tables::Graphs { ours: &opened.graph, theirs: &their_graph, merged: graph.as_ref() }, opened)?,
        );
        Ok(problems)
    }

    /// Whose file the merge takes.
    pub(super) fn origin(&self, id: &RevisionId, opened: &Opened) -> Option<Origin> {
        let ours = opened.graph.find(id.as_str()).map(|migration| migration.checksum);
        origin(self.base.checksum(id), ours, self.theirs.checksum(id))
    }

    /// The revisions that this branch has added.
    pub(super) fn only_ours<'a>(&'a self, opened: &'a Opened) -> impl Iterator<Item = &'a RevisionId> {
        let known = |id: &RevisionId| self.base.files.contains_key(id) || self.theirs.files.contains_key(id);
        opened.graph.lineage().ids().iter().filter(move |id| !known(id))
    }

    /// The revisions that the other one has added.
    pub(super) fn only_theirs<'a>(&'a self, opened: &'a Opened) -> impl Iterator<Item = &'a RevisionId> {
        let known = |id: &RevisionId| self.base.files.contains_key(id) || opened.graph.find(id.as_str()).is_some();
        self.theirs.files.keys().filter(move |id| !known(id))
    }

    fn their_migration(
        &self,
        id: &RevisionId,
        dialect: Dialect,
        opened: &Opened,
    ) -> std::result::Result<Migration, Vec<Problem>> {
        let Some(file) = self.theirs.files.get(id) else { return Err(Vec::new()) };
        let same = |migration: &&Migration| (migration.checksum, migration.dialect) == (file.checksum, dialect);
        match opened.graph.find(id.as_str()).filter(same) {
            Some(same) => Ok(same.clone()),
            None => file.migration(dialect, id),
        }
    }

    /// The merged files against the merged locks.
    fn sealed(&self, graph: &RevisionGraph, opened: &Opened) -> Vec<Problem> {
        let shared = match merged::lock(&self.base.lock, &opened.locks.shared, &self.theirs.lock, &self.reference) {
            Ok(shared) => shared,
            Err(problems) => return problems,
        };
        let locks = Locks { shared, local: opened.locks.local.clone() };
        let found = verify::verify(graph, &locks, opened.directory.shown());
        found.into_iter().map(|problem| self.after(self.whose(problem, opened))).collect()
    }

    /// Says which side has changed a sealed file, and what to do there: the way out of [`verify::verify`] is for the one
    /// who has changed it.
    fn whose(&self, problem: Problem, opened: &Opened) -> Problem {
        let shown = &self.reference;
        let file =
            problem.places().first().and_then(|place| place.path.file_name()).unwrap_or_default().to_string_lossy();
        // At the top of a repository git's `main:a.sql` is all one name.
        let name = file.rsplit(':').next().unwrap_or_default();
        let Some(Ok(id)) = RevisionId::of_file(Path::new(name)) else { return problem };
        let ours = opened.graph.find(id.as_str()).map(|migration| migration.checksum);
        let by_us = ours != self.base.checksum(&id);
        let path = opened.directory.shown().join(id.file_name());
        let (who, there) = if by_us {
            (
                "this branch".to_owned(),
                format!("here: `git checkout {} -- {}`", word(shown), word(&path.to_string_lossy())),
            )
        } else {
            (format!("`{shown}`"), "there".to_owned())
        };
        let (did, instead) = match problem.code() {
            EDITED | EDITED_COMMENTS => {
                ("has edited it", "write the change as a new revision (`cargo migrate revision`)")
            }
            DELETED => ("has removed it", "leave it: a new revision can undo what it does"),
            _ => return problem,
        };
        let mut told = Problem::new(problem.code(), problem.message());
        for place in problem.places() {
            told = told.at(place.clone());
        }
        for note in problem.notes() {
            told = told.note(note);
        }
        told.note(format!("{who} {did} since the two went different ways"))
            .help(format!("put the file back {there}; and {instead}"))
    }

    /// Files of this branch that would come, by their names, before one of the other that names no parent.
    fn slipped(&self, merged: &RevisionGraph, theirs: &RevisionGraph, opened: &Opened) -> Vec<Problem> {
        let mut problems = Vec::new();
        let is_ours = |id: &RevisionId| self.only_ours(opened).any(|ours| ours == id);
        for (at, next) in merged.migrations().iter().enumerate() {
            let [parent] = merged.lineage().parents(at) else { continue };
            let between = merged.migration(*parent);
            let locks = [&opened.locks.shared, &opened.locks.local, &self.theirs.lock];
            let sealed = locks.iter().any(|lock| lock.sealed(next.id.as_str()).is_some());
            // Of the sealed ones the locks have told.
            if next.parents != Parents::Implicit
                || theirs.find(next.id.as_str()).is_none()
                || sealed
                || !is_ours(&between.id)
            {
                continue;
            }
            let last = theirs.lineage().heads().last().map_or(&next.id, |at| theirs.lineage().id(*at)).clone();
            let (new, next_id) = (&between.id, &next.id);
            let problem =
                Problem::new(SLIPPED_IN, format!("`{new}` would slip in before `{next_id}`, which is there already"))
                    .in_file(&between.path)
                    .in_file(&next.path)
                    .note(format!("`{next_id}` names no parent, so it would follow the new file by its name"))
                    .note(format!("whoever has applied `{next_id}` has it without the new one"))
                    .help(format!("let it follow what is there: `-- migrate:parent {last}` in the header of `{new}`"))
                    .help("or give the file a name that sorts behind those");
            problems.push(self.after(problem));
        }
        problems
    }

    /// More heads than either side has alone.
    fn heads(&self, merged: &RevisionGraph, theirs: &RevisionGraph, opened: &Opened) -> Option<Problem> {
        let (lineage, shown) = (merged.lineage(), &self.reference);
        let heads = forked(lineage);
        let (ours, other) = (opened.graph.lineage().heads().len(), theirs.lineage().heads().len());
        if heads.is_empty() || heads.len() <= ours {
            return None;
        }
        if heads.len() <= other {
            let names = ids(lineage, &heads);
            return Some(
                Problem::warning(FORKED_HEADS, format!("`{shown}` has {} heads by itself: {names}", heads.len()))
                    .help("join them there: `cargo migrate merge`"),
            );
        }
        let (mine, others): (Vec<usize>, Vec<usize>) =
            heads.iter().partition(|at| theirs.find(lineage.id(**at).as_str()).is_none());
        let mut problem = Problem::new(
            FORKED_HEADS,
            format!("after the merge with `{shown}` the history has {} heads: {}", heads.len(), ids(lineage, &heads)),
        );
        for at in mine.iter().chain(&others) {
            problem = problem.in_file(&merged.migration(*at).path);
        }
        problem = problem.help("merge the branches, then join the heads: `cargo migrate merge`");
        if let ([mine], [other]) = (&mine[..], &others[..]) {
            let first = self.first_of_branch(lineage, *mine, opened);
            problem = problem.help(format!(
                "or, where no database has `{}` yet, let it follow: `-- migrate:parent {}` in its header",
                lineage.id(first),
                lineage.id(*other)
            ));
        }
        Some(problem)
    }

    /// The first of this branch's own revisions below a head of its own, where they stand in a line.
    fn first_of_branch(&self, lineage: &Lineage, head: usize, opened: &Opened) -> usize {
        let own: Vec<&RevisionId> = self.only_ours(opened).collect();
        let mut first = head;
        while let [parent] = lineage.parents(first)
            && own.contains(&lineage.id(*parent))
        {
            first = *parent;
        }
        first
    }

    /// The same problem as one of the merged tree.
    pub(super) fn after(&self, problem: Problem) -> Problem {
        let message = format!("after the merge with `{}`: {}", self.reference, problem.message());
        let mut told = match problem.severity() {
            Severity::Error => Problem::new(problem.code(), message),
            Severity::Warning => Problem::warning(problem.code(), message),
        };
        for place in problem.places() {
            told = told.at(place.clone());
        }
        for note in problem.notes() {
            told = told.note(note);
        }
        for help in problem.helps() {
            told = told.help(help);
        }
        told
    }
}

fn ids(lineage: &Lineage, found: &[usize]) -> String {
    let names: Vec<String> = found.iter().map(|at| format!("`{}`", lineage.id(*at))).collect();
    names.join(", ")
}
