//! `cargo local executions`.

use anyhow::{Result, anyhow};
use payment3_harness::aws::Aws;
use payment3_harness::executions::{ExecutionReport, seconds};
use payment3_harness::outputs::Outputs;
use payment3_harness::overview::{Line, Overview, Wish};
use serde::Serialize;

use super::{path, watch};
use crate::cli;

/// Lists the executions, or shows one.
///
/// # Errors
/// No environment is running, or there is no such execution.
pub async fn run(arguments: cli::Executions) -> Result<()> {
    let outputs = Outputs::of_running(&Outputs::file()).await?;
    let aws = Aws::at(&outputs.aws_endpoint);
    let overview = Overview::of(&aws, &outputs);
    match &arguments.name {
        _ if arguments.watch => watch::run(&overview, &arguments).await,
        Some(name) => show(&overview, name, arguments.json).await,
        None => list(&overview, &arguments).await,
    }
}

async fn show(overview: &Overview, name: &str, json: bool) -> Result<()> {
    let (line, report) = overview.one(name).await?.ok_or_else(|| {
        anyhow!("there is no execution {name}: `cargo local executions` lists all executions")
    })?;
    if json {
        return print_json(&report);
    }
    print(&report)?;
    let mut others = match &line.charge_id {
        Some(charge) => overview.of_charge(charge).await?,
        None => Vec::new(),
    };
    others.retain(|other| other.arn != line.arn);
    if !others.is_empty() {
        println!("\nOther executions of the charge:");
        for row in rows(&others) {
            println!("  {row}");
        }
    }
    Ok(())
}

fn print(report: &ExecutionReport) -> Result<()> {
    let duration = match report.stopped {
        Some(stopped) => format!(" after {}", seconds(report.started, stopped)),
        None => String::new(),
    };
    println!(
        "{}  {}{duration}, started {}\n",
        report.name,
        report.status,
        report.started.strftime("%F %TZ")
    );
    for line in path::lines(report) {
        println!("  {line}");
    }
    if let Some(failure) = &report.failure {
        println!("\nfailed with {}: {}", failure.error, failure.message());
    }
    if let Some(output) = &report.output {
        println!("\noutput: {}", serde_json::to_string_pretty(output)?);
    }
    Ok(())
}

async fn list(overview: &Overview, arguments: &cli::Executions) -> Result<()> {
    let wish = Wish {
        text: arguments.find.clone(),
        outcome: arguments.outcome.clone(),
    };
    let listed = overview.newest(&wish, arguments.limit).await?;
    if arguments.json {
        return print_json(&listed);
    }
    if listed.is_empty() {
        if wish == Wish::default() {
            println!("No executions. `cargo local pay` starts one.");
        } else {
            println!("No such executions.");
        }
        return Ok(());
    }
    for row in rows(&listed) {
        println!("{row}");
    }
    Ok(())
}

/// The list as a table.
fn rows(listed: &[Line]) -> Vec<String> {
    let widest = |of: fn(&Line) -> &str, title: &str| {
        let longest = listed.iter().map(|line| of(line).len()).max();
        longest.unwrap_or_default().max(title.len())
    };
    let name = widest(|line| &line.name, "name");
    let outcome = widest(|line| &line.outcome, "outcome");
    let order = widest(|line| line.order_id.as_deref().unwrap_or_default(), "order");
    let row = |cells: [&str; 8]| {
        let [a, b, c, d, e, f, g, h] = cells;
        format!("{a:name$}  {b:9}  {c:outcome$}  {d:order$}  {e:>10}  {f:20}  {g:>10}  {h}")
    };
    let titles = [
        "name",
        "kind",
        "outcome",
        "order",
        "amount",
        "started",
        "duration",
        "last state",
    ];
    let of = |line: &Line| {
        let took = line.stopped.map(|stopped| seconds(line.started, stopped));
        row([
            &line.name,
            line.kind.word(),
            &line.outcome,
            line.order_id.as_deref().unwrap_or_default(),
            line.amount.as_deref().unwrap_or_default(),
            &line.started.strftime("%F %TZ").to_string(),
            &took.unwrap_or_default(),
            line.last_state.as_deref().unwrap_or_default(),
        ])
    };
    std::iter::once(row(titles))
        .chain(listed.iter().map(of))
        .collect()
}

fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use payment3_harness::overview::Kind;

    use super::*;

    #[test]
    fn the_list_is_a_table() {
        let paid = Line {
            name: "chrg_test_1".into(),
            arn: "arn".into(),
            status: "SUCCEEDED".into(),
            kind: Kind::Payment,
            outcome: "paid".into(),
            charge_id: Some("chrg_test_1".into()),
            order_id: Some("482500007436".into()),
            refund_id: None,
            amount: Some("1500.00".into()),
            started: Timestamp::UNIX_EPOCH,
            stopped: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_millis(1500)),
            last_state: Some("CloseRecord".into()),
        };
        let waits = Line {
            name: "chrg_test_1-2".into(),
            outcome: "awaitingBank".into(),
            order_id: None,
            amount: None,
            stopped: None,
            ..paid.clone()
        };
        let refund = Line {
            name: "rf_1".into(),
            kind: Kind::Refund,
            outcome: "refunded".into(),
            refund_id: Some("rf_1".into()),
            amount: Some("120.50".into()),
            last_state: Some("RefundDone".into()),
            ..paid.clone()
        };
        assert_eq!(
            rows(&[refund, waits, paid]),
            [
                "name           kind       outcome       order             amount  started                 duration  last state",
                "rf_1           refund     refunded      482500007436      120.50  1970-01-01 00:00:00Z     1.500 s  RefundDone",
                "chrg_test_1-2  payment    awaitingBank                            1970-01-01 00:00:00Z              CloseRecord",
                "chrg_test_1    payment    paid          482500007436     1500.00  1970-01-01 00:00:00Z     1.500 s  CloseRecord",
            ]
        );
    }
}
