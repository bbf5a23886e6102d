//! What came of each part of the tests. A part that fails keeps no other from running; only an interruption does.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use payment3_stack::interrupt::Interrupted;
use serde::{Deserialize, Serialize};

use crate::cli::Part;
use crate::processor;
use payment3_harness::workspace;

/// What came of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// The part.
    pub(super) part: Part,
    /// It found nothing wrong.
    pub(super) passed: bool,
    /// How long it took.
    pub(super) took: Duration,
    /// What it used of the processors. An environment that outlives its part counts as long as the part runs.
    pub(super) processor: Duration,
}

/// What came of all of them so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Verdicts {
    done: Vec<Verdict>,
    /// What went wrong outside of a part.
    besides: Vec<String>,
    interrupted: bool,
}

impl Verdicts {
    /// Runs one part after the other, also after one that failed, and prints its error. An interruption ends this early.
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

    /// Adds what came of parts that ran elsewhere, or what kept them from being over.
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

    /// Adds what is no part, but must not fail either.
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

    /// Writes them for whoever started this command.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("verdicts are plain JSON")?;
        std::fs::write(file, text)
            .with_context(|| format!("cannot write {}", workspace::shown(file)))
    }

    /// Reads what another command has written.
    ///
    /// # Errors
    /// There is no such file, or it holds something else.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", workspace::shown(file)))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not as expected", workspace::shown(file)))
    }

    /// One line for each of these parts: how it ended, how long it took, and what it used of the processors.
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
    /// One failed or did not run, or something besides them failed. Each is named, with the command that runs it alone.
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
                // Everybody knows why.
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
    async fn a_part_that_fails_keeps_no_other_from_running() {
        let (verdicts, ran) = run(failing(&[Part::Format])).await;
        assert_eq!(ran, PARTS);
        let passed: Vec<_> = verdicts.done.iter().map(|verdict| verdict.passed).collect();
        assert_eq!(passed, [false, true, true]);
    }

    #[tokio::test]
    async fn an_interruption_keeps_the_others_from_running() {
        let interrupted = |_| Err(anyhow::Error::new(Interrupted).context("a test failed"));
        let (verdicts, ran) = run(interrupted).await;
        assert_eq!(ran, [Part::Format]);
        assert!(verdicts.interrupted());
        assert!(verdicts.table(&PARTS).contains("format       not finished"));
        let error = verdicts.all_passed(&PARTS).expect_err("interrupted");
        assert_eq!(error.to_string(), "interrupted");
    }

    #[tokio::test]
    async fn the_end_names_every_part_that_failed_and_how_to_run_it_alone() {
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
    async fn what_passed_in_part_did_not_pass() {
        let (mut verdicts, _) = run(failing(&[])).await;
        assert!(verdicts.all_passed(&PARTS).is_ok());
        // One that runs elsewhere and never said how it ended.
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
