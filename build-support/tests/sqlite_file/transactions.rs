//! The write-ahead log and the rollback journal.

use std::fs;
use std::path::{Path, PathBuf};

use build_support::sqlite_file::{Unreadable, read_settled};
use rusqlite::Connection;

use crate::harness::{CREATE, Numbers, TABLE, asked, copy, count, create, insert, open, patch, same, scaled};

/// The rows of a database that this process has open.
#[track_caller]
fn seen(path: &Path) -> usize {
    let (_kept, copied) = copy(path);
    count(&copied)
}

fn logged(path: &Path, settings: &str) -> Connection {
    let connection = create(path, settings, 0);
    connection.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0").unwrap();
    connection.execute_batch(CREATE).unwrap();
    connection
}

fn log_of(path: &Path) -> PathBuf {
    path.with_file_name("copy.db-wal")
}

#[test]
fn what_is_committed_to_the_log_is_seen_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = logged(&path, "PRAGMA page_size = 1024");
    assert_eq!(seen(&path), 0);
    insert(&connection, "app", 1, 5000);
    assert_eq!(seen(&path), 1);
    // A transaction that is so large that its pages reach the log before it is committed,
    connection.execute_batch("PRAGMA cache_size = 5; BEGIN").unwrap();
    let before = fs::metadata(folder.path().join("app.db-wal")).unwrap().len();
    for number in 2..100 {
        insert(&connection, "app", number, 500);
    }
    assert!(fs::metadata(folder.path().join("app.db-wal")).unwrap().len() > before);
    assert_eq!(seen(&path), 1);
    // one that is rolled back, and the next one, which is written over it.
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(seen(&path), 1);
    insert(&connection, "app", 2, 0);
    assert_eq!(seen(&path), 2);
}

#[test]
fn a_log_is_read_before_during_and_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = logged(&path, "PRAGMA page_size = 512");
    for number in 1..=20 {
        insert(&connection, "app", number, 900);
    }
    // A reader keeps the checkpoint from going further than the state that it looks at.
    let reader = open(&path);
    reader.execute_batch("BEGIN; SELECT count(*) FROM _cargo_migrate").unwrap();
    connection.execute_batch("DELETE FROM _cargo_migrate WHERE sequence % 2 = 0").unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    assert_eq!(seen(&path), 10);
    reader.execute_batch("COMMIT").unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    assert_eq!(seen(&path), 10);
    // The next transaction starts the log anew, with other salts; the frames behind it are left over.
    let length = || fs::metadata(folder.path().join("app.db-wal")).unwrap().len();
    let before = length();
    insert(&connection, "app", 21, 0);
    assert_eq!((length(), seen(&path)), (before, 11));
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!((length(), seen(&path)), (0, 11));
    connection.execute_batch("VACUUM").unwrap();
    assert_eq!(seen(&path), 11);
    let (_kept, copied) = copy(&path);
    assert_eq!(same(&copied, &["app"], "after all"), 11);
}

/// Writes the checksums of a log again, in either byte order.
fn sum_again(path: &Path, version: u32, big_endian: bool) {
    let mut log = fs::read(path).unwrap();
    let sum = |(mut a, mut b): (u32, u32), bytes: &[u8]| {
        for pair in bytes.chunks(8) {
            let word = |at: usize| {
                let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
            };
            a = a.wrapping_add(word(0)).wrapping_add(b);
            b = b.wrapping_add(word(4)).wrapping_add(a);
        }
        (a, b)
    };
    log[..4].copy_from_slice(&(0x377f_0682 + u32::from(big_endian)).to_be_bytes());
    log[4..8].copy_from_slice(&version.to_be_bytes());
    let frame = 24 + u32::from_be_bytes([log[8], log[9], log[10], log[11]]) as usize;
    let mut sums = sum((0, 0), &log[..24]);
    log[24..28].copy_from_slice(&sums.0.to_be_bytes());
    log[28..32].copy_from_slice(&sums.1.to_be_bytes());
    for frame in log[32..].chunks_exact_mut(frame) {
        sums = sum(sum(sums, &frame[..8]), &frame[24..]);
        frame[16..20].copy_from_slice(&sums.0.to_be_bytes());
        frame[20..24].copy_from_slice(&sums.1.to_be_bytes());
    }
    fs::write(path, log).unwrap();
}

#[test]
fn a_log_may_be_summed_in_either_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = logged(&path, "PRAGMA page_size = 65536");
    for number in 1..=9 {
        insert(&connection, "app", number, 0);
    }
    for big_endian in [false, true] {
        let (_kept, copied) = copy(&path);
        sum_again(&log_of(&copied), 3_007_000, big_endian);
        assert_eq!(same(&copied, &["app"], "summed again"), 9);
    }
    let (_kept, copied) = copy(&path);
    sum_again(&log_of(&copied), 3_007_001, true);
    let Err(Unreadable::Unsupported(what)) = read_settled(&copied, TABLE, "app") else { panic!() };
    assert!(what.contains("version 3007001"), "{what}");
    assert_eq!(asked(&copied, "app"), None);
}

#[test]
fn a_damaged_log_ends_where_sqlite_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = logged(&path, "PRAGMA page_size = 512");
    for number in 1..=6 {
        insert(&connection, "app", number, 300);
    }
    connection.execute_batch("PRAGMA wal_checkpoint; DELETE FROM _cargo_migrate WHERE sequence < 3").unwrap();
    for number in 7..=12 {
        insert(&connection, "app", number, 300 + number * 100);
    }
    let (_kept, sound) = copy(&path);
    drop(connection);
    let length = fs::metadata(log_of(&sound)).unwrap().len();
    let mut numbers = Numbers(1);
    let mut found = std::collections::BTreeSet::new();
    for turn in 0..scaled(4000, 300) {
        // SQLite changes what it opens, so each gets a copy.
        let ((_kept, ours), (_kept_too, theirs)) = (copy(&sound), copy(&sound));
        let place = if turn < 32 { turn } else { numbers.below(length as usize) as u64 };
        let cut = turn % 3 == 2;
        let byte = fs::read(log_of(&sound)).unwrap()[place as usize] ^ (1 << numbers.below(8));
        for copied in [&ours, &theirs] {
            if cut {
                fs::OpenOptions::new().write(true).open(log_of(copied)).unwrap().set_len(place).unwrap();
            } else {
                patch(&log_of(copied), place, &[byte]);
            }
        }
        let expected = asked(&theirs, "app");
        let read = read_settled(&ours, TABLE, "app");
        assert_eq!(read.as_ref().ok(), expected.as_ref(), "byte {place}, cut {cut}: {read:?}");
        found.insert(read.unwrap().len());
    }
    assert!(found.len() > 5, "{found:?}");
}

#[test]
fn a_hot_journal_is_left_to_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let connection = create(&path, "PRAGMA page_size = 512", 0);
    connection.execute_batch(&format!("PRAGMA cache_size = 5; {CREATE}")).unwrap();
    insert(&connection, "app", 1, 0);
    // When the process dies in the middle of a transaction that has reached the file already,
    connection.execute_batch("BEGIN").unwrap();
    for number in 2..100 {
        insert(&connection, "app", number, 500);
    }
    let (_kept, crashed) = copy(&path);
    connection.execute_batch("ROLLBACK").unwrap();
    connection.close().unwrap();
    // then the file is not read as it stands,
    let error = read_settled(&crashed, TABLE, "app").unwrap_err();
    assert_eq!(error, Unreadable::HotJournal);
    assert!(error.to_string().contains("-journal"), "{error}");
    // until SQLite has rolled it back.
    assert_eq!(same(&path, &["app"], "rolled back"), 1);
    assert_eq!(asked(&crashed, "app").unwrap().len(), 1);
    assert_eq!(same(&crashed, &["app"], "rolled back by SQLite"), 1);

    // What is no journal, or no longer one, is none.
    let journal = path.with_file_name("app.db-journal");
    for bytes in [&b""[..], b"x", &[0; 512], &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63]] {
        fs::write(&journal, bytes).unwrap();
        assert_eq!(count(&path), 1);
    }
}
