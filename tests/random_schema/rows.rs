//! Rows that a schema is likely to take.

use super::model::{Column, Foreign, Id, Schema, SearchKind, Table};
use super::names::{literal, quote};
use super::rng::Rng;

/// The values of a row, as literals.
type Row = Vec<(Id, String)>;

/// `INSERT` statements, so many rows to a table and parents before their children where that is possible. Most are
/// taken; whoever runs them passes over those that are not.
#[must_use]
pub fn rows(schema: &Schema, seed: u64, per_table: usize) -> Vec<String> {
    let mut rng = Rng::new(seed ^ 0x726F_7773);
    let mut known: Vec<(Id, Vec<Row>)> = Vec::new();
    let mut statements = Vec::new();
    for table in in_order(schema) {
        known.push((table.id, Vec::new()));
        for number in 1..=per_table {
            let row = row(&mut rng, schema, table, number, &known);
            statements.push(insert(table, &row));
            if let Some((_, rows)) = known.last_mut() {
                rows.push(row);
            }
        }
    }
    for search in &schema.searches {
        let (SearchKind::Plain(columns) | SearchKind::Contentless(columns)) = &search.kind else { continue };
        let names: Vec<&str> = columns.iter().map(|column| column.trim_end_matches(" UNINDEXED")).collect();
        for number in 1..=per_table {
            let values: Vec<String> = names.iter().map(|_| literal(&format!("it's page {number} größe"))).collect();
            let name = quote(search.name);
            statements.push(format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), values.join(", ")));
        }
    }
    statements
}

/// The tables, each behind those that it refers to, as far as they do not refer to each other.
fn in_order(schema: &Schema) -> Vec<&Table> {
    let mut left: Vec<&Table> = schema.tables.iter().collect();
    let mut order: Vec<&Table> = Vec::new();
    while !left.is_empty() {
        let waits = |table: &Table| {
            let others = |id: Id| id != table.id && left.iter().any(|other| other.id == id);
            table.foreigns.iter().any(|foreign| others(foreign.parent))
        };
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

fn row(rng: &mut Rng, schema: &Schema, table: &Table, number: usize, known: &[(Id, Vec<Row>)]) -> Row {
    let mut row = Row::new();
    for foreign in &table.foreigns {
        let Some(parent) = known.iter().find(|(id, _)| *id == foreign.parent) else { continue };
        let to =
            foreign.to.clone().unwrap_or_else(|| schema.table(foreign.parent).map_or(Vec::new(), Table::key_columns));
        for (column, value) in reference(rng, table, foreign, &to, &parent.1) {
            if !row.iter().any(|(known, _)| *known == column) {
                row.push((column, value));
            }
        }
    }
    for column in table.columns.iter().filter(|column| column.generated.is_none()) {
        if row.iter().any(|(known, _)| *known == column.id) {
            continue;
        }
        let key =
            table.keys().iter().flatten().any(|key| *key == column.id) || table.key_columns().contains(&column.id);
        let optional = !key && !column.not_null.starts_with("NOT");
        let child = table.foreigns.iter().any(|foreign| foreign.columns.contains(&column.id));
        if optional && (child || rng.chance(12)) {
            row.push((column.id, "NULL".to_owned()));
        } else if !(column.default.is_some() && !key && rng.chance(20)) {
            row.push((column.id, value(rng, table, column, number)));
        }
    }
    row
}

/// The values that refer to one of these rows.
fn reference(rng: &mut Rng, table: &Table, foreign: &Foreign, to: &[Id], parents: &[Row]) -> Row {
    let optional = foreign.columns.iter().any(|id| {
        table.column(*id).is_some_and(|column| !column.not_null.starts_with("NOT")) && !table.key_columns().contains(id)
    });
    let parent = if parents.is_empty() || optional && rng.chance(20) { None } else { Some(rng.pick(parents)) };
    let Some(parent) = parent else { return Row::new() };
    let values = foreign.columns.iter().enumerate().filter_map(|(at, column)| {
        let wanted = to.get(at)?;
        let value = parent.iter().find(|(id, _)| id == wanted)?;
        Some((*column, value.1.clone()))
    });
    let values: Row = values.collect();
    if values.len() == foreign.columns.len() { values } else { Row::new() }
}

/// A value that fits the column and that no other row of the table has.
fn value(rng: &mut Rng, table: &Table, column: &Column, number: usize) -> String {
    let kind = column.kind.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    let whole = || number.to_string();
    let words = ["row", "é", "it's", "two\nlines", "END;", "ß"];
    let text = |rng: &mut Rng| literal(&format!("{} {number}", rng.pick(&words)));
    let real = |rng: &mut Rng| format!("{number}.{}", rng.pick(&["5", "25", "75"]));
    if table.key_columns().first() == Some(&column.id) && has(&["INT"]) {
        return whole();
    }
    if has(&["INT"]) {
        return if rng.chance(20) { format!("{}", number + 1_000_000) } else { whole() };
    }
    if has(&["CHAR", "CLOB", "TEXT"]) {
        return text(rng);
    }
    if has(&["REAL", "FLOA", "DOUB"]) {
        return real(rng);
    }
    if kind == "BLOB" {
        return format!("x'{number:04x}00ff'");
    }
    match rng.below(4) {
        0 => whole(),
        1 => text(rng),
        2 => real(rng),
        _ => format!("x'{number:04x}'"),
    }
}

fn insert(table: &Table, row: &Row) -> String {
    let name = quote(&table.name);
    if row.is_empty() {
        return format!("INSERT INTO {name} DEFAULT VALUES");
    }
    let columns: Vec<String> = row.iter().map(|(column, _)| table.quoted(*column)).collect();
    let values: Vec<&str> = row.iter().map(|(_, value)| value.as_str()).collect();
    format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), values.join(", "))
}
