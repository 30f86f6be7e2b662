//! The version table on a server: the same columns as elsewhere, in a schema that is named or the search path's first.

use std::collections::HashMap;

use build_support::checksum::Checksum;
use build_support::revision::RevisionId;

use super::session::{Session, Texts, literal};
use super::{elsewhere, text};
use crate::connection::{DatabaseError, ErrorKind, Value};
use crate::history::{AppliedRevision, Elsewhere, History, State};
use crate::sqlite::{COLUMNS, INTEGERS, Newest, StoreError, create_table_text, read_row, state_text, values};

/// How long the rows that wait may be, in bytes, before they are written.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// A version table and what is known of it within a transaction.
#[derive(Default)]
pub(super) struct Rows {
    /// Its name with its schema, as SQL; empty until the session is known.
    pub(super) name: String,
    /// Its schema as SQL, where that is made with the table.
    pub(super) schema: Option<String>,
    /// Its schema and its name as they are.
    pub(super) place: [String; 2],
    /// Whether that was seen to be missing, and could not be made.
    pub(super) lacks_schema: bool,
    there: Option<bool>,
    /// Where it is not there, the question for the rows of others.
    others: Option<String>,
    last: Option<i64>,
    counts: HashMap<String, i64>,
    /// Rows as SQL that are written together with those of a few steps more, in one round trip.
    unwritten: String,
}

impl Rows {
    /// Forgets what another transaction may have changed.
    pub(super) fn forget(&mut self) {
        let (name, schema, place) =
            (std::mem::take(&mut self.name), self.schema.take(), std::mem::take(&mut self.place));
        *self = Self { name, schema, place, ..Self::default() };
    }

    fn is_there(&mut self, session: &mut Session<'_>) -> Result<bool, DatabaseError> {
        if let Some(there) = self.there {
            return Ok(there);
        }
        let [there, others] = session.row(&format!(
            "SELECT t.there, CASE WHEN NOT t.there THEN {} END \
             FROM (SELECT pg_catalog.to_regclass({}) IS NOT NULL) AS t (there)",
            elsewhere::question(&self.place[1]),
            text(&self.name)
        ))?;
        self.others = others;
        Ok(*self.there.insert(there.as_deref() == Some("t")))
    }

    pub(super) fn history(&mut self, session: &mut Session<'_>) -> Result<History, StoreError> {
        self.write(session)?;
        if !self.is_there(session)? {
            let Some(others) = &self.others else { return Ok(History::default()) };
            let found = elsewhere::found(session, others)?;
            return Ok(History::missing(Elsewhere {
                missing: self.place.clone(),
                named: self.schema.is_some(),
                found,
            }));
        }
        let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY sequence", self.name);
        let rows = session.rows(&sql)?;
        let rows = rows.into_iter().map(|row| read_row(&typed(row)).map_err(StoreError::Damaged));
        Ok(History::new(rows.collect::<Result<_, _>>()?))
    }

    pub(super) fn newest(&mut self, session: &mut Session<'_>, package: &str) -> Result<Option<Newest>, StoreError> {
        self.write(session)?;
        let sql = format!(
            "SELECT seal, state, applied_count FROM {} WHERE package = {} ORDER BY sequence DESC LIMIT 1",
            self.name,
            text(package)
        );
        let rows = match session.rows(&sql) {
            Err(error) if error.kind == ErrorKind::MissingTable => return Ok(None),
            rows => rows?,
        };
        Ok(rows.into_iter().next().map(|row| {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || values.next().unwrap_or_default();
            Newest { seal: next(), applied: next() == state_text(State::Applied), count: next().parse().unwrap_or(-1) }
        }))
    }

    pub(super) fn ensure(&mut self, session: &mut Session<'_>) -> Result<(), StoreError> {
        // To say it of a table that is there takes the right to make one, which a later run does not need; so does a schema.
        if !self.is_there(session)? {
            if let Some(schema) = &self.schema {
                let look = format!("SELECT pg_catalog.to_regnamespace({}) IS NOT NULL", text(schema));
                self.lacks_schema = session.row(&look)? != [Some("t".to_owned())];
                if self.lacks_schema {
                    session.run(&format!("CREATE SCHEMA {schema}"))?;
                    self.lacks_schema = false;
                }
            }
            session.run(&create_table_text(&self.name, "BIGINT"))?;
            self.there = Some(true);
        }
        Ok(())
    }

    pub(super) fn stored_down(
        &mut self,
        session: &mut Session<'_>,
        package: &str,
        id: &RevisionId,
    ) -> Result<Option<String>, StoreError> {
        self.write(session)?;
        let rows = session.rows(&format!("SELECT down FROM {} WHERE {}", self.name, of_revision(package, id)))?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    pub(super) fn record(
        &mut self,
        session: &mut Session<'_>,
        row: &AppliedRevision,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        let (sequence, count) = self.next_numbers(session, &row.package)?;
        let values: Vec<String> = values(row, sequence, count, down).iter().map(literal).collect();
        let before = if self.unwritten.is_empty() { "" } else { ",\n" };
        self.unwritten.push_str(&format!("{before}({})", values.join(", ")));
        if self.unwritten.len() > MOST_UNWRITTEN { Ok(self.write(session)?) } else { Ok(()) }
    }

    /// The next sequence number of all packages, and how many revisions of this one are applied with the next.
    fn next_numbers(&mut self, session: &mut Session<'_>, package: &str) -> Result<(i64, i64), DatabaseError> {
        if let (Some(last), Some(count)) = (&mut self.last, self.counts.get_mut(package)) {
            (*last, *count) = (*last + 1, *count + 1);
            return Ok((*last, *count));
        }
        self.write(session)?;
        let [last, count] = session.row(&format!(
            "SELECT coalesce(pg_catalog.max(sequence), 0), pg_catalog.count(*) FILTER (WHERE package = {}) FROM {}",
            text(package),
            self.name
        ))?;
        let next = |number: Option<String>| number.and_then(|number| number.parse::<i64>().ok()).unwrap_or(0) + 1;
        let (last, count) = (next(last), next(count));
        self.last = Some(last);
        self.counts.insert(package.to_owned(), count);
        Ok((last, count))
    }

    /// Writes the rows that wait.
    pub(super) fn write(&mut self, session: &mut Session<'_>) -> Result<(), DatabaseError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.unwritten);
        session.run(&format!("INSERT INTO {} ({COLUMNS}, down) VALUES\n{rows}", self.name))
    }

    /// Changes the row of a revision, which must be there.
    fn change(
        &mut self,
        session: &mut Session<'_>,
        package: &str,
        id: &RevisionId,
        statement: &str,
    ) -> Result<(), StoreError> {
        self.write(session)?;
        match session.changed(&format!("{statement} WHERE {}", of_revision(package, id)))? {
            0 => Err(StoreError::Gone(format!("the version table has no row of `{package}/{id}` any more"))),
            _ => Ok(()),
        }
    }

    pub(super) fn mark(
        &mut self,
        session: &mut Session<'_>,
        package: &str,
        id: &RevisionId,
        state: State,
        elapsed_ms: i64,
    ) -> Result<(), StoreError> {
        let set = format!("UPDATE {} SET state = '{}', elapsed_ms = {elapsed_ms}", self.name, state_text(state));
        self.change(session, package, id, &set)
    }

    pub(super) fn amend(
        &mut self,
        session: &mut Session<'_>,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        let down = literal(&Value::from(down));
        let set = format!("UPDATE {} SET checksum = {}, down = {down}", self.name, text(&checksum.to_string()));
        self.change(session, package, id, &set)
    }

    pub(super) fn delete(
        &mut self,
        session: &mut Session<'_>,
        package: &str,
        id: &RevisionId,
    ) -> Result<(), StoreError> {
        (self.last, self.counts) = (None, HashMap::new());
        let delete = format!("DELETE FROM {}", self.name);
        self.change(session, package, id, &delete)
    }

    pub(super) fn rename_package(&mut self, session: &mut Session<'_>, old: &str, new: &str) -> Result<(), StoreError> {
        self.write(session)?;
        (self.last, self.counts) = (None, HashMap::new());
        let (table, of_old, of_new) = (&self.name, format!("{old}/"), format!("{new}/"));
        // A list is `A/x, B/y`: a key ends at its `/` and starts at the list's start or behind `, `.
        let (from, to) = (text(&format!(", {of_old}")), text(&format!(", {of_new}")));
        Ok(session.run(&format!(
            "UPDATE {table} SET package = {} WHERE package = {};\n\
             UPDATE {table} SET depends = pg_catalog.substr(pg_catalog.replace(', ' || depends, {from}, {to}), 3) \
             WHERE pg_catalog.strpos(', ' || depends, {from}) > 0",
            text(new),
            text(old)
        ))?)
    }

    /// Writes how many revisions are applied to each package's newest row.
    pub(super) fn finish(&mut self, session: &mut Session<'_>, packages: &[&str]) -> Result<(), StoreError> {
        self.write(session)?;
        let table = &self.name;
        let counted = packages.iter().map(|package| {
            let package = text(package);
            format!(
                "UPDATE {table} SET applied_count = (SELECT pg_catalog.count(*) FROM {table} WHERE package = {package}) \
                 WHERE package = {package} AND sequence = (SELECT pg_catalog.max(sequence) FROM {table} WHERE package = {package})"
            )
        });
        Ok(session.run(&counted.collect::<Vec<_>>().join(";\n"))?)
    }
}

fn of_revision(package: &str, id: &RevisionId) -> String {
    format!("package = {} AND revision = {}", text(package), text(id.as_str()))
}

/// The values of a row of [`COLUMNS`].
fn typed(row: Texts) -> Vec<Value> {
    let values = row.into_iter().enumerate().map(|(at, value)| match value {
        None => Value::Null,
        Some(value) if INTEGERS.contains(&at) => value.parse().map_or(Value::Text(value), Value::Integer),
        Some(value) => Value::Text(value),
    });
    values.collect()
}
