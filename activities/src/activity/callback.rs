//! `/callback` and `POST /notify`: somebody says that a charge was decided. All that either may do is start the saga
//! for a charge that we know; the saga asks the bank.
//!
//! The browser's return is unsigned, and anybody can post it. So returns start few executions of a charge: the first attempt,
//! whose name can be used once only, and two more in any ten minutes. A return beyond that has the bank asked right here, at
//! most once in ten seconds, and starts one only if the bank has decided.
//!
//! The bank's notification is signed. An authorisation is in the record, and the record open and due, before it is answered
//! 200: whatever fails afterwards, reconciliation goes on.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::bank::{Bank, BankError};
use crate::clock;
use crate::domain::browser_return::{BrowserReturn, ReportedStatus};
use crate::domain::callback_base::CallbackBases;
use crate::domain::charge::{Outcome, Verdict};
use crate::domain::ids::{CardToken, ChargeId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::notification::Notification;
use crate::executions::{ExecutionInput, Executions, NotStarted, Source, Started, execution_name};
use crate::http_api::{ApiError, Request, Response, body, json_response, see_other};
use crate::log;
use crate::tables::TableError;
use crate::tables::checkouts::Checkouts;
use crate::tables::hints::{self, Hinted};
use crate::tables::orders::Orders;
use crate::tables::records::{Hint, Record};
use crate::tables::sources::{Foreign, Found, Sources, TakeOverError};

/// Within which time the bank must say whether it has decided, while a browser waits.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How often a record is read and written again that others keep changing, and how long it waits in between.
const TRIES: u32 = 4;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(40);

/// What the callback touches.
pub struct Parts {
    /// The payments' records, wherever they were made.
    pub sources: Sources,
    /// This branch's own checkouts, for charges that are not stored yet.
    pub checkouts: Checkouts,
    /// For what an old record lacks.
    pub orders: Orders,
    /// The bank, whose key also signs notifications.
    pub bank: Bank,
    /// The saga.
    pub executions: Executions,
    /// Where browsers may be sent.
    pub bases: CallbackBases,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The shopper's browser comes back.
    Return,
    /// The bank notifies.
    Notification,
}

impl Route {
    /// Reads it from the key of the route that API Gateway took. An HTTP API has no route for an address with a slash at its
    /// end. Such a request comes by the default route, and is served as the route without the slash. `None` for any other.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let without_slash = || {
            let method = &request.request_context.http.method;
            let path = request.raw_path.as_deref()?.trim_end_matches('/');
            Some(format!("{method} {path}"))
        };
        let key = match request.route_key.as_deref()? {
            "$default" => without_slash()?,
            key => key.to_owned(),
        };
        match key.as_str() {
            "POST /callback" | "GET /callback" => Some(Self::Return),
            "POST /notify" => Some(Self::Notification),
            _ => None,
        }
    }
}

/// Answers a return, a notification, or a request that no other route takes.
pub async fn answer(parts: &Parts, request: &Request) -> Response {
    let route = Route::of(request);
    let answer = match route {
        Some(Route::Return) => returned(parts, request).await,
        Some(Route::Notification) => notified(parts, request).await,
        None => return nothing_here(request).answer(request, parts.bases.default_base()),
    };
    answer.unwrap_or_else(|error| {
        tracing::warn!(
            event = "refusal",
            route = ?route,
            code = error.code,
            details = %error.details,
            "refused"
        );
        error
            .being_checked()
            .answer(request, parts.bases.default_base())
    })
}

/// The answer to every other address. Whoever posted a checkout form with a slash too many has started nothing.
fn nothing_here(request: &Request) -> ApiError {
    let error = ApiError::new(404, "NOT_FOUND", "nothing has this address here");
    let path = request.raw_path.as_deref().unwrap_or_default();
    match path.trim_end_matches('/') {
        "/cardpayment" | "/cardtoken" => error,
        _ => error.being_checked(),
    }
}

/// The browser's return: starts the saga and sends the browser to the shop's thank-you page. The `status` there is success
/// where the return says so or the order is paid; apps believe their own check of the order. A saga that cannot be started
/// now is left to reconciliation, and the browser goes on.
async fn returned(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
    if is_prefetch(request) {
        return Err(ApiError::new(
            425,
            "TOO_EARLY",
            "the address is opened in advance, and nothing was started: open it again",
        ));
    }
    let query = request.raw_query_string.as_deref().unwrap_or_default();
    let back = BrowserReturn::read(query, &body(request)?)?;
    log::charge(&back.charge_id);
    let found = match parts.sources.find(&back.charge_id).await {
        Ok(None) => match &back.token {
            Some(token) => find_by_token(&parts.sources, &back.charge_id, token).await,
            None => Ok(None),
        },
        found => found,
    };
    let found = found
        .map_err(unavailable)?
        .ok_or_else(|| unknown("objectId"))?;
    log::order(found.order_id());
    let message = Message {
        source: Source::Callback,
        charge_id: &back.charge_id,
        status: back.status,
        request_id: request.request_context.request_id.as_deref(),
    };
    if let Err(error) = start_by_return(parts, &message, &found).await {
        tracing::error!(reason = %error, "the execution could not be started");
    }
    let callback = match &found {
        Found::Own(record) => record.callback.as_deref(),
        Found::Foreign(foreign) => foreign.callback.as_deref(),
    };
    let status = if found.is_paid() {
        ReportedStatus::Success
    } else {
        back.status
    };
    let amount = amount(parts, &found).await;
    let location = parts
        .bases
        .thank_you(callback, found.order_id(), status, amount);
    Ok(see_other(&location))
}

/// Whether a browser only looks ahead: nobody has come back then. It drops the refusal, and asks again when somebody does.
fn is_prefetch(request: &Request) -> bool {
    request
        .headers
        .get("sec-purpose")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|purpose| purpose.trim_start().starts_with("prefetch"))
}

/// The bank's notification: answered 200 once the saga is started or an authorisation is in the record, so that the bank sends it
/// again otherwise.
async fn notified(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
    let notification = Notification::parse(&body(request)?)?;
    let signed = parts
        .bank
        .credentials()
        .signed(&notification)
        .await
        .map_err(|error| {
            tracing::error!(reason = %error, "a notification could not be verified");
            cannot_now()
        })?;
    if !signed {
        return Err(ApiError {
            details: json!({"field": "checksum"}),
            ..ApiError::new(
                401,
                "INVALID_CHECKSUM",
                "`checksum` is not the bank's: the notification is not believed",
            )
        });
    }
    let charge_id = &notification.charge_id;
    log::charge(charge_id);
    let found = match parts.sources.find(charge_id).await.map_err(unavailable)? {
        // An index may be behind, and what is signed must not be dropped for that.
        Some(Found::Own(indexed)) => {
            let record = parts.sources.own().get(&indexed.key).await;
            record
                .map_err(unavailable)?
                .map(|record| Found::Own(Box::new(record)))
        }
        found => found,
    };
    let found = match found {
        Some(found) => Some(found),
        None => match hinted(parts, &notification).await? {
            Hinted::Stored(record) => Some(Found::Own(record)),
            Hinted::Kept => return Err(not_stored_yet()),
            Hinted::Unknown => None,
        },
    };
    let Some(found) = found else {
        if notification.says_paid() {
            tracing::error!(
                error = "OrphanCharge",
                "the bank has authorised a charge that no record knows"
            );
        }
        return Err(unknown("id"));
    };
    log::order(found.order_id());
    let message = Message {
        source: Source::Notify,
        charge_id,
        status: notification.status,
        request_id: request.request_context.request_id.as_deref(),
    };
    let authorised = notification.says_paid();
    let started = match open_here(parts, &message, &found).await {
        Ok(Here::Open(record)) if authorised => start_authorised(parts, &message, *record).await,
        Ok(Here::Open(record)) => start_signed(parts, &message, *record).await,
        // The other stack may have closed it, or never come to it: nobody would be told of the money.
        Ok(Here::Elsewhere(foreign)) if authorised && !foreign.knows_authorisation() => {
            tracing::error!(
                error = "OrphanCharge",
                "the bank has authorised a charge of which the stack that handles it does not say so"
            );
            return Err(cannot_now());
        }
        // An execution of it may have failed long ago, and the bank says something new.
        Ok(Here::Stands(error, started)) if authorised || started == Started::Now => {
            error.log_if_it_stands(Some(&execution_name(charge_id, 0)));
            Ok(())
        }
        Ok(Here::Elsewhere(_) | Here::Stands(..)) => Ok(()),
        Err(error) => Err(error),
    };
    started.map_err(|error| {
        tracing::error!(reason = %error, "the notification could not be taken");
        cannot_now()
    })?;
    Ok(json_response(
        200,
        &json!({"responseCode": "200", "responseMSG": "OK"}),
    ))
}

/// Where the charge of a notification may belong that no record has stored.
async fn hinted(parts: &Parts, notification: &Notification) -> Result<Hinted, ApiError> {
    let (checkouts, order) = (&parts.checkouts, notification.order_id.as_ref());
    let hinted = hints::of_notification(checkouts, &notification.charge_id, order);
    hinted.await.map_err(unavailable)
}

/// Finds the record where the index lags behind checkout. Found by its token it counts only if its charge is this one,
/// or not stored yet.
async fn find_by_token(
    sources: &Sources,
    charge_id: &ChargeId,
    token: &CardToken,
) -> Result<Option<Found>, TableError> {
    let own = sources.own().get(&token.record_key()).await?;
    Ok(own
        .filter(|record| match &record.charge_id {
            Some(id) => id == charge_id,
            // Closed without one: the bank refused that checkout, and no charge will come of it.
            None => !record.is_closed(),
        })
        .map(|record| Found::Own(Box::new(record))))
}

/// What came in, as the execution is told.
struct Message<'a> {
    source: Source,
    charge_id: &'a ChargeId,
    status: ReportedStatus,
    request_id: Option<&'a str>,
}

impl Message<'_> {
    fn input<'a>(&'a self, record_key: Option<&'a RecordKey>) -> ExecutionInput<'a> {
        ExecutionInput {
            source: self.source,
            charge_id: self.charge_id,
            status: Some(self.status),
            record_key,
            request_id: self.request_id,
        }
    }
}

/// What of a payment is in our own table.
enum Here<'a> {
    /// Its record: our own, or the copy of a foreign one.
    Open(Box<Record>),
    /// Nothing: another stack works on it, or has done with it.
    Elsewhere(&'a Foreign),
    /// Nothing: the foreign record cannot be copied. An execution shows in the console what stands in the way.
    Stands(TakeOverError, Started),
}

/// The payment's record in our own table; a foreign one is copied there first, so that it stands in the index of open
/// records before anything of it runs.
///
/// # Errors
/// [`NotStarted`] where it could not be copied now.
async fn open_here<'a>(
    parts: &Parts,
    message: &Message<'_>,
    found: &'a Found,
) -> Result<Here<'a>, NotStarted> {
    let foreign = match found {
        Found::Own(record) => return Ok(Here::Open(record.clone())),
        Found::Foreign(foreign) if foreign.is_done() => return Ok(Here::Elsewhere(foreign)),
        Found::Foreign(foreign) => foreign,
    };
    let error = match parts.sources.take_over(foreign, &parts.orders).await {
        Ok(copy) => return Ok(Here::Open(Box::new(copy))),
        Err(TakeOverError::Table(error @ TableError::Unavailable { .. })) => {
            return Err(error.into());
        }
        Err(error) => error,
    };
    let started = parts.executions.start(&message.input(None), 0).await?;
    Ok(match error {
        TakeOverError::HandledElsewhere => Here::Elsewhere(foreign),
        error => Here::Stands(error, started),
    })
}

/// What a browser's return may do for a payment.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing is left to do, or reconciliation does it.
    Nothing,
    /// Checkout died before it stored the charge, and a return's word for which charge it was is not enough: it is kept, and
    /// reconciliation asks the bank for it.
    Hint,
    /// Start the first attempt: only one execution can have its name.
    First,
    /// Start the next attempt, which is counted.
    Counted,
    /// Have the bank asked, and go on only if it has decided.
    Ask,
}

impl Turn {
    fn of(record: &Record, now: i64) -> Self {
        if record.charge_id.is_none() {
            return if record.is_closed() {
                Self::Nothing
            } else {
                Self::Hint
            };
        }
        if record.is_abandoned() {
            return Self::Ask;
        }
        if record.is_closed() || record.outcome.is_some() {
            return Self::Nothing;
        }
        match record.attempt {
            0 => Self::First,
            _ if record.return_may_start(now) => Self::Counted,
            _ => Self::Ask,
        }
    }
}

/// A browser came back: starts the saga, as far as returns may.
async fn start_by_return(
    parts: &Parts,
    message: &Message<'_>,
    found: &Found,
) -> Result<(), NotStarted> {
    let mut record = match open_here(parts, message, found).await {
        Ok(Here::Open(record)) => *record,
        // The name can be used once only, and so it is told once.
        Ok(Here::Stands(error, Started::Now)) => {
            error.log_if_it_stands(Some(&execution_name(message.charge_id, 0)));
            return Ok(());
        }
        Ok(Here::Elsewhere(_) | Here::Stands(_, Started::Already)) => return Ok(()),
        // Nobody else comes back to a record that is not copied: the execution tries that for longer.
        Err(error) => {
            tracing::error!(reason = %error, "the record of another system could not be copied now");
            let input = message.input(None);
            return parts.executions.start(&input, 0).await.map(|_| ());
        }
    };
    let own = parts.sources.own();
    for _ in 0..TRIES {
        let now = clock::now_seconds();
        match Turn::of(&record, now) {
            Turn::Nothing => return Ok(()),
            Turn::Hint => {
                own.note_hint(&record.key, message.charge_id, Hint::Returned)
                    .await?;
                return Ok(());
            }
            Turn::First => {
                if start_attempt(parts, message, &record).await? == Started::Now {
                    return Ok(());
                }
            }
            Turn::Counted => {
                let counted = unless_conflict(own.count_return_start(&record, now).await)?;
                if counted == Some(true) {
                    // The count has seen to the next look.
                    start_once(parts, message, &record).await?;
                    return Ok(());
                }
            }
            Turn::Ask => return ask(parts, message, &record, now).await,
        }
        // An index may be behind, and others come at the same time.
        let Some(read) = own.get(&record.key).await? else {
            return Ok(());
        };
        let first = record.attempt == 0 && read.attempt == 0;
        let others = read.attempt == record.attempt && read.return_starts != record.return_starts;
        if first || others {
            // Another call has started it, or is about to. What becomes of it, reconciliation sees to.
            return Ok(());
        }
        record = read;
    }
    Ok(())
}

/// For a return beyond those that are counted: has the bank asked, at most once in a few seconds per charge, and goes on if it
/// has decided. Else, and where another return has asked a moment ago, the payment is looked at soon.
async fn ask(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
    now: i64,
) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    if !record.return_may_ask(now) {
        own.look_soon(record, now).await?;
        return Ok(());
    }
    if !own.take_return_ask(record, now).await? {
        return Ok(());
    }
    // What was found by an index may be behind.
    let Some(record) = own.get(&record.key).await? else {
        return Ok(());
    };
    if !record.is_abandoned() && (record.is_closed() || record.outcome.is_some()) {
        return Ok(());
    }
    let word = ask_bank(&parts.bank, &record).await;
    if word == Word::Undecided {
        return Ok(());
    }
    if !record.is_abandoned() {
        if word == Word::Decided {
            start_attempt(parts, message, &record).await?;
        }
        return Ok(());
    }
    let Some(attempt) = own.reopen_abandoned(&record).await? else {
        return Ok(());
    };
    tracing::warn!(attempt, "a payment that was given up is opened again");
    // Of a state that is not known here, reconciliation tells a person as long as it lasts: an execution would just wait.
    if word == Word::Decided {
        let input = message.input(Some(&record.key));
        log_start(parts.executions.start(&input, attempt).await?, attempt);
    }
    Ok(())
}

/// What the bank's word means for a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It has decided, or its charge is not the record's, which a person has to see.
    Decided,
    /// It says something that is not known here: money may have moved.
    UnknownState,
    /// An execution would just wait for it; no answer is none.
    Undecided,
}

async fn ask_bank(bank: &Bank, record: &Record) -> Word {
    let Some(payment) = record.payment() else {
        return Word::Undecided;
    };
    let asked: Result<_, BankError> = async {
        let livemode = bank.livemode().await?;
        let charge = bank.within(ASK_WITHIN).inquire(&payment.charge_id).await?;
        Ok((charge.judge(&payment.expected(livemode)), charge))
    }
    .await;
    match asked {
        Ok((Ok(Verdict::Decided(_)), _)) => Word::Decided,
        Ok((Ok(Verdict::Unknown), charge)) => {
            charge.log_unknown_state();
            Word::UnknownState
        }
        Ok((Ok(Verdict::Pending), _)) => Word::Undecided,
        Ok((Err(mismatch), _)) if mismatch.is_of_the_mode() => Word::Undecided,
        Ok((Err(_), _)) => Word::Decided,
        Err(error) => {
            tracing::warn!(reason = %error, "the bank could not be asked for a return");
            Word::Undecided
        }
    }
}

/// The bank has signed that the charge is authorised. That is in the record first, and the record open and due: whoever decides
/// the payment, this very execution too, must not close it as declined any more. From then on nothing can be lost, so that a
/// start that fails is reconciliation's. What others change at the same moment is read and written again.
async fn start_authorised(
    parts: &Parts,
    message: &Message<'_>,
    mut record: Record,
) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    for tried in 1..=TRIES {
        let noted = match record.outcome {
            None if !record.is_closed() => {
                let noted = own.note_authorised(&record.key).await;
                noted.map(|noted| noted.then_some(record.attempt))
            }
            // Closed or not, given up or not: a late authorisation.
            Some(Outcome::Declined) => own.reopen_declined(&record).await,
            // Another stack's.
            None => return Ok(()),
            // The yes is recorded, or went back since.
            Some(Outcome::Paid | Outcome::Returned) => {
                if !record.is_closed() {
                    left_if_not(start_attempt(parts, message, &record).await);
                }
                return Ok(());
            }
        };
        if let Some(attempt) = unless_conflict(noted)?.flatten() {
            if record.outcome.is_some() {
                tracing::warn!(attempt, "late authorisation of a declined charge");
            }
            let input = message.input(Some(&record.key));
            let started = parts.executions.start(&input, attempt).await;
            left_if_not(started.inspect(|started| log_start(*started, attempt)));
            return Ok(());
        }
        sleep(TRY_AGAIN_AFTER * tried).await;
        let read = own.get(&record.key).await?;
        record = read.ok_or_else(NotStarted::record_changed)?;
    }
    Err(NotStarted::record_changed())
}

/// What is in the record needs nobody's answer: an execution that cannot be started now is reconciliation's.
fn left_if_not(started: Result<Started, NotStarted>) {
    if let Err(error) = started {
        tracing::error!(reason = %error, "the execution could not be started: reconciliation does");
    }
}

/// The bank has signed something else than an authorisation.
async fn start_signed(
    parts: &Parts,
    message: &Message<'_>,
    record: Record,
) -> Result<(), NotStarted> {
    if record.is_abandoned() {
        return ask(parts, message, &record, clock::now_seconds()).await;
    }
    if record.is_closed() {
        return Ok(());
    }
    start_attempt(parts, message, &record).await.map(|_| ())
}

/// Starts the execution of the record's attempt, and sees to it that it is found should it fail.
async fn start_attempt(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
) -> Result<Started, NotStarted> {
    let own = parts.sources.own();
    let looks = own.look_before_a_start(record, clock::now_seconds()).await;
    let brought_forward = left_if_late(looks);
    let started = start_once(parts, message, record).await?;
    // Not before: a name that is used up starts nothing, and whoever posts returns must not put a payment off.
    if started == Started::Now && !brought_forward {
        left_if_late(own.look_after_a_start(record, clock::now_seconds()).await);
    }
    Ok(started)
}

/// Better started than not: LookupRecord sees to the next look, too.
fn left_if_late(looks: Result<bool, TableError>) -> bool {
    looks.unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "the next look at the payment may stay late");
        false
    })
}

async fn start_once(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
) -> Result<Started, NotStarted> {
    let input = message.input(Some(&record.key));
    let started = parts.executions.start(&input, record.attempt).await?;
    log_start(started, record.attempt);
    Ok(started)
}

fn log_start(started: Started, attempt: u32) {
    if started == Started::Now {
        tracing::info!(attempt, "execution started");
    }
}

/// `None` where another transaction held the record at that moment.
fn unless_conflict<T>(written: Result<T, TableError>) -> Result<Option<T>, NotStarted> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the thank-you page shows as the amount. An old record may lack it; its order has it. Only shown: where it cannot be
/// told, the page shows nothing paid, and the browser goes on.
async fn amount(parts: &Parts, found: &Found) -> Satang {
    let foreign = match found {
        Found::Own(record) => return record.amount,
        Found::Foreign(foreign) => foreign,
    };
    if let Some(amount) = foreign.amount {
        return amount;
    }
    match parts.orders.get(&foreign.order_id).await {
        Ok(Some(stored)) => stored.order.grand_total,
        Ok(None) => Satang::ZERO,
        Err(error) => {
            tracing::error!(reason = %error, "the amount of an old payment could not be read");
            Satang::ZERO
        }
    }
}

fn unknown(field: &str) -> ApiError {
    ApiError {
        details: json!({"field": field}),
        ..ApiError::new(
            404,
            "NOT_FOUND",
            format!(
                "no payment has this charge: `{field}` must be the id of a charge made at checkout"
            ),
        )
    }
}

/// The bank notified before checkout had stored the charge, or its checkout died: what is kept is looked at soon, and by the
/// time the bank sends its notification again the charge is known.
fn not_stored_yet() -> ApiError {
    tracing::info!("the charge may be a checkout's that has none stored: kept there");
    ApiError::new(
        503,
        "UNAVAILABLE",
        "the payment is not stored yet: send the notification again in a moment",
    )
}

/// Nothing is lost where the record is in our table: it is open, and reconciliation comes back to it. To a foreign one that is
/// not copied only another return or notification comes back. One that cannot be read is told to the shop.
fn unavailable(error: TableError) -> ApiError {
    if !error.log_is_definite() {
        return cannot_now();
    }
    ApiError::new(
        503,
        "UNAVAILABLE",
        "what is stored of the payment cannot be read, and the shop has been told: ask the shop about the order",
    )
}

fn cannot_now() -> ApiError {
    ApiError::new(
        503,
        "UNAVAILABLE",
        "the payment cannot be looked up now: try again in a moment",
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::http_api::Method;
    use crate::tables::item::{Item, n, s};

    const NOW: i64 = 1_800_000_000;

    /// A pending record with a charge, but for what is set otherwise.
    fn record(set: &[(&str, AttributeValue)]) -> Record {
        let mut item: Item = [
            ("tokenId", s("k")),
            ("chargeId", s("chrg_1")),
            ("orderId", s("482500007436")),
            ("ownerId", s("usr_1")),
            ("amountSatang", n(150_000)),
            ("outcome", s("pending")),
            ("attempt", n(0)),
            ("openShard", n(1)),
            ("lookAgainAt", n(NOW)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        item.extend(
            set.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        item.retain(|_, value| *value != AttributeValue::Null(true));
        Record::read(&item).unwrap()
    }

    fn started(ago: &[i64]) -> AttributeValue {
        AttributeValue::L(ago.iter().map(|ago| n(NOW - ago)).collect())
    }

    #[test]
    fn returns_start_the_first_attempt_and_two_more_in_any_ten_minutes() {
        let turn = |attempt: u32, ago: &[i64]| {
            let set = [("attempt", n(attempt)), ("returnStarts", started(ago))];
            Turn::of(&record(&set), NOW)
        };
        assert_eq!(turn(0, &[]), Turn::First);
        assert_eq!(turn(1, &[]), Turn::Counted);
        assert_eq!(turn(7, &[599]), Turn::Counted);
        assert_eq!(turn(2, &[599, 0]), Turn::Ask);
        assert_eq!(turn(2, &[600, 599]), Turn::Counted);
        // A clock that is ahead of ours counts, too.
        assert_eq!(turn(2, &[-30, 30]), Turn::Ask);
    }

    #[test]
    fn returns_have_the_bank_asked_once_in_ten_seconds() {
        let may_ask = |ago: i64| record(&[("returnAskedAt", n(NOW - ago))]).return_may_ask(NOW);
        assert!(record(&[]).return_may_ask(NOW));
        assert_eq!([-1, 0, 9, 10].map(may_ask), [false, false, false, true]);
    }

    #[test]
    fn a_return_starts_nothing_of_what_is_decided_closed_or_without_a_charge() {
        let none = AttributeValue::Null(true);
        let closed = |closed_as: &str| [("outcome", s("declined")), ("closedAs", s(closed_as))];
        for (set, turn) in [
            (vec![("outcome", s("paid"))], Turn::Nothing),
            (vec![("outcome", s("declined"))], Turn::Nothing),
            (closed("declined").to_vec(), Turn::Nothing),
            (vec![("closedAs", s("handledElsewhere"))], Turn::Nothing),
            (closed("abandoned").to_vec(), Turn::Ask),
            (vec![("chargeId", none.clone())], Turn::Hint),
            (
                vec![("chargeId", none), ("closedAs", s("refused"))],
                Turn::Nothing,
            ),
        ] {
            assert_eq!(Turn::of(&record(&set), NOW), turn, "{set:?}");
        }
    }

    fn route(key: &str, method: Method, path: &str) -> Option<Route> {
        let mut request = Request::default();
        request.route_key = Some(key.into());
        request.raw_path = Some(path.into());
        request.request_context.http.method = method;
        Route::of(&request)
    }

    #[test]
    fn the_route_decides_and_not_how_an_address_ends() {
        for (key, method, path, expected) in [
            (
                "POST /callback",
                Method::POST,
                "/callback",
                Some(Route::Return),
            ),
            (
                "GET /callback",
                Method::GET,
                "/callback",
                Some(Route::Return),
            ),
            (
                "POST /callback",
                Method::POST,
                "/notify",
                Some(Route::Return),
            ),
            (
                "POST /notify",
                Method::POST,
                "/notify",
                Some(Route::Notification),
            ),
            ("$default", Method::POST, "/callback/", Some(Route::Return)),
            ("$default", Method::GET, "/callback//", Some(Route::Return)),
            (
                "$default",
                Method::POST,
                "/notify/",
                Some(Route::Notification),
            ),
            ("$default", Method::GET, "/notify/", None),
            ("$default", Method::DELETE, "/callback/", None),
            ("$default", Method::POST, "/callback/notify", None),
            ("$default", Method::POST, "/notify/callback", None),
            ("$default", Method::POST, "//callback", None),
            ("$default", Method::POST, "/", None),
            ("POST /cardpayment", Method::POST, "/callback", None),
        ] {
            assert_eq!(route(key, method, path), expected, "{key} {path}");
        }
    }
}
