//! What the expansion of `derive(Table)` asks for while a program is compiled. It is no interface: another version may
//! have another.

/// A struct that derives `Table`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no table",
    label = "this struct does not derive `Table`",
    note = "derive it: `#[derive(Table)]`, or say the reference in SQL: `references = \"table (column)\"`"
)]
pub trait IsTable {
    /// The table's name as SQL writes it.
    const IN_SQL: &'static str;
}

/// How long pieces are when they are joined, in bytes.
#[must_use]
pub const fn length(pieces: &[&str]) -> usize {
    let (mut length, mut at) = (0, 0);
    while at < pieces.len() {
        length += pieces[at].len();
        at += 1;
    }
    length
}

/// Joins pieces; `LENGTH` is what [`length`] says of them.
#[must_use]
pub const fn join<const LENGTH: usize>(pieces: &[&str]) -> [u8; LENGTH] {
    let mut joined = [0; LENGTH];
    let (mut end, mut at) = (0, 0);
    while at < pieces.len() {
        let piece = pieces[at].as_bytes();
        let mut byte = 0;
        while byte < piece.len() {
            joined[end] = piece[byte];
            end += 1;
            byte += 1;
        }
        at += 1;
    }
    joined
}

/// Joined pieces as the text that they are.
#[must_use]
pub const fn text(joined: &[u8]) -> &str {
    match std::str::from_utf8(joined) {
        Ok(text) => text,
        // Whole texts one behind the other are a text.
        Err(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_while_the_program_is_compiled() {
        const PIECES: &[&str] = &["CREATE ", "", "größe", " ()"];
        const BYTES: [u8; length(PIECES)] = join(PIECES);
        const TEXT: &str = text(&BYTES);
        assert_eq!(TEXT, "CREATE größe ()");
    }
}
