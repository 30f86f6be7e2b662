//! Statements as PostgreSQL reads them, and what psql reads before the server does.

use std::ops::Range;

use build_support::token::{Dialect, TokenKind, tokens_of};

use super::{Forbidden, OUTSIDE, Statement, Words, transaction};

/// Where the statements of a text are.
///
/// A semicolon ends none within parentheses (`CREATE RULE … DO (…; …)`), nor in the body of a routine that is written as
/// statements (`BEGIN ATOMIC …; END`), in which a CASE has an END of its own.
pub(super) fn spans(text: &str) -> Vec<Range<usize>> {
    let mut statements = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let (mut parentheses, mut blocks) = (0_usize, 0_usize);
    let mut before = "";
    for token in tokens_of(Dialect::Postgres, text).filter(|token| token.kind.counts()) {
        let piece = &text[token.span.clone()];
        if token.kind == TokenKind::Semicolon {
            let Some(span) = &mut open else { continue };
            span.end = token.span.end;
            if parentheses == 0 && blocks == 0 {
                statements.extend(open.take());
            }
            continue;
        }
        let is = |keyword: &str| token.kind == TokenKind::Word && piece.eq_ignore_ascii_case(keyword);
        match piece {
            "(" => parentheses += 1,
            ")" => parentheses = parentheses.saturating_sub(1),
            _ if is("ATOMIC") && before.eq_ignore_ascii_case("BEGIN") => blocks += 1,
            _ if is("CASE") && blocks > 0 => blocks += 1,
            _ if is("END") => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        before = if token.kind == TokenKind::Word { piece } else { "" };
        open.get_or_insert(token.span.clone()).end = token.span.end;
    }
    statements.extend(open);
    statements
}

/// What keeps the server from reading a file as it stands: psql's own commands, rows behind a COPY, and another meaning of
/// the backslash.
pub(super) fn unread(statement: &Statement<'_>) -> Option<Forbidden> {
    if statement.dialect != Dialect::Postgres {
        return None;
    }
    let words = Words::of(statement);
    if let Some(at) = (0..words.len()).find(|at| words.text(*at) == "\\") {
        let start = words.span_of(at).start;
        let rest = &statement.text[start - statement.span.start..];
        let word = rest.split_whitespace().next().unwrap_or(rest);
        return Some(Forbidden {
            span: start..start + word.len(),
            message: format!("`{word}` is for psql, and the server does not know it"),
            help: "write the SQL that it stands for, or leave it out".to_owned(),
        });
    }
    if words.is(0, "COPY") {
        let streams = |at: &usize| {
            words.is(*at, "FROM") && words.is(at + 1, "STDIN") || words.is(*at, "TO") && words.is(at + 1, "STDOUT")
        };
        let at = (1..words.len()).find(streams)?;
        return Some(Forbidden {
            span: words.span_of(at).start..words.span_of(at + 1).end,
            message: format!("COPY {} needs a client at its other end", words.between(at, at + 2)),
            help: "write rows as INSERT statements (`pg_dump --inserts` does), or load them once the schema is there"
                .to_owned(),
        });
    }
    let name = if words.is_any(1, &["SESSION", "LOCAL"]) { 2 } else { 1 };
    if words.is(0, "SET") && words.name(name) == "standard_conforming_strings" {
        let value = words.name(name + 2);
        return ["off", "false", "no", "0"].contains(&value.as_str()).then(|| Forbidden {
            span: words.span_to(name),
            message: "this changes how the strings that follow are read".to_owned(),
            help: "leave it out, and write a string with backslashes that escape as `E'…'`".to_owned(),
        });
    }
    other_encoding(&words, name)
}

/// A file is UTF-8, and goes to the server as it is: told another encoding, the server keeps other letters without a word.
fn other_encoding(words: &Words<'_>, name: usize) -> Option<Forbidden> {
    let value = match words.name(name).as_str() {
        "client_encoding" if words.is(0, "RESET") => name,
        "client_encoding" if words.is(0, "SET") => name + 2,
        "names" if words.is(0, "SET") => name + 1,
        _ => return None,
    };
    let encoding = words.name(value);
    let encoding = encoding.trim_matches('\'').replace(['-', '_'], "");
    (!["utf8", "unicode"].contains(&encoding.as_str())).then(|| Forbidden {
        span: words.span_to(name),
        message: "this changes how the letters that follow are read, and the file is UTF-8".to_owned(),
        help: "leave it out: the server turns UTF-8 into the database's own encoding; what is not UTF-8 is written as \
               `convert_from('\\xE9', 'LATIN1')`"
            .to_owned(),
    })
}

/// `RESET ALL`, which takes back what the run's transaction has set for itself.
pub(super) fn reset(words: &Words<'_>) -> Option<Forbidden> {
    words.is(1, "ALL").then(|| Forbidden {
        span: words.span_to(1),
        message: "RESET ALL also sets back what the run has set for its transaction".to_owned(),
        help: "name the settings that the revision has changed: `RESET statement_timeout;`".to_owned(),
    })
}

/// `DISCARD ALL`; its other kinds let go of what nobody misses.
pub(super) fn discard(words: &Words<'_>) -> Option<Forbidden> {
    words.is(1, "ALL").then(|| Forbidden {
        span: words.span_to(1),
        message: "DISCARD ALL cannot run inside a transaction".to_owned(),
        help: OUTSIDE.to_owned(),
    })
}

/// `ABORT`, `START TRANSACTION` and `PREPARE TRANSACTION`; a `PREPARE` of a statement is another thing.
pub(super) fn transaction_word(words: &Words<'_>, word: &str) -> Option<Forbidden> {
    (word == "ABORT" || words.is(1, "TRANSACTION")).then(|| transaction(words, word))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use build_support::migration::Migration;
    use build_support::revision::RevisionId;

    use super::super::{forbidden, forbidden_in_verify, split_as};
    use super::*;

    fn split(text: &str) -> Vec<Statement<'_>> {
        split_as(Dialect::Postgres, text, 0..text.len())
    }

    /// Whether a file of this text may hold something that is refused.
    fn controls(text: &str) -> bool {
        let id = RevisionId::new("a").unwrap();
        let text = format!("-- migrate:up\n{text}");
        Migration::parse_as(Dialect::Postgres, id, Path::new("a.sql"), &text).unwrap().controls
    }

    #[test]
    fn statements_end_where_the_server_ends_them() {
        let body = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN 1 = 1 THEN 2 END; SELECT 3; END;";
        for statement in [
            "CREATE FUNCTION f() RETURNS trigger AS $f$ BEGIN RETURN new; END; $f$ LANGUAGE plpgsql;",
            "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f();",
            "CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM c);",
            "DO $$ BEGIN PERFORM 1; END $$;",
            "SELECT /* a /* ; */ ; */ E'it\\'s;' , $1$2;",
            "SELECT CASE WHEN a THEN 1 END, (ARRAY [ 'x]y', ';' ])[1];",
            body,
        ] {
            let text = format!("{statement} SELECT 1;");
            let found: Vec<&str> = split(&text).into_iter().map(|statement| statement.text).collect();
            assert_eq!(found, [statement, "SELECT 1;"]);
        }
    }

    #[test]
    fn what_the_server_cannot_read_is_refused_everywhere_and_transactions_inside_one() {
        let refused = |text: &str, no_transaction: bool| {
            forbidden(&split(text), no_transaction).map(|found| text[found.span].to_owned())
        };
        for (text, words) in [
            ("SELECT 1;\n\\d users\nSELECT 2;", "\\d"),
            ("\\connect other", "\\connect"),
            ("COPY a (b) FROM STDIN WITH (FORMAT csv);\n1\n\\.\n", "FROM STDIN"),
            ("COPY (SELECT 1) TO stdout", "TO stdout"),
            ("SET LOCAL standard_conforming_strings = off", "SET LOCAL standard_conforming_strings"),
            ("set standard_conforming_strings to 'off'", "set standard_conforming_strings"),
            ("SET client_encoding = 'LATIN1'", "SET client_encoding"),
            ("set local \"client_encoding\" to latin1", "set local \"client_encoding\""),
            ("SET SESSION NAMES 'WIN1252'", "SET SESSION NAMES"),
            ("SET NAMES latin1", "SET NAMES"),
            ("RESET client_encoding", "RESET client_encoding"),
            ("SET client_encoding TO DEFAULT", "SET client_encoding"),
        ] {
            assert_eq!(refused(text, false).as_deref(), Some(words), "{text}");
            assert_eq!(refused(text, true).as_deref(), Some(words), "{text}");
            assert!(controls(text), "{text}");
        }
        assert_eq!(forbidden_in_verify(&split("SELECT 1 \\gset")).map(|found| found.span), Some(9..14));
        for (text, words) in [
            ("BEGIN", "BEGIN"),
            ("start transaction read only", "start"),
            ("COMMIT PREPARED 'a'", "COMMIT"),
            ("END", "END"),
            ("ABORT", "ABORT"),
            ("ROLLBACK AND CHAIN", "ROLLBACK"),
            ("PREPARE TRANSACTION 'a'", "PREPARE"),
            ("VACUUM a", "VACUUM"),
            ("DISCARD ALL", "DISCARD ALL"),
            ("reset all", "reset all"),
            ("SAVEPOINT a", "SAVEPOINT a"),
        ] {
            assert_eq!(refused(text, false).as_deref(), Some(words), "{text}");
            assert_eq!(refused(text, true), None, "{text}");
            assert!(controls(text) && controls(&format!("SELECT (1); {text}")), "{text}");
        }
        for text in [
            "PREPARE a AS SELECT 1",
            "DISCARD PLANS; RESET search_path",
            "SAVEPOINT a; ROLLBACK TO SAVEPOINT a; RELEASE SAVEPOINT a",
            "ALTER TABLE a ATTACH PARTITION b DEFAULT",
            "SELECT 'a\\b', E'\\d', $$\\d$$",
            "SET standard_conforming_strings = on",
            "SET client_encoding = 'UTF8'; SET NAMES 'utf-8'; SET client_encoding TO unicode",
            "COPY a FROM '/tmp/a'",
        ] {
            assert_eq!(refused(text, false), None, "{text}");
        }
        for text in
            ["SELECT 'a\\b', E'\\d'; /* /* */ COMMIT; */ SELECT [1]", "ALTER TABLE a ATTACH PARTITION b DEFAULT"]
        {
            assert!(!controls(text), "{text}");
        }
    }
}
