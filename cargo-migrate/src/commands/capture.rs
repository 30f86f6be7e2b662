//! Revisions that are written from a database as it is, and recorded as applied there: `init --baseline`, and
//! `revision --autogenerate --capture`.

use build_support::problem::{Code, Problem};
use build_support::revision::RevisionId;
use migrate_runtime::plan;

use crate::app::{App, Opened};
use crate::args::GeneratedArgs;
use crate::autogenerate::{Outcome, propose};
use crate::commands::revision::{Draft, EMPTY_SECTIONS, write};
use crate::commands::{confirm, generate, record};
use crate::ddl::Fills;
use crate::drift;
use crate::failure::Result;
use crate::project::Database;
use crate::proof::{State, section};
use crate::renames::Said;
use crate::scratch;
use crate::source::Source;

/// What was changed by hand cannot be told from what is pending.
pub const PENDING_REVISIONS: Code = Code("pending-revisions");
/// A baseline is the first revision.
pub const HAS_REVISIONS: Code = Code("has-revisions");

/// The way out where a protected database is not to be written.
const SAY_YES: &str = "say `--yes` where it is to be recorded there";

/// The database to capture changes from, where that is asked for, or agreed to: one that was changed by other means than
/// revisions is told of before a migration is written beside it.
pub(super) fn asked_for(
    app: App<'_>,
    opened: &Opened,
    parents: &[usize],
    args: &GeneratedArgs,
) -> Result<Option<Database>> {
    if args.capture {
        let database = app.database(opened)?;
        let history = opened.history(&database)?;
        let applied = plan::applied(opened.project.key(), opened.graph.lineage(), &history);
        let wanted = opened.graph.lineage().with_ancestors(parents);
        if applied != wanted {
            return Err(Problem::new(
                PENDING_REVISIONS,
                format!("{database} does not have exactly the revisions that the new one is to follow"),
            )
            .note("so what was changed by hand cannot be told from what is pending")
            .help("bring it up to date first: `cargo migrate upgrade`")
            .into());
        }
        confirm::protected(app, &opened.project, &database, args.yes, SAY_YES, || ())?;
        return Ok(Some(database));
    }
    // Without a database, or without one that can be read, there is nothing to tell.
    let Ok(database) = app.database(opened) else { return Ok(None) };
    let drifted = opened.look(&database).and_then(|mut looked| drift::at_a_glance(&mut looked, opened));
    if database.scratch || !matches!(drifted, Ok(Some(true))) {
        return Ok(None);
    }
    app.shell.problem(&drift::noticed(&database.to_string()));
    let offered = app.context.interactive() && !app.json();
    if offered
        && app.shell.confirm("write that change as this revision, instead of what the models want?").unwrap_or(false)
    {
        return asked_for(app, opened, parents, &GeneratedArgs { capture: true, ..args.clone() });
    }
    Ok(None)
}

/// Writes the schema of the chosen database as the first revision, and records it as applied there. `None` where the
/// database is empty.
///
/// The revision has no way back: that would be to drop everything that was there before it.
pub(super) fn baseline(app: App<'_>, yes: bool) -> Result<Option<RevisionId>> {
    let opened = app.open_with_needs(&[])?;
    if let Some(first) = opened.graph.migrations().first() {
        return Err(Problem::new(HAS_REVISIONS, "there are revisions already, and a baseline is the first one")
            .in_file(&first.path)
            .help("changes that were made by hand: `cargo migrate revision --autogenerate --capture -m \"…\"`")
            .into());
    }
    let database = app.database(&opened)?;
    let settings = opened.project.settings();
    let (to, _) = Source::Database(Box::new(database.clone())).state(app, &opened)?;
    let from = State::of(scratch::empty()?, &settings.version_table)?;
    let terms = generate::terms(&opened, &GeneratedArgs::default());
    let Outcome::Proposal(proposal) = propose(&from, &to, &Said::default(), &Fills::new(), &terms)? else {
        app.shell.note(format!("{database} is empty: there is nothing for a baseline"));
        return Ok(None);
    };
    confirm::protected(app, &opened.project, &database, yes, SAY_YES, || ())?;
    let message = "What was in the database before there were migrations.";
    let draft = Draft { message: Some(message), named: Some("baseline"), parents: &[], depends: &[], labels: &[] };
    let (id, text) = draft.write(app, &opened, None)?;
    let header = text.strip_suffix(EMPTY_SECTIONS).unwrap_or(&text);
    let text = format!("{header}-- migrate:irreversible\n\n-- migrate:up\n{}", section(&proposal.up));
    let path = write(&opened, &id, &text)?;
    record::stamp_new(app, &id, &database, true)?;
    if !app.json() {
        app.shell.status("Created", path.display());
        app.shell.status("Stamped", format!("{id} on {database}, which has it already"));
    }
    Ok(Some(id))
}
