//! Whether the simulator can fail: each of the [ways to break the system](payment3_harness::breaks) is built in a copy of
//! the sources, and the copy's own simulator must find it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use payment3_harness::broken_copy::Break;
use payment3_harness::{breaks, workspace};
use serde::{Deserialize, Serialize};

use crate::run::{Options, run};

/// How far the starts of the searches for one break are apart.
const BETWEEN_STARTS: usize = 100_000;
/// For how long a search goes on at most, in processor time.
const SEARCHES_FOR: Duration = Duration::from_secs(120);

/// What a search from one start came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// The seed that failed, if one did.
    pub seed: Option<u64>,
    /// What it found.
    pub findings: Vec<String>,
    /// How many payments were played.
    pub payments: usize,
    /// How much processor time they took, in seconds.
    pub processor_seconds: f64,
}

/// Breaks the system in every way whose name contains this text, and searches for each, so many times and for so much
/// processor time at most: what is found may hang on luck. The sound system must pass each seed that finds a break. What
/// most of the searches do not find is looked for in what every run of the tests does besides: the answers, the cells of
/// the fault matrix, and the simulator's own tests. Prints a table. `false` where one is not found.
///
/// # Errors
/// A copy cannot be made or built, its simulator does not run, or a seed fails without the break, too: told after all
/// others.
pub fn search(named: &str, searches: usize, within: Option<Duration>) -> Result<bool> {
    let within = within.unwrap_or(SEARCHES_FOR);
    let chosen: Vec<_> = breaks::ALL
        .into_iter()
        .filter(|broken| broken.name.contains(named))
        .collect();
    ensure!(!chosen.is_empty(), "no break has `{named}` in its name");
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for broken in chosen {
        println!("Broken on purpose: {}", broken.name);
        // One that does not fit any more must not hide what became of the others.
        match Row::of(broken, searches, within) {
            Ok(row) => {
                println!("  {row}");
                rows.push(row);
            }
            Err(error) => errors.push(format!("{}: {error:#}", broken.name)),
        }
    }
    println!(
        "\n| broken on purpose | found | seed | seconds of processor time until found | payments |"
    );
    println!("|---|---|---|---|---|");
    for row in &rows {
        println!("{}", row.in_table());
    }
    let missed = rows.iter().filter(|row| !row.is_found()).count();
    println!("\n{} of {} are found.", rows.len() - missed, rows.len());
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(missed == 0)
}

/// A break, and what the searches for it came to.
struct Row {
    name: &'static str,
    searches: Vec<Search>,
    /// What else finds it, where the searches did not: the first answer that is another one, the first of the cells, or
    /// the first of the simulator's own tests.
    elsewhere: Option<String>,
    /// The command that plays the smallest failing run again, in the copy.
    command: Option<String>,
}

impl Row {
    fn of(broken: &'static Break, times: usize, within: Duration) -> Result<Self> {
        let simulator = build(broken)?;
        let mut searches = Vec::new();
        let limit = format!("{}s", within.as_secs());
        for start in (1..).step_by(BETWEEN_STARTS).take(times) {
            let start = u64::to_string(&start);
            let printed = printed(&simulator, &["--quick", "--for", &limit, "--from", &start])?;
            let search: Search = serde_json::from_str(&printed).context("what a search printed")?;
            if let Some(seed) = search.seed {
                let sound = run(&Options {
                    seed,
                    ..Options::default()
                })?;
                ensure!(
                    sound.findings.is_empty(),
                    "seed {seed} fails without the break, too: it says nothing of it"
                );
            }
            searches.push(search);
        }
        let elsewhere = match median(&searches) {
            Some(_) => None,
            None => elsewhere(&simulator)?,
        };
        let failed = searches.iter().find_map(|search| search.seed);
        let command = match failed {
            Some(seed) => {
                // The command comes first, and what happened in that run follows.
                let told = printed(&simulator, &["--seed", &seed.to_string(), "--smaller"])?;
                fs::write(traces()?.join(format!("{}.txt", slug(broken.name))), &told)?;
                told.lines().next().map(str::to_owned)
            }
            None => None,
        };
        Ok(Self {
            name: broken.name,
            searches,
            elsewhere,
            command,
        })
    }

    /// The median of the searches: it is found if most of them find it.
    fn median(&self) -> Option<f64> {
        median(&self.searches)
    }

    fn is_found(&self) -> bool {
        self.median().is_some() || self.elsewhere.is_some()
    }

    fn in_table(&self) -> String {
        let each = |shown: &dyn Fn(&Search) -> String| {
            let texts: Vec<_> = self.searches.iter().map(shown).collect();
            texts.join(", ")
        };
        let or_none = |search: &Search, text: String| match search.seed {
            Some(_) => text,
            None => "–".to_owned(),
        };
        format!(
            "| {} | {} | {} | {} | {} |",
            self.name,
            match (self.median(), &self.elsewhere) {
                (Some(seconds), _) => format!("in {seconds:.1} s"),
                (None, Some(elsewhere)) => elsewhere.clone(),
                (None, None) => "**no**".to_owned(),
            },
            each(&|search| {
                let seed = search.seed.map(|seed| seed.to_string());
                or_none(search, seed.unwrap_or_default())
            }),
            each(&|search| or_none(search, format!("{:.1}", search.processor_seconds))),
            each(&|search| search.payments.to_string()),
        )
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.in_table())?;
        let failed = self.searches.iter().find(|search| search.seed.is_some());
        for finding in failed.iter().flat_map(|search| &search.findings).take(3) {
            writeln!(f, "    {finding}")?;
        }
        match (&self.command, self.is_found()) {
            (Some(command), _) => write!(f, "  In the copy: {command}"),
            (None, true) => write!(f, "  In the copy: cargo local test sim"),
            (None, false) => write!(f, "  Not found"),
        }
    }
}

/// The processor time until something was found, of the search in the middle; `None` where most found nothing.
fn median(searches: &[Search]) -> Option<f64> {
    let mut seconds: Vec<_> = searches
        .iter()
        .map(|search| {
            search
                .seed
                .map_or(f64::INFINITY, |_| search.processor_seconds)
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.get(seconds.len() / 2).copied()?;
    middle.is_finite().then_some(middle)
}

/// What finds it that every run of the tests plays besides.
fn elsewhere(simulator: &Path) -> Result<Option<String>> {
    let written = include_str!("../answers.txt");
    if let Some(heading) = first_other(written, &said(simulator, "--answers")?) {
        return Ok(Some(format!("in the answers: {heading}")));
    }
    if let Some(cell) = first_cell(&said(simulator, "--cells")?) {
        return Ok(Some(format!("in the cells: {cell}")));
    }
    let tests = cargo(&["test", "--lib", "--no-fail-fast"])?;
    let test = first_test(&String::from_utf8_lossy(&tests.stdout));
    Ok(test.map(|test| format!("in the test: {test}")))
}

/// What a program says, wherever it says it. That it found something is no error.
fn said(program: &Path, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.context("the broken simulator does not run")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Under which heading the first line stands that differs.
fn first_other<'a>(written: &'a str, said: &str) -> Option<&'a str> {
    let mut heading = "";
    let mut said = said.lines();
    for line in written.lines() {
        heading = line.strip_prefix("# ").unwrap_or(heading);
        if said.next() != Some(line) {
            return Some(heading);
        }
    }
    None
}

/// The name of the first cell that failed, in what the simulator printed of all.
fn first_cell(printed: &str) -> Option<String> {
    // A flow that fails without a fault is an error.
    let lines = printed.lines();
    let mut cells = lines.filter_map(|line| line.trim_start_matches("error: ").strip_prefix('['));
    let (name, _) = cells.next()?.split_once(']')?;
    Some(name.replace(" |", ","))
}

/// The name of the first test that failed, in what `cargo test` printed.
fn first_test(printed: &str) -> Option<String> {
    let mut lines = printed.lines();
    let failed = lines.find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))?;
    Some(failed.replace("::", ", ").replace('_', " "))
}

fn directory() -> PathBuf {
    workspace::local_dir().join("mutants/simulator")
}

/// Where the traces of the smallest failing runs are written.
fn traces() -> Result<PathBuf> {
    let directory = directory().join("traces");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn slug(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

/// Builds the simulator in a broken copy of the sources. Returns the program.
fn build(broken: &Break) -> Result<PathBuf> {
    broken.make(&directory().join("source"))?;
    let built = cargo(&["build", "--bins", "--quiet"])?;
    // Otherwise it is of no interest: a break may leave something unused.
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "the copy does not compile:\n{said}");
    let program = format!("target/simulating/{}", workspace::SIMULATOR);
    Ok(directory().join(program))
}

/// Has cargo do something with the simulator in the copy.
fn cargo(arguments: &[&str]) -> Result<Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(arguments)
        .args(["--profile", "simulating"])
        .args(["--package", workspace::SIMULATOR, "--target-dir"])
        .arg(directory().join("target"))
        .current_dir(directory().join("source"))
        // Two copies differ in one source.
        .env("CARGO_INCREMENTAL", "1")
        .output()
        .context("cargo does not run")
}

/// What a program prints. That it found something is no error.
fn printed(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} does not run", workspace::shown(program)))?;
    String::from_utf8(output.stdout).context("what it printed is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_named_that_failed_and_nothing_where_none_did() {
        let failed = "[refund: part | void: POST | lost]: two refunds\n3384 cells, 1 failed\n";
        let name = first_cell(failed);
        assert_eq!(name.as_deref(), Some("refund: part, void: POST, lost"));
        let without = first_cell("error: [two cards | no fault]: it is open\n");
        assert_eq!(without.as_deref(), Some("two cards, no fault"));
        assert_eq!(first_cell("3384 cells, 0 failed\n"), None);
    }

    #[test]
    fn a_test_is_named_that_failed() {
        let printed = "test time::passes ... ok\ntest dynamodb::no_charge ... FAILED\n";
        assert_eq!(first_test(printed).as_deref(), Some("dynamodb, no charge"));
        assert_eq!(first_test("test time::passes ... ok\n"), None);
    }

    #[test]
    fn an_answer_is_named_by_its_heading() {
        let written = "# Forms\n\na: 200\n\n# Refunds\n\nb: done\n";
        assert_eq!(first_other(written, written), None);
        let other = written.replace("done", "refused");
        assert_eq!(first_other(written, &other), Some("Refunds"));
        assert_eq!(
            first_other(written, "error: it does not end\n"),
            Some("Forms")
        );
    }

    #[test]
    fn a_break_is_found_if_most_searches_find_it() {
        let search = |seconds: Option<f64>| Search {
            seed: seconds.map(|_| 7),
            findings: Vec::new(),
            payments: 1,
            processor_seconds: seconds.unwrap_or(120.0),
        };
        for (seconds, expected) in [
            ([Some(3.0), Some(1.0), Some(2.0)], Some(2.0)),
            ([Some(3.0), None, Some(2.0)], Some(3.0)),
            ([None, None, Some(2.0)], None),
        ] {
            let searches: Vec<_> = seconds.map(search).into();
            assert_eq!(median(&searches), expected);
        }
    }
}
