//! The commands that look: `status`, `current`, `history`, `heads`, `branches`, `show`, `schema`.

use clap::Args;

/// `status`: compare the files with the database.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {}

/// `current`: show what the database is at.
#[derive(Clone, Debug, Args)]
pub struct CurrentArgs {
    /// Fail where the database is not at every head
    #[arg(short, long)]
    pub check_heads: bool,
}

/// `history`: list the migrations.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate history --graph
  cargo migrate history -r -3:current
  cargo migrate history -i")]
pub struct HistoryArgs {
    /// List only this range: A:B, A: or :B
    #[arg(short, long, value_name = "A:B", allow_hyphen_values = true, value_parser = super::target)]
    pub rev_range: Option<String>,
    /// Mark what the database is at
    #[arg(short, long)]
    pub indicate_current: bool,
    /// Draw the branches
    #[arg(long)]
    pub graph: bool,
}

/// `heads`: list the migrations that nothing follows.
#[derive(Clone, Debug, Args)]
pub struct HeadsArgs {}

/// `branches`: list the migrations that several follow.
#[derive(Clone, Debug, Args)]
pub struct BranchesArgs {}

/// `show`: show a migration.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The migration to show
    #[arg(value_name = "REV", allow_hyphen_values = true, value_parser = super::target)]
    pub revision: String,
}

/// `schema`: print the schema of the database.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate schema
  cargo migrate schema users orders")]
pub struct SchemaArgs {
    /// Print only these tables
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
}
