//! A package with those that share its database: their files, their graphs and their locks as one.

use std::collections::BTreeMap;

use build_support::directory::LOCK_FILE;
use build_support::problem::{Code, Problem, printable};
use build_support::verify;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::{self, At, Package, Packages, Plan};
use migrate_runtime::runner::{self, Files};

use super::{Opened, record};
use crate::failure::{Failure, Result};
use crate::project::{Database, OTHER_PACKAGE};
use crate::report::suggest::Chosen;

/// The migrations are another kind of database's than the one that is to be changed.
pub const OTHER_DIALECT: Code = Code("other-dialect");

/// How the ways out begin that settle an interrupted revision.
const SETTLES: &str = "`cargo migrate repair --";

/// A package whose revisions run together with another one's, on the same database.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The package.
    pub opened: Opened,
    /// The database as this package's configuration names it; none for a library, which has none of its own.
    pub database: Option<Database>,
    /// Whether it was asked for as the first one was. Of others only what is depended on is applied.
    pub asked: bool,
}

impl Opened {
    /// This package and those beside it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.beside.iter().map(|beside| &beside.opened))
    }

    /// The packages that a command was asked to work on.
    pub fn asked(&self) -> impl Iterator<Item = &Self> {
        let beside = self.beside.iter().filter(|beside| beside.asked);
        std::iter::once(self).chain(beside.map(|beside| &beside.opened))
    }

    /// The package of this key, where it is one of these.
    #[must_use]
    pub fn package(&self, key: &str) -> Option<&Self> {
        self.all().find(|opened| opened.project.key() == key)
    }

    /// Whether several packages are worked on, so that a revision's id alone does not say whose it is.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.beside.is_empty()
    }

    /// A revision as people are shown it: with its package where there are several.
    #[must_use]
    pub fn named(&self, package: &str, id: &str) -> String {
        if self.is_shared() { format!("{}/{id}", printable(package)) } else { id.to_owned() }
    }

    /// Whether revisions depend on other packages, or libraries are named.
    pub(super) fn needs_others(&self) -> bool {
        !self.project.settings().libraries.is_empty() || self.keys_needed().next().is_some()
    }

    /// The keys of the packages that revisions depend on, or are to depend on; one may come several times.
    pub(super) fn keys_needed(&self) -> impl Iterator<Item = &str> {
        let own = self.project.key();
        let revisions = self.all().flat_map(|opened| opened.graph.migrations());
        let written = revisions.flat_map(|migration| &migration.depends).filter_map(|on| on.package.as_deref());
        let new = self.to_depend_on.iter().filter_map(|on| on.split_once('/')).map(|(key, _)| key);
        written.chain(new).filter(move |key| *key != own)
    }

    /// The revisions of the other packages that this one's stand on, wherever they do: what its tables refer to is there
    /// before its own revisions run, and before its models are looked at.
    #[must_use]
    pub fn foundation(&self, packages: &Packages<'_>) -> Vec<At> {
        let mut needs: Vec<At> =
            (0..self.graph.lineage().len()).flat_map(|at| packages.needs_elsewhere((0, at)).to_vec()).collect();
        for (key, id) in self.to_depend_on.iter().filter_map(|on| on.split_once('/')) {
            let place = packages.all().iter().position(|package| package.key == key);
            let found = place.and_then(|place| Some((place, packages.all()[place].graph.lineage().find(id)?)));
            needs.extend(found.filter(|(place, _)| *place > 0));
        }
        let stands = packages.with_ancestors(&needs);
        packages.order().iter().copied().filter(|at| at.0 > 0 && stands[at.0][at.1]).collect()
    }

    /// The files that a run takes its sections from.
    #[must_use]
    pub fn files(&self) -> Vec<Files<'_>> {
        self.all()
            .map(|opened| Files { package: opened.project.key(), graph: &opened.graph, directory: &opened.directory })
            .collect()
    }

    /// The revisions of all packages as one order.
    ///
    /// # Errors
    /// Dependencies that lead nowhere, or in a circle.
    pub fn packages(&self) -> std::result::Result<Packages<'_>, Vec<Problem>> {
        Packages::new(self.all().map(|opened| Package { key: opened.project.key(), graph: &opened.graph }).collect())
    }

    /// What each package is to be brought to: the target where it was asked for, else nothing but what is depended on.
    #[must_use]
    pub fn targets<'t>(&self, target: &'t str) -> Vec<Option<&'t str>> {
        let beside = self.beside.iter().map(|beside| beside.asked.then_some(target));
        std::iter::once(Some(target)).chain(beside).collect()
    }

    /// A problem of a step that was left half way, where several packages run together: a person settles one revision of one
    /// package, so the ways out name that one and not all.
    #[must_use]
    pub fn settled_alone(&self, package: &str, problem: Problem) -> Problem {
        let Some(of) = self.package(package).filter(|_| self.is_shared()) else { return problem };
        problem.map_help(|help| if help.contains(SETTLES) { self.way_out(of, help) } else { help.clone() })
    }

    /// A way out that names the package which it is about. One of the workspace is chosen; a library cannot be, and its
    /// interrupted revision is settled by whoever brings it along.
    fn way_out(&self, of: &Self, help: &str) -> String {
        let key = of.project.key();
        if of.project.is_library() && help.contains(SETTLES) {
            let named = ["--finished ", "--not-applied ", "--still-applied "]
                .iter()
                .fold(help.to_owned(), |help, flag| help.replace(flag, &format!("{flag}{}/", printable(key))));
            return Chosen::default().of_packages(&[self.project.key()]).named(&named);
        }
        Chosen::default().of_packages(&[key]).named(help)
    }

    /// Refuses where files and locks disagree.
    ///
    /// # Errors
    /// What [`verify::verify`] finds.
    pub fn verified(&self) -> Result<()> {
        let problems = self.of_each(|opened| verify::verify(&opened.graph, &opened.locks, opened.directory.shown()));
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }

    /// Refuses a database of another kind than the one whose SQL the folders hold: the wrong one of the two is meant. A
    /// library has no database of its own, and goes where the package goes that names it.
    ///
    /// # Errors
    /// [`OTHER_DIALECT`]
    pub fn fits(&self, database: &Database) -> std::result::Result<(), Problem> {
        let own = self.all().filter(|opened| !opened.project.is_library());
        let mut others = own.filter(|opened| {
            opened.locks.shared.dialect() != database.dialect() && !opened.graph.migrations().is_empty()
        });
        let Some(other) = others.next() else { return Ok(()) };
        let (named, meant) = (other.locks.shared.dialect(), database.dialect());
        let shown = other.directory.shown();
        let problem = Problem::new(
            OTHER_DIALECT,
            format!(
                "the migrations in `{}` are {named}'s, and `{}` is a database of {meant}",
                printable(&shown.to_string_lossy()),
                database.lock_name()
            ),
        )
        .note(format!("whose they are stands in {}", printable(&shown.join(LOCK_FILE).to_string_lossy())))
        .help("where another folder is meant, or another database: `--migrations DIR`, `-d NAME`")
        .help(format!("where the files are {meant}'s, say so: `cargo migrate lock --dialect {}`", meant.word()));
        Err(if self.is_shared() { problem.map_help(|help| self.way_out(other, help)) } else { problem })
    }

    /// Where a history is not what the files say, package by package.
    #[must_use]
    pub fn differences(&self, history: &History, database: &str) -> Vec<Problem> {
        self.of_each(|opened| plan::check_history(opened.project.key(), &opened.graph, history, database))
    }

    /// The problems of each package, whose ways out name the package where there are several.
    fn of_each(&self, find: impl Fn(&Self) -> Vec<Problem>) -> Vec<Problem> {
        let named = |opened: &Self| {
            let found = find(opened);
            if !self.is_shared() || found.is_empty() {
                return found;
            }
            found.into_iter().map(|problem| problem.map_help(|help| self.way_out(opened, help))).collect()
        };
        self.all().flat_map(named).collect()
    }

    /// Plans an upgrade from a history that is compared with the files first; `database` is its name in messages.
    ///
    /// # Errors
    /// What the history and the files disagree on, a target that cannot be, a dependency that is not applied.
    pub fn upgrade_plan(
        &self,
        history: &History,
        target: &str,
        database: &str,
    ) -> std::result::Result<Plan, Vec<Problem>> {
        let problems = self.differences(history, database);
        if !problems.is_empty() {
            return Err(problems);
        }
        let plan = self.packages()?.upgrade(history, &self.targets(target))?;
        runner::one_maker_each(&self.files(), &plan, history)?;
        Ok(plan)
    }

    /// Plans a downgrade.
    ///
    /// # Errors
    /// A target that cannot be, a revision that cannot be taken back, a package that would stand on nothing.
    pub fn downgrade_plan(&self, history: &History, target: &str) -> std::result::Result<Plan, Vec<Problem>> {
        let asked = self.asked().map(|opened| Package { key: opened.project.key(), graph: &opened.graph });
        plan::downgrade_several(asked.map(|package| (package, target)), history)
    }

    /// The row's file, where this checkout has it.
    #[must_use]
    pub fn file_of(&self, row: &AppliedRevision) -> Option<&build_support::migration::Migration> {
        self.package(&row.package)?.graph.find(row.id.as_str())
    }

    /// A history in which the texts count that `repair` has accepted in the lock since: a database that was not at
    /// hand then is not behind in what its upgrades do.
    #[must_use]
    pub fn with_accepted_texts(&self, history: &History) -> History {
        let rows = history.rows().iter().cloned().map(|mut row| {
            let lock = self.package(&row.package).map(|opened| &opened.locks.shared);
            let sealed = lock.and_then(|lock| lock.sealed(row.id.as_str())).map(|(hashes, _)| *hashes);
            if let Some(hashes) = sealed.filter(|hashes| row.hashes().differs_in_text_alone(hashes)) {
                row.checksum = hashes.checksum;
            }
            row
        });
        History::new(rows.collect())
    }

    /// Refuses a database that has these migrations under another package's key: to this one all of it would look
    /// pending.
    ///
    /// # Errors
    /// [`OTHER_PACKAGE`]
    pub fn not_renamed(&self, history: &History, database: &str) -> std::result::Result<(), Problem> {
        self.all().try_for_each(|opened| {
            opened.itself_not_renamed(history, database).map_err(|problem| {
                if self.is_shared() { problem.map_help(|help| self.way_out(opened, help)) } else { problem }
            })
        })
    }

    fn itself_not_renamed(&self, history: &History, database: &str) -> std::result::Result<(), Problem> {
        let key = self.project.key();
        if history.of(key).next().is_some() {
            return Ok(());
        }
        let mine = |row: &&AppliedRevision| {
            self.graph.lineage().find(row.id.as_str()).is_some_and(|at| self.graph.seal(at) == row.seal)
        };
        let Some(row) = history.rows().iter().find(mine) else { return Ok(()) };
        // Another package may begin with the same statements under the same id, but it does not go on with them.
        let other = |row: &&AppliedRevision| self.graph.find(row.id.as_str()).is_some() && !mine(row);
        let (same, others) =
            (history.of(&row.package).filter(mine).count(), history.of(&row.package).filter(other).count());
        if self.package(&row.package).is_some() || same <= others {
            return Ok(());
        }
        let old = printable(&row.package);
        Err(Problem::new(OTHER_PACKAGE, format!("{database} has these migrations as those of `{old}`, not of `{key}`"))
            .help(format!("where the package was renamed: `cargo migrate repair --rename {old}={key}`"))
            .help(format!("or keep its key: `name = \"{old}\"` below `[package.metadata.migrate]`")))
    }

    /// Brings the lock files up to date with a database's history, and with the files. A library's are its own.
    ///
    /// # Errors
    /// Locks that cannot be read or written.
    pub fn record(&self, database: Option<(&Database, &History)>) -> Result<bool> {
        let mut written = self.record_itself(database)?;
        for beside in &self.beside {
            if let (Some((_, history)), Some(named)) = (database, &beside.database) {
                written |= beside.opened.record_itself(Some((named, history)))?;
            }
        }
        Ok(written)
    }

    /// Brings each package's lock files up to date with a database that `named` knows under the package's name for it.
    ///
    /// # Errors
    /// As [`Opened::record`].
    pub fn record_as(&self, history: &History, named: &dyn Fn(&Self) -> Option<Database>) -> Result<bool> {
        let mut written = false;
        for opened in self.all() {
            if let Some(database) = named(opened) {
                written |= opened.record_itself(Some((&database, history)))?;
            }
        }
        Ok(written)
    }

    pub(crate) fn record_itself(&self, database: Option<(&Database, &History)>) -> Result<bool> {
        if self.project.is_library() {
            return Ok(false);
        }
        let key = self.project.key();
        // Most commands change nothing, and what was read when this one began says so.
        let mut wanted = self.locks.clone();
        record(&mut wanted, &self.graph, key, database);
        if wanted == self.locks {
            return Ok(false);
        }
        Ok(self.directory.update_locks(|locks| record(locks, &self.graph, key, database))?)
    }

    /// The packages that a history has rows of and that are none of these, with how many revisions each has.
    #[must_use]
    pub fn strangers(&self, history: &History) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for row in history.rows().iter().filter(|row| self.package(&row.package).is_none()) {
            *found.entry(row.package.clone()).or_default() += 1;
        }
        found
    }
}

/// What a problem of one package among several is told as.
#[must_use]
pub fn of_package(failure: Failure, key: &str) -> Failure {
    let note = |problem: &Problem| problem.clone().note(format!("in the package `{}`", printable(key)));
    failure.problems().iter().map(note).collect::<Vec<_>>().into()
}
