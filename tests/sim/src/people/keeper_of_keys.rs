//! Who rotates keys: the bank's, which the bank replaces first and the secret follows late, and the one that events are
//! signed with.

use tokio::time::sleep;

use crate::random::Random;
use crate::time::{HOUR, SECOND};
use crate::world::World;

/// Rotates now and then, as long as things begin.
pub(crate) async fn rotates(world: World) {
    let random: Random = world.random().of("keys");
    for number in 0..random.below(3) {
        sleep(random.between(SECOND, world.active())).await;
        if random.chance(0.5) {
            let key = format!("skey_test_simulated_{number}");
            let both = random.chance(0.5);
            if world.bank().rotate_key(&key, both).await.is_err() {
                continue;
            }
            world.trace().tell(format_args!(
                "the bank has a new key, the former is good: {both}"
            ));
            sleep(random.between(SECOND, 8 * HOUR)).await;
            world.put_bank_key(&key);
        } else {
            world.rotate_webhook_key(number);
        }
    }
}
