//! Programs that bring another SQLite library, or another version of rusqlite, than the command: the packages of
//! `tests/foreign`, each with a lock of its own, built and run as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::embedding::target_folder;
use crate::harness::{Ran, scale};

/// What each of the programs prints.
const REPORT: &str = "\
values: [Null, Integer(-9223372036854775808), Real(0.5), Text(\"é\"), Blob([0, 255]), Text(\"a\u{FFFD}\")]
status: Status { applied: [], pending: [001_shelves, 002_named_shelves], ahead: [] }
older program: Outcome { done: [001_shelves], ahead: [] }
books: 3
this program: Outcome { done: [002_named_shelves], ahead: [] }
books after the rebuild of their parent: 3
foreign keys are enforced again: [Integer(1)]
second start: Outcome { done: [], ahead: [] }
failing program: error[sql-error]: near \"'nobody'\": syntax error
  --> ../migrations/failing/003_lent_books.sql:6:26
  note: everything was rolled back: nothing of this run was kept
  help: mend the statement, and run the command again
in a transaction: false
columns of books: [Integer(3)]
status: Status { applied: [001_shelves, 002_named_shelves], pending: [003_lent_books], ahead: [] }
older program: error[database-ahead]: this program is older than the database
  note: the database has revisions that the program does not know: 002_named_shelves
  help: start the newer program
  help: or take the database back first, from the newer sources: `cargo migrate downgrade`
beside another: error[database-busy]: another process holds the database locked
  note: database is locked
  help: wait for it and run the command again, or wait longer with `--wait SECONDS`
in the program's transaction: error[open-transaction]: this connection has a transaction open
  help: commit it or roll it back before the migrations run: they are a transaction of their own
taken back: Outcome { done: [002_named_shelves], ahead: [] }
books: 3
Constraint: UNIQUE constraint failed: shelves.id
";

/// A package of `tests/foreign`.
struct Foreign {
    folder: PathBuf,
}

impl Foreign {
    /// The package, with the crates of its lock at hand: fetched where they are not there yet.
    fn package(name: &str) -> Self {
        let package = Self { folder: root().join("tests/foreign").join(name) };
        if package.cargo(&["fetch", "--locked", "--offline"]).status != 0 {
            let fetched = package.cargo(&["fetch", "--locked"]);
            assert!(
                fetched.status == 0,
                "the crates of tests/foreign/{name} are not on this machine and cannot be fetched; where the registry \
                 can be reached, run `cargo fetch --locked --manifest-path tests/foreign/{name}/Cargo.toml`\n{}",
                fetched.err
            );
        }
        package
    }

    fn cargo(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(&self.folder).args(arguments);
        command.env("CARGO_TARGET_DIR", target_folder()).env_remove("CARGO_MIGRATE_ALLOW_DRAFTS");
        Ran::of(&command.output().unwrap())
    }

    /// Runs the program on a fresh database: it prints what is expected, and the command sees the same history.
    #[track_caller]
    fn reports(&self) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("books.db");
        let ran = self.cargo(&["run", "--quiet", "--offline", "--locked", "--", database.to_str().unwrap()]).done();
        similar(&ran.out, REPORT);
        assert!(!ran.err.contains("--> "), "the compiler warns of the program\n{}", ran.err);

        let manifest = fs::read_to_string(self.folder.join("Cargo.toml")).unwrap();
        let package = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"));
        command.current_dir(folder.path()).arg("--migrations").arg(self.folder.join("../migrations/current"));
        command.args(["--database", "sqlite:books.db", "--name", package, "status"]);
        Ran::of(&command.output().unwrap()).done().says("current   001_shelves").says("pending   1");
    }

    /// The runtime's unit tests on this version of rusqlite.
    #[track_caller]
    fn passes_the_runtimes_own_tests(&self) {
        let ran = self.cargo(&["test", "--offline", "--locked"]).done();
        let passed = ran.out.lines().find_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed"));
        let passed: usize = passed.unwrap_or_else(|| panic!("{}", ran.out)).0.parse().unwrap();
        assert!(passed > 0 && ran.out.contains("connection::tests"), "{}", ran.out);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The version of rusqlite in the lock of a folder, where it has one.
fn rusqlite(folder: &str) -> Option<String> {
    let lock = fs::read_to_string(root().join(folder).join("Cargo.lock")).unwrap();
    let (_, entry) = lock.split_once("name = \"rusqlite\"\nversion = \"")?;
    Some(entry.split_once('"')?.0.to_owned())
}

#[track_caller]
fn similar(left: &str, right: &str) {
    let differing = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(left == right, "{differing:?}\n{left}");
}

#[test]
fn a_program_on_diesel_runs_its_migrations_on_its_own_connection() {
    Foreign::package("diesel").reports();
}

#[test]
fn a_program_on_sqlx_runs_its_migrations_on_its_own_connection() {
    Foreign::package("sqlx").reports();
}

#[test]
fn a_program_on_another_library_needs_no_rusqlite() {
    assert_eq!((rusqlite("tests/foreign/diesel"), rusqlite("tests/foreign/sqlx")), (None, None));
}

#[test]
fn the_oldest_rusqlite_of_the_range_passes_what_the_newest_passes() {
    let oldest = Foreign::package("rusqlite-0.32");
    oldest.passes_the_runtimes_own_tests();
    oldest.reports();
    if scale() >= 1.0 {
        let middle = Foreign::package("rusqlite-0.37");
        middle.passes_the_runtimes_own_tests();
        middle.reports();
    }
}

/// The workspace's own tests run the newest version; that they do, and that the ends of the range are the versions
/// which are run, is what keeps the range true.
#[test]
fn the_range_of_rusqlite_ends_where_the_tests_end() {
    let newest = rusqlite(".").unwrap();
    let minor: u32 = newest.strip_prefix("0.").unwrap().split_once('.').unwrap().0.parse().unwrap();
    let manifest = fs::read_to_string(root().join("migrate-runtime/Cargo.toml")).unwrap();
    let range = format!("rusqlite = {{ version = \">=0.32, <0.{}\"", minor + 1);
    assert_eq!(manifest.matches(&range).count(), 2, "{range}");
    assert_eq!(rusqlite("tests/foreign/rusqlite-0.32").unwrap(), "0.32.0");
    assert_eq!(rusqlite("tests/foreign/rusqlite-0.37").unwrap(), "0.37.0");
}
