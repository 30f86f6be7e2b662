//! Runs that are met half way, and ways back that lead nowhere.

use std::io::{BufRead as _, BufReader};

use crate::harness::{Project, Ran};
use crate::pages::ground::Ground;
use crate::pages::with_a_row;
use crate::pages::workspaces::{member, migration, workspace};

pages! {
    the_row_of_a_living_run_is_left_to_it,
    to_look_whether_a_run_lives_leaves_no_trace,
    whoever_follows_the_advice_ends_with_a_record_that_is_true,
    the_advice_names_the_package_of_several_and_the_library_that_was_interrupted,
    to_delete_what_is_half_way_takes_nothing_with_it,
    a_word_that_could_be_meant_either_way_is_refused,
    what_is_half_way_is_not_applied,
    whoever_stamps_settles_what_was_interrupted,
    a_failed_verify_tells_what_was_kept,
    a_statement_that_fails_says_what_was_kept_and_what_to_do,
    to_do_nothing_is_no_way_back,
    what_did_nothing_is_taken_back_by_doing_nothing,
    what_was_interrupted_is_counted,
}

/// A project whose `a2` was interrupted on its way up: its table is there, its row says `running`.
fn interrupted(ground: &dyn Ground) -> (Project, Ran) {
    let project = with_a_row(ground);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nINSERT INTO missing VALUES (1);\n\
         -- migrate:down\nDROP TABLE u;\n",
    );
    let stopped = project.run(&["upgrade"]).refused(&["sql-error", "a2.sql:5:1"]);
    (project, stopped)
}

/// A project whose `a2` was interrupted on its way back: `u` is gone, `v` is not yet.
fn interrupted_on_its_way_back(ground: &dyn Ground) -> (Project, Ran) {
    let project = with_a_row(ground);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE u (x INTEGER);\nCREATE TABLE v (x INTEGER);\n\
         -- migrate:down\nDROP TABLE u;\nDROP TABLE missing;\nDROP TABLE v;\n",
    );
    project.run(&["upgrade"]).done();
    let stopped = project.run(&["downgrade", "-1"]).refused(&["sql-error", "a2.sql:8:1"]);
    (project, stopped)
}

/// The commands that are printed as ways out of an interrupted revision: to end what was begun, and to undo it.
#[track_caller]
fn advice(said: &str) -> [Vec<String>; 2] {
    let commands: Vec<Vec<String>> = said
        .lines()
        .filter_map(|line| line.split_once("then: `cargo migrate ")?.1.strip_suffix('`'))
        .map(|command| command.split(' ').map(str::to_owned).collect())
        .collect();
    commands.try_into().unwrap_or_else(|_| panic!("two ways out are printed\n{said}"))
}

fn the_row_of_a_living_run_is_left_to_it(ground: &dyn Ground) {
    let (project, _) = interrupted(ground);
    let held = project.databases().as_a_living_run("dev");
    for command in [
        &["repair", "--finished", "a2", "--wait", "0"][..],
        &["repair", "--not-applied", "a2", "--wait", "0"],
        &["stamp", "a1", "--wait", "0"],
        &["stamp", "base", "--purge", "--wait", "0"],
        &["ensure-version", "--wait", "0"],
        &["upgrade", "--wait", "0"],
    ] {
        project.refuses(command, &["database-busy", project.databases().under_way(), "--wait SECONDS"]);
    }
    let status = project.run(&["status"]).done().says("a run of `a2` is under way");
    assert!(!status.err.contains("repair") && !status.err.contains("interrupted"), "{}", status.err);
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");

    // The run dies, and whoever waits for it finds that it was interrupted.
    let mut waiting =
        project.command(&["repair", "--not-applied", "a2"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("Waiting")), "it waits for nobody");
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    drop(held);
    assert!(!said.any(|line| line.contains("Waiting")), "it is said once");
    assert!(waiting.wait().unwrap().success());
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate WHERE revision = 'a2'"), "0");
    assert!(!project.path("app.db-migrate").exists());
}

fn to_look_whether_a_run_lives_leaves_no_trace(ground: &dyn Ground) {
    let (project, _) = interrupted(ground);
    let before = project.contents();
    project.run(&["status"]).done().says("was interrupted").says("repair --finished a2");
    assert_eq!(project.contents(), before);
    // The file that a killed run has left is no run.
    project.write("app.db-migrate", "");
    project.run(&["status"]).done().says("was interrupted");
    project.run(&["repair", "--not-applied", "a2"]).done();
}

fn whoever_follows_the_advice_ends_with_a_record_that_is_true(ground: &dyn Ground) {
    for (back, done, undone) in [
        (false, "CREATE TABLE missing (x INTEGER)", "DROP TABLE u"),
        (true, "DROP TABLE v", "CREATE TABLE u (x INTEGER)"),
    ] {
        for by_status in [false, true] {
            for (way, by_hand) in [done, undone].into_iter().enumerate() {
                let (project, stopped) = if back { interrupted_on_its_way_back(ground) } else { interrupted(ground) };
                let said = if by_status { project.run(&["status"]).done() } else { stopped };
                let command = &advice(&said.err)[way];
                project.execute(by_hand);
                project.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).done();

                // On its way up the first way out ends with it applied, on its way back the second one.
                let applied = (way == 0) != back;
                let about = format!("{command:?}, {back}");
                let state = "SELECT coalesce(max(state), 'no row') FROM _cargo_migrate WHERE revision = 'a2'";
                assert_eq!(project.ask(state), if applied { "applied" } else { "no row" }, "{about}");
                assert_eq!(project.tables().iter().any(|table| table == "u"), applied, "{about}");
                let at_head = project.run(&["current", "--check-heads"]);
                assert_eq!(at_head.status, i32::from(!applied), "{about}");
                project.run(&["status"]).done().says(if applied { "pending   0" } else { "pending   1" });
            }
        }
    }
}

fn the_advice_names_the_package_of_several_and_the_library_that_was_interrupted(ground: &dyn Ground) {
    let stops = "CREATE TABLE half (x INTEGER);\nINSERT INTO missing VALUES (1);";
    let state = "SELECT coalesce(max(package || ' ' || state), 'no row') FROM _cargo_migrate WHERE revision = 'h1'";
    for (library, way) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
        let project = workspace(ground);
        member(&project, "app", "[package.metadata.migrate]\n");
        member(&project, "tools", "[package.metadata.migrate]\n");
        if library {
            let manifest = "[package]\nname = \"ledger\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
            project.write("outside/ledger/Cargo.toml", manifest);
            project.write("outside/ledger/src/lib.rs", "");
            let text =
                format!("-- migrate:no-transaction\n-- migrate:up\n{stops}\n-- migrate:down\nDROP TABLE half;\n");
            project.write("outside/ledger/migrations/h1.sql", &text);
            project.write("outside/ledger/migrations/migrate.lock", "format 1\npackage ledger\nh1  draft\n");
            let needs = "[package.metadata.migrate]\nlibraries = [\"ledger\"]\n\n\
                 [dependencies]\nledger = { path = \"../../outside/ledger\" }\n";
            member(&project, "app", needs);
        } else {
            migration(&project, "tools", "h1", "-- migrate:no-transaction", stops, "DROP TABLE half;");
        }
        let stopped = project.run(&["upgrade", "--workspace"]).refused(&["sql-error", "h1.sql"]);
        let advised = advice(&stopped.err)[way].clone();
        // Who tries again is told the same.
        let again = advice(&project.run(&["upgrade", "--workspace"]).refused(&["interrupted"]).err);
        assert_eq!(again[way], advised);
        project.run(&advised.iter().map(String::as_str).collect::<Vec<_>>()).done();
        let package = if library { "ledger" } else { "tools" };
        let settled = if way == 0 { format!("{package} applied") } else { "no row".to_owned() };
        assert_eq!(project.ask(state), settled, "{advised:?}");
    }
}

fn to_delete_what_is_half_way_takes_nothing_with_it(ground: &dyn Ground) {
    let project = with_a_row(ground);
    // Given a table that was made by hand, and a revision that fails because of it.
    project.execute("CREATE TABLE precious (x INTEGER); INSERT INTO precious VALUES (7);");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE precious (x INTEGER);\n\
         -- migrate:down\nDROP TABLE precious;\n",
    );
    project.run(&["upgrade"]).refused(&["sql-error"]);
    // Then deleting it is refused as going back is, whatever is said, and by the name of another database too.
    for command in [
        &["downgrade", "-1"][..],
        &["delete", "a2"],
        &["delete", "a2", "--downgrade"],
        &["delete", "a2", "--downgrade", "--down-from", "file", "--yes"],
    ] {
        let ran = project.refuses(command, &["error[interrupted]", "`a2`"]);
        assert_eq!(
            advice(&ran.err),
            [["repair", "--finished", "a2"], ["repair", "--not-applied", "a2"]],
            "{command:?}"
        );
        assert!(!ran.err.contains("still-applied"), "{}", ran.err);
    }
    project
        .refuses(&["-d", "test", "delete", "a2"], &["interrupted", "`cargo migrate -d dev repair --not-applied a2`"]);
    assert_eq!(project.ask("SELECT x FROM precious"), "7");
    // What is said to be nowhere can go.
    project.run(&["repair", "--not-applied", "a2"]).done();
    project.run(&["delete", "a2"]).done();
    assert_eq!(project.ask("SELECT x FROM precious"), "7");
}

fn a_word_that_could_be_meant_either_way_is_refused(ground: &dyn Ground) {
    let (project, stopped) = interrupted_on_its_way_back(ground);
    assert!(!stopped.err.contains("--finished"), "{}", stopped.err);
    project.refuses(
        &["repair", "--finished", "a2"],
        &["taking it back was interrupted", "repair --not-applied a2", "repair --still-applied a2"],
    );
    interrupted(ground).0.refuses(
        &["repair", "--still-applied", "a2"],
        &["a run of it was interrupted", "repair --finished a2", "repair --not-applied a2"],
    );
}

fn what_is_half_way_is_not_applied(ground: &dyn Ground) {
    for (project, _) in [interrupted(ground), interrupted_on_its_way_back(ground)] {
        assert_eq!(project.run(&["current"]).done().out, "a1\n");
        project.refuses(&["current", "--check-heads"], &["not-at-head", "`a2` is neither applied nor gone", "status"]);
        assert_eq!(project.run(&["--format", "json", "current"]).done().json()["at_head"], false);
        let history = project.run(&["history"]).done().out;
        assert!(history.contains("a2 (head)  interrupted"), "{history}");
        assert_eq!(project.run(&["--format", "json", "history"]).done().json()["revisions"][0]["applied"], false);
        let status = project.run(&["--format", "json", "status"]).done().json();
        assert_eq!(
            (status["applied"].as_u64(), status["problems"][0]["code"].as_str()),
            (Some(1), Some("interrupted"))
        );
        let _held = project.databases().as_a_living_run("dev");
        project.run(&["history"]).done().says("a2 (head)  under way");
    }
}

fn whoever_stamps_settles_what_was_interrupted(ground: &dyn Ground) {
    for (target, left) in [("a2", &["a1 applied", "a2 applied"][..]), ("a1", &["a1 applied"])] {
        for (project, _) in [interrupted(ground), interrupted_on_its_way_back(ground)] {
            project.run(&["stamp", target]).done();
            let rows = "SELECT revision || ' ' || state FROM _cargo_migrate ORDER BY sequence";
            assert_eq!(project.list(rows), left);
        }
    }
}

fn a_failed_verify_tells_what_was_kept(ground: &dyn Ground) {
    let verify = "-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:verify\nSELECT count(*) > 0 FROM u;\n";
    let project = with_a_row(ground);
    project.migration("a2", &format!("-- migrate:parent a1\n{verify}"));
    project.refuses(&["upgrade"], &["verify-failed", "everything was rolled back: nothing of this run was kept"]);

    project.migration("a2", &format!("-- migrate:parent a1\n-- migrate:no-transaction\n{verify}"));
    let said = project.run(&["upgrade"]).refused(&["verify-failed", "all of its statements have taken effect"]).err;
    assert!(!said.contains("rolled back"), "{said}");
    assert_eq!(advice(&said), [["repair", "--finished", "a2"], ["repair", "--not-applied", "a2"]]);
    assert_eq!(project.ask("SELECT state FROM _cargo_migrate WHERE revision = 'a2'"), "running");
    assert_eq!(project.ask("SELECT count(*) FROM u"), "0");
}

fn a_statement_that_fails_says_what_was_kept_and_what_to_do(ground: &dyn Ground) {
    let project = with_a_row(ground);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:down\nDROP TABLE w;\n",
    );
    project.migration("a3", "-- migrate:parent a2\n-- migrate:up\nINSERT INTO missing VALUES (1);\n");
    project.refuses(
        &["upgrade"],
        &["sql-error", "nothing of this run was kept", "mend the statement, and run the command again"],
    );
    let said =
        project.run(&["upgrade", "--per-revision"]).refused(&["sql-error", "had not committed before was rolled back"]);
    assert!(said.err.contains("what was committed before is kept: a2"), "{}", said.err);
    project.refuses(&["downgrade", "-1"], &["sql-error", "nothing of this run was kept", "--down-from file"]);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:down\nDROP TABLE u;\n",
    );
    project.run(&["downgrade", "-1", "--down-from", "file"]).done();
}

fn to_do_nothing_is_no_way_back(ground: &dyn Ground) {
    let file = |down: &str| {
        format!("-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:down\n{down}\n")
    };
    let project = with_a_row(ground);
    for down in ["", "-- DROP TABLE u;", ";"] {
        project.migration("a2", &file(down));
        project.run(&["upgrade"]).done();
        for command in [&["downgrade", "-1"][..], &["downgrade", "base", "--dry-run"], &["downgrade", "-1", "--sql"]] {
            let words =
                &["irreversible", "`a2` has a down section without a statement", "--down-from file", "`SELECT 1;`"];
            project.refuses(command, words);
        }
        // The way out that is printed.
        project.migration("a2", &file("DROP TABLE u;"));
        project.refuses(&["downgrade", "-1"], &["down-differs"]);
        project.refuses(&["downgrade", "-1", "--down-from", "stored"], &["irreversible"]);
        project.run(&["downgrade", "-1", "--down-from", "file"]).done();
        assert_eq!(project.tables(), ["t"]);
    }
    project.migration("a2", &file("SELECT 1;"));
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(project.tables(), ["t", "u"]);
}

fn what_did_nothing_is_taken_back_by_doing_nothing(ground: &dyn Ground) {
    let project = with_a_row(ground);
    project.migration("b1", "-- migrate:parent base\n-- migrate:up\n-- Nothing yet.\n-- migrate:down\n");
    project.run(&["merge", "heads", "-m", "join"]).done();
    project.run(&["upgrade"]).done();
    project.run(&["downgrade", "base"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "0");
}

fn what_was_interrupted_is_counted(ground: &dyn Ground) {
    for (project, _) in [interrupted(ground), interrupted_on_its_way_back(ground)] {
        let status = project.run(&["status"]).done();
        assert!(status.out.contains("applied   1\npending   0\ninterrupted 1\n"), "{}", status.out);
        assert_eq!(project.run(&["--format", "json", "status"]).done().json()["interrupted"], 1);
        let held = project.databases().as_a_living_run("dev");
        let status = project.run(&["status"]).done();
        assert!(status.out.contains("pending   0\nunder way 1\n"), "{}", status.out);
        assert_eq!(project.run(&["--format", "json", "status"]).done().json()["interrupted"], 0);
        drop(held);
        project.run(&["repair", "--not-applied", "a2"]).done();
        let status = project.run(&["status"]).done();
        assert!(!status.out.contains("interrupted"), "{}", status.out);
    }
}
