//! `test`: which revisions are rehearsed, and from where.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::rehearsing::{NOTES, applied, at, ids, lines, rehearsed, second};
use crate::pages::table;

pages! {
    from_nothing_all_of_it_or_a_part_that_is_applied,
    a_database_that_is_not_there_is_rehearsed_from_nothing_and_not_made,
    branches_merges_and_revisions_with_rules_of_their_own,
    what_was_edited_on_a_scratch_database_is_rehearsed_anew,
}

fn from_nothing_all_of_it_or_a_part_that_is_applied(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    second(&project, "", "ALTER TABLE notes ADD COLUMN due TEXT;", "ALTER TABLE notes DROP COLUMN due;");
    project.migration("a3", &table("a2", "tags"));
    project.run(&["upgrade", "a2"]).done();
    assert_eq!(ids(&rehearsed(&project, &[])), ["a3"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2"])), ["a2"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2:"])), ["a2", "a3"]);
    assert_eq!(ids(&rehearsed(&project, &["--revision", "a2", "--empty"])), ["a2"]);
    // The first one makes tables that its way back leaves.
    for arguments in ["--all", "--empty"] {
        let document = rehearsed(&project, &[arguments]);
        assert_eq!(ids(&document), ["a1", "a2", "a3"], "{arguments}");
        assert_eq!(document["revisions"][0]["rows"], 7, "{arguments}");
        let first = lines(&document["revisions"][0], "faults");
        assert!(first.contains(&at(&project, "the downgrade leaves the table `notes`")), "{first:#?}");
        assert_eq!(lines(&document["revisions"][2], "faults"), Vec::<String>::new());
    }
    // On a copy of what is there it cannot even come off, so that it could go up.
    let document = rehearsed(&project, &["--revision", ":a3"]);
    assert_eq!((ids(&document), document["revisions"][0]["up"]["result"].as_str()), (vec!["a1"], Some("refused")));
    assert_eq!(project.run(&["test", "--all", "--revision", "a2"]).status, 2);
    project.run(&["test", "--revision", "nowhere"]).refused(&["unknown-target"]);
    // A history with a way back is safe from nothing.
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.migration("a2", &table("a1", "u"));
    project.run(&["upgrade", "a1"]).done();
    for arguments in ["--all", "--empty"] {
        let document = rehearsed(&project, &[arguments]);
        assert_eq!((ids(&document), &document["safe"]), (vec!["a1", "a2"], &true.into()), "{arguments}");
    }
}

fn a_database_that_is_not_there_is_rehearsed_from_nothing_and_not_made(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    let manifest = project.read("Cargo.toml");
    let later = format!("later = {{ url = \"{}_later\", protected = true }}\n", project.url("dev"));
    project.write("Cargo.toml", &(manifest.replace("database = \"dev\"", "database = \"later\"") + &later));
    project.run(&["test"]).done().says("later is not there yet").says("safe to apply");
    assert!(!project.path("app.db_later").exists());
    // Nobody has made it, on a server neither: only who is told to does.
    project.refuses(&["upgrade", "--yes"], &["`upgrade --create`"]);
}

fn branches_merges_and_revisions_with_rules_of_their_own(ground: &dyn Ground) {
    let project = applied(ground, NOTES);
    project.migration("b1", &table("a1", "left_one"));
    project.migration("c1", &table("a1", "right_one"));
    assert_eq!(rehearsed(&project, &[])["safe"], true);
    project.run(&["merge", "-m", "both", "--rev-id", "d1"]).done();
    project.migration(
        "e1",
        "-- migrate:parent d1\n-- migrate:no-transaction\n-- migrate:up\nVACUUM;\nCREATE TABLE big (x INTEGER);\n\
         -- migrate:down\nDROP TABLE big;\n",
    );
    project.migration(
        "f1",
        "-- migrate:parent e1\n-- migrate:foreign-keys on\n-- migrate:up\nCREATE TABLE own (n INTEGER REFERENCES notes (id));\n\
         INSERT INTO own VALUES (1);\n-- migrate:down\nDROP TABLE own;\n",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["b1", "c1", "d1", "e1", "f1"]);
    assert_eq!(document["safe"], true, "{document:#}");
    // What stops half way outside of a transaction leaves its copy half way, and the next one gets a new one.
    project.migration(
        "e1",
        "-- migrate:parent d1\n-- migrate:no-transaction\n-- migrate:up\nCREATE TABLE big (x INTEGER);\n\
         -- migrate:down\nDROP TABLE big;\nDROP TABLE nowhere;\n",
    );
    let document = rehearsed(&project, &[]);
    assert_eq!(ids(&document), ["b1", "c1", "d1", "e1", "f1"]);
    assert_eq!(lines(&document["revisions"][4], "faults"), Vec::<String>::new());
    assert!(lines(&document["revisions"][3], "faults")[0].contains("nowhere"), "{document:#}");
}

fn what_was_edited_on_a_scratch_database_is_rehearsed_anew(ground: &dyn Ground) {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.run(&["-d", "test", "upgrade"]).done();
    project.migration("a1", &table("base", "t2"));
    let document = rehearsed(&project, &["-d", "test"]);
    assert_eq!((ids(&document), document["safe"].as_bool()), (vec!["a1"], Some(true)));
}
