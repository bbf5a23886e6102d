//! Notifications: the charge object and a checksum, POSTed to the merchant's server.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use jiff::Timestamp;
use reqwest::redirect::Policy;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::app::{App, State};
use crate::charge::{Charge, ChargeObject, Notification, TransactionState};
use crate::dialect::Dialect;
use crate::error::GatewayError;
use crate::faults::{FaultKind, Operation};
use crate::money::Satang;
use crate::{BankConfig, FORMER_SECRET_KEY};

/// A notification on its way.
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

/// How long after the first one a notification is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Makes the notification of a decision, unless the merchant wants none: usually one delivery, with a fault two, a
/// late one or none. What is made shows what the charge is now, whenever it arrives.
pub(crate) fn prepare(
    app: &App,
    state: &mut State,
    charge: &str,
    now: Timestamp,
) -> Result<Vec<Delivery>, GatewayError> {
    if state.ledger.merchant.notify_on_demand {
        return Ok(Vec::new());
    }
    let Some(url) = state.ledger.merchant.notify_url.clone() else {
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
    let strike = state
        .faults
        .strike(Operation::Notification, Some(&charge.token));
    Ok(match strike.map(|strike| strike.kind) {
        Some(FaultKind::Never) => {
            record(charge, now, Some("withheld by a fault".to_owned()));
            Vec::new()
        }
        Some(FaultKind::Repeated) => vec![
            draft(app, charge, &url, Duration::ZERO, now),
            draft(app, charge, &url, Duration::ZERO, now),
        ],
        Some(_) | None => {
            let delay = strike.map_or(Duration::ZERO, |strike| strike.delay);
            let mut deliveries = vec![draft(app, charge, &url, delay, now)];
            if charge.dialect() == Dialect::NotifiedTwice {
                deliveries.push(draft(app, charge, &url, delay + AGAIN_AFTER, now));
            }
            deliveries
        }
    })
}

/// Makes a notification of what the charge is now, whatever faults there are.
pub(crate) fn prepare_one(
    app: &App,
    state: &mut State,
    charge: &str,
    now: Timestamp,
) -> Result<Delivery, GatewayError> {
    let url = state.ledger.merchant.notify_url.clone().ok_or_else(|| {
        GatewayError::refused(
            "no_notify_url",
            "the merchant account has no notifyUrl; set one with PUT /sandbox/merchant",
        )
    })?;
    let charge = state.ledger.charge_mut(charge)?;
    Ok(draft(app, charge, &url, Duration::ZERO, now))
}

fn draft(app: &App, charge: &mut Charge, url: &str, delay: Duration, now: Timestamp) -> Delivery {
    let dialect = charge.dialect();
    let object = charge.spoken(&app.base);
    let key = match dialect {
        Dialect::FormerKey => FORMER_SECRET_KEY,
        _ => app.core.config.secret_key.as_str(),
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
        url: url.to_owned(),
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

/// Sends a notification and records the answer with the charge; answers the record.
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
    let request = client_of(app)?
        .post(&delivery.url)
        .header(CONTENT_TYPE, "application/json")
        .body(delivery.body.clone());
    answer_to(app, request)
        .await
        .map(|response| response.status().as_u16())
}

/// Sends a request to the merchant's server; an error says why there is no answer.
pub(crate) async fn answer_to(
    app: &App,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, String> {
    request.send().await.map_err(|e| {
        if e.is_timeout() {
            let patience = app.core.config.notification_timeout;
            format!("no answer within {patience:?}")
        } else if e.is_connect() {
            "the merchant's server cannot be reached".to_owned()
        } else {
            e.without_url().to_string()
        }
    })
}

/// The client of everything that the bank sends to the merchant's server.
pub(crate) fn client_of(app: &App) -> Result<&reqwest::Client, String> {
    let config = &app.core.config;
    let client = app.core.client.get_or_init(|| client(config));
    client.as_ref().map_err(Clone::clone)
}

/// The client of all notifications. It talks to the merchant's server alone: no proxy, no redirects.
fn client(config: &BankConfig) -> Result<reqwest::Client, String> {
    // An error says that the process has a TLS provider already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(config.notification_timeout)
        .build()
        .map_err(|e| format!("the bank's HTTP client cannot start: {e}"))
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
