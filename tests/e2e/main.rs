//! End to end: the built binary, real files, real SQLite databases.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

/// Pages that are run on SQLite here, and on a server by the test target beside this one.
macro_rules! pages {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            $(#[$attribute])*
            fn $name() {
                super::$name(&crate::pages::ground::Sqlite);
            })*
        }
    };
}

mod autogenerate_guide;
mod autogenerating;
mod checking;
mod checking_merges;
mod comparing;
mod database_facts;
mod database_file;
mod deriving;
mod dialects;
mod embedding;
mod error_codes;
mod exit_statuses;
mod faults;
mod field_threads;
mod foreign;
mod generated_migrations;
mod guarding;
mod hard_changes;
mod hard_objects;
mod hard_renames;
mod hard_versions;
mod harness;
mod hostile_databases;
mod hostile_files;
mod keeping;
mod keeping_faults;
mod kept_rows;
mod layering;
mod offending_rows;
#[path = "../pages/mod.rs"]
mod pages;
mod preview;
#[path = "../random_schema/mod.rs"]
mod random_schema;
mod random_schemas;
mod refusals;
mod rehearsing;
mod rehearsing_safely;
mod scenarios;
mod shop;
mod tenants;
mod trial_commands;
mod trial_runs;
mod two_schemas;
mod workspaces;
mod writing;
