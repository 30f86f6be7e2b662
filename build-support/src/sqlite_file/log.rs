//! The write-ahead log: <https://www.sqlite.org/fileformat2.html>, section 4.
//!
//! `-shm`, SQLite's index of the log, is not read: it is shared memory in another process's byte order. The log is
//! scanned instead, as SQLite does when it recovers the index.

use std::collections::HashMap;

use super::files::Source;
use super::header::be32;
use super::unreadable::Unreadable;

/// How many bytes of valid frames are read at most.
const LARGEST_LOG: u64 = 256 * 1024 * 1024;

const HEADER_SIZE: usize = 32;
const FRAME_HEADER_SIZE: usize = 24;
/// Section 4.1: the last bit of the magic number tells the byte order that the checksums are computed in.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// The two running sums of section 4.2.
type Sums = (u32, u32);

/// The last commit in a log. Two logs with an equal one hold the same pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// The size of a page.
    pub(super) page_size: u32,
    /// The size of the database in pages after this commit.
    pub(super) pages: u32,
    salts: [u8; 8],
    /// The number of frames up to and including the commit's own.
    frames: u64,
    sums: Sums,
}

/// What a log's header says.
#[derive(Clone, Copy)]
struct Head {
    page_size: u32,
    big_endian: bool,
    salts: [u8; 8],
    sums: Sums,
}

/// The pages that a log holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Where the newest committed content of a page starts.
    places: HashMap<u32, u64>,
    /// The last commit; `None` where the log holds none, so that the database is read as if there were no log.
    pub(super) commit: Option<Commit>,
}

impl Log {
    /// Reads a log up to its last valid commit.
    pub(super) fn scan(source: Option<&Source>) -> Result<Self, Unreadable> {
        let mut log = Self::default();
        if let Some(source) = source
            && let Some(head) = Head::read(source)?
        {
            log.advance(source, head)?;
        }
        Ok(log)
    }

    /// Whether a log, opened again, ends with the same commit.
    ///
    /// A checkpoint that starts later copies no more into the database than what is known from this log already, so
    /// where this holds, pages that were read from the database meanwhile belong to the same state.
    pub(super) fn is_current(&self, source: Option<&Source>) -> Result<bool, Unreadable> {
        let Some(commit) = self.commit else { return Ok(Self::scan(source)?.commit.is_none()) };
        let Some(source) = source else { return Ok(false) };
        let Some(head) = Head::read(source)? else { return Ok(false) };
        let mut frame = [0; FRAME_HEADER_SIZE];
        source.read_at(place_of(commit.frames - 1, commit.page_size), &mut frame)?;
        if head.page_size != commit.page_size || head.salts != commit.salts || sums_at(&frame, 16) != Some(commit.sums)
        {
            return Ok(false);
        }
        let mut later = Self { places: HashMap::new(), commit: Some(commit) };
        later.advance(source, head)?;
        Ok(later.commit == self.commit)
    }

    /// Where a page's newest committed content starts in the log.
    pub(super) fn place(&self, page: u32) -> Option<u64> {
        self.places.get(&page).copied()
    }

    /// Reads the frames behind the last commit that is known, or from the start.
    fn advance(&mut self, source: &Source, head: Head) -> Result<(), Unreadable> {
        let (mut frames, mut sums) = self.commit.map_or((0, head.sums), |commit| (commit.frames, commit.sums));
        let first = frames;
        let mut pending = Vec::new();
        let mut frame = vec![0; FRAME_HEADER_SIZE + head.page_size as usize];
        loop {
            let place = place_of(frames, head.page_size);
            if place_of(frames - first, head.page_size) > LARGEST_LOG {
                return Err(Unreadable::TooLarge("its write-ahead log waits for a checkpoint".to_owned()));
            }
            if source.read_at(place, &mut frame)? < frame.len() {
                return Ok(());
            }
            // Section 4.1: a frame is valid where its salts are the header's and its checksum goes on from the frame
            // before. The first one that is not ends the log: what follows is left over from before a checkpoint.
            let (Some(page), Some(pages), Some(content)) =
                (be32(&frame, 0), be32(&frame, 4), frame.get(FRAME_HEADER_SIZE..))
            else {
                return Ok(());
            };
            if page == 0 || frame.get(8..16) != Some(&head.salts[..]) {
                return Ok(());
            }
            sums = head.sum(head.sum(sums, frame.get(..8).unwrap_or_default()), content);
            if sums_at(&frame, 16) != Some(sums) {
                return Ok(());
            }
            frames += 1;
            pending.push((page, place + FRAME_HEADER_SIZE as u64));
            if pages > 0 {
                self.places.extend(pending.drain(..));
                self.commit = Some(Commit { page_size: head.page_size, pages, salts: head.salts, frames, sums });
            }
        }
    }
}

impl Head {
    /// Reads a log's header; `None` where SQLite would take the log as empty.
    fn read(source: &Source) -> Result<Option<Self>, Unreadable> {
        let mut bytes = [0; HEADER_SIZE];
        let whole = source.read_at(0, &mut bytes)? == bytes.len();
        let (Some(magic), Some(version), Some(page_size)) = (be32(&bytes, 0), be32(&bytes, 4), be32(&bytes, 8)) else {
            return Ok(None);
        };
        let is_size = page_size.is_power_of_two() && (512..=65_536).contains(&page_size);
        if !whole || magic & !1 != MAGIC || !is_size {
            return Ok(None);
        }
        let mut salts = [0; 8];
        salts.copy_from_slice(&bytes[16..24]);
        let mut head = Self { page_size, big_endian: magic & 1 == 1, salts, sums: (0, 0) };
        head.sums = head.sum(head.sums, &bytes[..24]);
        if sums_at(&bytes, 24) != Some(head.sums) {
            return Ok(None);
        }
        if version != VERSION {
            return Err(Unreadable::Unsupported(format!("its write-ahead log has version {version}")));
        }
        Ok(Some(head))
    }

    /// Section 4.2, over a multiple of eight bytes.
    fn sum(&self, (mut first, mut second): Sums, bytes: &[u8]) -> Sums {
        for &[a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
            let (a, b) = ([a, b, c, d], [e, f, g, h]);
            let (a, b) = if self.big_endian {
                (u32::from_be_bytes(a), u32::from_be_bytes(b))
            } else {
                (u32::from_le_bytes(a), u32::from_le_bytes(b))
            };
            first = first.wrapping_add(a).wrapping_add(second);
            second = second.wrapping_add(b).wrapping_add(first);
        }
        (first, second)
    }
}

fn sums_at(bytes: &[u8], at: usize) -> Option<Sums> {
    Some((be32(bytes, at)?, be32(bytes, at + 4)?))
}

/// Where a frame starts, counted from 0.
fn place_of(frame: u64, page_size: u32) -> u64 {
    HEADER_SIZE as u64 + frame * (FRAME_HEADER_SIZE as u64 + u64::from(page_size))
}
