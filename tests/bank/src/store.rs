//! The state file: the ledger as JSON. Each change replaces the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;

/// The version of the file's layout.
const LAYOUT: u32 = 1;

/// Why a state file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its folder cannot be read or written.
    #[error("the bank's state file {} cannot be used: {source}; check the path and its permissions", path.display())]
    Io {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a state of this bank.
    #[error("{} is not a state of this sandbox bank ({reason}); delete it to start with an empty bank", path.display())]
    Unreadable {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Header {
    layout: u32,
}

#[derive(Serialize, Deserialize)]
struct Contents<L> {
    layout: u32,
    ledger: L,
}

/// Where the ledger is kept.
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Names the file. Nothing is read yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the ledger, or an empty one if there is no file. Writes it back, so that a file that cannot be written is
    /// found now and not at the first charge.
    pub(crate) fn open(&self) -> Result<Ledger, OpenError> {
        let failed = |source| OpenError::Io {
            path: self.path.clone(),
            source,
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let ledger = match fs::read(&self.path) {
            Ok(bytes) => parse(&bytes).map_err(|reason| OpenError::Unreadable {
                path: self.path.clone(),
                reason,
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ledger::default(),
            Err(e) => return Err(failed(e)),
        };
        self.save(&ledger).map_err(failed)?;
        Ok(ledger)
    }

    /// Replaces the file. A reader finds the old state or the new one, never a part.
    pub(crate) fn save(&self, ledger: &Ledger) -> io::Result<()> {
        let contents = Contents {
            layout: LAYOUT,
            ledger,
        };
        let bytes = serde_json::to_vec_pretty(&contents)?;
        let draft = draft_of(&self.path);
        fs::write(&draft, bytes)?;
        fs::rename(&draft, &self.path)
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn parse(bytes: &[u8]) -> Result<Ledger, String> {
    let header: Header = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if header.layout != LAYOUT {
        return Err(format!("its layout is {}, not {LAYOUT}", header.layout));
    }
    let contents: Contents<Ledger> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(contents.ledger.indexed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_layout_is_refused() {
        assert!(
            parse(br#"{"layout":2,"ledger":{}}"#)
                .unwrap_err()
                .contains("layout is 2")
        );
        assert!(parse(b"{").is_err());
    }

    #[test]
    fn an_unusable_file_names_itself_and_the_way_out() {
        let error = OpenError::Unreadable {
            path: PathBuf::from("bank.json"),
            reason: "why".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "bank.json is not a state of this sandbox bank (why); delete it to start with an empty bank"
        );
    }
}
