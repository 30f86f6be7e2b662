//! The one place that prints: talk to standard error, results to standard output, as cargo does.
//!
//! Text that may come from a file or a database has its control characters replaced before it is shown. A
//! stream that is gone is no panic: the first failure is remembered ([`Shell::output_failed`]) and the rest is
//! not written.

#[cfg(test)]
mod capture;
mod json;
mod streams;

use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use build_support::problem::{Problem, printable, printable_block};
use indicatif::ProgressBar;
use serde_json::Value;

use crate::args::Color;
use crate::report::drawn::{draw, shortened};
use crate::report::suggest::Chosen;
use streams::Streams;

const STATUS: Style = AnsiColor::BrightGreen.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const NOTE: Style = AnsiColor::BrightGreen.on_default().bold();
const HELP: Style = AnsiColor::BrightCyan.on_default().bold();

/// What a command cannot be typed without that has a mask in it.
const MASK: &str =
    "`***` stands for the password: write it there, or leave it out where `PGPASSWORD` or `~/.pgpass` has it";

/// Where a command's words go.
pub struct Shell {
    streams: Arc<Mutex<Streams>>,
    quiet: bool,
    verbose: u8,
    /// Whether results may be coloured; most are for programs, too, and never are.
    colored: bool,
    chosen: Chosen,
    /// What stands before each status, where several things are done side by side.
    label: String,
    /// The documents of a part, which the whole prints as one.
    documents: Option<Mutex<Vec<Value>>>,
    /// What statuses are said to where a bar shows them instead.
    bar: Option<ProgressBar>,
    /// What one of many has said, which the whole tells once for all of them.
    said: Option<Mutex<Vec<Said>>>,
}

/// What one of many parts has said that is not lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A fact on the side.
    Note(String),
    /// Something to know.
    Warning(String),
    /// A problem; a warning, since what stops a part is its failure.
    Problem(Problem),
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("quiet", &self.quiet).field("verbose", &self.verbose).finish_non_exhaustive()
    }
}

impl Shell {
    /// The process's own streams.
    #[must_use]
    pub fn new(color: Color, quiet: bool, verbose: u8) -> Self {
        let choice = |automatic: ColorChoice| match color {
            Color::Auto => automatic,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let colored = choice(AutoStream::choice(&io::stdout())) != ColorChoice::Never;
        let choice = choice(AutoStream::choice(&io::stderr()));
        let streams = Streams::new(
            Box::new(io::stdout()),
            AutoStream::new(Box::new(io::stderr()), choice),
            Box::new(io::BufReader::new(io::stdin())),
        );
        Self { colored, ..Self::on(streams, quiet, verbose) }
    }

    fn on(streams: Streams, quiet: bool, verbose: u8) -> Self {
        Self {
            streams: Arc::new(Mutex::new(streams)),
            quiet,
            verbose,
            colored: false,
            chosen: Chosen::default(),
            label: String::new(),
            documents: None,
            bar: None,
            said: None,
        }
    }

    /// A shell for one of several parts of the work, on the same streams: it suggests commands for this package, and keeps
    /// its documents for the whole to print.
    #[must_use]
    pub fn part<S: AsRef<str>>(&self, packages: &[S]) -> Self {
        self.with(self.chosen.clone().of_packages(packages))
    }

    /// The same for one database of several, given by its name or its URL.
    #[must_use]
    pub fn of_database(&self, name_or_url: &str) -> Self {
        self.with(self.chosen.clone().of_database(name_or_url))
    }

    /// The same of one of many databases: it prints nothing, and keeps what it says for the whole, which has heard it from
    /// others, too. Its statuses and what it would type next are not kept.
    #[must_use]
    pub fn one_of_many(&self, name_or_url: &str) -> Self {
        Self { said: Some(Mutex::default()), ..self.of_database(name_or_url) }
    }

    fn with(&self, chosen: Chosen) -> Self {
        Self {
            streams: Arc::clone(&self.streams),
            quiet: self.quiet,
            verbose: self.verbose,
            colored: self.colored,
            chosen,
            label: String::new(),
            documents: Some(Mutex::default()),
            bar: None,
            said: None,
        }
    }

    /// What one of many has said.
    #[must_use]
    pub fn into_said(self) -> Vec<Said> {
        self.said.map(|said| said.into_inner().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default()
    }

    /// The same with a name before each status.
    #[must_use]
    pub fn labelled(self, label: &str) -> Self {
        Self { label: format!("{}: ", printable(label)), ..self }
    }

    /// The same with a bar that shows what is under way.
    #[must_use]
    pub fn on_bar(self, bar: ProgressBar) -> Self {
        Self { bar: Some(bar), ..self }
    }

    /// The bar that shows what is under way, where there is one.
    #[must_use]
    pub fn bar(&self) -> Option<&ProgressBar> {
        self.bar.as_ref()
    }

    /// The documents that a part has kept.
    #[must_use]
    pub fn into_documents(self) -> Vec<Value> {
        let documents = self.documents.map(|documents| documents.into_inner().unwrap_or_else(PoisonError::into_inner));
        documents.unwrap_or_default()
    }

    /// Takes what the command works on, for the commands that it suggests.
    #[must_use]
    pub fn choosing(self, chosen: Chosen) -> Self {
        Self { chosen, ..self }
    }

    /// A text whose commands name what this one works on, as those of messages do.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        self.chosen.named(text)
    }

    /// Whether only warnings, errors and results are wanted.
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// How often `-v` was given.
    #[must_use]
    pub fn verbose(&self) -> u8 {
        self.verbose
    }

    /// A step that is done or under way, as cargo says it: the verb in the margin. Silent under `--quiet`.
    pub fn status(&self, verb: &str, message: impl Display) {
        if !self.quiet && self.said.is_none() {
            let message = format!("{}{message}", self.label);
            let (verb, message) = (printable(verb), printable(&shortened(message)));
            self.talk(&format!("{STATUS}{verb:>12}{STATUS:#} {message}\n"));
        }
    }

    /// Something to know that does not stop the work.
    pub fn warning(&self, message: impl Display) {
        if self.keeps(|| Said::Warning(message.to_string())) {
            return;
        }
        self.line(WARNING, "warning", &message);
    }

    /// A fact on the side. Silent under `--quiet`.
    pub fn note(&self, message: impl Display) {
        if !self.quiet && !self.keeps(|| Said::Note(message.to_string())) {
            self.line(NOTE, "note", &message);
        }
    }

    /// What to type next. Silent under `--quiet`.
    pub fn help(&self, message: impl Display) {
        if !self.quiet && self.said.is_none() {
            self.line(HELP, "help", &message);
        }
    }

    /// A problem, drawn as rustc draws its own, with the lines of the files that it is about.
    pub fn problem(&self, problem: &Problem) {
        if self.keeps(|| Said::Problem(problem.clone())) {
            return;
        }
        let mut problem = self.chosen.in_problem(problem);
        if self.first_mask(problem.helps()) {
            problem = problem.help(MASK);
        }
        let mut text = draw(&problem);
        text.push_str("\n\n");
        self.talk(&text);
    }

    /// A problem as lines for somebody else to say, its ways out made to work on what this command works on.
    #[must_use]
    pub fn lines_of(&self, problem: &Problem) -> Vec<String> {
        self.chosen.in_problem(problem).plain_lines()
    }

    /// A result for a person, ended with a line feed where it has none.
    pub fn out(&self, text: impl Display) {
        let mut text = printable_block(&text.to_string());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.raw(&text);
    }

    /// A line of a result, in this style where standard output has colours.
    pub fn out_in(&self, style: Style, text: impl Display) {
        let text = printable(&text.to_string());
        self.raw(&if self.colored { format!("{style}{text}{style:#}\n") } else { format!("{text}\n") });
    }

    /// A result for a program: the document, indented, and a line feed.
    pub fn json(&self, value: &Value) {
        if let Some(documents) = &self.documents {
            documents.lock().unwrap_or_else(PoisonError::into_inner).push(value.clone());
            return;
        }
        self.streams().answered = true;
        self.raw(&json::printed(value));
    }

    /// A result that is printed byte for byte, such as SQL.
    pub fn raw(&self, text: &str) {
        self.streams().write(text);
    }

    /// Whether a program has had its one document.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.streams().answered
    }

    /// Why results could not be written, where one could not; a pipe whose reader left is `BrokenPipe`.
    #[must_use]
    pub fn output_failed(&self) -> Option<io::ErrorKind> {
        self.streams().failed()
    }

    /// A problem's fields for a program.
    #[must_use]
    pub fn json_problem(&self, problem: &Problem) -> Value {
        json::of_problem(&self.chosen.in_problem(problem))
    }

    /// Asks and reads a line, without the white space around it. Whether somebody is there to answer is for the
    /// caller to know.
    ///
    /// # Errors
    /// When standard input cannot be read, or has ended.
    pub fn ask(&self, question: &str) -> io::Result<String> {
        self.talk(&format!("{} ", printable_block(question)));
        self.streams().answer()
    }

    /// Asks for a yes; anything but `y` and `yes` is a no.
    ///
    /// # Errors
    /// As [`Shell::ask`].
    pub fn confirm(&self, question: &str) -> io::Result<bool> {
        let answer = self.ask(&format!("{question} [y/N]"))?;
        Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
    }

    /// Keeps what one of many says; gives whether this shell is such a one.
    fn keeps(&self, said: impl FnOnce() -> Said) -> bool {
        let Some(all) = &self.said else { return false };
        all.lock().unwrap_or_else(PoisonError::into_inner).push(said());
        true
    }

    fn line(&self, style: Style, word: &str, message: &dyn Display) {
        let message = self.chosen.named(&message.to_string());
        let mask = if self.first_mask(std::slice::from_ref(&message)) { format!(" ({MASK})") } else { String::new() };
        let message = printable_block(&shortened(message));
        self.talk(&format!("{style}{word}{style:#}: {message}{mask}\n"));
    }

    /// Whether the first command is among these that cannot be typed as it is, which is explained once.
    fn first_mask(&self, texts: &[String]) -> bool {
        let is_masked = texts.iter().any(|text| self.chosen.is_masked(text));
        is_masked && !std::mem::replace(&mut self.streams().mask_told, true)
    }

    /// Writes to standard error.
    fn talk(&self, text: &str) {
        let write = || self.streams().talk(text);
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
