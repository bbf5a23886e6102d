//! Requests and answers of the demo shop's API.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where the shop receives payment events.
pub const WEBHOOK_PATH: &str = "/webhooks/payment3";

/// What stands instead of an order id where a card is verified.
pub const VERIFICATION: &str = "ADDCARD";
/// The total of an order that says nothing else, in decimal baht.
pub const TOTAL: &str = "1500.00";

/// An order to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewOrder {
    /// The shop's customer.
    pub owner_id: String,
    /// What it costs, in decimal baht: `1500.00`.
    pub grand_total: String,
    /// Its id; a random one of 12 digits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The customer's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
}

impl NewOrder {
    /// An order of this customer over [`TOTAL`], with no more than an order needs.
    pub fn of(owner_id: impl Into<String>) -> Self {
        Self {
            owner_id: owner_id.into(),
            grand_total: TOTAL.to_owned(),
            order_id: None,
            email: None,
            recipient: None,
        }
    }
}

/// `data` of an order that has just been placed, as the merchant's published schema has it, without what it costs.
pub fn placed(order_id: &str, owner_id: &str, basket_id: &str, at: Timestamp) -> Value {
    json!({
        "orderId": order_id,
        "ownerId": owner_id,
        "basketId": basket_id,
        "orderDate": at.as_second(),
        "isDrafting": false,
        "productList": [],
        "tracking": [],
        "payment": {
            "isPaid": false,
            "status": "pending",
            "paymentId": null,
            "paymentLog": [],
            "shippingAmount": 0,
            "expressFeeAmount": 0,
            "discountAmount": 0,
        },
    })
}

/// Whom an order is sent to. The payment system has no use for it, and none of it may show in what the system writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipient {
    /// The person's name.
    pub name: String,
    /// The person's telephone number.
    pub phone: String,
    /// Street, district and province.
    pub address: String,
    /// Five digits.
    pub postcode: String,
}

/// An order of the shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub order_id: String,
    /// The shop's customer.
    pub owner_id: String,
    /// The basket it was made from.
    pub basket_id: String,
    /// What it costs, in decimal baht with two decimals.
    pub grand_total: String,
    /// Whether it is paid.
    pub is_paid: bool,
    /// Its whole payment, as stored.
    pub payment: Value,
}

impl Order {
    /// What the form of a card verification names instead of an order, as the shop's page does: 1 baht, and no basket.
    pub fn verification(owner_id: &str) -> Self {
        Self {
            order_id: VERIFICATION.to_owned(),
            owner_id: owner_id.to_owned(),
            basket_id: VERIFICATION.to_owned(),
            grand_total: "1.00".to_owned(),
            is_paid: false,
            payment: Value::Null,
        }
    }

    /// Whether this stands for a card verification.
    pub fn is_verification(&self) -> bool {
        self.order_id == VERIFICATION
    }
}

/// One delivery of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedEvent {
    /// Which delivery it was, from 1.
    pub number: usize,
    /// The event's id, the same in every delivery of it.
    pub id: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Whether signature and time were right.
    pub verified: bool,
    /// Why it was not believed.
    pub refusal: Option<String>,
    /// Whether this event had been delivered and accepted before.
    pub repeated: bool,
    /// The status the shop answered.
    pub answered: u16,
    /// The event itself: `type`, `timestamp`, `data`. Null when it is not JSON.
    pub body: Value,
    /// What came over the wire, for whoever verifies it again.
    pub delivery: Delivery,
}

/// An event as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The headers of Standard Webhooks, as far as they were there and are text.
    pub headers: BTreeMap<String, String>,
    /// The body; what is no UTF-8 is replaced, and no longer what was signed.
    pub body: String,
}

impl ReceivedEvent {
    /// The event's type, such as `payment.succeeded`.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The order it is about.
    pub fn order_id(&self) -> Option<&str> {
        self.body["data"]["orderId"].as_str()
    }
}
