//! A program that runs, what it says, and how it ends.

use std::io::Read;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use build_support::problem::{Problem, printable};

use super::{FAILED, Program};

/// How much of what a program says is kept, in bytes.
const MOST_SAID: u64 = 8 << 10;
/// How many lines of it a message shows.
const MOST_LINES: usize = 12;
/// How long each of them may be, in characters.
const LONGEST_LINE: usize = 300;

/// A program that runs. It is killed where it is not waited for.
#[derive(Debug)]
pub struct Running {
    program: Program,
    child: Child,
    said: Option<JoinHandle<String>>,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    program: Program,
    /// How it has ended, where that is no success.
    failure: Option<String>,
    /// Whether that was its own doing, and not somebody's who has killed it.
    itself: bool,
    said: String,
}

impl Running {
    pub(super) fn start(program: Program, mut command: Command) -> Result<Self, Problem> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Problem::new(FAILED, format!("`{program}` cannot be started: {error}")))?;
        let said = child.stderr.take().map(|stderr| std::thread::spawn(move || beginning(stderr)));
        Ok(Self { program, child, said })
    }

    /// What it reads, where its command said that it is piped.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What it writes, where its command said that it is piped.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end.
    #[must_use]
    pub fn ended(mut self) -> Ended {
        drop(self.child.stdin.take());
        let (failure, itself) = match self.child.wait() {
            Ok(status) => ((!status.success()).then(|| status.to_string()), status.code().is_some()),
            Err(error) => (Some(error.to_string()), false),
        };
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        Ended { program: self.program, failure, itself, said }
    }

    /// Ends it, where nobody needs any more what it does.
    #[must_use]
    pub fn killed(mut self) -> Ended {
        // One that has ended by itself is only waited for.
        let _ = self.child.kill();
        self.ended()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`FAILED`], with what it said.
    pub fn finish(self) -> Result<(), Problem> {
        self.ended().succeeded()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither does anything to one that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Whether it has done what it was to do.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failure.is_none()
    }

    /// Whether it has failed by itself.
    #[must_use]
    pub fn is_its_own_fault(&self) -> bool {
        !self.is_success() && self.itself
    }

    /// Which one it was.
    #[must_use]
    pub fn program(&self) -> Program {
        self.program
    }

    /// The beginning of what it said.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// A problem with what it said.
    #[must_use]
    pub fn noted(&self, problem: Problem) -> Problem {
        lines(&self.said).take(MOST_LINES).fold(problem, |problem, line| problem.note(shown(line)))
    }

    fn succeeded(self) -> Result<(), Problem> {
        let Some(why) = &self.failure else { return Ok(()) };
        let program = self.program;
        let first = error_in(&self.said);
        let own = [format!("{program}: error: "), format!("{program}: ")];
        let what = first.map(|line| own.iter().find_map(|own| line.strip_prefix(own.as_str())).unwrap_or(line));
        let what = what.map_or_else(|| why.clone(), shown);
        let problem = Problem::new(FAILED, format!("`{program}` has failed: {what}"));
        let others = lines(&self.said).filter(|line| first != Some(line)).take(MOST_LINES);
        Err(others.fold(problem, |problem, line| problem.note(shown(line))))
    }
}

/// The beginning of what a program says; the rest is read, so that it is not held up, and dropped.
fn beginning(mut stderr: impl Read) -> String {
    let mut said = Vec::new();
    // What cannot be read is as good as not said.
    let _ = stderr.by_ref().take(MOST_SAID).read_to_end(&mut said);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

fn lines(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| !line.trim().is_empty())
}

/// The first line that says that it is an error, or the first of all.
fn error_in(said: &str) -> Option<&str> {
    let is_error = |line: &&str| ["error:", "ERROR:", "FATAL:"].iter().any(|word| line.contains(word));
    lines(said).find(is_error).or_else(|| lines(said).next())
}

fn shown(line: &str) -> String {
    let line = printable(line.trim());
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(program: Program, said: &str, why: &str) -> Ended {
        Ended { program, failure: Some(why.to_owned()), itself: true, said: said.to_owned() }
    }

    #[test]
    fn what_a_program_says_is_bounded_and_holds_no_control_characters() {
        let said = format!("psql: error: it is \u{1b}[2Jso\n\n{}\nand more", "x".repeat(1000));
        let ended = failed(Program::Psql, &said, "exit status: 3");
        let problem = ended.clone().succeeded().unwrap_err();
        assert_eq!(problem.message(), format!("`psql` has failed: {}", printable("it is \u{1b}[2Jso")));
        assert_eq!(problem.notes().len(), 2);
        assert!(problem.notes()[0].chars().count() == LONGEST_LINE + 1);
        // Where others have words of their own for it, all of it is noted.
        let noted = ended.noted(Problem::new(FAILED, "it has not worked"));
        assert_eq!(noted.notes().len(), 3);
        assert!(noted.notes()[0].starts_with("psql: error: it is ") && !noted.notes()[0].contains('\u{1b}'));
        let endless = std::io::repeat(b'a').take(10 * MOST_SAID);
        assert_eq!(beginning(endless).len() as u64, MOST_SAID);
    }

    #[test]
    fn a_program_that_says_nothing_has_failed_by_how_it_has_ended() {
        let problem = failed(Program::Dump, "", "signal: 9").succeeded().unwrap_err();
        assert_eq!((problem.message(), problem.notes().len()), ("`pg_dump` has failed: signal: 9", 0));
        let long = failed(Program::Dump, &"a line\n".repeat(99), "exit status: 1");
        assert_eq!(long.noted(Problem::new(FAILED, "x")).notes().len(), MOST_LINES);
        assert!(
            Ended { program: Program::Dump, failure: None, itself: true, said: "a warning".to_owned() }
                .succeeded()
                .is_ok()
        );
    }
}
