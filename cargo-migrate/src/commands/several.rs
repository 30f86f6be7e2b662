//! A command over several packages: one after the other, or side by side on the databases that they share.

use std::sync::{Mutex, PoisonError};

use build_support::problem::{Code, Problem, printable};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::app::{App, Group, Opened, Purpose};
use crate::failure::{Failure, Result};
use crate::project::{Database, Project};
use crate::report::many;
use crate::report::shell::Shell;
use crate::side_by_side;

/// Some of several packages, or databases, have failed; each has said why.
pub const SOME_FAILED: Code = Code("some-failed");

/// What is done on each database: its packages, and the database or why there is none.
type OnDatabase<'w> = dyn Fn(App<'_>, &Opened, Result<&Database>) -> Result<()> + Sync + 'w;

/// The document of one of several, and whether its work was done.
type Ended = (Value, bool);

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
        documents.push(told(app, shell, &result, ("package", json!(project.key()))));
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
    // A question is not asked below a bar that moves.
    let asks = |group: &Group| group.database.as_ref().is_ok_and(|database| database.protected);
    let one = |group: &Group| -> Ended {
        let label = group.keys.join(", ");
        let shell = app.shell.part(&group.keys).labelled(&label);
        let shell = match bars.bar(&label).filter(|_| !asks(group)) {
            Some(bar) => shell.on_bar(bar),
            None => shell,
        };
        let database = group.database.as_ref().map_err(Failure::clone);
        let opened = group.opened.as_ref().map_err(Failure::clone);
        let result = opened.and_then(|opened| work(App { shell: &shell, ..app }, opened, database));
        if let Some(bar) = shell.bar() {
            bar.finish_and_clear();
        }
        (told(app, shell, &result, ("packages", json!(group.keys))), result.is_ok())
    };
    // Those that ask a person come first, one after the other.
    let ends: Vec<Mutex<Option<Ended>>> =
        groups.iter().map(|group| Mutex::new(asks(group).then(|| one(group)))).collect();
    side_by_side::each(side_by_side::processors(), count, |at| {
        let mut end = ends[at].lock().unwrap_or_else(PoisonError::into_inner);
        end.get_or_insert_with(|| one(&groups[at]));
    });
    let (mut documents, mut failed) = (Vec::new(), Vec::new());
    for (group, end) in groups.iter().zip(ends) {
        let Some((document, done)) = end.into_inner().unwrap_or_else(PoisonError::into_inner) else { continue };
        documents.push(document);
        if !done {
            failed.push(format!("{} ({})", group.keys.join(", "), group.place));
        }
    }
    if app.json() {
        app.shell.json(&json!({ "command": command, "databases": documents }));
    }
    ended(&failed, count, "database")
}

/// Tells a failure where it belongs, and gives the part's document: what it has said, or what stopped it. `name` is its
/// key and its value where the part has said nothing.
pub(super) fn told(app: App<'_>, shell: Shell, result: &Result<()>, (word, name): (&str, Value)) -> Value {
    let problems = result.as_ref().err().map(|failure| {
        if !app.json() {
            failure.problems().iter().for_each(|problem| shell.problem(problem));
        }
        failure.problems().iter().map(|problem| shell.json_problem(problem)).collect::<Value>()
    });
    let mut document = shell.into_documents().into_iter().next().unwrap_or_else(|| json!({}));
    if let Some(fields) = document.as_object_mut() {
        fields.entry(word).or_insert(name);
        if let Some(problems) = problems {
            fields.insert("problems".to_owned(), problems);
        }
    }
    document
}

/// Refuses where some of several have failed.
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
