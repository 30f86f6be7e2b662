//! What happens to a run on a server alone: it is killed, or its session, or the server; rights and databases are missing;
//! another session is in the way. Nothing is left half way, what is said leads on, and the next run succeeds.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::ground::OnServer;
use crate::harness::{Project, Ran, table};
use crate::server::Server;

tests! {
    a_run_that_is_killed_has_done_nothing_and_lets_its_locks_go,
    a_session_that_the_server_ends_has_done_nothing,
    a_server_that_crashes_in_the_middle_has_nothing_of_the_run_when_it_is_back,
    a_role_without_the_right_is_refused_and_named,
    a_database_that_is_not_there_is_made_on_request_alone,
    a_server_that_is_not_there_is_told_at_once_and_stops_no_other,
    a_session_that_holds_the_table_is_waited_for_and_then_told,
}

/// A project at `a1`, with a pending `a2` that makes tables and then sleeps.
pub(crate) fn sleeping(server: &Server, seconds: u32) -> Project {
    let project = Project::on(&OnServer::of(server));
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x int);\n-- migrate:down\nDROP TABLE t;\n",
    );
    project.run(&["upgrade"]).done();
    project.migration(
        "a2",
        &format!(
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x int);\nINSERT INTO t VALUES (1);\nSELECT pg_sleep({seconds});\n\
             -- migrate:down\nDROP TABLE u;\nDELETE FROM t;\n"
        ),
    );
    project
}

pub(crate) const ASLEEP: &str = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

/// A run that has come to its sleep.
pub(crate) fn asleep(project: &Project, arguments: &[&str]) -> Child {
    let mut command = project.command(arguments);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the run sleeps", || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        project.ask(&format!("SELECT count(*) {ASLEEP}")) == "1"
    });
    child
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn killed(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Exactly `a1` is there, and nobody holds a lock.
#[track_caller]
pub(crate) fn is_as_before(project: &Project) {
    assert_eq!(project.tables(), ["t"]);
    assert_eq!(project.ask("SELECT count(*) FROM t"), "0");
    assert_eq!(project.list("SELECT revision || ' ' || state FROM _cargo_migrate"), ["a1 applied"]);
    project.run(&["current"]).done().says("a1");
    assert_eq!(project.ask(LOCKS), "0");
}

#[track_caller]
pub(crate) fn is_upgraded(project: &Project) {
    assert_eq!(project.tables(), ["t", "u"]);
    assert_eq!(project.ask("SELECT count(*) FROM t"), "1");
    project.run(&["current", "--check-heads"]).done().says("a2");
    assert_eq!(project.ask(LOCKS), "0");
}

fn a_run_that_is_killed_has_done_nothing_and_lets_its_locks_go(server: &Server) {
    let project = sleeping(server, 2);
    killed(asleep(&project, &["upgrade"]));
    // The server notices when it has something to say to the one who is dead.
    eventually("the session is gone", || project.ask(LOCKS) == "0");
    is_as_before(&project);
    // Whoever comes while the dead one's session is there waits for it.
    killed(asleep(&project, &["upgrade"]));
    project.run(&["upgrade"]).done();
    is_upgraded(&project);
}

fn a_session_that_the_server_ends_has_done_nothing(server: &Server) {
    let project = sleeping(server, 2);
    let child = asleep(&project, &["upgrade"]);
    project.ask(&format!("SELECT pg_terminate_backend(pid) {ASLEEP}"));
    let ran = Ran::of(&child.wait_with_output().unwrap()).refused(&[
        "error[",
        "a2.sql:5:1",
        // The server's own reason may be lost with the line.
        "the connection to the database is lost",
        "help: ",
    ]);
    ran.is_printable();
    is_as_before(&project);
    project.run(&["upgrade"]).done();
    is_upgraded(&project);
}

fn a_server_that_crashes_in_the_middle_has_nothing_of_the_run_when_it_is_back(server: &Server) {
    let mut own = Server::start(&server.programs);
    let project = sleeping(&own, 2);
    let child = asleep(&project, &["upgrade"]);
    own.crash();
    let ran = Ran::of(&child.wait_with_output().unwrap()).refused(&["error[", "a2.sql:5:1", "help: "]);
    ran.is_printable();
    // While it is down, that is what is said.
    project.run_bounded(&["upgrade"]).refused(&["error[", "help: "]);
    own.start_again();
    is_as_before(&project);
    project.run(&["upgrade"]).done();
    is_upgraded(&project);
}

fn a_role_without_the_right_is_refused_and_named(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    let database = project.ask("SELECT current_database()");
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.execute("CREATE ROLE visitor LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = ground.url_of(&database).replace("postgres@", "visitor@");
    project.refuses(&["-d", &url, "upgrade"], &["error[database]", "permission denied for schema public"]);
    assert!(project.databases().is_untouched("dev"));
    // Who may make tables may migrate: nothing more is asked for.
    project.execute("GRANT CREATE ON SCHEMA public TO visitor");
    project.run(&["-d", &url, "upgrade"]).done();
    assert_eq!(project.tables(), ["t"]);
    // Another's table is not his to change.
    project.execute("CREATE TABLE others (x int)");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x int);\nALTER TABLE others ADD y int;\n",
    );
    project.refuses(&["-d", &url, "upgrade"], &["a2.sql:4:1", "must be owner of table others"]);
    assert_eq!(project.tables(), ["others", "t"]);
    project.execute("DROP OWNED BY visitor; DROP ROLE visitor");
}

fn a_database_that_is_not_there_is_made_on_request_alone(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    let manifest = project.read("Cargo.toml");
    let url = ground.url_of("not \"there\"").replace(' ', "%20").replace('"', "%22");
    project.write("Cargo.toml", &format!("{manifest}later = {{ url = \"{url}\" }}\n"));
    let exists = || {
        ground.session("postgres").query("SELECT FROM pg_database WHERE datname = 'not \"there\"'", &[]).unwrap().len()
    };
    project.refuses(&["-d", "later", "upgrade"], &["error[missing-database]", "not \"there\"", "upgrade --create"]);
    for looking in ["status", "current", "history", "verify"] {
        project.run(&["-d", "later", looking]).done();
    }
    assert_eq!(exists(), 0);
    project.run(&["-d", "later", "upgrade", "--create"]).done();
    project.run(&["-d", "later", "current"]).done().says("a1");
    assert_eq!(exists(), 1);
    ground.session("postgres").batch_execute("DROP DATABASE \"not \"\"there\"\"\"").unwrap();
}

fn a_server_that_is_not_there_is_told_at_once_and_stops_no_other(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.migration("a2", &table("a1", "u").replace("(x)", "(x int)"));
    let manifest = project.read("Cargo.toml");
    for nowhere in ["postgres://nobody@%2Ftmp%2Fno-such-folder/shop", "postgres://nobody@127.0.0.1:1/shop"] {
        project.write("Cargo.toml", &format!("{manifest}away = {{ url = \"{nowhere}\" }}\n"));
        for command in [&["upgrade"][..], &["status"], &["current"], &["downgrade", "base"]] {
            let ran = project.refuses(&[&["-d", "away"], command].concat(), &["error[", "shop"]);
            assert!(!ran.err.contains("missing-database"), "{}", ran.err);
        }
        // What is looked for in every database is looked for in those that are there.
        let ran = project.run(&["status", "--workspace"]);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        project.run(&["revision", "-m", "x", "--rev-id", "x1"]).done();
        project.run(&["delete", "x1"]).done().says("away");
    }
    project.run(&["upgrade"]).done();
}

fn a_session_that_holds_the_table_is_waited_for_and_then_told(server: &Server) {
    let ground = OnServer::of(server);
    let project = sleeping(server, 0);
    let mut other = ground.session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    let ran =
        project.run(&["upgrade", "--wait", "1"]).refused(&["error[database-busy]", "a2.sql:4:1", "--wait SECONDS"]);
    ran.is_printable();
    other.batch_execute("ROLLBACK").unwrap();
    is_as_before(&project);
    // Who lets go in time is waited for.
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    let waiting = project.command(&["upgrade", "--wait", "60"]).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    other.batch_execute("COMMIT").unwrap();
    Ran::of(&waiting.wait_with_output().unwrap()).done();
    is_upgraded(&project);
}
