//! `test` leaves a database's files as they are, whatever happens to it, and nothing else behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Project, ended, table};
use crate::pages::ground::Sqlite;
use crate::pages::rehearsing_safely::{is_rehearsed_while_somebody_writes, with_twins};

/// A project with a table of this many rows, and a revision that is pending.
fn project(rows: u32, pending: &str) -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        &format!(
            "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (id INTEGER PRIMARY KEY, x);\nINSERT INTO t \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, i FROM n;\n\
             -- migrate:down\nDROP TABLE t;\n"
        ),
    );
    project.run(&["upgrade"]).done();
    project.migration("a2", pending);
    project
}

const REFUSED: &str = "-- migrate:parent a1\n-- migrate:up\nUPDATE t SET x = 0;\nINSERT INTO nowhere VALUES (1);\n";

/// The bytes of a file, and nothing where it is not there or empty.
fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

#[test]
fn the_original_is_the_same_byte_for_byte_also_where_the_upgrade_of_the_copy_fails() {
    for mode in ["delete", "wal"] {
        for pending in [&table("a1", "u"), REFUSED] {
            let project = project(500, pending);
            project.database().pragma_update(None, "journal_mode", mode).unwrap();
            let before = bytes(&project.path("app.db"));
            let ran = project.run(&["test"]);
            assert_eq!(ran.status, i32::from(pending == REFUSED), "{}", ran.err);
            assert!(bytes(&project.path("app.db")) == before, "{mode}");
            assert!(bytes(&project.path("app.db-wal")).is_empty());
            assert!(!project.path("app.db-journal").exists());
            assert_eq!(project.databases().copies(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_log_that_somebody_has_open_is_read_and_left_as_it_is() {
    let project = project(500, &table("a1", "u"));
    let other = project.database();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    other.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    other.execute_batch("INSERT INTO t VALUES (100000, 'in the log alone')").unwrap();
    let before = (bytes(&project.path("app.db")), bytes(&project.path("app.db-wal")));
    assert!(!before.1.is_empty());
    project.run(&["test", "--keep"]).done();
    assert!((bytes(&project.path("app.db")), bytes(&project.path("app.db-wal"))) == before);
    let kept = project.path(".migrate/rehearsals").join(&project.databases().copies()[0]).join("copy.db");
    let copy = rusqlite::Connection::open(kept).unwrap();
    let in_the_log: i64 = copy.query_row("SELECT count(*) FROM t WHERE id = 100000", [], |row| row.get(0)).unwrap();
    assert_eq!(in_the_log, 1);
}

#[test]
fn a_writer_that_never_rests_neither_tears_a_copy_with_a_log() {
    let project = with_twins(&Sqlite);
    // Whoever has it open keeps its log from being played back after each write.
    let other = project.database();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    other.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    is_rehearsed_while_somebody_writes(&project);
    assert!(project.path("app.db-wal").exists());
}

/// A limit on the size of files is met as a full disk is: in the middle of a write.
#[cfg(unix)]
#[test]
fn a_disk_without_room_for_the_copy_says_so_and_nothing_is_left() {
    for (rows, pending) in [
        (50_000, table("a1", "u")),
        (
            10,
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO u VALUES (zeroblob(900000));\n"
                .to_owned(),
        ),
    ] {
        let project = project(rows, &pending);
        let before = bytes(&project.path("app.db"));
        let mut limited = Command::new("bash");
        let script = "ulimit -f 64; trap '' XFSZ; exec \"$0\" test";
        limited.args(["-c", script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
        let ran = ended(limited).refused(&["disk I/O error"]);
        assert!(ran.err.contains("help: "), "{}", ran.err);
        assert_eq!(project.databases().copies(), Vec::<String>::new());
        assert!(bytes(&project.path("app.db")) == before);
    }
}

/// A project that somebody else has written makes and removes nothing outside of it.
#[cfg(unix)]
#[test]
fn a_folder_of_copies_that_leads_elsewhere_is_refused() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("victim")).unwrap();
    fs::write(elsewhere.path().join("victim/lock"), "").unwrap();
    fs::write(elsewhere.path().join("victim/letter"), "dear").unwrap();
    let letter = || fs::read_to_string(elsewhere.path().join("victim/letter")).unwrap();

    let project = project(10, &table("a1", "u"));
    symlink(elsewhere.path(), project.path(".migrate")).unwrap();
    project.refuses(&["test"], &["[file-access]", "symbolic link", ".migrate"]);
    fs::remove_file(project.path(".migrate")).unwrap();
    fs::write(project.path(".migrate"), "a file").unwrap();
    project.refuses(&["test"], &["[file-access]", "no folder", ".migrate"]);
    fs::remove_file(project.path(".migrate")).unwrap();
    fs::create_dir(project.path(".migrate")).unwrap();
    symlink(elsewhere.path(), project.path(".migrate/rehearsals")).unwrap();
    project.refuses(&["test"], &["[file-access]", "symbolic link", "rehearsals"]);
    fs::remove_file(project.path(".migrate/rehearsals")).unwrap();

    // Links and pipes among the copies, and in the place of the file that hides them from git.
    fs::create_dir(project.path(".migrate/rehearsals")).unwrap();
    symlink(elsewhere.path().join("victim"), project.path(".migrate/rehearsals/one")).unwrap();
    fs::create_dir(project.path(".migrate/rehearsals/two")).unwrap();
    crate::hostile_databases::pipe(&project, ".migrate/rehearsals/two/lock");
    symlink(elsewhere.path().join("made"), project.path(".migrate/.gitignore")).unwrap();
    project.run_bounded(&["test"]).done();
    assert_eq!(letter(), "dear");
    assert!(!elsewhere.path().join("made").exists());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_a_copy() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project(10, &table("a1", "u"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for original in [0o600, 0o644] {
        fs::set_permissions(project.path("app.db"), fs::Permissions::from_mode(original)).unwrap();
        project.run(&["test", "--keep"]).done();
        let folder = project.path(".migrate/rehearsals").join(&project.databases().copies()[0]);
        assert_eq!((mode(&folder), mode(&folder.join("copy.db"))), (0o700, 0o600));
        assert_eq!((mode(&project.path(".migrate")), mode(&project.path("app.db"))), (0o700, original));
        assert_eq!(project.read(".migrate/.gitignore"), "*\n");
        fs::remove_dir_all(folder).unwrap();
    }
    fs::set_permissions(project.path(".migrate"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may look everywhere.
    if fs::read_dir(project.path(".migrate")).is_err() {
        project.run(&["test"]).refused(&["[file-access]", ".migrate"]);
    }
    fs::set_permissions(project.path(".migrate"), fs::Permissions::from_mode(0o700)).unwrap();
}
