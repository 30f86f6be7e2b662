//! Workspaces, where it matters that their database is a file: its models, its foreign keys, its absence.

use crate::pages::ground::Sqlite;
use crate::pages::workspaces::{member, migration, shop, workspace};

#[test]
fn a_model_may_refer_to_a_table_of_a_package_that_is_depended_on() {
    let project = shop(&Sqlite);
    member(&project, "invoices", "");
    std::fs::remove_file(project.path("crates/invoices/migrations/migrate.lock")).unwrap();
    project.write(
        "crates/invoices/src/lib.rs",
        "#[derive(Table)]\n#[table(name = \"invoices\")]\npub struct Invoice {\n    #[column(primary_key)]\n    pub id: i64,\n    \
         #[column(references = \"accounts(id)\")]\n    pub account: i64,\n}\n",
    );
    let write = ["revision", "-p", "invoices", "--autogenerate", "-m", "invoices", "--rev-id", "i1"];
    project.refuses(&write, &["unknown-reference", "`accounts`", "--depends-on PACKAGE/REVISION"]);
    project.run(&[&write[..], &["--depends-on", "accounts/head"]].concat()).done();
    let text = project.read("crates/invoices/migrations/i1.sql");
    assert!(text.contains("-- migrate:depends accounts/a2_name") && text.contains("CREATE TABLE invoices"), "{text}");
    assert!(!text.contains("CREATE TABLE accounts"), "{text}");
    project.run(&["upgrade", "--workspace"]).done();
    project.run(&["check", "--workspace"]).done();
    project.run(&["check", "-p", "invoices"]).done();
    // A column is added in the one crate: nothing of the others is in the way.
    let model = project.read("crates/invoices/src/lib.rs");
    project.write(
        "crates/invoices/src/lib.rs",
        &model.replace("pub account: i64,\n", "pub account: i64,\n    pub note: Option<String>,\n"),
    );
    project.run(&["check", "-p", "invoices"]).refused(&["models-differ"]);
    project.run(&["revision", "-p", "invoices", "--autogenerate", "-m", "note", "--rev-id", "i2"]).done();
    let text = project.read("crates/invoices/migrations/i2.sql");
    assert!(text.contains("ALTER TABLE invoices ADD COLUMN note TEXT"), "{text}");
    project.run(&["test", "--workspace"]).done();
    project.run(&["upgrade", "--workspace"]).done();
    // What somebody does by hand is seen, object by object, with all packages at hand.
    project.execute("CREATE TABLE by_hand (x)");
    let ran = project.run(&["check", "--workspace"]);
    assert!(ran.status == 1 && ran.err.contains("by_hand"), "{}", ran.err);
    assert!(project.run(&["status", "--workspace"]).done().err.contains("drift"));
}

#[test]
fn whose_rows_would_point_to_nothing_is_said_where_no_file_says_what_it_stands_on() {
    let project = shop(&Sqlite);
    let references = "CREATE TABLE orders (id INTEGER PRIMARY KEY, account INTEGER REFERENCES accounts (id));";
    migration(&project, "orders", "0_orders", "", references, "DROP TABLE orders;");
    project.run(&["upgrade", "--workspace"]).done();
    project.execute("INSERT INTO accounts VALUES (1, 'a')");
    project.execute("INSERT INTO orders VALUES (1, 1)");
    let words = ["error[foreign-keys]", "`orders` is the table of the package `orders`", "downgrade base -p orders"];
    project.run(&["downgrade", "base", "-p", "accounts"]).refused(&words);
    assert_eq!(project.ask("SELECT count(*) FROM orders JOIN accounts"), "1");
}

#[test]
fn a_database_that_is_not_where_it_was_is_told_before_a_new_one_is_made() {
    let project = shop(&Sqlite);
    project.run(&["upgrade", "--workspace"]).done();
    std::fs::rename(project.path("app.db"), project.path("moved.db")).unwrap();
    let ran = project.run(&["upgrade", "--workspace"]).done();
    assert!(ran.err.contains("`dev` had 4 revisions by the lock, and its file is not there"), "{}", ran.err);
}

#[test]
fn init_in_a_member_hides_the_database_of_the_workspace_from_git() {
    let project = workspace(&Sqlite);
    member(&project, "users", "");
    project.run(&["init", "-p", "users"]).done();
    assert!(project.read(".gitignore").contains("/app.db*"));
    project.run(&["init", "-p", "users"]).done();
    assert_eq!(project.read(".gitignore").matches("/app.db*").count(), 1);
}
