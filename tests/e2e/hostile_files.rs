//! Files that are not what they should be: each is a clear refusal with a way out, and nothing has changed.

use std::fmt::Write as _;
use std::fs;

use crate::harness::{Project, ended, scale, table};

/// A project whose `dev` database has `a1` and `a2`.
fn project() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade"]).done();
    project
}

#[test]
fn a_lock_that_was_cut_anywhere_is_refused_or_made_whole_again() {
    let project = project();
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

#[test]
fn a_lock_with_a_merge_conflict_is_refused_by_all_and_settled_by_one_command() {
    let project = project();
    let ours = project.read("migrations/migrate.lock");
    let line = "a2  draft\n";
    assert!(ours.contains(line));
    let conflict = ours.replace(line, &format!("<<<<<<< HEAD\n{line}=======\nb2  draft\n>>>>>>> theirs\n"));
    project.write("migrations/migrate.lock", &conflict);
    project.migration("b2", &table("a1", "u2"));
    for verb in [&["upgrade"][..], &["status"], &["revision", "-m", "x"], &["delete", "b2"], &["downgrade", "-1"]] {
        project.refuses(verb, &["lock-conflict", "migrate.lock:5:1", "cargo migrate lock"]);
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

#[test]
fn a_lock_of_a_newer_version_is_not_touched() {
    let project = project();
    project.write("migrations/migrate.lock", "format 2\nwhatever\n");
    for verb in [&["upgrade"][..], &["lock"], &["revision", "-m", "x"]] {
        project.refuses(verb, &["lock-format", "install a newer cargo-migrate"]);
    }
}

#[test]
fn line_endings_and_byte_order_marks_change_nothing() {
    let project = project();
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

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    let project = project();
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

#[cfg(unix)]
#[test]
fn what_is_no_file_is_never_opened() {
    let project = project();
    let local = project.bytes("migrations/migrate.local");
    for name in ["migrations/a3.sql", "migrations/migrate.local"] {
        let path = project.path(name);
        let _ = fs::remove_file(&path);
        let refused = || {
            for verb in [&["upgrade"][..], &["status"], &["lock"]] {
                project.refuses(verb, &["file-access", name]);
            }
        };
        crate::hostile_databases::pipe(&project, name);
        refused();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused();
        fs::remove_dir(&path).unwrap();
        for target in ["nowhere", "/dev/zero", path.file_name().unwrap().to_str().unwrap()] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            refused();
            fs::remove_file(&path).unwrap();
        }
    }
    fs::write(project.path("migrations/migrate.local"), local).unwrap();
    project.run(&["upgrade"]).done();
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_read_through_and_only_the_link_is_ever_removed() {
    let project = project();
    let outside = tempfile::tempdir().unwrap();
    let (migration, lock) = (outside.path().join("a3.sql"), outside.path().join("lock"));
    fs::write(&migration, table("a2", "t3")).unwrap();
    fs::rename(project.path("migrations/migrate.local"), &lock).unwrap();
    std::os::unix::fs::symlink(&migration, project.path("migrations/a3.sql")).unwrap();
    std::os::unix::fs::symlink(&lock, project.path("migrations/migrate.local")).unwrap();
    project.run(&["upgrade"]).done().says("a2 -> a3");
    assert!(project.path("migrations/migrate.local").is_symlink());
    assert!(fs::read_to_string(&lock).unwrap().contains("a3  sha256:"));
    project.run(&["delete", "a3", "--downgrade"]).done();
    assert!(!project.path("migrations/a3.sql").exists() && migration.exists());
}

#[cfg(unix)]
#[test]
fn a_process_that_sits_on_the_migrations_folder_does_not_stop_us_for_ever() {
    let project = project();
    let held = fs::File::open(project.path("migrations")).unwrap();
    held.lock().unwrap();
    project.run_bounded(&["revision", "-m", "x"]).refused(&[
        "file-access",
        "another process holds it locked",
        "wait for it",
    ]);
}

#[cfg(unix)]
#[test]
fn a_file_name_that_is_no_revision_id_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let long = "x".repeat(201);
    for (name, why) in [
        ("a b", "has ` ` in it"),
        ("a\nb", "U+000A"),
        ("a\u{1b}[31m", "U+001B"),
        ("a@b", "`@`"),
        ("-a", "starts with `-`"),
        ("head", "meaning of its own"),
        ("NUL", "Windows"),
        ("com1", "Windows"),
        (&long, "longer than 200 bytes"),
        ("a3.up", "one file, with its up and its down"),
    ] {
        let project = project();
        project.migration(name, "SELECT 1;\n");
        for verb in ["upgrade", "status"] {
            project.refuses(&[verb], &["invalid-id", why]);
        }
    }
    let project = project();
    fs::write(project.path("migrations").join(std::ffi::OsStr::from_bytes(b"a\xFF.sql")), "").unwrap();
    project.refuses(&["upgrade"], &["invalid-id", "not UTF-8", "rename the file"]);
}

#[test]
fn an_id_that_is_asked_for_cannot_leave_the_folder_or_the_line() {
    let project = project();
    let long = "x".repeat(300);
    for id in ["../x", "a/b", "a\\b", "/etc/x", "a\nb", "a\u{1b}[2J", "a b", "CON", "lpt1", "base", "", &long, "A1"] {
        let before = project.contents();
        let ran = project.run(&["revision", "-m", "x", &format!("--rev-id={id}")]);
        ran.is_printable();
        assert!(ran.err.contains("invalid-id") || id == "A1" && ran.err.contains("duplicate-id"), "{}", ran.err);
        assert!(ran.err.len() < 2000);
        ran.refused(&[]);
        assert_eq!(project.contents(), before);
    }
}

#[test]
fn a_message_cannot_become_a_statement() {
    let project = project();
    let message = "first\n-- migrate:up\nDROP TABLE t1;\u{1b}[31m\r\n*/ ' ;";
    let ran = project.run(&["revision", "-m", message, "--rev-id", "a3"]).done();
    ran.is_printable();
    let text = project.read("migrations/a3.sql");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("--")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 't1'"), "1");
}

#[test]
fn an_applied_file_that_was_edited_or_taken_away_stops_every_command_that_would_build_on_it() {
    let project = project();
    let whole = project.read("migrations/a1.sql");
    project.migration("a1", &whole.replace("t1 (x)", "t1 (x, y)"));
    for verb in [&["upgrade"][..], &["verify"], &["stamp", "head"], &["upgrade", "--sql"]] {
        project.refuses(verb, &["error[edited]", "migrations/a1.sql", "`dev`", "git checkout"]);
    }
    project.run(&["status"]).done().says("error[edited]");
    project.migration("a1", &format!("-- A word.\n{whole}"));
    project.refuses(&["upgrade"], &["edited-comments", "what its upgrade does is the same"]);
    fs::remove_file(project.path("migrations/a1.sql")).unwrap();
    project.migration("a2", &table("base", "t2"));
    project.refuses(&["upgrade"], &["deleted", "a1.sql", "git checkout"]);
    // The database can still be taken back: it knows the way.
    project.run(&["downgrade", "base"]).done();
}

#[test]
fn an_edit_and_a_new_name_below_an_applied_revision_are_another_history() {
    let project = project();
    let whole = project.read("migrations/a1.sql");
    project.migration("a1", &whole.replace("t1 (x)", "t1 (x, y)"));
    let said = project.refuses(&["upgrade"], &["error[edited]", "a1.sql"]);
    assert!(!said.err.contains("a2.sql"), "what stands on an edited file is not told on top of it\n{}", said.err);
    // Where the lock does not know the edited one, what stands on it does.
    let local = project.read("migrations/migrate.local");
    let without: String =
        local.lines().filter(|line| !line.starts_with("a1 ")).map(|line| format!("{line}\n")).collect();
    project.write("migrations/migrate.local", &without);
    project.refuses(&["upgrade"], &["history-changed", "`a2` now stands on another history"]);
    project.write("migrations/migrate.local", &local);
    project.migration("a1", &whole);
    fs::rename(project.path("migrations/a1.sql"), project.path("migrations/a0.sql")).unwrap();
    project.migration("a2", &table("a0", "t2"));
    project.refuses(&["upgrade"], &["the file of `a1` is gone", "a2.sql", "git checkout"]);
}

#[test]
fn ids_that_differ_in_case_alone_are_one_id_and_both_files_are_named() {
    let project = project();
    project.migration("A2", &table("a1", "u2"));
    project.refuses(&["upgrade"], &["duplicate-id", "migrations/a2.sql", "migrations/A2.sql", "rename"]);
}

#[test]
fn missing_parents_and_circles_name_all_files_that_are_in_it() {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a11", "t2"));
    project.refuses(&["upgrade"], &["missing-parent", "a2.sql:1:1", "a11.sql", "did you mean `a1`?"]);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:depends a9\n-- migrate:up\nSELECT 1;\n");
    project.refuses(&["upgrade"], &["missing-parent", "a2.sql:2:1", "a9.sql"]);
    project.migration("a2", &table("a2", "t2"));
    project.refuses(&["upgrade"], &["[cycle]", "a2.sql:1:1", "a2 -> a2"]);
    project.migration("a1", &table("a3", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.migration("a3", &table("a2", "t3"));
    for verb in ["upgrade", "history", "heads"] {
        project.refuses(&[verb], &["[cycle]", "a1.sql:1:1", "a2.sql:1:1", "a3.sql:1:1", "another parent"]);
    }
    project.migration("a1", "-- migrate:parent base\n-- migrate:depends a3\n-- migrate:up\nSELECT 1;\n");
    project.refuses(&["upgrade"], &["[cycle]", "a1.sql", "a2.sql", "a3.sql"]);
}

#[test]
fn two_revisions_with_one_label_are_both_pointed_at() {
    let project = project();
    for id in ["b1", "b2"] {
        project.migration(id, "-- migrate:parent a2\n-- migrate:label billing\n-- migrate:up\nSELECT 1;\n");
    }
    project.refuses(&["upgrade"], &["duplicate-label", "b1.sql:2:1", "b2.sql:2:1", "another label"]);
}

#[test]
fn a_file_that_would_slip_in_before_an_applied_one_has_to_follow_it() {
    for header in ["", "-- migrate:parent a1\n-- migrate:up\n"] {
        let project = Project::new();
        project.migration("a1", "CREATE TABLE t1 (x);\n");
        project.migration("a3", "CREATE TABLE t3 (x);\n");
        project.run(&["upgrade"]).done();
        project.migration("a2", &format!("{header}CREATE TABLE t2 (x);\n"));
        project.refuses(&["upgrade"], &["slipped-in", "a2.sql", "a3.sql", "`-- migrate:parent a3`"]);
        // What the help says to do is enough.
        project.migration("a2", "-- migrate:parent a3\n-- migrate:up\nCREATE TABLE t2 (x);\n");
        project.run(&["upgrade"]).done().says("a3 -> a2");
    }
}

#[test]
fn a_mistyped_key_is_pointed_at_wherever_it_stands() {
    let project = project();
    let manifest = project.read("Cargo.toml");
    for (wrong, words) in [
        (
            manifest.replace("database = \"dev\"", "databse = \"dev\""),
            &["`databse`", "Cargo.toml:9:1", "write `database`"][..],
        ),
        (manifest.replace("scratch = true", "scrach = true"), &["`scrach`", "Cargo.toml:13:43", "write `scratch`"]),
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

#[test]
fn a_mistyped_directive_is_never_passed_over() {
    let project = project();
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

#[test]
fn a_history_of_thousands_in_a_row_overflows_nothing() {
    let project = Project::new();
    let id = |at: usize| if at == 0 { "base".to_owned() } else { format!("c{at:05}") };
    let migrate = |at: usize| {
        let text = format!("-- migrate:parent {}\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n", id(at - 1));
        project.migration(&id(at), &text);
    };
    (1..=5000).for_each(migrate);
    project.run(&["heads"]).done().says("c05000");
    project.run(&["history", "--graph"]).done().says("c00001");
    // The run itself, which is many statements and no depth, is as long as the scale says.
    let run = (5000.0 * scale()) as usize;
    project.run(&["upgrade", &id(run)]).done().says(&format!("upgrade of {run} revisions"));
    project.run(&["downgrade", "c00001"]).done();
    project.run(&["current"]).done().says("c00001");
    // And a circle of thousands is told in a few lines.
    project.migration("c00001", "-- migrate:parent c05000\n-- migrate:up\nSELECT 1;\n");
    let ran = project.run_bounded(&["upgrade"]).refused(&["[cycle]", "5000 files"]);
    assert!(ran.err.len() < 5000, "{}", ran.err.len());
}

#[test]
fn a_merge_of_thousands_overflows_nothing() {
    let project = Project::new();
    project.migration("base_of_all", "-- migrate:parent base\n-- migrate:up\nSELECT 1;\n");
    let ids: Vec<String> = (0..1000).map(|at| format!("w{at:04}")).collect();
    for id in &ids {
        project.migration(id, "-- migrate:parent base_of_all\n-- migrate:up\nSELECT 1;\n");
    }
    project.refuses(&["upgrade"], &["ambiguous-target", "1000 heads"]);
    project.migration("z", &format!("-- migrate:parent {}\n-- migrate:up\nSELECT 1;\n", ids.join(", ")));
    project.run(&["history", "--graph"]).done();
    project.run(&["upgrade"]).done().says("upgrade of 1002 revisions");
    project.run(&["current"]).done().says("z (head)");
}

/// 100,000 statements and a literal of 50 MB at full scale.
#[test]
fn very_many_statements_and_a_very_long_one_are_run_and_their_errors_told_briefly() {
    let project = Project::new();
    let statements = (100_000.0 * scale()) as usize;
    let mut many = String::from("-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
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

#[test]
fn a_file_of_a_size_that_no_migration_has_is_not_read() {
    let project = project();
    fs::File::create(project.path("migrations/a3.sql")).unwrap().set_len(20 << 30).unwrap();
    project.refuses(&["upgrade"], &["too-large", "a3.sql", "64 MiB"]);
}

#[test]
fn a_statement_nested_too_deeply_is_an_error_of_the_statement() {
    let project = project();
    let depth = 200_000;
    let text = format!("-- migrate:parent a2\n-- migrate:up\nSELECT {}1{};\n", "(".repeat(depth), ")".repeat(depth));
    project.migration("a3", &text);
    project.refuses_without_help(&["upgrade"], &["sql-error", "a3.sql:3:1"]);
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_made() {
    let project = Project::new();
    fs::remove_dir(project.path("migrations")).unwrap();
    for verb in [&["upgrade"][..], &["status"], &["revision", "-m", "x"]] {
        project.refuses(verb, &["no-migrations", "migrations", "cargo migrate init"]);
    }
    let empty = tempfile::tempdir().unwrap();
    let mut command = project.command(&["status"]);
    command.current_dir(empty.path());
    ended(command).refused(&["no-project", "--manifest-path", "--migrations DIR"]);
}
