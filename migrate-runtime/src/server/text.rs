//! A URL's text: cut into its pieces, and put together again to be shown.
//!
//! It is cut where libpq cuts it (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>):
//! a `+` and a `#` stand for themselves, and a password reaches to the first `@`. No message repeats a piece of the URL
//! that may be a part of the password.

use build_support::problem::{Problem, printable};

use super::{INVALID, hosts};

/// What a URL says, decoded, in its order: a later value of one name takes the place of an earlier one.
pub(super) struct Pieces {
    pub(super) values: Vec<(String, String)>,
    pub(super) shown: Shown,
}

/// A URL as it may be shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Up to the hosts.
    start: String,
    database: String,
    query: Vec<(String, String)>,
}

impl Shown {
    pub(super) fn with_database(&self, name: &str) -> Self {
        let query = self.query.iter().filter(|(key, _)| key != "dbname").cloned().collect();
        Self { database: encoded(name), query, ..self.clone() }
    }

    pub(super) fn with_schema(&self, name: &str) -> Self {
        let mut query: Vec<_> = self.query.iter().filter(|(key, _)| key != "schema").cloned().collect();
        query.push(("schema".to_owned(), encoded(name)));
        Self { query, ..self.clone() }
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.start.clone();
        if !self.database.is_empty() {
            text.push('/');
            text.push_str(&self.database);
        }
        for (at, (key, value)) in self.query.iter().enumerate() {
            if at == 0 && self.database.is_empty() {
                text.push('/');
            }
            text.push(if at == 0 { '?' } else { '&' });
            text.push_str(&format!("{key}={value}"));
        }
        printable(&text)
    }
}

/// Cuts a URL.
pub(super) fn pieces(text: &str) -> Result<Pieces, Problem> {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| text.starts_with(scheme));
    let Some((scheme, rest)) = scheme.and_then(|scheme| Some((scheme, text.strip_prefix(scheme)?))) else {
        return Err(invalid("this is no URL of a PostgreSQL database")
            .help("write `postgres://USER@HOST/DATABASE`, or `postgres:///DATABASE` for a server on this machine"));
    };
    let mut values = Vec::new();
    let mut keep = |name: &str, value: String| {
        if !value.is_empty() {
            values.push((name.to_owned(), value));
        }
    };
    // As libpq looks for it: whatever stands before the first `@`, where no `/` comes before.
    let at = rest.find(['@', '/']).filter(|at| rest[*at..].starts_with('@'));
    let (credentials, rest) = match at {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let mut start = scheme.to_owned();
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').map_or((credentials, None), |(user, it)| (user, Some(it)));
        keep("user", decoded(user, "user")?);
        keep("password", decoded(password.unwrap_or_default(), "password")?);
        start.push_str(user);
        start.push_str(if password.is_some() { ":***@" } else { "@" });
    }
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (hosts, database) = before_query.split_once('/').unwrap_or((before_query, ""));
    if before_query.contains('@') {
        return Err(invalid("an `@` stands behind the user and the password")
            .help("in a password, write `@` as `%40` and `/` as `%2F`; in the name of a database, `@` as `%40`"));
    }
    let (names, ports) = split_hosts(hosts)?;
    keep("host", names.join(","));
    // Before anything else is told of: behind a password that is cut in its middle stands no port.
    for port in &ports {
        hosts::port(port)?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        keep("port", ports.join(","));
    }
    start.push_str(hosts);
    keep("dbname", decoded(database, "name of the database")?);

    let mut shown = Vec::new();
    for parameter in query.into_iter().flat_map(|query| query.split('&')).filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').ok_or_else(|| {
            invalid("a parameter behind the `?` of the URL has no value")
                .help("write `?NAME=VALUE&NAME=VALUE`; a `?` or `&` that is meant as such is `%3F` or `%26`")
        })?;
        let key = decoded(key, "name of a parameter")?;
        let secret = ["password", "sslpassword"].contains(&key.as_str());
        shown.push((encoded(&key), if secret { "***".to_owned() } else { value.to_owned() }));
        let value = decoded(value, &format!("parameter `{}`", printable(&key)))?;
        values.push((key, value));
    }
    Ok(Pieces { values, shown: Shown { start, database: database.to_owned(), query: shown } })
}

/// The hosts and ports of `HOST:PORT,[ADDRESS]:PORT`, one of each for each host.
fn split_hosts(text: &str) -> Result<(Vec<String>, Vec<String>), Problem> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let (name, port) = match one.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or_else(|| {
                    invalid("the address of a host has no `]` at its end").help("write `[::1]` or `[::1]:5432`")
                })?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => port,
                    None if rest.is_empty() => "",
                    None => {
                        return Err(invalid("something else than a port stands behind the address of a host")
                            .help("write `[::1]` or `[::1]:5432`"));
                    }
                };
                (address, port)
            }
            None => one.split_once(':').unwrap_or((one, "")),
        };
        names.push(decoded(name, "host")?);
        ports.push(decoded(port, "port")?);
    }
    Ok((names, ports))
}

/// Percent escapes as what they stand for; `of` says where they are, never what they are.
fn decoded(text: &str, of: &str) -> Result<String, Problem> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let value = if byte == b'%' {
            let escape = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
            at += 2;
            escape.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()).filter(|value| *value != 0)
        } else {
            Some(byte).filter(|byte| *byte != 0)
        };
        decoded.push(value.ok_or_else(|| {
            invalid(format!("the {of} in the URL has a `%` that is followed by no two digits of a character"))
                .help("write a `%` that is meant as such as `%25`")
        })?);
        at += 1;
    }
    String::from_utf8(decoded).map_err(|_| {
        invalid(format!("the escapes in the {of} of the URL are not UTF-8"))
            .help("write each byte of a character as UTF-8 as one escape: `é` is `%C3%A9`")
    })
}

/// A name as it stands in a URL.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(super) fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(INVALID, message)
}
