//! The one place that prints: talk to standard error, results to standard output, as cargo does.
//!
//! Text that may come from a file or a database has its control characters replaced before it is shown. A
//! stream that is gone is no panic: the first failure is remembered ([`Shell::output_failed`]) and the rest is
//! not written.

use std::fmt::Display;
use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use build_support::problem::{Problem, Severity, printable, printable_block};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::args::Color;
use crate::report::drawn::{draw, shortened};
use crate::report::suggest::Chosen;

const STATUS: Style = AnsiColor::BrightGreen.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const NOTE: Style = AnsiColor::BrightGreen.on_default().bold();
const HELP: Style = AnsiColor::BrightCyan.on_default().bold();

/// What a command cannot be typed without that has a mask in it.
const MASK: &str =
    "`***` stands for the password: write it there, or leave it out where `PGPASSWORD` or `~/.pgpass` has it";

/// The longest answer to a question.
const ANSWER: u64 = 4096;

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

struct Streams {
    out: Box<dyn Write + Send>,
    err: AutoStream<Box<dyn Write + Send>>,
    input: Box<dyn BufRead + Send>,
    failed: Option<io::ErrorKind>,
    answered: bool,
    /// Whether it was said what a mask stands for.
    mask_told: bool,
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
        let shell = Self::with_streams(
            Box::new(io::stdout()),
            Box::new(io::stderr()),
            Box::new(io::BufReader::new(io::stdin())),
            choice,
            quiet,
            verbose,
        );
        Self { colored, ..shell }
    }

    fn with_streams(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        input: Box<dyn BufRead + Send>,
        choice: ColorChoice,
        quiet: bool,
        verbose: u8,
    ) -> Self {
        let err = AutoStream::new(err, choice);
        Self {
            streams: Arc::new(Mutex::new(Streams { out, err, input, failed: None, answered: false, mask_told: false })),
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
        self.raw(&format!("{}\n", ascii_controls(&format!("{value:#}"))));
    }

    /// A result that is printed byte for byte, such as SQL.
    pub fn raw(&self, text: &str) {
        let mut streams = self.streams();
        if streams.failed.is_none()
            && let Err(error) = streams.out.write_all(text.as_bytes()).and_then(|()| streams.out.flush())
        {
            streams.failed = Some(error.kind());
        }
    }

    /// Whether a program has had its one document.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.streams().answered
    }

    /// Why results could not be written, where one could not; a pipe whose reader left is `BrokenPipe`.
    #[must_use]
    pub fn output_failed(&self) -> Option<io::ErrorKind> {
        self.streams().failed
    }

    /// A problem's fields for a program.
    #[must_use]
    pub fn json_problem(&self, problem: &Problem) -> Value {
        let problem = self.chosen.in_problem(problem);
        let places: Vec<Value> = problem
            .places()
            .iter()
            .map(|place| {
                let (line, column) = place.line_column().unzip();
                json!({ "path": place.path.to_string_lossy(), "line": line, "column": column, "label": place.label })
            })
            .collect();
        json!({
            "code": problem.code().0,
            "severity": match problem.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": problem.message(),
            "places": places,
            "notes": problem.notes(),
            "help": problem.helps(),
        })
    }

    /// Asks and reads a line, without the white space around it. Whether somebody is there to answer is for the
    /// caller to know.
    ///
    /// # Errors
    /// When standard input cannot be read, or has ended.
    pub fn ask(&self, question: &str) -> io::Result<String> {
        self.talk(&format!("{} ", printable_block(question)));
        let mut answer = String::new();
        if self.streams().input.by_ref().take(ANSWER).read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim().to_owned())
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

    /// Writes to standard error. Where that is gone there is nobody left to tell.
    fn talk(&self, text: &str) {
        let write = || {
            let mut streams = self.streams();
            let _ = streams.err.write_all(text.as_bytes()).and_then(|()| streams.err.flush());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// JSON text with the characters that could drive a terminal written as escapes. They only stand in strings.
fn ascii_controls(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let plain = c == '\n' || c.is_ascii() && !c.is_ascii_control();
        if plain || printable(c.encode_utf8(&mut [0; 4])).starts_with(c) {
            text.push(c);
        } else {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod capture {
    //! A shell whose words a test can read.

    use std::sync::Arc;

    use super::*;

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
            let input = Box::new(answers.as_bytes());
            let choice = ColorChoice::Never;
            let shell = Self::with_streams(Box::new(out.clone()), Box::new(err.clone()), input, choice, quiet, 0);
            (shell, out, err)
        }
    }
}

#[cfg(test)]
mod tests {
    use build_support::problem::Code;

    use build_support::problem::Place;

    use super::*;
    use crate::report::drawn::LONGEST;

    fn drawn(problem: &Problem) -> String {
        let (shell, _, err) = Shell::capturing();
        shell.problem(problem);
        err.text()
    }

    #[test]
    fn a_problem_is_drawn_as_rustc_draws_it() {
        let place = Place::span("m/a.sql", "one\ntwo three\nfour\n", 8..13).label("here");
        let other = Place::span("m/b.sql", "x\n", 0..1).label("and there");
        let text =
            drawn(&Problem::new(Code("bad-word"), "no such word").at(place).at(other).note("a fact").help("type it"));
        let expected = "\
error[bad-word]: no such word
 --> m/a.sql:2:5
  |
2 | two three
  |     ^^^^^ here
  |
 ::: m/b.sql:1:1
  |
1 | x
  | - and there
  |
  = note: a fact
  = help: type it

";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_problem_without_a_span_is_a_header_a_path_and_its_notes() {
        let text = drawn(&Problem::warning(Code("c"), "message").in_file("a.sql").help("do"));
        assert!(text.starts_with("warning[c]: message\n --> a.sql\n"), "{text}");
        assert!(text.contains("= help: do"), "{text}");
        let text = drawn(&Problem::new(Code("c"), "message").note("n"));
        assert!(text.starts_with("error[c]: message\n") && text.contains("= note: n"), "{text}");
        assert_eq!(drawn(&Problem::new(Code("c"), "message")), "error[c]: message\n\n");
    }

    #[test]
    fn odd_places_are_drawn_without_a_panic_and_briefly() {
        let huge = format!("{}\nselect é;\n{}", "x".repeat(1 << 20), "é\n".repeat(1 << 20));
        let line = (1 << 20) + 1;
        for span in [
            0..0,
            0..huge.len(),
            4000..5000,
            9000..9001,
            line..line,
            line..line + 7,
            line - 1..line,
            line..huge.len(),
            huge.len()..huge.len(),
        ] {
            let text =
                drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", huge.as_str(), span.clone()).label("l")));
            assert!(text.contains("a.sql:") && text.len() < 20_000, "{span:?} {}", text.len());
        }
        assert!(drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", "", 0..0))).contains("a.sql:1:1"));
        let far = drawn(&Problem::new(Code("c"), "m").at(Place::span("a.sql", huge.as_str(), 9000..9001).label("l")));
        assert!(far.contains("a.sql:1:9001") && far.contains("note: l"), "{far}");
    }

    #[test]
    fn what_is_endless_is_cut() {
        let endless = "é".repeat(1 << 20);
        let (shell, _, err) = Shell::capturing();
        shell.status("Running", &endless);
        shell.warning(&endless);
        shell.problem(
            &Problem::new(Code("c"), &endless)
                .at(Place::span("a", "x", 0..1).label(&endless))
                .note(&endless)
                .help(&endless),
        );
        assert!(err.text().chars().count() < 10 * LONGEST, "{}", err.text().chars().count());
    }

    #[test]
    fn nothing_that_is_shown_drives_the_terminal() {
        let bad = "a\u{1b}[31m\u{9b}\u{202e}b";
        let (shell, out, err) = Shell::capturing();
        shell.status("Applied", bad);
        shell.warning(bad);
        shell.problem(&Problem::new(Code("c"), bad).at(Place::span(bad, bad, 1..2).label(bad)).note(bad).help(bad));
        shell.out(bad);
        shell.json(&json!({ bad: bad }));
        for text in [out.text(), err.text()] {
            assert_eq!(printable_block(&text), text);
        }
        let json = out.text();
        let json: Value = serde_json::from_str(json.split_once('\n').unwrap().1).unwrap();
        assert_eq!(json[bad], bad);
    }

    #[test]
    fn verbs_stand_in_the_margin_and_quiet_is_quiet() {
        let (shell, _, err) = Shell::capturing();
        shell.status("Applied", "1 migration");
        shell.warning("w");
        assert_eq!(err.text(), "     Applied 1 migration\nwarning: w\n");
        let (shell, out, err) = Shell::capturing_with("", true);
        shell.status("Applied", "1 migration");
        shell.note("n");
        shell.warning("w");
        shell.out("result");
        assert_eq!((out.text().as_str(), err.text().as_str()), ("result\n", "warning: w\n"));
    }

    #[test]
    fn questions_are_answered_by_a_line() {
        let (shell, out, err) = Shell::capturing_with("Yes\nno\n name \n", false);
        assert!(shell.confirm("Sure?").unwrap());
        assert!(!shell.confirm("Sure?").unwrap());
        assert_eq!(shell.ask("Name:").unwrap(), "name");
        assert_eq!(shell.ask("Name:").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(out.text().is_empty());
        assert_eq!(err.text(), "Sure? [y/N] Sure? [y/N] Name: Name: ");
    }

    #[test]
    fn a_closed_pipe_is_remembered() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let shell = Shell::with_streams(
            Box::new(Closed),
            Box::new(Closed),
            Box::new(io::empty()),
            ColorChoice::Never,
            false,
            0,
        );
        shell.out("a");
        shell.warning("b");
        assert_eq!(shell.output_failed(), Some(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn a_problem_keeps_its_fields_in_json() {
        let problem =
            Problem::new(Code("c"), "m").at(Place::span("a", "x\nyz", 3..4).label("l")).in_file("b").help("h");
        let expected = json!({
            "code": "c", "severity": "error", "message": "m",
            "places": [
                { "path": "a", "line": 2, "column": 2, "label": "l" },
                { "path": "b", "line": null, "column": null, "label": "" },
            ],
            "notes": [], "help": ["h"],
        });
        assert_eq!(Shell::capturing().0.json_problem(&problem), expected);
    }
}
