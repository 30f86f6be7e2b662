//! The `cargo migrate` subcommand as a library, so that its parts can be tested without a process.
//!
//! In reading order:
//!
//! - [`context`]: time, environment, working directory and terminal, as one argument.
//! - [`args`]: the command line.
//! - [`project`]: the configuration: packages, databases, settings.
//! - [`app`]: what every command starts from.
//! - [`live`]: databases as they are.
//! - [`pg_tools`]: PostgreSQL's own programs.
//! - [`copying`], [`backup`]: copies of databases, and those that are kept.
//! - [`each`]: the databases that a pattern means.
//! - `words`: a statement for a server as its words.
//! - [`footprint`]: what statements touch.
//! - [`against`]: the tree as it would be after a merge.
//! - [`schema`], [`scratch`], [`introspect`]: a database's schema as a value, and how it is read.
//! - [`source`]: where a schema comes from.
//! - [`diff`], [`renames`], [`ddl`], [`proof`], [`autogenerate`]: from two schemas to a migration that has been proved.
//! - [`fingerprint`], [`rehearsal`], [`risk`]: what tables hold, what a revision does to a copy, what a run can lose.
//! - [`side_by_side`]: work on many things, some at a time.
//! - [`commands`]: the verbs.
//! - [`report`]: what a person and a program get to see.
//! - [`failure`], [`exit`]: how a command ends when it does not end well.
//!
//! It reads `Cargo.toml` through `cargo metadata`, `.env`, the migrations folder, the chosen database and, where it is
//! asked to, what git has of the folder; it writes
//! migration files, the two lock files, the chosen database and copies of it below `.migrate`, and `init` writes `Cargo.toml`, `.gitignore` and
//! `.gitattributes`.

pub mod against;
pub mod app;
pub mod args;
pub mod autogenerate;
pub mod backup;
pub mod commands;
pub mod context;
pub mod copying;
pub mod ddl;
pub mod diff;
pub mod drift;
pub mod each;
pub mod exit;
pub mod failure;
pub mod fingerprint;
pub mod footprint;
pub mod introspect;
pub mod live;
pub mod pg_tools;
pub mod project;
pub mod proof;
pub mod rehearsal;
pub mod renames;
pub mod report;
pub mod risk;
pub mod schema;
pub mod scratch;
pub mod side_by_side;
pub mod source;
mod words;

use std::ffi::OsString;

use crate::app::App;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::rehearsal::Interrupts;
use crate::report::shell::Shell;
use crate::report::suggest::Chosen;

/// Runs the command line; gives the status that the process ends with.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match args::parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are "errors" of clap's that end well.
            let misused = error.use_stderr();
            let _ = error.print();
            return if misused { Exit::Misused } else { Exit::Done };
        }
    };
    let shell = Shell::new(cli.global.color, cli.global.quiet, cli.global.verbose);
    let context = Context::of_process();
    let shell = match &context {
        Ok(context) => shell.choosing(Chosen::of(&cli.global, context)),
        Err(_) => shell,
    };
    let result = context
        .map_err(|error| {
            let message = format!("the working directory cannot be read: {error}");
            Failure::from(build_support::problem::Problem::new(build_support::problem::Code("file-access"), message))
        })
        .and_then(|context| {
            let interrupts = Interrupts::of_process();
            let app = App { context: &context, shell: &shell, global: &cli.global, interrupts: &interrupts };
            commands::execute(app, &cli.command)
        });
    match result.and_then(|()| written(&shell)) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            if cli.global.format == args::Format::Json && !shell.answered() {
                let problems: Vec<_> = failure.problems().iter().map(|problem| shell.json_problem(problem)).collect();
                shell.json(&serde_json::json!({ "problems": problems }));
            }
            for problem in failure.problems() {
                shell.problem(problem);
            }
            failure.exit()
        }
    }
}

/// Results that did not arrive are a failure, but for a reader that has seen enough and left (`| head -1`).
fn written(shell: &Shell) -> failure::Result<()> {
    match shell.output_failed() {
        None | Some(std::io::ErrorKind::BrokenPipe) => Ok(()),
        Some(kind) => Err(build_support::problem::Problem::new(
            build_support::problem::Code("output-failed"),
            format!("the result could not be written to standard output: {kind}"),
        )
        .note("what the command was to do apart from that is done")
        .help("see where its output goes, and run it again")
        .into()),
    }
}
