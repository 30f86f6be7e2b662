//! What `docs/json.md` shows is what the commands print.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::harness::Project;

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

#[test]
fn the_documented_shapes_are_those_that_are_printed() {
    let project = Project::todo();
    project.run(&["upgrade", "+1"]).done();
    let text = "-- Why.\n".to_owned() + &project.read("migrations/2025_02_19_001_create_users.sql");
    let id = "2026_11_23_001_add_mail";
    for expected in documented() {
        let Some(command) = expected.get("command").and_then(Value::as_str) else {
            let refused = project.run(&["--format", "json", "show", "x"]);
            assert!(agree(&shape(&expected), &shape(&refused.json())), "{}", refused.out);
            continue;
        };
        let arguments: &[&str] = match command {
            "stamp" => &["stamp", "head"],
            "repair" => {
                project.write("migrations/2025_02_19_001_create_users.sql", &text);
                &["repair"]
            }
            "upgrade" if expected.get("each").is_some() => {
                for name in ["tenants/0001.db", "tenants/0001.db.bak"] {
                    project.write(name, "");
                }
                &["upgrade", "--each", "tenants/*"]
            }
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
        assert_eq!(printed["command"], expected["command"]);
        assert!(agree(&shape(&expected), &shape(&printed)), "{expected:#}\n{printed:#}");
    }
}
