//! SQL statements: where they end, which of them a run cannot hold, and which of them leave the rows' references be.
//!
//! `postgres` knows where a server sees these things differently.

mod postgres;

use std::ops::Range;

use build_support::migration::is_control;
use build_support::token::{Dialect, Token, TokenKind, tokens_of, unquoted};

/// A statement of a migration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text, the semicolon that ends it included.
    pub text: &'a str,
    /// Where it is in the whole text, in bytes.
    pub span: Range<usize>,
    /// By whose rules it was read.
    pub dialect: Dialect,
}

impl<'a> Statement<'a> {
    /// What it starts with: a token that counts.
    #[must_use]
    pub fn first(&self) -> &'a str {
        tokens_of(self.dialect, self.text).next().map_or("", |token| &self.text[token.span])
    }
}

/// A statement that a run refuses, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The words that are refused, in bytes of the whole text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// Where `sqlite3_complete` stands (<https://www.sqlite.org/c3ref/complete.html>): a trigger's statements end in
/// semicolons of their own, and only `; END ;` ends the trigger.
#[derive(Clone, Copy)]
enum Place {
    Start,
    Normal,
    Explain,
    Create,
    Trigger,
    Semicolon,
    End,
}

impl Place {
    fn after(self, word: &str) -> Self {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        match self {
            Self::Start if is("EXPLAIN") => Self::Explain,
            Self::Start | Self::Explain if is("CREATE") => Self::Create,
            Self::Explain if is("QUERY") || is("PLAN") => Self::Explain,
            Self::Create if is("TEMP") || is("TEMPORARY") => Self::Create,
            Self::Create if is("TRIGGER") => Self::Trigger,
            Self::Semicolon if is("END") => Self::End,
            Self::Trigger | Self::Semicolon | Self::End => Self::Trigger,
            Self::Start | Self::Explain | Self::Create | Self::Normal => Self::Normal,
        }
    }
}

/// The statements of a section of a text, as SQLite reads them. Comments between statements are dropped, those inside are
/// kept.
///
/// A section that is not within the text, or cuts a character, has no statements.
#[must_use]
pub fn split(text: &str, section: Range<usize>) -> Vec<Statement<'_>> {
    split_as(Dialect::Sqlite, text, section)
}

/// The same as another database reads them.
#[must_use]
pub fn split_as(dialect: Dialect, text: &str, section: Range<usize>) -> Vec<Statement<'_>> {
    let base = section.start;
    let Some(inside) = text.get(section) else { return Vec::new() };
    let spans = match dialect {
        Dialect::Sqlite => spans(inside),
        Dialect::Postgres => postgres::spans(inside),
    };
    spans
        .into_iter()
        .map(|span| Statement { text: &inside[span.clone()], span: base + span.start..base + span.end, dialect })
        .collect()
}

fn spans(inside: &str) -> Vec<Range<usize>> {
    let mut statements = Vec::new();
    let mut place = Place::Start;
    let mut open: Option<Range<usize>> = None;
    for token in tokens_of(Dialect::Sqlite, inside).filter(|token| token.kind.counts()) {
        if token.kind == TokenKind::Semicolon {
            // An empty statement.
            let Some(span) = &mut open else { continue };
            span.end = token.span.end;
            if matches!(place, Place::Trigger | Place::Semicolon) {
                place = Place::Semicolon;
            } else {
                place = Place::Start;
                statements.extend(open.take());
            }
        } else {
            let word = if token.kind == TokenKind::Word { &inside[token.span.clone()] } else { "" };
            place = place.after(word);
            open.get_or_insert(token.span.clone()).end = token.span.end;
        }
    }
    statements.extend(open);
    statements
}

/// A statement's tokens that count, its last semicolon left out.
pub(crate) struct Words<'a> {
    text: &'a str,
    start: usize,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    fn of(statement: &Statement<'a>) -> Self {
        Self { start: statement.span.start, ..Self::read(statement.dialect, statement.text) }
    }

    /// The words of a text that holds one statement or a part of one, as SQLite reads it.
    pub(crate) fn of_text(text: &'a str) -> Self {
        Self::read(Dialect::Sqlite, text)
    }

    fn read(dialect: Dialect, text: &'a str) -> Self {
        let mut tokens: Vec<Token> = tokens_of(dialect, text).filter(|token| token.kind.counts()).collect();
        tokens.pop_if(|token| token.kind == TokenKind::Semicolon);
        Self { text, start: 0, tokens }
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The text from one token up to another, which is not part of it.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'a str {
        match (self.tokens.get(from), to.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if from < to => &self.text[first.span.start..last.span.end],
            _ => "",
        }
    }

    pub(crate) fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.span.clone()])
    }

    /// Whether the token is this keyword; a quoted name never is.
    pub(crate) fn is(&self, at: usize, keyword: &str) -> bool {
        self.text(at).eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn is_any(&self, at: usize, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(at, keyword))
    }

    fn holds(&self, keyword: &str) -> bool {
        (0..self.tokens.len()).any(|at| self.is(at, keyword))
    }

    /// A name without its quotes, in lower case.
    fn name(&self, at: usize) -> String {
        self.bare(at).to_ascii_lowercase()
    }

    /// A name without its quotes.
    pub(crate) fn bare(&self, at: usize) -> String {
        unquoted(self.text(at))
    }

    /// The first tokens up to this one, in the whole text.
    fn span_to(&self, at: usize) -> Range<usize> {
        let end = self.tokens.get(at).or(self.tokens.last()).map_or(0, |token| token.span.end);
        self.start..self.start + end
    }

    /// A token in the whole text.
    fn span_of(&self, at: usize) -> Range<usize> {
        self.tokens
            .get(at)
            .map_or(self.start..self.start, |token| self.start + token.span.start..self.start + token.span.end)
    }

    /// The place of what follows a name that may have a schema before it.
    fn after_name(&self, at: usize) -> usize {
        if self.text(at + 1) == "." { at + 3 } else { at + 1 }
    }
}

/// What a pragma that sets something does inside a run, where it is refused.
const PRAGMAS: [(&str, &str); 7] = [
    ("foreign_keys", "has no effect inside a transaction"),
    ("journal_mode", "cannot be changed inside a transaction"),
    ("synchronous", "cannot be changed inside a transaction"),
    ("locking_mode", "changes how the run itself locks the database"),
    ("auto_vacuum", "has no effect without a VACUUM, which a transaction cannot hold"),
    ("page_size", "has no effect without a VACUUM, which a transaction cannot hold"),
    ("encoding", "cannot be changed once the database holds anything"),
];

const OUTSIDE: &str = "a revision that must run outside a transaction says `-- migrate:no-transaction` in its header";

/// The first statement that cannot be part of a run's transaction, where there is one.
///
/// Of a revision that runs outside a transaction only what no server would understand is refused.
#[must_use]
pub fn forbidden(statements: &[Statement<'_>], no_transaction: bool) -> Option<Forbidden> {
    let unread = statements.iter().find_map(postgres::unread);
    if no_transaction || unread.is_some() {
        return unread;
    }
    let mut savepoints: Vec<(String, Range<usize>)> = Vec::new();
    for statement in statements {
        let server = statement.dialect == Dialect::Postgres;
        if !server && !is_control(statement.first()) {
            continue;
        }
        let words = Words::of(statement);
        let refused = match words.text(0).to_ascii_uppercase().as_str() {
            word @ ("BEGIN" | "COMMIT" | "END") => Some(transaction(&words, word)),
            "ROLLBACK" => rollback(&words, &mut savepoints),
            word @ ("ABORT" | "START" | "PREPARE") if server => postgres::transaction_word(&words, word),
            "DISCARD" if server => postgres::discard(&words),
            "RESET" if server => postgres::reset(&words),
            word @ ("VACUUM" | "ATTACH" | "DETACH") if !server || word == "VACUUM" => Some(Forbidden {
                span: words.span_to(0),
                message: format!("{word} cannot run inside a transaction"),
                help: OUTSIDE.to_owned(),
            }),
            "PRAGMA" if !server => pragma(&words),
            "SAVEPOINT" => {
                savepoints.push((words.name(1), words.span_to(1)));
                None
            }
            "RELEASE" => {
                let at = if words.is(1, "SAVEPOINT") && words.tokens.len() > 2 { 2 } else { 1 };
                match savepoint(&words, at, &savepoints) {
                    Ok(index) => {
                        savepoints.truncate(index);
                        None
                    }
                    Err(refused) => Some(refused),
                }
            }
            _ => None,
        };
        if refused.is_some() {
            return refused;
        }
    }
    savepoints.into_iter().next().map(|(name, span)| Forbidden {
        span,
        message: format!("savepoint `{name}` is still open at the end of the section"),
        help: format!("add `RELEASE {name};`; {OUTSIDE}"),
    })
}

/// The first statement of a verify section that does more than ask, where there is one.
///
/// What can be seen in the text is refused here; what a function or a trigger writes, the driver refuses.
#[must_use]
pub fn forbidden_in_verify(statements: &[Statement<'_>]) -> Option<Forbidden> {
    statements.iter().find_map(|statement| {
        let unread = postgres::unread(statement);
        if unread.is_some() {
            return unread;
        }
        let words = Words::of(statement);
        // These are reserved words, so that without quotes they can be no name.
        let writes = |at: &usize| words.is_any(*at, &["INSERT", "UPDATE", "DELETE", "INTO"]);
        let at =
            if words.is_any(0, &["SELECT", "VALUES", "WITH"]) { (1..words.tokens.len()).find(writes)? } else { 0 };
        let first: String = words.text(at).chars().take(40).collect();
        Some(Forbidden {
            span: words.span_of(at),
            message: format!("a verify section only asks, and `{first}` is no part of a question"),
            help: match statement.dialect {
                Dialect::Sqlite => {
                    "ask with SELECT, VALUES or WITH; a pragma is asked as a table: \
                     `SELECT count(*) = 0 FROM pragma_foreign_key_check;`"
                }
                Dialect::Postgres => "ask with SELECT, VALUES or WITH",
            }
            .to_owned(),
        })
    })
}

fn transaction(words: &Words<'_>, word: &str) -> Forbidden {
    Forbidden {
        span: words.span_to(0),
        message: format!("{word} would interfere with the run's own transaction"),
        help: format!("remove it: a revision runs in a transaction already; {OUTSIDE}"),
    }
}

/// `ROLLBACK [TRANSACTION] TO [SAVEPOINT] name` keeps the savepoint and ends those inside it.
fn rollback(words: &Words<'_>, savepoints: &mut Vec<(String, Range<usize>)>) -> Option<Forbidden> {
    let Some(to) = (1..=3).find(|at| words.is(*at, "TO")) else { return Some(transaction(words, "ROLLBACK")) };
    let at = if words.is(to + 1, "SAVEPOINT") && words.tokens.len() > to + 2 { to + 2 } else { to + 1 };
    match savepoint(words, at, savepoints) {
        Ok(index) => {
            savepoints.truncate(index + 1);
            None
        }
        Err(refused) => Some(refused),
    }
}

fn savepoint(words: &Words<'_>, at: usize, savepoints: &[(String, Range<usize>)]) -> Result<usize, Forbidden> {
    let name = words.name(at);
    savepoints.iter().rposition(|(open, _)| *open == name).ok_or_else(|| Forbidden {
        span: words.span_to(at),
        message: format!("no savepoint `{name}` is open here"),
        help: format!("a section opens with `SAVEPOINT {name}` what it releases or rolls back to; {OUTSIDE}"),
    })
}

fn pragma(words: &Words<'_>) -> Option<Forbidden> {
    let after = words.after_name(1);
    // Without a value it only reads.
    if !words.is_any(after, &["=", "("]) {
        return None;
    }
    let name = words.name(after - 1);
    let (name, why) = PRAGMAS.iter().find(|(pragma, _)| *pragma == name)?;
    let help = if *name == "foreign_keys" {
        format!(
            "remove it: the runner already switches foreign keys off for the run and checks them before it commits; \
             where deletes are meant to cascade, say `-- migrate:foreign-keys on` in the header; {OUTSIDE}"
        )
    } else {
        OUTSIDE.to_owned()
    };
    Some(Forbidden { span: words.span_to(after - 1), message: format!("PRAGMA {name} {why}"), help })
}

/// Whether a statement could leave a row without the row that it refers to, while foreign keys are not enforced.
///
/// False only for the statements that are known not to.
#[must_use]
pub fn may_break_rows(statement: &Statement<'_>) -> bool {
    match statement.first().to_ascii_uppercase().as_str() {
        "SELECT" | "REINDEX" | "ANALYZE" | "PRAGMA" => false,
        "CREATE" => {
            let words = Words::of(statement);
            let at = if words.is_any(1, &["TEMP", "TEMPORARY", "UNIQUE"]) { 2 } else { 1 };
            !(words.is_any(at, &["INDEX", "VIEW", "TRIGGER"]) || words.is(at, "TABLE") && !takes_rows(&words))
        }
        "DROP" => !Words::of(statement).is_any(1, &["INDEX", "VIEW", "TRIGGER"]),
        "ALTER" => {
            let words = Words::of(statement);
            let action = words.after_name(2);
            if words.is(action, "ADD") {
                // With a value in every row, the new column can refer to a row that is not there.
                words.is_any(action + 1, &["CONSTRAINT", "CHECK", "FOREIGN"])
                    || words.holds("REFERENCES") && (words.holds("DEFAULT") || words.holds("AS"))
            } else {
                !(words.is(action, "RENAME") && words.is(action + 1, "COLUMN"))
            }
        }
        _ => true,
    }
}

/// Whether a `CREATE TABLE` has an `AS SELECT`: an `AS` outside the parentheses.
fn takes_rows(words: &Words<'_>) -> bool {
    let mut depth = 0_usize;
    for at in 0..words.tokens.len() {
        match words.text(at) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 0 && words.is(at, "AS") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use build_support::migration::Migration;
    use build_support::revision::RevisionId;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text, 0..text.len()).into_iter().map(|statement| statement.text).collect()
    }

    /// Whether a file of this text may hold something that is refused.
    fn controls(text: &str) -> bool {
        let id = RevisionId::new("a").unwrap();
        Migration::parse(id, Path::new("a.sql"), &format!("-- migrate:up\n{text}")).unwrap().controls
    }

    fn refused(text: &str) -> Option<String> {
        forbidden(&split(text, 0..text.len()), false).map(|f| text[f.span].to_owned())
    }

    #[test]
    fn a_verify_section_only_asks() {
        let refused = |text: &str| {
            forbidden_in_verify(&split(text, 0..text.len()))
                .map(|found| (text[..found.span.start].len(), text[found.span].to_owned()))
        };
        for text in [
            "SELECT 1; VALUES (1); WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT replace(x, 'DELETE', \"insert\") = [into] FROM t; -- COMMIT;\n",
            "SELECT count(*) = 0 FROM pragma_foreign_key_check",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
        for (text, at, word) in [
            ("SELECT 1; COMMIT; SELECT 0", 10, "COMMIT"),
            ("DELETE FROM t RETURNING 1", 0, "DELETE"),
            ("WITH a AS (SELECT 1) delete FROM t RETURNING 1", 21, "delete"),
            ("WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a RETURNING 1", 29, "INTO"),
            ("PRAGMA foreign_key_check", 0, "PRAGMA"),
            ("ATTACH 'x' AS y", 0, "ATTACH"),
            ("VACUUM INTO 'x'", 0, "VACUUM"),
            ("EXPLAIN SELECT 1", 0, "EXPLAIN"),
            ("'a'", 0, "'a'"),
        ] {
            assert_eq!(refused(text), Some((at, word.to_owned())), "{text}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_and_triggers_at_their_end() {
        assert_eq!(texts("-- a\n;;SELECT ';' /* ; */ ; -- b\nSELECT 2"), ["SELECT ';' /* ; */ ;", "SELECT 2"]);
        for create in ["CREATE TRIGGER", "create temp trigger", "EXPLAIN QUERY PLAN CREATE TEMPORARY TRIGGER"] {
            let trigger = format!("{create} t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1; END;");
            assert_eq!(texts(&format!("{trigger} SELECT 3;")), [trigger.as_str(), "SELECT 3;"]);
        }
        assert_eq!(texts("CREATE TABLE trigger(a); SELECT 1; END;").len(), 3);
    }

    #[test]
    fn spans_are_in_the_whole_text() {
        let text = "éé\n SELECT 1; SELECT 2;\nx";
        let found = split(text, 5..text.len() - 2);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|s| &text[s.span.clone()] == s.text));
        assert!(split(text, 1..4).is_empty());
    }

    #[test]
    fn what_a_transaction_cannot_hold_is_refused() {
        for (text, words) in [
            ("SELECT 1; begin immediate;", "begin"),
            ("COMMIT", "COMMIT"),
            ("END;", "END"),
            ("ROLLBACK TRANSACTION;", "ROLLBACK"),
            ("VACUUM INTO 'a'", "VACUUM"),
            ("ATTACH 'a' AS b", "ATTACH"),
            ("PRAGMA foreign_keys=OFF;", "PRAGMA foreign_keys"),
            ("PRAGMA main.[journal_mode](wal);", "PRAGMA main.[journal_mode]"),
            ("SAVEPOINT a; SAVEPOINT b; RELEASE b;", "SAVEPOINT a"),
            ("SAVEPOINT a; SAVEPOINT b; RELEASE a; RELEASE SAVEPOINT b", "RELEASE SAVEPOINT b"),
            ("ROLLBACK TO x", "ROLLBACK TO x"),
        ] {
            assert_eq!(refused(text).as_deref(), Some(words), "{text}");
            assert_eq!(forbidden(&split(text, 0..text.len()), true), None);
            assert!(controls(text), "{text}");
        }
        for text in [
            "SAVEPOINT \"A\"; SAVEPOINT b; ROLLBACK TRANSACTION TO SAVEPOINT a; RELEASE a;",
            "PRAGMA user_version = 3; PRAGMA foreign_keys; PRAGMA foreign_key_check(a)",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; EXPLAIN COMMIT;",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_is_known_to_hold_nothing_that_is_refused_by_the_words_that_its_statements_start_with() {
        for text in
            ["CREATE TABLE begin(a);;\n-- COMMIT;\nSELECT CASE a WHEN 1 THEN 2 END, '; VACUUM' FROM \"begin\"", ""]
        {
            assert!(!controls(text), "{text}");
        }
        // More than what is refused: the end of a trigger, a pragma that only reads.
        for text in ["CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;", "SELECT 1; /* a */ pragma user_version"]
        {
            assert!(controls(text) && refused(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_known_statements_leave_rows_alone() {
        let may = |text: &str| may_break_rows(&split(text, 0..text.len())[0]);
        for text in [
            "CREATE TABLE a(b AS (c), FOREIGN KEY (b) REFERENCES d) STRICT;",
            "CREATE UNIQUE INDEX a ON b(c)",
            "CREATE TEMP VIEW a AS SELECT 1",
            "ALTER TABLE main.a ADD COLUMN b REFERENCES c",
            "ALTER TABLE \"a b\" ADD b DEFAULT 3",
            "ALTER TABLE a RENAME COLUMN b TO c",
            "DROP INDEX a",
            "PRAGMA user_version = 1",
        ] {
            assert!(!may(text), "{text}");
        }
        for text in [
            "CREATE TABLE a AS SELECT 1",
            "CREATE VIRTUAL TABLE a USING b",
            "ALTER TABLE a ADD b DEFAULT 3 REFERENCES c",
            "ALTER TABLE a RENAME TO b",
            "ALTER TABLE a DROP COLUMN b",
            "DROP TABLE a",
            "WITH a AS (SELECT 1) DELETE FROM b",
        ] {
            assert!(may(text), "{text}");
        }
    }
}
