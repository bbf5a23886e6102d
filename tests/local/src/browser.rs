//! The browser tests in `tests/e2e/browser`: Node runs them in a real browser, against a running environment.

use std::path::{Path, PathBuf};

use anyhow::Result;
use payment3_harness::{outputs, workspace};
use payment3_stack::node::BROWSER_TESTS;
use payment3_stack::process::Tool;
use payment3_stack::progress;

/// The environment variable with the browser to start.
const BROWSER_VARIABLE: &str = "PAYMENT3_CHROMIUM";
/// The environment variable with the directory for screenshots. Without it, the tests take none.
const PICTURES_VARIABLE: &str = "PAYMENT3_SCREENSHOTS";
/// The test files, in order. The pages come first, while their lists are short.
const TESTS: [&str; 4] = [
    "pages.test.js",
    "day.test.js",
    "flows.test.js",
    "redirect.test.js",
];
/// The time limit of a test, in milliseconds. It is much longer than a test needs, because the machine may be busy.
const TEST_TIMEOUT: &str = "1200000";

/// The directory of the screenshots for the README and the documents.
pub fn pictures() -> PathBuf {
    workspace::root().join("docs/screenshots")
}

/// Runs all browser tests with `chromium`, against the environment whose outputs are in `outputs_file`. A file that
/// fails does not stop the next one.
///
/// # Errors
/// npm or a test fails.
pub async fn run(
    chromium: &str,
    outputs_file: &Path,
    pictures: Option<&Path>,
    logs: &Path,
) -> Result<()> {
    BROWSER_TESTS.install(logs).await?;
    let mut results = Vec::new();
    for file in TESTS {
        let mut node = Tool::new("node")
            .args([
                "--test",
                "--test-reporter=spec",
                "--test-timeout",
                TEST_TIMEOUT,
                file,
            ])
            .current_dir(BROWSER_TESTS.directory())
            .env(outputs::FILE_VARIABLE, outputs_file)
            .env(BROWSER_VARIABLE, chromium)
            .env_remove(PICTURES_VARIABLE);
        if let Some(directory) = pictures {
            node = node.env(PICTURES_VARIABLE, directory);
        }
        results.push(node.shown().await);
    }
    progress::every(results)
}
