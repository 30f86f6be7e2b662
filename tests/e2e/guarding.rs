//! The build-script guard: real packages with a `build.rs`, and real builds that it refuses.

use std::fs;

use crate::embedding::{NAMES, Package, USERS, refused};

const ALONE: &str = "fn main() { build_support::guard(\"migrations\"); }\n";
const WITH_DATABASE: &str =
    "fn main() { build_support::guard::Guard::new(\"migrations\").database(\"app.db\").run(); }\n";

fn guarded(name: &str, build_script: &str) -> Package {
    let package = Package::with(name, "[build-dependencies]\nbuild-support = { path = \"ROOT/build-support\" }\n");
    package.project.write("build.rs", build_script);
    package.project.write("src/lib.rs", "");
    package
}

/// The locks as they were before anything was applied: what a program applies by itself is in no lock.
fn forget_in_the_locks(package: &Package) {
    let _ = fs::remove_file(package.project.path("migrations/migrate.local"));
    fs::remove_file(package.project.path("migrations/migrate.lock")).unwrap();
    package.project.run(&["lock"]).done();
    assert!(!package.project.read("migrations/migrate.lock").contains("sha256"));
}

#[test]
fn an_edited_migration_is_refused_in_cargo_s_own_error_lines() {
    let package = guarded("guarded-edit", ALONE);
    package.cargo(&["check"]).done();
    package.project.run(&["upgrade"]).done();
    package.cargo(&["check"]).done();
    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    let ran = package.cargo(&["check"]);
    refused(
        &ran,
        &[
            "error: guarded-edit@0.1.0: error[edited]: this file was edited after it was applied",
            "error: guarded-edit@0.1.0:   --> migrations/001_users.sql",
            "`001_users` is applied to `dev` (migrate.local)",
            "help: put the file back",
            "help: or take it off first",
            "help: or leave it as it was and write the change as a new revision",
        ],
    );
    package.edit("migrations/001_users.sql", &USERS.replace("Create users.", "Create all users."));
    refused(&package.cargo(&["check"]), &["edited-comments", "cargo migrate repair"]);
    package.project.run(&["repair"]).done();
    package.cargo(&["check"]).done();
    fs::remove_file(package.project.path("migrations/002_names.sql")).unwrap();
    refused(&package.cargo(&["check"]), &["error[deleted]", "002_names"]);
    package.edit("migrations/002_names.sql", &NAMES.replace('\n', "\r\n"));
    package.cargo(&["check"]).done();
    package.edit("migrations/002_names.sql", "-- migrate:upp\n");
    refused(&package.cargo(&["check"]), &["unknown-directive", "migrations/002_names.sql:1:1"]);
}

#[test]
fn a_database_is_looked_into_where_the_locks_know_nothing() {
    for journal in ["delete", "wal"] {
        let package = guarded(&format!("guarded-{journal}"), WITH_DATABASE);
        package.cargo(&["check"]).done();
        let database = package.project.database();
        database.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
        // This connection stays open, so that nothing is copied from the log into the database.
        package.project.run(&["upgrade"]).done();
        forget_in_the_locks(&package);
        package.cargo(&["check"]).done();
        package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
        refused(
            &package.cargo(&["check"]),
            &["error[edited]", "`001_users` is applied to `app.db`", "expected sha256:"],
        );
        package.edit("migrations/001_users.sql", USERS);
        package.cargo(&["check"]).done();
        drop(database);

        // A revision of another git branch is no edit; one that the lock knows has been removed.
        let lock = package.project.read("migrations/migrate.lock");
        fs::remove_file(package.project.path("migrations/002_names.sql")).unwrap();
        refused(&package.cargo(&["check"]), &["error[deleted]", "002_names"]);
        package.edit("migrations/migrate.lock", &lock.replace("002_names  draft\n", ""));
        package.cargo(&["check"]).done();
        // The edit that was refused by the database is let through without one.
        package.edit("build.rs", ALONE);
        package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
        package.cargo(&["check"]).done();
    }
}

#[test]
fn what_cannot_be_looked_at_is_a_warning_and_the_lock_decides() {
    let package = guarded("guarded-unreadable", WITH_DATABASE);
    package.project.write("app.db", &"this is no database ".repeat(400));
    let ran = package.cargo(&["check"]).done();
    assert!(
        ran.err.contains("warning: guarded-unreadable@0.1.0: warning[database-not-looked-at]")
            && ran.err.contains("app.db"),
        "{}",
        ran.err
    );
    fs::remove_file(package.project.path("app.db")).unwrap();
    package.project.run(&["upgrade"]).done();
    package.project.write("app.db", &"this is no database ".repeat(400));
    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    refused(&package.cargo(&["check"]), &["error[edited]"]);
}

#[test]
fn a_database_that_changes_makes_nothing_compile_again() {
    let package = guarded("guarded-fresh", WITH_DATABASE);
    package.project.run(&["upgrade"]).done();
    let fresh = || {
        let ran = package.cargo(&["check", "--message-format=json"]).done();
        let line = ran
            .out
            .lines()
            .find(|line| line.contains("compiler-artifact") && line.contains("\"name\":\"guarded_fresh\""))
            .unwrap()
            .to_owned();
        line.contains("\"fresh\":true")
    };
    fresh();
    assert!(fresh());
    package.project.database().execute_batch("INSERT INTO users VALUES (1, 'a')").unwrap();
    assert!(fresh(), "the database is not what the build depends on");
    // Looking changes nothing in the folder either.
    for verb in [&["status"][..], &["current"], &["verify"], &["upgrade"], &["upgrade", "--dry-run"], &["history"]] {
        package.project.run(verb).done();
        assert!(fresh(), "{verb:?} touched the folder");
    }
    package.edit("migrations/002_names.sql", NAMES);
    assert!(!fresh());
}

#[test]
fn drafts_are_refused_where_debug_assertions_are_off() {
    let package = guarded("guarded-drafts", ALONE);
    let refusal = &["error[drafts]", "001_users, 002_names", "cargo migrate seal"];
    refused(&package.cargo(&["check", "--release"]), refusal);
    package.cargo_with(&["check", "--release"], &[("CARGO_MIGRATE_ALLOW_DRAFTS", "1")]).done();
    refused(&package.cargo(&["check", "--release"]), refusal);
    package.cargo_with(&["check", "--release"], &[("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")]).done();
    refused(&package.cargo_with(&["check"], &[("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")]), refusal);
    package
        .edit("build.rs", "fn main() { build_support::guard::Guard::new(\"migrations\").allow_drafts(true).run(); }\n");
    package.cargo(&["check", "--release"]).done();
    package.project.write("Cargo.toml.orig", "");
    package
        .edit("build.rs", "fn main() { build_support::guard::Guard::new(\"migrations\").allow_drafts(true).run() }\n");
    refused(&package.cargo(&["check"]), &["error[drafts]", "packaged crate"]);
    package.project.run(&["seal"]).done();
    package.cargo(&["check", "--release"]).done();
}

#[test]
fn two_developers_share_a_history_and_nobody_s_databases() {
    let package = guarded("guarded-two", ALONE);
    let lock = package.project.read("migrations/migrate.lock");
    package.project.run(&["upgrade"]).done();
    package.project.run(&["downgrade", "-1"]).done();
    package.project.run(&["upgrade"]).done();
    assert_eq!(package.project.read("migrations/migrate.lock"), lock, "git has nothing to say");
    // What the other one pushed: the same lock, an edited file that is a draft there.
    package.edit("migrations/001_users.sql", &USERS.replace("id INTEGER", "no INTEGER"));
    refused(&package.cargo(&["check"]), &["error[edited]", "migrate.local"]);
}
