//! `completions` and `man`: what a shell and `man` want to know of the command line.

use build_support::problem::{Code, Problem};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::app::App;
use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::failure::{Failure, Result};

/// `cargo migrate completions`
///
/// The generated script completes `cargo-migrate`. People type `cargo migrate`: zsh's completion of cargo looks for the
/// function `_cargo-migrate` by itself, bash and fish are told.
pub(super) fn completions(app: App<'_>, args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    clap_complete::generate(args.shell, &mut command, "cargo-migrate", &mut script);
    let script = String::from_utf8_lossy(&script);
    let (script, more) = match args.shell {
        Shell::Bash => (with_one_spelling(&script, &command), include_str!("completions/cargo.bash")),
        Shell::Fish => (script.into_owned(), include_str!("completions/cargo.fish")),
        _ => (script.into_owned(), ""),
    };
    app.shell.raw(&format!("{script}{more}"));
    Ok(())
}

/// The bash script with one name for each command. What is generated writes the hyphens of a name one way where it
/// finds out which command is typed, and another way where it says what that command takes.
fn with_one_spelling(script: &str, command: &clap::Command) -> String {
    let names = command.get_subcommands().map(clap::Command::get_name).chain(["cargo-migrate"]);
    names.filter(|name| name.contains('-')).fold(script.to_owned(), |script, name| {
        script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
    })
}

/// `cargo migrate man`
pub(super) fn man(app: App<'_>, args: &ManArgs) -> Result<()> {
    let failed = |error: std::io::Error| {
        Failure::from(Problem::new(Code("file-access"), format!("the manual cannot be written: {error}")))
    };
    match &args.out {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(failed)?;
            clap_mangen::generate_to(Cli::command().name("cargo-migrate"), folder).map_err(failed)?;
            app.shell.status("Written", format!("the manual pages in {}", folder.display()));
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
            app.shell.raw(&String::from_utf8_lossy(&page));
        }
    }
    Ok(())
}
