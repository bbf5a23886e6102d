//! The former system's checkout, on the last day of its life: it has charged the card, and the shopper comes back to this
//! system, which finds a record in the former layout.

use http::Request;
use payment3_harness::items::satang_as_baht;
use payment3_harness::shop_api::VERIFICATION;
use serde_json::{Value, json};

use crate::items;
use crate::random::Random;
use crate::world::{BANK, World};

/// Charges a card and stores the record. Returns the bank's page for 3-D Secure, if there is one.
pub(crate) async fn checks_out(
    world: &World,
    random: &Random,
    token: &str,
    order: &str,
    owner: &str,
    satang: i64,
) -> Option<String> {
    let amount = satang_as_baht(satang.unsigned_abs());
    let body = json!({
        "amount": amount, "currency": "THB", "description": "order", "source_type": "card", "mode": "token",
        "token": token, "reference_order": format!("former{:012}", random.below(1_000_000_000_000)), "ref_1": order,
    });
    let request = Request::post(format!("{BANK}/card/v2/charge"))
        .header("content-type", "application/json")
        .header("x-api-key", payment3_bank::SECRET_KEY)
        .body(body.to_string().into_bytes());
    let answer = world.bank().call(request.ok()?).await;
    let charge: Value = serde_json::from_slice(answer.body()).ok()?;
    // Refused, or the bank has another key by now: the former system stored nothing then.
    let id = charge["id"].as_str()?;
    let mut item = json!({
        "tokenId": token, "chargeId": id, "orderId": order,
        "status": random.pick(&[json!(false), json!("false"), json!(0)]),
    });
    // A verification has no order that could say whose it is.
    if order == VERIFICATION || random.chance(0.5) {
        item[*random.pick(&["userId", "ownerId"])] = owner.into();
    }
    if random.chance(0.5) {
        item["amount"] = amount.into();
    }
    world.trace().tell(format_args!(
        "the former system has charged {token}: {id} for {order}"
    ));
    world.facts().former.insert(id.to_owned());
    let parts = &world.0;
    let stored = parts
        .tables
        .store(&parts.names.records, &items::attributes(&item));
    stored.ok()?;
    parts.watch.look();
    let page = charge["redirect_url"].as_str();
    page.filter(|page| !page.is_empty()).map(str::to_owned)
}
