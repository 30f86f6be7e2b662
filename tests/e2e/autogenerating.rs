//! `revision --autogenerate` and what keeps models, migrations and databases together.

use crate::harness::{Project, table};

/// A project whose wanted schema is a file.
fn project(schema: &str) -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nschema = \"schema.sql\""));
    project.write("schema.sql", schema);
    project
}

/// What the one generated file says behind its header.
fn generated(project: &Project, slug: &str) -> String {
    let entry = std::fs::read_dir(project.path("migrations")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entry.filter(|path| path.to_string_lossy().ends_with(&format!("_{slug}.sql"))).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    std::fs::read_to_string(found.remove(0)).unwrap()
}

const USERS: &str = "CREATE TABLE users (\n    id INTEGER PRIMARY KEY,\n    name TEXT NOT NULL\n);\n";

#[test]
fn a_column_is_tried_and_taken_back_and_everything_is_where_it_was() {
    // Given the example with rows in its database.
    let project = Project::todo();
    project.run(&["upgrade"]).done();
    let database = || rusqlite::Connection::open(project.path("todo.db")).unwrap();
    database()
        .execute_batch(
            "INSERT INTO users (name) VALUES ('ada'); INSERT INTO todos (user_id, title) VALUES (1, 'a'), (1, 'b')",
        )
        .unwrap();
    let rows = || -> String {
        database()
            .query_row("SELECT group_concat(id || user_id || title || done || priority) FROM todos", [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    let (content, lock, models) = (rows(), project.read("migrations/migrate.lock"), project.read("src/models.rs"));
    // When a field is added to the struct, the revision is written, and it is applied.
    let with_field = models.replace(
        "    pub priority: i64,",
        "    pub priority: i64,\n    #[column(default = \"none\")]\n    pub test_column: Option<String>,",
    );
    project.write("src/models.rs", &with_field);
    project.run(&["check"]).refused(&["error[models-differ]", "+ column test_column TEXT DEFAULT 'none'"]);
    project.run(&["revision", "--autogenerate", "-m", "test_adding_column"]).done().says("test_adding_column.sql");
    let text = generated(&project, "test_adding_column");
    assert!(
        text.ends_with(
            "\n-- migrate:up\nALTER TABLE todos ADD COLUMN test_column TEXT DEFAULT 'none';\n\n-- migrate:down\n\
             ALTER TABLE todos DROP COLUMN test_column;\n"
        ),
        "{text}"
    );
    project.run(&["upgrade", "head"]).done();
    // Then the column is there, nothing is left to do, and the way back loses no row.
    let value: String = database().query_row("SELECT test_column FROM todos", [], |row| row.get(0)).unwrap();
    assert_eq!(value, "none");
    project.run(&["check"]).done();
    project.run(&["revision", "--autogenerate", "-m", "again"]).done().says("nothing to write");
    project.run(&["downgrade", "-1"]).done();
    assert!(database().query_row("SELECT test_column FROM todos", [], |_| Ok(())).is_err());
    project.write("src/models.rs", &models);
    project.run(&["delete", "test_adding_column"]).done();
    project.run(&["check"]).done();
    assert_eq!((rows(), project.read("migrations/migrate.lock")), (content, lock));
}

#[test]
fn a_rename_is_never_guessed() {
    let project = project(USERS);
    project.run(&["revision", "--autogenerate", "-m", "users"]).done();
    project.run(&["upgrade"]).done();
    project.database().execute_batch("INSERT INTO users VALUES (1, 'ada')").unwrap();
    // A column that vanishes while one like it appears is asked about, with the lines to choose from.
    project.write("schema.sql", &USERS.replace("    name TEXT", "    full_name TEXT"));
    let auto = ["revision", "--autogenerate", "-m", "full name"];
    project.refuses(&auto, &["error[ambiguous-rename]", "--rename users.name=full_name", "--no-rename"]);
    let wrong = |flag: &str| project.refuses(&[&auto[..], &["--rename", flag]].concat(), &["error[unknown-rename]"]);
    wrong("users.nam=full_name");
    wrong("users.name=fullname");
    wrong("users.id=full_name");
    assert_eq!(project.run(&[&auto[..], &["--rename", "name=full_name"]].concat()).status, 2);
    // As a rename it keeps the values, both ways.
    project.run(&[&auto[..], &["--rename", "users.name=full_name"]].concat()).done();
    let text = generated(&project, "full_name");
    assert!(text.contains("up\nALTER TABLE users RENAME COLUMN name TO full_name;\n\n"), "{text}");
    assert!(!text.contains("loses"), "{text}");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT full_name FROM users"), "ada");
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(project.ask("SELECT name FROM users"), "ada");
}

#[test]
fn a_loss_is_declared_in_the_file_and_told() {
    let project = project(&format!("{USERS}CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);"));
    project.run(&["revision", "--autogenerate", "-m", "all"]).done();
    project.write("schema.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY);");
    let ran = project.run(&["revision", "--autogenerate", "-m", "less"]).done();
    assert!(ran.err.contains("warning[loses]") && ran.err.contains("`users.name`"), "{}", ran.err);
    assert!(ran.err.contains("every row gets ''"), "{}", ran.err);
    let text = generated(&project, "less");
    assert!(text.contains("-- migrate:loses notes, users.name\n"), "{text}");
    // What is lost can be made up only: the downgrade says so where it does.
    assert!(text.contains("-- The rows that are there have no value for name; it is made up here.\n"), "{text}");
}

#[test]
fn a_table_that_is_renamed_in_the_models_keeps_its_rows() {
    let project = Project::new();
    let model = |name: &str, from: &str| {
        format!(
            "#[derive(Table)]\n#[table(name = \"{name}\"{from})]\nstruct T {{ #[column(primary_key)] id: i64, a: String }}\n"
        )
    };
    project.write("src/lib.rs", &model("old", ""));
    project.run(&["revision", "--autogenerate", "-m", "one"]).done();
    project.write("src/lib.rs", &model("new", ""));
    project.refuses(&["revision", "--autogenerate", "-m", "two"], &["ambiguous-rename", "--rename-table old=new"]);
    project.write("src/lib.rs", &model("new", ", renamed_from = \"old\""));
    project.run(&["revision", "--autogenerate", "-m", "two"]).done();
    assert!(generated(&project, "two").contains("ALTER TABLE old RENAME TO new;"));
    // The word may stay in the struct: it is about what has long been done.
    project.run(&["revision", "--autogenerate", "-m", "three"]).done().says("nothing to write");
    project.run(&["upgrade"]).done();
    project.run(&["check"]).done();
}

#[test]
fn a_new_column_that_old_rows_have_no_value_for_is_refused_until_they_get_one() {
    let project = project(USERS);
    project.run(&["revision", "--autogenerate", "-m", "users"]).done();
    project.run(&["upgrade"]).done();
    project.database().execute_batch("INSERT INTO users VALUES (1, 'ada')").unwrap();
    project.write("schema.sql", &USERS.replace("NOT NULL\n", "NOT NULL,\n    mail TEXT NOT NULL\n"));
    let auto = ["revision", "--autogenerate", "-m", "mail"];
    project.refuses(&auto, &["error[no-value]", "--fill \"users.mail=SQL\""]);
    project.refuses(
        &[&auto[..], &["--fill", "users.mail=''", "--fill", "users.male=''"]].concat(),
        &["error[unknown-fill]", "users.male"],
    );
    project.run(&[&auto[..], &["--fill", "users.mail=name || '@example.org'"]].concat()).done();
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT mail FROM users"), "ada@example.org");
    project.run(&["check"]).done();
}

#[test]
fn nothing_is_written_where_nothing_says_what_is_wanted() {
    let project = Project::new();
    project.migration("a", &table("base", "t"));
    project.run(&["lock"]).done();
    project.refuses(&["revision", "--autogenerate", "-m", "x"], &["error[no-models]", "derive"]);
    // `check` has nothing to compare then, which is no fault.
    project.run(&["check"]).done();
}

#[test]
fn a_schema_file_says_what_there_is_and_nothing_else() {
    for (text, code, words) in [
        ("CREATE TABLE t (a);\nINSERT INTO t VALUES (1);", "not-a-schema", "schema.sql:2:1"),
        ("ATTACH 'other.db' AS o;", "not-a-schema", "`ATTACH`"),
        ("CREATE TEMP TABLE t (a);", "not-a-schema", "schema.sql:1:1"),
        ("CREATE TABLE t (a;", "schema-error", "schema.sql:1:1"),
        ("CREATE INDEX i ON t (a);", "schema-error", "no such table"),
        ("CREATE TABLE t (a REFERENCES u (b));", "unknown-reference", "the table `u`, which is not there"),
        (
            "CREATE TABLE u (a); CREATE TABLE t (a REFERENCES u (a));",
            "unknown-reference",
            "neither the primary key nor",
        ),
    ] {
        let project = project(text);
        let ran = project.run(&["revision", "--autogenerate", "-m", "x"]).refused(&[&format!("error[{code}]"), words]);
        ran.is_printable();
        assert!(!project.path("other.db").exists());
        assert_eq!(project.run(&["heads"]).done().out, "");
    }
    // What `.schema` prints along of SQLite's own tables is passed over.
    let project =
        project("CREATE TABLE sqlite_sequence(name,seq);\nCREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT);");
    project.run(&["revision", "--autogenerate", "-m", "t"]).done();
    assert!(!generated(&project, "t").contains("sqlite_sequence"));
}

#[test]
fn what_cannot_be_read_or_written_is_refused_instead_of_half_done() {
    // A comment that would divide the migration at the wrong place.
    let marked = project("CREATE TABLE t (\n    a, -- the next line ends it\n-- migrate:down\n    b\n);");
    marked.refuses(&["revision", "--autogenerate", "-m", "x"], &["error[out-of-reach]", "looks like one of the lines"]);
    // A text that SQLite reads otherwise than this program: the name `e` and the type 'x'.
    let odd = project("CREATE TABLE t (e'x', b);");
    odd.refuses(&["revision", "--autogenerate", "-m", "x"], &["error[unreadable-table]", "`t`"]);
}

#[test]
fn a_database_that_was_changed_by_hand_is_told_of_and_the_change_can_be_kept() {
    let project = project(USERS);
    project.run(&["revision", "--autogenerate", "-m", "users"]).done();
    project.run(&["upgrade"]).done();
    assert_eq!(project.run(&["status", "--format", "json"]).done().json()["drift"], false);
    // When somebody adds an index and a column by hand.
    project
        .database()
        .execute_batch("CREATE INDEX by_name ON users (name); ALTER TABLE users ADD COLUMN age INT")
        .unwrap();
    project.database().execute_batch("INSERT INTO users VALUES (1, 'ada', 36)").unwrap();
    // Then `status` notices it, and `check` says what it is.
    project.run(&["status"]).done().says("warning[drift]");
    assert_eq!(project.run(&["status", "--format", "json"]).done().json()["drift"], true);
    project.run(&["check"]).refused(&["error[drift]", "+ index by_name", "+ column age INT", "--capture"]);
    // It is not in the models, so without a word nothing is written; with one it becomes a revision that is applied.
    project.run(&["revision", "--autogenerate", "-m", "x"]).done().says("warning[drift]").says("nothing to write");
    project.run(&["revision", "--autogenerate", "--capture", "-m", "by hand"]).done().says("Stamped");
    let text = generated(&project, "by_hand");
    assert!(text.contains("ALTER TABLE users ADD COLUMN age INT;\nCREATE INDEX by_name ON users (name);"), "{text}");
    assert_eq!(project.run(&["status", "--format", "json"]).done().json()["drift"], false);
    project.run(&["upgrade"]).done().says("nothing to do");
    assert_eq!(project.ask("SELECT age FROM users"), "36");
    // The models want less, which `check` says next.
    project.run(&["check"]).refused(&["error[models-differ]", "- column age INT"]);
}

#[test]
fn a_run_tells_of_a_change_by_hand_before_it_builds_on_another_schema() {
    let project = project(USERS);
    project.run(&["revision", "--autogenerate", "-m", "users"]).done();
    project.run(&["upgrade"]).done();
    project.write("schema.sql", &USERS.replace("name TEXT NOT NULL", "name TEXT NOT NULL CHECK (name <> '')"));
    project.run(&["revision", "--autogenerate", "-m", "check"]).done();
    // A rebuild knows nothing of an index that no migration makes.
    project.database().execute_batch("CREATE INDEX by_hand ON users (name)").unwrap();
    project.run(&["upgrade"]).done().says("warning[drift]");
    // What the run has left is the schema that counts from then on.
    project.run(&["downgrade", "-1"]).done();
    assert_eq!(project.run(&["status", "--format", "json"]).done().json()["drift"], false);
}

#[test]
fn changes_by_hand_are_captured_only_where_nothing_is_pending() {
    let project = project(USERS);
    project.run(&["revision", "--autogenerate", "-m", "users"]).done();
    project.run(&["upgrade"]).done();
    project.migration("later", "-- migrate:up\nCREATE TABLE later (x);\n-- migrate:down\nDROP TABLE later;\n");
    project.run(&["lock"]).done();
    project.refuses(
        &["revision", "--autogenerate", "--capture", "-m", "x"],
        &["error[pending-revisions]", "cargo migrate upgrade"],
    );
}

#[test]
fn a_project_that_has_a_database_starts_with_a_baseline() {
    let project = Project::new();
    let _ = std::fs::remove_dir(project.path("migrations"));
    project
        .database()
        .execute_batch(
            "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT UNIQUE CHECK (b <> ''));
             CREATE VIEW v AS SELECT b FROM a; CREATE TRIGGER g AFTER INSERT ON a BEGIN DELETE FROM a WHERE id < 0; END;
             CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('word'); INSERT INTO a (b) VALUES ('kept');",
        )
        .unwrap();
    project.run(&["init", "--baseline"]).done().says("baseline.sql").says("Stamped");
    let text = generated(&project, "baseline");
    assert!(text.contains("-- migrate:irreversible\n") && !text.contains("f_data"), "{text}");
    // The database has it, its rows are as they were, and a new one becomes the same.
    project.run(&["upgrade"]).done().says("nothing to do");
    assert_eq!(project.ask("SELECT b || (SELECT x FROM f) FROM a"), "keptword");
    project.run(&["check"]).done();
    project.run(&["upgrade", "-d", "sqlite:new.db", "--create"]).done();
    let schema = |database: &str| project.run(&["schema", "-d", database]).done().out;
    assert_eq!(
        schema("dev").split_whitespace().collect::<String>(),
        schema("sqlite:new.db").split_whitespace().collect::<String>()
    );
    // Autogenerate finds nothing to do where the models say what is there.
    project.write("schema.sql", &schema("dev"));
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nschema = \"schema.sql\""));
    project.run(&["revision", "--autogenerate", "-m", "x"]).done().says("nothing to write");
    // There is one beginning.
    project.refuses(&["init", "--baseline"], &["error[has-revisions]"]);
}

#[test]
fn programs_get_one_document() {
    let project = project(USERS);
    let ran = project.run(&["revision", "--autogenerate", "-m", "users", "--format", "json"]).done().json();
    assert!(ran["file"].as_str().unwrap().ends_with("_users.sql"), "{ran}");
    let ran = project.run(&["revision", "--autogenerate", "-m", "users", "--format", "json"]).done().json();
    assert!(ran["revision"].is_null(), "{ran}");
    project.write("schema.sql", &USERS.replace("name", "title"));
    let ran = project.run(&["revision", "--autogenerate", "-m", "x", "--format", "json"]);
    assert_eq!((ran.status, &ran.json()["problems"][0]["code"]), (1, &"ambiguous-rename".into()));
}

#[test]
fn the_preview_writes_nothing() {
    let project = project(USERS);
    let before = project.contents();
    let ran = project.run(&["revision", "--autogenerate", "-m", "users", "--sql"]).done();
    assert!(ran.out.contains("CREATE TABLE users (\n    id INTEGER PRIMARY KEY,"), "{}", ran.out);
    assert_eq!(project.contents(), before);
}

#[test]
fn a_history_that_only_the_program_can_run_again_is_compared_by_its_hash() {
    let project = Project::new();
    project.migration(
        "a",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES (of_the_program());\n",
    );
    project.run(&["lock"]).done();
    // The program has applied it: its table is there, and what it recorded.
    project.database().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    project.run(&["stamp", "a"]).done();
    project.run(&["check"]).done();
    project.database().execute_batch("CREATE TABLE by_hand (x)").unwrap();
    project.run(&["check"]).refused(&["error[drift]", "not the one that the last run has left"]);
}
