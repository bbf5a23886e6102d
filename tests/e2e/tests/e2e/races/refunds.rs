//! Races around giving the money of a paid order back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payment3_harness::invariants::KnownRefunds;
use payment3_harness::ledger::ELSEWHERE;
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Act, Ended, PATIENCE, all_well, at_once, notifies, random_part_of, returns, starts_by_hand,
    succeeded,
};
use crate::refunds::{Times, input, refund_id};
use crate::support::{Authenticated, TestApp, subject};

/// How many refunds are started at once.
const REFUNDS: usize = 50;
/// What each of them gives back: 37 of them fit into what was paid.
const EACH: &str = "40.00";
const FIT: usize = 37;
/// Within what time two things happen that race.
const MOMENT: Duration = Duration::from_millis(1500);

/// Starts a refund under this name. `Some` is what is wrong.
fn refunds(
    app: &Arc<TestApp>,
    paid: &Authenticated,
    (name, id): (&str, &str),
    amount: Option<&str>,
) -> Act<Option<String>> {
    let (app, name) = (app.clone(), name.to_owned());
    let input = input(id, paid, amount);
    Box::pin(async move {
        let machine = app.refund_machine(Times::Fast).await;
        let started = machine.start(&name, &input).await;
        started
            .err()
            .map(|error| format!("a refund was not started: {error:#}"))
    })
}

/// The same at some moment of the next second and a half.
fn refunds_at_some_moment(
    app: &Arc<TestApp>,
    paid: &Authenticated,
    id: &str,
    amount: Option<&str>,
) -> Act<Option<String>> {
    let starts = refunds(app, paid, (id, id), amount);
    Box::pin(async move {
        sleep(random_part_of(MOMENT)).await;
        starts.await
    })
}

/// How each of these executions ended: its result or its error, and how often.
async fn ends(app: &TestApp, names: &[String]) -> Result<BTreeMap<String, usize>, String> {
    let machine = app.refund_machine(Times::Fast).await;
    let mut ends = BTreeMap::new();
    for name in names {
        let execution = machine.end_of(name, PATIENCE).await;
        let execution = execution.map_err(|error| format!("{error:#}"))?;
        let end = match (&execution.failure, &execution.output) {
            (Some(failure), _) => failure.error.clone(),
            (None, Some(output)) => output["result"].as_str().unwrap_or("none").to_owned(),
            (None, None) => execution.status.clone(),
        };
        *ends.entry(end).or_default() += 1;
    }
    Ok(ends)
}

fn expect(ends: &BTreeMap<String, usize>, expected: &[(&str, usize)]) -> Result<(), String> {
    let expected = expected
        .iter()
        .filter(|(_, times)| *times > 0)
        .map(|(end, times)| ((*end).to_owned(), *times))
        .collect();
    if *ends == expected {
        return Ok(());
    }
    Err(format!("the refunds ended as {ends:?}, not {expected:?}"))
}

/// Parts whose sum is over what was paid: as many go back as fit, each once.
pub(super) async fn fifty_parts(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.paid().await;
    app.settle(paid.charge_id()).await;
    let ids: Vec<_> = (0..REFUNDS).map(|_| refund_id()).collect();
    let acts = ids
        .iter()
        .map(|id| refunds(&app, &paid, (id, id), Some(EACH)));
    all_well(at_once(acts.collect()).await)?;
    let ends = ends(&app, &ids).await?;
    expect(
        &ends,
        &[("refunded", FIT), ("RefundTooLarge", REFUNDS - FIT)],
    )?;
    app.check_invariants(&subject(&[&paid])).await?;
    Ok("all that fit went back")
}

/// One id under fifty names: one refund.
pub(super) async fn one_id(app: Arc<TestApp>, round: usize) -> Ended {
    let paid = app.paid().await;
    let whole = round.is_multiple_of(2);
    if !whole {
        app.settle(paid.charge_id()).await;
    }
    let id = refund_id();
    let names: Vec<_> = (0..REFUNDS)
        .map(|number| format!("{id}-{number}"))
        .collect();
    // Every second one of a void does not say how much.
    let amount = |number: usize| match (whole, number.is_multiple_of(2)) {
        (true, true) => None,
        (true, false) => Some("1500.00"),
        (false, _) => Some("120.50"),
    };
    let acts = names
        .iter()
        .enumerate()
        .map(|(number, name)| refunds(&app, &paid, (name, &id), amount(number)));
    all_well(at_once(acts.collect()).await)?;
    let ends = ends(&app, &names).await?;
    expect(&ends, &[("refunded", REFUNDS)])?;
    app.check_invariants(&subject(&[&paid])).await?;
    match app.reversals_asked(paid.charge_id()).await {
        1 if whole => Ok("one void"),
        1 => Ok("one refund"),
        times => Err(format!("the bank was asked {times} times")),
    }
}

/// A refund of ours, and one by hand that the bank notifies. Either one counts with the other.
pub(super) async fn by_hand(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.paid().await;
    let charge = paid.charge_id().to_owned();
    app.settle(&charge).await;
    let id = refund_id();
    let person: Act<_> = {
        let (app, charge) = (app.clone(), charge.clone());
        Box::pin(async move {
            sleep(random_part_of(MOMENT)).await;
            app.refund_by_hand(&charge, "200.00").await;
            notifies(&app, &charge).await
        })
    };
    let ours = refunds_at_some_moment(&app, &paid, &id, Some("120.50"));
    let acts = vec![ours, person];
    all_well(at_once(acts).await)?;
    let ends = ends(&app, std::slice::from_ref(&id)).await?;
    let deployed = app.refund_machine(Times::Deployed).await;
    let by_hand = format!("elsewhere-{charge}");
    let found = deployed.find(&by_hand).await;
    if found.map_err(|error| format!("{error:#}"))?.is_some() {
        let execution = deployed.end_of(&by_hand, PATIENCE).await;
        succeeded(execution.map_err(|error| format!("{error:#}"))?)?;
    }
    let recorded = app.ledger(&charge).await.entries.contains_key(ELSEWHERE);
    let mut subject = subject(&[&paid]);
    subject.refunds = KnownRefunds {
        hidden_by_hand: BTreeMap::from([(charge.clone(), if recorded { 0 } else { 20_000 })]),
        ..KnownRefunds::default()
    };
    app.check_invariants(&subject).await?;
    let refunded = ends.contains_key("refunded");
    match (refunded, recorded) {
        (true, false) => Ok("ours explains it"),
        (true, true) => Ok("both are known"),
        (false, true) => {
            expect(&ends, &[("RefundTooLarge", 1)])?;
            Ok("by hand first: ours is refused")
        }
        (false, false) => Err(format!("ours ended as {ends:?}")),
    }
}

/// A person voids the charge in the portal while all of it is given back. It goes back once.
pub(super) async fn voided_by_hand(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.paid().await;
    let charge = paid.charge_id().to_owned();
    let id = refund_id();
    let person: Act<_> = {
        let (app, charge) = (app.clone(), charge.clone());
        let url = format!("{}/sandbox/charges/{charge}/void", app.outputs.bank_url);
        Box::pin(async move {
            sleep(random_part_of(MOMENT)).await;
            let void = payment3_harness::http::client().post(url);
            // The bank refuses it where ours was first.
            let void = void.json(&json!({"notify": false})).send().await;
            if let Err(error) = void {
                return Some(format!("the bank does not answer: {error}"));
            }
            notifies(&app, &charge).await
        })
    };
    let acts = vec![refunds_at_some_moment(&app, &paid, &id, None), person];
    all_well(at_once(acts).await)?;
    let ends = ends(&app, std::slice::from_ref(&id)).await?;
    let by_hand = format!("elsewhere-{charge}");
    let deployed = app.refund_machine(Times::Deployed).await;
    let found = deployed.find(&by_hand).await;
    if found.map_err(|error| format!("{error:#}"))?.is_some() {
        let execution = deployed.end_of(&by_hand, PATIENCE).await;
        succeeded(execution.map_err(|error| format!("{error:#}"))?)?;
    }
    app.check_invariants(&subject(&[&paid])).await?;
    let by_hand = app.ledger(&charge).await.entries.contains_key(ELSEWHERE);
    match (ends.contains_key("refunded"), by_hand) {
        (true, false) => Ok("one void"),
        (false, true) => {
            expect(&ends, &[("RefundTooLarge", 1)])?;
            Ok("by hand first: ours is refused")
        }
        _ => Err(format!("ours ended as {ends:?}, by hand: {by_hand}")),
    }
}

/// The payment's own executions beside its refund: they come to their end, and none gives the money back once more.
pub(super) async fn beside_the_payment(app: Arc<TestApp>, round: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    all_well(vec![returns(&app, &paid).await])?;
    let key = app.inspector.key_of_token(paid.token()).expect("a token");
    while app.read_record(&key).await["resolution"] != "orderPaid" {
        sleep(Duration::from_millis(50)).await;
    }
    if round.is_multiple_of(2) {
        app.settle(charge).await;
    }
    let id = refund_id();
    let by_hand = format!("by-hand-{charge}");
    let acts = vec![
        refunds(&app, &paid, (&id, &id), None),
        starts_by_hand(&app, charge, &by_hand),
        returns(&app, &paid),
        notifies(&app, charge),
    ];
    all_well(at_once(acts).await)?;
    let ends = ends(&app, std::slice::from_ref(&id)).await?;
    expect(&ends, &[("refunded", 1)])?;
    app.comes_to_its_end(&paid).await?;
    succeeded(app.execution(&by_hand).await)?;
    app.check_invariants(&subject(&[&paid])).await?;
    Ok("one refund")
}
