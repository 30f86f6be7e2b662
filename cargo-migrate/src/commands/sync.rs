//! `sync`: a database follows this checkout, as it has to after a change of git branches.

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan::{self, IRREVERSIBLE, Plan, downgrade_step};
use migrate_runtime::runner::{self, DownFrom};

use crate::app::{App, Opened, Purpose};
use crate::args::SyncArgs;
use crate::commands::outcome;
use crate::commands::run::{self, How, Request};
use crate::commands::safeguard::Asked;
use crate::commands::{confirm, scratch, several};
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::Database;
use crate::rehearsal::{Copy, Start};

/// On a protected database, what is to be taken off has to be named.
pub const NAME_THEM: Code = Code("name-them");

/// What the runner says of some problems itself, in the same words.
const FOUND_ON_COPY: &str = "found on a copy: the database is as it was";

/// `cargo migrate sync`
pub(super) fn sync(app: App<'_>, args: &SyncArgs) -> Result<()> {
    let groups = app.groups(Purpose::Change)?;
    several::on_databases(app, "sync", groups, &|app, opened, database| follow(app, args, opened, database?))
}

fn follow(app: App<'_>, args: &SyncArgs, opened: &Opened, database: &Database) -> Result<()> {
    opened.fits(database)?;
    opened.verified()?;
    let mut looked = opened.look(database)?;
    let history = &looked.history;
    opened.not_renamed(history, &format!("`{}`", database.lock_name()))?;
    let off = elsewhere(opened, history);
    named(database, &off, &args.revisions)?;
    replaced(app, args, opened, database, history)?;
    let planner = planner(opened, database);
    let plan = planner(history)?;
    if !plan.steps.is_empty() && looked.is_there() {
        // A server copies no database by itself that is in use.
        looked.leave();
        rehearse(app, opened, database, &planner)?;
        looked = opened.look(database)?;
        if planner(&looked.history)? != plan {
            return Err(runner::moved_since().into());
        }
    }
    let request = Request {
        dry_run: args.dry_run,
        create: database.may_be_created(),
        as_seen: true,
        yes: args.yes,
        down_from: Some(DownFrom::Stored),
        backup: Asked::of(args.safety),
        ..Request::default()
    };
    let record = |history: &History| run::record(app, opened, database, history);
    let report = run::moved(app, opened, (database, looked), &request, &planner, &record)?;
    outcome::told(app, opened, database, &report, "sync", args.dry_run);
    Ok(())
}

/// The rows of what is not in this checkout, and of what stands on it; the latest applied first.
pub(super) fn elsewhere<'h>(opened: &'h Opened, history: &'h History) -> Vec<&'h AppliedRevision> {
    scratch::with_followers(opened, history, |row| opened.file_of(row).is_none())
}

/// Refuses to take anything off a protected database that has not been named, each by its id or a part that is its alone.
fn named(database: &Database, off: &[&AppliedRevision], names: &[String]) -> Result<()> {
    let matches = |row: &AppliedRevision, name: &str| row.id.as_str().contains(name);
    let all_named = off.iter().all(|row| names.iter().any(|name| matches(row, name)));
    let all_meant = names.iter().all(|name| off.iter().filter(|row| matches(row, name)).count() == 1);
    if all_meant && (all_named || !database.protected) {
        return Ok(());
    }
    let ids: Vec<&str> = off.iter().map(|row| row.id.as_str()).collect();
    let what = if ids.is_empty() { "nothing".to_owned() } else { ids.join(" ") };
    Err(Problem::new(NAME_THEM, format!("what would be taken off {database} is not what was named"))
        .note(format!("it would be: {what}"))
        .help(if ids.is_empty() {
            "name none: `cargo migrate sync`".to_owned()
        } else {
            format!("look at them on their branch, then name them: `cargo migrate sync {what}`")
        })
        .into())
}

/// Asks before all that a package has in a database is replaced by another history: where none of its revisions is at
/// hand, the folder or the database is more likely to be the wrong one than the checkout to be another one.
fn replaced(app: App<'_>, args: &SyncArgs, opened: &Opened, database: &Database, history: &History) -> Result<()> {
    let is_foreign = |of: &&Opened| plan::is_foreign(of.project.key(), &of.graph, history);
    let Some(foreign) = opened.all().find(is_foreign).filter(|_| !database.scratch && !args.dry_run) else {
        return Ok(());
    };
    let rows: Vec<&AppliedRevision> = history.of(foreign.project.key()).collect();
    let tell = || {
        rows.iter().for_each(|row| app.shell.status("Downgrade", format!("{}, {}", row.id, printable(&row.message))))
    };
    let refusal = |why: &str| {
        plan::foreign(&rows, &format!("`{}`", database.lock_name())).note(why).help(
            "where all that these have made is to go, with its rows: look at it with `--dry-run`, then say `--yes`",
        )
    };
    let question = format!(
        "all that {} has of these migrations would be taken off. Go on?",
        live::shown(&opened.project, database)
    );
    confirm::ask(app, args.yes, &question, tell, refusal).map(drop)
}

/// Takes off what is not in this checkout, and then applies what is pending.
fn planner<'a>(
    opened: &'a Opened,
    database: &'a Database,
) -> impl Fn(&History) -> std::result::Result<Plan, Vec<Problem>> + 'a {
    let name = format!("`{}`", database.lock_name());
    move |history| {
        let history = &opened.with_accepted_texts(history);
        let off = elsewhere(opened, history);
        if let Some(row) = off.iter().find(|row| row.directives.irreversible) {
            return Err(vec![
                Problem::new(
                    IRREVERSIBLE,
                    format!("`{}` is not in this checkout, and it is declared irreversible", row.id),
                )
                .help("switch back to the branch that it stands on, or merge it")
                .help("or restore a backup from before it: `cargo migrate backups`"),
            ]);
        }
        let kept = scratch::without(history, &off);
        let plan = opened.upgrade_plan(kept.as_ref().unwrap_or(history), "heads", &name)?;
        Ok(Plan { steps: off.iter().map(|row| downgrade_step(row)).chain(plan.steps).collect() })
    }
}

/// Does the same on a copy first: a way back that does not work is found there.
fn rehearse(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    planner: &dyn Fn(&History) -> std::result::Result<Plan, Vec<Problem>>,
) -> Result<()> {
    if !app.json() {
        app.shell.status("Rehearsing", format!("on a copy of {}", live::shown(&opened.project, database)));
    }
    let copy = Copy::make(app, opened, Start::Of(database), app.interrupts)?;
    let mut connection = copy.open()?;
    let how = How { down_from: Some(DownFrom::Stored), on_copy: true, ..How::default() };
    run::carry_out(app, opened, &mut connection, &how, planner, &mut |_| {}).map(drop).map_err(|stopped| {
        let note = |problem: Problem| match problem.notes().iter().any(|note| note == FOUND_ON_COPY) {
            true => problem,
            false => problem.note(FOUND_ON_COPY),
        };
        Failure::from(stopped.problems.into_iter().map(note).collect::<Vec<_>>())
    })
}
