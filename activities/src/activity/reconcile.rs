//! `reconcile`, every five minutes: comes back to every open payment that nobody called back for.
//!
//! It decides nothing about money. It starts the execution of a payment that has a charge, finds the charge of a checkout
//! that died before it could store one, and closes what the bank has never heard of, where the bank can be believed in that.

use std::future::Future;
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::Instrument;

use crate::bank::{Bank, BankError};
use crate::clock;
use crate::domain::charge::{Charge, Verdict};
use crate::domain::ids::{ChargeId, OPEN_SHARDS, ReferenceOrder};
use crate::domain::payment::{Payment, Purpose};
use crate::executions::{ExecutionInput, Executions, Source, Started};
use crate::log;
use crate::tables::checkouts::Checkouts;
use crate::tables::records::{Record, Records};
use crate::tables::{NotWritten, TableError, transact_without};

/// How long one run goes on taking up records: the rest is due at the next. Less than its function may run, by more than one
/// record can take: six hints, an inquiry by reference, and what is written.
const FOR_AT_MOST: Duration = Duration::from_secs(150);
/// The bound of an inquiry for a charge that somebody has named: one record has up to six of them.
const HINT_WITHIN: Duration = Duration::from_secs(6);

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// At this age a checkout without a charge is looked at for the second time: while other cards of the order still wait
/// for what becomes of it ([`crate::tables::checkouts::ASKED_FOR_AT_MOST`]).
const SECOND_LOOK_AT: i64 = 20 * MINUTE;
/// At this age a checkout that no charge was found for comes to its end: the bank must know of none once more before it
/// counts as never charged, and where that proves nothing a person has to look.
const CERTAIN_AFTER: i64 = DAY;
/// When a checkout is looked at again for which somebody has named a charge that was not found.
const HINTED_AGAIN_AFTER: i64 = HOUR;
/// At this age a payment that the shopper never finished is given up.
const ABANDONED_AFTER: i64 = 7 * DAY;
/// When a payment whose execution stands failed is tried again, and a checkout for which an inquiry gets no answer.
const STUCK_AGAIN_AFTER: i64 = 15 * MINUTE;
/// When a checkout that the bank can say nothing about is asked for again.
const ORPHAN_AGAIN_AFTER: i64 = HOUR;

/// What reconciliation touches.
pub struct Parts {
    /// The payments' records, and what apps show.
    pub checkouts: Checkouts,
    /// The bank.
    pub bank: Bank,
    /// Whether the bank answers inquiries by reference, so that its "no such charge" proves that there is none.
    pub finds_by_reference: bool,
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
    log_backlog(&parts.checkouts.records, now).await;
    let mut report = Report::default();
    // Each run begins at another shard: should one run not be enough, every shard has its turn at the front.
    let first = u8::try_from((now / (5 * MINUTE)).rem_euclid(i64::from(OPEN_SHARDS))).unwrap_or(0);
    for shard in (0..OPEN_SHARDS).map(|n| (first + n) % OPEN_SHARDS) {
        let mut page = None;
        loop {
            let due = match parts.checkouts.records.due(shard, now, page).await {
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
    let charge = match parts.bank.inquire(&payment.charge_id).await {
        Ok(charge) => charge,
        // The execution says so where a person sees it.
        Err(error) if error.says_unknown() => {
            return start(parts, record, &payment.charge_id, now).await;
        }
        Err(error) => return Err(text(error)),
    };
    match charge.judge(&payment.expected(livemode)) {
        // Only a charge that holds no money may be given up.
        Ok(Verdict::Pending) => {}
        Ok(Verdict::Unknown) => {
            charge.log_unknown_state();
            return look_again(parts, record, now + ORPHAN_AGAIN_AFTER).await;
        }
        Ok(Verdict::Decided(_)) | Err(_) => {
            return start(parts, record, &payment.charge_id, now).await;
        }
    }
    let Checkouts {
        records,
        check_status,
    } = &parts.checkouts;
    let mut items = vec![records.abandoned_update(payment)];
    if payment.purpose == Purpose::Order {
        items.push(check_status.declined(payment));
    }
    match transact_without(records.client(), "close the abandoned payment", items, 1).await {
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

/// Checkout died before it stored the bank's answer: did the bank charge? Whatever charge is found counts only if the bank
/// itself says that it is over this record's reference, amount, currency and mode.
async fn find_charge(parts: &Parts, record: &Record, age: i64, now: i64) -> Result<Done, String> {
    let reference = record
        .reference_order
        .as_ref()
        .ok_or("the record has neither charge nor reference")?;
    let livemode = parts.bank.livemode().await.map_err(text)?;
    // Those that somebody has named first: inquiries by charge id work everywhere. One that cannot be asked stops no other.
    let mut named = record.came_back || record.hints_may_be_missing();
    let mut not_answered = None;
    let hasty = parts.bank.within(HINT_WITHIN);
    for id in &record.hints {
        match hasty.inquire(id).await {
            Ok(charge) if is_of(record, &charge, livemode) => {
                return adopt(parts, record, &charge, now).await;
            }
            // Of another checkout, such as another card's for this order.
            Ok(charge) if has_another_reference(&charge, reference) => {}
            Ok(_) | Err(BankError::Refused { .. }) => named = true,
            Err(error) => not_answered = Some(error.to_string()),
        }
    }
    let by_reference = match parts.bank.find_by_reference(reference).await {
        Ok(Some(charge)) if is_of(record, &charge, livemode) => {
            return adopt(parts, record, &charge, now).await;
        }
        Ok(Some(_)) => ByReference::Differs,
        Ok(None) => ByReference::None,
        Err(error @ BankError::Refused { .. }) => ByReference::Refused(error.to_string()),
        // The reference is our own: if that is not taken, the bank cannot be reached at all.
        Err(error @ BankError::NotTaken(_)) => return Err(error.to_string()),
        Err(error @ BankError::Unavailable(_)) => ByReference::NotAnswered(error.to_string()),
    };
    let found = match (by_reference, not_answered) {
        (ByReference::Differs, _) => ByReference::Differs,
        (_, Some(reason)) => ByReference::NotAnswered(reason),
        (by_reference, None) => by_reference,
    };
    match without_charge(found, named, parts.finds_by_reference, age) {
        Next::LookIn(seconds) => look_again(parts, record, now + seconds).await,
        Next::Failed(reason) => {
            // One that stays so steps back, so that many of those never keep a run from the records behind them.
            if age >= SECOND_LOOK_AT {
                look_again(parts, record, now + STUCK_AGAIN_AFTER).await?;
            }
            Err(reason)
        }
        Next::NeverCharged => {
            let closed = parts.checkouts.close_never_charged(record, reference);
            Ok(if closed.await.map_err(text)? {
                tracing::info!(event = "neverCharged", "closed as never charged");
                Done::NeverCharged
            } else {
                Done::Later
            })
        }
        Next::Person(reason) => orphan(parts, record, reference, now, &reason).await,
    }
}

/// Whether the bank itself says that a charge was made under another reference than this one.
fn has_another_reference(charge: &Charge, reference: &ReferenceOrder) -> bool {
    charge
        .reference_order
        .as_deref()
        .is_some_and(|other| other != reference.as_str())
}

/// What the bank says when it is asked by a record's reference.
#[derive(Debug, PartialEq, Eq)]
enum ByReference {
    /// There is a charge with it, and it is another one than was asked for.
    Differs,
    /// It knows none.
    None,
    /// It refuses to tell.
    Refused(String),
    /// It did not answer, or not for a charge that somebody has named.
    NotAnswered(String),
}

/// What is to be done about a checkout for which no charge was found.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Look again in so many seconds.
    LookIn(i64),
    /// The bank is down, as far as can be told.
    Failed(String),
    /// Close it.
    NeverCharged,
    /// A person has to look, for this reason.
    Person(String),
}

/// Decides about a checkout without a charge, `age` seconds after it. `named`: somebody has named a charge for it that is
/// not known to be another checkout's, so that there may be one whatever the bank says. Only where the bank answers inquiries by reference does its silence prove
/// anything.
fn without_charge(found: ByReference, named: bool, finds_by_reference: bool, age: i64) -> Next {
    let because = |reason: &str| Next::Person(reason.to_owned());
    match found {
        ByReference::Differs => {
            because("the bank's charge is over another amount, currency or mode")
        }
        ByReference::Refused(reason) if finds_by_reference => Next::Person(reason),
        // For a day it may be an outage. What never gets an answer after that is no outage.
        ByReference::NotAnswered(reason) if age >= CERTAIN_AFTER => Next::Person(reason),
        ByReference::NotAnswered(reason) => Next::Failed(reason),
        _ if age < SECOND_LOOK_AT => Next::LookIn(SECOND_LOOK_AT - age),
        _ if age < CERTAIN_AFTER && named => {
            Next::LookIn(HINTED_AGAIN_AFTER.min(CERTAIN_AFTER - age))
        }
        _ if age < CERTAIN_AFTER => Next::LookIn(CERTAIN_AFTER - age),
        _ if named => because("a charge was named for it, and the bank knows none"),
        ByReference::None if finds_by_reference => Next::NeverCharged,
        _ => because("no charge was found, and this bank's inquiry by reference proves nothing"),
    }
}

/// Whether this charge of the bank's is the one that the record's checkout asked for.
fn is_of(record: &Record, charge: &Charge, livemode: bool) -> bool {
    let with_charge = Record {
        charge_id: Some(charge.id.clone()),
        ..record.clone()
    };
    with_charge
        .payment()
        .is_some_and(|payment| charge.judge(&payment.expected(livemode)).is_ok())
}

async fn adopt(parts: &Parts, record: &Record, charge: &Charge, now: i64) -> Result<Done, String> {
    let redirect = charge.redirect_url.as_deref();
    let stored = parts.checkouts.store_charge(record, &charge.id, redirect);
    if !stored.await.map_err(text)? {
        return Ok(Done::Later);
    }
    log::charge(&charge.id);
    tracing::warn!("charge of a dead checkout found");
    start(parts, record, &charge.id, now).await?;
    Ok(Done::Adopted)
}

/// The bank cannot say whether it charged: a person asks it.
async fn orphan(
    parts: &Parts,
    record: &Record,
    reference: &ReferenceOrder,
    now: i64,
    reason: &str,
) -> Result<Done, String> {
    // An order may have several: the reference says which, and the bank's portal shows it, too.
    tracing::error!(
        error = "OrphanCheckout",
        reason,
        reference = reference.as_str(),
        recordKey = record.key.as_str(),
        "the bank cannot say whether this checkout was charged: look for its order in the bank's portal"
    );
    look_again(parts, record, now + ORPHAN_AGAIN_AFTER).await?;
    Ok(Done::Orphan)
}

async fn look_again(parts: &Parts, record: &Record, at: i64) -> Result<Done, String> {
    let set = parts.checkouts.records.look_again_at(record, at).await;
    set.map(|()| Done::Later).map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: bool = true;
    const NAMED: bool = true;

    #[test]
    fn a_charge_that_is_not_found_is_looked_for_until_a_day_has_passed() {
        for finds_by_reference in [TRUSTED, !TRUSTED] {
            let next =
                |named, age| without_charge(ByReference::None, named, finds_by_reference, age);
            assert_eq!(next(!NAMED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
            assert_eq!(next(!NAMED, 21 * MINUTE), Next::LookIn(DAY - 21 * MINUTE));
            assert_eq!(next(NAMED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
            assert_eq!(next(NAMED, 21 * MINUTE), Next::LookIn(HOUR));
            assert_eq!(next(NAMED, DAY - MINUTE), Next::LookIn(MINUTE));
        }
    }

    #[test]
    fn never_charged_is_believed_only_of_a_bank_that_finds_by_reference_and_if_nobody_named_a_charge()
     {
        let next = |found, named, trusted| without_charge(found, named, trusted, DAY);
        assert_eq!(next(ByReference::None, !NAMED, TRUSTED), Next::NeverCharged);
        for (named, trusted) in [(NAMED, TRUSTED), (!NAMED, !TRUSTED), (NAMED, !TRUSTED)] {
            let next = next(ByReference::None, named, trusted);
            assert!(
                matches!(next, Next::Person(_)),
                "{named} {trusted}: {next:?}"
            );
        }
    }

    #[test]
    fn a_bank_that_does_not_take_references_is_not_asked_about_by_a_person_for_a_day() {
        let refused = || ByReference::Refused("400".to_owned());
        let next = |trusted, age| without_charge(refused(), !NAMED, trusted, age);
        assert_eq!(next(!TRUSTED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
        assert!(matches!(next(!TRUSTED, DAY), Next::Person(_)));
        assert!(matches!(next(TRUSTED, 5 * MINUTE), Next::Person(_)));
    }

    #[test]
    fn the_second_look_comes_while_other_cards_wait() {
        let latest = SECOND_LOOK_AT + 5 * MINUTE;
        assert!(latest < crate::tables::checkouts::ASKED_FOR_AT_MOST);
    }

    #[test]
    fn an_inquiry_that_gets_no_answer_for_a_day_is_a_persons() {
        for (named, trusted) in [(NAMED, TRUSTED), (!NAMED, TRUSTED), (NAMED, !TRUSTED)] {
            let found = || ByReference::NotAnswered("it answered 500".to_owned());
            let next = |age| without_charge(found(), named, trusted, age);
            for age in [5 * MINUTE, DAY - 1] {
                assert!(matches!(next(age), Next::Failed(_)), "{age}");
            }
            assert!(matches!(next(DAY), Next::Person(_)), "{named} {trusted}");
        }
    }

    #[test]
    fn a_charge_of_another_reference_is_another_checkouts_and_one_of_none_may_be_anybodys() {
        let reference = ReferenceOrder::stored("ours".into());
        for (told, is_anothers) in [(Some("other"), true), (Some("ours"), false), (None, false)] {
            let charge = Charge {
                id: ChargeId::new("chrg_test_1").unwrap(),
                amount: crate::domain::money::Satang::new(150_000).unwrap(),
                currency: "THB".into(),
                state: crate::domain::charge::TransactionState::Authorized,
                success: true,
                redirect_url: None,
                reference_order: told.map(str::to_owned),
                livemode: Some(false),
                failure_code: None,
            };
            assert_eq!(has_another_reference(&charge, &reference), is_anothers);
        }
    }

    #[test]
    fn a_charge_that_differs_is_a_persons_at_once() {
        for trusted in [TRUSTED, !TRUSTED] {
            let next = without_charge(ByReference::Differs, !NAMED, trusted, MINUTE);
            assert!(matches!(next, Next::Person(_)), "{next:?}");
        }
    }
}
