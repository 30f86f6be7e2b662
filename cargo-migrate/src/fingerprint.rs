//! What a database's tables hold, in a few numbers: equal ones before and after mean equal rows.
//!
//! Each value is hashed together with its type, its column and the key of its row, and the hashes are added up, so that
//! the order of rows does not count, and two values that have changed places do. A table without a key is hashed row by
//! row. Rows are streamed: the memory does not grow with them.

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
}

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many rows there are.
    pub count: u64,
    /// The sum over the rows, by column; of a table without a key one sum under no name.
    columns: BTreeMap<String, u128>,
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
    /// Rows of a table that has no key.
    Rows {
        /// The table.
        table: String,
    },
}

impl Difference {
    /// The table that it is in.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::Count { table, .. } | Self::Column { table, .. } | Self::Rows { table } => table,
        }
    }
}

impl Fingerprint {
    /// Reads all tables of a database but virtual ones, whose rows are in tables of their own.
    ///
    /// # Errors
    /// What the database says.
    pub fn of(connection: &Connection, schema: &Schema) -> rusqlite::Result<Self> {
        let tables = schema.tables().map(|table| Ok((fold(&table.name), rows(connection, table)?)));
        Ok(Self { tables: tables.collect::<rusqlite::Result<_>>()? })
    }

    /// What a table holds.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Rows> {
        self.tables.get(&fold(name))
    }

    /// What is not as it was. Tables and columns that are only on one side are the schema's affair.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (table, before) in &self.tables {
            let Some(after) = after.tables.get(table) else { continue };
            if before.count != after.count {
                found.push(Difference::Count { table: table.clone(), before: before.count, after: after.count });
                continue;
            }
            for (column, sum) in &before.columns {
                if after.columns.get(column).is_some_and(|other| other != sum) {
                    found.push(if column.is_empty() {
                        Difference::Rows { table: table.clone() }
                    } else {
                        Difference::Column { table: table.clone(), column: column.clone() }
                    });
                }
            }
        }
        found
    }
}

/// The columns that tell a table's rows apart, by their places among all columns; none where nothing does.
#[must_use]
pub fn key(table: &Table) -> Vec<usize> {
    let Some(key) = &table.primary_key else { return Vec::new() };
    let place = |name: &str| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    key.columns.iter().filter_map(|column| place(&column.name)).collect()
}

fn rows(connection: &Connection, table: &Table) -> rusqlite::Result<Rows> {
    let names: Vec<String> = table.columns.iter().map(|column| identifier(&column.name)).collect();
    let key = key(table);
    let mut statement =
        connection.prepare(&format!("SELECT {} FROM main.{}", names.join(", "), identifier(&table.name)))?;
    let mut sums = vec![0_u128; if key.is_empty() { 1 } else { names.len() }];
    let mut count = 0;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        count += 1;
        if key.is_empty() {
            let mut hash = Hash::default();
            for at in 0..names.len() {
                hash.value(row.get_ref(at)?);
            }
            sums[0] = sums[0].wrapping_add(hash.finish());
            continue;
        }
        let mut of_key = Hash::default();
        for at in &key {
            of_key.value(row.get_ref(*at)?);
        }
        for (at, sum) in sums.iter_mut().enumerate() {
            let mut hash = of_key.clone();
            hash.value(row.get_ref(at)?);
            *sum = sum.wrapping_add(hash.finish());
        }
    }
    let columns = if key.is_empty() {
        BTreeMap::from([(String::new(), sums[0])])
    } else {
        table.columns.iter().map(|column| fold(&column.name)).zip(sums).collect()
    };
    Ok(Rows { count, columns })
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
mod tests {
    use super::*;
    use crate::introspect;
    use crate::scratch;

    fn of(sql: &str) -> Fingerprint {
        let connection = scratch::empty().unwrap();
        connection.execute_batch(sql).unwrap();
        Fingerprint::of(&connection, &introspect::read(&connection, "_").unwrap()).unwrap()
    }

    const TABLES: &str = "CREATE TABLE k (id INTEGER PRIMARY KEY, a, b); CREATE TABLE n (a, b);";

    fn differences(before: &str, after: &str) -> Vec<Difference> {
        of(&format!("{TABLES}{before}")).differences(&of(&format!("{TABLES}{after}")))
    }

    #[test]
    fn the_order_of_rows_does_not_count() {
        let one = "INSERT INTO k VALUES (1, 'x', 2), (2, 'y', 3); INSERT INTO n VALUES (1, 2), (3, 4);";
        let two = "INSERT INTO n VALUES (3, 4), (1, 2); INSERT INTO k VALUES (2, 'y', 3), (1, 'x', 2);";
        assert!(differences(one, two).is_empty());
    }

    #[test]
    fn values_that_change_places_are_seen() {
        let column = |column: &str| Difference::Column { table: "k".into(), column: column.into() };
        // Between rows.
        assert_eq!(
            differences(
                "INSERT INTO k VALUES (1, 'x', 0), (2, 'y', 0)",
                "INSERT INTO k VALUES (1, 'y', 0), (2, 'x', 0)"
            ),
            [column("a")]
        );
        // Between columns.
        assert_eq!(
            differences("INSERT INTO k VALUES (1, 'x', 'y')", "INSERT INTO k VALUES (1, 'y', 'x')"),
            [column("a"), column("b")]
        );
        // Without a key.
        assert_eq!(
            differences("INSERT INTO n VALUES (1, 2), (3, 4)", "INSERT INTO n VALUES (1, 4), (3, 2)"),
            [Difference::Rows { table: "n".into() }]
        );
    }

    #[test]
    fn types_count_and_so_does_every_row() {
        for (before, after) in [("1", "'1'"), ("1", "1.0"), ("'a'", "x'61'"), ("NULL", "''"), ("0", "NULL")] {
            let value = |value: &str| format!("INSERT INTO k VALUES (1, {value}, 0)");
            assert_eq!(differences(&value(before), &value(after)).len(), 1, "{before} {after}");
        }
        let twice = differences("INSERT INTO n VALUES (1, 1)", "INSERT INTO n VALUES (1, 1), (1, 1)");
        assert_eq!(twice, [Difference::Count { table: "n".into(), before: 1, after: 2 }]);
    }
}
