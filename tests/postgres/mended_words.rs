//! What a developer and an operator of a server met in the words of commands: what is suggested works when it is typed, and
//! what was not done is told.

use std::process::Command;

use crate::ground::OnServer;
use crate::harness::{Project, Ran};
use crate::server::Server;

tests! {
    a_script_waits_for_nobody_for_ever_and_says_what_it_can_lose,
    a_range_says_what_it_can_lose_without_a_look_at_any_database,
    a_script_names_the_database_that_it_is_for,
}

const USERS: &str = "-- migrate:up\nCREATE TABLE users (id int, name text);\n-- migrate:down\nDROP TABLE users;\n";
const NO_NAMES: &str = "-- migrate:parent a1\n-- migrate:up\nALTER TABLE users DROP COLUMN name;\n\
    -- migrate:down\nALTER TABLE users ADD COLUMN name text;\n";

/// A project with one table, which is there and has a row, and what drops a column of it.
fn losing(server: &Server) -> Project {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", USERS);
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO users VALUES (1, 'ada')");
    project.migration("a2", NO_NAMES);
    project
}

/// A script in psql, in which a statement that waits for ever is ended after a while by another limit.
fn psql(server: &Server, project: &Project, script: &str) -> Ran {
    // A folder on PATH may hold links to some of the server's programs.
    let initdb = server.programs.join("initdb").canonicalize().unwrap();
    project.write("script.sql", script);
    let mut psql = Command::new(initdb.with_file_name("psql"));
    psql.args(["-X", "-f"]).arg(project.path("script.sql")).arg(project.url("dev"));
    Ran::of(&psql.env("PGOPTIONS", "-c statement_timeout=20s").output().unwrap())
}

fn a_script_waits_for_nobody_for_ever_and_says_what_it_can_lose(server: &Server) {
    let project = losing(server);
    let made = project.run(&["upgrade", "--sql"]).done();
    for told in ["it can lose data: ", "make one before it runs, such as by `cargo migrate backup`"] {
        assert!(made.err.contains(told), "{}", made.err);
    }
    let head: Vec<&str> = made.out.lines().take_while(|line| line.starts_with("--")).collect();
    assert!(
        head.iter().any(|line| line.starts_with("-- It can lose data: `users") && line.contains("name")),
        "{head:?}"
    );
    assert!(head.iter().any(|line| line.starts_with("-- A script makes no backup: ")), "{head:?}");
    let mut busy = OnServer::of(server).session(&project.ask("SELECT current_database()"));
    busy.batch_execute("BEGIN; LOCK TABLE users IN ACCESS SHARE MODE").unwrap();
    let ran = psql(server, &project, &made.out);
    assert!(ran.status != 0 && ran.err.contains("lock timeout"), "{}", ran.err);
    busy.batch_execute("ROLLBACK").unwrap();
    psql(server, &project, &made.out).done();
    assert_eq!(
        project.ask("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'name'"),
        "0"
    );
    // Where there is nothing to lose nothing is said of it.
    project.migration("a3", "-- migrate:parent a2\n-- migrate:up\nCREATE TABLE other (id int);\n");
    let made = project.run(&["upgrade", "--sql"]).done();
    assert!(!made.err.contains("lose") && !made.out.contains("backup"), "{}{}", made.err, made.out);
    // What the session says goes before.
    let manifest = project.read("Cargo.toml").replace("shared = false", "shared = false, lock-timeout = 1");
    project.write("Cargo.toml", &manifest);
    project.run(&["upgrade", "--sql"]).done().says("SET lock_timeout = 1000;");
}

fn a_range_says_what_it_can_lose_without_a_look_at_any_database(server: &Server) {
    let project = losing(server);
    let made = project.run(&["upgrade", "a1:a2", "--sql"]).done();
    assert!(made.out.contains("-- It can lose data: `users"), "{}", made.out);
    assert!(made.err.contains("it can lose data: "), "{}", made.err);
    let made = project.run(&["upgrade", "base:a2", "--sql"]).done();
    assert!(!made.err.contains("lose") && !made.out.contains("It can lose"), "{}", made.err);
}

fn a_script_names_the_database_that_it_is_for(server: &Server) {
    let project = losing(server);
    let url = project.url("dev");
    let with_password = url.replace("postgres@", "postgres:s3cret@");
    for (chosen, shown) in [
        ("dev", "dev".to_owned()),
        (url.as_str(), url.clone()),
        ("env:SCRIPTED", "env:SCRIPTED".to_owned()),
        (&with_password, format!("'{}'", url.replace("postgres@", "postgres:***@"))),
    ] {
        let mut command = project.command(&["-d", chosen, "upgrade", "--sql"]);
        let made = Ran::of(&command.env("SCRIPTED", &url).output().unwrap()).done();
        let line = format!("-- When it has run, `cargo migrate -d {shown} upgrade current`");
        assert!(made.out.contains(&line), "{line}\n{}", made.out);
        assert!(!made.out.contains("s3cret") && !made.err.contains("s3cret"));
    }
}
