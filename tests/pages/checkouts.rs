//! What a checkout knows and does not know: other branches, databases out of reach, locks that are damaged or cannot be
//! written, markers that were not seen.

use std::fs;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    what_this_checkout_knows_to_be_applied_somewhere_out_of_reach_is_not_deleted,
    what_another_branch_has_applied_is_not_called_deleted,
    a_damaged_lock_of_this_checkout_is_not_looked_for_in_git,
    a_marker_that_is_mistyped_or_another_tool_s_does_not_run_as_part_of_the_upgrade,
    a_late_revision_of_an_earlier_date_keeps_its_place_once_what_is_applied_names_its_own,
    a_renamed_package_is_told_wherever_its_history_is_looked_at,
    a_lock_that_cannot_be_written_is_a_warning_and_nothing_more,
    a_name_for_a_scratch_database_that_is_one_to_be_kept_empties_nothing,
    settings_and_locks_that_cannot_be_read_say_why,
    a_file_that_changes_while_its_run_waits,
    a_section_that_leaves_a_transaction_open,
    packages_that_stand_on_one_another,
}

/// A project whose only other database cannot be reached at will: its URL is in a variable.
fn with_hidden(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}mine = {{ url = \"env:MINE\", shared = false }}\n"));
    project
}

fn what_this_checkout_knows_to_be_applied_somewhere_out_of_reach_is_not_deleted(ground: &dyn Ground) {
    let project = with_hidden(ground);
    project.migration("a1", &table("base", "t1"));
    let mine = project.url("mine");
    let mut upgrade = project.command(&["-d", "mine", "upgrade"]);
    assert!(upgrade.env("MINE", &mine).status().unwrap().success());
    assert!(project.read("migrations/migrate.local").contains("  mine\n"));

    project.refuses(&["delete", "a1"], &["not reached, so not asked: mine", "still-applied", "applied to `mine`"]);
    let mut delete = project.command(&["-d", "mine", "delete", "a1", "--downgrade"]);
    assert!(delete.env("MINE", &mine).status().unwrap().success());
    assert_eq!(project.databases().tables("mine"), [""; 0]);
}

/// `a1` is committed on two branches, `b1` on `feature` alone; `dev` has both, and `main` is checked out.
fn on_another_branch(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    let (lock, text) = (project.read("migrations/migrate.lock"), table("a1", "t2"));
    project.migration("b1", &text);
    project.run(&["upgrade"]).done();
    fs::remove_file(project.path("migrations/b1.sql")).unwrap();
    project.write("migrations/migrate.lock", &lock);
    project
}

fn what_another_branch_has_applied_is_not_called_deleted(ground: &dyn Ground) {
    let project = on_another_branch(ground);
    let ran = project.refuses(&["upgrade"], &["unknown-applied", "another git branch", "delete b1 --downgrade"]);
    assert!(!ran.err.contains("[deleted]"), "{}", ran.err);
    let ran = project.run(&["status"]).done();
    assert_eq!(ran.err.matches("error[").count(), 1, "{}", ran.err);
    // Other databases are not in the way, and nothing is forgotten of the one that is.
    project.run(&["-d", "test", "upgrade"]).done();
    assert!(project.read("migrations/migrate.local").contains("b1"));
    project.run(&["delete", "b1", "--downgrade"]).done();
    project.run(&["upgrade"]).done();

    project.migration("b1", &table("a1", "t2"));
    project.run(&["upgrade"]).done();
    fs::remove_file(project.path("migrations/b1.sql")).unwrap();
    let ran = project.run(&["status"]).done().says("[deleted]");
    assert_eq!(ran.err.matches("error[").count(), 1, "{}", ran.err);
}

fn a_damaged_lock_of_this_checkout_is_not_looked_for_in_git(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    let whole = project.read("migrations/migrate.local");
    for damaged in [&whole[..whole.len() - 9], "<<<<<<< HEAD\n", ""] {
        project.write("migrations/migrate.local", damaged);
        let ran = project.refuses(&["upgrade"], &["lock-syntax", "migrate.local", "remove this file"]);
        assert!(!ran.err.contains("git checkout"), "{}", ran.err);
    }
    fs::remove_file(project.path("migrations/migrate.local")).unwrap();
    project.run(&["upgrade"]).done();
    assert_eq!(project.read("migrations/migrate.local"), whole);
}

fn a_marker_that_is_mistyped_or_another_tool_s_does_not_run_as_part_of_the_upgrade(ground: &dyn Ground) {
    let project = Project::on(ground);
    let up = "CREATE TABLE t (x INTEGER);\n";
    for marker in [
        "-- migrate :down",
        "-- migrate.down",
        "/* migrate:down */",
        "-- +goose Down",
        "-- +migrate Down",
        "-- down",
        "--migrate-down",
        "-- @DOWN",
        "-- rambler down",
        "-- migrate:down transaction:false",
    ] {
        for start in ["-- migrate:parent base\n-- migrate:up\n", ""] {
            project.migration("a1", &format!("{start}{up}\n{marker}\nDROP TABLE t;\n"));
            let ran = project.refuses(&["upgrade"], &["invalid-directive", "a1.sql:"]);
            assert!(ran.err.contains("write `-- migrate:down`") || marker.contains("transaction"), "{}", ran.err);
        }
    }
    for prose in ["-- down to the last row", "-- migrate the rows of old users", "-- goose"] {
        project.migration("a1", &format!("{up}{prose}\nDELETE FROM t;\n"));
        project.run(&["upgrade", "--dry-run"]).done();
    }
}

fn a_late_revision_of_an_earlier_date_keeps_its_place_once_what_is_applied_names_its_own(ground: &dyn Ground) {
    let plain = |name: &str| format!("CREATE TABLE {name} (x INTEGER);\n");
    let project = Project::on(ground);
    project.migration("a1", &plain("a"));
    project.migration("c1", &plain("c"));
    project.migration("d1", &plain("d"));
    project.run(&["upgrade"]).done();
    project.migration("b1", &table("a1", "b"));
    let ran = project.refuses(
        &["upgrade", "heads"],
        &["slipped-in", "let `c1` name what it has followed so far", "`-- migrate:parent a1`", "cargo migrate repair"],
    );
    assert!(ran.err.contains("`-- migrate:parent d1`"), "{}", ran.err);
    // Each way out works.
    project.migration("b1", &table("d1", "b"));
    project.run(&["upgrade", "--dry-run"]).done();
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &format!("-- migrate:parent a1\n{}", plain("c")));
    project.run(&["repair"]).done();
    project.run(&["upgrade", "heads"]).done().says("Running upgrade a1 -> b1");
    project.run(&["verify"]).done();
}

fn a_renamed_package_is_told_wherever_its_history_is_looked_at(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.write("Cargo.toml", &project.read("Cargo.toml").replace("name = \"app\"", "name = \"shop\""));
    fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
    project.run(&["status"]).done().says("[other-package]").says("repair --rename app=shop");
    for look in ["current", "verify"] {
        project.refuses(&[look], &["other-package", "repair --rename app=shop"]);
    }
}

fn a_lock_that_cannot_be_written_is_a_warning_and_nothing_more(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["lock", "--dialect", project.databases().dialect()]).done();
    let lock = project.path("migrations/migrate.lock");
    let mut permissions = fs::metadata(&lock).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&lock, permissions).unwrap();
    project.configure("dev", "shared = true");
    let ran = project.run(&["upgrade"]).done().says("warning[file-access]").says("the lock could not be written");
    assert!(!ran.err.contains("error"), "{}", ran.err);
    project.run(&["current"]).done().says("a1");
}

fn a_name_for_a_scratch_database_that_is_one_to_be_kept_empties_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t1 VALUES (1)");
    let (manifest, test, dev) = (project.read("Cargo.toml"), project.url("test"), project.databases().absolute("dev"));
    project.write("Cargo.toml", &manifest.replace(&test, &dev));
    project.refuses(&["-d", "test", "reset"], &["invalid-setting", "`test` and `dev` are one ", "Cargo.toml"]);
    project.refuses(&["-d", &project.url("dev"), "upgrade"], &["invalid-setting"]);
    assert_eq!(project.ask("SELECT count(*) FROM t1"), "1");
}

fn settings_and_locks_that_cannot_be_read_say_why(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.run(&["-d", "sqllite:x.db", "upgrade"]).refused(&["sqlite:"]);
    project.run(&["-d", "tset", "upgrade"]).refused(&["write `test`"]);
    project.write("migrations/migrate.lock", "<<<<<<< HEAD\n");
    project.run(&["upgrade"]).refused(&["lock-conflict", "cargo migrate lock"]);
    project.write("migrations/migrate.lock", "format 1\na1  dra");
    project.run(&["upgrade"]).refused(&["lock-syntax", "in the middle of a line"]);
    assert!(project.databases().is_untouched("dev"));
}

fn a_file_that_changes_while_its_run_waits(ground: &dyn Ground) {
    let project = super::commands::half_applied(ground);
    let other = project.databases().occupied("dev");
    let mut command = project.command(&["--wait", "100", "upgrade"]);
    command.stderr(std::process::Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    // It says so when it has read the files and waits.
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(waiting.stderr.take().unwrap());
    while !said.contains("Waiting") {
        assert!(std::io::BufRead::read_line(&mut lines, &mut said).unwrap() > 0, "{said}");
    }
    project.migration("a2", &table("a1", "other"));
    drop(other);
    std::io::Read::read_to_string(&mut lines, &mut said).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("file-moved") && said.contains("run the command again"), "{said}");
    project.run(&["current"]).done().says("a1");
    project.run(&["upgrade"]).done();
}

fn a_section_that_leaves_a_transaction_open(ground: &dyn Ground) {
    let project = super::commands::half_applied(ground);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nBEGIN;\nCREATE TABLE t2 (x INTEGER);\n",
    );
    project.run(&["upgrade"]).refused(&["transaction-ended", "a2.sql", "COMMIT;", "repair --not-applied a2"]);
    assert_eq!(project.tables(), ["t1"]);
}

fn packages_that_stand_on_one_another(ground: &dyn Ground) {
    let project = Project::on(ground);
    let dev = project.databases().own("dev");
    project.write(
        "Cargo.toml",
        &format!("[workspace]\nmembers = [\"shop\", \"queue\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate.databases]\ndev = {dev}\n"),
    );
    for package in ["shop", "queue"] {
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[package.metadata.migrate]\ndatabase = \"dev\"\n"
        );
        project.write(&format!("{package}/Cargo.toml"), &manifest);
        project.write(&format!("{package}/src/lib.rs"), "");
    }
    project.write("queue/migrations/q1.sql", &table("base", "jobs"));
    let depends = table("base", "orders").replace("-- migrate:up", "-- migrate:depends queue/q1\n-- migrate:up");
    project.write("shop/migrations/s1.sql", &depends);
    project.run(&["ensure-version", "-p", "shop"]).done();
    // Without the manifest nobody knows of the other package.
    let url = project.url("dev");
    let alone = ["--manifest-path", "none", "--migrations", "shop/migrations", "--name", "shop", "-d", &url];
    fs::write(project.path("none"), "").unwrap();
    project.refuses(
        &[&alone[..], &["upgrade"]].concat(),
        &["dependency-not-applied", "`queue/q1`", "upgrade q1 -p queue"],
    );
    // What it depends on is applied with it.
    project.run(&["upgrade", "-p", "shop"]).done().says("queue: upgrade base -> q1").says("shop: upgrade base -> s1");
    project.refuses(&["downgrade", "base", "-p", "queue"], &["depended-on", "shop/s1", "first"]);
}
