//! The fuzzer: cargo-fuzz with libFuzzer over the targets of `tests/fuzz`, on the stable toolchain. The code has nothing
//! unsafe for a sanitizer to look at, and the sanitizers alone would need another toolchain.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;
use payment3_stack::cargo_programs::CARGO_FUZZ;
use payment3_stack::process::Tool;

/// The longest input, in bytes: more than the longest body that is read.
const MAX_LENGTH: &str = "-max_len=9000";

/// For how long to search.
#[derive(Debug, Clone, Copy)]
pub struct Minutes(pub u32);

/// The targets to run: the named one, or all of them.
///
/// # Errors
/// There is no such target; the error names those that are.
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

/// Searches for an input that breaks a property of the target. Begins with the committed inputs and with what earlier
/// searches found.
///
/// # Errors
/// It cannot be built, or it found one: then its output above says which, and where the input is.
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

/// Adds to the committed inputs what reaches code that none of them reached: the smallest ones that do.
///
/// # Errors
/// An input cannot be run.
pub async fn keep(target: &str) -> Result<()> {
    fuzzer(target)
        .args([committed(target), found(target)])
        .args(["--"])
        // Which code is reached, not how often.
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

/// The target's program. Without the prefix it could have the name of a function's program: in a build of the whole workspace the
/// one would replace the other.
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
    fn a_target_that_does_not_exist_is_answered_with_those_that_do() {
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
