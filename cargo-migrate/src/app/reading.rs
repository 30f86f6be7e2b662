//! Reading migrations folders while cargo still tells which packages there are: both take as long, so both are done at
//! once where the folders can be guessed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use build_support::directory::{Directory, Locks};
use build_support::migration::Migration;
use build_support::problem::Problem;

use super::App;
use crate::failure::Result;
use crate::project::{Project, Selected, Selection};
use crate::side_by_side;

/// Where a project's migrations are if nothing is said.
const USUAL_FOLDER: &str = "migrations";

/// What was read of a migrations folder; what is wrong with it counts once the folder turns out to be meant.
#[derive(Debug)]
pub(super) struct FolderRead {
    pub(super) directory: Directory,
    pub(super) migrations: std::result::Result<Vec<Migration>, Vec<Problem>>,
    pub(super) locks: std::result::Result<Locks, Vec<Problem>>,
}

impl FolderRead {
    pub(super) fn of(directory: Directory) -> Self {
        Self { migrations: directory.read(), locks: directory.read_locks(), directory }
    }
}

/// What was read ahead, by the folder and by how it is shown.
#[derive(Debug, Default)]
pub(super) struct ReadAhead(HashMap<(PathBuf, PathBuf), FolderRead>);

impl ReadAhead {
    /// What was read of a project's folder, where it was.
    pub(super) fn take(&mut self, project: &Project) -> Option<FolderRead> {
        self.0.remove(&(project.migrations().to_owned(), project.migrations_shown()))
    }
}

impl App<'_> {
    pub(super) fn selection(&self) -> Selection {
        let global = self.global;
        Selection {
            manifest_path: global.manifest_path.clone(),
            packages: global.package.clone(),
            workspace: global.workspace,
            exclude: global.exclude.clone(),
            migrations: global.migrations.clone(),
            name: global.name.clone(),
        }
    }

    /// The packages that are meant, with what was read of their folders meanwhile.
    pub(super) fn select(&self) -> Result<(Selected, ReadAhead)> {
        self.reading_ahead(true, || Project::open_all(self.context, &self.selection()))
    }

    /// Asks cargo, and meanwhile reads the folders that it will most likely name: of the one package here, or of
    /// `several`.
    pub(super) fn reading_ahead<T>(&self, several: bool, ask: impl FnOnce() -> Result<T>) -> Result<(T, ReadAhead)> {
        let folders = self.guessed(several);
        let read = Mutex::new(ReadAhead::default());
        let work = |at: usize| {
            let (path, shown) = &folders[at];
            let found = FolderRead::of(Directory::new(path, shown));
            if let Ok(mut read) = read.lock() {
                read.0.insert((path.clone(), shown.clone()), found);
            }
        };
        let answer = std::thread::scope(|scope| {
            // Cargo is a process of its own, which this thread only waits for.
            scope.spawn(|| side_by_side::each(side_by_side::processors(), folders.len(), work));
            ask()
        })?;
        Ok((answer, read.into_inner().unwrap_or_default()))
    }

    /// The folders that the packages most likely have: the one here, or those of the workspace's members as its manifest
    /// lists them. Each absolute, and as messages show it.
    fn guessed(&self, several: bool) -> Vec<(PathBuf, PathBuf)> {
        let global = self.global;
        if global.manifest_path.is_some() || global.migrations.is_some() {
            return Vec::new();
        }
        let here = self.context.working_directory();
        let Ok(manifest) = std::fs::read_to_string(here.join("Cargo.toml")) else { return Vec::new() };
        let usual = |below: &Path| {
            let shown = below.join(USUAL_FOLDER);
            let folder = here.join(&shown);
            folder.is_dir().then_some((folder, shown))
        };
        let own = usual(Path::new(""));
        let said = global.workspace || !global.package.is_empty();
        if !several || own.is_some() && !said {
            return own.into_iter().filter(|_| !said).collect();
        }
        let members = members(&manifest, here).into_iter().filter_map(|member| usual(&member));
        own.into_iter().chain(members).collect()
    }
}

/// The members' folders, relative to the workspace's, without those that lead out of it.
fn members(manifest: &str, root: &Path) -> Vec<PathBuf> {
    let Ok(document) = toml_edit::Document::parse(manifest) else { return Vec::new() };
    let listed = document.get("workspace").and_then(|it| it.get("members")).and_then(|it| it.as_array());
    let mut found = Vec::new();
    for member in listed.into_iter().flatten().filter_map(|member| member.as_str()) {
        match member.strip_suffix('*').map(|folder| folder.trim_end_matches('/')) {
            Some(folder) if !folder.contains(['*', '?', '[']) => {
                let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
                let mut names: Vec<PathBuf> = entries.map(|entry| Path::new(folder).join(entry.file_name())).collect();
                names.sort();
                found.extend(names);
            }
            _ => found.push(PathBuf::from(member)),
        }
    }
    found
}
