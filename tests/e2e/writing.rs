//! Commands that write migrations, where they open an editor, and those that work on SQLite's files.

use crate::harness::Project;
use crate::pages::ground::Sqlite;
use crate::pages::{chain, table};

#[cfg(unix)]
#[test]
fn the_editor_opens_the_file_and_what_was_written_is_looked_at() {
    let project = chain(&Sqlite);
    let with_editor = |editor: &str, arguments: &[&str]| {
        let output = project.command(arguments).env("EDITOR", editor).env_remove("VISUAL").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // An editor with arguments of its own, as `code --wait` is.
    assert_eq!(with_editor("sed -i s/t_d1/renamed/g", &["edit", "head"]).0, 0);
    assert!(project.read("migrations/d1.sql").contains("CREATE TABLE renamed"));

    let (status, said) = with_editor("sed -i s/migrate:up/migrate:upp/", &["edit", "d1"]);
    assert!(status == 1 && said.contains("unknown-directive") && said.contains("d1.sql:2:1"), "{said}");
    // A file that is no migration any more can be opened to be mended.
    assert_eq!(with_editor("sed -i s/migrate:upp/migrate:up/", &["edit", "d1"]).0, 0);

    project.run(&["upgrade"]).done();
    let (status, said) = with_editor("sed -i s/t_a1/other/g", &["edit", "a1"]);
    assert!(status == 1 && said.contains("an edit of it will be refused") && said.contains("error[edited]"), "{said}");

    let (status, said) = with_editor("no-such-editor", &["edit", "a1"]);
    assert!(status == 1 && said.contains("[editor]") && said.contains("no-such-editor"), "{said}");
    let output = project.command(&["edit", "a1"]).env_remove("EDITOR").env_remove("VISUAL").output().unwrap();
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("EDITOR=nano"));
}

#[cfg(unix)]
#[test]
fn a_new_revision_is_opened_at_once() {
    let project = Project::new();
    let run = |editor: Option<&str>| {
        let mut command = project.command(&["revision", "-m", "x", "--rev-id", "x1", "--edit"]);
        command.env_remove("VISUAL").env_remove("EDITOR");
        if let Some(editor) = editor {
            command.env("EDITOR", editor);
        }
        command.output().unwrap().status.code()
    };
    assert_eq!(run(None), Some(1));
    assert!(!project.path("migrations/x1.sql").exists(), "an editor that is missing is missed before there is a file");
    assert_eq!(run(Some("sed -i s/x/opened/")), Some(0));
    assert!(project.read("migrations/x1.sql").starts_with("-- opened"));
}

#[test]
fn a_scratch_database_starts_again_and_any_other_is_not_emptied() {
    let project = chain(&Sqlite);
    project.run(&["upgrade"]).done();
    project.run(&["reset"]).refused(&["not-scratch", "downgrade base"]);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "4");

    let test = || rusqlite::Connection::open(project.path("database_test.db")).unwrap();
    let count = |sql: &str| test().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for journal in ["delete", "wal"] {
        test().execute_batch(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE leftover_{journal} (x); INSERT INTO leftover_{journal} VALUES (1)")).unwrap();
        project.run(&["-d", "test", "reset"]).done().says("Finished reset of 4 revisions");
        assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'leftover%'"), 0);
        assert_eq!(count("SELECT count(*) FROM t_d1"), 0);
        assert_eq!(test().query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).unwrap(), journal);
    }
    // Another process that holds it is waited for, and no longer than was said.
    let other = test();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    project.run(&["-d", "test", "--wait", "0.2", "reset"]).refused(&["database-busy", "database_test.db"]);
    drop(other);
    // A revision that fails leaves the database as it was.
    test().execute_batch("INSERT INTO t_a1 VALUES (7)").unwrap();
    project.migration("e1", "-- migrate:parent d1\n-- migrate:up\nCREATE TABEL x (y);\n");
    project.run(&["-d", "test", "reset"]).refused(&["sql-error", "e1.sql:3:8"]);
    assert_eq!(count("SELECT id FROM t_a1"), 7);
}

#[test]
fn a_stamp_is_previewed_as_a_script_that_does_the_same() {
    let project = chain(&Sqlite);
    project.run(&["upgrade", "b1"]).done();
    let script = project.run(&["stamp", "d1", "--sql"]).done().out;
    let rows = "SELECT group_concat(revision || ' ' || sequence || ' ' || seal || ' ' || down || ' ' || applied_count || ' ' || coalesce(schema_hash, '-')) FROM _cargo_migrate";
    let before = project.ask(rows);
    std::fs::copy(project.path("app.db"), project.path("copy.db")).unwrap();
    project.run(&["stamp", "d1"]).done();
    assert_ne!(project.ask(rows), before);
    let mut shell = std::process::Command::new("sqlite3");
    shell.arg(project.path("copy.db")).stdin(std::process::Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    std::io::Write::write_all(shell.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    let copied: String =
        rusqlite::Connection::open(project.path("copy.db")).unwrap().query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(copied, project.ask(rows));
}

#[test]
fn a_first_upgrade_that_fails_tells_of_the_empty_file_that_it_leaves() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABEL t (x);\n");
    project.run(&["upgrade"]).refused(&["sql-error", "dev (app.db) was made, and is empty"]);
    assert_eq!(project.bytes("app.db").len(), 0);
    project.migration("a1", &table("base", "t"));
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM t"), "0");
}

#[test]
fn an_own_database_that_a_variable_names_frees_its_drafts_again() {
    let project = chain(&Sqlite);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", manifest.split("\n[package.metadata.migrate]").next().unwrap());
    let run = |arguments: &[&str]| {
        let output = project.command(arguments).env("DATABASE_URL", "sqlite:own.db").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["upgrade", "--create"]);
    assert!(project.read("migrations/migrate.local").contains("  url\n"));
    run(&["downgrade", "base"]);
    project.migration("d1", &table("c1", "other"));
    run(&["upgrade"]);
}
