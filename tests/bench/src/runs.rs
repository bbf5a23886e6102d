//! Runs of functions, each with the calls that it made.

#[cfg(test)]
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use payment3_harness::call::Service;
use payment3_harness::peer_process::short_name;

use crate::lambda::Invocation;
use crate::recording_proxy::{CONNECT, Call};
use crate::testbed::Testbed;

/// A function's run in a payment, with what it called.
#[derive(Debug, Clone)]
pub struct FunctionRun {
    /// The function's short name.
    pub function: String,
    /// When it ran, and what it cost.
    pub invocation: Invocation,
    /// What it called, in order.
    pub calls: Vec<Call>,
}

#[cfg(test)]
impl FunctionRun {
    /// A run of a function. Its process took `start` milliseconds to start, half of them on a processor; without
    /// `start` it was running before.
    pub(crate) fn example(function: &str, start: Option<u64>, calls: Vec<Call>) -> Self {
        let begun = calls.first().map_or_else(Instant::now, |call| call.begun);
        let start = start.map(Duration::from_millis);
        let given = begun + start.unwrap_or_default();
        let invocation = Invocation {
            function: format!("payment3-{function}-bench"),
            pid: 1,
            event: axum::body::Bytes::new(),
            init: start.map(|wall| crate::sandbox::Cost {
                wall,
                cpu: wall / 2,
            }),
            cost: crate::sandbox::Cost::default(),
            begun,
            given,
            ended: given,
            memory: crate::memory::Memory {
                peak_kib: 0,
                now_kib: 0,
            },
        };
        Self {
            function: function.to_owned(),
            invocation,
            calls,
        }
    }
}

/// Forgets every run until now.
pub fn discard_runs(testbed: &Testbed) {
    testbed.lambda.take_invocations();
    testbed.proxy.take_calls();
}

/// Every run since the last time, with its calls. A process handles one event at a time, so a call belongs to the run
/// of its process at its time.
///
/// # Errors
/// A call was made while no function ran.
pub fn take_runs(testbed: &Testbed) -> Result<Vec<FunctionRun>> {
    let mut invocations = testbed.lambda.take_invocations();
    let mut calls = testbed.proxy.take_calls();
    invocations.sort_by_key(|invocation| invocation.begun);
    calls.sort_by_key(|call| call.begun);
    let all = calls.len();
    let runs: Vec<FunctionRun> = invocations
        .into_iter()
        .map(|invocation| {
            let during = |call: &&Call| {
                call.pid == invocation.pid
                    && call.begun >= invocation.begun
                    && call.begun <= invocation.ended
            };
            FunctionRun {
                function: short_name(&invocation.function).to_owned(),
                calls: calls.iter().filter(during).cloned().collect(),
                invocation,
            }
        })
        .collect();
    let found: usize = runs.iter().map(|run| run.calls.len()).sum();
    let lost = all - found;
    ensure!(lost == 0, "{lost} calls belong to no run of a function");
    Ok(runs)
}

/// The calls that a payment waits for each time. The bank's key is fetched once in five minutes, and connections are
/// opened before the first event: neither counts.
pub fn latency_calls(calls: &[Call]) -> impl Iterator<Item = &Call> {
    calls
        .iter()
        .filter(|call| call.service != Service::SecretsManager && call.operation != CONNECT)
}
