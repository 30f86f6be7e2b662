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
fn a_scratch_database_that_starts_again_keeps_its_journal_mode() {
    let project = chain(&Sqlite);
    project.run(&["-d", "test", "upgrade"]).done();
    for journal in ["delete", "wal"] {
        project.execute_on(
            "test",
            &format!("PRAGMA journal_mode = {journal}; CREATE TABLE leftover_{journal} (x); INSERT INTO leftover_{journal} VALUES (1)"),
        );
        project.run(&["-d", "test", "reset"]).done().says("Finished reset of 4 revisions");
        assert_eq!(project.databases().tables("test"), ["t_a1", "t_b1", "t_c1", "t_d1"]);
        assert_eq!(project.ask_of("test", "PRAGMA journal_mode"), journal);
    }
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
