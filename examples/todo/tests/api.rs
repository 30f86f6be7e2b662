//! Talks to the server over HTTP, on a database that the program's own migrations made.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use todo::api;
use todo::store::{MIGRATIONS, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

#[test]
fn a_day_with_the_list() {
    let server = Server::start();
    server.get("/health").is(200, json!({"status": "ok"}));

    let ada = server.post("/users", json!({"name": "Ada"}));
    ada.is(201, json!({"id": 1, "name": "Ada"}));
    server.get("/users").is(200, json!([{"id": 1, "name": "Ada"}]));

    let bread = json!({"id": 1, "user_id": 1, "title": "Bake bread", "done": false, "priority": 0});
    let mother = json!({"id": 2, "user_id": 1, "title": "Call mother", "done": false, "priority": 5});
    let created = server.post("/todos", json!({"user_id": 1, "title": "Bake bread"}));
    created.is(201, bread.clone());
    assert_eq!(created.header("location"), Some("/todos/1"));
    server.post("/todos", json!({"user_id": 1, "title": " Call mother ", "priority": 5})).is(201, mother.clone());
    server.get("/todos?user_id=1&done=false").is(200, json!([mother, bread]));

    let baked = json!({"id": 1, "user_id": 1, "title": "Bake bread", "done": true, "priority": 0});
    server.patch("/todos/1", json!({"done": true})).is(200, baked.clone());
    server.get("/todos/1").is(200, baked.clone());
    server.get("/todos?done=true").is(200, json!([baked]));
    server.get("/todos?done=false").is(200, json!([mother]));
    server.get("/todos").is(200, json!([mother, baked]));

    assert_eq!(server.delete("/todos/1").status, 204);
    server.get("/todos/1").is(404, json!({"error": "there is no todo 1"}));
    server.get("/todos").is(200, json!([mother]));
}

#[test]
fn a_change_leaves_alone_what_it_does_not_name() {
    let server = Server::with_a_todo();
    let change = json!({"title": "Bake a cake", "priority": 9});
    let cake = json!({"id": 1, "user_id": 1, "title": "Bake a cake", "done": false, "priority": 9});
    server.patch("/todos/1", change).is(200, cake.clone());
    server.patch("/todos/1", json!({})).is(200, cake);
}

#[test]
fn lists_come_in_pages_and_by_user() {
    let server = Server::with_a_todo();
    server.post("/users", json!({"name": "Grace"}));
    for title in ["Sweep", "Weed"] {
        assert_eq!(server.post("/todos", json!({"user_id": 2, "title": title})).status, 201);
    }
    assert_eq!(server.get("/todos?user_id=2").ids(), [2, 3]);
    assert_eq!(server.get("/todos?limit=2").ids(), [1, 2]);
    assert_eq!(server.get("/todos?limit=2&offset=2").ids(), [3]);
    assert_eq!(server.get("/users?offset=1").ids(), [2]);
    assert_eq!(server.get("/todos?user_id=3").ids(), [0; 0]);
    server.get("/todos?limit=1001").is(422, json!({"error": "the limit is above 1000"}));
}

#[test]
fn what_cannot_be_stored_is_refused_with_its_reason() {
    let server = Server::with_a_todo();
    let refused = |status, body, error| server.post("/todos", body).is(status, json!({ "error": error }));
    refused(422, json!({"user_id": 7, "title": "Sweep"}), "there is no user 7");
    refused(422, json!({"user_id": 1, "title": "  "}), "the title is empty");
    refused(422, json!({"user_id": 1, "title": "a\u{1b}[2J"}), "the title has control characters in it");
    refused(422, json!({"user_id": 1, "title": "é".repeat(201)}), "the title is longer than 200 characters");
    refused(422, json!({"user_id": 1, "title": "Sweep", "priority": 10}), "the priority is not between 0 and 9");
    assert_eq!(server.post("/todos", json!({"user_id": 1, "title": "é".repeat(200)})).status, 201);

    let taken = json!({"error": "there is already a user named `Ada`"});
    server.post("/users", json!({"name": "Ada"})).is(409, taken);
    let out_of_range = json!({"error": "the priority is not between 0 and 9"});
    server.patch("/todos/1", json!({"priority": -1})).is(422, out_of_range);
}

#[test]
fn what_cannot_be_understood_is_an_error_in_json_too() {
    let server = Server::with_a_todo();
    let refused = |status, answer: Answer| {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body["error"].is_string(), "{}", answer.body);
    };
    refused(400, server.ask("POST", "/users", JSON, "{"));
    refused(415, server.ask("POST", "/users", "content-type: text/plain\r\n", "{}"));
    let one_byte_too_long = format!("{{\"name\": \"{}\"}}", "a".repeat(16 * 1024 - 11));
    refused(413, server.ask("POST", "/users", JSON, &one_byte_too_long));
    refused(422, server.post("/users", json!({})));
    refused(422, server.post("/users", json!({"name": "Grace", "admin": true})));
    refused(400, server.get("/todos/first"));
    refused(400, server.get("/todos?done=perhaps"));
    refused(400, server.get("/todos?owner=1"));
    refused(404, server.get("/todos/2"));
    refused(404, server.patch("/todos/2", json!({"done": true})));
    refused(404, server.delete("/todos/2"));
    refused(404, server.get("/nowhere"));
    refused(405, server.delete("/todos"));
}

#[test]
fn a_user_who_goes_takes_their_todos_along() {
    let server = Server::with_a_todo();
    let database = Connection::open(server.database()).unwrap();
    database.pragma_update(None, "foreign_keys", true).unwrap();
    database.execute("DELETE FROM users", []).unwrap();
    server.get("/todos").is(200, json!([]));
}

#[test]
fn a_downgrade_under_the_server_is_an_error_and_not_the_end_of_it() {
    let server = Server::with_a_todo();
    Connection::open(server.database()).unwrap().execute("DROP TABLE todos", []).unwrap();
    server.get("/todos").is(500, json!({"error": "something went wrong in the server"}));
    server.get("/health").is(503, json!({"error": "the database has no table `todos`"}));
    server.get("/users").is(200, json!([{"id": 1, "name": "Ada"}]));
}

#[test]
fn without_its_tables_the_program_says_how_to_make_them() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("todo.db");
    let refused = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_todo")).env("TODO_DATABASE", &database).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        for word in words {
            assert!(said.contains(word), "`{word}` is not in\n{said}");
        }
        assert_eq!(output.status.code(), Some(1));
    };
    refused(&["there is no database", "todo.db`\nhelp: run `cargo migrate upgrade head`"]);
    assert!(!database.exists());

    fs::write(&database, "").unwrap();
    refused(&[
        "error[database-behind]: this database lacks 2025_02_19_001_create_users, ",
        "run `cargo migrate upgrade`",
    ]);

    let mut connection = Connection::open(&database).unwrap();
    MIGRATIONS.upgrade(&mut connection).unwrap();
    MIGRATIONS.downgrade_to(&mut connection, "2025_02_19_002_create_todos").unwrap();
    refused(&["lacks 2025_02_20_001_add_priority, 2025_02_21_001_unique_user_names\n"]);
}

/// A server on a free port, with a database of its own.
struct Server {
    address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

const JSON: &str = "content-type: application/json\r\n";

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let database = folder.path().join("todo.db");
        MIGRATIONS.upgrade(&mut Connection::open(&database).unwrap()).unwrap();
        let store = Arc::new(Store::open(&database).unwrap());
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, api::router(store)).await.unwrap() });
        Server { address, folder, _runtime: runtime }
    }

    fn with_a_todo() -> Self {
        let server = Server::start();
        assert_eq!(server.post("/users", json!({"name": "Ada"})).status, 201);
        assert_eq!(server.post("/todos", json!({"user_id": 1, "title": "Bake bread"})).status, 201);
        server
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("todo.db")
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, JSON, &body.to_string())
    }

    fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask("PATCH", path, JSON, &body.to_string())
    }

    fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "", "")
    }

    /// One request on a connection of its own, read until the server closes it.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        Answer { status, head: head.to_owned(), body }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn is(&self, status: u16, body: Value) {
        assert_eq!((self.status, &self.body), (status, &body));
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn ids(&self) -> Vec<i64> {
        self.body.as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()).collect()
    }
}
