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
//! Reading is pure: text in, [`Migration`] or problems out. A [`Migration`] keeps the spans of its sections, not
//! their text, so that a history of many revisions stays small in memory.

mod marker;
mod reparent;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::{Checksum, StatementsHash};
use crate::problem::{Code, Place, Problem, nearest, printable};
use crate::revision::{RevisionId, check_name};
use crate::token::{Token, TokenKind, tokens};

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

/// Whether a word may start a statement that ends a transaction, opens one or cannot be part of one.
#[must_use]
pub fn is_control(word: &str) -> bool {
    const WORDS: [&str; 10] =
        ["ATTACH", "BEGIN", "COMMIT", "DETACH", "END", "PRAGMA", "RELEASE", "ROLLBACK", "SAVEPOINT", "VACUUM"];
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
    /// Whether the up section may hold a statement that starts with a word of [`is_control`]. Where it cannot, nobody
    /// has to read the file again to know.
    pub controls: bool,
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

    /// Reads a migration's normalised text.
    ///
    /// # Errors
    /// All that is wrong with the header and the sections, each at its line.
    pub fn parse(id: RevisionId, path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        Reader::new(path, text).read(id)
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

struct Directive<'a> {
    word: &'a str,
    arguments: &'a str,
    span: Range<usize>,
}

/// The `migrate:` directive that a comment token is, if it is one.
fn directive<'a>(text: &'a str, token: &Token) -> Option<Directive<'a>> {
    if token.kind != TokenKind::LineComment {
        return None;
    }
    let body = text[token.span.clone()].trim_start_matches('-').trim_start();
    let prefix = body.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case("migrate:"))?;
    let rest = body[prefix.len()..].trim();
    let (word, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let trimmed = token.span.start + text[token.span.clone()].trim_end().len();
    Some(Directive { word, arguments: arguments.trim(), span: token.span.start..trimmed })
}

/// Whether a control word stands first or behind a semicolon; inside a trigger it may do so without starting a
/// statement of the file.
fn controls(text: &str, tokens: &[Token]) -> bool {
    let mut first = true;
    tokens.iter().filter(|token| token.kind.counts()).any(|token| {
        let starts = std::mem::replace(&mut first, token.kind == TokenKind::Semicolon);
        starts && token.kind == TokenKind::Word && is_control(&text[token.span.clone()])
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

#[derive(Default)]
struct Header {
    parents: Option<Parents>,
    depends: Vec<Dependency>,
    labels: Vec<String>,
    directives: Directives,
    spans: Vec<(&'static str, Range<usize>)>,
    message: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, problems: Vec::new() }
    }

    fn refuse(&mut self, code: Code, message: impl Into<String>, span: Range<usize>, help: impl Into<String>) {
        self.problems.push(Problem::new(code, message).at(Place::span(self.path, self.text, span)).help(help));
    }

    fn read(mut self, id: RevisionId) -> Result<Migration, Vec<Problem>> {
        // Room for the tokens of most files at once.
        let mut all: Vec<Token> = Vec::with_capacity((self.text.len() / 3).min(4096));
        all.extend(tokens(self.text));
        if let Some(last) = all.last().filter(|token| token.open) {
            let what = match last.kind {
                TokenKind::BlockComment => "this comment is never closed",
                _ => "this quote is never closed",
            };
            let span = last.span.start..last.span.start + 1;
            self.refuse(UNCLOSED, what, span, "close it; what follows it is not read as SQL");
            return Err(self.problems);
        }

        let mut header = Header::default();
        let mut sections: Vec<(&'static str, Range<usize>, usize)> = Vec::new();
        let mut first_statement: Option<Range<usize>> = None;
        let mut bare_down: Option<Range<usize>> = None;
        for (position, token) in all.iter().enumerate() {
            if token.kind.counts() {
                first_statement.get_or_insert(token.span.clone());
            }
            let Some(directive) = directive(self.text, token) else {
                self.comment(token, first_statement.is_some(), &mut bare_down);
                if token.kind == TokenKind::LineComment && sections.is_empty() && first_statement.is_none() {
                    let words = self.text[token.span.clone()].trim_start_matches('-').trim();
                    if !words.is_empty() {
                        header.message.get_or_insert(words.to_owned());
                    }
                }
                continue;
            };
            match DIRECTIVES.iter().find(|known| **known == directive.word).copied() {
                Some(section @ ("up" | "down" | "verify")) => {
                    self.section(section, &directive, &sections, first_statement.as_ref());
                    if let Some((_, span, _)) = sections.last_mut() {
                        span.end = token.span.start;
                    }
                    sections.push((section, token.span.end..self.text.len(), position + 1));
                }
                Some(word) if sections.is_empty() && first_statement.is_none() => {
                    self.header_directive(word, &directive, &mut header);
                }
                Some(word) => self.refuse(
                    INVALID_DIRECTIVE,
                    format!("`{word}` belongs to the header"),
                    directive.span,
                    "move the line to the top of the file, before the first section",
                ),
                None => self.unknown(&directive),
            }
        }

        let find = |name| sections.iter().find(|(section, ..)| *section == name);
        let (up, up_tokens) = match (sections.is_empty(), find("up")) {
            (true, _) => (0..self.text.len(), &all[..]),
            (false, Some((_, span, from))) => {
                let until = all.partition_point(|token| token.span.start < span.end);
                (span.clone(), &all[*from..until])
            }
            (false, None) => {
                let span = sections[0].1.start.saturating_sub(1)..sections[0].1.start;
                self.refuse(
                    INVALID_DIRECTIVE,
                    "this file has sections, and none of them is `up`",
                    span,
                    "write `-- migrate:up` before the statements of the upgrade",
                );
                (0..0, &all[..0])
            }
        };
        let down = find("down").map(|(_, span, _)| span.clone());
        if let (None, Some(span)) = (&down, bare_down) {
            self.refuse(
                INVALID_DIRECTIVE,
                "what follows this comment would run as part of the upgrade",
                span,
                "where the way back starts here, write `-- migrate:down`; where it does not, say more in the comment",
            );
        }
        let verify = find("verify").map(|(_, span, _)| span.clone());
        self.contradictions(&header, down.as_ref());
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let Header { parents, depends, labels, directives, spans, message } = header;
        let header_end =
            sections.first().map_or_else(|| spans.last().map_or(0, |(_, span)| span.end), |(_, span, _)| span.start);
        Ok(Migration {
            message: message.map_or_else(|| words_of(&id), |message| printable(&message)),
            path: self.path.to_owned(),
            parents: parents.unwrap_or(Parents::Implicit),
            depends,
            labels,
            checksum: Checksum::of(self.text),
            statements: StatementsHash::of(self.text, up_tokens, directives.no_transaction, directives.foreign_keys_on),
            directives,
            controls: controls(self.text, up_tokens),
            up,
            down,
            verify,
            verbatim: true,
            header: self.text[..header_end].into(),
            directive_spans: spans,
            id,
        })
    }

    fn section(
        &mut self,
        section: &str,
        directive: &Directive<'_>,
        before: &[(&'static str, Range<usize>, usize)],
        first_statement: Option<&Range<usize>>,
    ) {
        if !directive.arguments.is_empty() {
            self.refuse(
                INVALID_DIRECTIVE,
                format!("`migrate:{section}` takes nothing behind it"),
                directive.span.clone(),
                "how a revision runs is said in its header: `-- migrate:no-transaction`, `-- migrate:foreign-keys on`",
            );
        }
        if before.iter().any(|(known, ..)| *known == section) {
            self.refuse(
                INVALID_DIRECTIVE,
                format!("this file has a second `{section}` section"),
                directive.span.clone(),
                "join the two sections",
            );
        }
        if let (true, Some(statement)) = (before.is_empty(), first_statement) {
            self.refuse(
                INVALID_DIRECTIVE,
                "this statement stands before the first section",
                statement.clone(),
                "move it behind `-- migrate:up`",
            );
        }
    }

    /// Refuses a comment that was meant as a marker; notes the first that may be one where no section says otherwise.
    fn comment(&mut self, token: &Token, behind_statement: bool, bare_down: &mut Option<Range<usize>>) {
        let body = match token.kind {
            TokenKind::LineComment => self.text[token.span.clone()].trim_start_matches('-'),
            TokenKind::BlockComment => {
                self.text[token.span.clone()].trim_start_matches("/*").trim_end_matches("*/").trim_matches('*')
            }
            _ => return,
        };
        let span = token.span.start..token.span.start + self.text[token.span.clone()].trim_end().len();
        if let Some((message, help)) = marker::misspelt(body) {
            self.refuse(INVALID_DIRECTIVE, printable(&message), span, printable(&help));
            return;
        }
        let line = self.text[..span.start].rfind('\n').map_or(0, |end| end + 1);
        if behind_statement && self.text[line..span.start].trim().is_empty() && marker::is_bare_down(body) {
            bare_down.get_or_insert(span);
        }
    }

    fn unknown(&mut self, directive: &Directive<'_>) {
        let word = printable(directive.word);
        let help = match (nearest(directive.word, DIRECTIVES), directive.word) {
            (Some(known), _) => format!("write `-- migrate:{known}`"),
            (None, "") => "write one of: parent, depends, label, no-transaction, foreign-keys on, irreversible, loses, up, down, verify".to_owned(),
            (None, _) => "the words are parent, depends, label, no-transaction, foreign-keys on, irreversible, loses, up, down, verify".to_owned(),
        };
        self.refuse(UNKNOWN_DIRECTIVE, format!("there is no directive `migrate:{word}`"), directive.span.clone(), help);
    }

    fn header_directive(&mut self, word: &'static str, directive: &Directive<'_>, header: &mut Header) {
        let arguments = directive.arguments;
        let repeated = header.spans.iter().any(|(known, _)| *known == word);
        if repeated && !matches!(word, "depends" | "label" | "loses") {
            self.refuse(
                INVALID_DIRECTIVE,
                format!("the header says `{word}` twice"),
                directive.span.clone(),
                if word == "parent" {
                    "name several parents in one line: `-- migrate:parent A, B`"
                } else {
                    "remove one of the lines"
                },
            );
            return;
        }
        header.spans.push((word, directive.span.clone()));
        let names = || arguments.split(',').map(str::trim).filter(|name| !name.is_empty());
        let takes_nothing = matches!(word, "no-transaction" | "irreversible");
        if takes_nothing != arguments.is_empty() {
            let (message, help) = match word {
                "no-transaction" | "irreversible" => {
                    (format!("`{word}` takes nothing behind it"), format!("write `-- migrate:{word}`"))
                }
                "foreign-keys" => {
                    ("`foreign-keys` needs `on` behind it".to_owned(), "write `-- migrate:foreign-keys on`".to_owned())
                }
                "loses" => (
                    "`loses` needs what is lost behind it".to_owned(),
                    "write `-- migrate:loses TABLE` or `-- migrate:loses TABLE.COLUMN`".to_owned(),
                ),
                "label" => ("`label` needs a name behind it".to_owned(), "write `-- migrate:label NAME`".to_owned()),
                _ => (format!("`{word}` needs a revision's id behind it"), format!("write `-- migrate:{word} ID`")),
            };
            self.refuse(INVALID_DIRECTIVE, message, directive.span.clone(), help);
            return;
        }
        match word {
            "parent" if arguments == "base" => header.parents = Some(Parents::Base),
            "parent" => {
                let ids = self.ids(names(), directive);
                let twice = ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id));
                if twice {
                    self.refuse(
                        INVALID_DIRECTIVE,
                        "the header names the same parent twice",
                        directive.span.clone(),
                        "name each parent once",
                    );
                }
                header.parents = Some(Parents::Named(ids));
            }
            "depends" => {
                for name in names() {
                    let (package, id) = match name.rsplit_once('/') {
                        Some((package, id)) => (Some(package), id),
                        None => (None, name),
                    };
                    if let Some(id) = self.ids([id].into_iter(), directive).pop() {
                        let package = package.map(str::to_owned);
                        match &package {
                            Some(package) if check_name(package, "a package's name").is_err() => self.refuse(
                                INVALID_DIRECTIVE,
                                format!("`{}` cannot be a package's name", printable(package)),
                                directive.span.clone(),
                                "write `-- migrate:depends PACKAGE/ID`",
                            ),
                            _ => header.depends.push(Dependency { package, id }),
                        }
                    }
                }
            }
            "label" => {
                for name in names() {
                    match check_name(name, "a label") {
                        Ok(()) => header.labels.push(name.to_owned()),
                        Err(problem) => {
                            self.problems.push(problem.at(Place::span(self.path, self.text, directive.span.clone())))
                        }
                    }
                }
            }
            "foreign-keys" if arguments == "on" => header.directives.foreign_keys_on = true,
            "foreign-keys" => self.refuse(
                INVALID_DIRECTIVE,
                "`foreign-keys` takes `on` alone",
                directive.span.clone(),
                "leave the line out: without it the run switches enforcement off and checks all keys before it commits",
            ),
            "no-transaction" => header.directives.no_transaction = true,
            "irreversible" => header.directives.irreversible = true,
            _ => header.directives.loses.extend(names().map(printable)),
        }
    }

    fn ids<'n>(&mut self, names: impl Iterator<Item = &'n str>, directive: &Directive<'_>) -> Vec<RevisionId> {
        let mut ids = Vec::new();
        for name in names {
            match RevisionId::new(name) {
                Ok(id) => ids.push(id),
                Err(problem) => {
                    let place = Place::span(self.path, self.text, directive.span.clone());
                    self.problems.push(problem.at(place).help("write the id: the file's name without `.sql`"));
                }
            }
        }
        ids
    }

    fn contradictions(&mut self, header: &Header, down: Option<&Range<usize>>) {
        let span_of = |word: &str| header.spans.iter().find(|(known, _)| *known == word).map(|(_, span)| span.clone());
        if let (true, Some(down)) = (header.directives.irreversible, down) {
            let statement = tokens(&self.text[down.clone()]).find(|token| token.kind.counts());
            if let Some(token) = statement {
                let span = down.start + token.span.start..down.start + token.span.end;
                self.refuse(
                    INVALID_DIRECTIVE,
                    "the header says `irreversible`, and here is a way back",
                    span,
                    "remove `-- migrate:irreversible` or the down section",
                );
            }
        }
        if let (true, true, Some(span)) =
            (header.directives.no_transaction, header.directives.foreign_keys_on, span_of("foreign-keys"))
        {
            self.refuse(
                INVALID_DIRECTIVE,
                "`foreign-keys on` asks for a transaction of its own, and `no-transaction` for none",
                span,
                "keep one of the two; a `no-transaction` revision may say `PRAGMA foreign_keys = ON` itself",
            );
        }
    }
}

/// The id's words without the numbers that lead it.
fn words_of(id: &RevisionId) -> String {
    let words: Vec<&str> = id.as_str().split(['_', '-']).collect();
    let first = words.iter().position(|word| !word.is_empty() && !word.bytes().all(|b| b.is_ascii_digit()));
    match first {
        Some(at) => words[at..].join(" "),
        None => id.to_string(),
    }
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
