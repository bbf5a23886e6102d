//! Other inputs: the checkout form and the status that apps poll, which strangers reach; and an execution's input,
//! which a person types.

use std::collections::BTreeMap;

use payment3_harness::http::FORM;
use payment3_harness::{random, shopper};
use reqwest::Method;
use serde_json::{Value, json};

use super::forgery::{Attack, EVIL, Forgery, MARKUP, Scene};
use super::victim::Stage;
use super::{Item, Leaves};

const CHECKOUT: &str = "/cardpayment";
const AT_DEFAULT: &str = "200 to thanks at the default, success";
const NO_ORDER: &str = "404 NOT_FOUND orderId";

pub(super) fn items() -> Vec<Item> {
    [open_redirects(), checkouts(), statuses(), inputs()]
        .into_iter()
        .flatten()
        .collect()
}

type Form = BTreeMap<String, String>;

/// The victim's own checkout form with some fields set.
fn form(scene: &Scene<'_>, set: &[(&str, &str)]) -> Form {
    let victim = scene.victim;
    let mut form = shopper::checkout_form(&scene.app.outputs, &victim.order, &victim.token);
    for (name, value) in set {
        form.insert((*name).to_owned(), (*value).to_owned());
    }
    form
}

/// A checkout that the bank decides at once: its answer is the page that sends the browser to the thank-you page.
fn open_redirects() -> Vec<Item> {
    let base = |callback: String| {
        Item::new(
            Stage::Ordered,
            format!("/cardpayment: callback={}", callback.escape_debug()),
            AT_DEFAULT,
            Leaves::TheBanksWord,
            Attack::once(move |scene| {
                Forgery::form(CHECKOUT, &form(scene, &[("callback", &callback)]))
            }),
        )
    };
    let mut items: Vec<_> = [
        format!("https://{EVIL}"),
        format!("//{EVIL}"),
        format!("https:{EVIL}"),
        format!("https://shop.villamarket.com@{EVIL}"),
        format!("https://shop.villamarket.com.{EVIL}"),
        format!("https://shop.villamarket.com\\@{EVIL}"),
        format!("https://shop.villamarket.com%40{EVIL}"),
        format!("https://shop.villamarket.com\r\nLocation: https://{EVIL}\r\nX-Evil: 1"),
        format!("https://shop.villamarket.com/\0@{EVIL}"),
        format!("https://shop.villamarket.com?next=https://{EVIL}"),
        "javascript:alert(1)//".to_owned(),
        "data:text/html,x".to_owned(),
        format!("\">{MARKUP}"),
    ]
    .map(base)
    .into();
    items.push(Item::new(
        Stage::OrderedAsMarkup,
        "/cardpayment: an order whose id is markup",
        "200 to thanks, success",
        Leaves::TheBanksWord,
        Attack::once(|scene| Forgery::form(CHECKOUT, &form(scene, &[]))),
    ));
    items
}

fn checkouts() -> Vec<Item> {
    let checkout = |name: &str, answer, change: fn(&Scene<'_>) -> Form| {
        Item::new(
            Stage::AtTheBank,
            format!("/cardpayment: {name}"),
            answer,
            Leaves::Nothing,
            Attack::once(move |scene| Forgery::form(CHECKOUT, &change(scene))),
        )
    };
    let page = |name: &str, answer, body: &'static str| {
        Item::new(
            Stage::AtTheBank,
            format!("/cardpayment: {name}"),
            answer,
            Leaves::Nothing,
            Attack::once(move |_| {
                Forgery::post(CHECKOUT, FORM, body).header("accept", "text/html")
            }),
        )
    };
    vec![
        checkout(
            "the victim's token with another amount",
            "409 TOKEN_USED token",
            |scene| form(scene, &[("grandTotal", "1.00")]),
        ),
        checkout(
            "the victim's token for another's order",
            "409 TOKEN_USED token",
            |scene| form(scene, &[("orderId", &scene.other.order.order_id)]),
        ),
        checkout(
            "the victim's token for a verification",
            "409 TOKEN_USED token",
            |scene| form(scene, &[("orderId", "ADDCARD"), ("grandTotal", "1.00")]),
        ),
        checkout(
            "the victim's form with a base of evil",
            "409 TOKEN_USED token",
            |scene| form(scene, &[("callback", &format!("https://{EVIL}"))]),
        ),
        checkout("the victim's order by another user", NO_ORDER, |scene| {
            let token = random::id("tokn_test_");
            let user = &scene.other.order.owner_id;
            form(scene, &[("token", &token), ("userId", user)])
        }),
        checkout(
            "the victim's order for less",
            "400 INVALID_INPUT grandTotal",
            |scene| {
                let token = random::id("tokn_test_");
                form(scene, &[("token", &token), ("grandTotal", "1.00")])
            },
        ),
        checkout(
            "bypass_order=1, for less",
            "400 INVALID_INPUT grandTotal",
            |scene| {
                let token = random::id("tokn_test_");
                let fields = [
                    ("token", token.as_str()),
                    ("grandTotal", "1.00"),
                    ("bypass_order", "1"),
                ];
                form(scene, &fields)
            },
        ),
        checkout("bypass_order=1, no such order", NO_ORDER, |scene| {
            let token = random::id("tokn_test_");
            let fields = [
                ("token", token.as_str()),
                ("orderId", "1"),
                ("bypass_order", "1"),
            ];
            form(scene, &fields)
        }),
        checkout("addcard in small letters", NO_ORDER, |scene| {
            let token = random::id("tokn_test_");
            form(scene, &[("token", &token), ("orderId", "addcard")])
        }),
        checkout("an order id of SQL", NO_ORDER, |scene| {
            let token = random::id("tokn_test_");
            form(scene, &[("token", &token), ("orderId", "'OR'1'='1")])
        }),
        checkout(
            "somebody else's merchant account",
            "400 INVALID_INPUT mid",
            |scene| form(scene, &[("mid", "401099999999999")]),
        ),
        page(
            "a field name of markup, twice, asked for as a page",
            "400 page",
            "%3Cscript%3Ealert(1)%3C/script%3E=1&%3Cscript%3Ealert(1)%3C/script%3E=2",
        ),
        page(
            "markup in every field, asked for as a page",
            "400 page",
            "orderId=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&userId=%3Cscript%3Ealert(1)%3C/script%3E",
        ),
    ]
}

fn statuses() -> Vec<Item> {
    let get = |id: String, answer| {
        let shown: String = id.chars().take(40).collect();
        Item::new(
            Stage::AtTheBank,
            format!("/checkstatus/{shown}"),
            answer,
            Leaves::Nothing,
            Attack::once(move |scene| {
                let id = id.replace("ORDER", &scene.victim.order.order_id);
                Forgery::new(Method::GET, format!("/checkstatus/{id}"))
            }),
        )
    };
    let mut items: Vec<_> = [
        "ADDCARD",
        "ORDER%00",
        "ORDER%0d%0aX-Evil:%201",
        "ORDER%20",
        "ORDER%252f..",
        "%27OR%271%27=%271",
        "%27%20OR%201=1%20--",
        "%7B%22$gt%22:%22%22%7D",
        ":order",
        "*",
        "%E0%B8%8A%E0%B8%B3%E0%B8%A3%E0%B8%B0",
        "%ff%fe",
        "%3Cscript%3Ealert(1)%3E",
        "__proto__",
    ]
    .map(|id| get(id.to_owned(), NO_ORDER))
    .into();
    items.push(get("1".repeat(101), NO_ORDER));
    items.push(get("1".repeat(4000), NO_ORDER));
    items.push(get("ORDER".to_owned(), "200 pending"));
    // API Gateway decodes an encoded slash.
    items.extend(
        [
            "..%2f..%2fcallback",
            "..%2fcheckstatus%2fORDER",
            "%2e%2e%2fcallback",
            "ORDER%2f",
            "ORDER/callback",
        ]
        .map(|id| get(id.to_owned(), "404 NOT_FOUND")),
    );
    items.push(Item::new(
        Stage::AtTheBank,
        "/checkstatus: a paid status, posted",
        "404 NOT_FOUND",
        Leaves::Nothing,
        Attack::once(|scene| {
            let order_id = &scene.victim.order.order_id;
            let path = format!("/checkstatus/{order_id}");
            Forgery::json(&path, &json!({"orderId": order_id, "status": "paid"}))
        }),
    ));
    items
}

/// Inputs that only a person with the console could send. They are not believed either.
fn inputs() -> Vec<Item> {
    let input = |stage, name: &str, answer, leaves, input: fn(&Scene<'_>) -> Value| {
        Item::new(
            stage,
            format!("execution: {name}"),
            answer,
            leaves,
            Attack::Execution(Box::new(input)),
        )
    };
    let everything = |scene: &Scene<'_>| {
        json!({
            "chargeId": scene.victim.charge, "status": "success", "outcome": "paid", "transactionState": "Authorized",
            "recordKey": scene.other.key, "amountSatang": 1, "resolution": "orderPaid",
            "payment": {"chargeId": scene.victim.charge, "recordKey": scene.other.key, "amountSatang": 1},
        })
    };
    vec![
        input(
            Stage::AtTheBank,
            "an undecided charge, with an outcome, a payment and another's key",
            "SUCCEEDED AwaitBank",
            Leaves::Inquiry,
            everything,
        ),
        input(
            Stage::Refused,
            "a declined charge, with an outcome, a payment and another's key",
            "SUCCEEDED CloseRecord",
            Leaves::TheBanksWord,
            everything,
        ),
        input(
            Stage::AtTheBank,
            "an unknown charge with the victim's key",
            "FAILED RecordNotFound",
            Leaves::Nothing,
            |scene| json!({"chargeId": "chrg_test_made_up", "recordKey": scene.victim.key}),
        ),
        input(
            Stage::AtTheBank,
            "another's paid charge with the victim's key",
            "SUCCEEDED AlreadyProcessed",
            Leaves::Nothing,
            |scene| json!({"chargeId": scene.other.charge, "recordKey": scene.victim.key}),
        ),
        input(
            Stage::AtTheBank,
            "a status that is none",
            "SUCCEEDED AwaitBank",
            Leaves::Inquiry,
            |scene| json!({"chargeId": scene.victim.charge, "status": "maybe"}),
        ),
        input(
            Stage::AtTheBank,
            "two charges",
            "FAILED InvalidCallback",
            Leaves::Nothing,
            |scene| json!({"chargeId": scene.victim.charge, "objectId": scene.other.charge}),
        ),
        input(
            Stage::AtTheBank,
            "no charge",
            "FAILED InvalidCallback",
            Leaves::Nothing,
            |scene| json!({"recordKey": scene.victim.key, "status": "success"}),
        ),
        input(
            Stage::AtTheBank,
            "a source that is none",
            "SUCCEEDED AwaitBank",
            Leaves::Inquiry,
            |scene| json!({"chargeId": scene.victim.charge, "source": "bank"}),
        ),
        input(
            Stage::Voided,
            "a voided charge again, as paid",
            "SUCCEEDED AlreadyProcessed",
            Leaves::Nothing,
            everything,
        ),
    ]
}
