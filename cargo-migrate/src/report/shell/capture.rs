//! A shell whose words a test can read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use anstream::{AutoStream, ColorChoice};

use super::Shell;
use super::streams::Streams;

/// What has been written to one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shell {
    /// A shell without colour or input, and what it writes: standard output, standard error.
    pub(crate) fn capturing() -> (Self, Captured, Captured) {
        Self::capturing_with("", false)
    }

    /// The same, with answers to read and with `--quiet`.
    pub(crate) fn capturing_with(answers: &'static str, quiet: bool) -> (Self, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let shell = Self::over(out.clone(), err.clone(), answers, quiet);
        (shell, out, err)
    }

    /// A shell without colour that writes there.
    pub(super) fn over(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        answers: &'static str,
        quiet: bool,
    ) -> Self {
        let err = AutoStream::new(Box::new(err) as Box<dyn Write + Send>, ColorChoice::Never);
        Self::on(Streams::new(Box::new(out), err, Box::new(answers.as_bytes())), quiet, 0)
    }
}
