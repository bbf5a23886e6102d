//! Fingerprints of a step's inputs. They are stored in small files, so that a step with the same inputs is skipped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use sha2::{Digest, Sha256};

/// A hash of all inputs of a step.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Adds a named value. Its length is hashed too: otherwise different sequences of values could give the same hash.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds the content of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn with_file(self, file: &Path) -> Result<Self> {
        let content =
            fs::read(file).with_context(|| format!("cannot read {}", workspace::shown(file)))?;
        Ok(self.with(&workspace::shown(file), content))
    }

    /// Adds every file below `directory`, except the entries named in `except`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn with_tree(mut self, directory: &Path, except: &[&str]) -> Result<Self> {
        for path in sorted_entries(directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if except.contains(&name.as_ref()) {
                continue;
            }
            self = if path.is_dir() {
                self.with_tree(&path, except)?
            } else {
                self.with_file(&path)?
            };
        }
        Ok(self)
    }

    /// Adds the size and the modification time of every file below `directory`. This is for large files that are
    /// replaced only when their content changes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_tree_times(mut self, directory: &Path) -> Result<Self> {
        for path in sorted_entries(directory)? {
            if path.is_dir() {
                self = self.with_tree_times(&path)?;
                continue;
            }
            let metadata = fs::metadata(&path)
                .with_context(|| format!("cannot read {}", workspace::shown(&path)))?;
            let changed = metadata
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                .unwrap_or_default();
            let value = format!("{} {}", metadata.len(), changed.as_nanos());
            self = self.with(&workspace::shown(&path), value);
        }
        Ok(self)
    }

    /// The fingerprint, in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map(|paths: Vec<PathBuf>| paths)
        .with_context(|| format!("cannot read {}", workspace::shown(directory)))?;
    paths.sort();
    Ok(paths)
}

/// Whether `file` holds `fingerprint`.
pub fn is_current(file: &Path, fingerprint: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|content| content.trim() == fingerprint)
}

/// Writes `fingerprint` into `file`.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, fingerprint: &str) -> Result<()> {
    fs::write(file, format!("{fingerprint}\n"))
        .with_context(|| format!("cannot write {}", workspace::shown(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_two_values_matters() {
        let one = Fingerprint::default().with("ab", "c").finish();
        let two = Fingerprint::default().with("a", "bc").finish();
        assert_ne!(one, two);
    }
}
