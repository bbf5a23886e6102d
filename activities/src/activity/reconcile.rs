//! `reconcile`, every five minutes: comes back to every open payment that nobody called back for.
//!
//! It decides nothing about money. It starts the execution of a payment that has a charge, finds the charge of a checkout
//! that died before it could store one, and closes what the bank has never heard of.

use std::future::Future;
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::Instrument;

use crate::bank::{Bank, BankError};
use crate::clock;
use crate::domain::charge::{TransactionState, Verdict};
use crate::domain::ids::{ChargeId, OPEN_SHARDS};
use crate::domain::payment::{Payment, Purpose};
use crate::executions::{ExecutionInput, Executions, Source, Started};
use crate::log;
use crate::tables::check_status::CheckStatus;
use crate::tables::records::{Record, Records};
use crate::tables::{NotWritten, TableError, transact_without};

/// How long one run goes on taking up records: the rest is due at the next. Less than its function may run, by more than one
/// record can take.
const FOR_AT_MOST: Duration = Duration::from_secs(180);

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Before this age, a checkout without a charge may still be waiting for the bank's answer.
const CHECKOUT_MAY_TAKE: i64 = 30 * MINUTE;
/// The bank must know of no charge once more at this age, before a checkout counts as never charged.
const CERTAIN_AFTER: i64 = DAY;
/// At this age a payment that the shopper never finished is given up.
const ABANDONED_AFTER: i64 = 7 * DAY;
/// When a payment whose execution stands failed is tried again.
const STUCK_AGAIN_AFTER: i64 = 15 * MINUTE;
/// When a checkout that the bank can say nothing about is asked for again.
const ORPHAN_AGAIN_AFTER: i64 = HOUR;

/// What reconciliation touches.
pub struct Parts {
    /// The payments' records.
    pub records: Records,
    /// What apps show.
    pub check_status: CheckStatus,
    /// The bank.
    pub bank: Bank,
    /// The saga.
    pub executions: Executions,
}

/// What one run did, in numbers of records.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Looked at.
    pub seen: usize,
    /// Executions started.
    pub started: usize,
    /// Charges found that a dead checkout had made.
    pub adopted: usize,
    /// Closed: the bank never charged.
    pub never_charged: usize,
    /// Closed: the shopper never finished.
    pub abandoned: usize,
    /// Checkouts of which the bank cannot say whether they were charged.
    pub orphans: usize,
    /// Records and shards that something went wrong with; they are due again.
    pub failed: usize,
}

/// What became of one record.
enum Done {
    Started,
    Running,
    Adopted,
    NeverCharged,
    Abandoned,
    Orphan,
    Later,
}

/// Counts what is open, then looks at every open record that is due, in all shards. A record or a shard that something goes wrong with stops nothing:
/// it is due again at the next run.
pub async fn reconcile(parts: &Parts) -> Report {
    let begun = Instant::now();
    let now = clock::now_seconds();
    log_backlog(&parts.records, now).await;
    let mut report = Report::default();
    // Each run begins at another shard: should one run not be enough, every shard has its turn at the front.
    let first = u8::try_from((now / (5 * MINUTE)).rem_euclid(i64::from(OPEN_SHARDS))).unwrap_or(0);
    for shard in (0..OPEN_SHARDS).map(|n| (first + n) % OPEN_SHARDS) {
        let mut page = None;
        loop {
            let due = match parts.records.due(shard, now, page).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(
                        error = "ReconcileFailed",
                        shard,
                        reason = %error,
                        "a shard of the open records could not be read"
                    );
                    report.failed += 1;
                    break;
                }
            };
            for record in due.records {
                if begun.elapsed() > FOR_AT_MOST {
                    tracing::warn!("more records are due than one run takes");
                    report.log();
                    return report;
                }
                report.seen += 1;
                report.count(one(parts, record, now).await);
            }
            match due.next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
    }
    report.log();
    report
}

/// Tells how much is open. Reconciliation does not depend on it.
async fn log_backlog(records: &Records, now: i64) {
    match records.backlog(now).await {
        Ok(backlog) => {
            if !backlog.complete {
                tracing::warn!("more records are open than could be counted");
            }
            tracing::info!(
                event = "backlog",
                open = backlog.open,
                oldestSeconds = backlog.oldest_seconds,
                "payments are open"
            );
        }
        Err(error) => tracing::error!(
            error = "ReconcileFailed",
            reason = %error,
            "the open records could not be counted"
        ),
    }
}

impl Report {
    fn log(&self) {
        tracing::info!(
            event = "reconciled",
            seen = self.seen,
            started = self.started,
            adopted = self.adopted,
            neverCharged = self.never_charged,
            abandoned = self.abandoned,
            orphans = self.orphans,
            failed = self.failed,
            "reconciled"
        );
    }

    fn count(&mut self, done: Result<Done, String>) {
        match done {
            Ok(Done::Started) => self.started += 1,
            Ok(Done::Adopted) => {
                self.adopted += 1;
                self.started += 1;
            }
            Ok(Done::NeverCharged) => self.never_charged += 1,
            Ok(Done::Abandoned) => self.abandoned += 1,
            Ok(Done::Orphan) => self.orphans += 1,
            Ok(Done::Running | Done::Later) => {}
            Err(_) => self.failed += 1,
        }
    }
}

async fn one(parts: &Parts, record: Result<Record, TableError>, now: i64) -> Result<Done, String> {
    match record {
        Ok(record) => {
            let span = log::payment_span(record.charge_id.as_ref(), &record.order_id);
            told(settle(parts, &record, now)).instrument(span).await
        }
        Err(error) => told(async { Err(text(error)) }).await,
    }
}

/// Logs what went wrong, where it is known which payment it is about.
async fn told(work: impl Future<Output = Result<Done, String>>) -> Result<Done, String> {
    let done = work.await;
    if let Err(reason) = &done {
        tracing::error!(
            error = "ReconcileFailed",
            reason,
            "a record could not be reconciled"
        );
    }
    done
}

async fn settle(parts: &Parts, record: &Record, now: i64) -> Result<Done, String> {
    let since = record.open_since;
    let age = now - since.ok_or("the record does not say since when it is open")?;
    match record.payment() {
        Some(payment) if record.outcome.is_none() && age > ABANDONED_AFTER => {
            give_up(parts, record, &payment, now).await
        }
        Some(payment) => start(parts, record, &payment.charge_id, now).await,
        None => find_charge(parts, record, age, now).await,
    }
}

/// After a week without a decision the payment is given up: but the bank is asked once more, since both its calls may have
/// been lost since it was asked the last time.
async fn give_up(
    parts: &Parts,
    record: &Record,
    payment: &Payment,
    now: i64,
) -> Result<Done, String> {
    let livemode = parts.bank.livemode().await.map_err(text)?;
    let charge = parts.bank.inquire(&payment.charge_id).await.map_err(text)?;
    if charge.judge(&payment.expected(livemode)) != Ok(Verdict::Pending) {
        return start(parts, record, &payment.charge_id, now).await;
    }
    // Pending is also what we do not understand: only a charge that holds no money may be given up.
    let untouched = matches!(
        charge.state,
        TransactionState::Initialized | TransactionState::PreAuthorized
    );
    if !untouched {
        tracing::error!(
            error = "UnknownState",
            state = charge.state.as_str(),
            "the bank says something of this charge that is not known here: look at it in the bank's portal"
        );
        return look_again(parts, record, now + ORPHAN_AGAIN_AFTER).await;
    }
    let mut items = vec![parts.records.abandoned_update(payment)];
    if payment.purpose == Purpose::Order {
        items.push(parts.check_status.declined(payment));
    }
    match transact_without(
        parts.records.client(),
        "close the abandoned payment",
        items,
        1,
    )
    .await
    {
        Ok(()) => {
            tracing::info!(event = "abandoned", "closed as abandoned");
            Ok(Done::Abandoned)
        }
        // It went on meanwhile.
        Err(NotWritten::Refused(_) | NotWritten::Conflict) => Ok(Done::Later),
        Err(NotWritten::Unavailable(error)) => Err(text(error)),
    }
}

async fn start(
    parts: &Parts,
    record: &Record,
    charge_id: &ChargeId,
    now: i64,
) -> Result<Done, String> {
    // Each run's input is its own, so that it is told when its own earlier start still runs.
    let request_id = format!("reconcile-{now}");
    let input = ExecutionInput {
        source: Source::Reconcile,
        charge_id,
        status: None,
        record_key: Some(&record.key),
        request_id: Some(&request_id),
    };
    match parts.executions.start(&input, record.attempt).await {
        Ok(Started::Now) => {
            tracing::info!(
                attempt = record.attempt,
                "execution started by reconciliation"
            );
            Ok(Done::Started)
        }
        // It runs, or it failed in place and waits for a person: either way it is seen. One that waits steps back, so that
        // many of those never keep a run from the records behind them. One that still waits for the bank does not: its
        // `lookAgainAt` may be the wake-up of a callback.
        Ok(Started::Already) => {
            if record.outcome.is_some() || record.look_again_at < now - HOUR {
                look_again(parts, record, now + STUCK_AGAIN_AFTER).await?;
            }
            Ok(Done::Running)
        }
        Err(error) => Err(text(error)),
    }
}

/// Checkout died before it stored the bank's answer: did the bank charge?
async fn find_charge(parts: &Parts, record: &Record, age: i64, now: i64) -> Result<Done, String> {
    let reference = record
        .reference_order
        .as_ref()
        .ok_or("the record has neither charge nor reference")?;
    match parts.bank.find_by_reference(reference).await {
        Ok(Some(charge)) if charge.amount == record.amount => {
            let redirect = charge.redirect_url.as_deref();
            let stored = parts
                .records
                .attach_charge(&record.key, &charge.id, redirect);
            if !stored.await.map_err(text)? {
                return Ok(Done::Later);
            }
            log::charge(&charge.id);
            tracing::warn!("charge of a dead checkout found");
            start(parts, record, &charge.id, now).await?;
            Ok(Done::Adopted)
        }
        Ok(Some(_)) => {
            orphan(
                parts,
                record,
                now,
                "the bank's charge is over another amount",
            )
            .await
        }
        // Somebody came back from 3-D Secure with this checkout's token: there is a charge, whatever the bank says.
        Ok(None) if record.came_back => {
            orphan(
                parts,
                record,
                now,
                "its shopper came back, but the bank knows no charge",
            )
            .await
        }
        Ok(None) if age < CHECKOUT_MAY_TAKE => {
            look_again(parts, record, now - age + CHECKOUT_MAY_TAKE).await
        }
        Ok(None) if age < CERTAIN_AFTER => {
            look_again(parts, record, now - age + CERTAIN_AFTER).await
        }
        Ok(None) => {
            let closed = parts.records.close_never_charged(&record.key).await;
            Ok(if closed.map_err(text)? {
                tracing::info!(event = "neverCharged", "closed as never charged");
                Done::NeverCharged
            } else {
                Done::Later
            })
        }
        // The bank is down: due again at the next run.
        Err(BankError::Unavailable(reason)) => Err(reason),
        Err(error @ BankError::Refused { .. }) => {
            orphan(parts, record, now, &error.to_string()).await
        }
    }
}

/// The bank cannot say whether it charged: a person asks it.
async fn orphan(parts: &Parts, record: &Record, now: i64, reason: &str) -> Result<Done, String> {
    tracing::error!(
        error = "OrphanCheckout",
        reason,
        "the bank cannot say whether this checkout was charged: look for its order in the bank's portal"
    );
    look_again(parts, record, now + ORPHAN_AGAIN_AFTER).await?;
    Ok(Done::Orphan)
}

async fn look_again(parts: &Parts, record: &Record, at: i64) -> Result<Done, String> {
    let set = parts.records.look_again_at(record, at).await;
    set.map(|()| Done::Later).map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
