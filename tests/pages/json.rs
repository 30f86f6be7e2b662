//! What `docs/json.md` shows is what the commands print.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    the_documented_shapes_are_those_that_are_printed,
}

/// The examples of the page, each of a command.
fn documented() -> Vec<Value> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap()).collect()
}

/// A document's keys and the kinds of its values. An empty list could hold anything.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.first().map_or(Value::Null, |item| Value::Array(vec![shape(item)])),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

fn agree(documented: &Value, printed: &Value) -> bool {
    match (documented, printed) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.keys().eq(theirs.keys()) && ours.iter().all(|(key, value)| agree(value, &theirs[key]))
        }
        (Value::Array(ours), Value::Array(theirs)) => agree(&ours[0], &theirs[0]),
        (ours, theirs) => ours == theirs || ours.is_null() || theirs.is_null(),
    }
}

/// A project with the migrations of the to-do example, which the documents are about.
fn todo(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/todo/migrations");
    for entry in fs::read_dir(example).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            project.migration(path.file_stem().unwrap().to_str().unwrap(), &fs::read_to_string(&path).unwrap());
        }
    }
    project
}

/// What `--each` takes for many databases of which one is new: files, of which one is none, or a server's.
fn tenants(project: &Project) -> String {
    if project.databases().dialect() != "sqlite" {
        return project.url("tenant");
    }
    for name in ["tenants/0001.db", "tenants/0001.db.bak"] {
        project.write(name, "");
    }
    "tenants/*".to_owned()
}

fn the_documented_shapes_are_those_that_are_printed(ground: &dyn Ground) {
    let project = todo(ground);
    project.run(&["upgrade", "+1"]).done();
    let text = "-- Why.\n".to_owned() + &project.read("migrations/2025_02_19_001_create_users.sql");
    let id = "2026_11_23_001_add_mail";
    let tenants = tenants(&project);
    let mut shown = 0;
    for expected in documented() {
        let Some(command) = expected.get("command").and_then(Value::as_str) else {
            let refused = project.run(&["--format", "json", "show", "x"]);
            assert!(agree(&shape(&expected), &shape(&refused.json())), "{}", refused.out);
            continue;
        };
        if matches!(command, "schema" | "diff") && !project.databases().has_schema_reader() {
            continue;
        }
        let arguments: &[&str] = match command {
            "stamp" => &["stamp", "head"],
            "repair" => {
                project.write("migrations/2025_02_19_001_create_users.sql", &text);
                &["repair"]
            }
            "upgrade" if expected.get("each").is_some() => &["upgrade", "--each", &tenants],
            "show" => &["show", "head"],
            "test" => &["test", "--revision", "create_todos"],
            "revision" => &["revision", "-m", "add mail", "--rev-id", id],
            "edit" => &["edit", id],
            "delete" => &["delete", id],
            "restore" => &["restore", "--yes"],
            command => &[command],
        };
        let mut run = project.command(&[arguments, &["--format", "json"]].concat());
        let output = run.env("VISUAL", "true").output().unwrap();
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["command"], expected["command"], "{printed:#}");
        assert!(agree(&shape(&expected), &shape(&printed)), "{expected:#}\n{printed:#}");
        shown += 1;
    }
    assert!(shown > 15, "the page has too few examples");
}
