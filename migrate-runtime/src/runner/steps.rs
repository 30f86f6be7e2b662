//! One step: its statements, its verify queries, its row in the version table.

use std::time::{Duration, Instant};

use build_support::problem::{Place, Problem};
use build_support::revision::{RevisionId, listed};

use super::problems::{
    broken_keys, end_problem, is_depended_on, is_gone, lacks_right, query_problem, statement_problem, with_left_behind,
    with_rows, without_again,
};
use super::section::Section;
use super::{
    Done, FORBIDDEN_STATEMENT, HISTORY_MOVED, Run, SQL_ERROR, TRANSACTION_ENDED, VERIFY_FAILED, one, store_problem,
};
use crate::driver::Enforcement;
use crate::event::Event;
use crate::history::{AppliedRevision, State};
use crate::plan::{Direction, Step, packages, with_ways_out};
use crate::sqlite::StoreError;
use crate::statement::{Statement, may_break_rows, split_as};

impl Run<'_, '_> {
    /// Steps that share the open transaction.
    pub(super) fn inside(&mut self, unit: &[Step]) -> Done<()> {
        for step in unit {
            (self.observer)(Event::Started(step));
            let start = Instant::now();
            let section = self.section(step)?;
            self.statements(step, &section, true)
                .and_then(|()| self.verify(step, &section))
                .map_err(|problems| self.rolled_back(step, problems))?;
            self.write(step, &section, start.elapsed(), State::Applied)
                .map_err(|error| one(self.row_problem(&error, unit)))?;
            let elapsed = start.elapsed();
            (self.observer)(Event::Finished(step, elapsed));
            self.done.push((step.clone(), elapsed));
        }
        let broken = self.driver.newly_broken_keys().map_err(|error| one(store_problem(&error)))?;
        if !broken.is_empty() {
            return Err(one(broken_keys(&broken, unit)));
        }
        self.driver.finish(&packages(unit)).map_err(|error| one(self.row_problem(&error, unit)))
    }

    /// What keeps a row of the version table from being written within a transaction: where the table or the row is gone, one
    /// of the steps has taken it away.
    fn row_problem(&mut self, error: &StoreError, unit: &[Step]) -> Problem {
        if is_gone(error) { self.rows_gone(unit) } else { store_problem(error) }
    }

    /// That rows of the version table are not there which nobody but these steps can have taken away: those of them are at
    /// fault that name the table, where any does.
    pub(super) fn rows_gone(&mut self, unit: &[Step]) -> Problem {
        let table = self.driver.table_name().to_ascii_lowercase();
        let mut named: Vec<(&Step, Place)> = Vec::new();
        for step in unit {
            let Ok(section) = self.section(step) else { continue };
            let statements = split_as(self.driver.dialect(), &section.text, section.span.clone());
            let names = |statement: &Statement<'_>| statement.text.to_ascii_lowercase().contains(&table);
            if let Some(statement) = statements.into_iter().find(names).filter(|_| !table.is_empty()) {
                named.push((step, section.place(statement.span)));
            }
        }
        let ids: Vec<&RevisionId> = match &named[..] {
            [] => unit.iter().map(|step| &step.id).collect(),
            named => named.iter().map(|(step, _)| &step.id).collect(),
        };
        let problem = Problem::new(
            FORBIDDEN_STATEMENT,
            format!("{} took away rows of the version table, which say what is applied here", listed(&ids)),
        );
        let problem = named.into_iter().fold(problem, |problem, (_, place)| problem.at(place));
        problem
            .note("everything that was not committed before was rolled back")
            .help("leave the version table to this tool: take out what deletes from it, drops or renames it")
            .help("to forget what is applied without running anything, `cargo migrate stamp base`")
    }

    /// A `no-transaction` step: recorded as half way, run statement by statement, recorded as done.
    pub(super) fn outside(&mut self, step: &Step) -> Done<()> {
        (self.observer)(Event::Started(step));
        let start = Instant::now();
        let section = self.section(step)?;
        match step.direction {
            Direction::Upgrade => self.record(step, &section, Duration::ZERO, State::Running)?,
            Direction::Downgrade => self
                .driver
                .mark(&step.package, &step.id, State::Reverting, 0)
                .map_err(|error| one(store_problem(&error)))?,
        }
        self.commit()?;
        self.statements(step, &section, false).map_err(|problems| {
            self.left_half_way(step, problems, "what its statements before this one committed stays")
        })?;
        self.settle(step, &section, start)
            .map_err(|problems| self.left_half_way(step, problems, "all of its statements have taken effect, and stay"))
    }

    /// Writes that a `no-transaction` step has done what it does, where its verify queries agree.
    fn settle(&mut self, step: &Step, section: &Section, start: Instant) -> Done<()> {
        let store = |error: StoreError| one(store_problem(&error));
        self.begin(Enforcement::Deferred)?;
        self.verify(step, section)?;
        let elapsed = start.elapsed();
        match step.direction {
            Direction::Upgrade => {
                self.driver.mark(&step.package, &step.id, State::Applied, milliseconds(elapsed)).map_err(store)?;
            }
            Direction::Downgrade => self.driver.forget(&step.package, &step.id).map_err(store)?,
        }
        self.driver.finish(&[&step.package]).map_err(store)?;
        (self.observer)(Event::Finished(step, elapsed));
        self.done.push((step.clone(), elapsed));
        self.commit()
    }

    /// What stopped a `no-transaction` step, with what it leaves and how a person settles that.
    fn left_half_way(&mut self, step: &Step, problems: Vec<Problem>, what: &str) -> Vec<Problem> {
        self.driver.rollback();
        let told = |problem: Problem| {
            // A row that is gone has been settled already.
            if problem.code() == HISTORY_MOVED {
                return problem;
            }
            if self.options.on_copy {
                return problem.note("found on a copy: the database is as it was");
            }
            let problem = problem.map_help(|help| without_again(help));
            let problem = problem.note(format!("`{}` runs outside a transaction: {what}", step.id));
            with_ways_out(with_left_behind(self.driver, problem), &step.id, step.direction)
        };
        problems.into_iter().map(told).collect()
    }

    /// What stopped a step that shares a transaction: that is rolled back, and what was committed before it stays.
    fn rolled_back(&self, step: &Step, problems: Vec<Problem>) -> Vec<Problem> {
        let what = if self.committed == 0 {
            "everything was rolled back: nothing of this run was kept"
        } else {
            "everything that this run had not committed before was rolled back"
        };
        let told = |problem: Problem| match (problem.code(), step.direction) {
            (TRANSACTION_ENDED, _) => problem,
            (SQL_ERROR, _) if lacks_right(&problem) => problem.note(what),
            (SQL_ERROR, Direction::Downgrade) if is_depended_on(&problem) => {
                problem.note(what).help("take back first what depends on it, or mend what is to be dropped")
            }
            (SQL_ERROR, Direction::Upgrade) => problem.note(what).help("mend the statement, and run the command again"),
            (SQL_ERROR, Direction::Downgrade) => {
                problem.note(what).help("mend the down section of its file, and say `--down-from file`")
            }
            _ => problem.note(what),
        };
        problems.into_iter().map(told).collect()
    }

    fn statements(&mut self, step: &Step, section: &Section, transaction: bool) -> Done<()> {
        let statements = split_as(self.driver.dialect(), &section.text, section.span.clone());
        let last = statements.len();
        for (number, statement) in (1..).zip(statements) {
            if transaction && !self.rows_seen {
                let rows = !step.directives.foreign_keys_on && may_break_rows(&statement);
                let before = self.driver.look_at_keys(rows).map_err(|error| one(store_problem(&error)))?;
                self.rows_seen = rows;
                if before > 0 {
                    (self.observer)(Event::BrokenBefore(before));
                }
            }
            let ran = if number == last {
                self.driver.execute_last(statement.text)
            } else {
                self.driver.execute(statement.text)
            };
            if let Err(error) = ran {
                let rows = self.driver.offending_rows(statement.text, &error);
                return Err(one(with_rows(statement_problem(&error, section, &statement), rows)));
            }
            if transaction && !self.in_transaction()? {
                return Err(one(
                    Problem::new(TRANSACTION_ENDED, "this statement ended the run's transaction")
                        .at(section.place(statement.span))
                        .help("take out what ends it (`ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK, …)`), or say `-- migrate:no-transaction`"),
                ));
            }
        }
        if !self.driver.end_step().map_err(|error| one(end_problem(&error, section)))? {
            return Err(one(Problem::new(TRANSACTION_ENDED, "this section ended the run's transaction")
                .at(Place::file(&section.path))
                .help("take out what ends it, or say `-- migrate:no-transaction`")));
        }
        if !transaction && self.in_transaction()? {
            return Err(one(Problem::new(TRANSACTION_ENDED, "this section leaves a transaction open")
                .at(Place::file(&section.path))
                .help("end it with `COMMIT;`")));
        }
        Ok(())
    }

    /// The verify queries of an upgrade, from the file whose up section has just run.
    fn verify(&mut self, step: &Step, section: &Section) -> Done<()> {
        let migration = self.file_of(step).map(|(migration, _)| migration);
        let (Direction::Upgrade, Some(span)) = (step.direction, migration.and_then(|it| it.verify.clone())) else {
            return Ok(());
        };
        for query in split_as(self.driver.dialect(), &section.text, span) {
            let wrong = self.driver.verify(query.text).map_err(|error| one(query_problem(&error, section, &query)))?;
            if !self.in_transaction()? {
                return Err(one(Problem::new(TRANSACTION_ENDED, "this query ended the run's transaction")
                    .at(section.place(query.span))
                    .help("ask without the function that does it")));
            }
            if let Some(value) = wrong {
                return Err(one(Problem::new(VERIFY_FAILED, format!("after `{}` this does not hold", step.id))
                    .at(section.place(query.span).label(format!("gave {value}")))
                    .help("mend what the upgrade does, or what is verified")));
            }
        }
        Ok(())
    }

    /// Writes or removes the row of a step; an upgrade's holds the down section of the file that has just run.
    fn record(&mut self, step: &Step, section: &Section, elapsed: Duration, state: State) -> Done<()> {
        self.write(step, section, elapsed, state).map_err(|error| one(store_problem(&error)))
    }

    fn write(&mut self, step: &Step, section: &Section, elapsed: Duration, state: State) -> Result<(), StoreError> {
        if step.direction == Direction::Downgrade {
            return self.driver.forget(&step.package, &step.id);
        }
        let migration = self.file_of(step).map(|(migration, _)| migration);
        let down = migration.and_then(|migration| migration.down.clone()).map(|span| &section.text[span]);
        let row = AppliedRevision {
            package: step.package.clone(),
            id: step.id.clone(),
            // The driver gives the next number and the count.
            sequence: 0,
            checksum: step.hashes.checksum,
            statements: step.hashes.statements,
            seal: step.hashes.seal,
            parents: step.parents.clone(),
            depends: step.depends.clone(),
            directives: step.directives.clone(),
            message: step.message.clone(),
            applied_count: 0,
            state,
            applied_at: (self.options.now)(),
            elapsed_ms: milliseconds(elapsed),
            tool_version: self.options.tool_version.to_owned(),
            schema_hash: None,
        };
        self.driver.record(&row, down)
    }
}

/// A time as the version table holds it.
fn milliseconds(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
