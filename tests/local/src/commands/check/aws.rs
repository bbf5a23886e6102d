//! Asks AWS, by the AWS command line: it finds the credentials, the region and the address as every person's commands do.

use std::path::PathBuf;
use std::process::Stdio;

use futures_util::StreamExt;
use futures_util::stream;
use payment3_stack::python;
use serde_json::Value;
use tokio::process::Command;

/// How many commands run at the same time: each is a process that works for half a second.
const AT_ONCE: usize = 4;

/// Why AWS did not answer a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What was asked about is not there.
    Gone,
    /// These credentials may not ask.
    Denied,
    /// This AWS does not serve the question.
    Unserved,
    /// Anything else: the command's own words.
    Broken(String),
}

/// What AWS said.
pub(super) type Answer = Result<Value, Refusal>;

/// The AWS command line.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    program: PathBuf,
}

impl Aws {
    /// The one on the path, else the one that `cargo local` installs.
    pub(super) fn find() -> Self {
        let name = PathBuf::from("aws");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let known = std::env::split_paths(&path).any(|directory| directory.join(&name).is_file());
        let program = if known { name } else { python::aws() };
        Self { program }
    }

    /// Asks one question, such as `["lambda", "get-account-settings"]`.
    pub(super) async fn ask<S: AsRef<str>>(&self, question: &[S]) -> Answer {
        let mut command = Command::new(&self.program);
        command
            .args(question.iter().map(AsRef::as_ref))
            .args(["--output", "json"])
            .env("AWS_PAGER", "")
            .stdin(Stdio::null());
        // Version 1 of the command line reads only this one.
        if let (Some(region), None) = (
            std::env::var_os("AWS_REGION"),
            std::env::var_os("AWS_DEFAULT_REGION"),
        ) {
            command.env("AWS_DEFAULT_REGION", region);
        }
        let output = command.output().await.map_err(|error| {
            Refusal::Broken(format!(
                "the AWS command line (`aws`) does not run: {error}. Install it"
            ))
        })?;
        if !output.status.success() {
            return Err(refusal(&String::from_utf8_lossy(&output.stderr)));
        }
        // Some answers are empty. What cannot be read is not repeated: it may be a secret's value.
        match output.stdout.trim_ascii() {
            [] => Ok(Value::Null),
            text => serde_json::from_slice(text)
                .map_err(|_| Refusal::Broken("its answer is not JSON".to_owned())),
        }
    }

    /// Asks many, some at a time. The answers have the order of the questions.
    pub(super) async fn ask_all(&self, questions: &[Vec<String>]) -> Vec<Answer> {
        stream::iter(questions.iter().map(|question| self.ask(question)))
            .buffered(AT_ONCE)
            .collect()
            .await
    }
}

/// What the command line's error means. It names the error's code in parentheses.
fn refusal(stderr: &str) -> Refusal {
    let said = stderr.trim();
    let code = said
        .split_once("An error occurred (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map_or("", |(code, _)| code);
    let is = |words: &[&str]| words.iter().any(|word| code.contains(word));
    if is(&["NotFound", "DoesNotExist", "NotExist", "NoSuch"]) {
        Refusal::Gone
    } else if is(&["AccessDenied", "Unauthorized", "AuthorizationError"]) {
        Refusal::Denied
    } else if is(&[
        "UnknownOperation",
        "InvalidAction",
        "NotImplemented",
        "UnsupportedOperation",
    ]) {
        Refusal::Unserved
    } else {
        let last = said.lines().last().unwrap_or("it fails without a word");
        Refusal::Broken(last.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let of = |code: &str| {
            refusal(&format!(
                "\naws: [ERROR]: An error occurred ({code}) when calling the X operation: no\n"
            ))
        };
        for code in ["ResourceNotFoundException", "StateMachineDoesNotExist"] {
            assert_eq!(of(code), Refusal::Gone, "{code}");
        }
        for code in [
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
        ] {
            assert_eq!(of(code), Refusal::Denied, "{code}");
        }
        for code in ["InvalidAction", "UnknownOperationException"] {
            assert_eq!(of(code), Refusal::Unserved, "{code}");
        }
        let Refusal::Broken(words) = of("ThrottlingException") else {
            panic!("{:?}", of("ThrottlingException"));
        };
        assert!(words.contains("ThrottlingException"), "{words}");
        let no_credentials = "\nUnable to locate credentials. You can configure credentials\n";
        assert!(
            matches!(refusal(no_credentials), Refusal::Broken(words) if words.contains("credentials"))
        );
    }
}
