//! A copy where one revision after the other is tried.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use build_support::problem::Problem;
use build_support::revision::RevisionId;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::{At, Packages, Plan, downgrade_step};
use migrate_runtime::runner::{self, DownFrom, Options, store_problem};

use super::site::{Moment, Site, Told};
use super::{Copy, Interrupts, Rehearsed, Start, Verdict, Way, compared, no_second_copy};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};

pub(super) struct Stage<'a, S: Site> {
    app: App<'a>,
    opened: &'a Opened,
    packages: &'a Packages<'a>,
    site: S,
    /// What is there now, where it was asked for since the last run.
    seen: Option<Rc<S::Schema>>,
    /// What was lost of the rows that the database has when these revisions were taken off.
    lost: BTreeMap<(String, RevisionId), Vec<String>>,
}

impl<'a, S: Site> Stage<'a, S> {
    /// A new copy, brought to where the first `tried` of these revisions have gone up and the others have not: what is
    /// applied of them, or stands on them, is taken off, and what they stand on is applied.
    pub(super) fn at(
        app: App<'a>,
        (opened, packages): (&'a Opened, &'a Packages<'a>),
        (start, interrupts): (Start<'_>, &Interrupts),
        revisions: &[At],
        tried: usize,
    ) -> Result<Self> {
        let site = S::make(app, opened, start, interrupts)?;
        let mut stage = Self { app, opened, packages, site, seen: None, lost: BTreeMap::new() };
        stage.take_off(&packages.with_descendants(revisions))?;
        let mut needed = packages.with_ancestors(revisions);
        revisions[tried..].iter().for_each(|at| needed[at.0][at.1] = false);
        stage.prepared(&|history| {
            let applied = packages.applied(history);
            let missing = packages.order().iter().filter(|at| needed[at.0][at.1] && !applied[at.0][at.1]);
            Ok(Plan { steps: missing.map(|at| packages.upgrade_step(*at)).collect() })
        })?;
        Ok(stage)
    }

    /// Takes revisions off, the latest applied first, each by itself.
    fn take_off(&mut self, off: &[Vec<bool>]) -> Result<()> {
        let version_table = &self.opened.project.settings().version_table;
        let history = self.site.database().driver(version_table).history().map_err(|error| store_problem(&error))?;
        let goes = |row: &&AppliedRevision| self.packages.find(row).is_some_and(|at| off[at.0][at.1]);
        for row in history.rows().iter().rev().filter(goes) {
            let schema = self.schema()?;
            let held = self.site.held(&schema)?;
            self.prepared(&|_| Ok(Plan { steps: vec![downgrade_step(row)] }))?;
            let lost = held.lost(&*self.schema()?);
            self.lost.insert((row.package.clone(), row.id.clone()), lost);
        }
        Ok(())
    }

    fn prepared(&mut self, planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>) -> Result<()> {
        let Way::Refused(problems) = self.run(planner) else { return Ok(()) };
        let note = |problem: Problem| problem.note("the copy could not be brought to where the rehearsal starts");
        Err(Failure::from(problems.into_iter().map(note).collect::<Vec<_>>()))
    }

    /// Ends the work on the copy.
    pub(super) fn into_copy(self) -> Copy {
        self.site.into_copy()
    }

    /// Tries a revision: up, down, up again. `before` makes another copy as this one is now.
    pub(super) fn rehearse(&mut self, at: At, before: &dyn Fn() -> Result<Self>) -> Result<Rehearsed> {
        let package = self.packages.all()[at.0];
        let migration = package.graph.migration(at.1);
        let directives = &migration.directives;
        let mut found = Rehearsed::of(package.key, self.opened.named(package.key, migration.id.as_str()));
        let was = self.moment(None)?;
        let unchecked = self.site.unchecked()?;
        let tally = self.site.tally();
        found.up = self.upgrade(at);
        found.rows = self.site.changed(&tally);
        found.refused("the upgrade", &found.up.clone());
        if !found.up.is_done() {
            found.judge_foreign_keys();
            return Ok(found);
        }
        found.integrity = self.site.integrity(&mut found.faults);
        found.remarks.extend(self.site.broken(&unchecked)?);
        let after = self.schema()?;
        if !directives.loses.is_empty() {
            let home = self.site.home();
            found.remarks.extend(compared::unknown(&directives.loses, home.as_deref(), [&*was.schema, &*after]));
        }
        if directives.irreversible {
            found.down = Way::Untried("irreversible");
            found.again = Way::Untried("irreversible");
            found.schema = Verdict::Declared;
            found.data = Verdict::Declared;
            found.remarks.push("it is declared irreversible, so its way back was not tried".to_owned());
            found.judge_foreign_keys();
            return Ok(found);
        }
        // Where people have used what it made, it is their rows that count.
        found.remarks.extend(match self.lost.remove(&(package.key.to_owned(), migration.id.clone())) {
            Some(lost) => lost,
            None => self.site.held(&after)?.lost(&*was.schema),
        });
        found.down = self.downgrade(at);
        found.refused("the downgrade", &found.down.clone());
        if found.down.is_done() {
            let back = self.moment(Some(&was.schema))?;
            let left = S::not_restored(&was.schema, &back.schema);
            found.schema = if left.is_empty() { Verdict::Yes } else { Verdict::No };
            found.faults.extend(left);
            self.compare_rows(&was, &back, &directives.loses, before, &mut found)?;
            found.again = self.upgrade(at);
            found.refused("the second upgrade", &found.again.clone());
            // Where the schema was not restored, another one must come of it.
            if found.again.is_done() && found.schema == Verdict::Yes {
                let other = S::second_time(&after, &*self.schema()?);
                found
                    .faults
                    .extend(other.iter().map(|what| format!("the second upgrade does not make the same: {what}")));
            }
        }
        found.judge_foreign_keys();
        Ok(found)
    }

    fn compare_rows(
        &mut self,
        was: &Moment<S::Schema>,
        back: &Moment<S::Schema>,
        declared: &[String],
        before: &dyn Fn() -> Result<Self>,
        found: &mut Rehearsed,
    ) -> Result<()> {
        let differences = was.rows.differences(&back.rows);
        found.data = Verdict::Yes;
        if differences.is_empty() {
            return Ok(());
        }
        let mut pristine = || {
            let mut stage = before()?;
            // Somebody may have written to the database meanwhile, or a revision may not make the same twice.
            let same = stage.moment(Some(&was.schema))?;
            Ok((stage.site, same))
        };
        let Told { lines, without_numbers } = self.site.lines(was, back, &differences, &mut pristine)?;
        found.remarks.extend(without_numbers.as_ref().map(no_second_copy));
        compared::rows(lines, declared, self.site.home().as_deref(), found);
        Ok(())
    }

    fn schema(&mut self) -> Result<Rc<S::Schema>> {
        if let Some(seen) = &self.seen {
            return Ok(Rc::clone(seen));
        }
        let schema = Rc::new(self.site.schema()?);
        self.seen = Some(Rc::clone(&schema));
        Ok(schema)
    }

    /// What is there now, its rows told apart by the keys of another moment's schema, or of its own.
    fn moment(&mut self, keys: Option<&S::Schema>) -> Result<Moment<S::Schema>> {
        let schema = self.schema()?;
        let rows = self.site.rows(&schema, keys.unwrap_or(&schema))?;
        Ok(Moment { schema, rows })
    }

    fn upgrade(&mut self, at: At) -> Way {
        let packages = self.packages;
        let id = packages.id(at).as_str();
        let targets: Vec<_> = (0..packages.all().len()).map(|place| (place == at.0).then_some(id)).collect();
        self.run(&|history| {
            let mut plan = packages.upgrade(history, &targets)?;
            // What it stands on has been rehearsed before it, or is there.
            plan.steps.retain(|step| step.id.as_str() == id && step.package == packages.all()[at.0].key);
            Ok(plan)
        })
    }

    fn downgrade(&mut self, at: At) -> Way {
        let (key, id) = (self.packages.all()[at.0].key, self.packages.id(at));
        self.run(&|history| Ok(Plan { steps: history.find(key, id).map(downgrade_step).into_iter().collect() }))
    }

    fn run(&mut self, planner: &dyn Fn(&History) -> Result<Plan, Vec<Problem>>) -> Way {
        self.seen = None;
        let start = Instant::now();
        let app = self.app;
        let now = || app.now();
        let options = Options {
            down_from: Some(DownFrom::Stored),
            on_copy: true,
            ..Options::new(self.opened.wait, &now, env!("CARGO_PKG_VERSION"))
        };
        let files = self.opened.files();
        let mut driver = self.site.database().driver(&self.opened.project.settings().version_table);
        match runner::run(&mut *driver, &files, planner, &options, &mut |_| {}) {
            Ok(_) => Way::Done(start.elapsed()),
            Err(stopped) => Way::Refused(stopped.problems),
        }
    }
}
