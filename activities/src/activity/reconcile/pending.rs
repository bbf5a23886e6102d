//! A payment that the bank had not decided at the last look. The bank is asked, and an execution is started only when
//! there is something to do: an abandoned checkout costs inquiries, and no transitions.

use std::sync::atomic::Ordering;

use super::super::inquire_charge::{MAY_BE_UNKNOWN_FOR, UNKNOWN_IS_TOLD_AFTER, log_unknown_charge};
use super::{ABANDONED_AFTER, DAY, Done, HOUR, Kind, MINUTE, Run, age, stands_again_after, text};
use crate::domain::charge::Word;
use crate::domain::ids::ChargeId;
use crate::domain::payment::{Payment, Purpose};
use crate::tables::checkouts::Checkouts;
use crate::tables::records::{Noted, Record};
use crate::tables::{NotWritten, transact_shown};

impl Run<'_> {
    /// Asks the bank about a pending payment.
    pub(super) async fn ask_about(
        &self,
        record: &Record,
        charge_id: &ChargeId,
    ) -> Result<Done, String> {
        let key = match self.key().await {
            Ok(key) => key,
            Err(reason) => return self.without_bank(record, reason).await,
        };
        let age = age(record, self.now);
        let Some(payment) = record.payment() else {
            return Ok(Done::Later);
        };
        let word = match self.bank.inquire(charge_id).await {
            Ok(charge) => {
                self.bank_answered.store(true, Ordering::Relaxed);
                let word = Word::of(charge.judge(&payment.expected(key.livemode)));
                if let Word::UnknownState = word {
                    charge.log_unknown_state();
                }
                word
            }
            Err(error) if error.says_unknown() => Word::UnknownCharge,
            // Any other refusal of a mere question says nothing about the charge.
            Err(error) => return self.without_bank(record, error.to_string()).await,
        };
        if matches!(word, Word::UnknownCharge) && age >= UNKNOWN_IS_TOLD_AFTER {
            log_unknown_charge();
        }
        let mut pause = look_again_after(age);
        let signed_for = record.paid_notified_at.map(|at| self.now - at);
        if signed_for.is_some() {
            // What the bank has signed it will say, too, when its copies have come along.
            pause = pause.min(HOUR);
        }
        match word {
            Word::Act => self.go_on(record, charge_id).await,
            Word::UnknownCharge if key.made(record) != Some(false) => {
                self.unknown(record, charge_id, age).await
            }
            Word::UnknownCharge => self.unknown_to_another_key(record, age).await,
            // It may mean that money moved: given up by a person alone.
            Word::UnknownState if age > ABANDONED_AFTER => {
                self.tell(Kind::Definite, None, "UnknownState", age - ABANDONED_AFTER);
                self.put_off(record, DAY, Noted::Answered).await?;
                Ok(Done::Stands)
            }
            // It holds money that pays nothing.
            Word::Undecided
                if let Some(signed_for) = signed_for
                    && signed_for >= DAY =>
            {
                let stands_for = signed_for - DAY;
                self.tell(Kind::Definite, None, "OutcomeConflict", stands_for);
                let pause = stands_again_after(stands_for);
                self.put_off(record, pause, Noted::Answered).await?;
                Ok(Done::Stands)
            }
            Word::Undecided if age > ABANDONED_AFTER && signed_for.is_none() => {
                self.give_up(&payment).await
            }
            Word::Undecided | Word::UnknownState => {
                self.put_off(record, pause, Noted::Answered).await
            }
        }
    }

    /// The bank's copies may lag behind right after checkout, and a wrong key is repaired: it is asked again for a day.
    /// After that the execution says so where a person sees it.
    async fn unknown(
        &self,
        record: &Record,
        charge_id: &ChargeId,
        age: i64,
    ) -> Result<Done, String> {
        let since = record.unknown_since.unwrap_or(self.now);
        if self.now - since >= MAY_BE_UNKNOWN_FOR {
            return self.go_on(record, charge_id).await;
        }
        let pause = super::as_long_as_since(since, self.now).min(look_again_after(age));
        self.put_off(record, pause, Noted::Unknown).await
    }

    /// Another key made the charge: that this one does not know it says something of the keys alone. The right one is
    /// waited for; for a payment that would be given up by now, a person has to look.
    async fn unknown_to_another_key(&self, record: &Record, age: i64) -> Result<Done, String> {
        if age > ABANDONED_AFTER {
            self.tell(Kind::Definite, None, "ChargeUnknown", age - ABANDONED_AFTER);
            self.put_off(record, DAY, Noted::Nothing).await?;
            return Ok(Done::Stands);
        }
        self.trouble(
            record,
            "another key made this charge, and the bank does not know it with this one".to_owned(),
        )
        .await
    }

    /// After a week without a decision the payment is given up: the bank was asked a moment ago, and holds no money.
    async fn give_up(&self, payment: &Payment) -> Result<Done, String> {
        let Checkouts {
            records,
            check_status,
        } = &self.parts.checkouts;
        let closed = vec![records.abandoned_update(payment)];
        let shown = (payment.purpose == Purpose::Order).then(|| check_status.declined(payment));
        match transact_shown(
            records.client(),
            "close the abandoned payment",
            closed,
            shown,
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
}

/// In how many seconds a payment of this age is looked at again that the bank has not decided. Its age decides, and not
/// how often it was looked at: anybody's return may have it looked at.
pub(super) fn look_again_after(age: i64) -> i64 {
    match age {
        ..300 => MINUTE,
        300..900 => 5 * MINUTE,
        900..HOUR => 15 * MINUTE,
        HOUR..21_600 => HOUR,
        21_600..DAY => 6 * HOUR,
        _ => DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_with_the_age() {
        let mut looks = vec![5 * MINUTE];
        while let Some(last) = looks.last().filter(|last| **last <= ABANDONED_AFTER) {
            looks.push(last + look_again_after(*last));
        }
        assert_eq!(looks[..4], [300, 600, 900, 1_800]);
        assert_eq!(looks.len(), 21, "{looks:?}");
    }
}
