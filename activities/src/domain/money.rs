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
    /// Not a number in ASCII digits.
    #[error("must be decimal baht in digits, such as 1500.00")]
    Malformed,
    /// A part of a satang: there is no such coin.
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

    /// Reads the bank's amount in decimal baht from the text of a JSON value: a number in any spelling (`1250.00`,
    /// `1.25e3`) or a string that holds one. It reads the text, not a parsed number, so that no binary float comes
    /// between the bank and us.
    ///
    /// # Errors
    /// [`MoneyError`]. Nothing is rounded: a part of a satang is [`MoneyError::TooPrecise`].
    pub fn parse_json(raw: &str) -> Result<Self, MoneyError> {
        if raw.starts_with('"') {
            let text: String = serde_json::from_str(raw).map_err(|_| MoneyError::Malformed)?;
            return Decimal::parse(&text)?.exactly();
        }
        Decimal::parse(raw)?.exactly()
    }

    /// Reads the shop's amount in decimal baht: of an order, of a record, or `grandTotal` of the checkout form. Every
    /// spelling of a number counts (`1500`, `1500.0`, `1.5e3`), and thousands may be grouped (`1,500.00`). Less than
    /// 0.0001 baht beside a whole satang is what a sum of binary numbers leaves (`59.699999999999996`): it counts as
    /// that satang.
    ///
    /// # Errors
    /// [`MoneyError`], whose text completes the sentence "`grandTotal` …". A comma anywhere but between groups of three
    /// digits is malformed.
    pub fn parse_shop(text: &str) -> Result<Self, MoneyError> {
        if !text.contains(',') {
            return Decimal::parse(text)?.nearly();
        }
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        let mut groups = whole.split(',');
        let first = groups.next().unwrap_or_default();
        let well_grouped = all_digits(first)
            && first.len() <= 3
            && groups.all(|group| all_digits(group) && group.len() == 3);
        if !well_grouped {
            return Err(MoneyError::Malformed);
        }
        let plain = whole.replace(',', "") + &text[whole.len()..];
        Decimal::parse(&plain)?.nearly()
    }

    /// Whole satang.
    #[must_use]
    pub const fn satang(self) -> i64 {
        self.0
    }
}

/// A decimal number as it is written, before it is known to be an amount: its digits without the zeros at either end,
/// and where they stand. An exponent costs no memory, however large it is.
struct Decimal {
    negative: bool,
    /// From the first digit that is not zero to the last one; nothing for zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit, in satang.
    power: i64,
}

impl Decimal {
    /// Reads a number as JSON and DynamoDB write it. Zeros before it lose nothing.
    fn parse(text: &str) -> Result<Self, MoneyError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        if !all_digits(whole) || !fraction.is_none_or(all_digits) {
            return Err(MoneyError::Malformed);
        }
        let fraction = fraction.unwrap_or_default();
        let written = [whole, fraction].concat().into_bytes();
        let zeros_behind = written.iter().rev().take_while(|digit| **digit == b'0');
        let end = written.len() - zeros_behind.count();
        let digits: Vec<u8> = written[..end]
            .iter()
            .skip_while(|digit| **digit == b'0')
            .copied()
            .collect();
        // From the end of what is written: zeros cut off there raise the power, decimals lower it.
        let place = length(written.len() - end) - length(fraction.len());
        Ok(Self {
            negative,
            digits,
            power: exponent.saturating_add(place).saturating_add(2),
        })
    }

    /// The amount, if it is whole satang.
    fn exactly(&self) -> Result<Satang, MoneyError> {
        let satang = self.whole_satang()?;
        if self.digits_below_satang().next().is_some() {
            return Err(MoneyError::TooPrecise);
        }
        self.amount(satang)
    }

    /// The amount, if it is less than 0.0001 baht, which is a hundredth of a satang, from whole satang.
    fn nearly(&self) -> Result<Satang, MoneyError> {
        let satang = self.whole_satang()?;
        let mut below = self.digits_below_satang();
        match (below.next(), below.next(), below.next()) {
            (None, ..) | (Some(b'0'), Some(b'0'), _) => self.amount(satang),
            // Exactly 99 hundredths are a hundredth away, which is not less.
            (Some(b'9'), Some(b'9'), Some(_)) => self.amount(satang + 1),
            _ => Err(MoneyError::TooPrecise),
        }
    }

    /// How many of the digits are above the point, when the unit is one satang: none or fewer for less than a satang.
    fn digits_of_satang(&self) -> i64 {
        self.power.saturating_add(length(self.digits.len()))
    }

    /// The number cut off to whole satang, without its sign.
    fn whole_satang(&self) -> Result<i64, MoneyError> {
        /// The most digits that are within `i64`, and more than an amount has.
        const MOST: i64 = 18;
        let count = self.digits_of_satang();
        if self.digits.is_empty() || count <= 0 {
            return Ok(0);
        }
        if count > MOST {
            return Err(MoneyError::OutOfRange);
        }
        let digits = self.digits.iter().chain(std::iter::repeat(&b'0'));
        Ok((0..count).zip(digits).fold(0, |satang, (_, digit)| {
            satang * 10 + i64::from(digit - b'0')
        }))
    }

    /// The digits below one satang, without zeros at the end.
    fn digits_below_satang(&self) -> impl Iterator<Item = u8> {
        let count = self.digits_of_satang();
        let zeros = usize::try_from(count.saturating_neg()).unwrap_or(0);
        let above = usize::try_from(count).unwrap_or(0);
        let digits = self.digits.iter().skip(above).copied();
        // No more zeros than anybody looks at.
        std::iter::repeat_n(
            b'0',
            if self.digits.is_empty() {
                0
            } else {
                zeros.min(2)
            },
        )
        .chain(digits)
    }

    fn amount(&self, satang: i64) -> Result<Satang, MoneyError> {
        Satang::new(if self.negative { -satang } else { satang })
    }
}

/// A length as a signed number.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn all_digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// A power of ten. One that no number holds is as good as any that is too large.
fn parse_exponent(text: &str) -> Result<i64, MoneyError> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !all_digits(digits) {
        return Err(MoneyError::Malformed);
    }
    let size = digits.bytes().fold(0_i64, |size, digit| {
        size.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Ok(if negative { -size } else { size })
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

    /// What both readers say of a text: the bank's and the shop's.
    fn both(text: &str) -> [Result<i64, MoneyError>; 2] {
        [Satang::parse_json(text), Satang::parse_shop(text)].map(|read| read.map(Satang::satang))
    }

    #[test]
    fn every_spelling_of_a_number_is_the_same_amount() {
        for text in [
            "1500",
            "1500.0",
            "1500.00",
            "1500.0000",
            "1500.00000000000000000000000000000000",
            "1.5e3",
            "1.5E+3",
            "15e2",
            "150000e-2",
            "0.00015e7",
            "15000000000000000000000000000000000000e-34",
            "01500",
        ] {
            assert_eq!(both(text), [Ok(150_000); 2], "{text}");
        }
        for text in ["0", "0.00", "-0", "-0.0", "0e9", "0e-999999999999999999999"] {
            assert_eq!(both(text), [Ok(0); 2], "{text}");
        }
        for (text, satang) in [
            ("0.5e1", 500),
            ("0.01", 1),
            ("1e-2", 1),
            ("15.000000", 1_500),
            ("200.5", 20_050),
            ("9999999999.99", 999_999_999_999),
            ("9.99999999999e9", 999_999_999_999),
        ] {
            assert_eq!(both(text), [Ok(satang); 2], "{text}");
        }
    }

    #[test]
    fn the_bank_may_write_a_number_as_a_string() {
        for raw in [r#""200.50""#, r#""2.005e2""#, r#""\u0032\u0030\u0030.50""#] {
            assert_eq!(Satang::parse_json(raw), Satang::new(20_050), "{raw}");
        }
        for raw in [r#""""#, r#"""#, r#""200.50"#, r#"" 200.50""#, "null", "[1]"] {
            assert_eq!(Satang::parse_json(raw), Err(MoneyError::Malformed), "{raw}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            " ",
            "-",
            "+1",
            ".5",
            "1.",
            "1 500",
            " 1",
            "１５００",
            "NaN",
            "Infinity",
            "0x10",
            "1.5.0",
            "1e",
            "e3",
            "1e+",
            "1e3.0",
            "1e3e3",
            "--1",
            "1e--3",
            "1.e3",
        ] {
            assert_eq!(both(text), [Err(MoneyError::Malformed); 2], "{text:?}");
        }
    }

    #[test]
    fn what_no_amount_can_be_is_out_of_range() {
        for text in [
            "-1",
            "-0.01",
            "-1e3",
            "10000000000",
            "99999999999999999999",
            "1e10",
            "1e18",
            "1e999999999999999999999999",
            "-1e999999999999999999999999",
        ] {
            assert_eq!(both(text), [Err(MoneyError::OutOfRange); 2], "{text}");
        }
    }

    #[test]
    fn the_noise_of_a_binary_sum_counts_as_its_satang_for_the_shop_and_never_for_the_bank() {
        for (text, satang) in [
            ("59.699999999999996", 5_970),
            ("3.3000000000000003", 330),
            ("0.30000000000000004", 30),
            ("0.0000000001", 0),
            ("-0.0000000001", 0),
            ("0.0099999", 1),
            ("1500.0000999", 150_000),
            ("1499.9999001", 150_000),
            ("5.9699999999999996e1", 5_970),
            ("1e-999999999999999999999999", 0),
        ] {
            assert_eq!(
                both(text),
                [Err(MoneyError::TooPrecise), Ok(satang)],
                "{text}"
            );
        }
        // The largest amount has no satang above it.
        assert_eq!(
            Satang::parse_shop("9999999999.9999999"),
            Err(MoneyError::OutOfRange)
        );
    }

    #[test]
    fn what_is_further_from_a_satang_than_noise_is_refused() {
        for text in [
            "1500.001",
            "1500.005",
            "1500.0001",
            "1499.9999",
            "0.0001",
            "0.0098",
            "0.00011",
            "1e-3",
            "59.695",
        ] {
            assert_eq!(both(text), [Err(MoneyError::TooPrecise); 2], "{text}");
        }
    }

    #[test]
    fn the_shop_may_group_its_thousands_and_the_bank_may_not() {
        for text in ["1,500.00", "1,500", "001,500.0000", "1,499.9999999999998"] {
            assert_eq!(Satang::parse_shop(text), Satang::new(150_000), "{text}");
            assert_eq!(
                Satang::parse_json(text),
                Err(MoneyError::Malformed),
                "{text}"
            );
        }
        assert_eq!(Satang::parse_shop("1,234,567.89"), Satang::new(123_456_789));
        for text in [
            "1,50.00",
            ",500",
            "1500,000",
            "1,500,",
            "15,00.00",
            "1.500,00",
            ",",
            "1,500.000,000",
            "-1,500",
            "-0,000",
            "1,500e0",
            "1,500e1,000",
        ] {
            assert!(Satang::parse_shop(text).is_err(), "{text}");
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
            let written = Satang::new(satang).unwrap().to_string();
            assert_eq!(both(&written), [Ok(satang); 2]);
        }
    }
}
