//! Plans and runs database migrations: what cargo-migrate and an application share.
//!
//! In reading order:
//!
//! - [`history`]: what a database says of itself.
//! - [`plan`]: graph, history and target in, a plan out; nothing is opened.
//! - [`statement`]: a section's text as statements.
//! - [`connection`]: the little that is asked of a database library.
//! - [`sqlite`]: the version table and the foreign keys of a SQLite database.
//! - [`driver`]: what the runner asks of a database.
//! - [`event`]: what a run tells its observer.
//! - [`runner`]: the one loop that moves a database.
//!
//! A run that commits more than once also holds a lock on a file beside the database (`split_lock`).
//!
//! It reads and writes the version table (`_cargo_migrate` unless the configuration names another) and reads
//! migration files through `build-support`. Without the feature `rusqlite` it links no database library.

pub mod connection;
pub mod driver;
pub mod event;
pub mod history;
pub mod plan;
pub mod runner;
mod split_lock;
pub mod sqlite;
pub mod statement;

pub use build_support;
