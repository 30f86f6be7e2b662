//! TLS: when, with whose certificates, and what is looked at in the server's.

mod verifier;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use build_support::problem::{Problem, printable};
use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use self::verifier::Verifier;
use super::parameters::Settings;
use super::text::invalid;
use super::{Environment, files};

/// `sslmode`, from the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: [(&str, Mode); 6] = [
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

/// Whose word counts for a server's certificate.
#[derive(Clone, PartialEq, Eq)]
enum Roots {
    Nobody,
    System,
    File(PathBuf),
}

/// What a URL says of TLS.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    /// Without asking the server first, which is a round trip less.
    pub(super) direct: bool,
    roots: Roots,
    /// This side's certificate and its key.
    own: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    pub(super) fn of(settings: &Settings, environment: &Environment<'_>) -> Result<Self, Problem> {
        let of_user = |name: &str| files::of_user(environment, &format!(".postgresql/{name}"), name);
        let there = |path: &PathBuf| path.exists();
        let said = settings.word("sslmode", &MODES)?;
        let root = settings.get("sslrootcert");
        let mode = said.unwrap_or(if root == Some("system") { Mode::VerifyFull } else { Mode::Prefer });
        if root == Some("system") && mode != Mode::VerifyFull {
            return Err(invalid(
                "`sslrootcert=system` asks for certificates that everybody can get, and `sslmode` for no name",
            )
            .help("write `sslmode=verify-full`, or leave it out"));
        }
        let roots = match root {
            Some("system") => Roots::System,
            Some(file) => Roots::File(PathBuf::from(file)),
            None => match of_user("root.crt").filter(there) {
                Some(file) => Roots::File(file),
                None if mode >= Mode::VerifyCa => Roots::System,
                None => Roots::Nobody,
            },
        };
        let named = |name: &str| settings.get(name).map(PathBuf::from);
        let certificate = named("sslcert").or_else(|| of_user("postgresql.crt").filter(there));
        let own = certificate.zip(named("sslkey").or_else(|| of_user("postgresql.key")));
        let direct = settings.word("sslnegotiation", &[("postgres", false), ("direct", true)])?.unwrap_or(false);
        if direct && mode < Mode::Require {
            return Err(invalid("`sslnegotiation=direct` needs an `sslmode` that is no weaker than `require`")
                .help("write `sslmode=require`, `sslmode=verify-ca` or `sslmode=verify-full`"));
        }
        Ok(Self { mode, direct, roots, own })
    }

    /// The same for a program on libpq.
    pub(super) fn add_variables(&self, all: &mut Vec<(&'static str, String)>) {
        let mode = MODES.iter().find(|(_, mode)| *mode == self.mode).map_or("prefer", |(word, _)| word);
        all.push(("PGSSLMODE", mode.to_owned()));
        match &self.roots {
            Roots::File(file) => all.push(("PGSSLROOTCERT", file.display().to_string())),
            // With less it refuses the system's.
            Roots::System if self.mode == Mode::VerifyFull => all.push(("PGSSLROOTCERT", "system".to_owned())),
            Roots::System | Roots::Nobody => {}
        }
        if let Some((certificate, key)) = &self.own {
            all.push(("PGSSLCERT", certificate.display().to_string()));
            all.push(("PGSSLKEY", key.display().to_string()));
        }
        if self.direct {
            all.push(("PGSSLNEGOTIATION", "direct".to_owned()));
        }
    }

    /// What makes connections to a host, by the name that its certificate has to have.
    pub(super) fn connector(&self, host: &str) -> Result<Connector, Fault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = match &self.roots {
            Roots::Nobody => None,
            Roots::System => Some(rustls_native_certs::load_native_certs().certs),
            Roots::File(file) => Some(certificates(file)?),
        };
        let verifier = roots.map(|roots| Verifier::new(roots, self.mode == Mode::VerifyFull, &provider)).transpose()?;
        let verifier = verifier.unwrap_or_else(|| Verifier::of_nobody(&provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new(error.to_string(), ""))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|error| Fault::new(format!("the client's certificate cannot be used: {error}"), OWN))?,
        };
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        let name = ServerName::try_from(host.to_owned()).or_else(|_| {
            if self.mode == Mode::VerifyFull {
                let why = format!("`{}` is no name that a certificate can have", printable(host));
                return Err(Fault::new(why, "name the host as its certificate does, or write `sslmode=verify-ca`"));
            }
            // No server is looked for by this name.
            ServerName::try_from("invalid").map_err(|error| Fault::new(error.to_string(), ""))
        })?;
        Ok(Connector { config: Arc::new(config), name })
    }
}

const OWN: &str =
    "see the files that `sslcert` and `sslkey` name, or `~/.postgresql/postgresql.crt` and `postgresql.key`";
const ROOT: &str = "see the file that `sslrootcert` names, or `~/.postgresql/root.crt`";

/// The certificates of a file.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let fault = |why: String| Fault::new(format!("`{}`: {why}", printable(&file.to_string_lossy())), ROOT);
    let (bytes, _) = files::read(file).map_err(|error| fault(error.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| fault(format!("it has a damaged certificate: {error}")))?;
    if all.is_empty() { Err(fault("it has no certificate".to_owned())) } else { Ok(all) }
}

/// A key that is its owner's alone, as libpq asks for it.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let shown = printable(&file.to_string_lossy());
    let fault = |why: &str, hint: &str| Fault::new(format!("`{shown}`: {why}"), hint);
    let (bytes, told) = files::read(file).map_err(|error| fault(&error.to_string(), OWN))?;
    if files::is_open(&told, true) {
        return Err(fault("others may read this private key", &format!("`chmod 600 {shown}`")));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        fault("it has no private key in PEM that needs no password", "a key with a password is not supported")
    })
}

/// Why nothing could be agreed on, and a way out, which may be empty.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Fault {
    fn new(message: impl Into<String>, hint: &str) -> Self {
        Self { message: message.into(), hint: hint.to_owned() }
    }

    fn of(error: &io::Error) -> Self {
        let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let hint = match said {
            Some(rustls::Error::InvalidCertificate(why)) => verifier::hint(why),
            _ => "see that the server speaks TLS 1.2 or newer there",
        };
        let message = said.map_or_else(|| error.to_string(), ToString::to_string);
        Self::new(message, hint)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Makes connections of one kind to one host.
#[derive(Clone)]
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = Self;
    type Error = Fault;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, Fault> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Stream;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Fault>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connecting = TlsConnector::from(self.config).connect(self.name, socket);
        Box::pin(async move { connecting.await.map(Stream).map_err(|error| Fault::of(&error)) })
    }
}

/// A connection that others cannot read.
pub(super) struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let hash = certificate.and_then(|certificate| verifier::end_point(certificate));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The store of these roots; those that cannot be read are left out, as long as there is one.
fn store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    if store.is_empty() {
        return Err(Fault::new("there is no certificate to trust in", "name a file with `sslrootcert`"));
    }
    Ok(store)
}
