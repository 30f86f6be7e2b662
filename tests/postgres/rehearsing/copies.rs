//! The copy of a rehearsal: what it is like, and in whose way it is.

use std::process::Stdio;

use super::{applied, first, name, rehearsed, second, whole};
use crate::faults::eventually;
use crate::ground::OnServer;
use crate::harness::{Project, Ran};
use crate::pages::rehearsing_stopped::Running;
use crate::server::Server;

pub(super) fn the_database_is_read_and_stays_in_use(server: &Server) {
    let project = applied(server);
    let still = "SELECT pg_sleep(60)";
    second(&project, "", &format!("{still};"), "SELECT 1;");
    let (schema, rows, _) = whole(&project);
    let mut other = OnServer::of(server).session(&name(&project));
    // Somebody reads and writes all the time.
    other.batch_execute("BEGIN; INSERT INTO people (name) VALUES ('not yet committed')").unwrap();
    let mut running = Running::of(&project, still);
    other.batch_execute("UPDATE people SET score = 1; ROLLBACK").unwrap();
    other.batch_execute("BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE; ROLLBACK").unwrap();
    running.is_sent("TERM");
    assert_eq!(project.databases().copies(), [""; 0]);
    // The number that was taken is gone.
    assert_eq!(whole(&project), (schema, rows, vec!["public.people_id_seq 4".to_owned()]));
}

pub(super) fn what_the_database_is_set_to_holds_for_the_copy(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    let name = name(&project);
    project.execute(&format!(
        "ALTER DATABASE {name} SET search_path = app, public; CREATE SCHEMA app; CREATE TABLE app.pets (id integer)"
    ));
    first(&project, "ALTER TABLE pets ADD COLUMN name text;", "ALTER TABLE pets DROP COLUMN name;");
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true, "{document}");
    // Each new database has a schema `public`, and this one has none.
    project.execute("DROP SCHEMA public");
    second(&project, "", "CREATE SCHEMA public;", "DROP SCHEMA public;");
    let document = rehearsed(&project, &[]);
    assert_eq!(document["safe"], true, "{document}");
    project.run(&["test"]).done().says("safe to apply: 2 revisions");
    project.execute(&format!("ALTER DATABASE {name} RESET search_path"));
}

pub(super) fn a_database_that_only_looks_like_a_copy_stays(server: &Server) {
    let ground = OnServer::of(server);
    let project = applied(server);
    let name = format!("cargo_migrate_rehearsal_{}", name(&project));
    project.execute(&format!("CREATE DATABASE {name}"));
    second(&project, "", "SELECT 1;", "SELECT 1;");
    project.run(&["test"]).done();
    ground.session("postgres").batch_execute(&format!("DROP DATABASE {name}")).unwrap();
}

pub(super) fn a_copy_that_is_kept_while_another_rehearsal_looks_for_leftovers_stays(server: &Server) {
    const TRANSIENT: &str = "'the copy of a rehearsal of cargo migrate: dropped at its end, or by the next one'";
    const KEPT: &str = "'the copy of a rehearsal of cargo migrate, kept by --keep'";
    const LOCK: &str = "(1835624306, hashtext('cargo_migrate_rehearsal_kept'))";
    // The catalog of comments is locked for a while, which is nothing for the tests beside this one.
    let own = Server::start(&server.programs);
    let ground = OnServer::of(&own);
    let project = applied(&own);
    second(&project, "", "SELECT 1;", "SELECT 1;");
    let copy = |comment| {
        format!(
            "CREATE DATABASE cargo_migrate_rehearsal_kept; COMMENT ON DATABASE cargo_migrate_rehearsal_kept IS {comment}"
        )
    };
    let is_there =
        || project.ask("SELECT count(*) FROM pg_database WHERE datname = 'cargo_migrate_rehearsal_kept'") == "1";
    let mut keeper = ground.session("postgres");
    // Given a copy that nobody's lock is on, it is dropped.
    for statement in copy(TRANSIENT).split("; ") {
        keeper.batch_execute(statement).unwrap();
    }
    project.run(&["test"]).done();
    assert!(!is_there());
    // And given one of a rehearsal that goes on, and keeps it and ends while the other one looks.
    keeper.batch_execute(&format!("SELECT pg_advisory_lock{LOCK}")).unwrap();
    for statement in copy(TRANSIENT).split("; ") {
        keeper.batch_execute(statement).unwrap();
    }
    keeper.batch_execute("BEGIN; LOCK TABLE pg_shdescription IN ACCESS EXCLUSIVE MODE").unwrap();
    let other = project.command(&["test"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the other one looks for leftovers", || {
        project.ask("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_shdescription'::regclass")
            == "1"
    });
    keeper
        .batch_execute(&format!(
            "COMMENT ON DATABASE cargo_migrate_rehearsal_kept IS {KEPT}; SELECT pg_advisory_unlock{LOCK}; COMMIT"
        ))
        .unwrap();
    Ran::of(&other.wait_with_output().unwrap()).done();
    assert!(is_there(), "it was dropped though it was to be kept");
}

pub(super) fn programs_that_are_too_old_are_passed_over(server: &Server) {
    let project = applied(server);
    second(&project, "", "SELECT 1;", "SELECT 1;");
    // Those on PATH are too old.
    let folder = project.path("bin");
    std::fs::create_dir(&folder).unwrap();
    for program in ["pg_dump", "pg_restore"] {
        let path = folder.join(program);
        std::fs::write(&path, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let mut command = project.command(&["test"]);
    let ran = Ran::of(&command.env("PATH", &folder).output().unwrap());
    // Where Debian has this server's they are found all the same. A folder on PATH may hold links to them.
    if server.programs.join("initdb").canonicalize().unwrap().starts_with("/usr/lib/postgresql") {
        ran.done();
    } else {
        ran.refused(&["error[no-postgres-tools]", "`pg_dump` is of PostgreSQL "]);
    }
}

pub(super) fn a_clone_by_the_server_itself(server: &Server) {
    let project = applied(server);
    second(&project, "", "UPDATE people SET score = 2 WHERE id = 3;", "UPDATE people SET score = NULL WHERE id = 3;");
    project.run(&["test", "--template"]).done().says("safe to apply");
    let other = OnServer::of(server).session(&name(&project));
    project.run(&["test", "--template"]).refused(&[
        "error[no-copy]",
        "being accessed by other users",
        "leave `--template` out",
    ]);
    drop(other);
}

/// A limit on the size of files is met as a full disk is: in the middle of a write.
pub(super) fn a_server_without_room_for_the_copy_says_so_and_nothing_is_left(server: &Server) {
    // Only Linux limits a process that is there already.
    if !cfg!(target_os = "linux") {
        return;
    }
    let own = Server::start(&server.programs);
    // It is its own user who may limit it, in the folder of its data.
    let limit = |bytes: &str| {
        let program = format!("prlimit --pid $(head -n 1 postmaster.pid) --fsize={bytes}:unlimited");
        let sql = format!("COPY (SELECT 1) TO PROGRAM '{program}'");
        OnServer::of(&own).session("postgres").batch_execute(&sql).unwrap();
    };
    let project = applied(&own);
    let wide = "CREATE TABLE wide (x text);\n\
        INSERT INTO wide SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n;";
    let has_no_room = |up: &str, words: &[&str]| {
        second(&project, "", up, "DROP TABLE wide;");
        let before = whole(&project);
        // Room for the files of a new database and its log, and for no table of 20 MB.
        limit("18000000");
        project.run_bounded(&["test"]).refused(words).says("could not extend file").says("help: ");
        limit("unlimited");
        assert_eq!(project.databases().copies(), [""; 0]);
        assert_eq!(whole(&project), before);
    };
    // Servers before 16 say of a file that may not grow what they say of a full disk; newer ones give the same hint.
    let is_told = project.ask("SELECT current_setting('server_version_num')::int < 160000") == "t";
    let words = ["a2.sql:4:1", "error[database]: the server has no room left", "make room on the server"];
    has_no_room(wide, if is_told { &words } else { &["a2.sql:4:1", "could not extend file", "Check free disk space"] });
    project.run(&["test"]).done().says("safe to apply");
    // What is there already has no room in the copy either.
    project.execute(wide);
    has_no_room("CREATE TABLE u (x int);", &["error[no-copy]", "`pg_restore` has failed"]);
    second(&project, "", "CREATE TABLE u (x int);", "DROP TABLE u;");
    project.run(&["test"]).done().says("safe to apply");
}
