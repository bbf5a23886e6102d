//! What returns, notifications and questions about orders are answered.

use std::time::Duration;

use anyhow::Result;
use http::Method;
use payment3_bank::{Dialect, Manner};
use payment3_harness::http::form;
use serde_json::json;
use tokio::time::sleep;

use super::desk::{Desk, Paying, record_key};
use crate::dynamodb::Lag;
use crate::scenario::done;
use crate::time::SECOND;
use crate::world::World;

/// Indexes show for a month what was there before.
const BEHIND: Lag = Lag {
    rarely: (1.0, Duration::from_secs(30 * 86_400)),
    ..Lag::USUAL
};

/// Returns of all kinds, and questions about orders.
pub(super) async fn answers(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let charge = paying.charge().to_owned();
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

/// The same while the index shows each payment as it was before the bank decided.
pub(super) async fn behind(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for manner in [Manner::Approved, Manner::Declined] {
        world.0.tables.set_lag(Lag::NONE);
        let paying = desk.pay(manner, 150_000).await?;
        let charge = paying.charge();
        world.0.tables.set_lag(BEHIND);
        let fields = desk.confirm(&paying).await?;
        for time in ["first", "second"] {
            lines.push(format!(
                "{manner:?}, {time}: {}",
                desk.post_return(&fields).await
            ));
            desk.rest().await;
            lines.push(format!("  rest: {}", desk.record(&paying.token)));
        }
        world.start_payment(&format!("by_hand_{manner:?}"), &json!({"chargeId": charge}));
        desk.rest().await;
        match manner {
            Manner::Declined => done(world.bank().approve(charge).await)?,
            _ => {
                world.bank().settle_all(false).await;
                done(world.bank().refund(charge, Some("100.00"), false).await)?;
            }
        }
        for time in ["first", "second"] {
            let answer = done(world.bank().notify(charge).await)?;
            desk.rest().await;
            lines.push(format!("{manner:?}, notified, {time}: {answer:?}"));
            lines.push(format!("  rest: {}", desk.record(&paying.token)));
        }
        lines.push(format!("  shown: {}", desk.status(&paying.order).await));
    }
    lines.extend(desk.executions());
    Ok(lines)
}

/// Two returns of a payment whose next attempt is due, at the same time. Both find it as it was before.
pub(super) async fn at_once(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let comes_back = || desk.bare_return(paying.charge());
    lines.push(format!("first: {}", comes_back().await));
    desk.rest().await;
    lines.push(format!("rest: {}", desk.record(&paying.token)));
    world.0.tables.set_lag(BEHIND);
    for time in ["second", "third"] {
        lines.push(format!("{time}: {}", comes_back().await));
        lines.push(format!("  stored: {}", desk.stored(&paying.token)));
    }
    desk.rest().await;
    lines.push(format!("rest: {}", desk.record(&paying.token)));
    lines.extend(desk.executions());
    Ok(lines)
}

/// A notification of a charge that no index shows yet: of a checkout that it does not show at all, and of one that it
/// shows without a charge.
pub(super) async fn not_shown_yet(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for begun in [false, true] {
        world
            .0
            .tables
            .set_lag(if begun { Lag::NONE } else { BEHIND });
        let Paying { token, form, .. } = desk.prepare(Dialect::Usual).await?;
        desk.takes_long(&token).await?;
        let falls_behind = async {
            sleep(SECOND).await;
            world.0.tables.set_lag(BEHIND);
        };
        let (answer, ()) = tokio::join!(desk.check_out(&form), falls_behind);
        lines.push(format!("begun {begun}: {answer}"));
        let charge = desk.confirm_unseen(&token).await?;
        for time in ["first", "second"] {
            let answer = done(world.bank().notify(&charge).await)?;
            desk.rest().await;
            lines.push(format!("  notified, {time}: {answer:?}"));
            lines.push(format!("  rest: {}", desk.record(&token)));
        }
    }
    Ok(lines)
}

/// What comes while another transaction holds the record, for a moment and for long.
pub(super) async fn held(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let parts = &world.0;
    for millis in [150, 10_000] {
        let holds = Duration::from_millis(millis);
        let paying = desk.pay(Manner::Approved, 150_000).await?;
        let fields = desk.confirm(&paying).await?;
        let key = record_key(&paying.token)?;
        parts.tables.hold(&parts.names.records, &key, holds);
        let answer = done(world.bank().notify(paying.charge()).await)?;
        lines.push(format!("held for {holds:?}, notified: {answer:?}"));
        lines.push(format!("  returned: {}", desk.post_return(&fields).await));
        desk.rest().await;
        lines.push(format!("  rest: {}", desk.stored(&paying.token)));
    }
    lines.extend(desk.executions());
    Ok(lines)
}

/// More returns than may start executions, while the bank has not decided, when it has, and while the shop cannot be told.
pub(super) async fn too_many(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for told in [true, false] {
        let paying = desk.pay(Manner::Approved, 150_000).await?;
        let charge = paying.charge();
        for _ in 0..4 {
            desk.bare_return(charge).await;
            desk.rest().await;
        }
        let asked = || world.bank().requests_of(charge).len();
        lines.push(format!(
            "undecided: {}, asked {}",
            desk.stored(&paying.token),
            asked()
        ));
        world.0.tables.set_lag(BEHIND);
        desk.confirm(&paying).await?;
        if !told {
            world.shop_answers(Some(500));
        }
        for wait in [0, 1, 11, 12, 600] {
            sleep(wait * SECOND).await;
            desk.bare_return(charge).await;
            sleep(5 * SECOND).await;
            let record = desk.record(&paying.token);
            lines.push(format!(
                "  after {wait} s more: {record}, asked {}",
                asked()
            ));
        }
        world.shop_answers(None);
        world.0.tables.set_lag(Lag::NONE);
        desk.rest().await;
        lines.push(format!("  rest: {}", desk.record(&paying.token)));
    }
    lines.extend(desk.executions());
    Ok(lines)
}
