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
//! - [`database`]: what a program hands over, be it a SQLite connection or a server's.
//! - `server`, behind the feature `postgres-url`: a server's URL, and a connection to what it names.
//! - [`event`]: what a run tells its observer.
//! - [`runner`]: the one loop that moves a database.
//! - [`migrations`]: what a program carries, made by [`embed!`].
//! - [`migrator`]: what it does with them when it starts.
//! - `models`, behind the feature `derive`: what the expansion of `derive(Table)` asks for.
//!
//! A run that commits more than once also holds a lock on a file beside the database (`split_lock`).
//!
//! It reads and writes the version table (`_cargo_migrate` unless the configuration names another) and reads
//! migration files through `build-support`. Without the features `rusqlite` and `postgres` it links no database library;
//! with the feature `derive` it has the derive macro `Table`, which links nothing.

#[cfg(feature = "derive")]
#[doc(hidden)]
#[path = "models.rs"]
pub mod __models;
pub mod connection;
pub mod database;
pub mod driver;
pub mod event;
pub mod history;
pub mod migrations;
pub mod migrator;
pub mod plan;
pub mod runner;
#[cfg(feature = "postgres-url")]
pub mod server;
mod split_lock;
pub mod sqlite;
pub mod statement;
#[cfg(feature = "testing")]
mod testing;

pub use build_support;
pub use migrations::{Joined, Migrations};

#[doc(hidden)]
pub use migrate_macros::embed as __embed;

/// Makes a struct a table: `#[derive(Table)]`, behind the feature `derive`.
///
/// ```
/// use migrate_runtime::Table;
///
/// #[derive(Table)]
/// #[table(name = "users")]
/// struct User {
///     #[column(primary_key)]
///     id: i64,
///     name: String,
/// }
///
/// #[derive(Table)]
/// #[table(name = "todos", index(user_id))]
/// struct Todo {
///     #[column(primary_key)]
///     id: i64,
///     #[column(references = User::id, on_delete = "cascade")]
///     user_id: i64,
///     title: Option<String>,
///     #[column(default = false)]
///     done: bool,
/// }
///
/// assert_eq!(Todo::NAME, "todos");
/// assert_eq!(Todo::COLUMNS, ["id", "user_id", "title", "done"]);
/// assert_eq!(
///     Todo::CREATE_TABLE,
///     "CREATE TABLE todos (
///     id INTEGER PRIMARY KEY,
///     user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
///     title TEXT,
///     done INTEGER NOT NULL DEFAULT 0
/// )"
/// );
/// assert_eq!(Todo::CREATE_INDEXES, ["CREATE INDEX todos_user_id ON todos (user_id)"]);
/// ```
///
/// The struct gets the constants `NAME`, `COLUMNS`, `CREATE_TABLE` and `CREATE_INDEXES` for SQLite,
/// `CREATE_TABLE_POSTGRES` and `CREATE_INDEXES_POSTGRES`, as visible as it is itself. No statement ends in a semicolon.
/// A field whose type no column has, and a word that an attribute does not know, is an error at its place. The guide
/// (`docs/models.md`) lists the attributes and the types.
///
/// The constants ask for this crate as `::migrate_runtime`. Under another name it is told them:
/// `#[table(crate = other_name)]`.
#[cfg(feature = "derive")]
pub use migrate_macros::Table;

/// Embeds a folder of migrations in the program, and checks it while the program is compiled.
///
/// ```ignore
/// static MIGRATIONS: Migrations = migrate_runtime::embed!("migrations");
/// ```
///
/// The path starts at the package's root; without one it is `migrations`. An applied revision that was edited or
/// removed since is an error at the argument; so is a mistake in one of the files. The crate is compiled anew when a
/// migration or the lock changes, and so when `cargo migrate revision` adds one; no build script is needed.
///
/// Drafts go along in builds with debug assertions and are refused in others, unless `allow_drafts` stands behind the
/// path or the variable `CARGO_MIGRATE_ALLOW_DRAFTS` is `1`. In a packaged crate they are refused in every build.
///
/// A file that is dropped into the folder by hand is seen when the lock or another migration changes next; `cargo
/// migrate lock` changes the lock.
#[macro_export]
macro_rules! embed {
    ($($arguments:tt)*) => {
        $crate::__embed!($crate, $($arguments)*)
    };
}
