//! What was measured, held against the limits.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use payment3_model::{KNOWN_USER, Machine, NEW_USER, path};

use crate::critical_path::CriticalPath;
use crate::figures::Figures;
use crate::limits::{self, Check, Verdict};
use crate::payment::Flow;
use crate::refund::ONE_AFTER_THE_OTHER;
use crate::results::{Conditions, Counts, Measured, Others, Sizes};
use crate::sandbox::DEPLOYED_MB;
use crate::units::{as_f64, mb, megabytes, millis, ratio};

/// The limits of counts, and of sizes if these were measured.
///
/// # Errors
/// Something was not measured.
pub fn counts(counts: &Counts, sizes: Option<&Sizes>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    if let Some(sizes) = sizes {
        verdict.add([memory(sizes, None)?, archive(sizes)?]);
    }
    add_counts(counts, &mut verdict)?;
    Ok(verdict)
}

/// Every limit.
///
/// # Errors
/// Something was not measured.
pub fn everything(
    saga: &Measured,
    others: &Others,
    counts: &Counts,
    sizes: &Sizes,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.add(start(saga, others)?);
    verdict.add(first_event(saga, others));
    verdict.add([memory(sizes, Some((saga, others)))?, archive(sizes)?]);
    add_counts(counts, &mut verdict)?;
    verdict.add([billed(saga, &others.baseline)?]);
    Ok(verdict)
}

fn add_counts(counts: &Counts, verdict: &mut Verdict) -> Result<()> {
    verdict.add(critical_paths(counts)?);
    verdict.add(connections(counts));
    verdict.add(states(counts));
    verdict.add(refunds(counts));
    Ok(())
}

/// The slowest start against the no-op's, and against the quickest of the baseline.
fn start(saga: &Measured, others: &Others) -> Result<[Check; 2]> {
    let cpu = |function: &Figures| function.start_alone.cpu;
    let slowest = saga.functions.iter().max_by_key(|function| cpu(function));
    let slowest = slowest.context("no function was measured")?;
    let baseline = others.baseline.functions.iter().map(cpu).min();
    let (baseline, noop) = (
        baseline.context("no baseline was measured")?,
        cpu(&others.noop),
    );
    let ours = cpu(slowest);
    let check = |name: &str, limit: Duration| {
        Check::reported(
            format!("CPU of a start without connecting, {name}"),
            format!("{} ms", millis(limit)),
            format!("{} ms ({})", millis(ours), slowest.function),
            ours <= limit,
        )
        .compared(
            Some(format!("{} ms ({:.1}×)", millis(noop), ratio(ours, noop))),
            Some(format!(
                "{} ms (1/{:.0})",
                millis(baseline),
                ratio(baseline, ours)
            )),
        )
    };
    Ok([
        check("3× the no-op", noop.mul_f64(limits::START_TO_NOOP)),
        check(
            "1/50 of the baseline",
            baseline.mul_f64(limits::START_TO_BASELINE),
        ),
    ])
}

/// The slowest first event among the functions that need one connection. None if no function does.
fn first_event(saga: &Measured, others: &Others) -> Option<Check> {
    // The connection may be opened at the start, or in the event.
    let cpu = |function: &Figures| function.connecting() + function.first.cpu;
    let with_one = saga
        .functions
        .iter()
        .filter(|function| function.connections == 1);
    let slowest = with_one.max_by_key(|function| cpu(function))?;
    // No function of the baseline manages with one.
    let baseline = others
        .baseline
        .functions
        .iter()
        .min_by_key(|function| cpu(function));
    let baseline = baseline.map(|function| {
        format!(
            "{} ms ({}, {} connections)",
            millis(cpu(function)),
            function.function,
            function.connections
        )
    });
    let check = Check::reported(
        "CPU of a first event and its one TLS connection",
        format!("{:.1} ms", limits::FIRST_EVENT_MS),
        format!("{} ms ({})", millis(cpu(slowest)), slowest.function),
        cpu(slowest).as_secs_f64() * 1000.0 <= limits::FIRST_EVENT_MS,
    );
    Some(check.compared(Some(format!("{} ms", millis(cpu(&others.noop)))), baseline))
}

/// The most memory that a function had: after a payment or two, and, if that was measured, after many events.
fn memory(sizes: &Sizes, long_runs: Option<(&Measured, &Others)>) -> Result<Check> {
    let in_payments = sizes
        .peaks_kib
        .iter()
        .map(|(name, peak)| (*peak, name.as_str()));
    let functions = long_runs.into_iter().flat_map(|(saga, _)| &saga.functions);
    let in_long_runs = functions.map(|function| {
        let (first, all) = function.peak_kib;
        (first.max(all), function.function.as_str())
    });
    let (kib, function) = in_payments
        .chain(in_long_runs)
        .max()
        .context("no memory was measured")?;
    let check = Check::enforced(
        "peak memory, any function",
        format!("{} MB", mb(limits::PEAK_KIB)),
        format!("{} MB ({function})", mb(kib)),
        kib <= limits::PEAK_KIB,
    );
    let Some((_, others)) = long_runs else {
        return Ok(check);
    };
    let all = |function: &Figures| function.peak_kib.1;
    let baseline = others.baseline.functions.iter().map(all).max();
    let shown = |kib| format!("{} MB", mb(kib));
    Ok(check.compared(Some(shown(all(&others.noop))), baseline.map(shown)))
}

fn archive(sizes: &Sizes) -> Result<Check> {
    let largest = sizes.programs.iter().max_by_key(|(_, size)| size.zip);
    let (function, size) = largest.context("no size was measured")?;
    Ok(Check::enforced(
        "zip, any function",
        format!("{} MB", megabytes(limits::ZIP_BYTES)),
        format!("{} MB ({function})", megabytes(size.zip)),
        size.zip <= limits::ZIP_BYTES,
    ))
}

fn critical_paths(counts: &Counts) -> Result<[Check; 2]> {
    let check = |to: &str, path: CriticalPath| {
        let at_most = path.at_most();
        let calls = counts.critical_path(path)?.len();
        anyhow::Ok(Check::enforced(
            format!("calls one after the other, callback to {to} (warm, own record)"),
            at_most,
            calls,
            // No call at all means that the proxy saw nothing.
            (1..=at_most).contains(&calls),
        ))
    };
    Ok([
        check("answer", CriticalPath::ToAnswer)?,
        check("order paid", CriticalPath::ToPaid)?,
    ])
}

fn connections(counts: &Counts) -> [Check; 2] {
    let none = |figure: &str, found: &BTreeSet<String>| {
        let named: Vec<&str> = found.iter().map(String::as_str).collect();
        let measured = match named[..] {
            [] => "0".to_owned(),
            ref named => format!("{} ({})", named.len(), named.join(", ")),
        };
        Check::enforced(figure, 0, measured, found.is_empty())
    };
    [
        none(
            "connections opened before an event and not used by it",
            &counts.preconnections.unused,
        ),
        none(
            "services of AWS that an event itself has to connect to",
            &counts.preconnections.missed,
        ),
    ]
}

/// The states that a payment enters, against the path through the definition. No state is entered twice.
fn states(counts: &Counts) -> impl Iterator<Item = Check> {
    let played = counts.warm.iter().zip([NEW_USER, KNOWN_USER]);
    played.map(|(played, way)| {
        let (states, at_most) = (played.states.len(), path(Machine::Payment, way).len());
        Check::enforced(
            format!("StateEntered events, {}", played.flow.name()),
            at_most,
            states,
            (1..=at_most).contains(&states),
        )
    })
}

/// The states and the calls of a refund.
fn refunds(counts: &Counts) -> impl Iterator<Item = Check> {
    counts.refunds.iter().flat_map(|played| {
        let (name, states) = (played.way.name(), played.states.len());
        let at_most = path(Machine::Refund, played.way.decisions()).len();
        let calls = played.calls().len();
        let needed = ONE_AFTER_THE_OTHER.len();
        [
            Check::enforced(
                format!("StateEntered events, {name}"),
                at_most,
                states,
                (1..=at_most).contains(&states),
            ),
            Check::enforced(
                format!("calls, {name} (warm, the first of its payment)"),
                needed,
                calls,
                (1..=needed).contains(&calls),
            ),
        ]
    })
}

/// The billed time of Flow 1 against the baseline's.
fn billed(saga: &Measured, baseline: &Measured) -> Result<Check> {
    let conditions = Conditions {
        flow: Flow::NewUser,
        cold: true,
        bank: Duration::ZERO,
    };
    let ours = saga.billed(conditions, DEPLOYED_MB)?;
    let theirs = baseline.billed(conditions, DEPLOYED_MB)?;
    let ratio = as_f64(ours) / as_f64(theirs);
    let check = Check::reported(
        format!(
            "billed Lambda time of Flow 1 without AWS's own, all functions cold, {DEPLOYED_MB} MB"
        ),
        "1/10 of the baseline",
        format!("{ours} ms"),
        ratio <= limits::BILLED_TO_BASELINE,
    );
    Ok(check.compared(None, Some(format!("{theirs} ms (1/{:.1})", 1.0 / ratio))))
}
