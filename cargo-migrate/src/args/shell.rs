//! The commands for the shell: `completions`, `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `completions`: print completions for a shell.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate completions fish > ~/.config/fish/completions/cargo-migrate.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `man`: print the manual page.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write a page for every command into this folder instead
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
