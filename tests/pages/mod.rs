//! Tests whose words hold on each kind of database: written once, and run over SQLite's files and over a PostgreSQL server.
//!
//! A page is a function of the ground that its projects' databases stand on, named in its module's list. What the list
//! becomes is for the test target to say, in the macro `pages!`.

#[cfg(target_os = "linux")]
pub mod at_a_terminal;
pub mod branches;
pub mod checking;
pub mod checking_branches;
pub mod checkouts;
pub mod choosing;
pub mod commands;
pub mod faults;
pub mod ground;
pub mod half_way;
pub mod hostile_files;
pub mod hostile_histories;
pub mod json;
pub mod keeping;
pub mod keeping_faults;
pub mod keeping_unasked;
pub mod killed_runs;
pub mod preview;
pub mod questions;
pub mod rehearsing;
pub mod rehearsing_faults;
pub mod rehearsing_ranges;
pub mod rehearsing_reports;
pub mod rehearsing_safely;
#[cfg(unix)]
pub mod rehearsing_stopped;
pub mod safeguarding;
pub mod scenarios;
pub mod statuses;
#[cfg(unix)]
pub mod streams;
pub mod syncing;
pub mod tenants;
pub mod tenants_refused;
pub mod whose_backups;
pub mod workspaces;
pub mod workspaces_kept;
pub mod workspaces_refusals;
pub mod writing;

use crate::harness::Project;
use ground::Ground;

/// A revision that makes a table with a key and takes it away.
pub fn table(parent: &str, name: &str) -> String {
    format!(
        "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {name} (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE {name};\n"
    )
}

/// `a1 <- b1 <- c1 <- d1`, all drafts.
pub fn chain(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    for (id, parent) in [("a1", "base"), ("b1", "a1"), ("c1", "b1"), ("d1", "c1")] {
        project.migration(id, &table(parent, &format!("t_{id}")));
    }
    project
}

/// A project whose first revision, `a1`, is applied: a table `t` with one row.
pub fn with_a_row(ground: &dyn Ground) -> Project {
    let project = Project::on(ground);
    project.migration(
        "a1",
        "-- migrate:parent base\n-- migrate:up\nCREATE TABLE t (x INTEGER);\nINSERT INTO t VALUES (1);\n\
         -- migrate:down\nDROP TABLE t;\n",
    );
    project.run(&["upgrade"]).done();
    project
}
