//! One state of a database, as pages.

use std::collections::HashSet;
use std::path::Path;

use super::files::{Files, Mark};
use super::header::{HEADER_SIZE, Header};
use super::log::Log;
use super::unreadable::Unreadable;

/// How many bytes of pages are read at most.
const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// What a look at a page costs of that at least, however little of it is read.
const LEAST_COST: u64 = 512;
/// The place of the page that SQLite's locks live on (section 1.4).
const LOCK_PLACE: u64 = 1 << 30;

/// A database as it was when it was opened. Nothing holds it so: [`Snapshot::still_holds`] tells whether what was
/// read from it belongs together.
#[derive(Debug)]
pub(super) struct Snapshot {
    files: Files,
    before: Mark,
    log: Log,
}

/// The pages of a snapshot, for one use of each: in a sound database every page stands in one place alone (section
/// 1.2), so one that is asked for again stands in a circle or in two places, and nothing goes on for ever.
#[derive(Debug)]
pub(super) struct Pages<'s> {
    snapshot: &'s Snapshot,
    /// What the header on the first page says.
    pub(super) header: Header,
    count: u32,
    seen: HashSet<u32>,
    bytes_left: u64,
}

impl Snapshot {
    /// Opens a database; `None` where there is no file or an empty one, which SQLite takes as an empty database
    /// whatever lies beside it.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        let Some(files) = Files::open(path)? else { return Ok(None) };
        if files.database.length == 0 {
            return Ok(None);
        }
        let before = files.mark()?;
        if before.hot {
            return Err(Unreadable::HotJournal);
        }
        let log = Log::scan(files.log.as_ref())?;
        Ok(Some(Self { files, before, log }))
    }

    /// Whether the database is still as it was when it was opened.
    pub(super) fn still_holds(&self, path: &Path) -> Result<bool, Unreadable> {
        let Some(files) = Files::open(path)? else { return Ok(false) };
        Ok(files.mark()? == self.before && self.log.is_current(files.log.as_ref())?)
    }

    /// Reads the header, the log's if the first page is there.
    pub(super) fn pages(&self) -> Result<Pages<'_>, Unreadable> {
        let mut bytes = [0; HEADER_SIZE];
        match (self.log.place(1), &self.files.log) {
            (Some(place), Some(log)) => log.read_at(place, &mut bytes)?,
            _ => self.files.database.read_at(0, &mut bytes)?,
        };
        let header = Header::read(&bytes)?;
        let in_file = match &self.log.commit {
            Some(commit) if commit.page_size != header.page_size => {
                return Err(Unreadable::damaged("its write-ahead log has pages of another size"));
            }
            Some(commit) => commit.pages,
            // What is beyond the largest page number is out of reach in any case.
            None => u32::try_from(self.files.database.length.div_ceil(header.page_size.into())).unwrap_or(u32::MAX),
        };
        let count = header.pages.unwrap_or(in_file);
        if count > in_file {
            return Err(Unreadable::damaged("the file is shorter than its header says"));
        }
        Ok(Pages { snapshot: self, header, count, seen: HashSet::new(), bytes_left: MOST_BYTES })
    }
}

impl Pages<'_> {
    /// A page's content without the bytes reserved at its end.
    pub(super) fn page(&mut self, number: u32) -> Result<Vec<u8>, Unreadable> {
        let mut page = vec![0; self.header.usable as usize];
        self.read(number, &mut page)?;
        Ok(page)
    }

    /// The first four bytes of a page: in a chain of overflow pages, the number of the next one (section 1.7).
    pub(super) fn link(&mut self, number: u32) -> Result<u32, Unreadable> {
        let mut bytes = [0; 4];
        self.read(number, &mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// How many pages there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    fn read(&mut self, number: u32, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let place = u64::from(number).saturating_sub(1) * u64::from(self.header.page_size);
        if number == 0 || number > self.count || place == LOCK_PLACE {
            return Err(Unreadable::damaged(format_args!("there is no page {number}")));
        }
        if !self.seen.insert(number) {
            return Err(Unreadable::damaged(format_args!("page {number} is used twice")));
        }
        let cost = LEAST_COST.max(buffer.len() as u64);
        self.bytes_left = self
            .bytes_left
            .checked_sub(cost)
            .ok_or_else(|| Unreadable::TooLarge(format!("more than {MOST_BYTES} bytes would have to be read")))?;
        let filled = match (self.snapshot.log.place(number), &self.snapshot.files.log) {
            (Some(place), Some(log)) => log.read_at(place, buffer)?,
            _ => self.snapshot.files.database.read_at(place, buffer)?,
        };
        if filled < buffer.len() {
            return Err(Unreadable::damaged(format_args!("page {number} is cut off")));
        }
        Ok(())
    }
}
