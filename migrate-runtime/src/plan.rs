//! Planning: a graph, a history and a target in, a [`Plan`] out. Nothing is opened, read or printed here.

mod elsewhere;
mod interrupted;
mod packages;

use std::collections::{HashMap, HashSet};

use build_support::graph::{Lineage, Node, RevisionGraph};
use build_support::lock::Hashes;
use build_support::migration::Directives;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::RevisionId;
use build_support::target::{Resolved, resolve};
use build_support::verify;

use crate::history::{AppliedRevision, History};

pub use self::elsewhere::not_elsewhere;
pub(crate) use self::interrupted::with_ways_out;
pub use self::interrupted::{half_way, interrupted};
pub use self::packages::{At, DUPLICATE_PACKAGE, MISSING_DEPENDENCY, Package, Packages, downgrade_several};

/// The database has revisions that this checkout has not.
pub const UNKNOWN_APPLIED: Code = Code("unknown-applied");
/// A `no-transaction` revision was interrupted.
pub const INTERRUPTED: Code = Code("interrupted");
/// The version table is not there, and one of another schema has the history.
pub const HISTORY_ELSEWHERE: Code = Code("history-elsewhere");
/// A revision of another package must be applied first.
pub const DEPENDENCY_NOT_APPLIED: Code = Code("dependency-not-applied");
/// Revisions of another package stand on one that would be taken off.
pub const DEPENDED_ON: Code = Code("depended-on");
/// A revision that cannot be taken back.
pub const IRREVERSIBLE: Code = Code("irreversible");
/// A target of a downgrade that is not applied.
pub const NOT_APPLIED: Code = Code("not-applied");
/// More steps than there are revisions.
pub const TOO_MANY_STEPS: Code = Code("too-many-steps");
/// A target that means nothing in this direction.
pub const WRONG_DIRECTION: Code = Code("wrong-direction");

/// Which way a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The up section runs and the revision is recorded.
    Upgrade,
    /// The down section runs and the record is removed.
    Downgrade,
}

/// One revision to apply or to take off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which way.
    pub direction: Direction,
    /// The key of the package whose revision it is.
    pub package: String,
    /// The revision.
    pub id: RevisionId,
    /// What it is for.
    pub message: String,
    /// Its parents.
    pub parents: Vec<RevisionId>,
    /// Its dependencies, as `ID` or `PACKAGE/ID`.
    pub depends: Vec<String>,
    /// How it runs.
    pub directives: Directives,
    /// Its hashes: the file's on the way up, the recorded ones on the way down.
    pub hashes: Hashes,
}

/// What a run will do, step by step. The plan that is shown is the plan that is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order; they may be of several packages.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether the run needs more than one transaction.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.steps.len() > 1 && self.steps.iter().any(|step| step.directives.splits_run())
            || self.steps.iter().any(|step| step.directives.no_transaction)
    }

    /// The keys of the packages whose revisions move, each once, in the order of their first steps.
    #[must_use]
    pub fn packages(&self) -> Vec<&str> {
        packages(&self.steps)
    }
}

/// The packages of some steps, each once.
pub(crate) fn packages(steps: &[Step]) -> Vec<&str> {
    let mut seen = HashSet::new();
    steps.iter().map(|step| step.package.as_str()).filter(|package| seen.insert(*package)).collect()
}

/// The hashes of a migration as its graph has them.
#[must_use]
pub fn hashes(graph: &RevisionGraph, at: usize) -> Hashes {
    let migration = graph.migration(at);
    Hashes { checksum: migration.checksum, statements: migration.statements, seal: graph.seal(at) }
}

/// The step that applies a revision of a package.
#[must_use]
pub fn upgrade_step(package: &str, graph: &RevisionGraph, at: usize) -> Step {
    let migration = graph.migration(at);
    Step {
        direction: Direction::Upgrade,
        package: package.to_owned(),
        id: migration.id.clone(),
        message: migration.message.clone(),
        parents: graph.lineage().parents(at).iter().map(|parent| graph.lineage().id(*parent).clone()).collect(),
        depends: migration.depends.iter().map(ToString::to_string).collect(),
        directives: migration.directives.clone(),
        hashes: hashes(graph, at),
    }
}

/// The step that takes a recorded revision off.
#[must_use]
pub fn downgrade_step(row: &AppliedRevision) -> Step {
    Step {
        direction: Direction::Downgrade,
        package: row.package.clone(),
        id: row.id.clone(),
        message: row.message.clone(),
        parents: row.parents.clone(),
        depends: row.depends.clone(),
        directives: row.directives.clone(),
        hashes: row.hashes(),
    }
}

/// Which revisions of a graph a history has, by index; those that are half way are among them, unless the history is
/// [`History::settled`].
#[must_use]
pub fn applied(package: &str, lineage: &Lineage, history: &History) -> Vec<bool> {
    let mut applied = vec![false; lineage.len()];
    for row in history.of(package) {
        if let Some(at) = lineage.find(row.id.as_str()) {
            applied[at] = true;
        }
    }
    applied
}

/// Compares what a database has with the files: interrupted revisions, unknown ones, edited ones.
#[must_use]
pub fn check_history(package: &str, graph: &RevisionGraph, history: &History, database: &str) -> Vec<Problem> {
    if is_foreign(package, graph, history) {
        let rows: Vec<_> = history.of(package).collect();
        return vec![foreign(&rows, database).help(
            "or let the database follow this checkout, which takes off all that it has: `cargo migrate sync --dry-run`",
        )];
    }
    let mut problems = Vec::new();
    for row in history.of(package) {
        if row.is_half_way() {
            problems.push(interrupted(row));
            continue;
        }
        match graph.lineage().find(row.id.as_str()) {
            None => problems.push(
                Problem::new(
                    UNKNOWN_APPLIED,
                    format!("`{}` is applied to {database}, and this checkout has no such file", row.id),
                )
                .help("it may stand on another git branch: switch to it, or merge it")
                .help("or let the database follow this checkout: `cargo migrate sync`")
                .help(format!(
                    "to take it off, run `cargo migrate delete {} --downgrade`: its way back is stored in the database",
                    row.id
                )),
            ),
            Some(at) => {
                let recorded = row.hashes();
                problems.extend(verify::compare(graph, at, &recorded, &verify::Holders::chosen(database), false));
            }
        }
    }
    problems
}

/// Whether a database has revisions of a package, and none of them is among these files.
#[must_use]
pub fn is_foreign(package: &str, graph: &RevisionGraph, history: &History) -> bool {
    let mut rows = history.of(package).peekable();
    rows.peek().is_some() && rows.all(|row| !row.is_half_way() && graph.lineage().find(row.id.as_str()).is_none())
}

/// What is said of such a history: the folder or the database is most likely not the one that was meant.
#[must_use]
pub fn foreign(rows: &[&AppliedRevision], database: &str) -> Problem {
    const SHOWN: usize = 5;
    let ids: Vec<String> = rows.iter().take(SHOWN).map(|row| format!("`{}`", row.id)).collect();
    let more = if rows.len() > SHOWN { ", …" } else { "" };
    Problem::new(UNKNOWN_APPLIED, format!("this checkout has no file of what is applied to {database}"))
        .note(format!("applied are {}{more}", ids.join(", ")))
        .help("the folder or the database is most likely another one than was meant: `--migrations DIR`, `-d NAME`")
        .help("where both are meant, the files may stand on another git branch: switch to it, or merge it")
}

/// Plans an upgrade. What is pending is a set: what the target needs and the history has not, wherever it stands.
///
/// # Errors
/// What [`check_history`] finds, a target that cannot be, dependencies on other packages that are not applied.
pub fn upgrade(
    package: &str,
    graph: &RevisionGraph,
    history: &History,
    target: &str,
    database: &str,
) -> Result<Plan, Vec<Problem>> {
    let problems = check_history(package, graph, history, database);
    if problems.is_empty() { upgrade_from(package, graph, history, target) } else { Err(problems) }
}

/// The same as [`upgrade`] from a history that the caller has checked.
///
/// # Errors
/// A target that cannot be, dependencies on other packages that are not applied.
pub fn upgrade_from(
    package: &str,
    graph: &RevisionGraph,
    history: &History,
    target: &str,
) -> Result<Plan, Vec<Problem>> {
    let steps: Vec<Step> =
        pending(package, graph, history, target)?.into_iter().map(|at| upgrade_step(package, graph, at)).collect();
    let problems = missing_dependencies(&steps, history);
    if problems.is_empty() { Ok(Plan { steps }) } else { Err(problems) }
}

/// The revisions that an upgrade to a target would apply, in order.
///
/// # Errors
/// A target that cannot be.
pub fn pending(
    package: &str,
    graph: &RevisionGraph,
    history: &History,
    target: &str,
) -> Result<Vec<usize>, Vec<Problem>> {
    let lineage = graph.lineage();
    let applied = applied(package, lineage, history);
    let in_order =
        |wanted: &[bool]| lineage.order().iter().copied().filter(|at| wanted[*at] && !applied[*at]).collect::<Vec<_>>();
    match resolve(target, lineage, &applied).map_err(|problem| vec![problem])? {
        Resolved::Revisions(revisions) => Ok(in_order(&lineage.with_ancestors(&revisions))),
        Resolved::Base(_) => Err(vec![
            Problem::new(WRONG_DIRECTION, "an upgrade does not go to `base`")
                .help("`cargo migrate downgrade base` takes revisions off"),
        ]),
        Resolved::Steps(steps, branch) if steps > 0 => {
            let within = branch.unwrap_or_else(|| vec![true; lineage.len()]);
            let heads = lineage.heads_among(&within);
            if heads.len() > 1 {
                return Err(vec![build_support::target::several_heads(lineage, &heads)]);
            }
            let candidates: Vec<usize> =
                in_order(&lineage.with_ancestors(&heads)).into_iter().filter(|at| within[*at]).collect();
            let wanted = usize::try_from(steps).unwrap_or(usize::MAX);
            if candidates.len() < wanted {
                return Err(vec![too_many(steps, candidates.len(), "pending")]);
            }
            Ok(in_order(&lineage.with_ancestors(&candidates[..wanted])))
        }
        Resolved::Steps(..) => Err(vec![
            Problem::new(WRONG_DIRECTION, format!("an upgrade does not go back (`{}`)", printable(target)))
                .help(format!("`cargo migrate downgrade {}` does", printable(target))),
        ]),
    }
}

fn too_many(steps: i64, there_are: usize, what: &str) -> Problem {
    Problem::new(
        TOO_MANY_STEPS,
        format!(
            "{} asked for, and {there_are} {} {what}",
            match steps.unsigned_abs() {
                1 => "1 step was".to_owned(),
                steps => format!("{steps} steps were"),
            },
            if there_are == 1 { "revision is" } else { "revisions are" }
        ),
    )
    .help("`cargo migrate status` shows what is applied and what is pending")
}

/// What upgrade steps need of packages that have no step among them and no applied revision either.
#[must_use]
pub fn missing_dependencies(steps: &[Step], history: &History) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut there = None;
    for step in steps {
        for text in &step.depends {
            let Some((other, id)) = text.split_once('/').filter(|(other, _)| *other != step.package) else { continue };
            let there: &HashSet<(&str, &str)> = there.get_or_insert_with(|| {
                let rows = history.rows().iter().filter(|row| !row.is_half_way());
                let applied = rows.map(|row| (row.package.as_str(), row.id.as_str()));
                applied.chain(steps.iter().map(|step| (step.package.as_str(), step.id.as_str()))).collect()
            });
            if !there.contains(&(other, id)) {
                problems.push(
                    Problem::new(
                        DEPENDENCY_NOT_APPLIED,
                        format!("`{}` depends on `{text}`, which is not applied", step.id),
                    )
                    .help(format!("apply it first: `cargo migrate upgrade {id} -p {other}`")),
                );
            }
        }
    }
    problems
}

/// The graph of what is applied, joined with the files, so that targets of both kinds are found. Edges between
/// applied revisions are the recorded ones: they say what really stands on what.
fn joined(package: &str, graph: &RevisionGraph, history: &History) -> Result<Lineage, Vec<Problem>> {
    let mut nodes: Vec<Node> = history
        .of(package)
        .map(|row| Node {
            id: row.id.clone(),
            parents: row.parents.clone(),
            depends: row
                .depends
                .iter()
                .filter_map(|text| {
                    text.strip_prefix(package)
                        .and_then(|rest| rest.strip_prefix('/'))
                        .or((!text.contains('/')).then_some(text))
                })
                .filter_map(|id| RevisionId::new(id).ok())
                .collect(),
            labels: graph.find(row.id.as_str()).map(|migration| migration.labels.clone()).unwrap_or_default(),
        })
        .collect();
    let lineage = graph.lineage();
    let applied = applied(package, lineage, history);
    for (at, migration) in graph.migrations().iter().enumerate() {
        if !applied[at] {
            nodes.push(Node {
                id: migration.id.clone(),
                parents: lineage.parents(at).iter().map(|parent| lineage.id(*parent).clone()).collect(),
                depends: Vec::new(),
                labels: migration.labels.clone(),
            });
        }
    }
    Lineage::new(nodes).map_err(|circle| {
        let note = format!("{} revisions are in the circle", circle.len());
        vec![
            Problem::new(
                build_support::graph::CYCLE,
                "what the database has recorded and the files together make a circle",
            )
            .note(note),
        ]
    })
}

/// Plans a downgrade: the applied descendants of the target come off and nothing else, the latest applied first.
///
/// # Errors
/// A target that cannot be or is not applied, an irreversible revision, another package that stands in the way.
pub fn downgrade(package: &str, graph: &RevisionGraph, history: &History, target: &str) -> Result<Plan, Vec<Problem>> {
    downgrade_of(&coming_off(package, graph, history, target)?, history)
}

/// The plan that takes these rows off, in this order.
///
/// # Errors
/// An irreversible revision, another package that would stand on nothing.
pub fn downgrade_of(rows: &[&AppliedRevision], history: &History) -> Result<Plan, Vec<Problem>> {
    let problems = objections(rows, history);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Plan { steps: rows.iter().map(|row| downgrade_step(row)).collect() })
}

/// The rows of a package that a downgrade takes off, the latest applied first.
fn coming_off<'h>(
    package: &str,
    graph: &RevisionGraph,
    history: &'h History,
    target: &str,
) -> Result<Vec<&'h AppliedRevision>, Vec<Problem>> {
    let rows: Vec<&AppliedRevision> = history.rows().iter().filter(|row| row.package == package).collect();
    if let Some(row) = rows.iter().find(|row| row.is_half_way()) {
        return Err(vec![interrupted(row)]);
    }
    let lineage = joined(package, graph, history)?;
    let applied = self::applied(package, &lineage, history);
    let off: Vec<bool> = match resolve(target, &lineage, &applied).map_err(|problem| vec![problem])? {
        Resolved::Base(None) => applied.clone(),
        Resolved::Base(Some(branch)) => {
            let covered: Vec<usize> = (0..lineage.len()).filter(|at| branch[*at] && applied[*at]).collect();
            lineage.with_descendants(&covered)
        }
        Resolved::Revisions(targets) => {
            if let Some(at) = targets.iter().find(|at| !applied[**at]) {
                return Err(vec![
                    Problem::new(
                        NOT_APPLIED,
                        format!("`{}` is not applied, so there is no way back to it", lineage.id(*at)),
                    )
                    .help("`cargo migrate current` shows where the database is"),
                ]);
            }
            let mut off = lineage.with_descendants(&targets);
            for at in targets {
                off[at] = false;
            }
            off
        }
        Resolved::Steps(steps, branch) if steps < 0 => {
            let inside = |row: &&&AppliedRevision| {
                lineage.find(row.id.as_str()).is_some_and(|at| branch.as_ref().is_none_or(|within| within[at]))
            };
            let wanted = usize::try_from(steps.unsigned_abs()).unwrap_or(usize::MAX);
            let last: Vec<usize> =
                rows.iter().rev().filter(inside).take(wanted).filter_map(|row| lineage.find(row.id.as_str())).collect();
            if last.len() < wanted {
                return Err(vec![too_many(steps, last.len(), "applied")]);
            }
            lineage.with_descendants(&last)
        }
        Resolved::Steps(..) => {
            return Err(vec![
                Problem::new(WRONG_DIRECTION, format!("a downgrade does not go on (`{}`)", printable(target)))
                    .help(format!("`cargo migrate upgrade {}` does", printable(target))),
            ]);
        }
    };
    Ok(rows.into_iter().rev().filter(|row| lineage.find(row.id.as_str()).is_some_and(|at| off[at])).collect())
}

fn objections(coming_off: &[&AppliedRevision], history: &History) -> Vec<Problem> {
    let irreversible = coming_off.iter().filter(|row| row.directives.irreversible).map(|row| {
        Problem::new(IRREVERSIBLE, format!("`{}` is declared irreversible", row.id))
            .help("restore a backup that was made before it, or write a new revision that mends what it did")
    });
    irreversible.chain(depended_on(coming_off, history)).collect()
}

/// What of these rows revisions of other packages stand on that stay.
#[must_use]
pub fn depended_on(coming_off: &[&AppliedRevision], history: &History) -> Vec<Problem> {
    let off: HashSet<(&str, &str)> = coming_off.iter().map(|row| (row.package.as_str(), row.id.as_str())).collect();
    let mut standing: HashMap<(&str, &str), Vec<&AppliedRevision>> = HashMap::new();
    for row in history.rows().iter().filter(|row| !off.contains(&(row.package.as_str(), row.id.as_str()))) {
        for on in row.depends.iter().filter_map(|text| text.split_once('/')).filter(|on| off.contains(on)) {
            standing.entry(on).or_default().push(row);
        }
    }
    coming_off
        .iter()
        .filter_map(|row| Some(ground_of(row, standing.get(&(row.package.as_str(), row.id.as_str()))?)))
        .collect()
}

/// A revision that others stand on, with the way to take these off first: from the first one of each package on.
fn ground_of(row: &AppliedRevision, others: &[&AppliedRevision]) -> Problem {
    let names: Vec<String> = others.iter().map(|row| format!("{}/{}", printable(&row.package), row.id)).collect();
    let mut problem = Problem::new(DEPENDED_ON, format!("`{}` cannot come off: other packages stand on it", row.id))
        .note(names.join(", "));
    let mut told = HashSet::new();
    for other in others.iter().filter(|other| told.insert(other.package.as_str())) {
        let package = printable(&other.package);
        let before = if other.parents.is_empty() { "base".to_owned() } else { format!("{}-1", other.id) };
        // So it is also understood of a package that is not at hand.
        problem = problem.help(format!("take these off first: `cargo migrate downgrade {package}/{before}`"));
    }
    problem
}
