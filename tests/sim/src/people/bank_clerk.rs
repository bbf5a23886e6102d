//! The bank's own life: the nightly settlement, issuers, and a clerk of the shop who works in the bank's portal.

use std::time::Duration;

use payment3_bank::Dialect;
use payment3_harness::items::satang_as_baht;
use tokio::time::sleep;

use crate::bank::Refusal;
use crate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, SECOND};
use crate::world::World;

/// Settles all authorised charges every night, at some time after 21:00.
pub(crate) async fn settles(world: World) {
    let random: Random = world.random().of("settlement");
    let mut night = Duration::from_secs(random.below(24) * 3600);
    loop {
        sleep(night).await;
        // A night is left out now and then.
        if !random.chance(0.1) {
            world.bank().settle_all(random.chance(0.5)).await;
        }
        night = DAY - HOUR / 2 + random.between(SECOND, HOUR);
    }
}

/// How often the bank says at most that a charge is approved after all: longer than any outage lasts.
const TELLS: usize = 1000;

/// Issuers approve declined charges after all, now and then. The bank says so until the shop has heard it.
pub(crate) async fn approves_after_all(world: World) {
    let random: Random = world.random().of("issuers");
    // What is signed with a key that counts no longer is never heard.
    if world.speaks(Dialect::FormerKey) {
        return;
    }
    for _ in 0..random.below(8) {
        sleep(random.between(SECOND, world.active() / 4)).await;
        let records = world.0.watch.records();
        let declined: Vec<_> = records
            .values()
            .filter(|record| record["outcome"] == "declined")
            .filter_map(|record| record["chargeId"].as_str())
            .collect();
        if declined.is_empty() {
            continue;
        }
        let charge = *random.pick(&declined);
        approve(&world, charge, &random).await;
    }
}

/// An issuer approves a charge after all that it has just declined, in some runs: before anybody has written that down.
pub(crate) async fn approves_at_once(world: World, charge: String) {
    let random: Random = world.random().of(&format!("issuer and {charge}"));
    let is_hasty = world.random().of("issuers are hasty").chance(0.3);
    if !is_hasty || world.speaks(Dialect::FormerKey) || !random.chance(0.5) {
        return;
    }
    sleep(random.between(Duration::from_millis(1), 5 * MINUTE)).await;
    approve(&world, &charge, &random).await;
}

/// Approves a charge, if it is declined, and says so until the shop has heard it.
async fn approve(world: &World, charge: &str, random: &Random) {
    if world.bank().approve(charge).await.is_err() {
        return;
    }
    world
        .trace()
        .tell(format_args!("{charge} is approved after all"));
    for _ in 0..TELLS {
        sleep(random.between(Duration::from_millis(1), HOUR)).await;
        let told = world.bank().notify(charge).await;
        if matches!(told, Ok(Some(200..300))) {
            break;
        }
    }
}

/// Does something to a charge in the portal once it has paid its order. `satang` is what was paid.
pub(crate) async fn works_in_the_portal(world: World, charge: String, satang: u64) {
    let random: Random = world.random().of(&format!("portal and {charge}"));
    if !random.chance(world.portal()) {
        return;
    }
    if random.chance(0.2) {
        let how = *random.pick(&[Refusal::Error, Refusal::Fail]);
        let refused = world.bank().refuse_reversals(&charge, Some(how)).await;
        if refused.is_ok() {
            world
                .trace()
                .tell(format_args!("the bank refuses to give back {charge}"));
        }
        sleep(random.between(SECOND, 5 * DAY)).await;
        let _ = world.bank().refuse_reversals(&charge, None).await;
    }
    for _ in 0..1 + random.below(2) {
        let latest = *random.pick(&[5 * MINUTE, 2 * DAY]);
        sleep(random.between(SECOND, latest)).await;
        let notified = random.chance(0.8);
        let done = if random.chance(0.4) {
            world.bank().void(&charge, notified).await
        } else {
            let satang = 1 + random.below(satang);
            let part = satang_as_baht(satang);
            let part = random.chance(0.7).then_some(part.as_str());
            world.bank().refund(&charge, part, notified).await
        };
        if done.is_ok() {
            world.given_back_by_hand(&charge);
        }
    }
}
