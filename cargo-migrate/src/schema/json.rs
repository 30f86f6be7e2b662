//! A schema for a program.

use serde_json::{Value, json};

use super::table::{Check, Column, ForeignKey, KeyColumn, PrimaryKey, Table, Unique};
use super::{Kind, Object, Schema};

/// The tables, and what stands beside them.
#[must_use]
pub fn document(schema: &Schema) -> Value {
    let of_kind =
        |kind: Kind| schema.objects().filter(move |object| object.kind == kind).map(object).collect::<Vec<_>>();
    json!({
        "tables": schema.tables().map(|it| table(schema, it)).collect::<Vec<_>>(),
        "virtual_tables": of_kind(Kind::VirtualTable),
        "views": of_kind(Kind::View),
        "triggers": of_kind(Kind::Trigger),
    })
}

fn object(object: &Object) -> Value {
    json!({ "name": object.name, "table": object.on, "sql": object.sql })
}

fn table(schema: &Schema, table: &Table) -> Value {
    let indexes = schema.objects().filter(|object| object.kind == Kind::Index && object.is_on(&table.name));
    json!({
        "name": table.name,
        "columns": table.columns.iter().map(|it| column(table, it)).collect::<Vec<_>>(),
        "primary_key": table.primary_key.as_ref().map(primary_key),
        "uniques": table.uniques.iter().map(unique).collect::<Vec<_>>(),
        "checks": table.checks.iter().map(check).collect::<Vec<_>>(),
        "foreign_keys": table.foreign_keys.iter().map(|key| foreign_key(schema, key)).collect::<Vec<_>>(),
        "indexes": indexes.map(index).collect::<Vec<_>>(),
        "strict": table.strict,
        "without_rowid": table.without_rowid,
        "sql": table.sql,
    })
}

fn column(table: &Table, column: &Column) -> Value {
    let generated = column.generated.as_ref();
    json!({
        "name": column.name,
        "type": column.declared_type,
        "nullable": table.may_be_null(column),
        "default": column.default.as_ref().map(|default| &default.text),
        "collation": column.collation,
        "generated": generated.map(|it| json!({ "expression": it.expression.text, "stored": it.stored })),
    })
}

fn key_columns(columns: &[KeyColumn]) -> Vec<Value> {
    columns
        .iter()
        .map(|it| json!({ "name": it.name, "collation": it.collation, "descending": it.descending }))
        .collect()
}

fn primary_key(key: &PrimaryKey) -> Value {
    json!({ "columns": key_columns(&key.columns), "autoincrement": key.autoincrement })
}

fn unique(unique: &Unique) -> Value {
    json!({ "columns": key_columns(&unique.columns) })
}

fn check(check: &Check) -> Value {
    json!({ "name": check.name, "expression": check.expression.text })
}

fn foreign_key(schema: &Schema, key: &ForeignKey) -> Value {
    json!({
        "columns": key.columns,
        "table": key.parent,
        "table_columns": key.parent_columns.clone().or_else(|| schema.parent_key(key)),
        "on_delete": key.on_delete.map(super::table::Action::sql),
        "on_update": key.on_update.map(super::table::Action::sql),
        "deferred": key.deferred,
    })
}

fn index(index: &Object) -> Value {
    json!({ "name": index.name, "unique": index.is_unique_index(), "sql": index.sql })
}
