//! The lock that keeps runners apart: an advisory lock of the session, which the server lets go when the session ends.

use std::time::{Duration, Instant};

use build_support::checksum::Digest;
use build_support::problem::printable;

use super::refused;
use super::session::Session;
use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::postgres_sql::{self, LOCK};

/// How long is waited between two attempts, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The key of a version table's lock.
pub(super) fn key(database: &str, schema: &str, table: &str) -> i64 {
    let mut digest = Digest::new(LOCK);
    for part in [database, schema, table] {
        digest.part(part.as_bytes());
    }
    let hash = digest.finish();
    // Sixteen hexadecimal digits are the 64 bits that an advisory lock has.
    hash.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default().cast_signed()
}

/// Takes the lock and gives the server process that holds it, and what the server says that it is. It is tried again and
/// again outside a transaction: who waits for it within one is in the way of another's `CREATE INDEX CONCURRENTLY`, which
/// waits for all that have begun before it.
pub(super) fn take(
    session: &mut Session<'_>,
    key: i64,
    wait: Duration,
    waiting: &mut dyn FnMut(),
) -> Result<[String; 2], DatabaseError> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut told = false;
    let ask =
        format!("SELECT pg_catalog.pg_try_advisory_lock({key}), pg_catalog.pg_backend_pid(), pg_catalog.version()");
    loop {
        let [taken, process, version] = match session.row(&ask) {
            Err(error) if error.sqlstate() == "42883" => {
                return Err(refused(
                    &format!("this server has no advisory locks: {}", printable(&error.message)),
                    "nothing here keeps two runs apart: migrations are run on PostgreSQL itself, or what keeps such locks",
                ));
            }
            row => row?,
        };
        if taken.as_deref() == Some("t") {
            return Ok([process.unwrap_or_default(), version.unwrap_or_default()]);
        }
        if start.elapsed() >= wait {
            return Err(busy(session, key));
        }
        if !std::mem::replace(&mut told, true) {
            waiting();
        }
        std::thread::sleep(pause.min(wait.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Which of the server's locks `l` are held ones of this key, as a condition.
pub(super) fn is_held(key: i64) -> String {
    postgres_sql::is_held(&format!("'{key}'::bigint"))
}

fn busy(session: &mut Session<'_>, key: i64) -> DatabaseError {
    let holder = session.rows(&format!(
        "SELECT l.pid, a.application_name FROM pg_catalog.pg_locks AS l \
         LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid WHERE {}",
        is_held(key)
    ));
    let who = holder.ok().and_then(|mut rows| rows.pop()).map_or_else(String::new, |row| {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let (process, name) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        if name.is_empty() {
            format!(" (process {process})")
        } else {
            format!(" (process {process}, `{}`)", printable(&name))
        }
    });
    DatabaseError::about_server(ErrorKind::Busy, format!("another session{who} migrates this database"), None)
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn each_version_table_has_a_key_of_its_own_that_stays() {
        let keys =
            [key("a", "public", "_m"), key("b", "public", "_m"), key("a", "other", "_m"), key("a", "public", "_n")];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one));
        }
        // Another value would let a runner of another version in beside this one.
        assert_eq!(key("app", "public", "_cargo_migrate"), -1_639_986_075_257_813_550);
    }
}
