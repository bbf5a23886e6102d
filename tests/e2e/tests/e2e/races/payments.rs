//! Races around paying: many calls for one charge, two charges for one order, two payments of one customer.

use std::sync::Arc;
use std::time::Duration;

use payment3_harness::invariants::Subject;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{
    self, CARD_APPROVED, CARD_WITHOUT_3DS, Next, OTHER_CARD_APPROVED, ReturnForm,
};
use tokio::time::sleep;

use super::{
    Act, Ended, all_well, at_once, notifies, reconciles, returns, starts_by_hand, succeeded,
};
use crate::support::{TestApp, new_user_path, subject};

/// How many calls for one charge come at once.
const CALLS: usize = 50;
/// How often one form is posted at once.
const CLICKS: usize = 5;
/// How often a shopper tries again who was told to, and after how long.
const TRIES_AGAIN: usize = 10;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Returns as forms and as JSON, and notifications: one execution, and one payment.
pub(super) async fn fifty_callbacks(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let acts = (0..CALLS)
        .map(|number| match number % 4 {
            0 => returns(&app, &paid),
            1 => returns_as_json(&paid.form),
            _ => notifies(&app, charge),
        })
        .collect();
    // On a busy machine fifty cold starts take longer than a call may take. A call that is told to try again has
    // started nothing, and does not count.
    let outcomes = at_once(acts).await;
    let turned_away = |wrong: &String| wrong.contains("answered 503");
    let all_taken = !outcomes.iter().flatten().any(turned_away);
    all_well(
        outcomes
            .into_iter()
            .map(|wrong| wrong.filter(|wrong| !turned_away(wrong)))
            .collect(),
    )?;
    // If all of them were turned away, the shopper tries again.
    let mut tries = 0;
    while app.find_execution(charge).await.is_none() && tries < TRIES_AGAIN {
        sleep(TRY_AGAIN_AFTER).await;
        returns(&app, &paid).await;
        tries += 1;
    }
    app.comes_to_its_end(&paid).await?;
    let execution = app.one_execution(charge).await?;
    if execution.states() != new_user_path() {
        return Err(format!("the path was {}", execution.states().join(" → ")));
    }
    app.check_invariants(&subject(&[&paid])).await?;
    Ok(if all_taken {
        "one execution"
    } else {
        "one execution, some told to try again"
    })
}

fn returns_as_json(form: &ReturnForm) -> Act<Option<String>> {
    let form = form.clone();
    Box::pin(async move {
        let answer = shopper::return_as_json(&form).await.expect("an answer");
        (answer.status != 303)
            .then(|| format!("a return was answered {}: {}", answer.status, answer.body))
    })
}

/// Both charges are authorised: one pays, and the other goes back.
pub(super) async fn two_tabs(app: Arc<TestApp>, round: usize) -> Ended {
    let order = app.order().await;
    let tab = |card: &'static str| -> Act<_> {
        let (app, order) = (app.clone(), order.clone());
        Box::pin(async move { app.authenticated_for(&order, card).await })
    };
    let tabs = at_once(vec![tab(CARD_APPROVED), tab(OTHER_CARD_APPROVED)]).await;
    let mut acts: Vec<_> = tabs.iter().map(|paid| returns(&app, paid)).collect();
    if round.is_multiple_of(2) {
        acts.extend(tabs.iter().map(|paid| notifies(&app, paid.charge_id())));
    }
    all_well(at_once(acts).await)?;
    for paid in &tabs {
        app.comes_to_its_end(paid).await?;
        app.one_execution(paid.charge_id()).await?;
    }
    app.check_invariants(&subject(&[&tabs[0], &tabs[1]]))
        .await?;
    let payment = app.payment_of(&order).await;
    match payment["paymentId"].as_str() {
        Some(by) if by == tabs[0].charge_id() => Ok("the first tab paid"),
        Some(by) if by == tabs[1].charge_id() => Ok("the second tab paid"),
        _ => Err("neither tab paid the order, and both charges went back".to_owned()),
    }
}

/// One charge, and one answer.
pub(super) async fn double_click(app: Arc<TestApp>, round: usize) -> Ended {
    let order = app.order().await;
    let card = if round.is_multiple_of(2) {
        CARD_WITHOUT_3DS
    } else {
        CARD_APPROVED
    };
    let token = app.card_token(card).await;
    let form = shopper::checkout_form(&app.outputs, &order, &token);
    let click = || -> Act<_> {
        let (app, form) = (app.clone(), form.clone());
        Box::pin(async move {
            shopper::submit_checkout(&app.outputs, &form)
                .await
                .map_err(|error| format!("a checkout was refused: {error:#}"))
        })
    };
    let answers = at_once((0..CLICKS).map(|_| click()).collect()).await;
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    if answers.iter().any(|answer| *answer != answers[0]) {
        return Err(format!("the same form was answered {answers:?}"));
    }
    let how = match &answers[0] {
        Next::ThreeDs(page) => {
            let back = shopper::authenticate(page).await.expect("the bank's page");
            app.return_with(&back).await;
            "one charge with 3-D Secure"
        }
        Next::Shop(_) => "one charge without",
    };
    let key = app.inspector.key_of_token(&token).expect("a token");
    app.closed(&key).await?;
    let record = app.read_record(&key).await;
    let charge = record["chargeId"].as_str().ok_or("no charge is stored")?;
    app.one_execution(charge).await?;
    app.check_invariants(&Subject::of([(&order, &*token)]))
        .await?;
    Ok(how)
}

/// One customer at the bank, with both cards; every second time one of the two is a verification.
pub(super) async fn two_first_payments(app: Arc<TestApp>, round: usize) -> Ended {
    let owner = random::id("usr_");
    let first = app.authenticated(&owner, CARD_APPROVED).await;
    let second = if round.is_multiple_of(2) {
        let verification = Order::verification(&owner);
        app.authenticated_for(&verification, OTHER_CARD_APPROVED)
            .await
    } else {
        app.authenticated(&owner, OTHER_CARD_APPROVED).await
    };
    all_well(at_once(vec![returns(&app, &first), returns(&app, &second)]).await)?;
    for paid in [&first, &second] {
        app.comes_to_its_end(paid).await?;
        app.one_execution(paid.charge_id()).await?;
    }
    app.check_invariants(&subject(&[&first, &second])).await?;
    if app.saved_cards(&owner).await != Some(2) {
        return Err("the customer does not have both cards".to_owned());
    }
    let mapping = app.inspector.mapping(&owner).await.expect("table");
    let created_by = mapping.ok_or("the owner has no customer")?["createdByCharge"].clone();
    Ok(if created_by == first.charge_id() {
        "the first made the customer"
    } else {
        "the second made the customer"
    })
}

/// Three executions of one charge.
pub(super) async fn by_hand(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let names = [1, 2].map(|number| format!("by-hand-{number}-{charge}"));
    let mut acts = vec![returns(&app, &paid)];
    acts.extend(names.iter().map(|name| starts_by_hand(&app, charge, name)));
    all_well(at_once(acts).await)?;
    app.comes_to_its_end(&paid).await?;
    app.one_execution(charge).await?;
    let mut paying = 1;
    for name in names {
        let execution = succeeded(app.execution(&name).await)?;
        paying += usize::from(execution.states().contains(&"PayOrder"));
    }
    app.check_invariants(&subject(&[&paid])).await?;
    Ok(match paying {
        1 => "one came to PayOrder",
        2 => "two came to PayOrder",
        _ => "three came to PayOrder",
    })
}

/// Returns, notifications, repeats of the checkout, reconciliation and a person, all for one payment.
pub(super) async fn everything(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let key = app.inspector.key_of_token(paid.token()).expect("a token");
    app.make_older(&key, 6 * 60).await;
    let form = shopper::checkout_form(&app.outputs, &paid.order, paid.token());
    let by_hand = format!("by-hand-{charge}");
    let checks_out_again = || -> Act<_> {
        let (app, form) = (app.clone(), form.clone());
        Box::pin(async move {
            let again = shopper::submit_checkout(&app.outputs, &form).await;
            again
                .err()
                .map(|error| format!("the form again was refused: {error:#}"))
        })
    };
    let mut acts = vec![
        starts_by_hand(&app, charge, &by_hand),
        reconciles(&app),
        reconciles(&app),
        checks_out_again(),
        checks_out_again(),
    ];
    acts.extend((0..6).map(|_| returns(&app, &paid)));
    acts.extend((0..6).map(|_| notifies(&app, charge)));
    all_well(at_once(acts).await)?;
    app.closed(&key).await?;
    app.one_execution(charge).await?;
    succeeded(app.execution(&by_hand).await)?;
    app.check_invariants(&subject(&[&paid])).await?;
    Ok("held")
}
