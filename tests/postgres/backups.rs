//! Backups as people meet them on a server that several roles use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ground::OnServer;
use crate::harness::{Project, Ran, table};
use crate::server::Server;

tests! {
    a_database_that_was_made_in_vain_is_gone_again,
    default_privileges_of_a_stranger_are_left_out_by_name,
    each_kind_of_command_needs_the_rights_that_the_page_says,
    who_is_named_by_a_url_acts_as_himself,
    what_a_server_says_in_another_language_is_told_as_what_it_is,
    a_command_offers_the_flags_that_it_has,
    a_backup_that_was_asked_for_waits_no_longer_than_the_run,
    an_access_method_goes_and_comes_back,
}

/// A project with one revision applied and a row.
fn filled(ground: &OnServer) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t VALUES (1)");
    project
}

/// The URL of the project's own database, as another user.
fn url_as(project: &Project, user: &str) -> String {
    project.url("dev").replace("postgres@", &format!("{user}@"))
}

/// A program of clients: beside the server's own, or on the search path.
fn client(server: &Server, program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut folders = std::iter::once(server.programs.clone()).chain(std::env::split_paths(&path));
    folders.find(|folder| folder.join(program).is_file()).unwrap().join(program)
}

fn a_database_that_was_made_in_vain_is_gone_again(server: &Server) {
    let ground = OnServer::of(server);
    let project = filled(&ground);
    // Given a backup that no server takes: what a row is checked by is set in one session alone.
    project.execute(
        "CREATE FUNCTION fine(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('app.fine', true) IS NOT NULL; END $$; \
         SET app.fine = 'yes'; CREATE TABLE picky (x int CHECK (fine(x))); INSERT INTO picky VALUES (1)",
    );
    project.run(&["backup", "--to", "picky.dump"]).done();
    let url = ground.url_of("made_in_vain");
    let there = "SELECT count(*) FROM pg_database WHERE datname = 'made_in_vain'";
    project
        .run(&["-d", &url, "restore", "picky.dump", "--yes"])
        .refused(&["error[missing-database]", "`restore --create` makes a new one"])
        .is_printable();
    assert_eq!(project.ask(there), "0");
    let ran = project.run(&["-d", &url, "restore", "picky.dump", "--yes", "--create"]);
    let ran = ran.refused(&["error[not-restored]", "picky", "that was made for it"]);
    assert!(!ran.err.contains("as it was"), "{}", ran.err);
    assert_eq!(project.ask(there), "0");
}

fn default_privileges_of_a_stranger_are_left_out_by_name(server: &Server) {
    let ground = OnServer::of(server);
    let project = filled(&ground);
    project.execute(
        "CREATE ROLE ana; CREATE ROLE carl LOGIN CREATEDB; ALTER DEFAULT PRIVILEGES FOR ROLE ana IN SCHEMA public GRANT SELECT ON TABLES TO carl",
    );
    project.run(&["backup", "--to", "anas.dump"]).done();
    let url = ground.url_of("carls_own").replace("postgres@", "carl@");
    let ran = project.run(&["-d", &url, "restore", "anas.dump", "--yes", "--create"]).done();
    let ran = ran.says("no member of `ana`: DEFAULT PRIVILEGES FOR TABLES").says("`GRANT \"ana\"`");
    ran.is_printable();
    let mut restored = ground.session("carls_own");
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
    assert_eq!(restored.query_one(owner, &[]).unwrap().get::<_, String>(0), "carl");
    drop(restored);
    ground.session("postgres").batch_execute("DROP DATABASE carls_own").unwrap();
    project.execute("DROP OWNED BY ana; DROP OWNED BY carl; DROP ROLE ana, carl");
}

/// The rows of the table in `docs/postgres.md`.
fn each_kind_of_command_needs_the_rights_that_the_page_says(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x serial);\n-- migrate:down\nDROP TABLE t;\n",
    );
    project.execute(
        "CREATE ROLE g_first LOGIN; CREATE ROLE g_look LOGIN; CREATE ROLE g_later LOGIN; CREATE ROLE g_keep LOGIN; \
         CREATE ROLE g_all LOGIN; CREATE ROLE g_test LOGIN; GRANT pg_read_all_data TO g_all; \
         REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC",
    );
    let run = |user: &str, arguments: &[&str]| project.run(&[&["-d", &url_as(&project, user)], arguments].concat());
    // The first run.
    run("g_first", &["upgrade"]).refused(&["permission denied"]);
    project.execute("GRANT CREATE ON SCHEMA public TO g_first");
    run("g_first", &["upgrade"]).done();
    project.execute("INSERT INTO t DEFAULT VALUES");
    // What reads.
    run("g_look", &["status"]).refused(&["permission denied"]);
    project.execute("GRANT SELECT ON _cargo_migrate TO g_look, g_later");
    for command in ["status", "current", "history"] {
        run("g_look", &[command]).done();
    }
    // A later run, whose migration needs no right of its own.
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n");
    run("g_later", &["upgrade"]).refused(&["permission denied"]);
    project.execute("GRANT INSERT, UPDATE, DELETE ON _cargo_migrate TO g_later");
    run("g_later", &["upgrade"]).done();
    run("g_later", &["downgrade", "-1"]).done();
    run("g_later", &["upgrade"]).done();
    // A backup, which says what it takes to put it back.
    run("g_look", &["backup", "--to", "few.dump"]).refused(&["error[backup-failed]", "`GRANT pg_read_all_data TO"]);
    project.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO g_keep, g_test");
    run("g_keep", &["backup", "--to", "few.dump"]).refused(&["error[backup-failed]", "`GRANT pg_read_all_data TO"]);
    project.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO g_keep, g_test");
    for user in ["g_keep", "g_all"] {
        let ran = run(user, &["backup", "--to", &format!("{user}.dump")]).done();
        assert!(ran.err.contains("note: it has what belongs to `g_first`: whoever restores it"), "{}", ran.err);
    }
    let ran = run("g_first", &["backup", "--to", "own.dump"]).done();
    assert!(!ran.err.contains("belongs to"), "{}", ran.err);
    // A rehearsal.
    assert_ne!(run("g_test", &["test", "--all"]).status, 0);
    project.execute("ALTER ROLE g_test CREATEDB");
    run("g_test", &["test", "--all"]).done();
    // Putting one back.
    run("g_keep", &["restore", "g_keep.dump", "--yes"]).refused(&["error[not-restored]", "owned by g_first", "-d URL"]);
    run("g_first", &["restore", "g_keep.dump", "--yes"]).done();
    project.execute(
        "DROP OWNED BY g_first; DROP OWNED BY g_look; DROP OWNED BY g_later; DROP OWNED BY g_keep; DROP OWNED BY g_all; \
         DROP OWNED BY g_test; DROP ROLE g_first, g_look, g_later, g_keep, g_all, g_test",
    );
}

fn who_is_named_by_a_url_acts_as_himself(server: &Server) {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project
        .execute("CREATE ROLE u_owner; CREATE ROLE u_super LOGIN SUPERUSER; GRANT CREATE ON SCHEMA public TO u_owner");
    project.configure("dev", "shared = false, role = \"u_owner\"");
    project.run(&["upgrade"]).done();
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
    assert_eq!(project.ask(owner), "u_owner");
    project.run(&["backup"]).done();
    // Given what the configured role may not drop.
    project.execute("CREATE TABLE of_nobody_else (x int)");
    project.refuses(&["restore", "--yes"], &["error[not-restored]", "of_nobody_else", "or a superuser: `-d URL`"]);
    // When the help is typed.
    project.run(&["-d", &url_as(&project, "u_super"), "restore", "--yes"]).done();
    assert_eq!(project.ask("SELECT to_regclass('of_nobody_else') IS NULL"), "t");
    assert_eq!(project.ask(owner), "u_owner");
    // The same user is still the configured one.
    project.migration("a2", &table("a1", "t2").replace("(x)", "(x int)"));
    project.run(&["-d", &project.url("dev"), "upgrade"]).done();
    assert_eq!(project.ask("SELECT tableowner FROM pg_tables WHERE tablename = 't2'"), "u_owner");
    project.execute("DROP OWNED BY u_owner; DROP ROLE u_owner, u_super");
}

fn what_a_server_says_in_another_language_is_told_as_what_it_is(server: &Server) {
    let project = filled(&OnServer::of(server));
    project.execute("CREATE ROLE l_few LOGIN; GRANT SELECT ON _cargo_migrate TO l_few");
    // Given a server whose messages `pg_dump` repeats in words of another language.
    let programs = project.path("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(client(server, "pg_restore"), programs.join("pg_restore")).unwrap();
    let script = format!(
        "#!/bin/sh\n{} \"$@\" 2> said; status=$?\n\
         sed -e 's/permission denied for/keine Berechtigung:/' -e 's/canceling statement due to/Anweisung abgebrochen:/' \
         -e 's/ERROR:/FEHLER:/' said >&2; exit $status\n",
        client(server, "pg_dump").display()
    );
    project.write("programs/pg_dump", &script);
    std::fs::set_permissions(programs.join("pg_dump"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| Ran::of(&project.command(arguments).env("PATH", &path).output().unwrap());
    let ran = run(&["-d", &url_as(&project, "l_few"), "backup"]);
    let ran = ran.refused(&["error[backup-failed]", "keine Berechtigung", "`GRANT pg_read_all_data TO \"l_few\"`"]);
    assert!(!ran.err.contains("disk"), "{}", ran.err);
    let mut other = OnServer::of(server).session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    let ran = run(&["backup", "--wait", "1"]).refused(&["error[database-busy]", "abgebrochen", "--wait SECONDS"]);
    assert!(!ran.err.contains("disk"), "{}", ran.err);
    drop(other);
    run(&["backup"]).done();
    project.execute("DROP OWNED BY l_few; DROP ROLE l_few");
}

fn a_command_offers_the_flags_that_it_has(server: &Server) {
    let project = filled(&OnServer::of(server));
    let ran = project.run(&["delete", "a1", "--downgrade", "--yes"]).done();
    assert!(ran.err.contains("(`--no-backup` makes none)") && ran.err.contains("Backup"), "{}", ran.err);
    let project = filled(&OnServer::of(server));
    project.migration("a2", &table("a1", "t2").replace("(x)", "(x int)"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t2 VALUES (1)");
    let ran = project.run(&["delete", "a2", "--downgrade", "--yes", "--no-backup"]).done();
    assert!(!ran.err.contains("ackup"), "{}", ran.err);
    // A package that is not here cannot be chosen.
    project.run(&["backup", "--to", "theirs.dump"]).done();
    project.execute("DELETE FROM _cargo_migrate");
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("name = \"app\"", "name = \"other\""));
    std::fs::remove_dir_all(project.path("migrations")).unwrap();
    project.migration("b1", &table("base", "u").replace("(x)", "(x int)"));
    let ran =
        project.refuses(&["restore", "theirs.dump", "--yes"], &["error[other-package]", "no package here is `app`"]);
    assert!(!ran.err.contains("-p app"), "{}", ran.err);
}

fn a_backup_that_was_asked_for_waits_no_longer_than_the_run(server: &Server) {
    let project = filled(&OnServer::of(server));
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDELETE FROM t;\n-- migrate:down\nSELECT 1;\n");
    let mut other = OnServer::of(server).session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    // What the run waited for the table when it was looked at is no more there for its backup: of five seconds two are left.
    let start = Instant::now();
    let ran = project.run(&["upgrade", "--backup", "--wait", "5"]).refused(&["error[database-busy]", "LOCK TABLE"]);
    let together = start.elapsed();
    assert!(ran.err.contains("note: a backup is made before, in .migrate/backups\n"), "{}", ran.err);
    assert!(ran.err.contains("leave `--backup` out") && !ran.err.contains("--no-backup"), "{}", ran.err);
    assert!(!ran.err.contains("make room") && !ran.err.contains("so a backup"), "{}", ran.err);
    let start = Instant::now();
    project.run(&["backup", "--wait", "5"]).refused(&["error[database-busy]"]);
    let alone = start.elapsed();
    assert!(together < alone + Duration::from_millis(2500), "{together:?} together, {alone:?} alone");
    other.batch_execute("ROLLBACK").unwrap();
    project.run(&["upgrade", "--backup"]).done();
}

fn an_access_method_goes_and_comes_back(server: &Server) {
    let project = filled(&OnServer::of(server));
    project.execute(
        "CREATE ACCESS METHOD heaped TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE h (x int) USING heaped",
    );
    project.run(&["backup"]).done();
    project.run(&["restore", "--yes"]).done();
    let method = "SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relname = 'h'";
    assert_eq!(project.ask(method), "heaped");
    project.execute("DROP ACCESS METHOD heaped CASCADE");
}
