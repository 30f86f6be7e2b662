//! Many databases of one kind: `upgrade --each` brings every one of them to the same revisions, exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Project, Ran, scale};
use crate::pages::ground::{Ground, Kind};
use crate::pages::table;

pages! {
    all_of_them_are_upgraded_exactly_once,
    a_run_that_is_killed_goes_on_where_it_stopped,
    one_that_fails_stops_no_other_and_is_named,
    what_fails_for_all_in_the_same_way_is_told_once,
    canaries_come_first_and_stop_the_rest,
    one_that_was_put_back_is_brought_up_again,
    each_has_backups_of_its_own,
    one_that_somebody_holds_is_named_and_the_others_go_on,
    trying_leaves_every_one_as_it_was,
    every_one_is_listed_where_that_is_asked_for,
}

/// A project and many databases of one kind.
pub struct Tenants {
    pub project: Project,
    kind: Kind,
    names: Vec<String>,
}

impl Tenants {
    /// Databases with nothing in them, of a project.
    pub fn empty(project: Project, kind: Kind, count: usize) -> Self {
        let names = (0..count).map(|number| project.databases().tenant(kind, number)).collect();
        Self { project, kind, names }
    }

    /// Databases that have the first of three revisions, and a row that tells them apart. Each of the other two writes a
    /// row into `log`.
    pub fn behind(ground: &dyn Ground, kind: Kind, count: usize) -> Self {
        let project = Project::on(ground);
        let first = "CREATE TABLE log (number INTEGER, what TEXT);\nCREATE TABLE own (name TEXT);\n";
        project.migration("a1", &format!("-- migrate:parent base\n-- migrate:up\n{first}"));
        let tenants = Self::empty(project, kind, count);
        tenants.each(&["a1"]).done();
        for name in &tenants.names {
            tenants.project.execute_on(name, &format!("INSERT INTO own VALUES ('{name}')"));
        }
        for (number, id, parent) in [(2, "a2", "a1"), (3, "a3", "a2")] {
            tenants.project.migration(
                id,
                &format!(
                    "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE t_{id} (x INTEGER);\n\
                     INSERT INTO log VALUES ({number}, '{id}');\n"
                ),
            );
        }
        tenants
    }

    /// One more comes in, with nothing in it.
    fn another(&mut self) -> usize {
        let number = self.names.len();
        self.names.push(self.project.databases().tenant(self.kind, number));
        number
    }

    /// What `--each` takes for all of them.
    pub fn pattern(&self) -> String {
        self.some("*")
    }

    /// What `--each` takes for those whose numbers, of four digits, fit.
    pub fn some(&self, numbers: &str) -> String {
        self.project.databases().tenants(self.kind, numbers)
    }

    pub fn each(&self, more: &[&str]) -> Ran {
        self.project.run_bounded(&[&["upgrade", "--each", &self.pattern()], more].concat())
    }

    pub fn name(&self, number: usize) -> &str {
        &self.names[number]
    }

    /// As messages show it.
    pub fn shown(&self, number: usize) -> String {
        self.project.databases().shown(self.name(number))
    }

    pub fn url(&self, number: usize) -> String {
        self.project.url(self.name(number))
    }

    /// All that each one holds, to be compared with itself.
    pub fn states(&self) -> Vec<String> {
        self.names.iter().map(|name| self.project.databases().state(name)).collect()
    }

    /// Which revisions the version table names, and which ones have left their row.
    #[track_caller]
    pub fn state(&self, number: usize) -> (String, String) {
        let list = |query| self.project.list_of(self.name(number), query).join(",");
        (list("SELECT revision FROM _cargo_migrate ORDER BY sequence"), list("SELECT what FROM log ORDER BY number"))
    }

    /// The database has every revision once, its own row, and no other one's.
    #[track_caller]
    pub fn is_upgraded(&self, number: usize) {
        assert_eq!(self.state(number), ("a1,a2,a3".to_owned(), "a2,a3".to_owned()), "{}", self.name(number));
        assert_eq!(self.project.list_of(self.name(number), "SELECT name FROM own"), [self.name(number)]);
        assert!(self.project.databases().is_sound(self.name(number)), "{}", self.name(number));
    }

    #[track_caller]
    pub fn is_as_before(&self, number: usize) {
        assert_eq!(self.state(number), ("a1".to_owned(), String::new()), "{}", self.name(number));
    }
}

/// The document's databases as they are shown, each with how it ended there.
pub fn results(ran: &Ran) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let document = ran.json();
    let databases = document["databases"].as_array().unwrap();
    databases.iter().map(|one| (text(&one["path"]), text(&one["result"]))).collect()
}

/// 1,000 files at full scale. Databases of a server take longer to make and to compare than to upgrade.
pub fn many(kind: Kind) -> usize {
    if kind == Kind::File { ((1000.0 * scale()) as usize).clamp(30, 1000) } else { 16 }
}

fn all_of_them_are_upgraded_exactly_once(ground: &dyn Ground) {
    for (kind, jobs) in ground.kinds().iter().flat_map(|kind| [(*kind, "1"), (*kind, "2")]) {
        let count = many(kind);
        let tenants = Tenants::behind(ground, kind, count);
        let ran = tenants.each(&["--jobs", jobs]).done();
        assert!(ran.err.contains(&format!("Finished upgrade of {count} databases in ")), "{}", ran.err);
        let (_, slowest) = ran.err.split_once("the slowest: ").unwrap();
        assert!((0..count).any(|number| slowest.starts_with(&tenants.shown(number))), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "nothing is said of each one\n{}", ran.err);
        (0..count).for_each(|number| tenants.is_upgraded(number));
        // The lock has one name for all of them, and a downgrade of this checkout's own database leaves it there.
        let lock = tenants.project.path("migrations/migrate.lock");
        let text = fs::read_to_string(&lock).unwrap();
        assert_eq!(text.matches("  url\n").count(), 3, "{text}");
        let written = fs::metadata(&lock).unwrap().modified().unwrap();
        // A second run has nothing to do, and touches nothing.
        let before = (tenants.project.contents(), tenants.states());
        let again = tenants.each(&["--jobs", jobs]).done();
        assert!(again.err.contains(&format!("Finished nothing to do on {count} databases")), "{}", again.err);
        assert_eq!((tenants.project.contents(), tenants.states()), before);
        assert_eq!(fs::metadata(&lock).unwrap().modified().unwrap(), written);
        // Those of a document are in the order of their names.
        let document = tenants.each(&["--format", "json"]).done().json();
        assert_eq!(document["counts"]["nothing"], count);
        let paths: Vec<&str> =
            document["databases"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert_eq!(paths, (0..count).map(|number| tenants.shown(number)).collect::<Vec<_>>());
    }
}

/// The killed run leaves no word of how far it came but in the databases themselves.
fn a_run_that_is_killed_goes_on_where_it_stopped(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let count = many(kind);
        let tenants = Tenants::behind(ground, kind, count);
        let pattern = tenants.pattern();
        let is_done = |number| {
            let rows = tenants.project.ask_of(tenants.name(number), "SELECT count(*) FROM _cargo_migrate");
            rows != "1"
        };
        let mut interrupted = 0;
        for part in [4, 3, 2] {
            let mut child =
                tenants.project.command(&["-q", "upgrade", "--each", &pattern, "--jobs", "2"]).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(120);
            // Until about so many have been upgraded.
            while !is_done(count / part) {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                assert!(Instant::now() < deadline);
                std::thread::sleep(Duration::from_micros(200));
            }
            child.kill().unwrap();
            interrupted += usize::from(!child.wait().unwrap().success());
            for number in 0..count {
                tenants.project.databases().after_a_kill(tenants.name(number));
                match tenants.state(number).0.as_str() {
                    "a1" => tenants.is_as_before(number),
                    _ => tenants.is_upgraded(number),
                }
            }
        }
        assert!(interrupted > 0, "every run was done before it was killed");
        let before = (0..count).filter(|number| is_done(*number)).count();
        assert!(before > 0, "every run was killed before it did anything");
        let counts = tenants.each(&["--format", "json"]).done().json()["counts"].clone();
        assert_eq!((&counts["done"], &counts["nothing"]), (&(count - before).into(), &before.into()));
        (0..count).for_each(|number| tenants.is_upgraded(number));
        // The lock has caught up with what the killed runs had done.
        assert_eq!(tenants.project.read("migrations/migrate.lock").matches("  url\n").count(), 3);
    }
}

fn one_that_fails_stops_no_other_and_is_named(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 6);
        tenants.project.execute_on(tenants.name(3), "CREATE TABLE t_a2 (y TEXT)");
        let ran = tenants.each(&[]).refused(&[
            "Finished upgrade of 5 of 6 databases, 1 failed",
            "error[sql-error]",
            "a2.sql",
            &format!("so it failed: {}", tenants.shown(3)),
            "error[some-failed]: 1 of 6 databases failed",
            "help: ",
        ]);
        ran.is_printable();
        [0, 1, 2, 4, 5].into_iter().for_each(|number| tenants.is_upgraded(number));
        tenants.is_as_before(3);
        assert_eq!(tenants.project.databases().columns(tenants.name(3), "t_a2"), ["y"]);
        // A program is told the same.
        let ran = tenants.each(&["--format", "json"]);
        assert_eq!(ran.status, 1);
        let document = ran.json();
        let expected = serde_json::json!({ "databases": 6, "done": 0, "nothing": 5, "failed": 1, "untried": 0 });
        assert_eq!((&document["counts"], &document["each"]), (&expected, &serde_json::json!([tenants.pattern()])));
        let failed = &document["databases"][3];
        assert_eq!((&failed["path"], &failed["result"]), (&tenants.shown(3).into(), &"failed".into()));
        assert_eq!(failed["problems"][0]["code"], "sql-error");
        // Once it is mended the run goes on.
        tenants.project.execute_on(tenants.name(3), "DROP TABLE t_a2");
        tenants.each(&[]).done();
        tenants.is_upgraded(3);
    }
}

fn what_fails_for_all_in_the_same_way_is_told_once(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 6);
        tenants.project.migration("a4", "-- migrate:parent a3\n-- migrate:up\nCREATE TABLE own (x INTEGER);\n");
        let ran =
            tenants.each(&[]).refused(&["6 failed", "[sql-error]", "a4.sql", "and 3 more", "6 of 6 databases failed"]);
        assert_eq!(ran.err.matches("error[sql-error]").count(), 1, "{}", ran.err);
        (0..6).for_each(|number| tenants.is_as_before(number));
        let lock = tenants.project.read("migrations/migrate.lock");
        assert!(!lock.contains("a2  sha256"), "what no database has stays a draft\n{lock}");
    }
}

fn canaries_come_first_and_stop_the_rest(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 8);
        tenants.project.execute_on(tenants.name(1), "CREATE TABLE t_a2 (x INTEGER)");
        tenants.each(&["--canary", "3", "--jobs", "2"]).refused(&[
            "Finished upgrade of 2 of 8 databases, 1 failed, 5 left as they were",
            "[sql-error]",
            "1 of 8 databases failed",
            "the other 5 were not touched",
            &tenants.shown(1),
        ]);
        [0, 2].into_iter().for_each(|number| tenants.is_upgraded(number));
        (3..8).for_each(|number| tenants.is_as_before(number));
        let found = results(&tenants.each(&["--canary", "2", "--format", "json"]));
        assert_eq!(found[&tenants.shown(0)], "nothing");
        assert_eq!(found[&tenants.shown(1)], "failed");
        assert!((2..8).all(|number| found[&tenants.shown(number)] == "untried"), "{found:?}");
        // Once it is mended the run goes on.
        tenants.project.execute_on(tenants.name(1), "DROP TABLE t_a2");
        tenants.each(&["--canary", "3"]).done();
        (0..8).for_each(|number| tenants.is_upgraded(number));
    }
}

fn one_that_was_put_back_is_brought_up_again(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let mut tenants = Tenants::behind(ground, kind, 4);
        tenants.each(&[]).done();
        tenants.project.execute_on(
            tenants.name(2),
            "DROP TABLE t_a2; DROP TABLE t_a3; DELETE FROM log; DELETE FROM _cargo_migrate WHERE revision <> 'a1'",
        );
        tenants.is_as_before(2);
        // A new one comes in as well, which gets the whole history.
        let new = tenants.another();
        let found = results(&tenants.each(&["--format", "json"]).done());
        let done: Vec<&String> = found.iter().filter(|(_, result)| *result == "done").map(|(shown, _)| shown).collect();
        assert_eq!(done, [&tenants.shown(2), &tenants.shown(new)]);
        let own = format!("INSERT INTO own VALUES ('{}')", tenants.name(new));
        tenants.project.execute_on(tenants.name(new), &own);
        (0..=new).for_each(|number| tenants.is_upgraded(number));
    }
}

fn each_has_backups_of_its_own(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 2);
        let project = &tenants.project;
        let manifest = project.read("Cargo.toml");
        project.write("Cargo.toml", &manifest.replace("database = \"dev\"", "database = \"dev\"\nkeep = 1"));
        for (id, parent) in [("a4", "a3"), ("a5", "a4")] {
            let more = format!("UPDATE own SET name = name || '{id}';");
            project.migration(id, &format!("-- migrate:parent {parent}\n-- migrate:up\n{more}\n"));
            let ran = tenants.each(&[id, "--jobs", "2"]).done();
            assert!(ran.err.contains("it can lose data: rows of `own` are changed"), "{}", ran.err);
            assert_eq!(ran.err.matches("it can lose data").count(), 1, "{}", ran.err);
        }
        let backups = || {
            let listed = project.run(&["backups", "--format", "json"]).done().json();
            listed["backups"].as_array().unwrap().len()
        };
        assert_eq!(backups(), 2, "one of each, the newest");
        // Each is put back where it was.
        for number in 0..2 {
            project.run(&["restore", "--yes", "-d", &tenants.url(number)]).done();
            let name = project.ask_of(tenants.name(number), "SELECT name FROM own");
            assert_eq!(name, format!("{}a4", tenants.name(number)));
        }
        // `--no-backup` makes none, `--backup` one of each even where nothing can be lost.
        project.migration("a6", &table("a5", "t6"));
        let made = |more: &str| {
            let _ = fs::remove_dir_all(project.path(".migrate"));
            tenants.each(&[more]).done();
            backups()
        };
        assert_eq!(made("--no-backup"), 0);
        project.migration("a7", &table("a6", "t7"));
        assert_eq!(made("--backup"), 2);
    }
}

fn one_that_somebody_holds_is_named_and_the_others_go_on(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 3);
        let holder = tenants.project.databases().occupied(tenants.name(1));
        tenants.each(&["--wait", "0"]).refused(&[
            "error[database-busy]",
            &tenants.shown(1),
            "1 failed",
            "upgrade of 2 of 3 databases",
        ]);
        drop(holder);
        tenants.is_as_before(1);
        tenants.each(&["--wait", "0"]).done();
        (0..3).for_each(|number| tenants.is_upgraded(number));
    }
}

fn trying_leaves_every_one_as_it_was(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 3);
        let before = (tenants.project.contents(), tenants.states());
        let ran = tenants.each(&["--dry-run"]).done();
        assert!(ran.err.contains("dry run of upgrade on 3 databases, rolled back"), "{}", ran.err);
        // One that cannot be tried in place is tried on a copy.
        let several =
            "-- migrate:parent a3\n-- migrate:no-transaction\n-- migrate:up\nINSERT INTO log VALUES (4, 'a4');\n";
        tenants.project.migration("a4", several);
        let ran = tenants.each(&["--dry-run"]).done();
        assert!(ran.err.contains("upgrade on 3 databases") && ran.err.contains("several commits"), "{}", ran.err);
        fs::remove_file(tenants.project.path("migrations/a4.sql")).unwrap();
        assert_eq!((tenants.project.contents(), tenants.states()), before);
        (0..3).for_each(|number| tenants.is_as_before(number));
    }
}

fn every_one_is_listed_where_that_is_asked_for(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 2);
        let ran = tenants.each(&["-v", "--jobs", "1"]).done();
        for number in 0..2 {
            let line = format!("Finished 2 revisions on {} in ", tenants.shown(number));
            assert!(ran.err.contains(&line), "{}", ran.err);
        }
        let ran = tenants.each(&["-v", "--jobs", "1"]).done();
        assert!(ran.err.contains(&format!("Finished nothing to do on {}", tenants.shown(1))), "{}", ran.err);
    }
}
