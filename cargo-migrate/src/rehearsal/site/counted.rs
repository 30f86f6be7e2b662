//! How many rows and values are not what they were: asked of both states at once, where the sums have said that there are
//! some.

use build_support::problem::printable;
use rusqlite::Connection;

use super::Moment;
use crate::failure::Result;
use crate::fingerprint::Difference;
use crate::introspect::failed;
use crate::rehearsal::compared::{Line, uncounted};
use crate::rehearsal::copy::FileCopy;
use crate::report::many;
use crate::schema::Schema;
use crate::schema::table::Table;
use crate::schema::text::identifier;

/// The name under which the other copy is attached.
const PRISTINE: &str = "pristine";

/// What is not as it was, counted as far as it can be. `pristine` is a second copy of the moment before; of `moments`
/// the first is what was seen then, the second what this copy has.
pub(super) fn lines(
    connection: &Connection,
    pristine: FileCopy,
    moments: (&Moment<Schema>, &Moment<Schema>),
    back: &Schema,
    differences: &[Difference],
) -> Result<Vec<Line>> {
    connection
        .execute(&format!("ATTACH ?1 AS {PRISTINE}"), [pristine.path().as_os_str().as_encoded_bytes()])
        .map_err(failed)?;
    let counted = counted(connection, moments, back, differences).map_err(failed);
    connection.execute_batch(&format!("DETACH {PRISTINE}")).map_err(failed)?;
    counted
}

fn counted(
    connection: &Connection,
    (was, same): (&Moment<Schema>, &Moment<Schema>),
    back: &Schema,
    differences: &[Difference],
) -> rusqlite::Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for of_table in differences.chunk_by(|a, b| a.table() == b.table()) {
        let name = of_table[0].table();
        let comparable = was.rows.table(name) == same.rows.table(name);
        match (was.schema.table(name), back.table(name)) {
            (Some(before), Some(after)) if comparable => {
                lines.extend(gone_columns(connection, before, of_table)?);
                let found = keyed(before, after).map(|key| by_key(connection, before, after, &key)).transpose()?;
                match found.filter(|found| !found.is_empty()) {
                    Some(found) => lines.extend(found),
                    None => {
                        let there = |it: &&Difference| !matches!(it, Difference::NoColumn { .. });
                        lines.extend(of_table.iter().filter(there).map(uncounted));
                    }
                }
            }
            _ => lines.extend(of_table.iter().map(uncounted)),
        }
    }
    Ok(lines)
}

/// The columns of a table's key, where rows can be told apart by them in both states.
fn keyed<'t>(before: &'t Table, after: &Table) -> Option<Vec<&'t str>> {
    let key: Vec<&str> = before.primary_key.as_ref()?.columns.iter().map(|column| column.name.as_str()).collect();
    let never_null = |name: &&str| {
        before.column(name).is_some_and(|column| !before.may_be_null(column)) && after.column(name).is_some()
    };
    (!key.is_empty() && key.iter().all(never_null)).then_some(key)
}

/// The values in columns that are no more.
fn gone_columns(connection: &Connection, table: &Table, differences: &[Difference]) -> rusqlite::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for difference in differences {
        let Difference::NoColumn { column: name, .. } = difference else { continue };
        let Some(column) = table.column(name) else { continue };
        let sql = format!("SELECT count({}) FROM {PRISTINE}.{}", identifier(&column.name), identifier(&table.name));
        let values: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if values > 0 {
            let named = format!("`{}.{}`", printable(&table.name), printable(&column.name));
            let text = format!("{named}: {} lost after up and down", many(values, "value"));
            lines.push(Line { table: table.name.clone(), column: Some(column.name.clone()), text });
        }
    }
    Ok(lines)
}

/// Rows that are gone, rows that were not there, and values of the others that are not what they were.
fn by_key(connection: &Connection, before: &Table, after: &Table, key: &[&str]) -> rusqlite::Result<Vec<Line>> {
    let (name, after_name) = (identifier(&before.name), identifier(&after.name));
    let same: Vec<String> = key.iter().map(|it| identifier(it)).map(|it| format!("b.{it} = a.{it}")).collect();
    let same = same.join(" AND ");
    let count = |sql: String| connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
    let lost = count(format!(
        "SELECT count(*) FROM {PRISTINE}.{name} AS b WHERE NOT EXISTS (SELECT 1 FROM main.{after_name} AS a WHERE {same})"
    ))?;
    let over = count(format!(
        "SELECT count(*) FROM main.{after_name} AS a WHERE NOT EXISTS (SELECT 1 FROM {PRISTINE}.{name} AS b WHERE {same})"
    ))?;
    let of_rows = |rows: i64, how: &str| {
        let text = format!("`{}`: {} {how} after up and down", printable(&before.name), many(rows, "row"));
        Line { table: before.name.clone(), column: None, text }
    };
    let mut lines = Vec::new();
    lines.extend((lost > 0).then(|| of_rows(lost, "lost")));
    lines.extend((over > 0).then(|| of_rows(over, "left over")));
    let shared: Vec<&str> =
        before.columns.iter().map(|column| column.name.as_str()).filter(|name| after.column(name).is_some()).collect();
    let differ = |name: &&str| {
        let name = identifier(name);
        // As they are stored: no collation makes two texts one, and 1 is not 1.0.
        format!(
            "coalesce(sum(b.{name} COLLATE BINARY IS NOT a.{name} COLLATE BINARY OR typeof(b.{name}) <> typeof(a.{name})), 0)"
        )
    };
    let sums: Vec<String> = shared.iter().map(differ).collect();
    let sql = format!("SELECT {} FROM {PRISTINE}.{name} AS b JOIN main.{after_name} AS a ON {same}", sums.join(", "));
    connection.query_row(&sql, [], |row| {
        for (at, column) in shared.iter().enumerate() {
            let values: i64 = row.get(at)?;
            if values > 0 {
                let are = if values == 1 { "is not what it was" } else { "are not what they were" };
                let named = format!("`{}.{}`", printable(&before.name), printable(column));
                let text = format!("{named}: {} {are} after up and down", many(values, "value"));
                lines.push(Line { table: before.name.clone(), column: Some((*column).to_owned()), text });
            }
        }
        Ok(())
    })?;
    Ok(lines)
}
