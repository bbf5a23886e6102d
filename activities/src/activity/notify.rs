//! `NotifySuccess`, `NotifyFailure`, `NotifyReversal`, `NotifyCard`, and `NotifyRefund`, `NotifyRefundFailed`,
//! `NotifyElsewhere` of the refund machine: tells the shop what became of the payment, or of a refund.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::ids::{ChargeId, OrderId, OwnerId};
use crate::domain::money::Satang;
use crate::failure::failure;
use crate::secret::SecretSource;
use crate::shop::{DeliveryError, SigningKeys, WebhookEndpoint};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The order is paid.
    #[serde(rename = "payment.succeeded")]
    PaymentSucceeded,
    /// The bank declined; the order is not paid.
    #[serde(rename = "payment.failed")]
    PaymentFailed,
    /// The bank said yes, but the order could not be paid: the money goes back.
    #[serde(rename = "payment.reversed")]
    PaymentReversed,
    /// The verified card is saved.
    #[serde(rename = "card.saved")]
    CardSaved,
    /// The card could not be verified or saved.
    #[serde(rename = "card.failed")]
    CardFailed,
    /// The bank has accepted a refund.
    #[serde(rename = "refund.succeeded")]
    RefundSucceeded,
    /// The money of a refund does not go back.
    #[serde(rename = "refund.failed")]
    RefundFailed,
    /// Money of a paid order was given back by hand at the bank.
    #[serde(rename = "refund.elsewhere")]
    RefundElsewhere,
}

impl Event {
    /// The event's type on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaymentSucceeded => "payment.succeeded",
            Self::PaymentFailed => "payment.failed",
            Self::PaymentReversed => "payment.reversed",
            Self::CardSaved => "card.saved",
            Self::CardFailed => "card.failed",
            Self::RefundSucceeded => "refund.succeeded",
            Self::RefundFailed => "refund.failed",
            Self::RefundElsewhere => "refund.elsewhere",
        }
    }
}

/// What to tell the shop.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What happened.
    pub event: Event,
    /// To which payment.
    pub payment: Told,
    /// Which refund, where the event is about one.
    #[serde(default)]
    pub refund: Option<ToldRefund>,
    /// When, in RFC 3339: the same at every repeat.
    pub occurred_at: String,
    /// What became of the card, where the event is about one.
    #[serde(default)]
    pub card: Card,
}

/// What became of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Card {
    /// Nothing was to be done with it, or nothing is said of it.
    #[default]
    NotSaved,
    /// The bank keeps it.
    Saved,
    /// The bank will not keep it.
    Refused,
    /// It could not be saved in time.
    Failed,
}

/// What the shop is told of a payment. A record has all of it, also when it is closed, so that a person can send its
/// event again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The bank's charge.
    pub charge_id: ChargeId,
    /// The shop's order; `ADDCARD` where a card was verified.
    pub order_id: OrderId,
    /// The shop's customer.
    pub owner_id: OwnerId,
    /// The charged amount in satang.
    pub amount_satang: Satang,
    /// `THB`.
    pub currency: String,
}

/// What the shop is told of a refund.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldRefund {
    /// The shop's own id of it; of what was given back by hand, `elsewhere`, or `elsewhere-100.00` where its
    /// amount is known.
    pub refund_id: String,
    /// How much, in satang. `None` where nobody knows.
    pub amount_satang: Option<Satang>,
    /// What can still be given back, in satang.
    pub left_satang: Satang,
}

/// The shop has the event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// The event's id: the same at every repeat, so that the shop can drop repeats.
    pub event_id: String,
}

/// Why the shop does not have the event.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The shop's endpoint is gone for good.
    #[error("{0}; the event is given up")]
    NotificationRefused(DeliveryError),
    /// It could not be delivered now: retried for hours.
    #[error("{0}")]
    NotificationFailed(DeliveryError),
    /// The signing key could not be fetched or read.
    #[error("the event cannot be signed: {0}")]
    SigningKeyUnavailable(String),
}

failure!(NotifyError {
    NotificationRefused: Definite,
    NotificationFailed: Transient,
    SigningKeyUnavailable: Transient,
});

/// Where and with which key events go.
pub struct Shop {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// The signing key's secret: fetched for each event, so that a rotated key takes effect at once.
    pub signing_key: SecretSource,
}

/// Delivers the event. Repeated, the shop sees the same id again.
///
/// # Errors
/// [`NotifyError`].
pub async fn notify(shop: &Shop, input: &Input) -> Result<Delivered, NotifyError> {
    let keys = SigningKeys::fetch(&shop.signing_key, shop.endpoint.clock().seconds())
        .await
        .map_err(NotifyError::SigningKeyUnavailable)?;
    let event_id = event_id(input);
    let delivered = shop
        .endpoint
        .deliver(&keys, &event_id, body(input))
        .await
        .map_err(|error| match error {
            DeliveryError::Gone => NotifyError::NotificationRefused(error),
            DeliveryError::Failed(_) => NotifyError::NotificationFailed(error),
        });
    // Counted once: what failed is sent again.
    if input.card == Card::Failed && !matches!(delivered, Err(NotifyError::NotificationFailed(_))) {
        tracing::warn!(event = "cardFailed", "the card could not be saved in time");
    }
    delivered?;
    tracing::info!(eventId = event_id, "the shop has the event");
    Ok(Delivered { event_id })
}

/// The event's id: the same at every repeat, and another for every other event. Two refunds of one charge are two events.
#[must_use]
pub fn event_id(input: &Input) -> String {
    let id = format!("{}:{}", input.payment.charge_id, input.event.as_str());
    match &input.refund {
        None => id,
        Some(refund) => format!("{id}:{}", refund.refund_id),
    }
}

fn body(input: &Input) -> String {
    let payment = &input.payment;
    let mut data = json!({
        "orderId": payment.order_id,
        "ownerId": payment.owner_id,
        "chargeId": payment.charge_id,
        "currency": payment.currency,
    });
    let amount = match &input.refund {
        None => Some(payment.amount_satang),
        Some(refund) => {
            data["refundId"] = refund.refund_id.as_str().into();
            data["left"] = refund.left_satang.to_string().into();
            refund.amount_satang
        }
    };
    if let Some(amount) = amount {
        data["amount"] = amount.to_string().into();
    }
    json!({
        "type": input.event,
        "timestamp": input.occurred_at,
        "data": data,
    })
    .to_string()
}
