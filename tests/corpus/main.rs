//! Real histories: from each schema of a public project to the next one, and back, with rows in every table.
//!
//! The folder of histories is `MIGRATE_CORPUS`, else `../shared/corpus` beside the repository; each history has its
//! schemas in `_snapshots/NNNN.sql`. Where there are none, the tests are told as ignored. Without `MIGRATE_TEST_SCALE`
//! every tenth pair is tried, with it all of them.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(clippy::disallowed_macros, reason = "a test target without a harness prints its own results")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

mod rehearsals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cargo_migrate::autogenerate::{Outcome, propose};
use cargo_migrate::ddl::values::{invented, missing};
use cargo_migrate::ddl::{Fills, Statement};
use cargo_migrate::diff;
use cargo_migrate::project::settings::{ColumnOrder, SqliteVersion};
use cargo_migrate::proof::{State, Terms, section};
use cargo_migrate::renames::Said;
use cargo_migrate::scratch;

const VERSION_TABLE: &str = "_cargo_migrate";

/// A test tries each so many-th case of the folder, and says how it went.
type Test = fn(&Path, usize) -> bool;

const TESTS: [(&str, Test); 3] = [
    ("every_step_of_real_histories_lands_exactly_both_ways", |corpus, each| every_step(corpus, ColumnOrder::Any, each)),
    ("every_step_of_real_histories_lands_exactly_both_ways_with_its_columns_in_order", |corpus, each| {
        every_step(corpus, ColumnOrder::Exact, each)
    }),
    ("the_downs_that_do_not_restore_are_those_that_are_known", rehearsals::downs_that_do_not_restore),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<_> = TESTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("running {} tests", chosen.len());
    let Some(corpus) = corpus() else {
        for (name, _) in chosen {
            println!("test {name} ... ignored, there are no real histories: MIGRATE_CORPUS names their folder");
        }
        return ExitCode::SUCCESS;
    };
    let each = if std::env::var_os("MIGRATE_TEST_SCALE").is_some() { 1 } else { 10 };
    let corpus = &corpus;
    let passed = std::thread::scope(|scope| {
        let runs: Vec<_> =
            chosen.into_iter().map(|(name, test)| (name, scope.spawn(move || test(corpus, each)))).collect();
        runs.into_iter().fold(true, |passed, (name, run)| {
            let ok = run.join().unwrap_or(false);
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            passed && ok
        })
    });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn every_step(corpus: &Path, order: ColumnOrder, each: usize) -> bool {
    let mut tally = Tally::default();
    let mut number = 0;
    for project in folders(corpus) {
        let mut before: Option<(PathBuf, State)> = None;
        for path in snapshots(&project) {
            number += 1;
            // A pair that is tried needs the schema before it, too.
            if number % each != 0 && (number + 1) % each != 0 {
                before = None;
                continue;
            }
            let Some(state) = tally.load(&path) else { continue };
            if number % each == 0
                && let Some((old, from)) = &before
            {
                tally.pair(&project, (old, from), (&path, &state), order);
            }
            before = Some((path, state));
        }
    }
    tally.report(each);
    tally.failed.is_empty() && tally.passed > 50
}

#[derive(Default)]
struct Tally {
    passed: usize,
    /// Pairs without a difference.
    same: usize,
    /// Pairs of which a new column needed a value for old rows.
    filled: usize,
    /// Pairs of which a table was empty in the proof.
    unproved: Vec<String>,
    failed: Vec<String>,
    unloadable: Vec<String>,
}

impl Tally {
    fn pair(&mut self, project: &Path, before: (&Path, &State), after: (&Path, &State), order: ColumnOrder) {
        let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pair = format!("{} {} -> {}", name(project), name(before.0), name(after.0));
        let (from, to) = (before.1, after.1);
        let terms = Terms { order, minimum: SqliteVersion::default(), version_table: VERSION_TABLE };
        let said = Said { no_others: true, ..Said::default() };
        let changes = diff::changes(&from.schema, &to.schema, order);
        // A person would be asked for these; the values are such as the column takes.
        let fills = invented(&changes, &to.schema, &to.connection);
        self.filled += usize::from(missing(&changes).next().is_some());
        match propose(from, to, &said, &fills, &terms) {
            Ok(Outcome::Nothing) => self.same += 1,
            Ok(Outcome::Proposal(proposal)) => {
                self.passed += 1;
                if !proposal.unproved.is_empty() {
                    let tables: Vec<String> = proposal.unproved.iter().cloned().collect();
                    self.unproved.push(format!("{pair}: {}", tables.join(", ")));
                }
                let again = landed(from, &proposal.up);
                if !matches!(propose(&again, to, &said, &Fills::new(), &terms), Ok(Outcome::Nothing)) {
                    self.failed.push(format!("{pair}: there is something to do again"));
                }
            }
            Ok(Outcome::Undecided(questions)) => self.failed.push(format!("{pair}: {questions:?}")),
            Err(failure) => {
                let problem = &failure.problems()[0];
                self.failed.push(format!("{pair}: {} {:?}", problem.message(), problem.notes()));
            }
        }
    }

    fn report(&self, each: usize) {
        if each > 1 {
            println!("one pair in {each} was tried; MIGRATE_TEST_SCALE=1 tries all");
        }
        println!(
            "{} pairs passed ({} with a value for old rows, {} with a table that stayed empty), {} failed, {} the same",
            self.passed,
            self.filled,
            self.unproved.len(),
            self.failed.len(),
            self.same
        );
        self.unproved.iter().for_each(|line| println!("empty in the proof: {line}"));
        self.unloadable.iter().for_each(|line| println!("SQLite does not load {line}"));
        self.failed.iter().for_each(|line| println!("FAILED {line}"));
    }

    /// A schema; what SQLite itself does not load is listed.
    fn load(&mut self, path: &Path) -> Option<State> {
        let text = std::fs::read_to_string(path).unwrap();
        let connection = scratch::empty().unwrap();
        match connection.execute_batch(&text) {
            Ok(()) => Some(State::of(connection, VERSION_TABLE).unwrap()),
            Err(error) => {
                self.unloadable.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }
}

fn landed(from: &State, statements: &[Statement]) -> State {
    let connection = scratch::copy(&from.connection).unwrap();
    connection.execute_batch(&section(statements)).unwrap();
    State::of(connection, VERSION_TABLE).unwrap()
}

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("MIGRATE_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn folders(corpus: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("_snapshots").is_dir())
        .collect();
    found.sort();
    found
}

fn snapshots(project: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(project.join("_snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    found.sort();
    found
}
