//! A backup beside the shell's `.backup` and beside a plain copy of the file, and what it needs of memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::pairs::{Pairs, time};
use crate::{command, generate};

/// Measures with databases of so many MiB, each in a project of its own.
pub fn measure(sizes: &[usize], rounds: Option<usize>) {
    for size in sizes {
        let rounds = rounds.unwrap_or(if *size <= 64 { 9 } else { 3 });
        let folder = tempfile::tempdir().unwrap();
        generate::project(folder.path(), 1);
        command::upgrade(folder.path());
        fill(&folder.path().join("app.db"), *size);
        measure_one(folder.path(), *size, rounds);
    }
}

/// Fills a database with rows of some kilobytes, so that it has tables, an index and overflow pages.
fn fill(path: &Path, size: usize) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE filling (id INTEGER PRIMARY KEY, name TEXT, x BLOB); CREATE INDEX filling_name ON filling (name)").unwrap();
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
        INSERT INTO filling (name, x) SELECT hex(randomblob(20)), randomblob(100 + abs(random()) % 4900) FROM n";
    while fs::metadata(path).unwrap().len() < (size as u64) << 20 {
        connection.execute_batch(rows).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
}

fn measure_one(folder: &Path, size: usize, rounds: usize) {
    let (database, target) = (folder.join("app.db"), folder.join("copy.db"));
    let ours = || {
        let _ = fs::remove_file(&target);
        backup(folder).0
    };
    let plain = || {
        let _ = fs::remove_file(&target);
        time(|| {
            fs::copy(&database, &target).unwrap();
            File::open(&target).unwrap().sync_all().unwrap();
        })
        .0
    };
    let shell = || {
        let _ = fs::remove_file(&target);
        let mut shell = Command::new("sqlite3");
        shell.arg(&database).arg(".backup copy.db").current_dir(folder);
        time(|| assert!(shell.status().unwrap().success())).0
    };
    println!(
        "backup   {size:>6} MiB  without the check, beside a plain copy      {}",
        Pairs::measure(rounds, ours, plain).ratio()
    );
    if Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!(
            "backup   {size:>6} MiB  without the check, beside sqlite3's .backup {}",
            Pairs::measure(rounds, ours, shell).ratio()
        );
    }
    let _ = fs::remove_file(&target);
    let (copied, checked, backup_peak) = backup(folder);
    println!(
        "backup   {size:>6} MiB  the check takes {:.2} of the rest ({:.0} ms beside {:.0} ms)",
        checked.as_secs_f64() / copied.as_secs_f64(),
        checked.as_secs_f64() * 1e3,
        copied.as_secs_f64() * 1e3
    );
    let (_, _, restore_peak) = peak(command::ours(folder, &["-q", "restore", "--yes", "copy.db"]));
    let told = |peak: Option<u64>| peak.map_or("unknown".to_owned(), |peak| format!("{:.1} MiB", peak as f64 / 1024.0));
    println!("backup   {size:>6} MiB  peak memory {}, of its restore {}", told(backup_peak), told(restore_peak));
}

/// How long a backup takes without its check, how long its check takes, and its peak of memory in KiB.
fn backup(folder: &Path) -> (Duration, Duration, Option<u64>) {
    let (elapsed, output, peak) = peak(command::ours(folder, &["--format", "json", "backup", "--to", "copy.db"]));
    let told: Value = serde_json::from_slice(&output).unwrap();
    let checked = Duration::from_millis(told["checked_ms"].as_u64().unwrap());
    (elapsed.saturating_sub(checked), checked, peak)
}

/// Runs a process to its end and looks at what it has had at most, as long as it is there to be looked at.
fn peak(mut command: Command) -> (Duration, Vec<u8>, Option<u64>) {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).or(peak);
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let elapsed = start.elapsed();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    (elapsed, output.stdout, peak)
}
