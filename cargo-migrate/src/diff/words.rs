//! Changes in words, and as JSON.

use std::fmt;

use build_support::problem::{Problem, printable};

use serde_json::{Value, json};

use super::{Change, Detail, TableChange};
use crate::schema::table::{Affinity, Column, PrimaryKey, Table};

impl Change<'_> {
    /// The name of what changes.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::CreateTable(table) | Self::DropTable(table) => &table.name,
            Self::AlterTable(change) => &change.after.name,
            Self::Create(object) | Self::Drop(object) | Self::Replace { after: object, .. } => &object.name,
        }
    }

    /// The change for a program: what kind of thing, its name, what happens to it, and what that consists of.
    #[must_use]
    pub fn json(&self) -> Value {
        let (kind, change) = match self {
            Self::CreateTable(_) => ("table", "create"),
            Self::DropTable(_) => ("table", "drop"),
            Self::AlterTable(_) => ("table", "alter"),
            Self::Create(object) => (object.kind.word(), "create"),
            Self::Drop(object) => (object.kind.word(), "drop"),
            Self::Replace { after, .. } => (after.kind.word(), "replace"),
        };
        let details: Vec<String> = match self {
            Self::AlterTable(change) => change.details.iter().map(ToString::to_string).collect(),
            Self::CreateTable(_) | Self::DropTable(_) | Self::Create(_) | Self::Drop(_) | Self::Replace { .. } => {
                Vec::new()
            }
        };
        json!({ "kind": kind, "name": self.name(), "change": change, "details": details })
    }

    /// The change in lines for a person: `+` for what is new, `-` for what is gone, `~` for what is another one.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::CreateTable(table) => vec![format!("+ table {}", table.name)],
            Self::DropTable(table) => vec![format!("- table {}", table.name)],
            Self::AlterTable(TableChange { after, details, .. }) => {
                let heading = format!("~ table {}", after.name);
                std::iter::once(heading).chain(details.iter().map(|detail| format!("    {detail}"))).collect()
            }
            Self::Create(object) => vec![format!("+ {} {}", object.kind.word(), object.name)],
            Self::Drop(object) => vec![format!("- {} {}", object.kind.word(), object.name)],
            Self::Replace { after, .. } => vec![format!("~ {} {}", after.kind.word(), after.name)],
        }
    }
}

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddColumn(column) => write!(f, "+ column {}", column.sql()),
            Self::DropColumn(column) => write!(f, "- column {}", column.sql()),
            Self::ChangeColumn { before, after } => {
                write!(f, "~ column {}: {}", after.name, differences(before, after).join(", "))
            }
            Self::ReorderColumns => f.write_str("~ order of the columns"),
            Self::PrimaryKey { before, after } => {
                write!(f, "~ primary key: {}, was {}", key(*after), key(*before))
            }
            Self::AddUnique(unique) => write!(f, "+ {}", unique.sql()),
            Self::DropUnique(unique) => write!(f, "- {}", unique.sql()),
            Self::AddCheck(check) => write!(f, "+ {}", check.sql()),
            Self::DropCheck(check) => write!(f, "- {}", check.sql()),
            Self::AddForeignKey(key) => {
                write!(f, "+ foreign key ({}) {}", key.columns.join(", "), key.references_sql())
            }
            Self::DropForeignKey(key) => {
                write!(f, "- foreign key ({}) {}", key.columns.join(", "), key.references_sql())
            }
            Self::Strict(true) => f.write_str("+ STRICT"),
            Self::Strict(false) => f.write_str("- STRICT"),
            Self::WithoutRowid(true) => f.write_str("+ WITHOUT ROWID"),
            Self::WithoutRowid(false) => f.write_str("- WITHOUT ROWID"),
        }
    }
}

fn key(key: Option<&PrimaryKey>) -> String {
    key.map_or_else(
        || "none".to_owned(),
        |key| {
            let columns: Vec<String> = key.columns.iter().map(crate::schema::table::KeyColumn::sql).collect();
            format!("({}){}", columns.join(", "), if key.autoincrement { " AUTOINCREMENT" } else { "" })
        },
    )
}

/// How many lines are listed.
const LISTED: usize = 20;

/// Adds the changes to a problem, the first ones line by line; `all` is the command that shows every one.
#[must_use]
pub fn listed(problem: Problem, changes: &[Change<'_>], all: &str) -> Problem {
    let lines: Vec<String> = changes.iter().flat_map(Change::lines).collect();
    let problem = lines.iter().take(LISTED).fold(problem, |problem, line| problem.note(printable(line)));
    match lines.len().saturating_sub(LISTED) {
        0 => problem,
        more => problem.note(format!("and {more} more lines: `{all}`")),
    }
}

/// What two columns differ in, in words.
pub(super) fn differences(before: &Column, after: &Column) -> Vec<String> {
    let mut words = Vec::new();
    if before.normal_type() != after.normal_type() {
        let shown = |column: &Column| match column.declared_type.as_str() {
            "" => "no type".to_owned(),
            declared => declared.to_owned(),
        };
        words.push(format!("{}, was {}", shown(after), shown(before)));
    }
    match (before.not_null, after.not_null) {
        (None, Some(_)) => words.push("NOT NULL".to_owned()),
        (Some(_), None) => words.push("may be NULL".to_owned()),
        (before, after) if before != after => words.push("another ON CONFLICT".to_owned()),
        _ => {}
    }
    if before.default != after.default {
        words.push(match &after.default {
            Some(default) => format!("DEFAULT {}", default.text),
            None => "no default".to_owned(),
        });
    }
    if !super::same_collation(before, after) {
        words.push(format!("COLLATE {}", after.collation.as_deref().unwrap_or("BINARY")));
    }
    if before.generated != after.generated {
        words.push(if after.generated.is_some() { "generated".to_owned() } else { "not generated".to_owned() });
    }
    words
}

/// Whether putting a value of the first column into the second one can make another value of it that does not turn back
/// into the first.
#[must_use]
pub(crate) fn loses_by_type(before: (&Table, &Column), after: (&Table, &Column)) -> bool {
    use Affinity::{Blob, Integer, Numeric, Real, Text};
    match (before.0.affinity(before.1), after.0.affinity(after.1)) {
        (_, Blob) => false,
        (a, b) if a == b => false,
        (Integer, Text | Numeric) | (Numeric | Real, Integer) | (Real, Numeric) => false,
        // '007' becomes 7, a large whole number is rounded, a fraction is written with fewer digits.
        (Text | Blob | Real | Numeric | Integer, Integer | Text | Real | Numeric) => true,
    }
}
