//! The version table as it is read from a SQLite file, beside what SQLite itself reads.

#![allow(clippy::allow_attributes, reason = "one list for a folder of tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "tests ask the world that they run in")]
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not linked")]

#[path = "sqlite_file/harness.rs"]
mod harness;
#[path = "sqlite_file/hostile.rs"]
mod hostile;
#[path = "sqlite_file/rows.rs"]
mod rows;
#[path = "sqlite_file/transactions.rs"]
mod transactions;
#[path = "sqlite_file/writer.rs"]
mod writer;
