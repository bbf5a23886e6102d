//! What must hold, whatever the tasks answer: at every step, and at every end.

use std::collections::BTreeSet;
use std::fmt;

use payment3_activities::activity::notify::Event;
use payment3_activities::domain::payment::Purpose;
use serde_json::{Map, Value};

use crate::definition::Policy;
use crate::dynamodb::Update;
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
    /// Where the bank is awaited, the payment is looked at again, when agreed.
    ComesBack,
    /// Every state, branch, catcher and agreed error occurs.
    EverythingIsReached,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 13] = [
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
            Self::ComesBack => "the bank is awaited, and nobody comes back when agreed",
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
            _ if self.is_verification() => held,
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
        "AddCard" => moves(held),
        "ReverseVerification" => moves(held && scene.is_verification()),
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
const OVER: [(&str, &str); 4] = [
    ("LookupRecord", "RecordClosed"),
    ("LookupRecord", "HandledElsewhere"),
    ("RecordOutcome", "HandledElsewhere"),
    ("WokenMeanwhile", "DynamoDB.ConditionalCheckFailedException"),
];

/// What must hold when a state leads to `AlreadyProcessed`, by its answer or by an error.
pub(crate) fn going_to(next: &str, state: &str, error: Option<&str>) -> Result<(), Broken> {
    let over = error.is_some_and(|error| OVER.contains(&(state, error)));
    hold(
        next != "AlreadyProcessed" || over,
        Property::EndsWhereMeant,
        format!("{state} leads to AlreadyProcessed, and nobody else has the payment"),
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
pub(crate) fn telling(event: Event, purpose: Purpose, world: &World) -> Result<(), Broken> {
    let order = purpose == Purpose::Order;
    let so = match event {
        Event::PaymentSucceeded => order && world.paid,
        Event::PaymentFailed => order && world.bank == Bank::Refused,
        Event::PaymentReversed => order && (world.reversed || world.bank == Bank::Back),
        Event::CardSaved => !order && world.card == Card::Saved,
        Event::CardFailed => !order && world.card != Card::Saved,
    };
    let event = event.as_str();
    hold(
        so,
        Property::ShopIsTold,
        format!("the shop is told `{event}`, and {world:?}"),
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

/// What must hold when an execution has succeeded in a state, with what it puts out.
pub(crate) fn success(state: &str, output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    match state {
        "AlreadyProcessed" => hold(
            output["result"] == "alreadyProcessed",
            Property::TellsTheTruth,
            format!("the output is {output}"),
        ),
        "AwaitBank" | "WokenMeanwhile" => awaiting(state, output, scene),
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
        Bank::Held if world.reversed && !scene.is_verification() => "reversed",
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
    let refused = [
        "NotifySuccess",
        "NotifyFailure",
        "NotifyReversal",
        "NotifyCard",
    ]
    .iter()
    .any(|state| scene.has(&format!("{state} caught")));
    // Money of a verification that went back before: there is nothing to tell of the card.
    let nothing_to_tell = world.bank == Bank::Back && scene.is_verification();
    hold(
        world.told || refused || nothing_to_tell,
        Property::ShopIsTold,
        "the shop is not told",
    )?;
    let asked = scene.left("EnsureKBankUser");
    let kept = !scene.saves_card() || world.bank != Bank::Held || world.card != Card::NotSaved;
    hold(
        asked == scene.saves_card() && kept,
        Property::SavesByPolicy,
        format!(
            "under {}, the bank is asked: {asked}, the card is {:?}",
            scene.policy, world.card
        ),
    )
}

/// How long a payment waits for its next look, in seconds: (younger than, pause).
const PAUSES: [(i64, i64); 6] = [
    (300, 60),
    (900, 300),
    (3600, 900),
    (21_600, 3600),
    (86_400, 21_600),
    (i64::MAX, 86_400),
];

fn awaiting(state: &str, output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
    let (world, payment) = (scene.world, scene.payment());
    hold(
        world.bank == Bank::Undecided,
        Property::SettledAtTheEnd,
        "the bank is awaited, and has decided",
    )?;
    let number = |name: &str| payment[name].as_i64().unwrap_or(0);
    let age = NOW - number("openSince");
    let pause = PAUSES.iter().find(|(younger, _)| age < *younger);
    let agreed = NOW + pause.map_or(0, |(_, pause)| *pause);
    let before = number("lookAgainAt");
    let expected = match state {
        // It keeps what a callback has written.
        "WokenMeanwhile" => NOW,
        _ if before > NOW && before < agreed => before,
        _ => agreed,
    };
    let next = world.number("lookAgainAt");
    hold(
        world.has("openShard") && next == Some(expected),
        Property::ComesBack,
        format!("after {age} s, the next look is at {next:?} instead of {expected}"),
    )?;
    let attempt = number("attempt") + 1;
    let waiting_for = output["waitingFor"].as_str();
    let unknown_since = match waiting_for {
        Some("ChargeUnknown") => payment["unknownSince"].as_i64().unwrap_or(NOW),
        _ => 0,
    };
    let recorded = world.number("unknownSince");
    hold(
        recorded == Some(unknown_since),
        Property::TellsTheTruth,
        format!(
            "it says since when the bank has not known the charge: {recorded:?} instead of {unknown_since}"
        ),
    )?;
    let same = output["result"] == "awaitingBank"
        && output["attempt"] == attempt
        && world.number("attempt") == Some(attempt)
        && matches!(
            waiting_for,
            Some("ChargePending" | "ChargeUnknown" | "BankUnavailable")
        );
    hold(
        same,
        Property::TellsTheTruth,
        format!("the output is {output}, and {world:?}"),
    )
}
