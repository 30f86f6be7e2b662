//! A backup is of one database, wherever the name leads that it was made by.

use crate::harness::{Project, Ran};
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_backup_is_of_the_database_that_the_name_led_to,
    only_backups_of_the_same_database_make_room,
    what_has_no_version_table_is_no_backup_of_this_project,
}

/// A project whose `prod` is where a variable says, `staging` or `production`, each with a row of its own.
fn project(ground: &dyn Ground, settings: &str) -> Project {
    let project = Project::on(ground);
    project.write(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\n\n[workspace]\n\n[package.metadata.migrate]\ndatabase = \"prod\"\n{settings}\n\
             [package.metadata.migrate.databases]\nprod = {{ url = \"env:X_URL\", shared = false }}\n"
        ),
    );
    project.migration("a1", &table("base", "t"));
    for (number, place) in ["staging", "production"].into_iter().enumerate() {
        at(&project, place, &["upgrade", "--create"]).done();
        project.execute_on(place, &format!("INSERT INTO t VALUES ({number})"));
    }
    project
}

fn at(project: &Project, place: &str, arguments: &[&str]) -> Ran {
    Ran::of(&project.command(arguments).env("X_URL", project.databases().absolute(place)).output().unwrap())
}

fn listed(project: &Project, place: &str, arguments: &[&str]) -> Vec<serde_json::Value> {
    let ran = at(project, place, &[&["backups", "--format", "json"], arguments].concat()).done().json();
    ran["backups"].as_array().unwrap().clone()
}

fn a_backup_is_of_the_database_that_the_name_led_to(ground: &dyn Ground) {
    let project = project(ground, "");
    at(&project, "staging", &["backup"]).done();
    // When the name leads elsewhere, no backup is that one's.
    at(&project, "production", &["restore", "--yes"])
        .refused(&["error[no-backup]", "there is no backup of prod", "is of another database of that name"])
        .is_printable();
    assert_eq!(project.list_of("production", "SELECT id FROM t"), ["1"]);
    assert_eq!(listed(&project, "production", &["-d", "prod"]).len(), 0);
    assert_eq!(listed(&project, "staging", &["-d", "prod"]).len(), 1);
    // In the list of all it is none of `prod`, and nameable.
    let [backup] = &listed(&project, "production", &[])[..] else { panic!("there is one") };
    let (of, file) = (backup["database"].as_str().unwrap(), backup["name"].as_str().unwrap());
    assert!(of.starts_with("prod~") && file.starts_with(&format!("{of}-")), "{backup}");
    assert_eq!(listed(&project, "staging", &[])[0]["database"], "prod");
    // Whoever names it is told what it is, whether anybody can be asked or not.
    let told = format!("this is a backup of `{of}`");
    at(&project, "production", &["restore", file]).says(&told).refused(&["error[not-confirmed]"]);
    at(&project, "production", &["restore", file, "--yes"]).done().says(&told);
    assert_eq!(project.list_of("production", "SELECT id FROM t"), ["0"]);
    // And what that has replaced is the newest of its own.
    let ran = at(&project, "production", &["restore", "--yes"]).done();
    assert!(!ran.err.contains("this is a backup of"), "{}", ran.err);
    assert_eq!(project.list_of("production", "SELECT id FROM t"), ["1"]);
    // By whatever way it is named: its URL leads to the same backups.
    let url = project.databases().absolute("staging");
    assert_eq!(listed(&project, "production", &["-d", &url]).len(), 1);
}

fn only_backups_of_the_same_database_make_room(ground: &dyn Ground) {
    let project = project(ground, "keep = 1\nbackup = \"always\"");
    for (id, place) in [("b1", "staging"), ("b2", "production"), ("b3", "production")] {
        let parent = ["a1", "b1", "b2"][["b1", "b2", "b3"].iter().position(|it| *it == id).unwrap()];
        project.migration(id, &table(parent, &format!("t_{id}")));
        at(&project, place, &["upgrade"]).done().says("Backup");
    }
    assert_eq!(listed(&project, "staging", &["-d", "prod"]).len(), 1);
    assert_eq!(listed(&project, "production", &["-d", "prod"]).len(), 1);
    assert_eq!(listed(&project, "production", &[]).len(), 2);
}

fn what_has_no_version_table_is_no_backup_of_this_project(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t VALUES (7)");
    project.execute_on("elsewhere", "CREATE TABLE quite_another (x INTEGER)");
    let url = project.databases().absolute("elsewhere");
    project.run(&["-d", &url, "backup", "--to", "elsewhere.backup"]).done();
    let words =
        ["error[backup-without-history]", "no version table `_cargo_migrate`", "as it was", "--without-history"];
    project.refuses(&["restore", "elsewhere.backup", "--yes"], &words);
    assert_eq!(project.list("SELECT id FROM t"), ["7"]);
    project.run(&["restore", "elsewhere.backup", "--yes", "--without-history"]).done().says("1 revision is pending");
    assert_eq!(project.tables(), ["quite_another"]);
    // An empty version table is one.
    project.execute("DROP TABLE quite_another");
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "base"]).done();
    project.run(&["backup", "--to", "empty.backup"]).done();
    project.run(&["restore", "empty.backup", "--yes"]).done();
    // And what this database was before its first migration comes back without more words.
    project.run(&["-d", &url, "backup"]).done();
    project.run(&["-d", &url, "restore", "--yes"]).done();
}
