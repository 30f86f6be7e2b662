//! What the `sqlite3` shell wants: `.bail on`, statements that end where it ends them, and checks as CHECK constraints.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use build_support::token::Dialect;

use super::shell::Shell;
use crate::connection::Value;
use crate::driver::sqlite::SqliteDriver;
use crate::driver::{Driver as _, Enforcement};
use crate::sqlite::{StoreError, create_table_sql, quoted};

/// The shell, and a scratch database with the same schema, on which everything is done too: it knows the schema's hash.
pub(super) struct Sqlite3<'s> {
    unquoted: String,
    table: String,
    shadow: Option<SqliteDriver<'s>>,
    keys: bool,
}

impl<'s> Sqlite3<'s> {
    pub(super) fn new(table: &str, shadow: Option<SqliteDriver<'s>>) -> Self {
        Self { unquoted: table.to_owned(), table: quoted(table), shadow, keys: false }
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

impl Shell for Sqlite3<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn table(&self) -> &str {
        &self.table
    }

    fn text(&self, value: &str) -> String {
        // The shell stops reading a statement at no character that may stand in a literal but NUL, which no text here has.
        format!("'{}'", value.replace('\'', "''"))
    }

    fn now(&self) -> &'static str {
        "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
    }

    fn position(&self) -> &'static str {
        "instr"
    }

    fn opening(&self, _: Duration) -> String {
        String::from(".bail on\n")
    }

    fn begin(&mut self, enforcement: Enforcement, wait: Duration, waiting: &mut dyn FnMut()) -> String {
        let on = if enforcement == Enforcement::Immediate { "ON" } else { "OFF" };
        self.keys = false;
        self.shadowed(|shadow| Ok(shadow.begin(enforcement, wait, waiting)?));
        format!("\nPRAGMA foreign_keys = {on};\nBEGIN IMMEDIATE;")
    }

    fn commit(&mut self, _: &[String], wait: Duration) -> String {
        self.shadowed(|shadow| Ok(shadow.commit(wait)?));
        "COMMIT;".to_owned()
    }

    fn rollback(&mut self) {
        if let Some(shadow) = &mut self.shadow {
            shadow.rollback();
        }
    }

    fn ensure_table(&mut self, history: &str) -> String {
        self.shadowed(|shadow| shadow.ensure_table());
        let check =
            assertion("this database has another history than the one that this script starts from", 1, history);
        format!("{};\n{check}", create_table_sql(&self.unquoted))
    }

    fn statement(&mut self, statement: &str) -> String {
        self.shadowed(|shadow| Ok(shadow.execute(statement)?));
        let end = if statement.ends_with(';') { "" } else { "\n;" };
        format!("{}{end}", guard_lines(statement))
    }

    fn verify(&mut self, query: &str) -> String {
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
        assertion("what the migration verifies does not hold", columns, query)
    }

    fn finish(&mut self) -> String {
        let hash = self.shadowed(|shadow| shadow.store().schema_hash());
        let hash = hash.map_or_else(|| "NULL".to_owned(), |hash| self.text(&hash));
        let table = &self.table;
        format!("UPDATE {table} SET schema_hash = {hash} WHERE sequence = (SELECT max(sequence) FROM {table});")
    }

    fn before_keys(&mut self) -> String {
        if std::mem::replace(&mut self.keys, true) {
            return String::new();
        }
        format!(
            "CREATE TEMP TABLE _cargo_migrate_rows AS {BROKEN_ROWS};\n\
             CREATE TEMP TABLE _cargo_migrate_references AS {BROKEN_REFERENCES};"
        )
    }

    fn after_keys(&mut self) -> String {
        if !std::mem::take(&mut self.keys) {
            return String::new();
        }
        let query = format!(
            "SELECT NOT EXISTS (SELECT 1 FROM (SELECT *, 1 AS n FROM ({BROKEN_ROWS}) \
             UNION ALL SELECT *, -1 FROM temp._cargo_migrate_rows)\n    \
             GROUP BY \"table\", row, parent, columns HAVING sum(n) > 0)\n  \
             AND NOT EXISTS ({BROKEN_REFERENCES} EXCEPT SELECT * FROM temp._cargo_migrate_references)"
        );
        let check = assertion("this would leave references that point to nothing", 1, &query);
        format!("{check}\nDROP TABLE temp._cargo_migrate_rows;\nDROP TABLE temp._cargo_migrate_references;")
    }
}

/// A statement that fails with `what` unless each row that `query` gives starts with a true number.
fn assertion(what: &str, columns: usize, query: &str) -> String {
    let more: String = (2..=columns).fold(String::new(), |mut more, column| {
        let _ = write!(more, ", c{column}");
        more
    });
    let query = query.trim_end_matches(';');
    format!(
        "CREATE TEMP TABLE _cargo_migrate_check (ok{more}, CONSTRAINT {} CHECK (typeof(ok) IN ('integer', 'real') AND ok <> 0));\n\
         INSERT INTO temp._cargo_migrate_check\n{}\n;\nDROP TABLE temp._cargo_migrate_check;",
        quoted(what),
        guard_lines(query)
    )
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
