//! Where the version table is, and who may look at a run without being in its way.

use migrate_runtime::driver::Driver as _;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::event::Event;
use migrate_runtime::migrations::Outcome;
use postgres::NoTls;

use crate::running::{USERS, embedded, names};
use crate::server::Server;

crate::tests![
    a_schema_that_is_named_is_used_whatever_the_search_path_is,
    a_schema_that_is_there_is_used_without_the_right_to_make_one,
    a_name_with_two_dots_is_refused,
    each_schema_has_a_history_and_a_lock_of_its_own,
    a_run_under_way_is_seen_by_who_may_only_read,
    functions_of_somebody_elses_are_not_called_by_the_driver,
];

const NAME: &str = "ops._cargo_migrate";

fn a_schema_that_is_named_is_used_whatever_the_search_path_is(server: &Server) {
    let database = server.database();
    let (mut client, migrations) = (database.connect(), embedded("app", &[USERS]));
    let migrator = || migrations.migrator().version_table(NAME);
    // Who only looks makes nothing.
    assert_eq!(names(&migrator().status(&mut client).unwrap().pending), ["a1"]);
    migrator().verify(&mut client).unwrap_err();
    assert_eq!(database.ask("SELECT to_regnamespace('ops') IS NULL"), "t");

    assert_eq!(names(&migrator().upgrade(&mut client).unwrap().done), ["a1"]);
    for path in ["pg_catalog", "public, ops"] {
        client.batch_execute(&format!("SET search_path = {path}")).unwrap();
        migrator().verify(&mut client).unwrap();
        assert_eq!(migrator().upgrade(&mut client).unwrap(), Outcome::default());
    }
    let tables = "SELECT string_agg(schemaname, ' ') FROM pg_tables WHERE tablename = '_cargo_migrate'";
    assert_eq!(database.ask(tables), "ops");
}

fn a_schema_that_is_there_is_used_without_the_right_to_make_one(server: &Server) {
    let database = server.database();
    let role = format!("maker_{}", database.name);
    let given = format!(
        "CREATE ROLE {role} LOGIN; REVOKE CREATE ON DATABASE {} FROM public; CREATE SCHEMA ops; \
         GRANT USAGE, CREATE ON SCHEMA ops, public TO {role}",
        database.name
    );
    database.connect().batch_execute(&given).unwrap();
    let mut client = database.config().user(&role).connect(NoTls).unwrap();
    let migrations = embedded("app", &[USERS]);
    let other = migrations.migrator().version_table("absent._cargo_migrate").upgrade(&mut client).unwrap_err();
    assert!(other.to_string().contains("permission denied for database"), "{other}");
    assert_eq!(database.tables(), "");
    assert_eq!(names(&migrations.migrator().version_table(NAME).upgrade(&mut client).unwrap().done), ["a1"]);
}

fn a_name_with_two_dots_is_refused(server: &Server) {
    let mut client = server.database().connect();
    for name in ["a.b.c", ".b", "a.", "", "a.b\"", "a b"] {
        let error = embedded("app", &[USERS]).migrator().version_table(name).upgrade(&mut client).unwrap_err();
        assert!(error.to_string().contains("only letters, digits"), "{name}: {error}");
    }
}

fn each_schema_has_a_history_and_a_lock_of_its_own(server: &Server) {
    const HERE: (&str, &str) = ("a1", "-- migrate:up\nCREATE TABLE IF NOT EXISTS here (a int);\n");
    let database = server.database();
    let (mut outer, mut inner) = (database.connect(), database.connect());
    let migrations = embedded("app", &[HERE]);
    let mut done = Vec::new();
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Planned(_)) {
            done = migrations.migrator().version_table("two._m").upgrade(&mut inner).unwrap().done;
        }
    };
    migrations.migrator().version_table("one._m").observe(observe).upgrade(&mut outer).unwrap();
    assert_eq!(names(&done), ["a1"]);
    assert_eq!(database.ask("SELECT count(*) FROM one._m, two._m"), "1");
}

fn a_run_under_way_is_seen_by_who_may_only_read(server: &Server) {
    let database = server.database();
    let reader = format!("reader_{}", database.name);
    database.connect().batch_execute(&format!("CREATE ROLE {reader} LOGIN")).unwrap();
    let mut looks = database.config().user(&reader).connect(NoTls).unwrap();
    looks.batch_execute("SET default_transaction_read_only = on").unwrap();
    let mut seen = Vec::new();
    let mut client = database.connect();
    let mut look = || PostgresDriver::new(&mut looks, "_cargo_migrate").is_under_way().unwrap();
    seen.push(look());
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Started(_)) {
            seen.push(look());
        }
    };
    embedded("app", &[USERS]).migrator().observe(observe).upgrade(&mut client).unwrap();
    seen.push(look());
    assert_eq!(seen, [false, true, false]);
    assert_eq!(database.advisory_locks(), "0");

    // The session that holds it is not another one, and another version table has another lock.
    let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
    driver.begin(migrate_runtime::driver::Enforcement::Deferred, std::time::Duration::ZERO, &mut || {}).unwrap();
    assert_eq!(driver.is_under_way(), Ok(false));
    assert_eq!(PostgresDriver::new(&mut looks, "other").is_under_way(), Ok(false));
}

fn functions_of_somebody_elses_are_not_called_by_the_driver(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    let traps = [
        "now() RETURNS timestamptz",
        "current_setting(text) RETURNS text",
        "current_setting(text, bool) RETURNS text",
        "set_config(text, text, bool) RETURNS text",
        "pg_backend_pid() RETURNS int",
        "pg_try_advisory_lock(bigint) RETURNS bool",
        "pg_try_advisory_lock(int) RETURNS bool",
        "pg_advisory_unlock(bigint) RETURNS bool",
        "to_regclass(text) RETURNS regclass",
        "current_database() RETURNS name",
        "current_schema() RETURNS name",
    ];
    let made =
        traps.map(|trap| format!("CREATE FUNCTION trap.{trap} LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"));
    client.batch_execute(&format!("CREATE SCHEMA trap; {}", made.concat())).unwrap();
    client.batch_execute("CREATE TABLE trap.pg_constraint (a int); CREATE TABLE trap.pg_locks (a int)").unwrap();
    client.batch_execute("SET search_path = trap, pg_catalog, public").unwrap();
    client.query("SELECT now()", &[]).unwrap_err();
    let back = ("a2", "-- migrate:up\nSET search_path = public;\nSELECT 1;\n-- migrate:down\nSELECT 1;\n");
    let migrations = embedded("app", vec![USERS, back].leak());
    assert_eq!(migrations.upgrade(&mut client).unwrap().done.len(), 2);
    migrations.verify(&mut client).unwrap();
    assert_eq!(migrations.downgrade_to(&mut client, "base").unwrap().done.len(), 2);
    assert_eq!(PostgresDriver::new(&mut client, "_cargo_migrate").is_under_way(), Ok(false));
}
