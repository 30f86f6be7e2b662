//! The command line: what may be typed and what it is read into.
//!
//! Nothing here decides anything; a command gets its `Args` struct and the global flags as they were typed.

mod each;
mod keep;
mod look;
mod run;
mod shell;
mod start;
mod trust;
mod write;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub use each::EachArgs;
pub use keep::{BackupArgs, BackupsArgs, RestoreArgs};
pub use look::{BranchesArgs, CurrentArgs, DiffArgs, HeadsArgs, HistoryArgs, SchemaArgs, ShowArgs, StatusArgs};
pub use run::{DownFrom, DowngradeArgs, EnsureVersionArgs, ResetArgs, SafetyArgs, StampArgs, SyncArgs, UpgradeArgs};
pub use shell::{CompletionsArgs, ManArgs};
pub use start::{InitArgs, Template};
pub use trust::{CheckArgs, DialectArg, LockArgs, RepairArgs, SealArgs, TestArgs, VerifyArgs};
pub use write::{DeleteArgs, EditArgs, GeneratedArgs, MergeArgs, RevisionArgs};

/// The colours of cargo's own help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::BrightRed.on_default().bold())
    .valid(AnsiColor::BrightCyan.on_default().bold())
    .invalid(AnsiColor::BrightYellow.on_default().bold());

const AFTER_HELP: &str = "\
Examples:
  cargo migrate init                        Set up a package for migrations
  cargo migrate revision -m \"add users\"     Write the next migration
  cargo migrate upgrade                     Apply what is pending";

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo-migrate",
    bin_name = "cargo migrate",
    version,
    about = "Write, apply and take back database migrations",
    after_help = AFTER_HELP,
    styles = STYLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Cli {
    /// The flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct GlobalArgs {
    /// Use this Cargo.toml
    #[arg(long, global = true, value_name = "PATH", display_order = 900)]
    pub manifest_path: Option<PathBuf>,
    /// Work on this package of the workspace: a name, NAME@VERSION or a glob; may be repeated
    #[arg(short, long, global = true, value_name = "SPEC", display_order = 901)]
    pub package: Vec<String>,
    /// Work on all packages of the workspace that have migrations
    #[arg(long, global = true, display_order = 902)]
    pub workspace: bool,
    /// Leave this package out of --workspace; may be repeated
    #[arg(long, global = true, value_name = "SPEC", display_order = 903)]
    pub exclude: Vec<String>,
    /// Use this database: a configured name, or a URL
    #[arg(short, long, global = true, value_name = "NAME|URL", display_order = 904)]
    pub database: Option<String>,
    /// Use this folder of migrations
    #[arg(long, global = true, value_name = "DIR", display_order = 905)]
    pub migrations: Option<PathBuf>,
    /// Keep the history under this name in the version table
    #[arg(long, global = true, value_name = "KEY", display_order = 906)]
    pub name: Option<String>,
    /// Print for a person or for a program
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, hide_possible_values = true, value_name = "text|json", display_order = 907)]
    pub format: Format,
    /// Say nothing but warnings, errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 908)]
    pub quiet: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 909)]
    pub verbose: u8,
    /// Colour the output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, hide_possible_values = true, value_name = "auto|always|never", display_order = 910)]
    pub color: Color,
    /// Wait this long for a locked database
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, display_order = 911)]
    pub wait: Option<Duration>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for a person.
    #[default]
    Text,
    /// One JSON document for a program.
    Json,
    /// A diagram, which `schema` alone draws.
    #[value(hide = true)]
    Mermaid,
    /// The XML of JUnit, which `test` alone writes.
    #[value(hide = true)]
    Junit,
}

/// When the output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, and as `NO_COLOR` and `CLICOLOR_FORCE` say.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do; in the order of the help: start, write, run, look, trust, keep, shell.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Set up a package for migrations
    #[command(display_order = 100)]
    Init(InitArgs),

    /// Write a new migration
    #[command(display_order = 200, visible_alias = "new")]
    Revision(RevisionArgs),
    /// Open a migration in the editor
    #[command(display_order = 201)]
    Edit(EditArgs),
    /// Join branches with a merge migration
    #[command(display_order = 202)]
    Merge(MergeArgs),
    /// Delete migrations that no database needs
    #[command(display_order = 203)]
    Delete(DeleteArgs),

    /// Apply pending migrations
    #[command(display_order = 300, visible_alias = "up")]
    Upgrade(UpgradeArgs),
    /// Take applied migrations back
    #[command(display_order = 301, visible_alias = "down")]
    Downgrade(DowngradeArgs),
    /// Make the database follow this checkout, after a change of branches
    #[command(display_order = 302)]
    Sync(SyncArgs),
    /// Record migrations as applied without running them
    #[command(display_order = 302)]
    Stamp(StampArgs),
    /// Create the version table and nothing else
    #[command(display_order = 303)]
    EnsureVersion(EnsureVersionArgs),
    /// Empty a scratch database and apply everything again
    #[command(display_order = 304)]
    Reset(ResetArgs),

    /// Compare the files with the database
    #[command(display_order = 400)]
    Status(StatusArgs),
    /// Show what the database is at
    #[command(display_order = 401)]
    Current(CurrentArgs),
    /// List the migrations, the newest first
    #[command(display_order = 402)]
    History(HistoryArgs),
    /// List the migrations that nothing follows
    #[command(display_order = 403)]
    Heads(HeadsArgs),
    /// List the migrations that several follow
    #[command(display_order = 404)]
    Branches(BranchesArgs),
    /// Show a migration
    #[command(display_order = 405)]
    Show(ShowArgs),
    /// Print the schema of the database, the migrations or the models
    #[command(display_order = 406)]
    Schema(SchemaArgs),
    /// Show what leads from one schema to another
    #[command(display_order = 407)]
    Diff(DiffArgs),

    /// Fail where files, locks and database disagree, now or after a merge
    #[command(display_order = 499)]
    Check(CheckArgs),
    /// Rehearse what is pending on a copy of the database
    #[command(display_order = 498)]
    Test(TestArgs),
    /// Check the database against its history
    #[command(display_order = 500)]
    Verify(VerifyArgs),
    /// Forbid changes to migrations from now on
    #[command(display_order = 501)]
    Seal(SealArgs),
    /// Write migrate.lock from the files
    #[command(display_order = 502)]
    Lock(LockArgs),
    /// Accept changes of comments, or settle what was interrupted
    #[command(display_order = 503)]
    Repair(RepairArgs),

    /// Keep a copy of the database as it is now
    #[command(display_order = 550)]
    Backup(BackupArgs),
    /// List the backups
    #[command(display_order = 551)]
    Backups(BackupsArgs),
    /// Put a backup in the place of what the database has
    #[command(display_order = 552)]
    Restore(RestoreArgs),

    /// Print completions for a shell
    #[command(display_order = 600)]
    Completions(CompletionsArgs),
    /// Print the manual page
    #[command(display_order = 601)]
    Man(ManArgs),
}

/// Reads a command line, the program's name first: `cargo-migrate …`, or `cargo-migrate migrate …` as cargo
/// runs it for `cargo migrate …`.
///
/// # Errors
/// When the line is not understood, and for `--help` and `--version`, whose text the error carries.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| OsString::from("cargo-migrate"));
    let first = args.next().filter(|first| first != OsStr::new("migrate"));
    let line: Vec<OsString> = std::iter::once(program).chain(first).chain(args).collect();
    let mut matches = command().color(colors(&line)).try_get_matches_from(line)?;
    // Before the command and behind it: `cargo migrate -p shop upgrade -p queue` is about both.
    let added = |id: &str| -> Vec<String> {
        let levels = [Some(&matches), matches.subcommand().map(|(_, matches)| matches)];
        levels.into_iter().flatten().flat_map(|it| it.get_many::<String>(id).into_iter().flatten()).cloned().collect()
    };
    let (package, exclude) = (added("package"), added("exclude"));
    let mut cli = Cli::from_arg_matches_mut(&mut matches)?;
    cli.global.package = package;
    cli.global.exclude = exclude;
    Ok(cli)
}

/// The definition that lines are read with. Of a global flag that stands in both places clap keeps one, so those that
/// add up are flags of the program and of each command instead.
fn command() -> clap::Command {
    let adds_up = |arg: &clap::Arg| matches!(arg.get_id().as_str(), "package" | "exclude");
    let command = Cli::command();
    let added: Vec<_> =
        command.get_arguments().filter(|arg| adds_up(arg)).map(|arg| arg.clone().global(false)).collect();
    command
        .mut_args(|arg| if adds_up(&arg) { arg.global(false) } else { arg })
        .mut_subcommands(|command| command.args(&added))
}

/// What `--color` says, found before the line is read: an error in the line has a colour too.
fn colors(line: &[OsString]) -> clap::ColorChoice {
    let word = line.iter().enumerate().find_map(|(at, argument)| match argument.to_str()? {
        "--color" => line.get(at + 1)?.to_str(),
        argument => argument.strip_prefix("--color="),
    });
    match word {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

/// A target or a migration. Those may start with a hyphen only as `-N`, so that a mistyped flag is not taken for one.
fn target(text: &str) -> Result<String, String> {
    match text.strip_prefix('-') {
        Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => {
            Err("no such option, and not a target".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// A duration in seconds, with a fraction where one is typed.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a length of time".to_owned())
}

#[cfg(test)]
mod tests;
