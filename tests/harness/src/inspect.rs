//! What a payment left behind: in the tables, at the bank, at the shop.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use payment3_activities::domain::ids::CardToken;
use serde::Deserialize;
use serde_json::Value;

use crate::aws::Aws;
use crate::http::{client, form};
use crate::items;
use crate::ledger::Ledger;
use crate::outputs::Outputs;
use crate::shop_api::{ReceivedEvent, WEBHOOK_PATH};

/// How often a check status is asked for that is answered with 503, and after how long.
const ASKS: u32 = 10;
const BETWEEN_ASKS: Duration = Duration::from_secs(1);

/// Looks into a running environment.
#[derive(Debug, Clone)]
pub struct Inspector {
    aws: Aws,
    outputs: Outputs,
}

/// What the bank did with a card token.
#[derive(Debug, Clone, Deserialize)]
pub struct BankToken {
    /// The charges made with it.
    pub charges: Vec<Value>,
    /// The customers that hold its card.
    pub customers: Vec<Value>,
}

impl Inspector {
    /// Looks into the environment with these outputs.
    pub fn new(aws: &Aws, outputs: &Outputs) -> Self {
        Self {
            aws: aws.clone(),
            outputs: outputs.clone(),
        }
    }

    /// The order's item.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn order(&self, order_id: &str) -> Result<Option<Value>> {
        self.item("order", "orderId", order_id).await
    }

    /// The payment record by its charge.
    ///
    /// # Errors
    /// The table cannot be read, or holds two.
    pub async fn record_by_charge(&self, charge_id: &str) -> Result<Option<Value>> {
        let query = self
            .aws
            .dynamodb
            .query()
            .table_name(self.outputs.table("card-payment-record")?)
            .index_name("chargeId_index")
            .key_condition_expression("chargeId = :charge")
            .expression_attribute_values(":charge", AttributeValue::S(charge_id.to_owned()));
        let found = query.send().await.context("cannot query the records")?;
        match found.items() {
            [] => Ok(None),
            [item] => Ok(Some(items::to_json(item))),
            several => bail!("the charge {charge_id} has {} records", several.len()),
        }
    }

    /// The payment record by its card token.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn record_by_token(&self, token: &str) -> Result<Option<Value>> {
        self.item("card-payment-record", "tokenId", &self.key_of_token(token)?)
            .await
    }

    /// The key of a card token's record.
    ///
    /// # Errors
    /// It is no card token.
    pub fn key_of_token(&self, token: &str) -> Result<String> {
        let token = CardToken::new(token).context("no card token")?;
        Ok(token.record_key().as_str().to_owned())
    }

    /// The mapping of a shop's customer to the bank's.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn mapping(&self, owner_id: &str) -> Result<Option<Value>> {
        self.item("kbank-user-mapping", "ownerId", owner_id).await
    }

    /// What the app is told about an order.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn check_status(&self, order_id: &str) -> Result<Option<Value>> {
        self.item("check-status", "orderId", order_id).await
    }

    /// What `GET /checkstatus` answers about an order; nothing where it knows of no payment. Asks again after a 503, as
    /// an app does.
    ///
    /// # Errors
    /// It does not answer, or with another status than 200 and 404.
    pub async fn shown_status(&self, order_id: &str) -> Result<Option<Value>> {
        let url = format!("{}/checkstatus/{order_id}", self.outputs.api_url);
        let mut asked = 1;
        loop {
            let response = client()
                .get(&url)
                .send()
                .await
                .context("/checkstatus does not answer")?;
            match response.status().as_u16() {
                200 => {
                    let shown = response.json().await;
                    return shown.map(Some).context("/checkstatus answers JSON");
                }
                404 => return Ok(None),
                503 if asked < ASKS => tokio::time::sleep(BETWEEN_ASKS).await,
                status => bail!("/checkstatus answered {status} about order {order_id}"),
            }
            asked += 1;
        }
    }

    /// The rows of a charge in the table of outcomes.
    ///
    /// # Errors
    /// The table cannot be read.
    pub async fn outcomes(&self, charge_id: &str) -> Result<Vec<Value>> {
        let query = self
            .aws
            .dynamodb
            .query()
            .table_name(self.outputs.table("credit-card-notify")?)
            .consistent_read(true)
            .key_condition_expression("chargeId = :charge")
            .expression_attribute_values(":charge", AttributeValue::S(charge_id.to_owned()));
        let found = query.send().await.context("cannot query the outcomes")?;
        Ok(found.items().iter().map(items::to_json).collect())
    }

    /// A charge as the bank has it, with its history.
    ///
    /// # Errors
    /// The bank has none.
    pub async fn bank_charge(&self, charge_id: &str) -> Result<Value> {
        self.bank(&format!("charges/{charge_id}")).await
    }

    /// The requests for a void or a refund of a charge that the bank got by its API, oldest first: `void` or `refund`.
    ///
    /// # Errors
    /// The bank does not answer.
    pub async fn reversals_asked(&self, charge_id: &str) -> Result<Vec<String>> {
        let requests = self.bank("requests").await?;
        let requests = requests.as_array().into_iter().flatten();
        let of_it = |path: &str| path.split('/').any(|part| part == charge_id);
        Ok(requests
            .filter(|request| request["path"].as_str().is_some_and(of_it))
            .filter_map(|request| request["operation"].as_str())
            .filter(|operation| matches!(*operation, "void" | "refund"))
            .map(str::to_owned)
            .collect())
    }

    /// The ledger of refunds of a charge's payment.
    ///
    /// # Errors
    /// The table cannot be read, or there is no such payment.
    pub async fn ledger(&self, charge_id: &str) -> Result<Ledger> {
        let record = self.record_by_charge(charge_id).await?;
        Ledger::of(&record.with_context(|| format!("no payment has the charge {charge_id}"))?)
    }

    /// A customer as the bank has it, with its cards.
    ///
    /// # Errors
    /// The bank has none.
    pub async fn bank_customer(&self, customer_id: &str) -> Result<Value> {
        self.bank(&format!("customers/{customer_id}")).await
    }

    /// What the bank did with a card token: the charges made with it, and the customers that hold its card.
    ///
    /// # Errors
    /// The bank does not answer.
    pub async fn bank_token(&self, token: &str) -> Result<BankToken> {
        let known = self.bank(&format!("tokens/{token}")).await?;
        serde_json::from_value(known).context("the sandbox bank's answer is not as expected")
    }

    /// Every delivery of an event about an order to the shop, oldest first.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn shop_events(&self, order_id: &str) -> Result<Vec<ReceivedEvent>> {
        self.events("orderId", order_id).await
    }

    /// Every delivery of an event about a charge to the shop, oldest first.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn shop_events_of_charge(&self, charge_id: &str) -> Result<Vec<ReceivedEvent>> {
        self.events("chargeId", charge_id).await
    }

    async fn events(&self, field: &str, value: &str) -> Result<Vec<ReceivedEvent>> {
        let response = client()
            .get(format!(
                "{}{WEBHOOK_PATH}?{}",
                self.outputs.shop_url,
                form([(field, value)])
            ))
            .send()
            .await
            .context("the demo shop does not answer")?;
        response
            .json()
            .await
            .context("the demo shop's list of events is not as expected")
    }

    async fn item(&self, table: &str, key: &str, value: &str) -> Result<Option<Value>> {
        let found = self
            .aws
            .dynamodb
            .get_item()
            .table_name(self.outputs.table(table)?)
            .key(key, AttributeValue::S(value.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .with_context(|| format!("cannot read the table {table}"))?;
        Ok(found.item().map(items::to_json))
    }

    async fn bank(&self, path: &str) -> Result<Value> {
        let response = client()
            .get(format!("{}/sandbox/{path}", self.outputs.bank_url))
            .send()
            .await
            .context("the sandbox bank does not answer")?;
        let status = response.status();
        if !status.is_success() {
            bail!("the sandbox bank answered {status} for {path}");
        }
        response
            .json()
            .await
            .context("the sandbox bank's answer is not JSON")
    }
}

/// The key that the deployment signs events with, as it is stored: in base64.
///
/// # Errors
/// The secret cannot be read.
pub async fn webhook_key_text(aws: &Aws, outputs: &Outputs) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Secret {
        signing_key: String,
    }
    let answer = aws
        .secrets
        .get_secret_value()
        .secret_id(&outputs.shop_webhook_secret_arn)
        .send()
        .await
        .context("cannot get the shop's webhook secret")?;
    let text = answer.secret_string().unwrap_or_default();
    // Neither error may carry the secret, so the parser's own words are left out.
    let secret: Secret = serde_json::from_str(text)
        .map_err(|_| anyhow::anyhow!("the shop's webhook secret is not {{\"signingKey\": …}}"))?;
    Ok(secret.signing_key)
}
