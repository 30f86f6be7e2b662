//! The files of a database: the database, `-wal` and `-journal`. They are opened for reading alone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::header::HEADER_SIZE;
use super::unreadable::Unreadable;

/// What a rollback journal starts with (<https://www.sqlite.org/fileformat2.html>, section 3). A transaction that is
/// over leaves no journal, an empty one, or one whose header is overwritten.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// An open file.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    /// Its length when it was opened.
    pub(super) length: u64,
    modified: Option<SystemTime>,
}

impl Source {
    /// Opens a file; `None` where there is none.
    fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        // Looked at before it is opened, since opening a pipe waits for a writer.
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Unreadable::io(&error))?,
        };
        if !metadata.is_file() {
            return Err(Unreadable::NotADatabase);
        }
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unreadable::io(&error)),
            Ok(file) => Ok(Some(Self { file, length: metadata.len(), modified: metadata.modified().ok() })),
        }
    }

    /// Reads from a place on, as far as the buffer and the file go; gives the number of bytes.
    pub(super) fn read_at(&self, place: u64, buffer: &mut [u8]) -> Result<usize, Unreadable> {
        let mut file = &self.file;
        let mut filled = 0;
        let mut read = || -> io::Result<usize> {
            file.seek(SeekFrom::Start(place))?;
            while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read(rest) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(filled)
        };
        read().map_err(|error| Unreadable::io(&error))
    }
}

/// What tells that a database file was written to; the write-ahead log is compared by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    length: u64,
    /// A transaction that is rolled back after it wrote to the file leaves the change counter as it was.
    modified: Option<SystemTime>,
    /// The header, with the change counter in it.
    header: Vec<u8>,
    /// Whether a rollback journal says that the file is not to be read as it is.
    pub(super) hot: bool,
}

/// A database with its log, open.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    /// The database.
    pub(super) database: Source,
    /// Its write-ahead log, where there is one.
    pub(super) log: Option<Source>,
}

impl Files {
    /// Opens a database; `None` where there is no file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        // SQLite puts the log and the journal beside the file that a symbolic link leads to.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Unreadable::io(&error))?,
        };
        let Some(database) = Source::open(&path)? else { return Ok(None) };
        let log = Source::open(&beside(&path, "-wal"))?;
        Ok(Some(Self { path, database, log }))
    }

    /// The state of the database file as it is now.
    pub(super) fn mark(&self) -> Result<Mark, Unreadable> {
        let mut header = vec![0; HEADER_SIZE];
        let filled = self.database.read_at(0, &mut header)?;
        header.truncate(filled);
        let mut start = [0; JOURNAL_MAGIC.len()];
        if let Some(journal) = Source::open(&beside(&self.path, "-journal"))? {
            journal.read_at(0, &mut start)?;
        }
        let hot = start == JOURNAL_MAGIC;
        Ok(Mark { length: self.database.length, modified: self.database.modified, header, hot })
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
