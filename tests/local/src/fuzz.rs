//! The fuzzer: cargo-fuzz with libFuzzer, for the targets of `tests/fuzz`, on the stable toolchain. It uses no
//! sanitizers: the code has nothing unsafe, and sanitizers would need the nightly toolchain.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;
use payment3_stack::cargo_programs::CARGO_FUZZ;
use payment3_stack::process::Tool;

/// The longest input, in bytes. It is longer than the longest body that is accepted.
const MAX_LENGTH: &str = "-max_len=9000";

/// How long to fuzz a target.
#[derive(Debug, Clone, Copy)]
pub struct Minutes(pub u32);

/// The targets to run: the named one, or all targets.
///
/// # Errors
/// There is no such target. The error lists all targets.
pub fn targets(named: Option<&str>) -> Result<Vec<String>> {
    let inputs = directory().join("corpus");
    let entries = fs::read_dir(&inputs)
        .with_context(|| format!("cannot read {}", workspace::shown(&inputs)))?;
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    match named {
        None => Ok(all),
        Some(name) if all.iter().any(|target| target == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!(
            "there is no target `{name}`: choose one of {}",
            all.join(", ")
        ),
    }
}

/// Searches for an input that breaks a property of the target. It begins with the committed inputs and those that
/// earlier searches found.
///
/// # Errors
/// The fuzzer cannot be built, or it found such an input. Then its output says which property broke, and where the
/// input is.
pub async fn search(target: &str, Minutes(minutes): Minutes) -> Result<()> {
    fs::create_dir_all(found(target)).context("cannot make a directory for what is found")?;
    fuzzer(target)
        .args([found(target), committed(target)])
        .args(["--"])
        .args([MAX_LENGTH, "-timeout=10", "-print_final_stats=1"])
        .args([format!("-max_total_time={}", u64::from(minutes) * 60)])
        .shown()
        .await
}

/// Adds inputs to the committed ones: the smallest inputs that reach code which no committed input reaches.
///
/// # Errors
/// An input cannot be run.
pub async fn keep(target: &str) -> Result<()> {
    fuzzer(target)
        .args([committed(target), found(target)])
        .args(["--"])
        // Compare only which code is reached, not how often.
        .args([MAX_LENGTH, "-set_cover_merge=1", "-use_counters=0"])
        .shown()
        .await
}

fn fuzzer(target: &str) -> Tool {
    Tool::new(CARGO_FUZZ.path())
        .args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir"])
        .args([directory()])
        .args(["--target-dir"])
        .args([workspace::local_dir().join("fuzz")])
        .args([program(target)])
}

/// The program of a target. The prefix avoids a name clash with a function's program: in a build of all packages, one
/// would replace the other.
fn program(target: &str) -> String {
    format!("fuzz_{target}")
}

fn directory() -> PathBuf {
    workspace::root().join("tests/fuzz")
}

fn committed(target: &str) -> PathBuf {
    directory().join("corpus").join(target)
}

fn found(target: &str) -> PathBuf {
    workspace::local_dir().join("fuzz-found").join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_unknown_target_lists_all_targets() {
        let all = targets(None).expect("the committed inputs");
        assert_eq!(targets(Some(&all[0])).expect("it exists"), [all[0].clone()]);
        let error = targets(Some("moneys"))
            .expect_err("no such target")
            .to_string();
        assert!(
            error.contains("moneys") && error.contains(&all.join(", ")),
            "{error}"
        );
    }
}
