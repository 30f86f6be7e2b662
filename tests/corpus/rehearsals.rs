//! Real histories with ways back, as folders of migrations, rehearsed from nothing: the downs that do not restore the
//! schema are those that `history.json` names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Histories of more steps are rehearsed with `MIGRATE_TEST_SCALE` alone.
const SHORT: usize = 30;

/// Functions that only the histories' own programs have, and ones that take as much and give something.
const FUNCTIONS: [(&str, &str); 2] = [("BIN2B64", "hex"), ("durationToTinyInt", "length")];

/// Where the verdicts differ, and why: history, number of the step, whether we say that it restores the schema.
const EXCEPTIONS: [(&str, u64, bool, &str); 2] = [
    ("flipt-2023", 2, false, "its `UNIQUE` comes back without `ON CONFLICT REPLACE`, of which no PRAGMA tells"),
    ("taproot-assets", 47, false, "its `CHECK` comes back with another number; the history counts them alone"),
];

/// Steps that our runner refuses in a transaction: they leave a reference to a table that is gone, which a later step
/// mends.
const OUTSIDE: [(&str, u64); 1] = [("vaultwarden", 3)];

/// One step of a history.
struct Step {
    number: u64,
    file: String,
    up: String,
    /// `None` where there is no way back, or nothing in it.
    down: Option<String>,
    /// Whether the way back restores the schema, as the history says.
    restores: bool,
}

#[derive(Default)]
struct Tally {
    histories: usize,
    restored: usize,
    not_restored: usize,
    without: usize,
    failed: Vec<String>,
}

/// Rehearses all histories, or the short ones where only each so many-th is wanted.
pub fn downs_that_do_not_restore(corpus: &Path, each: usize) -> bool {
    let mut tally = Tally::default();
    for project in projects(corpus) {
        let history: Value = serde_json::from_str(&fs::read_to_string(project.join("history.json")).unwrap()).unwrap();
        let steps = history["steps"].as_array().unwrap();
        let has_downs = steps.iter().any(|step| step["down_file"].is_string());
        if has_downs && (each == 1 || steps.len() < SHORT) {
            tally.history(&project, &history);
        }
    }
    if each > 1 {
        println!("histories of fewer than {SHORT} steps were rehearsed; MIGRATE_TEST_SCALE=1 rehearses all");
    }
    println!(
        "{} histories: {} downs restore the schema, {} do not, as the histories say; {} steps have none",
        tally.histories, tally.restored, tally.not_restored, tally.without
    );
    EXCEPTIONS.iter().for_each(|(history, number, _, why)| println!("exception: {history} {number}: {why}"));
    tally.failed.iter().for_each(|line| println!("FAILED {line}"));
    tally.failed.is_empty() && tally.restored > 50 && tally.not_restored > 10
}

impl Tally {
    fn history(&mut self, project: &Path, history: &Value) {
        let name = project.file_name().unwrap().to_string_lossy().into_owned();
        let steps = steps(project, history);
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("migrations"), project, history, &steps);
        let output = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"))
            .args(["test", "--all", "--format", "json", "--migrations", "migrations", "--name", "history"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let Ok(document) = serde_json::from_slice::<Value>(&output.stdout) else {
            self.failed.push(format!("{name}: {said}"));
            return;
        };
        let none = Vec::new();
        let found: BTreeMap<String, &Value> = document["revisions"]
            .as_array()
            .unwrap_or(&none)
            .iter()
            .map(|revision| (revision["revision"].as_str().unwrap().to_owned(), revision))
            .collect();
        self.histories += 1;
        for step in &steps {
            let place = format!("{name} {} ({})", step.number, step.file);
            let Some(revision) = found.get(&id(step.number)) else {
                self.failed.push(format!("{place}: it was not rehearsed\n{said}"));
                return;
            };
            if step.down.is_none() {
                self.without += 1;
                continue;
            }
            let restores = revision["down"]["result"] == "done" && revision["schema_restored"] == "yes";
            let exception =
                EXCEPTIONS.iter().find(|(history, number, ..)| (*history, *number) == (name.as_str(), step.number));
            if restores != exception.map_or(step.restores, |(_, _, restores, _)| *restores) {
                let says = if restores { "restores" } else { "does not restore" };
                self.failed.push(format!("{place}: we say that it {says} the schema: {}", revision["faults"]));
            } else if restores {
                self.restored += 1;
            } else {
                self.not_restored += 1;
            }
        }
    }
}

fn projects(corpus: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("history.json").is_file())
        .collect();
    found.sort();
    found
}

fn steps(project: &Path, history: &Value) -> Vec<Step> {
    let read = |file: &str| fs::read_to_string(project.join("migrations").join(file)).unwrap();
    let steps = history["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let up_file = step["up_file"].as_str().unwrap();
            let (up, down) = match step["down_file"].as_str() {
                Some(down_file) if down_file != up_file => (read(up_file), Some(read(down_file))),
                // Where there is one file, it may be a tool's whose files have both ways all the same.
                _ => sections(&read(up_file)),
            };
            let verdict = step["down"].as_str();
            let skipped = step["up"] != "ok";
            Step {
                number: step["n"].as_u64().unwrap(),
                file: up_file.to_owned(),
                up: if skipped { "SELECT 1;".to_owned() } else { ours(&up) },
                down: down.filter(|_| !skipped && verdict.is_some_and(|down| down != "empty")).map(|down| ours(&down)),
                restores: verdict.is_some_and(|down| !down.starts_with("different") && !down.starts_with("FAILED")),
            }
        })
        .collect()
}

/// The two ways of a file of goose or of dbmate.
fn sections(text: &str) -> (String, Option<String>) {
    let (mut up, mut down, mut is_down) = (String::new(), None, false);
    for line in text.lines() {
        let marker = line.trim().to_ascii_lowercase();
        if marker.starts_with("-- +goose down") || marker.starts_with("-- migrate:down") {
            is_down = true;
            down.get_or_insert_with(String::new);
        } else if marker.starts_with("-- +goose up") || marker.starts_with("-- migrate:up") {
            is_down = false;
        } else {
            let section = if is_down { down.get_or_insert_with(String::new) } else { &mut up };
            section.push_str(line);
            section.push('\n');
        }
    }
    (up, down)
}

/// A section as our runner takes it: it keeps the transaction and the foreign keys itself, and other tools' markers are
/// no comments to it.
fn ours(text: &str) -> String {
    let mut ours = String::new();
    for line in text.lines() {
        let word: String =
            line.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ").replace(" ;", ";");
        // A trigger's `BEGIN` has no semicolon, and its `END;` is no `COMMIT;`.
        let keeps = ["begin;", "begin transaction;", "begin immediate;", "commit;", "commit transaction;"];
        let own = ["pragma foreign_keys", "-- +goose", "-- +migrate", "-- migrate:"];
        if keeps.contains(&word.as_str()) || own.iter().any(|start| word.starts_with(start)) {
            continue;
        }
        ours.push_str(line);
        ours.push('\n');
    }
    FUNCTIONS.iter().fold(ours, |text, (theirs, there)| text.replace(&format!("{theirs}("), &format!("{there}(")))
}

fn id(number: u64) -> String {
    format!("m{number:04}")
}

fn write(folder: &Path, project: &Path, history: &Value, steps: &[Step]) {
    fs::create_dir(folder).unwrap();
    let mut parent = "base".to_owned();
    let name = project.file_name().unwrap().to_string_lossy();
    let mut put = |number: u64, up: &str, down: Option<&str>| {
        let mut text = format!("-- migrate:parent {parent}\n");
        if OUTSIDE.contains(&(&*name, number)) {
            text.push_str("-- migrate:no-transaction\n");
        }
        if down.is_none() {
            text.push_str("-- migrate:irreversible\n");
        }
        // A last line may be a comment, or lack its end.
        let _ = write!(text, "-- migrate:up\n{up}\n");
        if let Some(down) = down {
            let _ = write!(text, "-- migrate:down\n{down}\n");
        }
        parent = id(number);
        fs::write(folder.join(format!("{parent}.sql")), text).unwrap();
    };
    if let Some(base) = history["base"].as_str() {
        put(0, &fs::read_to_string(project.join(base)).unwrap(), None);
    }
    for step in steps {
        put(step.number, &step.up, step.down.as_deref());
    }
}
