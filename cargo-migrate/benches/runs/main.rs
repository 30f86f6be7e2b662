//! What a run costs beside the bare work, as ratios: both sides in one process, by turns.
//!
//! ```sh
//! cargo bench --bench runs                                      # all sizes, all parts
//! cargo bench --bench runs -- --sizes 1000 --rounds 9 --part run
//! MIGRATE_TEST_SCALE=0.01 cargo bench --bench runs              # small, to see that it works
//! ```
//!
//! - `run`: a folder is read, a plan made and a new database brought to head, against rusqlite that executes the same
//!   statements and inserts the same version rows in one transaction.
//! - `reading`: the part of that in which the folder becomes a graph, against reading the files' bytes.
//! - `command`: the built command with nothing to do, and `current`, against `cargo metadata --no-deps` alone.
//! - `start`: a program that starts on a database at head, against one query.
//! - `embed`: the rebuild of a crate that embeds the folder, against one with an array of `include_str!`.
//! - `guard`: the build-script guard's work, against reading the files' bytes.
//! - `autogenerate`: two schemas with ten differences are read and a migration is made and proved both ways, against
//!   plain SQLite that loads the two. Its sizes are tables, 50, 500 and 2,000 where none are given.
//! - `backup`: a backup against a plain copy of the file and against the `.backup` of SQLite's shell, what its check takes,
//!   and its peak of memory. Its sizes are of the database, in MiB: `--part backup --sizes 64,512`.
//! - `fingerprint`: what a rehearsal takes of a table's rows, against a plain `SELECT` of them, and the memory it needs;
//!   the same whatever the sizes are.
//! - `workspace`: 2,000 revisions of 50 packages that share a database: `status --workspace` against `cargo metadata`, and
//!   the run against bare rusqlite.
//! - `tenants`: `upgrade --each` of many small databases, against a loop of a shell that gives the same statements to
//!   SQLite's own. Its sizes are databases, 1,000 where none are given.
//! - `server`: embedded revisions on a PostgreSQL server of its own, against `psql` with the same statements and version rows
//!   in one transaction, and the round trips. Its sizes are revisions, 1,000 where none are given.

#![allow(clippy::allow_attributes, reason = "one list for a benchmark's files")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends at what it did not expect"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "it asks and tells the world that it runs in")]
#![allow(missing_docs, unreachable_pub, reason = "a benchmark is read, not linked")]

mod autogenerate;
mod backup;
mod command;
mod embedding;
mod fingerprints;
mod generate;
mod pairs;
#[cfg(unix)]
#[path = "../../../migrate-runtime/tests/postgres/server.rs"]
mod private_server;
mod run;
#[cfg(unix)]
mod server;
mod tenants;
mod workspace;

/// What can be measured by itself.
const PARTS: [&str; 12] = [
    "run",
    "reading",
    "command",
    "start",
    "embed",
    "guard",
    "autogenerate",
    "backup",
    "fingerprint",
    "workspace",
    "tenants",
    "server",
];

/// What is measured, and how often.
struct Options {
    sizes: Vec<usize>,
    /// How many tables the schemas have.
    tables: Vec<usize>,
    /// The sizes that were typed.
    given: Option<Vec<usize>>,
    scale: f64,
    rounds: Option<usize>,
    part: Option<String>,
}

impl Options {
    fn of_process() -> Self {
        let scale: f64 = std::env::var("MIGRATE_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1.0);
        let mut sizes: Vec<usize> = [100.0, 1_000.0, 10_000.0].map(|size| (size * scale).max(5.0) as usize).to_vec();
        sizes.dedup();
        let mut tables: Vec<usize> = [50.0, 500.0, 2_000.0].map(|size| (size * scale).max(25.0) as usize).to_vec();
        tables.dedup();
        let mut options = Self { sizes, tables, given: None, scale, rounds: None, part: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("`{argument}` needs a value"));
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--sizes" => {
                    options.sizes = value().split(',').map(|size| size.parse().expect("a number")).collect();
                    options.tables.clone_from(&options.sizes);
                    options.given = Some(options.sizes.clone());
                }
                "--rounds" => options.rounds = Some(value().parse().expect("a number")),
                "--part" => options.part = Some(value()),
                _ => panic!("`{argument}` is none of --sizes A,B --rounds N --part {}", PARTS.join("|")),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.part.as_deref().is_none_or(|only| only == part)
    }

    /// Fewer rounds where each takes long.
    fn rounds(&self, size: usize) -> usize {
        self.rounds.unwrap_or(match size {
            ..=100 => 41,
            101..=2_000 => 15,
            _ => 3,
        })
    }
}

fn main() {
    let options = Options::of_process();
    if options.wants("backup") {
        // Without its name the sizes are numbers of revisions.
        let sizes = options.given.clone().filter(|_| options.part.is_some()).unwrap_or_else(|| vec![4, 16]);
        backup::measure(&sizes, options.rounds);
    }
    if options.wants("autogenerate") {
        for tables in &options.tables {
            autogenerate::measure(*tables, options.rounds(*tables));
        }
    }
    if options.wants("fingerprint") {
        let folder = tempfile::tempdir().unwrap();
        fingerprints::measure(folder.path(), options.scale, options.rounds);
    }
    if options.wants("workspace") {
        let size = (2_000.0 * options.scale).max(50.0) as usize;
        workspace::measure(50.min(size / 10), size, options.rounds.unwrap_or(9));
    }
    if options.wants("tenants") {
        let counts = options.given.clone().filter(|_| options.part.is_some());
        for count in counts.unwrap_or_else(|| vec![(1_000.0 * options.scale).max(20.0) as usize]) {
            tenants::measure(count, options.rounds.unwrap_or(5));
        }
    }
    #[cfg(unix)]
    if options.wants("server") {
        let sizes = options.given.clone().filter(|_| options.part.is_some());
        for size in sizes.unwrap_or_else(|| vec![(1_000.0 * options.scale).max(20.0) as usize]) {
            server::measure(size, options.rounds.unwrap_or(7));
        }
    }
    let alone = ["autogenerate", "backup", "fingerprint", "workspace", "tenants", "server"];
    if options.part.as_deref().is_some_and(|part| alone.contains(&part)) {
        return;
    }
    for size in &options.sizes {
        let folder = tempfile::tempdir().unwrap();
        let revisions = generate::project(folder.path(), *size);
        if options.wants("run") {
            run::measure(folder.path(), &revisions, options.rounds(*size));
        }
        if options.wants("reading") {
            run::measure_reading(folder.path(), *size, options.rounds(*size).max(9));
        }
        if options.wants("command") {
            command::measure(folder.path(), *size, options.rounds(*size).max(9));
        }
        command::lock(folder.path());
        if options.wants("start") {
            embedding::measure_start(folder.path(), *size, 41);
        }
        if options.wants("embed") {
            embedding::measure_embed(folder.path(), *size, options.rounds(*size).min(9));
        }
        if options.wants("guard") {
            embedding::measure_guard(folder.path(), *size, options.rounds(*size).max(9));
        }
    }
}
