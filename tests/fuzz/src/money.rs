//! Amounts: what is read is exact to the satang, or it is refused.

use arbitrary::{Result, Unstructured};
use payment3_activities::domain::money::{MoneyError, Satang};

use crate::generate::rest;

const MAX: u128 = 999_999_999_999;

/// The characters of numbers. Digits next to a rounding boundary are more frequent.
const ALPHABET: &[u8; 16] = b"0001234599.eE+-,";

/// Checks a number as an amount. Then checks the rest of the bytes as the text of an amount: unchanged, and with each
/// byte mapped to a character of numbers.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    number(u.arbitrary()?);
    let bytes = rest(u)?;
    if let Ok(written) = std::str::from_utf8(bytes) {
        text(written);
    }
    let numbers: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 16)]))
        .collect();
    text(&numbers);
    // A valid amount, followed by anything.
    text(&format!("1500.00{numbers}"));
    text(&format!("1499.99{numbers}"));
    Ok(())
}

/// A number is an amount exactly if it is within the bounds, and every way of writing it reads back as the same amount.
fn number(satang: i64) {
    let amount = Satang::new(satang);
    if !(0..=MAX as i64).contains(&satang) {
        assert_eq!(amount, Err(MoneyError::OutOfRange));
        return;
    }
    let amount = amount.expect("within the bounds");
    assert_eq!(amount.satang(), satang);
    let written = amount.to_string();
    assert_eq!(
        (
            written.len(),
            &written[written.len() - 3..=written.len() - 3]
        ),
        (written.len().max(4), "."),
        "an amount needs two decimals, and a digit before them"
    );
    let (baht, decimals) = written.split_at(written.len() - 3);
    for text in [
        written.clone(),
        format!("{written}00"),
        format!("000{written}"),
        format!("{satang}e-2"),
        format!("{satang}0E-3"),
        format!("{written}e+0"),
    ] {
        assert_eq!(Satang::parse_shop(&text), Ok(amount), "{text}");
        assert_eq!(Satang::parse_json(&text), Ok(amount), "{text}");
        let quoted = format!("\"{text}\"");
        assert_eq!(Satang::parse_json(&quoted), Ok(amount), "{quoted}");
    }
    let grouped = grouped(baht) + decimals;
    assert_eq!(Satang::parse_shop(&grouped), Ok(amount), "{grouped}");
    // Rounding errors of sums of binary numbers. Above a million baht, a double is not precise enough for this.
    if satang < 100_000_000 {
        let baht = satang as f64 / 100.0;
        for sum in [
            baht + 0.7 - 0.7,
            baht * 3.0 / 3.0,
            f64::from_bits(baht.to_bits() + 1),
        ] {
            let text = sum.to_string();
            assert_eq!(Satang::parse_shop(&text), Ok(amount), "{text}");
        }
    }
    let json = serde_json::to_string(&amount).expect("an integer");
    assert_eq!(json, satang.to_string());
    assert_eq!(serde_json::from_str::<Satang>(&json).ok(), Some(amount));
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// For a text, each reader accepts exactly the grammar, and reads the value of its digits.
fn text(text: &str) {
    assert_eq!(read(Satang::parse_json(text)), bank_value(text), "{text:?}");
    assert_eq!(read(Satang::parse_shop(text)), shop_value(text), "{text:?}");
}

fn read(amount: std::result::Result<Satang, MoneyError>) -> Option<u128> {
    amount
        .ok()
        .map(|amount| u128::try_from(amount.satang()).expect("no amount is negative"))
}

/// The satang in the bank's JSON: a number, or a string with a number, without a fraction of a satang.
pub(crate) fn bank_value(json: &str) -> Option<u128> {
    let text = match json.starts_with('"') {
        true => serde_json::from_str(json).ok()?,
        false => json.to_owned(),
    };
    let parts = parts(&text)?;
    let exact = parts.is_exact && parts.of_satang.is_multiple_of(UNIT);
    exact.then(|| amount(parts.negative, parts.of_satang / UNIT))?
}

/// The satang in the shop's text: a number, possibly with thousands separators. It must be less than a hundredth of a
/// satang from an integer number of satang.
pub(crate) fn shop_value(text: &str) -> Option<u128> {
    let plain = match text.contains(',') {
        true if separated(text) => text.replace(',', ""),
        true => return None,
        false => text.to_owned(),
    };
    let parts = parts(&plain)?;
    let (below, beyond) = (parts.of_satang / UNIT, parts.of_satang % UNIT);
    let hundredth = UNIT / 100;
    let nearest = match beyond {
        _ if beyond < hundredth => below,
        _ if beyond > UNIT - hundredth => below + 1,
        _ if beyond == UNIT - hundredth && !parts.is_exact => below + 1,
        _ => return None,
    };
    amount(parts.negative, nearest)
}

/// The satang, if they are a valid amount.
fn amount(negative: bool, satang: u128) -> Option<u128> {
    (satang <= MAX && !(negative && satang > 0)).then_some(satang)
}

/// The number of parts of a satang in the computations here.
const UNIT: u128 = 10_u128.pow(20);

/// A number in parts of a satang, truncated.
struct Parts {
    negative: bool,
    of_satang: u128,
    /// Whether no digits were truncated.
    is_exact: bool,
}

/// Reads `digits` and `digits.digits`, each with an optional exponent, by moving the point in the text. `None` for
/// anything else, and for more than any amount.
fn parts(text: &str) -> Option<Parts> {
    let negative = text.starts_with('-');
    let text = text.strip_prefix('-').unwrap_or(text);
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let sign = exponent.get(..1).filter(|sign| ["+", "-"].contains(sign));
    let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if ![whole, decimals, power].into_iter().all(digits) {
        return None;
    }
    let power = power.trim_start_matches('0');
    let places: usize = match power.len() {
        0 => 0,
        1..=6 => power.parse().expect("digits"),
        // More places than any text here has.
        _ => 10_000_000,
    };
    let moved = format!("{whole}{decimals}");
    let all_zero = moved.bytes().all(|byte| byte == b'0');
    // The position of the point in `moved`, for a value in satang.
    let point = match sign {
        Some("-") => whole.len() as i64 + 2 - places as i64,
        _ => whole.len() as i64 + 2 + places as i64,
    };
    let mut of_satang: u128 = 0;
    let mut is_exact = true;
    if !all_zero {
        for (place, byte) in moved.bytes().enumerate() {
            let power = point - 1 - place as i64;
            let digit = u128::from(byte - b'0');
            match power {
                _ if digit == 0 => {}
                13.. => return None,
                -20..13 => of_satang += digit * 10_u128.pow((power + 20) as u32),
                _ => is_exact = false,
            }
        }
    }
    Some(Parts {
        negative,
        of_satang,
        is_exact,
    })
}

/// Whether the baht are correctly grouped: a separator between groups of three digits, and nowhere else.
fn separated(text: &str) -> bool {
    let baht = text.split('.').next().unwrap_or_default();
    let decimals = &text[baht.len()..];
    let lengths: Vec<_> = baht.split(',').map(str::len).collect();
    baht.bytes()
        .all(|byte| byte == b',' || byte.is_ascii_digit())
        && !decimals.contains(',')
        && (lengths.len() == 1
            || ((1..=3).contains(&lengths[0]) && lengths[1..].iter().all(|length| *length == 3)))
}
