//! Databases of a PostgreSQL server: a session that is set to what the configuration says.

use build_support::problem::{Code, Problem};
use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::{failed, quoted, text};
use migrate_runtime::runner::database_problem;
use migrate_runtime::server::ServerUrl;
use postgres::Client;

use crate::failure::{Failure, Result};
use crate::project::Database;

/// The server has no database of that name.
pub const MISSING: Code = Code("missing-database");

/// What sessions are told by in the server's own lists.
pub const NAME: &str = "cargo-migrate";

/// The database that each server has, to make others from.
const MAINTENANCE: &str = "postgres";

/// Opens a session that can write nothing. `None` where the server has no such database.
///
/// # Errors
/// A server that cannot be reached or refuses.
pub fn open_for_reading(database: &Database, server: &ServerUrl) -> Result<Option<Client>> {
    let client = match server.connect(NAME) {
        Err(error) if is_missing(&error) => return Ok(None),
        client => client,
    };
    let mut client = client.map_err(|error| refused(database, &error))?;
    set(database, &mut client, "SET default_transaction_read_only = on")?;
    Ok(Some(client))
}

/// Opens a session for a run. Where the server has no such database it is made only if `create` says so.
///
/// # Errors
/// A database that is not there, a server that cannot be reached or refuses.
pub fn open_for_writing(database: &Database, server: &ServerUrl, create: bool) -> Result<Client> {
    let mut client = match server.connect(NAME) {
        Err(error) if is_missing(&error) && !create => return Err(missing(database, server)),
        Err(error) if is_missing(&error) => {
            make(database, server)?;
            server.connect(NAME)
        }
        client => client,
    }
    .map_err(|error| refused(database, &error))?;
    set(database, &mut client, "")?;
    Ok(client)
}

fn missing(database: &Database, server: &ServerUrl) -> Failure {
    Problem::new(MISSING, format!("the server has no database `{}`", server.database()))
        .note(format!("it is about {}", database.url))
        .help("see that the URL names the right one; `upgrade --create` makes a new one")
        .into()
}

/// Makes the database that a URL names, through the one that each server has.
fn make(database: &Database, server: &ServerUrl) -> Result<()> {
    let mut client = server.with_database(MAINTENANCE).connect(NAME).map_err(|error| refused(database, &error))?;
    let sql = format!("CREATE DATABASE {}", quoted(server.database()));
    client.batch_execute(&sql).map_err(|error| refused(database, &failed(&error, &sql)))
}

/// Sets a new session to what the configuration and the URL say, in one round trip.
fn set(database: &Database, client: &mut Client, first: &str) -> Result<()> {
    let mut sql = settings(database);
    sql.insert(0, first.to_owned());
    let sql = sql.into_iter().filter(|sql| !sql.is_empty()).collect::<Vec<_>>().join("; ");
    client.batch_execute(&sql).map_err(|error| refused(database, &failed(&error, &sql)))
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

fn is_missing(error: &DatabaseError) -> bool {
    error.server.as_ref().is_some_and(|server| server.sqlstate == "3D000")
}

fn refused(database: &Database, error: &DatabaseError) -> Failure {
    database.blamed(database_problem(error)).into()
}
