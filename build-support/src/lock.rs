//! `migrate.lock` and `migrate.local`: text in, text out.
//!
//! ```text
//! # Written by cargo migrate. Commit it with the migrations; do not edit it by hand.
//! format 1
//! package todo
//! dialect postgres
//! 2025_02_19_001_create_todos  sha256:…  statements:…  seal:…  prod,released
//! 2025_02_20_001_add_priority  draft
//! ```
//!
//! The package's key stands in the file, so that whoever has the folder, a server without the manifest or a macro that
//! reads no configuration, knows whose rows of the version table it is about.
//!
//! For the same readers it says whose SQL the migrations are in, [`Dialect`]: without a line `dialect` they are SQLite's.
//! `migrate.local` has none, since there is one folder.
//!
//! The same history always gives the same bytes: lines stand in the order of the ids, names in the order of their
//! letters, and there is neither a time nor a path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::checksum::{Checksum, Seal, StatementsHash};
use crate::problem::{Code, Place, Problem, printable};
use crate::revision::{RevisionId, check_key, check_name};
use crate::token::Dialect;

/// A lock that cannot be read.
pub const LOCK_SYNTAX: Code = Code("lock-syntax");
/// A lock with git's conflict markers in it.
pub const LOCK_CONFLICT: Code = Code("lock-conflict");
/// A lock of another format, or of a dialect that nobody here knows.
pub const LOCK_FORMAT: Code = Code("lock-format");

/// The name that `seal` writes: users' databases, which no command sees, have the revision.
pub const RELEASED: &str = "released";
/// The name for a database that was given as a URL.
pub const URL: &str = "url";
/// The names that no downgrade takes off: nobody here can see whether such a database still has the revision.
pub const RESERVED: [&str; 2] = [RELEASED, URL];

/// What a sealed revision was when it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The file's checksum.
    pub checksum: Checksum,
    /// What its upgrade does.
    pub statements: StatementsHash,
    /// The history that it stands on.
    pub seal: Seal,
}

impl Hashes {
    /// Whether these are of another text that does the same on the same history: comments, the down or the verify
    /// section changed.
    #[must_use]
    pub fn differs_in_text_alone(&self, other: &Self) -> bool {
        self.checksum != other.checksum && (self.statements, self.seal) == (other.statements, other.seal)
    }
}

/// A line of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Free to edit: applied to no database that counts.
    Draft,
    /// Applied: fixed, with the names of the databases that have it.
    Sealed(Hashes, BTreeSet<String>),
}

/// A lock file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    package: Option<String>,
    dialect: Dialect,
    entries: BTreeMap<RevisionId, Entry>,
}

impl Lock {
    /// The key of the package whose history this is; `None` where the file does not say.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }

    /// Notes whose history this is.
    pub fn set_package(&mut self, key: &str) {
        self.package = Some(key.to_owned());
    }

    /// Whose SQL the migrations are in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Notes whose SQL the migrations are in.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// The dialect that a lock's normalised text names, whatever else is wrong with the text: the migrations are read
    /// all the same, and who reads the lock tells its problems.
    #[must_use]
    pub fn dialect_of(text: &str) -> Dialect {
        sides(text).find_map(|(_, line)| Dialect::of_word(header(line, "dialect")?.trim_end())).unwrap_or_default()
    }

    /// The lines.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<RevisionId, Entry> {
        &self.entries
    }

    /// A revision's line.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// What a revision is sealed as, where it is.
    #[must_use]
    pub fn sealed(&self, id: &str) -> Option<(&Hashes, &BTreeSet<String>)> {
        match self.entries.get(id) {
            Some(Entry::Sealed(hashes, names)) => Some((hashes, names)),
            _ => None,
        }
    }

    /// Adds a draft line; a sealed line stays.
    pub fn add_draft(&mut self, id: RevisionId) {
        self.entries.entry(id).or_insert(Entry::Draft);
    }

    /// Notes that a database has a revision. Where the line says already that the same upgrade ran on the same history,
    /// its checksum stays: it is the one of the text that was accepted last.
    pub fn seal(&mut self, id: RevisionId, hashes: Hashes, name: &str) {
        match self.entries.entry(id).or_insert(Entry::Draft) {
            Entry::Sealed(known, names) => {
                if (known.statements, known.seal) != (hashes.statements, hashes.seal) {
                    *known = hashes;
                }
                names.insert(name.to_owned());
            }
            entry @ Entry::Draft => *entry = Entry::Sealed(hashes, BTreeSet::from([name.to_owned()])),
        }
    }

    /// Accepts another text of a sealed revision whose upgrade does the same; gives whether its line changed.
    pub fn accept(&mut self, id: &str, hashes: Hashes) -> bool {
        match self.entries.get_mut(id) {
            Some(Entry::Sealed(known, _)) if known.differs_in_text_alone(&hashes) => {
                *known = hashes;
                true
            }
            _ => false,
        }
    }

    /// Notes that a database no longer has a revision; gives whether its line said so. A line without a name left
    /// is a draft again.
    pub fn unseal(&mut self, id: &str, name: &str) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        let Entry::Sealed(_, names) = entry else { return false };
        let was = names.remove(name);
        if names.is_empty() {
            *entry = Entry::Draft;
        }
        was
    }

    /// Takes a line out.
    pub fn remove(&mut self, id: &str) {
        self.entries.remove(id);
    }

    /// Takes out the draft lines that `keep` does not want.
    pub fn retain_drafts(&mut self, keep: impl Fn(&RevisionId) -> bool) {
        self.entries.retain(|id, entry| *entry != Entry::Draft || keep(id));
    }

    /// Writes the lock. `local` says whose header it gets.
    #[must_use]
    pub fn to_text(&self, local: bool) -> String {
        let mut text = String::from(if local {
            "# Written by cargo migrate: what this checkout's own databases have. Not to be committed.\n"
        } else {
            "# Written by cargo migrate. Commit it with the migrations; do not edit it by hand.\n"
        });
        text.push_str("format 1\n");
        if let Some(package) = &self.package {
            text.push_str(&format!("package {package}\n"));
        }
        if self.dialect != Dialect::default() {
            text.push_str(&format!("dialect {}\n", self.dialect.word()));
        }
        for (id, entry) in &self.entries {
            // Writing to a String cannot fail.
            let _ = match entry {
                Entry::Draft => writeln!(text, "{id}  draft"),
                Entry::Sealed(hashes, names) => {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    writeln!(
                        text,
                        "{id}  {}  {}  {}  {}",
                        hashes.checksum,
                        hashes.statements,
                        hashes.seal,
                        names.join(",")
                    )
                }
            };
        }
        text
    }

    /// Reads a lock's normalised text.
    ///
    /// # Errors
    /// [`LOCK_CONFLICT`], [`LOCK_FORMAT`], or [`LOCK_SYNTAX`] at each line that is not one.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        if let Some(marker) = conflict_marker(text) {
            // Git does not know the lock of this checkout, so nothing settles a conflict in it.
            if is_local(path) {
                let conflict = damaged("this file holds a merge conflict").at(Place::span(path, text, marker));
                return Err(vec![mend(path, conflict)]);
            }
            return Err(vec![
                Problem::new(LOCK_CONFLICT, "this file holds a merge conflict")
                    .at(Place::span(path, text, marker))
                    .help("run `cargo migrate lock`: it settles the conflict where both sides agree on what is sealed"),
            ]);
        }
        Self::parse_lines(path, text, false)
    }

    /// Reads both sides of a conflict at once: lines that stand on one side alone are kept, a sealed line goes before
    /// a draft, and names are joined. `said` is the dialect where a person has said which one is meant; else both sides
    /// have to name the same.
    ///
    /// # Errors
    /// As [`Lock::parse`]; two sealed lines of one revision that do not agree are [`LOCK_CONFLICT`], and so are two
    /// dialects.
    pub fn parse_conflicted(path: &Path, text: &str, said: Option<Dialect>) -> Result<Self, Vec<Problem>> {
        let kept: String = sides(text).map(|(_, line)| line).collect();
        let mut lock = Self::parse_lines(path, &kept, true)?;
        let of = |other: Side| {
            let lines = sides(text).filter(|(side, _)| *side != other).map(|(_, line)| line);
            Self::dialect_of(&lines.collect::<String>())
        };
        lock.dialect = match (said, of(Side::Theirs), of(Side::Ours)) {
            (Some(said), ..) => said,
            (None, ours, theirs) if ours == theirs => ours,
            (None, ours, theirs) => {
                return Err(vec![
                    Problem::new(
                        LOCK_CONFLICT,
                        format!("one side of the conflict has {ours}'s migrations, and the other {theirs}'s"),
                    )
                    .in_file(path)
                    .help(format!(
                        "say which are meant: `cargo migrate lock --dialect {}`, or `--dialect {}`",
                        ours.word(),
                        theirs.word()
                    )),
                ]);
            }
        };
        Ok(lock)
    }

    fn parse_lines(path: &Path, text: &str, merge: bool) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut lock = Self::default();
        let (mut format_seen, mut dialect) = (false, None);
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let span = offset..offset + line.trim_end().len();
            offset += line.len();
            let place = || Place::span(path, text, span.clone());
            if !line.ends_with('\n') {
                problems.push(damaged("this file ends in the middle of a line").at(place()));
                break;
            }
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(format) = header(line, "format") {
                if format != "1" {
                    let newer = Problem::new(LOCK_FORMAT, "this lock is of a format that this version does not know");
                    return Err(vec![newer.at(place()).help("install a newer cargo-migrate")]);
                }
                format_seen = true;
                continue;
            }
            if !format_seen {
                problems.push(damaged("the line `format 1` is missing before this one").at(place()));
                break;
            }
            if let Some(key) = header(line, "package") {
                if let Err(problem) = lock.belongs_to(key, merge) {
                    problems.push(problem.at(place()));
                }
                continue;
            }
            if let Some(word) = header(line, "dialect") {
                let Some(named) = Dialect::of_word(word) else {
                    let unknown =
                        format!("this lock is for the SQL of `{}`, which this version does not know", printable(word));
                    return Err(vec![
                        Problem::new(LOCK_FORMAT, unknown)
                            .at(place())
                            .help("write `dialect sqlite` or `dialect postgres`")
                            .help("or install a newer cargo-migrate"),
                    ]);
                };
                if dialect.replace(named).is_some() && !merge {
                    problems.push(damaged("a second `dialect` line").at(place()));
                }
                lock.dialect = named;
                continue;
            }
            match parse_line(line) {
                Ok((id, entry)) => {
                    if let Err(problem) = lock.insert(id, entry, merge) {
                        problems.push(problem.at(place()));
                    }
                }
                Err(why) => problems.push(damaged(why).at(place())),
            }
        }
        if !format_seen && problems.is_empty() {
            problems.push(damaged("this file is empty: not even the line `format 1` is there").in_file(path));
        }
        if problems.is_empty() {
            return Ok(lock);
        }
        let to_mend = |problem: Problem| if problem.code() == LOCK_SYNTAX { mend(path, problem) } else { problem };
        Err(problems.into_iter().map(to_mend).collect())
    }

    fn belongs_to(&mut self, key: &str, merge: bool) -> Result<(), Problem> {
        check_key(key, "a package's key").map_err(|problem| damaged(problem.message()))?;
        match &self.package {
            None => self.set_package(key),
            Some(known) if known == key && merge => {}
            Some(known) if merge => {
                return Err(Problem::new(
                    LOCK_CONFLICT,
                    format!("the two sides are of different packages, `{known}` and `{key}`"),
                )
                .help("take one of the two `package` lines out, and give that package its name in Cargo.toml"));
            }
            Some(_) => return Err(damaged("a second `package` line")),
        }
        Ok(())
    }

    fn insert(&mut self, id: RevisionId, entry: Entry, merge: bool) -> Result<(), Problem> {
        let merged = match (self.entries.remove(&id), entry) {
            (None, entry) => entry,
            (Some(_), _) if !merge => return Err(damaged(format!("`{id}` has two lines"))),
            (Some(Entry::Draft), entry) | (Some(entry), Entry::Draft) => entry,
            (Some(Entry::Sealed(ours, mut names)), Entry::Sealed(theirs, more)) => {
                if ours != theirs {
                    return Err(Problem::new(LOCK_CONFLICT, format!("the two sides have sealed different texts of `{id}`"))
                        .help("one of them was edited after it was applied: put its file back, and give the change a new revision"));
                }
                names.extend(more);
                Entry::Sealed(ours, names)
            }
        };
        self.entries.insert(id, merged);
        Ok(())
    }
}

/// Where a line of a text with conflict markers stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    Ours,
    Theirs,
}

/// The lines of a text without git's conflict markers, each with its side. With diff3 conflicts the common ancestor
/// stands between `|||||||` and `=======`; it is no side.
fn sides(text: &str) -> impl Iterator<Item = (Side, &str)> {
    let mut side = Some(Side::Both);
    text.split_inclusive('\n').filter_map(move |line| {
        side = match line.get(..7) {
            Some("<<<<<<<") => Some(Side::Ours),
            Some("|||||||") => None,
            Some("=======") => Some(Side::Theirs),
            Some(">>>>>>>") => Some(Side::Both),
            _ => return side.map(|side| (side, line)),
        };
        None
    })
}

/// What stands behind a header's word. A revision's line has two spaces behind the id, so one may be called `format`.
fn header<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)?.strip_prefix(' ').filter(|rest| !rest.starts_with(' '))
}

fn damaged(message: impl Into<String>) -> Problem {
    Problem::new(LOCK_SYNTAX, message)
}

/// Adds the ways out of a damaged lock. That of this checkout alone is not committed, and can be made again.
fn mend(path: &Path, problem: Problem) -> Problem {
    if is_local(path) {
        return problem.help(
            "remove this file: `cargo migrate -d NAME upgrade` on each of this checkout's databases writes it anew",
        );
    }
    problem
        .help("put the file back as git has it: `git checkout -- migrate.lock` in the migrations folder")
        .help("or, where git has none, remove the file and run `cargo migrate lock`, then `upgrade` on each database")
}

fn is_local(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "local")
}

fn parse_line(line: &str) -> Result<(RevisionId, Entry), String> {
    let mut words = line.split_ascii_whitespace();
    let id = RevisionId::new(words.next().unwrap_or_default()).map_err(|problem| problem.message().to_owned())?;
    let rest: Vec<&str> = words.collect();
    match rest[..] {
        ["draft"] => Ok((id, Entry::Draft)),
        [checksum, statements, seal, names] => {
            let (Some(checksum), Some(statements), Some(seal)) =
                (Checksum::parse(checksum), StatementsHash::parse(statements), Seal::parse(seal))
            else {
                return Err(format!("the hashes of `{id}` are not whole"));
            };
            let mut all = BTreeSet::new();
            for name in names.split(',') {
                check_name(name, "a database's name").map_err(|problem| problem.message().to_owned())?;
                all.insert(name.to_owned());
            }
            Ok((id, Entry::Sealed(Hashes { checksum, statements, seal }, all)))
        }
        _ => Err(format!("the line of `{id}` is neither a draft's nor a sealed revision's")),
    }
}

fn conflict_marker(text: &str) -> Option<std::ops::Range<usize>> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if matches!(line.get(..7), Some("<<<<<<<" | "=======" | ">>>>>>>" | "|||||||")) {
            return Some(offset..offset + line.trim_end().len());
        }
        offset += line.len();
    }
    None
}

#[cfg(test)]
mod tests;
