//! What a database's tables hold, in a few numbers: equal ones before and after mean equal rows.
//!
//! Each value is hashed together with its type, its column and the key of its row, and the hashes are added up, so that
//! the order of rows does not count, and two values that have changed places do. A row that nothing tells apart, because
//! its table has no key or there is a NULL in it, is hashed as a whole. Rows are streamed: the memory does not grow with
//! them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::schema::Schema;
use crate::schema::table::Table;
use crate::schema::text::{fold, identifier};

/// What the tables of a database hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    tables: BTreeMap<String, Rows>,
    sequences: BTreeMap<String, Next>,
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The number that it gives next.
    pub number: i128,
    /// Whether its numbers grow.
    pub grows: bool,
}

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many rows there are.
    pub count: u64,
    /// The sum over the rows, by column; under no name the one over the rows without a key.
    columns: BTreeMap<String, u128>,
    /// How many values the columns have, where that was counted along.
    values: BTreeMap<String, u64>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The number of a table's rows.
    Count {
        /// The table.
        table: String,
        /// As it was.
        before: u64,
        /// As it is.
        after: u64,
    },
    /// Values of a column, while there are as many rows.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Rows without a key.
    Rows {
        /// The table.
        table: String,
    },
    /// A table that is no more, and had rows.
    NoTable {
        /// The table.
        table: String,
        /// How many rows it had.
        rows: u64,
    },
    /// A column that is no more, of a table with rows.
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A sequence that will give numbers again which it has given.
    SetBack {
        /// The sequence.
        sequence: String,
        /// What it would have given next.
        before: i128,
        /// What it gives next.
        after: i128,
    },
}

impl Difference {
    /// The table that it is in, or the sequence.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::Count { table, .. }
            | Self::Column { table, .. }
            | Self::Rows { table }
            | Self::NoTable { table, .. }
            | Self::NoColumn { table, .. } => table,
            Self::SetBack { sequence, .. } => sequence,
        }
    }
}

impl Fingerprint {
    /// Reads all tables of a database. Rows are told apart by the keys that their tables have in the schema `keys`, so
    /// that what is read before and after a change of keys can be compared. Of virtual tables those are read that keep
    /// their rows in tables of their own: others may tell of anything.
    ///
    /// # Errors
    /// What the database says.
    pub fn of(connection: &Connection, schema: &Schema, keys: &Schema) -> rusqlite::Result<Self> {
        let mut tables = BTreeMap::new();
        for table in schema.tables() {
            let key = keys.table(&table.name).map(|keyed| key(keyed, table)).unwrap_or_default();
            let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            tables.insert(fold(&table.name), rows(connection, &table.name, &columns, &key)?);
        }
        for name in with_own_tables(connection)? {
            // One whose module this program lacks cannot be read, before or after.
            if let Ok(found) = rows(connection, &name, &["*"], &[]) {
                tables.insert(fold(&name), found);
            }
        }
        Ok(Self { tables, sequences: BTreeMap::new() })
    }

    /// What a server has summed up itself, by the names of its tables and sequences.
    #[must_use]
    pub fn summed(tables: BTreeMap<String, Rows>, sequences: BTreeMap<String, Next>) -> Self {
        Self { tables, sequences }
    }

    /// How many values a column has; 0 where that was not counted.
    #[must_use]
    pub fn values(&self, table: &str, column: &str) -> u64 {
        self.tables.get(table).and_then(|rows| rows.values.get(column)).copied().unwrap_or(0)
    }

    /// What a table holds.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Rows> {
        self.tables.get(&fold(name))
    }

    /// What is not as it was. Tables and columns that were not there before are the schema's affair.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (table, before) in &self.tables {
            let table = || table.clone();
            let Some(after) = after.tables.get(&table()) else {
                if before.count > 0 {
                    found.push(Difference::NoTable { table: table(), rows: before.count });
                }
                continue;
            };
            if before.count != after.count {
                found.push(Difference::Count { table: table(), before: before.count, after: after.count });
            }
            for (column, sum) in &before.columns {
                let column = || column.clone();
                match after.columns.get(&column()) {
                    None if before.count > 0 => {
                        found.push(Difference::NoColumn { table: table(), column: column() });
                    }
                    // Where rows are gone or new, sums tell nothing of the others.
                    Some(other) if before.count == after.count && other != sum => found.push(if column().is_empty() {
                        Difference::Rows { table: table() }
                    } else {
                        Difference::Column { table: table(), column: column() }
                    }),
                    _ => {}
                }
            }
        }
        for (sequence, before) in &self.sequences {
            // Numbers that were given on the way up and down are gone, and that is no loss.
            let Some(after) = after.sequences.get(sequence) else { continue };
            let (before, after, grows) = (before.number, after.number, before.grows);
            if if grows { after < before } else { after > before } {
                found.push(Difference::SetBack { sequence: sequence.clone(), before, after });
            }
        }
        found
    }
}

impl Rows {
    /// What a server has summed up itself: so many rows, the sum over those without a key, and of each column the sum and
    /// how many values it has.
    #[must_use]
    pub fn summed(count: u64, of_whole_rows: u128, by_column: Vec<(String, u128, u64)>) -> Self {
        let mut rows = Self { count, ..Self::default() };
        rows.columns.insert(String::new(), of_whole_rows);
        for (column, sum, values) in by_column {
            rows.columns.insert(column.clone(), sum);
            rows.values.insert(column, values);
        }
        rows
    }
}

/// The columns that tell a table's rows apart, by their places among the columns of the same table as it is now; none
/// where nothing does, or one of them is not there.
fn key(keyed: &Table, now: &Table) -> Vec<usize> {
    let Some(key) = &keyed.primary_key else { return Vec::new() };
    let place = |name: &str| now.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    key.columns.iter().map(|column| place(&column.name)).collect::<Option<_>>().unwrap_or_default()
}

/// The virtual tables that keep their rows in tables of their own (<https://www.sqlite.org/vtab.html#the_xshadowname_method>).
fn with_own_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_table_list AS t WHERE schema = 'main' AND type = 'virtual' AND EXISTS \
         (SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow' \
          AND substr(name, 1, length(t.name) + 1) = t.name || '_')",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Reads a table's columns; `*` for all that it shows.
fn rows(connection: &Connection, table: &str, columns: &[&str], key: &[usize]) -> rusqlite::Result<Rows> {
    let all = columns == ["*"];
    let names: Vec<String> = columns.iter().map(|name| if all { "*".to_owned() } else { identifier(name) }).collect();
    let mut statement = connection.prepare(&format!("SELECT {} FROM main.{}", names.join(", "), identifier(table)))?;
    let width = statement.column_count();
    // Columns that stand in another order make no other rows.
    let mut by_name: Vec<usize> = (0..width).collect();
    by_name.sort_by_key(|at| columns.get(*at).map(|name| fold(name)));
    let mut sums = vec![0_u128; width];
    let mut of_whole_rows = 0_u128;
    let mut count = 0;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        count += 1;
        let mut of_key = Hash::default();
        let mut is_told_apart = !key.is_empty();
        for at in key {
            let value = row.get_ref(*at)?;
            is_told_apart &= value != ValueRef::Null;
            of_key.value(value);
        }
        if is_told_apart {
            for (at, sum) in sums.iter_mut().enumerate() {
                let mut hash = of_key.clone();
                hash.value(row.get_ref(at)?);
                *sum = sum.wrapping_add(hash.finish());
            }
        } else {
            let mut hash = Hash::default();
            for at in &by_name {
                hash.value(row.get_ref(*at)?);
            }
            of_whole_rows = of_whole_rows.wrapping_add(hash.finish());
        }
    }
    let mut columns: BTreeMap<String, u128> =
        if all { BTreeMap::new() } else { columns.iter().map(|column| fold(column)).zip(sums).collect() };
    columns.insert(String::new(), of_whole_rows);
    Ok(Rows { count, columns, values: BTreeMap::new() })
}

/// 128 bits of two hashes, so that sums that meet by chance need not be feared in tables of any size.
#[derive(Clone)]
struct Hash(DefaultHasher, DefaultHasher);

impl Default for Hash {
    fn default() -> Self {
        let mut second = DefaultHasher::new();
        second.write_u8(1);
        Self(DefaultHasher::new(), second)
    }
}

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    /// A value with its type and its length, so that no two rows of values look alike.
    fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.bytes(&[0]),
            ValueRef::Integer(number) => {
                self.bytes(&[1]);
                self.bytes(&number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                self.bytes(&[2]);
                self.bytes(&number.to_bits().to_le_bytes());
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                self.bytes(&[if matches!(value, ValueRef::Text(_)) { 3 } else { 4 }]);
                self.bytes(&(bytes.len() as u64).to_le_bytes());
                self.bytes(bytes);
            }
        }
    }

    fn finish(self) -> u128 {
        (u128::from(self.0.finish()) << 64) | u128::from(self.1.finish())
    }
}

#[cfg(test)]
mod tests;
