//! The states of a charge.

use serde::{Deserialize, Serialize};

/// The state of a charge, in the gateway's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum TransactionState {
    /// Waits for the shopper's 3-D Secure. Not paid.
    #[serde(rename = "Pre-Authorized")]
    PreAuthorized,
    /// Paid, can be voided.
    Authorized,
    /// Paid, can be refunded.
    Settled,
    /// Refused.
    Declined,
    /// Cancelled before settlement.
    Voided,
    /// A refund was accepted, perhaps of only a part.
    #[serde(rename = "Refund Sent")]
    RefundSent,
}

impl TransactionState {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PreAuthorized => "Pre-Authorized",
            Self::Authorized => "Authorized",
            Self::Settled => "Settled",
            Self::Declined => "Declined",
            Self::Voided => "Voided",
            Self::RefundSent => "Refund Sent",
        }
    }

    /// The `status` that comes with the state. It is "fail" only for a decline, so "success" does not mean paid.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Declined => "fail",
            _ => "success",
        }
    }

    /// Whether the issuer has approved the charge at some time.
    pub(crate) fn was_approved(self) -> bool {
        match self {
            Self::Authorized | Self::Settled | Self::Voided | Self::RefundSent => true,
            Self::PreAuthorized | Self::Declined => false,
        }
    }
}
