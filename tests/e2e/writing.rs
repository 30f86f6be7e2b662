//! Commands that write migrations: merge, edit, delete with its ranges and splices; and those that fix or empty:
//! seal, reset, stamp as a script, repair.

use crate::harness::Project;

fn table(parent: &str, name: &str) -> String {
    format!(
        "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {name} (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE {name};\n"
    )
}

/// `a1 <- b1 <- c1 <- d1`, all drafts.
fn chain() -> Project {
    let project = Project::new();
    for (id, parent) in [("a1", "base"), ("b1", "a1"), ("c1", "b1"), ("d1", "c1")] {
        project.migration(id, &table(parent, &format!("t_{id}")));
    }
    project
}

#[test]
fn two_branches_are_joined_and_upgraded_past_the_merge() {
    let project = Project::new();
    project.migration("a1", &table("base", "a"));
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &table("a1", "c"));
    project.run(&["upgrade"]).refused(&["2 heads", "cargo migrate merge heads"]);
    project.run(&["merge", "heads", "-m", "merge", "--rev-id", "m1"]).done().says("m1.sql").says("b1, c1");
    assert!(project.read("migrations/m1.sql").contains("-- migrate:parent b1, c1\n"));
    project.run(&["upgrade"]).done().says("Running upgrade b1, c1 -> m1");
    project.run(&["heads"]).done().says("m1");
    project.run(&["merge"]).done().says("`m1` is the only head");
    project.run(&["downgrade", "b1"]).done();
    project.run(&["current"]).done().says("b1").says("c1");
}

#[test]
fn a_merge_of_one_revision_or_of_one_that_is_no_head_is_refused() {
    let project = chain();
    assert_eq!(project.run(&["merge", "d1"]).status, 2);
    project.run(&["merge", "b1", "d1"]).refused(&["not-a-head", "`b1`", "--splice"]);
    project.run(&["merge", "nope", "d1"]).refused(&["unknown-target"]);
}

#[cfg(unix)]
#[test]
fn the_editor_opens_the_file_and_what_was_written_is_looked_at() {
    let project = chain();
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
fn a_revision_that_others_build_on_is_deleted_only_with_splice_and_only_where_they_are_drafts() {
    let project = chain();
    project.run(&["delete", "b1"]).refused(&["built-on", "c1", "--splice"]);
    project.run(&["delete", "b1", "--splice"]).done().says("Spliced migrations/c1.sql").says("Deleted b1");
    assert!(project.read("migrations/c1.sql").starts_with("-- migrate:parent a1\n"));
    assert!(!project.path("migrations/b1.sql").exists());
    project.run(&["upgrade"]).done();

    project.run(&["delete", "d1"]).refused(&["still-applied"]);
    project.run(&["delete", "c1", "--splice", "--downgrade"]).refused(&["`d1` builds on `c1` and is applied"]);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "3");
}

#[test]
fn a_spliced_merge_keeps_its_other_parents() {
    let project = Project::new();
    project.migration("a1", &table("base", "a"));
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &table("a1", "c"));
    project.migration("m1", "-- migrate:parent b1, c1\n-- migrate:up\n");
    project.run(&["delete", "c1", "--splice"]).done();
    // `a1` is left out: `b1` stands on it already.
    assert!(project.read("migrations/m1.sql").starts_with("-- migrate:parent b1\n"));
    project.run(&["delete", "a1", "b1", "--splice"]).done();
    assert!(project.read("migrations/m1.sql").starts_with("-- migrate:parent base\n"));
}

#[test]
fn a_range_is_deleted_with_both_its_ends() {
    let project = chain();
    project.run(&["upgrade"]).done();
    project.run(&["delete", "d1:b1"]).refused(&["write the older one first"]);
    project.run(&["delete", "b1:"]).refused(&["still-applied", "`b1`", "`c1`", "`d1`"]);
    project.run(&["delete", "b1:d1", "--downgrade"]).done();
    project.run(&["history"]).done();
    project.run(&["current"]).done().says("a1");
    assert_eq!(project.ask("SELECT group_concat(name) FROM sqlite_schema WHERE name LIKE 't\\_%' ESCAPE '\\'"), "t_a1");
    assert!(!project.read("migrations/migrate.lock").contains("b1"));
}

#[test]
fn what_is_released_is_fixed_until_its_seal_is_broken_on_purpose() {
    let project = chain();
    project.run(&["seal", "b1"]).done().says("Sealed a1").says("Sealed b1");
    let lock = project.read("migrations/migrate.lock");
    assert!(
        lock.lines().filter(|line| line.ends_with("  released")).count() == 2 && lock.contains("c1  draft"),
        "{lock}"
    );
    project.run(&["seal", "b1"]).done();
    assert_eq!(project.read("migrations/migrate.lock"), lock);

    // Applied and taken off again: released stays.
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "base"]).done();
    assert_eq!(project.read("migrations/migrate.lock"), lock);
    project.migration("a1", &table("base", "edited"));
    project.run(&["upgrade"]).refused(&["error[edited]", "`released`"]);
    project.run(&["seal"]).refused(&["error[edited]"]);
    project.migration("a1", &table("base", "t_a1"));

    project.run(&["delete", "b1", "--splice"]).refused(&["users' databases may have it", "seal --undo b1"]);
    project.run(&["seal", "a1", "--undo"]).refused(&["not-confirmed", "--yes"]);
    project.run(&["seal", "c1", "--undo"]).refused(&["not-sealed"]);
    project.run(&["seal", "a1", "--undo", "--yes"]).done().says("Unsealed a1").says("Unsealed b1");
    assert!(!project.read("migrations/migrate.lock").contains("released"));
    project.run(&["seal"]).done().says("Sealed d1");
}

#[test]
fn a_scratch_database_starts_again_and_any_other_is_not_emptied() {
    let project = chain();
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
fn a_scratch_database_follows_an_edited_draft_by_itself() {
    let project = chain();
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("c1", &table("b1", "edited"));
    project.run(&["-d", "test", "upgrade"]).done().says("Running downgrade d1 -> c1").says("Running upgrade b1 -> c1");
    let test = rusqlite::Connection::open(project.path("database_test.db")).unwrap();
    let tables: String = test
        .query_row("SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_%' ESCAPE '\\' AND type = 'table' ORDER BY name)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, "edited,t_a1,t_b1,t_d1");
    assert!(!project.run(&["-d", "test", "upgrade", "--sql"]).done().out.contains("CREATE TABLE"));
    project.migration("c1", &table("b1", "edited_again"));
    let script = project.run(&["-d", "test", "upgrade", "--sql"]).done().out;
    assert!(script.contains("DROP TABLE edited;") && script.contains("CREATE TABLE edited_again"), "{script}");
    project.run(&["-d", "test", "upgrade"]).done();
    // One that was removed comes off too, and what cannot come off names the way out.
    project.run(&["delete", "d1"]).refused(&["still-applied", "`test`"]);
    std::fs::remove_file(project.path("migrations/d1.sql")).unwrap();
    project.run(&["-d", "test", "upgrade"]).done().says("Running downgrade d1");
    project.migration("d1", "-- migrate:parent c1\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE d (x);\n");
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("d1", "-- migrate:parent c1\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE dd (x);\n");
    project.run(&["-d", "test", "upgrade"]).refused(&["irreversible", "cargo migrate -d test reset"]);
    project.run(&["-d", "test", "reset"]).done();
}

#[test]
fn a_stamp_is_previewed_as_a_script_that_does_the_same() {
    let project = chain();
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
fn a_change_of_comments_is_accepted_on_purpose_and_a_change_of_statements_is_not() {
    let project = chain();
    let manifest = project.read("Cargo.toml");
    let shared = "test = { url = \"sqlite:database_test.db\", shared = true }";
    project
        .write("Cargo.toml", &manifest.replace("test = { url = \"sqlite:database_test.db\", scratch = true }", shared));
    project.run(&["upgrade"]).done();
    project.run(&["-d", "test", "upgrade"]).done();
    let edited = table("base", "t_a1")
        .replace("-- migrate:up", "-- Why.\n-- migrate:up")
        .replace("DROP TABLE", "DROP TABLE IF EXISTS");
    project.migration("a1", &edited);
    project.run(&["upgrade"]).refused(&["edited-comments", "cargo migrate repair"]);
    project.run(&["repair"]).done().says("Accepted another text of `a1`").says("1 row of");
    project.run(&["verify"]).done();
    project.run(&["repair"]).done().says("nothing to repair");
    // The other database has the old text's checksum still, and that stops nothing.
    project.run(&["-d", "test", "verify"]).done();
    project.run(&["-d", "test", "upgrade"]).done();
    project.run(&["verify"]).done();
    assert!(project.ask("SELECT down FROM _cargo_migrate WHERE revision = 'a1'").contains("IF EXISTS"));
    project.run(&["downgrade", "base"]).done();
    project.run(&["-d", "test", "downgrade", "base"]).refused(&["down-differs", "--down-from stored"]);

    project.migration("b1", &table("a1", "other"));
    project.run(&["repair"]).refused(&["error[edited]", "b1.sql"]);
    project.run(&["-d", "test", "upgrade"]).refused(&["error[edited]"]);
    project.migration("b1", &table("base", "t_b1"));
    project.run(&["repair"]).refused(&["error[edited]", "its parents"]);
}

#[test]
fn where_git_knows_the_old_text_repair_shows_what_changed() {
    let project = chain();
    project.git(&["init", "-q"]);
    project.commit("as applied");
    project.run(&["upgrade"]).done();
    project.migration("a1", &table("base", "t_a1").replace("-- migrate:up", "-- Why.\n-- migrate:up"));
    project.git(&["commit", "-qam", "a comment"]);
    project.run(&["repair"]).done().says("+ -- Why.");
    project.migration("b1", &table("a1", "t_b1").replace("INTEGER", "TEXT"));
    project.run(&["repair"]).refused(&[
        "statement 1 was `CREATE TABLE t_b1 (id INTEGER PRIMARY KEY);`",
        "and is `CREATE TABLE t_b1 (id TEXT",
    ]);
    // In a hook git names the repository from the folder that the hook runs in.
    let ran = crate::harness::Ran::of(&project.command(&["repair"]).env("GIT_DIR", ".git").output().unwrap());
    ran.refused(&["statement 1 was `CREATE TABLE t_b1 (id INTEGER PRIMARY KEY);`"]);
}

#[test]
fn a_renamed_package_gets_its_rows_back() {
    let project = chain();
    project.run(&["upgrade"]).done();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("name = \"app\"", "name = \"new\""));
    project.run(&["current"]).refused(&["other-package", "repair --rename app=new"]);
    assert_eq!(project.run(&["repair", "--rename", "app=other"]).status, 2);
    // A database that cannot be written leaves the lock as it is.
    let lock = project.read("migrations/migrate.lock");
    let other = project.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    project.run(&["--wait", "0.1", "repair", "--rename", "app=new"]).refused(&["database-busy"]);
    assert_eq!(project.read("migrations/migrate.lock"), lock);
    other.execute_batch("ROLLBACK").unwrap();
    // Where the lock was lost too, the database says whose rows they are.
    std::fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
    std::fs::remove_file(project.path("migrations/migrate.local")).unwrap();
    project.run(&["upgrade"]).refused(&["other-package", "as those of `app`, not of `new`"]);
    project.run(&["repair", "--rename", "app=new"]).done().says("4 rows");
    project.run(&["upgrade"]).done().says("nothing to do");
    assert_eq!(project.ask("SELECT group_concat(DISTINCT package) FROM _cargo_migrate"), "new");
    assert!(project.read("migrations/migrate.lock").contains("\npackage new\n"));
}

#[test]
fn a_dependency_on_another_package_is_named_or_refused() {
    let project = chain();
    project.run(&["revision", "-m", "x", "--rev-id", "x1", "--depends-on", "accounts/a1"]).done();
    assert!(project.read("migrations/x1.sql").contains("-- migrate:depends accounts/a1\n"));
    for bad in ["q\n/a", "accounts/..", "accounts/a/b", "/a"] {
        project.run(&["revision", "-m", "y", "--rev-id", "y1", "--depends-on", bad]).refused(&["invalid-id"]);
    }
    assert!(!project.path("migrations/y1.sql").exists());
}

#[test]
fn an_own_database_that_a_variable_names_frees_its_drafts_again() {
    let project = chain();
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

#[test]
fn of_several_interrupted_revisions_one_is_settled_by_its_whole_name() {
    let project = chain();
    project.run(&["upgrade"]).done();
    project
        .database()
        .execute_batch("UPDATE _cargo_migrate SET state = 'running' WHERE revision IN ('c1', 'd1')")
        .unwrap();
    project.run(&["repair", "--finished", "1"]).refused(&["not-interrupted", "c1, d1", "write more of the id"]);
    project.run(&["repair", "--finished", ""]).refused(&["not-interrupted"]);
    project.run(&["repair", "--finished", "c1"]).done();
    project.run(&["repair", "--finished", "d"]).done();
    project.run(&["verify"]).done();
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
fn a_run_past_an_interrupted_revision_is_refused_whichever_way_it_went() {
    let project = chain();
    project.run(&["upgrade"]).done();
    for state in ["running", "reverting"] {
        project
            .database()
            .execute_batch(&format!("UPDATE _cargo_migrate SET state = '{state}' WHERE revision = 'd1'"))
            .unwrap();
        for arguments in [&["upgrade"][..], &["downgrade", "-1"], &["upgrade", "--dry-run"]] {
            project.run(arguments).refused(&["interrupted", "`d1`"]);
        }
    }
}
