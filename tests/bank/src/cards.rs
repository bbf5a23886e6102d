//! The sandbox cards. Any expiry and CVV will do.
//!
//! Other numbers are not accepted, valid or not: nobody should type a real card into a sandbox.

use serde::{Deserialize, Serialize};

/// A card that the sandbox knows, and how its issuer decides.
#[derive(PartialEq, Eq, Debug)]
struct Known {
    number: &'static str,
    brand: &'static str,
    three_ds: bool,
    approves: bool,
}

const fn known(number: &'static str, brand: &'static str, three_ds: bool, approves: bool) -> Known {
    Known {
        number,
        brand,
        three_ds,
        approves,
    }
}

static KNOWN: [Known; 9] = [
    known("4417706600005830", "VISA", true, true),
    known("5404888000072727", "MASTERCARD", true, true),
    known("3564580000056476", "JCB", true, true),
    known("5149504001969007", "MASTERCARD", true, false),
    known("2221000604647064", "MASTERCARD", true, false),
    known("4024007134786226", "VISA", false, true),
    known("5431289719925031", "MASTERCARD", false, true),
    known("4877300371267473", "VISA", false, false),
    known("5596886582263266", "MASTERCARD", false, false),
];

/// One of the sandbox cards. It is stored by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Card(&'static Known);

impl Card {
    /// The card with this number; blanks and dashes between the digits do not matter.
    pub(crate) fn by_number(number: &str) -> Result<Self, String> {
        let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        KNOWN.iter().find(|card| card.number == digits).map(Self).ok_or_else(|| {
            let group = |three_ds, approves| {
                KNOWN
                    .iter()
                    .filter(|card| card.three_ds == three_ds && card.approves == approves)
                    .map(|card| card.number)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            format!(
                "the sandbox knows only its own cards. 3-D Secure, approved: {}. 3-D Secure, declined: {}. \
                 Without 3-D Secure, approved: {}. Without 3-D Secure, declined: {}.",
                group(true, true),
                group(true, false),
                group(false, true),
                group(false, false),
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
        self.0.three_ds
    }

    /// Whether the issuer approves, once the shopper is known.
    pub(crate) fn approves(self) -> bool {
        self.0.approves
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
            KNOWN.iter().all(|card| message.contains(card.number)),
            "{message}"
        );
        assert!(!message.contains("4111111111111111"));
    }
}
