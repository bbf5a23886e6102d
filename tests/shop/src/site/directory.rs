//! Lists of the shop's orders and customers. They read complete tables, which is fine only in a local environment.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use payment3_harness::aws::Aws;
use payment3_harness::inspect::Inspector;
use payment3_harness::items;
use payment3_harness::outputs::Outputs;
use serde::Serialize;
use serde_json::Value;

/// Reads the tables.
#[derive(Clone)]
pub(super) struct Directory {
    dynamodb: aws_sdk_dynamodb::Client,
    orders: String,
    statuses: String,
    mapping: String,
}

/// An order as the list shows it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedOrder {
    order_id: String,
    owner_id: String,
    /// In decimal baht.
    grand_total: String,
    /// When it was made. None for orders of earlier versions.
    created_at: Option<String>,
    is_paid: bool,
    /// What the order says of its payment; `refunded` or `partially refunded` once money went back.
    payment_status: Option<String>,
    /// What apps are shown: `pending`, `paid`, `declined` or `reversed`. None before a payment has started.
    status: Option<String>,
    /// The charge that the status is about.
    charge_id: Option<String>,
    updated_at: Option<String>,
}

/// A customer of the shop who has orders or saved cards.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    owner_id: String,
    /// The customer at the bank.
    customer_id: Option<String>,
    /// The saved cards, as the bank shows them: masked.
    cards: Vec<Value>,
}

impl Directory {
    /// The tables of a deployment.
    pub(super) fn of(aws: &Aws, outputs: &Outputs) -> Result<Self> {
        Ok(Self {
            dynamodb: aws.dynamodb.clone(),
            orders: outputs.table("order")?.to_owned(),
            statuses: outputs.table("check-status")?.to_owned(),
            mapping: outputs.table("kbank-user-mapping")?.to_owned(),
        })
    }

    /// Every order, the newest first.
    pub(super) async fn orders(&self) -> Result<Vec<ListedOrder>> {
        let statuses: HashMap<String, Value> = self
            .scan(&self.statuses)
            .await?
            .into_iter()
            .filter_map(|row| Some((text(&row, "orderId")?, row)))
            .collect();
        let mut orders: Vec<_> = self
            .scan(&self.orders)
            .await?
            .iter()
            .filter_map(|item| listed(item, &statuses))
            .collect();
        orders.sort_by(|a, b| (&b.created_at, &b.order_id).cmp(&(&a.created_at, &a.order_id)));
        Ok(orders)
    }

    /// Every customer who ordered something or has a card, with the cards.
    pub(super) async fn users(&self, inspector: &Inspector) -> Result<Vec<User>> {
        let mut known: BTreeMap<String, Option<String>> = self
            .orders()
            .await?
            .into_iter()
            .map(|order| (order.owner_id, None))
            .collect();
        for row in self.scan(&self.mapping).await? {
            if let Some(owner) = text(&row, "ownerId") {
                known.insert(owner, text(&row, "kbank_id"));
            }
        }
        let mut users = Vec::new();
        for (owner_id, customer_id) in known {
            let cards = match &customer_id {
                Some(id) => inspector.bank_customer(id).await?["cards"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
                None => Vec::new(),
            };
            users.push(User {
                owner_id,
                customer_id,
                cards,
            });
        }
        Ok(users)
    }

    async fn scan(&self, table: &str) -> Result<Vec<Value>> {
        let mut rows = self
            .dynamodb
            .scan()
            .table_name(table)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(row) = rows.next().await {
            let row = row.with_context(|| format!("cannot read the table {table}"))?;
            found.push(items::to_json(&row));
        }
        Ok(found)
    }
}

fn listed(item: &Value, statuses: &HashMap<String, Value>) -> Option<ListedOrder> {
    let order_id = text(item, "orderId")?;
    let data = &item["data"];
    let status = statuses.get(&order_id).unwrap_or(&Value::Null);
    let total = &data["payment"]["grandTotal"];
    Some(ListedOrder {
        owner_id: text(data, "ownerId").unwrap_or_default(),
        grand_total: items::baht(total).unwrap_or_default(),
        created_at: made_at(data),
        is_paid: data["payment"]["isPaid"] == true,
        payment_status: text(&data["payment"], "status"),
        status: text(status, "status"),
        charge_id: text(status, "chargeId"),
        updated_at: text(status, "updatedAt"),
        order_id,
    })
}

/// When an order was made, from the unix seconds of its date.
fn made_at(data: &Value) -> Option<String> {
    let seconds = data["orderDate"].as_i64()?;
    let at = jiff::Timestamp::from_second(seconds).ok()?;
    Some(at.to_string())
}

fn text(value: &Value, field: &str) -> Option<String> {
    value[field].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_is_listed_with_the_status_that_apps_are_shown() {
        let item = json!({"orderId": "1", "data": {"ownerId": "usr_1", "orderDate": 1_795_324_200,
            "payment": {"grandTotal": 1500, "isPaid": true, "status": "partially refunded"}}});
        let statuses = HashMap::from([(
            "1".to_owned(),
            json!({"orderId": "1", "status": "paid", "chargeId": "chrg_1", "updatedAt": "2026-11-22T05:11:00Z"}),
        )]);
        let order = listed(&item, &statuses).expect("an order");
        assert_eq!(order.grand_total, "1500.00");
        assert_eq!(order.created_at.as_deref(), Some("2026-11-22T05:10:00Z"));
        assert!(order.is_paid);
        assert_eq!(order.payment_status.as_deref(), Some("partially refunded"));
        assert_eq!(order.status.as_deref(), Some("paid"));
        assert_eq!(order.charge_id.as_deref(), Some("chrg_1"));
    }

    #[test]
    fn an_order_that_nobody_paid_has_no_status() {
        let item = json!({"orderId": "2", "data": {"ownerId": "usr_1", "payment": {"grandTotal": "249.5"}}});
        let order = listed(&item, &HashMap::new()).expect("an order");
        assert_eq!(order.grand_total, "249.50");
        assert_eq!((order.is_paid, order.status), (false, None));
    }
}
