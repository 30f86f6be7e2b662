//! A PostgreSQL server of this test run's own: in a temporary folder, on a socket in it, gone at the end.

#![allow(dead_code, reason = "the tests of the driver and those of the command share it, and not each uses all of it")]

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};

/// A running server; dropping it stops it and removes its folder.
pub struct Server {
    process: Child,
    user: Option<User>,
    settings: Vec<String>,
    folder: tempfile::TempDir,
    pub programs: PathBuf,
    /// Of the socket, and of 127.0.0.1 where it listens there.
    pub port: u16,
    databases: AtomicUsize,
}

/// A file of a server's folder of data, with its text.
pub type DataFile<'a> = (&'a str, &'a str);

/// A user who may run a server, where this one is root and may not.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// Where `initdb` and `postgres` are: on PATH, where `pg_config` says, or where Debian has them.
pub fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    if let Ok(told) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    }
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    folders.extend(debian.into_iter().rev());
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

impl Server {
    /// A server that trusts all who find its socket.
    pub fn start(programs: &Path) -> Self {
        Self::start_with(programs, &[])
    }

    /// One with these files in its folder. Where a certificate is among them it also listens on 127.0.0.1.
    pub fn start_with(programs: &Path, files: &[DataFile<'_>]) -> Self {
        // The names of sockets are short, and `TMPDIR` may be long.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let user = (std::fs::metadata(folder.path()).unwrap().uid() == 0).then(unprivileged);
        if let Some(User { uid, gid }) = user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let made = command(programs, "initdb", folder.path(), user)
            .args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in files {
            let path = folder.path().join("data").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            user.inspect(|user| chown(&path, Some(user.uid), Some(user.gid)).unwrap());
        }
        let mut port = 5432;
        let mut settings = vec!["listen_addresses=".to_owned()];
        if files.iter().any(|(name, _)| *name == "server.crt") {
            // It is free again when the listener is gone.
            port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            settings = vec!["listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
            settings.extend(["ssl=on", "ssl_ca_file=root.crt"].map(str::to_owned));
        }
        let process = spawn(programs, folder.path(), user, &settings);
        let (programs, databases) = (programs.to_owned(), AtomicUsize::new(0));
        let mut server = Self { process, user, settings, folder, programs, port, databases };
        server.answers();
        server
    }

    /// Waits until it answers.
    fn answers(&mut self) {
        let start = Instant::now();
        while self.config("postgres").connect(NoTls).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "the server has ended: {}", log());
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as `pg_ctl stop -m immediate` does: without a word to anybody, as if it had crashed.
    pub fn crash(&mut self) {
        assert!(Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status().unwrap().success());
        self.process.wait().unwrap();
    }

    /// Starts it after a crash, from which it recovers.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.programs, self.folder.path(), self.user, &self.settings);
        self.answers();
    }

    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self, database: &str) -> Config {
        let mut config = config(self.socket(), database);
        config.port(self.port);
        config
    }

    /// A new and empty database.
    pub fn database(&self) -> Database<'_> {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client = self.config("postgres").connect(NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Database { server: self, name }
    }
}

/// One of the server's programs, as the user and in the folder of a server.
fn command(programs: &Path, program: &str, folder: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(programs.join(program));
    if let Some(User { uid, gid }) = user {
        command.gid(gid).uid(uid);
    }
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn spawn(programs: &Path, folder: &Path, user: Option<User>, settings: &[String]) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command(programs, "postgres", folder, user)
        .args(["-D", "data", "-k"])
        .arg(folder)
        .args(["-c", "fsync=off", "-c", "max_connections=60"])
        .args(settings.iter().flat_map(|setting| ["-c", setting.as_str()]))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        // An interrupt is a fast shutdown; what does not heed it is killed.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let start = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn config(socket: &Path, database: &str) -> Config {
    let mut config = Config::new();
    config.host_path(socket).user("postgres").dbname(database).application_name("the tests");
    config
}

/// Debian's user for servers, or the one who owns nothing.
fn unprivileged() -> User {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some(User { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? })
    };
    of("postgres").or_else(|| of("nobody")).expect("root cannot run a server, and nobody else is known here")
}

/// A database of a test.
pub struct Database<'s> {
    pub server: &'s Server,
    pub name: String,
}

impl Database<'_> {
    pub fn connect(&self) -> Client {
        self.config().connect(NoTls).unwrap()
    }

    pub fn config(&self) -> Config {
        self.server.config(&self.name)
    }

    /// The first value that a query gives, as text.
    pub fn ask(&self, query: &str) -> String {
        let rows = self.connect().simple_query(query).unwrap();
        let value = rows.iter().find_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        value.unwrap_or_default()
    }

    /// How many locks runs hold in this database.
    pub fn advisory_locks(&self) -> String {
        self.ask(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    }

    /// The tables that are there, but for the version table.
    pub fn tables(&self) -> String {
        self.ask(
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
             WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') AND relname <> '_cargo_migrate'",
        )
    }
}
