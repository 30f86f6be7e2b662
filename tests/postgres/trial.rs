//! What a stranger met who tried the command on a server: each of it is told so that the next step is known, and nothing is
//! left on the server.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults::{ASLEEP, LOCKS, asleep, eventually, is_as_before, is_upgraded, sleeping};
use crate::ground::OnServer;
use crate::harness::{Project, Ran, table};
use crate::server::Server;

tests! {
    an_interrupted_run_leaves_nothing_running_on_the_server,
    an_interrupted_run_of_many_databases_leaves_nothing_running_either,
    a_hangup_that_is_to_be_ignored_interrupts_nothing,
    a_cancelled_statement_is_not_said_to_be_at_fault,
    a_dry_run_says_that_it_makes_no_database,
    a_schema_that_is_not_there_is_named,
    a_right_that_is_missing_is_named_with_what_grants_it,
    a_check_says_what_it_does_not_compare,
    keywords_and_values_are_answered_with_a_url,
    a_pattern_whose_databases_have_no_such_schema_says_so,
}

const SESSIONS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Sends a signal as a terminal or a supervisor does.
fn signalled(child: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn an_interrupted_run_leaves_nothing_running_on_the_server(server: &Server) {
    for (arguments, name, number) in [
        (&["upgrade"][..], "-INT", 2),
        (&["upgrade", "--per-revision"], "-TERM", 15),
        (&["upgrade", "--dry-run"], "-TERM", 15),
        (&["sync"], "-INT", 2),
    ] {
        let project = sleeping(server, 30);
        let child = asleep(&project, arguments);
        let start = Instant::now();
        signalled(&child, name);
        let output = child.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(15), "{arguments:?}");
        // The shell that has started it shows 128 and the signal.
        assert_eq!(output.status.signal(), Some(number), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("interrupted: the server takes back what was not committed"), "{said}");
        assert!(!said.contains("error"), "{said}");
        assert_eq!(project.ask(SESSIONS), "0");
        is_as_before(&project);
        let a2 = project.read("migrations/a2.sql").replace("pg_sleep(30)", "pg_sleep(0)");
        project.write("migrations/a2.sql", &a2);
        project.run(&["upgrade"]).done();
        is_upgraded(&project);
    }
}

fn an_interrupted_run_of_many_databases_leaves_nothing_running_either(server: &Server) {
    let project = sleeping(server, 30);
    let url = project.url("dev");
    let child = asleep(&project, &["upgrade", "--each", &url]);
    signalled(&child, "-INT");
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("interrupted: "), "{said}");
    assert_eq!(project.ask(SESSIONS), "0");
    is_as_before(&project);
}

fn a_hangup_that_is_to_be_ignored_interrupts_nothing(server: &Server) {
    let project = sleeping(server, 2);
    let command = project.command(&["upgrade"]);
    let mut ignoring = Command::new("nohup");
    ignoring.arg(command.get_program()).args(command.get_args());
    ignoring.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => ignoring.env(name, value),
            None => ignoring.env_remove(name),
        };
    }
    let child = ignoring.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the run sleeps", || project.ask(&format!("SELECT count(*) {ASLEEP}")) == "1");
    signalled(&child, "-HUP");
    Ran::of(&child.wait_with_output().unwrap()).done();
    is_upgraded(&project);
    assert_eq!(project.ask(LOCKS), "0");
}

fn a_cancelled_statement_is_not_said_to_be_at_fault(server: &Server) {
    let project = sleeping(server, 30);
    let child = asleep(&project, &["upgrade"]);
    project.ask(&format!("SELECT pg_cancel_backend(pid) {ASLEEP}"));
    let ran = Ran::of(&child.wait_with_output().unwrap()).refused(&[
        "somebody has cancelled the statement",
        "a2.sql:5:1",
        "help: ask who has cancelled it",
    ]);
    assert!(!ran.err.contains("sql-error"), "{}", ran.err);
    is_as_before(&project);
    // A limit says so itself.
    let manifest = project.read("Cargo.toml").replace("shared = false", "shared = false, statement-timeout = 1");
    project.write("Cargo.toml", &manifest);
    let ran = project.refuses(&["upgrade"], &["longer than `statement_timeout`", "`statement-timeout = SECONDS`"]);
    assert!(!ran.err.contains("sql-error"), "{}", ran.err);
    is_as_before(&project);
}

fn a_dry_run_says_that_it_makes_no_database(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    let url = ground.url_of("nowhere_yet");
    let ran = project.refuses(
        &["-d", &url, "upgrade", "--create", "--dry-run"],
        &["error[missing-database]", "a dry run makes none", "leave `--dry-run` out"],
    );
    assert!(!ran.err.contains("`upgrade --create` makes"), "{}", ran.err);
    project.refuses(&["-d", &url, "upgrade", "--dry-run"], &["`upgrade --create` makes a new one"]);
}

fn a_schema_that_is_not_there_is_named(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    let url = format!("{}?schema=tt", ground.url_of(&project.ask("SELECT current_database()")));
    project.refuses(&["-d", &url, "upgrade"], &["no schema that is there", r#"`CREATE SCHEMA "tt"`"#]);
    project.execute("CREATE SCHEMA tt");
    project.run(&["-d", &url, "upgrade"]).done();
    // A new database gets its schema with it.
    let url = format!("{}?schema=tt", ground.url_of("made_with_schema"));
    project.run(&["-d", &url, "upgrade", "--create"]).done();
    project.run(&["-d", &url, "current"]).done().says("a1");
    ground.session("postgres").batch_execute("DROP DATABASE made_with_schema").unwrap();
}

fn a_right_that_is_missing_is_named_with_what_grants_it(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    let database = project.ask("SELECT current_database()");
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.execute("CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = ground.url_of(&database).replace("postgres@", "guest@");
    let place = format!("in the database `{database}` as the role \"guest\"");
    project.refuses(
        &["-d", &url, "upgrade"],
        &[
            "permission denied for schema public",
            r#"making the version table, "public"."_cargo_migrate""#,
            &place,
            r#"`GRANT CREATE ON SCHEMA "public" TO "guest"`"#,
            "version-table = ",
            "role = ",
        ],
    );
    project.run(&["upgrade"]).done();
    project.refuses(
        &["-d", &url, "status"],
        &[
            "permission denied for table _cargo_migrate",
            &place,
            r#"let the table's owner say `GRANT SELECT ON "public"."_cargo_migrate" TO "guest"`"#,
        ],
    );
    let url = ground.url_of("not_for_guests").replace("postgres@", "guest@");
    project.refuses(
        &["-d", &url, "upgrade", "--create"],
        &["permission denied to create database", r#"`ALTER ROLE "guest" CREATEDB`"#, "`createdb not_for_guests`"],
    );
    project.execute("DROP ROLE guest");
}

fn a_check_says_what_it_does_not_compare(server: &Server) {
    let project = sleeping(server, 0);
    project.run(&["check"]).done().says("not compared: the schema of `dev`, which is on a server");
    let checks = project.run(&["check", "--format", "json"]).done().json();
    let told = checks["checks"].as_array().unwrap().iter().find(|check| check["check"] == "schema").unwrap();
    assert_eq!(told["looked_at"], "not compared: the schema of `dev`, which is on a server");
    assert_eq!(told["problems"], 0);
}

fn keywords_and_values_are_answered_with_a_url(server: &Server) {
    let project = sleeping(server, 0);
    for text in ["host=localhost port=5432 user=me password=hidden", "dbname=shop", "user=me host=::1"] {
        let ran = project.run(&["-d", text, "status"]);
        assert!(ran.err.contains("help: write `postgres://USER@HOST:PORT/DATABASE`"), "{}", ran.err);
        assert!(!ran.err.contains("sqlite:") && !ran.err.contains("hidden"), "{}", ran.err);
    }
}

fn a_pattern_whose_databases_have_no_such_schema_says_so(server: &Server) {
    let ground = OnServer::of(server);
    let project = sleeping(server, 0);
    ground.session("postgres").batch_execute("CREATE DATABASE trial_tenant").unwrap();
    let url = format!("{}?schema=nn*", ground.url_of("trial_ten*"));
    let ran = project.run(&["upgrade", "--each", &url]).refused(&["what it fits has no such schema: ", "trial_tenant"]);
    assert!(!ran.err.contains("a server's own"), "{}", ran.err);
    ground.session("postgres").batch_execute("DROP DATABASE trial_tenant").unwrap();
}
