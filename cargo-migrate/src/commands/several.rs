//! A command over several packages: one after the other, or side by side on the databases that they share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use build_support::problem::{Code, Problem, printable};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::app::{App, Group, Opened, Purpose};
use crate::failure::{Failure, Result};
use crate::project::{Database, Project};
use crate::report::many;
use crate::report::shell::Shell;

/// Some of several packages, or databases, have failed; each has said why.
pub const SOME_FAILED: Code = Code("some-failed");

/// What is done on each database: its packages, and the database or why there is none.
type OnDatabase<'w> = dyn Fn(App<'_>, &Opened, Result<&Database>) -> Result<()> + Sync + 'w;

/// How the work on one of several ended.
type Ended = (Vec<Value>, std::result::Result<(), Failure>);

/// Does a command's work on each package that is chosen, one after the other; what fails does not stop the others.
pub(super) fn each_package(
    app: App<'_>,
    command: &str,
    purpose: Purpose,
    work: impl Fn(App<'_>, &Opened) -> Result<()>,
) -> Result<()> {
    each_project(app, command, purpose, |app, _, opened| work(app, &opened?))
}

/// The same for work that goes on where the files cannot be read.
pub(super) fn each_project(
    app: App<'_>,
    command: &str,
    purpose: Purpose,
    work: impl Fn(App<'_>, &Project, Result<Opened>) -> Result<()>,
) -> Result<()> {
    let packages = app.choose(purpose)?.packages;
    if packages.len() == 1 {
        return packages.into_iter().try_for_each(|(project, opened)| work(app, &project, opened));
    }
    let mut documents = Vec::new();
    let (mut failed, count) = (Vec::new(), packages.len());
    for (project, opened) in packages {
        let name = project.package().unwrap_or(project.key()).to_owned();
        match purpose {
            _ if app.json() => {}
            // What is piped on is to say whose it is, too.
            Purpose::Look => app.shell.out(format!("{}:", project.key())),
            Purpose::Change | Purpose::TakeBack => app.shell.status("Package", printable(project.key())),
        }
        let shell = app.shell.part(&[&name]);
        let result = work(App { shell: &shell, ..app }, &project, opened);
        documents.push(told(app, shell, &result, ("package", project.key())));
        if result.is_err() {
            failed.push(name);
        }
    }
    if app.json() {
        app.shell.json(&json!({ "command": command, "packages": documents }));
    }
    ended(&failed, count, "package")
}

/// Does a command's work on each database, side by side where there are several; what fails does not stop the others.
pub(super) fn on_databases(app: App<'_>, command: &str, groups: Vec<Group>, work: &OnDatabase<'_>) -> Result<()> {
    let count = groups.len();
    if count == 1 {
        return groups
            .into_iter()
            .try_for_each(|group| work(app, &group.opened?, group.database.as_ref().map_err(Failure::clone)));
    }
    let bars = Bars::new(app);
    let labels: Vec<String> =
        groups.iter().map(|group| format!("{} ({})", group.keys.join(", "), group.place)).collect();
    let one = |group: &Group| -> Ended {
        let label = group.keys.join(", ");
        let shell = app.shell.part(&group.keys).labelled(&label);
        // A question is not asked below a bar that moves.
        let asks = group.database.as_ref().is_ok_and(|database| database.protected);
        let shell = match bars.bar(&label).filter(|_| !asks) {
            Some(bar) => shell.on_bar(bar),
            None => shell,
        };
        let part = App { shell: &shell, ..app };
        let database = group.database.as_ref().map_err(Failure::clone);
        let opened = group.opened.as_ref().map_err(Failure::clone);
        let result = opened.and_then(|opened| work(part, opened, database));
        if let Some(bar) = shell.bar() {
            bar.finish_and_clear();
        }
        let failure = result.as_ref().err().map(|failure| said(part, &shell, failure));
        (vec![document(shell.into_documents(), failure, ("packages", &label))], result)
    };
    // Those that ask a person come first, one after the other.
    let asks = |group: &Group| group.database.as_ref().is_ok_and(|database| database.protected);
    let mut ends: Vec<Option<Ended>> = groups.iter().map(|group| asks(group).then(|| one(group))).collect();
    let (next, rest) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let open: Vec<usize> = (0..count).filter(|at| ends[*at].is_none()).collect();
    let run = || {
        while let Some(at) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            let end = one(&groups[*at]);
            rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*at, end));
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(open.len());
        (1..workers).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    for (at, end) in rest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        ends[at] = Some(end);
    }
    let (mut told, mut failed) = (Vec::new(), Vec::new());
    for ((documents, result), label) in ends.into_iter().flatten().zip(labels) {
        told.extend(documents);
        if result.is_err() {
            failed.push(label);
        }
    }
    if app.json() {
        app.shell.json(&json!({ "command": command, "databases": told }));
    }
    ended(&failed, count, "database")
}

/// Tells how a part has ended where it belongs, and gives its document.
pub(super) fn told(app: App<'_>, shell: Shell, result: &Result<()>, name: (&str, &str)) -> Value {
    let failure = result.as_ref().err().map(|failure| said(app, &shell, failure));
    document(shell.into_documents(), failure, name)
}

/// Tells a failure where it belongs, and gives it for the document.
fn said(app: App<'_>, shell: &Shell, failure: &Failure) -> Value {
    if !app.json() {
        failure.problems().iter().for_each(|problem| shell.problem(problem));
    }
    failure.problems().iter().map(|problem| shell.json_problem(problem)).collect()
}

/// A part's document: what it has said, or what stopped it.
fn document(documents: Vec<Value>, failure: Option<Value>, (word, name): (&str, &str)) -> Value {
    let mut document = documents.into_iter().next().unwrap_or_else(|| json!({ word: name }));
    if let Some(fields) = document.as_object_mut() {
        if word == "package" {
            fields.entry(word).or_insert_with(|| json!(name));
        }
        if let Some(problems) = failure {
            fields.insert("problems".to_owned(), problems);
        }
    }
    document
}

pub(super) fn ended(failed: &[String], count: usize, what: &str) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("{} of {} failed", failed.len(), many(count, what));
    Err(Problem::new(SOME_FAILED, message)
        .note(failed.iter().map(|name| printable(name)).collect::<Vec<_>>().join("; "))
        .help("each has said above what is wrong and what to do")
        .into())
}

/// A line for each of several that are under way; nothing where nobody watches.
struct Bars(Option<MultiProgress>);

impl Bars {
    fn new(app: App<'_>) -> Self {
        let seen = app.context.interactive() && !app.shell.quiet() && !app.json();
        Self(seen.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())))
    }

    fn bar(&self, label: &str) -> Option<ProgressBar> {
        let bar = self.0.as_ref()?.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("     Running [{bar:27}] {pos}/{len} {prefix}: {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(printable(label));
        Some(bar)
    }
}
