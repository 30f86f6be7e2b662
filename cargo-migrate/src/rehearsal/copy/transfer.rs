//! The content of one database brought into another by `pg_dump` and `pg_restore`, with a pipe in between.

use std::process::{Command, Stdio};
use std::time::Duration;

use build_support::problem::Problem;
use migrate_runtime::server::ServerUrl;

use super::server::NO_COPY;
use crate::pg_tools::{self, Ended, PgTools, Program};

/// How content is copied.
pub(super) struct Transfer<'a> {
    pub(super) tools: &'a PgTools,
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
        let mut dump = self.tools.dump(from, self.role, self.wait);
        // Nothing of it is read here, and not everything that a database may have can be told in UTF-8.
        dump.env_remove("PGCLIENTENCODING").args(["--format=custom", "--compress=0"]);
        let mut restore = self.tools.command(Program::Restore, Some(to));
        // A subscription would be one of the copy's own: what it fetches is taken from the others.
        restore.args(["--exit-on-error", "--no-subscriptions"]).arg(format!("--dbname={}", to.database()));
        if !self.owners {
            restore.args(["--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications"]);
        }
        restore.args(self.role.map(|role| format!("--role={role}")));
        let [dumped, restored] = piped(dump, restore).map_err(|problem| {
            Problem::new(NO_COPY, format!("the database cannot be copied: {}", problem.message()))
                .help("see that they are installed as a whole, and that there is room for two more processes")
        })?;
        if dumped.is_success() && restored.is_success() {
            return Ok(());
        }
        // The reader of a pipe that has gone is not the writer's fault.
        let by_dump = !dumped.is_success() && !dumped.said().is_empty() && !dumped.said().contains("Broken pipe");
        Err(if by_dump {
            dumped
                .noted(Problem::new(NO_COPY, "the database cannot be copied: `pg_dump` has failed"))
                .help(pg_tools::may_read_all(from, self.role))
        } else {
            restored
                .noted(Problem::new(NO_COPY, "the copy cannot be filled: `pg_restore` has failed"))
                .help("see that the user may make what stands there, such as an extension, and that there is room")
        })
    }
}

/// Runs two programs, the second one reading what the first one writes. Where the reader has failed, the writer does not
/// go on: it holds locks on the tables that it reads.
fn piped(mut first: Command, mut second: Command) -> Result<[Ended; 2], Problem> {
    first.stdout(Stdio::piped());
    let mut first = PgTools::start(Program::Dump, first)?;
    second.stdin(first.output().map_or_else(Stdio::null, Stdio::from));
    // Our own end of the pipe goes with the command, so that the writer sees when its reader is gone.
    let restored = PgTools::start(Program::Restore, second)?.ended();
    let dumped = if restored.is_success() { first.ended() } else { first.killed() };
    Ok([dumped, restored])
}
