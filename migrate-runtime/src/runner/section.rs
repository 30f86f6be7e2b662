//! The text that a step runs: where it comes from, and whether a run may hold it.

use std::ops::Range;
use std::path::PathBuf;

use build_support::checksum::StatementsHash;
use build_support::migration::{Directives, Migration};
use build_support::problem::{Place, Problem};
use build_support::token::Dialect;

use super::{DOWN_DIFFERS, Done, DownFrom, FORBIDDEN_STATEMENT, Run, Texts, one, store_problem};
use crate::plan::{Direction, IRREVERSIBLE, Step};
use crate::statement::{forbidden, forbidden_in_verify, split_as};

/// The section that a step runs, with the whole text that it stands in and where that comes from.
pub(super) struct Section {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) span: std::ops::Range<usize>,
}

/// Which files are read once more before the first statement of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Those that may hold a statement that a run cannot hold.
    WhereUnknown,
    /// All: what a run has committed before it finds that a file has gone stays.
    All,
}

impl Section {
    pub(super) fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place::span(&self.path, self.text.as_str(), span)
    }
}

/// Refuses a section, and the verify section that is asked behind it, with a statement that a run cannot hold.
fn may_run(
    dialect: Dialect,
    section: &Section,
    no_transaction: bool,
    verify: Option<Range<usize>>,
) -> Result<(), Problem> {
    let statements = split_as(dialect, &section.text, section.span.clone());
    let found = forbidden(&statements, no_transaction)
        .or_else(|| forbidden_in_verify(&split_as(dialect, &section.text, verify?)));
    match found {
        None => Ok(()),
        Some(found) => {
            Err(Problem::new(FORBIDDEN_STATEMENT, found.message).at(section.place(found.span)).help(found.help))
        }
    }
}

/// Looks at what an upgrade to a revision would run as the run itself does before its first statement, by the rules of the
/// database whose SQL the file is read as.
///
/// # Errors
/// [`FORBIDDEN_STATEMENT`]; a file that cannot be read.
pub fn check_words(migration: &Migration, texts: &dyn Texts) -> Result<(), Problem> {
    if !migration.controls && migration.verify.is_none() {
        return Ok(());
    }
    let section = Section { path: migration.path.clone(), text: texts.text(migration)?, span: migration.up.clone() };
    may_run(migration.dialect, &section, migration.directives.no_transaction, migration.verify.clone())
}

/// Whether the recorded upgrade of a step holds any statement; that of a merge does not.
fn did_something(step: &Step) -> bool {
    let Directives { no_transaction, foreign_keys_on, .. } = step.directives;
    step.hashes.statements != StatementsHash::of("", std::iter::empty(), no_transaction, foreign_keys_on)
}

/// To do nothing would leave what the upgrade did in the database, and nobody who knows of it.
fn no_way_back(step: &Step, why: &str) -> Problem {
    Problem::new(IRREVERSIBLE, format!("`{}` {why}, so it cannot be taken back", step.id))
        .help("write one into its file and run `downgrade --down-from file`")
        .help("or write a new revision that undoes what it did; a scratch database is emptied by `reset`")
}

impl Run<'_, '_> {
    /// Looks at what a step will run. `reads` says whether the file is read in any case.
    ///
    /// A file that was read for the graph by the rules of this database, has no verify section and holds no word that
    /// such a statement starts with is known to hold none, and its checksum is compared when it is read for its step.
    pub(super) fn preflight(&mut self, step: &Step, reads: Reads) -> Done<()> {
        let migration = self.file_of(step).map(|(migration, _)| migration);
        let upgrade = step.direction == Direction::Upgrade;
        let dialect = self.driver.dialect();
        let known = migration
            .is_some_and(|migration| migration.dialect == dialect && !migration.controls && migration.verify.is_none());
        if known && upgrade && reads == Reads::WhereUnknown {
            return Ok(());
        }
        let section = self.section(step)?;
        let verify = migration.and_then(|migration| migration.verify.clone()).filter(|_| upgrade);
        may_run(dialect, &section, step.directives.no_transaction, verify).map_err(one)
    }

    /// The text that a step runs.
    pub(super) fn section(&mut self, step: &Step) -> Done<Section> {
        let found = self.file_of(step);
        if step.direction == Direction::Upgrade {
            let Some((migration, texts)) = found else {
                return Err(one(Problem::new(
                    crate::plan::UNKNOWN_APPLIED,
                    format!("there is no file of `{}`", step.id),
                )));
            };
            let text = texts.text(migration).map_err(one)?;
            return Ok(Section { path: migration.path.clone(), text, span: migration.up.clone() });
        }
        let stored = self.driver.stored_down(&step.package, &step.id).map_err(|error| one(store_problem(&error)))?;
        let migration = found.map(|(migration, _)| migration);
        let file = match found.map(|(migration, texts)| (migration, texts, &migration.down)) {
            Some((migration, texts, Some(span))) => {
                Some((migration, texts.text(migration).map_err(one)?, span.clone()))
            }
            Some((_, _, None)) | None => None,
        };
        let differ = match (&stored, &file) {
            (Some(stored), Some((_, text, span))) => stored != &text[span.clone()],
            (None, Some(_)) => true,
            (Some(_), None) => migration.is_some(),
            (None, None) => false,
        };
        let from = match (differ, self.options.down_from) {
            (false, _) => DownFrom::Stored,
            (true, Some(from)) => from,
            (true, None) => {
                let path =
                    migration.map_or_else(|| PathBuf::from(step.id.file_name()), |migration| migration.path.clone());
                return Err(one(Problem::new(
                    DOWN_DIFFERS,
                    format!("the down of `{}` in its file is not the one that was stored when it was applied", step.id),
                )
                .in_file(path)
                .help("`--down-from stored` runs the stored one, which undoes what was applied then")
                .help("`--down-from file` runs the file's")));
            }
        };
        let section = match (from, stored, file) {
            (DownFrom::Stored, Some(text), Some((migration, whole, span))) if !differ => {
                drop(text);
                Section { path: migration.path.clone(), text: whole, span }
            }
            (DownFrom::Stored, Some(text), _) => {
                let span = 0..text.len();
                Section { path: PathBuf::from(format!("{} (stored down)", step.id)), text, span }
            }
            (DownFrom::File, _, Some((migration, text, span))) => Section { path: migration.path.clone(), text, span },
            // A merge has nothing to take back, and needs no section to say so.
            _ if !did_something(step) => {
                Section { path: PathBuf::from(step.id.as_str()), text: String::new(), span: 0..0 }
            }
            _ => return Err(one(no_way_back(step, "has no down section"))),
        };
        if split_as(self.driver.dialect(), &section.text, section.span.clone()).is_empty() && did_something(step) {
            return Err(one(no_way_back(step, "has a down section without a statement")
                .help("or say that there is nothing to undo with a statement that does nothing: `SELECT 1;`")));
        }
        Ok(section)
    }
}
