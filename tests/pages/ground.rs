//! Where the databases of a page's projects are, and the few words in which dialects differ.

#![allow(dead_code, reason = "the tests on SQLite and those on a server share it, and not each uses all of it")]

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::types::Value;

/// What a page is run over.
pub trait Ground: Sync {
    /// The databases of a new project in this folder.
    fn databases(&self, folder: &Path) -> Box<dyn Databases>;

    /// What the databases are that one has many of.
    fn kinds(&self) -> &'static [Kind];
}

/// What each of many databases of one kind is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    File,
    Database,
    Schema,
}

/// The databases of a project, by their names in its configuration. Those on a server are there, and empty, as soon as
/// they are named.
pub trait Databases: Send + Sync {
    /// The URL as the configuration has it.
    fn url(&self, database: &str) -> String;

    /// What stands for a database of one's own in the configuration.
    fn own(&self, database: &str) -> String;

    /// The URL as anybody can use it, whichever folder he is in.
    fn absolute(&self, database: &str) -> String;

    /// The place as messages show it.
    fn shown(&self, database: &str) -> String;

    /// The first value of each row, as text.
    fn list(&self, database: &str, query: &str) -> Result<Vec<String>, String>;

    /// Statements, past the command.
    fn execute(&self, database: &str, statements: &str) -> Result<(), String>;

    /// The tables in the order of their names, without the version table.
    fn tables(&self, database: &str) -> Vec<String>;

    /// A table's columns in their order.
    fn columns(&self, database: &str, table: &str) -> Vec<String>;

    /// Whether nobody has ever put anything there.
    fn is_untouched(&self, database: &str) -> bool;

    /// Whether nothing is in it, not even a version table.
    fn is_empty(&self, database: &str) -> bool;

    /// All that is there, rows and version table included, to be compared with itself.
    fn state(&self, database: &str) -> String;

    /// The same of all databases that are not files of the project's folder.
    fn all(&self) -> Vec<String>;

    /// The schema as text, without the version table.
    fn schema(&self, database: &str) -> String;

    /// Another session, which keeps runs out until it is dropped.
    fn occupied(&self, database: &str) -> Box<dyn Any>;

    /// What a run that commits more than once holds while it lives, until it is dropped.
    fn as_a_living_run(&self, database: &str) -> Box<dyn Any>;

    /// How it is told that a run of `a2` lives, which a server knows by its session alone.
    fn under_way(&self) -> &'static str;

    /// Whose SQL its migrations are, as `lock --dialect` takes it.
    fn dialect(&self) -> &'static str;

    /// Whether the command reads its schema: shows it, and compares it with what the last run has left.
    fn has_schema_reader(&self) -> bool;

    /// What a query gives that does not hold.
    fn no(&self) -> &'static str;

    /// The name of a table, or of a column of one, as a rehearsal tells it: on a server with its schema.
    fn named(&self, name: &str) -> String;

    /// Whether the rows of two databases can be compared one by one. Those of a server cannot without fetching them all.
    fn compares_rows(&self) -> bool;

    /// A line that says how many values have changed, where that can be said.
    fn counted(&self, line: &str) -> String;

    /// Whether its file is as it should be, where it is one.
    fn is_sound(&self, database: &str) -> bool;

    /// What people's own shell for such databases makes of a script: whether it ends well, and what it says.
    fn by_shell(&self, database: &str, script: &str) -> (bool, String);

    /// Makes one of many databases of a kind, with nothing in it; the name that it is asked by.
    fn tenant(&self, kind: Kind, number: usize) -> String;

    /// The pattern that finds those of a kind whose numbers, of four digits, fit this one.
    fn tenants(&self, kind: Kind, numbers: &str) -> String;

    /// Returns when nothing of a run that was killed is under way any more.
    fn after_a_kill(&self, database: &str);

    /// How many bytes it takes, with those that nobody has committed yet.
    fn size(&self, database: &str) -> u64;

    /// Kills a run, and says whether it was in the middle of writing. What a server still does for it is waited for.
    fn kill(&self, database: &str, run: &mut Child) -> bool;

    /// The environment of a developer whose own server this is: where URLs without a host lead.
    fn at_home(&self) -> Vec<(&'static str, PathBuf)>;

    /// A session that stays open until it is dropped.
    fn session(&self, database: &str) -> Session;

    /// Whether somebody has begun to write what he has not committed yet.
    fn is_half_written(&self, database: &str) -> bool;

    /// How it is told that a row of `notes` refers to none: where it is found, and in which words.
    fn dangling(&self) -> [&'static str; 2];

    /// The copies that rehearsals of these databases have made, by their names.
    fn copies(&self) -> Vec<String>;

    /// Whether a rehearsal has come to this statement, which writes, on its copy. What happens in a file shows by its
    /// journal alone.
    fn is_at(&self, copy: &str, statement: &str) -> bool;

    /// Whether the rehearsal that has made a copy is known to live.
    fn is_living(&self, copy: &str) -> bool;

    /// Takes a copy away from where the command says that it is kept, and makes it the database of this name.
    fn take_copy(&self, place: &str, database: &str);
}

/// What a shell that is fed with a script makes of it.
pub fn fed(mut shell: Command, script: &str) -> (bool, String) {
    use std::io::Write as _;
    let started = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut running = started.unwrap_or_else(|error| panic!("{shell:?} is not installed: {error}"));
    // One that ends before it has read all of it says why.
    let _ = running.stdin.take().unwrap().write_all(script.as_bytes());
    let output = running.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Does one statement at a time, and gives the first value of each row.
pub type Session = Box<dyn FnMut(&str) -> Result<Vec<String>, String> + Send>;

/// Files in the project's folder.
pub struct Sqlite;

impl Ground for Sqlite {
    fn databases(&self, folder: &Path) -> Box<dyn Databases> {
        Box::new(Files { folder: folder.to_owned() })
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::File]
    }
}

struct Files {
    folder: PathBuf,
}

/// The names of the files are what messages of tests on SQLite show.
fn file(database: &str) -> String {
    match database {
        "dev" => "app.db".to_owned(),
        "test" => "database_test.db".to_owned(),
        other => format!("{other}.db"),
    }
}

impl Files {
    fn path(&self, database: &str) -> PathBuf {
        self.folder.join(file(database))
    }

    fn open(&self, database: &str) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path(database)).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection
    }
}

fn first_values(connection: &rusqlite::Connection, query: &str) -> Result<Vec<String>, String> {
    let mut statement = connection.prepare(query).map_err(|error| error.to_string())?;
    let rows = statement.query_map([], |row| {
        Ok(match row.get(0)? {
            Value::Null => "NULL".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(_) => "a blob".to_owned(),
        })
    });
    rows.and_then(Iterator::collect).map_err(|error| error.to_string())
}

impl Databases for Files {
    fn url(&self, database: &str) -> String {
        format!("sqlite:{}", file(database))
    }

    fn own(&self, database: &str) -> String {
        format!("\"{}\"", self.url(database))
    }

    fn absolute(&self, database: &str) -> String {
        format!("sqlite:{}", self.path(database).display())
    }

    fn shown(&self, database: &str) -> String {
        file(database)
    }

    fn list(&self, database: &str, query: &str) -> Result<Vec<String>, String> {
        first_values(&self.open(database), query)
    }

    fn execute(&self, database: &str, statements: &str) -> Result<(), String> {
        self.open(database).execute_batch(statements).map_err(|error| error.to_string())
    }

    fn tables(&self, database: &str) -> Vec<String> {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '_cargo_migrate' \
                      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        self.list(database, tables).unwrap()
    }

    fn columns(&self, database: &str, table: &str) -> Vec<String> {
        self.list(database, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid")).unwrap()
    }

    fn is_untouched(&self, database: &str) -> bool {
        !self.path(database).exists()
    }

    fn is_empty(&self, database: &str) -> bool {
        self.list(database, "SELECT count(*) FROM sqlite_schema").unwrap() == ["0"]
    }

    fn state(&self, database: &str) -> String {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hash = DefaultHasher::new();
        fs::read(self.path(database)).ok().hash(&mut hash);
        format!("{:x}", hash.finish())
    }

    fn all(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, database: &str) -> String {
        let texts = "SELECT sql FROM sqlite_schema WHERE name <> '_cargo_migrate' AND sql IS NOT NULL ORDER BY name";
        self.list(database, texts).unwrap().join("\n")
    }

    fn occupied(&self, database: &str) -> Box<dyn Any> {
        let other = self.open(database);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(other)
    }

    fn as_a_living_run(&self, database: &str) -> Box<dyn Any> {
        let file = fs::File::create(self.folder.join(format!("{}-migrate", file(database)))).unwrap();
        file.lock().unwrap();
        Box::new(file)
    }

    fn under_way(&self) -> &'static str {
        "a run of `a2` is under way"
    }

    fn dialect(&self) -> &'static str {
        "sqlite"
    }

    fn has_schema_reader(&self) -> bool {
        true
    }

    fn no(&self) -> &'static str {
        "0"
    }

    fn named(&self, name: &str) -> String {
        name.to_owned()
    }

    fn compares_rows(&self) -> bool {
        true
    }

    fn counted(&self, line: &str) -> String {
        line.to_owned()
    }

    fn is_sound(&self, database: &str) -> bool {
        self.list(database, "PRAGMA integrity_check").unwrap() == ["ok"]
    }

    fn by_shell(&self, database: &str, script: &str) -> (bool, String) {
        let mut shell = Command::new("sqlite3");
        shell.arg(self.path(database));
        fed(shell, script)
    }

    fn tenant(&self, _: Kind, number: usize) -> String {
        let name = format!("tenants/{number:04}");
        fs::create_dir_all(self.folder.join("tenants")).unwrap();
        fs::write(self.path(&name), "").unwrap();
        name
    }

    fn tenants(&self, _: Kind, numbers: &str) -> String {
        file(&format!("tenants/{numbers}"))
    }

    fn after_a_kill(&self, _: &str) {
        // A file has nobody who would do anything after the process is gone.
    }

    fn size(&self, database: &str) -> u64 {
        fs::metadata(self.path(database)).map_or(0, |file| file.len())
    }

    fn kill(&self, database: &str, run: &mut Child) -> bool {
        run.kill().unwrap();
        run.wait().unwrap();
        // A journal is there from the transaction's first write to its commit. Root or not, nobody else touches it.
        self.folder.join(format!("{}-journal", file(database))).exists()
    }

    fn at_home(&self) -> Vec<(&'static str, PathBuf)> {
        Vec::new()
    }

    fn session(&self, database: &str) -> Session {
        let connection = self.open(database);
        // What it writes need not outlive the machine, and who writes often is to be in the way often.
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        Box::new(move |statement| first_values(&connection, statement))
    }

    fn is_half_written(&self, database: &str) -> bool {
        // At the end a journal is removed, as is a log once nobody has the database open.
        let beside = |ending: &str| self.folder.join(format!("{}{ending}", file(database)));
        ["-journal", "-wal"].iter().any(|ending| fs::metadata(beside(ending)).is_ok_and(|file| file.len() > 0))
    }

    fn dangling(&self) -> [&'static str; 2] {
        ["error[foreign-keys]", "row 1 of `notes`"]
    }

    fn copies(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join(".migrate/rehearsals")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn is_at(&self, copy: &str, _: &str) -> bool {
        self.folder.join(".migrate/rehearsals").join(copy).join("copy.db-journal").exists()
    }

    fn is_living(&self, copy: &str) -> bool {
        let lock = fs::File::open(self.folder.join(".migrate/rehearsals").join(copy).join("lock"));
        lock.is_ok_and(|lock| lock.try_lock().is_err())
    }

    fn take_copy(&self, place: &str, database: &str) {
        let copy = self.folder.join(place);
        fs::rename(&copy, self.path(database)).unwrap();
        // Nothing is kept beside it.
        fs::remove_dir(copy.parent().unwrap()).unwrap();
    }
}
