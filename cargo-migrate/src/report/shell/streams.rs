//! The streams of the process, which all parts of the work share.

use std::io::{self, BufRead, Read as _, Write};

use anstream::AutoStream;

/// The longest answer to a question.
const ANSWER: u64 = 4096;

/// Where words go and answers come from, with what is said once for all parts.
pub(super) struct Streams {
    out: Box<dyn Write + Send>,
    err: AutoStream<Box<dyn Write + Send>>,
    input: Box<dyn BufRead + Send>,
    failed: Option<io::ErrorKind>,
    /// Whether a program has had its one document.
    pub(super) answered: bool,
    /// Whether it was said what a mask stands for.
    pub(super) mask_told: bool,
}

impl Streams {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        err: AutoStream<Box<dyn Write + Send>>,
        input: Box<dyn BufRead + Send>,
    ) -> Self {
        Self { out, err, input, failed: None, answered: false, mask_told: false }
    }

    /// Writes a result. After a first failure, which is remembered, nothing more is written.
    pub(super) fn write(&mut self, text: &str) {
        if self.failed.is_none()
            && let Err(error) = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush())
        {
            self.failed = Some(error.kind());
        }
    }

    /// Why results could not be written, where one could not.
    pub(super) fn failed(&self) -> Option<io::ErrorKind> {
        self.failed
    }

    /// Writes to standard error. Where that is gone there is nobody left to tell.
    pub(super) fn talk(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// Reads a line, without the white space around it.
    pub(super) fn answer(&mut self) -> io::Result<String> {
        let mut answer = String::new();
        if self.input.by_ref().take(ANSWER).read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim().to_owned())
    }
}
