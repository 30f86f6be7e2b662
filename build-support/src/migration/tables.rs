//! Which tables a migration makes, drops and renames, as its statements start.
//!
//! No more is read of a statement than its first words: enough to know whose a table is where several packages share
//! a database, and to find two that make the same one before anything runs.

use std::ops::Range;

use crate::token::{Dialect, Token, TokenKind, unquoted};

/// What a statement of an up section does to the name of a table or a view, which share their names. Names are without
/// quotes and in lower case, on PostgreSQL only where they had no quotes; there a schema other than `public` stands before
/// them. Temporary ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// `CREATE TABLE`, `CREATE VIRTUAL TABLE`, `CREATE VIEW`, with the name's span in the normalised text.
    Made(Box<str>, Range<usize>),
    /// `DROP TABLE`, `DROP VIEW`
    Dropped(Box<str>),
    /// `ALTER TABLE … RENAME TO …`: the old name and the new one with its span.
    Renamed(Box<str>, Box<str>, Range<usize>),
}

impl TableChange {
    /// The name that is free after it.
    #[must_use]
    pub fn freed(&self) -> Option<&str> {
        match self {
            Self::Dropped(name) | Self::Renamed(name, ..) => Some(name),
            Self::Made(..) => None,
        }
    }

    /// The name that is taken after it, with its span in the normalised text.
    #[must_use]
    pub fn taken(&self) -> Option<(&str, Range<usize>)> {
        match self {
            Self::Made(name, span) | Self::Renamed(_, name, span) => Some((name, span.clone())),
            Self::Dropped(_) => None,
        }
    }
}

/// The changes of a section, in their order.
pub(super) fn of(dialect: Dialect, text: &str, tokens: &[Token]) -> Vec<TableChange> {
    let mut changes = Vec::new();
    let mut words = tokens.iter().filter(|token| token.kind.counts());
    let mut ended = false;
    while !ended {
        // No statement that matters needs more than its first words.
        let mut statement = Statement { dialect, text, tokens: [const { None }; LONGEST], at: 0 };
        let mut length = 0;
        ended = true;
        for token in words.by_ref() {
            if token.kind == TokenKind::Semicolon {
                ended = false;
                break;
            }
            if length < LONGEST {
                statement.tokens[length] = Some(token);
                length += 1;
            }
        }
        changes.extend(statement.change());
    }
    changes
}

/// `ALTER TABLE IF EXISTS main . old RENAME TO new`, and one more.
const LONGEST: usize = 12;

struct Statement<'a> {
    dialect: Dialect,
    text: &'a str,
    tokens: [Option<&'a Token>; LONGEST],
    at: usize,
}

impl<'a> Statement<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).copied().flatten()
    }

    /// Steps over a keyword where it stands here.
    fn word(&mut self, wanted: &str) -> bool {
        let here = self.peek().is_some_and(|token| {
            token.kind == TokenKind::Word && self.text[token.span.clone()].eq_ignore_ascii_case(wanted)
        });
        self.at += usize::from(here);
        here
    }

    fn words(&mut self, wanted: &[&str]) -> bool {
        let start = self.at;
        let all = wanted.iter().all(|word| self.word(word));
        if !all {
            self.at = start;
        }
        all
    }

    /// Steps over a name, and the schema's before it; none for what is temporary.
    fn name(&mut self) -> Option<(Box<str>, Range<usize>)> {
        let first = self.identifier()?;
        let dot = self.peek().is_some_and(|token| &self.text[token.span.clone()] == ".");
        if !dot {
            return Some(first);
        }
        self.at += 1;
        let (name, span) = self.identifier()?;
        match (self.dialect, &*first.0) {
            (Dialect::Sqlite, "temp") | (Dialect::Postgres, "pg_temp") => None,
            (Dialect::Sqlite, _) | (Dialect::Postgres, "public") => Some((name, span)),
            (Dialect::Postgres, schema) => Some((format!("{schema}.{name}").into(), span)),
        }
    }

    fn identifier(&mut self) -> Option<(Box<str>, Range<usize>)> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Literal) {
            return None;
        }
        self.at += 1;
        let name = unquoted(&self.text[token.span.clone()]);
        let exact = self.dialect == Dialect::Postgres && token.kind == TokenKind::Quoted;
        let name = if exact { name } else { name.to_ascii_lowercase() };
        Some((name.into(), token.span.clone()))
    }

    fn change(&mut self) -> Option<TableChange> {
        if self.word("CREATE") {
            if self.word("TEMP") || self.word("TEMPORARY") {
                return None;
            }
            self.words(&["OR", "REPLACE"]);
            // Whichever of these stands here, in whichever database, it makes a name of the same kind.
            let _ = self.word("VIRTUAL") || self.word("UNLOGGED") || self.word("MATERIALIZED") || self.word("FOREIGN");
            if !self.word("TABLE") && !self.word("VIEW") {
                return None;
            }
            self.words(&["IF", "NOT", "EXISTS"]);
            let (name, span) = self.name()?;
            return Some(TableChange::Made(name, span));
        }
        if self.word("DROP") {
            let _ = self.word("MATERIALIZED") || self.word("FOREIGN");
            if !self.word("TABLE") && !self.word("VIEW") {
                return None;
            }
            self.words(&["IF", "EXISTS"]);
            return Some(TableChange::Dropped(self.name()?.0));
        }
        if self.words(&["ALTER", "TABLE"]) {
            self.words(&["IF", "EXISTS"]);
            let (old, _) = self.name()?;
            if !self.words(&["RENAME", "TO"]) {
                return None;
            }
            let (new, span) = self.identifier()?;
            // It stays in its schema.
            let new = match old.rsplit_once('.') {
                Some((schema, _)) if self.dialect == Dialect::Postgres => format!("{schema}.{new}").into(),
                _ => new,
            };
            return Some(TableChange::Renamed(old, new, span));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tokens_of;

    fn changes(text: &str) -> Vec<String> {
        changes_of(Dialect::Sqlite, text)
    }

    fn changes_of(dialect: Dialect, text: &str) -> Vec<String> {
        let all: Vec<Token> = tokens_of(dialect, text).collect();
        let told = |change: TableChange| match change {
            TableChange::Made(name, span) => format!("+{name} {}", &text[span]),
            TableChange::Dropped(name) => format!("-{name}"),
            TableChange::Renamed(old, new, _) => format!("{old}>{new}"),
        };
        of(dialect, text, &all).into_iter().map(told).collect()
    }

    #[test]
    fn tables_are_known_by_the_first_words_of_their_statements() {
        let text = "CREATE TABLE IF NOT EXISTS main.Users (a TEXT DEFAULT 'CREATE TABLE x; ');\n\
                    -- CREATE TABLE no (x);\nCREATE VIRTUAL TABLE \"so \"\"it\"\" is\" USING fts5(a);\n\
                    CREATE TEMP TABLE t (x); CREATE TABLE temp.t (x); CREATE INDEX i ON Users (a);\n\
                    DROP TABLE IF EXISTS [Old]; ALTER TABLE `new` RENAME TO Users; ALTER TABLE a RENAME COLUMN b TO c;\n\
                    CREATE TRIGGER g AFTER INSERT ON a BEGIN DELETE FROM a; END; DROP VIEW v";
        let found = changes(text);
        assert_eq!(found, ["+users Users", "+so \"it\" is \"so \"\"it\"\" is\"", "-old", "new>users", "-v"]);
    }

    #[test]
    fn on_a_server_a_name_is_one_of_its_schema() {
        let text = "CREATE UNLOGGED TABLE Shop.Users (a int); CREATE TABLE public.users (a int); CREATE TABLE \"Users\" (a int);\n\
                    ALTER TABLE shop.users RENAME TO people; DROP MATERIALIZED VIEW m; CREATE TABLE pg_temp.t (a int);";
        let found = changes_of(Dialect::Postgres, text);
        assert_eq!(found, ["+shop.users Users", "+users users", "+Users \"Users\"", "shop.users>shop.people", "-m"]);
    }

    #[test]
    fn what_is_no_statement_changes_nothing() {
        for text in
            ["", ";;", "CREATE", "CREATE TABLE", "CREATE TABLE ;", "DROP TABLE main.", "ALTER TABLE a RENAME TO"]
        {
            assert_eq!(changes(text), [""; 0], "{text}");
        }
    }
}
