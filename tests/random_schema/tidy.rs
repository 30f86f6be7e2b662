//! What must hold of a schema for SQLite to accept it: what a change has left without its ground is taken out.

use super::model::{Expr, Foreign, Id, Key, Schema, SearchKind, Shape, Table};
use super::parts::STRICT_KINDS;

/// Takes out of a schema what SQLite would refuse.
pub(super) fn tidy(schema: &mut Schema) {
    schema.tables.iter_mut().for_each(tidy_table);
    let tables = schema.tables.clone();
    let parent = |id: Id| tables.iter().find(|table| table.id == id);
    for table in &mut schema.tables {
        table.foreigns.retain(|foreign| parent(foreign.parent).is_some_and(|parent| refers(foreign, parent)));
    }

    let mut known: Vec<Id> = tables.iter().map(|table| table.id).collect();
    schema.views.retain_mut(|view| {
        if !known.contains(&view.source) {
            return false;
        }
        known.push(view.id);
        let whole = match (&mut view.shape, parent(view.source)) {
            (Shape::Columns(columns), Some(table)) => {
                columns.retain(|column| table.column(*column).is_some());
                !columns.is_empty()
            }
            (Shape::Join(other), Some(_)) => parent(*other).is_some(),
            (Shape::Columns(_) | Shape::Join(_), None) => false,
            (Shape::All | Shape::Count, _) => true,
        };
        if !whole {
            view.shape = Shape::All;
        }
        true
    });

    schema.triggers.retain_mut(|trigger| {
        let on = parent(trigger.on);
        trigger.of.retain(|column| on.is_some_and(|table| table.column(*column).is_some()));
        let other = parent(trigger.other).is_some_and(|table| table.plain().contains(&trigger.other_column));
        known.contains(&trigger.on) && other
    });

    schema.searches.retain_mut(|search| match &mut search.kind {
        SearchKind::External(table, columns) => {
            let Some(table) = parent(*table) else { return false };
            columns.retain(|column| table.column(*column).is_some_and(|column| simple(&column.name)));
            !table.without_rowid && simple(&table.name) && !columns.is_empty()
        }
        SearchKind::Plain(_) | SearchKind::Contentless(_) => true,
    });
}

fn tidy_table(table: &mut Table) {
    let plain = table.plain();
    if plain.is_empty()
        && let Some(first) = table.columns.first_mut()
    {
        first.generated = None;
    }
    let plain = table.plain();
    for column in &mut table.columns {
        column.generated.take_if(|generated| !within(&generated.value, &plain));
        if column.generated.is_some() {
            column.default = None;
        }
        if table.strict && !STRICT_KINDS.contains(&column.kind) {
            column.kind = "ANY";
        }
    }
    let plain = table.plain();
    let all: Vec<Id> = table.columns.iter().map(|column| column.id).collect();

    if !table.key_columns().iter().all(|column| plain.contains(column)) {
        table.key = Key::None;
    }
    if table.key_columns().is_empty() {
        table.key = Key::None;
        table.without_rowid = false;
    }
    if let Key::Column(column, rest) = &mut table.key {
        let integer = table.columns.iter().any(|it| it.id == *column && it.kind == "INTEGER");
        if rest.contains("AUTOINCREMENT") && (!integer || table.without_rowid) {
            *rest = "";
        }
    }

    // Two keys over the same columns must not differ in what they do with a conflict.
    let mut seen = vec![sorted(&table.key_columns())];
    table.uniques.retain(|unique| {
        let columns = sorted(&unique.columns);
        let kept = unique.columns.iter().all(|column| all.contains(column)) && !seen.contains(&columns);
        seen.push(columns);
        kept
    });
    table.checks.retain(|check| within(&check.holds, &all));
    table.foreigns.retain(|foreign| foreign.columns.iter().all(|column| plain.contains(column)));
    table.indexes.retain_mut(|index| {
        index.terms.retain(|term| within(&term.value, &all));
        index.filter.take_if(|filter| !within(filter, &all));
        !index.terms.is_empty()
    });
}

fn within(expression: &Expr, columns: &[Id]) -> bool {
    expression.columns.iter().all(|column| columns.contains(column))
}

fn sorted(columns: &[Id]) -> Vec<Id> {
    let mut columns = columns.to_vec();
    columns.sort_unstable();
    columns
}

/// Whether a foreign key points to a key of its parent.
fn refers(foreign: &Foreign, parent: &Table) -> bool {
    match &foreign.to {
        None => parent.is_parent_key() && parent.key_columns().len() == foreign.columns.len(),
        Some(to) => to.len() == foreign.columns.len() && parent.keys().iter().any(|key| sorted(key) == sorted(to)),
    }
}

/// A name that a full-text table's own statements can hold.
pub(super) fn simple(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}
