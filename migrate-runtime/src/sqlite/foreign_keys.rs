//! The foreign keys that a run must not break.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Store, StoreError, text};
use crate::connection::Value;

/// How many violations are gathered at most.
pub const MOST_VIOLATIONS: usize = 100_000;
/// A row whose reference points to no row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The table of the row.
    pub table: String,
    /// The row; `None` in a table without row ids.
    pub rowid: Option<i64>,
    /// The table that the row refers to.
    pub parent: String,
    /// The columns that refer to it, joined by `, `.
    pub columns: String,
}

/// The rows whose references point to no row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// Those that were found.
    pub found: BTreeSet<Violation>,
    /// Whether there are more than [`MOST_VIOLATIONS`], of which the rest was not looked for.
    pub truncated: bool,
}

/// A foreign key of a table: its parent and its pairs of columns.
#[derive(Default)]
struct Reference {
    parent: String,
    from: Vec<String>,
    to: Vec<Option<String>>,
}

impl Store<'_> {
    /// Whether any table may have a foreign key.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_foreign_keys(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND instr(lower(sql), 'references') LIMIT 1";
        Ok(!self.rows(sql, &[])?.is_empty())
    }

    /// The foreign keys that point to a table or a key that is not there, as `todos(user_id) -> users(id)`.
    ///
    /// # Errors
    /// What the database says.
    pub fn broken_references(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let mut keys = BTreeMap::new();
        let mut broken = BTreeSet::new();
        for ((table, _), reference) in self.references()? {
            let parent = reference.parent.to_ascii_lowercase();
            if !keys.contains_key(&parent) {
                let found = self.keys(&reference.parent)?;
                keys.insert(parent.clone(), found);
            }
            let to: Option<Vec<&str>> = reference.to.iter().map(Option::as_deref).collect();
            let whole = keys.get(&parent).is_some_and(|keys| match &to {
                Some(to) => keys.iter().any(|key| *key == set(to)),
                None => keys.first().is_some_and(|primary| primary.len() == reference.from.len()),
            });
            if !whole {
                let to = to.map_or(String::new(), |to| format!("({})", to.join(", ")));
                broken.insert(format!("{table}({}) -> {}{to}", reference.from.join(", "), reference.parent));
            }
        }
        Ok(broken)
    }

    /// The rows whose references point to no row. A table with a foreign key to a key that is not there cannot be
    /// checked by SQLite and is passed over; [`Store::broken_references`] has it.
    ///
    /// # Errors
    /// What the database says.
    pub fn violations(&mut self) -> Result<Violations, StoreError> {
        let references = self.references()?;
        let tables: BTreeSet<&String> = references.keys().map(|(table, _)| table).collect();
        let mut violations = Violations::default();
        for table in tables {
            let sql = "SELECT rowid, parent, fkid FROM pragma_foreign_key_check(?1, 'main')";
            let checked = self.connection.query(sql, &[table.as_str().into()], &mut |row| {
                if violations.found.len() >= MOST_VIOLATIONS {
                    violations.truncated = true;
                    return ControlFlow::Break(());
                }
                let key = row.get(2).and_then(Value::as_i64).unwrap_or_default();
                let columns = references.get(&(table.clone(), key)).map(|reference| reference.from.join(", "));
                violations.found.insert(Violation {
                    table: table.clone(),
                    rowid: row.first().and_then(Value::as_i64),
                    parent: text(row, 1),
                    columns: columns.unwrap_or_default(),
                });
                ControlFlow::Continue(())
            });
            match checked {
                Err(error) if error.message.starts_with("foreign key mismatch") => {}
                other => other?,
            }
            if violations.truncated {
                break;
            }
        }
        Ok(violations)
    }

    /// All foreign keys, by their table and their number in it.
    fn references(&mut self) -> Result<BTreeMap<(String, i64), Reference>, StoreError> {
        let sql = "SELECT m.name, f.id, f.\"table\", f.\"from\", f.\"to\" \
            FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS f \
            WHERE m.type = 'table' AND instr(lower(m.sql), 'references') ORDER BY m.name, f.id, f.seq";
        let mut references: BTreeMap<_, Reference> = BTreeMap::new();
        for row in self.rows(sql, &[])? {
            let number = row.get(1).and_then(Value::as_i64).unwrap_or_default();
            let reference = references.entry((text(&row, 0), number)).or_default();
            reference.parent = text(&row, 2);
            reference.from.push(text(&row, 3));
            reference.to.push(row.get(4).and_then(Value::as_str).map(str::to_owned));
        }
        Ok(references)
    }

    /// The sets of columns that a foreign key may refer to: the primary key first, if only as an empty set, then
    /// the unique indexes; none at all where there is no such table.
    fn keys(&mut self, table: &str) -> Result<Vec<BTreeSet<String>>, StoreError> {
        let table = [Value::from(table)];
        let found = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        if self.rows(found, &table)?.is_empty() {
            return Ok(Vec::new());
        }
        let primary = self.rows("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0", &table)?;
        let mut keys = vec![primary.iter().map(|row| text(row, 0).to_ascii_lowercase()).collect()];
        let sql = "SELECT l.name, i.name FROM pragma_index_list(?1, 'main') AS l, pragma_index_info(l.name, 'main') AS i \
            WHERE l.\"unique\" = 1 AND l.partial = 0 ORDER BY l.name";
        let mut indexes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.rows(sql, &table)? {
            // An expression has no name; an empty one keeps its index from matching.
            indexes.entry(text(&row, 0)).or_default().insert(text(&row, 1).to_ascii_lowercase());
        }
        keys.extend(indexes.into_values());
        Ok(keys)
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::open;
    use super::*;

    #[test]
    fn references_to_nothing_are_found() {
        let mut connection = open(
            "CREATE TABLE users(id INTEGER PRIMARY KEY, a, b, c, UNIQUE(b, a));
             CREATE UNIQUE INDEX users_c ON users(c) WHERE c > 0;
             CREATE TABLE fine(u REFERENCES users, v REFERENCES Users(ID), FOREIGN KEY (u, v) REFERENCES users(a, b));
             CREATE TABLE part(c REFERENCES users(c));
             CREATE TABLE two(a, b, FOREIGN KEY (a, b) REFERENCES users);
             CREATE TABLE lost(a REFERENCES nowhere, b REFERENCES nowhere(x));",
        );
        let broken = Store::new(&mut connection, "_m").broken_references().unwrap();
        let broken: Vec<&str> = broken.iter().map(String::as_str).collect();
        assert_eq!(
            broken,
            ["lost(a) -> nowhere", "lost(b) -> nowhere(x)", "part(c) -> users(c)", "two(a, b) -> users"]
        );
    }

    #[test]
    fn violations_are_found_past_a_table_that_cannot_be_checked() {
        let mut connection = open(
            "CREATE TABLE users(id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE);
             CREATE UNIQUE INDEX users_n ON users(n COLLATE BINARY);
             CREATE TABLE bad(n REFERENCES users(n));
             CREATE TABLE todos(id INTEGER PRIMARY KEY, u REFERENCES users(id));
             CREATE TABLE plain(a PRIMARY KEY, u REFERENCES gone) WITHOUT ROWID;
             INSERT INTO bad VALUES (1); INSERT INTO todos VALUES (4, 9), (5, NULL); INSERT INTO plain VALUES (1, 2);",
        );
        let mut store = Store::new(&mut connection, "_m");
        assert!(store.has_foreign_keys().unwrap());
        let violations = store.violations().unwrap();
        assert!(!violations.truncated);
        let found: Vec<_> = violations
            .found
            .iter()
            .map(|v| (v.table.as_str(), v.rowid, v.parent.as_str(), v.columns.as_str()))
            .collect();
        assert_eq!(found, [("plain", None, "gone", "u"), ("todos", Some(4), "users", "u")]);
    }
}
