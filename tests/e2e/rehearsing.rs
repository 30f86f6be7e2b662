//! `test` where it is about what SQLite alone has, or about an example on it. What holds on each kind of database stands in
//! the pages.

use std::fs;

use crate::harness::Project;
use crate::pages::ground::Sqlite;
use crate::pages::rehearsing::{NOTES, applied, contents, faults, lines, rehearsed, second};

#[test]
fn a_column_is_added_rehearsed_applied_taken_back_and_deleted() {
    let project = Project::todo();
    project.run(&["upgrade"]).done();
    let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
    database
        .execute_batch(
            "INSERT INTO users VALUES (1, 'ada'), (2, 'grace'); \
             INSERT INTO todos (user_id, title) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 42) \
             SELECT 1 + i % 2, 'todo ' || i FROM n",
        )
        .unwrap();
    drop(database);
    let rows = || {
        let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
        let mut statement = database.prepare("SELECT * FROM todos ORDER BY id").unwrap();
        let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        all.unwrap().collect::<Result<Vec<(i64, i64, String, i64, i64)>, _>>().unwrap()
    };
    let before = rows();

    let models = project.read("src/models.rs");
    let with_column = models.replace("pub priority: i64,", "pub priority: i64,\n    pub test_column: Option<i64>,");
    assert_ne!(models, with_column);
    project.write("src/models.rs", &with_column);
    project.run(&["revision", "--autogenerate", "-m", "test column", "--rev-id", "test_column"]).done();

    let untouched = contents(&project);
    project.run(&["test"]).done().says("safe to apply: 1 revision, up, down and up again");
    assert_eq!(contents(&project), untouched);

    project.run(&["upgrade"]).done();
    let database = rusqlite::Connection::open(project.path("todo.db")).unwrap();
    database.execute_batch("UPDATE todos SET test_column = id * 2").unwrap();
    drop(database);
    // What the way back takes along is known before anybody goes it.
    let back = project.run(&["test", "--revision", "test_column"]).done();
    back.says("`todos.test_column`: 42 values would be lost by the downgrade");
    project.run(&["downgrade", "-1"]).done();
    project.run(&["delete", "test_column"]).done();
    assert_eq!(rows(), before);
}

#[test]
fn what_only_looks_alike_to_a_collation_is_another_value() {
    let project = applied(
        &Sqlite,
        "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT COLLATE NOCASE);\nINSERT INTO words VALUES (1, 'a');",
    );
    second(&project, "", "UPDATE words SET word = 'A';", "SELECT 1;");
    assert_eq!(faults(&project), ["`words.word`: 1 value is not what it was after up and down"]);
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_no_text_is_as_good_as_any() {
    use std::os::unix::ffi::OsStrExt as _;
    let project = applied(&Sqlite, NOTES);
    second(&project, "", "UPDATE notes SET stars = 0 WHERE stars > 2;", "SELECT 1;");
    let odd = project.path("").join(std::ffi::OsStr::from_bytes(b"o\xffdd"));
    fs::create_dir(&odd).unwrap();
    let mut command = project.command(&[
        "test",
        "--format",
        "json",
        "--name",
        "app",
        "--migrations",
        "../migrations",
        "-d",
        "sqlite:../app.db",
    ]);
    command.current_dir(&odd);
    let ran = crate::harness::ended(command);
    assert_eq!(
        lines(&ran.json()["revisions"][0], "faults"),
        ["`notes.stars`: 2 values are not what they were after up and down"]
    );
}

#[test]
fn what_only_this_program_cannot_know_does_not_stop_the_rest() {
    // The rows of full-text tables are compared, however their index is laid out.
    let project =
        applied(&Sqlite, "CREATE VIRTUAL TABLE pages USING fts5(text);\nINSERT INTO pages VALUES ('one'), ('two');");
    second(&project, "", "INSERT INTO pages (pages) VALUES ('optimize');", "SELECT 1;");
    assert_eq!(rehearsed(&project, &[])["safe"], true);
    second(&project, "", "UPDATE pages SET text = 'three' WHERE rowid = 2;", "SELECT 1;");
    assert_eq!(faults(&project), ["`pages`: the rows are not what they were after up and down"]);
}
