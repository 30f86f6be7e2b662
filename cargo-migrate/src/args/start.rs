//! The command that starts: `init`.

use clap::{Args, ValueEnum};

/// `init`: set up a package for migrations.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate init
  cargo migrate init -p server --migrations db/migrations")]
pub struct InitArgs {
    /// Start from this template
    #[arg(long, value_enum, default_value_t = Template::Sqlite, value_name = "NAME")]
    pub template: Template,
}

/// What `init` starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A package with a SQLite database.
    #[default]
    Sqlite,
}
