//! `revision`: a new migration file; `merge` writes its own through the same functions.

use std::path::PathBuf;

use build_support::graph::Lineage;
use build_support::migration::Migration;
use build_support::problem::{Code, Problem, printable};
use build_support::revision::{RevisionId, check_key, check_name, slug};
use build_support::target;
use migrate_runtime::plan;
use serde_json::json;

use crate::app::{App, Opened};
use crate::args::RevisionArgs;
use crate::commands::{edit, generate, record};
use crate::failure::{Failure, Result};

/// A parent that is not a head.
pub const NOT_A_HEAD: Code = Code("not-a-head");

/// The sections of a migration that is yet to be written.
pub(super) const EMPTY_SECTIONS: &str = "\n-- migrate:up\n\n\n-- migrate:down\n\n";

/// The longest slug, as Alembic's default.
const LONGEST_SLUG: usize = 40;

/// `cargo migrate revision`
pub(super) fn revision(app: App<'_>, args: &RevisionArgs) -> Result<()> {
    let mut opened = app.open_with_needs(&args.depends_on)?;
    if let Some(path) = &args.version_path {
        let asked = app.context.working_directory().join(path);
        if std::fs::canonicalize(&asked).ok() != std::fs::canonicalize(opened.directory.path()).ok() {
            return Err(Failure::misused("a package has one migrations folder")
                .help("choose another package with `-p`, or another folder with `--migrations DIR`"));
        }
    }
    // An editor that is not named is missed before there is a file.
    let editor = if args.edit { Some(edit::editor(app)?) } else { None };
    let lineage = opened.graph.lineage();
    let applied = applied(app, &opened);
    let parents = if args.head.is_empty() {
        let heads = lineage.heads();
        if heads.len() > 1 {
            return Err(target::several_heads(lineage, &heads).help("or name the one to build on: `--head ID`").into());
        }
        heads
    } else {
        parents(&args.head, lineage, &applied)?
    };
    heads_only(lineage, &parents, args.splice)?;
    let ids: Vec<&RevisionId> = parents.iter().map(|at| lineage.id(*at)).collect();
    let mut depends = Vec::new();
    for text in &args.depends_on {
        depends.push(match text.split_once('/') {
            Some((key, id)) => {
                check_key(key, "a package's key")?;
                // Of a package that is at hand any target can be named.
                match opened.package(key).map(|other| other.graph.lineage()) {
                    Some(of) => format!("{key}/{}", of.id(target::resolve_one(id, of, &vec![false; of.len()])?)),
                    None => format!("{key}/{}", RevisionId::new(id)?),
                }
            }
            None => lineage.id(target::resolve_one(text, lineage, &applied)?).to_string(),
        });
    }
    let to_depend_on = depends.clone();
    let draft = Draft {
        message: args.message.as_deref(),
        named: None,
        parents: &ids,
        depends: &depends,
        labels: &args.branch_label,
    };
    let (id, text) = draft.write(app, &opened, args.rev_id.as_deref())?;
    opened.to_depend_on = to_depend_on;
    let mut held = None;
    let text = if args.autogenerate {
        let Some(generated) = generate::fill_in(app, &opened, &parents, &args.generated, &text)? else {
            return Ok(());
        };
        held = generated.captured;
        generated.text
    } else {
        text
    };
    if args.sql {
        app.shell.raw(&text);
        return Ok(());
    }
    create(app, &opened, &id, &text, "revision")?;
    if let Some(database) = held {
        record::stamp_new(app, &id, &database, true)?;
        if !app.json() {
            app.shell.status("Stamped", format!("{id} on {database}, which has it already"));
        }
    }
    match editor {
        Some(editor) => edit::open(app, &editor, &opened.directory.file(&id)).map(drop),
        None => Ok(()),
    }
}

/// Which revisions the chosen database has; none where none is chosen or it cannot be read.
pub(super) fn applied(app: App<'_>, opened: &Opened) -> Vec<bool> {
    let lineage = opened.graph.lineage();
    match app.database(opened).and_then(|database| opened.history(&database)) {
        Ok(history) => plan::applied(opened.project.key(), lineage, &history),
        Err(_) => vec![false; lineage.len()],
    }
}

/// The revisions that some targets name, each once.
pub(super) fn parents(texts: &[String], lineage: &Lineage, applied: &[bool]) -> Result<Vec<usize>> {
    let mut parents = Vec::new();
    for text in texts {
        match target::resolve(text, lineage, applied)? {
            target::Resolved::Revisions(found) => parents.extend(found),
            target::Resolved::Base(_) => {}
            target::Resolved::Steps(..) => {
                return Err(Failure::misused(format!("`{}` names no revision to build on", printable(text)))
                    .help("name a revision by its id or a part of it, or `head`"));
            }
        }
    }
    let mut seen = Vec::new();
    parents.retain(|at| {
        !seen.contains(at) && {
            seen.push(*at);
            true
        }
    });
    Ok(parents)
}

/// Refuses to build on a revision that others build on, unless that is what is meant.
pub(super) fn heads_only(lineage: &Lineage, parents: &[usize], splice: bool) -> Result<()> {
    match parents.iter().find(|at| !splice && !lineage.children(**at).is_empty()) {
        None => Ok(()),
        Some(at) => {
            Err(Problem::new(NOT_A_HEAD, format!("`{}` is not a head: other revisions build on it", lineage.id(*at)))
                .help("`--splice` starts a second branch there")
                .into())
        }
    }
}

/// A revision that is to be written.
pub(super) struct Draft<'a> {
    pub(super) message: Option<&'a str>,
    /// What its file is named after, where that is not the message.
    pub(super) named: Option<&'a str>,
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
                let words = slug(self.named.or(self.message).unwrap_or_default(), LONGEST_SLUG);
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
        text.push_str(EMPTY_SECTIONS);
        Ok((id, text))
    }
}

/// Writes a new migration file and its draft line, and says so.
pub(super) fn create(app: App<'_>, opened: &Opened, id: &RevisionId, text: &str, command: &str) -> Result<()> {
    let path = write(opened, id, text)?;
    if app.json() {
        app.shell.json(&json!({ "command": command, "revision": id.as_str(), "file": path.to_string_lossy() }));
    } else {
        app.shell.status("Created", path.display());
    }
    Ok(())
}

/// Writes a new migration file and its draft line; gives how the file is called.
pub(super) fn write(opened: &Opened, id: &RevisionId, text: &str) -> Result<PathBuf> {
    // What was put together here must read back as what was meant, whatever stood in a message or a label.
    let path = opened.directory.shown().join(id.file_name());
    Migration::parse_as(opened.locks.shared.dialect(), id.clone(), &path, text)?;
    opened.directory.create(id, text)?;
    opened.directory.update_locks(|locks| {
        locks.shared.set_package(opened.project.key());
        locks.shared.add_draft(id.clone());
    })?;
    Ok(path)
}
