//! All that can be known of migrations from files alone: no database library, no C.
//!
//! The ground floor of cargo-migrate. The command, the runtime, the macros and the build-script guard read
//! migrations through this crate, so that they cannot disagree about a folder.
//!
//! In reading order:
//!
//! - [`problem`]: what went wrong, as a value.
//! - [`revision`]: ids and names.
//! - [`token`]: SQL as tokens, for sections, hashes and statements.
//! - [`checksum`]: checksum, statements hash, seal.
//! - [`migration`]: a file's header and sections.
//! - [`graph`]: which revision follows which.
//! - [`target`]: `head`, `ID-1`, `LABEL@head`.
//! - [`lock`]: `migrate.lock` and `migrate.local` as text.
//! - [`directory`]: the one module that reads and writes the migrations folder.
//! - [`verify`]: the files against the locks.
//! - [`build_time`]: what a build asks of a folder.
//! - [`sqlite_file`]: the version table of a local SQLite database, read from the file itself.
//! - [`guard`](mod@guard): the build-script guard.
//! - `models`, behind the feature of that name: `#[derive(Table)]` structs as tables.
//!
//! It reads `migrations/*.sql`, `migrations/migrate.lock` and `migrations/migrate.local`, writes these three, and reads a
//! database that it is given. It does not ask the clock; of the environment the guard alone reads what cargo tells a
//! build script (`CARGO_MANIFEST_DIR`, `CARGO_PKG_NAME`, `CARGO_CFG_DEBUG_ASSERTIONS`) and
//! `CARGO_MIGRATE_ALLOW_DRAFTS`.

pub mod build_time;
pub mod checksum;
pub mod directory;
pub mod graph;
pub mod guard;
pub mod lock;
pub mod migration;
#[cfg(feature = "models")]
pub mod models;
pub mod problem;
pub mod revision;
pub mod sqlite_file;
pub mod target;
pub mod token;
pub mod verify;

pub use guard::guard;
