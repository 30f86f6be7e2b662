//! `upgrade --each` over files: the patterns that find them, what lies beside them, and what only a file can be.

use std::fs;

use rusqlite::Connection;

use crate::harness::{Project, Ran, ended};
use crate::pages::ground::Kind;
use crate::pages::tenants::many;

/// A project with three revisions of which each writes a row into `log`, and databases that have the first of them and a
/// row that tells them apart.
fn project(tenants: usize) -> Project {
    let project = Project::new();
    let first = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE log (what TEXT);\nCREATE TABLE own (name TEXT);\n";
    project.migration("a1", first);
    project.run(&["upgrade", "-d", "sqlite:template.db", "--create"]).done();
    fs::create_dir(project.path("tenants")).unwrap();
    for number in 0..tenants {
        tenant(&project, &name(number));
    }
    for (id, parent) in [("a2", "a1"), ("a3", "a2")] {
        let text = format!(
            "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE t_{id} (x);\nINSERT INTO log VALUES ('{id}');\n"
        );
        project.migration(id, &text);
    }
    project
}

fn name(number: usize) -> String {
    format!("tenants/{number:04}.db")
}

/// A database that is one revision old.
fn tenant(project: &Project, name: &str) {
    fs::create_dir_all(project.path(name).parent().unwrap()).unwrap();
    fs::copy(project.path("template.db"), project.path(name)).unwrap();
    open(project, name).execute("INSERT INTO own VALUES (?1)", [name]).unwrap();
}

fn open(project: &Project, name: &str) -> Connection {
    Connection::open(project.path(name)).unwrap()
}

fn ask(project: &Project, name: &str, query: &str) -> String {
    open(project, name).query_row(query, [], |row| row.get::<_, Option<String>>(0)).unwrap().unwrap_or_default()
}

/// Which revisions the version table names, and which ones have left their row.
fn state(project: &Project, name: &str) -> (String, String) {
    (
        ask(
            project,
            name,
            "SELECT group_concat(revision) FROM (SELECT revision FROM _cargo_migrate ORDER BY sequence)",
        ),
        ask(project, name, "SELECT group_concat(what) FROM (SELECT what FROM log ORDER BY rowid)"),
    )
}

/// The database has every revision once, its own row, and no other one's.
#[track_caller]
fn is_upgraded(project: &Project, name: &str) {
    assert_eq!(state(project, name), ("a1,a2,a3".to_owned(), "a2,a3".to_owned()), "{name}");
    assert_eq!(ask(project, name, "SELECT group_concat(name) FROM own"), name);
    assert_eq!(ask(project, name, "PRAGMA integrity_check"), "ok");
}

#[track_caller]
fn is_as_before(project: &Project, name: &str) {
    assert_eq!(state(project, name), ("a1".to_owned(), String::new()), "{name}");
}

fn each(project: &Project, more: &[&str]) -> Ran {
    project.run_bounded(&[&["upgrade", "--each", "tenants/*.db"], more].concat())
}

#[test]
fn one_that_is_damaged_is_named_and_stops_no_other() {
    let count = many(Kind::File);
    let project = project(count);
    let broken = name(count / 2);
    fs::write(project.path(&broken), "this is no database".repeat(200)).unwrap();
    let ran = each(&project, &[]).refused(&[
        &format!("Finished upgrade of {} of {count} databases, 1 failed", count - 1),
        "error[database]: this file is no SQLite database",
        &broken,
        "error[some-failed]",
        "help: ",
    ]);
    ran.is_printable();
    (0..count).filter(|number| name(*number) != broken).for_each(|number| is_upgraded(&project, &name(number)));
    assert_eq!(project.read(&broken), "this is no database".repeat(200));
    // A program is told the same.
    let ran = each(&project, &["--format", "json"]);
    assert_eq!(ran.status, 1);
    let document = ran.json();
    let counts = document["counts"].clone();
    assert_eq!(
        counts,
        serde_json::json!({ "databases": count, "done": 0, "nothing": count - 1, "failed": 1, "untried": 0 })
    );
    let failed = &document["databases"][count / 2];
    assert_eq!((&failed["path"], &failed["result"]), (&broken.into(), &"failed".into()));
    assert_eq!(failed["problems"][0]["code"], "database");
}

#[test]
fn what_lies_beside_the_databases_is_left_alone() {
    let project = project(3);
    let copies = ["0000.db.bak", "0001.db.backup", "0001.db.old", "0002.db.orig", "0002.db~", ".hidden.db"];
    for copy in copies.iter().chain(&["app-2026-11-23T170301Z-a1-auto.db"]) {
        fs::copy(project.path("template.db"), project.path(&format!("tenants/{copy}"))).unwrap();
    }
    tenant(&project, "tenants/.migrate/backups/0000.db");
    fs::create_dir(project.path("tenants/folder.db")).unwrap();
    project.write("tenants/0000.db-migrate", "");
    // One that somebody uses has its log beside it.
    let used = open(&project, &name(1));
    used.pragma_update(None, "journal_mode", "wal").unwrap();
    used.execute_batch("INSERT INTO log SELECT 'x' WHERE 0; BEGIN; SELECT * FROM log").unwrap();
    let ran = project.run_bounded(&["upgrade", "--each", "tenants/**/*"]).done();
    used.execute_batch("COMMIT").unwrap();
    assert!(ran.err.contains("10 files left out"), "{}", ran.err);
    assert!(ran.err.contains("tenants/.hidden.db, tenants/0000.db-migrate, tenants/0000.db.bak, …"), "{}", ran.err);
    assert!(ran.err.contains("upgrade of 3 databases"), "{}", ran.err);
    (0..3).for_each(|number| is_upgraded(&project, &name(number)));
    for copy in copies {
        assert_eq!(state(&project, &format!("tenants/{copy}")).0, "a1", "{copy}");
    }
    is_as_before(&project, "tenants/.migrate/backups/0000.db");
}

/// Two of one name have backups of their own, and neither one's are removed for the other's.
#[test]
fn backups_of_two_of_one_name_stay_apart() {
    let project = project(0);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nkeep = 1"));
    let names = ["tenants/north/main.db", "tenants/south/main.db"];
    for name in names {
        tenant(&project, name);
    }
    for (id, parent) in [("a4", "a3"), ("a5", "a4")] {
        project.migration(
            id,
            &format!("-- migrate:parent {parent}\n-- migrate:up\nUPDATE own SET name = name || '{id}';\n"),
        );
        let ran = project.run(&["upgrade", id, "--each", "tenants/*/main.db", "--jobs", "2"]).done();
        assert!(ran.err.contains("it can lose data: rows of `own` are changed or deleted"), "{}", ran.err);
        assert_eq!(ran.err.matches("it can lose data").count(), 1, "{}", ran.err);
    }
    let listed = project.run(&["backups", "--format", "json"]).done().json();
    let backups = listed["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2, "one of each, the newest: {backups:#?}");
    let mut kept: Vec<String> =
        backups.iter().map(|backup| ask(&project, backup["file"].as_str().unwrap(), "SELECT name FROM own")).collect();
    kept.sort();
    assert_eq!(kept, names.map(|name| format!("{name}a4")));
    // Each is put back where it was.
    for name in names {
        project.run(&["restore", "--yes", "-d", &format!("sqlite:{name}")]).done();
        assert_eq!(ask(&project, name, "SELECT name FROM own"), format!("{name}a4"));
    }
}

/// What is found out for one holds for those that are like it, and for no others.
#[test]
fn what_can_be_lost_is_known_of_each_by_its_own_schema_and_rows() {
    let project = project(4);
    project.migration("a4", "-- migrate:parent a3\n-- migrate:up\nUPDATE own SET name = upper(name);\n");
    // Two are alike, one has no row in the table, and in one a trigger does more.
    for number in 0..4 {
        open(&project, &name(number)).execute_batch("INSERT INTO log VALUES ('kept')").unwrap();
    }
    open(&project, &name(2)).execute_batch("DELETE FROM own").unwrap();
    let more = "CREATE TABLE extra (x); INSERT INTO extra VALUES (1);
        CREATE TRIGGER more AFTER UPDATE ON own BEGIN DELETE FROM extra; END";
    open(&project, &name(3)).execute_batch(more).unwrap();
    let ran = each(&project, &["--jobs", "1"]).done();
    assert!(
        ran.err.contains("rows of `own` are changed or deleted (tenants/0000.db, tenants/0001.db, tenants/0003.db)"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("rows of `extra` are changed or deleted (tenants/0003.db)"), "{}", ran.err);
    let backups = project.run(&["backups", "--format", "json"]).done().json();
    let names = backups["backups"].as_array().unwrap().iter().map(|it| it["database"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.map(|name| name.split('~').next().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["0000", "0001", "0003"]);
}

/// Paths as people have them: with spaces and letters of any kind, absolute, above the working directory, through links.
#[test]
fn a_pattern_is_a_path_of_any_kind() {
    let project = project(0);
    let names = ["tenants/Größe 1/kunde 100%.db", "tenants/東京/a?b#.db", "tenants/it's/[x].db"];
    for name in names {
        tenant(&project, name);
    }
    let absolute = project.path("tenants/*/*.db").to_string_lossy().into_owned();
    let mut command =
        project.command(&["upgrade", "--each", &absolute, "--each", "../tenants/Gr*/*", "--format", "json"]);
    command.current_dir(project.path("migrations"));
    let ran = ended(command).done();
    assert_eq!(ran.json()["counts"]["done"], 3, "{}", ran.out);
    for name in names {
        is_upgraded(&project, name);
    }
    // What helps with one of them names it so that a shell takes it.
    project.migration(
        "a4",
        "-- migrate:parent a3\n-- migrate:no-transaction\n-- migrate:up\nINSERT INTO log VALUES (1);\nFAIL;\n",
    );
    project
        .run(&["upgrade", "--each", "tenants/Gr*/*"])
        .refused(&["repair --not-applied a4", "-d 'sqlite:tenants/Größe 1/kunde 100%25.db'"]);
    project.run(&["repair", "--not-applied", "a4", "-d", "sqlite:tenants/Größe 1/kunde 100%25.db"]).done();
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_are_one_database() {
    let project = project(1);
    std::os::unix::fs::symlink("0000.db", project.path("tenants/0001.db")).unwrap();
    fs::hard_link(project.path(&name(0)), project.path("tenants/0002.db")).unwrap();
    std::os::unix::fs::symlink("nowhere.db", project.path("tenants/0003.db")).unwrap();
    let ran = each(&project, &["--jobs", "2"]).done();
    assert!(ran.err.contains("upgrade of 1 database in"), "{}", ran.err);
    is_upgraded(&project, &name(0));
    assert!(!project.path("tenants/nowhere.db").exists());
}

#[test]
fn a_pattern_that_finds_no_file_is_refused() {
    let project = project(2);
    project.refuses(&["upgrade", "--each", "tenants/*.sqlite"], &["[no-database-file]", "finds no database"]);
    project.refuses(&["upgrade", "--each", "customers/*.db"], &["[no-database-file]", "its folder is not there"]);
    project.refuses(&["upgrade", "--each", "tenants"], &["[no-database-file]", "--each 'tenants/*.db'"]);
    assert!(!project.path("customers").exists());
}

#[test]
fn what_a_shell_makes_of_a_pattern_without_quotes_is_refused() {
    let project = project(2);
    let before = project.contents();
    let ran = project.run_bounded(&["upgrade", "--each", "tenants/0000.db", "tenants/0001.db"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    ran.says("between quotes");
    assert_eq!(project.contents(), before);
    // But a file may be called like a target.
    project.write("head", "");
    project.run(&["upgrade", "head", "--each", "tenants/*.db", "--dry-run"]).done();
}

/// Somebody who writes keeps other writers out, this one readers as well.
#[test]
fn one_that_cannot_even_be_read_is_named_and_the_others_go_on() {
    let project = project(3);
    let holder = open(&project, &name(1));
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let ran = each(&project, &["--wait", "0"]).refused(&["error[database-busy]", "tenants/0001.db", "1 failed"]);
    assert!(ran.err.contains("upgrade of 2 of 3 databases"), "{}", ran.err);
    holder.execute_batch("ROLLBACK").unwrap();
    is_as_before(&project, &name(1));
    each(&project, &["--wait", "0"]).done();
    (0..3).for_each(|number| is_upgraded(&project, &name(number)));
}

/// Of what was changed by hand it is told once, whoever many they are; the upgrade goes on.
#[test]
fn those_that_were_changed_by_hand_are_told_of_together() {
    let project = project(5);
    for number in 1..5 {
        open(&project, &name(number)).execute_batch("CREATE INDEX mine ON own (name)").unwrap();
    }
    let ran = each(&project, &[]).done();
    assert_eq!(ran.err.matches("warning[drift]").count(), 1, "{}", ran.err);
    assert!(ran.err.contains("tenants/0001.db, tenants/0002.db, tenants/0003.db and 1 more"), "{}", ran.err);
    assert!(ran.err.contains("`cargo migrate -d sqlite:tenants/0001.db check`"), "{}", ran.err);
    (0..5).for_each(|number| is_upgraded(&project, &name(number)));
}
