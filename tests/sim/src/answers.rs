//! What the system answers, word for word: to forms and returns, to apps, to the back office, and what each function gives
//! back along each flow. The text is `tests/sim/answers.txt`; who changes an answer sees it there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use http::{Method, Request};
use payment3_activities::domain::ids::CardToken;
use payment3_bank::{Dialect, Manner};
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;
use payment3_harness::shopper::refresh_target;
use payment3_model::Machine;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bank::{NewToken, Page, Step, cards};
use crate::items;
use crate::run::in_a_calm_world;
use crate::scenario::{How, play};
use crate::shop::Order;
use crate::time::{HOUR, SECOND};
use crate::world::World;

/// To whom all orders belong.
const OWNER: &str = "usr_answers_0001";

/// The text of `tests/sim/answers.txt`.
///
/// # Errors
/// A flow does not end, or the world cannot be built.
pub fn answers() -> Result<String> {
    let mut text = String::new();
    for (title, lines) in [
        ("Checkout: orders", in_a_calm_world(of_orders)?),
        ("Checkout: forms", in_a_calm_world(of_forms)?),
        ("Checkout: cards", in_a_calm_world(of_cards)?),
        ("Checkout: a bank in trouble", in_a_calm_world(of_trouble)?),
        ("Checkout: dialects", in_a_calm_world(of_dialects)?),
        ("Returns", in_a_calm_world(of_returns)?),
        ("Refunds", in_a_calm_world(of_refunds)?),
    ] {
        writeln!(text, "# {title}\n\n{}\n", lines.join("\n"))?;
    }
    // What is answered alike in an earlier flow is not said again.
    let mut said = BTreeSet::new();
    for flow in Flow::ALL {
        let how = How {
            trace: true,
            afterwards: true,
            ..How::default()
        };
        let played = play(flow, Start::Warm, None, how)?;
        let answers = played.trace.iter().filter_map(|line| {
            let (run, answer) = line.split_once(": answers ")?;
            let (_, run) = run.split_once("  ")?;
            let function = run.trim_start().split(' ').next()?;
            Some(format!("{function}: {answer}"))
        });
        let lines: Vec<_> = answers
            .chain(played.afterwards)
            .filter(|line| said.insert(line.clone()))
            .collect();
        writeln!(text, "# {flow}\n\n{}\n", lines.join("\n"))?;
    }
    Ok(text)
}

/// A shopper's browser and the bank, in a calm world.
struct Desk<'a> {
    world: &'a World,
    orders: u32,
    tokens: u32,
}

impl<'a> Desk<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            orders: 0,
            tokens: 0,
        }
    }

    /// The shop takes an order over so many satang. `change` is made to its `data`.
    fn order(&mut self, satang: i64, change: &Value) -> Result<String> {
        self.orders += 1;
        let order = Order::over(satang, &format!("4825000{:05}", self.orders), OWNER);
        self.world.shop_takes_order(&order)?;
        let mut item = order.item(self.world.time().now())?;
        item["data"]["payment"]["grandTotal"] = (satang as f64 / 100.0).into();
        merge(&mut item["data"], change);
        let parts = &self.world.0;
        let item = items::attributes(&item);
        parts.tables.store(&parts.names.orders, &item)?;
        Ok(order.id)
    }

    /// The bank gives a token for a card that behaves like this.
    async fn token(&mut self, manner: Manner, dialect: Dialect) -> Result<String> {
        self.tokens += 1;
        let token = format!("tokn_test_answers_{}", self.tokens);
        let card = cards(manner)[0];
        let new = NewToken {
            id: &token,
            card,
            dialect,
            issuer_takes: None,
        };
        let made = self.world.bank().token(&new).await;
        made.map_err(|refused| anyhow::anyhow!("the bank refuses: {refused:?}"))
    }

    fn form(&self, token: &str, order: &str, total: &str) -> Vec<(String, String)> {
        [
            ("token", token),
            ("userId", OWNER),
            ("orderId", order),
            ("basketId", "basket_answers"),
            ("customerId", OWNER),
            ("grandTotal", total),
            ("mid", self.world.merchant()),
            ("paymentMethods", "card"),
            ("saveCard", "true"),
            ("callback", "yourapp://payments"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    async fn send(&self, request: Request<Vec<u8>>) -> String {
        match self.world.api().request("somebody", request).await {
            Err(none) => none,
            Ok(answer) => {
                let mut said = answer.status().as_u16().to_string();
                for name in ["location", "retry-after", "cache-control"] {
                    if let Some(value) = answer.headers().get(name) {
                        let _ = write!(said, " {name}: {}", value.to_str().unwrap_or_default());
                    }
                }
                let body = String::from_utf8_lossy(answer.body());
                let to = refresh_target(&body);
                let _ = match &to {
                    Some(target) => write!(said, " to {target}"),
                    None => write!(said, " {body}"),
                };
                said
            }
        }
    }

    async fn check_out(&self, form: &[(String, String)]) -> String {
        self.send(self.world.form("/cardpayment", form)).await
    }

    /// Pays an order as far as the bank's page.
    async fn pay(&mut self, manner: Manner, satang: i64) -> Result<Paying> {
        let order = self.order(satang, &json!({}))?;
        let token = self.token(manner, Dialect::Usual).await?;
        let total = format!("{}.{:02}", satang / 100, satang % 100);
        let form = self.form(&token, &order, &total);
        let answer = self.check_out(&form).await;
        Ok(Paying {
            page: answer.split_once(" to ").map(|(_, page)| page.to_owned()),
            token,
            order,
            form,
            answer,
        })
    }

    async fn confirm(&self, paying: &Paying) -> Result<BTreeMap<String, String>> {
        let page = paying.page.as_deref().context("no page of the bank's")?;
        self.world.bank().three_ds(page, Step::Open).await;
        match self.world.bank().three_ds(page, Step::Confirm).await {
            Page::Returning(form) | Page::Decided(form) => Ok(form.fields),
            Page::Lost => Ok(BTreeMap::new()),
            other => anyhow::bail!("the bank's page is {other:?}"),
        }
    }

    async fn post_return(&self, fields: &BTreeMap<String, String>) -> String {
        self.send(self.world.form("/callback", fields)).await
    }

    async fn status(&self, order: &str) -> String {
        let path = format!("/checkstatus/{order}");
        let request = self
            .world
            .request(Method::GET, &path, "application/json", Vec::new());
        self.send(request).await
    }

    /// Waits until no execution runs.
    async fn rest(&self) {
        sleep(SECOND).await;
        while self.world.0.step_functions.running() > 0 {
            sleep(SECOND).await;
        }
    }

    /// The record of a token, as far as it says how the payment stands.
    fn record(&self, token: &str) -> String {
        let parts = &self.world.0;
        let key = CardToken::new(token).map(|token| token.record_key().as_str().to_owned());
        let record = parts.item(&parts.names.records, &key.unwrap_or_default());
        let record = record.unwrap_or_default();
        let names = [
            "outcome",
            "resolution",
            "closedAs",
            "attempt",
            "cardSavedAs",
        ];
        let known = names.iter().filter(|name| !record[**name].is_null());
        let known: Vec<_> = known
            .map(|name| format!("{name} {}", record[*name]))
            .collect();
        known.join(", ")
    }
}

/// A payment at the bank's page, or at its end.
struct Paying {
    token: String,
    order: String,
    form: Vec<(String, String)>,
    answer: String,
    page: Option<String>,
}

/// Puts what `change` has into `into`.
fn merge(into: &mut Value, change: &Value) {
    match change.as_object() {
        Some(fields) => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        None => *into = change.clone(),
    }
}

/// Orders that can be paid, and that cannot.
async fn of_orders(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for (satang, total, change) in [
        (150_000, "1500.00", json!({})),
        (150_000, "1500", json!({})),
        (100, "1.00", json!({})),
        (99, "0.99", json!({})),
        (99, "1.00", json!({})),
        (150_000, "1500.01", json!({})),
        (150_000, "1500.00", json!({"isDrafting": true})),
        (150_000, "1500.00", json!({"isCancelled": true})),
        (150_000, "1500.00", json!({"payment": {"isPaid": true}})),
        (
            150_000,
            "1500.00",
            json!({"payment": {"isPaid": true, "paymentId": "chrg_test_other"}}),
        ),
        (150_000, "1500.00", json!({"ownerId": "usr_other"})),
        (
            150_000,
            "1500.00",
            json!({"payment": {"grandTotal": "much"}}),
        ),
        (150_000, "1500.00", json!({"payment": null})),
    ] {
        let order = desk.order(satang, &change)?;
        let token = desk.token(Manner::Approved, Dialect::Usual).await?;
        let form = desk.form(&token, &order, total);
        let answer = desk.check_out(&form).await;
        lines.push(format!("{satang} satang, {change}, as {total}: {answer}"));
    }
    let token = desk.token(Manner::Approved, Dialect::Usual).await?;
    for order in ["482599999999", "ADDCARD"] {
        let form = desk.form(&token, order, "1.00");
        lines.push(format!("{order}: {}", desk.check_out(&form).await));
    }
    Ok(lines)
}

/// Forms with one field as it should not be.
async fn of_forms(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for (name, value) in [
        ("token", None),
        ("token", Some("nonsense token")),
        ("userId", None),
        ("userId", Some("usr_other")),
        ("orderId", None),
        ("orderId", Some("no order")),
        ("grandTotal", None),
        ("grandTotal", Some("much")),
        ("grandTotal", Some("1500.005")),
        ("mid", None),
        ("mid", Some("401000000000009")),
        ("paymentMethods", Some("cash")),
        ("saveCard", Some("perhaps")),
        ("saveCard", None),
        ("callback", None),
        ("callback", Some("https://evil.example/")),
        ("callback", Some("javascript:alert(1)")),
    ] {
        let order = desk.order(150_000, &json!({}))?;
        let token = desk.token(Manner::Approved, Dialect::Usual).await?;
        let mut form = desk.form(&token, &order, "1500.00");
        form.retain(|(field, _)| field != name);
        if let Some(value) = value {
            form.push((name.to_owned(), value.to_owned()));
        }
        let answer = desk.check_out(&form).await;
        lines.push(format!("{name} {value:?}: {answer}"));
    }
    Ok(lines)
}

/// Cards, with the same form again at each stage, and with another card meanwhile.
async fn of_cards(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for manner in [
        Manner::Approved,
        Manner::Declined,
        Manner::ApprovedAtOnce,
        Manner::DeclinedAtOnce,
        Manner::Slow,
        Manner::CallbackLost,
    ] {
        let paying = desk.pay(manner, 150_000).await?;
        lines.push(format!("{manner:?}: {}", paying.answer));
        lines.push(format!("  again: {}", desk.check_out(&paying.form).await));
        lines.push(format!("  shown: {}", desk.status(&paying.order).await));
        let mut other_form = paying.form.clone();
        other_form.push(("note".to_owned(), "another".to_owned()));
        for field in &mut other_form {
            if field.0 == "saveCard" {
                "false".clone_into(&mut field.1);
            }
        }
        let answer = desk.check_out(&other_form).await;
        lines.push(format!("  another form with this token: {answer}"));
        let other = desk.token(Manner::Approved, Dialect::Usual).await?;
        let other = desk.form(&other, &paying.order, "1500.00");
        lines.push(format!("  another card: {}", desk.check_out(&other).await));
        if paying.answer.contains("/3ds/") {
            let fields = desk.confirm(&paying).await?;
            if !fields.is_empty() {
                lines.push(format!("  back: {}", desk.post_return(&fields).await));
            }
        }
        desk.rest().await;
        lines.push(format!("  rest: {}", desk.record(&paying.token)));
        lines.push(format!("  again: {}", desk.check_out(&paying.form).await));
        lines.push(format!("  shown: {}", desk.status(&paying.order).await));
        lines.push(format!("  another card: {}", desk.check_out(&other).await));
        sleep(HOUR).await;
        lines.push(format!(
            "  another card later: {}",
            desk.check_out(&other).await
        ));
    }
    Ok(lines)
}

/// What a shopper sees while the bank fails, and what becomes of the payment.
async fn of_trouble(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for operation in ["create_charge", "inquire"] {
        for kind in ["error", "busy", "timeout", "lost_answer", "late"] {
            let order = desk.order(150_000, &json!({}))?;
            let token = desk.token(Manner::ApprovedAtOnce, Dialect::Usual).await?;
            let fault = json!({"operation": operation, "kind": kind, "token": token});
            let planned = world.bank().plan_fault(&fault).await;
            planned.map_err(|refused| anyhow::anyhow!("the bank refuses: {refused:?}"))?;
            let form = desk.form(&token, &order, "1500.00");
            lines.push(format!(
                "{operation} {kind}: {}",
                desk.check_out(&form).await
            ));
            lines.push(format!("  again: {}", desk.check_out(&form).await));
            let other = desk.token(Manner::ApprovedAtOnce, Dialect::Usual).await?;
            let other = desk.form(&other, &order, "1500.00");
            lines.push(format!("  another card: {}", desk.check_out(&other).await));
            desk.rest().await;
            sleep(HOUR).await;
            let functions = &world.0.functions;
            let reconciled = functions.call("reconcile", "answers", json!({})).await;
            let reconciled = reconciled.map_err(|failed| anyhow::anyhow!("{failed:?}"))?;
            lines.push(format!("  reconciled: {reconciled}"));
            desk.rest().await;
            lines.push(format!("  rest: {}", desk.record(&token)));
            lines.push(format!("  again: {}", desk.check_out(&form).await));
            lines.push(format!("  shown: {}", desk.status(&order).await));
        }
    }
    Ok(lines)
}

/// Each form of the bank's answers.
async fn of_dialects(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for dialect in Dialect::ALL {
        let order = desk.order(150_000, &json!({}))?;
        let token = desk.token(Manner::ApprovedAtOnce, *dialect).await?;
        let form = desk.form(&token, &order, "1500.00");
        lines.push(format!(
            "{}: {}",
            dialect.name(),
            desk.check_out(&form).await
        ));
        desk.rest().await;
        lines.push(format!("  rest: {}", desk.record(&token)));
    }
    Ok(lines)
}

/// Returns of all kinds, and questions about orders.
async fn of_returns(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let page = paying.page.clone().unwrap_or_default();
    let charge = page.rsplit('/').next().unwrap_or_default().to_owned();
    for fields in [
        vec![],
        vec![("objectId", "chrg_test_nobody"), ("status", "true")],
        vec![("objectId", "no charge"), ("status", "true")],
        vec![("objectId", charge.as_str())],
        vec![("objectId", charge.as_str()), ("status", "true")],
        vec![("objectId", charge.as_str()), ("status", "false")],
    ] {
        let answer = desk.send(world.form("/callback", &fields)).await;
        lines.push(format!("{fields:?}: {answer}"));
    }
    let fields = desk.confirm(&paying).await?;
    for time in ["first", "second"] {
        lines.push(format!("{time}: {}", desk.post_return(&fields).await));
    }
    desk.rest().await;
    lines.push(format!("paid: {}", desk.post_return(&fields).await));
    let query = payment3_harness::http::form(&fields);
    let request = world.request(
        Method::GET,
        &format!("/callback?{query}"),
        "text/html",
        vec![],
    );
    lines.push(format!("paid, GET: {}", desk.send(request).await));
    for notice in [
        json!({}),
        json!({"id": "chrg_test_nobody", "checksum": "0"}),
        json!({"id": charge, "checksum": "0", "transaction_state": "Authorized"}),
    ] {
        let body = notice.to_string().into_bytes();
        let request = world.request(Method::POST, "/notify", "application/json", body);
        lines.push(format!("{notice}: {}", desk.send(request).await));
    }
    for order in [
        paying.order.as_str(),
        "482599999999",
        "no%20order",
        "ADDCARD",
    ] {
        lines.push(format!("status of {order}: {}", desk.status(order).await));
    }
    Ok(lines)
}

/// What the back office asks for, and how it ends.
async fn of_refunds(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let (unpaid, order) = (desk.order(150_000, &json!({}))?, paying.order.clone());
    let elsewhere = json!({"payment": {"isPaid": true, "paymentId": "somebody's"}});
    let elsewhere = desk.order(150_000, &elsewhere)?;
    let fields = desk.confirm(&paying).await?;
    desk.post_return(&fields).await;
    desk.rest().await;
    world.bank().settle_all(false).await;
    let charge = paying.page.clone().unwrap_or_default();
    let charge = charge.rsplit('/').next().unwrap_or_default();
    for (number, input) in [
        json!([]),
        json!({}),
        json!({"refundId": "rf_1"}),
        json!({"refundId": "rf 1", "orderId": order}),
        json!({"refundId": "rf_1", "orderId": "ADDCARD"}),
        json!({"refundId": "rf_1", "orderId": "no order"}),
        json!({"refundId": "rf_1", "orderId": "482599999999"}),
        json!({"refundId": "rf_1", "orderId": unpaid}),
        json!({"refundId": "rf_1", "orderId": elsewhere}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "0"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1.005"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": true}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1500.01"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1", "reason": "two\nlines"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1", "reason": 7}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.50", "reason": "  late  "}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.50"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.51"}),
        json!({"refundId": "rf_1", "orderId": order}),
        json!({"refundId": "rf_2", "orderId": order, "amount": 300, "reason": " "}),
        json!({"chargeId": charge, "amount": "1099.51"}),
        json!({"chargeId": charge, "amount": "1099.50", "recordKey": " "}),
        json!({"chargeId": "chrg_test_nobody"}),
        json!({"chargeId": charge, "refundId": null}),
        json!({"refundId": "rf_3", "orderId": order, "amount": null}),
        json!({"refundId": "rf_4", "orderId": order}),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("answers_{number}");
        world.start_refund(&name, &input);
        desk.rest().await;
        let ended = world.0.step_functions.describe(Machine::Refund, &name);
        let ended = ended.context("it was started")?;
        lines.push(format!(
            "{input}: {} {} {} {}",
            ended.state,
            ended.error.unwrap_or_default(),
            ended.cause.unwrap_or_default(),
            ended.output.unwrap_or_default()
        ));
    }
    lines.push(format!("shown: {}", desk.status(&order).await));
    Ok(lines)
}
