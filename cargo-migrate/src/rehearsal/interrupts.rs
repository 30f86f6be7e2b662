//! What is removed when somebody interrupts the process, and what a server is told to give up.

use std::cell::RefCell;
#[cfg(unix)]
use std::fs;
#[cfg(unix)]
use std::io::Write as _;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use migrate_runtime::event::Event;
use migrate_runtime::plan::Step;

use super::copy::server::Made;
use crate::live::Live;
use crate::live::server::Running;
use crate::project::Database;

/// What is not to outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// A folder with all that is in it.
    Folder(PathBuf),
    /// A database on a server.
    Database(Box<Made>),
    /// A run's session on a server: the server notices the death of a process only once it has something to say to it, and
    /// until then its statement runs and its locks are held.
    Session(Box<Running>),
    /// What its run has left on a server so that nobody takes it back, in lines.
    HalfWay(Vec<String>),
}

/// What is not to outlive the process. But for those of [`Interrupts::of_process`] signals are left as they are.
#[derive(Clone, Debug, Default)]
pub struct Interrupts(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    leftovers: Mutex<Vec<Leftover>>,
    /// Done once signals are watched for; `None` where they never are.
    watch: Option<Once>,
}

/// A database that is written to. Its session on a server ends with the process; to drop it waits for ever where the process
/// is being ended: whoever was interrupted says nothing of a session that is lost.
#[derive(Debug)]
pub struct Writing<'a> {
    // It goes before the session that it is about.
    /// What follows its run, on a server.
    pub guarded: Option<Guarded<'a>>,
    /// The database.
    pub live: Live,
}

/// One that is to be thrown away whatever becomes of it.
impl From<Live> for Writing<'_> {
    fn from(live: Live) -> Self {
        Self { guarded: None, live }
    }
}

/// A session that is ended when somebody interrupts the process.
#[derive(Debug)]
pub struct Guarded<'a> {
    interrupts: &'a Interrupts,
    leftover: Leftover,
    outside: RefCell<Outside>,
}

/// How far a step is that runs outside a transaction, with what is said where it is interrupted.
#[derive(Debug, Default)]
enum Outside {
    #[default]
    None,
    /// Its record is not committed yet.
    Begun(Vec<String>),
    /// What it does stays.
    HalfWay(Leftover),
}

impl Guarded<'_> {
    /// Follows the session's run. The record of a step outside a transaction is committed before its statements, and once
    /// more behind them.
    pub fn follow(&self, event: &Event<'_>, lines: impl Fn(&Step) -> Vec<String>) {
        let mut outside = self.outside.borrow_mut();
        match event {
            Event::Started(step) if step.directives.no_transaction => *outside = Outside::Begun(lines(step)),
            Event::Committed => match std::mem::take(&mut *outside) {
                Outside::None => {}
                Outside::Begun(lines) => {
                    let leftover = Leftover::HalfWay(lines);
                    self.interrupts.copies().push(leftover.clone());
                    *outside = Outside::HalfWay(leftover);
                }
                Outside::HalfWay(leftover) => self.interrupts.forget(&leftover),
            },
            _ => {}
        }
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        if let Outside::HalfWay(leftover) = self.outside.get_mut() {
            self.interrupts.forget(leftover);
        }
        self.interrupts.forget(&self.leftover);
    }
}

/// How long servers are waited for that are to drop databases and end sessions, before the process ends all the same.
#[cfg(unix)]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Interrupts {
    /// From the first of it on, SIGINT, SIGTERM and SIGHUP remove what is not to outlive the process before they end it. It
    /// is for the command's process alone, since the handlers stay until its end.
    ///
    /// Elsewhere than on Unix what an interrupted process leaves is removed by the next one, as after a kill.
    #[must_use]
    pub fn of_process() -> Self {
        Self(Arc::new(Kept { watch: Some(Once::new()), ..Kept::default() }))
    }

    /// What is not to outlive the process, which is watched from here on, for adding to it.
    fn watched(&self) -> MutexGuard<'_, Vec<Leftover>> {
        #[cfg(unix)]
        if let Some(once) = &self.0.watch {
            once.call_once(|| self.watch());
        }
        self.copies()
    }

    #[cfg(unix)]
    fn watch(&self) {
        // A system that refuses leaves the signals as they are, and the copy to the next process.
        let Ok(mut signals) = signal_hook::iterator::Signals::new(heeded()) else { return };
        let interrupts = self.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The list is held to the end, so that nothing new is begun, and nobody says that its session is lost.
                let copies = interrupts.copies();
                remove(&copies);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
    }

    /// Makes something that is removed when somebody interrupts the process.
    pub(super) fn guarding<T, E>(&self, make: impl FnOnce() -> Result<(Leftover, T), E>) -> Result<T, E> {
        let mut copies = self.watched();
        let (leftover, made) = make()?;
        copies.push(leftover);
        Ok(made)
    }

    /// Has the session of what writes to a database ended when somebody interrupts the process. A file needs nothing of
    /// it, and neither does a server that does not tell its sessions apart.
    pub fn session(&self, database: &Database, mut live: Live) -> Writing<'_> {
        let guarded = match (&mut live, database.server()) {
            (Live::Server(client), Some(server)) => Running::of(server, client).map(|running| {
                let leftover = Leftover::Session(Box::new(running));
                self.watched().push(leftover.clone());
                Guarded { interrupts: self, leftover, outside: RefCell::default() }
            }),
            _ => None,
        };
        Writing { guarded, live }
    }

    pub(super) fn forget(&self, leftover: &Leftover) {
        self.copies().retain(|other| other != leftover);
    }

    fn copies(&self) -> MutexGuard<'_, Vec<Leftover>> {
        self.0.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that end the process, without those that whoever has started it wants ignored (`nohup`, say). Where that is
/// not told, a hangup is left as it is.
#[cfg(unix)]
fn heeded() -> Vec<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    match mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        Some(mask) => [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|it| mask & (1 << (it - 1)) == 0).collect(),
        None => vec![SIGINT, SIGTERM],
    }
}

/// Removes all of them; servers are asked side by side, and waited for no longer than [`PATIENCE`] in all.
#[cfg(unix)]
fn remove(leftovers: &[Leftover]) {
    if leftovers.iter().any(|leftover| matches!(leftover, Leftover::Session(_))) {
        // Nobody may be there to read it any more.
        let _ = writeln!(std::io::stderr(), "interrupted: the server takes back what was not committed");
    }
    for leftover in leftovers {
        if let Leftover::HalfWay(lines) = leftover {
            let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
        }
    }
    let (done, ended) = std::sync::mpsc::channel::<()>();
    for leftover in leftovers {
        let work: Box<dyn FnOnce() + Send> = match leftover {
            Leftover::Folder(folder) => {
                remove_folder(folder);
                continue;
            }
            Leftover::HalfWay(_) => continue,
            Leftover::Database(made) => {
                let made = made.clone();
                Box::new(move || made.drop_now())
            }
            Leftover::Session(running) => {
                let running = running.clone();
                Box::new(move || running.end(PATIENCE))
            }
        };
        let done = done.clone();
        std::thread::spawn(move || {
            work();
            drop(done);
        });
    }
    drop(done);
    // Nothing is ever sent: it ends with the last of them, or where that takes too long.
    let _ = ended.recv_timeout(PATIENCE);
}

/// The thread that is interrupted may be making one more file in it.
#[cfg(unix)]
fn remove_folder(folder: &Path) {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let _ = fs::remove_dir_all(folder);
        if !folder.exists() {
            return;
        }
    }
}
