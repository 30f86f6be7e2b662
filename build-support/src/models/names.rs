//! Names and pieces of SQL: how they are written, and what may stand for one.

use crate::token::{TokenKind, tokens};

/// The keywords of SQLite (<https://www.sqlite.org/lang_keywords.html>) and the reserved words of PostgreSQL (its
/// documentation, Appendix C): a name that is among them needs quotes. Both in one list, so that a name is written the
/// same way for both. In alphabetical order.
const KEYWORDS: &[&str] = &[
    "abort",
    "action",
    "add",
    "after",
    "all",
    "alter",
    "always",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "attach",
    "authorization",
    "autoincrement",
    "before",
    "begin",
    "between",
    "binary",
    "both",
    "by",
    "cascade",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "commit",
    "concurrently",
    "conflict",
    "constraint",
    "create",
    "cross",
    "current",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "database",
    "default",
    "deferrable",
    "deferred",
    "delete",
    "desc",
    "detach",
    "distinct",
    "do",
    "drop",
    "each",
    "else",
    "end",
    "escape",
    "except",
    "exclude",
    "exclusive",
    "exists",
    "explain",
    "fail",
    "false",
    "fetch",
    "filter",
    "first",
    "following",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "generated",
    "glob",
    "grant",
    "group",
    "groups",
    "having",
    "if",
    "ignore",
    "ilike",
    "immediate",
    "in",
    "index",
    "indexed",
    "initially",
    "inner",
    "insert",
    "instead",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "key",
    "last",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "match",
    "materialized",
    "natural",
    "no",
    "not",
    "nothing",
    "notnull",
    "null",
    "nulls",
    "of",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "others",
    "outer",
    "over",
    "overlaps",
    "partition",
    "placing",
    "plan",
    "pragma",
    "preceding",
    "primary",
    "query",
    "raise",
    "range",
    "recursive",
    "references",
    "regexp",
    "reindex",
    "release",
    "rename",
    "replace",
    "restrict",
    "returning",
    "right",
    "rollback",
    "row",
    "rows",
    "savepoint",
    "select",
    "session_user",
    "set",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "temp",
    "temporary",
    "then",
    "ties",
    "to",
    "trailing",
    "transaction",
    "trigger",
    "true",
    "unbounded",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "vacuum",
    "values",
    "variadic",
    "verbose",
    "view",
    "virtual",
    "when",
    "where",
    "window",
    "with",
    "within",
    "without",
];

/// A name as SQL writes it: bare where it is plain, lower-case and no keyword, else in double quotes.
#[must_use]
pub fn ident(name: &str) -> String {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts && plain && KEYWORDS.binary_search(&name).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names as SQL lists them: `a, b`.
pub(super) fn idents(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| ident(name)).collect();
    names.join(", ")
}

/// A text as a string literal of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A struct's name as a table's: `HttpServer2` and `HTTPServer2` are `http_server2`.
pub(super) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let ends_word = before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
        let starts_word =
            before.is_some_and(char::is_uppercase) && letters.get(at + 1).is_some_and(|after| after.is_lowercase());
        if letter.is_uppercase() && (ends_word || starts_word) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Why a text cannot be a table's, a column's or an index's name.
pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.chars().any(char::is_control) {
        Some("has a control character in it")
    } else if name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
        Some("starts with `sqlite_`, which SQLite keeps for itself")
    } else {
        None
    }
}

/// Why a text cannot stand inside a statement: it would end it, or swallow what follows.
pub(super) fn bad_fragment(text: &str) -> Option<&'static str> {
    let (mut depth, mut counts) = (0_usize, false);
    for token in tokens(text) {
        if token.open {
            return Some("has a quote or a comment that is never closed");
        }
        counts |= token.kind.counts();
        match token.kind {
            TokenKind::Semicolon => return Some("has a semicolon in it, which would end the statement"),
            TokenKind::LineComment => return Some("has a `--` comment in it, which would hide what follows"),
            TokenKind::Mark => match &text[token.span] {
                "(" => depth += 1,
                ")" if depth == 0 => return Some("closes a bracket that it has not opened"),
                ")" => depth -= 1,
                "\0" => return Some("has a NUL in it"),
                _ => {}
            },
            _ => {}
        }
    }
    match (depth, counts) {
        (_, false) => Some("is empty"),
        (0, true) => None,
        (_, true) => Some("opens a bracket that it does not close"),
    }
}

/// An expression as a `DEFAULT` wants it: in brackets, unless it is one token or has them already.
pub(super) fn bracketed(text: &str) -> String {
    let text = text.trim();
    let counting: Vec<_> = tokens(text).filter(|token| token.kind.counts()).collect();
    let mut depth = 0_usize;
    let mut closes_at = None;
    for (at, token) in counting.iter().enumerate() {
        match &text[token.span.clone()] {
            "(" => depth += 1,
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    closes_at = closes_at.or(Some(at));
                }
            }
            _ if depth == 0 => closes_at = closes_at.or(Some(at)),
            _ => {}
        }
    }
    let whole = closes_at == Some(counting.len().saturating_sub(1));
    if whole { text.to_owned() } else { format!("({text})") }
}

/// The name that a text starts with, unquoted: the table of `users (id)`.
pub(super) fn first_name(text: &str) -> Option<String> {
    let token = tokens(text).find(|token| token.kind.counts())?;
    let written = &text[token.span];
    match token.kind {
        TokenKind::Word => Some(written.to_owned()),
        TokenKind::Quoted => {
            let inner = written.get(1..written.len() - 1)?;
            Some(match written.as_bytes()[0] {
                b'"' => inner.replace("\"\"", "\""),
                b'`' => inner.replace("``", "`"),
                _ => inner.to_owned(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bare_where_it_may_be() {
        assert!(KEYWORDS.is_sorted());
        assert_eq!(ident("todos"), "todos");
        assert_eq!(ident("_x1"), "_x1");
        for (name, quoted) in
            [("order", "\"order\""), ("user", "\"user\""), ("Todos", "\"Todos\""), ("größe", "\"größe\"")]
        {
            assert_eq!(ident(name), quoted);
        }
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(ident("1st"), "\"1st\"");
    }

    #[test]
    fn a_struct_s_name_in_snake_case() {
        for (name, snake) in [
            ("User", "user"),
            ("TodoItem", "todo_item"),
            ("HTTPServer", "http_server"),
            ("Utf8Text", "utf8_text"),
            ("A", "a"),
            ("Größe", "größe"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn a_default_gets_brackets_where_it_needs_them() {
        for (written, bracketed_once) in [
            ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
            ("'a b'", "'a b'"),
            ("(datetime('now'))", "(datetime('now'))"),
            ("datetime('now')", "(datetime('now'))"),
            ("(1) + (2)", "((1) + (2))"),
            ("- 1", "(- 1)"),
        ] {
            assert_eq!(bracketed(written), bracketed_once);
        }
    }

    #[test]
    fn what_would_break_out_of_its_statement_is_told_apart() {
        for good in ["a > 0", "a IN (1, 2)", "note <> ';'", "a /* why */ > 0", "\"--\" = ')'"] {
            assert_eq!(bad_fragment(good), None, "{good}");
        }
        for bad in ["", "  ", "a); DROP TABLE b", "a)", "(a", "a -- b", "'a", "/* a", "/* a */"] {
            assert!(bad_fragment(bad).is_some(), "{bad}");
        }
    }
}
