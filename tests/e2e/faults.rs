//! What goes wrong, and what must be left as it was.

use crate::harness::Project;

const PARENT_AND_CHILDREN: &str = "-- migrate:parent base\n-- migrate:up\n\
    CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT);\n\
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE);\n\
    INSERT INTO parents VALUES (1, 'a'), (2, 'b');\nINSERT INTO children VALUES (1, 1), (2, 1), (3, 2);\n";

#[test]
fn a_hand_written_rebuild_of_a_parent_keeps_every_child() {
    let project = Project::new();
    project.migration("a1", PARENT_AND_CHILDREN);
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE new_parents (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n\
         INSERT INTO new_parents SELECT id, name FROM parents;\nDROP TABLE parents;\n\
         ALTER TABLE new_parents RENAME TO parents;\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM children"), "3");
}

#[test]
fn a_revision_that_leaves_rows_dangling_is_rolled_back_and_names_them() {
    let project = Project::new();
    project.migration("a1", PARENT_AND_CHILDREN);
    project.run(&["upgrade"]).done();
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nDELETE FROM parents WHERE id = 1;\n");
    project.run(&["upgrade"]).refused(&[
        "foreign-keys",
        "row 1 of `children`",
        "row 2 of `children`",
        "migrate:foreign-keys on",
    ]);
    assert_eq!(project.ask("SELECT count(*) FROM parents"), "2");
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:foreign-keys on\n-- migrate:up\nDELETE FROM parents WHERE id = 1;\n",
    );
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("SELECT count(*) FROM children"), "1");
}

#[test]
fn a_file_that_is_no_database_is_said_to_be_none() {
    let project = Project::new();
    project.migration("a1", "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\n");
    project.write(
        "app.db",
        "this is no database, and long enough to be looked at as one, which takes a hundred bytes or so.........",
    );
    project.run(&["upgrade"]).refused(&["no SQLite database"]);
}
