//! Values for columns that refuse NULL and that old rows do not have.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Fills;
use crate::diff::{Change, Detail, TableChange};
use crate::schema::candidates::{Candidates, Row, candidates};
use crate::schema::table::{Affinity, Column, Table};
use crate::schema::text::{fold, identifier, identifiers, names, value};
use crate::schema::{Kind, Object, Schema};

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
    let mut fills = Fills::new();
    for change in changes {
        let Change::AlterTable(change) = change else { continue };
        let added: Vec<&Column> = change
            .details
            .iter()
            .filter_map(|detail| match detail {
                Detail::AddColumn(column) => Some(*column),
                _ => None,
            })
            .collect();
        let given = |column: &Column| column.default.as_ref().is_some_and(|default| default.normal() != "null");
        // A default that is the same in all rows is none where rows have to differ.
        let same = added.iter().filter(|column| given(column)).map(|column| (change.after, *column));
        let same = same.filter(|(table, column)| tells_apart(table, column, &added, to));
        for (table, column) in of_table(change).into_iter().chain(same) {
            let key = tells_apart(table, column, &added, to);
            fills.insert(
                (fold(&table.name), fold(&column.name)),
                invent(change.before, table, column, key, to, scratch),
            );
        }
    }
    fills
}

/// Whether a new column belongs to a key or a unique index of new columns alone, so that nothing else tells rows apart.
fn tells_apart(table: &Table, column: &Column, added: &[&Column], schema: &Schema) -> bool {
    let is_new = |name: &str| added.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let alone = |names: &[&str]| {
        names.iter().any(|name| name.eq_ignore_ascii_case(&column.name)) && names.iter().all(|name| is_new(name))
    };
    let keys = table.primary_key.iter().map(|key| &key.columns).chain(table.uniques.iter().map(|key| &key.columns));
    let mut keys = keys.map(|columns| columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>());
    let unique = |object: &&Object| {
        object.kind == Kind::Index
            && object.on.eq_ignore_ascii_case(&table.name)
            && names(&object.sql).nth(1).is_some_and(|word| word.eq_ignore_ascii_case("unique"))
    };
    let mentioned = |object: &Object| {
        let columns = table.columns.iter().map(|column| column.name.as_str());
        columns.filter(|name| object.mentions(name)).collect::<Vec<_>>()
    };
    keys.any(|names| alone(&names)) || schema.objects().filter(unique).any(|index| alone(&mentioned(index)))
}

fn invent(before: &Table, table: &Table, column: &Column, key: bool, schema: &Schema, scratch: &Connection) -> String {
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
            // What is left of the reference tells which row it was, or one like it.
            let left = key.columns.iter().zip(&parents).filter(|(name, _)| before.column(name).is_some());
            let same: Vec<String> = left
                .map(|(name, parent)| {
                    format!("{from}.{} = {}.{}", identifier(parent), identifier(&before.name), identifier(name))
                })
                .collect();
            let which = if same.is_empty() { String::new() } else { format!(" WHERE {}", same.join(" AND ")) };
            return format!(
                "(SELECT {column} FROM {from}{which} ORDER BY {} LIMIT 1)",
                identifiers(parents.iter().map(String::as_str))
            );
        }
        // A row refers to itself; to a key that is as new as the reference, by the same number.
        Some((_, parent)) if before.column(&parent).is_some() => {
            return identifier(&parent);
        }
        Some(_) => return typed("row_number() OVER ()", column, table.strict),
        None if (key || table.in_key(&column.name))
            && fits(table, column, &typed("1", column, table.strict), scratch) =>
        {
            return typed("row_number() OVER ()", column, table.strict);
        }
        None => {}
    }
    let neutral = match column.affinity() {
        Affinity::Text => "''",
        Affinity::Blob if column.declared_type.is_empty() => "''",
        Affinity::Blob => "x''",
        Affinity::Integer | Affinity::Real | Affinity::Numeric => "0",
    };
    let row = Row { at: 0, number: 0 };
    let Candidates { likely, others } = candidates(table, column);
    let candidates = likely.into_iter().chain(others).map(|candidate| value(&candidate.value(row)));
    std::iter::once(neutral.to_owned())
        .chain(candidates)
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
        scratch.query_row(&sql, [], |row| row.get::<_, Value>(0)).is_ok_and(|value| match value {
            Value::Integer(number) => number != 0,
            Value::Real(number) => number != 0.0,
            _ => false,
        })
    })
}
