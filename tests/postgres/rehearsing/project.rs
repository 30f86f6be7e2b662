//! A project whose database is on the tests' server, and the command run in it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::server::{Database, Server};

/// A cargo project in a folder of its own, with a database of its own.
pub struct Project<'s> {
    folder: tempfile::TempDir,
    pub database: Database<'s>,
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
        words.iter().for_each(|word| assert!(self.err.contains(word), "`{word}` is not in\n{}", self.err));
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    pub fn says(self, word: &str) -> Self {
        assert!(self.out.contains(word) || self.err.contains(word), "`{word}` is not in\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }
}

impl<'s> Project<'s> {
    pub fn new(server: &'s Server) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), database: server.database() };
        project.configured(&project.url("postgres"));
        project.write("src/lib.rs", "");
        fs::create_dir(project.folder.path().join("migrations")).unwrap();
        project
    }

    /// The database's URL for a user.
    pub fn url(&self, user: &str) -> String {
        format!("postgres://{user}@/{}?host={}", self.database.name, self.database.server.socket().display())
    }

    /// Writes the configuration, with a database of this URL.
    pub fn configured(&self, url: &str) {
        self.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
                 [package.metadata.migrate]\ndatabase = \"dev\"\n\n[package.metadata.migrate.databases]\ndev = \"{url}\"\n"
            ),
        );
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A migration: its header, its way up, its way back.
    pub fn migration(&self, id: &str, header: &str, up: &str, down: &str) {
        let text = format!("{header}\n-- migrate:up\n{up}\n-- migrate:down\n{down}\n");
        self.write(&format!("migrations/{id}.sql"), &text);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command as a person would start it in the project's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        for name in ["DATABASE_URL", "CARGO_MIGRATE_DATABASE", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }
}
