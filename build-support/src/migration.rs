//! A migration file: header, sections, hashes.
//!
//! ```sql
//! -- Give every todo a priority.
//! -- migrate:parent 2025_02_19_001_create_todos
//!
//! -- migrate:up
//! ALTER TABLE todos ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
//!
//! -- migrate:down
//! ALTER TABLE todos DROP COLUMN priority;
//! ```
//!
//! Reading is pure: text in, [`Migration`] or problems out. Where a literal ends is for the database to say that runs the
//! text, so a text is read by the rules of a [`Dialect`]; what both read alike has the same hashes by both. A [`Migration`] keeps the spans of its sections, not
//! their text, so that a history of many revisions stays small in memory.

mod marker;
mod reader;
mod reparent;
mod tables;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::{Checksum, StatementsHash};
use crate::problem::{Code, Place, Problem};
use crate::revision::RevisionId;
use crate::token::Dialect;

pub use self::tables::TableChange;

/// The file is not UTF-8 text, or has a NUL in it.
pub const NOT_TEXT: Code = Code("not-text");
/// A `migrate:` word that does not exist.
pub const UNKNOWN_DIRECTIVE: Code = Code("unknown-directive");
/// A directive that is misplaced, doubled or has wrong arguments.
pub const INVALID_DIRECTIVE: Code = Code("invalid-directive");
/// A quote or a comment that is never closed.
pub const UNCLOSED: Code = Code("unclosed");

const DIRECTIVES: [&str; 10] =
    ["parent", "depends", "label", "no-transaction", "foreign-keys", "irreversible", "loses", "up", "down", "verify"];

/// Whether a word may start a statement of SQLite's that ends a transaction, opens one or cannot be part of one.
#[must_use]
pub fn is_control(word: &str) -> bool {
    const WORDS: [&str; 10] =
        ["ATTACH", "BEGIN", "COMMIT", "DETACH", "END", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "VACUUM"];
    WORDS.iter().any(|control| control.eq_ignore_ascii_case(word))
}

/// The same of PostgreSQL's, with those that change how the text behind them is read.
fn is_postgres_control(word: &str) -> bool {
    const WORDS: [&str; 14] = [
        "ABORT",
        "BEGIN",
        "COMMIT",
        "COPY",
        "DISCARD",
        "END",
        "PREPARE",
        "RELEASE",
        "RESET",
        "ROLLBACK",
        "SAVEPOINT",
        "SET",
        "START",
        "VACUUM",
    ];
    WORDS.iter().any(|control| control.eq_ignore_ascii_case(word))
}

/// The parents that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parents {
    /// None: the revision follows the file sorted before it, passing over those that follow later files.
    Implicit,
    /// `parent base`: it starts a root of its own.
    Base,
    /// `parent A[, B…]`; several make a merge. Never empty.
    Named(Vec<RevisionId>),
}

/// A revision that must be applied before this one without being its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The other package's key; `None` for this package.
    pub package: Option<String>,
    /// The revision.
    pub id: RevisionId,
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.package {
            Some(package) => write!(f, "{package}/{}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// What changes how a revision runs or what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// It runs outside a transaction, statement by statement.
    pub no_transaction: bool,
    /// It runs with foreign keys enforced, so that its deletes cascade.
    pub foreign_keys_on: bool,
    /// It cannot be taken back.
    pub irreversible: bool,
    /// The tables or columns whose content its author knows it to lose, as written.
    pub loses: Vec<String>,
}

impl Directives {
    /// The directives as the version table keeps them: one a line, as in a header.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if self.no_transaction {
            lines.push("no-transaction".to_owned());
        }
        if self.foreign_keys_on {
            lines.push("foreign-keys on".to_owned());
        }
        if self.irreversible {
            lines.push("irreversible".to_owned());
        }
        if !self.loses.is_empty() {
            lines.push(format!("loses {}", self.loses.join(", ")));
        }
        lines.join("\n")
    }

    /// Reads what [`Directives::to_text`] wrote. Words that a newer version has added are passed over.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut directives = Self::default();
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("no-transaction", _) => directives.no_transaction = true,
                ("foreign-keys", "on") => directives.foreign_keys_on = true,
                ("irreversible", _) => directives.irreversible = true,
                ("loses", what) => directives.loses = what.split(", ").map(str::to_owned).collect(),
                _ => {}
            }
        }
        directives
    }

    /// Whether the revision cannot share a transaction with others.
    #[must_use]
    pub fn splits_run(&self) -> bool {
        self.no_transaction || self.foreign_keys_on
    }
}

/// A migration file as it was read.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The revision's id, which is the file's stem.
    pub id: RevisionId,
    /// The file, as it is shown to people.
    pub path: PathBuf,
    /// By whose rules it was read.
    pub dialect: Dialect,
    /// What the revision is for: the header's first comment, or the id's words.
    pub message: String,
    /// Where it stands in the history.
    pub parents: Parents,
    /// What must be applied before it besides its parents.
    pub depends: Vec<Dependency>,
    /// Names for the branch that starts here.
    pub labels: Vec<String>,
    /// How it runs.
    pub directives: Directives,
    /// The hash of the whole file.
    pub checksum: Checksum,
    /// The hash of what its upgrade does.
    pub statements: StatementsHash,
    /// Whether the up section may hold a statement that a run on a database of its dialect refuses. Where it cannot,
    /// nobody has to read the file again to know.
    pub controls: bool,
    /// The tables that the up section makes, drops and renames.
    pub tables: Vec<TableChange>,
    /// The up section's span in the normalised text.
    pub up: Range<usize>,
    /// The down section's span; `None` where the file has none.
    pub down: Option<Range<usize>>,
    /// The verify section's span; `None` where the file has none.
    pub verify: Option<Range<usize>>,
    /// Whether the file is byte for byte the normalised text; [`Directory::read`](crate::directory::Directory::read)
    /// says where it is not.
    pub verbatim: bool,
    header: Arc<str>,
    directive_spans: Vec<(&'static str, Range<usize>)>,
}

impl Migration {
    /// The place of a header directive, for a problem that is about it; the file where it has none.
    #[must_use]
    pub fn directive_place(&self, word: &str) -> Place {
        match self.directive_spans.iter().find(|(known, _)| *known == word) {
            Some((_, span)) => Place::span(&self.path, Arc::clone(&self.header), span.clone()),
            None => Place::file(&self.path),
        }
    }

    /// Reads a migration's normalised text as SQLite's.
    ///
    /// # Errors
    /// All that is wrong with the header and the sections, each at its line.
    pub fn parse(id: RevisionId, path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_as(Dialect::Sqlite, id, path, text)
    }

    /// Reads a migration's normalised text by the rules of a database; those of a folder by what its lock says.
    ///
    /// # Errors
    /// All that is wrong with the header and the sections, each at its line.
    pub fn parse_as(dialect: Dialect, id: RevisionId, path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        reader::Reader::new(dialect, path, text).read(id)
    }
}

/// Turns a file's bytes into the text that is hashed, split, run and stored: UTF-8, a leading byte order mark
/// dropped, CRLF read as LF. A checkout on another system changes nothing.
///
/// # Errors
/// [`NOT_TEXT`] where the bytes are not UTF-8 or have a NUL in them.
pub fn normalise(path: &Path, bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(Problem::new(NOT_TEXT, "this file is UTF-16, and migrations are UTF-8")
            .in_file(path)
            .note("PowerShell's `>` and `Out-File` write UTF-16 unless told otherwise")
            .help("save the file as UTF-8"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let valid = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
            let (line, column) = crate::problem::line_column(&valid, at);
            return Err(Problem::new(NOT_TEXT, "this file is not valid UTF-8")
                .in_file(path)
                .note(format!("the first byte that is not UTF-8 is at line {line}, column {column}"))
                .help("save the file as UTF-8"));
        }
    };
    if let Some(at) = text.find('\0') {
        return Err(Problem::new(
            NOT_TEXT,
            "this file has a NUL character in it, where the database would stop reading",
        )
        .at(Place::span(path, text, at..at + 1))
        .help("remove the character"));
    }
    let text = match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    Ok(if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Migration, Vec<Problem>> {
        Migration::parse(RevisionId::new("2025_01_01_001_x").unwrap(), Path::new("m/x.sql"), text)
    }

    fn complaint(text: &str) -> String {
        format!("{:?}", parse(text).unwrap_err()[0])
    }

    #[test]
    fn a_whole_file_gives_header_and_sections() {
        let text = "-- Give it.\n-- migrate:parent a, b\n-- migrate:depends accounts/c, d\n-- migrate:label api\n\
                    -- migrate:loses t.x, u\n\n-- migrate:up\nUP;\n-- migrate:down\nDOWN;\n-- migrate:verify\nV;\n";
        let m = parse(text).unwrap();
        assert_eq!(m.message, "Give it.");
        assert_eq!(m.parents, Parents::Named(vec![RevisionId::new("a").unwrap(), RevisionId::new("b").unwrap()]));
        assert_eq!(m.depends.iter().map(ToString::to_string).collect::<Vec<_>>(), ["accounts/c", "d"]);
        assert_eq!(m.labels, ["api"]);
        assert_eq!(m.directives.loses, ["t.x", "u"]);
        assert_eq!(text[m.up].trim(), "UP;");
        assert_eq!(text[m.down.unwrap()].trim(), "DOWN;");
        assert_eq!(text[m.verify.unwrap()].trim(), "V;");
    }

    #[test]
    fn a_file_without_markers_is_all_up_and_follows_the_file_before_it() {
        let m = parse("CREATE TABLE t (x);").unwrap();
        assert_eq!((m.up, m.down, m.parents), (0..19, None, Parents::Implicit));
        assert_eq!(m.message, "x");
    }

    #[test]
    fn a_marker_inside_a_literal_is_text() {
        let m = parse("-- migrate:up\nINSERT INTO t VALUES ('\n-- migrate:down\n');\n").unwrap();
        assert_eq!(m.down, None);
    }

    #[test]
    fn mistakes_are_named_at_their_line_with_a_way_out() {
        assert!(complaint("-- migrate:parnet a\n").contains("write `-- migrate:parent`"));
        assert!(complaint("-- migrate:up transaction:false\nX;").contains("takes nothing behind it"));
        assert!(
            complaint("-- migrate:up\nX;\n-- migrate:parent a\n").contains("x.sql:3:1: `parent` belongs to the header")
        );
        assert!(complaint("-- migrate:up\n-- migrate:up\n").contains("second `up` section"));
        assert!(complaint("X;\n-- migrate:up\n").contains("x.sql:1:1: this statement stands before"));
        assert!(complaint("-- migrate:down\nX;\n").contains("none of them is `up`"));
        assert!(
            complaint("-- migrate:up\nSELECT 'a;\n-- migrate:down\n").contains("x.sql:2:8: this quote is never closed")
        );
        assert!(complaint("-- migrate:parent ../a\n").contains("cannot be a revision id"));
        assert!(complaint("-- migrate:irreversible\n-- migrate:up\n-- migrate:down\nX;\n").contains("a way back"));
        assert!(complaint("-- migrate:Up\nX;").contains("write `-- migrate:up`"));
        assert!(complaint("-- migrate:foreign-keys off\n").contains("takes `on` alone"));
        assert!(complaint("-- migrate:parent a\n-- migrate:parent b\n").contains("one line"));
    }

    #[test]
    fn line_endings_and_a_byte_order_mark_change_no_hash() {
        let plain = "-- a\n-- migrate:up\nX;\n";
        let windows = format!("\u{FEFF}{}", plain.replace('\n', "\r\n"));
        let text = normalise(Path::new("x"), windows.into_bytes()).unwrap();
        assert_eq!(text, plain);
    }

    #[test]
    fn what_is_not_text_is_refused() {
        for bytes in [&b"a\xFFb"[..], b"\xFF\xFEa\0", b"a\0b"] {
            assert_eq!(normalise(Path::new("x"), bytes.to_vec()).unwrap_err().code(), NOT_TEXT);
        }
    }

    #[test]
    fn the_statements_hash_sees_what_the_upgrade_does_and_nothing_else() {
        let hash = |text: &str| parse(text).unwrap().statements;
        let base = hash("-- a\n-- migrate:up\nSELECT 'x  y', 1;\n-- migrate:down\nD;\n");
        assert_eq!(base, hash("-- b\n-- migrate:up\n\n  SELECT 'x  y',\n1 ; -- so\n-- migrate:down\nE;\n"));
        assert_ne!(base, hash("-- migrate:up\nSELECT 'x y', 1;\n-- migrate:down\nD;\n"));
        assert_ne!(base, hash("-- migrate:no-transaction\n-- migrate:up\nSELECT 'x  y', 1;\n"));
        assert_ne!(base, hash("-- migrate:foreign-keys on\n-- migrate:up\nSELECT 'x  y', 1;\n"));
    }

    #[test]
    fn a_file_is_read_by_the_rules_of_its_database() {
        let parse = |dialect, text: &str| {
            Migration::parse_as(dialect, RevisionId::new("a").unwrap(), Path::new("m/a.sql"), text)
        };
        for text in [
            "-- migrate:up\nSELECT 1 /* a /* b */ it's */;\n-- migrate:down\nSELECT 2;\n",
            "-- migrate:up\nSELECT ARRAY [ 'a]', 5 ];\n-- migrate:down\nSELECT 2;\n",
            "-- migrate:up\nSELECT 1 OPERATOR(`) 2;\n-- migrate:down\nSELECT 2;\n",
            "-- migrate:up\nSELECT E'a'\n'it\\'s';\n-- migrate:down\nSELECT 2;\n",
        ] {
            let m = parse(Dialect::Postgres, text).unwrap();
            assert_eq!(text[m.down.unwrap()].trim(), "SELECT 2;", "{text}");
            assert_eq!(m.dialect, Dialect::Postgres);
            let problem = parse(Dialect::Sqlite, text).unwrap_err().remove(0);
            assert_eq!(problem.code(), UNCLOSED, "{text}");
            assert!(format!("{problem:?}").contains("`cargo migrate lock --dialect postgres`"), "{problem:?}");
        }
        // What SQLite alone reads as a whole says so, too; what neither does has one way out.
        let brackets = parse(Dialect::Postgres, "CREATE TABLE [it's] (x);").unwrap_err().remove(0);
        assert!(format!("{brackets:?}").contains("`cargo migrate lock --dialect sqlite`"), "{brackets:?}");
        for dialect in Dialect::ALL {
            let open = parse(dialect, "SELECT 'a;").unwrap_err().remove(0);
            assert!(!format!("{open:?}").contains("--dialect"), "{open:?}");
        }
        // The way back is read by the same rules as the rest.
        let text = "-- migrate:irreversible\n-- migrate:up\nX;\n-- migrate:down\n/* a /* b */ c */\n";
        assert!(parse(Dialect::Postgres, text).is_ok() && parse(Dialect::Sqlite, text).is_err());
    }

    #[test]
    fn what_both_databases_read_alike_has_the_same_hashes_by_both() {
        let pieces = [
            "CREATE TABLE",
            "t",
            "(",
            ")",
            ",",
            ";",
            "'it''s; -- so'",
            "\"a\"\"b\"",
            "-- it's\n",
            "/* [it's] */",
            "=",
            "$f$ it's; $f$",
            "E'it\\'s'",
            "x'00'",
            "a[1]",
            "text[]",
            "1.5e-3",
            "||",
            "::",
            "->>",
            "é",
            "\n\n",
            "NULL",
        ];
        let mut state: u64 = 11;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..5_000 {
            let words: Vec<&str> = (0..next(24)).map(|_| pieces[next(pieces.len())]).collect();
            // A string that goes on behind a line break is one of the few things that they read otherwise.
            let text = words.join(" ").replace("E'it\\'s'", "E'it\\'s' ||");
            let [sqlite, postgres] = Dialect::ALL.map(|dialect| {
                Migration::parse_as(dialect, RevisionId::new("a").unwrap(), Path::new("m/a.sql"), &text).unwrap()
            });
            assert_eq!(sqlite.statements, postgres.statements, "{text:?}");
            assert_eq!((sqlite.up, sqlite.tables), (postgres.up, postgres.tables), "{text:?}");
        }
    }

    #[test]
    fn directives_survive_the_version_table() {
        let directives = Directives {
            no_transaction: true,
            foreign_keys_on: false,
            irreversible: true,
            loses: vec!["a.b".into(), "c".into()],
        };
        assert_eq!(Directives::from_text(&directives.to_text()), directives);
    }
}
