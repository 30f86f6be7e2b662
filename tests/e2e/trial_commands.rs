//! What a stranger met beside his databases: links, what killed processes leave, drawings, completions; and what SQLite
//! alone has, virtual tables and files that are not there.

use std::fs;

use crate::harness::{Project, table};

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
fn a_database_that_is_not_there_is_said_not_to_be() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    for look in ["status", "current"] {
        project.run(&[look]).done().says("note: there is no file ").says("app.db");
    }
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
