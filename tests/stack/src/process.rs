//! Runs other programs. Their output goes to a log file; an error shows its last lines.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;

/// How many lines of a failed program's output the error shows.
const TAIL_LINES: usize = 25;
/// How many bytes from the end of a log are read to find these lines.
const TAIL_BYTES: u64 = 32 * 1024;

/// A program to run, with its arguments, its directory and its environment.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    /// The name of the program in messages, if that is not its path.
    alias: Option<&'static str>,
    arguments: Vec<OsString>,
    directory: PathBuf,
    set: Vec<(OsString, OsString)>,
    removed: Vec<OsString>,
}

impl Tool {
    /// A program that runs in the top directory of the repository.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            alias: None,
            arguments: Vec::new(),
            directory: workspace::root(),
            set: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The cargo that runs this tool, without the variables that `cargo run` sets: some build scripts would treat them
    /// as a change and compile again.
    pub fn cargo() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut tool = Self::new(cargo);
        tool.alias = Some("cargo");
        tool.removed = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| {
                let name = name.to_string_lossy();
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
            })
            .collect();
        tool
    }

    /// Runs it with low priority (`nice`).
    #[must_use]
    pub fn gently(mut self) -> Self {
        let program = std::mem::replace(&mut self.program, "nice".into());
        let words = ["-n".into(), "10".into(), program];
        self.arguments.splice(0..0, words);
        self.alias = None;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Runs in `directory`.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.set
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Removes a variable from the inherited environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.removed.push(name.as_ref().to_owned());
        self
    }

    /// Runs it and writes all its output to `log`, which is overwritten.
    ///
    /// # Errors
    /// The program is missing or fails. The error shows the command, the last lines of its output, and the log's path.
    pub async fn logged(&self, log: &Path) -> Result<()> {
        let output = create_log(log)?;
        let errors = output.try_clone().context("duplicating the log's handle")?;
        let status = self.run(output.into(), errors.into()).await?;
        self.check(status, log)
    }

    /// Runs it and returns its standard output. Standard error goes to `log`, which is overwritten.
    ///
    /// # Errors
    /// As [`Tool::logged`].
    pub async fn captured(&self, log: &Path) -> Result<String> {
        let errors = create_log(log)?;
        let child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| self.cannot_run())?;
        let output = child
            .wait_with_output()
            .await
            .with_context(|| self.cannot_run())?;
        self.check(output.status, log)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and shows its output in the terminal.
    ///
    /// # Errors
    /// The program is missing or fails.
    pub async fn shown(&self) -> Result<()> {
        println!("$ {}", self.line());
        let status = self.run(Stdio::inherit(), Stdio::inherit()).await?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line());
        }
        Ok(())
    }

    /// The command line, as typed in a shell.
    pub fn line(&self) -> String {
        let program = self.alias.map_or(self.program.as_os_str(), OsStr::new);
        std::iter::once(program)
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(|word| quoted(&workspace::shown(Path::new(word))))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            // When a start is interrupted, its installations must not go on in the background.
            .kill_on_drop(true);
        for name in &self.removed {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env(name, value);
        }
        command
    }

    async fn run(&self, output: Stdio, errors: Stdio) -> Result<ExitStatus> {
        self.command()
            .stdout(output)
            .stderr(errors)
            .status()
            .await
            .with_context(|| self.cannot_run())
    }

    fn check(&self, status: ExitStatus, log: &Path) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!(
            "`{}` ended with {status}; its last lines:\n{}\nAll of its output: {}",
            self.line(),
            tail(log),
            workspace::shown(log)
        );
    }

    fn cannot_run(&self) -> String {
        format!("cannot run `{}`", self.line())
    }
}

/// Creates an empty log file, and its directory.
///
/// # Errors
/// The file cannot be created.
pub fn create_log(log: &Path) -> Result<fs::File> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", workspace::shown(directory)))?;
    }
    fs::File::create(log).with_context(|| format!("cannot write {}", workspace::shown(log)))
}

/// The last lines of a log, indented.
pub fn tail(log: &Path) -> String {
    let text = read_end(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    if lines.is_empty() {
        return "    (no output)".to_owned();
    }
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn read_end(log: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_shown_as_typed_in_a_shell() {
        let tool = Tool::new(workspace::venv_dir().join("bin/pip")).args(["install", "a b"]);
        assert_eq!(tool.line(), "target/local/venv/bin/pip install 'a b'");
    }

    #[tokio::test]
    async fn an_error_shows_the_command_the_last_lines_and_the_log() {
        let log = std::env::temp_dir().join(format!("payment3-tool-{}.log", std::process::id()));
        let error = Tool::new("sh")
            .args(["-c", "echo first; echo broken >&2; exit 3"])
            .logged(&log)
            .await
            .expect_err("exit 3 is a failure")
            .to_string();
        assert!(error.contains("`sh -c"), "{error}");
        assert!(error.contains("    broken"), "{error}");
        assert!(error.contains(&log.display().to_string()), "{error}");
        let _ = fs::remove_file(log);
    }
}
