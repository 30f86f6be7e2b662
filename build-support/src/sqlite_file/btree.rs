//! B-trees and overflow pages: <https://www.sqlite.org/fileformat2.html>, sections 1.6 and 1.7.

use std::ops::ControlFlow;

use super::header::{be16, be32};
use super::record::{Record, varint};
use super::snapshot::Pages;
use super::unreadable::Unreadable;

/// How deep a tree may be. SQLite's own limit; with two children to a page, no file has so many pages.
const DEEPEST: u32 = 20;
/// How many rows a table may have.
const MOST_ROWS: usize = 100_000;
/// The largest row in bytes; SQLite's own limit is 2,147,483,647.
const LARGEST_PAYLOAD: u64 = 256 * 1024 * 1024;

/// How a table is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// By row id, with all rows in the leaves.
    Table,
    /// By a key that holds the whole row, with rows on all pages: a `WITHOUT ROWID` table (section 2.4).
    Index,
}

/// A row of a tree.
pub(super) struct Row<'a, 's> {
    /// Its row id, in a table tree.
    pub(super) rowid: Option<i64>,
    /// Its columns.
    pub(super) record: Record<'a, 's>,
}

/// What to do with a row.
pub(super) type Visit<'v> = dyn FnMut(Row<'_, '_>) -> Result<ControlFlow<()>, Unreadable> + 'v;

/// Shows each row of a tree, in no promised order.
///
/// It comes to an end on any file: [`Pages`] gives no page twice, and rows are counted.
pub(super) fn walk(pages: &mut Pages<'_>, root: u32, tree: Tree, visit: &mut Visit<'_>) -> Result<(), Unreadable> {
    let mut open = vec![(root, 1)];
    let mut rows = 0;
    while let Some((number, depth)) = open.pop() {
        if depth > DEEPEST {
            return Err(Unreadable::damaged(format_args!("page {number} is too deep in its tree")));
        }
        let content = pages.page(number)?;
        let page = Page::read(&content, number, tree)?;
        let mut room = content.len();
        for index in 0..page.cells {
            let cell = page.cell(index)?;
            let body = if page.interior {
                open.push((page.number32(cell, 0)?, depth + 1));
                cell.get(4..).unwrap_or_default()
            } else {
                cell
            };
            if page.interior && tree == Tree::Table {
                continue;
            }
            rows += 1;
            if rows > MOST_ROWS {
                return Err(Unreadable::TooLarge(format!("a table has more than {MOST_ROWS} rows")));
            }
            let cell = page.payload(body, tree, pages.header.usable)?;
            // Cells of a sound page do not overlap; a page whose cells all lie on each other would cost much to read.
            room = room.checked_sub(cell.local.len()).ok_or_else(|| page.damaged("has cells that overlap"))?;
            let rowid = cell.rowid;
            let record = Record::read(Payload::new(pages, cell, number))?;
            if visit(Row { rowid, record })?.is_break() {
                return Ok(());
            }
        }
        if page.interior {
            open.push((page.number32(&content, page.start + 8)?, depth + 1));
        }
    }
    Ok(())
}

/// A page of a tree.
struct Page<'c> {
    content: &'c [u8],
    number: u32,
    /// Where the page's own header starts: behind the file's on the first page.
    start: usize,
    interior: bool,
    cells: usize,
}

/// The payload of a cell, as far as it stands in the cell.
#[derive(Debug)]
struct Cell<'c> {
    rowid: Option<i64>,
    length: u64,
    local: &'c [u8],
    /// The first overflow page, where the payload goes on.
    next: Option<u32>,
}

impl<'c> Page<'c> {
    fn read(content: &'c [u8], number: u32, tree: Tree) -> Result<Self, Unreadable> {
        let start = if number == 1 { super::header::HEADER_SIZE } else { 0 };
        let mut page = Self { content, number, start, interior: false, cells: 0 };
        page.interior = match (content.get(start), tree) {
            (Some(5), Tree::Table) | (Some(2), Tree::Index) => true,
            (Some(13), Tree::Table) | (Some(10), Tree::Index) => false,
            _ => return Err(page.damaged("is not a page of its tree")),
        };
        page.cells = be16(content, start + 3).ok_or_else(|| page.damaged("is cut off"))?.into();
        Ok(page)
    }

    /// The bytes from a cell's start to the page's end.
    fn cell(&self, index: usize) -> Result<&'c [u8], Unreadable> {
        let header = if self.interior { 12 } else { 8 };
        let pointers = self.start + header;
        let place = be16(self.content, pointers + 2 * index).map(usize::from);
        place
            .filter(|place| *place >= pointers + 2 * self.cells)
            .and_then(|place| self.content.get(place..))
            .ok_or_else(|| self.damaged("has a cell outside of it"))
    }

    fn number32(&self, bytes: &[u8], at: usize) -> Result<u32, Unreadable> {
        be32(bytes, at).ok_or_else(|| self.damaged("is cut off"))
    }

    /// Takes a cell apart, from its payload's length on.
    fn payload(&self, cell: &'c [u8], tree: Tree, usable: u32) -> Result<Cell<'c>, Unreadable> {
        let cut_off = || self.damaged("has a cell that is cut off");
        let (length, size) = varint(cell).ok_or_else(cut_off)?;
        let mut body = cell.get(size..).unwrap_or_default();
        let mut rowid = None;
        if tree == Tree::Table {
            let (key, size) = varint(body).ok_or_else(cut_off)?;
            rowid = Some(key.cast_signed());
            body = body.get(size..).unwrap_or_default();
        }
        if length > LARGEST_PAYLOAD {
            return Err(Unreadable::TooLarge(format!("page {} has a row of {length} bytes", self.number)));
        }
        let local = local_size(length, usable.into(), tree);
        let here = usize::try_from(local).ok().and_then(|local| body.split_at_checked(local));
        let (local_bytes, rest) = here.ok_or_else(cut_off)?;
        let next = if local < length { Some(self.number32(rest, 0)?) } else { None };
        Ok(Cell { rowid, length, local: local_bytes, next })
    }

    fn damaged(&self, what: &str) -> Unreadable {
        Unreadable::damaged(format_args!("page {} {what}", self.number))
    }
}

/// How much of a payload stands in its cell (section 1.6, with its letters: U, P, X, M, K).
fn local_size(payload: u64, usable: u64, tree: Tree) -> u64 {
    let most = match tree {
        Tree::Table => usable - 35,
        Tree::Index => (usable - 12) * 64 / 255 - 23,
    };
    if payload <= most {
        return payload;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let some = least + (payload - least) % (usable - 4);
    if some <= most { some } else { least }
}

/// A payload, read from its start to its end.
pub(super) struct Payload<'a, 's> {
    pages: &'a mut Pages<'s>,
    /// The page of its cell, for messages.
    home: u32,
    /// What is left of the piece that was read last.
    piece: Vec<u8>,
    taken: usize,
    next: Option<u32>,
    /// How many bytes are left of all.
    left: u64,
}

impl<'a, 's> Payload<'a, 's> {
    fn new(pages: &'a mut Pages<'s>, cell: Cell<'_>, home: u32) -> Self {
        let piece = cell.local.to_vec();
        Self { pages, home, piece, taken: 0, next: cell.next, left: cell.length }
    }

    /// The encoding of the database's text.
    pub(super) fn encoding(&self) -> super::header::Encoding {
        self.pages.header.encoding
    }

    /// Takes the next bytes, at most as many as the caller is ready to hold.
    pub(super) fn take(&mut self, length: u64) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = Vec::new();
        self.advance(length, Some(&mut bytes))?;
        Ok(bytes)
    }

    /// Passes over the next bytes. Of the overflow pages that lie wholly in them, the links alone are read.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Unreadable> {
        self.advance(length, None)
    }

    /// What is wrong with the row.
    pub(super) fn damaged(&self, what: &str) -> Unreadable {
        Unreadable::damaged(format_args!("page {} has a row that {what}", self.home))
    }

    fn advance(&mut self, mut length: u64, mut into: Option<&mut Vec<u8>>) -> Result<(), Unreadable> {
        self.left = self.left.checked_sub(length).ok_or_else(|| self.damaged("is shorter than it says"))?;
        while length > 0 {
            let here = self.piece.get(self.taken..).unwrap_or_default();
            if here.is_empty() {
                length -= self.follow(length, into.is_none())?;
                continue;
            }
            let part = here.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(here);
            if let Some(into) = into.as_deref_mut() {
                into.extend_from_slice(part);
            }
            self.taken += part.len();
            length -= part.len() as u64;
        }
        Ok(())
    }

    /// Goes on to the next overflow page, or past it where all of it is to be passed over; gives how far it went.
    fn follow(&mut self, length: u64, pass: bool) -> Result<u64, Unreadable> {
        let number = self.next.filter(|number| *number > 0).ok_or_else(|| self.damaged("ends too early"))?;
        let content = u64::from(self.pages.header.usable - 4);
        self.taken = 0;
        self.piece.clear();
        if pass && length >= content {
            self.next = Some(self.pages.link(number)?);
            return Ok(content);
        }
        self.piece = self.pages.page(number)?;
        self.next = be32(&self.piece, 0);
        self.taken = 4;
        Ok(0)
    }
}
