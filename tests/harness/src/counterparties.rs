//! What the bank and the shop do by themselves, apart from the calls that the payment system makes.

use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::AttributeValue;
use payment3_bank::Dialect;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::http::client;
use crate::outputs::Outputs;

/// Does what the bank and the shop do by themselves.
#[derive(Debug, Clone)]
pub struct Counterparties {
    aws: Aws,
    outputs: Outputs,
}

impl Counterparties {
    /// Acts in the environment with these outputs.
    pub fn of(aws: &Aws, outputs: &Outputs) -> Self {
        Self {
            aws: aws.clone(),
            outputs: outputs.clone(),
        }
    }

    /// The bank settles a charge, as its nightly batch does.
    ///
    /// # Errors
    /// The bank has no such charge, or it is in another state.
    pub async fn settle(&self, charge_id: &str) -> Result<()> {
        self.bank_does(charge_id, "settle").await.map(drop)
    }

    /// A person cancels a charge in the bank's portal. No notification is sent by itself: see [`Counterparties::notify`].
    ///
    /// # Errors
    /// The bank has no such charge, or it is in another state.
    pub async fn void_by_hand(&self, charge_id: &str) -> Result<()> {
        let quietly = json!({"notify": false});
        self.by_hand(charge_id, "void", &quietly).await
    }

    /// A person gives back a part of a charge in the bank's portal, in decimal baht. No notification is sent by itself:
    /// see [`Counterparties::notify`].
    ///
    /// # Errors
    /// The bank has no such charge, it is in another state, or less is left.
    pub async fn refund_by_hand(&self, charge_id: &str, amount: &str) -> Result<()> {
        let quietly = json!({"amount": amount, "notify": false});
        self.by_hand(charge_id, "refund", &quietly).await
    }

    async fn by_hand(&self, charge_id: &str, what: &str, body: &Value) -> Result<()> {
        let url = format!(
            "{}/sandbox/charges/{charge_id}/{what}",
            self.outputs.bank_url
        );
        let answer = client().post(url).json(body).send().await;
        let answer = answer.context("the bank does not answer")?;
        answer
            .error_for_status()
            .map(drop)
            .context("the bank refuses")
    }

    /// The bank refuses each void and refund of a charge that its API is asked for, or accepts them again.
    ///
    /// # Errors
    /// The bank has no such charge.
    pub async fn refuse_reversals(&self, charge_id: &str, refuse: bool) -> Result<()> {
        let url = format!(
            "{}/sandbox/charges/{charge_id}/reversals",
            self.outputs.bank_url
        );
        let manner = refuse.then_some("error");
        let request = client().put(url).json(&json!({ "refuse": manner }));
        let answer = request.send().await.context("the bank does not answer")?;
        answer
            .error_for_status()
            .map(drop)
            .context("the bank refuses")
    }

    /// The bank sends the notification of what a charge is now, and waits for our answer; the status is `answer`.
    ///
    /// # Errors
    /// The bank has no such charge.
    pub async fn notify(&self, charge_id: &str) -> Result<Value> {
        self.bank_does(charge_id, "notify").await
    }

    /// The bank uses this dialect for a charge from now on.
    ///
    /// # Errors
    /// The bank has no such charge.
    pub async fn speak(&self, charge_id: &str, dialect: Dialect) -> Result<()> {
        let url = format!(
            "{}/sandbox/charges/{charge_id}/dialect",
            self.outputs.bank_url
        );
        let request = client().put(url).json(&json!({ "dialect": dialect }));
        let answer = request.send().await.context("the bank does not answer")?;
        answer
            .error_for_status()
            .map(drop)
            .context("the bank refuses")
    }

    /// Plans a fault of the bank for the next calls of an operation. `fault` is a request to the sandbox's
    /// `/sandbox/faults`.
    ///
    /// # Errors
    /// The bank knows no such fault.
    pub async fn plan_fault(&self, fault: &Value) -> Result<()> {
        let url = format!("{}/sandbox/faults", self.outputs.bank_url);
        let answer = client().post(url).json(fault).send().await;
        let answer = answer.context("the bank does not answer")?;
        answer
            .error_for_status()
            .map(drop)
            .context("the bank refuses")
    }

    /// The shop deletes an order.
    ///
    /// # Errors
    /// The table cannot be written.
    pub async fn delete_order(&self, order_id: &str) -> Result<()> {
        self.aws
            .dynamodb
            .delete_item()
            .table_name(self.outputs.table("order")?)
            .key("orderId", AttributeValue::S(order_id.to_owned()))
            .send()
            .await
            .map(drop)
            .context("the order cannot be deleted")
    }

    async fn bank_does(&self, charge_id: &str, what: &str) -> Result<Value> {
        let url = format!(
            "{}/sandbox/charges/{charge_id}/{what}",
            self.outputs.bank_url
        );
        let response = client().post(url).send().await?.error_for_status()?;
        response.json().await.context("the bank answers JSON")
    }
}
