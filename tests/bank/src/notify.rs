//! Notifications: the charge object and a checksum, POSTed to the merchant's server.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::app::{App, State};
use crate::charge::{Charge, ChargeObject, Notification};
use crate::dialect::Dialect;
use crate::error::GatewayError;
use crate::faults::{FaultKind, Operation};
use crate::money::Satang;
use crate::transaction_state::TransactionState;

/// A notification that is to be sent.
pub(crate) struct Delivery {
    charge: String,
    /// Its place among the charge's notifications.
    place: usize,
    url: String,
    body: String,
    delay: Duration,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    charge: ChargeObject,
    checksum: String,
}

/// Where notifications go, and the keys that sign them.
struct Receiver {
    url: String,
    key: String,
    former_key: String,
}

impl Receiver {
    /// None if the merchant wants no notifications.
    fn of(app: &App, state: &State) -> Option<Self> {
        let keys = state.keys(&app.core.config);
        Some(Self {
            url: state.ledger.merchant.notify_url.clone()?,
            key: keys.current.to_owned(),
            former_key: keys.former.to_owned(),
        })
    }
}

/// How long after the first time a notification is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Makes the notification of a decision, unless the merchant wants none. Usually it is delivered once; a planned fault
/// makes this twice, late or never. It shows the charge's state now, whenever it arrives.
pub(crate) fn prepare(
    app: &App,
    state: &mut State,
    charge: &str,
    now: Timestamp,
) -> Result<Vec<Delivery>, GatewayError> {
    if state.ledger.merchant.notify_on_demand {
        return Ok(Vec::new());
    }
    let Some(receiver) = Receiver::of(app, state) else {
        return Ok(Vec::new());
    };
    let charge = state.ledger.charge_mut(charge)?;
    if charge.loses_the_callback() {
        record(charge, now, Some("lost, as this card wants it".to_owned()));
        return Ok(Vec::new());
    }
    if charge.dialect() == Dialect::DeclinesNotNotified
        && charge.state() == TransactionState::Declined
    {
        record(
            charge,
            now,
            Some("withheld, as declines are here".to_owned()),
        );
        return Ok(Vec::new());
    }
    let active = state
        .faults
        .take(Operation::Notification, Some(&charge.token));
    Ok(match active.map(|active| active.kind) {
        Some(FaultKind::Never) => {
            record(charge, now, Some("withheld by a fault".to_owned()));
            Vec::new()
        }
        Some(FaultKind::Repeated) => vec![
            draft(app, charge, &receiver, Duration::ZERO, now),
            draft(app, charge, &receiver, Duration::ZERO, now),
        ],
        Some(_) | None => {
            let delay = active.map_or(Duration::ZERO, |active| active.delay);
            let mut deliveries = vec![draft(app, charge, &receiver, delay, now)];
            if charge.dialect() == Dialect::NotifiedTwice {
                deliveries.push(draft(app, charge, &receiver, delay + AGAIN_AFTER, now));
            }
            deliveries
        }
    })
}

/// Makes a notification of the charge's state now, and ignores planned faults.
pub(crate) fn prepare_one(
    app: &App,
    state: &mut State,
    charge: &str,
    now: Timestamp,
) -> Result<Delivery, GatewayError> {
    let receiver = Receiver::of(app, state).ok_or_else(|| {
        GatewayError::refused(
            "no_notify_url",
            "the merchant account has no notifyUrl; set one with PUT /sandbox/merchant",
        )
    })?;
    let charge = state.ledger.charge_mut(charge)?;
    Ok(draft(app, charge, &receiver, Duration::ZERO, now))
}

fn draft(
    app: &App,
    charge: &mut Charge,
    receiver: &Receiver,
    delay: Duration,
    now: Timestamp,
) -> Delivery {
    let dialect = charge.dialect();
    let object = charge.object_in_dialect(&app.base);
    let key = match dialect {
        Dialect::FormerKey => &receiver.former_key,
        _ => &receiver.key,
    };
    let amount = charge.order.amount;
    let signed = (object.status, object.transaction_state.as_ref());
    let checksum = checksum(&charge.id, amount, Charge::CURRENCY, signed, key);
    let body = Body {
        charge: object,
        checksum,
    };
    Delivery {
        charge: charge.id.clone(),
        place: record(charge, now, None),
        url: receiver.url.clone(),
        body: dialect.write(&body, amount),
        delay,
    }
}

fn record(charge: &mut Charge, now: Timestamp, error: Option<String>) -> usize {
    charge.notifications.push(Notification {
        at: now,
        transaction_state: charge.state(),
        answer: None,
        error,
    });
    charge.notifications.len() - 1
}

/// Sends notifications in the background.
pub(crate) fn deliver_all(app: &App, deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        tokio::spawn(deliver(app.clone(), delivery));
    }
}

/// Sends a notification, and records the answer with the charge. Returns the record.
pub(crate) async fn deliver(app: App, delivery: Delivery) -> Result<Notification, GatewayError> {
    let outcome = tokio::select! {
        outcome = send(&app, &delivery) => outcome,
        () = app.stopped() => Err("the bank was stopped".to_owned()),
    };
    app.change(|state, _| {
        let charge = state.ledger.charge_mut(&delivery.charge)?;
        let notification = &mut charge.notifications[delivery.place];
        match outcome {
            Ok(status) => notification.answer = Some(status),
            Err(reason) => notification.error = Some(reason),
        }
        Ok(notification.clone())
    })
}

async fn send(app: &App, delivery: &Delivery) -> Result<u16, String> {
    tokio::time::sleep(delivery.delay).await;
    let headers = [(CONTENT_TYPE, "application/json")];
    let body = delivery.body.clone();
    let response = app.core.merchant.post(&delivery.url, headers, body).await?;
    Ok(response.status().as_u16())
}

/// The checksum of a notification: the lower-case hex SHA-256 of id, amount with four decimals, currency, status,
/// state and secret key, one after the other.
fn checksum(
    id: &str,
    amount: Satang,
    currency: &str,
    (status, state): (&str, &str),
    secret_key: &str,
) -> String {
    let mut hash = Sha256::new();
    for part in [
        id,
        &amount.four_decimals(),
        currency,
        status,
        state,
        secret_key,
    ] {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_gateways() {
        let amount = Satang::from_json(
            &serde_json::value::RawValue::from_string("1250".to_owned()).unwrap(),
        )
        .unwrap();
        assert_eq!(
            checksum(
                "chrg_test_x",
                amount,
                "THB",
                ("success", "Authorized"),
                "skey_test_x"
            ),
            "9df71f5c4c71f710777b03314ba51a69cf60e4eddac72f9d9b2614aeb49b24d6"
        );
    }
}
