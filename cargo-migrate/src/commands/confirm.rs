//! Asking a person before something that is not to happen by mistake. All commands ask here.

use build_support::problem::{Code, Problem};

use crate::app::App;
use crate::failure::Result;
use crate::live;
use crate::project::{Database, Project};
use crate::report::many;

/// Nobody has agreed.
pub const NOT_CONFIRMED: Code = Code("not-confirmed");

/// Asks a question unless `yes` was said; gives whether somebody was asked. `show` tells what it is about, `refusal`
/// makes the problem where nobody agrees.
pub(super) fn ask(
    app: App<'_>,
    yes: bool,
    question: &str,
    show: impl FnOnce(),
    refusal: impl Fn(&str) -> Problem,
) -> Result<bool> {
    asked(app, yes, show, refusal, || app.shell.confirm(question).unwrap_or(false))
}

fn asked(
    app: App<'_>,
    yes: bool,
    show: impl FnOnce(),
    refusal: impl Fn(&str) -> Problem,
    agreed: impl FnOnce() -> bool,
) -> Result<bool> {
    if yes {
        return Ok(false);
    }
    if !app.context.interactive() {
        return Err(refusal("nobody can be asked here").into());
    }
    show();
    if agreed() { Ok(true) } else { Err(refusal("nobody agreed").into()) }
}

/// Asks before a protected database is written, whose name has to be typed; gives whether somebody was asked. `help` is
/// the way out where nobody agrees.
pub(super) fn protected(
    app: App<'_>,
    project: &Project,
    database: &Database,
    yes: bool,
    help: &str,
    show: impl FnOnce(),
) -> Result<bool> {
    let word = database.name.as_deref().unwrap_or("yes");
    let question = format!("this will write to {}: type `{word}` to go on:", live::shown(project, database));
    let refusal = |why: &str| {
        Problem::new(NOT_CONFIRMED, format!("`{}` is protected, and {why}", database.lock_name())).help(help)
    };
    let typed = || app.shell.ask(&question).is_ok_and(|answer| answer == word);
    asked(app, yes || !database.protected, show, refusal, typed)
}

/// Asks once before protected databases among many are written; gives whether somebody was asked. `protected` are those,
/// of which there is at least one, as people are shown them.
pub(super) fn protected_among(
    app: App<'_>,
    protected: &[&Database],
    count: usize,
    yes: bool,
    help: &str,
    show: impl FnOnce(),
) -> Result<bool> {
    let names: Vec<String> = protected.iter().map(|database| format!("`{database}`")).collect();
    let word = match protected {
        [only] => only.name.as_deref().unwrap_or("yes"),
        _ => "yes",
    };
    let refusal = |why: &str| {
        let are = if names.len() == 1 { "is" } else { "are" };
        Problem::new(NOT_CONFIRMED, format!("{} {are} protected, and {why}", names.join(", "))).help(help)
    };
    let question = format!("this will write to {}: type `{word}` to go on:", many(count, "database"));
    asked(app, yes, show, refusal, || app.shell.ask(&question).is_ok_and(|answer| answer == word))
}
