//! From a URL to a session: one attempt at each host, and what went wrong in words that help.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;

use build_support::problem::Problem;
use postgres::config::{SslMode, SslNegotiation};
use postgres::{Client, Config, Error, NoTls};

use super::parameters::Settings;
use super::text::invalid;
use super::tls::{Connector, Fault};
use super::{Host, Mode, Place, ServerUrl};
use crate::connection::{DatabaseError, ErrorKind};
use crate::driver::postgres::session::{self, Session};

/// `target_session_attrs`: which of several servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

const ATTRIBUTES: [(&str, Attributes); 6] = [
    ("any", Attributes::Any),
    ("read-write", Attributes::ReadWrite),
    ("read-only", Attributes::ReadOnly),
    ("primary", Attributes::Primary),
    ("standby", Attributes::Standby),
    ("prefer-standby", Attributes::PreferStandby),
];

impl Attributes {
    pub(super) fn of(settings: &Settings) -> Result<Self, Problem> {
        Ok(settings.word("target_session_attrs", &ATTRIBUTES)?.unwrap_or(Self::Any))
    }

    pub(super) fn word(self) -> &'static str {
        ATTRIBUTES.iter().find(|(_, it)| *it == self).map_or("any", |(word, _)| word)
    }

    /// What the hosts are asked for, one round after the other.
    fn rounds(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    /// Whether a session is one of these.
    fn fit(self, client: &mut Client) -> Result<bool, DatabaseError> {
        const ASK: &str = "SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery()";
        if self == Self::Any {
            return Ok(true);
        }
        let answer = Session::new(client).row(ASK)?;
        let [read_only, recovers] = answer.map(|answer| answer.as_deref() == Some("t"));
        Ok(match self {
            Self::Any | Self::PreferStandby => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !recovers,
            Self::Standby => recovers,
        })
    }
}

/// How a connection on which nothing happens is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keepalives {
    off: bool,
    idle: Option<Duration>,
    interval: Option<Duration>,
    count: Option<u32>,
    user_timeout: Option<Duration>,
}

impl Keepalives {
    pub(super) fn of(settings: &Settings) -> Result<Self, Problem> {
        // 0 and less are the system's own.
        let positive = |name: &str| -> Result<Option<u32>, Problem> {
            let Some(number) = settings.number(name)?.filter(|number| *number > 0) else { return Ok(None) };
            // The system counts them in an `int`.
            let number = u32::try_from(number).ok().filter(|number| *number <= 2_147_483_647);
            number.map(Some).ok_or_else(|| invalid(format!("the parameter `{name}` is too large")))
        };
        let seconds = |name: &str| Ok(positive(name)?.map(|seconds| Duration::from_secs(u64::from(seconds))));
        Ok(Self {
            off: settings.number("keepalives")? == Some(0),
            idle: seconds("keepalives_idle")?,
            interval: seconds("keepalives_interval")?,
            count: positive("keepalives_count")?,
            user_timeout: positive("tcp_user_timeout")?.map(|ms| Duration::from_millis(u64::from(ms))),
        })
    }

    fn set(self, config: &mut Config) {
        config.keepalives(!self.off);
        self.idle.map(|idle| config.keepalives_idle(idle));
        self.interval.map(|interval| config.keepalives_interval(interval));
        self.count.map(|count| config.keepalives_retries(count));
        self.user_timeout.map(|timeout| config.tcp_user_timeout(timeout));
    }
}

/// Asks each host, until one has what is wanted.
pub(super) fn connect(url: &ServerUrl, application_name: &str) -> Result<Client, DatabaseError> {
    let mut failures = Vec::new();
    for wanted in url.attributes.rounds() {
        failures.clear();
        for (host, address) in places(url, &mut failures) {
            let reached = reach(url, host, address, application_name);
            match reached.and_then(|mut client| Ok((wanted.fit(&mut client)?, client))) {
                Ok((true, client)) => return Ok(client),
                Ok((false, _)) => {
                    let why = format!("the server at {} is not `{}`", host.shown(), url.attributes.word());
                    failures.push(failure(why, "name a host that is, or take out `target_session_attrs`"));
                }
                // A server that answers has the last word, unless it is only just starting or on its way down.
                Err(error) if !matches!(error.sqlstate().get(..3), None | Some("57P")) => return Err(error),
                Err(error) => failures.push(error),
            }
        }
    }
    Err(joined(failures))
}

/// The addresses of all hosts, of which each has its own time. A name is looked up here, so that the one who is asked for
/// it takes none of that time.
fn places<'u>(url: &'u ServerUrl, failures: &mut Vec<DatabaseError>) -> Vec<(&'u Host, Option<IpAddr>)> {
    let mut all = Vec::new();
    for host in &url.hosts {
        let name = match &host.place {
            Place::Tcp(name) if host.address.is_none() => name,
            _ => {
                all.push((host, host.address));
                continue;
            }
        };
        match (name.as_str(), host.port).to_socket_addrs() {
            Ok(found) => all.extend(found.map(|found| (host, Some(found.ip())))),
            Err(error) => {
                let why = format!("the host of {} is not known: {error}", host.shown());
                failures.push(failure(why, "see the name of the host"));
            }
        }
    }
    all
}

/// One kind of attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// With TLS where the server has it.
    Either,
    Tls,
}

/// Connects to one host, encrypted as `sslmode` asks for. Where that allows for both, the second way is tried after the
/// first one was refused for what it is, and not after a wrong password.
fn reach(
    url: &ServerUrl,
    host: &Host,
    address: Option<IpAddr>,
    application_name: &str,
) -> Result<Client, DatabaseError> {
    let (first, second) = match (&host.place, url.tls.mode) {
        (Place::Socket(_), _) | (_, Mode::Disable) => (Way::Plain, None),
        (_, Mode::Allow) => (Way::Plain, Some(Way::Tls)),
        (_, Mode::Prefer) => (Way::Either, Some(Way::Plain)),
        (_, Mode::Require | Mode::VerifyCa | Mode::VerifyFull) => (Way::Tls, None),
    };
    let try_it = |way| attempt(url, (host, address), application_name, way);
    let (error, of_tls) = match try_it(first) {
        Ok(client) => return Ok(client),
        Err(failed) => failed,
    };
    let refused = of_tls || error.sqlstate() == "28000";
    let Some(second) = second.filter(|_| refused) else { return Err(error) };
    try_it(second).map_err(|(other, _)| {
        // Both ways are told of, unless they ended in the same words.
        if other.message == error.message { other } else { joined(vec![error, other]) }
    })
}

/// Tries once; a failure tells whether it was one of TLS.
fn attempt(
    url: &ServerUrl,
    (host, address): (&Host, Option<IpAddr>),
    application_name: &str,
    way: Way,
) -> Result<Client, (DatabaseError, bool)> {
    let mut config = Config::new();
    config.user(&url.user).dbname(&url.database).port(host.port).channel_binding(url.channel_binding);
    config.application_name(
        url.application_name.as_ref().or(url.fallback_name.as_ref()).map_or(application_name, String::as_str),
    );
    host.password.as_ref().map(|password| config.password(password));
    url.options().map(|options| config.options(&options));
    url.timeout.map(|limit| config.connect_timeout(limit));
    url.keepalives.set(&mut config);
    let name = match &host.place {
        #[cfg(unix)]
        Place::Socket(folder) => {
            config.host_path(folder);
            String::new()
        }
        place => {
            config.host(&place.to_string());
            place.to_string()
        }
    };
    address.map(|address| config.hostaddr(address));
    let connector = match way {
        Way::Plain => {
            config.ssl_mode(SslMode::Disable);
            None
        }
        Way::Either | Way::Tls => {
            config.ssl_mode(if way == Way::Tls { SslMode::Require } else { SslMode::Prefer });
            if url.tls.direct {
                config.ssl_negotiation(SslNegotiation::Direct);
            }
            Some(url.tls.connector(&name).map_err(|fault| (failure(of_fault(host, &fault), &fault.hint), false))?)
        }
    };
    let too_late = || {
        let seconds = url.timeout.map_or(0, |limit| limit.as_secs());
        let why = format!("the server at {} did not answer within {seconds} s", host.shown());
        failure(why, "see that a server listens there and no firewall stands between, or raise `connect_timeout`")
    };
    match in_time(config, connector, url.timeout) {
        Some(Ok(client)) => Ok(client),
        Some(Err(error)) => Err(told(url, host, &error, too_late)),
        None => Err((too_late(), false)),
    }
}

/// Connects in a thread of its own, because a server that takes the connection and says nothing would be waited for, and
/// so would the one who knows its name. What comes too late is closed.
fn in_time(config: Config, tls: Option<Connector>, limit: Option<Duration>) -> Option<Result<Client, Error>> {
    let (sender, receiver) = mpsc::channel();
    let connect = move || {
        let client = match tls {
            Some(tls) => config.connect(tls),
            None => config.connect(NoTls),
        };
        let _ = sender.send(client);
    };
    std::thread::Builder::new().name("connecting".to_owned()).spawn(connect).ok()?;
    match limit {
        Some(limit) => receiver.recv_timeout(limit).ok(),
        None => receiver.recv().ok(),
    }
}

/// An error in words, and whether it is one of TLS.
fn told(url: &ServerUrl, host: &Host, error: &Error, too_late: impl Fn() -> DatabaseError) -> (DatabaseError, bool) {
    if error.as_db_error().is_some() {
        return (of_server(url, session::of(error, "")), false);
    }
    let at = host.shown();
    let source = error.source();
    if let Some(fault) = source.and_then(|source| source.downcast_ref::<Fault>()) {
        return (failure(of_fault(host, fault), &fault.hint), true);
    }
    let said = source.map(ToString::to_string).unwrap_or_default();
    if said == "server does not support TLS" {
        let why = format!("the server at {at} does not speak TLS");
        return (
            failure(why, "switch it on there (`ssl = on`), or write `sslmode=disable` where it is not needed"),
            true,
        );
    }
    if said == "password missing" {
        let why = format!("the server at {at} asks for the password of `{}`, and there is none", url.user);
        return (failure(why, &with_ignored(url, PASSWORD)), false);
    }
    let failed = match source.and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => too_late(),
        Some(io::ErrorKind::ConnectionRefused) => {
            failure(format!("no server answers at {at}: connection refused"), REACH)
        }
        Some(io::ErrorKind::NotFound) => failure(format!("there is no socket of a server at {at}"), REACH),
        _ => failure(
            format!("no session at {at}: {error}{}", if said.is_empty() { said } else { format!(": {said}") }),
            REACH,
        ),
    };
    (failed, false)
}

const PASSWORD: &str = "give it in the URL, in `PGPASSWORD` or in `~/.pgpass`; in a URL each of `:/?#[]@%` in it is written \
    as an escape, `@` as `%40`";
const REACH: &str = "see that the server runs, and that the URL's host and port are its own";

/// Adds a way out to what a server says.
fn of_server(url: &ServerUrl, mut error: DatabaseError) -> DatabaseError {
    error.kind = ErrorKind::CannotOpen;
    let hint = match error.sqlstate() {
        "28P01" => Some(with_ignored(url, PASSWORD)),
        "28000" => Some(
            "see that the user is there and that the server's `pg_hba.conf` takes it from here, for this database and with \
             this `sslmode`"
                .to_owned(),
        ),
        "3D000" => Some(format!("see the name of the database in the URL, or make it: `createdb {}`", url.database)),
        _ => None,
    };
    if let Some(words) = &mut error.server {
        words.hint = words.hint.take().or(hint);
    }
    error
}

fn with_ignored(url: &ServerUrl, hint: &str) -> String {
    url.ignored_passfile.as_ref().map_or_else(|| hint.to_owned(), |ignored| format!("{hint}; {ignored}"))
}

fn of_fault(host: &Host, fault: &Fault) -> String {
    format!("no TLS with the server at {}: {fault}", host.shown())
}

/// What kept a session from being, with a way out that may be empty.
fn failure(message: String, hint: &str) -> DatabaseError {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    DatabaseError::about_server(ErrorKind::CannotOpen, message, hint)
}

/// All that was tried in one error, which is otherwise the last one's.
fn joined(failures: Vec<DatabaseError>) -> DatabaseError {
    let mut messages: Vec<String> = failures.iter().map(|error| error.message.clone()).collect();
    // A host of several addresses.
    messages.dedup();
    let last = failures.into_iter().next_back();
    let last = last.unwrap_or_else(|| failure("there is no host to connect to".to_owned(), ""));
    DatabaseError { message: messages.join("; "), ..last }
}
