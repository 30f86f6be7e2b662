//! Several sessions at once, and sessions that end in the middle.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use migrate_runtime::driver::postgres::PostgresDriver;
use migrate_runtime::driver::{Driver as _, Enforcement};
use migrate_runtime::event::Event;
use migrate_runtime::runner::{BUSY, DATABASE};
use postgres::NoTls;

use crate::running::{Texts, USERS, embedded, names};
use crate::server::{Server, config};

crate::tests![
    of_eight_that_start_at_once_each_revision_is_applied_by_one,
    a_process_that_is_killed_leaves_nothing_and_no_lock,
    a_run_of_another_is_waited_for_and_then_told,
    an_index_is_made_while_the_table_is_in_use,
    a_session_that_is_ended_leaves_an_interrupted_revision_that_the_next_run_names,
    an_index_that_fails_is_named_with_what_removes_it_and_one_that_is_being_made_is_not,
    a_connection_that_breaks_is_told_as_such_and_no_password_with_it,
    a_connection_that_comes_to_another_server_process_is_refused,
    a_transaction_that_is_ended_unseen_is_noticed_at_the_end_of_its_revision,
];

/// Names the socket's folder and the database to the process that is to be killed.
pub const CHILD: &str = "CARGO_MIGRATE_TEST_CHILD";

const SLOW: (&str, &str) = ("a2", "-- migrate:up\nCREATE TABLE slow (a int);\nINSERT INTO slow VALUES (1);\n");

/// Upgrades, and stands still once the second revision has run.
pub fn child(database: &str) -> ExitCode {
    let (socket, name) = database.split_once('|').unwrap();
    let mut client = config(std::path::Path::new(socket), name).connect(NoTls).unwrap();
    let migrations = embedded("app", &[USERS, SLOW]);
    let stand = |event: Event<'_>| {
        if matches!(event, Event::Finished(step, _) if step.id.as_str() == "a2") {
            println!("in the middle");
            std::thread::sleep(Duration::from_secs(60));
        }
    };
    migrations.migrator().observe(stand).upgrade(&mut client).unwrap();
    ExitCode::FAILURE
}

#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn of_eight_that_start_at_once_each_revision_is_applied_by_one(server: &Server) {
    let database = server.database();
    let migrations = embedded("app", &[USERS, SLOW]);
    let done: Vec<usize> = std::thread::scope(|scope| {
        let start = || {
            let mut client = database.connect();
            migrations.upgrade(&mut client).unwrap().done.len()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(done.iter().sum::<usize>(), 2, "{done:?}");
    assert_eq!((database.ask("SELECT count(*) FROM slow"), database.advisory_locks()), ("1".into(), "0".into()));
}

fn a_process_that_is_killed_leaves_nothing_and_no_lock(server: &Server) {
    let database = server.database();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, format!("{}|{}", server.socket().display(), database.name))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut told).unwrap();
    assert_eq!(told, "in the middle\n");
    assert_eq!(database.advisory_locks(), "1");
    child.kill().unwrap();
    child.wait().unwrap();

    // Whoever comes next waits for the server to notice, and no longer.
    assert_eq!(names(&embedded("app", &[USERS, SLOW]).upgrade(&mut database.connect()).unwrap().done), ["a1", "a2"]);
    assert_eq!((database.ask("SELECT count(*) FROM slow"), database.advisory_locks()), ("1".into(), "0".into()));
}

fn a_run_of_another_is_waited_for_and_then_told(server: &Server) {
    let database = server.database();
    let migrations = embedded("app", &[USERS]);
    let mut inner = database.connect();
    let mut refused = None;
    let (mut client, mut looked) = (database.connect(), 0);
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Started(_)) {
            looked += 1;
            let error = migrations.migrator().wait(Duration::from_millis(200)).upgrade(&mut inner).unwrap_err();
            refused = Some(error);
        }
    };
    migrations.migrator().observe(observe).upgrade(&mut client).unwrap();
    let error = refused.unwrap();
    assert_eq!((looked, error.code()), (1, BUSY));
    assert!(error.to_string().contains("`the tests`) migrates this database"), "{error}");
}

const CONCURRENTLY: (&str, &str) = (
    "a2",
    "-- migrate:no-transaction\n-- migrate:up\nCREATE INDEX CONCURRENTLY users_by_name ON users (name);\n\
     -- migrate:down\nDROP INDEX CONCURRENTLY users_by_name;\n",
);

fn an_index_is_made_while_the_table_is_in_use(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    let migrations = embedded(
        "app",
        &[
            USERS,
            CONCURRENTLY,
            ("a3", "-- migrate:up\nCREATE TABLE after (a int);\n-- migrate:down\nDROP TABLE after;\n"),
        ],
    );
    assert_eq!(migrations.upgrade(&mut client).unwrap().done.len(), 3);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_by_name'::regclass";
    assert_eq!(database.ask(valid), "t");
    migrations.verify(&mut client).unwrap();
    assert_eq!(names(&migrations.downgrade_to(&mut client, "a1").unwrap().done), ["a3", "a2"]);
    assert_eq!(database.advisory_locks(), "0");
}

fn a_session_that_is_ended_leaves_an_interrupted_revision_that_the_next_run_names(server: &Server) {
    let database = server.database();
    embedded("app", &[USERS]).upgrade(&mut database.connect()).unwrap();
    // An open transaction that has written keeps the index waiting.
    let mut other = database.connect();
    other.batch_execute("BEGIN; INSERT INTO users VALUES (1, 'a')").unwrap();
    let migrations = embedded("app", &[USERS, CONCURRENTLY]);
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| migrations.upgrade(&mut database.connect()).unwrap_err());
        let building = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONC%'";
        eventually("the index is begun", || database.ask(&format!("SELECT count(*) {building}")) == "1");
        assert_eq!(database.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
        database.ask(&format!("SELECT pg_terminate_backend(pid) {building}"));
        run.join().unwrap()
    });
    assert_eq!(error.code(), DATABASE, "{error}");
    assert!(error.to_string().contains("connection to the database is lost"), "{error}");
    assert!(error.to_string().contains("a2.sql:3:1"), "{error}");
    other.batch_execute("ROLLBACK").unwrap();

    let again = migrations.upgrade(&mut database.connect()).unwrap_err();
    assert!(again.to_string().contains("`a2`") && again.to_string().contains("interrupted"), "{again}");
    assert_eq!(database.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    let removes = "DROP INDEX CONCURRENTLY \"public\".\"users_by_name\";";
    assert!(again.to_string().contains(removes), "{again}");

    // What it says to type works, and is not said any more.
    database.connect().batch_execute(removes).unwrap();
    let again = migrations.upgrade(&mut database.connect()).unwrap_err();
    assert!(!again.to_string().contains("DROP INDEX"), "{again}");
    database.connect().batch_execute("DELETE FROM _cargo_migrate WHERE revision = 'a2'").unwrap();
    assert_eq!(names(&migrations.upgrade(&mut database.connect()).unwrap().done), ["a2"]);
}

fn an_index_that_fails_is_named_with_what_removes_it_and_one_that_is_being_made_is_not(server: &Server) {
    const TWICE: (&str, &str) = (
        "a3",
        "-- migrate:no-transaction\n-- migrate:up\nINSERT INTO users VALUES (1, 'a'), (2, 'b');\n\
         CREATE UNIQUE INDEX CONCURRENTLY \"one \"\"name\" ON users ((length(name)));\n",
    );
    let database = server.database();
    embedded("app", &[USERS]).upgrade(&mut database.connect()).unwrap();
    // A session of another role builds one of its own, and one of a partitioned table lacks its parts.
    let mut other = database.connect();
    let own = "CREATE TABLE own (a int); CREATE TABLE parts (a int) PARTITION BY LIST (a); \
        CREATE TABLE part PARTITION OF parts FOR VALUES IN (1); CREATE INDEX whole ON ONLY parts (a)";
    other.batch_execute(own).unwrap();
    other.batch_execute("BEGIN; LOCK TABLE own IN ROW EXCLUSIVE MODE").unwrap();
    std::thread::scope(|scope| {
        let building = scope.spawn(|| database.connect().batch_execute("CREATE INDEX CONCURRENTLY made ON own (a)"));
        eventually("the index is begun", || database.ask("SELECT to_regclass('made') IS NOT NULL") == "t");
        let mut client = database.connect();
        let mut left = || PostgresDriver::new(&mut client, "_cargo_migrate").left_behind().unwrap();
        assert_eq!(left(), [""; 0]);
        let stranger = format!("stranger_{}", database.name);
        database.connect().batch_execute(&format!("CREATE ROLE {stranger} LOGIN")).unwrap();
        let mut stranger = database.config().user(&stranger).connect(NoTls).unwrap();
        assert_eq!(PostgresDriver::new(&mut stranger, "_cargo_migrate").left_behind().unwrap(), [""; 0]);
        other.batch_execute("ROLLBACK").unwrap();
        building.join().unwrap().unwrap();
        assert_eq!(left(), [""; 0]);
    });
    let error = embedded("app", &[USERS, TWICE]).upgrade(&mut database.connect()).unwrap_err();
    for words in
        ["could not create unique index", "a3.sql:4:1", "`DROP INDEX CONCURRENTLY \"public\".\"one \"\"name\";`"]
    {
        assert!(error.to_string().contains(words), "`{words}` is not in\n{error}");
    }
}

fn a_connection_that_breaks_is_told_as_such_and_no_password_with_it(server: &Server) {
    const ENDS: Texts = &[USERS, ("a2", "-- migrate:up\nSELECT pg_terminate_backend(pg_backend_pid());\n")];
    let database = server.database();
    let password = "pa ss'w@o:r/d%\\";
    let mut client = database.config().password(password).connect(NoTls).unwrap();
    let driver = migrate_runtime::driver::postgres::PostgresDriver::new(&mut client, "_m");
    assert!(!format!("{driver:?}").contains(password));
    drop(driver);
    let error = embedded("app", ENDS).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), DATABASE);
    assert!(error.to_string().contains("connection to the database is lost"), "{error}");
    let closed = embedded("app", ENDS).upgrade(&mut client).unwrap_err();
    assert!(closed.to_string().contains("connection to the database is lost"), "{closed}");
    for error in [error, closed] {
        assert!(!format!("{error} {error:?} {:?}", error.problems()).contains(password));
    }
    assert_eq!(database.tables(), "");
}

fn a_connection_that_comes_to_another_server_process_is_refused(server: &Server) {
    let database = server.database();
    let pooler = Pooler::before(server);
    let mut client = config(pooler.folder.path(), &database.name).connect(NoTls).unwrap();
    let error = embedded("app", &[USERS]).upgrade(&mut client).unwrap_err();
    assert_eq!(error.code(), DATABASE, "{error}");
    assert!(
        error.to_string().contains("another process of the server") && error.to_string().contains("pooler"),
        "{error}"
    );
    assert_eq!(database.tables(), "");
}

fn a_transaction_that_is_ended_unseen_is_noticed_at_the_end_of_its_revision(server: &Server) {
    let database = server.database();
    let mut client = database.connect();
    let mut driver = PostgresDriver::new(&mut client, "_m");
    for statement in ["COMMIT", "COMMIT; BEGIN"] {
        driver.begin(Enforcement::Deferred, Duration::from_secs(9), &mut || {}).unwrap();
        driver.execute("SELECT 1").unwrap();
        assert_eq!(driver.end_step(), Ok(true));
        driver.execute(statement).unwrap();
        assert_eq!(driver.end_step(), Ok(false), "{statement}");
        driver.rollback();
        driver.release_split();
        assert_eq!(driver.in_transaction(), Ok(false));
    }
}

/// What stands between a program and the server and gives each transaction to the next of two sessions.
pub struct Pooler {
    pub folder: tempfile::TempDir,
}

impl Pooler {
    pub fn before(server: &Server) -> Self {
        let folder = tempfile::Builder::new().prefix("pool").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let target = server.socket().join(".s.PGSQL.5432");
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            // It ends with the client's connection.
            let _ = pool(&mut client, &target);
        });
        Self { folder }
    }
}

fn pool(client: &mut UnixStream, target: &Path) -> std::io::Result<()> {
    let mut sessions = [UnixStream::connect(target)?, UnixStream::connect(target)?];
    let start = message(client, false)?;
    for session in &mut sessions {
        session.write_all(&start)?;
    }
    let answer = until_ready(&mut sessions[0])?;
    until_ready(&mut sessions[1])?;
    client.write_all(&answer)?;
    let mut at = 0;
    loop {
        let asked = message(client, true)?;
        sessions[at].write_all(&asked)?;
        let answer = until_ready(&mut sessions[at])?;
        client.write_all(&answer)?;
        if answer.last() == Some(&b'I') {
            at = 1 - at;
        }
    }
}

/// A message: its type, where it has one, its length and its content.
pub fn message(from: &mut UnixStream, has_type: bool) -> std::io::Result<Vec<u8>> {
    let mut head = vec![0; if has_type { 5 } else { 4 }];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap());
    let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
    from.read_exact(&mut rest)?;
    Ok([head, rest].concat())
}

/// All that a session says until it waits for the next question; the last byte tells whether a transaction is open.
pub fn until_ready(from: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    loop {
        let next = message(from, true)?;
        said.extend_from_slice(&next);
        if next[0] == b'Z' {
            return Ok(said);
        }
    }
}
