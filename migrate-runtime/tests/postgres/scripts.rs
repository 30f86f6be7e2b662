//! `--sql`: a run as a script, which the real `psql` runs.

use std::process::Command;
use std::time::Duration;

use migrate_runtime::Migrations;
use migrate_runtime::build_support::checksum::Checksum;
use migrate_runtime::build_support::revision::RevisionId;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::driver::recording::RecordingDriver;
use migrate_runtime::driver::{Driver as _, Enforcement};
use migrate_runtime::history::History;
use migrate_runtime::plan;
use migrate_runtime::runner::{self, Files, Options};
use postgres::NoTls;

use crate::running::{Texts, USERS, embedded, graph};
use crate::server::{Database, Server, config, programs};
use crate::sessions::Pooler;

crate::tests![
    a_script_does_what_the_run_does_up_and_down,
    what_a_script_verifies_stops_it_and_nothing_is_kept,
    a_script_for_another_history_changes_nothing,
    a_script_and_a_run_keep_each_other_out_whatever_the_names_are,
    a_script_stops_at_an_error_and_keeps_what_was_committed,
    what_psql_would_replace_or_end_reaches_the_server_as_it_is,
    settings_that_a_revision_changes_are_as_before_in_a_script,
    a_script_is_not_run_inside_a_transaction,
    a_script_that_comes_to_another_server_process_is_refused,
    a_version_table_in_a_schema_of_its_own_is_made_with_it,
    a_change_of_the_version_table_alone_is_a_script,
];

const APP: &str = "it's $cargo_migrate$ \\ \"é\" :USER `id`";

const HARD: Texts = &[
    USERS,
    (
        "a2",
        "-- it's \\n $$ :HOST é\n-- migrate:up
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $cargo_migrate$
BEGIN
    INSERT INTO users VALUES (7, 'one; ''two'' :USER');
    RETURN new;
END;
$cargo_migrate$;
/* outer /* inner; */ :USER */
INSERT INTO users VALUES (1, E'it\\'s; \\\\ :USER'), (2, 'a\\');
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN n > 0 THEN 2 * n END; END;
CREATE RULE kept AS ON DELETE TO users DO INSTEAD (SELECT 1; SELECT 2)
-- migrate:verify
SELECT count(*) = 2 FROM users -- two; $query$ ' :USER
;
-- migrate:down
DROP RULE kept ON users;
DELETE FROM users WHERE name IN (E'it\\'s; \\\\ :USER', 'a\\', '$cargo_migrate$', $$:'USER'$$);
DROP FUNCTION twice;
DROP FUNCTION note;
",
    ),
    (
        "a3",
        "-- migrate:no-transaction\n-- migrate:up\nCREATE INDEX CONCURRENTLY users_by_name ON users (name);\n\
         -- migrate:verify\nSELECT indisvalid FROM pg_index WHERE indexrelid = 'users_by_name'::regclass;\n\
         -- migrate:down\nDROP INDEX CONCURRENTLY users_by_name;\n",
    ),
    ("a4", "-- migrate:up\nCREATE TABLE after (a int);\n-- migrate:down\nDROP TABLE after;\n"),
];

/// How a script is made.
#[derive(Clone, Copy)]
struct Asked<'a> {
    package: &'static str,
    texts: Texts,
    table: &'a str,
    wait: Duration,
}

const fn of(texts: Texts) -> Asked<'static> {
    Asked { package: "app", texts, table: "_cargo_migrate", wait: Duration::ZERO }
}

impl Asked<'_> {
    /// The script that goes from what the database has to a target; `-` before it goes back.
    fn script(self, database: &Database<'_>, target: &str) -> String {
        let mut client = database.connect();
        let mut driver = PostgresDriver::new(&mut client, self.table);
        let history = if self.table.contains('.') { History::default() } else { driver.history().unwrap() };
        let mut stored = |package: &str, id: &RevisionId| driver.stored_down(package, id);
        let mut recording = RecordingDriver::for_server(&[self.package], self.table, &history, &mut stored);
        let (graph, directory) = (graph(self.package, self.texts), embedded(self.package, self.texts));
        let planner = |history: &History| match target.strip_prefix('-') {
            Some(target) => plan::downgrade(self.package, &graph, history, target),
            None => plan::upgrade(self.package, &graph, history, target, "this database"),
        };
        let options = Options::new(self.wait, &String::new, env!("CARGO_PKG_VERSION"));
        let files = [Files { package: self.package, graph: &graph, directory }];
        runner::run(&mut recording, &files, &planner, &options, &mut |_| {}).unwrap();
        recording.into_script()
    }
}

/// What psql says of a script: its exit status, what it shows, and its errors.
struct Said {
    status: i32,
    shown: String,
    errors: String,
}

fn psql(database: &Database<'_>, arguments: &[&str], script: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.sql");
    std::fs::write(&file, script).unwrap();
    let said = client(database, "psql").args(["-X", "-f"]).arg(&file).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: said.status.code().unwrap(), shown: text(&said.stdout), errors: text(&said.stderr) }
}

/// One of the server's own client programs. Its encoding is not that of scripts, so that they have to say theirs.
fn client(database: &Database<'_>, program: &str) -> Command {
    // A folder on PATH may hold links to some of them.
    let initdb = programs().unwrap().join("initdb").canonicalize().unwrap();
    let mut command = Command::new(initdb.with_file_name(program));
    command.env("PGCLIENTENCODING", "LATIN1").env("LC_ALL", "C").stdin(std::process::Stdio::null());
    command.arg("-h").arg(database.server.socket()).args(["-U", "postgres", "-d", &database.name]);
    command
}

#[track_caller]
fn goes_through(said: &Said) {
    assert_eq!((said.status, said.errors.as_str()), (0, ""), "{}", said.shown);
}

#[track_caller]
fn stops(said: &Said, words: &[&str]) {
    assert_eq!(said.status, 3, "{}", said.errors);
    for word in words {
        assert!(said.errors.contains(word), "`{word}` is not in\n{}", said.errors);
    }
}

/// All that can be compared of a database: its schema, its version table but for times, and its users.
fn state(database: &Database<'_>) -> String {
    let dumped = client(database, "pg_dump").args(["-s", "-E", "UTF8"]).output().unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let dump = String::from_utf8(dumped.stdout).unwrap();
    // Newer versions put a word in there that is never the same.
    let schema: Vec<&str> = dump.lines().filter(|line| !line.contains("restrict ")).collect();
    let rows = database.ask(
        "SELECT string_agg((to_jsonb(m) - 'applied_at' - 'elapsed_ms')::text, E'\\n' ORDER BY sequence) FROM _cargo_migrate AS m",
    );
    let users =
        "SELECT CASE WHEN to_regclass('users') IS NOT NULL THEN query_to_xml('TABLE users', true, true, '')::text END";
    [schema.join("\n"), rows, database.ask(users)].join("\n")
}

fn a_script_does_what_the_run_does_up_and_down(server: &Server) {
    let (run, scripted, asked) = (server.database(), server.database(), Asked { package: APP, ..of(HARD) });
    let migrations: &Migrations = embedded(APP, HARD);
    // Strings are read alike whatever the server is set to.
    for database in [&run, &scripted] {
        let setting = format!("ALTER DATABASE {} SET standard_conforming_strings = off", database.name);
        database.connect().batch_execute(&setting).unwrap();
    }

    migrations.upgrade(&mut run.connect()).unwrap();
    let said = psql(&scripted, &["-v", "ON_ERROR_STOP=1"], &asked.script(&scripted, "head"));
    goes_through(&said);
    let told = format!(
        "committed: {APP}/a1 applied, {APP}/a2 applied\ncommitted: {APP}/a3 running\ncommitted: {APP}/a3 applied\ncommitted: {APP}/a4 applied\n"
    );
    assert_eq!(said.shown, told);
    assert_eq!(state(&scripted), state(&run));
    assert!(scripted.ask("SELECT min(applied_at) FROM _cargo_migrate").ends_with('Z'));
    migrations.verify(&mut scripted.connect()).unwrap();
    assert_eq!(psql(&scripted, &[], &asked.script(&scripted, "head")).shown, "", "nothing to do");

    migrations.downgrade_to(&mut run.connect(), "a1").unwrap();
    goes_through(&psql(&scripted, &[], &asked.script(&scripted, "-a1")));
    assert_eq!(state(&scripted), state(&run));
    migrations.upgrade(&mut run.connect()).unwrap();
    migrations.upgrade(&mut scripted.connect()).unwrap();
    assert_eq!(state(&scripted), state(&run));
    assert_eq!(scripted.advisory_locks(), "0");
}

fn what_a_script_verifies_stops_it_and_nothing_is_kept(server: &Server) {
    let database = server.database();
    let asking = |query: &str| {
        let text = format!(
            "-- migrate:up\nCREATE TABLE t (a int);\nCREATE DOMAIN d AS int;\nCREATE FUNCTION put() RETURNS bool LANGUAGE sql AS \
             'INSERT INTO t VALUES (1) RETURNING true';\n-- migrate:verify\nSELECT true;\n{query};\n"
        );
        let asked = of(vec![("a1", &*text.leak())].leak());
        psql(&database, &[], &asked.script(&database, "head"))
    };
    for (query, words) in [
        ("SELECT count(*) = 1 FROM t", "It gave false of the type boolean."),
        ("SELECT true UNION ALL SELECT false", "It gave false"),
        ("SELECT 0.00::numeric", "It gave 0.00"),
        ("SELECT -0.0::float8", "It gave -0"),
        ("SELECT 0::d", "It gave 0 of the type integer"),
        ("SELECT NULL::bool", "It gave NULL"),
        ("SELECT 't'::text", "of the type text"),
        ("SELECT now()", "of the type timestamp"),
        ("SELECT", "0 columns"),
        ("SELECT put()", "read-only transaction"),
        ("SELECT true, 1 / (SELECT count(*) FROM t)", "division by zero"),
        ("SELECT $1", "no parameter $1"),
    ] {
        let said = asking(query);
        stops(&said, &[words]);
        assert_eq!((database.tables().as_str(), said.shown.as_str()), ("", ""), "{query}");
        assert_eq!(database.ask("SELECT to_regclass('_cargo_migrate') IS NULL"), "t");
    }
    goes_through(&asking(
        "SELECT 1::smallint, 2, 2; SELECT 0.5::real AS a, 1 AS a; SELECT 1e-320::float8; SELECT 1e-400::numeric; \
         SELECT 'NaN'::numeric; SELECT 'Infinity'::real; SELECT 2::d; SELECT true WHERE false; VALUES (true), (true); \
         WITH RECURSIVE asked AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM asked WHERE n < 3) SELECT n FROM asked ORDER BY n; \
         SELECT $query$ $cargo_migrate$ $query$ IS NOT NULL /* ' */ -- it's",
    ));
}

fn a_script_for_another_history_changes_nothing(server: &Server) {
    const MORE: (&str, &str) = ("a2", "-- migrate:up\nCREATE TABLE more (a int);\n");
    const OTHER: (&str, &str) = ("a1", "-- migrate:up\nCREATE TABLE users (id bigint PRIMARY KEY);\n");
    let (first, second) = (server.database(), server.database());
    let from_nothing = of(&[USERS, MORE]).script(&second, "head");
    goes_through(&psql(&first, &[], &of(&[USERS]).script(&first, "head")));
    let from_first = of(&[USERS, MORE]).script(&first, "head");
    let words = ["this database has another history", "HINT:  Make the script again"];

    stops(&psql(&second, &[], &from_first), &words);
    assert_eq!(second.ask("SELECT to_regclass('_cargo_migrate') IS NULL"), "t");
    goes_through(&psql(&second, &[], &of(&[OTHER]).script(&second, "head")));
    let before = state(&second);
    stops(&psql(&second, &[], &from_first), &words);
    stops(&psql(&second, &["-v", "ON_ERROR_STOP=0"], &from_nothing), &words);
    assert_eq!(state(&second), before);
    // The rows of other packages are none of its business.
    goes_through(&psql(&first, &[], &Asked { package: "other", ..of(&[MORE]) }.script(&first, "head")));
    stops(&psql(&first, &[], &of(&[USERS, MORE]).script(&first, "head")), &["\"more\" already exists"]);
}

fn a_script_and_a_run_keep_each_other_out_whatever_the_names_are(server: &Server) {
    const SLOW: Texts = &[USERS, ("a2", "-- migrate:up\nSELECT pg_sleep(1);\n")];
    // The server cuts the second one, and its length takes two bytes of what is hashed.
    let (long, longer) = ("ß".repeat(31), "t".repeat(200));
    for (name, schema, table) in [
        ("plain", "public", "_m"),
        ("é\"'\\ 数", "Ünï \"x\"", "tä'b\\le"),
        (&long, &long, &long),
        ("longer", "public", &longer),
    ] {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let made = server.database();
        made.connect().batch_execute(&format!("CREATE DATABASE {}", quoted(name))).unwrap();
        let database = Database { server, name: name.to_owned() };
        let path = format!(
            "ALTER DATABASE {0} SET search_path = {1}; ALTER DATABASE {0} SET client_min_messages = warning",
            quoted(name),
            quoted(schema)
        );
        database.connect().batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}; {path}", quoted(schema))).unwrap();
        let asked = Asked { table, ..of(SLOW) };
        let script = asked.script(&database, "head");

        let mut client = database.connect();
        let mut driver = PostgresDriver::new(&mut client, table);
        driver.begin(Enforcement::Deferred, Duration::ZERO, &mut || {}).unwrap();
        let said = psql(&database, &[], &script);
        stops(&said, &["another session migrates this database", "`the tests`", "HINT:  "]);
        assert_eq!(database.tables(), "");

        // One that may wait goes on when it is over.
        let patient = Asked { wait: Duration::from_secs(60), ..asked }.script(&database, "head");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| psql(&database, &[], &patient));
            std::thread::sleep(Duration::from_millis(300));
            driver.rollback();
            driver.release_split();
            while database.advisory_locks() == "0" {
                std::thread::sleep(Duration::from_millis(5));
            }
            // And a run keeps out of the script's way.
            let mut other = config(server.socket(), name).connect(NoTls).unwrap();
            let mut late = PostgresDriver::new(&mut other, table);
            let refused = late.begin(Enforcement::Deferred, Duration::ZERO, &mut || {}).unwrap_err();
            assert!(refused.message.contains("migrates this database"), "{refused}");
            goes_through(&waiting.join().unwrap());
        });
        let schemas = format!(
            "SELECT n.nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE relname = '{}'::name",
            table.replace('\'', "''")
        );
        assert_eq!(database.ask(&schemas), schema);
    }
}

fn a_script_stops_at_an_error_and_keeps_what_was_committed(server: &Server) {
    const HALF: Texts = &[
        USERS,
        (
            "a2",
            "-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE half (a int);\nSELECT nonsense;\nCREATE TABLE never (a int);\n",
        ),
        ("a3", "-- migrate:up\nCREATE TABLE later (a int);\n"),
    ];
    const WRONG: Texts =
        &[USERS, ("a2", "-- migrate:up\nCREATE TABLE t (a int);\nSELECT (1;\n"), ("a3", "-- migrate:up\nSELECT 2);\n")];
    const LATE: Texts = &[
        USERS,
        ("a2", "-- migrate:up\nCREATE TABLE links (of bigint REFERENCES users DEFERRABLE INITIALLY DEFERRED);\n"),
        ("a3", "-- migrate:up\nINSERT INTO links VALUES (7);\n"),
        ("a4", "-- migrate:up\nINSERT INTO users VALUES (7, 'late');\n"),
    ];
    let database = server.database();
    stops(&psql(&database, &[], &of(WRONG).script(&database, "head")), &["syntax error"]);
    stops(&psql(&database, &[], &of(LATE).script(&database, "head")), &["links_of_fkey"]);
    assert_eq!(database.tables(), "");

    let said = psql(&database, &[], &of(HALF).script(&database, "head"));
    stops(&said, &["column \"nonsense\" does not exist"]);
    assert_eq!(said.shown, "committed: app/a1 applied\ncommitted: app/a2 running\n");
    assert_eq!(database.tables(), "half users");
    assert_eq!(database.ask("SELECT string_agg(revision || state, ' ') FROM _cargo_migrate"), "a1applied a2running");
    let again = embedded("app", HALF).upgrade(&mut database.connect()).unwrap_err();
    assert!(again.to_string().contains("interrupted"), "{again}");
}

fn what_psql_would_replace_or_end_reaches_the_server_as_it_is(server: &Server) {
    let text = "-- migrate:up
CREATE TABLE slices (a int[], \"USER\" int, host int, own int);
INSERT INTO slices VALUES ('{1,2,3,4}', 2, 3, 4);
CREATE TABLE cut AS SELECT a[1:\"USER\"] AS one, a[1:HOST] AS two, a[host:own] AS three, a[1:'2'] AS four FROM slices;
CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 42';
CREATE FUNCTION named(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a - b';
INSERT INTO slices (own) SELECT named(b := begin(), a :=0::int::int);
-- migrate:verify
SELECT a[1:own] = a FROM slices WHERE host IS NOT NULL;
";
    let (run, scripted) = (server.database(), server.database());
    let texts: Texts = vec![("a1", text)].leak();
    embedded("app", texts).upgrade(&mut run.connect()).unwrap();
    let variables = [
        "-v",
        "own=nonsense",
        "-v",
        "2=nonsense",
        "-v",
        "SINGLELINE=on",
        "-v",
        "AUTOCOMMIT=off",
        "-v",
        "FETCH_COUNT=1",
    ];
    goes_through(&psql(&scripted, &variables, &of(texts).script(&scripted, "head")));
    let found = "SELECT string_agg(concat_ws('|', one, two, three, four, (SELECT min(own) FROM slices)), ' ') FROM cut";
    assert_eq!(scripted.ask(found), "{1,2}|{1,2,3}|{3,4}|{1,2}|-42");
    assert_eq!((scripted.ask(found), state(&scripted)), (run.ask(found), state(&run)));
}

fn settings_that_a_revision_changes_are_as_before_in_a_script(server: &Server) {
    let texts: Texts = &[
        USERS,
        (
            "b0",
            "-- migrate:up\nCREATE SCHEMA other;\nCREATE TABLE links (id int, of bigint REFERENCES users DEFERRABLE INITIALLY DEFERRED);\n",
        ),
        (
            "b1",
            "-- migrate:up\nSET search_path = other;\nCREATE TABLE there (a int);\nSELECT set_config('role', 'pg_monitor', false);\n",
        ),
        (
            "b2",
            "-- migrate:up\nCREATE TABLE here (a int);\nINSERT INTO links VALUES (1, 1);\nINSERT INTO users VALUES (1, 'a');\n",
        ),
        (
            "b3",
            "-- migrate:no-transaction\n-- migrate:up\nSET search_path = other;\nCREATE TABLE there_too (a int);\nRESET ALL;\n",
        ),
        ("b4", "-- migrate:up\nCREATE TABLE here_too (a int);\n"),
    ];
    let (run, scripted) = (server.database(), server.database());
    embedded("app", texts).upgrade(&mut run.connect()).unwrap();
    let script = of(texts).script(&scripted, "head");
    let said = psql(
        &scripted,
        &[],
        &format!("{script}\nSELECT current_user, current_setting('search_path'), pg_try_advisory_lock(1);\n\\dL\n"),
    );
    goes_through(&said);
    assert!(said.shown.contains(" postgres     | \"$user\", public | t"), "{}", said.shown);
    assert_eq!(state(&scripted), state(&run));
}

fn a_script_is_not_run_inside_a_transaction(server: &Server) {
    let database = server.database();
    let script = of(&[USERS]).script(&database, "head");
    for arguments in [&["-1"][..], &["-1", "-v", "ON_ERROR_STOP=1"]] {
        stops(
            &psql(&database, arguments, &script),
            &["has transactions of its own, and one is open", "HINT:  Run it without `-1`"],
        );
        assert_eq!(database.tables(), "");
    }
    stops(&psql(&database, &[], &format!("BEGIN;\n{script}")), &["one is open"]);
    database.connect().batch_execute(&format!("ALTER DATABASE {} SET search_path = absent", database.name)).unwrap();
    stops(&psql(&database, &[], &script), &["search path names no schema"]);
    assert_eq!(database.tables(), "");
}

fn a_script_that_comes_to_another_server_process_is_refused(server: &Server) {
    let database = server.database();
    let pooler = Pooler::before(server);
    let socket = pooler.folder.path().to_str().unwrap();
    let said = psql(&database, &["-h", socket], &of(&[USERS]).script(&database, "head"));
    stops(&said, &["another process of the server", "HINT:  A pooler stands between"]);
    assert_eq!((database.tables(), database.advisory_locks()), (String::new(), "0".into()));
}

fn a_version_table_in_a_schema_of_its_own_is_made_with_it(server: &Server) {
    let database = server.database();
    let asked = Asked { table: "My \"own\"; x._m", ..of(&[USERS]) };
    let script = asked.script(&database, "head");
    goes_through(&psql(&database, &[], &script));
    assert_eq!(database.ask("SELECT string_agg(revision, ' ') FROM \"My \"\"own\"\"; x\"._m"), "a1");
    assert_eq!(database.ask("SELECT 'users'::regclass"), "users");
    stops(&psql(&database, &[], &script), &["another history"]);
}

fn a_change_of_the_version_table_alone_is_a_script(server: &Server) {
    let database = server.database();
    let migrations = embedded(APP, HARD);
    migrations.upgrade(&mut database.connect()).unwrap();
    let mut client = database.connect();
    let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
    let history = driver.history().unwrap();
    drop(driver);
    let changes = |driver: &mut dyn migrate_runtime::driver::Driver| {
        driver.begin(Enforcement::Deferred, Duration::ZERO, &mut || {}).unwrap();
        driver.ensure_table().unwrap();
        let id = |id: &str| RevisionId::new(id).unwrap();
        let down = "SELECT 'a\\', $$ :USER é $$;\n";
        driver.amend(APP, &id("a1"), &Checksum::of("x"), Some(down)).unwrap();
        driver.forget(APP, &id("a4")).unwrap();
        driver.record(&history.rows()[3], Some(down)).unwrap();
        driver.forget(APP, &id("a3")).unwrap();
        driver.rename_package(APP, "it's \\ another").unwrap();
        driver.finish(&["it's \\ another"]).unwrap();
        driver.commit(Duration::ZERO).unwrap();
        driver.rollback();
        driver.release_split();
    };
    let mut nothing = |_: &str, _: &RevisionId| Ok(None);
    let mut recording = RecordingDriver::for_server(&[APP], "_cargo_migrate", &history, &mut nothing);
    changes(&mut recording);
    let scripted = server.database();
    migrations.upgrade(&mut scripted.connect()).unwrap();
    goes_through(&psql(&scripted, &[], &recording.into_script()));
    changes(&mut PostgresDriver::new(&mut client, "_cargo_migrate"));
    assert_eq!(state(&scripted), state(&database));
    assert!(state(&database).contains("it's"), "{}", state(&database));
}
