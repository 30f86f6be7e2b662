//! The packages beside those that a command works on: other members of the workspace, and libraries that carry
//! migrations.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::OnceLock;

use build_support::directory::{Directory, LOCK_FILE};
use build_support::problem::{Problem, printable};
use cargo_metadata::{Metadata, Package, PackageId};
use serde_json::Value;

use super::Project;
use super::selection::{self, NO_PACKAGE, Selection};
use super::workspace::{self, Workspace};
use crate::context::Context;
use crate::failure::Result;

/// Finds packages by what names them in `depends KEY/ID` and in the setting `libraries`.
///
/// The members of the workspace are known. What it depends on is asked of cargo once, offline, when a name is none of a
/// member: where nobody names a library, nobody waits for that.
#[derive(Debug)]
pub struct Neighbours {
    workspace: Workspace,
    /// The packages that the command works on.
    selected: Vec<PackageId>,
    members: OnceLock<Vec<Carrier>>,
    libraries: OnceLock<std::result::Result<Libraries, Problem>>,
}

/// A package that has migrations, and its key in the version table.
#[derive(Debug)]
struct Carrier {
    package: Package,
    key: String,
}

/// The dependencies from outside the workspace that have migrations.
#[derive(Debug)]
struct Libraries {
    /// Those that the packages at work depend on, directly or through others.
    near: Vec<Carrier>,
    /// Those of the other members alone.
    far: Vec<Carrier>,
}

/// What a package is looked for by.
#[derive(Clone, Copy, Debug)]
enum Wanted<'a> {
    Key(&'a str),
    Name(&'a str),
}

impl Wanted<'_> {
    fn is(self, carrier: &&Carrier) -> bool {
        match self {
            Self::Key(key) => carrier.key == key,
            Self::Name(name) => carrier.package.name.as_str() == name,
        }
    }
}

impl Neighbours {
    pub(super) fn new(workspace: Workspace, selected: Vec<PackageId>) -> Self {
        Self { workspace, selected, members: OnceLock::new(), libraries: OnceLock::new() }
    }

    /// The package whose key in the version table this is: what its setting `name` says, else what the lock of its
    /// migrations folder records, else its name. A member of the workspace goes before a library.
    ///
    /// # Errors
    /// Cargo cannot tell the dependencies, two packages have this key, or the package's settings have problems.
    pub fn by_key(&self, context: &Context, key: &str) -> Result<Option<Project>> {
        self.find(context, Wanted::Key(key))
    }

    /// The package that cargo knows by this name, where it has migrations. The name is the one in its own manifest,
    /// whatever a `[dependencies]` calls it.
    ///
    /// # Errors
    /// As [`Neighbours::by_key`].
    pub fn by_name(&self, context: &Context, name: &str) -> Result<Option<Project>> {
        self.find(context, Wanted::Name(name))
    }

    /// Several packages have migrations, and nothing says which are meant.
    pub(super) fn unsaid(&self) -> Problem {
        let members = self.workspace.members();
        let selected: Vec<_> = members.into_iter().filter(|member| self.selected.contains(&member.id)).collect();
        selection::unsaid(&self.workspace, &selected)
    }

    fn find(&self, context: &Context, wanted: Wanted<'_>) -> Result<Option<Project>> {
        if let Some(member) = only(self.members(), wanted)? {
            // What the command line says of a folder and a key is about the package at work.
            let unsaid = Selection::default();
            return Project::of_member(context, &unsaid, &self.workspace, &member.package).map(Some);
        }
        let Libraries { near, far } = self.libraries(context)?;
        let library = match only(near, wanted)? {
            Some(library) => Some(library),
            None => only(far, wanted)?,
        };
        library.map(|library| Project::of_library(context, &library.package, &library.key)).transpose()
    }

    fn members(&self) -> &[Carrier] {
        self.members.get_or_init(|| {
            let members = self.workspace.members();
            let migrating = selection::migrating(&self.workspace, &members);
            migrating.into_iter().map(|member| carrier(member, &self.workspace.migrations(member))).collect()
        })
    }

    fn libraries(&self, context: &Context) -> Result<&Libraries, Problem> {
        let read = || {
            let metadata = workspace::dependencies(context, self.workspace.manifest())?;
            Ok(Libraries::of(&metadata, &self.selected))
        };
        self.libraries.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

impl Libraries {
    fn of(metadata: &Metadata, selected: &[PackageId]) -> Self {
        let near = reached(metadata, selected);
        let all = reached(metadata, &metadata.workspace_members);
        let carriers = metadata
            .packages
            .iter()
            .filter(|package| all.contains(&package.id) && !metadata.workspace_members.contains(&package.id));
        let carriers = carriers.filter_map(|package| {
            let migrations = workspace::written_folder(&package.metadata).unwrap_or("migrations");
            let migrations = workspace::folder(package).join(migrations);
            let carries = !workspace::table(&package.metadata).is_null() || migrations.join(LOCK_FILE).is_file();
            carries.then(|| carrier(package, &migrations))
        });
        let (near, far) = carriers.partition(|carrier| near.contains(&carrier.package.id));
        Self { near, far }
    }
}

/// The packages and all that they depend on.
fn reached<'m>(metadata: &'m Metadata, from: &'m [PackageId]) -> HashSet<&'m PackageId> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let dependencies: HashMap<_, _> = nodes.map(|node| (&node.id, &node.dependencies)).collect();
    let mut reached = HashSet::new();
    let mut next: Vec<&PackageId> = from.iter().collect();
    while let Some(id) = next.pop() {
        if reached.insert(id) {
            next.extend(dependencies.get(id).into_iter().copied().flatten());
        }
    }
    reached
}

/// A package with its key, read without complaint: what is wrong with its settings or its lock is told when it is
/// opened.
fn carrier(package: &Package, migrations: &Path) -> Carrier {
    let named = || workspace::table(&package.metadata).get("name").and_then(Value::as_str).map(str::to_owned);
    let recorded = || Directory::new(migrations, migrations).read_locks().ok()?.shared.package().map(str::to_owned);
    let key = named().or_else(recorded).unwrap_or_else(|| package.name.to_string());
    Carrier { package: package.clone(), key }
}

/// The one that is wanted.
fn only<'c>(carriers: &'c [Carrier], wanted: Wanted<'_>) -> Result<Option<&'c Carrier>, Problem> {
    let found: Vec<_> = carriers.iter().filter(|carrier| wanted.is(carrier)).collect();
    let [first, second, ..] = found.as_slice() else { return Ok(found.first().copied()) };
    let shown = |carrier: &Carrier| format!("{} {}", carrier.package.name, carrier.package.version);
    let what = match wanted {
        Wanted::Key(key) => format!("several packages with migrations have the key `{}`", printable(key)),
        Wanted::Name(name) => format!("several packages with migrations are named `{}`", printable(name)),
    };
    let problem = Problem::new(NO_PACKAGE, what)
        .in_file(first.package.manifest_path.as_std_path())
        .in_file(second.package.manifest_path.as_std_path())
        .note(format!("they are {}", found.iter().map(|it| shown(it)).collect::<Vec<_>>().join(", ")));
    Err(match first.package.name == second.package.name {
        true => problem.help(format!(
            "let all that depend on it take one version: `cargo tree -i {}@{}`",
            first.package.name, first.package.version
        )),
        false => problem.help("give one of them another key: `name = \"KEY\"` below `[package.metadata.migrate]`"),
    })
}
