//! The commands that run: `upgrade`, `downgrade`, `stamp`, `ensure-version`, `reset`.

use clap::{Args, ValueEnum};

use super::EachArgs;

/// Where the statements that take a migration back are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DownFrom {
    /// Those that the database stored when the migration was applied.
    Stored,
    /// Those in the file now.
    File,
}

/// What is said about a backup before a run; the configuration decides where nothing is said.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct SafetyArgs {
    /// Make a backup first, whatever the configuration says
    #[arg(long, conflicts_with_all = ["no_backup", "dry_run"])]
    pub backup: bool,
    /// Make no backup, even if data can be lost
    #[arg(long)]
    pub no_backup: bool,
}

/// `upgrade`: apply pending migrations.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate upgrade
  cargo migrate upgrade +1 --dry-run
  cargo migrate upgrade --each 'tenants/*.db' --canary 3")]
pub struct UpgradeArgs {
    /// How far to go: a migration, `head`, `heads`, +N; with --sql also A:B
    #[arg(value_name = "TARGET", default_value = "head", allow_negative_numbers = true, value_parser = super::target)]
    pub target: String,
    /// Print the SQL that would run, and run nothing
    #[arg(long)]
    pub sql: bool,
    /// Run, check, and roll back
    #[arg(long, conflicts_with = "sql")]
    pub dry_run: bool,
    /// Commit after each migration instead of once at the end
    #[arg(long, conflicts_with = "dry_run")]
    pub per_revision: bool,
    /// Create the database where there is none
    #[arg(long)]
    pub create: bool,
    /// Whether a backup is made first.
    #[command(flatten)]
    pub safety: SafetyArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Many databases instead of one.
    #[command(flatten)]
    pub each: EachArgs,
}

/// `downgrade`: take applied migrations back.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate downgrade -1
  cargo migrate downgrade base --dry-run")]
pub struct DowngradeArgs {
    /// Where to stop: a migration that stays, `base`, -N; with --sql also B:A
    #[arg(value_name = "TARGET", allow_negative_numbers = true, value_parser = super::target)]
    pub target: String,
    /// Print the SQL that would run, and run nothing
    #[arg(long)]
    pub sql: bool,
    /// Run, check, and roll back
    #[arg(long, conflicts_with = "sql")]
    pub dry_run: bool,
    /// Commit after each migration instead of once at the end
    #[arg(long, conflicts_with = "dry_run")]
    pub per_revision: bool,
    /// Take back with the stored statements or the file's
    #[arg(long, value_enum, value_name = "stored|file", hide_possible_values = true)]
    pub down_from: Option<DownFrom>,
    /// Whether a backup is made first.
    #[command(flatten)]
    pub safety: SafetyArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `sync`: make a database follow this checkout.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
After a change of git branches: what is applied and not in this checkout is taken off with the statements
that the database has stored, the newest first, and what is pending is applied. Both are rehearsed on a
copy before. On a protected database the migrations to take off have to be named.

Examples:
  cargo migrate sync
  cargo migrate sync -d prod 3f2a")]
pub struct SyncArgs {
    /// The migrations to take off, where the database is protected: all of them and no others
    #[arg(value_name = "REV")]
    pub revisions: Vec<String>,
    /// Rehearse only, and say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Whether a backup is made first.
    #[command(flatten)]
    pub safety: SafetyArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `stamp`: record migrations as applied without running them.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate stamp head
  cargo migrate stamp base --purge")]
pub struct StampArgs {
    /// The migrations that the database is at
    #[arg(value_name = "REV", required = true)]
    pub revisions: Vec<String>,
    /// Empty the recorded history first
    #[arg(long)]
    pub purge: bool,
    /// Print the SQL that would run, and run nothing
    #[arg(long)]
    pub sql: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `ensure-version`: create the version table and nothing else.
#[derive(Clone, Debug, Args)]
pub struct EnsureVersionArgs {
    /// Print the statements instead of running them
    #[arg(long)]
    pub sql: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `reset`: empty a scratch database and apply everything again.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate reset -d test")]
pub struct ResetArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
