//! What the definition's tasks may answer, and how each answer changes the state of the system.
//!
//! Inputs and answers use the activities' own types. Whether the record allows an update is decided by the
//! activities' own conditions, if the activity makes the update in a transaction.

use std::collections::BTreeSet;
use std::rc::Rc;

use aws_sdk_dynamodb::config::BehaviorVersion;
use payment3_activities::activity::add_card::{self, Added};
use payment3_activities::activity::ensure_kbank_user::{self, Ensured};
use payment3_activities::activity::inquire_charge::{self, Decision};
use payment3_activities::activity::lookup_record;
use payment3_activities::activity::notify::{self, Delivered, Event};
use payment3_activities::activity::parse_callback;
use payment3_activities::activity::pay_order::{self, PaidOrder};
use payment3_activities::activity::record_outcome::{self, Recorded};
use payment3_activities::activity::reverse_charge::{self, Reversed};
use payment3_activities::clock::Clock;
use payment3_activities::domain::browser_return::ReportedStatus;
use payment3_activities::domain::charge::{Charge, Outcome, TransactionState, Verdict};
use payment3_activities::domain::checkout::VERIFICATION_AMOUNT;
use payment3_activities::domain::ids::{
    ChargeId, CustomerId, OrderId, OwnerId, RecordKey, ReferenceOrder,
};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{ADD_CARD_ORDER_ID, Origin, Payment, Purpose};
use payment3_activities::domain::refund::Way;
use payment3_activities::executions::{ExecutionInput, Source};
use payment3_activities::lambda::INVALID_INPUT;
use payment3_activities::log::Trace;
use payment3_activities::tables::Database;
use payment3_activities::tables::records::Records;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::definition::{Definition, Task};
use crate::dynamodb::Update;
use crate::properties::{self, Broken, Property, Scene, broken};
use crate::system::{Bank, Card, Item, NOW, SystemState, n, s};
use crate::treatment::{CONDITION_FAILED, RECORDS, errors};
use crate::world::{Answers, CHARGE, Call, Given, World};

/// Whether a function saves cards. Its failures do not stop a payment.
fn saves_cards(callee: &str) -> bool {
    matches!(callee, "ensure-kbank-user" | "add-card")
}

/// Answers the calls of payments' tasks.
pub(crate) struct Tasks {
    records: Records,
    /// Variables whose values decide nothing.
    carried: BTreeSet<String>,
}

impl World for Tasks {
    type System = SystemState;

    fn starts(&self) -> Vec<(Value, SystemState)> {
        let inputs = inputs().into_iter();
        inputs
            .map(|input| (input, SystemState::default()))
            .collect()
    }

    fn simplified(&self, name: &str, value: Value) -> Value {
        if self.carried.contains(name) {
            Value::Null
        } else {
            value
        }
    }

    fn tells_errors_apart(&self) -> bool {
        true
    }

    fn remembers_the_course(&self) -> bool {
        true
    }

    fn ask(&self, call: &Call<'_>, system: &SystemState) -> Result<Answers, Broken> {
        if call.callee == RECORDS {
            return update_item(call, system);
        }
        let mut payload = call.arguments["Payload"].clone();
        traced(call, &mut payload)?;
        let mut answers = match call.callee {
            "parse-callback" => parse_callback(typed(call, payload)?, system),
            "lookup-record" => lookup_record(&typed(call, payload)?),
            "inquire-charge" => inquire_charge(&typed(call, payload)?, system),
            "record-outcome" => self.record_outcome(&typed(call, payload)?, system)?,
            "pay-order" => self.pay_order(&typed(call, payload)?, system)?,
            "reverse-charge" => self.reverse_charge(&typed(call, payload)?, system)?,
            "notify" => notify(&typed(call, payload)?, system)?,
            "ensure-kbank-user" => ensure_kbank_user(call, &typed(call, payload)?, system)?,
            "add-card" => {
                typed::<add_card::Input>(call, payload)?;
                add_card(system)
            }
            other => {
                let problem =
                    format!("tests/model/src/tasks.rs does not say what `{other}` answers");
                return broken(Property::Understood, problem);
            }
        };
        for error in errors(call.callee).into_iter().flatten() {
            let given = error.definite && error.name != INVALID_INPUT;
            if given && !answers.impossible.contains(&error.name) {
                answers.fail(error.name, system.clone());
            }
        }
        Ok(answers)
    }

    /// A card that was refused, or retried for long enough, is not saved.
    fn caught(&self, task: &Task, error: &str, system: &Rc<SystemState>) -> Rc<SystemState> {
        if !saves_cards(&task.callee()) {
            return Rc::clone(system);
        }
        let card = match error {
            "CardNotSaved" => Card::Refused,
            _ => Card::Failed,
        };
        let system = SystemState::clone(system);
        Rc::new(SystemState { card, ..system })
    }

    fn entering(&self, state: &str, scene: &Scene<'_>) -> Result<(), Broken> {
        properties::entering(state, scene)
    }

    fn going_to(&self, next: &str, state: &str, error: Option<&str>) -> Result<(), Broken> {
        properties::going_to(next, state, error)
    }

    fn failing(
        &self,
        state: &str,
        callee: &str,
        error: &str,
        system: &SystemState,
    ) -> Result<(), Broken> {
        properties::failing(state, callee, error, system)
    }

    fn success(&self, state: &str, output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
        properties::success(state, output, scene)
    }

    fn failed(&self, state: &str, error: &str, _: &Scene<'_>) -> Result<(), Broken> {
        let problem = format!("it fails in {state} with {error}");
        broken(Property::EndsWhereMeant, problem)
    }
}

impl Tasks {
    pub(crate) fn new(definition: &Definition) -> Self {
        // The client is only used to build conditions. It never connects.
        let version = BehaviorVersion::latest();
        let config = aws_sdk_dynamodb::Config::builder().behavior_version(version);
        let database = Database {
            client: aws_sdk_dynamodb::Client::from_conf(config.build()),
            clock: Clock::system(),
        };
        Self {
            records: Records::new(database, RECORDS.to_owned()),
            carried: definition.carried(&properties::READ_OF_OUTPUTS),
        }
    }

    fn record_outcome(
        &self,
        input: &record_outcome::Input,
        system: &SystemState,
    ) -> Result<Answers, Broken> {
        let (payment, outcome) = (&input.payment, input.outcome);
        properties::dated(input.asked)?;
        properties::recording(bank(outcome), system)?;
        let state = TransactionState::parse(&input.transaction_state);
        let update = self
            .records
            .outcome_update(payment, outcome, &state, input.asked);
        let mut answers = Answers::default();
        if payment.origin == Origin::Own {
            answers.impossible.push("HandledElsewhere");
        }
        match applied(&update, system)? {
            Some(after) if after.has("unknownSince") => {
                return broken(
                    Property::TellsTheTruth,
                    "the bank has decided, and the record says that it does not know the charge",
                );
            }
            Some(after) => {
                answers.impossible.push("OutcomeConflict");
                answers.done(&Recorded { outcome }, after);
            }
            // As in the activity: an order that is paid stays so. What went back since is a refund's.
            None if system.text("resolution") == Some("orderPaid") => {
                let only = errors("record-outcome").into_iter().flatten();
                answers.impossible.extend(only.map(|error| error.name));
                let outcome = Outcome::Paid;
                let bank = bank(outcome);
                let paid = SystemState {
                    bank,
                    ..system.clone()
                };
                answers.done(&Recorded { outcome }, paid);
                // Nothing is written.
                answers.half_done.clear();
            }
            None => answers.impossible.push("HandledElsewhere"),
        }
        Ok(answers)
    }

    fn pay_order(&self, input: &pay_order::Input, system: &SystemState) -> Result<Answers, Broken> {
        let payment = &input.payment;
        properties::dated(input.asked)?;
        let mut answers = Answers::default();
        match applied(&self.records.order_paid_update(payment), system)? {
            Some(mut after) => {
                after.paid = true;
                answers.impossible.push("ChargeReversing");
                let paid = PaidOrder {
                    order_id: payment.order_id.to_string(),
                    paid_by: payment.charge_id.to_string(),
                };
                answers.done(&paid, after);
            }
            // The same decision as in the activity, when the record forbids paying.
            None => answers.impossible.push(match system.text("resolution") {
                Some("reversing" | "reversed") => "OutcomeConflict",
                _ => "ChargeReversing",
            }),
        }
        match payment.origin {
            Origin::Own => answers.impossible.push("RefusalNeedsPerson"),
            Origin::Old | Origin::Borrowed => answers.impossible.extend([
                "OrderNotFound",
                "OrderNotPayable",
                "OrderAlreadyPaid",
                "AmountMismatch",
            ]),
        }
        Ok(answers)
    }

    fn reverse_charge(
        &self,
        input: &reverse_charge::Input,
        system: &SystemState,
    ) -> Result<Answers, Broken> {
        let mut answers = Answers::default();
        // As in `Records::begin_reversal`: the bank has approved at some time, and the order is not paid.
        let said_yes = matches!(system.text("outcome"), Some("paid" | "returned"));
        if !said_yes || system.text("resolution") == Some("orderPaid") {
            let only = errors("reverse-charge").into_iter().flatten();
            let only = only
                .map(|error| error.name)
                .filter(|name| *name != "OutcomeConflict");
            answers.impossible.extend(only);
            return Ok(answers);
        }
        let mut begun = system.clone();
        begun.record.entry("resolution").or_insert(s("reversing"));
        // As in `Records::note_refund`: noted before the request. A void needs no note.
        let mut asked = begun.clone();
        asked
            .record
            .entry("refundAskedAt")
            .or_insert(json!({"SS": ["a moment"]}));
        let back = |system: &SystemState| SystemState {
            reversed: true,
            ..system.clone()
        };
        let payment = &input.payment;
        // A refund that this system did not request may be a partial one, made by hand.
        let unasked = begun.text("resolution") == Some("reversing") && !begun.has("refundAskedAt");
        let seen = self
            .records
            .reversed_update(payment, "refunded", None, true);
        if unasked && applied(&seen, &back(&begun))?.is_some() {
            return broken(
                Property::TellsTheTruth,
                "a refund that this system did not request is recorded as its own",
            );
        }
        answers.half_done = [&begun, &asked]
            .into_iter()
            .flat_map(|system| [system.clone().into(), back(system).into()])
            .collect();
        for (reversal, how, refund_id, before) in [
            (Way::Voided, "voided", None, &begun),
            (Way::Refunded, "refunded", Some("rfnd_test_model"), &asked),
            (Way::Refunded, "refunded", None, &asked),
        ] {
            let found = reversal == Way::Refunded && refund_id.is_none();
            let update = self.records.reversed_update(payment, how, refund_id, found);
            let Some(after) = applied(&update, &back(before))? else {
                return broken(
                    Property::PaysOrGoesBack,
                    "a reversal that was begun is not recorded",
                );
            };
            let refund_id = refund_id.map(str::to_owned);
            answers.done(
                &Reversed {
                    reversal,
                    refund_id,
                },
                after,
            );
        }
        Ok(answers)
    }
}

/// Checks the trace in a function's input and removes it. The trace must name this call.
pub(crate) fn traced(call: &Call<'_>, payload: &mut Value) -> Result<(), Broken> {
    let seen = (
        payload["trace"]["execution"].clone(),
        payload["trace"]["state"].clone(),
    );
    let read = Trace::take_from(payload).is_some();
    if read && seen == (CHARGE.into(), call.state.into()) {
        return Ok(());
    }
    broken(
        Property::Understood,
        format!("{} gets no trace of itself", call.state),
    )
}

pub(crate) fn typed<T: DeserializeOwned>(call: &Call<'_>, payload: Value) -> Result<T, Broken> {
    let read = serde_json::from_value(payload);
    read.or_else(|error| broken(Property::Understood, format!("{}: {error}", call.state)))
}

/// Attributes that say how the money was given back. No condition reads them, so the model does not keep them.
const UNREAD: [&str; 2] = ["reversal", "refundId"];

/// The system after an update in an activity's transaction; `None` if its condition does not hold.
fn applied(
    item: &aws_sdk_dynamodb::types::TransactWriteItem,
    system: &SystemState,
) -> Result<Option<SystemState>, Broken> {
    let record = Update::of_transaction(item).and_then(|update| {
        if let Some(read) = UNREAD.iter().find(|name| update.reads(name)) {
            return Err(format!(
                "a condition reads `{read}`, so the model must keep it"
            ));
        }
        update.apply(&system.record)
    });
    match record {
        Ok(record) => Ok(record.map(|mut record| {
            record.retain(|name, _| !UNREAD.contains(&name.as_str()));
            SystemState {
                record,
                ..system.clone()
            }
        })),
        Err(problem) => broken(Property::Understood, problem),
    }
}

/// The bank's decision for an outcome.
fn bank(outcome: Outcome) -> Bank {
    match outcome {
        Outcome::Paid => Bank::Held,
        Outcome::Declined => Bank::Refused,
        Outcome::Returned => Bank::Back,
    }
}

fn parse_callback(input: parse_callback::Input, system: &SystemState) -> Answers {
    let mut answers = Answers::default();
    if let Ok(parsed) = parse_callback::parse(&input.input) {
        answers.impossible.push("InvalidCallback");
        answers.done(&parsed, system.clone());
    }
    answers
}

fn lookup_record(_: &lookup_record::Input) -> Answers {
    let mut answers = Answers::default();
    for (payment, system) in payments() {
        answers.done(&payment, system);
    }
    // The call only reads, at least for records of this stack.
    answers.half_done.clear();
    answers
}

fn inquire_charge(input: &inquire_charge::Input, system: &SystemState) -> Answers {
    let mut answers = Answers::default();
    for (word, success, failure_code) in [
        ("Initialized", true, None),
        ("Pre-Authorized", true, None),
        ("Authorized", true, None),
        ("Authorized", false, None),
        ("Pre-Authorized", false, None),
        ("Settled", true, None),
        ("Declined", false, Some("51")),
        ("Declined", false, None),
        ("Reversed", false, None),
        ("Voided", true, None),
        ("Refund Sent", true, None),
        ("Auhtorized", true, None),
    ] {
        let payment = &input.payment;
        let failure_code = failure_code.map(str::to_owned);
        let reference = payment.reference_order.as_ref();
        let charge = Charge {
            id: payment.charge_id.clone(),
            amount: payment.amount_satang,
            currency: payment.currency.clone(),
            state: TransactionState::parse(word),
            success,
            redirect_url: None,
            reference_order: reference.map(|reference| reference.as_str().to_owned()),
            livemode: Some(false),
            failure_code: failure_code.clone(),
        };
        // Pending and mismatching charges are errors, which are covered by the list of errors.
        let Ok(Verdict::Decided(outcome)) = charge.judge(&payment.expected(false)) else {
            continue;
        };
        // The bank no longer holds money that we gave back.
        if system.reversed && outcome != Outcome::Returned {
            continue;
        }
        let after = SystemState {
            bank: bank(outcome),
            ..system.clone()
        };
        let transaction_state = word.to_owned();
        answers.done(
            &Decision {
                outcome,
                transaction_state,
                failure_code,
                asked_at: NOW,
            },
            after,
        );
    }
    // If the answer is lost, a later answer counts.
    answers.half_done.clear();
    answers
}

fn notify(input: &notify::Input, system: &SystemState) -> Result<Answers, Broken> {
    let purpose = Purpose::of(&input.payment.order_id);
    properties::notifying(input, purpose, system)?;
    // For an order, a failed card is an additional event. It does not replace the event about the payment.
    let is_additional = purpose == Purpose::Order && input.event == Event::CardFailed;
    let mut answers = Answers::default();
    let event_id = notify::event_id(input);
    answers.done(
        &Delivered { event_id },
        SystemState {
            notified: system.notified || !is_additional,
            ..system.clone()
        },
    );
    // If the shop's answer is lost, the event is sent again with the same id.
    answers.half_done.clear();
    Ok(answers)
}

fn ensure_kbank_user(
    call: &Call<'_>,
    input: &ensure_kbank_user::Input,
    system: &SystemState,
) -> Result<Answers, Broken> {
    if input.execution.as_deref() != Some(CHARGE) {
        let problem = format!("{} does not say which execution asks", call.state);
        return broken(Property::Understood, problem);
    }
    let mut answers = Answers::default();
    for (existed, card) in [(true, system.card), (false, Card::Saved)] {
        let ensured = Ensured {
            existed,
            kbank_customer_id: customer(),
        };
        answers.done(
            &ensured,
            SystemState {
                card,
                ..system.clone()
            },
        );
    }
    answers.half_done.clear();
    Ok(answers)
}

fn add_card(system: &SystemState) -> Answers {
    let mut answers = Answers::default();
    for was_there in [true, false] {
        answers.done(
            &Added { was_there },
            SystemState {
                card: Card::Saved,
                ..system.clone()
            },
        );
    }
    answers.half_done.clear();
    answers
}

/// DynamoDB's update of the record, after every change that others may have made just before.
fn update_item(call: &Call<'_>, system: &SystemState) -> Result<Answers, Broken> {
    let said = |problem: String| broken(Property::Understood, format!("{}: {problem}", call.state));
    let key = &call.arguments["Key"];
    if *key != json!({"tokenId": s(record_key().as_str())}) {
        return said(format!("the key is {key}"));
    }
    let update = match Update::of_task(call.arguments) {
        Ok(update) => update,
        Err(problem) => return said(problem),
    };
    let mut answers = Answers::default();
    for (label, before) in system.meanwhile() {
        let label = label.to_owned();
        match update.apply(&before.record) {
            Ok(Some(record)) => {
                let system = Rc::new(SystemState { record, ..before });
                answers.half_done.push(Rc::clone(&system));
                answers.given.push(Given {
                    result: Ok(json!({})),
                    system,
                    label,
                });
            }
            Ok(None) => answers.given.push(Given {
                result: Err(CONDITION_FAILED),
                system: before.into(),
                label: format!("{CONDITION_FAILED}{label}"),
            }),
            Err(problem) => return said(problem),
        }
    }
    if call.state == "CloseRecord" {
        answers.problem = properties::closing(&update, system).err();
    }
    Ok(answers)
}

/// The inputs of executions: those from the callers, and those that a person types. The last one is invalid.
fn inputs() -> Vec<Value> {
    let (charge_id, key) = (charge(), record_key());
    let mut inputs = Vec::new();
    for (source, status) in [
        (Source::Callback, Some(ReportedStatus::Success)),
        (Source::Callback, Some(ReportedStatus::Failure)),
        (Source::Notify, None),
        (Source::Reconcile, None),
        (Source::Checkout, None),
        (Source::Operator, None),
    ] {
        let input = ExecutionInput {
            source,
            charge_id: &charge_id,
            status,
            record_key: Some(&key),
            request_id: Some("r-1"),
        };
        inputs.push(serde_json::to_value(input).unwrap_or_default());
    }
    inputs.extend([json!({"chargeId": CHARGE}), json!({})]);
    inputs
}

/// Every payment that LookupRecord may find, with the state of the system: the payment is new, or an earlier
/// execution has decided it, or an earlier execution failed halfway.
fn payments() -> Vec<(Payment, SystemState)> {
    let mut all = Vec::new();
    for purpose in [Purpose::Order, Purpose::Verification] {
        for (origin, save_card) in [
            (Origin::Own, true),
            (Origin::Own, false),
            (Origin::Old, false),
            (Origin::Borrowed, true),
        ] {
            let payment = payment(purpose, origin, save_card);
            for (outcome, resolution, signed) in [
                ("pending", None, false),
                ("pending", None, true),
                ("declined", None, false),
                ("paid", None, false),
                ("paid", Some("orderPaid"), false),
                ("paid", Some("reversing"), false),
                ("paid", Some("reversed"), false),
                ("returned", None, false),
            ] {
                if resolution == Some("orderPaid") && purpose == Purpose::Verification {
                    continue;
                }
                let mut system = SystemState {
                    paid: resolution == Some("orderPaid"),
                    reversed: resolution == Some("reversed"),
                    record: record(&payment, outcome),
                    ..SystemState::default()
                };
                if let Some(resolution) = resolution {
                    system.record.insert("resolution".into(), s(resolution));
                }
                if signed {
                    system.record.insert("paidNotifiedAt".into(), n(NOW));
                }
                all.push((payment.clone(), system));
            }
        }
    }
    all
}

pub(crate) fn payment(purpose: Purpose, origin: Origin, save_card: bool) -> Payment {
    let (order, amount_satang) = match purpose {
        Purpose::Order => ("482500007436", Satang::new(150_000).unwrap_or(Satang::ZERO)),
        Purpose::Verification => (ADD_CARD_ORDER_ID, VERIFICATION_AMOUNT),
    };
    let reference = || ReferenceOrder::stored("REFERENCEOFTHEMODEL1".into());
    Payment {
        record_key: record_key(),
        charge_id: charge(),
        order_id: OrderId::new(order).unwrap_or_else(|_| unreachable!("{order} is an id")),
        owner_id: OwnerId::new("usr_model").unwrap_or_else(|_| unreachable!("it is an id")),
        amount_satang,
        currency: "THB".into(),
        reference_order: (origin != Origin::Old).then(reference),
        purpose,
        origin,
        save_card,
        attempt: 1,
        look_again_at: NOW - 10,
        open_since: NOW - 60,
        unknown_since: Some(NOW - 3600),
    }
}

pub(crate) fn record(payment: &Payment, outcome: &str) -> Item {
    [
        ("tokenId", s(payment.record_key.as_str())),
        ("chargeId", s(CHARGE)),
        ("token", s("tokn_test_obviously_fake")),
        ("openShard", n(0)),
        ("attempt", n(payment.attempt.into())),
        ("lookAgainAt", n(payment.look_again_at)),
        ("unknownSince", n(payment.unknown_since.unwrap_or(0))),
        ("outcome", s(outcome)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

fn charge() -> ChargeId {
    ChargeId::new(CHARGE).unwrap_or_else(|_| unreachable!("{CHARGE} is an id"))
}

fn customer() -> CustomerId {
    CustomerId::new("cust_test_model").unwrap_or_else(|_| unreachable!("it is an id"))
}

fn record_key() -> RecordKey {
    RecordKey::stored("0a1b2c".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Machine;
    use crate::refunds::Refunds;

    #[test]
    fn every_function_has_answers() {
        let payments = Definition::of_the_repository(Machine::Payment).unwrap();
        let refunds = Definition::of_the_repository(Machine::Refund).unwrap();
        let says = |problem: Option<Broken>| {
            let (_, problem) = problem.unwrap_or((Property::Understood, String::new()));
            assert!(!problem.contains("does not say"), "{problem}");
        };
        let arguments = json!({"Payload": {"trace": {"execution": CHARGE, "state": "X"}}});
        for (definition, is_refund) in [(&payments, false), (&refunds, true)] {
            for (_, task) in definition.tasks() {
                let call = Call {
                    state: "X",
                    callee: &task.callee(),
                    arguments: &arguments,
                };
                if is_refund {
                    let world = Refunds::new().unwrap();
                    let (_, system) = world.starts().remove(0);
                    says(world.ask(&call, &system).err());
                } else {
                    let world = Tasks::new(definition);
                    says(world.ask(&call, &SystemState::default()).err());
                }
            }
        }
    }
}
