//! Other sessions that hold what a run needs: let by, waited for, and told of in the end.

use std::cell::RefCell;
use std::time::Duration;

use migrate_runtime::build_support::problem::Problem;
use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::driver::{Driver as _, Enforcement};
use migrate_runtime::event::Event;
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, Step};
use migrate_runtime::runner::{self, BUSY, DATABASE, Files, Options};

use crate::running::{Texts, USERS, embedded, graph, names};
use crate::server::{Database, Server};

crate::tests![
    a_lock_that_is_let_go_in_time_costs_a_second_attempt_and_nothing_else,
    a_lock_that_stays_is_told_with_who_holds_it_and_how_to_go_on,
    who_comes_after_a_run_that_waits_is_let_by,
    whatever_only_missed_a_lock_is_tried_again_and_nothing_else_is,
    what_is_committed_is_not_run_again_and_outside_a_transaction_nothing_is,
    a_statement_waits_for_a_lock_as_long_as_the_session_says_or_three_seconds,
    a_revision_that_lets_go_of_the_runs_lock_has_it_taken_again,
];

const MORE: (&str, &str) =
    ("a2", "-- migrate:up\nINSERT INTO users VALUES (1, 'a');\nALTER TABLE users ADD more int;\n");

/// A run as the command makes it, with what it tells.
pub struct Ran {
    pub result: Result<runner::Report, runner::Stopped>,
    told: Vec<&'static str>,
    pauses: Vec<Duration>,
    copies: usize,
}

pub fn run(
    database: &Database<'_>,
    texts: Texts,
    per_revision: bool,
    wait: Duration,
    retrying: &mut dyn FnMut(),
) -> Ran {
    let (graph, directory) = (graph("app", texts), embedded("app", texts));
    let planner = |history: &History| plan::upgrade("app", &graph, history, "head", "this database");
    let (copies, mut told, mut pauses) = (RefCell::new(0), Vec::new(), Vec::new());
    let before = |_: &[Step]| -> Result<(), Problem> {
        *copies.borrow_mut() += 1;
        Ok(())
    };
    let options = Options { per_revision, before: Some(&before), ..Options::new(wait, &String::new, "0") };
    let files = [Files { package: "app", graph: &graph, directory }];
    let mut observe = |event: Event<'_>| match event {
        Event::Planned(_) => told.push("planned"),
        Event::Retrying { pause, .. } => {
            told.push("retrying");
            pauses.push(pause);
            retrying();
        }
        Event::Finished(..) => told.push("finished"),
        Event::Committed => told.push("committed"),
        _ => {}
    };
    let mut client = database.connect();
    let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
    let result = runner::run(&mut driver, &files, &planner, &options, &mut observe);
    assert_eq!(driver.in_transaction(), Ok(false));
    drop(driver);
    assert_eq!(database.advisory_locks(), "0");
    Ran { result, told, pauses, copies: copies.into_inner() }
}

/// Raises an error of this kind the first few times that it runs.
fn fails_at_first(sqlstate: &str, times: usize) -> String {
    format!("DO $$ BEGIN IF nextval('tries') <= {times} THEN RAISE SQLSTATE '{sqlstate}'; END IF; END $$;\n")
}

const LONG: Duration = Duration::from_secs(60);

fn a_lock_that_is_let_go_in_time_costs_a_second_attempt_and_nothing_else(server: &Server) {
    let database = server.database();
    database.connect().batch_execute(&format!("ALTER DATABASE {} SET lock_timeout = '100ms'", database.name)).unwrap();
    let mut other = database.connect();
    other.batch_execute("CREATE TABLE busy (a int)").unwrap();
    other.batch_execute("BEGIN; SELECT * FROM busy").unwrap();
    const TEXTS: Texts = &[USERS, ("a2", "-- migrate:up\nINSERT INTO users VALUES (1, 'a');\nDROP TABLE busy;\n")];
    let ran = run(&database, TEXTS, false, LONG, &mut || other.batch_execute("ROLLBACK").unwrap());
    assert_eq!(ran.told, ["planned", "finished", "retrying", "finished", "finished", "committed"]);
    assert_eq!((ran.result.unwrap().done.len(), ran.copies), (2, 1));
    assert_eq!(database.tables(), "users");
    let rows =
        database.ask("SELECT string_agg(concat(revision, ' ', sequence), ', ' ORDER BY sequence) FROM _cargo_migrate");
    assert_eq!((rows.as_str(), database.ask("SELECT count(*) FROM users")), ("a1 1, a2 2", "1".to_owned()));
}

fn a_lock_that_stays_is_told_with_who_holds_it_and_how_to_go_on(server: &Server) {
    let database = server.database();
    embedded("app", &[USERS]).upgrade(&mut database.connect()).unwrap();
    let mut bystander = database.connect();
    bystander.batch_execute("CREATE TABLE elsewhere (a int)").unwrap();
    bystander.batch_execute("BEGIN; SELECT * FROM elsewhere").unwrap();
    let mut other = database.connect();
    other.batch_execute("BEGIN; SELECT * FROM users").unwrap();
    let process: i32 = other.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let ran = run(&database, &[USERS, MORE], false, Duration::from_millis(400), &mut || {});
    let problems = ran.result.unwrap_err().problems;
    assert_eq!(problems.iter().map(Problem::code).collect::<Vec<_>>(), [BUSY]);
    let told = problems[0].plain_lines().join("\n");
    for words in [
        "migrations/a2.sql:3:1",
        "lock timeout",
        &format!("process {process} (`the tests`), idle in transaction, in a transaction of "),
        " s, holds `users`; ",
        &format!("`SELECT pg_terminate_backend({process});`"),
        "`--wait SECONDS`",
        "end the session",
        "nothing of this run was kept",
    ] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    assert!(!told.contains("elsewhere"), "{told}");

    // A row is waited for like a table.
    other.batch_execute("ROLLBACK; INSERT INTO users VALUES (1, 'b')").unwrap();
    other.batch_execute("BEGIN; UPDATE users SET name = 'c'").unwrap();
    const ROW: Texts = &[USERS, ("a2", "-- migrate:up\nUPDATE users SET name = 'd';\n")];
    let told = run(&database, ROW, false, Duration::from_millis(400), &mut || {}).result.unwrap_err().problems[0]
        .plain_lines()
        .join("\n");
    assert!(told.contains("holds `users`") && told.contains("while updating tuple"), "{told}");
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(run(&database, ROW, false, LONG, &mut || {}).result.unwrap().done.len(), 1);
}

fn who_comes_after_a_run_that_waits_is_let_by(server: &Server) {
    let database = server.database();
    embedded("app", &[USERS]).upgrade(&mut database.connect()).unwrap();
    let (mut other, mut next) = (database.connect(), database.connect());
    other.batch_execute("BEGIN; SELECT * FROM users").unwrap();
    next.batch_execute("SET lock_timeout = '1ms'").unwrap();
    database.connect().batch_execute(&format!("ALTER DATABASE {} SET lock_timeout = '700ms'", database.name)).unwrap();
    let mut times = 0;
    let ran = run(&database, &[USERS, MORE], false, LONG, &mut || {
        next.batch_execute("INSERT INTO users SELECT count(*) + 10, 'next' || count(*) FROM users").unwrap();
        times += 1;
        if times == 2 {
            other.batch_execute("ROLLBACK").unwrap();
        }
    });
    assert_eq!(ran.result.unwrap().done.len(), 1);
    assert_eq!((times, database.ask("SELECT count(*) FROM users")), (2, "3".to_owned()));
    // They have as much time as the run has kept them waiting.
    assert!(ran.pauses.iter().all(|pause| *pause >= Duration::from_millis(700)), "{:?}", ran.pauses);
}

fn whatever_only_missed_a_lock_is_tried_again_and_nothing_else_is(server: &Server) {
    for (sqlstate, code) in [("55P03", None), ("40P01", None), ("40001", None), ("57014", Some(DATABASE))] {
        let database = server.database();
        database.connect().batch_execute("CREATE SEQUENCE tries").unwrap();
        let text = format!("-- migrate:up\nCREATE TABLE t (a int);\n{}", fails_at_first(sqlstate, 2));
        let ran = run(&database, vec![USERS, ("a2", text.leak())].leak(), false, LONG, &mut || {});
        let failed = ran.result.as_ref().err().map(|stopped| stopped.problems[0].code());
        assert_eq!((failed, ran.copies), (code, 1), "{sqlstate}");
        let tries = database.ask("SELECT last_value FROM tries");
        assert_eq!(tries, if code.is_none() { "3" } else { "1" }, "{sqlstate}");
    }
    // Where nothing may be waited for, it is tried once.
    let database = server.database();
    database.connect().batch_execute("CREATE SEQUENCE tries").unwrap();
    let text: &str = format!("-- migrate:up\n{}", fails_at_first("40001", 1)).leak();
    let texts: Texts = vec![USERS, ("a2", text)].leak();
    let stopped = run(&database, texts, false, Duration::ZERO, &mut || {}).result.unwrap_err();
    assert_eq!((stopped.problems[0].code(), database.tables().as_str()), (BUSY, ""));
    assert_eq!(run(&database, texts, false, Duration::ZERO, &mut || {}).result.unwrap().done.len(), 2);

    // What a verify section asks, and what is checked at a revision's end, misses locks as well.
    const VERIFY: (&str, &str) =
        ("a2", "-- migrate:up\nCREATE TABLE t (a int);\n-- migrate:verify\nSELECT count(*) = 0 FROM held;\n");
    const LATE: (&str, &str) = (
        "a3",
        "-- migrate:up\nCREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('tries') = 1 THEN RAISE SQLSTATE '55P03'; END IF; RETURN NULL; END $$;\n\
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();\n\
         INSERT INTO t VALUES (1);\n",
    );
    let database = server.database();
    let mut other = database.connect();
    other.batch_execute(&format!("ALTER DATABASE {} SET lock_timeout = '50ms'", database.name)).unwrap();
    other.batch_execute("CREATE SEQUENCE tries; CREATE TABLE held (a int)").unwrap();
    other.batch_execute("BEGIN; LOCK TABLE held").unwrap();
    let ran = run(&database, &[USERS, VERIFY], false, LONG, &mut || other.batch_execute("ROLLBACK").unwrap());
    assert_eq!(ran.told, ["planned", "finished", "retrying", "finished", "finished", "committed"]);
    let ran = run(&database, &[USERS, VERIFY, LATE], false, LONG, &mut || {});
    assert_eq!(ran.told, ["planned", "retrying", "finished", "committed"]);

    // So does the reading of the version table, before anything is planned.
    other.batch_execute("BEGIN; LOCK TABLE _cargo_migrate").unwrap();
    let ran = run(&database, &[USERS, VERIFY, LATE], false, LONG, &mut || other.batch_execute("ROLLBACK").unwrap());
    assert_eq!((ran.told, ran.copies), (vec!["retrying", "planned"], 0));
}

fn what_is_committed_is_not_run_again_and_outside_a_transaction_nothing_is(server: &Server) {
    let database = server.database();
    database.connect().batch_execute("CREATE SEQUENCE tries").unwrap();
    let text = |head: &str, times| &*format!("-- migrate:{head}up\n{}", fails_at_first("55P03", times)).leak();
    let texts: Texts = vec![USERS, ("a2", text("", 1)), ("a3", text("no-transaction\n-- migrate:", 4))].leak();
    let ran = run(&database, texts, true, LONG, &mut || {});
    // The step outside is recorded first, which is a commit of its own.
    assert_eq!(ran.told, ["planned", "finished", "committed", "retrying", "finished", "committed", "committed"]);
    let stopped = ran.result.unwrap_err();
    assert_eq!(stopped.problems[0].code(), BUSY);
    assert_eq!(names(&stopped.kept.iter().map(|step| step.id.clone()).collect::<Vec<_>>()), ["a1", "a2"]);
    assert_eq!((database.ask("SELECT last_value FROM tries").as_str(), ran.copies), ("3", 1));
    let states = "SELECT string_agg(concat(revision, ' ', state), ', ' ORDER BY sequence) FROM _cargo_migrate";
    assert_eq!(database.ask(states), "a1 applied, a2 applied, a3 running");
}

fn a_statement_waits_for_a_lock_as_long_as_the_session_says_or_three_seconds(server: &Server) {
    const SAYS: Texts = &[(
        "a1",
        "-- migrate:up\nCREATE TABLE says AS SELECT current_setting('lock_timeout') || ' ' || \
         current_setting('statement_timeout') AS it;\n-- migrate:down\nDROP TABLE says;\n",
    )];
    let database = server.database();
    let mut client = database.connect();
    for (set, wait, says) in [
        ("0", 30_000, "3s 1h"),
        ("0", 200, "200ms 1h"),
        ("0", 0, "1ms 1h"),
        ("7s", 200, "200ms 1h"),
        ("7s", 30_000, "7s 1h"),
        ("5ms", 30_000, "5ms 1h"),
    ] {
        client
            .batch_execute(&format!("SET lock_timeout = '{set}'; SET own.set = '{set}'; SET statement_timeout = '1h'"))
            .unwrap();
        embedded("app", SAYS).migrator().wait(Duration::from_millis(wait)).upgrade(&mut client).unwrap();
        assert_eq!(database.ask("SELECT it FROM says"), says);
        embedded("app", SAYS).downgrade_to(&mut client, "base").unwrap();
        let stays = client.query_one("SELECT current_setting('lock_timeout') = current_setting('own.set')", &[]);
        assert!(stays.unwrap().get::<_, bool>(0), "{set}");
    }
}

fn a_revision_that_lets_go_of_the_runs_lock_has_it_taken_again(server: &Server) {
    const LETS_GO: Texts = &[
        USERS,
        ("a2", "-- migrate:no-transaction\n-- migrate:up\nDISCARD ALL;\n"),
        ("a3", "-- migrate:no-transaction\n-- migrate:up\nSELECT pg_advisory_unlock_all();\n"),
        ("a4", "-- migrate:up\nCREATE TABLE t (a int);\n"),
    ];
    let database = server.database();
    let mut client = database.connect();
    let mut held = Vec::new();
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Finished(..)) {
            held.push(database.advisory_locks());
        }
    };
    let done = embedded("app", LETS_GO).migrator().observe(observe).upgrade(&mut client).unwrap().done;
    assert_eq!((done.len(), held.concat().as_str()), (4, "1111"));
    assert_eq!(database.advisory_locks(), "0");

    // Where another run has taken it meanwhile, that one is waited for and told.
    let mut other = database.connect();
    let mut driver = PostgresDriver::new(&mut client, "_cargo_migrate");
    driver.begin(Enforcement::Deferred, LONG, &mut || {}).unwrap();
    driver.rollback();
    driver.execute("SELECT pg_advisory_unlock_all()").unwrap();
    let mut second = PostgresDriver::new(&mut other, "_cargo_migrate");
    second.begin(Enforcement::Deferred, LONG, &mut || {}).unwrap();
    let error = driver.begin(Enforcement::Deferred, Duration::from_millis(50), &mut || {}).unwrap_err();
    assert!(error.message.contains("migrates this database"), "{error:?}");
    drop(second);
    driver.begin(Enforcement::Deferred, LONG, &mut || {}).unwrap();
    drop(driver);
    assert_eq!(database.advisory_locks(), "0");
}
