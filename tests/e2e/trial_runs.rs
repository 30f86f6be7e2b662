//! What a stranger tried on runs: questions that write, runs that are met half way, ways back that lead nowhere.

use std::fs::File;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

use crate::harness::{Project, Ran, ended};
use crate::preview::shell;

/// A project whose first revision, with one row in its table, is applied.
fn project() -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n\
         -- migrate:down\nDROP TABLE t;\n",
    );
    project.run(&["upgrade"]).done();
    project
}

#[test]
fn a_verify_section_asks_and_does_nothing_else() {
    for (verify, words) in [
        ("COMMIT;\nSELECT 0;", &["a2.sql:5:1", "`COMMIT`"][..]),
        ("SELECT 1;\nROLLBACK;", &["a2.sql:6:1", "`ROLLBACK`"]),
        ("DELETE FROM t RETURNING 1;", &["a2.sql:5:1", "`DELETE`"]),
        ("WITH a AS (SELECT 1)\nDELETE FROM t RETURNING 1;", &["a2.sql:6:1", "`DELETE`"]),
        ("PRAGMA user_version = 7;", &["a2.sql:5:1", "`PRAGMA`", "pragma_foreign_key_check"]),
        ("ATTACH 'other.db' AS other;", &["a2.sql:5:1", "`ATTACH`"]),
        ("VACUUM INTO 'other.db';", &["a2.sql:5:1", "`VACUUM`"]),
    ] {
        let project = project();
        for header in ["", "\n-- migrate:no-transaction"] {
            let text = format!(
                "-- migrate:parent a1{header}\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n{verify}\n"
            );
            project.migration("a2", &text);
            let words: Vec<&str> =
                words.iter().copied().filter(|word| header.is_empty() || !word.starts_with("a2")).collect();
            for command in
                [&["upgrade"][..], &["upgrade", "--dry-run"], &["upgrade", "--per-revision"], &["upgrade", "--sql"]]
            {
                let ran = project.refuses(command, &["forbidden-statement", "a verify section only asks"]);
                ran.refused(&words);
            }
        }
    }
}

#[test]
fn a_question_that_holds_is_asked_by_a_run_and_by_a_script() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n\
         WITH a AS (SELECT replace('DELETE', 'x', 'y') AS x) SELECT x = 'DELETE' FROM a;\nVALUES (1), (2);\n\
         SELECT count(*) = 0 FROM pragma_foreign_key_check;\n",
    );
    project.run(&["upgrade", "--sql"]).done().says("pragma_foreign_key_check");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("PRAGMA query_only"), "0");
}

/// A project whose `a2` was interrupted on its way up: its table is there, its row says `running`.
fn interrupted() -> (Project, Ran) {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO missing VALUES (1);\n\
         -- migrate:down\nDROP TABLE u;\n",
    );
    let stopped = project.run(&["upgrade"]).refused(&["sql-error", "a2.sql:5:1"]);
    (project, stopped)
}

/// What a run that commits more than once holds while it lives.
fn hold(project: &Project) -> File {
    let file = File::create(project.path("app.db-migrate")).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn the_row_of_a_living_run_is_left_to_it() {
    let (project, _) = interrupted();
    let held = hold(&project);
    for command in [
        &["repair", "--finished", "a2", "--wait", "0"][..],
        &["repair", "--not-applied", "a2", "--wait", "0"],
        &["stamp", "a1", "--wait", "0"],
        &["stamp", "base", "--purge", "--wait", "0"],
        &["ensure-version", "--wait", "0"],
        &["upgrade", "--wait", "0"],
    ] {
        project.refuses(command, &["database-busy", "a run of `a2` is under way", "--wait SECONDS"]);
    }
    let status = project.run(&["status"]).done().says("a run of `a2` is under way");
    assert!(!status.err.contains("repair") && !status.err.contains("interrupted"), "{}", status.err);
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");

    // The run dies, and whoever waits for it finds that it was interrupted.
    let waiting =
        project.command(&["repair", "--not-applied", "a2"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    drop(held);
    let said = waiting.wait_with_output().unwrap();
    assert!(said.status.success());
    assert_eq!(String::from_utf8_lossy(&said.stderr).matches("Waiting").count(), 1);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate WHERE revision = 'a2'"), "0");
    assert!(!project.path("app.db-migrate").exists());
}

#[test]
fn to_look_whether_a_run_lives_leaves_no_trace() {
    let (project, _) = interrupted();
    let before = project.contents();
    project.run(&["status"]).done().says("was interrupted").says("repair --finished a2");
    assert_eq!(project.contents(), before);
    // The file that a killed run has left is no run.
    project.write("app.db-migrate", "");
    project.run(&["status"]).done().says("was interrupted");
    project.run(&["repair", "--not-applied", "a2"]).done();
}

/// A project whose `a2` was interrupted on its way back: `u` is gone, `v` is not yet.
fn interrupted_on_its_way_back() -> (Project, Ran) {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\nCREATE TABLE v (x);\n\
         -- migrate:down\nDROP TABLE u;\nDROP TABLE missing;\nDROP TABLE v;\n",
    );
    project.run(&["upgrade"]).done();
    let stopped = project.run(&["downgrade", "-1"]).refused(&["sql-error", "a2.sql:8:1"]);
    (project, stopped)
}

/// The commands that are printed as ways out of an interrupted revision: to end what was begun, and to undo it.
#[track_caller]
fn advice(said: &str) -> [Vec<String>; 2] {
    let commands: Vec<Vec<String>> = said
        .lines()
        .filter_map(|line| line.split_once("then: `cargo migrate ")?.1.strip_suffix('`'))
        .map(|command| command.split(' ').map(str::to_owned).collect())
        .collect();
    commands.try_into().unwrap_or_else(|_| panic!("two ways out are printed\n{said}"))
}

#[test]
fn whoever_follows_the_advice_ends_with_a_record_that_is_true() {
    for (back, done, undone) in
        [(false, "CREATE TABLE missing (x)", "DROP TABLE u"), (true, "DROP TABLE v", "CREATE TABLE u (x)")]
    {
        for by_status in [false, true] {
            for (way, by_hand) in [done, undone].into_iter().enumerate() {
                let (project, stopped) = if back { interrupted_on_its_way_back() } else { interrupted() };
                let said = if by_status { project.run(&["status"]).done() } else { stopped };
                let command = &advice(&said.err)[way];
                project.database().execute_batch(by_hand).unwrap();
                project.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).done();

                // On its way up the first way out ends with it applied, on its way back the second one.
                let applied = (way == 0) != back;
                let about = format!("{command:?}, {back}");
                let state = "SELECT coalesce(max(state), 'no row') FROM _cargo_migrate WHERE revision = 'a2'";
                assert_eq!(project.ask(state), if applied { "applied" } else { "no row" }, "{about}");
                let table = "SELECT count(*) FROM sqlite_schema WHERE name = 'u'";
                assert_eq!(project.ask(table), if applied { "1" } else { "0" }, "{about}");
                let at_head = project.run(&["current", "--check-heads"]);
                assert_eq!(at_head.status, i32::from(!applied), "{about}");
                project.run(&["status"]).done().says(if applied { "pending   0" } else { "pending   1" });
            }
        }
    }
}

#[test]
fn a_word_that_could_be_meant_either_way_is_refused() {
    let (project, stopped) = interrupted_on_its_way_back();
    assert!(!stopped.err.contains("--finished"), "{}", stopped.err);
    project.refuses(
        &["repair", "--finished", "a2"],
        &["taking it back was interrupted", "repair --not-applied a2", "repair --still-applied a2"],
    );
    interrupted().0.refuses(
        &["repair", "--still-applied", "a2"],
        &["a run of it was interrupted", "repair --finished a2", "repair --not-applied a2"],
    );
}

#[test]
fn what_is_half_way_is_not_applied() {
    for (project, _) in [interrupted(), interrupted_on_its_way_back()] {
        assert_eq!(project.run(&["current"]).done().out, "a1\n");
        project.refuses(&["current", "--check-heads"], &["not-at-head", "`a2` is neither applied nor gone", "status"]);
        assert_eq!(project.run(&["--format", "json", "current"]).done().json()["at_head"], false);
        let history = project.run(&["history"]).done().out;
        assert!(history.contains("a2 (head)  interrupted"), "{history}");
        assert_eq!(project.run(&["--format", "json", "history"]).done().json()["revisions"][0]["applied"], false);
        let status = project.run(&["--format", "json", "status"]).done().json();
        assert_eq!(
            (status["applied"].as_u64(), status["problems"][0]["code"].as_str()),
            (Some(1), Some("interrupted"))
        );
        let _held = hold(&project);
        project.run(&["history"]).done().says("a2 (head)  under way");
    }
}

#[test]
fn whoever_stamps_settles_what_was_interrupted() {
    for (target, left) in [("a2", "a1 applied, a2 applied"), ("a1", "a1 applied")] {
        for (project, _) in [interrupted(), interrupted_on_its_way_back()] {
            project.run(&["stamp", target]).done();
            let rows = "SELECT group_concat(revision || ' ' || state, ', ') FROM (SELECT * FROM _cargo_migrate ORDER BY sequence)";
            assert_eq!(project.ask(rows), left);
        }
    }
}

#[test]
fn a_failed_verify_tells_what_was_kept() {
    let verify = "-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\nSELECT count(*) > 0 FROM u;\n";
    let project = project();
    project.migration("a2", &format!("-- migrate:parent a1\n{verify}"));
    project.refuses(&["upgrade"], &["verify-failed", "everything was rolled back: nothing of this run was kept"]);

    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:no-transaction\n{verify}"));
    let said = project.run(&["upgrade"]).refused(&["verify-failed", "all of its statements have taken effect"]).err;
    assert!(!said.contains("rolled back"), "{said}");
    assert_eq!(advice(&said), [["repair", "--finished", "a2"], ["repair", "--not-applied", "a2"]]);
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    assert_eq!(project.ask("SELECT count(*) FROM u"), "0");
}

#[test]
fn a_statement_that_fails_says_what_was_kept_and_what_to_do() {
    let project = project();
    project
        .migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:down\nDROP TABLE w;\n");
    project.migration("a3", "-- migrate:parent a2\n-- migrate:up\nINSERT INTO missing VALUES (1);\n");
    project.refuses(
        &["upgrade"],
        &["sql-error", "nothing of this run was kept", "mend the statement, and run the command again"],
    );
    let said =
        project.run(&["upgrade", "--per-revision"]).refused(&["sql-error", "had not committed before was rolled back"]);
    assert!(said.err.contains("what was committed before is kept: a2"), "{}", said.err);
    project.refuses(&["downgrade", "-1"], &["sql-error", "nothing of this run was kept", "--down-from file"]);
    project
        .migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:down\nDROP TABLE u;\n");
    project.run(&["downgrade", "-1", "--down-from", "file"]).done();
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
    let project = project();
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
fn to_do_nothing_is_no_way_back() {
    let file =
        |down: &str| format!("-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:down\n{down}\n");
    let project = project();
    for down in ["", "-- DROP TABLE u;", ";"] {
        project.migration("a2", &file(down));
        project.run(&["upgrade"]).done();
        for command in [&["downgrade", "-1"][..], &["downgrade", "base", "--dry-run"], &["downgrade", "-1", "--sql"]] {
            let words =
                &["irreversible", "`a2` has a down section without a statement", "--down-from file", "`SELECT 1;`"];
            project.refuses(command, words);
        }
        // The way out that is printed.
        project.migration("a2", &file("DROP TABLE u;"));
        project.refuses(&["downgrade", "-1"], &["down-differs"]);
        project.refuses(&["downgrade", "-1", "--down-from", "stored"], &["irreversible"]);
        project.run(&["downgrade", "-1", "--down-from", "file"]).done();
        assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), "0");
    }
    project.migration("a2", &file("SELECT 1;"));
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), "1");
}

#[test]
fn what_did_nothing_is_taken_back_by_doing_nothing() {
    let project = project();
    project.migration("b1", "-- migrate:parent base\n-- migrate:up\n-- Nothing yet.\n-- migrate:down\n");
    project.run(&["merge", "heads", "-m", "join"]).done();
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "base"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "0");
}

#[test]
fn the_tables_that_a_virtual_table_keeps_for_itself_are_no_part_of_the_schema() {
    let project = project();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE VIRTUAL TABLE words USING fts5 (word);\nCREATE TABLE words_mine (x);\n");
    project.run(&["upgrade"]).done();
    let schema = project.run(&["--format", "json", "schema"]).done().json();
    let names: Vec<&str> =
        schema["objects"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["t", "words_mine", "words"]);
}
