//! Card tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cards::Card;
use crate::dialect::Dialect;
use crate::error::GatewayError;
use crate::ids::Ids;

/// What the id of a token starts with.
const PREFIX: &str = "tokn_test_";

/// The longest id.
const LONGEST: usize = 100;

/// How long a token can be charged.
const LIFE: SignedDuration = SignedDuration::from_mins(10);

/// How long a slow issuer takes, unless the token says otherwise.
const SLOW_ISSUER_MS: u64 = 5_000;

/// A card that was typed into the checkout. It can be charged once, and the card can be saved afterwards.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) card: Card,
    pub(crate) card_id: String,
    /// The dialect of its charge.
    #[serde(default)]
    pub(crate) dialect: Dialect,
    /// How long the issuer of a slow card takes.
    #[serde(default = "slow_issuer_ms")]
    pub(crate) issuer_delay_ms: u64,
    issued: Timestamp,
    /// The charge that was made with it.
    pub(crate) charge: Option<String>,
}

/// The time of a slow issuer in milliseconds, for tokens that say nothing about it.
pub(crate) fn slow_issuer_ms() -> u64 {
    SLOW_ISSUER_MS
}

impl Token {
    /// The token of this id, which was exchanged for a card now.
    pub(crate) fn issue(
        id: &str,
        card: Card,
        dialect: Dialect,
        issuer_delay: Option<Duration>,
        ids: &Ids,
        now: Timestamp,
    ) -> Self {
        let millis = |delay: Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self {
            card,
            card_id: ids.new_id("card_test_", id),
            dialect,
            issuer_delay_ms: issuer_delay.map_or(SLOW_ISSUER_MS, millis),
            issued: now,
            charge: None,
        }
    }

    /// A new id.
    pub(crate) fn new_id(ids: &Ids) -> String {
        ids.new_id(PREFIX, "")
    }

    /// Refuses an id that no token may have.
    pub(crate) fn check_id(id: &str) -> Result<(), GatewayError> {
        let rest = id.strip_prefix(PREFIX).unwrap_or_default();
        let may_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !rest.is_empty() && id.len() <= LONGEST && rest.chars().all(may_be) {
            return Ok(());
        }
        Err(GatewayError::invalid(format!(
            "`token` must be {PREFIX} and letters, digits, `_` and `-`, at most {LONGEST} characters"
        )))
    }

    /// Refuses a token that cannot be charged any more.
    pub(crate) fn check_charging(&self, now: Timestamp) -> Result<(), GatewayError> {
        if self.charge.is_some() {
            return Err(GatewayError::refused(
                "token_used",
                "the token has been charged before; every charge needs a token of its own",
            ));
        }
        if now.duration_since(self.issued) >= LIFE {
            return Err(GatewayError::refused(
                "token_expired",
                "the token is older than 10 minutes; the card has to be entered again",
            ));
        }
        Ok(())
    }
}
