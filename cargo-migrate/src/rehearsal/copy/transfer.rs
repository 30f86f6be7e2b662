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
        Err(failed(&dumped, &restored, pg_tools::may_read_all(from, self.role)))
    }
}

/// What has failed, with what both ends have said. Where one fails the other one does as well: a reader finds its input cut
/// short, and a writer its reader gone, or it was ended because of that. Whatever such a writer has said by then, it is not to
/// blame.
fn failed(dumped: &Ended, restored: &Ended, may_read: String) -> Problem {
    let by_dump = dumped.is_its_own_fault() && !dumped.said().contains("Broken pipe");
    let (problem, first, second) = if by_dump {
        let problem = Problem::new(NO_COPY, "the database cannot be copied: `pg_dump` has failed");
        (problem.help(may_read), dumped, restored)
    } else {
        let problem = Problem::new(NO_COPY, "the copy cannot be filled: `pg_restore` has failed")
            .help("see that the user may make what stands there, such as an extension, and that there is room");
        (problem, restored, dumped)
    };
    let problem = first.noted(problem);
    if second.said().trim().is_empty() {
        return problem;
    }
    second.noted(problem.note(format!("`{}` has said besides:", second.program())))
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A program that has ended as a script of the shell does.
    #[expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
    fn ended(program: Program, script: &str) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        PgTools::start(program, command).unwrap().ended()
    }

    #[test]
    fn a_warning_of_the_end_that_was_killed_is_not_what_has_failed() {
        let dumped = ended(Program::Dump, "echo 'pg_dump: warning: circular foreign keys' >&2; kill -KILL $$");
        let restored = ended(Program::Restore, "echo 'pg_restore: error: no such extension' >&2; exit 1");
        let problem = failed(&dumped, &restored, "may read".to_owned());
        assert_eq!(problem.message(), "the copy cannot be filled: `pg_restore` has failed");
        assert_eq!(
            problem.notes(),
            [
                "pg_restore: error: no such extension",
                "`pg_dump` has said besides:",
                "pg_dump: warning: circular foreign keys"
            ]
        );
    }

    #[test]
    fn the_end_that_fails_by_itself_is_named_and_the_other_one_is_heard() {
        let restored = ended(Program::Restore, "echo 'pg_restore: error: unexpected end of file' >&2; exit 1");
        let dumped = ended(Program::Dump, "echo 'pg_dump: error: permission denied for table t' >&2; exit 1");
        let problem = failed(&dumped, &restored, "may read".to_owned());
        assert_eq!(problem.message(), "the database cannot be copied: `pg_dump` has failed");
        assert_eq!(problem.notes()[1], "`pg_restore` has said besides:");
        // The reader of a pipe that has gone is not the writer's fault.
        let dumped = ended(Program::Dump, "echo 'pg_dump: error: could not write: Broken pipe' >&2; exit 1");
        assert!(failed(&dumped, &restored, String::new()).message().contains("`pg_restore` has failed"));
        // Who has nothing to say is not quoted.
        let silent = ended(Program::Dump, "kill -KILL $$");
        assert_eq!(failed(&silent, &restored, String::new()).notes().len(), 1);
    }
}
