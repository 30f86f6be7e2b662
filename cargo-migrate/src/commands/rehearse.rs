//! `test`: a rehearsal of what is pending, on a copy.

use build_support::problem::{Problem, printable};
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, Plan};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::{Format, TestArgs};
use crate::commands::look;
use crate::commands::run::{self, How};
use crate::failure::{Failure, Result};
use crate::live;
use crate::rehearsal::{Copy, NOT_SAFE, Rehearsed, Start, rehearse, report};

/// `cargo migrate test`
pub(super) fn test(app: App<'_>, args: &TestArgs) -> Result<()> {
    let opened = app.open()?;
    opened.verified()?;
    let lineage = opened.graph.lineage();
    let from_nothing = args.empty || args.all;
    let database = if from_nothing { None } else { Some(app.database(&opened)?) };
    let history = match &database {
        Some(database) => opened.history(database)?,
        None => History::default(),
    };
    if let Some(database) = &database {
        if !database.url.path().exists() {
            app.shell.note(format!("there is no file for {database} yet: the rehearsal starts from nothing"));
        }
        opened.not_renamed(&history, &format!("`{}`", database.lock_name()))?;
    }
    let applied = plan::applied(opened.project.key(), lineage, &opened.with_accepted_texts(&history));
    let chosen = match &args.revision {
        Some(range) => look::range(&opened, Some(range), &applied)?,
        None => applied.iter().map(|applied| !applied).collect(),
    };
    let revisions: Vec<usize> = lineage.order().iter().copied().filter(|at| chosen[*at]).collect();
    if revisions.is_empty() {
        return nothing(app, &opened);
    }
    let start = match &database {
        Some(database) => {
            let path = opened.project.show_path(database.url.path());
            status(app, "Copying", live::shown(database, &path));
            Start::Of(database)
        }
        None => Start::Nothing,
    };
    let mut copy = Copy::make(&opened, start)?;
    let mut connection = copy.open()?;
    ready(app, &opened, &mut connection, &revisions)?;
    let many = revisions.len();
    let found = rehearse(app, &opened, &mut connection, &revisions, &mut |number, id| {
        status(app, "Rehearsing", format!("{} of {many}: {id}", number + 1));
    })?;
    drop(connection);
    if args.keep {
        copy.keep();
        app.shell.note(format!("the copy is kept: {}", opened.project.show_path(&copy.path()).display()));
    }
    tell(app, args, &opened, &found, many)
}

fn status(app: App<'_>, verb: &str, what: impl std::fmt::Display) {
    if !app.json() {
        app.shell.status(verb, what);
    }
}

/// Brings the copy to where the first of these revisions comes next: what is applied of them, or stands on them, is taken
/// off, and what they stand on is applied.
fn ready(app: App<'_>, opened: &Opened, connection: &mut rusqlite::Connection, revisions: &[usize]) -> Result<()> {
    let (key, lineage) = (opened.project.key(), opened.graph.lineage());
    let off = lineage.with_descendants(revisions);
    let down = |history: &History| -> std::result::Result<Plan, Vec<Problem>> {
        let mut rows: Vec<_> =
            history.of(key).filter(|row| lineage.find(row.id.as_str()).is_some_and(|at| off[at])).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.sequence));
        Ok(Plan { package: key.to_owned(), steps: rows.into_iter().map(plan::downgrade_step).collect() })
    };
    let mut needed = lineage.with_ancestors(revisions);
    revisions.iter().for_each(|at| needed[*at] = false);
    let up = |history: &History| -> std::result::Result<Plan, Vec<Problem>> {
        let applied = plan::applied(key, lineage, history);
        let missing = lineage.order().iter().filter(|at| needed[**at] && !applied[**at]);
        Ok(Plan { package: key.to_owned(), steps: missing.map(|at| plan::upgrade_step(&opened.graph, *at)).collect() })
    };
    let how = || How { down_from: Some(migrate_runtime::runner::DownFrom::Stored), ..How::default() };
    run::carry_out_silently(app, opened, connection, &how(), &down)
        .and_then(|_| run::carry_out_silently(app, opened, connection, &how(), &up))
        .map_err(|stopped| {
            let note = |problem: Problem| problem.note("the copy could not be brought to where the rehearsal starts");
            Failure::from(stopped.problems.into_iter().map(note).collect::<Vec<_>>())
        })?;
    Ok(())
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

fn tell(app: App<'_>, args: &TestArgs, opened: &Opened, found: &[Rehearsed], many: usize) -> Result<()> {
    let key = opened.project.key();
    let safe = found.len() == many && found.iter().all(Rehearsed::is_safe);
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
            let revisions = if many == 1 { "1 revision".to_owned() } else { format!("{many} revisions") };
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
    if found.len() < many {
        problem = problem.note(format!("{} after it could not be tried", many - found.len()));
    }
    if !args.keep {
        problem = problem.help("look at the copy: say `--keep`");
    }
    let refused = found.iter().find_map(|one| match (&one.up, &one.down, &one.again) {
        (crate::rehearsal::Way::Refused(problems), ..)
        | (_, crate::rehearsal::Way::Refused(problems), _)
        | (.., crate::rehearsal::Way::Refused(problems)) => Some(problems.clone()),
        _ => None,
    });
    let mut problems = refused.unwrap_or_default();
    problems.push(
        problem.help(
            "mend the revision (it is a draft), or declare what it means to lose: `-- migrate:loses TABLE.COLUMN`",
        ),
    );
    Err(problems.into())
}
