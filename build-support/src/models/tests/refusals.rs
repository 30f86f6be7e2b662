//! Every mistake, where it is shown and what is said.

use std::path::PathBuf;

use super::super::source::{self, LARGEST_FILE};
use super::models;

/// What is wrong with a file, a line for each problem: code, place, message, help.
fn refused(text: &str) -> Vec<String> {
    told(models(text).expect_err(text))
}

fn told(problems: Vec<crate::problem::Problem>) -> Vec<String> {
    let line = |problem: &crate::problem::Problem| {
        let (line, column) = problem.places()[0].line_column().unwrap_or_default();
        let help = problem.helps().join("; ");
        format!("[{}] {line}:{column}: {} ({help})", problem.code(), problem.message())
    };
    problems.iter().map(line).collect()
}

/// A field's attributes and type, in a struct that has an `id` too: what is said, and the text that it is said of.
#[track_caller]
fn field(field: &str, at: &str, code: &str, message: &str) {
    page(&format!("#[derive(Table)]\nstruct T {{\n    id: i64,\n    {field}\n}}\n"), at, code, message);
}

/// The same for what a struct says.
#[track_caller]
fn table(words: &str, at: &str, code: &str, message: &str) {
    page(
        &format!("#[derive(Table)]\n#[table({words})]\nstruct T {{ a: i64, b: String, c: Option<i64> }}\n"),
        at,
        code,
        message,
    );
}

#[track_caller]
fn page(text: &str, at: &str, code: &str, message: &str) {
    let problems = models(text).expect_err(text);
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    let (source, span) = problem.places()[0].span.clone().unwrap();
    assert_eq!((&source[span], problem.code().0, problem.message()), (at, code, message), "{text}");
    assert!(!problem.helps().is_empty(), "no way out is shown: {problem:?}");
}

#[test]
fn types_without_a_column() {
    field("a: u64,", "u64", "unknown-type", "`u64` has no column type");
    field("a: Option<usize>,", "usize", "unknown-type", "`usize` has no column type");
    field("a: Vec<String>,", "Vec<String>", "unknown-type", "`Vec<String>` has no column type");
    field(
        "a: Option<Option<i64>>,",
        "Option<i64>",
        "unknown-type",
        "an `Option` within an `Option` has no column type",
    );
    assert_eq!(
        refused("#[derive(Table)] struct T { a: u64 }"),
        [
            "[unknown-type] 1:32: `u64` has no column type (say which one it is stored in: `#[column(type = \"TEXT\")]`; \
          or leave the field out of the table: `#[column(skip)]`)"
        ]
    );
}

#[test]
fn words_that_do_not_exist() {
    assert_eq!(
        refused("#[derive(Table)] #[table(nme = \"x\")] struct T { #[column(primary)] a: i64, #[column(zzz)] b: i64 }"),
        [
            "[unknown-attribute] 1:26: `nme` is no word of `table` (write `name`)",
            "[unknown-attribute] 1:58: `primary` is no word of `column` (write `primary_key`)",
            "[unknown-attribute] 1:85: `zzz` is no word of `column` (the words are `autoincrement`, `check`, `collate`, \
             `default`, `default_sql`, `deferred`, `generated`, `name`, `on_delete`, `on_update`, `primary_key`, \
             `references`, `renamed_from`, `skip`, `stored`, `type`, `unique`)",
        ]
    );
    table("index(columns(a), uniqe)", "uniqe", "unknown-attribute", "`uniqe` is no word of `index`");
    table(
        "foreign_key(columns(a), references = \"p\", on_delet = \"cascade\")",
        "on_delet",
        "unknown-attribute",
        "`on_delet` is no word of `foreign_key`",
    );
}

#[test]
fn words_that_say_what_they_cannot() {
    let invalid = "invalid-model";
    let refuses = |text: &str, at: &str, message: &str| field(text, at, invalid, message);
    refuses("#[column] a: i64,", "column", "`column` says nothing without brackets");
    refuses("#[column(unique = true)] a: i64,", "true", "`unique` has no value");
    refuses("#[column(name = 3)] a: i64,", "3", "`name` is a text");
    refuses("#[column(name)] a: i64,", "name", "`name` is a text");
    refuses("#[column(name = \"\")] a: i64,", "\"\"", "this name is empty");
    refuses("#[column(name = \"a\\n\")] a: i64,", "\"a\\n\"", "this name has a control character in it");
    refuses("#[column(unique, unique)] a: i64,", "unique", "`unique` is said twice");
    refuses(
        "#[column(unique stored)] a: i64,",
        "unique stored",
        "between two commas one word is expected, with its value if it has one",
    );
    refuses(
        "#[column(\"a\")] a: i64,",
        "\"a\"",
        "between two commas one word is expected, with its value if it has one",
    );
    refuses("#[column(default = f(3))] a: i64,", "f(3)", "a default is a number, a text, `true` or `false`");
    refuses(
        "#[column(default = 'c')] a: i64,",
        "'c'",
        "a default is a number, a text without a NUL, `true` or `false`",
    );
    refuses(
        "#[column(default = 9223372036854775808)] a: i64,",
        "9223372036854775808",
        "this number does not fit into 64 bits",
    );
    refuses("#[column(default = 2)] a: bool,", "2", "`2` is no truth value");
    refuses("#[column(default = 2, default_sql = \"2\")] a: i64,", "default_sql", "this column has two defaults");
    refuses(
        "#[column(check = \"a > 0; DROP TABLE t\")] a: i64,",
        "\"a > 0; DROP TABLE t\"",
        "this SQL has a semicolon in it, which would end the statement",
    );
    refuses(
        "#[column(check = \"a) > (0\")] a: i64,",
        "\"a) > (0\"",
        "this SQL closes a bracket that it has not opened",
    );
    refuses("#[column(type = \"\")] a: i64,", "\"\"", "this SQL is empty");
    refuses("#[column(references = User)] a: i64,", "User", "`references` names a struct and no field of it");
    refuses("#[column(references = 3)] a: i64,", "3", "`references` wants a field of a struct, or SQL");
    refuses(
        "#[column(references = \"p\", on_delete = \"cascad\")] a: i64,",
        "\"cascad\"",
        "`cascad` is nothing that can happen to a reference",
    );
    refuses(
        "#[column(references = \"p\", on_delete = \"set null\")] a: i64,",
        "\"set null\"",
        "`set null` would put NULL where none may stand",
    );
    refuses("#[column(deferred)] a: i64,", "deferred", "`deferred` says how a reference behaves, and there is none");
    refuses(
        "#[column(on_update = \"cascade\")] a: i64,",
        "\"cascade\"",
        "`on_update` says how a reference behaves, and there is none",
    );
    refuses(
        "#[column(stored)] a: i64,",
        "stored",
        "`stored` says how a generated column is kept, and this one is not generated",
    );
    refuses(
        "#[column(generated = \"id\", default = 3)] a: i64,",
        "default",
        "a generated column has no `default`: its value is computed",
    );
    refuses(
        "#[column(generated = \"id\", primary_key)] a: i64,",
        "primary_key",
        "a generated column has no `primary_key`: its value is computed",
    );
    refuses(
        "#[column(skip, unique)] a: X,",
        "unique",
        "`unique` says something of a column, and `skip` says that there is none",
    );
}

#[test]
fn columns_that_do_not_go_together() {
    let invalid = "invalid-model";
    let refuses = |text: &str, at: &str, message: &str| field(text, at, invalid, message);
    refuses(
        "#[column(primary_key)] a: i64,\n    #[column(primary_key)] b: i64,",
        "primary_key",
        "a table has one primary key, and this is another",
    );
    refuses("#[column(primary_key)] a: Option<String>,", "Option<String>", "a primary key is never NULL");
    refuses(
        "#[column(primary_key, autoincrement)] a: String,",
        "autoincrement",
        "only a column of whole numbers counts up",
    );
    refuses(
        "#[column(primary_key, autoincrement)] a: bool,",
        "autoincrement",
        "only a column of whole numbers counts up",
    );
    refuses("#[column(autoincrement)] a: i64,", "autoincrement", "only a primary key of one column counts up");
    refuses(
        "#[column(primary_key, autoincrement, default = 1)] a: i64,",
        "autoincrement",
        "a column that counts up has no default",
    );
    refuses("#[column(name = \"ID\")] a: i64,", "a", "two columns are named `ID`; case does not count");
}

#[test]
fn tables_that_cannot_be() {
    let invalid = "invalid-model";
    let refuses = |text: &str, at: &str, message: &str| table(text, at, invalid, message);
    refuses("name = \"sqlite_x\"", "\"sqlite_x\"", "this name starts with `sqlite_`, which SQLite keeps for itself");
    refuses("primary_key(a, x)", "x", "`x` is no field of this struct that is a column");
    refuses("primary_key(a, a)", "a", "`a` is named twice");
    refuses("primary_key", "primary_key", "`primary_key` wants the names of fields");
    refuses("primary_key()", "primary_key", "`primary_key` wants the names of fields");
    refuses("primary_key(a, c)", "Option<i64>", "a primary key is never NULL");
    refuses("unique(\"a\")", "\"a\"", "`unique` wants the names of fields");
    refuses("without_rowid", "without_rowid", "a table without row numbers needs a primary key");
    refuses("crate = \"a\"", "\"a\"", "`crate` is the path of migrate-runtime");
    refuses("check", "check", "`check` wants an expression in brackets");
    refuses("check()", "check", "`check` wants one expression");
    refuses("check(a = \"1\", b = \"2\")", "a = \"1\", b = \"2\"", "`check` wants one expression");
    refuses("index", "index", "`index` wants the names of fields");
    refuses("index(x)", "x", "`x` is no field of this struct that is a column");
    refuses(
        "index(a, \"b DESC\")",
        "a, \"b DESC\"",
        "besides fields, an index names its columns in brackets of their own",
    );
    refuses("index(name = \"i\")", "name = \"i\"", "`index` lacks `columns`");
    refuses(
        "index(columns(\"lower(b)\"))",
        "columns(\"lower(b)\")",
        "an index with SQL among its columns needs a name",
    );
    refuses("index(columns(3))", "3", "`columns` wants fields, or SQL in quotes");
    refuses("index(a), index(a)", "a", "two indexes are named `t_a`");
    refuses("foreign_key(columns(a))", "columns(a)", "`foreign_key` lacks `references`");
    refuses("foreign_key(references = \"p\")", "references = \"p\"", "`foreign_key` lacks `columns`");
    refuses("foreign_key(columns(a), references = P::x)", "P::x", "a key of several columns names its parent in SQL");
    page(
        "#[derive(Table)] #[table(primary_key(a))] struct T { #[column(primary_key)] a: i64 }",
        "primary_key",
        invalid,
        "a table has one primary key, and this is another",
    );
    page(
        "#[derive(Table)] #[table(strict)] struct T { #[column(type = \"DATE\")] a: X }",
        "\"DATE\"",
        invalid,
        "a strict table has no columns of type `DATE`",
    );
    page(
        "#[derive(Table)] #[table(without_rowid)] struct T { #[column(primary_key, autoincrement)] a: i64 }",
        "autoincrement",
        invalid,
        "without row numbers there is nothing to count up",
    );
    page("#[derive(Table)] struct T { #[column(skip)] a: i64 }", "T", invalid, "a table has at least one column");
    page(
        "#[derive(Table)] struct T { #[column(generated = \"1\")] a: i64 }",
        "T",
        invalid,
        "a table has at least one column that is not generated",
    );
    page(
        "#[derive(Table)] #[table(primary_key(a, b))] struct T { a: i64, #[column(generated = \"1\")] b: i64 }",
        "b",
        invalid,
        "a generated column is no part of a primary key",
    );
    page(
        "#[derive(Table)] struct T<X> { a: i64 }",
        "X",
        invalid,
        "a table has no parameters: its columns are the same for every program",
    );
    page(
        "#[derive(Table)] struct T<'a, const N: usize> { a: [u8; N] }",
        "const N: usize",
        invalid,
        "a table has no parameters: its columns are the same for every program",
    );
    page("#[derive(Table)] enum T { A }", "T", invalid, "an enum is no table");
    page("#[derive(Table)] union T { a: u8 }", "T", invalid, "a union is no table");
    page("#[derive(Table)] struct T(i64);", "T", invalid, "a struct whose fields have no names is no table");
    page("#[derive(Table)] struct T;", "T", invalid, "a struct without fields is no table");
    page(
        "#[derive(Table)] struct SqliteX { a: i64 }",
        "SqliteX",
        invalid,
        "this name starts with `sqlite_`, which SQLite keeps for itself",
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let problems = refused(
        "#[derive(Table)]\n#[table(strickt, primary_key(x))]\nstruct T {\n    a: u64,\n    #[column(uniqe)]\n    b: i64,\n}\n\
         #[derive(Table)]\nenum U {}\n",
    );
    let places: Vec<&str> = problems.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "[unknown-attribute] 2:9",
            "[invalid-model] 2:30",
            "[unknown-type] 4:8",
            "[unknown-attribute] 5:14",
            "[invalid-model] 9:6",
        ]
    );
}

#[test]
fn references_that_lead_nowhere() {
    let parent = "#[derive(Table)] struct User { id: i64, name: String }\n";
    let child = |path: &str| format!("{parent}#[derive(Table)] struct T {{ #[column(references = {path})] a: i64 }}");
    let unknown = "unknown-reference";
    page(&child("Usr::id"), "Usr", unknown, "no struct `Usr` that derives `Table` was found");
    page(&child("a::Group::id"), "a::Group", unknown, "no struct `a::Group` that derives `Table` was found");
    page(&child("User::idd"), "idd", unknown, "`User` has no column for a field `idd`");
    let two = format!(
        "mod x {{ #[derive(Table)] #[table(name = \"other\")] struct User {{ id: i64 }} }} {}",
        child("User::id")
    );
    page(&two, "User", unknown, "several structs are named `User`");
    assert_eq!(models(&two).unwrap_err()[0].places().len(), 3);
}

#[test]
fn two_structs_that_are_one_table() {
    page(
        "#[derive(Table)] struct User { a: i64 } #[derive(Table)] #[table(name = \"USER\")] struct Account { a: i64 }",
        "Account",
        "duplicate-table",
        "two structs are the table `USER`",
    );
}

#[test]
fn files_that_are_not_rust() {
    assert_eq!(
        refused("// Table\nfn f() {\n    )\n}\n"),
        ["[not-rust] 3:5: this file is not Rust from here (see what `cargo check` says)"]
    );
    assert_eq!(
        refused("#[derive(Table)]\nstruct T {\n    a i64,\n}\n"),
        ["[not-rust] 3:7: expected `:` (see what `cargo check` says)"]
    );
    assert_eq!(
        refused("#[derive(Table)]\npub strct T { a: i64 }\n"),
        ["[not-rust] 2:5: expected one of: `struct`, `enum`, `union` (see what `cargo check` says)"]
    );
}

#[test]
fn a_file_cannot_use_up_stack_or_memory() {
    let deep = 200_000;
    for nested in ["&".repeat(deep), "A<".repeat(deep), "(".repeat(deep) + &")".repeat(deep)] {
        let text = format!("#[derive(Table)] struct T {{ a: {nested} }}");
        assert!(refused(&text)[0].contains("this is nested too deeply"), "{}", &nested[..4]);
    }
    // What is no model may be as deep as it likes.
    let modules = "mod m {".repeat(deep) + "#[derive(Table)] struct T { a: i64 }" + &"}".repeat(deep);
    assert_eq!(models(&modules).unwrap().len(), 1);
    let large = format!("// Table\n{}", " ".repeat(LARGEST_FILE));
    let problems = told(source::read(&[(PathBuf::from("a.rs"), large)]).unwrap_err());
    assert!(problems[0].starts_with("[too-large] 0:0: this file is larger than 4 MiB"), "{problems:?}");
}
