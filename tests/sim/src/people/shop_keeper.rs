//! The shop: cancels orders by a timer, deletes and corrects them, tracks them; and its endpoint is sometimes closed.

use tokio::time::sleep;

use crate::random::Random;
use crate::time::{DAY, MINUTE, SECOND};
use crate::world::{Change, World};

/// Looks after one order, from when it is placed.
pub(crate) async fn looks_after(world: World, order: String) {
    let random: Random = world.random().of(&format!("shop and {order}"));
    for _ in 0..random.below(4) {
        sleep(random.between(SECOND, DAY)).await;
        world.shop_changes(&order, Change::Track);
    }
    let change = match random.below(20) {
        // The usual ten minutes, in the middle of which shoppers pay.
        0 | 1 => Change::Cancel,
        2 => Change::Delete,
        3 => Change::Reprice,
        _ => return,
    };
    let when = if random.chance(0.5) {
        10 * MINUTE
    } else {
        random.between(SECOND, DAY)
    };
    sleep(when).await;
    world.shop_changes(&order, change);
}

/// The shop's endpoint is closed now and then: it fails, or knows neither path nor key. Never for good.
pub(crate) async fn closes_the_endpoint(world: World) {
    let random: Random = world.random().of("endpoint");
    for _ in 0..random.below(3) {
        sleep(random.between(SECOND, world.active())).await;
        let status = *random.pick(&[500, 503, 401, 404, 429]);
        world.shop_answers(Some(status));
        sleep(random.between(SECOND, world.outage())).await;
        world.shop_answers(None);
    }
}
