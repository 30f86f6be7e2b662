//! What is not as it was after a revision was taken back, in words.

use build_support::problem::printable;

use super::{Rehearsed, Verdict};
use crate::diff::{Change, Detail};
use crate::fingerprint::Difference;
use crate::report::many;

/// The tables and columns of a schema.
pub(super) trait Layout {
    /// Whether there is such a table.
    fn has_table(&self, table: &str) -> bool;

    /// Whether there is such a column.
    fn has_column(&self, table: &str, column: &str) -> bool;
}

/// How much a table holds.
pub(super) struct HeldTable {
    pub(super) name: String,
    pub(super) rows: i64,
    /// How many values each column has.
    pub(super) columns: Vec<(String, i64)>,
}

/// How much each table and each column holds.
pub(super) struct Held(pub(super) Vec<HeldTable>);

impl Held {
    /// What of it has no place in this schema, which a downgrade leads to.
    pub(super) fn lost(&self, back: &dyn Layout) -> Vec<String> {
        let mut lost = Vec::new();
        for table in &self.0 {
            let name = printable(&table.name);
            if !back.has_table(&table.name) {
                if table.rows > 0 {
                    lost.push(format!("`{name}`: {} would be lost by the downgrade", many(table.rows, "row")));
                }
                continue;
            }
            for (column, values) in &table.columns {
                if *values > 0 && !back.has_column(&table.name, column) {
                    let values = many(*values, "value");
                    lost.push(format!("`{name}.{}`: {values} would be lost by the downgrade", printable(column)));
                }
            }
        }
        lost
    }
}

/// Each thing that a downgrade has left otherwise than it was.
pub(super) fn not_restored(change: &Change<'_>) -> Vec<String> {
    let left = |what: &str, name: &str, how: &str| vec![format!("the downgrade {how} {what} `{}`", printable(name))];
    match change {
        Change::CreateTable(table) => left("the table", &table.name, "leaves"),
        Change::DropTable(table) => left("the table", &table.name, "does not bring back"),
        Change::Create(object) => left(&format!("the {}", object.kind.word()), &object.name, "leaves"),
        Change::Drop(object) => left(&format!("the {}", object.kind.word()), &object.name, "does not bring back"),
        Change::Replace { after, .. } => left(&format!("the {}", after.kind.word()), &after.name, "does not restore"),
        Change::AlterTable(change) => {
            let table = printable(&change.after.name);
            let line = |detail: &Detail<'_>| match detail {
                Detail::AddColumn(column) => {
                    format!("the downgrade leaves the column `{table}.{}`", printable(&column.name))
                }
                Detail::DropColumn(column) => {
                    format!("the downgrade does not bring back the column `{table}.{}`", printable(&column.name))
                }
                other => format!("the downgrade does not restore `{table}`: {}", printable(&other.to_string())),
            };
            change.details.iter().map(line).collect()
        }
    }
}

/// One thing about rows that is not as it was.
pub(super) struct Line {
    /// The table that it is in.
    pub(super) table: String,
    /// The column, where it is one column's affair.
    pub(super) column: Option<String>,
    /// In words.
    pub(super) text: String,
}

/// What the sums alone tell.
pub(super) fn uncounted(difference: &Difference) -> Line {
    let name = printable(difference.table());
    let (column, text) = match difference {
        Difference::Count { before, after, .. } => {
            let rows = many(before.abs_diff(*after), "row");
            (None, format!("`{name}`: {rows} {}", if after < before { "lost" } else { "left over" }))
        }
        Difference::Column { column, .. } => {
            (Some(column), format!("`{name}.{}`: the values are not what they were", printable(column)))
        }
        Difference::Rows { .. } => (None, format!("`{name}`: the rows are not what they were")),
        Difference::SetBack { before, after, .. } => {
            return Line {
                table: difference.table().to_owned(),
                column: None,
                text: format!("`{name}`: the next number is {after} after up and down, and was {before}"),
            };
        }
        Difference::NoTable { rows, .. } => (None, format!("`{name}`: {} lost", many(*rows, "row"))),
        Difference::NoColumn { column, .. } => {
            (Some(column), format!("`{name}.{}`: the values are lost", printable(column)))
        }
    };
    let text = format!("{text} after up and down");
    Line { table: difference.table().to_owned(), column: column.cloned(), text }
}

/// Each declared loss that is of nothing that was there, nor of anything that the upgrade has made: it is misspelt, or of
/// another revision. `home` as for [`rows`].
pub(super) fn unknown(declared: &[String], home: Option<&str>, layouts: [&dyn Layout; 2]) -> Vec<String> {
    let is_there = |name: &str| {
        let has = |layout: &&dyn Layout| {
            let of_column = |at: usize| layout.has_column(&name[..at], &name[at + 1..]);
            layout.has_table(name) || name.match_indices('.').any(|(at, _)| of_column(at))
        };
        layouts.iter().any(has)
    };
    let of_nothing = |loss: &&String| {
        // As it is written, and as a server knows a name without quotes.
        let spelt = [loss.to_string(), loss.to_ascii_lowercase()];
        !spelt.iter().any(|name| is_there(name) || home.is_some_and(|home| is_there(&format!("{home}.{name}"))))
    };
    let told =
        |loss: &String| format!("`{}` is declared to be lost, and there is no such table or column", printable(loss));
    declared.iter().filter(of_nothing).map(told).collect()
}

/// What is not as it was, as faults or, where the revision declares the loss, as remarks. The tables of the schema `home`
/// may be declared without it.
pub(super) fn rows(lines: Vec<Line>, declared: &[String], home: Option<&str>, found: &mut Rehearsed) {
    for Line { table, column, text } in lines {
        let bare = home.and_then(|home| table.strip_prefix(home)?.strip_prefix('.'));
        let said = declared.iter().any(|loss| {
            [Some(table.as_str()), bare].into_iter().flatten().any(|table| {
                loss.eq_ignore_ascii_case(table)
                    || column.as_ref().is_some_and(|column| loss.eq_ignore_ascii_case(&format!("{table}.{column}")))
            })
        });
        if said {
            if found.data == Verdict::Yes {
                found.data = Verdict::Declared;
            }
            found.remarks.push(format!("{text}, as the revision declares"));
        } else {
            found.data = Verdict::No;
            found.faults.push(text);
        }
    }
}
