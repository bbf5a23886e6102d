//! The time that AWS Lambda would charge for a payment, from what its functions were measured to do here.

use std::time::Duration;

use payment3_harness::call::Service;

use crate::payment::Played;
use crate::recording_proxy::Call;
use crate::runs::FunctionRun;
use crate::sandbox::Cost;

/// The memory at which AWS Lambda gives a function one whole processor, in MB. With less memory it gets a smaller
/// share.
const WHOLE_PROCESSOR_MB: f64 = 1769.0;
/// The time that AWS Lambda charges for one run with this much memory, in milliseconds. A process starts with a whole
/// processor, and runs with its share of one.
///
/// The answers of the local AWS take another time than those of AWS. So every service counts as answering at once,
/// except the bank, which takes `bank` for an answer. The other waiting, for connections and for the proxy, counts.
pub fn billed(run: &FunctionRun, bank: Duration, memory_mb: u32) -> u64 {
    let invocation = &run.invocation;
    let (at_start, calls): (Vec<&Call>, Vec<&Call>) = run
        .calls
        .iter()
        .partition(|call| call.begun < invocation.given);
    let start = invocation.init.unwrap_or_default();
    let asked_the_bank = calls.iter().filter(|call| call.service == Service::Bank);
    let waited = waiting(start, &at_start)
        + waiting(invocation.cost, &calls)
        + bank * u32::try_from(asked_the_bank.count()).unwrap_or(u32::MAX);
    let slower = (WHOLE_PROCESSOR_MB / f64::from(memory_mb)).max(1.0);
    let time = start.cpu + waited + invocation.cost.cpu.mul_f64(slower);
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// The time without work, without the time that calls took.
fn waiting(cost: Cost, calls: &[&Call]) -> Duration {
    cost.wall
        .saturating_sub(cost.cpu)
        .saturating_sub(time_at_services(calls))
}

/// For how long at least one of these calls was at its service.
fn time_at_services(calls: &[&Call]) -> Duration {
    let mut spans: Vec<_> = calls.iter().map(|call| (call.begun, call.ended)).collect();
    spans.sort_unstable();
    let mut sum = Duration::ZERO;
    let mut until = None;
    for (begun, ended) in spans {
        let from = until.map_or(begun, |until| begun.max(until));
        sum += ended.saturating_duration_since(from);
        until = Some(until.map_or(ended, |until| ended.max(until)));
    }
    sum
}

/// The time that AWS Lambda charges for all functions of a payment, in milliseconds.
pub fn billed_payment(played: &Played, bank: Duration, memory_mb: u32) -> u64 {
    played
        .runs
        .iter()
        .map(|run| billed(run, bank, memory_mb))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A run whose process took `start` milliseconds to start, or was running before.
    fn run_of(start: Option<u64>, wall: u64, cpu: u64, calls: Vec<Call>) -> FunctionRun {
        let mut run = FunctionRun::example("notify", start, calls);
        run.invocation.cost = Cost {
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
        };
        run
    }

    fn run(start: Option<u64>, wall: u64, cpu: u64) -> FunctionRun {
        run_of(start, wall, cpu, Vec::new())
    }

    fn call(service: Service, begun: Instant, from: u64, to: u64) -> Call {
        let at = |millis| begun + Duration::from_millis(millis);
        Call::example(service, at(from), at(to))
    }

    fn at(run: &FunctionRun, memory_mb: u32) -> u64 {
        billed(run, Duration::ZERO, memory_mb)
    }

    #[test]
    fn waiting_costs_the_same_at_every_size_and_work_costs_more_at_a_small_one() {
        let waits = run(None, 300, 0);
        assert_eq!((at(&waits, 128), at(&waits, 512)), (300, 300));
        let works = run(None, 10, 10);
        assert_eq!((at(&works, 128), at(&works, 1769)), (139, 10));
        // A second processor makes one thread no quicker.
        assert_eq!(at(&works, 3538), 10);
    }

    #[test]
    fn a_start_is_charged_at_a_whole_processor() {
        assert_eq!(at(&run(Some(20), 10, 0), 128), 30);
    }

    #[test]
    fn every_service_answers_at_once_except_the_bank() {
        let begun = Instant::now();
        let calls = vec![
            call(Service::DynamoDb, begun, 0, 40),
            // It overlaps the one before: together they took 60 ms.
            call(Service::DynamoDb, begun, 20, 60),
            call(Service::Bank, begun, 60, 90),
        ];
        let run = run_of(None, 100, 0, calls);
        assert_eq!(at(&run, 256), 10);
        assert_eq!(billed(&run, Duration::from_millis(300), 256), 310);
    }

    #[test]
    fn a_call_during_the_start_shortens_only_the_waiting_of_the_start() {
        let begun = Instant::now();
        let calls = |until| {
            vec![
                call(Service::DynamoDb, begun, 0, until),
                call(Service::DynamoDb, begun, 30, 70),
            ]
        };
        // Of a start's 20 ms, 10 are work.
        assert_eq!(at(&run_of(Some(20), 50, 0, calls(8)), 256), 12 + 10);
        // Work is charged, even while a service answers.
        assert_eq!(at(&run_of(Some(20), 50, 0, calls(18)), 256), 10 + 10);
    }
}
