//! A PostgreSQL server's URL, read as programs on libpq read it, and a connection to what it names.
//!
//! `text` cuts the URL, `parameters` knows what may be said of a connection and where else it may be said, `files` reads
//! the password and the service file, `hosts` puts together where to go, `connecting` goes there, `tls` makes what goes
//! over the wire unreadable for others.
//!
//! What a URL leaves open is taken from its service, then from the environment, then from what is usual, as libpq does it
//! (<https://www.postgresql.org/docs/current/libpq-connect.html>). On purpose different are:
//!
//! - an attempt to connect ends after 10 seconds, where libpq waits for ever;
//! - `verify-ca` and `verify-full` use the system's certificates, where neither `sslrootcert` nor `~/.postgresql/root.crt`
//!   is there; a file that `sslrootcert` names has to be there with every `sslmode` but `disable`;
//! - a host's name is looked for in a certificate's subjectAltName alone, not in its common name;
//! - without a host and without `PGHOST`, the socket of this machine's server is looked for in the folders that are usual,
//!   and `localhost` is asked where there is none;
//! - `schema=NAME` makes a schema the session's `search_path`;
//! - what libpq knows and this module does not is refused by name, and so is an `@` behind the password.

mod connecting;
mod files;
mod hosts;
mod parameters;
mod text;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use build_support::problem::{Code, Problem};
use postgres::Client;
use postgres::config::ChannelBinding;

use self::connecting::{Attributes, Keepalives};
use self::files::Passfile;
use self::hosts::{Host, Place, SOCKETS};
use self::parameters::Settings;
use self::text::{Shown, invalid};
use self::tls::{Mode, Tls};
use crate::connection::DatabaseError;
use crate::driver::postgres::quoted;

/// A URL that cannot be read, or that asks for what is not supported.
pub const INVALID: Code = Code("invalid-database-url");

/// Where the defaults of a URL come from.
#[derive(Clone)]
pub struct Environment<'a> {
    /// The environment's variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The user's home folder, with `.pgpass`, `.pg_service.conf` and `.postgresql`.
    pub home: Option<PathBuf>,
    /// The user's name on this machine, which is the role's where no other is said; [`system_user`] knows it.
    pub user: Option<String>,
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("home", &self.home).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Environment<'static> {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "a program that hands over a URL alone has no other environment")]
    #[must_use]
    pub fn of_process() -> Self {
        Self { variable: &|name| std::env::var(name).ok(), home: std::env::home_dir(), user: system_user() }
    }
}

/// The name that the operating system has for this process's user.
#[must_use]
pub fn system_user() -> Option<String> {
    whoami::username().ok().filter(|name| !name.is_empty())
}

/// The variables that a program on libpq, such as `psql`, reads by itself. A child that gets those of
/// [`ServerUrl::variables`] must inherit none of these besides, since a service, say, would count for more.
pub fn inherited_variables() -> impl Iterator<Item = &'static str> {
    parameters::variables()
}

/// A URL that has been read, with all that it leaves open filled in. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pieces: Shown,
    shown: String,
    hosts: Vec<Host>,
    user: String,
    database: String,
    schema: Option<String>,
    options: Option<String>,
    application_name: Option<String>,
    /// What is said where the program that connects says nothing.
    fallback_name: Option<String>,
    /// For each attempt; without one it takes what it takes.
    timeout: Option<Duration>,
    attributes: Attributes,
    keepalives: Keepalives,
    channel_binding: ChannelBinding,
    tls: Tls,
    /// Why a file with passwords is ignored.
    ignored_passfile: Option<String>,
}

/// `channel_binding`: whether the password's proof is tied to the TLS session.
const BINDINGS: [(&str, ChannelBinding); 3] =
    [("disable", ChannelBinding::Disable), ("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];

/// A server's URL with its secrets masked and without control characters; `None` where it cannot be read as one.
#[must_use]
pub fn shown(url: &str) -> Option<String> {
    text::pieces(url).ok().map(|pieces| pieces.shown.text())
}

impl ServerUrl {
    /// Reads a URL, and what `environment` says besides.
    ///
    /// # Errors
    /// [`INVALID`] for what cannot be read or is not supported; neither the URL nor a value is repeated.
    pub fn parse(text: &str, environment: &Environment<'_>) -> Result<Self, Problem> {
        let pieces = text::pieces(text)?;
        let settings = Settings::of(&pieces.values, environment)?;
        let owned = |name: &str| settings.get(name).map(str::to_owned);
        let user = owned("user").or_else(|| environment.user.clone()).ok_or_else(|| {
            invalid("the URL names no user, and it is not known who this process belongs to")
                .help("write `postgres://USER@HOST/DATABASE`, or set `PGUSER`")
        })?;
        let database = owned("dbname").unwrap_or_else(|| user.clone());
        let mut hosts = hosts::of(&settings)?;
        let mut ignored_passfile = None;
        if let Some(password) = owned("password") {
            hosts.iter_mut().for_each(|host| host.password = Some(password.clone()));
        } else {
            let passfile = Passfile::read(&settings, environment);
            for host in &mut hosts {
                host.password = passfile.password(host, &database, &user);
            }
            ignored_passfile = passfile.ignored;
        }
        Ok(Self {
            shown: pieces.shown.text(),
            pieces: pieces.shown,
            hosts,
            user,
            database,
            schema: owned("schema"),
            options: owned("options"),
            application_name: owned("application_name"),
            fallback_name: owned("fallback_application_name"),
            timeout: timeout(&settings)?,
            attributes: Attributes::of(&settings)?,
            keepalives: Keepalives::of(&settings)?,
            channel_binding: settings.word("channel_binding", &BINDINGS)?.unwrap_or(ChannelBinding::Prefer),
            tls: Tls::of(&settings, environment)?,
            ignored_passfile,
        })
    }

    /// The URL as it was given, with its secrets masked and without control characters.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The database's name, after all defaults.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role that connects, after all defaults.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What tells this database from others: hosts, ports and name, the same for URLs that name the same ones, whoever
    /// the user is. A socket's folder is a host.
    #[must_use]
    pub fn identity(&self) -> String {
        let mut hosts: Vec<String> = self.hosts.iter().map(Host::identity).collect();
        hosts.sort();
        hosts.dedup();
        format!("{}/{}", hosts.join(","), self.database)
    }

    /// The schema that `?schema=NAME` makes the session's search path.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The same server and user with another database; the password stays, since it is the user's.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let pieces = self.pieces.with_database(name);
        Self { shown: pieces.text(), pieces, database: name.to_owned(), ..self.clone() }
    }

    /// The same database with this schema as the session's search path.
    #[must_use]
    pub fn with_schema(&self, name: &str) -> Self {
        let pieces = self.pieces.with_schema(name);
        Self { shown: pieces.text(), pieces, schema: Some(name.to_owned()), ..self.clone() }
    }

    /// Connects, with one attempt at each host. `application_name` is what the server shows of this session where neither
    /// the URL nor the environment says something else.
    ///
    /// It blocks: an asynchronous program calls it in a thread that may, such as `tokio::task::spawn_blocking`'s.
    ///
    /// # Errors
    /// What the server says, or why there is none; never with the password in it.
    pub fn connect(&self, application_name: &str) -> Result<Client, DatabaseError> {
        connecting::connect(self, application_name)
    }

    /// The environment of a program on libpq, such as `pg_dump`, that is to reach the same database. It must inherit none
    /// of [`inherited_variables`] besides.
    ///
    /// Of several hosts with passwords of their own from a file it gets the first one's.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let hosts: Vec<String> = self.hosts.iter().map(|host| host.place.to_string()).collect();
        let ports: Vec<String> = self.hosts.iter().map(|host| host.port.to_string()).collect();
        let mut all = vec![
            ("PGHOST", hosts.join(",")),
            ("PGPORT", ports.join(",")),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGCONNECT_TIMEOUT", self.timeout.map_or(0, |limit| limit.as_secs()).to_string()),
            ("PGTARGETSESSIONATTRS", self.attributes.word().to_owned()),
        ];
        if self.hosts.iter().any(|host| host.address.is_some()) {
            let address = |host: &Host| host.address.map(|address| address.to_string()).unwrap_or_default();
            all.push(("PGHOSTADDR", self.hosts.iter().map(address).collect::<Vec<_>>().join(",")));
        }
        let binding = BINDINGS.iter().find(|(_, it)| *it == self.channel_binding).map_or("prefer", |(word, _)| word);
        all.push(("PGCHANNELBINDING", binding.to_owned()));
        let password = self.hosts.iter().find_map(|host| host.password.clone());
        all.extend(password.map(|password| ("PGPASSWORD", password)));
        all.extend(self.options().map(|options| ("PGOPTIONS", options)));
        all.extend(self.application_name.clone().map(|name| ("PGAPPNAME", name)));
        self.tls.add_variables(&mut all);
        all
    }

    /// The options that the session starts with: those that are given, and the search path.
    fn options(&self) -> Option<String> {
        let path = self.schema.as_ref().filter(|schema| !schema.is_empty()).map(|schema| {
            let name = quoted(schema);
            // Options end at white space, unless a backslash stands before it.
            let mut path = "-c search_path=".to_owned();
            for c in name.chars() {
                if c.is_whitespace() || c == '\\' {
                    path.push('\\');
                }
                path.push(c);
            }
            path
        });
        let all: Vec<String> = self.options.clone().into_iter().chain(path).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

/// `connect_timeout`, in seconds; none is 10, and 0 for ever.
fn timeout(settings: &Settings) -> Result<Option<Duration>, Problem> {
    let seconds = settings.number("connect_timeout")?.unwrap_or(10);
    // More than the clock has room for is for ever as well.
    Ok(u64::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds))
        .map(Duration::from_secs))
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests;
