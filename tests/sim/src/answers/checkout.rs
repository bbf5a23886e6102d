//! What the checkout answers.

use anyhow::Result;
use payment3_bank::{Dialect, Manner};
use serde_json::json;
use tokio::time::sleep;

use super::desk::{Desk, Paying};
use crate::time::{HOUR, SECOND};
use crate::world::World;

/// Orders that can be paid, and that cannot.
pub(super) async fn orders(world: &World) -> Result<Vec<String>> {
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
pub(super) async fn forms(world: &World) -> Result<Vec<String>> {
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
pub(super) async fn cards(world: &World) -> Result<Vec<String>> {
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

/// A double click, and two cards at once.
pub(super) async fn at_once(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let order = desk.order(150_000, &json!({}))?;
    let token = desk.token(Manner::Approved, Dialect::Usual).await?;
    let form = desk.form(&token, &order, "1500.00");
    let other = desk.token(Manner::Approved, Dialect::Usual).await?;
    let other = desk.form(&other, &order, "1500.00");
    for (what, second) in [("double click", &form), ("two cards", &other)] {
        let answers = tokio::join!(desk.check_out(&form), desk.check_out(second));
        lines.push(format!("{what}: {}", answers.0));
        lines.push(format!("  and: {}", answers.1));
    }
    Ok(lines)
}

/// A checkout while another transaction holds the order's row of check-status, for a moment and for good.
pub(super) async fn held(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let parts = &world.0;
    for holds in [SECOND / 10, HOUR] {
        let Paying { order, form, .. } = desk.prepare(Dialect::Usual).await?;
        parts.tables.hold(&parts.names.check_status, &order, holds);
        let answer = desk.check_out(&form).await;
        lines.push(format!("held for {holds:?}: {answer}"));
        sleep(holds).await;
        lines.push(format!("  again: {}", desk.check_out(&form).await));
    }
    Ok(lines)
}

/// While the bank is asked for the charge, another one is stored for the token.
pub(super) async fn overtaken(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let Paying { token, form, .. } = desk.prepare(Dialect::Usual).await?;
    desk.takes_long(&token).await?;
    let meanwhile = async {
        sleep(SECOND).await;
        desk.change_record(&token, |record| {
            record["chargeId"] = "chrg_test_other".into();
        })
    };
    let (answer, changed) = tokio::join!(desk.check_out(&form), meanwhile);
    changed?;
    Ok(vec![
        format!("checkout: {answer}"),
        format!("  again: {}", desk.check_out(&form).await),
        format!("  rest: {}", desk.stored(&token)),
    ])
}

/// What a shopper sees while the bank fails, and what becomes of the payment.
pub(super) async fn trouble(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for operation in ["create_charge", "inquire"] {
        for kind in ["error", "busy", "timeout", "lost_answer", "late"] {
            let order = desk.order(150_000, &json!({}))?;
            let token = desk.token(Manner::ApprovedAtOnce, Dialect::Usual).await?;
            desk.fails(&token, operation, kind, 1).await?;
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
            lines.push(format!("  reconciled: {}", desk.reconcile().await?));
            desk.rest().await;
            lines.push(format!("  rest: {}", desk.record(&token)));
            lines.push(format!("  again: {}", desk.check_out(&form).await));
            lines.push(format!("  shown: {}", desk.status(&order).await));
        }
    }
    Ok(lines)
}

/// Each form of the bank's answers.
pub(super) async fn dialects(world: &World) -> Result<Vec<String>> {
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
