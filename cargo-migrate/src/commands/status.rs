//! `status`: how a database stands to the files, of one package in full, of several as a table.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use build_support::problem::{Problem, printable};
use build_support::verify::{DELETED, EDITED, EDITED_COMMENTS};
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan;
use serde_json::{Value, json};

use crate::app::{App, Opened, Purpose};
use crate::commands::look::{heads_of, note_missing, or_base};
use crate::commands::{scratch, several, sync};
use crate::drift;
use crate::failure::Result;
use crate::live::{self, Looked};
use crate::project::Database;
use crate::project::database::Identity;
use crate::report::{columns, many};

/// A database as it was read once for all the packages that share it.
#[derive(Default)]
struct Seen {
    /// The rows of each package.
    packages: BTreeMap<String, History>,
    there: bool,
    drifted: Option<bool>,
    /// The database with its session where a revision is half way: then there is more to ask of it.
    half_way: Option<Looked>,
}

impl Seen {
    fn of(opened: &Opened, database: &Database) -> Result<Self> {
        let mut looked = opened.look(database)?;
        let drifted = drift::at_a_glance(&mut looked, opened)?;
        let there = looked.is_there();
        let (packages, half_way) = match looked.history.rows().iter().any(AppliedRevision::is_half_way) {
            true => (looked.history.clone().by_package(), Some(looked)),
            false => (looked.history.by_package(), None),
        };
        Ok(Self { packages, there, drifted, half_way })
    }

    /// The rows of all packages.
    fn all(&self) -> History {
        History::new(self.packages.values().flat_map(History::rows).cloned().collect())
    }
}

/// How a database stands to a package's files.
struct Standing<'a> {
    opened: &'a Opened,
    database: Database,
    there: bool,
    /// What it has of this package.
    history: History,
    /// The other packages of the database, with how many revisions of each it has.
    others: Vec<(String, usize)>,
    /// The same with the texts that `repair` has accepted.
    texts: History,
    pending: Vec<usize>,
    drifted: Option<bool>,
    problems: Vec<Problem>,
    /// What a scratch database gives up by itself.
    off: Vec<String>,
}

/// `cargo migrate status`
pub(super) fn status(app: App<'_>) -> Result<()> {
    let packages = app.choose(Purpose::Look)?.packages;
    if packages.len() == 1 {
        return packages.into_iter().try_for_each(|(_, opened)| {
            let opened = opened?;
            let standing = Standing::of(app, &opened, &mut HashMap::new())?;
            standing.tell(app);
            Ok(())
        });
    }
    let (mut seen, mut shells) = (HashMap::new(), Vec::new());
    let count = packages.len();
    let (mut rows, mut documents, mut problems, mut failed) =
        (vec![HEADINGS.map(str::to_owned)], Vec::new(), Vec::new(), Vec::new());
    for (project, opened) in &packages {
        let shell = app.shell.part(&[project.package().unwrap_or(project.key())]);
        let found = match opened {
            Ok(opened) => Standing::of(app, opened, &mut seen),
            Err(failure) => Err(failure.clone()),
        };
        match found {
            Ok(standing) => {
                if app.json() {
                    documents.push(standing.json(App { shell: &shell, ..app }));
                } else {
                    rows.push(standing.row());
                }
                problems.extend(standing.problems.into_iter().map(|problem| (shells.len(), problem)));
            }
            Err(failure) => {
                let mut row = HEADINGS.map(|_| String::new());
                row[0] = printable(project.key());
                row[1] = "cannot be read".to_owned();
                rows.push(row);
                let told: Vec<Value> = failure.problems().iter().map(|it| shell.json_problem(it)).collect();
                documents.push(json!({ "package": project.key(), "problems": told }));
                problems.extend(failure.problems().iter().map(|problem| (shells.len(), problem.clone())));
                failed.push(project.key().to_owned());
            }
        }
        shells.push(shell);
    }
    if app.json() {
        app.shell.json(&json!({ "command": "status", "packages": documents }));
    } else {
        columns(&rows).into_iter().for_each(|line| app.shell.out(line));
        // What is wrong with a database is told once, whoever uses it.
        let mut told: Vec<Problem> = Vec::new();
        for (of, problem) in problems {
            if !told.contains(&problem) {
                shells[of].problem(&problem);
                told.push(problem);
            }
        }
    }
    several::ended(&failed, count, "package")
}

const HEADINGS: [&str; 7] = ["package", "database", "applied", "pending", "drafts", "edited", "drift"];

impl<'a> Standing<'a> {
    fn of(app: App<'_>, opened: &'a Opened, seen: &mut HashMap<(Identity, String), Seen>) -> Result<Self> {
        let database = app.database(opened)?;
        let place = (database.url.identity(), opened.project.settings().version_table.clone());
        let seen = match seen.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Seen::of(opened, &database)?),
        };
        let (key, there, drifted) = (opened.project.key(), seen.there, seen.drifted);
        let others = seen.packages.iter().filter(|(other, _)| *other != key);
        let others = others.map(|(other, history)| (other.clone(), history.rows().len())).collect();
        let history = seen.packages.get(key).cloned().unwrap_or_default();
        // A scratch database follows the files: what was edited is pending, not wrong.
        let texts = opened.with_accepted_texts(&history);
        let off = if database.scratch { scratch::outdated(opened, &texts) } else { Vec::new() };
        let kept = scratch::without(&texts, &off);
        let counts = kept.as_ref().unwrap_or(&texts);
        let lineage = opened.graph.lineage();
        let applied = plan::applied(key, lineage, counts);
        let pending = lineage.order().iter().copied().filter(|at| !applied[*at]).collect();
        let mut problems = build_support::verify::verify(&opened.graph, &opened.locks, opened.directory.shown());
        // What the locks tell to be deleted is not told again as unknown.
        let locks = &opened.locks;
        let deleted = |row: &&AppliedRevision| {
            let id = row.id.as_str();
            opened.graph.find(id).is_none()
                && locks.shared.get(id).is_some()
                && locks.shared.sealed(id).or(locks.local.sealed(id)).is_some()
        };
        let rows = counts.of(key).filter(|row| !deleted(row)).cloned().collect();
        let name = format!("`{}`", database.lock_name());
        let found = plan::check_history(key, &opened.graph, &History::new(rows), &name);
        let table = &opened.project.settings().version_table;
        let mut found = match &mut seen.half_way {
            Some(looked) => looked.told_apart(found, |package| package == key, &database, table)?,
            None => found,
        };
        found.retain(|problem| {
            !problems
                .iter()
                .any(|known| known.code() == problem.code() && known.places().first() == problem.places().first())
        });
        problems.extend(found);
        problems.splice(0..0, opened.fits(&database).err());
        problems.extend(scratch::take_off(&off, &database).err().unwrap_or_default());
        // Where it has rows of its own nothing was renamed.
        if history.rows().is_empty() {
            problems.extend(opened.not_renamed(&seen.all(), &name).err());
        }
        if drifted == Some(true) {
            problems.push(drift::noticed(&database.to_string()));
        }
        let off = off.iter().map(|row| row.id.to_string()).collect();
        Ok(Self { opened, database, there, history, others, texts, pending, drifted, problems, off })
    }

    fn pending(&self) -> impl Iterator<Item = &build_support::migration::Migration> {
        self.pending.iter().map(|at| self.opened.graph.migration(*at))
    }

    fn applied(&self) -> usize {
        self.history.of(self.opened.project.key()).filter(|row| !row.is_half_way()).count()
    }

    /// How many are neither applied nor pending.
    fn half_way(&self) -> usize {
        self.history.of(self.opened.project.key()).filter(|row| row.is_half_way()).count()
    }

    /// How many of these nobody is at work on.
    fn interrupted(&self) -> usize {
        self.problems.iter().filter(|problem| problem.code() == plan::INTERRUPTED).count()
    }

    /// How many files may still be edited: no lock says that anybody has them.
    fn drafts(&self) -> usize {
        let locks = &self.opened.locks;
        let is_sealed = |id: &str| locks.shared.sealed(id).or(locks.local.sealed(id)).is_some();
        self.opened.graph.migrations().iter().filter(|migration| !is_sealed(migration.id.as_str())).count()
    }

    /// How many files are not what was applied.
    fn edited(&self) -> usize {
        let codes = [EDITED, EDITED_COMMENTS, DELETED];
        self.problems.iter().filter(|problem| codes.contains(&problem.code())).count()
    }

    fn drift(&self) -> &'static str {
        match self.drifted {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        }
    }

    fn row(&self) -> [String; 7] {
        let missing = if self.there { "" } else { ", not there yet" };
        [
            printable(self.opened.project.key()),
            format!("{}{missing}", printable(&self.database.to_string())),
            self.applied().to_string(),
            self.pending.len().to_string(),
            self.drafts().to_string(),
            self.edited().to_string(),
            self.drift().to_owned(),
        ]
    }

    fn json(&self, app: App<'_>) -> Value {
        let others = &self.others;
        json!({
            "command": "status",
            "package": self.opened.project.key(),
            "database": self.database.name,
            "url": self.database.url.to_string(),
            "exists": self.there,
            "current": self.opened.current(&self.history),
            "heads": heads_of(self.opened),
            "applied": self.applied(),
            "pending": self.pending().map(|migration| migration.id.as_str()).collect::<Vec<_>>(),
            "interrupted": self.interrupted(),
            "drafts": self.drafts(),
            "edited": self.edited(),
            "drift": self.drifted,
            "others": others.iter().map(|(key, count)| json!({ "package": key, "applied": count })).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(|problem| app.shell.json_problem(problem)).collect::<Vec<_>>(),
        })
    }

    fn tell(&self, app: App<'_>) {
        if app.json() {
            app.shell.json(&self.json(app));
            return;
        }
        let Self { opened, database, history, .. } = self;
        app.shell.out(format!("package   {}", opened.project.key()));
        let there = if self.there { "" } else { ", not there yet" };
        app.shell.out(format!("database  {}{there}", live::shown(&opened.project, database)));
        app.shell.out(format!("current   {}", or_base(&opened.current(history))));
        app.shell.out(format!("head      {}", or_base(&heads_of(opened))));
        app.shell.out(format!("applied   {}", self.applied()));
        app.shell.out(format!("pending   {}", self.pending.len()));
        match (self.interrupted(), self.half_way()) {
            (0, 0) => {}
            (0, count) => app.shell.out(format!("under way {count}")),
            (count, _) => app.shell.out(format!("interrupted {count}")),
        }
        if self.there && database.server().is_some() {
            app.shell.out("schema    not compared: it is on a server");
        }
        if !self.there {
            note_missing(app, database);
        }
        let elsewhere = sync::elsewhere(opened, &self.texts).len();
        let foreign = plan::is_foreign(opened.project.key(), &opened.graph, &self.texts);
        if elsewhere > 0 && !database.scratch && !foreign && opened.fits(database).is_ok() {
            let place = if self.pending.is_empty() { "ahead of" } else { "beside" };
            let revisions = many(elsewhere, "revision");
            app.shell.note(format!(
                "the database is {place} this checkout, which lacks {revisions} that it has; `cargo migrate sync` lets it follow"
            ));
        }
        if !self.off.is_empty() {
            app.shell.note(format!(
                "`cargo migrate upgrade` takes off first what is not as it was applied: {}",
                self.off.join(", ")
            ));
        }
        for migration in self.pending() {
            app.shell.out(format!("          {}  {}", migration.id, migration.message));
        }
        for (package, count) in &self.others {
            app.shell.out(format!("beside    {}  {}", printable(package), many(*count, "revision")));
        }
        for problem in &self.problems {
            app.shell.problem(problem);
        }
    }
}
