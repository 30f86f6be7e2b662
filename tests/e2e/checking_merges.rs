//! `check --against`, as far as git and a replay in SQLite decide: no database is asked.

use std::fs;
use std::process::Command;

use crate::harness::{Project, Ran, table};
use crate::pages::checking_branches::{
    TODOS, against_main, change_one_table, found, here, repository, revision, upstream,
};
use crate::pages::ground::Sqlite;

fn errors(codes: &[&str]) -> Vec<(String, String)> {
    codes.iter().map(|code| ((*code).to_owned(), "error".to_owned())).collect()
}

#[test]
fn what_is_not_committed_counts_as_it_stands_in_the_work_tree() {
    let project = repository(&Sqlite);
    upstream(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    project.migration("b2_tags", &table("a1_todos", "tags"));
    assert_eq!(found(&project), errors(&["forked-heads"]));
    // The draft that follows names what this checkout does not have yet, and the merge will bring.
    fs::remove_file(project.path("migrations/b2_tags.sql")).unwrap();
    assert_eq!(found(&project), []);
}

#[test]
fn one_name_for_two_revisions() {
    let project = repository(&Sqlite);
    upstream(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    here(&project, || project.migration("b1_users", &table("a1_todos", "people")));
    against_main(&project).refused(&[
        "error[added-twice]",
        "`b1_users`",
        "another name",
        "main:migrations/b1_users.sql",
    ]);
    project.migration("b1_users", &table("a1_todos", "users"));
    assert_eq!(found(&project), []);
    // On some systems these are one file.
    fs::remove_file(project.path("migrations/b1_users.sql")).unwrap();
    project.migration("B1_USERS", &table("a1_todos", "users"));
    against_main(&project).refused(&["error[duplicate-id]", "after the merge with `main`"]);
}

#[test]
fn a_draft_that_both_change_is_a_warning() {
    let project = repository(&Sqlite);
    let text = project.read("migrations/a1_todos.sql");
    upstream(&project, || project.migration("a1_todos", &text.replace("title TEXT", "title TEXT NOT NULL")));
    here(&project, || project.migration("a1_todos", &text.replace("done INTEGER", "done INTEGER NOT NULL")));
    against_main(&project).done().says("warning[changed-twice]").says("have both changed `a1_todos`");
    fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap();
    against_main(&project).done().says("`main` has changed `a1_todos`, and this branch has removed it");
    project.git(&["checkout", "-q", "main"]);
    fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap();
    project.commit("Without.");
    project.git(&["checkout", "-q", "feature"]);
    against_main(&project).done().says("this branch has changed `a1_todos`, and `main` has removed it");
}

/// A repository whose first revision is released on both branches.
fn released() -> Project {
    let project = repository(&Sqlite);
    project.run(&["seal"]).done();
    project.commit("Release.");
    project.git(&["branch", "-q", "-f", "main", "feature"]);
    project
}

#[test]
fn an_applied_file_that_others_edit_is_found_before_it_arrives() {
    let project = released();
    upstream(&project, || project.migration("a1_todos", &TODOS.replace("title TEXT", "title TEXT NOT NULL")));
    project.run(&["check"]).done();
    let ran = against_main(&project).refused(&[
        "error[edited]",
        "after the merge with `main`: this file was edited after it was applied",
        "main:migrations/a1_todos.sql",
        "`main` has edited it",
        "write the change as a new revision",
    ]);
    assert!(!ran.err.contains("downgrade"), "{}", ran.err);
    upstream(&project, || project.migration("a1_todos", &format!("-- Why.\n{TODOS}")));
    assert_eq!(found(&project), errors(&["edited-comments"]));
    upstream(&project, || fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap());
    against_main(&project).refused(&["error[deleted]", "`main` has removed it"]);
}

#[test]
fn an_edit_of_a_draft_that_others_have_released_meanwhile() {
    let project = repository(&Sqlite);
    upstream(&project, || drop(project.run(&["seal"]).done()));
    assert_eq!(found(&project), []);
    here(&project, || project.migration("a1_todos", &TODOS.replace("title TEXT", "title TEXT NOT NULL")));
    project.run(&["check"]).done();
    against_main(&project).refused(&[
        "error[edited]",
        "this branch has edited it",
        "git checkout main -- migrations/a1_todos.sql",
    ]);
    here(&project, || fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap());
    against_main(&project).refused(&["error[deleted]", "this branch has removed it"]);
}

#[test]
fn what_others_take_out_with_its_line_is_gone_for_good() {
    let project = repository(&Sqlite);
    here(&project, || project.write("src/lib.rs", "// Ours."));
    upstream(&project, || fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap());
    assert_eq!(found(&project), []);
}

#[test]
fn a_seal_that_others_have_broken_is_broken_here_too() {
    let project = released();
    here(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    upstream(&project, || {
        project.run(&["seal", "--undo", "a1_todos", "--yes"]).done();
        project.migration("a1_todos", &TODOS.replace("title TEXT", "title TEXT NOT NULL"));
    });
    assert_eq!(found(&project), []);
}

#[test]
fn what_is_wrong_here_without_a_merge_is_told_once() {
    let project = released();
    upstream(&project, || project.write("README.md", "What this is."));
    project.migration("a1_todos", &TODOS.replace("title TEXT", "title TEXT NOT NULL"));
    project.migration("b1_users", &table("a1_todos", "users"));
    project.migration("b2_tags", &table("a1_todos", "tags"));
    assert_eq!(found(&project), errors(&["edited", "ambiguous-target"]));
}

#[test]
fn a_fork_of_the_other_branch_alone_is_for_those_over_there() {
    let project = repository(&Sqlite);
    upstream(&project, || {
        project.migration("b1_users", &table("a1_todos", "users"));
        project.migration("b2_tags", &table("a1_todos", "tags"));
    });
    against_main(&project).done().says("warning[forked-heads]: `main` has 2 heads by itself: `b1_users`, `b2_tags`");
}

#[test]
fn two_texts_of_one_revision_that_were_both_released() {
    let project = repository(&Sqlite);
    upstream(&project, || drop(project.run(&["seal"]).done()));
    here(&project, || {
        project.migration("a1_todos", &TODOS.replace("title TEXT", "title TEXT NOT NULL"));
        project.run(&["seal"]).done();
    });
    against_main(&project).refused(&["error[lock-conflict]", "have sealed different texts of `a1_todos`"]);
}

#[test]
fn a_file_without_a_parent_that_would_come_before_one_that_is_there() {
    let project = repository(&Sqlite);
    let implicit =
        |name: &str| format!("-- migrate:up\nCREATE TABLE {name} (x);\n-- migrate:down\nDROP TABLE {name};\n");
    upstream(&project, || project.migration("c1_users", &implicit("users")));
    here(&project, || project.migration("b1_tags", &implicit("tags")));
    project.run(&["check"]).done();
    against_main(&project).refused(&[
        "error[slipped-in]",
        "`b1_tags` would slip in before `c1_users`",
        "-- migrate:parent c1_users",
    ]);

    // The other way round it follows what is there.
    project.git(&["mv", "migrations/b1_tags.sql", "migrations/d1_tags.sql"]);
    assert_eq!(found(&project), []);

    // What is released on the other branch, its lock knows.
    project.git(&["mv", "migrations/d1_tags.sql", "migrations/b1_tags.sql"]);
    upstream(&project, || drop(project.run(&["seal"]).done()));
    assert_eq!(found(&project), errors(&["slipped-in"]));
}

#[test]
fn a_parent_that_others_have_taken_out() {
    let project = repository(&Sqlite);
    upstream(&project, || fs::remove_file(project.path("migrations/a1_todos.sql")).unwrap());
    here(&project, || project.migration("b1_users", &table("a1_todos", "users")));
    against_main(&project).refused(&["error[missing-parent]", "after the merge with `main`", "`a1_todos`"]);
}

#[test]
fn what_a_replay_knows_of_both_sides_at_one_table() {
    for (ours, theirs, expected, words) in [
        (
            "ALTER TABLE todos DROP COLUMN done;",
            "UPDATE todos SET title = 'x' WHERE done;",
            "error",
            &["`done`: `c1_ours` drops it, `b1_theirs` reads it"][..],
        ),
        ("UPDATE todos SET title = 'a';", "UPDATE todos SET title = 'b';", "error", &["`title`"]),
        (
            "CREATE VIEW open AS SELECT title FROM todos WHERE NOT done;",
            "ALTER TABLE todos DROP COLUMN done;",
            "error",
            &["`done`: `c1_ours` reads it, `b1_theirs` drops it"],
        ),
        // Tables and views share their names, which no single statement says.
        ("CREATE TABLE people (id);", "CREATE VIEW people AS SELECT 1;", "error", &["error[merge-fails]", "people"]),
    ] {
        change_one_table(&Sqlite, ours, theirs, expected, words);
    }
}

#[test]
fn a_way_back_that_would_lose_what_others_have_added_is_a_warning() {
    let project = repository(&Sqlite);
    upstream(&project, || project.migration("b1_due", &revision("a1_todos", "ALTER TABLE todos ADD COLUMN due TEXT;")));
    let down =
        "CREATE TABLE old AS SELECT id, title, done FROM todos;\nDROP TABLE todos;\nALTER TABLE old RENAME TO todos;\n";
    let text = format!(
        "-- migrate:parent a1_todos\n-- migrate:up\nALTER TABLE todos ADD COLUMN priority;\n-- migrate:down\n{down}"
    );
    here(&project, || project.migration("c1_priority", &text));
    against_main(&project).refused(&["error[forked-heads]", "warning[same-table]", "makes and drops and alters"]);
}

#[test]
fn a_statement_that_only_the_program_can_run_is_no_reason_to_stop() {
    let project = repository(&Sqlite);
    upstream(&project, || {
        project.migration("b1_theirs", &revision("a1_todos", "ALTER TABLE todos ADD COLUMN due TEXT;"))
    });
    let ours = revision("a1_todos", "UPDATE todos SET title = uuid7();\nALTER TABLE todos ADD COLUMN due INTEGER;");
    here(&project, || project.migration("c1_ours", &ours));
    against_main(&project).refused(&[
        "warning[not-replayed]",
        "no such function: uuid7",
        "c1_ours.sql:3:1",
        "error[same-table]",
        "its column `due`",
    ]);
}

#[test]
fn a_statement_of_both_histories_that_only_the_program_can_run_is_told_once() {
    let project = repository(&Sqlite);
    let base = TODOS.replace("-- migrate:down", "INSERT INTO todos (title) VALUES (uuid7());\n-- migrate:down");
    project.migration("a1_todos", &base);
    project.commit("An id.");
    project.git(&["branch", "-q", "-f", "main", "feature"]);
    upstream(&project, || project.migration("b1_theirs", &revision("a1_todos", "CREATE TABLE users (x);")));
    here(&project, || project.migration("c1_ours", &revision("a1_todos", "CREATE TABLE tags (x);")));
    let mut all = found(&project);
    all.retain(|(code, _)| code != "forked-heads");
    assert_eq!(all, [("not-replayed".to_owned(), "warning".to_owned())]);
}

#[test]
fn a_package_in_a_folder_of_the_repository_whose_path_has_spaces() {
    let outer = Project::new();
    fs::remove_file(outer.path("Cargo.toml")).unwrap();
    fs::remove_dir(outer.path("migrations")).unwrap();
    outer.write(
        "the apps/to do/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n",
    );
    outer.write("the apps/to do/src/lib.rs", "");
    outer.write("the apps/to do/migrations/a1.sql", &table("base", "t"));
    // The same names elsewhere are another package's.
    outer.write("migrations/a1.sql", &table("base", "elsewhere"));
    outer.git(&["init", "-q", "-b", "main"]);
    outer.commit("Both.");
    outer.git(&["checkout", "-q", "-b", "feature"]);
    outer.git(&["checkout", "-q", "main"]);
    outer.write("the apps/to do/migrations/b1.sql", &table("a1", "u"));
    outer.write("migrations/b2.sql", &table("a1", "u"));
    outer.commit("Theirs.");
    outer.git(&["checkout", "-q", "feature"]);
    outer.write("the apps/to do/migrations/b2.sql", &table("a1", "v"));
    let check = |folder: &str| {
        let mut command = outer.command(&["check", "--against", "main"]);
        Ran::of(&command.current_dir(outer.path(folder)).output().unwrap())
    };
    let words =
        ["error[forked-heads]", "`b1`, `b2`", "main:the apps/to do/migrations/b1.sql", "1 revision of that one alone"];
    check("the apps/to do").refused(&words);
    check("the apps/to do/src").refused(&words);

    // The folder of migrations may be the repository.
    let alone = outer.path("the apps/to do/migrations");
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let done =
            command.current_dir(&alone).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).output();
        assert!(done.unwrap().status.success(), "{arguments:?}");
    };
    inside(&["init", "-q", "-b", "main"]);
    inside(&["add", "-A"]);
    inside(&["commit", "-q", "-m", "Ours."]);
    inside(&["checkout", "-q", "-b", "feature"]);
    inside(&["rm", "-q", "b2.sql"]);
    inside(&["commit", "-q", "-m", "Theirs."]);
    inside(&["checkout", "-q", "main"]);
    outer.write("the apps/to do/migrations/b2.sql", &table("a1", "edited"));
    check("the apps/to do").done();
    let mut command = outer.command(&["check", "--against", "feature"]);
    let ran = Ran::of(&command.current_dir(outer.path("the apps/to do")).output().unwrap());
    ran.done().says("this branch has changed `b2`, and `feature` has removed it");
    fs::remove_dir_all(alone.join(".git")).unwrap();
    outer.write("the apps/to do/migrations/b2.sql", &table("a1", "v"));

    // A hook of git's is told where the repository is, as seen from its top.
    let mut hook = outer.command(&["check", "--against", "main"]);
    hook.current_dir(outer.path("the apps/to do")).env("GIT_DIR", ".git").env("GIT_INDEX_FILE", ".git/index");
    Ran::of(&hook.output().unwrap()).refused(&words);
}

#[test]
fn a_branch_of_a_remote_in_a_clone_and_in_a_shallow_clone() {
    let origin = repository(&Sqlite);
    upstream(&origin, || origin.migration("b1_users", &table("a1_todos", "users")));
    here(&origin, || origin.migration("b2_tags", &table("a1_todos", "tags")));
    let clones = Project::new();
    let url = format!("file://{}", origin.path(".").display());
    clones.git(&["clone", "-q", "--branch", "feature", &url, "whole"]);
    clones.git(&["clone", "-q", "--branch", "feature", "--depth", "1", "--no-single-branch", &url, "shallow"]);
    clones.git(&["clone", "-q", "--branch", "feature", "--depth", "1", &url, "single"]);
    let check = |folder: &str| {
        let mut command = clones.command(&["check", "--against", "origin/main"]);
        Ran::of(&command.current_dir(clones.path(folder)).output().unwrap())
    };
    check("whole").refused(&["error[forked-heads]", "the merge with `origin/main`"]);
    check("shallow").refused(&["error[no-merge-base]", "shallow", "git fetch --unshallow", "fetch-depth: 0"]);
    check("single").refused(&["error[unknown-ref]", "git fetch origin main:refs/remotes/origin/main"]);
}

#[test]
fn a_ref_that_is_none() {
    let project = repository(&Sqlite);
    project.git(&["checkout", "-q", "--orphan", "alone"]);
    project.commit("Nothing before.");
    project.run(&["check", "--against", "main"]).refused(&["error[no-merge-base]", "no commit in common"]);
    for hostile in [
        "--upload-pack=touch x",
        "-h",
        "",
        "main\nHEAD",
        "\u{1b}[31m",
        "main..alone",
        "$(touch x)",
        "nowhere",
        "HEAD:migrations",
    ] {
        let argument = format!("--against={hostile}");
        project.refuses(&["check", &argument], &["error[unknown-ref]"]);
    }
}

#[test]
fn files_of_another_branch_cannot_drive_a_terminal_or_write_a_file() {
    let project = repository(&Sqlite);
    upstream(&project, || {
        project.migration(
            "b1_theirs",
            &revision(
                "a1_todos",
                "ALTER TABLE todos ADD COLUMN \"\u{1b}[31m\";\nVACUUM INTO 'x.db';\nATTACH 'y.db' AS y;",
            ),
        );
        project.write("migrations/b 2.sql", "SELECT 1;");
        project.write("migrations/b3.sql", "-- migrate:parnet a1_todos\n-- migrate:up\nSELECT 1;\n");
        fs::write(project.path("migrations/b4.sql"), b"\xFF\xFE\0").unwrap();
        fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
        project.write("migrations/migrate.lock", "format 7\n");
        project.commit("Damage.");
        for name in ["b 2", "b3", "b4"] {
            fs::remove_file(project.path(&format!("migrations/{name}.sql"))).unwrap();
        }
        fs::remove_file(project.path("migrations/migrate.lock")).unwrap();
    });
    let damaged = project.git(&["rev-parse", "main~1"]);
    here(&project, || {
        project.migration("c1_ours", &revision("a1_todos", "ALTER TABLE todos ADD COLUMN \"\u{1b}[31m\";"))
    });
    let ran = project.refuses(
        &["check", "--against", damaged.trim()],
        &[
            "error[invalid-id]",
            "error[unknown-directive]",
            "error[not-text]",
            "error[lock-format]",
            "error[same-table]",
        ],
    );
    assert!(ran.err.contains("b3.sql:1:1"), "{}", ran.err);
}

#[test]
fn outside_of_a_repository_and_without_git() {
    let project = Project::new();
    project.migration("a1", &table("base", "t"));
    project.run(&["lock"]).done();
    project.refuses(&["check", "--against", "main"], &["error[no-repository]", "git says:"]);
    let mut command = project.command(&["check", "--against", "main", "--migrations", "migrations", "--name", "app"]);
    let ran = Ran::of(&command.env("PATH", project.path("nothing")).output().unwrap());
    ran.refused(&["error[no-git]", "install git"]);
}
