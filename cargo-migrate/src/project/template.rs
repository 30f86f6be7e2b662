//! The template of a new revision's id.

use std::fmt;

use jiff::{Timestamp, tz::Offset};

/// The template of new revision ids, `%Y_%m_%d_{number}_{slug}` where the configuration says nothing else.
///
/// `%Y %m %d %H %M %S` stand for the UTC time, `{number}` for a number of three digits within the day,
/// `{slug}` for the message made into a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTemplate {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Number,
    Slug,
}

impl FileTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as the fragment of a message: an unknown token, a character that a revision id
    /// cannot have, or neither `{slug}` nor `{number}` in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (piece, length) = match first {
                '%' => time(rest)?,
                '{' => braces(rest)?,
                _ => literal(rest)?,
            };
            pieces.push(piece);
            rest = &rest[length..];
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Number | Piece::Slug)) {
            return Err("neither `{number}` nor `{slug}` is in it, so two revisions would get the same id".to_owned());
        }
        if text.starts_with('-') {
            return Err("a revision id cannot begin with `-`".to_owned());
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The id of a revision that is written at a time, with a number within the day and a slug.
    #[must_use]
    pub fn render(&self, at: Timestamp, number: u32, slug: &str) -> String {
        self.pieces.iter().map(|piece| piece.render(at, number).unwrap_or_else(|| slug.to_owned())).collect()
    }

    /// The next free number among the ids of the day: one more than the highest that fits this template, from 1.
    #[must_use]
    pub fn next_number<'a>(&self, at: Timestamp, ids: impl IntoIterator<Item = &'a str>) -> u32 {
        ids.into_iter().filter_map(|id| number_in(&self.pieces, id, at)).max().unwrap_or(0).saturating_add(1)
    }
}

impl Default for FileTemplate {
    fn default() -> Self {
        use Piece::{Day, Literal, Month, Number, Slug, Year};
        let line = || Literal("_".to_owned());
        Self {
            text: "%Y_%m_%d_{number}_{slug}".to_owned(),
            pieces: vec![Year, line(), Month, line(), Day, line(), Number, line(), Slug],
        }
    }
}

impl fmt::Display for FileTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Piece {
    /// The text of every piece but the slug.
    fn render(&self, at: Timestamp, number: u32) -> Option<String> {
        let at = Offset::UTC.to_datetime(at);
        Some(match self {
            Self::Literal(text) => text.clone(),
            Self::Year => format!("{:04}", at.year()),
            Self::Month => format!("{:02}", at.month()),
            Self::Day => format!("{:02}", at.day()),
            Self::Hour => format!("{:02}", at.hour()),
            Self::Minute => format!("{:02}", at.minute()),
            Self::Second => format!("{:02}", at.second()),
            Self::Number => format!("{number:03}"),
            Self::Slug => return None,
        })
    }
}

fn time(rest: &str) -> Result<(Piece, usize), String> {
    let piece = match rest.chars().nth(1) {
        Some('Y') => Piece::Year,
        Some('m') => Piece::Month,
        Some('d') => Piece::Day,
        Some('H') => Piece::Hour,
        Some('M') => Piece::Minute,
        Some('S') => Piece::Second,
        Some(other) => return Err(format!("`%{other}` is not one of %Y %m %d %H %M %S")),
        None => return Err("it ends with a lone `%`".to_owned()),
    };
    Ok((piece, 2))
}

fn braces(rest: &str) -> Result<(Piece, usize), String> {
    let Some(end) = rest.find('}') else { return Err("a `{` is not closed".to_owned()) };
    match &rest[..=end] {
        "{number}" => Ok((Piece::Number, end + 1)),
        "{slug}" => Ok((Piece::Slug, end + 1)),
        other => Err(format!("`{other}` is not one of {{number}} {{slug}}")),
    }
}

fn literal(rest: &str) -> Result<(Piece, usize), String> {
    let text: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    match rest.chars().next() {
        Some(first) if text.is_empty() => {
            Err(format!("a revision id cannot have `{first}` in it, only letters, digits, `_` and `-`"))
        }
        _ => Ok((Piece::Literal(text.clone()), text.len())),
    }
}

/// The number in an id of the same day, where the id fits the template. The hour and what is below it may differ.
fn number_in(pieces: &[Piece], id: &str, at: Timestamp) -> Option<u32> {
    fn walk(pieces: &[Piece], id: &str, at: Timestamp, number: Option<u32>) -> Option<u32> {
        let Some((piece, rest)) = pieces.split_first() else { return number.filter(|_| id.is_empty()) };
        match piece {
            Piece::Slug => {
                id.char_indices().map(|(at, _)| at).chain([id.len()]).find_map(|end| walk(rest, &id[end..], at, number))
            }
            Piece::Number => {
                let digits = id.bytes().take_while(u8::is_ascii_digit).count();
                (3..=digits).rev().find_map(|end| walk(rest, &id[end..], at, id[..end].parse().ok()))
            }
            Piece::Hour | Piece::Minute | Piece::Second => {
                let two = id.get(..2).filter(|two| two.bytes().all(|byte| byte.is_ascii_digit()))?;
                walk(rest, &id[two.len()..], at, number)
            }
            Piece::Literal(_) | Piece::Year | Piece::Month | Piece::Day => {
                walk(rest, id.strip_prefix(piece.render(at, 0)?.as_str())?, at, number)
            }
        }
    }
    walk(pieces, id, at, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2025-02-20T12:34:56Z".parse().unwrap()
    }

    #[test]
    fn the_default_is_what_its_text_says() {
        let default = FileTemplate::default();
        assert_eq!(FileTemplate::parse(&default.to_string()), Ok(default));
    }

    #[test]
    fn an_id_is_the_utc_day_a_number_and_the_slug() {
        let id = FileTemplate::default().render(noon(), 7, "add_priority");
        assert_eq!(id, "2025_02_20_007_add_priority");
        let template = FileTemplate::parse("%Y%m%d%H%M%S-{slug}").unwrap();
        assert_eq!(template.render(noon(), 1, "a"), "20250220123456-a");
    }

    #[test]
    fn the_next_number_counts_only_ids_of_the_same_day() {
        let template = FileTemplate::default();
        let ids = ["2025_02_19_009_old", "2025_02_20_001_create", "2025_02_20_004_2025_02_20_010", "other"];
        assert_eq!(template.next_number(noon(), ids), 5);
        assert_eq!(template.next_number(noon(), []), 1);
        let at_once = FileTemplate::parse("{slug}_%H{number}").unwrap();
        assert_eq!(at_once.next_number(noon(), ["a_b_11003", "x"]), 4);
    }

    #[test]
    fn a_template_that_cannot_make_ids_is_refused_with_the_reason() {
        for (text, reason) in [
            ("%Y_%m_%d", "neither"),
            ("%Y_%q_{slug}", "`%q`"),
            ("{slug", "not closed"),
            ("{sulg}", "`{sulg}`"),
            ("{slug}/{number}", "`/`"),
            ("{slug}%", "lone"),
            ("-{slug}", "begin"),
            ("", "neither"),
        ] {
            let refused = FileTemplate::parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
