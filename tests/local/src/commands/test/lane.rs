//! Parts of the tests that run beside others, in a command of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use tokio::task::JoinHandle;

use super::verdicts::Verdicts;
use crate::cli::{Part, names};

/// Parts that run one after the other, beside whatever else runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// The parts.
    pub(super) parts: &'static [Part],
    /// Whether what they print is shown at once, and not in the end.
    pub(super) shown: bool,
    /// Whether they give way to everything else that wants a processor.
    pub(super) gently: bool,
}

/// A lane that runs. When it is dropped, its command is ended; what that had started finishes its step.
pub(super) struct Running {
    lane: Lane,
    task: JoinHandle<Result<()>>,
}

impl Lane {
    /// Starts it: another process of `program`, which is this one, with more arguments. (`cargo local` would wait for every
    /// compilation that is going on.)
    pub(super) fn start(self, program: &Path, arguments: &[String]) -> Running {
        // Of an earlier run.
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
    /// Waits for its end, prints what was not shown, and tells what came of it.
    ///
    /// # Errors
    /// It did not run to its end.
    pub(super) async fn end(mut self) -> Result<Verdicts> {
        let parts = names(self.lane.parts);
        if !self.lane.shown && !self.task.is_finished() {
            println!("\nWaiting for {parts}");
        }
        let ended = (&mut self.task).await.context("a lane broke")?;
        if !self.lane.shown {
            let printed = std::fs::read_to_string(self.lane.log()).unwrap_or_default();
            print!("{printed}");
        }
        let verdicts = Verdicts::read(&self.lane.verdicts());
        match (verdicts, ended) {
            // What failed is told by the verdicts.
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

    /// What is told of a lane, of parts that no true lane has, for which a shell script runs in place of this program. `$file` is where it must write.
    async fn told(script: &str, parts: &'static [Part]) -> Result<()> {
        let name = format!("payment3-lane-{}", payment3_harness::random::digits(12));
        let program = std::env::temp_dir().join(name);
        let text = format!(
            "#!/bin/sh\nwhile [ \"$1\" != --verdicts ]; do shift; done\nfile=$2\n{script}\n"
        );
        // By another process: while this one has a file open for writing, a child that another test starts has it, too, and
        // nobody can run it.
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

    /// What a process writes of one part.
    fn verdict(part: &str, passed: bool, besides: &str) -> String {
        format!(
            r#"echo '{{"done":[{{"part":"{part}","passed":{passed},"took":{{"secs":2,"nanos":0}},"processor":{{"secs":1,"nanos":0}}}}],"besides":[{besides}],"interrupted":false}}' > "$file""#
        )
    }

    async fn error(script: &str, parts: &'static [Part]) -> String {
        let error = told(script, parts).await.expect_err("it failed");
        format!("{error:#}")
    }

    #[tokio::test]
    async fn a_lane_tells_what_its_process_wrote() {
        let script = verdict("Format", true, "");
        assert!(told(&script, &[Part::Format]).await.is_ok());
        // It ended well, but one part did not run.
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
    async fn a_lane_that_breaks_off_did_not_pass_whatever_was_written() {
        let script = verdict("Clippy", true, "");
        assert!(told(&script, &[Part::Clippy]).await.is_ok());
        // Nothing of an earlier run counts.
        let nothing = error("exit 3", &[Part::Clippy]).await;
        assert!(nothing.contains("clippy"), "{nothing}");
        let script = format!("{script}; exit 3");
        let late = error(&script, &[Part::Clippy]).await;
        assert!(late.contains("exit status: 3"), "{late}");
    }
}
