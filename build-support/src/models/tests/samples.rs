//! What is written for SQLite runs on SQLite, and gives the columns that the model has.

use super::super::Dialect;
use super::{models, statements};

/// Structs with all that a table can have, in one file.
const SAMPLES: &str = r#"
#[derive(Table)] struct User { #[column(primary_key, autoincrement)] id: i64, #[column(unique, collate = "NOCASE")] name: String }
#[derive(Table)] #[table(strict, without_rowid, primary_key(user, day))]
struct Visit { #[column(references = User::id, on_delete = "cascade")] user: i64, day: chrono::NaiveDate, picture: Option<Vec<u8>>, ratio: f64, #[column(type = "ANY")] any: Any }
#[derive(Table)] #[table(foreign_key(columns(user, day), references = "visit (user, day)", deferred), unique(a, b), check("a < b"), check(both = "a + b < 100"))]
struct Select { #[column(default = -3)] a: i32, #[column(default = 1.5)] b: f32, #[column(default = "it's \"quoted\"")] text: String, user: Option<i64>, day: Option<String> }
#[derive(Table)] #[table(name = "Weird \"name\"", index(from), index(name = "index", columns("lower(text) DESC", from), unique, where = "text <> ';'"))]
struct Weird { from: i64, #[column(name = "größe x", default_sql = "abs(-3)")] size: i64, #[column(default_sql = "CURRENT_TIMESTAMP")] text: String,
    #[column(generated = "\"from\" * 2", stored)] twice: i64, #[column(generated = "length(text)")] length: i64, #[column(check = "\"order\" IN (1, 2)")] order: i64 }
#[derive(Table)] struct Node { #[column(primary_key)] id: Option<i64>, #[column(references = Node::id, on_delete = "set null", deferred)] up: Option<i64> }
#[derive(Table)] struct Kinds { a: i8, b: u32, c: bool, d: uuid::Uuid, e: Decimal, f: serde_json::Value, g: [u8; 4], h: jiff::Timestamp, #[column(type = "VARCHAR(20)")] i: X }
#[derive(Table)] struct Flag { #[column(primary_key)] on: bool }
"#;

#[test]
fn every_statement_runs_and_makes_the_columns() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let models = models(SAMPLES).unwrap();
    assert_eq!(models.len(), 7);
    for model in &models {
        for statement in statements(model, Dialect::Sqlite).replace("\nCREATE ", "\0CREATE ").split('\0') {
            database.execute(statement, []).unwrap_or_else(|error| panic!("{error}\n{statement}"));
        }
        let mut columns = database.prepare("SELECT name, \"notnull\" FROM pragma_table_xinfo(?1)").unwrap();
        let names: Vec<String> =
            columns.query_map([model.table()], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let expected: Vec<&str> = model.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, expected);
    }
    let broken: i64 =
        database.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(broken, 0);
}

#[test]
fn a_default_is_what_the_struct_says() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let models = models(
        r#"#[derive(Table)] struct D { #[column(default = -3)] a: i32, #[column(default = 1e3)] b: f64,
        #[column(default = "it's")] c: String, #[column(default = true)] d: bool, #[column(default_sql = "'x' || 'y'")] e: String }"#,
    )
    .unwrap();
    database.execute(models[0].create_table(Dialect::Sqlite), []).unwrap();
    database.execute("INSERT INTO d DEFAULT VALUES", []).unwrap();
    let row: String = database
        .query_row("SELECT a || '|' || b || '|' || c || '|' || d || '|' || e FROM d", [], |row| row.get(0))
        .unwrap();
    assert_eq!(row, "-3|1000.0|it's|1|xy");
}

/// Whatever a column is called, it is the column of that name; keywords are where a bare name goes wrong.
#[test]
fn no_word_is_too_special_for_a_name() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    for name in [
        "abort",
        "order",
        "group",
        "select",
        "rowid",
        "current_time",
        "true",
        "null",
        "not",
        "if",
        "key",
        "end",
        "like",
        "a b",
        "1",
        "a\"b",
        "[x]",
        "`",
        "'",
        "Ä",
        "-- x",
        "Name",
        "within",
        "generated",
        "materialized",
        "returning",
    ] {
        let text = format!(
            "#[derive(Table)] #[table(name = {name:?}, index(a))] struct T {{ #[column(name = {name:?})] a: i64 }}"
        );
        let model = &models(&text).unwrap()[0];
        database.execute_batch(&statements(model, Dialect::Sqlite).replace("\nCREATE ", ";\nCREATE ")).unwrap();
        let found: String = database
            .query_row("SELECT name FROM pragma_table_info(?1)", [name], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, name);
    }
}
