//! The world outside the process, as one argument: time, environment, working directory, terminal.
//!
//! Nothing else in this crate asks the environment or the clock (`clippy.toml` holds that), so a test can
//! hand over a world of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// What a command knows of the world it was started in.
#[derive(Clone, Debug)]
pub struct Context {
    working_directory: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    started: Timestamp,
    interactive: bool,
}

impl Context {
    /// The process's own world, looked at once.
    ///
    /// # Errors
    /// When the working directory has been removed or cannot be read.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the process and the clock")]
    pub fn of_process() -> std::io::Result<Self> {
        Ok(Self {
            working_directory: std::env::current_dir()?,
            environment: std::env::vars_os().collect(),
            started: Timestamp::now(),
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        })
    }

    /// A world made up for a test: nobody at the keyboard.
    #[must_use]
    pub fn new(
        working_directory: impl Into<PathBuf>,
        environment: BTreeMap<OsString, OsString>,
        started: Timestamp,
    ) -> Self {
        Self { working_directory: working_directory.into(), environment, started, interactive: false }
    }

    /// The directory the command was started in, absolute.
    #[must_use]
    pub fn working_directory(&self) -> &Path {
        &self.working_directory
    }

    /// An environment variable that is set, not empty and valid UTF-8.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(std::ffi::OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// The folders in which programs are looked for.
    #[must_use]
    pub fn search_path(&self) -> Vec<PathBuf> {
        let folders = self.environment.get(std::ffi::OsStr::new("PATH"));
        folders.map(|folders| std::env::split_paths(folders).collect()).unwrap_or_default()
    }

    /// When the command started, in UTC.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Whether a person can be asked: standard input and standard error are a terminal.
    #[must_use]
    pub fn interactive(&self) -> bool {
        self.interactive
    }
}
