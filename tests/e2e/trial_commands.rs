//! What a stranger met: two databases and the wrong one changed, another branch taken for a deletion, a marker that was
//! not seen.

use crate::harness::{Project, table};

/// A project whose only other database cannot be reached at will: its URL is in a variable.
fn with_hidden() -> Project {
    let project = Project::new();
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}mine = {{ url = \"env:MINE\", shared = false }}\n"));
    project
}

#[test]
fn what_this_checkout_knows_to_be_applied_somewhere_out_of_reach_is_not_deleted() {
    let project = with_hidden();
    project.migration("a1", &table("base", "t1"));
    let mut upgrade = project.command(&["-d", "mine", "upgrade"]);
    assert!(upgrade.env("MINE", "sqlite:mine.db").status().unwrap().success());
    assert!(project.read("migrations/migrate.local").contains("  mine\n"));

    project.refuses(&["delete", "a1"], &["not reached, so not asked: mine", "still-applied", "applied to `mine`"]);
    let mut delete = project.command(&["-d", "mine", "delete", "a1", "--downgrade"]);
    assert!(delete.env("MINE", "sqlite:mine.db").status().unwrap().success());
}
