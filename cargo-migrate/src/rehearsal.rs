//! A rehearsal: each revision up, down and up again on a copy of the database, and everything compared.
//!
//! What is worked on here is thrown away afterwards; the database that was copied is never written. Where a revision has
//! left the copy otherwise than it should, the ones after it are rehearsed on a new copy that has met it once, so that one
//! fault is not told of many times.

mod compared;
mod copy;
mod interrupts;
pub mod report;
mod site;
mod stage;
mod together;

use std::time::Duration;

use build_support::migration::Directives;
use build_support::problem::{Code, Problem, printable};
use migrate_runtime::plan::{At, IRREVERSIBLE};
use migrate_runtime::runner::breaks_references;

use self::site::Site;
use self::site::file::FileSite;
use self::site::server::ServerSite;
use self::stage::Stage;
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};

pub use self::copy::{Copy, Kept, Start};
pub use self::interrupts::{Guarded, Interrupts, Writing};
pub use self::together::{Planner, together};

/// A revision that a rehearsal finds something wrong with.
pub const NOT_SAFE: Code = Code("not-safe");

/// How one way of a revision went.
#[derive(Clone, Debug)]
pub enum Way {
    /// It went, and took so long.
    Done(Duration),
    /// It was refused; the database stays as it was before it.
    Refused(Vec<Problem>),
    /// It was not tried; why.
    Untried(&'static str),
}

impl Way {
    /// Whether it went.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Why it was refused; nothing where it was not.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        if let Self::Refused(problems) = self { problems } else { &[] }
    }
}

/// What was found of something that should be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is not, and the revision says so in its header.
    Declared,
    /// It was not looked at.
    Untried,
}

/// What a rehearsal found of one revision.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The key of its package.
    pub package: String,
    /// Its id, with its package where there are several.
    pub revision: String,
    /// The way up.
    pub up: Way,
    /// The way down.
    pub down: Way,
    /// The way up a second time.
    pub again: Way,
    /// How many rows the upgrade has inserted, changed or deleted; `None` where that is not known for certain.
    pub rows: Option<u64>,
    /// Whether the downgrade restores the schema.
    pub schema: Verdict,
    /// Whether it restores the rows.
    pub data: Verdict,
    /// Whether each row that refers to another one still finds it, whichever way was gone.
    pub foreign_keys: Verdict,
    /// Whether SQLite finds the file in order after the upgrade; a server is not asked.
    pub integrity: Verdict,
    /// What the run of all revisions at once was refused for, where it stopped at this one.
    pub together: Vec<Problem>,
    /// What is wrong, each thing in a line.
    pub faults: Vec<String>,
    /// What is to be known, and is not wrong.
    pub remarks: Vec<String>,
}

impl Rehearsed {
    fn of(package: &str, revision: String) -> Self {
        let untried = || Way::Untried("not tried");
        Self {
            package: package.to_owned(),
            revision,
            up: untried(),
            down: untried(),
            again: untried(),
            rows: None,
            schema: Verdict::Untried,
            data: Verdict::Untried,
            foreign_keys: Verdict::Untried,
            integrity: Verdict::Untried,
            together: Vec::new(),
            faults: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.faults.is_empty()
    }

    /// All that the ways, and the run of all revisions at once, were refused for.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        [&self.up, &self.down, &self.again].into_iter().flat_map(Way::problems).chain(&self.together)
    }

    /// Notes why a way was refused.
    fn refused(&mut self, what: &str, way: &Way) {
        self.faults.extend(way.problems().iter().map(|problem| {
            let what = format!("{what} is refused: {}", problem.message());
            if problem.code() == IRREVERSIBLE {
                format!("{what}: write its down section, or declare `-- migrate:irreversible` in its header")
            } else {
                what
            }
        }));
    }

    /// The runner refuses what leaves a row without the one that it refers to.
    fn judge_foreign_keys(&mut self) {
        let broken = self.problems().any(breaks_references);
        self.foreign_keys = match (broken, self.up.is_done()) {
            (true, _) => Verdict::No,
            (false, true) => Verdict::Yes,
            (false, false) => Verdict::Untried,
        };
    }
}

/// What a rehearsal leaves: what was found, and the copy.
#[derive(Debug)]
pub struct Rehearsal {
    /// Of each revision that could be tried, in their order.
    pub found: Vec<Rehearsed>,
    copy: Copy,
}

impl Rehearsal {
    /// Leaves the copy as the first revision with a fault has left it, else as the last one has, and says where.
    ///
    /// # Errors
    /// As [`Copy::keep`].
    pub fn keep(self) -> Result<Kept> {
        self.copy.keep()
    }
}

/// Rehearses revisions in this order on a copy on which everything stands that they stand on. It ends at the first one
/// without which the next ones cannot be tried.
///
/// # Errors
/// A database that cannot be copied or read, or a copy that cannot be brought to where the rehearsal starts.
pub fn rehearse(
    app: App<'_>,
    opened: &Opened,
    start: Start<'_>,
    revisions: &[At],
    interrupts: &Interrupts,
    observer: &mut dyn FnMut(usize, &str),
) -> Result<Rehearsal> {
    match start.on_server() {
        None => rehearse_on::<FileSite>(app, opened, (start, interrupts), revisions, observer),
        Some(_) => rehearse_on::<ServerSite>(app, opened, (start, interrupts), revisions, observer),
    }
}

fn rehearse_on<S: Site>(
    app: App<'_>,
    opened: &Opened,
    (start, interrupts): (Start<'_>, &Interrupts),
    revisions: &[At],
    observer: &mut dyn FnMut(usize, &str),
) -> Result<Rehearsal> {
    let packages = opened.packages()?;
    let fresh = |tried: usize| Stage::<S>::at(app, (opened, &packages), (start, interrupts), revisions, tried);
    let mut stage = fresh(0)?;
    let mut found: Vec<Rehearsed> = Vec::new();
    let mut faulty: Option<Copy> = None;
    for (number, at) in revisions.iter().enumerate() {
        let package = packages.all()[at.0];
        observer(number, &opened.named(package.key, packages.id(*at).as_str()));
        let mut rehearsed = stage.rehearse(*at, &|| fresh(number))?;
        let (safe, went_up) = (rehearsed.is_safe(), rehearsed.up.is_done());
        if is_as_new(&rehearsed, &package.graph.migration(at.1).directives) {
            found.push(rehearsed);
            continue;
        }
        let mut next = None;
        if went_up && number + 1 < revisions.len() {
            match fresh(number + 1) {
                Ok(new) => next = Some(new),
                Err(failure) => rehearsed.remarks.push(no_second_copy(&failure)),
            }
        }
        found.push(rehearsed);
        let Some(next) = next else { break };
        let used = std::mem::replace(&mut stage, next).into_copy();
        if !safe && faulty.is_none() {
            faulty = Some(used);
        }
    }
    let copy = faulty.unwrap_or_else(|| stage.into_copy());
    Ok(Rehearsal { found, copy })
}

/// Whether the copy is now as if the revision had gone up once and nothing else.
fn is_as_new(found: &Rehearsed, directives: &Directives) -> bool {
    let same = |verdict| matches!(verdict, Verdict::Yes);
    match (&found.up, &found.down, &found.again) {
        (Way::Done(_), Way::Done(_), Way::Done(_)) => found.is_safe() && same(found.schema) && same(found.data),
        (Way::Done(_), Way::Untried(_), _) => true,
        // What is refused is rolled back, unless it was outside of a transaction.
        (Way::Done(_), Way::Refused(_), _) => !directives.no_transaction,
        _ => false,
    }
}

fn no_second_copy(failure: &Failure) -> String {
    let why: Vec<String> = failure.problems().iter().map(|problem| printable(problem.message())).collect();
    format!("a second copy could not be made: {}", why.join("; "))
}
