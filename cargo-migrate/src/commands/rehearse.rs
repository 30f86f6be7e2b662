//! `test`: a rehearsal of what is pending, on a copy.

use std::time::Duration;

use build_support::problem::{Problem, printable};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use migrate_runtime::history::History;
use migrate_runtime::plan::{At, IRREVERSIBLE};
use serde_json::json;

use crate::app::{App, Opened, Purpose};
use crate::args::{Format, TestArgs};
use crate::commands::{look, run, scratch, several, trust};
use crate::failure::{Failure, Result};
use crate::live::file::NO_DATABASE_FILE;
use crate::live::server::MISSING;
use crate::project::Database;
use crate::rehearsal::{Kept, NOT_SAFE, Rehearsed, Start, Verdict, rehearse, report, together};
use crate::report::many;

/// `cargo migrate test`
pub(super) fn test(app: App<'_>, args: &TestArgs) -> Result<()> {
    let groups = app.groups(Purpose::Look)?;
    several::on_databases(app, "test", groups, &|app, opened, database| test_one(app, args, opened, database))
}

fn test_one(app: App<'_>, args: &TestArgs, opened: &Opened, database: Result<&Database>) -> Result<()> {
    opened.verified()?;
    if let Ok(database) = database {
        opened.fits(database)?;
    }
    let packages = opened.packages()?;
    // What starts from nothing needs no database, but it is rehearsed by the rules of the one that there is.
    let start = match (database, args.empty || args.all) {
        (Ok(database), true) => Start::Beside(database),
        (Err(_), true) => Start::Nothing,
        (database, false) if args.template => Start::Cloned(database?),
        (database, false) => Start::Of(database?),
    };
    let database = match start {
        Start::Of(database) | Start::Cloned(database) => Some(database),
        Start::Beside(_) | Start::Nothing => None,
    };
    if args.template && database.is_some_and(|database| database.server().is_none()) {
        return Err(Failure::misused("`--template` is for databases on a server: the copy of a file disturbs nobody"));
    }
    let history = match database {
        Some(database) => found(app, opened, database)?,
        None => History::default(),
    };
    let history = opened.with_accepted_texts(&history);
    let applied = packages.applied(&history);
    let mut chosen: Vec<Vec<bool>> = applied.iter().map(|of| vec![false; of.len()]).collect();
    match &args.revision {
        Some(_) if opened.asked().count() > 1 => {
            return Err(Failure::misused("a range is one package's: `-p NAME`"));
        }
        Some(range) => chosen[0] = look::range(opened, Some(range), &applied[0])?,
        None => {
            for at in packages.pending(&History::default(), &opened.targets("heads"))? {
                chosen[at.0][at.1] = !applied[at.0][at.1];
            }
            // On a scratch database an upgrade takes off what was edited, and applies it again.
            if database.is_some_and(|database| database.scratch) {
                let edited = scratch::outdated(opened, &history);
                edited.iter().filter_map(|row| packages.find(row)).for_each(|at| chosen[at.0][at.1] = true);
            }
        }
    }
    let revisions: Vec<At> = packages.order().iter().copied().filter(|at| chosen[at.0][at.1]).collect();
    if revisions.is_empty() {
        return nothing(app, opened);
    }
    let bar = progress(app, revisions.len());
    let rehearsal = rehearse(app, opened, start, &revisions, app.interrupts, &mut |number, id| {
        bar.set_position(number as u64);
        bar.set_message(printable(id));
    });
    bar.finish_and_clear();
    let rehearsal = rehearsal?;
    let mut found = rehearsal.found.clone();
    let pending = database.filter(|database| args.revision.is_none() && database.server().is_some());
    let in_one = found.len() > 1 && !opened.project.settings().per_revision;
    if let Some(database) = pending.filter(|_| in_one && is_safe(&found, revisions.len())) {
        let planner = run::upgrade_planner(opened, database, "heads");
        together(app, opened, start, app.interrupts, &planner, &mut found);
    }
    if args.keep {
        let place = match rehearsal.keep()? {
            Kept::File(path) => opened.project.show_path(&path).display().to_string(),
            Kept::Database(name) => {
                format!("the database `{name}` on the same server; `DROP DATABASE {name}` when done")
            }
        };
        app.shell.note(format!("the copy is kept: {place}"));
    } else {
        drop(rehearsal);
    }
    tell(app, args, opened, &found, revisions.len())
}

/// What the database that is copied has. The session is not kept: a server copies no database by itself that is in use.
fn found(app: App<'_>, opened: &Opened, database: &Database) -> Result<History> {
    let mut looked = opened.look(database)?;
    if !looked.is_there() && app.global.database.is_some() {
        return Err(nowhere(database).into());
    }
    if !looked.is_there() {
        app.shell.note(format!("{database} is not there yet: the rehearsal starts from nothing"));
    }
    let name = format!("`{}`", database.lock_name());
    opened.not_renamed(&looked.history, &name)?;
    // How far an interrupted revision came nobody knows, and so neither what would be rehearsed.
    let half_way = looked.history.rows().iter().filter(|row| row.is_half_way()).cloned().collect();
    let problems = opened.differences(&History::new(half_way), &name);
    let problems = trust::told_apart(opened, database, &mut looked, problems)?;
    if problems.is_empty() { Ok(looked.history) } else { Err(problems.into()) }
}

/// That what `-d` names is not there. What was rehearsed on nothing would be called safe for it.
fn nowhere(database: &Database) -> Problem {
    let code = if database.server().is_some() { MISSING } else { NO_DATABASE_FILE };
    Problem::new(code, format!("{database} is not there, so nothing can be rehearsed on a copy of it"))
        .note(format!("it is about {}", database.url))
        .help("see that `-d` names the right one")
        .help("or rehearse all revisions from nothing: `cargo migrate test --empty`")
}

/// What a person sees meanwhile; a pipe gets nothing.
fn progress(app: App<'_>, revisions: usize) -> ProgressBar {
    if let Some(bar) = app.shell.bar() {
        bar.set_length(revisions as u64);
        return bar.clone();
    }
    let seen = app.context.interactive() && !app.shell.quiet();
    let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(revisions as u64), target);
    if let Ok(style) = ProgressStyle::with_template("  Rehearsing [{bar:27}] {pos}/{len} {elapsed}: {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    if seen {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar.set_message("copying");
    bar
}

fn nothing(app: App<'_>, opened: &Opened) -> Result<()> {
    match app.global.format {
        Format::Json => app.shell.json(&json!({
            "command": "test", "package": opened.project.key(), "safe": true, "revisions": [],
        })),
        Format::Junit => app.shell.raw(&report::junit(opened.project.key(), &[])),
        Format::Text | Format::Mermaid => {
            app.shell.status("Finished", "nothing is pending, so there is nothing to rehearse");
        }
    }
    Ok(())
}

fn is_safe(found: &[Rehearsed], pending: usize) -> bool {
    found.len() == pending && found.iter().all(Rehearsed::is_safe)
}

fn tell(app: App<'_>, args: &TestArgs, opened: &Opened, found: &[Rehearsed], pending: usize) -> Result<()> {
    let key = opened.project.key();
    let safe = is_safe(found, pending);
    match app.global.format {
        Format::Json => app.shell.json(&json!({
            "command": "test",
            "package": key,
            "safe": safe,
            "revisions": found.iter().map(report::json).collect::<Vec<_>>(),
        })),
        Format::Junit => app.shell.raw(&report::junit(key, found)),
        Format::Text | Format::Mermaid => {
            report::table(found).iter().for_each(|line| app.shell.out(line));
            for one in found {
                for remark in &one.remarks {
                    app.shell.note(format!("{}: {remark}", printable(&one.revision)));
                }
            }
        }
    }
    if safe {
        if app.global.format == Format::Text {
            let revisions = many(pending, "revision");
            app.shell.status("Finished", format!("safe to apply: {revisions}, up, down and up again"));
        }
        return Ok(());
    }
    let mut problem = Problem::new(NOT_SAFE, "not safe to apply");
    for one in found {
        for fault in &one.faults {
            problem = problem.note(format!("{}: {}", printable(&one.revision), printable(fault)));
        }
    }
    if found.len() < pending {
        problem = problem.note(format!("{} after it could not be tried", pending - found.len()));
    }
    if !args.keep {
        problem = problem.help("look at the copy: say `--keep`");
    }
    // What is wrong with a statement is shown at its place; that there is no way back is told above.
    let refused: Vec<Problem> =
        found.iter().flat_map(Rehearsed::problems).filter(|problem| problem.code() != IRREVERSIBLE).cloned().collect();
    let mut problems = refused;
    // Only what becomes of rows can be declared.
    problems.push(problem.help(if found.iter().any(|one| one.data == Verdict::No) {
        "mend the revision, or declare what it means to lose: `-- migrate:loses TABLE.COLUMN`"
    } else {
        "mend the revision"
    }));
    Err(problems.into())
}
