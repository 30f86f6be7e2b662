//! How often a server is asked for a session, and what is said and done where somebody looks again: at a revision that was
//! interrupted, at a copy on which one has failed, at a database or a schema that is not there, at a command that is ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults::{asleep, eventually};
use crate::ground::OnServer;
use crate::harness::Project;
use crate::server::Server;

tests! {
    what_a_command_asks_goes_through_one_session,
    who_only_looks_waits_for_nobody_for_long,
    a_rehearsal_does_not_pass_over_what_was_interrupted,
    what_fails_on_a_copy_is_not_mended_in_the_database,
    a_database_that_is_gone_from_its_server_is_not_called_a_file,
    a_schema_that_a_url_names_is_made_on_request_alone,
    who_changes_the_record_and_is_interrupted_leaves_nothing_running,
    no_other_runner_comes_between_emptying_and_filling,
}

const A1: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n-- migrate:down\nDROP TABLE t;\n";
const A2: &str = "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:down\nDROP TABLE u;\n";
/// It fails half way, with its table made.
const BROKEN: &str = "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n\
    INSERT INTO missing VALUES (1);\n-- migrate:down\nDROP TABLE u;\n";

/// A project at `a1`.
fn at_a1(project: Project) -> Project {
    project.migration("a1", A1);
    project.run(&["upgrade"]).done();
    project
}

/// The same on a server and on a file.
fn on_both(server: &Server) -> [Project; 2] {
    [at_a1(Project::on(&OnServer::of(server))), at_a1(Project::new())]
}

fn who_only_looks_waits_for_nobody_for_long(server: &Server) {
    let ground = OnServer::of(server);
    let project = at_a1(Project::on(&ground));
    project.configure("dev", "shared = false, lock-timeout = 600");
    let mut other = ground.session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE _cargo_migrate IN ACCESS EXCLUSIVE MODE").unwrap();
    project.run_bounded(&["current"]).refused(&["error[database-busy]"]);
    other.batch_execute("ROLLBACK").unwrap();
    project.run(&["current"]).done().says("a1");
}

fn what_a_command_asks_goes_through_one_session(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    project.migration("a1", A1);
    let name = project.ask("SELECT current_database()");
    let mut beside = ground.session("postgres");
    // A session is counted at its end, before it goes from the list of those that are there.
    let mut sessions = || {
        let open = format!("SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'");
        eventually("all sessions are gone", || beside.query(&open, &[]).unwrap().is_empty());
        let counted = format!("SELECT sessions FROM pg_stat_database WHERE datname = '{name}'");
        beside.query_one(&counted, &[]).unwrap().get::<_, i64>(0)
    };
    for arguments in [
        &["status"][..],
        &["upgrade", "--sql"],
        &["upgrade", "--dry-run"],
        &["upgrade"],
        &["upgrade"],
        &["status"],
        &["history"],
        &["check"],
        &["verify"],
        &["stamp", "a1"],
        &["downgrade", "base"],
        &["current"],
    ] {
        let before = sessions();
        project.run(arguments).done();
        assert_eq!(sessions() - before, 1, "{arguments:?}");
    }
}

fn a_rehearsal_does_not_pass_over_what_was_interrupted(server: &Server) {
    for project in on_both(server) {
        project.migration("a2", BROKEN);
        project.run(&["upgrade"]).refused(&["sql-error"]);
        for arguments in [&["test"][..], &["test", "--revision", "a1:"]] {
            project.refuses(
                arguments,
                &[
                    "error[interrupted]",
                    "`a2` runs outside a transaction",
                    "repair --finished a2",
                    "repair --not-applied a2",
                ],
            );
        }
        // What starts from nothing does not ask what the database has.
        let ran = project.run(&["test", "--all"]);
        assert!(!ran.err.contains("error[interrupted]"), "{}", ran.err);
        // Once it is settled, it is pending and rehearsed.
        project.execute("DROP TABLE u");
        project.run(&["repair", "--not-applied", "a2"]).done();
        project.migration("a2", A2);
        project.run(&["test"]).done().says("safe to apply");
    }
}

fn what_fails_on_a_copy_is_not_mended_in_the_database(server: &Server) {
    for project in on_both(server) {
        project.migration("a2", BROKEN);
        for arguments in [&["sync"][..], &["upgrade", "--dry-run"]] {
            let ran = project.run(arguments).refused(&["sql-error", "a2.sql:5:1"]);
            assert_eq!(ran.err.matches("found on a copy: the database is as it was").count(), 1, "{}", ran.err);
            assert!(!ran.err.contains("repair"), "{}", ran.err);
        }
        assert_eq!(project.tables(), ["t"]);
        project.run(&["current"]).done().says("a1");
    }
}

fn a_database_that_is_gone_from_its_server_is_not_called_a_file(server: &Server) {
    let ground = OnServer::of(server);
    let project = at_a1(Project::on(&ground));
    let name = project.ask("SELECT current_database()");
    let manifest = project.read("Cargo.toml").replace(&format!("/{name}\""), "/sessions_elsewhere\"");
    project.write("Cargo.toml", &manifest);
    let told = "`dev` had 1 revision by the lock, and the server has no such database: if it was renamed";
    let ran = project.refuses(&["upgrade"], &[told, "error[missing-database]"]);
    assert!(!ran.err.contains("a new one is made"), "{}", ran.err);
    let ran = project.run(&["upgrade", "--create"]).done().says(told).says("for a new one is made");
    assert!(!ran.err.contains("file"), "{}", ran.err);
    ground.session("postgres").batch_execute("DROP DATABASE sessions_elsewhere").unwrap();
}

fn a_schema_that_a_url_names_is_made_on_request_alone(server: &Server) {
    let ground = OnServer::of(server);
    let project = Project::on(&ground);
    project.migration("a1", A1);
    let url = |schema: &str| format!("{}?schema={schema}", ground.url_of(&project.ask("SELECT current_database()")));
    let schemas = || project.list("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'Ten %' ORDER BY 1");
    let first = url("Ten%201");
    project.refuses(&["-d", &first, "upgrade"], &["no schema that is there", r#"`CREATE SCHEMA "Ten 1"`"#]);
    project.refuses(&["-d", &first, "upgrade", "--create", "--dry-run"], &["no schema that is there"]);
    assert!(schemas().is_empty());
    project.run(&["-d", &first, "upgrade", "--create"]).done();
    assert_eq!(project.ask(r#"SELECT count(*) FROM "Ten 1".t"#), "0");
    project.run(&["-d", &first, "upgrade", "--create"]).done().says("nothing to do");
    // The same where the version table has a place already.
    let manifest = project.read("Cargo.toml");
    let named = manifest.replace("database = \"dev\"", "database = \"dev\"\nversion-table = \"ops._versions\"");
    project.write("Cargo.toml", &named);
    project.run(&["-d", &url("Ten%202"), "upgrade", "--create"]).done();
    assert_eq!(project.ask(r#"SELECT count(*) FROM "Ten 2".t"#), "0");
    assert_eq!(schemas(), ["Ten 1", "Ten 2"]);
}

/// Has whoever changes the record wait for half a minute before it is kept.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$; \
    CREATE TRIGGER slow AFTER INSERT OR UPDATE OR DELETE ON _cargo_migrate FOR EACH STATEMENT EXECUTE FUNCTION slow()";

fn who_changes_the_record_and_is_interrupted_leaves_nothing_running(server: &Server) {
    for (arguments, name, number) in [
        (&["stamp", "a2"][..], "-INT", 2),
        (&["delete", "a1", "--downgrade", "--splice"], "-INT", 2),
        (&["repair", "--not-applied", "a1"], "-TERM", 15),
    ] {
        let project = at_a1(Project::on(&OnServer::of(server)));
        project.migration("a2", A2);
        if arguments[0] == "repair" {
            project.execute("UPDATE _cargo_migrate SET state = 'running'");
        }
        let record = "SELECT revision || ' ' || state FROM _cargo_migrate";
        let before = project.list(record);
        project.execute(SLOW);
        let child = asleep(&project, arguments);
        let start = Instant::now();
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(15), "{arguments:?}");
        assert_eq!(output.status.signal(), Some(number), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("interrupted: the server takes back what was not committed"), "{said}");
        let others = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'cargo-migrate'";
        assert_eq!(project.ask(others), "0", "{arguments:?}");
        assert_eq!((project.list(record), project.tables()), (before, vec!["t".to_owned()]), "{arguments:?}");
        assert!(project.path("migrations/a1.sql").exists());
    }
}

fn no_other_runner_comes_between_emptying_and_filling(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", &A1.replace("TABLE t ", "TABLE filled_again ").replace("TABLE t;", "TABLE filled_again;"));
    project.run(&["-d", "test", "upgrade"]).done();
    let name = project.ask_of("test", "SELECT current_database()");
    project.execute_on("test", &format!("ALTER DATABASE {name} SET log_statement = 'all'"));
    project.run(&["-d", "test", "reset"]).done();
    project.execute_on("test", &format!("ALTER DATABASE {name} RESET log_statement"));
    // Each line has the process that it is about in brackets.
    let log = std::fs::read_to_string(server.socket().join("log")).unwrap();
    let process = |line: &str| line.split(['[', ']']).nth(1).unwrap_or_default().to_owned();
    let made = log.lines().rfind(|line| line.contains("CREATE TABLE filled_again")).map(process).unwrap();
    let said: Vec<&str> = log.lines().filter(|line| process(line) == made).collect();
    let at =
        |word: &str| said.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {said:#?}"));
    let (taken, emptied) = (at("pg_try_advisory_lock"), at("DROP TABLE IF EXISTS"));
    let (filled, let_go) = (at("CREATE TABLE filled_again"), at("pg_advisory_unlock"));
    assert!(taken < emptied && emptied < filled && filled < let_go, "{said:#?}");
}
