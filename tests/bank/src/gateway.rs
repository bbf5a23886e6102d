//! The gateway API: `/card/v2/...`.

use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::charge::{Channel, Charge, ChargeObject, Order};
use crate::dialect::{Dialect, ReversalAnswer};
use crate::error::GatewayError;
use crate::faults::Operation;
use crate::gateway_call::{Call, Effect, Payload, perform};
use crate::money::Satang;
use crate::transaction_state::TransactionState;

/// How many inquiries a copy answers that lags behind.
const LAGGING: u32 = 2;

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/card/v2/charge", post(create_charge))
        .route("/card/v2/charge/{id}", get(inquire))
        .route("/card/v2/charge/{id}/void", post(void))
        .route("/card/v2/charge/{id}/refund", post(refund))
        .route("/card/v2/customer", post(create_customer))
        .route("/card/v2/customer/{id}/card", post(add_card))
}

#[derive(Deserialize)]
struct ChargeRequest {
    amount: Box<RawValue>,
    currency: String,
    description: String,
    source_type: String,
    mode: String,
    token: String,
    reference_order: String,
    ref_1: Option<String>,
    ref_2: Option<String>,
    ref_3: Option<String>,
    additional_data: Option<AdditionalData>,
}

#[derive(Deserialize)]
struct AdditionalData {
    mid: Option<String>,
}

impl ChargeRequest {
    /// The token and the charge's data. Unknown fields are dropped silently, as the gateway does.
    fn check(self) -> Result<(String, Order), GatewayError> {
        let amount = read_amount(&self.amount)?;
        if amount < Satang::MIN_CHARGE {
            return Err(GatewayError::invalid("`amount` must be 1.00 THB or more"));
        }
        expect("currency", &self.currency, Charge::CURRENCY)?;
        expect("source_type", &self.source_type, "card")?;
        expect("mode", &self.mode, "token")?;
        expect_short("description", &self.description)?;
        let of_reference = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !(1..=20).contains(&self.reference_order.len())
            || !self.reference_order.chars().all(of_reference)
        {
            return Err(GatewayError::invalid(
                "`reference_order` must be 1 to 20 characters of A-Z, a-z, 0-9, `_` and `-`",
            ));
        }
        let mid = self.additional_data.and_then(|data| data.mid);
        if let Some(mid) = &mid
            && (mid.len() != 15 || !mid.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(GatewayError::invalid(
                "`additional_data.mid` must be 15 digits",
            ));
        }
        let order = Order {
            amount,
            description: self.description,
            reference_order: self.reference_order,
            ref_1: self.ref_1,
            ref_2: self.ref_2,
            ref_3: self.ref_3,
            mid,
        };
        Ok((self.token, order))
    }
}

#[derive(Deserialize)]
struct VoidRequest {
    // Accepted and ignored.
    #[serde(rename = "reason")]
    _reason: Option<String>,
}

/// What public clients send: `Gateway/Request/RefundDataBuilder.php` in github.com/tuyennn/magento2-kbank-payment, for
/// one. The longest `reason` is not public; here it is that of a description.
#[derive(Deserialize)]
struct RefundRequest {
    amount: Box<RawValue>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct CustomerRequest {
    mode: String,
    token: String,
    email: Option<String>,
}

#[derive(Deserialize)]
struct CardRequest {
    mode: String,
    token: String,
}

async fn create_charge(Shared(app): Shared<App>, call: Call, body: Payload) -> Response {
    let call = call.charging(&body);
    let (base, ids) = (app.base.clone(), app.ids());
    perform(
        app,
        Operation::CreateCharge,
        call,
        move |call, ledger, now| {
            let (token, order) = call.json::<ChargeRequest>(&body)?.check()?;
            let charge = ledger.create_charge(&token, order, &ids, now)?;
            let decided = charge.state() != TransactionState::PreAuthorized;
            let answer = Effect::text(charge.text_in_dialect(&base));
            Ok(match charge.dialect() {
                Dialect::NotificationFirst => answer.with_notification_first(charge.id.clone()),
                _ => answer.with_notification(decided.then(|| charge.id.clone())),
            })
        },
    )
    .await
}

async fn inquire(Shared(app): Shared<App>, Path(id): Path<String>, call: Call) -> Response {
    let base = app.base.clone();
    perform(app, Operation::Inquire, call, move |_, ledger, _| {
        let charge = ledger.inquire(&id)?;
        Ok(match (charge.dialect(), charge.count_inquiry()) {
            (Dialect::InquiryLags, ..LAGGING) => Effect::refusal(GatewayError::no_charge()),
            (Dialect::PageInOutage, 0) => Effect::page(),
            _ => Effect::text(charge.text_in_dialect(&base)),
        })
    })
    .await
}

async fn void(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    call: Call,
    body: Payload,
) -> Response {
    let base = app.base.clone();
    perform(app, Operation::Void, call, move |call, ledger, now| {
        let charge = ledger.charge_mut(&id)?;
        call.json_if_any::<VoidRequest>(&body)?;
        reversed(charge, &base, |charge| {
            charge.void(Channel::Api, now)?;
            Ok(charge.object_in_dialect(&base))
        })
    })
    .await
}

async fn refund(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    call: Call,
    body: Payload,
) -> Response {
    let (base, ids) = (app.base.clone(), app.ids());
    perform(app, Operation::Refund, call, move |call, ledger, now| {
        let charge = ledger.charge_mut(&id)?;
        let request: RefundRequest = call.json(&body)?;
        let amount = read_amount(&request.amount)?;
        expect_short("reason", request.reason.as_deref().unwrap_or_default())?;
        reversed(charge, &base, |charge| {
            let refund_id = charge.refund(amount, Channel::Api, request.reason, &ids, now)?;
            let mut object = charge.object_in_dialect(&base);
            object.refund_id = Some(refund_id);
            Ok(object)
        })
    })
    .await
}

/// Reverses the charge, and answers, as its dialect says.
fn reversed(
    charge: &mut Charge,
    base: &str,
    reverse: impl FnOnce(&mut Charge) -> Result<ChargeObject, GatewayError>,
) -> Result<Effect, GatewayError> {
    Ok(match charge.count_reversal() {
        ReversalAnswer::Right => {
            let object = reverse(charge)?;
            let answer = Effect::text(charge.dialect().write(&object, charge.order.amount));
            match charge.dialect() {
                Dialect::ReversalsNotified => answer.with_notification_always(charge.id.clone()),
                _ => answer,
            }
        }
        ReversalAnswer::DoneAndEmpty => {
            reverse(charge)?;
            Effect::text("{}".to_owned())
        }
        ReversalAnswer::NothingAndEmpty => Effect::text("{}".to_owned()),
        ReversalAnswer::Page => Effect::page(),
        ReversalAnswer::ErrorObject => Effect::refusal(GatewayError::refused(
            "operation_declined",
            "the operation was declined",
        )),
        ReversalAnswer::FailObject => {
            let mut object = charge.object_in_dialect(base);
            object.status = "fail";
            Effect::answer(&object)
        }
    })
}

async fn create_customer(Shared(app): Shared<App>, call: Call, body: Payload) -> Response {
    let ids = app.ids();
    perform(
        app,
        Operation::CreateCustomer,
        call,
        move |call, ledger, now| {
            let request: CustomerRequest = call.json(&body)?;
            expect("mode", &request.mode, "token")?;
            if request
                .email
                .as_ref()
                .is_some_and(|email| !email.contains('@'))
            {
                return Err(GatewayError::invalid("`email` must be an e-mail address"));
            }
            let customer = ledger.create_customer(&request.token, request.email, &ids, now)?;
            Ok(Effect::answer(&customer.object()))
        },
    )
    .await
}

async fn add_card(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    call: Call,
    body: Payload,
) -> Response {
    perform(app, Operation::AddCard, call, move |call, ledger, _| {
        ledger.customer(&id)?;
        let request: CardRequest = call.json(&body)?;
        expect("mode", &request.mode, "token")?;
        let customer = ledger.add_card(&id, &request.token)?;
        Ok(Effect::answer(&customer.object()))
    })
    .await
}

/// Reads an amount in baht.
pub(crate) fn read_amount(amount: &RawValue) -> Result<Satang, GatewayError> {
    Satang::from_json(amount)
        .map_err(|expected| GatewayError::invalid(format!("`amount` {expected}")))
}

fn expect_short(field: &str, text: &str) -> Result<(), GatewayError> {
    if text.chars().count() <= 255 {
        return Ok(());
    }
    Err(GatewayError::invalid(format!(
        "`{field}` must have at most 255 characters"
    )))
}

fn expect(field: &str, value: &str, only: &str) -> Result<(), GatewayError> {
    if value == only {
        return Ok(());
    }
    Err(GatewayError::invalid(format!(
        "`{field}` must be \"{only}\""
    )))
}
