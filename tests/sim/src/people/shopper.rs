//! A shopper: fills a basket, pays by card, loses patience, comes back, pays twice.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use payment3_bank::{Dialect, Manner};
use payment3_harness::shop_api::VERIFICATION;
use payment3_harness::shopper::{ReturnForm, refresh_target};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bank::{NewToken, Page, Step, cards};
use crate::network::ended;
use crate::people::{bank_clerk, former_system, on_call, shop_keeper};
use crate::random::Random;
use crate::shop::Order;
use crate::time::{HOUR, MINUTE, SECOND};
use crate::world::World;

/// An order as its shopper sees it.
#[derive(Clone)]
struct Basket {
    order: String,
    owner: String,
    /// The total as the shop's page writes it into the form.
    total: String,
    satang: i64,
}

/// One try to pay.
struct Try {
    token: String,
    card: Manner,
    dialect: Dialect,
    satang: i64,
    form: Vec<(&'static str, String)>,
    confirms: Option<Instant>,
}

/// One shopper with a seed of its own.
pub(crate) struct Shopper {
    world: World,
    number: usize,
    name: String,
    random: Random,
    tokens: usize,
}

impl Shopper {
    /// The shopper with this number.
    pub(crate) fn new(world: &World, number: usize) -> Self {
        let name = format!("shopper-{number}");
        Self {
            world: world.clone(),
            number,
            random: world.random().of(&name),
            name,
            tokens: 0,
        }
    }

    /// Buys something, perhaps several times.
    pub(crate) async fn live(mut self) {
        let active = self.world.active();
        sleep(active.mul_f64(self.random.below(1000) as f64 / 1000.0)).await;
        let owner = format!("usr_sim_{:04}", self.number);
        let baskets =
            1 + usize::from(self.random.chance(0.3)) + usize::from(self.random.chance(0.1));
        for number in 0..baskets {
            if self.random.chance(0.08) {
                self.verify_card(&owner).await;
            } else {
                let basket = self.fill_basket(&owner, number);
                self.buy(&basket).await;
            }
            sleep(self.random.between(MINUTE, 6 * HOUR)).await;
        }
    }

    fn fill_basket(&self, owner: &str, number: usize) -> Basket {
        let id = format!("4825{:06}{number:02}", self.number);
        let order = Order::of(&self.random.of(&id), &id, owner);
        if let Err(error) = self.world.shop_takes_order(&order) {
            unreachable!("the shop's own order {id}: {error:#}");
        }
        tokio::spawn(shop_keeper::looks_after(self.world.clone(), id.clone()));
        Basket {
            order: id,
            owner: owner.to_owned(),
            total: order.form_total,
            satang: order.satang,
        }
    }

    /// Pays an order: with one card, or with several, one after the other or at once.
    async fn buy(&mut self, basket: &Basket) {
        let tries =
            1 + usize::from(self.random.chance(0.25)) + usize::from(self.random.chance(0.1));
        let at_once = self.random.chance(0.3);
        let in_step = at_once && self.random.of(&basket.order).chance(0.5);
        let confirms = in_step.then(|| Instant::now() + self.random.between(MINUTE, 10 * MINUTE));
        let mut running = Vec::new();
        for number in 0..tries {
            let pays = self.try_to_pay(basket, confirms);
            if at_once {
                running.push(tokio::spawn(pays));
                sleep(self.random.between(Duration::from_millis(1), 20 * SECOND)).await;
                continue;
            }
            pays.await;
            if self.is_paid(basket).await && !self.random.chance(0.1) {
                break;
            }
            if number + 1 < tries {
                sleep(self.random.between(SECOND, 2 * HOUR)).await;
            }
        }
        for pays in running {
            ended(pays).await;
        }
    }

    async fn verify_card(&mut self, owner: &str) {
        let basket = Basket {
            order: VERIFICATION.to_owned(),
            owner: owner.to_owned(),
            total: "1.00".to_owned(),
            satang: 100,
        };
        self.try_to_pay(&basket, None).await;
    }

    async fn is_paid(&self, basket: &Basket) -> bool {
        let shown = self.world.shown_status(&self.name, &basket.order).await;
        shown.is_some_and(|shown| shown["status"] == "paid")
    }

    /// One card and one form, from the checkout to the return. `confirms`: when the shopper does that at the bank's page,
    /// where several tabs wait for the same moment.
    fn try_to_pay(
        &mut self,
        basket: &Basket,
        confirms: Option<Instant>,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.tokens += 1;
        let name = format!("{}.{}", self.name, self.tokens);
        let random = self.random.of(&name);
        let card = card(&random);
        let dialect = self.world.dialect(&random);
        let token = format!("tokn_test_s{}_{}", self.number, self.tokens);
        self.world
            .paying(self.number, &basket.order, &basket.owner, &token);
        let form = vec![
            ("token", token.clone()),
            ("userId", basket.owner.clone()),
            ("orderId", basket.order.clone()),
            ("basketId", "basket_sim".to_owned()),
            ("customerId", basket.owner.clone()),
            ("grandTotal", basket.total.clone()),
            ("mid", self.world.merchant().to_owned()),
            ("paymentMethods", "card".to_owned()),
            (
                "saveCard",
                ["true", "false"][usize::from(random.chance(0.2))].to_owned(),
            ),
            ("callback", "yourapp://payments".to_owned()),
        ];
        let pays = Paying {
            world: self.world.clone(),
            name,
            random,
            tried: Try {
                token,
                card,
                dialect,
                satang: basket.satang,
                form,
                confirms,
            },
        };
        pays.pay()
    }
}

/// One try, which goes on by itself.
struct Paying {
    world: World,
    name: String,
    random: Random,
    tried: Try,
}

/// Where an answer sends the browser.
enum Next {
    /// To the bank's page for 3-D Secure.
    Bank(String),
    /// Back to the shop.
    Shop,
    /// The same form may be sent again.
    Again,
    /// Nowhere: a page with an error, or nothing at all.
    Nowhere,
}

impl Paying {
    async fn pay(self) {
        let Try { token, card, .. } = &self.tried;
        self.world
            .trace()
            .tell(format_args!("{} pays with {token}: {card:?}", self.name));
        let slow = self.random.between(SECOND, 3 * HOUR);
        let cards = cards(*card);
        let number: &&str = self.random.pick(&cards);
        let new = NewToken {
            id: token,
            card: number,
            dialect: self.tried.dialect,
            issuer_takes: (*card == Manner::Slow).then_some(slow),
        };
        if self.world.bank().token(&new).await.is_err() {
            return;
        }
        let former = self.random.of("former system");
        if former.chance(self.world.0.character.former) {
            let (owner, order) = (&self.tried.form[1].1, &self.tried.form[2].1);
            let satang = self.tried.satang;
            let page = former_system::checks_out(&self.world, &former, token, order, owner, satang);
            if let Some(page) = page.await {
                self.authenticate(&page).await;
            }
            return;
        }
        let next = if self.random.chance(0.15) {
            // A double click.
            let (first, second) = tokio::join!(self.check_out(), async {
                sleep(self.random.between(Duration::from_millis(1), 3 * SECOND)).await;
                self.check_out().await
            });
            match first {
                Next::Bank(_) => first,
                _ => second,
            }
        } else {
            self.check_out().await
        };
        let Next::Bank(page) = next else { return };
        self.authenticate(&page).await;
    }

    /// Sends the form until it leads somewhere, or the shopper has seen enough errors.
    async fn check_out(&self) -> Next {
        let patience = 1 + self.random.below(5);
        for _ in 0..patience {
            match self.send_form().await {
                Next::Again => {
                    sleep(self.random.between(SECOND, 5 * MINUTE)).await;
                }
                next => return next,
            }
        }
        Next::Nowhere
    }

    async fn send_form(&self) -> Next {
        let request = self.world.form("/cardpayment", &self.tried.form);
        let answer = match self.world.api().request(&self.name, request).await {
            Ok(answer) => answer,
            Err(_) => return Next::Again,
        };
        let page = String::from_utf8_lossy(answer.body()).into_owned();
        self.world.trace().tell(format_args!(
            "{}: checkout answers {}",
            self.name,
            answer.status().as_u16()
        ));
        match answer.status() {
            StatusCode::OK => match refresh_target(&page) {
                Some(target) if target.contains("/3ds/") => Next::Bank(target),
                Some(_) => Next::Shop,
                None => Next::Nowhere,
            },
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Next::Again
            }
            _ if page.contains("PAYMENT_BEING_CHECKED") => Next::Again,
            _ => Next::Nowhere,
        }
    }

    /// Goes through 3-D Secure, or leaves in the middle.
    async fn authenticate(&self, page: &str) {
        let bank = self.world.bank();
        let takes = self.random.between(SECOND, 20 * MINUTE);
        let step = self.random.below(20);
        match self.tried.confirms {
            Some(at) => sleep_until(at).await,
            None => sleep(takes).await,
        }
        bank.three_ds(page, Step::Open).await;
        let step = match step {
            _ if self.tried.confirms.is_some() => Step::Confirm,
            0 => Step::Cancel,
            1 => {
                // Comes back late, by the back button. No bank's page lives for a week.
                bank.three_ds(page, Step::Leave).await;
                sleep(self.random.between(HOUR, 6 * 24 * HOUR)).await;
                Step::Confirm
            }
            2 => return,
            3 => {
                bank.three_ds(page, Step::Mistype).await;
                Step::Confirm
            }
            _ => Step::Confirm,
        };
        let shown = bank.three_ds(page, step).await;
        self.world
            .trace()
            .tell(format_args!("{}: {step:?} at the bank", self.name));
        if let Page::Returning(form) | Page::Decided(form) = shown {
            if let Ok(charge) = form.charge_id() {
                let (world, charge) = (&self.world, charge.to_owned());
                tokio::spawn(bank_clerk::approves_at_once(world.clone(), charge.clone()));
                tokio::spawn(on_call::starts_beside(world.clone(), charge));
            }
            self.come_back(&form).await;
        }
    }

    /// The browser is sent back to the shop, and with the back button it sends the shop's own form again meanwhile.
    async fn come_back(&self, form: &ReturnForm) {
        let back = self
            .random
            .of(&format!("back button of {}", self.tried.token));
        let sends_again = async {
            if back.chance(0.2) {
                sleep(back.between(Duration::from_millis(1), 5 * SECOND)).await;
                self.send_form().await;
            }
        };
        tokio::join!(self.return_to_shop(form), sends_again);
    }

    /// The browser posts the return once, several times, or never.
    async fn return_to_shop(&self, form: &ReturnForm) {
        let returns = match self.random.below(10) {
            0 => 0,
            1 => 2 + self.random.below(4),
            _ => 1,
        };
        for _ in 0..returns {
            let takes = self.random.between(Duration::from_millis(50), MINUTE);
            match self.tried.confirms {
                Some(_) => sleep(takes / 1000).await,
                None => sleep(takes).await,
            }
            for _ in 0..3 {
                let request = self.return_request(form);
                match self.world.api().request(&self.name, request).await {
                    Ok(answer) if answer.status().as_u16() < 500 => break,
                    _ => sleep(self.random.between(SECOND, 30 * SECOND)).await,
                }
            }
        }
        let polls = self.random.below(4);
        for _ in 0..polls {
            sleep(self.random.between(SECOND, 10 * MINUTE)).await;
            let order = &self.tried.form[2].1;
            let _ = self.world.shown_status(&self.name, order).await;
        }
    }

    fn return_request(&self, form: &ReturnForm) -> Request<Vec<u8>> {
        match self.random.below(10) {
            0 => {
                let path = format!("/callback?{}", payment3_harness::http::form(&form.fields));
                self.world
                    .request(Method::GET, &path, "text/html", Vec::new())
            }
            1 => {
                let body = json!(form.fields).to_string().into_bytes();
                self.world
                    .request(Method::POST, "/callback", "application/json", body)
            }
            _ => self.world.form("/callback", &form.fields),
        }
    }
}

/// A sandbox card: most are good, and most of them with 3-D Secure.
fn card(random: &Random) -> Manner {
    match random.below(20) {
        0 | 1 => Manner::Declined,
        2 => Manner::DeclinedAtOnce,
        3 | 4 => Manner::ApprovedAtOnce,
        5 => Manner::Slow,
        6 | 7 => Manner::CallbackLost,
        _ => Manner::Approved,
    }
}
