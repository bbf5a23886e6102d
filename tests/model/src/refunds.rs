//! What surrounds the executions of the refund machine, and what must hold for them.
//!
//! The activities that read and write the ledger are the real ones. They run on a record in memory, and between any two
//! of their calls somebody else may act: the bank settles, a request arrives late, the portal gives money back, another
//! refund of the charge, or a second execution of the same one. What others may do on one path is bounded.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use anyhow::Result;
use payment3_activities::activity::inquire_charge::{self, Decision};
use payment3_activities::activity::notify::{self, Delivered, Event};
use payment3_activities::activity::{
    check_refund, find_refund, record_elsewhere, record_refund, refund_request, report_stuck,
};
use payment3_activities::domain::charge::{Charge, TransactionState, Verdict};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{Origin, Payment, Purpose};
use payment3_activities::domain::refund::{Refund, RefundId, Way};
use payment3_activities::failure::Failure;
use payment3_activities::tables::records::Found;
use payment3_activities::tables::refunds::RefundTables;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::definition::Task;
use crate::dynamodb::{Update, in_the_models_time};
use crate::properties::{self, Broken, Property, broken, hold};
use crate::store::{BEHIND, PAID_OTHERWISE, Ran, Store};
use crate::system::{Item, NOW, NOW_TEXT, n, s};
use crate::tasks::{self, traced, typed};
use crate::treatment::{CONDITION_FAILED, RECORDS, UNSTOPPABLE};
use crate::world::{Answers, CHARGE, Call, Given, World};

/// The refund of the execution that is followed.
const OWN: &str = "rf_1";
/// Another refund of the same charge.
const OTHER: &str = "rf_2";
/// What was paid, and the amounts of the two refunds: together they are too much.
const PAID: i64 = 150_000;
const PART: i64 = 12_050;
const REST: i64 = 140_000;
/// The mark of requests by others.
const MARK: &str = "another execution";
/// When a request was sent of which nothing is on its way any more.
const LONG_AGO: i64 = NOW - 86_400;
/// After so many seconds no request is on its way any more.
const ARRIVES_WITHIN: f64 = 300.0;
/// How often somebody else acts on one path.
const ACTS: u8 = 1;

type Scene<'a> = properties::Scene<'a, System>;

/// Where the charge stands at the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bank {
    Authorized,
    Settled,
    RefundSent,
    Voided,
}

impl Bank {
    fn word(self) -> &'static str {
        match self {
            Self::Authorized => "Authorized",
            Self::Settled => "Settled",
            Self::RefundSent => "Refund Sent",
            Self::Voided => "Voided",
        }
    }
}

/// The state of everything outside the execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct System {
    bank: Bank,
    /// How often the bank accepted each refund.
    accepted: BTreeMap<String, u8>,
    /// What the bank gives back for them, in satang.
    gone: i64,
    /// Whether money was given back in the bank's portal.
    by_hand: bool,
    /// A request that may still arrive at the bank: for which refund, and whether it is a void.
    on_its_way: Option<(String, bool)>,
    /// The payment's record.
    record: Item,
    /// The events that the shop has confirmed, or refused.
    told: BTreeSet<&'static str>,
    /// Whether a person is told.
    reported: bool,
    /// How often others may still act.
    acts: u8,
}

impl System {
    /// An entry of the ledger.
    fn entry(&self, id: &str) -> Option<&Item> {
        self.entries()?.get(id)?["M"].as_object()
    }

    fn entries(&self) -> Option<&Item> {
        self.record.get("refunds")?["M"].as_object()
    }

    fn state(&self, id: &str) -> Option<&str> {
        self.entry(id)?.get("state")?["S"].as_str()
    }

    fn mark(&self, id: &str) -> Option<&str> {
        self.entry(id)?.get("mark")?["S"].as_str()
    }

    fn recorded(&self, id: &str) -> bool {
        self.entry(id)
            .is_some_and(|entry| entry.contains_key("recordedAt"))
    }

    fn times_accepted(&self, id: &str) -> u8 {
        self.accepted.get(id).copied().unwrap_or(0)
    }

    fn is_on_its_way(&self, id: &str) -> bool {
        let mut request = self.on_its_way.iter();
        request.any(|(on_its_way, _)| on_its_way == id)
    }

    /// The system after the bank has accepted a request; `None` if it refuses.
    fn accepts(&self, id: &str, void: bool) -> Option<Self> {
        let (bank, satang) = match (self.bank, void) {
            (Bank::Authorized, true) => (Bank::Voided, PAID),
            (Bank::Settled | Bank::RefundSent, false) => {
                (Bank::RefundSent, number(self.entry(id)?, "satang"))
            }
            _ => return None,
        };
        let mut after = Self {
            bank,
            gone: self.gone + satang,
            ..self.clone()
        };
        *after.accepted.entry(id.to_owned()).or_default() += 1;
        Some(after)
    }

    /// All systems once no request is on its way any more: it was accepted, or never arrives.
    fn later(&self) -> Vec<Self> {
        let mut never = Self {
            on_its_way: None,
            ..self.clone()
        };
        let entries = never.record.get_mut("refunds");
        let entries = entries.and_then(|refunds| refunds["M"].as_object_mut());
        for (_, entry) in entries.into_iter().flatten() {
            if let Some(asked) = entry["M"].get_mut("askedAt") {
                *asked = n(LONG_AGO);
            }
        }
        let arrives = self.on_its_way.as_ref();
        let arrives = arrives.and_then(|(id, void)| never.accepts(id, *void));
        arrives.into_iter().chain([never.clone()]).collect()
    }

    fn by_others(&self, record: Item) -> Self {
        Self {
            record,
            acts: self.acts - 1,
            ..self.clone()
        }
    }
}

/// A number of an item; 0 if there is none.
fn number(item: &Item, name: &str) -> i64 {
    let number = item.get(name).and_then(|value| value["N"].as_str());
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// An answer to a call, the system after it, and what others did.
type Answer = (Output, Rc<System>, String);

/// What was found out about a call of an activity.
type Known = Rc<(Vec<Answer>, Vec<Rc<System>>)>;

/// An answer of an activity, or the name of its error.
type Output = Result<Value, &'static str>;

/// A run of a task: the task's call, the record, and the record that somebody else leaves before a call of a table.
type TaskRun = (String, Item, Option<(usize, Item)>);

/// What others may do, with the system after it.
type Acts = Vec<(String, System)>;

/// What surrounds executions of the refund machine.
pub(crate) struct Refunds {
    store: Store,
    payment: Payment,
    /// What others may do to each system.
    acts: RefCell<HashMap<System, Rc<Acts>>>,
    /// What became of each run on a record: whether it did what it should, and the record after it.
    runs: RefCell<HashMap<(String, Item), (bool, Item)>>,
    /// The same for the runs of tasks.
    task_runs: RefCell<HashMap<TaskRun, Rc<Ran<Output>>>>,
    /// What each activity answers to each input in each system.
    answers: RefCell<HashMap<(String, System), Known>>,
}

impl Refunds {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            store: Store::new()?,
            payment: tasks::payment(Purpose::Order, Origin::Own, true),
            acts: RefCell::default(),
            runs: RefCell::default(),
            task_runs: RefCell::default(),
            answers: RefCell::default(),
        })
    }

    fn refund(&self, system: &System, id: &str) -> Refund {
        let entry = system.entry(id);
        let satang = entry.map_or(0, |entry| number(entry, "satang"));
        Refund {
            refund_id: id_of(id),
            amount_satang: Satang::new(satang).unwrap_or(Satang::ZERO),
            whole: satang == PAID,
            elsewhere: false,
            reason: None,
            reserved_at: NOW,
        }
    }

    /// Runs one of the activities' functions on a system's record, and says whether it did what it should.
    fn on<'s, F: Future<Output = bool>>(
        &'s self,
        what: String,
        system: &System,
        activity: impl FnOnce(&'s RefundTables) -> F,
    ) -> Result<(bool, Item), Broken> {
        let key = (what, system.record.clone());
        if let Some(known) = self.runs.borrow().get(&key) {
            return Ok(known.clone());
        }
        let ran = self.store.run(&system.record, None, activity);
        let ran = ran.or_else(|problem| broken(Property::Understood, problem))?;
        let found = (ran.output, ran.record);
        self.runs.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    /// The system after the ledger has noted a request, just before it is sent; `None` if it must not be sent.
    fn asks(&self, system: &System, id: &str, mark: &str) -> Result<Option<System>, Broken> {
        let refund = id_of(id);
        let (noted, record) = self.on(format!("ask {id} {mark}"), system, async |tables| {
            let records = &tables.records;
            let noted = records.ask_refund(&self.payment, &refund, mark, "a run");
            noted.await.unwrap_or(false)
        })?;
        if !noted {
            return Ok(None);
        }
        let accepted = system.times_accepted(id);
        hold(
            accepted == 0 && !system.is_on_its_way(id),
            Property::AsksOnce,
            format!(
                "{id} is asked for; accepted before: {accepted}, on its way: {}",
                system.is_on_its_way(id)
            ),
        )?;
        Ok(Some(System {
            record,
            ..system.clone()
        }))
    }

    /// Everything that others may do at a moment. The first is nothing.
    fn meanwhile(&self, system: &System) -> Result<Rc<Acts>, Broken> {
        if let Some(known) = self.acts.borrow().get(system) {
            return Ok(Rc::clone(known));
        }
        let mut all = vec![(String::new(), system.clone())];
        let mut add = |what: &str, after: System| all.push((format!(", {what}"), after));
        if system.bank == Bank::Authorized {
            let bank = Bank::Settled;
            add(
                "the bank has settled",
                System {
                    bank,
                    ..system.clone()
                },
            );
        }
        if let Some((id, void)) = &system.on_its_way
            && let Some(arrived) = system.accepts(id, *void)
        {
            add(
                "a request arrived late",
                System {
                    on_its_way: None,
                    ..arrived
                },
            );
        }
        if system.acts > 0 {
            let by_hand = match system.bank {
                Bank::Authorized => Some(Bank::Voided),
                Bank::Settled => Some(Bank::RefundSent),
                _ => None,
            };
            if let Some(bank) = by_hand {
                let after = System {
                    bank,
                    by_hand: true,
                    ..system.by_others(system.record.clone())
                };
                add("money was given back in the portal", after);
            }
            for id in [OWN, OTHER] {
                for (what, after) in self.acts_on(system, id)? {
                    add(&format!("{what} {id}"), after);
                }
            }
        }
        let all = Rc::new(all);
        let known = Rc::clone(&all);
        self.acts.borrow_mut().insert(system.clone(), known);
        Ok(all)
    }

    /// What another execution may do about a refund.
    fn acts_on(&self, system: &System, id: &str) -> Result<Vec<(&'static str, System)>, Broken> {
        let (payment, refund) = (&self.payment, self.refund(system, id));
        let mut all = Vec::new();
        let asked_by_others = system.mark(id) == Some(MARK);
        match system.state(id) {
            None => {
                let amount = if id == OWN { PART } else { REST };
                let input = check_refund::Input {
                    input: json!({
                        "refundId": id,
                        "orderId": payment.order_id,
                        "amount": Satang::new(amount).unwrap_or(Satang::ZERO).to_string(),
                    }),
                };
                let (checked, record) = self.on(format!("check {id}"), system, async |tables| {
                    check_refund::check(tables, &input).await.is_ok()
                })?;
                if checked {
                    all.push(("another execution reserved", system.by_others(record)));
                }
            }
            Some("reserved") => {
                let void = refund.whole && system.bank == Bank::Authorized;
                if system.accepts(id, void).is_some()
                    && let Some(asked) = self.asks(system, id, MARK)?
                {
                    let after = System {
                        on_its_way: Some((id.to_owned(), void)),
                        ..system.by_others(asked.record)
                    };
                    all.push(("another execution is asking for", after));
                }
                // As the definition does it.
                let mut released = system.by_others(system.record.clone());
                let counted = number(&released.record, "refundedSatang");
                let left = counted - refund.amount_satang.satang();
                released.record.insert("refundedSatang".into(), n(left));
                if let Some(entries) = released.record["refunds"]["M"].as_object_mut() {
                    entries[id]["M"]["state"] = s("failed");
                }
                all.push(("another execution gave up", released));
            }
            Some("asked") => {
                let (what, found) = if !asked_by_others {
                    ("", None)
                } else if system.times_accepted(id) > 0 {
                    let way = match system.bank {
                        Bank::Voided => Way::Voided,
                        _ => Way::Refunded,
                    };
                    let found = Found::TookEffect(way);
                    ("another execution has the bank's yes for", Some(found))
                } else {
                    let found = Found::TookNone;
                    ("another execution was refused", Some(found))
                };
                if let Some(found) = found {
                    let run = format!("answer {id} {found:?}");
                    let (_, record) = self.on(run, system, async |tables| {
                        let (records, refund) = (&tables.records, &refund.refund_id);
                        let answered = records.answer_refund(payment, refund, MARK, found, None);
                        answered.await.unwrap_or(false)
                    })?;
                    // The bank has answered.
                    let after = System {
                        on_its_way: None,
                        ..system.by_others(record)
                    };
                    all.push((what, after));
                }
                let run = format!("find {id} {:?}", system.bank);
                let (_, record) = self.on(run, system, async |tables| {
                    let input = find_refund::Input {
                        payment: payment.clone(),
                        refund: refund.clone(),
                        transaction_state: system.bank.word().to_owned(),
                        inquired_at: NOW,
                        answers_within: ARRIVES_WITHIN as i64,
                    };
                    find_refund::find(&tables.records, &input).await.is_ok()
                })?;
                if record != system.record {
                    all.push((
                        "another execution found out about",
                        system.by_others(record),
                    ));
                }
            }
            Some("sent") if !system.recorded(id) => {
                let input = json!({
                    "payment": payment,
                    "refund": refund,
                    "bankRefundId": null,
                    "transactionState": system.bank.word(),
                });
                let input: record_refund::Input = serde_json::from_value(input)
                    .or_else(|error| broken(Property::Understood, error.to_string()))?;
                let (_, record) = self.on(
                    format!("record {id} {:?}", system.bank),
                    system,
                    async |tables| record_refund::record(tables, &input).await.is_ok(),
                )?;
                all.push(("another execution recorded", system.by_others(record)));
            }
            _ => {}
        }
        Ok(all)
    }

    /// What an activity answers, whatever others do between its calls.
    fn activity<I: DeserializeOwned, O: Serialize, E: Failure>(
        &self,
        call: &Call<'_>,
        payload: Value,
        system: &System,
        activity: impl AsyncFn(&RefundTables, &I) -> Result<O, E>,
    ) -> Result<Answers<System>, Broken> {
        let called = format!("{} {payload}", call.callee);
        let key = (called.clone(), system.clone());
        let known = self.answers.borrow().get(&key).map(Rc::clone);
        let known = match known {
            Some(known) => known,
            None => {
                let input: I = typed(call, payload)?;
                let found = Rc::new(self.runs(&called, system, &input, activity)?);
                let known = Rc::clone(&found);
                self.answers.borrow_mut().insert(key, known);
                found
            }
        };
        let mut answers = Answers::default();
        let (given, half_done) = &*known;
        answers.half_done.clone_from(half_done);
        answers.given = given
            .iter()
            .map(|(result, system, label)| Given {
                result: result.clone(),
                system: Rc::clone(system),
                label: label.clone(),
            })
            .collect();
        // Whoever edits the record by hand can make it unreadable, or undo what the execution did.
        for error in E::NAMES {
            if matches!(error.0, "ItemUnreadable" | "RefundConflict") {
                answers.fail(error.0, system.clone());
            }
        }
        Ok(answers)
    }

    /// One run of an activity, with the record that somebody else leaves before one of its calls.
    fn task_run<I, O: Serialize, E: Failure>(
        &self,
        (called, input): (&str, &I),
        record: &Item,
        other: Option<(usize, &Item)>,
        activity: &impl AsyncFn(&RefundTables, &I) -> Result<O, E>,
    ) -> Result<Rc<Ran<Output>>, Broken> {
        let other_owned = other.map(|(call, record)| (call, record.clone()));
        let key = (called.to_owned(), record.clone(), other_owned);
        if let Some(known) = self.task_runs.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let ran = self
            .store
            .run(record, other, |tables| activity(tables, input))
            .or_else(|problem| broken(Property::Understood, problem))?;
        let output = match ran.output {
            Ok(output) => {
                let payload = serde_json::to_value(output).unwrap_or_default();
                let payload = in_the_models_time(payload);
                Ok(json!({"StatusCode": 200, "Payload": payload}))
            }
            Err(error) => Err(error.name()),
        };
        let ran = Rc::new(Ran {
            output,
            record: ran.record,
            before: ran.before,
        });
        let known = Rc::clone(&ran);
        self.task_runs.borrow_mut().insert(key, known);
        Ok(ran)
    }

    fn runs<I, O: Serialize, E: Failure>(
        &self,
        called: &str,
        system: &System,
        input: &I,
        activity: impl AsyncFn(&RefundTables, &I) -> Result<O, E>,
    ) -> Result<(Vec<Answer>, Vec<Rc<System>>), Broken> {
        let run = |other: Option<(usize, &Item)>| {
            self.task_run((called, input), &system.record, other, &activity)
        };
        let plain = run(None)?;
        let mut given: Vec<Answer> = Vec::new();
        let mut half_done: Vec<Rc<System>> = Vec::new();
        let mut add = |output: &Output, what: &str, after: System| {
            let after = Rc::new(after);
            if !half_done.contains(&after) {
                half_done.push(Rc::clone(&after));
            }
            let label = match output {
                Ok(_) => what.to_owned(),
                Err(error) => format!("{error}{what}"),
            };
            let known = given.iter().any(|(r, s, _)| r == output && *s == after);
            if !known {
                given.push((output.clone(), after, label));
            }
        };
        for (call, before) in plain.before.iter().enumerate() {
            let here = System {
                record: before.clone(),
                ..system.clone()
            };
            for (what, other) in self.meanwhile(&here)?.iter().skip(1) {
                let ran = run(Some((call, &other.record)))?;
                let after = System {
                    record: ran.record.clone(),
                    ..other.clone()
                };
                add(&ran.output, what, after);
            }
        }
        let after = System {
            record: plain.record.clone(),
            ..system.clone()
        };
        add(&plain.output, "", after);
        // Died between two calls.
        for record in &plain.before {
            let died = Rc::new(System {
                record: record.clone(),
                ..system.clone()
            });
            if !half_done.contains(&died) {
                half_done.push(died);
            }
        }
        Ok((given, half_done))
    }

    /// As in `refund_request::send`: the ledger says `asked`, the bank is asked, the ledger gets its answer.
    fn request(
        &self,
        input: &refund_request::Input,
        void: bool,
        system: &System,
    ) -> Result<Answers<System>, Broken> {
        let id = input.refund.refund_id.as_str();
        let mut answers = Answers::default();
        let accepted = |bank_refund_id| refund_request::Accepted { bank_refund_id };
        for (what, before) in self.meanwhile(system)?.iter() {
            let Some(asked) = self.asks(before, id, &input.mark)? else {
                match before.state(id) {
                    Some("sent") => answers.done(&accepted(None), before.clone()),
                    Some("reserved") => answers.fail("RefundBusy", before.clone()),
                    Some("asked") => answers.fail("RefundAsked", before.clone()),
                    _ => answers.fail("RefundNotReserved", before.clone()),
                }
                continue;
            };
            // Without a table, a key or a connection the bank is not asked.
            answers.fail("RefundNotSent", before.clone());
            answers.fail("RefundNotSent", asked.clone());
            answers.fail("RefundRefused", asked.clone());
            answers.half_done.push(asked.clone().into());
            let on_its_way = System {
                on_its_way: Some((id.to_owned(), void)),
                ..asked.clone()
            };
            answers.fail("AnswerLost", on_its_way.clone());
            answers.half_done.push(on_its_way.into());
            let taken = asked.accepts(id, void);
            // The bank's answer to a part may tell nothing; then it never will.
            if !void && !input.refund.whole {
                for sent in std::iter::once(&asked).chain(&taken) {
                    let record = self.answered(sent, input, Found::Unclear, None)?;
                    let unclear = System {
                        record,
                        ..sent.clone()
                    };
                    answers.half_done.push(unclear.clone().into());
                    answers.fail("AnswerLost", unclear);
                }
            }
            let Some(taken) = taken else {
                continue;
            };
            answers.fail("AnswerLost", taken.clone());
            answers.half_done.push(taken.clone().into());
            // The bank accepts, and the ledger gets its answer or does not.
            let bank_refund_id = (!void).then(|| format!("rfnd_{id}"));
            let way = if void { Way::Voided } else { Way::Refunded };
            let found = Found::TookEffect(way);
            let record = self.answered(&taken, input, found, bank_refund_id.as_deref())?;
            let written = System {
                record,
                ..taken.clone()
            };
            answers.done(&accepted(bank_refund_id.clone()), taken);
            answers.done(&accepted(bank_refund_id), written);
            if let Some(last) = answers.given.last_mut() {
                last.label.push_str(what);
            }
        }
        Ok(answers)
    }

    /// The record after the bank's answer was written into the ledger.
    fn answered(
        &self,
        system: &System,
        input: &refund_request::Input,
        found: Found,
        bank_refund_id: Option<&str>,
    ) -> Result<Item, Broken> {
        let (refund, mark) = (&input.refund.refund_id, &input.mark);
        let run = format!("answer {refund} {mark} {found:?}");
        let (_, record) = self.on(run, system, async |tables| {
            let (records, payment) = (&tables.records, &self.payment);
            let answered = records.answer_refund(payment, refund, mark, found, bank_refund_id);
            answered.await.unwrap_or(false)
        })?;
        Ok(record)
    }

    /// DynamoDB's update of the record, after everything that others may have done just before.
    fn update_item(&self, call: &Call<'_>, system: &System) -> Result<Answers<System>, Broken> {
        let said = |problem: String| -> Broken {
            let problem = format!("{}: {problem}", call.state);
            (Property::Understood, problem)
        };
        let key = &call.arguments["Key"];
        if *key != json!({"tokenId": s(self.payment.record_key.as_str())}) {
            return Err(said(format!("the key is {key}")));
        }
        let update = Update::of_task(call.arguments).map_err(said)?;
        let mut answers = Answers::default();
        for (what, before) in self.meanwhile(system)?.iter() {
            match update.apply(&before.record).map_err(said)? {
                Some(record) => {
                    let attributes = json!({"Attributes": record});
                    let system = Rc::new(System {
                        record,
                        ..before.clone()
                    });
                    answers.half_done.push(Rc::clone(&system));
                    answers.given.push(Given {
                        result: Ok(attributes),
                        system,
                        label: what.clone(),
                    });
                }
                None => answers.fail(CONDITION_FAILED, before.clone()),
            }
        }
        Ok(answers)
    }

    fn inquire(
        &self,
        input: &inquire_charge::Input,
        system: &System,
    ) -> Result<Answers<System>, Broken> {
        let payment = &input.payment;
        let mut answers = Answers::default();
        // It may have been tried for long.
        let later = system
            .later()
            .into_iter()
            .map(|system| (String::new(), system));
        for (_, system) in self.meanwhile(system)?.iter().cloned().chain(later) {
            // The last word fits no charge that has paid an order.
            for word in [system.bank.word(), "Declined"] {
                let charge = Charge {
                    id: payment.charge_id.clone(),
                    amount: payment.amount_satang,
                    currency: payment.currency.clone(),
                    state: TransactionState::parse(word),
                    success: true,
                    redirect_url: None,
                    reference_order: payment
                        .reference_order
                        .as_ref()
                        .map(|r| r.as_str().to_owned()),
                    livemode: Some(false),
                    failure_code: None,
                };
                let Ok(Verdict::Decided(outcome)) = charge.judge(&payment.expected(false)) else {
                    return broken(Property::Understood, format!("{word} decides nothing"));
                };
                let decision = Decision {
                    outcome,
                    transaction_state: word.to_owned(),
                    failure_code: None,
                    asked_at: NOW,
                };
                answers.done(&decision, system.clone());
            }
        }
        answers.fail("ChargeMismatch", system.clone());
        // If the answer is lost, a later answer counts.
        answers.half_done.clear();
        Ok(answers)
    }

    fn notify(&self, input: &notify::Input, system: &System) -> Result<Answers<System>, Broken> {
        notifying(input, system)?;
        let mut answers = Answers::default();
        let event_id = notify::event_id(input);
        let mut told = system.clone();
        told.told.insert(input.event.as_str());
        answers.done(&Delivered { event_id }, told);
        answers.fail("NotificationRefused", system.clone());
        // If the shop's answer is lost, the event is sent again with the same id.
        answers.half_done.clear();
        Ok(answers)
    }
}

fn id_of(id: &str) -> RefundId {
    RefundId::try_from(id.to_owned()).unwrap_or_else(|_| unreachable!("{id} is an id"))
}

impl World for Refunds {
    type System = System;

    fn starts(&self) -> Vec<(Value, System)> {
        starts(&self.payment)
    }

    fn simplified(&self, name: &str, value: Value) -> Value {
        match name {
            "problem" => "the model's".into(),
            // Only how long it waits.
            "pause" => match value.as_f64() {
                Some(pause) if pause < ARRIVES_WITHIN => 15.into(),
                Some(pause) if pause <= 3600.0 => 1800.into(),
                _ => value,
            },
            _ => value,
        }
    }

    /// They only reach the person who is told of them, as `problem`.
    fn tells_errors_apart(&self) -> bool {
        false
    }

    fn remembers_the_course(&self) -> bool {
        false
    }

    /// No two inquiries of an execution are at the same moment.
    fn entered_at(&self, _: &str, system: &System) -> &'static str {
        let own = format!("{CHARGE} {NOW_TEXT}");
        if system.mark(OWN).is_some_and(|mark| mark.starts_with(&own)) {
            "2100-01-01T00:00:01.000Z"
        } else {
            NOW_TEXT
        }
    }

    fn ask(&self, call: &Call<'_>, system: &System) -> Result<Answers<System>, Broken> {
        if call.callee == RECORDS {
            return self.update_item(call, system);
        }
        let mut payload = call.arguments["Payload"].clone();
        traced(call, &mut payload)?;
        match call.callee {
            "check-refund" => self.activity(call, payload, system, check_refund::check),
            "find-refund" => self.activity(
                call,
                payload,
                system,
                async |tables: &RefundTables, input: &find_refund::Input| {
                    find_refund::find(&tables.records, input).await
                },
            ),
            "record-refund" => self.activity(call, payload, system, record_refund::record),
            "record-elsewhere" => self.activity(call, payload, system, record_elsewhere::record),
            "void-charge" => self.request(&typed(call, payload)?, true, system),
            "refund-charge" => self.request(&typed(call, payload)?, false, system),
            "inquire-charge" => self.inquire(&typed(call, payload)?, system),
            "notify" => self.notify(&typed(call, payload)?, system),
            "report-stuck" => {
                let mut answers = Answers::default();
                let Ok(reported) = report_stuck::report(&typed(call, payload)?);
                let after = System {
                    reported: true,
                    ..system.clone()
                };
                answers.done(&reported, after);
                Ok(answers)
            }
            other => {
                let problem =
                    format!("tests/model/src/refunds.rs does not say what `{other}` answers");
                broken(Property::Understood, problem)
            }
        }
    }

    fn waited(&self, seconds: f64, system: &System) -> Vec<System> {
        if seconds >= ARRIVES_WITHIN {
            system.later()
        } else {
            vec![system.clone()]
        }
    }

    /// An event that the shop refuses was told. A report that fails for hours is as good as one: its function's failures
    /// have an alarm of their own.
    fn caught(&self, task: &Task, error: &str, system: &Rc<System>) -> Rc<System> {
        let mut after = System::clone(system);
        match (task.callee().as_str(), error) {
            ("report-stuck", _) => after.reported = true,
            ("notify", "NotificationRefused") => {
                let event = task.arguments["Payload"]["event"].as_str();
                let events = ["refund.succeeded", "refund.failed", "refund.elsewhere"];
                let event = events.into_iter().find(|name| Some(*name) == event);
                after.told.extend(event);
            }
            _ => {}
        }
        Rc::new(after)
    }

    fn entering(&self, _: &str, scene: &Scene<'_>) -> Result<(), Broken> {
        let system = scene.system;
        hold(
            system.accepted.values().all(|times| *times <= 1),
            Property::AsksOnce,
            format!("the bank has accepted {:?}", system.accepted),
        )?;
        let of = |entry: &Value| number(entry["M"].as_object().unwrap_or(&Item::new()), "satang");
        let counts = |entry: &Value| entry["M"]["state"]["S"] != "failed";
        let entries = || system.entries().into_iter().flatten();
        let counted: i64 = entries()
            .filter(|(_, e)| counts(e))
            .map(|(_, e)| of(e))
            .sum();
        let sum = number(&system.record, "refundedSatang");
        hold(
            sum == counted,
            Property::TellsTheTruth,
            format!("the ledger's sum is {sum}, its entries are {counted}"),
        )?;
        let ours = entries().filter(|(id, e)| *id != "elsewhere" && counts(e));
        let ours: i64 = ours.map(|(_, entry)| of(entry)).sum();
        hold(
            ours <= PAID,
            Property::GivesBackWhatWasPaid,
            format!("{ours} of {PAID} are reserved"),
        )?;
        let accepted = entries().filter(|(id, _)| system.times_accepted(id) > 0);
        let accepted: i64 = accepted.map(|(_, entry)| of(entry)).sum();
        hold(
            system.gone == accepted,
            Property::GivesBackWhatWasPaid,
            format!("the bank gives back {}, for {accepted}", system.gone),
        )?;
        for (id, entry) in entries().filter(|(_, entry)| !counts(entry)) {
            hold(
                system.times_accepted(id) == 0 && !system.is_on_its_way(id),
                Property::GivesBackWhatWasPaid,
                format!("{id} is given up, but the bank may have accepted it: {entry}"),
            )?;
        }
        Ok(())
    }

    /// Only after an inquiry it is known which request the bank may get.
    fn going_to(&self, next: &str, state: &str, _: Option<&str>) -> Result<(), Broken> {
        hold(
            !matches!(next, "VoidCharge" | "RefundCharge") || state == "RefundWay",
            Property::AsksOnce,
            format!("{state} leads to {next} without asking what became of the charge"),
        )
    }

    fn failing(&self, state: &str, _: &str, error: &str, system: &System) -> Result<(), Broken> {
        // Nothing can catch them.
        if UNSTOPPABLE.contains(&error) {
            return Ok(());
        }
        let ours = system.entry(OWN).filter(|entry| {
            let reason = entry.get("reason");
            reason == Some(&s(REASON))
        });
        hold(
            state == "CheckRefund" && ours.is_none(),
            Property::NothingIsKept,
            format!("{state} fails with {error}, and the refund is {ours:?}"),
        )
    }

    fn success(&self, _: &str, output: &Value, scene: &Scene<'_>) -> Result<(), Broken> {
        let system = scene.system;
        let told = |event: Event| {
            hold(
                system.told.contains(event.as_str()),
                Property::ShopIsNotified,
                format!("the shop does not get `{}`", event.as_str()),
            )
        };
        let right = |so: bool| {
            hold(
                so,
                Property::TellsTheTruth,
                format!("the output is {output}, but {system:?}"),
            )
        };
        let shown = matches!(
            scene.variables.get("bank").and_then(Value::as_str),
            Some("Voided" | "Refund Sent")
        );
        let is_explained = || {
            let mut entries = system.entries().into_iter().flatten();
            entries.any(|(_, entry)| entry["M"]["state"]["S"] != "failed")
        };
        match output["result"].as_str() {
            Some("refunded") => {
                right(system.state(OWN) == Some("sent") && system.recorded(OWN))?;
                right(system.times_accepted(OWN) == 1 || system.by_hand)?;
                told(Event::RefundSucceeded)
            }
            Some("failed") => {
                right(system.state(OWN) == Some("failed") && (!shown || is_explained()))?;
                told(Event::RefundFailed)
            }
            Some("explained") => right(!shown || is_explained()),
            Some("elsewhere") => {
                // A person's statement is believed, as far as other refunds leave so much.
                let stated = scene.variables.get("refund");
                let stated = stated.is_some_and(|refund| refund["amountSatang"] != 0);
                right(system.recorded("elsewhere") && (system.by_hand || stated))?;
                told(Event::RefundElsewhere)
            }
            _ => right(false),
        }
    }

    fn failed(&self, state: &str, error: &str, scene: &Scene<'_>) -> Result<(), Broken> {
        let system = scene.system;
        match error {
            "RefundUncertain" => hold(
                system.state(OWN) == Some("uncertain"),
                Property::NothingIsKept,
                format!(
                    "it fails in {state}, but the refund is {:?}",
                    system.entry(OWN)
                ),
            ),
            "RefundStuck" => hold(
                system.reported,
                Property::NothingIsKept,
                format!("it fails in {state}, and no person is told"),
            ),
            _ => broken(
                Property::EndsWhereMeant,
                format!("it fails in {state} with {error}"),
            ),
        }
    }
}

/// What must hold for an event that is sent to the shop.
fn notifying(input: &notify::Input, system: &System) -> Result<(), Broken> {
    let event = input.event.as_str();
    let Some(refund) = &input.refund else {
        return broken(
            Property::ShopIsNotified,
            format!("`{event}` is about no refund"),
        );
    };
    let id = refund.refund_id.as_str();
    let so = match input.event {
        Event::RefundSucceeded => system.recorded(id) && system.state(id) == Some("sent"),
        Event::RefundFailed => system.state(id) == Some("failed"),
        Event::RefundElsewhere => id.starts_with("elsewhere") && system.recorded("elsewhere"),
        _ => false,
    };
    let is_elsewhere = input.event == Event::RefundElsewhere;
    let entry = system.entry(if is_elsewhere { "elsewhere" } else { id });
    let unknown = entry.is_some_and(|entry| entry.contains_key("amountUnknown"));
    let amount = entry.map(|entry| number(entry, "satang"));
    let amount = amount.filter(|_| !unknown);
    hold(
        so && refund.amount_satang.map(Satang::satang) == amount,
        Property::ShopIsNotified,
        format!("the shop gets `{event}` with {refund:?}, but {system:?}"),
    )
}

/// The reason that the execution gives: what it reserves is told by it from what others do.
const REASON: &str = "the model's";

/// The inputs of executions, each with the systems that it may find.
fn starts(payment: &Payment) -> Vec<(Value, System)> {
    use Bank::{Authorized, RefundSent, Settled, Voided};
    let order = payment.order_id.as_str();
    let of = |amount: Option<&str>| {
        let mut input = json!({"refundId": OWN, "orderId": order, "reason": REASON});
        if let Some(amount) = amount {
            input["amount"] = amount.into();
        }
        input
    };
    let (part, all) = (of(Some("120.50")), of(None));
    let empty = |bank| system(payment, bank, &[]);
    let mut starts = Vec::new();
    let mut add = |input: &Value, system: System| starts.push((input.clone(), system));

    // New refunds.
    for input in [&part, &all] {
        for bank in [Authorized, Settled] {
            add(input, empty(bank));
        }
        for bank in [RefundSent, Voided] {
            add(
                input,
                System {
                    by_hand: true,
                    ..empty(bank)
                },
            );
        }
        // Beside another one.
        for (bank, state, request) in [
            (Settled, "reserved", Request::None),
            (Authorized, "reserved", Request::None),
            (Settled, "asked", Request::OnItsWay),
            (RefundSent, "sent", Request::Accepted),
            (RefundSent, "uncertain", Request::Accepted),
            (Settled, "uncertain", Request::None),
            (Settled, "failed", Request::None),
        ] {
            add(
                input,
                system(payment, bank, &[(OTHER, 50_000, state, request)]),
            );
        }
        add(input, elsewhere(payment));
    }

    // Refunds that are started again.
    for (satang, input) in [(PART, &part), (PAID, &all)] {
        let (whole, after) = (satang == PAID, [Settled, RefundSent]);
        let mut found = vec![
            (Settled, "reserved", Request::None),
            (Authorized, "reserved", Request::None),
            (Settled, "asked", Request::OnItsWay),
            (Settled, "asked", Request::Lost),
            (RefundSent, "asked", Request::Accepted),
            (RefundSent, "sent", Request::Accepted),
            (RefundSent, "uncertain", Request::Accepted),
            (Settled, "uncertain", Request::None),
        ];
        found.extend(after.map(|bank| (bank, "failed", Request::None)));
        if whole {
            found.push((Authorized, "asked", Request::OnItsWay));
            found.push((Voided, "asked", Request::Accepted));
            found.push((Voided, "sent", Request::Accepted));
        }
        for (bank, state, request) in found {
            let mut found = system(payment, bank, &[(OWN, satang, state, request)]);
            found.by_hand = bank == RefundSent && found.accepted.is_empty();
            add(input, found);
        }
    }

    // What was given back by hand, found or stated by a person.
    let charge = json!({"chargeId": CHARGE});
    for bank in [RefundSent, Voided, Settled] {
        add(
            &charge,
            System {
                by_hand: bank != Settled,
                ..empty(bank)
            },
        );
    }
    let sent = (OTHER, 50_000, "sent", Request::Accepted);
    add(&charge, system(payment, RefundSent, &[sent]));
    add(&charge, elsewhere(payment));
    for amount in ["100.00", "2000.00"] {
        let stated = json!({"chargeId": CHARGE, "amount": amount});
        add(&stated, elsewhere(payment));
        add(&stated, empty(Settled));
    }
    // More than another refund leaves that is reserved meanwhile.
    let known = ("elsewhere", 10_000, "sent", Request::None);
    let mut known = system(payment, RefundSent, &[known]);
    known.by_hand = true;
    known.record["refunds"]["M"]["elsewhere"]["M"]["recordedAt"] = s(NOW_TEXT);
    let stated = json!({"chargeId": CHARGE, "amount": "1500.00"});
    add(&stated, known);

    // Inputs that are refused.
    let reserved = (OWN, PART, "reserved", Request::None);
    add(&of(Some("120")), system(payment, Settled, &[reserved]));
    add(&of(Some("1500.01")), empty(Settled));
    add(&json!({}), empty(Settled));
    for order in ["482500000002", PAID_OTHERWISE, BEHIND] {
        let input = json!({"refundId": OWN, "orderId": order, "reason": REASON});
        add(&input, empty(Settled));
    }
    starts
}

/// What became of the request for an entry.
#[derive(Clone, Copy, PartialEq)]
enum Request {
    /// There was none.
    None,
    /// It may still arrive.
    OnItsWay,
    /// It never arrived.
    Lost,
    /// The bank has accepted it.
    Accepted,
}

/// A paid order with entries in its ledger: id, amount, state, and what became of the request.
fn system(payment: &Payment, bank: Bank, entries: &[(&str, i64, &str, Request)]) -> System {
    let mut record = tasks::record(payment, "paid");
    record.extend([
        ("resolution".to_owned(), s("orderPaid")),
        ("orderId".to_owned(), s(payment.order_id.as_str())),
        ("ownerId".to_owned(), s(payment.owner_id.as_str())),
        ("amountSatang".to_owned(), n(PAID)),
    ]);
    let reference = payment.reference_order.as_ref();
    record.extend(reference.map(|r| ("referenceOrder".to_owned(), s(r.as_str()))));
    let mut system = System {
        bank,
        accepted: BTreeMap::new(),
        gone: 0,
        by_hand: false,
        on_its_way: None,
        record,
        told: BTreeSet::new(),
        reported: false,
        acts: ACTS,
    };
    let mut ledger = Item::new();
    let mut counted = 0;
    for (id, satang, state, request) in entries {
        let mut entry = json!({
            "state": s(state),
            "satang": n(*satang),
            "reservedAt": n(NOW),
        });
        if *state == "asked" {
            let young = *request == Request::OnItsWay;
            entry["mark"] = s(MARK);
            entry["askedAt"] = n(if young { NOW } else { LONG_AGO });
            system.record.insert("refundAsking".into(), s(id));
        }
        ledger.insert((*id).to_owned(), json!({ "M": entry }));
        counted += if *state == "failed" { 0 } else { *satang };
        match request {
            Request::OnItsWay => {
                let void = bank == Bank::Authorized;
                system.on_its_way = Some(((*id).to_owned(), void));
            }
            Request::Accepted => {
                system.accepted.insert((*id).to_owned(), 1);
                system.gone += satang;
            }
            Request::None | Request::Lost => {}
        }
    }
    if !entries.is_empty() {
        let record = &mut system.record;
        record.insert("refunds".into(), json!({ "M": ledger }));
        record.insert("refundedSatang".into(), n(counted));
    }
    system
}

/// A paid order of which an unknown amount was given back by hand.
fn elsewhere(payment: &Payment) -> System {
    let mut system = system(
        payment,
        Bank::RefundSent,
        &[("elsewhere", PAID, "sent", Request::None)],
    );
    let entry = &mut system.record["refunds"]["M"]["elsewhere"]["M"];
    entry["amountUnknown"] = json!({"BOOL": true});
    entry["recordedAt"] = s(NOW_TEXT);
    system.by_hand = true;
    system
}
