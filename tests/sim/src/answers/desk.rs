//! A shopper's browser, the bank and the shop, to write down what the system answers.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, anyhow};
use http::{Method, Request};
use payment3_activities::domain::ids::CardToken;
use payment3_bank::{Dialect, Manner};
use payment3_harness::items::satang_as_baht;
use payment3_harness::shopper::refresh_target;
use payment3_model::Machine;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bank::{NewToken, Page, Step, cards};
use crate::items;
use crate::scenario::done;
use crate::shop::Order;
use crate::time::SECOND;
use crate::world::World;

/// To whom all orders belong.
pub(super) const OWNER: &str = "usr_answers_0001";

/// A shopper's browser and the bank, in a calm world.
pub(super) struct Desk<'a> {
    pub(super) world: &'a World,
    orders: u32,
    tokens: u32,
}

impl<'a> Desk<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self {
            world,
            orders: 0,
            tokens: 0,
        }
    }

    /// The shop takes an order over so many satang. `change` is made to its `data`.
    pub(super) fn order(&mut self, satang: i64, change: &Value) -> Result<String> {
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

    /// The shop changes an order's `data`.
    pub(super) fn change(&self, order: &str, change: &Value) -> Result<()> {
        let parts = &self.world.0;
        let mut item = parts.item(&parts.names.orders, order).context("no order")?;
        merge(&mut item["data"], change);
        parts
            .tables
            .store(&parts.names.orders, &items::attributes(&item))?;
        parts.watch.look();
        Ok(())
    }

    /// The record of a token is changed in a way that nobody in this world does by himself.
    pub(super) fn change_record(&self, token: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let parts = &self.world.0;
        let key = record_key(token)?;
        let mut item = parts
            .item(&parts.names.records, &key)
            .context("no record")?;
        change(&mut item);
        parts
            .tables
            .store(&parts.names.records, &items::attributes(&item))?;
        parts.watch.look();
        Ok(())
    }

    /// A record is gone.
    pub(super) fn delete_record(&self, key: &str) -> Result<()> {
        let parts = &self.world.0;
        parts.tables.remove(&parts.names.records, "tokenId", key)
    }

    /// Somebody calls the function that reconciles. What is zero in its report is left out.
    pub(super) async fn reconcile(&self) -> Result<Value> {
        let functions = &self.world.0.functions;
        let report = functions.call("reconcile", "answers", json!({})).await;
        let mut report = report.map_err(|failed| anyhow!("{failed:?}"))?;
        if let Some(counts) = report.as_object_mut() {
            counts.retain(|_, count| count.as_u64() != Some(0));
        }
        Ok(report)
    }

    /// How the executions have ended.
    pub(super) fn executions(&self) -> Vec<String> {
        let of = |machine| self.world.0.step_functions.list(machine, None);
        let ended = Machine::ALL.into_iter().flat_map(of).map(|execution| {
            format!(
                "  {} in {}: {} {}",
                execution.status.word(),
                execution.state,
                execution.error.unwrap_or_default(),
                execution.output.unwrap_or_default()
            )
        });
        ended.collect()
    }

    /// The bank gives a token for a card that behaves like this.
    pub(super) async fn token(&mut self, manner: Manner, dialect: Dialect) -> Result<String> {
        self.tokens += 1;
        let token = format!("tokn_test_answers_{}", self.tokens);
        let card = cards(manner)[0];
        let new = NewToken {
            id: &token,
            card,
            dialect,
            issuer_takes: None,
        };
        done(self.world.bank().token(&new).await)
    }

    pub(super) fn form(&self, token: &str, order: &str, total: &str) -> Vec<(String, String)> {
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

    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> String {
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

    pub(super) async fn check_out(&self, form: &[(String, String)]) -> String {
        self.send(self.world.form("/cardpayment", form)).await
    }

    /// An order over 1,500 baht, and the form that would pay it with a new token.
    pub(super) async fn prepare(&mut self, dialect: Dialect) -> Result<Paying> {
        self.prepared(Manner::Approved, dialect, 150_000).await
    }

    async fn prepared(&mut self, manner: Manner, dialect: Dialect, satang: i64) -> Result<Paying> {
        let order = self.order(satang, &json!({}))?;
        let token = self.token(manner, dialect).await?;
        let total = satang_as_baht(satang.unsigned_abs());
        Ok(Paying {
            form: self.form(&token, &order, &total),
            token,
            order,
            answer: String::new(),
            page: None,
        })
    }

    /// So many calls of an operation about a token fail at the bank in this way.
    pub(super) async fn fails(
        &self,
        token: &str,
        operation: &str,
        kind: &str,
        times: u32,
    ) -> Result<()> {
        let fault = json!({"operation": operation, "kind": kind, "token": token, "times": times});
        done(self.world.bank().plan_fault(&fault).await)
    }

    /// The bank makes the charge of a token two seconds after it was asked to.
    pub(super) async fn takes_long(&self, token: &str) -> Result<()> {
        let late =
            json!({"operation": "create_charge", "kind": "late", "token": token, "delayMs": 2000});
        done(self.world.bank().plan_fault(&late).await)
    }

    /// Pays an order as far as the bank's page.
    pub(super) async fn pay(&mut self, manner: Manner, satang: i64) -> Result<Paying> {
        let mut paying = self.prepared(manner, Dialect::Usual, satang).await?;
        paying.answer = self.check_out(&paying.form).await;
        let page = paying.answer.split_once(" to ");
        paying.page = page.map(|(_, page)| page.to_owned());
        Ok(paying)
    }

    pub(super) async fn confirm(&self, paying: &Paying) -> Result<BTreeMap<String, String>> {
        let page = paying.page.as_deref().context("no page of the bank's")?;
        self.confirm_at(page).await
    }

    /// Confirms the charge of a token, whether or not the checkout has led to its page. Returns its id.
    pub(super) async fn confirm_unseen(&self, token: &str) -> Result<String> {
        let bank = self.world.bank();
        let charge = bank.charge_of_token(token).context("no charge")?;
        let charge = charge["id"].as_str().context("no id")?;
        self.confirm_at(&bank.page_of(charge)).await?;
        Ok(charge.to_owned())
    }

    async fn confirm_at(&self, page: &str) -> Result<BTreeMap<String, String>> {
        self.world.bank().three_ds(page, Step::Open).await;
        match self.world.bank().three_ds(page, Step::Confirm).await {
            Page::Returning(form) | Page::Decided(form) => Ok(form.fields),
            Page::Lost => Ok(BTreeMap::new()),
            other => anyhow::bail!("the bank's page is {other:?}"),
        }
    }

    /// A browser comes back with a charge and nothing else.
    pub(super) async fn bare_return(&self, charge: &str) -> String {
        let fields = [("objectId", charge), ("status", "true")];
        self.send(self.world.form("/callback", fields)).await
    }

    /// A browser comes back with a charge and the token.
    pub(super) async fn return_with_token(&self, charge: &str, token: &str) -> String {
        let fields = [("objectId", charge), ("status", "true"), ("token", token)];
        self.send(self.world.form("/callback", fields)).await
    }

    pub(super) async fn post_return(&self, fields: &BTreeMap<String, String>) -> String {
        self.send(self.world.form("/callback", fields)).await
    }

    pub(super) async fn status(&self, order: &str) -> String {
        let path = format!("/checkstatus/{order}");
        let request = self
            .world
            .request(Method::GET, &path, "application/json", Vec::new());
        self.send(request).await
    }

    /// Waits until no execution runs.
    pub(super) async fn rest(&self) {
        sleep(SECOND).await;
        while self.world.0.step_functions.running() > 0 {
            sleep(SECOND).await;
        }
    }

    /// The whole record of a token.
    pub(super) fn stored(&self, token: &str) -> Value {
        let parts = &self.world.0;
        let key = record_key(token).unwrap_or_default();
        let record = parts.item(&parts.names.records, &key);
        record.unwrap_or_default()
    }

    /// The record of a token, as far as it says how the payment stands.
    pub(super) fn record(&self, token: &str) -> String {
        let record = self.stored(token);
        let names = ["outcome", "resolution", "closedAs", "attempt"];
        let known = names.iter().filter(|name| !record[**name].is_null());
        let known: Vec<_> = known
            .map(|name| format!("{name} {}", record[*name]))
            .collect();
        known.join(", ")
    }
}

/// The key of a token's record.
pub(super) fn record_key(token: &str) -> Result<String> {
    let token = CardToken::new(token).context("a token")?;
    Ok(token.record_key().as_str().to_owned())
}

/// A payment at the bank's page, or at its end.
pub(super) struct Paying {
    pub(super) token: String,
    pub(super) order: String,
    pub(super) form: Vec<(String, String)>,
    pub(super) answer: String,
    pub(super) page: Option<String>,
}

impl Paying {
    /// The bank's charge, by its page; empty where the checkout led to none.
    pub(super) fn charge(&self) -> &str {
        let page = self.page.as_deref().unwrap_or_default();
        page.rsplit('/').next().unwrap_or_default()
    }
}

/// Puts what `change` has into `into`.
pub(super) fn merge(into: &mut Value, change: &Value) {
    match change.as_object() {
        Some(fields) => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        None => *into = change.clone(),
    }
}
