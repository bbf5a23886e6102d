//! How every payment of the matrix must end: what its flow ends with, whichever call gets the fault. The few faults that change
//! the end honestly are rules here, each with its reason.

use payment3_harness::fault_plan::{Fault, Step};
use payment3_harness::flow::Flow;
use payment3_harness::invariants::{End, Ended, Findings};

/// A fault, and the call that gets it.
#[derive(Debug, Clone, Copy)]
pub struct Injected<'a> {
    /// The call.
    pub step: &'a Step,
    /// Whether the bank has been asked for the charge before it.
    pub after_charge: bool,
    /// What goes wrong with it.
    pub fault: Fault,
}

/// What is right for a payment in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// One of these: more than one only where two cards race for one order.
    ends: Vec<End>,
    /// Why the end is another one than the flow's.
    because: Option<&'static str>,
    card: Card,
}

/// What becomes of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    /// The bank holds it, if the payment came to an end that saves it.
    AsUsual,
    /// It could not be saved in time, and the shop was told.
    Failed,
    /// The same, but the bank has it: only the note of that could not be written.
    FailedUnnoted,
    /// As usual or failed: the record and the order's e-mail address are read at once, and only one of them is needed.
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
/// What saves cards.
const CUSTOMER: &str = "ensure-kbank-user";
const ADDS_CARD: &str = "add-card";
/// Which of its reads may be that of the order, beside that of the record.
const READS_ADDRESS: usize = 3;

/// The rules. In all of them the shopper saw errors only, and left without having passed 3-D Secure.
const RULES: [Rule; 5] = [
    Rule {
        holds: |_, injected| {
            injected.is(CHECKOUT, "TransactWriteItems")
                && !injected.after_charge
                && injected.fault == Fault::KilledAfter
        },
        end: End::NotCharged,
        because: "the record was stored and its process died: whoever finds it cannot know that the bank was not asked",
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
        because: "nobody can know that the bank did nothing, and a token is never charged twice",
    },
    Rule {
        holds: |_, injected| {
            injected.step.call.function == CHECKOUT
                && !injected.after_charge
                && injected.fault == Fault::Away
        },
        end: End::NotCharged,
        because: "what checkout needs was away for longer than the shopper tried",
    },
    Rule {
        holds: |flow, injected| {
            injected.step.call.function == CHECKOUT
                && injected.after_charge
                && injected.fault == Fault::Away
                && flow != Flow::WithoutThreeDs
        },
        end: End::Abandoned,
        because: "what checkout needs was away for longer than the shopper tried to get to 3-D Secure",
    },
    Rule {
        holds: |flow, injected| {
            injected.step.call.function == CHECKOUT
                && injected.after_charge
                && injected.fault == Fault::Away
                && flow == Flow::WithoutThreeDs
        },
        end: End::Paid,
        because: "the bank had decided without the shopper, who left",
    },
];

impl Injected<'_> {
    fn is(&self, function: &str, operation: &str) -> bool {
        self.step.call.function == function && self.step.call.operation == operation
    }
}

impl Expected {
    /// How the payment of a flow must end, with a fault in one call or in none.
    pub fn of(flow: Flow, injected: Option<Injected<'_>>) -> Self {
        let rule =
            injected.and_then(|injected| RULES.iter().find(|rule| (rule.holds)(flow, injected)));
        Self {
            ends: rule.map_or_else(|| ends(flow).to_vec(), |rule| vec![rule.end]),
            because: rule.map(|rule| rule.because),
            card: injected.map_or(Card::AsUsual, card),
        }
    }

    /// How another card for the same order must end.
    pub fn of_rival() -> Self {
        Self {
            ends: vec![End::Paid, End::Reversed],
            because: None,
            card: Card::AsUsual,
        }
    }

    /// Whether a shopper may leave who saw nothing but errors.
    pub fn lets_the_shopper_leave(&self) -> bool {
        self.because.is_some() || self.ends.contains(&End::NotCharged)
    }

    /// Notes what is not as it must be.
    pub fn judge(&self, ended: &Ended, findings: &mut Findings) {
        let right = ended.end.is_some_and(|end| self.ends.contains(&end));
        findings.check(right, || {
            let because = self.because.map(|why| format!(", as {why}"));
            format!(
                "it ended as {:?}, and not as {:?}{}",
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
                    "it ended as {:?}, its card is saved: {}, the shop is told that it is not: {}",
                    ended.end, ended.card_saved, ended.card_failed
                )
            },
        );
    }
}

/// What becomes of a card. It is tried for half an hour, as its token lives for ten minutes; then the payment goes on
/// without it.
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
        Flow::Declined => &[End::Declined],
        Flow::Verification => &[End::Verified],
        Flow::OrderGone | Flow::OrderGoneSettled => &[End::Reversed],
        // The other one may be first, before this one is charged or after; one of the two pays.
        Flow::TwoCards => &[End::Paid, End::Reversed, End::NotCharged],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payment3_harness::call::CallName;

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
    fn an_order_that_could_have_been_paid_must_not_be_reversed() {
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
    fn only_a_checkout_whose_outcome_nobody_can_know_ends_otherwise() {
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
    fn a_card_is_lost_only_where_what_saves_it_is_away() {
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
    fn a_charge_that_needs_no_3_d_secure_pays_though_the_shopper_left() {
        let call = (CHECKOUT, "TransactWriteItems");
        let paid = at(Flow::WithoutThreeDs, call, true, Fault::Away);
        assert!(is_right(&paid, &ended(Some(End::Paid), true)));
        let given_up = at(Flow::NewUser, call, true, Fault::Away);
        assert!(is_right(&given_up, &ended(Some(End::Abandoned), false)));
    }
}
