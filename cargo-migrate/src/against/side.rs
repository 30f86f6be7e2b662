//! The migrations folder as it is at another commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use build_support::checksum::Checksum;
use build_support::directory::LOCK_FILE;
use build_support::lock::Lock;
use build_support::migration::{Migration, normalise};
use build_support::problem::Problem;
use build_support::revision::RevisionId;
use build_support::token::Dialect;

use super::git::Repository;

/// A migration's file at a commit.
#[derive(Debug)]
pub(super) struct File {
    /// As git names it: `origin/main:migrations/a.sql`.
    pub(super) path: PathBuf,
    /// The normalised text.
    pub(super) text: String,
    /// Its hash.
    pub(super) checksum: Checksum,
}

/// The folder at a commit.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The migrations.
    pub(super) files: BTreeMap<RevisionId, File>,
    /// The committed lock; empty where there is none, or none that can be read.
    pub(super) lock: Lock,
    /// What cannot be read.
    pub(super) problems: Vec<Problem>,
}

impl Side {
    /// Reads the folder at a commit that people know by a name.
    ///
    /// # Errors
    /// What git refuses to read.
    pub(super) fn read(repository: &Repository<'_>, commit: &str, name: &str) -> Result<Self, Problem> {
        let mut side = Self::default();
        let wanted = |name: &str| name == LOCK_FILE || RevisionId::of_file(Path::new(name)).is_some();
        for blob in repository.files(commit, wanted)? {
            let path = PathBuf::from(format!("{name}:{}", repository.prefix().join(&blob.name).display()));
            let text = match normalise(&path, blob.bytes) {
                Ok(text) => text,
                Err(problem) => {
                    side.problems.push(problem);
                    continue;
                }
            };
            if blob.name == LOCK_FILE {
                match Lock::parse(&path, &text) {
                    Ok(lock) => side.lock = lock,
                    Err(problems) => side.problems.extend(problems),
                }
                continue;
            }
            match RevisionId::of_file(Path::new(&blob.name)) {
                Some(Ok(id)) => {
                    let checksum = Checksum::of(&text);
                    side.files.insert(id, File { path, text, checksum });
                }
                // Told with its place at that commit.
                Some(Err(_)) => side.problems.extend(RevisionId::of_file(&path).and_then(std::result::Result::err)),
                None => {}
            }
        }
        Ok(side)
    }

    /// The checksum of a revision's file.
    pub(super) fn checksum(&self, id: &RevisionId) -> Option<Checksum> {
        self.files.get(id).map(|file| file.checksum)
    }
}

impl File {
    /// The file as a migration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn migration(&self, dialect: Dialect, id: &RevisionId) -> Result<Migration, Vec<Problem>> {
        Migration::parse_as(dialect, id.clone(), &self.path, &self.text)
    }
}
