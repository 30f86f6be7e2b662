//! What a migration was: git knows, where the file was committed as it was applied.

use std::process::{Command, Stdio};

use crate::against::OF_HOOKS;
use build_support::checksum::Checksum;
use build_support::directory::Directory;
use build_support::migration::{Migration, normalise};
use build_support::revision::RevisionId;
use migrate_runtime::statement::split_as;

/// How many commits of a file are looked at.
const COMMITS: &str = "200";
/// How many lines of a difference are shown.
const LINES: usize = 24;

/// The text of a revision's file that has this checksum, where a commit has it. Without git, or outside of a
/// repository, there is none.
pub(super) fn text(directory: &Directory, id: &RevisionId, checksum: &Checksum) -> Option<String> {
    let file = format!("./{}", id.file_name());
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        // Set for git's hooks, where they name the repository from another folder.
        for name in OF_HOOKS {
            command.env_remove(name);
        }
        command.current_dir(directory.path()).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let commits = String::from_utf8(git(&["log", "--format=%H", "-n", COMMITS, "--", &file])?).ok()?;
    commits.lines().find_map(|commit| {
        let bytes = git(&["show", &format!("{commit}:{file}")])?;
        normalise(&directory.file(id), bytes).ok().filter(|text| Checksum::of(text) == *checksum)
    })
}

/// The lines that are gone and those that are new, without what both texts start and end with.
pub(super) fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let gone = old[..old.len() - end].iter().map(|line| format!("- {line}"));
    let mut lines: Vec<String> = gone.chain(new[..new.len() - end].iter().map(|line| format!("+ {line}"))).collect();
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} more lines"));
    }
    lines
}

/// The first statement of the upgrade that is another one now, as notes; none where the statements are the same and
/// something of the header is not.
pub(super) fn first_difference(migration: &Migration, old: &str, new: &str) -> Vec<String> {
    let dialect = migration.dialect;
    let Ok(before) = Migration::parse_as(dialect, migration.id.clone(), &migration.path, old) else {
        return Vec::new();
    };
    let statements = |text: &str, span: &std::ops::Range<usize>| -> Vec<String> {
        split_as(dialect, text, span.clone()).iter().map(|statement| shortened(statement.text)).collect()
    };
    let (was, is) = (statements(old, &before.up), statements(new, &migration.up));
    let Some(at) = (0..was.len().max(is.len())).find(|at| was.get(*at) != is.get(*at)) else { return Vec::new() };
    let shown = |statement: Option<&String>| statement.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
    vec![format!("statement {} was {}", at + 1, shown(was.get(at))), format!("and is {}", shown(is.get(at)))]
}

fn shortened(statement: &str) -> String {
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= 160 { words } else { words.chars().take(159).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_changed_and_no_more() {
        assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), ["- b", "+ B"]);
        assert_eq!(difference("a\nc\n", "a\nb\nc\n"), ["+ b"]);
        assert_eq!(difference("a\na\n", "a\n"), ["- a"]);
        assert!(difference("a\n", "a\n").is_empty());
        assert_eq!(difference(&"x\n".repeat(100), "").len(), LINES + 1);
    }
}
