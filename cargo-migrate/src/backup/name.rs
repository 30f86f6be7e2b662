//! What a backup's file is called: `NAME~MARK-TIME-REVISIONS[-auto][-N].db`, or `.dump` of a server's database.
//!
//! The name says whose it is and whether it may be removed by itself, so it is read back exactly: between the time and
//! the ending no part but the last two has a hyphen in it. Whose it is says the mark, which hangs on where the database is:
//! a configured name may lead elsewhere tomorrow.

use build_support::checksum::Digest;
use jiff::Timestamp;

use super::Why;
use crate::project::database::{Identity, identity};
use crate::project::{Database, Project};

const AUTOMATIC: &str = "-auto";
/// What stands where nothing is applied.
const BASE: &str = "base";
/// What stands where the version table cannot be read.
const UNKNOWN: &str = "unknown";
/// The longest part of a name that is taken from a database's file, and from revisions, in bytes.
const LONGEST: usize = 90;

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A SQLite database.
    File,
    /// An archive of `pg_dump`'s.
    Dump,
}

impl Form {
    /// What the backups of a database are.
    #[must_use]
    pub fn of(database: &Database) -> Self {
        if database.server().is_some() { Self::Dump } else { Self::File }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::File => ".db",
            Self::Dump => ".dump",
        }
    }
}

/// A backup's name, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Whose backup it is: what people call the database, and its [`mark`].
    pub database: String,
    /// When the command started that made it: UTC, RFC 3339 without the colons.
    pub time: String,
    /// What the database was at, as far as it fits a name.
    pub revisions: String,
    /// Whether it was made by itself.
    pub automatic: bool,
    /// Which one it is of those that would have the same name, from 1.
    pub counter: u32,
    /// What the file is.
    pub form: Form,
}

impl Name {
    /// The first name of a new backup.
    pub(super) fn new(
        project: &Project,
        database: &Database,
        started: Timestamp,
        revisions: Option<&[String]>,
        why: Why,
    ) -> Self {
        Self {
            database: format!("{}~{}", called(database), mark(project, database)),
            time: started.strftime("%Y-%m-%dT%H%M%SZ").to_string(),
            revisions: said(revisions),
            automatic: why == Why::Automatic,
            counter: 1,
            form: Form::of(database),
        }
    }

    /// Whether it is a backup of the database with this mark. One whose name has no mark is nobody's.
    #[must_use]
    pub fn is_of(&self, mark: &str) -> bool {
        self.database.rsplit_once('~').is_some_and(|(_, own)| own == mark)
    }

    /// What people call the database, which others may be called, too.
    #[must_use]
    pub fn called(&self) -> &str {
        self.database.rsplit_once('~').map_or(&*self.database, |(called, _)| called)
    }

    /// Whether this is a part of the name as people read it. The mark's digits are meant only by who writes its sign:
    /// anything short could be found in them.
    pub(super) fn has_part(&self, part: &str) -> bool {
        let called = self.called().to_owned();
        part.contains('~') && self.file().contains(part)
            || Self { database: called, ..self.clone() }.file().contains(part)
    }

    /// Whether it says that the database was at these revisions.
    pub(super) fn is_at(&self, revisions: &[String]) -> bool {
        self.revisions == said(Some(revisions))
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> String {
        let automatic = if self.automatic { AUTOMATIC } else { "" };
        let counter = if self.counter > 1 { format!("-{}", self.counter) } else { String::new() };
        format!("{}-{}-{}{automatic}{counter}{}", self.database, self.time, self.revisions, self.form.ending())
    }

    /// Reads a file's name; nothing where it is not exactly as this tool writes one.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let form = [Form::File, Form::Dump].into_iter().find(|form| file.ends_with(form.ending()))?;
        let stem = file.strip_suffix(form.ending())?;
        let (at, _) = stem.match_indices('-').find(|(at, _)| time_at(stem, at + 1).is_some())?;
        let (time, rest) = time_at(stem, at + 1)?;
        let mut parts = rest.split('-');
        let revisions = parts.next()?.to_owned();
        let mut next = parts.next();
        let automatic = next == Some(&AUTOMATIC[1..]);
        if automatic {
            next = parts.next();
        }
        let counter = next.map_or(Some(1), |counter| counter.parse().ok())?;
        let name = Self { database: stem[..at].to_owned(), time: time.to_owned(), revisions, automatic, counter, form };
        let parts = [(&name.database, "_-.~"), (&name.revisions, "_+")];
        let clean = parts.iter().all(|(part, more)| !part.is_empty() && plain(part, more) == **part);
        (clean && name.file() == file).then_some(name)
    }

    /// The time as people and programs read it.
    #[must_use]
    pub fn made_at(&self) -> String {
        let (hour, rest) = self.time.split_at(13);
        let (minute, second) = rest.split_at(2);
        format!("{hour}:{minute}:{second}")
    }
}

/// The part of the name that says what a database was at.
fn said(revisions: Option<&[String]>) -> String {
    let joined = match revisions {
        None => UNKNOWN.to_owned(),
        Some([]) => BASE.to_owned(),
        Some(revisions) => plain(&revisions.join("+"), "_+"),
    };
    cut(&joined).to_owned()
}

/// What tells a database from all others in the names of its backups: eight digits of where it is, whatever it is called and
/// whoever connects. A file of the workspace keeps them where the workspace is moved.
#[must_use]
pub fn mark(project: &Project, database: &Database) -> String {
    let place = database.url.identity();
    let mut digest = Digest::new("cargo-migrate backup 2");
    match &place {
        Identity::File(path) => {
            let root = identity(project.workspace_root());
            digest.part(b"file");
            digest.part(path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes());
        }
        Identity::Server(place) => {
            digest.part(b"server");
            digest.part(place.as_bytes());
        }
    }
    digest.finish()[..8].to_owned()
}

/// What a database is called in the names of its backups: as in the configuration, else as its file or on its server.
fn called(database: &Database) -> String {
    if let Some(name) = database.name.as_ref().filter(|name| !has_time(name)) {
        return name.clone();
    }
    let stem = match (database.url.file(), database.server()) {
        (Some(path), _) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        (None, server) => server.map(|server| server.database().to_owned()).unwrap_or_default(),
    };
    // A hyphen could make a time of what stands around it.
    cut(&plain(&stem, "_.")).to_owned()
}

/// Whether a name reads as if a backup's time stood in it.
fn has_time(name: &str) -> bool {
    let name = format!("{name}-");
    name.match_indices('-').any(|(at, _)| time_at(&name, at + 1).is_some())
}

/// The time that starts here, and what follows its hyphen.
fn time_at(text: &str, at: usize) -> Option<(&str, &str)> {
    const FORM: &[u8] = b"0000-00-00T000000Z-";
    let form = text.as_bytes().get(at..at + FORM.len())?;
    let is = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let (end, rest) = (at + FORM.len() - 1, at + FORM.len());
    form.iter().zip(FORM).all(is).then(|| (&text[at..end], &text[rest..]))
}

/// A text in which letters, digits and these characters stay and every other one is `_`.
fn plain(text: &str, more: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || more.contains(c) { c } else { '_' }).collect()
}

/// As much of a text as a name has room for.
fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(database: &str, revisions: &str, automatic: bool, counter: u32) -> Name {
        Name {
            database: database.to_owned(),
            time: "2026-11-23T170301Z".to_owned(),
            revisions: revisions.to_owned(),
            automatic,
            counter,
            form: Form::File,
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for (name, file) in [
            (name("dev~0a1b2c3d", "a1", false, 1), "dev~0a1b2c3d-2026-11-23T170301Z-a1.db"),
            (name("dev", "a1", true, 1), "dev-2026-11-23T170301Z-a1-auto.db"),
            (name("prod-eu", "a1+b_2", true, 12), "prod-eu-2026-11-23T170301Z-a1+b_2-auto-12.db"),
            (name("bücher.v2~0a1b2c3d", "base", false, 2), "bücher.v2~0a1b2c3d-2026-11-23T170301Z-base-2.db"),
            // A revision may be called so.
            (name("dev", "auto", false, 1), "dev-2026-11-23T170301Z-auto.db"),
        ] {
            assert_eq!(name.file(), file);
            assert_eq!(Name::parse(file), Some(name));
        }
        let dump = Name { form: Form::Dump, ..name("prod", "a1", true, 2) };
        assert_eq!(dump.file(), "prod-2026-11-23T170301Z-a1-auto-2.dump");
        assert_eq!(Name::parse(&dump.file()), Some(dump));
        assert_eq!(name("dev", "a1", false, 1).made_at(), "2026-11-23T17:03:01Z");
    }

    #[test]
    fn whose_a_backup_is_says_its_mark_alone() {
        let of = |database: &str| name(database, "a1", false, 1);
        for ours in ["dev~0a1b2c3d", "prod~0a1b2c3d", "x~y~0a1b2c3d"] {
            assert!(of(ours).is_of("0a1b2c3d") && !of(ours).is_of("0a1b2c3e"), "{ours}");
        }
        assert!(!of("dev").is_of("dev") && !of("dev").is_of(""));
        // No part of it is found in the digits by chance.
        let dev = of("dev~0a1b2c3d");
        assert!(["dev-2026", "Z-a1", "dev~0a1b", "~0a1b2c3d-2026"].iter().all(|part| dev.has_part(part)));
        assert!(!dev.has_part("0a1b") && !dev.has_part("b2") && !dev.has_part("~1b"));
        assert_eq!(
            (of("dev~0a1b2c3d").called(), of("x~y~0a1b2c3d").called(), of("dev").called()),
            ("dev", "x~y", "dev")
        );
    }

    #[test]
    fn what_is_not_written_so_is_no_backup() {
        for file in [
            "dev.db",
            "dev-2026-11-23T170301Z.db",
            "dev-2026-11-23T170301Z-.db",
            "-2026-11-23T170301Z-a1.db",
            "dev-2026-11-23T170301Z-a1.db.partial",
            "dev-2026-11-23T170301Z-a1-auto-1.db",
            "dev-2026-11-23T170301Z-a1-auto-x.db",
            "dev-2026-11-23T170301Z-a1-1-auto.db",
            "dev-2026-11-23T170301Z-a1-auto-2-3.db",
            "dev-2026-11-23T170301Z-a1-002.db",
            "d ev-2026-11-23T170301Z-a1.db",
            "d\u{1b}[2Jev-2026-11-23T170301Z-a1-auto.db",
            "dev-2026-11-23T170301Z-a/b.db",
            "dév-2026-11-23T17030",
        ] {
            assert_eq!(Name::parse(file), None, "{file}");
        }
    }

    #[test]
    fn revisions_of_any_length_fit_and_never_read_as_automatic() {
        let long = ["a-auto".repeat(40), "é".repeat(80)];
        let joined = plain(&long.join("+"), "_+");
        let name = name("dev", cut(&joined), false, 1);
        assert!(name.file().len() < 200);
        assert_eq!(Name::parse(&name.file()), Some(name));
        assert_eq!(cut("ab"), "ab");
        assert!(has_time("a-2026-11-23T170301Z") && !has_time("a-2026"));
    }
}
