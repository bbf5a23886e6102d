//! How every payment must end in which one call got a fault: of the matrix, and of the simulator that plays the same. Normally that is the end of its flow, no matter which call gets the
//! fault. A few faults rightly lead to another end. Each of these is a rule here, with its reason.

use crate::fault_plan::{Fault, Step};
use crate::flow::Flow;
use crate::invariants::{End, Ended, Findings};

pub mod executions;
pub mod refunds;

/// A fault, and the call that it is injected into.
#[derive(Debug, Clone, Copy)]
pub struct Injected<'a> {
    /// The call.
    pub step: &'a Step,
    /// Whether the charge was requested from the bank before this call.
    pub after_charge: bool,
    /// The fault.
    pub fault: Fault,
}

/// How a payment must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The allowed ends. There is more than one only where two cards race for one order.
    ends: Vec<End>,
    /// Why the payment ends differently from its flow.
    because: Option<&'static str>,
    card: Card,
}

/// How the saving of the card must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    /// The bank has saved it, if the payment's end requires that.
    AsUsual,
    /// It could not be saved in time, and the shop was notified.
    Failed,
    /// As `Failed`, but the bank has saved it: only our record of that could not be written.
    FailedUnnoted,
    /// `AsUsual` or `Failed`. The record and the order's e-mail address are read at the same time, and only the
    /// record is required, so the order of the two reads decides.
    AsUsualOrFailed,
}

/// A fault that changes how a payment ends.
struct Rule {
    holds: fn(Flow, Injected<'_>) -> bool,
    end: End,
    because: &'static str,
}

const CHECKOUT: &str = "cardtoken";
const CHARGE: &str = "POST charge";
/// The function that creates the customer at the bank.
const CUSTOMER: &str = "ensure-kbank-user";
/// The update of that function that saves the customer. The first one is the lease.
const NOTES_CUSTOMER: usize = 2;
const ADDS_CARD: &str = "add-card";
/// The read of that function that may be the one of the order. It happens at the same time as the read of the record.
const READS_ADDRESS: usize = 3;

/// The rules. In all of them the shopper saw only errors, and left before 3-D Secure.
const RULES: [Rule; 5] = [
    Rule {
        holds: |_, injected| {
            injected.is(CHECKOUT, "TransactWriteItems")
                && !injected.after_charge
                && injected.fault == Fault::KilledAfter
        },
        end: End::NotCharged,
        because: "the process died after it stored the record: nobody can know that the bank got no request",
    },
    Rule {
        holds: |_, injected| {
            injected.is(CHECKOUT, CHARGE)
                && matches!(
                    injected.fault,
                    Fault::Refused | Fault::Error | Fault::KilledBefore
                )
        },
        end: End::NotCharged,
        because: "nobody can know whether the bank charged the card, and a token is never charged twice",
    },
    Rule {
        holds: |_, injected| {
            injected.step.call.function == CHECKOUT
                && !injected.after_charge
                && injected.fault == Fault::Away
        },
        end: End::NotCharged,
        because: "a service that checkout needs was unavailable until the shopper gave up",
    },
    Rule {
        holds: |flow, injected| {
            injected.step.call.function == CHECKOUT
                && injected.after_charge
                && injected.fault == Fault::Away
                && flow != Flow::WithoutThreeDs
        },
        end: End::Abandoned,
        because: "a service that checkout needs was unavailable until the shopper gave up, before 3-D Secure",
    },
    Rule {
        holds: |flow, injected| {
            injected.step.call.function == CHECKOUT
                && injected.after_charge
                && injected.fault == Fault::Away
                && flow == Flow::WithoutThreeDs
        },
        end: End::Paid,
        because: "the bank had already approved the charge when the shopper left",
    },
];

impl Injected<'_> {
    /// Whether it is this call of this function.
    pub(crate) fn is(&self, function: &str, operation: &str) -> bool {
        self.step.call.function == function && self.step.call.operation == operation
    }

    /// Whether the fault may leave a customer at the bank that we do not know. That happens when the bank's answer is
    /// lost, or when the process dies, or cannot write, before it has saved the answer: the bank has no request to find
    /// the customer again. The owner's next payment reports it, because nobody has taken over the lease.
    pub fn may_orphan_a_customer(&self) -> bool {
        let Self { step, fault, .. } = *self;
        let is = |operation, nth| self.is(CUSTOMER, operation) && step.nth == nth;
        (is("POST customer", 1) && fault.loses_the_answer())
            || (is("UpdateItem", NOTES_CUSTOMER)
                && matches!(fault, Fault::KilledBefore | Fault::Away))
    }
}

impl Expected {
    /// How the payment of a flow must end, with a fault in one call or without a fault.
    pub fn of(flow: Flow, injected: Option<Injected<'_>>) -> Self {
        let rule =
            injected.and_then(|injected| RULES.iter().find(|rule| (rule.holds)(flow, injected)));
        Self {
            ends: rule.map_or_else(|| ends(flow).to_vec(), |rule| vec![rule.end]),
            because: rule.map(|rule| rule.because),
            card: injected.map_or(Card::AsUsual, card),
        }
    }

    /// How the payment with another card for the same order must end.
    pub fn of_rival() -> Self {
        Self {
            ends: vec![End::Paid, End::Reversed],
            because: None,
            card: Card::AsUsual,
        }
    }

    /// Whether the shopper may leave after seeing only errors.
    pub fn lets_the_shopper_leave(&self) -> bool {
        self.because.is_some() || self.ends.contains(&End::NotCharged)
    }

    /// Adds a finding for everything that is not as expected.
    pub fn judge(&self, ended: &Ended, findings: &mut Findings) {
        let right = ended.end.is_some_and(|end| self.ends.contains(&end));
        findings.check(right, || {
            let because = self.because.map(|why| format!(", because {why}"));
            format!(
                "it ended as {:?}, expected: {:?}{}",
                ended.end,
                self.ends,
                because.unwrap_or_default()
            )
        });
        let saves = matches!(ended.end, Some(End::Paid | End::Verified));
        let right: &[(bool, bool)] = match self.card {
            Card::AsUsual => &[(saves, false)],
            Card::Failed => &[(false, true)],
            Card::FailedUnnoted => &[(saves, true)],
            Card::AsUsualOrFailed => &[(saves, false), (false, true)],
        };
        findings.check(
            right.contains(&(ended.card_saved, ended.card_failed)),
            || {
                format!(
                    "it ended as {:?}; card saved: {}, shop notified that the card is not saved: {}",
                    ended.end, ended.card_saved, ended.card_failed
                )
            },
        );
    }
}

/// Checks how all payments of a flow ended: the one that is played, a known user's `earlier` one, and the one of a `rival`
/// card for the same order; both by their tokens.
pub fn judge(
    expected: &Expected,
    earlier: Option<&str>,
    rival: Option<&str>,
    findings: &mut Findings,
) {
    for ended in findings.ended.clone() {
        let token = Some(ended.token.as_str());
        if token == earlier {
            Expected::of(Flow::NewUser, None).judge(&ended, findings);
        } else if token == rival {
            Expected::of_rival().judge(&ended, findings);
        } else {
            expected.judge(&ended, findings);
        }
    }
    if rival.is_some() {
        let ended = findings.ended.iter();
        let paid = ended.filter(|ended| ended.end == Some(End::Paid)).count();
        findings.check(paid == 1, || format!("{paid} of two cards paid the order"));
    }
}

/// How the saving of the card must end. It is retried for half an hour, longer than the ten minutes for which its
/// token is valid. After that the payment continues without it.
fn card(injected: Injected<'_>) -> Card {
    let function = injected.step.call.function.as_str();
    match (function, injected.step.call.operation.as_str()) {
        _ if injected.fault != Fault::Away => Card::AsUsual,
        (ADDS_CARD, "UpdateItem") => Card::FailedUnnoted,
        (CUSTOMER, "GetItem") if injected.step.nth == READS_ADDRESS => Card::AsUsualOrFailed,
        (CUSTOMER | ADDS_CARD, _) => Card::Failed,
        _ => Card::AsUsual,
    }
}

/// How a flow ends.
fn ends(flow: Flow) -> &'static [End] {
    match flow {
        Flow::NewUser
        | Flow::Notified
        | Flow::KnownUser
        | Flow::WithoutThreeDs
        | Flow::NothingCalledBack
        | Flow::EarlyCallback => &[End::Paid],
        // What goes back since is a matter of the refunds.
        _ if flow.is_refund() => &[End::Paid],
        Flow::Declined => &[End::Declined],
        Flow::Verification => &[End::Verified],
        Flow::OrderGone | Flow::OrderGoneSettled => &[End::Reversed],
        // The other card may win, before this one is charged or after. Exactly one of the two pays.
        Flow::TwoCards => &[End::Paid, End::Reversed, End::NotCharged],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallName;

    fn ended(end: Option<End>, card_saved: bool) -> Ended {
        Ended {
            token: "obviously-fake".to_owned(),
            end,
            card_saved,
            card_failed: false,
            charge: None,
            closed_as: None,
            attempt: 0,
        }
    }

    fn is_right(expected: &Expected, ended: &Ended) -> bool {
        let mut findings = Findings::default();
        expected.judge(ended, &mut findings);
        findings.is_empty()
    }

    fn at(flow: Flow, call: (&str, &str), after_charge: bool, fault: Fault) -> Expected {
        let step = Step {
            call: CallName {
                function: call.0.to_owned(),
                operation: call.1.to_owned(),
            },
            nth: 1,
        };
        let injected = Injected {
            step: &step,
            after_charge,
            fault,
        };
        Expected::of(flow, Some(injected))
    }

    #[test]
    fn a_payment_that_could_have_succeeded_must_not_be_reversed() {
        let expected = Expected::of(Flow::NewUser, None);
        assert!(is_right(&expected, &ended(Some(End::Paid), true)));
        for (end, saved) in [
            (Some(End::Reversed), false),
            (Some(End::NotCharged), false),
            (None, false),
            (Some(End::Paid), false),
        ] {
            assert!(!is_right(&expected, &ended(end, saved)), "{end:?} {saved}");
        }
    }

    #[test]
    fn only_a_checkout_with_unknown_outcome_may_end_differently() {
        let unknown = at(
            Flow::NewUser,
            (CHECKOUT, CHARGE),
            false,
            Fault::KilledBefore,
        );
        assert!(is_right(&unknown, &ended(Some(End::NotCharged), false)));
        assert!(!is_right(&unknown, &ended(Some(End::Paid), true)));
        for (call, after_charge, fault) in [
            ((CHECKOUT, CHARGE), false, Fault::Lost),
            ((CHECKOUT, CHARGE), false, Fault::Throttled),
            ((CHECKOUT, "TransactWriteItems"), true, Fault::KilledAfter),
            (("pay-order", "GetItem"), true, Fault::Away),
        ] {
            let expected = at(Flow::NewUser, call, after_charge, fault);
            assert_eq!(
                expected,
                Expected::of(Flow::NewUser, None),
                "{call:?} {fault}"
            );
        }
    }

    #[test]
    fn a_card_is_lost_only_during_an_outage_of_a_service_that_saves_it() {
        let without_card = Ended {
            card_failed: true,
            ..ended(Some(End::Paid), false)
        };
        let call = (ADDS_CARD, "POST customer/*/card");
        let away = at(Flow::KnownUser, call, true, Fault::Away);
        assert!(is_right(&away, &without_card));
        assert!(!is_right(&away, &ended(Some(End::Paid), true)));
        let lost = at(Flow::KnownUser, call, true, Fault::Lost);
        assert!(!is_right(&lost, &without_card));
        assert!(is_right(&lost, &ended(Some(End::Paid), true)));
    }

    #[test]
    fn a_charge_without_3_d_secure_pays_even_if_the_shopper_left() {
        let call = (CHECKOUT, "TransactWriteItems");
        let paid = at(Flow::WithoutThreeDs, call, true, Fault::Away);
        assert!(is_right(&paid, &ended(Some(End::Paid), true)));
        let given_up = at(Flow::NewUser, call, true, Fault::Away);
        assert!(is_right(&given_up, &ended(Some(End::Abandoned), false)));
    }
}
