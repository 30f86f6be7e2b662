//! A query of a verify section: it writes nothing, and the first column of each row has to be true.

use build_support::problem::printable;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::{FromSql, ToSql, Type};

use super::session::Session;
use crate::connection::{DatabaseError, ErrorKind};

/// A value as the server sends it.
struct Sent<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Sent<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

const SAVEPOINT: &str = "SAVEPOINT _cargo_migrate_verify; SET LOCAL transaction_read_only = on";
const BACK: &str = "ROLLBACK TO SAVEPOINT _cargo_migrate_verify; RELEASE SAVEPOINT _cargo_migrate_verify";

/// The first value that is not true, as text. A savepoint that is rolled back takes away the protection with all else.
pub(super) fn first_untrue(session: &mut Session<'_>, query: &str) -> Result<Option<String>, DatabaseError> {
    session.run(SAVEPOINT)?;
    let wrong = ask(session, query);
    // After a broken connection there is no way back, and what broke it is what counts.
    let back = session.run(BACK);
    let wrong = wrong?;
    back?;
    Ok(wrong)
}

fn ask(session: &mut Session<'_>, query: &str) -> Result<Option<String>, DatabaseError> {
    // A text that is prepared is one statement by the server's own reading; besides, this tells the column's type.
    let prepared = session.ask(query, |client| client.prepare(query))?;
    let Some(column) = prepared.columns().first() else { return Ok(Some("no column".to_owned())) };
    if !prepared.params().is_empty() {
        return Err(DatabaseError::new(ErrorKind::Other, "the query has parameters, and nothing gives them values"));
    }
    let kind = column.type_().clone();
    session.ask(query, |client| {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = client.query_raw(&prepared, none)?;
        while let Some(row) = rows.next()? {
            match row.try_get::<_, Option<Sent<'_>>>(0)? {
                None => return Ok(Some("NULL".to_owned())),
                Some(Sent(value)) if !holds(&kind, value) => return Ok(Some(shown(&kind, value))),
                Some(_) => {}
            }
        }
        Ok(None)
    })
}

/// Whether a value is `true` or a number other than 0
/// (<https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES>).
fn holds(kind: &Type, value: &[u8]) -> bool {
    match *kind {
        Type::BOOL | Type::INT2 | Type::INT4 | Type::INT8 => value.iter().any(|byte| *byte != 0),
        Type::FLOAT4 => value.try_into().is_ok_and(|bytes| f32::from_be_bytes(bytes) != 0.0),
        Type::FLOAT8 => value.try_into().is_ok_and(|bytes| f64::from_be_bytes(bytes) != 0.0),
        // Its digits are counted first, and its sign says whether it is a number at all.
        Type::NUMERIC => value.get(..2) != Some(&[0, 0]) || value.get(4).is_some_and(|sign| sign & 0xC0 == 0xC0),
        _ => false,
    }
}

fn shown(kind: &Type, value: &[u8]) -> String {
    match *kind {
        Type::BOOL => "false".to_owned(),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => "0".to_owned(),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            let text = String::from_utf8_lossy(value);
            format!("'{}'", printable(&text).chars().take(80).collect::<String>())
        }
        _ => format!("a value of the type {}, which is neither true nor a number", printable(kind.name())),
    }
}
