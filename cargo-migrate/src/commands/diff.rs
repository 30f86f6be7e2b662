//! `diff`: what leads from one schema to another.

use anstyle::{AnsiColor, Style};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::{DiffArgs, GeneratedArgs};
use crate::commands::generate;
use crate::diff::changes;
use crate::failure::{Failure, Result};
use crate::proof::section;
use crate::source::Source;

const NEW: Style = AnsiColor::Green.on_default();
const GONE: Style = AnsiColor::Red.on_default();
const OTHER: Style = AnsiColor::Yellow.on_default();

/// Where what is given in full leads to if nothing is said.
const USUAL_END: &str = "head";

/// `cargo migrate diff`
pub(super) fn diff(app: App<'_>, args: &DiffArgs) -> Result<()> {
    let opened = app.open_with_needs(&[])?;
    let from = match &args.from {
        Some(word) => named(app, &opened, word)?,
        None => {
            let database = app.database(&opened)?;
            (database.to_string(), Source::Database(Box::new(database)))
        }
    };
    let to = named(app, &opened, args.to.as_deref().unwrap_or(USUAL_END))?;
    let differ =
        if args.sql { statements(app, &opened, &from, &to, args)? } else { shown(app, &opened, &from, &to, args)? };
    if differ && args.exit_code { Err(Failure::said()) } else { Ok(()) }
}

type Named = (String, Source);

/// A source, and what it is called.
fn named(app: App<'_>, opened: &Opened, word: &str) -> Result<Named> {
    let source = Source::parse(app, opened, word)?;
    let name = match &source {
        Source::Database(database) if database.name.is_some() => database.to_string(),
        _ => word.to_owned(),
    };
    Ok((name, source))
}

/// Lists the changes; whether there are any.
fn shown(app: App<'_>, opened: &Opened, from: &Named, to: &Named, args: &DiffArgs) -> Result<bool> {
    let (before, after) = (from.1.schema(app, opened)?, to.1.schema(app, opened)?);
    let changes = changes(&before, &after, generate::terms(opened, &asked(args)).order);
    if app.json() {
        let changes: Vec<_> = changes.iter().map(crate::diff::Change::json).collect();
        let document = json!({ "command": "diff", "from": from.0, "to": to.0, "changes": changes });
        app.shell.json(&document);
    } else if changes.is_empty() {
        same(app, from, to);
    } else {
        app.shell.status("Comparing", format!("{} -> {}", from.0, to.0));
        for line in changes.iter().flat_map(crate::diff::Change::lines) {
            let style = match line.trim_start().chars().next() {
                Some('+') => NEW,
                Some('-') => GONE,
                _ => OTHER,
            };
            app.shell.out_in(style, line);
        }
    }
    Ok(!changes.is_empty())
}

/// Prints the statements that lead there; whether there are any. What is not said to be renamed is not.
fn statements(app: App<'_>, opened: &Opened, from: &Named, to: &Named, args: &DiffArgs) -> Result<bool> {
    let asked = asked(args);
    let (mut said, fills) = (generate::said(&asked)?, generate::fills(&asked)?);
    let (before, _) = from.1.state(app, opened)?;
    let (after, hints) = to.1.state(app, opened)?;
    said.hints = hints;
    let proposal = generate::proposed(app, &before, &after, said, &fills, &generate::terms(opened, &asked))?;
    let Some(proposal) = proposal else {
        same(app, from, to);
        return Ok(false);
    };
    generate::warn_of_losses(app, &proposal);
    app.shell.out(section(&proposal.up));
    Ok(true)
}

/// What is asked for, as `revision --autogenerate` is asked for it.
fn asked(args: &DiffArgs) -> GeneratedArgs {
    GeneratedArgs {
        rename: args.rename.clone(),
        rename_table: args.rename_table.clone(),
        no_rename: true,
        fill: args.fill.clone(),
        column_order: args.column_order,
        ..GeneratedArgs::default()
    }
}

fn same(app: App<'_>, from: &Named, to: &Named) {
    app.shell.note(format!("`{}` and `{}` have the same schema", from.0, to.0));
}
