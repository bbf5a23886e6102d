//! What returns, notifications and questions about orders are answered.

use anyhow::Result;
use http::Method;
use payment3_bank::Manner;
use payment3_harness::http::form;
use serde_json::json;

use super::desk::Desk;
use crate::world::World;

/// Returns of all kinds, and questions about orders.
pub(super) async fn answers(world: &World) -> Result<Vec<String>> {
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
    let query = form(&fields);
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
