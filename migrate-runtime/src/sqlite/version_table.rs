//! The version table: its columns, and its rows as values.

use std::ops::ControlFlow;

use build_support::checksum::{Checksum, Seal, StatementsHash};
use build_support::migration::Directives;
use build_support::revision::RevisionId;

use super::{Store, StoreError, quoted, text};
use crate::connection::{DatabaseError, ErrorKind, Value};
use crate::history::{AppliedRevision, History, State};

/// The columns that a history is read from, in this order.
pub(crate) const COLUMNS: &str = "package, revision, sequence, checksum, statements, seal, parents, depends, directives, message, \
    applied_count, state, applied_at, elapsed_ms, tool_version, schema_hash";

/// Which of [`COLUMNS`] hold integers.
#[cfg(feature = "postgres")]
pub(crate) const INTEGERS: [usize; 3] = [2, 10, 13];

/// What a package's newest row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The seal, as text.
    pub seal: String,
    /// Whether it is applied, and not under way.
    pub applied: bool,
    /// How many revisions of the package are applied.
    pub count: i64,
}

/// How many values [`Store::insert_values`] takes for a row.
const WIDTH: usize = 17;

/// The statement that creates the version table where it is not there.
#[must_use]
pub fn create_table_sql(table: &str) -> String {
    create_table_text(&quoted(table), "INTEGER")
}

/// The same with the name as SQL, and the type that holds an `i64`.
pub(crate) fn create_table_text(table: &str, integer: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    package TEXT NOT NULL,
    revision TEXT NOT NULL,
    sequence {integer} NOT NULL,
    checksum TEXT NOT NULL,
    statements TEXT NOT NULL,
    seal TEXT NOT NULL,
    parents TEXT NOT NULL,
    depends TEXT NOT NULL,
    directives TEXT NOT NULL,
    message TEXT NOT NULL,
    applied_count {integer} NOT NULL,
    down TEXT,
    state TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    elapsed_ms {integer} NOT NULL,
    tool_version TEXT NOT NULL,
    schema_hash TEXT,
    PRIMARY KEY (package, revision),
    UNIQUE (package, sequence)
)"
    )
}

impl Store<'_> {
    /// Creates the version table where it is not there.
    ///
    /// # Errors
    /// What the database says.
    pub fn ensure_table(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute(&create_table_sql(&self.table), &[])?)
    }

    /// Whether the version table is there. A view under its name is met as a table of another tool's is.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_table(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
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
        let (mut rows, mut damaged) = (Vec::new(), None);
        self.connection.query(&sql, &[], &mut |row| match read_row(row) {
            Ok(row) => {
                rows.push(row);
                ControlFlow::Continue(())
            }
            Err(what) => {
                damaged = Some(what);
                ControlFlow::Break(())
            }
        })?;
        damaged.map_or_else(|| Ok(History::new(rows)), |what| Err(StoreError::Damaged(what)))
    }

    /// The newest row of a package, in one look-up by the index over package and sequence: its seal, its state and how
    /// many revisions are applied with it. `None` where there is no row or no version table.
    ///
    /// # Errors
    /// What the database says.
    pub fn newest(&mut self, package: &str) -> Result<Option<Newest>, StoreError> {
        let sql = format!(
            "SELECT seal, state, applied_count FROM {} WHERE package = ?1 ORDER BY sequence DESC LIMIT 1",
            self.name()
        );
        let rows = match self.rows(&sql, &[package.into()]) {
            Err(error) if error.kind == ErrorKind::MissingTable => return Ok(None),
            rows => rows?,
        };
        Ok(rows.first().map(|row| Newest {
            seal: text(row, 0),
            applied: text(row, 1) == state_text(State::Applied),
            count: row.get(2).and_then(Value::as_i64).unwrap_or(-1),
        }))
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
        Ok(self.insert_values(&values(row, row.sequence, row.applied_count, down))?)
    }

    /// Adds rows in one statement: the [`values`] of each, one row behind the other.
    pub(crate) fn insert_values(&mut self, values: &[Value]) -> Result<(), DatabaseError> {
        let row = format!("(?{})", ", ?".repeat(WIDTH - 1));
        let rows = vec![row.as_str(); values.len() / WIDTH].join(", ");
        let sql = format!("INSERT INTO {} ({COLUMNS}, down) VALUES {rows}", self.name());
        self.connection.execute(&sql, values)
    }

    /// Removes a revision's row.
    ///
    /// # Errors
    /// What the database says; a row that is not there.
    pub fn delete(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {} WHERE package = ?1 AND revision = ?2", self.name());
        self.connection.execute(&sql, &[package.into(), id.as_str().into()])?;
        self.must_have_changed(package, id)
    }

    /// Writes how a revision stands and how long it took.
    ///
    /// # Errors
    /// What the database says; a row that is not there.
    pub fn mark(&mut self, package: &str, id: &RevisionId, state: State, elapsed_ms: i64) -> Result<(), StoreError> {
        let sql =
            format!("UPDATE {} SET state = ?3, elapsed_ms = ?4 WHERE package = ?1 AND revision = ?2", self.name());
        let params = [package.into(), id.as_str().into(), state_text(state).into(), elapsed_ms.into()];
        self.connection.execute(&sql, &params)?;
        self.must_have_changed(package, id)
    }

    /// Refuses where the statement before touched no row: the record would not be what the caller takes it for.
    fn must_have_changed(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let rows = self.rows("SELECT changes()", &[])?;
        match rows.first().and_then(|row| row.first()).and_then(Value::as_i64) {
            Some(0) | None => {
                Err(StoreError::Gone(format!("the version table has no row of `{package}/{id}` any more")))
            }
            Some(_) => Ok(()),
        }
    }

    /// Writes another checksum and down text to a revision's row.
    ///
    /// # Errors
    /// What the database says.
    pub fn amend(
        &mut self,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = format!("UPDATE {} SET checksum = ?3, down = ?4 WHERE package = ?1 AND revision = ?2", self.name());
        let params = [package.into(), id.as_str().into(), checksum.to_string().into(), down.into()];
        Ok(self.connection.execute(&sql, &params)?)
    }

    /// Gives a package's rows to another key, and follows it in the dependencies of others.
    ///
    /// # Errors
    /// What the database says.
    pub fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError> {
        let table = self.name();
        self.connection
            .execute(&format!("UPDATE {table} SET package = ?2 WHERE package = ?1"), &[old.into(), new.into()])?;
        // A list is `A/x, B/y`: a key ends at its `/` and starts at the list's start or behind `, `.
        let sql = format!(
            "UPDATE {table} SET depends = substr(replace(', ' || depends, ', ' || ?1 || '/', ', ' || ?2 || '/'), 3) \
             WHERE instr(', ' || depends, ', ' || ?1 || '/')"
        );
        Ok(self.connection.execute(&sql, &[old.into(), new.into()])?)
    }

    /// Writes how many revisions are applied to each package's newest row, and the schema's hash to the newest of all:
    /// of a package whose last revision came off no row is left.
    ///
    /// # Errors
    /// What the database says.
    pub fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError> {
        let hash = self.schema_hash()?;
        let table = self.name();
        let sql = format!(
            "UPDATE {table} SET applied_count = (SELECT count(*) FROM {table} WHERE package = ?1) \
             WHERE package = ?1 AND sequence = (SELECT max(sequence) FROM {table} WHERE package = ?1)"
        );
        for package in packages {
            self.connection.execute(&sql, &[(*package).into()])?;
        }
        let sql = format!("UPDATE {table} SET schema_hash = ?1 WHERE sequence = (SELECT max(sequence) FROM {table})");
        Ok(self.connection.execute(&sql, &[hash.as_str().into()])?)
    }
}

/// The values of a row under these numbers, in the order of [`COLUMNS`] and the stored down text.
pub(crate) fn values(row: &AppliedRevision, sequence: i64, applied_count: i64, down: Option<&str>) -> [Value; WIDTH] {
    let parents: Vec<&str> = row.parents.iter().map(RevisionId::as_str).collect();
    [
        row.package.as_str().into(),
        row.id.as_str().into(),
        sequence.into(),
        row.checksum.to_string().into(),
        row.statements.to_string().into(),
        row.seal.to_string().into(),
        parents.join(", ").into(),
        row.depends.join(", ").into(),
        row.directives.to_text().into(),
        row.message.as_str().into(),
        applied_count.into(),
        state_text(row.state).into(),
        row.applied_at.as_str().into(),
        row.elapsed_ms.into(),
        row.tool_version.as_str().into(),
        row.schema_hash.as_deref().into(),
        down.into(),
    ]
}

/// A state as it stands in the version table.
pub(crate) fn state_text(state: State) -> &'static str {
    match state {
        State::Applied => "applied",
        State::Running => "running",
        State::Reverting => "reverting",
    }
}

/// Reads a row of [`COLUMNS`]; the error names the row and what is wrong with it.
pub(crate) fn read_row(row: &[Value]) -> Result<AppliedRevision, String> {
    let damaged = |column: &str| {
        format!("the version table's row of `{}/{}` has an unreadable `{column}`", text(row, 0), text(row, 1))
    };
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
        // The next one counts on from it.
        sequence: Some(integer(2, "sequence")?).filter(|it| *it < i64::MAX).ok_or_else(|| damaged("sequence"))?,
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
            "reverting" => State::Reverting,
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
    use super::super::tests::open;
    use super::*;

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
        store.amend("app", &second.id, &Checksum::of("other"), Some("DROP TABLE b;")).unwrap();
        assert_eq!(store.stored_down("app", &second.id).unwrap().as_deref(), Some("DROP TABLE b;"));
        store.finish(&["app"]).unwrap();
        let history = store.read_history().unwrap();
        let newest = &history.rows()[1];
        assert_eq!(newest.checksum, Checksum::of("other"));
        assert_eq!((newest.applied_count, newest.schema_hash.as_ref()), (2, Some(&empty)));
        for state in [State::Reverting, State::Running, State::Applied] {
            store.mark("app", &second.id, state, 7).unwrap();
            assert_eq!(store.read_history().unwrap().rows()[1].state, state);
        }
        store.delete("app", &second.id).unwrap();
        for gone in [store.delete("app", &second.id), store.mark("app", &second.id, State::Applied, 7)] {
            assert!(matches!(gone, Err(StoreError::Gone(what)) if what.contains("`app/r2`")));
        }
        assert_eq!(store.read_history().unwrap().rows(), [first]);
        store.connection().execute("CREATE TABLE a(b)", &[]).unwrap();
        assert_ne!(store.schema_hash().unwrap(), empty);
        store.connection().execute("UPDATE main._m SET seal = 'x'", &[]).unwrap();
        let Err(StoreError::Damaged(what)) = store.read_history() else { panic!() };
        assert!(what.contains("`app/r1`") && what.contains("`seal`"), "{what}");
    }
}
