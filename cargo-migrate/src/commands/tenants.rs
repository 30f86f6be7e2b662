//! `upgrade --each`: the same migrations on many databases of one kind.
//!
//! What each database has been through stands in its own version table and nowhere else, so a run that was interrupted
//! goes on where it stopped, and a database that was put back from a backup is behind. `found` are the databases that
//! are meant, `tally` counts and tells.

mod found;
mod tally;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use build_support::problem::Problem;
use build_support::revision::RevisionId;
use build_support::target;
use build_support::verify::EDITED;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::Plan;
use migrate_runtime::runner::{self, HISTORY_MOVED, Report};

use self::tally::Tally;
use crate::app::{App, Opened};
use crate::args::UpgradeArgs;
use crate::commands::confirm;
use crate::commands::outcome::revisions;
use crate::commands::run::{self, Request, upgrade_planner};
use crate::commands::safeguard::Asked;
use crate::each;
use crate::failure::{Failure, Result};
use crate::live;
use crate::live::file::NO_DATABASE_FILE;
use crate::live::server::MISSING;
use crate::project::Database;
use crate::report::many;
use crate::side_by_side;

/// How many files that are left out are named.
const LISTED: usize = 3;

/// One of many databases.
struct Tenant {
    database: Database,
    /// The database as each package's configuration names it, by the package's key; empty where none knows it.
    named: HashMap<String, Database>,
    /// What a person has agreed to, where it is protected.
    confirmed: Option<Plan>,
}

/// What all of them share.
struct Work<'a> {
    app: App<'a>,
    opened: &'a Opened,
    target: &'a str,
    args: &'a UpgradeArgs,
    tenants: &'a [Tenant],
    tally: Mutex<Tally>,
    /// The rows of those databases that no configuration knows: the lock has one name for all of them.
    rows: Mutex<HashMap<(String, RevisionId), AppliedRevision>>,
    /// Held while the lock files are written.
    locks: Mutex<()>,
}

/// `cargo migrate upgrade --each`
pub(super) fn upgrade(app: App<'_>, args: &UpgradeArgs) -> Result<()> {
    possible(app, args)?;
    let (opened, target, found) = found::find(app, args)?;
    opened.verified()?;
    found.tell_left_out(app);
    let mut tenants = found::tenants(app, &opened, &found.urls)?;
    of_one_text(&opened, args, &tenants)?;
    ask(app, &opened, target, args, &mut tenants)?;
    let start = Instant::now();
    let work = Work {
        app,
        opened: &opened,
        target,
        args,
        tenants: &tenants,
        tally: Mutex::new(Tally::new(app, tenants.len())),
        rows: Mutex::default(),
        locks: Mutex::default(),
    };
    work.all();
    work.record();
    let tally = work.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<PathBuf> = tenants.iter().map(|it| opened.project.show_place(&it.database)).collect();
    if app.json() {
        app.shell.json(&tally.document(&opened, args, &names, &found));
    } else {
        tally.summary(app, args, &names, start.elapsed());
    }
    tally.said(app, &tenants.iter().map(|it| &it.database).collect::<Vec<_>>(), &names);
    tally.ended(&names)
}

/// Refuses what does not go together with many databases.
fn possible(app: App<'_>, args: &UpgradeArgs) -> Result<()> {
    // It is not shown: there may be a password in it.
    if args.target.contains("://") {
        return Err(Failure::misused("the target is a URL, as if one `--each` took several patterns")
            .help("write `--each` before each of them"));
    }
    run::no_range(&args.target)?;
    if app.global.database.is_some() {
        return Err(Failure::misused("`-d` names one database, and `--each` means many")
            .help("leave one of them out; a pattern fits a single file as well"));
    }
    // No target has a dot in it, and a file of the name `head` is nobody's mistake.
    let is_path = args.target.contains(['/', '\\', '.']);
    if is_path && app.context.working_directory().join(&args.target).is_file() {
        return Err(Failure::misused("the target is a file, as if a shell had put files in the place of the pattern")
            .help("put the pattern between quotes: `--each 'tenants/*.db'`"));
    }
    Ok(())
}

/// Refuses to give databases a text of which others of them have another one: there would be two kinds of them, both under
/// one id. That can only be where the lock does not fix the text.
fn of_one_text(opened: &Opened, args: &UpgradeArgs, tenants: &[Tenant]) -> Result<()> {
    let is_draft =
        |of: &Opened| of.graph.migrations().iter().any(|it| of.locks.shared.sealed(it.id.as_str()).is_none());
    if !opened.all().any(is_draft) {
        return Ok(());
    }
    // What cannot be read is told when its turn comes.
    let read = |tell: &(dyn Fn(&Tenant, History) + Sync)| {
        side_by_side::each(jobs(args), tenants.len(), |at| {
            let tenant = &tenants[at];
            opened.history(&tenant.database).map_or_else(drop, |history| tell(tenant, history));
        });
    };
    let others: Mutex<BTreeMap<(String, RevisionId), Vec<PathBuf>>> = Mutex::default();
    read(&|tenant, history| {
        let is_other =
            |row: &&AppliedRevision| opened.file_of(row).is_some_and(|file| file.statements != row.statements);
        for row in history.rows().iter().filter(is_other) {
            let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
            let path = opened.project.show_place(&tenant.database);
            others.entry((row.package.clone(), row.id.clone())).or_default().push(path);
        }
    });
    let others = others.into_inner().unwrap_or_else(PoisonError::into_inner);
    if others.is_empty() {
        return Ok(());
    }
    let lacking: Mutex<BTreeSet<(String, RevisionId)>> = Mutex::default();
    read(&|_, history| {
        let lacks = others.keys().filter(|(package, id)| history.find(package, id).is_none());
        lacking.lock().unwrap_or_else(PoisonError::into_inner).extend(lacks.cloned());
    });
    let lacking = lacking.into_inner().unwrap_or_else(PoisonError::into_inner);
    let problems: Vec<Problem> = others
        .iter()
        .filter(|(key, _)| lacking.contains(*key))
        .map(|((package, id), paths)| {
            let named = opened.named(package, id.as_str());
            let place = opened.package(package).and_then(|of| of.graph.find(id.as_str())).map(|file| file.path.clone());
            let shown: Vec<String> =
                paths.iter().take(LISTED).map(|path| opened.project.show_path(path).display().to_string()).collect();
            let more = if paths.len() > LISTED { ", …" } else { "" };
            let problem = Problem::new(
                EDITED,
                format!("`{named}` does something else in {} than in its file, and others lack it", many(paths.len(), "database")),
            )
            .note(format!("they are {}{more}", shown.join(", ")))
            .note("nothing was done: there would be two kinds of databases under one id")
            .help("put the file back as those databases had it (`git checkout` of it), and write the change as a new revision")
            .help("or take it off those databases first, each by its URL: `cargo migrate downgrade -d URL TARGET`");
            match place {
                Some(place) => problem.in_file(place),
                None => problem,
            }
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// Asks once for all protected databases that have something to do, and notes what is agreed to.
fn ask(app: App<'_>, opened: &Opened, target: &str, args: &UpgradeArgs, tenants: &mut [Tenant]) -> Result<()> {
    if args.yes || args.dry_run {
        return Ok(());
    }
    for tenant in tenants.iter_mut().filter(|tenant| tenant.database.protected) {
        // What cannot be planned now fails when its turn comes, and until then nothing is agreed to.
        let history = opened.history(&tenant.database).unwrap_or_default();
        let plan = upgrade_planner(opened, &tenant.database, target)(&history);
        tenant.confirmed = Some(plan.unwrap_or_default());
    }
    let steps = |tenant: &Tenant| tenant.confirmed.as_ref().map_or(0, |plan| plan.steps.len());
    let protected: Vec<&Tenant> = tenants.iter().filter(|tenant| steps(tenant) > 0).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let databases: Vec<&Database> = protected.iter().map(|tenant| &tenant.database).collect();
    let help = "look at what will run with `--dry-run`, then say `--yes`";
    confirm::protected_among(app, &databases, tenants.len(), false, help, || {
        for tenant in &protected {
            let shown = live::shown(&opened.project, &tenant.database);
            app.shell.status("Upgrade", format!("{shown}, which is protected: {}", revisions(steps(tenant))));
        }
        if tenants.len() > protected.len() {
            app.shell.status("Upgrade", format!("and {} more", tenants.len() - protected.len()));
        }
    })?;
    Ok(())
}

impl Work<'_> {
    /// Upgrades those that are tried first, and if they do well the others, some at once.
    fn all(&self) {
        let count = self.tenants.len();
        let first = self.args.each.canary.map_or(0, |canary| canary.get().min(count));
        (0..first).for_each(|at| self.one(at));
        if self.tally().failed() > 0 {
            return;
        }
        side_by_side::each(jobs(self.args), count - first, |at| self.one(first + at));
    }

    fn one(&self, at: usize) {
        let tenant = &self.tenants[at];
        let shell = self.app.shell.one_of_many(&tenant.database.to_string());
        let start = Instant::now();
        let result = self.upgraded(App { shell: &shell, ..self.app }, tenant);
        let elapsed = start.elapsed();
        let path = self.opened.project.show_place(&tenant.database);
        self.tally().add(self.app, (at, &path), result, shell, elapsed);
    }

    fn upgraded(&self, app: App<'_>, tenant: &Tenant) -> Result<Report> {
        let Tenant { database, confirmed, .. } = tenant;
        if let Some(path) = database.url.file().filter(|path| !path.is_file()) {
            let problem = Problem::new(NO_DATABASE_FILE, "this file is gone since the pattern found it");
            return Err(problem.in_file(path).help("if it belongs there, put it back").into());
        }
        let planner = upgrade_planner(self.opened, database, self.target);
        let planner = |history: &History| {
            let plan = planner(history)?;
            match confirmed {
                Some(confirmed) if *confirmed != plan => Err(vec![moved()]),
                _ => Ok(plan),
            }
        };
        let request = Request {
            dry_run: self.args.dry_run,
            per_revision: self.args.per_revision,
            create: false,
            as_seen: target::is_relative(self.target),
            yes: true,
            // As for a single one: what is edited on a scratch database is taken off on the way.
            down_from: database.scratch.then_some(runner::DownFrom::Stored),
            backup: Asked::of(self.args.safety),
        };
        let keep = |history: &History| self.keep(app, tenant, history);
        let looked = self.opened.look(database);
        looked
            .and_then(|looked| run::moved(app, self.opened, (database, looked), &request, &planner, &keep))
            .map_err(|failure| gone(database).unwrap_or_else(|| of_schema(database, failure)))
    }

    /// Takes what a database has for the lock files. They are written at once where it is something new; what a thousand
    /// databases have in common is written once.
    fn keep(&self, app: App<'_>, tenant: &Tenant, history: &History) {
        if tenant.named.is_empty() {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            let before = rows.len();
            for row in history.rows() {
                let key = (row.package.clone(), row.id.clone());
                rows.entry(key).or_insert_with(|| row.clone());
            }
            let news = rows.len() > before;
            drop(rows);
            // From the first database on that has it a text is fixed, whatever becomes of this process.
            if news {
                let _held = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
                self.record();
            }
            return;
        }
        let _held = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |opened: &Opened| tenant.named.get(opened.project.key()).cloned();
        run::recorded(app, self.opened.record_as(history, &named));
    }

    /// Writes the lock files for the databases that no configuration knows.
    fn record(&self) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let unnamed = self.tenants.iter().find(|tenant| tenant.named.is_empty()).map(|tenant| tenant.database.clone());
        if !rows.is_empty() && unnamed.is_some() {
            let history = History::new(rows.values().cloned().collect());
            run::recorded(self.app, self.opened.record_as(&history, &|_| unnamed.clone()));
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many are worked on at once.
fn jobs(args: &UpgradeArgs) -> usize {
    args.each.jobs.map_or_else(side_by_side::processors, usize::from)
}

/// What is advised where a schema is a database of its own: a version table has no other place there.
fn of_schema(database: &Database, failure: Failure) -> Failure {
    if database.server().is_none_or(|server| server.schema().is_none()) {
        return failure;
    }
    let told = |help: &String| match help.contains("version-table = ") {
        true => "or name the role that may work there, `role = \"ROLE\"` of the database".to_owned(),
        false => help.clone(),
    };
    failure.problems().iter().map(|problem| problem.clone().map_help(told)).collect::<Vec<_>>().into()
}

/// Why an upgrade has failed, where a server's database or schema is not there any more.
fn gone(database: &Database) -> Option<Failure> {
    let server = database.server()?;
    // Who cannot be asked is not known to be gone.
    if each::server::is_there(server).unwrap_or(true) {
        return None;
    }
    let what = if server.schema().is_some() { "schema" } else { "database" };
    let problem = Problem::new(MISSING, format!("this {what} is gone since the pattern found it"));
    Some(database.blamed(problem).help("if it belongs there, put it back").into())
}

fn moved() -> Problem {
    Problem::new(HISTORY_MOVED, "the database's history has moved since somebody agreed, so nothing was done to it")
        .help("run the command again and look at the new plan")
}
