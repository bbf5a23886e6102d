//! The secret keys of the merchant account.

use serde::{Deserialize, Serialize};

use crate::FORMER_SECRET_KEY;
use crate::error::GatewayError;

/// The keys since their last rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Rotated {
    current: String,
    former: String,
    accepts_former: bool,
}

/// A rotation that somebody asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rotation {
    secret_key: String,
    /// Whether the API still takes the former key.
    #[serde(default)]
    accept_former: bool,
}

/// The keys that count.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// What signs notifications.
    pub(crate) current: &'a str,
    /// What signs the notifications of charges whose dialect is that of a former key.
    pub(crate) former: &'a str,
    accepts_former: bool,
}

impl<'a> Keys<'a> {
    /// The keys after the last rotation, if there was one. `first` is the key before any.
    pub(crate) fn of(rotated: Option<&'a Rotated>, first: &'a str) -> Self {
        match rotated {
            None => Self {
                current: first,
                former: FORMER_SECRET_KEY,
                accepts_former: false,
            },
            Some(rotated) => Self {
                current: &rotated.current,
                former: &rotated.former,
                accepts_former: rotated.accepts_former,
            },
        }
    }

    /// Whether a call with this key is the merchant's.
    pub(crate) fn accepts(self, key: &[u8]) -> bool {
        key == self.current.as_bytes() || (self.accepts_former && key == self.former.as_bytes())
    }

    /// The keys after this rotation.
    pub(crate) fn rotate(self, rotation: Rotation) -> Result<Rotated, GatewayError> {
        let Rotation {
            secret_key,
            accept_former,
        } = rotation;
        if !secret_key.starts_with("skey_") || secret_key == self.current {
            return Err(GatewayError::invalid(
                "`secretKey` must start with skey_, and be another one than now",
            ));
        }
        Ok(Rotated {
            former: self.current.to_owned(),
            current: secret_key,
            accepts_former: accept_former,
        })
    }
}
