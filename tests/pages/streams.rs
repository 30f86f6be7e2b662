//! Readers of what the command prints who go away before its end.

use std::process::Stdio;

use crate::pages::ground::Ground;
use crate::pages::statuses::project;

pages! {
    a_reader_who_has_seen_enough_is_no_panic,
}

fn a_reader_who_has_seen_enough_is_no_panic(ground: &dyn Ground) {
    let project = project(ground);
    for arguments in [
        &["history"][..],
        &["status"],
        &["schema"],
        &["upgrade", "--sql"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["--format", "json", "history"],
        &["upgrade"],
        &["show", "nowhere"],
    ] {
        if arguments == ["schema"] && !project.databases().has_schema_reader() {
            continue;
        }
        let (reader, out) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(arguments);
        let output = command.stdout(out).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{arguments:?}\n{said}");
        assert_eq!(output.status.code(), Some(i32::from(arguments == ["show", "nowhere"])), "{arguments:?}\n{said}");
        // Nor is a standard error that nobody reads.
        let (reader, err) = std::io::pipe().unwrap();
        drop(reader);
        let status = project.command(arguments).stdout(Stdio::null()).stderr(err).status().unwrap();
        assert!(matches!(status.code(), Some(0 | 1)), "{arguments:?} {status}");
    }
    assert_eq!(project.ask("SELECT count(*) FROM _cargo_migrate"), "2");
}
