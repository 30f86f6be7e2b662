//! The command that starts: `init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `init`: set up a package for migrations.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate init
  cargo migrate init --with-runtime
  cargo migrate init --template postgres
  cargo migrate init --baseline -d sqlite:app.db
  cargo migrate init -p server --migrations db/migrations")]
pub struct InitArgs {
    /// Start from this template
    #[arg(long, value_enum, default_value_t = Template::Sqlite, value_name = "NAME")]
    pub template: Template,
    /// Add `migrate-runtime` to the dependencies, so that the program can embed its migrations
    #[arg(long)]
    pub with_runtime: bool,
    /// Write the schema of the database that is there as the first revision, and record it as applied
    #[arg(long)]
    pub baseline: bool,
    /// Do not ask before a protected database is recorded to have it
    #[arg(long, requires = "baseline")]
    pub yes: bool,
    /// Take `migrate-runtime` from a checkout of its repository instead of the registry
    #[arg(long, value_name = "DIR", requires = "with_runtime")]
    pub path: Option<PathBuf>,
}

/// What `init` starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A package with a SQLite database.
    #[default]
    Sqlite,
    /// A package with a database on a PostgreSQL server.
    Postgres,
}
