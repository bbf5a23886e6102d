//! The shop's back office: gives money of paid orders back, whole and in parts, and sometimes asks for too much, twice, or
//! for an order that nobody has paid.

use std::time::Duration;

use payment3_harness::items::satang_as_baht;
use serde_json::json;
use tokio::time::sleep;

use crate::random::Random;
use crate::time::{DAY, HOUR, SECOND};
use crate::world::World;

/// Looks after one order once it is paid. `satang` is its total.
pub(crate) async fn gives_back(world: World, order: String, satang: u64) {
    let random: Random = world.random().of(&format!("back office and {order}"));
    if !random.chance(world.refunds()) {
        return;
    }
    if random.chance(0.1) {
        let id = format!("rf_{order}_typo");
        let input = json!({"refundId": id, "orderId": format!("{order}0")});
        world.start_refund(&id, &input);
    }
    let equal = random.chance(0.3).then(|| 1 + random.below(satang / 2));
    for number in 0..1 + random.below(4) {
        // Two clerks may be at the same order.
        let pause = if random.chance(0.3) { SECOND } else { 2 * DAY };
        sleep(random.between(Duration::from_millis(1), pause)).await;
        let id = format!("rf_{order}_{number}");
        let mut input = json!({"refundId": id, "orderId": order, "reason": "simulated"});
        let part = match random.below(10) {
            0..=2 => None,
            3 => Some(satang + 1),
            4 => Some(satang),
            _ => Some(equal.unwrap_or_else(|| 1 + random.below(satang))),
        };
        if let Some(satang) = part {
            input["amount"] = satang_as_baht(satang).into();
        }
        let again = 1 + random.below(3) / 2;
        for time in 0..again {
            // An answer that is lost is asked for again under the same name. As the runbook starts a refund again, it is
            // under another name; often without need.
            let name = match time {
                1.. if random.chance(0.5) => format!("{id}-again"),
                _ => id.clone(),
            };
            world.start_refund(&name, &input);
            let pause = *random.pick(&[SECOND, 60 * SECOND, HOUR]);
            sleep(random.between(Duration::from_millis(1), pause)).await;
        }
    }
}
