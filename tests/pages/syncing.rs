//! `sync`: a database that follows the checkout from git branch to git branch.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    of_two_who_let_it_follow_at_once_one_is_told,
    the_database_follows_from_branch_to_branch,
    a_way_back_that_does_not_work_is_found_on_a_copy,
    what_is_declared_irreversible_stays,
    a_protected_database_loses_only_what_is_named,
    a_history_of_which_nothing_is_at_hand_is_most_likely_another_ones,
}

/// A project at `a` in git, with a database at `a`, `b` of which `b` stands on the branch `feature`; `main` is checked
/// out.
fn between_branches(ground: &dyn Ground, down: &str) -> Project {
    let project = Project::on(ground);
    project.migration("a", &table("base", "t_a"));
    project.write(".gitignore", "*.db*\nmigrate.local\n/.migrate/\n");
    project.run(&["lock"]).done();
    project.git(&["init", "-q", "-b", "main"]);
    project.commit("a");
    project.git(&["checkout", "-q", "-b", "feature"]);
    project.migration(
        "b",
        &format!(
            "-- migrate:parent a\n-- migrate:up\nCREATE TABLE t_b (x INTEGER);\nINSERT INTO t_b VALUES (1);\n{down}"
        ),
    );
    project.run(&["lock"]).done();
    project.commit("b");
    project.run(&["upgrade"]).done();
    project.git(&["checkout", "-q", "main"]);
    project
}

const DOWN: &str = "-- migrate:down\nDROP TABLE t_b;\n";

fn the_database_follows_from_branch_to_branch(ground: &dyn Ground) {
    let project = between_branches(ground, DOWN);
    // Given a database that has more than this branch knows.
    project.run(&["status"]).done().says("ahead of this checkout").says("cargo migrate sync");
    project.run(&["upgrade"]).refused(&["error[unknown-applied]", "cargo migrate sync"]);
    // What another branch has is no fault of this one, and is not passed over either.
    project.run(&["check"]).done().says("warning[unknown-applied]");
    // When this branch has a revision of its own, the database is beside it.
    project.migration("c", &table("a", "t_c"));
    project.run(&["lock"]).done();
    project.run(&["status"]).done().says("beside this checkout");
    project.run(&["sync", "--dry-run"]).done();
    assert_eq!(project.tables().join(" "), "t_a t_b");
    project.run(&["sync"]).done().says("Rehearsing").says("after 1 revision was taken off");
    // Then it is where this branch is, and back on the other one it follows again.
    assert_eq!(project.tables().join(" "), "t_a t_c");
    project.run(&["check"]).done();
    project.commit("c");
    project.git(&["checkout", "-q", "feature"]);
    project.run(&["sync"]).done();
    assert_eq!(project.tables().join(" "), "t_a t_b");
    project.run(&["sync"]).done().says("nothing to do");
    assert_eq!(project.databases().copies(), [""; 0], "a copy was left");
}

fn of_two_who_let_it_follow_at_once_one_is_told(ground: &dyn Ground) {
    let project = between_branches(ground, DOWN);
    crate::pages::scenarios::at_once(&project, &["sync"]);
    assert_eq!(project.tables().join(" "), "t_a");
}

fn a_way_back_that_does_not_work_is_found_on_a_copy(ground: &dyn Ground) {
    let project = between_branches(ground, "-- migrate:down\nDROP TABLE nowhere;\n");
    let before = project.databases().state("dev");
    project.run(&["sync"]).refused(&["error[sql-error]", "nowhere", "found on a copy"]);
    assert_eq!(project.databases().state("dev"), before);
}

fn what_is_declared_irreversible_stays(ground: &dyn Ground) {
    let project = between_branches(ground, "");
    project.git(&["checkout", "-q", "feature"]);
    project
        .migration("d", "-- migrate:parent b\n-- migrate:irreversible\n-- migrate:up\nCREATE TABLE t_d (x INTEGER);\n");
    project.run(&["lock"]).done();
    project.commit("d");
    project.run(&["upgrade"]).done();
    project.git(&["checkout", "-q", "main"]);
    project.refuses(&["sync"], &["error[irreversible]", "`d`"]);
}

fn a_protected_database_loses_only_what_is_named(ground: &dyn Ground) {
    let project = between_branches(ground, DOWN);
    project.configure("dev", "shared = false, protected = true");
    project.refuses(&["sync", "--yes"], &["error[name-them]", "cargo migrate sync b"]);
    project.refuses(&["sync", "--yes", "a"], &["error[name-them]"]);
    project.run(&["sync", "b"]).refused(&["error[not-confirmed]"]);
    assert_eq!(project.tables().join(" "), "t_a t_b");
    project.run(&["sync", "--yes", "b"]).done();
    assert_eq!(project.tables().join(" "), "t_a");
}

fn a_history_of_which_nothing_is_at_hand_is_most_likely_another_ones(ground: &dyn Ground) {
    let project = between_branches(ground, DOWN);
    project.write("other/x.sql", &table("base", "t_x"));
    let other = |more: &[&'static str]| [&["--migrations", "other"], more].concat();
    project.run(&other(&["lock", "--dialect", project.databases().dialect()])).done();
    // Where nothing is in common, the first way out is that another folder or another database was meant.
    let told = |said: &str| {
        let ways: Vec<&str> = said.lines().filter_map(|line| line.split_once("help: ").map(|(_, way)| way)).collect();
        assert!(ways[0].contains("`--migrations DIR`, `-d NAME`"), "{said}");
        assert_eq!(said.matches("[unknown-applied]").count(), 1, "{said}");
        assert!(said.contains("applied are `a`, `b`") && !said.contains("delete"), "{said}");
    };
    told(&project.refuses(&other(&["upgrade"]), &["error[unknown-applied]"]).err);
    let status = project.run(&other(&["status"])).done();
    told(&status.err);
    assert!(!format!("{}{}", status.out, status.err).contains("lets it follow"), "{}", status.err);
    // Then `sync` takes nobody's whole history off by the way, be the database protected or not.
    told(&project.refuses(&other(&["sync"]), &["error[unknown-applied]", "`--dry-run`", "`--yes`"]).err);
    told(&project.refuses(&other(&["check"]), &["error[unknown-applied]"]).err);
    project.run(&other(&["sync", "--dry-run"])).done();
    assert_eq!(project.tables().join(" "), "t_a t_b");
    project.run(&other(&["sync", "--yes"])).done();
    assert_eq!(project.tables().join(" "), "t_x");
}
