//! Every change on the page about autogenerate is made, and gives what the page says.

use std::fs;
use std::path::Path;

use crate::harness::{Project, Ran};

/// A fenced block of the page: what it is, and its lines.
struct Block {
    kind: String,
    text: String,
}

/// The blocks from the chapter with the changes on.
fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/autogenerate.md")).unwrap();
    let changes = page.split_once("\n## Changes and what they give\n").unwrap().1;
    let mut blocks = Vec::new();
    for fenced in changes.split("```").skip(1).step_by(2) {
        let (kind, text) = fenced.split_once('\n').unwrap();
        blocks.push(Block { kind: kind.to_owned(), text: text.to_owned() });
    }
    blocks
}

/// The command of a line as it is typed, run in the project.
fn typed(project: &Project, line: &str) -> Ran {
    let mut arguments: Vec<String> = Vec::new();
    // Within double quotes a space is no end.
    for (at, part) in line.trim().split('"').enumerate() {
        if at % 2 == 1 {
            arguments.push(part.to_owned());
        } else {
            arguments.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    assert_eq!(arguments[..2], ["cargo", "migrate"], "{line}");
    let arguments: Vec<&str> = arguments[2..].iter().map(String::as_str).collect();
    project.run(&arguments)
}

/// Applies a block of changed lines to the file that its first line names; to the models where it names none.
fn apply(project: &Project, changes: &str) {
    let (file, changes) = match changes.strip_prefix("--- ") {
        Some(rest) => rest.split_once('\n').unwrap(),
        None => ("src/models.rs", changes),
    };
    let side = |sign: char| -> String {
        let lines = changes.lines().filter(|line| line.starts_with([' ', sign]));
        lines.map(|line| format!("{}\n", &line[1..])).collect()
    };
    let (before, after, text) = (side('-'), side('+'), project.read(file));
    assert_eq!(text.matches(&before).count(), 1, "{before}\nis not once in\n{text}");
    project.write(file, &text.replace(&before, &after));
}

/// The newest migration's text.
fn newest(project: &Project) -> String {
    let files = fs::read_dir(project.path("migrations")).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|ending| ending == "sql")).max().unwrap();
    fs::read_to_string(newest).unwrap()
}

#[test]
fn every_change_on_the_page_gives_the_file_that_the_page_shows() {
    let blocks = blocks();
    let [configuration, models, schema, ..] = blocks.as_slice() else { panic!("the page has no beginning") };
    let start = || {
        let project = Project::new();
        let (key, lines) = configuration.text.split_once('\n').unwrap();
        let manifest = project.read("Cargo.toml").replace(&format!("{key}\n"), &format!("{key}\n{lines}"));
        project.write("Cargo.toml", &manifest);
        project.write("src/models.rs", &models.text);
        project.write("schema.sql", &schema.text);
        project
    };
    let mut project = start();
    let first = &blocks[3].text;
    let (mut changes, mut refusals, mut files) = (0, 0, 0);
    for block in &blocks[3..] {
        match block.kind.as_str() {
            "diff" => {
                project = start();
                typed(&project, first).done();
                apply(&project, &block.text);
                changes += 1;
            }
            "console" => {
                let (line, said) = block.text.split_once('\n').unwrap();
                let ran = typed(&project, line.strip_prefix("$ ").unwrap()).refused(&[]);
                assert_eq!(ran.err.trim_end(), said.trim_end());
                refusals += 1;
            }
            "sh" => drop(typed(&project, &block.text).done()),
            "sql" => {
                assert_eq!(newest(&project), block.text);
                // It leads to where the models are, and back.
                project.run(&["diff", "head", "models", "--exit-code"]).done();
                project.run(&["upgrade"]).done();
                project.run(&["diff", "--exit-code"]).done();
                project.run(&["downgrade", "-1"]).done();
                files += 1;
            }
            kind => panic!("a block of `{kind}` has nothing to do here"),
        }
    }
    assert_eq!((changes, refusals, files), (14, 2, 15));
}
