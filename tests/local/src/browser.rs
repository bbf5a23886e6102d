//! The pages in a real browser: the tests of `tests/e2e/browser`, run by Node against a running environment.

use std::path::{Path, PathBuf};

use anyhow::Result;
use payment3_harness::{outputs, workspace};
use payment3_stack::node::BROWSER_TESTS;
use payment3_stack::process::Tool;
use payment3_stack::progress;

/// Tells the tests which browser to start.
const BROWSER_VARIABLE: &str = "PAYMENT3_CHROMIUM";
/// Tells them where to write pictures of the pages; absent, they write none.
const PICTURES_VARIABLE: &str = "PAYMENT3_SCREENSHOTS";
/// The files, in this order: the pages are looked at while their lists are short.
const TESTS: [&str; 4] = [
    "pages.test.js",
    "day.test.js",
    "flows.test.js",
    "redirect.test.js",
];
/// How long a test may take, in milliseconds: far more than it should, as the machine may be busy.
const NEVER: &str = "1200000";

/// Where the pictures are that the README and the documents show.
pub fn pictures() -> PathBuf {
    workspace::root().join("docs/screenshots")
}

/// Runs every browser test, each file also after one that failed, with `chromium`, against the environment whose outputs are in `outputs_file`.
///
/// # Errors
/// npm fails, or a test.
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
                NEVER,
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
