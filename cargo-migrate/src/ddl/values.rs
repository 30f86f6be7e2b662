//! Values for columns that refuse NULL and that old rows do not have.

use build_support::token::{TokenKind, tokens};
use rusqlite::Connection;

use super::Fills;
use crate::diff::{Change, Detail, TableChange};
use crate::schema::Schema;
use crate::schema::table::{Affinity, Column, Table};
use crate::schema::text::{fold, identifier, identifiers};

/// The columns that rows of the old table would have to have a value in, and that nothing gives them one.
pub fn missing<'s>(changes: &[Change<'s>]) -> impl Iterator<Item = (&'s Table, &'s Column)> {
    changes.iter().flat_map(|change| match change {
        Change::AlterTable(change) => of_table(change),
        Change::CreateTable(_)
        | Change::DropTable(_)
        | Change::Create(_)
        | Change::Drop(_)
        | Change::Replace { .. } => Vec::new(),
    })
}

fn of_table<'s>(change: &TableChange<'s>) -> Vec<(&'s Table, &'s Column)> {
    let alias = change.after.rowid_alias().map(|alias| &alias.name);
    let needs = |column: &&Column| {
        let given = column.default.as_ref().is_some_and(|default| default.normal() != "null");
        column.not_null.is_some() && !given && column.generated.is_none() && alias != Some(&column.name)
    };
    // A column that was computed until now keeps its values.
    let added = change.details.iter().filter_map(|detail| match detail {
        Detail::AddColumn(column) => Some(*column),
        _ => None,
    });
    added.filter(needs).map(|column| (change.after, column)).collect()
}

/// Values that a downgrade gives to columns whose own are lost: such as the table takes.
#[must_use]
pub fn invented(changes: &[Change<'_>], to: &Schema, scratch: &Connection) -> Fills {
    let before = |table: &Table| {
        changes.iter().find_map(|change| match change {
            Change::AlterTable(change) if change.after.name == table.name => Some(change.before),
            _ => None,
        })
    };
    let value = |table: &Table, column: &Column| invent(before(table), table, column, to, scratch);
    // One value for all rows is no key, even where it is the column's own default.
    let alike = changes.iter().flat_map(|change| match change {
        Change::AlterTable(change) => defaulted_keys(change),
        _ => Vec::new(),
    });
    let columns = missing(changes).chain(alike);
    columns.map(|(table, column)| ((fold(&table.name), fold(&column.name)), value(table, column))).collect()
}

/// New columns that have a default, and that are a key by themselves or with other new ones.
fn defaulted_keys<'s>(change: &TableChange<'s>) -> Vec<(&'s Table, &'s Column)> {
    let (before, after) = (change.before, change.after);
    let uniques = after.uniques.iter().map(|unique| &unique.columns);
    let keys = after.primary_key.iter().map(|key| &key.columns).chain(uniques);
    let new = |name: &str| before.column(name).is_none();
    keys.filter(|columns| columns.iter().all(|column| new(&column.name)))
        .filter_map(|columns| after.column(&columns.first()?.name))
        .filter(|column| column.default.as_ref().is_some_and(|default| default.normal() != "null"))
        .filter(|column| column.generated.is_none() && after.rowid_alias().is_none_or(|it| it.name != column.name))
        .map(|column| (after, column))
        .collect()
}

fn invent(before: Option<&Table>, table: &Table, column: &Column, schema: &Schema, scratch: &Connection) -> String {
    let refers = table.foreign_keys.iter().find_map(|key| {
        let at = key.columns.iter().position(|name| name.eq_ignore_ascii_case(&column.name))?;
        let parents = key.parent_columns.clone().or_else(|| schema.parent_key(key))?;
        Some((key, parents.get(at)?.clone()))
    });
    match refers {
        Some((key, parent)) if !key.parent.eq_ignore_ascii_case(&table.name) => {
            let (column, from) = (identifier(&parent), identifier(&key.parent));
            if key.columns.len() == 1 {
                return format!("(SELECT min({column}) FROM {from})");
            }
            // All columns of the reference have to come from one row.
            let parents = key.parent_columns.clone().or_else(|| schema.parent_key(key)).unwrap_or_default();
            return format!(
                "(SELECT {column} FROM {from} ORDER BY {} LIMIT 1)",
                identifiers(parents.iter().map(String::as_str))
            );
        }
        // A row refers to itself; to a key that is as new as the reference, by the same number.
        Some((_, parent)) if before.is_none_or(|before| before.column(&parent).is_some()) => {
            return identifier(&parent);
        }
        Some(_) => return typed("row_number() OVER ()", column, table.strict),
        None if table.in_key(&column.name) => return typed("row_number() OVER ()", column, table.strict),
        None => {}
    }
    let neutral = match column.affinity() {
        Affinity::Text => "''",
        Affinity::Blob if column.declared_type.is_empty() => "''",
        Affinity::Blob => "x''",
        Affinity::Integer | Affinity::Real | Affinity::Numeric => "0",
    };
    candidates(table, column, neutral)
        .into_iter()
        .find(|value| fits(table, column, value, scratch))
        .unwrap_or_else(|| neutral.to_owned())
}

/// A number as a value of the column's type.
fn typed(number: &str, column: &Column, strict: bool) -> String {
    match column.affinity() {
        Affinity::Text => format!("CAST({number} AS TEXT)"),
        Affinity::Blob if strict && !column.declared_type.eq_ignore_ascii_case("any") => {
            format!("CAST(CAST({number} AS TEXT) AS BLOB)")
        }
        Affinity::Blob | Affinity::Integer | Affinity::Real | Affinity::Numeric => number.to_owned(),
    }
}

/// What the column's CHECKs may be asking for: the neutral value, and what stands in them, and next to it.
pub(crate) fn candidates(table: &Table, column: &Column, neutral: &str) -> Vec<String> {
    let mut found = vec![neutral.to_owned()];
    for check in table.checks.iter().filter(|check| check.expression.mentions(&column.name)) {
        let text = &check.expression.text;
        for token in tokens(text) {
            let part = &text[token.span];
            match token.kind {
                TokenKind::Literal => found.push(part.to_owned()),
                TokenKind::Number => {
                    found.push(part.to_owned());
                    if let Ok(number) = part.parse::<i64>() {
                        found.extend([number.saturating_add(1).to_string(), number.saturating_sub(1).to_string()]);
                        if let (Affinity::Text | Affinity::Blob, 1..=256) = (column.affinity(), number) {
                            found.push(format!("'{}'", "0".repeat(usize::try_from(number).unwrap_or_default())));
                            found.push(format!("x'{}'", "00".repeat(usize::try_from(number).unwrap_or_default())));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found.extend(
        ["1", "0.5", "'a'", "'{}'", "'[]'", "'2000-01-01'", "'2000-01-01 00:00:00'", "x'00'"].map(str::to_owned),
    );
    found
}

/// Whether no CHECK of the table speaks against a value, as far as it depends on the value alone.
fn fits(table: &Table, column: &Column, value: &str, scratch: &Connection) -> bool {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|other| {
            let value = if other.name.eq_ignore_ascii_case(&column.name) { value } else { "NULL" };
            let cast = match (other.affinity(), value) {
                (_, "NULL") => "NULL".to_owned(),
                (Affinity::Text, value) => format!("CAST({value} AS TEXT)"),
                (_, value) => value.to_owned(),
            };
            format!("{cast} AS {}", identifier(&other.name))
        })
        .collect();
    table.checks.iter().filter(|check| check.expression.mentions(&column.name)).all(|check| {
        let sql = format!(
            "SELECT coalesce(({}), 1) FROM (SELECT {}) AS {}",
            check.expression.text,
            columns.join(", "),
            identifier(&table.name)
        );
        scratch.query_row(&sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).is_ok_and(|value| match value {
            rusqlite::types::Value::Integer(number) => number != 0,
            rusqlite::types::Value::Real(number) => number != 0.0,
            _ => false,
        })
    })
}
