//! What embedding costs: the start of a program whose database is at head, the compilation of a crate, the guard.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use build_support::build_time::Folder;
use build_support::sqlite_file;
use migrate_runtime::Migrations;
use rusqlite::Connection;

use crate::pairs::{Pairs, time};

/// How many starts are timed as one, since one is too short for a clock.
const STARTS: u32 = 200;

/// A start of a program whose database is at head, beside one query by an index on a table of one row.
pub fn measure_start(folder: &Path, size: usize, rounds: usize) {
    let migrations = embedded(folder);
    let database = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(database.path().join("app.db")).unwrap();
    migrations.upgrade(&mut connection).unwrap();
    let bare = Connection::open(database.path().join("bare.db")).unwrap();
    bare.execute_batch("CREATE TABLE one (id INTEGER PRIMARY KEY, value TEXT); INSERT INTO one VALUES (1, 'x')")
        .unwrap();
    let pairs = Pairs::measure(
        rounds,
        || {
            let mut start = || assert!(migrations.upgrade(&mut connection).unwrap().done.is_empty());
            time(|| (0..STARTS).for_each(|_| start())).0 / STARTS
        },
        || {
            let query =
                || bare.query_row("SELECT value FROM one WHERE id = ?1", [1], |row| row.get::<_, String>(0)).unwrap();
            time(|| (0..STARTS).for_each(|_| drop(black_box(query())))).0 / STARTS
        },
    );
    println!("start    {size:>6} revisions  all applied, beside one query              {}", pairs.micros());
}

/// The folder as `embed!` has it, made at run time: what is embedded is never freed.
fn embedded(folder: &Path) -> Migrations {
    let read = Folder::read(folder, Path::new("migrations"), "app").unwrap();
    let texts: Vec<(&'static str, &'static str)> = read
        .graph
        .migrations()
        .iter()
        .map(|migration| {
            let text: &'static str = read.directory.text(migration).unwrap().leak();
            let id: &'static str = migration.id.to_string().leak();
            (id, text)
        })
        .collect();
    let head = read.graph.lineage().heads()[0];
    let seal: &'static str = read.graph.seal(head).to_string().leak();
    Migrations::embedded("app", "migrations", texts.leak(), Some(seal))
}

/// The compilation of a crate that embeds a folder, beside one with an array of `include_str!`.
pub fn measure_embed(folder: &Path, size: usize, rounds: usize) {
    let work = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let package = |name: &str, dependencies: &str, code: &str| {
        let path = work.path().join(name);
        fs::create_dir_all(path.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\n\n[workspace]\n"
        );
        fs::write(path.join("Cargo.toml"), manifest).unwrap();
        fs::write(path.join("src/lib.rs"), code).unwrap();
        fs::copy(root.join("Cargo.lock"), path.join("Cargo.lock")).unwrap();
        copy(&folder.join("migrations"), &path.join("migrations"));
        path
    };
    let runtime = format!("migrate-runtime = {{ path = {:?} }}", root.join("migrate-runtime"));
    let ours = package(
        "embedding",
        &runtime,
        "pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\");\n",
    );
    let mut names: Vec<String> = fs::read_dir(ours.join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.ends_with(".sql"));
    names.sort();
    let texts: String = names.iter().map(|name| format!("    include_str!(\"../migrations/{name}\"),\n")).collect();
    let bare = package("including", &runtime, &format!("pub static TEXTS: &[&str] = &[\n{texts}];\n"));
    let build = |path: &Path| {
        let code = fs::read_to_string(path.join("src/lib.rs")).unwrap();
        fs::write(path.join("src/lib.rs"), code + "// again\n").unwrap();
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(["build", "--offline", "--quiet"])
            .current_dir(path)
            .env("CARGO_TARGET_DIR", work.path().join("target"));
        let (elapsed, output) = time(|| command.output().unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        elapsed
    };
    let pairs = Pairs::measure(rounds, || build(&ours), || build(&bare));
    println!("embed    {size:>6} revisions  rebuild beside an array of include_str!   {}", pairs.ratio());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The guard's work, with a look into a database at head, beside reading the files' bytes.
pub fn measure_guard(folder: &Path, size: usize, rounds: usize) {
    let database = tempfile::tempdir().unwrap();
    let path = database.path().join("app.db");
    let mut connection = Connection::open(&path).unwrap();
    embedded(folder).upgrade(&mut connection).unwrap();
    connection.close().unwrap();
    let guard = || -> Duration {
        time(|| {
            assert!(Folder::read(folder, Path::new("migrations"), "app").unwrap().problems().is_empty());
            assert_eq!(sqlite_file::read_settled(&path, "_cargo_migrate", "app").unwrap().len(), size);
        })
        .0
    };
    let bare = || {
        time(|| {
            for entry in fs::read_dir(folder.join("migrations")).unwrap() {
                black_box(fs::read(entry.unwrap().path()).unwrap());
            }
        })
        .0
    };
    println!(
        "guard    {size:>6} revisions  with a database, beside reading the files {}",
        Pairs::measure(rounds, guard, bare).ratio()
    );
}
