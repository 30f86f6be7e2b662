//! What scripts read: exit statuses, standard output apart from standard error, JSON.

use cargo_migrate::exit::Exit;

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    what_is_done_or_was_done_already_is_0,
    what_is_refused_or_fails_is_1,
    data_goes_to_standard_output_and_talk_to_standard_error,
    quiet_leaves_results_warnings_and_errors,
    json_is_one_document_whether_done_or_refused,
    a_line_that_is_not_understood_is_2_and_nothing_is_changed,
    who_is_shown_an_edited_file_is_told_that_it_is_not_what_ran,
}

/// A project where `a1` is applied and `a2` is pending.
pub fn project(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["lock", "--dialect", project.databases().dialect()]).done();
    project.run(&["upgrade", "a1"]).done();
    project
}

/// The commands that report, with all that they need to.
pub const REPORTING: [&[&str]; 18] = [
    &["status"],
    &["current"],
    &["history"],
    &["heads"],
    &["branches"],
    &["show", "a1"],
    &["schema"],
    &["check"],
    &["verify"],
    &["lock"],
    &["upgrade", "--dry-run"],
    &["upgrade"],
    &["downgrade", "-1"],
    &["stamp", "a1"],
    &["downgrade", "base"],
    &["revision", "-m", "x", "--rev-id", "x1"],
    &["delete", "x1"],
    &["init"],
];

/// Those that there are for the project's database.
fn reporting(project: &Project) -> impl Iterator<Item = &'static [&'static str]> {
    let all = project.databases().has_schema_reader();
    REPORTING.into_iter().filter(move |arguments| all || arguments[0] != "schema")
}

fn what_is_done_or_was_done_already_is_0(ground: &dyn Ground) {
    let project = project(ground);
    for arguments in reporting(&project) {
        assert_eq!(project.run(arguments).status, Exit::Done as i32, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "upgrade"], &["upgrade", "--help"], &["man"]] {
        let ran = project.run(arguments);
        assert_eq!((ran.status, ran.err.as_str()), (Exit::Done as i32, ""), "{arguments:?}");
    }
    project.run(&["upgrade"]).done();
    project.run(&["upgrade"]).done().says("nothing to do");
    project.run(&["current", "--check-heads"]).done();
}

fn what_is_refused_or_fails_is_1(ground: &dyn Ground) {
    let project = project(ground);
    project.migration("a2", "-- migrate:parent a1\n-- migrate:up\nCREATE TABEL t2 (x INTEGER);\n");
    for arguments in [
        &["upgrade"][..],
        &["upgrade", "nowhere"],
        &["upgrade", "+9"],
        &["downgrade", "-9"],
        &["downgrade", "a2"],
        &["current", "--check-heads"],
        &["show", "nowhere"],
        &["delete", "a1"],
        &["revision", "-m", "x", "--rev-id", "a1"],
        &["revision", "-m", "x", "--head", "a1"],
        &["repair", "--finished", "a1"],
        &["schema", "nothing"],
        &["-d", "nowhere", "status"],
        &["--manifest-path", "nowhere", "status"],
        &["-p", "nobody", "status"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Exit::Refused as i32, "{arguments:?}\n{}", ran.err);
        assert!(ran.err.contains("error["), "{arguments:?}\n{}", ran.err);
    }
}

fn data_goes_to_standard_output_and_talk_to_standard_error(ground: &dyn Ground) {
    let project = project(ground);
    for (arguments, data) in [
        (&["status"][..], "pending   1"),
        (&["current"], "a1"),
        (&["history"], "a1 -> a2"),
        (&["heads"], "a2"),
        (&["show", "a1"], "CREATE TABLE t1"),
        (&["schema"], "CREATE TABLE t1"),
        (&["upgrade", "--sql"], "CREATE TABLE t2"),
        (&["ensure-version", "--sql"], "CREATE TABLE IF NOT EXISTS"),
        (&["completions", "bash"], "cargo"),
        (&["man"], ".TH"),
    ] {
        if arguments == ["schema"] && !project.databases().has_schema_reader() {
            continue;
        }
        let ran = project.run(arguments).done();
        assert!(ran.out.contains(data), "{arguments:?}\n{}", ran.out);
        assert_eq!(ran.err, "", "{arguments:?}");
    }
    for arguments in [&["upgrade"][..], &["downgrade", "-1"], &["stamp", "head"], &["verify"], &["lock"]] {
        let ran = project.run(arguments).done();
        assert_eq!(ran.out, "", "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
    let ran = project.run(&["show", "nowhere"]).refused(&["unknown-target"]);
    assert_eq!(ran.out, "");
}

fn quiet_leaves_results_warnings_and_errors(ground: &dyn Ground) {
    let project = project(ground);
    for arguments in [&["-q", "upgrade"][..], &["downgrade", "-1", "-q"], &["-q", "verify"], &["-q", "lock"]] {
        let ran = project.run(arguments).done();
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{arguments:?}");
    }
    assert_eq!(project.run(&["-q", "current"]).done().out, "a1\n");
    project.run(&["-q", "upgrade", "nowhere"]).refused(&["unknown-target", "help"]);
}

fn json_is_one_document_whether_done_or_refused(ground: &dyn Ground) {
    let project = project(ground);
    for arguments in reporting(&project) {
        let ran = project.run(&[&["--format", "json"], arguments].concat()).done();
        let command = arguments.iter().find(|word| !word.starts_with('-')).unwrap();
        assert_eq!(ran.json()["command"], **command, "{}", ran.out);
    }
    project.migration("broken", "-- migrate:parnet a1\n");
    for arguments in reporting(&project).filter(|arguments| arguments[0] != "init") {
        let ran = project.run(&[&["--format", "json"], arguments].concat()).refused(&["unknown-directive"]);
        let problem = &ran.json()["problems"][0];
        assert_eq!(problem["code"], "unknown-directive");
        assert_eq!(problem["severity"], "error");
        assert_eq!((&problem["places"][0]["line"], &problem["places"][0]["column"]), (&1.into(), &1.into()));
        assert!(problem["help"].as_array().is_some_and(|help| !help.is_empty()), "{problem}");
    }
    // The answer itself tells of the refusal; a second document would make both unreadable.
    std::fs::remove_file(project.path("migrations/broken.sql")).unwrap();
    project.run(&["downgrade", "base"]).done();
    let ran = project.run(&["--format", "json", "current", "--check-heads"]).refused(&["not-at-head"]);
    assert_eq!(ran.json()["at_head"], false);
}

fn a_line_that_is_not_understood_is_2_and_nothing_is_changed(ground: &dyn Ground) {
    let project = project(ground);
    let before = (project.contents(), project.databases().all());
    for arguments in [
        &[][..],
        &["upgrad"],
        &["upgrade", "--nope"],
        &["upgrade", "a1", "a2"],
        &["upgrade", "--sql", "--dry-run"],
        &["upgrade", "--dry-run", "--per-revision"],
        &["upgrade", "+1:+2", "--sql"],
        &["downgrade"],
        &["downgrade", "--down-from", "somewhere"],
        &["stamp"],
        &["stamp", "+1"],
        &["repair", "--finished", "a1", "--not-applied", "a1"],
        &["revision"],
        &["revision", "-m", "x", "--head", "+1"],
        &["revision", "-m", "x", "--version-path", "elsewhere"],
        &["delete"],
        &["delete", "a1", "--down-from", "file"],
        &["status", "--format", "xml"],
        &["status", "--color", "sometimes"],
        &["status", "--wait", "soon"],
        &["status", "--wait=-1"],
        &["status", "-q", "-v"],
        &["status", "--name", "a/b"],
        &["completions", "nosh"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Exit::Misused as i32, "{arguments:?}\n{}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}");
        ran.is_printable();
    }
    assert_eq!((project.contents(), project.databases().all()), before);
}

fn who_is_shown_an_edited_file_is_told_that_it_is_not_what_ran(ground: &dyn Ground) {
    let project = project(ground);
    let show = project.run(&["show", "a1"]).done();
    assert!(!show.err.contains("edited"), "{}", show.err);
    assert_eq!(project.run(&["--format", "json", "show", "a1"]).done().json()["edited"], false);
    for (id, parent) in [("a1", "base"), ("a2", "a1")] {
        project.migration(id, &table(parent, "another"));
    }
    project.run(&["show", "a1"]).done().says("edited after it was applied").says("`cargo migrate verify`");
    assert_eq!(project.run(&["--format", "json", "show", "a1"]).done().json()["edited"], true);
    assert_eq!(project.run(&["--format", "json", "history"]).done().json()["revisions"][1]["edited"], true);
    let history = project.run(&["history"]).done().out;
    assert!(history.contains("-> a1  applied, edited since") && history.contains("-> a2 (head)  pending"), "{history}");
    // A draft may be edited.
    assert_eq!(project.run(&["--format", "json", "show", "a2"]).done().json()["edited"], false);
}
