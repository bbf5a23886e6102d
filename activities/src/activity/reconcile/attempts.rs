//! A payment for which there is something to do: the execution of its attempt is started, or what became of it is
//! looked at.
//!
//! An execution's name is good for one attempt. One that failed for a technical reason has used it up: so the attempt
//! is counted, by condition, and the next one has a name of its own. Whatever else runs beside it (an execution that a
//! person redrives, or starts by hand) meets the same record, which decides once.

use super::turn::{self, Turn};
use super::{DAY, Done, HOUR, Kind, Run, as_long_as_since, stands_again_after, text};
use crate::domain::charge::Outcome;
use crate::domain::ids::ChargeId;
use crate::executions::{Execution, ExecutionInput, Source, Started, execution_name};
use crate::tables::records::{Noted, Record, Resolution};

/// After how long trouble is told to a person, who may know what is in the way.
const TROUBLE_IS_TOLD_AFTER: i64 = HOUR;
/// After how long it is told that a reversal is not done: between authorisation and the night's settlement the bank
/// allows none.
const REVERSAL_IS_TOLD_AFTER: i64 = DAY;
/// For how long the shop's endpoint may be away before a person is told.
const SHOP_IS_TOLD_AFTER: i64 = 3 * DAY;
/// The error of an execution that could not tell the shop.
const SHOP_IS_AWAY: &str = "NotificationFailed";

impl Run<'_> {
    /// For a pending payment about which the bank has just answered: starts the execution of the record's attempt.
    /// Where there is one already, its result decides what is next.
    pub(super) async fn go_on(
        &self,
        record: &Record,
        charge_id: &ChargeId,
    ) -> Result<Done, String> {
        match self.start(record, charge_id, record.attempt).await {
            Ok(Started::Now) => self.started(record).await,
            Ok(Started::Already) => {
                match self.parts.executions.find(charge_id, record.attempt).await {
                    Ok(Some(execution)) => self.after(record, charge_id, execution).await,
                    // AWS forgot it just now: the name is free.
                    Ok(None) => Ok(Done::Later),
                    Err(error) => self.without_executions(record, error.to_string()).await,
                }
            }
            Err(reason) => self.without_executions(record, reason).await,
        }
    }

    /// For a payment that the bank has decided and that is still open: the result of its attempt's execution decides
    /// what is next. Before another one is started, the bank must answer: without it, each would end where it begins.
    pub(super) async fn go_on_decided(
        &self,
        record: &Record,
        charge_id: &ChargeId,
    ) -> Result<Done, String> {
        match self.parts.executions.find(charge_id, record.attempt).await {
            Ok(Some(execution)) => self.after(record, charge_id, execution).await,
            Ok(None) => match self.bank_answers(charge_id).await {
                Ok(()) => match self.start(record, charge_id, record.attempt).await {
                    Ok(Started::Now) => self.started(record).await,
                    Ok(Started::Already) => Ok(Done::Later),
                    Err(reason) => self.without_executions(record, reason).await,
                },
                Err(reason) => self.without_bank(record, reason).await,
            },
            Err(error) => self.without_executions(record, error.to_string()).await,
        }
    }

    async fn started(&self, record: &Record) -> Result<Done, String> {
        self.put_off(record, super::MINUTE, Noted::Nothing).await?;
        Ok(Done::Started)
    }

    /// Starts the execution of an attempt.
    pub(super) async fn start(
        &self,
        record: &Record,
        charge_id: &ChargeId,
        attempt: u32,
    ) -> Result<Started, String> {
        // Each run's input is its own, so that it is told when its own earlier start still runs.
        let request_id = format!("reconcile-{}", self.now);
        let input = ExecutionInput {
            source: Source::Reconcile,
            charge_id,
            status: None,
            record_key: Some(&record.key),
            request_id: Some(&request_id),
        };
        let started = self.parts.executions.start(&input, attempt).await;
        if let Ok(Started::Now) = started {
            tracing::info!(attempt, "execution started by reconciliation");
        }
        started.map_err(text)
    }

    /// Whether the bank answers to the question that every execution begins with.
    async fn bank_answers(&self, charge_id: &ChargeId) -> Result<(), String> {
        self.key().await?;
        self.bank.inquire(charge_id).await.map(drop).map_err(text)
    }

    /// The bank does not answer, or does not know the charge by this key: whatever has failed, another attempt would
    /// fail, too. It may hold the money of what it has not decided as far as is known here, so a person is told of either.
    pub(super) async fn without_bank(
        &self,
        record: &Record,
        reason: String,
    ) -> Result<Done, String> {
        self.without(record, "BankUnavailable", reason).await
    }

    /// No execution can be started, or looked at.
    async fn without_executions(&self, record: &Record, reason: String) -> Result<Done, String> {
        self.without(record, "ExecutionsUnavailable", reason).await
    }

    /// Something that is needed is down. Once that has lasted for an hour, a person is told at every look.
    async fn without(
        &self,
        record: &Record,
        because: &str,
        reason: String,
    ) -> Result<Done, String> {
        let since = trouble_since(record, self.now);
        if let Some(kind) = told(record, because, since, self.now) {
            self.tell(kind, None, because, self.now - since);
        }
        self.trouble(record, reason).await
    }

    /// An execution of this attempt was started before.
    async fn after(
        &self,
        record: &Record,
        charge_id: &ChargeId,
        execution: Execution,
    ) -> Result<Done, String> {
        let name = execution_name(charge_id, record.attempt);
        let ended_at = execution.ended_at.unwrap_or(self.now);
        match turn::after(execution.standing, record.may_be_closed()) {
            Turn::Running => self.running(record, &name, execution.started_at).await,
            Turn::Person(error) => {
                let stands_for = (self.now - ended_at).max(0);
                self.tell(Kind::Definite, Some(&name), &error, stands_for);
                let pause = stands_again_after(stands_for);
                self.put_off(record, pause, Noted::Nothing).await?;
                Ok(Done::Stands)
            }
            Turn::NextAttempt(error) => {
                if record.outcome.is_some()
                    && let Err(reason) = self.bank_answers(charge_id).await
                {
                    return self.without_bank(record, reason).await;
                }
                self.next_attempt(record, charge_id, &name, &error).await
            }
        }
    }

    async fn running(&self, record: &Record, name: &str, started_at: i64) -> Result<Done, String> {
        let pause = as_long_as_since(started_at, self.now);
        self.put_off(record, pause, Noted::Nothing).await?;
        let Some(since) = overdue_since(record, self.now) else {
            return Ok(Done::Running);
        };
        self.tell(
            Kind::Technical,
            Some(name),
            "StillRunning",
            self.now - since,
        );
        Ok(Done::Stands)
    }

    /// Counts the attempt that ended with this error, and starts the next one. Whoever dies between the two leaves a
    /// record that is due again.
    async fn next_attempt(
        &self,
        record: &Record,
        charge_id: &ChargeId,
        name: &str,
        error: &str,
    ) -> Result<Done, String> {
        let since = trouble_since(record, self.now);
        let records = &self.parts.checkouts.records;
        let again_at = self.now + as_long_as_since(since, self.now);
        let counted = records.count_attempt(record, since, again_at).await;
        // An index may be behind: where nothing was counted, the record was another one than was read.
        let Some(attempt) = counted.map_err(text)? else {
            return Ok(Done::Later);
        };
        if let Some(kind) = told(record, error, since, self.now) {
            self.tell(kind, Some(name), error, self.now - since);
        }
        self.start(record, charge_id, attempt).await?;
        Ok(Done::Restarted)
    }
}

/// Since when there is the trouble that keeps the payment from going on: what was in the way of the bank's decision
/// does not count for what comes after it. Trouble that is seen for the first time begins now.
fn trouble_since(record: &Record, now: i64) -> i64 {
    let since = record.trouble_since.unwrap_or(now);
    since.max(record.decided_at.unwrap_or(since))
}

/// Whether a person is told of an attempt that failed for a technical reason, though the system goes on by itself; and
/// as what. `since` when there has been trouble, in seconds since 1970.
fn told(record: &Record, error: &str, since: i64, now: i64) -> Option<Kind> {
    if error == SHOP_IS_AWAY && record.is_settled() {
        let decided_at = record.decided_at.unwrap_or(since);
        return (now - decided_at >= SHOP_IS_TOLD_AFTER).then_some(Kind::Shop);
    }
    (now - since >= TROUBLE_IS_TOLD_AFTER).then_some(Kind::Technical)
}

/// Since when a payment should have been settled whose execution runs, where that is told to a person: it retries, and
/// has not come through.
fn overdue_since(record: &Record, now: i64) -> Option<i64> {
    let since = match (record.outcome, record.resolution) {
        (Some(Outcome::Paid), None) => record.decided_at? + TROUBLE_IS_TOLD_AFTER,
        (Some(Outcome::Paid), Some(Resolution::Reversing)) => {
            record.reversing_since? + REVERSAL_IS_TOLD_AFTER
        }
        _ => return None,
    };
    (since < now).then_some(since)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::tables::item::{n, s};

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> aws_sdk_dynamodb::types::AttributeValue {
        s(Timestamp::from_second(seconds).unwrap().to_string())
    }

    #[test]
    fn trouble_is_told_after_an_hour_and_the_shops_after_three_days() {
        let paid = Record::sample(&[
            ("outcome", s("paid")),
            ("resolution", s("orderPaid")),
            ("decidedAt", at(NOW - 2 * DAY)),
        ]);
        let pending = Record::sample(&[("outcome", s("pending"))]);
        for (record, error, lasted, kind) in [
            (&pending, "TableUnavailable", HOUR - 1, None),
            (&pending, "TableUnavailable", HOUR, Some(Kind::Technical)),
            (&paid, "TableUnavailable", HOUR, Some(Kind::Technical)),
            (&paid, SHOP_IS_AWAY, 2 * DAY, None),
        ] {
            assert_eq!(told(record, error, NOW - lasted, NOW), kind, "{error}");
        }
        let told = told(&paid, SHOP_IS_AWAY, NOW, NOW + DAY);
        assert_eq!(told, Some(Kind::Shop));
    }

    #[test]
    fn trouble_before_the_decision_does_not_count_after_it() {
        let at_decision = ("decidedAt", at(NOW - 60));
        let before = ("troubleSince", n(NOW - 2 * HOUR));
        for (attributes, since) in [
            (vec![], NOW),
            (vec![before.clone()], NOW - 2 * HOUR),
            (vec![before, at_decision.clone()], NOW - 60),
            (vec![at_decision], NOW),
        ] {
            let mut attributes = attributes;
            attributes.push(("outcome", s("paid")));
            assert_eq!(trouble_since(&Record::sample(&attributes), NOW), since);
        }
    }

    #[test]
    fn a_running_execution_is_told_of_when_its_money_has_waited_too_long() {
        let decided = |seconds| ("decidedAt", at(NOW - seconds));
        let paid = ("outcome", s("paid"));
        let reversing = |seconds| {
            [
                ("resolution", s("reversing")),
                ("reversingSince", at(NOW - seconds)),
            ]
        };
        let [resolution, since] = reversing(DAY - 1);
        let [resolution_late, since_late] = reversing(DAY + 5);
        for (attributes, overdue) in [
            (vec![paid.clone(), decided(HOUR - 1)], None),
            (vec![paid.clone(), decided(HOUR + 5)], Some(5)),
            (vec![paid.clone(), decided(DAY), resolution, since], None),
            (
                vec![paid.clone(), decided(DAY), resolution_late, since_late],
                Some(5),
            ),
            (vec![("outcome", s("declined")), decided(DAY)], None),
        ] {
            let overdue = overdue.map(|seconds| NOW - seconds);
            assert_eq!(overdue_since(&Record::sample(&attributes), NOW), overdue);
        }
    }
}
