//! The content of one database brought into another by `pg_dump` and `pg_restore`, with a pipe in between.

use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use build_support::problem::Problem;
use migrate_runtime::server::ServerUrl;

use super::server::NO_COPY;
use crate::programs::{Programs, noted, words};

/// How content is copied.
pub(super) struct Transfer<'a> {
    pub(super) programs: &'a Programs,
    /// The role that reads and writes, where it is not the user's own.
    pub(super) role: Option<&'a str>,
    /// Whether owners and privileges are kept.
    pub(super) owners: bool,
    /// How long a table is waited for that somebody holds locked against readers.
    pub(super) wait: Duration,
}

impl Transfer<'_> {
    /// Fills an empty database with what another one has at one moment. The other is only read, and nobody who reads or
    /// writes rows there waits for it.
    pub(super) fn run(&self, from: &ServerUrl, to: &ServerUrl) -> Result<(), Problem> {
        let mut dump = self.programs.command("pg_dump", from);
        dump.args(["--format=custom", "--compress=0"]).arg(format!("--lock-wait-timeout={}", self.wait.as_millis()));
        let mut restore = self.programs.command("pg_restore", to);
        // A subscription would be one of the copy's own: what it fetches is taken from the others.
        restore.args(["--exit-on-error", "--no-subscriptions"]).arg(format!("--dbname={}", to.database()));
        if !self.owners {
            restore.args(["--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications"]);
        }
        if let Some(role) = self.role {
            dump.arg(format!("--role={role}"));
            restore.arg(format!("--role={role}"));
        }
        let [dumped, restored] = piped(dump, restore).map_err(|error| {
            Problem::new(NO_COPY, format!("`pg_dump` and `pg_restore` cannot be run: {error}"))
                .help("see that they are installed as a whole, and that there is room for two more processes")
        })?;
        if dumped.0.success() && restored.0.success() {
            return Ok(());
        }
        // The reader of a pipe that has gone is not the writer's fault.
        let by_dump = !dumped.0.success() && !dumped.1.is_empty() && !dumped.1.contains("Broken pipe");
        Err(if by_dump {
            noted(Problem::new(NO_COPY, "the database cannot be copied: `pg_dump` has failed"), &dumped.1)
                .help("the user has to be allowed to read all of it: `GRANT pg_read_all_data TO …`")
        } else {
            noted(Problem::new(NO_COPY, "the copy cannot be filled: `pg_restore` has failed"), &restored.1)
                .help("see that the user may make what stands there, such as an extension, and that there is room")
        })
    }
}

/// Runs two programs, the second one reading what the first one writes; gives how they ended and what they said.
fn piped(mut first: Command, mut second: Command) -> std::io::Result<[(ExitStatus, String); 2]> {
    let mut first = first.stdout(Stdio::piped()).spawn()?;
    let pipe = first.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let second = second.stdin(pipe).spawn();
    let first_words = first.stderr.take();
    let mut second = match second {
        Ok(second) => second,
        Err(error) => {
            // It has nobody to write to any more.
            let _ = first.kill();
            let _ = first.wait();
            return Err(error);
        }
    };
    let second_words = second.stderr.take();
    let (first_words, second_words) = std::thread::scope(|scope| {
        let other = scope.spawn(|| words(first_words));
        let own = words(second_words);
        (other.join().unwrap_or_default(), own)
    });
    Ok([(first.wait()?, first_words), (second.wait()?, second_words)])
}
