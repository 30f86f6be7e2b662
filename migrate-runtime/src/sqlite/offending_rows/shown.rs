//! Offending rows as lines: few, short, and without what could drive a terminal.

use build_support::problem::printable;
use build_support::token::tokens;

use super::asked::COUNTED;
use crate::connection::Value;

/// How many characters of a value are shown.
const LONGEST_VALUE: usize = 40;
/// How many bytes of a blob are shown.
const LONGEST_BLOB: usize = 8;
/// How many characters a line has.
const LONGEST_LINE: usize = 240;

/// A row, or the rows that have the same values.
pub(super) struct Offender {
    pub(super) keys: Vec<Vec<Value>>,
    /// How many rows there are besides those that `keys` names.
    pub(super) more: usize,
    pub(super) values: Vec<Value>,
}

/// The rows that were found.
pub(super) struct Found<'a> {
    pub(super) table: &'a str,
    /// Whether the keys are row ids.
    pub(super) rowid: bool,
    /// What the values are called.
    pub(super) labels: Vec<String>,
    pub(super) offenders: Vec<Offender>,
    /// How many there are, those that are not named among them.
    pub(super) total: usize,
    /// What is counted.
    pub(super) unit: &'static str,
}

impl Found<'_> {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.offenders.iter().map(|offender| self.line(offender)).collect();
        let more = self.total.saturating_sub(self.offenders.len());
        if more > 0 {
            let (than, more) =
                if self.total > COUNTED { ("more than ", COUNTED - self.offenders.len()) } else { ("", more) };
            lines.push(format!("and {than}{more} more {}{}", self.unit, if more == 1 { "" } else { "s" }));
        }
        lines
    }

    fn line(&self, offender: &Offender) -> String {
        let keys: Vec<String> = offender.keys.iter().map(|key| self.key(key)).collect();
        let word = match (self.rowid, keys.len()) {
            (true, 1) => "rowid",
            (true, _) => "rowids",
            (false, 1) => "key",
            (false, _) => "keys",
        };
        let keys = match (offender.more, keys.as_slice()) {
            (0, [before @ .., last]) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
            (0, _) => keys.join(", "),
            (more, _) => format!("{} and {more} more", keys.join(", ")),
        };
        let pairs = self.labels.iter().zip(&offender.values);
        let values: Vec<String> = pairs.map(|(label, value)| format!("{label} = {}", shown(value))).collect();
        let colon = if values.is_empty() { "" } else { ": " };
        shortened(&format!("`{}`, {word} {keys}{colon}{}", self.table, values.join(", ")), LONGEST_LINE)
    }

    fn key(&self, key: &[Value]) -> String {
        let parts: Vec<String> = key.iter().map(shown).collect();
        if self.rowid { parts.join(", ") } else { format!("({})", parts.join(", ")) }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        // With its point, so that it is not taken for an integer.
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", shortened(text, LONGEST_VALUE)),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().take(LONGEST_BLOB).map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}{}'", if bytes.len() > LONGEST_BLOB { "…" } else { "" })
        }
    }
}

/// SQL in one line and without its comments.
pub(super) fn in_a_line(sql: &str) -> String {
    let mut line = String::new();
    for token in tokens(sql) {
        if token.kind.counts() {
            line.push_str(&sql[token.span]);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.trim_end().to_owned()
}

/// A text of so many characters at most, without control characters.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    let mut short: String = text.chars().take(longest).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}
