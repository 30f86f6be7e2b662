//! The commands, a thin module for each group of verbs.

pub mod backup;
pub mod capture;
pub mod check;
pub mod completions;
pub mod confirm;
pub mod delete;
pub mod diff;
pub mod drawing;
pub mod edit;
pub mod generate;
pub mod ground;
pub mod init;
pub mod lanes;
pub mod look;
pub mod merge;
pub mod outcome;
pub mod past;
pub mod preview;
pub mod record;
pub mod rehearse;
pub mod repair;
pub mod reset;
pub mod restore;
pub mod revision;
pub mod run;
pub mod safeguard;
pub mod schema;
pub mod scratch;
pub mod seal;
pub mod several;
pub mod splice;
pub mod status;
pub mod sync;
pub mod tenants;
pub mod trust;

use crate::app::{App, Purpose};
use crate::args::{Command, Format};
use crate::failure::{Failure, Result};

/// Carries a command out.
///
/// # Errors
/// Whatever stops it.
pub fn execute(app: App<'_>, command: &Command) -> Result<()> {
    let misused = match app.global.format {
        Format::Mermaid if !matches!(command, Command::Schema(_)) => "only `cargo migrate schema` draws a diagram",
        Format::Junit if !matches!(command, Command::Test(_)) => "only `cargo migrate test` writes the XML of JUnit",
        Format::Text | Format::Json | Format::Mermaid | Format::Junit => "",
    };
    if !misused.is_empty() {
        return Err(Failure::misused(misused).help("`--format text` or `--format json`"));
    }
    match command {
        Command::Init(args) => init::init(app, args),
        Command::Revision(args) => revision::revision(app, args),
        Command::Edit(args) => edit::edit(app, args),
        Command::Merge(args) => merge::merge(app, args),
        Command::Delete(args) => delete::delete(app, args),
        Command::Upgrade(args) => run::upgrade(app, args),
        Command::Downgrade(args) => run::downgrade(app, args),
        Command::Sync(args) => sync::sync(app, args),
        Command::Stamp(args) => record::stamp(app, args),
        Command::EnsureVersion(args) => record::ensure_version(app, args),
        Command::Reset(args) => reset::reset(app, args),
        Command::Status(_) => status::status(app),
        Command::Current(args) => look::current(app, args),
        Command::History(args) => look::history(app, args),
        Command::Heads(_) => look::heads(app),
        Command::Branches(_) => look::branches(app),
        Command::Show(args) => look::show(app, args),
        Command::Schema(args) => schema::schema(app, args),
        Command::Diff(args) => diff::diff(app, args),
        Command::Repair(args) => repair::repair(app, args),
        Command::Check(args) => check::check(app, args),
        Command::Test(args) => rehearse::test(app, args),
        Command::Verify(_) => several::each_package(app, "verify", Purpose::Look, trust::verify),
        Command::Seal(args) => {
            // A revision is one package's.
            if !args.revisions.is_empty() {
                return seal::seal(app, args, &app.open()?);
            }
            several::each_package(app, "seal", Purpose::Change, |app, opened| seal::seal(app, args, opened))
        }
        Command::Lock(args) => {
            several::each_project(app, "lock", Purpose::Change, |app, project, _| trust::lock(app, args, project))
        }
        Command::Backup(args) => backup::backup(app, args),
        Command::Backups(_) => several::each_package(app, "backups", Purpose::Look, backup::backups),
        Command::Restore(args) => restore::restore(app, args),
        Command::Completions(args) => completions::completions(app, args),
        Command::Man(args) => completions::man(app, args),
    }
}
