//! What was measured, as tables, and held against the limits.

use std::time::Duration;

use anyhow::Result;
use payment3_model::{KNOWN_USER, NEW_USER, path};
use payment3_harness::call::Service;

use crate::callgrind::Instructions;
use crate::critical_path::CriticalPath;
use crate::figures::Figures;
use crate::lambda::median;
use crate::limits::{self, Line, Verdict};
use crate::measure::{Counts, Manner, Measured, Sizes};
use crate::payment::{Flow, Played};
use crate::table::Table;
use crate::{cost, limits::PEAK_KIB, sandbox::DEPLOYED_MB};

/// The sizes of a function's memory that bills are reckoned for, in MB.
const MEMORY_MB: [u32; 3] = [128, 256, 512];
const NOT_THERE: &str = "–";

/// The limits of counts, and of sizes where these were measured.
///
/// # Errors
/// Something was not measured.
pub fn counts(counts: &Counts, sizes: Option<&Sizes>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for line in sizes.into_iter().flat_map(|sizes| size_lines(sizes, None)) {
        verdict.add(line);
    }
    for line in count_lines(counts)? {
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
    for line in time_lines(saga, baseline, noop) {
        verdict.add(line);
    }
    for line in size_lines(sizes, Some((saga, baseline, noop))) {
        verdict.add(line);
    }
    for line in count_lines(counts)? {
        verdict.add(line);
    }
    verdict.add(billed_line(saga, baseline)?);
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

fn time_lines(saga: &Measured, baseline: &Measured, noop: &Figures) -> Vec<Line> {
    let mut lines = Vec::new();
    let start = |function: &Figures| function.start_alone.cpu;
    let quickest_baseline = baseline.functions.iter().map(start).min();
    if let (Some(slowest), Some(theirs)) = (worst(&saga.functions, start), quickest_baseline) {
        let ours = start(slowest);
        let line = |limit: f64, than: Duration, at_most: String| Line {
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
            judged: false,
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
        lines.push(Line {
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
            judged: false,
        });
    }
    lines
}

fn size_lines(sizes: &Sizes, others: Option<(&Measured, &Measured, &Figures)>) -> Vec<Line> {
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
        lines.push(Line {
            figure: "peak memory, any function".to_owned(),
            at_most: format!("{} MB", mb(PEAK_KIB)),
            measured: format!("{} MB ({function})", mb(kib)),
            noop: others.map_or_else(none, |(.., noop)| format!("{} MB", mb(noop.peak_kib.1))),
            baseline: theirs.map_or_else(none, |kib| format!("{} MB", mb(kib))),
            holds: kib <= PEAK_KIB,
            judged: true,
        });
    }
    let largest = sizes.programs.iter().max_by_key(|(_, size)| size.zip);
    if let Some((function, size)) = largest {
        lines.push(Line {
            figure: "zip, any function".to_owned(),
            at_most: format!("{} MB", megabytes(limits::ZIP_BYTES)),
            measured: format!("{} MB ({function})", megabytes(size.zip)),
            noop: none(),
            baseline: none(),
            holds: size.zip <= limits::ZIP_BYTES,
            judged: true,
        });
    }
    lines
}

fn count_lines(counts: &Counts) -> Result<Vec<Line>> {
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
        let calls = counts.chain(chain)?.len();
        lines.push(Line {
            figure: figure.to_owned(),
            at_most: at_most.to_string(),
            measured: calls.to_string(),
            noop: none(),
            baseline: none(),
            // None at all would mean that the doors saw nothing.
            holds: (1..=at_most).contains(&calls),
            judged: true,
        });
    }
    for (figure, amiss) in [
        (
            "connections opened before an event and not used by it",
            &counts.openings.unused,
        ),
        (
            "services of AWS that an event itself has to connect to",
            &counts.openings.missed,
        ),
    ] {
        let named: Vec<&str> = amiss.iter().map(String::as_str).collect();
        lines.push(Line {
            figure: figure.to_owned(),
            at_most: "0".to_owned(),
            measured: match named[..] {
                [] => "0".to_owned(),
                ref named => format!("{} ({})", named.len(), named.join(", ")),
            },
            noop: none(),
            baseline: none(),
            holds: amiss.is_empty(),
            judged: true,
        });
    }
    for (played, way) in counts.warm.iter().zip([NEW_USER, KNOWN_USER]) {
        // No state more than the definition's way has: none is entered twice.
        let at_most = path(way).len();
        let states = played.states.len();
        lines.push(Line {
            figure: format!("StateEntered events, {}", played.flow.name()),
            at_most: at_most.to_string(),
            measured: states.to_string(),
            noop: none(),
            baseline: none(),
            holds: (1..=at_most).contains(&states),
            judged: true,
        });
    }
    Ok(lines)
}

fn billed_line(saga: &Measured, baseline: &Measured) -> Result<Line> {
    let billed =
        |measured: &Measured| billed(measured, Flow::NewUser, true, Duration::ZERO, DEPLOYED_MB);
    let (ours, theirs) = (billed(saga)?, billed(baseline)?);
    let ratio = as_f64(ours) / as_f64(theirs);
    Ok(Line {
        figure: format!(
            "billed Lambda time of Flow 1 without AWS's own, all functions cold, {DEPLOYED_MB} MB"
        ),
        at_most: "1/10 of the baseline".to_owned(),
        measured: format!("{ours} ms"),
        noop: NOT_THERE.to_owned(),
        baseline: format!("{theirs} ms (1/{:.1})", 1.0 / ratio),
        holds: ratio <= limits::BILLED_TO_BASELINE,
        judged: false,
    })
}

fn billed(measured: &Measured, flow: Flow, cold: bool, bank: Duration, mb: u32) -> Result<u64> {
    let played = measured.payments.get(&Manner { flow, cold, bank });
    let played: &[Played] = played.map_or(&[], Vec::as_slice);
    median(
        played
            .iter()
            .map(|played| cost::billed_payment(played, bank, mb)),
    )
}

/// Prints what each function costs by itself.
pub fn print_functions(saga: &Measured, baseline: &Measured, noop: &Figures) {
    let functions = std::iter::once(noop).chain(&saga.functions);
    println!("\n### Each function by itself\n");
    println!("{}", functions_table(functions, noop));
    println!("### The baseline's functions\n");
    println!("{}", functions_table(&baseline.functions, noop));
}

/// Prints the instructions, where they were counted, and what whole payments cost.
///
/// # Errors
/// A price is missing.
pub fn print_payments(
    saga: &Measured,
    baseline: &Measured,
    instructions: Option<&[Instructions]>,
) -> Result<()> {
    match instructions {
        Some(instructions) => println!("### Instructions\n\n{}", instructions_table(instructions)),
        None => println!("Instructions were not counted: valgrind is not installed.\n"),
    }
    println!("### Whole payments\n");
    println!("{}", payments_table(saga, baseline)?);
    Ok(())
}

fn functions_table<'a>(functions: impl IntoIterator<Item = &'a Figures>, noop: &Figures) -> Table {
    let mut table = Table::new([
        "function",
        "start, CPU ms",
        "× no-op",
        "connecting, CPU ms",
        "both ms",
        "first, CPU ms",
        "first ms",
        "TLS",
        "later, CPU ms",
        "p50 ms",
        "p99 ms",
        "peak MB, first",
        "peak MB, all",
        "calls, first event",
        "calls, later event",
    ]);
    for function in functions {
        table.row([
            function.function.clone(),
            millis(function.start_alone.cpu),
            format!(
                "{:.1}",
                ratio(function.start_alone.cpu, noop.start_alone.cpu)
            ),
            millis(function.connecting()),
            millis(function.start.wall),
            millis(function.first.cpu),
            millis(function.first.wall),
            function.connections.to_string(),
            millis(function.later.cpu),
            millis(function.later.wall),
            millis(function.later_p99),
            mb(function.peak_kib.0),
            mb(function.peak_kib.1),
            in_short(&function.first_calls),
            in_short(&function.later_calls),
        ]);
    }
    table
}

fn instructions_table(instructions: &[Instructions]) -> Table {
    let mut table = Table::new([
        "function",
        "start and connecting, M",
        "first event, M",
        "later event, M",
    ]);
    for counted in instructions {
        table.row([
            counted.function.clone(),
            format!("{:.2}", counted.start),
            format!("{:.2}", counted.first),
            format!("{:.2}", counted.later),
        ]);
    }
    table
}

fn payments_table(saga: &Measured, baseline: &Measured) -> Result<Table> {
    let mut table = Table::new([
        "payment",
        "states",
        "runs",
        "AWS calls",
        "bank calls",
        "items written",
        "128 MB, ms",
        "256 MB, ms",
        "512 MB, ms",
        "US$ per million",
    ]);
    for (name, measured) in [("saga", saga), ("baseline", baseline)] {
        for (manner, played) in &measured.payments {
            let Some(first) = played.first() else {
                continue;
            };
            let cold = if manner.cold { "cold" } else { "warm" };
            let mut cells = vec![
                format!(
                    "{name}, {}, {cold}, bank {} ms",
                    manner.flow.name(),
                    manner.bank.as_millis()
                ),
                first.states.len().to_string(),
                first.steps.len().to_string(),
                first
                    .calls_to(|service| !matches!(service, Service::Bank | Service::Shop))
                    .to_string(),
                first
                    .calls_to(|service| service == Service::Bank)
                    .to_string(),
                first.writes().items().to_string(),
            ];
            for mb in MEMORY_MB {
                let billed = billed(measured, manner.flow, manner.cold, manner.bank, mb)?;
                cells.push(billed.to_string());
            }
            let cents = played
                .iter()
                .map(|played| cost::price_per_million(played, manner.bank, DEPLOYED_MB))
                .map(|price| Ok((price? * 100.0).round() as u64))
                .collect::<Result<Vec<_>>>()?;
            cells.push(format!("{:.2}", as_f64(median(cents)?) / 100.0));
            table.row(cells);
        }
    }
    Ok(table)
}

/// Prints the sizes of programs, archives and memory.
pub fn print_sizes(sizes: &Sizes) {
    println!("\n### Sizes\n");
    let mut table = Table::new(["function", "program MB", "zip MB", "peak MB in payments"]);
    for (function, size) in &sizes.programs {
        let peak = sizes.peaks_kib.get(function).copied().unwrap_or_default();
        table.row([
            function.clone(),
            megabytes(size.binary),
            megabytes(size.zip),
            mb(peak),
        ]);
    }
    println!("{table}");
}

/// Prints the calls that follow each other.
///
/// # Errors
/// Something was not measured.
pub fn print_counts(counts: &Counts) -> Result<()> {
    for (chain, what) in [
        (CriticalPath::ToAnswer, "From the callback to its answer"),
        (CriticalPath::ToPaid, "From the callback to the paid order"),
    ] {
        println!("{what}, one call after the other:");
        for (place, call) in counts.chain(chain)?.iter().enumerate() {
            println!("  {}. {call}", place + 1);
        }
        println!("There must be, whoever makes them:");
        for (place, (call, why)) in chain.lower_bound().iter().enumerate() {
            println!("  {}. {call} ({why})", place + 1);
        }
        println!();
    }
    Ok(())
}

/// Names, with how often each follows itself.
fn in_short(names: &[String]) -> String {
    let runs = names.chunk_by(|one, other| one == other);
    let shown = runs.map(|run| match run {
        [name] => name.clone(),
        _ => format!("{}× {}", run.len(), run[0]),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 100.0 {
        format!("{millis:.2}")
    } else {
        format!("{millis:.0}")
    }
}

/// The kernel's KiB as megabytes.
pub(crate) fn mb(kib: u64) -> String {
    format!("{:.1}", as_f64(kib) * 1.024 / 1000.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2}", as_f64(bytes) / 1_000_000.0)
}

fn as_f64(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
