//! Databases of a PostgreSQL server: a session that is set to what the configuration says.

use std::time::{Duration, Instant};

use build_support::problem::{Code, Problem, printable};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::{failed, quoted, text};
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;
use postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::failure::{Failure, Result};
use crate::project::Database;
use crate::project::database::DatabaseUrl;
use crate::project::settings::BackupPolicy;

/// The server has no database of that name.
pub const MISSING: Code = Code("missing-database");

/// What sessions are told by in the server's own lists.
pub const NAME: &str = "cargo-migrate";

/// The database that each server has, to make others from and to look at all of them.
pub const MAINTENANCE: &str = "postgres";

/// The one that new ones are copied from, which is there where somebody has removed the other.
const TEMPLATE: &str = "template1";

/// How the names of the copies begin that rehearsals are made on.
pub const REHEARSALS: &str = "cargo_migrate_rehearsal_";

/// Sees to it that a session is not ended for being idle: it waits for whoever works beside it, for a backup say, and the run
/// that it belongs to is one piece of work. Not every version has both settings.
const PATIENT: &str = "SELECT pg_catalog.set_config(t.name, '0', false) FROM \
    (VALUES ('idle_in_transaction_session_timeout'), ('idle_session_timeout')) AS t (name) \
    WHERE pg_catalog.current_setting(t.name, true) IS NOT NULL";

/// Who only looks waits for nobody's lock for long, whatever the configuration grants a run.
const LOOKING: &str = "SET lock_timeout = '3s'";

/// The schemas that are people's own, of `pg_namespace AS n`.
pub const OWN_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Opens a session that can write nothing. `None` where the server has no such database.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub fn open_for_reading(database: &Database, server: &ServerUrl) -> Result<Option<Client>> {
    let client = match server.connect(NAME) {
        Err(error) if is_missing(&error) => return Ok(None),
        client => client,
    };
    let mut client = client.map_err(|error| unentered(database, server, &error))?;
    set(database, &mut client, "SET default_transaction_read_only = on", LOOKING)?;
    Ok(Some(client))
}

/// Opens a session for a run. Where the server has no such database, or that has not the schema which the URL names, it is made
/// only if `create` says so.
///
/// # Errors
/// A database that is not there, a server that cannot be reached or refuses.
pub fn open_for_writing(database: &Database, server: &ServerUrl, create: bool) -> Result<Client> {
    open_or_make(database, server, create).map(|(client, _)| client)
}

/// The same; gives also whether it was made.
///
/// # Errors
/// As [`open_for_writing`].
pub fn open_or_make(database: &Database, server: &ServerUrl, create: bool) -> Result<(Client, bool)> {
    let mut made = false;
    let mut client = match server.connect(NAME) {
        Err(error) if is_missing(&error) && !create => return Err(missing(database, server)),
        Err(error) if is_missing(&error) => {
            make(database, server)?;
            made = true;
            server.connect(NAME)
        }
        client => client,
    }
    .map_err(|error| unentered(database, server, &error))?;
    set(database, &mut client, "", "")?;
    if create {
        make_schema(database, server, &mut client)?;
    }
    Ok((client, made))
}

/// Drops the database that a URL names, which this command has made, where nobody else is in it.
///
/// # Errors
/// What the server says.
pub fn unmake(server: &ServerUrl) -> Result<(), DatabaseError> {
    let (mut client, _) = open_beside(server)?;
    run(&mut client, &format!("DROP DATABASE {}", quoted(server.database())))
}

/// Sets a session that could write nothing to what a run's is set to, as [`open_for_writing`] does.
///
/// # Errors
/// What the server says.
pub fn let_write(database: &Database, client: &mut Client, create: bool) -> Result<()> {
    set(database, client, "RESET default_transaction_read_only; RESET lock_timeout", "")?;
    match database.server() {
        Some(server) if create => make_schema(database, server, client),
        _ => Ok(()),
    }
}

/// Opens a session on what a URL names, to look at it as a database that no configuration knows. `None` where the server
/// has no such database.
///
/// # Errors
/// As [`open_for_reading`].
pub fn look(server: &ServerUrl) -> Result<Option<Client>> {
    open_for_reading(&unnamed(server), server)
}

/// Opens a session from which all databases of a URL's server can be seen, whether the URL's own is there or not.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub fn maintenance(server: &ServerUrl) -> Result<Client> {
    let opened = open_beside(server).map(|(client, _)| client);
    opened.map_err(|error| refused(&unnamed(&server.with_database(MAINTENANCE)), &error))
}

/// Why the names could not be listed that a server has.
pub fn unlisted(server: &ServerUrl, error: &DatabaseError) -> Failure {
    refused(&unnamed(server), error)
}

fn unnamed(server: &ServerUrl) -> Database {
    Database::unnamed(DatabaseUrl::of_server(server.clone()), BackupPolicy::Never)
}

/// Opens a session from which databases are seen, made and dropped, whether the URL's own is there or not; gives which one
/// has taken it. That is the one that each server has, else the URL's own, else the one that new ones are copied from, which
/// comes last because nobody makes a database while somebody else is in that one.
///
/// # Errors
/// What is wrong with the first of them.
pub fn open_beside(server: &ServerUrl) -> Result<(Client, ServerUrl), DatabaseError> {
    let first = server.with_database(MAINTENANCE);
    let error = match first.connect(NAME) {
        Ok(client) => return Ok((client, first)),
        Err(error) => error,
    };
    // Who does not answer, or does not take the password, does so for the others too.
    if !matches!(error.sqlstate(), "" | "28P01") {
        for other in [server.clone(), server.with_database(TEMPLATE)] {
            if let Ok(client) = other.connect(NAME) {
                return Ok((client, other));
            }
        }
    }
    Err(error)
}

/// Whether a server is there that says something, be it a refusal.
#[must_use]
pub fn answers(server: &ServerUrl) -> bool {
    server.connect(NAME).map_or_else(|error| !error.sqlstate().is_empty(), |_| true)
}

/// Opens a session of no database's in particular, through a URL that has led to one before.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub fn open_again(server: &ServerUrl) -> Result<Client, DatabaseError> {
    server.connect(NAME)
}

/// A session, by what tells it from all others of its server: another one may get its process's number later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    server: ServerUrl,
    condition: String,
}

impl Running {
    /// This session. `None` where the server does not list it.
    pub fn of(server: &ServerUrl, client: &mut Client) -> Option<Self> {
        let sql = "SELECT pid, backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";
        let mut rows = rows(client, sql).ok()?;
        let [pid, start] = rows.pop()?.try_into().ok()?;
        (!start.is_empty()).then(|| Self {
            server: server.clone(),
            condition: format!(
                "FROM pg_catalog.pg_stat_activity WHERE pid = {} AND backend_start = {}",
                text(&pid),
                text(&start)
            ),
        })
    }

    /// Ends it from another session, and waits at most so long until the server has rolled back what it did. What cannot be
    /// ended so ends with its statement.
    pub fn end(&self, patience: Duration) {
        const PAUSE: Duration = Duration::from_millis(20);
        let Ok((mut client, _)) = open_beside(&self.server) else { return };
        if run(&mut client, &format!("SELECT pg_catalog.pg_terminate_backend(pid) {}", self.condition)).is_err() {
            return;
        }
        let start = Instant::now();
        let there = format!("SELECT 1 {}", self.condition);
        while start.elapsed() < patience && matches!(value(&mut client, &there), Ok(Some(_))) {
            std::thread::sleep(PAUSE);
        }
    }
}

/// That the server has no such database.
#[must_use]
pub fn missing(database: &Database, server: &ServerUrl) -> Failure {
    missing_for(database, server, "upgrade")
}

/// The same, where this command makes one that is asked to.
pub fn missing_for(database: &Database, server: &ServerUrl, command: &str) -> Failure {
    Problem::new(MISSING, format!("the server has no database `{}`", server.database()))
        .note(format!("it is about {}", database.url))
        .help(format!("see that the URL names the right one; `{command} --create` makes a new one"))
        .into()
}

/// That a dry run has no such database, and makes none.
pub fn not_made(database: &Database, server: &ServerUrl) -> Failure {
    Problem::new(MISSING, format!("the server has no database `{}`, and a dry run makes none", server.database()))
        .note(format!("it is about {}", database.url))
        .help("leave `--dry-run` out, and `--create` makes it; `upgrade --sql` prints what will run")
        .into()
}

/// Makes the database that a URL names.
fn make(database: &Database, server: &ServerUrl) -> Result<()> {
    let (mut client, _) = open_beside(server).map_err(|error| refused(database, &error))?;
    // Who owns what the migrations make has to own the place where they make it.
    let owner = database.session.role.as_ref().map_or_else(String::new, |role| format!(" OWNER {}", quoted(role)));
    let sql = format!("CREATE DATABASE {}{owner}", quoted(server.database()));
    run(&mut client, &sql).map_err(|error| {
        let failure = refused(database, &error);
        if error.sqlstate() != "42501" {
            return failure;
        }
        let role = value(&mut client, "SELECT CURRENT_USER").ok().flatten().unwrap_or_default();
        failure
            .help(format!("let a superuser say `ALTER ROLE {} CREATEDB`", printable(&quoted(&role))))
            .help(format!("or ask one who may to make it: `createdb {}`", printable(server.database())))
    })
}

/// Makes the schema that a URL names where it is not there. Of one that is there nothing is said: that takes a right.
fn make_schema(database: &Database, server: &ServerUrl, client: &mut Client) -> Result<()> {
    if !lacks_schema(database, server, client)? {
        return Ok(());
    }
    let schema = quoted(server.schema().unwrap_or_default());
    // Another one may make it at this moment.
    run(client, &format!("CREATE SCHEMA IF NOT EXISTS {schema}")).map_err(|error| refused(database, &error))
}

/// Whether a database has not the schema that its URL names.
fn lacks_schema(database: &Database, server: &ServerUrl, client: &mut Client) -> Result<bool> {
    let Some(schema) = server.schema().filter(|schema| !schema.is_empty()) else { return Ok(false) };
    let sql = format!("SELECT 1 WHERE pg_catalog.to_regnamespace({}) IS NULL", text(&quoted(schema)));
    Ok(value(client, &sql).map_err(|error| refused(database, &error))?.is_some())
}

/// Whether a database is there without the schema that its URL names.
///
/// # Errors
/// As [`open_for_reading`].
pub fn is_without_schema(database: &Database, server: &ServerUrl) -> Result<bool> {
    match open_for_reading(database, server)? {
        Some(mut client) => lacks_schema(database, server, &mut client),
        None => Ok(false),
    }
}

/// Sets a new session to what the configuration and the URL say, in one round trip.
fn set(database: &Database, client: &mut Client, first: &str, last: &str) -> Result<()> {
    let mut sql = settings(database);
    sql.splice(0..0, [first, PATIENT].map(str::to_owned));
    sql.push(last.to_owned());
    let sql = sql.into_iter().filter(|sql| !sql.is_empty()).collect::<Vec<_>>().join("; ");
    run(client, &sql).map_err(|error| unset(database, &error))
}

/// The statements that set a session to what the configuration and the URL say.
#[must_use]
pub fn settings(database: &Database) -> Vec<String> {
    let settings = &database.session;
    let mut sql = Vec::new();
    sql.extend(settings.role.as_deref().map(|role| format!("SET ROLE {}", text(role))));
    let schema = database.server().and_then(ServerUrl::schema).map(quoted);
    // The schema that a URL names is that of this database alone; the configuration's hold for all that it is said of.
    let path = schema.or_else(|| settings.search_path.clone());
    sql.extend(path.map(|path| format!("SELECT set_config('search_path', {}, false)", text(&path))));
    let timeouts = [("lock_timeout", settings.lock_timeout), ("statement_timeout", settings.statement_timeout)];
    for (name, timeout) in timeouts {
        sql.extend(timeout.map(|timeout| format!("SET {name} = {}", timeout.as_millis())));
    }
    sql
}

/// How long is waited, in milliseconds as a server takes them: by 0 it would wait for ever.
#[must_use]
pub fn patience(wait: Duration) -> u128 {
    wait.as_millis().clamp(1, 2_147_483_647)
}

/// Runs a text; what it gives is dropped.
///
/// # Errors
/// What the server says.
pub fn run(client: &mut Client, sql: &str) -> Result<(), DatabaseError> {
    client.batch_execute(sql).map_err(|error| failed(&error, sql))
}

/// The rows that a text gives; NULL is told as nothing.
///
/// # Errors
/// What the server says.
pub fn rows(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>, DatabaseError> {
    let messages = client.simple_query(sql).map_err(|error| failed(&error, sql))?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    // A value that is no UTF-8 is an error as any other.
    let value = |row: &SimpleQueryRow, at| row.try_get(at).map(|value| value.unwrap_or_default().to_owned());
    let read = rows.map(|row| (0..row.len()).map(|at| value(row, at)).collect());
    read.collect::<std::result::Result<_, _>>().map_err(|error| failed(&error, sql))
}

/// The first column of the same.
///
/// # Errors
/// What the server says.
pub fn column(client: &mut Client, sql: &str) -> Result<Vec<String>, DatabaseError> {
    Ok(rows(client, sql)?.into_iter().filter_map(|row| row.into_iter().next()).collect())
}

/// The first value of the same.
///
/// # Errors
/// What the server says.
pub fn value(client: &mut Client, sql: &str) -> Result<Option<String>, DatabaseError> {
    Ok(column(client, sql)?.into_iter().next())
}

fn is_missing(error: &DatabaseError) -> bool {
    error.sqlstate() == "3D000"
}

/// Why no session was had, and who can change that.
fn unentered(database: &Database, server: &ServerUrl, error: &DatabaseError) -> Failure {
    let failure = refused(database, error);
    let name = printable(&quoted(server.database()));
    match error.sqlstate() {
        "42501" => {
            let user = printable(&quoted(server.user()));
            failure.help(format!("let the database's owner say `GRANT CONNECT ON DATABASE {name} TO {user}`"))
        }
        "55000" => failure.help(format!("let it be entered: `ALTER DATABASE {name} ALLOW_CONNECTIONS true`")),
        _ => failure,
    }
}

/// Why a session could not be set to what the configuration says, and who can change that.
fn unset(database: &Database, error: &DatabaseError) -> Failure {
    let failure = refused(database, error);
    let (Some(role), Some(server)) = (&database.session.role, database.server()) else { return failure };
    let (role, user) = (printable(&quoted(role)), printable(&quoted(server.user())));
    match error.sqlstate() {
        "42501" => failure.help(format!("let the role's owner or a superuser say `GRANT {role} TO {user}`")),
        "22023" => failure
            .help("see that `role` of the database in the configuration names one that is there")
            .help(format!("or let who may say `CREATE ROLE {role}; GRANT {role} TO {user}`")),
        _ => failure,
    }
}

fn refused(database: &Database, error: &DatabaseError) -> Failure {
    let problem = database.blamed(database_problem(error));
    match error.sqlstate() {
        "53300" => problem
            .help("wait until others have let go, and run it again; of many databases take fewer at once: `--jobs 1`")
            .into(),
        _ => problem.into(),
    }
}
