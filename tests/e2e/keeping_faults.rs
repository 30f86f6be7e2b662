//! Backups where something is in the way: a locked or damaged database, a full disk, a killed process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::harness::{Ran, ended, scale};
use crate::keeping::{FOLDER, files, only, project, sum_of};

#[test]
fn a_database_that_somebody_holds_is_waited_for() {
    let project = project();
    project.run(&["backup"]).done();
    let other = project.database();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t1 VALUES (5)").unwrap();
    project.refuses_but_keeps(&["--wait", "0.3", "restore", "--yes", "a1.db"]);
    let mut waiting = project.command(&["-q", "--wait", "60", "restore", "--yes", "a1.db"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    other.execute_batch("COMMIT").unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(project.ask("SELECT sum(x) FROM t1"), "1");
}

#[test]
fn a_backup_that_is_none_or_is_damaged_is_refused_and_the_database_stays() {
    let project = project();
    project.database().execute_batch("CREATE TABLE big (x); INSERT INTO big WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT randomblob(900) FROM n; CREATE INDEX big_x ON big (x)").unwrap();
    project.run(&["backup"]).done();
    let path = only(&project);
    let good = fs::read(&path).unwrap();
    let mut damaged = good.clone();
    let middle = good.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xA5);
    let cut = good[..good.len() / 2].to_vec();
    for bad in [
        damaged,
        cut,
        b"no database at all, and long enough to be looked at as one: a hundred bytes or so are needed for that"
            .to_vec(),
        Vec::new(),
    ] {
        fs::write(&path, bad).unwrap();
        project.refuses(&["restore", "--yes"], &["[backup-damaged]", "backups"]);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    project.refuses(&["restore", "--yes", path.to_str().unwrap()], &["[backup-damaged]", "not a file"]);
    // A database in use is no backup, and neither is the database itself.
    project.refuses(&["restore", "--yes", "app.db"], &["[not-restored]", "the database itself"]);
    fs::copy(project.path("app.db"), project.path("other.db")).unwrap();
    let other = Connection::open(project.path("other.db")).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t1 VALUES (3)").unwrap();
    project.refuses(&["restore", "--yes", "other.db"], &["[backup-damaged]", "-wal", "backup"]);
}

#[test]
fn a_damaged_database_is_not_backed_up_and_makes_room_for_a_backup() {
    let project = project();
    project.run(&["backup"]).done();
    let bytes = project.bytes("app.db");
    let mut damaged = bytes.clone();
    damaged[4096..8192].fill(0xA5);
    let none = b"no database at all, and long enough to be looked at as one: a hundred bytes or so are needed for that";
    for (broken, code) in [(damaged, "[backup-damaged]"), (none.to_vec(), "no SQLite database")] {
        fs::write(project.path("app.db"), &broken).unwrap();
        fs::write(project.path("app.db-wal"), "a log").unwrap();
        project.run(&["backup"]).refused(&[code, "help: "]);
        assert_eq!(files(&project).len(), 1);
        fs::write(project.path("app.db-wal"), "a log").unwrap();
        let ran = project.run(&["restore", "--yes"]).done().says("Moved what could not be read");
        assert_eq!(project.ask("SELECT sum(x) FROM t1"), "1");
        let moved = |name: &str| name.contains(".damaged-");
        let aside: Vec<PathBuf> = fs::read_dir(project.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| moved(&path.to_string_lossy()))
            .collect();
        assert!(aside.iter().any(|path| fs::read(path).unwrap() == broken), "{aside:?}\n{}", ran.err);
        for path in aside {
            fs::remove_file(path).unwrap();
        }
        project.run(&["status"]).done().says("current   a1");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_the_database_stays_a_link() {
    let project = project();
    fs::create_dir(project.path("elsewhere")).unwrap();
    fs::rename(project.path("app.db"), project.path("elsewhere/real.db")).unwrap();
    std::os::unix::fs::symlink("elsewhere/real.db", project.path("app.db")).unwrap();
    project.run(&["backup"]).done();
    let none = "no database at all, and long enough to be looked at as one: a hundred bytes or so are needed for that";
    fs::write(project.path("elsewhere/real.db"), none).unwrap();
    project.run(&["restore", "--yes"]).done().says("elsewhere/real.db.damaged-");
    assert!(project.path("app.db").is_symlink());
    assert_eq!(sum_of(&project.path("elsewhere/real.db")), 1);
}

#[test]
fn the_backup_of_another_package_says_whose_it_is() {
    let project = project();
    project.run(&["backup"]).done();
    let path = only(&project);
    Connection::open(&path).unwrap().execute_batch("UPDATE _cargo_migrate SET package = 'queue'").unwrap();
    project.refuses(&["restore", "--yes"], &["[other-package]", "`queue`", "none of `app`"]);
}

/// A limit on the size of files is met as a full disk is: in the middle of a write.
#[cfg(unix)]
#[test]
fn a_full_disk_and_a_folder_that_cannot_be_written_leave_nothing_behind() {
    let project = project();
    project.database().execute_batch("CREATE TABLE big (x); INSERT INTO big VALUES (zeroblob(500000))").unwrap();
    let limited = |verb: &str| -> Ran {
        let mut limited = Command::new("bash");
        let script = format!("ulimit -f 64; trap '' XFSZ; exec \"$0\" {verb}");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
        ended(limited)
    };
    let before = project.bytes("app.db");
    limited("backup").refused(&["[backup-failed]", "room on the disk", "--to FILE"]);
    limited("backup --to x.db").refused(&["[backup-failed]", "room on the disk"]);
    assert_eq!(files(&project), [""; 0]);
    assert!(!project.path("x.db").exists() && !project.path("x.db.partial").exists());
    assert_eq!(project.bytes("app.db"), before);
    // What is replaced has to be kept: where there is no room for that, nothing is replaced.
    project.run(&["backup"]).done();
    project.database().execute_batch("UPDATE t1 SET x = 2").unwrap();
    limited("restore --yes").refused(&["[backup-failed]"]);
    assert_eq!(project.ask("SELECT x FROM t1"), "2");
    fs::remove_dir_all(project.path(".migrate")).unwrap();
    project.write(".migrate/backups", "a file where the folder should be");
    project.refuses(&["backup"], &["[backup-failed]", "--to FILE"]);
}

#[cfg(unix)]
#[test]
fn what_else_lies_in_the_folder_is_passed_over_and_stays() {
    let project = project();
    project.run(&["backup"]).done();
    let folder = project.path(FOLDER);
    let backup = only(&project);
    let outside = project.path("outside.db");
    fs::write(&outside, "not ours").unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("dev-2020-01-01T000000Z-a1-auto.db")).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("dev-2020-01-01T000000Z-a1.db.partial")).unwrap();
    fs::create_dir(folder.join("dev-2020-01-02T000000Z-a1-auto.db")).unwrap();
    for name in [
        "notes.txt",
        "d\u{1b}[2Jev-2020-01-01T000000Z-a1-auto.db",
        "dev-2020-01-01T000000Z-a\nb-auto.db",
        "other.partial",
    ] {
        fs::write(folder.join(name), "not ours").unwrap();
    }
    let before = files(&project);
    // One that is named as ours and is none is shown as what it is, and may be removed as the oldest.
    fs::write(folder.join("dev-2020-01-03T000000Z-a1-auto.db"), "no database").unwrap();
    let ran = project.run(&["backups"]).done();
    ran.is_printable();
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    ran.says("unreadable");
    for number in 1..8 {
        // What is kept is another state each time: the same one is kept once.
        project.database().execute_batch(&format!("PRAGMA user_version = {number}")).unwrap();
        project.run(&["restore", "--yes", backup.file_name().unwrap().to_str().unwrap()]).done();
    }
    let after = files(&project);
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
    assert!(!after.iter().any(|name| name.starts_with("dev-2020-01-03")), "{after:?}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "not ours");
}

#[test]
fn what_a_killed_backup_has_left_is_removed_by_the_next_one() {
    let project = project();
    project.database().execute_batch("CREATE TABLE big (x); INSERT INTO big WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) SELECT randomblob(3000) FROM n").unwrap();
    let left = || files(&project).into_iter().filter(|name| name.ends_with(".partial")).count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while left() == 0 {
        assert!(Instant::now() < deadline, "no kill came in time");
        let mut child = project.command(&["-q", "backup"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        while left() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    project.run(&["backup"]).done();
    assert_eq!(left(), 0);
    project.run(&["restore", "--yes"]).done();
}

/// 200 kills at full scale, spread over the time that a restore takes.
#[test]
fn a_restore_killed_at_any_moment_has_happened_wholly_or_not_at_all() {
    let (mut inside, mut done) = (0, 0);
    for journal in ["DELETE", "WAL"] {
        let project = project();
        let fill = |value: u32| {
            format!(
                "DROP TABLE IF EXISTS big; CREATE TABLE big (x, filling); INSERT INTO big WITH RECURSIVE n (i) AS \
                 (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT {value}, randomblob(3000) FROM n"
            )
        };
        project.database().execute_batch(&format!("PRAGMA journal_mode = {journal}; {}", fill(1))).unwrap();
        project.run(&["backup", "--to", "one.db"]).done();
        project.database().execute_batch(&fill(2)).unwrap();
        project.run(&["backup", "--to", "two.db"]).done();
        let start = Instant::now();
        project.run(&["-q", "restore", "--yes", "one.db"]).done();
        let mut length = start.elapsed();
        let kills = ((100.0 * scale()) as u32).max(5);
        for kill in 0..kills {
            project.run(&["-q", "restore", "--yes", "two.db"]).done();
            fs::remove_dir_all(project.path(".migrate")).unwrap();
            let mut child = project.command(&["-q", "restore", "--yes", "one.db"]).spawn().unwrap();
            // What replaces comes after what keeps: most kills fall into the second half.
            std::thread::sleep(length / 3 + length * kill / kills * 2 / 3);
            child.kill().unwrap();
            child.wait().unwrap();
            inside += u32::from(fs::metadata(project.path("app.db-journal")).is_ok_and(|file| file.len() > 0));
            inside += u32::from(fs::metadata(project.path("app.db-wal")).is_ok_and(|file| file.len() > 0));
            assert_eq!(project.ask("PRAGMA integrity_check"), "ok", "{journal}, kill {kill}");
            let found = project.ask("SELECT count(*) || ' of ' || min(x) || ' to ' || max(x) FROM big");
            assert!(found == "3000 of 1 to 1" || found == "3000 of 2 to 2", "{journal}, kill {kill}: {found}");
            let restored = found.ends_with('1');
            done += u32::from(restored);
            length = if restored { length * 9 / 10 } else { length * 21 / 20 };
            // The next one goes on as if nothing had been.
            project.run(&["-q", "restore", "--yes", "one.db"]).done();
            assert_eq!(project.ask("SELECT min(x) FROM big"), "1");
        }
    }
    assert!(inside > 0, "no kill fell into what replaces ({done} came after it)");
}
