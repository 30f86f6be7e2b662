//! The source files that a project's models are in.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use build_support::directory::{FILE_ACCESS, LARGEST_FILE, TOO_LARGE};
use build_support::migration::normalise;
use build_support::problem::{Code, Problem, printable};
use glob::{MatchOptions, Pattern};

use super::Project;
use super::layer::INVALID;
use crate::failure::Result;

/// A file or a pattern of `models` leads to no file.
pub const NO_MODEL_FILE: Code = Code("no-model-file");

/// What is read where the configuration names nothing.
const DEFAULT: &str = "src/**/*.rs";

const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that `models` names, or all of `src`, each with its path as messages show it and its text: those that
/// mention `Table`, in the order of their paths. What [`build_support::models::source::read`] wants.
///
/// Folders of other packages, cargo's target folder and folders behind symbolic links are not entered, unless a
/// pattern names them.
///
/// # Errors
/// A pattern that cannot be read or finds nothing, and files that cannot be read; all of them at once.
pub fn files(project: &Project) -> Result<Vec<(PathBuf, String)>> {
    let patterns = &project.settings().models;
    let (mut paths, mut problems) = (BTreeSet::new(), Vec::new());
    if patterns.is_empty()
        && let Err(problem) = find(project, DEFAULT, &mut paths)
    {
        problems.push(problem);
    }
    for pattern in patterns {
        let mut found = BTreeSet::new();
        match find(project, pattern, &mut found) {
            Err(problem) => problems.push(problem),
            Ok(()) if found.is_empty() => problems.push(nothing(project, pattern)),
            Ok(()) => paths.extend(found),
        }
    }
    let mut files = Vec::new();
    for path in paths {
        match read(project, &path) {
            Ok(Some(text)) => files.push((project.show_path(&path), text)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems.into()) }
}

/// Adds the files that a pattern means.
fn find(project: &Project, pattern: &str, found: &mut BTreeSet<PathBuf>) -> Result<(), Problem> {
    // Up to the first wildcard it is a path, which may lead up.
    let parts: Vec<&str> = pattern.split('/').collect();
    let plain = parts.iter().take_while(|part| !part.contains(['*', '?', '['])).count();
    let start = joined(project.root(), &parts[..plain].join("/"));
    if plain == parts.len() {
        if start.is_file() {
            found.insert(start);
        }
        return Ok(());
    }
    let rest = Pattern::new(&parts[plain..].join("/")).map_err(|error| {
        let problem =
            Problem::new(INVALID, format!("`{}` in `models` is no pattern: {}", printable(pattern), error.msg));
        said(project, problem).help("write such as `src/**/*.rs`")
    })?;
    let mut folders = vec![start.clone()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder == start => return Ok(()),
            Err(error) => return Err(unreadable(project, &folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(project, &folder, &error))?;
            let path = entry.path();
            // A link is not followed to a folder, so that no circle is walked for ever.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !is_another_s(project, &path) {
                    folders.push(path);
                }
            } else if path.strip_prefix(&start).is_ok_and(|below| rest.matches_path_with(below, MATCHING))
                && path.is_file()
            {
                found.insert(path);
            }
        }
    }
    Ok(())
}

/// A path below a folder, its `..` taken literally, so that one file has one path.
fn joined(root: &Path, below: &str) -> PathBuf {
    let mut path = root.to_owned();
    for part in Path::new(below).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Whether a folder has what is not this package's own: another package, what cargo has built, what tools keep.
fn is_another_s(project: &Project, folder: &Path) -> bool {
    let hidden = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let built = project.target_directory() == Some(folder) || folder.join("CACHEDIR.TAG").is_file();
    hidden || built || folder.join("Cargo.toml").is_file()
}

/// A file's text; `None` where it does not mention `Table`, and so is none of ours whatever it holds.
fn read(project: &Project, path: &Path) -> Result<Option<String>, Problem> {
    let shown = project.show_path(path);
    let length = fs::metadata(path).map_err(|error| unreadable(project, path, &error))?.len();
    if length > LARGEST_FILE {
        let message = format!("this file is larger than {} MiB", LARGEST_FILE / (1024 * 1024));
        return Err(Problem::new(TOO_LARGE, message).in_file(shown).help("name the files with models in `models`"));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(project, path, &error))?;
    if !bytes.windows(5).any(|word| word == b"Table") {
        return Ok(None);
    }
    normalise(&shown, bytes).map(Some)
}

fn nothing(project: &Project, pattern: &str) -> Problem {
    let problem = Problem::new(NO_MODEL_FILE, format!("`{}` in `models` leads to no file", printable(pattern)));
    let folder = joined(project.root(), pattern);
    let help = if folder.is_dir() {
        format!("for the files in it write `{}/**/*.rs`", printable(pattern.trim_end_matches('/')))
    } else {
        "write a path or a pattern below the package's folder, such as `src/**/*.rs`".to_owned()
    };
    said(project, problem).help(help)
}

/// The manifest as the place of what `models` says.
fn said(project: &Project, problem: Problem) -> Problem {
    match project.manifest() {
        Some(manifest) => problem.in_file(project.show_path(manifest)),
        None => problem,
    }
}

fn unreadable(project: &Project, path: &Path, error: &io::Error) -> Problem {
    Problem::new(FILE_ACCESS, format!("this cannot be read: {error}"))
        .in_file(project.show_path(path))
        .help("see its permissions")
}
