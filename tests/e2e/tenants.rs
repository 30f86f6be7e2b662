//! Many databases of one kind: `upgrade --each` brings every one of them to the same revisions, exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::harness::{Project, Ran, ended, scale, table};

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

/// The document's databases by path, each with how it ended there.
fn results(ran: &Ran) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let document = ran.json();
    let databases = document["databases"].as_array().unwrap();
    databases.iter().map(|one| (text(&one["path"]), text(&one["result"]))).collect()
}

/// 1,000 at full scale.
fn many() -> usize {
    ((1000.0 * scale()) as usize).clamp(30, 1000)
}

#[test]
fn all_of_them_are_upgraded_exactly_once() {
    for jobs in ["1", "2"] {
        let count = many();
        let project = project(count);
        let ran = each(&project, &["--jobs", jobs]).done();
        assert!(ran.err.contains(&format!("Finished upgrade of {count} databases in ")), "{}", ran.err);
        assert!(ran.err.contains("the slowest: tenants/"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "nothing is said of each one\n{}", ran.err);
        (0..count).for_each(|number| is_upgraded(&project, &name(number)));
        // The lock has one name for all of them, and a downgrade of this checkout's own database leaves it there.
        let lock = project.read("migrations/migrate.lock");
        assert_eq!(lock.matches("  url\n").count(), 3, "{lock}");
        let written = fs::metadata(project.path("migrations/migrate.lock")).unwrap().modified().unwrap();
        // A second run has nothing to do, and touches nothing.
        let before = project.contents();
        let again = each(&project, &["--jobs", jobs]).done();
        assert!(again.err.contains(&format!("Finished nothing to do on {count} databases")), "{}", again.err);
        assert_eq!(project.contents(), before);
        assert_eq!(fs::metadata(project.path("migrations/migrate.lock")).unwrap().modified().unwrap(), written);
    }
}

/// The killed run leaves no word of how far it came but in the databases themselves.
#[test]
fn a_run_that_is_killed_goes_on_where_it_stopped() {
    let count = many();
    let project = project(count);
    let mut interrupted = 0;
    for part in [4, 3, 2] {
        let mut child = project.command(&["-q", "upgrade", "--each", "tenants/*.db", "--jobs", "2"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        // Until about so many have been written to since.
        let wanted = name(count - count / part);
        let size = fs::metadata(project.path("template.db")).unwrap().len();
        while fs::metadata(project.path(&wanted)).unwrap().len() == size {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        interrupted += usize::from(!child.wait().unwrap().success());
        for number in 0..count {
            let (rows, _) = state(&project, &name(number));
            match rows.as_str() {
                "a1" => is_as_before(&project, &name(number)),
                _ => is_upgraded(&project, &name(number)),
            }
        }
    }
    assert!(interrupted > 0, "every run was done before it was killed");
    let before = (0..count).filter(|number| state(&project, &name(*number)).0 != "a1").count();
    assert!(before > 0, "every run was killed before it did anything");
    let ran = each(&project, &["--format", "json"]).done();
    let counts = &ran.json()["counts"];
    assert_eq!(
        (counts["done"].as_u64(), counts["nothing"].as_u64()),
        (Some((count - before) as u64), Some(before as u64))
    );
    (0..count).for_each(|number| is_upgraded(&project, &name(number)));
    // The lock has caught up with what the killed runs had done.
    assert!(project.read("migrations/migrate.lock").matches("  url\n").count() == 3);
}

#[test]
fn one_that_is_damaged_is_named_and_stops_no_other() {
    let count = many();
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
fn what_fails_for_all_in_the_same_way_is_told_once() {
    let project = project(6);
    project.migration("a4", "-- migrate:parent a3\n-- migrate:up\nCREATE TABLE own (x);\n");
    let ran =
        each(&project, &[]).refused(&["6 failed", "[sql-error]", "a4.sql", "and 3 more", "6 of 6 databases failed"]);
    assert_eq!(ran.err.matches("error[sql-error]").count(), 1, "{}", ran.err);
    (0..6).for_each(|number| is_as_before(&project, &name(number)));
    assert!(!project.read("migrations/migrate.lock").contains("a2  sha256"), "what no database has stays a draft");
}

#[test]
fn canaries_come_first_and_stop_the_rest() {
    let project = project(8);
    open(&project, &name(1)).execute_batch("CREATE TABLE t_a2 (x)").unwrap();
    let ran = each(&project, &["--canary", "3", "--jobs", "2"]).refused(&[
        "Finished upgrade of 2 of 8 databases, 1 failed, 5 left as they were",
        "[sql-error]",
        "1 of 8 databases failed",
        "the other 5 were not touched",
    ]);
    assert!(ran.err.contains("tenants/0001.db"), "{}", ran.err);
    for number in [0, 2] {
        is_upgraded(&project, &name(number));
    }
    (3..8).for_each(|number| is_as_before(&project, &name(number)));
    let found = results(&each(&project, &["--canary", "2", "--format", "json"]));
    assert_eq!(found[&name(0)], "nothing");
    assert_eq!(found[&name(1)], "failed");
    assert!((2..8).all(|number| found[&name(number)] == "untried"), "{found:?}");
    // Once it is mended the run goes on.
    open(&project, &name(1)).execute_batch("DROP TABLE t_a2").unwrap();
    each(&project, &["--canary", "3"]).done();
    (0..8).for_each(|number| is_upgraded(&project, &name(number)));
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

#[test]
fn a_database_that_was_put_back_is_brought_up_again() {
    let project = project(4);
    let old = project.bytes(&name(2));
    each(&project, &[]).done();
    fs::write(project.path(&name(2)), old).unwrap();
    // A new one comes in as well.
    tenant(&project, "tenants/new.db");
    let found = results(&each(&project, &["--format", "json"]).done());
    let done: Vec<&str> = found.iter().filter(|(_, result)| *result == "done").map(|(path, _)| &**path).collect();
    assert_eq!(done, [&*name(2), "tenants/new.db"]);
    (0..4).for_each(|number| is_upgraded(&project, &name(number)));
    is_upgraded(&project, "tenants/new.db");
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
    // `--no-backup` makes none, `--backup` one of each even where nothing can be lost.
    project.migration("a6", &table("a5", "t6"));
    let made = |more: &str| {
        let _ = fs::remove_dir_all(project.path(".migrate"));
        project.run(&["upgrade", "--each", "tenants/*/main.db", more]).done();
        fs::read_dir(project.path(".migrate/backups")).map_or(0, |files| {
            files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|it| it == "db")).count()
        })
    };
    assert_eq!(made("--no-backup"), 0);
    project.migration("a7", &table("a6", "t7"));
    assert_eq!(made("--backup"), 2);
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

#[test]
fn one_that_somebody_holds_is_named_and_the_others_go_on() {
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

#[test]
fn trying_leaves_every_one_as_it_was() {
    let project = project(3);
    let before = project.contents();
    let ran = each(&project, &["--dry-run"]).done();
    assert!(ran.err.contains("dry run of upgrade on 3 databases, rolled back"), "{}", ran.err);
    // One that cannot be tried in place is tried on a copy.
    project.migration(
        "a4",
        "-- migrate:parent a3\n-- migrate:no-transaction\n-- migrate:up\nINSERT INTO log VALUES ('a4');\n",
    );
    let ran = each(&project, &["--dry-run"]).done();
    assert!(ran.err.contains("upgrade on 3 databases") && ran.err.contains("several commits"), "{}", ran.err);
    fs::remove_file(project.path("migrations/a4.sql")).unwrap();
    assert_eq!(project.contents(), before);
    (0..3).for_each(|number| is_as_before(&project, &name(number)));
}

#[test]
fn every_one_is_listed_where_that_is_asked_for() {
    let project = project(2);
    let ran = each(&project, &["-v", "--jobs", "1"]).done();
    for number in 0..2 {
        assert!(ran.err.contains(&format!("Finished 2 revisions on {} in ", name(number))), "{}", ran.err);
    }
    let ran = each(&project, &["-v", "--jobs", "1"]).done();
    assert!(ran.err.contains("Finished nothing to do on tenants/0001.db"), "{}", ran.err);
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
fn a_configured_one_among_them_is_what_it_is() {
    let project = project(2);
    let manifest = project.read("Cargo.toml");
    let more = format!(
        "prod = {{ url = \"sqlite:{}\", protected = true }}\ntried = {{ url = \"sqlite:{}\", scratch = true }}\n",
        name(0),
        name(1)
    );
    project.write("Cargo.toml", &(manifest + &more));
    tenant(&project, &name(2));
    // Nobody is there to agree.
    let before = project.contents();
    each(&project, &[]).refused(&["error[not-confirmed]", "`prod` is protected", "--yes"]);
    assert_eq!(project.contents(), before);
    each(&project, &["--yes"]).done();
    (0..3).for_each(|number| is_upgraded(&project, &name(number)));
    // It stands in the lock files under its own name, and what is thrown away under none.
    let (shared, local) = (project.read("migrations/migrate.lock"), project.read("migrations/migrate.local"));
    assert_eq!((shared.matches("  url\n").count(), local.matches("  prod\n").count()), (3, 3), "{shared}{local}");
    assert!(!shared.contains("tried") && !local.contains("tried"), "{shared}{local}");
    // Where they have nothing to do nobody has to agree to it.
    each(&project, &[]).done();
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_somebody_is_asked_once_and_sees_a_bar() {
    let project = project(5);
    let manifest = project.read("Cargo.toml");
    let more = format!("prod = {{ url = \"sqlite:{}\", protected = true }}\n", name(3));
    project.write("Cargo.toml", &(manifest + &more));
    let mut asked = project.at_terminal("upgrade --each 'tenants/*.db'");
    let question = asked.question();
    assert!(question.contains("prod (tenants/0003.db), which is protected: 2 revisions"), "{question}");
    assert!(question.contains("and 4 more") && question.contains("type `prod`"), "{question}");
    let said = asked.answer("prod").done().out;
    assert!(said.contains("/5, ") && said.contains(" left"), "a bar counts and tells the time\n{said}");
    assert!(said.contains("upgrade of 5 databases"), "{said}");
    (0..5).for_each(|number| is_upgraded(&project, &name(number)));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let project = project(2);
    let misused = |arguments: &[&str], words: &[&str]| {
        let before = project.contents();
        let ran = project.run_bounded(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}\n{}", ran.err);
        words.iter().for_each(|word| assert!(ran.err.contains(word), "`{word}` is not in\n{}", ran.err));
        assert_eq!(project.contents(), before);
    };
    misused(&["upgrade", "--each", "tenants/*.db", "-d", "dev"], &["`-d` names one database"]);
    misused(&["-d", "dev", "upgrade", "--each", "tenants/*.db"], &["`-d` names one database"]);
    misused(&["upgrade", "--each", "tenants/*.db", "--sql"], &["--sql"]);
    misused(&["upgrade", "--each", "tenants/*.db", "--create"], &["--create"]);
    misused(&["upgrade", "--jobs", "2"], &["--each"]);
    misused(&["upgrade", "--canary", "2"], &["--each"]);
    misused(&["upgrade", "--each", "tenants/*.db", "--jobs", "0"], &["--jobs"]);
    misused(&["upgrade", "a1:a2", "--each", "tenants/*.db"], &["a range is for `--sql`"]);
    misused(&["upgrade", "--each", "tenants/[.db"], &["is no pattern"]);
    // What a shell makes of a pattern without quotes; a file may be called like a target.
    project.write("head", "");
    project.run(&["upgrade", "head", "--each", "tenants/*.db", "--dry-run"]).done();
    misused(&["upgrade", "--each", "tenants/0000.db", "tenants/0001.db"], &["between quotes"]);
    project.refuses(&["upgrade", "--each", "tenants/*.sqlite"], &["[no-database-file]", "finds no database"]);
    project.refuses(&["upgrade", "--each", "customers/*.db"], &["[no-database-file]", "its folder is not there"]);
    project.refuses(&["upgrade", "--each", "tenants"], &["[no-database-file]", "--each 'tenants/*.db'"]);
    project.refuses(&["upgrade", "a9", "--each", "tenants/*.db"], &["unknown-target", "2 of 2 databases failed"]);
    assert!(!project.path("customers").exists());
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

/// The packages of a workspace that share a database share every one of them.
#[test]
fn several_packages_go_together_into_each() {
    let project = Project::new();
    let databases = "[workspace.metadata.migrate.databases]\ndev = \"sqlite:app.db\"\n";
    project
        .write("Cargo.toml", &format!("[workspace]\nmembers = [\"shop\", \"queue\"]\nresolver = \"3\"\n\n{databases}"));
    for package in ["shop", "queue"] {
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[package.metadata.migrate]\ndatabase = \"dev\"\n"
        );
        project.write(&format!("{package}/Cargo.toml"), &manifest);
        project.write(&format!("{package}/src/lib.rs"), "");
    }
    project.write("queue/migrations/q1.sql", &table("base", "jobs"));
    let depends = table("base", "orders").replace("-- migrate:up", "-- migrate:depends queue/q1\n-- migrate:up");
    project.write("shop/migrations/s1.sql", &depends);
    fs::create_dir(project.path("tenants")).unwrap();
    for number in 0..3 {
        project.write(&name(number), "");
    }
    project.run(&["upgrade", "--each", "tenants/*.db", "--workspace"]).done();
    for number in 0..3 {
        let rows =
            "SELECT group_concat(package || '/' || revision) FROM (SELECT * FROM _cargo_migrate ORDER BY sequence)";
        assert_eq!(ask(&project, &name(number), rows), "queue/q1,shop/s1");
    }
    for package in ["shop", "queue"] {
        let lock = project.read(&format!("{package}/migrations/migrate.lock"));
        assert!(lock.contains("  url\n"), "{lock}");
    }
    assert!(!project.path("app.db").exists());
}

#[test]
fn a_text_is_fixed_as_soon_as_one_of_them_has_it() {
    let project = project(8);
    // Given some have the second revision, when nothing in the checkout knows of it any more.
    project.run(&["upgrade", "a2", "--each", "tenants/000[0-2].db"]).done();
    assert!(
        project.read("migrations/migrate.lock").lines().any(|line| line.starts_with("a2") && line.ends_with("url"))
    );
    for lock in ["migrations/migrate.lock", "migrations/migrate.local"] {
        let _ = fs::remove_file(project.path(lock));
    }
    // When the file is another one than they had.
    let text = "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE t_a2 (y);\nINSERT INTO log VALUES ('a2');\n";
    project.migration("a2", text);
    // Then none of the others gets it: there would be two kinds of databases.
    let words = ["error[edited]", "`a2` does something else in 3 databases than in its file", "tenants/0000.db"];
    project.refuses(&["upgrade", "--each", "tenants/*.db"], &words);
    (3..8).for_each(|number| is_as_before(&project, &name(number)));
}
