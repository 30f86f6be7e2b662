//! What PostgreSQL reads in its own way, and what one transaction cannot hold.

use std::time::Duration;

use migrate_runtime::migrations::Error;
use migrate_runtime::runner::{FORBIDDEN_STATEMENT, SQL_ERROR, TRANSACTION_ENDED};

use crate::locks::run;
use crate::running::{Texts, USERS, embedded};
use crate::server::{Database, Server};

crate::tests![
    functions_triggers_rules_and_nested_comments_are_read_as_the_server_reads_them,
    strings_are_read_alike_whatever_the_server_is_set_to,
    what_only_psql_understands_is_refused_with_its_line,
    a_deferred_constraint_fails_in_the_revision_that_breaks_it,
    rows_that_wait_for_their_check_do_not_stand_in_the_next_revisions_way,
    what_a_statement_does_unseen_is_known_at_the_end_of_its_revision,
    what_another_role_defers_is_none_of_this_ones_business,
    a_value_of_an_enum_is_used_once_it_is_committed,
    what_one_transaction_cannot_hold_goes_through_where_each_revision_is_committed,
    settings_of_the_session_are_as_before,
    the_version_table_is_in_the_first_schema_of_the_search_path,
];

/// Upgrades with one more revision of this text.
fn upgrade(database: &Database<'_>, text: &str) -> Result<(), Error> {
    upgrade_all(database, &[text])
}

fn upgrade_all(database: &Database<'_>, texts: &[&str]) -> Result<(), Error> {
    let more = texts.iter().enumerate().map(|(at, text)| {
        let (id, text): (&str, &str) = (format!("b{at}").leak(), (*text).to_owned().leak());
        (id, text)
    });
    let texts: Vec<_> = std::iter::once(USERS).chain(more).collect();
    embedded("app", texts.leak()).upgrade(&mut database.connect()).map(|_| ())
}

#[track_caller]
fn tells(error: &Error, words: &[&str]) {
    let told = error.to_string();
    for word in words {
        assert!(told.contains(word), "`{word}` is not in\n{told}");
    }
}

fn functions_triggers_rules_and_nested_comments_are_read_as_the_server_reads_them(server: &Server) {
    let database = server.database();
    let text = "-- migrate:up
/* outer; /* inner; */ still a comment; */
CREATE TABLE log (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO log VALUES ('one; ''two''' || $$ three; $$);
    RETURN new;
END;
$body$;
CREATE TRIGGER noted AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN n > 0 THEN 2 * n END; END;
CREATE RULE kept AS ON DELETE TO log DO INSTEAD (SELECT 1; SELECT 2);
INSERT INTO users VALUES (1, E'it\\'s; \\\\'), (2, (ARRAY['x]y', ';'])[1]);
DO $$ BEGIN PERFORM twice(1); END $$;
";
    upgrade(&database, text).unwrap();
    assert_eq!(database.ask("SELECT string_agg(what, '|') FROM log"), "one; 'two' three; |one; 'two' three; ");
    assert_eq!(database.ask("SELECT string_agg(name, '|' ORDER BY id) FROM users"), "it's; \\|x]y");
    assert_eq!(database.ask("SELECT twice(21)"), "42");
}

fn strings_are_read_alike_whatever_the_server_is_set_to(server: &Server) {
    let database = server.database();
    for setting in ["standard_conforming_strings", "backslash_quote"] {
        let off = format!("ALTER DATABASE {} SET {setting} = off", database.name);
        database.connect().batch_execute(&off).unwrap();
    }
    upgrade(&database, "-- it's \\ a message\n-- migrate:up\nINSERT INTO users VALUES (1, 'a\\');\nINSERT INTO users VALUES (2, 'b');\n").unwrap();
    assert_eq!(database.ask("SELECT string_agg(name, '|' ORDER BY id) FROM users"), "a\\|b");
    assert_eq!(database.ask("SELECT message FROM _cargo_migrate WHERE revision = 'b0'"), "it's \\ a message");
}

fn what_only_psql_understands_is_refused_with_its_line(server: &Server) {
    let database = server.database();
    for (text, words) in [
        ("-- migrate:up\nSELECT 1;\n\\d users\n", &["`\\d`", "b0.sql:3:1", "psql", "help: "][..]),
        (
            "-- migrate:up\nSELECT 1;\nCOPY users FROM stdin;\n1\ta\n\\.\n",
            &["COPY FROM stdin", "b0.sql:3:12", "INSERT"],
        ),
        ("-- migrate:no-transaction\n-- migrate:up\n\\connect x\n", &["`\\connect`", "b0.sql:3:1"]),
        ("-- migrate:up\nSTART TRANSACTION;\n", &["START", "b0.sql:2:1", "no-transaction"]),
    ] {
        let error = upgrade(&database, text).unwrap_err();
        assert_eq!(error.code(), FORBIDDEN_STATEMENT);
        tells(&error, words);
    }
    assert_eq!(database.tables(), "");
    let error = upgrade(&database, "-- migrate:up\nCREATE INDEX CONCURRENTLY i ON users (name);\n").unwrap_err();
    tells(&error, &["cannot run inside a transaction block", "b0.sql:2", "`-- migrate:no-transaction`"]);
    let error = upgrade(&database, "-- migrate:no-transaction\n-- migrate:up\nSELECT 1;\nBEGIN;\n").unwrap_err();
    assert_eq!(error.code(), TRANSACTION_ENDED, "{error}");
}

const LINKED: &str = "-- migrate:up\nCREATE TABLE links (id int, of bigint REFERENCES users DEFERRABLE INITIALLY DEFERRED);\n\
    CREATE TABLE others (of bigint REFERENCES users DEFERRABLE);\n";

fn a_deferred_constraint_fails_in_the_revision_that_breaks_it(server: &Server) {
    let database = server.database();
    let later = "-- migrate:up\nINSERT INTO users VALUES (7, 'late');\n";
    let error =
        upgrade_all(&database, &[LINKED, "-- migrate:up\nINSERT INTO links VALUES (1, 7);\n", later]).unwrap_err();
    assert_eq!(error.code(), SQL_ERROR);
    tells(&error, &["b1.sql", "links_of_fkey", "Key (of)=(7) is not present", "end of the revision"]);
    assert_eq!(database.tables(), "");
}

fn rows_that_wait_for_their_check_do_not_stand_in_the_next_revisions_way(server: &Server) {
    let database = server.database();
    let insert = "INSERT INTO links VALUES (1, 7);\nINSERT INTO users VALUES (7, 'a');\n";
    let alter = "ALTER TABLE links ADD more int;\n";
    let one = format!("-- migrate:up\n{insert}{alter}");
    let error = upgrade_all(&database, &[LINKED, &one]).unwrap_err();
    tells(&error, &["pending trigger events", "SQLSTATE 55006", "SET CONSTRAINTS ALL IMMEDIATE", "no-transaction"]);

    // Split over two they go through, and the second may defer again; what is immediate by default stays so.
    let again = format!("-- migrate:up\n{alter}DELETE FROM users;\nINSERT INTO users VALUES (7, 'b');\n");
    let two = format!("-- migrate:up\n{insert}");
    upgrade_all(&database, &[LINKED, &two, &again]).unwrap();
    let early = "-- migrate:up\nINSERT INTO others VALUES (8);\nINSERT INTO users VALUES (8, 'c');\n";
    let error = upgrade_all(&database, &[LINKED, &two, &again, early]).unwrap_err();
    tells(&error, &["others_of_fkey", "b3.sql:2:1"]);
}

fn what_a_statement_does_unseen_is_known_at_the_end_of_its_revision(server: &Server) {
    let database = server.database();
    // Before the rows of a plain INSERT come a table with a deferred constraint and another search path, and rows come back.
    let set_up = "-- migrate:up\nCREATE SCHEMA other;\nCREATE TABLE t (a int);\n\
        CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        CREATE TABLE public.links (of bigint REFERENCES public.users DEFERRABLE INITIALLY DEFERRED); \
        PERFORM set_config('search_path', 'other', false); RETURN new; END $$;\n\
        CREATE TRIGGER unseen BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION unseen();\n\
        CREATE RULE asked AS ON INSERT TO t DO ALSO SELECT 1, 2, 3 FROM users;\n";
    let one = "-- migrate:up\nINSERT INTO users VALUES (1, 'a'), (2, 'b');\n";
    let unseen = "-- migrate:up\nINSERT INTO t VALUES (1);\n";
    let here = "-- migrate:up\nCREATE TABLE here (a int);\n";
    let late = "-- migrate:up\nINSERT INTO links VALUES (7);\nINSERT INTO users VALUES (7, 'c');\n";
    upgrade_all(&database, &[set_up, one, unseen, here, late]).unwrap();
    assert_eq!(database.ask("SELECT to_regclass('public.here') IS NOT NULL"), "t");
    assert_eq!(database.ask("SELECT of FROM links"), "7");

    let database = server.database();
    let never = "-- migrate:up\nINSERT INTO links VALUES (8);\n";
    let error = upgrade_all(&database, &[set_up, one, unseen, here, late, never, one]).unwrap_err();
    tells(&error, &["b5.sql", "Key (of)=(8) is not present", "end of the revision"]);

    // What says that its check can wait is known as well, and what is told so later.
    let database = server.database();
    let key = "-- migrate:up\nCREATE TABLE keyed (a int CONSTRAINT once UNIQUE DEFERRABLE);\n";
    let twice =
        "-- migrate:up\nSET CONSTRAINTS once DEFERRED;\nINSERT INTO keyed VALUES (1);\nINSERT INTO keyed VALUES (1);\n";
    let error = upgrade_all(&database, &[one, key, twice, here]).unwrap_err();
    tells(&error, &["b2.sql", "once", "end of the revision"]);
    let linked = "-- migrate:up\nCREATE TABLE links (of bigint CONSTRAINT linked REFERENCES users);\n";
    let waits = "-- migrate:up\nALTER TABLE links ALTER CONSTRAINT linked DEFERRABLE INITIALLY DEFERRED;\n";
    upgrade_all(&database, &[one, linked, waits, here, late]).unwrap();

    // A server that is told not to count is asked.
    let database = server.database();
    let blind = format!("{set_up}SET track_counts = off;\n");
    let error = upgrade_all(&database, &[&blind, one, unseen, here, late, never, one]).unwrap_err();
    tells(&error, &["b5.sql", "Key (of)=(8) is not present", "end of the revision"]);
    assert_eq!(database.tables(), "");
}

fn what_another_role_defers_is_none_of_this_ones_business(server: &Server) {
    let database = server.database();
    let name = &database.name;
    let others = format!(
        "CREATE ROLE app_{name} LOGIN; CREATE SCHEMA own AUTHORIZATION app_{name}; CREATE SCHEMA closed; \
         CREATE TABLE closed.t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    );
    database.connect().batch_execute(&others).unwrap();
    let mut client = database.config().user(&format!("app_{name}")).connect(postgres::NoTls).unwrap();
    client.batch_execute("SET search_path = own").unwrap();
    let migrations = embedded("app", &[USERS]);
    migrations.upgrade(&mut client).unwrap();

    // Once the tables are there, nothing takes the right to make one.
    database.connect().batch_execute(&format!("REVOKE CREATE ON SCHEMA own FROM app_{name}; ALTER SCHEMA own OWNER TO postgres; GRANT USAGE ON SCHEMA own TO app_{name}")).unwrap();
    const MORE: (&str, &str) = ("a2", "-- migrate:up\nINSERT INTO users VALUES (1, 'a');\n");
    assert_eq!(embedded("app", &[USERS, MORE]).upgrade(&mut client).unwrap().done.len(), 1);
}

fn a_value_of_an_enum_is_used_once_it_is_committed(server: &Server) {
    let database = server.database();
    let make = "-- migrate:up\nCREATE TYPE mood AS ENUM ('fine');\nCREATE TABLE moods (m mood);\n";
    let used = "-- migrate:up\nINSERT INTO moods VALUES ('great');\n";
    upgrade_all(&database, &[make]).unwrap();
    let error =
        upgrade_all(&database, &[make, "-- migrate:up\nALTER TYPE mood ADD VALUE 'great';\n", used]).unwrap_err();
    tells(&error, &["SQLSTATE 55P04", "b2.sql:2:27", "no-transaction", "--per-revision", "two runs"]);
    let alone = "-- migrate:no-transaction\n-- migrate:up\nALTER TYPE mood ADD VALUE 'great';\n";
    upgrade_all(&database, &[make, alone, used]).unwrap();
    assert_eq!(database.ask("SELECT m FROM moods"), "great");
}

fn what_one_transaction_cannot_hold_goes_through_where_each_revision_is_committed(server: &Server) {
    const ENUM: Texts = &[
        ("a1", "-- migrate:up\nCREATE TYPE mood AS ENUM ('fine');\nCREATE TABLE moods (m mood);\n"),
        ("a2", "-- migrate:up\nALTER TYPE mood ADD VALUE 'great';\n"),
        ("a3", "-- migrate:up\nINSERT INTO moods VALUES ('great');\n"),
    ];
    const ROWS: Texts = &[
        (
            "a1",
            "-- migrate:up\nCREATE TABLE a (i int PRIMARY KEY);\nCREATE TABLE b (i int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n",
        ),
        ("a2", "-- migrate:up\nINSERT INTO b VALUES (1);\nINSERT INTO a VALUES (1);\n"),
        ("a3", "-- migrate:up\nALTER TABLE b ADD more int;\n"),
    ];
    let wait = Duration::from_secs(60);
    for texts in [ENUM, ROWS] {
        let database = server.database();
        let first = vec![texts[0]].leak();
        embedded("app", first).upgrade(&mut database.connect()).unwrap();
        let ran = run(&database, texts, true, wait, &mut || {});
        assert_eq!(ran.result.unwrap().done.len(), 2);
    }
    // The value is added to a type of before, so that one transaction is refused.
    let database = server.database();
    embedded("app", vec![ENUM[0]].leak()).upgrade(&mut database.connect()).unwrap();
    let stopped = run(&database, ENUM, false, wait, &mut || {}).result.unwrap_err();
    assert!(stopped.problems[0].plain_lines().join(" ").contains("--per-revision"));
    assert_eq!(run(&database, ENUM, true, wait, &mut || {}).result.unwrap().done.len(), 2);
}

fn settings_of_the_session_are_as_before(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    client.batch_execute("CREATE ROLE painter; CREATE SCHEMA other").unwrap();
    let inside = (
        "b1",
        "-- migrate:up\nSET search_path = other;\nCREATE TABLE there (a int);\nSELECT set_config('role', 'painter', false);\n",
    );
    let next = ("b2", "-- migrate:up\nCREATE TABLE here (a int);\n");
    let outside = ("b3", "-- migrate:no-transaction\n-- migrate:up\nSET search_path = other;\nSELECT nonsense;\n");
    let settings = |client: &mut postgres::Client| {
        let sql = "SELECT concat_ws('|', current_setting('search_path'), current_user, current_setting('lock_timeout'), \
            current_setting('transaction_read_only'), coalesce(nullif(current_setting('cargo_migrate.run', true), ''), '-'))";
        client.query_one(sql, &[]).unwrap().get::<_, String>(0)
    };
    assert_eq!(settings(&mut client), "\"$user\", public|postgres|0|off|-");
    let before = settings(&mut client);
    embedded("app", vec![USERS, inside, next].leak()).upgrade(&mut client).unwrap();
    assert_eq!(settings(&mut client), before);
    assert_eq!(
        database.ask(
            "SELECT string_agg(schemaname, ' ' ORDER BY tablename) FROM pg_tables WHERE tablename IN ('here', 'there')"
        ),
        "public other"
    );
    embedded("app", vec![USERS, inside, next, outside].leak()).upgrade(&mut client).unwrap_err();
    assert_eq!(settings(&mut client), before);
}

fn the_version_table_is_in_the_first_schema_of_the_search_path(server: &Server) {
    let database = server.database();
    let schema = "My \"own\"; x";
    let mut client = database.connect();
    client.batch_execute("CREATE SCHEMA \"My \"\"own\"\"; x\"; CREATE TABLE public._cargo_migrate (mine int)").unwrap();
    client.batch_execute("SET search_path = absent, \"My \"\"own\"\"; x\", public").unwrap();
    let migrations = embedded("app", &[USERS]);
    migrations.upgrade(&mut client).unwrap();
    migrations.verify(&mut client).unwrap();
    let found = database.ask("SELECT string_agg(schemaname, '|') FROM pg_tables WHERE tablename IN ('_cargo_migrate', 'users') AND schemaname <> 'public'");
    assert_eq!(found, format!("{schema}|{schema}"));
    assert_eq!(database.ask("SELECT count(*) FROM public._cargo_migrate"), "0");

    client.batch_execute("SET search_path = public").unwrap();
    tells(&migrations.upgrade(&mut client).unwrap_err(), &["not made by this tool", "version-table"]);
    assert_eq!(migrations.migrator().version_table("other_name").upgrade(&mut client).unwrap().done.len(), 1);

    client.batch_execute("SET search_path = absent").unwrap();
    tells(&migrations.upgrade(&mut client).unwrap_err(), &["search path names no schema", "help: "]);
}
