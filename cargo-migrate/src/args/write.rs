//! The commands that write: `revision`, `edit`, `merge`, `delete`.

use std::path::PathBuf;

use clap::Args;

use super::DownFrom;

/// `revision`: write a new migration.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate revision -m \"add users\"
  cargo migrate revision --autogenerate -m \"add priority\"
  cargo migrate revision -m \"index mail\" --edit
  cargo migrate revision -m \"start billing\" --head base --branch-label billing")]
pub struct RevisionArgs {
    /// Say what the migration does; its file is named after it
    #[arg(short, long, value_name = "TEXT", required_unless_present = "rev_id")]
    pub message: Option<String>,
    /// Follow this migration instead of the head; repeat to follow several
    #[arg(long, value_name = "REV")]
    pub head: Vec<String>,
    /// Allow a migration that is not a head to be followed
    #[arg(long)]
    pub splice: bool,
    /// Give the branch a label; repeat for several
    #[arg(long, value_name = "LABEL")]
    pub branch_label: Vec<String>,
    /// Use this id instead of a new one
    #[arg(long, value_name = "ID")]
    pub rev_id: Option<String>,
    /// Require another migration to be applied first; repeat for several
    #[arg(long, value_name = "REV")]
    pub depends_on: Vec<String>,
    /// Write the file into this folder
    #[arg(long, value_name = "DIR")]
    pub version_path: Option<PathBuf>,
    /// Print the file instead of writing it
    #[arg(long, conflicts_with = "edit")]
    pub sql: bool,
    /// Open the file in the editor
    #[arg(long)]
    pub edit: bool,
    /// Write what leads from the migrations' schema to the models', and prove it
    #[arg(long, alias = "auto")]
    pub autogenerate: bool,
    /// The rules of what is written by itself.
    #[command(flatten)]
    pub generated: GeneratedArgs,
}

/// What a person decides about a migration that is written by itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "With --autogenerate")]
pub struct GeneratedArgs {
    /// Take this column for renamed, with its values; repeat for several
    #[arg(long, value_name = "T.A=B", requires = "autogenerate")]
    pub rename: Vec<String>,
    /// Take this table for renamed, with its rows; repeat for several
    #[arg(long, value_name = "A=B", requires = "autogenerate")]
    pub rename_table: Vec<String>,
    /// Take nothing else for renamed
    #[arg(long, requires = "autogenerate")]
    pub no_rename: bool,
    /// Give rows that are there this value in a new column; repeat for several
    #[arg(long, value_name = "T.C=SQL", requires = "autogenerate")]
    pub fill: Vec<String>,
    /// Let the order of columns count
    #[arg(long, requires = "autogenerate")]
    pub column_order: bool,
    /// Write what was changed in the database by hand, and record it as applied there
    #[arg(long, requires = "autogenerate", conflicts_with_all = ["sql", "edit"])]
    pub capture: bool,
    /// Do not ask before a protected database is recorded to have it
    #[arg(long, requires = "capture")]
    pub yes: bool,
}

/// `edit`: open a migration in the editor.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate edit head
  EDITOR='code --wait' cargo migrate edit add_users")]
pub struct EditArgs {
    /// The migration to open
    #[arg(value_name = "REV", allow_negative_numbers = true, value_parser = super::target)]
    pub revision: String,
}

/// `merge`: join branches with a merge migration.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate merge
  cargo migrate merge heads -m \"join billing\"
  cargo migrate merge 3f2a 91bc")]
pub struct MergeArgs {
    /// The migrations to join; without any, all heads
    #[arg(value_name = "REV")]
    pub revisions: Vec<String>,
    /// Say what is joined; its file is named after it
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Give the branch a label; repeat for several
    #[arg(long, value_name = "LABEL")]
    pub branch_label: Vec<String>,
    /// Use this id instead of a new one
    #[arg(long, value_name = "ID")]
    pub rev_id: Option<String>,
    /// Allow migrations that are not heads to be joined
    #[arg(long)]
    pub splice: bool,
}

/// `delete`: delete migrations that no database needs.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo migrate delete head
  cargo migrate delete 3f2a:91bc --downgrade
  cargo migrate delete 3f2a --splice")]
pub struct DeleteArgs {
    /// The migrations to delete: REV, or a range A:B with both its ends
    #[arg(value_name = "REV|A:B", required = true)]
    pub revisions: Vec<String>,
    /// Take them back from the chosen database first
    #[arg(long)]
    pub downgrade: bool,
    /// Let the drafts that follow them follow what they followed
    #[arg(long)]
    pub splice: bool,
    /// Take back with the stored statements or the file's
    #[arg(long, value_enum, value_name = "stored|file", hide_possible_values = true, requires = "downgrade")]
    pub down_from: Option<DownFrom>,
    /// Make no backup before that, even if data can be lost
    #[arg(long, requires = "downgrade")]
    pub no_backup: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
