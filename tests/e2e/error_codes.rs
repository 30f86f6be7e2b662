//! Every code of a problem is documented in `docs/errors.md`, and every one is produced by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Project;

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
