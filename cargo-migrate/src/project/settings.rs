//! What `[package.metadata.migrate]` and the workspace's defaults say, validated into [`Settings`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use build_support::problem::{Place, Problem, nearest};
use serde_json::Value;

use super::layer::{INVALID, Layer};
use super::manifest::{Manifest, Part, Section};
use super::template::FileTemplate;
use super::url::Reference;

/// A project's settings, the package's own over the workspace's defaults over what holds where both are silent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The package's key in the version table, where it isn't the package's name.
    pub name: Option<String>,
    /// The migrations folder, relative to the package.
    pub migrations: String,
    /// Files or globs with `#[derive(Table)]` structs, relative to the package; empty means all of `src`.
    pub models: Vec<String>,
    /// A file with what structs cannot say, relative to the package.
    pub schema: Option<String>,
    /// The default database's name, one of [`Settings::databases`].
    pub database: Option<String>,
    /// The configured databases: the package's in the order of its manifest, then the workspace's.
    pub databases: Vec<DatabaseSetting>,
    /// How new revisions are named.
    pub file_template: FileTemplate,
    /// The version table's name, a plain identifier.
    pub version_table: String,
    /// Whether a run commits revision by revision.
    pub per_revision: bool,
    /// How long a run waits for another one to finish.
    pub wait: Duration,
    /// The oldest SQLite that generated statements have to work with.
    pub minimum_sqlite: SqliteVersion,
    /// When a run makes a backup first.
    pub backup: BackupPolicy,
    /// How many of those backups stay.
    pub keep: u32,
    /// Whether the order of columns counts in comparisons.
    pub column_order: ColumnOrder,
    /// Packages outside the workspace whose migrations belong to the same databases.
    pub libraries: Vec<String>,
}

/// A configured database whose URL has been read but not been joined to a folder or looked up in a variable.
#[derive(Clone)]
pub struct DatabaseSetting {
    /// Its name.
    pub name: String,
    /// Whether it is thrown away after use and never written in a lock file.
    pub scratch: bool,
    /// Whether a person is asked before it is written.
    pub protected: bool,
    /// Whether others use it too; `None` lets its URL decide.
    pub shared: Option<bool>,
    /// When a run on it makes a backup first; `None` leaves it to [`Settings::backup`].
    pub backup: Option<BackupPolicy>,
    /// What a session on its server is set to.
    pub session: SessionSettings,
    pub(super) url: Result<Reference, Problem>,
    pub(super) section: Section,
    /// The keys below the section that lead to its URL.
    pub(super) keys: Vec<String>,
    pub(super) manifest: Arc<Manifest>,
}

impl DatabaseSetting {
    /// Where its URL stands.
    pub(super) fn place(&self) -> Place {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        self.manifest.place(self.section, &keys, Part::Value)
    }
}

impl fmt::Debug for DatabaseSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSetting").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a session on a server is set to before anything else is done in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// The role that owns what migrations make, as `SET ROLE` takes it.
    pub role: Option<String>,
    /// The schemas in which names are looked up, as `search_path` takes them; the first one is where new objects go.
    pub search_path: Option<String>,
    /// How long a statement waits for a lock before the run is taken back and tried again.
    pub lock_timeout: Option<Duration>,
    /// How long a statement may take; zero is as long as it likes.
    pub statement_timeout: Option<Duration>,
}

/// When a run makes a backup first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupPolicy {
    /// Before a run that can lose data.
    #[default]
    Destructive,
    /// Before every run.
    Always,
    /// Only when it is asked for.
    Never,
}

impl BackupPolicy {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "destructive" => Some(Self::Destructive),
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// Whether the order of columns counts in comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColumnOrder {
    /// Tables with the same columns in another order are equal.
    #[default]
    Any,
    /// They are not.
    Exact,
}

impl ColumnOrder {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "exact" => Some(Self::Exact),
            _ => None,
        }
    }
}

/// A version of SQLite: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqliteVersion(pub u32, pub u32, pub u32);

impl SqliteVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text
            .split('.')
            .map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten())
            .collect();
        match *numbers?.as_slice() {
            [3, minor] => Some(Self(3, minor, 0)),
            [3, minor, patch] => Some(Self(3, minor, patch)),
            _ => None,
        }
    }
}

impl Default for SqliteVersion {
    /// 3.35, the first that can drop a column.
    fn default() -> Self {
        Self(3, 35, 0)
    }
}

/// The workspace's `[workspace.metadata.migrate]`, read once for all of its members.
#[derive(Debug)]
pub(super) struct Defaults {
    layer: Layer,
    problems: Vec<Problem>,
    manifest: Arc<Manifest>,
}

impl Defaults {
    pub(super) fn read(table: &Value, manifest: Arc<Manifest>) -> Self {
        let mut problems = Vec::new();
        let layer = Layer::read(table, Section::Workspace, &manifest, &mut problems);
        Self { layer, problems, manifest }
    }

    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }
}

impl Settings {
    /// Reads and validates a package's table over the workspace's; all problems of both at once.
    pub(super) fn read(table: &Value, manifest: &Arc<Manifest>, defaults: &Defaults) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let package = Layer::read(table, Section::Package, manifest, &mut problems);
        problems.extend(defaults.problems.iter().cloned());
        let (section, manifest) = match package.database {
            Some(_) => (Section::Package, manifest),
            None => (Section::Workspace, &defaults.manifest),
        };
        let workspace = defaults.layer.clone();
        let settings = Self::merged(package, workspace);
        // With other problems its database may be among those that could not be read.
        if let Some(name) = settings.database.as_ref().filter(|_| problems.is_empty())
            && settings.configured(name).is_none()
        {
            let names = settings.databases.iter().map(|database| database.name.as_str());
            let problem = Problem::new(INVALID, format!("the default database `{name}` is not configured"))
                .at(manifest.place(section, &["database"], Part::Value));
            problems.push(match nearest(name, names) {
                Some(near) => problem.help(format!("write `database = \"{near}\"`")),
                None => problem.help(format!("add `{name} = \"sqlite:FILE\"` to `[{}]`", section.key(&["databases"]))),
            });
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// What counts of a library's table: its key and its folder. The rest is its own business, and may be written for
    /// another version of this program.
    pub(super) fn of_library(table: &Value, manifest: &Arc<Manifest>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let counts = |(key, _): &(&String, &Value)| matches!(key.as_str(), "name" | "migrations");
        let table: Value = match table.as_object() {
            Some(table) => table.iter().filter(counts).map(|(key, value)| (key.clone(), value.clone())).collect(),
            None => Value::Null,
        };
        let layer = Layer::read(&table, Section::Package, manifest, &mut problems);
        if problems.is_empty() { Ok(Self::merged(layer, Layer::default())) } else { Err(problems) }
    }

    /// The settings of a folder without a cargo project.
    pub(super) fn without_project() -> Self {
        Self::merged(Layer::default(), Layer::default())
    }

    /// A configured database by its name.
    pub(super) fn configured(&self, name: &str) -> Option<&DatabaseSetting> {
        self.databases.iter().find(|database| database.name == name)
    }

    fn merged(package: Layer, workspace: Layer) -> Self {
        let mut databases = package.databases;
        for default in workspace.databases {
            if !databases.iter().any(|own| own.name == default.name) {
                databases.push(default);
            }
        }
        Self {
            name: package.name,
            migrations: package.migrations.or(workspace.migrations).unwrap_or_else(|| "migrations".to_owned()),
            models: package.models.or(workspace.models).unwrap_or_default(),
            schema: package.schema.or(workspace.schema),
            database: package.database.or(workspace.database),
            databases,
            file_template: package.file_template.or(workspace.file_template).unwrap_or_default(),
            version_table: package.version_table.or(workspace.version_table).unwrap_or_else(|| "_cargo_migrate".into()),
            per_revision: package.per_revision.or(workspace.per_revision).unwrap_or(false),
            wait: package.wait.or(workspace.wait).unwrap_or(Duration::from_secs(30)),
            minimum_sqlite: package.minimum_sqlite.or(workspace.minimum_sqlite).unwrap_or_default(),
            backup: package.backup.or(workspace.backup).unwrap_or_default(),
            keep: package.keep.or(workspace.keep).unwrap_or(5),
            column_order: package.column_order.or(workspace.column_order).unwrap_or_default(),
            libraries: package.libraries.or(workspace.libraries).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Reads the settings as cargo would hand them over, from the text of one manifest.
    fn read(text: &str) -> Result<Settings, Vec<Problem>> {
        fn json(item: &toml_edit::Value) -> Value {
            use toml_edit::Value as Toml;
            match item {
                Toml::String(text) => text.value().as_str().into(),
                Toml::Integer(number) => (*number.value()).into(),
                Toml::Float(number) => (*number.value()).into(),
                Toml::Boolean(value) => (*value.value()).into(),
                Toml::Array(array) => array.iter().map(json).collect(),
                Toml::InlineTable(table) => {
                    Value::Object(table.iter().map(|(key, value)| (key.to_owned(), json(value))).collect())
                }
                Toml::Datetime(_) => Value::Null,
            }
        }
        let root = text.parse::<toml_edit::DocumentMut>().unwrap().into_table().into_inline_table();
        let root = json(&toml_edit::Value::InlineTable(root));
        let manifest = Arc::new(Manifest::new(Path::new("Cargo.toml"), text));
        let defaults = Defaults::read(&root["workspace"]["metadata"]["migrate"], Arc::clone(&manifest));
        Settings::read(&root["package"]["metadata"]["migrate"], &manifest, &defaults)
    }

    fn refused(lines: &str) -> String {
        let problems = read(&format!("[package.metadata.migrate]\n{lines}\n")).unwrap_err();
        problems.iter().map(|problem| format!("{problem:?}\n")).collect()
    }

    #[test]
    fn an_empty_configuration_has_the_defaults() {
        let settings = read("").unwrap();
        assert_eq!((settings.migrations.as_str(), settings.version_table.as_str()), ("migrations", "_cargo_migrate"));
        assert_eq!((settings.wait, settings.per_revision), (Duration::from_secs(30), false));
        assert_eq!(settings.minimum_sqlite, SqliteVersion(3, 35, 0));
        assert!(settings.databases.is_empty() && settings.database.is_none() && settings.name.is_none());
    }

    #[test]
    fn every_documented_key_is_accepted() {
        let settings = read(
            "[package.metadata.migrate]\nname = 'todo'\nmigrations = '../db/migrations'\nmodels = ['src/*.rs']\n\
             schema = 'schema.sql'\ndatabase = 'dev'\nfile-template = '%Y%m%d%H%M%S_{slug}'\n\
             version-table = 'history'\nper-revision = true\nwait = 0.5\nminimum-sqlite = '3.45.1'\n\
             backup = 'never'\nkeep = 3\ncolumn-order = 'exact'\nlibraries = ['queue']\n\
             [package.metadata.migrate.databases]\nprod = { url = 'env:PROD', protected = true, backup = 'always' }\n\
             dev = 'sqlite:todo.db'\ntest = { url = 'sqlite:test.db', scratch = true, shared = false }\n",
        )
        .unwrap();
        assert_eq!((settings.wait, settings.keep), (Duration::from_millis(500), 3));
        assert_eq!(settings.minimum_sqlite, SqliteVersion(3, 45, 1));
        let names: Vec<_> = settings.databases.iter().map(|database| database.name.as_str()).collect();
        assert_eq!(names, ["prod", "dev", "test"]);
    }

    #[test]
    fn the_package_overrides_the_workspace_key_by_key_and_database_by_database() {
        let settings = read(
            "[workspace.metadata.migrate]\nwait = 5\nmigrations = 'db'\n\
             [workspace.metadata.migrate.databases]\nmain = 'sqlite:main.db'\nlog = 'sqlite:log.db'\n\
             [package.metadata.migrate]\nwait = 7\n[package.metadata.migrate.databases]\nmain = 'sqlite:own.db'\n",
        )
        .unwrap();
        assert_eq!((settings.wait, settings.migrations.as_str()), (Duration::from_secs(7), "db"));
        let from: Vec<_> = settings.databases.iter().map(|it| (it.name.as_str(), it.section)).collect();
        assert_eq!(from, [("main", Section::Package), ("log", Section::Workspace)]);
    }

    #[test]
    fn a_mistyped_key_is_pointed_at_with_the_word_that_was_meant() {
        let refused =
            refused("migration = 'db'\n[package.metadata.migrate.databases]\na = { url = 'sqlite:a', scrach = true }");
        assert!(refused.contains("[unknown-key] Cargo.toml:2:1: `migration` is not a key"), "{refused}");
        assert!(refused.contains("write `migrations`"), "{refused}");
        assert!(refused.contains("Cargo.toml:4:25: `scrach` is not a key of `[package.metadata.migrate.databases.a]`"));
        assert!(refused.contains("write `scratch`"), "{refused}");
    }

    #[test]
    fn every_bad_value_is_reported_at_once() {
        let refused = refused(
            "name = 'a/b'\nmigrations = '/srv'\nversion-table = 'sqlite_x'\nper-revision = 1\nwait = -1\n\
             minimum-sqlite = '4'\nbackup = 'often'\nkeep = 0\ncolumn-order = 3\nfile-template = 'x'\nmodels = 'src'\n\
             [package.metadata.migrate.databases]\nurl = 'sqlite:a.db'\n'a b' = 'sqlite:a.db'\nc = {}\nd = 'todo.db'\ne = 4\n",
        );
        for line in (2..=12).chain(14..=18) {
            assert!(
                refused.contains(&format!("[invalid-setting] Cargo.toml:{line}:")) || line == 17,
                "{line}\n{refused}"
            );
        }
        assert!(refused.contains("[invalid-database-url] Cargo.toml:17:5: `todo.db` is a path"), "{refused}");
    }

    #[test]
    fn a_library_is_named_as_a_package_is_and_the_entry_that_is_not_is_pointed_at() {
        let settings = read("[package.metadata.migrate]\nlibraries = ['queue', 'job_queue-2']\n").unwrap();
        assert_eq!(settings.libraries, ["queue", "job_queue-2"]);
        let refused = refused("libraries = [\n  'queue',\n  'queue = \"1\"',\n  7,\n]");
        assert!(refused.contains("[invalid-setting] Cargo.toml:4:3: `libraries` has an entry that"), "{refused}");
        assert!(refused.contains("Cargo.toml:5:3: an entry of `libraries` is a number, not a string"), "{refused}");
        assert!(!refused.contains("Cargo.toml:3"), "{refused}");
    }

    #[test]
    fn a_default_database_that_is_not_configured_is_a_typo() {
        let refused = refused("database = 'dve'\ndatabases = { dev = 'sqlite:a.db' }");
        assert!(refused.contains("Cargo.toml:2:12") && refused.contains("write `database = \"dev\"`"), "{refused}");
    }

    #[test]
    fn a_name_among_the_workspaces_defaults_is_refused() {
        assert!(read("[workspace.metadata.migrate]\nname = 'all'\n").is_err());
    }

    #[test]
    fn an_unsupported_database_does_not_stop_the_others() {
        assert!(read("[package.metadata.migrate.databases]\na = 'postgres://u:p@h/db'\n").is_ok());
    }
}
