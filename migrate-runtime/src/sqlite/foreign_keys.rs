//! The foreign keys that a run must not break.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// Those that were found, and how many times: in a table without row ids they are all alike.
    pub found: BTreeMap<Violation, usize>,
    /// How many they are together.
    pub count: usize,
    /// Whether there are more than [`MOST_VIOLATIONS`], of which the rest was not looked for.
    pub truncated: bool,
}

impl Violations {
    /// Those that there are more of than before, and how many more.
    pub fn more_than<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a Violation, usize)> {
        self.found.iter().filter_map(|(violation, count)| {
            let known = before.found.get(violation).copied().unwrap_or(0);
            count.checked_sub(known).filter(|more| *more > 0).map(|more| (violation, more))
        })
    }
}

/// A foreign key of a table: its parent and its pairs of columns.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    parent: String,
    from: Vec<String>,
    to: Vec<Option<String>>,
}

/// All foreign keys of a database, by their table and their number in it.
pub(crate) type References = BTreeMap<(String, i64), Reference>;

/// The sets of columns of a table, in lower case, that a foreign key may refer to.
#[derive(Default)]
struct Keys {
    /// The primary key, if only as an empty set.
    primary: BTreeSet<String>,
    /// The unique indexes by their names.
    unique: BTreeMap<String, BTreeSet<String>>,
}

impl Keys {
    fn has(&self, columns: &BTreeSet<String>) -> bool {
        self.primary == *columns || self.unique.values().any(|unique| unique == columns)
    }
}

/// How many parents' keys one statement asks for; SQLite takes 999 parameters or more.
const PARENTS_AT_ONCE: usize = 500;

impl Store<'_> {
    /// The foreign keys that point to a table or a key that is not there, as `todos(user_id) -> users(id)`.
    ///
    /// # Errors
    /// What the database says.
    pub fn broken_references(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let references = self.references()?;
        self.broken_among(&references)
    }

    /// Those of [`Store::broken_references`] among references that have been read already.
    pub(crate) fn broken_among(&mut self, references: &References) -> Result<BTreeSet<String>, StoreError> {
        let keys = self.keys(references)?;
        let mut broken = BTreeSet::new();
        for ((table, _), reference) in references {
            let to: Option<Vec<&str>> = reference.to.iter().map(Option::as_deref).collect();
            let whole = keys.get(&reference.parent.to_ascii_lowercase()).is_some_and(|keys| match &to {
                Some(to) => keys.has(&set(to)),
                None => keys.primary.len() == reference.from.len(),
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
        self.violations_among(&references)
    }

    /// Those of [`Store::violations`] of references that have been read already.
    pub(crate) fn violations_among(&mut self, references: &References) -> Result<Violations, StoreError> {
        let mut violations = Violations::default();
        if references.is_empty() {
            return Ok(violations);
        }
        if self.check("PRAGMA main.foreign_key_check", &[], references, &mut violations)? && !violations.truncated {
            return Ok(violations);
        }
        // Table by table where one of them cannot be checked, and where there are too many to gather: which of them
        // are gathered must not depend on the order in which SQLite keeps its tables.
        violations = Violations::default();
        let tables: BTreeSet<&String> = references.keys().map(|(table, _)| table).collect();
        for table in tables {
            let sql = "SELECT \"table\", rowid, parent, fkid FROM pragma_foreign_key_check(?1, 'main')";
            self.check(sql, &[table.as_str().into()], references, &mut violations)?;
            if violations.truncated {
                break;
            }
        }
        Ok(violations)
    }

    /// Gathers what a check gives, as far as there is room; gives whether SQLite could make it.
    fn check(
        &mut self,
        sql: &str,
        params: &[Value],
        references: &References,
        violations: &mut Violations,
    ) -> Result<bool, StoreError> {
        let checked = self.connection.query(sql, params, &mut |row| {
            if violations.count >= MOST_VIOLATIONS {
                violations.truncated = true;
                return ControlFlow::Break(());
            }
            let table = text(row, 0);
            let key = (table, row.get(3).and_then(Value::as_i64).unwrap_or_default());
            let columns = references.get(&key).map(|reference| reference.from.join(", "));
            let violation = Violation {
                table: key.0,
                rowid: row.get(1).and_then(Value::as_i64),
                parent: text(row, 2),
                columns: columns.unwrap_or_default(),
            };
            *violations.found.entry(violation).or_default() += 1;
            violations.count += 1;
            ControlFlow::Continue(())
        });
        match checked {
            Err(error) if error.message.starts_with("foreign key mismatch") => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    /// All foreign keys, by their table and their number in it.
    pub(crate) fn references(&mut self) -> Result<References, StoreError> {
        let sql = "SELECT m.name, f.id, f.\"table\", f.\"from\", f.\"to\" \
            FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS f \
            WHERE m.type = 'table' AND instr(lower(m.sql), 'references') ORDER BY m.name, f.id, f.seq";
        let mut references = References::new();
        for row in self.rows(sql, &[])? {
            let number = row.get(1).and_then(Value::as_i64).unwrap_or_default();
            let reference = references.entry((text(&row, 0), number)).or_default();
            reference.parent = text(&row, 2);
            reference.from.push(text(&row, 3));
            reference.to.push(row.get(4).and_then(Value::as_str).map(str::to_owned));
        }
        Ok(references)
    }

    /// What the foreign keys may refer to, by the parent's name in lower case, for the parents that are there.
    fn keys(&mut self, references: &References) -> Result<HashMap<String, Keys>, StoreError> {
        let wanted: HashSet<String> =
            references.values().map(|reference| reference.parent.to_ascii_lowercase()).collect();
        let mut keys: HashMap<String, Keys> = HashMap::new();
        if wanted.is_empty() {
            return Ok(keys);
        }
        self.connection.query("SELECT name FROM main.sqlite_master WHERE type = 'table'", &[], &mut |row| {
            let name = text(row, 0).to_ascii_lowercase();
            if wanted.contains(&name) {
                keys.insert(name, Keys::default());
            }
            ControlFlow::Continue(())
        })?;
        // Many parents to a statement: to prepare one for each takes longer than to answer it.
        let parents: Vec<Value> = keys.keys().map(|name| name.as_str().into()).collect();
        for parents in parents.chunks(PARENTS_AT_ONCE) {
            let parent = format!("WITH parent (name) AS (VALUES (?1){})", ", (?)".repeat(parents.len() - 1));
            let sql = format!(
                "{parent} SELECT p.name, t.name FROM parent AS p CROSS JOIN pragma_table_info(p.name, 'main') AS t \
                 WHERE t.pk > 0"
            );
            self.connection.query(&sql, parents, &mut |row| {
                if let Some(keys) = keys.get_mut(&text(row, 0)) {
                    keys.primary.insert(text(row, 1).to_ascii_lowercase());
                }
                ControlFlow::Continue(())
            })?;
            let sql = format!(
                "{parent} SELECT p.name, l.name, i.name FROM parent AS p \
                 CROSS JOIN pragma_index_list(p.name, 'main') AS l CROSS JOIN pragma_index_info(l.name, 'main') AS i \
                 WHERE l.\"unique\" = 1 AND l.partial = 0"
            );
            self.connection.query(&sql, parents, &mut |row| {
                if let Some(keys) = keys.get_mut(&text(row, 0)) {
                    // An expression has no name; an empty one keeps its index from matching.
                    keys.unique.entry(text(row, 1)).or_default().insert(text(row, 2).to_ascii_lowercase());
                }
                ControlFlow::Continue(())
            })?;
        }
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
        let violations = store.violations().unwrap();
        assert!(!violations.truncated);
        let found: Vec<_> = violations
            .found
            .keys()
            .map(|v| (v.table.as_str(), v.rowid, v.parent.as_str(), v.columns.as_str()))
            .collect();
        assert_eq!(found, [("plain", None, "gone", "u"), ("todos", Some(4), "users", "u")]);
    }

    #[test]
    fn violations_of_rows_without_row_ids_are_counted() {
        let mut connection = open(
            "CREATE TABLE users(id INTEGER PRIMARY KEY);
             CREATE TABLE plain(a PRIMARY KEY, u REFERENCES users) WITHOUT ROWID;
             INSERT INTO plain VALUES (1, 1), (2, 2);",
        );
        let mut store = Store::new(&mut connection, "_m");
        let before = store.violations().unwrap();
        store.connection().execute("INSERT INTO plain VALUES (3, 3), (4, 4), (5, NULL)", &[]).unwrap();
        let now = store.violations().unwrap();
        assert_eq!((before.count, now.count), (2, 4));
        assert_eq!(
            now.more_than(&before).map(|(v, more)| (v.table.as_str(), more)).collect::<Vec<_>>(),
            [("plain", 2)]
        );
        assert_eq!(before.more_than(&now).count(), 0);
    }

    #[test]
    fn references_to_more_tables_than_one_statement_asks_for_are_all_looked_at() {
        let count = PARENTS_AT_ONCE + 2;
        let tables: String = (0..count)
            .map(|at| {
                let key = if at + 1 == count { "x" } else { "x UNIQUE" };
                format!("CREATE TABLE p{at}({key}); CREATE TABLE c{at}(y REFERENCES p{at}(x));")
            })
            .collect();
        let mut connection = open(&tables);
        let broken = Store::new(&mut connection, "_m").broken_references().unwrap();
        assert_eq!(broken.into_iter().collect::<Vec<_>>(), [format!("c{0}(y) -> p{0}(x)", count - 1)]);
    }

    #[test]
    fn of_too_many_violations_the_same_are_gathered_each_time() {
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i FROM n";
        let mut connection = open(&format!(
            "CREATE TABLE users(id INTEGER PRIMARY KEY);
             CREATE TABLE b(u REFERENCES users); CREATE TABLE a(u REFERENCES users);
             INSERT INTO b {rows}; INSERT INTO a {rows};"
        ));
        let violations = Store::new(&mut connection, "_m").violations().unwrap();
        assert!(violations.truncated);
        let of = |table: &str| violations.found.keys().filter(|violation| violation.table == table).count();
        assert_eq!((of("a"), of("b")), (60_000, MOST_VIOLATIONS - 60_000));
    }
}
