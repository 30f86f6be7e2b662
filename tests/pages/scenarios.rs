//! The days of a careful developer.

use std::io::{BufRead as _, BufReader};

use crate::harness::{Project, Ran};
use crate::pages::ground::Ground;

const USERS: &str = "-- migrate:parent base\n-- migrate:up\nCREATE TABLE users (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE users;\n";

pages! {
    a_project_is_started_from_nothing,
    of_two_who_go_one_back_at_once_one_is_told,
    a_mistaken_revision_that_was_never_applied_is_deleted_and_the_database_is_left_alone,
    a_draft_may_be_removed_with_plain_rm,
    an_applied_revision_is_not_deleted_until_it_is_rolled_back,
    a_column_is_added_looked_at_and_taken_back,
    the_test_database_is_touched_alone,
    looking_creates_nothing,
    a_dry_run_runs_everything_and_keeps_nothing,
    the_lock_knows_whose_history_it_is,
}

fn a_project_is_started_from_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project
        .write("Cargo.toml", "[package]\nname = \"fresh\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
    std::fs::remove_dir(project.path("migrations")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs(project.databases().at_home());
        Ran::of(&command.output().unwrap()).done()
    };
    // On a server a name that leads nowhere is no wish for a database yet.
    let (init, upgrade): (&[&str], &[&str]) = match project.databases().dialect() {
        "sqlite" => (&["init"], &["upgrade"]),
        other => (&["init", "--template", other], &["upgrade", "--create"]),
    };
    run(init);
    run(&["revision", "-m", "create users", "--rev-id", "a1"]);
    run(upgrade).says("a1");
    run(&["current", "--check-heads"]).says("a1 (head)");
    assert!(project.read(".gitignore").contains("migrate.local"));
    run(init);
    run(&["upgrade"]).says("nothing to do");
    match project.databases().dialect() {
        "sqlite" => assert!(project.path("fresh.db").exists()),
        _ => project.execute("DROP DATABASE fresh"),
    }
}

fn a_mistaken_revision_that_was_never_applied_is_deleted_and_the_database_is_left_alone(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("2025_01_01_001_users", USERS);
    project.run(&["upgrade", "head"]).done();
    let before = project.databases().state("dev");
    project.run(&["revision", "-m", "wrong migration"]).done().says("_001_wrong_migration.sql");
    project.run(&["history"]).done().says("pending  wrong migration");
    project.run(&["delete", "wrong_migration"]).done();
    assert_eq!(project.databases().state("dev"), before);
    assert!(!project.read("migrations/migrate.lock").contains("wrong"));
    project.run(&["status"]).done().says("pending   0");
}

fn a_draft_may_be_removed_with_plain_rm(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    project.run(&["revision", "-m", "wrong migration", "--rev-id", "wrong"]).done();
    std::fs::remove_file(project.path("migrations/wrong.sql")).unwrap();
    project.run(&["upgrade"]).done();
    assert!(!project.read("migrations/migrate.lock").contains("wrong"));
}

fn an_applied_revision_is_not_deleted_until_it_is_rolled_back(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("2025_01_01_001_users", USERS);
    project.run(&["upgrade"]).done();
    project.run(&["delete", "users"]).refused(&["still-applied", "`dev`", "delete 2025_01_01_001_users --downgrade"]);
    assert!(project.path("migrations/2025_01_01_001_users.sql").exists());
    project.run(&["delete", "users", "--downgrade"]).done();
    project.run(&["current"]).done().says("base");
    project.run(&["history"]).done();
    assert!(!project.read("migrations/migrate.lock").contains("users"));
    assert_eq!(project.tables(), [""; 0]);
}

fn a_column_is_added_looked_at_and_taken_back(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    project.migration("002_name", "-- migrate:parent 001_users\n-- migrate:up\nALTER TABLE users ADD COLUMN name TEXT;\n-- migrate:down\nALTER TABLE users DROP COLUMN name;\n");
    project.run(&["upgrade", "001_users"]).done();
    let schema = project.databases().schema("dev");
    project.run(&["upgrade", "head"]).done().says("Running upgrade 001_users -> 002_name");
    assert_eq!(project.databases().columns("dev", "users"), ["id", "name"]);
    project.run(&["downgrade", "-1"]).done().says("Running downgrade 002_name -> 001_users");
    assert_eq!(project.databases().columns("dev", "users"), ["id"]);
    assert_eq!(project.databases().schema("dev"), schema);
    project.run(&["current"]).done().says("001_users");
}

fn the_test_database_is_touched_alone(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    project.run(&["-d", "test", "upgrade", "head"]).done();
    assert_eq!(project.databases().tables("test"), ["users"]);
    assert!(project.databases().is_untouched("dev"));
    assert!(!project.path("migrations/migrate.local").exists());
}

fn looking_creates_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    for verb in
        [&["status"][..], &["current"], &["history"], &["heads"], &["branches"], &["show", "users"], &["verify"]]
    {
        project.run(verb).done();
    }
    assert!(project.databases().is_untouched("dev"));
    assert!(!project.path("migrations/migrate.lock").exists());
}

fn a_dry_run_runs_everything_and_keeps_nothing(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    project.run(&["upgrade", "--dry-run"]).done().says("rolled back");
    assert!(project.databases().is_untouched("dev"));
    project.run(&["upgrade"]).done();
    project.migration("002_rows", "-- migrate:parent 001_users\n-- migrate:up\nINSERT INTO users VALUES (1);\n");
    project.run(&["upgrade", "--dry-run"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM users"), "0");
}

fn the_lock_knows_whose_history_it_is(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("001_users", USERS);
    project.run(&["upgrade"]).done();
    assert!(project.read("migrations/migrate.lock").contains("\npackage app\n"));

    // A server that has only the folder and the database finds the rows.
    let server = tempfile::tempdir().unwrap();
    let folder = project.path("migrations");
    let there = |arguments: &[&str]| {
        let url = project.databases().absolute("dev");
        let mut all = vec!["--migrations", folder.to_str().unwrap(), "-d", &url];
        all.extend(arguments);
        let output = project.command(&all).current_dir(server.path()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    assert_eq!(there(&["current"]), (Some(0), "001_users (head)\n".to_owned()));
    assert!(there(&["--name", "other", "current"]).1.contains("other-package"));

    // A package that was renamed would look for its rows under the new name.
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("name = \"app\"", "name = \"renamed\""));
    project.run(&["upgrade"]).refused(&["other-package", "`app`", "name = \"app\""]);
    project.write(
        "Cargo.toml",
        &manifest
            .replace("name = \"app\"", "name = \"renamed\"")
            .replace("database = \"dev\"", "database = \"dev\"\nname = \"app\""),
    );
    project.run(&["upgrade"]).done().says("nothing to do");
}

/// Two who type the same while a third one holds the database, and have both looked before it is let go: one of them does
/// it, and the other one is told that it is done.
pub fn at_once(project: &Project, arguments: &[&str]) {
    let held = project.databases().occupied("dev");
    let waiting = || {
        let mut command = project.command(arguments);
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("Waiting")), "{arguments:?} waits for nobody");
        (child, said)
    };
    let both = [waiting(), waiting()];
    drop(held);
    let ends = both.map(|(mut child, said)| {
        let said = said.collect::<Vec<_>>().join("\n");
        (child.wait().unwrap().success(), said)
    });
    let (done, refused): (Vec<_>, Vec<_>) = ends.into_iter().partition(|(done, _)| *done);
    assert_eq!((done.len(), refused.len()), (1, 1), "{arguments:?}: {done:?} {refused:?}");
    assert!(refused[0].1.contains("error[history-moved]: the database's history has moved"), "{}", refused[0].1);
}

fn of_two_who_go_one_back_at_once_one_is_told(ground: &dyn Ground) {
    for (arguments, before, after) in [
        (&["downgrade", "-1"][..], 4, 3),
        (&["downgrade", "a1"], 4, 1),
        (&["delete", "d1", "--downgrade"], 4, 3),
        (&["upgrade", "+1"], 2, 3),
    ] {
        let project = crate::pages::chain(ground);
        project.run(&["upgrade", ["", "", "b1", "", "d1"][before]]).done();
        assert_eq!(project.tables().len(), before);
        at_once(&project, arguments);
        // What was meant is done, and nothing else.
        assert_eq!(project.tables().len(), after, "{arguments:?}");
    }
    // Who wants it at the head, or at a revision, has it there, whoever brought it there.
    let project = crate::pages::chain(ground);
    let held = project.databases().occupied("dev");
    let mut both = [0; 2].map(|_| project.command(&["upgrade", "b1"]).spawn().unwrap());
    drop(held);
    assert!(both.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(project.tables().len(), 2);
}
