//! The end of a revision: what waits for its check is checked, and the session is as the next revision expects it.
//!
//! What can be deferred is asked of the server's list of constraints, which costs more than most statements do. So it is
//! asked once a transaction, and then only after a revision that has made or changed triggers, which do such checks. While
//! nothing can be deferred, all that is asked at a revision's end cannot fail, and stands in one message with its last
//! statement.

use super::{MARK, PostgresDriver, SETTINGS, server};
use crate::connection::DatabaseError;
use crate::driver::postgres_sql::DEFERRED;

/// How many triggers a transaction has added and changed, as the server says it.
type Changes = [Option<String>; 2];

/// What is known of the constraints that can wait for their check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Deferral {
    /// Nothing yet.
    #[default]
    Unknown,
    /// That there are none, as long as the transaction has changed the list of triggers so often.
    Impossible(Changes),
    /// That there are some.
    Possible,
}

impl Deferral {
    /// What is known when a transaction begins: on what is no PostgreSQL, nothing counts the changes.
    pub(super) fn of(version: &str) -> Self {
        if server::is_plain(version) { Self::Unknown } else { Self::Possible }
    }
}

/// What is asked at the end of a revision: the transaction's mark, the settings, how often the list of triggers has
/// been changed, and what can be deferred.
pub(super) type End = [Option<String>; 7];

/// How often the transaction has changed the list of triggers, the relation 2620 of every PostgreSQL, whoever did it: a
/// statement, a function or a trigger. A row that it takes back counts as well
/// (<https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS>). A check that can wait is a
/// trigger's, that of a key too; a key whose check cannot wait has none.
const CHANGES: &str =
    "pg_catalog.pg_stat_get_xact_tuples_inserted(2620), pg_catalog.pg_stat_get_xact_tuples_updated(2620)";

/// Whether there can be a constraint that waits for its check. Where the server does not count, nobody knows.
const DEFERRABLE: &str = "pg_catalog.current_setting('track_counts') <> 'on' \
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.condeferrable)";

/// The statements that set nothing for the session, and give no rows, which would have to be kept until the answer behind them
/// has come.
const SILENT: [&str; 10] =
    ["ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "REVOKE", "TRUNCATE", "UPDATE"];

/// How long a statement may be, in bytes: a longer one costs more than the round trip that a message of its own takes.
const LONGEST: usize = 64 * 1024;

/// Whether a statement is one of these, by the word that it starts with.
fn is_silent(statement: &str) -> bool {
    let word = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    SILENT.iter().any(|silent| silent.eq_ignore_ascii_case(word))
}

/// Whether more can stand behind a statement in the same message: it is ended, and gives no rows.
fn takes_more(statement: &str) -> bool {
    const ROWS: &[u8] = b"RETURNING";
    statement.len() <= LONGEST
        && statement.ends_with(';')
        && is_silent(statement)
        && !statement.as_bytes().windows(ROWS.len()).any(|piece| piece.eq_ignore_ascii_case(ROWS))
}

impl PostgresDriver<'_> {
    /// Runs a statement by itself. One that may set anything for the session can also stop the server from counting.
    pub(super) fn execute_alone(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.end = None;
        if self.deferral != Deferral::Possible && !is_silent(statement) {
            self.deferral = Deferral::Unknown;
        }
        self.session.run(statement)
    }

    /// Runs the last statement of a revision, and asks what is asked at its end in the same message where an error of that
    /// message can only be the statement's own.
    pub(super) fn execute_before_end(&mut self, statement: &str) -> Result<(), DatabaseError> {
        if self.open && matches!(self.deferral, Deferral::Impossible(_)) && takes_more(statement) {
            self.end = Some(self.session.row_behind(statement, &self.end_question())?);
            return Ok(());
        }
        self.execute_alone(statement)
    }

    fn end_question(&self) -> String {
        let (changes, deferral) = match self.deferral {
            Deferral::Unknown => (CHANGES, DEFERRABLE),
            Deferral::Impossible(_) => (CHANGES, "NULL"),
            Deferral::Possible => ("NULL, NULL", DEFERRED),
        };
        format!(
            "SET CONSTRAINTS ALL IMMEDIATE; \
             SELECT {MARK}, {SETTINGS}, {changes}, {deferral}"
        )
    }

    /// Ends a revision in the run's transaction; false where that turns out to have been ended.
    pub(super) fn end_revision(&mut self) -> Result<bool, DatabaseError> {
        let [mark, path, role, encoding, added, changed, answer] = match self.end.take() {
            Some(end) => end,
            None => self.session.row(&self.end_question())?,
        };
        if mark != self.mark {
            // Another one may have been begun, which the run's end rolls back.
            return Ok(false);
        }
        self.restore(&[path, role, encoding])?;
        if let Some(deferred) = self.deferred([added, changed], answer)? {
            self.session.run(&format!("SET CONSTRAINTS {deferred} DEFERRED"))?;
        }
        Ok(true)
    }

    /// The constraints that are to be deferred again.
    fn deferred(&mut self, changes: Changes, answer: Option<String>) -> Result<Option<String>, DatabaseError> {
        let any = match &self.deferral {
            Deferral::Possible => return Ok(answer),
            Deferral::Impossible(before) if *before == changes => return Ok(None),
            Deferral::Impossible(_) => {
                self.session.row::<1>(&format!("SELECT {DEFERRABLE}"))? != [Some("f".to_owned())]
            }
            Deferral::Unknown => answer.as_deref() != Some("f"),
        };
        if !any {
            self.deferral = Deferral::Impossible(changes);
            return Ok(None);
        }
        self.deferral = Deferral::Possible;
        let [deferred] = self.session.row(&format!("SELECT {DEFERRED}"))?;
        Ok(deferred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ended_and_gives_no_rows_has_more_behind_it() {
        for statement in
            ["INSERT INTO t VALUES (1);", "create table t (a int);", "Drop TABLE t;", "COMMENT ON TABLE t IS '';"]
        {
            assert!(takes_more(statement), "{statement}");
        }
        let long = format!("INSERT INTO t VALUES ('{}');", "a".repeat(LONGEST));
        for statement in [
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (1) returning *;",
            "SELECT 1;",
            "WITH a AS (DELETE FROM t) SELECT * FROM a;",
            "TABLE t;",
            "SET search_path = a;",
            "DO $$ BEGIN END $$;",
            "COPY t TO '/dev/null';",
            "INSERTED;",
            "",
            long.as_str(),
        ] {
            assert!(!takes_more(statement), "{statement}");
        }
    }
}
