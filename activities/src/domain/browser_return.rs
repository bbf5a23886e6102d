//! The bank's browser return, read. It is not signed, and anybody can post it: it points at a charge, and proves
//! nothing.

use serde::{Deserialize, Serialize};

use super::fields::{FieldError, Fields};
use super::ids::{CardToken, ChargeId};

/// What the shopper's browser brought back from 3-D Secure. All of it but the charge's id is a hint: used where it can
/// be read, dropped where it cannot.
#[derive(Debug)]
pub struct BrowserReturn {
    /// The charge that the return speaks of (`objectId` or `id`).
    pub charge_id: ChargeId,
    /// What it says of the charge. Not believed.
    pub status: ReportedStatus,
    /// The card token, where the return carries one: another way to find the record.
    pub token: Option<CardToken>,
}

/// What a return or a notification says of a charge, in the two words that apps know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportedStatus {
    /// `true` or `success`, in any case.
    Success,
    /// Anything else: `false`, `fail`, `cancel`, a word that nobody knows, nothing.
    Failure,
}

impl ReportedStatus {
    /// Reads the bank's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "true" | "success" => Self::Success,
            _ => Self::Failure,
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

impl BrowserReturn {
    /// Reads a browser return: from the query of its address and from its body, which are one message.
    ///
    /// # Errors
    /// [`FieldError`] when no charge id can be read, when two different ones stand there, or when the message is over
    /// [`super::fields::MAX_BODY`] bytes.
    pub fn read(query: &str, body: &[u8]) -> Result<Self, FieldError> {
        Self::from_fields(&Fields::parse_message(query, body)?)
    }

    fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        Ok(Self {
            charge_id: charge_id(fields)?,
            status: ReportedStatus::parse(
                fields.readable("status").next_back().unwrap_or_default(),
            ),
            token: fields
                .readable("token")
                .rev()
                .find_map(|token| CardToken::new(token).ok()),
        })
    }
}

/// The names under which a charge's id comes.
const NAMES: [&str; 2] = ["objectId", "id"];

/// The one charge that the message names.
fn charge_id(fields: &Fields) -> Result<ChargeId, FieldError> {
    let mut named = NAMES
        .iter()
        .flat_map(|name| fields.readable(name))
        .filter_map(|id| ChargeId::new(id).ok());
    match named.next() {
        Some(id) if named.all(|other| other == id) => Ok(id),
        Some(_) => Err(FieldError::invalid(
            "objectId",
            "and `id` name two different charges",
        )),
        None if NAMES.iter().any(|name| fields.is_given(name)) => Err(FieldError::invalid(
            "objectId",
            "must be a charge's id: 1 to 100 visible ASCII characters",
        )),
        None => Err(FieldError::missing("objectId")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<BrowserReturn, FieldError> {
        BrowserReturn::read("", body)
    }

    #[test]
    fn success_is_said_by_two_words_and_failure_by_every_other() {
        for (word, status) in [
            ("true", ReportedStatus::Success),
            ("TRUE", ReportedStatus::Success),
            ("Success", ReportedStatus::Success),
            ("false", ReportedStatus::Failure),
            ("FAILURE", ReportedStatus::Failure),
            ("fail", ReportedStatus::Failure),
            ("cancel", ReportedStatus::Failure),
            ("%BA%D1", ReportedStatus::Failure),
            ("", ReportedStatus::Failure),
        ] {
            let back = read(format!("objectId=chrg_1&status={word}").as_bytes()).unwrap();
            assert_eq!(back.status, status, "{word}");
        }
        assert_eq!(
            read(b"objectId=chrg_1").unwrap().status,
            ReportedStatus::Failure
        );
    }

    #[test]
    fn a_charge_id_is_all_that_a_return_needs() {
        for body in [
            &b"objectId=chrg_1"[..],
            b"id=chrg_1",
            b"id=chrg_1&objectId=chrg_1&objectId=+chrg_1%0d%0a",
            b"objectId=&id=chrg_1",
            b"objectId=%ff&id=chrg_1",
            b"objectId=chrg_1&status=fail&token=a%20b",
            b"objectId=chrg_1&message=%BA%D1%B5%C3",
            b"objectId=chrg_1&message=\xba\xd1\xb5\xc3",
            b"objectId=chrg_1\r\nstatus=true\r\n",
            br#"{"objectId":"chrg_1","status":"true","source":{"brand":"VISA"},"metadata":{}}"#,
            br#"{"objectId":"chrg_1","status":{},"token":[]}"#,
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(read(body).expect(&shown).charge_id.as_str(), "chrg_1");
        }
        let by_query = BrowserReturn::read("objectId=chrg_1&status=true", b"").unwrap();
        assert_eq!(by_query.charge_id.as_str(), "chrg_1");
        assert_eq!(by_query.status, ReportedStatus::Success);
        let by_both = BrowserReturn::read("id=chrg_1", b"objectId=chrg_1").unwrap();
        assert_eq!(by_both.charge_id.as_str(), "chrg_1");
    }

    #[test]
    fn of_several_hints_the_last_that_can_be_read_counts() {
        let back =
            read(b"objectId=chrg_1&token=old&token=new&token=a%20b&status=true&status=false")
                .unwrap();
        assert_eq!(back.token.unwrap().expose(), "new");
        assert_eq!(back.status, ReportedStatus::Failure);
    }

    #[test]
    fn a_return_without_one_charge_is_refused_by_name() {
        for (query, body, missing) in [
            ("", "status=true", true),
            ("", "objectId=&status=true", true),
            ("", "objectId=chrg%0a1&status=true", false),
            ("", r#"{"objectId":["chrg_1"],"status":"true"}"#, false),
            ("", "objectId=chrg_1&id=chrg_2&status=true", false),
            ("", "objectId=chrg_1&objectId=chrg_2", false),
            ("objectId=chrg_1", "objectId=chrg_2", false),
            ("status=true", "", true),
        ] {
            let error = BrowserReturn::read(query, body.as_bytes()).unwrap_err();
            assert_eq!(
                (error.field.as_str(), error.missing),
                ("objectId", missing),
                "{query} {body}"
            );
        }
    }
}
