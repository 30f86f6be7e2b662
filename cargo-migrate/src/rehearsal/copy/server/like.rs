//! What makes a copy the same as its source besides its content: the encoding and the collations, the settings, who may
//! make schemas.

use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::{quoted, text};
use migrate_runtime::server::ServerUrl;
use postgres::Client;

use super::LOCK;
use crate::live::server::{OWN_SCHEMAS, REHEARSALS, rows, run, value};
use crate::pg_tools::Version;

/// What is asked of the server before a copy is made.
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) is_there: bool,
    /// The copy's name, with the lock on it.
    pub(super) name: String,
    /// The options of CREATE DATABASE that make it the same as the source.
    pub(super) options: String,
}

pub(super) fn facts(client: &mut Client, source: &ServerUrl) -> Result<Facts, DatabaseError> {
    let named = format!(
        "SELECT '{REHEARSALS}' || to_hex(pg_backend_pid()) || '_' || lpad(to_hex((random() * 4294967295)::bigint), 8, '0')"
    );
    let name = value(client, &named)?.ok_or_else(unheard)?;
    // Before the database is there, so that it is never seen without its lock. The session is not ended for being idle.
    let prepare = format!(
        "SELECT pg_advisory_lock({LOCK}, hashtext('{name}')); \
         SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'statement_timeout')"
    );
    rows(client, &prepare)?;
    let of = text(source.database());
    let sql = format!(
        "SELECT pg_encoding_to_char(encoding), quote_ident(pg_get_userbyid(datdba)), \
         (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), to_jsonb(d) FROM pg_database AS d WHERE datname = {of}"
    );
    let found = rows(client, &sql)?;
    let (is_there, options) = match found.first().map_or(&[][..], Vec::as_slice) {
        [encoding, owner, superuser, all] => {
            let owner = if superuser == "t" { format!(" OWNER {owner}") } else { String::new() };
            (true, format!("{}{owner}", locale(encoding, all)))
        }
        _ => (false, String::new()),
    };
    Ok(Facts { version: Version::of_server(client)?, is_there, name, options })
}

/// The options that give a new database the encoding and the collations of another one, of which this is the row.
fn locale(encoding: &str, row: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
    let of = |key: &str| row[key].as_str().filter(|value| !value.is_empty());
    let mut options = format!(" ENCODING {}", text(encoding));
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            options.push_str(&format!(" {name} {}", text(value)));
        }
    };
    add("LC_COLLATE", of("datcollate"));
    add("LC_CTYPE", of("datctype"));
    match of("datlocprovider") {
        Some("i") => {
            add("LOCALE_PROVIDER", Some("icu"));
            add("ICU_LOCALE", of("datlocale").or_else(|| of("daticulocale")));
            add("ICU_RULES", of("daticurules"));
        }
        Some("b") => {
            add("LOCALE_PROVIDER", Some("builtin"));
            add("BUILTIN_LOCALE", of("datlocale"));
        }
        Some("c") => add("LOCALE_PROVIDER", Some("libc")),
        _ => {}
    }
    options
}

/// Gives it what `pg_dump` leaves out of a database that it does not make itself: its settings, and who may make
/// schemas in it. What this user may not give is left out.
pub(super) fn set_as(client: &mut Client, name: &str, source: &ServerUrl) -> Result<(), DatabaseError> {
    let (name, of) = (quoted(name), text(source.database()));
    let settings = rows(
        client,
        &format!(
            "SELECT coalesce(quote_ident(r.rolname), ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) \
             FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c LEFT JOIN pg_roles AS r ON r.oid = s.setrole \
             WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = {of}) \
             AND (s.setrole = 0 OR r.rolname IS NOT NULL)"
        ),
    )?;
    for setting in &settings {
        let [role, parameter, value] = setting.as_slice() else { continue };
        let whose = if role.is_empty() { "DATABASE".to_owned() } else { format!("ROLE {role} IN DATABASE") };
        // By way of the session, since a list is written otherwise than it is stored.
        let _ = client.batch_execute(&format!(
            "BEGIN; SELECT set_config({}, {}, true); ALTER {whose} {name} SET {} FROM CURRENT; COMMIT",
            text(parameter),
            text(value),
            parameter.split('.').map(quoted).collect::<Vec<_>>().join(".")
        ));
        let _ = client.batch_execute("ROLLBACK");
    }
    let grants = rows(
        client,
        &format!(
            "SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END \
             FROM pg_database AS d CROSS JOIN aclexplode(d.datacl) AS a \
             WHERE d.datname = {of} AND a.privilege_type IN ('CREATE', 'TEMPORARY')"
        ),
    )?;
    for grant in &grants {
        let [privilege, grantee] = grant.as_slice() else { continue };
        let _ = client.batch_execute(&format!("GRANT {privilege} ON DATABASE {name} TO {grantee}"));
    }
    Ok(())
}

/// Makes the schema that the session's search path names first, where it names none that is there: whoever runs the
/// migrations there has one, and they have no place without it.
pub(super) fn make_home(client: &mut Client) -> Result<(), DatabaseError> {
    let path = "SELECT pg_catalog.current_setting('search_path') WHERE pg_catalog.current_schema() IS NULL";
    let Some(path) = value(client, path)? else { return Ok(()) };
    let Some(first) = first_name(&path) else { return Ok(()) };
    let user = if first == "$user" { value(client, "SELECT current_user")? } else { None };
    run(client, &format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&user.unwrap_or(first))))
}

/// The first name of a list as the server writes one: with quotes where it needs them.
fn first_name(path: &str) -> Option<String> {
    let path = path.trim_start();
    let Some(rest) = path.strip_prefix('"') else {
        let name = path.split(',').next().unwrap_or_default().trim().to_lowercase();
        return (!name.is_empty()).then_some(name);
    };
    let mut name = String::new();
    let mut rest = rest.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '"' && rest.next_if_eq(&'"').is_none() {
            break;
        }
        name.push(c);
    }
    Some(name)
}

/// Whether the user may do everything, whether all that is there belongs to roles that the user is in, and whether there
/// is no schema `public`, which each new database has.
pub(super) fn owners() -> String {
    format!(
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), \
         coalesce((SELECT bool_and(pg_has_role(owner, 'MEMBER')) FROM (\
         SELECT nspowner, oid FROM pg_namespace UNION SELECT relowner, relnamespace FROM pg_class \
         UNION SELECT proowner, pronamespace FROM pg_proc UNION SELECT typowner, typnamespace FROM pg_type) \
         AS o (owner, namespace) JOIN pg_namespace AS n ON n.oid = o.namespace WHERE {OWN_SCHEMAS}), true), \
         to_regnamespace('public') IS NULL"
    )
}

fn unheard() -> DatabaseError {
    DatabaseError::new(
        migrate_runtime::connection::ErrorKind::Other,
        "the server gave no row where there is always one",
    )
}

#[cfg(test)]
mod tests {
    use super::first_name;

    #[test]
    fn the_first_name_of_a_search_path_is_read_as_the_server_reads_it() {
        for (path, name) in [("Tenant , public", "tenant"), (r#""a, ""b""", c"#, r#"a, "b""#), (r#""$user""#, "$user")]
        {
            assert_eq!(first_name(path).as_deref(), Some(name), "{path}");
        }
        assert_eq!(first_name(" "), None);
    }
}
