//! A script instead of a database: what a run would do, as text that a stock shell runs, `sqlite3` or `psql`.
//!
//! The runner drives it as it drives a database, so the script holds what a run does and in its order. It refuses
//! where the run would: it stops at the first error, compares the history that it finds with the one that it was made
//! for, and carries the verify sections as statements that fail.
//!
//! What the two shells read alike is here; `shell` is what they do not, and `sqlite3` and `psql` know it.

mod psql;
mod shell;
mod sqlite3;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use build_support::checksum::Checksum;
use build_support::problem::printable;
use build_support::revision::RevisionId;
use build_support::token::Dialect;

use self::psql::Psql;
use self::shell::Shell;
use self::sqlite3::Sqlite3;
use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::sqlite::SqliteDriver;
use crate::driver::{Driver, Enforcement};
use crate::history::{AppliedRevision, History, State};
use crate::sqlite::{COLUMNS, Newest, StoreError, state_text};

/// Where the down texts of applied revisions are found.
pub type StoredDown<'a> = &'a mut dyn FnMut(&str, &RevisionId) -> Result<Option<String>, StoreError>;

/// A driver that writes a script.
pub struct RecordingDriver<'a, 's> {
    packages: Vec<String>,
    rows: Vec<AppliedRevision>,
    stored_down: StoredDown<'a>,
    shell: Box<dyn Shell + 's>,
    script: String,
    open: Option<String>,
    /// What the open transaction changes in the version table, in words.
    changes: Vec<String>,
    checked: bool,
}

impl std::fmt::Debug for RecordingDriver<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingDriver").field("packages", &self.packages).finish_non_exhaustive()
    }
}

impl<'a, 's> RecordingDriver<'a, 's> {
    /// Starts a script for the `sqlite3` shell, for these packages and the history that it is to start from. What it does is
    /// done on the `shadow` too, a scratch database with the same schema, which knows the schema's hash.
    #[must_use]
    pub fn new(
        packages: &[&str],
        table: &str,
        history: &History,
        stored_down: StoredDown<'a>,
        shadow: Option<SqliteDriver<'s>>,
    ) -> Self {
        Self::for_shell(packages, history, stored_down, Box::new(Sqlite3::new(table, shadow)))
    }

    fn for_shell(
        packages: &[&str],
        history: &History,
        stored_down: StoredDown<'a>,
        shell: Box<dyn Shell + 's>,
    ) -> Self {
        Self {
            packages: packages.iter().map(|package| (*package).to_owned()).collect(),
            rows: history.rows().to_vec(),
            stored_down,
            shell,
            script: String::new(),
            open: None,
            changes: Vec::new(),
            checked: false,
        }
    }

    /// The whole script; empty where nothing has begun.
    #[must_use]
    pub fn into_script(self) -> String {
        let closing = if self.script.is_empty() { String::new() } else { self.shell.closing() };
        self.script + &closing
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            let target = self.open.as_mut().unwrap_or(&mut self.script);
            target.push_str(text);
            target.push('\n');
        }
    }

    fn of_revision(&self, package: &str, id: &RevisionId) -> String {
        format!("package = {} AND revision = {}", self.shell.text(package), self.shell.text(id.as_str()))
    }

    fn changed(&mut self, package: &str, id: &RevisionId, how: &str) {
        self.changes.push(format!("{}/{id} {how}", printable(package)));
    }

    /// A query that is true where the packages' rows are those that the script knows.
    fn same_history(&self) -> String {
        let (shell, table) = (&self.shell, self.shell.table());
        let among: Vec<String> = self.packages.iter().map(|package| shell.text(package)).collect();
        let among = format!("package IN ({})", among.join(", "));
        let rows = self.rows.iter().filter(|row| self.packages.contains(&row.package));
        let rows: Vec<String> = rows
            .map(|row| {
                let values = [&row.package, row.id.as_str(), &row.seal.to_string(), state_text(row.state)];
                format!("({})", values.map(|value| shell.text(value)).join(", "))
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
        query
    }
}

impl<'s> RecordingDriver<'_, 's> {
    fn shell(&mut self, says: impl FnOnce(&mut (dyn Shell + 's)) -> String) {
        let text = says(&mut *self.shell);
        self.write(&text);
    }
}

impl<'a> RecordingDriver<'a, 'static> {
    /// Starts a script for `psql`, for these packages and the history that it is to start from. The version table is
    /// `SCHEMA.TABLE`, or `TABLE` in the first schema of the search path of whoever runs the script, which waits for the
    /// runs of others as long as its first transaction is told to.
    #[must_use]
    pub fn for_server(packages: &[&str], version_table: &str, history: &History, stored_down: StoredDown<'a>) -> Self {
        Self::for_shell(packages, history, stored_down, Box::new(Psql::new(version_table)))
    }
}

impl Driver for RecordingDriver<'_, '_> {
    fn dialect(&self) -> Dialect {
        self.shell.dialect()
    }

    fn begin(
        &mut self,
        enforcement: Enforcement,
        wait: Duration,
        waiting: &mut dyn FnMut(),
    ) -> Result<(), DatabaseError> {
        if self.script.is_empty() {
            self.script = self.shell.opening(wait);
        }
        self.open = Some(String::new());
        self.checked = false;
        self.shell(|shell| shell.begin(enforcement, wait, waiting));
        Ok(())
    }

    fn commit(&mut self, wait: Duration) -> Result<(), DatabaseError> {
        let changes = std::mem::take(&mut self.changes);
        if self.open.is_some() {
            self.shell(|shell| shell.commit(&changes, wait));
        }
        self.script.push_str(&self.open.take().unwrap_or_default());
        Ok(())
    }

    fn rollback(&mut self) {
        self.open = None;
        self.changes.clear();
        self.shell.rollback();
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
        if !self.checked {
            self.checked = true;
            let history = self.same_history();
            self.shell(|shell| shell.ensure_table(&history));
        }
        Ok(())
    }

    fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError> {
        (self.stored_down)(package, id)
    }

    fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.shell(|shell| shell.statement(statement));
        Ok(())
    }

    /// A script does not know what rows it will meet.
    fn offending_rows(&mut self, _: &str, _: &DatabaseError) -> Vec<String> {
        Vec::new()
    }

    fn end_step(&mut self) -> Result<bool, DatabaseError> {
        let in_transaction = self.open.is_some();
        self.shell(|shell| shell.end_step(in_transaction));
        Ok(true)
    }

    fn verify(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        self.shell(|shell| shell.verify(query));
        Ok(None)
    }

    fn record(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError> {
        let parents: Vec<&str> = row.parents.iter().map(RevisionId::as_str).collect();
        let (shell, table) = (&self.shell, self.shell.table());
        let package = shell.text(&row.package);
        let values = [
            package.clone(),
            shell.text(row.id.as_str()),
            format!("(SELECT coalesce(max(sequence), 0) + 1 FROM {table})"),
            shell.text(&row.checksum.to_string()),
            shell.text(&row.statements.to_string()),
            shell.text(&row.seal.to_string()),
            shell.text(&parents.join(", ")),
            shell.text(&row.depends.join(", ")),
            shell.text(&row.directives.to_text()),
            shell.text(&row.message),
            format!("(SELECT count(*) + 1 FROM {table} WHERE package = {package})"),
            shell.text(state_text(row.state)),
            shell.now().to_owned(),
            "0".to_owned(),
            shell.text(&row.tool_version),
            "NULL".to_owned(),
            down.map_or_else(|| "NULL".to_owned(), |down| shell.text(down)),
        ];
        let insert = format!("INSERT INTO {table} ({COLUMNS}, down)\nVALUES ({});", values.join(", "));
        self.write(&insert);
        self.changed(&row.package, &row.id, state_text(row.state));
        let last = self.rows.iter().map(|row| row.sequence).max().unwrap_or(0);
        self.rows.push(AppliedRevision { sequence: last + 1, ..row.clone() });
        Ok(())
    }

    fn mark(&mut self, package: &str, id: &RevisionId, state: State, _elapsed_ms: i64) -> Result<(), StoreError> {
        let (table, of, state_word) = (self.shell.table(), self.of_revision(package, id), state_text(state));
        let sql = format!("UPDATE {table} SET state = '{state_word}' WHERE {of};");
        self.write(&sql);
        self.changed(package, id, state_word);
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
        let (shell, of) = (&self.shell, self.of_revision(package, id));
        let down = down.map_or_else(|| "NULL".to_owned(), |down| shell.text(down));
        let checksum = shell.text(&checksum.to_string());
        let sql = format!("UPDATE {} SET checksum = {checksum}, down = {down} WHERE {of};", shell.table());
        self.write(&sql);
        Ok(())
    }

    fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError> {
        let (table, position) = (self.shell.table(), self.shell.position());
        let (old, new) = (self.shell.text(old), self.shell.text(new));
        let sql = format!(
            "UPDATE {table} SET package = {new} WHERE package = {old};\n\
             UPDATE {table} SET depends = substr(replace(', ' || depends, ', ' || {old} || '/', ', ' || {new} || '/'), 3)\n\
             WHERE {position}(', ' || depends, ', ' || {old} || '/') > 0;"
        );
        self.write(&sql);
        Ok(())
    }

    fn forget(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {} WHERE {};", self.shell.table(), self.of_revision(package, id));
        self.write(&sql);
        self.changed(package, id, "removed");
        self.rows.retain(|row| row.package != package || row.id != *id);
        Ok(())
    }

    fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError> {
        for package in packages {
            let (table, package) = (self.shell.table(), self.shell.text(package));
            let sql = format!(
                "UPDATE {table} SET applied_count = (SELECT count(*) FROM {table} WHERE package = {package})\n\
                 WHERE package = {package} AND sequence = (SELECT max(sequence) FROM {table} WHERE package = {package});"
            );
            self.write(&sql);
        }
        self.shell(|shell| shell.finish());
        Ok(())
    }

    fn look_at_keys(&mut self, _rows: bool) -> Result<usize, StoreError> {
        self.shell(|shell| shell.before_keys());
        Ok(0)
    }

    fn newly_broken_keys(&mut self) -> Result<Vec<String>, StoreError> {
        self.shell(|shell| shell.after_keys());
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
