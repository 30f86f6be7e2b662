//! Backups: what is kept is whole, what is replaced is kept, and whoever has the database open is not in the way.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::harness::Project;
use crate::pages::ground::Ground;

pages! {
    what_was_backed_up_comes_back_and_what_it_replaces_is_kept,
    a_backup_lies_where_git_does_not_see_it,
    a_backup_can_be_written_elsewhere_and_over_nothing,
    a_database_that_is_given_as_a_url_has_backups_of_its_own,
    a_backup_is_chosen_by_any_part_of_its_name_that_no_other_has,
    that_a_backup_is_of_another_database_is_said,
    a_backup_fills_a_database_that_has_nothing,
    nobody_is_asked_where_nobody_can_be_and_nothing_happens,
    #[cfg(target_os = "linux")]
    a_person_sees_what_is_replaced_with_what_and_may_say_no,
    what_is_not_committed_is_in_no_backup,
    whoever_writes_all_the_while_is_in_no_backup_halfway,
    an_open_session_sees_what_was_restored,
    a_version_table_that_another_hand_has_changed_is_backed_up_all_the_same,
}

pub const FOLDER: &str = ".migrate/backups";

/// A revision that makes a table of numbers and takes it away.
pub fn table(parent: &str, name: &str) -> String {
    format!(
        "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {name} (x INTEGER);\n-- migrate:down\nDROP TABLE {name};\n"
    )
}

/// A project with one revision applied, and a row in its table.
pub fn project(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t1"));
    project.migration("a2", &table("a1", "t2"));
    project.run(&["upgrade", "a1"]).done();
    project.execute("INSERT INTO t1 VALUES (1)");
    project
}

/// The names of the backups, the newest first.
pub fn names(project: &Project) -> Vec<String> {
    let listed = project.run(&["--format", "json", "backups"]).done().json();
    let name = |backup: &serde_json::Value| backup["name"].as_str().unwrap().to_owned();
    listed["backups"].as_array().unwrap().iter().map(name).collect()
}

/// The file of the one backup that there is.
pub fn only(project: &Project) -> PathBuf {
    let names = names(project);
    assert_eq!(names.len(), 1, "{names:?}");
    project.path(FOLDER).join(&names[0])
}

/// Everything in the backups' folder, backups or not.
pub fn files(project: &Project) -> Vec<String> {
    let Ok(entries) = fs::read_dir(project.path(FOLDER)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

/// What the names of backups end with: a server's are archives.
pub fn ending(project: &Project) -> &'static str {
    if project.databases().dialect() == "postgres" { "dump" } else { "db" }
}

/// All that a person would compare: the schema, the rows of the two tables that are there, and the record.
fn content(project: &Project) -> (String, Vec<String>, Vec<String>) {
    let record = "SELECT revision || ' ' || state || ' ' || checksum FROM _cargo_migrate ORDER BY sequence";
    let rows =
        project.tables().iter().flat_map(|table| project.list(&format!("SELECT x FROM {table} ORDER BY x"))).collect();
    (project.databases().schema("dev"), rows, project.list(record))
}

fn what_was_backed_up_comes_back_and_what_it_replaces_is_kept(ground: &dyn Ground) {
    let project = project(ground);
    let ending = ending(&project);
    let first = content(&project);
    let printed = project.run(&["backup"]).done();
    let path = printed.out.trim().to_owned();
    assert!(path.starts_with(".migrate/backups/dev~") && path.ends_with(&format!("Z-a1.{ending}")), "{path}");
    project.run(&["upgrade"]).done();
    project.execute("INSERT INTO t1 VALUES (5); INSERT INTO t2 VALUES (7)");
    let second = content(&project);
    project.run(&["restore", "--yes"]).done().says("Kept what was there").says("1 revision is pending");
    assert_eq!(content(&project), first);
    assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
    let status = project.run(&["--format", "json", "status"]).done().json();
    assert_eq!((&status["current"][0], &status["pending"][0]), (&"a1".into(), &"a2".into()));
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status}");
    // The lock follows: nothing of `a2` is applied any more, so that it may be edited.
    project.migration("a2", &table("a1", "renamed"));
    project.run(&["check"]).done();
    project.migration("a2", &table("a1", "t2"));
    // And back again: what was replaced is the newest backup.
    let listed = project.run(&["backups"]).done();
    let lines: Vec<&str> = listed.out.lines().collect();
    assert!(lines[0].contains("automatic") && lines[0].ends_with("  a2"), "{}", listed.out);
    assert!(lines[1].contains("by hand") && lines[1].ends_with("  a1"), "{}", listed.out);
    let ran = project.run(&["restore", "--yes", "--format", "json"]).done().json();
    assert_eq!(content(&project), second);
    assert_eq!(project.list("SELECT x FROM t1 ORDER BY x"), ["1", "5"]);
    assert_eq!(project.ask("SELECT x FROM t2"), "7");
    project.run(&["current"]).done().says("a2");
    // A script is told where that was kept which was replaced by this, and brings it back from there.
    let kept = ran["kept"].as_str().unwrap();
    assert!(kept.ends_with(&format!("-auto.{ending}")), "{kept}");
    project.run(&["restore", kept, "--yes"]).done();
    assert_eq!(content(&project), first);
}

fn a_backup_lies_where_git_does_not_see_it(ground: &dyn Ground) {
    let project = project(ground);
    project.git(&["init", "-q"]);
    project.run(&["backup"]).done();
    assert!(!project.git(&["status", "--porcelain", "-uall"]).contains(".migrate"));
}

fn a_backup_can_be_written_elsewhere_and_over_nothing(ground: &dyn Ground) {
    let project = project(ground);
    let folder = project.path("elsewhere, bücher");
    fs::create_dir(&folder).unwrap();
    project.run(&["backup", "--to", "elsewhere, bücher/Sicherung von dev.db"]).done();
    project.refuses(&["backup", "--to", "elsewhere, bücher/Sicherung von dev.db"], &["[backup-exists]"]);
    project.refuses(&["backup", "--to", "Cargo.toml"], &["[backup-exists]"]);
    project.refuses(&["backup", "--to", "nowhere/x.db"], &["[backup-failed]", "--to FILE"]);
    assert!(!project.path(".migrate").exists(), "nothing is made where nothing is kept");
    // From there it comes back, by its path.
    project.execute("UPDATE t1 SET x = 9");
    project.run(&["restore", "--yes", "elsewhere, bücher/Sicherung von dev.db"]).done();
    assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
}

fn a_database_that_is_given_as_a_url_has_backups_of_its_own(ground: &dyn Ground) {
    let project = project(ground);
    let url = project.databases().absolute("new");
    project.run(&["-d", &url, "upgrade", "a1", "--create"]).done();
    project.execute_on("new", "INSERT INTO t1 VALUES (2)");
    project.run(&["-d", &url, "backup"]).done();
    project.run(&["-d", &url, "backup"]).done();
    // They are told from those of all others, the configured ones too.
    let stem = format!("{}~", url.rsplit('/').next().unwrap().trim_end_matches(".db"));
    let names = names(&project);
    assert!(names.iter().all(|name| name.starts_with(&stem)), "{stem}: {names:?}");
    project.refuses(&["restore", "--yes"], &["[no-backup]", "backup of dev"]);
    assert!(project.run(&["-d", "dev", "backups"]).done().out.is_empty());
    assert_eq!(project.run(&["-d", &url, "backups"]).done().out.lines().count(), 2);
    project.execute_on("new", "DELETE FROM t1");
    project.run(&["-d", &url, "restore", "--yes"]).done();
    assert_eq!(
        (project.list_of("new", "SELECT x FROM t1"), project.list("SELECT x FROM t1")),
        (vec!["2".to_owned()], vec!["1".to_owned()])
    );
}

fn a_backup_is_chosen_by_any_part_of_its_name_that_no_other_has(ground: &dyn Ground) {
    let project = project(ground);
    let (one, two) = (format!("a1.{}", ending(&project)), format!("a2.{}", ending(&project)));
    project.run(&["backup"]).done();
    project.run(&["upgrade"]).done();
    project.run(&["backup"]).done();
    project.refuses(&["restore", "--yes", "dev"], &["[ambiguous-backup]", &one, &two, "backups"]);
    project.refuses(&["restore", "--yes", "a3"], &["[no-backup]", "`a3`", "backups"]);
    project.run(&["restore", "--yes", "Z-a1"]).done();
    project.run(&["current"]).done().says("a1");
    let newest = names(&project).into_iter().find(|name| name.ends_with(&format!("Z-{two}"))).unwrap();
    project.run(&["restore", "--yes", &newest]).done();
    project.run(&["current"]).done().says("a2");
}

fn that_a_backup_is_of_another_database_is_said(ground: &dyn Ground) {
    let project = project(ground);
    let manifest = project.read("Cargo.toml");
    project.write("Cargo.toml", &format!("{manifest}prod = {}\n", project.databases().own("prod")));
    project.run(&["-d", "prod", "upgrade", "--create"]).done();
    project.run(&["backup"]).done();
    let name = names(&project).remove(0);
    // Before it is asked whether that is meant.
    let asked = project.run(&["-d", "prod", "restore", &name]).says("this is a backup of `dev`");
    asked.refused(&["not-confirmed"]);
    project.run(&["-d", "prod", "restore", &name, "--yes"]).done().says("this is a backup of `dev`");
    assert_eq!(project.list_of("prod", "SELECT x FROM t1"), ["1"]);
    // It is its own by whatever way it is named.
    for own in ["dev", &project.databases().absolute("dev")] {
        let ran = project.run(&["-d", own, "restore", &name, "--yes"]).done();
        assert!(!ran.err.contains("is a backup of"), "{}", ran.err);
    }
    // What fits several is listed, and no list is spoken of that has only those of one database.
    let ran = project.run(&["-d", "prod", "restore", "2", "--yes"]).refused(&["ambiguous-backup", &name, "write more"]);
    assert!(!ran.err.contains("backups`"), "{}", ran.err);
}

fn a_backup_fills_a_database_that_has_nothing(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup", "--to", "b"]).done();
    let new = project.databases().absolute("new");
    project.run(&["-d", &new, "restore", "b", "--yes"]).done();
    assert_eq!(project.databases().tables("new"), ["t1"]);
    assert_eq!(project.list_of("new", "SELECT x FROM t1"), ["1"]);
    project.run(&["-d", &new, "current"]).done().says("a1");
    assert_eq!(names(&project), [""; 0], "there was nothing to keep");
}

fn nobody_is_asked_where_nobody_can_be_and_nothing_happens(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup"]).done();
    let what = format!("all that dev ({}) has", project.databases().shown("dev"));
    project.refuses(&["restore"], &["[not-confirmed]", &what, "--yes"]);
    // A protected one is no other case: who says it, means it.
    project.configure("dev", "protected = true");
    project.execute("INSERT INTO t1 VALUES (2)");
    project.refuses(&["restore"], &["[not-confirmed]", &what, "--yes"]);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
}

/// `script` of util-linux is the terminal at which somebody is asked.
#[cfg(target_os = "linux")]
fn a_person_sees_what_is_replaced_with_what_and_may_say_no(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup"]).done();
    project.run(&["upgrade"]).done();
    let before = project.databases().state("dev");
    let (one, shown) = (format!("a1.{}", ending(&project)), format!("dev ({})", project.databases().shown("dev")));
    let question = format!("replace what {shown} has?");
    for (answer, status) in [("n", 1), ("y", 0)] {
        let program =
            format!("echo {answer} | script -qec \"'{}' restore\" /dev/null", env!("CARGO_BIN_EXE_cargo-migrate"));
        let mut asked = std::process::Command::new("bash");
        asked.args(["-c", &format!("set -o pipefail; {program}")]).current_dir(project.path(""));
        let ran = crate::harness::ended(asked);
        assert_eq!(ran.status, status, "{}", ran.out);
        for word in [&*one, "with a1", &*format!("{shown} with a2"), &*question] {
            assert!(ran.out.contains(word), "`{word}` is not in\n{}", ran.out);
        }
        assert_eq!(project.databases().state("dev") == before, answer == "n");
    }
}

fn what_is_not_committed_is_in_no_backup(ground: &dyn Ground) {
    let project = project(ground);
    let mut writer = project.databases().session("dev");
    for statement in ["BEGIN", "INSERT INTO t1 VALUES (100)"] {
        writer(statement).unwrap();
    }
    project.run(&["backup"]).done();
    assert_eq!(writer("SELECT x FROM t1 ORDER BY x").unwrap(), ["1", "100"], "nobody was in its way");
    writer("COMMIT").unwrap();
    drop(writer);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(project.list("SELECT x FROM t1"), ["1"]);
}

fn whoever_writes_all_the_while_is_in_no_backup_halfway(ground: &dyn Ground) {
    let project = project(ground);
    let filling = "x".repeat(3000);
    project.execute(&format!(
        "CREATE TABLE filling (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO filling \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) SELECT i, '{filling}' FROM n; \
         CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER);"
    ));
    let (stop, written) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = project.databases().session("dev");
            let update = format!("UPDATE filling SET x = '{filling}' WHERE id = 3500");
            while !stop.load(Ordering::Relaxed) {
                for statement in ["BEGIN", "INSERT INTO a VALUES (1)", &update, "INSERT INTO b VALUES (1)", "COMMIT"] {
                    writer(statement).unwrap();
                }
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in ["one", "two", "three"] {
            let before = written.load(Ordering::Relaxed);
            let made = project.run_bounded(&["backup"]).done();
            let after = written.load(Ordering::Relaxed);
            assert!(after > before, "nobody could write");
            let url = project.databases().absolute(round);
            project.run(&["-d", &url, "restore", "--yes", made.out.trim()]).done();
            let count = |table: &str| -> u32 {
                project.ask_of(round, &format!("SELECT count(*) FROM {table}")).parse().unwrap()
            };
            assert_eq!(count("a"), count("b"));
            // One more may be committed and not yet counted.
            assert!((before..=after + 1).contains(&count("a")), "{} of {before} to {after}", count("a"));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn an_open_session_sees_what_was_restored(ground: &dyn Ground) {
    let project = project(ground);
    project.run(&["backup"]).done();
    let mut idle = project.databases().session("dev");
    idle("INSERT INTO t1 VALUES (70)").unwrap();
    idle("CREATE TABLE later (x INTEGER)").unwrap();
    assert_eq!(idle("SELECT sum(x) FROM t1").unwrap(), ["71"]);
    project.run(&["restore", "--yes"]).done();
    assert_eq!(idle("SELECT sum(x) FROM t1").unwrap(), ["1"]);
    assert!(idle("SELECT * FROM later").is_err());
    // And what it writes then is written into the database that everybody sees.
    idle("INSERT INTO t1 VALUES (2)").unwrap();
    assert_eq!(project.ask("SELECT sum(x) FROM t1"), "3");
}

fn a_version_table_that_another_hand_has_changed_is_backed_up_all_the_same(ground: &dyn Ground) {
    let project = project(ground);
    let ending = ending(&project);
    project.run(&["backup"]).done();
    project.execute("UPDATE _cargo_migrate SET seal = 'nonsense'");
    let ran = project.run(&["backup"]).done();
    assert!(ran.out.contains(&format!("Z-unknown.{ending}")), "{}", ran.out);
    project.run(&["restore", "--yes", &format!("a1.{ending}")]).done().says("Kept what was there");
    project.run(&["current"]).done().says("a1");
    let unknown = format!("Z-unknown.{ending}");
    project.run(&["restore", "--yes", &unknown]).done().says("version table of").says("cannot be read");
}
