//! The revision graph: which revision follows which.
//!
//! [`Lineage`] is the bare graph, made from files or from a database's rows alike; [`RevisionGraph`] is the one that
//! a folder of migrations makes, with its seals. A *head* is a revision that no other names as its parent; this is
//! the one definition, used everywhere.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::checksum::{Seal, SealedDependency};
use crate::migration::{Dependency, Migration, Parents};
use crate::problem::{Code, Problem, nearest};
use crate::revision::RevisionId;

/// Two files with the same revision id.
pub const DUPLICATE_ID: Code = Code("duplicate-id");
/// Two revisions with the same label.
pub const DUPLICATE_LABEL: Code = Code("duplicate-label");
/// A parent or dependency that is in no file.
pub const MISSING_PARENT: Code = Code("missing-parent");
/// Revisions that follow one another in a circle.
pub const CYCLE: Code = Code("cycle");

/// One revision of a [`Lineage`].
#[derive(Clone, Debug)]
pub struct Node {
    /// Its id.
    pub id: RevisionId,
    /// Its parents' ids; those that are not in the lineage are passed over.
    pub parents: Vec<RevisionId>,
    /// Its dependencies within the package; those that are not in the lineage are passed over.
    pub depends: Vec<RevisionId>,
    /// The labels given to it.
    pub labels: Vec<String>,
}

/// Revisions and the edges between them. Revisions are named by their index in [`Lineage::ids`].
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    ids: Vec<RevisionId>,
    index: HashMap<RevisionId, usize>,
    parents: Vec<Vec<usize>>,
    depends: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    labels: Vec<(String, usize)>,
    order: Vec<usize>,
}

impl Lineage {
    /// Makes the graph.
    ///
    /// # Errors
    /// The indices of a circle in `nodes`, each one the parent or dependency of the one before it.
    pub fn new(nodes: Vec<Node>) -> Result<Self, Vec<usize>> {
        let mut lineage = Self {
            index: nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect(),
            children: vec![Vec::new(); nodes.len()],
            dependents: vec![Vec::new(); nodes.len()],
            ..Self::default()
        };
        for (at, node) in nodes.into_iter().enumerate() {
            let known = |ids: &[RevisionId]| -> Vec<usize> {
                ids.iter().filter_map(|id| lineage.index.get(id).copied()).collect()
            };
            let (parents, depends) = (known(&node.parents), known(&node.depends));
            for parent in &parents {
                lineage.children[*parent].push(at);
            }
            for dependency in &depends {
                lineage.dependents[*dependency].push(at);
            }
            lineage.labels.extend(node.labels.into_iter().map(|label| (label, at)));
            lineage.ids.push(node.id);
            lineage.parents.push(parents);
            lineage.depends.push(depends);
        }
        lineage.sort()?;
        Ok(lineage)
    }

    /// Kahn's algorithm; among revisions that may come next, the one with the smallest id comes first, so that the
    /// order of a graph never depends on how it was read.
    fn sort(&mut self) -> Result<(), Vec<usize>> {
        let mut missing: Vec<usize> = (0..self.ids.len()).map(|at| self.needs(at).count()).collect();
        let ready = (0..self.ids.len()).filter(|at| missing[*at] == 0);
        let mut heap: BinaryHeap<Reverse<(&RevisionId, usize)>> =
            ready.map(|at| Reverse((&self.ids[at], at))).collect();
        let mut order = Vec::with_capacity(self.ids.len());
        while let Some(Reverse((_, at))) = heap.pop() {
            order.push(at);
            for next in self.needed_by(at) {
                missing[next] -= 1;
                if missing[next] == 0 {
                    heap.push(Reverse((&self.ids[next], next)));
                }
            }
        }
        if order.len() == self.ids.len() {
            self.order = order;
            return Ok(());
        }
        // Every revision left has a need that is left too, so walking from need to need must come back.
        let mut at = missing.iter().position(|count| *count > 0).unwrap_or_default();
        let mut walked = Vec::new();
        let mut seen = vec![false; self.ids.len()];
        while !std::mem::replace(&mut seen[at], true) {
            walked.push(at);
            at = self.needs(at).find(|need| missing[*need] > 0).unwrap_or(at);
        }
        let start = walked.iter().position(|seen| *seen == at).unwrap_or_default();
        Err(walked.split_off(start))
    }

    /// All revisions' ids.
    #[must_use]
    pub fn ids(&self) -> &[RevisionId] {
        &self.ids
    }

    /// How many revisions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no revision.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The index of an id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The id at an index.
    #[must_use]
    pub fn id(&self, at: usize) -> &RevisionId {
        &self.ids[at]
    }

    /// The order in which revisions are applied: parents and dependencies first.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The revisions that this one follows.
    #[must_use]
    pub fn parents(&self, at: usize) -> &[usize] {
        &self.parents[at]
    }

    /// The revisions that follow this one.
    #[must_use]
    pub fn children(&self, at: usize) -> &[usize] {
        &self.children[at]
    }

    /// The labels and the revisions that they were given to.
    #[must_use]
    pub fn labels(&self) -> &[(String, usize)] {
        &self.labels
    }

    /// Parents and dependencies.
    pub fn needs(&self, at: usize) -> impl Iterator<Item = usize> {
        self.parents[at].iter().chain(&self.depends[at]).copied()
    }

    /// Children and the revisions that depend on this one.
    pub fn needed_by(&self, at: usize) -> impl Iterator<Item = usize> {
        self.children[at].iter().chain(&self.dependents[at]).copied()
    }

    /// The revisions that nothing follows, by id.
    #[must_use]
    pub fn heads(&self) -> Vec<usize> {
        self.sorted((0..self.len()).filter(|at| self.children[*at].is_empty()))
    }

    /// The revisions that follow nothing, by id.
    #[must_use]
    pub fn bases(&self) -> Vec<usize> {
        self.sorted((0..self.len()).filter(|at| self.parents[*at].is_empty()))
    }

    fn sorted(&self, revisions: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut found: Vec<usize> = revisions.collect();
        found.sort_by_key(|at| &self.ids[*at]);
        found
    }

    /// The revisions themselves and all that they stand on, dependencies included.
    #[must_use]
    pub fn with_ancestors(&self, revisions: &[usize]) -> Vec<bool> {
        self.reach(revisions, |at| self.needs(at).collect())
    }

    /// The revisions themselves and all that stands on them, dependents included.
    #[must_use]
    pub fn with_descendants(&self, revisions: &[usize]) -> Vec<bool> {
        self.reach(revisions, |at| self.needed_by(at).collect())
    }

    /// What a label covers: its revision, all descendants, and the ancestors back to the last branch point.
    #[must_use]
    pub fn branch(&self, from: usize) -> Vec<bool> {
        let mut covered = self.reach(&[from], |at| self.children[at].clone());
        let mut at = from;
        while let [parent] = self.parents[at][..] {
            if self.children[parent].len() > 1 {
                break;
            }
            covered[parent] = true;
            at = parent;
        }
        covered
    }

    fn reach(&self, from: &[usize], next: impl Fn(usize) -> Vec<usize>) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        let mut queue: VecDeque<usize> = from.iter().copied().collect();
        while let Some(at) = queue.pop_front() {
            if !std::mem::replace(&mut reached[at], true) {
                queue.extend(next(at));
            }
        }
        reached
    }

    /// The heads among some revisions: those that no other of them follows.
    #[must_use]
    pub fn heads_among(&self, within: &[bool]) -> Vec<usize> {
        self.sorted((0..self.len()).filter(|at| within[*at] && !self.children[*at].iter().any(|child| within[*child])))
    }
}

/// The graph of a folder's migrations.
#[derive(Clone, Debug, Default)]
pub struct RevisionGraph {
    lineage: Lineage,
    migrations: Vec<Migration>,
    seals: Vec<Seal>,
}

impl RevisionGraph {
    /// Makes the graph of a package's migrations.
    ///
    /// # Errors
    /// Ids used twice, labels used twice, missing parents, circles: all of them, each with the files named.
    pub fn new(package: &str, mut migrations: Vec<Migration>) -> Result<Self, Vec<Problem>> {
        migrations.sort_by(|a, b| a.id.cmp(&b.id));
        let mut problems = duplicates(&migrations);
        let late = latest_named(&migrations);
        let nodes: Vec<Node> = (0..migrations.len())
            .map(|at| {
                let migration = &migrations[at];
                let parents = match &migration.parents {
                    Parents::Named(ids) => ids.clone(),
                    Parents::Base => Vec::new(),
                    // One that follows a later file was merged late: it is not what this file came after.
                    Parents::Implicit => {
                        let before = (0..at).rev().find(|before| late[*before] < at);
                        before.map(|before| migrations[before].id.clone()).into_iter().collect()
                    }
                };
                let depends =
                    migration.depends.iter().filter(|on| is_here(package, on)).map(|on| on.id.clone()).collect();
                Node { id: migration.id.clone(), parents, depends, labels: migration.labels.clone() }
            })
            .collect();
        problems.extend(missing(&migrations, &nodes));
        if !problems.is_empty() {
            return Err(problems);
        }
        let lineage = Lineage::new(nodes).map_err(|circle| vec![cycle(&migrations, &circle)])?;
        let seals = seals(package, &lineage, &migrations);
        Ok(Self { lineage, migrations, seals })
    }

    /// The bare graph; its indices are those of [`RevisionGraph::migrations`].
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The migrations by id.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The migration at an index.
    #[must_use]
    pub fn migration(&self, at: usize) -> &Migration {
        &self.migrations[at]
    }

    /// The seal at an index.
    #[must_use]
    pub fn seal(&self, at: usize) -> Seal {
        self.seals[at]
    }

    /// The migration with an id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Migration> {
        self.lineage.find(id).map(|at| &self.migrations[at])
    }
}

/// For each file the last one, by name, that it follows through named parents.
fn latest_named(migrations: &[Migration]) -> Vec<usize> {
    let index: HashMap<&str, usize> =
        migrations.iter().enumerate().map(|(at, migration)| (migration.id.as_str(), at)).collect();
    let mut latest = vec![0; migrations.len()];
    // Parents mostly sort before their children, so this settles after two rounds. A tangle that it doesn't settle
    // for is left to the search for circles.
    for round in 0..64 {
        let mut settled = true;
        for step in 0..migrations.len() {
            let at = if round % 2 == 0 { step } else { migrations.len() - 1 - step };
            let Parents::Named(parents) = &migrations[at].parents else { continue };
            let found = parents.iter().filter_map(|id| index.get(id.as_str()));
            let last = found.map(|parent| latest[*parent].max(*parent)).max().unwrap_or_default();
            if last > latest[at] {
                latest[at] = last;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    latest
}

fn is_here(package: &str, dependency: &Dependency) -> bool {
    dependency.package.as_deref().is_none_or(|named| named == package)
}

fn duplicates(migrations: &[Migration]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ids: HashMap<String, &Migration> = HashMap::new();
    let mut labels: HashMap<&str, &Migration> = HashMap::new();
    for migration in migrations {
        if let Some(other) = ids.insert(migration.id.as_str().to_lowercase(), migration) {
            problems.push(
                Problem::new(DUPLICATE_ID, format!("two files have the revision id `{}`", migration.id))
                    .in_file(&migration.path)
                    .in_file(&other.path)
                    .note("ids that differ in upper and lower case alone are the same file on some systems")
                    .help("rename one of the files"),
            );
        }
        for label in &migration.labels {
            if let Some(other) = labels.insert(label, migration) {
                problems.push(
                    Problem::new(DUPLICATE_LABEL, format!("two revisions have the label `{label}`"))
                        .at(migration.directive_place("label"))
                        .at(other.directive_place("label"))
                        .help("give one of them another label"),
                );
            }
        }
    }
    problems
}

fn missing(migrations: &[Migration], nodes: &[Node]) -> Vec<Problem> {
    let known: HashMap<&str, ()> = nodes.iter().map(|node| (node.id.as_str(), ())).collect();
    let mut problems = Vec::new();
    for (migration, node) in migrations.iter().zip(nodes) {
        for (word, ids) in [("parent", &node.parents), ("depends", &node.depends)] {
            for id in ids.iter().filter(|id| !known.contains_key(id.as_str())) {
                let what = if word == "parent" { "parent" } else { "dependency" };
                let mut problem =
                    Problem::new(MISSING_PARENT, format!("the {what} `{id}` of `{}` is in no file", migration.id))
                        .at(migration.directive_place(word));
                let folder = migration.path.parent().unwrap_or(&migration.path);
                problem = problem.in_file(folder.join(id.file_name()));
                problem =
                    match nearest(id.as_str(), known.keys().copied().filter(|known| *known != migration.id.as_str())) {
                        Some(near) => problem.help(format!("did you mean `{near}`?")),
                        None => problem,
                    };
                problems
                    .push(problem.help(format!("bring the file `{}` back, or name another {what}", id.file_name())));
            }
        }
    }
    problems
}

fn cycle(migrations: &[Migration], circle: &[usize]) -> Problem {
    // A person looks at a few of them; a circle can lead through the whole history.
    const SHOWN: usize = 12;
    let mut drawn: Vec<&str> = circle.iter().rev().map(|at| migrations[*at].id.as_str()).collect();
    drawn.extend(drawn.first().copied());
    if drawn.len() > SHOWN {
        drawn.splice(SHOWN / 2..drawn.len() - SHOWN / 2, ["…"]);
    }
    let mut problem = Problem::new(CYCLE, "these revisions follow one another in a circle")
        .note(drawn.join(" -> "))
        .help("name another parent in one of the files");
    if circle.len() > SHOWN {
        problem = problem.note(format!("the circle leads through {} files", circle.len()));
    }
    for at in circle.iter().take(SHOWN) {
        let migration = &migrations[*at];
        problem = problem.at(migration.directive_place(if migration.parents == Parents::Implicit {
            "depends"
        } else {
            "parent"
        }));
    }
    problem
}

fn seals(package: &str, lineage: &Lineage, migrations: &[Migration]) -> Vec<Seal> {
    let mut seals: Vec<Option<Seal>> = vec![None; migrations.len()];
    for &at in lineage.order() {
        let migration = &migrations[at];
        let parents: Vec<Seal> = lineage.parents(at).iter().filter_map(|parent| seals[*parent]).collect();
        let elsewhere: Vec<String> = migration.depends.iter().map(ToString::to_string).collect();
        let depends: Vec<SealedDependency<'_>> = migration
            .depends
            .iter()
            .zip(&elsewhere)
            .map(|(dependency, text)| {
                let here = is_here(package, dependency).then(|| lineage.find(dependency.id.as_str())).flatten();
                match here.and_then(|at| seals[at]) {
                    Some(seal) => SealedDependency::Here(seal),
                    None => SealedDependency::Elsewhere(text),
                }
            })
            .collect();
        seals[at] = Some(Seal::of(&migration.id, &migration.statements, parents.into_iter(), depends.into_iter()));
    }
    // The order holds every revision once, so none is left out.
    seals.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn graph(files: &[(&str, &str)]) -> Result<RevisionGraph, Vec<Problem>> {
        let migrations = files.iter().map(|(id, header)| {
            let path = format!("m/{id}.sql");
            Migration::parse(
                RevisionId::new(id).unwrap(),
                Path::new(&path),
                &format!("{header}\n-- migrate:up\nSELECT '{id}';\n"),
            )
            .unwrap()
        });
        RevisionGraph::new("app", migrations.collect())
    }

    fn names(graph: &RevisionGraph, indices: &[usize]) -> Vec<String> {
        indices.iter().map(|at| graph.lineage().id(*at).to_string()).collect()
    }

    #[test]
    fn files_without_parents_follow_one_another() {
        let g = graph(&[("c", ""), ("a", ""), ("b", "")]).unwrap();
        assert_eq!(names(&g, g.lineage().order()), ["a", "b", "c"]);
        assert_eq!(names(&g, &g.lineage().heads()), ["c"]);
        assert_eq!(names(&g, &g.lineage().bases()), ["a"]);
    }

    #[test]
    fn a_late_merged_revision_of_an_earlier_date_stands_where_its_parent_says() {
        let g = graph(&[("a", ""), ("b", "-- migrate:parent c"), ("c", "-- migrate:parent a")]).unwrap();
        assert_eq!(names(&g, g.lineage().order()), ["a", "c", "b"]);
    }

    #[test]
    fn a_late_merged_revision_does_not_come_between_files_that_name_no_parent() {
        let before = graph(&[("a", ""), ("d", "")]).unwrap();
        let after = graph(&[
            ("a", ""),
            ("b", "-- migrate:parent d"),
            ("c", "-- migrate:parent b"),
            ("d", ""),
            ("e", "-- migrate:parent c"),
        ])
        .unwrap();
        assert_eq!(names(&after, after.lineage().order()), ["a", "d", "b", "c", "e"]);
        assert_eq!(after.seal(3), before.seal(1));
    }

    #[test]
    fn dependencies_order_across_branches_and_leave_heads_alone() {
        let g =
            graph(&[("a", "-- migrate:parent base\n-- migrate:depends b"), ("b", "-- migrate:parent base")]).unwrap();
        assert_eq!(names(&g, g.lineage().order()), ["b", "a"]);
        assert_eq!(names(&g, &g.lineage().heads()), ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_names_both_files() {
        let problem =
            format!("{:?}", graph(&[("a", "-- migrate:parent b"), ("b", "-- migrate:parent a")]).unwrap_err()[0]);
        assert!(problem.contains("circle") && problem.contains("a -> b"), "{problem}");
        let problems = graph(&[("a", ""), ("b", "-- migrate:parent zzz")]).unwrap_err();
        assert_eq!(problems[0].places().len(), 2);
        let problems = graph(&[("a", ""), ("A", "")]).unwrap_err();
        assert_eq!((problems[0].code(), problems[0].places().len()), (DUPLICATE_ID, 2));
        assert_eq!(graph(&[("a", "-- migrate:parent a")]).unwrap_err()[0].code(), CYCLE);
    }

    #[test]
    fn a_long_circle_is_told_briefly() {
        let files: Vec<_> =
            (0..2000).map(|at| (format!("r{at:04}"), format!("-- migrate:parent r{:04}", (at + 1) % 2000))).collect();
        let files: Vec<_> = files.iter().map(|(id, header)| (id.as_str(), header.as_str())).collect();
        let problem = graph(&files).unwrap_err().remove(0);
        assert_eq!((problem.code(), problem.places().len()), (CYCLE, 12));
        assert!(problem.notes()[0].len() < 200 && problem.notes()[1].contains("2000"), "{problem:?}");
    }

    #[test]
    fn a_seal_covers_the_ancestors() {
        let one = graph(&[("a", ""), ("b", "")]).unwrap();
        let other = graph(&[("a", "-- migrate:no-transaction"), ("b", "")]).unwrap();
        assert_ne!(one.seal(1), other.seal(1));
        let commented = graph(&[("a", "-- words"), ("b", "")]).unwrap();
        assert_eq!(one.seal(1), commented.seal(1));
    }

    #[test]
    fn a_branch_reaches_back_to_its_fork() {
        let g = graph(&[("a", ""), ("b", ""), ("c", ""), ("x", "-- migrate:parent a")]).unwrap();
        let covered = g.lineage().branch(g.lineage().find("c").unwrap());
        assert_eq!(covered, [false, true, true, false]);
    }
}
