//! The shop's orders in the order table, which the payment system reads and writes as well.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use payment3_activities::domain::money::Satang;
use payment3_harness::shop_api::{NewOrder, Order, placed};
use payment3_harness::{items, random};
use serde_json::json;

use crate::Shop;

/// The orders in their table.
#[derive(Debug, Clone)]
pub struct OrderBook {
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
}

impl OrderBook {
    /// The orders in `table`.
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        Self {
            dynamodb,
            table: table.into(),
        }
    }

    /// Makes an order. False if its id is taken; then nothing changes.
    ///
    /// # Errors
    /// The total is no amount, or the table cannot be written.
    pub async fn create(&self, id: &str, new: &NewOrder) -> Result<bool> {
        let total = Satang::parse_shop(&new.grand_total)
            .map_err(|error| anyhow!("grandTotal {error}"))?
            .to_string();
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .item("orderId", text(id))
            .item("data", order_data(id, new, &total))
            .condition_expression("attribute_not_exists(orderId)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(error) => Err(anyhow::Error::new(error).context("cannot write the order")),
        }
    }

    /// An order, if there is one.
    ///
    /// # Errors
    /// The table cannot be read, or the item is no order.
    pub async fn read(&self, id: &str) -> Result<Option<Order>> {
        let answer = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("orderId", text(id))
            .consistent_read(true)
            .send()
            .await
            .context("cannot read the order")?;
        answer
            .item
            .map(|item| from_item(&item).with_context(|| format!("the order {id} is malformed")))
            .transpose()
    }
}

/// `data` of a new order.
fn order_data(id: &str, new: &NewOrder, total: &str) -> AttributeValue {
    let basket = random::id("basket_");
    let mut data = placed(id, &new.owner_id, &basket, Timestamp::now());
    if let Some(email) = &new.email {
        data["billingInfo"] = json!({"customerEmail": email});
    }
    if let Some(recipient) = &new.recipient {
        data["shipping"] = json!({
            "scheduleList": [],
            "shippingFirstName": recipient.name,
            "shippingPhone": recipient.phone,
            "shippingAddress": recipient.address,
            "shippingPostcode": recipient.postcode,
            "shippingEmail": new.email,
        });
    }
    let mut data = items::from_json(&data);
    // The total is written digit by digit. As a JSON number it could be rounded.
    let amounts = ["grandTotal", "subTotal"];
    if let AttributeValue::M(data) = &mut data
        && let Some(AttributeValue::M(payment)) = data.get_mut("payment")
    {
        payment.extend(amounts.map(|name| (name.to_owned(), AttributeValue::N(total.to_owned()))));
    }
    data
}

fn from_item(item: &HashMap<String, AttributeValue>) -> Option<Order> {
    let data = item.get("data")?.as_m().ok()?;
    let string = |name: &str| Some(data.get(name)?.as_s().ok()?.clone());
    let payment = data.get("payment")?.as_m().ok()?;
    let payment = items::to_json(payment);
    Some(Order {
        order_id: string("orderId")?,
        owner_id: string("ownerId")?,
        basket_id: string("basketId")?,
        grand_total: items::baht(&payment["grandTotal"])?,
        is_paid: payment["isPaid"] == true,
        payment,
    })
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

type Failure = (StatusCode, String);

/// `POST /orders`.
pub(super) async fn create(
    State(shop): State<Shop>,
    Json(new): Json<NewOrder>,
) -> Result<(StatusCode, Json<Order>), Failure> {
    let id = new.order_id.clone().unwrap_or_else(|| random::digits(12));
    Satang::parse_shop(&new.grand_total)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("grandTotal {error}")))?;
    if !shop.orders.create(&id, &new).await.map_err(internal)? {
        return Err((StatusCode::CONFLICT, format!("order {id} exists already")));
    }
    find(&shop, &id)
        .await
        .map(|order| (StatusCode::CREATED, order))
}

/// `GET /api/orders/{orderId}`.
pub(super) async fn read(
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<Json<Order>, Failure> {
    find(&shop, &id).await
}

async fn find(shop: &Shop, id: &str) -> Result<Json<Order>, Failure> {
    let order = shop.orders.read(id).await.map_err(internal)?;
    order
        .map(Json)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no order {id}")))
}

fn internal(error: anyhow::Error) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use payment3_harness::shop_api::Recipient;

    use super::*;

    #[test]
    fn a_stored_order_reads_back() {
        let new = NewOrder {
            grand_total: "1500".to_owned(),
            email: Some("a@example.com".to_owned()),
            recipient: Some(Recipient {
                name: "A".to_owned(),
                phone: "0".to_owned(),
                address: "B".to_owned(),
                postcode: "10110".to_owned(),
            }),
            ..NewOrder::of("usr_1")
        };
        let item = HashMap::from([
            ("orderId".to_owned(), text("482500007436")),
            (
                "data".to_owned(),
                order_data("482500007436", &new, "1500.00"),
            ),
        ]);
        let order = from_item(&item).expect("an order");
        assert_eq!(order.order_id, "482500007436");
        assert_eq!(order.grand_total, "1500.00");
        assert!(!order.is_paid);
    }
}
