//! The commands, a thin module for each group of verbs.

pub mod look;
pub mod preview;
pub mod record;
pub mod run;
pub mod trust;
pub mod write;

use crate::app::App;
use crate::args::Command;
use crate::failure::Result;

/// Carries a command out.
///
/// # Errors
/// Whatever stops it.
pub fn execute(app: App<'_>, command: &Command) -> Result<()> {
    match command {
        Command::Init(args) => write::init(app, args),
        Command::Revision(args) => write::revision(app, args),
        Command::Delete(args) => write::delete(app, args),
        Command::Upgrade(args) => run::upgrade(app, args),
        Command::Downgrade(args) => run::downgrade(app, args),
        Command::Stamp(args) => record::stamp(app, args),
        Command::EnsureVersion(args) => record::ensure_version(app, args),
        Command::Status(_) => look::status(app),
        Command::Current(args) => look::current(app, args),
        Command::History(args) => look::history(app, args),
        Command::Heads(_) => look::heads(app),
        Command::Branches(_) => look::branches(app),
        Command::Show(args) => look::show(app, args),
        Command::Schema(args) => look::schema(app, args),
        Command::Repair(args) => record::repair(app, args),
        Command::Verify(_) => trust::verify(app),
        Command::Lock(_) => trust::lock(app),
        Command::Completions(args) => look::completions(app, args),
        Command::Man(args) => look::man(app, args),
    }
}
