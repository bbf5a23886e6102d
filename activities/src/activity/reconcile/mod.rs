//! `reconcile`, every minute for each shard of the open index: re-checks every open payment that is due.
//!
//! It decides nothing about money. It asks the bank about charges that got no callback ([`pending`]). It starts the
//! execution where there is something to do, and the next one after an execution that failed for a technical reason
//! ([`attempts`]). It finds the charge of a checkout that died before it stored one, and closes checkouts that the bank
//! has never heard of, where the bank can be believed in that ([`dead_checkout`]). It tells a person about what only a
//! person can end, and waits for them.

mod attempts;
mod dead_checkout;
mod pending;
pub mod turn;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all, ready};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::Instrument;

use crate::bank::Bank;
use crate::domain::ids::OPEN_SHARDS;
use crate::executions::Executions;
use crate::log;
use crate::tables::checkouts::Checkouts;
use crate::tables::records::{Noted, Record, Unreadable};

/// How long one run takes up records. The rest is due at the next run.
const FOR_AT_MOST: Duration = Duration::from_secs(30);
/// How long one record may take. Together with [`FOR_AT_MOST`] less than the function may run, and than the time
/// between two runs of one shard.
const RECORD_WITHIN: Duration = Duration::from_secs(18);
/// The bound of one inquiry. One that takes longer is due again: a bank that hangs must not hold up the others.
const INQUIRY_WITHIN: Duration = Duration::from_secs(6);
/// How many records one run of a shard takes up.
const RECORDS_AT_MOST: usize = 10_000;
/// How many records that need the bank are looked at side by side: with a bank that takes half a second, all shards
/// together ask it some 2,000 times a second.
const ASKING_AT_ONCE: usize = 128;
/// How many others are looked at side by side: those that the bank has decided.
const OTHERS_AT_ONCE: usize = 32;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// At this age a payment that the shopper never finished is given up.
const ABANDONED_AFTER: i64 = 7 * DAY;
/// When what stands for a person is looked at again for the first time, and at the latest.
const STANDS_AGAIN_AFTER: (i64, i64) = (15 * MINUTE, DAY);
/// When a record that cannot be read is looked at, and told of, again.
const UNREADABLE_AGAIN_AFTER: i64 = 6 * HOUR;

/// What the schedule says.
#[derive(Debug, Default, Deserialize)]
pub struct Input {
    /// The shard to look at; all of them, side by side, where it is absent.
    pub shard: Option<u8>,
}

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
    /// Shards looked at.
    pub shards: usize,
    /// Records looked at.
    pub seen: usize,
    /// Executions started, next attempts included.
    pub started: usize,
    /// Next attempts started, after one that failed for a technical reason.
    pub restarted: usize,
    /// Charges found that a dead checkout had made.
    pub adopted: usize,
    /// Closed: the bank never charged.
    pub never_charged: usize,
    /// Closed: the shopper never finished.
    pub abandoned: usize,
    /// Checkouts of which the bank cannot say whether they were charged.
    pub orphans: usize,
    /// Payments that stand for a person.
    pub standing: usize,
    /// Records and shards that something went wrong with; they are due again.
    pub failed: usize,
    /// Seconds that the record has been due that was due the longest; 0 where none was.
    pub oldest_due_seconds: i64,
}

/// What became of one record.
#[derive(Debug, Clone)]
enum Done {
    Started,
    Restarted,
    Running,
    Adopted { started: bool },
    NeverCharged,
    Abandoned,
    Orphan,
    Stands,
    Later,
}

/// The bank's key, as far as reconciliation has to know it.
struct Key {
    /// Whether it moves real money.
    livemode: bool,
    /// Which one it is.
    fingerprint: String,
}

impl Key {
    /// Whether the record's charge was asked for with this key; `None` where the record does not say. What another key
    /// does not know proves nothing.
    fn made(&self, record: &Record) -> Option<bool> {
        let of_record = record.bank_key.as_ref()?;
        Some(*of_record == self.fingerprint)
    }
}

/// One run: whom it asks, and at what time it looks.
struct Run<'a> {
    parts: &'a Parts,
    /// The bank, with this run's bound for each call.
    bank: Bank,
    key: OnceCell<Result<Key, String>>,
    begun: Instant,
    now: i64,
    /// Whether the bank has answered to anything in this run.
    bank_answered: AtomicBool,
}

/// Looks at every open record that is due, of one shard or of all. A record or a shard that fails stops nothing: it is
/// due again at the next run.
pub async fn reconcile(parts: &Parts, input: &Input) -> Report {
    let begun = Instant::now();
    let run = Run {
        parts,
        bank: parts.bank.within(INQUIRY_WITHIN),
        key: OnceCell::new(),
        begun,
        now: parts.checkouts.records.clock().seconds(),
        bank_answered: AtomicBool::new(false),
    };
    let shards = match input.shard {
        Some(shard) => shard..shard.saturating_add(1),
        None => 0..OPEN_SHARDS,
    };
    let reports = join_all(shards.map(|shard| run.shard(shard))).await;
    let report = reports.into_iter().fold(Report::default(), Report::and);
    report.log();
    report
}

impl Run<'_> {
    /// The key with which the bank is asked; or why it cannot be asked now. Fetched once for all records, and only
    /// where one needs the bank: most runs find nothing to do.
    async fn key(&self) -> Result<&Key, String> {
        let key = self.key.get_or_init(async || {
            Ok(Key {
                livemode: self.bank.livemode().await.map_err(text)?,
                fingerprint: self.bank.fingerprint().await.map_err(text)?,
            })
        });
        key.await.as_ref().map_err(Clone::clone)
    }

    /// Looks at what is due in a shard. Payments that the bank has decided are looked at in parallel to the others, and
    /// wait for none of them.
    async fn shard(&self, shard: u8) -> Report {
        let mut report = Report {
            shards: 1,
            ..Report::default()
        };
        let due = self.due(shard, &mut report).await;
        if let Some(first) = due.first() {
            report.oldest_due_seconds = (self.now - due_at(first)).max(0);
        }
        let (asking, others): (Vec<_>, Vec<_>) = due.into_iter().partition(needs_bank);
        let (asked, went_on) = join(
            self.look_at(asking, ASKING_AT_ONCE),
            self.look_at(others, OTHERS_AT_ONCE),
        )
        .await;
        for done in asked.into_iter().chain(went_on) {
            report.count(done);
        }
        report
    }

    /// What is due in a shard, longest due first.
    async fn due(&self, shard: u8, report: &mut Report) -> Vec<Result<Record, Unreadable>> {
        let (mut due, mut page) = (Vec::new(), None);
        loop {
            let records = &self.parts.checkouts.records;
            match records.due(shard, self.now, page).await {
                Ok(more) => {
                    due.extend(more.records);
                    page = more.next;
                }
                Err(error) => {
                    tracing::error!(
                        error = "ReconcileFailed",
                        shard,
                        reason = %error,
                        "a shard of the open records could not be read"
                    );
                    report.failed += 1;
                    return due;
                }
            }
            if page.is_none() || due.len() >= RECORDS_AT_MOST {
                return due;
            }
        }
    }

    /// Looks at records side by side, until the time is over.
    async fn look_at(
        &self,
        records: Vec<Result<Record, Unreadable>>,
        at_once: usize,
    ) -> Vec<Result<Done, String>> {
        let many = records.len();
        let looks = stream::iter(records)
            .take_while(|_| {
                let time_is_left = self.begun.elapsed() < FOR_AT_MOST;
                ready(time_is_left)
            })
            .map(|record| self.one(record))
            .buffer_unordered(at_once);
        let done: Vec<_> = looks.collect().await;
        if done.len() < many {
            tracing::warn!("more records are due than one run takes");
        }
        done
    }

    /// Looks at one record, and logs what went wrong, where it is known which payment it is about.
    async fn one(&self, record: Result<Record, Unreadable>) -> Result<Done, String> {
        let span = match &record {
            Ok(record) => log::payment_span(record.charge_id.as_ref(), Some(&record.order_id)),
            Err(unreadable) => log::payment_span(None, unreadable.order_id.as_ref()),
        };
        let look = async {
            let look = async {
                match &record {
                    Ok(record) => self.settle(record).await,
                    Err(unreadable) => self.unreadable(unreadable).await,
                }
            };
            let done = match tokio::time::timeout(RECORD_WITHIN, look).await {
                Ok(done) => done,
                Err(_) => Err("it took too long".to_owned()),
            };
            if let Err(reason) = &done {
                tracing::error!(
                    error = "ReconcileFailed",
                    reason,
                    "a record could not be reconciled"
                );
            }
            done
        };
        look.instrument(span).await
    }

    async fn settle(&self, record: &Record) -> Result<Done, String> {
        if record.open_since.is_none() {
            return self
                .unreadable(&Unreadable::lacking(record, "openSince"))
                .await;
        }
        match record.payment() {
            Some(payment) if record.outcome.is_none() => {
                self.ask_about(record, &payment.charge_id).await
            }
            Some(payment) => self.go_on_decided(record, &payment.charge_id).await,
            None => self.find_charge(record).await,
        }
    }

    /// Nobody can go on with a record that cannot be read, until a person has corrected it.
    async fn unreadable(&self, record: &Unreadable) -> Result<Done, String> {
        tracing::error!(
            error = "PaymentStands",
            kind = Kind::Definite.as_str(),
            because = crate::failure::Failure::name(&record.error),
            reason = %record.error,
            recordKey = record.key.as_str(),
            "a payment needs a person"
        );
        let records = &self.parts.checkouts.records;
        let put_off = records.put_off_unreadable(record, self.now + UNREADABLE_AGAIN_AFTER);
        put_off.await.map_err(text)?;
        Ok(Done::Stands)
    }

    /// Tells a person about a payment that has stood for so many seconds.
    fn tell(&self, kind: Kind, execution: Option<&str>, because: &str, stands_for: i64) {
        tracing::error!(
            error = "PaymentStands",
            kind = kind.as_str(),
            name = execution,
            because,
            standsFor = stands_for,
            "a payment needs a person"
        );
    }

    async fn put_off(&self, record: &Record, by: i64, noted: Noted) -> Result<Done, String> {
        let records = &self.parts.checkouts.records;
        let put_off = records.put_off(record, self.now + by, self.now, noted);
        put_off.await.map(|()| Done::Later).map_err(text)
    }

    /// Something technical is in the way: the record is due again after as long as the trouble has lasted so far.
    async fn trouble(&self, record: &Record, reason: String) -> Result<Done, String> {
        let since = record.trouble_since.unwrap_or(self.now);
        let pause = as_long_as_since(since, self.now);
        self.put_off(record, pause, Noted::Trouble).await?;
        Err(reason)
    }
}

/// Why a payment stands for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only a judgement can end it.
    Definite,
    /// It is tried again all the time, and that has not helped for too long.
    Technical,
    /// All is done but telling the shop, whose endpoint takes nothing.
    Shop,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Definite => "definite",
            Self::Technical => "technical",
            Self::Shop => "shop",
        }
    }
}

/// A pause that is never longer than the trouble before it: a minute at least, an hour at most.
fn as_long_as_since(since: i64, now: i64) -> i64 {
    (now - since).clamp(MINUTE, HOUR)
}

/// When what stands for a person is looked at again, after so many seconds.
fn stands_again_after(stands_for: i64) -> i64 {
    stands_for.clamp(STANDS_AGAIN_AFTER.0, STANDS_AGAIN_AFTER.1)
}

fn needs_bank(record: &Result<Record, Unreadable>) -> bool {
    record.as_ref().is_ok_and(|record| record.outcome.is_none())
}

fn due_at(record: &Result<Record, Unreadable>) -> i64 {
    match record {
        Ok(record) => record.look_again_at,
        Err(unreadable) => unreadable.look_again_at,
    }
}

/// The record's age in seconds.
fn age(record: &Record, now: i64) -> i64 {
    now - record.open_since.unwrap_or(now)
}

impl Report {
    fn log(&self) {
        tracing::info!(
            event = "reconciled",
            shards = self.shards,
            seen = self.seen,
            started = self.started,
            restarted = self.restarted,
            adopted = self.adopted,
            neverCharged = self.never_charged,
            abandoned = self.abandoned,
            orphans = self.orphans,
            standing = self.standing,
            failed = self.failed,
            oldestDueSeconds = self.oldest_due_seconds,
            "reconciled"
        );
    }

    fn count(&mut self, done: Result<Done, String>) {
        self.seen += 1;
        match done {
            Ok(Done::Started) => self.started += 1,
            Ok(Done::Restarted) => {
                self.started += 1;
                self.restarted += 1;
            }
            Ok(Done::Adopted { started }) => {
                self.adopted += 1;
                self.started += usize::from(started);
            }
            Ok(Done::NeverCharged) => self.never_charged += 1,
            Ok(Done::Abandoned) => self.abandoned += 1,
            Ok(Done::Orphan) => self.orphans += 1,
            Ok(Done::Stands) => self.standing += 1,
            Ok(Done::Running | Done::Later) => {}
            Err(_) => self.failed += 1,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            shards: self.shards + other.shards,
            seen: self.seen + other.seen,
            started: self.started + other.started,
            restarted: self.restarted + other.restarted,
            adopted: self.adopted + other.adopted,
            never_charged: self.never_charged + other.never_charged,
            abandoned: self.abandoned + other.abandoned,
            orphans: self.orphans + other.orphans,
            standing: self.standing + other.standing,
            failed: self.failed + other.failed,
            oldest_due_seconds: self.oldest_due_seconds.max(other.oldest_due_seconds),
        }
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_each_record_once_and_by_what_was_done() {
        let done = [
            (Ok(Done::Started), [1, 0, 0, 0, 0, 0, 0, 0]),
            (Ok(Done::Restarted), [1, 1, 0, 0, 0, 0, 0, 0]),
            (
                Ok(Done::Adopted { started: false }),
                [0, 0, 1, 0, 0, 0, 0, 0],
            ),
            (
                Ok(Done::Adopted { started: true }),
                [1, 0, 1, 0, 0, 0, 0, 0],
            ),
            (Ok(Done::NeverCharged), [0, 0, 0, 1, 0, 0, 0, 0]),
            (Ok(Done::Abandoned), [0, 0, 0, 0, 1, 0, 0, 0]),
            (Ok(Done::Orphan), [0, 0, 0, 0, 0, 1, 0, 0]),
            (Ok(Done::Stands), [0, 0, 0, 0, 0, 0, 1, 0]),
            (Err(String::new()), [0, 0, 0, 0, 0, 0, 0, 1]),
            (Ok(Done::Running), [0; 8]),
            (Ok(Done::Later), [0; 8]),
        ];
        let counts = |report: &Report| {
            [
                report.started,
                report.restarted,
                report.adopted,
                report.never_charged,
                report.abandoned,
                report.orphans,
                report.standing,
                report.failed,
            ]
        };
        for (done, once) in done {
            let mut report = Report::default();
            report.count(done.clone());
            assert_eq!((report.seen, counts(&report)), (1, once), "{done:?}");
            report.count(done.clone());
            let twice = once.map(|count| 2 * count);
            assert_eq!((report.seen, counts(&report)), (2, twice), "{done:?}");
            let both = Report {
                shards: 1,
                ..report.clone()
            }
            .and(Report {
                shards: 2,
                ..report
            });
            let all = once.map(|count| 4 * count);
            assert_eq!(
                (both.shards, both.seen, counts(&both)),
                (3, 4, all),
                "{done:?}"
            );
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_the_trouble_before_it() {
        for (lasted, pause) in [
            (0, MINUTE),
            (MINUTE, MINUTE),
            (10 * MINUTE, 10 * MINUTE),
            (3 * DAY, HOUR),
        ] {
            assert_eq!(as_long_as_since(1_000_000 - lasted, 1_000_000), pause);
        }
    }

    #[test]
    fn what_stands_is_told_again_at_growing_pauses_and_once_a_day_in_the_end() {
        for (stands_for, pause) in [(0, 15 * MINUTE), (HOUR, HOUR), (DAY, DAY), (30 * DAY, DAY)] {
            assert_eq!(stands_again_after(stands_for), pause);
        }
    }

    #[test]
    fn a_run_ends_before_the_next_one_of_its_shard_begins() {
        assert!(FOR_AT_MOST + RECORD_WITHIN < Duration::from_secs(55));
        assert!(INQUIRY_WITHIN * 2 < RECORD_WITHIN);
    }
}
