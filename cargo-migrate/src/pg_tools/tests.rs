//! Which programs are taken, and what they are told.

use super::*;

const fn version(major: u32, minor: u32) -> Version {
    Version { major, minor }
}

#[test]
fn a_version_is_read_as_each_installation_tells_it() {
    for (told, expected) in [
        ("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(version(15, 14))),
        ("pg_dump (PostgreSQL) 9.6.24", Some(version(9, 6))),
        ("pg_dump (PostgreSQL) 18beta1\n", Some(version(18, 0))),
        ("pg_dump (PostgreSQL) 19devel", Some(version(19, 0))),
        ("psql (PostgreSQL) 15.4", Some(version(15, 4))),
        ("pg_dump (EnterpriseDB) 15", None),
        ("pg_dump: something else", None),
        ("", None),
    ] {
        assert_eq!(Version::told(told), expected, "{told}");
    }
    assert!(version(9, 6) < version(15, 0));
    assert_eq!(Version::of_number(150_004), version(15, 4));
}

/// Installations in the order in which they are found, each in a folder with its place and its version.
fn found(versions: &[Version]) -> impl Iterator<Item = (Version, PathBuf)> {
    versions.iter().enumerate().map(|(at, version)| (*version, format!("/{at}/{version}").into()))
}

#[test]
fn of_several_installations_the_servers_own_version_is_taken_else_the_next_newer_one() {
    let all = [version(17, 0), version(9, 6), version(15, 1), version(16, 2), version(15, 14), version(18, 0)];
    for (server, expected) in [
        (Some(15), "/2/15.1"),
        (Some(16), "/3/16.2"),
        (Some(14), "/2/15.1"),
        (Some(10), "/2/15.1"),
        (Some(17), "/0/17.0"),
        (Some(18), "/5/18.0"),
        (None, "/5/18.0"),
    ] {
        let chosen = PgTools::chosen(found(&all), server.map(|major| version(major, 9))).unwrap();
        assert_eq!(chosen.folder, Path::new(expected), "{server:?}");
    }
}

#[test]
fn where_all_are_older_than_the_server_or_there_are_none_it_is_told_what_to_install() {
    let refused = |versions: &[Version]| PgTools::chosen(found(versions), Some(version(16, 9))).unwrap_err();
    let older = refused(&[version(9, 6), version(15, 1)]);
    assert_eq!(older.code(), MISSING);
    assert!(older.message().contains("15.1") && older.message().contains("16.9"), "{older:?}");
    let none = refused(&[]);
    assert!(none.message().contains("`pg_restore` are not found"), "{none:?}");
    for problem in [older, none] {
        assert!(problem.helps()[0].contains("16 or newer: `postgresql-client-16` on Debian"), "{problem:?}");
        assert!(problem.helps()[0].contains("`postgresql16` on Fedora"), "{problem:?}");
    }
    let unknown = PgTools::chosen(found(&[]), None).unwrap_err();
    assert!(unknown.helps()[0].contains("`postgresql-client` on Debian"), "{unknown:?}");
}

#[test]
fn a_psql_from_elsewhere_understands_what_pg_restore_writes() {
    let with = |own: Version, others: &[Version]| {
        let tools = PgTools { folder: "/own".into(), version: own, psql: "/own".into() };
        tools.with_psql_of(found(others)).map(|tools| tools.psql)
    };
    // A key came with 15.14.
    assert_eq!(with(version(15, 1), &[version(17, 6), version(15, 4)]).unwrap(), Path::new("/1/15.4"));
    assert_eq!(with(version(15, 14), &[version(15, 4), version(17, 6)]).unwrap(), Path::new("/1/17.6"));
    let refused = with(version(15, 14), &[version(14, 19), version(15, 4)]).unwrap_err();
    assert!(refused.code() == MISSING && refused.message().contains("`psql`"), "{refused:?}");
}

#[test]
fn a_server_that_no_program_here_understands_is_told_of() {
    let context = Context::new("/", std::collections::BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
    let problem = PgTools::find(&context, Some(version(9_999, 0))).unwrap_err();
    assert_eq!(problem.code(), MISSING);
    assert!(problem.message().starts_with("`pg_dump`"), "{problem:?}");
    assert!(problem.helps()[0].contains("postgresql-client-9999"), "{problem:?}");
}

#[cfg(unix)]
#[test]
fn folders_on_path_count_where_they_are_absolute_and_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let path = std::env::join_paths([Path::new("."), Path::new("bin"), &link, &real]).unwrap();
    let environment = std::collections::BTreeMap::from([("PATH".into(), path)]);
    let context = Context::new("/", environment, jiff::Timestamp::UNIX_EPOCH);
    let found: Vec<PathBuf> = folders(&context).filter(|folder| !folder.starts_with(DEBIAN)).collect();
    assert_eq!(found, [link]);
}

#[test]
fn a_program_is_led_by_the_url_alone() {
    let environment = migrate_runtime::server::Environment { variable: &|_| None, home: None, user: None };
    let told = |url: &str| {
        let server = ServerUrl::parse(url, &environment).unwrap();
        let tools = PgTools::chosen(found(&[version(15, 0)]), None).unwrap();
        let command = tools.dump(&server, Some("owner"), Duration::ZERO);
        let arguments: Vec<String> = command.get_args().map(|it| it.to_str().unwrap().to_owned()).collect();
        assert_eq!(arguments, ["--no-password", "--role=owner", "--lock-wait-timeout=1"]);
        let variables = command.get_envs().map(|(name, value)| {
            (name.to_str().unwrap().to_owned(), value.map(|value| value.to_str().unwrap().to_owned()))
        });
        variables.collect::<std::collections::BTreeMap<_, _>>()
    };
    let variables = told("postgres://somebody:secret@there/data");
    for (name, expected) in [
        ("PGPASSWORD", Some("secret")),
        ("PGAPPNAME", Some("cargo-migrate")),
        ("PGCLIENTENCODING", Some("UTF8")),
        ("LC_ALL", Some("C")),
        ("PGSERVICE", None),
        ("PSQLRC", None),
    ] {
        assert_eq!(variables.get(name).map(Option::as_deref), Some(expected), "{name}");
    }
    let variables = told("postgres://somebody@there/data?application_name=mine");
    assert_eq!(variables.get("PGAPPNAME").unwrap().as_deref(), Some("mine"));
}
