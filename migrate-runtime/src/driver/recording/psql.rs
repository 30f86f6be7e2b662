//! What `psql` wants, in version 10 or later, on a server of version 12 or later.
//!
//! What a script cannot know before it runs (the schema of the version table, the key of the lock, the session's settings)
//! it asks at its start and keeps in variables of psql's, out of reach of what a migration does to its session.

use std::time::Duration;

use build_support::token::{Dialect, TokenKind, tokens_of};

use super::shell::Shell;
use crate::driver::postgres_sql::{DEFERRED, LOCK, PLACELESS, is_held, lock_wait, patience, quoted, text};
use crate::driver::{Enforcement, VersionTable};
use crate::sqlite::create_table_text;

/// psql, and the name of the version table.
pub(super) struct Psql {
    table: VersionTable,
}

impl Psql {
    pub(super) fn new(version_table: &str) -> Self {
        Self { table: VersionTable::of(version_table) }
    }

    /// Asks where the version table is, for the key of its lock, which is the one that runs take, and for what a migration
    /// may change for its session.
    fn look_around(&self) -> String {
        let schema = self.table.schema.as_deref().map_or_else(|| "current_schema()::text".to_owned(), text);
        let table = text(&self.table.name);
        format!(
            "SELECT now() <> statement_timestamp() AS inside, place.schema IS NULL AS placeless,\n    \
             format('%I.%I', coalesce(place.schema, '-'), place.name) AS table, ('x' || left(encode(sha256(\n    \
             convert_to(E'{LOCK}\\n', 'UTF8') || parts.bytes), 'hex'), 16))::bit(64)::bigint AS key,\n    \
             pg_backend_pid() AS process, current_setting('search_path') AS path, current_setting('role') AS role,\n    \
             current_setting('standard_conforming_strings') AS strings\n\
             FROM (SELECT {schema} AS schema, {table}::text AS name) AS place, LATERAL (\n    \
             SELECT string_agg({LENGTH} || bytes, '' ORDER BY at) AS bytes\n    \
             FROM unnest(ARRAY[current_database()::text, place.schema, place.name]) WITH ORDINALITY AS part (name, at),\n    \
             convert_to(part.name, 'UTF8') AS bytes, octet_length(bytes) AS n) AS parts\n\
             \\gset cargo_migrate_"
        )
    }
}

/// The length `n` before a part of what is hashed: seven bits a byte, the lowest first, as `checksum` has it. No name here
/// takes three of these bytes.
const LENGTH: &str = "substr(set_byte(set_byte(decode('0000', 'hex'), 0, n & 127 | CASE WHEN n > 127 THEN 128 ELSE 0 END), \
    1, n >> 7), 1, CASE WHEN n > 127 THEN 2 ELSE 1 END)";

/// How psql has to stand for this script: whoever runs it may have set it otherwise.
const SETTINGS: &str = "\
\\set ON_ERROR_STOP on
\\set ON_ERROR_ROLLBACK off
\\set AUTOCOMMIT on
\\set SINGLELINE off
\\set QUIET on
\\unset FETCH_COUNT
\\pset pager off
\\encoding UTF8
";

/// Makes the statement that defers again what transactions defer unless they are told otherwise: it says that statement, or
/// NULL, which `\gexec` passes over, where nothing is.
fn defer() -> String {
    let statement = format!("SELECT 'SET CONSTRAINTS ' || {DEFERRED} || ' DEFERRED'");
    format!("\\set cargo_migrate_defer '{}'", statement.replace('\'', "''"))
}

/// Sets back what a migration may have changed for its session. The role first: it may have been given up for one that may
/// not come back by itself.
const RESTORE: &str = "SELECT set_config('role', :'cargo_migrate_role', false) AS role, \
    set_config('search_path', :'cargo_migrate_path', false) AS path \\gset cargo_migrate_";

/// Takes the lock. Between two attempts the transaction ends: one that lasts is in the way of another's
/// `CREATE INDEX CONCURRENTLY`.
fn lock(wait: Duration) -> String {
    let body = format!(
        "DECLARE
    key CONSTANT bigint := current_setting('cargo_migrate.key');
    patience CONSTANT timestamptz := clock_timestamp() + interval '{} milliseconds';
BEGIN
    WHILE NOT pg_try_advisory_lock(key) LOOP
        IF clock_timestamp() >= patience THEN
            RAISE lock_not_available USING MESSAGE = 'another session migrates this database',
                DETAIL = (SELECT format('It is process %s, `%s`.', l.pid, a.application_name) FROM pg_locks AS l
                    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
                    WHERE {} LIMIT 1),
                HINT = 'Run the script again once that is done.';
        END IF;
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END",
        wait.as_millis(),
        is_held("key")
    );
    format!(
        "SELECT set_config('cargo_migrate.key', :'cargo_migrate_key', false) AS key,\n    {}\n{}",
        same_process(),
        block(&body)
    )
}

/// Says whoever reads the script what its transactions are set to, which has nobody to try them again.
fn waits(wait: Duration) -> String {
    format!(
        "-- Who waits for the lock of a table that is in use makes all others wait that come after. So a statement of a\n\
         -- transaction waits {} ms at most, unless the session has a `lock_timeout`: then the script stops, what it had not\n\
         -- committed is rolled back, and it can be made and run again.",
        patience(wait)
    )
}

/// The last column of a query that fails where a pooler has given it to another process.
fn same_process() -> String {
    let moved = refuse(
        "moved",
        "this connection has come to another process of the server than the one that the script began in",
        "A pooler stands between: connect to the server itself, or to a pooler that keeps sessions.",
    );
    format!("pg_backend_pid() <> :cargo_migrate_process AS moved \\gset cargo_migrate_\n{moved}")
}

impl Shell for Psql {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn table(&self) -> &'static str {
        ":cargo_migrate_table"
    }

    fn text(&self, value: &str) -> String {
        text(value)
    }

    fn now(&self) -> &'static str {
        "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    }

    fn position(&self) -> &'static str {
        "strpos"
    }

    /// The strings of a `no-transaction` revision are read as all others, so that their rule is set for the session.
    fn opening(&self, wait: Duration) -> String {
        let inside = refuse(
            "inside",
            "this script has transactions of its own, and one is open",
            "Run it without `-1` and outside of any transaction.",
        );
        let placeless = refuse("placeless", PLACELESS, "Make the schema, or name one that is there.");
        format!(
            "{SETTINGS}{}\n\n{}\n{inside}\n{placeless}\n{}\nSET standard_conforming_strings = on;\n\n{}\n",
            defer(),
            self.look_around(),
            lock(wait),
            waits(wait)
        )
    }

    fn closing(&self) -> String {
        "\nSELECT pg_advisory_unlock(:cargo_migrate_key) AS unlocked,\n    \
         set_config('standard_conforming_strings', :'cargo_migrate_strings', false) AS strings \\gset cargo_migrate_\n"
            .to_owned()
    }

    /// The server enforces foreign keys itself, so that both ways are the same here.
    fn begin(&mut self, _: Enforcement, wait: Duration, _: &mut dyn FnMut()) -> String {
        format!(
            "\nBEGIN;\nSET LOCAL standard_conforming_strings = on;\nSELECT {} AS patience,\n    {}",
            lock_wait(wait),
            same_process()
        )
    }

    fn commit(&mut self, changes: &[String], _: Duration) -> String {
        if changes.is_empty() {
            return "COMMIT;".to_owned();
        }
        // In its single quotes psql reads backslashes, and nothing else but a quote.
        let told = changes.join(", ").replace('\\', "\\\\").replace('\'', "''");
        format!("COMMIT;\n\\echo 'committed: {told}'")
    }

    fn rollback(&mut self) {}

    fn ensure_table(&mut self, history: &str) -> String {
        let schema = self.table.schema.as_deref().map_or_else(String::new, |schema| {
            let quoted = quoted(schema);
            format!(
                "SELECT to_regnamespace({}) IS NULL AS missing \\gset cargo_migrate_\n\
                 \\if :cargo_migrate_missing\nCREATE SCHEMA {quoted};\n\\endif\n",
                text(&quoted)
            )
        });
        let table = create_table_text(self.table(), "BIGINT");
        let other = refuse(
            "other",
            "this database has another history than the one that this script starts from",
            "Make the script again, from this database or from one with its history.",
        );
        // To make a table that is there takes the right to make one, which a later run does not need.
        format!(
            "{schema}SELECT to_regclass(:'cargo_migrate_table') IS NULL AS missing \\gset cargo_migrate_\n\
             \\if :cargo_migrate_missing\n{table};\n\\endif\n\
             SELECT NOT (\n{history}\n) AS other \\gset cargo_migrate_\n{other}"
        )
    }

    fn statement(&mut self, statement: &str) -> String {
        let (body, ends) = as_psql_reads(statement);
        let end = match (ends, statement.ends_with(';')) {
            (true, true) => ";",
            (true, false) => "\n;",
            // It sends what stands before it, whatever psql takes for its end.
            (false, _) => "\n\\g",
        };
        format!("{body}{end}")
    }

    /// What would only be checked at the commit is checked in the revision that it is about.
    fn end_step(&mut self, in_transaction: bool) -> String {
        if in_transaction {
            format!("SET CONSTRAINTS ALL IMMEDIATE;\n{RESTORE}\n:cargo_migrate_defer \\gexec")
        } else {
            RESTORE.to_owned()
        }
    }

    /// The query is a part of another one, which tells the type of its first column; as it is to be materialized, nothing
    /// of it is left out. A savepoint that is rolled back takes away the protection with all else.
    fn verify(&mut self, query: &str) -> String {
        let query = dollar_quoted("query", &format!("\n{}\n", query.trim_end_matches(';')));
        let body = format!(
            "DECLARE
    answer record;
    kind oid;
BEGIN
    FOR answer IN EXECUTE 'WITH asked (cargo_migrate_first) AS MATERIALIZED (' || {query}
        || ') SELECT pg_typeof(cargo_migrate_first)::oid AS kind, cargo_migrate_first::text AS value FROM asked'
    LOOP
        kind := answer.kind;
        WHILE (SELECT typtype = 'd' FROM pg_type WHERE oid = kind) LOOP
            kind := (SELECT typbasetype FROM pg_type WHERE oid = kind);
        END LOOP;
        IF answer.value IS NULL OR NOT (CASE
            WHEN kind = 'boolean'::regtype THEN answer.value::boolean
            WHEN kind IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype)
                THEN answer.value::numeric <> 0
            WHEN kind IN ('real'::regtype, 'double precision'::regtype) THEN answer.value::double precision <> 0
            ELSE false
        END) THEN
            RAISE EXCEPTION USING MESSAGE = 'what the migration verifies does not hold',
                DETAIL = format('It gave %s of the type %s.', coalesce(left(answer.value, 80), 'NULL'), kind::regtype);
        END IF;
    END LOOP;
END"
        );
        format!(
            "SAVEPOINT cargo_migrate_verify;\nSET LOCAL transaction_read_only = on;\n{}\n\
             ROLLBACK TO SAVEPOINT cargo_migrate_verify;\nRELEASE SAVEPOINT cargo_migrate_verify;",
            block(&body)
        )
    }
}

/// A text between two tags that do not stand in it.
fn dollar_quoted(word: &str, body: &str) -> String {
    let tag = |number: usize| if number == 0 { format!("${word}$") } else { format!("${word}_{number}$") };
    let free = (0..).map(tag).find(|tag| !body.contains(tag.as_str())).unwrap_or_default();
    format!("{free}{body}{free}")
}

fn block(body: &str) -> String {
    format!("DO {};", dollar_quoted("cargo_migrate", &format!("\n{body}\n")))
}

/// Fails with these words where a variable says so.
fn refuse(variable: &str, message: &str, hint: &str) -> String {
    let raise = format!("BEGIN\n    RAISE EXCEPTION USING MESSAGE = {}, HINT = {};\nEND", text(message), text(hint));
    format!("\\if :cargo_migrate_{variable}\n{}\n\\endif", block(&raise))
}

/// A statement without its semicolon, in which psql finds no variable, and whether it ends for psql at the semicolon.
///
/// psql puts a variable's value in place of `:name`, `:'name'` and `:"name"` outside of literals, as in `a[1:user]`; a space
/// behind the colon means nothing to the server. And it takes each `begin` in a `CREATE FUNCTION` for that of a body
/// (<https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-INTERPOLATION>).
fn as_psql_reads(statement: &str) -> (String, bool) {
    let mut read = String::with_capacity(statement.len());
    let (mut ends, mut colons) = (true, 0_usize);
    let tokens: Vec<_> = tokens_of(Dialect::Postgres, statement).collect();
    let last = tokens.iter().rposition(|token| token.kind.counts());
    for (at, token) in tokens.iter().enumerate() {
        let piece = &statement[token.span.clone()];
        if token.kind == TokenKind::Semicolon && Some(at) == last {
            break;
        }
        // Two of them are a cast, which psql knows.
        if colons % 2 == 1 && token.kind != TokenKind::Space {
            read.push(' ');
        }
        let trailing = piece.len() - piece.trim_end_matches(':').len();
        colons = match token.kind {
            TokenKind::Mark if trailing == piece.len() => colons + trailing,
            TokenKind::Mark => trailing,
            _ => 0,
        };
        ends &= !(token.kind == TokenKind::Word && piece.eq_ignore_ascii_case("begin"));
        read.push_str(piece);
    }
    (read, ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_is_followed_by_no_name_that_psql_could_know() {
        for (statement, read) in [
            ("SELECT a[1:user];", "SELECT a[1: user]"),
            ("SELECT a[1:\"USER\"], b[x:'1'::int]", "SELECT a[1: \"USER\"], b[x: '1'::int]"),
            ("SELECT f(a := 1, b:=2), c::int", "SELECT f(a := 1, b:=2), c::int"),
            ("SELECT ':user', \":user\", $$:user$$ -- :user", "SELECT ':user', \":user\", $$:user$$ -- :user"),
            ("SELECT a[:HOST]", "SELECT a[: HOST]"),
            ("SELECT a[1::int:HOST]", "SELECT a[1::int: HOST]"),
        ] {
            assert_eq!(as_psql_reads(statement), (read.to_owned(), true));
        }
    }

    #[test]
    fn a_name_that_psql_takes_for_a_body_is_sent_by_its_own_command() {
        let mut psql = Psql::new("m");
        assert_eq!(psql.statement("CREATE FUNCTION begin() AS 'x';"), "CREATE FUNCTION begin() AS 'x'\n\\g");
        assert_eq!(psql.statement("SELECT 'begin';"), "SELECT 'begin';");
        assert_eq!(psql.statement("SELECT 1"), "SELECT 1\n;");
    }

    #[test]
    fn a_body_is_closed_by_nothing_that_stands_in_it() {
        assert_eq!(dollar_quoted("q", " $q$ $q_1$ "), "$q_2$ $q$ $q_1$ $q_2$");
    }
}
