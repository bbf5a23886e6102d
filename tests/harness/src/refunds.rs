//! Refunds as the shop's back office starts and follows them, and the account of an order as people are shown it: what
//! was paid, the ledger of what went back, and what the shop and its apps were told.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_sfn::error::SdkError;
use jiff::Timestamp;
use payment3_activities::domain::refund::RefundId;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::back_office;
use crate::executions::{ExecutionReport, Executions};
use crate::inspect::Inspector;
use crate::outputs::Outputs;
use crate::shop_api::ReceivedEvent;
use crate::{items, random};

/// How long to wait between two looks at a running execution.
const POLL: Duration = Duration::from_millis(250);

/// A refund to be started: the input of its execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRefund {
    /// The shop's own id of it, and the name of its execution.
    pub refund_id: String,
    /// The paid order.
    pub order_id: String,
    /// In decimal baht, as a person has written it; all that is left when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Why, for the bank's portal and the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl NewRefund {
    /// A refund of all that is left, without a reason.
    ///
    /// # Errors
    /// The id is none. It names the execution, so a wrong one cannot be left to the machine to refuse.
    pub fn new(refund_id: &str, order_id: &str) -> Result<Self> {
        let id = RefundId::new(refund_id)
            .map_err(|error| anyhow!("the refund's id {refund_id} {error}"))?;
        Ok(Self {
            refund_id: id.to_string(),
            order_id: order_id.to_owned(),
            amount: None,
            reason: None,
        })
    }
}

/// What came of starting a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It was started.
    Now,
    /// It had been started before: it is the same refund, and nothing was done.
    Before,
    /// Another refund has this id. Nothing was done.
    Otherwise,
}

/// The shop's back office. It has credentials of its own, which may start refunds and look at them.
#[derive(Clone)]
pub struct BackOffice {
    sfn: aws_sdk_sfn::Client,
    state_machine_arn: String,
    executions: Executions,
}

impl BackOffice {
    /// The back office of the environment with these outputs.
    #[must_use]
    pub fn of(outputs: &Outputs) -> Self {
        let sfn = back_office::step_functions_of(&outputs.aws_endpoint, &outputs.branch);
        Self {
            executions: Executions::seen_by(sfn.clone(), &outputs.refund_state_machine_arn),
            state_machine_arn: outputs.refund_state_machine_arn.clone(),
            sfn,
        }
    }

    /// Starts a refund, under its id as the execution's name. However often it is called, the refund is one.
    ///
    /// # Errors
    /// Step Functions does not answer, or refuses. Whether the refund was started may not be known then: calling this
    /// again with the same refund is safe.
    pub async fn start(&self, refund: &NewRefund) -> Result<Started> {
        let input = serde_json::to_value(refund).context("a refund is plain JSON")?;
        if self.start_as(&refund.refund_id, &input).await? {
            return Ok(Started::Now);
        }
        let before = self.executions.describe(&refund.refund_id).await?;
        let before = before.and_then(|execution| execution.input);
        Ok(match before == Some(input) {
            true => Started::Before,
            false => Started::Otherwise,
        })
    }

    /// Starts a refund of this order again, under another name. It goes on from where the ledger's entry stands. Returns
    /// the new name, or nothing where the order has no such refund.
    ///
    /// # Errors
    /// Step Functions does not answer, or refuses.
    pub async fn start_again(&self, refund_id: &str, order_id: &str) -> Result<Option<String>> {
        let execution = self.executions.describe(refund_id).await?;
        let input = execution.and_then(|execution| execution.input);
        let Some(input) = input.filter(|input| input["orderId"] == order_id) else {
            return Ok(None);
        };
        let again = format!("{refund_id}-again-{}", random::digits(6));
        self.start_as(&again, &input).await?;
        Ok(Some(again))
    }

    /// False if an execution has this name.
    async fn start_as(&self, name: &str, input: &Value) -> Result<bool> {
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(&self.state_machine_arn)
            .name(name)
            .input(input.to_string())
            .send()
            .await;
        match started {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_execution_already_exists() => {
                Ok(false)
            }
            Err(error) => Err(anyhow::Error::new(error).context("the refund cannot be started")),
        }
    }

    /// Follows a refund until it is over, until it waits for something that takes its time, or until `patience` ends.
    ///
    /// # Errors
    /// No execution has this name, or Step Functions does not answer.
    pub async fn follow(&self, name: &str, patience: Duration) -> Result<ExecutionReport> {
        let deadline = Instant::now() + patience;
        loop {
            let report = self.executions.find(name).await?;
            let report = report.with_context(|| format!("there is no refund {name}"))?;
            if report.is_over() || waits_in(&report).is_some() || Instant::now() > deadline {
                return Ok(report);
            }
            sleep(POLL).await;
        }
    }
}

/// The state in which a refund waits for something that takes its time.
fn waits_in(report: &ExecutionReport) -> Option<&str> {
    let last = report.path.last().filter(|_| !report.is_over())?;
    Some(last.state.as_str()).filter(|state| state.starts_with("Await"))
}

/// How a refund stands, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whether nothing more happens by itself.
    pub is_over: bool,
    /// Whether money went back, or is still about to. Then nobody has to do anything.
    pub is_well: bool,
    /// Whether it waits for the charge's settlement.
    pub awaits_settlement: bool,
    /// What a person is told, in whole sentences.
    pub text: String,
}

impl Standing {
    /// Reads it off the refund's execution.
    #[must_use]
    pub fn of(report: &ExecutionReport) -> Self {
        let text = match &report.failure {
            Some(failure) => format!("{}: {}", failure.error, failure.message()),
            None if report.has_succeeded() => accepted(report),
            None if report.is_over() => {
                "The execution was stopped. Its amount is still reserved: start it again."
                    .to_owned()
            }
            None => running(report),
        };
        let result = report.output.as_ref().map(|output| &output["result"]);
        Self {
            is_over: report.is_over(),
            is_well: !report.is_over() || result.is_some_and(|result| result == "refunded"),
            awaits_settlement: waits_in(report) == Some("AwaitSettlement"),
            text,
        }
    }
}

/// What became of a refund whose execution has come to its end.
fn accepted(report: &ExecutionReport) -> String {
    let amount = report
        .result_of("CheckRefund")
        .and_then(|found| found["refund"]["amountSatang"].as_u64())
        .map_or_else(
            || "The money".to_owned(),
            |satang| format!("{} THB", items::satang_as_baht(satang)),
        );
    let result = report.output.as_ref().map(|output| &output["result"]);
    if result.is_none_or(|result| result != "refunded") {
        return format!(
            "{amount} does not go back: the bank refuses it for good. The amount is free again."
        );
    }
    let left = report
        .result_of("RecordRefund")
        .and_then(|found| found["leftSatang"].as_u64())
        .map(|satang| {
            format!(
                " {} THB can still be given back.",
                items::satang_as_baht(satang)
            )
        });
    format!(
        "{amount} goes back: the bank has accepted it.{}",
        left.unwrap_or_default()
    )
}

/// What a refund that is not over does now.
fn running(report: &ExecutionReport) -> String {
    match waits_in(report) {
        Some("AwaitSettlement") => "It waits until the charge is settled: before that, the bank gives back all or \
            nothing. Settlement is a daily batch of the bank. The refund asks again every hour, for seven days."
            .to_owned(),
        Some("AwaitAnswer") => "The bank's answer is lost. In a few minutes the bank is asked what became of the \
            request: it is never sent twice."
            .to_owned(),
        Some(_) if report.path.iter().rev().flat_map(|visit| &visit.errors).next().is_some_and(|failure| failure.error == "RefundRefused") => {
            "The bank has refused it. It is tried again every half hour, for three days.".to_owned()
        }
        Some(_) => "The bank could not be asked. It is tried again by itself.".to_owned(),
        None => format!(
            "It is not over yet. It stands in {}, and goes on by itself.",
            report.states().last().unwrap_or(&"no state")
        ),
    }
}

/// What was paid for an order, and what went back of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The order's item, as stored; null where the order is gone. It may hold personal data.
    #[serde(skip)]
    pub order: Value,
    /// The charge that paid it, or the one that the check status is about.
    pub charge_id: Option<String>,
    /// What that charge has paid, in decimal baht. None as long as it paid nothing.
    pub paid: Option<String>,
    /// What can still be given back of it, in decimal baht.
    pub left: Option<String>,
    /// The ledger, the oldest entry first.
    pub refunds: Vec<Entry>,
    /// What `GET /checkstatus` answers; None where it knows of no payment.
    pub shown: Option<Value>,
    /// Every delivery of an event about the order, the oldest first.
    pub events: Vec<ReceivedEvent>,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The refund's id; `elsewhere` for what was given back by hand at the bank.
    pub refund_id: String,
    /// `reserved`, `asked`, `sent`, `failed` or `uncertain`.
    pub state: String,
    /// In decimal baht. None where nobody knows it.
    pub amount: Option<String>,
    /// Why, in the shop's words.
    pub reason: Option<String>,
    /// `voided` or `refunded`, once it is sent.
    pub way: Option<String>,
    /// The bank's id of it.
    pub bank_refund_id: Option<String>,
    /// Since when its amount is reserved.
    pub reserved: Option<Timestamp>,
    /// When its state changed last, as far as the ledger says.
    pub changed: Option<String>,
}

impl Account {
    /// The account of an order, also of one that is gone: what was paid for it can still be given back. None if there
    /// never was such an order, as far as anybody knows.
    ///
    /// # Errors
    /// A table cannot be read, or the API or the shop does not answer.
    pub async fn of(inspector: &Inspector, order_id: &str) -> Result<Option<Self>> {
        let order = inspector.order(order_id).await?;
        let status = inspector.check_status(order_id).await?;
        if order.is_none() && status.is_none() {
            return Ok(None);
        }
        let (order, status) = (order.unwrap_or_default(), status.unwrap_or_default());
        let payment = &order["data"]["payment"];
        let shown_charge = status["chargeId"].as_str();
        let charge_id = match payment["paymentId"].as_str() {
            // The order may be paid otherwise, or by the former system.
            Some(paid_by) if payment["isPaid"] == true && status["status"] != "paid" => {
                Some(paid_by)
            }
            _ => shown_charge,
        };
        let charge_id = charge_id.map(str::to_owned);
        let record = match &charge_id {
            Some(charge) => inspector.record_by_charge(charge).await?,
            None => None,
        };
        let record = record.unwrap_or_default();
        let amount = record["amountSatang"]
            .as_u64()
            .filter(|_| record["resolution"] == "orderPaid");
        let reserved = record["refundedSatang"].as_u64().unwrap_or_default();
        Ok(Some(Self {
            charge_id,
            paid: amount.map(items::satang_as_baht),
            left: amount.map(|paid| items::satang_as_baht(paid.saturating_sub(reserved))),
            refunds: entries(&record),
            shown: inspector.shown_status(order_id).await?,
            events: inspector.shop_events(order_id).await?,
            order,
        }))
    }
}

/// The entries of a record's ledger, the oldest first.
fn entries(record: &Value) -> Vec<Entry> {
    let ledger = record["refunds"].as_object().into_iter().flatten();
    let mut entries: Vec<_> = ledger.map(|(id, entry)| read(id, entry)).collect();
    entries.sort_by(|a, b| (a.reserved, &a.refund_id).cmp(&(b.reserved, &b.refund_id)));
    entries
}

fn read(id: &str, entry: &Value) -> Entry {
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let is_known = entry["amountUnknown"] != true;
    let reserved = entry["reservedAt"].as_i64();
    Entry {
        refund_id: id.to_owned(),
        state: text("state").unwrap_or_default(),
        amount: entry["satang"]
            .as_u64()
            .filter(|_| is_known)
            .map(items::satang_as_baht),
        reason: text("reason"),
        way: text("way"),
        bank_refund_id: text("bankRefundId"),
        reserved: reserved.and_then(|at| Timestamp::from_second(at).ok()),
        changed: ["failedAt", "sentAt", "askedAt"].into_iter().find_map(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::{Failure, Visit};

    fn visit(state: &str, result: Value, errors: &[&str]) -> Visit {
        Visit {
            state: state.into(),
            entered: Timestamp::UNIX_EPOCH,
            left: None,
            retries: 0,
            errors: errors
                .iter()
                .map(|error| Failure {
                    error: (*error).to_owned(),
                    cause: String::new(),
                })
                .collect(),
            input: None,
            result: Some(result),
            output: None,
        }
    }

    fn report(status: &str, path: Vec<Visit>) -> ExecutionReport {
        ExecutionReport {
            name: "rf_1".into(),
            arn: "arn".into(),
            status: status.into(),
            started: Timestamp::UNIX_EPOCH,
            stopped: None,
            input: None,
            path,
            output: None,
            failure: None,
        }
    }

    fn checked() -> Visit {
        let refund = json!({"refund": {"amountSatang": 12_050}});
        visit("CheckRefund", refund, &[])
    }

    #[test]
    fn a_refund_that_the_bank_accepted_says_what_is_left() {
        let recorded = visit("RecordRefund", json!({"leftSatang": 137_950}), &[]);
        let mut done = report("SUCCEEDED", vec![checked(), recorded]);
        done.output = Some(json!({"result": "refunded"}));
        let standing = Standing::of(&done);
        assert!(standing.is_over && standing.is_well);
        assert_eq!(
            standing.text,
            "120.50 THB goes back: the bank has accepted it. 1379.50 THB can still be given back."
        );
    }

    #[test]
    fn a_refund_that_the_bank_refused_for_good_is_not_well() {
        let mut refused = report("SUCCEEDED", vec![checked()]);
        refused.output = Some(json!({"result": "failed"}));
        let standing = Standing::of(&refused);
        assert!(standing.is_over && !standing.is_well);
        assert!(standing.text.starts_with("120.50 THB does not go back"));
    }

    #[test]
    fn a_refund_that_failed_says_its_error_and_its_message() {
        let mut failed = report("FAILED", vec![]);
        failed.failure = Some(Failure {
            error: "RefundTooLarge".into(),
            cause: r#"{"errorMessage":"1379.50 is left"}"#.into(),
        });
        let standing = Standing::of(&failed);
        assert!(standing.is_over && !standing.is_well);
        assert_eq!(standing.text, "RefundTooLarge: 1379.50 is left");
    }

    #[test]
    fn a_refund_that_waits_says_for_what() {
        for (state, errors, expected, settlement) in [
            (
                "AwaitSettlement",
                &[][..],
                "until the charge is settled",
                true,
            ),
            ("AwaitAnswer", &["AnswerLost"], "answer is lost", false),
            ("AwaitRetry", &["RefundRefused"], "has refused it", false),
            (
                "AwaitRetry",
                &["RefundNotSent"],
                "could not be asked",
                false,
            ),
        ] {
            let asked = visit("RefundCharge", Value::Null, errors);
            let waiting = report(
                "RUNNING",
                vec![checked(), asked, visit(state, Value::Null, &[])],
            );
            assert_eq!(waits_in(&waiting), Some(state));
            let standing = Standing::of(&waiting);
            assert!(standing.text.contains(expected), "{}", standing.text);
            assert_eq!(standing.awaits_settlement, settlement);
            assert!(standing.is_well && !standing.is_over);
        }
        let running = report("RUNNING", vec![checked()]);
        assert_eq!(waits_in(&running), None);
        assert!(Standing::of(&running).text.contains("in CheckRefund"));
    }

    #[test]
    fn a_refund_has_an_id_that_may_name_its_execution() {
        assert!(NewRefund::new("rf_1", "1").is_ok());
        let error = NewRefund::new("elsewhere-chrg_test_1", "1").expect_err("refused");
        assert!(error.to_string().contains("must not begin"), "{error}");
    }

    #[test]
    fn the_ledger_is_listed_in_the_order_of_its_refunds() {
        let record = json!({"refunds": {
            "rf_b": {"state": "sent", "satang": 12_050, "reservedAt": 1, "way": "refunded", "reason": "2 items missing",
                "askedAt": "2026-11-29T10:00:00Z", "sentAt": "2026-11-29T10:00:01Z", "bankRefundId": "rfnd_1"},
            "rf_a": {"state": "reserved", "satang": 100, "reservedAt": 2},
            "elsewhere": {"state": "sent", "satang": 150_000, "amountUnknown": true, "reservedAt": 3},
        }});
        let entries = entries(&record);
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| (&*entry.refund_id, &*entry.state, entry.amount.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("rf_b", "sent", Some("120.50")),
                ("rf_a", "reserved", Some("1.00")),
                ("elsewhere", "sent", None)
            ]
        );
        assert_eq!(entries[0].changed.as_deref(), Some("2026-11-29T10:00:01Z"));
        assert_eq!(entries[0].reason.as_deref(), Some("2 items missing"));
        assert!(super::entries(&json!({})).is_empty());
    }
}
