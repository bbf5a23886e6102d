//! `POST /cardpayment`, and `POST /cardtoken` as older pages call it: checks the order, stores the record, charges the
//! card and sends the browser to 3-D Secure.
//!
//! A token charges once and the bank knows no idempotency key, so the record is the idempotency key: it is stored under
//! the token before the bank is called, and whoever finds it there never charges again. Together with it, the order's
//! row of check-status says that the bank is being asked: until the answer is stored, no other card is charged for the
//! order.
//!
//! Where no charge comes back, three cases are told apart. The bank refused, or surely did not take the charge: the
//! record is closed, and another card may follow at once. Or the answer is lost and nobody knows: the payment is being
//! checked, and [`crate::activity::reconcile`] goes on.

mod redirect_page;
mod refusals;

use std::time::Duration;

use aws_lambda_events::http::header::{HeaderValue, RETRY_AFTER};
use tokio::time::{Instant, sleep};

use crate::bank::{Bank, BankError, NewCharge};
use crate::domain::browser_return::ReportedStatus;
use crate::domain::callback_base::CallbackBases;
use crate::domain::charge::{Charge, Outcome, Verdict};
use crate::domain::checkout::{CheckoutForm, VERIFICATION_AMOUNT};
use crate::domain::fields::Fields;
use crate::domain::ids::{ChargeId, MerchantId, ReferenceOrder};
use crate::domain::order::{LEAST_CHARGE, Order, Unpayable};
use crate::domain::payment::Purpose;
use crate::executions::{ExecutionInput, Executions, Source};
use crate::http_api::{ApiError, Request, Response, body, html_response};
use crate::log;
use crate::random::Random;
use crate::tables::TableError;
use crate::tables::checkouts::{ANSWER_TAKES, Checkouts, NotBegun};
use crate::tables::orders::Orders;
use crate::tables::records::{NOT_CHARGED, REFUSED, Record, Resolution};

pub use redirect_page::{bank_page, redirect_page};
use refusals::{
    AGAIN_IN, another_being_checked, bank_contradicts, being_checked, cannot_look, not_charged,
    not_payable, order_unreadable, refused, token_used, unavailable,
};

/// How long a request waits for the bank's first answer to another card, before this card is turned away. The charge
/// and the inquiry follow, or a repeat's wait and the inquiry, within the API's 30 seconds.
const OTHERS_ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long a repeat of a form waits for the first one's answer from the bank, before it asks the bank itself. Longer
/// than a charge takes, short enough to leave room for the inquiry within the API's 30 seconds.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(17);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The bound of the inquiry that follows a lost answer, for the same reason.
const INQUIRY_WITHIN: Duration = Duration::from_secs(6);

/// What checkout touches.
pub struct Parts {
    /// The shop's orders.
    pub orders: Orders,
    /// The payments' records, and what apps show.
    pub checkouts: Checkouts,
    /// The bank.
    pub bank: Bank,
    /// The saga, for charges that are decided at once.
    pub executions: Executions,
    /// The merchant accounts that may be charged through.
    pub merchants: Vec<MerchantId>,
    /// Where browsers may be sent in the end.
    pub bases: CallbackBases,
    /// The bank's origins, where browsers may be sent for 3-D Secure.
    pub bank_origins: Vec<url::Origin>,
    /// What references are made of.
    pub random: Random,
}

/// Answers a checkout form: a page that sends the browser on, or an error as the client can read it.
pub async fn answer(parts: &Parts, request: &Request) -> Response {
    match checkout(parts, request).await {
        Ok(location) => html_response(200, redirect_page(&location)),
        Err(error) => {
            tracing::warn!(
                event = "refusal",
                code = error.code,
                details = %error.details,
                "checkout refused"
            );
            let mut response = error.answer(request, parts.bases.default_base());
            if let Some(seconds) = error.details[AGAIN_IN].as_i64() {
                response
                    .headers
                    .insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

async fn checkout(parts: &Parts, request: &Request) -> Result<String, ApiError> {
    let others_answer_until = Instant::now() + OTHERS_ANSWER_WITHIN;
    let form = CheckoutForm::from_fields(&Fields::parse(&body(request)?)?, &parts.bases)?;
    log::order(&form.order_id);
    if !parts.merchants.contains(&form.mid) {
        return Err(ApiError::new(
            400,
            "INVALID_INPUT",
            "`mid` is no merchant account of this shop",
        )
        .about("mid"));
    }
    let key = form.token.record_key();
    let records = &parts.checkouts.records;
    if let Some(record) = sent_before(parts, &form).await? {
        return repeat(parts, &form, record).await;
    }
    let (mut owner, mut amount) = match Purpose::of(&form.order_id) {
        Purpose::Verification => (form.user_id.clone(), VERIFICATION_AMOUNT),
        Purpose::Order => {
            let (order, ()) = tokio::join!(payable_order(parts, &form), parts.bank.prepare());
            let order = order?;
            (order.owner_id, order.grand_total)
        }
    };
    let reference = ReferenceOrder::random(&parts.random).map_err(|error| {
        tracing::error!(reason = %error, "no random numbers for a reference");
        not_charged()
    })?;
    // Before the record: of one that does not say with which key its charge was asked for, nobody but a person could tell
    // later that there is none.
    let bank_key = match parts.bank.fingerprint().await {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(reason = %error, "the bank's key cannot be fetched");
            // Another click of the same form may have got it, and be asking the bank by now.
            return match sent_before(parts, &form).await? {
                Some(record) => repeat(parts, &form, record).await,
                None => Err(not_charged()),
            };
        }
    };
    let checkouts = &parts.checkouts;
    let mut begun = checkouts
        .begin(&form, &owner, amount, &reference, &bank_key)
        .await;
    if let Err(NotBegun::BeingChecked { again_in }) = begun
        && again_in <= ANSWER_TAKES
        && checkouts
            .is_answered_by(&form.order_id, others_answer_until)
            .await
    {
        // The other card may have paid the order by now.
        let order = payable_order(parts, &form).await?;
        (owner, amount) = (order.owner_id, order.grand_total);
        begun = checkouts
            .begin(&form, &owner, amount, &reference, &bank_key)
            .await;
    }
    match begun {
        Ok(()) => {}
        Err(NotBegun::Exists) => {
            let record = match records.get(&key).await {
                Ok(record) => record.ok_or_else(being_checked)?,
                Err(error) => {
                    take_back(parts, &form, &reference).await;
                    return Err(unavailable(error));
                }
            };
            // With our own reference it is ours: only the answer to storing it was lost.
            if record.reference_order.as_ref() != Some(&reference) {
                return repeat(parts, &form, record).await;
            }
        }
        Err(NotBegun::BeingChecked { again_in }) => return Err(another_being_checked(again_in)),
        Err(NotBegun::Table(error)) => {
            take_back(parts, &form, &reference).await;
            return Err(unavailable(error));
        }
    }
    let new_charge = NewCharge {
        amount,
        token: &form.token,
        reference_order: &reference,
        order_id: &form.order_id,
        mid: &form.mid,
    };
    let charge = charge(parts, &form, &new_charge).await?;
    let record = records.get(&key).await.map_err(cannot_look)?;
    proceed(parts, &record.ok_or_else(being_checked)?, charge).await
}

/// The record of this form, if it was sent before: then it gets the first one's answer, whatever became of the order
/// since.
async fn sent_before(parts: &Parts, form: &CheckoutForm) -> Result<Option<Record>, ApiError> {
    let read = parts.checkouts.records.get(&form.token.record_key()).await;
    let record = read.map_err(unavailable)?;
    Ok(record.filter(|record| !record.may_be_tried_again(form)))
}

/// Has the bank charge. Where it surely did not, the record is closed.
async fn charge(
    parts: &Parts,
    form: &CheckoutForm,
    new_charge: &NewCharge<'_>,
) -> Result<Charge, ApiError> {
    let error = match parts.bank.create_charge(new_charge).await {
        Ok(charge) => return Ok(charge),
        Err(error) => error,
    };
    tracing::warn!(reason = %error, "the bank's answer holds no new charge");
    let reference = new_charge.reference_order;
    let (closed_as, refusal) = match error {
        BankError::Refused { .. } => (REFUSED, refused()),
        BankError::NotTaken(_) => (NOT_CHARGED, not_charged()),
        // It may have been created all the same: asking is safe, repeating is not.
        BankError::Unavailable(_) => return find_lost_charge(parts, reference).await,
    };
    let key = form.token.record_key();
    let closed = parts
        .checkouts
        .close(&key, reference, &form.order_id, closed_as);
    closed.await.map_err(unavailable)?;
    Err(refusal)
}

/// Ends a checkout whose record may be stored, though the answer to storing it was lost. The bank was not asked, so it
/// must keep no other card away. If this fails, too, a record that was stored stays open for reconciliation.
async fn take_back(parts: &Parts, form: &CheckoutForm, reference: &ReferenceOrder) {
    let key = form.token.record_key();
    let closed = parts
        .checkouts
        .close(&key, reference, &form.order_id, NOT_CHARGED);
    match closed.await {
        Ok(true) => tracing::warn!("a checkout is taken back: the answer to storing it was lost"),
        // Never stored.
        Ok(false) => {}
        Err(error) => tracing::warn!(reason = %error, "a checkout could not be taken back"),
    }
}

/// The order, if this form may be paid for it.
async fn payable_order(parts: &Parts, form: &CheckoutForm) -> Result<Order, ApiError> {
    let id = &form.order_id;
    let stored = match parts.orders.get_of(id, &form.user_id).await {
        Ok(stored) => stored,
        Err(error @ TableError::Unreadable { .. }) => {
            let told = "cannot be paid, because it has a mistake that only the shop can correct";
            return Err(order_unreadable(id, &error.to_string(), told));
        }
        Err(error) => return Err(unavailable(error)),
    };
    let order = stored
        .map(|stored| stored.order)
        // Somebody else's order looks like no order: the answer must not tell which ids exist.
        .ok_or_else(|| {
            ApiError::new(404, "NOT_FOUND", "this user has no such order").about("orderId")
        })?;
    match order.check_payable(form.grand_total) {
        // The bank would refuse it with every card: the total is at fault, whatever the form says.
        Ok(()) | Err(Unpayable::OtherAmount) if order.grand_total < LEAST_CHARGE => {
            let reason = format!("the total is less than {LEAST_CHARGE} baht");
            let told = "costs less than 1.00 baht, which no card can pay";
            Err(order_unreadable(id, &reason, told))
        }
        Ok(()) => Ok(order),
        Err(Unpayable::OtherAmount) => Err(ApiError::new(
            400,
            "INVALID_INPUT",
            "`grandTotal` is not the order's total: reload the checkout",
        )
        .about("grandTotal")),
        Err(Unpayable::Draft) => Err(not_payable(id, "is a draft and cannot be paid yet")),
        Err(Unpayable::Cancelled) => Err(not_payable(id, "is cancelled and cannot be paid")),
        Err(Unpayable::AlreadyPaid) => Err(not_payable(id, "is paid already")),
    }
}

/// The same token again: a double click, a second tab or a retry gets the first one's answer; another form with the
/// token of an earlier one is refused.
async fn repeat(
    parts: &Parts,
    form: &CheckoutForm,
    mut record: Record,
) -> Result<String, ApiError> {
    if record.fingerprint.as_deref() != Some(form.fingerprint()) {
        return Err(token_used(form, &record));
    }
    let give_up = Instant::now() + WAIT_FOR_FIRST;
    while record.charge_id.is_none() && !record.is_closed() && Instant::now() < give_up {
        sleep(LOOK_EVERY).await;
        let read = parts.checkouts.records.get(&record.key).await;
        record = read.map_err(cannot_look)?.ok_or_else(being_checked)?;
    }
    match (&record.charge_id, &record.redirect_url) {
        // Decided meanwhile, or done: the shopper needs no 3-D Secure any more.
        _ if record.outcome.is_some() || record.is_closed() => finished(parts, &record),
        (Some(_), Some(url)) => three_d_secure(parts, url),
        (Some(id), None) => {
            let charge = parts.bank.within(INQUIRY_WITHIN).inquire(id).await;
            let charge = charge.map_err(|_| being_checked())?;
            proceed(parts, &record, charge).await
        }
        (None, _) => {
            let reference = record.reference_order.as_ref().ok_or_else(being_checked)?;
            let charge = find_lost_charge(parts, reference).await?;
            proceed(parts, &record, charge).await
        }
    }
}

/// Looks for the charge whose answer was lost.
async fn find_lost_charge(parts: &Parts, reference: &ReferenceOrder) -> Result<Charge, ApiError> {
    match parts
        .bank
        .within(INQUIRY_WITHIN)
        .find_by_reference(reference)
        .await
    {
        Ok(Some(charge)) => Ok(charge),
        // Not there now is no proof that it never will be: the record stays open for reconciliation.
        Ok(None) | Err(_) => Err(being_checked()),
    }
}

/// Stores the bank's charge and says where the browser goes.
async fn proceed(parts: &Parts, record: &Record, charge: Charge) -> Result<String, ApiError> {
    log::charge(&charge.id);
    let redirect = charge.redirect_url.as_deref();
    let stored = parts
        .checkouts
        .store_charge(record, &charge.id, redirect)
        .await
        .map_err(cannot_look)?;
    if !stored {
        return overtaken(parts, record, &charge.id).await;
    }
    tracing::info!(
        event = "charge",
        state = charge.state.as_str(),
        "charge created"
    );
    match verdict(parts, record, &charge).await? {
        Verdict::Pending | Verdict::Unknown => match redirect {
            Some(url) => three_d_secure(parts, url),
            None => Err(being_checked()),
        },
        Verdict::Decided(outcome) => {
            start(parts, record, &charge.id).await;
            thank_you(parts, record, outcome)
        }
    }
}

/// Where the record would not take the charge: reconciliation may have stored it and brought the payment to its end.
async fn overtaken(parts: &Parts, record: &Record, charge: &ChargeId) -> Result<String, ApiError> {
    let read = parts.checkouts.records.get(&record.key).await;
    match read.map_err(cannot_look)? {
        Some(record) if record.charge_id.as_ref() == Some(charge) => finished(parts, &record),
        _ => {
            tracing::error!("another charge is stored for this token");
            Err(being_checked())
        }
    }
}

async fn verdict(parts: &Parts, record: &Record, charge: &Charge) -> Result<Verdict, ApiError> {
    let livemode = parts.bank.livemode().await.map_err(|_| being_checked())?;
    let payment = record.payment_by(&charge.id);
    charge
        .judge(&payment.expected(livemode))
        .map_err(|mismatch| {
            tracing::error!(
                error = mismatch.name(),
                reason = %mismatch,
                "the bank created another charge than was asked for"
            );
            bank_contradicts()
        })
}

/// Starts the saga of a charge that was decided without 3-D Secure. If that fails the record stays open, and
/// reconciliation starts it.
async fn start(parts: &Parts, record: &Record, charge_id: &ChargeId) {
    let input = ExecutionInput {
        source: Source::Checkout,
        charge_id,
        status: None,
        record_key: Some(&record.key),
        request_id: None,
    };
    if let Err(error) = parts.executions.start(&input, record.attempt).await {
        tracing::error!(reason = %error, "the execution could not be started");
    }
}

fn three_d_secure(parts: &Parts, url: &str) -> Result<String, ApiError> {
    bank_page(&parts.bank_origins, url).ok_or_else(|| {
        tracing::error!("the bank's redirect is to an origin outside BANK_REDIRECT_ORIGINS");
        bank_contradicts()
    })
}

fn finished(parts: &Parts, record: &Record) -> Result<String, ApiError> {
    if record.charge_id.is_none() {
        return Err(match record.closed_as.as_deref() {
            Some(NOT_CHARGED) => not_charged(),
            _ => refused(),
        });
    }
    let outcome = match record.resolution {
        Some(Resolution::Reversing | Resolution::Reversed) => Outcome::Returned,
        Some(Resolution::OrderPaid) | None => record.outcome.unwrap_or(Outcome::Declined),
    };
    thank_you(parts, record, outcome)
}

fn thank_you(parts: &Parts, record: &Record, outcome: Outcome) -> Result<String, ApiError> {
    let status = match outcome {
        Outcome::Paid => ReportedStatus::Success,
        Outcome::Declined | Outcome::Returned => ReportedStatus::Failure,
    };
    Ok(parts.bases.thank_you(
        record.callback.as_deref(),
        &record.order_id,
        status,
        record.amount,
    ))
}
