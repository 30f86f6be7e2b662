//! How a command ends when it does not end well.

use build_support::problem::{Code, Problem};

use crate::exit::Exit;

/// The problems that stopped a command and the exit status that says so.
#[derive(Clone, Debug)]
pub struct Failure {
    problems: Vec<Problem>,
    exit: Exit,
}

/// What a command's steps return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// The command line asks for something that does not go together; exit status 2.
    #[must_use]
    pub fn misused(message: impl Into<String>) -> Self {
        Self::from(Problem::new(Code("usage"), message)).with_exit(Exit::Misused)
    }

    /// The result itself says what is wrong: exit status 1 and not a word more.
    #[must_use]
    pub fn said() -> Self {
        Self { problems: Vec::new(), exit: Exit::Refused }
    }

    /// The same failure with another exit status.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds a way out to the first problem.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(first) = self.problems.first_mut() {
            *first = first.clone().help(help);
        }
        self
    }

    /// What went wrong; empty only where the result itself says it.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The status that the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], exit: Exit::Refused }
    }
}

impl From<Vec<Problem>> for Failure {
    /// An empty list is a bug in the caller; it is reported as one instead of as a success.
    fn from(problems: Vec<Problem>) -> Self {
        if problems.is_empty() {
            return Problem::new(Code("internal"), "the command failed and did not say why").into();
        }
        Self { problems, exit: Exit::Refused }
    }
}
