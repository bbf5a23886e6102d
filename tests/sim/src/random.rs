//! Randomness: all of it comes from the seed.

use std::hash::Hasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    seed: u64,
    stream: Arc<Mutex<fastrand::Rng>>,
}

impl Random {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            stream: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// A stream of its own for what has this name. It does not depend on what others have taken, so that a run without
    /// one shopper leaves the choices of the others as they were.
    pub(crate) fn of(&self, name: &str) -> Self {
        // FNV-1a: the standard library's hash may change between versions.
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325 ^ self.seed);
        hash.write(name.as_bytes());
        Self::new(hash.finish())
    }

    fn with<T>(&self, work: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        work(&mut self.stream.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number below `end`, which is at least 1.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.with(|stream| stream.u64(..end.max(1)))
    }

    /// True with this probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.with(|stream| stream.f64() < probability)
    }

    /// A time between two others, in whole milliseconds. Short ones are as frequent as long ones, whatever the range:
    /// what happens within a second and what happens within a week both matter.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        let least = least.as_millis().max(1) as f64;
        let most = (most.as_millis() as f64).max(least);
        let chosen = least * (most / least).powf(self.with(fastrand::Rng::f64));
        Duration::from_millis(chosen as u64)
    }

    /// One of these; there must be one.
    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Random bytes.
    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.with(|stream| stream.fill(bytes));
    }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        // The last bytes must reach the high bits, too.
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
