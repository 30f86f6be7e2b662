//! What the new revisions of both sides do to the same tables.
//!
//! Each side's history is replayed on a database in memory of its own, which tells what the new revisions touch. What
//! both make, what one takes away, and columns that both change cannot go well together; two changes of one table may,
//! and a person should know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use build_support::graph::RevisionGraph;
use build_support::migration::Migration;
use build_support::problem::{Code, Place, Problem, Severity};
use build_support::revision::{RevisionId, listed};
use build_support::token::Dialect;
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::runner::database_problem;

use super::Against;
use crate::app::Opened;
use crate::failure::{Failure, Result};
use crate::footprint::{ColumnDeed, Deed, Footprint, Kind, Replay, Touch, Unplayable, words};
use crate::live;

/// New revisions of both sides touch the same table.
pub const SAME_TABLE: Code = Code("same-table");
/// A statement cannot be replayed in memory, so what it touches is not known.
pub const NOT_REPLAYED: Code = Code("not-replayed");
/// Each side's history can be applied, and that of both together cannot.
pub const MERGE_FAILS: Code = Code("merge-fails");

/// How many files and how many pairs one problem shows.
const SHOWN: usize = 6;

/// The histories that are compared.
pub(super) struct Graphs<'a> {
    pub(super) ours: &'a RevisionGraph,
    pub(super) theirs: &'a RevisionGraph,
    /// `None` where both make no history together.
    pub(super) merged: Option<&'a RevisionGraph>,
}

/// A database on which the revisions have run that all histories start with.
struct Start {
    replay: Replay,
    count: usize,
    /// The first of their statements that SQLite refuses.
    refused: Option<Problem>,
}

/// A new revision with what it touches.
struct Step {
    id: RevisionId,
    path: PathBuf,
    up: Footprint,
    /// What its upgrade and its downgrade touch.
    all: Footprint,
}

/// The pairs of revisions, one of each side, that get into each other's way at one object.
#[derive(Default)]
struct Clash<'a> {
    ours: Vec<&'a Step>,
    theirs: Vec<&'a Step>,
    /// What each pair does there.
    whys: Vec<String>,
}

impl<'a> Clash<'a> {
    fn add(&mut self, one: &'a Step, two: &'a Step, why: String) {
        for (steps, step) in [(&mut self.ours, one), (&mut self.theirs, two)] {
            if steps.iter().all(|known| known.id != step.id) {
                steps.push(step);
            }
        }
        self.whys.push(why);
    }
}

impl Against {
    /// The pairs of new revisions, one of each side, that touch the same.
    pub(super) fn tables(&self, graphs: &Graphs<'_>, opened: &Opened) -> Result<Vec<Problem>> {
        let ours: BTreeSet<&RevisionId> = self.only_ours(opened).collect();
        let theirs: BTreeSet<&RevisionId> = self.only_theirs(opened).collect();
        if ours.is_empty() || theirs.is_empty() {
            return Ok(Vec::new());
        }
        if opened.locks.shared.dialect() == Dialect::Postgres {
            let (mine, other) =
                (self.by_words(graphs.ours, &ours, opened)?, self.by_words(graphs.theirs, &theirs, opened)?);
            return Ok(self.clashes(&mine, &other));
        }
        let start = self.start(graphs, opened)?;
        let (mine, refused) = self.replay(&start, graphs.ours, &ours, opened)?;
        let (other, again) = self.replay(&start, graphs.theirs, &theirs, opened)?;
        let mut problems: Vec<Problem> = refused.into_iter().collect();
        // What stands in both histories is told once.
        problems.extend(again.filter(|again| problems.iter().all(|known| known.places() != again.places())));
        let whole = problems.is_empty();
        problems.extend(self.clashes(&mine, &other));
        let may_run = whole && problems.iter().all(|problem| problem.severity() == Severity::Warning);
        if let Some(graph) = graphs.merged.filter(|_| may_run) {
            let (_, refused) = self.replay(&start, graph, &BTreeSet::new(), opened)?;
            problems.extend(refused.map(|refused| self.fails(&refused)));
        }
        Ok(problems)
    }

    /// What new revisions for a server touch, which cannot be replayed in memory.
    fn by_words(&self, graph: &RevisionGraph, new: &BTreeSet<&RevisionId>, opened: &Opened) -> Result<Vec<Step>> {
        let migrations = graph.migrations().iter().filter(|migration| new.contains(&migration.id));
        let step = |migration: &Migration| {
            let text = self.text(migration, opened)?;
            let up = words::of(&text, migration.up.clone());
            let mut all = up.clone();
            all.extend(words::of(&text, migration.down.clone().unwrap_or_default()));
            Ok(Step { id: migration.id.clone(), path: migration.path.clone(), up, all })
        };
        migrations.map(step).collect()
    }

    /// Replays what all histories start with, which is most of a long one, once.
    fn start(&self, graphs: &Graphs<'_>, opened: &Opened) -> Result<Start> {
        let in_order = |graph: &RevisionGraph| -> Vec<Migration> {
            graph.lineage().order().iter().map(|at| graph.migration(*at).clone()).collect()
        };
        let (ours, theirs) = (in_order(graphs.ours), in_order(graphs.theirs));
        let merged = graphs.merged.map_or_else(|| ours.clone(), in_order);
        let same = |one: &Migration, two: &Migration| (&one.id, one.checksum) == (&two.id, two.checksum);
        let all = ours.iter().zip(&theirs).zip(&merged);
        let count = all.take_while(|((one, two), three)| same(one, two) && same(one, three)).count();
        let mut start =
            Start { replay: Replay::new(live::file::in_memory()?).map_err(unusable)?, count, refused: None };
        for migration in &ours[..count] {
            let text = self.text(migration, opened)?;
            let refused = start.replay.run(&text, migration.up.clone());
            start.refused = start.refused.or_else(|| first(refused, migration, &text));
        }
        Ok(start)
    }

    /// Replays the rest of a history; gives what the revisions in `new` touch, and the first statement that SQLite
    /// refuses.
    fn replay(
        &self,
        start: &Start,
        graph: &RevisionGraph,
        new: &BTreeSet<&RevisionId>,
        opened: &Opened,
    ) -> Result<(Vec<Step>, Option<Problem>)> {
        let mut replay = start.replay.copy(live::file::in_memory()?).map_err(unusable)?;
        let (mut steps, mut texts, mut problem) = (Vec::new(), Vec::new(), start.refused.clone());
        for at in graph.lineage().order().iter().skip(start.count) {
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

    /// One problem for each object, for however many pairs: what cannot go together first.
    fn clashes(&self, ours: &[Step], theirs: &[Step]) -> Vec<Problem> {
        let mut clashes: BTreeMap<(bool, Kind, &str), Clash<'_>> = BTreeMap::new();
        for (one, two) in ours.iter().flat_map(|one| theirs.iter().map(move |two| (one, two))) {
            for (kind, name, all) in one.all.touches() {
                let Some(other) = two.all.of(kind, name) else { continue };
                let none = Touch::default();
                let up = [one, two].map(|step| step.up.of(kind, name).unwrap_or(&none));
                let names = [&one.id, &two.id].map(|id| format!("`{id}`"));
                let (may_go, why) = match refusal(up, &names) {
                    Some(why) => (false, why),
                    None if all.changes() || other.changes() => (true, told([all, other], &names)),
                    None => continue,
                };
                clashes.entry((may_go, kind, name)).or_default().add(one, two, why);
            }
        }
        clashes.into_iter().map(|((may_go, kind, name), clash)| self.clash(may_go, kind, name, &clash)).collect()
    }

    fn clash(&self, may_go: bool, kind: Kind, name: &str, clash: &Clash<'_>) -> Problem {
        let shown = &self.reference;
        let ids = |steps: &[&Step]| listed(&steps.iter().map(|step| &step.id).collect::<Vec<_>>());
        let (ours, theirs) = (ids(&clash.ours), ids(&clash.theirs));
        let message = format!("{ours} and {theirs} of `{shown}` both touch the {} `{name}`", kind.word());
        let mut problem =
            if may_go { Problem::warning(SAME_TABLE, message) } else { Problem::new(SAME_TABLE, message) };
        for step in clash.ours.iter().chain(&clash.theirs).take(SHOWN) {
            problem = problem.in_file(&step.path);
        }
        for why in clash.whys.iter().take(SHOWN) {
            problem = problem.note(why);
        }
        if clash.whys.len() > SHOWN {
            problem = problem.note(format!("and {} more pairs", clash.whys.len() - SHOWN));
        }
        problem.help(format!(
            "merge `{shown}` into this branch, and see that what is new here does right after what is new there; the order \
             is in the header: `-- migrate:parent ID`"
        ))
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

fn unusable(error: rusqlite::Error) -> Failure {
    database_problem(&DatabaseError::from(error)).into()
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
    let words = |touch: &Touch| {
        touch
            .deeds
            .iter()
            .filter(|deed| **deed != Deed::Erase)
            .map(|deed| word(*deed))
            .collect::<Vec<_>>()
            .join(" and ")
    };
    format!("up and down, {} {} it, {} {} it", names[0], words(all[0]), names[1], words(all[1]))
}

fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Create => "makes",
        Deed::Drop => "drops",
        Deed::Alter => "alters",
        Deed::Write | Deed::Erase => "writes",
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
