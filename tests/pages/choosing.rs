//! `-p`, `--workspace` and `--exclude` on the command line.

use crate::harness::Project;
use crate::pages::ground::Ground;
use crate::pages::table;

pages! {
    a_package_is_chosen_by_a_glob_or_by_leaving_out_the_others,
    a_glob_or_an_exclusion_that_matches_nothing_is_refused,
    flags_that_contradict_one_another_are_misused_wherever_they_stand,
}

/// A workspace in which `shop` and `queue` have migrations and `web` has none.
fn workspace(ground: &dyn Ground) -> Project {
    let project = Project::empty_on(ground);
    project.write(
        "Cargo.toml",
        &format!(
            "[workspace]\nmembers = [\"queue\", \"shop\", \"web\"]\nresolver = \"3\"\n\n\
             [workspace.metadata.migrate.databases]\ndev = {}\n",
            project.databases().own("dev"),
        ),
    );
    for package in ["queue", "shop", "web"] {
        let manifest = format!("[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        project.write(&format!("{package}/Cargo.toml"), &manifest);
        project.write(&format!("{package}/src/lib.rs"), "");
    }
    for package in ["queue", "shop"] {
        project.run(&["init", "-p", package]).done();
        project.write(&format!("{package}/migrations/a1.sql"), &table("base", package));
    }
    project
}

fn a_package_is_chosen_by_a_glob_or_by_leaving_out_the_others(ground: &dyn Ground) {
    let project = workspace(ground);
    for arguments in [
        &["heads", "-p", "sh*"][..],
        &["-p", "shop@0.1", "heads"],
        &["heads", "--workspace", "--exclude", "queue"],
        &["--exclude", "q*", "heads", "--workspace"],
    ] {
        let ran = project.run(arguments).done();
        assert!(ran.out.contains("a1"), "{}", ran.out);
    }
    project.run(&["upgrade", "-d", "dev", "-p", "s[gh]op"]).done();
    assert_eq!(project.tables(), ["shop"]);
}

fn a_glob_or_an_exclusion_that_matches_nothing_is_refused(ground: &dyn Ground) {
    let project = workspace(ground);
    project.refuses(&["heads", "-p", "shopp-*"], &["unknown-package", "queue, shop, web"]);
    project.refuses(&["heads", "--workspace", "--exclude", "quueue"], &["unknown-package", "write `--exclude queue`"]);
    project.refuses(&["heads", "-p", "w*"], &["no-package", "cargo migrate init -p NAME"]);
    project.refuses(&["heads", "--workspace", "--exclude", "*"], &["no-package", "queue, shop"]);
}

fn flags_that_contradict_one_another_are_misused_wherever_they_stand(ground: &dyn Ground) {
    let project = workspace(ground);
    for arguments in [
        &["--workspace", "heads", "-p", "shop"][..],
        &["--workspace", "heads", "--name", "x"],
        &["heads", "--workspace", "--migrations", "shop/migrations"],
        &["--exclude", "shop", "heads"],
        &["-p", "shop", "heads", "-p", "queue", "--name", "x"],
        &["heads", "-p", "shop["],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.err);
    }
}
