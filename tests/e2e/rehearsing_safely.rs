//! `test` leaves the database as it is, whatever happens to it, and nothing else behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Project, ended, table};

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

/// A revision that never ends by itself.
const ENDLESS: &str = "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO u \
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 1000000000000;\n";

const REFUSED: &str = "-- migrate:parent a1\n-- migrate:up\nUPDATE t SET x = 0;\nINSERT INTO nowhere VALUES (1);\n";

fn rehearsals(project: &Project) -> Vec<String> {
    let Ok(entries) = fs::read_dir(project.path(".migrate/rehearsals")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

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
            assert_eq!(rehearsals(&project), Vec::<String>::new());
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
    let kept = project.path(".migrate/rehearsals").join(&rehearsals(&project)[0]).join("copy.db");
    let copy = rusqlite::Connection::open(kept).unwrap();
    let in_the_log: i64 = copy.query_row("SELECT count(*) FROM t WHERE id = 100000", [], |row| row.get(0)).unwrap();
    assert_eq!(in_the_log, 1);
}

/// What the copy holds is one moment: each transaction adds a row to both tables.
#[test]
fn a_writer_that_never_rests_neither_stops_a_rehearsal_nor_tears_its_copy() {
    for mode in ["delete", "wal"] {
        let project = project(500, &table("a1", "u"));
        project.database().execute_batch("CREATE TABLE twin (id INTEGER PRIMARY KEY); DELETE FROM t").unwrap();
        project.database().pragma_update(None, "journal_mode", mode).unwrap();
        project.migration(
            "a2",
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:down\nDROP TABLE u;\n\
             -- migrate:verify\nSELECT (SELECT count(*) FROM t) = (SELECT count(*) FROM twin);\n",
        );
        let path = project.path("app.db");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let writer = rusqlite::Connection::open(&path).unwrap();
                writer.busy_timeout(Duration::from_secs(60)).unwrap();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let both = "BEGIN IMMEDIATE; INSERT INTO t (x) VALUES (1); INSERT INTO twin VALUES (NULL); COMMIT";
                    writer.execute_batch(both).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            for _ in 0..5 {
                let ran = project.run(&["--wait", "60", "test"]);
                if ran.status != 0 {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                ran.done();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_ne!(project.ask("SELECT count(*) FROM t"), "0");
        assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), "0");
    }
}

/// A rehearsal that is in the middle of its revision.
#[cfg(unix)]
fn under_way(project: &Project) -> Child {
    let before = rehearsals(project);
    let mut command = project.command(&["test"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let writes = |folder: &String| {
        !before.contains(folder) && project.path(".migrate/rehearsals").join(folder).join("copy.db-journal").exists()
    };
    while !rehearsals(project).iter().any(writes) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never came so far");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[cfg(unix)]
#[test]
fn an_interrupted_rehearsal_removes_its_copy_and_ends_as_the_signal_says() {
    use std::os::unix::process::ExitStatusExt as _;
    let project = project(500, ENDLESS);
    let before = bytes(&project.path("app.db"));
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let mut child = under_way(&project);
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert_eq!(rehearsals(&project), Vec::<String>::new(), "SIG{name}");
        assert!(bytes(&project.path("app.db")) == before);
    }
}

#[cfg(unix)]
#[test]
fn what_a_killed_rehearsal_leaves_is_removed_by_the_next_one_and_that_of_a_living_one_is_not() {
    let project = project(500, ENDLESS);
    let before = bytes(&project.path("app.db"));
    let mut killed = under_way(&project);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(rehearsals(&project).len(), 1);
    assert!(bytes(&project.path("app.db")) == before);
    let mut living = under_way(&project);
    let of_the_living = rehearsals(&project);
    assert_eq!(of_the_living.len(), 1, "that of the killed one is gone");
    let other = ["test", "--revision", "a1"];
    project.run(&other).done();
    assert_eq!(rehearsals(&project), of_the_living);
    living.kill().unwrap();
    living.wait().unwrap();
    project.run(&other).done();
    assert_eq!(rehearsals(&project), Vec::<String>::new());
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
        assert_eq!(rehearsals(&project), Vec::<String>::new());
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
        let folder = project.path(".migrate/rehearsals").join(&rehearsals(&project)[0]);
        assert_eq!((mode(&folder), mode(&folder.join("copy.db"))), (0o700, 0o600));
        assert_eq!((mode(&project.path(".migrate")), mode(&project.path("app.db"))), (0o700, original));
        fs::remove_dir_all(folder).unwrap();
    }
    fs::set_permissions(project.path(".migrate"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may look everywhere.
    if fs::read_dir(project.path(".migrate")).is_err() {
        project.run(&["test"]).refused(&["[file-access]", ".migrate"]);
    }
    fs::set_permissions(project.path(".migrate"), fs::Permissions::from_mode(0o700)).unwrap();
}
