//! What `upgrade --each` asks about or refuses, and what goes together into each of many databases.

use std::fs;

use crate::pages::ground::{Ground, Kind};
use crate::pages::table;
use crate::pages::tenants::Tenants;
use crate::pages::workspaces::{member, rows_of, workspace};

pages! {
    a_configured_one_among_them_is_what_it_is,
    #[cfg(target_os = "linux")]
    at_a_terminal_somebody_is_asked_once_and_sees_a_bar,
    flags_that_do_not_go_together_are_refused,
    a_text_is_fixed_as_soon_as_one_of_them_has_it,
    several_packages_go_together_into_each,
}

/// The configuration knows one of them by a name of its own.
fn configure(tenants: &Tenants, number: usize, name: &str, more: &str) {
    let manifest = tenants.project.read("Cargo.toml");
    let line = format!("{name} = {{ url = \"{}\", {more} }}\n", tenants.url(number));
    tenants.project.write("Cargo.toml", &(manifest + &line));
}

fn a_configured_one_among_them_is_what_it_is(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 3);
        configure(&tenants, 0, "prod", "protected = true");
        configure(&tenants, 1, "tried", "scratch = true");
        // Nobody is there to agree.
        let before = (tenants.project.contents(), tenants.states());
        tenants.each(&[]).refused(&["error[not-confirmed]", "`prod` is protected", "--yes"]);
        assert_eq!((tenants.project.contents(), tenants.states()), before);
        tenants.each(&["--yes"]).done();
        (0..3).for_each(|number| tenants.is_upgraded(number));
        // It stands under its own name in the lock: in that of this checkout alone where nobody else has its file. What
        // is thrown away stands in none.
        let names = |lock: &str| -> Vec<String> {
            let text = fs::read_to_string(tenants.project.path(lock)).unwrap_or_default();
            let sealed = text.lines().filter(|line| line.contains("  seal:"));
            sealed.map(|line| line.rsplit("  ").next().unwrap().to_owned()).collect()
        };
        let (shared, local) = (names("migrations/migrate.lock"), names("migrations/migrate.local"));
        if kind == Kind::File {
            assert_eq!((shared, local), (vec!["url".to_owned(); 3], vec!["prod".to_owned(); 3]));
        } else {
            assert_eq!((shared, local), (vec!["prod,url".to_owned(); 3], vec![]));
        }
        // Where they have nothing to do nobody has to agree to it.
        tenants.each(&[]).done();
    }
}

#[cfg(target_os = "linux")]
fn at_a_terminal_somebody_is_asked_once_and_sees_a_bar(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 5);
        configure(&tenants, 3, "prod", "protected = true");
        let mut asked = tenants.project.at_terminal(&format!("upgrade --each '{}'", tenants.pattern()));
        let question = asked.question();
        let first = format!("prod ({}), which is protected: 2 revisions", tenants.shown(3));
        assert!(question.contains(&first), "{question}");
        assert!(question.contains("and 4 more") && question.contains("type `prod`"), "{question}");
        let said = asked.answer("prod").done().out;
        assert!(said.contains("/5, ") && said.contains(" left"), "a bar counts and tells the time\n{said}");
        assert!(said.contains("upgrade of 5 databases"), "{said}");
        (0..5).for_each(|number| tenants.is_upgraded(number));
    }
}

fn flags_that_do_not_go_together_are_refused(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 2);
        let pattern = tenants.pattern();
        for (arguments, word) in [
            (&["upgrade", "--each", &pattern, "-d", "dev"][..], "`-d` names one database"),
            (&["-d", "dev", "upgrade", "--each", &pattern], "`-d` names one database"),
            (&["upgrade", "--each", &pattern, "--sql"], "--sql"),
            (&["upgrade", "--each", &pattern, "--create"], "--create"),
            (&["upgrade", "--jobs", "2"], "--each"),
            (&["upgrade", "--canary", "2"], "--each"),
            (&["upgrade", "--each", &pattern, "--jobs", "0"], "--jobs"),
            (&["upgrade", "a1:a2", "--each", &pattern], "a range is for `--sql`"),
            (&["upgrade", "--each", &tenants.some("[")], "is no pattern"),
        ] {
            let before = tenants.project.contents();
            let ran = tenants.project.run_bounded(arguments);
            assert_eq!(ran.status, 2, "{arguments:?}\n{}", ran.err);
            assert!(ran.err.contains(word), "`{word}` is not in\n{}", ran.err);
            assert_eq!(tenants.project.contents(), before);
        }
        tenants.project.refuses(&["upgrade", "a9", "--each", &pattern], &["unknown-target", "2 of 2 databases failed"]);
        (0..2).for_each(|number| tenants.is_as_before(number));
    }
}

fn a_text_is_fixed_as_soon_as_one_of_them_has_it(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let tenants = Tenants::behind(ground, kind, 8);
        // Given some have the second revision, when nothing in the checkout knows of it any more.
        tenants.project.run(&["upgrade", "a2", "--each", &tenants.some("000[0-2]")]).done();
        let lock = tenants.project.read("migrations/migrate.lock");
        assert!(lock.lines().any(|line| line.starts_with("a2") && line.ends_with("url")), "{lock}");
        for lock in ["migrations/migrate.lock", "migrations/migrate.local"] {
            let _ = fs::remove_file(tenants.project.path(lock));
        }
        // When the file is another one than they had.
        let text =
            "-- migrate:parent a1\n-- migrate:up\nCREATE TABLE t_a2 (y INTEGER);\nINSERT INTO log VALUES (2, 'a2');\n";
        tenants.project.migration("a2", text);
        // Then none of the others gets it: there would be two kinds of databases.
        let words = ["error[edited]", "`a2` does something else in 3 databases than in its file", &tenants.shown(0)];
        tenants.project.refuses(&["upgrade", "--each", &tenants.pattern()], &words);
        (3..8).for_each(|number| tenants.is_as_before(number));
    }
}

/// The packages of a workspace that share a database share every one of them.
fn several_packages_go_together_into_each(ground: &dyn Ground) {
    for &kind in ground.kinds() {
        let project = workspace(ground);
        for package in ["shop", "queue"] {
            member(&project, package, "[package.metadata.migrate]\ndatabase = \"dev\"\n");
        }
        project.write("crates/queue/migrations/q1.sql", &table("base", "jobs"));
        let depends = table("base", "orders").replace("-- migrate:up", "-- migrate:depends queue/q1\n-- migrate:up");
        project.write("crates/shop/migrations/s1.sql", &depends);
        let tenants = Tenants::empty(project, kind, 3);
        tenants.each(&["--workspace"]).done();
        for number in 0..3 {
            assert_eq!(rows_of(&tenants.project, tenants.name(number)), ["queue/q1", "shop/s1"]);
        }
        for package in ["shop", "queue"] {
            let lock = tenants.project.read(&format!("crates/{package}/migrations/migrate.lock"));
            assert!(lock.contains("  url\n"), "{lock}");
        }
        assert!(tenants.project.databases().is_untouched("dev"));
    }
}
