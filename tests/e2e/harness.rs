//! A project in a temporary folder, and the command run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A cargo project in a folder of its own, outside the repository.
pub struct Project {
    folder: tempfile::TempDir,
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

    #[track_caller]
    pub fn says(self, word: &str) -> Self {
        assert!(self.out.contains(word) || self.err.contains(word), "`{word}` is not in\n{}\n{}", self.out, self.err);
        self
    }
}

impl Project {
    /// An empty project with `dev` and `test` databases.
    pub fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write(
            "Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [package.metadata.migrate]\ndatabase = \"dev\"\n\n[package.metadata.migrate.databases]\n\
             dev = \"sqlite:app.db\"\ntest = { url = \"sqlite:database_test.db\", scratch = true }\n",
        );
        project.write("src/lib.rs", "");
        fs::create_dir(project.path("migrations")).unwrap();
        project
    }

    /// A copy of the to-do example.
    pub fn todo() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/todo");
        copy(&example, project.folder.path());
        let manifest = fs::read_to_string(project.path("Cargo.toml")).unwrap();
        project.write("Cargo.toml", &format!("{manifest}\n[workspace]\n"));
        project
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

    /// The command as a person would start it in the project's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-migrate"));
        command.current_dir(self.folder.path()).args(arguments);
        for name in ["DATABASE_URL", "CARGO_MIGRATE_DATABASE", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("app.db")).unwrap()
    }

    /// One value of the project's database, as text.
    pub fn ask(&self, query: &str) -> String {
        let value: rusqlite::types::Value = self.database().query_row(query, [], |row| row.get(0)).unwrap();
        match value {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Real(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Blob(_) => "a blob".to_owned(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if shown != "target" && shown != ".migrate" {
                fs::create_dir_all(to.join(&name)).unwrap();
                copy(&entry.path(), &to.join(&name));
            }
        } else if !shown.contains(".db") && shown != "migrate.local" {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}
