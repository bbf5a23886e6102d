//! Parts of the tests that run in the background, in a separate process.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use tokio::task::JoinHandle;

use super::verdicts::Verdicts;
use crate::cli::{Part, names};

/// Parts that run one after the other in a background process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// The parts.
    pub(super) parts: &'static [Part],
    /// Whether their output is shown at once, and not only at the end.
    pub(super) shown: bool,
    /// Whether they run with low priority.
    pub(super) gently: bool,
}

/// A running background process. Dropping it ends the process; programs that the process started finish their step.
pub(super) struct Running {
    lane: Lane,
    task: JoinHandle<Result<()>>,
}

impl Lane {
    /// Starts the background process: `program` is this program. (`cargo local` would wait for every compilation that
    /// is running.)
    pub(super) fn start(self, program: &Path, arguments: &[String]) -> Running {
        // Remove the results of an earlier run.
        let _ = std::fs::remove_file(self.verdicts());
        let mut command = Tool::new(program).args(["test"]);
        command = command.args(self.parts.iter().map(Part::to_string));
        command = command
            .args(["--verdicts".as_ref(), self.verdicts().as_os_str()])
            .args(arguments);
        if self.gently {
            command = command.gently();
        }
        let (shown, log) = (self.shown, self.log());
        let task = tokio::spawn(async move {
            match shown {
                true => command.shown().await,
                false => command.logged(&log).await,
            }
        });
        Running { lane: self, task }
    }

    fn file(&self, extension: &str) -> PathBuf {
        let first = self.parts.first().map(Part::to_string).unwrap_or_default();
        workspace::local_dir().join(format!("logs/test-{first}.{extension}"))
    }

    fn log(&self) -> PathBuf {
        self.file("log")
    }

    fn verdicts(&self) -> PathBuf {
        self.file("json")
    }
}

impl Running {
    /// Waits for its end, prints the output that was not shown yet, and returns the results.
    ///
    /// # Errors
    /// It did not finish.
    pub(super) async fn end(mut self) -> Result<Verdicts> {
        let parts = names(self.lane.parts);
        if !self.lane.shown && !self.task.is_finished() {
            println!("\nWaiting for {parts}");
        }
        let ended = (&mut self.task)
            .await
            .context("a background task panicked")?;
        if !self.lane.shown {
            let printed = std::fs::read_to_string(self.lane.log()).unwrap_or_default();
            print!("{printed}");
        }
        let verdicts = Verdicts::read(&self.lane.verdicts());
        match (verdicts, ended) {
            // The verdicts explain the failure.
            (Ok(verdicts), Err(_)) if verdicts.all_passed(self.lane.parts).is_err() => Ok(verdicts),
            (Ok(verdicts), Ok(())) => Ok(verdicts),
            (_, Err(error)) | (Err(error), Ok(())) => Err(error.context(parts)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs a shell script in place of the background process, and returns whether all parts passed. The script must
    /// write to `$file`. No real background process has the parts of these tests.
    async fn outcome(script: &str, parts: &'static [Part]) -> Result<()> {
        let name = format!("payment3-lane-{}", payment3_harness::random::digits(12));
        let program = std::env::temp_dir().join(name);
        let text = format!(
            "#!/bin/sh\nwhile [ \"$1\" != --verdicts ]; do shift; done\nfile=$2\n{script}\n"
        );
        // Let another process write the program. While this process has a file open for writing, a child of another
        // test may inherit it, and then the file cannot be executed.
        let write = "printf '%s' \"$1\" > \"$2\" && chmod 700 \"$2\"";
        let written = Command::new("sh")
            .args(["-c", write, "sh", &text])
            .arg(&program)
            .status();
        assert!(written.expect("a shell").success());
        let lane = Lane {
            parts,
            shown: false,
            gently: true,
        };
        let ended = lane.start(&program, &[]).end().await;
        let _ = std::fs::remove_file(program);
        ended?.all_passed(parts)
    }

    /// A script that writes the result of one part.
    fn verdict(part: &str, passed: bool, besides: &str) -> String {
        format!(
            r#"echo '{{"done":[{{"part":"{part}","passed":{passed},"took":{{"secs":2,"nanos":0}},"processor":{{"secs":1,"nanos":0}}}}],"besides":[{besides}],"interrupted":false}}' > "$file""#
        )
    }

    async fn error(script: &str, parts: &'static [Part]) -> String {
        let error = outcome(script, parts).await.expect_err("it failed");
        format!("{error:#}")
    }

    #[tokio::test]
    async fn the_results_are_those_that_the_process_wrote() {
        let script = verdict("Format", true, "");
        assert!(outcome(&script, &[Part::Format]).await.is_ok());
        // The process succeeded, but one part did not run.
        let one_of_two = error(&script, &[Part::Format, Part::Unit]).await;
        assert!(one_of_two.contains("unit did not finish"), "{one_of_two}");

        let script = format!("{}; exit 1", verdict("Format", false, ""));
        let failed = error(&script, &[Part::Format]).await;
        assert!(failed.contains("format failed"), "{failed}");

        let script = format!(
            "{}; exit 1",
            verdict("Format", true, r#""it does not stop""#)
        );
        let besides = error(&script, &[Part::Format]).await;
        assert!(besides.contains("it does not stop"), "{besides}");
    }

    #[tokio::test]
    async fn a_process_that_breaks_off_did_not_pass() {
        let script = verdict("Clippy", true, "");
        assert!(outcome(&script, &[Part::Clippy]).await.is_ok());
        // Results of an earlier run do not count.
        let nothing = error("exit 3", &[Part::Clippy]).await;
        assert!(nothing.contains("clippy"), "{nothing}");
        let script = format!("{script}; exit 3");
        let late = error(&script, &[Part::Clippy]).await;
        assert!(late.contains("exit status: 3"), "{late}");
    }
}
