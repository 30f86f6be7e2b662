//! `check`: everything that may disagree, looked at in one go, for CI.

use std::cell::RefCell;

use build_support::migration::Migration;
use build_support::problem::{Code, Problem, Severity, printable};
use build_support::target;
use build_support::token::Dialect;
use build_support::verify;
use migrate_runtime::{plan, runner};
use serde_json::json;

use crate::against::{self, Against};
use crate::app::{App, Group, Opened, Purpose};
use crate::args::CheckArgs;
use crate::commands::{several, trust};
use crate::diff;
use crate::drift;
use crate::failure::{Failure, Result};
use crate::live;
use crate::project::Database;
use crate::project::database::{MISSING_VARIABLE, NO_DATABASE};
use crate::report::many;
use crate::source::{self, Source};

/// Autogenerate would write something.
pub const MODELS_DIFFER: Code = Code("models-differ");

/// What the checks look at.
struct Scene<'a> {
    app: App<'a>,
    opened: &'a Opened,
    database: Looked,
    /// Whether models or a schema file say what the schema is to be.
    wanted: bool,
    against: Option<Against>,
    /// What `--against` names.
    reference: Option<String>,
}

/// The database, or why there is none to look at.
enum Looked {
    At(Box<Database>, Box<RefCell<live::Looked>>),
    Not(String),
}

/// One check: its name for programs, what it looks at in a line, and what it finds. Whether a finding stops anything is
/// told by the finding.
struct Check {
    name: &'static str,
    looks_at: fn(&Scene<'_>) -> Option<String>,
    find: fn(&Scene<'_>) -> Result<Vec<Problem>>,
}

/// The checks of a package, in the order in which they are told.
const OF_PACKAGES: [Check; 4] = [
    Check { name: "files", looks_at: files, find: in_files },
    Check { name: "heads", looks_at: heads, find: in_heads },
    Check { name: "models", looks_at: models, find: in_models },
    Check { name: "merge", looks_at: merge, find: in_merge },
];

/// The checks of a database and of the packages that share it.
const OF_DATABASES: [Check; 3] = [
    Check { name: "packages", looks_at: packages, find: in_packages },
    Check { name: "database", looks_at: database, find: in_database },
    Check { name: "schema", looks_at: schema, find: in_schema },
];

/// `cargo migrate check`
pub(super) fn check(app: App<'_>, args: &CheckArgs) -> Result<()> {
    let chosen = app.choose(Purpose::Look)?;
    if let [(_, opened)] = chosen.packages.as_slice() {
        let opened = chosen.with_needs(app, opened.as_ref().map_err(Failure::clone)?)?;
        let scene = Scene::of(app, args, &opened)?;
        // What another branch would make of it comes last.
        let (here, merged) = OF_PACKAGES.split_at(OF_PACKAGES.len() - 1);
        return scene.judge(here.iter().chain(&OF_DATABASES).chain(merged));
    }
    let (mut of_packages, mut unreadable, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (project, opened) in &chosen.packages {
        if !app.json() {
            app.shell.status("Package", printable(project.key()));
        }
        let shell = app.shell.part(&[project.package().unwrap_or(project.key())]);
        let part = App { shell: &shell, ..app };
        let result = opened.as_ref().map_err(Failure::clone).and_then(|opened| {
            let opened = chosen.with_needs(part, opened)?;
            Scene::of(part, args, &opened)?.judge(OF_PACKAGES.iter())
        });
        of_packages.push(several::told(app, shell, &result, ("package", json!(project.key()))));
        if opened.is_err() {
            unreadable.push(project.key().to_owned());
        }
        if result.is_err() {
            failed.push(project.key().to_owned());
        }
    }
    let mut of_databases = Vec::new();
    for Group { keys, place, opened, database } in app.grouped(chosen)? {
        // What cannot be read was told of its package.
        if keys.iter().any(|key| unreadable.contains(key)) {
            continue;
        }
        if !app.json() {
            app.shell.status("Database", printable(&place));
        }
        let shell = app.shell.part(&keys);
        let part = App { shell: &shell, ..app };
        let result = opened.and_then(|opened| {
            let scene = Scene {
                app: part,
                opened: &opened,
                database: looked(part, &opened, database)?,
                wanted: false,
                against: None,
                reference: args.against.clone(),
            };
            scene.judge(OF_DATABASES.iter())
        });
        of_databases.push(several::told(app, shell, &result, ("packages", json!(keys))));
        if result.is_err() {
            failed.push(place);
        }
    }
    let count = of_packages.len() + of_databases.len();
    if app.json() {
        app.shell.json(&json!({ "command": "check", "packages": of_packages, "databases": of_databases }));
    }
    several::ended(&failed, count, "check")
}

impl<'a> Scene<'a> {
    fn of(app: App<'a>, args: &CheckArgs, opened: &'a Opened) -> Result<Self> {
        let database = looked(app, opened, app.database(opened))?;
        let against = args.against.as_deref().map(|reference| Against::read(reference, opened)).transpose()?;
        let wanted = source::is_said(opened)?;
        Ok(Self { app, opened, database, wanted, against, reference: args.against.clone() })
    }

    fn judge(&self, checks: impl Iterator<Item = &'static Check>) -> Result<()> {
        let app = self.app;
        let (mut told, mut problems) = (Vec::new(), Vec::<Problem>::new());
        for check in checks {
            let Some(looks_at) = (check.looks_at)(self) else { continue };
            let mut found = (check.find)(self)?;
            // What the lock tells of a file, the database that has it tells again, and so does the merged tree.
            found.retain(|problem| !problems.iter().any(|known| is_same(known, problem)));
            if !app.json() {
                let end = match found.len() {
                    0 => String::new(),
                    count => format!(": {}", many(count, "problem")),
                };
                app.shell.status("Checked", format!("{looks_at}{end}"));
            }
            told.push(json!({ "check": check.name, "looked_at": looks_at, "problems": found.len() }));
            problems.extend(found);
        }
        if app.json() {
            app.shell.json(&json!({
                "command": "check",
                "against": self.reference,
                "checks": told,
                "problems": problems.iter().map(|problem| app.shell.json_problem(problem)).collect::<Vec<_>>(),
            }));
        }
        if problems.iter().any(|problem| problem.severity() == Severity::Error) {
            return Err(problems.into());
        }
        for problem in &problems {
            app.shell.problem(problem);
        }
        Ok(())
    }
}

fn is_same(one: &Problem, other: &Problem) -> bool {
    one.code() == other.code() && one.places().first() == other.places().first()
}

/// The chosen database, where one is chosen and there. A build server often has none, which is not for `check` to judge,
/// but a name behind `-d` has to mean something.
fn looked(app: App<'_>, opened: &Opened, database: Result<Database>) -> Result<Looked> {
    let asked_for = app.global.database.is_some();
    let none = |failure: &Failure| {
        failure.problems().iter().all(|problem| [NO_DATABASE, MISSING_VARIABLE].contains(&problem.code()))
    };
    let database = match database {
        Ok(database) => database,
        Err(failure) if !asked_for && none(&failure) => {
            let why = failure.problems().first().map(Problem::message).unwrap_or_default();
            return Ok(Looked::Not(format!("no database: {why}")));
        }
        Err(failure) => return Err(failure),
    };
    let name = database.lock_name();
    let not_there = || {
        let place = opened.project.show_place(&database);
        Ok(Looked::Not(format!("no database: `{name}` ({}) is not there", place.display())))
    };
    let unreached = |failure: Failure| match database.server() {
        Some(server) if !asked_for && !live::server::answers(server) => {
            let why = failure.problems().first().map(|problem| printable(problem.message())).unwrap_or_default();
            Ok(Looked::Not(format!("no database: `{name}` was not looked at, since {why}")))
        }
        _ => Err(failure),
    };
    if database.scratch {
        return match live::is_there(&database) {
            Ok(true) => Ok(Looked::Not(format!("no database: `{name}` is a scratch one, which follows the files"))),
            Ok(false) => not_there(),
            Err(failure) => unreached(failure),
        };
    }
    let looked = match opened.look(&database) {
        Ok(looked) => looked,
        Err(failure) => return unreached(failure),
    };
    if !looked.is_there() {
        return not_there();
    }
    Ok(Looked::At(Box::new(database), Box::new(RefCell::new(looked))))
}

fn files(scene: &Scene<'_>) -> Option<String> {
    let count = scene.opened.graph.migrations().len();
    Some(format!("{} against migrate.lock", many(count, "file")))
}

fn in_files(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let opened = scene.opened;
    let mut problems = verify::verify(&opened.graph, &opened.locks, opened.directory.shown());
    // What is sealed has run.
    let locks = [&opened.locks.shared, &opened.locks.local];
    let is_draft = |it: &&Migration| locks.iter().all(|lock| lock.sealed(it.id.as_str()).is_none());
    for migration in opened.graph.migrations().iter().filter(is_draft) {
        problems.extend(runner::check_words(migration, &opened.directory).err());
    }
    Ok(problems)
}

fn heads(scene: &Scene<'_>) -> Option<String> {
    let lineage = scene.opened.graph.lineage();
    Some(match lineage.heads()[..] {
        [] => "no head: there is no revision yet".to_owned(),
        [only] => format!("the only head, {}", lineage.id(only)),
        ref several => format!("{} heads", several.len()),
    })
}

fn in_heads(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let lineage = scene.opened.graph.lineage();
    let forked = against::forked(lineage);
    Ok(if forked.is_empty() { Vec::new() } else { vec![target::several_heads(lineage, &forked)] })
}

/// Without models nothing says what the migrations are to make.
fn models(scene: &Scene<'_>) -> Option<String> {
    scene.wanted.then(|| match is_comparable(scene) {
        true => "what the migrations make against the models".to_owned(),
        false => "not compared: the models, since the migrations are PostgreSQL's".to_owned(),
    })
}

fn is_comparable(scene: &Scene<'_>) -> bool {
    scene.opened.all().all(|opened| opened.locks.shared.dialect() == Dialect::Sqlite)
}

fn in_models(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let opened = scene.opened;
    if !scene.wanted || !is_comparable(scene) || !against::forked(opened.graph.lineage()).is_empty() {
        // Of several heads it is not known which one the models are for; that they are several is told.
        return Ok(Vec::new());
    }
    let made = Source::Revisions(opened.graph.lineage().heads()).schema(scene.app, opened)?;
    let wanted = Source::Models.schema(scene.app, opened)?;
    let changes = diff::changes(&made, &wanted, opened.project.settings().column_order);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let problem = Problem::new(MODELS_DIFFER, "the migrations do not make what the models want");
    let problem = diff::listed(problem, &changes, "cargo migrate diff head models");
    Ok(vec![problem.help("write the missing revision: `cargo migrate revision --autogenerate -m \"…\"`")])
}

/// Packages that share nothing have nothing to disagree on.
fn packages(scene: &Scene<'_>) -> Option<String> {
    let count = scene.opened.all().count();
    (count > 1).then(|| format!("what {} make of one another", many(count, "package")))
}

fn in_packages(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let packages = match scene.opened.packages() {
        Ok(packages) => packages,
        Err(problems) => return Ok(problems),
    };
    Ok(runner::made_twice(&scene.opened.files(), packages.order()).into_iter().collect())
}

fn schema(scene: &Scene<'_>) -> Option<String> {
    match &scene.database {
        Looked::At(database, _) if database.server().is_none() => {
            Some(format!("the schema of `{}` against its history", database.lock_name()))
        }
        Looked::At(database, _) => {
            Some(format!("not compared: the schema of `{}`, which is on a server", database.lock_name()))
        }
        Looked::Not(_) => None,
    }
}

fn in_schema(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let Looked::At(database, looked) = &scene.database else { return Ok(Vec::new()) };
    if database.server().is_some() {
        return Ok(Vec::new());
    }
    // Where the files are not those that were applied, running them says nothing of the database.
    let is_error = |problem: &Problem| problem.severity() == Severity::Error;
    if scene.opened.verified().is_err() || in_database(scene)?.iter().any(is_error) {
        return Ok(Vec::new());
    }
    let problem = drift::object_by_object(scene.app, scene.opened, database, &mut looked.borrow_mut())?;
    Ok(problem.into_iter().collect())
}

fn database(scene: &Scene<'_>) -> Option<String> {
    Some(match &scene.database {
        Looked::At(database, _) => {
            format!("the history of {}", live::shown(&scene.opened.project, database))
        }
        Looked::Not(why) => why.clone(),
    })
}

/// What is pending is for `upgrade`, and what this checkout does not know is most likely on another branch: the one is not
/// told, and of the other it is said without failing. Where nothing of what the database has is here, the folder or the
/// database is the wrong one.
fn in_database(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    let Looked::At(database, looked) = &scene.database else { return Ok(Vec::new()) };
    let mut problems = trust::differences(scene.opened, database, &mut looked.borrow_mut())?;
    let history = &looked.borrow().history;
    let is_foreign = |of: &Opened| plan::is_foreign(of.project.key(), &of.graph, history);
    if !scene.opened.all().any(is_foreign) {
        let is_ahead = |problem: &Problem| problem.code() == plan::UNKNOWN_APPLIED;
        let told = |problem: Problem| if is_ahead(&problem) { problem.as_warning() } else { problem };
        problems = problems.into_iter().map(told).collect();
    }
    Ok(problems)
}

fn merge(scene: &Scene<'_>) -> Option<String> {
    scene.against.as_ref().map(|against| against.looks_at(scene.opened))
}

fn in_merge(scene: &Scene<'_>) -> Result<Vec<Problem>> {
    scene.against.as_ref().map_or_else(|| Ok(Vec::new()), |against| against.judge(scene.opened))
}
