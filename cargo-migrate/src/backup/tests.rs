//! What other commands do with backups, and what takes a moment in the middle to be seen.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use jiff::Timestamp;
use rusqlite::Connection;

use super::*;
use crate::args;
use crate::context::Context;
use crate::rehearsal::Interrupts;
use crate::report::shell::Shell;

/// A folder with a database and no migrations.
struct World {
    folder: tempfile::TempDir,
    context: Context,
}

impl World {
    fn new(journal: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("migrations")).unwrap();
        let context = Context::new(folder.path(), BTreeMap::new(), Timestamp::UNIX_EPOCH);
        let world = Self { folder, context };
        let sql = format!("PRAGMA journal_mode = {journal}; CREATE TABLE t (x); INSERT INTO t VALUES (1)");
        world.connection().execute_batch(&sql).unwrap();
        world
    }

    fn connection(&self) -> Connection {
        let connection = live::file::open_file(&self.folder.path().join("app.db")).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection
    }

    fn with<T>(&self, act: impl FnOnce(App<'_>, &Opened, &Database) -> T) -> T {
        let line = ["cargo-migrate", "--migrations", "migrations", "--wait", "0.1", "-d", "sqlite:app.db", "backup"];
        let cli = args::parse(line.map(OsString::from)).unwrap();
        let (shell, _, _) = Shell::capturing();
        let app =
            App { context: &self.context, shell: &shell, global: &cli.global, interrupts: &Interrupts::default() };
        let opened = app.open().unwrap();
        let database = app.database(&opened).unwrap();
        act(app, &opened, &database)
    }
}

fn sum(path: &Path) -> i64 {
    let backup = live::file::open_unchanging(path).unwrap();
    backup.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_run_that_holds_its_lock_can_have_a_backup_made_of_what_it_is_about_to_change() {
    for journal in ["DELETE", "WAL"] {
        let world = World::new(journal);
        let runner = world.connection();
        runner.execute_batch("BEGIN IMMEDIATE").unwrap();
        let made = world.with(|app, opened, database| make(app, opened, database, Why::Automatic, None)).unwrap();
        assert_eq!(sum(&made.path), 1, "{journal}");
        assert!(Name::parse(made.path.file_name().unwrap().to_str().unwrap()).unwrap().automatic);
        // The lock is still the runner's, and what it does then is no part of the backup.
        let other = world.connection();
        assert!(other.execute_batch("BEGIN IMMEDIATE").is_err(), "{journal}");
        runner.execute_batch("INSERT INTO t VALUES (2); COMMIT").unwrap();
        assert_eq!(sum(&made.path), 1, "{journal}");
    }
}

#[test]
fn the_newest_that_were_made_by_themselves_stay_and_all_that_were_made_by_hand() {
    let world = World::new("DELETE");
    world.with(|app, opened, database| {
        let by_hand = make(app, opened, database, Why::ByHand, None).unwrap();
        let now = |number: i32| {
            world.connection().execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
            make(app, opened, database, Why::Automatic, None).unwrap()
        };
        let made: Vec<Made> = (0..8).map(now).collect();
        // One of another database is none of this one's.
        let other = by_hand.path.with_file_name("other-1970-01-01T000000Z-base-auto.db");
        fs::copy(&by_hand.path, &other).unwrap();
        let removed = prune(app, opened, database, &[&made[0].path]).unwrap();
        let expected: Vec<PathBuf> = made[1..3].iter().rev().map(|made| made.path.clone()).collect();
        assert_eq!(removed, expected, "five stay, and the one that is spared");
        let left: Vec<PathBuf> = list(opened).unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(left.len(), 5 + 1 + 2);
        assert!(left.contains(&by_hand.path) && left.contains(&other) && left.contains(&made[0].path));
    });
}

#[test]
fn what_a_living_process_is_making_is_not_swept_away() {
    let world = World::new("DELETE");
    world.with(|app, opened, database| {
        let mut living = Folder::of(&opened.project, database);
        living.prepare().unwrap();
        let half = living.path().join("dev-1970-01-01T000000Z-base.db.partial");
        fs::write(&half, "half").unwrap();
        make(app, opened, database, Why::ByHand, None).unwrap();
        assert!(half.exists());
        drop(living);
        make(app, opened, database, Why::ByHand, None).unwrap();
        assert!(!half.exists());
    });
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_nothing_is_written_over() {
    let world = World::new("DELETE");
    world.with(|app, opened, database| {
        let files: Vec<String> = (0..3)
            .map(|_| make(app, opened, database, Why::ByHand, None).unwrap())
            .map(|made| made.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert!(files[0].starts_with("app~") && files[0].ends_with("-1970-01-01T000000Z-base.db"), "{files:?}");
        assert!(files[1].ends_with("-base-2.db") && files[2].ends_with("-base-3.db"), "{files:?}");
        // The newest stands first, by its number where all else is the same.
        let listed: Vec<String> = list(opened).unwrap().iter().map(|entry| entry.name.file()).collect();
        assert_eq!(listed, [&*files[2], &*files[1], &*files[0]]);
    });
}
