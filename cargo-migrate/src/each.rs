//! The files that a pattern of `--each` means: the databases of one kind, and nothing of what lies beside them.
//!
//! [`server`] has the same of the databases and schemas of a server.

pub mod server;

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use build_support::directory::FILE_ACCESS;
use build_support::problem::{Problem, printable};
use glob::{MatchOptions, Pattern};

use crate::backup::Name;
use crate::failure::{Failure, Result};
use crate::live::file::NO_DATABASE_FILE;
use crate::project::database::DatabaseKey;

/// The folder below a package that is this tool's own.
const OURS: &str = ".migrate";
/// What SQLite and this tool put behind a database's name for the files beside it.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", "-migrate"];
/// What people and this tool put behind the name of a copy, or of a file that is not whole yet.
const COPIES: [&str; 6] = [".backup", ".bak", ".old", ".orig", ".partial", "~"];
/// What stands in the name of a file that `restore` has moved out of the way, before the time.
const MOVED_ASIDE: &str = ".damaged-";

const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// What the patterns have found.
#[derive(Debug, Default)]
pub struct Each {
    /// The databases, each file once, in the order of their paths.
    pub files: Vec<PathBuf>,
    /// What a pattern fits and is no such database: journals and logs, copies, what is hidden or this tool's own.
    pub left_out: Vec<PathBuf>,
}

/// The files that patterns mean, which start at this folder where they are relative.
///
/// `*`, `?` and `[…]` stand for a part of a name, `**` for any number of folders. Links to folders are followed where a
/// part of a pattern fits their name, and not by `**`, which might go in a circle.
///
/// # Errors
/// A pattern that is none, one that finds no database, a folder that cannot be read.
pub fn files(here: &Path, patterns: &[String]) -> Result<Each> {
    let (mut files, mut left_out) = (BTreeSet::new(), BTreeSet::new());
    for text in patterns {
        let mut found = Found::default();
        let (start, parts) = parsed(here, text)?;
        walk(&start, &parts, &mut found)?;
        if found.files.is_empty() {
            return Err(nothing(text, &start, &found).into());
        }
        files.append(&mut found.files);
        left_out.append(&mut found.left_out);
    }
    let mut known = HashSet::new();
    let files = files.into_iter().filter(|path| known.insert(DatabaseKey::of_file(path))).collect();
    Ok(Each { files, left_out: left_out.into_iter().collect() })
}

#[derive(Default)]
struct Found {
    files: BTreeSet<PathBuf>,
    left_out: BTreeSet<PathBuf>,
}

/// A part of a pattern between two separators.
enum Part {
    Plain(OsString),
    Wild(Pattern, bool),
    AnyFolders,
}

/// A pattern as the folder that it starts in and its parts from the first one with a wildcard on.
fn parsed(here: &Path, text: &str) -> Result<(PathBuf, Vec<Part>)> {
    let (mut start, mut parts) = (here.to_owned(), Vec::new());
    for component in Path::new(text).components() {
        let name = component.as_os_str();
        let word = name.to_string_lossy();
        if word == "**" {
            if !matches!(parts.last(), Some(Part::AnyFolders)) {
                parts.push(Part::AnyFolders);
            }
        } else if matches!(component, Component::Normal(_)) && word.contains(['*', '?', '[']) {
            let pattern = Pattern::new(&word).map_err(|error| {
                Failure::misused(format!("`{}` is no pattern: {}", printable(text), error.msg))
                    .help("write such as `--each 'tenants/*.db'`; `**` stands alone between two separators")
            })?;
            parts.push(Part::Wild(pattern, word.starts_with('.')));
        } else if parts.is_empty() {
            start.push(name);
        } else {
            parts.push(Part::Plain(name.to_owned()));
        }
    }
    if let (Some(Part::AnyFolders), Ok(all)) = (parts.last(), Pattern::new("*")) {
        parts.push(Part::Wild(all, false));
    }
    // A path that leads up is shown as where it leads to.
    if Path::new(text).components().any(|component| component == Component::ParentDir)
        && let Ok(real) = start.canonicalize()
    {
        start = real;
    }
    if parts.is_empty() {
        // Without a wildcard the path itself is meant.
        let name = start.file_name().map(OsStr::to_owned);
        parts.extend(name.map(Part::Plain));
        start.pop();
    }
    Ok((start, parts))
}

fn walk(folder: &Path, parts: &[Part], found: &mut Found) -> Result<(), Problem> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    match part {
        Part::Plain(name) if rest.is_empty() => found.take(folder.join(name)),
        Part::Plain(name) => return walk(&folder.join(name), rest, found),
        Part::Wild(pattern, dotted) => {
            for (name, path, _) in entries(folder)? {
                let hidden = is_hidden(&name) && !dotted;
                if !pattern.matches_with(&name.to_string_lossy(), MATCHING) {
                    continue;
                }
                if rest.is_empty() {
                    found.take(path);
                } else if !hidden && path.is_dir() {
                    walk(&path, rest, found)?;
                }
            }
        }
        Part::AnyFolders => {
            walk(folder, rest, found)?;
            for (name, path, is_folder) in entries(folder)? {
                if is_folder && !is_hidden(&name) {
                    walk(&path, parts, found)?;
                }
            }
        }
    }
    Ok(())
}

/// What is in a folder: each name, its path, and whether it is a folder itself and no link to one. Nothing where there is
/// no such folder.
fn entries(folder: &Path) -> Result<Vec<(OsString, PathBuf, bool)>, Problem> {
    let unreadable = |error: io::Error| {
        Problem::new(FILE_ACCESS, format!("this folder cannot be read: {error}"))
            .in_file(folder)
            .note("there may be databases in it that a pattern of `--each` means")
            .help("see who may read it, or write a pattern that does not lead there")
    };
    let listed = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => listed.map_err(unreadable)?,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(unreadable)?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entries.push((entry.file_name(), entry.path(), is_folder));
    }
    Ok(entries)
}

impl Found {
    /// Sorts in what a pattern fits; a folder, a pipe, or a link that leads nowhere is nothing.
    fn take(&mut self, path: PathBuf) {
        if !path.is_file() {
            return;
        }
        let kept = if is_left_out(&path) { &mut self.left_out } else { &mut self.files };
        kept.insert(path);
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file is none of the databases, by its name.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let text = name.to_string_lossy().to_lowercase();
    is_hidden(name)
        || path.components().any(|component| component.as_os_str() == OURS)
        || BESIDE.iter().chain(&COPIES).any(|ending| text.ends_with(ending))
        || text.contains(MOVED_ASIDE)
        || name.to_str().is_some_and(|name| Name::parse(name).is_some())
}

fn nothing(text: &str, start: &Path, found: &Found) -> Problem {
    let problem = Problem::new(NO_DATABASE_FILE, format!("`{}` finds no database", printable(text)));
    let folder = Path::new(text);
    if !found.left_out.is_empty() {
        let named = found.left_out.iter().take(3).filter_map(|path| path.file_name());
        let named: Vec<_> = named.map(|name| printable(&name.to_string_lossy())).collect();
        return problem
            .note(format!("it finds copies and what lies beside databases alone: {}", named.join(", ")))
            .help("write a pattern that fits the databases, such as `--each 'tenants/*.db'`");
    }
    if start.join(folder.file_name().unwrap_or_default()).is_dir() {
        let folder = printable(text.trim_end_matches(['/', '\\']));
        return problem.help(format!("for the files in this folder write `--each '{folder}/*.db'`"));
    }
    let problem = match start.is_dir() {
        true => problem,
        false => problem.note("its folder is not there").in_file(start),
    };
    problem.help("a relative pattern starts at the working directory: see that you are where you think")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files; gives what the patterns find in it, and what they leave out.
    fn found(files: &[&str], patterns: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        for file in files {
            let path = here.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let patterns: Vec<String> = patterns.iter().map(|it| it.replace("HERE", &here.to_string_lossy())).collect();
        let each = super::files(&here, &patterns)?;
        let below = |paths: Vec<PathBuf>| {
            paths.iter().map(|path| path.strip_prefix(&here).unwrap().to_string_lossy().into_owned()).collect()
        };
        Ok((below(each.files), below(each.left_out)))
    }

    fn files(files: &[&str], patterns: &[&str]) -> Vec<String> {
        found(files, patterns).unwrap().0
    }

    fn refused(files: &[&str], pattern: &str) -> String {
        format!("{:?}", found(files, &[pattern]).unwrap_err().problems())
    }

    #[test]
    fn a_pattern_finds_files_sorted_and_each_once() {
        let all = ["t/b.db", "t/a.db", "t/x/c.db", "t/x/y/d.db", "u/a b/größe 1.db", "t/[z].db"];
        assert_eq!(files(&all, &["t/*.db"]), ["t/[z].db", "t/a.db", "t/b.db"]);
        assert_eq!(files(&all, &["t/?.db", "t/[a-b].db", "./t/a.db"]), ["t/a.db", "t/b.db"]);
        assert_eq!(files(&all, &["t/[[]z].db"]), ["t/[z].db"]);
        assert_eq!(files(&all, &["t/**/*.db"]).len(), 5);
        assert_eq!(files(&all, &["t/**"]), files(&all, &["t/**/**/*.db"]));
        assert_eq!(files(&all, &["t/*/*.db"]), ["t/x/c.db"]);
        assert_eq!(files(&all, &["*/x/*.db"]), ["t/x/c.db"]);
        assert_eq!(files(&all, &["u/a b/größe*.db"]), ["u/a b/größe 1.db"]);
        assert_eq!(files(&all, &["HERE/t/a.db", "HERE/u/../t/[b]*"]), ["t/a.db", "t/b.db"]);
        assert_eq!(files(&all, &["t/**/d.db"]), ["t/x/y/d.db"]);
    }

    #[test]
    fn what_lies_beside_a_database_or_is_a_copy_of_one_is_left_out() {
        let beside = [
            "t/a.db-wal",
            "t/a.db-shm",
            "t/a.db-journal",
            "t/a.db-migrate",
            "t/a.db.bak",
            "t/a.db.BACKUP",
            "t/a.db.old",
            "t/a.db.orig",
            "t/a.db~",
            "t/.hidden.db",
            "t/a.db.damaged-2026-11-23T180000Z",
            "t/a-2026-11-23T170301Z-a1-auto.db",
            "t/a-2026-11-23T170301Z-a1.db.partial",
            "t/.migrate/backups/x.db",
        ];
        let all: Vec<&str> = beside.iter().copied().chain(["t/a.db", "t/.git/b.db"]).collect();
        let (files, left_out) = found(&all, &["t/**/*"]).unwrap();
        assert_eq!(files, ["t/a.db"]);
        assert_eq!(left_out.len(), beside.len() - 1, "{left_out:?}");
        // A hidden folder is entered where it is named, and what is below `.migrate` is no database even then.
        assert_eq!(found(&all, &["t/.git/*.db"]).unwrap().0, ["t/.git/b.db"]);
        assert!(refused(&all, "t/.migrate/*/*.db").contains("x.db"));
    }

    #[test]
    fn a_pattern_that_finds_nothing_is_told_why() {
        let all = ["t/a.db", "t/b.txt"];
        assert!(refused(&all, "t/*.sqlite").contains("[no-database-file] `t/*.sqlite` finds no database"));
        assert!(refused(&all, "u/*.db").contains("its folder is not there"));
        assert!(refused(&all, "t").contains("write `--each 't/*.db'`"));
        assert!(refused(&all, "t/").contains("write `--each 't/*.db'`"));
        assert!(refused(&all, "").contains("finds no database"));
        assert!(refused(&all, "t/a**.db").contains("is no pattern"));
        assert!(refused(&all, "t/[a.db").contains("is no pattern"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_the_file_that_they_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::create_dir(here.join("t")).unwrap();
        fs::write(here.join("t/b.db"), "").unwrap();
        fs::hard_link(here.join("t/b.db"), here.join("t/c.db")).unwrap();
        std::os::unix::fs::symlink("b.db", here.join("t/d.db")).unwrap();
        std::os::unix::fs::symlink("nowhere", here.join("t/e.db")).unwrap();
        std::os::unix::fs::symlink("..", here.join("t/up")).unwrap();
        fs::create_dir(here.join("t/f.db")).unwrap();
        let found = |pattern: &str| super::files(here, &[pattern.to_owned()]).unwrap().files;
        assert_eq!(found("t/*.db"), [here.join("t/b.db")]);
        assert_eq!(found("**/*.db"), [here.join("t/b.db")]);
        assert_eq!(found("t/up/t/*.db"), [here.join("t/up/t/b.db")]);
    }
}
