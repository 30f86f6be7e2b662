//! A migration's text with other parents.

use std::ops::Range;

use super::Migration;
use crate::revision::RevisionId;

impl Migration {
    /// The file's normalised text with these parents in its header, and nothing else changed; none is `base`.
    #[must_use]
    pub fn with_parents(&self, text: &str, parents: &[&RevisionId]) -> String {
        let names: Vec<&str> = parents.iter().map(|id| id.as_str()).collect();
        let names = if names.is_empty() { "base".to_owned() } else { names.join(", ") };
        let (span, end) = match self.span_of("parent") {
            Some(span) => (span, ""),
            None => (self.first_directive(text), "\n"),
        };
        format!("{}-- migrate:parent {names}{end}{}", &text[..span.start], &text[span.end..])
    }

    fn span_of(&self, word: &str) -> Option<Range<usize>> {
        self.directive_spans.iter().find(|(known, _)| *known == word).map(|(_, span)| span.clone())
    }

    /// Where a line goes in before the first directive or section; at the file's start where it has none.
    fn first_directive(&self, text: &str) -> Range<usize> {
        let first = self.directive_spans.iter().map(|(_, span)| span.start).min();
        let sections = [Some(&self.up), self.down.as_ref(), self.verify.as_ref()];
        let section = sections.into_iter().flatten().map(|span| span.start).min().unwrap_or(0);
        let at = first.unwrap_or(section);
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        line..line
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::Parents;

    #[test]
    fn other_parents_change_the_parents_and_nothing_else() {
        let ids = ["a", "b"].map(|id| RevisionId::new(id).unwrap());
        for (before, after) in [
            (
                "-- Why.\n-- migrate:parent x, y\n-- migrate:up\nSELECT 1;",
                "-- Why.\n-- migrate:parent a, b\n-- migrate:up\nSELECT 1;",
            ),
            ("-- Why.\n\n-- migrate:up\nSELECT 1;\n", "-- Why.\n\n-- migrate:parent a, b\n-- migrate:up\nSELECT 1;\n"),
            (
                "-- Why.\n-- migrate:label l\nSELECT 1;",
                "-- Why.\n-- migrate:parent a, b\n-- migrate:label l\nSELECT 1;",
            ),
            ("SELECT 1;", "-- migrate:parent a, b\nSELECT 1;"),
        ] {
            let read = |text: &str| Migration::parse(RevisionId::new("m").unwrap(), Path::new("m.sql"), text).unwrap();
            let text = read(before).with_parents(before, &[&ids[0], &ids[1]]);
            assert_eq!(text, after);
            assert_eq!(read(&text).parents, Parents::Named(ids.to_vec()));
            assert_eq!(read(&text).statements, read(before).statements);
            assert_eq!(read(&read(before).with_parents(before, &[])).parents, Parents::Base);
        }
    }
}
