//! The shop: crates that share a database, and the program that joins them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::embedding::target_folder;
use crate::harness::{Project, Ran};

const PACKAGES: [&str; 3] = ["accounts", "catalog", "orders"];

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop")
}

/// The revisions that a database of the shop has, in the order in which they were applied.
fn applied(project: &Project, database: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(project.path(database)).unwrap();
    let sql = "SELECT package || '/' || revision FROM _cargo_migrate ORDER BY sequence";
    let mut rows = connection.prepare(sql).unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

const ALL: [&str; 4] = [
    "accounts/2026_11_02_001_create_customers",
    "catalog/2026_11_02_001_create_products",
    "orders/2026_11_03_001_create_orders",
    "accounts/2026_11_10_001_add_email",
];

#[test]
fn every_command_knows_the_whole_shop_from_its_folder_and_from_elsewhere() {
    for elsewhere in [false, true] {
        let project = Project::shop();
        let folder = tempfile::tempdir().unwrap();
        let typed = |arguments: &[&str]| {
            let mut command = project.command(arguments);
            if elsewhere {
                command.current_dir(folder.path());
            }
            Ran::of(&command.output().unwrap())
        };
        let manifest = project.path("Cargo.toml");
        let run = |arguments: &[&str]| {
            let manifest = ["--manifest-path", manifest.to_str().unwrap()];
            typed(&[arguments, if elsewhere { &manifest } else { &[] }].concat())
        };
        let ran = run(&["status", "--workspace"]).done();
        let pending: Vec<Vec<&str>> = ran.out.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(pending.iter().map(|row| row[0]).collect::<Vec<_>>(), PACKAGES, "{}", ran.out);
        run(&["test", "--workspace"]).done().says("safe to apply: 4 revisions");
        run(&["check", "--workspace"]).done().says("what 3 packages make of one another");
        assert!(!project.path("shop.db").exists(), "what only looks has made a database");

        run(&["upgrade", "head", "--workspace"]).done().says("upgrade of 4 revisions");
        assert_eq!(applied(&project, "shop.db"), ALL);
        run(&["check", "--workspace"]).done().says("against its history");
        let history = run(&["history", "--graph", "--workspace"]).done().out;
        assert!(ALL.iter().all(|revision| history.contains(revision)), "{history}");

        let down = ["downgrade", "base", "-p", "accounts"];
        let refused = run(&down).refused(&["depended-on", "orders/2026_11_03_001_create_orders"]);
        assert_eq!(applied(&project, "shop.db"), ALL);
        // What the help says is typed as it stands there.
        let help =
            refused.err.lines().find_map(|line| line.split_once("take these off first: `cargo migrate ")).unwrap();
        typed(&help.1.trim_end_matches('`').split_whitespace().collect::<Vec<_>>()).done();
        run(&down).done();
        assert_eq!(applied(&project, "shop.db"), ["catalog/2026_11_02_001_create_products"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was written where one stood");
    }
}

#[test]
fn a_package_that_was_taken_back_is_no_change_by_hand() {
    let project = Project::shop();
    project.run(&["upgrade", "head", "--workspace"]).done();
    project.run(&["downgrade", "base", "-p", "orders"]).done();
    let status = project.run(&["status", "--workspace"]).done();
    assert!(!status.err.contains("drift"), "{}\n{}", status.out, status.err);
}

#[test]
fn what_git_would_commit_is_not_changed_by_using_the_shop() {
    let project = Project::shop();
    project.git(&["init", "-q"]);
    project.commit("the shop");
    for database in ["dev", "test"] {
        project.run(&["-d", database, "upgrade", "head", "--workspace"]).done();
    }
    project.run(&["backup", "--workspace"]).done();
    project.run(&["downgrade", "base", "--workspace"]).done();
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

/// What stands in the README's blocks is typed, and the screen is what stands below it.
#[test]
fn the_readme_is_what_one_sees() {
    let project = Project::shop();
    let readme = project.read("README.md");
    let (mut screens, mut changes, mut files) = (0, 0, 0);
    for fenced in readme.split("```").skip(1).step_by(2) {
        let (kind, text) = fenced.split_once('\n').unwrap();
        match kind {
            "console" => {
                let mut seen = String::new();
                for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
                    seen += &format!("$ {line}\n{}", screen(&project, line));
                    screens += 1;
                }
                assert_eq!(told(&seen), told(text));
            }
            "diff" => {
                let (file, lines) = text.strip_prefix("--- ").unwrap().split_once('\n').unwrap();
                let side = |without: char| -> String {
                    let lines = lines.lines().filter(|line| !line.starts_with(without));
                    lines.map(|line| format!("{}\n", &line[1..])).collect()
                };
                let before = project.read(file);
                assert_eq!(before.matches(&side('+')).count(), 1, "{}", side('+'));
                project.write(file, &before.replace(&side('+'), &side('-')));
                changes += 1;
            }
            "sql" => {
                let found = migrations(&project).into_iter().find(|file| file.starts_with(text));
                assert!(found.is_some(), "no migration begins with\n{text}");
                files += 1;
            }
            "rust,ignore" => {
                let program = project.read("shop/src/main.rs");
                assert!(text.lines().all(|line| program.contains(line)), "{text}");
            }
            kind => panic!("a block of `{kind}` has nothing to do here"),
        }
    }
    assert_eq!((screens, changes, files), (19, 1, 2));

    // What the program has written is there for everybody.
    let line = Command::new("sqlite3")
        .arg(project.path("shop.db"))
        .arg("SELECT name, email, phone, quantity FROM orders JOIN customers ON customers.id = customer_id")
        .output()
        .unwrap();
    assert_eq!(Ran::of(&line).done().out, "Ada|ada@example.org||2\n");
}

#[test]
fn the_shop_s_lock_leads_to_nothing_that_the_root_s_does_not_have() {
    let packages = |lock: PathBuf| -> Vec<String> {
        let text = fs::read_to_string(lock).unwrap();
        let packages = text.split("[[package]]\n").skip(1);
        // Which of its dependencies a package brings along depends on features.
        packages.map(|package| package.split("dependencies = ").next().unwrap().trim().to_owned()).collect()
    };
    let root = packages(shop().join("../../Cargo.lock"));
    let own = |package: &&String| {
        PACKAGES.iter().chain(["shop"].iter()).any(|name| package.starts_with(&format!("name = \"{name}\"\n")))
    };
    let (own, others): (Vec<String>, Vec<String>) = {
        let all = packages(shop().join("Cargo.lock"));
        (all.iter().filter(own).cloned().collect(), all.iter().filter(|package| !own(package)).cloned().collect())
    };
    assert_eq!(own.len(), 4);
    for package in others {
        assert!(root.contains(&package), "{package}\nis not in the root's lock");
    }
}

#[test]
fn a_library_of_the_shop_is_tested_with_the_tables_that_it_stands_on() {
    cargo(&Project::shop(), &["test", "-q", "-p", "orders"]).done().says("1 passed");
}

/// A program that joins libraries of the shop, and one that it does not know of.
#[test]
fn a_program_that_joins_libraries_says_what_is_missing_and_what_is_made_twice() {
    let project = Project::shop();
    project.write(
        "Cargo.toml",
        &project
            .read("Cargo.toml")
            .replace("\"shop\"]", "\"shop\", \"newsletter\", \"joining\"]")
            .replace("accounts = { path", "newsletter = { path = \"newsletter\" }\naccounts = { path"),
    );
    let library = project.read("accounts/Cargo.toml").replace("\"accounts\"", "\"newsletter\"");
    project.write("newsletter/Cargo.toml", &library);
    project.write(
        "newsletter/src/lib.rs",
        "pub static MIGRATIONS: migrate_runtime::Migrations = migrate_runtime::embed!(\"migrations\");\n",
    );
    project.write(
        "newsletter/migrations/001_customers.sql",
        "-- migrate:up\nCREATE TABLE IF NOT EXISTS customers (email TEXT);\n-- migrate:down\nDROP TABLE customers;\n",
    );
    project.write("newsletter/migrations/migrate.lock", "format 1\npackage newsletter\n");
    let program = project.read("shop/Cargo.toml").replace("\"shop\"", "\"joining\"");
    let dependencies = "[dependencies]\nnewsletter.workspace = true\n";
    project.write("joining/Cargo.toml", &program.replace("[dependencies]\n", dependencies));
    project.write("joining/src/main.rs", JOINING);
    cargo(&project, &["build", "-q", "-p", "joining"]).done();
    let program = target_folder().join("debug").join(format!("joining{}", std::env::consts::EXE_SUFFIX));
    let start = |parts: &str| Ran::of(&Command::new(&program).arg(project.path("a.db")).arg(parts).output().unwrap());
    let there = || project.path("a.db").metadata().map_or(0, |file| file.len());

    start("without-catalog").refused(&[
        "error[dependency-not-applied]",
        "`2026_11_03_001_create_orders` depends on `catalog/2026_11_02_001_create_products`",
    ]);
    assert_eq!(there(), 0);
    start("twice").refused(&["error[made-twice]", "`customers`", "newsletter", "accounts"]);
    assert_eq!(there(), 0);
    let names = ALL.map(|revision| revision.split_once('/').unwrap().1).join(" ");
    assert_eq!(start("all").done().out, format!("{names}\n"));
    assert_eq!(applied(&project, "a.db"), ALL);
    // The second start has nothing to do, and one without the catalog finds its tables there.
    assert_eq!(start("all").done().out, "\n");
    assert_eq!(start("without-catalog").done().out, "\n");
    start("twice").refused(&["error[made-twice]"]);
    assert_eq!(applied(&project, "a.db"), ALL);
}

const JOINING: &str = r#"use migrate_runtime::{Joined, Migrations};

static ALL: Joined<3> = Migrations::join([&orders::MIGRATIONS, &accounts::MIGRATIONS, &catalog::MIGRATIONS]);
static WITHOUT_CATALOG: Joined<2> = Migrations::join([&accounts::MIGRATIONS, &orders::MIGRATIONS]);
static TWICE: Joined<2> = Migrations::join([&accounts::MIGRATIONS, &newsletter::MIGRATIONS]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let mut connection = rusqlite::Connection::open(&arguments[1])?;
    let outcome = match arguments[2].as_str() {
        "all" => ALL.upgrade(&mut connection)?,
        "without-catalog" => WITHOUT_CATALOG.upgrade(&mut connection)?,
        "twice" => TWICE.upgrade(&mut connection)?,
        parts => panic!("{parts}"),
    };
    let done: Vec<String> = outcome.done.iter().map(ToString::to_string).collect();
    println!("{}", done.join(" "));
    Ok(())
}
"#;

/// Cargo on the workspace, in the one target folder of all builds.
fn cargo(project: &Project, arguments: &[&str]) -> Ran {
    Ran::of(&cargo_command(project, arguments).output().unwrap())
}

fn cargo_command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(project.path(".")).args(arguments).env_remove("SHOP_DATABASE");
    command.env("CARGO_TARGET_DIR", target_folder()).env("CARGO_NET_OFFLINE", "true");
    command
}

/// What is on the screen after a line was typed in the project's folder: both streams as they come.
fn screen(project: &Project, line: &str) -> String {
    let mut words = Vec::new();
    // Within double quotes a space is no end.
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 { words.push(part) } else { words.extend(part.split_whitespace()) }
    }
    let mut command = match words[..2] {
        ["cargo", "migrate"] => project.command(&words[2..]),
        ["cargo", "run"] => cargo_command(project, &words[1..]),
        _ => panic!("{line}"),
    };
    let (mut reader, writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    // It holds the writing ends of the pipe, whose end would not come.
    drop(command);
    let mut screen = String::new();
    reader.read_to_string(&mut screen).unwrap();
    child.wait().unwrap();
    screen
}

/// A screen without what differs from day to day and from run to run: times, dates of new revisions, columns' widths,
/// empty lines.
fn told(screen: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in screen.lines() {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        for at in 1..words.len() {
            if words[at] == "ms" {
                words[at - 1] = "N".to_owned();
            }
        }
        for word in &mut words {
            if let Some(at) = word.find("_001_add_phone") {
                word.replace_range(at - "2026_11_23".len()..at, "TODAY");
            }
        }
        if !words.is_empty() {
            lines.push(words.join(" "));
        }
    }
    lines
}

/// The texts of all migrations of the shop.
fn migrations(project: &Project) -> Vec<String> {
    let folders = PACKAGES.map(|package| fs::read_dir(project.path(&format!("{package}/migrations"))).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|it| it == "sql"))
        .map(|f| fs::read_to_string(f).unwrap())
        .collect()
}
