//! What has become of each of many databases, counted and told. Of each a few bytes are kept; what many have said in the
//! same words is kept once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use build_support::problem::{Problem, printable};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use migrate_runtime::runner::Report;
use serde_json::{Value, json};

use super::found::Found;
use crate::app::{App, Opened};
use crate::args::UpgradeArgs;
use crate::commands::outcome::{millis, revisions};
use crate::commands::several::SOME_FAILED;
use crate::failure::{Failure, Result};
use crate::project::Database;
use crate::report::many;
use crate::report::shell::{Said, Shell};

/// How many databases are named that have said the same.
const LISTED: usize = 3;
/// How many different failures are told in full. What else has failed is named.
const MOST_TOLD: usize = 50;
/// How many of the slowest a program is told.
const SLOWEST: usize = 5;

/// How it ended for a database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was upgraded.
    Done,
    /// It had everything.
    Nothing,
    /// It is as it was, but for what its problems say.
    Failed,
    /// One that was tried before it has failed.
    Untried,
}

#[derive(Clone)]
struct Outcome {
    ended: Ended,
    steps: usize,
    elapsed: Duration,
    /// Its problems for a program.
    problems: Value,
}

/// What several databases have in common.
struct Same<T> {
    what: T,
    of: Vec<usize>,
}

/// What has become of all of them.
pub(super) struct Tally {
    outcomes: Vec<Outcome>,
    failed: usize,
    failures: Vec<Same<Vec<Problem>>>,
    said: Vec<Same<Said>>,
    bar: Option<ProgressBar>,
}

impl Tally {
    pub(super) fn new(app: App<'_>, count: usize) -> Self {
        let untried = Outcome { ended: Ended::Untried, steps: 0, elapsed: Duration::ZERO, problems: json!([]) };
        let seen = app.context.interactive() && !app.shell.quiet() && !app.json();
        let bar = seen.then(|| ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr()));
        if let (Some(bar), Ok(style)) =
            (&bar, ProgressStyle::with_template("     Running [{bar:27}] {pos}/{len}{msg}, {eta} left"))
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { outcomes: vec![untried; count], failed: 0, failures: Vec::new(), said: Vec::new(), bar }
    }

    /// How many have failed by now.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    fn count(&self, ended: Ended) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.ended == ended).count()
    }

    /// Takes in how it ended for one, and lists it where somebody wants to see them all.
    pub(super) fn add(
        &mut self,
        app: App<'_>,
        (at, path): (usize, &Path),
        result: Result<Report>,
        shell: Shell,
        elapsed: Duration,
    ) {
        let outcome = &mut self.outcomes[at];
        outcome.elapsed = elapsed;
        let line = match result {
            Ok(report) if report.done.is_empty() => {
                outcome.ended = Ended::Nothing;
                ("Finished", format!("nothing to do on {}", path.display()))
            }
            Ok(report) => {
                (outcome.ended, outcome.steps) = (Ended::Done, report.done.len());
                let done = revisions(report.done.len());
                ("Finished", format!("{done} on {} in {} ms", path.display(), millis(elapsed)))
            }
            Err(failure) => {
                outcome.ended = Ended::Failed;
                self.failed += 1;
                if app.json() {
                    outcome.problems = failure.problems().iter().map(|problem| shell.json_problem(problem)).collect();
                } else {
                    let problems = failure.problems().to_vec();
                    let (same, most) = (|known: &Vec<Problem>| *known == problems, MOST_TOLD);
                    add_same(&mut self.failures, at, same, most, || problems.clone());
                }
                ("Failed", path.display().to_string())
            }
        };
        for said in shell.into_said() {
            // Warnings of one code are of one kind, and differ in the database that they name.
            let same = |known: &Said| match (known, &said) {
                (Said::Problem(known), Said::Problem(said)) => known.code() == said.code(),
                (known, said) => known == said,
            };
            add_same(&mut self.said, at, same, MOST_TOLD, || said.clone());
        }
        self.progress(app, line);
    }

    fn progress(&self, app: App<'_>, (verb, line): (&str, String)) {
        let tell = || {
            if app.shell.verbose() > 0 && !app.json() {
                app.shell.status(verb, line);
            }
        };
        match &self.bar {
            Some(bar) => {
                bar.suspend(tell);
                match self.failed() {
                    0 => {}
                    failed => bar.set_message(format!(", {failed} failed")),
                }
                bar.inc(1);
            }
            None => tell(),
        }
    }

    /// The databases that took longest, the slowest first.
    fn slowest(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.outcomes.len()).filter(|at| self.outcomes[*at].ended == Ended::Done).collect();
        order.sort_by_key(|at| std::cmp::Reverse(self.outcomes[*at].elapsed));
        order.truncate(SLOWEST);
        order
    }

    /// One document of all of them.
    pub(super) fn document(&self, opened: &Opened, args: &UpgradeArgs, names: &[PathBuf], found: &Found) -> Value {
        let ended = |at: usize| match self.outcomes[at].ended {
            Ended::Done => "done",
            Ended::Nothing => "nothing",
            Ended::Failed => "failed",
            Ended::Untried => "untried",
        };
        let databases: Vec<Value> = self
            .outcomes
            .iter()
            .enumerate()
            .map(|(at, outcome)| {
                json!({
                    "path": names[at].to_string_lossy(),
                    "result": ended(at),
                    "steps": outcome.steps,
                    "elapsed_ms": millis(outcome.elapsed),
                    "problems": outcome.problems,
                })
            })
            .collect();
        let slowest = |at: &usize| {
            json!({
                "path": names[*at].to_string_lossy(), "elapsed_ms": millis(self.outcomes[*at].elapsed),
            })
        };
        json!({
            "command": "upgrade",
            "packages": opened.asked().map(|opened| opened.project.key()).collect::<Vec<_>>(),
            "each": found.patterns,
            "dry_run": args.dry_run,
            "counts": {
                "databases": names.len(),
                "done": self.count(Ended::Done),
                "nothing": self.count(Ended::Nothing),
                "failed": self.count(Ended::Failed),
                "untried": self.count(Ended::Untried),
            },
            "slowest": self.slowest().iter().map(slowest).collect::<Vec<_>>(),
            "left_out": found.left_out,
            "databases": databases,
        })
    }

    /// What a person is told at the end, in one line.
    pub(super) fn summary(&self, app: App<'_>, args: &UpgradeArgs, names: &[PathBuf], total: Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let all = many(names.len(), "database");
        let counts = [Ended::Done, Ended::Nothing, Ended::Failed, Ended::Untried].map(|ended| self.count(ended));
        let [done, nothing, failed, untried] = counts;
        if nothing == names.len() {
            return app.shell.status("Finished", format!("nothing to do on {all}"));
        }
        let of = if done == names.len() { all } else { format!("{done} of {all}") };
        let mut line = match args.dry_run {
            true => format!("dry run of upgrade on {of}, rolled back"),
            false => format!("upgrade of {of}"),
        };
        for (count, what) in [(nothing, "had nothing to do"), (failed, "failed"), (untried, "left as they were")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line.push_str(&format!(" in {} ms", millis(total)));
        if let Some(slowest) = self.slowest().first().filter(|_| done > 1) {
            let elapsed = millis(self.outcomes[*slowest].elapsed);
            line.push_str(&format!("; the slowest: {}, {elapsed} ms", names[*slowest].display()));
        }
        app.shell.status("Finished", line);
    }

    /// What the databases have said, once for all that said the same, then each failure with those that it stopped.
    pub(super) fn said(&self, app: App<'_>, databases: &[&Database], names: &[PathBuf]) {
        // What helps is said of the first one that it helps with.
        let shell = |of: &[usize]| app.shell.of_database(&databases[of[0]].to_string());
        for Same { what, of } in sorted(&self.said) {
            let shell = shell(&of);
            match what {
                Said::Note(text) => shell.note(format!("{text} ({})", listed(&of, names, LISTED))),
                Said::Warning(text) => shell.warning(format!("{text} ({})", listed(&of, names, LISTED))),
                Said::Problem(problem) if of.len() == 1 => shell.problem(problem),
                Said::Problem(problem) => {
                    shell.problem(&problem.clone().note(format!("so it is with {}", listed(&of, names, LISTED))));
                }
            }
        }
        for Same { what, of } in sorted(&self.failures) {
            let shell = shell(&of);
            for problem in what {
                shell.problem(&problem.clone().note(format!("so it failed: {}", listed(&of, names, LISTED))));
            }
        }
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// [`SOME_FAILED`]
    pub(super) fn ended(&self, names: &[PathBuf]) -> Result<()> {
        let failed: Vec<usize> = (0..names.len()).filter(|at| self.outcomes[*at].ended == Ended::Failed).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let message = format!("{} of {} failed", failed.len(), many(names.len(), "database"));
        let mut problem = Problem::new(SOME_FAILED, message).note(listed(&failed, names, MOST_TOLD));
        if failed.len() > MOST_TOLD {
            problem = problem.note("`--format json` names them all");
        }
        let untried = self.count(Ended::Untried);
        if untried > 0 {
            let others =
                if untried == 1 { "the other one was".to_owned() } else { format!("the other {untried} were") };
            problem = problem.note(format!("they were to be tried first, so {others} not touched"));
        }
        Err(Failure::from(problem.help("mend what is wrong and run the command again: it goes on with what is behind")))
    }
}

/// Adds a database to those that have the same in common.
fn add_same<T>(all: &mut Vec<Same<T>>, at: usize, same: impl Fn(&T) -> bool, most: usize, what: impl FnOnce() -> T) {
    match all.iter().position(|known| same(&known.what)) {
        Some(known) => all[known].of.push(at),
        None if all.len() < most => all.push(Same { what: what(), of: vec![at] }),
        None => {}
    }
}

/// In the order of the databases, whichever was done first.
fn sorted<T>(all: &[Same<T>]) -> Vec<Same<&T>> {
    let mut sorted: Vec<Same<&T>> = all
        .iter()
        .map(|same| {
            let mut of = same.of.clone();
            of.sort_unstable();
            Same { what: &same.what, of }
        })
        .collect();
    sorted.sort_by(|a, b| a.of.cmp(&b.of));
    sorted
}

/// `a, b, c and 4 more`
fn listed(of: &[usize], names: &[PathBuf], most: usize) -> String {
    let shown: Vec<String> = of.iter().take(most).map(|at| printable(&names[*at].to_string_lossy())).collect();
    let more = if of.len() > most { format!(" and {} more", of.len() - most) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
