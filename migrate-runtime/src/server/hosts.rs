//! The hosts that a URL and its defaults name, one after the other.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use build_support::problem::{Problem, printable};

use super::files;
use super::parameters::Settings;
use super::text::invalid;

/// Where a server of the same machine has its socket: as Debian and Fedora build it, and as it comes from its authors.
pub(super) const SOCKETS: [&str; 3] = ["/run/postgresql", "/var/run/postgresql", "/tmp"];

/// A server, and the password for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) place: Place,
    /// Where to go in the place of looking the name up.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) password: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The folder of a Unix socket.
    Socket(PathBuf),
    /// A name or an address.
    Tcp(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(folder) => write!(f, "{}", folder.display()),
            Self::Tcp(name) => f.write_str(name),
        }
    }
}

impl Host {
    pub(super) fn identity(&self) -> String {
        match &self.place {
            Place::Socket(folder) => {
                format!("{}:{}", files::followed(folder).display(), self.port)
            }
            Place::Tcp(name) if name.contains(':') => format!("[{}]:{}", name.to_ascii_lowercase(), self.port),
            Place::Tcp(name) => format!("{}:{}", name.to_ascii_lowercase(), self.port),
        }
    }

    /// In a message.
    pub(super) fn shown(&self) -> String {
        let shown = match &self.place {
            Place::Socket(folder) => folder.join(format!(".s.PGSQL.{}", self.port)).display().to_string(),
            Place::Tcp(name) if name.contains(':') => format!("[{name}]:{}", self.port),
            Place::Tcp(name) => format!("{name}:{}", self.port),
        };
        printable(&shown)
    }
}

/// The hosts of `host`, `hostaddr` and `port`.
pub(super) fn of(settings: &Settings) -> Result<Vec<Host>, Problem> {
    let list = |name: &str| settings.get(name).map(|value| value.split(',').map(str::trim).collect::<Vec<_>>());
    let (names, addresses) = (list("host"), list("hostaddr"));
    let count = names.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
    if addresses.as_ref().is_some_and(|addresses| addresses.len() != count) {
        return Err(invalid("there are not as many addresses (`hostaddr`) as hosts"));
    }
    let ports = list("port").unwrap_or_else(|| vec![""]);
    if ports.len() != 1 && ports.len() != count {
        return Err(invalid("there are not as many ports as hosts").help("give one port for all, or one for each"));
    }
    let at = |list: &Option<Vec<&str>>, at: usize| {
        let value = list.as_ref().and_then(|list| list.get(at)).map(|value| (*value).to_owned());
        value.filter(|value| !value.is_empty())
    };
    (0..count)
        .map(|index| {
            let port = port(ports.get(index).or(ports.first()).copied().unwrap_or_default())?;
            let address = at(&addresses, index).map(|address| address.parse::<IpAddr>()).transpose();
            let address =
                address.map_err(|_| invalid("the parameter `hostaddr` is no address, such as `127.0.0.1`"))?;
            let name = at(&names, index).or_else(|| address.map(|address| address.to_string()));
            let place = match name {
                Some(name) => place(name)?,
                None => usual(port),
            };
            Ok(Host { place, address, port, password: None })
        })
        .collect()
}

/// A port; what is none may be the rest of a password and is not repeated.
pub(super) fn port(text: &str) -> Result<u16, Problem> {
    let port = if text.is_empty() { Ok(5432) } else { text.parse() };
    port.ok().filter(|port| *port != 0).ok_or_else(|| {
        invalid("the port is no number from 1 to 65535")
            .help("write `HOST:PORT`; in a password, `/` is written `%2F`, `?` is `%3F` and `@` is `%40`")
    })
}

fn place(name: String) -> Result<Place, Problem> {
    if !name.starts_with(['/', '@']) {
        return Ok(Place::Tcp(name));
    }
    if cfg!(unix) && name.starts_with('/') {
        return Ok(Place::Socket(PathBuf::from(name)));
    }
    Err(invalid("sockets of this kind are not supported")
        .help("name a host, or on Unix the folder of the server's socket"))
}

/// The server of this machine.
fn usual(port: u16) -> Place {
    let has_socket = |folder: &&&str| cfg!(unix) && Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    let found = SOCKETS.iter().find(has_socket);
    found.map_or_else(|| Place::Tcp("localhost".to_owned()), |folder| Place::Socket(PathBuf::from(folder)))
}
