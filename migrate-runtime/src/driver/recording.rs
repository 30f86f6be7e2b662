//! A script instead of a database: what a run would do, as text that the stock `sqlite3` shell runs.
//!
//! The runner drives it as it drives a database, so the script holds what a run does and in its order. It refuses
//! where the run would: it starts with `.bail on`, compares the history that it finds with the one that it was made
//! for, and carries the key check and the verify sections as statements that fail.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use build_support::checksum::Checksum;
use build_support::revision::RevisionId;

use crate::connection::{DatabaseError, ErrorKind, Value};
use crate::driver::sqlite::SqliteDriver;
use crate::driver::{Driver, Enforcement};
use crate::history::{AppliedRevision, History, State};
use crate::sqlite::{Newest, StoreError, create_table_sql, state_text};

/// Where the down texts of applied revisions are found.
pub type StoredDown<'a> = &'a mut dyn FnMut(&str, &RevisionId) -> Result<Option<String>, StoreError>;

/// A driver that writes a script.
pub struct RecordingDriver<'a, 's> {
    packages: Vec<String>,
    table: String,
    rows: Vec<AppliedRevision>,
    stored_down: StoredDown<'a>,
    /// A scratch database with the same schema, on which everything is done too: it knows the schema's hash.
    shadow: Option<SqliteDriver<'s>>,
    script: String,
    open: Option<String>,
    checked: bool,
    keys: bool,
}

impl std::fmt::Debug for RecordingDriver<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingDriver").field("packages", &self.packages).finish_non_exhaustive()
    }
}

impl<'a, 's> RecordingDriver<'a, 's> {
    /// Starts a script for these packages and the history that it is to start from.
    #[must_use]
    pub fn new(
        packages: &[&str],
        table: &str,
        history: &History,
        stored_down: StoredDown<'a>,
        shadow: Option<SqliteDriver<'s>>,
    ) -> Self {
        Self {
            packages: packages.iter().map(|package| (*package).to_owned()).collect(),
            table: table.to_owned(),
            rows: history.rows().to_vec(),
            stored_down,
            shadow,
            script: String::from(".bail on\n"),
            open: None,
            checked: false,
            keys: false,
        }
    }

    /// The whole script.
    #[must_use]
    pub fn into_script(self) -> String {
        self.script
    }

    fn write(&mut self, text: &str) {
        let target = self.open.as_mut().unwrap_or(&mut self.script);
        target.push_str(text);
        target.push('\n');
    }

    /// A statement that fails with `what` unless each row that `query` gives starts with a true number.
    fn assert(&mut self, what: &str, columns: usize, query: &str) {
        let more: String = (2..=columns).fold(String::new(), |mut more, column| {
            let _ = write!(more, ", c{column}");
            more
        });
        let query = query.trim_end_matches(';');
        self.write(&format!(
            "CREATE TEMP TABLE _cargo_migrate_check (ok{more}, CONSTRAINT {} CHECK (typeof(ok) IN ('integer', 'real') AND ok <> 0));\n\
             INSERT INTO temp._cargo_migrate_check\n{}\n;\nDROP TABLE temp._cargo_migrate_check;",
            name(what),
            guard_lines(query)
        ));
    }

    /// Does the same on the scratch database; where that fails (it has no rows), it is given up.
    fn shadowed<T>(&mut self, act: impl FnOnce(&mut SqliteDriver<'s>) -> Result<T, StoreError>) -> Option<T> {
        let done = act(self.shadow.as_mut()?);
        if done.is_err() {
            self.shadow = None;
        }
        done.ok()
    }
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    // The shell stops reading a statement at no character that may stand in a literal but NUL, which no text here has.
    format!("'{}'", value.replace('\'', "''"))
}

/// The shell takes a line that is `/` or `go` for the end of a statement; outside of literals a
/// comment before it hides it (one behind it does not: the shell passes over that).
fn guard_lines(statement: &str) -> String {
    if !statement.lines().any(ends_statement) {
        return statement.to_owned();
    }
    let mut guarded = String::new();
    let mut at = 0;
    for token in build_support::token::tokens(statement) {
        let piece = &statement[token.span.clone()];
        let line_start = statement[..token.span.start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = statement[token.span.end..].find('\n').map_or(statement.len(), |at| token.span.end + at);
        guarded.push_str(&statement[at..token.span.start]);
        if token.kind.counts() && ends_statement(&statement[line_start..line_end]) {
            guarded.push_str("/**/ ");
        }
        guarded.push_str(piece);
        at = token.span.end;
    }
    guarded
}

fn ends_statement(line: &str) -> bool {
    matches!(line.trim(), "/") || line.trim().eq_ignore_ascii_case("go")
}

impl Driver for RecordingDriver<'_, '_> {
    fn begin(
        &mut self,
        enforcement: Enforcement,
        wait: Duration,
        waiting: &mut dyn FnMut(),
    ) -> Result<(), DatabaseError> {
        let on = if enforcement == Enforcement::Immediate { "ON" } else { "OFF" };
        self.open = Some(format!("\nPRAGMA foreign_keys = {on};\nBEGIN IMMEDIATE;\n"));
        (self.checked, self.keys) = (false, false);
        self.shadowed(|shadow| Ok(shadow.begin(enforcement, wait, waiting)?));
        Ok(())
    }

    fn commit(&mut self, wait: Duration) -> Result<(), DatabaseError> {
        if let Some(open) = self.open.take() {
            self.script.push_str(&open);
            self.script.push_str("COMMIT;\n");
        }
        self.shadowed(|shadow| Ok(shadow.commit(wait)?));
        Ok(())
    }

    fn rollback(&mut self) {
        self.open = None;
        if let Some(shadow) = &mut self.shadow {
            shadow.rollback();
        }
    }

    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.open.is_some())
    }

    fn history(&mut self) -> Result<History, StoreError> {
        Ok(History::new(self.rows.clone()))
    }

    fn newest(&mut self, package: &str) -> Result<Option<Newest>, StoreError> {
        let newest = self.rows.iter().filter(|row| row.package == package).max_by_key(|row| row.sequence);
        Ok(newest.map(|row| Newest {
            seal: row.seal.to_string(),
            applied: row.state == State::Applied,
            count: row.applied_count,
        }))
    }

    fn ensure_table(&mut self) -> Result<(), StoreError> {
        if self.checked {
            return Ok(());
        }
        self.checked = true;
        self.write(&format!("{};", create_table_sql(&self.table)));
        let table = name(&self.table);
        let among: Vec<String> = self.packages.iter().map(|package| text(package)).collect();
        let among = format!("package IN ({})", among.join(", "));
        let rows: Vec<String> = self
            .rows
            .iter()
            .filter(|row| self.packages.contains(&row.package))
            .map(|row| {
                let (package, id, seal) = (text(&row.package), text(row.id.as_str()), text(&row.seal.to_string()));
                format!("({package}, {id}, {seal}, {})", text(state_text(row.state)))
            })
            .collect();
        let mut query = format!("SELECT (SELECT count(*) FROM {table} WHERE {among}) = {}", rows.len());
        if !rows.is_empty() {
            let _ = write!(
                query,
                "\n  AND (SELECT count(*) FROM {table} WHERE (package, revision, seal, state) IN (VALUES {})) = {}",
                rows.join(", "),
                rows.len()
            );
        }
        self.assert("this database has another history than the one that this script starts from", 1, &query);
        self.shadowed(|shadow| shadow.ensure_table());
        Ok(())
    }

    fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError> {
        (self.stored_down)(package, id)
    }

    fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        let end = if statement.ends_with(';') { "" } else { "\n;" };
        self.write(&format!("{}{end}", guard_lines(statement)));
        self.shadowed(|shadow| Ok(shadow.execute(statement)?));
        Ok(())
    }

    /// A script does not know what rows it will meet.
    fn offending_rows(&mut self, _: &str, _: &DatabaseError) -> Vec<String> {
        Vec::new()
    }

    fn verify(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        let columns = self.shadowed(|shadow| {
            let connection = shadow.store().connection();
            connection.execute(&format!("CREATE TEMP VIEW _cargo_migrate_columns AS {query}"), &[])?;
            let mut columns = 1;
            connection.query("SELECT count(*) FROM pragma_table_info('_cargo_migrate_columns')", &[], &mut |row| {
                columns = row.first().and_then(Value::as_i64).unwrap_or(1);
                ControlFlow::Break(())
            })?;
            connection.execute("DROP VIEW temp._cargo_migrate_columns", &[])?;
            Ok(columns)
        });
        let columns = columns.and_then(|columns| usize::try_from(columns).ok()).unwrap_or(1);
        self.assert("what the migration verifies does not hold", columns, query);
        Ok(None)
    }

    fn record(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError> {
        let parents: Vec<&str> = row.parents.iter().map(RevisionId::as_str).collect();
        let (table, package) = (name(&self.table), text(&row.package));
        let values = [
            package.clone(),
            text(row.id.as_str()),
            format!("(SELECT coalesce(max(sequence), 0) + 1 FROM {table})"),
            text(&row.checksum.to_string()),
            text(&row.statements.to_string()),
            text(&row.seal.to_string()),
            text(&parents.join(", ")),
            text(&row.depends.join(", ")),
            text(&row.directives.to_text()),
            text(&row.message),
            format!("(SELECT count(*) + 1 FROM {table} WHERE package = {package})"),
            down.map_or_else(|| "NULL".to_owned(), text),
            text(state_text(row.state)),
            "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')".to_owned(),
            "0".to_owned(),
            text(&row.tool_version),
            "NULL".to_owned(),
        ];
        self.write(&format!(
            "INSERT INTO {table} (package, revision, sequence, checksum, statements, seal, parents, depends, directives, message, \
             applied_count, down, state, applied_at, elapsed_ms, tool_version, schema_hash)\nVALUES ({});",
            values.join(", ")
        ));
        let last = self.rows.iter().map(|row| row.sequence).max().unwrap_or(0);
        self.rows.push(AppliedRevision { sequence: last + 1, ..row.clone() });
        Ok(())
    }

    fn mark(&mut self, package: &str, id: &RevisionId, state: State, _elapsed_ms: i64) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE {} SET state = '{}' WHERE package = {} AND revision = {};",
            name(&self.table),
            state_text(state),
            text(package),
            text(id.as_str())
        );
        self.write(&sql);
        for row in self.rows.iter_mut().filter(|row| row.package == package && row.id == *id) {
            row.state = state;
        }
        Ok(())
    }

    fn amend(
        &mut self,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        let down = down.map_or_else(|| "NULL".to_owned(), text);
        self.write(&format!(
            "UPDATE {} SET checksum = {}, down = {down} WHERE package = {} AND revision = {};",
            name(&self.table),
            text(&checksum.to_string()),
            text(package),
            text(id.as_str())
        ));
        Ok(())
    }

    fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError> {
        let (table, old, new) = (name(&self.table), text(old), text(new));
        self.write(&format!(
            "UPDATE {table} SET package = {new} WHERE package = {old};\n\
             UPDATE {table} SET depends = substr(replace(', ' || depends, ', ' || {old} || '/', ', ' || {new} || '/'), 3)\n\
             WHERE instr(', ' || depends, ', ' || {old} || '/');"
        ));
        Ok(())
    }

    fn forget(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM {} WHERE package = {} AND revision = {};",
            name(&self.table),
            text(package),
            text(id.as_str())
        );
        self.write(&sql);
        self.rows.retain(|row| row.package != package || row.id != *id);
        Ok(())
    }

    fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError> {
        let hash = self.shadowed(|shadow| shadow.store().schema_hash());
        let table = name(&self.table);
        let hash = hash.map_or_else(|| "NULL".to_owned(), |hash| text(&hash));
        for package in packages {
            let package = text(package);
            self.write(&format!(
                "UPDATE {table} SET applied_count = (SELECT count(*) FROM {table} WHERE package = {package})\n\
                 WHERE package = {package} AND sequence = (SELECT max(sequence) FROM {table} WHERE package = {package});"
            ));
        }
        self.write(&format!(
            "UPDATE {table} SET schema_hash = {hash} WHERE sequence = (SELECT max(sequence) FROM {table});"
        ));
        Ok(())
    }

    fn look_at_keys(&mut self, _rows: bool) -> Result<usize, StoreError> {
        if !self.keys {
            self.keys = true;
            self.write(&format!("CREATE TEMP TABLE _cargo_migrate_rows AS {BROKEN_ROWS};"));
            self.write(&format!("CREATE TEMP TABLE _cargo_migrate_references AS {BROKEN_REFERENCES};"));
        }
        Ok(0)
    }

    fn newly_broken_keys(&mut self) -> Result<Vec<String>, StoreError> {
        if self.keys {
            self.keys = false;
            let query = format!(
                "SELECT NOT EXISTS (SELECT 1 FROM (SELECT *, 1 AS n FROM ({BROKEN_ROWS}) \
                 UNION ALL SELECT *, -1 FROM temp._cargo_migrate_rows)\n    \
                 GROUP BY \"table\", row, parent, columns HAVING sum(n) > 0)\n  \
                 AND NOT EXISTS ({BROKEN_REFERENCES} EXCEPT SELECT * FROM temp._cargo_migrate_references)"
            );
            self.assert("this would leave references that point to nothing", 1, &query);
            self.write("DROP TABLE temp._cargo_migrate_rows;\nDROP TABLE temp._cargo_migrate_references;");
        }
        Ok(Vec::new())
    }

    fn hold_split(&mut self) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    fn release_split(&mut self) {}

    fn back_up(&mut self, _: &Path) -> Result<(), DatabaseError> {
        Err(DatabaseError::new(ErrorKind::Other, "a script has no database that could be copied"))
    }
}

/// Rows of tables without row ids are alike, so they are counted, not compared as a set.
const BROKEN_ROWS: &str = "SELECT c.\"table\", c.rowid AS row, c.parent, (SELECT group_concat(f.\"from\", ', ') \
    FROM pragma_foreign_key_list(c.\"table\") AS f WHERE f.id = c.fkid) AS columns FROM pragma_foreign_key_check AS c";
const BROKEN_REFERENCES: &str = "SELECT m.name, f.\"table\" FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name) AS f \
    WHERE m.type = 'table' AND lower(f.\"table\") NOT IN (SELECT lower(name) FROM main.sqlite_master WHERE type = 'table')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_the_shell_takes_for_an_end_is_hidden() {
        assert_eq!(guard_lines("SELECT 4\n/\n2;"), "SELECT 4\n/**/ /\n2;");
        assert_eq!(guard_lines("SELECT '\n/\n';"), "SELECT '\n/\n';");
        assert_eq!(guard_lines("SELECT 1 AS\nGo\n;"), "SELECT 1 AS\n/**/ Go\n;");
    }
}
