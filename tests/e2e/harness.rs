//! A project in a temporary folder, and the command run in it.

#![allow(dead_code, reason = "the tests on SQLite and those on a server share it, and not each uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::pages::ground::{Databases, Ground, Sqlite};

/// A cargo project in a folder of its own, outside the repository, with its databases.
pub struct Project {
    folder: tempfile::TempDir,
    databases: Box<dyn Databases>,
}

/// What a run of the command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// Refused with exit status 1, saying all of these.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.status, 1, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// The standard output as the one JSON document that it has to be.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// Nothing that was printed can drive a terminal.
    #[track_caller]
    pub fn is_printable(&self) {
        for text in [&self.out, &self.err] {
            let bad = text.chars().find(|c| {
                c.is_control() && !matches!(c, '\n' | '\t')
                    || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
            });
            assert_eq!(bad, None, "{text:?}");
        }
    }

    #[track_caller]
    pub fn says(self, word: &str) -> Self {
        assert!(self.out.contains(word) || self.err.contains(word), "`{word}` is not in\n{}\n{}", self.out, self.err);
        self
    }
}

impl Project {
    /// An empty project with `dev` and `test` databases.
    pub fn new() -> Self {
        Self::on(&Sqlite)
    }

    /// The same with its databases on a ground.
    pub fn on(ground: &dyn Ground) -> Self {
        let project = Self::empty_on(ground);
        project.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
                 [package.metadata.migrate]\ndatabase = \"dev\"\n\n[package.metadata.migrate.databases]\n\
                 dev = {}\ntest = {{ url = \"{}\", scratch = true }}\n",
                project.databases.own("dev"),
                project.url("test"),
            ),
        );
        project.write("src/lib.rs", "");
        fs::create_dir(project.path("migrations")).unwrap();
        project
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self::empty_on(&Sqlite)
    }

    /// The same, whose databases will be on a ground.
    pub fn empty_on(ground: &dyn Ground) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = ground.databases(folder.path());
        Self { folder, databases }
    }

    /// A copy of the to-do example.
    pub fn todo() -> Self {
        Self::example("todo")
    }

    /// A copy of the shop: a workspace in which three packages share a database.
    pub fn shop() -> Self {
        Self::example("shop")
    }

    /// An example, copied as a person copies it.
    fn example(name: &str) -> Self {
        let project = Self::empty();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/copy");
        let copied = Command::new(script).arg(name).arg(project.folder.path()).status().unwrap();
        assert!(copied.success());
        project
    }

    /// Has a database's line in the manifest say more of it than its URL.
    #[track_caller]
    pub fn configure(&self, database: &str, more: &str) {
        let (manifest, start) = (self.read("Cargo.toml"), format!("{database} = "));
        let line = manifest.lines().find(|line| line.starts_with(&start)).unwrap();
        let said = format!("{database} = {{ url = \"{}\", {more} }}", self.url(database));
        self.write("Cargo.toml", &manifest.replace(line, &said));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A migration of the project.
    pub fn migration(&self, id: &str, text: &str) {
        self.write(&format!("migrations/{id}.sql"), text);
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Git in the project's folder, whatever its user has configured.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path(".")).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits everything that git sees.
    #[track_caller]
    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// The command as a person would start it in the project's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"));
        command.current_dir(self.folder.path()).args(arguments);
        for name in SET_BY_PEOPLE {
            command.env_remove(name);
        }
        command
    }

    /// The command, with arguments as a shell reads them, at a terminal of its own: `script` of util-linux is one.
    #[cfg(target_os = "linux")]
    pub fn at_terminal(&self, arguments: &str) -> AtTerminal {
        let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_cargo-migrate"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(self.folder.path());
        for name in SET_BY_PEOPLE {
            command.env_remove(name);
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the `script` of util-linux is installed");
        let screen = std::io::BufReader::new(process.stdout.take().unwrap());
        AtTerminal { process, screen, said: Vec::new() }
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// The same, ended after a time in which it should long have ended by itself: what waits for ever fails the test.
    #[track_caller]
    pub fn run_bounded(&self, arguments: &[&str]) -> Ran {
        ended(self.command(arguments))
    }

    /// A fault: the command is refused with these words and a way out, prints nothing that drives a terminal, does not
    /// hang, and leaves every file of the project as it was.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], words: &[&str]) -> Ran {
        let ran = self.refuses_without_help(arguments, words);
        assert!(ran.err.contains("help: "), "no way out is shown\n{}", ran.err);
        ran
    }

    /// The same where the place of the mistake is all the help that can be given.
    #[track_caller]
    pub fn refuses_without_help(&self, arguments: &[&str], words: &[&str]) -> Ran {
        let before = (self.contents(), self.databases.all());
        let ran = self.run_bounded(arguments).refused(words);
        ran.is_printable();
        assert_eq!(
            (self.contents(), self.databases.all()),
            before,
            "something was changed by {arguments:?}\n{}",
            ran.err
        );
        ran
    }

    /// Every name in the project's folder with what is there: a file's hash, or what it is if it is no file. Backups and
    /// copies are left out: one is made before what may lose something, even where that is refused in the end.
    pub fn contents(&self) -> BTreeMap<PathBuf, String> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                let path = entry.path();
                if path.ends_with(".migrate") {
                    continue;
                }
                let what = if kind.is_dir() {
                    walk(&path, found);
                    "a folder".to_owned()
                } else if kind.is_symlink() {
                    format!("a link to {}", fs::read_link(&path).unwrap().display())
                } else if kind.is_file() && entry.metadata().unwrap().len() < 1 << 26 {
                    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
                    let mut hash = DefaultHasher::new();
                    fs::read(&path).unwrap().hash(&mut hash);
                    format!("{:x}", hash.finish())
                } else {
                    "something large or special".to_owned()
                };
                found.insert(path, what);
            }
        }
        let mut found = BTreeMap::new();
        walk(self.folder.path(), &mut found);
        found
    }

    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("app.db")).unwrap()
    }

    /// The databases, each asked by its name in the configuration.
    pub fn databases(&self) -> &dyn Databases {
        &*self.databases
    }

    /// The URL of a database, as the configuration has it.
    pub fn url(&self, database: &str) -> String {
        self.databases.url(database)
    }

    /// One value of the project's database, as text.
    #[track_caller]
    pub fn ask(&self, query: &str) -> String {
        self.ask_of("dev", query)
    }

    /// The same of another database.
    #[track_caller]
    pub fn ask_of(&self, database: &str, query: &str) -> String {
        self.list_of(database, query).into_iter().next().unwrap_or_else(|| panic!("no row: {query}"))
    }

    /// The first value of each row that the project's database gives.
    #[track_caller]
    pub fn list(&self, query: &str) -> Vec<String> {
        self.list_of("dev", query)
    }

    /// The same of another database.
    #[track_caller]
    pub fn list_of(&self, database: &str, query: &str) -> Vec<String> {
        self.databases.list(database, query).unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    /// Runs statements on the project's database, past the command.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.execute_on("dev", statements);
    }

    /// The same on another database.
    #[track_caller]
    pub fn execute_on(&self, database: &str, statements: &str) {
        self.databases.execute(database, statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    }

    /// The tables of the project's database in the order of their names, without the version table.
    pub fn tables(&self) -> Vec<String> {
        self.databases.tables("dev")
    }
}

/// Variables that people have, and tests do not.
const SET_BY_PEOPLE: [&str; 3] = ["DATABASE_URL", "CARGO_MIGRATE_DATABASE", "RUST_BACKTRACE"];

/// The command at a terminal, before somebody who can be asked.
#[cfg(target_os = "linux")]
pub struct AtTerminal {
    process: std::process::Child,
    screen: std::io::BufReader<std::process::ChildStdout>,
    said: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl AtTerminal {
    /// Reads until a database's name is asked for; what stands on the screen then.
    #[track_caller]
    pub fn question(&mut self) -> String {
        while !self.said.ends_with(b"to go on:") {
            let read = std::io::BufRead::read_until(&mut self.screen, b':', &mut self.said).unwrap();
            assert!(read > 0, "nothing is asked\n{}", String::from_utf8_lossy(&self.said));
        }
        String::from_utf8_lossy(&self.said).into_owned()
    }

    /// Types a line and leaves. All that stood on the screen is what was printed.
    #[track_caller]
    pub fn answer(mut self, line: &str) -> Ran {
        use std::io::{Read as _, Write as _};
        self.process.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
        self.screen.read_to_end(&mut self.said).unwrap();
        let status = self.process.wait().unwrap();
        Ran::of(&Output { status, stdout: self.said, stderr: Vec::new() })
    }
}

/// Runs a command to its end, which has to come.
#[track_caller]
pub fn ended(mut command: Command) -> Ran {
    const LONGEST: Duration = Duration::from_secs(120);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let all = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let (out, err) = (all(Box::new(out)), all(Box::new(err)));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ran::of(&Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() })
}

/// The share of their full size that long tests have: `MIGRATE_TEST_SCALE`.
pub fn scale() -> f64 {
    std::env::var("MIGRATE_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(0.1)
}

/// A revision that makes a table and takes it away.
pub fn table(parent: &str, name: &str) -> String {
    format!(
        "-- migrate:parent {parent}\n-- migrate:up\nCREATE TABLE {name} (x);\n-- migrate:down\nDROP TABLE {name};\n"
    )
}
