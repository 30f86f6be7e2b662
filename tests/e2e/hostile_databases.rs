//! Databases that are not what they should be: each is a clear refusal with a way out, and nothing has changed.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Project, ended, table};

/// A project whose `dev` database has `a1`, and where `a2` is pending.
fn project() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project
}

/// As if a process had been killed in the middle of a transaction that had begun to write into the file.
fn killed_while_writing(project: &Project) {
    let writer = project.database();
    writer.execute_batch("PRAGMA cache_size = 5; BEGIN; CREATE TABLE half (x)").unwrap();
    for _ in 0..200 {
        writer.execute("INSERT INTO half VALUES (zeroblob(3000))", []).unwrap();
    }
    let kept = ["app.db", "app.db-journal"].map(|name| (name, project.bytes(name)));
    drop(writer);
    for (name, bytes) in kept {
        fs::write(project.path(name), bytes).unwrap();
    }
}

#[test]
fn a_url_that_is_mistyped_is_answered_with_what_was_meant() {
    let project = project();
    for (url, words) in [
        ("sqllite:app.db", &["invalid-database-url", "write `sqlite:app.db`"][..]),
        ("app.db", &["invalid-database-url", "write `sqlite:app.db`"]),
        ("file:app.db", &["invalid-database-url", "write `sqlite:app.db`"]),
        ("sqlite:", &["invalid-database-url", "names no file"]),
        ("", &["invalid-database-url", "is empty"]),
        ("sqlite:app.db/", &["invalid-database-url", "is a folder"]),
        ("sqlite:app.db?mode=write", &["invalid-database-url", "mode=rw"]),
        ("sqlite:app.db?cache=shared", &["invalid-database-url", "`cache`"]),
        ("sqlite:a%00b", &["invalid-database-url", "control characters"]),
        ("sqlite::memory:", &["memory-database", "sqlite:FILE"]),
        ("mysql://me:secret@host/db", &["unsupported-database", "sqlite:FILE", "postgres://"]),
        ("postgres://me:secret@host/db?sslmod=require", &["invalid-database-url", "`sslmod`", "sslmode"]),
        ("tset", &["unknown-database", "write `test`"]),
        ("sqlite:none.db", &["no-database-file", "--create"]),
        ("sqlite:none/app.db", &["no-database-file", "make the folder"]),
        ("sqlite:app.db/app.db", &["no-database-file", "mend the database's URL"]),
    ] {
        let ran = project.refuses(&["-d", url, "upgrade"], words);
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let project = project();
    project.write("text.db", "hello\n");
    project.write("long.db", &"no database at all, ".repeat(1000));
    fs::create_dir(project.path("folder.db")).unwrap();
    let huge = fs::File::create(project.path("huge.db")).unwrap();
    huge.set_len(20 << 30).unwrap();
    for name in ["text.db", "long.db", "huge.db"] {
        for verb in [&["upgrade"][..], &["status"], &["schema"], &["stamp", "head"], &["upgrade", "--dry-run"]] {
            project
                .refuses(&[&["-d", &format!("sqlite:{name}")], verb].concat(), &["[database]", "no SQLite database"]);
        }
    }
    for verb in ["upgrade", "status", "schema"] {
        project.refuses(&["-d", "sqlite:folder.db", verb], &["[database]", "is not a file"]);
    }
}

#[test]
fn a_database_that_is_larger_than_it_need_be_is_a_database() {
    let project = project();
    let file = fs::OpenOptions::new().write(true).open(project.path("app.db")).unwrap();
    file.set_len(8 << 30).unwrap();
    project.run_bounded(&["status"]).done().says("current   a1");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_never_waited_for() {
    let project = project();
    pipe(&project, "pipe.db");
    for verb in ["upgrade", "status", "schema"] {
        project.refuses(&["-d", "sqlite:pipe.db", verb], &["[database]", "is not a file"]);
    }
    project.migration("a2", "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE t2 (x);\n");
    pipe(&project, "app.db-migrate");
    project.refuses(&["upgrade"], &["[database]", "app.db-migrate` is not a file"]);
    fs::remove_file(project.path("app.db-migrate")).unwrap();
    project.run_bounded(&["upgrade"]).done();
}

#[cfg(unix)]
pub fn pipe(project: &Project, name: &str) {
    assert!(Command::new("mkfifo").arg(project.path(name)).status().unwrap().success());
}

/// A write version above 2 in the header makes a database that everybody, root too, may only read
/// (<https://www.sqlite.org/fileformat.html#file_format_version_numbers>).
#[test]
fn a_database_that_may_only_be_read_is_read_and_not_written() {
    let project = project();
    let mut bytes = project.bytes("app.db");
    bytes[18] = 3;
    fs::write(project.path("app.db"), &bytes).unwrap();
    project.run(&["status"]).done().says("current   a1");
    for verb in [&["upgrade"][..], &["downgrade", "base"], &["stamp", "head"], &["upgrade", "--dry-run"]] {
        project.refuses(verb, &["[database]", "can only be read", "see who may write the file"]);
    }
    bytes[19] = 3;
    fs::write(project.path("app.db"), &bytes).unwrap();
    project.refuses(&["status"], &["[database]"]);
}

#[cfg(unix)]
#[test]
fn a_file_and_a_folder_without_the_permission_to_write_are_told_apart_from_a_broken_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project();
    let set =
        |name: &str, mode: u32| fs::set_permissions(project.path(name), fs::Permissions::from_mode(mode)).unwrap();
    set("app.db", 0o444);
    // Root may write all the same: for root, the test before this one stands in.
    if fs::OpenOptions::new().write(true).open(project.path("app.db")).is_err() {
        project.refuses(&["upgrade"], &["[database]", "can only be read"]);
        set("app.db", 0o644);
        set("", 0o555);
        project.refuses(&["upgrade"], &["[database]", "can only be read"]);
        set("", 0o755);
        set("app.db", 0o000);
        project.run(&["status"]).refused(&["[database]", "cannot be opened"]);
    }
    set("app.db", 0o644);
    project.run(&["upgrade"]).done();
}

#[test]
fn a_url_that_asks_for_reading_alone_is_only_read() {
    let project = project();
    project.run(&["-d", "sqlite:app.db?mode=ro", "status"]).done();
    for verb in [&["upgrade"][..], &["downgrade", "base"], &["stamp", "head"], &["ensure-version"]] {
        project.refuses(&[&["-d", "sqlite:app.db?mode=ro"], verb].concat(), &["[database]", "leave `?mode=ro` out"]);
    }
}

/// `PRAGMA max_page_count` is a connection's own and is not stored, so the migration itself sets it.
#[test]
fn a_database_that_has_no_room_left_says_so_and_keeps_what_it_had() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nPRAGMA max_page_count = 20;\nCREATE TABLE t2 (x);\n\
         INSERT INTO t2 VALUES (zeroblob(500000));\n",
    );
    project.refuses(&["upgrade"], &["[database]", "no room left", "a2.sql:5:1", "make room"]);
    project.run(&["current"]).done().says("a1");
}

/// A limit on the size of files is met as a full disk is: in the middle of a write.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_write_loses_nothing() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE t2 (x);\nINSERT INTO t2 \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT zeroblob(1000) FROM n;\n",
    );
    let mut limited = Command::new("bash");
    let script = "ulimit -f 64; trap '' XFSZ; exec \"$0\" upgrade";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_cargo-migrate")]).current_dir(project.path(""));
    ended(limited).refused(&["disk I/O error", "a2.sql:4:1"]);
    // SQLite could not take the write back itself: it has left its journal for the next one.
    project.run(&["current"]).done().says("a1");
    assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
    assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 't2'"), "0");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM t2"), "5000");
}

#[test]
fn a_locked_database_is_given_up_after_the_wait() {
    let project = project();
    let other = project.database();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for verb in [&["upgrade"][..], &["downgrade", "base"], &["status"], &["stamp", "head"], &["schema"]] {
        let ran = project.run_bounded(&[&["--wait", "0.6"], verb].concat());
        ran.refused(&["database-busy", "--wait SECONDS"]);
    }
    other.execute_batch("ROLLBACK").unwrap();
    project.run(&["upgrade"]).done();
}

#[test]
fn a_database_that_is_let_go_while_the_command_waits_is_upgraded() {
    for lock in ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE; CREATE TABLE other (x)"] {
        let project = project();
        let other = project.database();
        other.execute_batch(lock).unwrap();
        let waiting = project.command(&["-q", "--wait", "100", "upgrade"]).spawn().unwrap();
        // Longer than any reader is patient by itself.
        std::thread::sleep(Duration::from_millis(1200));
        other.execute_batch("COMMIT").unwrap();
        drop(other);
        assert!(waiting.wait_with_output().unwrap().status.success(), "{lock}");
        project.run(&["current"]).done().says("a2 (head)");
    }
}

#[test]
fn a_damaged_database_is_told_apart_from_an_empty_one() {
    let project = project();
    let whole = project.bytes("app.db");
    let page = 4096;
    let root: usize = project.ask("SELECT rootpage FROM sqlite_schema WHERE name = '_cargo_migrate'").parse().unwrap();
    let mut corrupt = whole.clone();
    corrupt[(root - 1) * page..(root - 1) * page + 200].fill(0xFF);
    let cut = whole[..page * 2 + 700].to_vec();
    for bytes in [corrupt, cut] {
        fs::write(project.path("app.db"), bytes).unwrap();
        for verb in [&["status"][..], &["upgrade"], &["downgrade", "base"], &["current"], &["delete", "a1"]] {
            project.refuses(verb, &["[database]", "is damaged", "restore a backup"]);
        }
    }
}

#[test]
fn a_version_table_of_another_tool_is_not_taken_for_our_own() {
    for other in [
        "CREATE TABLE _cargo_migrate (version BIGINT PRIMARY KEY, dirty BOOLEAN); INSERT INTO _cargo_migrate VALUES (1, 0)",
        "CREATE VIEW _cargo_migrate AS SELECT 1 AS version",
    ] {
        let project = Project::new();
        project.migration("a1", &table("base", "t1"));
        project.database().execute_batch(other).unwrap();
        for verb in [&["upgrade"][..], &["status"], &["stamp", "head"], &["ensure-version"]] {
            project.refuses(verb, &["[database]", "was not made by this tool", "version-table"]);
        }
        let manifest = project.read("Cargo.toml");
        project.write(
            "Cargo.toml",
            &manifest.replace("database = \"dev\"", "database = \"dev\"\nversion-table = \"history\""),
        );
        project.run(&["upgrade"]).done();
    }
}

const HOSTILE: &str = "a\u{1b}[31m\u{9b}2J\u{202e}\n\rb\u{7}";

#[test]
fn text_in_the_version_table_neither_drives_the_terminal_nor_floods_it() {
    let endless = "x\u{1b}]0;".repeat(2 << 20);
    let columns =
        ["message", "revision", "package", "applied_at", "tool_version", "state", "parents", "directives", "down"];
    let every: &[&[&str]] = &[&["status"], &["--format", "json", "history"], &["downgrade", "-1"], &["upgrade"]];
    let cases = columns.map(|column| (column, HOSTILE, every)).into_iter();
    for (column, text, verbs) in
        cases.chain([("message", &*endless, &every[2..3]), ("revision", &*endless, &every[..1])])
    {
        let project = project();
        project.database().execute(&format!("UPDATE _cargo_migrate SET {column} = ?1"), [text]).unwrap();
        for verb in verbs {
            let ran = project.run_bounded(verb);
            ran.is_printable();
            assert!(ran.status == 0 || ran.status == 1, "{column} {verb:?} {}", ran.err);
            assert!(ran.err.len() < 40_000, "{column} {verb:?} {}", ran.err.len());
        }
    }
}

#[test]
fn a_row_that_this_tool_did_not_write_is_named() {
    for (change, column) in [
        ("sequence = 'first'", "sequence"),
        ("sequence = 9223372036854775807", "sequence"),
        ("message = x'ff00fe'", "message"),
        ("state = 'done'", "state"),
        ("seal = 'seal:12'", "seal"),
        ("parents = '../a0'", "parents"),
        ("applied_count = NULL", "applied_count"),
    ] {
        let project = project();
        // The column forbids NULL; a table that was made by hand may not.
        let database = project.database();
        database.execute_batch("CREATE TABLE copy AS SELECT * FROM _cargo_migrate; DROP TABLE _cargo_migrate; ALTER TABLE copy RENAME TO _cargo_migrate").unwrap();
        database.execute_batch(&format!("UPDATE _cargo_migrate SET {change}")).unwrap();
        drop(database);
        for verb in ["status", "upgrade"] {
            project.refuses(&[verb], &["[database]", "`app/a1`", &format!("unreadable `{column}`"), "mend the row"]);
        }
    }
}

#[test]
fn what_a_killed_process_left_half_written_is_taken_back_by_whatever_runs_next() {
    for verb in [
        &["upgrade"][..],
        &["status"],
        &["schema"],
        &["downgrade", "-1"],
        &["upgrade", "--dry-run"],
        &["upgrade", "--sql"],
    ] {
        let project = project();
        killed_while_writing(&project);
        project.run(verb).done();
        assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), "0", "{verb:?}");
        assert_eq!(project.ask("PRAGMA integrity_check"), "ok");
    }
    let project = project();
    killed_while_writing(&project);
    project.refuses(&["-d", "sqlite:app.db?mode=ro", "status"], &["[database]", "killed", "leave `?mode=ro` out"]);
}

#[test]
fn a_log_that_a_killed_process_left_is_read() {
    let project = project();
    let writer = project.database();
    writer.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE logged (x)").unwrap();
    let kept = ["app.db", "app.db-wal"].map(|name| (name, project.bytes(name)));
    drop(writer);
    for (name, bytes) in kept {
        fs::write(project.path(name), bytes).unwrap();
    }
    project.run(&["schema"]).done().says("CREATE TABLE logged");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM logged"), "0");
}

#[test]
fn a_protected_database_is_not_written_where_nobody_can_be_asked() {
    let project = project();
    let manifest = project.read("Cargo.toml");
    project
        .write("Cargo.toml", &manifest.replace("\"sqlite:app.db\"", "{ url = \"sqlite:app.db\", protected = true }"));
    for verb in [&["upgrade"][..], &["downgrade", "base"], &["stamp", "head"]] {
        project.refuses(verb, &["not-confirmed", "--yes"]);
    }
    project.run(&["upgrade", "--yes"]).done();
}
