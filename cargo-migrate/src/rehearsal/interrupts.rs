//! What is removed when somebody interrupts the process.

#[cfg(unix)]
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The folders that are not to outlive the process. Without [`Interrupts::watched`] signals are left as they are.
#[derive(Clone, Debug, Default)]
pub struct Interrupts(Arc<Mutex<Vec<PathBuf>>>);

impl Interrupts {
    /// From here on SIGINT and SIGTERM remove the folders before they end the process. It is for the command's process
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
        // A system that refuses leaves the signals as they are, and the folder to the next process.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
        let interrupts = self.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The list is held to the end, so that no new folder is begun.
                let folders = interrupts.folders();
                folders.iter().for_each(|folder| remove(folder));
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
    }

    /// Makes a folder that is removed when somebody interrupts the process.
    pub(super) fn guarding<T>(&self, make: impl FnOnce() -> std::io::Result<(PathBuf, T)>) -> std::io::Result<T> {
        let mut folders = self.folders();
        let (folder, made) = make()?;
        folders.push(folder);
        Ok(made)
    }

    pub(super) fn forget(&self, folder: &Path) {
        self.folders().retain(|other| other != folder);
    }

    fn folders(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that is interrupted may be making one more file in it.
#[cfg(unix)]
fn remove(folder: &Path) {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let _ = fs::remove_dir_all(folder);
        if !folder.exists() {
            return;
        }
    }
}
