//! What strangers met who ran migrations on a server, and what they are told or spared now.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::faults::{LOCKS, asleep, eventually, sleeping};
use crate::ground::OnServer;
use crate::harness::{Project, Ran, table};
use crate::server::Server;

tests! {
    a_history_in_another_schema_is_not_made_again,
    a_schema_that_was_chosen_has_a_history_of_its_own,
    a_version_table_that_is_named_later_finds_the_history_where_it_was,
    a_run_is_not_ended_while_its_backup_is_made,
    another_encoding_is_refused_before_a_letter_is_lost,
    what_sets_the_whole_session_back_is_called_by_its_name,
    tables_that_are_locked_are_not_waited_for_to_see_whether_they_have_rows,
    no_limit_for_a_lock_is_longer_than_the_wait,
    what_is_interrupted_outside_a_transaction_is_said_to_be_half_way,
}

/// A project with `a1` applied, which makes `t`.
fn applied(server: &Server) -> Project {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", &table("base", "t").replace("(x)", "(x int)"));
    project.run(&["upgrade"]).done();
    project
}

/// Has the configuration say one more thing of the whole project.
fn configured(project: &Project, line: &str) {
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", &format!("database = \"dev\"\n{line}")));
}

fn a_history_in_another_schema_is_not_made_again(server: &Server) {
    let project = applied(server);
    // Somebody gives the role a schema of its own, which the default search path has before `public`.
    project.execute("CREATE SCHEMA AUTHORIZATION postgres");
    project.migration("a2", &table("a1", "u").replace("(x)", "(x int)"));
    for command in [
        &["status"][..],
        &["current"],
        &["history"],
        &["check"],
        &["verify"],
        &["upgrade"],
        &["upgrade", "--dry-run"],
        &["upgrade", "--sql"],
        &["downgrade", "base"],
        &["sync"],
        &["stamp", "a1"],
        &["ensure-version"],
    ] {
        let ran = project.run(command);
        assert_eq!(ran.status, 1, "{command:?}: {}{}", ran.out, ran.err);
        for words in [
            "error[history-elsewhere]: the version table `postgres._cargo_migrate` is not there",
            "`public._cargo_migrate` has 1 revision of `app`",
            r#"`"$user"`"#,
            r#"`version-table = "public._cargo_migrate"`"#,
            r#"`search-path = "public"`"#,
            r#"`search-path = "postgres"`"#,
            "`?schema=postgres`",
        ] {
            assert!(ran.err.contains(words), "{command:?}: {words}\n{}", ran.err);
        }
    }
    assert_eq!(project.ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'postgres'::regnamespace"), "0");
    // Another package begins where it likes.
    let other = Project::on(&OnServer::of(server));
    other.write("Cargo.toml", &other.read("Cargo.toml").replace("name = \"app\"", "name = \"other\""));
    other.migration("b1", &table("base", "v").replace("(x)", "(x int)"));
    other.run(&["-d", &project.url("dev"), "current"]).done().says("base");
    // What is advised leads on.
    configured(&project, "version-table = \"public._cargo_migrate\"");
    project.configure("dev", "shared = false, search-path = \"public\"");
    project.run(&["upgrade"]).done();
    assert_eq!(
        project.list("SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename IN ('t', 'u')").len(),
        2
    );
    assert_eq!(project.ask("SELECT to_regclass('public.u') IS NOT NULL"), "t");
}

fn a_schema_that_was_chosen_has_a_history_of_its_own(server: &Server) {
    let project = applied(server);
    project.execute("CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA three");
    let url = project.url("dev");
    project.run(&["-d", &format!("{url}?schema=two"), "upgrade"]).done();
    project.run(&["-d", &format!("{url}?options=-csearch_path%3Dthree"), "upgrade"]).done();
    project.configure("dev", "shared = false, search-path = \"one\"");
    project.run(&["upgrade"]).done();
    for schema in ["one", "two", "three"] {
        assert_eq!(project.ask(&format!("SELECT count(*) FROM {schema}._cargo_migrate")), "1", "{schema}");
    }
}

fn a_version_table_that_is_named_later_finds_the_history_where_it_was(server: &Server) {
    let project = applied(server);
    configured(&project, "version-table = \"ops._cargo_migrate\"");
    project.refuses(
        &["upgrade"],
        &[
            "error[history-elsewhere]: the version table `ops._cargo_migrate` is not there",
            "`public._cargo_migrate` has 1 revision of `app`",
            "`CREATE SCHEMA IF NOT EXISTS ops; ALTER TABLE public._cargo_migrate SET SCHEMA ops;`",
        ],
    );
    assert_eq!(project.ask("SELECT to_regnamespace('ops') IS NULL"), "t");
    project.execute("CREATE SCHEMA IF NOT EXISTS ops; ALTER TABLE public._cargo_migrate SET SCHEMA ops;");
    project.run(&["current"]).done().says("a1");
    // So does another name in the same schema.
    project.execute("ALTER TABLE ops._cargo_migrate SET SCHEMA public");
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("ops._cargo_migrate", "versions"));
    let ran = project.refuses(&["current"], &["error[history-elsewhere]", r#"`version-table = "_cargo_migrate"`"#]);
    assert!(!ran.err.contains("ALTER TABLE"), "{}", ran.err);
    // What this role may not read is none of its business.
    project.execute("DROP TABLE IF EXISTS versions; CREATE ROLE stranger_of_runs LOGIN");
    let url = project.url("dev").replace("postgres@", "stranger_of_runs@");
    project.run(&["-d", &url, "current"]).done().says("base");
    project.execute("DROP ROLE stranger_of_runs");
}

/// What the run's transaction waits for takes longer than the server lets a transaction stand still.
fn a_run_is_not_ended_while_its_backup_is_made(server: &Server) {
    let ground = OnServer::of(server);
    let project = applied(server);
    project.execute("INSERT INTO t VALUES (1); CREATE TABLE held (x int)");
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDROP TABLE t;\n");
    let idle = "-cidle_in_transaction_session_timeout%3D200ms%20-cidle_session_timeout%3D200ms";
    let url = format!("{}?options={idle}", project.url("dev"));
    let mut other = ground.session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut command = project.command(&["-d", &url, "upgrade", "--backup"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the backup waits for the table", || {
        project.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
             AND query ILIKE '%LOCK TABLE%held%' AND pid <> pg_backend_pid()",
        ) == "1"
    });
    std::thread::sleep(Duration::from_secs(1));
    other.batch_execute("COMMIT").unwrap();
    let ran = Ran::of(&run.wait_with_output().unwrap()).done();
    assert!(ran.err.contains("Backup"), "{}", ran.err);
    assert_eq!(project.tables(), ["held"]);
}

fn another_encoding_is_refused_before_a_letter_is_lost(server: &Server) {
    let project = applied(server);
    let a2 = |statement: &str| {
        let text = format!(
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (y text);\n{statement}\n-- migrate:down\nDROP TABLE u;\n"
        );
        project.migration("a2", &text);
    };
    for statement in ["SET client_encoding = 'LATIN1';", "SET LOCAL client_encoding TO latin1;", "SET NAMES 'LATIN1';"]
    {
        a2(&format!("{statement}\nINSERT INTO u VALUES ('Zo\u{e9}');"));
        for command in [&["upgrade"][..], &["test"], &["upgrade", "--sql"]] {
            let ran = project.refuses(command, &["error[forbidden-statement]", "the file is UTF-8", "a2.sql:4:1"]);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
    }
    // What only the server sees is seen at the section's end, also where it was one of its own.
    for header in ["", "-- migrate:no-transaction\n"] {
        a2("SELECT set_config('client_encoding', 'LATIN1', false);\nINSERT INTO u VALUES ('Zo\u{e9}');");
        project.write("migrations/a2.sql", &format!("{header}{}", project.read("migrations/a2.sql")));
        let words = &["this section has set `client_encoding` to `LATIN1`", "a2.sql"];
        project.run(&["upgrade"]).refused(words);
        if header.is_empty() {
            assert_eq!(project.tables(), ["t"]);
            let ran = project.run(&["test"]);
            assert!(ran.status == 1 && !ran.err.contains("panicked"), "{}", ran.err);
        }
    }
    project.execute("DROP TABLE u; DELETE FROM _cargo_migrate WHERE revision = 'a2'");
    a2("SET client_encoding = 'UTF8';\nINSERT INTO u VALUES ('Zo\u{e9}');");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT y FROM u"), "Zo\u{e9}");
}

fn what_sets_the_whole_session_back_is_called_by_its_name(server: &Server) {
    let project = applied(server);
    let a2 = |header: &str, statement: &str| {
        let text = format!(
            "{header}-- migrate:parent a1\n-- migrate:up\n{statement}\nCREATE TABLE u (y int);\n-- migrate:down\nDROP TABLE u;\n"
        );
        project.migration("a2", &text);
    };
    let outside = "-- migrate:no-transaction\n";
    a2("", "RESET ALL;");
    for command in [&["upgrade"][..], &["upgrade", "--sql"]] {
        let words = &["error[forbidden-statement]: RESET ALL", "a2.sql:3:1", "`RESET statement_timeout;`"];
        let ran = project.refuses(command, words);
        assert!(!ran.err.contains("transaction-ended") && !ran.out.contains("RESET ALL"), "{}{}", ran.out, ran.err);
    }
    a2("", "DISCARD ALL;");
    project.refuses(&["upgrade"], &["error[forbidden-statement]: DISCARD ALL", "a2.sql:3:1", "migrate:no-transaction"]);
    // Where it is out of sight it does no harm, and no transaction is said to be ended that is not.
    a2("", "DO $$ BEGIN EXECUTE 'RESET ALL'; END $$;");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "a1"]).done();
    a2(
        outside,
        "RESET ALL;
DISCARD ALL;",
    );
    project.run(&["upgrade"]).done();
    assert_eq!((project.tables(), project.ask(LOCKS)), (vec!["t".to_owned(), "u".to_owned()], "0".to_owned()));
}

fn tables_that_are_locked_are_not_waited_for_to_see_whether_they_have_rows(server: &Server) {
    let ground = OnServer::of(server);
    let project = applied(server);
    let tables = ["a", "b", "c", "d"];
    for name in tables {
        project.execute(&format!("CREATE TABLE {name} (x int)"));
    }
    let drops: String = tables.iter().map(|name| format!("DROP TABLE {name};\n")).collect();
    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{drops}"));
    let mut other = ground.session(&project.ask("SELECT current_database()"));
    let free = Instant::now();
    project.run(&["upgrade", "--dry-run", "--wait", "0"]).done();
    let free = free.elapsed();
    other.batch_execute("BEGIN; LOCK TABLE a, b, c, d IN ACCESS EXCLUSIVE MODE").unwrap();
    let held = Instant::now();
    let ran = project.run(&["upgrade", "--wait", "0", "--no-backup"]).refused(&["error[database-busy]"]);
    let refused = held.elapsed();
    assert!(!ran.err.contains("can lose data"), "{}", ran.err);
    // With a look at what can be lost it takes hardly longer: a table alone was waited for three seconds.
    let held = Instant::now();
    let ran = project.run(&["upgrade", "--wait", "0"]).refused(&[]);
    assert!(ran.err.contains("`a` is dropped") && ran.err.contains("`d` is dropped"), "{}", ran.err);
    let more = held.elapsed().saturating_sub(refused.max(free));
    assert!(more < Duration::from_secs(3), "{more:?}");
}

fn no_limit_for_a_lock_is_longer_than_the_wait(server: &Server) {
    let ground = OnServer::of(server);
    let project = applied(server);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nALTER TABLE t ADD y int;\n");
    project.configure("dev", "shared = false, lock-timeout = 0");
    project.refuses(&["upgrade"], &["error[invalid-setting]", "for ever", "`lock-timeout = 0.1`"]);
    project.configure("dev", "shared = false, lock-timeout = 600");
    let mut other = ground.session(&project.ask("SELECT current_database()"));
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    let start = Instant::now();
    project.run(&["upgrade", "--wait", "1"]).refused(&["error[database-busy]", "a2.sql:3:1"]);
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}

fn what_is_interrupted_outside_a_transaction_is_said_to_be_half_way(server: &Server) {
    let interrupted = |project: &Project, arguments: &[&str]| {
        let child = asleep(project, arguments);
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    let project = sleeping(server, 30);
    let a2 = project.read("migrations/a2.sql").replace("-- migrate:up", "-- migrate:no-transaction\n-- migrate:up");
    let a2 = a2.replace("DROP TABLE u;", "DROP TABLE u;\nSELECT pg_sleep(30);");
    project.write("migrations/a2.sql", &a2);
    let said = interrupted(&project, &["-d", "dev", "upgrade"]);
    for words in [
        "`a2` is half-way: it runs outside a transaction",
        "`cargo migrate -d dev repair --finished a2`",
        "`cargo migrate -d dev repair --not-applied a2`",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    project.run(&["repair", "-d", "dev", "--finished", "a2"]).done();
    let said = interrupted(&project, &["-d", "dev", "downgrade", "-1", "--no-backup"]);
    for words in ["`a2` is half-way", "`cargo migrate -d dev repair --still-applied a2`", "--not-applied a2"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    project.run(&["repair", "-d", "dev", "--not-applied", "a2"]).done();
}
