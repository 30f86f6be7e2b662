//! Packages that are found by what `depends` and `libraries` name them.

use super::*;

impl World {
    /// A package outside the workspace with a migrations folder that has a lock.
    fn library(&self, folder: &str, name: &str, version: &str, key: &str) {
        self.package(folder, &format!("[package]\nname = '{name}'\nversion = '{version}'\nedition = '2024'\n"));
        self.write(&format!("{folder}/migrations/migrate.lock"), &format!("format 1\npackage {key}\n"));
    }

    fn by_key(&self, below: &str, key: &str) -> Result<Option<Project>> {
        let context = self.context(below);
        Project::open_all(&context, &Selection::default())?.neighbours.unwrap().by_key(&context, key)
    }

    fn by_name(&self, below: &str, name: &str) -> Result<Option<Project>> {
        let context = self.context(below);
        Project::open_all(&context, &Selection::default())?.neighbours.unwrap().by_name(&context, name)
    }
}

/// A workspace in `app`, beside which there is room for others.
fn beside(dependencies: &str) -> World {
    let world = World::new();
    world.write("app/Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['shop', 'admin']\n");
    world.member_in("app", "shop", &format!("{METADATA}\n[dependencies]\n{dependencies}"));
    world.member_in("app", "admin", METADATA);
    world
}

impl World {
    fn member_in(&self, workspace: &str, name: &str, more: &str) {
        let text = format!("[package]\nname = '{name}'\nversion = '1.2.3'\nedition = '2024'\n{more}");
        self.package(&format!("{workspace}/{name}"), &text);
    }
}

#[test]
fn a_member_that_was_not_selected_is_found_by_its_key_or_its_name_and_is_no_library() {
    let world = World::workspace(&["orders"]);
    world.member("accounts", "[package.metadata.migrate]\nname = 'users'\n");
    world.member("web", "");
    let accounts = world.by_key("orders", "users").unwrap().unwrap();
    assert_eq!((accounts.package(), accounts.key(), accounts.is_library()), (Some("accounts"), "users", false));
    assert_eq!(accounts.migrations(), world.path("accounts/migrations"));
    assert!(world.by_key("orders", "accounts").unwrap().is_none());
    assert_eq!(world.by_name("orders", "accounts").unwrap().unwrap().key(), "users");
    assert_eq!(world.by_key("orders", "orders").unwrap().unwrap().key(), "orders");
    assert!(world.by_name("orders", "web").unwrap().is_none());
}

#[test]
fn a_folder_and_a_key_on_the_command_line_are_not_those_of_a_neighbour() {
    let world = World::workspace(&["orders", "accounts"]);
    let selection =
        Selection { migrations: Some("orders/db".into()), name: Some("mine".to_owned()), ..package("orders") };
    let context = world.context("");
    let selected = Project::open_all(&context, &selection).unwrap();
    assert_eq!(selected.projects[0].migrations(), world.path("orders/db"));
    let accounts = selected.neighbours.unwrap().by_key(&context, "accounts").unwrap().unwrap();
    assert_eq!((accounts.key(), accounts.migrations()), ("accounts", world.path("accounts/migrations").as_path()));
}

#[test]
fn a_path_dependency_outside_the_workspace_is_a_library_whatever_it_is_called() {
    let world = beside("jobs = { package = 'queue', path = '../../queue' }\n");
    world.library("queue", "queue", "0.3.0", "queue");
    for found in [world.by_key("app/shop", "queue"), world.by_name("app/shop", "queue"), world.by_key("app", "queue")] {
        let queue = found.unwrap().unwrap();
        assert_eq!((queue.package(), queue.key(), queue.is_library()), (Some("queue"), "queue", true));
        assert_eq!((queue.root(), queue.migrations()), (&*world.path("queue"), &*world.path("queue/migrations")));
        assert_eq!(queue.databases().count(), 0);
    }
    assert!(world.by_name("app/shop", "jobs").unwrap().is_none());
    assert!(world.by_key("app/shop", "unknown").unwrap().is_none());
}

#[test]
fn a_library_is_found_by_the_key_that_its_lock_records_and_by_the_one_in_its_manifest() {
    let world = beside("queue-fork = { path = '../../fork' }\nmail = { path = '../../mail' }\n");
    world.library("fork", "queue-fork", "9.0.0", "queue");
    world.package(
        "mail",
        "[package]\nname = 'mail'\n[package.metadata.migrate]\nname = 'letters'\nmigrations = 'db/steps'\n\
         keep = 0\nfuture = true\ndatabases = 7\ndatabase = 'dev'\n",
    );
    let fork = world.by_key("app/shop", "queue").unwrap().unwrap();
    assert_eq!((fork.package(), fork.key()), (Some("queue-fork"), "queue"));
    assert_eq!(world.by_name("app/shop", "queue-fork").unwrap().unwrap().key(), "queue");

    // What else its manifest says is for those who work on it.
    let mail = world.by_key("app/shop", "letters").unwrap().unwrap();
    assert_eq!(mail.migrations(), world.path("mail/db/steps"));
    assert_eq!((mail.databases().count(), mail.settings().keep), (0, 5));
    assert!(world.by_key("app/shop", "mail").unwrap().is_none());
}

#[test]
fn a_library_whose_folder_cannot_be_understood_is_told_at_its_line() {
    let world = beside("mail = { path = '../../mail' }\n");
    world.package("mail", "[package]\nname = 'mail'\n[package.metadata.migrate]\nkeep = 0\nmigrations = '/srv'\n");
    let shown = problem_of(world.by_key("app/shop", "mail"));
    assert!(shown.contains("[invalid-setting]") && shown.contains("mail/Cargo.toml:5:14"), "{shown}");
    assert!(!shown.contains("`keep`"), "{shown}");
}

#[test]
fn a_dependency_of_a_dependency_is_found_and_one_without_migrations_is_not() {
    let world = beside("middle = { path = '../../middle' }\n");
    world.package(
        "middle",
        "[package]\nname = 'middle'\nedition = '2024'\n[dependencies]\nqueue = { path = '../queue' }\n",
    );
    world.library("queue", "queue", "0.3.0", "queue");
    assert!(world.by_key("app/shop", "queue").unwrap().unwrap().is_library());
    assert!(world.by_key("app/shop", "middle").unwrap().is_none());
    // A folder of that name is not enough: it may be anything.
    fs::create_dir(world.path("middle/migrations")).unwrap();
    assert!(world.by_name("app/shop", "middle").unwrap().is_none());
}

#[test]
fn a_library_of_another_member_is_found_where_the_package_itself_has_none() {
    let world = beside("queue = { path = '../../queue-2' }\n");
    let admin = "\n[dependencies]\nqueue = { path = '../../queue-1' }\nmail = { path = '../../mail' }\n";
    world.member_in("app", "admin", &format!("{METADATA}{admin}"));
    world.library("queue-1", "queue", "1.0.0", "queue");
    world.library("queue-2", "queue", "2.0.0", "queue");
    world.library("mail", "mail", "1.0.0", "mail");
    assert_eq!(world.by_key("app/shop", "queue").unwrap().unwrap().root(), world.path("queue-2"));
    assert_eq!(world.by_key("app/admin", "queue").unwrap().unwrap().root(), world.path("queue-1"));
    assert_eq!(world.by_key("app/shop", "mail").unwrap().unwrap().root(), world.path("mail"));
}

#[test]
fn two_versions_of_one_library_are_told_apart_by_nobody() {
    let world =
        beside("queue = { path = '../../queue-1' }\nqueue_next = { package = 'queue', path = '../../queue-2' }\n");
    world.library("queue-1", "queue", "1.0.0", "queue");
    world.library("queue-2", "queue", "2.0.0-beta.1", "queue");
    for found in [world.by_key("app/shop", "queue"), world.by_name("app/shop", "queue")] {
        let shown = problem_of(found);
        assert!(shown.contains("[no-package]") && shown.contains("`queue`"), "{shown}");
        assert!(shown.contains("queue 1.0.0") && shown.contains("queue 2.0.0-beta.1"), "{shown}");
        assert!(shown.contains("`cargo tree -i queue@"), "{shown}");
    }
}

#[test]
fn two_members_with_one_key_are_refused_when_it_is_named() {
    let world = World::workspace(&["orders", "queue"]);
    world.member("jobs", "[package.metadata.migrate]\nname = 'queue'\n");
    let shown = problem_of(world.by_key("orders", "queue"));
    assert!(shown.contains("jobs 1.2.3") && shown.contains("queue 1.2.3"), "{shown}");
    assert!(shown.contains("give one of them another key"), "{shown}");
}

/// A source as `cargo vendor` makes one.
fn vendored(world: &World, folder: &str) {
    world.write(
        "app/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'\n",
    );
    world.library(&format!("app/vendor/{folder}"), "queue", "0.3.1", "queue");
    world.write(&format!("app/vendor/{folder}/.cargo-checksum.json"), "{\"files\":{}}");
}

#[test]
fn a_vendored_library_is_found_without_the_network() {
    let world = beside("queue = '0.3'\n");
    vendored(&world, "queue");
    let queue = world.by_key("app/shop", "queue").unwrap().unwrap();
    assert_eq!((queue.is_library(), queue.migrations()), (true, &*world.path("app/vendor/queue/migrations")));
}

#[test]
fn dependencies_that_are_not_on_this_machine_are_told_in_cargos_words() {
    let world = beside("queue = '0.3'\nmissing = '1'\n");
    vendored(&world, "queue");
    assert_eq!(world.keys("app/shop", Selection::default()), ["shop"]);
    assert!(!world.by_key("app/shop", "admin").unwrap().unwrap().is_library());
    let context = world.context("app/shop");
    let neighbours = Project::open_all(&context, &Selection::default()).unwrap().neighbours.unwrap();
    for _ in 0..2 {
        let shown = problem_of(neighbours.by_key(&context, "queue"));
        assert!(shown.contains("[cargo-metadata]") && shown.contains("no matching package named `missing`"), "{shown}");
        assert!(shown.contains("`cargo fetch`"), "{shown}");
    }
}

#[test]
#[cfg(unix)]
fn what_only_another_system_needs_does_not_have_to_be_downloaded() {
    // Given a registry that lists a package whose archive is not there
    let world = beside("queue = { path = '../../queue' }\n[target.'cfg(windows)'.dependencies]\nwindowsonly = '1'\n");
    world.library("queue", "queue", "0.3.0", "queue");
    let config = "[source.crates-io]\nreplace-with = 'local'\n[source.local]\nlocal-registry = 'registry'\n";
    world.write("app/.cargo/config.toml", config);
    let entry = serde_json::json!({
        "name": "windowsonly", "vers": "1.0.0", "deps": [], "features": {}, "yanked": false, "cksum": "0".repeat(64),
    });
    world.write("app/registry/index/wi/nd/windowsonly", &format!("{entry}\n"));
    let all = std::process::Command::new("cargo")
        .args(["metadata", "--offline", "--format-version", "1"])
        .current_dir(world.path("app"))
        .output();
    assert!(!all.unwrap().status.success(), "cargo tells the dependencies of all systems without the archive");
    // Then the library is found all the same
    assert!(world.by_key("app/shop", "queue").unwrap().unwrap().is_library());
}

#[test]
#[cfg(unix)]
fn cargo_is_asked_for_dependencies_once_and_only_when_a_name_is_no_members() {
    use std::os::unix::fs::PermissionsExt as _;
    // Given a cargo that writes down what it is asked
    let world = beside("queue = { path = '../../queue' }\n");
    world.library("queue", "queue", "0.3.0", "queue");
    let log = world.path("asked");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\nexec cargo \"$@\"\n", log.display());
    world.write("logging-cargo", &script);
    fs::set_permissions(world.path("logging-cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let context = world.context_with("app", &[("CARGO", world.path("logging-cargo").to_str().unwrap())]);
    let asked = || fs::read_to_string(&log).unwrap().lines().map(|line| line.contains("--no-deps")).collect::<Vec<_>>();

    // When packages are opened, and members are named
    let selected = Project::open_all(&context, &Selection::default()).unwrap();
    let neighbours = selected.neighbours.unwrap();
    for name in ["shop", "admin"] {
        assert!(neighbours.by_key(&context, name).unwrap().is_some());
        assert!(neighbours.by_name(&context, name).unwrap().is_some());
    }
    // Then it has told of the members alone
    assert_eq!(asked(), [true]);

    // When libraries are named
    assert!(neighbours.by_key(&context, "queue").unwrap().is_some());
    assert!(neighbours.by_name(&context, "queue").unwrap().is_some());
    assert!(neighbours.by_key(&context, "unknown").unwrap().is_none());
    // Then it has told of the dependencies, once and offline
    assert_eq!(asked(), [true, false]);
    assert!(fs::read_to_string(&log).unwrap().lines().nth(1).unwrap().contains("--offline"));
}
