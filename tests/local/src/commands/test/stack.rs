//! The parts that run tests against the local stack.

use anyhow::Result;
use payment3_bank::Dialect;
use payment3_harness::workspace;
use payment3_stack::environment::{Environment, Options};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::process::Tool;
use payment3_stack::provision::Notifications;
use payment3_stack::{prerequisites, progress};

use super::environments::{E2E, Running, Shared, directory, logs, options};
use crate::{browser, clients, schemathesis};

/// How many end-to-end tests run side by side: each mostly waits.
pub(super) const THREADS: &str = "4";
/// The end-to-end tests but for those that are a part of their own.
pub(super) const OTHERS: [&str; 6] = [
    "--skip",
    "dialects::",
    "--skip",
    "hostile::",
    "--skip",
    "races::",
];
/// The table of dialects, printed.
pub(super) const DIALECTS: [&str; 2] = ["dialects::", "--nocapture"];
/// Tells it which cells to try.
pub(super) const DIALECTS_VARIABLE: &str = "PAYMENT3_DIALECTS";
/// The list of forgeries, printed.
pub(super) const FORGERIES: [&str; 2] = ["hostile::", "--nocapture"];
/// The table of races, printed.
pub(super) const RACES: [&str; 2] = ["races::", "--nocapture"];
/// Tells the races how many rounds to run.
pub(super) const ROUNDS_VARIABLE: &str = "PAYMENT3_RACE_ROUNDS";
/// Tells them which of them to run.
pub(super) const RACE_VARIABLE: &str = "PAYMENT3_RACE";

/// Runs the end-to-end tests that `which` picks.
pub(super) async fn e2e(which: &[&str], running: Running) -> Result<()> {
    let arguments = [&["--test-threads", THREADS], which].concat();
    running.tests("e2e", &arguments).shown().await
}

/// Runs the table of dialects: all of it, or those that are named.
pub(super) async fn dialects(which: String, running: Running) -> Result<()> {
    let tests = running.tests("e2e", &DIALECTS);
    tests.env(DIALECTS_VARIABLE, which).shown().await
}

pub(super) fn names_of(dialects: &[Dialect]) -> String {
    let names: Vec<_> = dialects.iter().map(|dialect| dialect.name()).collect();
    names.join(",")
}

/// Runs every race whose name contains `race`, as often as asked.
pub(super) async fn races(rounds: u32, race: String, running: Running) -> Result<()> {
    running
        .tests("e2e", &RACES)
        .env(ROUNDS_VARIABLE, rounds.to_string())
        .env(RACE_VARIABLE, race)
        .shown()
        .await
}

/// Provokes every documented answer, then has schemathesis send what nobody thought of.
pub(super) async fn api(running: Running) -> Result<()> {
    let contract = running.tests("contract", &[]).shown().await;
    let unthought_of = async {
        schemathesis::install(&logs()).await?;
        schemathesis::run(&running.outputs, &directory(E2E).join("api")).await
    };
    progress::every([contract, unthought_of.await])
}

/// Has the merchant's own programs play every flow.
pub(super) async fn real_clients(running: Running) -> Result<()> {
    clients::install(&logs()).await?;
    clients::run(&running.outputs_file).await
}

/// One after the other: they stop and starve what the others need. In an environment of their own: what other tests
/// left open or broken, the runbook's commands would find, too.
pub(super) async fn runbook(interrupt: &mut Interrupt) -> Result<()> {
    // First whether every promise and every command of the page has its test: that needs no environment.
    let page = Tool::cargo()
        .args(["test"])
        .args(workspace::TOGETHER)
        .args(["--test", "runbook", "--", "document::"]);
    interrupt.or(page.shown()).await?;
    let mut own = Shared::new("runbook");
    let tests = |running: Running| async move {
        running
            .tests("runbook", &["--test-threads", "1"])
            .shown()
            .await
    };
    let result = own.run(interrupt, tests).await;
    result.and(own.stop().await)
}

/// Runs the browser tests in an environment as `cargo local up` starts it: the bank notifies by itself.
pub(super) async fn browser(screenshots: bool, interrupt: &mut Interrupt) -> Result<()> {
    let chromium = prerequisites::chromium()?;
    let options = Options {
        notifications: Notifications::Automatic,
        ..options("browser")
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs_file = environment.outputs_file().clone();
    let pictures = screenshots.then(browser::pictures);
    let logs = logs();
    let tests = browser::run(&chromium, &outputs_file, pictures.as_deref(), &logs);
    let result = tokio::select! {
        result = interrupt.or(tests) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    result.and(stopped)
}
