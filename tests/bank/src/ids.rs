//! Random ids. Nothing else differs between two runs of the bank.

use std::sync::Arc;

use crate::Random;

/// Makes ids.
#[derive(Clone)]
pub(crate) struct Ids(Random);

impl Ids {
    /// Ids of these random bytes.
    pub(crate) fn of(random: Random) -> Self {
        Self(random)
    }

    /// A new id: `prefix` and 24 random hex digits. `of` is the id of what it is made from, or empty.
    pub(crate) fn new_id(&self, prefix: &str, of: &str) -> String {
        let mut bytes = [0_u8; 12];
        (self.0)(&format!("{prefix}{of}"), &mut bytes);
        format!("{prefix}{}", hex::encode(bytes))
    }
}

/// The operating system's random bytes.
pub(crate) fn system() -> Random {
    Arc::new(|_, bytes| {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    })
}
