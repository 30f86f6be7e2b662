//! Statements with what they can lose.

use super::*;

/// The verdicts in short: nothing, the tables, or `?` for what may do anything.
fn told(statement: &str) -> String {
    let short = |verdict: Verdict| match verdict {
        Verdict::Harmless => "-".to_owned(),
        Verdict::Table { name, what } => what.replace("{}", &name),
        Verdict::Filled(name) => format!("+ {name}"),
        Verdict::Anything(_) => "?".to_owned(),
    };
    of(statement).into_iter().map(short).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_is_known_to_lose_nothing() {
    for statement in [
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, price numeric(10, 2) DEFAULT f());",
        "CREATE UNLOGGED TABLE IF NOT EXISTS s.t (x int)",
        "CREATE TABLE t AS SELECT lower(x) FROM other",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (lower(title))",
        "CREATE OR REPLACE VIEW v AS SELECT f(x) FROM t",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; END $$",
        "CREATE TYPE mood AS ENUM ('sad')",
        "CREATE EXTENSION IF NOT EXISTS citext",
        "ALTER TABLE t ADD COLUMN x int NOT NULL DEFAULT 0, ADD CONSTRAINT c CHECK (x > 0)",
        "ALTER TABLE ONLY s.t VALIDATE CONSTRAINT c",
        "ALTER TABLE t ALTER COLUMN x SET DEFAULT 5, ALTER x DROP NOT NULL, DROP CONSTRAINT c CASCADE",
        "ALTER TABLE t RENAME COLUMN x TO y",
        "ALTER TYPE mood ADD VALUE 'glad' AFTER 'sad'",
        "ALTER SEQUENCE q RESTART WITH 5",
        "COMMENT ON TABLE t IS 'DROP TABLE t'",
        "GRANT DELETE ON t TO reader",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "DROP VIEW v CASCADE",
        "DROP FUNCTION f(int)",
        "DROP TRIGGER r ON t",
        "DROP TYPE mood",
        "DROP SCHEMA s",
        "SELECT 1",
        "/* first */ SELECT count(*), coalesce(max(id), 0) FROM t WHERE x IN (1, 2)",
        "SET LOCAL lock_timeout = '1s'",
        "DISCARD PLANS",
        "discard temp",
        "DEALLOCATE ALL",
        "CLOSE c",
        "UNLISTEN *",
        "SELECT md5(repeat('x', 3)), translate(reverse('ab'), 'a', 'b')",
    ] {
        assert_eq!(told(statement).trim_matches(['-', ';', ' ']), "", "{statement}");
    }
}

#[test]
fn what_can_lose_rows_of_a_table_that_it_names() {
    for (statement, expected) in [
        ("DROP TABLE IF EXISTS todos, s.\"Odd one\" CASCADE", "`todos` is dropped; `s.\"Odd one\"` is dropped"),
        ("ALTER TABLE IF EXISTS ONLY todos DROP COLUMN IF EXISTS x, ADD y int", "`todos.x` is dropped"),
        ("ALTER TABLE todos DROP x", "`todos.x` is dropped"),
        ("ALTER TABLE todos ALTER \"X\" TYPE int USING x::int", "`todos.X` gets another type"),
        ("alter table todos alter column x set data type text", "`todos.x` gets another type"),
        ("TRUNCATE todos, notes", "all rows of `todos` are deleted; all rows of `notes` are deleted"),
        ("DELETE FROM ONLY todos WHERE id = 1", "rows of `todos` are deleted"),
        ("UPDATE s.todos AS t SET x = 1", "rows of `s.todos` are changed"),
        ("MERGE INTO todos USING x ON true WHEN MATCHED THEN DELETE", "rows of `todos` are changed or deleted"),
        ("INSERT INTO todos VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1", "rows of `todos` are changed"),
        ("INSERT INTO todos (id, x) VALUES (1, lower('A')) ON CONFLICT (id) DO NOTHING", "+ todos"),
        ("INSERT INTO todos SELECT * FROM old", "+ todos"),
    ] {
        assert_eq!(told(statement), expected, "{statement}");
    }
}

#[test]
fn what_is_not_known_may_do_anything() {
    for statement in [
        "DO $$ BEGIN DELETE FROM t; END $$",
        "CALL tidy_up()",
        "SELECT tidy_up()",
        "SELECT app.count(*) FROM t",
        "SELECT set_config('search_path', 'x', false)",
        "INSERT INTO t SELECT tidy_up()",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM gone",
        "CREATE TABLE t AS SELECT tidy_up()",
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD DELETE FROM t",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
        "DROP SCHEMA s CASCADE",
        "DROP TYPE mood CASCADE",
        "DROP EXTENSION citext CASCADE",
        "DROP OWNED BY me",
        "DROP DATABASE x",
        "TRUNCATE todos CASCADE",
        "ALTER TYPE pair DROP ATTRIBUTE a",
        "ALTER TABLE todos ALTER x SET EXPRESSION AS (y)",
        "ALTER EXTENSION citext UPDATE",
        "COPY t FROM '/tmp/x'",
        "EXECUTE prepared",
        "EXPLAIN ANALYZE DELETE FROM t",
        "NEW words",
        "",
    ] {
        assert_eq!(told(statement), "?", "{statement}");
    }
}

#[test]
fn a_name_that_is_given_to_another_table_tells_nothing_of_its_rows() {
    for statement in [
        "ALTER TABLE todos RENAME TO old",
        "ALTER TABLE todos SET SCHEMA archive",
        "SET LOCAL search_path TO other",
        "RESET ALL",
        "ALTER TABLE todos ATTACH PARTITION p DEFAULT",
    ] {
        assert!(moves_names(statement), "{statement}");
    }
    for statement in ["ALTER TABLE todos ADD x int", "SET LOCAL lock_timeout = 1", "CREATE SCHEMA s"] {
        assert!(!moves_names(statement), "{statement}");
    }
}
