//! Which packages are meant by `-p`, `--workspace` and `--exclude`, and by the folder that a command is typed in.

use super::*;

#[test]
fn a_glob_means_the_packages_it_matches_that_have_migrations() {
    let world = World::workspace(&["shop-accounts", "shop-orders", "queue"]);
    world.member("shop-web", "");
    assert_eq!(world.keys("", package("shop-*")), ["shop-accounts", "shop-orders"]);
    assert_eq!(world.keys("queue", package("*-acc?unts")), ["shop-accounts"]);
    assert_eq!(world.keys("", packages(&["[q-r]ueue", "shop-orders@1.2", "queue"])), ["queue", "shop-orders"]);
    assert_eq!(world.open_with("", package("*queue")).unwrap().key(), "queue");

    let shown = problem_of(world.open_all("", package("shopp-*")));
    assert!(shown.contains("[unknown-package]") && shown.contains("matches `shopp-*`"), "{shown}");
    assert!(shown.contains("queue, shop-accounts, shop-orders, shop-web"), "{shown}");
    let shown = problem_of(world.open_all("", package("*-web")));
    assert!(shown.contains("[no-package]") && shown.contains("it matches shop-web"), "{shown}");
    assert!(problem_of(world.open_all("", package("shop[*"))).contains("[usage]"));
}

#[test]
fn a_package_without_migrations_can_be_named_since_init_gives_it_some() {
    let world = World::workspace(&["shop"]);
    world.member("web", "");
    assert_eq!(world.keys("", package("web")), ["web"]);
    assert_eq!(world.keys("shop", packages(&["web", "shop"])), ["shop", "web"]);
}

#[test]
fn a_version_may_be_written_short_and_has_to_be_that_of_the_package() {
    let world = World::workspace(&["shop"]);
    for spec in ["shop@1", "shop@1.2", "shop@1.2.3"] {
        assert_eq!(world.keys("", package(spec)), ["shop"], "{spec}");
    }
    for spec in ["shop@1.2.3.4", "shop@1.2.", "shop@12", "shop@"] {
        assert!(problem_of(world.open_all("", package(spec))).contains("[unknown-package]"), "{spec}");
    }
}

#[test]
fn the_workspace_is_all_members_with_migrations_but_those_that_are_excluded() {
    let world = World::workspace(&["accounts", "docs", "orders", "shop-old", "shop-older"]);
    world.member("web", "");
    // The workspace's own `exclude` has `docs`.
    assert_eq!(world.keys("", whole_workspace(&[])), ["accounts", "orders", "shop-old", "shop-older"]);
    assert_eq!(world.keys("accounts", whole_workspace(&["shop-*", "web"])), ["accounts", "orders"]);
    assert_eq!(world.keys("docs", Selection::default()), ["docs"]);

    let shown = problem_of(world.open_all("", whole_workspace(&["acounts"])));
    assert!(shown.contains("[unknown-package]") && shown.contains("write `--exclude accounts`"), "{shown}");
    assert!(problem_of(world.open_all("", whole_workspace(&["x-*"]))).contains("[unknown-package]"));
    let shown = problem_of(world.open_all("", whole_workspace(&["*"])));
    assert!(shown.contains("[no-package]") && shown.contains("accounts, orders, shop-old, shop-older"), "{shown}");
}

#[test]
fn a_workspace_in_which_nothing_has_migrations_is_told_so() {
    let world = World::workspace(&[]);
    world.member("web", "");
    for selection in [whole_workspace(&[]), Selection::default()] {
        let shown = problem_of(world.open_all("", selection));
        assert!(shown.contains("[no-package]") && shown.contains("`cargo migrate init -p NAME`"), "{shown}");
    }
}

#[test]
fn what_does_not_go_together_is_a_misuse() {
    let world = World::workspace(&["accounts", "orders"]);
    let named = |selection: Selection| Selection { name: Some("x".to_owned()), ..selection };
    let in_folder = |selection: Selection| Selection { migrations: Some("migrations".into()), ..selection };
    let excluding = |selection: Selection| Selection { exclude: vec!["orders".to_owned()], ..selection };
    for selection in [
        Selection { workspace: true, ..package("orders") },
        named(whole_workspace(&[])),
        in_folder(whole_workspace(&[])),
        named(packages(&["accounts", "orders"])),
        in_folder(package("*s")),
        excluding(Selection::default()),
        excluding(package("accounts")),
    ] {
        for failure in
            [world.open_all("", selection.clone()).unwrap_err(), world.open_with("", selection.clone()).unwrap_err()]
        {
            assert_eq!(failure.exit(), Exit::Misused, "{selection:?}");
        }
    }
    assert_eq!(world.keys("", named(packages(&["orders", "o*"]))), ["x"]);
}

#[test]
fn in_the_root_of_a_workspace_all_are_read_and_none_is_written_until_somebody_says_so() {
    let world = World::workspace(&["accounts", "orders"]);
    let unsaid = world.open_all("", Selection::default()).unwrap();
    assert_eq!((unsaid.keys(), unsaid.is_said), (vec!["accounts".to_owned(), "orders".to_owned()], false));
    let shown = problem_of(unsaid.for_writing());
    assert!(shown.contains("[no-package]") && shown.contains("they are accounts, orders"), "{shown}");
    assert!(shown.contains("choose one: `-p accounts`") && shown.contains("or all of them: `--workspace`"), "{shown}");

    for (below, selection) in [
        ("", whole_workspace(&[])),
        ("", package("*")),
        ("orders", Selection::default()),
        ("", packages(&["orders", "accounts"])),
    ] {
        let said = world.open_all(below, selection).unwrap();
        assert!(said.is_said && said.for_writing().is_ok());
    }
}

#[test]
fn a_command_for_one_package_refuses_several() {
    let world = World::workspace(&["accounts", "orders"]);
    let shown = problem_of(world.open(""));
    assert!(shown.contains("`-p accounts`") && !shown.contains("--workspace"), "{shown}");
    for selection in [whole_workspace(&[]), packages(&["accounts", "orders"]), package("*")] {
        let shown = problem_of(world.open_with("orders", selection));
        assert!(shown.contains("[no-package]") && shown.contains("they are accounts, orders"), "{shown}");
        assert!(shown.contains("choose one: `-p accounts`"), "{shown}");
    }
    assert_eq!(world.open_with("", whole_workspace(&["accounts"])).unwrap().key(), "orders");
}

#[test]
fn the_default_members_are_those_that_the_root_stands_for() {
    let world = World::workspace(&["accounts", "catalog", "orders"]);
    world.member("web", "");
    let default = |members: &str| world.write("Cargo.toml", &format!("{VIRTUAL}default-members = [{members}]\n"));
    default("'orders', 'web', 'accounts'");
    let selected = world.open_all("", Selection::default()).unwrap();
    assert_eq!((selected.keys(), selected.is_said), (vec!["accounts".to_owned(), "orders".to_owned()], false));
    assert_eq!(world.keys("", whole_workspace(&[])), ["accounts", "catalog", "orders"]);

    default("'web', 'catalog'");
    let selected = world.open_all("", Selection::default()).unwrap();
    assert_eq!((selected.keys(), selected.is_said), (vec!["catalog".to_owned()], true));
    assert_eq!(world.open("").unwrap().key(), "catalog");

    default("'web'");
    assert_eq!(world.keys("", Selection::default()), ["accounts", "catalog", "orders"]);
}

#[test]
fn a_root_package_with_migrations_stands_for_itself_and_one_without_for_the_members() {
    let world = World::new();
    world.package("", "[package]\nname = 'app'\n[workspace]\nmembers = ['accounts', 'orders']\n");
    world.member("accounts", METADATA);
    world.member("orders", METADATA);
    let selected = world.open_all("src", Selection::default()).unwrap();
    assert_eq!((selected.keys(), selected.is_said), (vec!["accounts".to_owned(), "orders".to_owned()], false));
    fs::create_dir(world.path("migrations")).unwrap();
    let selected = world.open_all("src", Selection::default()).unwrap();
    assert_eq!((selected.keys(), selected.is_said), (vec!["app".to_owned()], true));
}

#[test]
fn a_workspace_inside_another_ones_folder_is_a_world_of_its_own() {
    let world = World::workspace(&["accounts", "orders"]);
    world.write("docs/Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['inner']\n");
    world.package("docs/inner", "[package]\nname = 'inner'\n[package.metadata.migrate]\n");
    assert_eq!(world.keys("", Selection::default()), ["accounts", "orders"]);
    assert_eq!(world.keys("docs", whole_workspace(&[])), ["inner"]);
    assert!(problem_of(world.open_all("docs", package("orders"))).contains("[unknown-package]"));
    let inner = world.open("docs/inner/src").unwrap();
    assert_eq!((inner.key(), inner.workspace_root()), ("inner", world.path("docs").as_path()));
}

#[test]
fn a_workspace_with_spaces_and_umlauts_in_its_path_is_worked_on_from_elsewhere() {
    let world = World::named("größe und maß ");
    let manifest = "[workspace]\nresolver = '3'\nmembers = ['kunden konten', 'bestellungen']\n";
    world.write("mein geschäft/Cargo.toml", manifest);
    for (folder, name) in [("kunden konten", "konten"), ("bestellungen", "bestellungen")] {
        world.package(
            &format!("mein geschäft/{folder}"),
            &format!("[package]\nname = '{name}'\n{METADATA}migrations = 'wände'\n"),
        );
    }
    let from = |selection| Selection { manifest_path: Some("../mein geschäft/Cargo.toml".into()), ..selection };
    fs::create_dir(world.path("anderswo")).unwrap();
    assert_eq!(world.keys("anderswo", from(whole_workspace(&[]))).len(), 2);
    assert!(!world.open_all("anderswo", from(Selection::default())).unwrap().is_said);
    let project = world.open_with("anderswo", from(package("k*"))).unwrap();
    assert_eq!(project.migrations(), world.path("mein geschäft/kunden konten/wände"));
    let member = Selection { manifest_path: Some("../mein geschäft/bestellungen".into()), ..Selection::default() };
    assert_eq!(world.keys("anderswo", member), ["bestellungen"]);
}

#[test]
fn a_member_is_found_however_the_path_to_it_is_written() {
    let world = World::workspace(&["accounts", "orders"]);
    world.member("web", "");
    let at = |path: &str| Selection { manifest_path: Some(path.into()), ..Selection::default() };
    assert_eq!(world.keys("orders", at("../web")), ["web"]);
    assert_eq!(world.keys("", at("web/src/../Cargo.toml")), ["web"]);
    assert_eq!(world.keys("orders", at("../web/..")), ["accounts", "orders"]);
}

#[test]
#[cfg(unix)]
fn a_member_is_found_through_a_link_to_its_folder() {
    let world = World::workspace(&["accounts", "orders"]);
    std::os::unix::fs::symlink(world.path(""), world.path("docs")).unwrap();
    assert_eq!(world.keys("docs/orders", Selection::default()), ["orders"]);
    assert_eq!(world.keys("docs", Selection::default()), ["accounts", "orders"]);
}

#[test]
fn problems_of_all_members_are_told_at_once_and_those_of_the_defaults_once() {
    let world = World::workspace(&["orders"]);
    world.write("Cargo.toml", &format!("{VIRTUAL}[workspace.metadata.migrate]\nkeep = 0\n"));
    world.member("accounts", "[package.metadata.migrate]\nwait = 'long'\n");
    world.member("queue", "[package.metadata.migrate]\nbackup = 'often'\n");
    let failure = world.open_all("", Selection::default()).unwrap_err();
    let messages: Vec<_> = failure.problems().iter().map(|problem| problem.message().split(' ').next()).collect();
    assert_eq!(messages, [Some("`wait`"), Some("`keep`"), Some("`backup`")]);
    let shown = problem_of::<Selected>(Err(failure));
    assert!(shown.contains("accounts/Cargo.toml:5:8") && shown.contains("Cargo.toml:6:8"), "{shown}");
}

#[test]
fn a_folder_of_migrations_alone_is_one_that_is_said_and_has_no_neighbours() {
    let world = World::new();
    world.write("migrations/migrate.lock", "");
    let folder = Selection { migrations: Some("migrations".into()), ..Selection::default() };
    let selected = world.open_all("", folder).unwrap();
    assert_eq!((selected.keys(), selected.is_said), (vec!["main".to_owned()], true));
    assert!(selected.neighbours.is_none() && selected.for_writing().is_ok());
    assert!(problem_of(world.open_all("", whole_workspace(&[]))).contains("[no-project]"));
}

#[test]
fn a_folder_given_in_the_root_of_a_workspace_needs_to_be_somebodys() {
    let world = World::workspace(&["accounts", "orders"]);
    let folder = |folder: &str| Selection { migrations: Some(folder.into()), ..Selection::default() };
    fs::create_dir(world.path("orders/migrations")).unwrap();
    assert_eq!(world.keys("", folder("orders/migrations")), ["orders"]);
    let shown = problem_of(world.open_all("", folder("elsewhere")));
    assert!(shown.contains("[no-package]") && shown.contains("--migrations DIR --name PACKAGE"), "{shown}");
}
