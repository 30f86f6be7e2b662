//! `repair`: what the record says is brought to what is so, where a person or the hashes know it.

use build_support::checksum::Checksum;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::check_key;
use build_support::token::{Dialect, tokens_of, unquoted};
use build_support::verify;
use migrate_runtime::driver::Driver;
use migrate_runtime::history::{AppliedRevision, History, State};
use migrate_runtime::plan::{self, DEPENDED_ON};
use migrate_runtime::runner::{database_problem, store_problem};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::RepairArgs;
use crate::commands::record::{change, told};
use crate::commands::{confirm, past};
use crate::failure::{Failure, Result};
use crate::live;

const SAY_YES: &str = "say `--yes` where this is meant";

/// What a person says of an interrupted revision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Its upgrade is finished.
    Finished,
    /// Nothing of it is in the database.
    NotApplied,
    /// All of it is in the database, as before its downgrade.
    StillApplied,
}

/// `cargo migrate repair`
pub(super) fn repair(app: App<'_>, args: &RepairArgs) -> Result<()> {
    let outcomes = [
        (&args.finished, Outcome::Finished),
        (&args.not_applied, Outcome::NotApplied),
        (&args.still_applied, Outcome::StillApplied),
    ];
    for (text, outcome) in outcomes {
        if let Some(text) = text {
            return interrupted(app, text, outcome, args.yes);
        }
    }
    match &args.rename {
        Some(text) => rename(app, text, args.yes),
        None => comments(app, args.yes),
    }
}

/// Settles a revision whose run outside a transaction was interrupted: only a person knows how far it came.
fn interrupted(app: App<'_>, text: &str, outcome: Outcome, yes: bool) -> Result<()> {
    let opened = app.open()?;
    let database = app.database(&opened)?;
    let mut settled = None;
    let changed = change(app, &opened, &database, yes, false, true, |driver, history| {
        // A library that is brought along has its rows here, and is no package that could be chosen.
        let (key, text) = match text.split_once('/') {
            Some((key, id)) if history.of(key).next().is_some() => (key, id),
            _ => (opened.project.key(), text),
        };
        let half_way: Vec<_> = history.of(key).filter(|row| row.is_half_way()).collect();
        let named: Vec<_> = match half_way.iter().find(|row| row.id.as_str() == text) {
            Some(row) => vec![*row],
            None => half_way.iter().copied().filter(|row| !text.is_empty() && row.id.as_str().contains(text)).collect(),
        };
        let [row] = named[..] else {
            let names: Vec<&str> = half_way.iter().map(|row| row.id.as_str()).collect();
            let problem = Problem::new(
                Code("not-interrupted"),
                format!("`{}` names no single interrupted revision", printable(text)),
            );
            return Err(match names.is_empty() {
                true => problem.help("`cargo migrate status` names the interrupted one, if there is one"),
                false => problem.note(format!("interrupted are: {}", names.join(", "))).help("write more of the id"),
            }
            .into());
        };
        // A word that is right for the one way could be meant either way for the other.
        let wrong = match (outcome, row.state) {
            (Outcome::Finished, State::Reverting) => Some("`--finished` records an upgrade that is finished"),
            (Outcome::StillApplied, State::Running) => Some("`--still-applied` records a downgrade that is undone"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(opened.settled_alone(&row.package, plan::interrupted(row).note(wrong)).into());
        }
        if outcome == Outcome::Finished {
            not_left_behind(&opened, driver, row)?;
        }
        let done = match outcome {
            Outcome::NotApplied => driver.forget(key, &row.id),
            Outcome::Finished | Outcome::StillApplied => driver.mark(key, &row.id, State::Applied, row.elapsed_ms),
        };
        done.map_err(|error| Failure::from(store_problem(&error)))?;
        settled = Some(row.id.clone());
        Ok(1)
    })?;
    if let Some(id) = settled.filter(|_| !app.json()) {
        let how = if outcome == Outcome::NotApplied { "not applied" } else { "applied" };
        app.shell.status("Recorded", format!("`{id}` is {how}"));
    }
    told(app, "repair", changed);
    Ok(())
}

/// Refuses to call an upgrade finished while an index of its statements is there that no query can use.
fn not_left_behind(opened: &Opened, driver: &mut dyn Driver, row: &AppliedRevision) -> Result<()> {
    let Some(opened) = opened.package(&row.package) else { return Ok(()) };
    let Some(migration) = opened.file_of(row) else { return Ok(()) };
    let text = opened.directory.text(migration)?;
    let up = &text[migration.up.clone()];
    let left = driver.left_behind().map_err(|error| Failure::from(database_problem(&error)))?;
    let names = names_in(up);
    if !names.iter().any(|name| name == "concurrently") {
        return Ok(());
    }
    // The server names an index that has no name by its table, and one that is made anew by the old one.
    let is_named = |index: &str| {
        names
            .iter()
            .any(|name| index.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    };
    let of_it = |removes: &&String| {
        names_in(removes).iter().rev().find(|name| *name != ";").is_some_and(|index| is_named(index))
    };
    let left: Vec<&String> = left.iter().filter(of_it).collect();
    if left.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(
        plan::INTERRUPTED,
        format!("`{}` is not finished: an index of it was not made to its end", row.id),
    )
    .note("it is here, of no use to any query, and is kept up by each write; a unique one may refuse rows");
    let told = |problem: Problem, removes: &&String| {
        problem.help(format!("remove it, and make it again: `{}`", printable(removes)))
    };
    Err(left.iter().fold(problem, told).help(format!("then: `cargo migrate repair --finished {}`", row.id)).into())
}

/// The names in a text for a server, as it knows them.
fn names_in(text: &str) -> Vec<String> {
    let tokens = tokens_of(Dialect::Postgres, text).filter(|token| token.kind.counts());
    let name = |token: &str| if token.starts_with('"') { unquoted(token) } else { token.to_lowercase() };
    tokens.map(|token| name(&text[token.span])).collect()
}

/// Accepts changes of comments, downs and verify sections, in the lock files and in the chosen database. What an
/// upgrade does cannot be accepted so: its statements hash would differ.
fn comments(app: App<'_>, yes: bool) -> Result<()> {
    let opened = app.open()?;
    let key = opened.project.key();
    let chosen = app.database(&opened).ok();
    let (database, history) = match chosen.map(|database| (opened.look(&database), database)) {
        Some((Ok(looked), database)) if looked.is_there() => (Some(database), looked.history),
        // One that is there and cannot be read is not passed over.
        Some((Err(failure), database)) if live::is_there(&database).unwrap_or(false) => return Err(failure),
        _ => (None, History::default()),
    };
    refuse_others(&opened, &history)?;
    let amended = history.of(key).any(|row| changed_text(&opened, row).is_some());
    // Before the lock files are written: who says no has changed nothing.
    if let Some(database) = database.as_ref().filter(|_| amended) {
        opened.fits(database)?;
        confirm::protected(app, &opened.project, database, yes, SAY_YES, || ())?;
    }
    let mut accepted = Vec::new();
    opened.directory.update_locks(|locks| {
        for at in 0..opened.graph.migrations().len() {
            let (id, hashes) = (&opened.graph.migration(at).id, plan::hashes(&opened.graph, at));
            let before = locks.shared.sealed(id.as_str()).or(locks.local.sealed(id.as_str())).map(|(known, _)| *known);
            if locks.shared.accept(id.as_str(), hashes) | locks.local.accept(id.as_str(), hashes) {
                accepted.push((at, before.map(|known| known.checksum)));
            }
        }
    })?;
    let mut rows = 0;
    if let Some(database) = database.as_ref().filter(|_| amended) {
        rows = change(app, &opened, database, true, false, true, |driver, history| amend(&opened, driver, history))?;
    }
    if !app.json() {
        for (at, before) in &accepted {
            let migration = opened.graph.migration(*at);
            app.shell
                .status("Accepted", format!("another text of `{}`; what its upgrade does is the same", migration.id));
            let text = opened.directory.text(migration)?;
            let old = before.and_then(|checksum| past::text(&opened.directory, &migration.id, &checksum));
            for line in old.map_or_else(Vec::new, |old| past::difference(&old, &text)) {
                app.shell.status("", line);
            }
        }
    }
    let accepted: Vec<&str> = accepted.iter().map(|(at, _)| opened.graph.migration(*at).id.as_str()).collect();
    if app.json() {
        app.shell.json(&json!({ "command": "repair", "accepted": accepted, "rows": rows }));
        return Ok(());
    }
    match (accepted.len(), rows) {
        (0, 0) => app.shell.status("Finished", "nothing to repair"),
        _ => told(app, "repair", rows),
    }
    Ok(())
}

/// Refuses where more than texts has changed: that is not repaired but put back, taken off, or written anew.
fn refuse_others(opened: &Opened, history: &History) -> Result<()> {
    let mut problems = verify::verify(&opened.graph, &opened.locks, opened.directory.shown());
    problems.extend(plan::check_history(opened.project.key(), &opened.graph, history, "the chosen database"));
    problems.retain(|problem| problem.code() == verify::EDITED);
    problems.dedup_by(|one, other| one.places() == other.places());
    if problems.is_empty() {
        return Ok(());
    }
    let explained = problems.into_iter().map(|problem| {
        let file = problem.places().first().map(|place| place.path.clone()).unwrap_or_default();
        let Some(migration) = opened.graph.migrations().iter().find(|migration| migration.path == file) else {
            return problem;
        };
        let recorded = recorded(opened, history, migration.id.as_str());
        let old = recorded.and_then(|checksum| past::text(&opened.directory, &migration.id, &checksum));
        match (old, opened.directory.text(migration)) {
            (Some(old), Ok(text)) => past::first_difference(migration, &old, &text)
                .into_iter()
                .fold(problem, |problem, note| problem.note(note)),
            _ => problem,
        }
    });
    Err(explained.collect::<Vec<_>>().into())
}

/// The checksum that a revision had when it was applied.
fn recorded(opened: &Opened, history: &History, id: &str) -> Option<Checksum> {
    let locks = [&opened.locks.shared, &opened.locks.local];
    let sealed = locks.iter().find_map(|lock| lock.sealed(id)).map(|(hashes, _)| hashes.checksum);
    sealed.or_else(|| history.of(opened.project.key()).find(|row| row.id.as_str() == id).map(|row| row.checksum))
}

/// The place of a row's file where it differs in its text alone.
fn changed_text(opened: &Opened, row: &migrate_runtime::history::AppliedRevision) -> Option<usize> {
    let at = opened.graph.lineage().find(row.id.as_str())?;
    row.hashes().differs_in_text_alone(&plan::hashes(&opened.graph, at)).then_some(at)
}

fn amend(opened: &Opened, driver: &mut dyn Driver, history: &History) -> Result<usize> {
    let key = opened.project.key();
    let mut rows = 0;
    for row in history.of(key) {
        let Some(at) = changed_text(opened, row) else { continue };
        let migration = opened.graph.migration(at);
        let text = opened.directory.text(migration)?;
        let down = migration.down.as_ref().map(|span| &text[span.clone()]);
        driver.amend(key, &row.id, &migration.checksum, down).map_err(|error| Failure::from(store_problem(&error)))?;
        rows += 1;
    }
    Ok(rows)
}

/// Refuses to give up a key that files of other packages name: an applied file cannot be changed, and on a new database
/// nothing would be found under the old key.
fn not_named_elsewhere(app: App<'_>, opened: &Opened, old: &str) -> Result<()> {
    let others = app.others(opened).unwrap_or_default();
    let problems: Vec<Problem> = others
        .iter()
        .flat_map(|other| other.graph.migrations().iter().map(move |migration| (other.project.key(), migration)))
        .filter(|(_, migration)| migration.depends.iter().any(|on| on.package.as_deref() == Some(old)))
        .map(|(key, migration)| {
            Problem::new(DEPENDED_ON, format!("`{key}/{}` depends on revisions of `{old}`", migration.id))
                .at(migration.directive_place("depends"))
                .help(format!(
                    "keep the key: `name = \"{old}\"` below `[package.metadata.migrate]` of the renamed package"
                ))
                .help("or, where it is a draft, name the new key in that file first")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// Gives a renamed package its rows back, and its lock.
fn rename(app: App<'_>, text: &str, yes: bool) -> Result<()> {
    let Some((old, new)) = text.split_once('=') else {
        return Err(Failure::misused("say `--rename OLD=NEW`"));
    };
    check_key(old, "a package's key")?;
    let project = app.project()?;
    if project.key() != new {
        return Err(Failure::misused(format!(
            "the package's key is `{}`, so its rows cannot become those of `{}`",
            project.key(),
            printable(new)
        )));
    }
    let opened = app.open_as(project)?;
    not_named_elsewhere(app, &opened, old)?;
    let database = app.database(&opened)?;
    let history = opened.history(&database)?;
    let count = history.of(old).count();
    if count > 0 && history.of(new).next().is_some() {
        return Err(Problem::new(
            crate::project::OTHER_PACKAGE,
            format!("{database} has rows of `{old}` and of `{new}`"),
        )
        .help("two packages cannot become one by a name; look at the rows with `cargo migrate history`")
        .into());
    }
    let rows = if count == 0 {
        opened.record(None)?;
        0
    } else {
        // The lock follows the database: what is recorded after the commit names the new key.
        change(app, &opened, &database, yes, false, true, |driver, _| {
            driver.rename_package(old, new).map_err(|error| Failure::from(store_problem(&error)))?;
            Ok(count)
        })?
    };
    told(app, "repair", rows);
    let others = opened.project.databases().filter(|name| database.name.as_deref() != Some(*name));
    let others: Vec<&str> = others.collect();
    if !others.is_empty() && !app.json() {
        app.shell.note(format!("do the same with `-d` for each of the others: {}", others.join(", ")));
    }
    Ok(())
}
