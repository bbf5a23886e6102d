//! Amounts: integers of satang in the bank, decimal baht in JSON. Nothing is a binary floating-point number.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An amount in satang (1/100 baht).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Satang(u64);

/// The gateway's amounts are `Decimal(12,2)`: ten digits before the point.
const INTEGER_DIGITS: usize = 10;

impl Satang {
    /// The smallest amount that can be charged: 1.00 THB.
    pub(crate) const MIN_CHARGE: Self = Self(100);
    /// Nothing.
    pub(crate) const ZERO: Self = Self(0);

    /// Reads an amount in baht from JSON: a number with at most two decimals, or a string with exactly two.
    pub(crate) fn from_json(value: &RawValue) -> Result<Self, &'static str> {
        const EXPECTED: &str = "must be baht as a JSON number with at most two decimals, or as a string with exactly two";
        let text = value.get();
        let (digits, quoted) = match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let has_point = whole.len() != digits.len();
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(EXPECTED);
        }
        if fraction.len() > 2
            || (has_point && fraction.is_empty())
            || (quoted && fraction.len() != 2)
        {
            return Err(EXPECTED);
        }
        if whole.len() > INTEGER_DIGITS {
            return Err("must have at most ten digits before the decimal point");
        }
        // Ten digits and two decimals fit into a u64.
        let satang = format!("{whole}{fraction:0<2}")
            .parse()
            .map_err(|_| EXPECTED)?;
        Ok(Self(satang))
    }

    /// The amount in baht as a JSON number in its shortest form: `15`, `200.5`, `200.55`.
    pub(crate) fn to_json(self) -> Box<RawValue> {
        let (baht, satang) = (self.0 / 100, self.0 % 100);
        let text = match satang {
            0 => baht.to_string(),
            s if s % 10 == 0 => format!("{baht}.{}", s / 10),
            s => format!("{baht}.{s:02}"),
        };
        RawValue::from_string(text).expect("digits with one point between them are a JSON number")
    }

    /// The amount in baht with two decimals, as people read it.
    pub(crate) fn two_decimals(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }

    /// The amount in baht with four decimals, as in the checksum of a notification.
    pub(crate) fn four_decimals(self) -> String {
        format!("{}.{:02}00", self.0 / 100, self.0 % 100)
    }

    /// The amount in baht as a number with an exponent: `1.50000e3`.
    pub(crate) fn with_exponent(self) -> String {
        let digits = self.0.to_string();
        let (first, rest) = digits.split_at(1);
        // The digits are satang, two places to the right of the point.
        let exponent = rest.len() as i64 - 2;
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{exponent}")
    }

    /// The sum. `None` if it overflows.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference. Nothing if `other` is more.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<u64, &'static str> {
        let raw: Box<RawValue> = serde_json::from_str(json).expect("the test gives valid JSON");
        Satang::from_json(&raw).map(|satang| satang.0)
    }

    #[test]
    fn baht_are_read_to_the_satang() {
        for (json, satang) in [
            ("15", 1500),
            ("200.5", 20_050),
            ("200.50", 20_050),
            ("0.29", 29),
            ("1.15", 115),
            ("9999999999.99", 999_999_999_999),
            ("\"1250.00\"", 125_000),
            ("\"0.01\"", 1),
        ] {
            assert_eq!(read(json), Ok(satang), "{json}");
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for json in [
            "-1",
            "1e3",
            "1.5E2",
            "200.505",
            "1.000",
            "10000000000",
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"1250\"",
            "\"1250.5\"",
            "\"1,250.00\"",
            "\" 1.00\"",
            "\"-1.00\"",
            "\".50\"",
            "\"1.\"",
            "\"1.00\\n\"",
            "\"๑.00\"",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn amounts_are_written_in_their_shortest_form() {
        for (satang, json) in [
            (1500, "15"),
            (20_050, "200.5"),
            (20_055, "200.55"),
            (5, "0.05"),
            (0, "0"),
        ] {
            assert_eq!(Satang(satang).to_json().get(), json);
        }
    }

    #[test]
    fn an_exponent_says_where_the_point_is() {
        for (satang, json) in [
            (150_000, "1.50000e3"),
            (100, "1.00e0"),
            (5, "5e-2"),
            (0, "0e-2"),
        ] {
            assert_eq!(Satang(satang).with_exponent(), json);
        }
    }

    #[test]
    fn the_checksum_gets_four_decimals() {
        assert_eq!(Satang(125_000).four_decimals(), "1250.0000");
        assert_eq!(Satang(20_005).four_decimals(), "200.0500");
    }
}
