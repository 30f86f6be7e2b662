//! Pipes, links, names that no revision could have, a folder that is locked or not there: what is found out before any
//! database is opened.

use std::fs;

use crate::harness::{Project, ended, table};
use crate::pages::ground::Sqlite;
use crate::pages::hostile_files::project;

#[cfg(unix)]
#[test]
fn what_is_no_file_is_never_opened() {
    let project = project(&Sqlite);
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
    let project = project(&Sqlite);
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
    let project = project(&Sqlite);
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
        let project = project(&Sqlite);
        project.migration(name, "SELECT 1;\n");
        for verb in ["upgrade", "status"] {
            project.refuses(&[verb], &["invalid-id", why]);
        }
    }
    let project = project(&Sqlite);
    fs::write(project.path("migrations").join(std::ffi::OsStr::from_bytes(b"a\xFF.sql")), "").unwrap();
    project.refuses(&["upgrade"], &["invalid-id", "not UTF-8", "rename the file"]);
}

#[test]
fn an_id_that_is_asked_for_cannot_leave_the_folder_or_the_line() {
    let project = project(&Sqlite);
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
fn a_file_of_a_size_that_no_migration_has_is_not_read() {
    let project = project(&Sqlite);
    fs::File::create(project.path("migrations/a3.sql")).unwrap().set_len(20 << 30).unwrap();
    project.refuses(&["upgrade"], &["too-large", "a3.sql", "64 MiB"]);
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
