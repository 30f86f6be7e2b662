//! Another process that writes meanwhile.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use build_support::sqlite_file::{AppliedRow, Unreadable, read_settled, read_version_table};

use crate::harness::{CREATE, TABLE, asked, copy, create, insert, open, same, scaled};

const DATABASE: &str = "SQLITE_FILE_TEST_DATABASE";
const ROWS: usize = 60;

/// What the other process runs. All rows always have the same checksum and the same number of them is there, before and
/// after each transaction, but not in between.
#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn the_other_process() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let connection = open(Path::new(&path));
    connection.execute_batch("PRAGMA cache_size = 5; PRAGMA wal_autocheckpoint = 25").unwrap();
    for turn in 0..20_000_usize {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for table in 0..8 {
            connection
                .execute_batch(&format!(
                    "UPDATE _cargo_migrate SET checksum = 'sha256:{turn:064x}' WHERE sequence % 8 = {table}"
                ))
                .unwrap();
        }
        let moved = turn % ROWS + 1;
        connection.execute("DELETE FROM _cargo_migrate WHERE sequence = ?1", [moved as i64]).unwrap();
        insert(&connection, "app", moved, turn % 2000);
        connection
            .execute(
                &format!("UPDATE _cargo_migrate SET checksum = 'sha256:{turn:064x}' WHERE sequence = ?1"),
                [moved as i64],
            )
            .unwrap();
        connection.execute_batch(if turn % 5 == 4 { "ROLLBACK" } else { "COMMIT" }).unwrap();
        std::thread::sleep(Duration::from_millis(2 + turn as u64 % 5));
    }
}

/// Lets go of the other process on every path.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path) -> Other {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "writer::the_other_process", "--ignored", "--nocapture"]).env(DATABASE, path);
    Other(command.stdout(std::process::Stdio::null()).spawn().unwrap())
}

#[track_caller]
fn belongs_together(rows: &[AppliedRow]) {
    assert_eq!(rows.len(), ROWS);
    let first = &rows[0].checksum;
    assert!(rows.iter().all(|row| row.checksum == *first), "{rows:#?}");
}

#[test]
fn what_is_read_while_another_process_writes_belongs_together() {
    for journal in ["wal", "delete", "truncate", "persist"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let connection = create(&path, "PRAGMA page_size = 1024", 0);
        connection.execute_batch(&format!("PRAGMA journal_mode = {journal}; {CREATE}; BEGIN")).unwrap();
        for number in 1..=ROWS {
            insert(&connection, "app", number, 400);
        }
        connection.execute_batch(&format!("UPDATE _cargo_migrate SET checksum = 'sha256:{:064x}'; COMMIT", 0)).unwrap();
        connection.close().unwrap();

        let mut states = std::collections::BTreeSet::new();
        let mut refused = 0_u64;
        let turns = scaled(300, 60);
        let other = start(&path);
        for turn in 0..turns {
            let read = if turn % 2 == 0 { read_version_table } else { read_settled };
            match read(&path, TABLE, "app") {
                Ok(rows) => {
                    belongs_together(&rows);
                    states.insert(rows[0].checksum);
                }
                Err(Unreadable::Changing | Unreadable::HotJournal) => refused += 1,
                Err(error) => panic!("{journal}: {error}"),
            }
        }
        assert!(states.len() > 2, "{journal}: {} states, {refused} of {turns} refused", states.len());

        // Killed in the middle, it leaves what SQLite would make of it, or a journal that is left to SQLite.
        drop(other);
        let (_kept, ours) = copy(&path);
        let (_kept, theirs) = copy(&path);
        let expected = asked(&theirs, "app").unwrap();
        belongs_together(&expected);
        match read_settled(&ours, TABLE, "app") {
            Err(Unreadable::HotJournal) if journal != "wal" => {}
            read => assert_eq!(read, Ok(expected), "{journal}"),
        }
        assert_eq!(asked(&path, "app").unwrap().len(), ROWS);
        assert_eq!(same(&path, &["app"], journal), ROWS);
    }
}
