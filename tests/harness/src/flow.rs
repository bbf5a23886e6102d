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
    /// All of a paid order goes back before settlement: a void. The payment itself gets no fault, here and in all flows
    /// below.
    RefundVoided,
    /// All of it goes back after settlement: a refund.
    RefundAll,
    /// A part of it goes back after settlement.
    RefundPart,
    /// Another part, after one went back.
    RefundSecondPart,
    /// A part that waits for the settlement.
    RefundWaits,
    /// A part that the bank refuses the first time.
    RefundRefused,
    /// All of it, after settlement; the bank does it, and its answer is lost.
    RefundAnswerLost,
    /// A part; the bank does it, and its answer is lost. Nobody can tell.
    RefundPartAnswerLost,
    /// A part that waits, of a charge that a person voids in the portal meanwhile.
    RefundVoidedByHand,
    /// A person gives a part back in the portal, and the bank notifies.
    GivenBackByHand,
    /// Two refunds at the same time, over more than was paid; the faults are in both.
    RefundTwice,
    /// One refund is started twice at the same time, under two names.
    RefundStartedTwice,
}

impl Flow {
    /// All of them.
    pub const ALL: [Self; 23] = [
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
        Self::RefundVoided,
        Self::RefundAll,
        Self::RefundPart,
        Self::RefundSecondPart,
        Self::RefundWaits,
        Self::RefundRefused,
        Self::RefundAnswerLost,
        Self::RefundPartAnswerLost,
        Self::RefundVoidedByHand,
        Self::GivenBackByHand,
        Self::RefundTwice,
        Self::RefundStartedTwice,
    ];

    /// Whether it is about money that goes back after the order was paid.
    pub fn is_refund(self) -> bool {
        !self.refunds().is_empty() || self == Self::GivenBackByHand
    }

    /// Whether two executions run at the same time, so that the number of their calls depends on which one is first.
    pub fn is_race(self) -> bool {
        matches!(self, Self::RefundTwice | Self::RefundStartedTwice)
    }

    /// The refunds that are played: the label of each, which its id ends with, and its amount in decimal baht; all that is
    /// left without one.
    pub fn refunds(self) -> &'static [(&'static str, Option<&'static str>)] {
        match self {
            Self::RefundVoided | Self::RefundAll | Self::RefundAnswerLost => &[("all", None)],
            Self::RefundPart
            | Self::RefundSecondPart
            | Self::RefundWaits
            | Self::RefundRefused
            | Self::RefundPartAnswerLost
            | Self::RefundVoidedByHand
            | Self::RefundStartedTwice => &[("part", Some("120.50"))],
            Self::RefundTwice => &[("one", Some("1000.00")), ("two", Some("1000.00"))],
            _ => &[],
        }
    }

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
            Self::RefundVoided => "refund: all, authorized",
            Self::RefundAll => "refund: all, settled",
            Self::RefundPart => "refund: part",
            Self::RefundSecondPart => "refund: second part",
            Self::RefundWaits => "refund: part, waits",
            Self::RefundRefused => "refund: part, refused once",
            Self::RefundAnswerLost => "refund: all, answer lost",
            Self::RefundPartAnswerLost => "refund: part, answer lost",
            Self::RefundVoidedByHand => "refund: part, voided by hand",
            Self::GivenBackByHand => "given back by hand",
            Self::RefundTwice => "refund: two at once",
            Self::RefundStartedTwice => "refund: started twice",
        })
    }
}
