//! Sets up what a deployment does not create: the bank's keys, the URLs of the merchant account, and orders.

use anyhow::{Context, Result, anyhow, ensure};
use payment3_bank::{FORMER_SECRET_KEY, PUBLIC_KEY, SECRET_KEY};
use payment3_harness::aws::Aws;
use payment3_harness::http::client;
use payment3_harness::outputs::Outputs;
use payment3_harness::shop_api::NewOrder;
use payment3_harness::{inspect, json_api};
use payment3_shop::{OrderBook, SigningKey};
use serde_json::json;

/// When the sandbox bank sends notifications, and when reconciliation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notifications {
    /// As in production: a notification after every decision of the bank, reconciliation on its schedule.
    Automatic,
    /// Only when a test asks for it, so that the test controls the order of events.
    OnDemand,
}

/// Orders that every environment starts with: id, owner and total.
const SEEDED_ORDERS: [(&str, &str, &str); 2] = [
    ("482500007436", "usr_123", "1500.00"),
    ("482500007437", "usr_123", "249.50"),
];

/// Stores the URL of the bank and its keys for the functions. First the keys from before a rotation are stored, then
/// the current ones, because the bank may sign with either.
pub(crate) async fn put_gateway_secret(aws: &Aws, outputs: &Outputs, bank_url: &str) -> Result<()> {
    for key in [FORMER_SECRET_KEY, SECRET_KEY] {
        let value = json!({
            "url": bank_url,
            "b2c": format!("{PUBLIC_KEY}:{key}"),
        });
        aws.secrets
            .put_secret_value()
            .secret_id(&outputs.gateway_secret_arn)
            .secret_string(value.to_string())
            .send()
            .await
            .context("cannot put the gateway's secret")?;
    }
    Ok(())
}

/// The key with which the deployment signs events. The shop verifies the signatures with it.
pub(crate) async fn webhook_key(aws: &Aws, outputs: &Outputs) -> Result<SigningKey> {
    let key = inspect::webhook_key_text(aws, outputs).await?;
    SigningKey::from_base64(&key)
        .map_err(|_| anyhow!("the shop's webhook signing key is not base64"))
}

/// Configures the merchant account at the bank: the URLs for shoppers who return and for notifications.
pub(crate) async fn configure_bank(outputs: &Outputs, notifications: Notifications) -> Result<()> {
    let response = client()
        .put(format!("{}/sandbox/merchant", outputs.bank_url))
        .json(&json!({
            "callbackUrl": format!("{}/callback", outputs.api_url),
            "notifyUrl": format!("{}/notify", outputs.api_url),
            "shopUrl": outputs.shop_url,
            "notifyOnDemand": notifications == Notifications::OnDemand,
        }))
        .send()
        .await
        .context("the sandbox bank does not answer")?;
    response
        .error_for_status()
        .map(drop)
        .context("the sandbox bank refuses the merchant account")
}

/// Creates the seed orders. Existing ones are not changed.
pub(crate) async fn seed(orders: &OrderBook) -> Result<()> {
    for (id, owner, total) in SEEDED_ORDERS {
        let order = NewOrder {
            grand_total: total.to_owned(),
            email: Some(format!("{owner}@example.com")),
            ..NewOrder::of(owner)
        };
        orders.create(id, &order).await?;
    }
    Ok(())
}

/// Stops the schedule of reconciliation. Tests run reconciliation themselves when their payments are ready.
///
/// # Errors
/// The local AWS does not answer, or has no schedule.
pub(crate) async fn stop_schedule(outputs: &Outputs) -> Result<()> {
    let prefix = format!("payment3-reconcile-{}", outputs.branch);
    let found = json_api::call(
        &outputs.aws_endpoint,
        "AWSEvents.ListRules",
        &json!({"NamePrefix": prefix}),
    )
    .await?;
    let rules = found["Rules"].as_array().context("rules have names")?;
    ensure!(!rules.is_empty(), "reconciliation has no schedule");
    for rule in rules {
        let name = json!({"Name": rule["Name"]});
        json_api::call(&outputs.aws_endpoint, "AWSEvents.DisableRule", &name).await?;
    }
    Ok(())
}
