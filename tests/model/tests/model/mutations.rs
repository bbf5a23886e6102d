//! Deliberately broken definitions, and the property that each of them breaks.

use Policy::{Consented, EveryOrder, PaidOnly};
use payment3_model::{Definition, Explorer, Policy, Property};
use serde_json::{Value, json};

/// The name of a mutation, the property that it breaks, under which policy, and the change to the states.
pub(crate) type Mutation = (&'static str, Property, Policy, fn(&mut Value));

/// The condition of the update that closes a record.
const CLOSE_IF: &str = "/CloseRecord/Arguments/ConditionExpression";
/// The time of the next check.
const NOW: &str = "/AwaitBank/Arguments/ExpressionAttributeValues/:now/N";

/// Of the payment machine.
pub(crate) const PAYMENT: [Mutation; 54] = [
    // Errors.
    (
        "a catcher is dropped",
        Property::Treatment,
        EveryOrder,
        |s| {
            remove(s, "/PayOrder", "Catch");
        },
    ),
    (
        "a definite error is retried",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Retry/0/MaxAttempts", 3.into());
        },
    ),
    (
        "an outage is not retried",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(s, "/ReverseCharge/Retry/2/MaxAttempts", 0.into());
        },
    ),
    (
        "an outage is ignored once the order is paid",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(
                s,
                "/NotifySuccess/Catch/0/ErrorEquals",
                json!(["States.ALL"]),
            );
        },
    ),
    (
        "CloseRecord's refusal is ignored",
        Property::EndsWhereMeant,
        EveryOrder,
        |s| {
            let all =
                json!([{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": "AlreadyProcessed"}]);
            s["CloseRecord"]["Catch"] = all;
        },
    ),
    (
        "an outage of the bank is treated as success",
        Property::EndsWhereMeant,
        EveryOrder,
        |s| {
            set(s, "/InquireCharge/Catch/0/Next", "AlreadyProcessed".into());
        },
    ),
    (
        "a path has a loop",
        Property::EndsWhereMeant,
        EveryOrder,
        |s| {
            remove(s, "/CloseRecord", "End");
            s["CloseRecord"]["Next"] = "Outcome".into();
        },
    ),
    (
        "a path ends too early",
        Property::EndsWhereMeant,
        EveryOrder,
        |s| {
            remove(s, "/NotifyFailure", "Next");
            s["NotifyFailure"]["End"] = true.into();
        },
    ),
    // Money.
    (
        "the reversal is skipped",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Catch/0/Next", "NotifyReversal".into());
        },
    ),
    (
        "the reversal is skipped, and the record closed",
        Property::SettledAtTheEnd,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Catch/0/Next", "CloseRecord".into());
            close_anything(s);
        },
    ),
    (
        "a record is closed that is not settled",
        Property::SettledAtTheEnd,
        EveryOrder,
        |s| {
            set(s, "/Outcome/Choices/0/Next", "CloseRecord".into());
            close_anything(s);
        },
    ),
    (
        "the payment waits for the bank after the bank has decided",
        Property::SettledAtTheEnd,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Catch/0/Next", "AwaitBank".into());
            s["PayOrder"]["Catch"][0]["Assign"] = json!({"waitingFor": "ChargePending"});
        },
    ),
    (
        "the order is paid and reversed",
        Property::PaysOrGoesBack,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Next", "ReverseCharge".into());
        },
    ),
    (
        "the record loses that the order is paid, and the charge is reversed",
        Property::PaysOrGoesBack,
        EveryOrder,
        |s| {
            s["Forget"] = forgets(s, "resolution", "ReverseVerification");
            set(s, "/PayOrder/Next", "Forget".into());
        },
    ),
    (
        "the charge of a paid order is reversed like a verification",
        Property::MovesOnlyItsMoney,
        EveryOrder,
        |s| {
            set(s, "/CardHandled/Choices/0/Condition", true.into());
        },
    ),
    (
        "the shop is notified of the verified card before the baht is given back",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(s, "/CardHandled/Choices/0/Next", "NotifyCard".into());
            set(s, "/NotifyCard/Next", "ReverseVerification".into());
            set(s, "/ReverseVerification/Next", "CloseRecord".into());
        },
    ),
    (
        "a declined charge is reversed",
        Property::MovesOnlyItsMoney,
        EveryOrder,
        |s| {
            set(s, "/Outcome/Choices/1/Next", "ReverseCharge".into());
        },
    ),
    (
        "paid and declined are swapped",
        Property::MovesOnlyItsMoney,
        EveryOrder,
        |s| {
            replace(s, "/Outcome/Choices/0/Condition", "'paid'", "'declined'");
            replace(s, "/Outcome/Choices/1/Condition", "'declined'", "'paid'");
        },
    ),
    (
        "a declined card is added to its owner's customer",
        Property::MovesOnlyItsMoney,
        EveryOrder,
        |s| {
            replace(
                s,
                "/UserExisted/Choices/0/Condition",
                " and $outcome != 'declined'",
                "",
            );
        },
    ),
    (
        "a verification pays an order",
        Property::MovesOnlyItsMoney,
        EveryOrder,
        |s| {
            replace(
                s,
                "/Outcome/Choices/0/Condition",
                " and $payment.purpose = 'order'",
                "",
            );
        },
    ),
    (
        "a verification's money is kept",
        Property::SettledAtTheEnd,
        EveryOrder,
        |s| {
            set(s, "/CardHandled/Choices/0/Next", "CloseRecord".into());
            close_anything(s);
        },
    ),
    // The card.
    (
        "declined cards are saved where only paid ones may be",
        Property::SavesByPolicy,
        PaidOnly,
        |s| {
            replace(
                s,
                "/SaveCardPolicy/Choices/0/Condition",
                "$outcome = 'paid' and",
                "true and",
            );
        },
    ),
    (
        "the shopper's consent is ignored",
        Property::SavesByPolicy,
        Consented,
        |s| {
            replace(
                s,
                "/SaveCardPolicy/Choices/0/Condition",
                "and $payment.saveCard",
                "",
            );
        },
    ),
    (
        "no card is saved",
        Property::SavesByPolicy,
        EveryOrder,
        |s| {
            set(s, "/SaveCardPolicy/Choices/0/Condition", false.into());
        },
    ),
    (
        "the card of a customer who exists is not added",
        Property::SavesByPolicy,
        EveryOrder,
        |s| {
            set(s, "/UserExisted/Choices/0/Condition", false.into());
        },
    ),
    // Variables, outputs and conditions.
    (
        "the time of the decision is lost",
        Property::Evaluates,
        EveryOrder,
        |s| {
            remove(s, "/RecordOutcome/Assign", "decidedAt");
        },
    ),
    (
        "the reason for waiting is lost",
        Property::Evaluates,
        EveryOrder,
        |s| {
            remove(s, "/InquireCharge/Catch/0", "Assign");
        },
    ),
    (
        "a condition is neither true nor false",
        Property::Evaluates,
        EveryOrder,
        |s| {
            replace(
                s,
                "/UserExisted/Choices/0/Condition",
                "and $outcome != 'declined'",
                "? 'yes' : 'no'",
            );
        },
    ),
    (
        "a state's output lacks a field that the next state reads",
        Property::Evaluates,
        EveryOrder,
        |s| {
            set(
                s,
                "/InquireCharge/Output",
                json!({"outcome": "{% $states.result.Payload.outcome %}"}),
            );
        },
    ),
    (
        "a decision is recorded that the bank did not make",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            set(s, "/RecordOutcome/Arguments/Payload/outcome", "paid".into());
        },
    ),
    (
        "the result of a reversal is lost",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/ReverseCharge", "Assign");
        },
    ),
    (
        "the confirmation of the shop is lost",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/NotifySuccess", "Assign");
        },
    ),
    (
        "the refusal of the card is lost",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/AddCard/Catch/0", "Assign");
        },
    ),
    (
        "the failure to save the card is lost",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/AddCard/Catch/1", "Assign");
        },
    ),
    (
        "a verification whose baht was given back ends as paid",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/ReverseVerification", "Assign");
        },
    ),
    (
        "a failed card is not counted",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            remove(s, "/NotifyCard/Arguments/Payload", "card");
        },
    ),
    (
        "the event about a card is treated as the event about the payment",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            set(s, "/NotifyCard/Assign/notified", true.into());
        },
    ),
    (
        "an attempt that was handed over says that it was already processed",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            let result = "/AwaitBank/Catch/0/Output/result";
            set(s, result, "alreadyProcessed".into());
        },
    ),
    // Inputs of tasks.
    (
        "an input lacks a field",
        Property::Understood,
        EveryOrder,
        |s| {
            remove(s, "/RecordOutcome/Arguments/Payload", "transactionState");
        },
    ),
    (
        "a function gets no trace",
        Property::Understood,
        EveryOrder,
        |s| {
            remove(s, "/PayOrder/Arguments/Payload", "trace");
        },
    ),
    (
        "the execution that claims a customer is missing",
        Property::Understood,
        EveryOrder,
        |s| {
            remove(s, "/EnsureKBankUser/Arguments/Payload", "execution");
        },
    ),
    (
        "PayOrder does not get the time when the bank was asked",
        Property::Understood,
        EveryOrder,
        |s| {
            remove(s, "/PayOrder/Arguments/Payload", "askedAt");
        },
    ),
    (
        "an event is unknown",
        Property::Understood,
        EveryOrder,
        |s| {
            set(
                s,
                "/NotifySuccess/Arguments/Payload/event",
                "payment.paid".into(),
            );
        },
    ),
    (
        "a number in an update is not a text",
        Property::Understood,
        EveryOrder,
        |s| {
            let next = "/AwaitBank/Arguments/ExpressionAttributeValues/:next/N";
            replace(
                s,
                next,
                "$string($payment.attempt + 1)",
                "$payment.attempt + 1",
            );
        },
    ),
    // The shop, waiting and closing.
    (
        "the shop is not notified of a paid order",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(s, "/PayOrder/Next", "SaveCardPolicy".into());
        },
    ),
    (
        "the shop is not notified of a card that could not be saved",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(s, "/CardHandled/Choices/1/Condition", false.into());
        },
    ),
    (
        "the shop is notified that a declined order is paid",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(
                s,
                "/NotifyFailure/Arguments/Payload/event",
                "payment.succeeded".into(),
            );
        },
    ),
    (
        "the next check is in an hour",
        Property::ComesBack,
        EveryOrder,
        |s| {
            replace(s, NOW, "$millis() / 1000", "$millis() / 1000 + 3600");
        },
    ),
    (
        "an attempt is handed over, but no other one was counted",
        Property::ComesBack,
        EveryOrder,
        |s| {
            let never =
                "#attempt = :this AND attribute_exists(openShard) AND attribute_exists(never)";
            set(s, "/AwaitBank/Arguments/ConditionExpression", never.into());
        },
    ),
    (
        "a payment is due only an hour after an outage",
        Property::GoesOnByItself,
        EveryOrder,
        |s| {
            // AwaitBank's answer is lost, and so are the answers to its retries.
            replace(s, NOW, "$millis() / 1000", "$millis() / 1000 + 3600");
        },
    ),
    (
        "a payment leaves the index before it is settled",
        Property::StandsInTheIndex,
        EveryOrder,
        |s| {
            let next = s["RecordOutcome"]["Next"].clone();
            s["Forget"] = forgets(s, "openShard, lookAgainAt", next.as_str().expect("a state"));
            set(s, "/RecordOutcome/Next", "Forget".into());
        },
    ),
    (
        "a declined payment is closed although the bank has signed an approval",
        Property::ClosesWhatIsSettled,
        EveryOrder,
        |s| {
            replace(s, CLOSE_IF, " AND attribute_not_exists(paidNotifiedAt)", "");
        },
    ),
    (
        "an execution that saw a decline closes what another has given back",
        Property::ClosesWhatIsSettled,
        EveryOrder,
        |s| {
            let later = "/CloseRecord/Arguments/ExpressionAttributeValues/:later/S";
            set(s, later, "returned".into());
        },
    ),
    (
        "a closed record keeps its token",
        Property::ClosesWhatIsSettled,
        EveryOrder,
        |s| {
            replace(s, "/CloseRecord/Arguments/UpdateExpression", ", #token", "");
            remove(
                s,
                "/CloseRecord/Arguments/ExpressionAttributeNames",
                "#token",
            );
        },
    ),
];

/// Of the refund machine.
pub(crate) const REFUND: [Mutation; 24] = [
    // Errors.
    (
        "a refusal is treated as a lost answer",
        Property::Treatment,
        EveryOrder,
        |s| {
            remove_first(s, "/RefundCharge/Catch");
        },
    ),
    (
        "a request for money is repeated",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(s, "/RefundCharge/Retry/2/MaxAttempts", 3.into());
        },
    ),
    ("a void is repeated", Property::Treatment, EveryOrder, |s| {
        remove_first(s, "/VoidCharge/Retry");
        set(s, "/VoidCharge/Retry/1/MaxAttempts", 1.into());
    }),
    (
        "a lost answer is taken for a refusal",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(s, "/VoidCharge/Catch/3/Next", "TakeBack".into());
        },
    ),
    (
        "TakeBack is skipped",
        Property::Treatment,
        EveryOrder,
        |s| {
            set(s, "/RefundCharge/Catch/0/Next", "AwaitRetry".into());
        },
    ),
    (
        "the first state fails in place when the table is away",
        Property::NothingIsKept,
        EveryOrder,
        |s| {
            remove_first(s, "/CheckRefund/Catch");
        },
    ),
    (
        "nobody is told of a refund that stands",
        Property::NothingIsKept,
        EveryOrder,
        |s| {
            set(s, "/RefundWay/Default", "RefundStuck".into());
        },
    ),
    (
        "a refund fails before anybody has looked for it",
        Property::NothingIsKept,
        EveryOrder,
        |s| {
            set(s, "/RefundFound/Default", "RefundUncertain".into());
        },
    ),
    // Loops.
    (
        "the bank is asked again without a wait",
        Property::EndsWhereMeant,
        EveryOrder,
        |s| {
            set(s, "/TakeBack/Next", "InquireCharge".into());
        },
    ),
    (
        "the pause is no number",
        Property::Evaluates,
        EveryOrder,
        |s| {
            set(s, "/AwaitRetry/Seconds", "{% 'PT' & $pause & 'S' %}".into());
        },
    ),
    // Requests.
    (
        "a request whose answer is lost is followed by another one",
        Property::AsksOnce,
        EveryOrder,
        |s| {
            set(s, "/AwaitAnswer/Next", "RefundCharge".into());
        },
    ),
    (
        "a refusal is followed by a request without an inquiry",
        Property::AsksOnce,
        EveryOrder,
        |s| {
            set(s, "/AwaitRetry/Next", "RefundCharge".into());
        },
    ),
    (
        "the bank's word is taken while a request may be on its way",
        Property::AsksOnce,
        EveryOrder,
        |s| {
            set(s, "/FindRefund/Arguments/Payload/answersWithin", 0.into());
        },
    ),
    (
        "TakeBack takes back whatever is asked for",
        Property::AsksOnce,
        EveryOrder,
        |s| {
            let condition = "/TakeBack/Arguments/ConditionExpression";
            replace(s, condition, " AND refunds.#id.mark = :mark", "");
            let values = "/TakeBack/Arguments/ExpressionAttributeValues";
            remove(s, values, ":mark");
        },
    ),
    // Amounts.
    (
        "a part is voided",
        Property::GivesBackWhatWasPaid,
        EveryOrder,
        |s| {
            let choices = s["RefundWay"]["Choices"].as_array_mut();
            let voids = choices.and_then(|choices| {
                let mut choices = choices.iter_mut();
                choices.find(|rule| rule["Comment"] == "whole, Authorized")
            });
            let voids = voids.expect("a branch for voids");
            replace(voids, "/Condition", "$refund.whole and ", "");
        },
    ),
    (
        "a refund is given up that the bank was asked for",
        Property::GivesBackWhatWasPaid,
        EveryOrder,
        |s| {
            let condition = "/ReleaseRefund/Arguments/ConditionExpression";
            set(s, condition, "attribute_exists(refunds.#id)".into());
            let values = "/ReleaseRefund/Arguments/ExpressionAttributeValues";
            remove(s, values, ":reserved");
        },
    ),
    (
        "a refund that is given up keeps its amount",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            let released = "/ReleaseRefund/Arguments/ExpressionAttributeValues/:released/N";
            set(s, released, "0".into());
        },
    ),
    (
        "a refund that is given up is released twice over",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            let released = "/ReleaseRefund/Arguments/ExpressionAttributeValues/:released/N";
            replace(
                s,
                released,
                "-$refund.amountSatang",
                "-2 * $refund.amountSatang",
            );
        },
    ),
    (
        "a refund that was sent is said to have failed",
        Property::TellsTheTruth,
        EveryOrder,
        |s| {
            set(s, "/NotifyRefund/Output/result", "failed".into());
        },
    ),
    // The shop.
    (
        "the shop is not notified of a refund",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            s["RecordRefund"]["Output"] = json!({"result": "refunded", "notified": true});
            set(s, "/RecordRefund/Next", "RefundDone".into());
        },
    ),
    (
        "the shop is notified before the refund is recorded",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            s["VoidCharge"]["Assign"]["recordedAt"] = "2100-01-01T00:00:00.000Z".into();
            set(s, "/VoidCharge/Next", "NotifyRefund".into());
        },
    ),
    (
        "the shop is notified that a refund has failed which went back",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            set(
                s,
                "/NotifyRefund/Arguments/Payload/event",
                "refund.failed".into(),
            );
        },
    ),
    (
        "the shop is not told which refund",
        Property::ShopIsNotified,
        EveryOrder,
        |s| {
            remove(s, "/NotifyRefundFailed/Arguments/Payload", "refund");
        },
    ),
    // Inputs of tasks.
    (
        "FindRefund does not get the time of the inquiry",
        Property::Understood,
        EveryOrder,
        |s| {
            remove(s, "/FindRefund/Arguments/Payload", "inquiredAt");
        },
    ),
];

fn remove_first(states: &mut Value, pointer: &str) {
    let list = states.pointer_mut(pointer).and_then(Value::as_array_mut);
    let list = list.unwrap_or_else(|| panic!("the definition has no list {pointer}"));
    list.remove(0);
}

/// An additional state that removes attributes from the record.
fn forgets(states: &Value, attributes: &str, next: &str) -> Value {
    let mut forgets = states["AwaitBank"].clone();
    forgets["Arguments"]["UpdateExpression"] =
        format!("SET #attempt = :next REMOVE {attributes}").into();
    let values = "/Arguments/ExpressionAttributeValues";
    remove(&mut forgets, values, ":now");
    forgets["Output"] = json!({});
    remove(&mut forgets, "", "End");
    forgets["Next"] = next.into();
    forgets
}

/// Makes CloseRecord close every record of its attempt.
fn close_anything(states: &mut Value) {
    set(states, CLOSE_IF, "#attempt = :attempt".into());
    for unused in [
        ":stored",
        ":later",
        ":orderPaid",
        ":reversed",
        ":declined",
        ":returned",
    ] {
        let values = "/CloseRecord/Arguments/ExpressionAttributeValues";
        remove(states, values, unused);
    }
}

fn set(states: &mut Value, pointer: &str, value: Value) {
    let found = states.pointer_mut(pointer);
    *found.unwrap_or_else(|| panic!("the definition has no {pointer}")) = value;
}

fn remove(states: &mut Value, pointer: &str, name: &str) {
    let object = states.pointer_mut(pointer).and_then(Value::as_object_mut);
    let removed = object.and_then(|object| object.remove(name));
    assert!(removed.is_some(), "the definition has no {pointer}/{name}");
}

fn replace(states: &mut Value, pointer: &str, from: &str, to: &str) {
    let text = states.pointer(pointer).and_then(Value::as_str);
    let text = text.unwrap_or_else(|| panic!("the definition has no text {pointer}"));
    assert!(text.contains(from), "{pointer} has no `{from}`");
    set(states, pointer, text.replace(from, to).into());
}

/// The properties that the mutations of both machines break.
pub(crate) fn properties() -> impl Iterator<Item = Property> {
    let all = PAYMENT.iter().chain(&REFUND);
    all.map(|(_, property, ..)| *property)
}

/// Prints which property each mutation breaks, and returns the mutations that break nothing.
pub(crate) fn unnoticed(
    explorer: &mut Explorer,
    definition: &Value,
    mutations: &[Mutation],
) -> Vec<String> {
    let mut unnoticed = Vec::new();
    println!("\nDeliberately broken definitions:");
    for (name, property, policy, breaks) in mutations {
        let mut broken = definition.clone();
        breaks(&mut broken["States"]);
        let broken = Definition::read(&broken.to_string(), *policy).expect(name);
        let report = explorer.explore(&broken, Some(*property)).expect(name);
        let mut found = report.violations.iter();
        match found.find(|violation| violation.property == *property) {
            Some(found) => println!("  {name}: {property}, after {} steps", found.path.len()),
            None => unnoticed.push(format!("{name}: not found that {property}")),
        }
    }
    println!();
    unnoticed
}
