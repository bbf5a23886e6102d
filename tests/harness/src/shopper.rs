//! The shopper's part of a payment, as a browser does it: the checkout form, 3-D Secure, and the return to the shop.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use payment3_bank::Dialect;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use url::Url;

use crate::http::{self, FORM, client, form};
use crate::outputs::Outputs;
use crate::shop_api::{NewOrder, Order};

/// A VISA sandbox card that 3DS approves.
pub const CARD_APPROVED: &str = "4417706600005830";
/// A Mastercard sandbox card that 3DS approves.
pub const OTHER_CARD_APPROVED: &str = "5404888000072727";
/// A Mastercard sandbox card that 3DS declines.
pub const CARD_DECLINED: &str = "5149504001969007";
/// A VISA sandbox card that the bank approves at once, without 3DS.
pub const CARD_WITHOUT_3DS: &str = "4024007134786226";
/// The merchant id that checkouts name.
pub const MERCHANT_ID: &str = "401012234152001";
/// The one-time password of every sandbox card.
const OTP: &str = "123456";
/// How often the form is sent again after a 503, and after how long.
const TRIES_AGAIN: usize = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the checkout led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The card token the form carried.
    pub token: String,
    /// Where the answer sent the browser.
    pub next: Next,
}

/// Where a checkout sends the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To the bank's 3DS page.
    ThreeDs(Url),
    /// Straight back to the shop: the bank decided at once.
    Shop(String),
}

impl Next {
    /// The bank's 3DS page.
    ///
    /// # Errors
    /// The browser was sent to the shop.
    pub fn three_ds(self) -> Result<Url> {
        match self {
            Self::ThreeDs(page) => Ok(page),
            Self::Shop(landing) => bail!("the browser went to {landing} without 3-D Secure"),
        }
    }
}

/// The form that the bank's page makes the browser post after 3DS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnForm {
    /// Where it is posted.
    pub action: String,
    /// Its fields: `objectId`, `token`, `status`, `message`, `saveCard`.
    pub fields: BTreeMap<String, String>,
}

impl ReturnForm {
    /// The charge the form is about.
    ///
    /// # Errors
    /// The bank named none.
    pub fn charge_id(&self) -> Result<&str> {
        self.field("objectId")
    }

    /// A field's value.
    ///
    /// # Errors
    /// The form has no such field.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.fields
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the bank's return form has no field {name}"))
    }

    /// The same form with another value in one field, as anyone could post it.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    async fn to(request: reqwest::RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok(Self {
            status: response.status().as_u16(),
            location,
            body: response.text().await?,
        })
    }
}

/// Orders something at the demo shop.
///
/// # Errors
/// The shop refuses.
pub async fn order(outputs: &Outputs, new: &NewOrder) -> Result<Order> {
    let request = client()
        .post(format!("{}/orders", outputs.shop_url))
        .json(new);
    json_answer(request, "the demo shop").await
}

/// Reads an order of the demo shop.
///
/// # Errors
/// There is none.
pub async fn read_order(outputs: &Outputs, id: &str) -> Result<Order> {
    let request = client().get(format!("{}/api/orders/{id}", outputs.shop_url));
    json_answer(request, "the demo shop").await
}

/// Gets a card token as the bank's browser library does.
///
/// # Errors
/// The bank refuses the card.
pub async fn card_token(outputs: &Outputs, card: &str) -> Result<String> {
    card_token_in(outputs, card, Dialect::Usual).await
}

/// As [`card_token`], for a payment with a bank that uses this dialect.
///
/// # Errors
/// As [`card_token`].
pub async fn card_token_in(outputs: &Outputs, card: &str, dialect: Dialect) -> Result<String> {
    #[derive(Deserialize)]
    struct Token {
        token: String,
    }
    let request = client()
        .post(format!("{}/sandbox/tokens", outputs.bank_url))
        .json(&serde_json::json!({ "cardNumber": card, "dialect": dialect }));
    let token: Token = json_answer(request, "the sandbox bank").await?;
    Ok(token.token)
}

/// The checkout form's fields for an order.
pub fn checkout_form(outputs: &Outputs, order: &Order, token: &str) -> BTreeMap<String, String> {
    [
        ("token", token),
        ("userId", &order.owner_id),
        ("orderId", &order.order_id),
        ("basketId", &order.basket_id),
        ("customerId", &order.owner_id),
        ("grandTotal", &order.grand_total),
        ("mid", MERCHANT_ID),
        ("paymentMethods", "card"),
        ("saveCard", "true"),
        ("callback", &outputs.shop_url),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Posts a checkout form, well-formed or not. A refusal comes as JSON, as no page is asked for.
///
/// # Errors
/// No answer comes.
pub async fn post_checkout(outputs: &Outputs, fields: &BTreeMap<String, String>) -> Result<Answer> {
    let request = client()
        .post(format!("{}/cardpayment", outputs.api_url))
        .header(CONTENT_TYPE, FORM)
        .body(form(fields));
    Answer::to(request).await.context("POST /cardpayment")
}

/// Gets a token for `card`, posts the checkout form for `order`, and reads where the page sends the browser.
///
/// # Errors
/// The card or the checkout is refused, or the page sends the browser nowhere.
pub async fn checkout(outputs: &Outputs, order: &Order, card: &str) -> Result<Checkout> {
    let token = card_token(outputs, card).await?;
    checkout_with(outputs, order, token).await
}

/// As [`checkout`], with a token at hand.
///
/// # Errors
/// As [`checkout`].
pub async fn checkout_with(outputs: &Outputs, order: &Order, token: String) -> Result<Checkout> {
    let form = checkout_form(outputs, order, &token);
    let mut answer = post_checkout(outputs, &form).await?;
    // A busy machine answers that the same form may be sent again. So does a checkout that came while the bank was
    // being asked for another card of the order.
    for _ in 0..TRIES_AGAIN {
        if answer.status != 503 && !answer.body.contains("PAYMENT_BEING_CHECKED") {
            break;
        }
        sleep(TRY_AGAIN_AFTER).await;
        answer = post_checkout(outputs, &form).await?;
    }
    let next = next(outputs, &answer)?;
    Ok(Checkout { token, next })
}

/// Checks out with a token and passes 3-D Secure: the shopper is at the bank's page that leads back to the shop.
///
/// # Errors
/// The checkout is refused, or leads past 3-D Secure.
pub async fn pass_three_ds(outputs: &Outputs, order: &Order, token: &str) -> Result<ReturnForm> {
    let checkout = checkout_with(outputs, order, token.to_owned()).await?;
    authenticate(&checkout.next.three_ds()?).await
}

/// As [`pass_three_ds`], with this form.
///
/// # Errors
/// As [`pass_three_ds`].
pub async fn pass_three_ds_with(
    outputs: &Outputs,
    fields: &BTreeMap<String, String>,
) -> Result<ReturnForm> {
    let next = submit_checkout(outputs, fields).await?;
    authenticate(&next.three_ds()?).await
}

/// Posts a checkout form and reads where the answer sends the browser.
///
/// # Errors
/// The checkout is refused, or the page sends the browser nowhere.
pub async fn submit_checkout(outputs: &Outputs, fields: &BTreeMap<String, String>) -> Result<Next> {
    next(outputs, &post_checkout(outputs, fields).await?)
}

/// Where the answer to a checkout form sends the browser.
fn next(outputs: &Outputs, answer: &Answer) -> Result<Next> {
    let target = match (answer.status, &answer.location) {
        (302 | 303, Some(location)) => location.clone(),
        (200, _) => refresh_target(&answer.body).ok_or_else(|| {
            anyhow!(
                "POST /cardpayment answered a page that sends the browser nowhere:\n{}",
                answer.body
            )
        })?,
        (status, _) => bail!("POST /cardpayment answered {status}: {}", answer.body),
    };
    Ok(match Url::parse(&target) {
        Ok(url) if is_at(&url, &outputs.bank_url) => Next::ThreeDs(url),
        _ => Next::Shop(target),
    })
}

/// The charge that a 3DS page of the bank is about.
///
/// # Errors
/// It names none.
pub fn charge_of(page: &Url) -> Result<String> {
    page.path_segments()
        .and_then(|mut parts| parts.next_back())
        .map(str::to_owned)
        .context("the bank's page names no charge")
}

/// Passes the bank's 3DS page with the right password; the card decides whether that succeeds.
///
/// # Errors
/// The bank's page does not answer as expected.
pub async fn authenticate(page: &Url) -> Result<ReturnForm> {
    authenticate_by(page, "approve").await
}

/// Does `action` (`approve` or `fail`) on the bank's 3DS page.
///
/// # Errors
/// The bank's page does not answer as expected.
pub async fn authenticate_by(page: &Url, action: &str) -> Result<ReturnForm> {
    let shown = Answer::to(client().get(page.clone()).header(ACCEPT, "text/html"))
        .await
        .context("opening the 3DS page")?;
    if shown.status != 200 {
        bail!("the 3DS page answered {}: {}", shown.status, shown.body);
    }
    let request = client()
        .post(page.clone())
        .header(CONTENT_TYPE, FORM)
        .header(ACCEPT, "application/json")
        .body(form([("otp", OTP), ("action", action)]));
    json_answer(request, "the bank's 3DS page").await
}

/// Leaves the bank's 3DS page without an answer.
///
/// # Errors
/// The bank's page does not answer as expected.
pub async fn leave(page: &Url) -> Result<()> {
    let request = client()
        .post(page.clone())
        .header(CONTENT_TYPE, FORM)
        .header(ACCEPT, "application/json")
        .body(form([("action", "leave")]));
    let _: serde_json::Value = json_answer(request, "the bank's 3DS page").await?;
    Ok(())
}

/// Posts the bank's return form as the browser would, without following the redirect.
///
/// # Errors
/// No answer comes.
pub async fn return_to_shop(form: &ReturnForm) -> Result<Answer> {
    post_callback(&form.action, FORM, http::form(&form.fields)).await
}

/// Posts the bank's return form's fields as JSON.
///
/// # Errors
/// No answer comes.
pub async fn return_as_json(form: &ReturnForm) -> Result<Answer> {
    let body = serde_json::to_string(&form.fields).context("a form is plain JSON")?;
    post_callback(&form.action, "application/json", body).await
}

/// The form of a return that names a charge, claims success, and carries nothing else. Anyone can post it.
pub fn bare_return(charge_id: impl std::fmt::Display) -> String {
    format!("objectId={charge_id}&status=true")
}

/// Posts anything to the callback.
///
/// # Errors
/// No answer comes.
pub async fn post_callback(
    url: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Result<Answer> {
    request(&Method::POST, url, content_type, body).await
}

/// Makes any request, as a program does.
///
/// # Errors
/// No answer comes.
pub async fn request(
    method: &Method,
    url: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Result<Answer> {
    let request = client()
        .request(method.clone(), url)
        .header(CONTENT_TYPE, content_type)
        .body(body);
    Answer::to(request)
        .await
        .with_context(|| format!("{method} {url}"))
}

/// Makes a request as a browser does that a person sits in front of.
///
/// # Errors
/// No answer comes.
pub async fn navigate(
    method: &Method,
    url: &str,
    body: impl Into<reqwest::Body>,
) -> Result<Answer> {
    let request = client()
        .request(method.clone(), url)
        .header(CONTENT_TYPE, FORM)
        .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .body(body);
    Answer::to(request)
        .await
        .with_context(|| format!("{method} {url}"))
}

/// The URL in a page's `<meta http-equiv="refresh" content="0;url=…">`.
pub fn refresh_target(page: &str) -> Option<String> {
    let tag = page
        .split('<')
        .find(|tag| tag.starts_with("meta") && tag.contains("http-equiv=\"refresh\""))?;
    let content = tag.split_once("content=\"")?.1.split('"').next()?;
    let (_, url) = content.split_once("url=")?;
    Some(unescaped(url))
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
}

fn is_at(url: &Url, base: &str) -> bool {
    Url::parse(base).is_ok_and(|base| base.origin() == url.origin())
}

async fn json_answer<T: serde::de::DeserializeOwned>(
    request: reqwest::RequestBuilder,
    who: &str,
) -> Result<T> {
    let answer = Answer::to(request)
        .await
        .with_context(|| format!("{who} does not answer"))?;
    if !(200..300).contains(&answer.status) {
        bail!("{who} answered {}: {}", answer.status, answer.body);
    }
    serde_json::from_str(&answer.body)
        .with_context(|| format!("{who} answered something unexpected: {}", answer.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_is_read_from_the_page() {
        let page = r#"<!doctype html><html><head><meta charset="utf-8">
            <meta http-equiv="refresh" content="0;url=http://127.0.0.1:4600/3ds/chrg_test_1?a=1&amp;b=2"></head></html>"#;
        assert_eq!(
            refresh_target(page).as_deref(),
            Some("http://127.0.0.1:4600/3ds/chrg_test_1?a=1&b=2")
        );
    }

    #[test]
    fn a_page_without_a_redirect_has_none() {
        assert_eq!(
            refresh_target("<html><meta charset=\"utf-8\"></html>"),
            None
        );
        assert_eq!(refresh_target(""), None);
    }
}
