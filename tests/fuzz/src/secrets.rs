//! A token and a key that are easy to find wherever they appear.

use std::fmt::Debug;

/// A fake card token.
pub(crate) const TOKEN: &str = "tokn_test_OBVIOUSLYFAKE";
/// A fake secret key.
pub(crate) const KEY: &str = "skey_test_OBVIOUSLYFAKE";

/// Whether a text contains the token or the key. A client may write one of them into an id; then it shows in the id.
pub(crate) fn contains_secret(text: &str) -> bool {
    text.contains(TOKEN) || text.contains(KEY)
}

/// Fails if a text for people or logs contains the token or the key. The message does not repeat the text.
pub(crate) fn assert_none_in(what: &str, text: &str) {
    assert!(!text.contains(TOKEN), "{what} shows a card token");
    assert!(!text.contains(KEY), "{what} shows a secret key");
}

/// [`assert_none_in`] for both `Debug` formats of a value.
pub(crate) fn assert_none_debugged(what: &str, value: &impl Debug) {
    assert_none_in(what, &format!("{value:?}"));
    assert_none_in(what, &format!("{value:#?}"));
}
