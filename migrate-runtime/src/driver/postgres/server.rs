//! What a server is, and whether it can do what a run counts on. Many engines speak this protocol and call themselves
//! PostgreSQL.

use build_support::problem::printable;

use super::refused;
use super::session::Session;
use crate::connection::DatabaseError;

/// Makes a table and takes it back, in one round trip.
const PROBE: &str = "BEGIN; CREATE TEMPORARY TABLE _cargo_migrate_probe (a int); ROLLBACK; \
    SELECT pg_catalog.to_regclass('pg_temp._cargo_migrate_probe') IS NULL; \
    DROP TABLE IF EXISTS pg_temp._cargo_migrate_probe";

/// Refuses a server that does not take back the definitions of a transaction. One that is plainly PostgreSQL is not asked.
pub(super) fn check(session: &mut Session<'_>, version: &str) -> Result<(), DatabaseError> {
    if is_plain(version) {
        return Ok(());
    }
    let [gone] = session.row(PROBE)?;
    judge(gone.as_deref(), version)
}

fn judge(gone: Option<&str>, version: &str) -> Result<(), DatabaseError> {
    if gone == Some("t") {
        return Ok(());
    }
    Err(refused(
        &format!("this server keeps a table although its transaction was rolled back: {}", printable(version)),
        "a run that fails would stay half-way here, also one that commits after each revision, so nothing is run",
    ))
}

/// Whether a server is PostgreSQL as its project builds it, or Debian, by what it says of itself
/// (<https://www.postgresql.org/docs/current/functions-info.html>).
pub(super) fn is_plain(version: &str) -> bool {
    let plain = || {
        let (number, rest) = version.strip_prefix("PostgreSQL ")?.split_once(' ')?;
        let rest = match rest.strip_prefix('(') {
            Some(package) => {
                let (package, rest) = package.split_once(") ")?;
                (package.starts_with("Debian ") || package.starts_with("Ubuntu ")).then_some(rest)?
            }
            None => rest,
        };
        let number = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        // Who adds something adds it at the end.
        let compiled = rest.starts_with("on ") && rest.contains(", compiled by ");
        Some(number && compiled && (rest.ends_with(", 64-bit") || rest.ends_with(", 32-bit")))
    };
    plain().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plainly_postgresql_is_asked() {
        let built = "on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit";
        for (version, plain) in [
            (format!("PostgreSQL 15.13 (Debian 15.13-0+deb12u1) {built}"), true),
            (format!("PostgreSQL 17.2 {built}"), true),
            (format!("PostgreSQL 11.2-YB-2.20.1.0-b0 {built}"), false),
            (format!("PostgreSQL 9.4.26 (Greenplum Database 6.25.3) {built}"), false),
            (format!("PostgreSQL 8.0.2 {built}, Redshift 1.0.1"), false),
            ("CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)".to_owned(), false),
            ("PostgreSQL 15".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_plain(&version), plain, "{version}");
        }
    }

    #[test]
    fn a_server_that_keeps_what_was_rolled_back_is_refused_by_name() {
        assert_eq!(judge(Some("t"), "Engine 1"), Ok(()));
        for answer in [Some("f"), None] {
            let error = judge(answer, "Engine 1").unwrap_err();
            assert!(error.message.contains("Engine 1"), "{error:?}");
        }
    }
}
