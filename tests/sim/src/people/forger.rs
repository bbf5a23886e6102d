//! A forger: posts returns that claim success, for charges of others and for charges that do not exist, and
//! notifications with a wrong signature.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::random::Random;
use crate::world::World;

/// Tries for as long as things begin.
pub(crate) async fn tries(world: World) {
    let random: Random = world.random().of("forger");
    let attempts = random.below(8);
    for _ in 0..attempts {
        sleep(random.between(Duration::from_millis(10), world.active() / 4)).await;
        let charge = match world.some_charge(&random) {
            Some(charge) if random.chance(0.9) => charge,
            _ => "chrg_test_invented".to_owned(),
        };
        let burst = if random.chance(0.1) { 20 } else { 1 };
        for _ in 0..burst {
            let request = if random.chance(0.7) {
                world.form(
                    "/callback",
                    [("objectId", charge.as_str()), ("status", "true")],
                )
            } else {
                let forged = json!({
                    "id": charge, "object": "charge", "amount": 1500, "currency": "THB", "status": "success",
                    "transaction_state": "Authorized", "checksum": "0".repeat(64),
                });
                world.request(
                    Method::POST,
                    "/notify",
                    "application/json",
                    forged.to_string().into_bytes(),
                )
            };
            let _ = world.api().request("forger", request).await;
        }
    }
}
