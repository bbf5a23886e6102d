//! KASIKORNBANK's card gateway (K-Payment Gateway, card REST API v2) behind a narrow, typed client.
//!
//! Whatever is uncertain about the bank stands in this module and nowhere else, so that a correction touches one place.
//! The bank gives no idempotency key: nothing here retries a POST whose effect is unknown.

mod credentials;
mod gateway_secret;
mod requests;
pub mod wire;

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::charge::{Charge, Mismatch, TransactionState, Verdict};
use crate::domain::ids::{
    CardToken, ChargeId, CustomerId, MAX_ID_LENGTH, MerchantId, OrderId, ReferenceOrder,
};
use crate::domain::money::Satang;
use crate::domain::payment::Payment;
use crate::http_client::{Request, SendError, Sender};
use wire::Said;

pub use crate::secret::SecretSource;
pub use credentials::{Credentials, SecretUnavailable};
pub use gateway_secret::{GatewaySecret, InvalidGatewaySecret};

/// The bank answers with a few kilobytes; more is not the bank.
const MAX_ANSWER: usize = 256 * 1024;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Why the bank did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// The bank said no: an error object, or a 4xx that speaks of the request. It took no effect.
    #[error("the bank refused ({status}, code `{code}`)")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error object's `code`, at most 40 characters of it; `none` where the bank gave none.
        code: String,
    },
    /// The bank surely did not take the request: no connection, no key at hand, a refused key, or too many requests. It
    /// took no effect, and the same request may succeed later.
    #[error("the bank did not take the request: {0}")]
    NotTaken(String),
    /// Nobody knows: no answer in time, a connection that broke after the request may have been sent, 5xx, or an answer
    /// that cannot be read. Whether the request took effect must be found out by asking, never by repeating it.
    #[error("the bank is unavailable: {0}")]
    Unavailable(String),
}

impl BankError {
    /// Whether the bank says, in its own words, that there is no such charge.
    #[must_use]
    pub fn says_unknown(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// A charge to be created.
#[derive(Debug)]
pub struct NewCharge<'a> {
    /// The order's amount.
    pub amount: Satang,
    /// The token to charge: good for one charge within ten minutes.
    pub token: &'a CardToken,
    /// Stored before this call, to find the charge again if the answer is lost.
    pub reference_order: &'a ReferenceOrder,
    /// Goes into `ref_1` and the description that the shopper sees.
    pub order_id: &'a OrderId,
    /// The merchant account.
    pub mid: &'a MerchantId,
}

/// What the bank answers to a request for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refunded {
    /// It accepted it: an evening batch pays it. With the bank's id of the refund, where the answer holds one.
    Accepted(Option<String>),
    /// It speaks of the charge, and neither shows the refund nor refuses it: it may have accepted it.
    Unclear,
    /// It says nothing of it.
    Unproven,
}

/// What became of a request to keep a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardSaved {
    /// The card is with the customer now.
    Added,
    /// It was there already.
    AlreadyThere,
}

/// The client. Every call has a time-out.
#[derive(Clone)]
pub struct Bank {
    sender: Sender,
    credentials: Credentials,
    timeout: Duration,
}

impl Bank {
    /// A client for the gateway whose address and key `credentials` knows. `timeout` bounds each HTTP call. Whoever
    /// creates charges or gives money back sends each call over a new connection: one that met a dead connection would
    /// leave open whether it took effect.
    #[must_use]
    pub fn new(credentials: Credentials, sender: Sender, timeout: Duration) -> Self {
        Self {
            sender,
            credentials,
            timeout,
        }
    }

    /// The same client with another bound for each call.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout: timeout.min(self.timeout),
            ..self.clone()
        }
    }

    /// Fetches the key, if it is not cached, in parallel to something else that comes before the first call. If it
    /// fails, the call that needs the key says so.
    pub async fn prepare(&self) {
        let _ = self.credentials.current().await;
    }

    /// Whether the configured key moves real money (`skey_prod_…`), so that a charge of the other kind is noticed.
    ///
    /// # Errors
    /// [`BankError::NotTaken`] when the key cannot be fetched.
    pub async fn livemode(&self) -> Result<bool, BankError> {
        Ok(self
            .credentials
            .current()
            .await
            .map_err(no_secret)?
            .livemode())
    }

    /// Which key the bank is called with now ([`GatewaySecret::fingerprint`]).
    ///
    /// # Errors
    /// [`BankError::NotTaken`] when the key cannot be fetched.
    pub async fn fingerprint(&self) -> Result<String, BankError> {
        self.credentials.fingerprint().await.map_err(no_secret)
    }

    /// The address and the key, also for what the bank signs.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The time of day.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.credentials.clock()
    }

    /// Creates a charge (`POST /card/v2/charge`). Not idempotent: after [`BankError::Unavailable`] the charge may or
    /// may not exist, and [`Bank::find_by_reference`] tells.
    ///
    /// # Errors
    /// [`BankError`].
    pub async fn create_charge(&self, charge: &NewCharge<'_>) -> Result<Charge, BankError> {
        let body = requests::NewCharge::of(charge);
        let answer = self.send(Method::POST, "charge", Some(&body)).await?;
        wire::charge(&answer)
    }

    /// Asks for a charge (`GET /card/v2/charge/{id}`).
    ///
    /// # Errors
    /// [`BankError`]; `Refused` with status 404 when the bank does not know it.
    pub async fn inquire(&self, id: &ChargeId) -> Result<Charge, BankError> {
        self.get_charge(id.as_str()).await
    }

    /// Asks for a payment's own charge, and judges it by what checkout stored. A state that is not known here is
    /// logged.
    ///
    /// # Errors
    /// As [`Bank::inquire`].
    pub async fn judge(
        &self,
        payment: &Payment,
    ) -> Result<(Charge, Result<Verdict, Mismatch>), BankError> {
        let livemode = self.livemode().await?;
        let charge = self.inquire(&payment.charge_id).await?;
        let judged = charge.judge(&payment.expected(livemode));
        if judged == Ok(Verdict::Unknown) {
            charge.log_unknown_state();
        }
        Ok((charge, judged))
    }

    /// Asks for the charge that was created with a reference, `None` when the bank knows none. That the inquiry takes a
    /// `reference_order` in place of an id is told by one public integration only: verify it in the bank's sandbox
    /// before `None` is relied upon. Only the bank's own error object with a 404 counts as `None`.
    ///
    /// # Errors
    /// [`BankError`].
    pub async fn find_by_reference(
        &self,
        reference: &ReferenceOrder,
    ) -> Result<Option<Charge>, BankError> {
        match self.get_charge(reference.as_str()).await {
            // Another charge than the one that was asked for must never be taken for it, nor for there being none.
            Ok(charge) if charge.reference_order.as_deref() != Some(reference.as_str()) => {
                Err(BankError::Refused {
                    status: 200,
                    code: "other_reference".into(),
                })
            }
            Ok(charge) => Ok(Some(charge)),
            Err(BankError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Cancels a charge in full (`POST /card/v2/charge/{id}/void`): only while it is `Authorized`. Sent twice, the
    /// second is refused. Whether the answer proves it: it must be this charge, voided. Otherwise the charge has to be
    /// asked for.
    ///
    /// # Errors
    /// [`BankError`]; `Refused` when the charge is not voidable, or not any more.
    pub async fn void(&self, id: &ChargeId, reason: &str) -> Result<bool, BankError> {
        let path = format!("charge/{}/void", path_segment(id.as_str()));
        let body = requests::Reversal::void(reason);
        let answer = self.send(Method::POST, &path, Some(&body)).await?;
        let said = wire::reversal(&answer, id, &TransactionState::Voided)?;
        Ok(said == Said::Done)
    }

    /// Gives a charge's money back, all of it or a part (`POST /card/v2/charge/{id}/refund`): only once it is `Settled`.
    /// The bank allows no more than the charged amount in sum, so that a second one in full is refused. Two equal parts
    /// are two refunds. Where the answer does not prove it, the charge has to be asked for.
    ///
    /// # Errors
    /// [`BankError`]; `Refused` when the charge is not refundable.
    pub async fn refund(
        &self,
        id: &ChargeId,
        amount: Satang,
        reason: &str,
    ) -> Result<Refunded, BankError> {
        let path = format!("charge/{}/refund", path_segment(id.as_str()));
        let body = requests::Reversal::refund(amount, reason);
        let answer = self.send(Method::POST, &path, Some(&body)).await?;
        let said = wire::reversal(&answer, id, &TransactionState::RefundSent)?;
        Ok(match said {
            Said::Done => Refunded::Accepted(wire::refund_id(&answer)),
            Said::Unclear => Refunded::Unclear,
            Said::Nothing => Refunded::Unproven,
        })
    }

    /// Creates a customer who holds the token's card (`POST /card/v2/customer`). The gateway checks that the token's
    /// charge was approved. Not idempotent: each success is another customer.
    ///
    /// # Errors
    /// [`BankError`]; `Refused` when the bank will not keep this card.
    pub async fn create_customer(
        &self,
        token: &CardToken,
        email: Option<&str>,
    ) -> Result<CustomerId, BankError> {
        let body = requests::NewCustomer {
            mode: "token",
            token: token.expose(),
            email,
        };
        let answer = self.send(Method::POST, "customer", Some(&body)).await?;
        wire::customer_id(&answer)
    }

    /// Adds the token's card to a customer (`POST /card/v2/customer/{id}/card`). A card that is there already counts
    /// as saved, so that a repeat after a lost answer succeeds.
    ///
    /// # Errors
    /// [`BankError`]; `Refused` when the bank will not keep this card.
    pub async fn add_card(
        &self,
        customer: &CustomerId,
        token: &CardToken,
    ) -> Result<CardSaved, BankError> {
        let path = format!("customer/{}/card", path_segment(customer.as_str()));
        let body = requests::NewCard {
            mode: "token",
            token: token.expose(),
        };
        match self.send(Method::POST, &path, Some(&body)).await {
            Ok(_) => Ok(CardSaved::Added),
            Err(BankError::Refused { status, code }) if wire::means_duplicate(status, &code) => {
                Ok(CardSaved::AlreadyThere)
            }
            Err(error) => Err(error),
        }
    }

    async fn get_charge(&self, id_or_reference: &str) -> Result<Charge, BankError> {
        let path = format!("charge/{}", path_segment(id_or_reference));
        let answer = self.send(Method::GET, &path, None::<&()>).await?;
        wire::charge(&answer)
    }

    /// Sends one request, with a fresh key once more where the key was refused: a request refused for its key took no
    /// effect. Both together take no longer than one may; where little time is left the refusal stands, since the
    /// answer to a charge would only be lost.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Vec<u8>, BankError> {
        let secret = self.credentials.current().await.map_err(no_secret)?;
        let begun = Instant::now();
        let (mut status, mut answer) = self
            .exchange(&secret, &method, path, body, self.timeout)
            .await?;
        if status == StatusCode::UNAUTHORIZED
            && let Some(fresh) = self
                .credentials
                .instead_of(&secret)
                .await
                .map_err(no_secret)?
        {
            let left = self.timeout.saturating_sub(begun.elapsed());
            if left >= self.timeout / 2 {
                (status, answer) = self.exchange(&fresh, &method, path, body, left).await?;
            }
        }
        match wire::refusal(status, &answer) {
            Some(refusal) => Err(refusal),
            None => Ok(answer),
        }
    }

    async fn exchange(
        &self,
        secret: &GatewaySecret,
        method: &Method,
        path: &str,
        body: Option<&impl Serialize>,
        timeout: Duration,
    ) -> Result<(StatusCode, Vec<u8>), BankError> {
        let mut headers = HeaderMap::from_iter([(API_KEY, secret.api_key())]);
        let body = match body {
            None => Vec::new(),
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                serde_json::to_vec(body).map_err(|error| BankError::NotTaken(error.to_string()))?
            }
        };
        let request = Request {
            method: method.clone(),
            url: secret.url(path),
            headers,
            body,
            timeout,
            answer_limit: MAX_ANSWER,
        };
        let answer = self.sender.send(request).await.map_err(no_answer)?;
        Ok((answer.status(), answer.into_body()))
    }
}

/// Only where there was no connection, nothing was sent. A kept connection that breaks is none: the request may have
/// been on it.
fn no_answer(error: SendError) -> BankError {
    match error {
        SendError::NotConnected => BankError::NotTaken(error.to_string()),
        SendError::TimedOut | SendError::TooLong | SendError::Broken(_) => {
            BankError::Unavailable(error.to_string())
        }
    }
}

fn no_secret(error: SecretUnavailable) -> BankError {
    BankError::NotTaken(error.to_string())
}

/// One path segment: ids are opaque, so nothing in them may act as a separator.
#[must_use]
pub fn path_segment(id: &str) -> String {
    debug_assert!(id.len() <= MAX_ID_LENGTH);
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2D", "-")
}
