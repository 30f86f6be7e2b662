//! Structs that derive `Table`: programs that use their constants, and the reader of the same structs in source files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use build_support::models::{Dialect, Model, source};
use cargo_migrate::context::Context;
use cargo_migrate::failure::Failure;
use cargo_migrate::project::models::files;
use cargo_migrate::project::{Project, Selection};

use crate::embedding::{Package, refused};
use crate::harness;

const DERIVE: &str = "[dependencies]\nmigrate-runtime = { path = \"ROOT/migrate-runtime\", features = [\"derive\"] }\n";

/// A module tree with a reference across modules, one to the struct itself, and one to a renamed column.
const MODELS: &str = r#"
pub mod people {
    use migrate_runtime::Table;
    #[derive(Table)]
    #[table(name = "users", index(name = "users_name", columns(name), unique))]
    pub struct User {
        #[column(primary_key, name = "key")]
        pub id: i64,
        pub name: String,
    }
}
pub mod tasks {
    use crate::people::User;
    #[derive(migrate_runtime::Table)]
    #[table(name = "todos", index(user_id), check("priority BETWEEN 0 AND 9"))]
    pub struct Todo<'a> {
        #[column(primary_key)]
        pub id: i64,
        #[column(references = User::id, on_delete = "cascade")]
        pub user_id: i64,
        #[column(references = Self::id)]
        pub after: Option<i64>,
        #[column(references = super::people::User::id, on_delete = "set null")]
        pub helper: Option<i64>,
        pub title: &'a str,
        #[column(default = false)]
        pub done: bool,
        #[column(default = 0)]
        pub priority: i64,
        pub r#type: Option<String>,
    }
    #[derive(migrate_runtime::Table)]
    struct Private { #[column(references = Todo::id)] a: i64 }
    pub fn private() -> (&'static str, i64) { (Private::NAME, Private { a: 7 }.a) }
}
"#;

#[test]
fn a_program_makes_its_tables_from_its_structs_and_the_command_reads_the_same() {
    let package = Package::with("derives-tables", DERIVE);
    let main = format!(
        "#![deny(warnings, rust_2018_idioms)]\n{MODELS}
        use people::User;
        type Todo = tasks::Todo<'static>;
        fn main() {{
            println!(\"{{}};\", User::CREATE_TABLE);
            println!(\"{{}};\", User::CREATE_INDEXES[0]);
            println!(\"{{}};\", Todo::CREATE_TABLE);
            println!(\"{{}};\", Todo::CREATE_INDEXES.join(\";\"));
            println!(\"-- {{}} {{}} {{}} {{:?}}\", User::NAME, Todo::NAME, Todo::COLUMNS.join(\",\"), tasks::private());
            println!(\"-- postgres\\n{{}}\\n{{}}\", Todo::CREATE_TABLE_POSTGRES, Todo::CREATE_INDEXES_POSTGRES.join(\";\"));
            let _ = (User {{ id: 1, name: String::new() }}, User::COLUMNS, User::CREATE_TABLE_POSTGRES);
        }}"
    );
    package.project.write("src/main.rs", &main);
    fs::remove_file(package.project.path("src/lib.rs")).unwrap();

    let printed = package.cargo(&["run", "--quiet"]).done().out;
    let (script, postgres) = printed.split_once("-- postgres\n").unwrap();
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(script).unwrap();
    let actions: String = database
        .query_row("SELECT group_concat(\"from\" || ' ' || \"table\" || ' ' || \"to\" || ' ' || on_delete, '; ' ORDER BY \"from\") FROM pragma_foreign_key_list('todos')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(actions, "after todos id NO ACTION; helper users key SET NULL; user_id users key CASCADE");
    assert!(
        script.contains("-- users todos id,user_id,after,helper,title,done,priority,type (\"private\", 7)"),
        "{script}"
    );
    assert!(postgres.contains("done BOOLEAN NOT NULL DEFAULT FALSE"), "{postgres}");

    let models = models(package.project.path("").as_path()).unwrap();
    let tables: Vec<_> = models.iter().map(Model::table).collect();
    assert_eq!(tables, ["users", "todos", "private"]);
    for model in &models[..2] {
        assert!(script.contains(model.create_table(Dialect::Sqlite)), "{script}");
        assert!(model.indexes(Dialect::Sqlite).iter().all(|index| script.contains(index)), "{script}");
    }
    assert!(postgres.starts_with(models[1].create_table(Dialect::Postgres)), "{postgres}");
}

#[test]
fn a_renamed_dependency_is_told_to_the_derive() {
    let package = Package::with(
        "derives-renamed",
        "[dependencies]\nkept = { package = \"migrate-runtime\", path = \"ROOT/migrate-runtime\", features = [\"derive\"] }\n",
    );
    let code = |words: &str| format!("#[derive(kept::Table)]\n{words}\npub struct A {{ pub id: i64 }}\n");
    package.project.write("src/lib.rs", &code("#[table(crate = kept)]"));
    package.cargo(&["check"]).done();
    package.edit("src/lib.rs", &code(""));
    refused(&package.cargo(&["check"]), &["migrate_runtime"]);
}

/// The models as a command reads them that is run in a folder.
fn models(folder: &Path) -> Result<Vec<Model>, Failure> {
    let context = Context::new(folder, BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
    let project = Project::open(&context, &Selection::default())?;
    Ok(source::read(&files(&project)?)?)
}

#[track_caller]
fn refuses(project: &harness::Project, words: &[&str]) {
    let failure = models(&project.path("")).unwrap_err();
    let told = format!("{:?}", failure.problems());
    for word in words {
        assert!(told.contains(word), "`{word}` is not in\n{told}");
    }
}

/// Every column of every table and every index, as SQLite tells them, whatever the statements looked like.
fn schema(database: &rusqlite::Connection) -> Vec<String> {
    let mut all = Vec::new();
    for question in [
        "SELECT t.name, c.name, c.type, c.\"notnull\", coalesce(c.dflt_value, '-'), c.pk, c.hidden FROM pragma_table_list t, \
         pragma_table_xinfo(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name, c.cid",
        "SELECT t.name, k.\"from\", k.\"table\", k.\"to\", k.on_delete, k.on_update, k.seq FROM pragma_table_list t, \
         pragma_foreign_key_list(t.name) k ORDER BY t.name, k.id, k.seq",
        "SELECT t.name, i.name, i.\"unique\", i.origin, i.partial, c.name, c.\"desc\" || c.coll FROM pragma_table_list t, \
         pragma_index_list(t.name) i, pragma_index_xinfo(i.name) c WHERE c.key ORDER BY t.name, i.name, c.seqno",
    ] {
        let mut asked = database.prepare(question).unwrap();
        let rows = asked.query_map([], |row| {
            let cells: Vec<String> = (0..7).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
            Ok(cells.join(" "))
        });
        all.extend(rows.unwrap().map(Result::unwrap));
    }
    all
}

#[test]
fn the_structs_of_the_example_are_what_its_migrations_make() {
    let example = harness::Project::todo();
    let mut command = example.command(&["-d", "sqlite:app.db", "upgrade", "--create"]);
    assert!(command.output().unwrap().status.success());
    let migrated = example.database();
    migrated.execute_batch("DROP TABLE _cargo_migrate").unwrap();

    let database = rusqlite::Connection::open_in_memory().unwrap();
    for model in models(&example.path("")).unwrap() {
        database.execute_batch(model.create_table(Dialect::Sqlite)).unwrap();
        database.execute_batch(&model.indexes(Dialect::Sqlite).join(";")).unwrap();
    }
    let (told, made) = (schema(&database), schema(&migrated));
    assert_eq!(told, made);
    assert!(made.len() > 9, "{made:?}");
}

#[test]
fn the_guide_s_example_gives_what_the_guide_says() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models.md")).unwrap();
    let block = |language: &str| {
        let rest = guide.split_once(&format!("```{language}\n")).unwrap().1;
        rest.split_once("\n```").unwrap().0.to_owned()
    };
    let models = source::read(&[("docs/models.md".into(), block("rust,ignore"))]).unwrap();
    assert_eq!(models[1].create_table(Dialect::Sqlite), block("sql"));
    assert!(guide.contains(&format!("`{}`", models[1].indexes(Dialect::Sqlite)[0])));
}

const MODEL: &str = "#[derive(Table)]\npub struct NAME { id: i64 }\n";

fn model(project: &harness::Project, file: &str, name: &str) {
    project.write(file, &MODEL.replace("NAME", name));
}

fn configure(project: &harness::Project, models: &str) {
    let manifest = project.read("Cargo.toml");
    let kept: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("models = ")).collect();
    let with = format!("database = \"dev\"\nmodels = {models}");
    project.write("Cargo.toml", &kept.join("\n").replace("database = \"dev\"", &with));
}

fn tables(project: &harness::Project) -> Vec<String> {
    models(&project.path("")).unwrap().iter().map(|model| model.table().to_owned()).collect()
}

#[test]
fn all_of_src_is_read_unless_the_configuration_names_files() {
    let project = harness::Project::new();
    for (file, name) in [
        ("src/a.rs", "A"),
        ("src/deep/er/b.rs", "B"),
        ("src/target/c.rs", "C"),
        ("other/d.rs", "D"),
        ("src/.hidden/e.rs", "E"),
        ("src/built/f.rs", "F"),
        ("src/package/src/g.rs", "G"),
    ] {
        model(&project, file, name);
    }
    project.write("src/built/CACHEDIR.TAG", "");
    project.write("src/package/Cargo.toml", "");
    fs::write(project.path("src/binary.rs"), b"no text \xFF").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(project.path("src"), project.path("src/deep/circle")).unwrap();
    assert_eq!(tables(&project), ["a", "b", "c"]);

    configure(&project, "[\"src/a.rs\", \"other/*.rs\", \"src/*.rs\"]");
    assert_eq!(tables(&project), ["d", "a"]);
    configure(&project, "[\"src/**/?.rs\"]");
    assert_eq!(tables(&project), ["a", "b", "c"]);
}

#[test]
fn a_pattern_that_leads_to_no_file_or_is_none_is_refused() {
    let project = harness::Project::new();
    model(&project, "src/a.rs", "A");
    configure(&project, "[\"src/models.rs\", \"src\", \"lib/**/*.rs\", \"src/[.rs\"]");
    refuses(
        &project,
        &[
            "[no-model-file] ",
            "Cargo.toml: `src/models.rs` in `models` leads to no file",
            "for the files in it write `src/**/*.rs`",
            "`lib/**/*.rs` in `models` leads to no file",
            "[invalid-setting] ",
            "`src/[.rs` in `models` is no pattern",
        ],
    );
}

#[test]
fn what_is_wrong_in_a_file_is_told_at_its_place() {
    let project = harness::Project::new();
    model(&project, "src/a.rs", "A");
    project.write("src/b.rs", "#[derive(Table)]\n#[table(name = \"A\")]\nstruct B { id: i64 }\n");
    refuses(&project, &["[duplicate-table] src/b.rs:3:8: two structs are the table `A`"]);
    project.write("src/b.rs", "#[derive(Table)]\nstruct B { #[column(references = Zebra::id)] id: i64 }\n");
    refuses(
        &project,
        &["[unknown-reference] src/b.rs:2:34: no struct `Zebra` that derives `Table` was found", "`models`"],
    );
    project.write("src/b.rs", "#[derive(Table)]\nstruct B { id: i64 \n");
    refuses(&project, &["[not-rust] src/b.rs:", "cargo check"]);
    fs::write(project.path("src/b.rs"), b"#[derive(Table)] \xFF").unwrap();
    refuses(&project, &["[not-text] src/b.rs"]);
    project.write("src/b.rs", "#[derive(Table)]\nenum B {}\n");
    refuses(&project, &["[invalid-model] src/b.rs:2:6: an enum is no table"]);
    // Line endings and a byte order mark of another system change no place.
    project.write("src/b.rs", "\u{FEFF}#[derive(Table)]\r\nstruct B { id: u64 }\r\n");
    refuses(&project, &["[unknown-type] src/b.rs:2:16: `u64` has no column type"]);
}
