//! Backups: what is kept is whole, what is replaced is kept, and whoever has the database open is not in the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::harness::{Project, ended, table};
use crate::pages::ground::Sqlite;
use crate::pages::safeguarding::with_rows;

pub const FOLDER: &str = ".migrate/backups";

/// A project with one revision applied, and a row in its table.
pub fn project() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project.database().execute_batch("INSERT INTO t1 VALUES (1)").unwrap();
    project
}

/// The names of the backups, the newest first.
pub fn names(project: &Project) -> Vec<String> {
    let listed = project.run(&["--format", "json", "backups"]).done().json();
    let name = |backup: &serde_json::Value| backup["name"].as_str().unwrap().to_owned();
    listed["backups"].as_array().unwrap().iter().map(name).collect()
}

/// The file of the one backup that there is.
pub fn only(project: &Project) -> PathBuf {
    let names = names(project);
    assert_eq!(names.len(), 1, "{names:?}");
    project.path(FOLDER).join(&names[0])
}

/// Everything in the backups' folder, backups or not.
pub fn files(project: &Project) -> Vec<String> {
    let Ok(entries) = fs::read_dir(project.path(FOLDER)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

pub fn sum_of(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap() as i64
}

impl Project {
    /// Refused because the database is in use. What it has by then was kept, and stays as it was.
    pub fn refuses_but_keeps(&self, arguments: &[&str]) {
        self.run_bounded(arguments).refused(&["[database-busy]", "--wait SECONDS"]);
        for name in names(self).iter().filter(|name| name.contains("-auto")) {
            fs::remove_file(self.path(FOLDER).join(name)).unwrap();
        }
    }
}

#[test]
fn what_was_backed_up_comes_back_and_what_it_replaces_is_kept() {
    let project = project();
    let printed = project.run(&["backup"]).done();
    let path = printed.out.trim().to_owned();
    assert!(path.starts_with(".migrate/backups/dev-") && path.ends_with("Z-a1.db"), "{path}");
    project.run(&["upgrade"]).done();
    project.database().execute_batch("INSERT INTO t1 VALUES (5); INSERT INTO t2 VALUES (7)").unwrap();
    project.run(&["restore", "--yes"]).done().says("Kept what was there").says("1 revision is pending");
    assert_eq!(project.ask("SELECT group_concat(x) FROM t1"), "1");
    let status = project.run(&["--format", "json", "status"]).done().json();
    assert_eq!((&status["current"][0], &status["pending"][0]), (&"a1".into(), &"a2".into()));
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
    // The lock follows: nothing of `a2` is applied any more, so that it may be edited.
    project.migration("a2", &table("a1", "renamed"));
    project.run(&["check"]).done();
    project.migration("a2", &table("a1", "t2"));
    // And back again: what was replaced is the newest backup.
    let listed = project.run(&["backups"]).done();
    let lines: Vec<&str> = listed.out.lines().collect();
    assert!(lines[0].contains("automatic") && lines[0].ends_with("  a2"), "{}", listed.out);
    assert!(lines[1].contains("by hand") && lines[1].ends_with("  a1"), "{}", listed.out);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.ask("SELECT group_concat(x) FROM t1"), "1,5");
    assert_eq!(project.ask("SELECT x FROM t2"), "7");
    project.run(&["current"]).done().says("a2");
}

#[test]
fn a_backup_lies_where_git_does_not_see_it() {
    let project = project();
    project.git(&["init", "-q"]);
    project.run(&["backup"]).done();
    assert!(!project.git(&["status", "--porcelain", "-uall"]).contains(".migrate"));
}

#[test]
fn a_backup_can_be_written_elsewhere_and_over_nothing() {
    let project = project();
    let folder = project.path("elsewhere, bücher");
    fs::create_dir(&folder).unwrap();
    project.run(&["backup", "--to", "elsewhere, bücher/Sicherung von dev.db"]).done();
    assert_eq!(sum_of(&folder.join("Sicherung von dev.db")), 1);
    project.refuses(&["backup", "--to", "elsewhere, bücher/Sicherung von dev.db"], &["[backup-exists]"]);
    project.refuses(&["backup", "--to", "app.db"], &["[backup-exists]"]);
    project.refuses(&["backup", "--to", "nowhere/x.db"], &["[backup-failed]", "--to FILE"]);
    assert!(!project.path(".migrate").exists(), "nothing is made where nothing is kept");
    // From there it comes back, by its path.
    project.database().execute_batch("UPDATE t1 SET x = 9").unwrap();
    project.run(&["restore", "--yes", "elsewhere, bücher/Sicherung von dev.db"]).done();
    assert_eq!(project.ask("SELECT x FROM t1"), "1");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_database_in_a_folder_with_any_name_has_backups() {
    let project = project();
    let folder = project.path("дані, 100% & más");
    fs::create_dir(&folder).unwrap();
    fs::copy(project.path("app.db"), folder.join("my app?.db")).unwrap();
    let url = "sqlite:дані, 100%25 & más/my app%3F.db";
    project.run(&["-d", url, "backup"]).done();
    project.run(&["-d", url, "backup"]).done();
    fs::remove_file(folder.join("my app?.db")).unwrap();
    project.run(&["-d", url, "restore", "--yes"]).done();
    assert_eq!(sum_of(&folder.join("my app?.db")), 1);
    // It is told from all others, the configured ones too.
    let names = names(&project);
    assert!(names.iter().all(|name| name.starts_with("my_app_~")), "{names:?}");
    project.refuses(&["restore", "--yes"], &["[no-backup]", "backup of dev"]);
    assert!(project.run(&["-d", "dev", "backups"]).done().out.is_empty());
    assert_eq!(project.run(&["-d", url, "backups"]).done().out.lines().count(), 2);
}

#[test]
fn a_backup_is_chosen_by_any_part_of_its_name_that_no_other_has() {
    let project = project();
    project.run(&["backup"]).done();
    project.run(&["upgrade"]).done();
    project.run(&["backup"]).done();
    project.refuses(&["restore", "--yes", "dev"], &["[ambiguous-backup]", "a1.db", "a2.db", "backups"]);
    project.refuses(&["restore", "--yes", "a3"], &["[no-backup]", "`a3`", "backups"]);
    for (url, word) in [("sqlite:none.db?mode=rw", "no-database-file"), ("sqlite:app.db?mode=ro", "mode=ro")] {
        project.refuses(&["-d", url, "restore", "--yes", "Z-a1"], &[word]);
    }
    project.run(&["restore", "--yes", "Z-a1"]).done();
    project.run(&["current"]).done().says("a1");
    let newest = names(&project).into_iter().find(|name| name.ends_with("Z-a2.db")).unwrap();
    project.run(&["restore", "--yes", &newest]).done();
    project.run(&["current"]).done().says("a2");
}

#[test]
fn nobody_is_asked_where_nobody_can_be_and_nothing_happens() {
    let project = project();
    project.run(&["backup"]).done();
    project.refuses(&["restore"], &["[not-confirmed]", "all that dev (app.db) has", "--yes"]);
}

/// `script` of util-linux is the terminal at which somebody is asked.
#[cfg(target_os = "linux")]
#[test]
fn a_person_sees_what_is_replaced_with_what_and_may_say_no() {
    let project = project();
    project.run(&["backup"]).done();
    project.run(&["upgrade"]).done();
    let before = project.bytes("app.db");
    for (answer, status) in [("n", 1), ("y", 0)] {
        let program =
            format!("echo {answer} | script -qec \"'{}' restore\" /dev/null", env!("CARGO_BIN_EXE_cargo-migrate"));
        let mut asked = Command::new("bash");
        asked.args(["-c", &format!("set -o pipefail; {program}")]).current_dir(project.path(""));
        let ran = ended(asked);
        assert_eq!(ran.status, status, "{}", ran.out);
        for word in ["a1.db", "with a1", "dev (app.db) with a2", "replace what dev (app.db) has?"] {
            assert!(ran.out.contains(word), "`{word}` is not in\n{}", ran.out);
        }
        assert_eq!(project.bytes("app.db") == before, answer == "n");
    }
}

#[test]
fn the_last_few_that_were_made_by_themselves_stay_and_all_that_were_made_by_hand() {
    let project = project();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"\n", "database = \"dev\"\nkeep = 2\n"));
    for _ in 0..3 {
        project.run(&["backup"]).done();
    }
    for _ in 0..4 {
        project.run(&["restore", "--yes"]).done();
    }
    let names = names(&project);
    assert_eq!(names.iter().filter(|name| !name.contains("-auto")).count(), 3, "{names:?}");
    // Two, and the one that was restored.
    assert!((2..=3).contains(&names.iter().filter(|name| name.contains("-auto")).count()), "{names:?}");
}

#[cfg(unix)]
#[test]
fn nobody_may_read_a_backup_who_may_not_read_the_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (of_database, mask, expected) in
        [(0o600, "000", 0o600), (0o640, "000", 0o640), (0o644, "077", 0o600), (0o400, "000", 0o400)]
    {
        fs::set_permissions(project.path("app.db"), fs::Permissions::from_mode(of_database)).unwrap();
        let mut masked = Command::new("bash");
        let script = format!("umask {mask}; exec \"$0\" backup");
        masked.args(["-c", &script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
        ended(masked).done();
        let path = only(&project);
        assert_eq!(mode(&path), expected, "of a database with {of_database:o} under {mask}");
        fs::remove_file(path).unwrap();
    }
    // Neither may anybody read what comes back who could not read the backup.
    fs::set_permissions(project.path("app.db"), fs::Permissions::from_mode(0o600)).unwrap();
    project.run(&["backup"]).done();
    fs::remove_file(project.path("app.db")).unwrap();
    project.run(&["restore", "--yes"]).done();
    assert_eq!((mode(&project.path("app.db")), sum_of(&project.path("app.db"))), (0o600, 1));
}

/// Every file of a database.
fn all_of(project: &Project) -> BTreeMap<&'static str, Option<Vec<u8>>> {
    ["app.db", "app.db-wal", "app.db-journal"].map(|name| (name, fs::read(project.path(name)).ok())).into()
}

#[test]
fn with_a_log_all_that_was_committed_is_backed_up_and_nothing_of_the_database_changes() {
    let project = project();
    let open = project.database();
    open.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; INSERT INTO t1 VALUES (10); CREATE TABLE only_in_the_log (x)").unwrap();
    let other = project.database();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t1 VALUES (100)").unwrap();
    let before = all_of(&project);
    assert!(before["app.db-wal"].as_ref().is_some_and(|log| !log.is_empty()));
    project.run(&["backup"]).done();
    assert_eq!(all_of(&project), before);
    let path = only(&project);
    assert_eq!(sum_of(&path), 11, "what was committed, and nothing more");
    other.execute_batch("ROLLBACK").unwrap();
    drop((open, other));
    // A process that was killed has left its log; the backup has what is in it.
    let killed = project.database();
    killed.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO t1 VALUES (1000)").unwrap();
    let copies = Project::new();
    for name in ["app.db", "app.db-wal"] {
        fs::copy(project.path(name), copies.path(name)).unwrap();
    }
    let before = all_of(&copies);
    copies.run(&["backup"]).done();
    assert_eq!(all_of(&copies), before);
    assert_eq!(sum_of(&only(&copies)), 1011);
}

#[test]
fn whoever_writes_all_the_while_is_in_no_backup_halfway() {
    for journal in ["WAL", "DELETE"] {
        let project = project();
        let setup = project.database();
        setup
            .execute_batch(&format!(
                "PRAGMA journal_mode = {journal}; CREATE TABLE filling (x); INSERT INTO filling \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) SELECT zeroblob(3000) FROM n; \
                 CREATE TABLE a (x); CREATE TABLE b (x);"
            ))
            .unwrap();
        drop(setup);
        let (stop, written) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let writer = project.database();
                writer.busy_timeout(Duration::from_secs(60)).unwrap();
                writer.execute_batch("PRAGMA synchronous = OFF").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    writer
                        .execute_batch("BEGIN IMMEDIATE; INSERT INTO a VALUES (1); UPDATE filling SET x = zeroblob(3000) WHERE rowid = 7000; INSERT INTO b VALUES (1); COMMIT")
                        .unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
            for _ in 0..3 {
                let before = written.load(Ordering::Relaxed);
                let ran = project.run_bounded(&["backup"]).done();
                let after = written.load(Ordering::Relaxed);
                assert!(after > before, "{journal}: nobody could write");
                let backup = Connection::open(project.path(ran.out.trim())).unwrap();
                let count = |table: &str| -> u32 {
                    backup.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
                };
                assert_eq!(count("a"), count("b"), "{journal}");
                // One more may be committed and not yet counted.
                assert!((before..=after + 1).contains(&count("a")), "{journal}");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn an_open_connection_sees_what_was_restored() {
    for journal in ["WAL", "DELETE"] {
        let project = project();
        project.database().execute_batch(&format!("PRAGMA journal_mode = {journal}")).unwrap();
        project.run(&["backup"]).done();
        let idle = project.database();
        idle.execute_batch("INSERT INTO t1 VALUES (70); CREATE TABLE later (x)").unwrap();
        let sum = || idle.query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap();
        assert_eq!(sum(), 71.0);
        project.run(&["restore", "--yes"]).done();
        assert_eq!(sum(), 1.0, "{journal}");
        assert!(idle.prepare("SELECT * FROM later").is_err(), "{journal}");
        // And what it writes then is written into the database that everybody sees.
        idle.execute_batch("INSERT INTO t1 VALUES (2)").unwrap();
        assert_eq!(project.ask("SELECT sum(x) FROM t1"), "3", "{journal}");
        assert_eq!(
            idle.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap(),
            journal.to_lowercase()
        );
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn a_backup_of_the_other_journal_mode_is_seen_by_open_connections_too() {
    for (of_backup, of_target, expected) in [("WAL", "DELETE", "wal"), ("DELETE", "WAL", "wal")] {
        let project = project();
        let journal = |mode: &str| project.database().execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
        journal(of_backup);
        project.run(&["backup"]).done();
        journal(of_target);
        let idle = project.database();
        idle.execute_batch("INSERT INTO t1 VALUES (70)").unwrap();
        project.run(&["restore", "--yes"]).done();
        assert_eq!(idle.query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap(), 1.0);
        idle.execute_batch("INSERT INTO t1 VALUES (2)").unwrap();
        assert_eq!(project.ask("SELECT sum(x) FROM t1"), "3", "{of_backup} into {of_target}");
        assert_eq!(project.ask("PRAGMA journal_mode"), expected);
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn what_the_checks_cannot_read_or_would_not_take_is_backed_up_all_the_same() {
    let project = project();
    // Values that a column would refuse today, and a version table that another hand has changed.
    project
        .database()
        .execute_batch(
            "CREATE TABLE strict_one (x INTEGER CHECK (x > 0)); PRAGMA ignore_check_constraints = ON;              INSERT INTO strict_one VALUES (-1);",
        )
        .unwrap();
    project.run(&["backup"]).done();
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.ask("SELECT x FROM strict_one"), "-1");
    project.database().execute_batch("UPDATE _cargo_migrate SET seal = 'nonsense'").unwrap();
    let ran = project.run(&["backup"]).done();
    assert!(ran.out.contains("Z-unknown.db"), "{}", ran.out);
    project.run(&["restore", "--yes", "a1.db"]).done().says("Kept what was there");
    project.run(&["current"]).done().says("a1");
    project.run(&["restore", "--yes", "unknown.db"]).done().says("version table of").says("cannot be read");
}

#[test]
fn pages_of_another_size_are_restored_in_both_journal_modes() {
    for journal in ["WAL", "DELETE"] {
        let project = project();
        project.run(&["backup"]).done();
        project
            .database()
            .execute_batch(&format!(
                "PRAGMA page_size = 1024; VACUUM; PRAGMA journal_mode = {journal}; INSERT INTO t1 VALUES (70)"
            ))
            .unwrap();
        let idle = project.database();
        let sum = || idle.query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap();
        assert_eq!(sum(), 71.0);
        if journal == "WAL" {
            // Its log takes no other pages, and it cannot be without a log while somebody has it open.
            project.refuses_but_keeps(&["--wait", "0.2", "restore", "--yes", "a1.db"]);
            assert_eq!(sum(), 71.0);
            drop(idle);
            project.run(&["restore", "--yes", "a1.db"]).done();
        } else {
            project.run(&["restore", "--yes", "a1.db"]).done();
            assert_eq!(sum(), 1.0);
        }
        assert_eq!(project.ask("SELECT sum(x) FROM t1"), "1", "{journal}");
        assert_eq!(project.ask("PRAGMA journal_mode").to_uppercase(), journal);
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn rows_that_are_replaced_are_kept_first() {
    let project = with_rows(&Sqlite);
    project.migration("b", "-- migrate:parent a\n-- migrate:up\nINSERT OR REPLACE INTO t VALUES (1, 'new');\n");
    let ran = project.run(&["upgrade"]).done();
    assert!(ran.err.contains("it can lose data: ") && ran.err.contains("Backup"), "{}", ran.err);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t ORDER BY id"), ["one", "two"]);
}
