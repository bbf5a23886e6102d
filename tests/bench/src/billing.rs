//! The time that AWS Lambda would charge for a payment, from what its functions were measured to do here.

use std::time::Duration;

use payment3_harness::call::Service;

use crate::payment::Played;
use crate::recording_proxy::Call;
use crate::runs::FunctionRun;
use crate::sandbox::Cost;

/// The memory at which AWS Lambda gives a function one whole processor, in MB; less memory is a smaller share of it.
const WHOLE_PROCESSOR_MB: f64 = 1769.0;
/// What AWS Lambda charges for one run, in milliseconds, with this much memory: the start of the process, which has a whole
/// processor, and the run, which has its share of one and waits.
///
/// How long the local AWS took for its answers says nothing about AWS: everything outside counts as answering at once, but for
/// the bank, which takes `bank` for an answer. The rest of the waiting, for connections and for the door, counts.
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

/// The time without work, but for what was outside.
fn waiting(cost: Cost, calls: &[&Call]) -> Duration {
    cost.wall
        .saturating_sub(cost.cpu)
        .saturating_sub(endpoints(calls))
}

/// For how long at least one of these calls was on the outside of the doors.
fn endpoints(calls: &[&Call]) -> Duration {
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

/// The same for all functions of a payment.
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

    /// A run whose process was started for it, or was there before.
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
        // More memory than a whole processor's makes nothing quicker that has one thread.
        assert_eq!(at(&works, 3538), 10);
    }

    #[test]
    fn a_start_is_charged_at_a_whole_processor() {
        assert_eq!(at(&run(Some(20), 10, 0), 128), 30);
    }

    #[test]
    fn everything_outside_answers_at_once_but_for_the_bank() {
        let begun = Instant::now();
        let calls = vec![
            call(Service::DynamoDb, begun, 0, 40),
            // Side by side with the one before: together they took 60 ms.
            call(Service::DynamoDb, begun, 20, 60),
            call(Service::Bank, begun, 60, 90),
        ];
        let run = run_of(None, 100, 0, calls);
        assert_eq!(at(&run, 256), 10);
        assert_eq!(billed(&run, Duration::from_millis(300), 256), 310);
    }

    #[test]
    fn what_answers_at_the_start_shortens_the_starts_waiting_alone() {
        let begun = Instant::now();
        let calls = |until| {
            vec![
                call(Service::DynamoDb, begun, 0, until),
                call(Service::DynamoDb, begun, 30, 70),
            ]
        };
        // Of a start's 20 ms, 10 are work.
        assert_eq!(at(&run_of(Some(20), 50, 0, calls(8)), 256), 12 + 10);
        // What is done while something answers is charged all the same.
        assert_eq!(at(&run_of(Some(20), 50, 0, calls(18)), 256), 10 + 10);
    }
}
