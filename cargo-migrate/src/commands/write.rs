//! `init`, `revision` and `delete`: the commands that write migration files.

use std::path::Path;

use build_support::directory::Directory;
use build_support::lock::Lock;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::{RevisionId, check_name, slug};
use build_support::target;
use migrate_runtime::history::History;
use migrate_runtime::plan::{self, Plan, downgrade_step};
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::{DeleteArgs, InitArgs, RevisionArgs};
use crate::commands::run::{self, Request};
use crate::failure::{Failure, Result};
use crate::project::{Database, scaffold};

/// A revision that is applied is not deleted.
pub const STILL_APPLIED: Code = Code("still-applied");
/// A revision that others build on is not deleted.
pub const BUILT_ON: Code = Code("built-on");
/// A parent that is not a head.
pub const NOT_A_HEAD: Code = Code("not-a-head");

/// The longest slug, as Alembic's default.
const LONGEST_SLUG: usize = 40;

/// `cargo migrate init`
pub(super) fn init(app: App<'_>, _args: &InitArgs) -> Result<()> {
    let project = app.project()?;
    let failed = |error: std::io::Error, path: &Path| {
        Failure::from(Problem::new(Code("file-access"), format!("cannot write this: {error}")).in_file(path))
    };
    let mut done = Vec::new();
    std::fs::create_dir_all(project.migrations()).map_err(|error| failed(error, project.migrations()))?;
    let directory = Directory::new(project.migrations(), project.migrations_shown());
    if !directory.path().join("migrate.lock").exists() {
        directory.replace("migrate.lock", &Lock::default().to_text(false))?;
        done.push(project.migrations_shown().join("migrate.lock"));
    }
    if let Some(manifest) = project.manifest() {
        let text = std::fs::read_to_string(manifest).map_err(|error| failed(error, manifest))?;
        let answers = scaffold::Answers {
            manifest: manifest.to_owned(),
            package: project.package().unwrap_or("app").to_owned(),
            migrations: project.settings().migrations.clone(),
        };
        let edited = scaffold::add_configuration(&text, &answers)?;
        if edited != text {
            scaffold::write_atomically(manifest, edited.as_bytes())?;
            done.push(project.show_path(manifest));
        }
    }
    // Read again: the databases that `init` wrote are to be ignored by git.
    let project = app.project()?;
    let databases: Vec<Database> =
        project.databases().filter_map(|name| project.configured_database(app.context, name).ok()).collect();
    let files = databases.iter().filter(|database| !database.shared).map(|database| database.url.path());
    let ignore = scaffold::ignore_lines(project.root(), files);
    let attributes = scaffold::attribute_lines(&project.settings().migrations);
    for (name, lines) in [(".gitignore", ignore), (".gitattributes", attributes)] {
        let path = project.root().join(name);
        let existing = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error, &path)),
        };
        let wanted: Vec<&str> = lines.iter().map(String::as_str).collect();
        if let Some(text) = scaffold::add_lines(&existing, &wanted) {
            scaffold::write_atomically(&path, text.as_bytes())?;
            done.push(project.show_path(&path));
        }
    }
    if app.json() {
        let files: Vec<_> = done.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        app.shell.json(&json!({ "command": "init", "package": project.key(), "written": files }));
        return Ok(());
    }
    for path in &done {
        app.shell.status("Written", path.display());
    }
    app.shell.status("Finished", format!("`{}` is ready", project.key()));
    app.shell.note("write the first revision: `cargo migrate revision -m \"create todos\"`");
    Ok(())
}

/// `cargo migrate revision`
pub(super) fn revision(app: App<'_>, args: &RevisionArgs) -> Result<()> {
    let opened = app.open()?;
    if let Some(path) = &args.version_path {
        let asked = app.context.working_directory().join(path);
        if std::fs::canonicalize(&asked).ok() != std::fs::canonicalize(opened.directory.path()).ok() {
            return Err(Failure::misused("a package has one migrations folder")
                .help("choose another package with `-p`, or another folder with `--migrations DIR`"));
        }
    }
    let lineage = opened.graph.lineage();
    let applied = match app.database(&opened).and_then(|database| opened.history(&database)) {
        Ok(history) => plan::applied(opened.project.key(), lineage, &history),
        Err(_) => vec![false; lineage.len()],
    };
    let parents = if args.head.is_empty() {
        let heads = lineage.heads();
        if heads.len() > 1 {
            return Err(target::several_heads(lineage, &heads).help("or name the one to build on: `--head ID`").into());
        }
        heads
    } else {
        let mut parents = Vec::new();
        for text in &args.head {
            match target::resolve(text, lineage, &applied)? {
                target::Resolved::Revisions(found) => parents.extend(found),
                target::Resolved::Base(_) => {}
                target::Resolved::Steps(..) => {
                    return Err(Failure::misused(format!("`--head {}` names no revision", printable(text))));
                }
            }
        }
        parents
    };
    if let Some(at) = parents.iter().find(|at| !args.splice && !lineage.children(**at).is_empty()) {
        return Err(Problem::new(
            NOT_A_HEAD,
            format!("`{}` is not a head: other revisions build on it", lineage.id(*at)),
        )
        .help("`--splice` starts a second branch there")
        .into());
    }
    let ids: Vec<&RevisionId> = parents.iter().map(|at| lineage.id(*at)).collect();
    let mut depends = Vec::new();
    for text in &args.depends_on {
        depends.push(if text.contains('/') {
            text.clone()
        } else {
            lineage.id(target::resolve_one(text, lineage, &applied)?).to_string()
        });
    }
    let draft =
        Draft { message: args.message.as_deref(), parents: &ids, depends: &depends, labels: &args.branch_label };
    let (id, text) = draft.write(app, &opened, args.rev_id.as_deref())?;
    if args.sql {
        app.shell.raw(&text);
        return Ok(());
    }
    create(app, &opened, &id, &text)
}

/// A revision that is to be written.
pub(super) struct Draft<'a> {
    pub(super) message: Option<&'a str>,
    pub(super) parents: &'a [&'a RevisionId],
    pub(super) depends: &'a [String],
    pub(super) labels: &'a [String],
}

impl Draft<'_> {
    /// The new revision's id and its file's text.
    pub(super) fn write(&self, app: App<'_>, opened: &Opened, asked: Option<&str>) -> Result<(RevisionId, String)> {
        let now = app.context.started();
        let template = &opened.project.settings().file_template;
        let known = opened.graph.lineage().ids();
        let id = match asked {
            Some(text) => RevisionId::new(text)?,
            None => {
                let words = slug(self.message.unwrap_or_default(), LONGEST_SLUG);
                let words = if words.is_empty() { "revision".to_owned() } else { words };
                let number = template.next_number(now, known.iter().map(AsRef::as_ref));
                RevisionId::new(&template.render(now, number, &words))?
            }
        };
        if let Some(other) = known.iter().find(|other| other.as_str().eq_ignore_ascii_case(id.as_str())) {
            return Err(Problem::new(
                build_support::graph::DUPLICATE_ID,
                format!("there is a revision `{other}` already"),
            )
            .in_file(opened.directory.shown().join(other.file_name()))
            .help("give the new one another message or another `--rev-id`")
            .into());
        }
        for label in self.labels {
            check_name(label, "a label")?;
            if opened.graph.lineage().labels().iter().any(|(known, _)| known == label) {
                return Err(Problem::new(
                    build_support::graph::DUPLICATE_LABEL,
                    format!("there is a label `{label}` already"),
                )
                .into());
            }
        }
        let mut text = String::new();
        for line in self.message.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()) {
            text.push_str(&format!("-- {}\n", printable(line)));
        }
        let parents: Vec<&str> = self.parents.iter().map(|id| id.as_str()).collect();
        text.push_str(&format!(
            "-- migrate:parent {}\n",
            if parents.is_empty() { "base".to_owned() } else { parents.join(", ") }
        ));
        for dependency in self.depends {
            text.push_str(&format!("-- migrate:depends {dependency}\n"));
        }
        for label in self.labels {
            text.push_str(&format!("-- migrate:label {label}\n"));
        }
        text.push_str("\n-- migrate:up\n\n\n-- migrate:down\n\n");
        Ok((id, text))
    }
}

/// Writes a new migration file and its draft line, and says so.
pub(super) fn create(app: App<'_>, opened: &Opened, id: &RevisionId, text: &str) -> Result<()> {
    // What was put together here must read back as what was meant, whatever stood in a message or a label.
    let path = opened.directory.shown().join(id.file_name());
    build_support::migration::Migration::parse(id.clone(), &path, text)?;
    opened.directory.create(id, text)?;
    opened.directory.update_locks(|locks| locks.shared.add_draft(id.clone()))?;
    if app.json() {
        app.shell.json(&json!({ "command": "revision", "revision": id.as_str(), "file": path.to_string_lossy() }));
    } else {
        app.shell.status("Created", path.display());
    }
    Ok(())
}

/// `cargo migrate delete`
pub(super) fn delete(app: App<'_>, args: &DeleteArgs) -> Result<()> {
    let opened = app.open()?;
    let chosen = app.database(&opened).ok();
    let key = opened.project.key();
    let lineage = opened.graph.lineage();
    let history = match &chosen {
        Some(database) => opened.history(database)?,
        None => History::default(),
    };
    let applied = plan::applied(key, lineage, &history);
    let mut wanted = Vec::new();
    let mut stored_only = Vec::new();
    for text in &args.revisions {
        match target::resolve_one(text, lineage, &applied) {
            Ok(at) => wanted.push(at),
            // One that is on another git branch: the database alone knows it.
            Err(problem) => match history.of(key).find(|row| row.id.as_str() == text) {
                Some(row) if args.downgrade => stored_only.push(row.id.clone()),
                _ => return Err(problem.into()),
            },
        }
    }
    let ids: Vec<RevisionId> = wanted.iter().map(|at| lineage.id(*at).clone()).chain(stored_only).collect();
    for at in &wanted {
        let others: Vec<&str> = lineage
            .needed_by(*at)
            .filter(|child| !wanted.contains(child))
            .map(|child| lineage.id(child).as_str())
            .collect();
        if !others.is_empty() {
            return Err(Problem::new(
                BUILT_ON,
                format!("other revisions build on `{}`: {}", lineage.id(*at), others.join(", ")),
            )
            .in_file(&opened.graph.migration(*at).path)
            .help("delete them as well, in the same command")
            .into());
        }
    }
    let holders = holders(app, &opened, &ids, args.downgrade.then_some(chosen.as_ref()).flatten())?;
    if !holders.is_empty() {
        let mut problem = Problem::new(STILL_APPLIED, "a revision that is applied is not deleted");
        for (database, id) in &holders {
            problem = problem.note(format!("`{id}` is applied to `{database}`"));
        }
        let (database, id) = &holders[0];
        return Err(problem
            .help(format!(
                "roll it back and delete it in one go: `cargo migrate -d {database} delete {id} --downgrade`"
            ))
            .into());
    }
    if let (true, Some(database)) = (args.downgrade, &chosen) {
        let request = Request {
            dry_run: false,
            per_revision: false,
            create: false,
            yes: args.yes,
            down_from: args.down_from.map(run::down_from),
        };
        if ids.iter().any(|id| history.find(key, id).is_some()) {
            run::run(app, &opened, database, &request, &|history| take_off(key, &opened, history, &ids))?;
        }
    }
    for at in &wanted {
        opened.directory.remove(opened.graph.migration(*at))?;
    }
    opened.directory.update_locks(|locks| {
        for id in &ids {
            locks.shared.remove(id.as_str());
            locks.local.remove(id.as_str());
        }
    })?;
    if app.json() {
        app.shell
            .json(&json!({ "command": "delete", "deleted": ids.iter().map(RevisionId::as_str).collect::<Vec<_>>() }));
        return Ok(());
    }
    for id in &ids {
        app.shell.status("Deleted", id);
    }
    Ok(())
}

/// Takes exactly these revisions off, the latest applied first; others that stand on them are in the way.
fn take_off(
    key: &str,
    opened: &Opened,
    history: &History,
    ids: &[RevisionId],
) -> std::result::Result<Plan, Vec<Problem>> {
    let rows: Vec<_> = history.of(key).rev().filter(|row| ids.contains(&row.id)).collect();
    let _ = opened;
    for row in history.of(key).filter(|row| !ids.contains(&row.id)) {
        if let Some(parent) = row.parents.iter().find(|parent| ids.contains(parent)) {
            return Err(vec![
                Problem::new(BUILT_ON, format!("`{}` is applied and builds on `{parent}`", row.id))
                    .help(format!("go back before it first: `cargo migrate downgrade {parent}`")),
            ]);
        }
    }
    Ok(Plan { package: key.to_owned(), steps: rows.into_iter().map(downgrade_step).collect() })
}

/// The databases, besides `except`, that have one of the revisions: by asking those that can be reached, and by what
/// the locks say of the others.
fn holders(
    app: App<'_>,
    opened: &Opened,
    ids: &[RevisionId],
    except: Option<&Database>,
) -> Result<Vec<(String, RevisionId)>> {
    let key = opened.project.key();
    let excepted = except.map(|database| database.lock_name().to_owned());
    let mut found = Vec::new();
    let mut reached = Vec::new();
    let mut look = |database: &Database| -> Result<()> {
        let name = database.lock_name().to_owned();
        if excepted.as_ref() == Some(&name) || reached.contains(&name) {
            reached.push(name);
            return Ok(());
        }
        let history = opened.history(database)?;
        found.extend(ids.iter().filter(|id| history.find(key, id).is_some()).map(|id| (name.clone(), id.clone())));
        reached.push(name);
        Ok(())
    };
    let mut unreached = Vec::new();
    for name in opened.project.databases() {
        let looked = opened.project.configured_database(app.context, name).and_then(|database| look(&database));
        if looked.is_err() {
            unreached.push(name.to_owned());
        }
    }
    if let Ok(database) = app.database(opened) {
        look(&database)?;
    }
    if !unreached.is_empty() {
        app.shell.warning(format!("not reached, so not asked: {}", unreached.join(", ")));
    }
    // What the committed lock says of databases that nobody asked counts as well.
    for id in ids {
        if let Some((_, names)) = opened.locks.shared.sealed(id.as_str()) {
            for name in names.iter().filter(|name| !reached.contains(name)) {
                found.push((name.clone(), id.clone()));
            }
        }
    }
    Ok(found)
}
