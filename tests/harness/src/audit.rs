//! Checks the logs and the executions' histories of all payments. Every order must be named in them, so that a person
//! can find it. They must not hold secrets or personal data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::executions::Executions;
use crate::inspect::{self, Inspector};
use crate::outputs::Outputs;
use crate::shop_api::{Recipient, VERIFICATION};
use crate::{json_api, logs, shopper};

/// Why money goes back in all refunds. A shop writes anything there, so it stays out of the logs: only the ledger, the
/// bank and the execution's own data have it.
pub const REFUND_REASON: &str = "not on the shelf";
/// A limit that no run reaches.
const ALL: usize = 100_000;
/// How many histories are read at once.
const AT_ONCE: usize = 4;

/// The orders, secrets and personal data that the payments of a run used.
#[derive(Debug, Default)]
pub struct Used {
    /// The order and the card token of each checkout.
    payments: Vec<(String, String)>,
    /// The values that must not be written, each with its kind.
    hidden: BTreeMap<String, &'static str>,
    /// The refunds that ended with a person: nobody can tell whether they took effect.
    uncertain: BTreeSet<String>,
}

impl Used {
    /// Adds a checkout of this order with this card token.
    pub fn payment(&mut self, order_id: &str, token: &str) {
        self.payments.push((order_id.to_owned(), token.to_owned()));
        self.hide("a card token", token);
    }

    /// Adds refunds that ended with a person.
    pub fn uncertain_refunds(&mut self, ids: impl IntoIterator<Item = String>) {
        self.uncertain.extend(ids);
    }

    /// The refunds that ended with a person.
    pub fn uncertain(&self) -> &BTreeSet<String> {
        &self.uncertain
    }

    /// Adds a customer's e-mail address and an order's recipient.
    pub fn person(&mut self, email: &str, recipient: &Recipient) {
        self.hide("an e-mail address", email);
        self.hide("a name", &recipient.name);
        self.hide("a telephone number", &recipient.phone);
        self.hide("an address", &recipient.address);
    }

    fn hide(&mut self, what: &'static str, value: &str) {
        self.hidden.insert(value.to_owned(), what);
    }

    /// Adds the system's own keys, and the card numbers.
    async fn hide_keys(&mut self, aws: &Aws, outputs: &Outputs) -> Result<()> {
        self.hide("the bank's public key", payment3_bank::PUBLIC_KEY);
        self.hide("the bank's secret key", payment3_bank::SECRET_KEY);
        self.hide(
            "the bank's former secret key",
            payment3_bank::FORMER_SECRET_KEY,
        );
        let signing = inspect::webhook_key_text(aws, outputs).await?;
        self.hide("the key that signs events", &signing);
        for card in [
            shopper::CARD_APPROVED,
            shopper::OTHER_CARD_APPROVED,
            shopper::CARD_DECLINED,
            shopper::CARD_WITHOUT_3DS,
        ] {
            self.hide("a card number", card);
        }
        Ok(())
    }
}

/// How much was read, and the findings.
#[derive(Debug, Default)]
pub struct Audit {
    payments: usize,
    hidden: usize,
    lines: usize,
    histories: usize,
    /// What is missing, and what must not be there. A finding never holds the value itself.
    pub findings: Vec<String>,
}

/// Reads and checks all logs and histories of a branch.
///
/// # Errors
/// They cannot be read.
pub async fn audit(outputs: &Outputs, mut used: Used) -> Result<Audit> {
    let aws = Aws::at(&outputs.aws_endpoint);
    used.hide_keys(&aws, outputs).await?;
    let orders = used.orders(&Inspector::new(&aws, outputs)).await?;
    let mut audit = Audit {
        payments: used.payments.len(),
        hidden: used.hidden.len(),
        ..Audit::default()
    };
    let words = Words::new(&used, &orders)?;

    let mut logged = BTreeSet::new();
    for group in logs::groups(outputs).await? {
        for line in logs::lines(outputs, &group).await? {
            audit.lines += 1;
            if line.contains(REFUND_REASON) {
                let finding = format!("a line of {group} holds the reason of a refund");
                audit.findings.push(finding);
            }
            let found = words.read(&line, || format!("a line of {group}"), &mut audit.findings);
            logged.extend(found);
        }
    }
    for order in orders
        .keys()
        .filter(|order| !logged.contains(order.as_str()))
    {
        audit
            .findings
            .push(format!("no log line names the order {order}"));
    }

    let mut executed = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut summaries = Vec::new();
    for machine in [
        &outputs.state_machine_arn,
        &outputs.refund_state_machine_arn,
    ] {
        summaries.extend(Executions::of(&aws, machine).list(None, ALL).await?);
    }
    for some in summaries.chunks(AT_ONCE) {
        let mut reading = tokio::task::JoinSet::new();
        for summary in some {
            let (outputs, summary) = (outputs.clone(), summary.clone());
            reading.spawn(async move {
                let text = history(&outputs, &summary.arn).await?;
                anyhow::Ok((summary.name, text))
            });
        }
        while let Some(read) = reading.join_next().await {
            let (name, text) = read.context("a history was not read")??;
            audit.histories += 1;
            let found = words.read(
                &text,
                || format!("the history of {name}"),
                &mut audit.findings,
            );
            for (order, charges) in &orders {
                let about = charges.iter().any(|charge| found.contains(charge.as_str()));
                if about {
                    executed.insert(order);
                }
                if about && found.contains(order.as_str()) {
                    named.insert(order);
                }
            }
        }
    }
    for order in executed.difference(&named) {
        audit
            .findings
            .push(format!("no execution's history names the order {order}"));
    }
    Ok(audit)
}

impl Used {
    /// Every order with its charges. Card verifications have no order.
    async fn orders(&self, inspector: &Inspector) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut orders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (order, token) in &self.payments {
            if order == VERIFICATION {
                continue;
            }
            let charges = orders.entry(order.clone()).or_default();
            let record = inspector.record_by_token(token).await?;
            let charge = record
                .as_ref()
                .and_then(|record| record["chargeId"].as_str());
            charges.extend(charge.map(str::to_owned));
        }
        Ok(orders)
    }
}

/// The texts to search for: ids that must be found, and values that must not.
struct Words<'a> {
    /// The texts. One that must not be found has its kind.
    words: Vec<(&'a str, Option<&'static str>)>,
    all: AhoCorasick,
}

impl<'a> Words<'a> {
    fn new(used: &'a Used, orders: &'a BTreeMap<String, BTreeSet<String>>) -> Result<Self> {
        let hidden = used
            .hidden
            .iter()
            .map(|(word, what)| (word.as_str(), Some(*what)));
        let ids = orders
            .iter()
            .flat_map(|(order, charges)| std::iter::once(order).chain(charges));
        let words: Vec<_> = hidden.chain(ids.map(|id| (id.as_str(), None))).collect();
        let all = AhoCorasick::new(words.iter().map(|(word, _)| *word));
        Ok(Self {
            all: all.context("too many words to look for")?,
            words,
        })
    }

    /// Returns the ids in a text. Adds a finding for each value that must not be there.
    fn read(
        &self,
        text: &str,
        place: impl Fn() -> String,
        findings: &mut Vec<String>,
    ) -> BTreeSet<&'a str> {
        let mut ids = BTreeSet::new();
        for found in self.all.find_overlapping_iter(text) {
            match self.words[found.pattern().as_usize()] {
                (id, None) => {
                    ids.insert(id);
                }
                (_, Some(what)) => findings.push(format!("{} holds {what}", place())),
            }
        }
        ids
    }
}

/// An execution's history with all its data. The SDK's types would not show everything.
async fn history(outputs: &Outputs, arn: &str) -> Result<String> {
    let mut request = json!({
        "executionArn": arn, "includeExecutionData": true, "maxResults": 1000,
    });
    let mut text = String::new();
    loop {
        let target = "AWSStepFunctions.GetExecutionHistory";
        let page = json_api::call(&outputs.aws_endpoint, target, &request).await?;
        // The data is JSON in JSON with escaped quotes. No id, token or name has a quote, so the search finds them.
        text.push_str(&page["events"].to_string());
        match &page["nextToken"] {
            Value::String(next) => request["nextToken"] = json!(next),
            _ => return Ok(text),
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} payments wrote {} log lines and {} histories, which were searched for {} tokens, keys, names and addresses: ",
            self.payments, self.lines, self.histories, self.hidden
        )?;
        match self.findings.len() {
            0 => f.write_str("every order is named, and none of these was found"),
            several => write!(f, "{several} findings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_ids_and_reports_hidden_values_without_the_value() {
        let mut used = Used::default();
        used.payment("482500007436", "tokn_test_1");
        let orders = BTreeMap::from([(
            "482500007436".to_owned(),
            BTreeSet::from(["chrg_test_1".to_owned()]),
        )]);
        let words = Words::new(&used, &orders).expect("few words");
        let mut findings = Vec::new();
        let line = r#"{"chargeId":"chrg_test_1","orderId":"482500007436"}"#;
        let ids = words.read(line, || "a line".into(), &mut findings);
        assert_eq!(ids, BTreeSet::from(["482500007436", "chrg_test_1"]));
        assert_eq!(findings, [""; 0]);
        words.read(r#"{"of":"tokn_test_1"}"#, || "a line".into(), &mut findings);
        assert_eq!(findings, ["a line holds a card token"]);
    }
}
