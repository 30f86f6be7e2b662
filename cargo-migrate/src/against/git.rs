//! What git knows of the migrations folder at another commit. Git is only asked: neither the work tree nor the index
//! nor a ref is touched, and no shell is in between.

use std::io::{self, BufRead, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use build_support::directory::{LARGEST_FILE, MOST_FILES, TOO_LARGE};
use build_support::problem::{Code, Problem, printable};

/// Git cannot be started.
pub const NO_GIT: Code = Code("no-git");
/// The migrations folder is in no git repository, or git refuses to look at it.
pub const NO_REPOSITORY: Code = Code("no-repository");
/// Git knows no such commit.
pub const UNKNOWN_REF: Code = Code("unknown-ref");
/// Two histories of commits without a commit in common.
pub const NO_MERGE_BASE: Code = Code("no-merge-base");

/// Set for git's hooks, where they name the repository relative to another folder than the one that git is asked in.
pub(crate) const OF_HOOKS: [&str; 4] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"];

/// A file of a folder at a commit.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Its name within the folder.
    pub(super) name: String,
    /// Its bytes as they were committed.
    pub(super) bytes: Vec<u8>,
}

/// The repository that a folder is in.
#[derive(Debug)]
pub(super) struct Repository<'a> {
    folder: &'a Path,
    /// The folder within the repository: empty, or with a slash at its end.
    prefix: String,
    shallow: bool,
}

impl<'a> Repository<'a> {
    /// Finds the repository of a folder.
    ///
    /// # Errors
    /// [`NO_GIT`], [`NO_REPOSITORY`].
    pub(super) fn of(folder: &'a Path) -> Result<Self, Problem> {
        let asked = run(folder, &["rev-parse", "--is-shallow-repository", "--show-prefix"])?;
        if !asked.status.success() {
            return Err(Problem::new(NO_REPOSITORY, "git knows no repository here, so there is nothing to merge with")
                .in_file(folder)
                .note(words(&asked))
                .help("run it in a clone of the repository, not in an export of its files"));
        }
        let answer = String::from_utf8_lossy(&asked.stdout).into_owned();
        let (shallow, prefix) = answer.split_once('\n').unwrap_or((&answer, ""));
        Ok(Self { folder, shallow: shallow == "true", prefix: prefix.strip_suffix('\n').unwrap_or(prefix).to_owned() })
    }

    /// The folder as git names it in `COMMIT:PATH`.
    pub(super) fn prefix(&self) -> PathBuf {
        PathBuf::from(&self.prefix)
    }

    /// The commit that a ref means.
    ///
    /// # Errors
    /// [`UNKNOWN_REF`], also for what git could take for an option.
    pub(super) fn commit(&self, reference: &str) -> Result<String, Problem> {
        let shown = printable(reference);
        let unknown = |why: String| Problem::new(UNKNOWN_REF, format!("git knows no commit `{shown}`")).note(why);
        if reference.is_empty() || reference.starts_with('-') || reference.chars().any(char::is_control) {
            return Err(unknown(
                "the name of a branch is not empty, starts with no hyphen and has no control character".to_owned(),
            )
            .help("name a branch, a tag or a commit: `--against origin/main`"));
        }
        let asked = run(self.folder, &["rev-parse", "--verify", &format!("{reference}^{{commit}}")])?;
        let commit = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        if asked.status.success() && !commit.is_empty() {
            return Ok(commit);
        }
        let problem = unknown(words(&asked));
        Err(match reference.split_once('/') {
            Some((remote, branch)) if is_plain(remote) && is_plain(branch) => problem.help(format!(
                "fetch it first: `git fetch {remote} {branch}:refs/remotes/{remote}/{branch}`; a CI clones one branch alone"
            )),
            _ => problem.help("`git branch --all` lists the branches; one of a remote is named as `origin/main`"),
        })
    }

    /// The commit from which the work tree's branch and another commit have gone different ways.
    ///
    /// # Errors
    /// [`NO_MERGE_BASE`]
    pub(super) fn merge_base(&self, commit: &str, shown: &str) -> Result<String, Problem> {
        let asked = run(self.folder, &["merge-base", "HEAD", commit])?;
        let base = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        if asked.status.success() && !base.is_empty() {
            return Ok(base);
        }
        let problem = Problem::new(
            NO_MERGE_BASE,
            format!(
                "this branch and `{}` have no commit in common, so nobody can tell who changed what",
                printable(shown)
            ),
        );
        Err(if self.shallow {
            problem
                .note("this clone is shallow: it lacks the older commits")
                .help("fetch them: `git fetch --unshallow`")
                .help("in GitHub Actions: `fetch-depth: 0` for `actions/checkout`")
        } else if asked.stderr.is_empty() {
            problem.help("name a branch that was once the same as this one")
        } else {
            problem.note(words(&asked)).help("commit something on this branch first")
        })
    }

    /// The files of the folder at a commit whose names `wanted` takes, without those of folders in it.
    ///
    /// # Errors
    /// What git refuses to read; [`TOO_LARGE`].
    pub(super) fn files(&self, commit: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Blob>, Problem> {
        let mut arguments = vec!["ls-tree", "-z", "--full-tree", commit];
        if !self.prefix.is_empty() {
            arguments.extend(["--", &self.prefix]);
        }
        let asked = run(self.folder, &arguments)?;
        if !asked.status.success() {
            return Err(self.unreadable(&words(&asked)));
        }
        let mut found = Vec::new();
        for entry in asked.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            // `MODE TYPE OBJECT<tab>PATH`
            let entry = String::from_utf8_lossy(entry);
            let Some((about, path)) = entry.split_once('\t') else { continue };
            let mut words = about.split(' ').skip(1);
            let (Some("blob"), Some(object), Some(name)) =
                (words.next(), words.next(), path.strip_prefix(&self.prefix))
            else {
                continue;
            };
            if wanted(name) {
                found.push((name.to_owned(), object.to_owned()));
            }
        }
        if found.len() > MOST_FILES {
            return Err(Problem::new(TOO_LARGE, format!("this folder has more than {MOST_FILES} migrations"))
                .in_file(self.prefix()));
        }
        self.contents(found)
    }

    /// The bytes of objects, by one process for all of them.
    fn contents(&self, wanted: Vec<(String, String)>) -> Result<Vec<Blob>, Problem> {
        let mut child = git(self.folder, &["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| not_started(&error))?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.unreadable("it cannot be talked to"));
        };
        let questions: String = wanted.iter().map(|(_, object)| format!("{object}\n")).collect();
        // Git answers while it is still being asked, and would wait for ever for somebody to listen.
        let asking = std::thread::spawn(move || input.write_all(questions.as_bytes()));
        let mut output = io::BufReader::new(output);
        let blobs: Result<Vec<Blob>, Problem> =
            wanted.into_iter().map(|(name, _)| self.answer(&mut output, name)).collect();
        // Without a listener it ends, whatever it was about to say.
        drop(output);
        let _ = asking.join();
        let _ = child.wait();
        blobs
    }

    /// One answer of `cat-file --batch`: `OBJECT TYPE SIZE`, and so many bytes with a line feed behind them.
    fn answer(&self, output: &mut impl BufRead, name: String) -> Result<Blob, Problem> {
        let failed = |error: io::Error| self.unreadable(&error.to_string());
        let mut header = String::new();
        output.read_line(&mut header).map_err(failed)?;
        let size = header.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size else { return Err(self.unreadable(header.trim_end())) };
        if size > LARGEST_FILE {
            return Err(Problem::new(TOO_LARGE, "this file is larger than 64 MiB").in_file(self.prefix().join(name)));
        }
        let mut bytes = Vec::new();
        output.take(size + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 != size + 1 {
            return Err(self.unreadable("the answer ends early"));
        }
        bytes.pop();
        Ok(Blob { name, bytes })
    }

    fn unreadable(&self, why: &str) -> Problem {
        Problem::new(NO_REPOSITORY, "git cannot read the migrations of another commit")
            .in_file(self.prefix())
            .note(format!("git says: {}", printable(why)))
            .help("see what `git fsck` finds; in a partial clone, whether the remote can be reached")
    }
}

/// Whether a word can stand in a command line as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    for name in OF_HOOKS {
        command.env_remove(name);
    }
    command.current_dir(folder).env("GIT_OPTIONAL_LOCKS", "0").env("GIT_LITERAL_PATHSPECS", "1").args(arguments);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Output, Problem> {
    git(folder, arguments).stdin(Stdio::null()).output().map_err(|error| not_started(&error))
}

fn not_started(error: &io::Error) -> Problem {
    Problem::new(NO_GIT, format!("git cannot be started: {error}"))
        .help("install git, or see that it is in `PATH`; without `--against` it is not needed")
}

/// The first line of what git said when it refused.
fn words(asked: &Output) -> String {
    let said = String::from_utf8_lossy(&asked.stderr);
    format!("git says: {}", printable(said.trim().lines().next().unwrap_or("nothing")))
}
