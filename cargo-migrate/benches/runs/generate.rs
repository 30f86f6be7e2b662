//! A project with a chain of revisions of several kinds.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What a revision's file holds, for the side that knows nothing of files.
pub struct Revision {
    pub statements: Vec<String>,
    pub verify: Option<String>,
}

/// Writes a cargo project whose `dev` database is `app.db`, with this many revisions.
pub fn project(folder: &Path, size: usize) -> Vec<Revision> {
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
        [package.metadata.migrate]\ndatabase = \"dev\"\n\n\
        [package.metadata.migrate.databases]\ndev = \"sqlite:app.db\"\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "").unwrap();
    let migrations = folder.join("migrations");
    fs::create_dir(&migrations).unwrap();
    let mut parent = "base".to_owned();
    (1..=size)
        .map(|number| {
            let id = format!("2025_01_01_{number:05}_{}", ["create_orders", "add_invoices", "visits"][number % 3]);
            let revision = revision(number);
            let path = migrations.join(format!("{id}.sql"));
            fs::write(path, text(number, &parent, &revision)).unwrap();
            parent = id;
            revision
        })
        .collect()
}

/// Writes a workspace of this many members that share a database, and take turns in writing the next revision; where one
/// refers to the table before it, it depends on it.
pub fn workspace(folder: &Path, members: usize, size: usize) -> Vec<Revision> {
    let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.metadata.migrate]\ndatabase = \"dev\"\n\n\
        [workspace.metadata.migrate.databases]\ndev = \"sqlite:all.db\"\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let name = |member: usize| format!("part-{member:02}");
    for member in 0..members {
        let crate_folder = folder.join("crates").join(name(member));
        fs::create_dir_all(crate_folder.join("src")).unwrap();
        fs::create_dir(crate_folder.join("migrations")).unwrap();
        fs::write(crate_folder.join("src/lib.rs"), "").unwrap();
        let manifest = format!(
            "[package]\nname = \"{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[package.metadata.migrate]\n",
            name(member)
        );
        fs::write(crate_folder.join("Cargo.toml"), manifest).unwrap();
    }
    let id = |number: usize| format!("2025_01_01_{number:05}_change");
    let write = |number: usize| {
        let (member, revision) = (number % members, revision(number));
        let parent = if number > members { id(number - members) } else { "base".to_owned() };
        let mut text = text(number, &parent, &revision);
        if number.is_multiple_of(5) {
            let depends =
                format!("-- migrate:depends {}/{}\n\n-- migrate:up\n", name((number - 1) % members), id(number - 1));
            text = text.replacen("\n-- migrate:up\n", &depends, 1);
        }
        fs::write(folder.join(format!("crates/{}/migrations/{}.sql", name(member), id(number))), text).unwrap();
        revision
    };
    (1..=size).map(write).collect()
}

fn revision(number: usize) -> Revision {
    let table = table(number);
    let mut columns = vec!["id INTEGER PRIMARY KEY".to_owned(), "name TEXT NOT NULL".to_owned()];
    for column in 0..2 + number % 4 {
        let kind = ["INTEGER NOT NULL DEFAULT 0", "TEXT", "REAL", "BLOB"][(number + column) % 4];
        columns.push(format!("field_{column} {kind}"));
    }
    if number.is_multiple_of(5) {
        let parent = self::table(number - 1);
        columns.push(format!("owner INTEGER REFERENCES {parent} (id) ON DELETE CASCADE"));
    }
    let unique = if number.is_multiple_of(6) { "UNIQUE " } else { "" };
    let mut statements = vec![
        format!("CREATE TABLE {table} (\n    {}\n);", columns.join(",\n    ")),
        format!("CREATE {unique}INDEX {table}_by_name ON {table} (name, field_0);"),
    ];
    if number.is_multiple_of(3) {
        statements.push(format!(
            "INSERT INTO {table} (name, field_0) VALUES\n    ('first; of {number}', 1),\n    \
             ('second', 2), -- a remark\n    ('third', 3);"
        ));
    }
    if number.is_multiple_of(7) {
        statements.push(format!("UPDATE {table} SET name = upper(name) WHERE id > {};", number % 3));
    }
    if number.is_multiple_of(11) {
        statements.push(format!("CREATE VIEW {table}_names AS SELECT id, name FROM {table} WHERE name <> '';"));
    }
    let verify = (number.is_multiple_of(10)).then(|| format!("SELECT count(*) < 10 FROM {table};"));
    Revision { statements, verify }
}

fn table(number: usize) -> String {
    format!("{}_{number}", ["orders", "invoices", "visits"][number % 3])
}

fn text(number: usize, parent: &str, revision: &Revision) -> String {
    let mut text = format!(
        "-- Keep what belongs to part {number}, with an index for the lists.\n-- migrate:parent {parent}\n\n-- migrate:up\n"
    );
    for statement in &revision.statements {
        let _ = writeln!(text, "{statement}\n");
    }
    text.push_str("-- migrate:down\n");
    if number.is_multiple_of(11) {
        let _ = writeln!(text, "DROP VIEW {}_names;", table(number));
    }
    let _ = writeln!(text, "DROP TABLE {};", table(number));
    if let Some(query) = &revision.verify {
        let _ = writeln!(text, "\n-- migrate:verify\n{query}");
    }
    text
}
