//! Backups of files: their names, permissions, journals and logs. What holds of every database's is in the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::harness::Project;
use crate::pages::ground::Sqlite;
use crate::pages::keeping::{self, names, only};
use crate::pages::safeguarding::with_rows;

/// A project with one revision applied, and a row in its table.
pub fn project() -> Project {
    keeping::project(&Sqlite)
}

pub fn sum_of(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap() as i64
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
    let names = names(&project);
    assert!(names.iter().all(|name| name.starts_with("my_app_~")), "{names:?}");
    assert_eq!(project.run(&["-d", url, "backups"]).done().out.lines().count(), 2);
}

#[test]
fn the_databases_own_file_is_neither_written_over_nor_made_where_its_url_says_that_it_is_not() {
    let project = project();
    project.run(&["backup"]).done();
    project.refuses(&["backup", "--to", "app.db"], &["[backup-exists]"]);
    for (url, word) in [("sqlite:none.db?mode=rw", "no-database-file"), ("sqlite:app.db?mode=ro", "mode=ro")] {
        project.refuses(&["-d", url, "restore", "--yes", "Z-a1"], &[word]);
    }
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
        let mut masked = std::process::Command::new("bash");
        let script = format!("umask {mask}; exec \"$0\" backup");
        masked.args(["-c", &script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
        crate::harness::ended(masked).done();
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
fn with_a_log_whoever_writes_all_the_while_is_in_no_backup_halfway() {
    let project = project();
    project
        .execute(
            "PRAGMA journal_mode = WAL; CREATE TABLE filling (x); INSERT INTO filling \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) SELECT zeroblob(3000) FROM n; \
             CREATE TABLE a (x); CREATE TABLE b (x);",
        );
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
            assert!(after > before, "nobody could write");
            let backup = Connection::open(project.path(ran.out.trim())).unwrap();
            let count = |table: &str| -> u32 {
                backup.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
            };
            assert_eq!(count("a"), count("b"));
            // One more may be committed and not yet counted.
            assert!((before..=after + 1).contains(&count("a")));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_open_connection_with_a_log_sees_what_was_restored_and_keeps_its_log() {
    let project = project();
    project.execute("PRAGMA journal_mode = WAL");
    project.run(&["backup"]).done();
    let idle = project.database();
    idle.execute_batch("INSERT INTO t1 VALUES (70); CREATE TABLE later (x)").unwrap();
    let sum = || idle.query_row("SELECT total(x) FROM t1", [], |row| row.get::<_, f64>(0)).unwrap();
    assert_eq!(sum(), 71.0);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(sum(), 1.0);
    assert!(idle.prepare("SELECT * FROM later").is_err());
    // And what it writes then is written into the database that everybody sees.
    idle.execute_batch("INSERT INTO t1 VALUES (2)").unwrap();
    assert_eq!(project.ask("SELECT sum(x) FROM t1"), "3");
    assert_eq!(idle.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap(), "wal");
    assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
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
fn values_that_a_column_would_refuse_today_are_backed_up_all_the_same() {
    let project = project();
    project.execute(
        "CREATE TABLE strict_one (x INTEGER CHECK (x > 0)); PRAGMA ignore_check_constraints = ON; \
         INSERT INTO strict_one VALUES (-1);",
    );
    project.run(&["backup"]).done();
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.ask("SELECT x FROM strict_one"), "-1");
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

#[test]
fn what_is_committed_while_a_restore_waits_for_it_is_kept_too() {
    for journal in ["WAL", "DELETE"] {
        let project = project();
        project.run(&["backup"]).done();
        // Given somebody who has written and not yet committed when the restore comes.
        let writer = project.database();
        writer
            .execute_batch(&format!("PRAGMA journal_mode = {journal}; BEGIN IMMEDIATE; INSERT INTO t1 VALUES (70)"))
            .unwrap();
        let mut restore = project.command(&["restore", "--yes", "a1.db"]);
        let mut restore = restore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(restore.stderr.take().unwrap()).lines().map(Result::unwrap);
        let waits = told.into_iter().any(|line| line.contains("Waiting"));
        assert!(waits, "{journal}: it does not wait for the one who writes");
        writer.execute_batch("COMMIT").unwrap();
        assert!(restore.wait().unwrap().success(), "{journal}");
        // Then what was committed in the end is in the backup of what was replaced.
        assert_eq!(sum_of(&project.path("app.db")), 1, "{journal}");
        let kept = project.path(keeping::FOLDER).join(&names(&project)[0]);
        assert_eq!(sum_of(&kept), 71, "{journal}: what was replaced was not kept");
        assert_eq!(project.ask("PRAGMA journal_mode").to_uppercase(), journal);
    }
}

#[test]
fn whatever_is_committed_around_a_restore_is_in_the_database_or_in_a_backup() {
    for journal in ["WAL", "DELETE"] {
        let project = project();
        project.execute(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE written (id INTEGER PRIMARY KEY)"));
        let original = project.run(&["backup"]).done().out;
        let (stop, rest) = (AtomicBool::new(false), AtomicU64::new(100));
        let (mut restored, mut found) = (0, BTreeSet::new());
        let mut see = |path: &Path| {
            let database = Connection::open(path).unwrap();
            let mut ids = database.prepare("SELECT id FROM written").unwrap();
            found.extend(ids.query_map([], |row| row.get::<_, u32>(0)).unwrap().map(Result::unwrap));
        };
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let writer = project.database();
                writer.busy_timeout(Duration::from_secs(60)).unwrap();
                // It ends by itself, too, where the test has failed.
                const MOST: u32 = 20_000;
                for id in 0..MOST {
                    if stop.load(Ordering::Relaxed) {
                        return id;
                    }
                    writer.execute("INSERT INTO written VALUES (?1)", [id]).unwrap();
                    // Now and then there is time for a backup, however slow this machine is.
                    std::thread::sleep(Duration::from_millis(if id % 8 == 0 {
                        rest.load(Ordering::Relaxed)
                    } else {
                        1
                    }));
                }
                MOST
            });
            while restored < 15 {
                let ran = project.run(&["restore", "--yes", original.trim()]);
                if ran.status == 0 {
                    restored += 1;
                } else {
                    assert!(ran.err.contains("somebody keeps writing"), "{}", ran.err);
                    assert!(rest.fetch_add(100, Ordering::Relaxed) < 10_000, "no rest was long enough");
                }
                // Old ones make room for new ones.
                for name in names(&project) {
                    see(&project.path(keeping::FOLDER).join(name));
                }
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        see(&project.path("app.db"));
        let lost: Vec<u32> = (0..written).filter(|id| !found.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} of {journal}: {written} written");
        assert!(written > 20, "{journal}: {written} written");
    }
}
