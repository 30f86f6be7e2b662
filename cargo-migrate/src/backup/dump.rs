//! The backup of a server's database: an archive that `pg_dump` has made of one moment, and that was read back.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use build_support::problem::{Problem, printable};
use build_support::token::unquoted;
use migrate_runtime::connection::{DatabaseError, ErrorKind};
use migrate_runtime::driver::postgres::{PostgresDriver, quoted, text};
use migrate_runtime::driver::{Driver as _, VersionTable};
use migrate_runtime::history::History;
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;
use migrate_runtime::sqlite::{Store, StoreError, create_table_sql};
use postgres::Client;
use rusqlite::Connection;

use super::emptied::Scope;
use super::place::Place;
use super::{DAMAGED, Folder, Made, Name, Why};
use crate::app::{App, Opened};
use crate::failure::{Failure, Result};
use crate::live;
use crate::live::server::OWN_SCHEMAS;
use crate::pg_tools::{FAILED, PgTools, Program, Version};
use crate::project::Database;

/// The transaction whose view of the database the archive is of, for as long as it stays open.
const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SELECT pg_export_snapshot(), current_schema(), current_setting('server_encoding')";

/// What an archive holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its version table; `None` where it is not one that this tool reads.
    pub history: Option<History>,
    /// Whether it has a version table at all.
    pub has_table: bool,
    /// How large the file is.
    pub bytes: u64,
    /// What the database was called on its server.
    pub made_of: Option<String>,
    /// What `pg_restore --list` says, a line for each thing.
    pub(super) listing: Vec<String>,
}

/// Makes a backup as [`super::make`] does.
pub(super) fn make(
    app: App<'_>,
    opened: &Opened,
    (database, server, wait): (&Database, &ServerUrl, Duration),
    why: Why,
    to: Option<&Path>,
) -> Result<Made> {
    let table = &opened.project.settings().version_table;
    let blamed = |error: DatabaseError| Failure::from(database.blamed(database_problem(&error)));
    let Some(mut client) = live::server::open_for_reading(database, server)? else {
        return Err(live::server::missing(database, server));
    };
    let tools = PgTools::find(app.context, Some(Version::of_server(&mut client).map_err(blamed)?))?;
    let Moment { snapshot, schema, is_raw } = moment(&mut client).map_err(blamed)?;
    let history = seen(&mut client, table).map_err(blamed)?;
    let revisions = history.as_ref().map(|history| opened.current(history));
    let place = match to {
        Some(path) => Place::given(path, database)?,
        None => {
            let mut folder = Folder::of(&opened.project, database);
            folder.prepare()?;
            let name = Name::new(&opened.project, database, app.context.started(), revisions.as_deref(), why);
            Place::free(folder, name, database)?
        }
    };
    let start = Instant::now();
    let mut command = tools.dump(server, database.session.role.as_deref(), wait);
    command.args(["--format=custom", "--no-subscriptions"]).arg(format!("--snapshot={snapshot}"));
    command.args(is_raw.then_some("--encoding=SQL_ASCII"));
    // A pattern in quotes means what stands in them.
    command.args(server.schema().map(|schema| format!("--schema={}", quoted(schema))));
    command.arg("--file").arg(&place.partial);
    let dumped = PgTools::run(Program::Dump, command);
    dumped.map_err(|problem| place.failed_by(&problem, database, lacks_rights(&mut client, server.schema())))?;
    let scope = Scope { schema: server.schema().map(str::to_owned), extensions: Vec::new() };
    let others = scope.other_owners(&mut client).map_err(blamed)?;
    drop(client);
    let copied_in = start.elapsed();
    let start = Instant::now();
    let current = |history: &History| opened.current(history);
    let sought = Sought::new(table, schema.as_deref(), &place.partial, &current);
    let content =
        read(&tools, &place.partial, &sought).map_err(|problem| place.failed_by(&problem, database, false))?;
    if content.history != history {
        return Err(place.failed("what was read back is not what was copied"));
    }
    let checked_in = start.elapsed();
    let bytes = place.finish(database)?;
    if !others.is_empty() {
        let others = names(&others);
        app.shell.note(format!(
            "it has what belongs to {others}: whoever restores it has to be a member of all owners, or a superuser"
        ));
    }
    let shown = opened.project.show_path(&place.path);
    let (path, revisions) = (place.path.clone(), revisions.unwrap_or_default());
    Ok(Made { path, shown, bytes, pages: None, revisions, copied_in, checked_in })
}

/// Whether there is anything that `pg_dump` reads and this role may not. The words of a server may be of any language, so it
/// is asked.
fn lacks_rights(client: &mut Client, schema: Option<&str>) -> bool {
    let scope = schema.map(|schema| format!("AND nspname = {}", text(schema))).unwrap_or_default();
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace \
         WHERE {OWN_SCHEMAS} {scope} AND relkind IN ('r', 'p', 'S') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d \
         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') \
         ELSE has_table_privilege(c.oid, 'SELECT') END) LIMIT 1"
    );
    matches!(live::server::value(client, &sql), Ok(Some(_)))
}

/// What a transaction sees.
struct Moment {
    /// The name under which others see the same.
    snapshot: String,
    /// The schema of the version table.
    schema: Option<String>,
    /// Whether texts are bytes of which the server does not know what they mean, and which need not be UTF-8.
    is_raw: bool,
}

/// Begins the transaction that the archive is of.
fn moment(client: &mut Client) -> Result<Moment, DatabaseError> {
    let row = live::server::rows(client, MOMENT)?.into_iter().find_map(|row| <[String; 3]>::try_from(row).ok());
    let [snapshot, schema, encoding] = row
        .ok_or_else(|| DatabaseError::new(ErrorKind::Other, "the server gave no name for what the transaction sees"))?;
    let schema = Some(schema).filter(|schema| !schema.is_empty());
    Ok(Moment { snapshot, schema, is_raw: encoding == "SQL_ASCII" })
}

/// The history of that moment; `None` where the version table holds what this tool does not write.
fn seen(client: &mut Client, table: &str) -> Result<Option<History>, DatabaseError> {
    const SAVEPOINT: &str = "SAVEPOINT cargo_migrate_history";
    const BACK: &str = "ROLLBACK TO SAVEPOINT cargo_migrate_history";
    live::server::run(client, SAVEPOINT)?;
    match PostgresDriver::new(client, table).history() {
        Ok(history) => return Ok(Some(history)),
        Err(StoreError::Database(error)) if error.kind != ErrorKind::Other => return Err(error),
        Err(_) => {}
    }
    live::server::run(client, BACK)?;
    Ok(None)
}

/// Reads all of an archive, and its version table.
fn read(tools: &PgTools, path: &Path, sought: &Sought<'_>) -> std::result::Result<Content, Problem> {
    let bytes = std::fs::metadata(path).map_err(|error| Problem::new(DAMAGED, error.to_string()))?.len();
    let (mut listing, mut made_of) = (Vec::new(), None);
    let mut command = tools.command(Program::Restore, None);
    command.arg("--list").arg(path);
    reading(command, |line| {
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some(header) = line.strip_prefix(';') {
            let name = header.trim_start().strip_prefix("dbname: ").map(str::to_owned);
            made_of = made_of.take().or(name);
        } else {
            listing.push(line.to_owned());
        }
        Ok(())
    })?;
    // What it writes is dropped: to write it, it has to read everything.
    let mut command = tools.command(Program::Restore, None);
    command.arg("--file=-").arg(path);
    PgTools::run(Program::Restore, command)?;
    let found = history(tools, path, sought)?;
    let has_table = found.is_some();
    Ok(Content { history: found.unwrap_or_else(|| Some(History::default())), has_table, bytes, made_of, listing })
}

/// Runs a command and hands over each line of what it writes.
fn reading(
    mut command: std::process::Command,
    mut line: impl FnMut(&str) -> std::result::Result<(), Problem>,
) -> std::result::Result<(), Problem> {
    command.stdout(Stdio::piped());
    let mut running = PgTools::start(Program::Restore, command)?;
    let unread = |error: std::io::Error| Problem::new(FAILED, format!("`pg_restore` cannot be read: {error}"));
    if let Some(output) = running.output() {
        let mut output = BufReader::new(output);
        let mut read = Vec::new();
        while output.read_until(b'\n', &mut read).map_err(unread)? > 0 {
            line(&String::from_utf8_lossy(&read))?;
            read.clear();
        }
    }
    running.finish()
}

/// The version table that is looked for in an archive.
pub(super) struct Sought<'a> {
    table: VersionTable,
    /// What the archive's name says that it is at.
    name: Option<Name>,
    /// What a history is at.
    current: &'a dyn Fn(&History) -> Vec<String>,
}

impl<'a> Sought<'a> {
    /// The table as the configuration names it, `TABLE` or `SCHEMA.TABLE`; without a schema of its own it is in this one,
    /// where that is known.
    pub(super) fn new(
        configured: &str,
        schema: Option<&str>,
        path: &Path,
        current: &'a dyn Fn(&History) -> Vec<String>,
    ) -> Self {
        let mut table = VersionTable::of(configured);
        table.schema = table.schema.or_else(|| schema.map(str::to_owned));
        let name = path.file_name().and_then(|name| Name::parse(name.to_str()?));
        Self { table, name, current }
    }

    /// Of several schemas' tables the one that the archive's name speaks of, else that of `public`, else the first.
    fn chosen(&self, mut found: Vec<(String, Option<History>)>) -> Option<History> {
        let is_named = |history: &History| self.name.as_ref().is_some_and(|name| name.is_at(&(self.current)(history)));
        let named = found.iter().position(|(_, history)| history.as_ref().is_some_and(is_named));
        let place = named.or_else(|| found.iter().position(|(schema, _)| schema == "public")).unwrap_or_default();
        found.swap_remove(place).1
    }
}

/// The version table that an archive holds, without a server: its rows are put into a SQLite table of the same columns.
/// `None` where there is none, and nothing of it where it is not one that this tool reads.
pub(super) fn history(
    tools: &PgTools,
    path: &Path,
    sought: &Sought<'_>,
) -> std::result::Result<Option<Option<History>>, Problem> {
    let mut command = tools.command(Program::Restore, None);
    let VersionTable { schema, name } = &sought.table;
    command.args(["--data-only", "--file=-"]).arg(format!("--table={name}"));
    command.args(schema.as_ref().map(|schema| format!("--schema={schema}"))).arg(path);
    let mut found = Vec::new();
    let mut copied: Option<Copied> = None;
    reading(command, |line| {
        let line = line.trim_end_matches(['\n', '\r']);
        if line == "\\." {
            found.extend(copied.take().map(|copied| (copied.schema.clone(), copied.history(name))));
        } else if let Some(copied) = &mut copied {
            copied.put(line);
        } else if let Some(columns) = line.strip_prefix("COPY ").and_then(|line| line.strip_suffix(") FROM stdin;")) {
            copied = Copied::new(name, columns);
        }
        Ok(())
    })?;
    Ok(if found.is_empty() { None } else { Some(sought.chosen(found)) })
}

/// The rows of one version table.
struct Copied {
    schema: String,
    insert: String,
    scratch: Connection,
    sound: bool,
}

impl Copied {
    /// A table for what is copied from `schema.table (a, b`.
    fn new(table: &str, copied: &str) -> Option<Self> {
        let scratch = live::file::in_memory().ok()?;
        let sound = scratch.execute_batch(&create_table_sql(table)).is_ok();
        let schema = copied.split_once('.').map_or("", |(schema, _)| schema);
        Some(Self { schema: unquoted(schema), insert: insert_into(table, copied), scratch, sound })
    }

    fn put(&mut self, line: &str) {
        self.sound &= put(&self.scratch, &self.insert, line).is_some();
    }

    fn history(mut self, table: &str) -> Option<History> {
        if self.sound { Store::new(&mut self.scratch, table).read_history().ok() } else { None }
    }
}

/// The statement that takes a row of `schema.table (a, b`.
fn insert_into(table: &str, copied: &str) -> String {
    let columns = copied.rsplit_once('(').map_or("", |(_, columns)| columns);
    let names: Vec<String> = columns.split(", ").map(|name| quoted(&unquoted(name))).collect();
    let values = vec!["?"; names.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({values})", quoted(table), names.join(", "))
}

/// Puts a line of COPY's into a table (<https://www.postgresql.org/docs/current/sql-copy.html>, "Text Format").
fn put(scratch: &Connection, insert: &str, line: &str) -> Option<()> {
    let values: Vec<Option<String>> = line.split('\t').map(|value| (value != "\\N").then(|| plain(value))).collect();
    scratch.execute(insert, rusqlite::params_from_iter(values)).ok().map(drop)
}

/// A value without COPY's escapes.
fn plain(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        plain.push(match (c, if c == '\\' { characters.next() } else { None }) {
            (_, Some('b')) => '\u{8}',
            (_, Some('f')) => '\u{c}',
            (_, Some('n')) => '\n',
            (_, Some('r')) => '\r',
            (_, Some('t')) => '\t',
            (_, Some('v')) => '\u{b}',
            (_, Some(other)) => other,
            (c, None) => c,
        });
    }
    plain
}

/// Looks into all of an archive that is to be restored.
pub(super) fn inspect(app: App<'_>, path: &Path, sought: &Sought<'_>) -> Result<Content> {
    let tools = PgTools::find(app.context, None)?;
    read(&tools, path, sought).map_err(|problem| {
        let mut refused =
            Problem::new(DAMAGED, format!("this is no backup that could be restored: {}", problem.message()))
                .in_file(path)
                .note("the database is as it was")
                .help("choose another one: `cargo migrate backups` lists them");
        for note in problem.notes() {
            refused = refused.note(note);
        }
        refused.into()
    })
}

/// Whether two archives make the same database. Their bytes never are the same, since they hold when they were made.
pub(super) fn is_same(app: App<'_>, one: &Path, other: &Path) -> bool {
    let Ok(tools) = PgTools::find(app.context, None) else { return false };
    let script = |path: &Path| {
        let mut command = tools.command(Program::Restore, None);
        command.arg("--file=-").args(tools.version().fixed_key()).arg(path).stdout(Stdio::piped());
        PgTools::start(Program::Restore, command).ok()
    };
    let (Some(mut left), Some(mut right)) = (script(one), script(other)) else { return false };
    let (Some(one), Some(other)) = (left.output(), right.output()) else { return false };
    let same = super::are_same(BufReader::new(one), BufReader::new(other));
    same && left.finish().is_ok() && right.finish().is_ok()
}

/// What a file is shown as, where it is no archive.
pub(super) fn is_archive(path: &Path) -> bool {
    use std::io::Read as _;
    let mut first = [0; 5];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && &first == b"PGDMP"
}

/// A name as messages show it.
pub(super) fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", printable(name))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_version_tables_the_name_says_which_one_is_meant_and_else_it_is_publics() {
        let found =
            || ["aside", "public"].map(|schema| (schema.to_owned(), (schema == "public").then(History::default)));
        let empty = |_: &History| Vec::new();
        let chosen = |path: &str, found: Vec<_>| Sought::new("m", None, Path::new(path), &empty).chosen(found);
        assert_eq!(chosen("b.dump", found().into()), Some(History::default()));
        assert_eq!(
            chosen("b.dump", vec![("one".to_owned(), None), ("two".to_owned(), Some(History::default()))]),
            None
        );
        let named = "dev-2026-11-23T170301Z-base.dump";
        assert_eq!(
            chosen(named, vec![("public".to_owned(), None), ("x".to_owned(), Some(History::default()))]),
            Some(History::default())
        );
        let own = Sought::new("ops.m", Some("one"), Path::new("b.dump"), &empty);
        assert_eq!(own.table, VersionTable::of("ops.m"));
    }

    #[test]
    fn a_line_of_copys_is_read_as_the_values_that_were_written() {
        assert_eq!(plain("a\\tb\\\\n\\nc"), "a\tb\\n\nc");
        assert_eq!(insert_into("m", "public.m (a, \"b\""), "INSERT INTO \"m\" (\"a\", \"b\") VALUES (?, ?)");
        let scratch = live::file::in_memory().unwrap();
        scratch.execute_batch("CREATE TABLE m (a TEXT, b INTEGER)").unwrap();
        put(&scratch, &insert_into("m", "m (a, b"), "\\N\t7").unwrap();
        let row: (Option<String>, i64) =
            scratch.query_row("SELECT a, b FROM m", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, (None, 7));
        assert!(put(&scratch, &insert_into("m", "m (a, b"), "1\t2\t3").is_none());
    }
}
