//! Money as whole satang (1 baht = 100 satang). No floating point touches an amount anywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of Thai money in satang, from 0 to 9,999,999,999.99 baht (the gateway's `Decimal(12,2)`).
///
/// Inside the system (records, executions) it travels as an integer of satang; at the edges (forms, the bank, the
/// order, redirects) as decimal baht.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Satang(i64);

/// Why a text or number is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `digits` or `digits.digits` in ASCII.
    #[error("must be decimal baht in plain digits, such as 1500.00")]
    Malformed,
    /// More than two decimals that are not zero: there is no coin below one satang.
    #[error("must have at most two decimals")]
    TooPrecise,
    /// Negative, or above the gateway's `Decimal(12,2)`.
    #[error("must be between 0.00 and 9999999999.99 baht")]
    OutOfRange,
}

impl Satang {
    /// Nothing.
    pub const ZERO: Satang = Satang(0);

    /// The largest amount the gateway's `Decimal(12,2)` can carry.
    pub const MAX: Satang = Satang(999_999_999_999);

    /// An amount from whole satang.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when negative or above [`Satang::MAX`].
    pub const fn new(satang: i64) -> Result<Self, MoneyError> {
        if satang < 0 || satang > Self::MAX.0 {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self(satang))
    }

    /// Reads decimal baht as a person or a form writes it: `1500`, `1500.5` or `1500.00`.
    ///
    /// # Errors
    /// [`MoneyError`], whose text completes the sentence "`grandTotal` …". Signs, exponents, separators, blanks and
    /// digits of other scripts are malformed.
    pub fn parse_baht(text: &str) -> Result<Self, MoneyError> {
        let (baht, decimals) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Malformed),
            Some((baht, decimals)) => (baht, decimals),
            None => (text, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if baht.is_empty() || !all_digits(baht) || !all_digits(decimals) {
            return Err(MoneyError::Malformed);
        }
        let (satang, beyond) = decimals.split_at(decimals.len().min(2));
        // The gateway's notifications write four decimals; zeros there lose nothing.
        if beyond.bytes().any(|byte| byte != b'0') {
            return Err(MoneyError::TooPrecise);
        }
        let whole: i64 = baht.parse().map_err(|_| MoneyError::OutOfRange)?;
        let hundredths: i64 = format!("{satang:0<2}")
            .parse()
            .map_err(|_| MoneyError::Malformed)?;
        whole
            .checked_mul(100)
            .and_then(|satang| satang.checked_add(hundredths))
            .ok_or(MoneyError::OutOfRange)
            .and_then(Self::new)
    }

    /// Reads decimal baht from the text of a JSON value: a number (`1250.00`) or a string (`"1250.00"`).
    /// The text, not a parsed number, so that no binary float comes between the bank and us.
    ///
    /// # Errors
    /// [`MoneyError`], as [`Satang::parse_baht`].
    pub fn parse_json(raw: &str) -> Result<Self, MoneyError> {
        let text = raw
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(raw);
        Self::parse_baht(text)
    }

    /// Reads decimal baht as records of the former system hold it: also with separators, `1,500.00`.
    ///
    /// # Errors
    /// [`MoneyError`], as [`Satang::parse_baht`]; separators anywhere but between groups of three are malformed.
    pub fn parse_grouped(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, format!(".{decimals}")),
            None => (text, String::new()),
        };
        let mut groups = whole.split(',');
        let first = groups.next().unwrap_or_default();
        let rest: Vec<_> = groups.collect();
        let well_grouped =
            rest.is_empty() || (first.len() <= 3 && rest.iter().all(|group| group.len() == 3));
        if first.is_empty() || !well_grouped {
            return Err(MoneyError::Malformed);
        }
        Self::parse_baht(&format!("{first}{}{decimals}", rest.concat()))
    }

    /// Whole satang.
    #[must_use]
    pub const fn satang(self) -> i64 {
        self.0
    }
}

/// Decimal baht with two decimals, `1500.00`: what forms, redirects and the bank's requests carry.
impl fmt::Display for Satang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl TryFrom<i64> for Satang {
    type Error = MoneyError;

    fn try_from(satang: i64) -> Result<Self, MoneyError> {
        Self::new(satang)
    }
}

impl From<Satang> for i64 {
    fn from(amount: Satang) -> i64 {
        amount.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baht_as_forms_and_the_bank_write_it_become_satang() {
        for (text, satang) in [
            ("1500", 150_000),
            ("1500.5", 150_050),
            ("1500.50", 150_050),
            ("0.01", 1),
            ("1250.0000", 125_000),
            ("9999999999.99", 999_999_999_999),
        ] {
            assert_eq!(
                Satang::parse_baht(text).map(Satang::satang),
                Ok(satang),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_but_plain_decimal_digits_is_refused() {
        for text in [
            "",
            " ",
            "1e3",
            "-1",
            "+1",
            ".5",
            "1.",
            "1,500.00",
            "1 500",
            "１５００",
            "NaN",
            "0x10",
            "1.5.0",
        ] {
            assert_eq!(
                Satang::parse_baht(text),
                Err(MoneyError::Malformed),
                "{text:?}"
            );
        }
        assert_eq!(Satang::parse_baht("1500.001"), Err(MoneyError::TooPrecise));
        for text in ["10000000000", "99999999999999999999"] {
            assert_eq!(Satang::parse_baht(text), Err(MoneyError::OutOfRange));
        }
    }

    #[test]
    fn json_numbers_and_strings_are_read_from_their_text() {
        assert_eq!(Satang::parse_json("200.5"), Satang::new(20_050));
        assert_eq!(Satang::parse_json("\"200.50\""), Satang::new(20_050));
        assert_eq!(Satang::parse_json("1e3"), Err(MoneyError::Malformed));
        assert_eq!(Satang::parse_json("null"), Err(MoneyError::Malformed));
    }

    #[test]
    fn old_records_may_group_their_thousands() {
        for text in ["1500", "1500.00", "1,500.00", "1,500"] {
            assert_eq!(Satang::parse_grouped(text), Satang::new(150_000), "{text}");
        }
        assert_eq!(
            Satang::parse_grouped("1,234,567.89"),
            Satang::new(123_456_789)
        );
        for text in [
            "1,50.00", ",500", "1500,000", "1,500,", "15,00.00", "1.500,00",
        ] {
            assert!(Satang::parse_grouped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back_as_itself() {
        for satang in [
            0,
            1,
            9,
            10,
            99,
            100,
            101,
            150_000,
            123_456_789,
            Satang::MAX.satang(),
        ] {
            let amount = Satang::new(satang).unwrap();
            assert_eq!(Satang::parse_baht(&amount.to_string()), Ok(amount));
        }
    }
}
