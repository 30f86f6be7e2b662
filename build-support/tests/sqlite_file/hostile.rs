//! Files that were damaged or made to do harm: whatever they hold, reading comes to an end with rows or with a reason.

use std::fs;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::Path;

use build_support::sqlite_file::{AppliedRow, Unreadable, read_settled, read_version_table};

use crate::harness::{CREATE, Numbers, TABLE, asked, count, create, insert, scaled, steeply_scaled};

type Read = Result<Vec<AppliedRow>, Unreadable>;

/// A small database with pages of all kinds, at a path of its own.
fn small(path: &Path, settings: &str, without: &str) -> Vec<u8> {
    let connection = create(path, &format!("PRAGMA page_size = 512; {settings}"), 0);
    connection.execute_batch(&format!("{CREATE} {without}; CREATE TABLE todos(id INTEGER PRIMARY KEY)")).unwrap();
    for number in 1..=6 {
        insert(&connection, "app", number, if number == 3 { 2000 } else { 0 });
    }
    connection.close().unwrap();
    fs::read(path).unwrap()
}

/// Gives a file these bytes. It is not emptied first: some file systems write at once what replaces a file.
fn put(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Reads a file of these bytes, and names what was done to them should it panic.
fn read(path: &Path, bytes: &[u8], about: &str) -> Read {
    put(path, bytes);
    catch_unwind(|| read_version_table(path, TABLE, "app")).unwrap_or_else(|_| panic!("{about}"))
}

/// Where SQLite and the reader both give rows, they give the same.
fn agrees(path: &Path, bytes: &[u8], about: &str) -> Read {
    let found = read(path, bytes, about);
    if let Ok(rows) = &found {
        // SQLite may write to what it opens.
        let theirs = path.with_file_name("theirs.db");
        for ending in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(path.with_file_name(format!("theirs.db{ending}")));
        }
        put(&theirs, bytes);
        if let Some(expected) = asked(&theirs, "app") {
            assert_eq!(*rows, expected, "{about}");
        }
    }
    found
}

#[test]
fn no_changed_byte_makes_it_panic_or_read_something_else_than_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let mut numbers = Numbers(5);
    let (mut refused, mut reads) = (0, 0_u64);
    // All of the header, and of the rest as much as there is time for.
    let share = steeply_scaled(1000, 10) as usize;
    for (settings, without) in [
        ("", ""),
        ("PRAGMA auto_vacuum = 1; PRAGMA encoding = 'UTF-16le'", ""),
        ("PRAGMA encoding = 'UTF-16be'", "WITHOUT ROWID"),
    ] {
        let _ = fs::remove_file(&path);
        let mut bytes = small(&path, settings, without);
        assert_eq!(read(&path, &bytes, "sound").unwrap().len(), 6);
        for place in 0..bytes.len() {
            let was = bytes[place];
            let changes = [was ^ 1, was.wrapping_add(1), 0, 0xff, was ^ 0x80, was.wrapping_sub(1), was << 1, 0x7f];
            let drawn: Vec<u8> = changes.into_iter().chain((0..28).map(|_| numbers.below(256) as u8)).collect();
            for byte in drawn.into_iter().filter(|byte| *byte != was) {
                if place >= 108 && numbers.below(1000) >= share {
                    continue;
                }
                bytes[place] = byte;
                let found = agrees(&path, &bytes, &format!("{settings} {without}: byte {place} is {byte}, was {was}"));
                refused += usize::from(found.is_err());
                reads += 1;
            }
            bytes[place] = was;
        }
    }
    assert!(refused > 300, "{refused}");
    assert!(reads >= steeply_scaled(1_000_000, 8000), "{reads} databases with a changed byte");
}

#[test]
fn no_cut_and_no_mixed_up_pages_make_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let sound = small(&path, "", "");
    assert!(sound.len() < 16_384);
    for length in (0..sound.len()).step_by(if scaled(10, 1) == 10 { 1 } else { 7 }) {
        let found = read(&path, &sound[..length], &format!("cut to {length}"));
        assert_eq!(found.is_ok(), length == 0, "cut to {length}: {found:?}");
    }
    let mut numbers = Numbers(6);
    for turn in 0..steeply_scaled(30_000, 300) {
        let mut bytes = sound.clone();
        let pages = bytes.len() / 512;
        for _ in 0..=turn % 4 {
            // A page is put in another's place, a run of bytes is overwritten, or all but the header is noise.
            let (from, to) = (numbers.below(pages) * 512, numbers.below(pages) * 512);
            match numbers.below(8) {
                0..4 => bytes.copy_within(from..from + 512, to),
                4..7 => (0..numbers.below(40)).for_each(|at| bytes[to + 100 + at] = numbers.below(256) as u8),
                _ => bytes[108..].iter_mut().for_each(|byte| *byte = numbers.below(256) as u8),
            }
        }
        let _ = read(&path, &bytes, &format!("turn {turn}"));
        let _ = read(&path, &bytes[..numbers.below(bytes.len())], &format!("turn {turn}, cut"));
    }
    for turn in 0..steeply_scaled(30_000, 300) {
        let mut bytes: Vec<u8> = (0..numbers.below(5000)).map(|_| numbers.below(256) as u8).collect();
        assert!(read(&path, &bytes, "noise").is_err() || bytes.is_empty());
        bytes.splice(..bytes.len().min(100), sound[..100].iter().copied());
        let _ = read(&path, &bytes, &format!("noise {turn} behind a header"));
    }
}

/// The places of the pages for which this holds.
fn pages(bytes: &[u8], holds: impl Fn(&[u8]) -> bool) -> Vec<usize> {
    (0..bytes.len()).step_by(512).filter(|at| holds(&bytes[*at..at + 512])).collect()
}

#[test]
fn circles_and_bombs_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let sound = small(&path, "", "");
    let number = |place: usize| (place as u32 / 512 + 1).to_be_bytes();
    let refused = |bytes: &[u8], words: &str| {
        let Err(error) = read(&path, bytes, words) else { panic!("{words}") };
        assert!(error.to_string().contains(words), "{words}: {error}");
    };

    // An interior page whose last child is itself, its parent's schema page, one that is not there, or none.
    let interior = pages(&sound, |page| page[0] == 5)[0];
    for (child, words) in [
        (number(interior), "is used twice"),
        (1_u32.to_be_bytes(), "page 1 is used twice"),
        (u32::MAX.to_be_bytes(), "there is no page 4294967295"),
        (0_u32.to_be_bytes(), "there is no page 0"),
    ] {
        let mut bytes = sound.clone();
        bytes[interior + 8..interior + 12].copy_from_slice(&child);
        refused(&bytes, words);
    }
    // An overflow page that goes on with itself, with a page of the tree, or not at all.
    let text = |page: &[u8]| page.windows(10).any(|window| window == b"DROP TABLE");
    let overflow = pages(&sound, |page| page[0] == 0 && page[3] > 0 && text(page))[0];
    for (next, words) in [
        (number(overflow), "is used twice"),
        (number(interior), "is used twice"),
        (0_u32.to_be_bytes(), "has a row that ends too early"),
    ] {
        let mut bytes = sound.clone();
        bytes[overflow..overflow + 4].copy_from_slice(&next);
        refused(&bytes, words);
    }
    // A row that says that it is larger than any file.
    let leaf = pages(&sound, |page| page[0] == 13 && page[4] > 0)[0];
    let cell = leaf + usize::from(u16::from_be_bytes([sound[leaf + 8], sound[leaf + 9]]));
    let mut bytes = sound.clone();
    bytes[cell..cell + 9].fill(0xff);
    refused(&bytes, "too large");
    bytes[cell..cell + 9].copy_from_slice(&[0x81, 0x80, 0x80, 0, 1, 0, 0, 0, 0]);
    refused(&bytes, "damaged");

    // A tree that is as deep as the file is long.
    let mut bytes = sound[..100].to_vec();
    bytes[28..32].copy_from_slice(&1000_u32.to_be_bytes());
    for page in 1..=1000_u32 {
        let start = bytes.len();
        bytes.extend([5, 0, 0, 0, 0, 2, 0, 0]);
        bytes.extend((page + 1).to_be_bytes());
        bytes.resize(start + if page == 1 { 412 } else { 512 }, 0);
    }
    refused(&bytes, "page 21 is too deep");

    // A page that shows one long row thousands of times.
    fs::remove_file(&path).unwrap();
    let connection = create(&path, "PRAGMA page_size = 65536", 0);
    connection.execute_batch(CREATE).unwrap();
    insert(&connection, "app", 1, 20_000);
    connection.close().unwrap();
    assert_eq!(count(&path), 1);
    let mut bytes = fs::read(&path).unwrap();
    let (page, times) = (65_536, 10_000_u16);
    let pointer = [bytes[page + 8], bytes[page + 9]];
    bytes[page + 3..page + 5].copy_from_slice(&times.to_be_bytes());
    for at in 0..usize::from(times) {
        bytes[page + 8 + 2 * at..page + 10 + 2 * at].copy_from_slice(&pointer);
    }
    refused(&bytes, "page 2 has cells that overlap");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert_eq!(read_settled(&path, TABLE, "app"), Err(Unreadable::NotADatabase));
    assert_eq!(read_settled(Path::new("/dev/zero"), TABLE, "app"), Err(Unreadable::NotADatabase));
}
