//! What a stranger met: two databases and the wrong one changed, another branch taken for a deletion, a marker that was
//! not seen.

use std::fs;

use crate::harness::{Project, table};

/// A project whose only other database cannot be reached at will: its URL is in a variable.
fn with_hidden() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}mine = {{ url = \"env:MINE\", shared = false }}\n"));
    project
}

#[test]
fn what_this_checkout_knows_to_be_applied_somewhere_out_of_reach_is_not_deleted() {
    let project = with_hidden();
    project.migration("a1", &table("base", "t1"));
    let mut upgrade = project.command(&["-d", "mine", "upgrade"]);
    assert!(upgrade.env("MINE", "sqlite:mine.db").status().unwrap().success());
    assert!(project.read("migrations/migrate.local").contains("  mine\n"));

    project.refuses(&["delete", "a1"], &["not reached, so not asked: mine", "still-applied", "applied to `mine`"]);
    let mut delete = project.command(&["-d", "mine", "delete", "a1", "--downgrade"]);
    assert!(delete.env("MINE", "sqlite:mine.db").status().unwrap().success());
}

/// `a1` is applied to `dev` and to `prod`.
fn with_production() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}prod = {{ url = \"sqlite:prod.db\", shared = true }}\n"));
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.run(&["-d", "prod", "upgrade"]).done();
    project
}

#[test]
fn a_suggested_command_works_on_the_database_that_was_worked_on() {
    let project = with_production();
    project.refuses(&["-d", "prod", "downgrade", "-2"], &["`cargo migrate -d prod status`"]);
    let mut downgrade = project.command(&["downgrade", "-2"]);
    let output = downgrade.env("CARGO_MIGRATE_DATABASE", "prod").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`cargo migrate -d prod status`"), "{said}");
    project.refuses(&["downgrade", "-2"], &["`cargo migrate status`"]);
    let ran = project.run(&["--format", "json", "-p", "app", "-d", "prod", "downgrade", "-2"]);
    assert!(ran.json()["problems"][0]["help"][0].as_str().unwrap().contains("-p app -d prod status"), "{}", ran.out);
    project.refuses(
        &["--manifest-path", "Cargo.toml", "--migrations", "migrations", "show", "b1"],
        &["`cargo migrate --manifest-path Cargo.toml --migrations migrations history`"],
    );
}

#[test]
fn what_is_edited_is_taken_off_the_databases_that_have_it_and_a_first_revision_by_base() {
    let project = with_production();
    let text = project.read("migrations/a1.sql");
    project.migration("a1", &text.replace("(x)", "(y)"));
    project.refuses(&["upgrade"], &["`cargo migrate -d NAME downgrade base`, on each of these databases"]);
    project.migration("a1", &text);
    project.run(&["-d", "prod", "downgrade", "base"]).done();
    project.migration("a1", &text.replace("(x)", "(y)"));
    project.refuses(&["-d", "prod", "upgrade"], &["`cargo migrate -d dev downgrade base`"]);
    project.run(&["-d", "dev", "downgrade", "base"]).done();
    project.run(&["upgrade"]).done();
}

#[test]
fn one_of_several_first_revisions_is_taken_off_alone() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("z1", &table("base", "t2"));
    project.run(&["upgrade", "heads"]).done();
    project.migration("z1", &table("base", "t2").replace("(x)", "(y)"));
    project.refuses(&["upgrade", "heads"], &["`cargo migrate -d dev downgrade z1@base`"]);
    project.run(&["-d", "dev", "downgrade", "z1@base"]).done();
    project.run(&["current"]).done().says("a1");
}

#[cfg(unix)]
#[test]
fn a_scratch_name_of_a_database_that_is_kept_empties_nothing() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    std::os::unix::fs::symlink(project.path("app.db"), project.path("database_test.db")).unwrap();
    project.database().execute("INSERT INTO t1 VALUES (1)", []).unwrap();
    project.refuses(&["-d", "test", "reset"], &["invalid-setting", "`test` and `dev` are one file", "Cargo.toml"]);
    project.refuses(&["-d", "sqlite:app.db", "upgrade"], &["invalid-setting"]);
    assert_eq!(project.ask("SELECT count(*) FROM t1"), "1");
}

/// A project whose `dev` is protected, and `test` too.
fn protected() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    let manifest = manifest.replace("\"sqlite:app.db\"", "{ url = \"sqlite:app.db\", protected = true }");
    project.write("Cargo.toml", &manifest.replace("scratch = true", "scratch = true, protected = true"));
    project.migration("a1", &table("base", "t1"));
    project
}

#[test]
fn every_command_that_writes_a_protected_database_wants_a_yes() {
    let project = protected();
    project.write("app.db", "");
    project.write("database_test.db", "");
    for arguments in [&["ensure-version"][..], &["-d", "test", "reset"], &["upgrade"], &["stamp", "a1", "--purge"]] {
        project.refuses(arguments, &["not-confirmed", "is protected, and nobody can be asked here", "--yes"]);
        project.run(&[arguments, &["--yes"]].concat()).done();
    }
    project.refuses(&["downgrade", "base"], &["not-confirmed"]);
    project.run(&["downgrade", "base", "--yes"]).done();
    project.run(&["upgrade", "--yes"]).done();
    let text = project.read("migrations/a1.sql");
    project.migration("a1", &format!("-- Why.\n{text}"));
    project.refuses(&["repair"], &["not-confirmed", "--yes"]);
    project.run(&["repair", "--yes"]).done();
    project.run(&["verify"]).done();
    let manifest = project.read("Cargo.toml").replace("name = \"app\"", "name = \"shop\"");
    project.write("Cargo.toml", &manifest);
    project.refuses(&["repair", "--rename", "app=shop"], &["not-confirmed", "--yes"]);
    project.run(&["repair", "--rename", "app=shop", "--yes"]).done();
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_somebody_is_asked_before_a_protected_database_is_written() {
    let project = protected();
    project.write("app.db", "");
    for (line, name) in [("ensure-version", "dev"), ("stamp a1", "dev"), ("-d test reset", "test")] {
        // A habit is no agreement: the database's name has to be typed.
        for answer in ["n", "y", ""] {
            let ran = project.at_terminal(line).answer(answer);
            assert_eq!(ran.status, 1, "{}", ran.out);
            ran.says("write to ").says("nobody agreed");
        }
        project.at_terminal(line).answer(name).done();
    }
}

#[test]
fn a_database_that_was_given_as_a_url_does_not_freeze_a_draft_for_ever() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "sqlite:once.db", "upgrade", "--create"]).done();
    project.run(&["-d", "sqlite:once.db", "downgrade", "base"]).done();
    assert!(project.read("migrations/migrate.lock").contains("  url\n"));

    let text = project.read("migrations/a1.sql");
    project.migration("a1", &text.replace("(x)", "(y)"));
    project.refuses(&["upgrade"], &["error[edited]", "`cargo migrate seal --undo a1`"]);
    project.refuses(&["delete", "a1"], &["still-applied", "`cargo migrate seal --undo a1`"]);
    project.refuses(&["seal", "--undo", "a1"], &["not-confirmed", "given as a URL", "--yes"]);
    project.run(&["seal", "--undo", "a1", "--yes"]).done().says("Unsealed a1");
    project.run(&["upgrade"]).done();
}

/// `a1` is committed on two branches, `b1` on `feature` alone; `dev` has both, and `main` is checked out.
fn on_another_branch() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    let (lock, text) = (project.read("migrations/migrate.lock"), table("a1", "t2"));
    project.migration("b1", &text);
    project.run(&["upgrade"]).done();
    fs::remove_file(project.path("migrations/b1.sql")).unwrap();
    project.write("migrations/migrate.lock", &lock);
    project
}

#[test]
fn what_another_branch_has_applied_is_not_called_deleted() {
    let project = on_another_branch();
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

#[test]
fn a_damaged_lock_of_this_checkout_is_not_looked_for_in_git() {
    let project = Project::new();
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

#[test]
fn a_marker_that_is_mistyped_or_another_tool_s_does_not_run_as_part_of_the_upgrade() {
    let project = Project::new();
    let up = "CREATE TABLE t (x);\n";
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

#[test]
fn a_late_revision_of_an_earlier_date_keeps_its_place_once_what_is_applied_names_its_own() {
    let plain = |name: &str| format!("CREATE TABLE {name} (x);\n");
    let project = Project::new();
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

#[test]
fn a_renamed_package_is_told_wherever_its_history_is_looked_at() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.write("Cargo.toml", &project.read("Cargo.toml").replace("name = \"app\"", "name = \"shop\""));
    fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
    project.run(&["status"]).done().says("[other-package]").says("repair --rename app=shop");
    for look in ["current", "verify"] {
        project.refuses(&[look], &["other-package", "repair --rename app=shop"]);
    }
}

#[test]
fn what_a_killed_process_has_left_is_swept_and_what_is_being_written_is_not() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    let (old, new, other) =
        ("migrations/.cargo-migrate-4711-0.tmp", "migrations/.cargo-migrate-4712-0.tmp", "migrations/mine.tmp");
    for name in [old, new, other] {
        project.write(name, "half a");
    }
    for name in [old, other] {
        let an_hour = std::time::Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(project.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - an_hour).unwrap();
    }
    project.run(&["lock"]).done();
    assert_eq!([old, new, other].map(|name| project.path(name).exists()), [false, true, true]);
    project.run(&["init"]).done();
    assert!(project.read(".gitignore").contains("\n.cargo-migrate-*.tmp\n"));
}

#[test]
fn a_file_that_is_named_like_the_lock_of_a_split_run_is_kept() {
    let project = Project::new();
    project.write("app.db-migrate", "mine");
    project.migration("a1", "-- migrate:no-transaction\n-- migrate:up\nVACUUM;\n");
    project.run(&["upgrade"]).done();
    assert_eq!(project.read("app.db-migrate"), "mine");
}

#[test]
fn a_mistyped_target_is_answered_with_what_there_is() {
    let project = Project::new();
    project.migration("2025_01_01_001_users", &table("base", "t1"));
    project.migration("2025_01_02_001_orders", &table("2025_01_01_001_users", "t2"));
    project.refuses(&["upgrade", "hed"], &["unknown-target", "did you mean `head`?", "2025_01_02_001_orders"]);
    project.refuses(&["show", "oders"], &["did you mean `orders`?"]);
    let ran = project.run(&["upgrade", "base:head"]);
    assert!(ran.status == 2 && ran.err.contains("a range is for `--sql`"), "{}", ran.err);
    project.refuses(&["upgrade", "+3"], &["3 steps were asked for"]);
    project.refuses(&["downgrade", "-1"], &["1 step was asked for, and 0 revisions are applied"]);
}

#[test]
fn a_range_that_counts_back_does_so_from_every_head_of_the_database() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    for (id, parent) in [("b1", "a1"), ("b2", "b1"), ("c1", "a1"), ("c2", "c1")] {
        project.migration(id, &table(parent, id));
    }
    project.run(&["upgrade", "heads"]).done();
    let ran = project.run(&["history", "-r", "-1:current"]).done();
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
}

#[test]
fn a_merge_with_nothing_to_do_is_one_document_too() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    let merged = project.run(&["--format", "json", "merge"]).done().json();
    assert_eq!(merged["command"], "merge");
    assert!(merged["revision"].is_null() && merged["file"].is_null());
}

#[test]
fn a_schema_leaves_out_what_a_virtual_table_makes_for_itself() {
    let project = Project::new();
    project.migration("a1", "CREATE VIRTUAL TABLE notes USING fts5(text);\nCREATE TABLE notes_of_mine (x);\n");
    project.run(&["upgrade"]).done();
    let ran = project.run(&["schema"]).done();
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
}

#[test]
fn a_member_of_a_workspace_with_databases_is_set_up_to_use_them() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"shop\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate]\ndatabase = \"main\"\n\n\
         [workspace.metadata.migrate.databases]\nmain = \"sqlite:all.db\"\n",
    );
    project.write("shop/Cargo.toml", "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    project.write("shop/src/lib.rs", "");
    project.run(&["init", "-p", "shop"]).done().says("`cargo migrate -p shop revision -m \"create todos\"`");
    assert!(!project.read("shop/Cargo.toml").contains("sqlite:"), "{}", project.read("shop/Cargo.toml"));
    project.run(&["revision", "-p", "shop", "-m", "x"]).done();
    project.run(&["upgrade", "-p", "shop"]).done().says("main (all.db)");
    let again = project.run(&["init", "-p", "shop"]).done();
    assert!(!again.err.contains("write the first revision"), "{}", again.err);
}

#[test]
fn a_scratch_database_is_told_to_follow_the_files() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("a1", &table("base", "t1").replace("(x)", "(y)"));
    let ran = project.run(&["-d", "test", "status"]).done().says("takes off first").says("pending   1");
    assert!(!ran.err.contains("error["), "{}", ran.err);
    project.run(&["-d", "test", "upgrade"]).done().says("upgrade of 1 revision, after 1 revision was taken off,");
}

#[test]
fn a_database_that_is_not_there_is_said_not_to_be() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    for look in ["status", "current"] {
        project.run(&[look]).done().says("note: there is no file ").says("app.db");
    }
}

#[test]
fn a_label_that_goes_with_its_revision_is_told() {
    let project = Project::new();
    project.migration("a1", &format!("-- migrate:label start\n{}", table("base", "t1")));
    project.migration("b1", &table("a1", "t2"));
    project.run(&["delete", "a1", "--splice"]).done().says("`-- migrate:label start` in b1.sql");
}

#[test]
fn a_lock_that_cannot_be_written_is_a_warning_and_nothing_more() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.run(&["lock"]).done();
    let lock = project.path("migrations/migrate.lock");
    let mut permissions = fs::metadata(&lock).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&lock, permissions).unwrap();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("\"sqlite:app.db\"", "{ url = \"sqlite:app.db\", shared = true }"));
    let ran = project.run(&["upgrade"]).done().says("warning[file-access]").says("the lock could not be written");
    assert!(!ran.err.contains("error"), "{}", ran.err);
}

#[test]
fn a_graph_keeps_apart_what_is_not_connected() {
    let project = Project::new();
    for (id, parent) in [("a1", "base"), ("a2", "a1"), ("b2", "a1"), ("c1", "a2, b2"), ("z1", "base")] {
        project.migration(id, &table(parent, id));
    }
    let graph = |range: &[&str]| {
        let ran = project.run(&[&["history", "--graph"], range].concat()).done();
        ran.out.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(graph(&[]), ["*", "", "*", "|\\", "| *", "* |", "|/", "*"]);
    // What leads out of the range leads nowhere.
    assert_eq!(graph(&["-r", "b2:c1"]), ["*", "*"]);
}

#[cfg(unix)]
#[test]
fn bash_completes_both_forms_and_leaves_the_rest_to_cargo_s_own() {
    let project = Project::new();
    project.write("migrate.bash", &project.run(&["completions", "bash"]).done().out);
    let completed = |before: &str, words: &str| {
        let script = format!(
            "{before}\nsource migrate.bash; source migrate.bash\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             [[ $(complete -p ${{COMP_WORDS[0]}}) =~ -F\\ ([^ ]+) ]]\n\
             ${{BASH_REMATCH[1]}} ${{COMP_WORDS[0]}} \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\necho ${{COMPREPLY[@]}}"
        );
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", &script]).current_dir(project.path(""));
        String::from_utf8(bash.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("", "cargo-migrate upg"), "upgrade");
    assert_eq!(completed("", "cargo migrate upg"), "upgrade");
    assert_eq!(completed("", "cargo migrate history --gr"), "--graph");
    assert_eq!(completed("", "cargo migrate ensure-version --ye"), "--yes");
    assert_eq!(completed("", "cargo mig"), "migrate");
    let own = "_cargo() { COMPREPLY=(bench build); }; complete -F _cargo cargo";
    assert_eq!(completed(own, "cargo b"), "bench build");
    assert_eq!(completed(own, "cargo migrate upg"), "upgrade");
}
