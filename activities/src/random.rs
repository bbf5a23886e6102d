//! Random numbers.

use std::sync::Arc;

type Fill = dyn Fn(&mut [u8]) -> Result<(), getrandom::Error> + Send + Sync;

/// Where random numbers come from. It is handed in, so that a simulation can repeat a run.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl Random {
    /// The operating system's random numbers.
    #[must_use]
    pub fn system() -> Self {
        Self::new(getrandom::fill)
    }

    /// Random numbers from `fill`, which fills all of a slice.
    pub fn new(
        fill: impl Fn(&mut [u8]) -> Result<(), getrandom::Error> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(fill))
    }

    /// Fills a slice with random bytes.
    ///
    /// # Errors
    /// Fails when there are no random numbers to have.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        (self.0)(bytes)
    }
}
