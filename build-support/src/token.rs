//! SQL as tokens with spans: just enough to tell statements, comments and literals apart.
//!
//! One reader serves the section markers, the statements hash and the splitting into statements, so these cannot
//! disagree about where a literal ends. It follows SQLite (<https://www.sqlite.org/lang_comment.html>,
//! <https://www.sqlite.org/lang_keywords.html> for the four kinds of quotes) and also reads PostgreSQL's `E''`
//! strings, dollar quotes and operators, none of which is valid in SQLite, so the two never meet. Where they would,
//! whoever knows the database says its [`Dialect`]; of a migrations folder its lock says it.

use std::fmt;
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or a plain identifier.
    Word,
    /// An identifier in `"…"`, `` `…` `` or `[…]`. SQLite may read the first kind as a string.
    Quoted,
    /// A string or blob literal, with its prefix, or a dollar-quoted text.
    Literal,
    /// A number.
    Number,
    /// `;`
    Semicolon,
    /// An operator or another mark.
    Mark,
    /// `-- …` up to the end of its line, without the line feed.
    LineComment,
    /// `/* … */`
    BlockComment,
    /// White space.
    Space,
}

impl TokenKind {
    /// Whether the token means something to the database: it is neither white space nor a comment.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::LineComment | Self::BlockComment | Self::Space)
    }
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is, in bytes.
    pub span: Range<usize>,
    /// Whether the text ends before the token does: a quote or a comment that is never closed.
    pub open: bool,
}

/// The name that a token of a name stands for (<https://www.sqlite.org/lang_keywords.html>); SQLite takes strings as
/// names, too.
#[must_use]
pub fn unquoted(token: &str) -> String {
    let inner = |quote: char| {
        token[quote.len_utf8()..token.len() - quote.len_utf8()].replace(&format!("{quote}{quote}"), &quote.to_string())
    };
    match token.chars().next() {
        Some(quote @ ('"' | '`' | '\'')) if token.len() >= 2 && token.ends_with(quote) => inner(quote),
        // Nothing can stand for the bracket that closes.
        Some('[') if token.len() >= 2 && token.ends_with(']') => token[1..token.len() - 1].to_owned(),
        _ => token.to_owned(),
    }
}

/// Whose rules hold where two databases read the same text differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's: comments do not nest, and names may stand in brackets and backquotes.
    #[default]
    Sqlite,
    /// PostgreSQL's (its documentation, "Lexical Structure", 4.1), with `standard_conforming_strings` on: comments nest,
    /// brackets and backquotes quote nothing, an `E''` string goes on behind a line break, and a carriage return is one.
    Postgres,
}

impl Dialect {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// The word for it in a lock and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The dialect that a word stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.word() == word)
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Sqlite => Self::Postgres,
            Self::Postgres => Self::Sqlite,
        }
    }
}

/// As people know it.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Reads a text as tokens; together they cover it wholly, whatever it holds.
#[must_use]
pub fn tokens(text: &str) -> Tokens<'_> {
    tokens_of(Dialect::Sqlite, text)
}

/// The same by the rules of a database that is known.
#[must_use]
pub fn tokens_of(dialect: Dialect, text: &str) -> Tokens<'_> {
    Tokens { text, at: 0, dialect }
}

/// The tokens of a text, in order.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let (kind, length, open) = self.read()?;
        self.at = start + length;
        Some(Token { kind, span: start..self.at, open })
    }
}

impl Tokens<'_> {
    fn read(&self) -> Option<(TokenKind, usize, bool)> {
        use TokenKind::{BlockComment, LineComment, Literal, Mark, Number, Quoted, Semicolon, Space, Word};
        let rest = &self.text.as_bytes()[self.at..];
        let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
        let first = *rest.first()?;
        let whole = |kind, length| Some((kind, length, false));
        let postgres = self.dialect == Dialect::Postgres;
        match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0C => {
                whole(Space, run(rest, |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0C)))
            }
            // SQLite reads a byte order mark between tokens as white space.
            0xEF if rest.starts_with(b"\xEF\xBB\xBF") => whole(Space, 3),
            b'-' if byte(1) == b'-' => whole(LineComment, run(rest, |b| b != b'\n' && !(postgres && b == b'\r'))),
            b'/' if byte(1) == b'*' && postgres => match nested_comment(rest) {
                Some(length) => whole(BlockComment, length),
                None => Some((BlockComment, rest.len(), true)),
            },
            b'/' if byte(1) == b'*' => match find(&rest[2..], b"*/") {
                Some(at) => whole(BlockComment, at + 4),
                None => Some((BlockComment, rest.len(), true)),
            },
            b'\'' => quoted(rest, 0, b'\'', false).map_or(Some((Literal, rest.len(), true)), |n| whole(Literal, n)),
            b'`' | b'[' if postgres => whole(Mark, 1),
            b'"' | b'`' => quoted(rest, 0, first, false).map_or(Some((Quoted, rest.len(), true)), |n| whole(Quoted, n)),
            b'[' if !self.subscript() => match find(rest, b"]") {
                Some(at) => whole(Quoted, at + 1),
                None => Some((Quoted, rest.len(), true)),
            },
            b';' => whole(Semicolon, 1),
            b'$' => match dollar_tag(rest) {
                // One that is never closed takes the rest, so that no text can be searched again and again.
                Some(tag) => match find(&rest[tag..], &rest[..tag]) {
                    Some(at) => whole(Literal, at + 2 * tag),
                    None => Some((Literal, rest.len(), true)),
                },
                None => whole(Mark, 1),
            },
            b'0'..=b'9' => whole(Number, number(rest)),
            b'.' if byte(1).is_ascii_digit() => whole(Number, number(rest)),
            _ if is_word(first) => {
                let length = run(rest, |b| is_word(b) || b.is_ascii_digit() || b == b'$');
                let prefix = length == 1 && matches!(first.to_ascii_lowercase(), b'e' | b'x' | b'b' | b'n');
                if prefix && byte(1) == b'\'' {
                    let escapes = first.eq_ignore_ascii_case(&b'e');
                    let mut end = quoted(rest, 1, b'\'', escapes);
                    while let Some(at) = end.filter(|_| postgres && escapes).and_then(|end| goes_on(rest, end)) {
                        end = quoted(rest, at, b'\'', true);
                    }
                    return end.map_or(Some((Literal, rest.len(), true)), |n| whole(Literal, n));
                }
                // A byte order mark inside a word ends it, as it does in SQLite.
                let length = find(&rest[..length], b"\xEF\xBB\xBF").unwrap_or(length);
                whole(Word, length)
            }
            _ if is_operator(first) => whole(Mark, operator(rest)),
            _ => whole(Mark, 1),
        }
    }

    /// Whether a `[` here is PostgreSQL's subscript or array (`a[1]`, `text[]`, `ARRAY[…]`) rather than one of
    /// SQLite's quoted identifiers: it touches what stands before it.
    fn subscript(&self) -> bool {
        let before = self.text.as_bytes()[..self.at].last();
        before.is_some_and(|b| is_word(*b) || b.is_ascii_digit() || matches!(b, b']' | b')' | b'"'))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'?'
            | b':'
    )
}

/// The longest operator that is read as one; PostgreSQL's limit for a name. It also bounds the time that a run of
/// operator characters takes.
const LONGEST_OPERATOR: usize = 63;

/// The length of an operator, by PostgreSQL's rule (its documentation, "Lexical Structure", 4.1.3): the longest run
/// of operator characters that holds no comment, and that ends in `+` or `-` only with one of `~!@#%^&|?` in it.
fn operator(rest: &[u8]) -> usize {
    // One more is looked at, so that a comment that starts at the limit is seen as one.
    let mut length = run(&rest[..rest.len().min(LONGEST_OPERATOR + 1)], is_operator);
    for comment in [&b"--"[..], b"/*"] {
        if let Some(at) = find(&rest[1..length], comment) {
            length = at + 1;
        }
    }
    length = length.min(LONGEST_OPERATOR);
    let special = |b: &u8| matches!(b, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'?');
    if !rest[..length].iter().any(special) {
        while length > 1 && matches!(rest[length - 1], b'+' | b'-') {
            length -= 1;
        }
    }
    length
}

fn number(rest: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&byte) = rest.get(length) {
        let exponent_sign = matches!(byte, b'+' | b'-')
            && length > 0
            && rest[length - 1].eq_ignore_ascii_case(&b'e')
            && !rest[..length].starts_with(b"0x")
            && !rest[..length].starts_with(b"0X");
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || exponent_sign) {
            break;
        }
        length += 1;
    }
    length
}

/// The length of a quoted text whose opening quote is at `open`, doubled quotes inside it included.
fn quoted(rest: &[u8], open: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let byte = *rest.get(at)?;
        if escapes && byte == b'\\' {
            at += 2;
        } else if byte != quote {
            at += 1;
        } else if rest.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
}

/// Where the quote is with which a literal that ends here goes on: behind white space with a line break in it, and
/// comments up to the end of their lines.
fn goes_on(rest: &[u8], end: usize) -> Option<usize> {
    let (mut at, mut broken) = (end, false);
    loop {
        match rest.get(at)? {
            b'\n' | b'\r' => (at, broken) = (at + 1, true),
            b' ' | b'\t' | 0x0C => at += 1,
            b'-' if rest.get(at + 1) == Some(&b'-') => at += run(&rest[at..], |b| !matches!(b, b'\n' | b'\r')),
            b'\'' if broken => return Some(at),
            _ => return None,
        }
    }
}

/// The length of a comment that may hold others.
fn nested_comment(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match rest.get(at..at + 2)? {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
}

/// The length of the `$tag$` that opens a dollar-quoted text, where this is one.
fn dollar_tag(rest: &[u8]) -> Option<usize> {
    let tag = 2 + run(&rest[1..], |b| is_word(b) || b.is_ascii_digit());
    let delimiter = rest.get(..tag)?;
    (delimiter.ends_with(b"$") && !delimiter[1].is_ascii_digit()).then_some(tag)
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| !belongs(*b)).unwrap_or(bytes.len())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_of_operators_is_read_in_pieces_and_ends_at_a_comment() {
        assert_eq!(tokens(&"+".repeat(1_000_000)).count(), 1_000_000);
        for length in 60..66 {
            let text = format!("@{}--x", "+".repeat(length - 1));
            let last = tokens(&text).last().map(|token| token.kind);
            assert_eq!(last, Some(TokenKind::LineComment), "{length}");
        }
    }

    fn shown(text: &str) -> Vec<&str> {
        tokens(text).filter(|t| t.kind.counts()).map(|t| &text[t.span]).collect()
    }

    #[test]
    fn quotes_of_all_kinds_hide_semicolons_and_comments() {
        assert_eq!(shown("'a;''--'"), ["'a;''--'"]);
        assert_eq!(shown(r#""a;""b" `c;` [d;'] e"#), [r#""a;""b""#, "`c;`", "[d;']", "e"]);
        assert_eq!(shown("x'00' E'it\\'s -- so' SELECT'e'"), ["x'00'", "E'it\\'s -- so'", "SELECT", "'e'"]);
        assert_eq!(shown("$f$ a; -- b $f$ ; $$;$$"), ["$f$ a; -- b $f$", ";", "$$;$$"]);
    }

    #[test]
    fn comments_and_white_space_do_not_count() {
        assert_eq!(shown("a -- b\n/* c ; */d"), ["a", "d"]);
        assert_eq!(shown("a-1--1"), ["a", "-", "1"]);
        assert_eq!(shown("1/*x*/+2"), ["1", "+", "2"]);
    }

    #[test]
    fn operators_and_numbers_are_whole() {
        assert_eq!(shown("a||b=-1"), ["a", "||", "b", "=", "-", "1"]);
        assert_eq!(shown("1.5e-3 0x1F .5 a.b"), ["1.5e-3", "0x1F", ".5", "a", ".", "b"]);
        assert_eq!(shown("a->>'b'"), ["a", "->>", "'b'"]);
    }

    #[test]
    fn a_subscript_is_not_a_quoted_name() {
        assert_eq!(shown("ARRAY['a]b']"), ["ARRAY", "[", "'a]b'", "]"]);
        assert_eq!(shown("t.[a'b]"), ["t", ".", "[a'b]"]);
    }

    #[test]
    fn postgres_nests_comments_and_quotes_nothing_in_brackets() {
        let shown = |text: &'static str| -> Vec<&str> {
            let tokens = tokens_of(Dialect::Postgres, text);
            tokens.filter(|token| token.kind.counts()).map(|token| &text[token.span]).collect()
        };
        assert_eq!(shown("a /* b /* ; */ 'c */ d"), ["a", "d"]);
        assert_eq!(shown("/**/ a /*/**/*/ b"), ["a", "b"]);
        assert_eq!(shown("ARRAY [ 'a]b', `;"), ["ARRAY", "[", "'a]b'", ",", "`", ";"]);
        assert_eq!(shown("e'a' \n -- it's\n 'b\\';' c"), ["e'a' \n -- it's\n 'b\\';'", "c"]);
        assert_eq!(shown("E'a' 'b\\' 'c'\n'd\\'"), ["E'a'", "'b\\'", "'c'", "'d\\'"]);
        assert_eq!(shown("e'a' -- it's\n-- so\r'b\\';' c"), ["e'a' -- it's\n-- so\r'b\\';'", "c"]);
        assert_eq!(shown("e'a' -- b\n/**/ 'c\\'"), ["e'a'", "'c\\'"]);
        assert_eq!(shown("a -- b\rc"), ["a", "c"]);
        assert!(tokens_of(Dialect::Postgres, "/* /* */").last().unwrap().open);
        assert!(!tokens("/* /* */").last().unwrap().open);
    }

    #[test]
    fn what_is_never_closed_says_so_and_ends_with_the_text() {
        for text in ["$a$ b", "'abc", "\"abc", "`a", "[a", "/* a", "e'\\'", "x'0"] {
            let last = tokens(text).last().unwrap();
            assert!(last.open, "{text}");
            assert_eq!(last.span.end, text.len());
        }
    }

    #[test]
    fn the_tokens_of_any_bytes_cover_the_text() {
        // A small generator instead of a dependency: this crate has sha2 alone.
        let pieces = [
            "'", "\"", "[", "]", "$", "$a$", "--", "/*", "*/", "\n", ";", "é", "\u{FEFF}", "e'", "\\", "1e", "-", "x",
            " ", ".",
        ];
        let mut state: u64 = 7;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let mut at = 0;
                for token in tokens_of(dialect, &text) {
                    assert!(token.span.start == at && token.span.end > at, "{text:?}");
                    assert!(text.is_char_boundary(token.span.end), "{text:?}");
                    at = token.span.end;
                }
                assert_eq!(at, text.len(), "{text:?}");
            }
        }
    }
}
