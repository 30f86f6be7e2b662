//! Several packages that share one database: their revisions as one order, and plans over all of them.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use build_support::graph::{CYCLE, RevisionGraph};
use build_support::problem::{Code, Problem, nearest};
use build_support::revision::RevisionId;

use super::{Plan, Step, coming_off, downgrade_of, missing_dependencies, pending, upgrade_step};
use crate::history::{AppliedRevision, History};

/// A dependency on a revision that its package does not have.
pub const MISSING_DEPENDENCY: Code = Code("missing-dependency");
/// Two packages of one key.
pub const DUPLICATE_PACKAGE: Code = Code("duplicate-package");

/// A package's revisions under its key.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// The key in the version table.
    pub key: &'a str,
    /// The revisions.
    pub graph: &'a RevisionGraph,
}

/// A revision: the place of its package among [`Packages::all`], and its index in that package's graph.
pub type At = (usize, usize);

/// The packages that share a database, and the one order in which their revisions are applied.
#[derive(Clone, Debug)]
pub struct Packages<'a> {
    all: Vec<Package<'a>>,
    order: Vec<At>,
    /// For each revision what it needs of other packages, and what of other packages needs it.
    needs: HashMap<At, Vec<At>>,
    needed_by: HashMap<At, Vec<At>>,
}

impl<'a> Packages<'a> {
    /// Joins packages by what their revisions depend on. A dependency on a package that is not among them is left to
    /// the database to answer.
    ///
    /// # Errors
    /// Two packages of one key, dependencies on revisions that a package does not have, circles through several
    /// packages.
    pub fn new(all: Vec<Package<'a>>) -> Result<Self, Vec<Problem>> {
        let mut places = HashMap::new();
        for (place, package) in all.iter().enumerate() {
            if places.insert(package.key, place).is_some() {
                let message = format!("two packages have the key `{}`", package.key);
                return Err(vec![
                    Problem::new(DUPLICATE_PACKAGE, message)
                        .help("give one of them another: `name` below `[package.metadata.migrate]`"),
                ]);
            }
        }
        let (mut needs, mut needed_by) = (HashMap::new(), HashMap::new());
        let mut problems = Vec::new();
        for (place, package) in all.iter().enumerate() {
            for (at, migration) in package.graph.migrations().iter().enumerate() {
                for dependency in &migration.depends {
                    let Some(key) = dependency.package.as_deref().filter(|key| *key != package.key) else { continue };
                    let Some(other) = places.get(key).copied() else { continue };
                    match all[other].graph.lineage().find(dependency.id.as_str()) {
                        Some(on) => {
                            needs.entry((place, at)).or_insert_with(Vec::new).push((other, on));
                            needed_by.entry((other, on)).or_insert_with(Vec::new).push((place, at));
                        }
                        None => {
                            let problem = Problem::new(
                                MISSING_DEPENDENCY,
                                format!(
                                    "`{}` depends on `{dependency}`, and `{key}` has no such revision",
                                    migration.id
                                ),
                            )
                            .at(migration.directive_place("depends"));
                            let ids = all[other].graph.lineage().ids().iter().map(RevisionId::as_str);
                            problems.push(match nearest(dependency.id.as_str(), ids) {
                                Some(near) => problem.help(format!("did you mean `{key}/{near}`?")),
                                None => problem.help(format!("`cargo migrate history -p {key}` lists its revisions")),
                            });
                        }
                    }
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut packages = Self { all, order: Vec::new(), needs, needed_by };
        packages.order = packages.sorted().map_err(|circle| vec![packages.cycle(&circle)])?;
        Ok(packages)
    }

    /// The packages.
    #[must_use]
    pub fn all(&self) -> &[Package<'a>] {
        &self.all
    }

    /// All revisions, what each one needs before it; among those that may come next the one with the smallest id first.
    #[must_use]
    pub fn order(&self) -> &[At] {
        &self.order
    }

    /// What a revision needs of other packages.
    #[must_use]
    pub fn needs_elsewhere(&self, at: At) -> &[At] {
        self.needs.get(&at).map_or(&[], Vec::as_slice)
    }

    /// A revision's id.
    #[must_use]
    pub fn id(&self, (place, at): At) -> &'a RevisionId {
        self.all[place].graph.lineage().id(at)
    }

    fn needs(&self, (place, at): At) -> impl Iterator<Item = At> {
        let here = self.all[place].graph.lineage().needs(at).map(move |need| (place, need));
        here.chain(self.needs_elsewhere((place, at)).iter().copied())
    }

    fn needed_by(&self, (place, at): At) -> impl Iterator<Item = At> {
        let here = self.all[place].graph.lineage().needed_by(at).map(move |next| (place, next));
        here.chain(self.needed_by.get(&(place, at)).into_iter().flatten().copied())
    }

    /// Every revision, package by package.
    fn every(&self) -> impl Iterator<Item = At> {
        let places = self.all.iter().enumerate();
        places.flat_map(|(place, package)| (0..package.graph.lineage().len()).map(move |at| (place, at)))
    }

    /// One value for every revision.
    fn for_each<T: Clone>(&self, value: &T) -> Vec<Vec<T>> {
        self.all.iter().map(|package| vec![value.clone(); package.graph.lineage().len()]).collect()
    }

    /// Kahn's algorithm, as [`build_support::graph::Lineage`] has it.
    fn sorted(&self) -> Result<Vec<At>, Vec<At>> {
        if let [only] = &self.all[..] {
            return Ok(only.graph.lineage().order().iter().map(|at| (0, *at)).collect());
        }
        let mut missing = self.for_each(&0);
        self.every().for_each(|at| missing[at.0][at.1] = self.needs(at).count());
        let entry = |at: At| std::cmp::Reverse((self.id(at), at));
        let mut heap: BinaryHeap<_> = self.every().filter(|at| missing[at.0][at.1] == 0).map(entry).collect();
        let mut order = Vec::new();
        while let Some(std::cmp::Reverse((_, at))) = heap.pop() {
            order.push(at);
            for next in self.needed_by(at) {
                let count = &mut missing[next.0][next.1];
                *count -= 1;
                if *count == 0 {
                    heap.push(entry(next));
                }
            }
        }
        // Every revision left has a need that is left too, so walking from need to need must come back.
        let left = |at: &At| missing[at.0][at.1] > 0;
        let Some(mut at) = self.every().find(left) else { return Ok(order) };
        let (mut walked, mut seen) = (Vec::new(), HashSet::new());
        while seen.insert(at) {
            walked.push(at);
            at = self.needs(at).find(left).unwrap_or(at);
        }
        let start = walked.iter().position(|seen| *seen == at).unwrap_or_default();
        Err(walked.split_off(start))
    }

    /// Draws a circle: what follows what, with a place for each dependency that leads into another package.
    fn cycle(&self, circle: &[At]) -> Problem {
        const SHOWN: usize = 12;
        let name = |at: At| format!("{}/{}", self.all[at.0].key, self.id(at));
        let mut drawn: Vec<String> = circle.iter().rev().map(|at| name(*at)).collect();
        drawn.extend(drawn.first().cloned());
        if drawn.len() > SHOWN {
            drawn.splice(SHOWN / 2..drawn.len() - SHOWN / 2, ["…".to_owned()]);
        }
        let mut problem = Problem::new(CYCLE, "these revisions of several packages follow one another in a circle")
            .note(drawn.join(" -> "))
            .help("take one of the `depends` out, or put what both need into a revision of its own");
        for (at, next) in circle.iter().zip(circle.iter().cycle().skip(1)).take(SHOWN) {
            if at.0 != next.0 {
                problem = problem.at(self.all[at.0].graph.migration(at.1).directive_place("depends"));
            }
        }
        problem
    }

    /// The revisions themselves and all that they stand on, in whichever package.
    #[must_use]
    pub fn with_ancestors(&self, from: &[At]) -> Vec<Vec<bool>> {
        self.reach(from, |at, queue| queue.extend(self.needs(at)))
    }

    /// The revisions themselves and all that stands on them, in whichever package.
    #[must_use]
    pub fn with_descendants(&self, from: &[At]) -> Vec<Vec<bool>> {
        self.reach(from, |at, queue| queue.extend(self.needed_by(at)))
    }

    fn reach(&self, from: &[At], next: impl Fn(At, &mut VecDeque<At>)) -> Vec<Vec<bool>> {
        let (mut reached, mut queue) = (self.for_each(&false), VecDeque::from(from.to_vec()));
        while let Some(at) = queue.pop_front() {
            if !std::mem::replace(&mut reached[at.0][at.1], true) {
                next(at, &mut queue);
            }
        }
        reached
    }

    /// Which revisions a history has, package by package.
    #[must_use]
    pub fn applied(&self, history: &History) -> Vec<Vec<bool>> {
        self.all.iter().map(|package| super::applied(package.key, package.graph.lineage(), history)).collect()
    }

    /// The step that applies a revision.
    #[must_use]
    pub fn upgrade_step(&self, (place, at): At) -> Step {
        upgrade_step(self.all[place].key, self.all[place].graph, at)
    }

    /// The row's revision, where its package is one of these and has it.
    #[must_use]
    pub fn find(&self, row: &AppliedRevision) -> Option<At> {
        let place = self.all.iter().position(|package| package.key == row.package)?;
        Some((place, self.all[place].graph.lineage().find(row.id.as_str())?))
    }

    /// A problem of one package, which says so where there are several.
    fn of(&self, package: Package<'_>, problem: Problem) -> Problem {
        if self.all.len() == 1 {
            return problem;
        }
        let command = format!("`cargo migrate -p {} ", package.key);
        problem.note(format!("in the package `{}`", package.key)).map_help(|help| {
            if help.contains(" -p ") { help.clone() } else { help.replace("`cargo migrate ", &command) }
        })
    }

    /// The revisions that an upgrade would apply, in order: for each package with a target what it needs, and what that
    /// needs of the other packages.
    ///
    /// # Errors
    /// A target that cannot be.
    pub fn pending(&self, history: &History, targets: &[Option<&str>]) -> Result<Vec<At>, Vec<Problem>> {
        let mut asked = Vec::new();
        for (place, (package, target)) in self.all.iter().zip(targets).enumerate() {
            if let Some(target) = target {
                let found = pending(package.key, package.graph, history, target).map_err(|problems| {
                    problems.into_iter().map(|problem| self.of(*package, problem)).collect::<Vec<_>>()
                })?;
                asked.extend(found.into_iter().map(|at| (place, at)));
            }
        }
        let (wanted, applied) = (self.with_ancestors(&asked), self.applied(history));
        Ok(self.order.iter().copied().filter(|at| wanted[at.0][at.1] && !applied[at.0][at.1]).collect())
    }

    /// Plans an upgrade from a history that the caller has checked.
    ///
    /// # Errors
    /// A target that cannot be, dependencies on packages that are not among these and are not applied.
    pub fn upgrade(&self, history: &History, targets: &[Option<&str>]) -> Result<Plan, Vec<Problem>> {
        let steps: Vec<Step> = self.pending(history, targets)?.into_iter().map(|at| self.upgrade_step(at)).collect();
        let problems = missing_dependencies(&steps, history);
        if problems.is_empty() { Ok(Plan { steps }) } else { Err(problems) }
    }

    /// Plans a downgrade of the packages that have a target, the latest applied revision first.
    ///
    /// # Errors
    /// A target that cannot be or is not applied, an irreversible revision, a package that would stand on nothing.
    pub fn downgrade(&self, history: &History, targets: &[Option<&str>]) -> Result<Plan, Vec<Problem>> {
        let targets = self.all.iter().zip(targets).filter_map(|(package, target)| Some((*package, (*target)?)));
        downgrade_several(targets, history)
    }
}

/// Plans a downgrade of several packages, each with its target, the latest applied revision first. The order is the one
/// that the history has recorded: what the files say of one another does not stand in the way back.
///
/// # Errors
/// A target that cannot be or is not applied, an irreversible revision, a package that would stand on nothing.
pub fn downgrade_several<'p>(
    targets: impl IntoIterator<Item = (Package<'p>, &'p str)>,
    history: &History,
) -> Result<Plan, Vec<Problem>> {
    let mut rows: Vec<&AppliedRevision> = Vec::new();
    for (package, target) in targets {
        rows.extend(coming_off(package.key, package.graph, history, target)?);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.sequence));
    downgrade_of(&rows, history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use build_support::migration::Migration;
    use std::path::PathBuf;

    fn graph(package: &str, files: &[(&str, &str)]) -> RevisionGraph {
        let migrations = files.iter().map(|(id, header)| {
            let path = PathBuf::from(format!("{package}/{id}.sql"));
            let text = format!("{header}\n-- migrate:up\nSELECT '{id}';\n");
            Migration::parse(RevisionId::new(id).unwrap(), &path, &text).unwrap()
        });
        RevisionGraph::new(package, migrations.collect()).unwrap()
    }

    fn steps(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|step| format!("{}/{}", step.package, step.id)).collect()
    }

    #[test]
    fn revisions_of_several_packages_are_applied_after_what_they_depend_on() {
        let accounts = graph("accounts", &[("a1", ""), ("a2", "")]);
        let orders = graph("orders", &[("01", "-- migrate:depends accounts/a1"), ("a3", "")]);
        let packages = [("accounts", &accounts), ("orders", &orders)];
        let all = || packages.map(|(key, graph)| Package { key, graph }).to_vec();
        let together = Packages::new(all()).unwrap();
        let history = History::default();
        let plan = together.upgrade(&history, &[Some("head"), Some("head")]).unwrap();
        assert_eq!(steps(&plan), ["accounts/a1", "orders/01", "accounts/a2", "orders/a3"]);
        // Who asks for the orders alone gets what they stand on, and no more of the accounts.
        let plan = together.upgrade(&history, &[None, Some("head")]).unwrap();
        assert_eq!(steps(&plan), ["accounts/a1", "orders/01", "orders/a3"]);
        assert_eq!(plan.packages(), ["accounts", "orders"]);
    }

    #[test]
    fn two_packages_may_have_revisions_of_the_same_id() {
        let one = graph("one", &[("001_first", "")]);
        let two = graph("two", &[("001_first", "-- migrate:depends one/001_first")]);
        let all = vec![Package { key: "two", graph: &two }, Package { key: "one", graph: &one }];
        let plan = Packages::new(all).unwrap().upgrade(&History::default(), &[Some("head"), Some("head")]).unwrap();
        assert_eq!(steps(&plan), ["one/001_first", "two/001_first"]);
    }

    #[test]
    fn a_circle_through_packages_is_drawn() {
        let one = graph("one", &[("a1", ""), ("a2", "-- migrate:depends two/b1")]);
        let two = graph("two", &[("b0", "-- migrate:depends one/a2"), ("b1", "")]);
        let all = vec![Package { key: "one", graph: &one }, Package { key: "two", graph: &two }];
        let problem = Packages::new(all).unwrap_err().remove(0);
        assert_eq!((problem.code(), problem.places().len()), (CYCLE, 2));
        assert_eq!(problem.notes(), ["two/b0 -> two/b1 -> one/a2 -> two/b0"]);
    }

    #[test]
    fn a_dependency_that_its_package_does_not_have_is_told_at_its_line() {
        let one = graph("one", &[("a1", "")]);
        let two = graph("two", &[("b1", "-- migrate:depends one/a2")]);
        let all = vec![Package { key: "one", graph: &one }, Package { key: "two", graph: &two }];
        let problem = Packages::new(all).unwrap_err().remove(0);
        assert_eq!(problem.code(), MISSING_DEPENDENCY);
        assert_eq!(problem.places()[0].line_column().map(|(line, _)| line), Some(1));
        assert!(problem.helps()[0].contains("one/a1"), "{problem:?}");
    }
}
