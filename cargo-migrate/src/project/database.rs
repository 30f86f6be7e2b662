//! Which database a command works on.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use build_support::problem::{Code, Problem, nearest, printable};
use build_support::token::Dialect;
use migrate_runtime::server::{Environment, ServerUrl, system_user};

use super::layer::INVALID;
use super::manifest::Section;
use super::settings::{BackupPolicy, DatabaseSetting, SessionSettings, Settings};
use super::url::{self, Reference};
pub use super::url::{DatabaseUrl, Identity, Location, SqliteMode};
use super::variables::Variables;

/// The variable that chooses a database, by its name or as a URL.
pub const CHOICE_VARIABLE: &str = "CARGO_MIGRATE_DATABASE";
/// The variable that many tools take the database's URL from.
pub const URL_VARIABLE: &str = "DATABASE_URL";

/// Nothing chooses a database.
pub(crate) const NO_DATABASE: Code = Code("no-database");
const UNKNOWN_DATABASE: Code = Code("unknown-database");
/// The variable that holds a URL is not set.
pub(crate) const MISSING_VARIABLE: Code = Code("missing-variable");

/// A database that a command works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name in the configuration; `None` where it was given as a URL.
    pub name: Option<String>,
    /// Where it is.
    pub url: DatabaseUrl,
    /// Whether it is thrown away after use: it is never written in a lock file.
    pub scratch: bool,
    /// Whether a person is asked before it is written.
    pub protected: bool,
    /// Whether others use it too: it is written in `migrate.lock`, not in `migrate.local`.
    pub shared: bool,
    /// When a run makes a backup first.
    pub backup: BackupPolicy,
    /// What a session on its server is set to; of no meaning for a file.
    pub session: SessionSettings,
}

impl Database {
    /// The name that it has in a lock file: its own, or `url`.
    #[must_use]
    pub fn lock_name(&self) -> &str {
        self.name.as_deref().unwrap_or("url")
    }

    /// A database that no configuration knows, as if it was given by its URL on the command line.
    #[must_use]
    pub fn unnamed(url: DatabaseUrl, backup: BackupPolicy) -> Self {
        Self {
            name: None,
            url,
            scratch: false,
            protected: false,
            shared: true,
            backup,
            session: SessionSettings::default(),
        }
    }

    /// The database's server; `None` of a file.
    #[must_use]
    pub fn server(&self) -> Option<&ServerUrl> {
        match self.url.location() {
            Location::Postgres(server) => Some(server),
            Location::Sqlite { .. } => None,
        }
    }

    /// What it is, in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.server().is_some() { "database" } else { "file" }
    }

    /// By whose rules its migrations are read.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.url.location() {
            Location::Postgres(_) => Dialect::Postgres,
            Location::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Adds where it is to a problem that is about it.
    #[must_use]
    pub fn blamed(&self, problem: Problem) -> Problem {
        match self.url.location() {
            Location::Sqlite { path, .. } => problem.in_file(path),
            Location::Postgres(_) => problem.note(format!("it is about {}", self.url)),
        }
    }

    /// Whether `upgrade` creates a missing file without `--create`. A server's database is made on request alone: where it
    /// is missing, the URL is likely to be wrong.
    #[must_use]
    pub fn may_be_created(&self) -> bool {
        self.name.is_some()
            && self.url.file().is_some()
            && !self.protected
            && !matches!(self.url.mode(), Some(SqliteMode::ReadOnly | SqliteMode::ReadWrite))
    }
}

impl fmt::Display for Database {
    /// Its name, or its URL with the password masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.url.fmt(f),
        }
    }
}

/// What a choice is made from.
pub(super) struct Databases<'a> {
    pub(super) settings: &'a Settings,
    pub(super) variables: Variables<'a>,
    pub(super) root: &'a Path,
    pub(super) workspace_root: &'a Path,
    pub(super) working_directory: &'a Path,
    pub(super) manifest: Option<&'a Path>,
}

/// Who gave a URL. It decides the folder of a relative path, and who else may use such a database.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// `-d URL`: relative to the working directory, and another person's for all that is known.
    CommandLine(&'a Path),
    /// The manifest, the environment or a `.env`: a relative path is this checkout's own database.
    Configuration(&'a Path),
}

impl Databases<'_> {
    /// The database of a choice made with `-d`, else of what the environment and the configuration say.
    pub(super) fn choose(&self, choice: Option<&str>, chooser: Option<&str>) -> Result<Database, Problem> {
        if let Some(choice) = choice {
            return self.named_or_url(choice, Origin::CommandLine(self.working_directory));
        }
        if let Some(choice) = chooser {
            return self
                .named_or_url(choice, Origin::Configuration(self.root))
                .map_err(|problem| problem.note(format!("the choice comes from the variable `{CHOICE_VARIABLE}`")));
        }
        if let Some(name) = &self.settings.database {
            return self.configured(name);
        }
        if let Some(found) = self.variables.find(URL_VARIABLE)? {
            let base = found.folder.as_deref().unwrap_or(self.root);
            return url::parse(&found.value)
                .and_then(|reference| self.located(reference, base))
                .and_then(|url| self.given(url, Origin::Configuration(base)))
                .map_err(|problem| without_value(problem, URL_VARIABLE));
        }
        match self.settings.databases.as_slice() {
            [only] => self.database(only),
            several => Err(self.no_choice(several)),
        }
    }

    /// A configured database.
    pub(super) fn configured(&self, name: &str) -> Result<Database, Problem> {
        match self.settings.configured(name) {
            Some(setting) => self.database(setting),
            None => Err(self.unknown(name)),
        }
    }

    fn named_or_url(&self, choice: &str, origin: Origin<'_>) -> Result<Database, Problem> {
        let (Origin::CommandLine(base) | Origin::Configuration(base)) = origin;
        if self.settings.configured(choice).is_some() || !(choice.is_empty() || url::looks_like_url_or_path(choice)) {
            return self.configured(choice);
        }
        let url = self.resolve(url::parse(choice)?, base, None)?;
        self.given(url, origin)
    }

    /// A URL's database, which is the configured one where both mean the same file.
    fn given(&self, url: DatabaseUrl, origin: Origin<'_>) -> Result<Database, Problem> {
        if let Some((setting, _)) = self.of(&url.identity()).next() {
            let mut same = self.database(setting)?;
            // Whoever names a user means what that one may do.
            let user = |url: &DatabaseUrl| match url.location() {
                Location::Postgres(server) => Some(server.user().to_owned()),
                Location::Sqlite { .. } => None,
            };
            if user(&same.url) != user(&url) {
                same.session.role = None;
            }
            return Ok(Database { url: same.url.clone().opened_as(&url), ..same });
        }
        let shared = match origin {
            Origin::CommandLine(_) => true,
            Origin::Configuration(_) => !url.is_relative(),
        };
        Ok(Database { shared, ..Database::unnamed(url, self.settings.backup) })
    }

    /// The database of a URL that was found from the command line.
    pub(super) fn of_url(&self, url: DatabaseUrl) -> Result<Database, Problem> {
        self.given(url, Origin::CommandLine(self.working_directory))
    }

    /// What a URL on the command line, or the one in a variable that it names, leads to.
    pub(super) fn url(&self, text: &str) -> Result<DatabaseUrl, Problem> {
        self.resolve(url::parse(text)?, self.working_directory, None)
    }

    /// Where the configured databases are. One whose URL cannot be read is nowhere.
    pub(super) fn places(&self) -> HashMap<DatabaseKey, DatabaseUrl> {
        let all = self.settings.databases.iter().filter_map(|setting| self.alone(setting).ok());
        all.map(|database| (DatabaseKey::of(&database.url), database.url)).collect()
    }

    /// A configured database. Where others of another name mean the same file, the stricter protection counts, and
    /// one that is thrown away cannot be one that is kept.
    fn database(&self, setting: &DatabaseSetting) -> Result<Database, Problem> {
        let mut database = self.alone(setting)?;
        for (other, same) in self.of(&database.url.identity()) {
            if same.scratch != database.scratch {
                let (scratch, kept) = if same.scratch { (other, setting) } else { (setting, other) };
                return Err(Problem::new(
                    INVALID,
                    format!(
                        "`{}` and `{}` are one {}, and only the first is scratch",
                        scratch.name,
                        kept.name,
                        database.kind()
                    ),
                )
                .at(scratch.place())
                .at(kept.place())
                .note("what is applied to a scratch database may be emptied at any time")
                .help("give one of them another URL, or say `scratch = true` for both"));
            }
            database.protected |= same.protected;
            database.shared |= same.shared;
        }
        Ok(database)
    }

    /// The configured databases that are this one. One whose URL cannot be read is none of them.
    fn of<'f>(&'f self, it: &'f Identity) -> impl Iterator<Item = (&'f DatabaseSetting, Database)> {
        let all = self.settings.databases.iter().filter_map(|setting| Some((setting, self.alone(setting).ok()?)));
        all.filter(move |(_, database)| database.url.identity() == *it)
    }

    /// What a configured database's own line says.
    fn alone(&self, setting: &DatabaseSetting) -> Result<Database, Problem> {
        let base = match setting.section {
            Section::Package => self.root,
            Section::Workspace => self.workspace_root,
        };
        let reference = setting.url.clone().map_err(|problem| problem.at(setting.place()))?;
        let url = self.resolve(reference, base, Some(setting))?;
        Ok(Database {
            name: Some(setting.name.clone()),
            scratch: setting.scratch,
            protected: setting.protected,
            shared: setting.shared.unwrap_or(!url.is_relative()),
            backup: setting.backup.unwrap_or(self.settings.backup),
            session: setting.session.clone(),
            url,
        })
    }

    /// Looks up a variable where the URL is in one. A relative path in a `.env` is relative to its folder.
    fn resolve(
        &self,
        reference: Reference,
        base: &Path,
        setting: Option<&DatabaseSetting>,
    ) -> Result<DatabaseUrl, Problem> {
        let here = |problem: Problem| match setting {
            Some(setting) => problem.at(setting.place()),
            None => problem,
        };
        let Reference::Variable(name) = reference else { return self.located(reference, base).map_err(here) };
        let Some(found) = self.variables.find(&name)? else {
            return Err(here(
                Problem::new(MISSING_VARIABLE, format!("the environment variable `{name}` is not set")).help(format!(
                    "set it: `{name}=sqlite:FILE` or `{name}=postgres://…`, in the environment or in a `.env` file"
                )),
            ));
        };
        let base = found.folder.as_deref().unwrap_or(base);
        url::parse(&found.value)
            .and_then(|reference| self.located(reference, base))
            .map_err(|problem| here(without_value(problem, &name)))
    }

    /// What a reference leads to. What a server's URL leaves out is looked up where its own programs look.
    fn located(&self, reference: Reference, base: &Path) -> Result<DatabaseUrl, Problem> {
        let variable = |name: &str| self.variables.find(name).ok().flatten().map(|found| found.value);
        let home = variable(if cfg!(windows) { "APPDATA" } else { "HOME" }).map(PathBuf::from);
        reference.resolve(base, &Environment { variable: &variable, home, user: system_user() })
    }

    fn names(&self) -> String {
        self.settings.databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn unknown(&self, name: &str) -> Problem {
        let shown = printable(name);
        let problem = Problem::new(UNKNOWN_DATABASE, format!("no database is named `{shown}`"));
        let names = self.settings.databases.iter().map(|database| database.name.as_str());
        let problem = match self.settings.databases.is_empty() {
            true => problem.note("no databases are configured"),
            false => problem.note(format!("the configured databases are {}", self.names())),
        };
        match nearest(name, names) {
            Some(near) => problem.help(format!("write `{near}`")),
            None => problem.help(format!("a database that is not configured is given by its URL: `-d sqlite:{shown}`")),
        }
    }

    fn no_choice(&self, configured: &[DatabaseSetting]) -> Problem {
        let problem = Problem::new(NO_DATABASE, "no database is chosen");
        let problem = match self.manifest {
            Some(manifest) => problem.in_file(manifest),
            None => problem,
        };
        let Some(first) = configured.first() else {
            let problem = problem.note(format!("no databases are configured and `{URL_VARIABLE}` is not set"));
            return match self.manifest {
                Some(_) => {
                    problem.help("add to the manifest:\n[package.metadata.migrate.databases]\ndev = \"sqlite:FILE\"")
                }
                None => problem,
            }
            .help("or give one for this command: `-d sqlite:FILE`");
        };
        let name = &first.name;
        problem
            .note(format!("the configured databases are {}", self.names()))
            .help(format!("choose one for this command: `-d {name}`"))
            .help(format!("or for all: `database = \"{name}\"` in `[package.metadata.migrate]`"))
    }
}

/// A problem of a URL that came out of a variable. What is no URL at all may be a secret that was put into the
/// wrong variable, so nothing of it is repeated.
fn without_value(problem: Problem, variable: &str) -> Problem {
    if problem.code() != url::INVALID {
        return problem.note(format!("the URL comes from the variable `{variable}`"));
    }
    Problem::new(url::INVALID, format!("the value of the variable `{variable}` is not a database URL"))
        .note("the value is not shown, since it may be a secret")
        .help(format!("write `{variable}=sqlite:FILE` or `{variable}=postgres://…`; another `env:` is not followed"))
}

/// A choice as it may be shown: a URL with its password masked, whatever else is wrong with it.
#[must_use]
pub fn without_password(choice: &str) -> String {
    // A file's path has no password, and whoever types the line needs all of it.
    if is_name(choice) || choice.starts_with("sqlite:") {
        return choice.to_owned();
    }
    // A server's URL tells itself which piece of it is the password.
    migrate_runtime::server::shown(choice).unwrap_or_else(|| url::mask(choice))
}

/// Whether a choice is the name of a configured database, and no URL.
#[must_use]
pub fn is_name(choice: &str) -> bool {
    !url::looks_like_url_or_path(choice)
}

/// What two paths of one file have in common: the canonical path where the file or its folder exists, else the
/// path with `..` taken out of its text.
pub(crate) fn identity(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    if let (Some(folder), Some(name)) = (path.parent().and_then(|folder| folder.canonicalize().ok()), path.file_name())
    {
        return folder.join(name);
    }
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// What all URLs of one database have in common, those by links to its file among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseKey {
    /// The device and the number of a file that is there.
    Node(u64, u64),
    /// What its URL says: of a file that is not there, where the system gives no numbers, and of a server.
    Named(Identity),
}

impl DatabaseKey {
    /// The key of a URL's database.
    #[must_use]
    pub fn of(url: &DatabaseUrl) -> Self {
        url.file().map_or_else(|| Self::Named(url.identity()), Self::of_file)
    }

    /// The key of a file.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        #[cfg(unix)]
        if let Ok(found) = std::fs::metadata(path) {
            use std::os::unix::fs::MetadataExt as _;
            return Self::Node(found.dev(), found.ino());
        }
        Self::Named(Identity::File(identity(path)))
    }
}

#[cfg(test)]
mod tests;
