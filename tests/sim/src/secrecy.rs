//! What must never be written anywhere: card tokens, keys, personal data.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The secrets of one run, and where they were seen.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    known: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Secrets {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a secret: a card token, a key, an e-mail address, a name.
    pub(crate) fn add(&self, secret: &str) {
        self.state().known.insert(secret.to_owned());
    }

    /// Looks for secrets in something that was written.
    pub(crate) fn look_at(&self, place: &str, text: &str) {
        // Most texts are short words, and no secret is.
        if text.len() < 8 {
            return;
        }
        let mut state = self.state();
        let found = state
            .known
            .iter()
            .any(|secret| text.contains(secret.as_str()));
        if found {
            state.seen.insert(format!("{place} holds a secret: {text}"));
        }
    }

    /// Where secrets were seen.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state().seen.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_the_middle_of_a_text_and_nothing_else_is() {
        let secrets = Secrets::default();
        secrets.add("obviously-fake-key");
        secrets.look_at("a log", "the key of the bank is missing");
        assert_eq!(secrets.seen(), [""; 0]);
        secrets.look_at("a log", "key=obviously-fake-key;");
        secrets.look_at("a log", "key=obviously-fake-key;");
        assert_eq!(
            secrets.seen(),
            ["a log holds a secret: key=obviously-fake-key;"]
        );
    }
}
