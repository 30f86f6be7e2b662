//! What one package of a workspace may not do to the others, and what it is told.

use crate::pages::ground::Ground;
use crate::pages::workspaces::{member, migration, rows, shop};

pages! {
    a_package_that_others_stand_on_stays_until_they_are_off,
    the_way_back_needs_no_file_of_what_a_package_stands_on,
    a_lock_that_is_up_to_date_still_tells_of_a_file_that_is_gone,
    what_is_wrong_in_one_package_is_mended_there,
    two_heads_in_one_package_of_several_name_it,
    a_package_that_left_the_workspace_can_still_be_taken_back,
    a_key_that_files_of_other_packages_name_is_kept,
    what_is_sealed_on_a_draft_of_another_package_is_told,
    packages_that_disagree_on_their_database_are_told_by_check,
    what_is_one_packages_is_asked_of_one_package,
    a_circle_through_packages_is_drawn_before_anything_runs,
    a_dependency_that_its_package_does_not_have,
    two_packages_that_make_one_table_are_told_apart_before_anything_runs,
    packages_that_share_a_database_agree_on_how_it_is_used,
    two_packages_of_one_key,
    a_protected_database_is_protected_whichever_package_says_so,
}

fn a_package_that_others_stand_on_stays_until_they_are_off(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    let refused = project.refuses(
        &["downgrade", "base", "-p", "accounts"],
        &["depended-on", "orders/0_orders", "cargo migrate downgrade orders/base"],
    );
    assert!(!refused.err.contains("catalog"), "{}", refused.err);
    // The last revision of the accounts is nobody's ground.
    project.run(&["downgrade", "-1", "-p", "accounts"]).done();
    project.run(&["downgrade", "base", "-p", "orders"]).done();
    project.run(&["downgrade", "base", "-p", "accounts"]).done();
    assert_eq!(rows(&project), ["catalog/c1_products"]);
    project.run(&["upgrade", "--workspace"]).done();
    project.run(&["downgrade", "base", "--workspace"]).done();
    assert_eq!(rows(&project), [""; 0]);
    project.run(&["upgrade", "--workspace"]).done();
    let ran = project.run(&["downgrade", "-1", "--workspace"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("NAME/TARGET"), "{}", ran.err);
    // Nor is it deleted, applied or not.
    let words = ["built-on", "`orders/0_orders` depends on `a1_accounts`", "delete 0_orders -p orders"];
    project.refuses(&["delete", "a1_accounts", "--splice", "--downgrade", "-p", "accounts"], &words);
    // And the record is not made to say what cannot be.
    project.refuses(&["stamp", "base", "-p", "accounts"], &["depended-on", "orders/0_orders"]);
    project.run(&["downgrade", "base", "--workspace"]).done();
    project.refuses(&["stamp", "head", "-p", "orders"], &["dependency-not-applied", "accounts/a1_accounts"]);
}

fn the_way_back_needs_no_file_of_what_a_package_stands_on(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    // The other branch has renamed what the orders depend on.
    std::fs::remove_file(project.path("crates/accounts/migrations/a1_accounts.sql")).unwrap();
    project.run(&["upgrade", "-p", "orders"]).refused(&["deleted", "-p accounts -d dev delete a1_accounts"]);
    project.run(&["downgrade", "base", "-p", "orders"]).done();
    assert_eq!(rows(&project).len(), 3);
}

fn a_lock_that_is_up_to_date_still_tells_of_a_file_that_is_gone(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["seal", "--workspace"]).done();
    std::fs::remove_file(project.path("crates/orders/migrations/0_orders.sql")).unwrap();
    let ran = project.run(&["lock", "--workspace"]).done();
    assert!(ran.err.contains("warning[deleted]") && ran.err.contains("0_orders.sql"), "{}", ran.err);
}

fn what_is_wrong_in_one_package_is_mended_there(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    migration(&project, "accounts", "a1_accounts", "", "CREATE TABLE accounts (id TEXT);", "DROP TABLE accounts;");
    for command in [
        &["upgrade", "-p", "orders"][..],
        &["upgrade", "--workspace"],
        &["check", "--workspace"],
        &["test", "-p", "orders"],
    ] {
        let ran = project.run(command);
        assert_eq!(ran.status, 1, "{command:?}\n{}", ran.err);
        assert!(ran.err.contains("`cargo migrate -p accounts -d dev downgrade"), "{command:?}\n{}", ran.err);
        assert!(
            !ran.err.contains("-p orders -d dev") && !ran.err.contains("--workspace -d"),
            "{command:?}\n{}",
            ran.err
        );
    }
}

fn two_heads_in_one_package_of_several_name_it(ground: &dyn Ground) {
    let project = shop(ground);
    migration(&project, "catalog", "c2_one", "-- migrate:parent c1_products", "SELECT 1;", "SELECT 1;");
    migration(&project, "catalog", "c2_two", "-- migrate:parent c1_products", "SELECT 1;", "SELECT 1;");
    project.refuses(&["upgrade", "--workspace"], &["in the package `catalog`", "cargo migrate -p catalog merge"]);
}

fn a_package_that_left_the_workspace_can_still_be_taken_back(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    std::fs::remove_dir_all(project.path("crates/orders")).unwrap();
    project
        .run(&["downgrade", "base", "--workspace"])
        .refused(&["depended-on", "`cargo migrate downgrade orders/base`"]);
    project.run(&["downgrade", "orders/base"]).done();
    project.run(&["downgrade", "base", "--workspace"]).done();
    assert_eq!(rows(&project), [""; 0]);
}

fn a_key_that_files_of_other_packages_name_is_kept(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    member(&project, "accounts", "[package.metadata.migrate]\nname = \"people\"\n");
    project.run(&["repair", "-p", "accounts", "--rename", "accounts=people"]).refused(&[
        "depended-on",
        "0_orders.sql",
        "name = \"accounts\"",
    ]);
    assert!(rows(&project).iter().any(|row| row == "accounts/a1_accounts"));
}

fn what_is_sealed_on_a_draft_of_another_package_is_told(ground: &dyn Ground) {
    let project = shop(ground);
    let ran = project.run(&["seal", "-p", "orders"]).done();
    assert!(ran.err.contains("`0_orders` stands on `accounts/a1_accounts`, which is a draft"), "{}", ran.err);
    project.run(&["seal", "-p", "accounts"]).done();
    project.run(&["seal", "-p", "catalog"]).done();
    assert!(!project.run(&["seal", "-p", "orders"]).done().err.contains("draft"));
}

fn packages_that_disagree_on_their_database_are_told_by_check(ground: &dyn Ground) {
    let project = shop(ground);
    member(
        &project,
        "catalog",
        &format!("[package.metadata.migrate.databases]\ndev = \"{}\"\n", project.databases().absolute("catalog")),
    );
    let ran = project.run(&["check", "--workspace"]);
    assert!(
        ran.status == 1 && ran.err.contains("packages-disagree") && ran.err.contains("own manifests"),
        "{}",
        ran.err
    );
}

fn what_is_one_packages_is_asked_of_one_package(ground: &dyn Ground) {
    let project = shop(ground);
    for command in [
        &["seal", "a1_accounts"][..],
        &["history", "-r", ":a1_accounts"],
        &["show", "a1_accounts"],
        &["revision", "-m", "x"],
    ] {
        project.refuses(
            &[command, &["--workspace"]].concat(),
            &["no-package", "accounts, catalog, orders", "-p accounts"],
        );
    }
}

fn a_circle_through_packages_is_drawn_before_anything_runs(ground: &dyn Ground) {
    let project = shop(ground);
    let depends = "-- migrate:depends orders/0_orders";
    migration(
        &project,
        "accounts",
        "a1_accounts",
        depends,
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY);",
        "DROP TABLE accounts;",
    );
    let drawn = "orders/0_orders -> accounts/a1_accounts -> orders/0_orders";
    project.refuses(&["upgrade", "--workspace"], &["error[cycle]", drawn, "depends orders/0_orders"]);
    let ran = project.run(&["check", "--workspace"]);
    assert!(ran.status == 1 && ran.err.contains("error[cycle]"), "{}", ran.err);
}

fn a_dependency_that_its_package_does_not_have(ground: &dyn Ground) {
    let project = shop(ground);
    migration(&project, "orders", "1_more", "-- migrate:depends accounts/a1_acounts", "SELECT 1;", "SELECT 1;");
    project.refuses(
        &["upgrade", "--workspace"],
        &["error[missing-dependency]", "1_more.sql:1", "did you mean `accounts/a1_accounts`?"],
    );
}

fn two_packages_that_make_one_table_are_told_apart_before_anything_runs(ground: &dyn Ground) {
    let project = shop(ground);
    // The database itself would not mind.
    migration(
        &project,
        "catalog",
        "c2_names",
        "",
        "CREATE TABLE IF NOT EXISTS Accounts (id INTEGER PRIMARY KEY);",
        "SELECT 1;",
    );
    let words = [
        "error[made-twice]",
        "`catalog` makes the table `accounts`, which `accounts` has made",
        "c2_names.sql:3",
        "a1_accounts.sql:3",
    ];
    project.refuses(&["upgrade", "--workspace"], &words);
    let ran = project.run(&["check", "--workspace"]);
    assert!(ran.status == 1 && ran.err.contains("error[made-twice]"), "{}", ran.err);
    // Nor does it matter that the other one has been there for long.
    project.run(&["upgrade", "-p", "accounts"]).done();
    project.refuses(&["upgrade", "--workspace"], &words);
    // A table that was renamed away is nobody's any more.
    migration(
        &project,
        "catalog",
        "c2_names",
        "",
        "CREATE TABLE names (id INTEGER PRIMARY KEY);\nALTER TABLE names RENAME TO product_names;",
        "DROP TABLE product_names;",
    );
    migration(&project, "orders", "zz_names", "", "CREATE TABLE names (id INTEGER PRIMARY KEY);", "DROP TABLE names;");
    project.run(&["upgrade", "--workspace"]).done();
}

fn packages_that_share_a_database_agree_on_how_it_is_used(ground: &dyn Ground) {
    let project = shop(ground);
    let own = "[package.metadata.migrate]\nversion-table = \"_own\"\n";
    member(&project, "catalog", own);
    project.refuses(
        &["upgrade", "--workspace"],
        &["error[packages-disagree]", "version-table", "[workspace.metadata.migrate]"],
    );
    member(
        &project,
        "catalog",
        &format!(
            "[package.metadata.migrate.databases]\ndev = {{ url = \"{}\", scratch = true }}\n",
            project.databases().absolute("dev")
        ),
    );
    project.refuses(&["upgrade", "--workspace"], &["error[packages-disagree]", "scratch"]);
    // Who is depended on has to be in the same database.
    member(
        &project,
        "catalog",
        &format!("[package.metadata.migrate.databases]\ndev = \"{}\"\n", project.databases().absolute("catalog")),
    );
    project.refuses(
        &["upgrade", "-p", "orders"],
        &["error[packages-disagree]", "`catalog` is depended on", &project.databases().shown("catalog")],
    );
}

fn two_packages_of_one_key(ground: &dyn Ground) {
    let project = shop(ground);
    member(&project, "catalog", "[package.metadata.migrate]\nname = \"accounts\"\n");
    project.run(&["upgrade", "--workspace"]).refused(&["error[duplicate-package]", "`accounts`", "name"]);
}

fn a_protected_database_is_protected_whichever_package_says_so(ground: &dyn Ground) {
    let project = shop(ground);
    member(
        &project,
        "orders",
        &format!(
            "[package.metadata.migrate.databases]\ndev = {{ url = \"{}\", protected = true }}\n",
            project.databases().absolute("dev")
        ),
    );
    project.refuses(&["upgrade", "--workspace"], &["not-confirmed", "protected"]);
    project.run(&["upgrade", "--workspace", "--yes", "--create"]).done();
    assert_eq!(rows(&project).len(), 4);
}
