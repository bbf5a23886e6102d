//! What was measured, held against the limits.

use std::time::Duration;

use anyhow::Result;
use payment3_model::{KNOWN_USER, NEW_USER, path};

use crate::critical_path::CriticalPath;
use crate::figures::Figures;
use crate::limits::{self, Check, PEAK_KIB, Verdict};
use crate::payment::Flow;
use crate::results::{Conditions, Counts, Measured, Sizes};
use crate::sandbox::DEPLOYED_MB;
use crate::units::{as_f64, mb, megabytes, millis, ratio};

const NOT_THERE: &str = "–";

/// The limits of counts, and of sizes where these were measured.
///
/// # Errors
/// Something was not measured.
pub fn counts(counts: &Counts, sizes: Option<&Sizes>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for line in sizes.into_iter().flat_map(|sizes| size_checks(sizes, None)) {
        verdict.add(line);
    }
    for line in count_checks(counts)? {
        verdict.add(line);
    }
    Ok(verdict)
}

/// Every limit.
///
/// # Errors
/// Something was not measured.
pub fn everything(
    saga: &Measured,
    baseline: &Measured,
    noop: &Figures,
    counts: &Counts,
    sizes: &Sizes,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for line in time_checks(saga, baseline, noop) {
        verdict.add(line);
    }
    for line in size_checks(sizes, Some((saga, baseline, noop))) {
        verdict.add(line);
    }
    for line in count_checks(counts)? {
        verdict.add(line);
    }
    verdict.add(billed_check(saga, baseline)?);
    Ok(verdict)
}

fn worst<'a, T: Ord>(
    functions: impl IntoIterator<Item = &'a Figures>,
    figure: impl Fn(&Figures) -> T,
) -> Option<&'a Figures> {
    functions
        .into_iter()
        .max_by_key(|function| figure(function))
}

fn time_checks(saga: &Measured, baseline: &Measured, noop: &Figures) -> Vec<Check> {
    let mut lines = Vec::new();
    let start = |function: &Figures| function.start_alone.cpu;
    let quickest_baseline = baseline.functions.iter().map(start).min();
    if let (Some(slowest), Some(theirs)) = (worst(&saga.functions, start), quickest_baseline) {
        let ours = start(slowest);
        let line = |limit: f64, than: Duration, at_most: String| Check {
            figure: format!("CPU of a start without connecting, {at_most}"),
            at_most: format!("{} ms", millis(than.mul_f64(limit))),
            measured: format!("{} ms ({})", millis(ours), slowest.function),
            noop: format!(
                "{} ms ({:.1}×)",
                millis(noop.start_alone.cpu),
                ratio(ours, noop.start_alone.cpu)
            ),
            baseline: format!("{} ms (1/{:.0})", millis(theirs), ratio(theirs, ours)),
            holds: ours <= than.mul_f64(limit),
            enforced: false,
        };
        lines.push(line(
            limits::START_TO_NOOP,
            noop.start_alone.cpu,
            "3× the no-op".to_owned(),
        ));
        lines.push(line(
            limits::START_TO_BASELINE,
            theirs,
            "1/50 of the baseline".to_owned(),
        ));
    }
    // Wherever the connection is opened: at the start, or in the event.
    let first = |function: &Figures| function.connecting() + function.first.cpu;
    let connected = |functions: &'_ [Figures]| -> Vec<Figures> {
        let one = functions
            .iter()
            .filter(|function| function.connections == 1);
        one.cloned().collect()
    };
    let ours = connected(&saga.functions);
    // None of the baseline's manages with one.
    let theirs = baseline
        .functions
        .iter()
        .min_by_key(|function| first(function));
    if let Some(slowest) = worst(&ours, first) {
        lines.push(Check {
            figure: "CPU of a first event and its one TLS connection".to_owned(),
            at_most: format!("{:.1} ms", limits::FIRST_EVENT_MS),
            measured: format!("{} ms ({})", millis(first(slowest)), slowest.function),
            noop: format!("{} ms", millis(first(noop))),
            baseline: theirs.map_or(NOT_THERE.to_owned(), |theirs| {
                format!(
                    "{} ms ({}, {} connections)",
                    millis(first(theirs)),
                    theirs.function,
                    theirs.connections
                )
            }),
            holds: first(slowest).as_secs_f64() * 1000.0 <= limits::FIRST_EVENT_MS,
            enforced: false,
        });
    }
    lines
}

fn size_checks(sizes: &Sizes, others: Option<(&Measured, &Measured, &Figures)>) -> Vec<Check> {
    let mut lines = Vec::new();
    let none = || NOT_THERE.to_owned();
    // Short runs and long ones: what a function has after a payment or two, and after many events.
    let long = others.map(|(saga, ..)| &saga.functions);
    let peak = sizes
        .peaks_kib
        .iter()
        .map(|(name, peak)| (*peak, name.as_str()))
        .chain(long.into_iter().flatten().map(|function| {
            let (first, all) = function.peak_kib;
            (first.max(all), function.function.as_str())
        }))
        .max();
    if let Some((kib, function)) = peak {
        let theirs = others.and_then(|(_, baseline, _)| {
            let peaks = baseline
                .functions
                .iter()
                .map(|function| function.peak_kib.1);
            peaks.max()
        });
        lines.push(Check {
            figure: "peak memory, any function".to_owned(),
            at_most: format!("{} MB", mb(PEAK_KIB)),
            measured: format!("{} MB ({function})", mb(kib)),
            noop: others.map_or_else(none, |(.., noop)| format!("{} MB", mb(noop.peak_kib.1))),
            baseline: theirs.map_or_else(none, |kib| format!("{} MB", mb(kib))),
            holds: kib <= PEAK_KIB,
            enforced: true,
        });
    }
    let largest = sizes.programs.iter().max_by_key(|(_, size)| size.zip);
    if let Some((function, size)) = largest {
        lines.push(Check {
            figure: "zip, any function".to_owned(),
            at_most: format!("{} MB", megabytes(limits::ZIP_BYTES)),
            measured: format!("{} MB ({function})", megabytes(size.zip)),
            noop: none(),
            baseline: none(),
            holds: size.zip <= limits::ZIP_BYTES,
            enforced: true,
        });
    }
    lines
}

fn count_checks(counts: &Counts) -> Result<Vec<Check>> {
    let mut lines = Vec::new();
    let none = || NOT_THERE.to_owned();
    let chains = [
        (
            "calls one after the other, callback to answer (warm, own record)",
            CriticalPath::ToAnswer,
        ),
        (
            "calls one after the other, callback to order paid (warm, own record)",
            CriticalPath::ToPaid,
        ),
    ];
    for (figure, chain) in chains {
        let at_most = chain.at_most();
        let calls = counts.critical_path(chain)?.len();
        lines.push(Check {
            figure: figure.to_owned(),
            at_most: at_most.to_string(),
            measured: calls.to_string(),
            noop: none(),
            baseline: none(),
            // None at all would mean that the doors saw nothing.
            holds: (1..=at_most).contains(&calls),
            enforced: true,
        });
    }
    for (figure, amiss) in [
        (
            "connections opened before an event and not used by it",
            &counts.preconnections.unused,
        ),
        (
            "services of AWS that an event itself has to connect to",
            &counts.preconnections.missed,
        ),
    ] {
        let named: Vec<&str> = amiss.iter().map(String::as_str).collect();
        lines.push(Check {
            figure: figure.to_owned(),
            at_most: "0".to_owned(),
            measured: match named[..] {
                [] => "0".to_owned(),
                ref named => format!("{} ({})", named.len(), named.join(", ")),
            },
            noop: none(),
            baseline: none(),
            holds: amiss.is_empty(),
            enforced: true,
        });
    }
    for (played, way) in counts.warm.iter().zip([NEW_USER, KNOWN_USER]) {
        // No state more than the definition's way has: none is entered twice.
        let at_most = path(way).len();
        let states = played.states.len();
        lines.push(Check {
            figure: format!("StateEntered events, {}", played.flow.name()),
            at_most: at_most.to_string(),
            measured: states.to_string(),
            noop: none(),
            baseline: none(),
            holds: (1..=at_most).contains(&states),
            enforced: true,
        });
    }
    Ok(lines)
}

fn billed_check(saga: &Measured, baseline: &Measured) -> Result<Check> {
    let conditions = Conditions {
        flow: Flow::NewUser,
        cold: true,
        bank: Duration::ZERO,
    };
    let billed = |measured: &Measured| measured.billed(conditions, DEPLOYED_MB);
    let (ours, theirs) = (billed(saga)?, billed(baseline)?);
    let ratio = as_f64(ours) / as_f64(theirs);
    Ok(Check {
        figure: format!(
            "billed Lambda time of Flow 1 without AWS's own, all functions cold, {DEPLOYED_MB} MB"
        ),
        at_most: "1/10 of the baseline".to_owned(),
        measured: format!("{ours} ms"),
        noop: NOT_THERE.to_owned(),
        baseline: format!("{theirs} ms (1/{:.1})", 1.0 / ratio),
        holds: ratio <= limits::BILLED_TO_BASELINE,
        enforced: false,
    })
}
