//! What the definition's tasks may answer, and what each answer leaves behind.
//!
//! Inputs are read and answers are made with the activities' own types. What the record allows is asked of the activities'
//! own conditions on it, where the activity has it as an item of a transaction.

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
use payment3_activities::activity::reverse_charge::{self, Reversal, Reversed};
use payment3_activities::domain::browser_return::ReportedStatus;
use payment3_activities::domain::charge::{Charge, Outcome, TransactionState, Verdict};
use payment3_activities::domain::checkout::VERIFICATION_AMOUNT;
use payment3_activities::domain::ids::{
    ChargeId, CustomerId, OrderId, OwnerId, RecordKey, ReferenceOrder,
};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{ADD_CARD_ORDER_ID, Origin, Payment, Purpose};
use payment3_activities::executions::{ExecutionInput, Source};
use payment3_activities::lambda::INVALID_INPUT;
use payment3_activities::log::Trace;
use payment3_activities::tables::records::Records;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::dynamodb::Update;
use crate::properties::{self, Broken, Property, broken};
use crate::treatment::{CONDITION_FAILED, RECORDS, errors};
use crate::world::{Bank, Card, Item, NOW, World, n, s};

/// Whether a function saves cards, so that its failures hold nothing up.
pub(crate) fn saves_cards(callee: &str) -> bool {
    matches!(callee, "ensure-kbank-user" | "add-card")
}

/// The bank's id of the charge that every walk is about, and its execution's name.
pub(crate) const CHARGE: &str = "chrg_test_model";

/// A task's call.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a str,
    /// The function's program, or what stands in the definition for the table.
    pub(crate) callee: &'a str,
    pub(crate) arguments: &'a Value,
}

/// What a call may lead to.
#[derive(Default)]
pub(crate) struct Answers {
    /// Its results and its definite errors.
    pub(crate) given: Vec<Given>,
    /// What is left behind where it fails on the way, or its answer is lost.
    pub(crate) half_done: Vec<Rc<World>>,
    /// What is wrong with the call all the same.
    pub(crate) problem: Option<Broken>,
    /// Definite errors that cannot be, as things are.
    impossible: Vec<&'static str>,
}

/// One answer.
pub(crate) struct Given {
    pub(crate) result: Result<Value, &'static str>,
    pub(crate) world: Rc<World>,
    /// What happened meanwhile, and what is answered, for people.
    pub(crate) label: String,
}

/// Who answers.
pub(crate) struct Tasks {
    records: Records,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        // It is asked for its conditions only, and never connects.
        let version = BehaviorVersion::latest();
        let config = aws_sdk_dynamodb::Config::builder().behavior_version(version);
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        Self {
            records: Records::new(client, RECORDS.to_owned()),
        }
    }

    /// Everything that a call may be answered. The error says what is wrong with the call.
    pub(crate) fn ask(&self, call: &Call<'_>, world: &World) -> Result<Answers, Broken> {
        if call.callee == RECORDS {
            return update_item(call, world);
        }
        let mut payload = call.arguments["Payload"].clone();
        traced(call, &mut payload)?;
        let mut answers = match call.callee {
            "parse-callback" => parse_callback(typed(call, payload)?, world),
            "lookup-record" => lookup_record(&typed(call, payload)?),
            "inquire-charge" => inquire_charge(&typed(call, payload)?, world),
            "record-outcome" => self.record_outcome(&typed(call, payload)?, world)?,
            "pay-order" => self.pay_order(&typed(call, payload)?, world)?,
            "reverse-charge" => self.reverse_charge(&typed(call, payload)?, world)?,
            "notify" => notify(&typed(call, payload)?, world)?,
            "ensure-kbank-user" => ensure_kbank_user(call, &typed(call, payload)?, world)?,
            "add-card" => {
                typed::<add_card::Input>(call, payload)?;
                add_card(world)
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
                answers.fail(error.name, world.clone());
            }
        }
        Ok(answers)
    }

    fn record_outcome(
        &self,
        input: &record_outcome::Input,
        world: &World,
    ) -> Result<Answers, Broken> {
        let (payment, outcome) = (&input.payment, input.outcome);
        properties::dated(input.asked)?;
        properties::recording(bank(outcome), world)?;
        let state = TransactionState::parse(&input.transaction_state);
        let update = self.records.outcome_update(payment, outcome, &state);
        let mut answers = Answers::default();
        if payment.origin == Origin::Own {
            answers.impossible.push("HandledElsewhere");
        }
        match applied(&update, world)? {
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
            None => answers.impossible.push("HandledElsewhere"),
        }
        Ok(answers)
    }

    fn pay_order(&self, input: &pay_order::Input, world: &World) -> Result<Answers, Broken> {
        let payment = &input.payment;
        properties::dated(input.asked)?;
        let mut answers = Answers::default();
        match applied(&self.records.order_paid_update(payment), world)? {
            Some(mut after) => {
                after.paid = true;
                answers.impossible.push("ChargeReversing");
                let paid = PaidOrder {
                    order_id: payment.order_id.to_string(),
                    paid_by: payment.charge_id.to_string(),
                };
                answers.done(&paid, after);
            }
            // As the activity reads the record when it forbids paying.
            None => answers.impossible.push(match world.text("resolution") {
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
        world: &World,
    ) -> Result<Answers, Broken> {
        let mut answers = Answers::default();
        // `Records::begin_reversal`: the bank has said yes once, and the order is not paid.
        let said_yes = matches!(world.text("outcome"), Some("paid" | "returned"));
        if !said_yes || world.text("resolution") == Some("orderPaid") {
            let only = errors("reverse-charge").into_iter().flatten();
            let only = only
                .map(|error| error.name)
                .filter(|name| *name != "OutcomeConflict");
            answers.impossible.extend(only);
            return Ok(answers);
        }
        let mut begun = world.clone();
        begun
            .record
            .entry("resolution".into())
            .or_insert(s("reversing"));
        // `Records::note_refund`: before the request. A void needs none.
        let mut asked = begun.clone();
        asked
            .record
            .entry("refundAskedAt".into())
            .or_insert(json!({"SS": ["a moment"]}));
        let back = |world: &World| World {
            reversed: true,
            ..world.clone()
        };
        let payment = &input.payment;
        // A refund that nobody here asked for may be a part, given back by hand.
        let unasked = begun.text("resolution") == Some("reversing") && !begun.has("refundAskedAt");
        let seen = self
            .records
            .reversed_update(payment, "refunded", None, true);
        if unasked && applied(&seen, &back(&begun))?.is_some() {
            return broken(
                Property::TellsTheTruth,
                "a refund that nobody here asked for is recorded as ours",
            );
        }
        answers.half_done = [&begun, &asked]
            .into_iter()
            .flat_map(|world| [world.clone().into(), back(world).into()])
            .collect();
        for (reversal, how, refund_id, before) in [
            (Reversal::Voided, "voided", None, &begun),
            (
                Reversal::Refunded,
                "refunded",
                Some("rfnd_test_model"),
                &asked,
            ),
            (Reversal::Refunded, "refunded", None, &asked),
        ] {
            let found = reversal == Reversal::Refunded && refund_id.is_none();
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

impl Answers {
    fn done(&mut self, result: &impl Serialize, world: World) {
        let payload = serde_json::to_value(result).unwrap_or_default();
        let label = match payload.to_string() {
            text if text.len() > 80 => String::new(),
            text => text,
        };
        let result = Ok(json!({"StatusCode": 200, "Payload": payload}));
        let world = Rc::new(world);
        if !self.half_done.contains(&world) {
            self.half_done.push(Rc::clone(&world));
        }
        self.given.push(Given {
            result,
            world,
            label,
        });
    }

    fn fail(&mut self, error: &'static str, world: World) {
        let label = error.to_owned();
        let result = Err(error);
        let world = Rc::new(world);
        self.given.push(Given {
            result,
            world,
            label,
        });
    }
}

/// The trace beside a function's input: it is read as the function's log reads it, and must be of this call.
fn traced(call: &Call<'_>, payload: &mut Value) -> Result<(), Broken> {
    let told = (
        payload["trace"]["execution"].clone(),
        payload["trace"]["state"].clone(),
    );
    let read = Trace::take_from(payload).is_some();
    if read && told == (CHARGE.into(), call.state.into()) {
        return Ok(());
    }
    broken(
        Property::Understood,
        format!("{} gets no trace of itself", call.state),
    )
}

fn typed<T: DeserializeOwned>(call: &Call<'_>, payload: Value) -> Result<T, Broken> {
    let read = serde_json::from_value(payload);
    read.or_else(|error| broken(Property::Understood, format!("{}: {error}", call.state)))
}

/// How the money went back. No condition reads it, so that the ways back need not be told apart afterwards.
const UNREAD: [&str; 2] = ["reversal", "refundId"];

/// The world after an item of an activity's transaction; `None` where its condition does not hold.
fn applied(
    item: &aws_sdk_dynamodb::types::TransactWriteItem,
    world: &World,
) -> Result<Option<World>, Broken> {
    let record = Update::of_transaction(item).and_then(|update| {
        if let Some(read) = UNREAD.iter().find(|name| update.reads(name)) {
            return Err(format!("`{read}` is read: the model has to keep it"));
        }
        update.apply(&world.record)
    });
    match record {
        Ok(record) => Ok(record.map(|mut record| {
            record.retain(|name, _| !UNREAD.contains(&name.as_str()));
            World {
                record,
                ..world.clone()
            }
        })),
        Err(problem) => broken(Property::Understood, problem),
    }
}

/// What an outcome says of the bank.
fn bank(outcome: Outcome) -> Bank {
    match outcome {
        Outcome::Paid => Bank::Held,
        Outcome::Declined => Bank::Refused,
        Outcome::Returned => Bank::Back,
    }
}

fn parse_callback(input: parse_callback::Input, world: &World) -> Answers {
    let mut answers = Answers::default();
    if let Ok(parsed) = parse_callback::parse(&input.input) {
        answers.impossible.push("InvalidCallback");
        answers.done(&parsed, world.clone());
    }
    answers
}

fn lookup_record(_: &lookup_record::Input) -> Answers {
    let mut answers = Answers::default();
    for (payment, world) in payments() {
        answers.done(&payment, world);
    }
    // It only reads, as far as this stack's own record is concerned.
    answers.half_done.clear();
    answers
}

fn inquire_charge(input: &inquire_charge::Input, world: &World) -> Answers {
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
        // Pending and mismatching charges are errors, which come by themselves.
        let Ok(Verdict::Decided(outcome)) = charge.judge(&payment.expected(false)) else {
            continue;
        };
        // The bank does not hold what we gave back.
        if world.reversed && outcome != Outcome::Returned {
            continue;
        }
        let after = World {
            bank: bank(outcome),
            ..world.clone()
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
    // Where its answer is lost, the next one counts.
    answers.half_done.clear();
    answers
}

fn notify(input: &notify::Input, world: &World) -> Result<Answers, Broken> {
    let purpose = Purpose::of(&input.payment.order_id);
    properties::telling(input, purpose, world)?;
    // That an order's card could not be saved is told beside what became of the payment.
    let beside = purpose == Purpose::Order && input.event == Event::CardFailed;
    let mut answers = Answers::default();
    let event_id = notify::event_id(input);
    answers.done(
        &Delivered { event_id },
        World {
            told: world.told || !beside,
            ..world.clone()
        },
    );
    // Nobody knows that the shop was told where its answer is lost: it is told again, under the same id.
    answers.half_done.clear();
    Ok(answers)
}

fn ensure_kbank_user(
    call: &Call<'_>,
    input: &ensure_kbank_user::Input,
    world: &World,
) -> Result<Answers, Broken> {
    if input.execution.as_deref() != Some(CHARGE) {
        let problem = format!("{} does not say which execution asks", call.state);
        return broken(Property::Understood, problem);
    }
    let mut answers = Answers::default();
    for (existed, card) in [(true, world.card), (false, Card::Saved)] {
        let ensured = Ensured {
            existed,
            kbank_customer_id: customer(),
        };
        answers.done(
            &ensured,
            World {
                card,
                ..world.clone()
            },
        );
    }
    answers.half_done.clear();
    Ok(answers)
}

fn add_card(world: &World) -> Answers {
    let mut answers = Answers::default();
    for was_there in [true, false] {
        answers.done(
            &Added { was_there },
            World {
                card: Card::Saved,
                ..world.clone()
            },
        );
    }
    answers.half_done.clear();
    answers
}

/// DynamoDB's update of the record, with whatever others may have done to it a moment before.
fn update_item(call: &Call<'_>, world: &World) -> Result<Answers, Broken> {
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
    for (label, before) in world.meanwhile() {
        let label = label.to_owned();
        match update.apply(&before.record) {
            Ok(Some(record)) => {
                let world = Rc::new(World { record, ..before });
                answers.half_done.push(Rc::clone(&world));
                answers.given.push(Given {
                    result: Ok(json!({})),
                    world,
                    label,
                });
            }
            Ok(None) => answers.given.push(Given {
                result: Err(CONDITION_FAILED),
                world: before.into(),
                label: format!("{CONDITION_FAILED}{label}"),
            }),
            Err(problem) => return said(problem),
        }
    }
    if call.state == "CloseRecord" {
        answers.problem = properties::closing(&update, world).err();
    }
    Ok(answers)
}

/// What executions are started with: what the callers write, and what a person types. The last one cannot be used.
pub(crate) fn inputs() -> Vec<Value> {
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

/// Every payment that LookupRecord may find, and the world with its record: new; decided by an execution before this one; or
/// partly done by one that failed.
fn payments() -> Vec<(Payment, World)> {
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
                let mut world = World {
                    paid: resolution == Some("orderPaid"),
                    reversed: resolution == Some("reversed"),
                    record: record(&payment, outcome),
                    ..World::default()
                };
                if let Some(resolution) = resolution {
                    world.record.insert("resolution".into(), s(resolution));
                }
                if signed {
                    world.record.insert("paidNotifiedAt".into(), n(NOW));
                }
                all.push((payment.clone(), world));
            }
        }
    }
    all
}

fn payment(purpose: Purpose, origin: Origin, save_card: bool) -> Payment {
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

fn record(payment: &Payment, outcome: &str) -> Item {
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
    .into()
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

    #[test]
    fn every_function_has_answers() {
        let arguments = json!({"Payload": {"trace": {"execution": CHARGE, "state": "X"}}});
        for activity in payment3_activities::activity::ACTIVITIES {
            let call = Call {
                state: "X",
                callee: activity.program,
                arguments: &arguments,
            };
            let asked = Tasks::new().ask(&call, &World::default());
            let problem = asked.err().map(|(_, problem)| problem).unwrap_or_default();
            assert!(!problem.contains("does not say"), "{problem}");
        }
    }
}
