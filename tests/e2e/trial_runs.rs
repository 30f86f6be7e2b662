//! What a stranger tried on runs over SQLite: questions that write, rows that pointed to nothing, copies that are waited for.

use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

use crate::harness::{Project, ended};
use crate::pages::ground::Sqlite;
use crate::pages::questions::is_no_question;
use crate::pages::with_a_row;
use crate::preview::shell;

#[test]
fn a_verify_section_sets_attaches_and_writes_nothing() {
    for (verify, words) in [
        ("PRAGMA user_version = 7;", ["a2.sql:5:1", "`PRAGMA`", "pragma_foreign_key_check"].as_slice()),
        ("ATTACH 'other.db' AS other;", &["a2.sql:5:1", "`ATTACH`"]),
        ("VACUUM INTO 'other.db';", &["a2.sql:5:1", "`VACUUM`"]),
    ] {
        is_no_question(&Sqlite, verify, words);
    }
}

#[test]
fn a_pragma_is_asked_as_a_table() {
    let project = with_a_row(&Sqlite);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n\
         SELECT count(*) = 0 FROM pragma_foreign_key_check;\n",
    );
    project.run(&["upgrade", "--sql"]).done().says("pragma_foreign_key_check");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("PRAGMA query_only"), "0");
}

/// A project whose database has a row that points to nothing already, in a table without row ids with two references.
fn with_a_dangling_row() -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE p (id INTEGER PRIMARY KEY);\n\
         CREATE TABLE c (id TEXT PRIMARY KEY, one REFERENCES p, two REFERENCES p) WITHOUT ROWID;\n\
         INSERT INTO p VALUES (1), (2), (3);\nINSERT INTO c VALUES ('a', 1, 1), ('b', 2, 1), ('c', 3, 1);\n",
    );
    project.run(&["upgrade"]).done();
    project.database().execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM p WHERE id = 2").unwrap();
    project
}

#[test]
fn an_old_dangling_row_hides_no_new_one() {
    for (sql, words) in [
        ("DELETE FROM p WHERE id = 3;", "a row of `c` (one) points to no row of `p`"),
        ("UPDATE c SET one = 9;", "each of 2 rows of `c` (one) points to no row of `p`"),
        ("UPDATE c SET one = 1, two = 9 WHERE id = 'b';", "a row of `c` (two) points to no row of `p`"),
    ] {
        let project = with_a_dangling_row();
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{sql}\n"));
        let script = project.run(&["upgrade", "--sql"]).done().out;
        let (well, said) = shell(&project, "app.db", &script);
        assert!(!well && said.contains("point to nothing"), "{sql}\n{said}");
        project.refuses(&["upgrade"], &["foreign-keys", words]);
    }
}

#[test]
fn an_old_dangling_row_may_stay_or_go() {
    for sql in ["CREATE TABLE u (x);\nUPDATE c SET id = upper(id);", "DELETE FROM c WHERE id = 'b';"] {
        let project = with_a_dangling_row();
        project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:up\n{sql}\n"));
        std::fs::copy(project.path("app.db"), project.path("script.db")).unwrap();
        let script = project.run(&["upgrade", "--sql"]).done().out;
        let (well, said) = shell(&project, "script.db", &script);
        assert!(well, "{sql}\n{said}");
        project.run(&["upgrade"]).done().says("1 row pointed to nothing before");
    }
}

/// A database of more pages than a copy takes at once, with a revision that a dry run tries on a copy.
fn of_many_pages() -> Project {
    let project = with_a_row(&Sqlite);
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
        INSERT INTO t SELECT zeroblob(1000000) FROM n";
    project.database().execute_batch(fill).unwrap();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\n");
    project
}

#[test]
fn a_dry_run_on_a_copy_waits_no_longer_than_it_was_told_to() {
    let project = of_many_pages();
    let folder = project.path("copies");
    std::fs::create_dir(&folder).unwrap();
    let (over, is_over) = channel::<()>();
    // Takes the database once the copy has begun, as soon as it leaves room, and keeps it until the command is over.
    let other = {
        let (path, folder) = (project.path("app.db"), folder.clone());
        std::thread::spawn(move || {
            let has_begun = || {
                let mut copies = std::fs::read_dir(&folder).unwrap();
                copies.any(|copy| copy.unwrap().metadata().is_ok_and(|copy| copy.len() > 0))
            };
            while !has_begun() {
                if is_over.try_recv() == Err(TryRecvError::Disconnected) {
                    return;
                }
                std::thread::yield_now();
            }
            let other = rusqlite::Connection::open(path).unwrap();
            other.busy_timeout(Duration::from_secs(60)).unwrap();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            is_over.recv().unwrap_err();
        })
    };
    let mut command = project.command(&["upgrade", "--dry-run", "--wait", "0"]);
    command.env("TMPDIR", &folder).env("TMP", &folder);
    // Who comes in while it is copied is let in, so the copy may have to be given up; but it is not waited for.
    let ran = ended(command);
    assert!(ran.status == 0 || ran.err.contains("error[database-busy]"), "{}", ran.err);
    drop(over);
    other.join().unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn the_tables_that_a_virtual_table_keeps_for_itself_are_no_part_of_the_schema() {
    let project = with_a_row(&Sqlite);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE VIRTUAL TABLE words USING fts5 (word);\nCREATE TABLE words_mine (x);\n");
    project.run(&["upgrade"]).done();
    let schema = project.run(&["--format", "json", "schema"]).done().json();
    let names: Vec<&str> =
        schema["objects"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["t", "words_mine", "words"]);
}
