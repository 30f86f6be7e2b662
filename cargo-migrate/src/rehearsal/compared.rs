//! What is not as it was after a revision was taken back, in words.

use build_support::problem::printable;
use rusqlite::Connection;

use super::{Moment, Rehearsed, Verdict};
use crate::diff::{self, Change, Detail};
use crate::failure::Result;
use crate::fingerprint::Difference;
use crate::introspect::failed;
use crate::project::settings::ColumnOrder;
use crate::schema::Schema;
use crate::schema::text::identifier;

/// The values that a downgrade takes away with what the upgrade has made, counted.
pub(super) fn lost_by_downgrade(connection: &Connection, before: &Schema, after: &Schema) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    let count = |sql: String| connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    for table in after.tables() {
        let name = printable(&table.name);
        let Some(old) = before.table(&table.name) else {
            let rows = count(format!("SELECT count(*) FROM {}", identifier(&table.name)))?;
            if rows > 0 {
                lost.push(format!("`{name}`: {} would be lost by the downgrade", many(rows, "row")));
            }
            continue;
        };
        let new =
            table.columns.iter().filter(|column| old.column(&column.name).is_none() && column.generated.is_none());
        for column in new {
            let column_name = identifier(&column.name);
            let values = count(format!("SELECT count({column_name}) FROM {}", identifier(&table.name)))?;
            if values > 0 {
                let values = many(values, "value");
                lost.push(format!("`{name}.{}`: {values} would be lost by the downgrade", printable(&column.name)));
            }
        }
    }
    Ok(lost)
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

/// Whether the rows are as they were before the upgrade.
pub(super) fn rows(before: &Moment, back: &Moment, declared: &[String], found: &mut Rehearsed) {
    let says = |table: &str, column: Option<&str>| {
        declared.iter().any(|loss| {
            loss.eq_ignore_ascii_case(table)
                || column.is_some_and(|column| loss.eq_ignore_ascii_case(&format!("{table}.{column}")))
        })
    };
    found.data = Verdict::Yes;
    for difference in before.rows.differences(&back.rows) {
        let table = printable(difference.table());
        let (line, said) = match &difference {
            Difference::Count { table: name, before, after } => {
                let change = i128::from(*after) - i128::from(*before);
                let rows = many(i64::try_from(change.abs()).unwrap_or(i64::MAX), "row");
                let line =
                    if change < 0 { format!("`{table}`: {rows} lost") } else { format!("`{table}`: {rows} left over") };
                (format!("{line} after up and down"), says(name, None))
            }
            Difference::Column { table: name, column } => (
                format!("`{table}.{}`: the values are not what they were after up and down", printable(column)),
                says(name, Some(column)),
            ),
            Difference::Rows { table: name } => {
                (format!("`{table}`: the rows are not what they were after up and down"), says(name, None))
            }
        };
        if said {
            if found.data == Verdict::Yes {
                found.data = Verdict::Declared;
            }
            found.remarks.push(format!("{line}, as the revision declares"));
        } else {
            found.data = Verdict::No;
            found.faults.push(line);
        }
    }
}

/// Whether the second upgrade makes the same schema as the first.
pub(super) fn second_time(first: &Schema, second: &Schema, faults: &mut Vec<String>) {
    for change in diff::changes(first, second, ColumnOrder::Any) {
        faults.push(format!("the second upgrade does not make the same: {}", printable(&change.lines().join(" "))));
    }
}

fn many(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
