//! What was renamed: said by the command line or by the models, never guessed.

use std::collections::BTreeSet;

use build_support::problem::{Code, Problem, nearest, printable};

use crate::schema::Schema;
use crate::schema::table::{Column, Table};
use crate::schema::text::{fold, identifier};

/// Something vanishes while something like it appears.
pub const AMBIGUOUS_RENAME: Code = Code("ambiguous-rename");
/// A rename of something that is not there, or into something that is not wanted.
pub const UNKNOWN_RENAME: Code = Code("unknown-rename");

/// What is said about renames.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Tables: the old name and the new one.
    pub tables: Vec<(String, String)>,
    /// Columns: the table's name, as it is or as it will be, the old name and the new one.
    pub columns: Vec<(String, String, String)>,
    /// The same, from `renamed_from` in the models, which may tell of what was renamed long ago.
    pub hints: Hints,
    /// What was asked and is no rename.
    pub denied: Vec<Question>,
    /// Whether everything else that looks like a rename is none.
    pub no_others: bool,
}

/// What the models say about their former names.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Tables: the old name and the new one.
    pub tables: Vec<(String, String)>,
    /// Columns: the table's new name, the old name and the new one.
    pub columns: Vec<(String, String, String)>,
}

/// The renames of a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames {
    /// The old name and the new one.
    pub tables: Vec<(String, String)>,
    /// The table's new name, the column's old name and its new one.
    pub columns: Vec<(String, String, String)>,
}

/// Something that may have been renamed, for a person to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A table.
    Table {
        /// The one that is gone.
        old: String,
        /// The one that is new.
        new: String,
    },
    /// A column.
    Column {
        /// Its table's new name.
        table: String,
        /// The one that is gone.
        old: String,
        /// The one that is new.
        new: String,
    },
}

impl Question {
    /// What answers it with yes on a command line.
    #[must_use]
    pub fn flag(&self) -> String {
        match self {
            Self::Table { old, new } => format!("--rename-table {}", word(&format!("{old}={new}"))),
            Self::Column { table, old, new } => format!("--rename {}", word(&format!("{table}.{old}={new}"))),
        }
    }
}

/// An argument as a shell takes it.
fn word(text: &str) -> String {
    let text = printable(text);
    let plain = text.chars().all(|c| c.is_alphanumeric() || "_.=-".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl Renames {
    /// The statements.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        let tables = self.tables.iter().flat_map(|(old, new)| rename_table(old, new));
        let columns = self.columns.iter().map(|(table, old, new)| rename_column(table, old, new));
        tables.chain(columns).collect()
    }

    /// The statements that take them back.
    #[must_use]
    pub fn back(&self) -> Vec<String> {
        let columns = self.columns.iter().rev().map(|(table, old, new)| rename_column(table, new, old));
        let tables = self.tables.iter().rev().flat_map(|(old, new)| rename_table(new, old));
        columns.chain(tables).collect()
    }

    /// The name that a table had.
    #[must_use]
    pub fn old_table<'n>(&'n self, new: &'n str) -> &'n str {
        self.tables.iter().find(|(_, it)| it.eq_ignore_ascii_case(new)).map_or(new, |(old, _)| old)
    }

    /// The name that a column had.
    #[must_use]
    pub fn old_column<'n>(&'n self, table: &str, new: &'n str) -> &'n str {
        let same =
            |(of, _, it): &&(String, String, String)| of.eq_ignore_ascii_case(table) && it.eq_ignore_ascii_case(new);
        self.columns.iter().find(same).map_or(new, |(_, old, _)| old)
    }

    /// The name that a column gets.
    #[must_use]
    pub fn new_column<'n>(&'n self, table: &str, old: &'n str) -> &'n str {
        let same =
            |(of, it, _): &&(String, String, String)| of.eq_ignore_ascii_case(table) && it.eq_ignore_ascii_case(old);
        self.columns.iter().find(same).map_or(old, |(_, _, new)| new)
    }

    /// The name that a table gets.
    #[must_use]
    pub fn new_table<'n>(&'n self, old: &'n str) -> &'n str {
        self.tables.iter().find(|(it, _)| it.eq_ignore_ascii_case(old)).map_or(old, |(_, new)| new)
    }

    fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|(old, new)| old.eq_ignore_ascii_case(name) || new.eq_ignore_ascii_case(name))
    }

    fn has_column(&self, table: &str, name: &str) -> bool {
        self.columns.iter().any(|(of, old, new)| {
            of.eq_ignore_ascii_case(table) && (old.eq_ignore_ascii_case(name) || new.eq_ignore_ascii_case(name))
        })
    }
}

fn rename_table(old: &str, new: &str) -> Option<String> {
    Some(format!("ALTER TABLE {} RENAME TO {}", identifier(old), identifier(new)))
}

fn rename_column(table: &str, old: &str, new: &str) -> String {
    format!("ALTER TABLE {} RENAME COLUMN {} TO {}", identifier(table), identifier(old), identifier(new))
}

/// Settles what was renamed, or says what has to be decided first.
///
/// # Errors
/// A rename that was asked for and cannot be.
pub fn settle(said: &Said, from: &Schema, to: &Schema) -> Result<(Renames, Vec<Question>), Vec<Problem>> {
    let mut renames = Renames::default();
    let mut problems = Vec::new();
    for (old, new) in &said.tables {
        match known(old, new, &|name| from.table(name).is_some(), &|name| to.table(name).is_some(), "table", "") {
            Err(problem) => problems.push(problem),
            Ok(()) if from.table(new).is_some() => problems.push(taken(new, "table")),
            Ok(()) if renames.has_table(old) || renames.has_table(new) => problems.push(twice(old, new, "table")),
            Ok(()) => renames.tables.push((old.clone(), new.clone())),
        }
    }
    for (old, new) in &said.hints.tables {
        if from.table(old).is_some() && !from.has_name(new) && to.table(old).is_none() && !renames.has_table(old) {
            renames.tables.push((old.clone(), new.clone()));
        }
    }
    for (table, old, new) in &said.columns {
        let (before, after) = (from.table(renames.old_table(table)), to.table(renames.new_table(table)));
        let has = |table: Option<&Table>, name: &str| table.is_some_and(|table| table.column(name).is_some());
        let of = format!("{}.", printable(table));
        match known(old, new, &|name| has(before, name), &|name| has(after, name), "column", &of) {
            Err(problem) => problems.push(problem),
            Ok(()) if has(before, new) => problems.push(taken(new, "column")),
            Ok(())
                if renames.has_column(renames.new_table(table), old)
                    || renames.has_column(renames.new_table(table), new) =>
            {
                problems.push(twice(old, new, "column"));
            }
            Ok(()) => renames.columns.push((renames.new_table(table).to_owned(), old.clone(), new.clone())),
        }
    }
    for (table, old, new) in &said.hints.columns {
        let (before, after) = (from.table(renames.old_table(table)), to.table(table));
        let has = |table: Option<&Table>, name: &str| table.is_some_and(|table| table.column(name).is_some());
        if has(before, old) && !has(before, new) && !has(after, old) && !renames.has_column(table, old) {
            renames.columns.push((table.clone(), old.clone(), new.clone()));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let questions = if said.no_others { Vec::new() } else { questions(&renames, &said.denied, from, to) };
    Ok((renames, questions))
}

fn known(
    old: &str,
    new: &str,
    was: &dyn Fn(&str) -> bool,
    wanted: &dyn Fn(&str) -> bool,
    what: &str,
    of: &str,
) -> Result<(), Problem> {
    let problem = if !was(old) {
        format!("there is no {what} `{of}{}` that could be renamed", printable(old))
    } else if !wanted(new) {
        format!("no {what} `{of}{}` is wanted, so `{}` cannot become it", printable(new), printable(old))
    } else if wanted(old) {
        format!("the {what} `{of}{}` is still wanted, so it cannot be renamed", printable(old))
    } else {
        return Ok(());
    };
    Err(Problem::new(UNKNOWN_RENAME, problem).help("`cargo migrate diff head models` lists what differs"))
}

fn taken(name: &str, what: &str) -> Problem {
    Problem::new(
        UNKNOWN_RENAME,
        format!("there is a {what} `{}` already, so nothing can be renamed to it", printable(name)),
    )
}

fn twice(old: &str, new: &str, what: &str) -> Problem {
    let (old, new) = (printable(old), printable(new));
    Problem::new(UNKNOWN_RENAME, format!("the {what} `{old}` or `{new}` is part of another rename already"))
        .help(format!("one {what} becomes one other: say each rename once"))
}

/// What vanishes while something like it appears; each new thing is asked about once.
fn questions(renames: &Renames, denied: &[Question], from: &Schema, to: &Schema) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    let gone = from.tables().filter(|table| to.table(&table.name).is_none() && !renames.has_table(&table.name));
    let mut new: Vec<(&Table, BTreeSet<String>)> = to
        .tables()
        .filter(|table| from.table(&table.name).is_none() && !renames.has_table(&table.name))
        .map(|table| (table, names(table)))
        .collect();
    for old in gone {
        let asked = |new: &Table| Question::Table { old: old.name.clone(), new: new.name.clone() };
        let of_old = names(old);
        let likely = (0..new.len())
            .map(|at| (likeness(&of_old, &new[at].1), at))
            .filter(|(likeness, at)| *likeness > 0 && !denied.contains(&asked(new[*at].0)));
        // The likeliest one alone: a list of all pairs helps nobody.
        if let Some((_, at)) = likely.max_by_key(|(likeness, at)| (*likeness, std::cmp::Reverse(*at))) {
            questions.push(asked(new.remove(at).0));
        }
    }
    for after in to.tables() {
        let Some(before) = from.table(renames.old_table(&after.name)) else { continue };
        let free = |column: &&Column| !renames.has_column(&after.name, &column.name) && column.generated.is_none();
        let gone: Vec<&Column> =
            before.columns.iter().filter(|column| after.column(&column.name).is_none()).filter(free).collect();
        let mut new: Vec<&Column> =
            after.columns.iter().filter(|column| before.column(&column.name).is_none()).filter(free).collect();
        // Those whose names are close are matched first, so that no other one takes their place.
        for by_name in [true, false] {
            for old in &gone {
                let question = |new: &Column| Question::Column {
                    table: after.name.clone(),
                    old: old.name.clone(),
                    new: new.name.clone(),
                };
                let known = |asked: &Question| matches!(asked, Question::Column { table, old: it, .. } if *table == after.name && *it == old.name);
                if questions.iter().any(known) {
                    continue;
                }
                let fits = |new: &Column| if by_name { near(old, new) } else { old.affinity() == new.affinity() };
                if let Some(at) = new.iter().position(|new| fits(new) && !denied.contains(&question(new))) {
                    questions.push(question(new.remove(at)));
                }
            }
        }
    }
    questions
}

/// Whether the names are close.
fn near(old: &Column, new: &Column) -> bool {
    nearest(&old.name, std::iter::once(new.name.as_str())).is_some()
}

/// The names of a table's columns, folded.
fn names(table: &Table) -> BTreeSet<String> {
    table.columns.iter().map(|column| fold(&column.name)).collect()
}

/// How many names two tables share, in hundredths of those that either has; nothing below half.
fn likeness(old: &BTreeSet<String>, new: &BTreeSet<String>) -> usize {
    // So few cannot be half of so many.
    if old.len().min(new.len()) * 2 < old.len().max(new.len()) {
        return 0;
    }
    let shared = old.intersection(new).count();
    let likeness = shared * 100 / (old.len() + new.len() - shared).max(1);
    if likeness >= 50 { likeness } else { 0 }
}
