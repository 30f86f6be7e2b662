//! The copy of a rehearsal: what it is like, who may make it, and that it is gone afterwards.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::project::{Project, Ran};
use super::{PEOPLE, applied, dump, rehearsed, second};
use crate::server::{self, Server};

/// The copies that are there.
fn copies(project: &Project<'_>) -> Vec<String> {
    let mut client = server::config(project.database.server.socket(), "postgres").connect(postgres::NoTls).unwrap();
    let all =
        client.query("SELECT datname FROM pg_database WHERE datname LIKE 'cargo_migrate_rehearsal_%' ORDER BY 1", &[]);
    all.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A rehearsal in a process of its own, which does not outlive the test.
struct Running(Child);

impl Running {
    fn of(project: &Project<'_>) -> Self {
        Self(project.command(&["test"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Sends a signal, and waits until the process has ended.
    fn end(&mut self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rehearsal that stands still in the middle of an upgrade.
fn standing_still(project: &Project<'_>) -> (Running, String) {
    let still = format!("SELECT pg_sleep(60), '{}'", project.database.name);
    second(project, "", &format!("{still};"), "SELECT 1;");
    let running = Running::of(project);
    let start = Instant::now();
    loop {
        let asleep = format!(
            "SELECT datname FROM pg_stat_activity WHERE strpos(query, $${still}$$) = 1 AND state = 'active' \
             AND datname LIKE 'cargo_migrate_rehearsal_%'"
        );
        let name = project.database.ask(&asleep);
        if !name.is_empty() {
            return (running, name);
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the rehearsal does not get to its upgrade");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(super) fn the_database_is_read_and_stays_in_use(server: &Server) {
    let project = applied(server);
    let before = dump(&project);
    let mut other = project.database.connect();
    // Somebody reads and writes all the time.
    other.batch_execute("BEGIN; INSERT INTO people (name) VALUES ('not yet committed')").unwrap();
    let (mut running, copy) = standing_still(&project);
    other.batch_execute("UPDATE people SET score = 1; ROLLBACK").unwrap();
    other.batch_execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE; ROLLBACK").unwrap();
    running.end("-TERM");
    assert!(!copies(&project).contains(&copy));
    let number = |dump: &str| dump.lines().filter(|line| !line.contains("setval")).collect::<Vec<_>>().join("\n");
    assert_eq!(number(&dump(&project)), number(&before));
}

pub(super) fn what_the_database_is_set_to_holds_for_the_copy(server: &Server) {
    let project = Project::new(server);
    let name = &project.database.name;
    project
        .database
        .connect()
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET search_path = app, public; CREATE SCHEMA app; CREATE TABLE app.pets (id integer)"
        ))
        .unwrap();
    let (up, down) = ("ALTER TABLE pets ADD COLUMN name text;", "ALTER TABLE pets DROP COLUMN name;");
    project.migration("a1", "-- migrate:parent base", up, down);
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true, "{document}");
    // Each new database has a schema `public`, and this one has none.
    project.database.connect().batch_execute("DROP SCHEMA public").unwrap();
    let (up, down) = ("CREATE SCHEMA public;", "DROP SCHEMA public;");
    project.migration("a2", "-- migrate:parent a1", up, down);
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true, "{document}");
    project.run(&["test"]).done().says("safe to apply: 2 revisions");
}

pub(super) fn the_copy_is_dropped_when_somebody_interrupts(server: &Server) {
    let project = applied(server);
    for how in ["-INT", "-TERM"] {
        let (mut running, copy) = standing_still(&project);
        assert!(copies(&project).contains(&copy));
        running.end(how);
        assert!(!copies(&project).contains(&copy), "{how}");
    }
}

pub(super) fn what_a_killed_process_leaves_is_dropped_by_the_next_one(server: &Server) {
    let project = applied(server);
    let (mut killed, left) = standing_still(&project);
    let (mut living, used) = {
        let other = applied(server);
        let started = standing_still(&other);
        assert_ne!(started.1, left, "one of two that live has dropped the other's");
        started
    };
    killed.end("-KILL");
    assert!(copies(&project).contains(&left), "nobody has had the time to drop it");
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).done();
    let now = copies(&project);
    assert!(!now.contains(&left), "{now:?}");
    assert!(now.contains(&used), "the copy of a rehearsal that is under way was dropped");
    living.end("-TERM");
}

pub(super) fn a_database_that_only_looks_like_a_copy_stays(server: &Server) {
    let project = applied(server);
    let name = format!("cargo_migrate_rehearsal_{}", project.database.name);
    project.database.connect().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).done();
    assert!(copies(&project).contains(&name));
}

/// A user who may log in, owns the project's database and can do nothing else.
fn plain_user(project: &Project<'_>, rights: &str) -> String {
    let user = format!("user_of_{}", project.database.name);
    let mut client = project.database.connect();
    let name = &project.database.name;
    client.batch_execute(&format!("CREATE ROLE {user} LOGIN {rights}; ALTER DATABASE {name} OWNER TO {user}")).unwrap();
    project.configured(&project.url(&user));
    user
}

pub(super) fn a_user_who_may_make_no_database_is_told_so(server: &Server) {
    let project = Project::new(server);
    plain_user(&project, "");
    project.migration("a1", "-- migrate:parent base", PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).refused(&[
        "error[no-copy]",
        "permission denied to create database",
        "ALTER ROLE … CREATEDB",
    ]);
}

pub(super) fn a_user_without_rights_beyond_the_own_tables_can_rehearse(server: &Server) {
    let project = Project::new(server);
    let user = plain_user(&project, "CREATEDB");
    project.migration("a1", "-- migrate:parent base", PEOPLE, "DROP TABLE people;");
    project.run(&["upgrade"]).done();
    second(&project, "", "CREATE TABLE pets (id integer PRIMARY KEY);", "DROP TABLE pets;");
    project.run(&["test"]).done().says("safe to apply: 1 revision");
    // Other tests make copies at the same time: this user's are told by their owner.
    let owned = format!("SELECT string_agg(datname, ' ') FROM pg_database WHERE pg_get_userbyid(datdba) = '{user}'");
    assert_eq!(project.database.ask(&owned), project.database.name);
    // What belongs to others is there as well, as the user's own, where it may be read at all.
    let others = "CREATE ROLE stranger_of_$; CREATE SCHEMA app; CREATE TABLE app.theirs (id integer PRIMARY KEY); \
        ALTER TABLE app.theirs OWNER TO stranger_of_$; INSERT INTO app.theirs VALUES (1)";
    project.database.connect().batch_execute(&others.replace('$', &project.database.name)).unwrap();
    project.run(&["test"]).refused(&["error[no-copy]", "`pg_dump` has failed", "permission denied for"]);
    let grant = format!("GRANT pg_read_all_data TO {user}");
    project.database.connect().batch_execute(&grant).unwrap();
    second(&project, "", "DELETE FROM app.theirs;", "SELECT 1;");
    let faults = &rehearsed(&project, &[])["revisions"][0]["faults"];
    assert_eq!(faults[0], "`app.theirs`: 1 row lost after up and down");
}

pub(super) fn a_copy_that_cannot_be_filled_ends_the_rehearsal_at_once(server: &Server) {
    let project = Project::new(server);
    plain_user(&project, "CREATEDB");
    // An extension that no plain user may make, and more rows than a pipe holds.
    let mut superuser = project.database.connect();
    superuser.batch_execute("CREATE EXTENSION file_fdw").unwrap();
    let rows = "INSERT INTO wide SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n;";
    let up = format!("CREATE TABLE wide (id integer, content text);\n{rows}");
    project.migration("a1", "-- migrate:parent base", &up, "DROP TABLE wide;");
    project.run(&["upgrade"]).done();
    second(&project, "", "SELECT 1;", "SELECT 1;");

    let mut command = project.command(&["test"]);
    let mut running = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the rehearsal goes on though its copy cannot be filled");
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = std::io::read_to_string(running.0.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    for word in ["error[no-copy]", "`pg_restore` has failed", "permission denied to create extension"] {
        assert!(said.contains(word), "`{word}` is not in\n{said}");
    }
    // Nobody is in the way of who works on the database.
    superuser
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '20s'; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE; ROLLBACK")
        .unwrap();
}

pub(super) fn programs_that_are_too_old_are_passed_over(server: &Server) {
    let project = applied(server);
    second(&project, "", "SELECT 1;", "SELECT 1;");
    // Those on PATH are too old.
    let folder = project.folder().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for program in ["pg_dump", "pg_restore"] {
        let path = folder.join(program);
        std::fs::write(&path, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let mut command = project.command(&["test"]);
    let ran = Ran::of(&command.env("PATH", &folder).output().unwrap());
    // Where Debian has them they are found all the same.
    if std::fs::exists("/usr/lib/postgresql").unwrap() {
        ran.done();
    } else {
        ran.refused(&["error[no-postgres-tools]", "`pg_dump` is of PostgreSQL 9"]);
    }
}

pub(super) fn a_copy_is_kept_where_that_is_asked_for(server: &Server) {
    let project = applied(server);
    second(&project, "", "ALTER TABLE people ADD COLUMN age integer;", "SELECT 1;");
    let ran = project.run(&["test", "--keep"]).refused(&["the copy is kept: the database `cargo_migrate_rehearsal_"]);
    let name = ran.err.split_once("the database `").unwrap().1.split_once('`').unwrap().0.to_owned();
    // The next one leaves it alone.
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).done();
    let mut client = server::config(server.socket(), &name).connect(postgres::NoTls).unwrap();
    let ages: i64 = client.query_one("SELECT count(*) FROM people WHERE age IS NULL", &[]).unwrap().get(0);
    assert_eq!(ages, 3, "it is as the first fault has left it");
    drop(client);
    project.database.connect().batch_execute(&format!("DROP DATABASE {name}")).unwrap();
}

pub(super) fn from_nothing_and_the_whole_history(server: &Server) {
    let project = applied(server);
    second(&project, "", "CREATE TABLE pets (id integer);", "DROP TABLE pets;");
    for option in ["--all", "--empty"] {
        let document = rehearsed(&project, &[option]);
        assert_eq!(document["safe"], true, "{document}");
        assert_eq!(document["revisions"].as_array().unwrap().len(), 2, "{option}");
        assert_eq!(document["revisions"][0]["rows"], 3, "{option}");
    }
    let junit = project.run(&["test", "--all", "--format", "junit"]).done();
    assert_eq!(junit.out.matches("<testcase ").count(), 2, "{}", junit.out);
}

pub(super) fn a_clone_by_the_server_itself(server: &Server) {
    let project = applied(server);
    second(&project, "", "UPDATE people SET score = 2 WHERE id = 3;", "UPDATE people SET score = NULL WHERE id = 3;");
    project.run(&["test", "--template"]).done().says("safe to apply");
    let other = project.database.connect();
    project.run(&["test", "--template"]).refused(&[
        "error[no-copy]",
        "being accessed by other users",
        "leave `--template` out",
    ]);
    drop(other);
}
