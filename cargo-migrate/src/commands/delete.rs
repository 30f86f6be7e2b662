//! `delete`: a revision that no database needs goes, its file and its line in the lock.

use std::collections::BTreeSet;

use build_support::lock::{RELEASED, URL};
use build_support::problem::{Code, Problem, printable};
use build_support::revision::RevisionId;
use build_support::target;
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, Plan};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::DeleteArgs;
use crate::commands::run::{self, Request};
use crate::commands::safeguard::Asked;
use crate::commands::splice;
use crate::failure::Result;
use crate::live::Looked;
use crate::project::Database;
use crate::report::suggest::Chosen;

/// A revision that is applied is not deleted.
pub const STILL_APPLIED: Code = Code("still-applied");
/// A revision that others build on is not deleted.
pub const BUILT_ON: Code = Code("built-on");

/// What is to be deleted.
struct Wanted {
    /// Those with a file.
    files: Vec<usize>,
    /// All, with those that the chosen database alone knows: their files are on another git branch.
    ids: Vec<RevisionId>,
}

/// `cargo migrate delete`
pub(super) fn delete(app: App<'_>, args: &DeleteArgs) -> Result<()> {
    let opened = app.open()?;
    let chosen = app.database(&opened).ok();
    if let Some(database) = chosen.as_ref().filter(|_| args.downgrade) {
        opened.fits(database)?;
    }
    let key = opened.project.key();
    let mut looked = chosen.as_ref().map(|database| opened.look(database)).transpose()?;
    let history = looked.as_ref().map(|looked| looked.history.clone()).unwrap_or_default();
    let wanted = wanted(args, &opened, &history)?;
    if !args.downgrade
        && let (Some(database), Some(looked)) = (&chosen, &mut looked)
    {
        not_half_way(&opened, database, looked, &wanted.ids)?;
    }
    not_depended_on(app, &opened, &wanted.ids)?;
    let holders = Holders::find(app, &opened, chosen.as_ref().map(|database| (database, &history)))?;
    let rolled_back = args.downgrade.then_some(chosen.as_ref()).flatten();
    let respliced = splice::plan(&opened, &wanted.files, args.splice, &|id| holders.any(id))?;
    holders.refuse(&wanted.ids, rolled_back)?;
    if let (Some(database), Some(looked)) = (rolled_back, looked)
        && wanted.ids.iter().any(|id| history.find(key, id).is_some())
    {
        let request = Request {
            as_seen: true,
            yes: args.yes,
            down_from: args.down_from.map(run::down_from),
            backup: if args.no_backup { Asked::NoBackup } else { Asked::Nothing },
            ..Request::default()
        };
        let planner = |history: &History| take_off(key, history, &wanted.ids);
        let record = |history: &History| run::record(app, &opened, database, history);
        run::moved(app, &opened, (database, looked), &request, &planner, &record)?;
    }
    // The children first: killed in between, the history is whole, and the command can be given again.
    for (name, text) in &respliced {
        opened.directory.replace(name, text)?;
    }
    for at in &wanted.files {
        opened.directory.remove(opened.graph.migration(*at))?;
    }
    opened.directory.update_locks(|locks| {
        for id in &wanted.ids {
            locks.shared.remove(id.as_str());
            locks.local.remove(id.as_str());
        }
    })?;
    if app.json() {
        app.shell.json(&json!({
            "command": "delete",
            "deleted": wanted.ids.iter().map(RevisionId::as_str).collect::<Vec<_>>(),
            "spliced": respliced.iter().map(|(name, _)| name.trim_end_matches(".sql")).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    for (name, _) in &respliced {
        app.shell.status("Spliced", opened.directory.shown().join(name).display());
    }
    for id in &wanted.ids {
        app.shell.status("Deleted", id);
    }
    let labels = wanted.files.iter().flat_map(|at| opened.graph.migration(*at).labels.iter());
    if let (Some((child, _)), label) = (respliced.first(), labels.map(String::as_str).collect::<Vec<_>>().join(", "))
        && !label.is_empty()
    {
        app.shell.note(format!("the label {label} went with it: to keep it, `-- migrate:label {label}` in {child}"));
    }
    Ok(())
}

/// Refuses to delete what is half way in the chosen database: how far it came is for a person to say first.
fn not_half_way(opened: &Opened, database: &Database, looked: &mut Looked, ids: &[RevisionId]) -> Result<()> {
    let key = opened.project.key();
    let rows = ids.iter().filter_map(|id| looked.history.find(key, id)).filter(|row| row.is_half_way());
    let found: Vec<Problem> = rows.map(plan::interrupted).collect();
    let problems =
        looked.told_apart(found, |package| package == key, database, &opened.project.settings().version_table)?;
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// Refuses to delete what files of other packages of the workspace depend on.
fn not_depended_on(app: App<'_>, opened: &Opened, ids: &[RevisionId]) -> Result<()> {
    let key = opened.project.key();
    // Whatever is wrong with the others is not about this package.
    let others = app.others(opened).unwrap_or_default();
    let problems: Vec<Problem> = others
        .iter()
        .flat_map(|other| other.graph.migrations().iter().map(move |migration| (other, migration)))
        .flat_map(|(other, migration)| migration.depends.iter().map(move |on| (other, migration, on)))
        .filter(|(.., on)| on.package.as_deref() == Some(key) && ids.contains(&on.id))
        .map(|(other, migration, on)| {
            let of = other.project.key();
            Problem::new(BUILT_ON, format!("`{of}/{}` depends on `{}`", migration.id, on.id))
                .at(migration.directive_place("depends"))
                .help(format!("delete that one first: `cargo migrate delete {} -p {of}`", migration.id))
                .help("or take the line out of its header, where it may still be edited")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The revisions that the arguments name: one each, or both ends of a range with all between.
fn wanted(args: &DeleteArgs, opened: &Opened, history: &History) -> Result<Wanted> {
    let key = opened.project.key();
    let lineage = opened.graph.lineage();
    let applied = plan::applied(key, lineage, history);
    let (mut files, mut stored) = (BTreeSet::new(), Vec::new());
    for text in &args.revisions {
        if let Some((first, last)) = text.split_once(':') {
            let ends = |text: &str, other: Vec<usize>| match text {
                "" => Ok(other),
                _ => target::resolve_one(text, lineage, &applied).map(|at| vec![at]),
            };
            let (first, last) = (ends(first, lineage.bases())?, ends(last, lineage.heads())?);
            let (after, before) = (lineage.with_descendants(&first), lineage.with_ancestors(&last));
            let between: Vec<usize> = (0..lineage.len()).filter(|at| after[*at] && before[*at]).collect();
            if between.is_empty() {
                return Err(Problem::new(
                    target::UNKNOWN_TARGET,
                    format!("`{}` holds no revision: its end does not build on its start", printable(text)),
                )
                .help("write the older one first; `cargo migrate history` lists them, the newest first")
                .into());
            }
            files.extend(between);
            continue;
        }
        match target::resolve_one(text, lineage, &applied) {
            Ok(at) => _ = files.insert(at),
            Err(problem) => match history.of(key).find(|row| row.id.as_str() == text) {
                Some(row) if args.downgrade => stored.push(row.id.clone()),
                _ => return Err(problem.into()),
            },
        }
    }
    let files: Vec<usize> = files.into_iter().collect();
    let ids = files.iter().map(|at| lineage.id(*at).clone()).chain(stored).collect();
    Ok(Wanted { files, ids })
}

/// Takes exactly these revisions off, the latest applied first; others that stand on them are in the way.
fn take_off(key: &str, history: &History, ids: &[RevisionId]) -> std::result::Result<Plan, Vec<Problem>> {
    // Its down would be run against what its up has not made, and may take away what was there before.
    if let Some(row) = history.of(key).find(|row| row.is_half_way()) {
        return Err(vec![plan::interrupted(row)]);
    }
    for row in history.of(key).filter(|row| !ids.contains(&row.id)) {
        if let Some(parent) = row.parents.iter().find(|parent| ids.contains(parent)) {
            return Err(vec![
                Problem::new(BUILT_ON, format!("`{}` is applied and builds on `{parent}`", row.id))
                    .help(format!("go back before it first: `cargo migrate downgrade {parent}`")),
            ]);
        }
    }
    let rows: Vec<_> = history.rows().iter().rev().filter(|row| row.package == key && ids.contains(&row.id)).collect();
    plan::downgrade_of(&rows, history)
}

/// Which databases have which revisions: by asking those that can be reached, and by what the lock files say of the
/// others.
struct Holders {
    reached: Vec<(String, History)>,
    recorded: BTreeSet<(String, RevisionId)>,
    key: String,
}

impl Holders {
    /// The chosen database was asked before.
    fn find(app: App<'_>, opened: &Opened, chosen: Option<(&Database, &History)>) -> Result<Self> {
        let mut reached: Vec<(String, History)> = Vec::new();
        let mut look = |database: &Database| -> Result<()> {
            let name = database.lock_name().to_owned();
            if reached.iter().all(|(known, _)| *known != name) {
                let known = chosen.filter(|(chosen, _)| chosen.lock_name() == name).map(|(_, history)| history.clone());
                reached.push((name, known.map_or_else(|| opened.history(database), Ok)?));
            }
            Ok(())
        };
        let mut unreached = Vec::new();
        for name in opened.project.databases() {
            let looked = opened.project.configured_database(app.context, name).and_then(|database| look(&database));
            if looked.is_err() {
                unreached.push(name.to_owned());
            }
        }
        if let Some((database, _)) = chosen {
            look(database)?;
        }
        if !unreached.is_empty() {
            app.shell.warning(format!("not reached, so not asked: {}", unreached.join(", ")));
        }
        let mut recorded = BTreeSet::new();
        for lock in [&opened.locks.shared, &opened.locks.local] {
            for id in lock.entries().keys() {
                let names = lock.sealed(id.as_str()).into_iter().flat_map(|(_, names)| names);
                let others = names.filter(|name| reached.iter().all(|(known, _)| known != *name));
                recorded.extend(others.map(|name| (name.clone(), id.clone())));
            }
        }
        Ok(Self { reached, recorded, key: opened.project.key().to_owned() })
    }

    fn of<'a>(&'a self, id: &'a RevisionId) -> impl Iterator<Item = &'a str> {
        let reached = self.reached.iter().filter(|(_, history)| history.find(&self.key, id).is_some());
        let recorded = self.recorded.iter().filter(move |(_, known)| known == id);
        reached.map(|(name, _)| name.as_str()).chain(recorded.map(|(name, _)| name.as_str()))
    }

    fn any(&self, id: &RevisionId) -> bool {
        self.of(id).next().is_some()
    }

    /// Refuses where a database has one of these, other than the one that they are taken off from.
    fn refuse(&self, ids: &[RevisionId], except: Option<&Database>) -> Result<()> {
        let except = except.map(Database::lock_name);
        let half_way: Vec<Problem> = self
            .reached
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != except)
            .flat_map(|(name, history)| ids.iter().filter_map(move |id| Some((name, history.find(&self.key, id)?))))
            .filter(|(_, row)| row.is_half_way())
            .map(|(name, row)| Chosen::default().of_database(name).in_problem(&plan::interrupted(row)))
            .collect();
        if !half_way.is_empty() {
            return Err(half_way.into());
        }
        let found: Vec<(&str, &RevisionId)> = ids
            .iter()
            .flat_map(|id| self.of(id).map(move |name| (name, id)))
            .filter(|(name, _)| Some(*name) != except)
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::new(STILL_APPLIED, "a revision that is applied is not deleted");
        for (name, id) in &found {
            problem = problem.note(match *name {
                RELEASED => format!("`{id}` is sealed as released: users' databases may have it"),
                URL => format!("`{id}` was applied to a database that was given as a URL"),
                name => format!("`{id}` is applied to `{name}`"),
            });
        }
        let mut ways = BTreeSet::new();
        for (name, id) in found {
            let way = match name {
                RELEASED => format!("where no user has it: `cargo migrate seal --undo {id}`"),
                URL => format!(
                    "roll it back there (`cargo migrate -d URL downgrade …`), and where no such database has it any more: \
                     `cargo migrate seal --undo {id}`"
                ),
                name => {
                    format!("roll it back and delete it in one go: `cargo migrate -d {name} delete {id} --downgrade`")
                }
            };
            // What stands for one name stands for the others: one command each is enough.
            if ways.insert(name) {
                problem = problem.help(way);
            }
        }
        Err(problem.into())
    }
}
