//! The sandbox cards. Any expiry date and CVV are accepted.
//!
//! Other numbers are refused, valid or not: nobody should type a real card into a sandbox.

use serde::{Deserialize, Serialize};

/// How a sandbox card behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Manner {
    /// The issuer approves after 3-D Secure.
    Approved,
    /// The issuer declines after 3-D Secure.
    Declined,
    /// The issuer approves at once, without 3-D Secure.
    ApprovedAtOnce,
    /// The issuer declines at once, without 3-D Secure.
    DeclinedAtOnce,
    /// The issuer approves after 3-D Secure, some seconds after the shopper is back at the shop.
    Slow,
    /// The issuer approves after 3-D Secure. Then the shop gets neither a callback nor a notification.
    CallbackLost,
}

/// A card that the sandbox knows.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub struct SandboxCard {
    /// The whole number.
    pub number: &'static str,
    /// The card scheme, in capitals.
    pub brand: &'static str,
    /// What happens to its charges.
    pub manner: Manner,
}

const fn known(number: &'static str, brand: &'static str, manner: Manner) -> SandboxCard {
    SandboxCard {
        number,
        brand,
        manner,
    }
}

/// All cards that the sandbox knows.
pub static CARDS: [SandboxCard; 11] = [
    known("4417706600005830", "VISA", Manner::Approved),
    known("5404888000072727", "MASTERCARD", Manner::Approved),
    known("3564580000056476", "JCB", Manner::Approved),
    known("5149504001969007", "MASTERCARD", Manner::Declined),
    known("2221000604647064", "MASTERCARD", Manner::Declined),
    known("4024007134786226", "VISA", Manner::ApprovedAtOnce),
    known("5431289719925031", "MASTERCARD", Manner::ApprovedAtOnce),
    known("4877300371267473", "VISA", Manner::DeclinedAtOnce),
    known("5596886582263266", "MASTERCARD", Manner::DeclinedAtOnce),
    known("4000000000005100", "VISA", Manner::Slow),
    known("4000000000004046", "VISA", Manner::CallbackLost),
];

/// One of the sandbox cards. It is stored by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Card(&'static SandboxCard);

impl Card {
    /// The card with this number. Blanks and dashes between the digits are ignored.
    pub(crate) fn by_number(number: &str) -> Result<Self, String> {
        let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        CARDS.iter().find(|card| card.number == digits).map(Self).ok_or_else(|| {
            let group = |manner| {
                CARDS
                    .iter()
                    .filter(|card| card.manner == manner)
                    .map(|card| card.number)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            format!(
                "the sandbox knows only its own cards. 3-D Secure, approved: {}. 3-D Secure, declined: {}. \
                 Without 3-D Secure, approved: {}. Without 3-D Secure, declined: {}. Approved late: {}. \
                 Approved, and the shop is not told: {}.",
                group(Manner::Approved),
                group(Manner::Declined),
                group(Manner::ApprovedAtOnce),
                group(Manner::DeclinedAtOnce),
                group(Manner::Slow),
                group(Manner::CallbackLost),
            )
        })
    }

    /// The card scheme, in capitals.
    pub(crate) fn brand(self) -> &'static str {
        self.0.brand
    }

    /// The first six and the last four digits, the others as `X`.
    pub(crate) fn masking(self) -> String {
        format!("{}XXXXXX{}", &self.0.number[..6], &self.0.number[12..])
    }

    /// Whether a charge of this card must go through 3-D Secure.
    pub(crate) fn needs_three_ds(self) -> bool {
        !matches!(
            self.0.manner,
            Manner::ApprovedAtOnce | Manner::DeclinedAtOnce
        )
    }

    /// Whether the issuer approves, after 3-D Secure if the card has it.
    pub(crate) fn approves(self) -> bool {
        !matches!(self.0.manner, Manner::Declined | Manner::DeclinedAtOnce)
    }

    /// Whether the issuer decides some seconds late.
    pub(crate) fn is_slow(self) -> bool {
        self.0.manner == Manner::Slow
    }

    /// Whether the shop gets neither callback nor notification.
    pub(crate) fn loses_the_callback(self) -> bool {
        self.0.manner == Manner::CallbackLost
    }
}

impl TryFrom<String> for Card {
    type Error = String;

    fn try_from(number: String) -> Result<Self, String> {
        Self::by_number(&number)
    }
}

impl From<Card> for String {
    fn from(card: Card) -> Self {
        card.0.number.to_owned()
    }
}

/// A card as charges and customers show it.
#[derive(Serialize)]
pub(crate) struct CardObject {
    id: String,
    object: &'static str,
    brand: &'static str,
    card_masking: String,
    issuer_bank: &'static str,
}

impl CardObject {
    /// Shows `card` under its id.
    pub(crate) fn new(id: &str, card: Card) -> Self {
        Self {
            id: id.to_owned(),
            object: "card",
            brand: card.brand(),
            card_masking: card.masking(),
            issuer_bank: "KASIKORNBANK",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_found_however_its_digits_are_grouped() {
        let card = Card::by_number("4417 7066-0000 5830").unwrap();
        assert_eq!(card.masking(), "441770XXXXXX5830");
        assert!(card.needs_three_ds() && card.approves());
    }

    #[test]
    fn an_unknown_number_is_answered_with_the_known_ones_and_not_repeated() {
        let message = Card::by_number("4111111111111111").unwrap_err();
        assert!(
            CARDS.iter().all(|card| message.contains(card.number)),
            "{message}"
        );
        assert!(!message.contains("4111111111111111"));
    }
}
