//! Commands that are suggested work when they are typed, and what writes a protected database asks first.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_suggested_command_works_on_the_database_that_was_worked_on,
    what_is_edited_is_taken_off_the_databases_that_have_it_and_a_first_revision_by_base,
    one_of_several_first_revisions_is_taken_off_alone,
    every_command_that_writes_a_protected_database_wants_a_yes,
    a_database_that_was_given_as_a_url_does_not_freeze_a_draft_for_ever,
    a_scratch_database_is_told_to_follow_the_files,
    a_mistyped_target_is_answered_with_what_there_is,
    targets_that_lead_nowhere,
    a_range_that_counts_back_does_so_from_every_head_of_the_database,
    a_label_that_goes_with_its_revision_is_told,
    a_member_of_a_workspace_with_databases_is_set_up_to_use_them,
    what_the_environment_says,
}

/// `a1` is applied to `dev` and to `prod`.
fn with_production(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    let manifest = project.read("Cargo.toml");
    let prod = project.url("prod");
    project.write("Cargo.toml", &format!("{manifest}prod = {{ url = \"{prod}\", shared = true }}\n"));
    project.migration("a1", &table("base", "t1"));
    project.run(&["upgrade"]).done();
    project.run(&["-d", "prod", "upgrade"]).done();
    project
}

/// The same revision with another statement.
fn edited(text: &str) -> String {
    text.replace("(id INTEGER", "(other INTEGER")
}

fn a_suggested_command_works_on_the_database_that_was_worked_on(ground: &dyn Ground) {
    let project = with_production(ground);
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

fn what_is_edited_is_taken_off_the_databases_that_have_it_and_a_first_revision_by_base(ground: &dyn Ground) {
    let project = with_production(ground);
    let text = project.read("migrations/a1.sql");
    project.migration("a1", &edited(&text));
    project.refuses(
        &["upgrade"],
        &["`cargo migrate -d NAME downgrade base --down-from stored`, on each of these databases"],
    );
    project.migration("a1", &text);
    project.run(&["-d", "prod", "downgrade", "base"]).done();
    project.migration("a1", &edited(&text));
    project.refuses(&["-d", "prod", "upgrade"], &["`cargo migrate -d dev downgrade base --down-from stored`"]);
    project.run(&["-d", "dev", "downgrade", "base"]).done();
    project.run(&["upgrade"]).done();
}

fn one_of_several_first_revisions_is_taken_off_alone(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("z1", &table("base", "t2"));
    project.run(&["upgrade", "heads"]).done();
    project.migration("z1", &edited(&table("base", "t2")));
    project.refuses(&["upgrade", "heads"], &["`cargo migrate -d dev downgrade z1@base --down-from stored`"]);
    project.run(&["-d", "dev", "downgrade", "z1@base"]).done();
    project.run(&["current"]).done().says("a1");
}

/// A project whose databases, `dev` and `test`, are there, and are protected.
pub fn protected(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.configure("dev", "protected = true, shared = false");
    project.configure("test", "scratch = true, protected = true");
    project.migration("a1", &table("base", "t1"));
    for database in ["dev", "test"] {
        project.list_of(database, "SELECT 1");
    }
    project
}

fn every_command_that_writes_a_protected_database_wants_a_yes(ground: &dyn Ground) {
    let project = protected(ground);
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

fn a_database_that_was_given_as_a_url_does_not_freeze_a_draft_for_ever(ground: &dyn Ground) {
    let project = Project::on(ground);
    let once = project.url("once");
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", &once, "upgrade", "--create"]).done();
    project.run(&["-d", &once, "downgrade", "base"]).done();
    assert!(project.read("migrations/migrate.lock").contains("  url\n"));

    let text = project.read("migrations/a1.sql");
    project.migration("a1", &edited(&text));
    project.refuses(&["upgrade"], &["error[edited]", "`cargo migrate seal --undo a1`"]);
    project.refuses(&["delete", "a1"], &["still-applied", "`cargo migrate seal --undo a1`"]);
    project.refuses(&["seal", "--undo", "a1"], &["not-confirmed", "given as a URL", "--yes"]);
    project.run(&["seal", "--undo", "a1", "--yes"]).done().says("Unsealed a1");
    project.run(&["upgrade"]).done();
}

fn a_scratch_database_is_told_to_follow_the_files(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("a1", &edited(&table("base", "t1")));
    let ran = project.run(&["-d", "test", "status"]).done().says("takes off first").says("pending   1");
    assert!(!ran.err.contains("error["), "{}", ran.err);
    project.run(&["-d", "test", "upgrade"]).done().says("upgrade of 1 revision, after 1 revision was taken off,");
}

fn a_mistyped_target_is_answered_with_what_there_is(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("2025_01_01_001_users", &table("base", "t1"));
    project.migration("2025_01_02_001_orders", &table("2025_01_01_001_users", "t2"));
    project.refuses(&["upgrade", "hed"], &["unknown-target", "did you mean `head`?", "2025_01_02_001_orders"]);
    project.refuses(&["show", "oders"], &["did you mean `orders`?"]);
    let ran = project.run(&["upgrade", "base:head"]);
    assert!(ran.status == 2 && ran.err.contains("a range is for `--sql`"), "{}", ran.err);
    project.refuses(&["upgrade", "+3"], &["3 steps were asked for"]);
    project.refuses(&["downgrade", "-1"], &["1 step was asked for, and 0 revisions are applied"]);
}

fn targets_that_lead_nowhere(ground: &dyn Ground) {
    let project = half_applied(ground);
    for (arguments, words) in [
        (&["upgrade", "+2"][..], &["too-many-steps", "1 revision is pending", "status"][..]),
        (&["downgrade", "-2"], &["too-many-steps", "1 revision is applied"]),
        (&["upgrade", "base"], &["wrong-direction", "downgrade base"]),
        (&["upgrade", "-1"], &["wrong-direction", "downgrade -1"]),
        (&["downgrade", "a2"], &["not-applied", "current"]),
        (&["upgrade", "b1"], &["unknown-target", "did you mean `a1`?"]),
        (&["upgrade", "a"], &["ambiguous-target", "a1", "a2"]),
        (&["schema", "t11"], &["unknown-table", "did you mean `t1`?"]),
        (&["repair", "--finished", "a1"], &["not-interrupted", "status"]),
        (&["revision", "-m", "x", "--head", "a1"], &["not-a-head", "--splice"]),
        (&["delete", "a1"], &["built-on", "a2", "delete them as well"]),
    ] {
        if arguments[0] == "schema" && !project.databases().has_schema_reader() {
            continue;
        }
        project.refuses(arguments, words);
    }
    let ran = project.run(&["stamp", "+1"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("error[usage]"), "{}", ran.err);
}

/// Two revisions, of which the first is applied.
pub fn half_applied(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project
}

fn a_range_that_counts_back_does_so_from_every_head_of_the_database(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    for (id, parent) in [("b1", "a1"), ("b2", "b1"), ("c1", "a1"), ("c2", "c1")] {
        project.migration(id, &table(parent, id));
    }
    project.run(&["upgrade", "heads"]).done();
    let ran = project.run(&["history", "-r", "-1:current"]).done();
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
}

fn a_label_that_goes_with_its_revision_is_told(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &format!("-- migrate:label start\n{}", table("base", "t1")));
    project.migration("b1", &table("a1", "t2"));
    project.run(&["delete", "a1", "--splice"]).done().says("`-- migrate:label start` in b1.sql");
}

fn a_member_of_a_workspace_with_databases_is_set_up_to_use_them(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.write(
        "Cargo.toml",
        &format!(
            "[workspace]\nmembers = [\"shop\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate]\ndatabase = \"main\"\n\n\
             [workspace.metadata.migrate.databases]\nmain = \"{}\"\n",
            project.url("main"),
        ),
    );
    project.write("shop/Cargo.toml", "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    project.write("shop/src/lib.rs", "");
    project.run(&["init", "-p", "shop"]).done().says("`cargo migrate -p shop revision -m \"create todos\"`");
    let manifest = project.read("shop/Cargo.toml");
    assert!(!manifest.contains("sqlite:") && !manifest.contains("postgres:"), "{manifest}");
    project.run(&["revision", "-p", "shop", "-m", "x"]).done();
    let main = format!("main ({})", project.databases().shown("main"));
    project.run(&["upgrade", "-p", "shop"]).done().says(&main);
    let again = project.run(&["init", "-p", "shop"]).done();
    assert!(!again.err.contains("write the first revision"), "{}", again.err);
}

fn what_the_environment_says(ground: &dyn Ground) {
    let project = half_applied(ground);
    let manifest = project.read("Cargo.toml");
    let own = project.databases().own("dev");
    project.write("Cargo.toml", &manifest.replace(&own, "\"env:APP_DATABASE\""));
    project.refuses(&["upgrade"], &["missing-variable", "`APP_DATABASE` is not set", ".env"]);
    project.write(".env", "this is se cret\n");
    let ran = project.refuses(&["upgrade"], &["invalid-env-file", "line 1"]);
    assert!(!ran.err.contains("cret"), "{}", ran.err);
    // What it says is where the database is.
    project.write(".env", &format!("APP_DATABASE={}\n", project.url("dev")));
    project.run(&["current"]).done().says("a1");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", ""));
    std::fs::remove_file(project.path(".env")).unwrap();
    project.refuses(&["upgrade"], &["no-database", "dev, test", "-d dev"]);
}
