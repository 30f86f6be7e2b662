//! One `[….metadata.migrate]` table, read key by key: every problem in it is collected, none stops the reading.

use std::sync::Arc;
use std::time::Duration;

use build_support::problem::{Code, Problem, nearest, printable};
use migrate_runtime::driver::VersionTable;
use serde_json::{Map, Value};

use super::manifest::{Manifest, Part, Section};
use super::settings::{BackupPolicy, ColumnOrder, DatabaseSetting, SessionSettings, SqliteVersion};
use super::template::FileTemplate;
use super::url::{self, Reference};

pub(super) const INVALID: Code = Code("invalid-setting");
const UNKNOWN: Code = Code("unknown-key");

const KEYS: [&str; 15] = [
    "name",
    "migrations",
    "models",
    "schema",
    "database",
    "databases",
    "file-template",
    "version-table",
    "per-revision",
    "wait",
    "minimum-sqlite",
    "backup",
    "keep",
    "column-order",
    "libraries",
];
const DATABASE_KEYS: [&str; 9] =
    ["url", "scratch", "protected", "shared", "backup", "role", "search-path", "lock-timeout", "statement-timeout"];

/// The longest wait that is accepted, a day.
const LONGEST_WAIT: f64 = 86_400.0;

/// What one table says; `None` where it is silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) name: Option<String>,
    pub(super) migrations: Option<String>,
    pub(super) models: Option<Vec<String>>,
    pub(super) schema: Option<String>,
    pub(super) database: Option<String>,
    pub(super) databases: Vec<DatabaseSetting>,
    pub(super) file_template: Option<FileTemplate>,
    pub(super) version_table: Option<String>,
    pub(super) per_revision: Option<bool>,
    pub(super) wait: Option<Duration>,
    pub(super) minimum_sqlite: Option<SqliteVersion>,
    pub(super) backup: Option<BackupPolicy>,
    pub(super) keep: Option<u32>,
    pub(super) column_order: Option<ColumnOrder>,
    pub(super) libraries: Option<Vec<String>>,
}

impl Layer {
    /// Reads the `migrate` table of a `metadata` value; `Null` is a table that isn't there.
    pub(super) fn read(value: &Value, section: Section, manifest: &Arc<Manifest>, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::default();
        let mut reader = Reader { section, manifest, problems };
        match value {
            Value::Null => {}
            Value::Object(table) => table.iter().for_each(|(key, value)| layer.set(key, value, &mut reader)),
            other => reader.wrong_type(&[], other, "a table"),
        }
        layer
    }

    fn set(&mut self, key: &str, value: &Value, reader: &mut Reader<'_>) {
        let at = &[key];
        match key {
            "name" if reader.section == Section::Workspace => reader.invalid(
                at,
                "`name` stands among the defaults of the workspace, where it would be every package's key",
                "write it into the `[package.metadata.migrate]` of the one package",
            ),
            "name" => self.name = reader.checked(at, value, check_key),
            "migrations" => self.migrations = reader.checked(at, value, check_path),
            "schema" => self.schema = reader.checked(at, value, check_path),
            "models" => self.models = reader.texts(at, value, check_path),
            "libraries" => self.libraries = reader.packages(at, value),
            "database" => self.database = reader.checked(at, value, check_database_name),
            "databases" => self.databases = reader.databases(value),
            "version-table" => self.version_table = reader.checked(at, value, check_table),
            "per-revision" => self.per_revision = reader.boolean(at, value),
            "file-template" => {
                self.file_template = reader.text(at, value).and_then(|text| {
                    FileTemplate::parse(text)
                        .map_err(|why| {
                            reader.invalid(at, &format!("`file-template` makes no revision ids: {why}"), TEMPLATE_HELP);
                        })
                        .ok()
                });
            }
            "wait" => self.wait = reader.seconds(at, value),
            "minimum-sqlite" => {
                self.minimum_sqlite = reader.parsed(at, value, SqliteVersion::parse, "a version such as \"3.35\"");
            }
            "backup" => self.backup = reader.backup(at, value),
            "column-order" => {
                self.column_order = reader.parsed(at, value, ColumnOrder::parse, "\"any\" or \"exact\"");
            }
            "keep" => self.keep = reader.keep(at, value),
            _ => reader.unknown(at, key, &KEYS),
        }
    }
}

const TEMPLATE_HELP: &str = "write such as `%Y_%m_%d_{number}_{slug}`";

struct Reader<'a> {
    section: Section,
    manifest: &'a Arc<Manifest>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn invalid(&mut self, keys: &[&str], message: &str, help: &str) {
        let place = self.manifest.place(self.section, keys, Part::Value);
        self.problems.push(Problem::new(INVALID, message).at(place).help(help));
    }

    fn unknown(&mut self, keys: &[&str], key: &str, known: &[&str]) {
        let place = self.manifest.place(self.section, keys, Part::Key);
        let table = self.section.key(&keys[..keys.len().saturating_sub(1)]);
        let problem =
            Problem::new(UNKNOWN, format!("`{}` is not a key of `[{}]`", printable(key), printable(&table))).at(place);
        self.problems.push(match nearest(key, known.iter().copied()) {
            Some(near) => problem.help(format!("write `{near}`")),
            None => problem.help(format!("the keys are {}", known.join(", "))),
        });
    }

    fn wrong_type(&mut self, keys: &[&str], value: &Value, wanted: &str) {
        let found = kind(value);
        let key = printable(&if keys.is_empty() { self.section.key(&[]) } else { keys.join(".") });
        self.invalid(keys, &format!("`{key}` is {found}, not {wanted}"), &format!("write {wanted}"));
    }

    fn text<'v>(&mut self, keys: &[&str], value: &'v Value) -> Option<&'v str> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type(keys, value, "a string");
        }
        text
    }

    fn boolean(&mut self, keys: &[&str], value: &Value) -> Option<bool> {
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.wrong_type(keys, value, "true or false");
        }
        boolean
    }

    /// A string that a check may refuse with a message's fragment and a help.
    fn checked(&mut self, keys: &[&str], value: &Value, check: fn(&str) -> Check) -> Option<String> {
        let text = self.text(keys, value)?;
        match check(text) {
            Ok(()) => Some(text.to_owned()),
            Err((why, help)) => {
                self.invalid(keys, &format!("`{}` {why}", printable(&keys.join("."))), help);
                None
            }
        }
    }

    fn texts(&mut self, keys: &[&str], value: &Value, check: fn(&str) -> Check) -> Option<Vec<String>> {
        let Some(values) = value.as_array() else {
            self.wrong_type(keys, value, "a list of strings");
            return None;
        };
        values.iter().map(|value| self.checked(keys, value, check)).collect()
    }

    /// The names of packages. Each wrong one is told at its own line: such a list is often written one to a line.
    fn packages(&mut self, keys: &[&str], value: &Value) -> Option<Vec<String>> {
        let Some(values) = value.as_array() else {
            self.wrong_type(keys, value, "a list of strings");
            return None;
        };
        let key = printable(&keys.join("."));
        let mut names = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let message = match value.as_str() {
                Some(name) if is_package(name) => {
                    names.push(name.to_owned());
                    continue;
                }
                Some(_) => format!("`{key}` has an entry that is not a package's name"),
                None => format!("an entry of `{key}` is {}, not a string", kind(value)),
            };
            let place = self.manifest.entry(self.section, keys, at);
            let help =
                "write the name that its own `[package]` has, such as \"queue\"; versions stand in `[dependencies]`";
            self.problems.push(Problem::new(INVALID, message).at(place).help(help));
        }
        Some(names)
    }

    fn parsed<T>(&mut self, keys: &[&str], value: &Value, parse: fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let parsed = parse(self.text(keys, value)?);
        if parsed.is_none() {
            let key = printable(&keys.join("."));
            self.invalid(keys, &format!("`{key}` is not {wanted}"), &format!("write {wanted}"));
        }
        parsed
    }

    fn backup(&mut self, keys: &[&str], value: &Value) -> Option<BackupPolicy> {
        self.parsed(keys, value, BackupPolicy::parse, "\"destructive\", \"always\" or \"never\"")
    }

    fn seconds(&mut self, keys: &[&str], value: &Value) -> Option<Duration> {
        let seconds = value.as_f64().filter(|seconds| (0.0..=LONGEST_WAIT).contains(seconds));
        let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if wait.is_none() {
            let key = keys.last().copied().unwrap_or_default();
            self.invalid(
                keys,
                &format!("`{key}` is not a number of seconds from 0 to 86400"),
                &format!("write such as `{key} = 30`"),
            );
        }
        wait
    }

    /// A server takes 0 for no limit, where a reader takes it for none of the wait.
    fn lock_timeout(&mut self, keys: &[&str], value: &Value) -> Option<Duration> {
        let wait = self.seconds(keys, value)?;
        if wait < Duration::from_millis(1) {
            self.invalid(
                keys,
                "by a `lock-timeout` of 0 PostgreSQL would wait for a lock for ever",
                "write such as `lock-timeout = 0.1` to hardly wait; leave it out for 3 seconds",
            );
            return None;
        }
        Some(wait)
    }

    fn keep(&mut self, keys: &[&str], value: &Value) -> Option<u32> {
        let keep = value.as_u64().and_then(|keep| u32::try_from(keep).ok()).filter(|keep| *keep > 0);
        if keep.is_none() {
            self.invalid(
                keys,
                "`keep` is not a whole number from 1",
                "write such as `keep = 5`; `backup = \"never\"` makes no backups",
            );
        }
        keep
    }

    /// The databases in the order of the manifest.
    fn databases(&mut self, value: &Value) -> Vec<DatabaseSetting> {
        let Some(table) = value.as_object() else {
            self.wrong_type(&["databases"], value, "a table of databases");
            return Vec::new();
        };
        let (manifest, section) = (self.manifest, self.section);
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| manifest.position(section, &["databases", name]));
        entries.into_iter().filter_map(|(name, value)| self.database(name, value)).collect()
    }

    fn database(&mut self, name: &str, value: &Value) -> Option<DatabaseSetting> {
        let at = &["databases", name];
        if let Err((why, help)) = check_database_name(name) {
            let place = self.manifest.place(self.section, at, Part::Key);
            let message = format!("the database name `{}` {why}", printable(name));
            self.problems.push(Problem::new(INVALID, message).at(place).help(help));
            return None;
        }
        let empty = Map::new();
        let table = match value {
            Value::String(_) => &empty,
            Value::Object(table) => table,
            other => {
                self.wrong_type(at, other, "a URL or a table such as { url = \"sqlite:todo.db\" }");
                return None;
            }
        };
        let (mut scratch, mut protected, mut shared, mut backup) = (None, None, None, None);
        let mut session = SessionSettings::default();
        for (key, value) in table {
            let at = &["databases", name, key.as_str()];
            match key.as_str() {
                "url" => {}
                "scratch" => scratch = self.boolean(at, value),
                "protected" => protected = self.boolean(at, value),
                "shared" => shared = self.boolean(at, value),
                "backup" => backup = self.backup(at, value),
                "role" => session.role = self.checked(at, value, check_filled),
                "search-path" => session.search_path = self.checked(at, value, check_filled),
                "lock-timeout" => session.lock_timeout = self.lock_timeout(at, value),
                "statement-timeout" => session.statement_timeout = self.seconds(at, value),
                _ => self.unknown(at, key, &DATABASE_KEYS),
            }
        }
        let in_table = ["databases", name, "url"];
        let (keys, url): (&[&str], &Value) = match table.get("url") {
            Some(url) => (&in_table, url),
            None if value.is_string() => (at, value),
            None => {
                self.invalid(at, &format!("the database `{name}` has no `url`"), "write `url = \"sqlite:FILE\"`");
                return None;
            }
        };
        let url = self.url(keys, url)?;
        Some(DatabaseSetting {
            name: name.to_owned(),
            url,
            scratch: scratch.unwrap_or(false),
            protected: protected.unwrap_or(false),
            shared,
            backup,
            session,
            section: self.section,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            manifest: Arc::clone(self.manifest),
        })
    }

    /// A kind of database that isn't supported is told when it is used: others of the project may be in use.
    fn url(&mut self, keys: &[&str], value: &Value) -> Option<Result<Reference, Problem>> {
        let text = self.text(keys, value)?;
        match url::parse(text) {
            Err(problem) if problem.code() != url::UNSUPPORTED => {
                self.problems.push(problem.at(self.manifest.place(self.section, keys, Part::Value)));
                None
            }
            read => Some(read),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// Whether cargo takes this for a package's name.
fn is_package(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
}

type Check = Result<(), (&'static str, &'static str)>;

/// A package's key in the version table; `/` stands between a package and a revision in a target.
pub(super) fn check_key(text: &str) -> Check {
    // It stands in the lock and in `depends PACKAGE/ID`, as revision ids do.
    build_support::revision::check_key(text, "a package's key")
        .map_err(|_| ("can only have letters, digits, `_` and `-`", "write such as `name = \"todo\"`"))
}

fn check_filled(text: &str) -> Check {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(("is empty or has a control character in it", "write a name, or take the line out"));
    }
    Ok(())
}

fn check_path(text: &str) -> Check {
    check_filled(text)?;
    let drive = text.as_bytes().get(1) == Some(&b':');
    if text.starts_with(['/', '\\']) || drive {
        return Err(("is an absolute path", "write a path relative to the package's folder"));
    }
    Ok(())
}

fn check_database_name(text: &str) -> Check {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err((
            "has characters that a database's name cannot have",
            "name it with letters, digits, `_` and `-`, such as `dev`",
        ));
    }
    if matches!(text, "url" | "released") {
        return Err(("is a word that `migrate.lock` keeps for itself", "choose another name, such as `dev`"));
    }
    Ok(())
}

/// A table's name; on a server the name of its schema may stand before it.
fn check_table(text: &str) -> Check {
    let table = VersionTable::of(text);
    let plain = |name: &str| {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !table.parts().all(plain) {
        return Err(("is not a plain table name", "write letters, digits and `_`, such as `_cargo_migrate`"));
    }
    if table.name.to_ascii_lowercase().starts_with("sqlite_") {
        return Err(("begins with `sqlite_`, which SQLite keeps for itself", "write such as `_cargo_migrate`"));
    }
    Ok(())
}
