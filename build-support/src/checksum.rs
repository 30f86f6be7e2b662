//! The two hashes of a revision and its seal. `sha2` is named in this module alone.
//!
//! Each value carries the name of what it is when it is written down (`sha256:`, `statements:`, `seal:`), so that
//! another algorithm can stand beside today's one day.
//!
//! *Length-prefixed* means: the length in bytes, seven bits a byte, the least significant first, the highest bit set in all
//! but the last (LEB128), then the bytes. Most tokens are short, so this is one byte for nearly all of them.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::revision::RevisionId;
use crate::token::Token;

/// How much of the input waits until it is hashed: each call of the hasher costs more than a short word does, in a build
/// without optimisation most of all.
const WAITING: usize = 4096;

/// SHA-256 over parts, for the few things besides revisions that need a hash (a schema as it stands).
#[derive(Clone, Default)]
pub struct Digest {
    hasher: Sha256,
    waiting: Vec<u8>,
}

impl Digest {
    /// Starts with a word that keeps hashes of different things apart.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        let mut digest = Self { hasher: Sha256::new(), waiting: Vec::with_capacity(WAITING) };
        digest.add(purpose.as_bytes());
        digest.add(b"\n");
        digest
    }

    /// Adds bytes, length-prefixed, so that no two lists of parts give the same input.
    pub fn part(&mut self, bytes: &[u8]) {
        let mut length = bytes.len();
        while length >= 0x80 {
            self.waiting.push(0x80 | (length & 0x7F) as u8);
            length >>= 7;
        }
        self.waiting.push(length as u8);
        self.add(bytes);
    }

    /// Adds bytes as they are.
    fn add(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() <= WAITING {
            self.waiting.extend_from_slice(bytes);
            return;
        }
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        self.hasher.update(bytes);
    }

    fn bytes(mut self) -> [u8; 32] {
        self.hasher.update(&self.waiting);
        self.hasher.finalize().into()
    }

    /// The hash of all parts so far, as 64 hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        Hex(&self.bytes()).to_string()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// What stands before the 64 hexadecimal digits when the value is written down.
            pub const PREFIX: &'static str = $prefix;

            /// Reads what `Display` wrote; `None` where it is anything else.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                parse_hex(text.strip_prefix($prefix)?).map(Self)
            }

            /// The first eight hexadecimal digits, enough to tell two values apart in a message.
            #[must_use]
            pub fn short(&self) -> String {
                Hex(&self.0).to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), Hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

hash_type!(
    /// SHA-256 of a migration file's normalised text: CRLF read as LF, a leading byte order mark dropped.
    /// For a file that has neither, `sha256sum` prints the same digits.
    Checksum, "sha256:"
);
hash_type!(
    /// SHA-256 of what an upgrade does: the tokens of the up section and the directives that change how it runs.
    ///
    /// The bytes: `cargo-migrate statements 1` and a line feed; one byte, 1 for `no-transaction` plus 2 for
    /// `foreign-keys on`; then each token that is neither white space nor a comment, length-prefixed.
    StatementsHash, "statements:"
);
hash_type!(
    /// A hash that covers a revision and all its ancestors: equal seals mean that the same history ran.
    ///
    /// The bytes: `cargo-migrate seal 1` and a line feed; the id, length-prefixed; the 32 bytes of the statements
    /// hash; the number of parents as eight bytes and each parent's seal, as the header lists them; the number of
    /// dependencies as eight bytes and for each, as the header lists them, a byte 0 and its seal where it is in the
    /// same package, or a byte 1 and the text `PACKAGE/ID`, length-prefixed.
    Seal, "seal:"
);

/// The value of each byte that is a lower-case hexadecimal digit; [`NO_DIGIT`] for the others. A history and its
/// locks hold thousands of hashes.
const DIGITS: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[HEX[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xFF;

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    // A digit has a value below 16, so one that is none shows in the upper half.
    (seen < 16).then_some(bytes)
}

impl Checksum {
    /// The checksum of a normalised text.
    #[must_use]
    pub fn of(normalised: &str) -> Self {
        Self(Sha256::digest(normalised.as_bytes()).into())
    }
}

impl StatementsHash {
    /// The hash of an up section's tokens and the two directives that change how they run.
    #[must_use]
    pub fn of<'a>(
        text: &str,
        tokens: impl IntoIterator<Item = &'a Token>,
        no_transaction: bool,
        foreign_keys_on: bool,
    ) -> Self {
        let mut digest = Digest::new("cargo-migrate statements 1");
        digest.add(&[u8::from(no_transaction) | u8::from(foreign_keys_on) << 1]);
        for token in tokens.into_iter().filter(|token| token.kind.counts()) {
            digest.part(text[token.span.clone()].as_bytes());
        }
        Self(digest.bytes())
    }
}

/// A dependency as the seal sees it.
#[derive(Clone, Debug)]
pub enum SealedDependency<'a> {
    /// A revision of the same package, by its seal.
    Here(Seal),
    /// A revision of another package, by the text `PACKAGE/ID` alone: a macro cannot see another package's files.
    Elsewhere(&'a str),
}

impl Seal {
    /// The seal of a revision over its parents and dependencies.
    #[must_use]
    pub fn of<'a>(
        id: &RevisionId,
        statements: &StatementsHash,
        parents: impl ExactSizeIterator<Item = Self>,
        depends: impl ExactSizeIterator<Item = SealedDependency<'a>>,
    ) -> Self {
        let mut digest = Digest::new("cargo-migrate seal 1");
        digest.part(id.as_str().as_bytes());
        digest.add(&statements.0);
        digest.add(&(parents.len() as u64).to_le_bytes());
        for parent in parents {
            digest.add(&parent.0);
        }
        digest.add(&(depends.len() as u64).to_le_bytes());
        for dependency in depends {
            match dependency {
                SealedDependency::Here(seal) => {
                    digest.add(&[0]);
                    digest.add(&seal.0);
                }
                SealedDependency::Elsewhere(text) => {
                    digest.add(&[1]);
                    digest.part(text.as_bytes());
                }
            }
        }
        Self(digest.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_what_sha256sum_prints() {
        // `printf 'abc' | sha256sum`
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of("abc").to_string(), format!("sha256:{digits}"));
        assert_eq!(Checksum::parse(&format!("sha256:{digits}")), Some(Checksum::of("abc")));
        assert_eq!(Checksum::of("abc").short(), "ba7816bf");
    }

    #[test]
    fn a_statements_hash_is_of_the_bytes_that_are_documented() {
        let long = "x".repeat(300);
        let text = format!("SELECT {long} -- why");
        let tokens: Vec<Token> = crate::token::tokens(&text).collect();
        let mut bytes = b"cargo-migrate statements 1\n\x02\x06SELECT\xAC\x02".to_vec();
        bytes.extend_from_slice(long.as_bytes());
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(StatementsHash::of(&text, &tokens, false, true), StatementsHash(digest));
        // What does not fit into the part that waits is hashed all the same.
        let text = format!("SELECT '{}'", "y".repeat(3 * WAITING));
        let tokens: Vec<Token> = crate::token::tokens(&text).collect();
        let mut bytes = b"cargo-migrate statements 1\n\x00\x06SELECT\x82\x60".to_vec();
        bytes.extend_from_slice(&text.as_bytes()[7..]);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(StatementsHash::of(&text, &tokens, false, false), StatementsHash(digest));
    }

    #[test]
    fn what_is_no_hash_is_not_read_as_one() {
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for bad in
            ["", "sha256:", digits, &format!("seal:{digits}"), &format!("sha256:{}", digits.to_uppercase()), "sha256:é"]
        {
            assert_eq!(Checksum::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_seal_changes_with_each_thing_that_it_covers() {
        let id = RevisionId::new("a").unwrap();
        let (one, two) = (StatementsHash([1; 32]), StatementsHash([2; 32]));
        let (up, down) = (Seal([3; 32]), Seal([4; 32]));
        let base = Seal::of(&id, &one, [up].into_iter(), [].into_iter());
        let others = [
            Seal::of(&RevisionId::new("b").unwrap(), &one, [up].into_iter(), [].into_iter()),
            Seal::of(&id, &two, [up].into_iter(), [].into_iter()),
            Seal::of(&id, &one, [down].into_iter(), [].into_iter()),
            Seal::of(&id, &one, [up, down].into_iter(), [].into_iter()),
            Seal::of(&id, &one, [].into_iter(), [SealedDependency::Here(up)].into_iter()),
            Seal::of(&id, &one, [up].into_iter(), [SealedDependency::Elsewhere("accounts/x")].into_iter()),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(&base, other, "case {i}");
        }
    }
}
