//! What a stranger tried on runs: questions that write, runs that are met half way, ways back that lead nowhere.

use crate::harness::Project;

/// A project whose first revision, with one row in its table, is applied.
fn project() -> Project {
    let project = Project::new();
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n\
         -- migrate:down\nDROP TABLE t;\n",
    );
    project.run(&["upgrade"]).done();
    project
}

#[test]
fn a_verify_section_asks_and_does_nothing_else() {
    for (verify, words) in [
        ("COMMIT;\nSELECT 0;", &["a2.sql:5:1", "`COMMIT`"][..]),
        ("SELECT 1;\nROLLBACK;", &["a2.sql:6:1", "`ROLLBACK`"]),
        ("DELETE FROM t RETURNING 1;", &["a2.sql:5:1", "`DELETE`"]),
        ("WITH a AS (SELECT 1)\nDELETE FROM t RETURNING 1;", &["a2.sql:6:1", "`DELETE`"]),
        ("PRAGMA user_version = 7;", &["a2.sql:5:1", "`PRAGMA`", "pragma_foreign_key_check"]),
        ("ATTACH 'other.db' AS other;", &["a2.sql:5:1", "`ATTACH`"]),
        ("VACUUM INTO 'other.db';", &["a2.sql:5:1", "`VACUUM`"]),
    ] {
        let project = project();
        for header in ["", "\n-- migrate:no-transaction"] {
            let text = format!(
                "-- migrate:parent a1{header}\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n{verify}\n"
            );
            project.migration("a2", &text);
            let words: Vec<&str> =
                words.iter().copied().filter(|word| header.is_empty() || !word.starts_with("a2")).collect();
            for command in
                [&["upgrade"][..], &["upgrade", "--dry-run"], &["upgrade", "--per-revision"], &["upgrade", "--sql"]]
            {
                let ran = project.refuses(command, &["forbidden-statement", "a verify section only asks"]);
                ran.refused(&words);
            }
        }
    }
}

#[test]
fn a_question_that_holds_is_asked_by_a_run_and_by_a_script() {
    let project = project();
    project.migration(
        "a2",
        "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x);\n-- migrate:verify\n\
         WITH a AS (SELECT replace('DELETE', 'x', 'y') AS x) SELECT x = 'DELETE' FROM a;\nVALUES (1), (2);\n\
         SELECT count(*) = 0 FROM pragma_foreign_key_check;\n",
    );
    project.run(&["upgrade", "--sql"]).done().says("pragma_foreign_key_check");
    project.run(&["upgrade"]).done();
    assert_eq!(project.ask("PRAGMA query_only"), "0");
}
