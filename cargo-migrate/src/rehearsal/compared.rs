//! What is not as it was after a revision was taken back, in words.

use build_support::problem::printable;
use rusqlite::Connection;

use super::{Rehearsed, Verdict};
use crate::diff::{self, Change, Detail};
use crate::failure::Result;
use crate::fingerprint::Difference;
use crate::introspect::failed;
use crate::project::settings::ColumnOrder;
use crate::report::many;
use crate::schema::Schema;
use crate::schema::table::{Column, Table};
use crate::schema::text::identifier;

/// How much each table and each column holds.
pub(super) struct Held(Vec<(Table, Vec<i64>)>);

impl Held {
    /// Counts rows and values.
    pub(super) fn by(connection: &Connection, schema: &Schema) -> Result<Self> {
        let counted = schema.tables().map(|table| {
            // What is generated is no value of its own.
            let value = |column: &Column| match column.generated {
                None => format!("count({})", identifier(&column.name)),
                Some(_) => "0".to_owned(),
            };
            let counts: Vec<String> = table.columns.iter().map(value).collect();
            let sql = format!("SELECT count(*), {} FROM main.{}", counts.join(", "), identifier(&table.name));
            let numbers = connection.query_row(&sql, [], |row| (0..=counts.len()).map(|at| row.get(at)).collect());
            Ok((table.clone(), numbers.map_err(failed)?))
        });
        Ok(Self(counted.collect::<Result<_>>()?))
    }

    /// What of it has no place in this schema, which a downgrade leads to.
    pub(super) fn lost(&self, back: &Schema) -> Vec<String> {
        let mut lost = Vec::new();
        for (table, numbers) in &self.0 {
            let name = printable(&table.name);
            let Some(left) = back.table(&table.name) else {
                if numbers[0] > 0 {
                    lost.push(format!("`{name}`: {} would be lost by the downgrade", many(numbers[0], "row")));
                }
                continue;
            };
            for (column, values) in table.columns.iter().zip(&numbers[1..]) {
                if *values > 0 && left.column(&column.name).is_none() {
                    let values = many(*values, "value");
                    lost.push(format!("`{name}.{}`: {values} would be lost by the downgrade", printable(&column.name)));
                }
            }
        }
        lost
    }
}

/// Whether the schema is as it was before the upgrade.
pub(super) fn schemas(before: &Schema, back: &Schema, found: &mut Rehearsed) {
    let changes = diff::changes(before, back, ColumnOrder::Any);
    found.schema = if changes.is_empty() { Verdict::Yes } else { Verdict::No };
    found.faults.extend(changes.iter().flat_map(|change| not_restored(change)));
}

/// Each thing that a downgrade has left otherwise than it was.
fn not_restored(change: &Change<'_>) -> Vec<String> {
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
        Difference::NoTable { rows, .. } => (None, format!("`{name}`: {} lost", many(*rows, "row"))),
        Difference::NoColumn { column, .. } => {
            (Some(column), format!("`{name}.{}`: the values are lost", printable(column)))
        }
    };
    let text = format!("{text} after up and down");
    Line { table: difference.table().to_owned(), column: column.cloned(), text }
}

/// What is not as it was, as faults or, where the revision declares the loss, as remarks.
pub(super) fn rows(lines: Vec<Line>, declared: &[String], found: &mut Rehearsed) {
    for Line { table, column, text } in lines {
        let said = declared.iter().any(|loss| {
            loss.eq_ignore_ascii_case(&table)
                || column.as_ref().is_some_and(|column| loss.eq_ignore_ascii_case(&format!("{table}.{column}")))
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

/// Whether the second upgrade makes the same schema as the first.
pub(super) fn second_time(first: &Schema, second: &Schema, faults: &mut Vec<String>) {
    for change in diff::changes(first, second, ColumnOrder::Any) {
        faults.push(format!("the second upgrade does not make the same: {}", printable(&change.lines().join(" "))));
    }
}
