//! What a person and a program get to see.

mod drawn;
pub mod shell;
pub mod suggest;

use std::fmt::Display;

/// `1 row`, `2 rows`.
#[must_use]
pub fn many(count: impl Display + PartialEq + From<u8>, what: &str) -> String {
    let ending = if count == 1_u8.into() { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// The lines of a table, each column as wide as its widest cell.
#[must_use]
pub fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
