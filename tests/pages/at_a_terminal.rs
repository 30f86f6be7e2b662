//! What somebody is asked who sits at a terminal, for which the `script` of util-linux stands.

use crate::pages::commands::{half_applied, protected};
use crate::pages::ground::Ground;

pages! {
    somebody_is_asked_before_a_protected_database_is_written,
    a_history_that_moves_while_a_person_thinks,
}

fn somebody_is_asked_before_a_protected_database_is_written(ground: &dyn Ground) {
    let project = protected(ground);
    for (line, name) in [("ensure-version", "dev"), ("stamp a1", "dev"), ("-d test reset", "test")] {
        // A habit is no agreement: the database's name has to be typed.
        for answer in ["n", "y", ""] {
            let before = project.databases().state(name);
            let ran = project.at_terminal(line).answer(answer);
            assert_eq!(ran.status, 1, "{}", ran.out);
            ran.says("write to ").says("nobody agreed");
            assert_eq!(project.databases().state(name), before);
        }
        project.at_terminal(line).answer(name).done();
    }
}

fn a_history_that_moves_while_a_person_thinks(ground: &dyn Ground) {
    let project = half_applied(ground);
    project.configure("dev", "protected = true, shared = false");
    let mut asked = project.at_terminal("upgrade");
    let question = asked.question();
    assert!(question.contains("a1 -> a2"), "{question}");
    project.run(&["upgrade", "--yes"]).done();
    let ran = asked.answer("dev");
    assert_eq!(ran.status, 1, "{}", ran.out);
    ran.says("history-moved").says("nothing was done");
}
