//! Copies of a database that packages share: rehearsed on, kept, emptied and brought back as a whole.

use crate::pages::ground::Ground;
use crate::pages::workspaces::{migration, rows, shop};

pages! {
    a_rehearsal_of_a_workspace_tries_all_packages_on_one_copy,
    a_database_of_a_workspace_follows_a_change_of_branches,
    one_database_has_one_backup_whoever_shares_it,
    who_empties_a_scratch_database_empties_it_for_all_packages,
    what_a_restored_backup_has_of_other_packages_stands_in_their_locks,
}

fn a_rehearsal_of_a_workspace_tries_all_packages_on_one_copy(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "-p", "accounts"]).done();
    let before = project.databases().state("dev");
    project.run(&["test"]).done();
    let ran = project.run(&["test", "--workspace"]).done();
    assert!(ran.out.contains("orders/0_orders") && ran.out.contains("catalog/c1_products"), "{}", ran.out);
    assert_eq!(project.databases().state("dev"), before);
    let found = project.run(&["test", "--workspace", "--format", "json"]).done().json();
    assert_eq!(found["revisions"][1]["package"], "orders");
    // What is not safe is named with its package.
    migration(&project, "catalog", "c2_bad", "", "CREATE TABLE t (x INTEGER);", "SELECT 1;");
    let ran = project.run(&["test", "--workspace"]);
    assert!(ran.status == 1 && ran.err.contains("catalog/c2_bad"), "{}", ran.err);
    project.run(&["test", "-p", "orders"]).done();
}

fn a_database_of_a_workspace_follows_a_change_of_branches(ground: &dyn Ground) {
    let project = shop(ground);
    migration(
        &project,
        "orders",
        "1_more",
        "-- migrate:depends accounts/a3_more",
        "CREATE TABLE more (x INTEGER);",
        "DROP TABLE more;",
    );
    migration(&project, "accounts", "a3_more", "", "CREATE TABLE a_more (x INTEGER);", "DROP TABLE a_more;");
    project.run(&["upgrade", "--workspace"]).done();
    // The other branch has neither.
    for file in ["crates/orders/migrations/1_more", "crates/accounts/migrations/a3_more"] {
        std::fs::remove_file(project.path(&format!("{file}.sql"))).unwrap();
    }
    for package in ["orders", "accounts"] {
        std::fs::remove_file(project.path(&format!("crates/{package}/migrations/migrate.local"))).unwrap();
    }
    project.run(&["sync", "--workspace"]).done();
    assert_eq!(rows(&project).len(), 4);
}

fn one_database_has_one_backup_whoever_shares_it(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    let made = project.run(&["backup", "--workspace", "--format", "json"]).done().json();
    assert!(made["file"].as_str().unwrap().contains(".migrate"), "{made}");
    let of_packages = project.run(&["backups", "--workspace", "--format", "json"]).done().json();
    for of in of_packages["packages"].as_array().unwrap() {
        assert_eq!(of["backups"].as_array().unwrap().len(), 1, "{of}");
    }
}

fn who_empties_a_scratch_database_empties_it_for_all_packages(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["-d", "test", "upgrade", "--workspace"]).done();
    project.run(&["-d", "test", "reset", "-p", "accounts"]).done().says("other packages are emptied too");
    project.run(&["-d", "test", "reset", "--workspace"]).done();
    assert_eq!(project.ask_of("test", "SELECT count(*) FROM _cargo_migrate"), "4");
}

fn what_a_restored_backup_has_of_other_packages_stands_in_their_locks(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    let made = project.run(&["backup", "-p", "catalog", "--format", "json"]).done().json();
    project.run(&["downgrade", "base", "-p", "orders"]).done();
    assert!(!project.read("crates/orders/migrations/migrate.local").contains("0_orders"));
    project.run(&["restore", "-p", "catalog", "--yes", made["file"].as_str().unwrap()]).done();
    assert!(project.read("crates/orders/migrations/migrate.local").contains("0_orders"));
    assert_eq!(rows(&project).len(), 4);
}
