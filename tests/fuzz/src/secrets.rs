//! Tokens and keys that are easy to find again, wherever they turn up.

use std::fmt::Debug;

/// A card token that belongs to nobody.
pub(crate) const TOKEN: &str = "tokn_test_OBVIOUSLYFAKE";
/// A secret key that opens nothing.
pub(crate) const KEY: &str = "skey_test_OBVIOUSLYFAKE";

/// Whether a text holds the token or the key. Where the client itself wrote one into an id, it shows as that.
pub(crate) fn stand_in(text: &str) -> bool {
    text.contains(TOKEN) || text.contains(KEY)
}

/// Fails where a text that people or logs see holds the token or the key. The text itself stays out of the message.
pub(crate) fn assert_none_in(what: &str, text: &str) {
    assert!(!text.contains(TOKEN), "{what} shows a card token");
    assert!(!text.contains(KEY), "{what} shows a secret key");
}

/// [`assert_none_in`] for a value's `Debug`, both ways of writing it.
pub(crate) fn assert_none_debugged(what: &str, value: &impl Debug) {
    assert_none_in(what, &format!("{value:?}"));
    assert_none_in(what, &format!("{value:#?}"));
}
