//! The person on call: does what the runbook says, at random times, sometimes twice, and often without need.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::random::Random;
use crate::time::{HOUR, SECOND};
use crate::world::World;

/// In the names of the executions that are started by hand.
pub(crate) const BY_HAND: &str = "-hand-";

/// Works for as long as things begin, and a little longer.
pub(crate) async fn works(world: World) {
    let random: Random = world.random().of("on call");
    let tasks = random.below(12);
    for _ in 0..tasks {
        sleep(random.between(SECOND, world.active())).await;
        match random.below(5) {
            0 => world.redrive_all(),
            1 => world.reconcile_now().await,
            2 => world.deploy(),
            _ => {
                let Some(charge) = world.some_charge(&random) else {
                    continue;
                };
                start(&world, &charge);
            }
        }
    }
}

/// Redrives what failed once an outage is over, in some runs: just then the outage's own payments go on by themselves.
pub(crate) async fn redrives_after_outages(world: World) {
    let random: Random = world.random().of("on call after outages");
    if random.chance(0.5) {
        return;
    }
    let mut ends = world.0.network.clears_up();
    ends.sort_unstable();
    let began = Instant::now();
    for end in ends {
        sleep_until(began + end + random.between(SECOND, HOUR)).await;
        world.redrive_all();
    }
}

/// Starts a payment by hand just after the bank has decided it, in some runs: two executions then do the same things at
/// the same time.
pub(crate) async fn starts_beside(world: World, charge: String) {
    let random = world.random().of(&format!("on call and {charge}"));
    if world.random().of("on call is hasty").chance(0.2) && random.chance(0.4) {
        sleep(random.between(Duration::from_millis(1), 2 * SECOND)).await;
        start(&world, &charge);
    }
}

fn start(world: &World, charge: &str) {
    let short = charge.get(..60).unwrap_or(charge);
    let name = format!("{short}{BY_HAND}{}", world.time().now().as_second());
    world.start_payment(&name, &json!({"chargeId": charge}));
}
