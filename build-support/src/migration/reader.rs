//! Reading a migration's text: header, sections, spans.

use std::ops::Range;
use std::path::Path;

use super::{
    DIRECTIVES, Dependency, Directives, INVALID_DIRECTIVE, Migration, Parents, UNCLOSED, UNKNOWN_DIRECTIVE, is_control,
    is_postgres_control, marker, tables,
};
use crate::checksum::{Checksum, StatementsHash};
use crate::problem::{Code, Place, Problem, nearest, printable};
use crate::revision::{RevisionId, check_name};
use crate::token::{Dialect, Token, TokenKind, tokens_of};

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
/// statement of the file. A backslash between PostgreSQL's tokens is a command of psql's, wherever it stands.
fn controls(dialect: Dialect, text: &str, tokens: &[Token]) -> bool {
    let mut first = true;
    tokens.iter().filter(|token| token.kind.counts()).any(|token| {
        let starts = std::mem::replace(&mut first, token.kind == TokenKind::Semicolon);
        let piece = &text[token.span.clone()];
        let word = starts && token.kind == TokenKind::Word;
        match dialect {
            Dialect::Sqlite => word && is_control(piece),
            Dialect::Postgres => word && is_postgres_control(piece) || piece == "\\",
        }
    })
}

pub(super) struct Reader<'a> {
    dialect: Dialect,
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
    pub(super) fn new(dialect: Dialect, path: &'a Path, text: &'a str) -> Self {
        Self { dialect, path, text, problems: Vec::new() }
    }

    fn refuse(&mut self, code: Code, message: impl Into<String>, span: Range<usize>, help: impl Into<String>) {
        self.problems.push(Problem::new(code, message).at(Place::span(self.path, self.text, span)).help(help));
    }

    pub(super) fn read(mut self, id: RevisionId) -> Result<Migration, Vec<Problem>> {
        // Room for the tokens of most files at once.
        let mut all: Vec<Token> = Vec::with_capacity((self.text.len() / 3).min(4096));
        all.extend(tokens_of(self.dialect, self.text));
        if let Some(last) = all.last().filter(|token| token.open) {
            return Err(vec![self.unclosed(last)]);
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
            dialect: self.dialect,
            parents: parents.unwrap_or(Parents::Implicit),
            depends,
            labels,
            checksum: Checksum::of(self.text),
            statements: StatementsHash::of(self.text, up_tokens, directives.no_transaction, directives.foreign_keys_on),
            directives,
            controls: controls(self.dialect, self.text, up_tokens),
            tables: tables::of(self.dialect, self.text, up_tokens),
            up,
            down,
            verify,
            verbatim: true,
            header: self.text[..header_end].into(),
            directive_spans: spans,
            id,
        })
    }

    /// The refusal of a text that ends within a token; where it is whole by the other database's rules, those may be
    /// the ones that are meant.
    fn unclosed(&self, last: &Token) -> Problem {
        let what = match last.kind {
            TokenKind::BlockComment => "this comment is never closed",
            _ => "this quote is never closed",
        };
        let problem = Problem::new(UNCLOSED, what)
            .at(Place::span(self.path, self.text, last.span.start..last.span.start + 1))
            .help("close it; what follows it is not read as SQL");
        let other = self.dialect.other();
        if tokens_of(other, self.text).last().is_some_and(|token| token.open) {
            return problem;
        }
        problem.note(format!("it is read as {}'s, and whole as {other} reads it", self.dialect)).help(format!(
            "where these migrations are {other}'s, say so for all of them: `cargo migrate lock --dialect {}`",
            other.word()
        ))
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
            let statement = tokens_of(self.dialect, &self.text[down.clone()]).find(|token| token.kind.counts());
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
