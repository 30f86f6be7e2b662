//! Backups of files where something is in the way: a database in use or damaged, a link, a process that was killed.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::keeping::{project, sum_of};
use crate::pages::keeping::files;
use crate::pages::keeping_faults::killed_while_it_restores;

#[test]
fn neither_a_folder_nor_a_database_in_use_nor_the_database_itself_is_a_backup() {
    let project = project();
    project.refuses(&["restore", "--yes", "src"], &["[backup-damaged]", "not a file"]);
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
fn a_restore_into_a_log_that_is_killed_at_any_moment_has_happened_wholly_or_not_at_all() {
    let project = project();
    project.execute("PRAGMA journal_mode = WAL");
    killed_while_it_restores(&project, 100.0);
}
