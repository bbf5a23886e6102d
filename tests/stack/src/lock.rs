//! Keeps two commands from using the same directory at once.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;
use tokio::time::sleep;

/// How long to wait between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// A lock on a directory. It is held until the value is dropped or the process ends.
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Unlocks explicitly. Closing the file is not enough: a child process that is starting may still have it open.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Locks the directory for `command` without waiting.
    ///
    /// # Errors
    /// Another process has locked it, or it cannot be created.
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

    /// Waits for the lock that is needed to install something under the directory.
    ///
    /// # Errors
    /// The directory cannot be created or locked.
    pub async fn wait(directory: &Path) -> Result<Self> {
        let file = open(directory, "installation.lock")?;
        let mut announced = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => {
                    if !announced {
                        println!("  waiting for another `cargo local` to build and install …");
                        announced = true;
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
    fn only_one_command_can_use_a_directory() {
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
