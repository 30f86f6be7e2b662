//! What a stranger typed because the command had said so, or by mistake, and lost rows by: each of it is refused now with the
//! way out that loses nothing.

use crate::faults::{ASLEEP, asleep};
use crate::ground::OnServer;
use crate::harness::{Project, Ran, table};
use crate::server::Server;

tests! {
    a_folder_of_the_other_database_changes_nothing,
    a_folder_is_not_made_the_other_databases_by_the_way,
    a_folder_without_a_lock_becomes_the_databases,
    an_index_that_no_query_can_use_is_not_a_finished_upgrade,
    who_loses_the_connection_half_way_is_told_to_settle_that_first,
}

/// A revision that makes a table of one whole number, and takes it away.
fn numbers(parent: &str, name: &str) -> String {
    table(parent, name).replace("(x)", "(x int)")
}

/// A project that has moved to the server: `a1` is applied there with a row, and the folder `old` has what ran on SQLite.
fn moved(server: &Server) -> Project {
    let project = Project::on(&OnServer::of(server));
    project.migration("a1", &numbers("base", "todos"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO todos VALUES (1)");
    project.write("old/s1.sql", &numbers("base", "users"));
    project.write("old/s2.sql", &numbers("s1", "todos"));
    project.run(&["--migrations", "old", "-d", "sqlite:todo.db", "upgrade", "--create"]).done();
    project
}

fn a_folder_of_the_other_database_changes_nothing(server: &Server) {
    let project = moved(server);
    for command in [
        &["upgrade"][..],
        &["upgrade", "--dry-run"],
        &["upgrade", "--sql"],
        &["upgrade", "s1:s2", "--sql"],
        &["downgrade", "base"],
        &["sync"],
        &["sync", "--yes"],
        &["stamp", "s2"],
        &["delete", "s2", "--downgrade"],
        &["ensure-version"],
        &["-d", "test", "reset"],
        &["test"],
        &["repair", "--not-applied", "s1"],
        &["check"],
        &["verify"],
    ] {
        let ran = project.refuses(
            &[&["--migrations", "old"], command].concat(),
            &[
                "error[other-dialect]: the migrations in `old` are SQLite's, and `",
                "` is a database of PostgreSQL",
                "help: where another folder is meant, or another database: `--migrations DIR`, `-d NAME`",
                "help: where the files are PostgreSQL's, say so: `cargo migrate --migrations old lock --dialect postgres`",
            ],
        );
        assert!(!ran.err.contains("migrate sync"), "{command:?}\n{}", ran.err);
    }
    let status = project.run(&["--migrations", "old", "status"]).done();
    assert!(
        status.err.contains("error[other-dialect]") && !status.err.contains("cargo migrate sync"),
        "{}",
        status.err
    );
    let url = project.url("dev");
    project.run(&["--migrations", "old", "upgrade", "--each", &url]).refused(&["other-dialect"]);
    assert_eq!(project.ask("SELECT x FROM todos"), "1");
    // Each folder goes on working on its own database.
    project.run(&["--migrations", "old", "-d", "sqlite:todo.db", "downgrade", "s1"]).done();
    project.run(&["upgrade"]).done().says("nothing to do");
}

fn a_folder_is_not_made_the_other_databases_by_the_way(server: &Server) {
    let project = moved(server);
    let lock = project.read("migrations/migrate.lock");
    let ran = project.run(&["-d", "sqlite:todo.db", "status"]).done();
    assert!(ran.err.contains("the migrations in `migrations` are PostgreSQL's"), "{}", ran.err);
    for arguments in [&["lock", "--dialect", "sqlite"][..], &["-d", "sqlite:todo.db", "lock", "--dialect", "sqlite"]] {
        project.refuses(
            arguments,
            &[
                "error[not-confirmed]",
                "applied as PostgreSQL's",
                "`a1` is applied to `dev`",
                "help: where a database of the other",
            ],
        );
    }
    project.refuses(&["-d", "sqlite:todo.db", "upgrade"], &["error[other-dialect]", "`migrations` are PostgreSQL's"]);
    assert_eq!(project.read("migrations/migrate.lock"), lock);
    project.run(&["lock", "--dialect", "sqlite", "--yes"]).done();
    project.refuses(&["upgrade"], &["error[other-dialect]"]);
    project.run(&["lock", "--dialect", "postgres", "--yes"]).done();
    project.run(&["upgrade"]).done();
}

fn a_folder_without_a_lock_becomes_the_databases(server: &Server) {
    for first in [&["upgrade"][..], &["lock"], &["revision", "-m", "more"]] {
        let project = Project::on(&OnServer::of(server));
        // For SQLite the comment ends at its first `*/`.
        project.migration("a1", &numbers("base", "t").replace("CREATE", "/* /* */ It's nested. */ CREATE"));
        project.run(first).done();
        assert!(project.read("migrations/migrate.lock").contains("\ndialect postgres\n"), "{first:?}");
        project.run(&["upgrade"]).done();
        assert_eq!(project.tables(), ["t"]);
    }
}

fn an_index_that_no_query_can_use_is_not_a_finished_upgrade(server: &Server) {
    for (up, index) in [
        ("CREATE UNIQUE INDEX CONCURRENTLY \"By Name\" ON people (name);", "\"By Name\""),
        ("CREATE UNIQUE INDEX CONCURRENTLY by_name ON people (name);", "by_name"),
        ("CREATE UNIQUE INDEX CONCURRENTLY ON people (name);", "people_name_idx"),
    ] {
        let project = Project::on(&OnServer::of(server));
        project.execute("CREATE TABLE people (name text); INSERT INTO people VALUES ('Ann'), ('Ann')");
        let down = format!("DROP INDEX CONCURRENTLY {index};");
        let text = |up: &str| {
            format!("-- migrate:parent base\n-- migrate:no-transaction\n-- migrate:up\n{up}\n-- migrate:down\n{down}\n")
        };
        project.migration("a1", &text(up));
        project.run(&["upgrade"]).refused(&["sql-error"]);
        let removes = format!("`DROP INDEX CONCURRENTLY \"public\".\"{}\";`", index.trim_matches('"'));
        project.refuses(&["repair", "--finished", "a1"], &["error[interrupted]", "was not made to its end", &removes]);
        assert_eq!(project.ask("SELECT state FROM _cargo_migrate"), "running");
        // An index of somebody else is nothing of this revision's.
        project.execute(&format!("DROP INDEX {index}"));
        project.execute("CREATE TABLE others (x int); INSERT INTO others VALUES (1), (1)");
        let other = "CREATE UNIQUE INDEX CONCURRENTLY of_others ON others (x)";
        assert!(project.databases().execute("dev", other).is_err());
        project.execute("DELETE FROM people");
        project.execute(up);
        project.run(&["repair", "--finished", "a1"]).done();
        assert_eq!(project.ask("SELECT state FROM _cargo_migrate"), "applied");
    }
}

fn who_loses_the_connection_half_way_is_told_to_settle_that_first(server: &Server) {
    for end in ["pg_terminate_backend", "pg_cancel_backend"] {
        let project = Project::on(&OnServer::of(server));
        project.migration(
            "a1",
            "-- migrate:parent base\n-- migrate:no-transaction\n-- migrate:up\nSELECT pg_sleep(60);\n-- migrate:down\nSELECT 1;\n",
        );
        let child = asleep(&project, &["upgrade"]);
        project.ask(&format!("SELECT {end}(pid) {ASLEEP}"));
        let ran = Ran::of(&child.wait_with_output().unwrap())
            .refused(&["error[database]", "finish it by hand, then: `cargo migrate repair --finished a1`"]);
        assert!(!ran.err.contains("run it again"), "{}", ran.err);
    }
}
