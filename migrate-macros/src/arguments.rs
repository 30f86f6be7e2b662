//! What is written between the brackets of `embed!`.

use proc_macro::{Span, TokenStream, TokenTree};

/// The arguments, behind the name of the crate that the shell macro hands along.
pub(crate) struct Arguments {
    /// The tokens that name `migrate-runtime` where the macro is used.
    pub(crate) runtime: TokenStream,
    /// The folder below the package's root.
    pub(crate) folder: String,
    /// Where an error is shown: the folder's literal.
    pub(crate) span: Span,
    /// Whether drafts may go into builds without debug assertions.
    pub(crate) allow_drafts: bool,
}

/// A mistake in the arguments and where it stands.
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) span: Span,
}

const USAGE: &str = "write `embed!(\"migrations\")`: a folder below the package's root, and behind it `allow_drafts` \
                     where drafts may go into builds without debug assertions";

impl Arguments {
    /// Reads `$crate [, "folder" [, allow_drafts]]`.
    pub(crate) fn read(input: TokenStream) -> Result<Self, Mistake> {
        let mut parts = split_at_commas(input).into_iter();
        let runtime: TokenStream = parts.next().unwrap_or_default().into_iter().collect();
        let mut arguments =
            Self { runtime, folder: "migrations".to_owned(), span: Span::call_site(), allow_drafts: false };
        for (position, part) in parts.filter(|part| !part.is_empty()).enumerate() {
            let mistake = |span: Span| Mistake { message: USAGE.to_owned(), span };
            let Some(first) = part.first() else { continue };
            match (position, &part[..]) {
                (0, [token]) => {
                    arguments.folder = folder(&unwrapped(token)).ok_or_else(|| mistake(first.span()))?;
                    arguments.span = first.span();
                }
                (_, [TokenTree::Ident(word)]) if word.to_string() == "allow_drafts" => arguments.allow_drafts = true,
                _ => return Err(mistake(first.span())),
            }
        }
        Ok(arguments)
    }
}

fn split_at_commas(input: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in input {
        match &token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => parts.push(Vec::new()),
            _ => {
                if let Some(part) = parts.last_mut() {
                    part.push(token);
                }
            }
        }
    }
    parts
}

/// A literal that went through another macro's `$folder:expr` comes in a group without brackets.
fn unwrapped(token: &TokenTree) -> TokenTree {
    if let TokenTree::Group(group) = token
        && group.delimiter() == proc_macro::Delimiter::None
    {
        let mut inner = group.stream().into_iter();
        if let (Some(only), None) = (inner.next(), inner.next()) {
            return unwrapped(&only);
        }
    }
    token.clone()
}

/// The text of a string literal without escapes, plain or raw.
fn folder(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    let raw = text.strip_prefix('r').map(|rest| rest.trim_matches('#'));
    let inner = raw.unwrap_or(&text).strip_prefix('"')?.strip_suffix('"')?;
    (raw.is_some() || !inner.contains('\\')).then(|| inner.to_owned())
}
