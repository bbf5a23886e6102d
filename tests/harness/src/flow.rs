//! The flows of a payment, as a shopper and the bank may take them.

use std::fmt;

use crate::shopper::{CARD_APPROVED, CARD_DECLINED, CARD_WITHOUT_3DS, OTHER_CARD_APPROVED};

/// What happens, up to the point where nothing more comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Flow {
    /// Flow 1: a new user pays, and the browser returns.
    NewUser,
    /// The same, and the bank notifies instead of the browser.
    Notified,
    /// Flow 2: a known user pays with another card.
    KnownUser,
    /// Flow 3: the card is declined.
    Declined,
    /// Flow 4: a new user verifies a card (`ADDCARD`).
    Verification,
    /// The order is deleted while the shopper is at the bank: void.
    OrderGone,
    /// The same, and the bank has settled: refund.
    OrderGoneSettled,
    /// Two cards pay one order at the same time; the faults are the first one's.
    TwoCards,
    /// The bank decides at once, without 3-D Secure.
    WithoutThreeDs,
    /// Neither the browser nor the bank calls back.
    NothingCalledBack,
    /// Somebody calls back twice before the shopper has passed 3-D Secure, while the first one's execution waits for
    /// the bank.
    EarlyCallback,
}

impl Flow {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NewUser,
        Self::Notified,
        Self::KnownUser,
        Self::Declined,
        Self::Verification,
        Self::OrderGone,
        Self::OrderGoneSettled,
        Self::TwoCards,
        Self::WithoutThreeDs,
        Self::NothingCalledBack,
        Self::EarlyCallback,
    ];

    /// The sandbox's card with which it is paid.
    pub fn card(self) -> &'static str {
        match self {
            Self::KnownUser => OTHER_CARD_APPROVED,
            Self::Declined => CARD_DECLINED,
            Self::WithoutThreeDs => CARD_WITHOUT_3DS,
            _ => CARD_APPROVED,
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NewUser => "1 new user",
            Self::Notified => "1 new user, notified",
            Self::KnownUser => "2 known user",
            Self::Declined => "3 declined",
            Self::Verification => "4 verification",
            Self::OrderGone => "order gone",
            Self::OrderGoneSettled => "order gone, settled",
            Self::TwoCards => "two cards",
            Self::WithoutThreeDs => "without 3-D Secure",
            Self::NothingCalledBack => "nothing called back",
            Self::EarlyCallback => "early callback",
        })
    }
}
