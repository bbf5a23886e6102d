//! Plays one flow to its end, with one fault at a chosen call or none: the scenarios of the fault matrix, as it plays them
//! on the local AWS. How it ended is judged by the matrix' own expectations.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use http::StatusCode;
use jiff::SignedDuration;
use payment3_activities::domain::ids::{CardToken, ChargeId};
use payment3_bank::Dialect;
use payment3_harness::cells::OUTAGE;
use payment3_harness::executions::ExecutionReport;
use payment3_harness::expected::executions::{Seen as SeenExecution, attempts, wrong};
use payment3_harness::expected::{self, Expected, Injected, refunds};
use payment3_harness::fault_plan::{Fault, FaultPlan, FaultPlans, Step};
use payment3_harness::flow::Flow;
use payment3_harness::history::{Failure, Visit};
use payment3_harness::invariants::{self, Findings, OrderSeen, Seen, Subject};
use payment3_harness::ledger::Ledger;
use payment3_harness::player::refunds::{
    BY_HAND, EARLIER, NOTIFIED_AT_MOST, Played as PlayedRefund, RefundsEnded, SLOW, elsewhere, of,
};
use payment3_harness::player::{AGES, CALL_TRIES, FORM_TRIES, Start};
use payment3_harness::shop_api::VERIFICATION;
use payment3_harness::shopper::{OTHER_CARD_APPROVED, ReturnForm, refresh_target};
use payment3_model::Machine;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::bank::{NewToken, Page, Refused, Step as AtBank};
use crate::items;
use crate::release::{Definitions, Given};
use crate::rights::Uses;
use crate::run::{Built, Options, alone};
use crate::shop::Order;
use crate::step_functions::{Description, Status};
use crate::world::World;

/// What an order costs, in satang: as on the local AWS.
const TOTAL: i64 = 150_000;
/// How long to wait between two looks at the executions.
const POLL: Duration = Duration::from_millis(200);
/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The owner of all orders.
const OWNER: &str = "usr_scenario_0001";
/// The beginning of the ids of refunds.
const REFUNDS: &str = "rf_scenario";

/// The result of a played flow.
#[derive(Debug)]
pub struct Played {
    /// The calls that were made.
    pub steps: Vec<Step>,
    /// Whether the planned fault was injected.
    pub struck: bool,
    /// Whether the shopper saw only errors, and left.
    pub left: bool,
    /// What is wrong in the end.
    pub findings: Findings,
    /// What functions and machines used of their rights.
    pub rights: Uses,
    /// What the states gave to their functions.
    pub given: Vec<Given>,
    /// What happened, in words, if it was wanted.
    pub trace: Vec<String>,
    /// What is stored in the end, and what each state's function answers when it is called once more; if that was wanted.
    pub afterwards: Vec<String>,
}

/// How a flow is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Whether the trace is kept.
    pub trace: bool,
    /// With which definitions.
    pub definitions: Definitions,
    /// Whether it is told what is stored in the end, and what each function answers when it is called once more.
    pub afterwards: bool,
}

/// Plays a flow to its end in a world of its own, with one fault or none, and checks how it ended.
///
/// # Errors
/// The world cannot be built, or something in it does not end. Everything else that is wrong is a finding.
pub fn play(flow: Flow, start: Start, injected: Option<Injected<'_>>, how: How) -> Result<Played> {
    let options = Options {
        seed: 1,
        trace: how.trace,
        begins_with: how.definitions,
        ..Options::default()
    };
    let plans = FaultPlans::default();
    alone(options.seed, async |secrets, logs| {
        let built = Built::new(&options, Some(&plans), &secrets, &logs).await?;
        let player = Player { built, plans };
        let played = player.play(flow, start, injected, how.afterwards).await?;
        ensure!(secrets.seen().is_empty(), "{}", secrets.seen().join("; "));
        Ok(played)
    })
}

struct Player {
    built: Built,
    plans: FaultPlans,
}

/// One payment.
struct Payment {
    order: Option<Order>,
    token: String,
    key: String,
}

impl Payment {
    fn order_id(&self) -> &str {
        self.order.as_ref().map_or(VERIFICATION, |order| &order.id)
    }
}

/// A flow that is ready for its payment.
struct Begun {
    flow: Flow,
    payment: Payment,
    /// A known user's first payment.
    earlier: Option<Payment>,
    /// A second card for the same order, whose shopper is back from the bank.
    rival: Option<(Payment, ReturnForm)>,
    /// The charge that has paid the order, in the flows of refunds.
    paid_by: Option<String>,
    refunds: Vec<PlayedRefund>,
}

/// Where a checkout sends the browser.
enum Next {
    ThreeDs(String),
    Shop,
}

/// What the bank was asked for by hand is done.
pub(crate) fn done<T>(asked: Result<T, Refused>) -> Result<T> {
    asked.map_err(|refused| anyhow::anyhow!("the bank refuses: {refused:?}"))
}

impl Player {
    fn world(&self) -> &World {
        &self.built.world
    }

    async fn play(
        self,
        flow: Flow,
        start: Start,
        injected: Option<Injected<'_>>,
        afterwards: bool,
    ) -> Result<Played> {
        let begun = self.begin(flow).await?;
        let plan = self.watch(&begun, start);
        if start == Start::Cold {
            self.world().0.functions.deploy();
        }
        if let Some(injected) = injected {
            plan.plan(injected.step.clone(), injected.fault);
        }
        let left = self.pay_to_the_end(&begun, &plan).await?;
        let (steps, struck) = (plan.steps(), plan.struck().is_some());
        let mut findings = self.examine(&begun, injected).await?;
        let expected = Expected::of(flow, injected);
        let earlier = begun.earlier.as_ref().map(|payment| payment.token.as_str());
        let rival = begun.rival.as_ref().map(|(rival, _)| rival.token.as_str());
        expected::judge(&expected, earlier, rival, &mut findings);
        let mut uncertain = Vec::new();
        if flow.is_refund() {
            let ended = self.refunds_ended(&begun)?;
            uncertain = refunds::judge(flow, &begun.refunds, &ended, injected, &mut findings);
        }
        for ended in findings.ended.clone() {
            let Some(charge) = &ended.charge else {
                continue;
            };
            let id = ChargeId::new(charge).context("the bank's charge has no id")?;
            for (attempt, name) in attempts(&id, ended.attempt) {
                let execution = self.execution(Machine::Payment, &name);
                let execution = execution.map(|execution| seen(&execution));
                if let Some(finding) = wrong(&ended, attempt, execution.as_ref()) {
                    findings.note(format!("execution {name}: {finding}"));
                }
            }
        }
        self.check_alarms(&uncertain, &mut findings);
        for broken in self.world().0.watch.broken() {
            findings.note(broken);
        }
        let rights = self.built.rights.uses();
        for denied in rights.findings() {
            findings.note(denied);
        }
        let trace = self.world().trace().take();
        Ok(Played {
            steps,
            struck,
            left,
            findings,
            rights,
            given: self.world().0.given.all(),
            trace,
            afterwards: match afterwards {
                true => self.afterwards(&begun).await,
                false => Vec::new(),
            },
        })
    }

    /// What is stored, what the shop was told and what the bank was asked; and what each state's function answers to what
    /// the state gave it, once more.
    async fn afterwards(&self, begun: &Begun) -> Vec<String> {
        let mut lines = self.stored(begun);
        for given in self.world().0.given.all() {
            let answer = answered(self.world(), &given.function, given.input).await;
            lines.push(format!("{} again: {answer}", given.state));
        }
        let unchanged = lines.clone();
        let after = self.stored(begun).into_iter();
        lines.extend(
            after
                .filter(|line| !unchanged.contains(line))
                .map(|line| format!("after that: {line}")),
        );
        lines
    }

    fn stored(&self, begun: &Begun) -> Vec<String> {
        let parts = &self.world().0;
        let mut lines = Vec::new();
        let rival = begun.rival.iter().map(|(rival, _)| rival);
        for payment in begun.earlier.iter().chain([&begun.payment]).chain(rival) {
            let record = self.record(payment).unwrap_or_default();
            let charge = record["chargeId"].as_str().unwrap_or_default();
            lines.push(format!("record: {record}"));
            for (name, table) in [
                ("order", &parts.names.orders),
                ("shown", &parts.names.check_status),
            ] {
                let item = parts.item(table, payment.order_id()).unwrap_or_default();
                let item = item.pointer("/data/payment").unwrap_or(&item);
                lines.push(format!("{name}: {item}"));
            }
            let rows = parts
                .tables
                .items_with(&parts.names.outcomes, "chargeId", charge);
            let rows = rows.iter().map(items::plain);
            lines.extend(rows.map(|row| format!("outcome: {row}")));
            for (_, event) in parts.shop.events_about(charge) {
                lines.push(format!("event {}: {}", event.id, event.body));
            }
            for request in parts.bank.requests_of(charge) {
                let of_request = (request.operation, request.status);
                lines.push(format!("bank: {of_request:?} {}", request.body));
            }
        }
        let mapping = parts.item(&parts.names.mapping, OWNER);
        lines.push(format!("customer: {}", mapping.unwrap_or_default()));
        lines.extend(
            parts
                .logs
                .all()
                .iter()
                .map(|line| format!("told: {line:?}")),
        );
        lines
    }

    /// A person is told of each refund of which nobody can tell how it ended, and of nothing else.
    fn check_alarms(&self, uncertain: &[String], findings: &mut Findings) {
        let logs = &self.world().0.logs;
        for error in ["PaymentStands", "OrphanCheckout", "RefundStuck"] {
            for line in logs.with_error(error) {
                findings.note(format!("a person is alerted: {line:?}"));
            }
        }
        let told = logs.with_error("RefundUncertain");
        let names = |line: &crate::logs::Line, id: &str| line.values().any(|text| text == id);
        for line in &told {
            let expected = uncertain.iter().any(|id| names(line, id));
            findings.check(expected, || format!("a person is alerted: {line:?}"));
        }
        for id in uncertain {
            let is_told = told.iter().any(|line| names(line, id));
            findings.check(is_told, || format!("nobody is told of the refund {id}"));
        }
    }

    async fn begin(&self, flow: Flow) -> Result<Begun> {
        let mut earlier = None;
        if flow == Flow::KnownUser {
            let first = self.begun(Flow::NewUser, "earlier").await?;
            self.pay(&first).await?;
            self.finish(&first.payment, &|| {}).await?;
            earlier = Some(first.payment);
        }
        let mut begun = self.begun(flow, "own").await?;
        begun.earlier = earlier;
        if flow == Flow::TwoCards {
            let order = begun.payment.order.clone();
            let rival = self.payment_of(order, OTHER_CARD_APPROVED, "rival").await?;
            let Some(Next::ThreeDs(page)) = self.check_out(&rival).await else {
                bail!("the other card's checkout is refused");
            };
            let form = self.authenticate(&page).await?;
            begun.rival = Some((rival, form));
        }
        if flow.is_refund() {
            begun.paid_by = Some(self.prepare_refunds(&begun).await?);
        }
        Ok(begun)
    }

    async fn begun(&self, flow: Flow, name: &str) -> Result<Begun> {
        let order = match (flow, name) {
            (Flow::Verification, _) => None,
            (_, "earlier") => Some(Order::over(TOTAL, "482500000001", OWNER)),
            _ => Some(Order::over(TOTAL, "482500000002", OWNER)),
        };
        if let Some(order) = &order {
            self.world().shop_takes_order(order)?;
        }
        Ok(Begun {
            flow,
            payment: self.payment_of(order, flow.card(), name).await?,
            earlier: None,
            rival: None,
            paid_by: None,
            refunds: of(flow, REFUNDS),
        })
    }

    async fn payment_of(&self, order: Option<Order>, card: &str, name: &str) -> Result<Payment> {
        let token = format!("tokn_test_scenario_{name}");
        let new = NewToken {
            id: &token,
            card,
            dialect: Dialect::Usual,
            issuer_takes: None,
        };
        done(self.world().bank().token(&new).await)?;
        let id = order.as_ref().map_or(VERIFICATION, |order| &order.id);
        self.world().paying(0, id, OWNER, &token);
        let key = CardToken::new(&token).context("no card token")?;
        Ok(Payment {
            order,
            key: key.record_key().as_str().to_owned(),
            token,
        })
    }

    /// Watches a payment, so that a fault can be planned for it.
    fn watch(&self, begun: &Begun, start: Start) -> FaultPlan {
        let payment = &begun.payment;
        let mut ids = vec![payment.token.clone(), payment.key.clone()];
        ids.extend(begun.paid_by.clone());
        // Two payments of one order share the order's ids. Only their tokens, keys and charges differ.
        if begun.rival.is_none() {
            ids.push(OWNER.to_owned());
            ids.extend(payment.order.as_ref().map(|order| order.id.clone()));
        }
        if start == Start::Cold {
            ids.extend(self.built.secret_arns.clone());
        }
        self.plans.watch(ids)
    }

    /// Pays, and runs reconciliation until everything is closed. A service that is away comes back whenever nothing runs;
    /// while a refund runs, which waits in place, after a while. Returns whether the shopper left.
    async fn pay_to_the_end(&self, begun: &Begun, plan: &FaultPlan) -> Result<bool> {
        if begun.flow.is_refund() {
            let heal = || {
                if plan.struck().is_some_and(|since| since.elapsed() >= OUTAGE) {
                    plan.heal();
                }
            };
            self.refund_to_the_end(begun, &heal).await?;
            return Ok(false);
        }
        let rival_pays = async {
            match &begun.rival {
                Some((payment, form)) => {
                    self.call_back("rival", form).await;
                    self.finish(payment, &|| {}).await
                }
                None => Ok(()),
            }
        };
        let pays = async {
            let left = self.pay(begun).await?;
            self.finish(&begun.payment, &|| plan.heal()).await?;
            Ok(left)
        };
        let (left, ()) = tokio::try_join!(pays, rival_pays)?;
        Ok(left)
    }

    /// Plays the shopper, and the bank's return or notification. Returns whether the shopper left.
    async fn pay(&self, begun: &Begun) -> Result<bool> {
        match self.check_out(&begun.payment).await {
            None => return Ok(true),
            Some(Next::ThreeDs(page)) => {
                let form = self.pass_the_bank(begun, &page).await?;
                self.come_back(begun, &form).await?;
            }
            // Decided without 3-D Secure: the browser is back in the shop.
            Some(Next::Shop) => {}
        }
        Ok(false)
    }

    /// Sends the form, and retries while the answer is an error. `None` if every answer is one.
    async fn check_out(&self, payment: &Payment) -> Option<Next> {
        let total = payment.order.as_ref();
        let total = total.map_or("1.00", |order| &order.form_total);
        let fields = [
            ("token", payment.token.as_str()),
            ("userId", OWNER),
            ("orderId", payment.order_id()),
            ("basketId", "basket_scenario"),
            ("customerId", OWNER),
            ("grandTotal", total),
            ("mid", self.world().merchant()),
            ("paymentMethods", "card"),
            ("saveCard", "true"),
            ("callback", "yourapp://payments"),
        ];
        for _ in 0..FORM_TRIES {
            let request = self.world().form("/cardpayment", fields);
            let answer = self.world().api().request("shopper", request).await;
            let Ok(answer) = answer else { continue };
            let page = String::from_utf8_lossy(answer.body()).into_owned();
            let next = match answer.status() {
                StatusCode::OK => refresh_target(&page),
                _ => None,
            };
            self.world()
                .trace()
                .tell(format_args!("checkout answers {}", answer.status()));
            match next {
                Some(target) if target.contains("/3ds/") => return Some(Next::ThreeDs(target)),
                Some(_) => return Some(Next::Shop),
                None => {}
            }
        }
        None
    }

    async fn authenticate(&self, page: &str) -> Result<ReturnForm> {
        let bank = self.world().bank();
        bank.three_ds(page, AtBank::Open).await;
        match bank.three_ds(page, AtBank::Confirm).await {
            Page::Returning(form) | Page::Decided(form) => Ok(form),
            other => bail!("the bank's page is {other:?}"),
        }
    }

    /// Passes 3-D Secure, and does to the order and the charge what the flow wants meanwhile.
    async fn pass_the_bank(&self, begun: &Begun, page: &str) -> Result<ReturnForm> {
        if begun.flow == Flow::EarlyCallback {
            let charge = page.rsplit('/').next().unwrap_or_default();
            let form = done(self.world().bank().return_form(charge).await)?;
            let form = ReturnForm {
                action: form.action,
                fields: [("objectId", charge), ("status", "true")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            };
            // The second one arrives while the execution of the first keeps asking the bank.
            self.call_back("early", &form).await;
            self.call_back("early", &form).await;
            self.end_of(Machine::Payment, charge).await?;
        }
        let form = self.authenticate(page).await?;
        if matches!(begun.flow, Flow::OrderGone | Flow::OrderGoneSettled) {
            let deletes = crate::world::Change::Delete;
            let order = begun.payment.order_id();
            self.world().shop_changes(order, deletes);
        }
        if begun.flow == Flow::OrderGoneSettled {
            done(self.world().bank().settle(form.charge_id()?, false).await)?;
        }
        Ok(form)
    }

    /// The bank sends the browser back, or notifies. Never both, because the calls would depend on which one is first.
    async fn come_back(&self, begun: &Begun, form: &ReturnForm) -> Result<()> {
        match begun.flow {
            Flow::NothingCalledBack => {}
            Flow::Notified => {
                for _ in 0..CALL_TRIES {
                    let sent = self.world().bank().notify(form.charge_id()?).await;
                    if done(sent)? == Some(200) {
                        break;
                    }
                }
            }
            _ => self.call_back("shopper", form).await,
        }
        Ok(())
    }

    /// The browser posts the return. After an error the shopper reloads.
    async fn call_back(&self, who: &str, form: &ReturnForm) {
        for _ in 0..CALL_TRIES {
            let request = self.world().form("/callback", &form.fields);
            if let Ok(answer) = self.world().api().request(who, request).await
                && answer.status().as_u16() < 500
            {
                break;
            }
        }
    }

    /// Runs reconciliation until the record is closed or the payment is at its last age. Calls `at_rest` whenever
    /// nothing runs.
    async fn finish(&self, payment: &Payment, at_rest: &impl Fn()) -> Result<()> {
        for age in AGES {
            self.wait_for_executions(payment).await?;
            let record = self.record(payment);
            if record.is_none_or(|record| record["closedAt"].is_string()) {
                return Ok(());
            }
            at_rest();
            self.make_older(payment, age).await;
            self.world()
                .trace()
                .tell(format_args!("{age} seconds old; reconciliation"));
            self.world().reconcile_now().await;
        }
        self.wait_for_executions(payment).await
    }

    fn record(&self, payment: &Payment) -> Option<Value> {
        let parts = &self.world().0;
        parts.item(&parts.names.records, &payment.key)
    }

    /// Makes a record due, as if its checkout were this many seconds ago. One that is closed stays as it is.
    async fn make_older(&self, payment: &Payment, seconds: i64) {
        let parts = &self.world().0;
        let since = parts.time.now() - SignedDuration::from_secs(seconds);
        let update = json!({
            "TableName": parts.names.records,
            "Key": {"tokenId": {"S": payment.key}},
            "UpdateExpression": "SET lookAgainAt = :due, openSince = :since",
            "ConditionExpression": "attribute_exists(openShard)",
            "ExpressionAttributeValues": {":due": {"N": "1"}, ":since": {"S": since.to_string()}},
        });
        let update = update.to_string();
        parts.tables.call("UpdateItem", update.as_bytes()).await;
        parts.watch.look();
    }

    /// Waits until no execution of the payment runs.
    async fn wait_for_executions(&self, payment: &Payment) -> Result<()> {
        let record = self.record(payment).unwrap_or_default();
        let Some(charge) = record["chargeId"].as_str() else {
            return Ok(());
        };
        let id = ChargeId::new(charge).context("the record's charge id is invalid")?;
        let counted = record["attempt"].as_u64();
        let counted = counted.and_then(|attempt| u32::try_from(attempt).ok());
        for (_, name) in attempts(&id, counted.unwrap_or(0)) {
            self.end_of(Machine::Payment, &name).await?;
        }
        Ok(())
    }

    fn execution(&self, machine: Machine, name: &str) -> Option<Description> {
        self.world().0.step_functions.describe(machine, name)
    }

    async fn end_of(&self, machine: Machine, name: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(seen) = self.execution(machine, name)
            && seen.status == Status::Running
        {
            ensure!(
                Instant::now() < deadline,
                "the execution {name} runs and runs"
            );
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Pays the order, and brings the charge to where the flow's refund begins.
    async fn prepare_refunds(&self, begun: &Begun) -> Result<String> {
        self.pay(begun).await?;
        self.finish(&begun.payment, &|| {}).await?;
        let record = self.record(&begun.payment).context("it has no record")?;
        let charge = record["chargeId"].as_str().context("it has no charge")?;
        let bank = self.world().bank();
        match begun.flow {
            Flow::RefundVoided | Flow::RefundWaits | Flow::RefundVoidedByHand => {}
            _ => done(bank.settle(charge, false).await)?,
        }
        let token = &begun.payment.token;
        match begun.flow {
            Flow::RefundRefused => done(bank.speak(charge, Dialect::ReversalsRefused).await)?,
            Flow::RefundAnswerLost | Flow::RefundPartAnswerLost => {
                let fault = json!({"operation": "refund", "kind": "lost_answer", "token": token, "delayMs": 0});
                done(bank.plan_fault(&fault).await)?;
            }
            Flow::RefundStartedTwice => {
                let late = SLOW.as_millis();
                let fault =
                    json!({"operation": "refund", "kind": "late", "token": token, "delayMs": late});
                done(bank.plan_fault(&fault).await)?;
            }
            Flow::RefundSecondPart => {
                let (id, order) = ("rf_earlier", begun.payment.order_id());
                let input = json!({"refundId": id, "orderId": order, "amount": EARLIER});
                self.world().start_refund(id, &input);
                self.end_of(Machine::Refund, id).await?;
                let earlier = self.execution(Machine::Refund, id);
                let done = earlier.is_some_and(|earlier| earlier.status == Status::Succeeded);
                ensure!(done, "the earlier refund did not succeed");
            }
            _ => {}
        }
        Ok(charge.to_owned())
    }

    /// Plays the refunds of a flow to their end. Calls `pausing` again and again while something runs.
    async fn refund_to_the_end(&self, begun: &Begun, pausing: &impl Fn()) -> Result<()> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        if begun.flow == Flow::GivenBackByHand {
            let bank = self.world().bank();
            done(bank.refund(charge, Some(BY_HAND), false).await)?;
            self.notify_until_taken(charge, pausing).await?;
            return self.wait_for(&[elsewhere(charge)], begun, pausing).await;
        }
        let mut names = Vec::new();
        for refund in &begun.refunds {
            for name in &refund.names {
                let input = refund.input(begun.payment.order_id());
                self.world().start_refund(name, &input);
                names.push(name.clone());
            }
        }
        self.wait_for(&names, begun, pausing).await
    }

    /// The bank notifies, and tries again until it gets a 200.
    async fn notify_until_taken(&self, charge: &str, pausing: &impl Fn()) -> Result<()> {
        for _ in 0..NOTIFIED_AT_MOST {
            if done(self.world().bank().notify(charge).await)? == Some(200) {
                return Ok(());
            }
            pausing();
            sleep(POLL).await;
        }
        bail!("the notification of {charge} is never answered with 200")
    }

    /// Waits until these executions are over. Does meanwhile what the flow wants while one waits for the settlement.
    async fn wait_for(&self, names: &[String], begun: &Begun, pausing: &impl Fn()) -> Result<()> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        let bank = self.world().bank();
        let give_up = Instant::now() + PATIENCE;
        let mut waited = false;
        for name in names {
            loop {
                let seen = self.execution(Machine::Refund, name);
                let seen = seen.with_context(|| format!("there is no execution {name}"))?;
                if seen.status != Status::Running {
                    break;
                }
                if seen.state == "AwaitSettlement" && !waited {
                    waited = true;
                    done(match begun.flow {
                        Flow::RefundVoidedByHand => bank.void(charge, false).await,
                        _ => bank.settle(charge, false).await,
                    })?;
                }
                // What still runs is seen in how the refunds ended.
                if Instant::now() > give_up {
                    return Ok(());
                }
                pausing();
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// How the refunds of a flow ended.
    fn refunds_ended(&self, begun: &Begun) -> Result<RefundsEnded> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        let names = begun.refunds.iter();
        let mut names: Vec<_> = names
            .flat_map(|refund| refund.names.iter().map(|name| (refund.label, name.clone())))
            .collect();
        if begun.flow == Flow::GivenBackByHand {
            names.push(("by hand", elsewhere(charge)));
        }
        let mut executions = Vec::new();
        for (label, name) in names {
            let seen = self.execution(Machine::Refund, &name);
            executions.push((label, report(seen.context("the execution was there")?)));
        }
        let record = self.record(&begun.payment).context("there is no record")?;
        let ledger = Ledger::of(&record)?;
        Ok(RefundsEnded { ledger, executions })
    }

    /// Checks the invariants.
    async fn examine(&self, begun: &Begun, injected: Option<Injected<'_>>) -> Result<Findings> {
        let mut payments: Vec<_> = begun.earlier.iter().collect();
        payments.push(&begun.payment);
        payments.extend(begun.rival.as_ref().map(|(rival, _)| rival));
        let orders = payments.iter().filter_map(|payment| payment.order.as_ref());
        let mut order_ids: Vec<_> = orders.map(|order| order.id.clone()).collect();
        order_ids.dedup();
        let may_orphan = injected.is_some_and(|injected| injected.may_orphan_a_customer());
        let subject = Subject {
            owner_id: OWNER.to_owned(),
            order_ids: order_ids.clone(),
            tokens: payments
                .iter()
                .map(|payment| payment.token.clone())
                .collect(),
            orphans_allowed: usize::from(may_orphan),
            ..Subject::default()
        };
        let parts = &self.world().0;
        let mut seen = Seen {
            played: (self.built.began.as_second(), parts.time.now().as_second()),
            orders: Default::default(),
            payments: payments
                .iter()
                .map(|payment| self.built.payment(&payment.token))
                .collect(),
            mapping: parts.item(&parts.names.mapping, OWNER),
        };
        for id in order_ids {
            let order = OrderSeen {
                item: parts.item(&parts.names.orders, &id),
                check_status: parts.item(&parts.names.check_status, &id),
                shown: self.world().shown_status("the judge", &id).await,
            };
            seen.orders.insert(id, order);
        }
        let mut findings = invariants::judge(&subject, seen)?;
        let found_later = injected.is_some_and(|injected| injected.fault == Fault::Away);
        if findings.orphans > 0 && !found_later && !self.orphan_is_logged(begun) {
            findings.note("a customer at the bank without a mapping, and no log line names it");
        }
        Ok(findings)
    }

    fn orphan_is_logged(&self, begun: &Begun) -> bool {
        let record = self.record(&begun.payment).unwrap_or_default();
        let charge = record["chargeId"].as_str();
        let lines = self.world().0.logs.about_orphan_customers();
        let names =
            |line: &crate::logs::Line| line.values().any(|text| Some(text.as_str()) == charge);
        lines.iter().any(names)
    }
}

/// What a function answers, or the error with which it fails.
pub(crate) async fn answered(world: &World, function: &str, input: Value) -> String {
    match world.0.functions.call(function, "again", input).await {
        Ok(output) => output.to_string(),
        Err(failed) => format!("{}: {}", failed.error, failed.cause),
    }
}

/// An execution, as the matrix sees it.
fn seen(execution: &Description) -> SeenExecution {
    let output = execution.output.as_ref();
    SeenExecution {
        name: execution.name.clone(),
        status: ExecutionStatus::from(execution.status.word()),
        result: output.and_then(|output| output["result"].as_str().map(str::to_owned)),
        error: execution.error.clone(),
    }
}

/// An execution, as the harness reports it. Of its path only the last state is told.
fn report(execution: Description) -> ExecutionReport {
    let failure = execution.error.map(|error| Failure {
        error,
        cause: execution.cause.unwrap_or_default(),
    });
    let last = Visit {
        state: execution.state,
        entered: execution.started_at,
        left: None,
        retries: 0,
        errors: Vec::new(),
        input: None,
        result: None,
        output: None,
    };
    ExecutionReport {
        arn: execution.name.clone(),
        name: execution.name,
        status: execution.status.word().to_owned(),
        started: execution.started_at,
        stopped: execution.stopped_at,
        input: Some(execution.input),
        path: vec![last],
        output: execution.output,
        failure,
    }
}
