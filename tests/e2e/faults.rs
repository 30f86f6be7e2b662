//! What goes wrong, and what must be left as it was.

use crate::harness::Project;

const PARENT_AND_CHILDREN: &str = "-- migrate:parent base\n-- migrate:up\n\
    CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT);\n\
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE);\n\
    INSERT INTO parents VALUES (1, 'a'), (2, 'b');\nINSERT INTO children VALUES (1, 1), (2, 1), (3, 2);\n";

#[test]
fn a_syntax_error_in_the_third_of_five_points_at_its_place_and_changes_nothing() {
    let project = Project::new();
    project.migration(
        "a0",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE kept (x);\nINSERT INTO kept VALUES (7);\n",
    );
    project.run(&["upgrade"]).done();
    let before = project.bytes("app.db");
    for number in 1..=5 {
        let parent = format!("a{}", number - 1);
        let table = if number == 3 { "CREATE TABEL t3 (x)".to_owned() } else { format!("CREATE TABLE t{number} (x)") };
        project.migration(&format!("a{number}"), &format!("-- migrate:parent {parent}\n-- migrate:up\n{table};\n"));
    }
    project.run(&["upgrade"]).refused(&["sql-error", "migrations/a3.sql:3:8", "CREATE TABEL t3 (x)", "^^^^^"]);
    assert_eq!(project.bytes("app.db"), before);
}

#[test]
fn a_hand_written_rebuild_of_a_parent_keeps_every_child() {
    let project = Project::new();
    project.migration("a1", PARENT_AND_CHILDREN);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE new_parents (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n\
         INSERT INTO new_parents SELECT id, name FROM parents;\nDROP TABLE parents;\n\
         ALTER TABLE new_parents RENAME TO parents;\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM children"), "3");
}

#[test]
fn a_revision_that_leaves_rows_dangling_is_rolled_back_and_names_them() {
    let project = Project::new();
    project.migration("a1", PARENT_AND_CHILDREN);
    project.run(&["upgrade"]).done();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDELETE FROM parents WHERE id = 1;\n");
    project.run(&["upgrade"]).refused(&[
        "foreign-keys",
        "row 1 of `children`",
        "row 2 of `children`",
        "migrate:foreign-keys on",
    ]);
    assert_eq!(project.ask("SELECT count(*) FROM parents"), "2");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:foreign-keys on\n-- migrate:up\nDELETE FROM parents WHERE id = 1;\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM children"), "1");
}

#[test]
fn a_file_that_ends_the_transaction_by_itself_is_refused_at_that_line() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nCOMMIT;\n");
    project.run(&["upgrade"]).refused(&["forbidden-statement", "a1.sql:4:1", "no-transaction"]);
}

#[test]
fn a_verify_section_that_does_not_hold_rolls_back() {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n-- migrate:verify\nSELECT count(*) > 0 FROM t;\n",
    );
    project.run(&["upgrade"]).refused(&["verify-failed", "a1.sql:5:1", "gave 0"]);
    project.run(&["current"]).done().says("base");
}

#[test]
fn an_edited_or_missing_applied_file_is_refused() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.run(&["upgrade"]).done();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x, y);\n");
    project.run(&["upgrade"]).refused(&["error[edited]", "`dev`", "expected sha256:"]);
    project.migration("a1", "-- migrate:parent base\n-- so\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.run(&["upgrade"]).refused(&["edited-comments"]);
    project.migration("a1", "-- migrate:parent base\r\n-- migrate:up\r\nCREATE TABLE t (x);\r\n");
    project.run(&["upgrade"]).done();
    std::fs::remove_file(project.path("migrations/a1.sql")).unwrap();
    project.run(&["upgrade"]).refused(&["deleted", "a1"]);
}

#[test]
fn files_and_settings_that_cannot_be_read_say_why() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.run(&["-d", "sqllite:x.db", "upgrade"]).refused(&["sqlite:"]);
    project.run(&["-d", "tset", "upgrade"]).refused(&["write `test`"]);
    project.write(
        "app.db",
        "this is no database, and long enough to be looked at as one, which takes a hundred bytes or so.........",
    );
    project.run(&["upgrade"]).refused(&["no SQLite database"]);
    std::fs::remove_file(project.path("app.db")).unwrap();
    project.write("migrations/migrate.lock", "<<<<<<< HEAD\n");
    project.run(&["upgrade"]).refused(&["lock-conflict", "cargo migrate lock"]);
    project.write("migrations/migrate.lock", "format 1\na1  dra");
    project.run(&["upgrade"]).refused(&["lock-syntax", "in the middle of a line"]);
    assert!(!project.path("app.db").exists());
}

#[test]
fn eight_runners_at_once_end_with_one_that_applies_and_seven_with_nothing_to_do() {
    let project = Project::new();
    for number in 1..=20 {
        let parent = if number == 1 { "base".to_owned() } else { format!("a{:02}", number - 1) };
        project.migration(
            &format!("a{number:02}"),
            &format!("-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE t{number} (x);\n"),
        );
    }
    let runners: Vec<_> = (0..8)
        .map(|_| {
            project
                .command(&["upgrade"])
                .stderr(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut applied = 0;
    for runner in runners {
        let output = runner.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        applied += usize::from(said.contains("upgrade of 20 revisions"));
    }
    assert_eq!(applied, 1);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "20");
}

#[test]
fn a_revision_outside_a_transaction_that_fails_half_way_is_found_and_repaired() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.migration("a2", "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x);\nINSERT INTO missing VALUES (1);\n");
    project.run(&["upgrade", "--dry-run"]).refused(&["sql-error", "a2.sql:5:1"]);
    project.run(&["upgrade"]).refused(&["sql-error", "repair --finished a2", "repair --not-applied a2"]);
    project.run(&["upgrade"]).refused(&["interrupted", "a2"]);
    project.run(&["repair", "--not-applied", "a2"]).done();
    project.run(&["current"]).done().says("a1");
    assert!(!project.path("app.db-migrate").exists());
    project.database().execute_batch("DROP TABLE u; CREATE TABLE missing (x)").unwrap();
    project.run(&["upgrade", "--dry-run"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM missing"), "0");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM missing"), "1");
    assert_eq!(project.ask("SELECT group_concat(state) FROM _cargo_migrate"), "applied,applied");
}

#[test]
fn a_run_between_two_commits_is_waited_for() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nINSERT INTO t \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n;\nCREATE TABLE u (x);\n",
    );
    let runners: Vec<_> = (0..4).map(|_| project.command(&["-q", "upgrade"]).spawn().unwrap()).collect();
    for mut runner in runners {
        assert!(runner.wait().unwrap().success());
    }
    assert_eq!(project.ask("SELECT count(*) FROM t"), "300000");
}
