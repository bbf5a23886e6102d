//! Every flow as a row of a table: what the shopper does, and what follows from it. That is the exact path of the
//! execution, what each table holds, the charge's state at the bank, and the events that the shop received.
//!
//! The names of the rows are those of the flows: 1 a new user pays, 2 a known user pays with another card, 3 the
//! payment fails, 4 a card is verified (`ADDCARD`), and the refusals of an order whose charge was authorised all the
//! same.

use payment3_bank::Dialect;
use payment3_harness::invariants::assert_invariants;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{self, CARD_APPROVED, CARD_DECLINED, OTHER_CARD_APPROVED};
use serde_json::{Value, json};

use crate::support::{Authenticated, TestApp, assert_closed, subject};

/// One row of the table.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    /// What the shopper does.
    card: &'static str,
    action: &'static str,
    claims: &'static str,
    known_user: bool,
    verification: bool,
    /// What happens between 3-D Secure and the return.
    meanwhile: Meanwhile,
    /// What is decided on the way through the states.
    decided: &'static [&'static str],
    /// The record's `outcome` and `resolution`.
    record: (&'static str, Option<&'static str>),
    /// What the app is shown; nothing for a verification.
    check_status: Option<&'static str>,
    bank: &'static str,
    events: &'static [&'static str],
    /// How many cards the owner's customer holds; none without a customer.
    cards: Option<usize>,
}

/// What happens between 3-D Secure and the browser's return.
#[derive(Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    Settled,
    OrderGone,
    OrderGoneAndSettled,
    OrderDrafted,
    /// In one of the ways in which the shop writes it.
    OrderCancelled(Cancelled),
    OrderPaidByOther,
    OrderDearer,
}

/// What of an order says that it is cancelled.
#[derive(Clone, Copy, PartialEq)]
enum Cancelled {
    Flag,
    Status,
    PaymentStatus,
}

/// Flow 1; the others say what differs.
const NEW_USER: Flow = Flow {
    name: "1: a new user pays",
    card: CARD_APPROVED,
    action: "approve",
    claims: "true",
    known_user: false,
    verification: false,
    meanwhile: Meanwhile::Nothing,
    decided: &["paid", "the policy says yes"],
    record: ("paid", Some("orderPaid")),
    check_status: Some("paid"),
    bank: "Authorized",
    events: &["payment.succeeded"],
    cards: Some(1),
};

const DECLINED: Flow = Flow {
    name: "3: a new user's card is declined",
    card: CARD_DECLINED,
    claims: "false",
    decided: &["declined", "the policy says yes", "CardNotSaved"],
    record: ("declined", None),
    check_status: Some("declined"),
    bank: "Declined",
    events: &["payment.failed"],
    cards: None,
    ..NEW_USER
};

const VERIFIED: Flow = Flow {
    name: "4: a new user verifies a card",
    verification: true,
    decided: &["paid or returned, ADDCARD", "ADDCARD"],
    record: ("paid", Some("reversed")),
    check_status: None,
    bank: "Voided",
    events: &["card.saved"],
    ..NEW_USER
};

const REFUSED: Flow = Flow {
    name: "refused: the order is gone",
    meanwhile: Meanwhile::OrderGone,
    decided: &["paid", "OrderNotPayable"],
    record: ("paid", Some("reversed")),
    check_status: Some("reversed"),
    bank: "Voided",
    events: &["payment.reversed"],
    cards: None,
    ..NEW_USER
};

pub(crate) const FLOWS: [Flow; 19] = [
    NEW_USER,
    Flow {
        name: "1: a new user pays, and the bank has settled already",
        meanwhile: Meanwhile::Settled,
        bank: "Settled",
        ..NEW_USER
    },
    Flow {
        name: "2: a known user pays with another card",
        card: OTHER_CARD_APPROVED,
        known_user: true,
        decided: &["paid", "the policy says yes", "existed, not declined"],
        cards: Some(2),
        ..NEW_USER
    },
    DECLINED,
    Flow {
        name: "3: a known user's card is declined",
        known_user: true,
        decided: &["declined", "the policy says yes"],
        cards: Some(1),
        ..DECLINED
    },
    Flow {
        name: "3: a new user fails 3-D Secure",
        card: CARD_APPROVED,
        action: "fail",
        ..DECLINED
    },
    Flow {
        name: "3: a new user's card is declined, and the return claims success",
        claims: "true",
        ..DECLINED
    },
    VERIFIED,
    Flow {
        name: "4: a known user verifies another card",
        card: OTHER_CARD_APPROVED,
        known_user: true,
        decided: &[
            "paid or returned, ADDCARD",
            "existed, not declined",
            "ADDCARD",
        ],
        cards: Some(2),
        ..VERIFIED
    },
    Flow {
        name: "4: a verification that the bank has settled is refunded",
        meanwhile: Meanwhile::Settled,
        bank: "Refund Sent",
        ..VERIFIED
    },
    Flow {
        name: "4: a card that cannot be verified",
        verification: true,
        decided: &["declined"],
        check_status: None,
        events: &["card.failed"],
        ..DECLINED
    },
    REFUSED,
    Flow {
        name: "refused: the order is a draft again",
        meanwhile: Meanwhile::OrderDrafted,
        ..REFUSED
    },
    Flow {
        name: "refused: the order is cancelled during 3-D Secure",
        meanwhile: Meanwhile::OrderCancelled(Cancelled::Flag),
        ..REFUSED
    },
    Flow {
        name: "refused: the order is cancelled by its status",
        meanwhile: Meanwhile::OrderCancelled(Cancelled::Status),
        ..REFUSED
    },
    Flow {
        name: "refused: the order is cancelled by its payment's status",
        meanwhile: Meanwhile::OrderCancelled(Cancelled::PaymentStatus),
        ..REFUSED
    },
    Flow {
        name: "refused: the order is gone, and the bank has settled",
        meanwhile: Meanwhile::OrderGoneAndSettled,
        bank: "Refund Sent",
        ..REFUSED
    },
    Flow {
        name: "refused: another charge has paid the order",
        meanwhile: Meanwhile::OrderPaidByOther,
        ..REFUSED
    },
    Flow {
        name: "refused: the order costs more now",
        meanwhile: Meanwhile::OrderDearer,
        ..REFUSED
    },
];

#[test]
fn every_flow_is_a_way_of_the_definition() {
    for flow in &FLOWS {
        let path = payment3_model::path(payment3_model::Machine::Payment, flow.decided);
        assert_eq!(path.last(), Some(&"CloseRecord"), "{}", flow.name);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn every_flow_takes_its_path_and_leaves_what_it_must() {
    let app = TestApp::connect().await;
    for flow in &FLOWS {
        println!("{}", flow.name);
        check(&app, flow, Dialect::Usual).await;
    }
}

#[test]
fn every_field_of_an_executions_output_is_expected() {
    let definition =
        payment3_model::Definition::of_the_repository(payment3_model::Machine::Payment)
            .expect("a definition");
    let last = definition.source["States"]["CloseRecord"]["Output"].as_object();
    let fields: Vec<_> = last.expect("an object").keys().collect();
    let expected = NEW_USER.output("1");
    let expected: Vec<_> = expected.as_object().expect("an object").keys().collect();
    assert_eq!(
        fields, expected,
        "`Flow::output` in tests/e2e/tests/e2e/flows.rs says what each flow's execution puts out"
    );
}

impl Flow {
    /// What its execution puts out.
    fn output(&self, order_id: &str) -> Value {
        json!({
            "card": self.card_outcome(),
            "notified": true,
            "orderId": order_id,
            "result": self.result(),
        })
    }

    /// How the payment ends, in the words of the record and of the execution.
    fn result(&self) -> &'static str {
        match self.record {
            (_, Some("reversed")) if self.verification => "verified",
            (_, Some("reversed")) => "reversed",
            (outcome, _) => outcome,
        }
    }

    /// What becomes of the card.
    fn card_outcome(&self) -> &'static str {
        let saves = self.verification || self.record.1 == Some("orderPaid");
        match self.decided.last() {
            Some(&"CardNotSaved") => "refused",
            _ if saves && !self.is_declined() => "saved",
            _ => "notSaved",
        }
    }

    /// Whether the bank refuses the charge.
    pub(crate) fn is_declined(&self) -> bool {
        self.record.0 == "declined"
    }

    /// What the bank says before anything is given back.
    fn decided(&self) -> &'static str {
        match self.meanwhile {
            _ if self.is_declined() => "Declined",
            Meanwhile::Settled | Meanwhile::OrderGoneAndSettled => "Settled",
            _ => "Authorized",
        }
    }

    /// Whether the bank's word for its decision must decide nothing in this dialect. The word is unknown, or it means
    /// that the charge waits.
    pub(crate) fn decides_nothing_in(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::MisspeltAuthorized => self.decided() == "Authorized",
            Dialect::UnknownState | Dialect::FailWithAuthorized => !self.is_declined(),
            Dialect::FailWithPreAuthorized | Dialect::FailWithInitialized => self.is_declined(),
            _ => false,
        }
    }
}

/// Plays a flow with a bank that uses this dialect, and checks the result. If the bank's word decides nothing, the
/// payment waits untouched, and goes on when the bank speaks as usual again. Returns the charge.
pub(crate) async fn check(app: &TestApp, flow: &Flow, dialect: Dialect) -> String {
    let name = &format!("{}, {dialect}", flow.name);
    let owner = random::id("usr_");
    let mut first = None;
    if flow.known_user {
        let paid = app.authenticated(&owner, CARD_APPROVED).await;
        app.return_with(&paid.form).await;
        app.execution(paid.charge_id()).await;
        first = Some(paid);
    }
    let order = if flow.verification {
        Order::verification(&owner)
    } else {
        app.order_of(&owner).await
    };
    let page = app.check_out_in(dialect, &order, flow.card).await;
    let form = shopper::authenticate_by(&page, flow.action)
        .await
        .expect("the bank's page answers");
    let done = Authenticated { order, form };
    let charge = done.charge_id();
    app.meanwhile(flow.meanwhile, &done).await;
    app.send_notifications(flow, dialect, charge).await;

    let answer = app
        .return_with(&done.form.clone().with("status", flow.claims))
        .await;
    assert_eq!(answer.status, 303, "{name}: {answer:?}");

    let mut execution = app.execution(charge).await;
    if flow.decides_nothing_in(dialect) {
        // The return came while the bank's word decided nothing: the execution ended in AwaitBank.
        assert!(execution.states().contains(&"AwaitBank"), "{name}");
        app.assert_waits(flow, name, &done).await;
        app.speak(charge, Dialect::Usual).await;
        execution = app.start_by_hand(charge).await;
    }
    assert_eq!(execution.status, "SUCCEEDED", "{name}: {execution:?}");
    assert_eq!(
        execution.states(),
        payment3_model::path(payment3_model::Machine::Payment, flow.decided),
        "{name}"
    );

    let record = app.record(charge).await;
    assert_closed(&record);
    assert_eq!(record["outcome"], flow.record.0, "{name}: {record}");
    let output = execution.output.as_ref().expect("an output");
    assert_eq!(*output, flow.output(done.order.order_id.as_str()), "{name}");
    assert_eq!(record["closedAs"], flow.result(), "{name}: {record}");
    assert_eq!(
        record.get("resolution"),
        flow.record.1.map(Value::from).as_ref(),
        "{name}"
    );
    assert!(
        record.get("token").is_none(),
        "{name}: the token outlives the payment"
    );
    let outcomes = app.inspector.outcomes(charge).await.expect("outcomes");
    assert_eq!(outcomes.len(), 1, "{name}: {outcomes:?}");
    assert_eq!(outcomes[0]["outcome"], flow.record.0, "{name}");

    if flow.verification {
        for table in [
            app.inspector.order("ADDCARD").await,
            app.inspector.check_status("ADDCARD").await,
        ] {
            assert_eq!(table.expect("table"), None, "{name}");
        }
    } else {
        let status = app.inspector.check_status(&done.order.order_id).await;
        let status = status.expect("table").expect("check status");
        assert_eq!(
            status["status"].as_str(),
            flow.check_status,
            "{name}: {status}"
        );
        assert_eq!(status["chargeId"], charge, "{name}: {status}");
        let shown = app.inspector.shown_status(&done.order.order_id).await;
        let shown = shown.expect("an answer").expect("a status");
        assert_eq!(
            shown["status"].as_str(),
            flow.check_status,
            "{name}: {shown}"
        );
        assert_order(app, flow, &done).await;
    }

    let at_the_bank = app.inspector.bank_charge(charge).await.expect("charge");
    assert_eq!(at_the_bank["transaction_state"], flow.bank, "{name}");
    assert_eq!(app.event_kinds_of(charge).await, flow.events, "{name}");
    assert_eq!(app.saved_cards(&owner).await, flow.cards, "{name}");
    // The invariants do not cover a charge that the test made up.
    if flow.meanwhile != Meanwhile::OrderPaidByOther {
        let payments: Vec<_> = first.iter().chain([&done]).collect();
        assert_invariants(&app.inspector, &subject(&payments)).await;
    }
    charge.to_owned()
}

/// Asserts that this charge paid the order exactly where the flow says so.
async fn assert_order(app: &TestApp, flow: &Flow, done: &Authenticated) {
    let item = app
        .inspector
        .order(&done.order.order_id)
        .await
        .expect("table");
    let payment = item.map(|item| item["data"]["payment"].clone());
    match flow.meanwhile {
        Meanwhile::OrderGone | Meanwhile::OrderGoneAndSettled => {
            assert_eq!(payment, None, "{}", flow.name);
        }
        Meanwhile::OrderPaidByOther => {
            assert_eq!(payment.expect("payment")["paymentId"], "chrg_other");
        }
        _ => {
            let paid = flow.record.1 == Some("orderPaid");
            let payment = payment.expect("payment");
            assert_eq!(payment["isPaid"], paid, "{}: {payment}", flow.name);
        }
    }
}

impl TestApp {
    /// Sends the bank's notifications of this dialect, before the browser is back. The usual dialect sends none.
    async fn send_notifications(&self, flow: &Flow, dialect: Dialect, charge: &str) {
        if dialect == Dialect::NotificationFirst {
            // The notification came before checkout had stored the charge, so the bank must send it again. A
            // verification has no order to find its record by.
            let at_the_bank = self.inspector.bank_charge(charge).await.expect("charge");
            let too_early = if flow.verification { 404 } else { 503 };
            let first = &at_the_bank["notifications"][0]["answer"];
            assert_eq!(*first, too_early, "{at_the_bank}");
        }
        let times = match dialect {
            Dialect::Usual => 0,
            Dialect::DeclinesNotNotified if flow.is_declined() => 0,
            Dialect::NotifiedTwice => 2,
            _ => 1,
        };
        for _ in 0..times {
            let sent = self.notify(charge).await;
            assert_eq!(sent["answer"], 200, "{dialect}: {sent}");
        }
    }

    /// Asserts that nothing happened to the payment after its checkout.
    async fn assert_waits(&self, flow: &Flow, name: &str, done: &Authenticated) {
        let charge = done.charge_id();
        let record = self.record(charge).await;
        assert_eq!(record["outcome"], "pending", "{name}: {record}");
        assert!(record["openShard"].is_number(), "{name}: {record}");
        assert!(record.get("resolution").is_none(), "{name}: {record}");
        let at_the_bank = self.inspector.bank_charge(charge).await.expect("charge");
        assert_eq!(at_the_bank["transaction_state"], flow.decided(), "{name}");
        let outcomes = self.inspector.outcomes(charge).await.expect("outcomes");
        assert!(outcomes.is_empty(), "{name}: {outcomes:?}");
        assert_eq!(self.event_kinds_of(charge).await, [""; 0], "{name}");
        let cards = flow.known_user.then_some(1);
        assert_eq!(
            self.saved_cards(&done.order.owner_id).await,
            cards,
            "{name}"
        );
        let item = self
            .inspector
            .order(&done.order.order_id)
            .await
            .expect("table");
        let by = item.map(|item| item["data"]["payment"]["paymentId"].clone());
        assert_ne!(by, Some(json!(charge)), "{name}");
    }

    async fn meanwhile(&self, what: Meanwhile, done: &Authenticated) {
        let id = &done.order.order_id;
        match what {
            Meanwhile::Nothing => {}
            Meanwhile::Settled => self.settle(done.charge_id()).await,
            Meanwhile::OrderGone => self.remove_order(id).await,
            Meanwhile::OrderGoneAndSettled => {
                self.remove_order(id).await;
                self.settle(done.charge_id()).await;
            }
            Meanwhile::OrderDrafted => self.change_order(id, "isDrafting", &json!(true)).await,
            Meanwhile::OrderCancelled(Cancelled::Flag) => {
                self.change_order(id, "isCancelled", &json!(true)).await;
            }
            Meanwhile::OrderCancelled(Cancelled::Status) => {
                self.change_order(id, "status", &json!("Cancelled")).await;
            }
            Meanwhile::OrderCancelled(Cancelled::PaymentStatus) => {
                let payment = json!({"isPaid": false, "status": "CANCELED", "grandTotal": 1500});
                self.change_order(id, "payment", &payment).await;
            }
            Meanwhile::OrderPaidByOther => {
                let payment =
                    json!({"isPaid": true, "paymentId": "chrg_other", "grandTotal": 1500});
                self.change_order(id, "payment", &payment).await;
            }
            Meanwhile::OrderDearer => {
                let payment = json!({"isPaid": false, "grandTotal": 1500.01});
                self.change_order(id, "payment", &payment).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn two_users_verify_at_the_same_time_without_mixing() {
    let app = TestApp::connect().await;
    let (one, other) = (random::id("usr_"), random::id("usr_"));
    let verify = async |owner: &str| {
        let page = app
            .check_out(&Order::verification(owner), CARD_APPROVED)
            .await;
        let form = shopper::authenticate(&page).await.expect("the bank's page");
        app.return_with(&form).await;
        let charge = form.charge_id().expect("charge").to_owned();
        let execution = app.execution(&charge).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        let mapping = app
            .inspector
            .mapping(owner)
            .await
            .expect("table")
            .expect("mapping");
        assert_eq!(mapping["createdByCharge"], charge.as_str(), "{mapping}");
        assert_eq!(app.event_kinds_of(&charge).await, ["card.saved"]);
        mapping["kbank_id"].clone()
    };
    let (first, second) = tokio::join!(verify(&one), verify(&other));
    assert_ne!(first, second);
    assert_eq!(app.saved_cards(&one).await, Some(1));
    assert_eq!(app.saved_cards(&other).await, Some(1));
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn two_tabs_pay_one_order_with_two_cards_and_the_second_gets_the_money_back() {
    let app = TestApp::connect().await;
    let order = app.order().await;
    let mut charges = Vec::new();
    for card in [CARD_APPROVED, OTHER_CARD_APPROVED] {
        let page = app.check_out(&order, card).await;
        charges.push(shopper::authenticate(&page).await.expect("the bank's page"));
    }
    tokio::join!(app.return_with(&charges[0]), app.return_with(&charges[1]));
    let mut resolutions = Vec::new();
    for form in &charges {
        let charge = form.charge_id().expect("charge");
        let execution = app.execution(charge).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        let record = app.record(charge).await;
        let bank = app.inspector.bank_charge(charge).await.expect("charge");
        let state = bank["transaction_state"]
            .as_str()
            .expect("state")
            .to_owned();
        let resolution = record["resolution"]
            .as_str()
            .expect("resolution")
            .to_owned();
        let payment = app.payment_of(&order).await;
        assert_eq!(
            payment["paymentId"] == charge,
            resolution == "orderPaid",
            "{payment} {record}"
        );
        resolutions.push((resolution, state));
    }
    resolutions.sort();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        resolutions,
        [pair("orderPaid", "Authorized"), pair("reversed", "Voided")]
    );
    let status = app.inspector.check_status(&order.order_id).await;
    assert_eq!(status.expect("table").expect("row")["status"], "paid");
}
