//! SQLite: the version table, the hash of a schema, and the foreign keys that a run must not break.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use build_support::checksum::{Checksum, Digest, Seal, StatementsHash};
use build_support::migration::Directives;
use build_support::revision::RevisionId;

use crate::connection::{Connection, DatabaseError, Value};
use crate::history::{AppliedRevision, History, State};

/// How many violations are gathered at most.
pub const MOST_VIOLATIONS: usize = 100_000;

/// Why the version table could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The database refused.
    Database(DatabaseError),
    /// A row holds what this tool does not write; the text says which row and what.
    Damaged(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Database(error) = self { Some(error) } else { None }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

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

/// A database and its version table.
pub struct Store<'c> {
    connection: &'c mut dyn Connection,
    table: String,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish_non_exhaustive()
    }
}

const COLUMNS: &str = "package, revision, sequence, checksum, statements, seal, parents, depends, directives, message, \
    applied_count, state, applied_at, elapsed_ms, tool_version, schema_hash";

/// The statement that creates the version table where it is not there.
#[must_use]
pub fn create_table_sql(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
    package TEXT NOT NULL,
    revision TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    statements TEXT NOT NULL,
    seal TEXT NOT NULL,
    parents TEXT NOT NULL,
    depends TEXT NOT NULL,
    directives TEXT NOT NULL,
    message TEXT NOT NULL,
    applied_count INTEGER NOT NULL,
    down TEXT,
    state TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    elapsed_ms INTEGER NOT NULL,
    tool_version TEXT NOT NULL,
    schema_hash TEXT,
    PRIMARY KEY (package, revision),
    UNIQUE (package, sequence)
)",
        quoted(table)
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl<'c> Store<'c> {
    /// A version table of this name in the database's main schema.
    #[must_use]
    pub fn new(connection: &'c mut dyn Connection, table: impl Into<String>) -> Self {
        Self { connection, table: table.into() }
    }

    /// The connection, for the run's own statements.
    pub fn connection(&mut self) -> &mut dyn Connection {
        self.connection
    }

    /// Creates the version table where it is not there.
    ///
    /// # Errors
    /// What the database says.
    pub fn ensure_table(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute(&create_table_sql(&self.table), &[])?)
    }

    /// Whether the version table is there.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_table(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        let table = self.table.as_str().into();
        Ok(!self.rows(sql, &[table])?.is_empty())
    }

    /// All rows; none where there is no version table.
    ///
    /// # Errors
    /// What the database says, or the row that is damaged.
    pub fn read_history(&mut self) -> Result<History, StoreError> {
        if !self.has_table()? {
            return Ok(History::default());
        }
        let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY sequence", self.name());
        let rows = self.rows(&sql, &[])?;
        rows.iter().map(|row| read_row(row)).collect::<Result<_, _>>().map(History::new).map_err(StoreError::Damaged)
    }

    /// The down text that is stored with a revision.
    ///
    /// # Errors
    /// What the database says.
    pub fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError> {
        let sql = format!("SELECT down FROM {} WHERE package = ?1 AND revision = ?2", self.name());
        let rows = self.rows(&sql, &[package.into(), id.as_str().into()])?;
        Ok(rows.first().and_then(|row| row.first()).and_then(Value::as_str).map(str::to_owned))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What the database says.
    pub fn insert(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO {} ({COLUMNS}, down) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            self.name()
        );
        let parents: Vec<&str> = row.parents.iter().map(RevisionId::as_str).collect();
        let params = [
            row.package.as_str().into(),
            row.id.as_str().into(),
            row.sequence.into(),
            row.checksum.to_string().into(),
            row.statements.to_string().into(),
            row.seal.to_string().into(),
            parents.join(", ").into(),
            row.depends.join(", ").into(),
            row.directives.to_text().into(),
            row.message.as_str().into(),
            row.applied_count.into(),
            state_text(row.state).into(),
            row.applied_at.as_str().into(),
            row.elapsed_ms.into(),
            row.tool_version.as_str().into(),
            row.schema_hash.as_deref().into(),
            down.into(),
        ];
        Ok(self.connection.execute(&sql, &params)?)
    }

    /// Removes a revision's row.
    ///
    /// # Errors
    /// What the database says.
    pub fn delete(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {} WHERE package = ?1 AND revision = ?2", self.name());
        Ok(self.connection.execute(&sql, &[package.into(), id.as_str().into()])?)
    }

    /// Says of a revision under way that it is applied.
    ///
    /// # Errors
    /// What the database says.
    pub fn set_applied(
        &mut self,
        package: &str,
        id: &RevisionId,
        elapsed_ms: i64,
        applied_at: &str,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE {} SET state = 'applied', elapsed_ms = ?3, applied_at = ?4 WHERE package = ?1 AND revision = ?2",
            self.name()
        );
        let params = [package.into(), id.as_str().into(), elapsed_ms.into(), applied_at.into()];
        Ok(self.connection.execute(&sql, &params)?)
    }

    /// Writes how many revisions are applied, and the schema's hash, to a package's newest row.
    ///
    /// # Errors
    /// What the database says.
    pub fn finish(&mut self, package: &str) -> Result<(), StoreError> {
        let hash = self.schema_hash()?;
        let table = self.name();
        let sql = format!(
            "UPDATE {table} SET schema_hash = ?2, \
             applied_count = (SELECT count(*) FROM {table} WHERE package = ?1) \
             WHERE package = ?1 AND sequence = (SELECT max(sequence) FROM {table} WHERE package = ?1)"
        );
        Ok(self.connection.execute(&sql, &[package.into(), hash.into()])?)
    }

    /// The hash of the schema as it stands, without SQLite's own tables and the version table.
    ///
    /// # Errors
    /// What the database says.
    pub fn schema_hash(&mut self) -> Result<String, StoreError> {
        let sql = "SELECT type, name, tbl_name, sql FROM main.sqlite_master \
            WHERE lower(substr(name, 1, 7)) <> 'sqlite_' AND tbl_name <> ?1 COLLATE NOCASE ORDER BY type, name";
        let mut digest = Digest::new("cargo-migrate schema 1");
        self.connection.query(sql, &[self.table.as_str().into()], &mut |row| {
            for value in row {
                digest.part(value.as_str().unwrap_or_default().as_bytes());
            }
            ControlFlow::Continue(())
        })?;
        Ok(format!("schema:{}", digest.finish()))
    }

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

    fn name(&self) -> String {
        format!("main.{}", quoted(&self.table))
    }

    fn rows(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, DatabaseError> {
        let mut rows = Vec::new();
        self.connection.query(sql, params, &mut |row| {
            rows.push(row.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn text(row: &[Value], at: usize) -> String {
    row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Applied => "applied",
        State::Running => "running",
    }
}

/// Reads a row of [`COLUMNS`]; the error names the row and what is wrong with it.
fn read_row(row: &[Value]) -> Result<AppliedRevision, String> {
    let (package, revision) = (text(row, 0), text(row, 1));
    let damaged =
        |column: &str| format!("the version table's row of `{package}/{revision}` has an unreadable `{column}`");
    let string =
        |at: usize, column: &str| row.get(at).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| damaged(column));
    let integer = |at: usize, column: &str| row.get(at).and_then(Value::as_i64).ok_or_else(|| damaged(column));
    let listed = |at: usize, column: &str| {
        string(at, column).map(|text| text.split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect())
    };
    let parents: Vec<String> = listed(6, "parents")?;
    let parents = parents.iter().map(|id| RevisionId::new(id)).collect::<Result<_, _>>();
    Ok(AppliedRevision {
        package: string(0, "package")?,
        id: RevisionId::new(&string(1, "revision")?).map_err(|_| damaged("revision"))?,
        sequence: integer(2, "sequence")?,
        checksum: Checksum::parse(&string(3, "checksum")?).ok_or_else(|| damaged("checksum"))?,
        statements: StatementsHash::parse(&string(4, "statements")?).ok_or_else(|| damaged("statements"))?,
        seal: Seal::parse(&string(5, "seal")?).ok_or_else(|| damaged("seal"))?,
        parents: parents.map_err(|_| damaged("parents"))?,
        depends: listed(7, "depends")?,
        directives: Directives::from_text(&string(8, "directives")?),
        message: string(9, "message")?,
        applied_count: integer(10, "applied_count")?,
        state: match string(11, "state")?.as_str() {
            "applied" => State::Applied,
            "running" => State::Running,
            _ => return Err(damaged("state")),
        },
        applied_at: string(12, "applied_at")?,
        elapsed_ms: integer(13, "elapsed_ms")?,
        tool_version: string(14, "tool_version")?,
        schema_hash: match row.get(15) {
            Some(Value::Null) => None,
            _ => Some(string(15, "schema_hash")?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sql: &str) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }

    fn row(id: &str, sequence: i64) -> AppliedRevision {
        let hex = "0f".repeat(32);
        AppliedRevision {
            package: "app".to_owned(),
            id: RevisionId::new(id).unwrap(),
            sequence,
            checksum: Checksum::of("a"),
            statements: StatementsHash::parse(&format!("statements:{hex}")).unwrap(),
            seal: Seal::parse(&format!("seal:{hex}")).unwrap(),
            parents: vec![RevisionId::new("x1").unwrap(), RevisionId::new("x2").unwrap()],
            depends: Vec::new(),
            directives: Directives { no_transaction: true, loses: vec!["a.b".to_owned()], ..Directives::default() },
            message: "it's \"so\"".to_owned(),
            applied_count: 0,
            state: State::Running,
            applied_at: "2026-01-01T00:00:00Z".to_owned(),
            elapsed_ms: 0,
            tool_version: "0.1.0".to_owned(),
            schema_hash: None,
        }
    }

    #[test]
    fn rows_go_there_and_back() {
        let mut connection = open("CREATE TEMP TABLE _m(a)");
        let mut store = Store::new(&mut connection, "_m");
        assert!(store.read_history().unwrap().rows().is_empty());
        let empty = store.schema_hash().unwrap();
        store.ensure_table().unwrap();
        store.ensure_table().unwrap();
        let (first, second) = (row("r1", 1), row("r2", 2));
        store.insert(&second, None).unwrap();
        store.insert(&first, Some("DROP TABLE a;")).unwrap();
        assert!(matches!(store.insert(&first, None), Err(StoreError::Database(_))));
        assert_eq!(store.read_history().unwrap().rows(), [first.clone(), second.clone()]);
        assert_eq!(store.stored_down("app", &first.id).unwrap().as_deref(), Some("DROP TABLE a;"));
        assert_eq!(store.stored_down("app", &second.id).unwrap(), None);
        store.set_applied("app", &second.id, 5, "2026").unwrap();
        store.finish("app").unwrap();
        let history = store.read_history().unwrap();
        let newest = &history.rows()[1];
        assert_eq!((newest.state, newest.elapsed_ms, newest.applied_at.as_str()), (State::Applied, 5, "2026"));
        assert_eq!((newest.applied_count, newest.schema_hash.as_ref()), (2, Some(&empty)));
        store.delete("app", &second.id).unwrap();
        assert_eq!(store.read_history().unwrap().rows(), [first]);
        store.connection().execute("CREATE TABLE a(b)", &[]).unwrap();
        assert_ne!(store.schema_hash().unwrap(), empty);
        store.connection().execute("UPDATE main._m SET seal = 'x'", &[]).unwrap();
        let Err(StoreError::Damaged(what)) = store.read_history() else { panic!() };
        assert!(what.contains("`app/r1`") && what.contains("`seal`"), "{what}");
    }

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
