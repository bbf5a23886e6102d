//! The bank's browser return, read. Unsigned: anybody can post it, so it is a *claim* that points at a charge and
//! never a fact about it.

use serde::{Deserialize, Serialize};

use super::fields::{FieldError, Fields};
use super::ids::{CardToken, ChargeId};

/// What the shopper's browser brought back from 3-D Secure.
#[derive(Debug)]
pub struct Claim {
    /// The charge that the return speaks of (`objectId` or `id`).
    pub charge_id: ChargeId,
    /// Whether it claims success.
    pub status: ClaimedStatus,
    /// The card token, where the return carries one: another way to find the record.
    pub token: Option<CardToken>,
}

/// The `status` of the browser return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimedStatus {
    /// `true` or `success`, in any case.
    Success,
    /// `false` or `failure`, in any case.
    Failure,
}

impl ClaimedStatus {
    /// Reads the bank's word.
    ///
    /// # Errors
    /// [`FieldError`] for any other word.
    pub fn parse(word: &str) -> Result<Self, FieldError> {
        match word.trim().to_ascii_lowercase().as_str() {
            "true" | "success" => Ok(Self::Success),
            "false" | "failure" => Ok(Self::Failure),
            _ => Err(FieldError::invalid(
                "status",
                "must be one of true, success, false, failure",
            )),
        }
    }

    /// The word that apps read in the final redirect.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

impl Claim {
    /// Reads the fields of a browser return.
    ///
    /// # Errors
    /// [`FieldError`] naming the field that is absent or wrong.
    pub fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        let (name, id) = match (fields.get("objectId"), fields.get("id")) {
            (Some(object_id), Some(id)) if object_id != id => {
                return Err(FieldError::invalid(
                    "objectId",
                    "and `id` name two different charges",
                ));
            }
            (Some(object_id), _) => ("objectId", object_id),
            (None, Some(id)) => ("id", id),
            (None, None) => return Err(FieldError::missing("objectId")),
        };
        let charge_id =
            ChargeId::new(id).map_err(|error| FieldError::invalid(name, error.to_string()))?;
        let status = ClaimedStatus::parse(fields.require("status")?)?;
        let token = fields
            .get("token")
            .map(CardToken::new)
            .transpose()
            .map_err(|error| FieldError::invalid("token", error.to_string()))?;
        Ok(Self {
            charge_id,
            status,
            token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(body: &str) -> Result<Claim, FieldError> {
        Claim::from_fields(&Fields::parse(body.as_bytes())?)
    }

    #[test]
    fn every_spelling_of_the_status_is_read() {
        for (word, status) in [
            ("true", ClaimedStatus::Success),
            ("TRUE", ClaimedStatus::Success),
            ("Success", ClaimedStatus::Success),
            ("false", ClaimedStatus::Failure),
            ("FAILURE", ClaimedStatus::Failure),
        ] {
            let claim = claim(&format!("objectId=chrg_1&status={word}")).unwrap();
            assert_eq!(claim.status, status, "{word}");
        }
    }

    #[test]
    fn the_charge_is_named_by_object_id_or_id() {
        for body in [
            "objectId=chrg_1&status=true",
            "id=chrg_1&status=true",
            "id=chrg_1&objectId=chrg_1&status=true",
        ] {
            assert_eq!(claim(body).unwrap().charge_id.as_str(), "chrg_1");
        }
    }

    #[test]
    fn a_claim_that_cannot_be_used_names_the_field() {
        for (body, field, missing) in [
            ("status=true", "objectId", true),
            ("objectId=&status=true", "objectId", true),
            ("objectId=chrg_1", "status", true),
            ("objectId=chrg_1&status=", "status", true),
            ("objectId=chrg_1&status=maybe", "status", false),
            ("objectId=chrg_1&status=1", "status", false),
            ("objectId=chrg%0a1&status=true", "objectId", false),
            ("objectId=chrg_1&id=chrg_2&status=true", "objectId", false),
            ("objectId=chrg_1&status=true&token=a%20b", "token", false),
        ] {
            let error = claim(body).unwrap_err();
            assert_eq!(
                (error.field.as_str(), error.missing),
                (field, missing),
                "{body}"
            );
        }
    }
}
