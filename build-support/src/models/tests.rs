//! Structs in, statements out; what is wrong, with its place.

mod refusals;
mod samples;

use std::path::PathBuf;

use super::{Dialect, Model, source};
use crate::problem::Problem;

/// The models of one file.
fn models(text: &str) -> Result<Vec<Model>, Vec<Problem>> {
    source::read(&[(PathBuf::from("src/models.rs"), text.to_owned())])
}

fn one(text: &str) -> Model {
    let models = models(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(models.len(), 1, "{text}");
    models.into_iter().next().unwrap()
}

/// The statements for SQLite, the table's first.
fn sqlite(text: &str) -> String {
    statements(&one(text), Dialect::Sqlite)
}

fn postgres(text: &str) -> String {
    statements(&one(text), Dialect::Postgres)
}

fn statements(model: &Model, dialect: Dialect) -> String {
    let all: Vec<&str> =
        std::iter::once(model.create_table(dialect)).chain(model.indexes(dialect).iter().map(String::as_str)).collect();
    all.join("\n")
}

/// One column of a struct that has it alone.
fn column(dialect: Dialect, field: &str) -> String {
    let model = one(&format!("#[derive(Table)] struct T {{ {field} }}"));
    let text = model.create_table(dialect);
    text.strip_prefix("CREATE TABLE t (\n    ").unwrap().strip_suffix("\n)").unwrap().to_owned()
}

#[test]
fn a_struct_is_a_table_and_its_fields_are_columns() {
    let text = "/// Something to do.
        #[derive(Clone, Debug, Table)]
        #[table(name = \"todos\", index(user_id))]
        pub struct Todo {
            #[column(primary_key)]
            pub id: i64,
            #[column(references = \"users (id)\", on_delete = \"cascade\")]
            pub user_id: i64,
            /// What it is.
            pub title: String,
            #[column(default = false)]
            pub done: bool,
            pub note: Option<String>,
        }";
    assert_eq!(
        sqlite(text),
        "CREATE TABLE todos (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    note TEXT
)
CREATE INDEX todos_user_id ON todos (user_id)"
    );
    assert_eq!(
        postgres(text),
        "CREATE TABLE todos (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    done BOOLEAN NOT NULL DEFAULT FALSE,
    note TEXT
)
CREATE INDEX todos_user_id ON todos (user_id)"
    );
}

#[test]
fn a_model_says_what_it_and_its_columns_are_called_and_were_called() {
    let text = "#[derive(Table)]\n#[table(renamed_from = \"items\")]\nstruct TodoItem {\n    r#type: String,\n    \
                #[column(name = \"text\", renamed_from = \"title\")]\n    body: String,\n    #[column(skip)]\n    cache: Cache,\n}\n";
    let model = one(text);
    assert_eq!((model.struct_name(), model.table(), model.renamed_from()), ("TodoItem", "todo_item", Some("items")));
    assert_eq!(model.place().line_column(), Some((3, 8)));
    let columns: Vec<_> = model
        .columns()
        .iter()
        .map(|it| (it.name.as_str(), it.renamed_from.as_deref(), it.place.line_column()))
        .collect();
    assert_eq!(columns, [("type", None, Some((4, 5))), ("text", Some("title"), Some((6, 5)))]);
}

#[test]
fn every_word_of_a_table() {
    assert_eq!(
        sqlite(
            "#[derive(Table)]
            #[table(name = \"order\", strict, without_rowid, primary_key(a, b))]
            #[table(unique(b, c), check(\"a > 0\"), check(c_is_short = \"length(c) < 10\"), crate = a::b)]
            #[table(index(a, c), index(name = \"by_c\", columns(c, \"b DESC\", \"lower(c)\"), unique, where = \"d = 0\"))]
            #[table(index(columns(d), unique))]
            #[table(foreign_key(columns(a, b), references = \"parent (x, y)\", on_delete = \"set default\", \
                    on_update = \"no action\", deferred))]
            struct Order { a: i64, b: i64, c: String, d: i64 }"
        ),
        "CREATE TABLE \"order\" (
    a INTEGER NOT NULL,
    b INTEGER NOT NULL,
    c TEXT NOT NULL,
    d INTEGER NOT NULL,
    PRIMARY KEY (a, b),
    UNIQUE (b, c),
    CHECK (a > 0),
    CONSTRAINT c_is_short CHECK (length(c) < 10),
    FOREIGN KEY (a, b) REFERENCES parent (x, y) ON DELETE SET DEFAULT ON UPDATE NO ACTION DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID
CREATE INDEX order_a_c ON \"order\" (a, c)
CREATE UNIQUE INDEX by_c ON \"order\" (c, b DESC, lower(c)) WHERE d = 0
CREATE UNIQUE INDEX order_d ON \"order\" (d)"
    );
    assert!(postgres("#[derive(Table)] #[table(strict)] struct T { #[column(primary_key)] id: i64 }").ends_with("\n)"));
}

#[test]
fn a_list_names_fields_and_the_statement_columns() {
    let text = "#[derive(Table)] #[table(primary_key(r#type, kind), index(kind))]
                struct T { r#type: i64, #[column(name = \"of kind\")] kind: i64 }";
    assert_eq!(
        sqlite(text),
        "CREATE TABLE t (\n    type INTEGER NOT NULL,\n    \"of kind\" INTEGER NOT NULL,\n    PRIMARY KEY (type, \"of kind\")\n)\n\
         CREATE INDEX \"t_of kind\" ON t (\"of kind\")"
    );
    let single = "#[derive(Table)] #[table(primary_key(id))] struct T { id: i64 }";
    assert_eq!(sqlite(single), "CREATE TABLE t (\n    id INTEGER PRIMARY KEY\n)");
}

#[test]
fn every_word_of_a_column() {
    for (field, sqlite, postgres) in [
        ("a: i64", "a INTEGER NOT NULL", "a BIGINT NOT NULL"),
        ("a: Option<i64>", "a INTEGER", "a BIGINT"),
        ("a: std::option::Option<String>", "a TEXT", "a TEXT"),
        ("#[column(primary_key)] a: i64", "a INTEGER PRIMARY KEY", "a BIGINT PRIMARY KEY"),
        ("#[column(primary_key)] a: Option<i64>", "a INTEGER PRIMARY KEY", "a BIGINT PRIMARY KEY"),
        ("#[column(primary_key)] a: String", "a TEXT PRIMARY KEY NOT NULL", "a TEXT PRIMARY KEY"),
        (
            "#[column(primary_key, autoincrement)] a: i32",
            "a INTEGER PRIMARY KEY AUTOINCREMENT",
            "a INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        ),
        ("#[column(name = \"Ä\")] a: i64", "\"Ä\" INTEGER NOT NULL", "\"Ä\" BIGINT NOT NULL"),
        ("#[column(unique)] a: String", "a TEXT NOT NULL UNIQUE", "a TEXT NOT NULL UNIQUE"),
        ("#[column(default = 0)] a: i32", "a INTEGER NOT NULL DEFAULT 0", "a INTEGER NOT NULL DEFAULT 0"),
        ("#[column(default = -1.5)] a: f32", "a REAL NOT NULL DEFAULT -1.5", "a REAL NOT NULL DEFAULT -1.5"),
        ("#[column(default = 0xFF_u8)] a: u8", "a INTEGER NOT NULL DEFAULT 255", "a SMALLINT NOT NULL DEFAULT 255"),
        (
            "#[column(default = \"it's\")] a: String",
            "a TEXT NOT NULL DEFAULT 'it''s'",
            "a TEXT NOT NULL DEFAULT 'it''s'",
        ),
        ("#[column(default = true)] a: bool", "a INTEGER NOT NULL DEFAULT 1", "a BOOLEAN NOT NULL DEFAULT TRUE"),
        ("#[column(default = 0)] a: bool", "a INTEGER NOT NULL DEFAULT 0", "a BOOLEAN NOT NULL DEFAULT FALSE"),
        ("#[column(default = true)] a: i32", "a INTEGER NOT NULL DEFAULT 1", "a INTEGER NOT NULL DEFAULT 1"),
        (
            "#[column(default_sql = \"datetime('now')\")] a: String",
            "a TEXT NOT NULL DEFAULT (datetime('now'))",
            "a TEXT NOT NULL DEFAULT (datetime('now'))",
        ),
        (
            "#[column(default_sql = \"CURRENT_TIMESTAMP\")] a: jiff::Timestamp",
            "a TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "a TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP",
        ),
        ("#[column(check = \"a > 0\")] a: i64", "a INTEGER NOT NULL CHECK (a > 0)", "a BIGINT NOT NULL CHECK (a > 0)"),
        (
            "#[column(collate = \"nocase\")] a: String",
            "a TEXT NOT NULL COLLATE nocase",
            "a TEXT NOT NULL COLLATE nocase",
        ),
        ("#[column(type = \"VARCHAR(20)\")] a: Option<Custom>", "a VARCHAR(20)", "a VARCHAR(20)"),
        (
            "#[column(references = \"p (id)\", on_delete = \"restrict\", on_update = \"cascade\", deferred)] a: i64",
            "a INTEGER NOT NULL REFERENCES p (id) ON DELETE RESTRICT ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED",
            "a BIGINT NOT NULL REFERENCES p (id) ON DELETE RESTRICT ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED",
        ),
        (
            "#[column(references = \"p\", on_delete = \"set null\")] a: Option<i64>",
            "a INTEGER REFERENCES p ON DELETE SET NULL",
            "a BIGINT REFERENCES p ON DELETE SET NULL",
        ),
    ] {
        assert_eq!(column(Dialect::Sqlite, field), sqlite, "{field}");
        assert_eq!(column(Dialect::Postgres, field), postgres, "{field}");
    }
}

#[test]
fn a_generated_column_is_computed_when_it_is_read_unless_it_is_stored() {
    let text = |stored: &str| {
        format!("#[derive(Table)] struct T {{ a: i64, #[column(generated = \"a * 2\"{stored})] b: i64 }}")
    };
    let last = |statement: String| statement.lines().nth(2).unwrap().trim().to_owned();
    assert_eq!(last(sqlite(&text(""))), "b INTEGER NOT NULL GENERATED ALWAYS AS (a * 2) VIRTUAL");
    assert_eq!(last(sqlite(&text(", stored"))), "b INTEGER NOT NULL GENERATED ALWAYS AS (a * 2) STORED");
    assert_eq!(last(postgres(&text(""))), "b BIGINT NOT NULL GENERATED ALWAYS AS (a * 2) STORED");
}

#[test]
fn a_reference_by_path_is_resolved_among_all_files_and_parents_come_first() {
    let files = [
        (
            "src/todos.rs",
            "mod inner { #[derive(Table)] #[table(name = \"todos\")] pub struct Todo {
                #[column(primary_key)] id: i64,
                #[column(references = crate::users::User::r#type, on_delete = \"cascade\")] user: i64,
                #[column(references = Self::id)] after: Option<i64>,
            } }",
        ),
        ("src/none.rs", "this is not } Rust, and it has no model"),
        (
            "src/users.rs",
            "#[derive(Table)] #[table(name = \"All users\")] struct User { #[column(primary_key, name = \"key\")] r#type: i64 }",
        ),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let models = source::read(&files).unwrap();
    let tables: Vec<_> = models.iter().map(Model::table).collect();
    assert_eq!(tables, ["All users", "todos"]);
    assert_eq!(
        models[1].create_table(Dialect::Sqlite),
        "CREATE TABLE todos (
    id INTEGER PRIMARY KEY,
    \"user\" INTEGER NOT NULL REFERENCES \"All users\" (\"key\") ON DELETE CASCADE,
    after INTEGER REFERENCES todos (id)
)"
        .replace("    after", "    \"after\"")
    );
    assert_eq!(models[1].place().path, PathBuf::from("src/todos.rs"));
}

#[test]
fn a_struct_is_read_as_the_compiler_hands_it_to_the_derive() {
    let text = "#!/usr/bin/env it's a script\n\
                #[cfg_attr(feature = \"db\", derive(Clone, Table), table(name = \"things\"))]\n\
                struct Thing<'a> { #[cfg_attr(feature = \"db\", column(primary_key))] id: i64, #[cfg(test)] probe: Probe, name: &'a str }\n\
                #[cfg(test)] mod tests { #[derive(Table)] struct Probe { a: Nothing } }";
    assert_eq!(sqlite(text), "CREATE TABLE things (\n    id INTEGER PRIMARY KEY,\n    name TEXT NOT NULL\n)");
}
