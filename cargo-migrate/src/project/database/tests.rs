//! How a choice becomes a database, and what is told of one that does not.

use std::time::Duration;

use super::super::Project;
use super::super::tests::{World, problem_of};
use super::*;

const MANIFEST: &str = "[package]\nname = 'todo'\nedition = '2024'\n\
    [package.metadata.migrate.databases]\ndev = 'sqlite:todo.db'\ntest = { url = 'sqlite:t.db', scratch = true }\n\
    prod = { url = 'env:PROD_URL', protected = true, backup = 'always' }\npg = { url = 'postgres://me:secret@h/db', role = 'owner', lock-timeout = 2 }\n\
    my = 'mysql://me:secret@h/db'\n";

fn todo() -> (World, Project) {
    let world = World::new();
    world.package("", MANIFEST);
    let project = world.open("").unwrap();
    (world, project)
}

#[test]
fn a_name_chooses_the_configured_database_below_the_package() {
    let (world, project) = todo();
    let dev = project.database(&world.context("src"), Some("dev")).unwrap();
    assert_eq!(dev.url.file(), Some(world.path("todo.db").as_path()));
    assert_eq!((dev.lock_name(), dev.shared, dev.may_be_created()), ("dev", false, true));
}

#[test]
fn an_unknown_name_is_answered_with_the_names_there_are() {
    let (world, project) = todo();
    let shown = problem_of(project.database(&world.context(""), Some("dve")));
    assert!(shown.contains("[unknown-database]") && shown.contains("dev, test, prod, pg, my"), "{shown}");
    assert!(shown.contains("write `dev`"), "{shown}");
}

#[test]
fn a_url_on_the_command_line_is_relative_to_the_working_directory_and_shared() {
    let (world, project) = todo();
    let given = project.database(&world.context("src"), Some("sqlite:x.db")).unwrap();
    assert_eq!(given.url.file(), Some(world.path("src/x.db").as_path()));
    assert_eq!((given.name.as_deref(), given.lock_name()), (None, "url"));
    assert!(given.shared && !given.may_be_created());
}

#[test]
fn a_url_of_a_configured_database_is_that_database() {
    let (world, project) = todo();
    let same = project.database(&world.context("src"), Some("sqlite:../todo.db?mode=ro")).unwrap();
    assert_eq!((same.lock_name(), same.url.mode()), ("dev", Some(SqliteMode::ReadOnly)));
    std::fs::write(world.path("todo.db"), "").unwrap();
    let absolute = format!("sqlite://{}", world.path("src/../todo.db").display());
    assert_eq!(project.database(&world.context("src"), Some(&absolute)).unwrap().lock_name(), "dev");
}

#[test]
fn two_names_of_one_file_have_the_stricter_protection_and_are_not_both_scratch_and_kept() {
    let world = World::new();
    let world = &world;
    let databases = |lines: &str| {
        world.package("", &format!("[package]\nname = 'a'\n[package.metadata.migrate.databases]\n{lines}"));
        let project = world.open("").unwrap();
        move |choice: &str| project.database(&world.context(""), Some(choice))
    };
    let choose = databases("a = 'sqlite:x.db'\nb = { url = 'sqlite:d/../x.db', protected = true, shared = true }\n");
    for choice in ["a", "b", "sqlite:./x.db"] {
        let found = choose(choice).unwrap();
        assert!(found.protected && found.shared, "{choice}");
    }
    let choose = databases("a = 'sqlite:x.db'\nb = { url = 'sqlite:y/../x.db', scratch = true }\nc = 'sqlite:c.db'\n");
    for choice in ["a", "b", "sqlite:./x.db"] {
        let shown = problem_of(choose(choice));
        assert!(shown.contains("[invalid-setting]") && shown.contains("`b` and `a` are one file"), "{shown}");
    }
    assert!(choose("c").is_ok());
}

#[test]
fn without_a_choice_the_variables_are_asked_in_their_order() {
    let (world, project) = todo();
    let shown = problem_of(project.database(&world.context(""), None));
    assert!(shown.contains("[no-database]") && shown.contains("`-d dev`"), "{shown}");

    std::fs::write(world.path(".env"), "DATABASE_URL=sqlite:env.db\n").unwrap();
    let from_file = project.database(&world.context("src"), None).unwrap();
    assert_eq!((from_file.url.file(), from_file.shared), (Some(world.path("env.db").as_path()), false));

    let context = world.context_with("", &[("DATABASE_URL", "sqlite:///srv/x.db")]);
    assert!(project.database(&context, None).unwrap().shared);
    let context = world.context_with("", &[("DATABASE_URL", "sqlite:a.db"), (CHOICE_VARIABLE, "test")]);
    assert!(project.database(&context, None).unwrap().scratch);
    let context = world.context_with("", &[(CHOICE_VARIABLE, "tset")]);
    assert!(problem_of(project.database(&context, None)).contains(CHOICE_VARIABLE));
}

#[test]
fn a_url_in_a_variable_is_looked_up_and_never_repeated() {
    let (world, project) = todo();
    let shown = problem_of(project.configured_database(&world.context(""), "prod"));
    assert!(shown.contains("[missing-variable]") && shown.contains("`PROD_URL`"), "{shown}");
    assert!(shown.contains("Cargo.toml:7"), "{shown}");

    let context = world.context_with("", &[("PROD_URL", "sqlite:///srv/prod.db")]);
    let prod = project.configured_database(&context, "prod").unwrap();
    assert!(prod.protected && prod.shared && prod.backup == BackupPolicy::Always && !prod.may_be_created());

    for secret in ["env:SECRET", "sqllite://u:SECRET@h", "SECRET", "sqlite:a?SECRET=1", "mysql://u:SECRET@h/d"] {
        let shown = problem_of(project.configured_database(&world.context_with("", &[("PROD_URL", secret)]), "prod"));
        assert!(shown.contains("`PROD_URL`"), "{shown}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}

#[test]
fn a_broken_env_file_matters_only_where_a_variable_is_needed() {
    let (world, project) = todo();
    std::fs::write(world.path(".env"), "what is this\n").unwrap();
    assert!(project.database(&world.context(""), Some("dev")).is_ok());
    let shown = problem_of(project.database(&world.context(""), None));
    assert!(shown.contains("[invalid-env-file]") && shown.contains("line 1"), "{shown}");
}

#[test]
fn an_unsupported_database_is_told_when_it_is_used() {
    let (world, project) = todo();
    let failure = project.database(&world.context(""), Some("my")).unwrap_err();
    assert!(problem_of::<()>(Err(failure.clone())).contains("[unsupported-database]"));
    assert!(!format!("{:?}", failure.problems()[0].places()).contains("secret"));
}

#[test]
fn a_servers_database_is_shared_made_on_request_alone_and_shown_without_its_password() {
    let (world, project) = todo();
    let pg = project.database(&world.context(""), Some("pg")).unwrap();
    assert!(pg.shared && !pg.may_be_created() && pg.url.file().is_none());
    assert_eq!((pg.dialect(), pg.server().unwrap().database()), (Dialect::Postgres, "db"));
    assert_eq!((pg.session.role.as_deref(), pg.session.lock_timeout), (Some("owner"), Some(Duration::from_secs(2))));
    assert!(!format!("{pg:?} {pg} {}", pg.url).contains("secret"), "{pg:?}");
    let same = project.database(&world.context(""), Some("postgresql://other@h:5432/db")).unwrap();
    assert_eq!(same.lock_name(), "pg");
    let schema = project.database(&world.context(""), Some("postgres://h/db?schema=of_one")).unwrap();
    assert_eq!(schema.lock_name(), "url");
}

#[test]
fn the_only_database_needs_no_choice() {
    let world = World::new();
    world.package("", "[package]\nname = 'a'\n[package.metadata.migrate.databases]\nmine = 'sqlite:a.db'\n");
    let project = world.open("").unwrap();
    assert_eq!(project.database(&world.context(""), None).unwrap().to_string(), "mine");
}
