//! The house stands as `ARCHITECTURE.md` says: arrows go one way, and a few things live in one room alone.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(package: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(package).join("src"), &mut found);
    assert!(!found.is_empty());
    found
}

#[track_caller]
fn only_in(package: &str, word: &str, rooms: &[&str]) {
    for (path, text) in sources(package) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        if code.contains(word) {
            let named = path.to_string_lossy().replace('\\', "/");
            assert!(rooms.iter().any(|room| named.ends_with(room)), "`{word}` stands in {named}");
        }
    }
}

#[test]
fn each_crate_depends_on_those_below_it_alone() {
    for (package, above) in [
        ("build-support", &["migrate-runtime", "migrate-macros", "cargo-migrate", "rusqlite"][..]),
        ("migrate-macros", &["migrate-runtime", "cargo-migrate", "rusqlite"]),
        ("migrate-runtime", &["cargo-migrate", "clap", "cargo_metadata"]),
    ] {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[").filter(|table| table.starts_with("dependencies")).collect::<String>();
        for name in above {
            assert!(!dependencies.lines().any(|line| line.starts_with(name)), "{package} depends on {name}");
        }
    }
}

#[test]
fn what_has_one_room_stays_in_it() {
    only_in("build-support", "sha2::", &["checksum.rs"]);
    only_in("build-support", "std::fs", &["directory.rs", "sqlite_file/files.rs"]);
    only_in("migrate-runtime", "std::fs", &["split_lock.rs", "server/files.rs", "server/tests.rs"]);
    only_in("migrate-runtime", "std::env::", &["server.rs"]);
    only_in("migrate-runtime", "rustls", &["server/tls.rs", "server/tls/verifier.rs"]);
    // Where SQLite has the file open, closing it drops SQLite's locks.
    only_in("migrate-runtime", "build_support::sqlite_file", &[]);
    only_in("cargo-migrate", "build_support::sqlite_file", &[]);
    only_in("migrate-runtime", "BEGIN IMMEDIATE", &["driver/sqlite.rs", "driver/recording/sqlite3.rs"]);
    only_in("migrate-runtime", "rusqlite::", &["connection.rs", "sqlite.rs", "testing.rs", "migrations/tests.rs"]);
    for library in ["use postgres::", "postgres::Client"] {
        let rooms = [
            "database.rs",
            "driver/postgres.rs",
            "driver/postgres/session.rs",
            "driver/postgres/verify.rs",
            "server.rs",
            "server/connecting.rs",
            "server/tls.rs",
        ];
        only_in("migrate-runtime", library, &rooms);
    }
    // Each waits for the server once, and is counted where it is.
    for call in [".batch_execute(", ".simple_query("] {
        only_in("migrate-runtime", call, &["driver/postgres/session.rs"]);
    }
    only_in("migrate-runtime", ".query_raw(", &["driver/postgres/verify.rs"]);
    only_in("migrate-runtime", "pg_try_advisory_lock", &["driver/postgres/lock.rs", "driver/recording/psql.rs"]);
    only_in(
        "migrate-runtime",
        "use crate::connection",
        &[
            "database.rs",
            "driver.rs",
            "driver/sqlite.rs",
            "driver/postgres.rs",
            "driver/postgres/begin.rs",
            "driver/postgres/elsewhere.rs",
            "driver/postgres/ending.rs",
            "driver/postgres/lock.rs",
            "driver/postgres/others.rs",
            "driver/postgres/rows.rs",
            "driver/postgres/server.rs",
            "driver/postgres/session.rs",
            "driver/postgres/verify.rs",
            "driver/recording.rs",
            "driver/recording/sqlite3.rs",
            "sqlite.rs",
            "sqlite/one_statement.rs",
            "sqlite/version_table.rs",
            "sqlite/foreign_keys.rs",
            "sqlite/offending_rows.rs",
            "sqlite/offending_rows/asked.rs",
            "sqlite/offending_rows/copied.rs",
            "sqlite/offending_rows/shown.rs",
            "runner/problems.rs",
            "server.rs",
            "server/connecting.rs",
            "migrations/tests.rs",
            "testing.rs",
        ],
    );
    for (path, text) in sources("build-support") {
        let named = path.to_string_lossy().replace('\\', "/");
        let parses = ["syn::", "proc_macro2::", "quote::"].iter().any(|word| text.contains(word));
        assert!(!parses || named.contains("/src/models"), "{named} reads Rust");
    }
    only_in("migrate-macros", "syn::", &["table.rs"]);
    // Of the name that programs have on this system no environment is asked.
    only_in("cargo-migrate", "std::env::", &["context.rs", "main.rs", "pg_tools.rs", "pg_tools/tests.rs"]);
    only_in("cargo-migrate", "Connection::open", &["live/file.rs"]);
    only_in("cargo-migrate", "rusqlite::backup", &["copying.rs", "footprint.rs", "scratch.rs"]);
    only_in(
        "cargo-migrate",
        "remove_file",
        &[
            "commands/delete.rs",
            "backup.rs",
            "backup/folder.rs",
            "backup/place.rs",
            "backup/restore.rs",
            "rehearsal/copy/file.rs",
        ],
    );
    only_in("cargo-migrate", "Command::new(\"git\")", &["against/git.rs", "commands/past.rs"]);
    // A handler stays until the process ends: only what the command's process asks for may set one.
    only_in("cargo-migrate", "signal_hook::", &["rehearsal/interrupts.rs"]);
    only_in(
        "cargo-migrate",
        "Interrupts::watched",
        &["commands/rehearse.rs", "commands/run.rs", "commands/sync.rs", "commands/tenants.rs"],
    );
    // A connection has one authorizer, and only that of a database in memory is ours.
    only_in("cargo-migrate", ".authorizer(", &["footprint.rs"]);
    only_in("migrate-runtime", ".authorizer(", &[]);
}
