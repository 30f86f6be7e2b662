//! What a run on a server and a script for one say alike, as SQL: names and texts, the run's lock, what is deferred.
//!
//! It names `pg_catalog`: a search path may have somebody's own functions before the server's.

use std::time::Duration;

/// What the key of a run's lock is a hash of, before the names of the database, the schema and the version table.
pub(super) const LOCK: &str = "cargo-migrate lock 1";

/// Why a version table without a schema of its own cannot be had.
pub(super) const PLACELESS: &str = "the search path names no schema that is there, so the version table has no place";

/// The constraints that a transaction defers unless it is told otherwise, as a list; NULL where there are none. What
/// SET CONSTRAINTS would refuse is left out: a name that also belongs to one that cannot be deferred, and a schema that is
/// none of this role's business.
pub(super) const DEFERRED: &str = "(SELECT \
    pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') \
    FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace \
    WHERE c.condeferred AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS o \
    WHERE o.conname = c.conname AND o.connamespace = c.connamespace AND NOT o.condeferrable))";

/// Which of the server's locks `l` are held ones of a key, as a condition. The key is a `bigint` as SQL.
pub(super) fn is_held(key: &str) -> String {
    format!(
        "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.classid::bigint = ({key} >> 32) & 4294967295 AND l.objid::bigint = {key} & 4294967295 \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    )
}

/// How long a statement of a run waits for a lock where the session does not say. Who waits for a table's strongest lock
/// stands before all that come after it, so that nobody can use the table meanwhile: the run lets them by, and tries again.
const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(3);

/// How long that is of a run that waits so long for others: at least a millisecond, since 0 is for ever.
pub(super) fn patience(wait: Duration) -> u128 {
    wait.min(LONGEST_LOCK_WAIT).as_millis().max(1)
}

/// A column that sets it for the transaction that is open, unless the session says how long; no longer than the run waits.
pub(super) fn lock_wait(wait: Duration) -> String {
    // A server takes no longer one, and by 0 it would wait for ever.
    let most = wait.as_millis().clamp(1, 2_147_483_647);
    format!(
        "CASE WHEN pg_catalog.current_setting('lock_timeout') = '0' \
         THEN pg_catalog.set_config('lock_timeout', '{}ms', true) \
         WHEN pg_catalog.current_setting('lock_timeout')::interval > '{most}ms'::interval \
         THEN pg_catalog.set_config('lock_timeout', '{most}ms', true) END",
        patience(wait)
    )
}

/// A name as SQL.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL, whatever `standard_conforming_strings` and `backslash_quote` are set to.
#[must_use]
pub fn text(value: &str) -> String {
    let prefix = if value.contains('\\') { "E" } else { "" };
    format!("{prefix}'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_closed_by_nothing_that_stands_in_them() {
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("a\\'b"), "E'a\\\\''b'");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
