//! The databases of a server, or the schemas of one, that a pattern of `--each` means.
//!
//! A pattern is a URL, in which the database's name, the value of `schema`, or both, are patterns. Who is asked for the
//! names is let go before anything is done to a database.

use std::collections::BTreeMap;

use build_support::problem::{Problem, printable};
use glob::Pattern;
use migrate_runtime::server::ServerUrl;
use postgres::Client;

use crate::failure::{Failure, Result};
use crate::live::server::{self, MAINTENANCE, MISSING, OWN_SCHEMAS, REHEARSALS};

/// How many of those that are left out are named where nothing else is found.
const LISTED: usize = 3;

/// All databases, with whether they can be somebody's. One whose removal was interrupted has a limit of -2
/// (<https://www.postgresql.org/docs/current/catalog-pg-database.html>). One that cannot be entered may well be: that it is
/// behind is told when its turn comes.
const DATABASES: &str = "SELECT datname, NOT datistemplate AND datconnlimit <> -2 FROM pg_catalog.pg_database";

/// What servers and services have for themselves.
const OWN: [&str; 5] = [MAINTENANCE, "rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys"];

/// All schemas but the server's own, whoever may use them.
fn schemas() -> String {
    format!("SELECT n.nspname, true FROM pg_catalog.pg_namespace AS n WHERE {OWN_SCHEMAS}")
}

/// What the patterns have found.
#[derive(Debug, Default)]
pub struct Each {
    /// The databases, or schemas of them, each once, in the order of their names.
    pub databases: Vec<ServerUrl>,
    /// What a pattern fits and is nobody's database.
    pub left_out: Vec<ServerUrl>,
    /// Those that fit, and have no schema of the pattern's.
    pub without_schema: Vec<ServerUrl>,
}

/// The databases and schemas that patterns mean, each of which is the URL of one with `*`, `?` and `[…]` in its names.
///
/// # Errors
/// A pattern that is none, one that finds nothing, a server that cannot be asked.
pub fn databases(patterns: &[ServerUrl]) -> Result<Each> {
    let (mut databases, mut left_out) = (Sorted::default(), Sorted::default());
    for pattern in patterns {
        let found = found(pattern)?;
        if found.databases.is_empty() {
            return Err(nothing(pattern, &found).into());
        }
        found.databases.into_iter().for_each(|server| databases.add(server));
        found.left_out.into_iter().chain(found.without_schema).for_each(|server| left_out.add(server));
    }
    // What one pattern leaves out another one may name.
    left_out.0.retain(|key, _| !databases.0.contains_key(key));
    let (databases, left_out) = (databases.0.into_values().collect(), left_out.0.into_values().collect());
    Ok(Each { databases, left_out, without_schema: Vec::new() })
}

/// Whether the schema that a URL names is there; `true` where the URL names none.
///
/// # Errors
/// A server that cannot be asked.
pub fn is_there(server: &ServerUrl) -> Result<bool> {
    let Some(mut client) = server::look(server)? else { return Ok(false) };
    match server.schema() {
        None => Ok(true),
        Some(schema) => Ok(names(server, &mut client, &schemas())?.iter().any(|(name, _)| name == schema)),
    }
}

/// By database and schema, then by server.
#[derive(Default)]
struct Sorted(BTreeMap<(String, String, String), ServerUrl>);

impl Sorted {
    fn add(&mut self, server: ServerUrl) {
        let schema = server.schema().unwrap_or_default().to_owned();
        self.0.entry((server.database().to_owned(), schema, server.identity())).or_insert(server);
    }
}

/// A name in a pattern.
enum Name {
    Plain(String),
    Wild(Pattern),
}

impl Name {
    fn parsed(text: &str) -> Result<Self> {
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Plain(text.to_owned()));
        }
        Pattern::new(text).map(Self::Wild).map_err(|error| {
            Failure::misused(format!("`{}` is no pattern: {}", printable(text), error.msg)).help(
                "write such as `tenant_*`; in a URL `?` is written `%3F`, and `[*]` stands for a `*` that is in the name",
            )
        })
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Plain(plain) => plain == name,
            Self::Wild(pattern) => pattern.matches(name),
        }
    }
}

fn found(pattern: &ServerUrl) -> Result<Each> {
    let database = Name::parsed(pattern.database())?;
    let schema = pattern.schema().map(Name::parsed).transpose()?;
    let mut found = Each::default();
    let Name::Wild(_) = database else {
        look_into(pattern.clone(), schema.as_ref(), &mut found)?;
        return Ok(found);
    };
    // This connection is closed before the next one is opened.
    let all = {
        let mut client = server::maintenance(pattern)?;
        names(pattern, &mut client, DATABASES)?
    };
    for (name, is_usable) in all.into_iter().filter(|(name, _)| database.fits(name)) {
        let server = pattern.with_database(&name);
        if !is_usable || OWN.contains(&name.as_str()) || name.starts_with(REHEARSALS) {
            found.left_out.push(server);
        } else if schema.is_some() {
            let before = (found.databases.len(), found.left_out.len());
            if look_into(server.clone(), schema.as_ref(), &mut found).is_err() {
                // Why it lets nobody in is told when its turn comes, and stops no other.
                found.databases.push(server.clone());
            }
            // One without such a schema is not passed over in silence.
            if (found.databases.len(), found.left_out.len()) == before {
                found.without_schema.push(server);
            }
        } else {
            found.databases.push(server);
        }
    }
    Ok(found)
}

/// Sorts in a database, or those of its schemas that are meant. One that is not there, or no more, is nothing.
fn look_into(server: ServerUrl, schema: Option<&Name>, found: &mut Each) -> Result<()> {
    let Some(mut client) = server::look(&server)? else { return Ok(()) };
    let Some(schema) = schema else {
        found.databases.push(server);
        return Ok(());
    };
    let fitting = names(&server, &mut client, &schemas())?.into_iter().filter(|(name, _)| schema.fits(name));
    found.databases.extend(fitting.map(|(name, _)| server.with_schema(&name)));
    Ok(())
}

/// The names that a query lists, each with what it says of it, in an order that hangs on no server's rules.
fn names(server: &ServerUrl, client: &mut Client, sql: &str) -> Result<Vec<(String, bool)>> {
    let said = server::rows(client, sql).map_err(|error| server::unlisted(server, &error))?;
    let rows = said.into_iter().filter_map(|row| <[String; 2]>::try_from(row).ok());
    let mut names: Vec<(String, bool)> = rows.map(|[name, is_usable]| (name, is_usable == "t")).collect();
    names.sort();
    Ok(names)
}

fn nothing(pattern: &ServerUrl, found: &Each) -> Problem {
    let message = match pattern.schema() {
        Some(schema) => format!("`{}` finds no schema in `{}`", printable(schema), printable(pattern.database())),
        None => format!("`{}` finds no database on the server", printable(pattern.database())),
    };
    let problem = Problem::new(MISSING, message).note(format!("it is about {pattern}"));
    let named =
        |servers: &[ServerUrl]| servers.iter().take(LISTED).map(ServerUrl::shown).collect::<Vec<_>>().join(", ");
    let problem = match found.without_schema.as_slice() {
        [] => problem,
        without => problem.note(format!("what it fits has no such schema: {}", named(without))),
    };
    if found.left_out.is_empty() {
        return problem.help("see that the URL names the right server, and the names as they are: capitals count");
    }
    problem
        .note(format!("what it fits is a server's own, a template or a rehearsal's copy: {}", named(&found.left_out)))
        .help("write a pattern that fits your databases, such as `tenant_*`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_until_it_has_a_wildcard_in_it() {
        let fits = |pattern: &str, name: &str| Name::parsed(pattern).unwrap().fits(name);
        assert!(fits("tenant_*", "tenant_") && fits("tenant_*", "tenant_a/b.c") && !fits("tenant_*", "Tenant_1"));
        assert!(fits("t?", "tö") && !fits("t?", "t") && fits("[a-c]1", "b1") && !fits("[!a-c]1", "b1"));
        assert!(fits("*", ".hidden") && fits("a[*]", "a*") && !fits("a[*]", "ab"));
        assert!(fits("a]b", "a]b") && fits("", "") && !fits("a", "ab"));
        assert!(format!("{:?}", Name::parsed("a**").err().unwrap().problems()).contains("is no pattern"));
    }
}
