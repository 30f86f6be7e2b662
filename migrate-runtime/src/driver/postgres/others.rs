//! What other sessions hold, and what they have left behind.

use build_support::problem::printable;

use super::session::{Session, Texts};
use super::{quoted, text};
use crate::connection::DatabaseError;

/// How many sessions are named.
const SHOWN: usize = 5;

/// The sessions that hold a lock on what a statement names, the oldest transaction first; where it names nothing that is
/// held, those that hold anything. Which one it was that the statement waited for is known to nobody once it has ended.
pub(super) fn holders(session: &mut Session<'_>, statement: &str) -> Vec<String> {
    let rows = session.rows(&format!(
        "SELECT l.pid, a.application_name, a.state, \
         pg_catalog.date_part('epoch', pg_catalog.now() - a.xact_start)::bigint, \
         pg_catalog.string_agg(DISTINCT c.relname, ', '), n.named FROM pg_catalog.pg_locks AS l \
         JOIN pg_catalog.pg_class AS c ON c.oid = l.relation \
         CROSS JOIN LATERAL (SELECT pg_catalog.strpos(pg_catalog.lower({}), pg_catalog.lower(c.relname)) > 0) AS n (named) \
         LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
         WHERE l.locktype = 'relation' AND l.granted AND c.oid >= 16384 AND c.relkind <> 'i' \
         AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND l.database = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         GROUP BY 1, 2, 3, 4, 6 ORDER BY 6 DESC, 4 DESC NULLS LAST LIMIT {SHOWN}",
        text(statement)
    ));
    let rows = rows.unwrap_or_default();
    let named = rows.first().is_some_and(is_named);
    rows.iter().filter(|row| is_named(row) == named).map(line).collect()
}

/// The statements that remove the indexes that nobody can use and nobody is building: what an interrupted
/// `CREATE INDEX CONCURRENTLY` or `REINDEX CONCURRENTLY` leaves
/// (<https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>).
///
/// The index that a session of another role is building cannot be seen, so that while there is such a session none is told.
/// One of a partitioned table is not valid until it has a part for each partition, which is nobody's mistake.
pub(super) fn invalid_indexes(session: &mut Session<'_>) -> Result<Vec<String>, DatabaseError> {
    let rows = session.rows(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_index AS i \
         JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND pg_catalog.left(n.nspname, 3) <> 'pg_' \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p \
         WHERE p.datname = pg_catalog.current_database() AND (p.index_relid = i.indexrelid OR p.relid IS NULL)) \
         ORDER BY 1, 2",
    )?;
    let drop = |row: Texts| {
        let mut names = row.into_iter().map(|name| quoted(&name.unwrap_or_default()));
        let (schema, name) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
        format!("DROP INDEX CONCURRENTLY {schema}.{name};")
    };
    Ok(rows.into_iter().map(drop).collect())
}

fn is_named(row: &Texts) -> bool {
    row.last().and_then(Option::as_deref) == Some("t")
}

fn line(row: &Texts) -> String {
    let value = |at: usize| row.get(at).and_then(Option::as_deref).filter(|value| !value.is_empty()).map(printable);
    let holds = value(4).unwrap_or_default();
    let Some(process) = value(0) else {
        return format!("a prepared transaction holds `{holds}`: see `SELECT * FROM pg_prepared_xacts;`");
    };
    let name = value(1).map(|name| format!(" (`{name}`)")).unwrap_or_default();
    let state = value(2).map(|state| format!(", {state}")).unwrap_or_default();
    let age = value(3).map(|seconds| format!(", in a transaction of {seconds} s")).unwrap_or_default();
    format!("process {process}{name}{state}{age}, holds `{holds}`; `SELECT pg_terminate_backend({process});` ends it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_what_can_be_seen_of_it() {
        let row = |values: [Option<&str>; 6]| values.map(|value| value.map(str::to_owned)).to_vec();
        assert_eq!(
            line(&row([Some("7"), Some("psql"), Some("idle in transaction"), Some("12"), Some("a, b"), Some("t")])),
            "process 7 (`psql`), idle in transaction, in a transaction of 12 s, holds `a, b`; \
             `SELECT pg_terminate_backend(7);` ends it"
        );
        // Of another role's session a user sees the process alone, and a prepared transaction has none.
        let hidden = line(&row([Some("7"), Some(""), None, None, Some("a"), Some("t")]));
        assert_eq!(hidden, "process 7, holds `a`; `SELECT pg_terminate_backend(7);` ends it");
        assert!(line(&row([None, None, None, None, Some("a"), Some("t")])).contains("pg_prepared_xacts"));
    }
}
