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
}

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many rows there are.
    pub count: u64,
    /// The sum over the rows, by column; under no name the one over the rows without a key.
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
}

impl Difference {
    /// The table that it is in.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::Count { table, .. }
            | Self::Column { table, .. }
            | Self::Rows { table }
            | Self::NoTable { table, .. }
            | Self::NoColumn { table, .. } => table,
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
        Ok(Self { tables })
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
        found
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
        let schema = introspect::read(&connection, "_").unwrap();
        Fingerprint::of(&connection, &schema, &schema).unwrap()
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
    fn the_order_of_columns_does_not_count() {
        let one = of("CREATE TABLE k (id INTEGER PRIMARY KEY, a); INSERT INTO k VALUES (1, 2); \
             CREATE TABLE n (a, b); INSERT INTO n VALUES (1, 2)");
        let two = of("CREATE TABLE k (a, id INTEGER PRIMARY KEY); INSERT INTO k VALUES (2, 1); \
             CREATE TABLE n (b, a); INSERT INTO n VALUES (2, 1)");
        assert!(one.differences(&two).is_empty());
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
    #[test]
    fn rows_with_a_null_in_their_key_are_told_apart_by_all_of_them() {
        let keyed =
            |values: &str| of(&format!("CREATE TABLE k (id TEXT PRIMARY KEY, a); INSERT INTO k VALUES {values}"));
        let before = keyed("(NULL, 1), (NULL, 2), ('x', 3)");
        assert!(before.differences(&keyed("('x', 3), (NULL, 2), (NULL, 1)")).is_empty());
        let changed = before.differences(&keyed("(NULL, 1), (NULL, 4), ('x', 3)"));
        assert_eq!(changed, [Difference::Rows { table: "k".into() }]);
        let two = |rows: &str| of(&format!("CREATE TABLE k (id TEXT PRIMARY KEY, a, b); INSERT INTO k VALUES {rows}"));
        assert_eq!(two("(NULL, 1, 2), (NULL, 3, 4)").differences(&two("(NULL, 1, 4), (NULL, 3, 2)")).len(), 1);
    }

    #[test]
    fn a_key_that_is_gone_does_not_hide_what_became_of_the_rows() {
        let before = scratch::empty().unwrap();
        before
            .execute_batch("CREATE TABLE k (id INTEGER PRIMARY KEY, a); INSERT INTO k VALUES (1, 'x'), (2, 'y')")
            .unwrap();
        let schema = introspect::read(&before, "_").unwrap();
        let of_before = Fingerprint::of(&before, &schema, &schema).unwrap();
        let after = |values: &str| {
            let after = scratch::empty().unwrap();
            after.execute_batch(&format!("CREATE TABLE k (id INTEGER, a); INSERT INTO k VALUES {values}")).unwrap();
            Fingerprint::of(&after, &introspect::read(&after, "_").unwrap(), &schema).unwrap()
        };
        assert!(of_before.differences(&after("(1, 'x'), (2, 'y')")).is_empty());
        let swapped = of_before.differences(&after("(1, 'y'), (2, 'x')"));
        assert_eq!(swapped, [Difference::Column { table: "k".into(), column: "a".into() }]);
    }

    #[test]
    fn what_is_no_more_is_named_where_there_were_rows() {
        let before = of("CREATE TABLE a (id INTEGER PRIMARY KEY, b); INSERT INTO a VALUES (1, 2); CREATE TABLE e (x);\
             CREATE TABLE g (x); INSERT INTO g VALUES (1), (2)");
        let after = of("CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1)");
        assert_eq!(
            before.differences(&after),
            [
                Difference::NoColumn { table: "a".into(), column: "b".into() },
                Difference::NoTable { table: "g".into(), rows: 2 }
            ]
        );
    }

    #[test]
    fn the_rows_of_full_text_tables_count_however_their_index_is_laid_out() {
        let text = |words: &str| of(&format!("CREATE VIRTUAL TABLE f USING fts5(a); {words}"));
        let before = text("INSERT INTO f VALUES ('one'), ('two')");
        let again =
            text("INSERT INTO f VALUES ('one'); INSERT INTO f VALUES ('two'); INSERT INTO f (f) VALUES ('optimize')");
        assert!(before.differences(&again).is_empty());
        let other = before.differences(&text("INSERT INTO f VALUES ('one'), ('three')"));
        assert_eq!(other, [Difference::Rows { table: "f".into() }]);
    }
}
