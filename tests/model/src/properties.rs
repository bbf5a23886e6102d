//! The properties that must hold for all answers of the tasks, at every step and at every end.

use std::collections::BTreeSet;
use std::fmt;

use payment3_activities::activity::notify::{self, Event};
use payment3_activities::activity::reconcile::turn::needs_person;
use payment3_activities::domain::decision::Asked;
use payment3_activities::domain::payment::Purpose;
use serde_json::{Map, Value};

use crate::definition::Policy;
use crate::dynamodb::Update;
use crate::system::{Bank, Card, Item, NOW, SystemState, n, s};
use crate::treatment::is_definite;

/// A property of the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// Every expression has a value, and every condition is true or false.
    Evaluates,
    /// The input of a task has the activity's type, and DynamoDB accepts every update.
    Understood,
    /// Every error is retried, caught or left to fail in place as agreed, and no other error is ignored.
    Treatment,
    /// Every path ends, in a state where a path may end, and waits before it does something again.
    EndsWhereMeant,
    /// No path both pays the order and reverses the charge.
    PaysOrGoesBack,
    /// Nothing is paid or reversed unless the bank has authorised it, and an order is never treated as a verification.
    MovesOnlyItsMoney,
    /// No path succeeds with an authorised charge that has neither paid the order nor been reversed.
    SettledAtTheEnd,
    /// CloseRecord's condition holds for exactly the records that may be closed.
    ClosesWhatIsSettled,
    /// The recorded decision is the bank's, and the output says how the payment ended.
    TellsTheTruth,
    /// The shop is notified of every decision, and never of anything wrong.
    ShopIsNotified,
    /// A card is saved exactly when the deployment's policy says so.
    SavesByPolicy,
    /// A payment that waits for the bank is due again at once.
    ComesBack,
    /// A failed path is retried automatically, unless it failed with a definite error.
    GoesOnByItself,
    /// A payment that failed and is not finished is in the index of open records.
    StandsInTheIndex,
    /// No path asks the bank for a refund while an earlier request for it may have taken effect, or still may.
    AsksOnce,
    /// Refunds that the bank has accepted are never more than what was paid.
    GivesBackWhatWasPaid,
    /// A refund that ends is known everywhere, or given up with its amount released, or reported to a person with its
    /// amount still counted.
    NothingIsKept,
    /// Every state, branch, catcher and agreed error is reached.
    EverythingIsReached,
}

impl Property {
    /// All properties.
    pub const ALL: [Self; 18] = [
        Self::Evaluates,
        Self::Understood,
        Self::Treatment,
        Self::EndsWhereMeant,
        Self::PaysOrGoesBack,
        Self::MovesOnlyItsMoney,
        Self::SettledAtTheEnd,
        Self::ClosesWhatIsSettled,
        Self::TellsTheTruth,
        Self::ShopIsNotified,
        Self::SavesByPolicy,
        Self::ComesBack,
        Self::GoesOnByItself,
        Self::StandsInTheIndex,
        Self::AsksOnce,
        Self::GivesBackWhatWasPaid,
        Self::NothingIsKept,
        Self::EverythingIsReached,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluates => "an expression cannot be evaluated",
            Self::Understood => "a task is called with an invalid input",
            Self::Treatment => "an error is not treated as agreed",
            Self::EndsWhereMeant => "a path does not end, or ends in a state where it must not",
            Self::PaysOrGoesBack => "a path pays the order and reverses the charge",
            Self::MovesOnlyItsMoney => "a path moves money that it must not move",
            Self::SettledAtTheEnd => {
                "a path succeeds, but the charge has neither paid the order nor been reversed"
            }
            Self::ClosesWhatIsSettled => {
                "CloseRecord closes a record that must stay open, or refuses one that may be closed"
            }
            Self::TellsTheTruth => "the record or the output is wrong",
            Self::ShopIsNotified => "the shop is not notified, or wrongly",
            Self::SavesByPolicy => "a card is saved or not saved against the policy",
            Self::ComesBack => "a payment waits for the bank, but is not due at once",
            Self::GoesOnByItself => {
                "a path failed in an outage and is not retried, or a definite error is treated as an outage"
            }
            Self::AsksOnce => {
                "the bank is asked for a refund again, although it may have accepted it before"
            }
            Self::GivesBackWhatWasPaid => "more is given back than was paid",
            Self::NothingIsKept => "a refund ends with its amount reserved and nobody to come back",
            Self::StandsInTheIndex => "a failed payment is not in the index of open records",
            Self::EverythingIsReached => "a part of the definition is never reached",
        })
    }
}

/// A broken property, and the details.
pub(crate) type Broken = (Property, String);

/// An error for a broken property.
pub(crate) fn broken<T>(property: Property, details: impl Into<String>) -> Result<T, Broken> {
    Err((property, details.into()))
}

pub(crate) fn hold(
    holds: bool,
    property: Property,
    details: impl Into<String>,
) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        broken(property, details)
    }
}

/// An execution, as the properties see it: of the payment machine, unless another system surrounds it.
pub(crate) struct Scene<'a, S = SystemState> {
    pub(crate) policy: Policy,
    pub(crate) variables: &'a Map<String, Value>,
    /// The states that it has left: `X` after an answer, `X caught` after a caught error.
    pub(crate) course: &'a BTreeSet<String>,
    pub(crate) system: &'a S,
}

impl Scene<'_> {
    fn payment(&self) -> &Value {
        self.variables.get("payment").unwrap_or(&Value::Null)
    }

    fn is_verification(&self) -> bool {
        self.payment()["purpose"] == "verification"
    }

    fn has(&self, step: &str) -> bool {
        self.course.contains(step)
    }

    fn left(&self, state: &str) -> bool {
        self.has(state) || self.has(&format!("{state} caught"))
    }

    /// Whether the card must be saved under the deployment's policy.
    fn saves_card(&self) -> bool {
        let (held, refused) = (
            self.system.bank == Bank::Held,
            self.system.bank == Bank::Refused,
        );
        let paid = held && !self.system.reversed;
        match self.policy {
            _ if self.is_verification() => held || self.system.bank == Bank::Back,
            Policy::EveryOrder => paid || refused,
            Policy::PaidOnly => paid,
            Policy::Consented => paid && self.payment()["saveCard"] == true,
        }
    }
}

/// What must hold when an execution enters a state.
pub(crate) fn entering(state: &str, scene: &Scene<'_>) -> Result<(), Broken> {
    let system = scene.system;
    hold(
        !(system.paid && system.reversed),
        Property::PaysOrGoesBack,
        "the order is paid, but the charge was reversed",
    )?;
    let held = system.bank == Bank::Held;
    // The baht of a verification may already have been given back, here or by hand. Its card is saved even then.
    let verified = scene.is_verification() && (held || system.bank == Bank::Back);
    let moves = |allowed: bool| {
        let bank = system.bank;
        let problem = format!(
            "it enters {state} with a charge that is {bank:?}, for {}",
            scene.payment()["purpose"]
        );
        hold(allowed, Property::MovesOnlyItsMoney, problem)
    };
    match state {
        "PayOrder" => moves(held && !scene.is_verification()),
        "AddCard" => moves(held || verified),
        "ReverseVerification" => moves(verified),
        "ReverseCharge" => {
            moves(held && !scene.is_verification())?;
            let refused = scene.has("PayOrder caught") && !scene.has("PayOrder");
            hold(
                refused,
                Property::PaysOrGoesBack,
                "it enters ReverseCharge, but PayOrder has not refused",
            )
        }
        "EnsureKBankUser" => hold(
            scene.saves_card(),
            Property::SavesByPolicy,
            format!(
                "under {}, the card of a charge that is {:?} is saved",
                scene.policy, system.bank
            ),
        ),
        _ => Ok(()),
    }
}

/// The errors that mean that this execution has nothing left to do.
const OVER: [(&str, &str); 3] = [
    ("LookupRecord", "RecordClosed"),
    ("LookupRecord", "HandledElsewhere"),
    ("RecordOutcome", "HandledElsewhere"),
];
/// The error that means that another attempt has been counted.
const COUNTED: [(&str, &str); 1] = [("AwaitBank", "DynamoDB.ConditionalCheckFailedException")];

/// What must hold when a state leads to an end without further work, by its answer or by an error.
pub(crate) fn going_to(next: &str, state: &str, error: Option<&str>) -> Result<(), Broken> {
    let ends: &[_] = match next {
        "AlreadyProcessed" => &OVER,
        "HandedOver" => &COUNTED,
        _ => return Ok(()),
    };
    hold(
        error.is_some_and(|error| ends.contains(&(state, error))),
        Property::EndsWhereMeant,
        format!("{state} leads to {next}, but no other attempt has the payment"),
    )
}

/// How long from now an open record may be due at the latest while an execution runs, in seconds.
const DUE_WITHIN: i64 = 5 * 60;

/// What must hold when an execution fails in place. A payment without a record is not checked: this system did not
/// request its charge, and nobody can find it.
pub(crate) fn failing(
    state: &str,
    callee: &str,
    error: &str,
    system: &SystemState,
) -> Result<(), Broken> {
    let person = needs_person(error);
    hold(
        person == is_definite(callee, error),
        Property::GoesOnByItself,
        format!("{state}: {error} is for a person: {person}"),
    )?;
    // The update whose answer is lost may have closed the record.
    let done = state == "CloseRecord" && system.has("closedAt");
    if done || !system.has("tokenId") {
        return Ok(());
    }
    hold(
        system.is_listed(),
        Property::StandsInTheIndex,
        format!("{state} fails with {error}, but its record is not in the index"),
    )?;
    let due = system.number("lookAgainAt");
    hold(
        person || due.is_some_and(|due| due <= NOW + DUE_WITHIN),
        Property::GoesOnByItself,
        format!("{state} fails with {error}, but its record is due at {due:?}"),
    )
}

/// What must hold for a decision that is used: it says when the bank was asked.
pub(crate) fn dated(asked: Asked) -> Result<(), Broken> {
    hold(
        asked.asked_at == Some(NOW),
        Property::Understood,
        format!("a decision is used, but its time is {:?}", asked.asked_at),
    )
}

/// What must hold for a decision that is recorded.
pub(crate) fn recording(decision: Bank, system: &SystemState) -> Result<(), Broken> {
    let bank = system.bank;
    hold(
        decision == bank,
        Property::TellsTheTruth,
        format!("{decision:?} is recorded for a charge that is {bank:?}"),
    )
}

/// What must hold for an event that is sent to the shop.
pub(crate) fn notifying(
    input: &notify::Input,
    purpose: Purpose,
    system: &SystemState,
) -> Result<(), Broken> {
    let order = purpose == Purpose::Order;
    // A verification must give its baht back first.
    let verified = !order && system.reversed;
    let so = match input.event {
        Event::PaymentSucceeded => order && system.paid,
        Event::PaymentFailed => order && system.bank == Bank::Refused,
        Event::PaymentReversed => order && (system.reversed || system.bank == Bank::Back),
        Event::CardSaved => verified && system.card == Card::Saved,
        Event::CardFailed if order => system.card == Card::Failed,
        Event::CardFailed => {
            (verified && system.card != Card::Saved) || system.bank == Bank::Refused
        }
        // Of the refund machine.
        Event::RefundSucceeded | Event::RefundFailed | Event::RefundElsewhere => false,
    };
    let event = input.event.as_str();
    hold(
        so,
        Property::ShopIsNotified,
        format!("the shop gets `{event}`, but {system:?}"),
    )?;
    // Failed cards are counted by this field.
    let counted = (input.card == notify::Card::Failed) == (system.card == Card::Failed);
    hold(
        counted,
        Property::TellsTheTruth,
        format!("the card is {:?}, but {system:?}", input.card),
    )
}

/// Checks CloseRecord's condition with every possible record. It must hold exactly if the order is paid, the money
/// was given back, or the bank declined and has not signed a later approval. And it must hold only for the attempt of
/// this execution, and only if the record still says what this execution has found, or what came of that.
pub(crate) fn closing(update: &Update, system: &SystemState) -> Result<(), Broken> {
    let attempt = system.number("attempt").unwrap_or(0);
    let found: &[&str] = match update.text(":closedAs") {
        Some("declined") => &["declined"],
        _ => &["paid", "returned"],
    };
    for outcome in ["pending", "paid", "declined", "returned"] {
        for resolution in [None, Some("orderPaid"), Some("reversing"), Some("reversed")] {
            for signed in [false, true] {
                for later in [0, 1] {
                    let mut record: Item = system.record.clone();
                    record.remove("resolution");
                    record.remove("paidNotifiedAt");
                    record.insert("outcome".into(), s(outcome));
                    record.insert("attempt".into(), n(attempt + later));
                    record
                        .extend(resolution.map(|resolution| ("resolution".into(), s(resolution))));
                    record.extend(signed.then(|| ("paidNotifiedAt".into(), n(NOW))));
                    let settled = matches!(resolution, Some("orderPaid" | "reversed"))
                        || outcome == "returned"
                        || outcome == "declined" && !signed;
                    let closed = update
                        .apply(&record)
                        .map_err(|problem| (Property::Understood, problem))?;
                    hold(
                        closed.is_some() == (settled && later == 0 && found.contains(&outcome)),
                        Property::ClosesWhatIsSettled,
                        format!(
                            "{outcome}, {resolution:?}, signed: {signed}, later attempt: {later}"
                        ),
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// The members of an output that the properties read.
pub(crate) const READ_OF_OUTPUTS: [&str; 6] = [
    "result",
    "orderId",
    "notified",
    "card",
    "attempt",
    "waitingFor",
];

/// What must hold when an execution succeeds in a state, with this output.
pub(crate) fn success(state: &str, output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    match state {
        "AlreadyProcessed" => hold(
            output["result"] == "alreadyProcessed",
            Property::TellsTheTruth,
            format!("the output is {output}"),
        ),
        "HandedOver" => handed_over(output, scene),
        "AwaitBank" => awaiting(output, scene),
        "CloseRecord" => closed(output, scene),
        other => broken(Property::EndsWhereMeant, format!("it ends in {other}")),
    }
}

fn closed(output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let system = scene.system;
    hold(
        !system.owes(),
        Property::SettledAtTheEnd,
        "the record is closed, but the bank still holds the money",
    )?;
    let record_is_closed = ["openShard", "lookAgainAt", "token"]
        .iter()
        .all(|name| !system.has(name));
    hold(
        record_is_closed,
        Property::ClosesWhatIsSettled,
        "the record is open, or still has its token",
    )?;
    let result = match system.bank {
        Bank::Held | Bank::Back if system.reversed && scene.is_verification() => "verified",
        Bank::Held if system.reversed => "reversed",
        Bank::Held => "paid",
        Bank::Refused => "declined",
        Bank::Back => "returned",
        Bank::Undecided => "",
    };
    let same = output["result"] == result
        && output["orderId"] == scene.payment()["orderId"]
        && output["notified"] == system.notified
        && output["card"] == system.card.word()
        && system.text("closedAs") == Some(result);
    hold(
        same,
        Property::TellsTheTruth,
        format!("the output is {output}, but {system:?}"),
    )?;
    let of_the_payment: &[_] = if scene.is_verification() {
        &["NotifyFailure", "NotifyCard"]
    } else {
        &["NotifySuccess", "NotifyFailure", "NotifyReversal"]
    };
    let mut refused = of_the_payment.iter();
    let refused = refused.any(|state| scene.has(&format!("{state} caught")));
    hold(
        system.notified || refused,
        Property::ShopIsNotified,
        "the shop is not notified",
    )?;
    hold(
        system.card != Card::Failed || scene.left("NotifyCard"),
        Property::ShopIsNotified,
        "the shop is not notified that a card could not be saved",
    )?;
    let asked = scene.left("EnsureKBankUser");
    let declined = system.bank == Bank::Refused;
    let kept = !scene.saves_card() || declined || system.card != Card::NotSaved;
    hold(
        asked == scene.saves_card() && kept,
        Property::SavesByPolicy,
        format!(
            "under {}, the bank was asked: {asked}, the card is {:?}",
            scene.policy, system.card
        ),
    )
}

/// What must hold at a handover: another attempt has the payment, or it has nothing left to do.
fn handed_over(output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let (system, payment) = (scene.system, scene.payment());
    let later = system.number("attempt") > payment["attempt"].as_i64();
    hold(
        (later && system.is_listed()) || !system.has("openShard"),
        Property::ComesBack,
        format!("no other attempt has the payment: {system:?}"),
    )?;
    hold(
        output["result"] == "handedOver",
        Property::TellsTheTruth,
        format!("the output is {output}"),
    )
}

fn awaiting(output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let (system, payment) = (scene.system, scene.payment());
    let waiting_for = output["waitingFor"].as_str();
    hold(
        system.bank == Bank::Undecided || waiting_for == Some("StaleDecision"),
        Property::SettledAtTheEnd,
        "the payment waits for the bank, but the bank has decided",
    )?;
    let next = system.number("lookAgainAt");
    hold(
        system.is_listed() && next == Some(NOW),
        Property::ComesBack,
        format!("the next check is at {next:?} instead of {NOW}"),
    )?;
    let attempt = payment["attempt"].as_i64().unwrap_or(0) + 1;
    let same = output["result"] == "awaitingBank"
        && output["attempt"] == attempt
        && system.number("attempt") == Some(attempt)
        && matches!(
            waiting_for,
            Some("ChargePending" | "ChargeUnknown" | "BankUnavailable" | "StaleDecision")
        );
    hold(
        same,
        Property::TellsTheTruth,
        format!("the output is {output}, and {system:?}"),
    )
}
