//! `revision --autogenerate`: what is asked before, and what is said of what was written.

use std::ops::Range;
use std::path::Path;

use build_support::migration::Migration;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::RevisionId;
use build_support::token::Dialect;
use migrate_runtime::statement::split;

use crate::app::{App, Opened};
use crate::args::GeneratedArgs;
use crate::autogenerate::{self, Outcome};
use crate::commands::capture;
use crate::commands::revision::EMPTY_SECTIONS;
use crate::ddl::{Fills, Statement};
use crate::failure::{Failure, Result};
use crate::project::Database;
use crate::project::settings::ColumnOrder;
use crate::proof::{OUT_OF_REACH, Proposal, State, Terms, section};
use crate::renames::{Question, Said};
use crate::schema::text::fold;
use crate::source::Source;

/// What an upgrade loses.
pub const LOSES: Code = Code("loses");

/// What is to be written.
pub(super) struct Generated {
    /// The migration's text.
    pub(super) text: String,
    /// The database that has it already, since it was written from there.
    pub(super) captured: Option<Database>,
}

/// The text of a new migration with its sections filled in; `None` where there is nothing to do, which is said.
pub(super) fn fill_in(
    app: App<'_>,
    opened: &Opened,
    parents: &[usize],
    args: &GeneratedArgs,
    text: &str,
) -> Result<Option<Generated>> {
    opened.verified()?;
    let captured = capture::asked_for(app, opened, parents, args)?;
    let (from, _) = Source::Revisions(parents.to_vec()).state(app, opened)?;
    let wanted = match &captured {
        Some(database) => Source::Database(Box::new(database.clone())),
        None => Source::Models,
    };
    let (to, hints) = wanted.state(app, opened)?;
    let mut said = said(args)?;
    said.hints = hints;
    let terms = terms(opened, args);
    let Some(proposal) = proposed(app, &from, &to, said, &fills(args)?, &terms)? else {
        nothing(app, captured.as_ref());
        return Ok(None);
    };
    let text = filled(text, &proposal);
    reads_back(opened.locks.shared.dialect(), &text, &proposal)?;
    tell(app, &proposal);
    Ok(Some(Generated { text, captured }))
}

/// The rules of the configuration, and of the command line over it.
pub(super) fn terms<'a>(opened: &'a Opened, args: &GeneratedArgs) -> Terms<'a> {
    let settings = opened.project.settings();
    Terms {
        order: if args.column_order { ColumnOrder::Exact } else { settings.column_order },
        minimum: settings.minimum_sqlite,
        version_table: &settings.version_table,
    }
}

/// Makes a proposal, and asks a person what was renamed where somebody is there.
pub(super) fn proposed(
    app: App<'_>,
    from: &State,
    to: &State,
    mut said: Said,
    fills: &Fills,
    terms: &Terms<'_>,
) -> Result<Option<Proposal>> {
    loop {
        match autogenerate::propose(from, to, &said, fills, terms)? {
            Outcome::Nothing => return Ok(None),
            Outcome::Proposal(proposal) => return Ok(Some(*proposal)),
            Outcome::Undecided(questions) => {
                if !app.context.interactive() || app.json() {
                    return Err(autogenerate::undecided(&questions).into());
                }
                decide(app, &questions, &mut said)?;
            }
        }
    }
}

/// Asks about the first: what it is decides what is asked next.
fn decide(app: App<'_>, questions: &[Question], said: &mut Said) -> Result<()> {
    let Some(question) = questions.first() else { return Ok(()) };
    let asked = match question {
        Question::Table { old, new } => format!("was the table `{old}` renamed to `{new}`?"),
        Question::Column { table, old, new } => format!("was the column `{table}.{old}` renamed to `{new}`?"),
    };
    app.shell.note("what is renamed keeps its values; what is not renamed loses them");
    let renamed = app.shell.confirm(&asked).map_err(|_| Failure::from(autogenerate::undecided(questions)))?;
    match question.clone() {
        question if !renamed => said.denied.push(question),
        Question::Table { old, new } => said.tables.push((old, new)),
        Question::Column { table, old, new } => said.columns.push((table, old, new)),
    }
    Ok(())
}

/// What the command line says about renames.
pub(super) fn said(args: &GeneratedArgs) -> Result<Said> {
    let mut said = Said { no_others: args.no_rename, ..Said::default() };
    for text in &args.rename_table {
        let (old, new) = pair(text, "--rename-table A=B")?;
        said.tables.push((old.to_owned(), new.to_owned()));
    }
    for text in &args.rename {
        let (old, new) = pair(text, "--rename TABLE.A=B")?;
        let (table, old) = column(old, "--rename TABLE.A=B")?;
        // The new name may be given with its table, too.
        let new = new.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).unwrap_or(new);
        said.columns.push((table.to_owned(), old.to_owned(), new.to_owned()));
    }
    Ok(said)
}

/// The values that the command line gives for new columns.
pub(super) fn fills(args: &GeneratedArgs) -> Result<Fills> {
    let mut fills = Fills::new();
    for text in &args.fill {
        let (name, value) = pair(text, "--fill TABLE.COLUMN=SQL")?;
        let (table, name) = column(name, "--fill TABLE.COLUMN=SQL")?;
        // In parentheses it stays one expression whatever stands around it; a plain value needs none.
        let plain = value.chars().all(|c| c.is_alphanumeric() || "'_-. ".contains(c));
        let value = if plain { value.to_owned() } else { format!("({value})") };
        fills.insert((fold(table), fold(name)), value);
    }
    Ok(fills)
}

fn pair<'t>(text: &'t str, usage: &str) -> Result<(&'t str, &'t str)> {
    match text.split_once('=') {
        Some((left, right)) if !left.trim().is_empty() && !right.trim().is_empty() => Ok((left.trim(), right.trim())),
        _ => Err(misread(text, usage)),
    }
}

fn column<'t>(text: &'t str, usage: &str) -> Result<(&'t str, &'t str)> {
    text.split_once('.')
        .filter(|(table, name)| !table.is_empty() && !name.is_empty())
        .ok_or_else(|| misread(text, usage))
}

fn misread(text: &str, usage: &str) -> Failure {
    Failure::misused(format!("`{}` is not of the form that is wanted", printable(text)))
        .help(format!("write `{usage}`"))
}

fn nothing(app: App<'_>, captured: Option<&Database>) {
    if app.json() {
        app.shell.json(&serde_json::json!({ "command": "revision", "revision": null, "file": null }));
        return;
    }
    let made = match captured {
        Some(database) => format!("the migrations make what is in {database}"),
        None => "the migrations make what the models want".to_owned(),
    };
    app.shell.status("Finished", format!("{made}: nothing to write"));
}

/// The text with its header and its sections filled in.
pub(super) fn filled(text: &str, proposal: &Proposal) -> String {
    let mut text = text.strip_suffix(EMPTY_SECTIONS).unwrap_or(text).to_owned();
    if !proposal.losses.is_empty() {
        let losses: Vec<String> = proposal.losses.iter().map(|loss| printable(&loss.to_string())).collect();
        text.push_str(&format!("-- migrate:loses {}\n", losses.join(", ")));
    }
    text.push_str(&format!("\n-- migrate:up\n{}\n-- migrate:down\n{}", section(&proposal.up), section(&proposal.down)));
    text
}

/// Refuses a text that a run would read otherwise than it was proved: a comment within a table's text may look like one
/// of the lines that divide a migration.
fn reads_back(dialect: Dialect, text: &str, proposal: &Proposal) -> Result<()> {
    let id = RevisionId::new("generated")?;
    let read = Migration::parse_as(dialect, id, Path::new("generated.sql"), text).ok();
    let same = |span: Option<&Range<usize>>, statements: &[Statement]| {
        let proved = section(statements);
        let read = span.map_or_else(Vec::new, |span| split(text, span.clone()));
        let proved = split(&proved, 0..proved.len());
        read.len() == proved.len() && read.iter().zip(&proved).all(|(a, b)| a.text == b.text)
    };
    if read.is_some_and(|read| same(Some(&read.up), &proposal.up) && same(read.down.as_ref(), &proposal.down)) {
        return Ok(());
    }
    Err(Problem::new(OUT_OF_REACH, "what was proved cannot be written as a migration")
        .note("a comment in the schema looks like one of the lines that divide a migration (`-- migrate:…`)")
        .help("change that comment")
        .into())
}

/// Says what the migration does, what it loses, and what its downgrade makes up.
fn tell(app: App<'_>, proposal: &Proposal) {
    if app.json() {
        return;
    }
    for (old, new) in &proposal.renames.tables {
        app.shell.status("", printable(&format!("~ table {old} renamed to {new}")));
    }
    for (table, old, new) in &proposal.renames.columns {
        app.shell.status("", printable(&format!("~ column {table}.{old} renamed to {new}")));
    }
    for line in &proposal.lines {
        app.shell.status("", printable(line));
    }
    warn_of_losses(app, proposal);
    for loss in &proposal.lost_back {
        let what = printable(&loss.to_string());
        app.shell
            .note(format!("the downgrade may change what is in `{what}`: not every value has one of the older type"));
    }
    for ((table, column), value) in &proposal.invented {
        let (table, column) = (printable(table), printable(column));
        app.shell.note(format!(
            "the downgrade cannot know what was in `{table}.{column}`: every row gets {}",
            printable(value)
        ));
    }
    for table in &proposal.unproved {
        app.shell.note(format!(
            "`{}` was proved without rows: none was found that it takes before and after",
            printable(table)
        ));
    }
    if app.shell.verbose() > 0 {
        for (table, why) in &proposal.rebuilt {
            app.shell.note(format!("`{}` is rebuilt: {}", printable(table), printable(why)));
        }
    }
}

/// Warns of what the upgrade loses.
pub(super) fn warn_of_losses(app: App<'_>, proposal: &Proposal) {
    for loss in &proposal.losses {
        app.shell.problem(
            &Problem::new(
                build_support::problem::Code("loses"),
                format!("the upgrade loses what is in `{}`", printable(&loss.to_string())),
            )
            .as_warning(),
        );
    }
}
