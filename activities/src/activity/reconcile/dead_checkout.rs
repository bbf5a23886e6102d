//! A checkout that died before it stored the bank's answer: did the bank charge?
//!
//! Whatever charge is found counts only if the bank itself says that it is over this record's reference, amount,
//! currency and mode.

use futures_util::future::join_all;

use std::sync::atomic::Ordering;

use super::{DAY, Done, HOUR, Key, MINUTE, Run, age, text};
use crate::bank::BankError;
use crate::domain::charge::{Charge, Mismatch, Verdict, Word};
use crate::domain::ids::ReferenceOrder;
use crate::executions::Started;
use crate::log;
use crate::tables::records::{Noted, Record, Unreadable};

/// At this age a checkout without a charge is looked at for the second time: while other cards of the order still wait
/// for what becomes of it ([`crate::tables::checkouts::ASKED_FOR_AT_MOST`]).
const SECOND_LOOK_AT: i64 = 20 * MINUTE;
/// At this age a checkout that no charge was found for comes to its end: the bank must know of none once more before it
/// counts as never charged, and where that proves nothing a person has to look. For as long the bank may give no
/// answer.
const CERTAIN_AFTER: i64 = DAY;
/// When a checkout is looked at again for which somebody has named a charge that was not found.
const HINTED_AGAIN_AFTER: i64 = HOUR;
/// When a checkout that the bank can say nothing about is asked for, and told of, again.
const ORPHAN_AGAIN_AFTER: i64 = DAY;
/// Why a charge that is otherwise the right one is not taken.
const OTHER_MODE: &str = "the bank's charge is of the other mode (`livemode`): compare the key in the gateway secret \
                          with the one that made it";

impl Run<'_> {
    /// Looks for the charge of a dead checkout.
    pub(super) async fn find_charge(&self, record: &Record) -> Result<Done, String> {
        let age = age(record, self.now);
        let Some(reference) = &record.reference_order else {
            return self
                .unreadable(&Unreadable::lacking(record, "chargeId"))
                .await;
        };
        let key = match self.key().await {
            Ok(key) => key,
            Err(reason) => return self.trouble(record, reason).await,
        };
        let livemode = key.livemode;
        // Named charges come first: inquiries by charge id work everywhere. One that fails stops no other.
        let mut named = record.came_back || record.hints_may_be_missing();
        let mut not_answered = None;
        for answer in join_all(record.hints.iter().map(|id| self.bank.inquire(id))).await {
            match answer {
                Ok(charge) if is_of(record, &charge, livemode) => {
                    return self.adopt(record, &charge, livemode).await;
                }
                // Of another checkout, such as another card's for this order.
                Ok(charge) if has_another_reference(&charge, reference) => {}
                Ok(_) | Err(BankError::Refused { .. }) => named = true,
                Err(error) => not_answered = Some(error.to_string()),
            }
        }
        let by_reference = self.bank.find_by_reference(reference).await;
        if matches!(by_reference, Ok(_) | Err(BankError::Refused { .. })) {
            self.bank_answered.store(true, Ordering::Relaxed);
        }
        let by_reference = match by_reference {
            Ok(Some(charge)) if is_of(record, &charge, livemode) => {
                return self.adopt(record, &charge, livemode).await;
            }
            Ok(Some(charge)) if is_of_another_mode(record, &charge, livemode) => {
                ByReference::NotAnswered(OTHER_MODE.to_owned())
            }
            Ok(Some(_)) => ByReference::Differs,
            Ok(None) => ByReference::None,
            Err(error @ BankError::Refused { .. }) => ByReference::Refused(error.to_string()),
            // The reference is our own: if that is not taken, the bank cannot be reached at all.
            Err(error @ BankError::NotTaken(_)) => {
                return self.trouble(record, error.to_string()).await;
            }
            Err(error @ BankError::Unavailable(_)) => ByReference::NotAnswered(error.to_string()),
        };
        let found = match (by_reference, not_answered) {
            (ByReference::Differs, _) => ByReference::Differs,
            (_, Some(reason)) => ByReference::NotAnswered(reason),
            (by_reference, None) => by_reference,
        };
        // While the bank answers to nothing it is an outage, however long it lasts.
        let unanswered_for = match record.trouble_since {
            Some(since) if self.bank_answered.load(Ordering::Relaxed) => self.now - since,
            _ => 0,
        };
        let trusted = self.parts.finds_by_reference && key.made(record) == Some(true);
        match without_charge(found, named, trusted, age, unanswered_for) {
            Next::LookIn(seconds) => self.put_off(record, seconds, Noted::Answered).await,
            Next::Failed(reason) => self.trouble(record, reason).await,
            // Asked with another key meanwhile, as after one that was refused.
            Next::NeverCharged if !self.still_asks_with(key).await => {
                self.trouble(record, "the bank's key has changed meanwhile".to_owned())
                    .await
            }
            Next::NeverCharged => {
                let closed = self.parts.checkouts.close_never_charged(record, reference);
                Ok(if closed.await.map_err(text)? {
                    tracing::info!(event = "neverCharged", "closed as never charged");
                    Done::NeverCharged
                } else {
                    Done::Later
                })
            }
            Next::Person(reason) => self.orphan(record, reference, &reason).await,
        }
    }

    /// Whether the bank is still asked with this key.
    async fn still_asks_with(&self, key: &Key) -> bool {
        let now = self.bank.fingerprint().await;
        now.is_ok_and(|now| now == key.fingerprint)
    }

    async fn adopt(
        &self,
        record: &Record,
        charge: &Charge,
        livemode: bool,
    ) -> Result<Done, String> {
        let redirect = charge.redirect_url.as_deref();
        let checkouts = &self.parts.checkouts;
        let stored = checkouts.store_charge(record, &charge.id, redirect);
        if !stored.await.map_err(text)? {
            return Ok(Done::Later);
        }
        log::charge(&charge.id);
        tracing::warn!("charge of a dead checkout found");
        // Undecided, it is looked at again as every payment with a charge is.
        let mut started = false;
        if Word::of(judged(record, charge, livemode)) == Word::Act {
            started = self.start(record, &charge.id, record.attempt).await? == Started::Now;
        }
        Ok(Done::Adopted { started })
    }

    /// The bank cannot say whether it charged: a person asks it.
    async fn orphan(
        &self,
        record: &Record,
        reference: &ReferenceOrder,
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
        self.put_off(record, ORPHAN_AGAIN_AFTER, Noted::Nothing)
            .await?;
        Ok(Done::Orphan)
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

/// Decides about a checkout without a charge, `age` seconds after it, when the bank has given no answer about it for
/// `unanswered_for` seconds. `named`: somebody has named a charge for it that is not known to be another checkout's, so
/// there may be one whatever the bank says. That the bank knows no charge proves something only where it answers
/// inquiries by reference.
fn without_charge(
    found: ByReference,
    named: bool,
    finds_by_reference: bool,
    age: i64,
    unanswered_for: i64,
) -> Next {
    let because = |reason: &str| Next::Person(reason.to_owned());
    match found {
        ByReference::Differs => because("the bank's charge is over another amount or currency"),
        // For a day it may be an outage, whatever its status.
        ByReference::Refused(reason) if finds_by_reference && age < CERTAIN_AFTER => {
            Next::Failed(reason)
        }
        ByReference::Refused(reason) if finds_by_reference => Next::Person(reason),
        // For a day it may be an outage. What never gets an answer after that is no outage.
        ByReference::NotAnswered(reason) if unanswered_for >= CERTAIN_AFTER => Next::Person(reason),
        ByReference::NotAnswered(reason) => Next::Failed(reason),
        _ if age < SECOND_LOOK_AT => Next::LookIn(SECOND_LOOK_AT - age),
        _ if age < CERTAIN_AFTER && named => {
            Next::LookIn(HINTED_AGAIN_AFTER.min(CERTAIN_AFTER - age))
        }
        _ if age < CERTAIN_AFTER => Next::LookIn(CERTAIN_AFTER - age),
        _ if named => because("a charge was named for it, and the bank knows none"),
        ByReference::None if finds_by_reference => Next::NeverCharged,
        _ => because(
            "no charge was found, which proves nothing: this bank does not find by reference, or the charge was asked for \
             with another key, whose account's portal may have it",
        ),
    }
}

/// Whether this charge of the bank's is the one that the record's checkout asked for.
fn is_of(record: &Record, charge: &Charge, livemode: bool) -> bool {
    judged(record, charge, livemode).is_ok()
}

/// Whether this charge is the record's but for the mode: then the key is another one.
fn is_of_another_mode(record: &Record, charge: &Charge, livemode: bool) -> bool {
    judged(record, charge, livemode).is_err_and(|mismatch| mismatch.is_of_the_mode())
}

/// The charge, judged as if it were the one that the record has stored.
fn judged(record: &Record, charge: &Charge, livemode: bool) -> Result<Verdict, Mismatch> {
    let payment = record.payment_by(&charge.id);
    charge.judge(&payment.expected(livemode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ChargeId;

    const TRUSTED: bool = true;
    const NAMED: bool = true;

    #[test]
    fn a_charge_that_is_not_found_is_looked_for_until_a_day_has_passed() {
        for finds_by_reference in [TRUSTED, !TRUSTED] {
            let next =
                |named, age| without_charge(ByReference::None, named, finds_by_reference, age, 0);
            assert_eq!(next(!NAMED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
            assert_eq!(next(!NAMED, 20 * MINUTE - 1), Next::LookIn(1));
            assert_eq!(next(!NAMED, 20 * MINUTE), Next::LookIn(DAY - 20 * MINUTE));
            assert_eq!(next(NAMED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
            assert_eq!(next(NAMED, 21 * MINUTE), Next::LookIn(HOUR));
            assert_eq!(next(NAMED, DAY - MINUTE), Next::LookIn(MINUTE));
        }
    }

    #[test]
    fn never_charged_is_believed_only_of_a_bank_that_finds_by_reference_and_if_nobody_named_a_charge()
     {
        let next = |found, named, trusted| without_charge(found, named, trusted, DAY, 0);
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
        let next = |trusted, age| without_charge(refused(), !NAMED, trusted, age, 0);
        assert_eq!(next(!TRUSTED, 5 * MINUTE), Next::LookIn(15 * MINUTE));
        assert!(matches!(next(TRUSTED, 5 * MINUTE), Next::Failed(_)));
        for trusted in [TRUSTED, !TRUSTED] {
            assert!(matches!(next(trusted, DAY), Next::Person(_)));
        }
    }

    #[test]
    fn the_second_look_comes_while_other_cards_wait() {
        let latest = SECOND_LOOK_AT + MINUTE;
        assert!(latest < crate::tables::checkouts::ASKED_FOR_AT_MOST);
    }

    #[test]
    fn an_inquiry_that_gets_no_answer_for_a_day_is_a_persons() {
        for (named, trusted) in [(NAMED, TRUSTED), (!NAMED, TRUSTED), (NAMED, !TRUSTED)] {
            let found = || ByReference::NotAnswered("it answered 500".to_owned());
            let next = |lasted| without_charge(found(), named, trusted, 3 * DAY, lasted);
            for lasted in [0, 5 * MINUTE, DAY - 1] {
                assert!(matches!(next(lasted), Next::Failed(_)), "{lasted}");
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
            let next = without_charge(ByReference::Differs, !NAMED, trusted, MINUTE, 0);
            assert!(matches!(next, Next::Person(_)), "{next:?}");
        }
    }
}
