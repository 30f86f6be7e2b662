//! Version tables that a session does not look into: which schema is the first of its search path hangs on what others make.

use super::session::Session;
use super::text;
use crate::connection::DatabaseError;
use crate::history::Found;

/// The name that a version table has unless it is told otherwise.
const USUAL: &str = "_cargo_migrate";

/// How many of them are looked into.
const MOST: usize = 10;

/// The question for the rows of all version tables that this role may read, as an expression; NULL where there are none, and
/// where the session's search path was chosen for it: then each schema may well have a history of its own.
///
/// A table that lacks the columns was made by somebody else.
pub(super) fn question(table: &str) -> String {
    let (table, usual) = (text(table), text(USUAL));
    format!(
        "CASE WHEN (SELECT s.source FROM pg_catalog.pg_settings AS s WHERE s.name = 'search_path') \
         NOT IN ('session', 'client') THEN (SELECT pg_catalog.string_agg(t.sql, ' UNION ALL ') FROM (\
         SELECT pg_catalog.format('SELECT %1$L::text, %2$L::text, package::text, pg_catalog.count(*) FROM %1$I.%2$I \
         GROUP BY package', n.nspname, c.relname) FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relname IN ({table}, {usual}) AND c.relkind IN ('r', 'p') AND pg_catalog.left(n.nspname, 3) <> 'pg_' \
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') \
         AND 2 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS a \
         WHERE a.attrelid = c.oid AND a.attname IN ('package', 'revision')) \
         ORDER BY n.nspname <> 'public', n.nspname LIMIT {MOST}) AS t (sql)) END"
    )
}

/// What such a question is answered with.
pub(super) fn found(session: &mut Session<'_>, question: &str) -> Result<Vec<Found>, DatabaseError> {
    let found = session.rows(question)?.into_iter().filter_map(|row| {
        let [schema, table, package, revisions]: [Option<String>; 4] = row.try_into().ok()?;
        Some(Found { table: [schema?, table?], package: package?, revisions: revisions?.parse().ok()? })
    });
    Ok(found.collect())
}
