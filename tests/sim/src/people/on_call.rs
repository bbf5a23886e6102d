//! The person on call: does what the runbook says, at random times, sometimes twice, and often without need.

use serde_json::json;
use tokio::time::sleep;

use crate::random::Random;
use crate::time::SECOND;
use crate::world::World;

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
                let name = format!("{}-hand-{}", short(&charge), world.time().now().as_second());
                world.start_payment(&name, &json!({"chargeId": charge}));
            }
        }
    }
}

fn short(charge: &str) -> &str {
    charge.get(..60).unwrap_or(charge)
}
