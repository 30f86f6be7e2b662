//! What a person and a program get to see.

pub mod shell;
pub mod suggest;

use std::fmt::Display;

/// `1 row`, `2 rows`.
#[must_use]
pub fn many(count: impl Display + PartialEq + From<u8>, what: &str) -> String {
    let ending = if count == 1_u8.into() { "" } else { "s" };
    format!("{count} {what}{ending}")
}
