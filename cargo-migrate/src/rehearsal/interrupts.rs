//! What is removed when somebody interrupts the process.

#[cfg(unix)]
use std::fs;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copy::server::Made;

/// What is not to outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// A folder with all that is in it.
    Folder(PathBuf),
    /// A database on a server.
    Database(Box<Made>),
}

/// The copies that are not to outlive the process. Without [`Interrupts::watched`] signals are left as they are.
#[derive(Clone, Debug, Default)]
pub struct Interrupts(Arc<Mutex<Vec<Leftover>>>);

/// How long a server is waited for that is to drop a database, before the process ends all the same.
#[cfg(unix)]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Interrupts {
    /// From here on SIGINT and SIGTERM remove the copies before they end the process. It is for the command's process
    /// alone, since the handlers stay until its end.
    ///
    /// Elsewhere than on Unix what an interrupted process leaves is removed by the next one, as after a kill.
    #[must_use]
    pub fn watched() -> Self {
        let interrupts = Self::default();
        #[cfg(unix)]
        interrupts.watch();
        interrupts
    }

    #[cfg(unix)]
    fn watch(&self) {
        use signal_hook::consts::{SIGINT, SIGTERM};
        // A system that refuses leaves the signals as they are, and the copy to the next process.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
        let interrupts = self.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The list is held to the end, so that no new copy is begun.
                let copies = interrupts.copies();
                copies.iter().for_each(remove);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
    }

    /// Makes something that is removed when somebody interrupts the process.
    pub(super) fn guarding<T, E>(&self, make: impl FnOnce() -> Result<(Leftover, T), E>) -> Result<T, E> {
        let mut copies = self.copies();
        let (leftover, made) = make()?;
        copies.push(leftover);
        Ok(made)
    }

    pub(super) fn forget(&self, leftover: &Leftover) {
        self.copies().retain(|other| other != leftover);
    }

    fn copies(&self) -> MutexGuard<'_, Vec<Leftover>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn remove(leftover: &Leftover) {
    match leftover {
        Leftover::Folder(folder) => remove_folder(folder),
        Leftover::Database(made) => {
            let made = made.clone();
            let (done, ended) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                made.drop_now();
                // Nobody listens any more where it has taken too long.
                let _ = done.send(());
            });
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
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
