//! The tables that a measurement prints.

use anyhow::Result;
use payment3_harness::call::Service;

use crate::callgrind::Instructions;
use crate::critical_path::CriticalPath;
use crate::figures::Figures;
use crate::markdown::Table;
use crate::refund::ONE_AFTER_THE_OTHER;
use crate::results::{Counts, Measured, Others, Sizes};
use crate::units::{mb, megabytes, millis, ratio};

/// The sizes of a function's memory that the billed time is computed for, in MB.
const MEMORY_MB: [u32; 3] = [128, 256, 512];

/// Prints what each function costs by itself.
pub fn print_functions(saga: &Measured, others: &Others) {
    let noop = &others.noop;
    let functions = std::iter::once(noop).chain(&saga.functions);
    println!("\n### Each function by itself\n");
    println!("{}", functions_table(functions, noop));
    println!("### The baseline's functions\n");
    println!("{}", functions_table(&others.baseline.functions, noop));
}

/// Prints the instructions, if they were counted.
pub fn print_instructions(instructions: Option<&[Instructions]>) {
    match instructions {
        Some(instructions) => println!("### Instructions\n\n{}", instructions_table(instructions)),
        None => println!("Instructions were not counted: valgrind is not installed.\n"),
    }
}

/// Prints what whole payments cost.
///
/// # Errors
/// No payment was played.
pub fn print_payments(saga: &Measured, others: &Others) -> Result<()> {
    let table = payments_table(saga, &others.baseline)?;
    println!("### Whole payments\n\n{table}");
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
    ]);
    for (name, measured) in [("saga", saga), ("baseline", baseline)] {
        for (conditions, played) in &measured.payments {
            let Some(first) = played.first() else {
                continue;
            };
            let cold = if conditions.cold { "cold" } else { "warm" };
            let mut cells = vec![
                format!(
                    "{name}, {}, {cold}, bank {} ms",
                    conditions.flow.name(),
                    conditions.bank.as_millis()
                ),
                first.states.len().to_string(),
                first.runs.len().to_string(),
                first
                    .calls_to(|service| !matches!(service, Service::Bank | Service::Shop))
                    .to_string(),
                first
                    .calls_to(|service| service == Service::Bank)
                    .to_string(),
                first.items_written().to_string(),
            ];
            for mb in MEMORY_MB {
                cells.push(measured.billed(*conditions, mb)?.to_string());
            }
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
    for (path, what) in [
        (CriticalPath::ToAnswer, "From the callback to its answer"),
        (CriticalPath::ToPaid, "From the callback to the paid order"),
    ] {
        println!("{what}, one call after the other:");
        for (place, call) in counts.critical_path(path)?.iter().enumerate() {
            println!("  {}. {call}", place + 1);
        }
        println!("At least these are needed, whoever makes them:");
        for (place, (call, why)) in path.lower_bound().iter().enumerate() {
            println!("  {}. {call} ({why})", place + 1);
        }
        println!();
    }
    for played in &counts.refunds {
        println!("A {}, one call after the other:", played.way.name());
        for (place, call) in played.calls().iter().enumerate() {
            println!("  {}. {call}", place + 1);
        }
    }
    println!("These are needed for it:");
    for (place, (call, why)) in ONE_AFTER_THE_OTHER.iter().enumerate() {
        println!("  {}. {call} ({why})", place + 1);
    }
    println!();
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
