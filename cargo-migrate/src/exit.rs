//! Exit statuses, which are part of the interface: scripts and CI read them.

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: what was asked for is done, or was done already.
    Done = 0,
    /// 1: refused or failed; nothing was changed unless the message says what.
    Refused = 1,
    /// 2: the command line was not understood, or asks for what does not go together; nothing was changed.
    Misused = 2,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
