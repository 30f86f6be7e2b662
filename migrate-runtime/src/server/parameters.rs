//! The parameters of a connection: which there are, where they come from, and what they mean.
//!
//! They are libpq's (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>), and `schema`.

use std::collections::BTreeMap;

use build_support::problem::{Problem, nearest, printable};

use super::text::invalid;
use super::{Environment, files};

/// A parameter that is known.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// The variable that says it where nothing else does.
    pub(super) variable: Option<&'static str>,
    /// The only values that can be met, where it is not one that is acted on.
    only: Option<&'static [&'static str]>,
}

const fn used(name: &'static str, variable: &'static str) -> Parameter {
    Parameter { name, variable: Some(variable), only: None }
}

const fn unnamed(name: &'static str) -> Parameter {
    Parameter { name, variable: None, only: None }
}

const fn only(name: &'static str, variable: Option<&'static str>, only: &'static [&'static str]) -> Parameter {
    Parameter { name, variable, only: Some(only) }
}

/// All of them. What asks for more than is done here is refused, rather than that a connection is less than it says.
const PARAMETERS: &[Parameter] = &[
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    used("dbname", "PGDATABASE"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("service", "PGSERVICE"),
    used("servicefile", "PGSERVICEFILE"),
    used("options", "PGOPTIONS"),
    used("application_name", "PGAPPNAME"),
    unnamed("fallback_application_name"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    unnamed("keepalives"),
    unnamed("keepalives_idle"),
    unnamed("keepalives_interval"),
    unnamed("keepalives_count"),
    unnamed("tcp_user_timeout"),
    used("sslmode", "PGSSLMODE"),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    used("sslnegotiation", "PGSSLNEGOTIATION"),
    used("channel_binding", "PGCHANNELBINDING"),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    unnamed("schema"),
    only("client_encoding", None, &["auto", "utf8", "UTF8", "utf-8", "UTF-8"]),
    only("gssdelegation", Some("PGGSSDELEGATION"), &["0"]),
    only("gssencmode", Some("PGGSSENCMODE"), &["allow", "disable", "prefer"]),
    only("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), &["disable"]),
    only("max_protocol_version", Some("PGMAXPROTOCOLVERSION"), &["3.0", "latest"]),
    only("min_protocol_version", Some("PGMINPROTOCOLVERSION"), &["3.0"]),
    only("replication", None, &["0", "false", "no", "off"]),
    only("require_auth", Some("PGREQUIREAUTH"), &[]),
    only("requirepeer", Some("PGREQUIREPEER"), &[]),
    only("requiressl", Some("PGREQUIRESSL"), &["0"]),
    only("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), &["TLSv1.3"]),
    only("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    only("sslcertmode", Some("PGSSLCERTMODE"), &["allow"]),
    only("sslcompression", Some("PGSSLCOMPRESSION"), &["0"]),
    only("sslcrl", Some("PGSSLCRL"), &[]),
    only("sslcrldir", Some("PGSSLCRLDIR"), &[]),
    only("sslpassword", None, &[]),
    only("sslsni", Some("PGSSLSNI"), &["1"]),
];

/// The variables that a program on libpq would read.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().filter_map(|parameter| parameter.variable)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().filter(|parameter| parameter.only.is_none()).map(|parameter| parameter.name)
}

pub(super) fn known(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name == name)
}

/// Refuses what cannot be met; the value may be a secret and is not repeated.
pub(super) fn check(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let Some(only) = parameter.only else { return Ok(()) };
    if value.is_empty() || only.contains(&value) {
        return Ok(());
    }
    let problem = invalid(format!("what the parameter `{}` asks of a connection is not supported", parameter.name));
    Err(match only {
        [] => problem.help("take it out"),
        _ => problem.help(format!("take it out, or write {}", listed(only))),
    })
}

fn listed(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    quoted.join(" or ")
}

/// What is said of a connection.
#[derive(Default)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// What the URL says, then its service, then the environment: what came first counts.
    pub(super) fn of(values: &[(String, String)], environment: &Environment<'_>) -> Result<Self, Problem> {
        let mut settings = Self::default();
        // Within a URL the last one counts.
        for (name, value) in values.iter().rev() {
            // As a driver of another language writes it.
            if (name.as_str(), value.as_str()) == ("ssl", "true") {
                settings.add("sslmode", "require");
                continue;
            }
            let parameter = known(name).ok_or_else(|| unknown(name))?;
            check(parameter, value)?;
            settings.add(parameter.name, value);
        }
        let of_environment =
            |parameter: &Parameter| parameter.variable.and_then(environment.variable).filter(|value| !value.is_empty());
        for parameter in PARAMETERS.iter().filter(|parameter| ["service", "servicefile"].contains(&parameter.name)) {
            if let Some(value) = of_environment(parameter) {
                settings.add(parameter.name, &value);
            }
        }
        if let Some(service) = settings.get("service").map(str::to_owned) {
            files::add_service(&mut settings, &service, environment)?;
        }
        for parameter in PARAMETERS {
            if let Some(value) = of_environment(parameter) {
                let variable = parameter.variable.unwrap_or_default();
                check(parameter, &value)
                    .map_err(|problem| problem.note(format!("the variable `{variable}` asks for it")))?;
                settings.add(parameter.name, &value);
            }
        }
        Ok(settings)
    }

    /// Adds a value where there is none yet. One that is empty keeps later ones away, and means what is usual.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.0.entry(name).or_insert_with(|| value.to_owned());
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let number = self.get(name).map(|value| value.trim().parse());
        number.transpose().map_err(|_| invalid(format!("the parameter `{name}` is no whole number")))
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&'static str, T)]) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == value);
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let problem = || invalid(format!("the parameter `{name}` has a value that is not known"));
        found.map(|(_, it)| Some(*it)).ok_or_else(|| problem().help(format!("write {}", listed(&all))))
    }
}

impl IntoIterator for Settings {
    type Item = (&'static str, String);
    type IntoIter = std::collections::btree_map::IntoIter<&'static str, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn unknown(name: &str) -> Problem {
    let shown = printable(name);
    let problem = invalid(format!("the parameter `{shown}` of a PostgreSQL URL is not known"));
    match nearest(name, names()) {
        Some(near) => problem.help(format!("write `{near}`")),
        None => problem.help("take it out; a `?` or `&` in a password is written `%3F` or `%26`"),
    }
}
