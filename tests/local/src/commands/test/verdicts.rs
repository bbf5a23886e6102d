//! The result of each part of the tests. A failed part does not stop the other parts; only an interruption does.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use payment3_stack::interrupt::Interrupted;
use serde::{Deserialize, Serialize};

use crate::cli::Part;
use crate::processor;
use payment3_harness::workspace;

/// The result of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// The part.
    pub(super) part: Part,
    /// Whether it passed.
    pub(super) passed: bool,
    /// How long it took.
    pub(super) took: Duration,
    /// The processor time that it used. An environment that several parts use counts for the part that is running.
    pub(super) processor: Duration,
}

/// The results of all parts so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Verdicts {
    done: Vec<Verdict>,
    /// Errors outside of a part.
    besides: Vec<String>,
    interrupted: bool,
}

impl Verdicts {
    /// Runs the parts one after the other, and prints their errors. A failed part does not stop the next one; an
    /// interruption does.
    pub(super) async fn run(
        &mut self,
        parts: &[Part],
        mut run: impl AsyncFnMut(Part) -> Result<()>,
    ) {
        for &part in parts {
            let (start, used) = (Instant::now(), processor::time());
            let result = run(part).await;
            let passed = result.is_ok();
            self.note(result);
            if self.interrupted {
                return;
            }
            self.done.push(Verdict {
                part,
                passed,
                took: start.elapsed(),
                processor: processor::time().saturating_sub(used),
            });
        }
    }

    /// Whether an interruption ended it early.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Adds the results of parts that ran in another process, or the error of that process.
    pub(super) fn add(&mut self, others: Result<Self>) {
        match others {
            Ok(others) => {
                self.done.extend(others.done);
                self.besides.extend(others.besides);
                self.interrupted |= others.interrupted;
            }
            Err(error) => self.besides(Err(error)),
        }
    }

    /// Adds the result of something that is not a part, but must not fail either.
    pub(super) fn besides(&mut self, result: Result<()>) {
        if let Err(error) = &result {
            self.besides.push(format!("{error:#}"));
        }
        self.note(result);
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            eprintln!("error: {error:#}");
            self.interrupted |= error.is::<Interrupted>();
        }
    }

    /// Writes the results to a file, for the command that started this one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("verdicts are plain JSON")?;
        std::fs::write(file, text)
            .with_context(|| format!("cannot write {}", workspace::shown(file)))
    }

    /// Reads the results that another command has written.
    ///
    /// # Errors
    /// There is no such file, or it contains something else.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", workspace::shown(file)))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not as expected", workspace::shown(file)))
    }

    /// One line for each of these parts: its result, its duration, and its processor time.
    pub(super) fn table(&self, parts: &[Part]) -> String {
        let names: Vec<String> = parts.iter().map(Part::to_string).collect();
        let width = names.iter().map(String::len).max().unwrap_or_default();
        let line = |(&part, name): (&Part, &String)| match self.of(part) {
            Some(verdict) => {
                let word = if verdict.passed { "ok" } else { "FAILED" };
                let (took, used) = (verdict.took, verdict.processor);
                format!(
                    "{name:width$} {word:7} {:6.1} s {:6.1} s of processor time\n",
                    took.as_secs_f64(),
                    used.as_secs_f64()
                )
            }
            None => format!("{name:width$} not finished\n"),
        };
        parts.iter().zip(&names).map(line).collect()
    }

    fn of(&self, part: Part) -> Option<&Verdict> {
        self.done.iter().find(|verdict| verdict.part == part)
    }

    /// Whether each of these parts ran and passed.
    ///
    /// # Errors
    /// A part failed or did not run, or there was an error outside of a part. The error names each part, with the
    /// command that runs it alone.
    pub(super) fn all_passed(&self, parts: &[Part]) -> Result<()> {
        let alone = |what: &str, part: &Part| {
            let name = part.to_string();
            format!("  {name} {what}; `cargo local test {name}` runs it alone")
        };
        let mut wrong: Vec<String> = parts
            .iter()
            .filter_map(|part| match self.of(*part) {
                Some(verdict) if verdict.passed => None,
                Some(_) => Some(alone("failed", part)),
                // It did not run because of the interruption, which is reported once.
                None if self.interrupted => None,
                None => Some(alone("did not finish", part)),
            })
            .collect();
        wrong.extend(self.besides.iter().map(|error| format!("  {error}")));
        if self.interrupted {
            bail!("{}", Interrupted);
        }
        match wrong.len() {
            0 => Ok(()),
            _ => bail!("not everything passed:\n{}", wrong.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const PARTS: [Part; 3] = [Part::Format, Part::FaultsShort, Part::Unit];

    async fn run(course: impl Fn(Part) -> Result<()>) -> (Verdicts, Vec<Part>) {
        let mut verdicts = Verdicts::default();
        let mut ran = Vec::new();
        verdicts
            .run(&PARTS, async |part| {
                ran.push(part);
                course(part)
            })
            .await;
        (verdicts, ran)
    }

    fn failing(which: &[Part]) -> impl Fn(Part) -> Result<()> {
        move |part| match which.contains(&part) {
            true => Err(anyhow!("a test failed")),
            false => Ok(()),
        }
    }

    #[tokio::test]
    async fn a_failed_part_does_not_stop_the_others() {
        let (verdicts, ran) = run(failing(&[Part::Format])).await;
        assert_eq!(ran, PARTS);
        let passed: Vec<_> = verdicts.done.iter().map(|verdict| verdict.passed).collect();
        assert_eq!(passed, [false, true, true]);
    }

    #[tokio::test]
    async fn an_interruption_stops_the_others() {
        let interrupted = |_| Err(anyhow::Error::new(Interrupted).context("a test failed"));
        let (verdicts, ran) = run(interrupted).await;
        assert_eq!(ran, [Part::Format]);
        assert!(verdicts.interrupted());
        assert!(verdicts.table(&PARTS).contains("format       not finished"));
        let error = verdicts.all_passed(&PARTS).expect_err("interrupted");
        assert_eq!(error.to_string(), "interrupted");
    }

    #[tokio::test]
    async fn the_error_names_every_failed_part_and_how_to_run_it_alone() {
        let (verdicts, _) = run(failing(&[Part::Format, Part::FaultsShort])).await;
        let error = verdicts.all_passed(&PARTS).expect_err("two failed");
        assert_eq!(
            error.to_string(),
            "not everything passed:\n  format failed; `cargo local test format` runs it alone\n  \
             faults-short failed; `cargo local test faults-short` runs it alone"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_part() {
        let verdict = |part, passed, took, processor| Verdict {
            part,
            passed,
            took: Duration::from_millis(took),
            processor: Duration::from_millis(processor),
        };
        let verdicts = Verdicts {
            done: vec![
                verdict(Part::FaultsShort, false, 84_500, 61_000),
                verdict(Part::Unit, true, 7_000, 13_900),
            ],
            ..Verdicts::default()
        };
        let parts = [Part::FaultsShort, Part::Unit, Part::Model];
        assert_eq!(
            verdicts.table(&parts),
            "faults-short FAILED    84.5 s   61.0 s of processor time\n\
             unit         ok         7.0 s   13.9 s of processor time\n\
             model        not finished\n"
        );
    }

    #[tokio::test]
    async fn the_tests_pass_only_if_everything_passed() {
        let (mut verdicts, _) = run(failing(&[])).await;
        assert!(verdicts.all_passed(&PARTS).is_ok());
        // A part in another process that did not write its result.
        let error = verdicts
            .all_passed(&[Part::Unit, Part::Model])
            .expect_err("the model did not finish");
        assert!(
            error.to_string().contains("model did not finish"),
            "{error}"
        );
        verdicts.besides(Err(anyhow!("the local AWS does not end")));
        let error = verdicts.all_passed(&PARTS).expect_err("it does not end");
        assert!(error.to_string().contains("does not end"), "{error}");
    }
}
