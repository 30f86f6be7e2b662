//! What went wrong, as a value.
//!
//! Every check and every reader of this crate gives [`Problem`]s: a stable code, a message, the places in
//! the files that it is about, and what to type next. Nothing here prints; the command draws them as
//! rustc draws its errors, the guard prints them as cargo's error lines, and `--format json` gives the
//! same fields to a program.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A problem's stable name, for people who search for it and programs that match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether a problem stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The command refuses or has failed.
    Error,
    /// The command goes on and says so.
    Warning,
}

/// A place in a file: all of it, or a span of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named when it was read.
    pub path: PathBuf,
    /// The normalised text of the file and the span in it, in bytes, where the place is narrower than the file.
    pub span: Option<(Arc<str>, Range<usize>)>,
    /// What to say at the span; empty says nothing.
    pub label: String,
}

impl Place {
    /// A whole file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), span: None, label: String::new() }
    }

    /// A span of bytes in the text of a file. A span beyond the text is drawn in to its end.
    #[must_use]
    pub fn span(path: impl Into<PathBuf>, text: impl Into<Arc<str>>, span: Range<usize>) -> Self {
        let text = text.into();
        let start = floor_boundary(&text, span.start);
        let end = floor_boundary(&text, span.end).max(start);
        Self { path: path.into(), span: Some((text, start..end)), label: String::new() }
    }

    /// The same place with words at the span.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The line and the column in characters, both from 1, where the place has a span.
    #[must_use]
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let (text, span) = self.span.as_ref()?;
        Some(line_column(text, span.start))
    }
}

/// The line and the column in characters, both from 1, of a byte offset in a text.
#[must_use]
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..floor_boundary(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Something that is wrong, where it is, and the way out.
///
/// Messages are lower-case fragments without a full stop; a help line says what to type or to change.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    severity: Severity,
    message: String,
    places: Vec<Place>,
    notes: Vec<String>,
    help: Vec<String>,
}

impl Problem {
    /// An error with its code and message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            severity: Severity::Error,
            message: message.into(),
            places: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }))
    }

    /// A warning with its code and message.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        let mut problem = Self::new(code, message);
        problem.0.severity = Severity::Warning;
        problem
    }

    /// The same problem as one that does not stop the work.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.0.severity = Severity::Warning;
        self
    }

    /// Adds a place; the first one is where the problem is, the others are what it has to do with.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.places.push(place);
        self
    }

    /// Adds a whole file as a place.
    #[must_use]
    pub fn in_file(self, path: impl AsRef<Path>) -> Self {
        self.at(Place::file(path.as_ref()))
    }

    /// Adds a fact that explains the problem.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Adds a way out: what to type or to change.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help.push(help.into());
        self
    }

    /// The same problem with its ways out written otherwise.
    #[must_use]
    pub fn map_help(mut self, change: impl FnMut(&String) -> String) -> Self {
        self.0.help = self.0.help.iter().map(change).collect();
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether it stops the work.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// What is wrong, in a line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it is; the first place is the main one.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.0.places
    }

    /// The facts that explain it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// The ways out.
    #[must_use]
    pub fn helps(&self) -> &[String] {
        &self.0.help
    }

    /// All of it as lines of plain text without control characters, for messages that others show: cargo, rustc, a
    /// program's log.
    #[must_use]
    pub fn plain_lines(&self) -> Vec<String> {
        let word = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut lines = vec![format!("{word}[{}]: {}", self.code(), self.message())];
        for place in self.places() {
            let at = place.line_column().map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
            lines.push(format!("  --> {}{at}", place.path.display()));
        }
        lines.extend(self.notes().iter().map(|note| format!("  note: {note}")));
        lines.extend(self.helps().iter().map(|help| format!("  help: {help}")));
        lines.iter().map(|line| printable(line)).collect()
    }
}

impl fmt::Display for Problem {
    /// One line without the source text: `place: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.0.places.first() {
            write!(f, "{}", printable(&place.path.to_string_lossy()))?;
            if let Some((line, column)) = place.line_column() {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&printable(&self.0.message))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self}", self.0.code)?;
        for note in &self.0.notes {
            write!(f, "\n  note: {}", printable(note))?;
        }
        for help in &self.0.help {
            write!(f, "\n  help: {}", printable(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// A text with its control characters replaced by `\u{FFFD}`, so that a file name or a database's text cannot
/// drive the terminal. Line feeds and tabs stay where `keep_lines` asks for them.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if hides(c) { '\u{FFFD}' } else { c }).collect()
}

/// The same as [`printable`], with line feeds and tabs kept, for text that is shown as a block.
#[must_use]
pub fn printable_block(text: &str) -> String {
    text.chars().map(|c| if hides(c) && c != '\n' && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

/// Control characters, and those that reorder or hide what follows them (Unicode's bidirectional controls).
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The candidate nearest to a mistyped word, where one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate, limit), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of single-character edits and neighbour swaps between two words (optimal string alignment),
/// or more than `limit` where they are further apart than that.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(256).collect(), b.chars().take(256).collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitute = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let place = Place::span("a.sql", "é\nab", 4..5);
        assert_eq!(place.line_column(), Some((2, 2)));
    }

    #[test]
    fn a_place_beyond_the_text_or_inside_a_character_is_drawn_in() {
        assert_eq!(Place::span("a.sql", "ab", 7..9).line_column(), Some((1, 3)));
        assert_eq!(Place::span("a.sql", "é", 1..2).line_column(), Some((1, 1)));
    }

    #[test]
    fn control_characters_are_not_echoed() {
        assert_eq!(printable("a\u{1b}[31mb\n\u{202e}"), "a\u{FFFD}[31mb\u{FFFD}\u{FFFD}");
        assert_eq!(printable_block("a\n\tb\r"), "a\n\tb\u{FFFD}");
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let words = ["parent", "depends", "label"];
        assert_eq!(nearest("parnet", words), Some("parent"));
        assert_eq!(nearest("lable", words), Some("label"));
        assert_eq!(nearest("zebra", words), None);
    }
}
