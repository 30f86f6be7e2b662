//! Before a run that can lose data it is said what, and a backup is made.

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    a_failed_upgrade_and_a_blind_downgrade_cost_nobody_a_table,
    what_loses_nothing_makes_no_backup,
    rows_that_are_changed_deleted_or_replaced_are_kept_first,
    the_configuration_and_the_command_line_decide,
    without_its_backup_a_run_does_not_start,
    what_the_record_says_is_kept_before_it_is_emptied,
    trying_again_does_not_push_out_what_was_kept_before,
    only_so_many_stay,
    what_could_be_lost_is_told_by_a_dry_run_too,
}

/// A project with rows in a database at head: `a` makes a table, `b` adds a column, `c` drops another table.
pub fn with_rows(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);\n-- migrate:down\nDROP TABLE t;\n");
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    project
}

fn add_column(project: &Project) {
    project.migration("b", "-- migrate:parent a\n-- migrate:up\nALTER TABLE t ADD COLUMN y TEXT;\n-- migrate:down\nALTER TABLE t DROP COLUMN y;\n");
}

fn backups(project: &Project) -> usize {
    let ran = project.run(&["backups", "--format", "json"]).done().json();
    ran["backups"].as_array().unwrap().len()
}

fn a_failed_upgrade_and_a_blind_downgrade_cost_nobody_a_table(ground: &dyn Ground) {
    let project = with_rows(ground);
    // Given an upgrade that fails, so that nothing of it is there.
    project.migration("b", "-- migrate:parent a\n-- migrate:up\nALTER TABLE t ADD COLUMN y TEXT;\nCREATE UNIQUE INDEX u ON t (length(x));\n");
    project.run(&["upgrade"]).refused(&["error[sql-error]"]);
    assert_eq!(backups(&project), 0, "adding a column loses nothing");
    // When somebody takes "it" back, which takes back the revision before, and its table with all rows.
    let ran = project.run(&["downgrade", "-1"]).done();
    assert!(ran.err.contains("it can lose data: `t` is dropped"), "{}", ran.err);
    assert!(ran.err.contains("Backup .migrate/backups/"), "{}", ran.err);
    // Then the rows are one command away.
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t ORDER BY id"), ["one", "two"]);
    project.run(&["check"]).done();
}

fn what_loses_nothing_makes_no_backup(ground: &dyn Ground) {
    let project = with_rows(ground);
    add_column(&project);
    let ran = project.run(&["upgrade"]).done();
    assert!(!ran.err.contains("lose") && !ran.err.contains("Backup"), "{}", ran.err);
    project.run(&["downgrade", "-1", "--dry-run"]).done();
    assert_eq!(backups(&project), 0);
    // Nor does what has no rows.
    let new = project.databases().absolute("new");
    project.run(&["upgrade", "-d", &new, "--create"]).done();
    project.run(&["downgrade", "base", "-d", &new]).done();
    project.run(&["upgrade", "-d", "test"]).done();
    project.run(&["downgrade", "base", "-d", "test"]).done();
    assert_eq!(backups(&project), 0);
}

fn rows_that_are_changed_deleted_or_replaced_are_kept_first(ground: &dyn Ground) {
    for statement in [
        "UPDATE t SET x = 'all'",
        "DELETE FROM t",
        "INSERT INTO t VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET x = 'new'",
        "DROP TABLE t",
    ] {
        let project = with_rows(ground);
        project.migration("b", &format!("-- migrate:parent a\n-- migrate:up\n{statement};\n"));
        let ran = project.run(&["upgrade"]).done();
        assert!(ran.err.contains("it can lose data: ") && ran.err.contains("Backup"), "{statement}\n{}", ran.err);
        project.run(&["restore", "--yes"]).done();
        assert_eq!(project.list("SELECT x FROM t ORDER BY id"), ["one", "two"], "{statement}");
    }
}

fn the_configuration_and_the_command_line_decide(ground: &dyn Ground) {
    let project = with_rows(ground);
    add_column(&project);
    let manifest = project.read("Cargo.toml");
    let policy = |word: &str| {
        project.write(
            "Cargo.toml",
            &manifest.replace("database = \"dev\"", &format!("database = \"dev\"\nbackup = \"{word}\"")),
        );
    };
    policy("always");
    project.run(&["upgrade"]).done().says("Backup");
    project.run(&["downgrade", "-1", "--no-backup"]).done();
    assert_eq!(backups(&project), 1);
    policy("never");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(backups(&project), 1);
    // Of the same state one would stay.
    project.execute("INSERT INTO t VALUES (3, 'three')");
    project.run(&["upgrade", "--backup"]).done();
    assert_eq!(backups(&project), 2);
    assert_eq!(project.run(&["upgrade", "--backup", "--no-backup"]).status, 2);
}

fn without_its_backup_a_run_does_not_start(ground: &dyn Ground) {
    let project = with_rows(ground);
    project.write(".migrate", "a file where the folder should be");
    project.run(&["downgrade", "-1"]).refused(&["without it nothing was run", "--no-backup"]);
    assert_eq!(project.ask("SELECT count(*) FROM t"), "2");
    project.run(&["downgrade", "-1", "--no-backup"]).done();
}

fn what_the_record_says_is_kept_before_it_is_emptied(ground: &dyn Ground) {
    let project = with_rows(ground);
    project.run(&["stamp", "base", "--purge"]).done();
    assert_eq!(backups(&project), 1);
    project.run(&["restore", "--yes"]).done();
    project.run(&["upgrade"]).done().says("nothing to do");
}

fn trying_again_does_not_push_out_what_was_kept_before(ground: &dyn Ground) {
    let project = with_rows(ground);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nkeep = 2"));
    // Given a backup from before some rows were deleted.
    project.migration(
        "b",
        "-- migrate:parent a\n-- migrate:up\nDELETE FROM t WHERE id = 1;\n-- migrate:down\nSELECT 1;\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(backups(&project), 1);
    // When the next upgrade fails again and again, each time after a backup of the same state.
    project.migration("c", "-- migrate:parent b\n-- migrate:up\nDELETE FROM t;\nINSERT INTO missing VALUES (1);\n");
    for _ in 0..4 {
        project.run(&["upgrade"]).refused(&["error[sql-error]"]);
    }
    // Then the first one is still there.
    assert_eq!(backups(&project), 2);
    let listed = project.run(&["backups", "--format", "json"]).done().json();
    let oldest = listed["backups"][1]["file"].as_str().unwrap().to_owned();
    project.run(&["restore", "--yes", &oldest]).done();
    assert_eq!(project.ask("SELECT count(*) FROM t"), "2");
}

fn only_so_many_stay(ground: &dyn Ground) {
    let project = with_rows(ground);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nkeep = 2"));
    project.run(&["backup"]).done();
    for id in 3..7 {
        project.execute(&format!("INSERT INTO t VALUES ({id}, 'more')"));
        project.run(&["stamp", "a", "--purge"]).done();
    }
    assert_eq!(backups(&project), 3, "the one made by hand, and the last two");
}

fn what_could_be_lost_is_told_by_a_dry_run_too(ground: &dyn Ground) {
    let project = with_rows(ground);
    project.configure("dev", "shared = false, protected = true");
    for command in [&["downgrade", "-1"][..], &["downgrade", "base"]] {
        project.run(command).refused(&["error[not-confirmed]", "`--dry-run`"]);
        let ran = project.run(&[command, &["--dry-run"]].concat()).done();
        assert!(ran.err.contains("it can lose data: `t` is dropped"), "{}", ran.err);
        assert!(!ran.err.contains("backup"), "{}", ran.err);
    }
    // The file of what is applied is on another branch.
    project.run(&["lock", "--dialect", project.databases().dialect()]).done();
    project.migration("b", "-- migrate:parent a\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO u VALUES (1);\n-- migrate:down\nDROP TABLE u;\n");
    project.run(&["upgrade", "--yes"]).done();
    std::fs::remove_file(project.path("migrations/b.sql")).unwrap();
    let shared = project.read("migrations/migrate.lock");
    let without: String =
        shared.lines().filter(|line| !line.starts_with("b ")).map(|line| format!("{line}\n")).collect();
    project.write("migrations/migrate.lock", &without);
    let ran = project.run(&["sync", "b", "--dry-run"]).done();
    assert!(ran.err.contains("it can lose data: `u` is dropped"), "{}", ran.err);
    assert_eq!(backups(&project), 0);
    assert_eq!(project.list("SELECT x FROM t ORDER BY id"), ["one", "two"]);
}
