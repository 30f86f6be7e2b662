//! What goes wrong, and what must be left as it was.

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    a_syntax_error_in_the_third_of_five_points_at_its_place_and_changes_nothing,
    a_file_that_ends_the_transaction_by_itself_is_refused_at_that_line,
    a_verify_section_that_does_not_hold_rolls_back,
    a_revision_that_takes_the_history_away_is_named_and_rolled_back,
    an_edited_or_missing_applied_file_is_refused,
    eight_runners_at_once_end_with_one_that_applies_and_seven_with_nothing_to_do,
    a_revision_outside_a_transaction_that_fails_half_way_is_found_and_repaired,
    a_dry_run_of_several_commits_is_made_on_a_copy,
    a_run_between_two_commits_is_waited_for,
    a_draft_that_no_run_takes_is_found_by_check,
}

fn a_syntax_error_in_the_third_of_five_points_at_its_place_and_changes_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration(
        "a0",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE kept (x INTEGER);\nINSERT INTO kept VALUES (7);\n",
    );
    project.run(&["upgrade"]).done();
    let before = project.databases().state("dev");
    for number in 1..=5 {
        let parent = format!("a{}", number - 1);
        let table = if number == 3 {
            "CREATE TABEL t3 (x INTEGER)".to_owned()
        } else {
            format!("CREATE TABLE t{number} (x INTEGER)")
        };
        project.migration(&format!("a{number}"), &format!("-- migrate:parent {parent}\n-- migrate:up\n{table};\n"));
    }
    project.run(&["upgrade"]).refused(&["sql-error", "migrations/a3.sql:3:8", "CREATE TABEL t3 (x INTEGER)", "^^^^^"]);
    assert_eq!(project.databases().state("dev"), before);
}

fn a_file_that_ends_the_transaction_by_itself_is_refused_at_that_line(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\nCOMMIT;\n");
    project.run(&["upgrade"]).refused(&["forbidden-statement", "a1.sql:4:1", "no-transaction"]);
}

fn a_verify_section_that_does_not_hold_rolls_back(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n-- migrate:verify\nSELECT count(*) > 0 FROM t;\n",
    );
    project.run(&["upgrade"]).refused(&["verify-failed", "a1.sql:5:1", &format!("gave {}", project.databases().no())]);
    project.run(&["current"]).done().says("base");
}

fn a_revision_that_takes_the_history_away_is_named_and_rolled_back(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.run(&["upgrade"]).done();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n");
    for statement in [
        "DELETE FROM _cargo_migrate",
        "DROP TABLE _cargo_migrate",
        "ALTER TABLE _cargo_migrate RENAME TO gone",
        "DELETE FROM _Cargo_Migrate WHERE revision = 'a1'",
    ] {
        let before = project.databases().state("dev");
        project.migration("a3", &format!("-- migrate:parent a2\n-- migrate:up\nSELECT 1;\n{statement};\n"));
        for arguments in [&["upgrade"][..], &["upgrade", "--per-revision", "a3"]] {
            let words = ["error[forbidden-statement]: a3 took away rows of the version table", "a3.sql:4:1"];
            let ran = project.run(&[arguments, &["--no-backup"]].concat()).refused(&words);
            assert!(!ran.err.contains("a2.sql"), "{}", ran.err);
            if arguments.len() > 1 {
                project.run(&["current"]).done().says("a2");
                project
                    .databases()
                    .execute("dev", "DROP TABLE u; DELETE FROM _cargo_migrate WHERE revision = 'a2'")
                    .unwrap();
            } else {
                assert_eq!(project.databases().state("dev"), before, "{statement}");
            }
        }
    }
}

fn an_edited_or_missing_applied_file_is_refused(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.run(&["upgrade"]).done();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER, y INTEGER);\n");
    project.run(&["upgrade"]).refused(&["error[edited]", "`dev`", "expected sha256:"]);
    project.migration("a1", "-- migrate:parent base\n-- so\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.run(&["upgrade"]).refused(&["edited-comments"]);
    project.migration("a1", "-- migrate:parent base\r\n-- migrate:up\r\nCREATE TABLE t (x INTEGER);\r\n");
    project.run(&["upgrade"]).done();
    std::fs::remove_file(project.path("migrations/a1.sql")).unwrap();
    project.run(&["upgrade"]).refused(&["deleted", "a1"]);
}

fn eight_runners_at_once_end_with_one_that_applies_and_seven_with_nothing_to_do(ground: &dyn Ground) {
    let project = Project::on(ground);
    for number in 1..=20 {
        let parent = if number == 1 { "base".to_owned() } else { format!("a{:02}", number - 1) };
        project.migration(
            &format!("a{number:02}"),
            &format!("-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE t{number} (x INTEGER);\n"),
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

fn a_revision_outside_a_transaction_that_fails_half_way_is_found_and_repaired(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.migration("a2", "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO missing VALUES (1);\n");
    project.run(&["upgrade"]).refused(&["sql-error", "repair --finished a2", "repair --not-applied a2"]);
    project.run(&["upgrade"]).refused(&["interrupted", "a2"]);
    project.run(&["repair", "--not-applied", "a2"]).done();
    project.run(&["current"]).done().says("a1");
    assert!(!project.path("app.db-migrate").exists());
    project.execute("DROP TABLE u; CREATE TABLE missing (x INTEGER)");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM missing"), "1");
    assert_eq!(project.list("SELECT state FROM _cargo_migrate"), ["applied", "applied"]);
}

fn a_dry_run_of_several_commits_is_made_on_a_copy(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.migration("a2", "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO missing VALUES (1);\n");
    project.run(&["upgrade", "--dry-run"]).refused(&["sql-error", "a2.sql:5:1"]);
    assert!(project.databases().is_untouched("dev"));
    project.run(&["upgrade", "a1"]).done();
    project.execute("CREATE TABLE missing (x INTEGER)");
    project.run(&["upgrade", "--dry-run"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM missing"), "0");
    assert_eq!(project.tables(), ["missing", "t"]);
}

fn a_run_between_two_commits_is_waited_for(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\n");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nINSERT INTO t \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n;\nCREATE TABLE u (x INTEGER);\n",
    );
    let runners: Vec<_> = (0..4).map(|_| project.command(&["-q", "upgrade"]).spawn().unwrap()).collect();
    for mut runner in runners {
        assert!(runner.wait().unwrap().success());
    }
    assert_eq!(project.ask("SELECT count(*) FROM t"), "300000");
}

fn a_draft_that_no_run_takes_is_found_by_check(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\nCOMMIT;\n");
    project.refuses(&["check"], &["error[forbidden-statement]", "a1.sql:4:1"]);
    project.run(&["upgrade"]).refused(&["error[forbidden-statement]", "a1.sql:4:1"]);
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nSELECT 1;\n-- migrate:verify\nDELETE FROM t;\n");
    project.refuses(&["check"], &["error[forbidden-statement]", "a1.sql:5:1"]);
    project.migration("a1", "-- migrate:parent base\n-- migrate:no-transaction\n-- migrate:up\nBEGIN;\nCREATE TABLE t (x INTEGER);\nCOMMIT;\n");
    project.run(&["check"]).done();
    project.run(&["upgrade"]).done();
    project.run(&["check"]).done();
}
