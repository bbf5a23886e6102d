//! The bank notifies.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::start::{Here, Message, ask, log_start, open_here, start_attempt, unless_conflict};
use super::{Parts, TRIES, cannot_now, unavailable, unknown};
use crate::domain::charge::{Outcome, TransactionState};
use crate::domain::ids::ChargeId;
use crate::domain::notification::Notification;
use crate::domain::refund::Way;
use crate::executions::{NotStarted, Source, Started, execution_name};
use crate::http_api::{ApiError, Request, Response, body, json_response};
use crate::log;
use crate::tables::hints::{self, Hinted};
use crate::tables::records::Record;
use crate::tables::sources::Found;

/// How long it is waited before a record is read and written again that others keep changing.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(40);

/// The bank's notification. It is answered 200 once the saga is started or an authorisation is in the record. Otherwise
/// the bank sends it again.
pub(super) async fn answer(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
    let notification = believed(parts, request).await?;
    log::charge(&notification.charge_id);
    let Some(found) = find(parts, &notification).await? else {
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
        charge_id: &notification.charge_id,
        status: notification.status,
        request_id: request.request_context.request_id.as_deref(),
    };
    take(parts, &message, &found, &notification).await?;
    Ok(json_response(
        200,
        &json!({"responseCode": "200", "responseMSG": "OK"}),
    ))
}

/// The notification, if the bank has signed it.
async fn believed(parts: &Parts, request: &Request) -> Result<Notification, ApiError> {
    let notification = Notification::parse(&body(request)?)?;
    let signed = parts.bank.credentials().signed(&notification).await;
    let signed = signed.map_err(|error| {
        tracing::error!(reason = %error, "a notification could not be verified");
        cannot_now()
    })?;
    if signed {
        return Ok(notification);
    }
    Err(ApiError::new(
        401,
        "INVALID_CHECKSUM",
        "`checksum` is not the bank's: the notification is not believed",
    )
    .about("checksum"))
}

/// The record of the notification's charge; `None` where nothing is known of it here.
async fn find(parts: &Parts, notification: &Notification) -> Result<Option<Found>, ApiError> {
    let charge_id = &notification.charge_id;
    let found = parts.sources.find(charge_id).await.map_err(unavailable)?;
    match found {
        // An index may be behind, and what is signed must not be dropped for that.
        Some(Found::Own(indexed)) => {
            let record = parts.sources.own().get(&indexed.key).await;
            if let Some(record) = record.map_err(unavailable)? {
                return Ok(Some(Found::Own(Box::new(record))));
            }
        }
        Some(found) => return Ok(Some(found)),
        None => {}
    }
    let (checkouts, order) = (&parts.checkouts, notification.order_id.as_ref());
    let hinted = hints::of_notification(checkouts, charge_id, order).await;
    match hinted.map_err(unavailable)? {
        Hinted::Stored(record) => Ok(Some(Found::Own(record))),
        Hinted::Kept => Err(not_stored_yet()),
        Hinted::Unknown => Ok(None),
    }
}

/// Does what a signed notification asks for.
async fn take(
    parts: &Parts,
    message: &Message<'_>,
    found: &Found,
    notification: &Notification,
) -> Result<(), ApiError> {
    // The bank says that it holds the money.
    let authorised = notification.says_paid();
    let taken = match open_here(parts, message, found).await {
        Ok(Here::Open(record)) if authorised => start_authorised(parts, message, *record).await,
        Ok(Here::Open(record)) => start_signed(parts, message, *record, &notification.state).await,
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
            error.log_if_it_stands(Some(&execution_name(message.charge_id, 0)));
            Ok(())
        }
        Ok(Here::Elsewhere(_) | Here::Stands(..)) => Ok(()),
        Err(error) => Err(error),
    };
    taken.map_err(|error| {
        tracing::error!(reason = %error, "the notification could not be taken");
        cannot_now()
    })
}

/// The bank has signed that the charge is authorised. First the record says so, and is open and due: from then on
/// nobody may close it as declined, not even the execution that is started here. Nothing can be lost any more, so a
/// failed start is left to reconciliation. Where others change the record at the same moment, it is read and written
/// again.
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

/// The record says all that is needed: an execution that cannot be started now is left to reconciliation.
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
    state: &TransactionState,
) -> Result<(), NotStarted> {
    if record.has_paid() && Way::shown_by(state).is_some() {
        look_elsewhere(parts, &record, message.charge_id, state).await?;
    }
    if record.is_abandoned() {
        let now = parts.sources.own().clock().seconds();
        return ask(parts, message, &record, now).await;
    }
    if record.is_closed() {
        return Ok(());
    }
    start_attempt(parts, message, &record).await.map(|_| ())
}

/// Money of a paid order went back. What no refund of ours explains was given back by hand: its own execution finds out,
/// and tells the shop.
async fn look_elsewhere(
    parts: &Parts,
    record: &Record,
    charge: &ChargeId,
    state: &TransactionState,
) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    let Some((record, ledger)) = own.get_with_ledger(&record.key).await? else {
        return Ok(());
    };
    if ledger.explains(state, record.amount) {
        return Ok(());
    }
    let started = parts.refunds.start_elsewhere(charge, &record.key).await?;
    if started == Started::Now {
        tracing::info!("money of a paid order went back, and no refund explains it");
    }
    Ok(())
}

/// The bank notified before checkout had stored the charge, or its checkout died: what is kept is looked at soon, and
/// by the time the bank sends its notification again the charge is known.
fn not_stored_yet() -> ApiError {
    tracing::info!("the charge may be a checkout's that has none stored: kept there");
    ApiError::new(
        503,
        "UNAVAILABLE",
        "the payment is not stored yet: send the notification again in a moment",
    )
}
