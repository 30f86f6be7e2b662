//! A transaction of a run: with the run's lock held, by the server process that holds it.

use std::time::Duration;

use build_support::problem::printable;

use super::ending::Deferral;
use super::{MARK, PostgresDriver, SETTINGS, lock, refused, server};
use crate::connection::DatabaseError;
use crate::driver::Driver as _;
use crate::driver::postgres_sql::lock_wait;

impl PostgresDriver<'_> {
    /// Whether another session holds the lock of a run. It is asked of the server's list of locks: nothing is taken or
    /// written.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_under_way(&mut self) -> Result<bool, DatabaseError> {
        self.known()?;
        let Some(here) = &self.here else { return Ok(false) };
        let [held] = self.session.row(&format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE {} AND l.pid <> pg_catalog.pg_backend_pid())",
            lock::is_held(here.key)
        ))?;
        Ok(held.as_deref() == Some("t"))
    }

    /// Begins a transaction of the run with its lock held.
    pub(super) fn begin_under_lock(&mut self, wait: Duration, waiting: &mut dyn FnMut()) -> Result<(), DatabaseError> {
        let again = self.holder.is_some();
        if again && self.open_transaction(wait)? {
            return Ok(());
        }
        // A revision outside a transaction can let go of all that its session holds (`DISCARD ALL`). Who has moved the
        // database since is noticed by its history.
        self.rollback();
        self.take_lock(wait, waiting)?;
        if self.open_transaction(wait)? {
            return Ok(());
        }
        self.rollback();
        self.holder = None;
        Err(refused(
            &format!(
                "this server says that it has taken the run's lock, and does not hold it: {}",
                printable(&self.version)
            ),
            "nothing here keeps two runs apart: migrations are run on PostgreSQL itself, or what keeps its advisory locks",
        ))
    }

    /// Takes the run's lock, and sees what server this is.
    fn take_lock(&mut self, wait: Duration, waiting: &mut dyn FnMut()) -> Result<(), DatabaseError> {
        let Some(here) = &self.here else { return Ok(()) };
        let [process, version] = lock::take(&mut self.session, here.key, wait, waiting)?;
        self.holder = Some(process);
        if version != self.version {
            server::check(&mut self.session, &version)?;
            self.version = version;
        }
        Ok(())
    }

    /// Begins a transaction; gives whether this session still holds the run's lock.
    fn open_transaction(&mut self, wait: Duration) -> Result<bool, DatabaseError> {
        let Some(here) = &self.here else { return Ok(false) };
        self.rows.forget();
        (self.deferral, self.end) = (Deferral::of(&self.version), None);
        self.open = true;
        let lock_wait = lock_wait(wait);
        // What a file means hangs on no setting of the server's. And while a backup is made, the transaction waits for it.
        let [process, held, mark, ..] = self.session.row::<4>(&format!(
            "BEGIN; SET LOCAL standard_conforming_strings = on; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_catalog.pg_backend_pid(), \
             EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE {} AND l.pid = pg_catalog.pg_backend_pid()), \
             {MARK}, {lock_wait}",
            lock::is_held(here.key)
        ))?;
        self.mark = mark;
        if process != self.holder {
            self.rollback();
            return Err(refused(
                "this connection has come to another process of the server than the one that holds the run's lock",
                "a pooler stands between: connect to the server itself, or to a pooler that keeps sessions",
            ));
        }
        Ok(held.as_deref() == Some("t"))
    }

    /// Lets the lock go, where it is held and nothing that it protects is open.
    pub(super) fn unlock(&mut self) {
        let (Some(here), Some(_)) = (&self.here, self.holder.take()) else { return };
        // A connection that fails here is lost, and the server has let go by itself.
        let row = self.session.row::<4>(&format!("SELECT pg_catalog.pg_advisory_unlock({}), {SETTINGS}", here.key));
        if let Ok([_, now @ ..]) = row {
            let _ = self.restore(&now);
        }
    }
}
