//! Whether SQLite reads a text as one statement, and as one without parameters.
//!
//! Texts are cut into statements by a reader that knows PostgreSQL's literals too, so the two can disagree about where
//! one ends: after `SELECT e'\'`, say. Some libraries then run what follows unseen, others drop it, and most give a
//! parameter that nobody has set the value NULL. So the text is read once more, by SQLite's rules alone
//! (<https://www.sqlite.org/lang_comment.html>, <https://www.sqlite.org/lang_keywords.html>,
//! <https://www.sqlite.org/lang_expr.html#parameters>), whatever library runs it.

use crate::connection::{DatabaseError, ErrorKind};

/// Refuses a text in which SQLite sees a second statement or a parameter.
pub(crate) fn one_statement(sql: &str) -> Result<(), DatabaseError> {
    let refuse = |at: usize, message: &str| {
        Err(DatabaseError { offset: Some(at), ..DatabaseError::new(ErrorKind::Other, message) })
    };
    let (mut beginning, mut begun, mut ended) = (Beginning::Nothing, false, false);
    // A trigger's own statements end with semicolons, and it with `; END;`.
    let (mut after_semicolon, mut after_end) = (false, false);
    let mut at = 0;
    while let Some((token, length)) = read(&sql.as_bytes()[at..]) {
        let start = at;
        at += length;
        match token {
            Token::Gap => continue,
            _ if ended && token != Token::Semicolon => {
                return refuse(start, "SQLite reads this as a second statement");
            }
            Token::Parameter if beginning != Beginning::VirtualTable => {
                return refuse(start, "the statement has a parameter, and nothing gives it a value");
            }
            Token::Semicolon => ended |= begun && (beginning != Beginning::Trigger || after_end),
            _ => {}
        }
        begun |= token != Token::Semicolon;
        let word = if token == Token::Word { &sql[start..at] } else { "" };
        after_end = after_semicolon && word.eq_ignore_ascii_case("END");
        after_semicolon = token == Token::Semicolon;
        beginning = beginning.followed_by(token, word);
    }
    Ok(())
}

/// How a statement begins, as far as that changes how the rest is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Nothing,
    Create,
    Trigger,
    /// Its arguments are the module's to read, so that what looks like a parameter there is none.
    VirtualTable,
    Other,
}

impl Beginning {
    fn followed_by(self, token: Token, word: &str) -> Self {
        let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        match self {
            Self::Nothing if token == Token::Semicolon || is(&["EXPLAIN", "QUERY", "PLAN"]) => self,
            Self::Nothing if is(&["CREATE"]) => Self::Create,
            Self::Create if is(&["TEMP", "TEMPORARY"]) => self,
            Self::Create if is(&["TRIGGER"]) => Self::Trigger,
            Self::Create if is(&["VIRTUAL"]) => Self::VirtualTable,
            Self::Nothing | Self::Create => Self::Other,
            known => known,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// White space or a comment.
    Gap,
    Semicolon,
    Parameter,
    Word,
    Other,
}

/// The first token of a text, and its length.
fn read(rest: &[u8]) -> Option<(Token, usize)> {
    let past = |wanted: &[u8], from: usize| {
        let found = rest.get(from..)?.windows(wanted.len()).position(|window| window == wanted)?;
        Some(from + found + wanted.len())
    };
    let run = |belongs: fn(&u8) -> bool| rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len());
    let to_end = |length: Option<usize>| length.unwrap_or(rest.len());
    Some(match *rest.first()? {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0C => (Token::Gap, 1),
        _ if rest.starts_with(b"\xEF\xBB\xBF") => (Token::Gap, 3),
        b'-' if rest.starts_with(b"--") => (Token::Gap, to_end(past(b"\n", 2))),
        b'/' if rest.starts_with(b"/*") => (Token::Gap, to_end(past(b"*/", 2))),
        // A doubled quote is read as the end of one text and the beginning of another, which covers the same bytes.
        b'\'' => (Token::Other, to_end(past(b"'", 1))),
        b'"' => (Token::Other, to_end(past(b"\"", 1))),
        b'`' => (Token::Other, to_end(past(b"`", 1))),
        b'[' => (Token::Other, to_end(past(b"]", 1))),
        b';' => (Token::Semicolon, 1),
        b'?' | b':' | b'@' | b'$' => (Token::Parameter, 1),
        byte if is_word(&byte) => (Token::Word, run(is_word)),
        _ => (Token::Other, 1),
    })
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is refused, from the place of the refusal on.
    fn refused(sql: &str) -> Option<&str> {
        one_statement(sql).err().map(|error| &sql[error.offset.unwrap()..])
    }

    #[test]
    fn one_statement_passes_however_it_is_written() {
        for sql in [
            "",
            "; -- nothing",
            "SELECT 'a;b''c;', \"d;\", `e;`, [f;'] /* ; ? */ -- ; $x\n;;",
            "INSERT INTO t VALUES ('?', ':a', '$b'), (a$b, x'00')",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; END;",
            "explain create temp trigger a after insert on t begin select 1; end -- ;",
            "CREATE VIRTUAL TABLE t USING words(separator = :)",
            "SELECT '\u{e9}\u{FEFF};' AS \u{e9}t\u{e9}\u{FEFF};",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_the_splitting_overlooks_is_refused_at_its_place() {
        for (sql, place) in [
            ("SELECT e'\\'; COMMIT; SELECT '", "COMMIT; SELECT '"),
            ("SELECT a['];COMMIT;--']", "COMMIT;--']"),
            ("CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; COMMIT;", "COMMIT;"),
            ("SELECT $a$; COMMIT; SELECT $a$", "$a$; COMMIT; SELECT $a$"),
            ("INSERT INTO t VALUES (?1)", "?1)"),
            ("INSERT INTO t VALUES (:name, @other)", ":name, @other)"),
        ] {
            assert_eq!(refused(sql), Some(place), "{sql}");
        }
    }

    #[test]
    fn sqlite_itself_sees_the_same_statements_and_parameters() {
        let connection = crate::sqlite::tests::open("CREATE TABLE t (a$b, x)");
        for sql in ["SELECT a$b FROM t", "SELECT 1 AS [a;']", "SELECT ?1", "SELECT :a", "SELECT @a", "SELECT $a$"] {
            let parameters = connection.prepare(sql).unwrap().parameter_count();
            assert_eq!(one_statement(sql).is_err(), parameters > 0, "{sql}");
        }
    }
}
