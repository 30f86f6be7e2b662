//! Rows as values: <https://www.sqlite.org/fileformat2.html>, section 2.1.

use super::btree::Payload;
use super::header::Encoding;
use super::unreadable::Unreadable;

/// The longest record header; SQLite's own limit, for 32,767 columns.
const LONGEST_HEADER: u64 = 98_307;
/// The largest single value that is read, in bytes.
const LARGEST_VALUE: u64 = 1024 * 1024;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    /// A text, with U+FFFD for what is not valid in the database's encoding.
    Text(String),
    Blob(Vec<u8>),
}

/// A row whose columns are read in their stored order, so that a long one in between need not be held.
pub(super) struct Record<'a, 's> {
    types: Vec<u64>,
    /// The column that the payload stands at.
    at: usize,
    payload: Payload<'a, 's>,
}

impl<'a, 's> Record<'a, 's> {
    pub(super) fn read(mut payload: Payload<'a, 's>) -> Result<Self, Unreadable> {
        let mut start = Vec::new();
        let (length, size) = loop {
            if let Some(found) = varint(&start) {
                break found;
            }
            start.extend(payload.take(1)?);
        };
        let rest = length.checked_sub(size as u64).filter(|_| length <= LONGEST_HEADER);
        let header = payload.take(rest.ok_or_else(|| payload.damaged("has no header"))?)?;
        let mut types = Vec::new();
        let mut bytes = header.as_slice();
        while !bytes.is_empty() {
            let (kind, size) = varint(bytes).ok_or_else(|| payload.damaged("has a header that is cut off"))?;
            types.push(kind);
            bytes = bytes.get(size..).unwrap_or_default();
        }
        Ok(Self { types, at: 0, payload })
    }

    /// A column by its place in the record, which must not stand before one that was asked for already.
    /// `None` where the row ends before it: the column was added later.
    pub(super) fn value(&mut self, column: usize) -> Result<Option<Value>, Unreadable> {
        while let Some(kind) = self.types.get(self.at).copied() {
            if self.at > column {
                break;
            }
            self.at += 1;
            if self.at > column {
                return self.decode(kind).map(Some);
            }
            self.payload.skip(content_size(kind))?;
        }
        Ok(None)
    }

    fn decode(&mut self, kind: u64) -> Result<Value, Unreadable> {
        let size = content_size(kind);
        if size > LARGEST_VALUE {
            return Err(Unreadable::TooLarge(format!("a value has {size} bytes")));
        }
        let bytes = self.payload.take(size)?;
        Ok(match kind {
            0 => Value::Null,
            1..=6 => Value::Integer(signed(&bytes)),
            7 => Value::Real(f64::from_bits(signed(&bytes).cast_unsigned())),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            10 | 11 => return Err(self.payload.damaged("has a value of a reserved type")),
            kind if kind % 2 == 0 => Value::Blob(bytes),
            _ => Value::Text(text(bytes, self.payload.encoding())),
        })
    }
}

/// The size of a value by its serial type.
fn content_size(kind: u64) -> u64 {
    match kind {
        0 | 8..=11 => 0,
        1..=4 => kind,
        5 => 6,
        6 | 7 => 8,
        // Even types are blobs from 12 on, odd ones texts from 13 on.
        _ => (kind - 12) / 2,
    }
}

/// A number of up to eight bytes, most significant first, as two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte))
}

fn text(bytes: Vec<u8>, encoding: Encoding) -> String {
    let unit: fn([u8; 2]) -> u16 = match encoding {
        Encoding::Utf8 => {
            return String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        }
        Encoding::Utf16Le => u16::from_le_bytes,
        Encoding::Utf16Be => u16::from_be_bytes,
    };
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16_lossy(&units)
}

/// Reads a variable-length integer (section 1.6); gives it and its size. `None` where the bytes end before it does.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number: u64 = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        number = number << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((number, index + 1));
        }
    }
    bytes.get(8).map(|last| (number << 8 | u64::from(*last), 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_integers_are_read_up_to_nine_bytes() {
        assert_eq!(varint(&[0x00]), Some((0, 1)));
        assert_eq!(varint(&[0x7f, 0xff]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0x80, 0x80, 0x01]), Some((1, 3)));
        for cut in [&[][..], &[0x81], &[0xff; 8]] {
            assert_eq!(varint(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn numbers_keep_their_sign_in_every_width() {
        assert_eq!(signed(&[]), 0);
        assert_eq!(signed(&[0xff]), -1);
        assert_eq!(signed(&[0x80, 0, 0]), -8_388_608);
        assert_eq!(signed(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), 0x7fff_ffff_ffff);
        assert_eq!(signed(&i64::MIN.to_be_bytes()), i64::MIN);
    }
}
