//! Every form of a database URL, and what is said of those that are none.

use super::*;

fn file(text: &str) -> DatabaseUrl {
    parse(text).unwrap().resolve(Path::new("/app"), &nowhere()).unwrap()
}

/// An environment in which nothing is set.
fn nowhere() -> Environment<'static> {
    Environment { variable: &|_| None, home: None, user: None }
}

fn refused(text: &str) -> String {
    format!("{:?}", parse(text).err().unwrap())
}

#[test]
fn relative_paths_are_joined_to_the_folder_and_absolute_ones_are_not() {
    for (text, path) in [
        ("sqlite:todo.db", "/app/todo.db"),
        ("sqlite:./data/todo.db", "/app/data/todo.db"),
        ("sqlite://todo.db", "/app/todo.db"),
        ("sqlite:///srv/todo.db", "/srv/todo.db"),
        ("sqlite:/srv/todo.db", "/srv/todo.db"),
        ("SQLite:todo.db", "/app/todo.db"),
        ("sqlite:my%20todos%3F.db", "/app/my todos?.db"),
        ("sqlite:50%.db", "/app/50%.db"),
        ("sqlite:größe.db", "/app/größe.db"),
    ] {
        assert_eq!(file(text).file(), Some(Path::new(path)), "{text}");
    }
    assert!(file("sqlite:todo.db").is_relative());
    assert!(!file("sqlite:///srv/todo.db").is_relative());
}

#[test]
fn the_url_of_a_file_leads_to_that_file() {
    for name in ["a.db", "t/a b.db", "100%41?#.db", "größe/[x].db", "a@b.db"] {
        let url = DatabaseUrl::of_file(Path::new("/app").join(name).as_path(), Path::new(name));
        assert_eq!(file(&url.to_string()).file(), url.file(), "{url}");
    }
}

#[test]
fn the_mode_is_kept_as_sqlx_writes_it() {
    assert_eq!(file("sqlite:a.db").mode(), None);
    assert_eq!(file("sqlite:a.db?mode=ro").mode(), Some(SqliteMode::ReadOnly));
    assert_eq!(file("sqlite:a.db?mode=rw").mode(), Some(SqliteMode::ReadWrite));
    assert_eq!(file("sqlite:a.db?mode=rwc").mode(), Some(SqliteMode::ReadWriteCreate));
    assert!(refused("sqlite:a.db?mode=no").contains("mode=rwc"));
    assert!(refused("sqlite:a.db?cache=shared").contains("`cache`"));
}

#[test]
fn databases_in_memory_are_refused_in_every_spelling() {
    for text in ["sqlite::memory:", "sqlite://:memory:", "sqlite:%3Amemory%3A", "sqlite:a?mode=memory"] {
        assert!(refused(text).starts_with("[memory-database]"), "{text}");
    }
}

#[test]
fn a_mistyped_scheme_and_a_bare_path_are_told_what_to_write() {
    assert!(refused("sqllite:todo.db").contains("write `sqlite:todo.db`"));
    assert!(refused("sqlite3:todo.db").contains("write `sqlite:todo.db`"));
    assert!(refused("todo.db").contains("write `sqlite:todo.db`"));
    assert!(refused("file:todo.db").contains("write `sqlite:todo.db`"));
    assert!(refused(r"C:\data\todo.db").contains(r"write `sqlite:C:\data\todo.db`"));
    assert!(refused("mysq://x").contains("write `mysql:`"));
}

#[test]
fn what_names_no_file_is_refused() {
    for text in ["", "sqlite:", "sqlite://", "sqlite:?mode=ro", "sqlite:data/", "sqlite:..", "sqlite:file:a.db"] {
        assert!(refused(text).starts_with("[invalid-database-url]"), "{text}");
    }
}

#[test]
fn control_characters_are_refused_however_they_are_written() {
    for text in ["sqlite:a\0.db", "sqlite:a%00.db", "sqlite:a%0a.db", "sqlite:a\n.db", "sqlite:%ff.db"] {
        assert!(refused(text).starts_with("[invalid-database-url]"), "{text:?}");
    }
}

#[test]
fn other_databases_are_not_there_yet() {
    for text in ["mysql://u:secret@h/db", "mariadb://h/db", "mssql://u:secret@h/db"] {
        let message = refused(text);
        assert!(message.starts_with("[unsupported-database]") && !message.contains("secret"), "{message}");
    }
}

#[test]
fn no_message_repeats_a_password() {
    for text in [
        "postgrse://u:secret@h/db",
        "sqllite://u:secret@h/db",
        "u:secret@h/db",
        "secret@host",
        "mysql:u:secret@h",
        "sqlite:a.db?password=secret",
        "env:secret word",
    ] {
        assert!(!refused(text).contains("secret"), "{text}: {}", refused(text));
    }
}

#[test]
fn a_mask_is_as_long_as_no_password() {
    assert_eq!(mask("postgres://me:pä@h/db"), "postgres://me:***@h/db");
    assert_eq!(mask("mysql://me:p@h/db"), "mysql://me:***@h/db");
    assert_eq!(mask("mysql://h/db?user=a&password=b@c&x=1"), "mysql://***&x=1");
    assert_eq!(mask("mysql://h?password=&key=long-one"), "mysql://h?password=***&key=***");
    assert_eq!(mask("sqlite:todo.db?key=abc&mode=ro"), "sqlite:todo.db?key=***&mode=ro");
    assert_eq!(mask("sqlite:todo.db"), "sqlite:todo.db");
}

#[test]
fn a_variable_is_named_and_does_not_lead_on_to_another() {
    assert!(matches!(parse("env:PROD_URL"), Ok(Reference::Variable(name)) if name == "PROD_URL"));
    assert!(refused("env:").contains("env:PROD_DATABASE_URL"));
    let chained = parse("env:OTHER").unwrap().resolve(Path::new("/app"), &nowhere()).err().unwrap();
    assert!(format!("{chained:?}").contains("`OTHER`"));
}
