//! A workspace of many packages, some of which share a database.

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    packages_that_share_a_database_are_one_plan_in_the_order_of_what_they_depend_on,
    one_transaction_holds_the_revisions_of_all_packages,
    who_upgrades_one_package_gets_what_it_stands_on_and_no_more,
    in_the_root_what_reads_shows_all_and_what_writes_asks_which,
    the_status_of_a_workspace_is_one_table,
    independent_databases_run_side_by_side_and_one_failure_stops_no_other,
    two_members_with_one_revision_id_share_a_database,
    the_history_of_a_workspace_is_drawn_with_a_lane_for_each_package,
    each_package_is_told_by_itself_and_all_of_them_in_one_document,
    a_scratch_database_of_a_workspace_follows_the_files_of_all_packages,
    a_library_brings_its_migrations_along_where_it_is_named,
    the_script_of_a_workspace_does_what_the_run_does,
}

/// A virtual workspace without packages, whose members share a database.
pub fn workspace(ground: &dyn Ground) -> Project {
    let project = Project::empty_on(ground);
    project.write(
        "Cargo.toml",
        &format!(
            "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"outside\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate]\ndatabase = \"dev\"\n\n\
             [workspace.metadata.migrate.databases]\ndev = {}\ntest = {{ url = \"{}\", scratch = true }}\n",
            project.databases().own("dev"),
            project.url("test"),
        ),
    );
    project
}

/// A member with an empty library.
pub fn member(project: &Project, name: &str, more: &str) {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{more}");
    project.write(&format!("crates/{name}/Cargo.toml"), &manifest);
    project.write(&format!("crates/{name}/src/lib.rs"), "");
    let lock = match project.databases().dialect() {
        "postgres" => "format 1\ndialect postgres\n",
        _ => "format 1\n",
    };
    project.write(&format!("crates/{name}/migrations/migrate.lock"), lock);
}

/// A migration of a member, with header lines before its sections.
pub fn migration(project: &Project, package: &str, id: &str, header: &str, up: &str, down: &str) {
    let text = format!("{header}\n-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n");
    project.write(&format!("crates/{package}/migrations/{id}.sql"), &text);
}

/// `accounts` and `catalog`, and `orders` that stands on both.
pub fn shop(ground: &dyn Ground) -> Project {
    let project = workspace(ground);
    for name in ["accounts", "catalog", "orders"] {
        member(&project, name, "[package.metadata.migrate]\n");
    }
    let table = |name: &str, more: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY{more});");
    let drop = |name: &str| format!("DROP TABLE {name};");
    migration(&project, "accounts", "a1_accounts", "", &table("accounts", ""), &drop("accounts"));
    let name = "ALTER TABLE accounts ADD COLUMN name TEXT;";
    migration(&project, "accounts", "a2_name", "", name, "ALTER TABLE accounts DROP COLUMN name;");
    migration(&project, "catalog", "c1_products", "", &table("products", ""), &drop("products"));
    let depends = "-- migrate:depends accounts/a1_accounts\n-- migrate:depends catalog/c1_products";
    let references =
        ", account INTEGER NOT NULL REFERENCES accounts (id), product INTEGER NOT NULL REFERENCES products (id)";
    // By its name it would come first.
    migration(&project, "orders", "0_orders", depends, &table("orders", references), &drop("orders"));
    project
}

/// What is applied, in its order.
pub fn rows(project: &Project) -> Vec<String> {
    rows_of(project, "dev")
}

/// The same of another database.
pub fn rows_of(project: &Project, database: &str) -> Vec<String> {
    project.list_of(database, "SELECT package || '/' || revision FROM _cargo_migrate ORDER BY sequence")
}

/// Two packages with a database each.
fn apart(ground: &dyn Ground) -> Project {
    let project = workspace(ground);
    for name in ["one", "two"] {
        let own = format!("[package.metadata.migrate.databases]\ndev = \"{}\"\n", project.databases().absolute(name));
        member(&project, name, &own);
        // The same id, and all but the same file.
        migration(
            &project,
            name,
            "001_first",
            "",
            &format!("CREATE TABLE {name} (x INTEGER);"),
            &format!("DROP TABLE {name};"),
        );
    }
    project
}

const ALL: [&str; 4] = ["accounts/a1_accounts", "accounts/a2_name", "catalog/c1_products", "orders/0_orders"];

fn packages_that_share_a_database_are_one_plan_in_the_order_of_what_they_depend_on(ground: &dyn Ground) {
    let project = shop(ground);
    let ran = project.run(&["upgrade", "--workspace"]).done();
    assert!(ran.err.contains("orders: upgrade base -> 0_orders"), "{}", ran.err);
    let on = format!("upgrade of 4 revisions on dev ({})", project.databases().shown("dev"));
    assert!(ran.err.contains(&on), "{}", ran.err);
    assert_eq!(rows(&project), ["accounts/a1_accounts", "accounts/a2_name", "catalog/c1_products", "orders/0_orders"]);
    // Each package's own lock says what is applied.
    for (package, id) in ALL.map(|name| name.split_once('/').unwrap()) {
        let lock = project.read(&format!("crates/{package}/migrations/migrate.local"));
        assert!(lock.contains(id), "{package}: {lock}");
    }
    project.run(&["upgrade", "--workspace"]).done().says("nothing to do");
    project.run(&["verify", "--workspace"]).done();
    project.run(&["check", "--workspace"]).done().says("what 3 packages make of one another");
}

fn one_transaction_holds_the_revisions_of_all_packages(ground: &dyn Ground) {
    let project = shop(ground);
    migration(&project, "orders", "z_broken", "", "INSERT INTO missing VALUES (1);", "SELECT 1;");
    project.run(&["upgrade", "--workspace"]).refused(&["sql-error", "z_broken.sql", "nothing of this run was kept"]);
    assert!(project.databases().is_empty("dev"));
}

fn who_upgrades_one_package_gets_what_it_stands_on_and_no_more(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "-p", "orders"]).done().says("accounts: upgrade base -> a1_accounts");
    assert_eq!(rows(&project), ["accounts/a1_accounts", "catalog/c1_products", "orders/0_orders"]);
    let ran = project.run(&["status", "-p", "accounts"]).done();
    assert!(ran.out.contains("pending   1") && ran.out.contains("beside    orders  1 revision"), "{}", ran.out);
    project.run(&["upgrade", "accounts/head"]).done();
    assert_eq!(rows(&project).len(), 4);
    project.run(&["upgrade", "nothing/head"]).refused(&["unknown-package", "accounts, catalog, orders"]);
}

fn in_the_root_what_reads_shows_all_and_what_writes_asks_which(ground: &dyn Ground) {
    let project = shop(ground);
    for command in ["status", "current", "heads", "branches", "history", "verify", "check"] {
        let ran = project.run(&[command]);
        assert_eq!(ran.status, 0, "{command}\n{}\n{}", ran.out, ran.err);
    }
    for command in
        [&["upgrade"][..], &["downgrade", "base"], &["seal"], &["lock"], &["backup"], &["sync"], &["stamp", "head"]]
    {
        project.refuses(command, &["no-package", "accounts, catalog, orders", "-p accounts"]);
    }
    project.refuses(&["upgrade"], &["or all of them: `--workspace`"]);
}

fn the_status_of_a_workspace_is_one_table(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "-p", "accounts"]).done();
    let ran = project.run(&["status", "--workspace"]).done();
    let drift = if project.databases().has_schema_reader() { "no" } else { "-" };
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["package", "database", "applied", "pending", "drafts", "edited", "drift"]);
    assert_eq!(lines[1], ["accounts", "dev", "2", "0", "0", "0", drift]);
    assert_eq!(lines[3][..4], ["orders", "dev", "0", "1"]);
    // What is edited is told, once, with its place.
    migration(&project, "accounts", "a2_name", "", "ALTER TABLE accounts ADD COLUMN nick TEXT;", "SELECT 1;");
    let ran = project.run(&["status", "--workspace"]).done();
    let row = ran.out.lines().find(|line| line.starts_with("accounts")).unwrap();
    assert_eq!(row.split_whitespace().nth(5), Some("1"), "{row}");
    assert_eq!(ran.err.matches("error[edited]").count(), 1, "{}", ran.err);
    let all = project.run(&["status", "--workspace", "--format", "json"]).done().json();
    assert_eq!(all["packages"].as_array().unwrap().len(), 3);
    assert_eq!(all["packages"][0]["edited"], 1);
    assert_eq!(all["packages"][1]["others"][0]["package"], "accounts");
}

fn independent_databases_run_side_by_side_and_one_failure_stops_no_other(ground: &dyn Ground) {
    let project = apart(ground);
    migration(&project, "one", "002_broken", "", "INSERT INTO missing VALUES (1);", "SELECT 1;");
    let ran = project.run_bounded(&["upgrade", "--workspace"]);
    assert_eq!(ran.status, 1);
    for words in [
        "two: upgrade of 1 revision",
        "error[sql-error]",
        "error[some-failed]",
        "1 of 2 databases failed",
        "one (dev (",
    ] {
        assert!(ran.err.contains(words), "`{words}` is not in\n{}", ran.err);
    }
    assert_eq!(project.ask_of("two", "SELECT count(*) FROM _cargo_migrate"), "1");
    assert!(project.databases().is_empty("one"));
    let all = project.run(&["upgrade", "--workspace", "--format", "json"]);
    assert_eq!(all.status, 1);
    let all = all.json();
    assert_eq!(all["databases"][0]["problems"][0]["code"], "sql-error");
    assert_eq!(all["databases"][1]["steps"].as_array().unwrap().len(), 0);
    migration(&project, "one", "002_broken", "", "INSERT INTO one VALUES (1);", "DELETE FROM one;");
    project.run(&["upgrade", "--workspace"]).done();
    project.run(&["test", "--workspace", "--all"]).done();
}

fn two_members_with_one_revision_id_share_a_database(ground: &dyn Ground) {
    let project = workspace(ground);
    for name in ["one", "two"] {
        member(&project, name, "");
        migration(
            &project,
            name,
            "001_first",
            "",
            &format!("CREATE TABLE {name} (x INTEGER);"),
            &format!("DROP TABLE {name};"),
        );
    }
    // The first statements may even be the same.
    for name in ["one", "two"] {
        migration(&project, name, "000_nothing", "-- migrate:parent base", "SELECT 1;", "SELECT 1;");
    }
    project.run(&["upgrade", "-p", "one"]).done();
    project.run(&["upgrade", "-p", "two"]).done();
    assert_eq!(rows(&project), ["one/000_nothing", "one/001_first", "two/000_nothing", "two/001_first"]);
    project.run(&["downgrade", "base", "--workspace"]).done();
    project.run(&["upgrade", "--workspace"]).done();
    project.run(&["check", "--workspace"]).done();
}

fn the_history_of_a_workspace_is_drawn_with_a_lane_for_each_package(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "-p", "accounts"]).done();
    let ran = project.run(&["history", "--graph", "--workspace"]).done();
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[..3], ["accounts", "| catalog", "| | orders"]);
    assert!(lines[3].starts_with("| | *  orders/0_orders (head)  pending"), "{}", ran.out);
    assert!(lines[3].ends_with("after accounts/a1_accounts, catalog/c1_products"), "{}", ran.out);
    let place = |id: &str| lines.iter().position(|line| line.contains(&format!("*  {id}"))).unwrap();
    assert!(place("orders/0_orders") < place("catalog/c1_products"));
    assert!(place("accounts/a2_name") < place("accounts/a1_accounts"));
    assert!(lines[place("accounts/a1_accounts")].contains("applied"), "{}", ran.out);
}

fn each_package_is_told_by_itself_and_all_of_them_in_one_document(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["upgrade", "--workspace"]).done();
    for command in
        [&["current"][..], &["heads"], &["branches"], &["history"], &["verify"], &["seal"], &["lock"], &["backups"]]
    {
        let ran = project.run(&[command, &["--workspace", "--format", "json"]].concat()).done();
        let packages = ran.json()["packages"].as_array().unwrap().clone();
        let names: Vec<&str> = packages.iter().map(|of| of["package"].as_str().unwrap()).collect();
        assert_eq!(names, ["accounts", "catalog", "orders"], "{command:?}");
    }
    let ran = project.run(&["heads", "--workspace", "--exclude", "cat*"]).done();
    assert!(ran.out.contains("accounts:\na2_name") && !ran.out.contains("catalog"), "{}", ran.out);
    assert!(project.read("crates/orders/migrations/migrate.lock").contains("released"));
}

fn a_scratch_database_of_a_workspace_follows_the_files_of_all_packages(ground: &dyn Ground) {
    let project = shop(ground);
    project.run(&["-d", "test", "upgrade", "--workspace"]).done();
    migration(
        &project,
        "accounts",
        "a1_accounts",
        "",
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, born TEXT);",
        "DROP TABLE accounts;",
    );
    // What stands on it in other packages is taken off first, and comes back.
    project.run(&["-d", "test", "upgrade", "--workspace"]).done().says("orders: downgrade 0_orders -> base");
    assert_eq!(project.databases().columns("test", "accounts"), ["id", "born", "name"]);
    assert_eq!(project.ask_of("test", "SELECT count(*) FROM _cargo_migrate"), "4");
}

fn a_library_brings_its_migrations_along_where_it_is_named(ground: &dyn Ground) {
    let project = workspace(ground);
    project.write(
        "outside/ledger/Cargo.toml",
        "[package]\nname = \"ledger\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
    );
    project.write("outside/ledger/src/lib.rs", "");
    project.write(
        "outside/ledger/migrations/migrate.lock",
        "# Written by cargo migrate.\nformat 1\npackage ledger\nl1  draft\nl2  draft\n",
    );
    project.write(
        "outside/ledger/migrations/l1.sql",
        "-- migrate:up\nCREATE TABLE ledger (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE ledger;\n",
    );
    project.write(
        "outside/ledger/migrations/l2.sql",
        "-- migrate:up\nCREATE TABLE entries (x INTEGER);\n-- migrate:down\nDROP TABLE entries;\n",
    );
    member(&project, "app", "[dependencies]\nledger = { path = \"../../outside/ledger\" }\n");
    migration(
        &project,
        "app",
        "p1",
        "-- migrate:depends ledger/l1",
        "CREATE TABLE p (ledger INTEGER REFERENCES ledger (id));",
        "DROP TABLE p;",
    );
    // Of what a revision depends on no more is applied than it needs.
    let lock = project.bytes("outside/ledger/migrations/migrate.lock");
    project.run(&["upgrade"]).done().says("ledger: upgrade base -> l1");
    assert_eq!(rows(&project), ["ledger/l1", "app/p1"]);
    // A library whose name is in the configuration is kept at its heads.
    member(
        &project,
        "app",
        "[package.metadata.migrate]\nlibraries = [\"ledger\"]\n[dependencies]\nledger = { path = \"../../outside/ledger\" }\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(rows(&project), ["ledger/l1", "app/p1", "ledger/l2"]);
    assert_eq!(project.bytes("outside/ledger/migrations/migrate.lock"), lock);
    project.run(&["check"]).done();
    project.run(&["test", "--all"]).done().says("ledger/l1");
    member(
        &project,
        "app",
        "[package.metadata.migrate]\nlibraries = [\"legder\"]\n[dependencies]\nledger = { path = \"../../outside/ledger\" }\n",
    );
    project.refuses(&["upgrade"], &["unknown-package", "`legder`", "cargo tree"]);
}

fn the_script_of_a_workspace_does_what_the_run_does(ground: &dyn Ground) {
    let project = shop(ground);
    let by_shell = |script: &str| project.databases().by_shell("dev", script);
    let script = project.run(&["upgrade", "--workspace", "--sql"]).done().out;
    let (well, said) = by_shell(&script);
    assert!(well, "{said}");
    assert_eq!(rows(&project), ALL);
    project.run(&["check", "--workspace"]).done();
    // It refuses to run a second time, when the history of one of the packages is another one.
    let (well, said) = by_shell(&script);
    assert!(!well && said.contains("another history"), "{said}");
    let back = project.run(&["downgrade", "base", "--workspace", "--sql"]).done().out;
    let (well, said) = by_shell(&back);
    assert!(well, "{said}");
    assert_eq!(rows(&project), [""; 0]);
}
