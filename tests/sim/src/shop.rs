//! The shop: the orders it makes, and its webhook endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use http::{HeaderMap, Request, Response, StatusCode};
use jiff::Timestamp;
use payment3_harness::items::satang_as_baht;
use payment3_harness::shop_api::placed;
use serde_json::{Number, Value, json};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use crate::random::Random;
use crate::time::Time;

/// The farthest an event's time may be from the shop's, in seconds. The specification leaves it to the receiver; this is
/// what its libraries take.
const TOLERANCE: i64 = 5 * 60;

/// Why an event is refused that was under way for longer.
const TOO_OLD: &str = "the time is too far from now";

/// The shop's webhook endpoint.
#[derive(Clone)]
pub(crate) struct Shop {
    time: Time,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The newest last.
    keys: Vec<Webhook>,
    answer: Option<StatusCode>,
    deliveries: Vec<Delivery>,
    /// What is known of each event, by its id.
    known: BTreeMap<String, Known>,
}

/// How an event has fared so far.
#[derive(Default)]
struct Known {
    tries: usize,
    accepted: bool,
}

/// One delivery of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    /// The event's id, the same at each try.
    pub(crate) id: String,
    /// The event's type, such as `payment.succeeded`; empty if there is none.
    pub(crate) kind: String,
    /// The event. Null if it is no JSON.
    pub(crate) body: Value,
    /// When it came.
    pub(crate) at: Timestamp,
    /// Which try of the event it was, from 1.
    pub(crate) tries: usize,
    /// Why the shop does not believe it.
    pub(crate) refusal: Option<&'static str>,
    /// Whether the shop had accepted the event before.
    pub(crate) repeated: bool,
    /// What the shop answered.
    pub(crate) answered: u16,
}

impl Delivery {
    /// Whether the shop has taken it.
    pub(crate) fn is_accepted(&self) -> bool {
        (200..300).contains(&self.answered)
    }

    /// The order that it is about.
    #[cfg(test)]
    pub(crate) fn order_id(&self) -> Option<&str> {
        self.body["data"]["orderId"].as_str()
    }

    /// The charge that it is about.
    pub(crate) fn charge_id(&self) -> Option<&str> {
        self.body["data"]["chargeId"].as_str()
    }
}

impl Shop {
    /// A shop that shares this key, in base64, with the payment system.
    ///
    /// # Errors
    /// The key is not base64.
    pub(crate) fn new(time: Time, key: &str) -> Result<Self> {
        let state = State {
            keys: vec![Webhook::new(key)?],
            answer: None,
            deliveries: Vec::new(),
            known: BTreeMap::new(),
        };
        Ok(Self {
            time,
            state: Arc::new(Mutex::new(state)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shop learns a new key. It still believes what the one before has signed, and nothing older.
    ///
    /// # Errors
    /// The key is not base64.
    pub(crate) fn rotate_key(&self, key: &str) -> Result<()> {
        let key = Webhook::new(key)?;
        let keys = &mut self.state().keys;
        keys.push(key);
        let old = keys.len().saturating_sub(2);
        keys.drain(..old);
        Ok(())
    }

    /// From now on the endpoint answers every event with this status, whatever it is: an outage with 503, for one. With
    /// none it accepts events again.
    ///
    /// # Errors
    /// There is no such status.
    pub(crate) fn answer_with(&self, status: Option<u16>) -> Result<()> {
        self.state().answer = status.map(StatusCode::from_u16).transpose()?;
        Ok(())
    }

    /// Receives an event: 200 if its signature and time are right and the shop works, 401 for a wrong one.
    pub(crate) async fn call(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let at = self.time.now();
        let mut state = self.state();
        let refusal = state
            .verify(request.headers(), request.body(), at.as_second())
            .err();
        let status = match (state.answer, refusal) {
            (Some(status), _) => status,
            (None, Some(_)) => StatusCode::UNAUTHORIZED,
            (None, None) => StatusCode::OK,
        };
        let id = header(request.headers(), HEADER_WEBHOOK_ID)
            .unwrap_or_default()
            .to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let known = state.known.entry(id.clone()).or_default();
        known.tries += 1;
        let (tries, repeated) = (known.tries, known.accepted);
        known.accepted |= status.is_success();
        state.deliveries.push(Delivery {
            kind: body["type"].as_str().unwrap_or_default().to_owned(),
            body,
            at,
            tries,
            refusal,
            repeated,
            answered: status.as_u16(),
            id,
        });
        let mut answer = Response::new(Vec::new());
        *answer.status_mut() = status;
        answer
    }

    /// Every delivery, the oldest first.
    #[cfg(test)]
    pub(crate) fn events(&self) -> Vec<Delivery> {
        self.events_from(0)
    }

    /// The deliveries about a charge with their places, the oldest first.
    pub(crate) fn events_about(&self, charge: &str) -> Vec<(usize, Delivery)> {
        let state = self.state();
        let all = state.deliveries.iter().enumerate();
        let of_it = all.filter(|(_, delivery)| delivery.charge_id() == Some(charge));
        of_it
            .map(|(place, delivery)| (place, delivery.clone()))
            .collect()
    }

    /// The deliveries after the first so many, the oldest first.
    #[cfg(test)]
    pub(crate) fn events_from(&self, seen: usize) -> Vec<Delivery> {
        let state = self.state();
        state.deliveries.get(seen..).unwrap_or_default().to_vec()
    }
}

impl State {
    /// Verifies with the reference implementation. Its own check of the time looks at the machine's clock, which knows
    /// nothing of virtual time; so what it would have signed is compared here.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), &'static str> {
        let of = |name| header(headers, name).ok_or("a header is missing");
        let id = of(HEADER_WEBHOOK_ID)?;
        let time = of(HEADER_WEBHOOK_TIMESTAMP)?;
        let time: i64 = time.parse().map_err(|_| "the time is no number")?;
        let signatures = of(HEADER_WEBHOOK_SIGNATURE)?;
        if (now - time).abs() > TOLERANCE {
            return Err(TOO_OLD);
        }
        let signed = self.keys.iter().any(|key| {
            let right = key.sign(id, time, body);
            right.is_ok_and(|right| signatures.split(' ').any(|one| one == right))
        });
        if !signed {
            return Err("the signature is of no known key");
        }
        Ok(())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An order of the shop, as the merchant's published schema has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    /// 12 digits.
    pub(crate) id: String,
    /// The shop's customer.
    pub(crate) owner_id: String,
    pub(crate) basket_id: String,
    /// What it costs, in satang.
    pub(crate) satang: i64,
    /// The same as the shop writes it: a number of baht, perhaps with what a binary sum leaves.
    grand_total: Number,
    /// The same in the checkout form.
    pub(crate) form_total: String,
    /// The shopper's address, and where the order says it.
    pub(crate) email: Option<(EmailPlace, String)>,
}

/// Where an order says the shopper's e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmailPlace {
    Billing,
    Shipping,
}

impl Order {
    /// An order of this customer. Everything else about it is drawn from `random`: what it costs, how the shop writes
    /// that, and whether it knows an e-mail address.
    pub(crate) fn of(random: &Random, id: &str, owner_id: &str) -> Self {
        let total = Total::of(random);
        let email = random.chance(0.7).then(|| {
            let place = *random.pick(&[EmailPlace::Billing, EmailPlace::Shipping]);
            (place, format!("{owner_id}@example.com"))
        });
        Self {
            id: id.to_owned(),
            owner_id: owner_id.to_owned(),
            basket_id: format!("basket_{id}"),
            satang: total.satang,
            grand_total: total.number,
            form_total: total.text,
            email,
        }
    }

    /// An order of this customer over so many satang.
    pub(crate) fn over(satang: i64, id: &str, owner_id: &str) -> Self {
        Self {
            id: id.to_owned(),
            owner_id: owner_id.to_owned(),
            basket_id: format!("basket_{id}"),
            satang,
            grand_total: Number::from(satang / 100),
            form_total: satang_as_baht(satang.unsigned_abs()),
            email: Some((EmailPlace::Billing, format!("{owner_id}@example.com"))),
        }
    }

    /// The order's item in its table, as JSON: `orderId` and `data`.
    ///
    /// # Errors
    /// The id is not that of an order.
    pub(crate) fn item(&self, now: Timestamp) -> Result<Value> {
        let digits = self.id.bytes().all(|byte| byte.is_ascii_digit());
        ensure!(
            digits && self.id.len() == 12,
            "an order's id has 12 digits, not {}",
            self.id
        );
        let mut data = placed(&self.id, &self.owner_id, &self.basket_id, now);
        for amount in ["subTotal", "grandTotal"] {
            data["payment"][amount] = self.grand_total.clone().into();
        }
        match &self.email {
            Some((EmailPlace::Billing, email)) => {
                data["billingInfo"] = json!({ "customerEmail": email });
            }
            Some((EmailPlace::Shipping, email)) => {
                data["shipping"] = json!({ "shippingEmail": email });
            }
            None => {}
        }
        Ok(json!({ "orderId": self.id, "data": data }))
    }
}

/// What an order costs.
struct Total {
    satang: i64,
    number: Number,
    text: String,
}

impl Total {
    fn of(random: &Random) -> Self {
        let satang = match random.below(4) {
            // The least that the bank takes, and whole baht.
            0 => 100,
            1 => 100 * random.below(5_000).max(1) as i64,
            _ => 100 + random.below(500_000) as i64,
        };
        let exact = satang as f64 / 100.0;
        // What a sum of binary numbers leaves beside it.
        let noisy = exact * (1.0 + 2.0 * f64::EPSILON);
        let baht = if random.chance(0.2) { noisy } else { exact };
        let whole = satang % 100 == 0;
        let number = if whole && random.chance(0.5) {
            Number::from(satang / 100)
        } else {
            Number::from_f64(baht).expect("an amount is finite")
        };
        let text = match random.below(3) {
            0 if whole => (satang / 100).to_string(),
            // As Python's `str` writes it.
            1 => format!("{baht:?}"),
            _ => satang_as_baht(satang.unsigned_abs()),
        };
        Self {
            satang,
            number,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use payment3_activities::domain::money::Satang;
    use payment3_activities::shop::SigningKey;

    use super::*;

    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER_KEY: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn shop() -> Shop {
        let start = "2026-11-29T10:00:00Z".parse().expect("a time");
        Shop::new(Time::new(start), KEY).expect("a key")
    }

    fn event(shop: &Shop, key: &str, id: &str, age: i64) -> Request<Vec<u8>> {
        let body = r#"{"type":"payment.succeeded","data":{"orderId":"482500007436","chargeId":"chrg_test_1"}}"#;
        let key = SigningKey::parse(&json!({ "signingKey": key }).to_string()).expect("a key");
        let time = shop.time.now().as_second() - age;
        Request::post("https://shop.example/webhooks/payment3")
            .header(HEADER_WEBHOOK_ID, id)
            .header(HEADER_WEBHOOK_TIMESTAMP, time.to_string())
            .header(HEADER_WEBHOOK_SIGNATURE, key.sign(id, time, body))
            .body(body.into())
            .expect("a request")
    }

    async fn answer(shop: &Shop, request: Request<Vec<u8>>) -> u16 {
        shop.call(request).await.status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_accepted_once_and_every_try_is_kept() {
        let shop = shop();
        shop.answer_with(Some(503)).expect("a status");
        assert_eq!(answer(&shop, event(&shop, KEY, "msg_1", 0)).await, 503);
        shop.answer_with(None).expect("a status");
        assert_eq!(answer(&shop, event(&shop, KEY, "msg_2", 0)).await, 200);
        // The reference would ask the machine's clock here.
        tokio::time::advance(std::time::Duration::from_secs(40 * 24 * 3600)).await;
        assert_eq!(answer(&shop, event(&shop, KEY, "msg_1", 0)).await, 200);
        assert_eq!(answer(&shop, event(&shop, KEY, "msg_1", 0)).await, 200);
        let seen: Vec<_> = shop
            .events()
            .into_iter()
            .map(|event| (event.id, event.tries, event.answered, event.repeated))
            .collect();
        let expected = [
            ("msg_1", 1, 503, false),
            ("msg_2", 1, 200, false),
            ("msg_1", 2, 200, false),
            ("msg_1", 3, 200, true),
        ];
        let expected =
            expected.map(|(id, tries, status, repeated)| (id.to_owned(), tries, status, repeated));
        assert_eq!(seen, expected);
        let last = shop.events_from(3);
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].kind, "payment.succeeded");
        assert_eq!(last[0].order_id(), Some("482500007436"));
        assert_eq!(last[0].charge_id(), Some("chrg_test_1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_key_and_a_wrong_time_are_refused() {
        let shop = shop();
        for (request, why) in [
            (
                event(&shop, OTHER_KEY, "msg_1", 0),
                "the signature is of no known key",
            ),
            (
                event(&shop, KEY, "msg_1", TOLERANCE + 1),
                "the time is too far from now",
            ),
            (
                event(&shop, KEY, "msg_1", -TOLERANCE - 1),
                "the time is too far from now",
            ),
        ] {
            assert_eq!(answer(&shop, request).await, 401);
            let last = shop.events().pop().expect("it is kept");
            assert_eq!(last.refusal, Some(why));
        }
        let mut bare = event(&shop, KEY, "msg_1", 0);
        bare.headers_mut().remove(HEADER_WEBHOOK_SIGNATURE);
        assert_eq!(answer(&shop, bare).await, 401);
        let mut changed = event(&shop, KEY, "msg_1", 0);
        changed.body_mut().push(b' ');
        assert_eq!(answer(&shop, changed).await, 401);
    }

    #[tokio::test(start_paused = true)]
    async fn the_former_key_is_believed_until_the_next_rotation() {
        let shop = shop();
        shop.rotate_key(OTHER_KEY).expect("a key");
        for key in [KEY, OTHER_KEY] {
            assert_eq!(answer(&shop, event(&shop, key, "msg_1", 0)).await, 200);
        }
        shop.rotate_key(&KEY.replace('M', "N")).expect("a key");
        assert_eq!(answer(&shop, event(&shop, KEY, "msg_1", 0)).await, 401);
        assert_eq!(
            answer(&shop, event(&shop, OTHER_KEY, "msg_1", 0)).await,
            200
        );
    }

    #[test]
    fn every_way_of_writing_a_total_is_the_same_amount() {
        let mut seen = BTreeMap::new();
        for seed in 0..2_000 {
            let order = Order::of(&Random::new(seed), "482500007436", "usr_1");
            let item = order.item(Timestamp::UNIX_EPOCH).expect("an order");
            let stored = item["data"]["payment"]["grandTotal"].to_string();
            for text in [&stored, &order.form_total] {
                let amount = Satang::parse_shop(text).map(Satang::satang);
                assert_eq!(amount, Ok(order.satang), "{text}");
            }
            *seen.entry(stored.len() > 12).or_insert(0) += 1;
            assert!(order.satang >= 100);
        }
        assert!(seen[&true] > 50, "no binary sums: {seen:?}");
    }

    #[test]
    fn an_order_is_one_of_the_published_schema() {
        let allowed = [
            "isPaid",
            "status",
            "remark",
            "gbpReferenceNo",
            "paymentId",
            "paymentMethod",
            "paymentDate",
            "timestamp",
            "paymentLog",
            "subTotal",
            "shippingAmount",
            "expressFeeAmount",
            "discountAmount",
            "grandTotal",
            "totalPaid",
        ];
        let order = Order::of(&Random::new(1), "482500007436", "usr_1");
        let item = order.item(Timestamp::UNIX_EPOCH).expect("an order");
        let payment = item["data"]["payment"].as_object().expect("a payment");
        for name in payment.keys() {
            assert!(allowed.contains(&name.as_str()), "{name}");
        }
        for name in ["orderId", "ownerId", "basketId"] {
            assert!(item["data"][name].is_string(), "{name}");
        }
        assert_eq!(item["orderId"], item["data"]["orderId"]);
        assert!(
            Order::of(&Random::new(1), "1", "usr_1")
                .item(Timestamp::UNIX_EPOCH)
                .is_err()
        );
    }
}
