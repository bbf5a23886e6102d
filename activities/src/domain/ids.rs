//! Identifiers as types, so that a charge id cannot be passed where an order id belongs, and so that a card token
//! cannot be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::random::Random;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_ID_LENGTH} visible ASCII characters, and neither `.` nor `..`")]
pub struct InvalidId;

/// The gateway's limit for its identifiers; the shop's are far below it.
pub const MAX_ID_LENGTH: usize = 100;

/// Ids stand in paths of URLs. There, `.` and `..` lead elsewhere, however they are encoded.
fn checked(text: String) -> Result<String, InvalidId> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    let leads_elsewhere = matches!(text.as_str(), "." | "..");
    if text.is_empty() || text.len() > MAX_ID_LENGTH || !visible || leads_elsewhere {
        return Err(InvalidId);
    }
    Ok(text)
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps the text.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, over 100 characters, not visible ASCII, or a mere `.` or `..`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                checked(text.into()).map(Self)
            }

            /// The identifier's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// The bank's id of a charge, `chrg_…`: opaque, at most 100 characters.
    ChargeId
);
id!(
    /// The shop's id of an order, 12 digits today.
    OrderId
);
id!(
    /// The shop's customer to whom an order and saved cards belong.
    OwnerId
);
id!(
    /// The bank's id of a customer, `cust_…`.
    CustomerId
);
id!(
    /// A merchant id at the bank, 15 digits.
    MerchantId
);

/// The reference that we give a charge at the bank (`reference_order`): 20 random letters and digits, unique for each
/// attempt to charge. Stored before the bank is called, so that a charge whose answer was lost can be looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReferenceOrder(String);

impl ReferenceOrder {
    const LENGTH: usize = 20;

    /// A fresh reference (119 bits).
    ///
    /// # Errors
    /// Fails when there are no random numbers to have.
    pub fn random(random: &Random) -> Result<Self, getrandom::Error> {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(Self::LENGTH);
        let mut bytes = [0u8; 32];
        while text.len() < Self::LENGTH {
            random.fill(&mut bytes)?;
            for byte in bytes {
                // 248 = 4 × 62: dropping the rest keeps every character equally likely.
                if byte < 248 && text.len() < Self::LENGTH {
                    text.push(char::from(ALPHABET[usize::from(byte % 62)]));
                }
            }
        }
        Ok(Self(text))
    }

    /// A reference read back from the record.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The reference's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A card token from the bank's browser library: whoever holds it can charge the card once. Never printed.
#[derive(Clone)]
pub struct CardToken(SecretString);

impl CardToken {
    /// Checks and wraps a token.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, over 100 characters, not visible ASCII, or a mere `.` or `..`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        checked(text.into()).map(|text| Self(text.into()))
    }

    /// The token itself, for the bank and for the record only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The key under which the payment's record is stored.
    #[must_use]
    pub fn record_key(&self) -> RecordKey {
        RecordKey(hex::encode(Sha256::digest(self.expose())))
    }
}

impl fmt::Debug for CardToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardToken(redacted)")
    }
}

/// The key of a payment's record: the lower-case hex SHA-256 of its card token. Safe to show: it enters executions and
/// logs where the token must not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordKey(String);

impl RecordKey {
    /// A key read back from a table or an execution.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In which of the open index's [`OPEN_SHARDS`] partitions the record lives while it is open. Taken from the
    /// key's last hex digit, so it is spread evenly and always the same for one record.
    #[must_use]
    pub fn open_shard(&self) -> u8 {
        let last = self.0.bytes().last().unwrap_or(b'0');
        char::from(last)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .unwrap_or(0)
    }
}

/// How many partitions the index of open records has: enough that no single one grows hot.
pub const OPEN_SHARDS: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_visible_ascii_of_at_most_100_characters() {
        assert!(ChargeId::new("chrg_test_1").is_ok());
        for text in ["", "with space", "line\nbreak", "ไทย", &"x".repeat(101)] {
            assert_eq!(ChargeId::new(text), Err(InvalidId), "{text:?}");
        }
    }

    #[test]
    fn no_id_leads_elsewhere_in_a_path() {
        for text in [".", ".."] {
            assert_eq!(ChargeId::new(text), Err(InvalidId), "{text:?}");
            assert!(CardToken::new(text).is_err(), "{text:?}");
        }
        assert!(ChargeId::new("...").is_ok());
    }

    #[test]
    fn references_fit_the_gateway_and_do_not_repeat() {
        let random = Random::system();
        let a = ReferenceOrder::random(&random).unwrap();
        let b = ReferenceOrder::random(&random).unwrap();
        assert_eq!(a.as_str().len(), 20);
        assert!(a.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(a, b);
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = CardToken::new("tokn_test_obviously_fake").unwrap();
        assert!(!format!("{token:?}").contains("fake"));
    }

    #[test]
    fn a_record_key_is_the_hex_sha256_of_the_token() {
        let key = CardToken::new("abc").unwrap().record_key();
        assert_eq!(
            key.as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(key.open_shard(), 13);
    }
}
