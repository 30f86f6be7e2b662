//! The commands that keep trust: `check`, `verify`, `seal`, `lock`, `repair`.

use build_support::token::Dialect;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::Format;

/// `check`: fail where files, locks and database disagree.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Made for CI: exit status 1 where something is wrong. Migrations that are pending are nothing wrong, and
neither is a database that is not configured or not there. One that has more than this checkout is warned of.

Examples:
  cargo migrate check
  cargo migrate check --against origin/main")]
pub struct CheckArgs {
    /// Judge the files as they would be after a merge with this branch or commit, which git must know
    #[arg(long, value_name = "GITREF")]
    pub against: Option<String>,
}

/// `test`: rehearse what is pending on a copy of the database.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Each migration goes up, down and up again, on a copy that is thrown away.
Schema and rows are compared with what they were; exit status 1 where something
is not safe. The database itself is only read.

Examples:
  cargo migrate test
  cargo migrate test -d prod
  cargo migrate test --all --format junit > rehearsal.xml")]
pub struct TestArgs {
    /// Start from nothing instead of a copy of the database
    #[arg(long)]
    pub empty: bool,
    /// Rehearse the whole history, from nothing
    #[arg(long, conflicts_with = "revision")]
    pub all: bool,
    /// Rehearse this range instead of what is pending: A:B, A: or :B
    #[arg(long, value_name = "A:B", allow_hyphen_values = true, value_parser = super::target)]
    pub revision: Option<String>,
    /// Leave the copy, and say where it is
    #[arg(long)]
    pub keep: bool,
    /// Let the server itself clone the database: fast, but nobody else can be connected to it meanwhile
    #[arg(long, conflicts_with_all = ["empty", "all"])]
    pub template: bool,
    /// Print a table, a document for a program, or the XML of JUnit
    #[arg(long, value_parser = PossibleValuesParser::new(["text", "json", "junit"]).try_map(|word| Format::from_str(&word, false)), default_value = "text", hide_possible_values = true, value_name = "text|json|junit")]
    pub format: Format,
}

/// `verify`: check the database against its history.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {}

/// `seal`: forbid changes to migrations from now on.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate seal
  cargo migrate seal 3f2a --undo")]
pub struct SealArgs {
    /// The migrations to seal, with all before them; without any, all
    #[arg(value_name = "REV")]
    pub revisions: Vec<String>,
    /// Break the seal of these migrations, and of all after them, instead; what was applied to a URL is forgotten too
    #[arg(long, requires = "revisions")]
    pub undo: bool,
    /// Do not ask before a seal is broken
    #[arg(long, requires = "undo")]
    pub yes: bool,
}

/// `lock`: write migrate.lock from the files.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The lock says whose SQL the migrations are in, since the two databases read some texts otherwise: comments within
comments, names in brackets and backquotes.

Examples:
  cargo migrate lock
  cargo migrate lock --dialect postgres")]
pub struct LockArgs {
    /// Write down whose SQL the migrations are in
    #[arg(long, value_enum, value_name = "DATABASE")]
    pub dialect: Option<DialectArg>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Whose SQL migrations are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectArg {
    /// SQLite's
    Sqlite,
    /// PostgreSQL's
    Postgres,
}

impl From<DialectArg> for Dialect {
    fn from(said: DialectArg) -> Self {
        match said {
            DialectArg::Sqlite => Self::Sqlite,
            DialectArg::Postgres => Self::Postgres,
        }
    }
}

/// `repair`: accept changes of comments; or settle an interrupted migration, or a renamed package.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without an option, changes of comments, of down and of verify sections are accepted, in the lock files
and in the chosen database. What an upgrade does cannot be changed so.

Examples:
  cargo migrate repair
  cargo migrate repair --finished 3f2a
  cargo migrate repair --finished queue/3f2a    (a library's)
  cargo migrate repair --rename old-name=new-name")]
pub struct RepairArgs {
    /// Record the interrupted upgrade as applied: all of it is in the database
    #[arg(long, value_name = "REV", group = "settled")]
    pub finished: Option<String>,
    /// Forget the interrupted migration: nothing of it is in the database
    #[arg(long, value_name = "REV", group = "settled")]
    pub not_applied: Option<String>,
    /// Record the interrupted downgrade as never begun: all of it is in the database
    #[arg(long, value_name = "REV", group = "settled")]
    pub still_applied: Option<String>,
    /// Give the rows of a package that was renamed to its new key
    #[arg(long, value_name = "OLD=NEW", group = "settled")]
    pub rename: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
