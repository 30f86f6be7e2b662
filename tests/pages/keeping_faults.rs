//! Backups where something is in the way: a database that somebody holds, a damaged backup, a full disk, a killed process.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Project, scale};
use crate::pages::ground::Ground;
use crate::pages::keeping::{FOLDER, ending, files, names, only, project};

pages! {
    a_database_that_somebody_holds_is_waited_for,
    a_run_under_way_keeps_a_restore_out,
    a_backup_that_is_none_or_is_damaged_is_refused_and_the_database_stays,
    the_backup_of_another_package_says_whose_it_is,
    #[cfg(unix)]
    a_full_disk_and_a_folder_that_cannot_be_written_leave_nothing_behind,
    #[cfg(unix)]
    what_else_lies_in_the_folder_is_passed_over_and_stays,
    what_a_killed_backup_has_left_is_removed_by_the_next_one,
    a_restore_killed_at_any_moment_has_happened_wholly_or_not_at_all,
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

/// Text that does not shrink much when it is compressed.
fn noise(length: usize, number: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = number.wrapping_add(1);
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..length).map(|_| letter()).collect()
}

fn a_database_that_somebody_holds_is_waited_for(ground: &dyn Ground) {
    let project = project(ground);
    let backup = format!("a1.{}", ending(&project));
    project.run(&["backup"]).done();
    let mut other = project.databases().session("dev");
    for statement in ["BEGIN", "INSERT INTO t1 VALUES (5)"] {
        other(statement).unwrap();
    }
    project.refuses_but_keeps(&["--wait", "0.3", "restore", "--yes", &backup]);
    let mut waiting = project.command(&["-q", "--wait", "60", "restore", "--yes", &backup]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    other("COMMIT").unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(project.ask("SELECT sum(x) FROM t1"), "1");
}

fn a_run_under_way_keeps_a_restore_out(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup"]).done();
    // Given a run that has committed a part of what it does.
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO missing VALUES (1);\n",
    );
    project.run(&["upgrade"]).refused(&["sql-error"]);
    let run = project.databases().as_a_living_run("dev");
    // Then nothing is put in the way of the rest of it, and where the run has died, everything may be replaced.
    project.refuses(&["restore", "--yes", "--wait", "0"], &["[database-busy]", "--wait SECONDS"]);
    drop(run);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.tables(), ["t1"]);
}

fn a_backup_that_is_none_or_is_damaged_is_refused_and_the_database_stays(ground: &dyn Ground) {
    let project = project(ground);
    let rows: Vec<String> = (0..300).map(|number| format!("('{}')", noise(900, number))).collect();
    project.execute(&format!(
        "CREATE TABLE big (x TEXT); INSERT INTO big VALUES {}; CREATE INDEX big_x ON big (x)",
        rows.join(", ")
    ));
    project.run(&["backup"]).done();
    let path = only(&project);
    let good = fs::read(&path).unwrap();
    let mut damaged = good.clone();
    let middle = good.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xA5);
    for bad in [
        damaged,
        good[..good.len() / 2].to_vec(),
        good[..good.len() - 200].to_vec(),
        b"no database at all, and long enough to be looked at as one: a hundred bytes or so are needed for that"
            .to_vec(),
        Vec::new(),
    ] {
        fs::write(&path, bad).unwrap();
        project.refuses(&["restore", "--yes"], &["[backup-damaged]", "backups"]).is_printable();
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    project.refuses(&["restore", "--yes", path.to_str().unwrap()], &["[backup-damaged]", "backups"]).is_printable();
}

fn the_backup_of_another_package_says_whose_it_is(ground: &dyn Ground) {
    let project = project(ground);
    // Given what another package would have here.
    project.execute("UPDATE _cargo_migrate SET package = 'queue'");
    project.run(&["backup"]).done();
    project.execute("UPDATE _cargo_migrate SET package = 'app'");
    project.refuses(&["restore", "--yes"], &["[other-package]", "`queue`", "none of `app`"]);
}

/// A limit on the size of files is met as a full disk is: in the middle of a write.
#[cfg(unix)]
fn a_full_disk_and_a_folder_that_cannot_be_written_leave_nothing_behind(ground: &dyn Ground) {
    use crate::harness::{Ran, ended};
    use std::process::Command;
    let project = project(ground);
    project.execute(&format!("CREATE TABLE big (x TEXT); INSERT INTO big VALUES ('{}')", noise(500_000, 0)));
    let limited = |verb: &str| -> Ran {
        let mut limited = Command::new("bash");
        let script = format!("ulimit -f 64; trap '' XFSZ; exec \"$0\" {verb}");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
        ended(limited)
    };
    let before = project.databases().state("dev");
    limited("backup").refused(&["[backup-failed]", "nothing is left of it", "room on the disk", "--to FILE"]);
    limited("backup --to x.db").refused(&["[backup-failed]", "room on the disk"]);
    assert_eq!(files(&project), [""; 0]);
    assert!(!project.path("x.db").exists() && !project.path("x.db.partial").exists());
    // A run that needs one is not begun.
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDELETE FROM big;\n");
    limited("upgrade").refused(&["[backup-failed]", "nothing was run"]);
    assert_eq!(project.databases().state("dev"), before);
    // What is replaced has to be kept: where there is no room for that, nothing is replaced.
    project.run(&["backup"]).done();
    project.execute("UPDATE t1 SET x = 2");
    limited("restore --yes").refused(&["[backup-failed]"]);
    assert_eq!(project.list("SELECT x FROM t1"), ["2"]);
    fs::remove_dir_all(project.path(".migrate")).unwrap();
    project.write(".migrate/backups", "a file where the folder should be");
    project.refuses(&["backup"], &["[backup-failed]", "--to FILE"]);
}

#[cfg(unix)]
fn what_else_lies_in_the_folder_is_passed_over_and_stays(ground: &dyn Ground) {
    use std::os::unix::fs::symlink;
    let project = project(ground);
    project.run(&["backup"]).done();
    let (folder, ending) = (project.path(FOLDER), ending(&project));
    let backup = only(&project);
    let (own, _) = backup.file_name().unwrap().to_str().unwrap().split_once('-').unwrap();
    let outside = project.path("outside");
    fs::write(&outside, "not ours").unwrap();
    symlink(&outside, folder.join(format!("{own}-2020-01-01T000000Z-a1-auto.{ending}"))).unwrap();
    symlink(&outside, folder.join(format!("{own}-2020-01-01T000000Z-a1.{ending}.partial"))).unwrap();
    fs::create_dir(folder.join(format!("{own}-2020-01-02T000000Z-a1-auto.{ending}"))).unwrap();
    for name in [
        "notes.txt",
        &format!("d\u{1b}[2Jev-2020-01-01T000000Z-a1-auto.{ending}"),
        &format!("{own}-2020-01-01T000000Z-a\nb-auto.{ending}"),
        "other.partial",
    ] {
        fs::write(folder.join(name), "not ours").unwrap();
    }
    let before = files(&project);
    // One that is named as ours and is none is shown as what it is, and may be removed as the oldest.
    let false_one = format!("{own}-2020-01-03T000000Z-a1-auto.{ending}");
    fs::write(folder.join(&false_one), "no backup").unwrap();
    let ran = project.run(&["backups"]).done();
    ran.is_printable();
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    ran.says("unreadable");
    for number in 1..8 {
        // What is kept is another state each time: the same one is kept once.
        project.execute(&format!("INSERT INTO t1 VALUES ({number})"));
        project.run(&["restore", "--yes", backup.file_name().unwrap().to_str().unwrap()]).done();
    }
    let after = files(&project);
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
    assert!(!after.contains(&false_one), "{after:?}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "not ours");
}

fn what_a_killed_backup_has_left_is_removed_by_the_next_one(ground: &dyn Ground) {
    let project = project(ground);
    project.execute(&format!(
        "CREATE TABLE big (x TEXT); INSERT INTO big \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) SELECT '{}' FROM n",
        noise(3000, 0)
    ));
    let left = || files(&project).into_iter().filter(|name| name.ends_with(".partial")).count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while left() == 0 {
        assert!(Instant::now() < deadline, "no kill came in time");
        let mut child = project.command(&["-q", "backup"]).stdout(Stdio::null()).spawn().unwrap();
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

/// 100 kills at full scale, spread over the time that a restore takes. On a server, where a restore starts programs and
/// takes many times as long, half as many are as much time as there is.
fn a_restore_killed_at_any_moment_has_happened_wholly_or_not_at_all(ground: &dyn Ground) {
    let project = project(ground);
    let most = if project.databases().dialect() == "postgres" { 50.0 } else { 100.0 };
    killed_while_it_restores(&project, most);
}

/// The same of a project whose database is there, with so many kills at full scale.
pub fn killed_while_it_restores(project: &Project, most: f64) {
    let (mut inside, mut done) = (0, 0);
    let fill = |value: u64| {
        format!(
            "DELETE FROM big; INSERT INTO big WITH RECURSIVE n (i) AS \
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT {value}, '{}' FROM n",
            noise(3000, value)
        )
    };
    project.execute("CREATE TABLE big (x INTEGER, filling TEXT)");
    project.execute(&fill(1));
    project.run(&["backup", "--to", "one.db"]).done();
    let restore = ["restore", "--yes", "one.db", "--format", "json"];
    let start = Instant::now();
    project.run(&restore).done();
    let mut length = start.elapsed();
    let kills = ((most * scale()) as u32).max(5);
    for kill in 0..kills {
        project.execute(&fill(2));
        fs::remove_dir_all(project.path(".migrate")).unwrap();
        let mut child = project.command(&restore).stdout(Stdio::null()).spawn().unwrap();
        // What replaces comes after what keeps: every other kill waits until it has begun, the others come at any moment.
        if kill % 2 == 0 {
            std::thread::sleep(length / 3 + length * kill / kills * 2 / 3);
        } else {
            while !project.databases().is_half_written("dev") && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let had_begun = project.databases().is_half_written("dev");
        child.kill().unwrap();
        child.wait().unwrap();
        let found = project.ask("SELECT count(*) || ' of ' || min(x) || ' to ' || max(x) FROM big");
        assert!(found == "3000 of 1 to 1" || found == "3000 of 2 to 2", "kill {kill}: {found}");
        let restored = found.ends_with('1');
        done += u32::from(restored);
        inside += u32::from(had_begun && !restored);
        length = if restored { length * 9 / 10 } else { length * 21 / 20 };
        // The next one goes on as if nothing had been: what it keeps is read as a whole, and nothing of it is damaged.
        let next = project.run(&restore).done().json();
        assert!(next["kept"].is_string() && next["moved_aside"] == serde_json::json!([]), "kill {kill}: {next}");
        assert_eq!(project.ask("SELECT min(x) FROM big"), "1");
    }
    assert!(inside > 0, "no kill fell into what replaces ({done} of {kills} came after it)");
}
