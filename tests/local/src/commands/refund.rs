//! `cargo local refund`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use payment3_harness::aws::Aws;
use payment3_harness::executions::ExecutionReport;
use payment3_harness::inspect::Inspector;
use payment3_harness::outputs::Outputs;
use payment3_harness::random;
use payment3_harness::refunds::{Account, BackOffice, Entry, NewRefund, Standing, Started};
use serde::Serialize;

use super::path;
use crate::cli;

/// How long to wait for the execution. What takes longer goes on by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives back all or a part of a paid order, and prints the result.
///
/// # Errors
/// No environment is running, there is no such order, or the money does not go back.
pub async fn run(arguments: cli::Refund) -> Result<()> {
    let outputs = Outputs::of_running(&Outputs::file()).await?;
    let inspector = Inspector::new(&Aws::at(&outputs.aws_endpoint), &outputs);
    let order = &arguments.order;
    let before = Account::of(&inspector, order)
        .await?
        .with_context(|| format!("there is no order {order}: `cargo local pay` makes one"))?;
    if !arguments.json {
        println!("{}", paid(order, &before));
    }

    let back_office = BackOffice::of(&outputs);
    let refund_id = arguments.id.clone().unwrap_or_else(|| random::id("rf_"));
    let name = start(&back_office, &arguments, &refund_id).await?;
    let execution = back_office.follow(&name, PATIENCE).await?;
    let standing = Standing::of(&execution);
    let account = Account::of(&inspector, order)
        .await?
        .with_context(|| format!("the order {order} is gone"))?;
    if arguments.json {
        let report = Report {
            refund_id,
            standing,
            execution,
            account,
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
        return ended(&report.standing, &report.execution);
    }
    print(&execution, &standing, &account);
    if standing.awaits_settlement {
        let charge = account.charge_id.as_deref().unwrap_or_default();
        println!(
            "\nSettle the charge on its page at the bank:\n  {}/charges/{charge}\nThen the refund can be started again, \
             to spare it the wait:\n  cargo local refund {order} --id {refund_id} --again",
            outputs.bank_url
        );
    }
    ended(&standing, &execution)
}

/// Starts the refund, or starts it again. Returns the execution's name.
async fn start(
    back_office: &BackOffice,
    arguments: &cli::Refund,
    refund_id: &str,
) -> Result<String> {
    let order = &arguments.order;
    let note = |text: String| {
        if !arguments.json {
            println!("{text}");
        }
    };
    if arguments.again {
        let again = back_office.start_again(refund_id, order).await?;
        let again =
            again.with_context(|| format!("the order {order} has no refund {refund_id}"))?;
        note(format!(
            "execution {again} started, with the input of {refund_id}"
        ));
        return Ok(again);
    }
    let refund = NewRefund {
        amount: arguments.amount.clone(),
        reason: arguments.reason.clone(),
        ..NewRefund::new(refund_id, order)?
    };
    match back_office.start(&refund).await? {
        Started::Now => note(format!("execution {refund_id} started")),
        Started::Before => note(format!(
            "execution {refund_id} was started before, with the same input: nothing is done twice"
        )),
        Started::Otherwise => bail!(
            "the id {refund_id} is another refund's: `cargo local executions {refund_id}` shows it. Nothing was done"
        ),
    }
    Ok(refund_id.to_owned())
}

/// The result for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    refund_id: String,
    standing: Standing,
    execution: ExecutionReport,
    account: Account,
}

fn ended(standing: &Standing, execution: &ExecutionReport) -> Result<()> {
    if standing.is_well {
        return Ok(());
    }
    bail!(
        "the execution {} ended {}, and no money goes back by it",
        execution.name,
        execution.status
    )
}

/// What was paid for the order, in a line.
fn paid(order: &str, account: &Account) -> String {
    match (&account.paid, &account.left, &account.charge_id) {
        (Some(paid), Some(left), Some(charge)) => {
            format!(
                "order {order}: {paid} THB paid by {charge}, of which {left} THB can be given back"
            )
        }
        _ => format!("order {order}: not paid by a payment of this system"),
    }
}

fn print(execution: &ExecutionReport, standing: &Standing, account: &Account) {
    println!("\nThe execution's path:");
    for line in path::lines(execution) {
        println!("  {line}");
    }
    println!("\n{}", standing.text);
    println!("\nAfterwards:");
    for line in afterwards(account) {
        println!("  {line}");
    }
}

/// What the ledger, the order, apps and the shop say, a line each.
fn afterwards(account: &Account) -> Vec<String> {
    let mut lines: Vec<_> = account.refunds.iter().map(entry).collect();
    if lines.is_empty() {
        lines.push("ledger         empty".to_owned());
    }
    let payment = &account.order["data"]["payment"];
    let status = match account.order.is_null() {
        true => "gone",
        false => payment["status"].as_str().unwrap_or("without a status"),
    };
    lines.push(format!("order          {status}"));
    let shown = match &account.shown {
        Some(shown) => {
            let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
            let unknown = match shown["refundedElsewhere"] == true {
                true => ", and an unknown amount by hand",
                false => "",
            };
            format!(
                "{}, {} of {} THB went back{unknown}",
                text("status"),
                text("refunded"),
                text("amount")
            )
        }
        None => "none".to_owned(),
    };
    lines.push(format!("check status   {shown}"));
    let refunds = |kind: &str| kind.starts_with("refund.");
    for event in account.events.iter().filter(|event| refunds(event.kind())) {
        let id = event.body["data"]["refundId"].as_str().unwrap_or_default();
        let verdict = match event.verified {
            true => "verified",
            false => "not verified",
        };
        lines.push(format!(
            "shop           was told {} of {id} ({verdict}, answered {})",
            event.kind(),
            event.answered
        ));
    }
    lines
}

fn entry(entry: &Entry) -> String {
    let amount = match &entry.amount {
        Some(amount) => format!("{amount} THB"),
        None => "unknown amount".to_owned(),
    };
    let changed = entry.changed.as_deref().map(|at| format!(", {at}"));
    let reason = entry.reason.as_deref().map(|why| format!(", “{why}”"));
    format!(
        "ledger         {}: {amount} {}{}{}",
        entry.refund_id,
        entry.state,
        changed.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_ledger_the_order_and_the_check_status_are_printed_a_line_each() {
        let refund = Entry {
            refund_id: "rf_1".into(),
            state: "sent".into(),
            amount: Some("120.50".into()),
            reason: Some("2 items missing".into()),
            way: Some("refunded".into()),
            bank_refund_id: None,
            reserved: Some(Timestamp::UNIX_EPOCH),
            changed: Some("2026-11-29T10:00:00Z".into()),
        };
        let by_hand = Entry {
            refund_id: "elsewhere".into(),
            amount: None,
            reason: None,
            changed: None,
            ..refund.clone()
        };
        let account = Account {
            order: json!({"data": {"payment": {"status": "partially refunded"}}}),
            charge_id: Some("chrg_test_1".into()),
            paid: Some("1500.00".into()),
            left: Some("1379.50".into()),
            refunds: vec![refund, by_hand],
            shown: Some(
                json!({"status": "paid", "amount": "1500.00", "refunded": "120.50", "refundedElsewhere": true}),
            ),
            events: Vec::new(),
        };
        assert_eq!(
            paid("1", &account),
            "order 1: 1500.00 THB paid by chrg_test_1, of which 1379.50 THB can be given back"
        );
        assert_eq!(
            afterwards(&account),
            [
                "ledger         rf_1: 120.50 THB sent, 2026-11-29T10:00:00Z, “2 items missing”",
                "ledger         elsewhere: unknown amount sent",
                "order          partially refunded",
                "check status   paid, 120.50 of 1500.00 THB went back, and an unknown amount by hand",
            ]
        );
    }
}
