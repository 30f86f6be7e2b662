//! What users of other migration tools were hurt by, tried here. Each test names the thread that it comes from.

use std::fs;
use std::process::Command;

use crate::harness::{Project, table};

/// transact-rs/sqlx#3972: the tool itself should tell git to leave line endings alone.
#[test]
fn starting_a_project_keeps_git_from_changing_line_endings() {
    let project = Project::new();
    project.run(&["init"]).done();
    let attributes = project.read(".gitattributes");
    assert!(attributes.contains("migrations/*.sql text eol=lf"), "{attributes}");
    assert!(attributes.contains("migrations/migrate.lock text eol=lf"), "{attributes}");
}

/// ariga/atlas#1569: literals may hold line feeds and blanks, so no blanket stripping can be a checksum.
#[test]
fn white_space_counts_in_a_literal_and_nowhere_else() {
    let project = Project::new();
    let insert = |text: &str| {
        format!("-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES ({text});\n")
    };
    project.migration("a1", &insert("'a  b\nc'"));
    project.run(&["upgrade"]).done();
    project.migration("a1", &insert("  'a  b\nc'  "));
    project.refuses(&["upgrade"], &["edited-comments", "what its upgrade does is the same"]);
    for other in ["'a b\nc'", "'a  b c'", "'a  b\n\nc'"] {
        project.migration("a1", &insert(other));
        project.refuses(&["upgrade"], &["error[edited]"]);
    }
}

/// flyway/flyway#253, rust-db/refinery#374: a hash of another kind must be able to stand beside today's.
#[test]
fn every_stored_hash_says_what_it_is() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    let lock = project.read("migrations/migrate.local");
    for (column, name) in [("checksum", "sha256:"), ("statements", "statements:"), ("seal", "seal:")] {
        let stored = project.ask(&format!("SELECT {column} FROM _cargo_migrate"));
        assert!(stored.starts_with(name), "{stored}");
        assert!(lock.contains(&stored), "{stored}\n{lock}");
    }
}

/// runtarahq/runtara#220: a fresh database cannot notice an edit, so a green CI said nothing.
#[test]
fn an_edit_of_what_production_has_is_refused_on_a_fresh_database_too() {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}prod = {{ url = \"sqlite:prod.db\", shared = true }}\n"));
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "prod", "upgrade"]).done();
    fs::remove_file(project.path("prod.db")).unwrap();
    project.migration("a1", &table("base", "t1").replace("(x)", "(y)"));
    for database in ["dev", "test", "sqlite:fresh.db"] {
        project.refuses(&["-d", database, "upgrade", "--create"], &["error[edited]", "`prod` (migrate.lock)"]);
    }
}

/// prisma/orm#26005, #7338: an edit made the tool ask to wipe the database; creating a migration wiped it.
#[test]
fn nothing_offers_to_wipe_a_database_and_writing_a_revision_does_not_touch_one() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.database().execute_batch("CREATE TABLE drifted (x); INSERT INTO t1 VALUES (1)").unwrap();
    let before = project.bytes("app.db");
    project.run(&["revision", "-m", "next", "--rev-id", "a2"]).done();
    assert_eq!(project.bytes("app.db"), before);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t1 (x, y);\n");
    let ran = project.refuses(&["upgrade"], &["error[edited]"]);
    for word in ["reset", "wipe", "remove the database", "--force"] {
        assert!(!ran.err.contains(word), "{}", ran.err);
    }
}

/// transact-rs/sqlx#1158: the down's hash was compared with the up's.
#[test]
fn an_edited_way_back_is_told_as_one() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.migration("a1", &table("base", "t1").replace("DROP TABLE t1", "DROP TABLE IF EXISTS t1"));
    project.refuses(&["upgrade"], &["edited-comments", "the down"]);
    project.refuses(&["downgrade", "base"], &["down-differs", "--down-from stored", "--down-from file"]);
    project.run(&["downgrade", "base", "--down-from", "stored"]).done();
}

/// transact-rs/sqlx#1660, #763: paths were looked up from wherever the command was started.
#[test]
fn a_project_is_the_same_from_whatever_folder() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    fs::create_dir_all(project.path("src/deep")).unwrap();
    for folder in ["", "src", "src/deep", "migrations"] {
        let status = project.command(&["-q", "upgrade"]).current_dir(project.path(folder)).status().unwrap();
        assert!(status.success(), "{folder}");
    }
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "1");
    let found: Vec<_> =
        project.contents().into_keys().filter(|path| path.extension().is_some_and(|it| it == "db")).collect();
    assert_eq!(found, [project.path("app.db")]);
}

fn git(project: &Project, arguments: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.current_dir(project.path("")).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.args(arguments).output().unwrap().status.success()
}

/// open-ace/open-ace#1304, drizzle-team/drizzle-orm#2488: two branches fork one parent, and git sees no conflict.
#[test]
fn two_branches_that_both_add_a_revision_meet_in_git_and_are_joined() {
    let project = Project::new();
    project.write(".gitignore", "*.db\nmigrate.local\n");
    project.migration("a1", &table("base", "t1"));
    project.run(&["lock"]).done();
    assert!(git(&project, &["init", "-q", "-b", "main"]));
    let commit = || {
        assert!(git(&project, &["add", "-A"]));
        assert!(git(&project, &["commit", "-q", "-m", "x"]));
    };
    commit();
    for (branch, id) in [("one", "b1"), ("two", "c1")] {
        assert!(git(&project, &["checkout", "-q", "-b", branch, "main"]));
        project.run(&["revision", "-m", branch, "--rev-id", id]).done();
        commit();
    }
    assert!(!git(&project, &["merge", "-q", "one"]), "git merged two branches that had to collide");
    project.refuses(&["upgrade"], &["lock-conflict", "cargo migrate lock"]);
    project.run(&["lock"]).done();
    commit();
    project.refuses(&["upgrade"], &["ambiguous-target", "2 heads", "b1", "c1"]);
    project.run(&["revision", "-m", "join", "--rev-id", "d1", "--head", "b1", "--head", "c1"]).done();
    project.run(&["upgrade"]).done();
    assert_eq!(project.run(&["current"]).done().out, "d1 (head)\n");
}

/// sqlalchemy/alembic#1806, #1107: with dependencies the files' heads and the table's disagreed, and upgrades stopped.
#[test]
fn dependencies_do_not_make_files_and_database_disagree_on_heads() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("b1", &table("base", "u1"));
    project.migration("b2", &table("b1", "u2").replace("-- migrate:up", "-- migrate:depends a1\n-- migrate:up"));
    project.run(&["upgrade", "b2"]).done();
    project.run(&["upgrade", "heads"]).done().says("nothing to do");
    project.run(&["current", "--check-heads"]).done();
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "heads"]).done().says("a1 -> a2");
    project.run(&["current", "--check-heads"]).done();
}

/// transact-rs/sqlx#2085, flyway/flyway#2190: a pragma in a transaction does nothing, and nobody said so.
#[test]
fn a_pragma_that_a_transaction_would_ignore_is_refused() {
    let project = Project::new();
    project.migration("a0", &table("base", "t0"));
    project.run(&["upgrade"]).done();
    for pragma in ["foreign_keys = OFF", "foreign_keys(0)", "main.journal_mode = wal", "FOREIGN_KEYS=off"] {
        project
            .migration("a1", &format!("-- migrate:parent a0\n-- migrate:up\nPRAGMA {pragma};\nCREATE TABLE t (x);\n"));
        project.refuses(&["upgrade"], &["forbidden-statement", "a1.sql:3:1", "help"]);
    }
}

/// platformatic/platformatic#4903, yantrikos/yantrikdb#160: splitters cut trigger bodies, or stumble over a mark.
#[test]
fn a_trigger_is_one_statement_in_any_encoding_of_its_file() {
    let project = Project::new();
    project.migration(
        "a1",
        "\u{FEFF}-- migrate:parent base\r\n-- migrate:up\r\nCREATE TABLE t (x);\r\nCREATE TRIGGER g AFTER INSERT ON t BEGIN\r\n  \
         UPDATE t SET x = CASE WHEN x = ';' THEN 'end;' ELSE x END; -- end;\r\n  SELECT 1; /* ; */\r\nEND;\r\nINSERT INTO t VALUES (';');\r\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT x FROM t"), "end;");
}

/// golang-migrate/migrate#282, IBM/mcp-context-forge#3420: a failed run left a dirty flag, or tables that the next run
/// fell over.
#[test]
fn after_a_failed_run_the_mended_file_simply_runs() {
    let project = Project::new();
    let text = |last: &str| {
        format!("-- migrate:parent base\n-- migrate:up\nCREATE TABLE _tmp (x);\nCREATE INDEX i ON _tmp (x);\n{last};\n")
    };
    project.migration("a0", &table("base", "t0"));
    project.run(&["upgrade"]).done();
    project.migration("a1", &text("INSERT INTO missing VALUES (1)").replace("parent base", "parent a0"));
    let said = project.refuses_without_help(&["upgrade"], &["a1.sql:5:1", "no such table: missing", "rolled back"]).err;
    assert!(!said.contains("force") && !said.contains("dirty"), "{said}");
    project.migration("a1", &text("DROP TABLE _tmp").replace("parent base", "parent a0"));
    project.run(&["upgrade"]).done();
}

/// kagent-dev/kagent#1881, transact-rs/sqlx#2238: an older checkout meets a newer database.
#[test]
fn a_database_that_is_ahead_of_the_checkout_is_named_and_can_be_taken_back_without_the_file() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    let locks = ["migrate.lock", "migrate.local"].map(|name| (name, project.read(&format!("migrations/{name}"))));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade"]).done();
    // Another branch is checked out, whose files know nothing of it.
    fs::remove_file(project.path("migrations/a2.sql")).unwrap();
    for (name, text) in locks {
        project.write(&format!("migrations/{name}"), &text);
    }
    project.refuses(&["upgrade"], &["unknown-applied", "`a2`", "`dev`", "cargo migrate delete a2 --downgrade"]);
    project.run(&["delete", "a2", "--downgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 't2'"), "0");
    project.run(&["current", "--check-heads"]).done();
}

/// transact-rs/sqlx#121, apalis-dev/apalis#81, diesel-rs/diesel#4946: crates that share a database collided in one table.
#[test]
fn packages_that_share_a_database_keep_their_histories_apart() {
    let project = Project::new();
    project.write("Cargo.toml", "[workspace]\nmembers = [\"shop\", \"queue\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate.databases]\ndev = \"sqlite:app.db\"\n");
    for package in ["shop", "queue"] {
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[package.metadata.migrate]\ndatabase = \"dev\"\n"
        );
        project.write(&format!("{package}/Cargo.toml"), &manifest);
        project.write(&format!("{package}/src/lib.rs"), "");
        project.write(&format!("{package}/migrations/a1.sql"), &table("base", package));
    }
    project.refuses(&["upgrade"], &["no-package", "queue, shop", "-p "]);
    project.run(&["upgrade", "-p", "shop"]).done();
    project.run(&["status", "-p", "queue"]).done().says("pending   1");
    project.run(&["upgrade", "-p", "queue"]).done();
    project.run(&["downgrade", "base", "-p", "shop"]).done();
    assert_eq!(project.run(&["current", "-p", "queue"]).done().out, "a1 (head)\n");
    assert_eq!(project.ask("SELECT group_concat(name) FROM sqlite_schema WHERE name IN ('shop', 'queue')"), "queue");
    project.refuses(&["upgrade", "-p", "shp"], &["unknown-package", "write `-p shop`"]);
}

/// transact-rs/sqlx#4231, sqlalchemy/alembic#704: which revision stays, and steps in a range for a script.
#[test]
fn a_downgrade_keeps_its_target_and_a_range_takes_steps_from_a_name() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.migration("a3", &table("a2", "t3"));
    let script = project.run(&["upgrade", "head-1:head", "--sql"]).done().out;
    assert!(script.contains("CREATE TABLE t3") && !script.contains("CREATE TABLE t2"), "{script}");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "a1"]).done();
    assert_eq!(project.run(&["current"]).done().out, "a1\n");
}
