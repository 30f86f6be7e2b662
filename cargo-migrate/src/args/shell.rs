//! The commands for the shell: `completions`, `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `completions`: print completions for a shell.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  bash, in ~/.bashrc:            source <(cargo migrate completions bash)
  zsh, in a folder of $fpath:    cargo migrate completions zsh > ~/.zfunc/_cargo-migrate
  fish, in its folder conf.d:    cargo migrate completions fish > cargo-migrate.fish")]
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
