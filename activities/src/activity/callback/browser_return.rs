//! The shopper's browser comes back.

use super::start::{Here, Message, ask, open_here, start_attempt, start_once, unless_conflict};
use super::{Parts, TRIES, unavailable, unknown};
use crate::domain::browser_return::{BrowserReturn, ReportedStatus};
use crate::domain::ids::{CardToken, ChargeId};
use crate::domain::money::Satang;
use crate::executions::{NotStarted, Source, Started, execution_name};
use crate::http_api::{ApiError, Request, Response, body, see_other};
use crate::log;
use crate::tables::TableError;
use crate::tables::records::{Hint, Record};
use crate::tables::sources::{Found, Sources};

/// The browser's return: starts the saga and sends the browser to the shop's thank-you page. The `status` there is
/// success where the return says so or the order is paid; apps believe their own check of the order. A saga that cannot
/// be started now is left to reconciliation, and the browser goes on.
pub(super) async fn answer(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
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

/// Whether the browser only prefetches the address: no shopper has come back yet. It drops the refusal, and asks again
/// when the shopper opens the page.
fn is_prefetch(request: &Request) -> bool {
    request
        .headers
        .get("sec-purpose")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|purpose| purpose.trim_start().starts_with("prefetch"))
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

/// What a browser's return may do for a payment.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing is left to do, or reconciliation does it.
    Nothing,
    /// Checkout died before it stored the charge. The id that the return names proves nothing: it is kept, and
    /// reconciliation asks the bank about it.
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
        // Nobody else comes back to a record that is not copied. The execution tries to copy it for longer.
        Err(error) => {
            tracing::error!(reason = %error, "the record of another system could not be copied now");
            let input = message.input(None);
            return parts.executions.start(&input, 0).await.map(|_| ());
        }
    };
    let own = parts.sources.own();
    for _ in 0..TRIES {
        let now = own.clock().seconds();
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
            // Another call has started it, or is about to. Reconciliation looks at the result.
            return Ok(());
        }
        record = read;
    }
    Ok(())
}

/// The amount on the thank-you page. An old record may lack it; then its order has it. It is only shown: where it
/// cannot be read, the page shows zero, and the browser goes on.
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

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::tables::item::{n, s};

    const NOW: i64 = 1_800_000_000;

    fn started(ago: &[i64]) -> AttributeValue {
        AttributeValue::L(ago.iter().map(|ago| n(NOW - ago)).collect())
    }

    #[test]
    fn returns_start_the_first_attempt_and_two_more_in_any_ten_minutes() {
        let turn = |attempt: u32, ago: &[i64]| {
            let set = [("attempt", n(attempt)), ("returnStarts", started(ago))];
            Turn::of(&Record::sample(&set), NOW)
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
            assert_eq!(Turn::of(&Record::sample(&set), NOW), turn, "{set:?}");
        }
    }
}
