//! What stands between the brackets of `#[table(…)]` and `#[column(…)]`: words, each with or without a value.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Ident, Lit, Meta, Path, Token};

use super::names::{bad_fragment, bad_name};
use super::{Mistake, UNKNOWN_ATTRIBUTE};
use crate::problem::nearest;

/// A word of an attribute.
pub(super) struct Word {
    pub(super) name: Ident,
    pub(super) value: Value,
}

/// What stands behind a word.
pub(super) enum Value {
    /// Nothing.
    Bare,
    /// `= "text"`, `= 1.5`, `= true`
    Literal { negative: bool, literal: Lit },
    /// `= User::id`
    Path(Path),
    /// `(…)`
    List(TokenStream),
    /// `= …` that is neither a literal nor a path.
    Other(TokenStream),
}

impl Word {
    /// The word as it is written, without a raw identifier's `r#`.
    pub(super) fn text(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The tokens that a mistake in the value is about.
    pub(super) fn place(&self) -> TokenStream {
        match &self.value {
            Value::Bare => self.name.to_token_stream(),
            Value::Literal { literal, .. } => literal.to_token_stream(),
            Value::Path(path) => path.to_token_stream(),
            Value::List(tokens) | Value::Other(tokens) if tokens.is_empty() => self.name.to_token_stream(),
            Value::List(tokens) | Value::Other(tokens) => tokens.clone(),
        }
    }
}

/// Reads one word with its value, the tokens between two commas.
fn word(tokens: &[TokenTree]) -> Option<Word> {
    let (TokenTree::Ident(name), rest) = tokens.split_first()? else { return None };
    let value = match rest {
        [] => Value::Bare,
        [TokenTree::Group(list)] if list.delimiter() == Delimiter::Parenthesis => Value::List(list.stream()),
        [TokenTree::Punct(mark), value @ ..] if mark.as_char() == '=' && !value.is_empty() => {
            let tokens: TokenStream = value.iter().cloned().collect();
            self::value.parse2(tokens.clone()).unwrap_or(Value::Other(tokens))
        }
        _ => return None,
    };
    Some(Word { name: name.clone(), value })
}

fn value(input: ParseStream<'_>) -> syn::Result<Value> {
    let negative = input.parse::<Option<Token![-]>>()?.is_some();
    if !negative && !input.peek(Lit) {
        return Ok(Value::Path(Path::parse_mod_style(input)?));
    }
    match input.parse()? {
        literal @ (Lit::Int(_) | Lit::Float(_)) => Ok(Value::Literal { negative, literal }),
        literal if !negative => Ok(Value::Literal { negative, literal }),
        _ => Err(input.error("only numbers are negative")),
    }
}

/// The parts of a list, which commas part; a comma may stand at the end.
pub(super) fn parts(tokens: &TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in tokens.clone() {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(comma), _) if comma.as_char() == ',' => parts.push(Vec::new()),
            (_, Some(part)) => part.push(token),
            (_, None) => {}
        }
    }
    if parts.last().is_some_and(Vec::is_empty) {
        parts.pop();
    }
    parts
}

/// Reads words and keeps what is wrong with them.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// The words of all attributes of a name, `#[table(…)]`; several add up.
    pub(super) fn attributes(&mut self, attributes: &[Attribute], name: &str) -> Vec<Word> {
        let mut all = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
            match &attribute.meta {
                Meta::List(list) => all.extend(self.list(&list.tokens)),
                meta => self.mistake(
                    Mistake::new(meta, format!("`{name}` says nothing without brackets"))
                        .help(format!("write `#[{name}(…)]`, or leave it out")),
                ),
            }
        }
        all
    }

    /// The words of a list.
    pub(super) fn list(&mut self, tokens: &TokenStream) -> Vec<Word> {
        let mut words = Vec::new();
        for part in parts(tokens) {
            match word(&part) {
                Some(word) => words.push(word),
                None => {
                    let at = if part.is_empty() { tokens.clone() } else { part.into_iter().collect() };
                    self.mistake(
                        Mistake::new(&at, "between two commas one word is expected, with its value if it has one")
                            .help("write such as `name = \"…\"`"),
                    );
                }
            }
        }
        words
    }

    /// Refuses a word that is no word of this place.
    pub(super) fn unknown(&mut self, word: &Word, attribute: &str, known: &[&str]) {
        let text = word.text();
        let mistake = Mistake::with(UNKNOWN_ATTRIBUTE, &word.name, format!("`{text}` is no word of `{attribute}`"));
        let begun = || known.iter().copied().find(|word| text.len() > 2 && word.starts_with(&text));
        self.mistake(match nearest(&text, known.iter().copied()).or_else(begun) {
            Some(near) => mistake.help(format!("write `{near}`")),
            None => mistake.help(format!("the words are {}", quoted(known))),
        });
    }

    /// Refuses a second saying of a word that says all at once.
    pub(super) fn once(&mut self, word: &Word, seen: &mut BTreeSet<String>) -> bool {
        let first = seen.insert(word.text());
        if !first {
            self.mistake(Mistake::new(&word.name, format!("`{}` is said twice", word.text())).help("leave one out"));
        }
        first
    }

    /// A word that is alone: `strict`.
    pub(super) fn flag(&mut self, word: &Word) -> bool {
        let bare = matches!(word.value, Value::Bare);
        if !bare {
            let message = format!("`{}` has no value", word.text());
            self.mistake(Mistake::new(&word.place(), message).help(format!("write `{}`", word.text())));
        }
        bare
    }

    /// A text: `name = "…"`.
    pub(super) fn text(&mut self, word: &Word) -> Option<String> {
        if let Value::Literal { literal: Lit::Str(text), .. } = &word.value {
            return Some(text.value());
        }
        let name = word.text();
        self.mistake(
            Mistake::new(&word.place(), format!("`{name}` is a text")).help(format!("write `{name} = \"…\"`")),
        );
        None
    }

    /// A name for something in the database.
    pub(super) fn name(&mut self, word: &Word) -> Option<String> {
        let name = self.text(word)?;
        match bad_name(&name) {
            None => Some(name),
            Some(why) => {
                self.mistake(Mistake::new(&word.place(), format!("this name {why}")).help("choose another name"));
                None
            }
        }
    }

    /// A piece of SQL that stays inside its statement.
    pub(super) fn sql(&mut self, word: &Word) -> Option<String> {
        let text = self.text(word)?;
        self.fragment(&word.place(), text)
    }

    pub(super) fn fragment(&mut self, at: &impl ToTokens, text: String) -> Option<String> {
        match bad_fragment(&text) {
            None => Some(text),
            Some(why) => {
                self.mistake(Mistake::new(at, format!("this SQL {why}")).help("write one whole expression"));
                None
            }
        }
    }

    /// The fields of a list: `primary_key(a, b)`.
    pub(super) fn fields(&mut self, word: &Word) -> Vec<Ident> {
        let name = word.text();
        if let Value::List(tokens) = &word.value {
            let one = |part: Vec<TokenTree>| match &part[..] {
                [TokenTree::Ident(field)] => Some(field.clone()),
                _ => None,
            };
            let fields: Option<Vec<Ident>> = parts(tokens).into_iter().map(one).collect();
            if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
                return fields;
            }
        }
        self.mistake(
            Mistake::new(&word.place(), format!("`{name}` wants the names of fields"))
                .help(format!("write `{name}(a, b)`")),
        );
        Vec::new()
    }
}

/// Names as a sentence lists them.
pub(super) fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
