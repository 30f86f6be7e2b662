//! Rows for the tables of a scratch database, so that a plan is proved on data and not on empty tables.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::ddl::values::candidates;
use crate::failure::Result;
use crate::introspect::failed;
use crate::schema::table::{Affinity, Column, Table};
use crate::schema::text::{Case, fold, identifier, identifiers, literal, normal};
use crate::schema::{Kind, Schema};
use crate::scratch;

/// How many rows each table gets. The last one is deleted again, so that a counter stands higher than any row.
const ROWS: usize = 4;
/// How many values are tried until a row fits.
const TRIES: usize = 400;

/// Fills every table as far as its constraints allow, and those of the wanted schema too: `wanted` is a database with
/// that schema, in which a row must fit as far as it has the same columns. Tables that stayed without are given.
///
/// # Errors
/// None in practice.
pub(super) fn fill(
    connection: &Connection,
    schema: &Schema,
    wanted: &Connection,
    wanted_schema: &Schema,
) -> Result<BTreeSet<String>> {
    for database in [connection, wanted] {
        scratch::set_triggers(database, false)?;
        database.execute_batch("BEGIN").map_err(failed)?;
    }
    let mut filler = Filler { connection, wanted, wanted_schema, schema, values: BTreeMap::new() };
    let mut without = BTreeSet::new();
    for table in schema.tables_parents_first() {
        let filled = (0..ROWS).filter(|row| filler.row(table, *row)).count();
        if filled == 0 {
            without.insert(fold(&table.name));
        } else if filled == ROWS && table.rowid_name().is_some() {
            let rowid = table.rowid_name().unwrap_or_default();
            let rowid = if table.rowid_alias().is_some() { identifier(&rowid) } else { rowid };
            let name = identifier(&table.name);
            let sql = format!("DELETE FROM {name} WHERE {rowid} = (SELECT max({rowid}) FROM {name})");
            connection.execute_batch(&sql).map_err(failed)?;
        }
    }
    for object in schema.objects().filter(|object| object.kind == Kind::VirtualTable) {
        full_text(connection, &object.name);
    }
    connection.execute_batch("COMMIT").map_err(failed)?;
    scratch::set_triggers(connection, true)?;
    Ok(without)
}

/// Puts a few rows into a virtual table; what its module does not take is left out.
fn full_text(connection: &Connection, name: &str) {
    let count = format!("SELECT count(*) FROM pragma_table_info({})", literal(name));
    let Ok(columns) = connection.query_row(&count, [], |row| row.get::<_, i64>(0)) else { return };
    for row in [3_i64, 11] {
        let values: Vec<String> = (0..columns).map(|at| format!("'word{at} row{row}'")).collect();
        let names: Vec<String> = (0..columns)
            .filter_map(|at| {
                let sql = format!("SELECT name FROM pragma_table_info({}) WHERE cid = {at}", literal(name));
                connection.query_row(&sql, [], |row| row.get::<_, String>(0)).ok()
            })
            .collect();
        let names = identifiers(names.iter().map(String::as_str));
        let sql = format!("INSERT INTO {} (rowid, {names}) VALUES ({row}, {})", identifier(name), values.join(", "));
        let _ = connection.execute_batch(&sql);
    }
}

struct Filler<'a> {
    connection: &'a Connection,
    wanted: &'a Connection,
    wanted_schema: &'a Schema,
    schema: &'a Schema,
    /// The values that the rows of a table have, as SQL.
    values: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Filler<'_> {
    /// Inserts one row; whether one was found that both schemas take.
    ///
    /// A row that is refused is changed in the columns that the refusal is about, and tried again.
    fn row(&mut self, table: &Table, row: usize) -> bool {
        let columns: Vec<(&Column, Vec<String>)> = table
            .columns
            .iter()
            .filter(|column| column.generated.is_none())
            .map(|column| (column, self.choices(table, column, row)))
            .collect();
        let other = self.wanted_schema.table(&table.name);
        let mut dice = Dice(row as u64 + 1);
        let mut at: Vec<usize> = vec![0; columns.len()];
        for _ in 0..TRIES {
            let values: Vec<(&Column, &str)> =
                columns.iter().zip(&at).map(|((column, choices), at)| (*column, choices[*at].as_str())).collect();
            let Some(refusal) = self.insert(table, other, &values, row) else {
                let values = values.iter().map(|(column, value)| (fold(&column.name), (*value).to_owned())).collect();
                self.values.entry(fold(&table.name)).or_default().push(values);
                return true;
            };
            let mut blamed = blamed(&refusal, &columns, table, other);
            if blamed.is_empty() {
                blamed = (0..columns.len()).collect();
            }
            // Of several columns only some are changed, or a condition on many would never be met.
            let free: Vec<usize> = blamed.into_iter().filter(|column| columns[*column].1.len() > 1).collect();
            if free.is_empty() {
                return false;
            }
            let forced = free[dice.below(free.len())];
            for column in free {
                if column == forced || dice.below(3) == 0 {
                    at[column] = (at[column] + 1 + dice.below(columns[column].1.len() - 1)) % columns[column].1.len();
                }
            }
        }
        false
    }

    /// Inserts a row into both databases, or into none; gives why it was refused.
    fn insert(&self, table: &Table, other: Option<&Table>, values: &[(&Column, &str)], row: usize) -> Option<String> {
        let sql = |into: &Table| {
            let shared = values
                .iter()
                .filter(|(column, _)| into.column(&column.name).is_some_and(|column| column.generated.is_none()));
            let (mut names, mut given): (Vec<String>, Vec<&str>) =
                shared.map(|(column, value)| (identifier(&column.name), *value)).unzip();
            let number = rowid(row).to_string();
            if let (None, Some(rowid)) = (into.rowid_alias(), into.rowid_name()) {
                names.push(rowid);
                given.push(&number);
            }
            if names.is_empty() {
                format!("INSERT INTO {} DEFAULT VALUES", identifier(&into.name))
            } else {
                format!(
                    "INSERT OR ABORT INTO {} ({}) VALUES ({})",
                    identifier(&into.name),
                    names.join(", "),
                    given.join(", ")
                )
            }
        };
        let refused =
            |connection: &Connection, sql: &str| connection.execute_batch(sql).err().map(|error| error.to_string());
        if let Some(refusal) = refused(self.connection, &format!("SAVEPOINT one; {}", sql(table))) {
            let _ = self.connection.execute_batch("ROLLBACK TO one; RELEASE one");
            return Some(refusal);
        }
        // Values of columns that the wanted table alone has are its own affair: defaults and fills.
        let refusal = other.and_then(|other| {
            refused(self.wanted, &sql(other)).filter(|text| !misses_another_column(text, other, values))
        });
        let end = if refusal.is_some() { "ROLLBACK TO one; RELEASE one" } else { "RELEASE one" };
        let _ = self.connection.execute_batch(end);
        refusal
    }

    /// The values that a column may be given in this row, the likeliest first.
    fn choices(&self, table: &Table, column: &Column, row: usize) -> Vec<String> {
        let mut choices = self.referred(table, column, row);
        if !choices.is_empty() {
            if column.not_null.is_none() {
                choices.push("NULL".to_owned());
            }
            return choices;
        }
        let number = rowid(row);
        let plain = match column.affinity() {
            Affinity::Integer => number.to_string(),
            Affinity::Numeric => format!("{number}"),
            Affinity::Real => format!("{number}.25"),
            Affinity::Text => format!("'{} {number}'", if row == 1 { "it''s" } else { "text" }),
            Affinity::Blob if column.declared_type.is_empty() || column.declared_type.eq_ignore_ascii_case("any") => {
                format!("'any {number}'")
            }
            Affinity::Blob => format!("x'{:02x}00ff'", row + 1),
        };
        choices = candidates(table, column, &plain);
        if let Some(other) = self.wanted_schema.table(&table.name)
            && let Some(wanted) = other.column(&column.name)
        {
            choices.extend(candidates(other, wanted, &plain));
        }
        choices.push(number.to_string());
        if column.not_null.is_none() {
            // One row of each table has NULL where it may.
            let at = if row == 2 { 0 } else { choices.len() };
            choices.insert(at, "NULL".to_owned());
        }
        let mut seen = BTreeSet::new();
        choices.retain(|choice| seen.insert(choice.clone()));
        choices
    }

    /// The values that the rows of its parent have, where the column refers to one: this row's first.
    fn referred(&self, table: &Table, column: &Column, row: usize) -> Vec<String> {
        let found = table.foreign_keys.iter().find_map(|key| {
            let at = key.columns.iter().position(|name| name.eq_ignore_ascii_case(&column.name))?;
            let parents = key.parent_columns.clone().or_else(|| self.schema.parent_key(key))?;
            let name = fold(parents.get(at)?);
            let rows = self.values.get(&fold(&key.parent))?;
            // The last of four rows is deleted again.
            let rows = &rows[..rows.len().min(ROWS - 1)];
            let turned = rows.iter().cycle().skip(row % rows.len().max(1)).take(rows.len());
            Some(turned.filter_map(|row| row.get(&name).cloned()).collect())
        });
        found.unwrap_or_default()
    }
}

/// Rowids with gaps, so that rows that are numbered anew are seen.
fn rowid(row: usize) -> i64 {
    [7, 19, 1_000_003, 1_000_019].get(row).copied().unwrap_or(0)
}

/// The columns that a refusal is about.
fn blamed(refusal: &str, columns: &[(&Column, Vec<String>)], table: &Table, other: Option<&Table>) -> Vec<usize> {
    let positions = |belongs: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..columns.len()).filter(|at| belongs(&columns[*at].0.name)).collect()
    };
    let Some((kind, what)) = refusal.split_once(" constraint failed: ") else {
        // "cannot store TEXT value in INTEGER column t.a"
        return positions(&|name| refusal.ends_with(&format!(".{name}")));
    };
    if kind.ends_with("CHECK") {
        let tables = [Some(table), other];
        let mut checks = tables.into_iter().flatten().flat_map(|table| &table.checks);
        let mut read = None;
        let broken = checks.find(|check| {
            check.name.as_deref() == Some(what)
                || check.expression.text == what
                || check.expression.normal() == read.get_or_insert_with(|| normal(what, Case::Folds))
        });
        return broken.map_or_else(Vec::new, |check| positions(&|name| check.expression.mentions(name)));
    }
    positions(&|name| what.split(", ").any(|part| part.ends_with(&format!(".{name}"))))
}

/// Whether an insert failed for a column that the row does not have.
fn misses_another_column(refusal: &str, table: &Table, values: &[(&Column, &str)]) -> bool {
    refusal.starts_with("NOT NULL")
        && table.columns.iter().any(|column| {
            refusal.ends_with(&format!(".{}", column.name))
                && !values.iter().any(|(given, _)| given.name.eq_ignore_ascii_case(&column.name))
        })
}

/// Numbers that are the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit.max(1) as u64).unwrap_or_default()
    }
}
