//! Files that are not what they should be: each is a clear refusal with a way out, and nothing has changed.

use std::fmt::Write as _;
use std::fs;

use crate::harness::{Project, scale};
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_lock_that_was_cut_anywhere_is_refused_or_made_whole_again,
    a_lock_with_a_merge_conflict_is_refused_by_all_and_settled_by_one_command,
    a_lock_of_a_newer_version_is_not_touched,
    line_endings_and_byte_order_marks_change_nothing,
    bytes_that_are_no_text_are_refused_at_their_place,
    a_message_cannot_become_a_statement,
    a_mistyped_key_is_pointed_at_wherever_it_stands,
    a_mistyped_directive_is_never_passed_over,
    very_many_statements_and_a_very_long_one_are_run_and_their_errors_told_briefly,
    a_statement_nested_too_deeply_is_an_error_of_the_statement,
}

/// A project whose `dev` database has `a1` and `a2`.
pub fn project(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade"]).done();
    project
}

fn a_lock_that_was_cut_anywhere_is_refused_or_made_whole_again(ground: &dyn Ground) {
    let project = project(ground);
    let whole = project.read("migrations/migrate.local");
    let step = if scale() >= 1.0 { 1 } else { 13 };
    for at in (0..whole.len()).step_by(step).chain([1, whole.find("a1").unwrap()]) {
        project.write("migrations/migrate.local", &whole[..at]);
        // What ends behind a line is a lock that knows less, and what it lacks is in the database.
        if whole[..at].ends_with('\n') && whole[..at].contains("format 1\n") {
            project.run(&["upgrade"]).done();
            assert_eq!(project.read("migrations/migrate.local"), whole, "{at}");
        } else {
            project.refuses(&["upgrade"], &["lock-syntax", "migrate.local", "remove this file"]);
        }
    }
}

fn a_lock_with_a_merge_conflict_is_refused_by_all_and_settled_by_one_command(ground: &dyn Ground) {
    let project = project(ground);
    let ours = project.read("migrations/migrate.lock");
    let line = "a2  draft\n";
    assert!(ours.contains(line));
    let place = format!("migrate.lock:{}:1", ours.lines().position(|other| other == line.trim_end()).unwrap() + 1);
    let conflict = ours.replace(line, &format!("<<<<<<< HEAD\n{line}=======\nb2  draft\n>>>>>>> theirs\n"));
    project.write("migrations/migrate.lock", &conflict);
    project.migration("b2", &table("a1", "u2"));
    for verb in [&["upgrade"][..], &["status"], &["revision", "-m", "x"], &["delete", "b2"], &["downgrade", "-1"]] {
        project.refuses(verb, &["lock-conflict", &place, "cargo migrate lock"]);
    }
    project.run(&["lock"]).done();
    assert_eq!(project.read("migrations/migrate.lock"), ours + "b2  draft\n");
    let sealed = |byte: &str| {
        let hash = byte.repeat(64);
        format!("a1  sha256:{hash}  statements:{hash}  seal:{hash}  prod\n")
    };
    let conflict = format!("format 1\n<<<<<<< HEAD\n{}=======\n{}>>>>>>> theirs\n", sealed("1"), sealed("2"));
    project.write("migrations/migrate.lock", &conflict);
    project.refuses(&["lock"], &["lock-conflict", "different texts of `a1`", "new revision"]);
}

fn a_lock_of_a_newer_version_is_not_touched(ground: &dyn Ground) {
    let project = project(ground);
    project.write("migrations/migrate.lock", "format 2\nwhatever\n");
    for verb in [&["upgrade"][..], &["lock"], &["revision", "-m", "x"]] {
        project.refuses(verb, &["lock-format", "install a newer cargo-migrate"]);
    }
}

fn line_endings_and_byte_order_marks_change_nothing(ground: &dyn Ground) {
    let project = project(ground);
    for change in [|text: &str| text.replace('\n', "\r\n"), |text: &str| format!("\u{FEFF}{text}")] {
        for name in ["a1.sql", "a2.sql", "migrate.lock", "migrate.local"] {
            let name = format!("migrations/{name}");
            let text = project.read(&name);
            project.write(&name, &change(&text));
        }
        let before = project.contents();
        project.run(&["verify"]).done();
        project.run(&["upgrade"]).done().says("nothing to do");
        assert_eq!(project.contents(), before);
    }
    project.run(&["downgrade", "base"]).done();
    project.run(&["upgrade"]).done();
}

fn bytes_that_are_no_text_are_refused_at_their_place(ground: &dyn Ground) {
    let project = project(ground);
    for name in ["migrations/a3.sql", "migrations/migrate.lock", "migrations/migrate.local"] {
        let whole = fs::read(project.path(name)).ok();
        for (bytes, words) in [
            (&b"-- a\nSELECT \xE9;\n"[..], &["not-text", "line 2, column 8", "UTF-8"][..]),
            (b"-- a\nSELECT '\0';\n", &["not-text", ":2:9", "NUL"]),
            (b"\xFF\xFE-\0-\0", &["not-text", "UTF-16", "PowerShell"]),
        ] {
            fs::write(project.path(name), bytes).unwrap();
            for verb in [&["upgrade"][..], &["status"], &["revision", "-m", "x"]] {
                project.refuses(verb, &[words, &[name]].concat());
            }
        }
        match whole {
            Some(bytes) => fs::write(project.path(name), bytes).unwrap(),
            None => fs::remove_file(project.path(name)).unwrap(),
        }
    }
}

fn a_message_cannot_become_a_statement(ground: &dyn Ground) {
    let project = project(ground);
    let message = "first\n-- migrate:up\nDROP TABLE t1;\u{1b}[31m\r\n*/ ' ;";
    let ran = project.run(&["revision", "-m", message, "--rev-id", "a3"]).done();
    ran.is_printable();
    let text = project.read("migrations/a3.sql");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("--")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    project.run(&["upgrade"]).done();
    assert_eq!(project.tables(), ["t1", "t2"]);
}

fn a_mistyped_key_is_pointed_at_wherever_it_stands(ground: &dyn Ground) {
    let project = project(ground);
    let manifest = project.read("Cargo.toml");
    let scrach = manifest.lines().nth(12).unwrap().find("scratch = true").unwrap() + 1;
    let scrach = format!("Cargo.toml:13:{scrach}");
    for (wrong, words) in [
        (
            manifest.replace("database = \"dev\"", "databse = \"dev\""),
            &["`databse`", "Cargo.toml:9:1", "write `database`"][..],
        ),
        (manifest.replace("scratch = true", "scrach = true"), &["`scrach`", &scrach, "write `scratch`"]),
        (
            format!("{manifest}\n[workspace.metadata.migrate]\nwiat = 3\n"),
            &["`wiat`", "workspace.metadata.migrate", "write `wait`"],
        ),
    ] {
        project.write("Cargo.toml", &wrong);
        for verb in [&["upgrade"][..], &["status"], &["revision", "-m", "x"]] {
            project.refuses(verb, &[&["unknown-key"], words].concat());
        }
    }
    for (line, words) in [
        ("wait = \"long\"", &["invalid-setting", "`wait`"][..]),
        ("migrations = \"/srv\"", &["invalid-setting", "`migrations`"]),
        ("version-table = \"a b\"", &["invalid-setting", "`version-table`"]),
        ("database = \"dve\"", &["invalid-setting", "database = \"dev\""]),
    ] {
        project.write("Cargo.toml", &manifest.replace("database = \"dev\"", line));
        project.refuses(&["upgrade"], words);
    }
    project.write("Cargo.toml", &format!("{manifest}\n[[[\n"));
    let ran = project.run_bounded(&["upgrade"]).refused(&["cargo-metadata", "Cargo.toml:"]);
    ran.is_printable();
}

fn a_mistyped_directive_is_never_passed_over(ground: &dyn Ground) {
    let project = project(ground);
    for (line, words) in [
        ("-- migrate:parnet a2", &["unknown-directive", "a3.sql:1:1", "parent"][..]),
        ("-- migrate:no_transaction", &["unknown-directive", "no-transaction"]),
        ("-- migrate:parent", &["invalid-directive", "a3.sql:1:1"]),
        ("-- migrate:parent a2\n-- migrate:parent a1", &["invalid-directive", "a3.sql:2:1"]),
        ("-- migrate:foreign-keys off", &["invalid-directive", "a3.sql:1:1"]),
        ("-- migrate:up\nSELECT 'a", &["unclosed", "a3.sql:2:8"]),
        ("-- migrate:up\n/* a", &["unclosed", "a3.sql:2:1"]),
    ] {
        project.migration("a3", &format!("{line}\n-- migrate:up\nSELECT 1;\n"));
        project.refuses(&["upgrade"], words);
    }
}

/// 100,000 statements and a literal of 50 MB at full scale.
fn very_many_statements_and_a_very_long_one_are_run_and_their_errors_told_briefly(ground: &dyn Ground) {
    let project = Project::on(ground);
    let statements = (100_000.0 * scale()) as usize;
    let mut many = String::from("-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x TEXT);\n");
    for at in 0..statements {
        writeln!(many, "INSERT INTO t VALUES ({at});").unwrap();
    }
    project.migration("a1", &many);
    let literal = "x".repeat((50_000_000.0 * scale()) as usize);
    let long =
        |table: &str| format!("-- migrate:parent a1\n-- migrate:up\nINSERT INTO {table} VALUES ('{literal}');\n");
    project.migration("a2", &long("t"));
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM t"), (statements + 1).to_string());
    assert_eq!(project.ask("SELECT max(length(x)) FROM t"), literal.len().to_string());
    project.run(&["downgrade", "a1", "--dry-run"]).refused(&["irreversible"]);
    project.migration("a3", &long("missing").replace("parent a1", "parent a2"));
    let ran = project.refuses_without_help(&["upgrade"], &["sql-error", "a3.sql:3:1", "missing"]);
    assert!(ran.err.len() < 4000, "{}", ran.err.len());
    project.migration("a3", &long("t").replace("');", ");"));
    let ran = project.refuses(&["upgrade"], &["unclosed", "a3.sql:3:23"]);
    assert!(ran.err.len() < 4000, "{}", ran.err.len());
}

fn a_statement_nested_too_deeply_is_an_error_of_the_statement(ground: &dyn Ground) {
    let project = project(ground);
    let depth = 200_000;
    let text = format!("-- migrate:parent a2\n-- migrate:up\nSELECT {}1{};\n", "(".repeat(depth), ")".repeat(depth));
    project.migration("a3", &text);
    project.refuses_without_help(&["upgrade"], &["sql-error", "a3.sql:3:1"]);
}
