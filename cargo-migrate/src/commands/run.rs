//! `upgrade` and `downgrade`.

use std::time::{Duration, Instant};

use build_support::problem::Problem;
use build_support::target;
use migrate_runtime::driver::Driver;
use migrate_runtime::event::Event;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::{self, Direction, Plan, Step};
use migrate_runtime::runner::{self, Options, Report, Stopped};

use crate::app::{App, Opened, Purpose};
use crate::args::{DownFrom, DowngradeArgs, UpgradeArgs};
use crate::commands::confirm;
use crate::commands::preview::{self, Way};
use crate::commands::safeguard::{Asked, Safeguard};
use crate::commands::{ground, outcome, scratch, several, tenants};
use crate::drift;
use crate::failure::{Failure, Result};
use crate::live::{self, Live, Looked};
use crate::project::Database;
use crate::rehearsal::{Copy, Start, Writing};

/// What a backup may always wait, where a run may wait as long.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How a run was asked for.
#[derive(Default)]
pub(super) struct Request {
    pub(super) dry_run: bool,
    pub(super) per_revision: bool,
    pub(super) create: bool,
    /// Refuse where another runner has moved the database since the first look, by which the plan was meant. Else what
    /// others have done meanwhile is nothing left to do.
    pub(super) as_seen: bool,
    pub(super) yes: bool,
    pub(super) down_from: Option<runner::DownFrom>,
    pub(super) backup: Asked,
}

/// `cargo migrate upgrade`
pub(super) fn upgrade(app: App<'_>, args: &UpgradeArgs) -> Result<()> {
    if args.sql {
        return preview::print(app, Way::Up, &args.target, args.per_revision, None);
    }
    if !args.each.each.is_empty() {
        return tenants::upgrade(app, args);
    }
    no_range(&args.target)?;
    let (groups, target) = app.groups_for(&args.target, Purpose::Change)?;
    several::on_databases(app, "upgrade", groups, &|app, opened, database| {
        let database = database?;
        opened.verified()?;
        let request = Request {
            dry_run: args.dry_run,
            per_revision: args.per_revision,
            create: args.create || database.may_be_created(),
            as_seen: target::is_relative(target),
            yes: args.yes,
            // Only what is edited on a scratch database is taken off on the way, and by the down that was stored.
            down_from: database.scratch.then_some(runner::DownFrom::Stored),
            backup: Asked::of(args.safety),
        };
        let report = run(app, opened, database, &request, &upgrade_planner(opened, database, target))?;
        outcome::told(app, opened, database, &report, "upgrade", args.dry_run);
        Ok(())
    })
}

/// `cargo migrate downgrade`
pub(super) fn downgrade(app: App<'_>, args: &DowngradeArgs) -> Result<()> {
    if args.sql {
        return preview::print(app, Way::Down, &args.target, args.per_revision, args.down_from.map(down_from));
    }
    no_range(&args.target)?;
    let (groups, target) = app.groups_for(&args.target, Purpose::TakeBack)?;
    several::on_databases(app, "downgrade", groups, &|app, opened, database| {
        let database = database?;
        let request = Request {
            dry_run: args.dry_run,
            per_revision: args.per_revision,
            create: false,
            as_seen: true,
            yes: args.yes,
            down_from: args.down_from.map(down_from),
            backup: Asked::of(args.safety),
        };
        let planner = |history: &History| opened.downgrade_plan(history, target);
        let report = run(app, opened, database, &request, &planner)?;
        outcome::told(app, opened, database, &report, "downgrade", args.dry_run);
        Ok(())
    })
}

/// Refuses a range: a run starts from where the database is.
pub(super) fn no_range(target: &str) -> Result<()> {
    if target.contains(':') {
        return Err(Failure::misused("a range is for `--sql`: a run starts from where the database is")
            .help("name the target alone; or add `--sql` to print the script of the range"));
    }
    Ok(())
}

pub(super) fn down_from(from: DownFrom) -> runner::DownFrom {
    match from {
        DownFrom::Stored => runner::DownFrom::Stored,
        DownFrom::File => runner::DownFrom::File,
    }
}

/// The planner of an upgrade: on a scratch database what was edited is taken off first.
pub(super) fn upgrade_planner<'a>(
    opened: &'a Opened,
    database: &'a Database,
    target: &'a str,
) -> impl Fn(&History) -> std::result::Result<Plan, Vec<Problem>> + 'a {
    let name = format!("`{}`", database.lock_name());
    move |history| {
        opened.not_renamed(history, &name).map_err(|problem| vec![problem])?;
        let history = &opened.with_accepted_texts(history);
        let off = if database.scratch { scratch::outdated(opened, history) } else { Vec::new() };
        let steps = scratch::take_off(&off, database)?;
        let kept = scratch::without(history, &off);
        let plan = opened.upgrade_plan(kept.as_ref().unwrap_or(history), target, &name)?;
        Ok(Plan { steps: steps.into_iter().chain(plan.steps).collect() })
    }
}

/// Makes and carries out a plan on a database, then brings the locks up to date.
pub(super) fn run(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    request: &Request,
    planner: &dyn Fn(&History) -> std::result::Result<Plan, Vec<Problem>>,
) -> Result<Report> {
    let looked = match opened.look(database) {
        // What has no place for a version table has no history; it gets one where that is asked for.
        Err(_) if request.create && !request.dry_run && live::is_without_schema(database)? => Looked::default(),
        looked => looked?,
    };
    moved(app, opened, (database, looked), request, planner, &|history| record(app, opened, database, history))
}

/// The same of a database that was looked at, where `record` takes what it has then.
pub(super) fn moved(
    app: App<'_>,
    opened: &Opened,
    (database, mut looked): (&Database, Looked),
    request: &Request,
    planner: &dyn Fn(&History) -> std::result::Result<Plan, Vec<Problem>>,
    record: &dyn Fn(&History),
) -> Result<Report> {
    opened.fits(database)?;
    // Looked at first without the lock: a mistake in the target is found before a file is made or a person asked.
    let first = match planner(&looked.history) {
        Ok(plan) => plan,
        // A run of another process may be between two of its commits: the runner knows, and waits for it.
        // Where a person must agree first there is nothing to show yet.
        Err(problems)
            if problems.iter().all(|problem| problem.code() == plan::INTERRUPTED)
                && (!database.protected || request.yes) =>
        {
            Plan::default()
        }
        Err(problems) => return Err(problems.into()),
    };
    // What was committed by then needs nothing: whoever moves the database at this moment comes after.
    let interrupted = looked.history.rows().iter().any(AppliedRevision::is_half_way);
    if first.steps.is_empty() && !interrupted {
        if !request.dry_run {
            record(&looked.history);
        }
        return Ok(Report { done: Vec::new(), history: looked.history });
    }
    // A rebuild knows the indexes and triggers of the migrations alone; what was made by hand would go with the old table.
    if !database.scratch && drift::at_a_glance(&mut looked, opened)? == Some(true) {
        app.shell.problem(&drift::noticed(&database.to_string()));
    }
    // What is looked at and what is kept wait for others together no longer than a run may.
    let looking = Instant::now();
    let safeguard = {
        let (_, live) = looked.parts();
        Safeguard::of(opened, (database, live), &first.steps, request.down_from, request.backup)?
    };
    // What is tried loses nothing, and tells what the run itself could lose.
    let safeguard = if request.dry_run {
        safeguard.tell_dangers(app);
        None
    } else {
        Some(safeguard)
    };
    let left = app.wait(opened).saturating_sub(looking.elapsed());
    let asked = confirm(app, opened, database, request, &first, safeguard.as_ref())?;
    let expected = (asked || request.as_seen).then_some(&first);
    if !asked && let Some(safeguard) = &safeguard {
        safeguard.tell(app);
    }
    if first.is_split() {
        app.shell
            .note("this run is made in several commits: a revision in it runs outside a transaction or on its own");
    }
    let per_revision = !request.dry_run && (request.per_revision || opened.project.settings().per_revision);
    let (copy, tried_on);
    let existed = looked.is_there();
    if asked {
        // A session that is left idle while a person thinks may have been ended.
        looked.leave();
    }
    if !existed && !request.dry_run {
        outcome::note_lost(app, opened, database, request.create);
    }
    let (mut writing, dry_run) = if !request.dry_run {
        (app.open_for_writing(database, looked, request.create)?, false)
    } else if !existed && database.server().is_none() {
        (Live::File(live::file::in_memory()?).into(), false)
    } else if first.is_split() && database.server().is_none() {
        // What commits more than once cannot be rolled back at its end, so it is tried on a copy.
        copy = live::file::copy(database, app.wait(opened))?;
        (Live::File(live::file::open_file(copy.path())?).into(), false)
    } else if first.is_split() && existed {
        // A server copies no database by itself that is in use.
        looked.leave();
        tried_on = Copy::make(app, opened, Start::Of(database), app.interrupts)?;
        (tried_on.open()?.into(), false)
    } else if let Some(server) = database.server().filter(|_| !existed && request.create) {
        return Err(live::server::not_made(database, server));
    } else {
        (app.open_for_writing(database, looked, false)?, true)
    };
    let begun = Instant::now();
    let before = |steps: &[Step]| match &safeguard {
        Some(safeguard) => {
            // What is not held at all is not to be missed for want of a moment.
            let left = left.saturating_sub(begun.elapsed()).max(app.wait(opened).min(A_MOMENT));
            safeguard.make(app, opened, (database, left), steps)
        }
        None => Ok(()),
    };
    let how = How {
        per_revision,
        dry_run,
        expected,
        down_from: request.down_from,
        // What is only tried, and not rolled back at its end, was thrown away.
        on_copy: request.dry_run && !dry_run,
        before: Some(&before),
    };
    let Writing { guarded, live } = &mut writing;
    let mut under_way = None;
    let result = carry_out(app, opened, live, &how, planner, &mut |event| {
        if let Event::Started(step) = &event {
            under_way = Some((*step).clone());
        }
        if let Some(guarded) = guarded {
            guarded
                .follow(&event, |step| app.shell.lines_of(&opened.settled_alone(&step.package, plan::half_way(step))));
        }
        outcome::observe(app, opened, &event);
    });
    drop(writing);
    match result {
        Ok(report) => {
            if !request.dry_run {
                record(&report.history);
            }
            Ok(report)
        }
        Err(stopped) => {
            if !stopped.kept.is_empty() && !request.dry_run {
                let history = opened.history(database)?;
                record(&history);
                let ids: Vec<String> =
                    stopped.kept.iter().map(|step| opened.named(&step.package, step.id.as_str())).collect();
                app.shell.warning(format!("what was committed before is kept: {}", ids.join(", ")));
            }
            // It is not removed: another process may have opened it in the meantime.
            let is_empty = |path| std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
            if !existed && database.url.file().is_none_or(is_empty) {
                app.shell.note(format!("{} was made, and is empty", live::shown(&opened.project, database)));
            }
            let problems = ground::named(app, opened, stopped.problems).into_iter();
            let settled = problems.map(|problem| match &under_way {
                Some(step) => opened.settled_alone(&step.package, problem),
                None => problem,
            });
            Err(settled.collect::<Vec<_>>().into())
        }
    }
}

/// How the runner is to work on an open connection.
#[derive(Default)]
pub(super) struct How<'a> {
    pub(super) per_revision: bool,
    pub(super) dry_run: bool,
    pub(super) expected: Option<&'a Plan>,
    pub(super) down_from: Option<runner::DownFrom>,
    /// As [`Options::on_copy`].
    pub(super) on_copy: bool,
    /// As [`Options::before`].
    pub(super) before: Option<runner::Before<'a>>,
}

/// Hands a connection to the runner; `observer` is [`outcome::observe`] where a person is to see what it does.
pub(super) fn carry_out(
    app: App<'_>,
    opened: &Opened,
    live: &mut dyn migrate_runtime::database::Database,
    how: &How<'_>,
    planner: &dyn Fn(&History) -> std::result::Result<Plan, Vec<Problem>>,
    observer: &mut dyn FnMut(Event<'_>),
) -> std::result::Result<Report, Stopped> {
    let mut driver = live.driver(&opened.project.settings().version_table);
    driven(app, opened, &mut *driver, how, planner, observer)
}

/// The same of a driver, which keeps a lock that it holds already.
pub(super) fn driven(
    app: App<'_>,
    opened: &Opened,
    driver: &mut dyn Driver,
    how: &How<'_>,
    planner: &dyn Fn(&History) -> std::result::Result<Plan, Vec<Problem>>,
    observer: &mut dyn FnMut(Event<'_>),
) -> std::result::Result<Report, Stopped> {
    let now = || app.now();
    let options = Options {
        per_revision: how.per_revision,
        dry_run: how.dry_run,
        expected: how.expected,
        down_from: how.down_from,
        on_copy: how.on_copy,
        before: how.before,
        ..Options::new(app.wait(opened), &now, env!("CARGO_PKG_VERSION"))
    };
    runner::run(driver, &opened.files(), planner, &options, observer)
}

/// Writes the locks; where they cannot be written (a read-only checkout in deployment) that is a warning.
pub(super) fn record(app: App<'_>, opened: &Opened, database: &Database, history: &History) {
    recorded(app, opened.record(Some((database, history))));
}

/// Warns of locks that could not be written.
pub(super) fn recorded(app: App<'_>, written: Result<bool>) {
    if let Err(failure) = written {
        for problem in failure.problems() {
            let told = problem.clone().as_warning();
            app.shell.problem(&told.note("the database is as it should be, but the lock could not be written"));
        }
    }
}

/// Asks before a protected database is written; gives whether somebody was asked.
fn confirm(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    request: &Request,
    plan: &Plan,
    safeguard: Option<&Safeguard>,
) -> Result<bool> {
    if request.dry_run || plan.steps.is_empty() {
        return Ok(false);
    }
    confirm::protected(
        app,
        &opened.project,
        database,
        request.yes,
        "look at what will run with `--dry-run`, then say `--yes`",
        || {
            for step in &plan.steps {
                app.shell.status(verb(step), outcome::step_line(opened, step));
            }
            if let Some(safeguard) = safeguard {
                safeguard.tell(app);
            }
        },
    )
}

fn verb(step: &Step) -> &'static str {
    match step.direction {
        Direction::Upgrade => "Upgrade",
        Direction::Downgrade => "Downgrade",
    }
}
