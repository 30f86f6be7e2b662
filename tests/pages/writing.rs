//! Commands that write migrations: merge, delete with its ranges and splices; and those that fix: seal, repair.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::{chain, table};

pages! {
    two_branches_are_joined_and_upgraded_past_the_merge,
    a_merge_of_one_revision_or_of_one_that_is_no_head_is_refused,
    a_revision_that_others_build_on_is_deleted_only_with_splice_and_only_where_they_are_drafts,
    a_spliced_merge_keeps_its_other_parents,
    a_range_is_deleted_with_both_its_ends,
    what_is_released_is_fixed_until_its_seal_is_broken_on_purpose,
    a_scratch_database_follows_an_edited_draft_by_itself,
    a_change_of_comments_is_accepted_on_purpose_and_a_change_of_statements_is_not,
    where_git_knows_the_old_text_repair_shows_what_changed,
    a_renamed_package_gets_its_rows_back,
    a_dependency_on_another_package_is_named_or_refused,
    of_several_interrupted_revisions_one_is_settled_by_its_whole_name,
    a_run_past_an_interrupted_revision_is_refused_whichever_way_it_went,
    a_scratch_database_starts_again_and_any_other_is_not_emptied,
    a_stamp_is_previewed_as_a_script_that_does_the_same,
    a_draft_that_cannot_be_read_is_removed_as_the_message_says,
}

fn two_branches_are_joined_and_upgraded_past_the_merge(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "a"));
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &table("a1", "c"));
    project.run(&["upgrade"]).refused(&["2 heads", "cargo migrate merge heads"]);
    project.run(&["merge", "heads", "-m", "merge", "--rev-id", "m1"]).done().says("m1.sql").says("b1, c1");
    assert!(project.read("migrations/m1.sql").contains("-- migrate:parent b1, c1\n"));
    project.run(&["upgrade"]).done().says("Running upgrade b1, c1 -> m1");
    project.run(&["heads"]).done().says("m1");
    project.run(&["merge"]).done().says("`m1` is the only head");
    project.run(&["downgrade", "b1"]).done();
    project.run(&["current"]).done().says("b1").says("c1");
}

fn a_merge_of_one_revision_or_of_one_that_is_no_head_is_refused(ground: &dyn Ground) {
    let project = chain(ground);
    assert_eq!(project.run(&["merge", "d1"]).status, 2);
    project.run(&["merge", "b1", "d1"]).refused(&["not-a-head", "`b1`", "--splice"]);
    project.run(&["merge", "nope", "d1"]).refused(&["unknown-target"]);
}

fn a_revision_that_others_build_on_is_deleted_only_with_splice_and_only_where_they_are_drafts(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["delete", "b1"]).refused(&["built-on", "c1", "--splice"]);
    project.run(&["delete", "b1", "--splice"]).done().says("Spliced migrations/c1.sql").says("Deleted b1");
    assert!(project.read("migrations/c1.sql").starts_with("-- migrate:parent a1\n"));
    assert!(!project.path("migrations/b1.sql").exists());
    project.run(&["upgrade"]).done();

    project.run(&["delete", "d1"]).refused(&["still-applied"]);
    project.run(&["delete", "c1", "--splice", "--downgrade"]).refused(&["`d1` builds on `c1` and is applied"]);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "3");
}

fn a_spliced_merge_keeps_its_other_parents(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "a"));
    project.migration("b1", &table("a1", "b"));
    project.migration("c1", &table("a1", "c"));
    project.migration("m1", "-- migrate:parent b1, c1\n-- migrate:up\n");
    project.run(&["delete", "c1", "--splice"]).done();
    // `a1` is left out: `b1` stands on it already.
    assert!(project.read("migrations/m1.sql").starts_with("-- migrate:parent b1\n"));
    project.run(&["delete", "a1", "b1", "--splice"]).done();
    assert!(project.read("migrations/m1.sql").starts_with("-- migrate:parent base\n"));
}

fn a_range_is_deleted_with_both_its_ends(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["upgrade"]).done();
    project.run(&["delete", "d1:b1"]).refused(&["write the older one first"]);
    project.run(&["delete", "b1:"]).refused(&["still-applied", "`b1`", "`c1`", "`d1`"]);
    project.run(&["delete", "b1:d1", "--downgrade"]).done();
    project.run(&["history"]).done();
    project.run(&["current"]).done().says("a1");
    assert_eq!(project.tables(), ["t_a1"]);
    assert!(!project.read("migrations/migrate.lock").contains("b1"));
}

fn what_is_released_is_fixed_until_its_seal_is_broken_on_purpose(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["seal", "b1"]).done().says("Sealed a1").says("Sealed b1");
    let lock = project.read("migrations/migrate.lock");
    assert!(
        lock.lines().filter(|line| line.ends_with("  released")).count() == 2 && lock.contains("c1  draft"),
        "{lock}"
    );
    project.run(&["seal", "b1"]).done();
    assert_eq!(project.read("migrations/migrate.lock"), lock);

    // Applied and taken off again: released stays.
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "base"]).done();
    assert_eq!(project.read("migrations/migrate.lock"), lock);
    project.migration("a1", &table("base", "edited"));
    project.run(&["upgrade"]).refused(&["error[edited]", "`released`"]);
    project.run(&["seal"]).refused(&["error[edited]"]);
    project.migration("a1", &table("base", "t_a1"));

    project.run(&["delete", "b1", "--splice"]).refused(&["users' databases may have it", "seal --undo b1"]);
    project.run(&["seal", "a1", "--undo"]).refused(&["not-confirmed", "--yes"]);
    project.run(&["seal", "c1", "--undo"]).refused(&["not-sealed"]);
    project.run(&["seal", "a1", "--undo", "--yes"]).done().says("Unsealed a1").says("Unsealed b1");
    assert!(!project.read("migrations/migrate.lock").contains("released"));
    project.run(&["seal"]).done().says("Sealed d1");
}

fn a_scratch_database_follows_an_edited_draft_by_itself(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("c1", &table("b1", "edited"));
    project.run(&["-d", "test", "upgrade"]).done().says("Running downgrade d1 -> c1").says("Running upgrade b1 -> c1");
    assert_eq!(project.databases().tables("test"), ["edited", "t_a1", "t_b1", "t_d1"]);
    assert!(!project.run(&["-d", "test", "upgrade", "--sql"]).done().out.contains("CREATE TABLE"));
    project.migration("c1", &table("b1", "edited_again"));
    let script = project.run(&["-d", "test", "upgrade", "--sql"]).done().out;
    assert!(script.contains("DROP TABLE edited;") && script.contains("CREATE TABLE edited_again"), "{script}");
    project.run(&["-d", "test", "upgrade"]).done();
    // One that was removed comes off too, and what cannot come off names the way out.
    project.run(&["delete", "d1"]).refused(&["still-applied", "`test`"]);
    std::fs::remove_file(project.path("migrations/d1.sql")).unwrap();
    project.run(&["-d", "test", "upgrade"]).done().says("Running downgrade d1");
    project
        .migration("d1", "-- migrate:parent c1\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE d (x INTEGER);\n");
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration(
        "d1",
        "-- migrate:parent c1\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE dd (x INTEGER);\n",
    );
    project.run(&["-d", "test", "upgrade"]).refused(&["irreversible", "cargo migrate -d test reset"]);
    project.run(&["-d", "test", "reset"]).done();
}

fn a_change_of_comments_is_accepted_on_purpose_and_a_change_of_statements_is_not(ground: &dyn Ground) {
    let project = chain(ground);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("scratch = true", "shared = true"));
    project.run(&["upgrade"]).done();
    project.run(&["-d", "test", "upgrade"]).done();
    let edited = table("base", "t_a1")
        .replace("-- migrate:up", "-- Why.\n-- migrate:up")
        .replace("DROP TABLE", "DROP TABLE IF EXISTS");
    project.migration("a1", &edited);
    project.run(&["upgrade"]).refused(&["edited-comments", "cargo migrate repair"]);
    project.run(&["repair"]).done().says("Accepted another text of `a1`").says("1 row of");
    project.run(&["verify"]).done();
    project.run(&["repair"]).done().says("nothing to repair");
    // The other database has the old text's checksum still, and that stops nothing.
    project.run(&["-d", "test", "verify"]).done();
    project.run(&["-d", "test", "upgrade"]).done();
    project.run(&["verify"]).done();
    assert!(project.ask("SELECT down FROM _cargo_migrate WHERE revision = 'a1'").contains("IF EXISTS"));
    project.run(&["downgrade", "base"]).done();
    project.run(&["-d", "test", "downgrade", "base"]).refused(&["down-differs", "--down-from stored"]);

    project.migration("b1", &table("a1", "other"));
    project.run(&["repair"]).refused(&["error[edited]", "b1.sql"]);
    project.run(&["-d", "test", "upgrade"]).refused(&["error[edited]"]);
    project.migration("b1", &table("base", "t_b1"));
    project.run(&["repair"]).refused(&["error[edited]", "its parents"]);
}

fn where_git_knows_the_old_text_repair_shows_what_changed(ground: &dyn Ground) {
    let project = chain(ground);
    project.git(&["init", "-q"]);
    project.commit("as applied");
    project.run(&["upgrade"]).done();
    project.migration("a1", &table("base", "t_a1").replace("-- migrate:up", "-- Why.\n-- migrate:up"));
    project.git(&["commit", "-qam", "a comment"]);
    project.run(&["repair"]).done().says("+ -- Why.");
    project.migration("b1", &table("a1", "t_b1").replace("INTEGER", "TEXT"));
    project.run(&["repair"]).refused(&[
        "statement 1 was `CREATE TABLE t_b1 (id INTEGER PRIMARY KEY);`",
        "and is `CREATE TABLE t_b1 (id TEXT",
    ]);
    // In a hook git names the repository from the folder that the hook runs in.
    let ran = crate::harness::Ran::of(&project.command(&["repair"]).env("GIT_DIR", ".git").output().unwrap());
    ran.refused(&["statement 1 was `CREATE TABLE t_b1 (id INTEGER PRIMARY KEY);`"]);
}

fn a_renamed_package_gets_its_rows_back(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["upgrade"]).done();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("name = \"app\"", "name = \"new\""));
    project.run(&["current"]).refused(&["other-package", "repair --rename app=new"]);
    assert_eq!(project.run(&["repair", "--rename", "app=other"]).status, 2);
    // A database that cannot be written leaves the lock as it is.
    let lock = project.read("migrations/migrate.lock");
    let other = project.databases().occupied("dev");
    project.run(&["--wait", "0.1", "repair", "--rename", "app=new"]).refused(&["database-busy"]);
    assert_eq!(project.read("migrations/migrate.lock"), lock);
    drop(other);
    // Where the lock was lost too, the database says whose rows they are.
    std::fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
    std::fs::remove_file(project.path("migrations/migrate.local")).unwrap();
    project.run(&["upgrade"]).refused(&["other-package", "as those of `app`, not of `new`"]);
    project.run(&["repair", "--rename", "app=new"]).done().says("4 rows");
    project.run(&["upgrade"]).done().says("nothing to do");
    assert_eq!(project.list("SELECT DISTINCT package FROM _cargo_migrate"), ["new"]);
    assert!(project.read("migrations/migrate.lock").contains("\npackage new\n"));
}

fn a_dependency_on_another_package_is_named_or_refused(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["revision", "-m", "x", "--rev-id", "x1", "--depends-on", "accounts/a1"]).done();
    assert!(project.read("migrations/x1.sql").contains("-- migrate:depends accounts/a1\n"));
    for bad in ["q\n/a", "accounts/..", "accounts/a/b", "/a"] {
        project.run(&["revision", "-m", "y", "--rev-id", "y1", "--depends-on", bad]).refused(&["invalid-id"]);
    }
    assert!(!project.path("migrations/y1.sql").exists());
}

fn of_several_interrupted_revisions_one_is_settled_by_its_whole_name(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["upgrade"]).done();
    project.execute("UPDATE _cargo_migrate SET state = 'running' WHERE revision IN ('c1', 'd1')");
    project.run(&["repair", "--finished", "1"]).refused(&["not-interrupted", "c1, d1", "write more of the id"]);
    project.run(&["repair", "--finished", ""]).refused(&["not-interrupted"]);
    project.run(&["repair", "--finished", "c1"]).done();
    project.run(&["repair", "--finished", "d"]).done();
    project.run(&["verify"]).done();
}

fn a_run_past_an_interrupted_revision_is_refused_whichever_way_it_went(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["upgrade"]).done();
    for state in ["running", "reverting"] {
        project.execute(&format!("UPDATE _cargo_migrate SET state = '{state}' WHERE revision = 'd1'"));
        for arguments in [&["upgrade"][..], &["downgrade", "-1"], &["upgrade", "--dry-run"]] {
            project.run(arguments).refused(&["interrupted", "`d1`"]);
        }
    }
}

fn a_scratch_database_starts_again_and_any_other_is_not_emptied(ground: &dyn Ground) {
    let project = chain(ground);
    project.run(&["upgrade"]).done();
    project.run(&["reset"]).refused(&["not-scratch", "downgrade base"]);
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "4");

    let all = ["t_a1", "t_b1", "t_c1", "t_d1"];
    for _ in 0..2 {
        project.execute_on("test", "CREATE TABLE leftover (x INTEGER); INSERT INTO leftover VALUES (1)");
        project.run(&["-d", "test", "reset"]).done().says("Finished reset of 4 revisions");
        assert_eq!(project.databases().tables("test"), all);
        assert_eq!(project.ask_of("test", "SELECT count(*) FROM t_d1"), "0");
        project.execute_on("test", "INSERT INTO t_d1 VALUES (4)");
    }
    // Another process that holds it is waited for, and no longer than was said.
    let other = project.databases().occupied("test");
    let place = project.databases().shown("test");
    project.run(&["-d", "test", "--wait", "0.2", "reset"]).refused(&["database-busy", &place]);
    drop(other);
    // A revision that fails leaves a file as it was. A server's database is emptied first, so that it waits, empty, for
    // the next try.
    project.execute_on("test", "INSERT INTO t_a1 VALUES (7)");
    project.migration("e1", "-- migrate:parent d1\n-- migrate:up\nCREATE TABEL x (y INTEGER);\n");
    project.run(&["-d", "test", "reset"]).refused(&["sql-error", "e1.sql:3:8"]);
    match project.databases().dialect() {
        "sqlite" => assert_eq!(project.ask_of("test", "SELECT id FROM t_a1"), "7"),
        _ => assert!(project.databases().tables("test").is_empty()),
    }
    std::fs::remove_file(project.path("migrations/e1.sql")).unwrap();
    project.run(&["-d", "test", "reset"]).done().says("Finished reset of 4 revisions");
    assert_eq!(project.databases().tables("test"), all);
}

fn a_stamp_is_previewed_as_a_script_that_does_the_same(ground: &dyn Ground) {
    let project = chain(ground);
    project.configure("test", "shared = false");
    for database in ["dev", "test"] {
        project.run(&["-d", database, "upgrade", "b1"]).done();
    }
    let rows = "SELECT revision || ' ' || sequence || ' ' || seal || ' ' || down || ' ' || applied_count || ' ' || \
                coalesce(schema_hash, '-') FROM _cargo_migrate ORDER BY sequence";
    let before = project.list(rows);
    assert_eq!(project.list_of("test", rows), before);
    let script = project.run(&["stamp", "d1", "--sql"]).done().out;
    assert_eq!(project.list(rows), before);
    project.run(&["stamp", "d1"]).done();
    assert_ne!(project.list(rows), before);
    let (well, said) = project.databases().by_shell("test", &script);
    assert!(well, "{said}");
    assert_eq!(project.list_of("test", rows), project.list(rows));
}

fn a_draft_that_cannot_be_read_is_removed_as_the_message_says(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t_a1"));
    project.run(&["upgrade"]).done();
    let unclosed = "-- migrate:parent a1\n-- migrate:up\nSELECT 'it;\n";
    let way =
        "or, since no lock knows it as applied, be rid of it: remove migrations/b1.sql, then `cargo migrate lock`";
    for text in [unclosed.to_owned(), "\u{0}".to_owned(), " ".repeat((64 << 20) + 1)] {
        project.migration("b1", &text);
        for command in [&["delete", "b1"][..], &["status"], &["current"]] {
            project.run(command).refused(&[way]);
        }
    }
    std::fs::remove_file(project.path("migrations/b1.sql")).unwrap();
    project.run(&["lock"]).done();
    project.run(&["status"]).done();
    // Of what is applied the file is needed.
    project.migration("a1", unclosed);
    let ran = project.refuses(&["status"], &["error[unclosed]"]);
    assert!(!ran.err.contains("be rid of it"), "{}", ran.err);
}
