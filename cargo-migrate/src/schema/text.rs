//! The text of a schema: identifiers, and expressions in a form in which only what SQLite sees counts.

pub use build_support::token::unquoted;
use build_support::token::{TokenKind, tokens};
use rusqlite::types::Value;

/// The words that SQLite does not take as a name without quotes, in lower case: those without a `%fallback` in its
/// grammar, and the constants that would be read as values (<https://www.sqlite.org/lang_keywords.html>).
const RESERVED: [&str; 71] = [
    "add",
    "all",
    "alter",
    "and",
    "as",
    "autoincrement",
    "between",
    "case",
    "check",
    "collate",
    "commit",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "default",
    "deferrable",
    "delete",
    "distinct",
    "drop",
    "else",
    "escape",
    "except",
    "exists",
    "false",
    "foreign",
    "from",
    "full",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "left",
    "limit",
    "natural",
    "not",
    "nothing",
    "notnull",
    "null",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "set",
    "table",
    "then",
    "to",
    "transaction",
    "true",
    "union",
    "unique",
    "update",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// Words that SQLite takes as a name, and that people read as something else.
const CONFUSING: [&str; 24] = [
    "abort",
    "action",
    "after",
    "asc",
    "before",
    "begin",
    "by",
    "cast",
    "column",
    "desc",
    "end",
    "for",
    "generated",
    "if",
    "ignore",
    "key",
    "like",
    "match",
    "of",
    "pragma",
    "replace",
    "rowid",
    "trigger",
    "view",
];

/// A name as SQLite compares it: without regard to the case of ASCII letters.
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// A name as it stands in SQL: bare where that reads as a name, else in double quotes.
#[must_use]
pub fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let folded = fold(name);
    if plain && RESERVED.binary_search(&folded.as_str()).is_err() && !CONFUSING.contains(&folded.as_str()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A list of names as it stands in SQL.
pub fn identifiers<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// A text as an SQL string.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value as it stands in SQL.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => literal(text),
        Value::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}

/// Whether the case of names counts in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// It does: a view's columns are named as they are written.
    Counts,
    /// It does not.
    Folds,
}

/// A text of which only the tokens count that SQLite sees: no comments, no white space, quotes only where a name needs
/// them, operators sign by sign.
#[must_use]
pub fn normal(text: &str, case: Case) -> String {
    let mut parts: Vec<String> = Vec::new();
    for token in tokens(text).filter(|token| token.kind.counts()) {
        let part = &text[token.span];
        match token.kind {
            TokenKind::Word => parts.push(match case {
                Case::Folds => fold(part),
                Case::Counts if is_word_of_sql(part) => fold(part),
                Case::Counts => part.to_owned(),
            }),
            TokenKind::Quoted => {
                let name = unquoted(part);
                let plain = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                    && name.chars().all(|c| c.is_alphanumeric() || c == '_');
                let name = if case == Case::Folds || is_word_of_sql(&name) { fold(&name) } else { name };
                let reserved = RESERVED.binary_search(&fold(&name).as_str()).is_ok();
                parts.push(if plain && !reserved { name } else { format!("\"{}\"", name.replace('"', "\"\"")) });
            }
            TokenKind::Number => parts.push(fold(part)),
            TokenKind::Mark => parts.extend(part.chars().map(String::from)),
            _ => parts.push(part.to_owned()),
        }
    }
    parts.join(" ")
}

/// Whether a word may be SQL's own, whose case never counts.
fn is_word_of_sql(word: &str) -> bool {
    let folded = fold(word);
    RESERVED.binary_search(&folded.as_str()).is_ok()
        || CONFUSING.contains(&folded.as_str())
        || OTHERS.contains(&folded.as_str())
}

/// SQL's other words that may stand in a view or a trigger.
const OTHERS: [&str; 39] = [
    "always",
    "analyze",
    "cascade",
    "conflict",
    "current",
    "deferred",
    "do",
    "each",
    "exclude",
    "fail",
    "filter",
    "first",
    "following",
    "glob",
    "groups",
    "immediate",
    "indexed",
    "initially",
    "instead",
    "last",
    "materialized",
    "no",
    "nulls",
    "offset",
    "others",
    "over",
    "partition",
    "preceding",
    "raise",
    "range",
    "recursive",
    "regexp",
    "restrict",
    "row",
    "rows",
    "temp",
    "ties",
    "unbounded",
    "window",
];

/// An expression: as it was written, and as SQLite sees it.
#[derive(Clone, Debug)]
pub struct Expression {
    /// As it was written, on one line where it had no comment.
    pub text: String,
    normal: String,
    /// The names and bare words in it, folded.
    names: Vec<String>,
}

impl Expression {
    /// Reads an expression.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let names = names(text).map(|name| fold(&name)).collect();
        Self { text: text.trim().to_owned(), normal: normal(text, Case::Folds), names }
    }

    /// As SQLite sees it.
    #[must_use]
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// Whether it names this column, or something that is called the same.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.names.iter().any(|found| found.eq_ignore_ascii_case(name))
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Expression {}

/// Whether a text names this, or something that is called the same.
#[must_use]
pub fn mentions(text: &str, name: &str) -> bool {
    names(text).any(|found| found.eq_ignore_ascii_case(name))
}

/// The names in a text, and its bare words.
pub fn names(text: &str) -> impl Iterator<Item = String> {
    tokens(text)
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))
        .map(|token| unquoted(&text[token.span]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_words_are_sorted_and_refused_by_sqlite_as_bare_names() {
        let connection = crate::scratch::empty().unwrap();
        assert!(RESERVED.is_sorted());
        for word in RESERVED {
            let value =
                connection.query_row(&format!("SELECT typeof({word}) FROM (SELECT 1.5 AS \"{word}\")"), [], |row| {
                    row.get::<_, String>(0)
                });
            // Those of joins can be names; they are quoted all the same.
            let join = ["cross", "full", "inner", "left", "natural", "outer", "right", "with"].contains(&word);
            assert!(join || value.as_deref() != Ok("real"), "{word}");
        }
        for word in CONFUSING.iter().chain(&OTHERS) {
            let sql = format!("CREATE TABLE t ({word} INT); DROP TABLE t");
            assert!(connection.execute_batch(&sql).is_ok(), "{word}");
        }
    }

    #[test]
    fn a_name_is_quoted_where_it_has_to_be() {
        for (name, shown) in [
            ("todos", "todos"),
            ("_a1", "_a1"),
            ("order", "\"order\""),
            ("Key", "\"Key\""),
            ("a b", "\"a b\""),
            ("a\"b\n", "\"a\"\"b\n\""),
            ("1a", "\"1a\""),
            ("größe", "\"größe\""),
            ("", "\"\""),
        ] {
            assert_eq!(identifier(name), shown);
            assert_eq!(unquoted(shown), name);
        }
        assert_eq!(unquoted("[a]b]"), "a]b");
        assert_eq!(unquoted("'it''s'"), "it's");
    }

    #[test]
    fn what_sqlite_does_not_see_does_not_count() {
        let same = |a: &str, b: &str| normal(a, Case::Folds) == normal(b, Case::Folds);
        assert!(same("a>=1 AND\n\"B\" <>'X' -- why", "A >= 1 and b<> 'X'"));
        assert!(same("[key] != -1", "\"key\"!=-1"));
        assert!(!same("a = 'X'", "a = 'x'"));
        assert!(!same("\"order\"", "order"));
        assert_ne!(normal("SELECT a AS Foo", Case::Counts), normal("select a as foo", Case::Counts));
        assert_eq!(normal("SELECT a AS \"Foo\"", Case::Counts), normal("select a as Foo", Case::Counts));
    }
}
