//! What `cargo migrate init` adds to a project: pure edits of text, and one way to write a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem, printable};
use build_support::token::Dialect;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, value};

/// What the configuration is written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The manifest's path, for messages.
    pub manifest: PathBuf,
    /// The package's name, which its database files are named after.
    pub package: String,
    /// The migrations folder, relative to the package.
    pub migrations: String,
    /// Whether it gets databases of its own: the workspace has none for all of its packages.
    pub databases: bool,
    /// What kind of databases these are.
    pub dialect: Dialect,
}

/// Adds `[package.metadata.migrate]` to a manifest, with a development and a test database unless the workspace has some. A manifest that has
/// the table keeps it as it is; comments, layout and line endings stay.
///
/// # Errors
/// The text is no manifest of a package.
pub fn add_configuration(manifest: &str, answers: &Answers) -> Result<String, Problem> {
    edit(manifest, &answers.manifest, |document, refused| {
        let Some(package) = document.get_mut("package").and_then(Item::as_table_like_mut) else {
            return Err(refused("the manifest has no `[package]`".to_owned())
                .help("choose a package of the workspace: `cargo migrate init -p NAME`"));
        };
        if !package.contains_key("metadata") {
            let mut metadata = Table::new();
            metadata.set_implicit(true);
            package.insert("metadata", Item::Table(metadata));
        }
        let Some(metadata) = package.get_mut("metadata").and_then(Item::as_table_like_mut) else {
            return Err(refused("`package.metadata` is not a table".to_owned()));
        };
        if metadata.contains_key("migrate") {
            return Ok(false);
        }
        metadata.insert("migrate", Item::Table(configuration(answers)));
        Ok(true)
    })
}

/// Adds `migrate-runtime` to a manifest's dependencies: from the registry, or from a checkout at `path`. On a package
/// that uses rusqlite or the crate postgres its feature is switched on; on another one whose databases are on a server, the
/// feature by which it hands over a URL. A dependency that is there already stays as it is.
///
/// # Errors
/// The text is no manifest of a package.
pub fn add_runtime(manifest: &str, shown: &Path, path: Option<&str>, dialect: Dialect) -> Result<String, Problem> {
    edit(manifest, shown, |document, refused| {
        let dependencies = document.entry("dependencies").or_insert(Item::Table(Table::new()));
        let Some(dependencies) = dependencies.as_table_like_mut() else {
            return Err(refused("`dependencies` is not a table".to_owned()));
        };
        if dependencies.contains_key("migrate-runtime") {
            return Ok(false);
        }
        let mut runtime = InlineTable::new();
        match path {
            Some(path) => runtime.insert("path", path.into()),
            None => runtime.insert("version", env!("CARGO_PKG_VERSION").into()),
        };
        let libraries = ["rusqlite", "postgres"].into_iter().filter(|library| dependencies.contains_key(library));
        let mut features: toml_edit::Array = libraries.collect();
        if dialect == Dialect::Postgres && !dependencies.contains_key("postgres") {
            features.push("postgres-url");
        }
        if !features.is_empty() {
            runtime.insert("features", features.into());
        }
        dependencies.insert("migrate-runtime", value(runtime));
        Ok(true)
    })
}

/// How a program with these dependencies runs the migrations that it embeds.
#[must_use]
pub fn start_up(manifest: &str, dialect: Dialect) -> &'static str {
    let has_client = |document: DocumentMut| {
        document.get("dependencies").and_then(Item::as_table_like).is_some_and(|of| of.contains_key("postgres"))
    };
    match dialect {
        Dialect::Sqlite => "MIGRATIONS.upgrade(&mut connection)?",
        Dialect::Postgres if manifest.parse().is_ok_and(has_client) => "MIGRATIONS.upgrade(&mut client)?",
        Dialect::Postgres => "MIGRATIONS.upgrade_url(&url)?",
    }
}

/// Edits a manifest's text; where `change` changes nothing the text stays byte for byte.
fn edit(
    manifest: &str,
    shown: &Path,
    change: impl FnOnce(&mut DocumentMut, &dyn Fn(String) -> Problem) -> Result<bool, Problem>,
) -> Result<String, Problem> {
    let refused = |message: String| Problem::new(Code("invalid-manifest"), message).in_file(shown);
    let (mark, text) = match manifest.strip_prefix('\u{FEFF}') {
        Some(text) => ("\u{FEFF}", text),
        None => ("", manifest),
    };
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| refused(printable(error.message())))?;
    if !change(&mut document, &refused)? {
        return Ok(manifest.to_owned());
    }
    let edited = document.to_string();
    let windows = text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count();
    let edited = if windows { edited.replace("\r\n", "\n").replace('\n', "\r\n") } else { edited };
    Ok(format!("{mark}{edited}"))
}

fn configuration(answers: &Answers) -> Table {
    let mut migrate = Table::new();
    migrate.insert("migrations", value(&answers.migrations));
    if !answers.databases {
        return migrate;
    }
    let package = &answers.package;
    let mut test = InlineTable::new();
    let dev = match answers.dialect {
        Dialect::Sqlite => {
            test.insert("url", format!("sqlite:{package}_test.db").into());
            value(format!("sqlite:{package}.db"))
        }
        // Without a host it is the developer's own server, and what is applied there is nobody else's business.
        Dialect::Postgres => {
            test.insert("url", format!("postgres:///{package}_test").into());
            let mut dev = InlineTable::new();
            dev.insert("url", format!("postgres:///{package}").into());
            dev.insert("shared", false.into());
            value(dev)
        }
    };
    test.insert("scratch", true.into());
    let mut databases = Table::new();
    databases.insert("dev", dev);
    databases.insert("test", value(test));
    migrate.insert("database", value("dev"));
    TableLike::insert(&mut migrate, "databases", Item::Table(databases));
    migrate
}

/// The lines of a package's `.gitignore`: what is this checkout's own, what a killed process may leave, and each SQLite file below the package
/// with what SQLite and the runner put beside it (`-journal`, `-wal`, `-shm`, the lock of a split run).
#[must_use]
pub fn ignore_lines<'a>(root: &Path, sqlite_files: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
    let mut lines = vec!["migrate.local".to_owned(), ".cargo-migrate-*.tmp".to_owned(), "/.migrate/".to_owned()];
    for file in sqlite_files {
        if let Some(path) = file.strip_prefix(root).ok().and_then(Path::to_str) {
            let line = format!("/{}*", git_pattern(path));
            if !path.is_empty() && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// The lines of a package's `.gitattributes`, which keep the line endings of migrations on every system.
#[must_use]
pub fn attribute_lines(migrations: &str) -> Vec<String> {
    let folder = git_pattern(migrations.trim_start_matches("./").trim_end_matches('/'));
    ["*.sql", "migrate.lock"]
        .map(|file| {
            let pattern = format!("{folder}/{file}");
            if pattern.contains([' ', '"']) {
                format!("\"{}\" text eol=lf", pattern.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                format!("{pattern} text eol=lf")
            }
        })
        .to_vec()
}

/// A path in git's pattern language, where some characters mean more than themselves.
fn git_pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '\\' if cfg!(windows) => pattern.push('/'),
            '*' | '?' | '[' | '\\' => pattern.extend(['\\', c]),
            _ => pattern.push(c),
        }
    }
    pattern
}

/// A text with the wanted lines that it lacks at its end; `None` where it has them all.
#[must_use]
pub fn add_lines(existing: &str, wanted: &[&str]) -> Option<String> {
    let has = |line: &str| existing.lines().any(|old| old.trim_end() == line.trim_end());
    let missing: Vec<_> = wanted.iter().filter(|line| !has(line)).collect();
    if missing.is_empty() {
        return None;
    }
    let end = if existing.contains("\r\n") { "\r\n" } else { "\n" };
    let mut text = existing.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(end);
    }
    for line in missing {
        text.push_str(line);
        text.push_str(end);
    }
    Some(text)
}

/// Writes a file whole or not at all: a temporary file in the same folder, synced, renamed over the old one,
/// whose permissions it takes. A symbolic link stays; what it leads to is replaced.
///
/// # Errors
/// The path is a folder, a device or a read-only file, or the system refuses.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    replace(path, bytes).map_err(|error| {
        Problem::new(Code("write-failed"), format!("the file cannot be written: {error}")).in_file(path)
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = destination(path)?;
    let old = match std::fs::metadata(&target) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(old) = &old {
        if !old.is_file() {
            return Err(io::Error::other("something that is not a file has its name"));
        }
        if old.permissions().readonly() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
        }
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".migrate-").suffix(".tmp");
    #[cfg(unix)]
    let new = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    // What the process's mask leaves of this is what an ordinary new file gets.
    #[cfg(unix)]
    builder.permissions(new);
    let mut file = builder.tempfile_in(folder)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    // The name is on the disk once its folder is. Not every system can sync a folder, and the content is safe.
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).ok();
    Ok(())
}

/// The end of a chain of symbolic links, whether or not there is a file.
fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            manifest: "Cargo.toml".into(),
            package: "todo".into(),
            migrations: "migrations".into(),
            databases: true,
            dialect: Dialect::Sqlite,
        }
    }

    const ADDED: &str = "[package.metadata.migrate]\nmigrations = \"migrations\"\ndatabase = \"dev\"\n\n\
        [package.metadata.migrate.databases]\ndev = \"sqlite:todo.db\"\n\
        test = { url = \"sqlite:todo_test.db\", scratch = true }\n";

    #[test]
    fn the_configuration_is_added_and_everything_else_stays() {
        let manifest = "# mine\n[package]\nname   = \"todo\" # here\n\n# theirs\n[dependencies]\nserde = \"1\"\n";
        let edited = add_configuration(manifest, &answers()).unwrap();
        assert!(edited.contains(ADDED), "{edited}");
        assert_eq!(edited.replacen(&format!("\n{ADDED}"), "", 1), manifest, "{edited}");
        assert_eq!(add_configuration(&edited, &answers()).unwrap(), edited);
    }

    #[test]
    fn on_a_server_the_databases_are_those_of_the_developers_own() {
        let answers = Answers { dialect: Dialect::Postgres, ..answers() };
        let edited = add_configuration("[package]\nname = \"todo\"\n", &answers).unwrap();
        let databases = "[package.metadata.migrate.databases]\ndev = { url = \"postgres:///todo\", shared = false }\n\
            test = { url = \"postgres:///todo_test\", scratch = true }\n";
        assert!(edited.contains(databases), "{edited}");
    }

    #[test]
    fn windows_line_endings_and_the_byte_order_mark_stay() {
        let edited = add_configuration("\u{FEFF}[package]\r\nname = \"todo\"\r\n", &answers()).unwrap();
        assert_eq!(edited, format!("\u{FEFF}[package]\r\nname = \"todo\"\r\n\r\n{}", ADDED.replace('\n', "\r\n")));
    }

    #[test]
    fn other_metadata_is_kept_in_whatever_form_it_is_written() {
        for metadata in [
            "[package.metadata]\na = 1\n",
            "[package.metadata.docs]\na = 1\n",
            "metadata.docs.a = 1\n",
            "metadata = { a = 1 }\n",
        ] {
            let edited = add_configuration(&format!("[package]\nname = \"todo\"\n{metadata}"), &answers()).unwrap();
            let read: DocumentMut = edited.parse().unwrap();
            assert_eq!(
                read["package"]["metadata"]["migrate"]["databases"]["dev"].as_str(),
                Some("sqlite:todo.db"),
                "{edited}"
            );
            assert_eq!(read["package"]["metadata"]["migrate"]["database"].as_str(), Some("dev"));
            assert!(edited.contains("a = 1"), "{edited}");
        }
    }

    #[test]
    fn a_virtual_manifest_is_refused_with_what_to_type() {
        let problem = add_configuration("[workspace]\n", &answers()).unwrap_err();
        assert!(format!("{problem:?}").contains("init -p NAME"));
        assert!(add_configuration("[package", &answers()).is_err());
    }

    #[test]
    fn only_missing_lines_are_added_with_the_files_own_endings() {
        assert_eq!(add_lines("", &["a", "b"]).as_deref(), Some("a\nb\n"));
        assert_eq!(add_lines("b \n", &["b"]), None);
        assert_eq!(add_lines("x\r\nb", &["a", "b"]).as_deref(), Some("x\r\nb\r\na\r\n"));
    }

    #[test]
    fn git_is_told_of_the_databases_below_the_package_and_no_others() {
        let files = [
            Path::new("/app/todo.db"),
            Path::new("/app/data/[1].db"),
            Path::new("/srv/prod.db"),
            Path::new("/app/todo.db"),
        ];
        let lines = ignore_lines(Path::new("/app"), files);
        assert_eq!(lines, ["migrate.local", ".cargo-migrate-*.tmp", "/.migrate/", "/todo.db*", "/data/\\[1].db*"]);
        assert_eq!(
            attribute_lines("migrations"),
            ["migrations/*.sql text eol=lf", "migrations/migrate.lock text eol=lf"]
        );
        assert_eq!(attribute_lines("my db/")[1], "\"my db/migrate.lock\" text eol=lf");
    }

    #[test]
    fn a_file_is_created_and_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomically(folder.path(), b"x").is_err());
        assert!(write_atomically(&folder.path().join("none/a"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_symbolic_links_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        std::os::unix::fs::symlink("a", &link).unwrap();
        write_atomically(&link, b"one").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        write_atomically(&link, b"two").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        assert!(format!("{:?}", write_atomically(&link, b"three").unwrap_err()).contains("read-only"));
    }
}
