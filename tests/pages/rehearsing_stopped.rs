//! A `test` that is interrupted or killed leaves the database as it is, and its copy to nobody but the next one.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    an_interrupted_rehearsal_removes_its_copy_and_ends_as_the_signal_says,
    what_a_killed_rehearsal_leaves_is_removed_by_the_next_one_and_that_of_a_living_one_is_not,
}

/// A statement that never ends by itself.
const ENDLESS: &str =
    "INSERT INTO u WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";

/// A project whose pending revision never comes to its end.
fn endless(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration("a1", &table("base", "t"));
    project.run(&["upgrade"]).done();
    let text = format!("-- migrate:parent a1\n-- migrate:up\nCREATE TABLE u (x BIGINT);\n{ENDLESS};\n");
    project.migration("a2", &text);
    project
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A rehearsal that is in the middle of its revision. It does not outlive the test.
pub struct Running {
    child: Child,
    copy: String,
}

impl Running {
    /// Starts one, and waits until it has come to this statement.
    #[track_caller]
    pub fn of(project: &Project, statement: &str) -> Self {
        let before = project.databases().copies();
        let child = project.command(&["test"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut running = Self { child, copy: String::new() };
        eventually("the rehearsal is at its revision", || {
            assert!(running.child.try_wait().unwrap().is_none(), "it has ended");
            let mut new = project.databases().copies();
            new.retain(|copy| !before.contains(copy) && project.databases().is_at(copy, statement));
            new.pop().inspect(|copy| running.copy.clone_from(copy)).is_some()
        });
        assert!(project.databases().is_living(&running.copy));
        running
    }

    /// Sends it a signal; gives the one that it has ended by.
    #[track_caller]
    pub fn is_sent(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().signal()
    }

    /// Kills it, and waits until that is known.
    #[track_caller]
    fn is_killed(&mut self, project: &Project) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        eventually("it is known to be dead", || !project.databases().is_living(&self.copy));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn an_interrupted_rehearsal_removes_its_copy_and_ends_as_the_signal_says(ground: &dyn Ground) {
    let project = endless(ground);
    let before = project.databases().state("dev");
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let mut running = Running::of(&project, ENDLESS);
        assert_eq!(running.is_sent(name), Some(number));
        assert_eq!(project.databases().copies(), [""; 0], "SIG{name}");
        assert_eq!(project.databases().state("dev"), before);
    }
}

fn what_a_killed_rehearsal_leaves_is_removed_by_the_next_one_and_that_of_a_living_one_is_not(ground: &dyn Ground) {
    let project = endless(ground);
    let before = project.databases().state("dev");
    let mut killed = Running::of(&project, ENDLESS);
    killed.is_killed(&project);
    // On a server anybody's rehearsal is the next one.
    if project.databases().dialect() == "sqlite" {
        assert_eq!(project.databases().copies(), [killed.copy.as_str()]);
    }
    assert_eq!(project.databases().state("dev"), before);
    let mut living = Running::of(&project, ENDLESS);
    assert_eq!(project.databases().copies(), [living.copy.as_str()], "that of the killed one is gone");
    let other = ["test", "--revision", "a1"];
    project.run(&other).done();
    assert_eq!(project.databases().copies(), [living.copy.as_str()]);
    living.is_killed(&project);
    project.run(&other).done();
    assert_eq!(project.databases().copies(), [""; 0]);
}
