//! Parts of the tests that run beside others, in a command of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use tokio::task::JoinHandle;

use super::test::{name, names};
use super::verdicts::Verdict;
use crate::cli::Part;

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
        command = command.args(self.parts.iter().copied().map(name));
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
        let first = self.parts.first().copied().map(name).unwrap_or_default();
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
    /// Waits for its end, prints what was not shown, and tells what came of each part.
    ///
    /// # Errors
    /// It did not run to its end.
    pub(super) async fn end(mut self) -> Result<Vec<Verdict>> {
        let parts = names(self.lane.parts);
        if !self.task.is_finished() {
            println!("\nWaiting for {parts}");
        }
        let ended = (&mut self.task).await.context("a lane broke")?;
        if !self.lane.shown {
            let printed = std::fs::read_to_string(self.lane.log()).unwrap_or_default();
            print!("{printed}");
        }
        let verdicts = read(&self.lane.verdicts());
        // A part that failed is told by its verdict.
        match (verdicts, ended) {
            (Ok(verdicts), _) => Ok(verdicts),
            (Err(_), Err(error)) => Err(error.context(parts)),
            (Err(error), Ok(())) => Err(error.context(parts)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn read(file: &Path) -> Result<Vec<Verdict>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", workspace::shown(file)))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not as expected", workspace::shown(file)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Runs a lane with a shell script in place of this program. `$file` is where it must write its verdicts.
    async fn end_of(script: &str, lane: Lane) -> Result<Vec<Verdict>> {
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
        let ended = lane.start(&program, &[]).end().await;
        let _ = std::fs::remove_file(program);
        ended
    }

    fn lane(parts: &'static [Part]) -> Lane {
        Lane {
            parts,
            shown: false,
            gently: true,
        }
    }

    #[tokio::test]
    async fn a_lane_tells_what_its_process_wrote_also_when_a_part_failed() {
        let verdict = Verdict {
            part: Part::Format,
            passed: false,
            took: Duration::from_secs(2),
            processor: Duration::from_secs(1),
        };
        let text = serde_json::to_string(&[verdict]).expect("JSON");
        let script = format!("echo '{text}' > \"$file\"; exit 1");
        let told = end_of(&script, lane(&[Part::Format])).await;
        assert_eq!(told.expect("verdicts"), [verdict]);
    }

    #[tokio::test]
    async fn a_lane_that_breaks_off_tells_nothing_of_an_earlier_run() {
        let wrote = end_of("echo '[]' > \"$file\"", lane(&[Part::Asl])).await;
        assert_eq!(wrote.expect("verdicts"), []);
        let error = end_of("exit 3", lane(&[Part::Asl]))
            .await
            .expect_err("it broke off");
        assert!(format!("{error:#}").contains("asl"), "{error:#}");
    }
}
