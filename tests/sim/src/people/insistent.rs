//! Somebody who posts returns of a payment that the bank has not decided, every few seconds for ten minutes.

use http::Request;
use tokio::time::sleep;

use crate::random::Random;
use crate::time::SECOND;
use crate::world::World;

/// Looks for such a payment now and then, and insists once.
pub(crate) async fn insists(world: World) {
    let random: Random = world.random().of("insistent");
    if !random.chance(0.1) {
        return;
    }
    for _ in 0..50 {
        sleep(random.between(SECOND, world.active() / 25)).await;
        let records = world.0.watch.records();
        let undecided = records.values().find(|record| {
            record["outcome"] == "pending"
                && record.get("closedAt").is_none()
                && record["chargeId"].is_string()
        });
        let Some(charge) = undecided.and_then(|record| record["chargeId"].as_str()) else {
            continue;
        };
        for _ in 0..120 {
            let request = forged_return(&world, charge);
            let _ = world.api().request("insistent", request).await;
            sleep(5 * SECOND).await;
        }
        return;
    }
}

/// A browser's return that claims success.
fn forged_return(world: &World, charge: &str) -> Request<Vec<u8>> {
    world.form("/callback", [("objectId", charge), ("status", "true")])
}
