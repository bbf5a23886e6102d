//! `POST /cardpayment`, and `POST /cardtoken` as older pages call it: checks the order, charges the card, stores the record and sends the browser to 3-D Secure.
//!
//! A token charges once and the bank knows no idempotency key, so the record is the idempotency key: it is stored under
//! the token before the bank is called, and whoever finds it there never calls the bank's charge again. With it stands, in the
//! order's row of check-status, that the bank is being asked: until the answer is stored no other card is charged for the order.
//!
//! Where the answer is lost, three things are told apart. The bank refused, or surely did not take the charge: the record is
//! closed, and another card may follow at once. Else nobody knows, and the payment is being checked: [`crate::activity::reconcile`]
//! goes on.

use std::time::Duration;

use aws_lambda_events::http::header::{HeaderValue, RETRY_AFTER};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::json;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::bank::{Bank, BankError, NewCharge};
use crate::domain::browser_return::ReportedStatus;
use crate::domain::callback_base::CallbackBases;
use crate::domain::charge::{Charge, Outcome, Verdict};
use crate::domain::checkout::{CheckoutForm, VERIFICATION_AMOUNT};
use crate::domain::fields::Fields;
use crate::domain::ids::{ChargeId, MerchantId, OrderId, ReferenceOrder};
use crate::domain::order::{LEAST_CHARGE, Order, Unpayable};
use crate::domain::payment::Purpose;
use crate::executions::{ExecutionInput, Executions, Source};
use crate::http_api::{ApiError, Request, Response, body, html_response};
use crate::log;
use crate::tables::TableError;
use crate::tables::checkouts::{ANSWER_TAKES, Checkouts, NotBegun};
use crate::tables::orders::Orders;
use crate::tables::records::{NOT_CHARGED, REFUSED, Record, Resolution};

/// Within which time of a request another card's first answer is waited for, before this one is turned away. Behind it come the
/// charge and the inquiry, or a repeat's wait and the inquiry, within the API's 30 seconds.
const OTHERS_ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long a repeat of a form waits for the first one's answer from the bank, before it asks the bank itself. Longer
/// than a charge takes, short enough to leave room for the inquiry within the API's 30 seconds.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(17);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The bound of the inquiry that follows a lost answer, for the same reason.
const INQUIRY_WITHIN: Duration = Duration::from_secs(6);

/// The code of a payment of which nobody knows yet.
const BEING_CHECKED: &str = "PAYMENT_BEING_CHECKED";
/// The detail that says in how many seconds it is worth another try.
const AGAIN_IN: &str = "retryAfterSeconds";

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
        return Err(ApiError {
            details: json!({"field": "mid"}),
            ..ApiError::new(
                400,
                "INVALID_INPUT",
                "`mid` is no merchant account of this shop",
            )
        });
    }
    let key = form.token.record_key();
    // A repeat of the form gets the first one's answer, whatever became of the order since.
    let records = &parts.checkouts.records;
    if let Some(record) = records.get(&key).await.map_err(unavailable)?
        && !record.may_be_tried_again(&form)
    {
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
    let reference = ReferenceOrder::random().map_err(|error| {
        tracing::error!(reason = %error, "no random numbers for a reference");
        not_charged()
    })?;
    // Where the key cannot be fetched, the charge will say so.
    let bank_key = parts.bank.fingerprint().await.ok();
    let bank_key = bank_key.as_deref();
    let checkouts = &parts.checkouts;
    let mut begun = checkouts
        .begin(&form, &owner, amount, &reference, bank_key)
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
            .begin(&form, &owner, amount, &reference, bank_key)
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
    let charge = match parts.bank.create_charge(&new_charge).await {
        Ok(charge) => charge,
        Err(error @ BankError::Refused { .. }) => {
            tracing::warn!(reason = %error, "the bank refused to create the charge");
            let closed = parts
                .checkouts
                .close(&key, &reference, &form.order_id, REFUSED)
                .await;
            closed.map_err(unavailable)?;
            return Err(refused());
        }
        Err(error @ BankError::NotTaken(_)) => {
            tracing::warn!(reason = %error, "the charge never came to the bank");
            let closed = parts
                .checkouts
                .close(&key, &reference, &form.order_id, NOT_CHARGED)
                .await;
            closed.map_err(unavailable)?;
            return Err(not_charged());
        }
        // It may have been created all the same: asking is safe, repeating is not.
        Err(error @ BankError::Unavailable(_)) => {
            tracing::warn!(reason = %error, "the answer to a new charge was lost");
            find_lost_charge(parts, &reference).await?
        }
    };
    let record = records.get(&key).await.map_err(cannot_look)?;
    proceed(parts, &record.ok_or_else(being_checked)?, charge).await
}

/// Ends a checkout of which only the answer to storing it may be lost, so that it keeps nobody away: the bank was not asked. If
/// that fails, too, a record that was stored stays open for reconciliation.
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
        .ok_or_else(|| ApiError {
            details: json!({"field": "orderId"}),
            ..ApiError::new(404, "NOT_FOUND", "this user has no such order")
        })?;
    match order.check_payable(form.grand_total) {
        // The bank would refuse it with every card: the total is at fault, whatever the form says.
        Ok(()) | Err(Unpayable::OtherAmount) if order.grand_total < LEAST_CHARGE => {
            let reason = format!("the total is less than {LEAST_CHARGE} baht");
            let told = "costs less than 1.00 baht, which no card can pay";
            Err(order_unreadable(id, &reason, told))
        }
        Ok(()) => Ok(order),
        Err(Unpayable::OtherAmount) => Err(ApiError {
            details: json!({"field": "grandTotal"}),
            ..ApiError::new(
                400,
                "INVALID_INPUT",
                "`grandTotal` is not the order's total: reload the checkout",
            )
        }),
        Err(Unpayable::Draft) => Err(not_payable(id, "is a draft and cannot be paid yet")),
        Err(Unpayable::Cancelled) => Err(not_payable(id, "is cancelled and cannot be paid")),
        Err(Unpayable::AlreadyPaid) => Err(not_payable(id, "is paid already")),
    }
}

fn not_payable(order_id: &OrderId, why: &str) -> ApiError {
    ApiError::new(409, "ORDER_NOT_PAYABLE", format!("order {order_id} {why}"))
}

/// An order that no shopper can pay until the shop corrects it. An alarm counts the line.
fn order_unreadable(order_id: &OrderId, reason: &str, why: &str) -> ApiError {
    tracing::error!(
        error = "OrderUnreadable",
        reason,
        "an order cannot be paid by anybody"
    );
    not_payable(
        order_id,
        &format!("{why}. Nothing was charged, and the shop has been told"),
    )
}

/// The same token again: a double click, a second tab or a retry gets the first one's answer; another form with the
/// token of an earlier one is refused.
async fn repeat(
    parts: &Parts,
    form: &CheckoutForm,
    mut record: Record,
) -> Result<String, ApiError> {
    if record.fingerprint.as_deref() != Some(form.fingerprint()) {
        return Err(ApiError {
            details: json!({"field": "token"}),
            ..ApiError::new(
                409,
                "TOKEN_USED",
                "this card token was used for another payment: enter the card again",
            )
        });
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

/// The 3-D Secure page that the bank names, if it is at one of its known origins.
#[must_use]
pub fn bank_page(origins: &[url::Origin], url: &str) -> Option<String> {
    Url::parse(url)
        .ok()
        // A `blob:` URL has the origin of what it wraps, and is no page.
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .filter(|url| origins.contains(&url.origin()))
        .map(String::from)
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

/// What could end an attribute, a string or a tag, and what is no character of an address.
const ENDS_SOMETHING: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'`');

/// The page that sends the browser on. Existing clients search it with expressions, and take the characters that they find as they
/// stand. The script holds the address for them, each character as it is. The refresh holds it so that an expression finds all of
/// it and a browser reads the same: `content` comes first, as an expression that wants it behind `http-equiv` takes what follows
/// the last `url=`; each expression's match ends with its line.
#[must_use]
pub fn redirect_page(location: &str) -> String {
    let address = utf8_percent_encode(location, ENDS_SOMETHING).to_string();
    let attribute = attribute(&address);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Payment</title>\n\
         <meta content=\"0;url={attribute}\"\n http-equiv=\"refresh\">\n\
         <script>window.location.href=\"{address}\"</script>\n</head>\n\
         <body><p>Continue to your bank:\n<a href=\"{attribute}\">go on</a></p></body></html>\n"
    )
}

/// An address in an attribute. A client that does not know HTML must read it as a browser does, so that nothing is escaped as
/// HTML would have it. What either of them would take for something else is percent-encoded: a server reads the same.
fn attribute(address: &str) -> String {
    // Some expressions take what follows the last `url=`, which may be the end of `returnUrl=`.
    let one_url = encoded_where(address, |_, rest| {
        rest.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("url="))
    });
    // Browsers take `&copy;`, and at some places `&copy`, for another character, but never before a `=`.
    encoded_where(&one_url, |before, rest| {
        let name_ends = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        name_ends.len() < rest.len()
            && (before.ends_with("&#") || (before.ends_with('&') && !name_ends.starts_with('=')))
    })
}

/// Percent-encodes the characters for which `wrong` says so, told what stands before each and from it on. Only letters and
/// digits mean the same to everybody afterwards.
fn encoded_where(address: &str, wrong: impl Fn(&str, &str) -> bool) -> String {
    let mut out = String::with_capacity(address.len());
    for (at, character) in address.char_indices() {
        let (before, rest) = address.split_at(at);
        if wrong(before, rest) {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

fn refused() -> ApiError {
    ApiError::new(
        402,
        "DECLINED",
        "the bank refused the card: use another card, or enter this one again",
    )
}

/// The bank was surely not charged.
fn not_charged() -> ApiError {
    ApiError::new(
        503,
        "BANK_UNAVAILABLE",
        "the bank cannot be reached now, and nothing was charged: try again, with this card or another",
    )
}

/// Nobody knows whether the bank charged, or it did and that cannot be shown now.
fn being_checked() -> ApiError {
    ApiError::new(
        503,
        BEING_CHECKED,
        "the bank has not said yet whether the card was charged: this is being checked, so do not pay again",
    )
    .being_checked()
}

/// Nobody knows whether another card was charged for this order.
fn another_being_checked(again_in: i64) -> ApiError {
    let wait = match again_in {
        ..=60 => format!("{again_in} seconds"),
        _ => format!("{} minutes", (again_in + 59) / 60),
    };
    ApiError {
        details: json!({AGAIN_IN: again_in}),
        ..ApiError::new(
            409,
            BEING_CHECKED,
            format!(
                "another payment for this order is being checked, and this card was not charged: if the order is \
                 not paid in {wait}, try again then"
            ),
        )
        .being_checked()
    }
}

/// The bank may have a charge by now. The record stays open, and reconciliation goes on.
fn cannot_look(error: TableError) -> ApiError {
    tracing::error!(reason = %error, "checkout could not use a table after the bank was called");
    being_checked()
}

/// What the bank answered cannot be used, and will not be tomorrow. It may have charged.
fn bank_contradicts() -> ApiError {
    ApiError::new(
        503,
        BEING_CHECKED,
        "the bank's answer to this payment cannot be used: ask the shop whether the order is paid before you pay again",
    )
    .being_checked()
}

fn unavailable(error: TableError) -> ApiError {
    if !error.log_is_definite() {
        return ApiError::new(
            503,
            "UNAVAILABLE",
            "the payment cannot be started now: try again in a moment",
        );
    }
    // What is stored under this token. It may have been charged.
    ApiError {
        details: json!({"field": "token"}),
        ..ApiError::new(
            409,
            "TOKEN_USED",
            "this payment was begun and cannot be looked up, and the shop has been told: ask the shop whether the order \
             is paid before you enter a card again",
        )
        .being_checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_api::Body;

    /// The page that a person gets for an error.
    fn page(error: &ApiError) -> String {
        match error.to_page("https://shop.example").body {
            Some(Body::Text(page)) => page,
            other => panic!("no page: {other:?}"),
        }
    }

    #[test]
    fn only_a_page_of_what_may_be_charged_says_that_it_is_being_checked() {
        let unreadable = TableError::Unreadable {
            table: "card-payment-record",
            attribute: "outcome",
        };
        for error in [
            being_checked(),
            another_being_checked(60),
            bank_contradicts(),
            unavailable(unreadable),
        ] {
            let page = page(&error);
            assert!(page.contains("You do not need to pay again"), "{page}");
            assert!(!page.contains("has not charged your card"), "{page}");
        }
        for error in [not_charged(), refused()] {
            let page = page(&error);
            assert!(page.contains("has not charged your card"), "{page}");
            assert!(!page.contains("being checked"), "{page}");
        }
    }

    #[test]
    fn the_pages_are_those_that_the_real_clients_and_a_browser_are_tried_with() {
        for (address, page) in [
            (
                r#"https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d='4""#,
                include_str!("../../../tests/e2e/clients/redirect/return-url.html"),
            ),
            (
                "https://bank.example/it's/url=1?a&copy;&not_paid=1&copy=2#&#65;",
                include_str!("../../../tests/e2e/clients/redirect/references.html"),
            ),
        ] {
            let bank = [Url::parse(address).unwrap().origin()];
            assert_eq!(redirect_page(&bank_page(&bank, address).unwrap()), page);
        }
    }

    #[test]
    fn the_script_holds_the_address_as_it_stands() {
        let address = "https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d=%274%22";
        let script = format!("<script>window.location.href=\"{address}\"</script>\n");
        assert!(redirect_page(address).contains(&script));
    }

    #[test]
    fn the_refresh_holds_one_url_and_no_character_reference() {
        for (address, held) in [
            ("https://b.example/?a=1&b=2", "https://b.example/?a=1&b=2"),
            (
                "https://b.example/?copy=1&copy=2",
                "https://b.example/?copy=1&copy=2",
            ),
            (
                "https://b.example/?returnUrl=/&url=1",
                "https://b.example/?return%55rl=/&%75rl=1",
            ),
            // Without the letter's code a browser reads ©, ¬ and A.
            (
                "https://b.example/?a&copy;&not_paid=1&copy",
                "https://b.example/?a&%63opy;&%6Eot_paid=1&%63opy",
            ),
            (
                "https://b.example/?a&copyUrl=1",
                "https://b.example/?a&%63opy%55rl=1",
            ),
            ("https://b.example/?a&#65;", "https://b.example/?a&#%365;"),
            ("https://b.example/?a&#x41", "https://b.example/?a&#%7841"),
        ] {
            assert_eq!(attribute(address), held);
            let refresh = format!("<meta content=\"0;url={held}\"\n http-equiv=\"refresh\">\n");
            assert!(redirect_page(address).contains(&refresh), "{address}");
        }
    }

    #[test]
    fn only_pages_of_the_bank_are_gone_to() {
        let origins = [Url::parse("https://bank.example").unwrap().origin()];
        let page = "https://bank.example/3ds?a=1";
        assert_eq!(bank_page(&origins, page).as_deref(), Some(page));
        for url in [
            "https://bank.example.evil.example/",
            "http://bank.example/",
            "https://bank.example:8443/",
            "blob:https://bank.example/1",
            "javascript:alert(1)",
            "/3ds",
        ] {
            assert_eq!(bank_page(&origins, url), None, "{url}");
        }
    }

    #[test]
    fn a_url_cannot_break_out_of_the_page() {
        let tags = |location| redirect_page(location).matches('<').count();
        for location in [
            r#"https://bank.example/"></script><script>alert(1)</script>"#,
            r#"https://bank.example/'"onload="alert(1)" \" <!-- "#,
            "yourapp://a'b\u{a0}\n</title>",
        ] {
            let page = redirect_page(location);
            assert_eq!(tags(location), tags("https://bank.example/"), "{page}");
            assert!(!page.contains("alert(1)\""), "{page}");
        }
    }
}
