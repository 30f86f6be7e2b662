//! A statement for a server as its words. Nothing can ask a server what a statement would do, so they are all that tells.

use build_support::token::{Dialect, Token, TokenKind, tokens_of, unquoted};

/// The words of a statement, without the semicolon at its end. Behind the last one each is empty.
pub(crate) struct Words<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut tokens: Vec<Token> = tokens_of(Dialect::Postgres, text).filter(|token| token.kind.counts()).collect();
        tokens.pop_if(|token| token.kind == TokenKind::Semicolon);
        Self { text, tokens }
    }

    /// The words from this one on, as a statement of their own.
    pub(crate) fn from(&self, at: usize) -> Self {
        Self { text: self.text, tokens: self.tokens.get(at..).unwrap_or_default().to_vec() }
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.text[token.span.clone()])
    }

    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        self.text(at).eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    /// Whether it is one of these words, which stand in a text.
    pub(crate) fn is_in(&self, at: usize, words: &str) -> bool {
        words.split_ascii_whitespace().any(|word| self.is(at, word))
    }

    /// Whether one of these sequences of words begins here, which stand in a text with `, ` between them.
    pub(crate) fn is_one_of(&self, at: usize, sequences: &str) -> bool {
        sequences.split(", ").any(|sequence| {
            sequence.split_ascii_whitespace().enumerate().all(|(further, word)| self.is(at + further, word))
        })
    }

    /// Whether these words stand here, one behind the other.
    pub(crate) fn is_all(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(further, word)| self.is(at + further, word))
    }

    pub(crate) fn holds(&self, word: &str) -> bool {
        (0..self.len()).any(|at| self.is(at, word))
    }

    /// Behind these words, where they stand here.
    pub(crate) fn past(&self, at: usize, words: &[&str]) -> usize {
        if self.is_all(at, words) { at + words.len() } else { at }
    }

    pub(crate) fn is_name(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))
    }

    /// A name as the server looks it up: what is not quoted is in lower case.
    pub(crate) fn name(&self, at: usize) -> Option<String> {
        let text = self.text(at);
        let quoted = self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Quoted);
        self.is_name(at).then(|| if quoted { unquoted(text) } else { text.to_ascii_lowercase() })
    }

    /// Where the name ends that starts here and may have a schema before it.
    pub(crate) fn name_end(&self, at: usize) -> Option<usize> {
        let mut end = at + 1;
        while self.is(end, ".") && self.is_name(end + 1) {
            end += 2;
        }
        self.is_name(at).then_some(end)
    }

    /// Behind the next comma that stands in no parentheses, where there is one.
    pub(crate) fn next_part(&self, from: usize) -> Option<usize> {
        let mut depth = 0_i32;
        for at in from..self.len() {
            match self.text(at) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "," if depth == 0 => return Some(at + 1),
                _ => {}
            }
        }
        None
    }

    /// The parts between such commas, each as where it starts.
    pub(crate) fn parts(&self, from: usize) -> Vec<usize> {
        std::iter::successors(Some(from), |start| self.next_part(*start)).collect()
    }
}
