//! Database URLs: read once, here, into a location; shown with their passwords masked.

use std::fmt;
use std::path::{Path, PathBuf};

use build_support::problem::{Code, Problem, nearest, printable};
use migrate_runtime::server::{Environment, ServerUrl};

use super::database::identity;

/// A database URL that has been read: where the database is, and the URL in a form that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    shown: String,
    location: Location,
    relative: bool,
}

/// Where a database is. Closed on purpose: a new kind of database has to be met in every `match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite {
        /// The file, absolute where the folder that it was joined to is.
        path: PathBuf,
        /// How the URL says to open it; `None` where it doesn't say.
        mode: Option<SqliteMode>,
    },
    /// A database of a PostgreSQL server.
    Postgres(Box<ServerUrl>),
}

/// What all URLs of one database have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// A file's path without links, as far as it is there.
    File(PathBuf),
    /// A server's address with the database and the schema.
    Server(String),
}

/// `?mode=` as sqlx and SQLite write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqliteMode {
    /// `ro`: only read.
    ReadOnly,
    /// `rw`: read and write, and never create the file.
    ReadWrite,
    /// `rwc`: read and write, and create the file where it is missing.
    ReadWriteCreate,
}

impl DatabaseUrl {
    /// The URL of a file, `shown` as it would be typed.
    #[must_use]
    pub fn of_file(path: &Path, shown: &Path) -> Self {
        let mut text = "sqlite:".to_owned();
        for c in printable(&shown.to_string_lossy()).chars() {
            match c {
                '%' | '?' | '#' => text.push_str(&format!("%{:02X}", u32::from(c))),
                c => text.push(c),
            }
        }
        Self { shown: text, location: Location::Sqlite { path: path.to_owned(), mode: None }, relative: false }
    }

    /// The URL of a server's database.
    #[must_use]
    pub fn of_server(server: ServerUrl) -> Self {
        Self { shown: server.shown().to_owned(), relative: false, location: Location::Postgres(Box::new(server)) }
    }

    /// Where the database is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The SQLite file; `None` of a server.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            Location::Sqlite { path, .. } => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// How the URL says to open the SQLite file; `None` where it doesn't say.
    #[must_use]
    pub fn mode(&self) -> Option<SqliteMode> {
        match &self.location {
            Location::Sqlite { mode, .. } => *mode,
            Location::Postgres(_) => None,
        }
    }

    /// What tells this database from others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        match &self.location {
            Location::Sqlite { path, .. } => Identity::File(identity(path)),
            Location::Postgres(server) => {
                let schema = server.schema().map(|schema| format!("?schema={schema}")).unwrap_or_default();
                Identity::Server(server.identity() + &schema)
            }
        }
    }

    /// Whether the URL gave the file by a relative path.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.relative
    }

    /// The same database opened as another URL of it says: in the mode that it asks for, where it asks for one, or as the
    /// user that it names to the server.
    pub(super) fn opened_as(mut self, other: &Self) -> Self {
        match &mut self.location {
            Location::Sqlite { mode, .. } => *mode = other.mode().or(*mode),
            Location::Postgres(_) => return other.clone(),
        }
        self
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.shown)
    }
}

/// A URL whose text has been understood and whose path has not been joined to a folder yet.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// `env:NAME`: the URL is the value of a variable.
    Variable(String),
    /// A SQLite file.
    Sqlite { shown: String, path: PathBuf, mode: Option<SqliteMode> },
    /// The text of a server's URL, which is read where it is known what stands in for what it leaves out.
    Postgres(String),
}

impl Reference {
    /// Joins a relative path to a folder, and reads a server's URL; a reference to a variable is a problem here.
    pub(super) fn resolve(self, base: &Path, environment: &Environment<'_>) -> Result<DatabaseUrl, Problem> {
        match self {
            Self::Postgres(text) => Ok(DatabaseUrl::of_server(ServerUrl::parse(&text, environment)?)),
            Self::Sqlite { shown, path, mode } => Ok(DatabaseUrl {
                shown,
                relative: path.is_relative(),
                // `join` keeps `./`, the components do not.
                location: Location::Sqlite { path: base.join(path).components().collect(), mode },
            }),
            Self::Variable(name) => Err(Problem::new(
                INVALID,
                format!("the environment variable `{name}` stands where the URL itself should be"),
            )
            .help("write the URL into the first variable: `env:` does not lead on to another `env:`")),
        }
    }
}

pub(super) const INVALID: Code = Code("invalid-database-url");
pub(super) const UNSUPPORTED: Code = Code("unsupported-database");
const MEMORY: Code = Code("memory-database");

const SCHEMES: [&str; 8] = ["sqlite", "postgres", "postgresql", "mysql", "mariadb", "mssql", "sqlserver", "env"];

/// Reads the text of a URL. No message repeats more of it than its scheme, a file name or a parameter's name.
pub(super) fn parse(text: &str) -> Result<Reference, Problem> {
    if text.chars().any(char::is_control) {
        return Err(Problem::new(INVALID, "the database URL has control characters in it")
            .help("write it without line feeds, tabs and NUL characters"));
    }
    let text = text.trim();
    if is_keywords(text) {
        return Err(Problem::new(INVALID, "a database is named by a URL, and not by keywords and values")
            .help("write `postgres://USER@HOST:PORT/DATABASE`"));
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| !is_drive(scheme)) else {
        return Err(bare_path(text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" => sqlite(text, rest),
        "postgres" | "postgresql" => Ok(Reference::Postgres(text.to_owned())),
        "env" => variable(rest),
        "file" => Err(Problem::new(INVALID, "`file:` is not a database URL")
            .help(format!("write `sqlite:{}`", printable(rest.trim_start_matches("//"))))),
        known if SCHEMES.contains(&known) => Err(Problem::new(
            UNSUPPORTED,
            format!("`{known}:` databases are not supported by this version of cargo migrate"),
        )
        .help("use a SQLite or a PostgreSQL database: `sqlite:FILE`, `postgres://…`")),
        _ => Err(unknown_scheme(scheme, rest)),
    }
}

/// Whether this is what programs on libpq take besides a URL: `host=… port=…`, in which there may be a password.
fn is_keywords(text: &str) -> bool {
    const KEYWORDS: [&str; 8] = ["host", "hostaddr", "port", "dbname", "user", "password", "service", "sslmode"];
    text.split_once('=').is_some_and(|(first, _)| KEYWORDS.contains(&first.trim_end()))
}

fn unknown_scheme(scheme: &str, rest: &str) -> Problem {
    let named = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) && !scheme.is_empty();
    // With an `@` behind it this may be `user:password@host`: then nothing of it is repeated.
    if !named || (rest.contains('@') && !rest.starts_with('/')) {
        return Problem::new(INVALID, "this is not a database URL").help("write `sqlite:FILE`, or `env:VARIABLE`");
    }
    let problem = Problem::new(INVALID, format!("`{scheme}:` is not a database URL's scheme"));
    match nearest(&scheme.to_ascii_lowercase(), SCHEMES) {
        Some("env") => problem.help("write `env:VARIABLE`"),
        Some("sqlite") if !rest.contains('@') => problem.help(format!("write `sqlite:{}`", printable(rest))),
        Some(near) => problem.help(format!("write `{near}:`")),
        None => problem.help("write `sqlite:FILE`, or `env:VARIABLE`"),
    }
}

fn bare_path(text: &str) -> Problem {
    if text.is_empty() {
        return Problem::new(INVALID, "the database URL is empty").help("write `sqlite:FILE`, or `env:VARIABLE`");
    }
    if text.contains('@') {
        return Problem::new(INVALID, "this is not a database URL").help("write `sqlite:FILE`, or `env:VARIABLE`");
    }
    let shown = printable(text);
    Problem::new(INVALID, format!("`{shown}` is a path and not a database URL")).help(format!("write `sqlite:{shown}`"))
}

/// Whether a word that is no configured database's name was meant as a path or a URL.
pub(super) fn looks_like_url_or_path(text: &str) -> bool {
    let endings = [".db", ".db3", ".sqlite", ".sqlite3", ".s3db"];
    is_keywords(text)
        || text.contains([':', '/', '\\', '@'])
        || endings.iter().any(|end| text.to_ascii_lowercase().ends_with(end))
}

fn variable(name: &str) -> Result<Reference, Problem> {
    let mut characters = name.chars();
    let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(Reference::Variable(name.to_owned()));
    }
    Err(Problem::new(INVALID, "`env:` is not followed by the name of an environment variable")
        .help("write the variable's name alone, such as `env:PROD_DATABASE_URL`"))
}

/// The forms that sqlx reads: `sqlite:path`, `sqlite://path`, `sqlite:///absolute/path`, each with `?mode=`.
fn sqlite(text: &str, rest: &str) -> Result<Reference, Problem> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path == ":memory:" {
        return Err(in_memory());
    }
    let mode = mode(query)?;
    let path = decoded(path)?;
    if path.chars().any(char::is_control) {
        return Err(Problem::new(INVALID, "the database's path has control characters in it")
            .help("look for `%00`, `%0A` and the like in the URL"));
    }
    // What `sqlite:///C:/todo.db` means: a drive has no folder above it.
    let path = match path.strip_prefix('/') {
        Some(rest) if cfg!(windows) && rest.split_once(':').is_some_and(|(drive, _)| is_drive(drive)) => rest,
        _ => path.as_str(),
    };
    if path.is_empty() || path == ":memory:" {
        return Err(if path.is_empty() {
            Problem::new(INVALID, "the database URL names no file").help("write `sqlite:FILE`")
        } else {
            in_memory()
        });
    }
    if path.starts_with("file:") {
        return Err(Problem::new(INVALID, "`sqlite:` is followed by another scheme, `file:`")
            .help("write the path alone: `sqlite:FILE`"));
    }
    if path.ends_with(['/', '\\']) || Path::new(path).file_name().is_none() {
        return Err(Problem::new(INVALID, format!("`{}` is a folder and not a file", printable(path)))
            .help("write the path of the database's file: `sqlite:FILE`"));
    }
    Ok(Reference::Sqlite { shown: printable(&mask(text)), path: PathBuf::from(path), mode })
}

fn in_memory() -> Problem {
    Problem::new(MEMORY, "a database in memory is gone when the command ends")
        .note("nothing that is done to it would be kept")
        .help("name a file: `sqlite:FILE`")
}

fn mode(query: &str) -> Result<Option<SqliteMode>, Problem> {
    let mut mode = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("mode", "ro") => mode = Some(SqliteMode::ReadOnly),
            ("mode", "rw") => mode = Some(SqliteMode::ReadWrite),
            ("mode", "rwc") => mode = Some(SqliteMode::ReadWriteCreate),
            ("mode", "memory") => return Err(in_memory()),
            ("mode", _) => {
                return Err(Problem::new(INVALID, "the URL's parameter `mode` has a value that is not known")
                    .help("write `mode=ro`, `mode=rw` or `mode=rwc`"));
            }
            (name, _) => {
                return Err(Problem::new(
                    INVALID,
                    format!("the parameter `{}` of a SQLite URL is not understood", printable(name)),
                )
                .help("take it out; `mode` is the one that is understood")
                .help("a question mark in a file's name is written `%3F`"));
            }
        }
    }
    Ok(mode)
}

/// Percent signs that start no escape stand for themselves, as they do for sqlx.
fn decoded(path: &str) -> Result<String, Problem> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = path.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| Some((digit(bytes.get(at + 1))?, digit(bytes.get(at + 2))?))).flatten();
        match escape.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_err(|_| {
        Problem::new(INVALID, "the percent escapes of the database's path are not UTF-8")
            .help("write the path's letters as they are; only `%`, `?` and `#` need an escape")
    })
}

/// `C:` and the like: a Windows path, not a scheme.
fn is_drive(scheme: &str) -> bool {
    scheme.len() == 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The text with what may be a password replaced by `***`, however long it is. Line feeds stay, so that the lines of a
/// manifest keep their numbers.
pub(super) fn mask(text: &str) -> String {
    let mut secrets = Vec::new();
    if let (Some(scheme), Some(at)) = (text.find(':'), text.rfind('@')) {
        let slashes = text[scheme + 1..].chars().take_while(|c| *c == '/').count();
        let user = scheme + 1 + slashes;
        // `user:password@`; where there is no user, everything up to the `@` may be the secret.
        if user < at {
            let secret = text[user..at].find(':').map_or(user, |colon| user + colon + 1);
            secrets.push(secret..at);
        }
    }
    for word in ["password=", "passwd=", "pwd=", "token=", "key="] {
        for (found, _) in text.to_ascii_lowercase().match_indices(word) {
            let start = found + word.len();
            let end = text[start..].find(['&', '"', '\'']).map_or(text.len(), |end| start + end);
            secrets.push(start..end);
        }
    }
    secrets.sort_by_key(|secret| secret.start);
    let (mut masked, mut done) = (String::new(), 0);
    for secret in secrets {
        if secret.start >= done {
            masked.push_str(&text[done..secret.start]);
            masked.push_str("***");
            masked.extend(text[secret.clone()].chars().filter(|c| *c == '\n'));
        }
        done = done.max(secret.end);
    }
    masked + &text[done..]
}

#[cfg(test)]
mod tests;
