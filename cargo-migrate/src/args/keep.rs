//! The commands that keep: `backup`, `backups`, `restore`.

use std::path::PathBuf;

use clap::Args;

/// `backup`: keep a copy of the database as it is now.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate backup
  cargo migrate backup -d prod --to /mnt/backups/prod.db")]
pub struct BackupArgs {
    /// Write it to this file, which is not there yet
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// `backups`: list the backups.
#[derive(Clone, Debug, Args)]
pub struct BackupsArgs {}

/// `restore`: put a backup in the place of what the database has.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate restore
  cargo migrate restore 2026-11-23T17
  cargo migrate restore -d prod /mnt/backups/prod.db --yes")]
pub struct RestoreArgs {
    /// The backup: any part of its name that no other has, or a file; the newest if not given
    #[arg(value_name = "BACKUP")]
    pub backup: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Make the database where its server has none of that name
    #[arg(long)]
    pub create: bool,
    /// Take a file that has no version table, as of a database before its first migration
    #[arg(long)]
    pub without_history: bool,
}
