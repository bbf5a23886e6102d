//! Copies of the sources that are broken on purpose: a test that finds none of them would prove nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::definition_change::DefinitionChange;
use crate::workspace;

/// What a copy needs for a build: the functions, the definitions, and the other packages of the workspace, which cargo
/// must find.
const COPIED: [&str; 5] = [
    "Cargo.toml",
    "Cargo.lock",
    "activities",
    "statemachine",
    "tests",
];
/// A directory of installed packages, which is not copied.
const INSTALLED: &str = "node_modules";

/// A mistake that a person could make: a small change of one source.
#[derive(Debug)]
pub struct Break {
    /// A description of the bug.
    pub name: &'static str,
    /// The source.
    pub file: &'static str,
    /// What is changed in it.
    pub change: Change,
}

/// A change of a source text. The text that it searches for must occur exactly once.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// Of one text by another.
    Replace {
        /// The text.
        this: &'static str,
        /// The other.
        by: &'static str,
    },
    /// Moves the text from `from` up to `to` in front of `before`.
    Move {
        /// Where it begins.
        from: &'static str,
        /// Where it ends.
        to: &'static str,
        /// Where it goes.
        before: &'static str,
    },
    /// Of the definition in the file. The functions stay as they are.
    Definition(DefinitionChange),
}

impl Break {
    /// The change of a definition, if it is that.
    #[must_use]
    pub fn definition(&self) -> Option<DefinitionChange> {
        match self.change {
            Change::Definition(change) => Some(change),
            _ => None,
        }
    }

    /// Copies the sources to this directory, always the same one, and breaks the copy. What is there already and is the
    /// same is left as it is, so that cargo compiles only what follows from the break.
    ///
    /// # Errors
    /// A file cannot be copied, or the sources have changed and this break no longer fits them.
    pub fn make(&self, copy: &Path) -> Result<()> {
        fs::create_dir_all(copy).with_context(|| cannot("create", copy))?;
        let source = workspace::root();
        let broken = self.broken()?;
        let file = source.join(self.file);
        for name in COPIED {
            copy_all(&source.join(name), &copy.join(name), &|path| {
                if path == file {
                    Ok(broken.clone().into_bytes())
                } else {
                    fs::read(path).with_context(|| cannot("read", path))
                }
            })?;
        }
        Ok(())
    }

    /// The source, broken.
    ///
    /// # Errors
    /// It cannot be read, or it has changed and this break no longer fits.
    pub fn broken(&self) -> Result<String> {
        let file = workspace::root().join(self.file);
        let text = fs::read_to_string(&file).with_context(|| cannot("read", &file))?;
        let once = |part: &str| {
            ensure!(
                text.matches(part).count() == 1,
                "{}: `{part}` must occur exactly once: adapt the break to the changed sources",
                self.file
            );
            Ok(text.find(part).unwrap_or_default())
        };
        Ok(match self.change {
            Change::Replace { this, by } => {
                once(this)?;
                text.replacen(this, by, 1)
            }
            Change::Move { from, to, before } => {
                let (from, to, before) = (once(from)?, once(to)?, once(before)?);
                ensure!(
                    from < to && to < before,
                    "{}: the texts of the break are in another order",
                    self.file
                );
                [
                    &text[..from],
                    &text[to..before],
                    &text[from..to],
                    &text[before..],
                ]
                .concat()
            }
            Change::Definition(change) => {
                let mut definition = serde_json::from_str(&text)
                    .with_context(|| format!("{} is no JSON", self.file))?;
                change.apply(&mut definition)?;
                definition.to_string()
            }
        })
    }
}

/// Makes one place the same as another, each file as `content` gives it.
fn copy_all(from: &Path, to: &Path, content: &impl Fn(&Path) -> Result<Vec<u8>>) -> Result<()> {
    if !from.is_dir() {
        let content = content(from)?;
        if fs::read(to).is_ok_and(|there| there == content) {
            return Ok(());
        }
        return fs::write(to, content).with_context(|| cannot("write", to));
    }
    fs::create_dir_all(to).with_context(|| cannot("create", to))?;
    let mut names = entries(from)?;
    names.remove(&OsString::from(INSTALLED));
    for gone in entries(to)?.difference(&names) {
        remove(&to.join(gone))?;
    }
    for name in names {
        copy_all(&from.join(&name), &to.join(&name), content)?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(directory).with_context(|| cannot("read", directory))?;
    let names = entries.map(|entry| Ok(entry?.file_name()));
    names.collect()
}

fn remove(path: &PathBuf) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    removed.with_context(|| cannot("remove", path))
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", workspace::shown(path))
}
