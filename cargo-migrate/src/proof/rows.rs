//! Rows for the tables of a scratch database, so that a plan is proved on data and not on empty tables.
//!
//! A row has to fit the schema that is there and the one that is wanted, so it is put into both. Values come from what
//! the columns are and what their CHECKs say ([`crate::schema::candidates`]); which of them fit together is left to
//! SQLite: a refused row is changed in what the refusal is about and tried again, a limited number of times.

mod choices;
mod insert;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::Value;
use rusqlite::{Connection, Row as Found, params_from_iter};

use self::choices::Parents;
use self::insert::{Side, Sides};
use self::search::Search;
use super::State;
use crate::ddl::Fills;
use crate::failure::Result;
use crate::introspect::failed;
use crate::renames::Renames;
use crate::schema::candidates::Row;
use crate::schema::table::Table;
use crate::schema::text::{fold, identifier, identifiers};
use crate::schema::{Kind, Schema};
use crate::scratch;

/// How many rows each table gets: one of the usual kind, one with a quote in its texts, one with NULL where that may be.
const ROWS: usize = 3;

/// Rowids with gaps, so that rows that are numbered anew are seen.
const NUMBERS: [i64; ROWS + 1] = [7, 19, 1_000_003, 1_000_019];

/// Fills every table as far as its constraints allow, and those of the wanted schema too. Rows that are there already
/// stay as they are. Tables that have none in the end are given.
///
/// # Errors
/// None in practice.
pub(super) fn fill(
    connection: &Connection,
    schema: &Schema,
    wanted: &State,
    renames: &Renames,
    fills: &Fills,
) -> Result<BTreeSet<String>> {
    let base = Quiet::begin(connection)?;
    let trial = Quiet::begin(&wanted.connection)?;
    let mut filler = Filler { connection, schema, wanted, renames, fills, rows: HashMap::new() };
    let mut without = BTreeSet::new();
    for table in schema.tables_parents_first() {
        if !filler.table(table).map_err(failed)? {
            without.insert(fold(&table.name));
        }
    }
    for object in schema.objects().filter(|object| object.kind == Kind::VirtualTable) {
        full_text(connection, &object.name);
    }
    base.commit()?;
    drop(trial);
    Ok(without)
}

/// A transaction in which no trigger runs; what is not committed is rolled back.
struct Quiet<'c>(&'c Connection);

impl<'c> Quiet<'c> {
    fn begin(connection: &'c Connection) -> Result<Self> {
        scratch::set_triggers(connection, false)?;
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Self(connection))
    }

    fn commit(self) -> Result<()> {
        self.0.execute_batch("COMMIT").map_err(failed)
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
        let _ = scratch::set_triggers(self.0, true);
    }
}

/// Puts a few rows into a virtual table; what its module does not take is left out.
fn full_text(connection: &Connection, name: &str) {
    let names = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        statement.query_map([name], |row| row.get(0))?.collect()
    };
    let Ok(names) = names() else { return };
    let columns = identifiers(names.iter().map(String::as_str));
    for row in &NUMBERS[..2] {
        let values: Vec<String> = (0..names.len()).map(|at| format!("'word{at} row{row}'")).collect();
        let sql = format!("INSERT INTO {} (rowid, {columns}) VALUES ({row}, {})", identifier(name), values.join(", "));
        let _ = connection.execute_batch(&sql);
    }
}

/// The first rows that a table has, for those that refer to it.
struct Known {
    /// The columns, folded.
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

struct Filler<'a> {
    connection: &'a Connection,
    schema: &'a Schema,
    wanted: &'a State,
    renames: &'a Renames,
    fills: &'a Fills,
    /// By the folded names of the tables that have been filled.
    rows: HashMap<String, Known>,
}

impl<'a> Filler<'a> {
    /// Fills one table; whether it has rows then.
    fn table(&mut self, table: &'a Table) -> rusqlite::Result<bool> {
        let other = self.wanted.schema.table(self.renames.new_table(&table.name));
        let mut fields = choices::fields(table, other, self.renames, self.fills, &self.wanted.connection);
        let own = fields.iter().take_while(|field| field.names[0].is_some()).count();
        let base = Side::new(self.connection, table, fields.iter().map(|field| field.names[0]))?;
        let trial = match other {
            Some(other) => Some(Side::new(&self.wanted.connection, other, fields.iter().map(|field| field.names[1]))?),
            None => None,
        };
        let mut sides = Sides { connection: self.connection, base, trial };
        let name = fold(&table.name);
        let (seeds, highest) = self.seeds(table, &fields[..own], &mut sides)?;
        let seeded = !seeds.is_empty();
        let columns = fields[..own].iter().filter_map(|field| field.names[0]).map(fold).collect();
        let parents = choices::parents(table, other, [self.schema, &self.wanted.schema], self.renames, &fields);
        self.rows.insert(name.clone(), Known { columns, rows: seeds });
        let counts = table.primary_key.as_ref().is_some_and(|key| key.autoincrement);
        // A counter has to stand higher than any row: the last one is deleted again.
        let rows = ROWS + usize::from(counts);
        let search = Search::new(table, other);
        let mut filled = 0;
        for (at, number) in NUMBERS.iter().enumerate().take(rows) {
            let row = Row { at, number: highest.checked_add(*number).unwrap_or(*number) };
            self.refer(&parents, &mut fields, row);
            let Some(values) = search.row(&mut fields, &mut sides, row)? else {
                // What no first row was found for gets no second one from the same values.
                if filled == 0 && at > 0 {
                    break;
                }
                continue;
            };
            filled += 1;
            if at < ROWS {
                let known =
                    self.rows.entry(name.clone()).or_insert_with(|| Known { columns: Vec::new(), rows: Vec::new() });
                known.rows.push(values.into_iter().take(own).collect());
            } else {
                sides.base.delete_last(self.connection, table)?;
            }
        }
        Ok(seeded || filled > 0)
    }

    /// The first rows that are there already, put into the wanted schema, too; and the highest rowid.
    fn seeds(
        &self,
        table: &Table,
        fields: &[choices::Field<'_>],
        sides: &mut Sides<'_>,
    ) -> rusqlite::Result<(Vec<Vec<Value>>, i64)> {
        let rowid = table.rowid_name().map(|name| if table.rowid_alias().is_some() { identifier(&name) } else { name });
        let names = fields.iter().filter_map(|field| field.names[0]).map(identifier);
        let columns: Vec<String> = names.chain([rowid.clone().unwrap_or_else(|| "0".to_owned())]).collect();
        let order = rowid.map(|name| format!(" ORDER BY {name} DESC")).unwrap_or_default();
        let sql = format!("SELECT {} FROM {}{order}", columns.join(", "), identifier(&table.name));
        let mut statement = self.connection.prepare(&sql)?;
        let read = |row: &Found<'_>| (0..columns.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>();
        let (mut seeds, mut highest) = (Vec::new(), 0);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut values = read(row)?;
            let number = match values.pop() {
                Some(Value::Integer(number)) => number,
                _ => 0,
            };
            highest = highest.max(number);
            if let Some(trial) = &mut sides.trial {
                // One that does not fit there is what the proof will come upon.
                let _ = trial.insert(&values, number);
            }
            if seeds.len() < ROWS {
                seeds.push(values);
            }
        }
        Ok((seeds, highest))
    }

    /// Gives the columns that refer to other rows the values that those have, this row's first.
    fn refer(&self, parents: &[Parents<'_>], fields: &mut [choices::Field<'_>], row: Row) {
        for parent in parents {
            parent.offer(
                self.rows.get(&fold(parent.table)).map(|known| (&known.columns[..], &known.rows[..])),
                fields,
                row,
            );
        }
    }
}

/// A statement with values of its own.
fn execute(statement: &mut rusqlite::Statement<'_>, values: &[&Value]) -> rusqlite::Result<usize> {
    statement.execute(params_from_iter(values.iter().copied()))
}
