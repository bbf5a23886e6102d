//! Keeps two commands from using the same directory at once.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;
use tokio::time::sleep;

/// How long to wait between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// A lock on a directory, held as long as the value (or its process) lives.
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing the file is not enough: a program that is just being started holds a copy of it for a moment.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the directory for `command`, or tells who has it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made.
    pub fn take(directory: &Path, command: &str) -> Result<Self> {
        let file = open(directory, "in-use.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another `{command}` is running in this clone and has {}: stop it first",
                workspace::shown(directory)
            ),
            Err(TryLockError::Error(error)) => Err(cannot_lock(error, directory)),
        }
    }

    /// Waits until what is installed under the directory may be changed.
    ///
    /// # Errors
    /// The directory cannot be made or locked.
    pub async fn wait(directory: &Path) -> Result<Self> {
        let file = open(directory, "installation.lock")?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        println!("  waiting for another `cargo local` to build and install …");
                        told = true;
                    }
                    sleep(RETRY).await;
                }
                Err(TryLockError::Error(error)) => return Err(cannot_lock(error, directory)),
            }
        }
    }
}

fn cannot_lock(error: std::io::Error, directory: &Path) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot lock {}", workspace::shown(directory)))
}

fn open(directory: &Path, name: &str) -> Result<File> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", workspace::shown(directory)))?;
    let path = directory.join(name);
    File::create(&path).with_context(|| format!("cannot write {}", workspace::shown(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_at_a_time() {
        let directory = std::env::temp_dir().join(format!("payment3-lock-{}", std::process::id()));
        let first = Lock::take(&directory, "cargo local up").expect("free");
        let error = Lock::take(&directory, "cargo local up")
            .err()
            .expect("taken")
            .to_string();
        assert!(error.contains("another `cargo local up`"), "{error}");
        drop(first);
        assert!(Lock::take(&directory, "cargo local up").is_ok());
        let _ = std::fs::remove_dir_all(directory);
    }
}
