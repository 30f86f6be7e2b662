//! A problem as rustc draws its own: the message, the lines of the files that it is about, notes and ways out.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use build_support::problem::{Place, Problem, Severity, printable, printable_block};

/// How far into a line a place is still drawn with its line; beyond, it is only named.
const LINE_BEFORE: usize = 4096;
/// How much of the text from a place on is drawn.
const TEXT_AFTER: usize = 4096;
/// How much of the last line is drawn behind a place.
const LINE_AFTER: usize = 256;
/// How many lines of a place are drawn.
const LINES: usize = 6;
/// How many characters of a message, a note or a label are shown. What a database says can be of any length.
pub(super) const LONGEST: usize = 4000;

/// A problem as rustc would draw it, with colour and without a line feed at the end.
pub(super) fn draw(problem: &Problem) -> String {
    let level = match problem.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group: Group<'_> =
        Group::with_title(level.primary_title(printable(&shortened(problem.message()))).id(problem.code().0));
    let mut with_lines = false;
    for (index, place) in problem.places().iter().enumerate() {
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let elements = draw_place(place, kind);
        with_lines |= elements.iter().any(|element| matches!(element, Element::Cause(_)));
        group = group.elements(elements);
    }
    group = group.elements(problem.notes().iter().map(|note| Level::NOTE.message(printable_block(&shortened(note)))));
    group = group.elements(problem.helps().iter().map(|help| Level::HELP.message(printable_block(&shortened(help)))));
    let text = Renderer::styled().render(&[group]);
    // Without a line number there is no margin to hang the arrow in; rustc keeps one all the same.
    if with_lines { text } else { text.trim_end().replace('\n', "\n ") }
}

/// A text as long as anybody reads it.
pub(super) fn shortened<'t>(text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
    let text = text.into();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => text,
    }
}

/// The lines of a place with its label; the place by its numbers where it is too far into a line to be drawn.
fn draw_place(place: &Place, kind: AnnotationKind) -> Vec<Element<'static>> {
    let path = printable(&place.path.to_string_lossy());
    let label = (!place.label.is_empty()).then(|| printable(&shortened(&place.label)));
    let named = |origin: Origin<'static>| {
        let label = label.clone().map(|label| Level::NOTE.message(label).into());
        std::iter::once(origin.into()).chain(label).collect()
    };
    let (Some((text, span)), Some((line, column))) = (&place.span, place.line_column()) else {
        return named(Origin::path(path));
    };
    let Some((source, span)) = window(text, span) else {
        return named(Origin::path(path).line(line).char_column(column));
    };
    vec![Snippet::source(source).line_start(line).path(path).annotation(kind.span(span).label(label)).into()]
}

/// The lines that a span is in, printable and cut to what can be looked at, and the span in them. Nothing where
/// the span starts too far into its line: the columns are counted from the line's start.
fn window(text: &str, span: &Range<usize>) -> Option<(String, Range<usize>)> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    if span.start - start > LINE_BEFORE {
        return None;
    }
    // The end of the last line that is drawn.
    let limit = floor_boundary(text, span.start.saturating_add(TEXT_AFTER));
    let span_end = span.end.min(limit);
    let lines_end = text[span.start..limit].match_indices('\n').nth(LINES - 1).map_or(limit, |(at, _)| span.start + at);
    let span_end = span_end.min(lines_end);
    // An end just behind a line feed is the end of that line, not the start of the next.
    let last = if span_end > span.start && text[..span_end].ends_with('\n') { span_end - 1 } else { span_end };
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
    let end = floor_boundary(text, end.min(last.saturating_add(LINE_AFTER)));

    let before = printable_block(&text[start..span.start]);
    let inside = printable_block(&text[span.start..last]);
    let after = printable_block(&text[last..end]);
    let drawn = before.len()..before.len() + inside.len();
    Some((before + &inside + &after, drawn))
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests;
