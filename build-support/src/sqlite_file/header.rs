//! The header of a database file: <https://www.sqlite.org/fileformat2.html>, section 1.3.

use super::unreadable::Unreadable;

/// The length of the header in bytes.
pub(super) const HEADER_SIZE: usize = 100;

/// How text is stored (section 1.3.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// What the reader needs of a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The size of a page in bytes: a power of two from 512 to 65,536.
    pub(super) page_size: u32,
    /// The page size less the bytes reserved at the end of each page, at least 480.
    pub(super) usable: u32,
    /// How text is stored.
    pub(super) encoding: Encoding,
    /// The size of the database in pages, where the header's number is to be trusted.
    pub(super) pages: Option<u32>,
}

/// Four bytes, most significant first.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Two bytes, most significant first.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

impl Header {
    /// Reads the first bytes of a database, with the checks that SQLite makes when it opens one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        use Unreadable::NotADatabase;
        let byte = |at: usize| bytes.get(at).copied().ok_or(NotADatabase);
        let number = |at: usize| be32(bytes, at).ok_or(NotADatabase);
        if !bytes.starts_with(b"SQLite format 3\0") || bytes.len() < HEADER_SIZE {
            return Err(NotADatabase);
        }
        // Section 1.3.3: a read version above 2 is from a future format. The write version keeps nobody from reading.
        if byte(19)? > 2 {
            return Err(Unreadable::Unsupported(format!("its file format has version {}", byte(19)?)));
        }
        // Section 1.3.5.
        if (byte(21)?, byte(22)?, byte(23)?) != (64, 32, 32) {
            return Err(NotADatabase);
        }
        // Section 1.3.2: 1 stands for 65,536, which does not fit in two bytes.
        let page_size = match u32::from(be16(bytes, 16).ok_or(NotADatabase)?) {
            1 => 65_536,
            size => size,
        };
        if !page_size.is_power_of_two() || page_size < 512 {
            return Err(NotADatabase);
        }
        // Section 1.3.4.
        let usable = page_size - u32::from(byte(20)?);
        if usable < 480 {
            return Err(NotADatabase);
        }
        // Section 1.3.10; 0 stands in a database that has no table yet.
        if number(44)? > 4 {
            return Err(Unreadable::Unsupported(format!("its schema format has version {}", number(44)?)));
        }
        let encoding = match number(56)? {
            0 | 1 => Encoding::Utf8,
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            other => return Err(Unreadable::damaged(format_args!("the header names text encoding {other}"))),
        };
        // Section 1.3.7: the number is to be trusted where the change counter equals "version-valid-for".
        let pages = Some(number(28)?).filter(|pages| *pages > 0 && number(24).ok() == number(92).ok());
        Ok(Self { page_size, usable, encoding, pages })
    }
}
