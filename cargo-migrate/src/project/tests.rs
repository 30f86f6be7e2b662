//! Real projects in temporary folders, read by the real cargo.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;

mod naming;
mod selecting;

/// A folder with packages in it, removed at the end.
pub(super) struct World {
    folder: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        Self::named("project")
    }

    /// A workspace without a package in its root, and with these members, of which each has migrations.
    fn workspace(members: &[&str]) -> Self {
        let world = Self::new();
        world.write("Cargo.toml", VIRTUAL);
        members.iter().for_each(|name| world.member(name, METADATA));
        world
    }

    fn named(prefix: &str) -> Self {
        Self { folder: tempfile::Builder::new().prefix(prefix).tempdir().unwrap() }
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(below).components().collect()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A package with an empty library.
    pub(super) fn package(&self, folder: &str, manifest: &str) {
        self.write(format!("{folder}/Cargo.toml").trim_start_matches('/'), manifest);
        self.write(format!("{folder}/src/lib.rs").trim_start_matches('/'), "");
    }

    fn member(&self, name: &str, more: &str) {
        self.package(name, &format!("[package]\nname = '{name}'\nversion = '1.2.3'\n{more}"));
    }

    pub(super) fn context(&self, below: &str) -> Context {
        self.context_with(below, &[])
    }

    pub(super) fn context_with(&self, below: &str, variables: &[(&str, &str)]) -> Context {
        let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Context::new(self.path(below), variables, Timestamp::UNIX_EPOCH)
    }

    pub(super) fn open(&self, below: &str) -> Result<Project> {
        Project::open(&self.context(below), &Selection::default())
    }

    fn open_all(&self, below: &str, selection: Selection) -> Result<Selected> {
        Project::open_all(&self.context(below), &selection)
    }

    /// The keys of the packages that are meant.
    fn keys(&self, below: &str, selection: Selection) -> Vec<String> {
        self.open_all(below, selection).unwrap().keys()
    }

    fn open_with(&self, below: &str, selection: Selection) -> Result<Project> {
        Project::open(&self.context(below), &selection)
    }
}

impl Selected {
    fn keys(&self) -> Vec<String> {
        self.projects.iter().map(|project| project.key().to_owned()).collect()
    }
}

/// All that a failure says.
pub(super) fn problem_of<T: Debug>(result: Result<T>) -> String {
    result.unwrap_err().problems().iter().map(|problem| format!("{problem:?}\n")).collect()
}

fn package(name: &str) -> Selection {
    packages(&[name])
}

fn packages(specs: &[&str]) -> Selection {
    Selection { packages: specs.iter().map(ToString::to_string).collect(), ..Selection::default() }
}

fn whole_workspace(exclude: &[&str]) -> Selection {
    let exclude = exclude.iter().map(ToString::to_string).collect();
    Selection { workspace: true, exclude, ..Selection::default() }
}

const VIRTUAL: &str = "[workspace]\nresolver = '3'\nmembers = ['*']\nexclude = ['target', 'docs']\n";
const METADATA: &str = "[package.metadata.migrate]\n";

#[test]
fn a_package_is_found_from_a_subfolder_of_a_path_with_spaces_and_umlauts() {
    let world = World::named("größe und maß ");
    world.package("", "[package]\nname = 'todo'\n");
    let project = world.open("src").unwrap();
    assert_eq!((project.package(), project.key()), (Some("todo"), "todo"));
    assert_eq!(project.root(), world.path(""));
    assert_eq!(project.workspace_root(), world.path(""));
    assert_eq!(project.migrations(), world.path("migrations"));
    assert_eq!(project.migrations_shown(), PathBuf::from("../migrations"));
    assert_eq!(project.show_path(&world.path("src/lib.rs")), PathBuf::from("lib.rs"));
    assert_eq!(project.show_path(&world.path("a.db")), world.path("a.db"));
    assert!(!project.is_configured() && project.target_directory().is_some());
    fs::create_dir(world.path("migrations")).unwrap();
    assert!(project.is_configured());
}

#[test]
fn the_variables_of_cargo_run_do_not_move_the_project() {
    let world = World::new();
    world.package("", "[package]\nname = 'mine'\n");
    let context = world.context_with("", &[("CARGO_MANIFEST_DIR", "/nowhere"), ("CARGO_PKG_NAME", "other")]);
    assert_eq!(Project::open(&context, &Selection::default()).unwrap().package(), Some("mine"));
}

#[test]
fn a_virtual_root_means_its_only_member_with_migrations() {
    let world = World::new();
    world.package("", VIRTUAL);
    fs::remove_dir_all(world.path("src")).unwrap();
    world.member("app", "");
    world.member("store", "");
    let shown = problem_of(world.open(""));
    assert!(shown.contains("`cargo migrate init -p NAME`") && shown.contains("app, store"), "{shown}");

    world.write("store/migrations/migrate.lock", "");
    assert_eq!(world.open("").unwrap().package(), Some("store"));
    assert_eq!(world.open("app").unwrap().package(), Some("app"));

    world.member("app", METADATA);
    let shown = problem_of(world.open(""));
    assert!(shown.contains("[no-package]") && shown.contains("`-p app`"), "{shown}");
    assert_eq!(world.open_with("", package("store")).unwrap().root(), world.path("store"));
    assert_eq!(world.open_with("app", package("store@1.2.3")).unwrap().package(), Some("store"));
    assert!(problem_of(world.open_with("", package("store@2.0.0"))).contains("1.2.3"));
    let shown = problem_of(world.open_with("", package("stroe")));
    assert!(shown.contains("[unknown-package]") && shown.contains("write `-p store`"), "{shown}");
    assert_eq!(world.keys("", Selection::default()), ["app", "store"]);
}

#[test]
fn a_root_package_without_migrations_gives_way_to_its_member_that_has_some() {
    let world = World::new();
    world.package("", "[package]\nname = 'root'\n[workspace]\nmembers = ['store']\n");
    world.member("store", METADATA);
    assert_eq!(world.open("").unwrap().package(), Some("store"));
    assert_eq!(world.open("src").unwrap().package(), Some("store"));
    fs::create_dir(world.path("migrations")).unwrap();
    assert_eq!(world.open("").unwrap().package(), Some("root"));
}

#[test]
fn workspace_defaults_are_relative_to_the_workspace_for_databases_and_to_the_package_for_folders() {
    let world = World::new();
    world.write(
        "Cargo.toml",
        &format!(
            "{VIRTUAL}[workspace.metadata.migrate]\nmigrations = 'db'\ndatabases = {{ dev = 'sqlite:shop.db' }}\n"
        ),
    );
    world.member("store", METADATA);
    let project = world.open("").unwrap();
    assert_eq!(project.migrations(), world.path("store/db"));
    assert_eq!(project.migrations_shown(), PathBuf::from("store/db"));
    assert_eq!(project.databases().collect::<Vec<_>>(), ["dev"]);
    assert_eq!(
        project.database(&world.context("store"), None).unwrap().url.file(),
        Some(world.path("shop.db").as_path())
    );
}

#[test]
fn the_env_file_of_the_workspace_stands_behind_the_packages_own() {
    let world = World::new();
    world.write("Cargo.toml", VIRTUAL);
    world.member("store", METADATA);
    world.write(".env", "DATABASE_URL=sqlite:outer.db\n");
    let project = world.open("store").unwrap();
    let chosen = || project.database(&world.context("store"), None).unwrap().url.file().unwrap().to_owned();
    assert_eq!(chosen(), world.path("outer.db"));
    world.write("store/.env", "DATABASE_URL=sqlite:inner.db\n");
    assert_eq!(chosen(), world.path("store/inner.db"));
}

#[test]
fn a_typo_in_the_configuration_is_pointed_at() {
    let world = World::new();
    world.package("", "[package]\nname = 'todo'\n\n[package.metadata.migrate]\nmigratons = 'db'\nwiat = 3\n");
    let shown = problem_of(world.open(""));
    assert!(shown.contains("Cargo.toml:5:1: `migratons` is not a key"), "{shown}");
    assert!(shown.contains("Cargo.toml:6:1: `wiat`") && shown.contains("write `wait`"), "{shown}");
}

#[test]
fn the_configured_name_is_the_key_and_the_flag_goes_before_it() {
    let world = World::new();
    world.package("", "[package]\nname = 'todo'\n[package.metadata.migrate]\nname = 'tasks'\n");
    assert_eq!(world.open("").unwrap().key(), "tasks");
    let named = |name: &str| Selection { name: Some(name.to_owned()), ..Selection::default() };
    assert_eq!(world.open_with("", named("old")).unwrap().key(), "old");
    assert!(problem_of(world.open_with("", named("a/b"))).contains("[usage]"));
}

#[test]
fn without_a_manifest_there_is_no_project_but_a_folder_is_enough() {
    let world = World::new();
    world.write("migrations/migrate.lock", "");
    let shown = problem_of(world.open(""));
    assert!(shown.contains("[no-project]") && shown.contains("--migrations DIR"), "{shown}");
    assert!(shown.contains("--manifest-path"), "{shown}");

    let folder = Selection { migrations: Some("migrations".into()), ..Selection::default() };
    let project = world.open_with("", folder.clone()).unwrap();
    assert_eq!((project.key(), project.package(), project.manifest()), ("main", None, None));
    assert_eq!(project.migrations(), world.path("migrations"));
    assert!(project.is_configured());
    let shown = problem_of(project.database(&world.context(""), None));
    assert!(shown.contains("`-d sqlite:FILE`") && !shown.contains("manifest"), "{shown}");
    let named = Selection { name: Some("todo".to_owned()), ..folder };
    assert_eq!(world.open_with("", named).unwrap().key(), "todo");
}

#[test]
fn a_folder_inside_a_workspace_belongs_to_the_member_that_configures_it() {
    let world = World::new();
    world.write("Cargo.toml", VIRTUAL);
    world.member("app", METADATA);
    world.member("store", METADATA);
    fs::create_dir(world.path("store/migrations")).unwrap();
    let folder = Selection { migrations: Some("store/migrations".into()), ..Selection::default() };
    assert_eq!(world.open_with("", folder).unwrap().key(), "store");
}

#[test]
fn a_broken_manifest_is_told_in_cargos_words_and_never_worked_around_in_silence() {
    let world = World::new();
    world.write("Cargo.toml", "[package]\nname = \n");
    let shown = problem_of(world.open(""));
    assert!(shown.contains("[cargo-metadata]") && shown.contains("note: error:"), "{shown}");
    let folder = Selection { migrations: Some("migrations".into()), ..Selection::default() };
    assert!(problem_of(world.open_with("", folder.clone())).contains("--name PACKAGE"));
    let named = Selection { name: Some("todo".to_owned()), ..folder };
    assert_eq!(world.open_with("", named).unwrap().key(), "todo");
}

#[test]
fn a_manifest_can_be_named_from_elsewhere() {
    let world = World::new();
    world.package("deep/todo", "[package]\nname = 'todo'\n");
    let named = |path: &str| Selection { manifest_path: Some(path.into()), ..Selection::default() };
    assert_eq!(world.open_with("", named("deep/todo/Cargo.toml")).unwrap().package(), Some("todo"));
    assert_eq!(world.open_with("", named("deep/todo")).unwrap().root(), world.path("deep/todo"));
    assert!(problem_of(world.open_with("", named("deep"))).contains("[no-project]"));
}

#[test]
fn a_cargo_that_cannot_be_started_is_told() {
    let world = World::new();
    world.package("", "[package]\nname = 'todo'\n");
    let context = world.context_with("", &[("CARGO", "/nowhere/cargo")]);
    assert!(problem_of(Project::open(&context, &Selection::default())).contains("could not be started"));
}
