//! Up, down, together, and what happens where something fails.

use std::path::Path;
use std::time::Duration;

use migrate_runtime::build_support::graph::RevisionGraph;
use migrate_runtime::build_support::migration::Migration;
use migrate_runtime::build_support::revision::RevisionId;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::history::History;
use migrate_runtime::migrations::{AHEAD, BEHIND, Outcome};
use migrate_runtime::migrator::{GoBack, IfAhead, NOT_ALLOWED, OPEN_TRANSACTION};
use migrate_runtime::plan::HISTORY_ELSEWHERE;
use migrate_runtime::runner::{self, FORBIDDEN_STATEMENT, Files, Options, SQL_ERROR, VERIFY_FAILED};
use migrate_runtime::{Migrations, plan};

use crate::server::Server;

crate::tests![
    what_is_applied_comes_off_again,
    a_history_in_another_schema_is_not_begun_again,
    a_start_without_anything_to_do_is_two_round_trips,
    packages_share_a_run_in_the_order_of_their_depends,
    a_failing_statement_takes_everything_back_and_says_where,
    what_a_revision_claims_is_asked_and_the_question_writes_nothing,
    a_program_behind_its_database_is_refused_and_goes_back_only_with_a_backup,
    a_transaction_of_the_programs_own_is_left_alone,
    round_trips_grow_with_statements_and_revisions_alone,
];

pub type Texts = &'static [(&'static str, &'static str)];

pub const USERS: (&str, &str) = (
    "a1",
    "-- migrate:up\nCREATE TABLE users (id bigint PRIMARY KEY, name text UNIQUE);\n-- migrate:down\nDROP TABLE users;\n",
);
const EMAIL: (&str, &str) = (
    "a2",
    "-- migrate:up\nALTER TABLE users ADD email text;\nCREATE INDEX users_email ON users (email);\n\
     -- migrate:down\nALTER TABLE users DROP email;\n",
);

pub fn graph(package: &str, texts: Texts) -> RevisionGraph {
    let read = |(id, text): &(&str, &str)| {
        Migration::parse(RevisionId::new(id).unwrap(), &Path::new("migrations").join(format!("{id}.sql")), text)
            .unwrap()
    };
    RevisionGraph::new(package, texts.iter().map(read).collect()).unwrap()
}

/// What `embed!` makes of these files.
pub fn embedded(package: &'static str, texts: Texts) -> &'static Migrations {
    let graph = graph(package, texts);
    let head = match graph.lineage().heads()[..] {
        [head] => Some(&*graph.seal(head).to_string().leak()),
        _ => None,
    };
    Box::leak(Box::new(Migrations::embedded(package, "migrations", texts, head)))
}

pub fn names(ids: &[RevisionId]) -> Vec<&str> {
    ids.iter().map(RevisionId::as_str).collect()
}

fn what_is_applied_comes_off_again(server: &Server) {
    let database = server.database();
    let (mut client, migrations) = (database.connect(), embedded("app", &[USERS, EMAIL]));
    assert_eq!(migrations.verify(&mut client).unwrap_err().code(), BEHIND);
    assert_eq!(names(&migrations.pending(&mut client).unwrap()), ["a1", "a2"]);
    assert_eq!(database.ask("SELECT to_regclass('_cargo_migrate') IS NULL"), "t", "reading has made a table");

    assert_eq!(names(&migrations.upgrade(&mut client).unwrap().done), ["a1", "a2"]);
    migrations.verify(&mut client).unwrap();
    assert_eq!(names(&migrations.status(&mut client).unwrap().applied), ["a1", "a2"]);
    let rows = database.ask(
        "SELECT string_agg(concat_ws(' ', revision, sequence, applied_count, state, schema_hash IS NULL), ', ' \
         ORDER BY sequence) FROM _cargo_migrate",
    );
    assert_eq!(rows, "a1 1 1 applied t, a2 2 2 applied t");
    assert_eq!(migrations.upgrade(&mut client).unwrap(), Outcome::default());

    assert_eq!(names(&migrations.downgrade_to(&mut client, "a1").unwrap().done), ["a2"]);
    assert_eq!(database.ask("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'"), "2");
    assert_eq!(names(&migrations.upgrade(&mut client).unwrap().done), ["a2"]);
    assert_eq!(names(&migrations.downgrade_to(&mut client, "base").unwrap().done), ["a2", "a1"]);
    assert_eq!(database.tables(), "");
    assert_eq!(database.advisory_locks(), "0");
}

fn a_history_in_another_schema_is_not_begun_again(server: &Server) {
    let database = server.database();
    let migrations = embedded("app", &[USERS]);
    migrations.upgrade(&mut database.connect()).unwrap();
    database.connect().batch_execute("CREATE SCHEMA AUTHORIZATION postgres").unwrap();
    let mut client = database.connect();
    assert_eq!(migrations.upgrade(&mut client).unwrap_err().code(), HISTORY_ELSEWHERE);
    assert_eq!(migrations.downgrade_to(&mut client, "base").unwrap_err().code(), HISTORY_ELSEWHERE);
    assert_eq!(migrations.status(&mut client).unwrap_err().code(), HISTORY_ELSEWHERE);
    assert_eq!(migrations.verify(&mut client).unwrap_err().code(), HISTORY_ELSEWHERE);
    // Another package's history is another one, and a program that has said where it works works there.
    embedded("other", &[("b1", "-- migrate:up\nCREATE TABLE others (a int);\n")]).upgrade(&mut client).unwrap();
    client.batch_execute("SET search_path = public").unwrap();
    assert_eq!(migrations.upgrade(&mut client).unwrap(), Outcome::default());
}

fn a_start_without_anything_to_do_is_two_round_trips(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    embedded("app", &[USERS, EMAIL]).upgrade(&mut client).unwrap();
    let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
    let newest = migrate_runtime::driver::Driver::newest(&mut driver, "app").unwrap().unwrap();
    assert_eq!((newest.applied, newest.count, driver.round_trips()), (true, 2, 2));
    assert_eq!(migrate_runtime::driver::Driver::newest(&mut driver, "other").unwrap(), None);
}

fn packages_share_a_run_in_the_order_of_their_depends(server: &Server) {
    const ORDERS: Texts = &[(
        "a1",
        "-- migrate:depends accounts/a1\n-- migrate:up\nCREATE TABLE orders (of bigint REFERENCES users);\n\
         -- migrate:down\nDROP TABLE orders;\n",
    )];
    let database = server.database();
    let (mut client, orders) = (database.connect(), embedded("orders", ORDERS));
    let joined = Migrations::join([orders, embedded("accounts", &[USERS, EMAIL])]);
    assert_eq!(joined.upgrade(&mut client).unwrap().done.len(), 3);
    joined.verify(&mut client).unwrap();
    let [of_orders, of_accounts] = joined.status(&mut client).unwrap();
    assert_eq!((of_orders.applied.len(), of_accounts.applied.len()), (1, 2));
    assert_eq!(database.tables(), "orders users");
    assert_eq!(names(&orders.downgrade_to(&mut client, "base").unwrap().done), ["a1"]);
    assert_eq!(database.tables(), "users");
}

fn a_failing_statement_takes_everything_back_and_says_where(server: &Server) {
    const WRONG: (&str, &str) =
        ("a2", "-- migrate:up\nINSERT INTO users VALUES (1, 'Zoë');\nSELECT 'ééé', nothing FROM users;\n");
    const TWICE: (&str, &str) =
        ("a2", "-- migrate:up\nINSERT INTO users VALUES (1, 'a'), (2, 'b');\nINSERT INTO users VALUES (2, 'c');\n");
    let database = server.database();
    let mut client = database.connect();
    let error = embedded("app", &[USERS, WRONG]).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), SQL_ERROR);
    let told = error.to_string();
    for words in [
        "column \"nothing\" does not exist",
        "migrations/a2.sql:3:15",
        "SQLSTATE 42703",
        "nothing of this run was kept",
    ] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    assert_eq!(database.tables(), "");
    assert_eq!(database.ask("SELECT to_regclass('_cargo_migrate') IS NULL"), "t");

    let told = embedded("app", &[USERS, TWICE]).upgrade(&mut client).unwrap_err().to_string();
    for words in ["duplicate key", "Key (id)=(2) already exists", "a2.sql:3:1"] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    // The connection is as good as before.
    embedded("app", &[USERS]).upgrade(&mut client).unwrap();
}

fn what_a_revision_claims_is_asked_and_the_question_writes_nothing(server: &Server) {
    const FINE: (&str, &str) = (
        "a2",
        "-- migrate:up\nINSERT INTO users VALUES (1, 'a');\n-- migrate:verify\nSELECT count(*) = 1 FROM users;\n\
         SELECT 1::smallint, 2; SELECT 0.5::real; SELECT 1e-200::float8; SELECT 0.001::numeric; SELECT true WHERE false;\n",
    );
    let database = server.database();
    let mut client = database.connect();
    embedded("app", &[USERS, FINE]).upgrade(&mut client).unwrap();
    for (query, gave) in [
        ("SELECT count(*) = 2 FROM users", "gave false"),
        ("SELECT 0.00::numeric", "gave 0"),
        ("SELECT 0::bigint", "gave 0"),
        ("SELECT NULL::bool", "gave NULL"),
        ("SELECT 't'::text", "gave 't'"),
        ("SELECT now()", "timestamptz"),
    ] {
        let text = format!("-- migrate:up\nCREATE TABLE more (a int);\n-- migrate:verify\n{query};\n");
        let error = embedded("app", vec![USERS, FINE, ("a3", text.leak())].leak()).upgrade(&mut client).unwrap_err();
        assert_eq!(error.code(), VERIFY_FAILED, "{error}");
        let labels: Vec<_> = error.problems()[0].places().iter().map(|place| place.label.clone()).collect();
        assert!(labels.concat().contains(gave), "{query}: {labels:?}");
    }
    const WRITER: &str = "-- migrate:up\nCREATE FUNCTION put() RETURNS bool LANGUAGE sql AS $$ \
        INSERT INTO users VALUES (9, 'put') RETURNING true $$;\n-- migrate:verify\nSELECT put();\n";
    let error = embedded("app", &[USERS, FINE, ("a3", WRITER)]).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), FORBIDDEN_STATEMENT, "{error}");
    assert!(error.to_string().contains("a3.sql:4:1"), "{error}");
    assert_eq!(database.tables(), "users");
}

fn a_program_behind_its_database_is_refused_and_goes_back_only_with_a_backup(server: &Server) {
    let database = server.database();
    let (mut client, older) = (database.connect(), embedded("app", &[USERS]));
    embedded("app", &[USERS, EMAIL]).upgrade(&mut client).unwrap();
    assert_eq!(older.upgrade(&mut client).unwrap_err().code(), AHEAD);
    let back = IfAhead::GoBack(GoBack { allowed: vec!["a2".to_owned()], backup: "backup.sql".into() });
    let error = older.migrator().if_ahead(back).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), NOT_ALLOWED);
    assert!(error.to_string().contains("pg_dump"), "{error}");
    assert_eq!(names(&older.migrator().if_ahead(IfAhead::Warn).upgrade(&mut client).unwrap().ahead), ["a2"]);
    assert_eq!(database.ask("SELECT count(*) FROM _cargo_migrate"), "2");
}

fn a_transaction_of_the_programs_own_is_left_alone(server: &Server) {
    let database = server.database();
    let (mut client, migrations) = (database.connect(), embedded("app", &[USERS]));
    client.batch_execute("BEGIN; CREATE TABLE own (a int)").unwrap();
    assert_eq!(migrations.upgrade(&mut client).unwrap_err().code(), OPEN_TRANSACTION);
    assert_eq!(names(&migrations.pending(&mut client).unwrap()), ["a1"]);
    client.batch_execute("COMMIT").unwrap();
    assert_eq!(database.tables(), "own");
    client.batch_execute("BEGIN").unwrap();
    client.batch_execute("SELECT nonsense").unwrap_err();
    assert_eq!(migrations.upgrade(&mut client).unwrap_err().code(), OPEN_TRANSACTION);
}

fn round_trips_grow_with_statements_and_revisions_alone(server: &Server) {
    let trips_with = |column: &str, applied: usize, revisions: usize, statements: usize| {
        let text = |number: usize| {
            let statements = (0..statements).map(|at| format!("CREATE TABLE t{number}_{at} ({column});\n"));
            format!("-- migrate:up\n{}", statements.collect::<String>())
        };
        let texts: Vec<(&str, &str)> =
            (0..applied + revisions).map(|number| (&*format!("r{number:03}").leak(), &*text(number).leak())).collect();
        let texts: Texts = texts.leak();
        let database = server.database();
        let mut client = database.connect();
        embedded("app", &texts[..applied]).upgrade(&mut client).unwrap();
        let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
        let (graph, directory) = (graph("app", texts), embedded("app", texts));
        let planner = |history: &History| plan::upgrade("app", &graph, history, "head", "this database");
        let options = Options::new(Duration::from_secs(9), &String::new, "0");
        let files = [Files { package: "app", graph: &graph, directory }];
        let report = runner::run(&mut driver, &files, &planner, &options, &mut |_| {}).unwrap();
        assert_eq!(report.done.len(), revisions);
        usize::try_from(driver.round_trips()).unwrap()
    };
    let trips = |applied, revisions, statements| trips_with("a int", applied, revisions, statements);
    let (one, more) = (trips(0, 1, 1), trips(0, 1, 21));
    assert_eq!(more - one, 20);
    // The question at the end of a revision goes with its last statement, and of the rows a few hundred go together.
    let many = trips(0, 300, 1);
    assert!(many - one <= 299 + 5, "{many} for 300 revisions, {one} for one");
    let keys = trips_with("a int PRIMARY KEY", 0, 100, 1);
    assert!(keys - one <= 99 + 5, "{keys} for 100 revisions with keys, {one} for one");
    // After a revision that adds a reference, it is asked whether that can be deferred.
    let references = trips_with("a int PRIMARY KEY, b int REFERENCES t0_0", 0, 100, 1);
    assert!(references - one <= 2 * 99 + 5, "{references} for 100 revisions with references, {one} for one");
    // What the database has by then makes no difference: to make the version table takes one, and so does to read it.
    assert_eq!((trips(1, 1, 1), trips(200, 1, 1)), (one, one));
}
