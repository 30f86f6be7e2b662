//! The commands that look: `status`, `current`, `history`, `heads`, `branches`, `show`, `schema`, `diff`.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum as _};

use super::Format;

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
    #[arg(value_name = "REV", allow_negative_numbers = true, value_parser = super::target)]
    pub revision: String,
}

/// `schema`: print a schema.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A SOURCE is one of
  NAME, URL                     a configured database, or another one
  head, REV, base, current      what the migrations make, up to there
  models                        what the structs and the schema file say
  FILE                          a file of CREATE statements, or a SQLite database

Examples:
  cargo migrate schema
  cargo migrate schema users orders
  cargo migrate schema --of models
  cargo migrate schema --of head --format mermaid")]
pub struct SchemaArgs {
    /// Print only these tables, with their indexes and triggers
    #[arg(value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Print the schema of this, instead of that of the database
    #[arg(long, value_name = "SOURCE", allow_hyphen_values = true, value_parser = super::target)]
    pub of: Option<String>,
    /// Print SQL, a document for a program, or a diagram of the tables
    #[arg(long, value_parser = PossibleValuesParser::new(["text", "json", "mermaid"]).try_map(|word| Format::from_str(&word, false)), default_value = "text", hide_possible_values = true, value_name = "text|json|mermaid")]
    pub format: Format,
}

/// `diff`: show what leads from one schema to another.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A and B are each one of
  NAME, URL                     a configured database, or another one
  head, REV, base, current      what the migrations make, up to there
  models                        what the structs and the schema file say
  FILE                          a file of CREATE statements, or a SQLite database

Examples:
  cargo migrate diff                      What an upgrade would change in the database
  cargo migrate diff head models          What the models have that no migration makes yet
  cargo migrate diff head prod            What was changed in a database by hand
  cargo migrate diff prod models --sql    The statements that lead there")]
pub struct DiffArgs {
    /// From this; the chosen database if not given
    #[arg(value_name = "A", allow_negative_numbers = true, value_parser = super::target)]
    pub from: Option<String>,
    /// To this; `head` if not given
    #[arg(value_name = "B", allow_negative_numbers = true, value_parser = super::target)]
    pub to: Option<String>,
    /// End with status 1 where they differ
    #[arg(long)]
    pub exit_code: bool,
    /// Let the order of columns count
    #[arg(long)]
    pub column_order: bool,
    /// Print the statements that lead from A to B
    #[arg(long)]
    pub sql: bool,
    /// Take this column for renamed, with its values; repeat for several
    #[arg(long, value_name = "T.A=B", requires = "sql", help_heading = "With --sql")]
    pub rename: Vec<String>,
    /// Take this table for renamed, with its rows; repeat for several
    #[arg(long, value_name = "A=B", requires = "sql", help_heading = "With --sql")]
    pub rename_table: Vec<String>,
    /// Give rows that are there this value in a new column; repeat for several
    #[arg(long, value_name = "T.C=SQL", requires = "sql", help_heading = "With --sql")]
    pub fill: Vec<String>,
}
