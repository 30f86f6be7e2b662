//! A verify section asks, and what it asks is asked by every kind of run.

use crate::pages::ground::Ground;
use crate::pages::with_a_row;

pages! {
    a_verify_section_asks_and_does_nothing_else,
    a_question_that_holds_is_asked_by_a_run_and_by_a_script,
}

/// No kind of run takes this verify section: it says these words, of which those that name the file name its line.
#[track_caller]
pub fn is_no_question(ground: &dyn Ground, verify: &str, words: &[&str]) {
    let project = with_a_row(ground);
    for header in ["", "\n-- migrate:no-transaction"] {
        let text = format!(
            "-- migrate:parent a1{header}\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:verify\n{verify}\n"
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

fn a_verify_section_asks_and_does_nothing_else(ground: &dyn Ground) {
    for (verify, words) in [
        ("COMMIT;\nSELECT 0;", &["a2.sql:5:1", "`COMMIT`"][..]),
        ("SELECT 1;\nROLLBACK;", &["a2.sql:6:1", "`ROLLBACK`"]),
        ("DELETE FROM t RETURNING 1;", &["a2.sql:5:1", "`DELETE`"]),
        ("WITH a AS (SELECT 1)\nDELETE FROM t RETURNING 1;", &["a2.sql:6:1", "`DELETE`"]),
        ("VACUUM;", &["a2.sql:5:1", "`VACUUM`"]),
    ] {
        is_no_question(ground, verify, words);
    }
}

fn a_question_that_holds_is_asked_by_a_run_and_by_a_script(ground: &dyn Ground) {
    let project = with_a_row(ground);
    let asks = "WITH a AS (SELECT replace('DELETE', 'x', 'y') AS x) SELECT x = 'DELETE' FROM a;";
    project.migration(
        "a2",
        &format!(
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x INTEGER);\n-- migrate:verify\n{asks}\nVALUES (1), (2);\n"
        ),
    );
    project.run(&["upgrade", "--sql"]).done().says("replace('DELETE', 'x', 'y')");
    project.run(&["upgrade"]).done();
    assert_eq!(project.tables(), ["t", "u"]);
}
