//! The built command as a whole process, beside `cargo metadata` alone, without which it cannot start.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::pairs::{Pairs, time};

/// Measures the command in a project whose database is at head, and prints what it takes beyond `cargo metadata`.
pub fn measure(folder: &Path, size: usize, rounds: usize) {
    upgrade(folder);
    for verb in ["upgrade", "current"] {
        let pairs = Pairs::measure(rounds, || process(ours(folder, &[verb])), || process(metadata(folder)));
        println!("command  {size:>6} revisions  {verb:<7} at head beside cargo metadata  {}", pairs.difference());
    }
}

/// Writes the lock, without which nothing is embedded.
pub fn lock(folder: &Path) {
    process(ours(folder, &["-q", "lock"]));
}

/// Brings the database to head.
pub fn upgrade(folder: &Path) {
    process(ours(folder, &["-q", "upgrade"]));
}

pub fn ours(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"));
    command.args(arguments).current_dir(folder);
    without_ours(&mut command);
    command
}

pub fn metadata(folder: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder);
    command
}

/// Takes what this process was started with out of another one's sight.
fn without_ours(command: &mut Command) {
    for name in ["DATABASE_URL", "CARGO_MIGRATE_DATABASE", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
        command.env_remove(name);
    }
}

pub fn process(mut command: Command) -> Duration {
    without_ours(&mut command);
    let (elapsed, output) = time(|| command.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    elapsed
}
