//! The list of all executions of both state machines, each with the outcome of its payment or refund. It can be
//! searched by order, charge or refund, filtered by outcome, and read page by page.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::executions::{ExecutionReport, Executions, Summary};
use crate::inspect::Inspector;
use crate::items;
use crate::outputs::Outputs;

/// How many executions are read at the same time.
const AT_ONCE: usize = 16;
/// How many are read at a time until enough are found.
const CHUNK: usize = 64;

/// Reads executions. One that is over does not change, so it is read once.
#[derive(Clone)]
pub struct Overview {
    payments: Executions,
    refunds: Executions,
    inspector: Inspector,
    known: Arc<Mutex<HashMap<String, Line>>>,
}

/// What an execution is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A payment.
    Payment,
    /// A refund of a paid order.
    Refund,
    /// Money that was given back by hand at the bank.
    Elsewhere,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The execution's name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its status at Step Functions.
    pub status: String,
    /// What it is about.
    pub kind: Kind,
    /// `running`, `failed`, or the `result` of the execution's output, such as `paid`. A refund that the bank refused
    /// for good is `givenUp`.
    pub outcome: String,
    /// Its charge. That of a refund is known once its first state is done.
    pub charge_id: Option<String>,
    /// Its order; `ADDCARD` for a card verification.
    pub order_id: Option<String>,
    /// The refund's id.
    pub refund_id: Option<String>,
    /// In decimal baht: of the payment, or of the refund where it is known.
    pub amount: Option<String>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub stopped: Option<Timestamp>,
    /// The state that it entered last, if that was requested.
    pub last_state: Option<String>,
}

/// Which executions to list; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// A part of the name, the charge id, the order id or the refund's id. Case is ignored.
    pub text: Option<String>,
    /// The value of [`Line::outcome`].
    pub outcome: Option<String>,
}

impl Wish {
    fn matches_text(&self, line: &Line) -> bool {
        let Some(text) = &self.text else {
            return true;
        };
        let text = text.to_lowercase();
        let has = |id: &str| id.to_lowercase().contains(&text);
        has(&line.name)
            || [&line.charge_id, &line.order_id, &line.refund_id]
                .into_iter()
                .flatten()
                .any(|id| has(id))
    }

    fn matches_outcome(&self, outcome: &str) -> bool {
        self.outcome.as_ref().is_none_or(|wanted| wanted == outcome)
    }
}

/// A page of the list, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The number of the first line among all matching executions, from 1; 0 if the page is empty.
    pub first: usize,
    /// How many executions match, on all pages.
    pub found: usize,
    /// How many executions that match the text have each outcome. The outcome filter does not count here.
    pub outcomes: BTreeMap<String, usize>,
    /// The name of the last line, if another page follows.
    pub older: Option<String>,
}

impl Overview {
    /// The executions of these outputs' two state machines.
    pub fn of(aws: &Aws, outputs: &Outputs) -> Self {
        Self {
            payments: Executions::of(aws, &outputs.state_machine_arn),
            refunds: Executions::of(aws, &outputs.refund_state_machine_arn),
            inspector: Inspector::new(aws, outputs),
            known: Arc::default(),
        }
    }

    /// One execution by its name. Should a payment's have the name of a refund's, it is the payment's.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn find(&self, name: &str) -> Result<Option<ExecutionReport>> {
        match self.payments.find(name).await? {
            Some(report) => Ok(Some(report)),
            None => self.refunds.find(name).await,
        }
    }

    /// One execution, with its line.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn one(&self, name: &str) -> Result<Option<(Line, ExecutionReport)>> {
        let Some(report) = self.find(name).await? else {
            return Ok(None);
        };
        Ok(Some((self.line(&report).await, report)))
    }

    /// The newest executions of both state machines, at most `limit` of each, the newest first.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<Summary>> {
        let mut all = self.payments.list(None, limit).await?;
        all.extend(self.refunds.list(None, limit).await?);
        all.sort_by(|a, b| (b.started, &b.name).cmp(&(a.started, &a.name)));
        Ok(all)
    }

    /// The state that an execution entered last.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn last_state(&self, arn: &str) -> Result<Option<String>> {
        self.machine(arn).last_state(arn).await
    }

    /// A charge's executions, the oldest first: its payment's attempts, and its refunds.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn of_charge(&self, charge_id: &str) -> Result<Vec<Line>> {
        let lines = self.lines(&self.all().await?).await?;
        let of_it = |line: &Line| line.charge_id.as_deref() == Some(charge_id);
        let mut found: Vec<_> = lines.into_iter().rev().filter(of_it).collect();
        self.add_last_states(&mut found).await?;
        Ok(found)
    }

    /// Those of the two that this execution is of.
    fn machine(&self, arn: &str) -> &Executions {
        if self.refunds.include(arn) {
            &self.refunds
        } else {
            &self.payments
        }
    }

    /// At most `limit` matching executions: the newest, or those that are older than the one named `after`. `None` if
    /// no execution has that name.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn page(
        &self,
        wish: &Wish,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page>> {
        let lines = self.lines(&self.all().await?).await?;
        let Some(mut page) = page(lines, wish, after, limit) else {
            return Ok(None);
        };
        self.add_last_states(&mut page.lines).await?;
        Ok(Some(page))
    }

    /// The newest matching executions, at most `limit`. Reads no more executions than necessary.
    ///
    /// # Errors
    /// The local AWS does not answer.
    pub async fn newest(&self, wish: &Wish, limit: usize) -> Result<Vec<Line>> {
        let mut found = Vec::new();
        for some in self.all().await?.chunks(CHUNK) {
            if found.len() >= limit {
                break;
            }
            let lines = self.lines(some).await?;
            let matches =
                |line: &Line| wish.matches_text(line) && wish.matches_outcome(&line.outcome);
            found.extend(lines.into_iter().filter(matches));
        }
        found.truncate(limit);
        self.add_last_states(&mut found).await?;
        Ok(found)
    }

    /// All executions, the newest start first. That order does not change while somebody reads the pages.
    async fn all(&self) -> Result<Vec<Summary>> {
        self.list(usize::MAX).await
    }

    /// The lines of these executions, in their order. Those that are not known are read, several at a time.
    async fn lines(&self, summaries: &[Summary]) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for some in summaries.chunks(AT_ONCE) {
            let mut reading = JoinSet::new();
            for summary in some.iter().filter(|one| self.known(one).is_none()) {
                let (this, summary) = (self.clone(), summary.clone());
                reading.spawn(async move { this.read(&summary).await });
            }
            while let Some(read) = reading.join_next().await {
                read.context("an execution was not read")??;
            }
            lines.extend(
                some.iter()
                    .filter_map(|summary| self.last_known(&summary.arn)),
            );
        }
        Ok(lines)
    }

    /// Reads an execution, and keeps its line.
    async fn read(&self, summary: &Summary) -> Result<()> {
        let machine = self.machine(&summary.arn);
        let Some(mut report) = machine.describe(&summary.name).await? else {
            return Ok(());
        };
        let line = self.line(&report).await;
        // A refund's charge stands in its history. So does the payment where there is no record, or where that is in
        // another branch's table.
        let is_complete = line.order_id.is_some() && line.kind == Kind::Payment;
        let line = if is_complete {
            line
        } else {
            report.path = machine.path(&report.arn).await?;
            self.line(&report).await
        };
        self.keep(line);
        Ok(())
    }

    async fn line(&self, report: &ExecutionReport) -> Line {
        let kind = self.kind(report);
        let record = match (kind, charge_of(report)) {
            // The refund's machine says it all.
            (Kind::Refund, _) | (_, None) => None,
            // Errors are ignored: the history has the same data, and the list must work when something is wrong.
            (_, Some(charge)) => self.inspector.record_by_charge(charge).await.ok().flatten(),
        };
        line(report, kind, record.as_ref())
    }

    fn kind(&self, report: &ExecutionReport) -> Kind {
        let input = report.input.as_ref().unwrap_or(&Value::Null);
        match self.refunds.include(&report.arn) {
            false => Kind::Payment,
            true if input["refundId"].is_null() && !input["chargeId"].is_null() => Kind::Elsewhere,
            true => Kind::Refund,
        }
    }

    async fn add_last_states(&self, lines: &mut [Line]) -> Result<()> {
        for some in lines.chunks_mut(AT_ONCE) {
            let mut reading = JoinSet::new();
            for (at, line) in some.iter().enumerate() {
                if line.stopped.is_some() && line.last_state.is_some() {
                    continue;
                }
                let (executions, arn) = (self.machine(&line.arn).clone(), line.arn.clone());
                reading.spawn(async move { (at, executions.last_state(&arn).await) });
            }
            while let Some(read) = reading.join_next().await {
                let (at, state) = read.context("a history was not read")?;
                some[at].last_state = state?;
                self.keep(some[at].clone());
            }
        }
        Ok(())
    }

    /// The known line of an execution, if it is up to date. After a redrive the execution runs again under its name.
    /// Of a refund that runs, the charge may have become known meanwhile.
    fn known(&self, summary: &Summary) -> Option<Line> {
        self.last_known(&summary.arn).filter(|line| {
            let is_complete = line.stopped.is_some() || line.charge_id.is_some();
            line.status == summary.status && line.stopped == summary.stopped && is_complete
        })
    }

    fn last_known(&self, arn: &str) -> Option<Line> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(arn).cloned()
    }

    fn keep(&self, line: Line) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(line.arn.clone(), line);
    }
}

/// A page of these lines. `None` if no line is named `after`.
fn page(lines: Vec<Line>, wish: &Wish, after: Option<&str>, limit: usize) -> Option<Page> {
    let start = match after {
        Some(name) => lines.iter().position(|line| line.name == name)? + 1,
        None => 0,
    };
    let mut page = Page {
        lines: Vec::new(),
        first: 0,
        found: 0,
        outcomes: BTreeMap::new(),
        older: None,
    };
    let found = lines.into_iter().enumerate();
    for (at, line) in found.filter(|(_, line)| wish.matches_text(line)) {
        *page.outcomes.entry(line.outcome.clone()).or_default() += 1;
        if !wish.matches_outcome(&line.outcome) {
            continue;
        }
        page.found += 1;
        if at < start {
            continue;
        }
        if page.lines.len() < limit {
            if page.lines.is_empty() {
                page.first = page.found;
            }
            page.lines.push(line);
        } else if page.older.is_none() {
            page.older = page.lines.last().map(|line| line.name.clone());
        }
    }
    Some(page)
}

/// An execution's line, with the payment from its record or its history.
fn line(report: &ExecutionReport, kind: Kind, record: Option<&Value>) -> Line {
    let found = looked_up(report).unwrap_or(&Value::Null);
    let input = report.input.as_ref().unwrap_or(&Value::Null);
    let payment = match (kind, record) {
        (Kind::Payment, None) => found,
        (_, Some(record)) => record,
        (_, None) => &found["payment"],
    };
    let id = |value: &Value| value.as_str().map(str::to_owned);
    let satang = |value: &Value| value.as_u64().map(items::satang_as_baht);
    Line {
        kind,
        outcome: outcome(report, kind).to_owned(),
        charge_id: charge_of(report)
            .map(str::to_owned)
            .or_else(|| id(&payment["chargeId"])),
        // A refund that was refused at its first state found no payment.
        order_id: id(&payment["orderId"])
            .or_else(|| id(&input["orderId"]).filter(|_| kind == Kind::Refund)),
        refund_id: id(&input["refundId"]).filter(|_| kind == Kind::Refund),
        amount: match kind {
            Kind::Payment => satang(&payment["amountSatang"]),
            Kind::Refund => {
                satang(&found["refund"]["amountSatang"]).or_else(|| items::baht(&input["amount"]))
            }
            Kind::Elsewhere => report
                .result_of("RecordElsewhere")
                .and_then(|result| satang(&result["amountSatang"])),
        },
        name: report.name.clone(),
        arn: report.arn.clone(),
        status: report.status.clone(),
        started: report.started,
        stopped: report.stopped,
        last_state: report.path.last().map(|visit| visit.state.clone()),
    }
}

fn outcome(report: &ExecutionReport, kind: Kind) -> &str {
    if !report.is_over() {
        return "running";
    }
    let output = report.output.as_ref();
    match output.and_then(|output| output["result"].as_str()) {
        // The execution came to its end, and the money stays: that is no execution that failed in place.
        Some("failed") if kind == Kind::Refund => "givenUp",
        Some(result) => result,
        None => "failed",
    }
}

fn charge_of(report: &ExecutionReport) -> Option<&str> {
    report.input.as_ref()?["chargeId"].as_str()
}

/// What the execution looked up: the payment, or a refund with its payment.
fn looked_up(report: &ExecutionReport) -> Option<&Value> {
    report
        .result_of("LookupRecord")
        .or_else(|| report.result_of("CheckRefund"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Visit;
    use serde_json::json;

    fn report(status: &str, output: Option<Value>) -> ExecutionReport {
        ExecutionReport {
            name: "chrg_test_1".into(),
            arn: "arn".into(),
            status: status.into(),
            started: Timestamp::UNIX_EPOCH,
            stopped: None,
            input: Some(json!({"chargeId": "chrg_test_1"})),
            path: Vec::new(),
            output,
            failure: None,
        }
    }

    #[test]
    fn the_outcome_of_a_line_is_the_payments() {
        for (status, output, expected) in [
            ("RUNNING", None, "running"),
            ("FAILED", None, "failed"),
            ("TIMED_OUT", None, "failed"),
            (
                "SUCCEEDED",
                Some(json!({"result": "declined", "orderId": "1"})),
                "declined",
            ),
            (
                "SUCCEEDED",
                Some(json!({"result": "verified", "orderId": "ADDCARD"})),
                "verified",
            ),
            (
                "SUCCEEDED",
                Some(json!({"result": "handedOver"})),
                "handedOver",
            ),
        ] {
            let line = line(&report(status, output), Kind::Payment, None);
            assert_eq!(line.outcome, expected, "{status}");
        }
    }

    #[test]
    fn a_line_says_which_payment_it_is_about() {
        let record = json!({"orderId": "482500007436", "amountSatang": 150_000});
        let line = line(&report("RUNNING", None), Kind::Payment, Some(&record));
        assert_eq!(line.charge_id.as_deref(), Some("chrg_test_1"));
        assert_eq!(line.order_id.as_deref(), Some("482500007436"));
        assert_eq!(line.amount.as_deref(), Some("1500.00"));
    }

    fn visit(state: &str, result: Value) -> Visit {
        Visit {
            state: state.into(),
            entered: Timestamp::UNIX_EPOCH,
            left: Some(Timestamp::UNIX_EPOCH),
            retries: 0,
            errors: Vec::new(),
            input: None,
            result: Some(result),
            output: None,
        }
    }

    /// What `CheckRefund` answers.
    fn checked() -> Visit {
        visit(
            "CheckRefund",
            json!({
                "payment": {"chargeId": "chrg_test_1", "orderId": "482500007436", "amountSatang": 150_000},
                "refund": {"refundId": "rf_1", "amountSatang": 12_050},
            }),
        )
    }

    #[test]
    fn a_refunds_line_has_the_charge_and_the_amount_that_were_found_for_it() {
        let mut refund = report("RUNNING", None);
        refund.name = "rf_1".into();
        refund.input = Some(json!({"refundId": "rf_1", "orderId": "482500007436"}));
        refund.path = vec![checked()];
        let line = line(&refund, Kind::Refund, None);
        assert_eq!(line.charge_id.as_deref(), Some("chrg_test_1"));
        assert_eq!(line.order_id.as_deref(), Some("482500007436"));
        assert_eq!(line.refund_id.as_deref(), Some("rf_1"));
        // Not what was paid.
        assert_eq!(line.amount.as_deref(), Some("120.50"));
    }

    #[test]
    fn a_refund_that_was_refused_at_once_is_listed_by_its_input() {
        let mut refund = report("FAILED", None);
        refund.input = Some(json!({"refundId": "rf_1", "orderId": "1", "amount": "5000"}));
        let made = line(&refund, Kind::Refund, None);
        assert_eq!(made.outcome, "failed");
        assert_eq!(
            (made.order_id.as_deref(), made.charge_id),
            (Some("1"), None)
        );
        assert_eq!(made.amount.as_deref(), Some("5000.00"));
        // Whatever a person has sent.
        refund.input = Some(json!("rf_1"));
        assert_eq!(line(&refund, Kind::Refund, None).order_id, None);
    }

    #[test]
    fn a_refund_that_the_bank_refused_for_good_is_told_from_an_execution_that_failed() {
        let refused = report("SUCCEEDED", Some(json!({"result": "failed"})));
        assert_eq!(line(&refused, Kind::Refund, None).outcome, "givenUp");
        let stuck = report("FAILED", None);
        assert_eq!(line(&stuck, Kind::Refund, None).outcome, "failed");
    }

    #[test]
    fn what_was_given_back_by_hand_has_its_amount_once_that_is_recorded() {
        let mut by_hand = report("SUCCEEDED", Some(json!({"result": "elsewhere"})));
        by_hand.path = vec![
            checked(),
            visit("RecordElsewhere", json!({"amountSatang": null})),
        ];
        assert_eq!(line(&by_hand, Kind::Elsewhere, None).amount, None);
        by_hand.path[1] = visit("RecordElsewhere", json!({"amountSatang": 150_000}));
        let line = line(&by_hand, Kind::Elsewhere, None);
        assert_eq!(line.amount.as_deref(), Some("1500.00"));
        assert_eq!((line.outcome.as_str(), line.refund_id), ("elsewhere", None));
    }

    /// A hundred executions, the newest first: every tenth failed, the others are paid.
    fn hundred() -> Vec<Line> {
        let made = |at: usize| {
            let output = json!({"result": "paid"});
            let mut made = line(&report("SUCCEEDED", Some(output)), Kind::Payment, None);
            made.name = format!("chrg_test_{at:03}");
            made.charge_id = Some(made.name.clone());
            made.order_id = Some(format!("4825{at:03}"));
            if at.is_multiple_of(10) {
                made.outcome = "failed".to_owned();
            }
            made
        };
        (0..100).map(made).collect()
    }

    fn names(page: &Page) -> Vec<&str> {
        page.lines.iter().map(|line| line.name.as_str()).collect()
    }

    #[test]
    fn a_filter_covers_all_executions_not_only_a_page() {
        let wish = Wish {
            outcome: Some("failed".into()),
            text: None,
        };
        let first = page(hundred(), &wish, None, 4).expect("a page");
        assert_eq!(
            names(&first),
            [
                "chrg_test_000",
                "chrg_test_010",
                "chrg_test_020",
                "chrg_test_030"
            ]
        );
        assert_eq!((first.first, first.found), (1, 10));
        let counts = [("failed".to_owned(), 10), ("paid".to_owned(), 90)];
        assert_eq!(first.outcomes, BTreeMap::from(counts));
        let last = page(hundred(), &wish, Some("chrg_test_070"), 4).expect("a page");
        assert_eq!(names(&last), ["chrg_test_080", "chrg_test_090"]);
        assert_eq!((last.first, last.found, &last.older), (9, 10, &None));
    }

    #[test]
    fn the_pages_together_list_each_execution_once() {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = page(hundred(), &Wish::default(), after.as_deref(), 30).expect("a page");
            assert_eq!(page.first, seen.len() + 1);
            seen.extend(page.lines.into_iter().map(|line| line.name));
            match page.older {
                Some(name) => after = Some(name),
                None => break,
            }
        }
        let all: Vec<_> = hundred().into_iter().map(|line| line.name).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_page_can_start_after_an_execution_that_does_not_match() {
        let wish = Wish {
            outcome: Some("failed".into()),
            text: None,
        };
        let page = page(hundred(), &wish, Some("chrg_test_015"), 1).expect("a page");
        assert_eq!(names(&page), ["chrg_test_020"]);
        assert_eq!(page.first, 3);
    }

    #[test]
    fn there_is_no_page_after_an_unknown_execution() {
        assert_eq!(
            page(hundred(), &Wish::default(), Some("chrg_other"), 50),
            None
        );
    }

    #[test]
    fn a_part_of_an_order_or_a_charge_finds_its_executions() {
        let found = |text: &str| {
            let wish = Wish {
                text: Some(text.into()),
                outcome: None,
            };
            let page = page(hundred(), &wish, None, 50).expect("a page");
            page.lines
                .into_iter()
                .map(|line| line.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(found("4825042"), ["chrg_test_042"]);
        assert_eq!(found("CHRG_TEST_042"), ["chrg_test_042"]);
        assert_eq!(found("chrg_test_04").len(), 10);
        assert!(found("nothing").is_empty());
        // A person may have chosen the execution's name. It is found by its charge.
        let mut by_hand = hundred();
        by_hand[7].name = "by-hand-1".to_owned();
        let wish = Wish {
            text: Some("chrg_test_007".into()),
            outcome: None,
        };
        let page = page(by_hand, &wish, None, 50).expect("a page");
        assert_eq!(names(&page), ["by-hand-1"]);
        assert_eq!(page.outcomes, BTreeMap::from([("paid".to_owned(), 1)]));
    }

    #[test]
    fn a_refund_is_found_by_its_id_when_it_was_started_again_under_another_name() {
        let mut lines = hundred();
        lines[3].name = "by-hand-1".to_owned();
        lines[3].refund_id = Some("rf_20261129".to_owned());
        let wish = Wish {
            text: Some("RF_2026".into()),
            outcome: None,
        };
        let page = page(lines, &wish, None, 50).expect("a page");
        assert_eq!(names(&page), ["by-hand-1"]);
    }
}
