//! Values that a column may be asked for: such as its type takes, and such as stand in its CHECKs or fit their patterns.

use build_support::token::{TokenKind, tokens};
use rusqlite::types::Value;

use super::table::{Affinity, Column, Table};
use super::text::unquoted;

/// A row for which values are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which of its table's it is, from nought.
    pub at: usize,
    /// A number that no other row of its table has.
    pub number: i64,
}

/// A value, or a kind of value that is another one in each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Candidate {
    /// The same in every row.
    Same(Value),
    /// What a column of this affinity holds where nothing else is asked for.
    Plain(Affinity),
    /// The row's number, whatever the type.
    Number,
    /// A text of so many characters, digits alone.
    Text(usize),
    /// So many bytes.
    Bytes(usize),
    /// Characters, each one of several.
    Pattern(Vec<Vec<char>>),
}

impl Candidate {
    /// The value in this row.
    #[must_use]
    pub fn value(&self, row: Row) -> Value {
        let number = row.number;
        match self {
            Self::Same(value) => value.clone(),
            Self::Plain(Affinity::Integer | Affinity::Numeric) | Self::Number => Value::Integer(number),
            // Every number of a row is far from where a fraction would be lost.
            Self::Plain(Affinity::Real) => format!("{number}.25").parse().map_or(Value::Null, Value::Real),
            Self::Plain(Affinity::Text) => {
                Value::Text(format!("{} {number}", if row.at == 1 { "it's" } else { "text" }))
            }
            Self::Plain(Affinity::Blob) => {
                Value::Blob([&[row.at.to_le_bytes()[0].wrapping_add(1), 0, 0xFF], &number.to_le_bytes()[..]].concat())
            }
            Self::Text(length) => Value::Text(format!("{number:0>length$}")),
            Self::Bytes(length) => {
                let mut bytes = vec![0; *length];
                bytes.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(byte, part)| *byte = part);
                Value::Blob(bytes)
            }
            Self::Pattern(places) => Value::Text(counted(places, number)),
        }
    }

    /// What a column holds where nothing else is asked for.
    #[must_use]
    pub fn plain(column: &Column) -> Self {
        let free = column.declared_type.is_empty() || column.declared_type.eq_ignore_ascii_case("any");
        Self::Plain(if free { Affinity::Text } else { column.affinity() })
    }
}

/// The number, written in the characters of each place: the last place counts ones.
fn counted(places: &[Vec<char>], number: i64) -> String {
    let mut left = usize::try_from(number).unwrap_or_default();
    let mut text: Vec<char> = Vec::with_capacity(places.len());
    for place in places.iter().rev() {
        // A one where there is one: `11` is a month, a day and an hour, and `00` is not.
        let first = place.iter().position(|c| *c == '1').unwrap_or_default();
        let digit = if place.len() > 1 { left % place.len() } else { 0 };
        left /= place.len().max(1);
        text.extend(place.get((first + digit) % place.len().max(1)));
    }
    text.iter().rev().collect()
}

/// The values that may be asked for.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// What the CHECKs compare the column with.
    pub likely: Vec<Candidate>,
    /// What else stands in them, and what is often asked for.
    pub others: Vec<Candidate>,
}

/// What a column's CHECKs, and the columns that are computed from it, may be asking for, and what is often asked for, the likeliest first.
#[must_use]
pub fn candidates(table: &Table, column: &Column) -> Candidates {
    let mut found = Candidates::default();
    let checked = table.checks.iter().map(|check| &check.expression);
    let computed = table.columns.iter().filter_map(|column| Some(&column.generated.as_ref()?.expression));
    for expression in checked.chain(computed).filter(|expression| expression.mentions(&column.name)) {
        of_expression(&expression.text, table, column, &mut found);
    }
    found.others.extend([0, 1, 2, 1_000_000_000].map(|number| Candidate::Same(Value::Integer(number))));
    found.others.extend([Candidate::Number, Candidate::Plain(Affinity::Real), Candidate::Same(Value::Real(0.5))]);
    found.others.extend(USUAL.map(text_of));
    found.others.extend([Candidate::Text(36), Candidate::Bytes(1), Candidate::Bytes(16), Candidate::Bytes(32)]);
    found
}

/// Texts that are often asked for by functions, which name none themselves.
const USUAL: [&str; 9] =
    ["a", "{}", "[]", "{\"a\":1}", "[1]", "2000-01-01", "2000-01-01 00:00:00", "2000-01-01T00:00:00Z", "00:00:00"];

fn of_expression(text: &str, table: &Table, column: &Column, found: &mut Candidates) {
    let parts: Vec<(TokenKind, &str)> =
        tokens(text).filter(|token| token.kind.counts()).map(|token| (token.kind, &text[token.span])).collect();
    let lengths: Vec<usize> =
        parts.iter().filter_map(|(_, part)| part.parse().ok()).filter(|it| (1..=LONGEST).contains(it)).collect();
    let mut compared = None;
    for (at, (kind, part)) in parts.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |at| parts[at].1);
        let mut values = Vec::new();
        match kind {
            TokenKind::Word => compared = table.column(part).map(|it| &it.name).or(compared),
            TokenKind::Quoted => match table.column(&unquoted(part)) {
                Some(named) => compared = Some(&named.name),
                // SQLite reads a name in double quotes that names nothing as a text.
                None => values.push(text_of(&unquoted(part))),
            },
            TokenKind::Literal if part.starts_with(['x', 'X']) => {
                values.extend(bytes(part).map(|bytes| Candidate::Same(Value::Blob(bytes))));
            }
            TokenKind::Literal => of_text(&unquoted(part), before, &lengths, &mut values),
            TokenKind::Number => of_number(part, before == "-", column, &mut values),
            _ => {}
        }
        // A literal mostly belongs to the column before it.
        let likely = compared.is_none_or(|name| name.eq_ignore_ascii_case(&column.name));
        if likely { &mut found.likely } else { &mut found.others }.append(&mut values);
    }
}

/// What a text asks for, by the word before it.
fn of_text(text: &str, before: &str, lengths: &[usize], found: &mut Vec<Candidate>) {
    if before.eq_ignore_ascii_case("glob") {
        match nothing_but(text) {
            Some(letters) => {
                let lengths = lengths.iter().chain(&[1, 8]);
                found.extend(lengths.map(|length| Candidate::Pattern(vec![letters.clone(); *length])));
            }
            None => found.push(Candidate::Pattern(places(text))),
        }
    } else if before.eq_ignore_ascii_case("like") {
        found.push(text_of(&text.replace('%', "").replace('_', "1")));
    } else {
        if let Some(key) = text.strip_prefix("$.") {
            found.extend(["1", "\"a\"", "[]", "{}"].map(|it| text_of(&format!("{{\"{key}\":{it}}}"))));
        }
        found.push(text_of(text));
    }
}

/// What a number asks for: it, what is next to it, and what is as long.
fn of_number(part: &str, negative: bool, column: &Column, found: &mut Vec<Candidate>) {
    let Ok(number) = part.parse::<i64>() else {
        let near = |number: f64| [number, number + 0.25, number - 0.25].map(|it| if negative { -it } else { it });
        found.extend(part.parse().into_iter().flat_map(near).map(|number| Candidate::Same(Value::Real(number))));
        return;
    };
    let number = if negative { -number } else { number };
    let near = [number, number.saturating_add(1), number.saturating_sub(1)];
    found.extend(near.map(|number| Candidate::Same(Value::Integer(number))));
    let length = usize::try_from(number).ok().filter(|length| (1..=LONGEST).contains(length));
    if let (Affinity::Text | Affinity::Blob, Some(length)) = (column.affinity(), length) {
        let longer = length + 1;
        found.extend([length, longer].map(Candidate::Text));
        found.extend([length, longer].map(Candidate::Bytes));
    }
}

/// Longer ones are not tried where a CHECK speaks of a length: they would fill the memory for nothing.
const LONGEST: usize = 4_096;

fn text_of(text: &str) -> Candidate {
    Candidate::Same(Value::Text(text.to_owned()))
}

/// The bytes of `x'…'`.
fn bytes(literal: &str) -> Option<Vec<u8>> {
    let digits = literal.get(2..literal.len().checked_sub(1)?)?;
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len() / 2).map(|at| byte(2 * at)).collect()
}

/// The characters of a text, by the pattern `*[^…]*` of those that are not.
fn nothing_but(pattern: &str) -> Option<Vec<char>> {
    let inner = pattern.strip_prefix("*[^")?.strip_suffix("]*")?;
    (!inner.contains(['[', ']'])).then(|| class(inner)).filter(|letters| !letters.is_empty())
}

/// What a pattern of GLOB has at each place (<https://www.sqlite.org/lang_expr.html#glob>); its stars stand for nothing.
fn places(pattern: &str) -> Vec<Vec<char>> {
    let mut places = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => {}
            '?' => places.push(class("0-9a-z")),
            '[' => {
                let after = rest.as_str();
                // A bracket that comes first belongs to the class.
                let skip = after.chars().take(2).take_while(|c| matches!(c, '^' | ']')).map(char::len_utf8).sum();
                let Some(end) = after.get(skip..).and_then(|tail| tail.find(']')).map(|end| skip + end) else {
                    return places;
                };
                places.push(match after[..end].strip_prefix('^') {
                    Some(not) => {
                        let not = class(not);
                        class("0-9a-zA-Z _-").into_iter().filter(|c| !not.contains(c)).collect()
                    }
                    None => class(&after[..end]),
                });
                rest = after[end + 1..].chars();
            }
            c => places.push(vec![c]),
        }
    }
    places
}

/// The characters of a class: `a-f` are six.
fn class(text: &str) -> Vec<char> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        if letters.get(at + 1) == Some(&'-')
            && let Some(last) = letters.get(at + 2)
        {
            found.extend((letters[at]..=*last).take(128));
            at += 3;
        } else {
            found.push(letters[at]);
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::create_table::read;

    #[test]
    fn a_value_is_found_for_what_a_check_asks() {
        for check in [
            "x GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]' AND date(x) IS NOT NULL",
            "length(x) = 64 AND x NOT GLOB '*[^0-9a-f]*'",
            "length(x) = 5 AND x NOT GLOB '*[^A-Z]*'",
            "x LIKE 'sk\\_%' ESCAPE '\\' OR x LIKE 'pk-%'",
            "x GLOB '[^a-z]?*@*'",
            "json_valid(x) AND json_type(x) = 'array' AND json_array_length(x) > 0",
            "json_extract(x, '$.kind') IS NOT NULL",
            "typeof(x) = 'blob' AND length(x) = 20",
            "x = x'00ff'",
            "x = \"quoted\"",
            "x BETWEEN -5 AND -3",
            "x > 2.5 AND x < 3",
        ] {
            let table = read(&format!("CREATE TABLE t (x, CHECK ({check}))")).unwrap();
            let connection = crate::scratch::empty().unwrap();
            connection.execute_batch(&table.sql).unwrap();
            let row = Row { at: 0, number: 7 };
            let fits =
                |candidate: &Candidate| connection.execute("INSERT INTO t VALUES (?1)", [candidate.value(row)]).is_ok();
            let found = candidates(&table, &table.columns[0]);
            assert!(found.likely.iter().chain(&found.others).any(fits), "{check}");
        }
    }

    #[test]
    fn what_a_column_is_compared_with_is_likelier_than_what_others_are() {
        let table = read("CREATE TABLE t (a, b, CHECK (a = 'x' AND b IN ('y', 'z')))").unwrap();
        let likely = candidates(&table, &table.columns[1]).likely;
        assert_eq!(likely, [text_of("y"), text_of("z")]);
    }

    #[test]
    fn what_differs_from_row_to_row_stays_within_the_pattern() {
        let hex = Candidate::Pattern(vec![class("0-9a-f"); 4]);
        let text = |number| hex.value(Row { at: 0, number });
        assert_eq!(text(0), Value::Text("1111".into()));
        assert_eq!(text(15), Value::Text("1110".into()));
        assert_eq!(text(16), Value::Text("1121".into()));
    }
}
