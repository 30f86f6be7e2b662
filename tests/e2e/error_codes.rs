//! Every code of a problem is documented in `docs/errors.md`, and every one is produced by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Project, table};

/// The code that no test can produce: it stands for a mistake that nobody has made yet.
/// PostgreSQL's programs cannot be taken from where a system keeps them, and what one of them says in vain is told as what
/// it was run for; unit tests have both.
const OUT_OF_REACH: [&str; 3] = ["internal", "no-postgres-tools", "postgres-tool-failed"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn text_of(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The codes that stand in the sources of all crates, tests aside.
fn codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for package in ["build-support/src", "migrate-macros/src", "migrate-runtime/src", "cargo-migrate/src"] {
        for (path, text) in text_of(package) {
            if path.ends_with("tests.rs") {
                continue;
            }
            let code = text.split("\n#[cfg(test)]\n").next().unwrap();
            codes.extend(code.split("Code(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(codes.len() > 50, "the sources were not found");
    codes
}

#[test]
fn every_code_is_documented_with_its_meaning_and_its_way_out() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md")).unwrap();
    let table = page.split("| code | what it means | the way out |").nth(1).unwrap();
    let mut documented = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [code, meaning, way_out] = cells[..] else { panic!("{row}") };
        assert!(!meaning.is_empty() && !way_out.is_empty(), "{row}");
        documented.push(code.trim_matches('`').to_owned());
    }
    assert!(documented.is_sorted(), "the table is in the order of the codes");
    let known = codes();
    let documented: BTreeSet<String> = documented.into_iter().collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let outdated: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && outdated.is_empty(),
        "docs/errors.md lacks {missing:?}, and need not have {outdated:?}"
    );
}

#[test]
fn every_code_is_produced_by_a_test() {
    let folders = ["tests/e2e", "tests/pages", "tests/postgres"];
    let tests: String = folders.into_iter().flat_map(text_of).map(|(_, text)| text).collect();
    let expected = |code: &str| {
        let named = |text: String| tests.contains(&text);
        named(format!("\"{code}\"")) || named(format!("[{code}]"))
    };
    let untested: Vec<String> =
        codes().into_iter().filter(|code| !OUT_OF_REACH.contains(&code.as_str()) && !expected(code)).collect();
    assert!(untested.is_empty(), "no test expects {untested:?}");
}

/// Two revisions, of which the first is applied.
fn project() -> Project {
    let project = Project::new();
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project
}

#[test]
fn targets_that_lead_nowhere() {
    let project = project();
    for (arguments, words) in [
        (&["upgrade", "+2"][..], &["too-many-steps", "1 revision is pending", "status"][..]),
        (&["downgrade", "-2"], &["too-many-steps", "1 revision is applied"]),
        (&["upgrade", "base"], &["wrong-direction", "downgrade base"]),
        (&["upgrade", "-1"], &["wrong-direction", "downgrade -1"]),
        (&["downgrade", "a2"], &["not-applied", "current"]),
        (&["upgrade", "b1"], &["unknown-target", "did you mean `a1`?"]),
        (&["upgrade", "a"], &["ambiguous-target", "a1", "a2"]),
        (&["schema", "t11"], &["unknown-table", "did you mean `t1`?"]),
        (&["repair", "--finished", "a1"], &["not-interrupted", "status"]),
        (&["revision", "-m", "x", "--head", "a1"], &["not-a-head", "--splice"]),
        (&["delete", "a1"], &["built-on", "a2", "delete them as well"]),
    ] {
        project.refuses(arguments, words);
    }
    let ran = project.run(&["stamp", "+1"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("error[usage]"), "{}", ran.err);
}

#[test]
fn what_the_environment_says() {
    let project = project();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("\"sqlite:app.db\"", "\"env:APP_DATABASE\""));
    project.refuses(&["upgrade"], &["missing-variable", "`APP_DATABASE` is not set", ".env"]);
    project.write(".env", "this is se cret\n");
    let ran = project.refuses(&["upgrade"], &["invalid-env-file", "line 1"]);
    assert!(!ran.err.contains("cret"), "{}", ran.err);
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", ""));
    fs::remove_file(project.path(".env")).unwrap();
    project.refuses(&["upgrade"], &["no-database", "dev, test", "-d dev"]);
}

#[test]
fn a_manifest_that_init_cannot_add_to() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\nmetadata = 3\n\n[workspace]\n",
    );
    project.run(&["init"]).refused(&["invalid-manifest", "Cargo.toml"]);
    project.write("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
    let mut permissions = fs::metadata(project.path("Cargo.toml")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(project.path("Cargo.toml"), permissions).unwrap();
    project.run(&["init"]).refused(&["write-failed", "read-only", "Cargo.toml"]);
}

#[test]
fn a_section_that_leaves_a_transaction_open() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:no-transaction\n-- migrate:up\nBEGIN;\nCREATE TABLE t2 (x);\n",
    );
    project.run(&["upgrade"]).refused(&["transaction-ended", "a2.sql", "COMMIT;", "repair --not-applied a2"]);
    assert_eq!(project.ask("SELECT count(*) FROM sqlite_schema WHERE name = 't2'"), "0");
}

#[test]
fn packages_that_stand_on_one_another() {
    let project = Project::new();
    project.write("Cargo.toml", "[workspace]\nmembers = [\"shop\", \"queue\"]\nresolver = \"3\"\n\n[workspace.metadata.migrate.databases]\ndev = \"sqlite:app.db\"\n");
    for package in ["shop", "queue"] {
        let manifest = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[package.metadata.migrate]\ndatabase = \"dev\"\n"
        );
        project.write(&format!("{package}/Cargo.toml"), &manifest);
        project.write(&format!("{package}/src/lib.rs"), "");
    }
    project.write("queue/migrations/q1.sql", &table("base", "jobs"));
    let depends = table("base", "orders").replace("-- migrate:up", "-- migrate:depends queue/q1\n-- migrate:up");
    project.write("shop/migrations/s1.sql", &depends);
    project.run(&["ensure-version", "-p", "shop"]).done();
    // Without the manifest nobody knows of the other package.
    let alone = ["--manifest-path", "none", "--migrations", "shop/migrations", "--name", "shop", "-d", "sqlite:app.db"];
    std::fs::write(project.path("none"), "").unwrap();
    project.refuses(
        &[&alone[..], &["upgrade"]].concat(),
        &["dependency-not-applied", "`queue/q1`", "upgrade q1 -p queue"],
    );
    // What it depends on is applied with it.
    project.run(&["upgrade", "-p", "shop"]).done().says("queue: upgrade base -> q1").says("shop: upgrade base -> s1");
    project.refuses(&["downgrade", "base", "-p", "queue"], &["depended-on", "shop/s1", "first"]);
}

#[test]
fn a_file_that_changes_while_its_run_waits() {
    let project = project();
    let other = project.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = project.command(&["--wait", "100", "upgrade"]);
    command.stderr(std::process::Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    // It says so when it has read the files and waits.
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(waiting.stderr.take().unwrap());
    while !said.contains("Waiting") {
        assert!(std::io::BufRead::read_line(&mut lines, &mut said).unwrap() > 0, "{said}");
    }
    project.migration("a2", &table("a1", "other"));
    other.execute_batch("COMMIT").unwrap();
    std::io::Read::read_to_string(&mut lines, &mut said).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("file-moved") && said.contains("run the command again"), "{said}");
    project.run(&["current"]).done().says("a1");
    project.run(&["upgrade"]).done();
}

#[cfg(target_os = "linux")]
#[test]
fn a_history_that_moves_while_a_person_thinks() {
    let project = project();
    let manifest = project.read("Cargo.toml");
    project
        .write("Cargo.toml", &manifest.replace("\"sqlite:app.db\"", "{ url = \"sqlite:app.db\", protected = true }"));
    let mut asked = project.at_terminal("upgrade");
    let question = asked.question();
    assert!(question.contains("a1 -> a2"), "{question}");
    project.run(&["upgrade", "--yes"]).done();
    let ran = asked.answer("dev");
    assert_eq!(ran.status, 1, "{}", ran.out);
    ran.says("history-moved").says("nothing was done");
}
