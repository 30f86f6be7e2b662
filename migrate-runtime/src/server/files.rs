//! The files that libpq reads, of which none is read further than it may be long.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use build_support::problem::{Problem, nearest, printable};

use super::parameters::{self, Settings};
use super::text::invalid;
use super::{Environment, Host, Place};

/// More than any of these files has; a file of certificates for a whole system has some 200 kB.
const LONGEST: u64 = 16 << 20;

/// A whole file, where it is one: a pipe or a device could keep a reader waiting.
pub(super) fn read(path: &Path) -> std::io::Result<(Vec<u8>, Metadata)> {
    let told = std::fs::metadata(path)?;
    if !told.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let told = file.metadata()?;
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(std::io::Error::other("it is too long"));
    }
    Ok((bytes, told))
}

/// Where a path leads to, past its links.
pub(super) fn followed(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether others than a file's owner may read it; a file of root's may be read by its group.
pub(super) fn is_open(told: &Metadata, group_of_root: bool) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let others = if group_of_root && told.uid() == 0 { 0o027 } else { 0o077 };
        told.mode() & others != 0
    }
    #[cfg(not(unix))]
    {
        let _ = (told, group_of_root);
        false
    }
}

/// A file of the user's: below `~`, or where Windows keeps what a program remembers.
pub(super) fn of_user(environment: &Environment<'_>, unix: &str, windows: &str) -> Option<PathBuf> {
    if cfg!(windows) {
        let folder = (environment.variable)("APPDATA").filter(|folder| !folder.is_empty())?;
        return Some(Path::new(&folder).join("postgresql").join(windows));
    }
    Some(environment.home.as_ref()?.join(unix))
}

/// Adds what a service file says of a service, where nothing is said yet.
pub(super) fn add_service(settings: &mut Settings, name: &str, environment: &Environment<'_>) -> Result<(), Problem> {
    let named = settings.get("servicefile").map(PathBuf::from);
    let own = named.clone().or_else(|| of_user(environment, ".pg_service.conf", ".pg_service.conf"));
    let shared = (environment.variable)("PGSYSCONFDIR").filter(|folder| !folder.is_empty());
    let shared = shared.map(|folder| Path::new(&folder).join("pg_service.conf"));
    for path in [own, shared].into_iter().flatten() {
        let bytes = match read(&path) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.as_deref() != Some(&path) => continue,
            Err(error) => return Err(invalid(format!("the file of services cannot be read: {error}")).in_file(path)),
        };
        if service(settings, name, &String::from_utf8_lossy(&bytes), &path)? {
            return Ok(());
        }
    }
    Err(invalid(format!("no file of services has the service `{}`", printable(name)))
        .help("look into `~/.pg_service.conf`, or the file that `PGSERVICEFILE` names"))
}

/// Reads a service file; gives whether it has the service. Of a value that stands there twice the first one counts.
fn service(settings: &mut Settings, name: &str, text: &str, path: &Path) -> Result<bool, Problem> {
    let mut found = false;
    let mut said = Settings::default();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(group) = line.strip_prefix('[') {
            if found {
                break;
            }
            found = group.strip_suffix(']') == Some(name);
            continue;
        }
        if !found {
            continue;
        }
        let problem = |message: String| invalid(format!("line {at}: {message}")).in_file(path);
        let (key, value) = line.split_once('=').ok_or_else(|| problem("this is no `NAME=VALUE`".to_owned()))?;
        if ["service", "servicefile"].contains(&key) {
            return Err(problem("a service cannot name another one".to_owned()));
        }
        let Some(parameter) = parameters::known(key) else {
            let problem = problem(format!("the parameter `{}` is not known", printable(key)));
            let near = nearest(key, parameters::names());
            return Err(near.into_iter().fold(problem, |problem, near| problem.help(format!("write `{near}`"))));
        };
        parameters::check(parameter, value).map_err(|problem| problem.in_file(path))?;
        said.add(parameter.name, value);
    }
    said.into_iter().for_each(|(name, value)| settings.add(name, &value));
    Ok(found)
}

/// A password file (<https://www.postgresql.org/docs/current/libpq-pgpass.html>), and why it is ignored where it is.
#[derive(Default)]
pub(super) struct Passfile {
    lines: Vec<[String; 5]>,
    pub(super) ignored: Option<String>,
}

impl Passfile {
    pub(super) fn read(settings: &Settings, environment: &Environment<'_>) -> Self {
        let named = settings.get("passfile").map(PathBuf::from);
        let Some(path) = named.or_else(|| of_user(environment, ".pgpass", "pgpass.conf")) else {
            return Self::default();
        };
        let shown = printable(&path.to_string_lossy());
        match read(&path) {
            Ok((_, told)) if is_open(&told, false) => Self {
                ignored: Some(format!("`{shown}` is ignored, because others may read it: `chmod 600 {shown}`")),
                ..Self::default()
            },
            Ok((bytes, _)) => Self { lines: lines(&bytes), ignored: None },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => Self { ignored: Some(format!("`{shown}` is ignored: {error}")), ..Self::default() },
        }
    }

    /// The password of the first line that is about this host, database and user.
    pub(super) fn password(&self, host: &Host, database: &str, user: &str) -> Option<String> {
        let name = match &host.place {
            // The usual folder goes by the name of the machine.
            Place::Socket(folder) if super::SOCKETS.iter().any(|usual| Path::new(usual) == folder) => {
                "localhost".into()
            }
            Place::Socket(folder) => folder.to_string_lossy(),
            Place::Tcp(name) => name.into(),
        };
        let port = host.port.to_string();
        let wanted = [&*name, &port, database, user];
        let fits = |line: &&[String; 5]| line.iter().zip(wanted).all(|(said, it)| said == "*" || unescaped(said) == it);
        self.lines.iter().find(fits).map(|line| unescaped(&line[4])).filter(|password| !password.is_empty())
    }
}

/// The lines that have five fields, still escaped; what comes behind them is left out.
fn lines(bytes: &[u8]) -> Vec<[String; 5]> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let lines = lines.map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.starts_with('#'));
    lines.filter_map(fields).collect()
}

fn fields(line: &str) -> Option<[String; 5]> {
    let (mut fields, mut escaped) = (vec![String::new()], false);
    for c in line.chars() {
        if c == ':' && !escaped {
            fields.push(String::new());
        } else {
            fields.last_mut()?.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    fields.truncate(5);
    fields.try_into().ok()
}

/// A backslash stands for what follows it.
fn unescaped(field: &str) -> String {
    let mut characters = field.chars();
    let mut text = String::new();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}
