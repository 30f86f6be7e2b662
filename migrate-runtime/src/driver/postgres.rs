//! PostgreSQL: one transaction per run, with the rows of the version table in it, and an advisory lock of the session
//! around it.
//!
//! `session` is the connection, `begin` starts a transaction with the run's `lock` held, `ending` is the end of a revision,
//! `server` tells what it runs on, `rows` is the version table, `verify` asks what a revision claims, `elsewhere` finds
//! version tables in other schemas, `others` tells what other sessions hold and what interrupted ones have left.

mod begin;
mod elsewhere;
mod ending;
mod lock;
mod others;
mod rows;
mod server;
pub(crate) mod session;
mod verify;

use std::path::Path;
use std::time::Duration;

use build_support::checksum::Checksum;
use build_support::problem::printable;
use build_support::revision::RevisionId;
use build_support::token::Dialect;
use postgres::Client;

use self::ending::{Deferral, End};
use self::rows::Rows;
use self::session::Session;
pub use self::session::of as failed;
use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::postgres_sql::PLACELESS;
pub use crate::driver::postgres_sql::{quoted, text};
use crate::driver::{Driver, Enforcement, VersionTable};
use crate::history::{AppliedRevision, History, State};
use crate::sqlite::{Newest, StoreError, create_table_text};

/// A connection to a PostgreSQL server as a driver. When it is dropped, its transaction is rolled back, its lock let go, and
/// the session's search path and role are as before.
pub struct PostgresDriver<'c> {
    session: Session<'c>,
    table: VersionTable,
    rows: Rows,
    here: Option<Here>,
    /// The [`MARK`] of the transaction that is open.
    mark: Option<String>,
    /// The server process that holds the lock, where it is held.
    holder: Option<String>,
    /// What the server says that it is, once that was asked.
    version: String,
    open: bool,
    /// What is known within a transaction of the constraints that can wait for their check.
    deferral: Deferral,
    /// What the server has answered to the question at the end of a revision, where that went with the last statement.
    end: Option<End>,
}

impl std::fmt::Debug for PostgresDriver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDriver").field("table", &self.table).field("open", &self.open).finish_non_exhaustive()
    }
}

/// What a session was like before the run.
struct Here {
    key: i64,
    database: String,
    user: String,
    schema: String,
    /// Whether the session writes nothing unless it is told to.
    reads: bool,
    settings: [Option<String>; 3],
}

/// The settings that a migration may change for its session and that the next one would meet, and the encoding, which it
/// may not change.
///
/// What the driver asks names `pg_catalog`: a search path may have somebody's own functions before the server's.
const SETTINGS: &str = "pg_catalog.current_setting('search_path'), pg_catalog.current_setting('role'), \
    pg_catalog.current_setting('client_encoding')";

/// What tells a transaction from the next one, and from none: when it has begun. No statement can set that.
const MARK: &str = "pg_catalog.now()";

impl<'c> PostgresDriver<'c> {
    /// Drives a connection whose version table has this name. `ops._cargo_migrate` is in the schema `ops` whatever the
    /// search path is, and the schema is made with the table where it is missing; without a dot the table is in the first
    /// schema of the search path.
    #[must_use]
    pub fn new(client: &'c mut Client, table: &str) -> Self {
        Self {
            session: Session::new(client),
            table: VersionTable::of(table),
            rows: Rows::default(),
            here: None,
            mark: None,
            holder: None,
            version: String::new(),
            open: false,
            deferral: Deferral::default(),
            end: None,
        }
    }

    /// How often the server was waited for so far.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.session.round_trips
    }

    /// Asks the session once where it is; gives whether a transaction is open.
    ///
    /// The first statement of a transaction has its time
    /// (<https://www.postgresql.org/docs/current/functions-datetime.html>), and one by itself is always the first.
    fn look_around(&mut self) -> Result<bool, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.now() <> pg_catalog.statement_timestamp(), pg_catalog.current_database(), \
             pg_catalog.current_schema(), CURRENT_USER, pg_catalog.current_setting('default_transaction_read_only'), \
             {SETTINGS}"
        );
        let [open, database, schema, user, reads, path, role, encoding] = match self.session.row(&sql) {
            // It has failed already.
            Err(error) if error.sqlstate() == "25P02" => return Ok(true),
            row => row?,
        };
        if self.here.is_none() {
            self.rows.schema = self.table.schema.as_deref().map(quoted);
            let Some(schema) = self.table.schema.clone().or(schema) else {
                return Err(self.placeless(path.as_deref().unwrap_or_default(), user.as_deref().unwrap_or_default()));
            };
            self.rows.name = format!("{}.{}", quoted(&schema), quoted(&self.table.name));
            self.rows.place = [schema.clone(), self.table.name.clone()];
            let (database, user) = (database.unwrap_or_default(), user.unwrap_or_default());
            let key = lock::key(&database, &schema, &self.table.name);
            let reads = reads.as_deref() == Some("on");
            self.here = Some(Here { key, database, user, schema, reads, settings: [path, role, encoding] });
        }
        Ok(open.as_deref() == Some("t"))
    }

    /// Why the version table has no place where the search path finds no schema that this role may use.
    fn placeless(&mut self, path: &str, user: &str) -> DatabaseError {
        // A single one is told as it is written in SQL.
        let single = !path.is_empty() && !path.contains([',', '$']);
        let is_there = single
            && self
                .session
                .row(&format!("SELECT pg_catalog.to_regnamespace({}) IS NOT NULL", text(path)))
                .is_ok_and(|row| row == [Some("t".to_owned())]);
        if is_there {
            return refused(
                &format!("the role {} may not use the schema {path}, so the version table has no place", quoted(user)),
                &format!("let the schema's owner say `GRANT USAGE ON SCHEMA {path} TO {}`", quoted(user)),
            );
        }
        let make = if single { format!("`CREATE SCHEMA {path}`") } else { "make the schema".to_owned() };
        refused(
            PLACELESS,
            &format!("{make}, or name one that is there: `SET search_path TO …`, or `options` of the connection"),
        )
    }

    fn known(&mut self) -> Result<(), DatabaseError> {
        if self.here.is_none() {
            self.look_around()?;
        }
        Ok(())
    }

    /// Says of a refusal that it is about the version table, whose statements nobody has written, and what would let the
    /// role do it.
    fn blamed<T>(&self, result: Result<T, StoreError>, makes: bool) -> Result<T, StoreError> {
        result.map_err(|error| match (error, &self.here) {
            (StoreError::Database(mut error), Some(here)) => {
                if error.sqlstate() == "42501"
                    && let Some(server) = &mut error.server
                {
                    let (schema, user) = (quoted(&here.schema), quoted(&here.user));
                    let (name, database) = (&self.rows.name, &here.database);
                    let (does, hint) = if makes && self.rows.lacks_schema {
                        let grant = format!("GRANT CREATE ON DATABASE {} TO {user}", quoted(database));
                        ("making the schema of the version table", format!("let the database's owner say `{grant}`"))
                    } else if makes {
                        let grant = format!("GRANT CREATE ON SCHEMA {schema} TO {user}");
                        ("making the version table", format!("let the schema's owner say `{grant}`"))
                    } else {
                        let rights = if here.reads { "SELECT" } else { "SELECT, INSERT, UPDATE, DELETE" };
                        let hint = format!(
                            "let the table's owner say `GRANT {rights} ON {name} TO {user}`, and where the role may not use \
                             its schema, that one's owner `GRANT USAGE ON SCHEMA {schema} TO {user}`"
                        );
                        ("the version table", hint)
                    };
                    server.context =
                        Some(format!("it was {does}, {name}, in the database `{database}` as the role {user}"));
                    server.hint = Some(hint);
                }
                StoreError::Database(error)
            }
            (error, _) => error,
        })
    }

    /// Sets the search path and the role back where a migration has changed them. Another encoding is set back too, and told:
    /// who knows what the server has read by then.
    fn restore(&mut self, now: &[Option<String>; 3]) -> Result<(), DatabaseError> {
        let Some(here) = &self.here else { return Ok(()) };
        if here.settings == *now {
            return Ok(());
        }
        let [path, role, encoding] =
            here.settings.each_ref().map(|setting| text(setting.as_deref().unwrap_or_default()));
        if here.settings[2] != now[2] {
            // Before anything else is said in letters.
            self.session.run(&format!("SELECT pg_catalog.set_config('client_encoding', {encoding}, false)"))?;
            let other = printable(now[2].as_deref().unwrap_or_default());
            return Err(refused(
                &format!("this section has set `client_encoding` to `{other}`, and its letters are UTF-8"),
                "leave it out: the server turns UTF-8 into the database's own encoding",
            ));
        }
        // The role first: it may have been given up for one that may not come back by itself.
        self.session.run(&format!(
            "SELECT pg_catalog.set_config('role', {role}, false), pg_catalog.set_config('search_path', {path}, false)"
        ))
    }
}

/// The statement that makes a version table, `TABLE` or `SCHEMA.TABLE`, where none is.
#[must_use]
pub fn create_table_sql(table: &str) -> String {
    let name: Vec<String> = VersionTable::of(table).parts().map(quoted).collect();
    create_table_text(&name.join("."), "BIGINT")
}

fn refused(message: &str, hint: &str) -> DatabaseError {
    DatabaseError::about_server(ErrorKind::Other, message, Some(hint.to_owned()))
}

impl Driver for PostgresDriver<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn table_name(&self) -> &str {
        &self.table.name
    }

    /// The server enforces foreign keys itself, so that both ways are the same here.
    fn begin(&mut self, _: Enforcement, wait: Duration, waiting: &mut dyn FnMut()) -> Result<(), DatabaseError> {
        self.session.missed = None;
        self.known()?;
        self.begin_under_lock(wait, waiting)
    }

    fn commit(&mut self, _: Duration) -> Result<(), DatabaseError> {
        self.rows.write(&mut self.session)?;
        self.session.run("COMMIT")?;
        self.open = false;
        Ok(())
    }

    fn rollback(&mut self) {
        self.rows.forget();
        self.end = None;
        if std::mem::take(&mut self.open) {
            let _ = self.session.run("ROLLBACK");
        }
    }

    /// Nothing but a statement that is refused can end a transaction, so the server is not asked within one;
    /// [`Driver::end_step`] notices all the same.
    fn in_transaction(&mut self) -> Result<bool, DatabaseError> {
        if self.open {
            return Ok(true);
        }
        let open = self.look_around()?;
        // One that a revision outside the run's transaction has left open is the run's to roll back.
        self.open = open && self.holder.is_some();
        Ok(open)
    }

    fn history(&mut self) -> Result<History, StoreError> {
        self.known()?;
        let result = self.rows.history(&mut self.session);
        self.blamed(result, false)
    }

    fn newest(&mut self, package: &str) -> Result<Option<Newest>, StoreError> {
        self.known()?;
        let result = self.rows.newest(&mut self.session, package);
        self.blamed(result, false)
    }

    fn ensure_table(&mut self) -> Result<(), StoreError> {
        self.known()?;
        let result = self.rows.ensure(&mut self.session);
        self.blamed(result, true)
    }

    fn stored_down(&mut self, package: &str, id: &RevisionId) -> Result<Option<String>, StoreError> {
        self.known()?;
        let result = self.rows.stored_down(&mut self.session, package, id);
        self.blamed(result, false)
    }

    fn execute(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.execute_alone(statement)
    }

    fn execute_last(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.execute_before_end(statement)
    }

    /// The server's DETAIL names them.
    fn offending_rows(&mut self, _: &str, _: &DatabaseError) -> Vec<String> {
        Vec::new()
    }

    fn end_step(&mut self) -> Result<bool, DatabaseError> {
        if !self.open {
            let now = self.session.row::<3>(&format!("SELECT {SETTINGS}"))?;
            self.restore(&now)?;
            return Ok(true);
        }
        self.end_revision()
    }

    fn verify(&mut self, query: &str) -> Result<Option<String>, DatabaseError> {
        verify::first_untrue(&mut self.session, query)
    }

    fn record(&mut self, row: &AppliedRevision, down: Option<&str>) -> Result<(), StoreError> {
        let result = self.rows.record(&mut self.session, row, down);
        self.blamed(result, false)
    }

    fn mark(&mut self, package: &str, id: &RevisionId, state: State, elapsed_ms: i64) -> Result<(), StoreError> {
        let result = self.rows.mark(&mut self.session, package, id, state, elapsed_ms);
        self.blamed(result, false)
    }

    fn amend(
        &mut self,
        package: &str,
        id: &RevisionId,
        checksum: &Checksum,
        down: Option<&str>,
    ) -> Result<(), StoreError> {
        let result = self.rows.amend(&mut self.session, package, id, checksum, down);
        self.blamed(result, false)
    }

    fn rename_package(&mut self, old: &str, new: &str) -> Result<(), StoreError> {
        let result = self.rows.rename_package(&mut self.session, old, new);
        self.blamed(result, false)
    }

    fn forget(&mut self, package: &str, id: &RevisionId) -> Result<(), StoreError> {
        let result = self.rows.delete(&mut self.session, package, id);
        self.blamed(result, false)
    }

    fn finish(&mut self, packages: &[&str]) -> Result<(), StoreError> {
        let result = self.rows.finish(&mut self.session, packages);
        self.blamed(result, false)
    }

    /// No key is ever broken here.
    fn look_at_keys(&mut self, _: bool) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn newly_broken_keys(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// The lock of the run is of the session, and so it is held between two commits as well.
    fn hold_split(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.holder.is_some())
    }

    fn release_split(&mut self) {
        if !self.open {
            self.unlock();
        }
    }

    fn missed_lock(&self) -> Option<Duration> {
        self.session.missed.as_ref().map(|missed| missed.waited)
    }

    fn in_the_way(&mut self) -> Vec<String> {
        // What somebody else has missed who works beside this session is not known here, and so is anything.
        let statement = self.session.missed.as_ref().map(|missed| missed.sql.clone()).unwrap_or_default();
        others::holders(&mut self.session, &statement)
    }

    fn left_behind(&mut self) -> Result<Vec<String>, DatabaseError> {
        others::invalid_indexes(&mut self.session)
    }

    fn back_up(&mut self, _: &Path) -> Result<(), DatabaseError> {
        Err(DatabaseError::new(
            ErrorKind::Other,
            "a program cannot copy a server's database; make a backup with `pg_dump`, and take the database back from the \
             newer sources",
        ))
    }
}

impl Drop for PostgresDriver<'_> {
    fn drop(&mut self) {
        self.rollback();
        self.unlock();
    }
}
