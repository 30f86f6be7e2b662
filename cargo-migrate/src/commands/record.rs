//! Commands that change what the version table says without running a migration: `stamp`, `ensure-version`; `repair`
//! goes through the same `change`.

use std::time::Duration;

use build_support::problem::Problem;
use build_support::revision::RevisionId;
use build_support::target;
use migrate_runtime::database::Database as _;
use migrate_runtime::driver::Driver;
use migrate_runtime::history::{AppliedRevision, History};
use migrate_runtime::plan;
use migrate_runtime::runner::{self, database_problem, store_problem};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::{EnsureVersionArgs, StampArgs};
use crate::commands::{confirm, preview, run, safeguard};
use crate::failure::{Failure, Result};
use crate::live::Looked;
use crate::project::Database;
use crate::project::settings::BackupPolicy;
use crate::report::many;

/// Runs `change` in one transaction of the runner's kind, once no run is under way, then brings the locks up to date.
pub(super) fn change(
    app: App<'_>,
    opened: &Opened,
    database: &Database,
    yes: bool,
    create: bool,
    keeps: bool,
    change: impl FnOnce(&mut dyn Driver, &History) -> Result<usize>,
) -> Result<usize> {
    opened.fits(database)?;
    confirm::protected(app, &opened.project, database, yes, "say `--yes` where this is meant", || ())?;
    // What the record says is data, too: where some of it may go, all of it is kept first.
    let keeps = keeps && !database.scratch && database.backup != BackupPolicy::Never;
    let mut writing = app.open_for_writing(database, Looked::default(), create)?;
    let mut driver = writing.live.driver(&opened.project.settings().version_table);
    let driver = &mut *driver;
    let wait: Duration = app.wait(opened);
    // What is under way belongs to its run, which would end with a record that is not its own.
    let history = runner::begin(driver, wait, &mut || {
        app.shell.status("Waiting", "for another process that holds the database")
    })?;
    opened.not_elsewhere(&history)?;
    driver.ensure_table().map_err(|error| Failure::from(store_problem(&error)))?;
    let changed = change(driver, &history)?;
    driver.finish(&[opened.project.key()]).map_err(|error| Failure::from(store_problem(&error)))?;
    let after = driver.history().map_err(|error| Failure::from(store_problem(&error)))?;
    // Another connection sees what was there before, until this one commits.
    if keeps && changed > 0 && !history.rows().is_empty() {
        safeguard::backup_now(app, opened, (database, wait))?;
    }
    driver.commit(wait).map_err(|error| Failure::from(database_problem(&error)))?;
    run::record(app, opened, database, &after);
    Ok(changed)
}

/// `cargo migrate stamp`
pub(super) fn stamp(app: App<'_>, args: &StampArgs) -> Result<()> {
    let opened = app.open()?;
    opened.verified()?;
    if args.sql {
        return preview::print_change(app, &opened, |driver, history| restamp(app, &opened, args, driver, history));
    }
    let database = app.database(&opened)?;
    let create = database.may_be_created();
    let changed = change(app, &opened, &database, args.yes, create, args.purge, |driver, history| {
        restamp(app, &opened, args, driver, history)
    })?;
    told(app, "stamp", changed);
    Ok(())
}

/// Records that a database is at a revision whose file has just been written: what it does is in the database already.
pub(super) fn stamp_new(app: App<'_>, id: &RevisionId, database: &Database, yes: bool) -> Result<()> {
    let opened = app.open()?;
    let args = StampArgs { revisions: vec![id.to_string()], purge: false, sql: false, yes };
    change(app, &opened, database, yes, false, false, |driver, history| restamp(app, &opened, &args, driver, history))?;
    Ok(())
}

/// Makes the record say that the database is at the targets; gives how many rows changed.
fn restamp(
    app: App<'_>,
    opened: &Opened,
    args: &StampArgs,
    driver: &mut dyn Driver,
    history: &History,
) -> Result<usize> {
    let key = opened.project.key();
    let lineage = opened.graph.lineage();
    let store = |error| Failure::from(store_problem(&error));
    let applied = plan::applied(key, lineage, &history.settled());
    let mut targets = Vec::new();
    for text in &args.revisions {
        match target::resolve(text, lineage, &applied)? {
            target::Resolved::Revisions(found) => targets.extend(found),
            target::Resolved::Base(_) => {}
            target::Resolved::Steps(..) => return Err(Failure::misused("`stamp` takes revisions, not steps")),
        }
    }
    let wanted = lineage.with_ancestors(&targets);
    stands(opened, history, &wanted, &applied)?;
    let mut changed = 0;
    // What is stamped is what the targets stand on; everything else of the package comes off the record. What was
    // interrupted comes off too: whoever stamps knows how the database is, and it is recorded anew where it is wanted.
    for row in history.of(key) {
        let stays = lineage.find(row.id.as_str()).is_some_and(|at| wanted[at]);
        if args.purge || !stays || row.is_half_way() {
            driver.forget(key, &row.id).map_err(store)?;
            changed += 1;
        }
    }
    for &at in lineage.order() {
        if !wanted[at] || (applied[at] && !args.purge) {
            continue;
        }
        let migration = opened.graph.migration(at);
        let down = match &migration.down {
            Some(span) => Some(opened.directory.text(migration)?[span.clone()].to_owned()),
            None => None,
        };
        let row = preview::row_of(app, opened, at, 0);
        driver.record(&row, down.as_deref()).map_err(store)?;
        changed += 1;
    }
    Ok(changed)
}

/// Refuses a record in which revisions stand on others, of this package or of another one, that it does not have.
fn stands(opened: &Opened, history: &History, wanted: &[bool], applied: &[bool]) -> Result<()> {
    let (key, lineage) = (opened.project.key(), opened.graph.lineage());
    let stays = |row: &&AppliedRevision| lineage.find(row.id.as_str()).is_some_and(|at| wanted[at]);
    let off: Vec<&AppliedRevision> = history.rows().iter().filter(|row| row.package == key && !stays(row)).collect();
    let mut problems = plan::depended_on(&off, history);
    let new = lineage.order().iter().filter(|at| wanted[**at] && !applied[**at]);
    let steps: Vec<_> = new.map(|at| plan::upgrade_step(key, &opened.graph, *at)).collect();
    problems.extend(plan::missing_dependencies(&steps, history));
    let note = |problem: Problem| problem.note("what the record says has to hold together");
    if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().map(note).collect::<Vec<_>>().into()) }
}

/// `cargo migrate ensure-version`
pub(super) fn ensure_version(app: App<'_>, args: &EnsureVersionArgs) -> Result<()> {
    let opened = app.open()?;
    if args.sql {
        return preview::print_table(app, &opened);
    }
    let database = app.database(&opened)?;
    change(app, &opened, &database, args.yes, database.may_be_created(), false, |_, _| Ok(0))?;
    if app.json() {
        told(app, "ensure-version", 0);
    } else {
        app.shell.status("Finished", format!("the version table is in {database}"));
    }
    Ok(())
}

pub(super) fn told(app: App<'_>, command: &str, changed: usize) {
    if app.json() {
        app.shell.json(&json!({ "command": command, "rows": changed }));
    } else {
        let rows = many(changed, "row");
        app.shell.status("Finished", format!("{command}: {rows} of the version table changed"));
    }
}
