//! What must hold, whatever the tasks answer: at every step, and at every end.

use std::collections::BTreeSet;
use std::fmt;

use payment3_activities::activity::notify::{self, Event};
use payment3_activities::activity::reconcile::turn::needs_person;
use payment3_activities::domain::decision::Asked;
use payment3_activities::domain::payment::Purpose;
use serde_json::{Map, Value};

use crate::definition::Policy;
use crate::dynamodb::Update;
use crate::treatment::is_definite;
use crate::world::{Bank, Card, Item, NOW, World, n, s};

/// What may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// Every expression gives a value, and every condition a truth.
    Evaluates,
    /// What a task is called with is of the activity's own type, and an update is one that DynamoDB takes.
    Understood,
    /// Every error is retried, caught or left to fail in place as agreed, and nothing else is passed over.
    Treatment,
    /// Every path ends, and in a state that is meant to be an end.
    EndsWhereMeant,
    /// No path pays and reverses, and none comes from a paid order to a reversal.
    PaysOrGoesBack,
    /// Nothing is reversed or paid that the bank has not authorised, and what is for an order is never treated as a
    /// verification.
    MovesOnlyItsMoney,
    /// No path succeeds with an authorised charge that has neither paid nor gone back.
    SettledAtTheEnd,
    /// CloseRecord's condition holds for records that may be closed, and for no other.
    ClosesWhatIsSettled,
    /// The decision that is recorded is the bank's, and the output says what became of the payment.
    TellsTheTruth,
    /// The shop is told of every decision, and nothing that is not so.
    ShopIsTold,
    /// A card is saved exactly where the deployment's policy says so.
    SavesByPolicy,
    /// Where the bank is awaited, the payment is looked at again at once.
    ComesBack,
    /// A path that ends failed is started again by itself, or it failed with a definite error.
    GoesOnByItself,
    /// Whatever stands failed and is not done stands in the index of open records.
    StandsInTheIndex,
    /// Every state, branch, catcher and agreed error occurs.
    EverythingIsReached,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Evaluates,
        Self::Understood,
        Self::Treatment,
        Self::EndsWhereMeant,
        Self::PaysOrGoesBack,
        Self::MovesOnlyItsMoney,
        Self::SettledAtTheEnd,
        Self::ClosesWhatIsSettled,
        Self::TellsTheTruth,
        Self::ShopIsTold,
        Self::SavesByPolicy,
        Self::ComesBack,
        Self::GoesOnByItself,
        Self::StandsInTheIndex,
        Self::EverythingIsReached,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluates => "an expression cannot be evaluated",
            Self::Understood => "a task is called with what it does not take",
            Self::Treatment => "an error is not treated as agreed",
            Self::EndsWhereMeant => "a path does not end, or not where one may end",
            Self::PaysOrGoesBack => "a path pays and reverses",
            Self::MovesOnlyItsMoney => "money is moved that must not be",
            Self::SettledAtTheEnd => {
                "a path succeeds, and the money has neither paid nor gone back"
            }
            Self::ClosesWhatIsSettled => {
                "CloseRecord closes what must stay open, or not what may be closed"
            }
            Self::TellsTheTruth => "what is recorded or put out is not what is so",
            Self::ShopIsTold => "the shop is not told, or something that is not so",
            Self::SavesByPolicy => "a card is saved against the policy, or not saved with it",
            Self::ComesBack => "the bank is awaited, and nobody comes back at once",
            Self::GoesOnByItself => {
                "a path fails for an outage, and nobody starts it again; or a definite error is taken for an outage"
            }
            Self::StandsInTheIndex => "what stands failed cannot be found",
            Self::EverythingIsReached => "a part of the definition is never reached",
        })
    }
}

/// A broken property, and the particulars.
pub(crate) type Broken = (Property, String);

/// The property is broken.
pub(crate) fn broken<T>(property: Property, particulars: impl Into<String>) -> Result<T, Broken> {
    Err((property, particulars.into()))
}

fn hold(holds: bool, property: Property, particulars: impl Into<String>) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        broken(property, particulars)
    }
}

/// An execution, as the properties look at it.
pub(crate) struct Scene<'a> {
    pub(crate) policy: Policy,
    pub(crate) variables: &'a Map<String, Value>,
    /// The states that it has left with their answer, and those that it has left by a catcher as `X caught`.
    pub(crate) course: &'a BTreeSet<String>,
    pub(crate) world: &'a World,
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

    /// Whether the deployment's policy has the card saved.
    fn saves_card(&self) -> bool {
        let (held, refused) = (
            self.world.bank == Bank::Held,
            self.world.bank == Bank::Refused,
        );
        let paid = held && !self.world.reversed;
        match self.policy {
            _ if self.is_verification() => held || self.world.bank == Bank::Back,
            Policy::EveryOrder => paid || refused,
            Policy::PaidOnly => paid,
            Policy::Consented => paid && self.payment()["saveCard"] == true,
        }
    }
}

/// What must hold when an execution comes to a state.
pub(crate) fn entering(state: &str, scene: &Scene<'_>) -> Result<(), Broken> {
    let world = scene.world;
    hold(
        !(world.paid && world.reversed),
        Property::PaysOrGoesBack,
        "the order is paid, and the charge was reversed",
    )?;
    let held = world.bank == Bank::Held;
    // A verification's baht may have gone back before, here or by hand: its card is saved all the same.
    let verified = scene.is_verification() && (held || world.bank == Bank::Back);
    let moves = |allowed: bool| {
        let bank = world.bank;
        let problem = format!(
            "it comes to {state} with a charge that is {bank:?}, for {}",
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
                "PayOrder has not refused, and it comes to ReverseCharge",
            )
        }
        "EnsureKBankUser" => hold(
            scene.saves_card(),
            Property::SavesByPolicy,
            format!(
                "under {}, the card of a charge that is {:?} is saved",
                scene.policy, world.bank
            ),
        ),
        _ => Ok(()),
    }
}

/// The errors that say that nothing is left to do for this execution.
const OVER: [(&str, &str); 3] = [
    ("LookupRecord", "RecordClosed"),
    ("LookupRecord", "HandledElsewhere"),
    ("RecordOutcome", "HandledElsewhere"),
];
/// The error that says that another attempt is counted.
const COUNTED: [(&str, &str); 1] = [("AwaitBank", "DynamoDB.ConditionalCheckFailedException")];

/// What must hold when a state leads to an end without work, by its answer or by an error.
pub(crate) fn going_to(next: &str, state: &str, error: Option<&str>) -> Result<(), Broken> {
    let ends: &[_] = match next {
        "AlreadyProcessed" => &OVER,
        "HandedOver" => &COUNTED,
        _ => return Ok(()),
    };
    hold(
        error.is_some_and(|error| ends.contains(&(state, error))),
        Property::EndsWhereMeant,
        format!("{state} leads to {next}, and nobody else has the payment"),
    )
}

/// How much later than now an open record of which an execution runs may be due, in seconds.
const DUE_WITHIN: i64 = 5 * 60;

/// What must hold where an execution fails in place. A payment of which there is no record yet is found by nobody, and was not
/// asked for by this system.
pub(crate) fn failing(state: &str, callee: &str, error: &str, world: &World) -> Result<(), Broken> {
    let person = needs_person(error);
    hold(
        person == is_definite(callee, error),
        Property::GoesOnByItself,
        format!("{state}: {error} is for a person: {person}"),
    )?;
    // The record was closed by the very update whose answer is lost.
    let done = state == "CloseRecord" && world.has("closedAt");
    if done || !world.has("tokenId") {
        return Ok(());
    }
    hold(
        world.is_listed(),
        Property::StandsInTheIndex,
        format!("{state} fails with {error}, and its record is not in the index"),
    )?;
    let due = world.number("lookAgainAt");
    hold(
        person || due.is_some_and(|due| due <= NOW + DUE_WITHIN),
        Property::GoesOnByItself,
        format!("{state} fails with {error}, and its record is due at {due:?}"),
    )
}

/// What must hold of a decision that is acted on: it says when the bank was asked.
pub(crate) fn dated(asked: Asked) -> Result<(), Broken> {
    hold(
        asked.asked_at == Some(NOW),
        Property::Understood,
        format!("a decision is acted on, and it is of {:?}", asked.asked_at),
    )
}

/// What must hold of a decision that is to be recorded.
pub(crate) fn recording(decision: Bank, world: &World) -> Result<(), Broken> {
    let bank = world.bank;
    hold(
        decision == bank,
        Property::TellsTheTruth,
        format!("{decision:?} is recorded of a charge that is {bank:?}"),
    )
}

/// What must hold of an event for the shop.
pub(crate) fn telling(
    input: &notify::Input,
    purpose: Purpose,
    world: &World,
) -> Result<(), Broken> {
    let order = purpose == Purpose::Order;
    // A verification's baht goes back first.
    let verified = !order && world.reversed;
    let so = match input.event {
        Event::PaymentSucceeded => order && world.paid,
        Event::PaymentFailed => order && world.bank == Bank::Refused,
        Event::PaymentReversed => order && (world.reversed || world.bank == Bank::Back),
        Event::CardSaved => verified && world.card == Card::Saved,
        Event::CardFailed if order => world.card == Card::Failed,
        Event::CardFailed => (verified && world.card != Card::Saved) || world.bank == Bank::Refused,
    };
    let event = input.event.as_str();
    hold(
        so,
        Property::ShopIsTold,
        format!("the shop is told `{event}`, and {world:?}"),
    )?;
    // It is what the failed cards are counted by.
    let counted = (input.card == notify::Card::Failed) == (world.card == Card::Failed);
    hold(
        counted,
        Property::TellsTheTruth,
        format!("the card is {:?}, and {world:?}", input.card),
    )
}

/// CloseRecord's condition, tried on every record that there may be: it is to hold exactly where the order is paid, the money went
/// back, or the bank declined and has signed nothing else; and only for the attempt that this execution is.
pub(crate) fn closing(update: &Update, world: &World) -> Result<(), Broken> {
    let attempt = world.number("attempt").unwrap_or(0);
    for outcome in ["pending", "paid", "declined", "returned"] {
        for resolution in [None, Some("orderPaid"), Some("reversing"), Some("reversed")] {
            for signed in [false, true] {
                for later in [0, 1] {
                    let mut record: Item = world.record.clone();
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
                        closed.is_some() == (settled && later == 0),
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

/// The members of an end's output that the properties read.
pub(crate) const READ_OF_OUTPUTS: [&str; 6] = [
    "result",
    "orderId",
    "notified",
    "card",
    "attempt",
    "waitingFor",
];

/// What must hold when an execution has succeeded in a state, with what it puts out.
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
    let world = scene.world;
    hold(
        !world.owes(),
        Property::SettledAtTheEnd,
        "the record is closed, and the bank holds the money",
    )?;
    let record_is_closed = ["openShard", "lookAgainAt", "token"]
        .iter()
        .all(|name| !world.has(name));
    hold(
        record_is_closed,
        Property::ClosesWhatIsSettled,
        "the record is open, or keeps its token",
    )?;
    let result = match world.bank {
        Bank::Held | Bank::Back if world.reversed && scene.is_verification() => "verified",
        Bank::Held if world.reversed => "reversed",
        Bank::Held => "paid",
        Bank::Refused => "declined",
        Bank::Back => "returned",
        Bank::Undecided => "",
    };
    let same = output["result"] == result
        && output["orderId"] == scene.payment()["orderId"]
        && output["notified"] == world.told
        && output["card"] == world.card.word()
        && world.text("closedAs") == Some(result);
    hold(
        same,
        Property::TellsTheTruth,
        format!("the output is {output}, and {world:?}"),
    )?;
    let of_the_payment: &[_] = if scene.is_verification() {
        &["NotifyFailure", "NotifyCard"]
    } else {
        &["NotifySuccess", "NotifyFailure", "NotifyReversal"]
    };
    let mut refused = of_the_payment.iter();
    let refused = refused.any(|state| scene.has(&format!("{state} caught")));
    hold(
        world.told || refused,
        Property::ShopIsTold,
        "the shop is not told",
    )?;
    hold(
        world.card != Card::Failed || scene.left("NotifyCard"),
        Property::ShopIsTold,
        "the shop is not told that a card could not be saved",
    )?;
    let asked = scene.left("EnsureKBankUser");
    let declined = world.bank == Bank::Refused;
    let kept = !scene.saves_card() || declined || world.card != Card::NotSaved;
    hold(
        asked == scene.saves_card() && kept,
        Property::SavesByPolicy,
        format!(
            "under {}, the bank is asked: {asked}, the card is {:?}",
            scene.policy, world.card
        ),
    )
}

/// Another attempt has the payment, or nothing is left to do for it.
fn handed_over(output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let (world, payment) = (scene.world, scene.payment());
    let later = world.number("attempt") > payment["attempt"].as_i64();
    hold(
        (later && world.is_listed()) || !world.has("openShard"),
        Property::ComesBack,
        format!("the payment is handed over to nobody: {world:?}"),
    )?;
    hold(
        output["result"] == "handedOver",
        Property::TellsTheTruth,
        format!("the output is {output}"),
    )
}

fn awaiting(output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let (world, payment) = (scene.world, scene.payment());
    let waiting_for = output["waitingFor"].as_str();
    hold(
        world.bank == Bank::Undecided || waiting_for == Some("StaleDecision"),
        Property::SettledAtTheEnd,
        "the bank is awaited, and has decided",
    )?;
    let next = world.number("lookAgainAt");
    hold(
        world.is_listed() && next == Some(NOW),
        Property::ComesBack,
        format!("the next look is at {next:?} instead of {NOW}"),
    )?;
    let attempt = payment["attempt"].as_i64().unwrap_or(0) + 1;
    let same = output["result"] == "awaitingBank"
        && output["attempt"] == attempt
        && world.number("attempt") == Some(attempt)
        && matches!(
            waiting_for,
            Some("ChargePending" | "ChargeUnknown" | "BankUnavailable" | "StaleDecision")
        );
    hold(
        same,
        Property::TellsTheTruth,
        format!("the output is {output}, and {world:?}"),
    )
}
