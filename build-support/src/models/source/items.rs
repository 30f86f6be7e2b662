//! The items of a file as tokens: which structs derive something, however the rest of the file is written.
//!
//! A module's items are told apart by what every item ends with, a `;` or a group in `{}`. Nothing here calls itself as
//! often as a file nests its brackets, so that no file can use up the stack.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// How deeply the tokens of a struct may be nested: far more than a type has that a person has written, and far less
/// than the stack of a thread takes.
const DEEPEST: usize = 128;

/// The items whose `derive` has a path that ends in `name`, with their attributes; those for tests are left out.
pub(super) fn deriving(tokens: TokenStream, name: &str) -> Vec<TokenStream> {
    let mut found = Vec::new();
    let mut open = vec![tokens.into_iter()];
    while let Some(tokens) = open.last_mut() {
        match next_item(tokens) {
            None => {
                open.pop();
            }
            Some(item) if item.inner => {
                // `#![cfg(test)]` is said of the module that it stands in.
                if item.attributes.iter().any(is_for_tests) {
                    open.pop();
                }
            }
            Some(item) if item.attributes.iter().any(is_for_tests) => {}
            Some(item) => match item.module() {
                Some(inside) => open.push(inside.into_iter()),
                None if item.attributes.iter().any(|attribute| derives(attribute, name)) => {
                    found.push(item.attributes.into_iter().flatten().chain(item.body).collect());
                }
                None => {}
            },
        }
    }
    found
}

/// An item, or the attributes of the module around it.
struct Item {
    attributes: Vec<TokenStream>,
    inner: bool,
    body: Vec<TokenTree>,
}

impl Item {
    /// What stands in it, where it is a module.
    fn module(&self) -> Option<TokenStream> {
        let is_module = self.body.iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "mod"));
        let words = self.body.iter().all(|token| !matches!(token, TokenTree::Punct(_)));
        match self.body.last() {
            Some(TokenTree::Group(group)) if is_module && words => Some(group.stream()),
            _ => None,
        }
    }
}

fn next_item(tokens: &mut proc_macro2::token_stream::IntoIter) -> Option<Item> {
    let mut item = Item { attributes: Vec::new(), inner: false, body: Vec::new() };
    let mut mark: Option<(TokenTree, bool)> = None;
    loop {
        let Some(token) = tokens.next() else {
            let nothing = item.attributes.is_empty() && item.body.is_empty();
            return (!nothing).then_some(item);
        };
        match (&token, mark.take()) {
            (TokenTree::Punct(punct), None) if item.body.is_empty() && punct.as_char() == '#' => {
                mark = Some((token, false));
            }
            (TokenTree::Punct(punct), Some((pound, false))) if punct.as_char() == '!' => mark = Some((pound, true)),
            (TokenTree::Group(group), Some((pound, inner))) if group.delimiter() == Delimiter::Bracket => {
                item.attributes.push([pound, token].into_iter().collect());
                if inner {
                    item.inner = true;
                    return Some(item);
                }
            }
            (ends, _) => {
                let ends = match ends {
                    TokenTree::Punct(punct) => punct.as_char() == ';',
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    _ => false,
                };
                item.body.push(token);
                if ends {
                    return Some(item);
                }
            }
        }
    }
}

/// What stands in the brackets of an attribute: its name, and the list behind it.
fn attribute(tokens: &TokenStream) -> Option<(String, Vec<Vec<TokenTree>>)> {
    let Some(TokenTree::Group(group)) = tokens.clone().into_iter().last() else { return None };
    listed(&group.stream().into_iter().collect::<Vec<_>>())
}

/// `name(part, part)` as its name and its parts.
fn listed(tokens: &[TokenTree]) -> Option<(String, Vec<Vec<TokenTree>>)> {
    match tokens {
        [TokenTree::Ident(name), TokenTree::Group(list)] => {
            Some((name.to_string(), super::super::words::parts(&list.stream())))
        }
        _ => None,
    }
}

/// Whether an attribute derives something, in a `cfg_attr` too.
fn derives(tokens: &TokenStream, wanted: &str) -> bool {
    let names = |parts: &[Vec<TokenTree>]| {
        parts.iter().any(|path| matches!(path.last(), Some(TokenTree::Ident(last)) if last == wanted))
    };
    match attribute(tokens) {
        Some((name, parts)) if name == "derive" => names(&parts),
        Some((name, parts)) if name == "cfg_attr" => parts
            .iter()
            .skip(1)
            .any(|part| matches!(listed(part), Some((inner, parts)) if inner == "derive" && names(&parts))),
        _ => false,
    }
}

/// Whether an attribute is a `cfg` that holds for tests alone: `test`, or `all(…)` with `test` in it.
pub(super) fn is_for_tests(tokens: &TokenStream) -> bool {
    let is_test = |part: &Vec<TokenTree>| matches!(&part[..], [TokenTree::Ident(word)] if word == "test");
    match attribute(tokens) {
        Some((name, parts)) if name == "cfg" => parts.iter().any(|part| {
            is_test(part) || matches!(listed(part), Some((all, parts)) if all == "all" && parts.iter().any(is_test))
        }),
        _ => false,
    }
}

/// Where tokens are nested more deeply than a parser can follow that calls itself.
///
/// A parser of Rust goes one level down at a bracket, at a `<`, and at any token that stands before what it belongs
/// to (`&&&T`); it comes back at a comma. What counts is therefore how many tokens lead to a token from the last comma
/// of its list, and from there to the last comma of the list around.
pub(super) fn too_deep(tokens: &TokenStream) -> Option<Span> {
    struct Level {
        tokens: proc_macro2::token_stream::IntoIter,
        /// How deep a list's parts start, the innermost list last; one for the brackets and one for each `<` in them.
        starts: Vec<usize>,
        at: usize,
    }
    let mut levels = vec![Level { tokens: tokens.clone().into_iter(), starts: vec![0], at: 0 }];
    while let Some(level) = levels.last_mut() {
        let Some(token) = level.tokens.next() else {
            levels.pop();
            continue;
        };
        level.at += 1;
        if level.at > DEEPEST {
            return Some(token.span());
        }
        match &token {
            TokenTree::Group(group) => {
                let at = level.at;
                // Attributes stand side by side, however many there are.
                if group.delimiter() == Delimiter::Bracket || group.delimiter() == Delimiter::Brace {
                    level.at = level.starts.last().copied().unwrap_or(0).max(level.at.saturating_sub(2));
                }
                levels.push(Level { tokens: group.stream().into_iter(), starts: vec![at], at });
            }
            TokenTree::Punct(mark) => match mark.as_char() {
                ',' | ';' => level.at = level.starts.last().copied().unwrap_or(0),
                '<' => level.starts.push(level.at),
                '>' if level.starts.len() > 1 => level.at = level.starts.pop().unwrap_or(0),
                _ => {}
            },
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        deriving(text.parse().unwrap(), "Table").len()
    }

    #[test]
    fn structs_are_found_among_all_that_rust_has() {
        let around = "use a::{b, c}; const X: [u8; 3] = [1, 2, 3]; static F: fn() -> u8 = { 3 }; \
                      impl<T> A<T> for B where T: C {} fn f() -> impl D { #[derive(Table)] struct Inner { a: i64 } } \
                      macro_rules! m { () => { #[derive(Table)] struct Made { a: i64 } } } m!(); trait T { fn f(); } \
                      extern \"C\" { fn g(); } unsafe impl X for Y {} enum E { A = 3 }";
        let model =
            "/// A table.\n#[derive(Clone, migrate_runtime::Table)] #[table(strict)] pub(crate) struct A { a: i64 }";
        assert_eq!(found(&format!("{around} {model} {around} pub mod inner {{ {around} {model} }}")), 2);
    }

    #[test]
    fn what_is_for_tests_alone_is_left_out() {
        for attribute in ["#[cfg(test)]", "#[cfg(all(test, feature = \"x\"))]"] {
            assert_eq!(found(&format!("{attribute} mod tests {{ #[derive(Table)] struct A {{ a: i64 }} }}")), 0);
            assert_eq!(found(&format!("{attribute} #[derive(Table)] struct A {{ a: i64 }}")), 0);
        }
        assert_eq!(
            found("mod a { #![cfg(test)] #[derive(Table)] struct A { a: i64 } } #[derive(Table)] struct B {}"),
            1
        );
        assert_eq!(found("#[cfg(not(test))] #[derive(Table)] struct A { a: i64 }"), 1);
        assert_eq!(found("#[cfg(feature = \"test\")] #[derive(Table)] struct A { a: i64 }"), 1);
    }

    #[test]
    fn a_derive_is_known_by_the_last_name() {
        assert_eq!(found("#[derive(Tables)] struct A { a: i64 } #[derive(Clone)] struct Table { a: i64 }"), 0);
        assert_eq!(found("#[cfg_attr(feature = \"db\", derive(Clone, db::Table))] struct A { a: i64 }"), 1);
    }

    #[test]
    fn what_people_write_is_not_too_deep_and_what_would_use_up_the_stack_is() {
        let deep = |text: &str| too_deep(&text.parse().unwrap()).is_some();
        let documented = "/// A line of a long comment.\n".repeat(500);
        let field = "#[column(default = 3)] pub a: Option<std::collections::HashMap<String, Vec<Vec<u8>>>>,\n";
        assert!(!deep(&format!("{documented} struct A {{ {} }}", format!("{documented}{field}").repeat(30))));
        for nested in [
            "&".repeat(1000),
            "(".repeat(1000) + &")".repeat(1000),
            "A<".repeat(1000),
            "A<B, ".repeat(1000),
            "[u8; ".repeat(1000) + &"]".repeat(1000),
            "(A, ".repeat(1000) + &")".repeat(1000),
            "fn() -> ".repeat(1000),
        ] {
            assert!(deep(&format!("struct A {{ a: {nested} }}")), "{}", &nested[..9]);
        }
    }
}
