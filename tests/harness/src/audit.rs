//! What the system wrote down of the payments that went through it: its logs and its executions' histories. Every order
//! must be found in them, by whoever looks for it at night; and nothing that is secret or personal may stand there.

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

/// More executions than any run makes.
const ALL: usize = 100_000;
/// How many histories are read at once.
const SIDE_BY_SIDE: usize = 4;

/// What the payments of a run used.
#[derive(Debug, Default)]
pub struct Used {
    /// The order and the card token of each checkout.
    payments: Vec<(String, String)>,
    /// What must not be written down, and what it is.
    hidden: BTreeMap<String, &'static str>,
}

impl Used {
    /// A checkout of this order with this card token.
    pub fn payment(&mut self, order_id: &str, token: &str) {
        self.payments.push((order_id.to_owned(), token.to_owned()));
        self.hide("a card token", token);
    }

    /// A customer's e-mail address, and whom an order goes to.
    pub fn person(&mut self, email: &str, recipient: &Recipient) {
        self.hide("an e-mail address", email);
        self.hide("a name", &recipient.name);
        self.hide("a telephone number", &recipient.phone);
        self.hide("an address", &recipient.address);
    }

    fn hide(&mut self, what: &'static str, value: &str) {
        self.hidden.insert(value.to_owned(), what);
    }

    /// The system's own keys, and the cards' numbers.
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

/// What was read, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Audit {
    payments: usize,
    hidden: usize,
    lines: usize,
    histories: usize,
    /// What is missing, and what should not be there. Never the value itself.
    pub findings: Vec<String>,
}

/// Reads all logs and histories of a branch.
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
    let executions = Executions::of(&aws, &outputs.state_machine_arn);
    let names: Vec<_> = executions
        .list(None, ALL)
        .await?
        .into_iter()
        .map(|one| one.name)
        .collect();
    for some in names.chunks(SIDE_BY_SIDE) {
        let mut reading = tokio::task::JoinSet::new();
        for name in some {
            let (outputs, name) = (outputs.clone(), name.clone());
            reading.spawn(async move { history(&outputs, &name).await.map(|text| (name, text)) });
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
    /// Every order, with the charges that were made for it. A verified card has none.
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

/// What is looked for: ids that must be found, and what must not.
struct Words<'a> {
    /// Each with what it is, where it must not be found.
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

    /// The ids in a text. What must not be in it becomes a finding.
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

/// An execution's history with all its data: more than the SDK's types print.
async fn history(outputs: &Outputs, name: &str) -> Result<String> {
    let mut request = json!({
        "executionArn": outputs.execution_arn(name), "includeExecutionData": true, "maxResults": 1000,
    });
    let mut text = String::new();
    loop {
        let target = "AWSStepFunctions.GetExecutionHistory";
        let page = json_api::call(&outputs.aws_endpoint, target, &request).await?;
        // Data is JSON in JSON: quotes in it are escaped, which no id, token or name has.
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
            0 => f.write_str("every order is named, and none of these is there"),
            several => write!(f, "{several} findings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_what_is_hidden_becomes_a_finding_without_its_value() {
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
