//! What stands in the way of a backup, or of its return: it is said, and everything is as it was.

use std::fs;
use std::process::{Command, Stdio};

use super::world::{World, real, same, until};
use crate::harness::Ran;
use crate::server::Server;

pub fn a_restore_that_fails_in_the_middle_leaves_everything_as_it_was(server: &Server) {
    let world = World::filled(server);
    // Given a backup that cannot be put back any more: what a row is checked by is not what it was.
    world.does(
        "CREATE FUNCTION fine(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('app.fine', true) IS NOT NULL; END $$;\n\
         SET app.fine = 'yes'; CREATE TABLE picky (x int CHECK (fine(x))); INSERT INTO picky VALUES (1)",
    );
    world.run(&["backup"]).done();
    world.does("INSERT INTO todos (title) VALUES ('since')");
    let before = world.dump();
    world.run(&["restore", "--yes"]).refused(&["not-restored", "picky", "the database is as it was"]).is_printable();
    assert_eq!(world.dump(), before);
    until("the end of all sessions", || world.sessions() == "0");
    assert_eq!(world.database.advisory_locks(), "0");
}

pub fn a_restore_that_is_killed_leaves_everything_as_it_was(server: &Server) {
    let world = World::filled(server);
    world.does(
        "CREATE FUNCTION slow(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF current_setting('application_name') <> 'the tests' \
         THEN PERFORM pg_sleep(3); END IF; RETURN true; END $$;\n\
         CREATE TABLE held (x int CHECK (slow(x))); INSERT INTO held VALUES (1); \
         INSERT INTO todos (title) SELECT repeat('more than a pipe holds ', 10) FROM generate_series(1, 5000)",
    );
    world.run(&["backup"]).done();
    world.does("INSERT INTO todos (title) VALUES ('since')");
    let before = world.dump();
    for victim in ["cargo-migrate", "psql"] {
        let mut child = world.project.command(&["restore", "--yes"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        until("the middle", || !world.database.ask(sleeping).is_empty());
        if victim == "psql" {
            let child_of = Command::new("pgrep").args(["-P", &child.id().to_string(), "psql"]).output().unwrap();
            let process = String::from_utf8(child_of.stdout).unwrap();
            assert!(Command::new("kill").args(["-9", process.trim()]).status().unwrap().success());
        } else {
            child.kill().unwrap();
        }
        assert!(!child.wait().unwrap().success());
        // The server notices at the end of what it is doing.
        until("the end", || world.sessions() == "0");
        assert_eq!(world.dump(), before, "{victim}");
    }
}

pub fn who_does_not_let_go_of_a_table_is_not_waited_for_without_end(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup"]).done();
    let before = world.dump();
    let mut reader = world.database.connect();
    reader.batch_execute("BEGIN; SELECT * FROM todos").unwrap();
    let ran = world.run(&["restore", "--yes", "--wait", "1"]);
    let ran = ran.refused(&["database-busy", "lock timeout", "as it was", "--wait SECONDS", "holds `todos`"]);
    ran.is_printable();
    assert!(!ran.err.contains("extension"), "{}", ran.err);
    reader.batch_execute("COMMIT").unwrap();
    same(&world.dump(), &before);
    world.run(&["restore", "--yes", "--wait", "1"]).done();
}

pub fn what_belongs_to_others_is_not_dropped(server: &Server) {
    let world = World::filled(server);
    let name = &world.database.name;
    world.run(&["backup"]).done();
    world.does(&format!(
        "CREATE ROLE r_{name} LOGIN; ALTER DATABASE {name} OWNER TO r_{name}; ALTER TABLE _cargo_migrate OWNER TO r_{name}; \
         GRANT ALL ON SCHEMA public TO r_{name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO r_{name}"
    ));
    let before = world.dump();
    let manifest = world.project.read("Cargo.toml");
    world.project.write("Cargo.toml", &manifest.replace("//postgres@", &format!("//r_{name}@")));
    let file = world.backups()[0].to_str().unwrap().to_owned();
    let ran = world.run(&["restore", &file, "--yes"]);
    ran.refused(&["not-restored", "table public.todos, which is owned by postgres"]).is_printable();
    assert_eq!(world.dump(), before);
    // Where it owns all, what was others' becomes its own, which is said.
    world.does(&format!("ALTER TABLE todos OWNER TO r_{name}"));
    world.run(&["restore", &file, "--yes"]).done().says("may not give anything to `postgres`");
    assert_eq!(world.database.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'todos'"), format!("r_{name}"));
    assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "2");
}

pub fn the_wrong_kind_of_backup_is_refused(server: &Server) {
    let world = World::filled(server);
    let before = world.dump();
    world.run(&["backup", "--to", "server.backup"]).done();
    world.run(&["-d", "sqlite:app.db", "upgrade", "--create", "base"]);
    rusqlite::Connection::open(world.project.path("app.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    world.run(&["-d", "sqlite:app.db", "backup", "--to", "file.backup"]).done();
    world.run(&["restore", "file.backup", "--yes"]).refused(&[
        "backup-of-another-kind",
        "a SQLite database",
        "pg_dump",
    ]);
    world.run(&["-d", "sqlite:app.db", "restore", "server.backup", "--yes"]).refused(&[
        "backup-of-another-kind",
        "PostgreSQL",
        "SQLite file",
    ]);
    assert_eq!(world.dump(), before);
}

pub fn what_is_made_while_a_restore_keeps_what_was_there_is_not_dropped_with_it(server: &Server) {
    let world = World::filled(server);
    world.run(&["backup", "--to", "a.dump"]).done();
    world.does("CREATE SCHEMA shop; CREATE TABLE shop.items (x int)");
    for program in ["pg_restore", "psql"] {
        world.script(program, &format!("exec '{}' \"$@\"", real(program).display()));
    }
    for (makes, is_there) in [
        ("CREATE TABLE later AS SELECT 7 AS x", "SELECT x FROM later"),
        ("CREATE TABLE shop.later AS SELECT 7 AS x", "SELECT x FROM shop.later"),
        ("SELECT lo_from_bytea(47, 'x')", "SELECT 7 FROM pg_largeobject_metadata WHERE oid = 47"),
    ] {
        // Given somebody who makes it when the backup of what is replaced has just been made.
        let (dump, psql, url) = (real("pg_dump"), real("psql"), world.url(&world.database.name));
        world.script(
            "pg_dump",
            &format!(
                "'{}' \"$@\"; ended=$?; [ \"$1\" = --version ] || '{}' -qXc \"{makes}\" '{url}' || exit 1; exit $ended",
                dump.display(),
                psql.display()
            ),
        );
        let mut command = world.project.command(&["restore", "a.dump", "--yes"]);
        let ran = Ran::of(&command.env("PATH", world.scripts_first()).output().unwrap());
        ran.refused(&["error[not-restored]", "somebody has made or dropped something", "run the command again"]);
        assert_eq!(world.database.ask(is_there), "7");
        assert_eq!(world.database.ask("SELECT count(*) FROM todos"), "2");
    }
    // Whoever is left alone restores it.
    world.run(&["restore", "a.dump", "--yes"]).done();
    assert_eq!(world.database.ask("SELECT to_regclass('later') IS NULL AND to_regclass('shop.items') IS NULL"), "t");
}

pub fn programs_that_are_older_than_the_server_are_passed_over(server: &Server) {
    let world = World::filled(server);
    // Given programs of an old version before all others.
    for program in ["pg_dump", "pg_restore", "psql"] {
        world.script(program, "echo 'pg_dump (PostgreSQL) 9.6.24'");
    }
    let mut command = world.project.command(&["backup", "--to", "a.dump"]);
    Ran::of(&command.env("PATH", world.scripts_first()).output().unwrap()).done();
    assert!(world.project.path("a.dump").is_file());
}

pub fn programs_of_the_servers_version_come_before_newer_ones_and_psql_may_stand_elsewhere(server: &Server) {
    let world = World::filled(server);
    let before = world.dump();
    // Given programs of a newer version before all others, which fail at whatever they are asked.
    for program in ["pg_dump", "pg_restore"] {
        world.script(program, "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' || exit 1");
    }
    // And those of the server's own version without `psql`, where nothing else is on PATH.
    let own = world.project.path("own");
    fs::create_dir(&own).unwrap();
    for program in ["pg_dump", "pg_restore"] {
        std::os::unix::fs::symlink(real(program), own.join(program)).unwrap();
    }
    let path = format!("{}:{}", world.project.path("scripts").display(), own.display());
    let run =
        |arguments: &[&str], path: &str| Ran::of(&world.project.command(arguments).env("PATH", path).output().unwrap());
    run(&["backup", "--to", "a.dump"], &path).done();
    world.does("DELETE FROM todos");
    // Then `psql` is the one that is found behind them. (An archive is read by the newest, which read all of them.)
    let with_psql = format!("{path}:{}", real("psql").parent().unwrap().display());
    for program in ["pg_dump", "pg_restore"] {
        fs::remove_file(world.project.path(&format!("scripts/{program}"))).unwrap();
    }
    run(&["restore", "a.dump", "--yes"], &with_psql).done();
    assert_eq!(world.dump(), before);
}

pub fn texts_that_are_not_utf_8_come_back_as_they_were(server: &Server) {
    let world = World::new(server);
    // Given a database whose server knows nothing of encodings.
    let name = &world.database.name;
    let maintenance = |sql: &str| {
        crate::server::config(server.socket(), "postgres").connect(postgres::NoTls).unwrap().batch_execute(sql).unwrap()
    };
    maintenance(&format!("DROP DATABASE {name}"));
    maintenance(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"));
    world.fill();
    world.does("INSERT INTO todos (title) VALUES (E'\\351t\\351')");
    world.run(&["backup"]).done();
    world.does("DELETE FROM todos");
    world.run(&["restore", "--yes"]).done();
    assert_eq!(world.database.ask("SELECT encode(title::bytea, 'hex') FROM todos WHERE id = 3"), "e974e9");
}

pub fn no_program_is_told_of_a_password_where_others_can_read_it(server: &Server) {
    let world = World::filled(server);
    let (password, written) = ("p@ ss'\"\\$`:/é", "p%40%20ss%27%22%5C%24%60%3A%2F%C3%A9");
    // Given programs that write down what they are started with.
    for program in ["pg_dump", "pg_restore", "psql"] {
        let real = real(program);
        world.script(
            program,
            &format!(
                "if [ \"$1\" != --version ]; then printf '%s\\n' \"$0\" \"$@\" >> {log}; printf '%s' \"$PGPASSWORD\" > {word}; fi\nexec {real} \"$@\"",
                log = world.project.path("arguments").display(),
                word = world.project.path(&format!("{program}.password")).display(),
                real = real.display(),
            ),
        );
    }
    let manifest = world.project.read("Cargo.toml");
    world.project.write("Cargo.toml", &manifest.replace("//postgres@", &format!("//postgres:{written}@")));
    let mut said = String::new();
    for arguments in [&["backup"][..], &["restore", "--yes"], &["backups", "-v"], &["restore", "Cargo.toml", "--yes"]] {
        let ran = Ran::of(&world.project.command(arguments).env("PATH", world.scripts_first()).output().unwrap());
        said.push_str(&(ran.out + &ran.err));
    }
    said.push_str(&world.project.read("arguments"));
    assert!(said.contains("--format=custom") && said.contains("--set=ON_ERROR_STOP=1"), "{said}");
    for told in [password, written] {
        assert!(!said.contains(told), "{said}");
    }
    for program in ["pg_dump", "psql"] {
        assert_eq!(world.project.read(&format!("{program}.password")), password);
    }
    for backup in world.backups() {
        assert!(!String::from_utf8_lossy(&fs::read(backup).unwrap()).contains(password));
    }
}

pub fn who_may_not_read_all_or_comes_too_late_is_told_what_helps(server: &Server) {
    let world = World::filled(server);
    let name = &world.database.name;
    let url = world.url(name).replace("//postgres@", &format!("//few_{name}@"));
    world.does(&format!("CREATE ROLE few_{name} LOGIN; GRANT SELECT ON _cargo_migrate TO few_{name}"));
    let ran = world.run(&["-d", &url, "backup", "--to", "b.dump"]);
    let ran = ran.refused(&["backup-failed", "permission denied for", "`GRANT pg_read_all_data TO \"few_"]);
    ran.is_printable();
    assert!(!ran.err.contains("disk"), "{}", ran.err);
    world.does(&format!("GRANT pg_read_all_data TO few_{name}"));
    world.run(&["-d", &url, "backup", "--to", "b.dump"]).done();
    // The session that shows what is copied has the one place that there is.
    world.does(&format!("ALTER ROLE few_{name} CONNECTION LIMIT 1"));
    let ran = world.run(&["-d", &url, "backup", "--to", "c.dump"]);
    let ran = ran.refused(&["backup-failed", "too many connections", "until others have let go"]);
    ran.is_printable();
    assert!(!ran.err.contains("disk"), "{}", ran.err);
    // And a table that somebody rebuilds is waited for as long as is said.
    let mut other = world.database.connect();
    other.batch_execute("BEGIN; LOCK TABLE todos IN ACCESS EXCLUSIVE MODE").unwrap();
    let ran = world.run(&["backup", "--wait", "1"]);
    let ran = ran.refused(&["database-busy", "LOCK TABLE public.", "todos", "--wait SECONDS"]);
    ran.is_printable();
    assert!(world.backups().is_empty() && !world.project.path("c.dump").exists());
}
