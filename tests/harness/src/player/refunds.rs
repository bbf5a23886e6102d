//! Plays refunds of a paid order to their end, as the back office, the bank and a person in its portal do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use payment3_bank::Dialect;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Begun, PATIENCE, Player};
use crate::audit::REFUND_REASON;
use crate::executions::ExecutionReport;
use crate::flow::Flow;
use crate::ledger::Ledger;
use crate::random;
use crate::refund_machine::{RefundMachine, Started};

/// What went back before the refund that is played, where something did.
pub const EARLIER: &str = "79.50";
/// What a person gives back in the portal.
pub const BY_HAND: &str = "200.00";
/// How long the bank takes for a refund that is started twice: the second execution meets the first one's request, also
/// after the tables were away for a while. It is less than the time limit of the call.
pub const SLOW: Duration = Duration::from_secs(12);
/// How long to wait between two looks at the executions.
const POLL: Duration = Duration::from_millis(200);
/// How often the bank sends a notification that is not answered with 200.
pub const NOTIFIED_AT_MOST: usize = 200;

/// A refund that is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Its label in the flow.
    pub label: &'static str,
    /// Its id.
    pub id: String,
    /// The names of its executions.
    pub names: Vec<String>,
    amount: Option<&'static str>,
}

/// How the refunds of a payment ended.
#[derive(Debug, Clone)]
pub struct RefundsEnded {
    /// The ledger.
    pub ledger: Ledger,
    /// The executions, each with the label of its refund.
    pub executions: Vec<(&'static str, ExecutionReport)>,
}

/// The refunds of a flow, with ids that begin like this.
pub fn of(flow: Flow, ids: &str) -> Vec<Played> {
    let names = |id: &str| match flow {
        Flow::RefundStartedTwice => vec![id.to_owned(), format!("{id}-again")],
        _ => vec![id.to_owned()],
    };
    flow.refunds()
        .iter()
        .map(|(label, amount)| {
            let id = format!("{ids}-{label}");
            Played {
                label,
                names: names(&id),
                id,
                amount: *amount,
            }
        })
        .collect()
}

impl Played {
    /// The input of its executions.
    pub fn input(&self, order_id: &str) -> Value {
        let mut input = json!({"refundId": self.id, "orderId": order_id, "reason": REFUND_REASON});
        if let Some(amount) = self.amount {
            input["amount"] = json!(amount);
        }
        input
    }
}

impl Player {
    fn refund_machine(&self) -> RefundMachine {
        RefundMachine::at(&self.aws, &self.outputs.refund_state_machine_arn)
    }

    /// Pays the order, and brings the charge to where the flow's refund begins.
    pub(super) async fn prepare_refunds(&self, begun: &Begun) -> Result<String> {
        self.pay(begun).await?;
        self.finish(begun).await?;
        let charge = self.charge_of(begun).await?.context("it has no charge")?;
        match begun.flow {
            Flow::RefundVoided | Flow::RefundWaits | Flow::RefundVoidedByHand => {}
            _ => self.counterparties.settle(&charge).await?,
        }
        match begun.flow {
            Flow::RefundRefused => {
                let refuses = Dialect::ReversalsRefused;
                self.counterparties.speak(&charge, refuses).await?;
            }
            Flow::RefundAnswerLost | Flow::RefundPartAnswerLost => {
                let token = &begun.payment.token;
                let fault = json!({"operation": "refund", "kind": "lost_answer", "token": token, "delayMs": 0});
                self.counterparties.plan_fault(&fault).await?;
            }
            Flow::RefundStartedTwice => {
                let token = &begun.payment.token;
                let late = SLOW.as_millis();
                let fault =
                    json!({"operation": "refund", "kind": "late", "token": token, "delayMs": late});
                self.counterparties.plan_fault(&fault).await?;
            }
            Flow::RefundSecondPart => {
                let order = &begun.payment.order.order_id;
                let id = random::id("rf_");
                let input = json!({"refundId": id, "orderId": order, "amount": EARLIER});
                let machine = self.refund_machine();
                machine.start(&id, &input).await?;
                let earlier = machine.end_of(&id, PATIENCE).await?;
                if !earlier.has_succeeded() {
                    bail!("the earlier refund is {}", earlier.status);
                }
            }
            _ => {}
        }
        Ok(charge)
    }

    /// Plays the refunds of a flow to their end. Calls `pausing` again and again while something runs.
    pub(super) async fn refund_to_the_end(&self, begun: &Begun, pausing: impl Fn()) -> Result<()> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        let order = &begun.payment.order.order_id;
        let machine = self.refund_machine();
        if begun.flow == Flow::GivenBackByHand {
            self.counterparties.refund_by_hand(charge, BY_HAND).await?;
            self.notify_until_taken(charge, &pausing).await?;
            let name = elsewhere(charge);
            return self.wait_for(&machine, &[name], begun, &pausing).await;
        }
        for refund in &begun.refunds {
            for name in &refund.names {
                let started = machine.start(name, &refund.input(order)).await?;
                if started != Started::Now {
                    bail!("the name {name} is taken");
                }
            }
        }
        let names = begun.refunds.iter().flat_map(|refund| &refund.names);
        let names: Vec<_> = names.cloned().collect();
        self.wait_for(&machine, &names, begun, &pausing).await
    }

    /// The bank notifies, and tries again until it gets a 200.
    async fn notify_until_taken(&self, charge: &str, pausing: impl Fn()) -> Result<()> {
        for _ in 0..NOTIFIED_AT_MOST {
            let sent = self.counterparties.notify(charge).await?;
            if sent["answer"] == 200 {
                return Ok(());
            }
            pausing();
            sleep(POLL).await;
        }
        bail!("the notification of {charge} is never answered with 200")
    }

    /// Waits until these executions are over. Does meanwhile what the flow wants while one waits for the settlement.
    async fn wait_for(
        &self,
        machine: &RefundMachine,
        names: &[String],
        begun: &Begun,
        pausing: impl Fn(),
    ) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        let mut waited = false;
        for name in names {
            loop {
                let seen = machine.find(name).await?;
                let seen = seen.with_context(|| format!("there is no execution {name}"))?;
                if seen.is_over() {
                    break;
                }
                let last = seen.states().last().map(|state| (*state).to_owned());
                if last.as_deref() == Some("AwaitSettlement") && !waited {
                    waited = true;
                    self.end_the_wait(begun).await?;
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

    async fn end_the_wait(&self, begun: &Begun) -> Result<()> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        match begun.flow {
            Flow::RefundVoidedByHand => self.counterparties.void_by_hand(charge).await,
            _ => self.counterparties.settle(charge).await,
        }
    }

    /// How the refunds of a flow ended.
    ///
    /// # Errors
    /// The environment does not answer.
    pub async fn refunds_ended(&self, begun: &Begun) -> Result<RefundsEnded> {
        let charge = begun.paid_by.as_deref().context("it is not paid")?;
        let machine = self.refund_machine();
        let mut names: Vec<_> = begun
            .refunds
            .iter()
            .flat_map(|refund| refund.names.iter().map(|name| (refund.label, name.clone())))
            .collect();
        if begun.flow == Flow::GivenBackByHand {
            names.push(("by hand", elsewhere(charge)));
        }
        let mut executions = Vec::new();
        for (label, name) in names {
            let seen = machine.find(&name).await?;
            executions.push((label, seen.context("the execution was there")?));
        }
        let ledger = self.inspector.ledger(charge).await?;
        Ok(RefundsEnded { ledger, executions })
    }
}

/// The name of the execution that a notification of money given back by hand starts.
pub fn elsewhere(charge: &str) -> String {
    format!("elsewhere-{charge}")
}
