//! What the new revisions of both sides do to the same tables.
//!
//! Each side's history is replayed on a database in memory of its own, which tells what the new revisions touch. What
//! both make, what one takes away, and columns that both change cannot go well together; two changes of one table may,
//! and a person should know of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::problem::{Code, Place, Problem, Severity};
use build_support::revision::RevisionId;
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::runner::database_problem;

use super::Against;
use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::footprint::{ColumnDeed, Deed, Footprint, Replay, Touch, Unplayable};
use crate::live;

/// New revisions of both sides touch the same table.
pub const SAME_TABLE: Code = Code("same-table");
/// A statement cannot be replayed in memory, so what it touches is not known.
pub const NOT_REPLAYED: Code = Code("not-replayed");
/// Each side's history can be applied, and that of both together cannot.
pub const MERGE_FAILS: Code = Code("merge-fails");

/// The histories that are compared.
pub(super) struct Graphs<'a> {
    pub(super) ours: &'a RevisionGraph,
    pub(super) theirs: &'a RevisionGraph,
    /// `None` where both make no history together.
    pub(super) merged: Option<&'a RevisionGraph>,
}

/// A new revision with what it touches.
struct Step {
    id: RevisionId,
    path: PathBuf,
    up: Footprint,
    /// What its upgrade and its downgrade touch.
    all: Footprint,
}

impl Against {
    /// The pairs of new revisions, one of each side, that touch the same.
    pub(super) fn tables(&self, graphs: &Graphs<'_>, opened: &Opened) -> Result<Vec<Problem>> {
        let ours: BTreeSet<&RevisionId> = self.only_ours(opened).collect();
        let theirs: BTreeSet<&RevisionId> = self.only_theirs(opened).collect();
        if ours.is_empty() || theirs.is_empty() {
            return Ok(Vec::new());
        }
        let (mine, refused) = self.replay(graphs.ours, &ours, opened)?;
        let (other, again) = self.replay(graphs.theirs, &theirs, opened)?;
        let mut problems: Vec<Problem> = refused.into_iter().collect();
        // What stands in both histories is told once.
        problems.extend(again.filter(|again| problems.iter().all(|known| known.places() != again.places())));
        let whole = problems.is_empty();
        for one in &mine {
            problems.extend(other.iter().flat_map(|two| self.clashes(one, two)));
        }
        let may_run = whole && problems.iter().all(|problem| problem.severity() == Severity::Warning);
        if let Some(graph) = graphs.merged.filter(|_| may_run) {
            let (_, refused) = self.replay(graph, &BTreeSet::new(), opened)?;
            problems.extend(refused.map(|refused| self.fails(&refused)));
        }
        Ok(problems)
    }

    /// Replays a history; gives what the revisions in `new` touch, and the first statement that SQLite refuses.
    fn replay(
        &self,
        graph: &RevisionGraph,
        new: &BTreeSet<&RevisionId>,
        opened: &Opened,
    ) -> Result<(Vec<Step>, Option<Problem>)> {
        let unusable = |error| Failure::from(database_problem(&DatabaseError::from(error)));
        let mut replay = Replay::new(live::in_memory()?).map_err(unusable)?;
        let (mut steps, mut texts, mut problem) = (Vec::new(), Vec::new(), None);
        for at in graph.lineage().order() {
            let migration = graph.migration(*at);
            let text = self.text(migration, opened)?;
            let refused = if new.contains(&migration.id) {
                let (up, refused) = replay.record(&text, migration.up.clone());
                steps.push(Step { id: migration.id.clone(), path: migration.path.clone(), all: up.clone(), up });
                texts.push((migration, text.clone()));
                refused
            } else {
                replay.run(&text, migration.up.clone())
            };
            problem = problem.or_else(|| first(refused, migration, &text));
        }
        for (step, (migration, text)) in steps.iter_mut().zip(&texts).rev() {
            let (down, refused) = replay.record(text, migration.down.clone().unwrap_or_default());
            step.all.extend(down);
            problem = problem.or_else(|| first(refused, migration, text));
        }
        Ok((steps, problem))
    }

    /// The text of a migration of either side.
    fn text(&self, migration: &Migration, opened: &Opened) -> Result<String> {
        match self.theirs.files.get(&migration.id).filter(|file| file.checksum == migration.checksum) {
            Some(file) => Ok(file.text.clone()),
            None => Ok(opened.directory.text(migration)?),
        }
    }

    fn clashes(&self, one: &Step, two: &Step) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (kind, name, all) in one.all.touches() {
            let Some(other) = two.all.of(kind, name) else { continue };
            let none = Touch::default();
            let up = [one, two].map(|step| step.up.of(kind, name).unwrap_or(&none));
            let names = [&one.id, &two.id].map(|id| format!("`{id}`"));
            let message = format!(
                "{} and {} of `{}` both touch the {} `{name}`",
                names[0],
                names[1],
                self.reference,
                kind.word()
            );
            let problem = if let Some(why) = refusal(up, &names) {
                Problem::new(SAME_TABLE, message).note(why)
            } else if all.changes() || other.changes() {
                Problem::warning(SAME_TABLE, message).note(told([all, other], &names))
            } else {
                continue;
            };
            problems.push(problem.in_file(&one.path).in_file(&two.path).help(format!(
                "merge `{}` into this branch, and see that {} does right after {}: `-- migrate:parent {}` in its header",
                self.reference, names[0], names[1], two.id
            )));
        }
        problems
    }

    fn fails(&self, refused: &Problem) -> Problem {
        let mut problem = Problem::new(
            MERGE_FAILS,
            format!(
                "after the merge with `{}` the history cannot be applied, though that of each side can",
                self.reference
            ),
        );
        for place in refused.places() {
            problem = problem.at(place.clone());
        }
        problem.help(format!(
            "merge `{}` into this branch, and write what is new here for what is new there",
            self.reference
        ))
    }
}

/// Why two upgrades cannot go together, where they cannot whatever the order.
fn refusal(up: [&Touch; 2], names: &[String; 2]) -> Option<String> {
    let [one, two] = up;
    let does = |touch: &Touch, deed| touch.deeds.contains(&deed);
    for (this, other, name) in [(one, two, &names[0]), (two, one, &names[1])] {
        if does(this, Deed::Drop) && !other.deeds.is_empty() {
            return Some(format!("{name} takes it away or builds it anew, without what the other one does to it"));
        }
    }
    if does(one, Deed::Create) && does(two, Deed::Create) {
        return Some("both make it".to_owned());
    }
    let shaped = |deeds: &BTreeSet<ColumnDeed>| deeds.contains(&ColumnDeed::Add) || deeds.contains(&ColumnDeed::Drop);
    let clash = one.columns.iter().find(|(column, deeds)| {
        let Some(other) = two.columns.get(*column) else { return false };
        let both_write = deeds.contains(&ColumnDeed::Update) && other.contains(&ColumnDeed::Update);
        shaped(deeds) || shaped(other) || both_write
    });
    let (column, deeds) = clash?;
    let words =
        |deeds: &BTreeSet<ColumnDeed>| deeds.iter().map(|deed| column_word(*deed)).collect::<Vec<_>>().join(" and ");
    let other = two.columns.get(column).map(&words).unwrap_or_default();
    Some(format!("both touch its column `{column}`: {} {} it, {} {other} it", names[0], words(deeds), names[1]))
}

/// What each of two revisions does, up and down.
fn told(all: [&Touch; 2], names: &[String; 2]) -> String {
    let words = |touch: &Touch| touch.deeds.iter().map(|deed| word(*deed)).collect::<Vec<_>>().join(" and ");
    format!("up and down, {} {} it, {} {} it", names[0], words(all[0]), names[1], words(all[1]))
}

fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Create => "makes",
        Deed::Drop => "drops",
        Deed::Alter => "alters",
        Deed::Write => "writes",
        Deed::Read => "reads",
    }
}

fn column_word(deed: ColumnDeed) -> &'static str {
    match deed {
        ColumnDeed::Add => "adds",
        ColumnDeed::Drop => "drops",
        ColumnDeed::Update => "writes",
        ColumnDeed::Read => "reads",
    }
}

/// The first of the statements that were refused, at its place.
fn first(refused: Vec<Unplayable>, migration: &Migration, text: &str) -> Option<Problem> {
    let refused = refused.into_iter().next()?;
    let place = Place::span(&migration.path, text, refused.span).label(refused.message);
    let problem =
        Problem::warning(NOT_REPLAYED, "this statement cannot be tried in memory, so it is not known what it touches");
    Some(problem.at(place).help("see for yourself that it goes together with what is new on the other branch"))
}
