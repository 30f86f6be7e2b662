//! What a database says of itself: the rows of its version table.

use std::collections::BTreeMap;

use build_support::checksum::{Checksum, Seal, StatementsHash};
use build_support::lock::Hashes;
use build_support::migration::Directives;
use build_support::revision::RevisionId;

/// How far a revision's application went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is applied.
    Applied,
    /// A `no-transaction` revision that is being applied, or was interrupted in that.
    Running,
    /// A `no-transaction` revision that is being taken back, or was interrupted in that.
    Reverting,
}

/// A row of the version table, without the stored down text, which is read when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRevision {
    /// The key of the package that the revision belongs to.
    pub package: String,
    /// The revision.
    pub id: RevisionId,
    /// Its place in the order of application, over all packages, from 1.
    pub sequence: i64,
    /// The file's checksum when it was applied.
    pub checksum: Checksum,
    /// What its upgrade did.
    pub statements: StatementsHash,
    /// The history that it stands on.
    pub seal: Seal,
    /// Its parents.
    pub parents: Vec<RevisionId>,
    /// Its dependencies, as `ID` or `PACKAGE/ID`.
    pub depends: Vec<String>,
    /// How it ran.
    pub directives: Directives,
    /// What it is for.
    pub message: String,
    /// How many revisions of the package were applied with it; kept true for the package's newest row.
    pub applied_count: i64,
    /// Whether it is applied or under way.
    pub state: State,
    /// When it was applied: UTC, RFC 3339.
    pub applied_at: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: i64,
    /// The version of the tool that applied it.
    pub tool_version: String,
    /// The hash of the schema after the run, on the newest row.
    pub schema_hash: Option<String>,
}

impl AppliedRevision {
    /// What the file was, and did, and stood on when it was applied.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        Hashes { checksum: self.checksum, statements: self.statements, seal: self.seal }
    }

    /// Whether it is neither applied nor gone: its run is under way, or was interrupted.
    #[must_use]
    pub fn is_half_way(&self) -> bool {
        self.state != State::Applied
    }
}

/// A database's rows, in the order of application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    rows: Vec<AppliedRevision>,
    elsewhere: Option<Elsewhere>,
}

/// What is known of a version table that is not there, where the same database has others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The schema and the name of the one that was looked for.
    pub missing: [String; 2],
    /// Whether that schema was named together with the table.
    pub named: bool,
    /// The rows that others have.
    pub found: Vec<Found>,
}

/// The rows of a package in a version table that was not looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The schema and the name of that table.
    pub table: [String; 2],
    /// The key of the package.
    pub package: String,
    /// How many rows it has.
    pub revisions: u64,
}

impl History {
    /// Takes rows in any order.
    #[must_use]
    pub fn new(mut rows: Vec<AppliedRevision>) -> Self {
        rows.sort_by_key(|row| row.sequence);
        Self { rows, elsewhere: None }
    }

    /// The empty history of a database whose version table is not there, while it has others.
    #[must_use]
    pub fn missing(elsewhere: Elsewhere) -> Self {
        Self { rows: Vec::new(), elsewhere: Some(elsewhere) }
    }

    /// Other version tables, where the one that was looked for is not there.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        self.elsewhere.as_ref()
    }

    /// All rows, the first applied first.
    #[must_use]
    pub fn rows(&self) -> &[AppliedRevision] {
        &self.rows
    }

    /// The rows of each package by themselves.
    #[must_use]
    pub fn by_package(self) -> BTreeMap<String, Self> {
        let mut packages: BTreeMap<String, Self> = BTreeMap::new();
        for row in self.rows {
            match packages.get_mut(&row.package) {
                Some(of) => of.rows.push(row),
                None => {
                    packages.insert(row.package.clone(), Self::new(vec![row]));
                }
            }
        }
        packages
    }

    /// The rows of one package, the first applied first.
    pub fn of<'a>(&'a self, package: &'a str) -> impl DoubleEndedIterator<Item = &'a AppliedRevision> {
        self.rows.iter().filter(move |row| row.package == package)
    }

    /// The same without the rows of revisions that are half way, on their way up or back.
    #[must_use]
    pub fn settled(&self) -> Self {
        let rows = self.rows.iter().filter(|row| !row.is_half_way()).cloned().collect();
        Self { rows, elsewhere: self.elsewhere.clone() }
    }

    /// A package's row of a revision.
    #[must_use]
    pub fn find(&self, package: &str, id: &RevisionId) -> Option<&AppliedRevision> {
        self.rows.iter().find(|row| row.package == package && row.id == *id)
    }
}
